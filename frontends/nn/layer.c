/* What layers share: checks, parameters, activations (see layer.h). */
#include "frontends/nn/layer.h"

#include "ir/dtype.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Checks -------------------------------------------------------------------------------------- */

bool nn_extent(nn_scope *s, tn_val x, int axis, const char *what, int64_t *extent) {
    char text[BUILD_TEXT];
    int64_t at;
    if (!tn_is_valid(x) || !build_axis(&s->b, x, axis, tn_rank(x), &at)) return false;
    if (dim_is_const(build_dims(&s->b), build_type(x)->dims[at], extent) && *extent > 0) return true;
    build_error(&s->b, TN_ERR_SHAPE, "%s must be a positive number, as parameters have its size: %s", what,
                build_describe(x, text));
    return false;
}

bool nn_check(nn_scope *s, tn_val x, int least, int most) {
    char text[BUILD_TEXT], ranks[32];
    if (!tn_is_valid(x)) return false;
    if (tn_rank(x) >= least && (most < 0 || tn_rank(x) <= most)) {
        if (dtype_is_float(nn_dtype(x))) return true;
        build_error(&s->b, TN_ERR_DTYPE, "takes floats: %s (convert it with tn_convert)", build_describe(x, text));
        return false;
    }
    if (most < 0)
        snprintf(ranks, sizeof ranks, "at least %d", least);
    else
        snprintf(ranks, sizeof ranks, least == most ? "%d" : "%d to %d", least, most);
    build_error(&s->b, TN_ERR_SHAPE, "takes %s axes: %s", ranks, build_describe(x, text));
    return false;
}

bool nn_positive(nn_scope *s, const char *what, int64_t number) {
    if (number > 0) return true;
    build_error(&s->b, TN_ERR_ARGUMENT, "%s is %" PRId64 ", it must be at least 1", what, number);
    return false;
}

/* ---- Parameters ------------------------------------------------------------------------------------ */

/* Of a kernel [o, c, taps...] fan_in is c * taps, fan_out o * taps; of [in, out] they are these;
 * a vector has its length as both. */
static void set_fans(nn_parameter_args *a) {
    int64_t taps = 1;
    for (int i = 2; i < a->rank; i++) taps *= a->dims[i];
    int64_t first = a->rank > 0 ? a->dims[0] : 1, second = a->rank > 1 ? a->dims[1] : first;
    if (!a->fan_in) a->fan_in = a->rank == 2 ? first : second * taps;
    if (!a->fan_out) a->fan_out = a->rank == 2 ? second : first * taps;
}

static bool make_type(build *b, tn_dtype dtype, int rank, const int64_t *dims, tn_type *type) {
    tn_shape shape = {.rank = rank};
    size_t bytes;
    for (int i = 0; i < rank; i++) shape.dims[i] = TN_SIZE(dims[i]);
    if (!build_type_of_shape(b, dtype, shape, type)) return false;
    if (type_static_bytes(build_dims(b), type, &bytes)) return true;
    build_error(b, TN_ERR_LIMIT, "a parameter would be too large for memory");
    return false;
}

tn_val nn_parameter(nn_scope *s, nn_parameter_args a) {
    tn_type type;
    tn_nn_init init = a.init;
    if (!init.name) init = (tn_nn_init){a.init_default, a.number_default};
    if (!nn_init_exists(init.name))
        return build_error(&s->b, TN_ERR_ARGUMENT, "no initialiser is called \"%s\" (%s)", init.name, nn_init_names());
    set_fans(&a);
    if (!make_type(&s->b, s->m->dtype, a.rank, a.dims, &type)) return BUILD_INVALID;
    tn_val v = nn_add_param(s->m, a.name, &type,
                            &(nn_param){.role = NN_PARAMETER,
                                        .frozen = a.frozen,
                                        .init = init,
                                        .penalty = a.penalty,
                                        .fan_in = a.fan_in,
                                        .fan_out = a.fan_out});
    return tn_is_valid(v) && !a.keep_dtype ? tn_convert(v, s->m->compute) : v;
}

tn_val nn_state(nn_scope *s, const char *name, const char *init, int64_t extent) {
    tn_type type;
    if (!make_type(&s->b, s->m->dtype, 1, &extent, &type)) return BUILD_INVALID;
    return nn_add_param(s->m, name, &type, &(nn_param){.role = NN_STATE, .init = {init, 0}, .next = UINT32_MAX});
}

void nn_set_next(nn_scope *s, tn_val state, tn_val next) {
    tn_model *m = s->m;
    char name[2 * NN_PATH_BYTES];
    if (!tn_is_valid(state) || !tn_is_valid(next)) return;
    size_t i = (size_t)attr_int(&graph_node_of(m->forward, state.id)->attrs, ATTR_index, 0);
    snprintf(name, sizeof name, "%s.next", m->forward->params[i].name);
    if (nn_add_result(m, name, next, NN_NEXT, NULL)) m->params[i].next = (uint32_t)(m->forward->n_results - 1);
}

tn_val tn_model_parameter_at(tn_location at, tn_model *m, tn_model_parameter_args args) {
    nn_scope s = {.m = m};
    if (!nn_open_call(&s.b, m, at, "parameter", NULL, 0)) return BUILD_INVALID;
    if (!args.name || !*args.name) return build_error(&s.b, TN_ERR_ARGUMENT, "it has a name");
    nn_parameter_args a = {.name = args.name,
                           .init = args.init,
                           .init_default = "glorot_uniform",
                           .penalty = args.penalty,
                           .fan_in = args.fan_in,
                           .fan_out = args.fan_out,
                           .frozen = args.frozen,
                           .rank = args.shape.rank};
    if (a.rank < 0 || a.rank > TN_MAX_RANK)
        return build_error(&s.b, TN_ERR_LIMIT, "%s has %d axes, the most is %d", args.name, a.rank, TN_MAX_RANK);
    for (int i = 0; i < a.rank; i++) {
        if (args.shape.dims[i].symbol || args.shape.dims[i].value <= 0)
            return build_error(&s.b, TN_ERR_SHAPE, "the sizes of %s are positive numbers, axis %d is not", args.name,
                               i);
        a.dims[i] = args.shape.dims[i].value;
    }
    location_id former = graph_set_origin(m->forward, s.b.where);
    tn_val v = nn_parameter(&s, a);
    graph_set_origin(m->forward, former);
    return v;
}

