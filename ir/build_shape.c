/* Building views: reshape, transpose, slice, pad and kin. */
#include "ir/build.h"

#include <inttypes.h>

/* ---- Reshape and what is made of it ----------------------------------------------------------- */

tn_val build_reshape(build *b, tn_val v, int rank, const tn_dim *dims) {
    attr shape = build_dim_list(ATTR_shape, dims, rank);
    return build_apply(b, TN_OP_reshape, &v, 1, &shape, 1);
}

/* The extent that is left for one axis when the others have `others` elements. */
static tn_dim infer_extent(build *b, tn_val x, tn_dim others) {
    dim_table *t = build_dims(b);
    tn_dim n = type_element_count(t, build_type(x));
    if (others == DIM_INVALID || dim_is_value(t, others, 0)) {
        build_error(b, TN_ERR_SHAPE, "the extent -1 cannot be inferred beside an empty axis");
        return DIM_INVALID;
    }
    tn_dim exact = dim_exact_div(t, n, others);
    if (exact != DIM_INVALID) return exact;
    char text[BUILD_TEXT], count[128];
    if (!graph_require(b->g, RELATION_DIVIDES, others, n, TN_OP_reshape, b->where)) {
        dim_print(t, others, count, sizeof count);
        build_error(b, TN_ERR_SHAPE, "the extent -1 cannot be inferred: %s does not divide the elements: %s", count,
                    build_describe(x, text));
        return DIM_INVALID;
    }
    return dim_floordiv(t, n, others);
}

tn_val tn_reshape_at(tn_location at, tn_val x, tn_shape shape) {
    build b;
    tn_dim dims[TN_MAX_RANK];
    if (!build_open_op(&b, at, TN_OP_reshape, &x, 1)) return BUILD_INVALID;
    if (shape.rank < 0 || shape.rank > TN_MAX_RANK)
        return build_error(&b, TN_ERR_LIMIT, "the shape has %d axes, the most is %d", shape.rank, TN_MAX_RANK);
    int inferred = -1;
    tn_dim others = dim_const(build_dims(&b), 1);
    for (int i = 0; i < shape.rank; i++) {
        if (!shape.dims[i].symbol && shape.dims[i].value == -1) {
            if (inferred >= 0) return build_error(&b, TN_ERR_SHAPE, "only one extent can be -1");
            inferred = i;
            continue;
        }
        if (!build_dim(&b, shape.dims[i], &dims[i])) return BUILD_INVALID;
        others = dim_mul(build_dims(&b), others, dims[i]);
    }
    if (inferred >= 0) {
        dims[inferred] = infer_extent(&b, x, others);
        if (dims[inferred] == DIM_INVALID) return BUILD_INVALID;
    }
    return build_reshape(&b, x, shape.rank, dims);
}

static bool check_rank(build *b, int rank) {
    if (rank >= 0 && rank <= TN_MAX_RANK) return true;
    build_error(b, TN_ERR_LIMIT, "the result would have %d axes, the most is %d", rank, TN_MAX_RANK);
    return false;
}

tn_val tn_reshape_dims_at(tn_location at, tn_val x, int rank, const tn_dim *dims) {
    build b;
    if (!build_open_op(&b, at, TN_OP_reshape, &x, 1) || !check_rank(&b, rank)) return BUILD_INVALID;
    return build_reshape(&b, x, rank, dims);
}

tn_val tn_expand_dims_at(tn_location at, tn_val x, tn_ints axes) {
    build b;
    int64_t added[TN_MAX_RANK];
    tn_dim dims[TN_MAX_RANK];
    if (!build_open(&b, at, "expand_dims", NULL, &x, 1)) return BUILD_INVALID;
    int rank = tn_rank(x) + axes.n, from = 0, next = 0;
    if (axes.n < 0 || !check_rank(&b, rank) || !build_axes(&b, x, axes, rank, true, added)) return BUILD_INVALID;
    for (int i = 0; i < rank; i++) {
        bool is_added = next < axes.n && added[next] == i;
        if (is_added && next + 1 < axes.n && added[next + 1] == i)
            return build_error(&b, TN_ERR_ARGUMENT, "axis %d is named twice", i);
        next += is_added;
        dims[i] = is_added ? dim_const(build_dims(&b), 1) : build_type(x)->dims[from++];
    }
    return build_reshape(&b, x, rank, dims);
}

