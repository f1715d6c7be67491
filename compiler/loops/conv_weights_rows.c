/* Operands of class conv_weights laid out by positions: [row][column][channel], padding included.
 *
 * in:  a row of an operand, all its channels
 * out: the same with its channels next to each other
 * law: a copy, converted to the sum's dtype; zeros where the operand has nothing
 *
 * As many channels as a vector has lanes are read along their rows into a small buffer, and transposed from there.
 */
#include "compiler/loops/conv_weights.h"

/* The positions of the copy that the operand has, along an axis. */
static void inside(const laid_out *s, int axis, int64_t *first, int64_t *end) {
    int64_t step = s->step[axis], low = s->low[axis], extent = s->extent[axis];
    *first = low > 0 ? cw_ceil_div(low, step) : 0;
    *end = s->in[axis] + low > 0 ? cw_ceil_div(s->in[axis] + low, step) : 0;
    if (*end > extent) *end = extent;
    if (*first > *end) *first = *end;
}

void cw_clear(conv_weights *w, uint32_t buffer, tn_dim at, int64_t n) {
    if (n <= 0) return;
    access_loop loop = cw_open_lanes(w, n);
    cw_store(w, buffer, dim_add(w->t, at, access_counter(&loop)), lt_const_int(&w->a->b, w->sum, 0));
    access_close_loop(w->a, &loop);
}

/* Whole vectors of columns, so that the transposes read what has been stored. */
static int64_t turned_pitch(const conv_weights *w, const laid_out *s) {
    int64_t first, end;
    inside(s, 1, &first, &end);
    return cw_ceil_div(end - first, w->lanes) * w->lanes;
}

int64_t cw_turned_elements(const conv_weights *w, const laid_out *s) {
    int64_t elements = w->lanes * turned_pitch(w, s);
    return elements > 0 ? elements : 1;
}

/* A row being laid out. */
typedef struct row_copy {
    const laid_out *s;
    tn_dim image, row; /* of the operand */
    uint32_t buffer, turned;
    tn_dim at;
} row_copy;

static void read_channels(conv_weights *w, const row_copy *r, tn_dim from, int64_t n) {
    int64_t first, end;
    inside(r->s, 1, &first, &end);
    access_loop channels = cw_open_count(w, n), columns = cw_open_lanes(w, end - first);
    tn_dim channel = access_counter(&channels), column = access_counter(&columns), index[4] = {r->image};
    index[1] = dim_add(w->t, from, channel);
    if (w->spatial > 1) index[2] = r->row;
    index[1 + w->spatial] = cw_plus(w, cw_number(w, first * r->s->step[1] - r->s->low[1]), r->s->step[1], column);
    lt_value x = access_value(w->a, r->s->value, index);
    if (x != LT_NONE)
        cw_store(w, r->turned, cw_plus(w, column, turned_pitch(w, r->s), channel), lt_convert(&w->a->b, x, w->sum));
    access_close_loop(w->a, &columns);
    access_close_loop(w->a, &channels);
}

static void transpose_columns(conv_weights *w, const row_copy *r, tn_dim from, int64_t n, tn_dim column, int64_t some) {
    int64_t first, end, pitch = r->s->pitch;
    inside(r->s, 1, &first, &end);
    tn_dim to = dim_add(w->t, r->at, cw_plus(w, from, pitch, dim_add_const(w->t, column, first)));
    lt_transpose(&w->a->b, (lt_matrix){r->turned, access_simplify(w->a, column), cw_number(w, turned_pitch(w, r->s))},
                 (lt_matrix){r->buffer, access_simplify(w->a, to), cw_number(w, pitch)}, n, some);
}

/* Channels [from, from + n). */
static void copy_channels(conv_weights *w, const row_copy *r, tn_dim from, int64_t n) {
    int64_t first, end;
    inside(r->s, 1, &first, &end);
    int64_t whole = (end - first) / w->lanes, rest = (end - first) % w->lanes;
    read_channels(w, r, from, n);
    if (whole) {
        access_loop loop = cw_open_count(w, whole);
        transpose_columns(w, r, from, n, dim_mul_const(w->t, access_counter(&loop), w->lanes), w->lanes);
        access_close_loop(w->a, &loop);
    }
    if (rest) transpose_columns(w, r, from, n, cw_number(w, whole * w->lanes), rest);
}

static void copy_row(conv_weights *w, const row_copy *r) {
    int64_t first, end, channels = r->s->channels, whole = channels / w->lanes, rest = channels % w->lanes;
    inside(r->s, 1, &first, &end);
    cw_clear(w, r->buffer, r->at, first * r->s->pitch);
    if (whole && first < end) {
        access_loop loop = cw_open_count(w, whole);
        copy_channels(w, r, dim_mul_const(w->t, access_counter(&loop), w->lanes), w->lanes);
        access_close_loop(w->a, &loop);
    }
    if (rest && first < end) copy_channels(w, r, cw_number(w, whole * w->lanes), rest);
    cw_clear(w, r->buffer, dim_add_const(w->t, r->at, end * r->s->pitch), (r->s->extent[1] - end) * r->s->pitch);
}

void cw_lay_out_row(conv_weights *w, const laid_out *s, tn_dim image, tn_dim row, uint32_t buffer, tn_dim at,
                    uint32_t turned) {
    tn_dim from = cw_plus(w, cw_number(w, -s->low[0]), s->step[0], row);
    row_copy r = {s, image, from, buffer, turned, at};
    lt_value is_inside = access_within(w->a, from, cw_number(w, 0), cw_number(w, s->in[0]));
    if (is_inside == LT_NONE) {
        copy_row(w, &r);
        return;
    }
    lt_block *outer = w->a->b.block;
    lt_stmt *branch = lt_open_if(&w->a->b, is_inside);
    copy_row(w, &r);
    lt_else(&w->a->b, branch);
    cw_clear(w, buffer, at, s->extent[1] * s->pitch);
    lt_close_if(&w->a->b, branch, outer);
}
