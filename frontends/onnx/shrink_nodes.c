/* Steps of reducing an ONNX model: each one idea of what to leave out (see shrink_model.h, compiler/shrink.h). */
#include "frontends/onnx/shrink_model.h"

#include <string.h>

/* Which names something is true of. */
typedef struct name_set {
    const shrink_source *source;
    bool *has;
} name_set;

static bool set_open(name_set *s, const shrink_source *source) {
    *s = (name_set){source, tn_calloc(source->n_values + 1, sizeof(bool))};
    return s->has != NULL;
}

static bool set_has(const name_set *s, const char *name) {
    size_t at = shrink_find(s->source, name);
    return at != SIZE_MAX && s->has[at];
}

static void set_add(void *ctx, const char *name) {
    name_set *s = ctx;
    size_t at = shrink_find(s->source, name);
    if (at != SIZE_MAX) s->has[at] = true;
}

static bool makes_any(const onnx_node *n, const name_set *s) {
    for (size_t i = 0; i < n->outputs.count; i++)
        if (set_has(s, n->outputs.items[i])) return true;
    return false;
}

/* ---- What is dead ------------------------------------------------------------------------------------------- */

/* Nodes, inputs and initializers that no output needs go. False: no output is left, or no memory. */
static bool sweep(shrink_model *m) {
    onnx_graph *g = &m->graph;
    name_set read;
    bool *is_live = tn_calloc(g->nodes.count + 1, sizeof *is_live), ok = set_open(&read, m->source) && is_live;
    for (size_t i = 0; ok && i < g->outputs.count; i++) set_add(&read, g->outputs.items[i].name);
    for (size_t i = g->nodes.count; ok && i-- > 0;) {
        is_live[i] = makes_any(&g->nodes.items[i], &read);
        if (is_live[i]) shrink_visit_reads(&g->nodes.items[i], set_add, &read);
    }
    size_t n = 0;
    for (size_t i = 0; ok && i < g->nodes.count; i++)
        if (is_live[i]) g->nodes.items[n++] = g->nodes.items[i];
    if (ok) g->nodes.count = n;
    n = 0;
    for (size_t i = 0; ok && i < g->inputs.count; i++)
        if (set_has(&read, g->inputs.items[i].name)) g->inputs.items[n++] = g->inputs.items[i];
    if (ok) g->inputs.count = n;
    n = 0;
    for (size_t i = 0; ok && i < g->initializers.count; i++)
        if (set_has(&read, g->initializers.items[i].name)) g->initializers.items[n++] = g->initializers.items[i];
    if (ok) g->initializers.count = n;
    tn_free(read.has);
    tn_free(is_live);
    return ok && g->outputs.count > 0;
}

/* ---- Outputs -------------------------------------------------------------------------------------------------- */

static size_t count_outputs(const void *subject) { return ((const shrink_model *)subject)->graph.outputs.count; }

static bool drop_outputs(void *subject, size_t first, size_t n) {
    shrink_model *m = subject;
    onnx_value_info *items = m->graph.outputs.items;
    memmove(&items[first], &items[first + n], (m->graph.outputs.count - first - n) * sizeof *items);
    m->graph.outputs.count -= n;
    return sweep(m);
}

static size_t count_nodes(const void *subject) { return ((const shrink_model *)subject)->graph.nodes.count; }

/* Nodes from `first` on go; what they read of nodes before, and former outputs, are the outputs. */
static bool cut_tail(void *subject, size_t first, size_t n) {
    shrink_model *m = subject;
    onnx_graph *g = &m->graph;
    name_set asked;
    if (!set_open(&asked, m->source)) return false;
    for (size_t i = first; i < first + n; i++) shrink_visit_reads(&g->nodes.items[i], set_add, &asked);
    for (size_t i = 0; i < g->outputs.count; i++) set_add(&asked, g->outputs.items[i].name);
    g->nodes.count = first;
    g->outputs.items = ARENA_ARRAY(&m->memory, onnx_value_info, m->source->n_values + 1);
    g->outputs.count = 0;
    for (size_t i = 0; g->outputs.items && i < first; i++)
        for (size_t k = 0; k < g->nodes.items[i].outputs.count; k++) {
            const char *name = g->nodes.items[i].outputs.items[k];
            if (!set_has(&asked, name)) continue;
            onnx_value_info info = m->source->values[shrink_find(m->source, name)].info;
            info.name = name;
            g->outputs.items[g->outputs.count++] = info;
        }
    tn_free(asked.has);
    return g->outputs.items && sweep(m);
}

