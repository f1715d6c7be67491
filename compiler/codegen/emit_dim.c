/* Dim expressions and addresses as code.
 *
 * in:  dims over extents and variables in scope
 * out: i64 values (or vectors of them), pointers
 * law: a sum is split by scope: the part that an outer scope knows is computed there, once;
 *      constants are added last, so that they become displacements. Divisors are taken as at
 *      least 1 where that is not known, since code may be moved to where it would not have run
 */
#include "compiler/codegen/emit_state.h"

/* ---- Terms of a sum ---- */

enum { FEW_TERMS = 16 };

typedef struct terms {
    dim_term few[FEW_TERMS], *items;
    uint32_t n;
} terms;

static bool terms_of(const dim_table *t, tn_dim d, terms *out) {
    out->n = dim_term_count(t, d);
    out->items = out->n <= FEW_TERMS ? out->few : tn_calloc(out->n, sizeof(dim_term));
    if (!out->items) return false;
    dim_terms(t, d, out->n, out->items);
    return true;
}

static void terms_free(terms *ts) {
    if (ts->items != ts->few) tn_free(ts->items);
}

static tn_dim term_dim(dim_table *t, const dim_term *term) {
    return dim_mul_const(t, dim_product(t, term->atoms, (int)term->n_atoms), term->coefficient);
}

/* ---- Expressions outside kernels ---- */

typedef struct outside {
    LLVMBuilderRef builder;
    dim_table *dims;
    const tn_dim *symbols;
    const LLVMValueRef *values;
    uint32_t n;
    tn_status *why;
} outside;

static LLVMValueRef outside_dim(const outside *o, tn_dim d);

static LLVMValueRef outside_fail(const outside *o, tn_status why) {
    *o->why = why;
    return NULL;
}

static LLVMValueRef outside_sum(const outside *o, tn_dim d) {
    LLVMTypeRef i64 = LLVMTypeOf(o->values[0]);
    terms ts;
    if (!terms_of(o->dims, d, &ts)) return outside_fail(o, TN_ERR_MEMORY);
    LLVMValueRef sum = NULL;
    bool ok = true;
    for (uint32_t i = 0; ok && i < ts.n; i++) {
        LLVMValueRef product = LLVMConstInt(i64, (unsigned long long)ts.items[i].coefficient, true);
        for (uint32_t j = 0; ok && j < ts.items[i].n_atoms; j++) {
            LLVMValueRef atom = outside_dim(o, ts.items[i].atoms[j]);
            ok = atom != NULL;
            if (ok) product = LLVMBuildMul(o->builder, atom, product, "");
        }
        sum = sum ? LLVMBuildAdd(o->builder, sum, product, "") : product;
    }
    terms_free(&ts);
    return !ok ? NULL : sum ? sum : LLVMConstInt(i64, 0, false);
}

static LLVMValueRef outside_dim(const outside *o, tn_dim d) {
    for (uint32_t i = 0; i < o->n; i++)
        if (o->symbols[i] == d) return o->values[i];
    dim_kind kind = dim_kind_of(o->dims, d);
    if (kind == DIM_SYMBOL || kind == DIM_VARIABLE) return outside_fail(o, TN_ERR_INTERNAL);
    if (kind == DIM_CONST || kind == DIM_SUM) return outside_sum(o, d);
    tn_dim a, b;
    dim_operands(o->dims, d, &a, &b);
    LLVMValueRef x = outside_dim(o, a), y = outside_dim(o, b);
    if (!x || !y) return NULL;
    emit_division how = emit_division_of(o->dims, a, b, NULL, 0);
    return emit_divide(o->builder, kind, x, y, &how);
}

