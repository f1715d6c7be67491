/* Lift: work on weights alone leaves the functions that main calls.
 *
 * in:  functions of primitives
 * out: the same; what loops, branches and other callees compute of weights and constants alone, their callers
 *      compute for them and give them as parameters, up to main, where hoist finds it
 * law: main computes what it did. A function that several nodes name stays as it is
 *
 * Callees first, so that what leaves an inner function goes on from the next. A loop carries what it is given, and
 * returns it as it was; both branches of an `if` take what either needs.
 */
#include "compiler/passes/passes.h"

#include <string.h>

enum { MOST_CALLEES = 2 };

/* A function that the node at hand names. */
typedef struct callee {
    tn_graph *g;
    load_time what;
} callee;

/* What a node's callees are given in addition: values of the caller. */
typedef struct additions {
    value_id *values;
    uint32_t n, at; /* `at`: the place among the parameters, and for loops among the results */
    bool is_loop;
} additions;

typedef struct lifter {
    const module_load_time *all;
    const pass_options *o;
} lifter;

/* ---- What there is to lift ---- */

static uint32_t count_moves(const callee *c) {
    uint32_t n = 0;
    for (size_t i = 0; i < c->g->n_nodes; i++) n += c->what.moves[i] ? c->g->nodes[i].n_results : 0;
    return n;
}

static bool find_callees(const lifter *l, const node *n, callee *callees, uint32_t *count) {
    for (uint32_t k = 0; k < n->attrs.n; k++) {
        const attr *a = &n->attrs.items[k];
        if (attr_kind_of((attr_name)a->name) != ATTR_KIND_FUNC) continue;
        const function_load_time *known = &l->all->of[module_number_of(l->all->m, a->func)];
        if (!known->is_reached || *count == MOST_CALLEES) return true;
        callee *c = &callees[(*count)++];
        c->g = a->func;
        if (!load_time_find(&c->what, c->g, known->params, l->o)) return false;
    }
    return true;
}

/* Copies what moves out of a callee to the caller `to`; its values go behind the additions there are. */
static bool copy_moves(const callee *c, const node *n, tn_graph *to, const value_id *operands, additions *more) {
    value_id *map = tn_malloc((c->g->n_values + 1) * sizeof *map);
    if (!map) return module_no_memory(to->module);
    memset(map, 0xff, (c->g->n_values + 1) * sizeof *map);
    for (uint32_t i = 0; i < c->g->n_params; i++) {
        uint32_t operand = callee_operand(n, i);
        if (operand != UINT32_MAX) map[c->g->params[i].value] = operands[n->operands[operand]];
    }
    bool ok = load_time_copy_moves(&c->what, to, c->g, map);
    for (size_t i = 0; ok && i < c->g->n_nodes; i++)
        for (uint32_t k = 0; c->what.moves[i] && k < c->g->nodes[i].n_results; k++)
            more->values[more->n++] = map[c->g->nodes[i].first_result + k];
    tn_free(map);
    return ok;
}

/* ---- The callees anew ---- */

static bool is_taken(const tn_graph *g, const char *name) {
    for (size_t i = 0; i < g->n_params; i++)
        if (strcmp(g->params[i].name, name) == 0) return true;
    for (size_t i = 0; i < g->n_results; i++)
        if (strcmp(g->results[i].name, name) == 0) return true;
    return false;
}

/* For addition k: none that the callee has already. */
static const char *new_name(const tn_graph *g, uint32_t k) {
    arena *memory = &g->module->memory;
    char *name = arena_printf(memory, "lifted.%u", (unsigned)k);
    while (name && is_taken(g, name)) name = arena_printf(memory, "%s_", name);
    return name;
}

/* Parameters as they were with the additions among them; map[] gets both the old ones and, from number `first` of the
 * additions on, the values that move out. */
static bool copy_params(const callee *c, tn_graph *to, const additions *more, const tn_graph *caller, uint32_t first,
                        value_id *map, value_id *added) {
    for (uint32_t i = 0; i <= c->g->n_params; i++) {
        for (uint32_t k = 0; i == more->at && k < more->n; k++) {
            added[k] = graph_add_param(to, new_name(c->g, k), graph_type(caller, more->values[k]), BINDING_RUN);
            if (added[k] == VALUE_NONE) return false;
        }
        if (i == c->g->n_params) break;
        const param *p = &c->g->params[i];
        map[p->value] = graph_add_param(to, p->name, &p->type, p->binding);
        if (map[p->value] == VALUE_NONE) return false;
        to->values[map[p->value]].name = c->g->values[p->value].name;
    }
    for (size_t i = 0; i < c->g->n_nodes; i++)
        for (uint32_t k = 0; c->what.moves[i] && k < c->g->nodes[i].n_results; k++)
            map[c->g->nodes[i].first_result + k] = added[first++];
    return true;
}

static bool copy_rest(const callee *c, tn_graph *to, const additions *more, const value_id *map, const value_id *added,
                      bool returns_more) {
    for (uint32_t r = 0; r <= c->g->n_results; r++) {
        for (uint32_t k = 0; returns_more && r == more->at && k < more->n; k++)
            if (!graph_add_result(to, new_name(c->g, k), added[k], -1)) return false;
        if (r == c->g->n_results) break;
        const result *old = &c->g->results[r];
        if (!graph_add_result(to, old->name, map[old->value], old->state_param)) return false;
    }
    return true;
}

