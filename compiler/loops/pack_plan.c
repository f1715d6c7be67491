/* How a product is cut: tile, chunks, blocks of k, what is packed.
 *
 * in:  a product's shape as far as it is static, the machine
 * out: its blocking
 * law: nothing here changes a bit of the result; nothing depends on the number of threads
 */
#include "compiler/loops/pack.h"

enum {
    UNKNOWN_EXTENT = 1680, /* taken for symbolic ones: divisible by most tiles */
    MOST_VECTORS = 4,      /* of B in a tile */
    LATENCY = 8,           /* multiply-adds under way at least */
    ALIAS_BYTES = 4096,    /* rows of A in place that far apart share sets of the L1 */
    ALIASED_ROWS = 8,
    CHUNK_ROW_TILES = 16,
    CHAIN_ROW_TILES = 4,
    CHUNK_MULTIPLY_ADDS = 1 << 25,
    LEAST_MULTIPLY_ADDS = 1 << 17,
    LEAST_CHUNKS = 16,     /* if they have as much to do */
    LEAST_ROW_TILES = 2,   /* share the asking for the next panel */
    STEP_COLUMNS = 512,    /* of B packed by steps, in a chunk */
    STEP_ROW_TILES = 36,   /* in a chunk that packs its own part of B */
    STEP_ROWS = 256,       /* of A (or symbolic): chunks pack B */
    FAR_STEP_BYTES = 1024, /* of A in place: lines of few to a page, that each panel would meet again */
    FEW_CHUNKS = 8,        /* with fewer B is packed once for all, and rows are split */
    MOST_POSITIONS = 512,  /* of a pointwise convolution beside which weights are better B: they stay in the L2 */
    THIN_DEPTH = 8,        /* rows of B read at a time where it streams past few rows of A: as many streams */
    THIN_RUN = 4096,       /* bytes of each, at least: memory is read ahead within a page */
};

/* Half cycles: for an element that a kernel meets, copied by itself, or with its neighbours; for one of a result that
 * is turned to be stored. */
#define GATHER_COST 6
#define COPY_COST 0.6
#define TURN_COST 0.75

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t or_unknown(int64_t extent) { return extent < 0 ? UNKNOWN_EXTENT : extent; }

/* ---- The tile ---- */

/* Half cycles that a step of k takes in a tile of that size: two multiply-adds or two loads a cycle, and
 * no fewer than keep the units busy. */
static int64_t step_cost(int64_t rows, int64_t vectors) { return most(most(rows * vectors, rows + vectors), LATENCY); }

/* Cost of all tiles for one step of k; tiles that read less for what they compute come a
 * little cheaper. */
static double tiling_cost(const product_shape *s, int64_t mr, int64_t vectors, int64_t lanes) {
    int64_t nr = vectors * lanes, rows = or_unknown(s->rows), columns = or_unknown(s->columns);
    int64_t whole_rows = rows / mr, rest_rows = rows % mr, whole = columns / nr, rest = ceil_div(columns % nr, lanes);
    double cost = (double)(whole_rows * whole * step_cost(mr, vectors));
    if (rest) cost += (double)(whole_rows * step_cost(mr, rest));
    if (rest_rows) cost += (double)(whole * step_cost(rest_rows, vectors));
    if (rest && rest_rows) cost += (double)step_cost(rest_rows, rest);
    return cost * (1 + 0.5 / (double)mr + 0.5 / (double)nr);
}

static bool is_aliased(const product_shape *s) { return s->row_bytes > 0 && s->row_bytes % ALIAS_BYTES == 0; }

