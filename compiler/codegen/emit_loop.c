/* Loops and ifs.
 *
 * in:  LT_LOOP, LT_IF
 * out: serial loops tested at the end, unrolled ones without any test; vector loops as a wide
 *      loop and what remains
 * law: a vector loop without carried values may do its remainder with masked lanes, since lanes
 *      don't know of each other; with carried values the remainder is scalar and goes on from
 *      the combined lanes (loops.h fixes the order of the sum)
 */
#include "compiler/codegen/emit_state.h"

#include <math.h>

#include "ir/dtype.h"

enum { FEW_CARRIES = 16 };

/* ---- A loop being emitted: for i = begin; i < end; i += step ---- */

typedef struct loop {
    const lt_stmt *stmt;
    uint32_t number; /* of the counter, for names */
    LLVMValueRef begin, end;
    int64_t step;
    bool runs; /* at least one step, surely */
    bool once; /* exactly one step */
    LLVMBasicBlockRef before, head, exit;
    LLVMValueRef counter;
    LLVMValueRef few[FEW_CARRIES], *phis; /* carried values inside */
    size_t n_scopes, n_ranges;
} loop;

static bool loop_init(emit *e, loop *l, const lt_stmt *s) {
    *l = (loop){.stmt = s, .number = dim_variable_number(e->dims, s->loop.variable), .step = 1};
    l->phis = l->few;
    if (s->loop.n_carries > FEW_CARRIES) l->phis = tn_calloc(s->loop.n_carries, sizeof *l->phis);
    return l->phis || emit_fail(e, TN_ERR_MEMORY, "out of memory");
}

static void loop_free(loop *l) {
    if (l->phis != l->few) tn_free(l->phis);
}

static variable *counter_of(emit *e, const lt_stmt *s) {
    return &e->variables[dim_variable_number(e->dims, s->loop.variable)];
}

static void bind_counter(emit *e, loop *l) {
    variable *v = counter_of(e, l->stmt);
    *v = (variable){.scalar = l->counter,
                    .level = (uint32_t)e->n_scopes - 1,
                    .is_varying = e->lanes > 1 && e->counter == l->stmt->loop.variable};
    emit_push_range(e, l->stmt->loop.variable, l->stmt->loop.begin, dim_add_const(e->dims, l->stmt->loop.end, -1));
}

/* Opens the body with carried values starting from inits[]. */
static void loop_open(emit *e, loop *l, const LLVMValueRef *inits) {
    const lt_stmt *s = l->stmt;
    l->n_scopes = e->n_scopes;
    l->n_ranges = e->n_ranges;
    if (l->once) {
        l->counter = l->begin;
        for (uint32_t i = 0; i < s->loop.n_carries; i++) emit_set_value(e, s->loop.carries[i].inner, inits[i]);
        if (emit_open_scope(e, "once", l->number)) bind_counter(e, l);
        return;
    }
    l->before = LLVMGetInsertBlock(e->builder);
    l->head = emit_new_block(e, "loop", l->number);
    l->exit = emit_new_block(e, "exit", l->number);
    if (l->runs)
        LLVMBuildBr(e->builder, l->head);
    else
        LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, l->begin, l->end, "any"), l->head, l->exit);
    LLVMPositionBuilderAtEnd(e->builder, l->head);
    l->counter = LLVMBuildPhi(e->builder, e->i64, "i");
    LLVMAddIncoming(l->counter, &l->begin, &l->before, 1);
    for (uint32_t i = 0; i < s->loop.n_carries; i++) {
        l->phis[i] = LLVMBuildPhi(e->builder, LLVMTypeOf(inits[i]), "carried");
        LLVMValueRef init = inits[i];
        LLVMAddIncoming(l->phis[i], &init, &l->before, 1);
        e->values[s->loop.carries[i].inner] = l->phis[i];
    }
    if (emit_open_scope_at(e, l->head, "body", l->number)) bind_counter(e, l);
}

