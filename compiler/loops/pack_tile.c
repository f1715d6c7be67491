/* The loops of a product: packing stages, then chunks of tiles.
 *
 * in:  a product with its blocking
 * out: its stages
 * law: an element of C is one chain over k: a tile runs over all of k, or goes on from C as the
 *      block of k before left it. Rows and columns beyond the last whole tile get a tile of
 *      their own size when the extent is static, else a whole tile over zeros of which only
 *      what exists is stored.
 */
#include "compiler/loops/pack_chunk.h"

enum {
    LOW_TILE = 4,
    LARGE_EXTENT = 1 << 24,
    PAGE_BYTES = 4096,
};

static tn_dim constant(const product *p, int64_t value) { return dim_const(p->t, value); }

/* A loop over [begin, end) that is known to be within [0, whole). */
tn_dim product_open_part(product *p, lt_loop_kind kind, tn_dim begin, tn_dim end, tn_dim whole, uint32_t width,
                         access_loop *loop) {
    *loop = access_open_loop(p->a, kind, begin, end, width, 0);
    access_know_range(p->a, access_counter(loop), whole);
    return access_counter(loop);
}

int64_t product_inner_steps(const product *p) {
    int64_t steps = 1;
    for (uint32_t i = 0; i < p->n_inner; i++) steps *= p->inner[i].steps;
    return steps;
}

static cut cut_of(const product *p, matrix_side side) {
    int64_t size = product_tile_size(p, side), extent = product_constant(p, p->side[side].extent);
    if (extent < 0) return (cut){size, product_panels(p, size, side), 0, true};
    return (cut){size, constant(p, extent / size), extent % size, false};
}

/* ---- Tiles ---- */

static tn_dim operand_index(const product *p, const operand *o, tn_dim at, tn_dim k) {
    dim_table *t = p->t;
    return dim_add(t, o->base, dim_add(t, dim_mul(t, at, o->advance), dim_mul(t, k, o->depth)));
}

int64_t product_tile_columns(const product *p, int64_t n) {
    int64_t lanes = machine_lanes(p->a->b.machine, tn_dtype_bits(p->sum)), rounded = 1;
    bool is_filled = p->how.packs[SIDE_B] || p->how.in_panels;
    if (!is_filled || n == p->how.nr) return n;
    while (rounded < n && rounded < lanes) rounded *= 2;
    if (rounded < n) rounded = (n + lanes - 1) / lanes * lanes;
    return rounded < p->how.nr ? rounded : p->how.nr;
}

/* The row tiles of a panel ask for the next panel, each for its part. A single one leaves that to the processor, which
 * asks far enough ahead for f32, but not beyond a page: narrow panels go by faster, so they are asked for a page
 * ahead. */
static void ask_for_next(product *p, const chunk *c, lt_stmt *s, tn_dim row, tn_dim column) {
    dim_table *t = p->t;
    const operand *b = &c->sides[SIDE_B];
    int64_t nr = p->how.nr, step = (nr + p->how.row_tiles - 1) / p->how.row_tiles;
    if (p->ask_ahead) p->ask_ahead(p, s, c->outer, row, column);
    if (p->a->b.failed || !(p->how.in_panels || (p->how.packs[SIDE_B] && !p->how.by_steps))) return;
    tn_dtype dtype = p->a->b.kernel->buffers[b->buffer].dtype;
    tn_dim ahead;
    if (p->how.row_tiles < 2) {
        if (dtype == p->sum) return;
        ahead = dim_add_const(t, operand_index(p, b, column, c->k), PAGE_BYTES * 8 / tn_dtype_bits(dtype));
    } else {
        if (dim_is_value(t, c->cuts[SIDE_B].n, c->cuts[SIDE_B].rest == 0)) return; /* the only panel */
        tn_dim number = dim_sub(t, dim_exact_div(t, row, constant(p, p->how.mr)), c->begin[SIDE_A]);
        if (p->in_lines) {
            tn_dim passed = dim_sub(t, c->line, c->lines[0]);
            number = dim_add(t, number, dim_mul_const(t, passed, p->how.row_tiles / p->how.lines));
        }
        tn_dim part = dim_mul_const(t, dim_mul(t, number, c->depth), step * product_inner_steps(p));
        ahead = dim_add(t, operand_index(p, b, dim_add_const(t, column, nr), c->k), part);
    }
    s->tile.next = b->buffer;
    s->tile.next_index = access_simplify(p->a, ahead);
    s->tile.next_step = constant(p, step);
}

