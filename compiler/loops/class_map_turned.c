/* Class map where operands lie transposed: small matrices are turned in registers.
 *
 * in:  a fused function of class map, and how many trailing axes of its results are the columns, how many before them
 *      the rows, both of static extents, a block at least
 * out: stages of square blocks: an operand with stride 1 along the rows and another one along the columns is copied,
 *      turned, to a small buffer, and what the rows of the block compute reads that; a mere copy goes straight to the
 *      result. What whole blocks leave over of rows and columns are stages of narrower ones
 * law: each result is computed once, as in class_map.c
 *
 * Read lane by lane, such an operand costs a load for each element, and a line of the cache. A block reads whole lines
 * and fills whole lines. A chunk goes along the columns before it goes down, since stores to neighbouring lines are
 * what memory likes best; its SPAN rows of blocks find what they read of a row of the operand next to each other. A
 * copy whose lines go past the caches (stream.c) goes down only, along the operand, if that is more than SPAN blocks.
 */
#include "compiler/loops/class_map.h"
#include "compiler/loops/stream.h"

enum { SPAN = 8, CHUNK_BLOCKS = 256, LINE_BYTES = 64, MOST_OPERANDS = 4 };

/* An operand's elements base + row + column * step, turned in `buffer`. */
typedef struct operand {
    uint32_t from, buffer;
    tn_dim base, step;
} operand;

typedef struct turned {
    access a;
    dim_table *t;
    const tn_type *type;                              /* of the results */
    int outer, rows_end;                              /* axes [0, outer) are neither; [outer, rows_end) are the rows */
    int64_t rows, columns, block_rows, block_columns; /* extents; sizes of the blocks of this stage */
    tn_dim row, column, first_row, first_column;      /* of the element; of the block */
    bool streams;                                     /* a copy, past the caches */
    bool is_copy, is_suitable; /* the result is one operand in another order; something is turned */
    operand operands[MOST_OPERANDS];
    int n_operands;
} turned;

static bool is_copy(const tn_graph *fused) {
    for (size_t i = 0; i < fused->n_nodes; i++) {
        tn_op op = (tn_op)fused->nodes[i].op;
        if (op != TN_OP_transpose && op != TN_OP_reshape && op != TN_OP_param) return false;
    }
    return fused->n_results == 1;
}

/* ---- Operands ---- */

static operand *find_operand(turned *p, uint32_t buffer, tn_dim base, tn_dim step) {
    for (int i = 0; i < p->n_operands; i++) {
        operand *o = &p->operands[i];
        if (o->from == buffer && o->base == base && o->step == step) return o;
    }
    if (p->n_operands == MOST_OPERANDS) return NULL;
    operand *o = &p->operands[p->n_operands++];
    *o = (operand){.from = buffer, .base = base, .step = step};
    if (p->is_copy) return o;
    tn_dim elements = dim_const(p->t, p->block_rows * p->block_columns);
    o->buffer = lt_add_buffer(&p->a.b, LT_LOCAL, p->a.b.kernel->buffers[buffer].dtype, elements, "turned");
    return o;
}

/* The element of a turned operand, when that load is of one; of a copy none is wanted. */
static bool load_turned(void *ctx, uint32_t buffer, tn_dim index, lt_value *x) {
    turned *p = ctx;
    tn_dim step, of_row, rest, base;
    if (!dim_split_linear(p->t, index, p->column, &step, &rest) || dim_is_value(p->t, step, 0) ||
        dim_is_value(p->t, step, 1) || !dim_split_linear(p->t, rest, p->row, &of_row, &base) ||
        !dim_is_value(p->t, of_row, 1))
        return false;
    const operand *o = find_operand(p, buffer, base, step);
    if (!o) return false;
    tn_dim row = dim_sub(p->t, p->row, p->first_row), column = dim_sub(p->t, p->column, p->first_column);
    *x = p->is_copy
             ? LT_NONE
             : lt_load(&p->a.b, o->buffer, dim_add(p->t, dim_mul_const(p->t, row, p->block_columns), column), LT_NONE);
    return true;
}

