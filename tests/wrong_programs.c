/* Wrong programs, built through the C API, and the exact message each gives.
 *
 * Each row builds one mistake; the first error of the module must be that one, and whatever is
 * built on top of the wrong value must leave it alone.
 */
#include "tenon_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What every program finds in its graph. */
typedef struct given {
    tn_graph *g;
    tn_val x;    /* f32[n, 784] */
    tn_val w;    /* f32[512, 10], a weight */
    tn_val a;    /* f32[3, 4] */
    tn_val b;    /* f32[3, 5] */
    tn_val v;    /* f32[5] */
    tn_val half; /* f16[3, 4] */
    tn_val i;    /* i32[3, 4] */
    tn_val p;    /* bool[3, 4] */
    tn_val s;    /* f32[] */
    tn_val j;    /* i64[2, 1] */
    tn_val img;  /* f32[1, 3, 8, 8] */
} given;

static given open_graph(void) {
    tn_graph *g = tn_graph_new("wrong");
    assert_non_null(g);
    given k = {.g = g};
    k.x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(784)));
    k.w = tn_weight(g, "w", TN_F32, TN_SHAPE(TN_SIZE(512), TN_SIZE(10)), NULL);
    k.a = tn_input(g, "a", TN_F32, TN_SHAPE(TN_SIZE(3), TN_SIZE(4)));
    k.b = tn_input(g, "b", TN_F32, TN_SHAPE(TN_SIZE(3), TN_SIZE(5)));
    k.v = tn_input(g, "v", TN_F32, TN_SHAPE(TN_SIZE(5)));
    k.half = tn_input(g, "half", TN_F16, TN_SHAPE(TN_SIZE(3), TN_SIZE(4)));
    k.i = tn_input(g, "i", TN_I32, TN_SHAPE(TN_SIZE(3), TN_SIZE(4)));
    k.p = tn_input(g, "p", TN_BOOL, TN_SHAPE(TN_SIZE(3), TN_SIZE(4)));
    k.s = tn_input(g, "s", TN_F32, TN_SCALAR);
    k.j = tn_input(g, "j", TN_I64, TN_SHAPE(TN_SIZE(2), TN_SIZE(1)));
    k.img = tn_input(g, "img", TN_F32, TN_SHAPE(TN_SIZE(1), TN_SIZE(3), TN_SIZE(8), TN_SIZE(8)));
    return k;
}

/* A function f(t: f32[m, 4]) -> t + t. */
static tn_graph *doubling(tn_graph *g) {
    tn_graph *f = tn_graph_sub(g, "f");
    tn_val t = tn_input(f, "t", TN_F32, TN_SHAPE(TN_DIM("m"), TN_SIZE(4)));
    tn_output(f, "r", tn_add(t, t));
    return f;
}

/* ---- The programs ------------------------------------------------------------------------------ */

/* Elementwise */
static tn_val add_shapes(given *k) { return tn_add(k->a, k->v); }
static tn_val add_dtypes(given *k) { return tn_add(k->a, k->half); }
static tn_val add_int_to_float(given *k) { return tn_add(k->i, k->a); }
static tn_val int_times_half(given *k) { return tn_mul_scalar(k->i, 0.5); }
static tn_val int_times_half_constant(given *k) { return tn_mul(k->i, tn_scalar(k->g, TN_F32, 2.5)); }
static tn_val tanh_of_int(given *k) { return tn_tanh(k->i); }
static tn_val neg_of_bool(given *k) { return tn_neg(k->p); }
static tn_val and_of_float(given *k) { return tn_and(k->a, k->a); }
static tn_val select_by_number(given *k) { return tn_select(k->i, k->a, k->a); }
static tn_val select_shapes(given *k) { return tn_select(k->p, k->a, k->b); }
static tn_val compare_unknown(given *k) { return tn_compare_at(TN_HERE, "less", k->a, k->a); }
static tn_val bitcast_sizes(given *k) { return tn_bitcast(k->a, TN_I64); }
static tn_val not_elementwise(given *k) { return tn_binary_at(TN_HERE, TN_OP_dot, k->a, k->b); }

