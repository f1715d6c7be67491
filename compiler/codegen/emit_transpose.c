/* A small matrix transposed in registers.
 *
 * in:  LT_TRANSPOSE: rows x columns of one buffer to columns x rows of another
 * out: square blocks of n x n elements, n a power of two that fits registers and matrix: n rows are loaded, and log2(n)
 *      rounds merge pairs of them, each round bringing one bit of the row's number into that of the column: first
 *      within parts of a register that every machine interleaves at once, then by whole parts
 * law: a copy. Where n does not divide an extent, the last block ends with the extent and some
 *      elements are copied twice
 */
#include "compiler/codegen/emit_state.h"

enum { MOST_ROWS = 64, PART_BITS = 128 };

typedef struct block {
    emit *e;
    const lt_stmt *s;
    LLVMTypeRef row; /* n elements in a register */
    uint32_t n, row_bits;
    uint32_t part; /* elements in PART_BITS, n at most */
} block;

static LLVMValueRef element_address(const block *b, const lt_matrix *m, uint32_t row, uint32_t column) {
    emit *e = b->e;
    tn_dim at = dim_add(e->dims, m->index, dim_mul_const(e->dims, m->row, row));
    return emit_address(e, m->buffer, dim_add_const(e->dims, at, column));
}

/* Element i of the result is element from[i] of x and y, one behind the other. */
static LLVMValueRef shuffle(const block *b, LLVMValueRef x, LLVMValueRef y, const uint32_t *from) {
    LLVMValueRef numbers[MOST_ROWS];
    for (uint32_t i = 0; i < b->n; i++) numbers[i] = LLVMConstInt(b->e->i32, from[i], false);
    return LLVMBuildShuffleVector(b->e->builder, x, y, LLVMConstVector(numbers, b->n), "exchanged");
}

/* In every part of the register: the lower half of x's part and of y's interleaved, or the upper ones. */
static LLVMValueRef zip(const block *b, LLVMValueRef x, LLVMValueRef y, bool upper) {
    uint32_t from[MOST_ROWS], half = b->part / 2;
    for (uint32_t i = 0; i < b->n; i++)
        from[i] = i / b->part * b->part + i % b->part / 2 + (i & 1 ? b->n : 0) + (upper ? half : 0);
    return shuffle(b, x, y, from);
}

/* The even parts of x, then those of y, or the odd ones. */
static LLVMValueRef unzip_parts(const block *b, LLVMValueRef x, LLVMValueRef y, bool odd) {
    uint32_t from[MOST_ROWS], parts = b->n / b->part;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t part = i / b->part;
        from[i] = (part < parts / 2 ? 2 * part : b->n / b->part + 2 * (part - parts / 2)) * b->part +
                  (odd ? b->part : 0) + i % b->part;
    }
    return shuffle(b, x, y, from);
}

/* The rows as they are, seen as floats, behind which instruction selection does not look: it would try to join each
 * shuffle with all that it is made from, in a time that doubles with every round. */
static void fence(const block *b, LLVMValueRef *rows) {
    emit *e = b->e;
    if (b->row_bits < 64) return; /* few and narrow */
    LLVMTypeRef floats = LLVMVectorType(LLVMFloatTypeInContext(e->context), b->row_bits / 32);
    for (uint32_t i = 0; i < b->n; i++) {
        LLVMValueRef row = LLVMBuildBitCast(e->builder, rows[i], floats, "");
        row = emit_intrinsic(e, "llvm.arithmetic.fence", &floats, 1, &row, 1, "");
        rows[i] = LLVMBuildBitCast(e->builder, row, b->row, "");
    }
}

/* A round: rows whose numbers differ by `distance` alone. */
static void merge_rows(const block *b, LLVMValueRef *rows, uint32_t distance) {
    LLVMValueRef (*merge)(const block *, LLVMValueRef, LLVMValueRef, bool) = distance < b->part ? zip : unzip_parts;
    if (distance != b->part / 2) fence(b, rows); /* not the first round */
    for (uint32_t i = 0; i < b->n; i++) {
        if (i & distance) continue;
        LLVMValueRef x = rows[i], y = rows[i + distance];
        rows[i] = merge(b, x, y, false);
        rows[i + distance] = merge(b, x, y, true);
    }
}

static void transpose_rows(const block *b, LLVMValueRef *rows) {
    for (uint32_t distance = b->part / 2; distance > 0; distance /= 2) merge_rows(b, rows, distance);
    for (uint32_t distance = b->part; distance < b->n; distance *= 2) merge_rows(b, rows, distance);
}

static void transpose_block(const block *b, uint32_t row, uint32_t column) {
    emit *e = b->e;
    const lt_matrix *from = &b->s->transpose.from, *to = &b->s->transpose.to;
    LLVMValueRef rows[MOST_ROWS];
    for (uint32_t i = 0; i < b->n; i++) {
        rows[i] = LLVMBuildLoad2(e->builder, b->row, element_address(b, from, row + i, column), "");
        LLVMSetAlignment(rows[i], emit_alignment(e, from->buffer));
    }
    transpose_rows(b, rows);
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
    b.row_bits = b.n * tn_dtype_bits(dtype);
    b.part = PART_BITS / tn_dtype_bits(dtype);
    if (b.part > b.n) b.part = b.n;
    b.row = vmath_memory_type(e->context, dtype, b.n > 1 ? b.n : 0);
    for (uint32_t row = 0; row < s->transpose.rows; row = block_after(row, b.n, s->transpose.rows))
        for (uint32_t column = 0; column < s->transpose.columns;
             column = block_after(column, b.n, s->transpose.columns))
            transpose_block(&b, row, column);
}