tn_val tn_squeeze_at(tn_location at, tn_val x, tn_ints axes) {
    build b;
    int64_t dropped[TN_MAX_RANK];
    tn_dim dims[TN_MAX_RANK];
    char text[BUILD_TEXT];
    if (!build_open(&b, at, "squeeze", NULL, &x, 1) || !build_axes(&b, x, axes, tn_rank(x), true, dropped))
        return BUILD_INVALID;
    tn_type type = *build_type(x);
    int rank = 0, next = 0;
    for (int i = 0; i < type.rank; i++) {
        if (next == axes.n || dropped[next] != i) {
            dims[rank++] = type.dims[i];
            continue;
        }
        if (next + 1 < axes.n && dropped[next + 1] == i)
            return build_error(&b, TN_ERR_ARGUMENT, "axis %d is named twice", i);
        next++;
        if (!graph_require_equal(b.g, type.dims[i], dim_const(build_dims(&b), 1), TN_OP_reshape, b.where))
            return build_error(&b, TN_ERR_SHAPE, "axis %d has not the extent 1: %s", i, build_describe(x, text));
    }
    return build_reshape(&b, x, rank, dims);
}

/* ---- Axes rearranged and repeated ------------------------------------------------------------- */

tn_val tn_transpose_at(tn_location at, tn_val x, tn_ints perm) {
    build b;
    int64_t axes[TN_MAX_RANK];
    if (!build_open_op(&b, at, TN_OP_transpose, &x, 1)) return BUILD_INVALID;
    int rank = tn_rank(x);
    bool is_identity = true;
    for (int i = 0; i < rank; i++) axes[i] = rank - 1 - i;
    if (perm.n > 0 && !build_axes(&b, x, perm, rank, false, axes)) return BUILD_INVALID;
    int n = perm.n > 0 ? perm.n : rank;
    for (int i = 0; i < n; i++) is_identity &= axes[i] == i;
    if (is_identity && n == rank) return x;
    attr attrs = build_ints(ATTR_perm, axes, n);
    return build_apply(&b, TN_OP_transpose, &x, 1, &attrs, 1);
}

tn_val tn_broadcast_to_at(tn_location at, tn_val x, int rank, const tn_dim *dims) {
    build b;
    char text[BUILD_TEXT], wanted[BUILD_TEXT];
    if (!build_open_op(&b, at, TN_OP_broadcast, &x, 1) || !check_rank(&b, rank)) return BUILD_INVALID;
    tn_type type = *build_type(x), to = type_make((tn_dtype)type.dtype, rank, dims);
    bool fits = type.rank <= rank;
    for (int i = 0; fits && i < type.rank; i++)
        fits = dim_is_value(build_dims(&b), type.dims[i], 1) ||
               graph_require_equal(b.g, type.dims[i], dims[rank - type.rank + i], TN_OP_broadcast, b.where);
    type_print(build_dims(&b), &to, wanted, sizeof wanted);
    if (!fits) return build_error(&b, TN_ERR_SHAPE, "does not become %s: %s", wanted, build_describe(x, text));
    return build_broadcast(&b, x, rank, dims);
}

tn_val tn_reverse_at(tn_location at, tn_val x, tn_ints axes) {
    build b;
    int64_t sorted[TN_MAX_RANK];
    if (!build_open_op(&b, at, TN_OP_reverse, &x, 1) || !build_axes(&b, x, axes, tn_rank(x), true, sorted))
        return BUILD_INVALID;
    attr attrs = build_ints(ATTR_axes, sorted, axes.n);
    return build_apply(&b, TN_OP_reverse, &x, 1, &attrs, 1);
}

/* ---- Parts and borders ------------------------------------------------------------------------ */

static tn_val apply_slice(build *b, tn_val x, const tn_dim *start, const tn_dim *limit, const int64_t *stride) {
    int rank = tn_rank(x);
    bool steps = false;
    for (int i = 0; stride && i < rank; i++) steps |= stride[i] != 1;
    attr attrs[] = {build_dim_list(ATTR_start, start, rank), build_dim_list(ATTR_limit, limit, rank),
                    build_ints(ATTR_stride, stride, rank)};
    return build_apply(b, TN_OP_slice, &x, 1, attrs, steps ? 3 : 2);
}