/* Rows from `row`, columns from `column` on; C's element [0, 0] of the tile is at c_index. */
static void emit_one_tile(product *p, const chunk *c, tn_dim row, tn_dim column, int64_t mr, int64_t nr, tn_dim c_index,
                          bool accumulate) {
    const operand *a = &c->sides[SIDE_A], *b = &c->sides[SIDE_B];
    lt_stmt *s = lt_tile(&p->a->b);
    s->tile.a = a->buffer;
    s->tile.b = b->buffer;
    s->tile.c = c->c;
    tn_dim a_index = operand_index(p, a, row, c->k);
    if (p->in_lines) a_index = dim_add(p->t, a_index, dim_mul(p->t, c->line, a->line));
    s->tile.a_index = access_simplify(p->a, a_index);
    s->tile.b_index = access_simplify(p->a, operand_index(p, b, column, c->k));
    s->tile.c_index = access_simplify(p->a, c_index);
    s->tile.a_row = a->row;
    s->tile.a_depth = a->depth;
    s->tile.b_depth = b->depth;
    s->tile.c_row = c->c_row;
    s->tile.depth = c->depth;
    s->tile.mr = (uint32_t)mr;
    s->tile.nr = (uint32_t)product_tile_columns(p, nr);
    s->tile.accumulate = accumulate;
    s->tile.n_inner = p->n_inner;
    for (uint32_t i = 0; i < p->n_inner; i++) s->tile.inner[i] = p->inner[i];
    ask_for_next(p, c, s, row, column);
}

/* Where rows are symbolic, few of them get a low tile: a batch of one is common. */
static void emit_tile(product *p, const chunk *c, tn_dim row, tn_dim column, int64_t mr, int64_t nr, tn_dim c_index,
                      bool accumulate) {
    lt_builder *b = &p->a->b;
    if (!c->cuts[SIDE_A].is_padded || mr <= 2 * LOW_TILE) {
        emit_one_tile(p, c, row, column, mr, nr, c_index, accumulate);
        return;
    }
    lt_block *outer = b->block;
    lt_stmt *branch =
        lt_open_if(b, product_reaches_beyond(p, p->side[SIDE_A].extent, dim_add_const(p->t, row, LOW_TILE)));
    emit_one_tile(p, c, row, column, mr, nr, c_index, accumulate);
    lt_else(b, branch);
    emit_one_tile(p, c, row, column, LOW_TILE, nr, c_index, accumulate);
    lt_close_if(b, branch, outer);
}

typedef void tile_body(product *p, const chunk *c, tn_dim row, tn_dim column, int64_t mr, int64_t nr);

/* All of k at once: C is the tile's own. */
static void whole_depth(product *p, const chunk *c, tn_dim row, tn_dim column, int64_t mr, int64_t nr) {
    chunk own = *c;
    own.c = lt_add_buffer(&p->a->b, LT_LOCAL, p->sum, constant(p, mr * p->how.nr), "tile");
    own.c_row = constant(p, p->how.nr);
    emit_tile(p, &own, row, column, mr, nr, constant(p, 0), false);
    product_store_own(p, &own, row, column, mr, nr);
}

static tn_dim first_of(const product *p, const chunk *c, matrix_side side) {
    return dim_mul_const(p->t, c->begin[side], c->cuts[side].size);
}

/* Where the tile lies in the chunk's C. */
static tn_dim index_in_chunk(const product *p, const chunk *c, tn_dim row, tn_dim column) {
    dim_table *t = p->t;
    tn_dim r = dim_sub(t, row, first_of(p, c, SIDE_A)), j = dim_sub(t, column, first_of(p, c, SIDE_B));
    if (p->in_lines) r = dim_add(t, r, dim_mul(t, dim_sub(t, c->line, c->lines[0]), p->side[SIDE_A].extent));
    return dim_add(t, dim_mul(t, r, c->c_row), j);
}

