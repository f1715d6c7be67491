/* What the files of class winograd share: sizes, buffers, and how loops over them are written. */
#ifndef TN_LOOPS_WINOGRAD_WORK_H
#define TN_LOOPS_WINOGRAD_WORK_H

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
    int64_t block_rows, blocks; /* tile rows in a block */
    int64_t pitch, staged_pitch, v_plane, m_plane;
    bool by_blocks, has_few_tiles;
    bool is_cut[2]; /* few tiles, and those of the last row, or column, reach beyond the result */
    /* Buffers. */
    uint32_t lines, staged, u, v, m, rest, tiles_out, row_out;
    /* The present chunk. */
    tn_dim image, block;
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

/* ---- V and products (class_winograd.c) ---- */

/* Tiles of a tile row in planes of that column of the transformed tile, and tile rows in planes of that row. */
int64_t winograd_tiles_across(const winograd *w, int64_t column);
int64_t winograd_tiles_down(const winograd *w, int64_t row);

/* Element (plane 0, channel 0, tile 0) of the block in V. */
tn_dim winograd_v_base(const winograd *w, tn_dim block);

/* A matrix of a register tile: where it begins, and elements from one row or step to the next. */
typedef struct matrix_part {
    uint32_t buffer;
    tn_dim index;
    int64_t pitch;
} matrix_part;

/* Panel (plane xi, panel of the group) in U. */
tn_dim winograd_u_panel(const winograd *w, tn_dim group, tn_dim xi, tn_dim panel);

/* mr neighbours of A against nr of B for each channel. */
lt_stmt *winograd_tile(winograd *w, matrix_part a, matrix_part b, matrix_part c, int64_t mr, int64_t nr);
/* U streams by from `at` on, each element read once for a block: the tile asks memory ahead of time. */
void winograd_ask_ahead(winograd *w, lt_stmt *tile, tn_dim at);

/* ---- Few tiles (winograd_few.c) ---- */

/* M of a group's features, and then their results. */
void winograd_few_products(winograd *w, tn_dim group);
void winograd_few_results(winograd *w, tn_dim group);
/* Pixels of a feature that tiles_out and row_out have room for. */
int64_t winograd_few_pixels(const winograd *w);

#endif
