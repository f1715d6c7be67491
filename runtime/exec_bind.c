/* From the shapes of inputs to the values of symbols, and from those to all sizes.
 *
 * in:  the inputs of a run, symbols set by the caller
 * out: e->symbols, e->bound, the shapes of e->outputs
 * law: nothing is believed: every axis of every input is compared with what the program says,
 *      and a message tells which input and axis, what was expected and what was given
 *
 * An axis that is a plain symbol binds it or must agree with it; constants are compared at
 * once; expressions after bind has computed them.
 */
#include "runtime/exec.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Messages ------------------------------------------------------------------------------------ */

static void add_dim(line *t, const tn_program *p, const tn_dim_info *dim) {
    if (dim->kind == TN_DIM_CONSTANT)
        line_add(t, "%lld", (long long)dim->value);
    else if (dim->text != NULL)
        line_add(t, "%s", dim->text);
    else
        line_add(t, "%s", dim->kind == TN_DIM_SYMBOL ? p->symbols[dim->value].name : "?");
}

static void add_type(line *t, const tn_program *p, const tn_tensor_info *info) {
    line_add(t, "%s[", tn_dtype_name(info->dtype));
    for (int axis = 0; axis < info->rank; axis++) {
        if (axis) line_add(t, ", ");
        add_dim(t, p, &info->dims[axis]);
    }
    line_add(t, "]");
}

tn_status mismatch(const tn_program *p, const char *role, const tn_tensor_info *info, const tn_tensor *t,
                   tn_status status, tn_diag *diag, const char *reason, ...) {
    char why[256], given[256], wanted[512];
    va_list args;
    va_start(args, reason);
    vsnprintf(why, sizeof why, reason, args);
    va_end(args);
    line wanted_text = {wanted, sizeof wanted, 0}, given_text = {given, sizeof given, 0};
    add_type(&wanted_text, p, info);
    tensor_add_text(&given_text, t);
    return diag_fail(diag, status, "%s: %s '%s': expected %s, got %s (%s)", p->name, role, info->name, wanted, given,
                     why);
}

/* " (n = 7, m = 3)", nothing without symbols. */
static const char *symbol_values(const tn_exec *e, char *bytes, size_t capacity) {
    line t = {bytes, capacity, 0};
    bytes[0] = '\0';
    for (uint32_t i = 0; i < e->program->n_symbols; i++)
        line_add(&t, "%s%s = %lld", i ? ", " : " (", e->program->symbols[i].name, (long long)e->symbols[i]);
    if (e->program->n_symbols > 0) line_add(&t, ")");
    return bytes;
}

/* "axis 0 of input 'x'" */
static const char *source_text(const tn_exec *e, int64_t symbol, char *bytes, size_t capacity) {
    symbol_source s = e->sources[symbol];
    line t = {bytes, capacity, 0};
    if (s.input < 0)
        line_add(&t, "tn_exec_set_symbol");
    else
        line_add(&t, "axis %d of input '%.100s'", s.axis, e->program->inputs[s.input].name);
    return bytes;
}

/* ---- One tensor by itself ------------------------------------------------------------------------- */

tn_status check_tensor(const tn_program *p, const char *role, const tn_tensor_info *info, const tn_tensor *t,
                       bool needs_data, tn_diag *diag) {
    if (t->device != 0)
        return diag_fail(diag, TN_ERR_ARGUMENT, "%s: %s '%s': is on device %d, only the host (0) is known", p->name,
                         role, info->name, t->device);
    if (t->dtype != info->dtype)
        return mismatch(p, role, info, t, TN_ERR_DTYPE, diag, "dtype %s is not %s", tn_dtype_name(info->dtype),
                        tn_dtype_name(t->dtype));
    if (t->rank != info->rank)
        return mismatch(p, role, info, t, TN_ERR_SHAPE, diag, "rank %d is not %d", info->rank, t->rank);
    for (int axis = 0; axis < t->rank; axis++) {
        const tn_dim_info *dim = &info->dims[axis];
        if (t->shape[axis] < 0)
            return mismatch(p, role, info, t, TN_ERR_SHAPE, diag, "axis %d: %lld is negative", axis,
                            (long long)t->shape[axis]);
        if (dim->kind == TN_DIM_CONSTANT && dim->value != t->shape[axis])
            return mismatch(p, role, info, t, TN_ERR_SHAPE, diag, "axis %d: %lld is not %lld", axis,
                            (long long)dim->value, (long long)t->shape[axis]);
    }
    int64_t low, high;
    if (!tensor_span(t, &low, &high))
        return mismatch(p, role, info, t, TN_ERR_LIMIT, diag, "its bytes do not fit in 63 bits");
    if (needs_data && t->data == NULL && low != high)
        return diag_fail(diag, TN_ERR_ARGUMENT, "%s: %s '%s': has no data", p->name, role, info->name);
    return TN_OK;
}

