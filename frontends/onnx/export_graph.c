/* ONNX graphs while they grow (see export.h).
 *
 * law: a name is settled once, when all is written: first those that were reserved for inputs and outputs, then those
 *      that values came with, then numbers; no two values of the model have the same, in whichever graphs they are
 */
#include "frontends/onnx/export.h"

#include "frontends/onnx/tensorproto.h"
#include "ir/eval.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MOST_NODES = 2000000 };

bool export_no_memory(exporter *x) { return module_no_memory(x->module); }

/* ---- Blocks, labels, nodes ------------------------------------------------------------------------ */

block *block_new(exporter *x, block *parent, const char *name) {
    block *b = ARENA_NEW(&x->memory, block);
    onnx_graph *graph = ARENA_NEW(&x->memory, onnx_graph);
    if (!b || !graph) {
        export_no_memory(x);
        return NULL;
    }
    *b = (block){.parent = parent, .name = name, .graph = graph};
    if (x->last_block)
        x->last_block->next = b;
    else
        x->blocks = b;
    x->last_block = b;
    return b;
}

label *label_new(exporter *x, block *home) {
    label *l = ARENA_NEW(&x->memory, label);
    if (!l) {
        export_no_memory(x);
        return &x->spare_label;
    }
    l->home = home;
    return l;
}

static made_node *spare_node(exporter *x) {
    x->spare_labels[0] = x->spare_labels[1] = &x->spare_label;
    x->spare_node = (made_node){.op = "", .outputs = x->spare_labels, .n_outputs = 2};
    return &x->spare_node;
}

made_node *node_new(exporter *x, block *b, const char *op, label *const *inputs, int n_inputs, int n_outputs) {
    made_node *n = ARENA_NEW(&x->memory, made_node);
    label **labels = ARENA_ARRAY(&x->memory, label *, n_inputs + n_outputs + 2);
    if (++x->n_nodes > MOST_NODES)
        module_error(x->module, TN_ERR_LIMIT, LOCATION_NONE,
                     "the model would have more than %d nodes: functions are written where they are called",
                     MOST_NODES);
    if (!n || !labels) export_no_memory(x);
    if (export_failed(x)) return spare_node(x);
    *n = (made_node){
        .op = op, .inputs = labels, .outputs = labels + n_inputs, .n_inputs = n_inputs, .n_outputs = n_outputs};
    if (n_inputs > 0) memcpy(labels, inputs, (size_t)n_inputs * sizeof *labels);
    for (int i = 0; i < n_outputs; i++) {
        label *made = labels[n_inputs + i] = label_new(x, b);
        made->is_made = true;
        made->maker = n;
    }
    if (b->last)
        b->last->next = n;
    else
        b->first = n;
    b->last = n;
    b->n_nodes++;
    return n;
}

bool block_declare(exporter *x, declared_list *list, label *l, const tn_type *type) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 8;
        declared *items = ARENA_ARRAY(&x->memory, declared, capacity);
        if (!items) return export_no_memory(x);
        if (list->count > 0) memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (declared){l, *type};
    return true;
}

label *block_own(exporter *x, block *b, label *l, const declared_list *outputs) {
    bool is_taken = !l->is_made || l->home != b;
    for (size_t i = 0; i < outputs->count; i++) is_taken |= outputs->items[i].l == l;
    return is_taken ? node_new(x, b, "Identity", &l, 1, 1)->outputs[0] : l;
}

void block_put_constant(exporter *x, block *b, const weight *constant) {
    made_node *last = b->last, *n = node_new(x, b, "Constant", NULL, 0, 1);
    if (export_failed(x)) return;
    n->outputs[0] = constant->l;
    set_tensor(x, n, "value", constant->data);
    if (!last) return; /* it stands alone */
    last->next = NULL;
    b->last = last;
    n->next = b->first;
    b->first = n;
}

/* ---- Attributes -------------------------------------------------------------------------------------- */

static onnx_attribute *add_attribute(made_node *n, const char *name, int32_t type, int32_t field) {
    if (n->n_attributes == EXPORT_MOST_ATTRIBUTES) n->n_attributes = 0; /* the spare node */
    onnx_attribute *a = &n->attributes[n->n_attributes++];
    *a = (onnx_attribute){.name = name, .type = type, .value_field = field};
    return a;
}

void set_int(exporter *x, made_node *n, const char *name, int64_t i) {
    (void)x;
    add_attribute(n, name, ONNX_ATTR_INT, 3)->i = i;
}

void set_float(exporter *x, made_node *n, const char *name, double f) {
    (void)x;
    add_attribute(n, name, ONNX_ATTR_FLOAT, 2)->f = (float)f;
}

void set_text(exporter *x, made_node *n, const char *name, const char *text) {
    (void)x;
    add_attribute(n, name, ONNX_ATTR_STRING, 4)->s = (onnx_bytes){(const uint8_t *)text, strlen(text)};
}

