/* Building graphs.
 *
 * A graph is a function of static single assignments over tensors. Calls of the builder
 * append a node and return its value; shapes and dtypes are inferred and checked at once.
 * Errors are sticky: a wrong call records one diagnostic with the C file and line of the
 * call and returns an invalid value; calls on invalid values do nothing; the error is
 * reported by tn_graph_error and by tn_compile. Nothing needs checking call by call.
 *
 * Everything built belongs to the module of its graph and lives until that is freed.
 */
#ifndef TENON_GRAPH_H
#define TENON_GRAPH_H

#include "tenon_rt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A dim: an integer expression over symbols, by its id in the module. */
typedef uint32_t tn_dim;
#define TN_DIM_INVALID UINT32_MAX

/* A type: element type and shape, printed f32[n, 784]. */
typedef struct tn_type {
    uint8_t dtype; /* tn_dtype */
    uint8_t rank;
    tn_dim dims[TN_MAX_RANK];
} tn_type;

typedef struct tn_module tn_module;
typedef struct tn_graph tn_graph; /* one function of a module, being built or finished */

/* A value of a graph, passed by value. Invalid when graph is NULL or id is UINT32_MAX. */
typedef struct tn_val {
    tn_graph *graph;
    uint32_t id;
} tn_val;

/* Where a call stands in the user's source. */
typedef struct tn_location {
    const char *file;
    int line;
} tn_location;
#define TN_HERE ((tn_location){__FILE__, __LINE__})

/* Every op of the table. */
typedef enum tn_op {
#define OP(name, operands, attributes, rule, eval, grad, loop_class, samples, doc) TN_OP_##name,
#define COMPOSITE(name, operands, attributes, rule, expand, grad, samples, doc) TN_OP_##name,
#include "ops.def"
#undef OP
#undef COMPOSITE
    TN_OP_COUNT
} tn_op;

/* ---- Modules and graphs ---------------------------------------------------------------- */

/* A new module with one graph (function "main" of module `name`), to be freed with
 * tn_graph_free. NULL when there is no memory. */
TN_API tn_graph *tn_graph_new(const char *name);

/* Another function of g's module, for the bodies of control flow. Finish it before it is called:
 * a function that is called cannot grow any more. Freed with the module. */
TN_API tn_graph *tn_graph_sub(tn_graph *g, const char *name);

/* Frees the module of g: all its graphs and values. NULL is allowed. */
TN_API void tn_graph_free(tn_graph *g);

TN_API tn_module *tn_graph_module(const tn_graph *g);
TN_API tn_graph *tn_module_main(const tn_module *m);
TN_API void tn_module_free(tn_module *m);

/* The first error of the module, or NULL while there is none. Lives as long as the module. */
TN_API const tn_diag *tn_graph_error(const tn_graph *g);
TN_API const tn_diag *tn_module_error(const tn_module *m);

/* A module of its own with a copy of f as its main function, and of what f calls; constants and weights are shared
 * with the module of f, which is kept as long as this one. The caller frees it. NULL: no memory, or f is NULL. */
TN_API tn_module *tn_function_module(tn_graph *f);

/* ---- Text form (docs/IR.md) -------------------------------------------------------------- */

/* Reads a module from text. `name` stands for the file in messages. Never NULL unless memory
 * is out: a module with an error tells it through tn_module_error. */
TN_API tn_module *tn_module_parse(const char *text, size_t length, const char *name);

/* The module as text, NUL-terminated, in memory that the caller frees with tn_text_free;
 * parses to the same module. Constants over 64 elements are written to `data_path` (when not
 * NULL) with references in the text, else inline; with "" they are cut to their first elements, and places are short: a
 * text for people, which is not parsed. NULL: no memory, or the file failed. */
TN_API char *tn_module_print(const tn_module *m, const char *data_path);
TN_API void tn_text_free(char *text);

/* Checks every rule of the IR. TN_OK, or TN_ERR_VERIFY with the place, the rule and a message in *diag
 * (may be NULL). */
TN_API tn_status tn_module_verify(const tn_module *m, tn_diag *diag);

/* ---- Dims --------------------------------------------------------------------------------- */

/* A dim given to the builder: a number or a named symbol. */
typedef struct tn_dim_arg {
    int64_t value;
    const char *symbol; /* NULL: `value` counts */
} tn_dim_arg;

