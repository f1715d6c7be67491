/* Sizes and offsets as values of a function (see program_state.h).
 *
 * in:  dims over the function's symbols
 * out: their values, each computed once, in the function's entry
 * law: what is computed there stands before all other blocks, so that any of them may use it
 *
 * Offsets of the plan are sums of the sizes of all that lies before, and maxima of such sums: computed at each use, the
 * code of a function would grow with the square of its buffers.
 */
#include "compiler/codegen/program_state.h"

static LLVMValueRef fail(program_emitter *p, tn_status why, const char *message) {
    program_fail(p, why, "%s", message);
    return program_i64(p, 0);
}

LLVMValueRef program_dim_over(program_emitter *p, tn_dim d, const tn_dim *symbols, const LLVMValueRef *values,
                              uint32_t n) {
    tn_status why = TN_OK;
    LLVMValueRef v = emit_dim_expression(p->b, p->dims, d, symbols, values, n, &why);
    if (v) return v;
    return fail(p, why,
                why == TN_ERR_MEMORY  ? "out of memory"
                : why == TN_ERR_LIMIT ? "a size does not fit in 63 bits"
                                      : "a size depends on a symbol that is not its function's own");
}

bool program_know_dim(function_emitter *f, tn_dim d, LLVMValueRef v) {
    size_t values = f->values_capacity, dims = f->dims_capacity;
    bool ok = array_reserve((void **)&f->known_dims, &dims, f->n_known + 1, sizeof *f->known_dims) &&
              array_reserve((void **)&f->known_values, &values, f->n_known + 1, sizeof *f->known_values);
    f->values_capacity = values;
    f->dims_capacity = dims;
    if (!ok) return program_fail(f->p, TN_ERR_MEMORY, "out of memory");
    f->known_dims[f->n_known] = d;
    f->known_values[f->n_known++] = v;
    return true;
}

static LLVMValueRef find_known(const function_emitter *f, tn_dim d) {
    for (uint32_t i = 0; i < f->n_known; i++)
        if (f->known_dims[i] == d) return f->known_values[i];
    return NULL;
}

/* Makes the parts of d known: the atoms of its terms, or the operands of its division, minimum or maximum. */
static void know_parts(function_emitter *f, tn_dim d) {
    dim_table *t = f->p->dims;
    dim_kind kind = dim_kind_of(t, d);
    if (kind == DIM_SYMBOL || kind == DIM_VARIABLE) return; /* unknown: an error, which the emission of d tells */
    if (kind != DIM_SUM) {
        tn_dim a, b;
        dim_operands(t, d, &a, &b);
        program_dim(f, a);
        program_dim(f, b);
        return;
    }
    uint32_t n = dim_term_count(t, d);
    dim_term *terms = tn_calloc(n + 1, sizeof *terms);
    if (!terms) {
        program_fail(f->p, TN_ERR_MEMORY, "out of memory");
        return;
    }
    dim_terms(t, d, n, terms);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < terms[i].n_atoms; k++)
            if (terms[i].atoms[k] != d) program_dim(f, terms[i].atoms[k]);
    tn_free(terms);
}

LLVMValueRef program_dim(function_emitter *f, tn_dim d) {
    program_emitter *p = f->p;
    if (d == DIM_INVALID || dim_is_const(p->dims, d, NULL)) return program_dim_over(p, d, NULL, NULL, 0);
    LLVMValueRef v = find_known(f, d);
    if (v || p->failed) return v ? v : program_i64(p, 0);
    know_parts(f, d);
    builder_place here = builder_leave(p->b);
    LLVMPositionBuilderBefore(p->b, LLVMGetBasicBlockTerminator(f->entry));
    v = program_dim_over(p, d, f->known_dims, f->known_values, f->n_known);
    builder_return(p->b, here);
    program_know_dim(f, d, v);
    return v;
}