/* ---- Nodes become inputs ----------------------------------------------------------------------------------------- */

static bool is_output(const onnx_graph *g, const char *name) {
    for (size_t i = 0; i < g->outputs.count; i++)
        if (strcmp(g->outputs.items[i].name, name) == 0) return true;
    return false;
}

static void drop_output(onnx_graph *g, const char *name) {
    size_t n = 0;
    for (size_t i = 0; i < g->outputs.count; i++)
        if (strcmp(g->outputs.items[i].name, name) != 0) g->outputs.items[n++] = g->outputs.items[i];
    g->outputs.count = n;
}

/* As an initializer where its content is known, else as an input. */
static bool give(shrink_model *m, const char *name) {
    const shrink_value *value = &m->source->values[shrink_find(m->source, name)];
    if (value->content) {
        m->graph.initializers.items[m->graph.initializers.count++] = *value->content;
        return true;
    }
    if (!value->info.type) return false;
    m->graph.inputs.items[m->graph.inputs.count++] = value->info;
    return true;
}

static bool make_room(shrink_model *m, size_t more) {
    onnx_graph *g = &m->graph;
    onnx_value_info *inputs = ARENA_ARRAY(&m->memory, onnx_value_info, g->inputs.count + more + 1);
    onnx_tensor *initializers = ARENA_ARRAY(&m->memory, onnx_tensor, g->initializers.count + more + 1);
    if (!inputs || !initializers) return false;
    if (g->inputs.count) memcpy(inputs, g->inputs.items, g->inputs.count * sizeof *inputs);
    if (g->initializers.count)
        memcpy(initializers, g->initializers.items, g->initializers.count * sizeof *initializers);
    g->inputs.items = inputs;
    g->initializers.items = initializers;
    return true;
}

static bool cut_nodes(void *subject, size_t first, size_t n) {
    shrink_model *m = subject;
    onnx_graph *g = &m->graph;
    name_set read;
    if (!set_open(&read, m->source)) return false;
    size_t n_values = 0;
    for (size_t i = 0; i < g->nodes.count; i++) {
        bool goes = i >= first && i < first + n;
        if (!goes) shrink_visit_reads(&g->nodes.items[i], set_add, &read);
        n_values += goes ? g->nodes.items[i].outputs.count : 0;
    }
    bool ok = make_room(m, n_values);
    for (size_t i = first; ok && i < first + n; i++)
        for (size_t k = 0; ok && k < g->nodes.items[i].outputs.count; k++) {
            const char *name = g->nodes.items[i].outputs.items[k];
            if (is_output(g, name)) drop_output(g, name); /* an input that is an output tells nothing */
            if (set_has(&read, name)) ok = give(m, name);
        }
    tn_free(read.has);
    if (!ok) return false;
    memmove(&g->nodes.items[first], &g->nodes.items[first + n], (g->nodes.count - first - n) * sizeof *g->nodes.items);
    g->nodes.count -= n;
    return sweep(m);
}

/* ---- Nodes become one of their inputs ----------------------------------------------------------------------------- */

static bool same_type(const onnx_value_info *a, const onnx_value_info *b) {
    const onnx_tensor_type *x = a->type ? a->type->tensor : NULL, *y = b->type ? b->type->tensor : NULL;
    if (!x || !y || !x->shape || !y->shape || x->elem_type != y->elem_type ||
        x->shape->dims.count != y->shape->dims.count)
        return false;
    for (size_t i = 0; i < x->shape->dims.count; i++) {
        const onnx_dim *p = &x->shape->dims.items[i], *q = &y->shape->dims.items[i];
        if (p->kind != ONNX_DIM_VALUE || q->kind != ONNX_DIM_VALUE || p->value != q->value) return false;
    }
    return true;
}

