/* Blocked products of matrices: what contractions and convolutions have in common.
 *
 * A product is, for each of `outer` pairs of matrices, C[row, column] = sum over k of
 * A[row, k] * B[k, column]. Each element is one FMA chain over k in its order, however the
 * work is blocked. A class says how an element of A or B is computed and what becomes of an
 * element of C; here are the register tile, the blocks, the packing and the loops.
 *
 *   pack A    rows of A where the tile can read them          (a stage; not when A is plain)
 *   pack B    panels of nr columns, k-major: [panel][k][nr]   (a stage; not when B is plain)
 *   compute   chunks of row tiles x panels: tile, then `store` for each of its elements
 *
 * An operand that lies in a buffer with strides that suit the tile (is_plain) is read in place
 * where that costs nothing; so are weights that lie in panels from the start (compiler/passes/layout.c), also those of
 * fewer bits than the sum, which the tile converts: beside many rows that hides behind the multiply-adds, beside few
 * behind memory. A class may bring its own way of packing B (pack_steps), as rows [k][columns], by a stage or by each
 * chunk for itself. Packing is the seam for weights known ahead: a packed B is a buffer of product_packed_elements()
 * whose layout follows from shape and machine alone.
 *
 * Windows: a convolution's A is its input where it lies. Rows come in lines (a row of the result each) that share B,
 * and a step of the depth (a channel) has steps of its own (the kernel's taps), so that neither is copied.
 */
#ifndef TN_LOOPS_PACK_H
#define TN_LOOPS_PACK_H

#include "compiler/loops/classes.h"

typedef enum matrix_side { SIDE_A, SIDE_B } matrix_side;

/* How a product is cut, in numbers; from shape and machine alone (pack_plan.c). */
typedef struct blocking {
    int64_t mr, nr;      /* the tile */
    int64_t row_tiles;   /* in a chunk */
    int64_t lines;       /* in a chunk, when rows come in lines */
    int64_t panels;      /* in a chunk */
    int64_t depth_block; /* steps of k at a time, C kept in scratch between; 0: all at once */
    bool rows_first;     /* a row of tiles at a time; else a column */
    bool rows_outermost; /* chunks go along columns first; else along rows */
    bool packs[2];       /* the operand is copied first */
    bool in_panels;      /* B lies in panels of nr columns already */
    bool by_steps;       /* B is packed in rows [k][columns], by pack_steps; else in panels */
    bool packs_in_chunk; /* by steps: each chunk packs what it reads */
    int64_t step_row;    /* by steps: elements from one step to the next */
} blocking;

/* What is known of a product's shape; -1: nothing. */
typedef struct product_shape {
    int64_t outer, rows, columns, depth;
    unsigned element_bytes;
    bool is_plain[2];      /* could be read in place */
    int64_t row_bytes;     /* stride of A's rows in place, -1: unknown */
    int64_t step_bytes;    /* stride of A's steps in place, -1: unknown */
    int64_t column_bytes;  /* stride of B's steps in place, -1: unknown */
    bool columns_are_runs; /* neighbours along a step of B are neighbours in memory */
    int64_t taps;          /* the class packs B by steps, in multiples of this; 0: it does not */
    bool is_narrow;        /* columns may be few: tiles of one vector */
    bool keeps_b;          /* B is not packed if it can be read in place at all */
    bool by_strides;       /* operands like any other: what is copied follows from how far apart they lie */
    int64_t panel;         /* B lies in panels of that many columns; 0: it does not */
    int64_t tile_rows;     /* the tile must have as many; 0: any */
    int64_t lines;         /* `rows` are those of one of so many; 0: they don't come in lines */
} product_shape;

blocking blocking_choose(const machine *m, const product_shape *s);
/* Two products, the first one's C a block of rows at a time the second one's A: tiles and blocks have the same rows. */
void blocking_choose_chain(const machine *m, const product_shape s[2], blocking how[2]);
/* Columns of a panel for weights that are to be packed once and for all. */
int64_t blocking_panel(const machine *m, tn_dtype dtype, int64_t rows, int64_t columns, int64_t depth);
/* The same for a convolution's weights as B: rows are positions, in lines when the kernel has several taps, columns
 * output channels; 0: they are better A. */
int64_t blocking_conv_panel(const machine *m, const product_shape *s);
/* Cost of a product's tiles for one step of k, to compare shapes with each other. */
double blocking_cost(const machine *m, const product_shape *s);

/* Where the tile reads an operand: row or column `at`, step k is element
 * base + at * advance (+ row within the tile * row) + k * depth; lines are `line` apart. */
typedef struct operand {
    uint32_t buffer;
    tn_dim base, advance, row, depth, line;
} operand;

typedef struct matrix {
    tn_dim extent;         /* rows of A, columns of B */
    bool has_strides;      /* an element is buffer[base + at * step + k * depth_step], converted */
    bool is_plain;         /* and of the sum's dtype */
    bool runs_along_depth; /* neighbours along k are neighbours in memory, or computed from such; not so along `at` */
    uint32_t buffer;
    tn_dim base; /* over product_outer_variable */
    tn_dim step, depth_step, line_step;
    int64_t panel; /* columns of B in a panel, which lie next to each other, its last one filled up; `step` is
                    * between panels, divided by their columns; 0: not in panels */
} matrix;

