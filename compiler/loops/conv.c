/* Sizes and input positions of convolutions (see conv.h). */
#include "compiler/loops/conv.h"

#include "ir/view.h"

enum { MOST_SPREAD = 8, MOST_PHASES = 16 };

static int64_t list_item(const node *n, attr_name name, int i) {
    const attr *list = attr_find(&n->attrs, name);
    return list && list->ints.n ? list->ints.items[i] : 1;
}

/* An operand that is a buffer under views: what is not read counts as 0. */
static bool is_plain(const access *a, value_id v) {
    while (a->sources[v].kind == SOURCE_COMPUTED) {
        const node *n = graph_node_of(a->fused, v);
        if (!view_is_plain((tn_op)n->op)) return false;
        v = n->operands[0];
    }
    return a->sources[v].kind == SOURCE_BUFFER;
}

bool conv_read(convolution *c, access *a, const node *n) {
    const tn_graph *fused = a->fused;
    dim_table *t = fused->module->dims;
    *c = (convolution){.a = a, .t = t, .conv = n, .value = n->first_result, .taps = 1};
    c->input = graph_type(fused, n->operands[0]);
    c->kernel = graph_type(fused, n->operands[1]);
    c->result = *graph_type(fused, n->first_result);
    c->spatial = c->input->rank - 2;
    c->groups = attr_int(&n->attrs, ATTR_groups, 0);
    if (c->groups < 1) c->groups = 1;
    c->channels = c->kernel->dims[1];
    c->features = dim_exact_div(t, c->kernel->dims[0], dim_const(t, c->groups));
    if (c->features == DIM_INVALID) c->features = dim_floordiv(t, c->kernel->dims[0], dim_const(t, c->groups));
    c->sum = access_accumulator(fused, n);
    c->input_is_plain = is_plain(a, n->operands[0]);
    const attr *low = attr_find(&n->attrs, ATTR_low);
    for (int i = 0; i < c->spatial; i++) {
        if (!dim_is_const(t, c->kernel->dims[i + 2], &c->tap[i])) return false;
        c->stride[i] = list_item(n, ATTR_stride, i);
        c->dilation[i] = list_item(n, ATTR_dilation, i);
        c->input_dilation[i] = list_item(n, ATTR_input_dilation, i);
        c->low[i] = low && low->dims.n ? low->dims.items[i] : dim_const(t, 0);
        c->tap_step[i] = c->out_step[i] = 1;
        if (c->tap[i] > 0 && c->taps > (1 << 20) / c->tap[i]) return false;
        c->taps *= c->tap[i];
    }
    return c->spatial > 0 && c->taps > 0;
}

/* ---- Phases ---- */

/* The first tap that positions of phase `phase` meet elements under; the number of taps when there is none. */
static int64_t first_tap(const convolution *c, int axis, int64_t low, int64_t phase) {
    int64_t tap = 0;
    while (tap < c->tap[axis] && (phase + tap * c->dilation[axis] - low) % c->input_dilation[axis] != 0) tap++;
    return tap;
}

int64_t conv_phase_count(const convolution *c) {
    int64_t n = 1;
    for (int i = 0; i < c->spatial; i++) {
        int64_t z = c->input_dilation[i], low;
        if (z == 1) continue;
        if (z > MOST_SPREAD || c->stride[i] != 1 || !dim_is_const(c->t, c->low[i], &low) || low > INT32_MAX ||
            low < -INT32_MAX)
            return 1;
        for (int64_t phase = 0; phase < z; phase++) {
            /* A phase without taps, or with taps closer than the spread, is no convolution of its own. */
            if (first_tap(c, i, low, phase) == c->tap[i]) return 1;
            if (phase > 0 && phase * c->dilation[i] % z == 0) return 1;
        }
        n *= z;
    }
    return n <= MOST_PHASES ? n : 1;
}

