/* Checks that the rules of ops share. */
#include "ir/rules.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

bool rule_results(rule_args *c, uint32_t n) {
    c->results = ARENA_ARRAY(&c->graph->module->memory, tn_type, n ? n : 1);
    if (!c->results) return module_no_memory(c->graph->module);
    c->n_results = n;
    return true;
}

bool rule_one_result(rule_args *c, const tn_type *type) {
    if (!rule_results(c, 1)) return false;
    c->results[0] = *type;
    return true;
}

bool rule_error(rule_args *c, tn_status status, const char *format, ...) {
    if (dim_table_status(rule_dims(c)) == TN_ERR_MEMORY) return module_no_memory(c->graph->module);
    char message[TN_DIAG_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return module_error(c->graph->module, status, c->where, "%s: %s", op_name(c->op), message);
}

const char *rule_operand(const rule_args *c, uint32_t i, char *text) {
    value_describe(c->graph, c->operands[i], text, RULE_TEXT);
    return text;
}

const char *rule_dim_text(const rule_args *c, tn_dim d, char *text) {
    if (d == DIM_INVALID)
        snprintf(text, RULE_TEXT, "overflow");
    else
        dim_print(rule_dims(c), d, text, RULE_TEXT);
    return text;
}

/* ---- Operands --------------------------------------------------------------------------------- */

bool rule_dtype(rule_args *c, uint32_t i, dtype_set set) {
    char a[RULE_TEXT];
    if (dtype_in(set, c->types[i].dtype)) return true;
    return rule_error(c, TN_ERR_DTYPE, "takes %s: %s", dtype_set_text(set), rule_operand(c, i, a));
}

bool rule_same_dtype(rule_args *c, uint32_t i, uint32_t j) {
    char a[RULE_TEXT], b[RULE_TEXT];
    if (c->types[i].dtype == c->types[j].dtype) return true;
    return rule_error(c, TN_ERR_DTYPE, "dtypes differ: %s, %s (make them equal with tn_convert)", rule_operand(c, i, a),
                      rule_operand(c, j, b));
}

bool rule_rank(rule_args *c, uint32_t i, int rank) {
    char a[RULE_TEXT];
    if (c->types[i].rank == rank) return true;
    return rule_error(c, TN_ERR_SHAPE, "operand %u must have rank %d: %s", (unsigned)i, rank, rule_operand(c, i, a));
}

bool rule_rank_at_least(rule_args *c, uint32_t i, int rank) {
    char a[RULE_TEXT];
    if (c->types[i].rank >= rank) return true;
    return rule_error(c, TN_ERR_SHAPE, "operand %u must have rank %d or more: %s", (unsigned)i, rank,
                      rule_operand(c, i, a));
}

bool rule_require(rule_args *c, relation r, tn_dim a, tn_dim b) {
    return graph_require(c->graph, r, a, b, c->op, c->where);
}

bool rule_equal_dims(rule_args *c, const char *what, uint32_t i, int axis_i, uint32_t j, int axis_j) {
    tn_dim a = c->types[i].dims[axis_i], b = c->types[j].dims[axis_j];
    if (graph_require_equal(c->graph, a, b, c->op, c->where)) return true;
    char ta[RULE_TEXT], tb[RULE_TEXT], da[RULE_TEXT], db[RULE_TEXT];
    return rule_error(c, TN_ERR_SHAPE, "%s: %s, %s (%s is not %s)", what, rule_operand(c, i, ta),
                      rule_operand(c, j, tb), rule_dim_text(c, a, da), rule_dim_text(c, b, db));
}

tn_dim rule_merge(const rule_args *c, tn_dim a, tn_dim b) { return dim_is_const(rule_dims(c), b, NULL) ? b : a; }

bool rule_same_types(rule_args *c, uint32_t first, uint32_t last, tn_type *type) {
    char a[RULE_TEXT], b[RULE_TEXT];
    *type = c->types[first];
    for (uint32_t i = first + 1; i <= last; i++) {
        if (!rule_same_dtype(c, first, i)) return false;
        if (c->types[i].rank != type->rank)
            return rule_error(c, TN_ERR_SHAPE, "shapes differ: %s, %s", rule_operand(c, first, a),
                              rule_operand(c, i, b));
        for (int axis = 0; axis < type->rank; axis++) {
            if (!rule_equal_dims(c, "shapes differ", first, axis, i, axis)) return false;
            type->dims[axis] = rule_merge(c, type->dims[axis], c->types[i].dims[axis]);
        }
    }
    return true;
}

/* ---- Attributes ------------------------------------------------------------------------------- */

bool rule_check_axis(rule_args *c, const char *what, int64_t axis, int rank) {
    if (axis >= 0 && axis < rank) return true;
    return rule_error(c, TN_ERR_SHAPE, "%s %" PRId64 " is not within [0, %d)", what, axis, rank);
}

bool rule_check_axes(rule_args *c, const char *what, const int64_t *axes, uint32_t n, int rank, uint32_t *mask) {
    *mask = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!rule_check_axis(c, what, axes[i], rank)) return false;
        uint32_t bit = UINT32_C(1) << (axes[i] & 31);
        if (*mask & bit) return rule_error(c, TN_ERR_ARGUMENT, "%s %" PRId64 " is named twice", what, axes[i]);
        *mask |= bit;
    }
    return true;
}

