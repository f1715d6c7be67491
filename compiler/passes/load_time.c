/* What is known at load time: what depends on weights and constants alone (see passes.h).
 *
 * in:  a function, and which of its parameters are known
 * out: its known nodes, and those of them that are work worth doing once
 * law: what moves is pure; its result has at most `hoist_growth` times the bytes of what it is made from
 *
 * A function that main calls, by way of loops and branches or not, has its weights from main: a parameter of
 * it is known when the operand is, and, in a loop, when the body returns it as it was.
 */
#include "compiler/passes/passes.h"

#include <stdlib.h>

enum { DEFAULT_GROWTH = 4, SMALL_BYTES = 64 };

/* ---- In a function ---- */

static bool is_movable(tn_op op) {
    loop_class c = op_table[op].loop_class;
    if (op == TN_OP_barrier) return true; /* what others have packed */
    return c != CLASS_CONTROL && c != CLASS_EFFECT && c != CLASS_COMPOSITE && op != TN_OP_param && op != TN_OP_dim &&
           op != TN_OP_token;
}

static void find_known(const tn_graph *g, const bool *params, bool *known) {
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        if (n->op == TN_OP_param) {
            int64_t index = attr_int(&n->attrs, ATTR_index, 0);
            known[i] = params ? params[index] : g->params[index].binding == BINDING_LOAD;
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

static void find_origin_bytes(const tn_graph *g, double *origin) {
    double all = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == TN_OP_param || g->nodes[i].op == TN_OP_constant)
            all += origin[i] = bytes_of(g, g->nodes[i].first_result);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        for (uint32_t k = 0; k < n->n_operands; k++) origin[i] += origin[g->values[n->operands[k]].node];
        origin[i] = origin[i] < all ? origin[i] : all;
    }
}

bool load_time_accepts(const pass_options *o, double bytes, double origin) {
    return bytes <= (o->hoist_growth > 0 ? o->hoist_growth : DEFAULT_GROWTH) * (origin + SMALL_BYTES);
}

static bool grows(const load_time *w, const pass_options *o, const tn_graph *g, size_t i) {
    const node *n = &g->nodes[i];
    for (uint32_t k = 0; k < n->n_results; k++)
        if (!load_time_accepts(o, bytes_of(g, n->first_result + k), w->origin[i])) return true;
    return false;
}

value_id narrow_weight(const tn_graph *g, value_id v) {
    const node *n = graph_node_of(g, v);
    return is_widening(g, n) && graph_node_of(g, n->operands[0])->op == TN_OP_barrier ? n->operands[0] : VALUE_NONE;
}

/* To be done once for each set of weights. */
static bool is_moved(const load_time *w, const pass_options *o, const tn_graph *g, size_t i) {
    const node *n = &g->nodes[i];
    return w->known[i] && op_is_work((tn_op)n->op) && !grows(w, o, g, i) &&
           narrow_weight(g, n->first_result) == VALUE_NONE;
}

static void ask_operands(const tn_graph *g, const node *n, bool *asked) {
    for (uint32_t k = 0; k < n->n_operands; k++) asked[g->values[n->operands[k]].node] = true;
}

/* The frontier: known values that nodes known only at run time read. Views among them, conversions of narrow weights
 * and what would grow are followed to the work that makes them. */
static void find_moves(load_time *w, const pass_options *o, const tn_graph *g) {
    for (size_t r = 0; r < g->n_results; r++) w->asked[g->values[g->results[r].value].node] = true;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const node *n = &g->nodes[i];
        if (w->known[i] && (!w->asked[i] || n->op == TN_OP_param || n->op == TN_OP_constant)) continue;
        w->moves[i] = is_moved(w, o, g, i);
        if (!w->moves[i]) ask_operands(g, n, w->asked);
    }
}

bool load_time_find(load_time *w, const tn_graph *g, const bool *params, const pass_options *o) {
    *w = (load_time){.known = tn_calloc(g->n_nodes + 1, sizeof *w->known),
                     .asked = tn_calloc(g->n_nodes + 1, sizeof *w->asked),
                     .moves = tn_calloc(g->n_nodes + 1, sizeof *w->moves),
                     .origin = tn_calloc(g->n_nodes + 1, sizeof *w->origin)};
    if (!w->known || !w->asked || !w->moves || !w->origin) {
        load_time_free(w);
        return module_no_memory(g->module);
    }
    find_known(g, params, w->known);
    find_origin_bytes(g, w->origin);
    find_moves(w, o, g);
    return true;
}

void load_time_free(load_time *w) {
    tn_free(w->known);
    tn_free(w->asked);
    tn_free(w->moves);
    tn_free(w->origin);
    *w = (load_time){0};
}

/* ---- Moving ---- */

static int larger_first(const void *x, const void *y) {
    const load_time_move *a = x, *b = y;
    return a->bytes != b->bytes ? (a->bytes < b->bytes ? 1 : -1) : (a->node > b->node) - (a->node < b->node);
}

load_time_move *load_time_moves(const load_time *w, const tn_graph *g, size_t *n) {
    load_time_move *moves = tn_calloc(g->n_nodes + 1, sizeof *moves);
    *n = 0;
    for (size_t i = 0; moves && i < g->n_nodes; i++)
        if (w->moves[i]) moves[(*n)++] = (load_time_move){i, bytes_of(g, g->nodes[i].first_result)};
    if (moves) qsort(moves, *n, sizeof *moves, larger_first);
    return moves;
}

typedef struct copier {
    tn_graph *to;
    const tn_graph *from;
    value_id *map;
    bool *is_copied;
    size_t *stack; /* nodes to be copied once their operands are */
    size_t n_stack, stack_capacity;
} copier;