/* Shapes: TN_SHAPE(TN_DIM("n"), TN_SIZE(784)); TN_SCALAR for rank 0. */
typedef struct tn_shape {
    int rank;
    tn_dim_arg dims[TN_MAX_RANK];
} tn_shape;
#define TN_DIM(name) ((tn_dim_arg){0, (name)})
#define TN_SIZE(n) ((tn_dim_arg){(n), NULL})
#define TN_SHAPE(...) ((tn_shape){(int)(sizeof((tn_dim_arg[]){__VA_ARGS__}) / sizeof(tn_dim_arg)), {__VA_ARGS__}})
#define TN_SCALAR ((tn_shape){0, {{0, NULL}}})

/* States low <= symbol <= high and that `divisor` divides it; checked at every run. The symbol is a
 * dim of an input made before. */
TN_API void tn_bound_at(tn_location at, tn_graph *g, const char *symbol, int64_t low, int64_t high, int64_t divisor);
#define tn_bound(g, symbol, low, high, divisor) tn_bound_at(TN_HERE, (g), (symbol), (low), (high), (divisor))

/* ---- The one entry that every builder call comes down to ----------------------------------- */

/* Attribute values by name, for tn_apply: end with {0}. Which member counts follows from the
 * attribute's kind (ir/attrs.def, docs/OPS.md). */
typedef struct tn_attr_arg {
    const char *name;
    int64_t i;           /* INT, ENUM (or `text`), DTYPE */
    double f;            /* FLOAT */
    const char *text;    /* TEXT, or the spelling of an ENUM */
    const int64_t *ints; /* INTS, PAIR, DIMS of numbers */
    const tn_dim *dims;  /* DIMS, DIM */
    int n;               /* how many ints or dims */
    int split;           /* PAIR: how many of them are in the first list */
    tn_graph *graph;     /* FUNC */
} tn_attr_arg;

/* Appends `op` to the operands' graph and returns its first result; others have the following
 * ids (tn_result). g is needed when there are no operands. Operands must fit exactly (no
 * broadcasting). Other languages call this directly. */
TN_API tn_val tn_apply(tn_location at, tn_graph *g, tn_op op, const tn_val *operands, int n_operands,
                       const tn_attr_arg *attributes);
/* Result i of the op that made v, counted from v (0 is v). */
TN_API tn_val tn_result(tn_val v, int i);

TN_API bool tn_is_valid(tn_val v);
TN_API tn_type tn_type_of(tn_val v);         /* dtype TN_DTYPE_INVALID when v is invalid */
TN_API int tn_rank(tn_val v);                /* -1 when v is invalid */
TN_API tn_dim tn_dim_of(tn_val v, int axis); /* negative axes count from the end */

/* Names v in dumps and messages. Returns v. */
TN_API tn_val tn_name(tn_val v, const char *name);

/* ---- Parameters, constants, results ---------------------------------------------------------- */

/* An input given at each run. */
TN_API tn_val tn_input_at(tn_location at, tn_graph *g, const char *name, tn_dtype dtype, tn_shape shape);
/* A weight: given once when the program is loaded, replaceable. `data` (may be NULL) are the
 * initial values, row-major; they are not copied and must outlive the module and its programs. */
TN_API tn_val tn_weight_at(tn_location at, tn_graph *g, const char *name, tn_dtype dtype, tn_shape shape,
                           const void *data);
