/* The products of class winograd, and the result that they make, for a group of panels of features.
 *
 * in:  V of a block, and U in groups of panels
 * out: products   M[xi][panel][tile][feature], lanes along features: a register tile is all tiles of the block, or
 *                 a part, against a panel, so that V is what gets splatted and U is read once, in order
 *      result     A^T M A of each tile, lanes along features; then pixels of all features become rows of pixels
 *                 of each, to be stored with the other members' work
 * law: sums run over the channels in order
 *
 * Tiles are rows of register tiles, not lanes, so none is added to fill a vector: 9 cost what 9 cost,
 * and products that nobody reads can stay away. The last column of M only makes the last column of A^T M A,
 * which the result lacks where the last column of tiles reaches beyond it. So planes of the last column have
 * one column of tiles less; rows alike. What the transform reads in their place only goes into pixels that
 * are not stored.
 */
#include "compiler/loops/winograd_work.h"

enum { AHEAD = 2048 }; /* elements of U: memory's answer takes that long */

/* ---- Products ---- */

/* A matrix of a register tile: where it begins, and elements from one row and step to the next; those of U and M have
 * rows of neighbours. */
typedef struct matrix_part {
    uint32_t buffer;
    tn_dim index;
    int64_t row, step;
} matrix_part;

/* Panel (plane xi, panel of the group) in U. */
static tn_dim u_panel(const winograd *w, tn_dim group, tn_dim xi, tn_dim panel) {
    tn_dim plane = plus(w, xi, w->side * w->side, group);
    return dim_mul_const(w->t, plus(w, panel, w->group, plane), w->panel * w->channels);
}

/* mr neighbours of A against nr of B for each channel. */
static lt_stmt *tile_of(winograd *w, matrix_part a, matrix_part b, matrix_part c, int64_t mr, int64_t nr) {
    lt_stmt *s = lt_tile(&w->a->b);
    s->tile.a = a.buffer;
    s->tile.b = b.buffer;
    s->tile.c = c.buffer;
    s->tile.a_index = access_simplify(w->a, a.index);
    s->tile.b_index = access_simplify(w->a, b.index);
    s->tile.c_index = access_simplify(w->a, c.index);
    s->tile.a_row = constant(w, a.row);
    s->tile.a_depth = constant(w, a.step);
    s->tile.b_depth = constant(w, b.step);
    s->tile.c_row = constant(w, c.row);
    s->tile.depth = constant(w, w->channels);
    s->tile.mr = (uint32_t)mr;
    s->tile.nr = (uint32_t)nr;
    return s;
}

/* U streams by from `at` on, each element read once for a block: the tile asks memory ahead of time. */
static void ask_ahead(winograd *w, lt_stmt *tile, tn_dim at) {
    tile->tile.next = w->u;
    tile->tile.next_index = access_simplify(w->a, dim_add_const(w->t, at, AHEAD));
    tile->tile.next_step = constant(w, w->panel);
}

/* Rows of a register tile: besides the sums, registers hold a row of the panel, an element of V, and where nothing
 * multiplies and adds at once, a product. */
static int64_t most_rows(const winograd *w) {
    const machine *m = w->a->b.machine;
    int64_t vectors = ceil_div(w->panel, w->lanes), others = vectors + (m->has_fma ? 1 : 2);
    int64_t rows = (m->vector_count - others) / vectors;
    return rows > 1 ? rows : 1;
}

/* A panel against the first `tiles` tiles, in equal parts. */
static void panel_products(winograd *w, tn_dim u, tn_dim v, tn_dim m, int64_t tiles) {
    int64_t parts = ceil_div(tiles, most_rows(w)), first = 0;
    for (int64_t left = parts; left > 0; left--) {
        int64_t rows = (tiles - first) / left, row = w->v_tile ? w->v_tile : 1, step = w->v_tile ? 1 : w->pitch;
        matrix_part a = {w->v, dim_add_const(w->t, v, first * row), row, step}, b = {w->u, u, 1, w->panel},
                    c = {w->m, dim_add_const(w->t, m, first * w->panel), w->panel, 1};
        lt_stmt *s = tile_of(w, a, b, c, rows, w->panel);
        if (left == parts) ask_ahead(w, s, u);
        first += rows;
    }
}

