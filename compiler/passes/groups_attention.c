/* Attention as one group: its scores, the work on their rows and its values (ir/attention.h).
 *
 * in:  a grouping, in which no group has both a dot and reductions
 * out: the groups of each attention joined, when nothing else reads what all but the last of them make; with
 *      them those that only compute the dots' operands element by element (scaling, mostly): they are computed
 *      where the operand is packed
 */
#include "compiler/passes/groups_join.h"

#include "ir/attention.h"

enum { MOST_ELEMENTS = 1 << 21 }; /* of k or of v for one batch: they are read again for each block of rows */

static bool find_parts(const joiner *j, const attention *a, parts *p) {
    const uint32_t *group_of = j->s->group_of;
    if (!join_add(j, p, group_of[a->values])) return false;
    for (uint32_t i = a->scores; i < a->values; i++)
        if (a->is_between[i - a->scores] && !join_add(j, p, group_of[i])) return false;
    for (uint32_t i = 1; i < p->n; i++)
        if (!join_is_private(j, p, p->groups[i])) return false;
    return p->n > 1;
}

/* What one batch of the dot reads of its second operand stays in a cache; unless that is symbolic. */
static bool is_near(const tn_graph *g, const node *dot) {
    const tn_type *type = graph_type(g, dot->operands[1]);
    const attr *batch = attr_find(&dot->attrs, ATTR_batch);
    int64_t all = 1, extent;
    uint32_t is_batch = 0;
    for (uint32_t i = 0; batch && i < batch->split; i++) is_batch |= 1u << batch->ints.items[batch->split + i];
    for (int i = 0; i < type->rank && all <= MOST_ELEMENTS; i++)
        if (!(is_batch >> i & 1) && dim_is_const(g->module->dims, type->dims[i], &extent))
            all = extent < MOST_ELEMENTS ? all * extent : MOST_ELEMENTS + 1;
    return all <= MOST_ELEMENTS;
}

static bool is_elementwise(const joiner *j, uint32_t group) {
    for (uint32_t m = j->first_member[group]; m < j->first_member[group + 1]; m++) {
        const node *n = &j->s->graph->nodes[j->members[m]];
        if (op_table[n->op].loop_class != CLASS_MAP || n->op == TN_OP_rng_bits) return false;
    }
    return true;
}

/* The group that computes an operand of one of the dots, when it does nothing else. */
static void add_operand(const joiner *j, parts *p, value_id operand) {
    uint32_t group = j->s->group_of[j->s->graph->values[join_behind_views(j->s, operand)].node];
    if (group != GROUP_NONE && is_elementwise(j, group) && join_is_private(j, p, group)) join_add(j, p, group);
}

void join_attention(joiner *j, uint32_t values) {
    const tn_graph *g = j->s->graph;
    attention a;
    parts p = {0};
    if (!attention_find(g, values, &a) || !is_near(g, &g->nodes[a.scores]) || !is_near(g, &g->nodes[a.values])) return;
    if (!find_parts(j, &a, &p)) return;
    add_operand(j, &p, g->nodes[a.scores].operands[0]);
    add_operand(j, &p, g->nodes[a.scores].operands[1]);
    add_operand(j, &p, g->nodes[a.values].operands[1]);
    join_parts(j, &p);
}
