/* Building leaves: inputs, weights, constants; and outputs, bounds of symbols. */
#include "ir/build.h"
#include "ir/dtype.h"
#include "ir/eval.h"

#include <inttypes.h>
#include <math.h>

/* ---- Shapes ----------------------------------------------------------------------------------- */

bool build_dim(build *b, tn_dim_arg arg, tn_dim *out) {
    if (arg.symbol) {
        if (!*arg.symbol) {
            build_error(b, TN_ERR_ARGUMENT, "a dim has an empty name");
            return false;
        }
        *out = dim_symbol(build_dims(b), arg.symbol);
    } else {
        if (arg.value < 0) {
            build_error(b, TN_ERR_SHAPE, "an axis would have %" PRId64 " elements", arg.value);
            return false;
        }
        *out = dim_const(build_dims(b), arg.value);
    }
    return *out != DIM_INVALID || module_no_memory(b->g->module);
}

bool build_type_of_shape(build *b, tn_dtype dtype, tn_shape shape, tn_type *type) {
    if ((unsigned)dtype >= TN_DTYPE_COUNT) {
        build_error(b, TN_ERR_DTYPE, "no dtype has the number %d", (int)dtype);
        return false;
    }
    if (shape.rank < 0 || shape.rank > TN_MAX_RANK) {
        build_error(b, TN_ERR_LIMIT, "the shape has %d axes, the most is %d", shape.rank, TN_MAX_RANK);
        return false;
    }
    *type = type_make(dtype, 0, NULL);
    type->rank = (uint8_t)shape.rank;
    for (int i = 0; i < shape.rank; i++)
        if (!build_dim(b, shape.dims[i], &type->dims[i])) return false;
    return true;
}

/* ---- Parameters ------------------------------------------------------------------------------- */

static tn_val add_param(build *b, const char *name, const tn_type *type, binding when, const tensor_data *initial) {
    location_id former = graph_set_origin(b->g, b->where);
    value_id v = graph_add_param(b->g, name, type, when);
    graph_set_origin(b->g, former);
    if (v == VALUE_NONE) return BUILD_INVALID;
    b->g->params[b->g->n_params - 1].initial = initial;
    return (tn_val){b->g, v};
}

tn_val tn_input_at(tn_location at, tn_graph *g, const char *name, tn_dtype dtype, tn_shape shape) {
    build b;
    tn_type type;
    if (!build_open(&b, at, "input", g, NULL, 0)) return BUILD_INVALID;
    if (!name || !*name) return build_error(&b, TN_ERR_ARGUMENT, "an input has a name");
    if (!build_type_of_shape(&b, dtype, shape, &type)) return BUILD_INVALID;
    return add_param(&b, name, &type, BINDING_RUN, NULL);
}

tn_val tn_weight_at(tn_location at, tn_graph *g, const char *name, tn_dtype dtype, tn_shape shape, const void *data) {
    build b;
    tn_type type;
    size_t bytes;
    if (!build_open(&b, at, "weight", g, NULL, 0)) return BUILD_INVALID;
    if (!name || !*name) return build_error(&b, TN_ERR_ARGUMENT, "a weight has a name");
    if (!build_type_of_shape(&b, dtype, shape, &type)) return BUILD_INVALID;
    if (!type_static_bytes(build_dims(&b), &type, &bytes)) {
        char text[BUILD_TEXT];
        type_print(build_dims(&b), &type, text, sizeof text);
        return build_error(&b, TN_ERR_SHAPE, "the sizes of a weight are numbers, and not too large: %s is %s", name,
                           text);
    }
    const tensor_data *initial = data ? module_constant(b.g->module, &type, data, false) : NULL;
    if (data && !initial) return BUILD_INVALID;
    return add_param(&b, name, &type, BINDING_LOAD, initial);
}

void tn_bound_at(tn_location at, tn_graph *g, const char *name, int64_t low, int64_t high, int64_t divisor) {
    build b;
    if (!build_open(&b, at, "bound", g, NULL, 0)) return;
    tn_dim dim = name && *name ? dim_symbol(build_dims(&b), name) : DIM_INVALID;
    bool is_known = false;
    for (size_t i = 0; i < g->n_symbols; i++) is_known |= g->symbols[i].dim == dim;
    if (!is_known)
        build_error(&b, TN_ERR_ARGUMENT, "no input of @%s has the dim %s (inputs come first)", g->name,
                    name ? name : "");
    else if (low < 0 || high < low || divisor < 1)
        build_error(&b, TN_ERR_ARGUMENT, "%" PRId64 " <= %s <= %" PRId64 " in steps of %" PRId64 " are no bounds", low,
                    name, high, divisor);
    else
        graph_add_symbol(g, dim, low, high, divisor);
}

/* ---- Results ---------------------------------------------------------------------------------- */

static void add_result(build *b, const char *name, tn_val v, int32_t state_param) {
    location_id former = graph_set_origin(b->g, b->where);
    graph_add_result(b->g, name, v.id, state_param);
    graph_set_origin(b->g, former);
}

void tn_output_at(tn_location at, tn_graph *g, const char *name, tn_val v) {
    build b;
    if (build_open(&b, at, "output", g, &v, 1)) add_result(&b, name, v, -1);
}

