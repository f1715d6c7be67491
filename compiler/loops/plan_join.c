/* Concats without a kernel: their operands are made side by side (see plan.h).
 *
 * in:  a function after fuse; a concat that stands in it by itself is one whose parts lie one after the other
 * out: for each value that is a part of another one: which one's buffer it lies in, and where
 *
 * From the last concat to the first: what a later one joins, an earlier one finds in place. So the concats of a dense
 * block, each of which appends to the one before, share one buffer.
 */
#include "compiler/loops/plan.h"
#include "runtime/fault.h"

static bool is_made_here(const tn_graph *g, value_id root) {
    loop_class c = op_table[graph_node_of(g, root)->op].loop_class;
    return c == CLASS_CONTROL || graph_node_of(g, root)->op == TN_OP_concat;
}

/* Whether a later concat has all operands in a row. */
static bool is_joined_already(const tn_graph *g, const node *n, const plan_part *parts) {
    dim_table *t = g->module->dims;
    const plan_part *first = &parts[plan_root(g, n->operands[0])];
    tn_dim end = first->offset;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        const plan_part *p = &parts[plan_root(g, n->operands[k])];
        if (p->whole == VALUE_NONE || p->whole != first->whole || p->offset != end) return false;
        end = dim_add(t, end, plan_value_bytes(g, n->operands[k]));
    }
    return true;
}

void plan_join(const tn_graph *g, plan_part *parts) {
    dim_table *t = g->module->dims;
    for (size_t v = 0; v < g->n_values; v++) parts[v] = (plan_part){VALUE_NONE, DIM_INVALID};
    for (size_t r = 0; r < g->n_results; r++) {
        value_id root = plan_root(g, g->results[r].value);
        parts[root] = (plan_part){root, dim_const(t, 0)}; /* has a buffer of its own */
    }
    for (size_t i = g->n_nodes; i-- > 0;) {
        const node *n = &g->nodes[i];
        plan_part *own = &parts[n->first_result];
        if (n->op != TN_OP_concat) continue;
        if (own->whole == VALUE_NONE)
            *own = is_joined_already(g, n, parts) ? parts[plan_root(g, n->operands[0])]
                                                  : (plan_part){n->first_result, dim_const(t, 0)};
        tn_dim offset = own->offset;
        for (uint32_t k = 0; k < n->n_operands; k++) {
            plan_part *p = &parts[plan_root(g, n->operands[k])];
            if (p->whole == VALUE_NONE && is_made_here(g, plan_root(g, n->operands[k])))
                *p = (plan_part){own->whole, offset};
            if (!FAULT(join_offset) || k != 1) offset = dim_add(t, offset, plan_value_bytes(g, n->operands[k]));
        }
    }
}
