/* Titles of kernels (see kernel_title.h). */
#include "compiler/kernel_title.h"

#include "ir/op.h"
#include "runtime/diag.h"

#include <stdio.h>
#include <string.h>

/* ---- Which ops tell what a kernel does ---- */

enum { MOST_OPS = 4 };

/* The more, the more of a kernel's time goes there; 0: none. */
static const int weights[] = {
    [CLASS_LEAF] = 0,     [CLASS_MAP] = 2,    [CLASS_VIEW] = 1,      [CLASS_REDUCE] = 3, [CLASS_CUMULATE] = 3,
    [CLASS_CONTRACT] = 5, [CLASS_CONV] = 5,   [CLASS_WINDOW] = 4,    [CLASS_INDEX] = 3,  [CLASS_SORT] = 4,
    [CLASS_CONTROL] = 0,  [CLASS_EFFECT] = 0, [CLASS_COMPOSITE] = 2,
};

static int weight_of(const node *n) { return weights[op_table[n->op].loop_class]; }

/* What is told: work, or views where there is none. Conversions go with what they are made for. */
static bool is_told(const node *n, int heaviest) {
    int least = heaviest < weights[CLASS_MAP] ? weights[CLASS_VIEW] : weights[CLASS_MAP];
    return weight_of(n) >= least && (n->op != TN_OP_convert || heaviest <= weights[CLASS_MAP]);
}

static void put_ops(line *l, const tn_graph *g, int heaviest) {
    bool seen[TN_OP_COUNT] = {false};
    int n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *item = &g->nodes[i];
        if (!is_told(item, heaviest) || seen[item->op]) continue;
        seen[item->op] = true;
        if (n++ < MOST_OPS) line_add(l, "%s%s", n > 1 ? "+" : "", op_name((tn_op)item->op));
    }
    if (n > MOST_OPS) line_add(l, "+...");
    if (n == 0) line_add(l, "copy");
}

/* ---- Where it comes from ---- */

/* The first of the heaviest nodes that has a location: reading from left to right is reading the source down. */
static const node *origin_of(const tn_graph *g, int *heaviest) {
    const node *found = NULL;
    *heaviest = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        int weight = weight_of(n);
        bool is_better = !found || weight > weight_of(found);
        if (weight > *heaviest) *heaviest = weight;
        if (weight > 0 && n->locations != LOCATION_NONE && is_better) found = n;
    }
    return found;
}

/* Of "dir/model.onnx: node 'conv1' (Conv)" what stands between the quotes; else the file without its folder. */
static void put_location(line *l, const tn_location *where) {
    const char *file = where->file ? where->file : "?", *quote = strstr(file, " '"), *end = strrchr(file, '\'');
    bool is_node = where->line == 0 && quote && end > quote + 1;
    const char *slash = strrchr(file, '/'), *from = is_node ? quote + 2 : slash ? slash + 1 : file;
    size_t n = is_node ? (size_t)(end - from) : strlen(from);
    enum { LONGEST = 100 };
    line_add(l, " ");
    if (n > LONGEST) {
        line_add(l, "...");
        from += n - LONGEST; /* the end of a path says more than its beginning */
        n = LONGEST;
    }
    size_t begin = l->used;
    line_add(l, "%.*s", (int)n, from);
    for (size_t i = begin; i < l->used; i++)
        if ((unsigned char)l->bytes[i] <= ' ') l->bytes[i] = '_';
    if (where->line > 0) line_add(l, ":%d", where->line);
}

void kernel_title(const tn_graph *fused, char *text, size_t bytes) {
    line l = {text, bytes, 0};
    tn_location first;
    int heaviest;
    text[0] = '\0';
    const node *origin = origin_of(fused, &heaviest);
    put_ops(&l, fused, heaviest);
    if (origin && location_items(fused->module, origin->locations, 1, &first) > 0) put_location(&l, &first);
}

location_id kernel_origin(const tn_graph *fused) {
    int heaviest;
    const node *origin = origin_of(fused, &heaviest);
    return origin ? origin->locations : LOCATION_NONE;
}
