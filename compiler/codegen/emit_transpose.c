/* A small matrix transposed in registers.
 *
 * in:  LT_TRANSPOSE: rows x columns of one buffer to columns x rows of another
 * out: square blocks of n x n elements, n a power of two that fits registers and matrix, each a call of a function
 *      that a program has once: n rows are loaded, and log2(n) rounds merge pairs of them, each round
 *      bringing one bit of the row's number into that of the column: first within parts of a register that every
 *      machine interleaves at once, then by whole parts
 * law: a copy. Where n does not divide an extent, the last block ends with the extent and some
 *      elements are copied twice
 */
#include "compiler/codegen/emit_state.h"

#include <stdio.h>

enum {
    MOST_ROWS = 64,
    PART_BITS = 128,
    FEWEST_CALLED = 4, /* rows of a block that is more than the call of it */
};

/* n x n elements of that many bits. */
typedef struct block {
    emit *e;
    LLVMTypeRef row; /* n elements in a register */
    uint32_t n, bits;
    uint32_t part;  /* elements in PART_BITS, n at most */
    uint32_t parts; /* of a row */
} block;

/* ---- Rows in registers ---- */

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
    uint32_t from[MOST_ROWS], n_from = 0, half = b->parts / 2;
    for (uint32_t part = 0; part < b->parts; part++) {
        uint32_t source = part < half ? 2 * part : b->parts + 2 * (part - half);
        for (uint32_t i = 0; i < b->part; i++) from[n_from++] = (source + odd) * b->part + i;
    }
    return shuffle(b, x, y, from);
}

/* The rows as they are, seen as floats, behind which instruction selection does not look: it would try to join each
 * shuffle with all that it is made from, in a time that doubles with every round. */
