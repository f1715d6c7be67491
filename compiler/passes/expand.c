/* Expand: every composite becomes its decomposition.
 *
 * in:  any module
 * out: the same functions over primitives alone
 * law: a composite is defined by its decomposition, so nothing changes
 *
 * A decomposition may use other composites; rounds go on until none is left. What a node
 * expands to carries the node's source locations.
 */
#include "compiler/passes/passes.h"
#include "runtime/fault.h"

/* The composite closest to the roots of the table nests no deeper than this. */
enum { MAX_ROUNDS = 8 };

static bool expand_node(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    (void)ctx;
    const op_info *op = &op_table[n->op];
    if (op->loop_class != CLASS_COMPOSITE) return graph_copy_node(to, from, n, map);
    tn_val *operands = tn_calloc(n->n_operands + 1, sizeof *operands), result = {0};
    if (!operands) return module_error(to->module, TN_ERR_MEMORY, n->locations, "out of memory");
    for (uint32_t i = 0; i < n->n_operands; i++) operands[i] = (tn_val){to, map[n->operands[i]]};
    bool forgets = FAULT(expand_alpha) && attr_find(&n->attrs, ATTR_alpha);
    bool ok =
        op->expand(to, operands, n->n_operands, forgets ? &(attr_list){0} : &n->attrs, &result) && tn_is_valid(result);
    tn_free(operands);
    if (!ok) return module_error(to->module, TN_ERR_INTERNAL, n->locations, "%s: no decomposition", op->name);
    map[n->first_result] = result.id;
    return true;
}

static bool has_composite(const tn_module *m) {
    for (size_t i = 0; i < m->n_graphs; i++)
        for (size_t k = 0; k < m->graphs[i]->n_nodes; k++)
            if (op_is_composite((tn_op)m->graphs[i]->nodes[k].op)) return true;
    return false;
}

bool pass_expand(tn_module *m, const pass_options *o) {
    (void)o;
    for (int round = 0; has_composite(m); round++) {
        if (round == MAX_ROUNDS)
            return module_error(m, TN_ERR_INTERNAL, LOCATION_NONE, "composites nest deeper than %d", MAX_ROUNDS);
        if (!module_rebuild(m, true, expand_node, NULL)) return false;
    }
    return true;
}
