/* Groups: which nodes of a function become one kernel. Made by groups.c, outlined by fuse.c. */
#ifndef TN_PASSES_GROUPS_H
#define TN_PASSES_GROUPS_H

#include "compiler/passes/passes.h"

#define GROUP_NONE UINT32_MAX

/* What a node is to fusion. */
typedef enum fusion_role {
    FUSION_TOP,    /* stays in the function: parameters, data, control flow, effects */
    FUSION_INLINE, /* an index map, a leaf, a conversion of stored data, or what is cheaper made than stored:
                    * copied into every kernel that reads it */
    FUSION_MEMBER, /* work: belongs to exactly one group */
} fusion_role;

/* Two groups that were not merged: that of node `reader` and that of node `made`, which it reads. */
typedef struct fusion_refusal {
    uint32_t reader, made;
    const char *why;
} fusion_refusal;

typedef struct grouping {
    tn_graph *graph;
    fusion_role *roles; /* of each node */
    uint32_t *group_of; /* of each node, GROUP_NONE for those that are no members */
    bool *kept;         /* of each value: it is read outside the group that makes it */
    size_t n_groups;
    bool keeps_refusals; /* somebody asks */
    fusion_refusal *refusals;
    size_t n_refusals, refusals_capacity;
} grouping;

/* False: out of memory (recorded). */
bool grouping_make(grouping *s, tn_graph *g, const pass_options *o);
void grouping_free(grouping *s);
/* Why the group does not have node `made` in it; NULL: nothing was noted. */
const char *grouping_refusal(const grouping *s, uint32_t group, uint32_t made);

/* groups_join.c: makes one group of those that a larger pattern is made of. False: out of memory. */
bool grouping_join(grouping *s);

/* groups_remake.c: lets readers make cheap values anew, so that they need not be kept. False: out of memory. */
bool grouping_remake(grouping *s);

/* groups_turn.c: has products store what is read transposed in that order. False: out of memory. */
bool grouping_turn(grouping *s);

#endif
