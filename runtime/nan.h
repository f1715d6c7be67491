/* Finding NaN in memory. */
#ifndef TN_RUNTIME_NAN_H
#define TN_RUNTIME_NAN_H

#include "runtime/tenon_rt.h"

/* Position of the first NaN among n elements of that dtype, -1: there is none. */
int64_t nan_find(tn_dtype dtype, const void *data, int64_t n);

/* The same in a tensor that is well formed, strided or not: the position in row-major order. */
int64_t nan_find_tensor(const tn_tensor *tensor);

#endif
