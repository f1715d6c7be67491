/* The functions of a module: in an order in which each stands behind all that it calls, and those that one leads to.
 *
 * law: every function once; on calls that form a cycle (the verifier's business) still every function once
 *
 * The order is found depth first with a stack of its own: chains of calls may be as long as a file is.
 */
#include "ir/graph.h"

/* ---- Order ------------------------------------------------------------------------------------------------ */

/* A function whose calls are being followed, and how far that is. */
typedef struct visit {
    size_t graph, node;
} visit;

typedef struct call_walk {
    const tn_module *m;
    bool *seen;
    visit *stack;
    size_t n_stack;
} call_walk;

static void enter(call_walk *w, size_t graph) {
    w->seen[graph] = true;
    w->stack[w->n_stack++] = (visit){graph, 0};
}

static bool enter_function(call_walk *w, const tn_graph *g) {
    size_t number = module_number_of(w->m, g);
    if (number == w->m->n_graphs || w->seen[number]) return false;
    enter(w, number);
    return true;
}

/* Goes on with the calls of the function on top until one leads to a new function; false: there is none left. */
static bool enter_next_callee(call_walk *w) {
    visit *top = &w->stack[w->n_stack - 1];
    const tn_graph *g = w->m->graphs[top->graph];
    for (; top->node < g->n_nodes; top->node++) {
        const attr_list *attrs = &g->nodes[top->node].attrs;
        for (uint32_t k = 0; k < attrs->n; k++)
            if (attr_kind_of((attr_name)attrs->items[k].name) == ATTR_KIND_FUNC &&
                enter_function(w, attrs->items[k].func))
                return true;
    }
    return false;
}

size_t *module_call_order(const tn_module *m) {
    size_t *order = tn_malloc((m->n_graphs + 1) * sizeof *order), n = 0;
    call_walk w = {m, tn_calloc(m->n_graphs + 1, sizeof *w.seen), tn_malloc((m->n_graphs + 1) * sizeof *w.stack), 0};
    bool ok = order && w.seen && w.stack;
    for (size_t i = 0; ok && i < m->n_graphs; i++) {
        if (!w.seen[i]) enter(&w, i);
        while (w.n_stack > 0)
            if (!enter_next_callee(&w)) order[n++] = w.stack[--w.n_stack].graph;
    }
    tn_free(w.seen);
    tn_free(w.stack);
    if (ok) return order;
    tn_free(order);
    return NULL;
}

/* ---- What a function leads to ----------------------------------------------------------------------------- */

/* Of functions that were checked, which call no deeper than GRAPH_MAX_DEPTH. */
void module_mark_reached(const tn_module *m, const tn_graph *f, bool with_gradients, bool *reached) {
    size_t number = f ? module_number_of(m, f) : m->n_graphs;
    if (number == m->n_graphs || reached[number]) return;
    reached[number] = true;
    if (with_gradients) module_mark_reached(m, f->gradient, true, reached);
    for (size_t i = 0; i < f->n_nodes; i++)
        for (uint32_t k = 0; k < f->nodes[i].attrs.n; k++) {
            const attr *a = &f->nodes[i].attrs.items[k];
            if (attr_kind_of((attr_name)a->name) == ATTR_KIND_FUNC)
                module_mark_reached(m, a->func, with_gradients, reached);
        }
}

bool module_remove_uncalled(tn_module *m, const tn_graph *f, const tn_graph *other) {
    bool *reached = tn_calloc(m->n_graphs + 1, sizeof *reached);
    size_t n = 0;
    if (!reached) return module_no_memory(m);
    module_mark_reached(m, f, true, reached);
    module_mark_reached(m, other, true, reached);
    for (size_t i = 0; i < m->n_graphs; i++) {
        if (reached[i])
            m->graphs[n++] = m->graphs[i];
        else
            graph_release(m->graphs[i]);
    }
    m->n_graphs = n;
    tn_free(reached);
    return true;
}
