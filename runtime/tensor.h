/* What the runtime asks of tensors beyond tenon_rt.h. */
#ifndef TN_RUNTIME_TENSOR_H
#define TN_RUNTIME_TENSOR_H

#include "runtime/diag.h"
#include "runtime/tenon_rt.h"

/* Elements of a shape; -1: malformed, or the bits don't fit in 63 bits. */
int64_t tensor_count(int rank, const int64_t *shape, tn_dtype dtype);

/* The bytes that a tensor with data touches, [low, high) relative to `data`; empty without
 * elements. False: malformed, or the strides reach further than 63 bits. */
bool tensor_span(const tn_tensor *tensor, int64_t *low, int64_t *high);

/* The memory that a tensor's elements lie in. Addresses wrap as unsigned numbers do. */
typedef struct tensor_range {
    uintptr_t start, bytes; /* UINTPTR_MAX: not to be told, meets any other */
} tensor_range;
tensor_range tensor_range_of(const tn_tensor *tensor);
bool tensor_ranges_meet(tensor_range a, tensor_range b);

/* A contiguous tensor as `info` describes it; its dtype is TN_DTYPE_INVALID, which other calls refuse, where a dim is not
 * constant. */
tn_tensor tensor_of_info(const tn_tensor_info *info, const void *data);

/* Strides in elements, also of what has none of its own. */
void tensor_strides(const tn_tensor *tensor, int64_t *strides);

/* The next element in row-major order: moves the index `at` (all zero at first) on, and returns its offset from the first,
 * in elements, where that of the last was `offset`. */
int64_t tensor_next(const tn_tensor *tensor, const int64_t *strides, int64_t *at, int64_t offset);

/* Appends "f32[7, 784]". */
void tensor_add_text(line *t, const tn_tensor *tensor);

#endif
