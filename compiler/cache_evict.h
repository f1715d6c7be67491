/* What is in the cache's folder, and what of it goes.
 *
 * law: files that are not the cache's own, by their names, are never touched; other processes may remove any at any time
 */
#ifndef TN_COMPILER_CACHE_EVICT_H
#define TN_COMPILER_CACHE_EVICT_H

#include <stdint.h>

#define CACHE_SUFFIX ".tenon"   /* behind the 32 digits of a key */
#define CACHE_TEMPORARY ".part" /* of files that are being written */

/* Removes the entries that were not used for longest until at most `limit` bytes are left, and what writers left behind
 * an hour ago and more. */
void cache_evict(int folder, uint64_t limit);

#endif