/* A constant; the data are copied. The shape must be static. */
TN_API tn_val tn_constant_at(tn_location at, tn_graph *g, tn_dtype dtype, tn_shape shape, const void *data);
/* A scalar of that dtype; the value is converted as `convert` does. */
TN_API tn_val tn_scalar_at(tn_location at, tn_graph *g, tn_dtype dtype, double value);
TN_API tn_val tn_scalar_int_at(tn_location at, tn_graph *g, tn_dtype dtype, int64_t value);
TN_API void tn_output_at(tn_location at, tn_graph *g, const char *name, tn_val v);
/* Pairs parameter `state` (made by tn_input) with its next value v: v takes its buffer. */
TN_API void tn_update_at(tn_location at, tn_graph *g, const char *name, tn_val state, tn_val v);
#define tn_input(g, name, dtype, shape) tn_input_at(TN_HERE, (g), (name), (dtype), (shape))
#define tn_weight(g, name, dtype, shape, data) tn_weight_at(TN_HERE, (g), (name), (dtype), (shape), (data))
#define tn_constant(g, dtype, shape, data) tn_constant_at(TN_HERE, (g), (dtype), (shape), (data))
#define tn_scalar(g, dtype, value) tn_scalar_at(TN_HERE, (g), (dtype), (value))
#define tn_scalar_int(g, dtype, value) tn_scalar_int_at(TN_HERE, (g), (dtype), (value))
#define tn_output(g, name, v) tn_output_at(TN_HERE, (g), (name), (v))
#define tn_update(g, name, state, v) tn_update_at(TN_HERE, (g), (name), (state), (v))

/* ---- Elementwise ------------------------------------------------------------------------------ */

/* Operands broadcast as in NumPy: extents that are the number 1 repeat. A symbol never does; it is
 * required to equal what it meets, at every run. Dtypes must agree, but a rank-0 constant takes
 * the other operand's dtype (an integer one only when it holds the number); anything else is an
 * error that names tn_convert. */
