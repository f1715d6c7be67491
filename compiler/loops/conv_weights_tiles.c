/* Class conv_weights by Winograd's algorithm: G^T (sum of (A dy A^T) * (B^T d B)) G.
 *
 * in:  a conv_weights with a tile
 * out: met       V[xi][tile][channel] = (B^T d B)[xi] of all tiles of all images, lanes along channels
 *      given     W[xi][tile][output channel] = (A dy A^T)[xi] alike
 *      products  M[xi] = W[xi]^T V[xi] for each plane xi: its depth runs over tiles
 *      results   G^T M G
 * law: each sum is one FMA chain over images, then tiles, row-major
 *
 * Where all of M fits near caches, chunks are planes, so that V and W are read once; else they are parts of the
 * result, and a chunk keeps its part of M for itself.
 */
#include "compiler/loops/conv_weights.h"
#include "compiler/loops/winograd.h"

enum {
    TILE = 4,
    SIDE = TILE + 2,
    PLANES = SIDE * SIDE,
    TAPS = 3,
    LINE = 16,            /* elements */
    DEPTH_BLOCK = 96,     /* tiles that the L1 holds for a part of the channels */
    MOST_BYTES = 4 << 20, /* of M, when chunks are planes */
    PART = 64,            /* output channels and channels of a part */
};

/* One operand and its transform: planes of tiles of channels. */
typedef struct transformed {
    channel_rows rows; /* of a tile row, in scratch */
    int64_t reach;     /* rows and columns of a tile */
    int64_t pitch;     /* from one tile to the next */
    tn_dim plane;
    uint32_t buffer;
} transformed;

typedef struct tiling {
    conv_weights *w;
    int64_t tiles[2]; /* of an image */
    tn_dim all;       /* tiles of all images */
    transformed met, given;
    uint32_t m;
    int64_t m_plane, m_row; /* elements of a plane, and of a row of it */
} tiling;

/* ---- Transforms ---- */

static lt_value multiply_add(lt_builder *b, double factor, lt_value x, lt_value y) {
    return lt_ternary(b, TN_OP_fma, lt_const_float(b, TN_F32, factor), x, y);
}

static lt_value multiply(lt_builder *b, double factor, lt_value x) {
    return lt_binary(b, TN_OP_mul, lt_const_float(b, TN_F32, factor), x);
}

static lt_value add(lt_builder *b, lt_value x, lt_value y) { return lt_binary(b, TN_OP_add, x, y); }
static lt_value sub(lt_builder *b, lt_value x, lt_value y) { return lt_binary(b, TN_OP_sub, x, y); }

/* A, four values `step` apart to six: what polynomials have at 0, +-3/4, +-3/2 and infinity. */
static void given_values(lt_builder *b, lt_value *x, int64_t step) {
    static const double points[] = {0.75, 1.5};
    lt_value d[TILE];
    for (int i = 0; i < TILE; i++) d[i] = x[i * step];
    x[5 * step] = d[3];
    for (int i = 0; i < 2; i++) {
        double p = points[i];
        lt_value even = multiply_add(b, p * p, d[2], d[0]), odd = multiply_add(b, p * p, d[3], d[1]);
        x[(2 * i + 1) * step] = multiply_add(b, p, odd, even);
        x[(2 * i + 2) * step] = multiply_add(b, -p, odd, even);
    }
}

/* G^T, six values `step` apart to three. */
static void kernel_values(lt_builder *b, lt_value *x, int64_t step) {
    lt_value near_even = add(b, x[step], x[2 * step]), near_odd = sub(b, x[step], x[2 * step]),
             far_even = add(b, x[3 * step], x[4 * step]), far_odd = sub(b, x[3 * step], x[4 * step]),
             last = x[5 * step];
    x[0] = multiply_add(b, 64. / 81, x[0], multiply_add(b, -128. / 243, near_even, multiply(b, 32. / 243, far_even)));
    x[step] = multiply_add(b, -96. / 243, near_odd, multiply(b, 48. / 243, far_odd));
    x[2 * step] = multiply_add(b, -72. / 243, near_even, multiply_add(b, 72. / 243, far_even, last));
}

static void transform_met(lt_builder *b, lt_value *d) { winograd_input(b, TILE, d); }

