/* Gradients that keep little: segments of the way there are gone once more on the way back.
 *
 * in:  a joint function (grad.c), with checkpoints (grad_checkpoints.c)
 * out: one that computes the same; where its second part read a value of a segment, it reads a copy of that, made from
 *      what is kept, just before it is read
 * law: the same operations on the same values: not a bit changes. A barrier before each kept value keeps the copies
 *      from being merged with what they are copies of
 */
#include "ir/grad_sweep.h"

#include <stdlib.h>
#include <string.h>

typedef struct remaker {
    tn_graph *from, *to;
    size_t n_forward;
    checkpoints at;
    uint8_t *wanted;  /* nodes of the way there that the way back has read */
    value_id *first;  /* of each value: its copy on the way there, or that on the way back */
    value_id *second; /* of each value of the way there: what the way back reads in its place */
    uint32_t *list;   /* nodes to be made for the one that comes next */
    size_t n_list, capacity;
} remaker;

static bool is_made_anew(const remaker *r, uint32_t i) {
    return op_table[r->from->nodes[i].op].loop_class != CLASS_LEAF && !r->at.is_kept[i] &&
           r->at.segment[i] + 1 < r->at.n_segments;
}

/* Data are what they are, and so are weights: what is made of these alone is made once, before any run. What the last
 * segment made is there still. */
static bool is_read_as_it_is(const remaker *r, uint32_t i) {
    const node *n = &r->from->nodes[i];
    if (r->at.segment[i] + 1 == r->at.n_segments) return true;
    if (n->op != TN_OP_param) return op_table[n->op].loop_class == CLASS_LEAF;
    return r->from->params[attr_int(&n->attrs, ATTR_index, 0)].binding == BINDING_LOAD;
}

/* What the way back reads in place of a node's results, which are kept. */
static bool keep(remaker *r, uint32_t i) {
    const node *n = &r->from->nodes[i];
    for (uint32_t k = 0; k < n->n_results; k++) {
        value_id v = n->first_result + k, kept = r->first[v];
        r->second[v] = kept;
        if (!is_read_as_it_is(r, i) &&
            !graph_apply(r->to, n->locations, TN_OP_barrier, &kept, 1, NULL, 0, &r->second[v], 1, NULL))
            return false;
    }
    return true;
}

static bool copy_there(remaker *r) {
    for (size_t i = 0; i < r->n_forward; i++)
        if (!graph_copy_node(r->to, r->from, &r->from->nodes[i], r->first)) return false;
    return true;
}

static bool want(remaker *r, value_id v) {
    uint32_t i = r->from->values[v].node;
    if (i >= r->n_forward || r->wanted[i]) return true;
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
        for (uint32_t k = 0; is_made_anew(r, r->list[at]) && k < made->n_operands; k++)
            if (!want(r, made->operands[k])) return false;
    }
    if (r->n_list > 0) qsort(r->list, r->n_list, sizeof *r->list, by_number);
    for (size_t at = 0; at < r->n_list; at++) {
        uint32_t i = r->list[at];
        if (is_made_anew(r, i) ? !graph_copy_node(r->to, r->from, &r->from->nodes[i], r->second) : !keep(r, i))
            return false;
    }
    return true;
}

static bool copy_back(remaker *r) {
    for (size_t i = r->n_forward; i < r->from->n_nodes; i++) {
        const node *n = &r->from->nodes[i];
        if (!make_second(r, n) || !graph_copy_node(r->to, r->from, n, r->second)) return false;
        for (uint32_t k = 0; k < n->n_results; k++) r->first[n->first_result + k] = r->second[n->first_result + k];
    }
    return true;
}

bool grad_remake_joint(joint *j) {
    tn_graph *from = j->g;
    remaker r = {.from = from, .to = module_add_graph(from->module, from->name), .n_forward = j->n_forward};
    r.wanted = tn_calloc(from->n_nodes + 1, 1);
    r.first = tn_malloc((from->n_values + 1) * sizeof *r.first);
    r.second = tn_malloc((from->n_values + 1) * sizeof *r.second);
    bool ok =
        grad_place_checkpoints(j, &r.at) && r.to && r.wanted && r.first && r.second && graph_copy_symbols(r.to, from);
    if (ok) {
        memset(r.first, 0xff, (from->n_values + 1) * sizeof *r.first);
        memset(r.second, 0xff, (from->n_values + 1) * sizeof *r.second);
        ok = copy_there(&r) && copy_back(&r);
    }
    for (size_t i = 0; ok && i < j->n_gradients; i++) j->gradients[i] = r.first[j->gradients[i]];
    for (size_t i = 0; ok && i < j->n_primals; i++) j->primals[i] = r.first[j->primals[i]];
    grad_checkpoints_free(&r.at);
    tn_free(r.wanted);
    tn_free(r.list);
    tn_free(r.first);
    tn_free(r.second);
    if (!ok) return module_no_memory(from->module);
    module_remove_graph(from->module, from);
    j->g = r.to;
    return true;
}
