/* Binding of symbols: from the sizes of a call's inputs to values of the function's symbols.
 *
 * in:  a frame with inputs; values of the first symbols where the call states them
 * out: frame->symbols; an error when inputs and parameters do not fit, a stated bound or a
 *      constraint does not hold
 * law: a symbol that is an axis by itself takes that extent; one that stands in an expression
 *      linear in it is solved for; then every axis is checked against its expression
 */
#include "ir/eval_state.h"
#include "ir/sizes.h"

#include <string.h>

/* ---- Values of dims ------------------------------------------------------------------------ */

typedef struct look_context {
    const eval_frame *frame;
    tn_dim unknown; /* an unbound symbol to be taken as `trial`, or DIM_INVALID */
    int64_t trial;
} look_context;

static bool look(void *ctx, tn_dim leaf, int64_t *out) {
    const look_context *l = ctx;
    const tn_graph *g = l->frame->graph;
    for (size_t k = 0; k < g->n_symbols; k++)
        if (g->symbols[k].dim == leaf && l->frame->is_bound[k]) {
            *out = l->frame->symbols[k];
            return true;
        }
    *out = l->trial;
    return leaf == l->unknown;
}

bool eval_dim_in(const eval_frame *f, tn_dim dim, int64_t *out) {
    const dim_table *t = f->graph->module->dims;
    if (dim == DIM_INVALID) return false;
    if (dim_is_const(t, dim, out)) return true;
    look_context l = {f, DIM_INVALID, 0};
    return dim_eval(t, dim, look, &l, out);
}

/* Solves `dim` = extent for its only unbound symbol, when it is linear in it. */
static void solve(eval_frame *f, size_t k, tn_dim dim, int64_t extent) {
    const dim_table *t = f->graph->module->dims;
    int64_t at_0, at_1, slope, rest;
    look_context l = {f, f->graph->symbols[k].dim, 0};
    if (!dim_eval(t, dim, look, &l, &at_0)) return;
    l.trial = 1;
    if (!dim_eval(t, dim, look, &l, &at_1)) return;
    if (__builtin_sub_overflow(at_1, at_0, &slope) || __builtin_sub_overflow(extent, at_0, &rest)) return;
    if (slope == 0 || slope == -1 || rest % slope != 0) return;
    f->symbols[k] = rest / slope;
    f->is_bound[k] = true;
}

/* ---- The steps of a binding ------------------------------------------------------------------ */

static bool check_input(eval_state *s, const tn_graph *g, size_t i, const eval_tensor *t) {
    const param *p = &g->params[i];
    const tn_type *type = &p->type;
    const char *name = p->name ? p->name : "";
    if (t->dtype != (tn_dtype)type->dtype)
        return eval_error(s, TN_ERR_DTYPE, "@%s: input %zu (%s) is %s, the parameter is %s", g->name, i, name,
                          tn_dtype_name(t->dtype), tn_dtype_name((tn_dtype)type->dtype));
    if (t->rank != type->rank)
        return eval_error(s, TN_ERR_SHAPE, "@%s: input %zu (%s) has rank %d, the parameter rank %d", g->name, i, name,
                          t->rank, type->rank);
    if (t->n > 0 && !t->data)
        return eval_error(s, TN_ERR_ARGUMENT, "@%s: input %zu (%s) has no data", g->name, i, name);
    return true;
}

static void bind_plain_axes(eval_frame *f) {
    const tn_graph *g = f->graph;
    for (size_t i = 0; i < g->n_params; i++) {
        const tn_type *type = &g->params[i].type;
        for (int axis = 0; axis < type->rank; axis++)
            for (size_t k = 0; k < g->n_symbols; k++)
                if (!f->is_bound[k] && g->symbols[k].dim == type->dims[axis]) {
                    f->symbols[k] = f->inputs[i]->dims[axis];
                    f->is_bound[k] = true;
                }
    }
}

