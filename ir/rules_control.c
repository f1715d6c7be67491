/* Rules of control flow and effects.
 *
 * A callee's types are read with its symbols replaced by the dims of the caller that the
 * attribute `symbols` lists. Operands must then have the parameters' types, and the results
 * have the types of the callee's results. What the callee requires of its symbols (bounds,
 * divisors, constraints) the caller must hold, proved or recorded in its turn.
 */
#include "ir/columns.h"
#include "ir/rules.h"

/* A function with its symbols replaced. */
typedef struct callee {
    const tn_graph *g;
    const tn_dim *from, *to;
    int n;
} callee;

/* ---- Substitution ----------------------------------------------------------------------------- */

static tn_dim map_dim(rule_args *c, const callee *f, tn_dim d) {
    return f->n == 0 || dim_is_const(rule_dims(c), d, NULL) ? d : dim_substitute(rule_dims(c), d, f->from, f->to, f->n);
}

static tn_type map_type(rule_args *c, const callee *f, const tn_type *type) {
    tn_type mapped = *type;
    for (int i = 0; i < type->rank; i++) mapped.dims[i] = map_dim(c, f, type->dims[i]);
    return mapped;
}

/* What the callee requires of its symbols. */
static bool require_symbols(rule_args *c, const callee *f) {
    dim_table *t = rule_dims(c);
    char text[RULE_TEXT];
    for (int i = 0; i < f->n; i++) {
        const symbol *s = &f->g->symbols[i];
        bool ok = rule_require(c, RELATION_LE, dim_const(t, s->low), f->to[i]) &&
                  (s->high == INT64_MAX || rule_require(c, RELATION_LE, f->to[i], dim_const(t, s->high))) &&
                  (s->divisor <= 1 || rule_require(c, RELATION_DIVIDES, dim_const(t, s->divisor), f->to[i]));
        if (!ok)
            return rule_error(c, TN_ERR_CONSTRAINT, "%s is out of the bounds of %s of @%s",
                              rule_dim_text(c, f->to[i], text), dim_symbol_name(t, s->dim), f->g->name);
    }
    for (size_t i = 0; i < f->g->n_constraints; i++) {
        const constraint *k = &f->g->constraints[i];
        if (!graph_require(c->graph, k->relation, map_dim(c, f, k->a), map_dim(c, f, k->b), (tn_op)k->op, k->locations))
            return rule_error(c, TN_ERR_CONSTRAINT, "a constraint of @%s, from %s, does not hold here", f->g->name,
                              op_name((tn_op)k->op));
    }
    return true;
}

/* Reads the function attribute `name` with symbols from `skip` on in the list; *used counts them. */
static bool open_callee(rule_args *c, attr_name name, uint32_t skip, callee *f, uint32_t *used) {
    const tn_graph *g = attr_find(&c->attrs, name)->func;
    const attr *symbols = attr_find(&c->attrs, ATTR_symbols);
    uint32_t given = symbols ? symbols->dims.n : 0;
    *f = (callee){.g = g, .n = (int)g->n_symbols};
    *used = skip + (uint32_t)g->n_symbols;
    if (g == c->graph) return rule_error(c, TN_ERR_ARGUMENT, "@%s calls itself", g->name);
    if (g->depth + 1 > GRAPH_MAX_DEPTH)
        return rule_error(c, TN_ERR_LIMIT, "calls nest deeper than %d", GRAPH_MAX_DEPTH);
    if (g->n_results == 0) return rule_error(c, TN_ERR_ARGUMENT, "@%s has no results", g->name);
    if (given < *used)
        return rule_error(c, TN_ERR_ARGUMENT, "symbols lists %u dims, but @%s needs %u", (unsigned)given, g->name,
                          (unsigned)*used);
    if (f->n == 0) return true;
    tn_dim *from = ARENA_ARRAY(&c->graph->module->memory, tn_dim, f->n);
    if (!from) return module_no_memory(c->graph->module);
    for (int i = 0; i < f->n; i++) from[i] = g->symbols[i].dim;
    f->from = from;
    f->to = symbols->dims.items + skip;
    return require_symbols(c, f);
}

static bool check_symbol_count(rule_args *c, uint32_t used) {
    const attr *symbols = attr_find(&c->attrs, ATTR_symbols);
    uint32_t given = symbols ? symbols->dims.n : 0;
    if (given == used) return true;
    return rule_error(c, TN_ERR_ARGUMENT, "symbols lists %u dims, not %u", (unsigned)given, (unsigned)used);
}

/* ---- Signatures ------------------------------------------------------------------------------- */

