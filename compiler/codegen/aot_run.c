/* The entries NAME_run and NAME_run_threads (see aot_entry.h).
 *
 * in:  pointers, sizes and scalars from a caller who may be wrong about any of them
 * out: a code; when it is not about the arguments, the program was run
 * law: nothing is written before all arguments are checked; all that a run needs beside them is on the stack or at the
 *      end of the caller's arena: the program's arena, the scratch of each worker, a status word for each worker
 */
#include "compiler/codegen/aot_state.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "runtime/alloc.h"

enum { WORD = 8, LINE = 64, STATUS_WORDS_APART = AOT_STATUS_BYTES / WORD };

/* Members of NAME_threads, in order: ctx, parallel_for, workers. */
enum { THREADS_CTX, THREADS_FOR, THREADS_WORKERS };

/* Arguments of the entry, and arrays on its stack, of words. */
typedef struct runner {
    aot_emitter *a;
    LLVMValueRef bound, base[AOT_BASE_COUNT], arena, threads;
    unsigned first_size, first_scalar;
    LLVMValueRef inputs, outputs, symbols, frame, hooks;
} runner;

/* ---- Signature ---- */

static LLVMTypeRef scalar_type(const aot_emitter *a, tn_dtype dtype) {
    if (dtype == TN_F32) return LLVMFloatTypeInContext(a->context);
    if (dtype == TN_F64) return LLVMDoubleTypeInContext(a->context);
    return LLVMIntTypeInContext(a->context, tn_dtype_bits(dtype));
}

/* Fills the types of NAME_run's arguments; how many there are. */
static unsigned list_types(const aot_emitter *a, LLVMTypeRef *types) {
    const aot_entry *e = a->entry;
    unsigned n = 0;
    if (a->has_bound) types[n++] = a->pointer;
    for (size_t i = 0; i < e->n_sizes; i++) types[n++] = a->i64;
    if (e->has[AOT_STATE]) types[n++] = a->pointer;
    if (e->has[AOT_INPUTS]) types[n++] = a->pointer;
    for (size_t i = 0; i < e->n_scalars; i++) types[n++] = scalar_type(a, e->scalars[i]);
    if (e->has[AOT_OUTPUTS]) types[n++] = a->pointer;
    types[n++] = a->pointer; /* arena */
    return n;
}

static void take_arguments(runner *r) {
    aot_emitter *a = r->a;
    const aot_entry *e = a->entry;
    unsigned n = 0;
    if (a->has_bound) r->bound = LLVMGetParam(a->function, n++);
    r->first_size = n;
    n += (unsigned)e->n_sizes;
    if (e->has[AOT_STATE]) r->base[AOT_STATE] = LLVMGetParam(a->function, n++);
    if (e->has[AOT_INPUTS]) r->base[AOT_INPUTS] = LLVMGetParam(a->function, n++);
    r->first_scalar = n;
    n += (unsigned)e->n_scalars;
    if (e->has[AOT_OUTPUTS]) r->base[AOT_OUTPUTS] = LLVMGetParam(a->function, n++);
    r->arena = LLVMGetParam(a->function, n++);
    r->threads = LLVMGetParam(a->function, n);
}

/* ---- Small things ---- */

static LLVMValueRef words_on_stack(aot_emitter *a, size_t n) {
    return LLVMBuildArrayAlloca(a->b, a->i64, aot_i64(a, n > 0 ? n : 1), "");
}

/* Arrays of pointers and the frame are of words, on any target. */
static void store_pointer(aot_emitter *a, LLVMValueRef pointer, LLVMValueRef base, uint64_t offset) {
    aot_store(a, LLVMBuildPtrToInt(a->b, pointer, a->i64, ""), base, offset);
}

static LLVMValueRef is_null(aot_emitter *a, LLVMValueRef pointer) { return LLVMBuildIsNull(a->b, pointer, ""); }
static LLVMValueRef is_given(aot_emitter *a, LLVMValueRef pointer) { return LLVMBuildIsNotNull(a->b, pointer, ""); }

/* ---- Checks ---- */

