/* ONNX models as subjects of a reduction: reading, copying, writing (see shrink_model.h). */
#include "frontends/onnx/shrink_model.h"

#include "compiler/shrink.h"
#include "frontends/onnx/proto_encode.h"
#include "frontends/onnx/proto_tables.h"
#include "frontends/onnx/tenon_onnx.h"
#include "frontends/onnx/tensorproto.h"
#include "ir/hash.h"
#include "ir/op.h"
#include "ir/sizes.h"
#include "runtime/diag.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Names ---------------------------------------------------------------------------------------------- */

static size_t slot_of(const shrink_source *s, const char *name) {
    size_t slot = (size_t)hash_bytes(0, name, strlen(name)) & (s->n_slots - 1);
    while (s->slots[slot] && strcmp(s->values[s->slots[slot] - 1].name, name) != 0)
        slot = (slot + 1) & (s->n_slots - 1);
    return slot;
}

size_t shrink_find(const shrink_source *s, const char *name) {
    uint32_t found = s->n_slots ? s->slots[slot_of(s, name)] : 0;
    return found ? found - 1 : SIZE_MAX;
}

static bool add_name(shrink_source *s, const char *name) {
    if (!*name || shrink_find(s, name) != SIZE_MAX) return true;
    if (!array_reserve((void **)&s->values, &s->values_capacity, s->n_values + 1, sizeof *s->values)) return false;
    if (2 * (s->n_values + 1) > s->n_slots) {
        size_t n = s->n_slots ? 2 * s->n_slots : 256;
        uint32_t *slots = tn_calloc(n, sizeof *slots);
        if (!slots) return false;
        tn_free(s->slots);
        s->slots = slots;
        s->n_slots = n;
        for (size_t i = 0; i < s->n_values; i++) s->slots[slot_of(s, s->values[i].name)] = (uint32_t)i + 1;
    }
    s->values[s->n_values] = (shrink_value){.name = name};
    s->slots[slot_of(s, name)] = (uint32_t)++s->n_values;
    return true;
}

static bool add_names(shrink_source *s) {
    const onnx_graph *g = s->model->graph;
    bool ok = true;
    for (size_t i = 0; ok && i < g->inputs.count; i++) ok = add_name(s, g->inputs.items[i].name);
    for (size_t i = 0; ok && i < g->initializers.count; i++) ok = add_name(s, g->initializers.items[i].name);
    for (size_t i = 0; ok && i < g->nodes.count; i++)
        for (size_t k = 0; ok && k < g->nodes.items[i].outputs.count; k++)
            ok = add_name(s, g->nodes.items[i].outputs.items[k]);
    return ok;
}

/* ---- Graphs within nodes ------------------------------------------------------------------------------------ */

size_t shrink_count_nodes(const onnx_graph *graph) {
    size_t n = graph->nodes.count;
    for (size_t i = 0; i < graph->nodes.count; i++)
        for (size_t k = 0; k < graph->nodes.items[i].attributes.count; k++) {
            const onnx_attribute *a = &graph->nodes.items[i].attributes.items[k];
            if (a->type == ONNX_ATTR_GRAPH && a->g) n += shrink_count_nodes(a->g);
            for (size_t j = 0; a->type == ONNX_ATTR_GRAPHS && j < a->graphs.count; j++)
                n += shrink_count_nodes(&a->graphs.items[j]);
        }
    return n;
}

static void visit_graph(const onnx_graph *graph, void (*visit)(void *ctx, const char *name), void *ctx) {
    for (size_t i = 0; i < graph->nodes.count; i++) shrink_visit_reads(&graph->nodes.items[i], visit, ctx);
    for (size_t i = 0; i < graph->outputs.count; i++) visit(ctx, graph->outputs.items[i].name);
}

void shrink_visit_reads(const onnx_node *node, void (*visit)(void *ctx, const char *name), void *ctx) {
    for (size_t i = 0; i < node->inputs.count; i++) visit(ctx, node->inputs.items[i]);
    for (size_t i = 0; i < node->attributes.count; i++) {
        const onnx_attribute *a = &node->attributes.items[i];
        if (a->type == ONNX_ATTR_GRAPH && a->g) visit_graph(a->g, visit, ctx);
        for (size_t k = 0; a->type == ONNX_ATTR_GRAPHS && k < a->graphs.count; k++)
            visit_graph(&a->graphs.items[k], visit, ctx);
    }
}

/* ---- Tensors as raw data -------------------------------------------------------------------------------------- */

/* What cannot be read (strings) stays as it is, and its elements are lost: nothing but an error depends on them. */
static void make_raw(onnx_store *store, onnx_tensor *t) {
    tensor_info info;
    const void *data;
    tn_diag diag = {0};
    if (tensorproto_view(store, t, &info, &data, &diag) != TN_OK) return;
    t->raw_data = (onnx_bytes){data ? data : (const void *)"", info.bytes};
    t->data_field = 9;
    t->data_location = 0;
    t->external.count = 0;
}

