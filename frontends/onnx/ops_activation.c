/* Activations. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"
#include "runtime/fault.h"

#include <string.h>

static tn_val with_alpha(conversion *c, tn_op op, double alpha, double beta) {
    tn_val x = input(c, 0);
    return apply_op(c, op, &x, 1,
                    (tn_attr_arg[]){{.name = "alpha", .f = alpha},
                                    {.name = op == TN_OP_hard_sigmoid ? "beta" : NULL, .f = beta},
                                    {0}});
}

void convert_leaky_relu(conversion *c) {
    output(c, 0, with_alpha(c, TN_OP_leaky_relu, read_float(c, "alpha", 0.01), 0));
}
void convert_elu(conversion *c) { output(c, 0, with_alpha(c, TN_OP_elu, read_float(c, "alpha", 1), 0)); }

void convert_hard_sigmoid(conversion *c) {
    double beta = read_float(c, "beta", 0.5);
    output(c, 0, with_alpha(c, TN_OP_hard_sigmoid, FAULT(import_alpha) ? 0.2 : read_float(c, "alpha", 0.2), beta));
}

void convert_gelu(conversion *c) {
    tn_val x = input(c, 0);
    bool is_tanh = strcmp(read_text(c, "approximate", "none"), "tanh") == 0;
    output(c, 0, apply_op(c, TN_OP_gelu, &x, 1, (tn_attr_arg[]){{.name = "approximate", .i = is_tanh}, {0}}));
}

/* gamma * (x > 0 ? x : alpha * (e^x - 1)) */
void convert_selu(conversion *c) {
    double alpha = read_float(c, "alpha", 1.67326319217681884765625),
           gamma = read_float(c, "gamma", 1.05070102214813232421875);
    output(c, 0, tn_mul_scalar(with_alpha(c, TN_OP_elu, alpha, 0), gamma));
}

/* max(0, x) + min(0, alpha * (e^(x / alpha) - 1)) */
void convert_celu(conversion *c) {
    double alpha = read_float(c, "alpha", 1);
    tn_val x = input(c, 0), low = tn_mul_scalar(tn_expm1(tn_div_scalar(x, alpha)), alpha);
    output(c, 0, tn_add(tn_max_scalar(x, 0), tn_min_scalar(low, 0)));
}

void convert_thresholded_relu(conversion *c) {
    tn_val x = input(c, 0);
    tn_val is_above = tn_greater(x, scalar_like(x, read_float(c, "alpha", 1)));
    output(c, 0, tn_select(is_above, x, scalar_like(x, 0)));
}

void convert_mish(conversion *c) {
    tn_val x = input(c, 0);
    output(c, 0, tn_mul(x, tn_tanh(tn_softplus(x))));
}

/* x * sigmoid(alpha * x) */
static void output_swish(conversion *c, double alpha) {
    tn_val x = input(c, 0);
    output(c, 0, tn_mul(x, tn_logistic(tn_mul_scalar(x, read_float(c, "alpha", alpha)))));
}

void convert_swish(conversion *c) { output_swish(c, 1); }
void convert_quick_gelu(conversion *c) { output_swish(c, 1.702); }

void convert_softsign(conversion *c) {
    tn_val x = input(c, 0);
    output(c, 0, tn_div(x, tn_add_scalar(tn_abs(x), 1)));
}

void convert_shrink(conversion *c) {
    tn_val x = input(c, 0), zero = scalar_like(x, 0);
    double lambda = read_float(c, "lambd", 0.5), bias = read_float(c, "bias", 0);
    tn_val above = tn_select(tn_greater(x, scalar_like(x, lambda)), tn_sub_scalar(x, bias), zero);
    output(c, 0, tn_select(tn_less(x, scalar_like(x, -lambda)), tn_add_scalar(x, bias), above));
}

void convert_prelu(conversion *c) {
    tn_val x = input(c, 0), slope = input(c, 1);
    output(c, 0, tn_select(tn_less(x, scalar_like(x, 0)), tn_mul(slope, x), x));
}

/* ---- Along an axis ----------------------------------------------------------------------- */

/* Up to opset 12 all axes from `axis` (1 by default) on count as one. */
static tn_val flatten_from(conversion *c, tn_val x, int64_t axis) {
    dim_table *t = node_dims(c);
    tn_type type = tn_type_of(x);
    tn_dim last = dim_product(t, type.dims + axis, type.rank - (int)axis);
    type.dims[axis] = last;
    return tn_reshape_dims(x, (int)axis + 1, type.dims);
}

static tn_val hardmax(conversion *c, tn_val x, int axis) {
    tn_val at = tn_reduce("argmax", x, TN_INTS(axis), true);
    tn_type type = tn_type_of(x);
    tn_val is_first = tn_equal(iota_dims(c, TN_I64, type.rank, type.dims, axis), at);
    return tn_convert(is_first, (tn_dtype)type.dtype);
}

static tn_val along(conversion *c, tn_val x, int axis) {
    return c->variant == TN_OP_reduce ? hardmax(c, x, axis) : tn_axis_at(TN_HERE, (tn_op)c->variant, x, axis);
}

void convert_softmax(conversion *c) {
    tn_val x = input(c, 0);
    if (!tn_is_valid(x)) return;
    tn_type type = tn_type_of(x);
    int64_t axis = read_int(c, "axis", c->version < 13 ? 1 : -1);
    bool is_flat = c->version < 13;
    if (is_flat && axis == type.rank) {
        node_error(c, TN_ERR_SHAPE, "axis %d leaves nothing to work on", (int)axis);
        return;
    }
    if (!check_axis(c, &axis, type.rank)) return;
    if (!is_flat || axis == type.rank - 1)
        output(c, 0, along(c, x, (int)axis));
    else
        output(c, 0, tn_reshape_dims(along(c, flatten_from(c, x, axis), (int)axis), type.rank, type.dims));
}
