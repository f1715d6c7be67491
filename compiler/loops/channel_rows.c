/* Operands laid out by positions, channels next to each other (see channel_rows.h).
 *
 * in:  a row of an operand, all its channels
 * out: the same with its channels next to each other
 * law: a copy, converted to the dtype that is asked for; zeros where the operand has nothing
 *
 * As many channels as a vector has lanes are read along their rows into a small buffer, and transposed from there; or
 * from the operand itself where it lies in rows.
 */
#include "compiler/loops/channel_rows.h"

static tn_dim constant(const channel_rows *s, int64_t value) { return dim_const(s->a->fused->module->dims, value); }

/* base + factor * d */
static tn_dim plus(const channel_rows *s, tn_dim base, int64_t factor, tn_dim d) {
    dim_table *t = s->a->fused->module->dims;
    return dim_add(t, base, dim_mul_const(t, d, factor));
}

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static access_loop open_count(const channel_rows *s, int64_t n) {
    return access_open_loop(s->a, LT_SERIAL, constant(s, 0), constant(s, n), 0, 0);
}

/* The positions of the copy that the operand has, along an axis. */
static void inside(const channel_rows *s, int axis, int64_t *first, int64_t *end) {
    int64_t step = s->step[axis], low = s->low[axis], extent = s->extent[axis];
    *first = low > 0 ? ceil_div(low, step) : 0;
    *end = s->in[axis] + low > 0 ? ceil_div(s->in[axis] + low, step) : 0;
    if (*end > extent) *end = extent;
    if (*first > *end) *first = *end;
}

void channel_rows_clear(access *a, uint32_t buffer, tn_dtype dtype, tn_dim at, int64_t n) {
    dim_table *t = a->fused->module->dims;
    if (n <= 0) return;
    uint32_t lanes = lower_lanes_for(a->fused, a->b.machine, dim_const(t, n));
    access_loop loop = access_open_loop(a, LT_VECTOR, dim_const(t, 0), dim_const(t, n), lanes, 0);
    tn_dim to = access_simplify(a, dim_add(t, at, access_counter(&loop)));
    lt_store(&a->b, buffer, to, lt_const_int(&a->b, dtype, 0), LT_NONE);
    access_close_loop(a, &loop);
}

/* Whole vectors of columns, so that the transposes read what has been stored. */
static int64_t turned_pitch(const channel_rows *s) {
    int64_t first, end;
    inside(s, 1, &first, &end);
    return ceil_div(end - first, s->lanes) * s->lanes;
}

int64_t channel_rows_turned(const channel_rows *s) {
    int64_t elements = s->lanes * turned_pitch(s);
    return elements > 0 ? elements : 1;
}

/* A row being laid out. */
typedef struct row_copy {
    const channel_rows *s;
    tn_dim image, row; /* of the operand */
    tn_dim at;
    int64_t first, end; /* columns that the operand has */
} row_copy;

/* ---- Channels of a row ---- */

static bool lies_in_rows(const channel_rows *s) {
    const source *from = &s->a->sources[s->value];
    return from->kind == SOURCE_BUFFER && s->step[1] == 1 &&
           (tn_dtype)graph_type(s->a->fused, s->value)->dtype == s->dtype &&
           dim_is_value(s->a->fused->module->dims, from->stride[1 + s->spatial], 1);
}

/* Where the transposes read channels from `from` on: the operand, or its copy by read_channels. */
static lt_matrix matrix_of(const row_copy *r, tn_dim from, tn_dim column) {
    const channel_rows *s = r->s;
    dim_table *t = s->a->fused->module->dims;
    const source *place = &s->a->sources[s->value];
    if (!lies_in_rows(s)) return (lt_matrix){s->turned, access_simplify(s->a, column), constant(s, turned_pitch(s))};
    tn_dim at = dim_add(t, place->base, dim_mul(t, r->image, place->stride[0]));
    at = dim_add(t, at, dim_mul(t, from, place->stride[1]));
    if (s->spatial > 1) at = dim_add(t, at, dim_mul(t, r->row, place->stride[2]));
    at = dim_add_const(t, dim_add(t, at, column), r->first - s->low[1]);
    return (lt_matrix){place->buffer, access_simplify(s->a, at), place->stride[1]};
}

