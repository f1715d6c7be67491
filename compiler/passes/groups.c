/* Grouping: every member starts alone; groups merge with those they read from.
 *
 * in:  a function of primitives
 * out: a partition of its members such that each part can be one kernel
 * law: a group is computed over one domain, a shape with, for row kernels, a set of axes that
 *      its reductions run over. Each member has one index within the domain, fixed by its
 *      shape, and reads other members at exactly that index (views between them are followed
 *      by their index maps). No path leads out of a group and back into it. Groups that make up a larger
 *      pattern are joined at the end (groups_join.c).
 *
 * Whether a merge is right is decided by trying it: the nodes change their group, both
 * conditions are checked, and if one fails they change back.
 */
#include "compiler/passes/groups.h"

#include "ir/view.h"

#include <string.h>

typedef enum group_kind {
    GROUP_ELEMENTS, /* elementwise over the domain */
    GROUP_ROWS,     /* with reductions over the same axes of the domain */
    GROUP_ANCHORED, /* a contraction, convolution or window, then elementwise on its result */
    GROUP_ALONE,    /* a node that nothing joins */
} group_kind;

typedef struct group {
    group_kind kind;
    tn_type domain;
    uint32_t reduced;        /* axes of the domain, a bit each */
    uint32_t first, last, n; /* range of its members in the function, and how many */
    uint32_t head, tail;     /* list of its members: grouper.next */
    uint32_t seen;           /* the last walk that came by */
} group;

enum {
    MAX_MEMBERS = 96,
    MAX_INLINE = 16, /* views of views: one further down becomes a kernel of its own */
    MAX_WALK = 4096, /* nodes looked at for a path out and back; beyond, no merge */
};

typedef struct grouper {
    grouping *out;
    tn_graph *g;
    dim_table *t;
    group *groups;
    uint32_t *next; /* of each node: the next member of its group, or GROUP_NONE */
    uint32_t *seen; /* of each node: the last walk that came by */
    uint32_t walk;
    uint32_t *stack; /* nodes that the walk still has to follow */
    uint32_t n_stack, n_walked;
    tn_dim variables[TN_MAX_RANK];
    const char *why; /* the merge that was tried last is wrong */
} grouper;

/* ---- Roles ---- */

static bool is_scalar_constant(const tn_graph *g, const node *n) {
    return n->op == TN_OP_constant &&
           dim_is_value(g->module->dims, type_element_count(g->module->dims, graph_type(g, n->first_result)), 1);
}

/* A concat whose parts lie one after the other, each of them made in this function: the plan has them made there. */
static bool joins_in_place(const tn_graph *g, const node *n) {
    const tn_type *type = graph_type(g, n->first_result);
    for (int64_t i = attr_int(&n->attrs, ATTR_axis, 0); i-- > 0;)
        if (!dim_is_value(g->module->dims, type->dims[i], 1)) return false;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        const node *from = graph_node_of(g, n->operands[k]);
        while (from->op == TN_OP_reshape) from = graph_node_of(g, from->operands[0]);
        loop_class c = op_table[from->op].loop_class;
        if (c == CLASS_LEAF || c == CLASS_EFFECT) return false;
    }
    return true;
}

static fusion_role role_of(const tn_graph *g, const node *n, bool no_fusion) {
    if (n->op == TN_OP_concat && !no_fusion && joins_in_place(g, n)) return FUSION_TOP;
    switch (op_table[n->op].loop_class) {
    case CLASS_CONTROL:
    case CLASS_EFFECT: return FUSION_TOP;
    case CLASS_LEAF:
        return n->op == TN_OP_iota || n->op == TN_OP_dim || is_scalar_constant(g, n) ? FUSION_INLINE : FUSION_TOP;
    case CLASS_VIEW: return view_is_plain((tn_op)n->op) ? FUSION_INLINE : FUSION_MEMBER;
    default: return FUSION_MEMBER;
    }
}

static group_kind kind_of(const node *n) {
    switch (op_table[n->op].loop_class) {
    case CLASS_MAP: return GROUP_ELEMENTS;
    case CLASS_REDUCE: return GROUP_ROWS;
    case CLASS_CONTRACT:
    case CLASS_CONV:
    case CLASS_WINDOW: return GROUP_ANCHORED;
    case CLASS_INDEX: return n->op == TN_OP_scatter ? GROUP_ALONE : GROUP_ELEMENTS;
    case CLASS_VIEW: return n->op == TN_OP_pad ? GROUP_ELEMENTS : GROUP_ALONE;
    case CLASS_LEAF: return GROUP_ELEMENTS;
    default: return GROUP_ALONE;
    }
}