convolution conv_phase(const convolution *c, int64_t number) {
    convolution p = *c;
    if (conv_phase_count(c) == 1) return p;
    p.taps = 1;
    for (int i = c->spatial; i-- > 0;) {
        int64_t z = c->input_dilation[i], phase = number % z, low = 0;
        number /= z;
        if (z > 1) {
            dim_is_const(c->t, c->low[i], &low);
            p.tap_first[i] = first_tap(c, i, low, phase);
            p.out_first[i] = phase;
            p.tap_step[i] = p.out_step[i] = z;
            p.input_dilation[i] = 1;
            p.tap[i] = (c->tap[i] - p.tap_first[i] + z - 1) / z;
            p.low[i] = dim_const(c->t, (low - phase - p.tap_first[i] * c->dilation[i]) / z);
            p.result.dims[i + 2] =
                dim_ceildiv(c->t, dim_add_const(c->t, c->result.dims[i + 2], -phase), dim_const(c->t, z));
        }
        p.taps *= p.tap[i];
    }
    return p;
}

void conv_kernel_taps(const convolution *c, const tn_dim *tap, tn_dim *index) {
    for (int i = 0; i < c->spatial; i++)
        index[i] = dim_add_const(c->t, dim_mul_const(c->t, tap[i], c->tap_step[i]), c->tap_first[i]);
}

void conv_result_positions(const convolution *c, tn_dim *at) {
    for (int i = 0; i < c->spatial; i++)
        at[i] = dim_add_const(c->t, dim_mul_const(c->t, at[i], c->out_step[i]), c->out_first[i]);
}

/* ---- Positions and elements ---- */

static lt_value both(access *a, lt_value x, lt_value y) {
    if (x == LT_NONE || y == LT_NONE) return x == LT_NONE ? y : x;
    return lt_binary(&a->b, TN_OP_and, x, y);
}

/* out * stride + tap * dilation - low: the position among elements and the zeros between them. */
static tn_dim spread_position(const convolution *c, int axis, tn_dim out, tn_dim tap) {
    tn_dim at = dim_add(c->t, dim_mul_const(c->t, out, c->stride[axis]), dim_mul_const(c->t, tap, c->dilation[axis]));
    return dim_sub(c->t, at, c->low[axis]);
}

tn_dim conv_position(convolution *c, int axis, tn_dim out, tn_dim tap, lt_value *inside) {
    access *a = c->a;
    int64_t zeros = c->input_dilation[axis];
    tn_dim spread = spread_position(c, axis, out, tap);
    tn_dim at = zeros == 1 ? spread : access_simplify(a, dim_floordiv(c->t, spread, dim_const(c->t, zeros)));
    if (!inside) return at;
    *inside = both(a, *inside, access_within(a, at, dim_const(c->t, 0), c->input->dims[axis + 2]));
    if (zeros > 1) {
        tn_dim between = dim_sub(c->t, spread, dim_mul_const(c->t, at, zeros));
        lt_value is_element =
            lt_compare(&a->b, COMPARE_EQ, lt_dim_value(&a->b, between), lt_const_int(&a->b, TN_I64, 0));
        *inside = both(a, *inside, is_element);
    }
    return at;
}

void conv_inside(convolution *c, int64_t tap, tn_dim *first, tn_dim *end) {
    dim_table *t = c->t;
    int last = c->spatial - 1;
    tn_dim stride = dim_const(t, c->stride[last]), zero = dim_const(t, 0), extent = c->result.dims[last + 2];
    tn_dim before = dim_add_const(t, c->low[last], -tap * c->dilation[last]); /* positions below 0 */
    tn_dim after = dim_add(t, c->input->dims[last + 2], before);
    *first = dim_min(t, dim_max(t, dim_ceildiv(t, before, stride), zero), extent);
    *end = dim_max(t, dim_min(t, dim_ceildiv(t, after, stride), extent), *first);
}

lt_value conv_element(convolution *c, const tn_dim *index, lt_value inside) {
    access *a = c->a;
    lt_value former = access_push_guard(a, inside);
    lt_value x = access_value(a, c->conv->operands[0], index);
    a->guard = former;
    if (a->b.failed || x == LT_NONE) return LT_NONE;
    x = lt_convert(&a->b, x, c->sum);
    return inside == LT_NONE || c->input_is_plain ? x : lt_select(&a->b, inside, x, lt_const_int(&a->b, c->sum, 0));
}

void conv_unravel_row(convolution *c, tn_dim row, tn_dim *at) {
    access_unravel(c->a, row, c->spatial - 1, c->result.dims + 2, at);
}