static void read_channels(const row_copy *r, tn_dim from, int64_t n) {
    const channel_rows *s = r->s;
    access *a = s->a;
    tn_dim width = constant(s, r->end - r->first), index[4] = {r->image};
    access_loop channels = open_count(s, n);
    access_loop columns =
        access_open_loop(a, LT_VECTOR, constant(s, 0), width, lower_lanes_for(a->fused, a->b.machine, width), 0);
    tn_dim channel = access_counter(&channels), column = access_counter(&columns);
    index[1] = dim_add(a->fused->module->dims, from, channel);
    if (s->spatial > 1) index[2] = r->row;
    index[1 + s->spatial] = plus(s, constant(s, r->first * s->step[1] - s->low[1]), s->step[1], column);
    lt_value x = access_value(a, s->value, index);
    if (x != LT_NONE) {
        tn_dim to = access_simplify(a, plus(s, column, turned_pitch(s), channel));
        lt_store(&a->b, s->turned, to, lt_convert(&a->b, x, s->dtype), LT_NONE);
    }
    access_close_loop(a, &columns);
    access_close_loop(a, &channels);
}

static void transpose_columns(const row_copy *r, tn_dim from, int64_t n, tn_dim column, int64_t some) {
    const channel_rows *s = r->s;
    dim_table *t = s->a->fused->module->dims;
    tn_dim to = dim_add(t, r->at, plus(s, from, s->pitch, dim_add_const(t, column, r->first)));
    lt_matrix copy = {s->buffer, access_simplify(s->a, to), constant(s, s->pitch)};
    lt_transpose(&s->a->b, matrix_of(r, from, column), copy, n, some);
}

/* Channels [from, from + n). */
static void copy_channels(const row_copy *r, tn_dim from, int64_t n) {
    const channel_rows *s = r->s;
    int64_t whole = (r->end - r->first) / s->lanes, rest = (r->end - r->first) % s->lanes;
    if (!lies_in_rows(s)) read_channels(r, from, n);
    if (whole) {
        access_loop loop = open_count(s, whole);
        tn_dim column = dim_mul_const(s->a->fused->module->dims, access_counter(&loop), s->lanes);
        transpose_columns(r, from, n, column, s->lanes);
        access_close_loop(s->a, &loop);
    }
    if (rest) transpose_columns(r, from, n, constant(s, whole * s->lanes), rest);
}

/* ---- Rows ---- */

static void copy_row(const row_copy *r) {
    const channel_rows *s = r->s;
    dim_table *t = s->a->fused->module->dims;
    int64_t whole = s->channels / s->lanes, rest = s->channels % s->lanes;
    channel_rows_clear(s->a, s->buffer, s->dtype, r->at, r->first * s->pitch);
    if (whole && r->first < r->end) {
        access_loop loop = open_count(s, whole);
        copy_channels(r, dim_mul_const(t, access_counter(&loop), s->lanes), s->lanes);
        access_close_loop(s->a, &loop);
    }
    if (rest && r->first < r->end) copy_channels(r, constant(s, whole * s->lanes), rest);
    tn_dim behind = dim_add_const(t, r->at, r->end * s->pitch);
    channel_rows_clear(s->a, s->buffer, s->dtype, behind, (s->extent[1] - r->end) * s->pitch);
}

void channel_rows_copy(const channel_rows *s, tn_dim image, tn_dim row, tn_dim at) {
    row_copy r = {.s = s, .image = image, .row = plus(s, constant(s, -s->low[0]), s->step[0], row), .at = at};
    inside(s, 1, &r.first, &r.end);
    lt_builder *b = &s->a->b;
    lt_value is_inside = access_within(s->a, r.row, constant(s, 0), constant(s, s->in[0]));
    if (is_inside == LT_NONE) {
        copy_row(&r);
        return;
    }
    lt_block *outer = b->block;
    lt_stmt *branch = lt_open_if(b, is_inside);
    copy_row(&r);
    lt_else(b, branch);
    channel_rows_clear(s->a, s->buffer, s->dtype, at, channel_rows_line(s));
    lt_close_if(b, branch, outer);
}
