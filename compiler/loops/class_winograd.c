/* Class winograd: one winograd with what was fused after it.
 *
 * in:  a fused function with one winograd whose operands come from outside, the other members elementwise
 *      on its result
 * out: for each block of tile rows and each group of features
 *
 *   input       V[xi][channel][tile] = (B^T d B)[xi], lanes along tiles, xi counting a tile's elements
 *   products    M[xi][feature][tile] = sum over channels of U[feature][xi][channel] V[xi][channel][tile], in
 *               register tiles
 *   result      A^T M A, then the other members, lanes along a result row
 *
 * law: sums run over the channels in order; blocks and groups follow from the shape and the machine alone
 *
 * An image of few tiles is one block; its products and result are of another kind (winograd_few.c), from the same V.
 * Where there are blocks enough a chunk is a block, which keeps V to itself. Else V is made first, and
 * chunks are groups of features of a block. Planes of V and M are a cache line longer than they need be, so that
 * the lines of one tile fall into different sets.
 */
#include "compiler/loops/winograd_work.h"

enum {
    LINE = 16,          /* elements of a cache line */
    MOST_VECTORS = 3,   /* of V in a register tile */
    MOST_ROWS = 16,     /* of U */
    CHUNK_CHANNELS = 8, /* whose V a chunk makes */
    LEAST_BLOCKS = 4,   /* that are worth chunks of their own */
    MANY_TILES = 64,    /* of a block that is: weights are read once for each. Images of fewer: winograd_few.c */
    MOST_TILES = 256,   /* of a block, where there is a choice */
    REST_COST = 4,      /* of tiles without a vector of their own: as many times a lane's share */
    AHEAD = 2048,       /* elements of U: memory's answer takes that long */
};

static lt_value zero(winograd *w) { return lt_const_float(&w->a->b, TN_F32, 0); }

/* ---- Input ----
 *
 * Rows of a channel are laid out with their padding, then split into `tile` phases each, so that the same
 * column of neighbouring tiles is contiguous: staged[row][phase][tile] = line[row][tile * tiles + phase]. */

static int64_t line_length(const winograd *w) { return w->tile * w->staged_pitch; }

/* Once for each chunk: what is left and right of the rows stays zero. */
static void clear_lines(winograd *w, int64_t rows) {
    access_loop loop = open_lanes(w, rows * line_length(w), w->lanes);
    store(w, w->lines, access_counter(&loop), zero(w));
    access_close_loop(w->a, &loop);
}

static void copy_line(winograd *w, tn_dim channel, tn_dim row, tn_dim to) {
    access_loop loop = open_lanes(w, w->in[1], w->lanes);
    tn_dim column = access_counter(&loop), index[4] = {w->image, channel, row, column};
    store(w, w->lines, dim_add(w->t, to, column), access_value(w->a, w->n->operands[0], index));
    access_close_loop(w->a, &loop);
}

static void clear_line(winograd *w, tn_dim to) {
    access_loop loop = open_lanes(w, line_length(w), w->lanes);
    store(w, w->lines, dim_add(w->t, to, access_counter(&loop)), zero(w));
    access_close_loop(w->a, &loop);
}

/* `rows` rows from input row `first` on. */
static void copy_lines(winograd *w, tn_dim channel, tn_dim first, int64_t rows) {
    access_loop loop = open_count(w, rows);
    tn_dim line = dim_mul_const(w->t, access_counter(&loop), line_length(w));
    tn_dim row = dim_add(w->t, first, access_counter(&loop)), to = dim_add_const(w->t, line, w->low[1]);
    lt_value inside = access_within(w->a, row, constant(w, 0), constant(w, w->in[0]));
    if (inside == LT_NONE)
        copy_line(w, channel, row, to);
    else {
        lt_block *outer = w->a->b.block;
        lt_stmt *branch = lt_open_if(&w->a->b, inside);
        copy_line(w, channel, row, to);
        lt_else(&w->a->b, branch);
        clear_line(w, line);
        lt_close_if(&w->a->b, branch, outer);
    }
    access_close_loop(w->a, &loop);
}

