/* One element of an array as a number.
 *
 * law: reading is exact for all dtypes but i64 and u64 beyond 2^53, which round to nearest; writing rounds once, to
 *      nearest with ties to even, for floats, and is refused for integers and bools
 *      when the number is not one of theirs
 */
#ifndef TN_DATA_ELEMENT_H
#define TN_DATA_ELEMENT_H

#include "tenon_rt.h"

/* Element `i` of an array of that dtype. `data` may be unaligned. */
double element_get(tn_dtype dtype, const void *data, int64_t i);

/* False: the dtype has no such number; nothing was written. */
bool element_set(tn_dtype dtype, void *data, int64_t i, double value);

/* Turns the byte order of `count` elements of `bytes_each` around. */
void element_swap_bytes(void *data, size_t count, size_t bytes_each);

#endif
