/* A small matrix transposed in registers.
 *
 * in:  LT_TRANSPOSE: rows x columns of one buffer to columns x rows of another
 * out: square blocks of n x n elements, n a power of two that fits registers and matrix: n rows are
 *      loaded, and log2(n) rounds exchange halves between pairs of them, quarters, ..., single elements
 * law: a copy. Where n does not divide an extent, the last block ends with the extent and some
 *      elements are copied twice
 */
#include "compiler/codegen/emit_state.h"

enum { MOST_ROWS = 64 };

typedef struct block {
    emit *e;
    const lt_stmt *s;
    LLVMTypeRef row; /* n elements in a register */
    uint32_t n;
} block;

static LLVMValueRef element_address(const block *b, const lt_matrix *m, uint32_t row, uint32_t column) {
    emit *e = b->e;
    tn_dim at = dim_add(e->dims, m->index, dim_mul_const(e->dims, m->row, row));
    return emit_address(e, m->buffer, dim_add_const(e->dims, at, column));
}

/* Elements of x whose number lacks bit `half`, and in the places of the others such elements of y; with `upper` of those
 * that have it. */
static LLVMValueRef interleave(const block *b, LLVMValueRef x, LLVMValueRef y, uint32_t half, bool upper) {
    LLVMValueRef from[MOST_ROWS];
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t lane = (i & half ? b->n + (i ^ half) : i) + (upper ? half : 0);
        from[i] = LLVMConstInt(b->e->i32, lane, false);
    }
    return LLVMBuildShuffleVector(b->e->builder, x, y, LLVMConstVector(from, b->n), "exchanged");
}

/* Row i, bit `half` clear, and row i + half: their off-diagonal blocks of `half` elements change places. */
static void exchange(const block *b, LLVMValueRef *rows, uint32_t half) {
    for (uint32_t i = 0; i < b->n; i++) {
        if (i & half) continue;
        LLVMValueRef x = rows[i], y = rows[i + half];
        rows[i] = interleave(b, x, y, half, false);
        rows[i + half] = interleave(b, x, y, half, true);
    }
}

static void transpose_block(const block *b, uint32_t row, uint32_t column) {
    emit *e = b->e;
    const lt_matrix *from = &b->s->transpose.from, *to = &b->s->transpose.to;
    LLVMValueRef rows[MOST_ROWS];
    for (uint32_t i = 0; i < b->n; i++) {
        rows[i] = LLVMBuildLoad2(e->builder, b->row, element_address(b, from, row + i, column), "");
        LLVMSetAlignment(rows[i], emit_alignment(e, from->buffer));
    }
    for (uint32_t half = b->n / 2; half > 0; half /= 2) exchange(b, rows, half);
    for (uint32_t i = 0; i < b->n; i++) {
        LLVMValueRef store = LLVMBuildStore(e->builder, rows[i], element_address(b, to, column + i, row));
        LLVMSetAlignment(store, emit_alignment(e, to->buffer));
    }
}

static uint32_t block_size(const emit *e, const lt_stmt *s) {
    tn_dtype dtype = e->kernel->buffers[s->transpose.from.buffer].dtype;
    uint32_t n = (uint32_t)machine_lanes(&e->out->target->machine, tn_dtype_bits(dtype));
    while (n > s->transpose.rows || n > s->transpose.columns || n > MOST_ROWS) n /= 2;
    return n;
}

/* Where the block behind `at` starts. */
static uint32_t block_after(uint32_t at, uint32_t n, uint32_t extent) {
    if (at + n >= extent) return extent;
    return at + 2 * n > extent ? extent - n : at + n;
}

void emit_transpose(emit *e, const lt_stmt *s) {
    block b = {.e = e, .s = s, .n = block_size(e, s)};
    tn_dtype dtype = e->kernel->buffers[s->transpose.from.buffer].dtype;
    b.row = vmath_memory_type(e->context, dtype, b.n > 1 ? b.n : 0);
    for (uint32_t row = 0; row < s->transpose.rows; row = block_after(row, b.n, s->transpose.rows))
        for (uint32_t column = 0; column < s->transpose.columns;
             column = block_after(column, b.n, s->transpose.columns))
            transpose_block(&b, row, column);
}