/* The block of an operand, turned. */
static void turn(turned *p, const operand *o, lt_matrix to) {
    tn_dim first = dim_add(p->t, dim_add(p->t, o->base, p->first_row), dim_mul(p->t, p->first_column, o->step));
    lt_transpose(&p->a.b, (lt_matrix){o->from, access_simplify(&p->a, first), o->step}, to, p->block_columns,
                 p->block_rows);
}

/* ---- Blocks ---- */

static void at_row(turned *p, tn_dim row, tn_dim *index) {
    p->row = row;
    access_know_range(&p->a, row, dim_const(p->t, p->rows));
    access_unravel(&p->a, row, p->rows_end - p->outer, p->type->dims + p->outer, index + p->outer);
}

static void at_column(turned *p, tn_dim column, tn_dim *index) {
    p->column = column;
    access_know_range(&p->a, column, dim_const(p->t, p->columns));
    access_unravel(&p->a, column, p->type->rank - p->rows_end, p->type->dims + p->rows_end, index + p->rows_end);
}

/* The rows of a block; what they read turned is known only after that, and goes before. */
static void compute_block(turned *p, tn_dim *index) {
    lt_block *block = p->a.b.block;
    uint32_t at = block->n, lanes = lower_lanes_for(p->a.fused, p->a.b.machine, dim_const(p->t, p->block_columns));
    access_loop rows =
        access_open_loop(&p->a, LT_SERIAL, p->first_row, dim_add_const(p->t, p->first_row, p->block_rows), 0, 0);
    at_row(p, access_counter(&rows), index);
    access_loop columns = access_open_loop(&p->a, LT_VECTOR, p->first_column,
                                           dim_add_const(p->t, p->first_column, p->block_columns), lanes, 0);
    at_column(p, access_counter(&columns), index);
    for (uint32_t r = 0; r < p->a.fused->n_results; r++)
        access_store_result(&p->a, r, index, access_value(&p->a, p->a.fused->results[r].value, index));
    access_close_loop(&p->a, &columns);
    access_close_loop(&p->a, &rows);
    for (int i = 0; i < p->n_operands; i++)
        turn(p, &p->operands[i],
             (lt_matrix){p->operands[i].buffer, dim_const(p->t, 0), dim_const(p->t, p->block_columns)});
    if (!p->a.b.failed) lt_move_to_end(block, at);
}

/* Straight to the result. */
static void copy_block(turned *p, tn_dim *index) {
    access_loop row, column;
    at_row(p, access_open_named(&p->a, p->first_row, dim_const(p->t, p->rows), &row), index);
    at_column(p, access_open_named(&p->a, p->first_column, dim_const(p->t, p->columns), &column), index);
    access_value(&p->a, p->a.fused->results[0].value, index);
    tn_dim to = access_simplify(&p->a, access_offset(&p->a, p->type, index));
    p->first_row = p->row;
    p->first_column = p->column;
    for (int i = 0; i < p->n_operands; i++)
        turn(p, &p->operands[i], (lt_matrix){p->a.b.kernel->n_inputs, to, dim_const(p->t, p->columns)});
    access_close_loop(&p->a, &column);
    access_close_loop(&p->a, &row);
}

static void lower_block(turned *p, tn_dim *index) {
    p->n_operands = 0;
    (p->is_copy ? copy_block : compute_block)(p, index);
    p->is_suitable &= p->n_operands > 0;
}

/* `rows` x `columns` blocks of that size, from an element on. */
typedef struct part {
    int64_t first_row, first_column, rows, columns, block_rows, block_columns;
} part;

/* Blocks [first, first + n) of `all` along one side. */
typedef struct block_range {
    tn_dim first, all;
    int64_t n;
} block_range;

