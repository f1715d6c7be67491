/* One node: its row in the table, its inputs and attributes, its outputs.
 *
 * in:  a node whose inputs stand in the scope
 * out: its outputs in the scope
 * law: every error names the node; conversions need not check after each call, since errors stick
 */
#include "frontends/onnx/import.h"

#include "frontends/onnx/tensorproto.h"
#include "ir/eval.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NO_VALUE ((tn_val){NULL, VALUE_NONE})

bool node_error(conversion *c, tn_status status, const char *format, ...) {
    char message[TN_DIAG_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return module_error_at(c->im->module, status, c->place, 0, 0, "%s", message);
}

/* ---- Inputs ------------------------------------------------------------------------------ */

int input_count(const conversion *c) { return (int)c->node->inputs.count; }

const char *input_name(const conversion *c, int i) { return i < input_count(c) ? c->node->inputs.items[i] : ""; }

bool has_input(const conversion *c, int i) { return *input_name(c, i) != '\0'; }

/* The node of the main graph that makes a value of that name; NULL: none does. */
static const onnx_node *find_maker(const conversion *c, const char *name) {
    const onnx_node_list *nodes = &c->im->model->graph->nodes;
    for (size_t i = 0; i < nodes->count; i++)
        for (size_t k = 0; k < nodes->items[i].outputs.count; k++)
            if (strcmp(nodes->items[i].outputs.items[k], name) == 0) return &nodes->items[i];
    return NULL;
}

/* A name that stands for nothing here: a node further down makes it, or it is misspelt. */
static void complain_of_input(conversion *c, const char *name) {
    const onnx_node *maker = find_maker(c, name);
    char text[300];
    near_names near = {.wanted = name};
    scope_offer(c->s, &near);
    if (maker)
        node_error(
            c, TN_ERR_PARSE,
            "input '%.200s' is made by a node behind it (%.60s%s%.100s): nodes stand in the order they are run in",
            name, maker->op_type, *maker->name ? " " : "", maker->name);
    else
        node_error(c, TN_ERR_PARSE, "input '%.200s' is no input, initializer or output of a node before it%s", name,
                   near_text(&near, text, sizeof text));
}

static entry *input_entry(conversion *c, int i) {
    if (!has_input(c, i)) return NULL;
    entry *e = scope_find(c->s, input_name(c, i));
    if (!e) complain_of_input(c, input_name(c, i));
    return e;
}

tn_val input(conversion *c, int i) {
    if (!has_input(c, i)) {
        if (i < c->row->least) node_error(c, TN_ERR_PARSE, "input %d is left out", i);
        return NO_VALUE;
    }
    entry *e = input_entry(c, i);
    return e ? entry_value(c->s, e) : NO_VALUE;
}

const known *input_known(conversion *c, int i) {
    entry *e = has_failed(c) ? NULL : input_entry(c, i);
    return e ? entry_known(c->s, e) : NULL;
}

/* Elements of a constant, or of what follows from constants. */
static const tensor_data *folded_data(conversion *c, int i) {
    entry *e = has_failed(c) ? NULL : input_entry(c, i);
    if (!e || entry_data(c->s, e)) return e ? e->data : NULL;
    return e->data = import_fold(c->im, entry_value(c->s, e));
}

const known *input_folded(conversion *c, int i) {
    const known *k = input_known(c, i);
    return k || !folded_data(c, i) ? k : input_known(c, i);
}

const known *input_positions(conversion *c, int i) {
    const known *k = input_folded(c, i);
    const tensor_data *data = k ? NULL : folded_data(c, i);
    return data ? known_positions(c->im, data) : k;
}

/* `k` is what is known of input i; NULL is an error. */
static const known *needed(conversion *c, int i, const char *what, const known *k) {
    if (!has_input(c, i))
        node_error(c, TN_ERR_PARSE, "%s (input %d) is left out", what, i);
    else if (!k)
        node_error(c, TN_ERR_UNSUPPORTED, "%s ('%.200s') depends on the values of tensors, not on their sizes alone",
                   what, input_name(c, i));
    return k;
}

const known *need_known(conversion *c, int i, const char *what) { return needed(c, i, what, input_folded(c, i)); }

const known *need_positions(conversion *c, int i, const char *what) {
    return needed(c, i, what, input_positions(c, i));
}

bool need_ints(conversion *c, int i, const char *what, int64_t *items, int capacity, int *n) {
    const known *k = need_known(c, i, what);
    *n = 0;
    if (!k) return false;
    if (k->n > capacity)
        return node_error(c, TN_ERR_LIMIT, "%s has %" PRId64 " entries, the most is %d", what, k->n, capacity);
    for (int64_t at = 0; at < k->n; at++)
        if (!known_number(c->im, k, at, &items[at]))
            return node_error(c, TN_ERR_UNSUPPORTED, "%s ('%.200s') depends on sizes that are not fixed", what,
                              input_name(c, i));
    *n = (int)k->n;
    return true;
}

bool need_int(conversion *c, int i, const char *what, int64_t *number) {
    int n;
    if (!need_ints(c, i, what, number, 1, &n)) return false;
    return n == 1 || node_error(c, TN_ERR_SHAPE, "%s must be one number, but is empty", what);
}

bool need_floats(conversion *c, int i, const char *what, double *items, int capacity, int *n) {
    const tensor_data *data = folded_data(c, i);
    int64_t count = 0;
    *n = 0;
    if (has_failed(c)) return false;
    if (!data)
        return node_error(c, TN_ERR_UNSUPPORTED, "%s ('%.200s') depends on the values of tensors", what,
                          input_name(c, i));
    dim_is_const(node_dims(c), type_element_count(node_dims(c), &data->type), &count);
    if (count > capacity)
        return node_error(c, TN_ERR_LIMIT, "%s has %" PRId64 " entries, the most is %d", what, count, capacity);
    eval_tensor t = {.dtype = (tn_dtype)data->type.dtype, .n = count, .data = (void *)data->data};
    for (int64_t at = 0; at < count; at++) items[at] = eval_load_float(&t, at);
    *n = (int)count;
    return true;
}

/* ---- Outputs ----------------------------------------------------------------------------- */

bool has_output(const conversion *c, int i) {
    return i < (int)c->node->outputs.count && *c->node->outputs.items[i] != '\0';
}

static entry *add_output(conversion *c, int i) {
    return has_output(c, i) ? scope_add(c->s, c->node->outputs.items[i]) : NULL;
}

void output(conversion *c, int i, tn_val v) {
    if (has_failed(c)) return;
    entry *e = add_output(c, i);
    if (!e) return;
    e->value = v;
    if (tn_is_valid(v) && !v.graph->values[v.id].name) tn_name(v, e->name);
}

void output_weight(conversion *c, int i, const tensor_data *data) {
    entry *e = has_failed(c) ? NULL : add_output(c, i);
    if (!e) return;
    e->data = data;
    e->is_weight = true;
}

void output_known(conversion *c, int i, const known *k) {
    if (has_failed(c)) return;
    entry *e = add_output(c, i);
    if (e) e->known = k;
}

/* ---- Attributes -------------------------------------------------------------------------- */

static const onnx_attribute *find_in(const onnx_attribute_list *list, const char *name) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0) return &list->items[i];
    return NULL;
}

