/* What the patterns of joined groups share (see groups_join.h): who reads what, and the joining itself. */
#include "compiler/passes/groups_join.h"

#include <string.h>

#define READ_BY_MANY (GROUP_NONE - 1)

/* The op that a pattern ends in. */
static join_pattern *const patterns[TN_OP_COUNT] = {
    [TN_OP_dot] = join_attention,
    [TN_OP_conv] = join_bottleneck,
};

/* ---- Readers and members ---- */

value_id join_behind_views(const grouping *s, value_id v) {
    const tn_graph *g = s->graph;
    while (s->roles[g->values[v].node] == FUSION_INLINE && graph_node_of(g, v)->n_operands > 0)
        v = graph_node_of(g, v)->operands[0];
    return v;
}

static void note_reader(joiner *j, value_id v, uint32_t group) {
    v = join_behind_views(j->s, v);
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

/* ---- Parts ---- */

static bool is_part(const parts *p, uint32_t group) {
    for (uint32_t i = 0; i < p->n; i++)
        if (p->groups[i] == group) return true;
    return false;
}

bool join_add(const joiner *j, parts *p, uint32_t group) {
    if (group == GROUP_NONE || is_part(p, group)) return true;
    if (p->n == JOIN_MOST_PARTS || j->is_joined[group]) return false;
    p->groups[p->n++] = group;
    return true;
}

bool join_is_private(const joiner *j, const parts *p, uint32_t group) {
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

void join_parts(joiner *j, const parts *p) {
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

bool grouping_join(grouping *s) {
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
            if (patterns[g->nodes[i].op] && s->roles[i] == FUSION_MEMBER) patterns[g->nodes[i].op](&j, i);
    }
    tn_free(j.reader);
    tn_free(j.members);
    tn_free(j.first_member);
    tn_free(j.is_joined);
    return ok;
}