static void split_lines(winograd *w, int64_t rows) {
    access_loop lines = open_count(w, rows);
    for (int64_t phase = 0; phase < w->tile; phase++) {
        access_loop loop = open_lanes(w, w->staged_pitch, w->staged_pitch < w->lanes ? w->staged_pitch : w->lanes);
        tn_dim line = access_counter(&lines), at = access_counter(&loop);
        tn_dim from = plus(w, plus(w, constant(w, phase), line_length(w), line), w->tile, at);
        tn_dim to = plus(w, plus(w, at, line_length(w), line), phase * w->staged_pitch, constant(w, 1));
        store(w, w->staged, to, load(w, w->lines, from));
        access_close_loop(w->a, &loop);
    }
    access_close_loop(w->a, &lines);
}

int64_t winograd_tiles_across(const winograd *w, int64_t column) {
    return w->tiles[1] - (w->is_cut[1] && column == w->side - 1);
}

int64_t winograd_tiles_down(const winograd *w, int64_t row) {
    return w->block_rows - (w->is_cut[0] && row == w->side - 1);
}

/* Whole vectors where they stay within V's row: the next row of tiles overwrites what is behind this one. */
static int64_t row_reach(const winograd *w) {
    int64_t whole = round_up(w->tiles[1], w->row_lanes);
    return (w->block_rows - 1) * w->tiles[1] + whole <= w->pitch ? whole : w->tiles[1];
}

/* The tiles of the block's row `row`, which is row `staged_row` of the staged ones; the block's tile 0 of
 * plane 0 goes to `to`. */
static void transform_row(winograd *w, tn_dim staged_row, tn_dim row, tn_dim to) {
    lt_value d[WINOGRAD_SIDE * WINOGRAD_SIDE] = {0};
    access_loop loop = open_lanes(w, row_reach(w), w->row_lanes);
    tn_dim from = plus(w, access_counter(&loop), w->tile * line_length(w), staged_row);
    for (int64_t i = 0; i < w->side; i++)
        for (int64_t j = 0; j < w->side; j++) {
            int64_t offset = (i * w->tile + j % w->tile) * w->staged_pitch + j / w->tile;
            d[i * w->side + j] = load(w, w->staged, dim_add_const(w->t, from, offset));
        }
    if (!w->a->b.failed) winograd_input(&w->a->b, w->tile, d);
    to = dim_add(w->t, to, access_counter(&loop));
    for (int64_t xi = 0; xi < w->side * w->side; xi++) {
        tn_dim first = plus(w, to, winograd_tiles_across(w, xi % w->side), row);
        store(w, w->v, plus(w, first, w->v_plane, constant(w, xi)), d[xi]);
    }
    access_close_loop(w->a, &loop);
}

tn_dim winograd_v_base(const winograd *w, tn_dim block) {
    if (w->by_blocks) return constant(w, 0);
    return dim_mul_const(w->t, plus(w, block, w->blocks, w->image), w->side * w->side * w->v_plane);
}

/* V of one channel for the block; its staged rows begin with row `staged_row`. */
static void transform_block(winograd *w, tn_dim channel, tn_dim block, tn_dim staged_row) {
    access_loop rows = open_count(w, w->block_rows);
    tn_dim row = access_counter(&rows), to = plus(w, winograd_v_base(w, block), w->pitch, channel);
    transform_row(w, dim_add(w->t, staged_row, row), row, to);
    access_close_loop(w->a, &rows);
}

/* ---- Products ---- */

tn_dim winograd_u_panel(const winograd *w, tn_dim group, tn_dim xi, tn_dim panel) {
    tn_dim plane = plus(w, xi, w->side * w->side, group);
    return dim_mul_const(w->t, plus(w, panel, w->group, plane), w->panel * w->channels);
}