/* A type the op hands over and the one that is wanted there, in a message that names both. */
static bool match(rule_args *c, const char *what, uint32_t i, const callee *f, const tn_type *given,
                  const tn_type *wanted, const char *how) {
    bool fits = given->dtype == wanted->dtype && given->rank == wanted->rank;
    for (int k = 0; fits && k < given->rank; k++)
        fits = graph_require_equal(c->graph, given->dims[k], wanted->dims[k], c->op, c->where);
    if (fits) return true;
    char a[RULE_TEXT], b[RULE_TEXT];
    type_print(rule_dims(c), given, a, sizeof a);
    type_print(rule_dims(c), wanted, b, sizeof b);
    return rule_error(c, TN_ERR_SHAPE, "%s %u of @%s is %s, but %s %s", what, (unsigned)i, f->g->name, b, a, how);
}

/* Operands (their types) from `first` on are the arguments of f. */
static bool check_arguments(rule_args *c, const callee *f, const tn_type *given, uint32_t n) {
    if (f->g->n_params != n)
        return rule_error(c, TN_ERR_ARGUMENT, "@%s takes %zu argument%s, not %u", f->g->name, f->g->n_params,
                          f->g->n_params == 1 ? "" : "s", (unsigned)n);
    for (uint32_t i = 0; i < n; i++) {
        tn_type wanted = map_type(c, f, &f->g->params[i].type);
        if (!match(c, "parameter", i, f, &given[i], &wanted, "is given")) return false;
    }
    return true;
}

static tn_type result_type(rule_args *c, const callee *f, uint32_t i) {
    return map_type(c, f, graph_type(f->g, f->g->results[i].value));
}

static bool take_results(rule_args *c, const callee *f) {
    if (!rule_results(c, (uint32_t)f->g->n_results)) return false;
    for (uint32_t i = 0; i < c->n_results; i++) c->results[i] = result_type(c, f, i);
    return true;
}

static bool check_result_count(rule_args *c, const callee *f, size_t wanted) {
    if (f->g->n_results == wanted) return true;
    return rule_error(c, TN_ERR_ARGUMENT, "@%s must have %zu results, not %zu", f->g->name, wanted, f->g->n_results);
}

static bool check_condition(rule_args *c, uint32_t i) {
    char a[RULE_TEXT];
    if (c->types[i].dtype == TN_BOOL && c->types[i].rank == 0) return true;
    return rule_error(c, TN_ERR_DTYPE, "the condition must be bool[]: %s", rule_operand(c, i, a));
}

/* ---- Rules ------------------------------------------------------------------------------------ */

bool rule_call(rule_args *c) {
    callee f;
    uint32_t used;
    return open_callee(c, ATTR_callee, 0, &f, &used) && check_symbol_count(c, used) &&
           check_arguments(c, &f, c->types, c->n_operands) && take_results(c, &f);
}

bool rule_if(rule_args *c) {
    callee then, otherwise;
    uint32_t used;
    if (!check_condition(c, 0) || !open_callee(c, ATTR_then, 0, &then, &used) ||
        !open_callee(c, ATTR_otherwise, used, &otherwise, &used) || !check_symbol_count(c, used) ||
        !check_arguments(c, &then, c->types + 1, c->n_operands - 1) ||
        !check_arguments(c, &otherwise, c->types + 1, c->n_operands - 1) ||
        !check_result_count(c, &otherwise, then.g->n_results) || !take_results(c, &then))
        return false;
    for (uint32_t i = 0; i < c->n_results; i++) {
        tn_type other = result_type(c, &otherwise, i);
        if (!match(c, "result", i, &then, &other, &c->results[i], "comes from the other branch")) return false;
        for (int k = 0; k < other.rank; k++)
            c->results[i].dims[k] = rule_merge(c, c->results[i].dims[k], other.dims[k]);
    }
    return true;
}

bool rule_while(rule_args *c) {
    callee cond, body;
    uint32_t used;
    tn_type flag = type_scalar(TN_BOOL);
    if (!open_callee(c, ATTR_cond, 0, &cond, &used) || !open_callee(c, ATTR_body, used, &body, &used) ||
        !check_symbol_count(c, used) || !check_arguments(c, &cond, c->types, c->n_operands) ||
        !check_arguments(c, &body, c->types, c->n_operands) || !check_result_count(c, &cond, 1) ||
        !check_result_count(c, &body, c->n_operands) || !rule_results(c, c->n_operands))
        return false;
    tn_type condition = result_type(c, &cond, 0);
    if (!match(c, "result", 0, &cond, &flag, &condition, "is wanted")) return false;
    for (uint32_t i = 0; i < c->n_operands; i++) {
        tn_type next = result_type(c, &body, i);
        c->results[i] = c->types[i];
        if (!match(c, "result", i, &body, &c->types[i], &next, "is carried")) return false;
    }
    return true;
}

