/* Which nodes of two modules are the same.
 *
 * in:  two modules, the second made from the first by a pass
 * out: pairs of nodes and values (diff.h)
 * law: nodes of a pair have one op, equal attributes and result types, and read values of pairs, or what has taken the
 *      place of a removed value. Going through the second function in order:
 *        1. a node whose operands are all paired is looked up with these;
 *        2. else one of the same source place is its pair when the operands that differ are, before, of removed nodes:
 *           those here have taken their place (a batch_norm's readers then read a conv and are as they were);
 *        3. what is left unpaired in one function is looked for in the others: it has moved.
 */
#include "ir/diff.h"

#include "ir/hash.h"
#include "ir/op.h"

#include <string.h>

/* ---- Hashes that do not depend on the module ------------------------------------------------------ */

static uint64_t hash_text(uint64_t hash, const char *text) { return hash_bytes(hash, text, strlen(text)); }

static uint64_t hash_dim(uint64_t hash, const dim_table *dims, tn_dim d) {
    int64_t number;
    if (dim_is_const(dims, d, &number)) return hash_mix(hash, (uint64_t)number);
    char text[256]; /* longer ones that begin alike count as equal */
    dim_print(dims, d, text, sizeof text);
    return hash_text(hash, text);
}

static uint64_t hash_type(uint64_t hash, const dim_table *dims, const tn_type *type) {
    hash = hash_mix(hash, (uint64_t)type->dtype << 8 | type->rank);
    for (int axis = 0; axis < type->rank; axis++) hash = hash_dim(hash, dims, type->dims[axis]);
    return hash;
}

enum { DATA_SAMPLE = 1024 };

/* Of the first and the last bytes: weights are large, and same_data compares them. */
static uint64_t hash_data(uint64_t hash, const dim_table *dims, const tensor_data *data) {
    size_t sample = data->bytes < DATA_SAMPLE ? data->bytes : DATA_SAMPLE;
    hash = hash_bytes(hash_type(hash, dims, &data->type), data->data, sample);
    return sample ? hash_bytes(hash, (const char *)data->data + data->bytes - sample, sample) : hash;
}

/* Whether constants with equal hashes have the same data; any other nodes do. */
static bool same_data(const node *a, const node *b) {
    const attr *x = attr_find(&a->attrs, ATTR_value), *y = attr_find(&b->attrs, ATTR_value);
    if (!x || !y || x->data->data == y->data->data) return true;
    return x->data->bytes == y->data->bytes && memcmp(x->data->data, y->data->data, x->data->bytes) == 0;
}

static uint64_t hash_attr(uint64_t hash, const dim_table *dims, const attr *a) {
    hash = hash_mix(hash, a->name);
    switch (attr_kind_of((attr_name)a->name)) {
    case ATTR_KIND_INTS: return hash_bytes(hash, a->ints.items, a->ints.n * sizeof *a->ints.items);
    case ATTR_KIND_PAIR: return hash_mix(hash_bytes(hash, a->ints.items, a->ints.n * sizeof *a->ints.items), a->split);
    case ATTR_KIND_DIM: return hash_dim(hash, dims, a->dim);
    case ATTR_KIND_DIMS:
        for (uint32_t i = 0; i < a->dims.n; i++) hash = hash_dim(hash, dims, a->dims.items[i]);
        return hash;
    case ATTR_KIND_FLOAT: return hash_bytes(hash, &a->f, sizeof a->f);
    case ATTR_KIND_TEXT: return hash_text(hash, a->text);
    case ATTR_KIND_FUNC: return hash_text(hash, a->func->name);
    case ATTR_KIND_DATA: return hash_data(hash, dims, a->data);
    default: return hash_mix(hash, (uint64_t)a->i);
    }
}

