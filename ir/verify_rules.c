/* The verifier: the rules of ops, asked again.
 *
 * in:  a module whose structure is sound (ir/verify.c)
 * out: the first node whose rule does not hold, or infers something else than what is stored
 * law: everything is built again in a module of its own, which shares constant data and nothing
 *      else: the module at hand is only read
 */
#include "ir/hash.h"
#include "ir/verify.h"

#include <string.h>

/* Constants keep their identity without their bytes being hashed again. */
typedef struct data_pair {
    const tensor_data *from, *to; /* from NULL: free */
} data_pair;

typedef struct rebuilder {
    verifier *v;
    tn_module *to;
    tn_graph **graphs; /* in the order of the module's; NULL: not built yet */
    data_pair *data;
    size_t n_data, data_slots;
} rebuilder;

static tn_dim copy_dim(rebuilder *r, tn_dim d) { return dim_import(r->to->dims, r->v->module->dims, d); }

static tn_type copy_type(rebuilder *r, const tn_type *type) {
    tn_type copy = type_scalar((tn_dtype)type->dtype);
    copy.rank = type->rank;
    for (int axis = 0; axis < type->rank; axis++) copy.dims[axis] = copy_dim(r, type->dims[axis]);
    return copy;
}

/* ---- Constants ------------------------------------------------------------------------------------ */

static data_pair *data_slot(const rebuilder *r, const tensor_data *data) {
    size_t at = hash_mix(0, (uintptr_t)data) & (r->data_slots - 1);
    while (r->data[at].from && r->data[at].from != data) at = (at + 1) & (r->data_slots - 1);
    return &r->data[at];
}

static bool grow_data(rebuilder *r) {
    if (r->n_data * 4 < r->data_slots * 3) return true;
    rebuilder more = {.data_slots = r->data_slots ? r->data_slots * 2 : 64};
    more.data = tn_calloc(more.data_slots, sizeof *more.data);
    if (!more.data) return verify_no_memory(r->v);
    for (size_t i = 0; i < r->data_slots; i++)
        if (r->data[i].from) *data_slot(&more, r->data[i].from) = r->data[i];
    tn_free(r->data);
    r->data = more.data;
    r->data_slots = more.data_slots;
    return true;
}

static const tensor_data *copy_data(rebuilder *r, const tensor_data *data) {
    if (!grow_data(r)) return NULL;
    data_pair *slot = data_slot(r, data);
    if (slot->from) return slot->to;
    tensor_data *copy = ARENA_NEW(&r->to->memory, tensor_data);
    if (!copy) return verify_no_memory(r->v), NULL;
    *copy = *data;
    copy->type = copy_type(r, &data->type);
    *slot = (data_pair){data, copy};
    r->n_data++;
    return copy;
}

/* ---- Nodes -------------------------------------------------------------------------------------------- */

static bool copy_attr(rebuilder *r, const attr *from, attr *to) {
    *to = *from;
    switch (attr_kind_of((attr_name)from->name)) {
    case ATTR_KIND_DIM: to->dim = copy_dim(r, from->dim); return true;
    case ATTR_KIND_FUNC: to->func = r->graphs[module_number_of(r->v->module, from->func)]; return true;
    case ATTR_KIND_DATA: return (to->data = copy_data(r, from->data)) != NULL;
    case ATTR_KIND_DIMS: {
        tn_dim *items = ARENA_ARRAY(&r->to->memory, tn_dim, from->dims.n + 1);
        if (!items) return verify_no_memory(r->v);
        for (uint32_t i = 0; i < from->dims.n; i++) items[i] = copy_dim(r, from->dims.items[i]);
        to->dims.items = items;
        return true;
    }
    default: return true;
    }
}

/* The scratch module's error as a violation. */
static bool rule_violation(rebuilder *r, const node *n, const char *rule) {
    if (r->to->error.status == TN_ERR_MEMORY) return verify_no_memory(r->v);
    return verify_error(r->v, n, rule, "%s", r->to->error.message);
}

static bool compare_types(rebuilder *r, const node *n, const tn_graph *to, value_id first) {
    for (uint32_t i = 0; i < n->n_results; i++) {
        const tn_type *stored = graph_type(r->v->graph, n->first_result + i);
        tn_type copy = copy_type(r, stored);
        if (type_equal(&copy, graph_type(to, first + i))) continue;
        char a[250], b[250];
        type_print(r->v->module->dims, stored, a, sizeof a);
        type_print(r->to->dims, graph_type(to, first + i), b, sizeof b);
        return verify_error(r->v, n, "types", "result %u is %s, but the rule says %s", (unsigned)i, a, b);
    }
    return true;
}

static bool rebuild_node(rebuilder *r, tn_graph *to, const node *n, value_id *map, value_id *operands) {
    attr attrs[OP_MAX_ATTRS];
    for (uint32_t i = 0; i < n->attrs.n; i++)
        if (!copy_attr(r, &n->attrs.items[i], &attrs[i])) return false;
    for (uint32_t i = 0; i < n->n_operands; i++) operands[i] = map[n->operands[i]];
    size_t before = to->n_nodes;
    value_id first;
    uint32_t n_results;
    if (!graph_apply(to, LOCATION_NONE, (tn_op)n->op, operands, n->n_operands, attrs, n->attrs.n, &first, 1,
                     &n_results))
        return rule_violation(r, n, "rule");
    if (to->n_nodes == before) return verify_error(r->v, n, "interning", "an equal node stands before it");
    if (to->nodes[before].attrs.n != n->attrs.n)
        return verify_error(r->v, n, "attributes", "one says what its absence says");
    if (n_results != n->n_results)
        return verify_error(r->v, n, "types", "it has %u results, but the rule says %u", (unsigned)n->n_results,
                            (unsigned)n_results);
    if (!compare_types(r, n, to, first)) return false;
    for (uint32_t i = 0; i < n_results; i++) map[n->first_result + i] = first + i;
    return true;
}