static double choose_tile(const machine *m, const product_shape *s, bool packs_a, blocking *b) {
    machine_tile full = s->element_bytes == 8 ? m->tile_f64 : m->tile_f32;
    int64_t lanes = machine_lanes(m, 8 * s->element_bytes), sums = full.mr * ceil_div(full.nr, lanes);
    double best = -1;
    b->mr = 1;
    b->nr = lanes;
    for (int64_t vectors = 1; vectors <= (s->is_narrow ? 1 : MOST_VECTORS); vectors++) {
        if (s->panel && s->panel != vectors * lanes) continue;
        int64_t highest = least(sums / vectors, 2 * full.mr);
        if (!packs_a && is_aliased(s)) highest = least(highest, ALIASED_ROWS);
        for (int64_t mr = highest; mr >= 1 && mr >= highest / 2; mr--) {
            if (s->tile_rows && mr != s->tile_rows) continue;
            double cost = tiling_cost(s, mr, vectors, lanes);
            if (best >= 0 && cost >= best) continue;
            best = cost;
            b->mr = mr;
            b->nr = vectors * lanes;
        }
    }
    while (!s->panel && s->columns > 0 && b->nr > 1 && b->nr / 2 >= s->columns) b->nr /= 2;
    return best;
}

/* ---- Chunks ---- */

/* `n` tiles in groups of at most `limit`, as equal as can be. */
static int64_t balanced(int64_t n, int64_t limit) {
    limit = most(1, limit);
    return most(1, ceil_div(n, most(1, ceil_div(n, limit))));
}

/* Few rows of A beside a B that lies in rows: it is read once. */
static bool streams_b(const product_shape *s, const blocking *b) {
    return !b->packs[SIDE_B] && !s->keeps_b && !b->in_panels;
}

/* So many of the matrix's `tiles` leave enough chunks, each with enough to do. */
static int64_t tiles_for_chunks(const product_shape *s, const blocking *b, int64_t tiles) {
    int64_t enough = ceil_div(LEAST_MULTIPLY_ADDS, b->mr * b->nr * most(1, or_unknown(s->depth)));
    return most(most(enough, LEAST_ROW_TILES), tiles * most(1, or_unknown(s->outer)) / LEAST_CHUNKS);
}

/* Rows of the result are far apart, and B was packed just now. */
static bool has_wide_rows(const product_shape *s, const blocking *b) {
    return s->by_strides && b->packs[SIDE_B] && s->columns * (int64_t)s->element_bytes >= FAR_STEP_BYTES;
}

static void choose_chunks(const machine *m, const product_shape *s, blocking *b) {
    int64_t depth = most(1, or_unknown(s->depth)), bytes = s->element_bytes;
    int64_t tiles = ceil_div(or_unknown(s->rows), b->mr), panels = ceil_div(or_unknown(s->columns), b->nr);
    int64_t fitting = (int64_t)m->l2_bytes / 2 / (bytes * depth * b->mr);
    int64_t limit_tiles = least(CHUNK_ROW_TILES, tiles_for_chunks(s, b, tiles * most(1, s->lines) * panels));
    b->row_tiles = balanced(tiles, least(most(fitting, 4), limit_tiles));
    int64_t groups = ceil_div(tiles, b->row_tiles);
    if (s->lines > 0) {
        b->lines = balanced(s->lines, limit_tiles / tiles);
        b->row_tiles = b->lines * tiles;
        groups = ceil_div(s->lines, b->lines);
    }
    int64_t work = b->row_tiles * b->mr * b->nr * depth;
    double total = (double)most(1, or_unknown(s->outer)) * (double)groups * (double)panels * (double)work;
    int64_t wanted = total / LEAST_CHUNKS < CHUNK_MULTIPLY_ADDS
                         ? most(LEAST_MULTIPLY_ADDS, (int64_t)total / LEAST_CHUNKS)
                         : CHUNK_MULTIPLY_ADDS;
    int64_t limit = least(wanted / most(1, work), 32);
    if (streams_b(s, b)) limit = most(limit, THIN_RUN / (b->nr * bytes));
    b->panels = balanced(panels, limit);
    /* Neighbouring chunks are one worker's: those of a part of the longer side together read less. */
    b->rows_outermost = s->columns > 0 && s->rows * most(1, s->lines) > s->columns;
    /* A row of tiles stores few streams, which processors see coming, and finds B in the L2; but B that is read from
     * afar is to be read once. */
    int64_t near = (int64_t)m->l2_bytes / 2;
    b->rows_first = s->keeps_b && b->panels * b->nr * depth * bytes <= near;
    if (has_wide_rows(s, b) && panels * b->nr * depth * bytes <= near) {
        b->rows_first = true;
        b->panels = panels;
        b->row_tiles = balanced(tiles, tiles * most(1, or_unknown(s->outer)) / LEAST_CHUNKS);
    }
}

