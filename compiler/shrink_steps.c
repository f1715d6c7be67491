/* Steps of reducing a module: each one idea of what to leave out (see shrink.h).
 *
 * law: a step is one row of the table at the end; it sees main (and what it calls) as a list of items, and takes a range
 *      of them out of a copy that nobody else holds
 */
#include "compiler/shrink.h"

#include "ir/op.h"
#include "ir/sizes.h"

#include <string.h>

/* ---- Nodes as items ------------------------------------------------------------------------------------- */

static bool is_item(const node *n) { return n->op != TN_OP_param; }

static size_t count_function(const tn_graph *g) {
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) n += is_item(&g->nodes[i]);
    return n;
}

static size_t count_nodes(const void *subject) { return count_function(module_main(subject)); }

/* One edit of values of a function under way. */
typedef struct marks {
    tn_graph *g;
    uint8_t *what;
    value_id *instead;
    bool *drops;
    bool has_changes;
} marks;

static bool marks_open(marks *k, tn_graph *g) {
    *k = (marks){.g = g,
                 .what = tn_calloc(g->n_values + 1, 1),
                 .instead = tn_calloc(g->n_values + 1, sizeof *k->instead),
                 .drops = tn_calloc(g->n_results + 1, sizeof *k->drops)};
    return k->what && k->instead && k->drops;
}

static bool marks_apply(marks *k) {
    graph_edit edit = {.what = k->what, .instead = k->instead, .drops = k->drops};
    return k->has_changes && shrink_rebuild(k->g, &edit);
}

static void marks_close(marks *k) {
    tn_free(k->what);
    tn_free(k->instead);
    tn_free(k->drops);
}

static void mark(marks *k, value_id v, value_edit what) {
    k->what[v] = (uint8_t)what;
    k->has_changes = true;
}

/* Marks the nodes [first, first + n) of g. */
static bool edit_nodes(tn_graph *g, size_t first, size_t n, void (*each)(marks *k, const node *n)) {
    marks k;
    bool ok = marks_open(&k, g);
    for (size_t i = 0, item = 0; ok && i < g->n_nodes; i++) {
        if (!is_item(&g->nodes[i])) continue;
        if (item >= first && item < first + n) each(&k, &g->nodes[i]);
        item++;
    }
    ok = ok && marks_apply(&k);
    marks_close(&k);
    return ok;
}

/* ---- Results -------------------------------------------------------------------------------------------- */

static size_t count_results(const void *subject) { return module_main(subject)->n_results; }

static bool drop_results(void *subject, size_t first, size_t n) {
    marks k;
    tn_graph *g = module_main(subject);
    bool ok = n < g->n_results && marks_open(&k, g);
    if (!ok) return false;
    for (size_t i = first; i < first + n; i++) k.drops[i] = true;
    k.has_changes = true;
    ok = marks_apply(&k);
    marks_close(&k);
    return ok;
}

/* Values before `first` that nodes behind it read, or that are results, are the results. */
static size_t find_frontier(const tn_graph *g, size_t first, bool *is_asked) {
    size_t item = 0, n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        item += is_item(&g->nodes[i]);
        for (uint32_t k = 0; item > first && k < g->nodes[i].n_operands; k++) is_asked[g->nodes[i].operands[k]] = true;
    }
    for (size_t r = 0; r < g->n_results; r++) is_asked[g->results[r].value] = true;
    item = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *made = &g->nodes[i];
        item += is_item(made);
        bool stays = is_item(made) && item <= first && op_table[made->op].loop_class != CLASS_LEAF;
        for (uint32_t k = 0; k < made->n_results; k++) {
            value_id v = made->first_result + k;
            is_asked[v] = is_asked[v] && stays && graph_type(g, v)->dtype != TN_TOKEN;
            n += is_asked[v];
        }
    }
    return n;
}

static bool cut_tail(void *subject, size_t first, size_t n) {
    (void)n;
    tn_graph *g = module_main(subject);
    bool *is_asked = tn_calloc(g->n_values + 1, sizeof *is_asked);
    size_t count = is_asked ? find_frontier(g, first, is_asked) : 0;
    value_id *results = tn_calloc(count + 1, sizeof *results);
    count = 0;
    for (size_t v = 0; results && v < g->n_values; v++)
        if (is_asked && is_asked[v]) results[count++] = (value_id)v;
    bool ok = count > 0 && shrink_rebuild(g, &(graph_edit){.results = results, .n_results = count});
    tn_free(is_asked);
    tn_free(results);
    return ok;
}

/* ---- Nodes become inputs, or one of their operands --------------------------------------------------------- */

static void make_input(marks *k, const node *n) {
    for (uint32_t i = 0; i < n->n_results; i++)
        if (graph_type(k->g, n->first_result + i)->dtype == TN_TOKEN) return;
    for (uint32_t i = 0; i < n->n_results; i++) mark(k, n->first_result + i, VALUE_INPUT);
}

