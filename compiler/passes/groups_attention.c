/* Attention as one group: its scores, the work on their rows and its values (ir/attention.h).
 *
 * in:  a grouping, in which no group has both a dot and reductions
 * out: the groups of each attention joined, when nothing else reads what all but the last of them make; with
 *      them those that only compute the dots' operands element by element (scaling, mostly): they are computed
 *      where the operand is packed
 * law: the path from group to group has no way out but its end, and groups have no circles among them, so a
 *      joined group has no path out and back
 */
#include "compiler/passes/groups.h"

#include "ir/attention.h"

#include <string.h>

#define READ_BY_MANY (GROUP_NONE - 1)

typedef struct joiner {
    grouping *s;
    uint32_t *reader;                 /* of each value: the other group that reads it, GROUP_NONE, or READ_BY_MANY */
    uint32_t *members, *first_member; /* nodes by group, in order; where each group's begin */
    uint8_t *is_joined;               /* of each group: it is part of an attention */
} joiner;

/* ---- Readers and members ---- */

/* The member that v is a view of, or the leaf. */
static value_id behind_views(const grouping *s, value_id v) {
    const tn_graph *g = s->graph;
    while (s->roles[g->values[v].node] == FUSION_INLINE && graph_node_of(g, v)->n_operands > 0)
        v = graph_node_of(g, v)->operands[0];
    return v;
}

static void note_reader(joiner *j, value_id v, uint32_t group) {
    v = behind_views(j->s, v);
    uint32_t *reader = &j->reader[v];
    if (group != j->s->group_of[j->s->graph->values[v].node])
        *reader = *reader == GROUP_NONE || *reader == group ? group : READ_BY_MANY;
}

static void find_readers(joiner *j) {
    const grouping *s = j->s;
    const tn_graph *g = s->graph;
    memset(j->reader, 0xff, (g->n_values + 1) * sizeof *j->reader);
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (s->roles[i] == FUSION_INLINE) continue;
        uint32_t group = s->roles[i] == FUSION_MEMBER ? s->group_of[i] : READ_BY_MANY;
        for (uint32_t k = 0; k < g->nodes[i].n_operands; k++) note_reader(j, g->nodes[i].operands[k], group);
    }
    for (size_t r = 0; r < g->n_results; r++) note_reader(j, g->results[r].value, READ_BY_MANY);
}

static void list_members(joiner *j) {
    const grouping *s = j->s;
    for (size_t i = 0; i < s->graph->n_nodes; i++)
        if (s->group_of[i] != GROUP_NONE) j->first_member[s->group_of[i] + 2]++;
    for (size_t k = 2; k < s->n_groups + 2; k++) j->first_member[k] += j->first_member[k - 1];
    for (uint32_t i = 0; i < s->graph->n_nodes; i++)
        if (s->group_of[i] != GROUP_NONE) j->members[j->first_member[s->group_of[i] + 1]++] = i;
}

/* ---- One attention ---- */

enum {
    MOST_PARTS = 8,
    MOST_ELEMENTS = 1 << 21, /* of k or of v for one batch: they are read again for each block of rows */
};

/* Groups to be joined; the last one is that of the second dot. */
typedef struct parts {
    uint32_t groups[MOST_PARTS];
    uint32_t n;
} parts;

static bool is_part(const parts *p, uint32_t group) {
    for (uint32_t i = 0; i < p->n; i++)
        if (p->groups[i] == group) return true;
    return false;
}

static bool add_part(const joiner *j, parts *p, uint32_t group) {
    if (group == GROUP_NONE || is_part(p, group)) return true;
    if (p->n == MOST_PARTS || j->is_joined[group]) return false;
    p->groups[p->n++] = group;
    return true;
}

/* Nothing but the parts reads what the group makes. */
static bool is_private(const joiner *j, const parts *p, uint32_t group) {
    const tn_graph *g = j->s->graph;
    for (uint32_t m = j->first_member[group]; m < j->first_member[group + 1]; m++) {
        const node *n = &g->nodes[j->members[m]];
        for (uint32_t k = 0; k < n->n_results; k++) {
            uint32_t reader = j->reader[n->first_result + k];
            if (reader != GROUP_NONE && !is_part(p, reader)) return false;
        }
    }
    return true;
}

static bool find_parts(const joiner *j, const attention *a, parts *p) {
    const uint32_t *group_of = j->s->group_of;
    p->n = 0;
    if (!add_part(j, p, group_of[a->values])) return false;
    for (uint32_t i = a->scores; i < a->values; i++)
        if (a->is_between[i - a->scores] && !add_part(j, p, group_of[i])) return false;
    for (uint32_t i = 1; i < p->n; i++)
        if (!is_private(j, p, p->groups[i])) return false;
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
    uint32_t group = j->s->group_of[j->s->graph->values[behind_views(j->s, operand)].node];
    if (group != GROUP_NONE && is_elementwise(j, group) && is_private(j, p, group)) add_part(j, p, group);
}

static void join(joiner *j, const parts *p) {
    grouping *s = j->s;
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t group = p->groups[i];
        j->is_joined[group] = true;
        for (uint32_t m = j->first_member[group]; m < j->first_member[group + 1]; m++) {
            const node *n = &s->graph->nodes[j->members[m]];
            s->group_of[j->members[m]] = p->groups[0];
            for (uint32_t k = 0; i > 0 && k < n->n_results; k++) s->kept[n->first_result + k] = false;
        }
    }
}

static void try_join(joiner *j, uint32_t values) {
    const tn_graph *g = j->s->graph;
    attention a;
    parts p;
    if (!attention_find(g, values, &a) || !is_near(g, &g->nodes[a.scores]) || !is_near(g, &g->nodes[a.values])) return;
    if (!find_parts(j, &a, &p)) return;
    add_operand(j, &p, g->nodes[a.scores].operands[0]);
    add_operand(j, &p, g->nodes[a.scores].operands[1]);
    add_operand(j, &p, g->nodes[a.values].operands[1]);
    join(j, &p);
}

bool grouping_join_attention(grouping *s) {
    joiner j = {.s = s};
    const tn_graph *g = s->graph;
    j.reader = tn_malloc((g->n_values + 1) * sizeof *j.reader);
    j.members = tn_malloc((g->n_nodes + 1) * sizeof *j.members);
    j.first_member = tn_calloc(s->n_groups + 3, sizeof *j.first_member);
    j.is_joined = tn_calloc(s->n_groups + 1, 1);
    bool ok = j.reader && j.members && j.first_member && j.is_joined;
    if (ok) {
        find_readers(&j);
        list_members(&j);
        for (uint32_t i = 0; i < g->n_nodes; i++)
            if (g->nodes[i].op == TN_OP_dot && s->roles[i] == FUSION_MEMBER) try_join(&j, i);
    }
    tn_free(j.reader);
    tn_free(j.members);
    tn_free(j.first_member);
    tn_free(j.is_joined);
    return ok;
}
