/* Class winograd_kernel: one winograd_kernel with what was fused after it.
 *
 * in:  a fused function with one winograd_kernel whose operands come from outside, the other members elementwise on
 *      its result
 * out: chunks of some channels of a panel, lanes along its features. For each channel the taps of all features are
 *      laid out in scratch, multiplied with G there, and multiplied again on the way to the result: no more of what
 *      is between the kernel and its transform is ever in memory
 * law: each sum is one chain of multiply-adds, along the rows of taps first
 */
#include "compiler/loops/winograd.h"

enum {
    TAPS = 3,
    CHUNK_CHANNELS = 32, /* of a panel of 16 features: 18 KB of taps, read in 16 pieces */
};

typedef struct transform {
    access *a;
    dim_table *t;
    const node *n;
    tn_dim side, panel;
    uint32_t taps, products; /* scratch: [row][column][feature] of the kernel, and of it times G^T */
    tn_dim matrix, group, channel;
} transform;

/* Loops over the rows and columns of a matrix, and over the features that it is made of. */
typedef struct nest {
    access_loop rows, columns, features;
    tn_dim row, column, feature;
} nest;

static tn_dim constant(const transform *w, int64_t value) { return dim_const(w->t, value); }

static nest open_nest(transform *w, tn_dim rows, tn_dim columns) {
    nest s;
    s.rows = access_open_loop(w->a, LT_SERIAL, constant(w, 0), rows, 0, 0);
    s.row = access_counter(&s.rows);
    s.columns = access_open_loop(w->a, LT_SERIAL, constant(w, 0), columns, 0, 0);
    s.column = access_counter(&s.columns);
    uint32_t lanes = lower_lanes_for(w->a->fused, w->a->b.machine, w->panel);
    s.features = access_open_loop(w->a, LT_VECTOR, constant(w, 0), w->panel, lanes, 0);
    s.feature = access_counter(&s.features);
    return s;
}

static void close_nest(transform *w, nest *s) {
    access_close_loop(w->a, &s->features);
    access_close_loop(w->a, &s->columns);
    access_close_loop(w->a, &s->rows);
}

/* Where a feature stands in scratch that has so many columns. */
static tn_dim place(const transform *w, tn_dim row, tn_dim columns, tn_dim column, tn_dim feature) {
    tn_dim at = dim_add(w->t, dim_mul(w->t, row, columns), column);
    return access_simplify(w->a, dim_add(w->t, dim_mul(w->t, at, w->panel), feature));
}

typedef tn_dim tap_place(const transform *w, const nest *s, int64_t tap);

/* A row of G times three elements of scratch. */
static lt_value product(transform *w, tn_dim row, uint32_t from, tap_place *place_of, const nest *s) {
    lt_builder *b = &w->a->b;
    lt_value sum = LT_NONE;
    for (int64_t tap = 0; tap < TAPS && !b->failed; tap++) {
        tn_dim index[2] = {row, constant(w, tap)};
        lt_value g = access_value(w->a, w->n->operands[0], index);
        lt_value x = lt_load(b, from, place_of(w, s, tap), LT_NONE);
        sum = tap == 0 ? lt_binary(b, TN_OP_mul, g, x) : lt_ternary(b, TN_OP_fma, g, x, sum);
    }
    return sum;
}

static tn_dim in_row(const transform *w, const nest *s, int64_t tap) {
    return place(w, s->row, constant(w, TAPS), constant(w, tap), s->feature);
}

static tn_dim in_column(const transform *w, const nest *s, int64_t tap) {
    return place(w, constant(w, tap), w->side, s->column, s->feature);
}

static void lay_out_taps(transform *w) {
    nest s = open_nest(w, constant(w, TAPS), constant(w, TAPS));
    tn_dim index[6] = {w->matrix, s.row, s.column, w->group, w->channel, s.feature};
    lt_value x = access_value(w->a, w->n->operands[1], index);
    if (!w->a->b.failed)
        lt_store(&w->a->b, w->taps, place(w, s.row, constant(w, TAPS), s.column, s.feature), x, LT_NONE);
    close_nest(w, &s);
}

static void multiply_rows(transform *w) {
    nest s = open_nest(w, constant(w, TAPS), w->side);
    lt_value x = product(w, s.column, w->taps, in_row, &s);
    if (!w->a->b.failed) lt_store(&w->a->b, w->products, place(w, s.row, w->side, s.column, s.feature), x, LT_NONE);
    close_nest(w, &s);
}

static void multiply_columns(transform *w) {
    nest s = open_nest(w, w->side, w->side);
    tn_dim index[6] = {w->matrix, s.row, s.column, w->group, w->channel, s.feature};
    lower_store_anchor(w->a, w->n->first_result, index, product(w, s.row, w->products, in_column, &s));
    close_nest(w, &s);
}

static uint32_t scratch(transform *w, tn_dim columns, const char *name) {
    tn_dim elements = dim_mul(w->t, dim_mul_const(w->t, columns, TAPS), w->panel);
    return lt_add_buffer(&w->a->b, LT_SCRATCH, TN_F32, elements, name);
}

static void emit_stage(transform *w, const tn_dim *dims) {
    tn_dim blocks = dim_ceildiv(w->t, dims[4], constant(w, CHUNK_CHANNELS));
    tn_dim extents[3] = {dims[0], dims[3], blocks}, numbers[3];
    access_loop named[3];
    w->taps = scratch(w, constant(w, TAPS), "taps");
    w->products = scratch(w, w->side, "products");
    access_open_chunks(w->a, 3, extents, numbers, named);
    w->matrix = numbers[0];
    w->group = numbers[1];
    tn_dim first = dim_mul_const(w->t, numbers[2], CHUNK_CHANNELS);
    tn_dim end = dim_min(w->t, dim_add_const(w->t, first, CHUNK_CHANNELS), dims[4]);
    access_loop channels = access_open_loop(w->a, LT_SERIAL, first, access_simplify(w->a, end), 0, 0);
    w->channel = access_counter(&channels);
    access_know_range(w->a, w->channel, dims[4]);
    lay_out_taps(w);
    multiply_rows(w);
    multiply_columns(w);
    access_close_loop(w->a, &channels);
    access_close_chunks(w->a, 3, named);
}

bool winograd_kernel_takes(const tn_graph *fused) { return lower_anchor(fused, TN_OP_winograd_kernel) != NULL; }

lt_kernel *winograd_kernel_lower(tn_graph *fused, const machine *m) {
    access a;
    transform w = {.a = &a, .t = fused->module->dims, .n = lower_anchor(fused, TN_OP_winograd_kernel)};
    const tn_dim *dims = graph_type(fused, w.n->first_result)->dims;
    w.side = dims[1];
    w.panel = dims[5];
    if (access_open(&a, fused, "winograd_kernel", m)) emit_stage(&w, dims);
    return access_close(&a);
}