/* ---- Common pieces ----------------------------------------------------------------------------------- */

tn_val nn_along(tn_val v, tn_val x, int axis) {
    tn_type type = tn_type_of(x);
    if (!tn_is_valid(x)) return BUILD_INVALID;
    const int64_t dims[] = {axis < 0 ? axis + type.rank : axis};
    tn_attr_arg attrs[] = {
        {.name = "shape", .dims = type.dims, .n = type.rank}, {.name = "dims", .ints = dims, .n = 1}, {0}};
    return tn_apply(TN_HERE, NULL, TN_OP_broadcast, &v, 1, attrs);
}

tn_val nn_linear(nn_scope *s, tn_val x, nn_linear_args a) {
    int64_t in;
    char kernel_name[64], bias_name[64];
    if (!nn_check(s, x, 1, -1) || !nn_positive(s, "units", a.units) || !nn_extent(s, x, -1, "the last axis", &in))
        return BUILD_INVALID;
    snprintf(kernel_name, sizeof kernel_name, "%skernel", a.prefix);
    snprintf(bias_name, sizeof bias_name, "%sbias", a.prefix);
    tn_val kernel = nn_parameter(s, (nn_parameter_args){.name = kernel_name,
                                                        .init = a.kernel_init,
                                                        .init_default = "glorot_uniform",
                                                        .penalty = a.penalty,
                                                        .rank = 2,
                                                        .dims = {in, a.units}});
    tn_val y = tn_matmul(x, kernel);
    if (a.no_bias) return y;
    return tn_add(y, nn_parameter(s, (nn_parameter_args){.name = bias_name,
                                                         .init = a.bias_init,
                                                         .init_default = "zeros",
                                                         .fan_in = in,
                                                         .fan_out = a.units,
                                                         .rank = 1,
                                                         .dims = {a.units}}));
}

/* ---- Activations ----------------------------------------------------------------------------------------- */

static tn_val apply_linear(tn_val x) { return x; }
static tn_val apply_relu(tn_val x) { return tn_relu(x); }
static tn_val apply_leaky_relu(tn_val x) { return tn_leaky_relu(x, 0.01); }
static tn_val apply_elu(tn_val x) { return tn_elu(x, 1); }
static tn_val apply_gelu(tn_val x) { return tn_gelu(x); }
static tn_val apply_silu(tn_val x) { return tn_silu(x); }
static tn_val apply_sigmoid(tn_val x) { return tn_sigmoid(x); }
static tn_val apply_hard_swish(tn_val x) { return tn_hard_swish(x); }
static tn_val apply_hard_sigmoid(tn_val x) { return tn_unary_at(TN_HERE, TN_OP_hard_sigmoid, x); }
static tn_val apply_mish(tn_val x) { return tn_unary_at(TN_HERE, TN_OP_mish, x); }
static tn_val apply_tanh(tn_val x) { return tn_tanh(x); }
static tn_val apply_exp(tn_val x) { return tn_exp(x); }
static tn_val apply_softplus(tn_val x) { return tn_softplus(x); }
static tn_val apply_softmax(tn_val x) { return tn_softmax(x, -1); }
static tn_val apply_log_softmax(tn_val x) { return tn_log_softmax(x, -1); }
static tn_val apply_gelu_tanh(tn_val x) {
    return tn_apply(TN_HERE, NULL, TN_OP_gelu, &x, 1, (tn_attr_arg[]){{.name = "approximate", .i = 1}, {0}});
}

static const struct {
    const char *name;
    tn_val (*apply)(tn_val x);
} activations[] = {
    {"linear", apply_linear},
    {"relu", apply_relu},
    {"leaky_relu", apply_leaky_relu},
    {"elu", apply_elu},
    {"gelu", apply_gelu},
    {"gelu_tanh", apply_gelu_tanh},
    {"silu", apply_silu},
    {"sigmoid", apply_sigmoid},
    {"hard_sigmoid", apply_hard_sigmoid},
    {"hard_swish", apply_hard_swish},
    {"tanh", apply_tanh},
    {"softplus", apply_softplus},
    {"mish", apply_mish},
    {"softmax", apply_softmax},
    {"log_softmax", apply_log_softmax},
    {"exp", apply_exp},
};

tn_val nn_activate(build *b, tn_val x, const char *name) {
    if (!name) return x;
    char names[256] = "";
    line known = {names, sizeof names, 0};
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (strcmp(activations[i].name, name) == 0) return tn_is_valid(x) ? activations[i].apply(x) : x;
        line_add(&known, "%s%s", i ? ", " : "", activations[i].name);
    }
    return build_error(b, TN_ERR_ARGUMENT, "no activation is called \"%s\" (%s)", name, names);
}

tn_val tn_nn_activation_at(tn_location at, tn_model *m, tn_val x, const char *name) {
    nn_scope s;
    if (!nn_open(&s, m, at, name && *name ? name : "activation", NULL, &x, 1)) return BUILD_INVALID;
    return nn_close(&s, nn_check(&s, x, 0, -1) ? nn_activate(&s.b, x, name) : BUILD_INVALID);
}
