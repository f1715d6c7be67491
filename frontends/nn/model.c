/* Models: the function `forward`, its inputs, outputs, losses and scopes.
 *
 * in:  calls that describe a model
 * out: forward, with the role of each parameter and result
 */
#include "frontends/nn/layer.h"

#include "ir/dtype.h"
#include "ir/op.h"
#include "runtime/diag.h"

#include <stdio.h>
#include <string.h>

/* ---- Life -------------------------------------------------------------------------------------- */

tn_model *tn_model_new(const char *name, const tn_model_options *options) {
    static const tn_model_options defaults = {0};
    if (!options) options = &defaults;
    tn_model *m = tn_calloc(1, sizeof *m);
    if (!m) return NULL;
    m->module = module_new(name ? name : "model");
    m->forward = m->module ? module_add_graph(m->module, "forward") : NULL;
    m->training = m->random = BUILD_INVALID;
    if (!m->forward) {
        tn_model_free(m);
        return NULL;
    }
    m->dtype = options->dtype ? options->dtype : TN_F32;
    m->compute = options->compute ? options->compute : m->dtype;
    if (m->dtype != TN_F32 && m->dtype != TN_F64)
        module_error(m->module, TN_ERR_DTYPE, LOCATION_NONE, "model %s: parameters are f32 or f64, not %s",
                     m->module->name, tn_dtype_name(m->dtype));
    else if (!dtype_is_float(m->compute) || tn_dtype_bits(m->compute) > tn_dtype_bits(m->dtype))
        module_error(m->module, TN_ERR_DTYPE, LOCATION_NONE,
                     "model %s: layers compute in a float no wider than the parameters' %s, not in %s", m->module->name,
                     tn_dtype_name(m->dtype), tn_dtype_name(m->compute));
    return m;
}

void tn_model_free(tn_model *m) {
    if (!m) return;
    for (size_t i = 0; m->forward && i < m->forward->n_params && i < m->params_capacity; i++)
        tn_free(m->params[i].data);
    tn_module_free(m->module);
    tn_free(m->params);
    tn_free(m->results);
    tn_free(m->layers);
    tn_free(m);
}

tn_graph *tn_model_graph(const tn_model *m) { return m ? m->forward : NULL; }
const tn_diag *tn_model_error(const tn_model *m) { return m ? tn_module_error(m->module) : NULL; }

/* ---- Scopes ------------------------------------------------------------------------------------ */

/* Adds "name." to the path; false after an error. */
static bool push(tn_model *m, location_id where, const char *name) {
    size_t length = strlen(m->path);
    if (m->n_scopes == NN_MAX_SCOPES || length + strlen(name) + 2 > NN_PATH_BYTES)
        return module_error(m->module, TN_ERR_LIMIT, where,
                            "scope %s%s: at most %d scopes and %d characters are allowed", m->path, name, NN_MAX_SCOPES,
                            NN_PATH_BYTES - 2);
    m->scope_starts[m->n_scopes++] = length;
    snprintf(m->path + length, NN_PATH_BYTES - length, "%s.", name);
    return true;
}

static void pop(tn_model *m) { m->path[m->scope_starts[--m->n_scopes]] = '\0'; }

void tn_model_push(tn_model *m, const char *scope) {
    if (!m) return;
    if (!scope || !*scope)
        module_error(m->module, TN_ERR_ARGUMENT, LOCATION_NONE, "a scope in \"%s\" has no name", m->path);
    else
        push(m, LOCATION_NONE, scope);
}

void tn_model_pop(tn_model *m) {
    if (!m || tn_model_error(m)) return; /* a push that failed is not there */
    if (m->n_scopes == 0)
        module_error(m->module, TN_ERR_ARGUMENT, LOCATION_NONE, "tn_model_pop without a tn_model_push before");
    else
        pop(m);
}

/* ---- Parameters and results of forward ------------------------------------------------------------ */

tn_val nn_add_param(tn_model *m, const char *name, const tn_type *type, const nn_param *what) {
    size_t i = m->forward->n_params;
    char path[2 * NN_PATH_BYTES];
    if (!array_reserve((void **)&m->params, &m->params_capacity, i + 1, sizeof *m->params)) {
        module_no_memory(m->module);
        return BUILD_INVALID;
    }
    snprintf(path, sizeof path, "%s%s", m->path, name);
    value_id v = graph_add_param(m->forward, path, type, BINDING_RUN);
    if (v == VALUE_NONE) return BUILD_INVALID;
    m->params[i] = *what;
    return (tn_val){m->forward, v};
}