/* An attribute, followed through the calls of local functions to where its value is. */
static const onnx_attribute *resolve(const conversion *c, const char *name) {
    const onnx_attribute *a = onnx_node_attribute(c->node, name);
    for (const frame *f = c->s->frame; a && *a->ref_attr_name; f = f->caller) {
        if (!f) return NULL;
        const char *wanted = a->ref_attr_name;
        a = find_in(&f->node->attributes, wanted);
        if (!a) return find_in(&f->function->attribute_protos, wanted);
    }
    return a;
}

bool has_attribute(conversion *c, const char *name) { return resolve(c, name) != NULL; }

const onnx_attribute *find_attribute(conversion *c, const char *name, int32_t type) {
    const onnx_attribute *a = resolve(c, name);
    if (!a || a->type == type) return a;
    node_error(c, TN_ERR_PARSE, "attribute %s is %s, not %s", name, onnx_attribute_type_name(a->type),
               onnx_attribute_type_name(type));
    return NULL;
}

int64_t read_int(conversion *c, const char *name, int64_t otherwise) {
    const onnx_attribute *a = find_attribute(c, name, ONNX_ATTR_INT);
    return a ? (a->value_field ? a->i : 0) : otherwise;
}

double read_float(conversion *c, const char *name, double otherwise) {
    const onnx_attribute *a = find_attribute(c, name, ONNX_ATTR_FLOAT);
    return a ? (a->value_field ? (double)a->f : 0) : otherwise;
}

