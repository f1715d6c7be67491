/* Functions: parameters, results, symbols and constraints; nodes are appended in apply.c.
 *
 * law: names of parameters are unique, so are names of results; symbols stand in the order of
 *      their first appearance in the parameters; a constraint stands once
 */
#include "ir/op.h"

#include <stdio.h>
#include <string.h>

/* ---- Symbols ---------------------------------------------------------------------------------- */

static symbol *find_symbol(const tn_graph *g, tn_dim dim) {
    for (size_t i = 0; i < g->n_symbols; i++)
        if (g->symbols[i].dim == dim) return &g->symbols[i];
    return NULL;
}

bool graph_add_symbol(tn_graph *g, tn_dim dim, int64_t low, int64_t high, int64_t divisor) {
    symbol *known = find_symbol(g, dim);
    if (!known) {
        if (!array_reserve((void **)&g->symbols, &g->symbols_capacity, g->n_symbols + 1, sizeof *g->symbols))
            return module_no_memory(g->module);
        known = &g->symbols[g->n_symbols++];
    }
    *known = (symbol){dim, low, high, divisor};
    return true;
}

typedef struct symbol_visit {
    tn_graph *g;
    bool ok;
} symbol_visit;

static bool add_leaf(void *ctx, tn_dim leaf) {
    symbol_visit *visit = ctx;
    if (dim_symbol_name(visit->g->module->dims, leaf) && !find_symbol(visit->g, leaf))
        visit->ok = graph_add_symbol(visit->g, leaf, 0, INT64_MAX, 1);
    return visit->ok;
}

/* What the function knows of its symbols, in an array from tn_malloc; NULL when it has none, or
 * no memory. */
static dim_range *symbol_ranges(tn_graph *g, int *n) {
    *n = 0;
    dim_range *ranges = g->n_symbols ? tn_malloc(g->n_symbols * sizeof *ranges) : NULL;
    if (!ranges) return NULL;
    for (size_t i = 0; i < g->n_symbols; i++) {
        const symbol *s = &g->symbols[i];
        if (s->low <= 0 && s->high == INT64_MAX) continue;
        ranges[(*n)++] = (dim_range){s->dim, dim_const(g->module->dims, s->low < 0 ? 0 : s->low),
                                     s->high == INT64_MAX ? DIM_INVALID : dim_const(g->module->dims, s->high)};
    }
    return ranges;
}

/* ---- Constraints ------------------------------------------------------------------------------ */

typedef enum verdict { UNKNOWN, HOLDS, FAILS } verdict;

static verdict decide_sign(dim_table *t, tn_dim difference, const dim_range *ranges, int n) {
    int64_t low, high;
    if (difference == DIM_INVALID) return UNKNOWN;
    dim_bounds(t, difference, ranges, n, &low, &high);
    if (low >= 0 || dim_is_nonnegative(t, difference, ranges, n)) return HOLDS;
    return high < 0 ? FAILS : UNKNOWN;
}

static verdict decide_le(dim_table *t, tn_dim a, tn_dim b, const dim_range *ranges, int n) {
    return decide_sign(t, dim_sub(t, b, a), ranges, n);
}

static verdict decide_eq(dim_table *t, tn_dim a, tn_dim b, const dim_range *ranges, int n) {
    if (a == b) return HOLDS;
    tn_dim difference = dim_sub(t, a, b);
    int64_t low, high;
    if (difference == DIM_INVALID) return UNKNOWN;
    dim_bounds(t, difference, ranges, n, &low, &high);
    if (low == 0 && high == 0) return HOLDS;
    return low > 0 || high < 0 ? FAILS : UNKNOWN;
}

static verdict decide_divides(dim_table *t, tn_dim a, tn_dim b, const dim_range *ranges, int n) {
    (void)ranges, (void)n;
    int64_t divisor, rest;
    if (a == b || dim_is_value(t, b, 0)) return HOLDS;
    if (!dim_is_const(t, a, &divisor)) return dim_exact_div(t, b, a) != DIM_INVALID ? HOLDS : UNKNOWN;
    if (divisor <= 0) return FAILS;
    return dim_is_const(t, dim_mod(t, b, a), &rest) ? (rest == 0 ? HOLDS : FAILS) : UNKNOWN;
}

typedef verdict decide_fn(dim_table *t, tn_dim a, tn_dim b, const dim_range *ranges, int n);
static decide_fn *const deciders[] = {
    [RELATION_EQ] = decide_eq, [RELATION_LE] = decide_le, [RELATION_DIVIDES] = decide_divides};

bool graph_add_constraint(tn_graph *g, relation r, tn_dim a, tn_dim b, tn_op op, location_id where) {
    for (size_t i = 0; i < g->n_constraints; i++) {
        const constraint *c = &g->constraints[i];
        bool is_same = (c->a == a && c->b == b) || (r == RELATION_EQ && c->a == b && c->b == a);
        if (c->relation == r && is_same) return true;
    }
    if (!array_reserve((void **)&g->constraints, &g->constraints_capacity, g->n_constraints + 1,
                       sizeof *g->constraints))
        return module_no_memory(g->module);
    g->constraints[g->n_constraints++] = (constraint){r, a, b, (uint16_t)op, where};
    return true;
}