/* Contractions */
static tn_val matmul_inner(given *k) { return tn_matmul(k->x, k->w); }
static tn_val matmul_scalar(given *k) { return tn_matmul(k->a, k->s); }
static tn_val dot_pairs(given *k) { return tn_dot(k->a, k->b, TN_NO_INTS, TN_NO_INTS, TN_INTS(0), TN_INTS(0, 1)); }
static tn_val dot_twice(given *k) { return tn_dot(k->a, k->b, TN_INTS(0), TN_INTS(0), TN_INTS(0), TN_INTS(0)); }
static tn_val conv_channels(given *k) {
    tn_val kernel = tn_weight(k->g, "kernel", TN_F32, TN_SHAPE(TN_SIZE(8), TN_SIZE(4), TN_SIZE(3), TN_SIZE(3)), NULL);
    return tn_conv(k->img, kernel, .stride = TN_INTS(1, 1));
}
static tn_val conv_too_small(given *k) {
    tn_val kernel = tn_weight(k->g, "kernel", TN_F32, TN_SHAPE(TN_SIZE(8), TN_SIZE(3), TN_SIZE(9), TN_SIZE(3)), NULL);
    return tn_conv(k->img, kernel, .stride = TN_INTS(1, 1));
}
static tn_val conv_stride(given *k) {
    tn_val kernel = tn_weight(k->g, "kernel", TN_F32, TN_SHAPE(TN_SIZE(8), TN_SIZE(3), TN_SIZE(3), TN_SIZE(3)), NULL);
    return tn_conv(k->img, kernel, .stride = TN_INTS(2, 0));
}
static tn_val pool_window(given *k) { return tn_max_pool(k->img, .window = TN_INTS(2)); }
static tn_val attention_lengths(given *k) { return tn_attention(k->a, k->b, k->b, ((tn_val){0}), 0, false); }

/* Axes and shapes */
static tn_val softmax_axis(given *k) { return tn_softmax(k->a, 2); }
static tn_val sum_axis_twice(given *k) { return tn_sum(k->a, TN_INTS(1, -1)); }
static tn_val argmax_axes(given *k) { return tn_reduce("argmax", k->a, TN_INTS(0, 1), false); }
static tn_val reduce_unknown(given *k) { return tn_reduce("average", k->a, TN_INTS(0), false); }
static tn_val reshape_count(given *k) { return tn_reshape(k->a, TN_SHAPE(TN_SIZE(5), TN_SIZE(2))); }
static tn_val reshape_infer(given *k) { return tn_reshape(k->a, TN_SHAPE(TN_SIZE(5), TN_SIZE(-1))); }
static tn_val reshape_infer_twice(given *k) { return tn_reshape(k->a, TN_SHAPE(TN_SIZE(-1), TN_SIZE(-1))); }
static tn_val transpose_short(given *k) { return tn_transpose(k->img, TN_INTS(1, 0)); }
static tn_val slice_beyond(given *k) { return tn_slice(k->a, 1, 0, 6, 1); }
static tn_val pad_entries(given *k) { return tn_pad(k->a, 0, TN_INTS(1), TN_INTS(1)); }
static tn_val pad_crops_all(given *k) { return tn_pad(k->a, 0, TN_INTS(-2, 0), TN_INTS(-2, 0)); }
static tn_val concat_shapes(given *k) { return tn_concat(((tn_val[]){k->a, k->b}), 2, 0); }
static tn_val squeeze_wide(given *k) { return tn_squeeze(k->a, TN_INTS(0)); }
static tn_val broadcast_to_other(given *k) { return tn_broadcast_to(k->a, 1, ((tn_dim[]){tn_dim_of(k->a, 1)})); }
static tn_val layer_norm_scale(given *k) { return tn_layer_norm(k->a, k->v, k->v, -1, 1e-5); }
static tn_val rank_nine(given *k) { return tn_expand_dims(k->a, TN_INTS(0, 1, 2, 3, 4, 5, 6)); }
static tn_val too_large(given *k) {
    tn_dim big = tn_dim_of(tn_input(k->g, "big", TN_BOOL, TN_SHAPE(TN_SIZE(INT64_C(1) << 40))), 0);
    return tn_broadcast_to(k->s, 2, ((tn_dim[]){big, big}));
}