/* Op, attributes and result types. */
static uint64_t hash_node(const tn_graph *g, const node *n) {
    const dim_table *dims = g->module->dims;
    uint64_t hash = hash_mix(n->op, n->n_operands);
    for (uint32_t i = 0; i < n->attrs.n; i++) hash = hash_attr(hash, dims, &n->attrs.items[i]);
    for (uint32_t r = 0; r < n->n_results; r++) hash = hash_type(hash, dims, graph_type(g, n->first_result + r));
    return hash;
}

static uint64_t hash_place(const tn_graph *g, const node *n) {
    tn_location items[LOCATION_MAX];
    size_t count = location_items(g->module, n->locations, LOCATION_MAX, items);
    uint64_t hash = count;
    for (size_t i = 0; i < count && i < LOCATION_MAX; i++)
        hash = hash_mix(hash_text(hash, items[i].file), (uint64_t)items[i].line);
    return hash;
}

/* ---- Nodes by hash -------------------------------------------------------------------------------- */

/* Nodes with equal hashes hang in one chain, in their order. */
typedef struct node_index {
    uint64_t *hashes; /* of each node */
    uint32_t *next, *buckets;
    size_t mask;
} node_index;

static bool index_open(node_index *x, size_t n) {
    *x = (node_index){.mask = 15};
    while (x->mask < n * 2) x->mask = x->mask * 2 + 1;
    x->hashes = tn_calloc(n + 1, sizeof *x->hashes);
    x->next = tn_calloc(n + 1, sizeof *x->next);
    x->buckets = tn_calloc(x->mask + 1, sizeof *x->buckets);
    return x->hashes && x->next && x->buckets;
}

static void index_close(node_index *x) {
    tn_free(x->hashes);
    tn_free(x->next);
    tn_free(x->buckets);
}

/* To be called for the last node first. */
static void index_add(node_index *x, size_t n, uint64_t hash) {
    uint32_t *bucket = &x->buckets[hash & x->mask];
    x->hashes[n] = hash;
    x->next[n] = *bucket;
    *bucket = (uint32_t)n + 1;
}

static uint32_t index_from(const node_index *x, uint32_t at, uint64_t hash) {
    while (at && x->hashes[at - 1] != hash) at = x->next[at - 1];
    return at ? at - 1 : NODE_NONE;
}

static uint32_t index_first(const node_index *x, uint64_t hash) {
    return index_from(x, x->buckets[hash & x->mask], hash);
}

static uint32_t index_next(const node_index *x, uint32_t node, uint64_t hash) {
    return index_from(x, x->next[node], hash);
}

/* ---- One function ---------------------------------------------------------------------------------- */

typedef struct matcher {
    function_diff *f;
    node_index by_operands, by_place; /* of the nodes before */
} matcher;

static void pair_values(function_diff *f, value_id before, value_id after) {
    f->value_after[before] = after;
    f->value_before[after] = before;
}

static void pair_nodes(function_diff *f, uint32_t before, uint32_t after) {
    const node *a = &f->before->nodes[before], *b = &f->after->nodes[after];
    f->node_after[before] = after;
    f->node_before[after] = before;
    for (uint32_t r = 0; r < a->n_results && r < b->n_results; r++)
        pair_values(f, a->first_result + r, b->first_result + r);
}

static void pair_params(function_diff *f) {
    for (size_t i = 0; i < f->after->n_params; i++)
        for (size_t k = 0; k < f->before->n_params; k++)
            if (strcmp(f->after->params[i].name, f->before->params[k].name) == 0)
                pair_nodes(f, f->before->values[f->before->params[k].value].node,
                           f->after->values[f->after->params[i].value].node);
}

static bool index_nodes(matcher *m) {
    const tn_graph *g = m->f->before;
    if (!index_open(&m->by_operands, g->n_nodes) || !index_open(&m->by_place, g->n_nodes)) return false;
    for (size_t k = g->n_nodes; k-- > 0;) {
        const node *n = &g->nodes[k];
        uint64_t hash = hash_node(g, n);
        index_add(&m->by_place, k, hash_mix(hash, hash_place(g, n)));
        index_add(&m->by_operands, k, hash_bytes(hash, n->operands, n->n_operands * sizeof *n->operands));
    }
    return true;
}