/* A block of k, or all: C is the chunk's. */
static void block_of_depth(product *p, const chunk *c, tn_dim row, tn_dim column, int64_t mr, int64_t nr) {
    emit_tile(p, c, row, column, mr, nr, index_in_chunk(p, c, row, column), c->goes_on);
}

/* When all blocks are done. */
static void store_block(product *p, const chunk *c, tn_dim row, tn_dim column, int64_t mr, int64_t nr) {
    product_store_tile(p, c, index_in_chunk(p, c, row, column), row, column, mr, nr);
}

/* Runs what follows only where the chunk has the rest of that side. */
static lt_stmt *open_rest(product *p, const chunk *c, matrix_side side) {
    return c->has_rest[side] == LT_NONE ? NULL : lt_open_if(&p->a->b, c->has_rest[side]);
}

static void close_rest(product *p, lt_stmt *branch, lt_block *outer) {
    if (branch) lt_close_if(&p->a->b, branch, outer);
}

/* The tiles of a chunk, one loop in another: order[0] is the outer one. */
typedef struct tile_walk {
    tile_body *body;
    matrix_side order[2];
    tn_dim at[2];
    int64_t size[2];
} tile_walk;

static void walk_lines(product *p, const chunk *c, const tile_walk *w, int level);

/* What lies within the loops up to that level. */
static void walk_inside(product *p, const chunk *c, const tile_walk *w, int level) {
    if (level < 2)
        walk_lines(p, c, w, level);
    else
        w->body(p, c, w->at[SIDE_A], w->at[SIDE_B], w->size[SIDE_A], w->size[SIDE_B]);
}

static void walk_side(product *p, const chunk *c, const tile_walk *w, int level) {
    tile_walk in = *w;
    matrix_side side = w->order[level];
    const cut *tiles = &c->cuts[side];
    if (!dim_is_value(p->t, tiles->n, 0)) {
        access_loop loop;
        tn_dim tile = product_open_part(p, LT_SERIAL, c->begin[side], c->end[side], tiles->n, 0, &loop);
        in.at[side] = dim_mul_const(p->t, tile, tiles->size);
        in.size[side] = tiles->size;
        walk_inside(p, c, &in, level + 1);
        access_close_loop(p->a, &loop);
    }
    if (tiles->rest == 0) return;
    lt_block *outer = p->a->b.block;
    lt_stmt *branch = open_rest(p, c, side);
    in.at[side] = dim_mul_const(p->t, tiles->n, tiles->size);
    in.size[side] = tiles->rest;
    walk_inside(p, c, &in, level + 1);
    close_rest(p, branch, outer);
}

/* Rows may come in lines. */
static void walk_lines(product *p, const chunk *c, const tile_walk *w, int level) {
    if (!p->in_lines || w->order[level] != SIDE_A) {
        walk_side(p, c, w, level);
        return;
    }
    access_loop loop;
    chunk in_line = *c;
    in_line.line = product_open_part(p, LT_SERIAL, c->lines[0], c->lines[1], p->lines, 0, &loop);
    walk_side(p, &in_line, w, level);
    access_close_loop(p->a, &loop);
}

static void chunk_tiles(product *p, const chunk *c, tile_body *body) {
    tile_walk columns_first = {.body = body, .order = {SIDE_B, SIDE_A}},
              rows_first = {.body = body, .order = {SIDE_A, SIDE_B}};
    walk_lines(p, c, p->how.rows_first ? &rows_first : &columns_first, 0);
}

/* ---- Chunks ---- */

/* Tiles of one side in all, and the chunks they make. */
typedef struct division {
    cut cut;
    int64_t per_chunk;
    tn_dim tiles, chunks;
} division;