double blocking_cost(const machine *m, const product_shape *s) {
    blocking b = {0};
    return choose_tile(m, s, false, &b);
}

/* ---- B packed by steps ---- */

static void choose_steps(const machine *m, const product_shape *s, blocking *b) {
    int64_t lanes = machine_lanes(m, 8 * s->element_bytes), bytes = s->element_bytes, budget = (int64_t)m->l2_bytes / 2;
    int64_t tiles = ceil_div(or_unknown(s->rows), b->mr), panels = ceil_div(or_unknown(s->columns), b->nr);
    int64_t columns = s->taps > 0 ? STEP_COLUMNS : STEP_COLUMNS / 2, taps = most(1, s->taps),
            depth = or_unknown(s->depth);
    bool is_wide = s->columns < 0 || s->columns > columns;
    b->by_steps = true;
    b->panels = is_wide ? balanced(panels, columns / b->nr) : most(1, panels);
    b->step_row = is_wide ? b->panels * b->nr : ceil_div(most(1, s->columns), lanes) * lanes;
    if (b->step_row * bytes % (ALIAS_BYTES / 4) == 0) b->step_row += lanes;
    int64_t chunks = or_unknown(s->outer) * ceil_div(panels, b->panels);
    b->packs_in_chunk = is_wide || chunks >= FEW_CHUNKS;
    if (s->taps > 0)
        b->row_tiles = balanced(tiles, b->packs_in_chunk ? tiles : ceil_div(tiles, FEW_CHUNKS));
    else
        b->row_tiles = balanced(tiles, b->packs_in_chunk ? STEP_ROW_TILES : tiles / FEW_CHUNKS);
    int64_t fitting = most(1, budget / (b->step_row * bytes * taps));
    if (depth > fitting * taps) b->depth_block = taps * balanced(ceil_div(depth, taps), fitting);
    b->rows_first = b->packs_in_chunk;
}

/* ---- B in panels, or in place ---- */

static void choose_depth_block(const machine *m, const product_shape *s, blocking *b) {
    int64_t depth = or_unknown(s->depth), panel_bytes = (b->mr + b->nr) * depth * (int64_t)s->element_bytes,
            l2 = most(1, (int64_t)m->l2_bytes);
    if (streams_b(s, b))
        b->depth_block =
            depth * or_unknown(s->columns) * (int64_t)s->element_bytes > (int64_t)m->l1_bytes ? THIN_DEPTH : 0;
    else if (s->depth > 0 && panel_bytes > l2)
        b->depth_block = ceil_div(s->depth, ceil_div(2 * panel_bytes, l2));
}

/* Read in place, B's panels lie in rows far apart: that suits few rows of A, a B whose lines do not get into each
 * other's way in the L1, or a class that says so. */
static bool reads_b_in_place(const machine *m, const product_shape *s, const blocking *b) {
    if (!s->is_plain[SIDE_B]) return false;
    if (s->keeps_b) return s->column_bytes > 0 && s->column_bytes % ALIAS_BYTES != 0;
    bool is_near =
        s->by_strides && s->depth > 0 && s->column_bytes > 0 && s->depth * s->column_bytes <= (int64_t)m->l1_bytes;
    return is_near || (s->rows >= 0 && s->rows <= b->mr);
}

blocking blocking_choose(const machine *m, const product_shape *s) {
    blocking b = {.packs = {!s->is_plain[SIDE_A], true}};
    choose_tile(m, s, b.packs[SIDE_A], &b);
    b.packs[SIDE_A] |= s->by_strides && s->step_bytes >= FAR_STEP_BYTES && s->columns > b.nr;
    b.in_panels = s->panel > 0 && s->panel == b.nr;
    b.packs[SIDE_B] = !b.in_panels && !reads_b_in_place(m, s, &b);
    bool has_few_rows = s->rows < STEP_ROWS;
    if (b.packs[SIDE_B] && (s->taps > 0 || (s->columns_are_runs && has_few_rows))) {
        choose_steps(m, s, &b);
        return b;
    }
    choose_chunks(m, s, &b);
    choose_depth_block(m, s, &b);
    return b;
}