static void check_bases(runner *r) {
    aot_emitter *a = r->a;
    for (int base = 0; base < AOT_BASE_COUNT; base++)
        if (r->base[base]) aot_require(a, is_given(a, r->base[base]), a->entry->base_codes[base]);
    if (r->bound) aot_require(a, is_given(a, r->bound), a->entry->weights_codes[AOT_NO_BOUND]);
    if (r->bound && a->entry->block.is_in_file) {
        LLVMValueRef weights = aot_load(a, a->pointer, r->bound, (uint64_t)AOT_BOUND_WEIGHTS * a->pointer_bytes);
        aot_require(a, is_given(a, weights), a->entry->weights_codes[AOT_UNBOUND]);
    }
    aot_require(a, is_given(a, r->arena), a->entry->arena_code);
    aot_require(a, aot_is_aligned(a, r->arena, LINE), a->entry->arena_code);
}

static void take_sizes(runner *r) {
    aot_emitter *a = r->a;
    for (size_t i = 0; i < a->entry->n_sizes; i++) {
        const aot_size *size = &a->entry->sizes[i];
        LLVMValueRef value = LLVMGetParam(a->function, r->first_size + (unsigned)i);
        aot_require(a, LLVMBuildICmp(a->b, LLVMIntSGE, value, aot_i64(a, (uint64_t)size->low), ""), size->code);
        if (size->high < INT64_MAX)
            aot_require(a, LLVMBuildICmp(a->b, LLVMIntSLE, value, aot_i64(a, (uint64_t)size->high), ""), size->code);
        if (size->divisor > 1) {
            LLVMValueRef rest = LLVMBuildURem(a->b, value, aot_i64(a, (uint64_t)size->divisor), "");
            aot_require(a, LLVMBuildICmp(a->b, LLVMIntEQ, rest, aot_i64(a, 0), ""), size->code);
        }
        aot_store(a, value, r->symbols, i * WORD);
    }
}

/* Their pointers, checked, become the frame's. */
static void take_tensors(runner *r, const aot_place *places, size_t n, LLVMValueRef to) {
    aot_emitter *a = r->a;
    for (size_t i = 0; i < n; i++) {
        const aot_place *p = &places[i];
        LLVMValueRef data;
        if (p->base == AOT_SCALAR) {
            LLVMValueRef value = LLVMGetParam(a->function, r->first_scalar + (unsigned)p->offset);
            data = words_on_stack(a, 1);
            LLVMBuildStore(a->b, value, data);
        } else if (p->is_array) {
            data = aot_at(a, r->base[p->base], aot_i64(a, p->offset));
        } else {
            data = aot_load(a, a->pointer, r->base[p->base], p->offset);
            unsigned bytes = tn_dtype_bits(p->dtype) / 8;
            if (!p->may_be_null) aot_require(a, is_given(a, data), p->code);
            if (bytes > 1) aot_require(a, aot_is_aligned(a, data, bytes), p->code);
        }
        store_pointer(a, data, to, i * WORD);
    }
}

/* ---- Threads ---- */

/* The number of workers, 1 without threads; hooks are filled when there are any. */
static LLVMValueRef take_threads(runner *r) {
    aot_emitter *a = r->a;
    for (uint64_t at = 0; at < sizeof(tn_hooks); at += WORD) aot_store(a, aot_i64(a, 0), r->hooks, at);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(a->b), several = aot_block_new(a, "several"),
                      alone = aot_block_new(a, "alone");
    LLVMBuildCondBr(a->b, is_null(a, r->threads), alone, several);
    LLVMPositionBuilderAtEnd(a->b, several);
    LLVMValueRef workers = aot_load(a, a->i32, r->threads, (uint64_t)THREADS_WORKERS * a->pointer_bytes);
    aot_require(a, LLVMBuildICmp(a->b, LLVMIntSGE, workers, aot_i32(a, 1), ""), a->entry->threads_code);
    store_pointer(a, aot_load(a, a->pointer, r->threads, (uint64_t)THREADS_CTX * a->pointer_bytes), r->hooks,
                  offsetof(tn_hooks, ctx));
    store_pointer(a, aot_load(a, a->pointer, r->threads, (uint64_t)THREADS_FOR * a->pointer_bytes), r->hooks,
                  offsetof(tn_hooks, parallel_for));
    LLVMBasicBlockRef checked = LLVMGetInsertBlock(a->b);
    LLVMBuildBr(a->b, alone);
    LLVMPositionBuilderAtEnd(a->b, alone);
    LLVMValueRef n = LLVMBuildPhi(a->b, a->i32, "workers");
    LLVMAddIncoming(n, (LLVMValueRef[]){aot_i32(a, 1), workers}, (LLVMBasicBlockRef[]){before, checked}, 2);
    return n;
}

