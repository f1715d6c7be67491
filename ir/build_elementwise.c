/* Building elementwise ops: NumPy's broadcasting, made explicit.
 *
 * Shapes are matched from the right. Where one operand's extent is the number 1 it repeats;
 * otherwise extents must be equal, and what is not known of symbols becomes a constraint (a
 * symbol that happens to be 1 at run time does not repeat).
 */
#include "ir/build.h"

#include <string.h>

/* ---- Broadcasting ----------------------------------------------------------------------------- */

static tn_val shape_error(build *b, tn_val x, tn_val y, tn_dim dx, tn_dim dy) {
    char tx[BUILD_TEXT], ty[BUILD_TEXT], nx[128], ny[128];
    dim_print(build_dims(b), dx, nx, sizeof nx);
    dim_print(build_dims(b), dy, ny, sizeof ny);
    return build_error(b, TN_ERR_SHAPE, "shapes do not broadcast: %s, %s (%s is not %s)", build_describe(x, tx),
                       build_describe(y, ty), nx, ny);
}

/* The shape all values broadcast to. */
static bool common_shape(build *b, tn_op op, const tn_val *values, int n, int *rank, tn_dim *dims) {
    tn_val from[TN_MAX_RANK]; /* whose extent stands in dims, for messages */
    *rank = 0;
    for (int i = 0; i < n; i++)
        if (*rank < build_type(values[i])->rank) *rank = build_type(values[i])->rank;
    for (int k = 0; k < *rank; k++) dims[k] = DIM_INVALID;
    for (int i = 0; i < n; i++) {
        tn_type type = *build_type(values[i]);
        for (int axis = 0; axis < type.rank; axis++) {
            int k = *rank - type.rank + axis;
            tn_dim d = type.dims[axis];
            if (dims[k] != DIM_INVALID && (dims[k] == d || dim_is_value(build_dims(b), d, 1))) continue;
            if (dims[k] != DIM_INVALID && !dim_is_value(build_dims(b), dims[k], 1)) {
                if (!graph_require_equal(b->g, dims[k], d, op, b->where)) {
                    shape_error(b, from[k], values[i], dims[k], d);
                    return false;
                }
                if (!dim_is_const(build_dims(b), d, NULL)) continue;
            }
            dims[k] = d;
            from[k] = values[i];
        }
    }
    return true;
}

tn_val build_broadcast(build *b, tn_val v, int rank, const tn_dim *dims) {
    tn_type type = *build_type(v);
    int offset = rank - type.rank;
    bool is_same = offset == 0;
    int64_t axes[TN_MAX_RANK];
    for (int i = 0; i < type.rank; i++) {
        axes[i] = offset + i;
        /* 1 repeats; other extents are equal, or required to be. */
        is_same &= type.dims[i] == dims[offset + i] || !dim_is_value(build_dims(b), type.dims[i], 1);
    }
    if (is_same) return v;
    attr attrs[] = {build_dim_list(ATTR_shape, dims, rank), build_ints(ATTR_dims, axes, type.rank)};
    return build_apply(b, TN_OP_broadcast, &v, 1, attrs, 2);
}

static bool broadcast_all(build *b, tn_op op, tn_val *values, int n) {
    int rank;
    tn_dim dims[TN_MAX_RANK] = {0};
    if (!common_shape(b, op, values, n, &rank, dims)) return false;
    for (int i = 0; i < n; i++) {
        values[i] = build_broadcast(b, values[i], rank, dims);
        if (!tn_is_valid(values[i])) return false;
    }
    return true;
}

/* Applies an elementwise op; values before `typed` (a condition) keep their dtype. */
static tn_val elementwise(build *b, tn_op op, tn_val *values, int typed, int n, const attr *attrs, uint32_t n_attrs) {
    const op_info *info = (unsigned)op < TN_OP_COUNT ? &op_table[op] : NULL;
    if (!info || info->loop_class != CLASS_MAP || info->min_operands != n)
        return build_error(b, TN_ERR_ARGUMENT, "is no elementwise op of %d operands", n);
    if (!build_adopt_dtypes(b, values, typed, n)) return BUILD_INVALID;
    for (int i = typed + 1; i < n; i++) {
        char x[BUILD_TEXT], y[BUILD_TEXT];
        if (build_type(values[i])->dtype != build_type(values[typed])->dtype)
            return build_error(b, TN_ERR_DTYPE, "dtypes differ: %s, %s (make them equal with tn_convert)",
                               build_describe(values[typed], x), build_describe(values[i], y));
    }
    return broadcast_all(b, op, values, n) ? build_apply(b, op, values, n, attrs, n_attrs) : BUILD_INVALID;
}

/* ---- Public ----------------------------------------------------------------------------------- */

tn_val tn_unary_at(tn_location at, tn_op op, tn_val x) {
    build b;
    return build_open_op(&b, at, op, &x, 1) ? build_apply(&b, op, &x, 1, NULL, 0) : BUILD_INVALID;
}

tn_val tn_binary_at(tn_location at, tn_op op, tn_val x, tn_val y) {
    build b;
    tn_val values[] = {x, y};
    if (!build_open_op(&b, at, op, values, 2)) return BUILD_INVALID;
    return elementwise(&b, op, values, 0, 2, NULL, 0);
}

tn_val tn_binary_scalar_at(tn_location at, tn_op op, tn_val x, double y) {
    build b;
    if (!build_open_op(&b, at, op, &x, 1)) return BUILD_INVALID;
    tn_dtype dtype = (tn_dtype)build_type(x)->dtype;
    if (dtype == TN_TOKEN) return build_error(&b, TN_ERR_DTYPE, "operand 0 is a token");
    tn_val values[] = {x, build_scalar(&b, dtype, y)};
    return tn_is_valid(values[1]) ? elementwise(&b, op, values, 0, 2, NULL, 0) : BUILD_INVALID;
}

tn_val tn_ternary_at(tn_location at, tn_op op, tn_val x, tn_val y, tn_val z) {
    build b;
    tn_val values[] = {x, y, z};
    if (!build_open_op(&b, at, op, values, 3)) return BUILD_INVALID;
    return elementwise(&b, op, values, op == TN_OP_select ? 1 : 0, 3, NULL, 0);
}

tn_val tn_compare_at(tn_location at, const char *relation_name, tn_val x, tn_val y) {
    build b;
    tn_val values[] = {x, y};
    attr how;
    if (!build_open_op(&b, at, TN_OP_compare, values, 2) || !build_option(&b, ATTR_compare, relation_name, &how))
        return BUILD_INVALID;
    return elementwise(&b, TN_OP_compare, values, 0, 2, &how, 1);
}

static tn_val to_dtype(tn_location at, tn_op op, tn_val x, tn_dtype dtype) {
    build b;
    if (!build_open_op(&b, at, op, &x, 1)) return BUILD_INVALID;
    if (op == TN_OP_convert && build_type(x)->dtype == dtype) return x;
    attr to = build_int(ATTR_dtype, dtype);
    return build_apply(&b, op, &x, 1, &to, 1);
}

tn_val tn_convert_at(tn_location at, tn_val x, tn_dtype dtype) { return to_dtype(at, TN_OP_convert, x, dtype); }
tn_val tn_bitcast_at(tn_location at, tn_val x, tn_dtype dtype) { return to_dtype(at, TN_OP_bitcast, x, dtype); }
