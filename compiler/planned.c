/* What a run would need, told by the plan alone.
 *
 * in:  a module, values of its main function's symbols
 * out: bytes of arena and scratch, on one thread; or why these values are not allowed
 * law: the figure is that of tn_exec_arena_bytes for one thread after these sizes were bound
 */
#include "compiler/planned.h"

#include "compiler/describe.h"
#include "compiler/stages.h"
#include "ir/sizes.h"
#include "runtime/diag.h"

#include <string.h>

typedef struct sizes {
    const tn_graph *g;
    const tn_symbol_value *values;
    int n;
} sizes;

/* The value of a symbol, for dim_eval. */
static bool look_up(void *ctx, tn_dim leaf, int64_t *value) {
    const sizes *s = ctx;
    const char *name = dim_symbol_name(s->g->module->dims, leaf);
    for (int i = 0; name && i < s->n; i++)
        if (strcmp(s->values[i].symbol, name) == 0) {
            *value = s->values[i].value;
            return true;
        }
    return false;
}

static bool value_of(sizes *s, tn_dim d, int64_t *value) {
    return d != DIM_INVALID && dim_eval(s->g->module->dims, d, look_up, s, value);
}

static tn_status check_symbols(sizes *s, tn_diag *diag) {
    for (size_t i = 0; i < s->g->n_symbols; i++) {
        const symbol *y = &s->g->symbols[i];
        const char *name = dim_symbol_name(s->g->module->dims, y->dim);
        int64_t value;
        if (!look_up(s, y->dim, &value)) return diag_fail(diag, TN_ERR_ARGUMENT, "the symbol %s has no value", name);
        char bounds[100];
        if (!symbol_allows(y, value))
            return diag_fail(diag, TN_ERR_CONSTRAINT, "%s is %lld, it must be %s", name, (long long)value,
                             sizes_bounds_text(y, bounds, sizeof bounds));
    }
    return TN_OK;
}

static tn_status check_constraints(sizes *s, tn_diag *diag) {
    for (size_t i = 0; i < s->g->n_constraints; i++) {
        const constraint *c = &s->g->constraints[i];
        int64_t a, b;
        char text[DESCRIBED_CONSTRAINT];
        if (value_of(s, c->a, &a) && value_of(s, c->b, &b) && relation_holds(c->relation, a, b)) continue;
        describe_constraint(s->g->module->dims, c, text, sizeof text);
        return diag_fail(diag, TN_ERR_CONSTRAINT, "%s", text);
    }
    return TN_OK;
}

tn_status planned_check(const tn_graph *g, const tn_symbol_value *values, int n, tn_diag *diag) {
    sizes s = {.g = g, .values = values, .n = n};
    tn_status status = check_symbols(&s, diag);
    return status == TN_OK ? check_constraints(&s, diag) : status;
}

static tn_status measure(sizes *s, const function_plan *plan, size_t *bytes, tn_diag *diag) {
    int64_t arena, scratch, all;
    tn_status status = planned_check(s->g, s->values, s->n, diag);
    if (status != TN_OK) return status;
    if (!value_of(s, plan->arena_bytes, &arena) || !value_of(s, plan->scratch_bytes, &scratch) ||
        __builtin_add_overflow(arena, scratch, &all))
        return diag_fail(diag, TN_ERR_LIMIT, "a size does not fit in 63 bits");
    *bytes = (size_t)all;
    return TN_OK;
}

tn_status tn_planned_bytes(tn_module *m, const tn_compile_options *options, const tn_symbol_value *values, int n,
                           size_t *bytes, tn_diag *diag) {
    compilation c;
    *bytes = 0;
    if (!m) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no module");
    tn_status status;
    if (compilation_run(&c, m, options, &(compilation_goal){.prefix = "", .last = "loops"})) {
        sizes s = {.g = c.main, .values = values, .n = n};
        status = measure(&s, plan_of(&c.plan, c.main), bytes, diag);
    } else {
        status = c.diag.status;
        if (diag) diag_copy(diag, &c.diag);
    }
    compilation_end(&c);
    return status;
}