/* The arguments of a scan's body: carried values as they are, sequences without axis 0. */
static tn_type *body_arguments(rule_args *c, uint32_t carried, tn_dim length) {
    char a[RULE_TEXT], b[RULE_TEXT], d[RULE_TEXT];
    tn_type *types = ARENA_ARRAY(&c->graph->module->memory, tn_type, c->n_operands ? c->n_operands : 1);
    if (!types) module_no_memory(c->graph->module);
    for (uint32_t i = 0; types && i < c->n_operands; i++) {
        types[i] = c->types[i];
        if (i < carried) continue;
        if (types[i].rank == 0 || types[i].dtype == TN_TOKEN) {
            rule_error(c, TN_ERR_SHAPE, "a sequence must have an axis 0: %s", rule_operand(c, i, a));
            return NULL;
        }
        if (!graph_require_equal(c->graph, types[i].dims[0], length, c->op, c->where)) {
            rule_error(c, TN_ERR_SHAPE, "a sequence must have %s elements: %s (%s is not %s)",
                       rule_dim_text(c, length, b), rule_operand(c, i, a), rule_dim_text(c, types[i].dims[0], d), b);
            return NULL;
        }
        types[i] = type_make((tn_dtype)types[i].dtype, types[i].rank - 1, c->types[i].dims + 1);
    }
    return types;
}

bool rule_scan(rule_args *c) {
    callee body;
    uint32_t used;
    int64_t n_carried = attr_int(&c->attrs, ATTR_carried, 0);
    tn_dim length = attr_find(&c->attrs, ATTR_length)->dim;
    if (n_carried < 0 || n_carried > (int64_t)c->n_operands)
        return rule_error(c, TN_ERR_ARGUMENT, "carried is %lld, but there are %u operands", (long long)n_carried,
                          (unsigned)c->n_operands);
    uint32_t carried = (uint32_t)n_carried;
    if (!rule_extent(c, "length", length) || !open_callee(c, ATTR_body, 0, &body, &used) ||
        !check_symbol_count(c, used))
        return false;
    if (body.g->n_results < carried)
        return rule_error(c, TN_ERR_ARGUMENT, "@%s has %zu results, but %u values are carried", body.g->name,
                          body.g->n_results, (unsigned)carried);
    const tn_type *arguments = body_arguments(c, carried, length);
    if (!arguments || !check_arguments(c, &body, arguments, c->n_operands) || !take_results(c, &body)) return false;
    for (uint32_t i = 0; i < c->n_results; i++) {
        tn_type *type = &c->results[i];
        if (i < carried) {
            if (!match(c, "result", i, &body, &c->types[i], type, "is carried")) return false;
            *type = c->types[i];
            continue;
        }
        if (type->rank == TN_MAX_RANK || type->dtype == TN_TOKEN)
            return rule_error(c, TN_ERR_LIMIT, "result %u of @%s cannot be stacked", (unsigned)i, body.g->name);
        for (int k = type->rank++; k > 0; k--) type->dims[k] = type->dims[k - 1];
        type->dims[0] = length;
    }
    return true;
}

bool rule_barrier(rule_args *c) {
    if (!rule_results(c, c->n_operands)) return false;
    for (uint32_t i = 0; i < c->n_operands; i++) c->results[i] = c->types[i];
    return true;
}

/* The result is what `dtype` and `shape` say, or has the first operand's type. */
bool rule_custom(rule_args *c) {
    const attr *dtype = attr_find(&c->attrs, ATTR_dtype);
    tn_type type;
    for (uint32_t i = 0; i < c->n_operands; i++)
        if (!rule_dtype(c, i, DTYPES_ANY)) return false;
    if (dtype) return rule_shape(c, ATTR_shape, (tn_dtype)dtype->i, &type) && rule_one_result(c, &type);
    if (c->n_operands > 0) return rule_one_result(c, &c->types[0]);
    return rule_error(c, TN_ERR_ARGUMENT, "has no operand to take its type from: give dtype and shape");
}

/* ---- Effects ---------------------------------------------------------------------------------- */

static bool effect(rule_args *c) {
    char a[RULE_TEXT];
    if (c->types[0].dtype != TN_TOKEN)
        return rule_error(c, TN_ERR_DTYPE, "the first operand must be a token: %s", rule_operand(c, 0, a));
    return rule_one_result(c, &c->types[0]);
}

bool rule_assert(rule_args *c) { return check_condition(c, 1) && effect(c); }
bool rule_print(rule_args *c) { return rule_dtype(c, 1, DTYPES_ANY) && effect(c); }
