/* Modules as drawings (see graphviz.h).
 *
 * in:  a module
 * out: text for Graphviz's dot: a box for each node, with the type of what it makes, an arrow for each operand; tooltips
 *      tell what a node computes and where it is from, and of arrows value and type. Functions are clusters, and in main so are the parts of names between slashes
 *      ("/layer1/conv1/Conv") that nodes of ONNX have. A kernel is a cluster where it is called, with its nodes
 * law: constants, weights and broadcasts of them are lines in the boxes of what reads them rather than boxes: there are as many as nodes.
 *      Types are not written along the arrows: dot then takes minutes for what it does in seconds
 */
#include "ir/graphviz.h"

#include "ir/names.h"
#include "ir/op.h"

#include <inttypes.h>
#include <string.h>

/* Colours by what a node is (Graphviz's names). */
static const struct {
    const char *fill, *shape;
} looks[] = {
    [CLASS_LEAF] = {"gray95", "box"},
    [CLASS_MAP] = {"honeydew2", "box"},
    [CLASS_VIEW] = {"gray95", "box"},
    [CLASS_REDUCE] = {"khaki1", "box"},
    [CLASS_CUMULATE] = {"khaki1", "box"},
    [CLASS_CONTRACT] = {"lightblue", "box"},
    [CLASS_CONV] = {"lightblue", "box"},
    [CLASS_WINDOW] = {"khaki1", "box"},
    [CLASS_INDEX] = {"thistle1", "box"},
    [CLASS_SORT] = {"thistle1", "box"},
    [CLASS_CONTROL] = {"lightsalmon", "hexagon"},
    [CLASS_EFFECT] = {"mistyrose", "hexagon"},
    [CLASS_COMPOSITE] = {"lightcyan", "box"},
};

/* A box, or the end of an arrow. */
typedef uint32_t box;
enum { NO_BOX = 0 };

/* A function being drawn. */
typedef struct drawing {
    text_buffer *out, *arrows; /* arrows stand behind all clusters, so that they belong to none */
    const tn_graph *g;
    const uint32_t *numbers;
    box *boxes;                   /* of each value; NO_BOX: it has none, and is a line where it is read */
    const struct drawing *caller; /* whose call of a kernel is drawn in place */
    const node *call;
    box *next;
} drawing;

/* ---- Text --------------------------------------------------------------------------------------------- */

/* In quotes, as Graphviz reads them; ends of lines become \n. */
static void put_quoted(text_buffer *b, const char *text, size_t length) {
    text_add(b, "\"");
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\') text_add(b, "\\");
        if (text[i] == '\n')
            text_add(b, "\\n");
        else if ((unsigned char)text[i] >= ' ')
            text_add_n(b, &text[i], 1);
    }
    text_add(b, "\"");
}

static void put_text(text_buffer *b, text_buffer *text) {
    put_quoted(b, text->text ? text->text : "", text->length);
    b->failed |= text->failed;
    tn_free(text->text);
    *text = (text_buffer){0};
}

static const node *maker(const drawing *d, value_id v) { return graph_node_of(d->g, v); }

/* The operand of a kernel's call that its parameter v stands for; false: v is no such parameter. */
static bool is_given(const drawing *d, value_id v, value_id *given) {
    const node *n = maker(d, v);
    if (!d->caller || n->op != TN_OP_param) return false;
    *given = d->call->operands[attr_int(&n->attrs, ATTR_index, 0)];
    return true;
}

/* Constants, weights and broadcasts of them are told by their readers. */
static bool is_told(const drawing *d, value_id v) {
    const node *n = maker(d, v);
    value_id given;
    if (is_given(d, v, &given)) return is_told(d->caller, given);
    if (n->op == TN_OP_param) return d->g->params[attr_int(&n->attrs, ATTR_index, 0)].binding == BINDING_LOAD;
    return n->op == TN_OP_constant || (n->op == TN_OP_broadcast && is_told(d, n->operands[0]));
}

/* A single number, or name and type. */
static void tell(const drawing *d, text_buffer *b, value_id v) {
    const node *n = maker(d, v);
    value_id given;
    if (is_given(d, v, &given)) {
        tell(d->caller, b, given);
        return;
    }
    if (n->op == TN_OP_broadcast) {
        tell(d, b, n->operands[0]);
        return;
    }
    const attr *value = attr_find(&n->attrs, ATTR_value);
    const char *name = value_given_name(d->g, v);
    text_add(b, "\nwith ");
    if (value && graph_type(d->g, v)->rank == 0) {
        text_data_brief(b, value->data);
        return;
    }
    if (name && *name) text_format(b, "%.60s ", name);
    text_type(b, d->g->module->dims, graph_type(d->g, v));
}

