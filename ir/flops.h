/* What a module computes, counted. */
#ifndef TN_IR_FLOPS_H
#define TN_IR_FLOPS_H

#include "ir/graph.h"

/* Floating-point operations of contractions and convolutions in one run of main, two for each product, over its
 * symbols. Bodies of loops count once. DIM_INVALID: does not fit in 63 bits, or no memory. */
tn_dim module_flops(tn_module *m);

/* The value of a symbol, as dim_eval asks for it. */
typedef bool dim_look(void *ctx, tn_dim leaf, int64_t *value);

/* Floating-point operations of one node. */
typedef struct operations {
    double products;      /* of contractions and convolutions as they are defined, two for each product */
    double products_done; /* those that the node's algorithm does: fewer by Winograd's */
    double others;        /* one for each element of a result, of an operand where it is reduced */
} operations;

/* With sizes known. False: a size has no value. Composites and control flow count for nothing. */
bool node_count_operations(const tn_graph *g, const node *n, dim_look *look, void *ctx, operations *out);

#endif
