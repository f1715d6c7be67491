/* Stages as LLVM functions: the frame of every emission, scopes, values, statements in turn.
 *
 * in:  a loop tree (emit.h)
 * out: a function for each stage
 * law: a statement is emitted where it stands; only dims and addresses move, outwards, to the
 *      prologue of the scope that first has all their leaves
 */
#include "compiler/codegen/emit_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Errors ---- */

bool emit_fail(emit *e, tn_status status, const char *format, ...) {
    if (!e->failed && e->out->diag) {
        tn_diag *diag = e->out->diag;
        *diag = (tn_diag){.status = status};
        int n = snprintf(diag->message, sizeof diag->message, "kernel %s: ", e->kernel->name);
        size_t used = n < 0 ? 0 : (size_t)n < sizeof diag->message ? (size_t)n : sizeof diag->message - 1;
        va_list args;
        va_start(args, format);
        vsnprintf(diag->message + used, sizeof diag->message - used, format, args);
        va_end(args);
    }
    e->failed = true;
    return false;
}

static bool no_memory(emit *e) { return emit_fail(e, TN_ERR_MEMORY, "out of memory"); }

/* ---- Blocks and scopes ---- */

LLVMBasicBlockRef emit_new_block(emit *e, const char *name, uint32_t number) {
    char text[32];
    snprintf(text, sizeof text, "%s%u", name, number);
    return LLVMAppendBasicBlockInContext(e->context, e->function, text);
}

bool emit_open_scope_at(emit *e, LLVMBasicBlockRef prologue, const char *name, uint32_t number) {
    if (!array_reserve((void **)&e->scopes, &e->scopes_capacity, e->n_scopes + 1, sizeof *e->scopes))
        return no_memory(e);
    e->scopes[e->n_scopes++] = (scope){.prologue = prologue, .n_ranges = e->n_ranges};
    LLVMBasicBlockRef body = emit_new_block(e, name, number);
    LLVMBuildBr(e->builder, body);
    LLVMPositionBuilderAtEnd(e->builder, body);
    return true;
}

bool emit_open_scope(emit *e, const char *name, uint32_t number) {
    LLVMBasicBlockRef prologue = emit_new_block(e, name, number);
    LLVMBuildBr(e->builder, prologue);
    LLVMPositionBuilderAtEnd(e->builder, prologue);
    return emit_open_scope_at(e, prologue, name, number);
}

void emit_close_scopes(emit *e, size_t n) {
    while (e->n_scopes > n) tn_free(e->scopes[--e->n_scopes].memo);
}

bool emit_push_range(emit *e, tn_dim leaf, tn_dim low, tn_dim high) {
    if (!array_reserve((void **)&e->ranges, &e->ranges_capacity, e->n_ranges + 1, sizeof *e->ranges))
        return no_memory(e);
    e->ranges[e->n_ranges++] = (dim_range){leaf, low, high};
    e->scopes[e->n_scopes - 1].n_ranges = e->n_ranges;
    return true;
}

/* ---- Values ---- */

LLVMValueRef emit_const_i64(const emit *e, int64_t value) {
    return LLVMConstInt(e->i64, (unsigned long long)value, true);
}

bool emit_is_vector(LLVMValueRef v) { return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind; }

LLVMValueRef emit_splat(emit *e, LLVMValueRef scalar) {
    if (emit_is_vector(scalar) || e->lanes == 1) return scalar;
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), e->lanes);
    LLVMValueRef first =
        LLVMBuildInsertElement(e->builder, LLVMGetPoison(type), scalar, LLVMConstInt(e->i32, 0, false), "");
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(e->i32, e->lanes));
    return LLVMBuildShuffleVector(e->builder, first, LLVMGetPoison(type), zeros, "splat");
}

LLVMValueRef emit_value(emit *e, lt_value v) { return e->values[v]; }

LLVMValueRef emit_value_as(emit *e, lt_value v, bool varying) {
    return varying ? emit_splat(e, e->values[v]) : e->values[v];
}