/* Reads its operands at the index of its own result. */
static bool is_elementwise(const node *n) { return op_table[n->op].loop_class == CLASS_MAP && n->op != TN_OP_rng_bits; }

/* ---- Indices of members ---- */

static tn_dim domain_index(const grouper *s, const group *g, int axis) {
    return dim_is_value(s->t, g->domain.dims[axis], 1) ? dim_const(s->t, 0) : s->variables[axis];
}

/* The index at which a value of this shape is computed; false: no such shape in the domain. */
static bool index_of_shape(const grouper *s, const group *g, const tn_type *type, tn_dim *index) {
    const tn_type *d = &g->domain;
    bool whole = type->rank == d->rank, kept = type->rank == d->rank;
    for (int i = 0; i < d->rank && (whole || kept); i++) {
        bool reduced = g->reduced >> i & 1;
        whole &= type->dims[i] == d->dims[i];
        kept &= reduced ? dim_is_value(s->t, type->dims[i], 1) : type->dims[i] == d->dims[i];
    }
    if (whole || kept) {
        for (int i = 0; i < d->rank; i++)
            index[i] = !whole && g->reduced >> i & 1 ? dim_const(s->t, 0) : domain_index(s, g, i);
        return true;
    }
    int at = 0;
    for (int i = 0; i < d->rank; i++)
        if (!(g->reduced >> i & 1)) {
            if (at >= type->rank || type->dims[at] != d->dims[i]) return false;
            index[at++] = domain_index(s, g, i);
        }
    return at == type->rank && g->reduced != 0;
}

static bool reads_legally(const grouper *s, uint32_t id, value_id v, const tn_dim *index) {
    uint32_t i = s->g->values[v].node;
    const node *n = &s->g->nodes[i];
    if (s->out->group_of[i] == id) {
        tn_dim own[TN_MAX_RANK];
        const tn_type *type = graph_type(s->g, v);
        return index && index_of_shape(s, &s->groups[id], type, own) &&
               memcmp(own, index, type->rank * sizeof *own) == 0;
    }
    if (s->out->roles[i] != FUSION_INLINE || n->n_operands == 0) return true;
    if (!index || n->op == TN_OP_convert) return reads_legally(s, id, n->operands[0], index);
    dim_range ranges[TN_MAX_RANK];
    const group *g = &s->groups[id];
    for (int k = 0; k < g->domain.rank; k++)
        ranges[k] = (dim_range){s->variables[k], dim_const(s->t, 0), dim_add_const(s->t, g->domain.dims[k], -1)};
    tn_dim from[TN_MAX_RANK];
    view_index(s->g, n, index, ranges, g->domain.rank, from);
    return reads_legally(s, id, n->operands[0], from);
}

/* A member's operands: at its own index when it is elementwise, over the whole domain when it
 * reduces; all else must come from outside the group (index NULL). */
static bool member_is_legal(const grouper *s, uint32_t id, const node *n) {
    tn_dim index[TN_MAX_RANK];
    const tn_dim *at = NULL;
    bool reduces = op_table[n->op].loop_class == CLASS_REDUCE;
    const tn_type *type = graph_type(s->g, reduces ? n->operands[0] : n->first_result);
    if (!index_of_shape(s, &s->groups[id], type, index)) return false;
    if (is_elementwise(n) || reduces) at = index;
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (!reads_legally(s, id, n->operands[k], at)) return false;
    return true;
}

/* ---- Paths out and back ---- */

/* Takes node i into the walk; true when it is a member of the group, or the walk is too long. */
static bool walk_to(grouper *s, uint32_t id, uint32_t i) {
    uint32_t own = s->out->group_of[i];
    if (own == id) return true;
    if (s->seen[i] == s->walk || (own == GROUP_NONE ? i : s->groups[own].last) < s->groups[id].first) return false;
    s->seen[i] = s->walk;
    s->stack[s->n_stack++] = i;
    return ++s->n_walked > MAX_WALK;
}