/* n = 4*floordiv(n, 4) says that 4 divides n. */
static bool says_divides(dim_table *t, tn_dim rounded, tn_dim whole, tn_dim *divisor) {
    dim_term term;
    tn_dim numerator;
    if (dim_term_count(t, rounded) != 1 || dim_terms(t, rounded, 1, &term) != 1 || term.n_atoms != 1 ||
        dim_kind_of(t, term.atoms[0]) != DIM_FLOORDIV)
        return false;
    dim_operands(t, term.atoms[0], &numerator, divisor);
    return numerator == whole && dim_is_value(t, *divisor, term.coefficient);
}

bool graph_require(tn_graph *g, relation r, tn_dim a, tn_dim b, tn_op op, location_id where) {
    dim_table *t = g->module->dims;
    tn_dim divisor;
    if (a == DIM_INVALID || b == DIM_INVALID) return false;
    if (r == RELATION_EQ && says_divides(t, b, a, &divisor))
        return graph_require(g, RELATION_DIVIDES, divisor, a, op, where);
    if (r == RELATION_EQ && says_divides(t, a, b, &divisor))
        return graph_require(g, RELATION_DIVIDES, divisor, b, op, where);
    int n;
    dim_range *ranges = symbol_ranges(g, &n);
    if (!ranges && g->n_symbols > 0) return module_no_memory(g->module);
    verdict decided = deciders[r](t, a, b, ranges, n);
    tn_free(ranges);
    if (dim_table_status(t) == TN_ERR_MEMORY) return module_no_memory(g->module);
    /* An overflow while proving is no error of the user's: it only proves nothing. */
    if (dim_table_status(t) == TN_ERR_LIMIT) dim_table_clear_status(t);
    if (decided == UNKNOWN) return graph_add_constraint(g, r, a, b, op, where);
    return decided == HOLDS;
}

bool graph_require_equal(tn_graph *g, tn_dim a, tn_dim b, tn_op op, location_id where) {
    return (a == b && a != DIM_INVALID) || graph_require(g, RELATION_EQ, a, b, op, where);
}

/* ---- Parameters and results ------------------------------------------------------------------- */

static bool may_grow(tn_graph *g, const char *what) {
    return !g->is_called || module_error(g->module, TN_ERR_ARGUMENT, g->origin,
                                         "%s: @%s is called already and cannot grow", what, g->name);
}

static bool is_param_name(const tn_graph *g, const char *name) {
    for (size_t i = 0; i < g->n_params; i++)
        if (g->params[i].name == name) return true;
    return false;
}

static bool is_result_name(const tn_graph *g, const char *name) {
    for (size_t i = 0; i < g->n_results; i++)
        if (g->results[i].name == name) return true;
    return false;
}

/* The name asked for, or `stem` and the first number from `number` on that makes it a new one;
 * NULL with a diagnostic. */
static const char *own_name(tn_graph *g, const char *name, const char *stem, size_t number,
                            bool is_taken(const tn_graph *g, const char *name)) {
    if (name) return module_intern(g->module, name);
    do {
        char made_up[32];
        snprintf(made_up, sizeof made_up, "%s%zu", stem, number++);
        name = module_intern(g->module, made_up);
    } while (name && is_taken(g, name));
    return name;
}

static bool check_param_type(tn_graph *g, const char *name, const tn_type *type) {
    tn_module *m = g->module;
    if (type->dtype > TN_TOKEN || type->rank > TN_MAX_RANK || (type->dtype == TN_TOKEN && type->rank != 0))
        return module_error(m, TN_ERR_DTYPE, g->origin, "input: %s has no valid type", name);
    for (int axis = 0; axis < type->rank; axis++) {
        int64_t extent;
        if (type->dims[axis] == DIM_INVALID)
            return module_error(m, TN_ERR_SHAPE, g->origin, "input: axis %d of %s has no valid size", axis, name);
        if (dim_is_const(m->dims, type->dims[axis], &extent) && extent < 0)
            return module_error(m, TN_ERR_SHAPE, g->origin, "input: axis %d of %s has %lld elements", axis, name,
                                (long long)extent);
    }
    return true;
}

