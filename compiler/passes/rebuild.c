/* A new function from an old one (see passes.h). */
#include "compiler/passes/passes.h"

#include <string.h>

/* Nodes that a result needs, or that have an effect of their own; a byte each. */
static uint8_t *find_live(const tn_graph *g) {
    uint8_t *live = tn_calloc(g->n_nodes + 1, 1);
    if (!live) return NULL;
    for (size_t r = 0; r < g->n_results; r++) live[g->values[g->results[r].value].node] = 1;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const node *n = &g->nodes[i];
        live[i] |= op_table[n->op].loop_class == CLASS_EFFECT;
        for (uint32_t k = 0; live[i] && k < n->n_operands; k++) live[g->values[n->operands[k]].node] = 1;
    }
    return live;
}

bool graph_copy_constraints(tn_graph *to, const tn_graph *from) {
    for (size_t i = 0; i < from->n_constraints; i++) {
        const constraint *c = &from->constraints[i];
        if (!graph_add_constraint(to, c->relation, c->a, c->b, (tn_op)c->op, c->locations)) return false;
    }
    return true;
}

bool graph_copy_signature(tn_graph *to, const tn_graph *from, value_id *map) {
    to->is_kernel = from->is_kernel;
    to->remat = from->remat;
    to->gradient = from->gradient;
    if (!graph_copy_symbols(to, from)) return false;
    for (size_t i = 0; i < from->n_params; i++) {
        const param *p = &from->params[i];
        value_id v = graph_add_param(to, p->name, graph_type(from, p->value), p->binding);
        if (v == VALUE_NONE) return false;
        to->params[i].initial = p->initial;
        to->values[v].name = from->values[p->value].name;
        map[p->value] = v;
    }
    return graph_copy_constraints(to, from);
}

static bool copy_names(tn_graph *to, const tn_graph *from, const node *n, const value_id *map) {
    for (uint32_t k = 0; k < n->n_results; k++) {
        value_id v = map[n->first_result + k];
        if (v != VALUE_NONE && !to->values[v].name) to->values[v].name = from->values[n->first_result + k].name;
    }
    return true;
}

static bool build(tn_graph *to, const tn_graph *from, const uint8_t *live, rebuild_node *visit, void *ctx,
                  value_id *map) {
    if (!graph_copy_signature(to, from, map)) return false;
    for (size_t i = 0; i < from->n_nodes; i++) {
        const node *n = &from->nodes[i];
        if (n->op == TN_OP_param || (live && !live[i])) continue;
        location_id former = graph_set_origin(to, n->locations);
        bool ok = visit(ctx, to, from, n, map) && to->module->error.status == TN_OK;
        graph_set_origin(to, former);
        if (!ok || !copy_names(to, from, n, map)) return false;
    }
    for (size_t r = 0; r < from->n_results; r++)
        if (!graph_add_result(to, from->results[r].name, map[from->results[r].value], from->results[r].state_param))
            return false;
    return true;
}

tn_graph *graph_rebuild(tn_graph *g, bool live_only, rebuild_node *visit, void *ctx) {
    tn_module *m = g->module;
    const char *name = g->name;
    value_id *map = tn_malloc((g->n_values + 1) * sizeof *map);
    uint8_t *live = live_only ? find_live(g) : NULL;
    tn_graph *to = map && (live || !live_only) ? module_add_graph(m, name) : NULL;
    bool ok = to != NULL;
    if (ok) {
        memset(map, 0xff, (g->n_values + 1) * sizeof *map);
        ok = build(to, g, live, visit, ctx, map);
    }
    if (ok) {
        graph_take_content(g, to);
    }
    tn_free(map);
    tn_free(live);
    if (!ok) module_error(m, TN_ERR_MEMORY, LOCATION_NONE, "out of memory while rebuilding %s", name);
    return ok ? g : NULL;
}

bool module_rebuild(tn_module *m, bool live_only, rebuild_node *visit, void *ctx) {
    size_t *order = module_call_order(m), n = m->n_graphs;
    bool ok = order != NULL;
    for (size_t i = 0; ok && i < n; i++) ok = graph_rebuild(m->graphs[order[i]], live_only, visit, ctx) != NULL;
    tn_free(order);
    return ok || module_error(m, TN_ERR_MEMORY, LOCATION_NONE, "out of memory while rebuilding functions");
}