static bool walk_to_operands(grouper *s, uint32_t id, const node *n) {
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (walk_to(s, id, s->g->values[n->operands[k]].node)) return true;
    return false;
}

/* A node of another group needs all that its group needs. */
static bool walk_from(grouper *s, uint32_t id, uint32_t i) {
    uint32_t own = s->out->group_of[i];
    if (own == GROUP_NONE) return walk_to_operands(s, id, &s->g->nodes[i]);
    if (s->groups[own].seen == s->walk) return false;
    s->groups[own].seen = s->walk;
    for (uint32_t m = s->groups[own].head; m != GROUP_NONE; m = s->next[m])
        if (walk_to_operands(s, id, &s->g->nodes[m])) return true;
    return false;
}

/* Node i, outside the group, needs a member of it. */
static bool leads_back(grouper *s, uint32_t id, uint32_t i) {
    s->n_stack = 0;
    if (walk_to(s, id, i)) return true;
    while (s->n_stack > 0)
        if (walk_from(s, id, s->stack[--s->n_stack])) return true;
    return false;
}

/* Operand chains of views are part of the reader, so they are followed before the question. */
static bool outside_leads_back(grouper *s, uint32_t id, uint32_t i) {
    while (s->out->roles[i] == FUSION_INLINE && s->g->nodes[i].n_operands > 0)
        i = s->g->values[s->g->nodes[i].operands[0]].node;
    return s->out->group_of[i] != id && leads_back(s, id, i);
}

/* ---- Merging ---- */

static bool same_domain(const group *a, const group *b) { return type_equal(&a->domain, &b->domain); }

static bool refuse(grouper *s, const char *why) {
    s->why = why;
    return false;
}

/* The group that both would make; false: their kinds do not go together. Whether shapes and
 * indices fit is checked member by member afterwards. */
static bool combine(grouper *s, const group *a, const group *b, group *merged) {
    if (a->kind == GROUP_ALONE || b->kind == GROUP_ALONE)
        return refuse(
            s, "one of them is of an op that is computed alone (a sort, a running sum, a scatter, a view of views)");
    if (a->n + b->n > MAX_MEMBERS) return refuse(s, "together they would be of more nodes than a kernel may have");
    if (a->kind == GROUP_ANCHORED && b->kind == GROUP_ANCHORED)
        return refuse(s, "each has a product, a convolution or a window of its own, and a kernel is built around one");
    if ((a->kind == GROUP_ANCHORED && b->kind == GROUP_ROWS) || (a->kind == GROUP_ROWS && b->kind == GROUP_ANCHORED))
        return refuse(
            s, "one goes along whole rows, which the tiles of the other's product, convolution or window do not");
    if (a->kind == GROUP_ROWS && b->kind == GROUP_ROWS && (!same_domain(a, b) || a->reduced != b->reduced))
        return refuse(s, "they reduce other axes, or values of other shapes");
    *merged = a->kind == GROUP_ELEMENTS ? *b : *a;
    merged->first = a->first < b->first ? a->first : b->first;
    merged->last = a->last > b->last ? a->last : b->last;
    merged->n = a->n + b->n;
    return true;
}

static void rename_group(grouper *s, uint32_t from, uint32_t to, const uint32_t *members, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (s->out->group_of[members[i]] == from) s->out->group_of[members[i]] = to;
}

static uint32_t list_members(const grouper *s, uint32_t id, uint32_t *members) {
    uint32_t n = 0;
    for (uint32_t i = s->groups[id].head; i != GROUP_NONE && n < MAX_MEMBERS; i = s->next[i]) members[n++] = i;
    return n;
}

static bool merge_is_right(grouper *s, uint32_t id, const uint32_t *members, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (!member_is_legal(s, id, &s->g->nodes[members[i]]))
            return refuse(
                s, "it is read at other elements than the one that is being computed, several times or in another "
                   "shape");
    s->walk++;
    s->n_walked = 0;
    for (uint32_t i = 0; i < n; i++) {
        const node *m = &s->g->nodes[members[i]];
        for (uint32_t k = 0; k < m->n_operands; k++)
            if (outside_leads_back(s, id, s->g->values[m->operands[k]].node))
                return refuse(s, "a third kernel needs what the one makes, and the other needs that");
    }
    return true;
}

