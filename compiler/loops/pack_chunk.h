/* A chunk of a product, between the loops over its tiles (pack_tile.c) and what stores them (pack_store.c). */
#ifndef TN_LOOPS_PACK_CHUNK_H
#define TN_LOOPS_PACK_CHUNK_H

#include "compiler/loops/pack.h"

/* Whole tiles along one side, and what is left of a static extent. */
typedef struct cut {
    int64_t size;   /* of a tile */
    tn_dim n;       /* tiles; whole ones and, when the extent is static, only those */
    int64_t rest;   /* static: rows or columns behind them */
    bool is_padded; /* symbolic: the last one may reach beyond the extent */
} cut;

/* A chunk's part of C. */
typedef struct chunk {
    tn_dim outer;
    cut cuts[2];
    tn_dim begin[2], end[2]; /* tiles of each side */
    lt_value has_rest[2];    /* the rest behind the last tile is this chunk's; LT_NONE: always */
    operand sides[2];
    uint32_t c;
    tn_dim c_row, c_column; /* strides */
    uint32_t turned;        /* where columns of C become rows, to be stored; LT_NONE: they don't */
    tn_dim line, lines[2];  /* of A: the present one; first and end, when rows come in lines */
    tn_dim depth, k;        /* of the present block */
    bool goes_on;           /* C holds the sums of the blocks before */
} chunk;

/* A loop over [begin, end) that is known to be within [0, whole). */
tn_dim product_open_part(product *p, lt_loop_kind kind, tn_dim begin, tn_dim end, tn_dim whole, uint32_t width,
                         access_loop *loop);
int64_t product_inner_steps(const product *p); /* in one of the depth */
lt_value product_reaches_beyond(product *p, tn_dim d, tn_dim end);

/* Elements [row, row_end) x [column, column_end) of C, whose [0, 0] is at (row0, column0). */
typedef struct product_part {
    tn_dim row, row_end, row0;
    tn_dim column, column_end, column0;
} product_part;

void product_store_part(product *p, const chunk *c, const product_part *q);
/* Stores a tile whose [0, 0] lies at c_index. Where lanes run along rows, columns become rows first. */
void product_store_tile(product *p, const chunk *c, tn_dim c_index, tn_dim row, tn_dim column, int64_t mr, int64_t nr);
/* The same for a tile that has C for itself, from index 0 on. */
void product_store_own(product *p, const chunk *c, tn_dim row, tn_dim column, int64_t mr, int64_t nr);

#endif