TN_API tn_val tn_unary_at(tn_location at, tn_op op, tn_val x);
TN_API tn_val tn_binary_at(tn_location at, tn_op op, tn_val a, tn_val b);
TN_API tn_val tn_binary_scalar_at(tn_location at, tn_op op, tn_val a, double b);
TN_API tn_val tn_ternary_at(tn_location at, tn_op op, tn_val a, tn_val b, tn_val c);
TN_API tn_val tn_compare_at(tn_location at, const char *relation, tn_val a, tn_val b);
TN_API tn_val tn_convert_at(tn_location at, tn_val x, tn_dtype dtype);
TN_API tn_val tn_bitcast_at(tn_location at, tn_val x, tn_dtype dtype);
#define tn_neg(x) tn_unary_at(TN_HERE, TN_OP_neg, (x))
#define tn_abs(x) tn_unary_at(TN_HERE, TN_OP_abs, (x))
#define tn_sign(x) tn_unary_at(TN_HERE, TN_OP_sign, (x))
#define tn_floor(x) tn_unary_at(TN_HERE, TN_OP_floor, (x))
#define tn_ceil(x) tn_unary_at(TN_HERE, TN_OP_ceil, (x))
#define tn_round(x) tn_unary_at(TN_HERE, TN_OP_round, (x))
#define tn_exp(x) tn_unary_at(TN_HERE, TN_OP_exp, (x))
#define tn_exp2(x) tn_unary_at(TN_HERE, TN_OP_exp2, (x))
#define tn_log(x) tn_unary_at(TN_HERE, TN_OP_log, (x))
#define tn_log1p(x) tn_unary_at(TN_HERE, TN_OP_log1p, (x))
#define tn_expm1(x) tn_unary_at(TN_HERE, TN_OP_expm1, (x))
#define tn_sqrt(x) tn_unary_at(TN_HERE, TN_OP_sqrt, (x))
#define tn_rsqrt(x) tn_unary_at(TN_HERE, TN_OP_rsqrt, (x))
#define tn_sin(x) tn_unary_at(TN_HERE, TN_OP_sin, (x))
#define tn_cos(x) tn_unary_at(TN_HERE, TN_OP_cos, (x))
#define tn_tan(x) tn_unary_at(TN_HERE, TN_OP_tan, (x))
#define tn_asin(x) tn_unary_at(TN_HERE, TN_OP_asin, (x))
#define tn_acos(x) tn_unary_at(TN_HERE, TN_OP_acos, (x))
#define tn_atan(x) tn_unary_at(TN_HERE, TN_OP_atan, (x))
#define tn_sinh(x) tn_unary_at(TN_HERE, TN_OP_sinh, (x))
#define tn_cosh(x) tn_unary_at(TN_HERE, TN_OP_cosh, (x))
#define tn_tanh(x) tn_unary_at(TN_HERE, TN_OP_tanh, (x))
#define tn_asinh(x) tn_unary_at(TN_HERE, TN_OP_asinh, (x))
#define tn_acosh(x) tn_unary_at(TN_HERE, TN_OP_acosh, (x))
#define tn_atanh(x) tn_unary_at(TN_HERE, TN_OP_atanh, (x))
#define tn_erf(x) tn_unary_at(TN_HERE, TN_OP_erf, (x))
#define tn_logistic(x) tn_unary_at(TN_HERE, TN_OP_logistic, (x))
#define tn_not(x) tn_unary_at(TN_HERE, TN_OP_not, (x))
#define tn_is_nan(x) tn_unary_at(TN_HERE, TN_OP_is_nan, (x))
#define tn_is_inf(x) tn_unary_at(TN_HERE, TN_OP_is_inf, (x))
#define tn_popcount(x) tn_unary_at(TN_HERE, TN_OP_popcount, (x))
#define tn_relu(x) tn_unary_at(TN_HERE, TN_OP_relu, (x))
#define tn_silu(x) tn_unary_at(TN_HERE, TN_OP_silu, (x))
#define tn_sigmoid(x) tn_unary_at(TN_HERE, TN_OP_sigmoid, (x))
#define tn_hard_swish(x) tn_unary_at(TN_HERE, TN_OP_hard_swish, (x))
#define tn_softplus(x) tn_unary_at(TN_HERE, TN_OP_softplus, (x))
#define tn_gelu(x) tn_unary_at(TN_HERE, TN_OP_gelu, (x))
#define tn_add(a, b) tn_binary_at(TN_HERE, TN_OP_add, (a), (b))
#define tn_sub(a, b) tn_binary_at(TN_HERE, TN_OP_sub, (a), (b))
#define tn_mul(a, b) tn_binary_at(TN_HERE, TN_OP_mul, (a), (b))
#define tn_div(a, b) tn_binary_at(TN_HERE, TN_OP_div, (a), (b))
#define tn_rem(a, b) tn_binary_at(TN_HERE, TN_OP_rem, (a), (b))
#define tn_pow(a, b) tn_binary_at(TN_HERE, TN_OP_pow, (a), (b))
#define tn_max(a, b) tn_binary_at(TN_HERE, TN_OP_max, (a), (b))
#define tn_min(a, b) tn_binary_at(TN_HERE, TN_OP_min, (a), (b))
#define tn_atan2(a, b) tn_binary_at(TN_HERE, TN_OP_atan2, (a), (b))
#define tn_and(a, b) tn_binary_at(TN_HERE, TN_OP_and, (a), (b))
#define tn_or(a, b) tn_binary_at(TN_HERE, TN_OP_or, (a), (b))
#define tn_xor(a, b) tn_binary_at(TN_HERE, TN_OP_xor, (a), (b))
#define tn_shl(a, b) tn_binary_at(TN_HERE, TN_OP_shl, (a), (b))
#define tn_shr(a, b) tn_binary_at(TN_HERE, TN_OP_shr, (a), (b))
/* With a number as the second operand, in a's dtype. */
#define tn_add_scalar(a, b) tn_binary_scalar_at(TN_HERE, TN_OP_add, (a), (b))
#define tn_sub_scalar(a, b) tn_binary_scalar_at(TN_HERE, TN_OP_sub, (a), (b))
#define tn_mul_scalar(a, b) tn_binary_scalar_at(TN_HERE, TN_OP_mul, (a), (b))
#define tn_div_scalar(a, b) tn_binary_scalar_at(TN_HERE, TN_OP_div, (a), (b))
#define tn_pow_scalar(a, b) tn_binary_scalar_at(TN_HERE, TN_OP_pow, (a), (b))
#define tn_max_scalar(a, b) tn_binary_scalar_at(TN_HERE, TN_OP_max, (a), (b))
#define tn_min_scalar(a, b) tn_binary_scalar_at(TN_HERE, TN_OP_min, (a), (b))
#define tn_equal(a, b) tn_compare_at(TN_HERE, "eq", (a), (b))
#define tn_not_equal(a, b) tn_compare_at(TN_HERE, "ne", (a), (b))
#define tn_less(a, b) tn_compare_at(TN_HERE, "lt", (a), (b))
#define tn_less_equal(a, b) tn_compare_at(TN_HERE, "le", (a), (b))
#define tn_greater(a, b) tn_compare_at(TN_HERE, "gt", (a), (b))
#define tn_greater_equal(a, b) tn_compare_at(TN_HERE, "ge", (a), (b))
#define tn_select(condition, a, b) tn_ternary_at(TN_HERE, TN_OP_select, (condition), (a), (b))
#define tn_clamp(low, x, high) tn_ternary_at(TN_HERE, TN_OP_clamp, (low), (x), (high))
#define tn_fma(a, b, c) tn_ternary_at(TN_HERE, TN_OP_fma, (a), (b), (c))
#define tn_convert(x, dtype) tn_convert_at(TN_HERE, (x), (dtype))
#define tn_bitcast(x, dtype) tn_bitcast_at(TN_HERE, (x), (dtype))