void tn_update_at(tn_location at, tn_graph *g, const char *name, tn_val state, tn_val v) {
    build b;
    tn_val values[] = {state, v};
    if (!build_open(&b, at, "update", g, values, 2)) return;
    const node *made_by = graph_node_of(b.g, state.id);
    char text[BUILD_TEXT];
    if (made_by->op != TN_OP_param)
        build_error(&b, TN_ERR_ARGUMENT, "a state is an input: %s", build_describe(state, text));
    else
        add_result(&b, name, v, (int32_t)attr_int(&made_by->attrs, ATTR_index, 0));
}

/* ---- Constants -------------------------------------------------------------------------------- */

static tn_val add_constant(build *b, const tn_type *type, const void *data) {
    const tensor_data *content = module_constant(b->g->module, type, data, true);
    if (!content) return BUILD_INVALID;
    attr item = {.name = ATTR_value, .data = content};
    return build_apply(b, TN_OP_constant, NULL, 0, &item, 1);
}

tn_val tn_constant_at(tn_location at, tn_graph *g, tn_dtype dtype, tn_shape shape, const void *data) {
    build b;
    tn_type type;
    size_t bytes;
    if (!build_open(&b, at, "constant", g, NULL, 0) || !build_type_of_shape(&b, dtype, shape, &type))
        return BUILD_INVALID;
    if (!type_static_bytes(build_dims(&b), &type, &bytes)) {
        char text[BUILD_TEXT];
        type_print(build_dims(&b), &type, text, sizeof text);
        return build_error(&b, TN_ERR_SHAPE, "the sizes of a constant are numbers, and not too large: it is %s", text);
    }
    if (!data && bytes > 0) return build_error(&b, TN_ERR_ARGUMENT, "no data given");
    return add_constant(&b, &type, data);
}

/* A tensor of one element over `bits`, for the interpreter's conversions. */
static eval_tensor one_element(tn_dtype dtype, uint64_t *bits) {
    return (eval_tensor){.dtype = dtype, .n = 1, .data = bits};
}

static tn_val constant_of(build *b, const eval_tensor *one) {
    tn_type type = type_scalar(one->dtype);
    return add_constant(b, &type, one->data);
}

static bool is_dtype(build *b, tn_dtype dtype) {
    if ((unsigned)dtype < TN_DTYPE_COUNT) return true;
    build_error(b, TN_ERR_DTYPE, "no dtype has the number %d", (int)dtype);
    return false;
}

tn_val tn_scalar_at(tn_location at, tn_graph *g, tn_dtype dtype, double number) {
    build b;
    if (!build_open(&b, at, "scalar", g, NULL, 0) || !is_dtype(&b, dtype)) return BUILD_INVALID;
    uint64_t bits = 0;
    eval_tensor one = one_element(dtype, &bits);
    eval_store_float(&one, 0, number);
    return constant_of(&b, &one);
}

tn_val tn_scalar_int_at(tn_location at, tn_graph *g, tn_dtype dtype, int64_t number) {
    build b;
    if (!build_open(&b, at, "scalar", g, NULL, 0) || !is_dtype(&b, dtype)) return BUILD_INVALID;
    uint64_t bits = 0;
    eval_tensor one = one_element(dtype, &bits);
    eval_store_int(&one, 0, number);
    return constant_of(&b, &one);
}

tn_val build_scalar(build *b, tn_dtype dtype, double number) {
    uint64_t bits = 0;
    eval_tensor one = one_element(dtype, &bits);
    eval_store_float(&one, 0, number);
    if (!dtype_is_float(dtype) && eval_load_float(&one, 0) != number)
        return build_error(b, TN_ERR_DTYPE, "the number %g is no %s (convert the other operand with tn_convert)",
                           number, tn_dtype_name(dtype));
    return constant_of(b, &one);
}

/* ---- Rank-0 constants take the dtype of what they meet ------------------------------------------ */

static bool is_scalar_constant(tn_val v) {
    return build_type(v)->rank == 0 && graph_node_of(v.graph, v.id)->op == TN_OP_constant;
}

static tn_val adopt(build *b, tn_val v, tn_dtype dtype) {
    const tensor_data *from = attr_find(&graph_node_of(v.graph, v.id)->attrs, ATTR_value)->data;
    eval_tensor in = {.dtype = (tn_dtype)from->type.dtype, .n = 1, .data = (void *)from->data};
    if (dtype_is_float(in.dtype) || dtype_is_float(dtype)) return build_scalar(b, dtype, eval_load_float(&in, 0));
    uint64_t bits = 0;
    eval_tensor one = one_element(dtype, &bits);
    int64_t number = eval_load_int(&in, 0);
    eval_store_int(&one, 0, number);
    bool is_kept = eval_load_int(&one, 0) == number && (number >= 0 || (in.dtype == TN_U64) == (dtype == TN_U64));
    if (!is_kept)
        return build_error(b, TN_ERR_DTYPE,
                           "the number %" PRId64 " is no %s (convert the other operand with tn_convert)", number,
                           tn_dtype_name(dtype));
    return constant_of(b, &one);
}

bool build_adopt_dtypes(build *b, tn_val *values, int first, int n) {
    int leader = first;
    while (leader < n && is_scalar_constant(values[leader])) leader++;
    if (leader == n) leader = first;
    tn_dtype dtype = (tn_dtype)build_type(values[leader])->dtype;
    for (int i = first; i < n; i++) {
        if (!is_scalar_constant(values[i]) || build_type(values[i])->dtype == dtype || dtype == TN_TOKEN) continue;
        values[i] = adopt(b, values[i], dtype);
        if (!tn_is_valid(values[i])) return false;
    }
    return true;
}
