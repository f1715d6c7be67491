/* Turn: a product whose result is read in another order of its axes stores it in that order.
 *
 * in:  groups, and what each of them keeps
 * out: where the one value that a product's group keeps is read through one transposition alone, that transposition,
 *      and the reshapes that alone read it, are members of the group, and what comes of them is kept
 * law: neighbours stay neighbours: the last axis stays the last one
 *
 * A reader could follow the transposition itself. But where axes that were apart become one, as the heads of an
 * attention do, its rows would be no runs any more, and a product would have to copy them first, one element after the
 * other; and there may be several readers. To store costs the same in either order.
 */
#include "compiler/passes/groups.h"

#include <string.h>

#define MANY (GROUP_NONE - 1)

typedef struct turner {
    grouping *s;
    uint32_t *reader;      /* of each value: the only node that reads it, or MANY */
    value_id *kept;        /* of each group: the only value that it keeps, or MANY */
    bool *is_of_a_product; /* each group */
} turner;

static void note(uint32_t *one, uint32_t next) { *one = *one == GROUP_NONE ? next : MANY; }

static void look_at_node(turner *t, uint32_t i) {
    const grouping *s = t->s;
    const node *n = &s->graph->nodes[i];
    for (uint32_t k = 0; k < n->n_operands; k++) note(&t->reader[n->operands[k]], i);
    if (s->roles[i] != FUSION_MEMBER) return;
    t->is_of_a_product[s->group_of[i]] |= n->op == TN_OP_dot;
    for (uint32_t k = 0; k < n->n_results; k++)
        if (s->kept[n->first_result + k]) note(&t->kept[s->group_of[i]], n->first_result + k);
}

static void look_at_all(turner *t) {
    const tn_graph *g = t->s->graph;
    memset(t->reader, 0xff, (g->n_values + 1) * sizeof *t->reader);
    memset(t->kept, 0xff, (t->s->n_groups + 1) * sizeof *t->kept);
    for (uint32_t i = 0; i < g->n_nodes; i++) look_at_node(t, i);
    for (size_t r = 0; r < g->n_results; r++) note(&t->reader[g->results[r].value], MANY);
}

/* The only reader of v, when it is such a view; else GROUP_NONE. */
static uint32_t view_of(const turner *t, value_id v, tn_op op) {
    uint32_t i = t->reader[v];
    if (i == GROUP_NONE || i == MANY || t->s->roles[i] != FUSION_INLINE || t->s->graph->nodes[i].op != op)
        return GROUP_NONE;
    return i;
}

static bool keeps_the_last_axis(const node *transpose) {
    const attr *perm = attr_find(&transpose->attrs, ATTR_perm);
    return perm->ints.n > 0 && perm->ints.items[perm->ints.n - 1] == perm->ints.n - 1;
}

static value_id take_in(turner *t, uint32_t group, uint32_t i) {
    t->s->roles[i] = FUSION_MEMBER;
    t->s->group_of[i] = group;
    return t->s->graph->nodes[i].first_result;
}

static void turn_group(turner *t, uint32_t group) {
    value_id v = t->kept[group];
    uint32_t i = view_of(t, v, TN_OP_transpose);
    if (i == GROUP_NONE || !keeps_the_last_axis(&t->s->graph->nodes[i])) return;
    t->s->kept[v] = false;
    v = take_in(t, group, i);
    while ((i = view_of(t, v, TN_OP_reshape)) != GROUP_NONE) v = take_in(t, group, i);
    t->s->kept[v] = true;
}

bool grouping_turn(grouping *s) {
    const tn_graph *g = s->graph;
    turner t = {.s = s};
    t.reader = tn_malloc((g->n_values + 1) * sizeof *t.reader);
    t.kept = tn_malloc((s->n_groups + 1) * sizeof *t.kept);
    t.is_of_a_product = tn_calloc(s->n_groups + 1, sizeof *t.is_of_a_product);
    bool ok = t.reader && t.kept && t.is_of_a_product;
    if (ok) {
        look_at_all(&t);
        for (uint32_t group = 0; group < s->n_groups; group++)
            if (t.is_of_a_product[group] && t.kept[group] != VALUE_NONE && t.kept[group] != MANY) turn_group(&t, group);
    }
    tn_free(t.reader);
    tn_free(t.kept);
    tn_free(t.is_of_a_product);
    return ok;
}
