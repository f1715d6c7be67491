/* What losses and metrics share: predictions, targets and weights of a batch.
 *
 * law: numbers are in f32 at least, whatever layers compute in
 */
#ifndef TN_NN_SCORE_H
#define TN_NN_SCORE_H

#include "ir/build.h"
#include "tenon_nn.h"

typedef struct score {
    build b;
    tn_val p, t;
    tn_val weights; /* of the examples; invalid: 1 each */
} score;

/* Checks the values, widens floats, and names messages `name`. `weights` may be {0}. */
bool score_open(score *s, tn_location at, const char *name, tn_val p, tn_val t, tn_val weights);

/* Whether the target has integers [...] for p [..., classes]; a target of p's shape, converted to p's dtype. */
bool score_is_sparse(score *s);
bool score_is_alike(score *s);

/* -log softmax(p)[t] of each example; the target's element of x [..., classes]. */
tn_val score_nll(score *s);
tn_val score_pick(score *s, tn_val x);
tn_val score_number(const score *s, double number);

/* Sum of x, one number an example, times weights; and of the weights (the count without). Scalars of p's dtype. False
 * with an error: the weights have another shape. */
bool score_sums(score *s, tn_val x, tn_val *sum, tn_val *count);

#endif