/* ---- Symbols -------------------------------------------------------------------------------------- */

static tn_status bind_axis(tn_exec *e, int32_t input, int32_t axis) {
    const tn_program *p = e->program;
    const tn_tensor_info *info = &p->inputs[input];
    const tn_dim_info *dim = &info->dims[axis];
    if (dim->kind != TN_DIM_SYMBOL) return TN_OK;
    int64_t given = e->inputs[input].shape[axis], *value = &e->symbols[dim->value];
    if (*value < 0) {
        *value = given;
        e->sources[dim->value] = (symbol_source){input, axis};
        return TN_OK;
    }
    if (*value == given) return TN_OK;
    char from[160];
    return mismatch(p, "input", info, &e->inputs[input], TN_ERR_SHAPE, &e->error,
                    "axis %d: %.40s is %lld by %s, not %lld", axis, p->symbols[dim->value].name, (long long)*value,
                    source_text(e, dim->value, from, sizeof from), (long long)given);
}

static tn_status check_symbol(tn_exec *e, uint32_t i) {
    const tn_program *p = e->program;
    const tn_symbol_info *s = &p->symbols[i];
    int64_t value = e->symbols[i];
    char from[160];
    if (value < 0)
        return diag_fail(&e->error, TN_ERR_ARGUMENT,
                         "%s: symbol '%s' is not the size of any input's axis: set it with tn_exec_set_symbol", p->name,
                         s->name);
    if (value < s->lower)
        return diag_fail(&e->error, TN_ERR_CONSTRAINT, "%s: %s is %lld by %s, but at least %lld is needed", p->name,
                         s->name, (long long)value, source_text(e, i, from, sizeof from), (long long)s->lower);
    if (value > s->upper)
        return diag_fail(&e->error, TN_ERR_CONSTRAINT, "%s: %s is %lld by %s, but at most %lld is allowed", p->name,
                         s->name, (long long)value, source_text(e, i, from, sizeof from), (long long)s->upper);
    if (s->divisor > 1 && value % s->divisor != 0)
        return diag_fail(&e->error, TN_ERR_CONSTRAINT, "%s: %s is %lld by %s, which %lld does not divide", p->name,
                         s->name, (long long)value, source_text(e, i, from, sizeof from), (long long)s->divisor);
    return TN_OK;
}

static tn_status find_symbols(tn_exec *e) {
    const tn_program *p = e->program;
    tn_status status = TN_OK;
    for (uint32_t i = 0; i < p->n_symbols; i++) {
        e->symbols[i] = e->set_symbols[i];
        e->sources[i] = (symbol_source){-1, 0};
    }
    for (uint32_t i = 0; i < p->n_inputs; i++)
        for (int axis = 0; axis < p->inputs[i].rank; axis++)
            if ((status = bind_axis(e, (int32_t)i, axis)) != TN_OK) return status;
    for (uint32_t i = 0; i < p->n_symbols && status == TN_OK; i++) status = check_symbol(e, i);
    return status;
}

/* ---- Sizes ------------------------------------------------------------------------------------------ */

/* Without a bind entry every dim is a constant or a symbol. */
static int64_t *fill_dims(const tn_exec *e, int64_t *bound, const tn_tensor_info *infos, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        for (int axis = 0; axis < infos[i].rank; axis++) {
            const tn_dim_info *dim = &infos[i].dims[axis];
            *bound++ = dim->kind == TN_DIM_SYMBOL ? e->symbols[dim->value] : dim->value;
        }
    return bound;
}