/* %8 goes by the name v8. Of parts, numbers are not those of the text. */
static void tell_value(emit *e, char letter, uint32_t number, LLVMValueRef value) {
    char name[16];
    if (!e->described || e->extents) return;
    snprintf(name, sizeof name, "%c%u", letter, (unsigned)number);
    debug_value(e->out->debug, e->builder, e->described, name, 0, value);
}

void emit_tell_variable(emit *e, uint32_t number, LLVMValueRef value) { tell_value(e, 'i', number, value); }

void emit_set_value(emit *e, lt_value v, LLVMValueRef value) {
    if (e->lanes > 1 && e->is_varying[v]) value = emit_splat(e, value);
    e->values[v] = value;
    tell_value(e, 'v', v, value);
}

LLVMValueRef emit_all_true(emit *e) { return LLVMConstAllOnes(LLVMVectorType(e->i1, e->lanes)); }

LLVMValueRef emit_intrinsic(emit *e, const char *name, LLVMTypeRef *types, unsigned n_types, LLVMValueRef *args,
                            unsigned n_args, const char *result) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, types, n_types);
    return LLVMBuildCall2(e->builder, LLVMGlobalGetValueType(f), f, args, n_args, result);
}

/* Both intrinsics end as their operand when instructions are selected; until then they are no recurrences. */
LLVMValueRef emit_opaque(emit *e, LLVMValueRef step) {
    LLVMTypeRef type = LLVMTypeOf(step);
    if (LLVMGetTypeKind(type) == LLVMPointerTypeKind)
        return emit_intrinsic(e, "llvm.launder.invariant.group", &type, 1, &step, 1, "");
    return emit_intrinsic(e, "llvm.expect", &type, 1, (LLVMValueRef[]){step, LLVMConstNull(type)}, 2, "");
}

/* ---- Statements ---- */

static void emit_const_stmt(emit *e, const lt_stmt *s) {
    emit_set_value(e, s->result, emit_const(e, s->dtype, s->constant.bits));
}

static void emit_dim_stmt(emit *e, const lt_stmt *s) {
    bool varies = emit_dim_varies(e, s->dim.dim);
    emit_set_value(e, s->result, varies ? emit_dim_vector(e, s->dim.dim) : emit_dim(e, s->dim.dim));
}

static void emit_op_stmt(emit *e, const lt_stmt *s) {
    bool varying = e->lanes > 1 && e->is_varying[s->result];
    LLVMValueRef x[LT_MAX_OPERANDS] = {NULL, NULL, NULL};
    for (uint32_t i = 0; i < s->op.n_operands; i++) x[i] = emit_value_as(e, s->op.operands[i], varying);
    /* select: the dtype that counts is that of what is chosen from. */
    lt_value typed = s->op.operands[s->op.op == TN_OP_select ? 1 : 0];
    LLVMValueRef result = emit_op(e, s->op.op, s->op.compare, e->kernel->value_dtypes[typed], s->dtype, x);
    if (result) emit_set_value(e, s->result, result);
}

static void (*const statement_emitters[])(emit *, const lt_stmt *) = {
    [LT_CONST] = emit_const_stmt, [LT_DIM] = emit_dim_stmt,        [LT_OP] = emit_op_stmt,  [LT_LOAD] = emit_load,
    [LT_BIND] = emit_bind,        [LT_STORE] = emit_store,         [LT_LOOP] = emit_loop,   [LT_IF] = emit_if,
    [LT_TILE] = emit_tile,        [LT_TRANSPOSE] = emit_transpose, [LT_CHECK] = emit_check,
};

static debug_place place_of(const lt_kernel *k, uint32_t line, location_id where) {
    return (debug_place){line, where != LOCATION_NONE ? where : k->where, k->module};
}

/* Not emitted as a run of instructions. */
static bool has_parts(const lt_stmt *s) {
    return s->kind == LT_LOOP || s->kind == LT_IF || s->kind == LT_BIND || s->kind == LT_TILE ||
           s->kind == LT_TRANSPOSE;
}