/* Closes the body; nexts[] in, results[] out (NULL allowed without carried values). */
static void loop_close(emit *e, loop *l, const LLVMValueRef *inits, const LLVMValueRef *nexts, LLVMValueRef *results) {
    uint32_t n = l->stmt->loop.n_carries;
    emit_close_scopes(e, l->n_scopes);
    e->n_ranges = l->n_ranges;
    if (l->once) {
        for (uint32_t i = 0; i < n; i++) results[i] = nexts[i];
        return;
    }
    LLVMBasicBlockRef last = LLVMGetInsertBlock(e->builder);
    LLVMValueRef next = LLVMBuildNSWAdd(e->builder, l->counter, emit_const_i64(e, l->step), "next");
    LLVMAddIncoming(l->counter, &next, &last, 1);
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, next, l->end, "more"), l->head, l->exit);
    LLVMPositionBuilderAtEnd(e->builder, l->exit);
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef value = nexts[i], init = inits[i];
        LLVMAddIncoming(l->phis[i], &value, &last, 1);
        results[i] = LLVMBuildPhi(e->builder, LLVMTypeOf(value), "carried");
        LLVMAddIncoming(results[i], &value, &last, 1);
        if (!l->runs) LLVMAddIncoming(results[i], &init, &l->before, 1);
    }
}

/* The body once, between loop_open and loop_close. */
static void loop_body(emit *e, loop *l, LLVMValueRef *inits, LLVMValueRef *results) {
    const lt_stmt *s = l->stmt;
    loop_open(e, l, inits);
    emit_block(e, &s->loop.body);
    LLVMValueRef few[FEW_CARRIES], *nexts = few;
    if (s->loop.n_carries > FEW_CARRIES) nexts = tn_calloc(s->loop.n_carries, sizeof *nexts);
    if (!nexts) {
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < s->loop.n_carries && !e->failed; i++) {
        LLVMValueRef next = emit_value(e, s->loop.carries[i].next);
        nexts[i] = emit_is_vector(inits[i]) ? emit_splat(e, next) : next;
    }
    if (!e->failed) loop_close(e, l, inits, nexts, results);
    if (nexts != few) tn_free(nexts);
}

/* Trip count when known, else -1. */
static int64_t static_steps(emit *e, const lt_stmt *s) {
    int64_t n;
    tn_dim count = dim_sub(e->dims, emit_substitute(e, s->loop.end), emit_substitute(e, s->loop.begin));
    if (!dim_is_const(e->dims, count, &n)) return -1;
    return n > 0 ? n : 0;
}

static bool surely_runs(emit *e, const lt_stmt *s) {
    tn_dim last = dim_add_const(
        e->dims, dim_sub(e->dims, emit_substitute(e, s->loop.end), emit_substitute(e, s->loop.begin)), -1);
    return dim_is_nonnegative(e->dims, last, e->ranges, (int)e->n_ranges);
}

/* ---- Serial and unrolled ---- */

static void serial_loop(emit *e, const lt_stmt *s, LLVMValueRef *carried) {
    loop l;
    if (!loop_init(e, &l, s)) return;
    l.begin = emit_dim(e, s->loop.begin);
    l.end = emit_dim(e, s->loop.end);
    l.once = static_steps(e, s) == 1;
    l.runs = l.once || surely_runs(e, s);
    if (static_steps(e, s) != 0) loop_body(e, &l, carried, carried);
    loop_free(&l);
}

