/* The entry `bind`: symbols in; arena, scratch and all dims out, constraints checked.
 *
 * law: every operation is checked for overflow; the first that overflows, or a divisor that is
 *      not positive, ends with -1
 */
#include "compiler/codegen/program_state.h"

#include <string.h>

typedef struct binder {
    program_emitter *p;
    LLVMValueRef function, *symbols;
    LLVMBasicBlockRef overflow;
} binder;

/* The builder goes on where there is no overflow. */
static void go_on_unless(binder *s, LLVMValueRef overflows) {
    LLVMBasicBlockRef fits = LLVMAppendBasicBlockInContext(s->p->context, s->function, "fits");
    LLVMBuildCondBr(s->p->b, overflows, s->overflow, fits);
    LLVMPositionBuilderAtEnd(s->p->b, fits);
}

/* By dividing the product again, which takes no product of 128 bits. */
static LLVMValueRef checked_product(binder *s, LLVMValueRef x, LLVMValueRef y) {
    program_emitter *p = s->p;
    LLVMValueRef product = LLVMBuildMul(p->b, x, y, ""), zero = program_i64(p, 0), one = program_i64(p, 1);
    LLVMValueRef is_zero = LLVMBuildICmp(p->b, LLVMIntEQ, x, zero, ""),
                 is_minus = LLVMBuildICmp(p->b, LLVMIntEQ, x, program_i64(p, -1), "");
    LLVMValueRef divisor = LLVMBuildSelect(p->b, LLVMBuildOr(p->b, is_zero, is_minus, ""), one, x, "");
    LLVMValueRef differs = LLVMBuildICmp(p->b, LLVMIntNE, LLVMBuildSDiv(p->b, product, divisor, ""), y, "");
    LLVMValueRef negated = LLVMBuildICmp(p->b, LLVMIntEQ, y, program_i64(p, INT64_MIN), "");
    LLVMValueRef overflows = LLVMBuildSelect(p->b, is_minus, negated, differs, "");
    go_on_unless(s, LLVMBuildSelect(p->b, is_zero, LLVMConstNull(LLVMTypeOf(is_zero)), overflows, ""));
    return product;
}

static LLVMValueRef checked(binder *s, const char *operation, LLVMValueRef x, LLVMValueRef y) {
    program_emitter *p = s->p;
    unsigned id = LLVMLookupIntrinsicID(operation, strlen(operation));
    LLVMTypeRef types[] = {p->i64};
    LLVMValueRef callee = LLVMGetIntrinsicDeclaration(p->module, id, types, 1);
    LLVMTypeRef type = LLVMIntrinsicGetType(p->context, id, types, 1);
    LLVMValueRef pair = LLVMBuildCall2(p->b, type, callee, (LLVMValueRef[]){x, y}, 2, "");
    go_on_unless(s, LLVMBuildExtractValue(p->b, pair, 1, ""));
    return LLVMBuildExtractValue(p->b, pair, 0, "");
}

/* WebAssembly has no product of 128 bits, with which LLVM would check this. */
static LLVMValueRef multiply(binder *s, LLVMValueRef x, LLVMValueRef y) {
    bool is_wasm = s->p->out->target->architecture == ARCHITECTURE_WASM;
    return is_wasm ? checked_product(s, x, y) : checked(s, "llvm.smul.with.overflow", x, y);
}

static LLVMValueRef divide(binder *s, dim_kind kind, LLVMValueRef x, LLVMValueRef y) {
    program_emitter *p = s->p;
    LLVMBasicBlockRef positive = LLVMAppendBasicBlockInContext(p->context, s->function, "positive");
    LLVMBuildCondBr(p->b, LLVMBuildICmp(p->b, LLVMIntSGT, y, program_i64(p, 0), ""), positive, s->overflow);
    LLVMPositionBuilderAtEnd(p->b, positive);
    LLVMValueRef quotient = LLVMBuildSDiv(p->b, x, y, ""), rest = LLVMBuildSRem(p->b, x, y, "");
    LLVMValueRef zero = program_i64(p, 0);
    LLVMValueRef is_below = LLVMBuildICmp(p->b, LLVMIntSLT, rest, zero, ""),
                 is_above = LLVMBuildICmp(p->b, LLVMIntSGT, rest, zero, "");
    switch (kind) {
    case DIM_MOD: return LLVMBuildSelect(p->b, is_below, LLVMBuildAdd(p->b, rest, y, ""), rest, "");
    case DIM_CEILDIV: return LLVMBuildAdd(p->b, quotient, LLVMBuildZExt(p->b, is_above, p->i64, ""), "");
    default: return LLVMBuildSub(p->b, quotient, LLVMBuildZExt(p->b, is_below, p->i64, ""), "");
    }
}

