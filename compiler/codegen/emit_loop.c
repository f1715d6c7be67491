/* Loops and ifs; vector loops are in emit_vector.c.
 *
 * in:  LT_LOOP, LT_IF
 * out: serial loops tested at the end, unrolled ones without any test
 * law: a loop's counter and carried values are phis; what a step needs of dims is computed in
 *      the body's prologue
 */
#include "compiler/codegen/emit_loop.h"

#include <string.h>

bool emit_loop_init(emit *e, loop *l, const lt_stmt *s) {
    *l = (loop){.stmt = s, .number = dim_variable_number(e->dims, s->loop.variable), .step = 1};
    l->phis = l->few;
    l->n_phis = s->loop.n_carries;
    if (l->n_phis > FEW_CARRIES) l->phis = tn_calloc(l->n_phis, sizeof *l->phis);
    return l->phis || emit_fail(e, TN_ERR_MEMORY, "out of memory");
}

void emit_loop_free(loop *l) {
    if (l->phis != l->few) tn_free(l->phis);
}

static LLVMMetadataRef weight(const emit *e, int64_t n) {
    return LLVMValueAsMetadata(LLVMConstInt(e->i32, (uint64_t)n, false));
}

void emit_back_edge(emit *e, LLVMValueRef more, LLVMBasicBlockRef head, LLVMBasicBlockRef exit, int64_t steps) {
    LLVMValueRef branch = LLVMBuildCondBr(e->builder, more, head, exit);
    if (steps < 1) return;
    if (steps > INT32_MAX) steps = INT32_MAX;
    LLVMMetadataRef parts[] = {LLVMMDStringInContext2(e->context, "branch_weights", strlen("branch_weights")),
                               weight(e, steps), weight(e, 1)};
    unsigned kind = LLVMGetMDKindIDInContext(e->context, "prof", strlen("prof"));
    LLVMSetMetadata(branch, kind, LLVMMetadataAsValue(e->context, LLVMMDNodeInContext2(e->context, parts, 3)));
}

static variable *counter_of(emit *e, const lt_stmt *s) {
    return &e->variables[dim_variable_number(e->dims, s->loop.variable)];
}

static void bind_counter(emit *e, loop *l) {
    variable *v = counter_of(e, l->stmt);
    *v = (variable){.scalar = l->counter,
                    .level = (uint32_t)e->n_scopes - 1,
                    .is_varying = e->lanes > 1 && e->counter == l->stmt->loop.variable};
    emit_tell_variable(e, l->number, l->counter);
    emit_push_range(e, l->stmt->loop.variable, l->stmt->loop.begin, dim_add_const(e->dims, l->stmt->loop.end, -1));
}

void emit_loop_open(emit *e, loop *l, const LLVMValueRef *inits) {
    const lt_stmt *s = l->stmt;
    l->n_scopes = e->n_scopes;
    l->n_ranges = e->n_ranges;
    if (l->once) {
        l->counter = l->begin;
        for (uint32_t i = 0; i < l->n_phis; i++) emit_set_value(e, s->loop.carries[i].inner, inits[i]);
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
    for (uint32_t i = 0; i < l->n_phis; i++) {
        l->phis[i] = LLVMBuildPhi(e->builder, LLVMTypeOf(inits[i]), "carried");
        LLVMAddIncoming(l->phis[i], (LLVMValueRef *)&inits[i], &l->before, 1);
        e->values[s->loop.carries[i].inner] = l->phis[i];
    }
    if (emit_open_scope_at(e, l->head, "body", l->number)) bind_counter(e, l);
}

void emit_loop_close(emit *e, loop *l, const LLVMValueRef *inits, const LLVMValueRef *nexts, LLVMValueRef *results) {
    uint32_t n = l->n_phis;
    emit_close_scopes(e, l->n_scopes);
    e->n_ranges = l->n_ranges;
    if (l->once) {
        for (uint32_t i = 0; i < n; i++) results[i] = nexts[i];
        return;
    }
    LLVMBasicBlockRef last = LLVMGetInsertBlock(e->builder);
    LLVMValueRef step = LLVMBuildNSWAdd(e->builder, l->counter, emit_const_i64(e, l->step), "next");
    LLVMValueRef next = emit_opaque(e, step);
    LLVMAddIncoming(l->counter, &next, &last, 1);
    emit_back_edge(e, LLVMBuildICmp(e->builder, LLVMIntSLT, next, l->end, "more"), l->head, l->exit,
                   emit_loop_steps(e, l->stmt) / l->step);
    LLVMPositionBuilderAtEnd(e->builder, l->exit);
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef value = nexts[i];
        LLVMAddIncoming(l->phis[i], &value, &last, 1);
        LLVMValueRef result = LLVMBuildPhi(e->builder, LLVMTypeOf(value), "carried");
        LLVMAddIncoming(result, &value, &last, 1);
        if (!l->runs) LLVMAddIncoming(result, (LLVMValueRef *)&inits[i], &l->before, 1);
        results[i] = result;
    }
}

