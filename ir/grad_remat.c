/* Gradients that keep little: short work of the way there is done once more on the way back.
 *
 * in:  a joint function (grad.c)
 * out: one that computes the same; where its second part read short work of the first (elementwise work, reductions,
 *      normalisations), it reads a copy of that, made from what is kept: parameters, and results of contractions and
 *      other long work
 * law: the same operations on the same values: not a bit changes. A barrier before each kept value keeps the copies
 *      from being merged with what they are copies of
 */
#include "ir/grad_sweep.h"

#include <stdlib.h>
#include <string.h>

typedef struct remaker {
    tn_graph *from, *to;
    size_t n_there;
    uint8_t *wanted;  /* nodes of the way there that the way back has read */
    value_id *first;  /* of each value: its copy on the way there, or that on the way back */
    value_id *second; /* of each value of the way there: what the way back reads in its place */
    uint32_t *list;   /* nodes to be made for the one that comes next */
    size_t n_list, capacity;
} remaker;

/* Whether a copy is worth the memory. */
static bool is_short(const node *n) {
    switch (op_table[n->op].loop_class) {
    case CLASS_MAP:
    case CLASS_VIEW:
    case CLASS_REDUCE:
    case CLASS_CUMULATE:
    case CLASS_WINDOW:
    case CLASS_COMPOSITE: return n->op != TN_OP_attention && n->op != TN_OP_matmul;
    default: return false;
    }
}

/* What the way back reads in place of v, which is kept. */
static bool keep(remaker *r, const node *n, value_id v) {
    value_id kept = r->first[v], first;
    bool is_leaf = op_table[n->op].loop_class == CLASS_LEAF && n->op != TN_OP_param;
    r->second[v] = kept;
    if (is_leaf) return true;
    if (!graph_apply(r->to, n->locations, TN_OP_barrier, &kept, 1, NULL, 0, &first, 1, NULL)) return false;
    r->second[v] = first;
    return true;
}

static bool copy_there(remaker *r) {
    for (size_t i = 0; i < r->n_there; i++)
        if (!graph_copy_node(r->to, r->from, &r->from->nodes[i], r->first)) return false;
    return true;
}

static bool want(remaker *r, value_id v) {
    uint32_t i = r->from->values[v].node;
    if (i >= r->n_there || r->wanted[i]) return true;
    r->wanted[i] = 1;
    if (!array_reserve((void **)&r->list, &r->capacity, r->n_list + 1, sizeof *r->list)) return false;
    r->list[r->n_list++] = i;
    return true;
}

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Makes all that node n reads of the way there, and nothing before it is read: so that it need not lie in memory for
 * long. */
static bool make_second(remaker *r, const node *n) {
    r->n_list = 0;
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (!want(r, n->operands[k])) return false;
    for (size_t at = 0; at < r->n_list; at++) {
        const node *made = &r->from->nodes[r->list[at]];
        for (uint32_t k = 0; is_short(made) && k < made->n_operands; k++)
            if (!want(r, made->operands[k])) return false;
    }
    if (r->n_list > 0) qsort(r->list, r->n_list, sizeof *r->list, by_number);
    for (size_t at = 0; at < r->n_list; at++) {
        const node *made = &r->from->nodes[r->list[at]];
        if (is_short(made) && !graph_copy_node(r->to, r->from, made, r->second)) return false;
        for (uint32_t k = 0; !is_short(made) && k < made->n_results; k++)
            if (!keep(r, made, made->first_result + k)) return false;
    }
    return true;
}

static bool copy_back(remaker *r) {
    for (size_t i = r->n_there; i < r->from->n_nodes; i++) {
        const node *n = &r->from->nodes[i];
        if (!make_second(r, n) || !graph_copy_node(r->to, r->from, n, r->second)) return false;
        for (uint32_t k = 0; k < n->n_results; k++) r->first[n->first_result + k] = r->second[n->first_result + k];
    }
    return true;
}

bool grad_remake_joint(joint *j) {
    tn_graph *from = j->g;
    remaker r = {.from = from, .to = module_add_graph(from->module, from->name), .n_there = j->n_there};
    r.wanted = tn_calloc(from->n_nodes + 1, 1);
    r.first = tn_malloc((from->n_values + 1) * sizeof *r.first);
    r.second = tn_malloc((from->n_values + 1) * sizeof *r.second);
    bool ok = r.to && r.wanted && r.first && r.second && graph_copy_symbols(r.to, from);
    if (ok) {
        memset(r.first, 0xff, (from->n_values + 1) * sizeof *r.first);
        memset(r.second, 0xff, (from->n_values + 1) * sizeof *r.second);
        ok = copy_there(&r) && copy_back(&r);
    }
    for (size_t i = 0; ok && i < j->n_gradients; i++) j->gradients[i] = r.first[j->gradients[i]];
    for (size_t i = 0; ok && i < j->n_primals; i++) j->primals[i] = r.first[j->primals[i]];
    tn_free(r.wanted);
    tn_free(r.list);
    tn_free(r.first);
    tn_free(r.second);
    if (!ok) return module_no_memory(from->module);
    module_remove_graph(from->module, from);
    j->g = r.to;
    return true;
}