static void unrolled_loop(emit *e, const lt_stmt *s, LLVMValueRef *carried) {
    int64_t begin, steps = static_steps(e, s);
    if (!dim_is_const(e->dims, emit_substitute(e, s->loop.begin), &begin) || steps < 0) {
        serial_loop(e, s, carried); /* bounds are not static here: same meaning, one body */
        return;
    }
    if (!array_reserve((void **)&e->unrolled, &e->unrolled_capacity, e->n_unrolled + 1, sizeof *e->unrolled) ||
        !array_reserve((void **)&e->steps, &e->steps_capacity, e->n_unrolled + 1, sizeof *e->steps)) {
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
        return;
    }
    size_t mark = e->n_unrolled++;
    e->unrolled[mark] = s->loop.variable;
    for (int64_t i = 0; i < steps && !e->failed; i++) {
        e->steps[mark] = dim_const(e->dims, begin + i);
        for (uint32_t c = 0; c < s->loop.n_carries; c++) emit_set_value(e, s->loop.carries[c].inner, carried[c]);
        emit_block(e, &s->loop.body);
        for (uint32_t c = 0; c < s->loop.n_carries && !e->failed; c++) {
            LLVMValueRef next = emit_value(e, s->loop.carries[c].next);
            carried[c] = emit_is_vector(carried[c]) ? emit_splat(e, next) : next;
        }
    }
    e->n_unrolled = mark;
}

/* ---- Vector ---- */

/* The element that changes nothing when combined. */
static LLVMValueRef neutral(emit *e, tn_op combine, tn_dtype dtype) {
    LLVMTypeRef type = vmath_register_type(e->context, dtype, 0);
    LLVMTypeKind kind = LLVMGetTypeKind(type);
    if (kind != LLVMIntegerTypeKind) {
        switch (combine) {
        case TN_OP_add: return LLVMConstReal(type, -0.0);
        case TN_OP_mul: return LLVMConstReal(type, 1.0);
        case TN_OP_max: return LLVMConstReal(type, -INFINITY);
        default: return LLVMConstReal(type, INFINITY);
        }
    }
    bool is_signed = dtype_in(DTYPES_SINT, dtype);
    unsigned bits = LLVMGetIntTypeWidth(type);
    uint64_t ones = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    uint64_t greatest = is_signed ? ones >> 1 : ones;
    switch (combine) {
    case TN_OP_mul: return LLVMConstInt(type, 1, false);
    case TN_OP_max: return LLVMConstInt(type, is_signed ? greatest + 1 : 0, false);
    case TN_OP_min: return LLVMConstInt(type, greatest, false);
    case TN_OP_and: return LLVMConstInt(type, ones, false);
    default: return LLVMConstInt(type, 0, false); /* add, or */
    }
}

static LLVMValueRef combine_two(emit *e, const lt_carry *c, LLVMValueRef x, LLVMValueRef y) {
    LLVMValueRef operands[] = {x, y};
    LLVMValueRef r = emit_op(e, c->combine, 0, c->dtype, c->dtype, operands);
    return r ? r : x;
}

/* Lane i with lane i + width/2, until one is left. */
static LLVMValueRef combine_lanes(emit *e, const lt_carry *c, LLVMValueRef v) {
    LLVMValueRef numbers[256];
    for (unsigned width = LLVMGetVectorSize(LLVMTypeOf(v)); width > 1; width /= 2) {
        LLVMValueRef halves[2];
        for (unsigned h = 0; h < 2; h++) {
            for (unsigned i = 0; i < width / 2; i++) numbers[i] = LLVMConstInt(e->i32, i + h * width / 2, false);
            LLVMValueRef mask = LLVMConstVector(numbers, width / 2);
            halves[h] = LLVMBuildShuffleVector(e->builder, v, LLVMGetPoison(LLVMTypeOf(v)), mask, "half");
        }
        v = combine_two(e, c, halves[0], halves[1]);
    }
    return LLVMBuildExtractElement(e->builder, v, LLVMConstInt(e->i32, 0, false), "lanes");
}

static bool block_suits_mask(const emit *e, const lt_block *block) {
    for (uint32_t i = 0; i < block->n; i++) {
        const lt_stmt *s = block->items[i];
        bool suits = true;
        if (s->kind == LT_LOAD || s->kind == LT_STORE)
            suits = e->out->target->machine.vector_bytes >= 64 || tn_dtype_bits(s->dtype) >= 32;
        else if (s->kind == LT_LOOP)
            suits = block_suits_mask(e, &s->loop.body);
        else if (s->kind == LT_IF)
            suits = block_suits_mask(e, &s->branch.then) && block_suits_mask(e, &s->branch.otherwise);
        else if (s->kind == LT_TILE)
            suits = false;
        if (!suits) return false;
    }
    return true;
}