const char *read_text(conversion *c, const char *name, const char *otherwise) {
    const onnx_attribute *a = find_attribute(c, name, ONNX_ATTR_STRING);
    if (!a) return otherwise;
    if (!a->value_field) return "";
    const char *text = arena_strndup(&c->im->memory, (const char *)a->s.data, a->s.size);
    if (!text) import_no_memory(c->im);
    return text ? text : "";
}

bool read_ints(conversion *c, const char *name, int64_t *items, int capacity, int *n) {
    const onnx_attribute *a = find_attribute(c, name, ONNX_ATTR_INTS);
    *n = -1;
    if (!a) return !has_failed(c);
    if (a->ints.count > (size_t)capacity)
        return node_error(c, TN_ERR_LIMIT, "attribute %s has %zu entries, the most is %d", name, a->ints.count,
                          capacity);
    *n = (int)a->ints.count;
    for (int i = 0; i < *n; i++) items[i] = a->ints.items[i];
    return true;
}

const onnx_graph *read_graph(conversion *c, const char *name) {
    const onnx_attribute *a = find_attribute(c, name, ONNX_ATTR_GRAPH);
    if (a && a->g) return a->g;
    node_error(c, TN_ERR_PARSE, "attribute %s is missing", name);
    return NULL;
}

bool check_axis(conversion *c, int64_t *axis, int rank) {
    int64_t given = *axis;
    if (given < 0) *axis += rank;
    if (*axis >= 0 && *axis < rank) return true;
    return node_error(c, TN_ERR_SHAPE, "axis %" PRId64 " is not within [%d, %d)", given, -rank, rank);
}

bool read_axes(conversion *c, int i, int rank, int64_t *axes, int *n) {
    bool is_attribute = resolve(c, "axes") != NULL;
    *n = -1;
    if (is_attribute) {
        if (!read_ints(c, "axes", axes, TN_MAX_RANK, n)) return false;
    } else if (i >= 0 && has_input(c, i)) {
        if (!need_ints(c, i, "axes", axes, TN_MAX_RANK, n)) return false;
    }
    for (int k = 0; k < *n; k++)
        if (!check_axis(c, &axes[k], rank)) return false;
    for (int k = 1; k < *n; k++)
        for (int j = k; j > 0 && axes[j - 1] >= axes[j]; j--) {
            int64_t larger = axes[j - 1];
            if (larger == axes[j]) return node_error(c, TN_ERR_SHAPE, "axis %" PRId64 " is named twice", larger);
            axes[j - 1] = axes[j];
            axes[j] = larger;
        }
    return !has_failed(c);
}

/* ---- The node ---------------------------------------------------------------------------- */

const char *domain_of(const onnx_node *node) { return strcmp(node->domain, "ai.onnx") == 0 ? "" : node->domain; }

int64_t opset_version(const onnx_opset_list *opsets, const char *domain) {
    for (size_t i = 0; i < opsets->count; i++) {
        const char *named = strcmp(opsets->items[i].domain, "ai.onnx") == 0 ? "" : opsets->items[i].domain;
        if (strcmp(named, domain) == 0) return opsets->items[i].version;
    }
    return *domain == '\0' ? 1 : 0;
}

const onnx_function *function_find(const onnx_model *model, const onnx_node *node) {
    for (size_t i = 0; i < model->functions.count; i++) {
        const onnx_function *f = &model->functions.items[i];
        const char *domain = strcmp(f->domain, "ai.onnx") == 0 ? "" : f->domain;
        if (strcmp(f->name, node->op_type) == 0 && strcmp(domain, domain_of(node)) == 0 &&
            strcmp(f->overload, node->overload) == 0)
            return f;
    }
    return NULL;
}

/* "model.onnx: node 'conv1' (Conv)"; a node without a name is told by its output. */
static const char *describe_place(scope *s, const onnx_node *node) {
    bool is_named = *node->name != '\0';
    const char *name = is_named ? node->name : node->outputs.count > 0 ? node->outputs.items[0] : "";
    const char *place = arena_printf(&s->im->memory, "%s: %s '%.120s' (%.60s)", s->im->path,
                                     is_named ? "node" : "the node of", name, node->op_type);
    if (!place) import_no_memory(s->im);
    return place;
}