static tn_status compute_sizes(tn_exec *e) {
    const tn_program *p = e->program;
    size_t symbol_bytes = p->n_symbols * sizeof *e->symbols;
    if (e->is_bound && (symbol_bytes == 0 || memcmp(e->symbols, e->bound_symbols, symbol_bytes) == 0)) return TN_OK;
    e->is_bound = false;
    int32_t broken = 0;
    if (p->bind != NULL) {
        broken = p->bind(e->symbols, e->bound);
    } else {
        e->bound[TN_BOUND_ARENA_BYTES] = e->bound[TN_BOUND_SCRATCH_BYTES] = 0;
        fill_dims(e, fill_dims(e, e->bound + TN_BOUND_DIMS, p->inputs, p->n_inputs), p->outputs, p->n_outputs);
    }
    char values[256];
    if (broken > 0 && (uint32_t)broken <= p->n_constraints)
        return diag_fail(&e->error, TN_ERR_CONSTRAINT, "%s: %s%s", p->name, p->constraints[broken - 1].message,
                         symbol_values(e, values, sizeof values));
    if (broken != 0 || e->bound[TN_BOUND_ARENA_BYTES] < 0 || e->bound[TN_BOUND_SCRATCH_BYTES] < 0)
        return diag_fail(&e->error, broken > 0 ? TN_ERR_INTERNAL : TN_ERR_LIMIT, "%s: a size does not fit in 63 bits%s",
                         p->name, symbol_values(e, values, sizeof values));
    if (symbol_bytes) memcpy(e->bound_symbols, e->symbols, symbol_bytes);
    e->is_bound = true;
    return TN_OK;
}

/* Expressions among the inputs' dims; the others agree already. */
static tn_status check_expressions(tn_exec *e, const int64_t *bound) {
    const tn_program *p = e->program;
    for (uint32_t i = 0; i < p->n_inputs; i++)
        for (int axis = 0; axis < p->inputs[i].rank; axis++, bound++) {
            int64_t given = e->inputs[i].shape[axis];
            if (p->inputs[i].dims[axis].kind != TN_DIM_EXPRESSION || given == *bound) continue;
            char name[100], values[120];
            line t = {name, sizeof name, 0};
            add_dim(&t, p, &p->inputs[i].dims[axis]);
            return mismatch(p, "input", &p->inputs[i], &e->inputs[i], TN_ERR_SHAPE, &e->error,
                            "axis %d: %s is %lld%s, not %lld", axis, name, (long long)*bound,
                            symbol_values(e, values, sizeof values), (long long)given);
        }
    return TN_OK;
}

static tn_status shape_outputs(tn_exec *e, const int64_t *bound) {
    const tn_program *p = e->program;
    for (uint32_t i = 0; i < p->n_outputs; i++) {
        tn_tensor *t = &e->outputs[i];
        *t = tn_tensor_of(p->outputs[i].dtype, NULL, p->outputs[i].rank, bound);
        bound += t->rank;
        if (tn_tensor_elements(t) >= 0) continue;
        bool is_negative = false;
        for (int axis = 0; axis < t->rank; axis++) is_negative |= t->shape[axis] < 0;
        return mismatch(p, "output", &p->outputs[i], t, is_negative ? TN_ERR_SHAPE : TN_ERR_LIMIT, &e->error,
                        is_negative ? "an axis would be negative" : "its bytes do not fit in 63 bits");
    }
    return TN_OK;
}

tn_status exec_bind(tn_exec *e, bool needs_data) {
    const tn_program *p = e->program;
    tn_status status;
    for (uint32_t i = 0; i < p->n_inputs; i++)
        if ((status = check_tensor(p, "input", &p->inputs[i], &e->inputs[i], needs_data, &e->error)) != TN_OK)
            return status;
    if ((status = find_symbols(e)) != TN_OK || (status = compute_sizes(e)) != TN_OK) return status;
    const int64_t *input_dims = e->bound + TN_BOUND_DIMS, *output_dims = input_dims;
    for (uint32_t i = 0; i < p->n_inputs; i++) output_dims += p->inputs[i].rank;
    if ((status = check_expressions(e, input_dims)) != TN_OK) return status;
    return shape_outputs(e, output_dims);
}