/* ---- Shape ------------------------------------------------------------------------------------- */

/* A list of integers written in the call: TN_INTS(0, 2). */
typedef struct tn_ints {
    int n;
    const int64_t *items;
} tn_ints;
#define TN_INTS(...)                                                                                                   \
    ((tn_ints){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]){__VA_ARGS__}})
#define TN_NO_INTS ((tn_ints){0, NULL})

/* Axes may be negative (counted from the end) in all that follows. */
TN_API tn_val tn_reshape_at(tn_location at, tn_val x, tn_shape shape); /* one dim may be TN_SIZE(-1) */
TN_API tn_val tn_reshape_dims_at(tn_location at, tn_val x, int rank, const tn_dim *dims);
TN_API tn_val tn_transpose_at(tn_location at, tn_val x, tn_ints perm); /* TN_NO_INTS: all axes reversed */
TN_API tn_val tn_broadcast_to_at(tn_location at, tn_val x, int rank, const tn_dim *dims); /* as NumPy: from the right */
/* start and limit count from the end when negative; limit INT64_MAX is the end. Neither is cut to fit:
 * what lies outside is an error, or a constraint when the extent is a symbol. */
TN_API tn_val tn_slice_at(tn_location at, tn_val x, int axis, int64_t start, int64_t limit, int64_t stride);
TN_API tn_val tn_slice_dims_at(tn_location at, tn_val x, const tn_dim *start, const tn_dim *limit,
                               const int64_t *stride); /* all axes; stride may be NULL */
TN_API tn_val tn_pad_at(tn_location at, tn_val x, double value, tn_ints low, tn_ints high); /* one entry each axis */
TN_API tn_val tn_concat_at(tn_location at, const tn_val *values, int n, int axis);
TN_API tn_val tn_reverse_at(tn_location at, tn_val x, tn_ints axes);
TN_API tn_val tn_expand_dims_at(tn_location at, tn_val x, tn_ints axes); /* axes of the result that are new, extent 1 */
TN_API tn_val tn_squeeze_at(tn_location at, tn_val x, tn_ints axes);     /* axes that vanish; extent must be 1 */
TN_API tn_val tn_iota_at(tn_location at, tn_graph *g, tn_dtype dtype, tn_shape shape, int axis);
TN_API tn_val tn_dim_value_at(tn_location at, tn_graph *g, tn_dim d); /* i64 scalar */
#define tn_reshape(x, shape) tn_reshape_at(TN_HERE, (x), (shape))
#define tn_reshape_dims(x, rank, dims) tn_reshape_dims_at(TN_HERE, (x), (rank), (dims))
#define tn_transpose(x, perm) tn_transpose_at(TN_HERE, (x), (perm))
#define tn_broadcast_to(x, rank, dims) tn_broadcast_to_at(TN_HERE, (x), (rank), (dims))
#define tn_slice(x, axis, start, limit, stride) tn_slice_at(TN_HERE, (x), (axis), (start), (limit), (stride))
#define tn_slice_dims(x, start, limit, stride) tn_slice_dims_at(TN_HERE, (x), (start), (limit), (stride))
#define tn_pad(x, value, low, high) tn_pad_at(TN_HERE, (x), (value), (low), (high))
#define tn_concat(values, n, axis) tn_concat_at(TN_HERE, (values), (n), (axis))
#define tn_reverse(x, axes) tn_reverse_at(TN_HERE, (x), (axes))
#define tn_expand_dims(x, axes) tn_expand_dims_at(TN_HERE, (x), (axes))
#define tn_squeeze(x, axes) tn_squeeze_at(TN_HERE, (x), (axes))
#define tn_iota(g, dtype, shape, axis) tn_iota_at(TN_HERE, (g), (dtype), (shape), (axis))
#define tn_dim_value(g, d) tn_dim_value_at(TN_HERE, (g), (d))

