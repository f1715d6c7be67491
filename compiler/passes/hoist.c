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
 * A node is movable when it is pure and all it reads is known at load time. Views move only
 * with work that reads them: as views they cost main nothing.
 */
#include "compiler/passes/passes.h"

#include <string.h>

enum { DEFAULT_GROWTH = 4, SMALL_BYTES = 64 };

typedef struct hoister {
    tn_graph *main, *prepare;
    bool *known; /* of each node of main: at load time */
    bool *asked; /* what stays in main reads its results */
    bool *moves; /* its results become weights of main */
    const pass_options *options;
    value_id *inner;  /* value of main to value of prepare */
    size_t n_weights; /* parameters of main before hoisting */
} hoister;

/* ---- What is known, what moves ---- */

static bool is_movable(tn_op op) {
    loop_class c = op_table[op].loop_class;
    if (op == TN_OP_barrier) return true; /* what others have packed */
    return c != CLASS_CONTROL && c != CLASS_EFFECT && c != CLASS_COMPOSITE && op != TN_OP_param && op != TN_OP_dim &&
           op != TN_OP_token;
}

static bool is_work(tn_op op) { return op_table[op].loop_class != CLASS_VIEW && op_table[op].loop_class != CLASS_LEAF; }

void find_known_at_load(const tn_graph *g, bool *known) {
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        if (n->op == TN_OP_param) {
            known[i] = g->params[attr_int(&n->attrs, ATTR_index, 0)].binding == BINDING_LOAD;
            continue;
        }
        known[i] = is_movable((tn_op)n->op);
        for (uint32_t k = 0; k < n->n_results; k++)
            known[i] &= type_is_static(g->module->dims, graph_type(g, n->first_result + k));
        for (uint32_t k = 0; k < n->n_operands; k++) known[i] &= known[g->values[n->operands[k]].node];
    }
}

static double bytes_of(const tn_graph *g, value_id v) {
    size_t bytes = 0;
    type_static_bytes(g->module->dims, graph_type(g, v), &bytes);
    return (double)bytes;
}

/* Of each node: bytes of the weights and constants that it is made from, shared ones counted each
 * time, at most all there are. */
double *find_origin_bytes(const tn_graph *g) {
    double *origin = tn_calloc(g->n_nodes + 1, sizeof *origin), all = 0;
    for (size_t i = 0; origin && i < g->n_nodes; i++)
        if (g->nodes[i].op == TN_OP_param || g->nodes[i].op == TN_OP_constant)
            all += origin[i] = bytes_of(g, g->nodes[i].first_result);
    for (size_t i = 0; origin && i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        for (uint32_t k = 0; k < n->n_operands; k++) origin[i] += origin[g->values[n->operands[k]].node];
        origin[i] = origin[i] < all ? origin[i] : all;
    }
    return origin;
}

bool hoist_accepts(const pass_options *o, double bytes, double origin) {
    return bytes <= (o->hoist_growth > 0 ? o->hoist_growth : DEFAULT_GROWTH) * (origin + SMALL_BYTES);
}

static bool grows(const hoister *h, size_t i, const double *origin) {
    const node *n = &h->main->nodes[i];
    for (uint32_t k = 0; k < n->n_results; k++)
        if (!hoist_accepts(h->options, bytes_of(h->main, n->first_result + k), origin[i])) return true;
    return false;
}

static void ask_operands(const tn_graph *g, const node *n, bool *asked) {
    for (uint32_t k = 0; k < n->n_operands; k++) asked[g->values[n->operands[k]].node] = true;
}

/* The frontier: known values that nodes known only at run time read. Views among them, and what
 * would grow, are followed to the work that makes them. */
