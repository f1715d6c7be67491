/* Importing ONNX models (see tenon_onnx.h).
 *
 * in:  a model as C structs (proto.h)
 * out: a module whose function "main" has the model's inputs and outputs
 * law: an input's size that the model names is a symbol of that name, one that it leaves open a
 *      symbol called after input and axis; whatever the model says, the import ends in a module
 *      or in an error
 */
#include "frontends/onnx/import.h"

#include "frontends/onnx/proto_store.h"
#include "frontends/onnx/tensorproto.h"
#include "runtime/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_DEPTH = 64, DEFAULT_NODES = 500000 };

/* ---- Errors ------------------------------------------------------------------------------ */

bool import_error(importer *im, tn_status status, const char *format, ...) {
    char message[TN_DIAG_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return module_error_at(im->module, status, im->place ? im->place : im->path, 0, 0, "%s", message);
}

bool import_no_memory(importer *im) { return module_no_memory(im->module); }

static bool pass_on(importer *im, const tn_diag *diag) {
    return module_error_at(im->module, diag->status, im->path, diag->line, diag->column, "%s", diag->message);
}

/* ---- Tensors ----------------------------------------------------------------------------- */

const tensor_data *import_tensor(importer *im, const onnx_tensor *tensor) {
    tensor_info info;
    const void *data;
    tn_diag diag = {0};
    if (tensorproto_view(im->model->store, tensor, &info, &data, &diag) != TN_OK) {
        pass_on(im, &diag);
        return NULL;
    }
    tn_type type = {.dtype = (uint8_t)info.dtype, .rank = (uint8_t)info.rank};
    for (int i = 0; i < info.rank; i++) type.dims[i] = dim_const(import_dims(im), info.dims[i]);
    return module_constant(im->module, &type, data, false);
}

tn_val import_constant(scope *s, const tensor_data *data) {
    attr value = {.name = ATTR_value, .data = data};
    value_id v = VALUE_NONE;
    graph_apply(s->g, s->g->origin, TN_OP_constant, NULL, 0, &value, 1, &v, 1, NULL);
    return v == VALUE_NONE ? (tn_val){NULL, VALUE_NONE} : (tn_val){s->g, v};
}

/* ---- Symbols ----------------------------------------------------------------------------- */

static bool is_symbol_char(char c, bool is_first) {
    bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return is_letter || (!is_first && ((c >= '0' && c <= '9') || c == '.'));
}

/* A legal symbol that looks like the name and is nobody else's. NULL: no memory. */
static const char *legal_symbol(importer *im, const char *param) {
    static const char *const functions[] = {"floordiv", "ceildiv", "mod", "min", "max"};
    bool is_taken = false;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) is_taken |= strcmp(param, functions[i]) == 0;
    char *name =
        arena_printf(&im->memory, "%s%.80s%s", is_symbol_char(param[0], true) ? "" : "d_", param, is_taken ? "_" : "");
    if (!name) return NULL;
    for (char *c = name; *c; c++)
        if (!is_symbol_char(*c, c == name)) *c = '_';
    const char *unique = name;
    for (int number = 2; unique; number++) {
        is_taken = false;
        for (size_t i = 0; i < im->n_symbols && !is_taken; i++) {
            const char *other = dim_symbol_name(import_dims(im), im->symbols[i].dim);
            is_taken = other && strcmp(other, unique) == 0;
        }
        if (!is_taken) break;
        unique = arena_printf(&im->memory, "%s_%d", name, number);
    }
    return unique;
}

static bool find_fixed_size(const importer *im, const char *name, int64_t *size) {
    for (const struct tn_onnx_size *s = im->options.sizes; s && s->symbol; s++)
        if (strcmp(s->symbol, name) == 0) {
            *size = s->value;
            return true;
        }
    return false;
}

/* The dim for a size's name, the same one each time. */
static tn_dim symbol_of(importer *im, const char *param) {
    for (size_t i = 0; i < im->n_symbols; i++)
        if (strcmp(im->symbols[i].param, param) == 0) return im->symbols[i].dim;
    const char *name = legal_symbol(im, param), *kept = arena_strdup(&im->memory, param);
    if (!name || !kept ||
        !array_reserve((void **)&im->symbols, &im->symbols_capacity, im->n_symbols + 1, sizeof *im->symbols)) {
        import_no_memory(im);
        return DIM_INVALID;
    }
    int64_t size;
    bool is_fixed = find_fixed_size(im, name, &size) || find_fixed_size(im, param, &size);
    tn_dim dim = is_fixed ? dim_const(import_dims(im), size) : dim_symbol(import_dims(im), name);
    if (is_fixed && size < 0) import_error(im, TN_ERR_ARGUMENT, "the size of %s cannot be %lld", name, (long long)size);
    im->symbols[im->n_symbols++] = (symbol_name){kept, dim};
    return dim;
}

/* Exporters write unknown sizes as "?", "-1", "None" too: such a name names nothing. */
static bool is_name(const char *param) {
    if (strcmp(param, "None") == 0) return false;
    for (; *param; param++)
        if (is_symbol_char(*param, true)) return true;
    return false;
}

