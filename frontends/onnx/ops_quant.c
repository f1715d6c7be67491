/* Quantisation: to and from small integers, and products of them. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

tn_val quantize(conversion *c, tn_val x, tn_val zero_point) {
    if (!tn_is_valid(x) || !tn_is_valid(zero_point)) return (tn_val){NULL, VALUE_NONE};
    tn_dtype dtype = dtype_of(zero_point);
    if (!dtype_in(DTYPES_INT, dtype) || tn_dtype_bits(dtype) > 16) {
        node_error(c, TN_ERR_UNSUPPORTED, "quantises to %s, which is not supported", tn_dtype_name(dtype));
        return zero_point;
    }
    double steps = (double)(1 << tn_dtype_bits(dtype)), low = dtype_in(DTYPES_SINT, dtype) ? -steps / 2 : 0;
    tn_val moved = tn_add(tn_round(x), tn_convert(zero_point, dtype_of(x)));
    return tn_convert(tn_clamp(scalar_like(moved, low), moved, scalar_like(moved, low + steps - 1)), dtype);
}

/* Scale or zero point: one number, or one for each element along the axis. */
static tn_val per_axis(conversion *c, tn_val v, int64_t axis, tn_val x) {
    if (!tn_is_valid(v) || !tn_is_valid(x)) return v;
    if (tn_rank(v) == 0 || dim_is_value(node_dims(c), tn_type_of(v).dims[0], 1)) return tn_reshape_dims(v, 0, NULL);
    if (tn_rank(v) == 1) {
        if (axis < 0) axis += tn_rank(x);
        if (axis < 0 || axis >= tn_rank(x)) {
            node_error(c, TN_ERR_SHAPE, "axis %lld is not within the data", (long long)axis);
            return v;
        }
        return along_axis(c, v, (int)axis, tn_rank(x));
    }
    node_error(c, TN_ERR_UNSUPPORTED, "scales in blocks are not supported");
    return v;
}

void convert_quantize_linear(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axis = read_int(c, "axis", 1);
    tn_val scale = per_axis(c, input(c, 1), axis, x),
           zero = has_input(c, 2) ? per_axis(c, input(c, 2), axis, x) : tn_scalar_int(c->g, TN_U8, 0);
    output(c, 0, quantize(c, tn_div(tn_convert(x, dtype_of(scale)), scale), zero));
}

void convert_dequantize_linear(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axis = read_int(c, "axis", 1);
    tn_val scale = per_axis(c, input(c, 1), axis, x), v = tn_convert(x, TN_I32);
    if (has_failed(c)) return;
    if (has_input(c, 2)) v = tn_sub(v, tn_convert(per_axis(c, input(c, 2), axis, x), TN_I32));
    output(c, 0, tn_mul(tn_convert(v, dtype_of(scale)), scale));
}

/* Scale and zero point from the data's own range, which is made to hold 0. */
void convert_dynamic_quantize_linear(conversion *c) {
    tn_val x = input(c, 0);
    tn_val high = tn_max_scalar(tn_reduce("max", x, TN_NO_INTS, false), 0);
    tn_val low = tn_min_scalar(tn_reduce("min", x, TN_NO_INTS, false), 0);
    tn_val scale = tn_div_scalar(tn_sub(high, low), 255);
    tn_val zero = tn_round(tn_div(tn_neg(low), scale));
    zero = tn_convert(tn_clamp(scalar_like(zero, 0), zero, scalar_like(zero, 255)), TN_U8);
    output(c, 0, quantize(c, tn_div(x, scale), zero));
    output(c, 1, scale);
    output(c, 2, zero);
}

/* ---- Products --------------------------------------------------------------------------------- */

/* Operand i in 32 bits without its zero point, which may be one for each row (of the first operand) or
 * column (of the second). */
static tn_val centered(conversion *c, int i, int zero_point, bool is_first) {
    tn_val v = tn_convert(input(c, i), TN_I32), zero = input(c, zero_point);
    if (!tn_is_valid(v) || !tn_is_valid(zero)) return v;
    bool is_vector = tn_rank(zero) == 1 && !dim_is_value(node_dims(c), tn_type_of(zero).dims[0], 1);
    if (is_vector && is_first) zero = tn_expand_dims(zero, TN_INTS(1));
    if (!is_vector && tn_rank(zero) == 1) zero = tn_reshape_dims(zero, 0, NULL);
    return tn_sub(v, tn_convert(zero, TN_I32));
}

void convert_matmul_integer(conversion *c) {
    output(c, 0, tn_matmul(centered(c, 0, 2, true), centered(c, 1, 3, false)));
}

static tn_val scalar_of(tn_val v) { return tn_rank(v) == 1 ? tn_reshape_dims(v, 0, NULL) : v; }

void convert_qlinear_matmul(conversion *c) {
    tn_val v = tn_matmul(centered(c, 0, 2, true), centered(c, 3, 5, false));
    tn_val a_scale = input(c, 1), b_scale = input(c, 4), y_scale = input(c, 6);
    if (has_failed(c)) return;
    for (int i = 0; i < 2; i++) {
        tn_val s = i ? b_scale : a_scale;
        if (tn_rank(s) > 1 || (tn_rank(s) == 1 && !dim_is_value(node_dims(c), tn_type_of(s).dims[0], 1))) {
            node_error(c, TN_ERR_UNSUPPORTED, "scales for each row or column are not supported");
            return;
        }
    }
    tn_val factor = tn_div(tn_mul(scalar_of(a_scale), scalar_of(b_scale)), scalar_of(y_scale));
    output(c, 0, quantize(c, tn_mul(tn_convert(v, dtype_of(factor)), factor), scalar_of(input(c, 7))));
}
