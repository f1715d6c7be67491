/* Values made anew by their readers rather than kept in memory.
 *
 * in:  groups, and which values they keep for others
 * out: cheap elementwise nodes that all their readers copy, as they copy views; fewer values are kept
 * law: a kernel computes what its members computed: only where it is done changes
 *
 * Fusion puts elementwise work with its producer, which then stores what comes of it: a product with a scale and a
 * cotangent behind it stores three results of which two follow from the first. A value is made anew when what it is
 * made of is in memory in any case and its readers read less, weighed in bytes, than a store and the loads of it come
 * to. Only readers that look at an element once take part: products and windows read theirs many times.
 */
#include "compiler/passes/groups.h"

#include <string.h>

enum {
    MAX_READERS = 32, /* of a value: more of them are not looked at */
    MAX_SOURCES = 8,  /* values that one is made of */
    MAX_DEPTH = 4,    /* nodes in a row that are made anew for one value, views not counted */
    MAX_VIEWS = 32,   /* between a value and a reader */
};

typedef struct remaker {
    grouping *s;
    tn_graph *g;
    uint32_t *first_use, *uses; /* of each value: the nodes that have it as an operand; where each value's begin */
    bool *asked;                /* of each value: the function itself reads it */
} remaker;

/* ---- Who reads what ---------------------------------------------------------------------------------- */

static bool open_remaker(remaker *r, grouping *s) {
    tn_graph *g = s->graph;
    size_t n_uses = 0;
    *r = (remaker){.s = s, .g = g};
    for (size_t i = 0; i < g->n_nodes; i++) n_uses += g->nodes[i].n_operands;
    r->first_use = tn_calloc(g->n_values + 2, sizeof *r->first_use);
    r->uses = tn_malloc((n_uses + 1) * sizeof *r->uses);
    r->asked = tn_calloc(g->n_values + 1, sizeof *r->asked);
    if (!r->first_use || !r->uses || !r->asked) return false;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_operands; k++) r->first_use[g->nodes[i].operands[k] + 2]++;
    for (size_t v = 2; v < g->n_values + 2; v++) r->first_use[v] += r->first_use[v - 1];
    for (uint32_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_operands; k++) r->uses[r->first_use[g->nodes[i].operands[k] + 1]++] = i;
    for (size_t i = 0; i < g->n_results; i++) r->asked[g->results[i].value] = true;
    return true;
}

static void close_remaker(remaker *r) {
    tn_free(r->first_use);
    tn_free(r->uses);
    tn_free(r->asked);
}

/* The groups that read a value, each once, and whether all of them may make it anew. */
typedef struct readers {
    uint32_t groups[MAX_READERS];
    int n;
    bool may_remake;
} readers;

static void add_reader(readers *all, uint32_t group) {
    for (int i = 0; i < all->n; i++)
        if (all->groups[i] == group) return;
    if (all->n == MAX_READERS)
        all->may_remake = false;
    else
        all->groups[all->n++] = group;
}

static bool looks_once(const node *n) {
    return (op_table[n->op].loop_class == CLASS_MAP && n->op != TN_OP_rng_bits) ||
           op_table[n->op].loop_class == CLASS_REDUCE;
}

/* Readers of v, also through what is copied into them. */
static void find_readers(const remaker *r, value_id v, int depth, readers *all) {
    const grouping *s = r->s;
    if (r->asked[v] || depth > MAX_VIEWS) all->may_remake = false;
    if (depth > MAX_VIEWS) return;
    for (uint32_t u = r->first_use[v]; u < r->first_use[v + 1]; u++) {
        uint32_t i = r->uses[u];
        const node *n = &r->g->nodes[i];
        if (s->roles[i] == FUSION_TOP) {
            all->may_remake = false;
        } else if (s->roles[i] == FUSION_INLINE) {
            all->may_remake &= n->op != TN_OP_broadcast; /* it would be made once for each repetition */
            find_readers(r, n->first_result, depth + 1, all);
        } else {
            all->may_remake &= looks_once(n);
            add_reader(all, s->group_of[i]);
        }
    }
}

static bool reads(const readers *all, uint32_t group) {
    for (int i = 0; i < all->n; i++)
        if (all->groups[i] == group) return true;
    return false;
}

/* ---- What a value is made of -------------------------------------------------------------------------- */