static void transform_given(lt_builder *b, lt_value *d) {
    for (int i = 0; i < TILE; i++) given_values(b, d + (ptrdiff_t)i * SIDE, 1);
    for (int i = 0; i < SIDE; i++) given_values(b, d + i, SIDE);
}

static void transform_sums(lt_builder *b, lt_value *m) {
    for (int i = 0; i < SIDE; i++) kernel_values(b, m + (ptrdiff_t)i * SIDE, 1);
    for (int i = 0; i < TAPS; i++) kernel_values(b, m + i, SIDE);
}

/* ---- Operands ---- */

/* The tiles of a tile row, from scratch. */
static void transform_tiles(tiling *g, const transformed *s, tn_dim first,
                            void (*transform)(lt_builder *, lt_value *)) {
    conv_weights *w = g->w;
    access_loop tiles = cw_open_count(w, g->tiles[1]), lanes = cw_open_lanes(w, s->rows.channels);
    tn_dim tile = access_counter(&tiles), channel = access_counter(&lanes);
    lt_value d[PLANES] = {0};
    for (int64_t i = 0; i < s->reach; i++)
        for (int64_t j = 0; j < s->reach; j++) {
            int64_t from = i * channel_rows_line(&s->rows) + j * s->rows.pitch;
            tn_dim at = dim_add_const(w->t, cw_plus(w, channel, TILE * s->rows.pitch, tile), from);
            d[i * SIDE + j] = lt_load(&w->a->b, s->rows.buffer, access_simplify(w->a, at), LT_NONE);
        }
    if (!w->a->b.failed) transform(&w->a->b, d);
    tn_dim to = cw_plus(w, channel, s->pitch, dim_add(w->t, first, tile));
    for (int64_t xi = 0; xi < PLANES; xi++) cw_store(w, s->buffer, cw_plus(w, to, xi, s->plane), d[xi]);
    access_close_loop(w->a, &lanes);
    access_close_loop(w->a, &tiles);
}

/* A chunk is a tile row. */
static void operand_stage(tiling *g, transformed *s, const char *name, void (*transform)(lt_builder *, lt_value *)) {
    conv_weights *w = g->w;
    tn_dim extents[2] = {w->images, cw_number(w, g->tiles[0])}, number[2];
    access_loop named[2];
    s->buffer = lt_add_buffer(&w->a->b, LT_TEMP, TN_F32, dim_mul_const(w->t, s->plane, PLANES), name);
    s->rows.buffer =
        lt_add_buffer(&w->a->b, LT_SCRATCH, TN_F32, cw_number(w, s->reach * channel_rows_line(&s->rows)), "rows");
    s->rows.turned = lt_add_buffer(&w->a->b, LT_LOCAL, TN_F32, cw_number(w, channel_rows_turned(&s->rows)), "turned");
    access_open_chunks(w->a, 2, extents, number, named);
    access_loop rows = cw_open_count(w, s->reach);
    tn_dim row = cw_plus(w, access_counter(&rows), TILE, number[1]);
    channel_rows_copy(&s->rows, number[0], row,
                      dim_mul_const(w->t, access_counter(&rows), channel_rows_line(&s->rows)));
    access_close_loop(w->a, &rows);
    tn_dim tile_row = cw_plus(w, number[1], g->tiles[0], number[0]);
    transform_tiles(g, s, dim_mul_const(w->t, tile_row, g->tiles[1]), transform);
    access_close_chunks(w->a, 2, named);
}

/* ---- Products ---- */

typedef struct product_tile {
    tiling *g;
    const tn_dim *chunk;
    tn_dim plane, first, depth; /* tiles of the present block: the first, how many */
    tn_dim to;                  /* the plane in M */
} product_tile;

