/* Kernels as functions of the model.
 *
 * in:  calls of kernels, the functions that the pass fuse made
 * out: for each kernel one function of the domain tenon.kernel, with its parameters as inputs; for each call a node
 *      whose op is that function: viewers show a kernel as one node, which opens
 * law: a function sees nothing of the model. Its constants are nodes of its own; a size that is no axis of an input is
 *      one more input, a vector of one number
 */
#include "frontends/onnx/export.h"

#include "compiler/kernel_title.h"

#include <stdio.h>
#include <string.h>

typedef struct made_function {
    struct made_function *next;
    const tn_graph *g;
    const char *name;
    block *b;
} made_function;

/* "k0_conv_add_max": its name and the first word of its title, which tells the ops that it had before they were lowered. */
static const char *function_name(exporter *x, const tn_graph *g) {
    char title[KERNEL_TITLE], name[KERNEL_TITLE + 100];
    const tn_graph *original = module_find(x->source, g->name);
    kernel_title(original ? original : g, title, sizeof title);
    title[strcspn(title, " ")] = '\0';
    snprintf(name, sizeof name, "%.90s_%s", g->name, title);
    for (char *c = name; *c; c++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_", *c)) *c = '_';
    for (size_t n = strlen(name); n > 0 && name[n - 1] == '_'; n--) name[n - 1] = '\0'; /* "conv+..." */
    const char *kept = arena_strdup(&x->memory, name);
    if (!kept) export_no_memory(x);
    return kept;
}

/* ---- Inputs -------------------------------------------------------------------------------------------- */

static bool is_axis(const tn_graph *g, tn_dim symbol) {
    for (size_t i = 0; i < g->n_params; i++)
        for (int axis = 0; axis < g->params[i].type.rank; axis++)
            if (g->params[i].type.dims[axis] == symbol) return true;
    return false;
}

static label *add_input(exporter *x, block *b, const char *name, const tn_type *type) {
    label *l = label_new(x, b);
    l->wanted = name;
    block_declare(x, &b->inputs, l, type);
    return l;
}

/* The parameters, in `outside->values`, and the sizes that are no axes of them. Calls of the kernel find these by the
 * symbols of `outside`, which stands for the function's caller. */
static void add_inputs(exporter *x, block *b, inlined *outside) {
    const tn_graph *g = outside->g;
    for (size_t i = 0; i < g->n_params; i++)
        if (g->params[i].type.dtype != TN_TOKEN)
            outside->values[g->params[i].value] = add_input(x, b, g->params[i].name, &g->params[i].type);
    for (size_t i = 0; i < g->n_symbols; i++) {
        tn_dim one = dim_const(export_dims(x), 1);
        tn_type type = type_make(TN_I64, 1, &one);
        if (is_axis(g, g->symbols[i].dim)) continue;
        label *l = add_input(x, b, dim_symbol_name(export_dims(x), g->symbols[i].dim), &type);
        dim_label_set(x, b, outside, g->symbols[i].dim, l);
    }
}

/* ---- One function ---------------------------------------------------------------------------------------- */

static void write_body(exporter *x, block *b, const tn_graph *g) {
    inlined *outside = ARENA_NEW(&x->memory, inlined);
    label **values = ARENA_ARRAY(&x->memory, label *, g->n_values + 1),
          **arguments = ARENA_ARRAY(&x->memory, label *, g->n_params + 1);
    tn_dim *symbols = ARENA_ARRAY(&x->memory, tn_dim, g->n_symbols + 1);
    if (!outside || !values || !arguments || !symbols) {
        export_no_memory(x);
        return;
    }
    *outside = (inlined){.g = g, .b = b, .values = values};
    add_inputs(x, b, outside);
    for (size_t i = 0; i < g->n_params; i++) arguments[i] = values[g->params[i].value];
    for (size_t i = 0; i < g->n_symbols; i++) symbols[i] = g->symbols[i].dim;
    inlined *f = export_failed(x) ? NULL : export_function(x, b, g, arguments, outside, symbols);
    for (size_t r = 0; f && r < g->n_results; r++) {
        const tn_type *type = graph_type(g, g->results[r].value);
        if (type->dtype == TN_TOKEN) continue;
        block_declare(x, &b->outputs, block_own(x, b, value_label(x, f, g->results[r].value), &b->outputs), type);
    }
}

static made_function *make_function(exporter *x, const tn_graph *g) {
    made_function *made = ARENA_NEW(&x->memory, made_function);
    block *b = block_new(x, NULL, g->name);
    if (!made || !b) {
        export_no_memory(x);
        return NULL;
    }
    b->is_function = true;
    weight_pool outer = x->weights;
    x->weights = (weight_pool){0};
    write_body(x, b, g);
    for (size_t i = x->weights.n; i-- > 0;) block_put_constant(x, b, &x->weights.items[i]);
    tn_free(x->weights.items);
    x->weights = outer;
    *made = (made_function){x->functions, g, function_name(x, g), b};
    x->functions = made;
    x->n_functions++;
    return export_failed(x) ? NULL : made;
}

static made_function *function_of(exporter *x, const tn_graph *g) {
    for (made_function *f = x->functions; f; f = f->next)
        if (f->g == g) return f;
    return make_function(x, g);
}

/* ---- Calls ------------------------------------------------------------------------------------------------- */

void export_kernel_call(writing *w, const tn_graph *kernel) {
    const made_function *f = function_of(w->x, kernel);
    const tn_dim *symbols = node_callee_symbols(w->n, kernel);
    label **inputs = ARENA_ARRAY(&w->x->memory, label *, w->n->n_operands + kernel->n_symbols + 1);
    int n_inputs = 0, n_outputs = 0, at = 0;
    if (!f || !inputs) {
        export_no_memory(w->x);
        return;
    }
    for (uint32_t i = 0; i < w->n->n_operands; i++)
        if (operand_type(w, i)->dtype != TN_TOKEN) inputs[n_inputs++] = operand(w, i);
    for (size_t i = 0; i < kernel->n_symbols; i++)
        if (!is_axis(kernel, kernel->symbols[i].dim)) inputs[n_inputs++] = dim_label(w->x, w->b, w->f, symbols[i]);
    for (uint32_t i = 0; i < w->n->n_results; i++) n_outputs += result_type(w, i)->dtype != TN_TOKEN;
    made_node *n = emit_node(w, f->name, inputs, n_inputs, n_outputs);
    n->domain = TN_ONNX_KERNEL_DOMAIN;
    for (uint32_t i = 0; i < w->n->n_results && at < n->n_outputs; i++)
        if (result_type(w, i)->dtype != TN_TOKEN) give(w, i, n->outputs[at++]);
}

/* ---- The model's list ---------------------------------------------------------------------------------------- */

static bool fill_names(exporter *x, const declared_list *from, onnx_text_list *to) {
    to->items = ARENA_ARRAY(&x->memory, const char *, from->count + 1);
    to->count = from->count;
    if (!to->items) return export_no_memory(x);
    for (size_t i = 0; i < from->count; i++) to->items[i] = from->items[i].l->text;
    return true;
}

bool export_fill_functions(exporter *x) {
    size_t at = x->n_functions;
    x->model.functions.items = ARENA_ARRAY(&x->memory, onnx_function, x->n_functions + 1);
    x->model.functions.count = x->n_functions;
    if (!x->model.functions.items) return export_no_memory(x);
    for (const made_function *f = x->functions; f; f = f->next) {
        onnx_function *to = &x->model.functions.items[--at];
        *to = (onnx_function){.name = f->name, .domain = TN_ONNX_KERNEL_DOMAIN};
        to->nodes = f->b->graph->nodes;
        to->opset_imports.items = x->model.opset_imports.items;
        to->opset_imports.count = 1; /* the standard's: kernels call no others */
        if (!fill_names(x, &f->b->inputs, &to->inputs) || !fill_names(x, &f->b->outputs, &to->outputs)) return false;
    }
    return true;
}