/* The attributes that fit: numbers and words, not whole tensors or functions. */
static void put_attributes(text_buffer *b, const drawing *d, const node *n) {
    text_buffer line = {0};
    text_node(&line, d->g, d->numbers, NULL, n);
    text_add_n(&line, "", 1);
    char *equals = line.failed ? NULL : strchr(line.text, '='), *at = equals ? strchr(equals + 1, '=') : NULL;
    char *end = at ? strstr(at, " : ") : NULL;
    while (at && at > equals && at[-1] != ' ') at--;
    if (at && end && end > at && end - at < 60 && !attr_find(&n->attrs, ATTR_value)) {
        text_add(b, "\n");
        text_add_n(b, at, (size_t)(end - at));
    }
    b->failed |= line.failed;
    tn_free(line.text);
}

/* ---- Boxes ---------------------------------------------------------------------------------------------- */

static box new_box(drawing *d) { return ++*d->next; }

static void put_arrow(drawing *d, box from, box to, value_id v) {
    text_buffer tip = {0};
    if (from == NO_BOX) return;
    text_format(d->arrows, "  n%" PRIu32 " -> n%" PRIu32 " [tooltip=", from, to);
    text_value(&tip, d->g, d->numbers, v);
    text_add(&tip, ": ");
    text_type(&tip, d->g->module->dims, graph_type(d->g, v));
    put_text(d->arrows, &tip);
    text_add(d->arrows, "];\n");
}

/* The box that a value comes from: of a kernel's parameter, that of what its caller gives. */
static box origin(const drawing *d, value_id v) {
    value_id given;
    return is_given(d, v, &given) ? origin(d->caller, given) : d->boxes[v];
}

static void put_box(drawing *d, const node *n) {
    box b = new_box(d);
    text_buffer label = {0}, tip = {0};
    text_add(&label, op_name((tn_op)n->op));
    put_attributes(&label, d, n);
    for (uint32_t i = 0; i < n->n_operands; i++) {
        if (is_told(d, n->operands[i]))
            tell(d, &label, n->operands[i]);
        else
            put_arrow(d, origin(d, n->operands[i]), b, n->operands[i]);
    }
    for (uint32_t r = 0; r < n->n_results; r++) {
        text_add(&label, "\n");
        text_type(&label, d->g->module->dims, graph_type(d->g, n->first_result + r));
    }
    text_node(&tip, d->g, d->numbers, NULL, n);
    text_format(d->out, "  n%" PRIu32 " [shape=%s, fillcolor=%s, label=", b, looks[op_table[n->op].loop_class].shape,
                looks[op_table[n->op].loop_class].fill);
    put_text(d->out, &label);
    text_add(d->out, ", tooltip=");
    put_text(d->out, &tip);
    text_add(d->out, "];\n");
    for (uint32_t r = 0; r < n->n_results; r++) d->boxes[n->first_result + r] = b;
}

static void put_end(drawing *d, box b, const char *name, value_id v) {
    text_buffer label = {0};
    text_format(d->out, "  n%" PRIu32 " [shape=oval, fillcolor=white, label=", b);
    text_add(&label, name);
    text_add(&label, "\n");
    text_type(&label, d->g->module->dims, graph_type(d->g, v));
    put_text(d->out, &label);
    text_add(d->out, "];\n");
}

/* ---- Clusters ---------------------------------------------------------------------------------------------- */

static void open_cluster(drawing *d, const char *label, size_t length, const char *color) {
    text_format(d->out, "  subgraph cluster_%" PRIu32 " {\n  style=rounded; color=%s; label=", new_box(d), color);
    put_quoted(d->out, label, length);
    text_add(d->out, "; tooltip=");
    put_quoted(d->out, label, length);
    text_add(d->out, ";\n");
}

static void close_cluster(drawing *d) { text_add(d->out, "  }\n"); }

/* The path in the name of the ONNX node that n is from: "/layer1/conv1" of "/layer1/conv1/Conv"; length 0: none. */
static const char *path_of(const drawing *d, const node *n, size_t *length) {
    tn_location at;
    *length = 0;
    if (location_items(d->g->module, n->locations, 1, &at) == 0) return "";
    const char *name = location_node_name(&at, length);
    while (*length > 0 && name[*length] != '/') --*length;
    return name ? name : "";
}

/* Leaves the clusters that the next path does not share, and enters its own. Paths are open one after the other, so
 * that a module that is left and entered again has two clusters. */