/* Merges `from` into `id` when that is right. */
static bool try_merge(grouper *s, uint32_t id, uint32_t from) {
    group merged, former = s->groups[id];
    if (!combine(s, &s->groups[from], &former, &merged)) return false;
    uint32_t members[2 * MAX_MEMBERS];
    uint32_t n_from = list_members(s, from, members);
    uint32_t n = n_from + list_members(s, id, members + n_from);
    rename_group(s, from, id, members, n_from);
    merged.head = former.head;
    merged.tail = former.tail;
    s->groups[id] = merged;
    if (merge_is_right(s, id, members, n)) {
        s->next[merged.tail] = s->groups[from].head;
        s->groups[id].tail = s->groups[from].tail;
        s->groups[from].n = 0;
        return true;
    }
    s->groups[id] = former;
    rename_group(s, id, from, members, n_from);
    return false;
}

static void note_refusal(grouping *out, uint32_t reader, uint32_t made, const char *why) {
    if (!out->keeps_refusals) return;
    if (array_reserve((void **)&out->refusals, &out->refusals_capacity, out->n_refusals + 1, sizeof *out->refusals))
        out->refusals[out->n_refusals++] = (fusion_refusal){reader, made, why};
    else
        module_no_memory(out->graph->module);
}

/* Groups that node i reads from, through views. */
static void merge_with_producers(grouper *s, uint32_t id, uint32_t i) {
    const node *n = &s->g->nodes[i];
    for (uint32_t k = 0; k < n->n_operands; k++) {
        uint32_t o = s->g->values[n->operands[k]].node;
        while (s->out->roles[o] == FUSION_INLINE && s->g->nodes[o].n_operands > 0)
            o = s->g->values[s->g->nodes[o].operands[0]].node;
        uint32_t from = s->out->group_of[o];
        if (from != GROUP_NONE && from != id && !try_merge(s, id, from)) note_refusal(s->out, i, o, s->why);
    }
}

static void start_group(grouper *s, uint32_t i) {
    const node *n = &s->g->nodes[i];
    group *g = &s->groups[s->out->n_groups];
    *g = (group){.kind = kind_of(n),
                 .domain = *graph_type(s->g, n->first_result),
                 .first = i,
                 .last = i,
                 .n = 1,
                 .head = i,
                 .tail = i};
    s->next[i] = GROUP_NONE;
    if (g->kind == GROUP_ROWS) {
        g->domain = *graph_type(s->g, n->operands[0]);
        const attr *axes = attr_find(&n->attrs, ATTR_axes);
        for (uint32_t k = 0; k < axes->ints.n; k++) g->reduced |= 1u << axes->ints.items[k];
    }
    g->domain.dtype = TN_BOOL; /* only its shape counts */
    s->out->group_of[i] = (uint32_t)s->out->n_groups++;
}

/* ---- What must exist in memory ---- */

/* v is read from outside: its producer keeps it. An inline node is kept only where it must be
 * a buffer of its own; then it becomes a member, alone, unless it is a reshape, which is
 * another name for its operand's buffer. */
static void keep_for_function(grouper *s, value_id v) {
    uint32_t i = s->g->values[v].node;
    const node *n = &s->g->nodes[i];
    s->out->kept[v] = true;
    if (s->out->roles[i] != FUSION_INLINE) return;
    if (n->op == TN_OP_constant)
        s->out->roles[i] = FUSION_TOP;
    else if (n->op == TN_OP_reshape) {
        s->out->roles[i] = FUSION_TOP;
        keep_for_function(s, n->operands[0]);
    } else
        s->out->roles[i] = FUSION_MEMBER;
}

static void keep_for_kernel(grouping *s, uint32_t reader, value_id v) {
    uint32_t i = s->graph->values[v].node;
    if (s->roles[i] == FUSION_INLINE) {
        if (s->graph->nodes[i].n_operands > 0) keep_for_kernel(s, reader, s->graph->nodes[i].operands[0]);
    } else if (s->group_of[i] == GROUP_NONE || s->group_of[i] != reader)
        s->kept[v] = true;
}