static bool find_moves(hoister *h) {
    const tn_graph *g = h->main;
    double *origin = find_origin_bytes(g);
    bool *asked = h->asked, ok = origin != NULL;
    for (size_t r = 0; ok && r < g->n_results; r++) asked[g->values[g->results[r].value].node] = true;
    for (size_t i = g->n_nodes; ok && i-- > 0;) {
        const node *n = &g->nodes[i];
        if (h->known[i] && (!asked[i] || n->op == TN_OP_param || n->op == TN_OP_constant)) continue;
        if (h->known[i] && is_work((tn_op)n->op) && !grows(h, i, origin))
            h->moves[i] = true;
        else
            ask_operands(g, n, asked);
    }
    tn_free(origin);
    return ok;
}

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

/* Copies what moves and all that it needs. */
static bool copy_needed(hoister *h, bool *needed) {
    const tn_graph *g = h->main;
    for (size_t i = g->n_nodes; i-- > 0;) {
        needed[i] |= h->moves[i];
        if (needed[i]) ask_operands(g, &g->nodes[i], needed);
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (needed[i] && g->nodes[i].op != TN_OP_param && !graph_copy_node(h->prepare, g, &g->nodes[i], h->inner))
            return false;
    return true;
}

static bool make_prepare(hoister *h) {
    const tn_graph *g = h->main;
    bool *needed = tn_calloc(g->n_nodes + 1, sizeof *needed);
    bool ok = needed && start_prepare(h) && copy_needed(h, needed);
    for (size_t i = 0; ok && i < g->n_nodes; i++)
        for (uint32_t k = 0; ok && h->moves[i] && k < g->nodes[i].n_results; k++) {
            value_id v = g->nodes[i].first_result + k;
            char *name = packed_name(h, v);
            ok = name && graph_add_result(h->prepare, name, h->inner[v], -1);
        }
    tn_free(needed);
    return ok;
}

/* ---- main ---- */

static bool hoist_node(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    hoister *h = ctx;
    size_t i = (size_t)(n - from->nodes);
    if (h->known[i] && !h->asked[i]) return true; /* what only moved work read */
    if (!h->moves[i]) return graph_copy_node(to, from, n, map);
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
    for (size_t i = 0; i < from->n_symbols; i++) {
        const symbol *s = &from->symbols[i];
        if (!graph_add_symbol(to, s->dim, s->low, s->high, s->divisor)) return false;
    }
    for (size_t i = 0; i < from->n_params; i++) {
        const param *p = &from->params[i];
        if (p->binding == BINDING_LOAD && uses[p->value] == 0) continue;
        param_of[i] = (int32_t)to->n_params;
        map[p->value] = graph_add_param(to, p->name, graph_type(from, p->value), p->binding);
        if (map[p->value] == VALUE_NONE) return false;
        to->params[param_of[i]].initial = p->initial;
        to->values[map[p->value]].name = from->values[p->value].name;
    }
    for (size_t i = 0; i < from->n_constraints; i++) {
        const constraint *c = &from->constraints[i];
        if (!graph_add_constraint(to, c->relation, c->a, c->b, (tn_op)c->op, c->locations)) return false;
    }
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
    hoister h = {.main = g, .n_weights = g->n_params, .options = o};
    h.known = tn_calloc(g->n_nodes + 1, sizeof *h.known);
    h.asked = tn_calloc(g->n_nodes + 1, sizeof *h.asked);
    h.moves = tn_calloc(g->n_nodes + 1, sizeof *h.moves);
    h.inner = tn_malloc((g->n_values + 1) * sizeof *h.inner);
    bool ok = h.known && h.asked && h.moves && h.inner;
    if (ok) {
        memset(h.inner, 0xff, (g->n_values + 1) * sizeof *h.inner);
        find_known_at_load(g, h.known);
        ok = find_moves(&h);
        if (ok && any(h.moves, g->n_nodes))
            ok = make_prepare(&h) && graph_rebuild(g, true, hoist_node, &h) && drop_unread_weights(g);
    }
    tn_free(h.known);
    tn_free(h.asked);
    tn_free(h.moves);
    tn_free(h.inner);
    return ok || module_error(m, TN_ERR_MEMORY, LOCATION_NONE, "out of memory while hoisting");
}
