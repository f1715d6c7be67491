/* Reference evaluation of conv: cross-correlation in any number of spatial axes.
 *
 * in:  x [n, c, spatial...], kernel [o, c / groups, taps...]
 * out: y [n, o, spatial...]; along each spatial axis result element p takes tap t from input
 *      position p * stride - low + t * dilation, where the input has input_dilation - 1 zeros
 *      between neighbours
 * law: each sum runs over channels, then taps in row-major order; what falls outside the input
 *      or between its elements adds nothing
 */
#include "ir/eval_state.h"

#include <assert.h>
#include <string.h>

enum { MAX_SPATIAL = TN_MAX_RANK - 2 };

/* Spatial extents are kept with a last axis always there (extent 1 where conv has none), because
 * the innermost loop runs along it. */
typedef struct conv_plan {
    int spatial;
    int64_t batch, groups, in_channels, out_channels; /* channels of one group */
    int64_t in[MAX_SPATIAL + 1], out[MAX_SPATIAL + 1], taps[MAX_SPATIAL + 1];
    int64_t stride[MAX_SPATIAL + 1], low[MAX_SPATIAL + 1], dilation[MAX_SPATIAL + 1], input_dilation[MAX_SPATIAL + 1];
    int64_t in_plane, out_plane, tap_plane; /* products of the extents */
} conv_plan;

/* The input position of tap t for result element p; -1: outside, or between elements. */
static int64_t position(const conv_plan *v, int axis, int64_t p, int64_t t) {
    int64_t at = p * v->stride[axis] - v->low[axis] + t * v->dilation[axis];
    if (at < 0 || at % v->input_dilation[axis] != 0) return -1;
    at /= v->input_dilation[axis];
    return at < v->in[axis] ? at : -1;
}

/* Adds the products of one tap of one line of the result. `x` is the line of the input. */
static void add_line(const conv_plan *v, int64_t t, const wide *x, wide w, wide *y, eval_axpy *axpy) {
    int last = v->spatial - 1;
    int64_t stride = v->stride[last], at = t * v->dilation[last] - v->low[last];
    if (v->input_dilation[last] == 1) {
        int64_t first, end;
        eval_taps(at, stride, v->in[last], v->out[last], &first, &end);
        if (first < end) axpy(y + first, x + at + first * stride, stride, w, end - first);
        return;
    }
    for (int64_t p = 0; p < v->out[last]; p++) {
        int64_t from = position(v, last, p, t);
        if (from >= 0) axpy(y + p, x + from, 1, w, 1);
    }
}

/* Adds the products of one tap with one input channel to one result channel. */
static void add_tap(const conv_plan *v, const int64_t *tap, const wide *x, wide w, wide *y, eval_axpy *axpy) {
    int last = v->spatial - 1;
    eval_walk line = {.rank = last};
    memcpy(line.dims, v->out, (size_t)last * sizeof *line.dims);
    for (int64_t done = 0; done < v->out_plane; done += v->out[last], eval_walk_next(&line)) {
        int64_t from = 0, at = 0;
        for (int axis = 0; axis < last && at >= 0; axis++) {
            at = position(v, axis, line.at[axis], tap[axis]);
            from = from * v->in[axis] + at;
        }
        if (at >= 0) add_line(v, tap[last], x + from * v->in[last], w, y + done, axpy);
    }
}

static void conv_loops(const void *plan, const wide *x, const wide *kernel, wide *y, eval_axpy *axpy) {
    const conv_plan *v = plan;
    assert(v->spatial > 0);
    int64_t channels = v->groups * v->out_channels;
    for (int64_t o = 0; o < v->batch * channels; o++) {
        int64_t image = o / channels, group = o % channels / v->out_channels;
        const wide *in = x + (image * v->groups + group) * v->in_channels * v->in_plane;
        const wide *w = kernel + o % channels * v->in_channels * v->tap_plane;
        for (int64_t channel = 0; channel < v->in_channels; channel++) {
            eval_walk tap = {.rank = v->spatial};
            memcpy(tap.dims, v->taps, sizeof v->taps);
            for (int64_t t = 0; t < v->tap_plane; t++, eval_walk_next(&tap))
                add_tap(v, tap.at, in + channel * v->in_plane, w[channel * v->tap_plane + t], y + o * v->out_plane,
                        axpy);
        }
    }
}

/* ---- Reading the plan ------------------------------------------------------------------------------ */

/* Every position that can occur must count in 63 bits with room to spare. */
static bool check_reach(eval_args *c, const conv_plan *v, int axis) {
    const int64_t limit = INT64_MAX / 8;
    int64_t reach, taps;
    bool fits = v->stride[axis] > 0 && v->dilation[axis] > 0 && v->input_dilation[axis] > 0 &&
                !__builtin_mul_overflow(v->out[axis], v->stride[axis], &reach) && reach < limit &&
                !__builtin_mul_overflow(v->taps[axis], v->dilation[axis], &taps) && taps < limit &&
                v->stride[axis] < limit && v->low[axis] < limit && v->low[axis] > -limit;
    return fits || eval_error(c->state, TN_ERR_LIMIT, "sizes of spatial axis %d are out of range", axis);
}

static bool plan_conv(eval_args *c, conv_plan *v) {
    const eval_tensor *x = c->operands[0], *kernel = c->operands[1], *y = &c->results[0];
    int spatial = x->rank - 2;
    *v = (conv_plan){.spatial = spatial, .groups = attr_int(&c->node->attrs, ATTR_groups, 1)};
    int64_t channels;
    if (spatial < 0 || kernel->rank != x->rank || y->rank != x->rank || v->groups < 1 ||
        __builtin_mul_overflow(v->groups, kernel->dims[1], &channels) || x->dims[1] != channels ||
        kernel->dims[0] % v->groups != 0 || y->dims[0] != x->dims[0] || y->dims[1] != kernel->dims[0])
        return eval_error(c->state, TN_ERR_SHAPE, "operands, groups and result do not fit");
    if (!eval_ints(c, ATTR_stride, spatial, 1, v->stride) || !eval_dims(c, ATTR_low, spatial, 0, v->low) ||
        !eval_ints(c, ATTR_dilation, spatial, 1, v->dilation) ||
        !eval_ints(c, ATTR_input_dilation, spatial, 1, v->input_dilation))
        return false;
    v->batch = x->dims[0];
    v->in_channels = kernel->dims[1];
    v->out_channels = kernel->dims[0] / v->groups;
    v->in_plane = v->out_plane = v->tap_plane = 1;
    if (spatial == 0) {
        v->spatial = 1;
        v->in[0] = v->out[0] = v->taps[0] = v->stride[0] = v->dilation[0] = v->input_dilation[0] = 1;
    }
    for (int axis = 0; axis < spatial; axis++) {
        v->in[axis] = x->dims[axis + 2];
        v->taps[axis] = kernel->dims[axis + 2];
        v->out[axis] = y->dims[axis + 2];
        if (!check_reach(c, v, axis)) return false;
    }
    /* With no elements in an operand or the result nothing is added, and products may overflow. */
    if (x->n == 0 || kernel->n == 0 || y->n == 0) v->batch = 0;
    for (int axis = 0; axis < spatial && v->batch > 0; axis++) {
        v->in_plane *= v->in[axis];
        v->out_plane *= v->out[axis];
        v->tap_plane *= v->taps[axis];
    }
    return true;
}

bool eval_conv(eval_args *c) {
    conv_plan v;
    contraction how = {eval_natural_order(c->operands[0]), eval_natural_order(c->operands[1]), conv_loops, &v, NULL};
    return plan_conv(c, &v) && eval_contract(c, &how);
}