static tn_dim input_dim(importer *im, const char *name, const onnx_dim *given, int axis) {
    if (given->kind == ONNX_DIM_VALUE) return dim_const(import_dims(im), given->value);
    if (given->kind == ONNX_DIM_PARAM && is_name(given->param)) return symbol_of(im, given->param);
    const char *made = arena_printf(&im->memory, "%s_%d", name, axis);
    if (made) return symbol_of(im, made);
    import_no_memory(im);
    return DIM_INVALID;
}

bool import_type(importer *im, const onnx_value_info *info, tn_type *type) {
    const onnx_type *t = info->type;
    *type = (tn_type){0};
    if (!t || t->kind != ONNX_TYPE_TENSOR || !t->tensor)
        return import_error(im, TN_ERR_UNSUPPORTED, "input '%.200s' is %s%s, only tensors are supported", info->name,
                            t && t->kind != ONNX_TYPE_NONE ? "a " : "",
                            t ? onnx_type_kind_name(t->kind) : "of no type");
    tn_dtype dtype = onnx_data_type_dtype(t->tensor->elem_type);
    if (dtype == TN_DTYPE_INVALID)
        return import_error(im, TN_ERR_UNSUPPORTED, "input '%.200s' has elements of type %s, which is not supported",
                            info->name, onnx_data_type_name(t->tensor->elem_type));
    if (!t->tensor->shape)
        return import_error(im, TN_ERR_UNSUPPORTED, "input '%.200s' has no shape: its number of axes must be known",
                            info->name);
    if (t->tensor->shape->dims.count > TN_MAX_RANK)
        return import_error(im, TN_ERR_LIMIT, "input '%.200s' has %zu axes, the most is %d", info->name,
                            t->tensor->shape->dims.count, TN_MAX_RANK);
    type->dtype = (uint8_t)dtype;
    type->rank = (uint8_t)t->tensor->shape->dims.count;
    for (int i = 0; i < type->rank; i++) type->dims[i] = input_dim(im, info->name, &t->tensor->shape->dims.items[i], i);
    return !import_failed(im);
}

/* ---- The main graph ------------------------------------------------------------------------ */

static const tn_tensor *find_fixed_input(const importer *im, const char *name) {
    for (const struct tn_onnx_input *in = im->options.inputs; in && in->name; in++)
        if (strcmp(in->name, name) == 0) return &in->tensor;
    return NULL;
}

/* An input that the caller fixes: a constant. */
static bool add_fixed_input(scope *s, entry *e, const onnx_value_info *info, const tn_tensor *t) {
    tn_type declared, type = {.dtype = (uint8_t)t->dtype, .rank = (uint8_t)t->rank};
    if (!import_type(s->im, info, &declared)) return false;
    if (t->rank < 0 || t->rank > TN_MAX_RANK || t->has_strides || t->device != 0)
        return import_error(s->im, TN_ERR_ARGUMENT, "the tensor for input '%.200s' is not contiguous", info->name);
    for (int i = 0; i < t->rank; i++) type.dims[i] = dim_const(import_dims(s->im), t->shape[i]);
    bool fits = declared.dtype == type.dtype && declared.rank == type.rank;
    for (int i = 0; fits && i < type.rank; i++)
        fits = !dim_is_const(import_dims(s->im), declared.dims[i], NULL) || declared.dims[i] == type.dims[i];
    if (!fits) {
        char a[256], b[256];
        type_print(import_dims(s->im), &declared, a, sizeof a);
        type_print(import_dims(s->im), &type, b, sizeof b);
        return import_error(s->im, TN_ERR_SHAPE, "input '%.200s' is %s, the tensor given for it %s", info->name, a, b);
    }
    e->data = module_constant(s->im->module, &type, t->data, true);
    return e->data && tn_is_valid(e->value = import_constant(s, e->data));
}

/* The parameter of an input. An input with an initializer of that name has it as its default,
 * which is taken. */
static bool add_input(scope *s, const onnx_value_info *info) {
    importer *im = s->im;
    if (!info->name[0]) return import_error(im, TN_ERR_PARSE, "an input of the model has no name");
    if (scope_find(s, info->name)) return true;
    const tn_tensor *fixed = find_fixed_input(im, info->name);
    entry *e = scope_add(s, info->name);
    if (!e) return false;
    if (fixed) return add_fixed_input(s, e, info, fixed);
    tn_type type;
    if (!import_type(im, info, &type)) return false;
    value_id v = graph_add_param(s->g, info->name, &type, BINDING_RUN);
    e->value = (tn_val){s->g, v};
    return v != VALUE_NONE;
}

static bool add_initializers(scope *s, const onnx_graph *graph) {
    for (size_t i = 0; i < graph->initializers.count; i++) {
        if (!graph->initializers.items[i].name[0])
            return import_error(s->im, TN_ERR_PARSE, "initializer %zu has no name", i);
        entry *e = scope_add(s, graph->initializers.items[i].name);
        if (!e) return false;
        e->initializer = &graph->initializers.items[i];
    }
    return true;
}

