/* Stores past the caches.
 *
 * in:  stores to buffers that are streamed (compiler/loops/stream.c)
 * out: non-temporal ones, where whole lines of the cache are known to follow each other; ordinary ones elsewhere
 * law: other threads see them when the chunk is done, as they do ordinary stores: on x86 that takes a fence
 *
 * A line that is stored in parts, with something else in between, is slower than an ordinary store ever is. So only the
 * whole groups of lanes of a vector loop are streamed, and transposed rows of a line. Whether lines start where they
 * should depends on the caller's buffer: there are two versions of such a loop.
 */
#include "compiler/codegen/emit_loop.h"

enum { LINE_BYTES = 64, LEAST_STORE_BYTES = 16, LEAST_GROUPS = 16 };

bool emit_is_streamed(const emit *e, uint32_t buffer) {
    return e->out->target->is_x86 && e->kernel->buffers[buffer].is_streamed;
}

static LLVMValueRef is_line(emit *e, LLVMValueRef address) {
    LLVMValueRef bits = LLVMBuildPtrToInt(e->builder, address, e->i64, "");
    bits = LLVMBuildAnd(e->builder, bits, emit_const_i64(e, LINE_BYTES - 1), "");
    return LLVMBuildICmp(e->builder, LLVMIntEQ, bits, emit_const_i64(e, 0), "is_line");
}

/* ---- Vector loops ---- */

/* What is known of a loop's stores. */
typedef struct streams {
    emit *e;
    const lt_stmt *loop;
    LLVMValueRef are_lines; /* NULL: none is streamed */
    bool fit;               /* all that might be streamed can be */
} streams;

/* The address of the loop's first lane is had before the loop when nothing in the loop is needed for it. */
static bool first_index(const streams *s, tn_dim index, tn_dim *first) {
    tn_dim step, rest;
    dim_table *t = s->e->dims;
    if (!dim_split_linear(t, index, s->loop->loop.variable, &step, &rest) || !dim_is_value(t, step, 1)) return false;
    for (uint32_t i = 0; i < s->loop->loop.body.n; i++) {
        const lt_stmt *stmt = s->loop->loop.body.items[i];
        if (stmt->kind == LT_BIND && dim_contains(t, rest, stmt->bind.variable)) return false;
    }
    *first = dim_add(t, rest, s->loop->loop.begin);
    return true;
}

static void look_at_store(streams *s, const lt_stmt *store, bool is_in_body) {
    emit *e = s->e;
    uint32_t bytes = s->loop->loop.width * tn_dtype_bits(store->dtype) / 8;
    tn_dim first;
    if (!emit_is_streamed(e, store->access.buffer)) return;
    s->fit &= is_in_body && store->access.guard == LT_NONE && bytes >= LEAST_STORE_BYTES &&
              first_index(s, store->access.index, &first);
    if (!s->fit) return;
    LLVMValueRef line = is_line(e, emit_address(e, store->access.buffer, first));
    s->are_lines = s->are_lines ? LLVMBuildAnd(e->builder, s->are_lines, line, "") : line;
}

static void look_at_block(streams *s, const lt_block *block, bool is_body) {
    for (uint32_t i = 0; i < block->n && s->fit; i++) {
        const lt_stmt *stmt = block->items[i];
        if (stmt->kind == LT_STORE) look_at_store(s, stmt, is_body);
        if (stmt->kind == LT_LOOP) look_at_block(s, &stmt->loop.body, false);
        if (stmt->kind == LT_IF) {
            look_at_block(s, &stmt->branch.then, false);
            look_at_block(s, &stmt->branch.otherwise, false);
        }
    }
}

/* What other loops store next to it may end in its last line, or start in its first. */
static bool is_long(emit *e, const lt_stmt *loop) {
    int64_t steps = emit_loop_steps(e, loop);
    return steps < 0 || steps >= LEAST_GROUPS * (int64_t)loop->loop.width;
}

LLVMValueRef emit_streams(emit *e, const lt_stmt *loop) {
    streams s = {.e = e, .loop = loop, .fit = loop->loop.n_carries == 0 && is_long(e, loop)};
    look_at_block(&s, &loop->loop.body, true);
    return s.fit ? s.are_lines : NULL;
}

/* ---- Transposed rows ---- */

LLVMValueRef emit_streams_rows(emit *e, const lt_matrix *to, uint32_t columns) {
    int64_t stride, bytes = tn_dtype_bits(e->kernel->buffers[to->buffer].dtype) / 8;
    bool fit = emit_is_streamed(e, to->buffer) && columns * bytes >= LINE_BYTES &&
               dim_is_const(e->dims, emit_substitute(e, to->row), &stride) && stride * bytes % LINE_BYTES == 0;
    return fit ? is_line(e, emit_address(e, to->buffer, to->index)) : NULL;
}

/* ---- Stores ---- */

void emit_stream_store(emit *e, LLVMValueRef store, unsigned bytes) {
    unsigned kind = LLVMGetMDKindIDInContext(e->context, "nontemporal", 11);
    LLVMMetadataRef one = LLVMValueAsMetadata(LLVMConstInt(e->i32, 1, false));
    LLVMSetMetadata(store, kind, LLVMMetadataAsValue(e->context, LLVMMDNodeInContext2(e->context, &one, 1)));
    LLVMSetAlignment(store, bytes < LINE_BYTES ? bytes : LINE_BYTES);
}

void emit_stream_either_way(emit *e, LLVMValueRef may_stream, void (*body)(void *ctx), void *ctx) {
    if (!may_stream) {
        body(ctx);
        return;
    }
    LLVMBasicBlockRef ways[2] = {emit_new_block(e, "plain", 0), emit_new_block(e, "streamed", 0)},
                      join = emit_new_block(e, "stored", 0);
    LLVMBuildCondBr(e->builder, may_stream, ways[1], ways[0]);
    for (int i = 0; i < 2; i++) {
        LLVMPositionBuilderAtEnd(e->builder, ways[i]);
        e->streams = i == 1;
        body(ctx);
        LLVMBuildBr(e->builder, join);
    }
    e->streams = false;
    e->has_streamed = true;
    LLVMPositionBuilderAtEnd(e->builder, join);
}

void emit_stream_fence(emit *e) {
    if (e->has_streamed) emit_intrinsic(e, "llvm.x86.sse.sfence", NULL, 0, NULL, 0, "");
    e->has_streamed = false;
}