typedef struct range {
    int64_t begin, end;
} range;

/* Planes of those rows and columns, which have as many tiles. */
static void plane_products(winograd *w, tn_dim group, range rows, range columns) {
    access_loop i = open_steps(w, constant(w, rows.begin), constant(w, rows.end));
    access_loop j = open_steps(w, constant(w, columns.begin), constant(w, columns.end));
    tn_dim xi = plus(w, access_counter(&j), w->side, access_counter(&i));
    access_loop panels = open_count(w, w->group);
    tn_dim panel = access_counter(&panels), u = u_panel(w, group, xi, panel);
    tn_dim v = plus(w, winograd_v_base(w), w->v_plane, xi);
    tn_dim m = plus(w, dim_mul_const(w->t, panel, w->panel * w->pitch), w->m_plane, xi);
    int64_t tiles = winograd_tiles_down(w, rows.begin) * winograd_tiles_across(w, columns.begin);
    panel_products(w, u, v, m, w->block_images * tiles);
    access_close_loop(w->a, &panels);
    access_close_loop(w->a, &j);
    access_close_loop(w->a, &i);
}

/* All rows or columns of planes at once, or the last one by itself, where it has fewer tiles. */
static int parts_of(const winograd *w, int axis, range *parts) {
    int64_t last = w->side - 1;
    parts[0] = (range){0, w->is_cut[axis] ? last : w->side};
    parts[1] = (range){last, w->side};
    return w->is_cut[axis] ? 2 : 1;
}

static void products(winograd *w, tn_dim group) {
    range rows[2], columns[2];
    int n_rows = parts_of(w, 0, rows), n_columns = parts_of(w, 1, columns);
    for (int i = 0; i < n_rows; i++)
        for (int j = 0; j < n_columns; j++) plane_products(w, group, rows[i], columns[j]);
}

/* ---- Result ---- */

/* A row of pixels of whole tiles. */
static int64_t row_pixels(const winograd *w) { return w->tiles[1] * w->tile; }

static int64_t pixels_of_block(const winograd *w) {
    return round_up(w->block_images * w->block_rows * w->tile * row_pixels(w), w->lanes);
}

/* A^T M A of a panel's tiles: tiles_out[pixel][feature]. `from` is the panel's element (plane 0, tile 0) in M. */
static void transform_panel(winograd *w, tn_dim from) {
    lt_value m[WINOGRAD_SIDE * WINOGRAD_SIDE] = {0};
    access_loop rows = open_count(w, w->block_images * w->block_rows), columns = open_count(w, w->tiles[1]);
    access_loop loop = open_lanes(w, w->panel, lanes_for(w, w->panel));
    tn_dim row = access_counter(&rows), column = access_counter(&columns), feature = access_counter(&loop);
    for (int64_t xi = 0; xi < w->side * w->side; xi++) {
        tn_dim tile = plus(w, column, winograd_tiles_across(w, xi % w->side), row);
        tn_dim plane = dim_add_const(w->t, dim_add(w->t, from, feature), xi * w->m_plane);
        m[xi] = load(w, w->m, plus(w, plane, w->panel, tile));
    }
    if (!w->a->b.failed) winograd_output(&w->a->b, w->tile, m);
    tn_dim corner = plus(w, dim_mul_const(w->t, column, w->tile), w->tile * row_pixels(w), row);
    for (int64_t i = 0; i < w->tile * w->tile; i++) {
        tn_dim pixel = dim_add_const(w->t, corner, i / w->tile * row_pixels(w) + i % w->tile);
        store(w, w->tiles_out, plus(w, feature, w->panel, pixel), m[i]);
    }
    access_close_loop(w->a, &loop);
    access_close_loop(w->a, &columns);
    access_close_loop(w->a, &rows);
}

/* row_out[feature][pixel] of a panel. */
static void turn_pixels(winograd *w) {
    int64_t pixels = pixels_of_block(w);
    access_loop loop = open_count(w, pixels / w->lanes);
    tn_dim pixel = dim_mul_const(w->t, access_counter(&loop), w->lanes);
    for (int64_t first = 0; first < w->panel; first += w->lanes) {
        int64_t features = w->panel - first < w->lanes ? w->panel - first : w->lanes;
        lt_matrix from = {w->tiles_out, plus(w, constant(w, first), w->panel, pixel), constant(w, w->panel)};
        lt_matrix to = {w->row_out, dim_add_const(w->t, pixel, first * pixels), constant(w, pixels)};
        lt_transpose(&w->a->b, from, to, w->lanes, features);
    }
    access_close_loop(w->a, &loop);
}