/* ---- A version ---- */

static LLVMValueRef version_function(aot_emitter *a, const aot_version *v, const char *name) {
    char symbol[600];
    snprintf(symbol, sizeof symbol, "%s%s", v->prefix, name);
    return LLVMGetNamedFunction(a->module, symbol);
}

static LLVMValueRef code_table(aot_emitter *a, const char *name, const int32_t *codes, size_t n) {
    LLVMValueRef *items = tn_calloc(n, sizeof *items);
    for (size_t i = 0; items && i < n; i++) items[i] = aot_i32(a, codes[i]);
    LLVMValueRef table = items ? aot_table(a, name, a->i32, items, n) : NULL;
    tn_free(items);
    return table;
}

/* The code of item `number` (i64) of a table. */
static bool return_code(aot_emitter *a, const char *name, const int32_t *codes, size_t n, LLVMValueRef number) {
    LLVMValueRef table = code_table(a, name, codes, n);
    if (!table) return false;
    LLVMBuildRet(a->b, LLVMBuildLoad2(a->b, a->i32, LLVMBuildGEP2(a->b, a->i32, table, &number, 1, ""), ""));
    return true;
}

/* Asks the version's bind for its sizes: the words that it tells, or NULL when all is known. */
static bool call_bind(runner *r, const aot_version *v, LLVMValueRef *told) {
    aot_emitter *a = r->a;
    *told = NULL;
    if (v->arena_bytes >= 0 && v->scratch_bytes >= 0 && v->n_constraints == 0) return true;
    *told = words_on_stack(a, v->n_bound);
    LLVMTypeRef type = LLVMFunctionType(a->i32, (LLVMTypeRef[]){a->pointer, a->pointer}, 2, false);
    LLVMValueRef arguments[] = {r->symbols, *told};
    LLVMValueRef status = LLVMBuildCall2(a->b, type, version_function(a, v, "bind"), arguments, 2, "");
    aot_require(a, LLVMBuildICmp(a->b, LLVMIntSGE, status, aot_i32(a, 0), ""), a->entry->overflow_code);
    if (v->n_constraints == 0) return true;
    LLVMBasicBlockRef broken = aot_block_new(a, "broken"), holds = aot_block_new(a, "holds");
    LLVMBuildCondBr(a->b, LLVMBuildICmp(a->b, LLVMIntEQ, status, aot_i32(a, 0), ""), holds, broken);
    LLVMPositionBuilderAtEnd(a->b, broken);
    LLVMValueRef number = LLVMBuildSub(a->b, LLVMBuildZExt(a->b, status, a->i64, ""), aot_i64(a, 1), "");
    bool ok = return_code(a, "constraint_codes", v->constraint_codes, v->n_constraints, number);
    LLVMPositionBuilderAtEnd(a->b, holds);
    return ok;
}

static bool point_weights(runner *r, const aot_version *v, LLVMValueRef to) {
    aot_emitter *a = r->a;
    if (v->n_weights == 0) return true;
    LLVMValueRef *items = tn_calloc(v->n_weights, sizeof *items);
    for (size_t i = 0; items && i < v->n_weights; i++) items[i] = aot_i64(a, v->weights[i]);
    if (!items) return false;
    LLVMValueRef table = aot_table(a, "weight_places", a->i64, items, v->n_weights), block = aot_weights(a, r->bound);
    tn_free(items);
    aot_loop loop = aot_loop_open(a, aot_i64(a, v->n_weights));
    LLVMValueRef offset = LLVMBuildLoad2(a->b, a->i64, LLVMBuildGEP2(a->b, a->i64, table, &loop.i, 1, ""), "");
    LLVMValueRef slot = LLVMBuildGEP2(a->b, a->i64, to, &loop.i, 1, "");
    LLVMBuildStore(a->b, LLVMBuildPtrToInt(a->b, aot_at(a, block, offset), a->i64, ""), slot);
    aot_loop_close(a, &loop);
    return true;
}