lt_stmt *winograd_tile(winograd *w, matrix_part a, matrix_part b, matrix_part c, int64_t mr, int64_t nr) {
    lt_stmt *s = lt_tile(&w->a->b);
    s->tile.a = a.buffer;
    s->tile.b = b.buffer;
    s->tile.c = c.buffer;
    s->tile.a_index = access_simplify(w->a, a.index);
    s->tile.b_index = access_simplify(w->a, b.index);
    s->tile.c_index = access_simplify(w->a, c.index);
    s->tile.a_row = constant(w, 1);
    s->tile.a_depth = constant(w, a.pitch);
    s->tile.b_depth = constant(w, b.pitch);
    s->tile.c_row = constant(w, c.pitch);
    s->tile.depth = constant(w, w->channels);
    s->tile.mr = (uint32_t)mr;
    s->tile.nr = (uint32_t)nr;
    return s;
}

void winograd_ask_ahead(winograd *w, lt_stmt *tile, tn_dim at) {
    tile->tile.next = w->u;
    tile->tile.next_index = access_simplify(w->a, dim_add_const(w->t, at, AHEAD));
    tile->tile.next_step = constant(w, w->panel);
}

/* Rows of a register tile for that many vectors. */
static int64_t tile_rows(const winograd *w, int64_t vectors) {
    int64_t sums = w->a->b.machine->vector_count >= 32 ? 24 : 12, rows = MOST_ROWS;
    while (rows * vectors > sums) rows /= 2;
    return rows < w->panel ? rows : w->panel;
}

/* A panel of features against `vectors` vectors of tiles. */
static void panel_tiles(winograd *w, tn_dim u, tn_dim v, tn_dim m, int64_t vectors) {
    int64_t rows = tile_rows(w, vectors), whole = w->panel / rows, rest = w->panel % rows, nr = vectors * w->lanes;
    matrix_part a = {w->u, u, w->panel}, b = {w->v, v, w->pitch}, c = {w->m, m, w->pitch};
    access_loop loop = open_count(w, whole);
    a.index = plus(w, u, rows, access_counter(&loop));
    c.index = plus(w, m, rows * w->pitch, access_counter(&loop));
    winograd_ask_ahead(w, winograd_tile(w, a, b, c, rows, nr), a.index);
    access_close_loop(w->a, &loop);
    if (!rest) return;
    a.index = dim_add_const(w->t, u, whole * rows);
    c.index = dim_add_const(w->t, m, whole * rows * w->pitch);
    winograd_tile(w, a, b, c, rest, nr);
}

/* Tiles behind the last whole vector, when they are few: then lanes go along the features of a panel. */
static int64_t rest_tiles(const winograd *w) {
    int64_t rest = w->block_rows * w->tiles[1] % w->lanes;
    bool is_worth = w->pitch > w->lanes && w->panel <= 4 * w->lanes && rest * REST_COST <= w->lanes &&
                    w->channels >= rest * w->panel;
    return is_worth ? rest : 0;
}

static void rest_products(winograd *w, tn_dim u, tn_dim v, tn_dim m, int64_t rest) {
    matrix_part a = {w->v, v, w->pitch}, b = {w->u, u, w->panel}, c = {w->rest, constant(w, 0), w->panel};
    winograd_tile(w, a, b, c, rest, w->panel);
    access_loop loop = open_lanes(w, w->panel, lanes_for(w, w->panel));
    tn_dim feature = access_counter(&loop);
    for (int64_t i = 0; i < rest; i++) {
        lt_value sum = load(w, w->rest, dim_add_const(w->t, feature, i * w->panel));
        store(w, w->m, plus(w, dim_add_const(w->t, m, i), w->pitch, feature), sum);
    }
    access_close_loop(w->a, &loop);
}