/* A result that is an input tells nothing, as long as there are others. */
static void drop_bare_results(marks *k) {
    size_t left = k->g->n_results;
    for (size_t r = 0; r < k->g->n_results && left > 1; r++)
        if (k->what[k->g->results[r].value] == VALUE_INPUT) {
            k->drops[r] = true;
            left--;
        }
}

static bool nodes_to_inputs(void *subject, size_t first, size_t n) {
    tn_graph *g = module_main(subject);
    marks k;
    bool ok = marks_open(&k, g);
    for (size_t i = 0, item = 0; ok && i < g->n_nodes; i++) {
        if (!is_item(&g->nodes[i])) continue;
        if (item >= first && item < first + n) make_input(&k, &g->nodes[i]);
        item++;
    }
    if (ok) drop_bare_results(&k);
    ok = ok && marks_apply(&k);
    marks_close(&k);
    return ok;
}

static void bypass(marks *k, const node *n) {
    for (uint32_t r = 0; r < n->n_results; r++)
        for (uint32_t i = 0; i < n->n_operands; i++) {
            value_id v = n->first_result + r;
            if (k->what[v] != VALUE_KEPT || !type_equal(graph_type(k->g, v), graph_type(k->g, n->operands[i])))
                continue;
            k->instead[v] = n->operands[i];
            mark(k, v, VALUE_REPLACED);
        }
}

static bool bypass_nodes(void *subject, size_t first, size_t n) {
    return edit_nodes(module_main(subject), first, n, bypass);
}

/* ---- Control flow, and functions that main calls ------------------------------------------------------------- */

static void inline_one(marks *k, const node *n) {
    bool names_function = n->op == TN_OP_call || n->op == TN_OP_if || n->op == TN_OP_while || n->op == TN_OP_scan;
    for (uint32_t i = 0; names_function && i < n->n_results; i++) mark(k, n->first_result + i, VALUE_INLINED);
}

static bool inline_nodes(void *subject, size_t first, size_t n) {
    return edit_nodes(module_main(subject), first, n, inline_one);
}

static size_t count_inner_nodes(const void *subject) {
    const tn_module *m = subject;
    size_t n = 0;
    for (size_t i = 0; i < m->n_graphs; i++)
        if (m->graphs[i] != module_main(m)) n += count_function(m->graphs[i]);
    return n;
}

static void make_zero(marks *k, const node *n) {
    for (uint32_t i = 0; i < n->n_results; i++)
        if (graph_type(k->g, n->first_result + i)->dtype != TN_TOKEN) mark(k, n->first_result + i, VALUE_ZERO);
}

/* Of one function at a time: the one that the last item of the range is in. */
static bool edit_inner(tn_module *m, size_t first, size_t n, void (*each)(marks *k, const node *n)) {
    size_t before = 0;
    for (size_t i = 0; i < m->n_graphs; i++) {
        tn_graph *g = m->graphs[i];
        size_t own = g == module_main(m) ? 0 : count_function(g), last = first + n - 1;
        if (last >= before && last < before + own) {
            size_t from = first > before ? first - before : 0;
            return edit_nodes(g, from, last + 1 - before - from, each);
        }
        before += own;
    }
    return false;
}

static bool bypass_inner(void *subject, size_t first, size_t n) { return edit_inner(subject, first, n, bypass); }
static bool zero_inner(void *subject, size_t first, size_t n) { return edit_inner(subject, first, n, make_zero); }

static size_t count_prepare(const void *subject) { return module_find(subject, "prepare") != NULL; }

static bool drop_prepare(void *subject, size_t first, size_t n) {
    (void)first, (void)n;
    tn_module *m = subject;
    tn_graph *prepare = module_find(m, "prepare");
    if (!prepare || prepare == module_main(m)) return false;
    module_remove_graph(m, prepare);
    return shrink_rebuild(module_main(m), &(graph_edit){0});
}

/* ---- Sizes ------------------------------------------------------------------------------------------------------- */

static size_t count_symbols(const void *subject) { return module_main(subject)->n_symbols; }

static bool satisfies(const tn_graph *g, const int64_t *sizes) {
    for (size_t i = 0; i < g->n_constraints; i++) {
        const constraint *c = &g->constraints[i];
        int64_t x, y;
        if (!graph_size_at(g, sizes, c->a, &x) || !graph_size_at(g, sizes, c->b, &y) ||
            !relation_holds(c->relation, x, y))
            return false;
    }
    return true;
}