/* Indexing */
static tn_val gather_float_indices(given *k) { return tn_take(k->a, k->v, 0); }
static tn_val gather_depth(given *k) { return tn_gather(k->a, k->j, TN_INTS(0, 1), 0); }
static tn_val scatter_updates(given *k) { return tn_scatter("add", k->a, k->j, k->b, TN_INTS(0), 0); }
static tn_val top_k_many(given *k) { return tn_top_k(k->a, 0, tn_dim_of(k->a, 1), true); }

/* Leaves and names */
static tn_val input_twice(given *k) { return tn_input(k->g, "x", TN_F32, TN_SCALAR); }
static tn_val input_unnamed(given *k) { return tn_input(k->g, "", TN_F32, TN_SCALAR); }
static tn_val input_negative(given *k) { return tn_input(k->g, "t", TN_F32, TN_SHAPE(TN_SIZE(-3))); }
static tn_val weight_symbolic(given *k) { return tn_weight(k->g, "t", TN_F32, TN_SHAPE(TN_DIM("n")), NULL); }
static tn_val constant_without_data(given *k) { return tn_constant(k->g, TN_F32, TN_SHAPE(TN_SIZE(2)), NULL); }
static tn_val iota_stranger(given *k) { return tn_iota(k->g, TN_I64, TN_SHAPE(TN_DIM("q")), 0); }
static tn_val bound_stranger(given *k) {
    tn_bound(k->g, "q", 1, 8, 1);
    return k->a;
}
static tn_val bound_backwards(given *k) {
    tn_bound(k->g, "n", 8, 1, 1);
    return k->a;
}
static tn_val output_twice(given *k) {
    tn_output(k->g, "y", k->a);
    tn_output(k->g, "y", k->b);
    return k->a;
}
static tn_val update_type(given *k) {
    tn_update(k->g, "next", k->a, tn_name(tn_neg(k->b), "negated"));
    return k->a;
}
static tn_val update_no_input(given *k) {
    tn_update(k->g, "next", tn_name(tn_neg(k->a), "negated"), k->a);
    return k->a;
}

/* Functions */
static tn_val outer_value(given *k) { return tn_add(tn_input(tn_graph_sub(k->g, "f"), "t", TN_F32, TN_SCALAR), k->s); }
static tn_val call_count(given *k) { return tn_call(k->g, doubling(k->g), NULL, 0); }
static tn_val call_type(given *k) { return tn_call(k->g, doubling(k->g), ((tn_val[]){k->b}), 1); }
static tn_val call_no_results(given *k) { return tn_call(k->g, tn_graph_sub(k->g, "empty"), NULL, 0); }
static tn_val call_itself(given *k) {
    tn_output(k->g, "y", k->s);
    return tn_apply(TN_HERE, k->g, TN_OP_call, NULL, 0, (tn_attr_arg[]){{.name = "callee", .graph = k->g}, {0}});
}
static tn_val grows_after_call(given *k) {
    tn_graph *f = doubling(k->g);
    tn_val t = tn_input(f, "u", TN_F32, TN_SCALAR);
    tn_call(k->g, f, ((tn_val[]){k->a, k->s}), 2);
    return tn_neg(t);
}
static tn_val if_condition(given *k) {
    tn_graph *f = doubling(k->g);
    return tn_if(k->p, f, f, ((tn_val[]){k->a}), 1);
}
static tn_val if_results(given *k) {
    tn_graph *f = doubling(k->g), *h = tn_graph_sub(k->g, "h");
    tn_output(h, "r", tn_convert(tn_input(h, "t", TN_F32, TN_SHAPE(TN_DIM("m"), TN_SIZE(4))), TN_F64));
    return tn_if(tn_equal(k->s, k->s), f, h, ((tn_val[]){k->a}), 1);
}
static tn_val while_body(given *k) {
    tn_graph *cond = tn_graph_sub(k->g, "cond"), *body = tn_graph_sub(k->g, "body");
    tn_val t = tn_input(cond, "t", TN_F32, TN_SHAPE(TN_DIM("m")));
    tn_output(cond, "more", tn_less(tn_sum(t, TN_NO_INTS), tn_scalar(cond, TN_F32, 9)));
    t = tn_input(body, "t", TN_F32, TN_SHAPE(TN_DIM("m")));
    tn_output(body, "next", tn_pad(t, 1, TN_INTS(1), TN_INTS(0)));
    return tn_while(cond, body, ((tn_val[]){k->v}), 1);
}
static tn_val scan_scalar(given *k) {
    return tn_scan(doubling(k->g), NULL, 0, ((tn_val[]){k->s}), 1, tn_dim_of(k->v, 0), false);
}