static void make_raw_tensors(onnx_store *store, onnx_graph *graph) {
    for (size_t i = 0; i < graph->initializers.count; i++) make_raw(store, &graph->initializers.items[i]);
    for (size_t i = 0; i < graph->nodes.count; i++)
        for (size_t k = 0; k < graph->nodes.items[i].attributes.count; k++) {
            onnx_attribute *a = &graph->nodes.items[i].attributes.items[k];
            if (a->type == ONNX_ATTR_TENSOR && a->t) make_raw(store, a->t);
            if (a->type == ONNX_ATTR_GRAPH && a->g) make_raw_tensors(store, a->g);
            for (size_t j = 0; a->type == ONNX_ATTR_TENSORS && j < a->tensors.count; j++)
                make_raw(store, &a->tensors.items[j]);
            for (size_t j = 0; a->type == ONNX_ATTR_GRAPHS && j < a->graphs.count; j++)
                make_raw_tensors(store, &a->graphs.items[j]);
        }
}

/* ---- Writing ------------------------------------------------------------------------------------------------------ */

void *shrink_model_encode(const shrink_source *source, const onnx_graph *graph, size_t *bytes) {
    onnx_model model = *source->model;
    model.graph = (onnx_graph *)(uintptr_t)graph;
    model.metadata_props.count = 0;
    *bytes = proto_encoded_size(&onnx_model_message, &model);
    return *bytes <= INT32_MAX ? proto_encode_to_memory(&onnx_model_message, &model, *bytes) : NULL;
}

tn_status shrink_model_write(const shrink_model *s, const char *path, tn_diag *diag) {
    size_t n;
    void *bytes = shrink_model_encode(s->source, &s->graph, &n);
    if (!bytes) return diag_fail(diag, TN_ERR_LIMIT, "no memory for the model, or more than 2 GB");
    errno = 0;
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bytes, 1, n, f) == n;
    if (f) ok = fclose(f) == 0 && ok;
    tn_free(bytes);
    return ok ? TN_OK : diag_fail(diag, TN_ERR_IO, "cannot be written: %s", strerror(errno));
}

/* ---- Types, by importing with every value as an output ---------------------------------------------------------- */

/* Prefixes of a graph of so many nodes; what they make is the outputs. */
static tn_module *import_prefix(shrink_source *s, size_t n_nodes, void **bytes) {
    const onnx_graph *g = s->model->graph;
    onnx_graph prefix = *g;
    size_t n_outputs = 0, n_bytes;
    for (size_t i = 0; i < n_nodes; i++) n_outputs += g->nodes.items[i].outputs.count;
    prefix.nodes.count = n_nodes;
    prefix.outputs.items = ARENA_ARRAY(&s->memory, onnx_value_info, n_outputs + 1);
    prefix.outputs.count = 0;
    for (size_t i = 0; prefix.outputs.items && i < n_nodes; i++)
        for (size_t k = 0; k < g->nodes.items[i].outputs.count; k++) {
            const char *name = g->nodes.items[i].outputs.items[k];
            if (*name) prefix.outputs.items[prefix.outputs.count++] = (onnx_value_info){.name = name};
        }
    *bytes = prefix.outputs.count > 0 ? shrink_model_encode(s, &prefix, &n_bytes) : NULL;
    tn_module *m = *bytes ? tn_onnx_parse(*bytes, n_bytes, "types", NULL) : NULL;
    if (m && !tn_module_error(m)) return m;
    tn_module_free(m);
    tn_free(*bytes);
    *bytes = NULL;
    return NULL;
}

/* The longest prefix that can be imported; values behind it have no types then. */
static tn_module *import_types(shrink_source *s, void **bytes) {
    size_t low = 0, high = s->model->graph->nodes.count;
    tn_module *best = import_prefix(s, high, bytes);
    while (!best && high - low > 1) {
        size_t middle = low + (high - low) / 2;
        void *content;
        tn_module *m = import_prefix(s, middle, &content);
        if (m) {
            tn_module_free(m);
            tn_free(content);
            low = middle;
        } else
            high = middle;
    }
    return best || low == 0 ? best : import_prefix(s, low, bytes);
}

/* A size of the model's own is written by its name, others as the numbers they are with the sizes that are tried. */
static bool write_dim(const tn_graph *g, const int64_t *sizes, tn_dim d, onnx_dim *dim) {
    int64_t size;
    if (!dim_is_const(g->module->dims, d, &size) && !graph_size_at(g, sizes, d, &size)) return false;
    *dim = (onnx_dim){.kind = ONNX_DIM_VALUE, .value = size};
    return true;
}