/* A group's features. */
static void products(winograd *w, tn_dim group) {
    int64_t rest = rest_tiles(w), vectors = w->pitch / w->lanes - (rest > 0), parts = ceil_div(vectors, MOST_VECTORS);
    access_loop planes = open_count(w, w->side * w->side), panels = open_count(w, w->group);
    tn_dim xi = access_counter(&planes), panel = access_counter(&panels);
    tn_dim u = winograd_u_panel(w, group, xi, panel);
    tn_dim v = plus(w, winograd_v_base(w, w->block), w->v_plane, xi);
    tn_dim m = plus(w, dim_mul_const(w->t, panel, w->panel * w->pitch), w->m_plane, xi);
    /* Equal parts, the first ones a vector longer. */
    int64_t least = vectors / parts, longer = vectors % parts, done = longer * (least + 1) * w->lanes;
    for (int which = 0; which < 2; which++) {
        int64_t n = which ? parts - longer : longer, size = which ? least : least + 1, first = which ? done : 0;
        if (n == 0) continue;
        access_loop loop = open_count(w, n);
        tn_dim column = plus(w, constant(w, first), size * w->lanes, access_counter(&loop));
        panel_tiles(w, u, dim_add(w->t, v, column), dim_add(w->t, m, column), size);
        access_close_loop(w->a, &loop);
    }
    if (rest) {
        tn_dim column = constant(w, vectors * w->lanes);
        rest_products(w, u, dim_add(w->t, v, column), dim_add(w->t, m, column), rest);
    }
    access_close_loop(w->a, &panels);
    access_close_loop(w->a, &planes);
}

/* ---- Result ---- */

static int64_t out_pitch(const winograd *w) { return w->pitch + w->lanes; }

/* A^T M A of all tiles of a feature; `from` is its element (plane 0, tile 0) in M. */
static void transform_products(winograd *w, tn_dim from) {
    lt_value m[WINOGRAD_SIDE * WINOGRAD_SIDE] = {0};
    access_loop loop = open_lanes(w, w->pitch, w->lanes);
    tn_dim at = access_counter(&loop);
    for (int64_t xi = 0; xi < w->side * w->side; xi++)
        m[xi] = load(w, w->m, dim_add_const(w->t, dim_add(w->t, from, at), xi * w->m_plane));
    if (!w->a->b.failed) winograd_output(&w->a->b, w->tile, m);
    for (int64_t i = 0; i < w->tile * w->tile; i++)
        store(w, w->tiles_out, dim_add_const(w->t, at, i * out_pitch(w)), m[i]);
    access_close_loop(w->a, &loop);
}

/* A result row from its tiles, of which tile 0 is at `from`: whole vectors first, then the row. */
static void result_row(winograd *w, tn_dim feature, tn_dim row, tn_dim from) {
    access_loop weave = open_lanes(w, round_up(w->tiles[1] * w->tile, w->lanes), w->lanes);
    tn_dim x = access_counter(&weave), number = dim_floordiv(w->t, x, constant(w, w->tile));
    tn_dim phase = plus(w, x, -w->tile, number);
    store(w, w->row_out, x, load(w, w->tiles_out, plus(w, dim_add(w->t, from, number), out_pitch(w), phase)));
    access_close_loop(w->a, &weave);
    access_loop loop = open_lanes(w, w->out[1], w->lanes);
    tn_dim index[4] = {w->image, feature, row, access_counter(&loop)};
    lower_store_anchor(w->a, w->value, index, load(w, w->row_out, access_counter(&loop)));
    access_close_loop(w->a, &loop);
}

static void result_rows(winograd *w, tn_dim feature) {
    access_loop rows = open_count(w, w->block_rows);
    tn_dim tile_row = plus(w, access_counter(&rows), w->block_rows, w->block);
    tn_dim first = dim_mul_const(w->t, tile_row, w->tile), size = constant(w, w->tile);
    access_loop loop = open_steps(
        w, constant(w, 0), access_simplify(w->a, dim_min(w->t, size, dim_sub(w->t, constant(w, w->out[0]), first))));
    tn_dim within = access_counter(&loop);
    access_know_range(w->a, within, size);
    tn_dim from = dim_mul_const(w->t, access_counter(&rows), w->tiles[1]);
    result_row(w, feature, dim_add(w->t, first, within), plus(w, from, w->tile * out_pitch(w), within));
    access_close_loop(w->a, &loop);
    access_close_loop(w->a, &rows);
}