/* tn_apply, and numbers that are of no enum: from other languages they may be anything. */
static int made_up(void) { return (int)strtol("9999", NULL, 10); }
static tn_val apply_missing(given *k) { return tn_apply(TN_HERE, NULL, TN_OP_reduce, &k->a, 1, NULL); }
static tn_val apply_unknown_attribute(given *k) {
    return tn_apply(TN_HERE, NULL, TN_OP_tanh, &k->a, 1, (tn_attr_arg[]){{.name = "speed", .i = 1}, {0}});
}
static tn_val apply_foreign_attribute(given *k) {
    return tn_apply(TN_HERE, NULL, TN_OP_tanh, &k->a, 1, (tn_attr_arg[]){{.name = "axis", .i = 1}, {0}});
}
static tn_val apply_count(given *k) { return tn_apply(TN_HERE, NULL, TN_OP_add, &k->a, 1, NULL); }
static tn_val apply_strict_shapes(given *k) {
    return tn_apply(TN_HERE, NULL, TN_OP_add, (tn_val[]){k->a, k->s}, 2, NULL);
}
static tn_val apply_no_op(given *k) { return tn_apply(TN_HERE, k->g, (tn_op)made_up(), NULL, 0, NULL); }
static tn_val apply_no_operands(given *k) { return tn_apply(TN_HERE, k->g, TN_OP_add, &k->a, -1, NULL); }
static tn_val binary_no_op(given *k) { return tn_binary_at(TN_HERE, (tn_op)made_up(), k->a, k->a); }
static tn_val made_up_dim(given *k) { return tn_dim_value(k->g, 77777); }
static tn_val made_up_dims(given *k) { return tn_reshape_dims(k->a, 2, ((tn_dim[]){77777, TN_DIM_INVALID})); }
static tn_val made_up_dtype(given *k) { return tn_convert(k->a, (tn_dtype)made_up()); }
static tn_val made_up_value(given *k) { return tn_neg(((tn_val){k->g, 4000})); }
static tn_val no_such_result(given *k) { return tn_result(tn_neg(k->a), 1); }

