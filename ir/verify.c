/* The verifier: the structure of a module.
 *
 * in:  a module, of which nothing is taken for granted but that its arrays can be read
 * out: TN_OK, or the first violation as place, rule and message
 * law: checks in an order in which each may rely on those before; the module is not changed
 *
 * The rules, as messages spell them:
 *   module      names of functions are there and unique
 *   calls       function attributes name functions of the module; calls form no cycle
 *   values      results of nodes are numbered in order, each value knows its node
 *   order       operands are results of nodes before
 *   operands    as many as the op's row says
 *   attributes  those of the op's row, each once, in order, with legal values
 *   parameters  each has its one `param` node
 *   symbols     dims are made of symbols that the function declares
 *   tokens      each is used once at most
 *   results     are values of the function, with names of their own
 * and from ir/verify_rules.c
 *   rule        the op's own rule holds
 *   types       are what the rule infers
 *   interning   no pure node stands twice
 *   constraints what the rules could not prove is recorded
 *   effects     has_effects and depth are what the nodes say
 */
#include "ir/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Messages ----------------------------------------------------------------------------------- */

bool verify_no_memory(verifier *v) {
    if (v->status != TN_OK) return false;
    v->status = TN_ERR_MEMORY;
    *v->diag = (tn_diag){.status = TN_ERR_MEMORY};
    snprintf(v->diag->message, sizeof v->diag->message, "out of memory");
    return false;
}

