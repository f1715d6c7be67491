/* Finding NaN in memory. */
#ifndef TN_RUNTIME_NAN_H
#define TN_RUNTIME_NAN_H

#include "runtime/diag.h"

/* Position of the first NaN among n elements of that dtype, -1: there is none. */
int64_t nan_find(tn_dtype dtype, const void *data, int64_t n);

/* The same in a tensor that is well formed, strided or not: the position in row-major order. */
int64_t nan_find_tensor(const tn_tensor *tensor);

/* Adds " at element [3, 17] of f32[n, 64]", by the text of a type; the number alone where more than its first size is
 * not known. */
void nan_add_element(line *t, const char *type, uint64_t element);

#endif
