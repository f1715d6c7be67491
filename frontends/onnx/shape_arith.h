/* What shape_arith.c (parts, shapes, the table) and shape_math.c (arithmetic) share. */
#ifndef TN_ONNX_SHAPE_ARITH_H
#define TN_ONNX_SHAPE_ARITH_H

#include "frontends/onnx/import.h"

/* The output of a node as known content; NULL: it cannot be told. */
typedef const known *known_fn(conversion *c);

known_fn known_binary, known_where, known_cast, known_unary, known_reduce;

/* The shape that two operands broadcast to; false: they don't, or a rank is too large. */
bool known_merge_shapes(const known *a, const known *b, int *rank, int64_t *shape);
/* The item of k at position `at` of a result of that shape. */
tn_dim known_broadcast_item(const known *k, int rank, const int64_t *shape, int64_t at);
/* k with its items filled in; NULL when one of them could not be told or does not fit the dtype. */
const known *known_finish(conversion *c, const known *k, const tn_dim *items);

#endif