/* The status word of a worker. */
static LLVMValueRef status_at(aot_emitter *a, LLVMValueRef status, LLVMValueRef worker) {
    LLVMValueRef word = LLVMBuildMul(a->b, worker, aot_i64(a, STATUS_WORDS_APART), "");
    return LLVMBuildGEP2(a->b, a->i64, status, &word, 1, "");
}

/* The least of all workers' words says what went wrong first; nothing did when its top bit is set. */
static bool return_status(aot_emitter *a, const aot_version *v, LLVMValueRef status, LLVMValueRef workers) {
    if (v->n_sites > 0) {
        LLVMValueRef least_at = words_on_stack(a, 1), clear = aot_i64(a, TN_STATUS_CLEAR);
        LLVMBuildStore(a->b, clear, least_at);
        aot_loop loop = aot_loop_open(a, workers);
        LLVMValueRef word = LLVMBuildLoad2(a->b, a->i64, status_at(a, status, loop.i), ""),
                     least = LLVMBuildLoad2(a->b, a->i64, least_at, "");
        LLVMValueRef is_less = LLVMBuildICmp(a->b, LLVMIntULT, word, least, "");
        LLVMBuildStore(a->b, LLVMBuildSelect(a->b, is_less, word, least, ""), least_at);
        aot_loop_close(a, &loop);
        LLVMBasicBlockRef failed = aot_block_new(a, "failed"), done = aot_block_new(a, "done");
        least = LLVMBuildLoad2(a->b, a->i64, least_at, "");
        LLVMBuildCondBr(a->b, LLVMBuildICmp(a->b, LLVMIntSLT, least, aot_i64(a, 0), ""), done, failed);
        LLVMPositionBuilderAtEnd(a->b, failed);
        LLVMValueRef site = LLVMBuildLShr(a->b, least, aot_i64(a, TN_STATUS_INDEX_BITS), "");
        if (!return_code(a, "site_codes", v->site_codes, v->n_sites, site)) return false;
        LLVMPositionBuilderAtEnd(a->b, done);
    }
    LLVMBuildRet(a->b, aot_i32(a, AOT_OK));
    return true;
}

