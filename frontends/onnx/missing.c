/* Ops without a row, all of them at once.
 *
 * in:  a model
 * out: one error that names every op that cannot be converted, with its nodes
 */
#include "frontends/onnx/import.h"
#include "runtime/diag.h"

#include <string.h>

enum { SHOWN_NODES = 3 };

typedef struct missing_op {
    const char *domain, *name;
    int64_t version;
    const char *nodes[SHOWN_NODES];
    size_t n;
} missing_op;

typedef struct search {
    importer *im;
    missing_op *items;
    size_t n, capacity, n_nodes;
} search;

static bool note(search *s, const onnx_node *node, int64_t version) {
    size_t i = 0;
    while (i < s->n &&
           (strcmp(s->items[i].name, node->op_type) != 0 || strcmp(s->items[i].domain, domain_of(node)) != 0))
        i++;
    if (i == s->n) {
        if (!array_reserve((void **)&s->items, &s->capacity, s->n + 1, sizeof *s->items))
            return import_no_memory(s->im);
        s->items[s->n++] = (missing_op){.domain = domain_of(node), .name = node->op_type, .version = version};
    }
    missing_op *op = &s->items[i];
    const char *name = *node->name || node->outputs.count == 0 ? node->name : node->outputs.items[0];
    if (op->n < SHOWN_NODES) op->nodes[op->n] = name;
    op->n++;
    s->n_nodes++;
    return true;
}

static bool search_nodes(search *s, const onnx_node_list *nodes, const onnx_opset_list *opsets);

static bool search_node(search *s, const onnx_node *node, const onnx_opset_list *opsets) {
    for (size_t i = 0; i < node->attributes.count; i++) {
        const onnx_attribute *a = &node->attributes.items[i];
        if (a->type == ONNX_ATTR_GRAPH && a->g && !search_nodes(s, &a->g->nodes, opsets)) return false;
        for (size_t k = 0; a->type == ONNX_ATTR_GRAPHS && k < a->graphs.count; k++)
            if (!search_nodes(s, &a->graphs.items[k].nodes, opsets)) return false;
    }
    int64_t version = opset_version(opsets, domain_of(node));
    if (function_find(s->im->model, node) || op_row_find(domain_of(node), node->op_type, version)) return true;
    return note(s, node, version);
}

static bool search_nodes(search *s, const onnx_node_list *nodes, const onnx_opset_list *opsets) {
    for (size_t i = 0; i < nodes->count; i++)
        if (!search_node(s, &nodes->items[i], opsets)) return false;
    return true;
}

/* The opsets that an op is known of, or ops of like names. */
static void add_what_is_known(line *t, const missing_op *op) {
    int since = 0, until = 0;
    char text[200];
    near_names near = {.wanted = op->name};
    for (size_t i = 0; i < op_row_count; i++) {
        const op_row *row = &op_rows[i];
        if (strcmp(row->domain, op->domain) != 0) continue;
        near_offer(&near, row->name);
        if (strcmp(row->name, op->name) != 0) continue;
        since = since == 0 || row->since < since ? row->since : since;
        until = row->until > until ? row->until : until;
    }
    if (since > op->version) line_add(t, ": it is known from opset %d on", since);
    if (since > 0 && until < op->version) line_add(t, ": it is known up to opset %d", until);
    if (since == 0) line_add(t, "%s", near_text(&near, text, sizeof text));
}

static void report(const search *s) {
    char text[TN_DIAG_MESSAGE_BYTES];
    line t = {text, sizeof text, 0};
    line_add(&t, "%zu op%s missing (%zu node%s):", s->n, s->n == 1 ? " is" : "s are", s->n_nodes,
             s->n_nodes == 1 ? "" : "s");
    for (size_t i = 0; i < s->n; i++) {
        const missing_op *op = &s->items[i];
        line_add(&t, "%s %s%s%.60s (opset %lld, %zu node%s:", i ? ";" : "", op->domain, *op->domain ? "." : "",
                 op->name, (long long)op->version, op->n, op->n == 1 ? "" : "s");
        for (size_t k = 0; k < op->n && k < SHOWN_NODES; k++) line_add(&t, " '%.60s'", op->nodes[k]);
        line_add(&t, op->n > SHOWN_NODES ? " ...)" : ")");
        add_what_is_known(&t, op);
    }
    import_error(s->im, TN_ERR_UNSUPPORTED, "%s", text);
}

bool import_check_ops(importer *im) {
    search s = {.im = im};
    bool ok = search_nodes(&s, &im->model->graph->nodes, &im->model->opset_imports);
    for (size_t i = 0; ok && i < im->model->functions.count; i++) {
        const onnx_function *f = &im->model->functions.items[i];
        ok = search_nodes(&s, &f->nodes, f->opset_imports.count > 0 ? &f->opset_imports : &im->model->opset_imports);
    }
    if (ok && s.n > 0) report(&s);
    ok = ok && s.n == 0;
    tn_free(s.items);
    return ok;
}
