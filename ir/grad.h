/* Gradients: what the rules of the op table (ir/grad_*.c) and the sweep that calls them share.
 *
 * A rule is given one node of a function whose results have cotangents and appends, with the
 * builder that users have, what computes the cotangents of its operands. All that rules make is
 * ordinary IR, so that a gradient is differentiated again by the same rules.
 *
 * law: rules are linear in the cotangents; an operand that is not wanted gets none; a cotangent has
 *      the type of its value
 */
#ifndef TN_IR_GRAD_H
#define TN_IR_GRAD_H

#include "ir/op.h"

typedef struct grad_args {
    tn_graph *g;
    tn_op op;
    attr_list attrs;
    uint32_t n_operands, n_results;
    const tn_val *x;    /* the operands */
    const tn_val *y;    /* the results */
    const tn_val *dy;   /* cotangents of the results; invalid: zero. That of an only result is there */
    const bool *wanted; /* of each operand: its cotangent is asked for */
    const struct control_record *control; /* control flow: how to go back through it (grad_sweep.h) */
    tn_val *dx; /* of each operand, invalid at first: what the rule makes; left invalid: zero */
} grad_args;

/* Zeros of the type of `like`; of a type. */
tn_val grad_zeros(tn_val like);
tn_val grad_zeros_of(tn_graph *g, const tn_type *type);
/* `number` everywhere, of the type of `like`. */
tn_val grad_fill(tn_val like, double number);
/* The cotangent of result i, zeros where it is zero. */
tn_val grad_cotangent(const grad_args *c, uint32_t i);
/* condition ? v : 0 */
tn_val grad_where(tn_val condition, tn_val v);
/* 1 - v; and 1 - v^2 as (1 - v) * (1 + v), which loses no digits where v is near 1. */
tn_val grad_one_minus(tn_val v);
tn_val grad_one_minus_square(tn_val v);
/* v between and around zeros: pad of one entry for each axis. */
tn_val grad_pad_zeros(tn_val v, const tn_dim *low, const tn_dim *high, const int64_t *interior);
/* 0, 1, ... along an axis of a shape, in i64. */
tn_val grad_positions(tn_graph *g, int rank, const tn_dim *dims, int axis);
/* data with `updates` added at `index` along an axis; index and updates have one shape,
 * that of data but for the axis. */
tn_val grad_add_along(tn_val data, tn_val index, tn_val updates, int axis);

#endif