value_id graph_add_param(tn_graph *g, const char *name, const tn_type *type, binding b) {
    tn_module *m = g->module;
    if (!may_grow(g, "input") || !(name = own_name(g, name, "p", g->n_params, is_param_name))) return VALUE_NONE;
    if (is_param_name(g, name)) {
        module_error(m, TN_ERR_ARGUMENT, g->origin, "input: @%s has an input %s already", g->name, name);
        return VALUE_NONE;
    }
    if (!check_param_type(g, name, type)) return VALUE_NONE;
    symbol_visit visit = {g, true};
    for (int axis = 0; axis < type->rank && visit.ok; axis++)
        dim_visit_leaves(m->dims, type->dims[axis], add_leaf, &visit);
    if (!visit.ok) return VALUE_NONE;
    if (!array_reserve((void **)&g->params, &g->params_capacity, g->n_params + 1, sizeof *g->params)) {
        module_no_memory(m);
        return VALUE_NONE;
    }
    /* The rule of `param` reads the type from here. */
    g->params[g->n_params] = (param){.value = VALUE_NONE, .type = *type, .name = name, .binding = b};
    attr index = {.name = ATTR_index, .i = (int64_t)g->n_params};
    g->n_params++;
    value_id v;
    if (!graph_apply(g, g->origin, TN_OP_param, NULL, 0, &index, 1, &v, 1, NULL)) {
        g->n_params--;
        return VALUE_NONE;
    }
    g->params[index.i].value = v;
    g->values[v].name = name;
    return v;
}

bool graph_add_result(tn_graph *g, const char *name, value_id v, int32_t state_param) {
    tn_module *m = g->module;
    if (!may_grow(g, "output") || !(name = own_name(g, name, "r", g->n_results, is_result_name))) return false;
    if (is_result_name(g, name))
        return module_error(m, TN_ERR_ARGUMENT, g->origin, "output: @%s has an output %s already", g->name, name);
    for (size_t i = 0; i < g->n_results; i++) {
        if (state_param >= 0 && g->results[i].state_param == state_param)
            return module_error(m, TN_ERR_ARGUMENT, g->origin, "output: parameter %s has its next value already",
                                g->params[state_param].name);
    }
    if (v >= g->n_values)
        return module_error(m, TN_ERR_ARGUMENT, g->origin, "output: %s is no value of @%s", name, g->name);
    if (state_param >= (int32_t)g->n_params)
        return module_error(m, TN_ERR_ARGUMENT, g->origin, "output: @%s has no parameter %d", g->name,
                            (int)state_param);
    if (state_param >= 0) {
        param *state = &g->params[state_param];
        if (!type_equal(&state->type, graph_type(g, v))) {
            char a[256], b[256];
            value_describe(g, state->value, a, sizeof a);
            value_describe(g, v, b, sizeof b);
            return module_error(m, TN_ERR_SHAPE, g->origin, "output: a state keeps its type: %s, %s", a, b);
        }
        if (state->binding == BINDING_LOAD)
            return module_error(m, TN_ERR_ARGUMENT, g->origin, "output: the weight %s cannot be a state", state->name);
        state->binding = BINDING_STATE;
    }
    if (!array_reserve((void **)&g->results, &g->results_capacity, g->n_results + 1, sizeof *g->results))
        return module_no_memory(m);
    g->results[g->n_results++] = (result){v, name, state_param < 0 ? -1 : state_param};
    return true;
}

/* ---- For passes ------------------------------------------------------------------------------- */

location_id graph_set_origin(tn_graph *g, location_id origin) {
    location_id former = g->origin;
    g->origin = origin;
    return former;
}

bool graph_copy_symbols(tn_graph *to, const tn_graph *from) {
    for (size_t i = 0; i < from->n_symbols; i++) {
        const symbol *s = &from->symbols[i];
        if (!graph_add_symbol(to, s->dim, s->low, s->high, s->divisor)) return false;
    }
    return true;
}

static bool copy_param(tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    const param *p = &from->params[attr_int(&n->attrs, ATTR_index, 0)];
    location_id former = graph_set_origin(to, n->locations);
    value_id v = graph_add_param(to, p->name, &p->type, p->binding);
    graph_set_origin(to, former);
    if (v == VALUE_NONE) return false;
    to->params[to->n_params - 1].initial = p->initial;
    map[n->first_result] = v;
    return true;
}

bool graph_copy_node(tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    if (n->op == TN_OP_param) return copy_param(to, from, n, map);
    enum { FEW = 16 };
    value_id few[FEW] = {0}, *operands = few;
    if (n->n_operands > FEW && !(operands = tn_malloc(n->n_operands * sizeof *operands)))
        return module_no_memory(to->module);
    for (uint32_t i = 0; i < n->n_operands; i++) operands[i] = map[n->operands[i]];
    uint32_t n_results;
    value_id first;
    bool ok = graph_apply(to, n->locations, (tn_op)n->op, operands, n->n_operands, n->attrs.items, n->attrs.n, &first,
                          1, &n_results);
    if (operands != few) tn_free(operands);
    for (uint32_t i = 0; ok && i < n_results; i++) {
        map[n->first_result + i] = first + i;
        if (!to->values[first + i].name) to->values[first + i].name = from->values[n->first_result + i].name;
    }
    return ok;
}

uint32_t *graph_count_uses(const tn_graph *g) {
    uint32_t *uses = tn_calloc(g->n_values ? g->n_values : 1, sizeof *uses);
    if (!uses) return NULL;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (uint32_t j = 0; j < g->nodes[i].n_operands; j++) uses[g->nodes[i].operands[j]]++;
    for (size_t i = 0; i < g->n_results; i++) uses[g->results[i].value]++;
    return uses;
}