static void results(winograd *w, tn_dim group) {
    tn_dim size = constant(w, w->group * w->panel), first = dim_mul_const(w->t, group, w->group * w->panel);
    tn_dim last = dim_min(w->t, dim_add(w->t, first, size), constant(w, w->features));
    access_loop loop = open_steps(w, first, access_simplify(w->a, last));
    tn_dim feature = access_counter(&loop);
    access_know_range(w->a, feature, constant(w, w->features));
    transform_products(w, dim_mul_const(w->t, dim_sub(w->t, feature, first), w->pitch));
    result_rows(w, feature);
    access_close_loop(w->a, &loop);
}

/* ---- Stages ---- */

static uint32_t scratch(winograd *w, int64_t elements, const char *name) {
    return lt_add_buffer(&w->a->b, LT_SCRATCH, TN_F32, constant(w, elements), name);
}

/* U, when it is not a buffer as it is. */
static void weights_stage(winograd *w) {
    const tn_type *type = graph_type(w->a->fused, w->n->operands[1]);
    tn_dim index[6];
    access_loop named[4], channels, lanes;
    w->u = lt_add_buffer(&w->a->b, LT_TEMP, TN_F32, type_element_count(w->t, type), "u");
    access_unravel(w->a, access_open_stage(w->a, dim_product(w->t, type->dims, 4)), 4, type->dims, index);
    for (int i = 0; i < 4; i++) index[i] = access_open_named(w->a, index[i], type->dims[i], &named[i]);
    channels = open_count(w, w->channels);
    lanes = open_lanes(w, w->panel, lanes_for(w, w->panel));
    index[4] = access_counter(&channels);
    index[5] = access_counter(&lanes);
    store(w, w->u, access_offset(w->a, type, index), access_value(w->a, w->n->operands[1], index));
    access_close_loop(w->a, &lanes);
    access_close_loop(w->a, &channels);
    for (int i = 4; i-- > 0;) access_close_loop(w->a, &named[i]);
}

static void find_weights(winograd *w) {
    const source *s = &w->a->sources[w->n->operands[1]];
    if (s->kind == SOURCE_BUFFER)
        w->u = s->buffer;
    else
        weights_stage(w);
}

/* V of all images and blocks: chunks of a few channels of an image. */
static void input_stage(winograd *w) {
    int64_t rows = w->tiles[0] * w->tile + 2;
    tn_dim extents[2] = {graph_type(w->a->fused, w->n->operands[0])->dims[0],
                         constant(w, ceil_div(w->channels, CHUNK_CHANNELS))};
    tn_dim number[2];
    access_loop named[2], channels, blocks;
    w->lines = scratch(w, rows * line_length(w), "lines");
    w->staged = scratch(w, rows * line_length(w) + w->lanes, "staged");
    access_unravel(w->a, access_open_stage(w->a, dim_product(w->t, extents, 2)), 2, extents, number);
    for (int i = 0; i < 2; i++) number[i] = access_open_named(w->a, number[i], extents[i], &named[i]);
    w->image = number[0];
    clear_lines(w, rows);
    tn_dim first = dim_mul_const(w->t, number[1], CHUNK_CHANNELS), all = constant(w, w->channels);
    channels =
        open_steps(w, first, access_simplify(w->a, dim_min(w->t, dim_add_const(w->t, first, CHUNK_CHANNELS), all)));
    tn_dim channel = access_counter(&channels);
    access_know_range(w->a, channel, all);
    copy_lines(w, channel, constant(w, -w->low[0]), rows);
    split_lines(w, rows);
    blocks = open_count(w, w->blocks);
    transform_block(w, channel, access_counter(&blocks), dim_mul_const(w->t, access_counter(&blocks), w->block_rows));
    access_close_loop(w->a, &blocks);
    access_close_loop(w->a, &channels);
    for (int i = 2; i-- > 0;) access_close_loop(w->a, &named[i]);
}