static void bind_by_solving(eval_frame *f) {
    const tn_graph *g = f->graph;
    for (size_t k = 0; k < g->n_symbols; k++)
        for (size_t i = 0; i < g->n_params && !f->is_bound[k]; i++) {
            const tn_type *type = &g->params[i].type;
            for (int axis = 0; axis < type->rank && !f->is_bound[k]; axis++)
                if (dim_contains(g->module->dims, type->dims[axis], g->symbols[k].dim))
                    solve(f, k, type->dims[axis], f->inputs[i]->dims[axis]);
        }
}

static bool check_axes(eval_state *s, const eval_frame *f) {
    const tn_graph *g = f->graph;
    for (size_t i = 0; i < g->n_params; i++) {
        const param *p = &g->params[i];
        const tn_type *type = &p->type;
        for (int axis = 0; axis < type->rank; axis++) {
            int64_t extent;
            if (eval_dim_in(f, type->dims[axis], &extent) && extent == f->inputs[i]->dims[axis]) continue;
            char text[128];
            dim_print(g->module->dims, type->dims[axis], text, sizeof text);
            return eval_error(s, TN_ERR_SHAPE,
                              "@%s: axis %d of input %zu (%s) has %lld elements, which does not fit %s", g->name, axis,
                              i, p->name ? p->name : "", (long long)f->inputs[i]->dims[axis], text);
        }
    }
    return true;
}

static bool check_symbols(eval_state *s, const eval_frame *f) {
    const tn_graph *g = f->graph;
    for (size_t k = 0; k < g->n_symbols; k++) {
        const symbol *y = &g->symbols[k];
        const char *name = dim_symbol_name(g->module->dims, y->dim);
        int64_t bound = f->symbols[k];
        if (!f->is_bound[k])
            return eval_error(s, TN_ERR_ARGUMENT, "@%s: no input's shape tells the symbol %s", g->name,
                              name ? name : "?");
        if (!symbol_allows(y, bound))
            return eval_error(s, TN_ERR_CONSTRAINT,
                              "@%s: %s is %lld; it was stated to be within %lld and %lld and divisible by %lld",
                              g->name, name ? name : "?", (long long)bound, (long long)y->low, (long long)y->high,
                              (long long)y->divisor);
    }
    return true;
}

bool relation_holds(relation r, int64_t a, int64_t b) {
    switch (r) {
    case RELATION_EQ: return a == b;
    case RELATION_LE: return a <= b;
    case RELATION_DIVIDES: return a != 0 && a != -1 ? b % a == 0 : a == -1 || b == 0;
    }
    return false;
}

static bool check_constraints(eval_state *s, const eval_frame *f) {
    static const char *const relations[] = {"equal to", "at most", "a divisor of"};
    const tn_graph *g = f->graph;
    for (size_t k = 0; k < g->n_constraints; k++) {
        const constraint *need = &g->constraints[k];
        int64_t a = 0, b = 0;
        bool is_known = eval_dim_in(f, need->a, &a) && eval_dim_in(f, need->b, &b);
        if (is_known && relation_holds(need->relation, a, b)) continue;
        char text_a[128], text_b[128];
        dim_print(g->module->dims, need->a, text_a, sizeof text_a);
        dim_print(g->module->dims, need->b, text_b, sizeof text_b);
        if (!is_known)
            return eval_error_at(s, TN_ERR_CONSTRAINT, need->locations, "%s: %s or %s has no value",
                                 op_name((tn_op)need->op), text_a, text_b);
        return eval_error_at(s, TN_ERR_CONSTRAINT, need->locations, "%s: %s must be %s %s, but they are %lld and %lld",
                             op_name((tn_op)need->op), text_a, relations[need->relation], text_b, (long long)a,
                             (long long)b);
    }
    return true;
}

bool eval_bind(eval_state *s, eval_frame *f, const int64_t *symbols, uint32_t n_symbols) {
    const tn_graph *g = f->graph;
    for (size_t i = 0; i < g->n_params; i++)
        if (!check_input(s, g, i, f->inputs[i])) return false;
    for (size_t k = 0; k < g->n_symbols && k < n_symbols; k++) {
        f->symbols[k] = symbols[k];
        f->is_bound[k] = true;
    }
    bind_plain_axes(f);
    bind_by_solving(f);
    return check_symbols(s, f) && check_axes(s, f) && check_constraints(s, f);
}