/* Work that costs no more than a load. */
static bool is_cheap(const node *n) {
    switch (n->op) {
    case TN_OP_add:
    case TN_OP_sub:
    case TN_OP_mul:
    case TN_OP_fma:
    case TN_OP_neg:
    case TN_OP_abs:
    case TN_OP_max:
    case TN_OP_min:
    case TN_OP_clamp:
    case TN_OP_compare:
    case TN_OP_select:
    case TN_OP_not:
    case TN_OP_and:
    case TN_OP_or:
    case TN_OP_convert: return true;
    default: return false;
    }
}

typedef struct recipe {
    value_id sources[MAX_SOURCES]; /* in memory, of as many elements as the value */
    int n_sources;
    uint32_t nodes[MAX_SOURCES]; /* that are copied: that of the value first */
    int n_nodes;
} recipe;

static bool add_source(recipe *made, value_id v) {
    for (int i = 0; i < made->n_sources; i++)
        if (made->sources[i] == v) return true;
    if (made->n_sources == MAX_SOURCES) return false;
    made->sources[made->n_sources++] = v;
    return true;
}

static bool find_recipe(const remaker *r, value_id v, int depth, recipe *made);

/* An operand: what it is a view of, when that is in memory, or else what it is made of in its turn. */
static bool find_operand(const remaker *r, value_id v, int depth, recipe *made) {
    const grouping *s = r->s;
    bool is_repeated = false;
    uint32_t i = r->g->values[v].node;
    while (s->roles[i] == FUSION_INLINE) {
        const node *n = &r->g->nodes[i];
        if (n->n_operands != 1) return n->n_operands == 0; /* a constant or a count; or made anew itself */
        is_repeated |= n->op == TN_OP_broadcast;
        v = n->operands[0];
        i = r->g->values[v].node;
    }
    if (s->roles[i] == FUSION_TOP || s->kept[v]) return is_repeated || add_source(made, v);
    return !is_repeated && find_recipe(r, v, depth + 1, made);
}

static bool find_recipe(const remaker *r, value_id v, int depth, recipe *made) {
    uint32_t i = r->g->values[v].node;
    const node *n = &r->g->nodes[i];
    if (!is_cheap(n) || depth == MAX_DEPTH || made->n_nodes == MAX_SOURCES) return false;
    made->nodes[made->n_nodes++] = i;
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (!find_operand(r, n->operands[k], depth, made)) return false;
    return true;
}

/* ---- Whether it pays ---------------------------------------------------------------------------------- */

static unsigned bits_of(const remaker *r, value_id v) { return tn_dtype_bits((tn_dtype)graph_type(r->g, v)->dtype); }

/* A store and its loads against the loads of sources that a reader does not read in any case; a store counts for
 * more than a load. */
static bool pays(const remaker *r, value_id v, const readers *all, const recipe *made) {
    unsigned spared = bits_of(r, v) * (unsigned)(all->n + 1), more = 0;
    for (int k = 0; k < made->n_sources; k++) {
        readers of_source = {.may_remake = true};
        find_readers(r, made->sources[k], 0, &of_source);
        for (int i = 0; i < all->n; i++)
            if (!reads(&of_source, all->groups[i])) more += bits_of(r, made->sources[k]);
    }
    return 2 * more <= spared;
}

static void try_remake(remaker *r, uint32_t i) {
    grouping *s = r->s;
    value_id v = r->g->nodes[i].first_result;
    if (s->roles[i] != FUSION_MEMBER || !s->kept[v] || !is_cheap(&r->g->nodes[i])) return;
    readers all = {.may_remake = true};
    recipe made = {.n_nodes = 0};
    find_readers(r, v, 0, &all);
    if (!all.may_remake || !find_recipe(r, v, 0, &made) || !pays(r, v, &all, &made)) return;
    for (int k = 0; k < made.n_nodes; k++) {
        s->roles[made.nodes[k]] = FUSION_INLINE;
        s->group_of[made.nodes[k]] = GROUP_NONE;
        s->kept[r->g->nodes[made.nodes[k]].first_result] = false;
    }
}

bool grouping_remake(grouping *s) {
    remaker r;
    bool ok = open_remaker(&r, s);
    /* The last first: what a value is made of may then be made anew as well. */
    for (size_t i = s->graph->n_nodes; ok && i-- > 0;) try_remake(&r, (uint32_t)i);
    close_remaker(&r);
    return ok;
}