/* ---- Reductions, contractions, indexing --------------------------------------------------------- */

/* kind: sum prod max min and or argmax argmin. keep_dims leaves the axes with extent 1. Of axes
 * TN_NO_INTS means all. */
TN_API tn_val tn_reduce_at(tn_location at, const char *kind, tn_val x, tn_ints axes, bool keep_dims);
TN_API tn_val tn_cumulate_at(tn_location at, const char *kind, tn_val x, int axis, bool exclusive, bool reverse);
TN_API tn_val tn_axes_at(tn_location at, tn_op op, tn_val x, tn_ints axes, bool keep_dims); /* mean, variance */
TN_API tn_val tn_axis_at(tn_location at, tn_op op, tn_val x, int axis);                     /* softmax, log_softmax */
TN_API tn_val tn_sort_at(tn_location at, const tn_val *values, int n, int axis,
                         bool descending);                                                /* others: tn_result */
TN_API tn_val tn_top_k_at(tn_location at, tn_val x, int axis, tn_dim k, bool descending); /* indices: tn_result(v, 1) */
TN_API tn_val tn_matmul_at(tn_location at, tn_val a, tn_val b);
TN_API tn_val tn_dot_at(tn_location at, tn_val a, tn_val b, tn_ints batch_a, tn_ints batch_b, tn_ints contract_a,
                        tn_ints contract_b);

/* Sizes of a convolution or pooling, one entry for each spatial axis; empty lists take the
 * defaults (stride 1, no padding, dilation 1). */
typedef struct tn_window_args {
    tn_ints window; /* pooling only */
    tn_ints stride, low, high, dilation, input_dilation;
    const tn_dim *low_dims, *high_dims; /* take the place of low and high when not NULL */
    int64_t groups;                     /* conv only; 0 is 1 */
    bool count_padding;                 /* avg_pool only */
} tn_window_args;
TN_API tn_val tn_conv_at(tn_location at, tn_val x, tn_val kernel, tn_window_args args);
TN_API tn_val tn_pool_at(tn_location at, tn_op op, tn_val x, tn_window_args args);
TN_API tn_val tn_gather_at(tn_location at, tn_val data, tn_val indices, tn_ints axes, int batch_dims); /* as the op */
TN_API tn_val tn_take_at(tn_location at, tn_val data, tn_val indices, int axis);                       /* NumPy take */
TN_API tn_val tn_scatter_at(tn_location at, const char *combine, tn_val data, tn_val indices, tn_val updates,
                            tn_ints axes, int batch_dims);
#define tn_sum(x, axes) tn_reduce_at(TN_HERE, "sum", (x), (axes), false)
#define tn_reduce(kind, x, axes, keep_dims) tn_reduce_at(TN_HERE, (kind), (x), (axes), (keep_dims))
#define tn_cumulate(kind, x, axis, exclusive, reverse)                                                                 \
    tn_cumulate_at(TN_HERE, (kind), (x), (axis), (exclusive), (reverse))
#define tn_mean(x, axes, keep_dims) tn_axes_at(TN_HERE, TN_OP_mean, (x), (axes), (keep_dims))
#define tn_variance(x, axes, keep_dims) tn_axes_at(TN_HERE, TN_OP_variance, (x), (axes), (keep_dims))
#define tn_softmax(x, axis) tn_axis_at(TN_HERE, TN_OP_softmax, (x), (axis))
#define tn_log_softmax(x, axis) tn_axis_at(TN_HERE, TN_OP_log_softmax, (x), (axis))
#define tn_sort(values, n, axis, descending) tn_sort_at(TN_HERE, (values), (n), (axis), (descending))
#define tn_top_k(x, axis, k, descending) tn_top_k_at(TN_HERE, (x), (axis), (k), (descending))
#define tn_matmul(a, b) tn_matmul_at(TN_HERE, (a), (b))
#define tn_dot(a, b, batch_a, batch_b, contract_a, contract_b)                                                         \
    tn_dot_at(TN_HERE, (a), (b), (batch_a), (batch_b), (contract_a), (contract_b))