/* A position along an axis: from the end when negative; INT64_MAX is the end. */
static tn_dim slice_position(build *b, tn_dim extent, int64_t position) {
    if (position == INT64_MAX) return extent;
    return position < 0 ? dim_add_const(build_dims(b), extent, position) : dim_const(build_dims(b), position);
}

tn_val tn_slice_at(tn_location at, tn_val x, int axis, int64_t start, int64_t limit, int64_t stride) {
    build b;
    int64_t sliced, strides[TN_MAX_RANK];
    tn_dim starts[TN_MAX_RANK], limits[TN_MAX_RANK];
    if (!build_open_op(&b, at, TN_OP_slice, &x, 1) || !build_axis(&b, x, axis, tn_rank(x), &sliced))
        return BUILD_INVALID;
    const tn_type *type = build_type(x);
    for (int i = 0; i < type->rank; i++) {
        starts[i] = i == sliced ? slice_position(&b, type->dims[i], start) : dim_const(build_dims(&b), 0);
        limits[i] = i == sliced ? slice_position(&b, type->dims[i], limit) : type->dims[i];
        strides[i] = i == sliced ? stride : 1;
    }
    return apply_slice(&b, x, starts, limits, strides);
}

tn_val tn_slice_dims_at(tn_location at, tn_val x, const tn_dim *start, const tn_dim *limit, const int64_t *stride) {
    build b;
    return build_open_op(&b, at, TN_OP_slice, &x, 1) ? apply_slice(&b, x, start, limit, stride) : BUILD_INVALID;
}

tn_val tn_pad_at(tn_location at, tn_val x, double number, tn_ints low, tn_ints high) {
    build b;
    tn_dim before[TN_MAX_RANK], after[TN_MAX_RANK];
    char text[BUILD_TEXT];
    if (!build_open_op(&b, at, TN_OP_pad, &x, 1)) return BUILD_INVALID;
    if (build_type(x)->dtype == TN_TOKEN) return build_error(&b, TN_ERR_DTYPE, "operand 0 is a token");
    int rank = tn_rank(x);
    if (low.n != rank || high.n != rank || (rank > 0 && (!low.items || !high.items)))
        return build_error(&b, TN_ERR_ARGUMENT, "low has %d entries, high has %d, one for each axis is wanted: %s",
                           low.n, high.n, build_describe(x, text));
    for (int i = 0; i < rank; i++) {
        before[i] = dim_const(build_dims(&b), low.items[i]);
        after[i] = dim_const(build_dims(&b), high.items[i]);
    }
    tn_val values[] = {x, build_scalar(&b, (tn_dtype)build_type(x)->dtype, number)};
    attr attrs[] = {build_dim_list(ATTR_low, before, rank), build_dim_list(ATTR_high, after, rank)};
    return build_apply(&b, TN_OP_pad, values, 2, attrs, 2);
}

tn_val tn_concat_at(tn_location at, const tn_val *values, int n, int axis) {
    build b;
    int64_t joined;
    if (n < 1 || !build_open_op(&b, at, TN_OP_concat, values, n) ||
        !build_axis(&b, values[0], axis, tn_rank(values[0]), &joined))
        return BUILD_INVALID;
    attr attrs = build_int(ATTR_axis, joined);
    return n == 1 ? values[0] : build_apply(&b, TN_OP_concat, values, n, &attrs, 1);
}

/* ---- Counting --------------------------------------------------------------------------------- */

tn_val tn_iota_at(tn_location at, tn_graph *g, tn_dtype dtype, tn_shape shape, int axis) {
    build b;
    tn_type type;
    int64_t counted;
    if (!build_open(&b, at, op_name(TN_OP_iota), g, NULL, 0) || !build_type_of_shape(&b, dtype, shape, &type) ||
        !build_axis(&b, BUILD_INVALID, axis, type.rank, &counted))
        return BUILD_INVALID;
    attr attrs[] = {build_dim_list(ATTR_shape, type.dims, type.rank), build_int(ATTR_axis, counted),
                    build_int(ATTR_dtype, dtype)};
    return build_apply(&b, TN_OP_iota, NULL, 0, attrs, 3);
}

tn_val tn_dim_value_at(tn_location at, tn_graph *g, tn_dim d) {
    build b;
    if (!build_open(&b, at, op_name(TN_OP_dim), g, NULL, 0)) return BUILD_INVALID;
    attr attrs = build_one_dim(ATTR_dim, d);
    return build_apply(&b, TN_OP_dim, NULL, 0, &attrs, 1);
}
