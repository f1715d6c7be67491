/* A convolution's input as its windows meet it, padding included.
 *
 * in:  a convolution of known sizes along its spatial axes
 * out: a buffer and strides: the input's own where nothing is padded, else those of a copy with zeros around, made by
 *      a stage
 */
#include "compiler/loops/conv.h"
#include "runtime/fault.h"

enum { CHUNK_ELEMENTS = 16384 /* copied by a chunk */ };

/* One row of the copy. */
typedef struct padded_row {
    convolution *c;
    uint32_t buffer;
    tn_dim to, low;            /* offset of the row; of the input's first element in it */
    tn_dim index[TN_MAX_RANK]; /* of the input; the last axis is filled in */
    lt_value inside;           /* the input has this row; LT_NONE: always */
} padded_row;

/* Positions along an axis that windows reach. */
static int64_t reached(const convolution *c, int axis) {
    int64_t result = 0;
    dim_is_const(c->t, c->result.dims[axis + 2], &result);
    return (result - 1) * c->stride[axis] + (c->tap[axis] - 1) * c->dilation[axis] + 1;
}

static bool needs_copy(const convolution *c) {
    const source *s = &c->a->sources[c->conv->operands[0]];
    if (s->kind != SOURCE_BUFFER || (tn_dtype)c->input->dtype != c->sum) return true;
    for (int i = 0; i < c->spatial; i++) {
        int64_t extent = 0;
        dim_is_const(c->t, c->input->dims[i + 2], &extent);
        if (!dim_is_value(c->t, c->low[i], 0) || reached(c, i) > extent) return true;
    }
    return false;
}

static void put(padded_row *r, tn_dim x, lt_value value) {
    access *a = r->c->a;
    if (value != LT_NONE) lt_store(&a->b, r->buffer, access_simplify(a, dim_add(r->c->t, r->to, x)), value, LT_NONE);
}

static void copy_element(void *ctx, tn_dim x) {
    padded_row *r = ctx;
    r->index[r->c->spatial + 1] = dim_sub(r->c->t, x, r->low);
    put(r, x, conv_element(r->c, r->index, r->inside));
}

static void clear_element(void *ctx, tn_dim x) {
    padded_row *r = ctx;
    put(r, x, lt_const_int(&r->c->a->b, r->c->sum, 0));
}

static void copy_row(padded_row *r, int64_t pitch) {
    convolution *c = r->c;
    dim_table *t = c->t;
    tn_dim zero = dim_const(t, 0), whole = dim_const(t, pitch), extent = c->input->dims[c->spatial + 1];
    tn_dim first = dim_max(t, zero, dim_min(t, r->low, whole)), end = dim_add(t, r->low, extent);
    end = dim_max(t, first, dim_min(t, end, whole));
    lower_run(c->a, zero, first, clear_element, r);
    lower_run(c->a, first, end, copy_element, r);
    lower_run(c->a, end, whole, clear_element, r);
}

/* All planes of all images, a row at a time. */
static conv_view copy_padded(convolution *c) {
    dim_table *t = c->t;
    int last = c->spatial - 1;
    int64_t pitch = reached(c, last), lines = c->spatial > 1 ? reached(c, 0) : 1, grain = CHUNK_ELEMENTS / pitch;
    tn_dim planes = dim_mul(t, c->input->dims[0], c->channels), at[3];
    tn_dim extents[3] = {c->input->dims[0], c->channels, dim_const(t, lines)};
    tn_dim rows = dim_mul_const(t, planes, lines), row_elements = dim_const(t, pitch);
    padded_row r = {.c = c, .low = c->low[last], .inside = LT_NONE};
    r.buffer = lt_add_buffer(&c->a->b, LT_TEMP, c->sum, dim_mul(t, rows, row_elements), "padded");
    access_loop loop;
    tn_dim row = access_open_rows(c->a, rows, grain > 0 ? grain : 1, &loop);
    access_unravel(c->a, row, 3, extents, at);
    r.to = dim_mul(t, row, row_elements);
    r.index[0] = at[0];
    r.index[1] = at[1];
    if (c->spatial > 1) {
        r.index[2] = dim_sub(t, at[2], c->low[FAULT(conv_pad_rows) ? last : 0]);
        r.inside = access_within(c->a, r.index[2], dim_const(t, 0), c->input->dims[2]);
    }
    copy_row(&r, pitch);
    access_close_loop(c->a, &loop);
    conv_view v = {.buffer = r.buffer, .base = dim_const(t, 0), .channel = dim_const(t, lines * pitch)};
    v.image = dim_mul(t, v.channel, c->channels);
    v.at[0] = row_elements;
    v.at[last] = dim_const(t, 1);
    return v;
}

conv_view conv_padded(convolution *c) {
    const source *s = &c->a->sources[c->conv->operands[0]];
    if (needs_copy(c)) return copy_padded(c);
    conv_view v = {.buffer = s->buffer, .base = s->base, .image = s->stride[0], .channel = s->stride[1]};
    for (int i = 0; i < c->spatial; i++) v.at[i] = s->stride[i + 2];
    return v;
}
