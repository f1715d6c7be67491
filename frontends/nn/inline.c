/* Copying one side of a function into another (see inline.h). */
#include "frontends/nn/inline.h"

#include "ir/build.h"
#include "ir/extract.h"

#include <string.h>

/* ---- What is known, and what is needed ------------------------------------------------------------------ */

/* What a node says of its first result when some of its operands are known. */
static int8_t known_result(const nn_side *s, const node *n) {
    const value_id *x = n->operands;
    switch (n->op) {
    case TN_OP_broadcast:
    case TN_OP_reshape: return s->known[x[0]];
    case TN_OP_not: return s->known[x[0]] < 0 ? -1 : !s->known[x[0]];
    case TN_OP_and:
        if (s->known[x[0]] == 0 || s->known[x[1]] == 0) return 0;
        return s->known[x[0]] == 1 && s->known[x[1]] == 1 ? 1 : -1;
    case TN_OP_or:
        if (s->known[x[0]] == 1 || s->known[x[1]] == 1) return 1;
        return s->known[x[0]] == 0 && s->known[x[1]] == 0 ? 0 : -1;
    default: return -1;
    }
}

static void find_known(nn_side *s, size_t param, bool value) {
    const tn_graph *g = s->from;
    memset(s->known, -1, g->n_values);
    for (size_t v = 0; v < g->n_values; v++) s->chosen[v] = (value_id)v;
    if (param < g->n_params) s->known[g->params[param].value] = value;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        value_id v = n->first_result;
        if (n->op == TN_OP_select && s->known[n->operands[0]] >= 0) {
            s->chosen[v] = s->chosen[n->operands[s->known[n->operands[0]] ? 1 : 2]];
            s->known[v] = s->known[s->chosen[v]];
        } else if (n->op != TN_OP_param && graph_type(g, v)->dtype == TN_BOOL) {
            s->known[v] = known_result(s, n);
        }
    }
}

static void find_live(nn_side *s) {
    const tn_graph *g = s->from;
    for (size_t r = 0; r < g->n_results; r++)
        if (s->wanted[r]) s->live[g->values[s->chosen[g->results[r].value]].node] = true;
    for (size_t i = g->n_nodes; i-- > 0;)
        for (uint32_t k = 0; s->live[i] && k < g->nodes[i].n_operands; k++)
            s->live[g->values[s->chosen[g->nodes[i].operands[k]]].node] = true;
}

bool nn_side_find(nn_side *s, const tn_graph *from, size_t param, bool value, const bool *wanted) {
    *s = (nn_side){.from = from,
                   .known = tn_calloc(from->n_values + 1, sizeof *s->known),
                   .chosen = tn_calloc(from->n_values + 1, sizeof *s->chosen),
                   .live = tn_calloc(from->n_nodes + 1, sizeof *s->live),
                   .wanted = tn_calloc(from->n_results + 1, sizeof *s->wanted)};
    if (!s->known || !s->chosen || !s->live || !s->wanted) {
        nn_side_free(s);
        return false;
    }
    for (size_t r = 0; r < from->n_results; r++) s->wanted[r] = !wanted || wanted[r];
    find_known(s, param, value);
    find_live(s);
    return true;
}

void nn_side_free(nn_side *s) {
    tn_free(s->known);
    tn_free(s->chosen);
    tn_free(s->live);
    tn_free(s->wanted);
    *s = (nn_side){0};
}

bool nn_side_needs(const nn_side *s, size_t param) {
    return s->live[s->from->values[s->from->params[param].value].node];
}

/* ---- Sizes ------------------------------------------------------------------------------------------------ */

bool nn_sizes_take(sizes_fixed *s, tn_module *m, const tn_model_size *list) {
    *s = (sizes_fixed){.n = 0};
    for (; list && list->symbol; list++)
        if (!sizes_fix(s, m, list->symbol, list->value)) return false;
    return true;
}

/* ---- Copying -------------------------------------------------------------------------------------------------- */

bool nn_side_copy(const nn_side *s, tn_graph *to, const tn_val *args, const sizes_fixed *sizes, tn_val *results) {
    const tn_graph *from = s->from;
    uint32_t most = 0;
    for (size_t i = 0; i < from->n_nodes; i++)
        if (from->nodes[i].n_operands > most) most = from->nodes[i].n_operands;
    value_id *map = tn_malloc((from->n_values + 1) * sizeof *map), *operands = tn_malloc((most + 1) * sizeof *operands);
    bool ok = map && operands;
    if (!ok) {
        tn_free(map);
        tn_free(operands);
        return module_no_memory(to->module);
    }
    for (size_t i = 0; i < from->n_params; i++) map[from->params[i].value] = args[i].id;
    graph_copy_bounds(to, from);
    for (size_t i = 0; ok && i < from->n_nodes; i++) {
        const node *n = &from->nodes[i];
        if (!s->live[i] || n->op == TN_OP_param) continue;
        for (uint32_t k = 0; k < n->n_operands; k++) operands[k] = map[s->chosen[n->operands[k]]];
        ok = sizes_copy_node(to, from, n, sizes, operands, map);
    }
    for (size_t r = 0; ok && r < from->n_results; r++)
        results[r] = s->wanted[r] ? (tn_val){to, map[s->chosen[from->results[r].value]]} : BUILD_INVALID;
    tn_free(map);
    tn_free(operands);
    return ok;
}

bool nn_inline(tn_graph *to, const tn_graph *from, const tn_val *args, tn_val *results) {
    nn_side side;
    if (!nn_side_find(&side, from, SIZE_MAX, false, NULL)) return module_no_memory(to->module);
    bool ok = nn_side_copy(&side, to, args, NULL, results);
    nn_side_free(&side);
    return ok;
}
