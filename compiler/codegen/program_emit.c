/* A planned program to LLVM IR: kernels, functions, and the entry `run` (see program_emit.h). */
#include "compiler/codegen/program_state.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

bool program_fail(program_emitter *p, tn_status status, const char *format, ...) {
    va_list arguments;
    if (!p->failed && p->out->diag) {
        *p->out->diag = (tn_diag){.status = status};
        va_start(arguments, format);
        vsnprintf(p->out->diag->message, sizeof p->out->diag->message, format, arguments);
        va_end(arguments);
    }
    p->failed = true;
    return false;
}

LLVMValueRef program_i64(const program_emitter *p, int64_t value) {
    return LLVMConstInt(p->i64, (unsigned long long)value, true);
}

LLVMValueRef program_function(program_emitter *p, const char *name, LLVMTypeRef type, bool is_internal) {
    char symbol[256];
    snprintf(symbol, sizeof symbol, "%s%s", p->prefix, name);
    LLVMValueRef f = LLVMAddFunction(p->module, symbol, type);
    LLVMSetLinkage(f, is_internal ? LLVMInternalLinkage : LLVMExternalLinkage);
    target_mark_function(p->out->target, f);
    return f;
}

LLVMMetadataRef program_describe(program_emitter *p, LLVMValueRef function, const char *name, const tn_graph *g) {
    const function_plan *plan = plan_of(p->plan, g);
    debug_place place = {plan->lines ? plan->lines[g->n_nodes] : 0, LOCATION_NONE, g->module};
    LLVMMetadataRef described = debug_function(p->out->debug, function, name, place);
    LLVMSetCurrentDebugLocation2(p->b, NULL); /* of the function before */
    debug_line(p->out->debug, p->b, described, place);
    return described;
}

LLVMValueRef program_frame_member(program_emitter *p, LLVMValueRef frame, unsigned offset, LLVMTypeRef type) {
    LLVMValueRef at = LLVMBuildGEP2(p->b, p->i8, frame, (LLVMValueRef[]){program_i64(p, offset)}, 1, "");
    return LLVMBuildLoad2(p->b, type, at, "");
}

LLVMValueRef program_load_at(program_emitter *p, LLVMValueRef array, int64_t index, LLVMTypeRef type) {
    LLVMValueRef at = LLVMBuildGEP2(p->b, p->i64, array, (LLVMValueRef[]){program_i64(p, index)}, 1, "");
    return LLVMBuildLoad2(p->b, type, at, "");
}

void program_store(program_emitter *p, LLVMValueRef value, LLVMValueRef at) {
    bool is_narrow = LLVMTypeOf(value) == p->pointer && p->out->target->pointer_bits < 64;
    LLVMBuildStore(p->b, is_narrow ? LLVMBuildPtrToInt(p->b, value, p->i64, "") : value, at);
}

void program_store_at(program_emitter *p, LLVMValueRef array, int64_t index, LLVMValueRef value) {
    program_store(p, value, LLVMBuildGEP2(p->b, p->i64, array, (LLVMValueRef[]){program_i64(p, index)}, 1, ""));
}

/* ---- Constraints ---- */

/* The entry's own are all: a call's rule records in the caller what its callee requires. */
static bool list_constraints(program_emitter *p) {
    emitted_tables *t = p->tables;
    size_t n = p->entry->n_constraints;
    if (!array_reserve((void **)&t->constraints, &t->constraints_capacity, n, sizeof *t->constraints))
        return program_fail(p, TN_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < n; i++) t->constraints[t->n_constraints++] = p->entry->constraints[i];
    return true;
}

/* ---- run ---- */

/* Items of one array of pointers to another. */
static void copy_pointers(program_emitter *p, LLVMValueRef to, int64_t to_index, LLVMValueRef from, int64_t from_index,
                          int64_t n) {
    enum { WORD_BYTES = 8 };
    LLVMValueRef target = LLVMBuildGEP2(p->b, p->i64, to, (LLVMValueRef[]){program_i64(p, to_index)}, 1, ""),
                 source = LLVMBuildGEP2(p->b, p->i64, from, (LLVMValueRef[]){program_i64(p, from_index)}, 1, "");
    emit_copy_bytes(p->b, p->out->target, target, source, program_i64(p, WORD_BYTES * n), WORD_BYTES);
}

/* i32 run(frame): checks the frame, lays parameters and results out in order, and calls the
 * entry's function. */