/* Data of fewer bits stays so in memory: where products alone read its conversion, each converts for itself. */
static void inline_conversions(grouper *s) {
    const tn_graph *g = s->g;
    uint32_t *others = s->next; /* of each node: what reads it, if through views, other than products */
    for (size_t i = 0; i < g->n_nodes; i++) others[i] = 0;
    for (size_t r = 0; r < g->n_results; r++) others[g->values[g->results[r].value].node]++;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const node *n = &g->nodes[i];
        bool is_stored = n->n_operands == 1 && s->out->roles[g->values[n->operands[0]].node] == FUSION_TOP;
        if (others[i] == 0 && is_stored && is_widening(g, n)) s->out->roles[i] = FUSION_INLINE;
        bool counts = s->out->roles[i] == FUSION_INLINE ? others[i] > 0 : n->op != TN_OP_dot;
        for (uint32_t k = 0; counts && k < n->n_operands; k++) others[g->values[n->operands[k]].node]++;
    }
}

static void find_roles(grouper *s, bool no_fusion) {
    tn_graph *g = s->g;
    uint32_t *views = s->stack; /* of each node: views that are read through it, itself included */
    for (size_t i = 0; i < g->n_nodes; i++) s->out->roles[i] = role_of(g, &g->nodes[i], no_fusion);
    if (!no_fusion) inline_conversions(s);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        if (s->out->roles[i] != FUSION_INLINE || n->n_operands == 0)
            views[i] = 0;
        else if ((views[i] = 1 + views[g->values[n->operands[0]].node]) > MAX_INLINE) {
            s->out->roles[i] = FUSION_MEMBER;
            views[i] = 0;
        }
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (s->out->roles[i] == FUSION_TOP)
            for (uint32_t k = 0; k < g->nodes[i].n_operands; k++) keep_for_function(s, g->nodes[i].operands[k]);
    for (size_t r = 0; r < g->n_results; r++) keep_for_function(s, g->results[r].value);
}

bool grouping_make(grouping *out, tn_graph *g, const pass_options *o) {
    *out = (grouping){.graph = g, .keeps_refusals = o->fusion_notes != NULL};
    grouper s = {.out = out, .g = g, .t = g->module->dims};
    out->roles = tn_calloc(g->n_nodes + 1, sizeof *out->roles);
    out->group_of = tn_malloc((g->n_nodes + 1) * sizeof *out->group_of);
    out->kept = tn_calloc(g->n_values + 1, sizeof *out->kept);
    s.groups = tn_calloc(g->n_nodes + 1, sizeof *s.groups);
    s.seen = tn_calloc(g->n_nodes + 1, sizeof *s.seen);
    s.next = tn_malloc((g->n_nodes + 1) * sizeof *s.next);
    s.stack = tn_malloc((g->n_nodes + 1) * sizeof *s.stack);
    bool ok = out->roles && out->group_of && out->kept && s.groups && s.seen && s.next && s.stack;
    if (ok) {
        memset(out->group_of, 0xff, (g->n_nodes + 1) * sizeof *out->group_of);
        for (uint32_t i = 0; i < TN_MAX_RANK; i++) s.variables[i] = dim_variable(s.t, i);
        find_roles(&s, o->no_fusion);
        for (uint32_t i = 0; i < g->n_nodes; i++)
            if (out->roles[i] == FUSION_MEMBER) {
                start_group(&s, i);
                if (!o->no_fusion) merge_with_producers(&s, out->group_of[i], i);
            }
        for (size_t i = 0; i < g->n_nodes; i++)
            if (out->roles[i] == FUSION_MEMBER)
                for (uint32_t k = 0; k < g->nodes[i].n_operands; k++)
                    keep_for_kernel(out, out->group_of[i], g->nodes[i].operands[k]);
        ok = o->no_fusion || (grouping_join(out) && (o->no_remake || grouping_remake(out)) && grouping_turn(out));
    }
    tn_free(s.groups);
    tn_free(s.seen);
    tn_free(s.next);
    tn_free(s.stack);
    return ok || module_error(g->module, TN_ERR_MEMORY, LOCATION_NONE, "out of memory while fusing %s", g->name);
}

void grouping_free(grouping *s) {
    tn_free(s->roles);
    tn_free(s->group_of);
    tn_free(s->kept);
    tn_free(s->refusals);
    *s = (grouping){0};
}

const char *grouping_refusal(const grouping *s, uint32_t group, uint32_t made) {
    uint32_t of_made = s->group_of[made];
    for (size_t i = s->n_refusals; i-- > 0;)
        if (s->group_of[s->refusals[i].reader] == group && s->group_of[s->refusals[i].made] == of_made)
            return s->refusals[i].why;
    return NULL;
}