/* The node before of the same operands. */
static uint32_t find_by_operands(const matcher *m, const node *n, uint64_t hash) {
    const function_diff *f = m->f;
    value_id few[16];
    if (n->n_operands > 16) return NODE_NONE;
    for (uint32_t i = 0; i < n->n_operands; i++)
        if ((few[i] = f->value_before[n->operands[i]]) == VALUE_NONE) return NODE_NONE;
    hash = hash_bytes(hash, few, n->n_operands * sizeof *few);
    uint32_t k = index_first(&m->by_operands, hash);
    while (k != NODE_NONE && (f->node_after[k] != NODE_NONE || !same_data(&f->before->nodes[k], n)))
        k = index_next(&m->by_operands, k, hash);
    return k;
}

/* Whether node `before` is node `after` but for operands that took the place of removed ones. */
static bool fits(const function_diff *f, const node *before, const node *after) {
    if (before->n_operands != after->n_operands || !same_data(before, after)) return false;
    for (uint32_t i = 0; i < before->n_operands; i++) {
        value_id a = before->operands[i], b = after->operands[i], now = f->value_after[a];
        if (now != b && (now != VALUE_NONE || f->value_before[b] == a)) return false;
    }
    return true;
}

static uint32_t find_by_place(const matcher *m, const node *n, uint64_t hash) {
    const function_diff *f = m->f;
    hash = hash_mix(hash, hash_place(f->after, n));
    uint32_t k = index_first(&m->by_place, hash);
    while (k != NODE_NONE && (f->node_after[k] != NODE_NONE || !fits(f, &f->before->nodes[k], n)))
        k = index_next(&m->by_place, k, hash);
    return k;
}

/* What the readers of a removed value read now. */
static void note_replaced(function_diff *f, value_id before, value_id after) {
    if (f->value_after[before] == VALUE_NONE) f->value_after[before] = after;
    if (f->value_before[after] == VALUE_NONE) f->value_before[after] = before;
}

static bool match_function(function_diff *f) {
    matcher m = {.f = f};
    pair_params(f);
    bool ok = index_nodes(&m);
    for (uint32_t i = 0; ok && i < f->after->n_nodes; i++) {
        const node *n = &f->after->nodes[i];
        if (f->node_before[i] != NODE_NONE) continue;
        uint64_t hash = hash_node(f->after, n);
        uint32_t k = find_by_operands(&m, n, hash);
        if (k == NODE_NONE) k = find_by_place(&m, n, hash);
        if (k == NODE_NONE) continue;
        pair_nodes(f, k, i);
        for (uint32_t o = 0; o < n->n_operands; o++) note_replaced(f, f->before->nodes[k].operands[o], n->operands[o]);
    }
    for (size_t r = 0; ok && r < f->before->n_results && r < f->after->n_results; r++)
        note_replaced(f, f->before->results[r].value, f->after->results[r].value);
    index_close(&m.by_operands);
    index_close(&m.by_place);
    return ok;
}

/* ---- Moves between functions ------------------------------------------------------------------------ */

/* A node that is not paired. */
typedef struct unpaired {
    function_diff *f;
    uint32_t node;
} unpaired;

static bool can_move(const node *n) { return n->op != TN_OP_param && n->op != TN_OP_call; }

static size_t list_removed(const module_diff *d, unpaired *list) {
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++)
        for (uint32_t k = 0; d->functions[i].before && k < d->functions[i].before->n_nodes; k++)
            if (d->functions[i].node_after[k] == NODE_NONE && can_move(&d->functions[i].before->nodes[k]))
                list[n++] = (unpaired){&d->functions[i], k};
    return n;
}

static uint64_t hash_moving(const tn_graph *g, const node *n) { return hash_mix(hash_node(g, n), hash_place(g, n)); }

