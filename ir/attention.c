/* Which nodes are an attention (see attention.h): from the second dot back to a dot of the shape that it
 * takes, then forward from there, every node that depends on it being work on rows. */
#include "ir/attention.h"

enum { MOST_TRIED = 8 }; /* dots of that shape */

/* ---- Shapes ---- */

static bool same_dims(const tn_type *a, const tn_type *b) {
    bool same = a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++) same = a->dims[i] == b->dims[i];
    return same;
}

/* The axes of batch and rows, alone or with keys of extent 1. */
static bool is_row(const tn_graph *g, const tn_type *type, const tn_type *scores, int n_keys) {
    int n = scores->rank - n_keys;
    if (type->rank != n && type->rank != scores->rank) return false;
    for (int i = 0; i < type->rank; i++)
        if (i < n ? type->dims[i] != scores->dims[i] : !dim_is_value(g->module->dims, type->dims[i], 1)) return false;
    return true;
}

/* ---- The dots ---- */

/* Axes begin, begin + 1, ... of the first operand. */
static bool in_order(const attr *pairs, int begin) {
    for (uint32_t i = 0; pairs && i < pairs->split; i++)
        if (pairs->ints.items[i] != begin + (int64_t)i) return false;
    return true;
}

static int count_pairs(const node *n, attr_name name) {
    const attr *pairs = attr_find(&n->attrs, name);
    return pairs ? (int)pairs->split : 0;
}

/* Sums in the operands' own dtype, as the rows in between are. */
static bool has_own_sums(const tn_graph *g, const node *dot) {
    int64_t own = graph_type(g, dot->operands[0])->dtype;
    return (own == TN_F32 || own == TN_F64) && attr_int(&dot->attrs, ATTR_acc, own) == own;
}

/* The second dot: batch axes first, keys last. */
static bool read_values(const tn_graph *g, const node *dot, attention *found) {
    const tn_type *type = graph_type(g, dot->operands[0]);
    found->weights = dot->operands[0];
    found->n_batch = count_pairs(dot, ATTR_batch);
    found->n_keys = count_pairs(dot, ATTR_contract);
    found->n_rows = type->rank - found->n_batch - found->n_keys;
    return has_own_sums(g, dot) && found->n_keys > 0 && in_order(attr_find(&dot->attrs, ATTR_batch), 0) &&
           in_order(attr_find(&dot->attrs, ATTR_contract), type->rank - found->n_keys);
}

/* The first: as many axes of each kind. Its result has batch axes first, then the first operand's. */
static bool makes_scores(const tn_graph *g, const node *dot, const attention *found) {
    const tn_type *q = graph_type(g, dot->operands[0]), *wanted = graph_type(g, found->weights);
    return dot->op == TN_OP_dot && same_dims(graph_type(g, dot->first_result), wanted) && has_own_sums(g, dot) &&
           q->dtype == wanted->dtype && count_pairs(dot, ATTR_batch) == found->n_batch &&
           q->rank - found->n_batch - count_pairs(dot, ATTR_contract) == found->n_rows;
}

/* ---- In between ---- */

static bool reduces_keys(const node *n, const tn_type *type, int n_keys) {
    const attr *axes = attr_find(&n->attrs, ATTR_axes);
    reduce_kind kind = (reduce_kind)attr_int(&n->attrs, ATTR_kind, 0);
    if (kind == REDUCE_ARGMAX || kind == REDUCE_ARGMIN || axes->ints.n != (uint32_t)n_keys) return false;
    for (int i = 0; i < n_keys; i++)
        if (axes->ints.items[i] != type->rank - n_keys + i) return false;
    return true;
}

/* Reads what depends on the scores at its own row only. */
static bool is_row_work(const tn_graph *g, const node *n, const attention *found) {
    const tn_type *scores = graph_type(g, found->weights), *type = graph_type(g, n->first_result);
    const tn_type *from = graph_type(g, n->operands[0]);
    bool has_shape = same_dims(type, scores) || is_row(g, type, scores, found->n_keys);
    if (n->op == TN_OP_reduce) return same_dims(from, scores) && reduces_keys(n, from, found->n_keys);
    if (n->op == TN_OP_reshape) return has_shape && is_row(g, from, scores, found->n_keys);
    if (n->op == TN_OP_broadcast) {
        const attr *dims = attr_find(&n->attrs, ATTR_dims);
        for (uint32_t i = 0; dims && i < dims->ints.n; i++)
            if (dims->ints.items[i] != (int64_t)i) return false;
        return has_shape && is_row(g, from, scores, found->n_keys);
    }
    return op_table[n->op].loop_class == CLASS_MAP && n->op != TN_OP_rng_bits && has_shape;
}

static bool is_marked(const tn_graph *g, const attention *found, value_id v) {
    uint32_t i = g->values[v].node;
    return i >= found->scores && i < found->values && found->is_between[i - found->scores];
}

/* Marks what depends on the first dot; false: it is something else than attention. */
static bool mark_between(const tn_graph *g, attention *found) {
    bool reduces = false;
    found->is_between[0] = true;
    for (uint32_t i = found->scores + 1; i < found->values; i++) {
        const node *n = &g->nodes[i];
        bool depends = false;
        for (uint32_t k = 0; k < n->n_operands && !depends; k++) depends = is_marked(g, found, n->operands[k]);
        found->is_between[i - found->scores] = depends;
        if (depends && !is_row_work(g, n, found)) return false;
        reduces |= depends && n->op == TN_OP_reduce;
    }
    return reduces && is_marked(g, found, found->weights) && !is_marked(g, found, g->nodes[found->values].operands[1]);
}

bool attention_find(const tn_graph *g, uint32_t values, attention *found) {
    const node *second = &g->nodes[values];
    found->values = values;
    if (second->op != TN_OP_dot || !read_values(g, second, found)) return false;
    for (uint32_t back = 1, tried = 0; back < ATTENTION_REACH && back <= values && tried < MOST_TRIED; back++) {
        if (!makes_scores(g, &g->nodes[values - back], found)) continue;
        found->scores = values - back;
        if (mark_between(g, found)) return true;
        tried++;
    }
    return false;
}