bool nn_add_result(tn_model *m, const char *name, tn_val v, nn_result_role role, const char *metric) {
    size_t i = m->forward->n_results;
    if (!array_reserve((void **)&m->results, &m->results_capacity, i + 1, sizeof *m->results))
        return module_no_memory(m->module);
    if (!graph_add_result(m->forward, name, v.id, -1)) return false;
    m->results[i] = (nn_result){role, metric};
    return true;
}

bool nn_open_call(build *b, tn_model *m, tn_location at, const char *name, const tn_val *values, int n) {
    return m && !tn_model_error(m) && build_open(b, at, name, m->forward, values, n);
}

static tn_val add_given(tn_location at, tn_model *m, const char *name, tn_dtype dtype, tn_shape shape, nn_role role) {
    build b;
    tn_type type;
    bool is_input = role == NN_INPUT;
    if (!nn_open_call(&b, m, at, is_input ? "input" : "target", NULL, 0)) return BUILD_INVALID;
    if (!name || !*name) return build_error(&b, TN_ERR_ARGUMENT, "it has a name");
    if (!build_type_of_shape(&b, dtype, shape, &type)) return BUILD_INVALID;
    location_id former = graph_set_origin(m->forward, b.where);
    tn_val v = nn_add_param(m, name, &type, &(nn_param){.role = role});
    if (is_input && tn_is_valid(v) && dtype_is_float(dtype)) v = tn_convert(v, m->compute);
    graph_set_origin(m->forward, former);
    return v;
}

tn_val tn_model_input_at(tn_location at, tn_model *m, const char *name, tn_dtype dtype, tn_shape shape) {
    return add_given(at, m, name, dtype, shape, NN_INPUT);
}

tn_val tn_model_target_at(tn_location at, tn_model *m, const char *name, tn_dtype dtype, tn_shape shape) {
    return add_given(at, m, name, dtype, shape, NN_TARGET);
}

void tn_model_output_at(tn_location at, tn_model *m, const char *name, tn_val v) {
    build b;
    if (!nn_open_call(&b, m, at, "output", &v, 1)) return;
    location_id former = graph_set_origin(m->forward, b.where);
    if (nn_dtype(v) == m->compute) v = tn_convert(v, m->dtype);
    nn_add_result(m, name, v, NN_OUTPUT, NULL);
    graph_set_origin(m->forward, former);
}

void tn_model_loss_at(tn_location at, tn_model *m, const char *name, tn_val v) {
    build b;
    char text[BUILD_TEXT];
    if (!nn_open_call(&b, m, at, "loss", &v, 1)) return;
    if (tn_rank(v) != 0 || !dtype_is_float(nn_dtype(v))) {
        build_error(&b, TN_ERR_SHAPE, "a loss is a float scalar: %s%s", build_describe(v, text),
                    dtype_is_float(nn_dtype(v)) ? " (tn_mean makes one of it)" : "");
        return;
    }
    location_id former = graph_set_origin(m->forward, b.where);
    nn_add_result(m, name ? name : "loss", tn_convert(v, m->dtype), NN_LOSS, NULL);
    graph_set_origin(m->forward, former);
}

static bool has_result(const tn_model *m, const char *name) {
    for (size_t i = 0; i < m->forward->n_results; i++)
        if (strcmp(m->forward->results[i].name, name) == 0) return true;
    return false;
}

void tn_model_metric_at(tn_location at, tn_model *m, const char *name, tn_val prediction, tn_nn_metric_args args) {
    build b;
    char unique[NN_PATH_BYTES];
    if (!nn_open_call(&b, m, at, "metric", &prediction, 1)) return;
    location_id former = graph_set_origin(m->forward, b.where);
    tn_val sums = tn_nn_metric_at(at, name, prediction, args);
    if (tn_is_valid(sums)) {
        snprintf(unique, sizeof unique, "%s", name);
        for (int i = 1; has_result(m, unique); i++) snprintf(unique, sizeof unique, "%.200s_%d", name, i);
        nn_add_result(m, unique, sums, NN_METRIC, module_intern(m->module, name));
    }
    graph_set_origin(m->forward, former);
}

/* ---- Training and random numbers ------------------------------------------------------------------- */

