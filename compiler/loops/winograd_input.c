/* The input of class winograd: V, which the products read in its place.
 *
 * in:  the input's rows
 * out: V[xi][channel][tile] = (B^T d B)[xi] of a block of tile rows, lanes along tiles, xi counting a tile's
 *      elements
 *
 * Rows of a channel are laid out with their padding, then split into `tile` phases each, so that the same
 * column of neighbouring tiles is contiguous: staged[row][phase][tile] = line[row][tile * tiles + phase].
 */
#include "compiler/loops/winograd_work.h"

static lt_value zero(winograd *w) { return lt_const_float(&w->a->b, TN_F32, 0); }

/* Rows that the block's tiles depend on. */
static int64_t input_rows(const winograd *w) { return w->block_rows * w->tile + 2; }

static int64_t line_length(const winograd *w) { return w->tile * w->staged_pitch; }

/* Once for each chunk: what is left and right of the rows stays zero. */
static void clear_lines(winograd *w) {
    access_loop loop = open_lanes(w, input_rows(w) * line_length(w), w->lanes);
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

static void copy_lines(winograd *w, tn_dim channel) {
    access_loop loop = open_count(w, input_rows(w));
    tn_dim first = dim_add_const(w->t, dim_mul_const(w->t, w->block, w->block_rows * w->tile), -w->low[0]);
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

static void split_lines(winograd *w) {
    access_loop lines = open_count(w, input_rows(w));
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

/* Whole vectors where they stay within V's row: the next row of tiles overwrites what is behind this one. */
static int64_t row_reach(const winograd *w) {
    int64_t whole = round_up(w->tiles[1], w->row_lanes);
    return (w->block_rows - 1) * w->tiles[1] + whole <= w->pitch ? whole : w->tiles[1];
}

/* The tiles of the block's row `row`; the block's tile 0 of plane 0 goes to `to`. */
static void transform_row(winograd *w, tn_dim row, tn_dim to) {
    lt_value d[WINOGRAD_SIDE * WINOGRAD_SIDE] = {0};
    access_loop loop = open_lanes(w, row_reach(w), w->row_lanes);
    tn_dim from = plus(w, access_counter(&loop), w->tile * line_length(w), row);
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

/* Images of a block follow each other, so the block's number is that of its first image in blocks. */
tn_dim winograd_v_base(const winograd *w) {
    tn_dim number = access_simplify(w->a, dim_floordiv(w->t, w->image, constant(w, w->block_images)));
    return dim_mul_const(w->t, w->by_blocks ? constant(w, 0) : number, w->side * w->side * w->v_plane);
}

void winograd_open_input(winograd *w) {
    int64_t elements = input_rows(w) * line_length(w);
    w->lines = winograd_scratch(w, elements, "lines");
    w->staged = winograd_scratch(w, elements + w->lanes, "staged");
}

void winograd_input_of_block(winograd *w, tn_dim first_channel, tn_dim end) {
    clear_lines(w);
    access_loop channels = open_steps(w, first_channel, end), rows;
    tn_dim channel = access_counter(&channels);
    access_know_range(w->a, channel, constant(w, w->channels));
    copy_lines(w, channel);
    split_lines(w);
    rows = open_count(w, w->block_rows);
    transform_row(w, access_counter(&rows), plus(w, winograd_v_base(w), w->pitch, channel));
    access_close_loop(w->a, &rows);
    access_close_loop(w->a, &channels);
}