/* Masked loads and stores are single instructions for all that the body touches. */
static bool has_masked_tail(const emit *e, const lt_stmt *s) {
    const target *t = e->out->target;
    return s->loop.n_carries == 0 && t->is_x86 && t->machine.vector_bytes >= 32 && block_suits_mask(e, &s->loop.body);
}

static void enter_lanes(emit *e, const lt_stmt *s) {
    e->lanes = s->loop.width;
    e->counter = s->loop.variable;
}

static void leave_lanes(emit *e) {
    e->lanes = 1;
    e->mask = NULL;
}

/* Carried values through the wide loop: lanes from the neutral element, combined, then init.
 * The combination is done only when a step was, behind the loop's exit. */
static void wide_loop(emit *e, const lt_stmt *s, loop *l, LLVMValueRef *carried) {
    uint32_t n = s->loop.n_carries;
    LLVMValueRef *lanes = tn_calloc(n + 1u, sizeof *lanes);
    if (!lanes) {
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
        return;
    }
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->builder), join = NULL;
    if (n && !l->runs) {
        LLVMBasicBlockRef wide = emit_new_block(e, "wide", l->number);
        join = emit_new_block(e, "narrow", l->number);
        LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, l->begin, l->end, "any"), wide, join);
        LLVMPositionBuilderAtEnd(e->builder, wide);
        l->runs = true;
    }
    enter_lanes(e, s);
    for (uint32_t i = 0; i < n; i++)
        lanes[i] = emit_splat(e, neutral(e, s->loop.carries[i].combine, s->loop.carries[i].dtype));
    loop_body(e, l, lanes, lanes);
    leave_lanes(e);
    for (uint32_t i = 0; i < n && !e->failed; i++) {
        LLVMValueRef all = emit_is_vector(lanes[i]) ? combine_lanes(e, &s->loop.carries[i], lanes[i]) : lanes[i];
        lanes[i] = combine_two(e, &s->loop.carries[i], carried[i], all);
    }
    LLVMBasicBlockRef after = LLVMGetInsertBlock(e->builder);
    if (join) {
        LLVMBuildBr(e->builder, join);
        LLVMPositionBuilderAtEnd(e->builder, join);
    }
    for (uint32_t i = 0; i < n && !e->failed; i++) {
        LLVMValueRef init = carried[i];
        carried[i] = lanes[i];
        if (!join) continue;
        carried[i] = LLVMBuildPhi(e->builder, LLVMTypeOf(init), "carried");
        LLVMAddIncoming(carried[i], &lanes[i], &after, 1);
        LLVMAddIncoming(carried[i], &init, &before, 1);
    }
    tn_free(lanes);
}

/* What is left of a vector loop, in one masked step. */
static void masked_tail(emit *e, const lt_stmt *s, LLVMValueRef begin, LLVMValueRef end) {
    loop l;
    if (!loop_init(e, &l, s)) return;
    LLVMBasicBlockRef tail = emit_new_block(e, "tail", l.number), done = emit_new_block(e, "done", l.number);
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, begin, end, "rest"), tail, done);
    LLVMPositionBuilderAtEnd(e->builder, tail);
    l.begin = begin;
    l.end = end;
    l.runs = l.once = true;
    enter_lanes(e, s);
    LLVMValueRef numbers[256];
    for (uint32_t i = 0; i < e->lanes; i++) numbers[i] = LLVMConstInt(e->i32, i, false);
    LLVMValueRef left = LLVMBuildTrunc(e->builder, LLVMBuildSub(e->builder, end, begin, ""), e->i32, "left");
    e->mask = LLVMBuildICmp(e->builder, LLVMIntULT, LLVMConstVector(numbers, e->lanes), emit_splat(e, left), "mask");
    loop_body(e, &l, NULL, NULL);
    leave_lanes(e);
    LLVMBuildBr(e->builder, done);
    LLVMPositionBuilderAtEnd(e->builder, done);
    loop_free(&l);
}

