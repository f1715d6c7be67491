/* Digests of content: 128 bits that name it, and tell when it is damaged.
 *
 * law: equal bytes in equal order give equal digests, however they are cut into pieces
 *
 * XXH3 (xxhash), which is not made against those who look for collisions: whoever could use one can write to the cache
 * as it is.
 */
#ifndef TN_COMPILER_DIGEST_H
#define TN_COMPILER_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

typedef struct digest {
    uint8_t bytes[16];
} digest;

/* Content taken piece by piece; on the stack, nothing to free. */
typedef struct digester {
    XXH3_state_t state;
} digester;

void digest_begin(digester *d);
void digest_add(digester *d, const void *data, size_t bytes);
digest digest_end(const digester *d);

digest digest_of(const void *data, size_t bytes);

#endif