bool verify_error(verifier *v, const node *n, const char *rule, const char *format, ...) {
    if (v->status != TN_OK) return false;
    tn_diag *d = v->diag;
    tn_location place = {NULL, 0};
    v->status = TN_ERR_VERIFY;
    if (n) location_items(v->module, n->locations, 1, &place);
    *d = (tn_diag){.status = TN_ERR_VERIFY, .file = place.file, .line = place.line};
    size_t room = sizeof d->message, used = 0;
    if (v->graph) used += (size_t)snprintf(d->message, room, "@%.100s", v->graph->name ? v->graph->name : "?");
    if (n && v->graph)
        used += (size_t)snprintf(d->message + used, room - used, ", node %zu (%s)", (size_t)(n - v->graph->nodes),
                                 op_name((tn_op)n->op));
    used += (size_t)snprintf(d->message + used, room - used, "%s%s: ", used ? ": " : "", rule);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(d->message + used, room - used, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- Calls ----------------------------------------------------------------------------------------- */

static int by_address(const void *x, const void *y) {
    uintptr_t a = (uintptr_t)*(tn_graph *const *)x, b = (uintptr_t)*(tn_graph *const *)y;
    return a < b ? -1 : a > b;
}

static int by_name(const void *x, const void *y) {
    return strcmp((*(tn_graph *const *)x)->name, (*(tn_graph *const *)y)->name);
}

static bool check_names(verifier *v, tn_graph **sorted, size_t n) {
    qsort(sorted, n, sizeof *sorted, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            return verify_error(v, NULL, "module", "two functions are called @%.100s", sorted[i]->name);
    return true;
}

static bool check_module(verifier *v, tn_graph **sorted) {
    const tn_module *m = v->module;
    if (!m->name) return verify_error(v, NULL, "module", "it has no name");
    for (size_t i = 0; i < m->n_graphs; i++) {
        if (!m->graphs[i]->name) return verify_error(v, NULL, "module", "function %zu has no name", i);
        if (m->graphs[i]->module != m)
            return verify_error(v, NULL, "module", "@%.100s says it is of another module", m->graphs[i]->name);
        sorted[i] = m->graphs[i];
    }
    return check_names(v, sorted, m->n_graphs);
}

/* The functions in order of their addresses, and what is known of each. */
typedef struct call_walk {
    tn_graph **sorted;
    uint8_t *state;
    size_t n;
} call_walk;

static bool find_graph(const call_walk *w, const tn_graph *g, size_t *i) {
    tn_graph **found = bsearch(&g, w->sorted, w->n, sizeof *w->sorted, by_address);
    *i = found ? (size_t)(found - w->sorted) : 0;
    return found != NULL;
}

/* Depth first; state 1: under way, 2: done. */
static bool check_calls_of(verifier *v, const call_walk *w, size_t i, int depth) {
    const tn_graph *g = w->sorted[i];
    w->state[i] = 1;
    for (size_t k = 0; k < g->n_nodes; k++) {
        const node *n = &g->nodes[k];
        for (uint32_t a = 0; a < n->attrs.n; a++) {
            size_t callee;
            const attr *item = &n->attrs.items[a];
            v->graph = g;
            if (item->name >= ATTR_COUNT || attr_kind_of(item->name) != ATTR_KIND_FUNC) continue;
            if (!find_graph(w, item->func, &callee))
                return verify_error(v, n, "calls", "%s is no function of the module", attr_name_text(item->name));
            if (w->state[callee] == 1)
                return verify_error(v, n, "calls", "@%.100s calls itself, here or further down", item->func->name);
            if (depth >= GRAPH_MAX_DEPTH)
                return verify_error(v, n, "calls", "they nest deeper than %d", GRAPH_MAX_DEPTH);
            if (w->state[callee] == 0 && !check_calls_of(v, w, callee, depth + 1)) return false;
        }
    }
    w->state[i] = 2;
    return true;
}

static bool check_calls(verifier *v, tn_graph **sorted) {
    size_t n = v->module->n_graphs, at;
    call_walk w = {sorted, tn_calloc(n + 1, 1), n};
    bool ok = w.state ? true : verify_no_memory(v);
    qsort(sorted, n, sizeof *sorted, by_address);
    for (size_t i = 0; ok && i < n; i++)
        if (find_graph(&w, v->module->graphs[i], &at) && w.state[at] == 0) ok = check_calls_of(v, &w, at, 0);
    tn_free(w.state);
    return ok;
}

static bool check_functions(verifier *v) {
    tn_graph **sorted = tn_malloc((v->module->n_graphs + 1) * sizeof *sorted);
    bool ok = sorted ? check_module(v, sorted) && check_calls(v, sorted) : verify_no_memory(v);
    tn_free(sorted);
    return ok;
}

/* ---- Dims and types ----------------------------------------------------------------------------------- */

static bool leaf_is_declared(void *ctx, tn_dim leaf) {
    const tn_graph *g = ctx;
    for (size_t i = 0; i < g->n_symbols; i++)
        if (g->symbols[i].dim == leaf) return true;
    return false;
}

static bool check_dim(verifier *v, const node *n, const char *what, tn_dim d) {
    const dim_table *t = v->module->dims;
    if (!dim_is_valid(t, d)) return verify_error(v, n, "symbols", "%s is no dim of the module", what);
    if (dim_is_const(t, d, NULL) || dim_visit_leaves(t, d, leaf_is_declared, (void *)v->graph)) return true;
    char text[200];
    dim_print(t, d, text, sizeof text);
    return verify_error(v, n, "symbols", "%s is %s, with a symbol that no parameter has", what, text);
}

static bool check_type(verifier *v, const node *n, const char *what, const tn_type *type) {
    if (type->dtype > TN_TOKEN || type->rank > TN_MAX_RANK)
        return verify_error(v, n, "types", "%s has no valid type", what);
    for (int axis = 0; axis < type->rank; axis++)
        if (!check_dim(v, n, what, type->dims[axis])) return false;
    return true;
}

static bool check_symbols(verifier *v) {
    const tn_graph *g = v->graph;
    for (size_t i = 0; i < g->n_symbols; i++) {
        const symbol *s = &g->symbols[i];
        const char *name = dim_symbol_name(v->module->dims, s->dim);
        if (!name) return verify_error(v, NULL, "symbols", "symbol %zu has no name", i);
        for (size_t k = 0; k < i; k++)
            if (g->symbols[k].dim == s->dim) return verify_error(v, NULL, "symbols", "%s is declared twice", name);
        if (s->low < 0 || s->high < s->low || s->divisor < 1)
            return verify_error(v, NULL, "symbols", "no size satisfies the bounds of %s", name);
    }
    for (size_t i = 0; i < g->n_constraints; i++) {
        const constraint *c = &g->constraints[i];
        if ((unsigned)c->relation > RELATION_DIVIDES || c->op >= TN_OP_COUNT)
            return verify_error(v, NULL, "constraints", "constraint %zu is none", i);
        if (!check_dim(v, NULL, "a constraint", c->a) || !check_dim(v, NULL, "a constraint", c->b)) return false;
    }
    return true;
}

/* ---- Nodes ------------------------------------------------------------------------------------------------ */

static bool check_operands(verifier *v, const node *n) {
    const op_info *info = &op_table[n->op];
    if (n->n_operands < (uint32_t)info->min_operands || n->n_operands > (uint32_t)info->max_operands)
        return verify_error(v, n, "operands", "there are %u", (unsigned)n->n_operands);
    for (uint32_t i = 0; i < n->n_operands; i++)
        if (n->operands[i] >= n->first_result)
            return verify_error(v, n, "order", "operand %u is defined here or later", (unsigned)i);
    return true;
}

static bool check_results(verifier *v, const node *n, size_t *next) {
    const tn_graph *g = v->graph;
    if (n->first_result != *next || n->n_results > g->n_values - *next)
        return verify_error(v, n, "values", "its results are numbered from %u, not %zu", (unsigned)n->first_result,
                            *next);
    for (uint32_t i = 0; i < n->n_results; i++) {
        const value *item = &g->values[*next + i];
        if (item->node != (size_t)(n - g->nodes) || item->result != i)
            return verify_error(v, n, "values", "result %u does not know its node", (unsigned)i);
        if (!check_type(v, n, "a result", &item->type)) return false;
    }
    *next += n->n_results;
    return true;
}

static bool check_dims(verifier *v, const node *n, const attr *a) {
    for (uint32_t i = 0; i < a->dims.n; i++)
        if (!check_dim(v, n, attr_name_text(a->name), a->dims.items[i])) return false;
    return true;
}

static bool check_data(verifier *v, const node *n, const tensor_data *data) {
    size_t bytes;
    if (!data || data->type.dtype >= TN_DTYPE_COUNT || data->type.rank > TN_MAX_RANK)
        return verify_error(v, n, "attributes", "the constant has no valid type");
    for (int axis = 0; axis < data->type.rank; axis++)
        if (!dim_is_valid(v->module->dims, data->type.dims[axis]))
            return verify_error(v, n, "attributes", "the constant has no valid type");
    if (!type_static_bytes(v->module->dims, &data->type, &bytes) || bytes != data->bytes || (bytes && !data->data))
        return verify_error(v, n, "attributes", "the constant has %zu bytes, which its type has not", data->bytes);
    return true;
}

static bool check_attr(verifier *v, const node *n, const attr *a) {
    const char *name = attr_name_text(a->name);
    switch (attr_kind_of(a->name)) {
    case ATTR_KIND_ENUM:
        return attr_option(a->name, a->i) || verify_error(v, n, "attributes", "%s has no such option", name);
    case ATTR_KIND_DTYPE:
        return (a->i >= 0 && a->i < TN_DTYPE_COUNT) || verify_error(v, n, "attributes", "%s is no dtype", name);
    case ATTR_KIND_DIM: return check_dim(v, n, name, a->dim);
    case ATTR_KIND_DIMS: return check_dims(v, n, a);
    case ATTR_KIND_PAIR:
        return a->split <= a->ints.n || verify_error(v, n, "attributes", "%s is split past its end", name);
    case ATTR_KIND_TEXT: return a->text || verify_error(v, n, "attributes", "%s is no text", name);
    case ATTR_KIND_DATA: return check_data(v, n, a->data);
    default: return true; /* functions: see check_calls */
    }
}

static bool check_attrs(verifier *v, const node *n) {
    const op_info *info = &op_table[n->op];
    for (uint32_t i = 0; i < n->attrs.n; i++) {
        const attr *a = &n->attrs.items[i];
        bool allowed = false;
        if (a->name >= ATTR_COUNT)
            return verify_error(v, n, "attributes", "no attribute has the number %u", (unsigned)a->name);
        for (uint32_t k = 0; k < info->n_attrs; k++) allowed |= info->attrs[k].name == a->name;
        if (!allowed) return verify_error(v, n, "attributes", "it takes no %s", attr_name_text(a->name));
        if (i && n->attrs.items[i - 1].name >= a->name)
            return verify_error(v, n, "attributes", "they are not in order, or one is there twice");
        if (!check_attr(v, n, a)) return false;
    }
    for (uint32_t k = 0; k < info->n_attrs; k++)
        if (info->attrs[k].required && !attr_find(&n->attrs, info->attrs[k].name))
            return verify_error(v, n, "attributes", "%s is missing", attr_name_text(info->attrs[k].name));
    return true;
}

static bool check_nodes(verifier *v) {
    const tn_graph *g = v->graph;
    size_t next = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        if (n->op >= TN_OP_COUNT) return verify_error(v, n, "operands", "no op has the number %u", n->op);
        if (!check_results(v, n, &next) || !check_operands(v, n) || !check_attrs(v, n)) return false;
    }
    return next == g->n_values || verify_error(v, NULL, "values", "%zu of them have no node", g->n_values - next);
}

/* ---- Parameters, results, tokens ------------------------------------------------------------------------------ */

static bool check_params(verifier *v) {
    const tn_graph *g = v->graph;
    size_t n_param_nodes = 0;
    for (size_t i = 0; i < g->n_nodes; i++) n_param_nodes += g->nodes[i].op == TN_OP_param;
    if (n_param_nodes != g->n_params)
        return verify_error(v, NULL, "parameters", "%zu for %zu `param` nodes", g->n_params, n_param_nodes);
    for (size_t i = 0; i < g->n_params; i++) {
        const param *p = &g->params[i];
        if (p->value >= g->n_values || graph_node_of(g, p->value)->op != TN_OP_param ||
            attr_int(&graph_node_of(g, p->value)->attrs, ATTR_index, 0) != (int64_t)i)
            return verify_error(v, NULL, "parameters", "the node of parameter %zu is not its own", i);
        const node *n = graph_node_of(g, p->value);
        if (!type_equal(&p->type, graph_type(g, p->value)))
            return verify_error(v, n, "parameters", "parameter and value have different types");
        if (!p->name || !*p->name) return verify_error(v, n, "parameters", "parameter %zu has no name", i);
        if ((unsigned)p->binding > BINDING_STATE)
            return verify_error(v, n, "parameters", "%.100s has no binding", p->name);
        if (p->initial && (!check_data(v, n, p->initial) || !type_equal(&p->initial->type, &p->type)))
            return verify_error(v, n, "parameters", "the initial values of %.100s have another type", p->name);
    }
    return true;
}

static bool check_returned(verifier *v) {
    const tn_graph *g = v->graph;
    for (size_t i = 0; i < g->n_results; i++) {
        const result *r = &g->results[i];
        if (r->value >= g->n_values) return verify_error(v, NULL, "results", "result %zu is no value", i);
        if (!r->name || !*r->name) return verify_error(v, NULL, "results", "result %zu has no name", i);
        if (r->state_param >= (int64_t)g->n_params || r->state_param < -1)
            return verify_error(v, NULL, "results", "result %zu updates no parameter", i);
    }
    return true;
}

static bool check_tokens(verifier *v) {
    const tn_graph *g = v->graph;
    uint32_t *uses = graph_count_uses(g);
    if (!uses) return verify_no_memory(v);
    size_t twice = g->n_values;
    for (size_t i = g->n_values; i-- > 0;)
        if (g->values[i].type.dtype == TN_TOKEN && uses[i] > 1) twice = i;
    tn_free(uses);
    if (twice == g->n_values) return true;
    return verify_error(v, graph_node_of(g, (value_id)twice), "tokens", "its token is used more than once");
}

static bool check_graph(verifier *v, const tn_graph *g) {
    v->graph = g;
    bool ok = check_symbols(v) && check_nodes(v) && check_params(v) && check_returned(v) && check_tokens(v);
    if (ok) v->graph = NULL;
    return ok;
}

tn_status tn_module_verify(const tn_module *m, tn_diag *diag) {
    tn_diag own;
    verifier v = {.module = m, .diag = diag ? diag : &own};
    *v.diag = (tn_diag){.status = TN_OK};
    if (!m) {
        verify_error(&v, NULL, "module", "there is none");
        return v.status;
    }
    if (m->error.status != TN_OK) {
        *v.diag = m->error;
        return m->error.status;
    }
    bool ok = check_functions(&v);
    v.graph = NULL;
    for (size_t i = 0; ok && i < m->n_graphs; i++) ok = check_graph(&v, m->graphs[i]);
    if (ok) verify_rules(&v);
    return v.status;
}