static void one_product(conv_weights *w, const void *ctx, tn_dim row, tn_dim column, int64_t n_rows,
                        int64_t n_columns) {
    const product_tile *p = ctx;
    const transformed *met = &p->g->met, *given = &p->g->given;
    dim_table *t = w->t;
    tn_dim r = dim_sub(t, row, cw_first(w, &w->rows, p->chunk[0])),
           j = dim_sub(t, column, cw_first(w, &w->columns, p->chunk[1]));
    lt_stmt *s = lt_tile(&w->a->b);
    s->tile.a = given->buffer;
    s->tile.b = met->buffer;
    s->tile.c = p->g->m;
    tn_dim a = cw_plus(w, dim_mul(t, p->plane, given->plane), given->pitch, p->first),
           b = cw_plus(w, dim_mul(t, p->plane, met->plane), met->pitch, p->first);
    s->tile.a_index = access_simplify(w->a, dim_add(t, a, row));
    s->tile.b_index = access_simplify(w->a, dim_add(t, b, column));
    s->tile.c_index = access_simplify(w->a, dim_add(t, p->to, cw_plus(w, j, p->g->m_row, r)));
    s->tile.a_row = cw_number(w, 1);
    s->tile.a_depth = cw_number(w, given->pitch);
    s->tile.b_depth = cw_number(w, met->pitch);
    s->tile.c_row = cw_number(w, p->g->m_row);
    s->tile.depth = p->depth;
    s->tile.mr = (uint32_t)n_rows;
    s->tile.nr = (uint32_t)n_columns;
    s->tile.accumulate = true;
}

/* A plane of the chunk's part of M. */
static void plane_products(tiling *g, const tn_dim *chunk, tn_dim plane) {
    conv_weights *w = g->w;
    dim_table *t = w->t;
    product_tile p = {.g = g, .chunk = chunk, .plane = plane, .to = dim_mul_const(t, plane, g->m_plane)};
    channel_rows_clear(w->a, g->m, w->sum, p.to, g->m_plane);
    tn_dim block = cw_number(w, DEPTH_BLOCK);
    access_loop blocks = access_open_loop(w->a, LT_SERIAL, cw_number(w, 0), dim_ceildiv(t, g->all, block), 0, 0);
    p.first = dim_mul_const(t, access_counter(&blocks), DEPTH_BLOCK);
    p.depth = access_simplify(w->a, dim_min(t, block, dim_sub(t, g->all, p.first)));
    cw_tiles(w, chunk, one_product, &p);
    access_close_loop(w->a, &blocks);
}

/* ---- Results ---- */

/* G^T M G of an output channel, row `from` of M's planes, into row `to` of the sums. */
static void transform_row(tiling *g, tn_dim from, tn_dim to, int64_t channels) {
    conv_weights *w = g->w;
    access_loop lanes = cw_open_lanes(w, channels);
    tn_dim channel = access_counter(&lanes);
    lt_value m[PLANES] = {0};
    tn_dim at = cw_plus(w, channel, g->m_row, from);
    for (int64_t xi = 0; xi < PLANES; xi++)
        m[xi] = lt_load(&w->a->b, g->m, access_simplify(w->a, dim_add_const(w->t, at, xi * g->m_plane)), LT_NONE);
    if (!w->a->b.failed) transform_sums(&w->a->b, m);
    for (int64_t tap = 0; tap < TAPS * TAPS; tap++) {
        tn_dim sum = dim_add_const(w->t, cw_plus(w, channel, w->row_pitch, to), tap * w->tap_pitch);
        cw_store(w, w->sums, sum, m[tap / TAPS * SIDE + tap % TAPS]);
    }
    access_close_loop(w->a, &lanes);
}

/* The chunk's part of the result; rows of M are counted from `first` on. */
static void chunk_results(tiling *g, const tn_dim *chunk, tn_dim first) {
    conv_weights *w = g->w;
    access_loop rows = access_open_loop(w->a, LT_SERIAL, cw_number(w, 0), cw_extent(w, &w->rows, chunk[0]), 0, 0);
    access_know_range(w->a, access_counter(&rows), cw_number(w, w->rows.chunk_extent));
    transform_row(g, dim_add(w->t, first, access_counter(&rows)), access_counter(&rows), w->columns.chunk_extent);
    access_close_loop(w->a, &rows);
    cw_store_chunk(w, chunk);
}

static void add_result_buffers(conv_weights *w) {
    w->tap_pitch = w->columns.chunk_extent;
    w->row_pitch = w->tap_pitch * TAPS * TAPS;
    w->sums = lt_add_buffer(&w->a->b, LT_SCRATCH, TN_F32, cw_number(w, w->rows.chunk_extent * w->row_pitch), "sums");
    w->turned = lt_add_buffer(&w->a->b, LT_LOCAL, TN_F32, cw_number(w, w->row_pitch), "row");
}