static division division_of(const product *p, matrix_side side) {
    division d = {.cut = cut_of(p, side), .per_chunk = side == SIDE_A ? p->how.row_tiles : p->how.panels};
    d.tiles = dim_add_const(p->t, d.cut.n, d.cut.rest > 0);
    if (side == SIDE_A && p->in_lines) {
        d.chunks = dim_ceildiv(p->t, p->lines, constant(p, p->how.lines));
        return d;
    }
    d.chunks = dim_ceildiv(p->t, d.tiles, constant(p, d.per_chunk));
    return d;
}

/* The chunk's lines, which are whole. */
static void take_lines(product *p, chunk *c, const division *d, tn_dim number) {
    dim_table *t = p->t;
    tn_dim end = dim_mul_const(t, dim_add_const(t, number, 1), p->how.lines);
    c->lines[0] = dim_mul_const(t, number, p->how.lines);
    c->lines[1] = access_simplify(p->a, dim_min(t, end, p->lines));
    c->cuts[SIDE_A] = d->cut;
    c->begin[SIDE_A] = constant(p, 0);
    c->end[SIDE_A] = d->cut.n;
    c->has_rest[SIDE_A] = LT_NONE;
}

/* The chunk's tiles along one side, which are part number `number`. */
static void take_part(product *p, chunk *c, matrix_side side, const division *d, tn_dim number) {
    dim_table *t = p->t;
    tn_dim behind = dim_mul_const(t, dim_add_const(t, number, 1), d->per_chunk);
    c->cuts[side] = d->cut;
    c->begin[side] = dim_mul_const(t, number, d->per_chunk);
    c->end[side] = access_simplify(p->a, dim_min(t, behind, d->cut.n));
    c->has_rest[side] = LT_NONE;
    if (d->cut.rest > 0 && !dim_is_value(t, d->chunks, 1))
        c->has_rest[side] =
            lt_compare(&p->a->b, COMPARE_GE, lt_dim_value(&p->a->b, behind), lt_dim_value(&p->a->b, d->tiles));
}

/* Rows or columns up to the end of the chunk. */
static tn_dim end_of(const product *p, const chunk *c, matrix_side side, const division *d) {
    tn_dim end = dim_mul_const(p->t, dim_add(p->t, c->begin[side], constant(p, d->per_chunk)), c->cuts[side].size);
    return access_simplify(p->a, dim_min(p->t, end, p->side[side].extent));
}

static uint32_t scratch_buffer(product *p, int64_t elements, const char *name) {
    return lt_add_buffer(&p->a->b, LT_SCRATCH, p->sum, constant(p, elements), name);
}

static void clear(product *p, uint32_t buffer, int64_t elements) {
    uint32_t lanes = (uint32_t)machine_lanes(p->a->b.machine, tn_dtype_bits(p->sum));
    access_loop loop = access_open_loop(p->a, LT_VECTOR, constant(p, 0), constant(p, elements), lanes, 0);
    lt_store(&p->a->b, buffer, access_counter(&loop), lt_const_int(&p->a->b, p->sum, 0), LT_NONE);
    access_close_loop(p->a, &loop);
}

static bool packs_here(const product *p) { return p->how.packs[SIDE_B] && p->how.packs_in_chunk; }

/* Room for the steps of B that the chunk packs at a time. */
static uint32_t steps_buffer(product *p) {
    tn_dim steps = p->how.depth_block > 0 ? constant(p, p->how.depth_block) : p->depth;
    return lt_add_buffer(&p->a->b, LT_SCRATCH, p->sum, dim_mul_const(p->t, steps, p->how.step_row), "steps");
}

/* Packs the present steps of B for this chunk alone. */
static void pack_here(product *p, chunk *c, const division *d, uint32_t buffer) {
    dim_table *t = p->t;
    tn_dim first = first_of(p, c, SIDE_B), row = constant(p, p->how.step_row), one = constant(p, 1);
    tn_dim base = dim_mul_const(t, dim_add(t, dim_mul(t, c->k, row), first), -1);
    p->pack_steps(p, c->outer, c->k, dim_add(t, c->k, c->depth), first, end_of(p, c, SIDE_B, d), buffer,
                  constant(p, 0));
    c->sides[SIDE_B] = (operand){.buffer = buffer, .base = base, .advance = one, .row = one, .depth = row};
}