/* V of the present block. */
static void input_of_block(winograd *w) {
    int64_t rows = w->block_rows * w->tile + 2;
    clear_lines(w, rows);
    access_loop channels = open_count(w, w->channels);
    tn_dim first = dim_add_const(w->t, dim_mul_const(w->t, w->block, w->block_rows * w->tile), -w->low[0]);
    copy_lines(w, access_counter(&channels), first, rows);
    split_lines(w, rows);
    transform_block(w, access_counter(&channels), w->block, constant(w, 0));
    access_close_loop(w->a, &channels);
}

static void features_of_group(winograd *w, tn_dim group) {
    (w->has_few_tiles ? winograd_few_products : products)(w, group);
    (w->has_few_tiles ? winograd_few_results : results)(w, group);
}

static void result_stage(winograd *w) {
    tn_dim extents[3] = {graph_type(w->a->fused, w->n->operands[0])->dims[0], constant(w, w->blocks),
                         constant(w, w->by_blocks ? 1 : w->groups)};
    tn_dim number[3];
    access_loop named[3];
    if (w->by_blocks) {
        w->lines = scratch(w, (w->block_rows * w->tile + 2) * line_length(w), "lines");
        w->staged = scratch(w, (w->block_rows * w->tile + 2) * line_length(w) + w->lanes, "staged");
        w->v = scratch(w, w->side * w->side * w->v_plane, "v");
    }
    w->m = scratch(w, w->side * w->side * w->m_plane, "m");
    if (w->has_few_tiles) {
        w->tiles_out = scratch(w, winograd_few_pixels(w) * w->panel, "tiles");
        w->row_out = scratch(w, winograd_few_pixels(w) * w->panel, "pixels");
    } else {
        if (rest_tiles(w))
            w->rest = lt_add_buffer(&w->a->b, LT_LOCAL, TN_F32, constant(w, rest_tiles(w) * w->panel), "rest");
        w->tiles_out = scratch(w, w->tile * w->tile * out_pitch(w), "tiles");
        w->row_out = scratch(w, round_up(w->tiles[1] * w->tile, w->lanes), "row");
    }
    access_unravel(w->a, access_open_stage(w->a, dim_product(w->t, extents, 3)), 3, extents, number);
    for (int i = 0; i < 3; i++) number[i] = access_open_named(w->a, number[i], extents[i], &named[i]);
    w->image = number[0];
    w->block = number[1];
    if (w->by_blocks) {
        input_of_block(w);
        access_loop groups = open_count(w, w->groups);
        features_of_group(w, access_counter(&groups));
        access_close_loop(w->a, &groups);
    } else
        features_of_group(w, number[2]);
    for (int i = 3; i-- > 0;) access_close_loop(w->a, &named[i]);
}

/* ---- Shape ---- */

static bool read_shape(winograd *w, access *a, tn_graph *fused) {
    const node *n = lower_anchor(fused, TN_OP_winograd);
    const tn_type *x = graph_type(fused, n->operands[0]), *u = graph_type(fused, n->operands[1]),
                  *y = graph_type(fused, n->first_result);
    const attr *low = attr_find(&n->attrs, ATTR_low);
    *w = (winograd){.a = a, .t = fused->module->dims, .n = n, .value = n->first_result};
    w->tile = attr_int(&n->attrs, ATTR_tile, 0);
    w->side = w->tile + 2;
    w->features = attr_int(&n->attrs, ATTR_features, 0);
    w->lanes = lower_lanes(fused, a->b.machine);
    bool ok = dim_is_const(w->t, x->dims[1], &w->channels) && dim_is_const(w->t, u->dims[0], &w->groups) &&
              dim_is_const(w->t, u->dims[3], &w->group) && dim_is_const(w->t, u->dims[5], &w->panel);
    for (int i = 0; i < 2; i++) {
        ok = ok && dim_is_const(w->t, x->dims[i + 2], &w->in[i]) && dim_is_const(w->t, y->dims[i + 2], &w->out[i]) &&
             (!low || !low->dims.n || dim_is_const(w->t, low->dims.items[i], &w->low[i]));
        w->tiles[i] = ceil_div(w->out[i], w->tile);
    }
    return ok;
}