/* ---- Functions ------------------------------------------------------------------------------------------ */

static bool rebuild_head(rebuilder *r, tn_graph *to, value_id *map) {
    const tn_graph *from = r->v->graph;
    to->is_kernel = from->is_kernel;
    to->remat = from->remat;
    to->gradient = from->gradient;
    for (size_t i = 0; i < from->n_symbols; i++) {
        const symbol *s = &from->symbols[i];
        if (!graph_add_symbol(to, copy_dim(r, s->dim), s->low, s->high, s->divisor))
            return rule_violation(r, NULL, "symbols");
    }
    for (size_t i = 0; i < from->n_params; i++) {
        const param *p = &from->params[i];
        tn_type type = copy_type(r, &p->type);
        value_id v = graph_add_param(to, p->name, &type, p->binding);
        if (v == VALUE_NONE) return rule_violation(r, graph_node_of(from, p->value), "parameters");
        map[p->value] = v;
    }
    if (to->n_symbols != from->n_symbols)
        return verify_error(r->v, NULL, "symbols", "a parameter has one that is not declared");
    for (size_t i = 0; i < from->n_constraints; i++) {
        const constraint *c = &from->constraints[i];
        if (!graph_add_constraint(to, c->relation, copy_dim(r, c->a), copy_dim(r, c->b), (tn_op)c->op, LOCATION_NONE))
            return rule_violation(r, NULL, "constraints");
    }
    return true;
}

static bool rebuild_results(rebuilder *r, tn_graph *to, const value_id *map) {
    const tn_graph *from = r->v->graph;
    for (size_t i = 0; i < from->n_results; i++) {
        const result *item = &from->results[i];
        if (!graph_add_result(to, item->name, map[item->value], item->state_param))
            return rule_violation(r, NULL, "results");
    }
    return true;
}

static bool check_constraints(rebuilder *r, const tn_graph *to, size_t n_recorded) {
    if (to->n_constraints == n_recorded) return true;
    static const char *const relations[] = {[RELATION_EQ] = "==", [RELATION_LE] = "<=", [RELATION_DIVIDES] = "divides"};
    const constraint *c = &to->constraints[n_recorded];
    char a[200], b[200];
    dim_print(r->to->dims, c->a, a, sizeof a);
    dim_print(r->to->dims, c->b, b, sizeof b);
    return verify_error(r->v, NULL, "constraints", "%s %s %s, which %s needs, is neither proved nor recorded", a,
                        relations[c->relation], b, op_name((tn_op)c->op));
}

static bool rebuild_graph(rebuilder *r, size_t index, value_id *map, value_id *operands) {
    const tn_graph *from = r->v->module->graphs[index];
    tn_graph *to = module_add_graph(r->to, from->name);
    if (!to) return verify_no_memory(r->v);
    r->v->graph = from;
    r->graphs[index] = to;
    if (!rebuild_head(r, to, map)) return false;
    size_t n_recorded = to->n_constraints;
    for (size_t i = 0; i < from->n_nodes; i++)
        if (from->nodes[i].op != TN_OP_param && !rebuild_node(r, to, &from->nodes[i], map, operands)) return false;
    if (!check_constraints(r, to, n_recorded) || !rebuild_results(r, to, map)) return false;
    if (from->has_effects != to->has_effects) return verify_error(r->v, NULL, "effects", "has_effects is wrong");
    if (from->depth != to->depth)
        return verify_error(r->v, NULL, "effects", "depth is %u, not %u", (unsigned)from->depth, (unsigned)to->depth);
    r->v->graph = NULL;
    return true;
}

static bool rebuild_with_memory(rebuilder *r, size_t index) {
    const tn_graph *g = r->v->module->graphs[index];
    uint32_t most = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].n_operands > most) most = g->nodes[i].n_operands;
    value_id *map = tn_malloc((g->n_values + 1) * sizeof *map),
             *operands = tn_malloc(((size_t)most + 1) * sizeof *operands);
    bool ok = map && operands ? rebuild_graph(r, index, map, operands) : verify_no_memory(r->v);
    tn_free(map);
    tn_free(operands);
    return ok;
}

/* Callees before callers; calls are known to form no cycle. */
static bool rebuild_callees_first(rebuilder *r, size_t index) {
    const tn_graph *g = r->v->module->graphs[index];
    if (r->graphs[index]) return true;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].attrs.n; k++) {
            const attr *a = &g->nodes[i].attrs.items[k];
            if (attr_kind_of((attr_name)a->name) == ATTR_KIND_FUNC &&
                !rebuild_callees_first(r, module_number_of(r->v->module, a->func)))
                return false;
        }
    return rebuild_with_memory(r, index);
}

bool verify_rules(verifier *v) {
    rebuilder r = {.v = v, .to = module_new(v->module->name)};
    r.graphs = tn_calloc(v->module->n_graphs + 1, sizeof *r.graphs);
    bool ok = r.to && r.graphs;
    if (!ok) verify_no_memory(v);
    for (size_t i = 0; ok && i < v->module->n_graphs; i++) ok = rebuild_callees_first(&r, i);
    /* A dim that could not be copied makes rules fail that hold. */
    if (!ok && r.to && dim_table_status(r.to->dims) == TN_ERR_MEMORY) {
        v->status = TN_OK;
        verify_no_memory(v);
    }
    tn_free(r.data);
    tn_free(r.graphs);
    tn_module_free(r.to);
    return ok;
}