/* The least sizes, doubled together until they fulfil what is asked for; then each is the least that still does. */
int64_t *shrink_sizes(const tn_graph *g) {
    enum { MOST_FACTOR = 1 << 12 };
    int64_t *sizes = tn_calloc(g->n_symbols + 1, sizeof *sizes), factor = 1;
    if (!sizes) return NULL;
    for (size_t i = 0; i < g->n_symbols; i++) sizes[i] = symbol_least_size(&g->symbols[i]);
    for (; factor < MOST_FACTOR && !satisfies(g, sizes); factor *= 2)
        for (size_t i = 0; i < g->n_symbols; i++)
            if (sizes[i] <= g->symbols[i].high / 2) sizes[i] *= 2;
    for (size_t i = 0; i < g->n_symbols; i++)
        for (int64_t reached = sizes[i], least = symbol_least_size(&g->symbols[i]); least < reached; least *= 2) {
            sizes[i] = factor < MOST_FACTOR ? least : symbol_least_size(&g->symbols[i]);
            if (factor >= MOST_FACTOR || satisfies(g, sizes)) break;
            sizes[i] = reached;
        }
    return sizes;
}

static bool fix_symbols(void *subject, size_t first, size_t n) {
    tn_graph *g = module_main(subject);
    tn_dim *from = tn_calloc(n + 1, sizeof *from), *to = tn_calloc(n + 1, sizeof *to);
    int64_t *sizes = shrink_sizes(g);
    bool ok = from && to && sizes;
    for (size_t i = 0; ok && i < n; i++) {
        int64_t size;
        from[i] = g->symbols[first + i].dim;
        ok = graph_size_at(g, sizes, from[i], &size);
        if (ok) to[i] = dim_const(g->module->dims, size);
    }
    ok = ok && shrink_rebuild(g, &(graph_edit){.from = from, .to = to, .n_dims = (int)n});
    tn_free(sizes);
    tn_free(from);
    tn_free(to);
    return ok;
}

enum { MOST_SIZES = 64 };

/* Extents of parameters and constants over 1, each once, the largest first. */
static size_t find_sizes(const tn_graph *g, int64_t sizes[MOST_SIZES]) {
    size_t n = 0;
    for (size_t v = 0; v < g->n_values; v++) {
        const tn_type *type = graph_type(g, (value_id)v);
        if (op_table[graph_node_of(g, (value_id)v)->op].loop_class != CLASS_LEAF) continue;
        for (int axis = 0; axis < type->rank; axis++) {
            int64_t size;
            if (!dim_is_const(g->module->dims, type->dims[axis], &size) || size < 2 || n == MOST_SIZES) continue;
            size_t at = 0;
            while (at < n && sizes[at] > size) at++;
            if (at < n && sizes[at] == size) continue;
            memmove(&sizes[at + 1], &sizes[at], (n - at) * sizeof *sizes);
            sizes[at] = size;
            n++;
        }
    }
    return n;
}

static size_t count_sizes(const void *subject) {
    int64_t sizes[MOST_SIZES + 1];
    return find_sizes(module_main(subject), sizes);
}

/* In all functions: bodies name the sizes of what they are given. */
static bool replace_sizes(tn_module *m, const graph_edit *edit) {
    if (!shrink_rebuild(module_main(m), &(graph_edit){0})) return false; /* what nothing calls is gone */
    size_t *order = module_call_order(m), n = m->n_graphs;
    bool ok = order != NULL;
    for (size_t i = 0; ok && i < n; i++) ok = shrink_rebuild(m->graphs[order[i]], edit);
    tn_free(order);
    return ok;
}

static bool change_sizes(tn_module *m, size_t first, size_t n, int64_t (*smaller)(int64_t size)) {
    int64_t sizes[MOST_SIZES + 1];
    tn_dim from[MOST_SIZES], to[MOST_SIZES];
    if (first + n > find_sizes(module_main(m), sizes)) return false;
    for (size_t i = 0; i < n; i++) {
        from[i] = dim_const(m->dims, sizes[first + i]);
        to[i] = dim_const(m->dims, smaller(sizes[first + i]));
    }
    return replace_sizes(m, &(graph_edit){.from = from, .to = to, .n_dims = (int)n});
}

static int64_t one(int64_t size) { return size > 0; }
static int64_t half(int64_t size) { return (size + 1) / 2; }
static int64_t one_less(int64_t size) { return size - 1; }
static bool sizes_to_one(void *subject, size_t first, size_t n) { return change_sizes(subject, first, n, one); }
static bool halve_sizes(void *subject, size_t first, size_t n) { return change_sizes(subject, first, n, half); }
/* From 32 on halves are fine enough. */
static bool lower_sizes(void *subject, size_t first, size_t n) {
    int64_t sizes[MOST_SIZES + 1];
    if (first + n > find_sizes(module_main(subject), sizes) || sizes[first] > 32) return false;
    return change_sizes(subject, first, n, one_less);
}