static bool emit_run(program_emitter *p) {
    tn_graph *g = p->entry;
    const function_plan *plan = plan_of(p->plan, g);
    LLVMTypeRef type = LLVMFunctionType(p->i32, (LLVMTypeRef[]){p->pointer}, 1, false);
    LLVMValueRef f = program_function(p, "run", type, false), frame = LLVMGetParam(f, 0);
    static const struct {
        unsigned offset;
        uint32_t expected;
    } checks[] = {{offsetof(tn_frame, version), TN_FRAME_VERSION}, {offsetof(tn_frame, size), sizeof(tn_frame)}};
    LLVMPositionBuilderAtEnd(p->b, LLVMAppendBasicBlockInContext(p->context, f, "start"));
    program_describe(p, f, "run", g);
    for (unsigned i = 0; i < 2; i++) {
        LLVMBasicBlockRef wrong = LLVMAppendBasicBlockInContext(p->context, f, "wrong"),
                          right = LLVMAppendBasicBlockInContext(p->context, f, "right");
        LLVMValueRef member = program_frame_member(p, frame, checks[i].offset, p->i32);
        LLVMBuildCondBr(p->b,
                        LLVMBuildICmp(p->b, LLVMIntEQ, member, LLVMConstInt(p->i32, checks[i].expected, false), ""),
                        right, wrong);
        LLVMPositionBuilderAtEnd(p->b, wrong);
        LLVMBuildRet(p->b, LLVMConstInt(p->i32, i + 1, false));
        LLVMPositionBuilderAtEnd(p->b, right);
    }
    LLVMValueRef params = LLVMBuildArrayAlloca(p->b, p->i64, program_i64(p, (int64_t)g->n_params + 1), "params");
    LLVMValueRef lists[] = {program_frame_member(p, frame, offsetof(tn_frame, inputs), p->pointer),
                            program_frame_member(p, frame, offsetof(tn_frame, weights), p->pointer)};
    int64_t next[2] = {0, 0};
    for (size_t from = 0, to; from < g->n_params; from = to) {
        bool is_weight = g->params[from].binding == BINDING_LOAD;
        for (to = from; to < g->n_params && (g->params[to].binding == BINDING_LOAD) == is_weight;) to++;
        copy_pointers(p, params, (int64_t)from, lists[is_weight], next[is_weight], (int64_t)(to - from));
        next[is_weight] += (int64_t)(to - from);
    }
    LLVMValueRef symbols = program_frame_member(p, frame, offsetof(tn_frame, symbols), p->pointer);
    LLVMValueRef *values = tn_calloc(g->n_symbols + 1, sizeof *values);
    tn_dim *dims = tn_calloc(g->n_symbols + 1, sizeof *dims);
    if (!values || !dims) {
        tn_free(values);
        tn_free(dims);
        return program_fail(p, TN_ERR_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < g->n_symbols; i++) {
        dims[i] = g->symbols[i].dim;
        values[i] = program_load_at(p, symbols, (int64_t)i, p->i64);
    }
    LLVMValueRef stride = program_dim_over(p, plan->scratch_bytes, dims, values, (uint32_t)g->n_symbols);
    tn_free(values);
    tn_free(dims);
    LLVMValueRef arguments[] = {frame,
                                params,
                                program_frame_member(p, frame, offsetof(tn_frame, outputs), p->pointer),
                                program_frame_member(p, frame, offsetof(tn_frame, arena), p->pointer),
                                symbols,
                                stride};
    LLVMBuildCall2(p->b, p->function_type, p->functions[plan - p->plan->functions], arguments, 6, "");
    LLVMBuildRet(p->b, LLVMConstInt(p->i32, 0, false));
    return !p->failed;
}

/* ---- All of it ---- */

/* Marks the functions of the plan that the entry reaches; callees stand before callers. */
static bool find_needed(program_emitter *p) {
    const program_plan *plan = p->plan;
    p->needed = tn_calloc(plan->n_functions + 1, sizeof *p->needed);
    if (!p->needed) return program_fail(p, TN_ERR_MEMORY, "out of memory");
    p->needed[plan_of(plan, p->entry) - plan->functions] = true;
    for (size_t i = plan->n_functions; i-- > 0;) {
        const tn_graph *g = plan->functions[i].graph;
        for (size_t n = 0; p->needed[i] && !g->is_kernel && n < g->n_nodes; n++)
            for (size_t k = 0; k < PLAN_CALLEES; k++) {
                const attr *callee = attr_find(&g->nodes[n].attrs, plan_callees[k]);
                if (callee) p->needed[plan_of(plan, callee->func) - plan->functions] = true;
            }
    }
    return true;
}

/* The stage as this module's functions refer to it. */
static LLVMValueRef seen_here(const program_emitter *p, LLVMValueRef stage) {
    if (LLVMGetGlobalParent(stage) == p->module) return stage;
    size_t length;
    return LLVMAddFunction(p->module, LLVMGetValueName2(stage, &length), emit_stage_type(p->context));
}

static bool emit_kernels(program_emitter *p) {
    for (size_t i = 0; i < p->plan->n_functions; i++) {
        const function_plan *f = &p->plan->functions[i];
        if (!f->graph->is_kernel || p->stages[f->kernel] || !p->needed[i]) continue;
        const lt_kernel *k = p->plan->kernels[f->kernel].loops;
        char symbol[256];
        snprintf(symbol, sizeof symbol, "%s%s", p->prefix, k->name);
        p->stages[f->kernel] = tn_calloc(k->n_stages + 1, sizeof *p->stages[f->kernel]);
        if (!p->stages[f->kernel]) return program_fail(p, TN_ERR_MEMORY, "out of memory");
        if (!p->home->emit(p->home->ctx, k, symbol, p->stages[f->kernel])) return !(p->failed = true);
        for (uint32_t s = 0; s < k->n_stages; s++) p->stages[f->kernel][s] = seen_here(p, p->stages[f->kernel][s]);
    }
    return true;
}

static bool emit_functions(program_emitter *p) {
    p->function_type = LLVMFunctionType(
        p->empty, (LLVMTypeRef[]){p->pointer, p->pointer, p->pointer, p->pointer, p->pointer, p->i64}, 6, false);
    for (size_t i = 0; i < p->plan->n_functions; i++) {
        const function_plan *f = &p->plan->functions[i];
        if (f->graph->is_kernel || !p->needed[i]) continue;
        char name[200];
        snprintf(name, sizeof name, "fn.%s", f->graph->name);
        p->functions[i] = program_function(p, name, p->function_type, true);
        target_mark_cold(p->functions[i]); /* long, and little beside its kernels */
        if (!program_emit_function(p, f, p->functions[i])) return false;
    }
    return true;
}

bool program_emit(const emitter *out, const kernel_home *home, const program_plan *plan, tn_graph *entry,
                  const char *prefix, emitted_tables *tables) {
    LLVMContextRef context = LLVMGetModuleContext(out->module);
    program_emitter p = {
        .out = out,
        .home = home,
        .plan = plan,
        .entry = entry,
        .prefix = prefix,
        .tables = tables,
        .context = context,
        .module = out->module,
        .b = LLVMCreateBuilderInContext(context),
        .dims = entry->module->dims,
        .i8 = LLVMInt8TypeInContext(context),
        .i32 = LLVMInt32TypeInContext(context),
        .i64 = LLVMInt64TypeInContext(context),
        .pointer = LLVMPointerTypeInContext(context, 0),
        .empty = LLVMVoidTypeInContext(context),
    };
    p.stages = tn_calloc(plan->n_kernels + 1, sizeof *p.stages);
    p.functions = tn_calloc(plan->n_functions + 1, sizeof *p.functions);
    bool ok = p.stages && p.functions;
    if (!ok) program_fail(&p, TN_ERR_MEMORY, "out of memory");
    ok = ok && find_needed(&p) && list_constraints(&p) && emit_kernels(&p) && program_make_stage_table(&p);
    if (ok) program_emit_helpers(&p);
    ok = ok && emit_functions(&p) && emit_run(&p) && program_emit_bind(&p) && program_close_pool(&p);
    for (size_t i = 0; p.stages && i < plan->n_kernels; i++) tn_free(p.stages[i]);
    tn_free(p.stages);
    tn_free(p.functions);
    tn_free(p.needed);
    tn_free(p.table.first);
    tn_free(p.pool.items);
    tn_free(p.pool.offsets);
    LLVMDisposeBuilder(p.b);
    return ok && !p.failed;
}

void emitted_tables_free(emitted_tables *t) {
    tn_free(t->sites);
    tn_free(t->customs);
    tn_free(t->constants);
    tn_free(t->constraints);
    tn_free(t->calls);
    *t = (emitted_tables){0};
}
