/* What the files of class conv_weights share: sizes, operands, tiles and results. */
#ifndef TN_LOOPS_CONV_WEIGHTS_H
#define TN_LOOPS_CONV_WEIGHTS_H

#include "compiler/loops/channel_rows.h"
#include "compiler/loops/pack.h"

/* One side of the result's matrix (output channels, channels) in tiles, and those in chunks. */
typedef struct weights_side {
    int64_t extent, size;  /* of a tile */
    int64_t whole, rest;   /* whole tiles, and what is left */
    int64_t tiles, chunks; /* tiles in a chunk */
    int64_t chunk_extent;  /* the most of it that a chunk has */
} weights_side;

/* Where tiles read the second operand: elements from one image, output channel, row and column to the next. */
typedef struct given_places {
    uint32_t buffer;
    tn_dim base, image, feature, row, column;
} given_places;

typedef struct conv_weights {
    access *a;
    dim_table *t;
    const node *n;
    value_id value;
    tn_dtype sum;
    tn_dim images;
    int spatial;                               /* a single spatial axis is the columns of one row */
    int64_t groups, channels, features, lanes; /* channels and features: of a group */
    int64_t in[2], places[2], window[2], stride[2], low[2], dilation[2]; /* rows, columns */
    channel_rows x, dy;                                                  /* copies */
    given_places given;
    weights_side rows, columns; /* of the result: output channels; channels */
    tn_dim group;               /* of the chunk */
    /* Of a chunk: sums of each output channel, [tap][channel], and where they become [channel][tap]. */
    uint32_t sums, turned;
    int64_t tap_pitch, row_pitch;
} conv_weights;

static inline tn_dim cw_number(const conv_weights *w, int64_t value) { return dim_const(w->t, value); }

/* base + factor * d */
static inline tn_dim cw_plus(const conv_weights *w, tn_dim base, int64_t factor, tn_dim d) {
    return dim_add(w->t, base, dim_mul_const(w->t, d, factor));
}

static inline int64_t cw_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static inline access_loop cw_open_count(conv_weights *w, int64_t n) {
    return access_open_loop(w->a, LT_SERIAL, cw_number(w, 0), cw_number(w, n), 0, 0);
}

static inline access_loop cw_open_lanes(conv_weights *w, int64_t n) {
    uint32_t lanes = lower_lanes_for(w->a->fused, w->a->b.machine, cw_number(w, n));
    return access_open_loop(w->a, LT_VECTOR, cw_number(w, 0), cw_number(w, n), lanes, 0);
}

static inline void cw_store(conv_weights *w, uint32_t buffer, tn_dim index, lt_value value) {
    if (value != LT_NONE) lt_store(&w->a->b, buffer, access_simplify(w->a, index), value, LT_NONE);
}

static inline int64_t cw_taps(const conv_weights *w) { return w->window[0] * w->window[1]; }

/* Steps from one place to the next in the copy of x, along an axis: with one tap it has places alone. */
static inline int64_t cw_place_step(const conv_weights *w, int axis) {
    return w->window[axis] > 1 ? w->stride[axis] : 1;
}

static inline int64_t cw_image_elements(const channel_rows *s) { return s->extent[0] * channel_rows_line(s); }

/* ---- class_conv_weights.c ---- */

/* A side in tiles of that size, at most so many in a chunk. */
weights_side cw_side(int64_t extent, int64_t size, int64_t tiles);
/* The tile for the whole result of one tap. */
blocking cw_blocking(const conv_weights *w, const machine *m, int64_t columns);

/* The loops over the tiles of a chunk, columns outside. */
typedef void cw_tile(conv_weights *w, const void *ctx, tn_dim row, tn_dim column, int64_t n_rows, int64_t n_columns);
/* `chunk`: numbers of the present chunk's part of rows and of columns. */
void cw_tiles(conv_weights *w, const tn_dim *chunk, cw_tile *body, const void *ctx);
/* What of a side lies in the chunk: its first one, and how many. */
tn_dim cw_first(const conv_weights *w, const weights_side *s, tn_dim chunk);
tn_dim cw_extent(const conv_weights *w, const weights_side *s, tn_dim chunk);

/* Stores the result of the chunk from its sums. */
void cw_store_chunk(conv_weights *w, const tn_dim *chunk);

/* ---- conv_weights_channels.c ---- */

enum { CW_MOST_WINDOW = 16 }; /* taps of a row, in registers */
/* The sums of groups that have one channel and one output channel each, in place of chunks of tiles. */
void cw_lower_channels(conv_weights *w);

/* ---- conv_weights_tiles.c ---- */

/* All stages by Winograd's algorithm. */
void cw_lower_tiles(conv_weights *w, const machine *m);

#endif