static void find_origin(function_diff *f, uint32_t i, const node_index *x, const unpaired *removed) {
    uint64_t hash = hash_moving(f->after, &f->after->nodes[i]);
    for (uint32_t k = index_first(x, hash); k != NODE_NONE; k = index_next(x, k, hash)) {
        function_diff *from = removed[k].f;
        if (from == f || from->moved_to[removed[k].node]) continue;
        if (!same_data(&from->before->nodes[removed[k].node], &f->after->nodes[i])) continue;
        from->moved_to[removed[k].node] = f->after;
        f->moved_from[i] = from->before;
        return;
    }
}

static bool match_moves(module_diff *d) {
    size_t most = 0;
    for (size_t i = 0; i < d->n; i++) most += d->functions[i].before ? d->functions[i].before->n_nodes : 0;
    unpaired *removed = tn_malloc((most + 1) * sizeof *removed);
    node_index x = {0};
    bool ok = removed && index_open(&x, most);
    size_t n = ok ? list_removed(d, removed) : 0;
    for (size_t k = n; k-- > 0;)
        index_add(&x, k, hash_moving(removed[k].f->before, &removed[k].f->before->nodes[removed[k].node]));
    for (size_t i = 0; ok && i < d->n; i++) {
        function_diff *f = &d->functions[i];
        for (uint32_t k = 0; f->after && k < f->after->n_nodes; k++)
            if (f->node_before[k] == NODE_NONE && can_move(&f->after->nodes[k])) find_origin(f, k, &x, removed);
    }
    index_close(&x);
    tn_free(removed);
    return ok;
}

/* ---- Modules ------------------------------------------------------------------------------------------ */

static void *filled(size_t n) {
    void *ids = tn_malloc((n + 1) * sizeof(uint32_t));
    if (ids) memset(ids, 0xff, (n + 1) * sizeof(uint32_t)); /* NODE_NONE, VALUE_NONE */
    return ids;
}

static bool open_function(function_diff *f) {
    const tn_graph *a = f->before, *b = f->after;
    if (a) {
        f->node_after = filled(a->n_nodes);
        f->value_after = filled(a->n_values);
        f->moved_to = tn_calloc(a->n_nodes + 1, sizeof(tn_graph *));
    }
    if (b) {
        f->node_before = filled(b->n_nodes);
        f->value_before = filled(b->n_values);
        f->moved_from = tn_calloc(b->n_nodes + 1, sizeof(tn_graph *));
    }
    return (!a || (f->node_after && f->value_after && f->moved_to)) &&
           (!b || (f->node_before && f->value_before && f->moved_from));
}

bool module_diff_make(module_diff *d, const tn_module *before, const tn_module *after) {
    *d = (module_diff){.before = before, .after = after};
    d->functions = tn_calloc(before->n_graphs + after->n_graphs + 1, sizeof *d->functions);
    bool ok = d->functions != NULL;
    for (size_t i = 0; ok && i < after->n_graphs; i++)
        d->functions[d->n++] =
            (function_diff){.before = module_find(before, after->graphs[i]->name), .after = after->graphs[i]};
    for (size_t i = 0; ok && i < before->n_graphs; i++)
        if (!module_find(after, before->graphs[i]->name))
            d->functions[d->n++] = (function_diff){.before = before->graphs[i]};
    for (size_t i = 0; ok && i < d->n; i++) {
        function_diff *f = &d->functions[i];
        ok = open_function(f) && (!f->before || !f->after || match_function(f));
    }
    return ok && match_moves(d);
}

void module_diff_free(module_diff *d) {
    for (size_t i = 0; i < d->n; i++) {
        function_diff *f = &d->functions[i];
        tn_free(f->node_after);
        tn_free(f->node_before);
        tn_free(f->value_after);
        tn_free(f->value_before);
        tn_free(f->moved_to);
        tn_free(f->moved_from);
    }
    tn_free(d->functions);
    *d = (module_diff){0};
}
