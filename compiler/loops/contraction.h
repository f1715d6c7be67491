/* A dot as a product of matrices: which axes are its outer ones, its rows, columns and depth.
 *
 * Batch axes are the product's outer ones, free axes of the first operand its rows, of the second its columns,
 * contracted axes its depth; `swaps` changes the sides.
 */
#ifndef TN_LOOPS_CONTRACTION_H
#define TN_LOOPS_CONTRACTION_H

#include "compiler/loops/pack.h"

typedef struct contraction {
    product p;
    const node *dot;
    value_id value;          /* the dot's result */
    bool swaps;              /* the dot's first operand is B */
    const tn_type *types[2]; /* of the dot's operands; so too below */
    int n_batch, n_contract, n_free[2];
    int batch[2][TN_MAX_RANK], contract[2][TN_MAX_RANK], free[2][TN_MAX_RANK];
} contraction;

/* Whether products know the dtypes of the dot. */
bool contraction_takes(const tn_graph *fused, const node *dot);

/* The product of a dot, its sides still to be set. It stores what lower_store_anchor makes of an element. */
void contraction_open(contraction *c, access *a, const node *dot);
/* Both matrices of the product, as `swaps` says. */
void contraction_set_sides(contraction *c);

#endif