void set_ints(exporter *x, made_node *n, const char *name, const int64_t *items, int count) {
    int64_t *copy = ARENA_ARRAY(&x->memory, int64_t, count + 1);
    onnx_attribute *a = add_attribute(n, name, ONNX_ATTR_INTS, 8);
    if (!copy) {
        export_no_memory(x);
        return;
    }
    if (count > 0) memcpy(copy, items, (size_t)count * sizeof *copy);
    a->ints.items = copy;
    a->ints.count = (size_t)count;
}

void set_graph(exporter *x, made_node *n, const char *name, block *b) {
    (void)x;
    add_attribute(n, name, ONNX_ATTR_GRAPH, 6)->g = b->graph;
}

void set_tensor(exporter *x, made_node *n, const char *name, const tensor_data *data) {
    onnx_tensor *t = ARENA_NEW(&x->memory, onnx_tensor);
    onnx_attribute *a = add_attribute(n, name, ONNX_ATTR_TENSOR, 5);
    if (!t)
        export_no_memory(x);
    else if (export_tensor(x, data, "", t))
        a->t = t;
}

/* ---- Constants --------------------------------------------------------------------------------------- */

static label *add_weight(exporter *x, const tensor_data *data, const char *name) {
    label *l = label_new(x, x->blocks);
    if (!array_reserve((void **)&x->weights.items, &x->weights.capacity, x->weights.n + 1, sizeof *x->weights.items)) {
        export_no_memory(x);
        return &x->spare_label;
    }
    l->text = name;
    x->weights.items[x->weights.n++] = (weight){l, data};
    return l;
}

label *weight_label(exporter *x, const tensor_data *data, const char *name) { return add_weight(x, data, name); }

static size_t weight_slot(const exporter *x, const tensor_data *data) {
    size_t slot = data->hash & (x->weights.n_slots - 1);
    while (x->weights.slots[slot] && x->weights.items[x->weights.slots[slot] - 1].data != data)
        slot = (slot + 1) & (x->weights.n_slots - 1);
    return slot;
}

static bool grow_weight_slots(exporter *x) {
    if (2 * (x->weights.n + 1) <= x->weights.n_slots) return true;
    size_t n = x->weights.n_slots ? 2 * x->weights.n_slots : 256;
    uint32_t *slots = ARENA_ARRAY(&x->memory, uint32_t, n), *old = x->weights.slots;
    size_t n_old = x->weights.n_slots;
    if (!slots) return export_no_memory(x);
    x->weights.slots = slots;
    x->weights.n_slots = n;
    for (size_t i = 0; i < n_old; i++)
        if (old[i]) slots[weight_slot(x, x->weights.items[old[i] - 1].data)] = old[i];
    return true;
}

label *constant_label(exporter *x, const tensor_data *data) {
    if (!data || !grow_weight_slots(x)) return &x->spare_label;
    size_t slot = weight_slot(x, data);
    if (x->weights.slots[slot]) return x->weights.items[x->weights.slots[slot] - 1].l;
    label *l = add_weight(x, data, NULL);
    if (!export_failed(x)) x->weights.slots[slot] = (uint32_t)x->weights.n;
    l->wanted = "const";
    return l;
}

static label *ints_constant(exporter *x, int rank, const int64_t *items, int n) {
    tn_dim extent = dim_const(export_dims(x), n);
    tn_type type = type_make(TN_I64, rank, &extent);
    return constant_label(x, module_constant(x->module, &type, items, true));
}

label *numbers_label(exporter *x, const int64_t *items, int n) { return ints_constant(x, 1, items, n); }
label *number_label(exporter *x, int64_t item) { return ints_constant(x, 0, &item, 1); }

label *scalar_label(exporter *x, tn_dtype dtype, double number) {
    uint64_t bits = 0;
    eval_tensor t = {.dtype = dtype, .n = 1, .data = &bits, .borrowed = true};
    tn_type type = type_scalar(dtype);
    if (dtype_is_float(dtype))
        eval_store_float(&t, 0, number);
    else
        eval_store_int(&t, 0, (int64_t)number);
    return constant_label(x, module_constant(x->module, &type, &bits, true));
}

/* ---- Names -------------------------------------------------------------------------------------------- */

static size_t name_slot(const exporter *x, const char *name) {
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    size_t slot = hash & (x->n_name_slots - 1);
    while (x->names[slot] && strcmp(x->names[slot], name) != 0) slot = (slot + 1) & (x->n_name_slots - 1);
    return slot;
}

static bool grow_names(exporter *x) {
    if (2 * (x->n_names + 1) <= x->n_name_slots) return true;
    size_t n = x->n_name_slots ? 2 * x->n_name_slots : 1024, n_old = x->n_name_slots;
    const char **names = ARENA_ARRAY(&x->memory, const char *, n), **old = x->names;
    if (!names) return export_no_memory(x);
    x->names = names;
    x->n_name_slots = n;
    for (size_t i = 0; i < n_old; i++)
        if (old[i]) names[name_slot(x, old[i])] = old[i];
    return true;
}

/* NULL: taken, or no memory. */
static const char *reserve(exporter *x, const char *name) {
    if (!grow_names(x)) return NULL;
    size_t slot = name_slot(x, name);
    if (x->names[slot]) return NULL;
    x->names[slot] = arena_strdup(&x->memory, name);
    if (!x->names[slot]) export_no_memory(x);
    x->n_names++;
    return x->names[slot];
}