/* ---- Chunks ---- */

/* Of the products a chunk is a plane, of the results a tile's rows. */
static void by_planes(tiling *g, const blocking *how) {
    conv_weights *w = g->w;
    tn_dim all[2] = {cw_number(w, 0), cw_number(w, 0)}, planes = cw_number(w, PLANES), plane;
    access_loop named, rows;
    w->rows = cw_side(w->features, how->mr, w->features);
    w->columns = cw_side(w->channels, how->nr, w->channels);
    g->m_row = w->columns.chunk_extent;
    g->m_plane = w->rows.chunk_extent * g->m_row;
    g->m = lt_add_buffer(&w->a->b, LT_TEMP, TN_F32, cw_number(w, PLANES * g->m_plane), "m");
    access_open_chunks(w->a, 1, &planes, &plane, &named);
    plane_products(g, all, plane);
    access_close_chunks(w->a, 1, &named);
    w->rows = cw_side(w->features, how->mr, 1);
    add_result_buffers(w);
    tn_dim chunks = cw_number(w, w->rows.chunks), chunk[2] = {DIM_INVALID, cw_number(w, 0)};
    access_open_chunks(w->a, 1, &chunks, &chunk[0], &rows);
    chunk_results(g, chunk, cw_first(w, &w->rows, chunk[0]));
    access_close_chunks(w->a, 1, &rows);
}

static void by_parts(tiling *g, const blocking *how) {
    conv_weights *w = g->w;
    w->rows = cw_side(w->features, how->mr, PART / how->mr);
    w->columns = cw_side(w->channels, how->nr, PART / how->nr);
    g->m_row = w->columns.chunk_extent;
    g->m_plane = w->rows.chunk_extent * g->m_row;
    tn_dim extents[2] = {cw_number(w, w->rows.chunks), cw_number(w, w->columns.chunks)}, chunk[2];
    access_loop named[2];
    g->m = lt_add_buffer(&w->a->b, LT_SCRATCH, TN_F32, cw_number(w, PLANES * g->m_plane), "m");
    add_result_buffers(w);
    access_open_chunks(w->a, 2, extents, chunk, named);
    access_loop planes = cw_open_count(w, PLANES);
    plane_products(g, chunk, access_counter(&planes));
    access_close_loop(w->a, &planes);
    chunk_results(g, chunk, cw_number(w, 0));
    access_close_chunks(w->a, 2, named);
}

/* ---- Entry ---- */

static int64_t pitch_of(int64_t channels) {
    int64_t lines = cw_ceil_div(channels, LINE);
    return (lines % 8 ? lines : lines + 1) * LINE;
}

static void set_operand(tiling *g, transformed *s, const channel_rows *from, int64_t reach) {
    s->rows = *from;
    s->reach = reach;
    s->rows.pitch = cw_ceil_div(from->channels, LINE) * LINE;
    s->rows.extent[1] = (g->tiles[1] - 1) * TILE + reach;
    s->pitch = pitch_of(from->channels);
    /* A line more, so that planes fall into different sets. */
    s->plane = dim_add_const(g->w->t, dim_mul_const(g->w->t, g->all, s->pitch), LINE);
}

void cw_lower_tiles(conv_weights *w, const machine *m) {
    tiling g = {.w = w};
    for (int i = 0; i < 2; i++) g.tiles[i] = cw_ceil_div(w->places[i], TILE);
    g.all = dim_mul_const(w->t, w->images, g.tiles[0] * g.tiles[1]);
    blocking how = cw_blocking(w, m, w->channels);
    if (g.tiles[0] > 0 && g.tiles[1] > 0) {
        set_operand(&g, &g.met, &w->x, SIDE);
        set_operand(&g, &g.given, &w->dy, TILE);
    } else
        g.met.plane = g.given.plane = cw_number(w, 0);
    operand_stage(&g, &g.met, "met", transform_met);
    operand_stage(&g, &g.given, "given", transform_given);
    if (PLANES * w->features * w->channels * (int64_t)sizeof(float) <= MOST_BYTES)
        by_planes(&g, &how);
    else
        by_parts(&g, &how);
}
