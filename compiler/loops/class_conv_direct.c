/* Class conv for few output channels a group (depthwise): each result row computed directly.
 *
 * in:  a fused function with one conv and elementwise members on its result
 * out: a stage of result rows; lanes run along the row, the taps of all channels of the group are
 *      unrolled. Where the whole kernel lies inside the input nothing is guarded; the ends of a
 *      row, and rows at the edges, are guarded tap by tap.
 * law: one FMA chain over channels, then taps
 */
#include "compiler/loops/conv.h"

#include <string.h>

enum {
    MOST_TERMS = 64, /* unrolled for an element */
    CHUNK_MULTIPLY_ADDS = 1 << 17,
};

typedef struct direct_conv {
    convolution c;
    tn_dim index[TN_MAX_RANK]; /* of the result */
    tn_dim group;
    bool guards_rows, guards_ends;
} direct_conv;

static lt_value weight(direct_conv *d, int64_t channel, const int64_t *tap) {
    convolution *c = &d->c;
    tn_dim index[TN_MAX_RANK] = {d->index[1], dim_const(c->t, channel)};
    tn_dim number[CONV_SPATIAL];
    for (int i = 0; i < c->spatial; i++) number[i] = dim_const(c->t, tap[i]);
    conv_kernel_taps(c, number, index + 2);
    lt_value w = access_value(c->a, c->conv->operands[1], index);
    return w == LT_NONE ? w : lt_convert(&c->a->b, w, c->sum);
}

static lt_value input(direct_conv *d, int64_t channel, const int64_t *tap) {
    convolution *c = &d->c;
    tn_dim index[TN_MAX_RANK] = {d->index[0], dim_add_const(c->t, dim_mul(c->t, d->group, c->channels), channel)};
    lt_value inside = LT_NONE;
    for (int i = 0; i < c->spatial; i++) {
        bool is_guarded = (i == c->spatial - 1 ? d->guards_ends : d->guards_rows) || c->input_dilation[i] > 1;
        index[i + 2] = conv_position(c, i, d->index[i + 2], dim_const(c->t, tap[i]), is_guarded ? &inside : NULL);
    }
    return conv_element(c, index, inside);
}

/* Calls visit for each channel and tap in order. */
static void each_term(direct_conv *d, void (*visit)(direct_conv *d, int64_t channel, const int64_t *tap, void *ctx),
                      void *ctx) {
    int64_t channels = 0, tap[CONV_SPATIAL];
    dim_is_const(d->c.t, d->c.channels, &channels);
    for (int64_t k = 0; k < channels * d->c.taps && !d->c.a->b.failed; k++) {
        int64_t rest = k;
        for (int i = d->c.spatial; i-- > 0; rest /= d->c.tap[i]) tap[i] = rest % d->c.tap[i];
        visit(d, rest, tap, ctx);
    }
}

static void load_weight(direct_conv *d, int64_t channel, const int64_t *tap, void *ctx) {
    (void)ctx;
    weight(d, channel, tap); /* known from here on to all that is inside */
}

static void add_term(direct_conv *d, int64_t channel, const int64_t *tap, void *ctx) {
    lt_value *sum = ctx, x = input(d, channel, tap), w = weight(d, channel, tap);
    if (x != LT_NONE && w != LT_NONE) *sum = lt_ternary(&d->c.a->b, TN_OP_fma, x, w, *sum);
}

static void element(void *ctx, tn_dim x) {
    direct_conv *d = ctx;
    lt_value sum = lt_const_int(&d->c.a->b, d->c.sum, 0);
    d->index[d->c.spatial + 1] = x;
    each_term(d, add_term, &sum);
    tn_dim at[TN_MAX_RANK];
    memcpy(at, d->index, sizeof at);
    conv_result_positions(&d->c, at + 2);
    lower_store_anchor(d->c.a, d->c.value, at, sum);
}

