/* Copies of modules.
 *
 * in:  a module
 * out: one with the same functions, dims, names and locations, of its own
 * law: constant data are shared, so the copy holds a reference to its source
 */
#include "ir/graph.h"

#include "ir/op.h"

#include <string.h>

typedef struct cloner {
    const tn_module *from;
    tn_module *to;
    tn_graph **graphs; /* copies, in the order of from->graphs */
} cloner;

static tn_dim copy_dim(cloner *c, tn_dim d) { return dim_import(c->to->dims, c->from->dims, d); }

static tn_type copy_type(cloner *c, const tn_type *type) {
    tn_type copy = *type;
    for (int i = 0; i < type->rank; i++) copy.dims[i] = copy_dim(c, type->dims[i]);
    return copy;
}

static location_id copy_locations(cloner *c, location_id set) {
    tn_location items[LOCATION_MAX];
    size_t n = location_items(c->from, set, LOCATION_MAX, items);
    location_id copy = LOCATION_NONE;
    for (size_t i = 0; i < n && i < LOCATION_MAX; i++)
        copy = location_union(c->to, copy, location_intern(c->to, items[i].file, items[i].line));
    tn_op gradient_of = location_gradient_of(c->from, set);
    return gradient_of == TN_OP_COUNT ? copy : location_in_gradient(c->to, copy, gradient_of);
}

static const tensor_data *copy_data(cloner *c, const tensor_data *data) {
    if (!data) return NULL;
    tn_type type = copy_type(c, &data->type);
    return module_constant(c->to, &type, data->data, false);
}

static tn_graph *copy_of(const cloner *c, const tn_graph *g) {
    size_t number = module_number_of(c->from, g);
    return number < c->from->n_graphs ? c->graphs[number] : NULL;
}

static bool copy_attr(cloner *c, const attr *from, attr *to) {
    *to = *from;
    switch (attr_kind_of((attr_name)from->name)) {
    case ATTR_KIND_DIM: to->dim = copy_dim(c, from->dim); break;
    case ATTR_KIND_TEXT: to->text = module_intern(c->to, from->text); break;
    case ATTR_KIND_FUNC: to->func = copy_of(c, from->func); break;
    case ATTR_KIND_DATA: return (to->data = copy_data(c, from->data)) != NULL;
    case ATTR_KIND_DIMS: {
        tn_dim *dims = ARENA_ARRAY(&c->to->memory, tn_dim, from->dims.n + 1);
        if (!dims) return module_no_memory(c->to);
        for (uint32_t i = 0; i < from->dims.n; i++) dims[i] = copy_dim(c, from->dims.items[i]);
        to->dims.items = dims;
        break;
    }
    default: break;
    }
    return true;
}

static bool copy_signature(cloner *c, const tn_graph *from, tn_graph *to) {
    to->is_kernel = from->is_kernel;
    to->remat = from->remat;
    to->gradient = from->gradient ? copy_of(c, from->gradient) : NULL;
    for (size_t i = 0; i < from->n_symbols; i++) {
        const symbol *s = &from->symbols[i];
        if (!graph_add_symbol(to, copy_dim(c, s->dim), s->low, s->high, s->divisor)) return false;
    }
    for (size_t i = 0; i < from->n_params; i++) {
        const param *p = &from->params[i];
        tn_type type = copy_type(c, graph_type(from, p->value));
        value_id v = graph_add_param(to, p->name, &type, p->binding);
        if (v == VALUE_NONE) return false;
        to->params[i].initial = copy_data(c, p->initial);
        if (p->initial && !to->params[i].initial) return false;
    }
    for (size_t i = 0; i < from->n_constraints; i++) {
        const constraint *k = &from->constraints[i];
        if (!graph_add_constraint(to, k->relation, copy_dim(c, k->a), copy_dim(c, k->b), (tn_op)k->op,
                                  copy_locations(c, k->locations)))
            return false;
    }
    return true;
}

