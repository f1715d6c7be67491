/* Class conv for few output channels a group (depthwise) on small planes: lanes run along the whole plane.
 *
 * in:  a convolution along two axes of known extents with stride 1, the result as large as the input
 * out: a stage of planes. Under a tap, neighbours of the plane meet neighbours of the input, beyond the ends of rows
 *      too: so each vector has code of its own, in which the lanes that meet nothing are a mask known when compiling
 * law: one FMA chain over channels, then taps; what lies beyond the input is left out of the chain (a vector), or
 *      is 0 (a lane)
 */
#include "compiler/loops/conv.h"

enum {
    MOST_TERMS = 16,   /* of an element */
    MOST_VECTORS = 16, /* of a plane */
    VECTOR_COST = 2,   /* of a row's in rows of planes (class_conv_plane.c) */
    CHUNK_MULTIPLY_ADDS = 1 << 15,
    Y = 0,
    X = 1,
};

typedef struct flat_plane {
    convolution c;
    int64_t extent[2], low[2], channels, lanes, vectors;
    tn_dim index[4]; /* image, output channel, y, x */
    tn_dim channel;  /* first input channel */
} flat_plane;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static tn_dim number(const flat_plane *p, int64_t n) { return dim_const(p->c.t, n); }

static int64_t elements(const flat_plane *p) { return p->extent[Y] * p->extent[X]; }

/* From a position to what the tap meets. */
static int64_t offset(const flat_plane *p, int axis, int64_t tap) { return tap * p->c.dilation[axis] - p->low[axis]; }

/* ---- What is met ---- */

static bool is_met(const flat_plane *p, int64_t position, int64_t dy, int64_t dx) {
    int64_t y = position / p->extent[X] + dy, x = position % p->extent[X] + dx;
    return y >= 0 && y < p->extent[Y] && x >= 0 && x < p->extent[X];
}

/* Lanes of the vector that meet something and stand for an element of the result. */
static int64_t lanes_met(const flat_plane *p, int64_t first, int64_t dy, int64_t dx) {
    int64_t n = 0;
    for (int64_t i = first; i < first + p->lanes && i < elements(p); i++) n += is_met(p, i, dy, dx);
    return n;
}

static lt_value within(flat_plane *p, int64_t axis, tn_dim at) {
    return access_within(p->c.a, at, number(p, 0), number(p, p->extent[axis]));
}

/* The input under tap (ty, tx) of the vector at `first`; LT_NONE: nothing. */
static lt_value read(flat_plane *p, int64_t first, int64_t channel, int64_t ty, int64_t tx) {
    access *a = p->c.a;
    int64_t dy = offset(p, Y, ty), dx = offset(p, X, tx), met = lanes_met(p, first, dy, dx);
    if (met == 0) return LT_NONE;
    tn_dim y = dim_add_const(p->c.t, p->index[2], dy), x = dim_add_const(p->c.t, p->index[3], dx);
    tn_dim index[4] = {p->index[0], dim_add_const(p->c.t, p->channel, channel), y, x};
    if (met == p->lanes) return conv_element(&p->c, index, LT_NONE);
    lt_value former = access_push_guard(a, within(p, Y, y)), inside;
    access_push_guard(a, within(p, X, x));
    inside = a->guard;
    a->guard = former;
    return conv_element(&p->c, index, inside);
}

static lt_value weight(flat_plane *p, int64_t channel, int64_t ty, int64_t tx) {
    convolution *c = &p->c;
    tn_dim taps[2] = {number(p, ty), number(p, tx)}, index[4] = {p->index[1], number(p, channel)};
    conv_kernel_taps(c, taps, index + 2);
    lt_value w = access_value(c->a, c->conv->operands[1], index);
    return w == LT_NONE ? w : lt_convert(&c->a->b, w, c->sum);
}

/* ---- The plane ---- */

typedef void term_body(flat_plane *p, int64_t channel, int64_t ty, int64_t tx, void *ctx);

static void each_term(flat_plane *p, term_body *body, void *ctx) {
    for (int64_t channel = 0; channel < p->channels; channel++)
        for (int64_t ty = 0; ty < p->c.tap[Y]; ty++)
            for (int64_t tx = 0; tx < p->c.tap[X] && !p->c.a->b.failed; tx++) body(p, channel, ty, tx, ctx);
}