/* A parameter that is made at its first use, outside all scopes. */
static tn_val once(tn_model *m, tn_val *kept, const char *name, const tn_type *type, nn_role role) {
    if (tn_is_valid(*kept) || tn_model_error(m)) return *kept;
    char path[NN_PATH_BYTES];
    memcpy(path, m->path, sizeof path);
    m->path[0] = '\0';
    *kept = nn_add_param(m, name, type, &(nn_param){.role = role});
    memcpy(m->path, path, sizeof path);
    return *kept;
}

tn_val tn_model_training(tn_model *m) {
    tn_type type = type_scalar(TN_BOOL);
    return m ? once(m, &m->training, "training", &type, NN_TRAINING) : BUILD_INVALID;
}

/* The state is {key, 0, number of the step << 20, unused}: a draw adds its own number to the third word, and its
 * elements count in the second. */
tn_val nn_random_bits(tn_model *m, tn_val x, tn_dtype dtype) {
    enum { MAX_DRAWS = 1 << 20 };
    tn_dim four = dim_const(m->module->dims, 4);
    tn_type state_type = type_make(TN_U64, 1, &four), type = tn_type_of(x);
    tn_val random = once(m, &m->random, "random", &state_type, NN_RANDOM);
    if (m->n_draws == MAX_DRAWS) {
        module_error(m->module, TN_ERR_LIMIT, m->forward->origin, "a model draws random numbers at most %d times",
                     MAX_DRAWS);
        return BUILD_INVALID;
    }
    const uint64_t offset[4] = {0, 0, m->n_draws++, 0};
    tn_val state = tn_add(random, tn_constant(m->forward, TN_U64, TN_SHAPE(TN_SIZE(4)), offset));
    tn_attr_arg attrs[] = {{.name = "shape", .dims = type.dims, .n = type.rank}, {.name = "dtype", .i = dtype}, {0}};
    return tn_apply(TN_HERE, m->forward, TN_OP_rng_bits, &state, 1, attrs);
}

tn_val tn_model_uniform_at(tn_location at, tn_model *m, tn_val x) {
    build b;
    if (!nn_open_call(&b, m, at, "uniform", &x, 1)) return BUILD_INVALID;
    tn_dtype dtype = nn_dtype(x);
    if (!dtype_is_float(dtype)) {
        char text[BUILD_TEXT];
        return build_error(&b, TN_ERR_DTYPE, "takes floats: %s", build_describe(x, text));
    }
    location_id former = graph_set_origin(m->forward, b.where);
    /* As many leading bits as the dtype has digits: 1 is never reached. */
    static const struct {
        tn_dtype bits;
        int64_t shift;
        double unit;
    } digits[TN_DTYPE_COUNT] = {
        [TN_F64] = {TN_U64, 11, 0x1p-53},
        [TN_F32] = {TN_U32, 8, 0x1p-24},
        [TN_BF16] = {TN_U32, 24, 0x1p-8},
        [TN_F16] = {TN_U32, 21, 0x1p-11},
    };
    tn_val bits = nn_random_bits(m, x, digits[dtype].bits);
    bits = tn_shr(bits, tn_scalar_int(m->forward, digits[dtype].bits, digits[dtype].shift));
    tn_val y = tn_mul_scalar(tn_convert(bits, dtype), digits[dtype].unit);
    graph_set_origin(m->forward, former);
    return y;
}

/* ---- Parameters as arrays ---------------------------------------------------------------------------- */

static bool is_kept(const tn_model *m, size_t i) {
    return m->params[i].role == NN_PARAMETER || m->params[i].role == NN_STATE;
}

tn_tensor nn_param_tensor(const tn_model *m, size_t i) {
    const tn_type *type = &m->forward->params[i].type;
    int64_t shape[TN_MAX_RANK] = {0};
    for (int axis = 0; axis < type->rank; axis++) dim_is_const(m->module->dims, type->dims[axis], &shape[axis]);
    return tn_tensor_of((tn_dtype)type->dtype, m->params[i].data, type->rank, shape);
}

int tn_model_n_parameters(const tn_model *m) {
    int n = 0;
    for (size_t i = 0; m && i < m->forward->n_params; i++) n += is_kept(m, i);
    return n;
}

tn_parameter tn_model_parameter_of(const tn_model *m, int number) {
    for (size_t i = 0; m && i < m->forward->n_params; i++) {
        if (!is_kept(m, i) || number-- > 0) continue;
        return number == -1 ? (tn_parameter){m->forward->params[i].name, nn_param_tensor(m, i),
                                             m->params[i].role == NN_PARAMETER && !m->params[i].frozen}
                            : (tn_parameter){.name = NULL};
    }
    return (tn_parameter){.name = NULL};
}

