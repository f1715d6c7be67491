/* What a module computes, counted. */
#ifndef TN_IR_FLOPS_H
#define TN_IR_FLOPS_H

#include "ir/graph.h"

/* Floating-point operations of contractions and convolutions in one run of main, two for each product, over its
 * symbols. Bodies of loops count once. DIM_INVALID: does not fit in 63 bits, or no memory. */
tn_dim module_flops(tn_module *m);

#endif
