/* Parts of functions as functions, and functions as parts of others.
 *
 * in:  a function; for a part: values that are given and values that are asked for
 * out: a new function with a parameter for each given value, and the nodes that lead from those to what is asked for;
 *      or the nodes appended to another function
 * law: a parameter is given as itself: it keeps its name, binding and initial data. Symbols keep their bounds.
 *      Nodes keep their order and their places in the source
 */
#include "ir/extract.h"

#include "ir/grad.h"

#include <string.h>

value_id graph_copy_input(tn_graph *to, const tn_graph *from, size_t index) {
    const param *p = &from->params[index];
    /* A state is one only beside its next value. */
    binding when = p->binding == BINDING_STATE ? BINDING_RUN : p->binding;
    location_id former = graph_set_origin(to, graph_node_of(from, p->value)->locations);
    value_id made = graph_add_param(to, p->name, &p->type, when);
    graph_set_origin(to, former);
    if (made != VALUE_NONE) to->params[to->n_params - 1].initial = p->initial;
    return made;
}

static value_id add_given(tn_graph *to, const tn_graph *from, value_id v) {
    const node *n = graph_node_of(from, v);
    if (n->op != TN_OP_param) return graph_add_param(to, NULL, graph_type(from, v), BINDING_RUN);
    return graph_copy_input(to, from, (size_t)attr_int(&n->attrs, ATTR_index, 0));
}

void graph_copy_bounds(tn_graph *to, const tn_graph *from) {
    for (size_t i = 0; i < to->n_symbols; i++)
        for (size_t k = 0; k < from->n_symbols; k++)
            if (to->symbols[i].dim == from->symbols[k].dim) to->symbols[i] = from->symbols[k];
}

/* The nodes that what is asked for needs, a byte each, and with `effects` those that have one. */
static uint8_t *find_needed(const tn_graph *from, const extraction *x, const value_id *map) {
    uint8_t *needed = tn_calloc(from->n_nodes + 1, 1);
    if (!needed) return NULL;
    for (size_t i = 0; i < x->n_asked; i++)
        if (x->asked[i] != VALUE_NONE && map[x->asked[i]] == VALUE_NONE) needed[from->values[x->asked[i]].node] = 1;
    for (size_t i = from->n_nodes; i-- > 0;) {
        const node *n = &from->nodes[i];
        needed[i] |= x->effects && op_table[n->op].loop_class == CLASS_EFFECT;
        for (uint32_t k = 0; needed[i] && k < n->n_operands; k++)
            if (map[n->operands[k]] == VALUE_NONE) needed[from->values[n->operands[k]].node] = 1;
    }
    return needed;
}

static bool copy_needed(tn_graph *to, const tn_graph *from, const extraction *x, value_id *map) {
    uint8_t *needed = find_needed(from, x, map);
    bool ok = needed || module_no_memory(from->module);
    for (size_t i = 0; ok && i < from->n_nodes; i++) {
        const node *n = &from->nodes[i];
        if (!needed[i]) continue;
        ok = n->op != TN_OP_param
                 ? graph_copy_node(to, from, n, map)
                 : module_error(from->module, TN_ERR_INTERNAL, n->locations, "a part of @%s lacks the parameter %s",
                                from->name, from->params[attr_int(&n->attrs, ATTR_index, 0)].name);
    }
    tn_free(needed);
    return ok;
}

static bool add_asked(tn_graph *to, const extraction *x, size_t i, const value_id *map) {
    value_id v = x->asked[i] != VALUE_NONE ? map[x->asked[i]] : grad_zeros_of(to, &x->asked_types[i]).id;
    return graph_add_result(to, x->asked_names ? x->asked_names[i] : NULL, v, -1);
}

tn_graph *graph_extract(const tn_graph *from, const extraction *x) {
    tn_graph *to = module_add_graph(from->module, x->name);
    value_id *map = tn_malloc((from->n_values + 1) * sizeof *map);
    bool ok = to && (map || module_no_memory(from->module));
    if (ok) memset(map, 0xff, (from->n_values + 1) * sizeof *map);
    for (size_t i = 0; ok && i < x->n_given; i++) {
        bool is_read = x->given[i] != VALUE_NONE;
        value_id v =
            is_read ? add_given(to, from, x->given[i]) : graph_add_param(to, NULL, &x->given_types[i], BINDING_RUN);
        ok = v != VALUE_NONE;
        if (ok && is_read) map[x->given[i]] = v;
    }
    if (ok) graph_copy_bounds(to, from);
    ok = ok && copy_needed(to, from, x, map);
    for (size_t i = 0; ok && i < x->n_asked; i++) ok = add_asked(to, x, i, map);
    tn_free(map);
    return ok && from->module->error.status == TN_OK ? to : NULL;
}

bool graph_inline(tn_graph *to, const tn_graph *from, value_id *map) {
    bool ok = true;
    for (size_t i = 0; ok && i < from->n_nodes; i++) {
        const node *n = &from->nodes[i];
        if (n->op != TN_OP_param) ok = graph_copy_node(to, from, n, map);
    }
    return ok;
}
