/* Functions for branches and loops.
 *
 * in:  graphs of ONNX that may use values of the graphs around them
 * out: functions without captured values: what a body uses is a parameter, constants and known
 *      contents are made again inside
 * law: a symbol inside is the symbol of that name outside; each is the extent of some parameter, so
 *      that it can be bound (a parameter is added for the purpose where need be)
 */
#include "frontends/onnx/import.h"

#include <string.h>

bool body_open(body *b, conversion *c, const char *name) {
    *b = (body){.c = c, .g = module_add_graph(c->im->module, name)};
    if (b->g) graph_set_origin(b->g, c->g->origin);
    return b->g != NULL;
}

void body_close(body *b) {
    if (b->g) graph_set_origin(b->g, LOCATION_NONE);
    tn_free(b->outer);
    tn_free(b->inside);
}

tn_val body_param(body *b, const char *name, const tn_type *type) {
    if (name && !name[0]) name = NULL;
    for (size_t i = 0; name && i < b->g->n_params; i++)
        if (strcmp(b->g->params[i].name, name) == 0) name = NULL;
    value_id v = graph_add_param(b->g, name, type, BINDING_RUN);
    return v == VALUE_NONE ? (tn_val){NULL, VALUE_NONE} : (tn_val){b->g, v};
}

tn_val body_capture(body *b, tn_val outer) {
    if (!tn_is_valid(outer)) return outer;
    const node *made_by = graph_node_of(outer.graph, outer.id);
    if (made_by->op == TN_OP_constant) {
        value_id v = VALUE_NONE;
        graph_apply(b->g, b->g->origin, TN_OP_constant, NULL, 0, made_by->attrs.items, made_by->attrs.n, &v, 1, NULL);
        return (tn_val){b->g, v};
    }
    for (size_t i = 0; i < b->n; i++)
        if (b->outer[i].id == outer.id) return b->inside[i];
    if (!array_reserve((void **)&b->outer, &b->capacity, b->n + 1, sizeof *b->outer) ||
        !array_reserve((void **)&b->inside, &b->inside_capacity, b->n + 1, sizeof *b->inside)) {
        import_no_memory(b->c->im);
        return (tn_val){NULL, VALUE_NONE};
    }
    tn_type type = tn_type_of(outer);
    b->outer[b->n] = outer;
    b->inside[b->n] = body_param(b, outer.graph->values[outer.id].name, &type);
    return b->inside[b->n++];
}

/* ---- Symbols ------------------------------------------------------------------------------- */

static bool is_extent(const tn_graph *g, tn_dim symbol, value_id *param) {
    for (size_t i = 0; i < g->n_params; i++)
        for (int axis = 0; axis < g->params[i].type.rank; axis++)
            if (g->params[i].type.dims[axis] == symbol) {
                *param = g->params[i].value;
                return true;
            }
    return false;
}

/* Makes a symbol the extent of a parameter inside. */
static bool bind_symbol(void *ctx, tn_dim symbol) {
    body *b = ctx;
    value_id v;
    if (is_extent(b->g, symbol, &v) || !is_extent(b->c->g, symbol, &v)) return true;
    return tn_is_valid(body_capture(b, (tn_val){b->c->g, v}));
}

static bool bind_symbols(body *b, const scope *s) {
    dim_table *t = b->c->im->module->dims;
    for (size_t i = 0; i < s->n_entries; i++)
        for (int64_t k = 0; s->entries[i].known && k < s->entries[i].known->n; k++)
            if (!dim_visit_leaves(t, s->entries[i].known->items[k], bind_symbol, b)) return false;
    for (size_t i = 0; i < b->g->n_symbols; i++)
        if (!bind_symbol(b, b->g->symbols[i].dim)) return false;
    return true;
}

/* ---- Names from outside -------------------------------------------------------------------- */

/* A walk over a graph that enters what it uses from outside into the body's scope. */
typedef struct walk {
    body *b;
    scope *inside;
} walk;