bool rule_axes(rule_args *c, int rank, uint32_t *mask) {
    const attr *axes = attr_find(&c->attrs, ATTR_axes);
    *mask = 0;
    return !axes || rule_check_axes(c, "axis", axes->ints.items, axes->ints.n, rank, mask);
}

bool rule_axis(rule_args *c, int rank, int *axis) {
    int64_t given = attr_int(&c->attrs, ATTR_axis, 0);
    *axis = (int)given;
    return rule_check_axis(c, "axis", given, rank);
}

bool rule_ints(rule_args *c, attr_name name, int n, int64_t least, int64_t otherwise, int64_t *out) {
    const attr *given = attr_find(&c->attrs, name);
    if (given && given->ints.n != (uint32_t)n)
        return rule_error(c, TN_ERR_ARGUMENT, "%s has length %u, not %d", attr_name_text(name), (unsigned)given->ints.n,
                          n);
    for (int i = 0; i < n; i++) {
        out[i] = given ? given->ints.items[i] : otherwise;
        if (out[i] < least)
            return rule_error(c, TN_ERR_ARGUMENT, "%s has %" PRId64 ", the least is %" PRId64, attr_name_text(name),
                              out[i], least);
        if (out[i] > INT32_MAX)
            return rule_error(c, TN_ERR_LIMIT, "%s has %" PRId64 ", which is too large", attr_name_text(name), out[i]);
    }
    return true;
}

bool rule_dim_list(rule_args *c, attr_name name, int n, tn_dim *out) {
    const attr *given = attr_find(&c->attrs, name);
    if (given && given->dims.n != (uint32_t)n)
        return rule_error(c, TN_ERR_ARGUMENT, "%s has length %u, not %d", attr_name_text(name), (unsigned)given->dims.n,
                          n);
    for (int i = 0; i < n; i++) out[i] = given ? given->dims.items[i] : dim_const(rule_dims(c), 0);
    return true;
}

bool rule_extent(rule_args *c, const char *what, tn_dim d) {
    char text[RULE_TEXT];
    if (rule_require(c, RELATION_LE, dim_const(rule_dims(c), 0), d)) return true;
    if (d == DIM_INVALID) return rule_error(c, TN_ERR_LIMIT, "%s does not fit in 63 bits", what);
    return rule_error(c, TN_ERR_SHAPE, "%s would be %s", what, rule_dim_text(c, d, text));
}

bool rule_shape(rule_args *c, attr_name name, tn_dtype dtype, tn_type *type) {
    const attr *given = attr_find(&c->attrs, name);
    uint32_t rank = given ? given->dims.n : 0;
    if (rank > TN_MAX_RANK)
        return rule_error(c, TN_ERR_LIMIT, "%s has %u axes, the most is %d", attr_name_text(name), (unsigned)rank,
                          TN_MAX_RANK);
    *type = type_make(dtype, (int)rank, given ? given->dims.items : NULL);
    for (uint32_t i = 0; i < rank; i++)
        if (!rule_extent(c, "an extent", type->dims[i])) return false;
    return true;
}

bool rule_acc(rule_args *c, tn_dtype dtype) {
    const attr *acc = attr_find(&c->attrs, ATTR_acc);
    if (!acc) return true;
    tn_dtype given = (tn_dtype)acc->i;
    bool same_kind = dtype_is_float(dtype)          ? dtype_is_float(given)
                     : dtype_in(DTYPES_SINT, dtype) ? dtype_in(DTYPES_SINT, given)
                                                    : dtype_in(DTYPES_UINT, given);
    if (same_kind && tn_dtype_bits(given) >= tn_dtype_bits(dtype)) return true;
    return rule_error(c, TN_ERR_DTYPE, "sums of %s cannot be kept in %s", tn_dtype_name(dtype), tn_dtype_name(given));
}

/* ---- Windows ---------------------------------------------------------------------------------- */

bool rule_window_places(rule_args *c, int axis, tn_dim extent, tn_dim low, tn_dim high, tn_dim taps, int64_t dilation,
                        int64_t stride, tn_dim *places) {
    dim_table *t = rule_dims(c);
    char a[RULE_TEXT], b[RULE_TEXT], x[RULE_TEXT];
    tn_dim padded = dim_add(t, dim_add(t, extent, low), high);
    tn_dim reach = dim_add_const(t, dim_mul_const(t, dim_add_const(t, taps, -1), dilation), 1);
    *places = DIM_INVALID;
    if (padded == DIM_INVALID || reach == DIM_INVALID)
        return rule_error(c, TN_ERR_LIMIT, "the size of axis %d does not fit in 63 bits", axis);
    if (!rule_require(c, RELATION_LE, dim_const(t, 1), taps))
        return rule_error(c, TN_ERR_SHAPE, "the window along axis %d is empty", axis);
    /* A window of one element fits anywhere: over no elements it has no places. */
    tn_dim least = dim_is_value(t, reach, 1) ? dim_const(t, 0) : reach;
    if (!rule_require(c, RELATION_LE, least, padded))
        return rule_error(c, TN_ERR_SHAPE,
                          "the window does not fit along axis %d: it reaches over %s elements of %s: %s", axis,
                          rule_dim_text(c, reach, a), rule_dim_text(c, padded, b), rule_operand(c, 0, x));
    tn_dim steps = dim_floordiv(t, dim_sub(t, padded, reach), dim_const(t, stride));
    *places = dim_add_const(t, steps, 1);
    return true;
}