static bool write_type(shrink_source *s, const tn_graph *g, const int64_t *sizes, const tn_type *type,
                       onnx_type **out) {
    onnx_type *t = ARENA_NEW(&s->memory, onnx_type);
    onnx_tensor_type *tensor = ARENA_NEW(&s->memory, onnx_tensor_type);
    onnx_shape *shape = ARENA_NEW(&s->memory, onnx_shape);
    onnx_dim *dims = ARENA_ARRAY(&s->memory, onnx_dim, type->rank + 1);
    if (!t || !tensor || !shape || !dims) return false;
    for (int i = 0; i < type->rank; i++)
        if (!write_dim(g, sizes, type->dims[i], &dims[i])) return true; /* of no known type */
    shape->dims.items = dims;
    shape->dims.count = type->rank;
    *tensor = (onnx_tensor_type){.elem_type = onnx_data_type_of((tn_dtype)type->dtype), .shape = shape};
    *t = (onnx_type){.kind = ONNX_TYPE_TENSOR, .tensor = tensor};
    *out = t;
    return true;
}

enum { MOST_CONTENT_BYTES = 8192 };

/* Whole numbers that are constants by now: shapes, axes, and the like. */
static bool write_content(shrink_source *s, const tn_graph *g, value_id v, shrink_value *value) {
    const node *n = graph_node_of(g, v);
    const tn_type *type = graph_type(g, v);
    if (n->op != TN_OP_constant || type->dtype == TN_F32 || type->dtype == TN_F64) return true;
    const tensor_data *data = attr_find(&n->attrs, ATTR_value)->data;
    onnx_tensor *t = data->bytes <= MOST_CONTENT_BYTES ? ARENA_NEW(&s->memory, onnx_tensor) : NULL;
    int64_t *dims = ARENA_ARRAY(&s->memory, int64_t, type->rank + 1);
    void *copy = arena_alloc(&s->memory, data->bytes + 1, 1);
    if (!dims || !copy) return false;
    if (!t) return true;
    for (int i = 0; i < type->rank; i++) dim_is_const(g->module->dims, type->dims[i], &dims[i]);
    if (data->bytes) memcpy(copy, data->data, data->bytes);
    t->name = value->name;
    t->dims.items = dims;
    t->dims.count = type->rank;
    t->data_type = onnx_data_type_of((tn_dtype)type->dtype);
    t->data_field = 9;
    t->raw_data = (onnx_bytes){copy, data->bytes};
    value->content = t;
    return true;
}

static bool find_types(shrink_source *s) {
    void *bytes = NULL;
    tn_module *m = import_types(s, &bytes);
    bool ok = true;
    for (size_t i = 0; i < s->model->graph->inputs.count; i++) {
        const onnx_value_info *input = &s->model->graph->inputs.items[i];
        if (*input->name) s->values[shrink_find(s, input->name)].info = *input;
    }
    if (m) {
        const tn_graph *g = module_main(m);
        int64_t *sizes = shrink_sizes(g);
        ok = sizes != NULL;
        for (size_t r = 0; ok && r < g->n_results; r++) {
            size_t at = shrink_find(s, g->results[r].name);
            if (at == SIZE_MAX) continue;
            shrink_value *value = &s->values[at];
            value->info.name = value->name;
            ok = write_type(s, g, sizes, graph_type(g, g->results[r].value), &value->info.type) &&
                 write_content(s, g, g->results[r].value, value);
        }
        tn_free(sizes);
    }
    tn_module_free(m);
    tn_free(bytes);
    return ok;
}

/* ---- Opening and closing ---------------------------------------------------------------------------------------------- */

static void fix_sizes(onnx_graph *g, const struct tn_onnx_size *sizes) {
    for (size_t i = 0; i < g->inputs.count; i++) {
        onnx_type *type = g->inputs.items[i].type;
        onnx_shape *shape = type && type->tensor ? type->tensor->shape : NULL;
        for (size_t k = 0; shape && k < shape->dims.count; k++) {
            onnx_dim *d = &shape->dims.items[k];
            char made[300]; /* as the importer calls those without a name */
            snprintf(made, sizeof made, "%.250s_%zu", g->inputs.items[i].name, k);
            const char *name = d->kind == ONNX_DIM_PARAM ? d->param : d->kind == ONNX_DIM_UNKNOWN ? made : "";
            for (const struct tn_onnx_size *s = sizes; s && s->symbol; s++)
                if (d->kind != ONNX_DIM_VALUE && strcmp(s->symbol, name) == 0)
                    *d = (onnx_dim){.kind = ONNX_DIM_VALUE, .value = s->value};
        }
    }
}