LLVMValueRef emit_dim_expression(LLVMBuilderRef builder, dim_table *t, tn_dim d, const tn_dim *symbols,
                                 const LLVMValueRef *values, uint32_t n, tn_status *why) {
    int64_t constant;
    outside o = {builder, t, symbols, values, n, why};
    if (d == DIM_INVALID) return outside_fail(&o, dim_table_status(t) == TN_ERR_MEMORY ? TN_ERR_MEMORY : TN_ERR_LIMIT);
    if (dim_is_const(t, d, &constant)) {
        LLVMContextRef context = LLVMGetTypeContext(LLVMTypeOf(LLVMGetBasicBlockParent(LLVMGetInsertBlock(builder))));
        return LLVMConstInt(LLVMInt64TypeInContext(context), (unsigned long long)constant, true);
    }
    return n ? outside_dim(&o, d) : outside_fail(&o, TN_ERR_INTERNAL);
}

/* ---- Levels, varying leaves ---- */

tn_dim emit_substitute(emit *e, tn_dim d) {
    return e->n_unrolled ? dim_substitute(e->dims, d, e->unrolled, e->steps, (int)e->n_unrolled) : d;
}

typedef struct leaf_search {
    emit *e;
    uint32_t level;
    bool varies;
} leaf_search;

static bool visit_leaf(void *ctx, tn_dim leaf) {
    leaf_search *search = ctx;
    if (dim_kind_of(search->e->dims, leaf) == DIM_VARIABLE) {
        const variable *v = &search->e->variables[dim_variable_number(search->e->dims, leaf)];
        if (v->level > search->level) search->level = v->level;
        search->varies |= v->is_varying;
    }
    return true;
}

static leaf_search search_leaves(emit *e, tn_dim d) {
    leaf_search search = {e, 0, false};
    dim_visit_leaves(e->dims, d, visit_leaf, &search);
    search.varies &= e->lanes > 1;
    return search;
}

uint32_t emit_dim_level(emit *e, tn_dim d) { return search_leaves(e, emit_substitute(e, d)).level; }

bool emit_dim_varies(emit *e, tn_dim d) { return e->lanes > 1 && search_leaves(e, emit_substitute(e, d)).varies; }

lane_pattern emit_lane_pattern(emit *e, tn_dim d, tn_dim *stride) {
    d = emit_substitute(e, d);
    *stride = dim_const(e->dims, 0);
    if (!emit_dim_varies(e, d)) return LANES_UNIFORM;
    tn_dim rest;
    if (dim_split_linear(e->dims, d, e->counter, stride, &rest) && !emit_dim_varies(e, *stride) &&
        !emit_dim_varies(e, rest))
        return LANES_STRIDED;
    return LANES_ANY;
}

/* ---- Memo ---- */

static LLVMValueRef recall(const emit *e, uint32_t level, tn_dim d, uint32_t buffer, bool is_vector) {
    const scope *s = &e->scopes[level];
    for (size_t i = s->n_memo; i-- > 0;)
        if (s->memo[i].dim == d && s->memo[i].buffer == buffer && s->memo[i].is_vector == is_vector)
            return s->memo[i].value;
    return NULL;
}

static LLVMValueRef remember(emit *e, uint32_t level, tn_dim d, uint32_t buffer, bool is_vector, LLVMValueRef value) {
    scope *s = &e->scopes[level];
    if (!array_reserve((void **)&s->memo, &s->memo_capacity, s->n_memo + 1, sizeof *s->memo))
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
    else
        s->memo[s->n_memo++] = (scope_memo){d, buffer, is_vector, value};
    return value;
}

builder_place emit_enter_prologue(emit *e, uint32_t level) {
    builder_place here = builder_leave(e->builder);
    LLVMPositionBuilderBefore(e->builder, LLVMGetBasicBlockTerminator(e->scopes[level].prologue));
    return here;
}

/* ---- Scalars ---- */