static int64_t chunk_rows(const product *p, const division *d) {
    return p->in_lines ? p->how.lines * product_constant(p, p->side[SIDE_A].extent) : d->per_chunk * p->how.mr;
}

/* Where columns become rows. */
static uint32_t turned_buffer(product *p) {
    return p->lanes_along_rows ? lt_add_buffer(&p->a->b, LT_LOCAL, p->sum, constant(p, p->how.mr * p->how.nr), "turned")
                               : LT_NONE;
}

static void blocks_of_depth(product *p, chunk *c, const division *d) {
    dim_table *t = p->t;
    tn_dim block = constant(p, p->how.depth_block), blocks = dim_ceildiv(t, p->depth, block);
    int64_t row = d[SIDE_B].per_chunk * p->how.nr, elements = chunk_rows(p, &d[SIDE_A]) * row;
    c->c = scratch_buffer(p, elements, "sums");
    c->c_row = constant(p, row);
    c->goes_on = true;
    clear(p, c->c, elements);
    uint32_t steps = packs_here(p) ? steps_buffer(p) : LT_NONE;
    access_loop loop = access_open_loop(p->a, LT_SERIAL, constant(p, 0), blocks, 0, 0);
    c->k = dim_mul(t, access_counter(&loop), block);
    c->depth = access_simplify(p->a, dim_min(t, block, dim_sub(t, p->depth, c->k)));
    if (packs_here(p)) pack_here(p, c, &d[SIDE_B], steps);
    chunk_tiles(p, c, block_of_depth);
    access_close_loop(p->a, &loop);
    c->turned = turned_buffer(p);
    if (c->turned != LT_NONE) {
        chunk_tiles(p, c, store_block);
        return;
    }
    product_part all = {first_of(p, c, SIDE_A), end_of(p, c, SIDE_A, &d[SIDE_A]), first_of(p, c, SIDE_A),
                        first_of(p, c, SIDE_B), end_of(p, c, SIDE_B, &d[SIDE_B]), first_of(p, c, SIDE_B)};
    product_store_part(p, c, &all);
}

static void all_depth(product *p, chunk *c, const division *d) {
    c->turned = turned_buffer(p);
    c->k = constant(p, 0);
    c->depth = p->depth;
    if (packs_here(p)) pack_here(p, c, &d[SIDE_B], steps_buffer(p));
    chunk_tiles(p, c, whole_depth);
}

static operand operand_of(const product *p, matrix_side side, tn_dim outer) {
    return p->how.packs[side] ? product_packed(p, side, outer) : product_in_place(p, side, outer);
}

static void compute_stage(product *p) {
    division d[2] = {division_of(p, SIDE_A), division_of(p, SIDE_B)};
    matrix_side order[2] = {p->how.rows_outermost ? SIDE_A : SIDE_B, p->how.rows_outermost ? SIDE_B : SIDE_A};
    tn_dim extents[3] = {p->outer, d[order[0]].chunks, d[order[1]].chunks}, number[3], part[2];
    access_loop loops[3];
    access_open_chunks(p->a, 3, extents, number, loops);
    chunk c = {.outer = number[0], .c_column = constant(p, 1), .turned = LT_NONE};
    for (int i = 0; i < 2; i++) part[order[i]] = number[1 + i];
    take_part(p, &c, SIDE_B, &d[SIDE_B], part[SIDE_B]);
    if (p->in_lines)
        take_lines(p, &c, &d[SIDE_A], part[SIDE_A]);
    else
        take_part(p, &c, SIDE_A, &d[SIDE_A], part[SIDE_A]);
    for (int side = 0; side < 2; side++)
        if (!(side == SIDE_B && packs_here(p))) c.sides[side] = operand_of(p, (matrix_side)side, c.outer);
    if (p->how.depth_block > 0)
        blocks_of_depth(p, &c, d);
    else
        all_depth(p, &c, d);
    access_close_chunks(p->a, 3, loops);
}

/* For planning: cut, so that products of a few fit. */
static int64_t known(const product *p, tn_dim d) {
    int64_t value = product_constant(p, d);
    return value > LARGE_EXTENT ? LARGE_EXTENT : value;
}

