/* Reference evaluation of composites: through their decomposition.
 *
 * in:  a composite with operands of known size
 * out: its results
 * law: the decomposition is built by the op's own `expand` in a module of its own, with static
 *      types, and evaluated like any function; errors are told of the composite
 */
#include "ir/eval_state.h"

#include <stdio.h>
#include <string.h>

/* The operands as parameters of g. */
static bool add_params(eval_args *c, tn_graph *g, tn_val *operands) {
    for (uint32_t i = 0; i < c->n_operands; i++) {
        const eval_tensor *t = c->operands[i];
        tn_dim dims[TN_MAX_RANK];
        char name[16];
        for (int axis = 0; axis < t->rank; axis++) dims[axis] = dim_const(g->module->dims, t->dims[axis]);
        tn_type type = type_make(t->dtype, t->rank, dims);
        snprintf(name, sizeof name, "x%u", (unsigned)i);
        operands[i] = (tn_val){g, graph_add_param(g, name, &type, BINDING_RUN)};
        if (operands[i].id == VALUE_NONE) return false;
    }
    return true;
}

/* The node's attributes with dims of the caller's module replaced by their values in g's. */
static bool settle_attrs(eval_args *c, tn_graph *g, attr *items) {
    const attr_list *list = &c->node->attrs;
    for (uint32_t k = 0; k < list->n; k++) {
        items[k] = list->items[k];
        int64_t extent;
        if (attr_kind_of((attr_name)items[k].name) == ATTR_KIND_DIM) {
            if (!eval_dim_value(c, items[k].dim, &extent)) return false;
            items[k].dim = dim_const(g->module->dims, extent);
        }
        if (attr_kind_of((attr_name)items[k].name) != ATTR_KIND_DIMS) continue;
        tn_dim *dims = ARENA_ARRAY(&g->module->memory, tn_dim, items[k].dims.n + 1);
        if (!dims) return eval_no_memory(c->state);
        for (uint32_t i = 0; i < items[k].dims.n; i++) {
            if (!eval_dim_value(c, items[k].dims.items[i], &extent)) return false;
            dims[i] = dim_const(g->module->dims, extent);
        }
        items[k].dims.items = dims;
    }
    return true;
}

/* Builds the decomposition into g. */
static bool build(eval_args *c, tn_graph *g) {
    const op_info *info = &op_table[c->node->op];
    attr items[OP_MAX_ATTRS];
    attr_list attrs = {c->node->attrs.n, items};
    uint32_t n_results = c->node->n_results;
    if (attrs.n > OP_MAX_ATTRS) return eval_error(c->state, TN_ERR_VERIFY, "there are too many attributes");
    tn_val *vals = tn_calloc((size_t)c->n_operands + n_results + 1, sizeof *vals);
    if (!vals) return eval_no_memory(c->state);
    bool is_good = add_params(c, g, vals) && settle_attrs(c, g, items) &&
                   info->expand(g, vals, c->n_operands, &attrs, vals + c->n_operands);
    for (uint32_t r = 0; r < n_results && is_good; r++) {
        tn_val v = vals[c->n_operands + r];
        char name[16];
        snprintf(name, sizeof name, "y%u", (unsigned)r);
        is_good = tn_is_valid(v) && graph_add_result(g, name, v.id, -1);
    }
    tn_free(vals);
    if (is_good) return true;
    const tn_diag *why = &g->module->error;
    bool is_limit = why->status == TN_ERR_MEMORY || why->status == TN_ERR_LIMIT;
    return eval_error(c->state, is_limit ? why->status : TN_ERR_INTERNAL, "the decomposition failed: %s",
                      why->status == TN_OK ? "it gives no result" : why->message);
}

static bool run(eval_args *c, const tn_graph *g) {
    eval_state *s = c->state;
    uint32_t n = c->node->n_results;
    eval_tensor *outputs = tn_calloc((size_t)n + 1, sizeof *outputs);
    if (!outputs) return eval_no_memory(s);
    bool is_outermost = !s->blame_node;
    if (is_outermost) {
        s->blame_graph = c->graph;
        s->blame_node = c->node;
    }
    bool is_good = eval_function(s, g, NULL, 0, c->operands, outputs);
    if (is_outermost) s->blame_node = NULL;
    for (uint32_t r = 0; r < n && is_good; r++) is_good = eval_hand_on(c, r, &outputs[r]);
    for (uint32_t r = 0; r < n; r++) eval_tensor_release(s, &outputs[r]);
    tn_free(outputs);
    return is_good;
}

bool eval_composite(eval_args *c) {
    tn_module *m = module_new("decomposition");
    tn_graph *g = m ? module_add_graph(m, "main") : NULL;
    bool is_good = g ? build(c, g) && run(c, g) : eval_no_memory(c->state);
    tn_module_free(m);
    return is_good;
}