static void move_to_path(drawing *d, char *open, size_t capacity, const char *path, size_t length) {
    size_t open_length = strlen(open), shared = 0;
    if (length >= capacity) length = 0;
    for (size_t i = 0;; i++) {
        bool ends_open = i == open_length || open[i] == '/', ends_path = i == length || path[i] == '/';
        if (ends_open && ends_path) shared = i;
        if (i == open_length || i == length || open[i] != path[i]) break;
    }
    for (size_t i = shared; i < open_length; i++)
        if (i + 1 == open_length || open[i + 1] == '/') close_cluster(d);
    for (size_t i = shared; i < length;) {
        size_t first = i + (path[i] == '/'), end = first;
        while (end < length && path[end] != '/') end++;
        open_cluster(d, path + first, end - first, "gray60");
        i = end;
    }
    memcpy(open, path, length);
    open[length] = '\0';
}

/* ---- Functions ------------------------------------------------------------------------------------------------ */

static bool drawing_open(drawing *d, const tn_graph *g) {
    d->g = g;
    d->numbers = graph_number_values(g);
    d->boxes = tn_calloc(g->n_values + 1, sizeof *d->boxes);
    if (d->numbers && d->boxes) return true;
    d->out->failed = true;
    return false;
}

static void drawing_close(drawing *d) {
    tn_free((void *)(uintptr_t)d->numbers);
    tn_free(d->boxes);
}

static const tn_graph *kernel_of(const node *n) {
    const attr *callee = n->op == TN_OP_call ? attr_find(&n->attrs, ATTR_callee) : NULL;
    return callee && callee->func->is_kernel ? callee->func : NULL;
}

static bool has_box(const drawing *d, const node *n) {
    return n->op != TN_OP_param && (n->n_results == 0 || !is_told(d, n->first_result));
}

/* Kernels call nothing. */
static void put_kernel(drawing *d, const node *call, const tn_graph *kernel) {
    drawing inner = {.out = d->out, .arrows = d->arrows, .caller = d, .call = call, .next = d->next};
    open_cluster(d, kernel->name, strlen(kernel->name), "steelblue");
    if (drawing_open(&inner, kernel)) {
        for (size_t k = 0; k < kernel->n_nodes; k++)
            if (has_box(&inner, &kernel->nodes[k])) put_box(&inner, &kernel->nodes[k]);
        for (size_t r = 0; r < kernel->n_results && r < call->n_results; r++)
            d->boxes[call->first_result + r] = origin(&inner, kernel->results[r].value);
    }
    drawing_close(&inner);
    close_cluster(d);
}

enum { LONGEST_PATH = 1000 };

static void put_nodes(drawing *d) {
    char open[LONGEST_PATH] = "";
    for (size_t k = 0; k < d->g->n_nodes && !d->out->failed; k++) {
        const node *n = &d->g->nodes[k];
        const tn_graph *kernel = kernel_of(n);
        size_t length;
        if (!has_box(d, n)) continue;
        const char *path = path_of(d, n, &length);
        move_to_path(d, open, sizeof open, path, length);
        if (kernel)
            put_kernel(d, n, kernel);
        else
            put_box(d, n);
    }
    move_to_path(d, open, sizeof open, "", 0);
}

static void put_function(drawing *d, const tn_graph *g) {
    if (!drawing_open(d, g)) {
        drawing_close(d);
        return;
    }
    open_cluster(d, g->name, strlen(g->name), "black");
    for (size_t i = 0; i < g->n_params; i++) {
        value_id v = g->params[i].value;
        if (is_told(d, v)) continue;
        put_end(d, d->boxes[v] = new_box(d), g->params[i].name, v);
    }
    put_nodes(d);
    for (size_t r = 0; r < g->n_results; r++) {
        box b = new_box(d);
        put_end(d, b, g->results[r].name, g->results[r].value);
        put_arrow(d, d->boxes[g->results[r].value], b, g->results[r].value); /* none from a constant */
    }
    close_cluster(d);
    drawing_close(d);
}

char *module_graphviz(const tn_module *m) {
    text_buffer out = {0}, arrows = {0};
    box next = NO_BOX;
    text_add(&out, "digraph ");
    put_quoted(&out, m->name, strlen(m->name));
    text_add(&out, " {\n  graph [fontname=Helvetica, ranksep=0.35, nslimit=1, mclimit=0.2];\n"
                   "  node [fontname=Helvetica, fontsize=11, style=\"filled,rounded\", margin=\"0.12,0.04\"];\n"
                   "  edge [fontname=Helvetica, fontsize=9, color=gray40, fontcolor=gray30, arrowsize=0.6];\n");
    for (size_t i = 0; i < m->n_graphs; i++) {
        drawing d = {.out = &out, .arrows = &arrows, .next = &next};
        if (!m->graphs[i]->is_kernel) put_function(&d, m->graphs[i]);
    }
    text_add_n(&out, arrows.text ? arrows.text : "", arrows.length);
    text_add(&out, "}\n");
    text_add_n(&out, "", 1);
    out.failed |= arrows.failed;
    tn_free(arrows.text);
    if (!out.failed) return out.text;
    tn_free(out.text);
    return NULL;
}