#define tn_conv(x, kernel, ...) tn_conv_at(TN_HERE, (x), (kernel), (tn_window_args){__VA_ARGS__})
#define tn_max_pool(x, ...) tn_pool_at(TN_HERE, TN_OP_max_pool, (x), (tn_window_args){__VA_ARGS__})
#define tn_avg_pool(x, ...) tn_pool_at(TN_HERE, TN_OP_avg_pool, (x), (tn_window_args){__VA_ARGS__})
#define tn_global_avg_pool(x) tn_unary_at(TN_HERE, TN_OP_global_avg_pool, (x))
#define tn_gather(data, indices, axes, batch_dims) tn_gather_at(TN_HERE, (data), (indices), (axes), (batch_dims))
#define tn_take(data, indices, axis) tn_take_at(TN_HERE, (data), (indices), (axis))
#define tn_scatter(combine, data, indices, updates, axes, batch_dims)                                                  \
    tn_scatter_at(TN_HERE, (combine), (data), (indices), (updates), (axes), (batch_dims))

/* ---- Networks ------------------------------------------------------------------------------------- */

TN_API tn_val tn_leaky_relu_at(tn_location at, tn_val x, double alpha);
TN_API tn_val tn_elu_at(tn_location at, tn_val x, double alpha);
TN_API tn_val tn_layer_norm_at(tn_location at, tn_val x, tn_val scale, tn_val bias, int axis, double epsilon);
TN_API tn_val tn_rms_norm_at(tn_location at, tn_val x, tn_val scale, int axis, double epsilon);
TN_API tn_val tn_batch_norm_at(tn_location at, tn_val x, tn_val scale, tn_val bias, tn_val mean, tn_val variance,
                               double epsilon);
/* mask may be an invalid value (tn_val){0}: none. scale 0: 1 / sqrt(d). */
TN_API tn_val tn_attention_at(tn_location at, tn_val q, tn_val k, tn_val v, tn_val mask, double scale, bool causal);
#define tn_leaky_relu(x, alpha) tn_leaky_relu_at(TN_HERE, (x), (alpha))
#define tn_elu(x, alpha) tn_elu_at(TN_HERE, (x), (alpha))
#define tn_layer_norm(x, scale, bias, axis, epsilon) tn_layer_norm_at(TN_HERE, (x), (scale), (bias), (axis), (epsilon))
#define tn_rms_norm(x, scale, axis, epsilon) tn_rms_norm_at(TN_HERE, (x), (scale), (axis), (epsilon))
#define tn_batch_norm(x, scale, bias, mean, variance, epsilon)                                                         \
    tn_batch_norm_at(TN_HERE, (x), (scale), (bias), (mean), (variance), (epsilon))
#define tn_attention(q, k, v, mask, scale, causal) tn_attention_at(TN_HERE, (q), (k), (v), (mask), (scale), (causal))

/* ---- Control flow ------------------------------------------------------------------------------------ */

/* Each body is a graph of the same module (tn_graph_sub) whose parameters are the operands in
 * order. Symbols in the bodies' parameter shapes are matched with the operands' dims. The
 * first result is returned, others by tn_result. length TN_DIM_INVALID: that of the first sequence. */
TN_API tn_val tn_call_at(tn_location at, tn_graph *caller, tn_graph *callee, const tn_val *operands, int n);
TN_API tn_val tn_if_at(tn_location at, tn_val condition, tn_graph *then, tn_graph *otherwise, const tn_val *operands,
                       int n);
TN_API tn_val tn_while_at(tn_location at, tn_graph *condition, tn_graph *body, const tn_val *carried, int n);
TN_API tn_val tn_scan_at(tn_location at, tn_graph *body, const tn_val *carried, int n_carried, const tn_val *sequences,
                         int n_sequences, tn_dim length, bool reverse);
#define tn_call(caller, callee, operands, n) tn_call_at(TN_HERE, (caller), (callee), (operands), (n))
#define tn_if(condition, then, otherwise, operands, n)                                                                 \
    tn_if_at(TN_HERE, (condition), (then), (otherwise), (operands), (n))