/* ---- The messages -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    tn_val (*build)(given *k);
    tn_status status;
    const char *message;
} rows[] = {
#define ROW(build, status, message) {#build, build, TN_ERR_##status, message}
    ROW(add_shapes, SHAPE, "add: shapes do not broadcast: a is f32[3, 4], v is f32[5] (4 is not 5)"),
    ROW(add_dtypes, DTYPE, "add: dtypes differ: a is f32[3, 4], half is f16[3, 4] (make them equal with tn_convert)"),
    ROW(add_int_to_float, DTYPE,
        "add: dtypes differ: i is i32[3, 4], a is f32[3, 4] (make them equal with tn_convert)"),
    ROW(int_times_half, DTYPE, "mul: the number 0.5 is no i32 (convert the other operand with tn_convert)"),
    ROW(int_times_half_constant, DTYPE, "mul: the number 2.5 is no i32 (convert the other operand with tn_convert)"),
    ROW(tanh_of_int, DTYPE, "tanh: takes a float: i is i32[3, 4]"),
    ROW(neg_of_bool, DTYPE, "neg: takes a number: p is bool[3, 4]"),
    ROW(and_of_float, DTYPE, "and: takes bool or an integer: a is f32[3, 4]"),
    ROW(select_by_number, DTYPE, "select: the condition must be bool: i is i32[3, 4]"),
    ROW(select_shapes, SHAPE, "select: shapes do not broadcast: p is bool[3, 4], b is f32[3, 5] (4 is not 5)"),
    ROW(compare_unknown, ARGUMENT, "compare: compare \"less\" is none of eq, ne, lt, le, gt, ge"),
    ROW(bitcast_sizes, DTYPE, "bitcast: sizes differ: a is f32[3, 4], but i64 has 64 bits"),
    ROW(not_elementwise, ARGUMENT, "dot: is no elementwise op of 2 operands"),
    ROW(matmul_inner, SHAPE, "matmul: inner dims differ: x is f32[n, 784], w is f32[512, 10] (784 is not 512)"),
    ROW(matmul_scalar, SHAPE, "matmul: operand 1 must have rank 1 or more: s is f32[]"),
    ROW(dot_pairs, ARGUMENT, "dot: contract names 1 of the first operand's axes and 2 of the second's"),
    ROW(dot_twice, ARGUMENT, "dot: an axis of operand 0 is both batch and contract"),
    ROW(conv_channels, SHAPE,
        "conv: channels differ: img is f32[1, 3, 8, 8], kernel is f32[8, 4, 3, 3], groups is 1 (3 is not 4)"),
    ROW(conv_too_small, SHAPE,
        "conv: the window does not fit along axis 2: it reaches over 9 elements of 8: img is f32[1, 3, 8, 8]"),
    ROW(conv_stride, ARGUMENT, "conv: stride has 0, the least is 1"),
    ROW(pool_window, ARGUMENT, "max_pool: window has length 1, not 2"),
    ROW(attention_lengths, SHAPE,
        "attention: q and k differ in the last axis: a is f32[3, 4], b is f32[3, 5] (4 is not 5)"),
    ROW(softmax_axis, SHAPE, "softmax: axis 2 is not within [-2, 2): a is f32[3, 4]"),
    ROW(sum_axis_twice, ARGUMENT, "reduce: axis 1 is named twice"),
    ROW(argmax_axes, ARGUMENT, "reduce: argmax takes one axis, not 2"),
    ROW(reduce_unknown, ARGUMENT, "reduce: kind \"average\" is none of sum, prod, max, min, and, or, argmax, argmin"),
    ROW(reshape_count, SHAPE, "reshape: element counts differ: a is f32[3, 4], wanted is f32[5, 2] (12 is not 10)"),
    ROW(reshape_infer, SHAPE,
        "reshape: the extent -1 cannot be inferred: 5 does not divide the elements: a is f32[3, 4]"),
    ROW(reshape_infer_twice, SHAPE, "reshape: only one extent can be -1"),
    ROW(transpose_short, ARGUMENT, "transpose: perm has length 2, not 4"),
    ROW(slice_beyond, SHAPE, "slice: [0, 6) is not within axis 1: a is f32[3, 4]"),
    ROW(pad_entries, ARGUMENT, "pad: low has 1 entries, high has 1, one for each axis is wanted: a is f32[3, 4]"),
    ROW(pad_crops_all, SHAPE, "pad: axis 0 would have -1 elements: a is f32[3, 4]"),
    ROW(concat_shapes, SHAPE, "concat: shapes differ beside the axis: a is f32[3, 4], b is f32[3, 5] (4 is not 5)"),
    ROW(squeeze_wide, SHAPE, "squeeze: axis 0 has not the extent 1: a is f32[3, 4]"),
    ROW(broadcast_to_other, SHAPE, "broadcast: does not become f32[4]: a is f32[3, 4]"),
    ROW(layer_norm_scale, SHAPE, "layer_norm: normalised axes differ: a is f32[3, 4], v is f32[5] (4 is not 5)"),
    ROW(rank_nine, LIMIT, "expand_dims: the result would have 9 axes, the most is 8"),
    ROW(too_large, LIMIT, "broadcast: the result f32[1099511627776, 1099511627776] is too large"),
    ROW(gather_float_indices, DTYPE, "take: the indices must be i32 or i64: v is f32[5]"),
    ROW(gather_depth, SHAPE, "gather: the last axis of the indices must hold 2, one for each axis: j is i64[2, 1]"),
    ROW(scatter_updates, SHAPE, "scatter: the updates must be f32[2, 4]: b is f32[3, 5]"),
    ROW(top_k_many, SHAPE, "top_k: there are not 4 along axis 0: a is f32[3, 4]"),
    ROW(input_twice, ARGUMENT, "input: @main has an input x already"),
    ROW(input_unnamed, ARGUMENT, "input: an input has a name"),
    ROW(input_negative, SHAPE, "input: an axis would have -3 elements"),
    ROW(weight_symbolic, SHAPE, "weight: the sizes of a weight are numbers, and not too large: t is f32[n]"),
    ROW(constant_without_data, ARGUMENT, "constant: no data given"),
    ROW(iota_stranger, SHAPE, "iota: shape has the symbol q, which is no dim of a parameter of @main"),
    ROW(bound_stranger, ARGUMENT, "bound: no input of @main has the dim q (inputs come first)"),
    ROW(bound_backwards, ARGUMENT, "bound: 8 <= n <= 1 in steps of 1 are no bounds"),
    ROW(output_twice, ARGUMENT, "output: @main has an output y already"),
    ROW(update_type, SHAPE, "output: a state keeps its type: a is f32[3, 4], negated is f32[3, 5]"),
    ROW(update_no_input, ARGUMENT, "update: a state is an input: negated is f32[3, 4]"),
    ROW(outer_value, ARGUMENT, "add: operand 1 belongs to @main, not to @f: pass it in as an operand"),
    ROW(call_count, ARGUMENT, "call: @f takes 1 argument, not 0"),
    ROW(call_type, SHAPE, "call: parameter 0 of @f is f32[3, 4], but f32[3, 5] is given"),
    ROW(call_no_results, ARGUMENT, "call: @empty has no results"),
    ROW(call_itself, ARGUMENT, "call: @main calls itself"),
    ROW(grows_after_call, ARGUMENT, "neg: @f is called already and cannot grow"),
    ROW(if_condition, DTYPE, "if: the condition must be bool[]: p is bool[3, 4]"),
    ROW(if_results, SHAPE, "if: result 0 of @f is f32[3, 4], but f64[3, 4] comes from the other branch"),
    ROW(while_body, SHAPE, "while: result 0 of @body is f32[6], but f32[5] is carried"),
    ROW(scan_scalar, SHAPE, "scan: a sequence must have an axis 0: s is f32[]"),
    ROW(apply_missing, ARGUMENT, "reduce: attribute kind is missing"),
    ROW(apply_unknown_attribute, ARGUMENT, "tanh: no attribute is called \"speed\""),
    ROW(apply_foreign_attribute, ARGUMENT, "tanh: has no attribute axis (it has none)"),
    ROW(apply_count, ARGUMENT, "add: takes 2 operands, not 1"),
    ROW(apply_strict_shapes, SHAPE, "add: shapes differ: a is f32[3, 4], s is f32[]"),
    ROW(apply_no_op, ARGUMENT, "no op has the number 9999"),
    ROW(apply_no_operands, ARGUMENT, "add: there are no -1 operands"),
    ROW(binary_no_op, ARGUMENT, "invalid: is no elementwise op of 2 operands"),
    ROW(made_up_dim, ARGUMENT, "dim: dim has a size that is not valid"),
    ROW(made_up_dims, ARGUMENT, "reshape: shape has a size that is not valid"),
    ROW(made_up_dtype, DTYPE, "convert: dtype is no dtype"),
    ROW(made_up_value, ARGUMENT, "neg: operand 0 is not a valid value"),
    ROW(no_such_result, ARGUMENT, "tn_result: neg has 1 results, there is no 1"),
#undef ROW
};

static void check_row(const char *name, tn_val (*build)(given *k), tn_status status, const char *message) {
    given k = open_graph();
    if (tn_graph_error(k.g)) fail_msg("%s: %s", name, tn_graph_error(k.g)->message);
    tn_val wrong = build(&k);
    const tn_diag *error = tn_graph_error(k.g);
    if (!error) {
        fail_msg("%s: no error", name);
        return;
    }
    if (strcmp(error->message, message) != 0 || error->status != status)
        fail_msg("%s:\n  says  %s: %s\n  wants %s: %s", name, tn_status_name(error->status), error->message,
                 tn_status_name(status), message);
    /* What stands on a wrong value is wrong too, and adds no error. */
    tn_val on_top = tn_softmax(tn_matmul(tn_relu(wrong), wrong), 7);
    tn_output(k.g, "out", on_top);
    assert_string_equal(tn_graph_error(k.g)->message, message);
    tn_graph_free(k.g);
}