bool import_nodes(scope *s, const onnx_node_list *nodes) {
    for (size_t i = 0; i < nodes->count; i++)
        if (!import_node(s, &nodes->items[i])) return false;
    return true;
}

bool import_graph_body(scope *s, const onnx_graph *graph) {
    if (++s->im->depth > s->im->options.max_depth)
        return import_error(s->im, TN_ERR_LIMIT, "graphs nest deeper than %d", s->im->options.max_depth);
    bool ok = add_initializers(s, graph) && import_nodes(s, &graph->nodes);
    s->im->depth--;
    return ok;
}

static bool complain_of_output(scope *s, const char *name) {
    char text[300];
    near_names near = {.wanted = name};
    scope_offer(s, &near);
    return import_error(s->im, TN_ERR_PARSE, "output '%.200s' is no value of the model%s", name,
                        near_text(&near, text, sizeof text));
}

static bool add_outputs(scope *s, const onnx_graph *graph) {
    if (graph->outputs.count == 0) return import_error(s->im, TN_ERR_PARSE, "the model has no outputs");
    for (size_t i = 0; i < graph->outputs.count; i++) {
        const char *name = graph->outputs.items[i].name;
        entry *e = scope_find(s, name);
        if (!e) return complain_of_output(s, name);
        tn_val v = entry_value(s, e);
        if (!tn_is_valid(v) || !graph_add_result(s->g, name, v.id, -1)) return false;
    }
    return true;
}

static bool import_main(importer *im) {
    const onnx_graph *graph = im->model->graph;
    tn_graph *g = module_add_graph(im->module, "main");
    if (!g) return false;
    location_id where = location_intern(im->module, im->path, 0);
    graph_set_origin(g, where);
    scope s = scope_open(im, g, NULL, NULL, &im->model->opset_imports);
    bool ok = add_initializers(&s, graph);
    for (size_t i = 0; ok && i < graph->inputs.count; i++) ok = add_input(&s, &graph->inputs.items[i]);
    ok = ok && import_nodes(&s, &graph->nodes) && add_outputs(&s, graph);
    graph_set_origin(g, LOCATION_NONE);
    scope_close(&s);
    return ok;
}

/* ---- Public -------------------------------------------------------------------------------- */

static void release_model(void *model) { onnx_model_close(model); }
static void drop_pages(void *model) { onnx_model_drop_pages(model); }
static const attachment_kind model_kind = {release_model, drop_pages};

static onnx_limits limits_of(const tn_onnx_options *options) {
    onnx_limits limits = ONNX_LIMITS_DEFAULT;
    limits.max_depth = (size_t)options->max_depth;
    limits.max_nodes = options->max_nodes;
    return limits;
}

/* The module's name: the file's, without folder and ending. */
static tn_module *new_module(const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)(dot && dot > base && dot - base < 100 ? dot - base : 100), base);
    return module_new(*name ? name : "model");
}

/* A dim that could not be made for want of memory shows as an invalid size at first. */
static void blame_memory(importer *im) {
    if (dim_table_status(import_dims(im)) != TN_ERR_MEMORY) return;
    im->module->error.status = TN_OK;
    import_no_memory(im);
}

static tn_module *import(const char *path, const void *data, size_t bytes, const tn_onnx_options *options) {
    importer im = {.path = path ? path : "model.onnx", .options = options ? *options : (tn_onnx_options){0}};
    if (im.options.max_depth <= 0) im.options.max_depth = DEFAULT_DEPTH;
    if (im.options.max_depth > ONNX_DEPTH_CEILING) im.options.max_depth = ONNX_DEPTH_CEILING;
    if (im.options.max_nodes == 0) im.options.max_nodes = DEFAULT_NODES;
    im.module = new_module(im.path);
    if (!im.module) return NULL;
    onnx_limits limits = limits_of(&im.options);
    tn_diag diag = {0};
    tn_status status = data ? onnx_model_from_memory(data, bytes, NULL, &limits, &im.model, &diag)
                            : onnx_model_open(im.path, &limits, &im.model, &diag);
    if (status != TN_OK)
        pass_on(&im, &diag);
    else if (!module_attach(im.module, &model_kind, im.model))
        onnx_model_close(im.model);
    else if (import_check_ops(&im))
        import_main(&im);
    blame_memory(&im);
    tn_free(im.symbols);
    arena_free(&im.memory);
    return im.module;
}

tn_module *tn_onnx_load(const char *path, const tn_onnx_options *options) { return import(path, NULL, 0, options); }

tn_module *tn_onnx_parse(const void *data, size_t bytes, const char *name, const tn_onnx_options *options) {
    return import(name, data ? data : "", bytes, options);
}

onnx_entry_list import_metadata(const tn_module *m) {
    const onnx_model *model = m ? module_attached(m, &model_kind) : NULL;
    return model ? model->metadata_props : (onnx_entry_list){0};
}

const char *tn_onnx_metadata(const tn_module *m, const char *key) {
    onnx_entry_list metadata = import_metadata(m);
    for (size_t i = 0; key && i < metadata.count; i++)
        if (strcmp(metadata.items[i].key, key) == 0) return metadata.items[i].value;
    return NULL;
}