static void load_weight(flat_plane *p, int64_t channel, int64_t ty, int64_t tx, void *ctx) {
    (void)ctx;
    weight(p, channel, ty, tx); /* known from here on to all vectors */
}

typedef struct flat_vector {
    int64_t first;
    lt_value sum;
} flat_vector;

static void add_term(flat_plane *p, int64_t channel, int64_t ty, int64_t tx, void *ctx) {
    flat_vector *v = ctx;
    lt_value x = read(p, v->first, channel, ty, tx), w = weight(p, channel, ty, tx);
    if (x != LT_NONE && w != LT_NONE) v->sum = lt_ternary(&p->c.a->b, TN_OP_fma, x, w, v->sum);
}

static void run_vector(flat_plane *p, int64_t first) {
    access *a = p->c.a;
    flat_vector v = {.first = first};
    access_loop lanes =
        access_open_loop(a, LT_VECTOR, number(p, first), number(p, first + p->lanes), (uint32_t)p->lanes, 0);
    tn_dim extents[2] = {number(p, p->extent[Y]), number(p, p->extent[X])};
    access_unravel(a, access_counter(&lanes), 2, extents, p->index + 2);
    v.sum = lt_const_int(&a->b, p->c.sum, 0);
    lt_value former = a->guard;
    if (first + p->lanes > elements(p))
        access_push_guard(a, access_within(a, access_counter(&lanes), number(p, 0), number(p, elements(p))));
    each_term(p, add_term, &v);
    tn_dim at[4] = {p->index[0], p->index[1], p->index[2], p->index[3]};
    conv_result_positions(&p->c, at + 2);
    lower_store_anchor(a, p->c.value, at, v.sum);
    a->guard = former;
    access_close_loop(a, &lanes);
}

static void planes_stage(flat_plane *p) {
    convolution *c = &p->c;
    int64_t work = p->vectors * p->lanes * c->taps * p->channels;
    tn_dim features = c->kernel->dims[0], extents[2] = {c->input->dims[0], features};
    access_loop loop;
    tn_dim plane = access_open_rows(c->a, dim_product(c->t, extents, 2), ceil_div(CHUNK_MULTIPLY_ADDS, work), &loop);
    access_unravel(c->a, plane, 2, extents, p->index);
    tn_dim group = access_simplify(c->a, dim_floordiv(c->t, p->index[1], c->features));
    p->channel = dim_mul_const(c->t, group, p->channels);
    each_term(p, load_weight, NULL);
    for (int64_t v = 0; v < p->vectors; v++) run_vector(p, v * p->lanes);
    access_close_loop(c->a, &loop);
}

/* ---- Shape ---- */

static bool has_sizes(flat_plane *p) {
    const convolution *c = &p->c;
    tn_dtype own = (tn_dtype)c->input->dtype;
    if (c->spatial != 2 || !c->input_is_plain || (own != TN_F32 && own != TN_F64)) return false;
    if (!dim_is_const(c->t, c->channels, &p->channels) || p->channels < 1 || p->channels * c->taps > MOST_TERMS)
        return false;
    for (int i = 0; i < 2; i++) {
        if (c->stride[i] != 1 || c->input_dilation[i] != 1 || c->input->dims[i + 2] != c->result.dims[i + 2] ||
            !dim_is_const(c->t, c->input->dims[i + 2], &p->extent[i]) || !dim_is_const(c->t, c->low[i], &p->low[i]))
            return false;
        if (p->extent[i] < 1 || p->extent[i] > INT16_MAX) return false;
    }
    return true;
}

bool conv_flat(const convolution *c, const machine *m) {
    flat_plane p = {.c = *c};
    if (m->vector_bytes < 32 || !has_sizes(&p)) return false;
    p.lanes = lower_lanes(c->a->fused, m);
    p.vectors = ceil_div(elements(&p), p.lanes);
    /* Here each tap loads for itself, most often across two lines; there an element serves several rows. */
    int64_t in_rows = p.extent[Y] * ceil_div(p.extent[X], p.lanes);
    if (p.vectors > MOST_VECTORS || p.vectors * VECTOR_COST >= in_rows) return false;
    lt_note(&c->a->b,
            "depthwise on a small plane: lanes run along the whole plane, %lld vectors of %lld, the lanes that meet "
            "nothing of the input masked",
            (long long)p.vectors, (long long)p.lanes);
    planes_stage(&p);
    return true;
}