static LLVMValueRef value_of(binder *s, tn_dim d);

static LLVMValueRef atom_value(binder *s, tn_dim d) {
    program_emitter *p = s->p;
    tn_graph *g = p->entry;
    dim_kind kind = dim_kind_of(p->dims, d);
    if (kind == DIM_SYMBOL || kind == DIM_VARIABLE) {
        for (size_t i = 0; i < g->n_symbols; i++)
            if (g->symbols[i].dim == d) return s->symbols[i];
        program_fail(p, TN_ERR_INTERNAL, "%s: a size depends on %s, which no input binds", g->name,
                     kind == DIM_SYMBOL ? dim_symbol_name(p->dims, d) : "a loop");
        return program_i64(p, 0);
    }
    tn_dim a, b;
    dim_operands(p->dims, d, &a, &b);
    LLVMValueRef x = value_of(s, a), y = value_of(s, b);
    if (kind == DIM_MIN || kind == DIM_MAX) {
        LLVMValueRef first = LLVMBuildICmp(p->b, kind == DIM_MIN ? LLVMIntSLT : LLVMIntSGT, x, y, "");
        return LLVMBuildSelect(p->b, first, x, y, "");
    }
    return divide(s, kind, x, y);
}

static LLVMValueRef value_of(binder *s, tn_dim d) {
    program_emitter *p = s->p;
    int64_t known;
    if (d == DIM_INVALID) {
        bool no_memory = dim_table_status(p->dims) == TN_ERR_MEMORY;
        program_fail(p, no_memory ? TN_ERR_MEMORY : TN_ERR_LIMIT, "%s",
                     no_memory ? "out of memory" : "a size does not fit in 63 bits");
        return program_i64(p, 0);
    }
    if (dim_is_const(p->dims, d, &known)) return program_i64(p, known);
    if (dim_kind_of(p->dims, d) != DIM_SUM) return atom_value(s, d);
    uint32_t n = dim_term_count(p->dims, d);
    dim_term *terms = tn_calloc(n + 1, sizeof *terms);
    if (!terms) {
        program_fail(p, TN_ERR_MEMORY, "out of memory");
        return program_i64(p, 0);
    }
    dim_terms(p->dims, d, n, terms);
    LLVMValueRef sum = NULL;
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef term = program_i64(p, terms[i].coefficient);
        for (uint32_t k = 0; k < terms[i].n_atoms; k++) term = multiply(s, term, atom_value(s, terms[i].atoms[k]));
        sum = sum ? checked(s, "llvm.sadd.with.overflow", sum, term) : term;
    }
    tn_free(terms);
    return sum ? sum : program_i64(p, 0);
}

/* Goes on when the constraint holds, else returns its number from 1. */
static void check(binder *s, const constraint *c, size_t number) {
    program_emitter *p = s->p;
    LLVMValueRef a = value_of(s, c->a), b = value_of(s, c->b), holds;
    switch (c->relation) {
    case RELATION_EQ: holds = LLVMBuildICmp(p->b, LLVMIntEQ, a, b, ""); break;
    case RELATION_LE: holds = LLVMBuildICmp(p->b, LLVMIntSLE, a, b, ""); break;
    default: holds = LLVMBuildICmp(p->b, LLVMIntEQ, divide(s, DIM_MOD, b, a), program_i64(p, 0), ""); break;
    }
    LLVMBasicBlockRef broken = LLVMAppendBasicBlockInContext(p->context, s->function, "broken");
    LLVMBasicBlockRef ok = LLVMAppendBasicBlockInContext(p->context, s->function, "holds");
    LLVMBuildCondBr(p->b, holds, ok, broken);
    LLVMPositionBuilderAtEnd(p->b, broken);
    LLVMBuildRet(p->b, LLVMConstInt(p->i32, number + 1, false));
    LLVMPositionBuilderAtEnd(p->b, ok);
}