static bool check_counts(conversion *c) {
    const op_row *row = c->row;
    int n = input_count(c), wanted = n < row->least ? row->least : row->most;
    if (n < row->least || n > row->most)
        return node_error(c, TN_ERR_PARSE, "takes %s%d input%s, not %d",
                          row->least == row->most ? ""
                          : n < row->least        ? "at least "
                                                  : "at most ",
                          wanted, wanted == 1 ? "" : "s", n);
    if (c->node->outputs.count > (size_t)row->outputs)
        return node_error(c, TN_ERR_PARSE, "has at most %d outputs, not %zu", row->outputs, c->node->outputs.count);
    for (int i = 0; i < n; i++)
        if (has_input(c, i) && !input_entry(c, i)) return false;
    return true;
}

/* Results that the conversion did not give. */
static bool check_outputs(conversion *c) {
    if (has_failed(c)) return false;
    for (int i = 0; i < (int)c->node->outputs.count; i++)
        if (has_output(c, i) && !scope_find(c->s, c->node->outputs.items[i]))
            return node_error(c, TN_ERR_UNSUPPORTED, "output %d ('%.200s') is not supported", i,
                              c->node->outputs.items[i]);
    return true;
}

/* A local function: its nodes are imported in the place of the call. */
static bool inline_function(conversion *c, const onnx_function *f) {
    frame inner = {c->s->frame, c->node, f, c->s->frame ? c->s->frame->depth + 1 : 1};
    if (inner.depth > c->im->options.max_depth)
        return node_error(c, TN_ERR_LIMIT, "local functions call each other more than %d deep",
                          c->im->options.max_depth);
    if (c->node->inputs.count > f->inputs.count || c->node->outputs.count > f->outputs.count)
        return node_error(c, TN_ERR_PARSE, "the local function %s takes %zu inputs and has %zu outputs", f->name,
                          f->inputs.count, f->outputs.count);
    scope inside = scope_open(c->im, c->g, NULL, &inner, f->opset_imports.count > 0 ? &f->opset_imports : c->s->opsets);
    bool ok = true;
    for (size_t i = 0; ok && i < f->inputs.count; i++) {
        entry *given = i < c->node->inputs.count ? input_entry(c, (int)i) : NULL;
        if (!given) continue;                                       /* left out: the name stands for nothing inside */
        if (entry_is_weight(c->s, given)) entry_value(c->s, given); /* one weight for all calls */
        entry copy = *given, *e = scope_add(&inside, f->inputs.items[i]);
        ok = e != NULL;
        if (!ok) break;
        copy.name = e->name;
        *e = copy;
    }
    ok = ok && !has_failed(c) && import_nodes(&inside, &f->nodes);
    for (int i = 0; ok && i < (int)c->node->outputs.count; i++) {
        entry *from = scope_find(&inside, f->outputs.items[i]);
        if (!from)
            ok = node_error(c, TN_ERR_PARSE, "output '%.200s' of the local function %s is no value of it",
                            f->outputs.items[i], f->name);
        else if (from->known)
            output_known(c, i, from->known);
        else
            output(c, i, entry_value(&inside, from));
    }
    scope_close(&inside);
    return ok && !has_failed(c);
}

bool import_node(scope *s, const onnx_node *node) {
    importer *im = s->im;
    conversion c = {.im = im, .s = s, .g = s->g, .node = node, .place = describe_place(s, node)};
    if (!c.place) return false;
    if (++im->n_nodes > im->options.max_nodes)
        return node_error(&c, TN_ERR_LIMIT, "the model has more than %zu nodes", im->options.max_nodes);
    location_id where = location_intern(im->module, c.place, 0), former = graph_set_origin(s->g, where);
    const char *outer = im->place;
    im->place = c.place;
    const onnx_function *function = function_find(im->model, node);
    bool ok = !import_failed(im);
    c.version = opset_version(s->opsets, domain_of(node));
    if (ok && function) {
        ok = inline_function(&c, function);
    } else if (ok) {
        c.row = op_row_find(domain_of(node), node->op_type, c.version);
        if (c.row) c.variant = c.row->variant;
        ok = c.row ? check_counts(&c) : node_error(&c, TN_ERR_UNSUPPORTED, "is no op that Tenon has");
        if (ok && !convert_known(&c) && !has_failed(&c)) c.row->convert(&c);
        ok = ok && check_outputs(&c);
    }
    graph_set_origin(s->g, former);
    im->place = outer;
    return ok && !import_failed(im);
}