const char *name_reserve(exporter *x, const char *name) { return reserve(x, name); }

const char *name_take(exporter *x, const char *wanted) {
    const char *name = wanted && *wanted ? reserve(x, wanted) : NULL;
    while (!name && !export_failed(x)) {
        char made[300];
        snprintf(made, sizeof made, "%.200s_%" PRIu64, wanted && *wanted ? wanted : "v", x->next_name++);
        name = reserve(x, made);
    }
    return name ? name : "";
}

/* ---- The end ------------------------------------------------------------------------------------------ */

static void settle(exporter *x, label *l) {
    if (!l->text) l->text = name_take(x, l->wanted);
}

static void settle_block(exporter *x, block *b) {
    for (size_t i = 0; i < b->inputs.count; i++) settle(x, b->inputs.items[i].l);
    for (made_node *n = b->first; n; n = n->next)
        for (int i = 0; i < n->n_outputs; i++) settle(x, n->outputs[i]);
}

/* Sizes that are no numbers are named in the model's own graph: there they mean the same everywhere. */
static bool fill_type(exporter *x, const tn_type *type, bool names_sizes, onnx_type **out) {
    onnx_type *t = ARENA_NEW(&x->memory, onnx_type);
    onnx_tensor_type *tensor = ARENA_NEW(&x->memory, onnx_tensor_type);
    onnx_shape *shape = ARENA_NEW(&x->memory, onnx_shape);
    onnx_dim *dims = ARENA_ARRAY(&x->memory, onnx_dim, type->rank + 1);
    if (!t || !tensor || !shape || !dims) return export_no_memory(x);
    for (int i = 0; i < type->rank; i++) {
        char text[256];
        if (dim_is_const(export_dims(x), type->dims[i], &dims[i].value)) {
            dims[i].kind = ONNX_DIM_VALUE;
        } else if (names_sizes) {
            dim_print(export_dims(x), type->dims[i], text, sizeof text);
            dims[i].kind = ONNX_DIM_PARAM;
            dims[i].param = arena_strdup(&x->memory, text);
            if (!dims[i].param) return export_no_memory(x);
        } else {
            dims[i] = (onnx_dim){.kind = ONNX_DIM_UNKNOWN};
        }
    }
    shape->dims.items = dims;
    shape->dims.count = type->rank;
    *tensor = (onnx_tensor_type){.elem_type = onnx_data_type_of((tn_dtype)type->dtype), .shape = shape};
    *t = (onnx_type){.kind = ONNX_TYPE_TENSOR, .tensor = tensor};
    *out = t;
    return true;
}

static bool fill_declared(exporter *x, const declared_list *from, bool names_sizes, onnx_value_info_list *to) {
    to->items = ARENA_ARRAY(&x->memory, onnx_value_info, from->count + 1);
    to->count = from->count;
    if (!to->items) return export_no_memory(x);
    for (size_t i = 0; i < from->count; i++) {
        to->items[i].name = from->items[i].l->text;
        if (!fill_type(x, &from->items[i].type, names_sizes, &to->items[i].type)) return false;
    }
    return true;
}

static bool fill_names(exporter *x, label *const *labels, int n, onnx_text_list *to) {
    to->items = ARENA_ARRAY(&x->memory, const char *, n + 1);
    to->count = (size_t)n;
    if (!to->items) return export_no_memory(x);
    for (int i = 0; i < n; i++) to->items[i] = labels[i] ? labels[i]->text : "";
    return true;
}

static bool fill_block(exporter *x, block *b) {
    onnx_graph *graph = b->graph;
    size_t at = 0;
    graph->name = b->name;
    graph->nodes.items = ARENA_ARRAY(&x->memory, onnx_node, b->n_nodes + 1);
    graph->nodes.count = b->n_nodes;
    if (!graph->nodes.items) return export_no_memory(x);
    for (made_node *n = b->first; n; n = n->next) {
        onnx_node *node = &graph->nodes.items[at++];
        *node = (onnx_node){.name = n->n_outputs > 0 ? n->outputs[0]->text : "",
                            .op_type = n->op,
                            .domain = n->domain ? n->domain : ""};
        if (!fill_names(x, n->inputs, n->n_inputs, &node->inputs) ||
            !fill_names(x, n->outputs, n->n_outputs, &node->outputs))
            return false;
        node->attributes.items = n->attributes;
        node->attributes.count = (size_t)n->n_attributes;
    }
    bool names_sizes = b->parent == NULL && !b->is_function;
    return fill_declared(x, &b->inputs, names_sizes, &graph->inputs) &&
           fill_declared(x, &b->outputs, names_sizes, &graph->outputs);
}

bool blocks_finish(exporter *x) {
    for (size_t i = 0; i < x->weights.n; i++) settle(x, x->weights.items[i].l);
    for (block *b = x->blocks; b; b = b->next) settle_block(x, b);
    for (block *b = x->blocks; b && !export_failed(x); b = b->next) fill_block(x, b);
    return !export_failed(x);
}