static LLVMValueRef load_extent(emit *e, tn_dim symbol) {
    const lt_kernel *k = e->kernel;
    for (uint32_t i = 0; i < k->n_extents; i++) {
        if (k->extents[i] != symbol) continue;
        if (e->extents) return e->extents[i];
        LLVMValueRef slot = emit_const_i64(e, abi_extent_slot(k, i));
        LLVMValueRef address = LLVMBuildGEP2(e->builder, e->i64, e->args, &slot, 1, "");
        LLVMValueRef extent = LLVMBuildLoad2(e->builder, e->i64, address, dim_symbol_name(e->dims, symbol));
        debug_value(e->out->debug, e->builder, e->described, dim_symbol_name(e->dims, symbol), 0, extent);
        return extent;
    }
    emit_fail(e, TN_ERR_INTERNAL, "extent %s is no argument", dim_symbol_name(e->dims, symbol));
    return emit_const_i64(e, 0);
}

static LLVMValueRef leaf_value(emit *e, tn_dim leaf) {
    if (dim_kind_of(e->dims, leaf) == DIM_SYMBOL) return load_extent(e, leaf);
    LLVMValueRef scalar = e->variables[dim_variable_number(e->dims, leaf)].scalar;
    if (scalar) return scalar;
    emit_fail(e, TN_ERR_INTERNAL, "$%u has no value here", dim_variable_number(e->dims, leaf));
    return emit_const_i64(e, 0);
}

static LLVMValueRef emit_product(emit *e, const dim_term *term, uint32_t level) {
    /* What outer scopes know of the product, then the factors of this one. */
    tn_dim outer = dim_const(e->dims, term->coefficient);
    for (uint32_t i = 0; i < term->n_atoms; i++)
        if (emit_dim_level(e, term->atoms[i]) < level) outer = dim_mul(e->dims, outer, term->atoms[i]);
    LLVMValueRef product = dim_is_value(e->dims, outer, 1) ? NULL : emit_dim(e, outer);
    for (uint32_t i = 0; i < term->n_atoms; i++) {
        if (emit_dim_level(e, term->atoms[i]) < level) continue;
        LLVMValueRef atom = emit_dim(e, term->atoms[i]);
        product = product ? LLVMBuildMul(e->builder, atom, product, "") : atom;
    }
    return product ? product : emit_const_i64(e, 1);
}

/* Splits a sum: what is known in outer scopes (without the constant), the constant, and calls
 * for the rest. */
typedef struct split_sum {
    tn_dim outer;
    int64_t constant;
    LLVMValueRef inner; /* NULL: nothing */
} split_sum;

static bool split(emit *e, tn_dim d, uint32_t level, split_sum *out) {
    terms ts;
    if (!terms_of(e->dims, d, &ts)) return emit_fail(e, TN_ERR_MEMORY, "out of memory");
    *out = (split_sum){dim_const(e->dims, 0), 0, NULL};
    for (uint32_t i = 0; i < ts.n; i++) {
        tn_dim term = term_dim(e->dims, &ts.items[i]);
        if (ts.items[i].n_atoms == 0)
            out->constant = ts.items[i].coefficient;
        else if (emit_dim_level(e, term) < level)
            out->outer = dim_add(e->dims, out->outer, term);
        else {
            LLVMValueRef product = emit_product(e, &ts.items[i], level);
            out->inner = out->inner ? LLVMBuildAdd(e->builder, out->inner, product, "") : product;
        }
    }
    terms_free(&ts);
    return true;
}

static bool is_single_atom(const dim_table *t, tn_dim d) {
    dim_kind kind = dim_kind_of(t, d);
    return kind != DIM_SUM && kind != DIM_CONST;
}

static LLVMValueRef emit_sum(emit *e, tn_dim d, uint32_t level) {
    split_sum parts;
    if (!split(e, d, level, &parts)) return emit_const_i64(e, 0);
    LLVMValueRef sum = dim_is_value(e->dims, parts.outer, 0) ? NULL : emit_dim(e, parts.outer);
    if (parts.inner) sum = sum ? LLVMBuildAdd(e->builder, sum, parts.inner, "") : parts.inner;
    if (parts.constant)
        sum = sum ? LLVMBuildAdd(e->builder, sum, emit_const_i64(e, parts.constant), "")
                  : emit_const_i64(e, parts.constant);
    return sum ? sum : emit_const_i64(e, 0);
}