/* Pixels of a feature in an image of the block, from `from` on: a loop's worth of them. */
static void store_pixels(winograd *w, tn_dim image, tn_dim feature, tn_dim row, tn_dim column, tn_dim from) {
    tn_dim first = dim_mul_const(w->t, w->block, w->block_rows * w->tile);
    tn_dim index[4] = {image, feature, dim_add(w->t, first, row), column};
    tn_dim pixel = plus(w, column, row_pixels(w), row);
    lower_store_anchor(w->a, w->value, index, load(w, w->row_out, dim_add(w->t, from, pixel)));
}

/* All rows at once where tiles end with the result's rows, else one after the other. */
static void feature_rows(winograd *w, tn_dim image, tn_dim feature, tn_dim from) {
    int64_t height = w->block_rows * w->tile;
    tn_dim left = dim_sub(w->t, constant(w, w->out[0]), dim_mul_const(w->t, w->block, height)),
           rows = access_simplify(w->a, dim_min(w->t, constant(w, height), left));
    if (w->out[1] == row_pixels(w)) {
        tn_dim extents[2] = {constant(w, height), constant(w, w->out[1])}, at[2];
        access_loop loop = access_open_loop(w->a, LT_VECTOR, constant(w, 0), dim_mul_const(w->t, rows, w->out[1]),
                                            (uint32_t)w->lanes, 0);
        access_know_range(w->a, access_counter(&loop), constant(w, height * w->out[1]));
        access_unravel(w->a, access_counter(&loop), 2, extents, at);
        store_pixels(w, image, feature, at[0], at[1], from);
        access_close_loop(w->a, &loop);
        return;
    }
    access_loop loop = open_steps(w, constant(w, 0), rows), columns;
    access_know_range(w->a, access_counter(&loop), constant(w, height));
    columns = open_lanes(w, w->out[1], w->lanes);
    store_pixels(w, image, feature, access_counter(&loop), access_counter(&columns), from);
    access_close_loop(w->a, &columns);
    access_close_loop(w->a, &loop);
}

/* In all images of the block. */
static void feature_images(winograd *w, tn_dim feature, tn_dim from) {
    if (w->block_images == 1) {
        feature_rows(w, w->image, feature, from);
        return;
    }
    access_loop images = open_count(w, w->block_images);
    tn_dim within = access_counter(&images);
    feature_rows(w, dim_add(w->t, w->image, within), feature,
                 plus(w, from, w->block_rows * w->tile * row_pixels(w), within));
    access_close_loop(w->a, &images);
}

static void results(winograd *w, tn_dim group) {
    access_loop panels = open_count(w, w->group);
    tn_dim panel = access_counter(&panels), size = constant(w, w->panel);
    transform_panel(w, dim_mul_const(w->t, panel, w->panel * w->pitch));
    turn_pixels(w);
    tn_dim first = dim_mul_const(w->t, plus(w, panel, w->group, group), w->panel),
           left = dim_sub(w->t, constant(w, w->features), first);
    access_loop loop = open_steps(w, constant(w, 0), access_simplify(w->a, dim_min(w->t, size, left)));
    tn_dim within = access_counter(&loop);
    access_know_range(w->a, within, size);
    feature_images(w, dim_add(w->t, first, within), dim_mul_const(w->t, within, pixels_of_block(w)));
    access_close_loop(w->a, &loop);
    access_close_loop(w->a, &panels);
}

/* ---- Both ---- */

void winograd_open_group(winograd *w) {
    w->m = winograd_scratch(w, w->side * w->side * w->m_plane, "m");
    w->tiles_out = winograd_scratch(w, pixels_of_block(w) * w->panel, "tiles");
    w->row_out = winograd_scratch(w, pixels_of_block(w) * w->panel, "pixels");
}

void winograd_group(winograd *w, tn_dim group) {
    products(w, group);
    results(w, group);
}