/* ---- Data ------------------------------------------------------------------------------------------------------------ */

static const tensor_data *data_of(const tn_graph *g, value_id v) {
    const node *n = graph_node_of(g, v);
    if (n->op == TN_OP_constant) return attr_find(&n->attrs, ATTR_value)->data;
    return n->op == TN_OP_param ? g->params[attr_int(&n->attrs, ATTR_index, 0)].initial : NULL;
}

static size_t count_data(const void *subject) {
    const tn_graph *g = module_main(subject);
    size_t n = 0;
    for (size_t v = 0; v < g->n_values; v++) n += data_of(g, (value_id)v) != NULL;
    return n;
}

/* The first element everywhere; NULL: no memory. */
static const tensor_data *splat(tn_module *m, const tensor_data *data) {
    size_t each = (size_t)tn_dtype_bits((tn_dtype)data->type.dtype) / 8;
    char *bytes = each && data->bytes >= each ? tn_malloc(data->bytes) : NULL;
    if (!bytes) return NULL;
    for (size_t at = 0; at + each <= data->bytes; at += each) memcpy(bytes + at, data->data, each);
    const tensor_data *made = module_constant(m, &data->type, bytes, true);
    tn_free(bytes);
    return made;
}

static const tensor_data *without(tn_module *m, const tensor_data *data) {
    (void)m, (void)data;
    return NULL;
}

/* Only weights can be without data: constants keep theirs where there is no other. */
static bool change_data(tn_graph *g, size_t first, size_t n,
                        const tensor_data *(*other)(tn_module *m, const tensor_data *data)) {
    const tensor_data **data = (const tensor_data **)tn_calloc(g->n_values + 1, sizeof *data);
    size_t item = 0;
    for (size_t v = 0; data && v < g->n_values; v++) {
        const tensor_data *old = data_of(g, (value_id)v);
        bool is_in_range = old && item >= first && item < first + n;
        item += old != NULL;
        data[v] = is_in_range ? other(g->module, old) : old;
    }
    bool ok = data && shrink_rebuild(g, &(graph_edit){.data = data});
    tn_free((void *)data);
    return ok;
}

static bool drop_data(void *subject, size_t first, size_t n) {
    return change_data(module_main(subject), first, n, without);
}
static bool splat_data(void *subject, size_t first, size_t n) {
    return change_data(module_main(subject), first, n, splat);
}

/* ---- What is stated --------------------------------------------------------------------------------------------------- */

static size_t count_bounds(const void *subject) { return module_main(subject)->n_symbols > 0; }

static bool drop_bounds(void *subject, size_t first, size_t n) {
    (void)first, (void)n;
    return shrink_rebuild(module_main(subject), &(graph_edit){.without_bounds = true});
}

/* ---- The table ----------------------------------------------------------------------------------------------------------- */

const shrink_step shrink_module_steps[] = {
    {"outputs", "outputs go", SHRINK_CHUNKS, count_results, drop_results},
    {"tail", "nodes from one on go, what they read are the outputs", SHRINK_PREFIX, count_nodes, cut_tail},
    {"outputs", "outputs go", SHRINK_CHUNKS, count_results, drop_results},
    {"prepare", "work on weights goes", SHRINK_CHUNKS, count_prepare, drop_prepare},
    {"inputs", "results of nodes become inputs", SHRINK_CHUNKS, count_nodes, nodes_to_inputs},
    {"bypass", "nodes become one of their operands", SHRINK_CHUNKS, count_nodes, bypass_nodes},
    {"inline", "a branch or one round is in place of control flow", SHRINK_CHUNKS, count_nodes, inline_nodes},
    {"inner bypass", "nodes of functions become one of their operands", SHRINK_CHUNKS, count_inner_nodes, bypass_inner},
    {"inner zeros", "nodes of functions become zeros", SHRINK_CHUNKS, count_inner_nodes, zero_inner},
    {"data", "weights lose their values", SHRINK_CHUNKS, count_data, drop_data},
    {"symbols", "sizes that are not fixed are the least that are allowed", SHRINK_CHUNKS, count_symbols, fix_symbols},
    {"sizes", "sizes become 1", SHRINK_CHUNKS, count_sizes, sizes_to_one},
    {"halves", "sizes become half as large", SHRINK_CHUNKS, count_sizes, halve_sizes},
    {"less", "sizes become one less", SHRINK_CHUNKS, count_sizes, lower_sizes},
    {"same", "constants are the same everywhere", SHRINK_CHUNKS, count_data, splat_data},
    {"bounds", "what is stated of sizes goes", SHRINK_CHUNKS, count_bounds, drop_bounds},
};
const size_t n_shrink_module_steps = sizeof shrink_module_steps / sizeof *shrink_module_steps;
