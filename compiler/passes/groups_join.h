/* Joining groups that groups.c leaves apart, because each has a product of its own: one pattern a file.
 *
 * law: a part that is joined with others is read by them alone, so that no path leads out of the joined group but from
 *      its end; groups have no circles among them, so none leads back
 */
#ifndef TN_PASSES_GROUPS_JOIN_H
#define TN_PASSES_GROUPS_JOIN_H

#include "compiler/passes/groups.h"

enum { JOIN_MOST_PARTS = 8 };

typedef struct joiner {
    grouping *s;
    uint32_t *reader;                 /* of each value: the other group that reads it, GROUP_NONE, or one for many */
    uint32_t *members, *first_member; /* nodes by group, in order; where each group's begin */
    uint8_t *is_joined;               /* of each group: it is part of a pattern */
} joiner;

/* Groups to be joined; the first one is that of the pattern's end. */
typedef struct parts {
    uint32_t groups[JOIN_MOST_PARTS];
    uint32_t n;
} parts;

/* The member that v is a view of, or the leaf. */
value_id join_behind_views(const grouping *s, value_id v);
/* True also when the group is a part already, or none. */
bool join_add(const joiner *j, parts *p, uint32_t group);
/* Nothing but the parts reads what the group makes. */
bool join_is_private(const joiner *j, const parts *p, uint32_t group);
void join_parts(joiner *j, const parts *p);

/* The patterns: what ends in node `end` is joined, if it is one. */
typedef void join_pattern(joiner *j, uint32_t end);
join_pattern join_attention, join_bottleneck;

#endif