void emit_block(emit *e, const lt_block *block) {
    size_t n_scopes = e->n_scopes, n_ranges = e->n_ranges;
    const lt_block *outer = e->block;
    e->block = block;
    LLVMMetadataRef here = e->described ? LLVMGetCurrentDebugLocation2(e->builder) : NULL;
    for (uint32_t i = 0; i < block->n && !e->failed; i++) {
        const lt_stmt *s = block->items[i];
        if (has_parts(s)) emit_pending_checks(e);
        debug_line(e->out->debug, e->builder, e->described, place_of(e->kernel, s->line, s->where));
        statement_emitters[s->kind](e, s);
    }
    emit_pending_checks(e);
    if (e->described) LLVMSetCurrentDebugLocation2(e->builder, here); /* the end of a loop is of its own line */
    e->block = outer;
    emit_close_scopes(e, n_scopes);
    e->n_ranges = n_ranges;
}

/* ---- Stages ---- */

LLVMTypeRef emit_stage_type(LLVMContextRef context) {
    LLVMTypeRef parameters[] = {LLVMPointerTypeInContext(context, 0), LLVMInt64TypeInContext(context),
                                LLVMInt32TypeInContext(context)};
    return LLVMFunctionType(LLVMVoidTypeInContext(context), parameters, 3, false);
}

static void name_value(LLVMValueRef v, const char *name) { LLVMSetValueName2(v, name, strlen(name)); }

static void open_function(emit *e, const char *symbol, uint32_t stage, debug_place place) {
    char name[256];
    snprintf(name, sizeof name, "%s.s%u", symbol, stage);
    e->function = LLVMAddFunction(e->module, name, emit_stage_type(e->context));
    if (!e->out->is_shared) LLVMSetLinkage(e->function, LLVMInternalLinkage);
    target_mark_function(e->out->target, e->function);
    e->args = LLVMGetParam(e->function, 0);
    e->chunk = LLVMGetParam(e->function, 1);
    e->worker = LLVMGetParam(e->function, 2);
    name_value(e->args, "args");
    name_value(e->chunk, "chunk");
    name_value(e->worker, "worker");
    e->entry = LLVMAppendBasicBlockInContext(e->context, e->function, "entry");
    LLVMPositionBuilderAtEnd(e->builder, e->entry);
    e->described = debug_function(e->out->debug, e->function, e->kernel->name, place);
    debug_line(e->out->debug, e->builder, e->described, place);
    debug_value(e->out->debug, e->builder, e->described, "args", 1, e->args);
    debug_value(e->out->debug, e->builder, e->described, "chunk", 2, e->chunk);
    debug_value(e->out->debug, e->builder, e->described, "worker", 3, e->worker);
}

static bool emit_stage(emit *e, const lt_stage *stage, const char *symbol, uint32_t number) {
    open_function(e, symbol, number, place_of(e->kernel, stage->line, LOCATION_NONE));
    memset(e->buffers, 0, (e->kernel->n_buffers + 1) * sizeof *e->buffers);
    e->lanes = 1;
    e->mask = NULL;
    e->n_ranges = 0;
    e->n_unrolled = 0;
    if (!emit_open_scope_at(e, e->entry, "chunk", number)) return false;
    variable *v = &e->variables[dim_variable_number(e->dims, stage->variable)];
    *v = (variable){.scalar = e->chunk, .level = 0};
    emit_tell_variable(e, dim_variable_number(e->dims, stage->variable), e->chunk);
    if (!emit_push_range(e, stage->variable, dim_const(e->dims, 0), dim_add_const(e->dims, stage->chunks, -1)))
        return false;
    emit_block(e, &stage->body);
    emit_close_scopes(e, 0);
    emit_stream_fence(e);
    LLVMBuildRetVoid(e->builder);
    return !e->failed;
}