static bool copy_nodes(const callee *c, tn_graph *to, value_id *map) {
    for (size_t i = 0; i < c->g->n_nodes; i++) {
        const node *n = &c->g->nodes[i];
        bool is_gone = c->what.moves[i] || (c->what.known[i] && !c->what.asked[i]);
        if (n->op != TN_OP_param && !is_gone && !graph_copy_node(to, c->g, n, map)) return false;
    }
    return true;
}

/* `first`: number of the first addition that is the callee's own. */
static bool renew(const callee *c, const additions *more, const tn_graph *caller, uint32_t first, bool returns_more) {
    tn_graph *g = c->g, *to = module_add_graph(g->module, g->name);
    value_id *map = tn_malloc((g->n_values + 1) * sizeof *map), *added = tn_malloc((more->n + 1) * sizeof *added);
    bool ok = to && map && added;
    if (ok) memset(map, 0xff, (g->n_values + 1) * sizeof *map);
    ok = ok && graph_copy_symbols(to, g) && copy_params(c, to, more, caller, first, map, added) &&
         graph_copy_constraints(to, g) && copy_nodes(c, to, map) && copy_rest(c, to, more, map, added, returns_more);
    if (ok) graph_take_content(g, to);
    tn_free(map);
    tn_free(added);
    return ok || module_no_memory(g->module);
}

/* ---- The node anew ---- */

static bool apply_with(tn_graph *to, const node *n, const additions *more, value_id *map) {
    uint32_t at = more->at + (n->op == TN_OP_if), n_operands = n->n_operands + more->n, n_results;
    value_id *operands = tn_malloc(n_operands * sizeof *operands), first;
    attr *attrs = tn_malloc(n->attrs.n * sizeof *attrs);
    bool ok = operands && attrs;
    for (uint32_t i = 0; ok && i < n->n_operands; i++) operands[i < at ? i : i + more->n] = map[n->operands[i]];
    for (uint32_t i = 0; ok && i < more->n; i++) operands[at + i] = more->values[i];
    for (uint32_t i = 0; ok && i < n->attrs.n; i++) {
        attrs[i] = n->attrs.items[i];
        if (attrs[i].name == ATTR_carried) attrs[i].i += more->n;
    }
    ok = ok &&
         graph_apply(to, n->locations, (tn_op)n->op, operands, n_operands, attrs, n->attrs.n, &first, 1, &n_results);
    for (uint32_t i = 0; ok && i < n->n_results; i++)
        map[n->first_result + i] = first + (more->is_loop && i >= more->at ? i + more->n : i);
    tn_free(operands);
    tn_free(attrs);
    return ok || module_no_memory(to->module);
}

static uint32_t place_of_additions(const node *n) {
    if (n->op == TN_OP_scan) return (uint32_t)attr_int(&n->attrs, ATTR_carried, 0);
    return n->n_operands - (n->op == TN_OP_if);
}

static bool lift_from(callee *callees, uint32_t count, tn_graph *to, const node *n, value_id *map, additions *more) {
    uint32_t first[MOST_CALLEES + 1] = {0};
    for (uint32_t k = 0; k < count; k++) {
        if (!copy_moves(&callees[k], n, to, map, more)) return false;
        first[k + 1] = more->n;
    }
    for (uint32_t k = 0; k < count; k++) {
        const attr *body = attr_find(&n->attrs, ATTR_body);
        if (!renew(&callees[k], more, to, first[k], body && body->func == callees[k].g)) return false;
    }
    return apply_with(to, n, more, map);
}

static uint32_t count_functions(const node *n) {
    uint32_t count = 0;
    for (uint32_t k = 0; k < n->attrs.n; k++)
        count += attr_kind_of((attr_name)n->attrs.items[k].name) == ATTR_KIND_FUNC;
    return count;
}

static bool lift_node(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    callee callees[MOST_CALLEES] = {0};
    uint32_t count = 0, n_moves = 0;
    bool ok = find_callees(ctx, n, callees, &count);
    for (uint32_t k = 0; ok && k < count; k++) n_moves += count_moves(&callees[k]);
    if (ok && n_moves > 0 && count == count_functions(n)) {
        additions more = {.values = tn_malloc(n_moves * sizeof *more.values),
                          .at = place_of_additions(n),
                          .is_loop = n->op == TN_OP_scan || n->op == TN_OP_while};
        ok = more.values ? lift_from(callees, count, to, n, map, &more) : module_no_memory(to->module);
        tn_free(more.values);
    } else
        ok = ok && graph_copy_node(to, from, n, map);
    for (uint32_t k = 0; k < count; k++) load_time_free(&callees[k].what);
    return ok;
}

bool pass_lift(tn_module *m, const pass_options *o) {
    if (module_find(m, "prepare")) return true;
    module_load_time all;
    if (!module_load_time_find(&all, m)) return false;
    lifter l = {&all, o};
    bool ok = true;
    for (size_t i = 0; ok && i < all.n; i++) ok = graph_rebuild(m->graphs[all.order[i]], true, lift_node, &l) != NULL;
    module_load_time_free(&all);
    return ok;
}
