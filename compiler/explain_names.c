/* The texts of an explanation: types with sizes, locations, nodes, titles of kernels.
 *
 * in:  graphs whose sizes are known
 * out: strings in the explanation's memory; e->failed when there is none
 */
#include "compiler/explain_state.h"

#include "ir/op.h"
#include "ir/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *explain_text(explanation *e, const char *format, ...) {
    char text[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *own = arena_strdup(&e->memory, text);
    e->failed |= !own;
    return own ? own : "";
}

const char *explain_type(explanation *e, const sized *s, const tn_type *type) {
    char text[600];
    size_t used = (size_t)snprintf(text, sizeof text, "%s[", tn_dtype_name((tn_dtype)type->dtype));
    for (int i = 0; i < type->rank; i++) {
        double extent = sized_value(s, type->dims[i]);
        char dim[60];
        if (extent >= 0)
            snprintf(dim, sizeof dim, "%.0f", extent);
        else
            dim_print(s->graph->module->dims, type->dims[i], dim, sizeof dim);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "", dim);
    }
    snprintf(text + used, sizeof text - used, "]");
    return explain_text(e, "%s", text);
}

static const char *location_text(explanation *e, const tn_location *at) {
    const char *file = at->file ? at->file : "?";
    if (!at->line) {
        const char *own = arena_strdup(&e->memory, file);
        e->failed |= !own;
        return own ? own : "";
    }
    return explain_text(e, "%s:%d", file, at->line);
}

const char *const *explain_locations(explanation *e, const tn_module *m, location_id set, int *n) {
    tn_location items[LOCATION_MAX];
    size_t count = location_items(m, set, LOCATION_MAX, items);
    if (count > LOCATION_MAX) count = LOCATION_MAX;
    const char **texts = ARENA_ARRAY(&e->memory, const char *, count + 1);
    *n = 0;
    e->failed |= !texts;
    for (size_t i = 0; texts && i < count; i++) texts[(*n)++] = location_text(e, &items[i]);
    return texts;
}

/* ---- Nodes ---- */

static bool is_work(const node *n) { return op_is_work((tn_op)n->op); }

/* What was written to a buffer, in the explanation's memory; the buffer is freed. */
static const char *take_text(explanation *e, text_buffer *b) {
    text_add_n(b, "", 1);
    const char *own = b->failed ? NULL : arena_strdup(&e->memory, b->text);
    tn_free(b->text);
    e->failed |= !own;
    return own ? own : "";
}

static const char *text_of_op(explanation *e, const node *n) {
    text_buffer b = {0};
    text_op(&b, n);
    return take_text(e, &b);
}

/* Ops that compute something; of views alone, which are a copy in another order, the last. */
static const char *title_of(explanation *e, const tn_graph *g) {
    text_buffer b = {0};
    if (text_ops(&b, g, &(ops_style){.is_told = is_work, .has_kinds = true, .most = 6}) > 0) return take_text(e, &b);
    tn_free(b.text);
    for (size_t i = g->n_nodes; i-- > 0;)
        if (op_table[g->nodes[i].op].loop_class == CLASS_VIEW) return text_of_op(e, &g->nodes[i]);
    return "copy";
}

void explain_nodes(explanation *e, const sized *kernel, tn_explained_kernel *k) {
    const tn_graph *g = kernel->graph;
    tn_explained_node *nodes = ARENA_ARRAY(&e->memory, tn_explained_node, g->n_nodes + 1);
    e->failed |= !nodes;
    k->n_nodes = 0;
    k->nodes = nodes;
    for (size_t i = 0; nodes && i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        if (n->op == TN_OP_param || n->op == TN_OP_dim) continue;
        tn_explained_node *own = &nodes[k->n_nodes++];
        own->op = text_of_op(e, n);
        own->type = n->n_results ? explain_type(e, kernel, graph_type(g, n->first_result)) : "";
        own->locations = explain_locations(e, g->module, n->locations, &own->n_locations);
        own->is_view = !is_work(n);
    }
    k->title = title_of(e, g);
}