#define tn_while(condition, body, carried, n) tn_while_at(TN_HERE, (condition), (body), (carried), (n))
#define tn_scan(body, carried, n_carried, sequences, n_sequences, length, reverse)                                     \
    tn_scan_at(TN_HERE, (body), (carried), (n_carried), (sequences), (n_sequences), (length), (reverse))

/* ---- Gradients ---------------------------------------------------------------------------------------- */

/* Functions from functions. Each makes, in the module of f, a new function of ordinary nodes, which is called,
 * compiled, printed and differentiated as any other; f stays as it is. `wrt` are the numbers of those of f's parameters
 * that gradients are wanted of, floats all; gradients have their types, and stand in the order of wrt. What the
 * conventions are where a function has no derivative (ties, bounds, zeros), ir/grad_*.c and docs/TRAINING.md say; ops
 * that have none at all are an error that names the op, its place and why (docs/OPS.md lists them). Loops need a
 * number of rounds that is known: `scan` has it; `while` when its condition is, or begins with `and` of, counter <
 * limit, the counter goes up by a constant, and both limit and first counter are constants or dims. NULL on errors,
 * which tn_graph_error(f) tells.
 *
 * vjp: parameters are f's, then a cotangent "d_<result>" for each float result of f; results are gradients of
 *      sum(result * cotangent), named "d_<parameter>".
 * grad: f's first result is a float scalar (a loss); results are its gradients. value_and_grad: f's results come first.
 * jvp: parameters are f's, then a tangent "t_<parameter>" for each of wrt; results are the derivatives "t_<result>"
 *      of f's float results in that direction.
 * hvp: grad's gradients times the directions "d_d_<parameter>", parameters behind f's: the Hessian times a vector.
 */
TN_API tn_graph *tn_vjp_at(tn_location at, tn_graph *f, tn_ints wrt);
TN_API tn_graph *tn_grad_at(tn_location at, tn_graph *f, tn_ints wrt);
TN_API tn_graph *tn_value_and_grad_at(tn_location at, tn_graph *f, tn_ints wrt);
TN_API tn_graph *tn_jvp_at(tn_location at, tn_graph *f, tn_ints wrt);
TN_API tn_graph *tn_hvp_at(tn_location at, tn_graph *f, tn_ints wrt);
#define tn_vjp(f, wrt) tn_vjp_at(TN_HERE, (f), (wrt))
#define tn_grad(f, wrt) tn_grad_at(TN_HERE, (f), (wrt))
#define tn_value_and_grad(f, wrt) tn_value_and_grad_at(TN_HERE, (f), (wrt))
#define tn_jvp(f, wrt) tn_jvp_at(TN_HERE, (f), (wrt))
#define tn_hvp(f, wrt) tn_hvp_at(TN_HERE, (f), (wrt))

/* What gradients of f, or of calls of it, do about values of the way there that the way back needs:
 *   none   all are kept
 *   cheap  kept, but for what costs no more to make anew than to read: views, constants, sums of what is kept (default)
 *   full   of a function that is called, or a loop's body: its parameters alone are kept, and it is computed once more;
 *          of the function that is differentiated itself: checkpoints are kept, few values at which its nodes are cut
 *          into segments; each but the last is computed once more, just before the way back goes through it
 * An unknown word is an error. */
TN_API void tn_graph_remat_at(tn_location at, tn_graph *f, const char *how);
#define tn_graph_remat(f, how) tn_graph_remat_at(TN_HERE, (f), (how))

/* From now on gradients go back through calls of f by a call of `backward`, a function of the same module, rather than
 * by the gradient of what f does: for ops that have none (`custom`), or for a better one. Its parameters are f's, then
 * f's results, then a cotangent for each float result; its results are a cotangent for each float parameter of f. Types
 * that do not fit are an error where the gradient is asked for. */
TN_API void tn_graph_gradient_at(tn_location at, tn_graph *f, tn_graph *backward);
#define tn_graph_gradient(f, backward) tn_graph_gradient_at(TN_HERE, (f), (backward))

/* x, which gradients take for a constant: none goes through it. */
#define tn_stop_gradient(x) tn_unary_at(TN_HERE, TN_OP_stop_gradient, (x))

#ifdef __cplusplus
}
#endif

#endif