/* Lays the arena out, fills the frame, runs. */
static bool run_version(runner *r, const aot_version *v) {
    aot_emitter *a = r->a;
    LLVMValueRef told, weights = words_on_stack(a, v->n_weights);
    if (!call_bind(r, v, &told) || !point_weights(r, v, weights)) return false;
    LLVMValueRef arena_bytes = told ? aot_load(a, a->i64, told, (uint64_t)TN_BOUND_ARENA_BYTES * WORD)
                                    : aot_i64(a, (uint64_t)v->arena_bytes),
                 scratch_bytes = told ? aot_load(a, a->i64, told, (uint64_t)TN_BOUND_SCRATCH_BYTES * WORD)
                                      : aot_i64(a, (uint64_t)v->scratch_bytes);
    LLVMValueRef n = take_threads(r), workers = LLVMBuildZExt(a->b, n, a->i64, "");
    LLVMValueRef scratch = aot_at(a, r->arena, arena_bytes),
                 status = aot_at(a, scratch, LLVMBuildMul(a->b, workers, scratch_bytes, ""));
    aot_loop loop = aot_loop_open(a, workers);
    LLVMBuildStore(a->b, aot_i64(a, TN_STATUS_CLEAR), status_at(a, status, loop.i));
    aot_loop_close(a, &loop);

    const struct {
        size_t offset;
        LLVMValueRef pointer;
    } members[] = {
        {offsetof(tn_frame, inputs), r->inputs}, {offsetof(tn_frame, outputs), r->outputs},
        {offsetof(tn_frame, weights), weights},  {offsetof(tn_frame, arena), r->arena},
        {offsetof(tn_frame, scratch), scratch},  {offsetof(tn_frame, symbols), r->symbols},
        {offsetof(tn_frame, status), status},    {offsetof(tn_frame, hooks), r->hooks},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        store_pointer(a, members[i].pointer, r->frame, members[i].offset);
    aot_store(a, aot_i32(a, TN_FRAME_VERSION), r->frame, offsetof(tn_frame, version));
    aot_store(a, aot_i32(a, sizeof(tn_frame)), r->frame, offsetof(tn_frame, size));
    aot_store(a, n, r->frame, offsetof(tn_frame, workers));
    LLVMTypeRef type = LLVMFunctionType(a->i32, &a->pointer, 1, false);
    LLVMBuildCall2(a->b, type, version_function(a, v, "run"), &r->frame, 1, "");
    return return_status(a, v, status, workers);
}

/* The last version stands for all others. */
static bool run_versions(runner *r) {
    aot_emitter *a = r->a;
    const aot_entry *e = a->entry;
    LLVMValueRef chosen =
        e->n_versions > 1 ? aot_load(a, a->i32, r->bound, (uint64_t)AOT_BOUND_VERSION * a->pointer_bytes) : NULL;
    for (size_t v = 0; v < e->n_versions; v++) {
        LLVMBasicBlockRef other = NULL;
        if (v + 1 < e->n_versions) {
            LLVMBasicBlockRef this = aot_block_new(a, "version");
            other = aot_block_new(a, "other");
            LLVMValueRef is_this = LLVMBuildICmp(a->b, LLVMIntEQ, chosen, aot_i32(a, (int32_t)v), "");
            LLVMBuildCondBr(a->b, is_this, this, other);
            LLVMPositionBuilderAtEnd(a->b, this);
        }
        if (!run_version(r, &e->versions[v])) return false;
        if (other) LLVMPositionBuilderAtEnd(a->b, other);
    }
    return true;
}

/* ---- The entries ---- */

static bool emit_run_threads(aot_emitter *a, LLVMTypeRef *types, unsigned n) {
    const aot_entry *e = a->entry;
    char suffix[300];
    types[n] = a->pointer;
    snprintf(suffix, sizeof suffix, "%s_threads", e->verb);
    aot_function(a, suffix, LLVMFunctionType(a->i32, types, n + 1, false));
    runner r = {.a = a};
    take_arguments(&r);
    r.inputs = words_on_stack(a, e->n_inputs);
    r.outputs = words_on_stack(a, e->n_outputs);
    r.symbols = words_on_stack(a, e->n_sizes);
    r.frame = words_on_stack(a, sizeof(tn_frame) / WORD);
    r.hooks = words_on_stack(a, sizeof(tn_hooks) / WORD);
    check_bases(&r);
    take_sizes(&r);
    take_tensors(&r, e->inputs, e->n_inputs, r.inputs);
    take_tensors(&r, e->outputs, e->n_outputs, r.outputs);
    return run_versions(&r);
}

/* Without threads. */
static bool emit_run_alone(aot_emitter *a, LLVMTypeRef *types, unsigned n) {
    LLVMValueRef callee = a->function, *arguments = tn_calloc(n + 1u, sizeof *arguments);
    if (!arguments) return false;
    aot_function(a, a->entry->verb, LLVMFunctionType(a->i32, types, n, false));
    for (unsigned i = 0; i < n; i++) arguments[i] = LLVMGetParam(a->function, i);
    arguments[n] = LLVMConstNull(a->pointer);
    LLVMValueRef call = LLVMBuildCall2(a->b, LLVMGlobalGetValueType(callee), callee, arguments, n + 1, "");
    LLVMBuildRet(a->b, call);
    tn_free(arguments);
    return true;
}

bool aot_emit_run(aot_emitter *a, tn_diag *diag) {
    enum { OTHERS = 6 }; /* bound, state, inputs, outputs, arena, threads */
    LLVMTypeRef *types = tn_calloc(a->entry->n_sizes + a->entry->n_scalars + OTHERS, sizeof *types);
    unsigned n = types ? list_types(a, types) : 0;
    bool ok = types && emit_run_threads(a, types, n) && emit_run_alone(a, types, n);
    tn_free(types);
    return ok || target_fail(diag, TN_ERR_MEMORY, "out of memory") == TN_OK;
}