static void fence(const block *b, LLVMValueRef *rows) {
    emit *e = b->e;
    if (b->n * b->bits < 64) return; /* few and narrow */
    LLVMTypeRef floats = LLVMVectorType(LLVMFloatTypeInContext(e->context), b->n * b->bits / 32);
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

/* ---- A block ---- */

static LLVMValueRef address_after(const emit *e, LLVMValueRef address, LLVMValueRef bytes) {
    return LLVMBuildGEP2(e->builder, LLVMInt8TypeInContext(e->context), address, &bytes, 1, "");
}

/* Addresses of first elements, and bytes from row to row. */
static void transpose_block(const block *b, LLVMValueRef from, LLVMValueRef from_row, LLVMValueRef to,
                            LLVMValueRef to_row) {
    emit *e = b->e;
    LLVMValueRef rows[MOST_ROWS];
    for (uint32_t i = 0; i < b->n; i++) {
        rows[i] = LLVMBuildLoad2(e->builder, b->row, from, "");
        LLVMSetAlignment(rows[i], 1);
        from = address_after(e, from, from_row);
    }
    transpose_rows(b, rows);
    for (uint32_t i = 0; i < b->n; i++) {
        LLVMValueRef store = LLVMBuildStore(e->builder, rows[i], to);
        LLVMSetAlignment(store, 1);
        if (e->streams) emit_stream_store(e, store, b->n * b->bits / 8);
        to = address_after(e, to, to_row);
    }
}

static LLVMTypeRef function_type(const emit *e) {
    LLVMTypeRef parameters[] = {e->pointer, e->i64, e->pointer, e->i64};
    return LLVMFunctionType(LLVMVoidTypeInContext(e->context), parameters, 4, false);
}

static void define(const block *b, LLVMValueRef function) {
    emit *e = b->e;
    builder_place here = builder_leave(e->builder);
    target_mark_function(e->out->target, function);
    LLVMPositionBuilderAtEnd(e->builder, LLVMAppendBasicBlockInContext(e->context, function, "entry"));
    transpose_block(b, LLVMGetParam(function, 0), LLVMGetParam(function, 1), LLVMGetParam(function, 2),
                    LLVMGetParam(function, 3));
    LLVMBuildRetVoid(e->builder);
    builder_return(e->builder, here);
}

/* void transpose(from, bytes between rows, to, bytes between rows), defined in the first module that asks. */
static LLVMValueRef block_function(const block *b) {
    emit *e = b->e;
    char name[64];
    snprintf(name, sizeof name, ".transpose.%ux%u%s", b->n, b->bits, e->streams ? ".streamed" : "");
    LLVMValueRef function = LLVMGetNamedFunction(e->module, name);
    if (function) return function;
    function = LLVMAddFunction(e->module, name, function_type(e));
    emit_helpers *helpers = e->out->helpers;
    bool *is_defined =
        helpers ? &helpers->transposes[e->streams][__builtin_ctz(b->bits / 8)][__builtin_ctz(b->n)] : NULL;
    if (!is_defined) LLVMSetLinkage(function, LLVMInternalLinkage);
    if (!is_defined || !*is_defined) define(b, function);
    if (is_defined) *is_defined = true;
    return function;
}

/* ---- All blocks ---- */

static tn_dim element_index(const emit *e, const lt_matrix *m, uint32_t row, uint32_t column) {
    tn_dim at = dim_add(e->dims, m->index, dim_mul_const(e->dims, m->row, row));
    return dim_add_const(e->dims, at, column);
}

static LLVMValueRef element_address(emit *e, const lt_matrix *m, uint32_t row, uint32_t column) {
    return emit_address(e, m->buffer, element_index(e, m, row, column));
}

/* A block, and the arguments of its function. */
typedef struct placed_block {
    const block *block;
    LLVMValueRef arguments[4];
} placed_block;

static void copy_block(void *ctx) {
    placed_block *p = ctx;
    const block *b = p->block;
    if (b->n < FEWEST_CALLED)
        transpose_block(b, p->arguments[0], p->arguments[1], p->arguments[2], p->arguments[3]);
    else
        LLVMBuildCall2(b->e->builder, function_type(b->e), block_function(b), p->arguments, 4, "");
}

static uint32_t block_size(const emit *e, const lt_stmt *s, unsigned bits) {
    uint32_t n = (uint32_t)machine_lanes(&e->out->target->machine, bits);
    while (n > 1 && (n > s->transpose.rows || n > s->transpose.columns || n > MOST_ROWS)) n /= 2;
    return n;
}

/* Where the block behind `at` starts. */
static uint32_t block_after(uint32_t at, uint32_t n, uint32_t extent) {
    if (at + n >= extent) return extent;
    return at + 2 * n > extent ? extent - n : at + n;
}

void emit_transpose(emit *e, const lt_stmt *s) {
    const lt_matrix *from = &s->transpose.from, *to = &s->transpose.to;
    unsigned bits = tn_dtype_bits(e->kernel->buffers[from->buffer].dtype);
    block b = {.e = e, .n = block_size(e, s, bits), .bits = bits, .part = PART_BITS / bits};
    if (b.part > b.n) b.part = b.n;
    b.parts = b.n / b.part;
    LLVMTypeRef element = LLVMIntTypeInContext(e->context, bits);
    b.row = b.n > 1 ? LLVMVectorType(element, b.n) : element;
    LLVMValueRef from_row = emit_dim(e, dim_mul_const(e->dims, from->row, bits / 8));
    LLVMValueRef to_row = emit_dim(e, dim_mul_const(e->dims, to->row, bits / 8));
    for (uint32_t row = 0; row < s->transpose.rows; row = block_after(row, b.n, s->transpose.rows))
        for (uint32_t column = 0; column < s->transpose.columns;
             column = block_after(column, b.n, s->transpose.columns)) {
            placed_block p = {
                &b, {element_address(e, from, row, column), from_row, element_address(e, to, column, row), to_row}};
            lt_matrix there = {to->buffer, element_index(e, to, column, row), to->row};
            emit_stream_either_way(e, emit_streams_rows(e, &there, b.n), copy_block, &p);
        }
}