static access_loop open_blocks(turned *p, const block_range *r) {
    tn_dim end = dim_min(p->t, dim_add_const(p->t, r->first, r->n), r->all);
    access_loop loop = access_open_loop(&p->a, LT_SERIAL, r->first, end, 0, 0);
    access_know_range(&p->a, access_counter(&loop), r->all);
    return loop;
}

static void lower_part(turned *p, const part *q) {
    dim_table *t = p->t;
    if (q->rows == 0 || q->columns == 0 || q->block_rows == 0 || q->block_columns == 0) return;
    p->block_rows = q->block_rows;
    p->block_columns = q->block_columns;
    bool down_only = p->streams && q->rows > SPAN;
    int64_t most = down_only ? CHUNK_BLOCKS : SPAN, span = q->rows < most ? q->rows : most, run = CHUNK_BLOCKS / span;
    tn_dim rows = dim_const(t, q->rows), columns = dim_const(t, q->columns), index[TN_MAX_RANK], at[3];
    tn_dim extents[] = {dim_product(t, p->type->dims, p->outer), dim_ceildiv(t, rows, dim_const(t, span)),
                        dim_ceildiv(t, columns, dim_const(t, run))};
    access_unravel(&p->a, access_open_stage(&p->a, dim_product(t, extents, 3)), 3, extents, at);
    access_unravel(&p->a, at[0], p->outer, p->type->dims, index);
    block_range down = {dim_mul_const(t, at[1], span), rows, span},
                along = {dim_mul_const(t, at[2], run), columns, run};
    access_loop outer = open_blocks(p, down_only ? &along : &down), inner = open_blocks(p, down_only ? &down : &along);
    tn_dim row = access_counter(down_only ? &inner : &outer), column = access_counter(down_only ? &outer : &inner);
    p->first_row = dim_add_const(t, dim_mul_const(t, row, q->block_rows), q->first_row);
    p->first_column = dim_add_const(t, dim_mul_const(t, column, q->block_columns), q->first_column);
    lower_block(p, index);
    access_close_loop(&p->a, &inner);
    access_close_loop(&p->a, &outer);
}

/* ---- Entry ---- */

/* Lanes of a vector, or what is in a line of the cache. */
static int64_t block_size(const tn_graph *fused, const machine *m) {
    int64_t lanes = lower_lanes(fused, m), bytes = m->vector_bytes / lanes;
    return lanes * bytes >= LINE_BYTES ? lanes : LINE_BYTES / bytes;
}

static bool static_product(dim_table *t, const tn_dim *dims, int n, int64_t least, int64_t *product) {
    return dim_is_const(t, dim_product(t, dims, n), product) && *product >= least;
}

lt_kernel *map_lower_turned(tn_graph *fused, const machine *m, int rows, int columns) {
    turned p = {.t = fused->module->dims,
                .type = graph_type(fused, fused->results[0].value),
                .is_copy = is_copy(fused),
                .is_suitable = true};
    int64_t size = block_size(fused, m);
    p.rows_end = p.type->rank - columns;
    p.outer = p.rows_end - rows;
    if (!static_product(p.t, p.type->dims + p.outer, rows, size, &p.rows) ||
        !static_product(p.t, p.type->dims + p.rows_end, columns, size, &p.columns))
        return NULL;
    if (!access_open(&p.a, fused, "map", m)) return access_close(&p.a);
    p.streams = p.is_copy && stream_suits(p.t, &p.a.b.kernel->buffers[p.a.b.kernel->n_inputs], m);
    p.a.load_instead = load_turned;
    p.a.load_ctx = &p;
    int64_t r = p.rows / size, c = p.columns / size, r_rest = p.rows % size, c_rest = p.columns % size;
    const part parts[] = {{0, 0, r, c, size, size},
                          {r * size, 0, 1, c, r_rest, size},
                          {0, c * size, r, 1, size, c_rest},
                          {r * size, c * size, 1, 1, r_rest, c_rest}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) lower_part(&p, &parts[i]);
    lt_kernel *k = access_close(&p.a);
    return p.is_suitable ? k : NULL;
}
