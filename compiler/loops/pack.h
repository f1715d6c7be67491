/* Blocked products of matrices: what contractions and convolutions have in common.
 *
 * A product is, for each of `outer` pairs of matrices, C[row, column] = sum over k of
 * A[row, k] * B[k, column]. Each element is one FMA chain over k in its order, however the
 * work is blocked. A class says how an element of A or B is computed and what becomes of an
 * element of C; here are the register tile, the blocks, the packing and the loops.
 *
 *   pack A    rows of A where the tile can read them          (a stage; not when A is plain)
 *   pack B    panels of nr columns, k-major: [panel][k][nr]   (a stage, or each chunk its own)
 *   compute   chunks of row tiles x panels: tile, then `store` for each of its elements
 *
 * An operand that lies in a buffer with strides that suit the tile (is_plain) is read in place
 * where that costs nothing. Packing is the seam for weights known ahead: a packed B is a
 * buffer of product_packed_elements() whose layout follows from shape and machine alone.
 */
#ifndef TN_LOOPS_PACK_H
#define TN_LOOPS_PACK_H

#include "compiler/loops/classes.h"

typedef enum matrix_side { SIDE_A, SIDE_B } matrix_side;

/* How a product is cut, in numbers; from shape and machine alone (pack_plan.c). */
typedef struct blocking {
    int64_t mr, nr;      /* the tile */
    int64_t row_tiles;   /* in a chunk */
    int64_t panels;      /* in a chunk */
    int64_t depth_block; /* steps of k at a time, C kept in scratch between; 0: all at once */
    bool packs[2];       /* the operand is copied first */
    bool packs_in_chunk; /* B: each chunk packs its own panels */
} blocking;

/* What is known of a product's shape; -1: nothing. */
typedef struct product_shape {
    int64_t outer, rows, columns, depth;
    unsigned element_bytes;
    bool is_plain[2];    /* could be read in place */
    bool rows_are_runs;  /* A, when packed, is copied along k */
    int64_t row_bytes;   /* stride of A's rows in place, -1: unknown */
    bool packs_itself;   /* the class brings its own packing of B */
} product_shape;

blocking blocking_choose(const machine *m, const product_shape *s);

/* Where the tile reads an operand: row or column `at`, step k is element
 * base + at * advance (+ row within the tile * row) + k * depth. */
typedef struct operand {
    uint32_t buffer;
    tn_dim base, advance, row, depth;
} operand;

typedef struct matrix {
    tn_dim extent;   /* rows of A, columns of B */
    bool is_plain;   /* buffer[base + at * step + k * depth_step], of the sum's dtype */
    uint32_t buffer;
    tn_dim base;     /* over product_outer_variable */
    tn_dim step, depth_step;
} matrix;

typedef struct product {
    access *a;
    dim_table *t;
    tn_dim outer, depth;
    matrix side[2];
    tn_dtype sum; /* f32 or f64 */
    blocking how;
    operand packed[2];
    void *ctx;

    /* Element `at` (a row or column), k of A or B. */
    lt_value (*element)(struct product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k);
    /* Stores what comes of an element of C; called in a vector loop over `column`. */
    void (*store)(struct product *p, tn_dim outer, tn_dim row, tn_dim column, lt_value sum);
    /* Packs columns [first, end) of B into panels: column j, step k goes to buffer[base + panel *
     * depth * nr + k * nr + j % nr], the panel counted from first / nr. NULL: by `element`. */
    void (*pack_columns)(struct product *p, tn_dim outer, tn_dim first, tn_dim end, uint32_t buffer, tn_dim base);
} product;

/* Finds out whether value v, at the index that the class gives for (outer, at, k), lies in a
 * buffer with constant strides; fills in all of the matrix but extent. */
typedef void matrix_index(product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k, tn_dim *index);
void product_find_plain(product *p, matrix_side side, value_id v, matrix_index *index_of);

/* All stages; p->how must be chosen. */
void product_lower(product *p);

product_shape product_known_shape(const product *p);

/* ---- Between pack.c and pack_tile.c ---- */

tn_dim product_panels(const product *p, int64_t size, matrix_side side); /* ceil(extent / size) */
tn_dim product_packed_elements(const product *p, matrix_side side);
void product_pack_stage(product *p, matrix_side side);
/* Panels of B for columns [first, end), by `element`. */
void product_pack_columns(product *p, tn_dim outer, tn_dim first, tn_dim end, uint32_t buffer, tn_dim base);
operand product_in_place(const product *p, matrix_side side, tn_dim outer);
operand product_packed(const product *p, matrix_side side, tn_dim outer);
/* The number of a constant dim, else -1. */
int64_t product_constant(const product *p, tn_dim d);

#endif