product_shape product_known_shape(const product *p) {
    const matrix *a = &p->side[SIDE_A], *b = &p->side[SIDE_B];
    product_shape s = {.outer = known(p, p->outer),
                       .rows = known(p, a->extent),
                       .columns = known(p, b->extent),
                       .depth = known(p, p->depth) < 0 ? -1 : known(p, p->depth) * product_inner_steps(p),
                       .element_bytes = tn_dtype_bits(p->sum) / 8,
                       .row_bytes = a->is_plain ? known(p, a->step) : -1,
                       .step_bytes = a->is_plain ? known(p, a->depth_step) : -1,
                       .column_bytes = b->is_plain ? known(p, b->depth_step) : -1,
                       .taps = p->step_multiple,
                       .lines = p->in_lines ? known(p, p->lines) : 0,
                       .panel = b->panel};
    s.is_plain[SIDE_A] = a->is_plain && s.rows >= 0;
    s.is_plain[SIDE_B] = b->is_plain && s.columns >= 0 && dim_is_value(p->t, b->step, 1);
    s.columns_are_runs = b->has_strides && dim_is_value(p->t, b->step, 1);
    if (s.row_bytes > 0) s.row_bytes *= s.element_bytes;
    if (s.step_bytes > 0) s.step_bytes *= s.element_bytes;
    if (s.column_bytes > 0) s.column_bytes *= s.element_bytes;
    return s;
}

void product_lower(product *p) {
    product_note(p);
    product_note_chunks(p);
    static const char *const names[] = {"rows", "columns"};
    for (int side = 0; side < 2; side++) {
        if (!p->how.packs[side] || (side == SIDE_B && packs_here(p))) continue;
        p->packed[side].buffer =
            lt_add_buffer(&p->a->b, LT_TEMP, p->sum, product_packed_elements(p, (matrix_side)side), names[side]);
        product_pack_stage(p, (matrix_side)side);
    }
    compute_stage(p);
}

/* ---- A block of rows ---- */

product_rows product_rows_of(const product *p, tn_dim outer, tn_dim number) {
    division d = division_of(p, SIDE_A);
    tn_dim size = constant(p, d.per_chunk * d.cut.size), begin = dim_mul(p->t, number, size);
    tn_dim end = access_simplify(p->a, dim_min(p->t, dim_add(p->t, begin, size), p->side[SIDE_A].extent));
    return (product_rows){outer, number, begin, end};
}

tn_dim product_row_blocks(const product *p) { return division_of(p, SIDE_A).chunks; }

static chunk chunk_of_rows(product *p, const product_rows *rows, operand a) {
    division d[2] = {division_of(p, SIDE_A), division_of(p, SIDE_B)};
    chunk c = {
        .outer = rows->outer, .c_column = constant(p, 1), .turned = LT_NONE, .k = constant(p, 0), .depth = p->depth};
    take_part(p, &c, SIDE_A, &d[SIDE_A], rows->number);
    c.cuts[SIDE_B] = d[SIDE_B].cut;
    c.begin[SIDE_B] = constant(p, 0);
    c.end[SIDE_B] = d[SIDE_B].cut.n;
    c.has_rest[SIDE_B] = LT_NONE;
    c.sides[SIDE_A] = a;
    c.sides[SIDE_B] = operand_of(p, SIDE_B, rows->outer);
    return c;
}

void product_into(product *p, const product_rows *rows, operand a, uint32_t buffer, tn_dim row) {
    chunk c = chunk_of_rows(p, rows, a);
    c.c = buffer;
    c.c_row = row;
    chunk_tiles(p, &c, block_of_depth);
}

void product_from(product *p, const product_rows *rows, operand a) {
    chunk c = chunk_of_rows(p, rows, a);
    chunk_tiles(p, &c, whole_depth);
}

void product_from_part(product *p, const product_rows *rows, operand a, tn_dim number) {
    chunk c = chunk_of_rows(p, rows, a);
    division d = division_of(p, SIDE_B);
    take_part(p, &c, SIDE_B, &d, number);
    chunk_tiles(p, &c, whole_depth);
}