/* Parameters are made by the signature; all other nodes keep their order. */
static bool copy_node(cloner *c, const tn_graph *from, tn_graph *to, const node *n, value_id *map, value_id *operands) {
    attr attrs[OP_MAX_ATTRS];
    if (n->op == TN_OP_param) {
        map[n->first_result] = to->params[attr_int(&n->attrs, ATTR_index, 0)].value;
    } else {
        for (uint32_t i = 0; i < n->attrs.n; i++)
            if (!copy_attr(c, &n->attrs.items[i], &attrs[i])) return false;
        for (uint32_t i = 0; i < n->n_operands; i++) operands[i] = map[n->operands[i]];
        value_id first;
        uint32_t n_results;
        if (!graph_apply(to, copy_locations(c, n->locations), (tn_op)n->op, operands, n->n_operands, attrs, n->attrs.n,
                         &first, 1, &n_results))
            return false;
        for (uint32_t i = 0; i < n_results; i++) map[n->first_result + i] = first + i;
    }
    for (uint32_t i = 0; i < n->n_results; i++) {
        const char *name = from->values[n->first_result + i].name;
        if (name) to->values[map[n->first_result + i]].name = module_intern(c->to, name);
    }
    return true;
}

static bool copy_graph(cloner *c, const tn_graph *from, tn_graph *to) {
    uint32_t most = 0;
    for (size_t i = 0; i < from->n_nodes; i++)
        if (from->nodes[i].n_operands > most) most = from->nodes[i].n_operands;
    value_id *map = tn_malloc((from->n_values + 1) * sizeof *map), *operands = tn_malloc((most + 1) * sizeof *operands);
    bool ok = map && operands;
    if (!ok) module_no_memory(c->to);
    ok = ok && copy_signature(c, from, to);
    for (size_t i = 0; ok && i < from->n_nodes; i++) ok = copy_node(c, from, to, &from->nodes[i], map, operands);
    for (size_t i = 0; ok && i < from->n_results; i++)
        ok = graph_add_result(to, from->results[i].name, map[from->results[i].value], from->results[i].state_param);
    tn_free(map);
    tn_free(operands);
    return ok;
}

/* Copies the functions that `reached` marks; `main` (or NULL) becomes the first, by that name. */
static bool clone_functions(cloner *c, const tn_graph *main, const bool *reached) {
    const tn_module *m = c->from;
    size_t *order = module_call_order(m); /* callees must be complete before a call of them is checked */
    bool ok = order != NULL;
    if (ok && main) ok = (c->graphs[module_number_of(m, main)] = module_add_graph(c->to, "main")) != NULL;
    for (size_t i = 0; ok && i < m->n_graphs; i++)
        if (!c->graphs[i] && reached[i]) ok = (c->graphs[i] = module_add_graph(c->to, m->graphs[i]->name)) != NULL;
    for (size_t i = 0; ok && i < m->n_graphs; i++)
        if (c->graphs[order[i]]) ok = copy_graph(c, m->graphs[order[i]], c->graphs[order[i]]);
    tn_free(order);
    return ok;
}

typedef enum extent { ALL_FUNCTIONS, CALLED_FUNCTIONS, ONE_FUNCTION } extent;

/* `f` is the main function of the copy: for ONE_FUNCTION with what it calls and the gradients of that. */
static tn_module *clone(tn_module *m, extent what, const tn_graph *f) {
    cloner c = {.from = m, .to = module_new(m->name)};
    if (!c.to) return NULL;
    c.graphs = tn_calloc(m->n_graphs + 1, sizeof *c.graphs);
    bool *reached = tn_calloc(m->n_graphs + 1, sizeof *reached), ok = c.graphs && reached;
    for (size_t i = 0; ok && i < m->n_graphs; i++) reached[i] = what == ALL_FUNCTIONS;
    if (ok) module_mark_reached(m, f, what == ONE_FUNCTION, reached);
    if (ok && what == CALLED_FUNCTIONS) module_mark_reached(m, module_find(m, "prepare"), false, reached);
    ok = ok && clone_functions(&c, what == ONE_FUNCTION ? f : NULL, reached) && c.to->error.status == TN_OK;
    tn_free(c.graphs);
    tn_free(reached);
    if (!ok && (c.to->error.status == TN_OK || what == ONE_FUNCTION)) { /* users are told by NULL */
        tn_module_free(c.to);
        return NULL;
    }
    c.to->source = module_retain(m);
    if (what != ONE_FUNCTION) c.to->loops = m->loops;
    return c.to;
}

tn_module *module_clone(tn_module *m) { return clone(m, ALL_FUNCTIONS, NULL); }
tn_module *module_clone_called(tn_module *m) { return clone(m, CALLED_FUNCTIONS, module_main(m)); }
tn_module *tn_function_module(tn_graph *f) { return f ? clone(f->module, ONE_FUNCTION, f) : NULL; }