static bool start(emit *e, const emitter *out, const lt_kernel *k) {
    *e = (emit){.out = out, .kernel = k, .dims = k->module->dims, .module = out->module, .lanes = 1};
    e->context = LLVMGetModuleContext(out->module);
    e->builder = LLVMCreateBuilderInContext(e->context);
    e->math = (vmath_ctx){e->builder, out->module, out->target};
    e->i1 = LLVMInt1TypeInContext(e->context);
    e->i32 = LLVMInt32TypeInContext(e->context);
    e->i64 = LLVMInt64TypeInContext(e->context);
    e->pointer = LLVMPointerTypeInContext(e->context, 0);
    e->values = tn_calloc(k->n_values + 1u, sizeof(LLVMValueRef));
    e->is_varying = tn_calloc(k->n_values + 1u, sizeof(bool));
    e->variables = tn_calloc(k->n_variables + 1u, sizeof(variable));
    e->buffers = tn_calloc(k->n_buffers + 1u, sizeof(LLVMValueRef));
    return (e->values && e->is_varying && e->variables && e->buffers) || no_memory(e);
}

static void finish(emit *e) {
    emit_close_scopes(e, 0);
    LLVMDisposeBuilder(e->builder);
    tn_free(e->values);
    tn_free(e->is_varying);
    tn_free(e->variables);
    tn_free(e->buffers);
    tn_free(e->extents);
    tn_free(e->scopes);
    tn_free(e->ranges);
    tn_free(e->unrolled);
    tn_free(e->steps);
}

/* ---- Parts ---- */

/* What the caller gives, in the order of the function's parameters. */
static bool take_parameters(emit *e, const loop_part *part) {
    unsigned at = 0;
    e->extents = tn_calloc(part->loops->n_extents + 1u, sizeof *e->extents);
    if (!e->extents || !emit_open_scope_at(e, e->entry, "part", 0)) return no_memory(e);
    for (uint32_t i = 0; i < part->loops->n_buffers; i++) e->buffers[i] = LLVMGetParam(e->function, at++);
    for (uint32_t i = 0; i < part->n_variables; i++) {
        const dim_range *r = &part->ranges[i];
        e->variables[i] = (variable){.scalar = LLVMGetParam(e->function, at++), .level = 0};
        if (!emit_push_range(e, r->leaf, r->low, r->high)) return false;
    }
    for (uint32_t i = 0; i < part->loops->n_extents; i++) e->extents[i] = LLVMGetParam(e->function, at++);
    return true;
}

bool emit_part_function(const emitter *out, const loop_part *part, LLVMValueRef function) {
    emit e;
    bool ok = start(&e, out, part->loops);
    if (ok) {
        target_mark_function(out->target, function);
        e.function = function;
        e.entry = LLVMAppendBasicBlockInContext(e.context, function, "entry");
        LLVMPositionBuilderAtEnd(e.builder, e.entry);
        char name[32]; /* that of the symbol as one that gdb takes without quotes */
        snprintf(name, sizeof name, "part_%u", (unsigned)(part - out->parts->parts));
        const lt_stmt *loop = part->loops->stages->body.items[0];
        debug_place place = place_of(part->loops, loop->line, loop->where);
        e.described = debug_function(out->debug, function, name, place);
        debug_line(out->debug, e.builder, e.described, place);
        ok = take_parameters(&e, part);
    }
    if (ok) {
        emit_block(&e, &part->loops->stages->body);
        LLVMBuildRetVoid(e.builder);
        ok = !e.failed;
    }
    finish(&e);
    return ok;
}

/* ---- The whole ---- */

bool emit_kernel(const emitter *out, const lt_kernel *k, const char *symbol, LLVMValueRef *stages) {
    if (!lt_verify(k, out->diag)) return false;
    emit e;
    bool ok = start(&e, out, k);
    for (uint32_t i = 0; ok && i < k->n_stages; i++) {
        ok = emit_stage(&e, &k->stages[i], symbol, i);
        stages[i] = e.function;
    }
    /* Where an index is only made simpler, code is emitted without it. */
    if (ok && dim_table_status(e.dims) == TN_ERR_MEMORY) ok = no_memory(&e);
    finish(&e);
    return ok;
}