static LLVMValueRef emit_atom(emit *e, tn_dim d, uint32_t level) {
    dim_kind kind = dim_kind_of(e->dims, d);
    if (kind == DIM_SYMBOL || kind == DIM_VARIABLE) return leaf_value(e, d);
    tn_dim a, b;
    dim_operands(e->dims, d, &a, &b);
    LLVMValueRef x = emit_dim(e, a), y = emit_dim(e, b);
    emit_division how = emit_division_of(e->dims, a, b, e->ranges, e->scopes[level].n_ranges);
    return emit_divide(e->builder, kind, x, y, &how);
}

/* Arithmetic on dims may have failed: for want of memory, or of bits. */
static bool is_dim(emit *e, tn_dim d) {
    if (d != DIM_INVALID) return true;
    bool no_memory = dim_table_status(e->dims) == TN_ERR_MEMORY;
    return emit_fail(e, no_memory ? TN_ERR_MEMORY : TN_ERR_LIMIT,
                     no_memory ? "out of memory" : "index arithmetic does not fit in 63 bits");
}

LLVMValueRef emit_dim(emit *e, tn_dim d) {
    int64_t constant;
    d = emit_substitute(e, d);
    if (!is_dim(e, d)) return emit_const_i64(e, 0);
    if (dim_is_const(e->dims, d, &constant)) return emit_const_i64(e, constant);
    uint32_t level = emit_dim_level(e, d);
    LLVMValueRef value = recall(e, level, d, LT_NONE, false);
    if (value) return value;
    builder_place here = emit_enter_prologue(e, level);
    value = is_single_atom(e->dims, d) ? emit_atom(e, d, level) : emit_sum(e, d, level);
    builder_return(e->builder, here);
    return remember(e, level, d, LT_NONE, false, value);
}

/* ---- Vectors ---- */

static LLVMValueRef lane_numbers(emit *e) {
    LLVMValueRef items[256];
    for (uint32_t i = 0; i < e->lanes && i < 256; i++) items[i] = emit_const_i64(e, i);
    return LLVMConstVector(items, e->lanes);
}

static LLVMValueRef emit_vector_sum(emit *e, tn_dim d) {
    terms ts;
    if (!terms_of(e->dims, d, &ts)) {
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
        return emit_splat(e, emit_const_i64(e, 0));
    }
    tn_dim uniform = dim_const(e->dims, 0);
    LLVMValueRef sum = NULL;
    for (uint32_t i = 0; i < ts.n; i++) {
        tn_dim term = term_dim(e->dims, &ts.items[i]);
        if (!emit_dim_varies(e, term)) {
            uniform = dim_add(e->dims, uniform, term);
            continue;
        }
        LLVMValueRef product = NULL;
        if (ts.items[i].coefficient != 1) product = emit_splat(e, emit_const_i64(e, ts.items[i].coefficient));
        for (uint32_t j = 0; j < ts.items[i].n_atoms; j++) {
            LLVMValueRef atom = emit_dim_vector(e, ts.items[i].atoms[j]);
            product = product ? LLVMBuildMul(e->builder, atom, product, "") : atom;
        }
        sum = sum ? LLVMBuildAdd(e->builder, sum, product, "") : product;
    }
    terms_free(&ts);
    if (!dim_is_value(e->dims, uniform, 0))
        sum = LLVMBuildAdd(e->builder, sum, emit_splat(e, emit_dim(e, uniform)), "");
    return sum;
}

