/* Gradient rules of composites whose decomposition, differentiated term by term, would lose digits or do work twice.
 *
 * All others are differentiated by their decomposition. What a rule needs of the forward computation it writes
 * exactly as the decomposition does (ir/expand_norm.c), so that the two become one node. Smaller floats are
 * computed in f32, as in the decomposition.
 */
#include "ir/columns.h"
#include "ir/expand.h"
#include "ir/grad.h"

/* What the rules are written on: cotangent and operand in f32 at least. */
typedef struct normed {
    tn_val x, dy;
    tn_dtype dtype; /* of the operand */
} normed;

static normed open_normed(const grad_args *c) {
    return (normed){
        .x = expand_widen(c->x[0]), .dy = expand_widen(c->dy[0]), .dtype = (tn_dtype)tn_type_of(c->x[0]).dtype};
}

/* ---- Softmax -------------------------------------------------------------------------------------- */

void grad_softmax(grad_args *c) {
    normed v = open_normed(c);
    int64_t axis = attr_int(&c->attrs, ATTR_axis, 0);
    tn_val y = expand_widen(c->y[0]);
    tn_val mean = expand_reduce("sum", tn_mul(v.dy, y), &axis, 1, true);
    c->dx[0] = expand_narrow(tn_mul(y, tn_sub(v.dy, mean)), v.dtype);
}

void grad_log_softmax(grad_args *c) {
    normed v = open_normed(c);
    int64_t axis = attr_int(&c->attrs, ATTR_axis, 0);
    tn_val sum = expand_reduce("sum", v.dy, &axis, 1, true);
    c->dx[0] = expand_narrow(tn_sub(v.dy, tn_mul(tn_exp(expand_widen(c->y[0])), sum)), v.dtype);
}

/* ---- Moments and normalisations --------------------------------------------------------------------- */

/* Deviations from the mean add up to 0, so that the mean's own dependence on x drops out. */
void grad_variance(grad_args *c) {
    normed v = open_normed(c);
    const attr *axes = attr_find(&c->attrs, ATTR_axes);
    int n = (int)axes->ints.n;
    tn_val off = tn_sub(v.x, expand_average(v.x, axes->ints.items, n, true));
    tn_val count = expand_count(v.x, axes->ints.items, n, (tn_dtype)tn_type_of(v.x).dtype);
    tn_val part = expand_back(tn_div(tn_mul_scalar(v.dy, 2), count), v.x, axes->ints.items, n);
    c->dx[0] = expand_narrow(tn_mul(off, part), v.dtype);
}

/* The sum of v over the axes before `first`. */
static tn_val sum_leading(tn_val v, int64_t first) {
    static const int64_t leading[TN_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    return first > 0 ? tn_sum(v, ((tn_ints){(int)first, leading})) : v;
}

/* y = unit * scale + bias, unit = off * inverse root of the mean of off^2: what changes the length of off, and, with
 * `is_centred`, what moves all of it, is taken out of the cotangent. */
static void normalise(grad_args *c, bool is_centred) {
    normed v = open_normed(c);
    int64_t first = attr_int(&c->attrs, ATTR_axis, 0);
    int64_t axes[TN_MAX_RANK];
    int n = expand_axes_from(c->x[0], first, axes);
    tn_val off = is_centred ? tn_sub(v.x, expand_average(v.x, axes, n, true)) : v.x;
    tn_val power = expand_average(tn_mul(off, off), axes, n, false);
    tn_val inverse = tn_rsqrt(tn_add_scalar(power, attr_float(&c->attrs, ATTR_epsilon, 1e-5)));
    inverse = expand_back(inverse, off, axes, n);
    tn_val unit = tn_mul(off, inverse);
    if (c->wanted[0]) {
        tn_val due = tn_mul(v.dy, expand_widen(c->x[1]));
        tn_val along = tn_mul(unit, expand_average(tn_mul(due, unit), axes, n, true));
        if (is_centred) due = tn_sub(due, expand_average(due, axes, n, true));
        c->dx[0] = expand_narrow(tn_mul(inverse, tn_sub(due, along)), v.dtype);
    }
    if (c->wanted[1]) c->dx[1] = expand_narrow(sum_leading(tn_mul(v.dy, unit), first), v.dtype);
    if (is_centred && c->wanted[2]) c->dx[2] = expand_narrow(sum_leading(v.dy, first), v.dtype);
}

void grad_layer_norm(grad_args *c) { normalise(c, true); }
void grad_rms_norm(grad_args *c) { normalise(c, false); }

/* ---- Where gradients end ---------------------------------------------------------------------------- */

/* stop_gradient is the identity that a cotangent does not pass. */
void grad_stop(grad_args *c) { (void)c; }

void grad_barrier(grad_args *c) {
    for (uint32_t i = 0; i < c->n_operands; i++) c->dx[i] = c->dy[i];
}