void emit_loop_body(emit *e, loop *l, LLVMValueRef *inits, LLVMValueRef *results) {
    const lt_stmt *s = l->stmt;
    emit_loop_open(e, l, inits);
    emit_block(e, &s->loop.body);
    LLVMValueRef few[FEW_CARRIES] = {NULL}, *nexts = few;
    if (s->loop.n_carries > FEW_CARRIES) nexts = tn_calloc(s->loop.n_carries, sizeof *nexts);
    if (!nexts) {
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < s->loop.n_carries && !e->failed; i++) {
        LLVMValueRef next = emit_value(e, s->loop.carries[i].next);
        nexts[i] = emit_is_vector(inits[i]) ? emit_splat(e, next) : next;
    }
    if (!e->failed) emit_loop_close(e, l, inits, nexts, results);
    if (nexts != few) tn_free(nexts);
}

int64_t emit_loop_steps(emit *e, const lt_stmt *s) {
    int64_t n;
    tn_dim count = dim_sub(e->dims, emit_substitute(e, s->loop.end), emit_substitute(e, s->loop.begin));
    if (!dim_is_const(e->dims, count, &n)) return -1;
    return n > 0 ? n : 0;
}

bool emit_loop_runs(emit *e, const lt_stmt *s) {
    tn_dim last = dim_add_const(
        e->dims, dim_sub(e->dims, emit_substitute(e, s->loop.end), emit_substitute(e, s->loop.begin)), -1);
    return dim_is_nonnegative(e->dims, last, e->ranges, (int)e->n_ranges);
}

/* ---- Serial and unrolled ---- */

static void serial_loop(emit *e, const lt_stmt *s, LLVMValueRef *carried) {
    loop l;
    if (!emit_loop_init(e, &l, s)) return;
    l.begin = emit_dim(e, s->loop.begin);
    l.end = emit_dim(e, s->loop.end);
    l.once = emit_loop_steps(e, s) == 1;
    l.runs = l.once || emit_loop_runs(e, s);
    if (emit_loop_steps(e, s) != 0) emit_loop_body(e, &l, carried, carried);
    emit_loop_free(&l);
}

static void unrolled_loop(emit *e, const lt_stmt *s, LLVMValueRef *carried) {
    int64_t begin, steps = emit_loop_steps(e, s);
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

/* ---- Entries ---- */

void emit_loop(emit *e, const lt_stmt *s) {
    static void (*const by_kind[])(emit *, const lt_stmt *, LLVMValueRef *) = {
        [LT_SERIAL] = serial_loop, [LT_VECTOR] = emit_vector_loop, [LT_UNROLLED] = unrolled_loop};
    const part_use *use = e->lanes == 1 && e->n_unrolled == 0 ? loop_part_at(e->out->parts, s) : NULL;
    if (use) {
        emit_part_call(e, use);
        return;
    }
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
    if (emit_is_vector(emit_value(e, s->branch.condition))) {
        emit_fail(e, TN_ERR_VERIFY, "an if inside a vector loop whose condition differs between lanes");
        return;
    }
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
