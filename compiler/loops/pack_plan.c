/* How a product is cut: tile, chunks, blocks of k, what is packed.
 *
 * in:  a product's shape as far as it is static, the machine
 * out: its blocking
 * law: nothing here changes a bit of the result; nothing depends on the number of threads
 */
#include "compiler/loops/pack.h"

enum {
    UNKNOWN_EXTENT = 1680,     /* taken for symbolic ones: divisible by most tiles */
    MOST_VECTORS = 4,          /* of B in a tile */
    LATENCY = 8,               /* multiply-adds under way at least */
    ALIAS_BYTES = 4096,        /* rows of A in place that far apart share sets of the L1 */
    ALIASED_ROWS = 8,
    CHUNK_ROW_TILES = 16,
    CHUNK_MULTIPLY_ADDS = 1 << 23,
    LEAST_MULTIPLY_ADDS = 1 << 17,
    STEP_COLUMNS = 512,        /* of B packed by steps, in a chunk */
    FEW_CHUNKS = 8,            /* with fewer B is packed once for all, and rows are split */
    THIN_DEPTH = 64,           /* rows of B read at a time where it streams past few rows of A */
};

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t or_unknown(int64_t extent) { return extent < 0 ? UNKNOWN_EXTENT : extent; }

/* ---- The tile ---- */

/* Half cycles that a step of k takes in a tile of that size: two multiply-adds or two loads a cycle, and
 * no fewer than keep the units busy. */
static int64_t step_cost(int64_t rows, int64_t vectors) {
    return most(most(rows * vectors, rows + vectors), LATENCY);
}

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
    for (int64_t vectors = 1; vectors <= MOST_VECTORS; vectors++) {
        int64_t highest = least(sums / vectors, 2 * full.mr);
        if (!packs_a && is_aliased(s)) highest = least(highest, ALIASED_ROWS);
        for (int64_t mr = highest; mr >= 1 && mr >= highest / 2; mr--) {
            double cost = tiling_cost(s, mr, vectors, lanes);
            if (best >= 0 && cost >= best) continue;
            best = cost;
            b->mr = mr;
            b->nr = vectors * lanes;
        }
    }
    return best;
}

/* ---- Chunks ---- */

/* `n` tiles in groups of at most `limit`, as equal as can be. */
static int64_t balanced(int64_t n, int64_t limit) {
    limit = most(1, limit);
    return most(1, ceil_div(n, most(1, ceil_div(n, limit))));
}

static void choose_chunks(const machine *m, const product_shape *s, blocking *b) {
    int64_t depth = most(1, or_unknown(s->depth)), bytes = s->element_bytes;
    int64_t tiles = ceil_div(or_unknown(s->rows), b->mr), panels = ceil_div(or_unknown(s->columns), b->nr);
    int64_t fitting = (int64_t)m->l2_bytes / 2 / (bytes * depth * b->mr);
    b->row_tiles = balanced(tiles, least(most(fitting, 4), CHUNK_ROW_TILES));
    int64_t work = b->row_tiles * b->mr * b->nr * depth;
    int64_t total = most(1, or_unknown(s->outer)) * ceil_div(tiles, b->row_tiles) * panels * work;
    int64_t wanted = least(CHUNK_MULTIPLY_ADDS, most(LEAST_MULTIPLY_ADDS, total / 16));
    b->panels = balanced(panels, least(wanted / most(1, work), 32));
}

blocking blocking_choose(const machine *m, const product_shape *s) {
    blocking b = {.packs = {!s->is_plain[SIDE_A], !s->is_plain[SIDE_B]}};
    choose_tile(m, s, b.packs[SIDE_A], &b);
    /* In place, panels lie in rows of B far apart: only for few rows of A. */
    bool is_thin = s->rows >= 0 && s->rows <= b.mr;
    if (s->keeps_b ? s->column_bytes <= 0 || s->column_bytes % ALIAS_BYTES == 0 : !is_thin) b.packs[SIDE_B] = true;
    choose_chunks(m, s, &b);
    int64_t depth = or_unknown(s->depth), panel_bytes = (b.mr + b.nr) * depth * (int64_t)s->element_bytes;
    if (!b.packs[SIDE_B] && !s->keeps_b)
        b.depth_block = depth > 2 * THIN_DEPTH ? THIN_DEPTH : 0;
    else if (s->depth > 0 && panel_bytes > (int64_t)m->l2_bytes)
        b.depth_block = ceil_div(s->depth, ceil_div(2 * panel_bytes, (int64_t)m->l2_bytes));
    return b;
}

double blocking_cost(const machine *m, const product_shape *s) {
    blocking b = {0};
    return choose_tile(m, s, false, &b);
}

/* ---- B packed by steps ---- */

blocking blocking_choose_steps(const machine *m, const product_shape *s, int64_t taps) {
    blocking b = {.packs = {!s->is_plain[SIDE_A], true}};
    choose_tile(m, s, b.packs[SIDE_A], &b);
    int64_t lanes = machine_lanes(m, 8 * s->element_bytes), bytes = s->element_bytes, budget = (int64_t)m->l2_bytes / 2;
    int64_t tiles = ceil_div(or_unknown(s->rows), b.mr), panels = ceil_div(or_unknown(s->columns), b.nr);
    bool is_wide = s->columns < 0 || s->columns > STEP_COLUMNS;
    b.panels = is_wide ? balanced(panels, STEP_COLUMNS / b.nr) : panels;
    b.step_row = is_wide ? b.panels * b.nr : ceil_div(most(1, s->columns), lanes) * lanes;
    if (b.step_row * bytes % ALIAS_BYTES == 0) b.step_row += lanes;
    int64_t chunks = or_unknown(s->outer) * ceil_div(panels, b.panels);
    b.packs_in_chunk = is_wide || chunks >= FEW_CHUNKS;
    b.row_tiles = balanced(tiles, b.packs_in_chunk ? tiles : ceil_div(tiles, FEW_CHUNKS));
    int64_t depth = or_unknown(s->depth), fitting = budget / (b.step_row * bytes * taps);
    if (depth > fitting * taps) b.depth_block = taps * balanced(ceil_div(depth, taps), fitting);
    return b;
}