int tn_model_find_parameter(const tn_model *m, const char *name) {
    int number = 0;
    for (size_t i = 0; m && name && i < m->forward->n_params; i++) {
        if (!is_kept(m, i)) continue;
        if (strcmp(m->forward->params[i].name, name) == 0) return number;
        number++;
    }
    return -1;
}

tn_status tn_model_initialise(tn_model *m, uint64_t seed, tn_diag *diag) {
    return nn_initialise_model(m, seed, NULL, diag);
}

tn_status nn_initialise_model(tn_model *m, uint64_t seed, tn_pool *pool, tn_diag *diag) {
    if (!m) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no model");
    if (tn_model_error(m)) {
        if (diag) *diag = *tn_model_error(m);
        return tn_model_error(m)->status;
    }
    for (size_t i = 0; i < m->forward->n_params; i++) {
        nn_param *p = &m->params[i];
        size_t bytes;
        if (!is_kept(m, i)) continue;
        if (!type_static_bytes(m->module->dims, &m->forward->params[i].type, &bytes))
            return diag_fail(diag, TN_ERR_LIMIT, "%s is too large", m->forward->params[i].name);
        if (!p->data && !(p->data = tn_aligned_alloc(64, bytes ? bytes : 1)))
            return diag_fail(diag, TN_ERR_MEMORY, "out of memory for %s, %zu bytes", m->forward->params[i].name, bytes);
        if (p->initial) {
            memcpy(p->data, p->initial->data, bytes);
            continue;
        }
        nn_fill fill = {m->forward->params[i].name, nn_param_tensor(m, i), p->init, p->fan_in, p->fan_out, seed};
        tn_status status = nn_initialise(&fill, pool, diag);
        if (status != TN_OK) return status;
    }
    return TN_OK;
}

/* ---- Layers ---------------------------------------------------------------------------------------------- */

static bool has_layer(const tn_model *m, const char *path) {
    for (size_t i = 0; i < m->n_layers; i++)
        if (strcmp(m->layers[i].path, path) == 0) return true;
    return false;
}

/* Enters the layer's scope: its name, or one made of its kind. */
static bool enter(nn_scope *s, const char *kind, const char *name) {
    tn_model *m = s->m;
    char own[NN_PATH_BYTES], path[2 * NN_PATH_BYTES];
    snprintf(own, sizeof own, "%s", name ? name : kind);
    snprintf(path, sizeof path, "%s%s", m->path, own);
    if (name && (!*name || strlen(name) >= sizeof own)) {
        build_error(&s->b, TN_ERR_ARGUMENT, "a name has 1 to %d characters, \"%.40s\" has %zu", NN_PATH_BYTES - 1, name,
                    strlen(name));
        return false;
    }
    if (name && has_layer(m, path)) {
        build_error(&s->b, TN_ERR_ARGUMENT, "there is a layer %s already: layers have names of their own", path);
        return false;
    }
    for (int i = 1; has_layer(m, path); i++) {
        snprintf(own, sizeof own, "%s_%d", kind, i);
        snprintf(path, sizeof path, "%s%s", m->path, own);
    }
    if (!array_reserve((void **)&m->layers, &m->layers_capacity, m->n_layers + 1, sizeof *m->layers))
        return module_no_memory(m->module);
    const char *kept = module_intern(m->module, path), *kept_kind = module_intern(m->module, kind);
    if (!kept || !kept_kind || !push(m, s->b.where, own)) return false;
    s->layer = m->n_layers++;
    m->layers[s->layer] = (nn_layer){.kind = kept_kind,
                                     .path = kept,
                                     .output = VALUE_NONE,
                                     .first_node = m->forward->n_nodes,
                                     .first_param = m->forward->n_params};
    return true;
}

bool nn_open(nn_scope *s, tn_model *m, tn_location at, const char *kind, const char *name, const tn_val *values,
             int n) {
    *s = (nn_scope){.m = m};
    if (!nn_open_call(&s->b, m, at, kind, values, n) || !enter(s, kind, name)) return false;
    s->former = graph_set_origin(m->forward, s->b.where);
    return true;
}

tn_val nn_close(nn_scope *s, tn_val y) {
    tn_model *m = s->m;
    nn_layer *row = &m->layers[s->layer];
    graph_set_origin(m->forward, s->former);
    pop(m);
    row->output = tn_is_valid(y) ? y.id : VALUE_NONE;
    row->end_node = m->forward->n_nodes;
    row->end_param = m->forward->n_params;
    return y;
}
