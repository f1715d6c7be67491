/* Elementwise ops: arithmetic, comparison, logic, bits. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"
#include "frontends/onnx/tensorproto.h"
#include "ir/eval.h"

#include <string.h>

/* ---- Rows that are one op of Tenon's ------------------------------------------------------- */

void convert_unary(conversion *c) { output(c, 0, tn_unary_at(TN_HERE, (tn_op)c->variant, input(c, 0))); }
void convert_binary(conversion *c) { output(c, 0, tn_binary_at(TN_HERE, (tn_op)c->variant, input(c, 0), input(c, 1))); }

void convert_compare(conversion *c) {
    const char *relation = attr_option(ATTR_compare, c->variant);
    output(c, 0, tn_compare_at(TN_HERE, relation, input(c, 0), input(c, 1)));
}

/* Sums, maxima, ... of any number of tensors. */
void convert_variadic(conversion *c) {
    tn_val v = input(c, 0);
    for (int i = 1; i < input_count(c); i++) v = tn_binary_at(TN_HERE, (tn_op)c->variant, v, input(c, i));
    output(c, 0, v);
}

void convert_mean(conversion *c) {
    tn_val v = input(c, 0);
    for (int i = 1; i < input_count(c); i++) v = tn_add(v, input(c, i));
    output(c, 0, input_count(c) > 1 ? tn_div_scalar(v, input_count(c)) : v);
}

void convert_where(conversion *c) { output(c, 0, tn_select(input(c, 0), input(c, 1), input(c, 2))); }

void convert_identity(conversion *c) { output(c, 0, input(c, 0)); }

void convert_reciprocal(conversion *c) {
    tn_val x = input(c, 0);
    output(c, 0, tn_div(scalar_like(x, 1), x));
}

/* ---- Arithmetic with more to it ------------------------------------------------------------ */

/* The result takes the dtype of the base; integers to a fraction's power go through f64. */
void convert_pow(conversion *c) {
    tn_val x = input(c, 0), y = input(c, 1);
    tn_dtype base = dtype_of(x);
    if (!dtype_is_float(base) && dtype_is_float(dtype_of(y)))
        output(c, 0, tn_convert(tn_pow(tn_convert(x, TN_F64), tn_convert(y, TN_F64)), base));
    else
        output(c, 0, tn_pow(x, tn_convert(y, base)));
}

/* Without fmod the result has the divisor's sign, as in Python. */
void convert_mod(conversion *c) {
    tn_val x = input(c, 0), y = input(c, 1), r = tn_rem(x, y);
    bool is_signed = !dtype_in(DTYPES_UINT, dtype_of(x));
    if (is_signed && read_int(c, "fmod", 0) == 0) {
        tn_val zero = scalar_like(r, 0);
        tn_val differs = tn_xor(tn_less(r, zero), tn_less(y, zero));
        r = tn_select(tn_and(tn_not_equal(r, zero), differs), tn_add(r, y), r);
    }
    output(c, 0, r);
}

void convert_bit_shift(conversion *c) {
    const char *direction = read_text(c, "direction", "");
    if (strcmp(direction, "LEFT") != 0 && strcmp(direction, "RIGHT") != 0) {
        node_error(c, TN_ERR_PARSE, "direction is '%.40s', not LEFT or RIGHT", direction);
        return;
    }
    tn_op op = *direction == 'L' ? TN_OP_shl : TN_OP_shr;
    output(c, 0, tn_binary_at(TN_HERE, op, input(c, 0), input(c, 1)));
}

void convert_is_inf(conversion *c) {
    tn_val x = input(c, 0), zero = scalar_like(x, 0), found = tn_is_inf(x);
    bool negative = read_int(c, "detect_negative", 1) != 0, positive = read_int(c, "detect_positive", 1) != 0;
    if (!negative) found = tn_and(found, tn_greater(x, zero));
    if (!positive) found = tn_and(found, tn_less(x, zero));
    output(c, 0, found);
}

/* Bounds are attributes up to opset 10, then inputs that may be left out. */
void convert_clip(conversion *c) {
    tn_val x = input(c, 0), low = {NULL, VALUE_NONE}, high = low;
    if (c->version < 11) {
        if (has_attribute(c, "min")) low = scalar_like(x, read_float(c, "min", 0));
        if (has_attribute(c, "max")) high = scalar_like(x, read_float(c, "max", 0));
    } else {
        low = input(c, 1);
        high = input(c, 2);
        if (tn_rank(low) > 0) low = tn_reshape_dims(low, 0, NULL);
        if (tn_rank(high) > 0) high = tn_reshape_dims(high, 0, NULL);
    }
    if (tn_is_valid(low) && tn_is_valid(high))
        x = tn_clamp(low, x, high);
    else if (tn_is_valid(low))
        x = tn_max(x, low);
    else if (tn_is_valid(high))
        x = tn_min(x, high);
    output(c, 0, x);
}

void convert_cast(conversion *c) {
    int64_t to = read_int(c, "to", 0);
    tn_dtype dtype = onnx_data_type_dtype((int32_t)to);
    if (to != (int32_t)to || dtype == TN_DTYPE_INVALID)
        node_error(c, TN_ERR_UNSUPPORTED, "casts to %s, which is not supported", onnx_data_type_name((int32_t)to));
    else
        output(c, 0, tn_convert(input(c, 0), dtype));
}

void convert_cast_like(conversion *c) {
    tn_val like = input(c, 1);
    if (tn_is_valid(like)) output(c, 0, tn_convert(input(c, 0), dtype_of(like)));
}