static void release_source(shrink_source *s) {
    if (--s->references > 0) return;
    onnx_model_close(s->model);
    arena_free(&s->memory);
    tn_free(s->values);
    tn_free(s->slots);
    tn_free(s);
}

shrink_model *shrink_model_open(const char *path, const struct tn_onnx_size *sizes, tn_diag *diag) {
    shrink_source *source = tn_calloc(1, sizeof *source);
    shrink_model *s = tn_calloc(1, sizeof *s);
    if (!source || !s) {
        tn_free(source);
        tn_free(s);
        diag_fail(diag, TN_ERR_MEMORY, "out of memory");
        return NULL;
    }
    source->references = 1;
    s->source = source;
    if (onnx_model_open(path, NULL, &source->model, diag) == TN_OK) {
        make_raw_tensors(source->model->store, source->model->graph);
        fix_sizes(source->model->graph, sizes);
        s->graph = *source->model->graph;
        s->graph.value_infos.count = 0;
        if (add_names(source) && find_types(source)) return s;
        diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    }
    shrink_model_free(s);
    return NULL;
}

void shrink_model_free(shrink_model *s) {
    if (!s) return;
    release_source(s->source);
    arena_free(&s->memory);
    tn_free(s);
}

/* ---- The kind ------------------------------------------------------------------------------------------------------------ */

static void *copy_list(arena *a, const void *items, size_t count, size_t each) {
    void *copy = arena_alloc(a, count + 1, each);
    if (copy && count > 0) memcpy(copy, items, count * each);
    return copy;
}

/* Nodes and their lists of names are its own, all else is the source's. */
static void *copy(void *subject) {
    const shrink_model *from = subject;
    shrink_model *to = tn_calloc(1, sizeof *to);
    if (!to) return NULL;
    *to = (shrink_model){.source = from->source, .graph = from->graph};
    to->source->references++;
    onnx_graph *g = &to->graph;
    arena *a = &to->memory;
    bool ok = (g->nodes.items = copy_list(a, g->nodes.items, g->nodes.count, sizeof *g->nodes.items)) &&
              (g->inputs.items = copy_list(a, g->inputs.items, g->inputs.count, sizeof *g->inputs.items)) &&
              (g->outputs.items = copy_list(a, g->outputs.items, g->outputs.count, sizeof *g->outputs.items)) &&
              (g->initializers.items =
                   copy_list(a, g->initializers.items, g->initializers.count, sizeof *g->initializers.items));
    for (size_t i = 0; ok && i < g->nodes.count; i++) {
        onnx_text_list *in = &g->nodes.items[i].inputs;
        ok = (in->items = copy_list(a, in->items, in->count, sizeof *in->items)) != NULL;
    }
    if (ok) return to;
    shrink_model_free(to);
    return NULL;
}

static void release(void *subject) { shrink_model_free(subject); }

static void measure(const void *subject, shrink_size *size) {
    const shrink_model *s = subject;
    *size =
        (shrink_size){.nodes = shrink_count_nodes(&s->graph), .ends = s->graph.inputs.count + s->graph.outputs.count};
    for (size_t i = 0; i < s->graph.initializers.count; i++)
        size->bytes += s->graph.initializers.items[i].raw_data.size;
}

static uint64_t hash_names(uint64_t hash, const onnx_text_list *names) {
    for (size_t i = 0; i < names->count; i++) hash = hash_bytes(hash, names->items[i], strlen(names->items[i]));
    return hash_mix(hash, names->count);
}

/* Attributes belong to the node that an output's name tells. */
static uint64_t hash_model(const void *subject) {
    const onnx_graph *g = &((const shrink_model *)subject)->graph;
    uint64_t hash = 1;
    for (size_t i = 0; i < g->nodes.count; i++)
        hash = hash_names(hash_names(hash, &g->nodes.items[i].inputs), &g->nodes.items[i].outputs);
    for (size_t i = 0; i < g->inputs.count; i++)
        hash = hash_bytes(hash, g->inputs.items[i].name, strlen(g->inputs.items[i].name));
    hash = hash_mix(hash, g->inputs.count);
    for (size_t i = 0; i < g->initializers.count; i++)
        hash = hash_bytes(hash, g->initializers.items[i].name, strlen(g->initializers.items[i].name));
    for (size_t i = 0; i < g->outputs.count; i++)
        hash = hash_bytes(hash, g->outputs.items[i].name, strlen(g->outputs.items[i].name));
    return hash;
}

shrink_kind shrink_models(void) {
    return (shrink_kind){.steps = shrink_model_steps,
                         .n_steps = n_shrink_model_steps,
                         .copy = copy,
                         .release = release,
                         .measure = measure,
                         .hash = hash_model};
}