static void scalar_tail(emit *e, const lt_stmt *s, LLVMValueRef begin, LLVMValueRef end, int64_t steps,
                        LLVMValueRef *carried) {
    loop l;
    if (!loop_init(e, &l, s)) return;
    l.begin = begin;
    l.end = end;
    l.once = steps == 1;
    l.runs = steps > 0;
    loop_body(e, &l, carried, carried);
    loop_free(&l);
}

static void vector_loop(emit *e, const lt_stmt *s, LLVMValueRef *carried) {
    loop l;
    if (!loop_init(e, &l, s)) return;
    int64_t width = s->loop.width, steps = static_steps(e, s);
    LLVMValueRef begin = emit_dim(e, s->loop.begin), end = emit_dim(e, s->loop.end);
    LLVMValueRef main_end = end;
    if (steps != 0 && !(steps > 0 && steps % width == 0)) {
        LLVMValueRef count = LLVMBuildSub(e->builder, end, begin, "");
        LLVMValueRef zero = emit_const_i64(e, 0);
        LLVMValueRef some = LLVMBuildICmp(e->builder, LLVMIntSGT, count, zero, "");
        count = LLVMBuildSelect(e->builder, some, count, zero, "count");
        LLVMValueRef wide = LLVMBuildAnd(e->builder, count, emit_const_i64(e, -width), "");
        main_end = LLVMBuildAdd(e->builder, begin, wide, "main_end");
    }
    enter_lanes(e, s);
    emit_mark_varying(e, s);
    leave_lanes(e);
    if (steps < 0 || steps >= width) {
        l.begin = begin;
        l.end = main_end;
        l.step = width;
        l.runs = steps >= width;
        l.once = steps / width == 1 && steps > 0;
        wide_loop(e, s, &l, carried);
    }
    loop_free(&l);
    if (e->failed || steps == 0 || (steps > 0 && steps % width == 0) || width == 1) return;
    if (has_masked_tail(e, s))
        masked_tail(e, s, main_end, end);
    else
        scalar_tail(e, s, main_end, end, steps < 0 ? -1 : steps % width, carried);
}

/* ---- Entries ---- */

void emit_loop(emit *e, const lt_stmt *s) {
    static void (*const by_kind[])(emit *, const lt_stmt *, LLVMValueRef *) = {
        [LT_SERIAL] = serial_loop, [LT_VECTOR] = vector_loop, [LT_UNROLLED] = unrolled_loop};
    uint32_t n = s->loop.n_carries;
    LLVMValueRef few[FEW_CARRIES], *carried = n > FEW_CARRIES ? tn_calloc(n, sizeof *carried) : few;
    if (!carried) {
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        bool varying = e->lanes > 1 && e->is_varying[s->loop.carries[i].inner];
        carried[i] = emit_value_as(e, s->loop.carries[i].init, varying);
    }
    by_kind[s->loop.kind](e, s, carried);
    for (uint32_t i = 0; i < n && !e->failed; i++) emit_set_value(e, s->loop.carries[i].result, carried[i]);
    if (carried != few) tn_free(carried);
}

void emit_if(emit *e, const lt_stmt *s) {
    LLVMBasicBlockRef then = emit_new_block(e, "then", 0), join = emit_new_block(e, "join", 0);
    LLVMBasicBlockRef otherwise = s->branch.otherwise.n ? emit_new_block(e, "else", 0) : join;
    LLVMBuildCondBr(e->builder, emit_value(e, s->branch.condition), then, otherwise);
    LLVMPositionBuilderAtEnd(e->builder, then);
    emit_block(e, &s->branch.then);
    LLVMBuildBr(e->builder, join);
    if (otherwise != join) {
        LLVMPositionBuilderAtEnd(e->builder, otherwise);
        emit_block(e, &s->branch.otherwise);
        LLVMBuildBr(e->builder, join);
    }
    LLVMPositionBuilderAtEnd(e->builder, join);
}