/* ---- What it tells ---- */

static size_t count_dims(const program_emitter *p) {
    const tn_graph *g = p->entry;
    size_t n = TN_BOUND_DIMS;
    for (size_t i = 0; i < g->n_params; i++)
        if (g->params[i].binding != BINDING_LOAD) n += graph_type(g, g->params[i].value)->rank;
    for (size_t i = 0; i < g->n_results; i++) n += graph_type(g, g->results[i].value)->rank;
    return n;
}

static void add_type(binder *s, const tn_type *type, LLVMValueRef *values, size_t *n) {
    for (int i = 0; i < type->rank; i++) values[(*n)++] = value_of(s, type->dims[i]);
}

/* Those that are known now as one block, the others on top. */
static void store_values(program_emitter *p, LLVMValueRef bound, LLVMValueRef *values, size_t n) {
    LLVMValueRef *known = tn_calloc(n, sizeof *known);
    if (!known) {
        program_fail(p, TN_ERR_MEMORY, "out of memory");
        return;
    }
    for (size_t i = 0; i < n; i++) known[i] = LLVMIsConstant(values[i]) ? values[i] : program_i64(p, 0);
    unsigned alignment = sizeof(int64_t);
    LLVMValueRef table = program_array(p, "bound", LLVMConstArray2(p->i64, known, n), alignment);
    emit_copy_bytes(p->b, p->out->target, bound, table, program_i64(p, (int64_t)(n * sizeof(int64_t))), alignment);
    for (size_t i = 0; i < n; i++)
        if (!LLVMIsConstant(values[i])) program_store_at(p, bound, (int64_t)i, values[i]);
    tn_free(known);
}

bool program_emit_bind(program_emitter *p) {
    tn_graph *g = p->entry;
    const function_plan *plan = plan_of(p->plan, g);
    LLVMTypeRef type = LLVMFunctionType(p->i32, (LLVMTypeRef[]){p->pointer, p->pointer}, 2, false);
    binder s = {.p = p, .function = program_function(p, "bind", type, false)};
    target_mark_cold(s.function);
    program_describe(p, s.function, "bind", g);
    LLVMValueRef given = LLVMGetParam(s.function, 0), bound = LLVMGetParam(s.function, 1);
    s.symbols = tn_calloc(g->n_symbols + 1, sizeof *s.symbols);
    LLVMValueRef *values = tn_calloc(count_dims(p), sizeof *values);
    if (!s.symbols || !values) {
        tn_free(s.symbols);
        tn_free(values);
        return program_fail(p, TN_ERR_MEMORY, "out of memory");
    }
    LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(p->context, s.function, "start");
    s.overflow = LLVMAppendBasicBlockInContext(p->context, s.function, "overflow");
    LLVMPositionBuilderAtEnd(p->b, s.overflow);
    LLVMBuildRet(p->b, LLVMConstAllOnes(p->i32));
    LLVMPositionBuilderAtEnd(p->b, start);
    for (size_t i = 0; i < g->n_symbols; i++) s.symbols[i] = program_load_at(p, given, (int64_t)i, p->i64);
    for (size_t i = 0; i < p->tables->n_constraints; i++) check(&s, &p->tables->constraints[i], i);
    values[TN_BOUND_ARENA_BYTES] = value_of(&s, plan->arena_bytes);
    values[TN_BOUND_SCRATCH_BYTES] = value_of(&s, plan->scratch_bytes);
    size_t n = TN_BOUND_DIMS;
    for (size_t i = 0; i < g->n_params; i++)
        if (g->params[i].binding != BINDING_LOAD) add_type(&s, graph_type(g, g->params[i].value), values, &n);
    for (size_t i = 0; i < g->n_results; i++) add_type(&s, graph_type(g, g->results[i].value), values, &n);
    store_values(p, bound, values, n);
    LLVMBuildRet(p->b, LLVMConstInt(p->i32, 0, false));
    tn_free(s.symbols);
    tn_free(values);
    return !p->failed;
}
