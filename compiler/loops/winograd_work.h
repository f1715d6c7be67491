/* What the files of class winograd share: sizes, buffers, and how loops over them are written. */
#ifndef TN_LOOPS_WINOGRAD_WORK_H
#define TN_LOOPS_WINOGRAD_WORK_H

#include "compiler/loops/channel_rows.h"
#include "compiler/loops/winograd.h"

typedef struct winograd {
    access *a;
    dim_table *t;
    const node *n;
    value_id value;
    int64_t tile, side, panel, channels, features;
    int64_t group, groups;                   /* panels in a group */
    int64_t in[2], out[2], low[2], tiles[2]; /* rows, columns */
    int64_t lanes, row_lanes;                /* row_lanes: enough for a row of tiles */
    /* How it is cut. */
    int64_t block_rows, blocks; /* tile rows in a block; blocks of an image */
    int64_t block_images;       /* in a block: of several it has all rows */
    int64_t pitch, staged_pitch, v_plane, m_plane;
    int64_t v_tile; /* V lies by tiles, so many elements for each; 0: by channels, `pitch` for each */
    bool by_blocks; /* a chunk is a block; else there is one for each image, and chunks are groups of features */
    bool is_cut[2]; /* tiles of the block's last row, or column, reach beyond the result */
    /* Buffers. */
    uint32_t lines, staged, u, v, m, tiles_out, row_out;
    channel_rows rows; /* of a tile row of an image, where V lies by tiles */
    /* The present chunk. */
    tn_dim image, block; /* image: the first one of the block */
} winograd;

/* ---- Dims ---- */

static inline tn_dim constant(const winograd *w, int64_t value) { return dim_const(w->t, value); }

/* base + factor * d */
static inline tn_dim plus(const winograd *w, tn_dim base, int64_t factor, tn_dim d) {
    return dim_add(w->t, base, dim_mul_const(w->t, d, factor));
}

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t round_up(int64_t n, int64_t unit) { return ceil_div(n, unit) * unit; }

/* ---- Loops ---- */

static inline access_loop open_steps(winograd *w, tn_dim begin, tn_dim end) {
    return access_open_loop(w->a, LT_SERIAL, begin, end, 0, 0);
}

static inline access_loop open_count(winograd *w, int64_t n) { return open_steps(w, constant(w, 0), constant(w, n)); }

static inline access_loop open_lanes(winograd *w, int64_t n, int64_t lanes) {
    return access_open_loop(w->a, LT_VECTOR, constant(w, 0), constant(w, n), (uint32_t)lanes, 0);
}

/* The lanes of a register, or fewer that are enough for n. */
static inline int64_t lanes_for(const winograd *w, int64_t n) {
    int64_t lanes = w->lanes;
    while (lanes / 2 >= n) lanes /= 2;
    return lanes;
}

static inline lt_value load(winograd *w, uint32_t buffer, tn_dim index) {
    return lt_load(&w->a->b, buffer, access_simplify(w->a, index), LT_NONE);
}

static inline void store(winograd *w, uint32_t buffer, tn_dim index, lt_value value) {
    if (value != LT_NONE) lt_store(&w->a->b, buffer, access_simplify(w->a, index), value, LT_NONE);
}

/* ---- What the class is made of ---- */

uint32_t winograd_scratch(winograd *w, int64_t elements, const char *name);

/* Rows of padded input and of such split into phases: before the stage. */
void winograd_open_input(winograd *w);
/* V of channels [first, end) of the present block. */
void winograd_input_of_block(winograd *w, tn_dim first, tn_dim end);
/* The same where V lies by tiles (winograd_tiles.c): before the stage; V of an image of the present block. */
void winograd_open_rows(winograd *w);
void winograd_input_of_image(winograd *w, tn_dim within);
/* Element (plane 0, channel 0, tile 0) of the present block in V. */
tn_dim winograd_v_base(const winograd *w);
/* Tiles of a tile row in planes of that column of the transformed tile, and tile rows in planes of that row: the last
 * ones have fewer where what they make is cut off (winograd_panels.c). */
static inline int64_t winograd_block_tiles(const winograd *w) { return w->block_images * w->block_rows * w->tiles[1]; }
static inline int64_t winograd_tiles_across(const winograd *w, int64_t column) {
    return w->tiles[1] - (w->is_cut[1] && column == w->side - 1);
}
static inline int64_t winograd_tiles_down(const winograd *w, int64_t row) {
    return w->block_rows - (w->is_cut[0] && row == w->side - 1);
}

/* Products and results of a group: before the stage. */
void winograd_open_group(winograd *w);
/* The present block's result for a group's features. */
void winograd_group(winograd *w, tn_dim group);

#endif