/* ---- Two products in a chain ---- */

/* Steps of k of both, in tiles of that many rows; negative: there is no such tile. */
static double choose_chain_tiles(const machine *m, const product_shape s[2], int64_t rows, blocking how[2]) {
    double sum = 0;
    for (int i = 0; i < 2; i++) {
        product_shape shape = s[i];
        shape.tile_rows = rows;
        how[i] = (blocking){.packs = {i == 0 && !s[0].is_plain[SIDE_A], true}};
        double cost = choose_tile(m, &shape, i == 1 || how[i].packs[SIDE_A], &how[i]);
        if (cost < 0) return cost;
        sum += cost * (double)most(1, or_unknown(s[i].depth));
    }
    return sum;
}

void blocking_choose_chain(const machine *m, const product_shape s[2], blocking how[2]) {
    double best = -1;
    machine_tile full = s[0].element_bytes == 8 ? m->tile_f64 : m->tile_f32;
    for (int64_t rows = 2 * full.mr; rows >= 1; rows--) {
        blocking now[2];
        double cost = choose_chain_tiles(m, s, rows, now);
        if (cost < 0 || (best >= 0 && cost >= best)) continue;
        best = cost;
        how[0] = now[0];
        how[1] = now[1];
    }
    int64_t row_bytes = most(1, or_unknown(s[0].columns)) * (int64_t)s[0].element_bytes * how[0].mr;
    int64_t limit = least(most(1, (int64_t)m->l2_bytes / 4 / row_bytes), CHAIN_ROW_TILES);
    int64_t row_tiles = balanced(ceil_div(or_unknown(s[0].rows), how[0].mr), limit);
    for (int i = 0; i < 2; i++) {
        how[i].in_panels = s[i].panel > 0 && s[i].panel == how[i].nr;
        how[i].packs[SIDE_B] = !how[i].in_panels && !reads_b_in_place(m, &s[i], &how[i]);
        how[i].row_tiles = row_tiles;
        how[i].panels = 1;
    }
}

/* ---- Panels made ahead ---- */

int64_t blocking_panel(const machine *m, tn_dtype dtype, int64_t rows, int64_t columns, int64_t depth) {
    unsigned bytes = tn_dtype_bits(dtype) / 8;
    product_shape s = {
        .rows = rows, .columns = columns, .depth = depth, .element_bytes = bytes, .row_bytes = depth * bytes};
    blocking b = {0};
    choose_tile(m, &s, false, &b);
    return b.nr % machine_lanes(m, tn_dtype_bits(dtype)) ? 0 : b.nr;
}

/* As B weights stream by once, however many positions there are, and the next ones can be asked for; windows are read
 * where they lie, but results must be turned. As A they are read again for each panel of positions, what a kernel of
 * several taps meets is copied, and few positions fill vectors badly. Weights that the L1 holds gain nothing by
 * streaming: then only what results cost to be turned counts against it. */
int64_t blocking_conv_panel(const machine *m, const product_shape *s) {
    bool has_windows = s->lines > 0;
    int64_t lines = most(1, s->lines), positions = lines * s->rows;
    product_shape as_a = *s;
    as_a.rows = s->columns;
    as_a.columns = positions;
    as_a.row_bytes = s->depth * s->element_bytes;
    blocking b = {0};
    bool gathers = !has_windows && !s->is_plain[SIDE_A];
    double cost_b = (double)lines * choose_tile(m, s, gathers, &b), cost_a = blocking_cost(m, &as_a);
    bool streams = !has_windows && s->columns * s->depth * s->element_bytes > (int64_t)m->l1_bytes;
    if (!streams) cost_b += (double)positions * (double)s->columns / (double)s->depth * TURN_COST;
    if (has_windows) {
        cost_a += (double)positions * COPY_COST;
    } else {
        if (positions > MOST_POSITIONS) return 0;
        if (gathers) cost_b += (double)(positions * GATHER_COST);
    }
    return cost_b >= cost_a || b.nr % machine_lanes(m, 8 * s->element_bytes) ? 0 : b.nr;
}