/* Sizes that follow from the number of tile rows in a block. */
static void set_block(winograd *w, int64_t rows) {
    w->block_rows = rows;
    w->blocks = w->tiles[0] / rows;
    w->pitch = round_up(rows * w->tiles[1], w->lanes);
    w->v_plane = round_up(w->channels * w->pitch, LINE) + LINE;
}

/* Vectors of tiles for each tile; long register tiles are a little better. */
static double waste(const winograd *w) {
    int64_t whole = w->pitch / w->lanes;
    double vectors = (double)whole - (rest_tiles(w) ? 1 - 0.1 * REST_COST : 0);
    return vectors * (double)w->lanes / (double)(w->block_rows * w->tiles[1]) * (1 + 0.1 / vectors);
}

/* The block with the least waste, of those that are wanted: blocks of many tiles make chunks when there are some;
 * otherwise chunks are groups of features. */
static bool choose_rows(winograd *w, bool by_blocks) {
    int64_t images = 1, best = 0;
    double least = 0;
    dim_is_const(w->t, graph_type(w->a->fused, w->n->operands[0])->dims[0], &images);
    for (int64_t rows = 1; rows <= w->tiles[0]; rows++) {
        int64_t tiles = rows * w->tiles[1], blocks = w->tiles[0] / rows;
        if (w->tiles[0] % rows || (rows > 1 && tiles > MOST_TILES)) continue;
        if (by_blocks && (tiles < MANY_TILES || blocks * images < LEAST_BLOCKS)) continue;
        set_block(w, rows);
        if (best > 0 && waste(w) >= least) continue;
        least = waste(w);
        best = rows;
    }
    if (best > 0) set_block(w, best);
    return best > 0;
}

static void choose_block(winograd *w) {
    w->has_few_tiles = w->tiles[0] * w->tiles[1] < MANY_TILES && w->panel <= 4 * w->lanes;
    for (int i = 0; i < 2; i++) w->is_cut[i] = w->has_few_tiles && w->out[i] % w->tile != 0;
    w->by_blocks = !w->has_few_tiles && choose_rows(w, true);
    if (w->has_few_tiles)
        set_block(w, w->tiles[0]);
    else if (!w->by_blocks)
        choose_rows(w, false);
    w->staged_pitch = round_up(w->tiles[1] + 1, lanes_for(w, w->tiles[1] + 1));
    w->row_lanes = lanes_for(w, w->tiles[1]);
    w->m_plane = round_up(w->group * w->panel * w->pitch, LINE) + LINE;
}

/* ---- Entries ---- */

bool winograd_takes(const tn_graph *fused) { return lower_anchor(fused, TN_OP_winograd) != NULL; }

lt_kernel *winograd_lower(tn_graph *fused, const machine *m) {
    access a;
    winograd w;
    if (access_open(&a, fused, "winograd", m) && read_shape(&w, &a, fused)) {
        choose_block(&w);
        find_weights(&w);
        if (!w.by_blocks) {
            tn_dim all = dim_mul_const(w.t, graph_type(fused, w.n->operands[0])->dims[0],
                                       w.blocks * w.side * w.side * w.v_plane);
            w.v = lt_add_buffer(&a.b, LT_TEMP, TN_F32, all, "v");
            input_stage(&w);
        }
        result_stage(&w);
    }
    return access_close(&a);
}
