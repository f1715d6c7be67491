/* Hoist: work on weights alone moves to `prepare`.
 *
 * in:  a module whose function main has weights (parameters bound at load time) or constants
 *      too large to fold
 * out: main with the results of that work as its weights, and of the raw ones those that it still
 *      reads; a function `prepare` from the raw weights to them, run once for each set of weights
 * law: main computes what it did; a packed weight has at most `hoist_growth` times the bytes
 *      of what it is made from, else its last node stays in main (a dequantisation belongs in
 *      the kernel that reads it)
 *
 * What is known at load time and what of it moves: load_time.c.
 */
#include "compiler/passes/passes.h"
#include "runtime/fault.h"

#include <string.h>

typedef struct hoister {
    tn_graph *main, *prepare;
    load_time what;   /* of main */
    value_id *inner;  /* value of main to value of prepare */
    size_t n_weights; /* parameters of main before hoisting */
} hoister;

/* ---- prepare ---- */

/* Every weight of main is a parameter of prepare, used or not: the raw weights of the program. */
static bool start_prepare(hoister *h) {
    tn_graph *g = h->main;
    h->prepare = module_add_graph(g->module, "prepare");
    if (!h->prepare) return false;
    for (size_t i = 0; i < g->n_params; i++) {
        const param *p = &g->params[i];
        if (p->binding != BINDING_LOAD) continue;
        h->inner[p->value] = graph_add_param(h->prepare, p->name, graph_type(g, p->value), BINDING_RUN);
        if (h->inner[p->value] == VALUE_NONE) return false;
        h->prepare->params[h->prepare->n_params - 1].initial = p->initial;
    }
    return true;
}

/* A name for v as a weight: none of main's own. */
static char *packed_name(hoister *h, value_id v) {
    arena *memory = &h->main->module->memory;
    char *name = arena_printf(memory, "packed.%u", (unsigned)v);
    for (size_t i = 0; name && i < h->n_weights; i++)
        if (strcmp(name, h->main->params[i].name) == 0) {
            name = arena_printf(memory, "%s_", name);
            i = SIZE_MAX; /* from the first again */
        }
    return name;
}

static bool make_prepare(hoister *h) {
    const tn_graph *g = h->main;
    size_t n_moves;
    load_time_move *moves = load_time_moves(&h->what, g, &n_moves);
    bool ok = moves && start_prepare(h) && load_time_copy_moves(&h->what, h->prepare, g, h->inner);
    for (size_t i = 0; ok && i < n_moves; i++) {
        const node *n = &g->nodes[moves[i].node];
        for (uint32_t k = 0; ok && k < n->n_results; k++) {
            value_id v = n->first_result + k, other = g->nodes[moves[i ? i - 1 : n_moves - 1].node].first_result;
            bool errs = FAULT(hoist_order) && type_equal(graph_type(g, v), graph_type(g, other));
            char *name = packed_name(h, v);
            ok = name && graph_add_result(h->prepare, name, h->inner[errs ? other : v], -1);
        }
    }
    tn_free(moves);
    return ok;
}

/* ---- main ---- */

static bool hoist_node(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    hoister *h = ctx;
    size_t i = (size_t)(n - from->nodes);
    if (h->what.known[i] && !h->what.asked[i]) return true; /* what only moved work read */
    if (!h->what.moves[i]) return graph_copy_node(to, from, n, map);
    for (uint32_t k = 0; k < n->n_results; k++) {
        char *name = packed_name(h, n->first_result + k);
        if (!name) return false;
        map[n->first_result + k] = graph_add_param(to, name, graph_type(from, n->first_result + k), BINDING_LOAD);
        if (map[n->first_result + k] == VALUE_NONE) return false;
    }
    return true;
}

/* ---- Raw weights that main does not read any more ---- */

static bool copy_without(tn_graph *to, const tn_graph *from, const uint32_t *uses, value_id *map, int32_t *param_of) {
    if (!graph_copy_symbols(to, from)) return false;
    for (size_t i = 0; i < from->n_params; i++) {
        const param *p = &from->params[i];
        if (p->binding == BINDING_LOAD && uses[p->value] == 0) continue;
        param_of[i] = (int32_t)to->n_params;
        map[p->value] = graph_add_param(to, p->name, graph_type(from, p->value), p->binding);
        if (map[p->value] == VALUE_NONE) return false;
        to->params[param_of[i]].initial = p->initial;
        to->values[map[p->value]].name = from->values[p->value].name;
    }
    if (!graph_copy_constraints(to, from)) return false;
    for (size_t i = 0; i < from->n_nodes; i++)
        if (from->nodes[i].op != TN_OP_param && !graph_copy_node(to, from, &from->nodes[i], map)) return false;
    for (size_t r = 0; r < from->n_results; r++) {
        int32_t state = from->results[r].state_param;
        if (!graph_add_result(to, from->results[r].name, map[from->results[r].value], state < 0 ? -1 : param_of[state]))
            return false;
    }
    return true;
}

static bool drop_unread_weights(tn_graph *g) {
    uint32_t *uses = graph_count_uses(g);
    value_id *map = tn_malloc((g->n_values + 1) * sizeof *map);
    int32_t *param_of = tn_malloc((g->n_params + 1) * sizeof *param_of);
    tn_graph *to = module_add_graph(g->module, g->name);
    bool ok = uses && map && param_of && to && copy_without(to, g, uses, map, param_of);
    if (ok) graph_take_content(g, to);
    tn_free(uses);
    tn_free(map);
    tn_free(param_of);
    return ok;
}

static bool any(const bool *flags, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (flags[i]) return true;
    return false;
}

bool pass_hoist(tn_module *m, const pass_options *o) {
    tn_graph *g = module_main(m);
    if (!g || module_find(m, "prepare")) return true;
    hoister h = {.main = g, .n_weights = g->n_params};
    h.inner = tn_malloc((g->n_values + 1) * sizeof *h.inner);
    bool ok = h.inner && load_time_find(&h.what, g, NULL, o);
    if (ok) {
        memset(h.inner, 0xff, (g->n_values + 1) * sizeof *h.inner);
        if (any(h.what.moves, g->n_nodes))
            ok = make_prepare(&h) && graph_rebuild(g, true, hoist_node, &h) && drop_unread_weights(g);
    }
    load_time_free(&h.what);
    tn_free(h.inner);
    return ok || module_error(m, TN_ERR_MEMORY, LOCATION_NONE, "out of memory while hoisting");
}