static void rename_reads(onnx_graph *g, const char *from, const char *to) {
    for (size_t i = 0; i < g->nodes.count; i++)
        for (size_t k = 0; k < g->nodes.items[i].inputs.count; k++)
            if (strcmp(g->nodes.items[i].inputs.items[k], from) == 0) g->nodes.items[i].inputs.items[k] = to;
}

static bool bypass_nodes(void *subject, size_t first, size_t n) {
    shrink_model *m = subject;
    bool any = false;
    for (size_t i = first; i < first + n; i++) {
        const onnx_node *node = &m->graph.nodes.items[i];
        size_t out = node->outputs.count ? shrink_find(m->source, node->outputs.items[0]) : SIZE_MAX;
        if (out == SIZE_MAX || is_output(&m->graph, node->outputs.items[0])) continue;
        for (size_t k = 0; k < node->inputs.count; k++) {
            size_t in = shrink_find(m->source, node->inputs.items[k]);
            if (in == SIZE_MAX || !same_type(&m->source->values[in].info, &m->source->values[out].info)) continue;
            rename_reads(&m->graph, node->outputs.items[0], node->inputs.items[k]);
            any = true;
            break;
        }
    }
    return any && sweep(m);
}

/* ---- Weights become inputs ------------------------------------------------------------------------------------------- */

static size_t count_weights(const void *subject) { return ((const shrink_model *)subject)->graph.initializers.count; }

static bool weight_info(shrink_model *m, const onnx_tensor *t, onnx_value_info *info) {
    onnx_type *type = ARENA_NEW(&m->memory, onnx_type);
    onnx_tensor_type *tensor = ARENA_NEW(&m->memory, onnx_tensor_type);
    onnx_shape *shape = ARENA_NEW(&m->memory, onnx_shape);
    onnx_dim *dims = ARENA_ARRAY(&m->memory, onnx_dim, t->dims.count + 1);
    if (!type || !tensor || !shape || !dims) return false;
    for (size_t i = 0; i < t->dims.count; i++) dims[i] = (onnx_dim){.kind = ONNX_DIM_VALUE, .value = t->dims.items[i]};
    shape->dims.items = dims;
    shape->dims.count = t->dims.count;
    *tensor = (onnx_tensor_type){.elem_type = t->data_type, .shape = shape};
    *type = (onnx_type){.kind = ONNX_TYPE_TENSOR, .tensor = tensor};
    *info = (onnx_value_info){.name = t->name, .type = type};
    return true;
}

/* Large ones: those of a few elements often are shapes and the like, which must be known. */
static bool weights_to_inputs(void *subject, size_t first, size_t n) {
    enum { LEAST_BYTES = 64 };
    shrink_model *m = subject;
    onnx_graph *g = &m->graph;
    if (!make_room(m, n)) return false;
    size_t kept = 0;
    for (size_t i = 0; i < g->initializers.count; i++) {
        const onnx_tensor *t = &g->initializers.items[i];
        bool is_input = false;
        for (size_t k = 0; k < g->inputs.count; k++) is_input |= strcmp(g->inputs.items[k].name, t->name) == 0;
        if (i >= first && i < first + n && t->raw_data.size >= LEAST_BYTES) {
            if (!is_input && !weight_info(m, t, &g->inputs.items[g->inputs.count++])) return false;
        } else
            g->initializers.items[kept++] = *t;
    }
    bool any = kept < g->initializers.count;
    g->initializers.count = kept;
    return any && sweep(m);
}

/* ---- The table --------------------------------------------------------------------------------------------------------- */

const shrink_step shrink_model_steps[] = {
    {"outputs", "outputs go", SHRINK_CHUNKS, count_outputs, drop_outputs},
    {"tail", "nodes from one on go, what they read are the outputs", SHRINK_PREFIX, count_nodes, cut_tail},
    {"outputs", "outputs go", SHRINK_CHUNKS, count_outputs, drop_outputs},
    {"inputs", "results of nodes become inputs, or initializers where they are known", SHRINK_CHUNKS, count_nodes,
     cut_nodes},
    {"bypass", "nodes become one of their inputs", SHRINK_CHUNKS, count_nodes, bypass_nodes},
    {"weights", "initializers become inputs", SHRINK_CHUNKS, count_weights, weights_to_inputs},
};
const size_t n_shrink_model_steps = sizeof shrink_model_steps / sizeof *shrink_model_steps;
