/* The input of class winograd where images have few tiles: V by tiles, lanes along channels.
 *
 * in:  the input's rows
 * out: V[xi][tile][channel] = (B^T d B)[xi] of all tiles of an image, the images of a block one after the other
 * law: that of winograd_input.c, element for element
 *
 * The rows that a row of tiles depends on are laid out by positions (channel_rows.c), so that an element of d is a
 * vector of channels, however few tiles there are.
 */
#include "compiler/loops/winograd_work.h"

void winograd_open_rows(winograd *w) {
    access *a = w->a;
    channel_rows *s = &w->rows;
    *s = (channel_rows){.a = a, .value = w->n->operands[0], .dtype = TN_F32, .spatial = 2, .lanes = w->lanes};
    s->channels = w->channels;
    s->pitch = w->v_tile;
    for (int i = 0; i < 2; i++) {
        s->in[i] = w->in[i];
        s->low[i] = w->low[i];
        s->extent[i] = w->tiles[i] * w->tile + 2;
        s->step[i] = 1;
    }
    s->buffer = winograd_scratch(w, w->side * channel_rows_line(s), "rows");
    s->turned = lt_add_buffer(&a->b, LT_LOCAL, TN_F32, constant(w, channel_rows_turned(s)), "turned");
}

/* Tiles of a tile row; the first one's plane 0 goes to `to`. */
static void transform_tiles(winograd *w, tn_dim to) {
    lt_value d[WINOGRAD_SIDE * WINOGRAD_SIDE] = {0};
    access_loop tiles = open_count(w, w->tiles[1]), lanes = open_lanes(w, w->channels, w->lanes);
    tn_dim tile = access_counter(&tiles), channel = access_counter(&lanes);
    for (int64_t i = 0; i < w->side; i++)
        for (int64_t j = 0; j < w->side; j++) {
            int64_t from = i * channel_rows_line(&w->rows) + j * w->rows.pitch;
            tn_dim at = plus(w, channel, w->tile * w->rows.pitch, tile);
            d[i * w->side + j] = load(w, w->rows.buffer, dim_add_const(w->t, at, from));
        }
    if (!w->a->b.failed) winograd_input(&w->a->b, w->tile, d);
    for (int64_t xi = 0; xi < w->side * w->side; xi++) {
        tn_dim at = dim_add(w->t, plus(w, channel, w->v_tile, tile), dim_add_const(w->t, to, xi * w->v_plane));
        store(w, w->v, at, d[xi]);
    }
    access_close_loop(w->a, &lanes);
    access_close_loop(w->a, &tiles);
}

void winograd_input_of_image(winograd *w, tn_dim within) {
    access_loop rows = open_count(w, w->tiles[0]), lines = open_count(w, w->side);
    tn_dim row = access_counter(&rows), line = access_counter(&lines);
    channel_rows_copy(&w->rows, dim_add(w->t, w->image, within), plus(w, line, w->tile, row),
                      dim_mul_const(w->t, line, channel_rows_line(&w->rows)));
    access_close_loop(w->a, &lines);
    tn_dim first = dim_mul_const(w->t, plus(w, row, w->tiles[0], within), w->tiles[1]);
    transform_tiles(w, plus(w, winograd_v_base(w), w->v_tile, first));
    access_close_loop(w->a, &rows);
}
