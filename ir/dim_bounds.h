/* The prover behind dim_bounds and dim_simplify (ir/dim_bounds.c). */
#ifndef TN_IR_DIM_BOUNDS_H
#define TN_IR_DIM_BOUNDS_H

#include "ir/dim_poly.h"

enum { PROVER_FUEL = 400, PROVER_MAX_POSITIVE = 16, PROVER_MAX_BOUNDS = 48 };

typedef struct prover {
    dim_table *table;
    const dim_range *ranges;
    int n;
    int fuel; /* steps left for the question at hand */
    int n_positive;
    tn_dim positive[PROVER_MAX_POSITIVE]; /* divisors met: at least 1 */
    int n_bounds;
    struct {
        tn_dim atom;
        int64_t low, high;
    } bounds[PROVER_MAX_BOUNDS]; /* of atoms met */
} prover;

void prover_start(prover *p, dim_table *t, const dim_range *ranges, int n);
void prover_assume_positive(prover *p, tn_dim divisor);
bool prover_is_at_least(prover *p, tn_dim d, int64_t bound);
void prover_bounds(prover *p, tn_dim d, int64_t *low, int64_t *high); /* INT64_MIN, INT64_MAX: none */

#endif