static LLVMValueRef compute_vector(emit *e, tn_dim d, uint32_t level) {
    tn_dim stride;
    switch (emit_lane_pattern(e, d, &stride)) {
    case LANES_UNIFORM: return emit_splat(e, emit_dim(e, d));
    case LANES_STRIDED: {
        LLVMValueRef lanes = lane_numbers(e);
        if (!dim_is_value(e->dims, stride, 1))
            lanes = LLVMBuildMul(e->builder, emit_splat(e, emit_dim(e, stride)), lanes, "");
        return LLVMBuildAdd(e->builder, emit_splat(e, emit_dim(e, d)), lanes, "lanes");
    }
    default: break;
    }
    dim_kind kind = dim_kind_of(e->dims, d);
    if (kind == DIM_SUM) return emit_vector_sum(e, d);
    if (kind == DIM_VARIABLE) return e->variables[dim_variable_number(e->dims, d)].vector;
    LLVMValueRef quotient = emit_quotient_lanes(e, d, level);
    if (quotient) return quotient;
    tn_dim a, b;
    dim_operands(e->dims, d, &a, &b);
    LLVMValueRef x = emit_dim_vector(e, a), y = emit_dim_vector(e, b);
    emit_division how = emit_division_of(e->dims, a, b, e->ranges, e->scopes[level].n_ranges);
    if (e->mask) how.is_positive = false; /* in a dead lane the counter is beyond its range */
    return emit_divide(e->builder, kind, x, y, &how);
}

LLVMValueRef emit_dim_vector(emit *e, tn_dim d) {
    d = emit_substitute(e, d);
    if (!is_dim(e, d)) return emit_splat(e, emit_const_i64(e, 0));
    uint32_t level = emit_dim_level(e, d);
    uint32_t counter_level = e->variables[dim_variable_number(e->dims, e->counter)].level;
    if (level < counter_level) return emit_splat(e, emit_dim(e, d)); /* lanes are counted from here on */
    LLVMValueRef value = recall(e, level, d, LT_NONE, true);
    if (value) return value;
    builder_place here = emit_enter_prologue(e, level);
    value = compute_vector(e, d, level);
    builder_return(e->builder, here);
    return remember(e, level, d, LT_NONE, true, value);
}

/* ---- Addresses ---- */

LLVMValueRef emit_address_plus(emit *e, uint32_t buffer, LLVMValueRef address, LLVMValueRef elements) {
    LLVMTypeRef element = vmath_memory_type(e->context, e->kernel->buffers[buffer].dtype, 0);
    return LLVMBuildGEP2(e->builder, element, address, &elements, 1, "at");
}

int64_t emit_constant_term(const emit *e, tn_dim d) {
    dim_term first;
    int64_t constant;
    if (dim_is_const(e->dims, d, &constant)) return constant;
    return dim_terms(e->dims, d, 1, &first) && first.n_atoms == 0 ? first.coefficient : 0;
}

/* The address of an index without constant term, from the scope where its last leaf is defined. */
static LLVMValueRef hoisted_address(emit *e, uint32_t buffer, tn_dim index) {
    LLVMValueRef base = emit_buffer(e, buffer);
    if (!is_dim(e, index) || dim_is_value(e->dims, index, 0)) return base;
    uint32_t level = emit_dim_level(e, index);
    LLVMValueRef address = recall(e, level, index, buffer, false);
    if (address) return address;
    builder_place here = emit_enter_prologue(e, level);
    split_sum parts = {.inner = NULL};
    address = base;
    if (split(e, index, level, &parts)) {
        address = hoisted_address(e, buffer, parts.outer);
        if (parts.inner) address = emit_address_plus(e, buffer, address, parts.inner);
    }
    builder_return(e->builder, here);
    return remember(e, level, index, buffer, false, address);
}

LLVMValueRef emit_address(emit *e, uint32_t buffer, tn_dim index) {
    index = emit_substitute(e, index);
    int64_t constant = emit_constant_term(e, index);
    LLVMValueRef address = hoisted_address(e, buffer, dim_add_const(e->dims, index, -constant));
    return constant ? emit_address_plus(e, buffer, address, emit_const_i64(e, constant)) : address;
}