typedef struct product {
    access *a;
    dim_table *t;
    tn_dim outer, depth;
    matrix side[2];
    tn_dtype sum; /* f32 or f64 */
    blocking how;
    operand packed[2];
    bool is_alone; /* what is packed is one of the `outer` matrices, for one chunk */
    bool in_lines; /* A is `lines` times side[SIDE_A].extent rows; `store` counts them on */
    tn_dim lines;
    uint32_t n_inner; /* steps within one of the depth */
    lt_inner inner[LT_MAX_INNER];
    void *ctx;

    /* Element `at` (a row or column), k of A or B. */
    lt_value (*element)(struct product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k);
    /* Stores what comes of an element of C; called in a vector loop over `column`, or over `row`. */
    void (*store)(struct product *p, tn_dim outer, tn_dim row, tn_dim column, lt_value sum);
    bool lanes_along_rows; /* of `store` */
    /* Packs columns [column, column_end) of steps [k, k_end) of B: step k0, column j0 goes to
     * buffer[base + (k0 - k) * how.step_row + j0 - column]. Steps come in multiples of step_multiple. */
    void (*pack_steps)(struct product *p, tn_dim outer, tn_dim k, tn_dim k_end, tn_dim column, tn_dim column_end,
                       uint32_t buffer, tn_dim base);
    int64_t step_multiple;
    /* May be NULL. All tiles of a chunk together ask memory for what the next chunk packs: sets this one's hint. */
    void (*ask_ahead)(struct product *p, lt_stmt *tile, tn_dim outer, tn_dim row, tn_dim column);
} product;

/* pack_steps by `element`. */
void product_pack_steps(product *p, tn_dim outer, tn_dim k, tn_dim k_end, tn_dim column, tn_dim column_end,
                        uint32_t buffer, tn_dim base);

/* Finds out whether value v, at the index that the class gives for (outer, at, k), lies in a
 * buffer with constant strides; fills in all of the matrix but extent. */
typedef void matrix_index(product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k, tn_dim *index);
void product_find_plain(product *p, matrix_side side, value_id v, matrix_index *index_of);
/* The same for B that is to lie in panels, if only in one: then it has strides too. False: it does not. */
bool product_find_panels(product *p, value_id v, matrix_index *index_of);

/* What stands for `outer` in a matrix's base. */
tn_dim product_outer_variable(const product *p);
/* Windows: A's steps of the depth are nests, in panels of B they follow each other. After product_find_plain. */
void product_set_inner(product *p, uint32_t n, const int64_t *steps, const tn_dim *strides);

/* All stages; p->how must be chosen. */
void product_lower(product *p);

/* ---- A block of rows at a time, for a class that has a stage of its own ---- */

/* Rows [begin, end) of the product number `outer`: block `number`, of how.row_tiles tiles. */
typedef struct product_rows {
    tn_dim outer, number, begin, end;
} product_rows;

tn_dim product_row_blocks(const product *p);
product_rows product_rows_of(const product *p, tn_dim outer, tn_dim number);

/* If it is to be packed: packs B of product `outer` for this chunk alone, before any block of it. */
void product_pack_columns(product *p, tn_dim outer);
/* The block's rows of A: in place, or copied to scratch. */
operand product_take_rows(product *p, const product_rows *rows);
/* The block's rows in a buffer, `row` elements apart. */
operand product_rows_in(const product *p, const product_rows *rows, uint32_t buffer, tn_dim row);

/* All columns of C into a buffer, as product_rows_in finds them; tiles that reach beyond the extents are stored
 * whole. */
void product_into(product *p, const product_rows *rows, operand a, uint32_t buffer, tn_dim row);
/* All columns of C, stored by `store`. */
void product_from(product *p, const product_rows *rows, operand a);
/* The same for part `number` of the columns, of how.panels panels. */
void product_from_part(product *p, const product_rows *rows, operand a, tn_dim number);

product_shape product_known_shape(const product *p);

/* pack_notes.c: tells how it is cut, and why; p->how is chosen. */
void product_note(product *p);
/* How it is shared out to threads by product_lower. */
void product_note_chunks(product *p);

/* ---- Between pack.c, pack_tile.c and pack_store.c ---- */

int64_t product_tile_size(const product *p, matrix_side side);           /* rows or columns of the tile */
tn_dim product_panels(const product *p, int64_t size, matrix_side side); /* ceil(extent / size) */
tn_dim product_packed_elements(const product *p, matrix_side side);
void product_pack_stage(product *p, matrix_side side);
/* Columns of the tile for `n` of them: a packed panel is zeros up to whole vectors. */
int64_t product_tile_columns(const product *p, int64_t n);
tn_dim product_row_length(const product *p); /* of a packed row of A */
operand product_in_place(const product *p, matrix_side side, tn_dim outer);
operand product_packed(const product *p, matrix_side side, tn_dim outer);
/* The number of a constant dim, else -1. */
int64_t product_constant(const product *p, tn_dim d);

#endif