static void whole_row(direct_conv *d, bool guards_rows) {
    convolution *c = &d->c;
    int last = c->spatial - 1;
    tn_dim zero = dim_const(c->t, 0), extent = c->result.dims[last + 2], first, end, ignored;
    d->guards_rows = guards_rows;
    if (c->input_dilation[last] > 1) {
        d->guards_ends = true;
        lower_run(c->a, zero, extent, element, d);
        return;
    }
    conv_inside(c, 0, &first, &ignored);
    conv_inside(c, c->tap[last] - 1, &ignored, &end);
    end = dim_max(c->t, first, end);
    d->guards_ends = true;
    lower_run(c->a, zero, first, element, d);
    d->guards_ends = false;
    lower_run(c->a, first, end, element, d);
    d->guards_ends = true;
    lower_run(c->a, end, extent, element, d);
}

/* Whether all taps along the other axes lie inside; LT_NONE: always. */
static lt_value rows_inside(direct_conv *d) {
    convolution *c = &d->c;
    lt_value inside = LT_NONE;
    for (int i = 0; i + 1 < c->spatial; i++) {
        conv_position(c, i, d->index[i + 2], dim_const(c->t, 0), &inside);
        conv_position(c, i, d->index[i + 2], dim_const(c->t, c->tap[i] - 1), &inside);
    }
    return inside;
}

static void row(direct_conv *d) {
    access *a = d->c.a;
    each_term(d, load_weight, NULL);
    lt_value inside = rows_inside(d);
    if (inside == LT_NONE) {
        whole_row(d, false);
        return;
    }
    lt_block *outer = a->b.block;
    lt_stmt *branch = lt_open_if(&a->b, inside);
    whole_row(d, false);
    lt_else(&a->b, branch);
    whole_row(d, true);
    lt_close_if(&a->b, branch, outer);
}

static int64_t row_grain(const convolution *c) {
    int64_t width, channels = 1;
    if (!dim_is_const(c->t, c->result.dims[c->spatial + 1], &width) || width < 1) width = 64;
    if (width > CHUNK_MULTIPLY_ADDS) width = CHUNK_MULTIPLY_ADDS;
    dim_is_const(c->t, c->channels, &channels);
    int64_t work = width * c->taps * (channels > 0 ? channels : 1);
    return work >= CHUNK_MULTIPLY_ADDS ? 1 : CHUNK_MULTIPLY_ADDS / work;
}

static bool takes(const convolution *c) {
    int64_t channels;
    if (!dim_is_const(c->t, c->channels, &channels) || channels * c->taps > MOST_TERMS) return false;
    for (int i = 0; i + 1 < c->spatial && conv_phase_count(c) == 1; i++)
        if (c->input_dilation[i] > 1) return false; /* the middle taps may fall between elements */
    return true;
}

static void rows_stage(direct_conv *d) {
    lt_note(&d->c.a->b,
            "few output channels in a group: no product of matrices; a row of the result at a time, lanes along it");
    convolution *c = &d->c;
    access_loop rows;
    int n = c->spatial + 1;
    tn_dim number = access_open_rows(c->a, dim_product(c->t, c->result.dims, n), row_grain(c), &rows);
    access_unravel(c->a, number, n, c->result.dims, d->index);
    d->group = access_simplify(c->a, dim_floordiv(c->t, d->index[1], c->features));
    row(d);
    access_close_loop(c->a, &rows);
}

lt_kernel *conv_lower_direct(tn_graph *fused, const machine *m) {
    access a;
    direct_conv d = {0};
    if (!access_open(&a, fused, "conv", m)) return access_close(&a);
    if (!conv_read(&d.c, &a, lower_anchor(fused, TN_OP_conv)) || !takes(&d.c)) {
        access_close(&a);
        return lower_noted(map_lower(fused, m), m,
                           "a convolution whose terms are too many to be unrolled, or not known: each "
                           "element by itself");
    }
    convolution whole = d.c;
    for (int64_t i = 0; i < conv_phase_count(&whole); i++) {
        d.c = conv_phase(&whole, i);
        if (!conv_channels(&d.c, m) && !conv_flat(&d.c, m) && !conv_planes(&d.c, m)) rows_stage(&d);
    }
    return access_close(&a);
}
