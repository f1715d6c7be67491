/* An inverted bottleneck as one group (ir/bottleneck.h): what is between its convolutions is never whole in memory.
 *
 * in:  a grouping, in which each convolution is a group of its own
 * out: both groups joined, where nothing else reads what is between them
 *
 * The kernel makes a panel of its channels for all positions at a time. Many positions have weights that don't lie in
 * panels (layout.c): beside them what is between the convolutions costs little.
 */
#include "compiler/passes/groups_join.h"

#include "ir/bottleneck.h"

enum {
    CHANNEL_MULTIPLE = 16, /* vectors of channels are full, whatever the machine */
    MOST_POSITIONS = 1024, /* of a plane: a panel of planes fits in a cache */
};

static bool is_buffer(const grouping *s, value_id v) { return s->roles[s->graph->values[v].node] != FUSION_INLINE; }

/* The first one's weights are views of panels; all else is there as it is. */
static bool lies_as_needed(const grouping *s, const bottleneck *b) {
    const node *first = &s->graph->nodes[b->expand], *second = &s->graph->nodes[b->depthwise];
    value_id panels = join_behind_views(s, first->operands[1]);
    return is_buffer(s, first->operands[0]) && is_buffer(s, second->operands[1]) && panels != first->operands[1] &&
           graph_type(s->graph, panels)->rank == 3;
}

/* Of the second group, the convolution alone reads the first one. */
static bool is_read_once(const joiner *j, const bottleneck *b, uint32_t first, uint32_t second) {
    const tn_graph *g = j->s->graph;
    for (uint32_t m = j->first_member[second]; m < j->first_member[second + 1]; m++) {
        const node *n = &g->nodes[j->members[m]];
        for (uint32_t k = 0; k < n->n_operands; k++) {
            uint32_t from = g->values[join_behind_views(j->s, n->operands[k])].node;
            bool is_it = j->members[m] == b->depthwise && k == 0;
            if (j->s->group_of[from] == first && !is_it) return false;
        }
    }
    return true;
}

void join_bottleneck(joiner *j, uint32_t end) {
    const grouping *s = j->s;
    bottleneck b;
    parts p = {0};
    if (!bottleneck_find(s->graph, end, &b) || b.positions > MOST_POSITIONS || b.channels % CHANNEL_MULTIPLE != 0 ||
        !lies_as_needed(s, &b))
        return;
    uint32_t first = s->group_of[b.expand], second = s->group_of[end];
    bool is_one = first == s->group_of[s->graph->values[b.expanded].node] && first != second;
    if (!is_one || !join_add(j, &p, second) || !join_add(j, &p, first) || !join_is_private(j, &p, first) ||
        !is_read_once(j, &b, first, second))
        return;
    join_parts(j, &p);
}