static void test_messages(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(rows[i].name, rows[i].build, rows[i].status, rows[i].message);
    print_message("# %d wrong programs\n", (int)(sizeof rows / sizeof *rows));
}

/* The place is the line of the call, in this file. */
static void test_place(void **state) {
    (void)state;
    given k = open_graph();
    int line = __LINE__ + 1;
    tn_val wrong = tn_matmul(k.x, k.w);
    assert_false(tn_is_valid(wrong));
    const tn_diag *error = tn_graph_error(k.g);
    assert_string_equal(error->file, __FILE__);
    assert_int_equal(error->line, line);
    tn_graph_free(k.g);
}

/* A value without a name is told by its op and place. */
static void test_unnamed(void **state) {
    (void)state;
    given k = open_graph();
    int line = __LINE__ + 1;
    tn_add(tn_relu(k.a), tn_neg(k.b));
    char message[256];
    snprintf(message, sizeof message,
             "add: shapes do not broadcast: the relu of wrong_programs.c:%d is f32[3, 4], the neg of "
             "wrong_programs.c:%d is f32[3, 5] (4 is not 5)",
             line, line);
    assert_string_equal(tn_graph_error(k.g)->message, message);
    tn_graph_free(k.g);
}

/* Calls on nothing at all do nothing. */
static void test_nothing(void **state) {
    (void)state;
    tn_val none = {0};
    assert_false(tn_is_valid(tn_add(none, none)));
    assert_false(tn_is_valid(tn_matmul(none, none)));
    assert_false(tn_is_valid(tn_input(NULL, "x", TN_F32, TN_SCALAR)));
    assert_false(tn_is_valid(tn_concat(NULL, 0, 0)));
    assert_false(tn_is_valid(tn_sort(NULL, 0, 0, false)));
    assert_false(tn_is_valid(tn_if(none, NULL, NULL, NULL, 0)));
    assert_false(tn_is_valid(tn_while(NULL, NULL, NULL, 0)));
    assert_false(tn_is_valid(tn_scan(NULL, NULL, 0, NULL, 0, TN_DIM_INVALID, false)));
    assert_false(tn_is_valid(tn_call(NULL, NULL, NULL, 0)));
    assert_int_equal(tn_rank(none), -1);
    assert_int_equal(tn_type_of(none).dtype, TN_DTYPE_INVALID);
    assert_true(tn_dim_of(none, 0) == TN_DIM_INVALID);
    assert_null(tn_graph_sub(NULL, "f"));
    assert_null(tn_graph_error(NULL));
    tn_output(NULL, "y", none);
    tn_update(NULL, "y", none, none);
    tn_bound(NULL, "n", 0, 1, 1);
    tn_name(none, "x");
    tn_graph_free(NULL);
}

/* Values of another module are refused, and the error is told where the call is. */
static void test_other_module(void **state) {
    (void)state;
    given k = open_graph(), other = open_graph();
    assert_false(tn_is_valid(tn_add(k.a, other.a)));
    assert_string_equal(tn_graph_error(k.g)->message, "add: operand 1 belongs to another module");
    assert_null(tn_graph_error(other.g));
    tn_graph_free(other.g);
    tn_graph_free(k.g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages), cmocka_unit_test(test_place),        cmocka_unit_test(test_unnamed),
        cmocka_unit_test(test_nothing),  cmocka_unit_test(test_other_module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