static bool push(copier *c, size_t node) {
    if (c->is_copied[node] || c->from->nodes[node].op == TN_OP_param) return true;
    if (!array_reserve((void **)&c->stack, &c->stack_capacity, c->n_stack + 1, sizeof *c->stack)) return false;
    c->stack[c->n_stack++] = node;
    return true;
}

/* A node behind all that it needs. */
static bool copy_with_operands(copier *c, size_t wanted) {
    bool ok = push(c, wanted);
    while (ok && c->n_stack) {
        size_t top = c->stack[c->n_stack - 1], before = c->n_stack;
        const node *n = &c->from->nodes[top];
        for (uint32_t k = n->n_operands; ok && k-- > 0 && !c->is_copied[top];)
            ok = push(c, c->from->values[n->operands[k]].node);
        if (!ok || c->n_stack > before) continue;
        c->n_stack--;
        if (!c->is_copied[top]) ok = graph_copy_node(c->to, c->from, n, c->map);
        c->is_copied[top] = true;
    }
    return ok;
}

bool load_time_copy_moves(const load_time *w, tn_graph *to, const tn_graph *from, value_id *map) {
    size_t n;
    copier c = {to, from, map, tn_calloc(from->n_nodes + 1, sizeof *c.is_copied), NULL, 0, 0};
    load_time_move *moves = load_time_moves(w, from, &n);
    bool ok = c.is_copied && moves;
    for (size_t i = 0; ok && i < n; i++) ok = copy_with_operands(&c, moves[i].node);
    tn_free(moves);
    tn_free(c.is_copied);
    tn_free(c.stack);
    return ok;
}

/* ---- In all functions ---- */

uint32_t callee_operand(const node *n, uint32_t index) {
    bool is_sequence = n->op == TN_OP_scan && index >= (uint32_t)attr_int(&n->attrs, ATTR_carried, 0);
    return is_sequence ? UINT32_MAX : index + (n->op == TN_OP_if);
}

static bool returns_unchanged(const node *n, uint32_t index) {
    if (n->op != TN_OP_while && n->op != TN_OP_scan) return true;
    const tn_graph *body = attr_find(&n->attrs, ATTR_body)->func;
    return body->results[index].value == body->params[index].value;
}

/* What node n tells of a function that it names. */
static void enter_site(module_load_time *w, const tn_graph *g, const bool *known, const node *n,
                       const tn_graph *callee) {
    function_load_time *at = &w->of[module_number_of(w->m, callee)];
    at->n_sites++;
    for (uint32_t i = 0; known && i < callee->n_params; i++) {
        uint32_t operand = callee_operand(n, i);
        at->params[i] = operand != UINT32_MAX && returns_unchanged(n, i) && known[g->values[n->operands[operand]].node];
    }
    at->is_reached = known != NULL;
}

static void enter_sites(module_load_time *w, const tn_graph *g, const bool *known) {
    for (size_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].attrs.n; k++) {
            const attr *a = &g->nodes[i].attrs.items[k];
            if (attr_kind_of((attr_name)a->name) == ATTR_KIND_FUNC) enter_site(w, g, known, &g->nodes[i], a->func);
        }
}

bool module_load_time_find(module_load_time *w, tn_module *m) {
    *w = (module_load_time){.m = m, .n = m->n_graphs, .order = module_call_order(m)};
    w->of = tn_calloc(w->n + 1, sizeof *w->of);
    bool ok = w->order && w->of;
    for (size_t i = 0; ok && i < w->n; i++)
        ok = (w->of[i].params = tn_calloc(m->graphs[i]->n_params + 1, sizeof(bool))) != NULL;
    for (size_t i = w->n; ok && i-- > 0;) { /* callers first */
        tn_graph *g = m->graphs[w->order[i]];
        function_load_time *at = &w->of[w->order[i]];
        bool is_main = g == module_main(m), *known = tn_calloc(g->n_nodes + 1, sizeof *known);
        ok = known != NULL;
        /* A kernel, which is there when the module is a dump of a later stage, is as it is to be. */
        at->is_reached = is_main || (at->is_reached && at->n_sites == 1 && !g->is_kernel);
        for (size_t k = 0; ok && is_main && k < g->n_params; k++) at->params[k] = g->params[k].binding == BINDING_LOAD;
        if (ok) find_known(g, at->params, known);
        if (ok) enter_sites(w, g, at->is_reached ? known : NULL);
        tn_free(known);
    }
    if (!ok) module_load_time_free(w);
    return ok || module_no_memory(m);
}

void module_load_time_free(module_load_time *w) {
    for (size_t i = 0; w->of && i < w->n; i++) tn_free(w->of[i].params);
    tn_free(w->of);
    tn_free(w->order);
    *w = (module_load_time){0};
}

/* Of functions that do not change, but may call some that do. */
static bool copy_node(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    (void)ctx;
    return graph_copy_node(to, from, n, map);
}

bool load_time_rebuild(tn_module *m, const pass_options *o, rebuild_node *visit) {
    module_load_time all;
    bool ok = module_load_time_find(&all, m);
    for (size_t i = 0; ok && i < all.n; i++) {
        tn_graph *g = m->graphs[all.order[i]];
        const function_load_time *known = &all.of[all.order[i]];
        load_time_visit v = {.options = o};
        ok = load_time_find(&v.what, g, known->params, o) &&
             graph_rebuild(g, true, known->is_reached ? visit : copy_node, &v) != NULL;
        load_time_free(&v.what);
    }
    module_load_time_free(&all);
    return ok;
}
