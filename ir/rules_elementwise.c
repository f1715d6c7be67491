/* Rules of elementwise ops: operands of one shape, results of the same.
 *
 * Dtypes agree too, but for the condition of `select`; which dtypes an op takes is the
 * difference between most of these rules.
 */
#include "ir/columns.h"
#include "ir/rules.h"

/* ---- One operand ------------------------------------------------------------------------------ */

static bool unary(rule_args *c, dtype_set set) { return rule_dtype(c, 0, set) && rule_one_result(c, &c->types[0]); }

static bool unary_to(rule_args *c, tn_dtype dtype) {
    tn_type type = c->types[0];
    type.dtype = (uint8_t)dtype;
    return rule_one_result(c, &type);
}

bool rule_unary_any(rule_args *c) { return unary(c, DTYPES_ANY); }
bool rule_unary_number(rule_args *c) { return unary(c, DTYPES_NUMBER); }
bool rule_unary_float(rule_args *c) { return unary(c, DTYPES_FLOAT); }
bool rule_unary_int(rule_args *c) { return unary(c, DTYPES_INT); }
bool rule_unary_bits(rule_args *c) { return unary(c, DTYPES_BITS); }
bool rule_unary_test(rule_args *c) { return rule_dtype(c, 0, DTYPES_FLOAT) && unary_to(c, TN_BOOL); }

bool rule_convert(rule_args *c) {
    return rule_dtype(c, 0, DTYPES_ANY) && unary_to(c, (tn_dtype)attr_int(&c->attrs, ATTR_dtype, 0));
}

bool rule_bitcast(rule_args *c) {
    tn_dtype from = (tn_dtype)c->types[0].dtype, to = (tn_dtype)attr_int(&c->attrs, ATTR_dtype, 0);
    char a[RULE_TEXT];
    if (!rule_dtype(c, 0, DTYPES_NUMBER)) return false;
    if (to == TN_BOOL) return rule_error(c, TN_ERR_DTYPE, "gives a number, not bool");
    if (tn_dtype_bits(from) != tn_dtype_bits(to))
        return rule_error(c, TN_ERR_DTYPE, "sizes differ: %s, but %s has %u bits", rule_operand(c, 0, a),
                          tn_dtype_name(to), tn_dtype_bits(to));
    return unary_to(c, to);
}

/* ---- Two operands ----------------------------------------------------------------------------- */

static bool binary(rule_args *c, dtype_set set) {
    tn_type type;
    return rule_dtype(c, 0, set) && rule_same_types(c, 0, 1, &type) && rule_one_result(c, &type);
}

bool rule_binary_number(rule_args *c) { return binary(c, DTYPES_NUMBER); }
bool rule_binary_float(rule_args *c) { return binary(c, DTYPES_FLOAT); }
bool rule_binary_int(rule_args *c) { return binary(c, DTYPES_INT); }
bool rule_binary_bits(rule_args *c) { return binary(c, DTYPES_BITS); }
bool rule_binary_any(rule_args *c) { return binary(c, DTYPES_ANY); }

bool rule_compare(rule_args *c) {
    tn_type type;
    if (!rule_dtype(c, 0, DTYPES_ANY) || !rule_same_types(c, 0, 1, &type)) return false;
    type.dtype = TN_BOOL;
    return rule_one_result(c, &type);
}

/* ---- Three operands --------------------------------------------------------------------------- */

bool rule_select(rule_args *c) {
    char a[RULE_TEXT], b[RULE_TEXT];
    tn_type type;
    if (c->types[0].dtype != TN_BOOL)
        return rule_error(c, TN_ERR_DTYPE, "the condition must be bool: %s", rule_operand(c, 0, a));
    if (!rule_same_types(c, 1, 2, &type)) return false;
    if (c->types[0].rank != type.rank)
        return rule_error(c, TN_ERR_SHAPE, "shapes differ: %s, %s", rule_operand(c, 0, a), rule_operand(c, 1, b));
    for (int axis = 0; axis < type.rank; axis++) {
        if (!rule_equal_dims(c, "shapes differ", 0, axis, 1, axis)) return false;
        type.dims[axis] = rule_merge(c, type.dims[axis], c->types[0].dims[axis]);
    }
    return rule_one_result(c, &type);
}

static bool ternary(rule_args *c, dtype_set set) {
    tn_type type;
    return rule_dtype(c, 0, set) && rule_same_types(c, 0, 2, &type) && rule_one_result(c, &type);
}

bool rule_clamp(rule_args *c) { return ternary(c, DTYPES_NUMBER); }
bool rule_fma(rule_args *c) { return ternary(c, DTYPES_FLOAT); }