static bool define(scope *own, const char *name) { return !*name || scope_find(own, name) || scope_add(own, name); }

static bool define_all(scope *own, const onnx_graph *graph) {
    for (size_t i = 0; i < graph->inputs.count; i++)
        if (!define(own, graph->inputs.items[i].name)) return false;
    for (size_t i = 0; i < graph->initializers.count; i++)
        if (!define(own, graph->initializers.items[i].name)) return false;
    for (size_t i = 0; i < graph->nodes.count; i++)
        for (size_t k = 0; k < graph->nodes.items[i].outputs.count; k++)
            if (!define(own, graph->nodes.items[i].outputs.items[k])) return false;
    return true;
}

static bool use(walk *w, scope *own, const char *name) {
    scope *around = w->b->c->s;
    if (!*name || scope_find(own, name) || scope_find(w->inside, name)) return true;
    entry *from = scope_find(around, name);
    if (!from) return true; /* where it is used it will be an error */
    const known *k = entry_known(around, from);
    const tensor_data *data = k ? NULL : entry_data(around, from);
    bool is_constant =
        data && !(tn_is_valid(from->value) && graph_node_of(from->value.graph, from->value.id)->op == TN_OP_param);
    tn_val v = {NULL, VALUE_NONE};
    is_constant = is_constant && !entry_is_weight(around, from);
    if (!k && !is_constant) v = body_capture(w->b, entry_value(around, from));
    entry *e = import_failed(around->im) ? NULL : scope_add(w->inside, name);
    if (!e) return false;
    e->known = k;
    e->data = k || is_constant ? data : NULL;
    e->value = v;
    return true;
}

static bool walk_graph(walk *w, const onnx_graph *graph, scope *parent) {
    scope own = scope_open(w->b->c->im, NULL, parent, NULL, NULL);
    bool ok = define_all(&own, graph);
    for (size_t i = 0; ok && i < graph->nodes.count; i++) {
        const onnx_node *node = &graph->nodes.items[i];
        for (size_t k = 0; ok && k < node->inputs.count; k++) ok = use(w, &own, node->inputs.items[k]);
        for (size_t k = 0; ok && k < node->attributes.count; k++) {
            const onnx_attribute *a = &node->attributes.items[k];
            if (a->type == ONNX_ATTR_GRAPH && a->g) ok = walk_graph(w, a->g, &own);
            for (size_t j = 0; ok && a->type == ONNX_ATTR_GRAPHS && j < a->graphs.count; j++)
                ok = walk_graph(w, &a->graphs.items[j], &own);
        }
    }
    for (size_t i = 0; ok && i < graph->outputs.count; i++) ok = use(w, &own, graph->outputs.items[i].name);
    scope_close(&own);
    return ok;
}

bool body_scope(body *b, const onnx_graph *const *graphs, int n, scope *s) {
    *s = scope_open(b->c->im, b->g, NULL, b->c->s->frame, b->c->s->opsets);
    walk w = {b, s};
    for (int i = 0; i < n; i++)
        if (!walk_graph(&w, graphs[i], NULL)) return false;
    return bind_symbols(b, s);
}

/* ---- Results ------------------------------------------------------------------------------- */

bool body_result(body *b, tn_val v) {
    return tn_is_valid(v) && !import_failed(b->c->im) && graph_add_result(b->g, NULL, v.id, -1);
}

bool body_results(body *b, scope *s, const onnx_graph *graph, size_t first, size_t n) {
    for (size_t i = first; i < first + n; i++) {
        entry *e = i < graph->outputs.count ? scope_find(s, graph->outputs.items[i].name) : NULL;
        if (!e)
            return node_error(b->c, TN_ERR_PARSE, "output %zu of the graph '%.100s' is no value of it", i, graph->name);
        if (!body_result(b, entry_value(s, e))) return false;
    }
    return true;
}

bool body_return_captured(body *b) {
    for (size_t i = 0; i < b->n; i++)
        if (!body_result(b, b->inside[i])) return false;
    return true;
}
