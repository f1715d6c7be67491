/* Class conv_weights for channels by themselves (depthwise): lanes are channels.
 *
 * in:  groups of one channel and one output channel, both operands laid out by positions
 * out: a stage of vectors of channels: the taps of a row at a time, sums in registers, through all places of all
 *      images; then the other members
 * law: each sum is one FMA chain over images, then places, row-major
 */
#include "compiler/loops/conv_weights.h"

enum { PARTS = 4 }; /* chunks are rows of taps of so many vectors of channels, at most */

/* The sums of a row of taps, as they stand before or after a step. */
typedef struct tap_sums {
    lt_value taps[CW_MOST_WINDOW];
} tap_sums;

typedef struct channel_sums {
    conv_weights *w;
    tn_dim tap_row, channel;
} channel_sums;

static access_loop open_carrying(const channel_sums *c, tn_dim end, tap_sums *s) {
    conv_weights *w = c->w;
    access_loop loop = access_open_loop(w->a, LT_SERIAL, cw_number(w, 0), end, 0, (uint32_t)w->window[1]);
    for (int64_t i = 0; i < w->window[1]; i++)
        s->taps[i] = lt_carry_in(&w->a->b, loop.stmt, (uint32_t)i, s->taps[i], TN_OP_add);
    return loop;
}

static void close_carrying(const channel_sums *c, access_loop *loop, tap_sums *s) {
    conv_weights *w = c->w;
    for (int64_t i = 0; i < w->window[1]; i++) lt_carry_next(loop->stmt, (uint32_t)i, s->taps[i]);
    access_close_loop(w->a, loop);
    for (int64_t i = 0; i < w->window[1]; i++) s->taps[i] = lt_carry_result(loop->stmt, (uint32_t)i);
}

static lt_value load(const conv_weights *w, uint32_t buffer, tn_dim index) {
    return lt_load(&w->a->b, buffer, access_simplify(w->a, index), LT_NONE);
}

/* One place. */
static void add_place(const channel_sums *c, tn_dim image, tn_dim row, tn_dim column, tap_sums *s) {
    conv_weights *w = c->w;
    const channel_rows *x = &w->x, *dy = &w->dy;
    tn_dim from = cw_plus(w, cw_plus(w, c->channel, cw_image_elements(dy), image), channel_rows_line(dy), row);
    lt_value given = load(w, dy->buffer, cw_plus(w, from, dy->pitch, column));
    tn_dim line = cw_plus(w, dim_mul_const(w->t, row, cw_place_step(w, 0)), w->dilation[0], c->tap_row);
    from = cw_plus(w, cw_plus(w, c->channel, cw_image_elements(x), image), channel_rows_line(x), line);
    from = cw_plus(w, from, cw_place_step(w, 1) * x->pitch, column);
    for (int64_t tap = 0; tap < w->window[1] && !w->a->b.failed; tap++) {
        lt_value met = load(w, x->buffer, dim_add_const(w->t, from, tap * w->dilation[1] * x->pitch));
        s->taps[tap] = lt_ternary(&w->a->b, TN_OP_fma, given, met, s->taps[tap]);
    }
}

static void all_places(const channel_sums *c, tap_sums *s) {
    conv_weights *w = c->w;
    for (int64_t i = 0; i < w->window[1]; i++) s->taps[i] = lt_const_int(&w->a->b, w->sum, 0);
    if (w->places[0] < 1 || w->places[1] < 1) return;
    access_loop images = open_carrying(c, w->images, s), rows = open_carrying(c, cw_number(w, w->places[0]), s),
                columns = open_carrying(c, cw_number(w, w->places[1]), s);
    add_place(c, access_counter(&images), access_counter(&rows), access_counter(&columns), s);
    close_carrying(c, &columns, s);
    close_carrying(c, &rows, s);
    close_carrying(c, &images, s);
}

/* Results lie by channels, so those of a row of taps are stored one by one, lanes apart. */
static void store_taps(const channel_sums *c, const tap_sums *s) {
    conv_weights *w = c->w;
    for (int64_t tap = 0; tap < w->window[1]; tap++) {
        tn_dim index[4] = {c->channel, cw_number(w, 0)};
        if (w->spatial > 1) index[2] = c->tap_row;
        index[1 + w->spatial] = cw_number(w, tap);
        lower_store_anchor(w->a, w->value, index, s->taps[tap]);
    }
}

void cw_lower_channels(conv_weights *w) {
    int64_t vectors = cw_ceil_div(w->groups, w->lanes), some = vectors < PARTS ? 1 : vectors / PARTS;
    tn_dim extents[2] = {cw_number(w, cw_ceil_div(vectors, some)), cw_number(w, w->window[0])}, number[2];
    access_loop named[2];
    access_open_chunks(w->a, 2, extents, number, named);
    tn_dim begin = dim_mul_const(w->t, number[0], some * w->lanes),
           end = dim_min(w->t, dim_add_const(w->t, begin, some * w->lanes), cw_number(w, w->groups));
    access_loop lanes = access_open_loop(w->a, LT_VECTOR, begin, access_simplify(w->a, end), (uint32_t)w->lanes, 0);
    channel_sums c = {w, number[1], access_counter(&lanes)};
    tap_sums s;
    access_know_range(w->a, c.channel, cw_number(w, w->groups));
    all_places(&c, &s);
    store_taps(&c, &s);
    access_close_loop(w->a, &lanes);
    access_close_chunks(w->a, 2, named);
}
