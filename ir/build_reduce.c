/* Building reductions, running reductions, sorting, and composites along axes. */
#include "ir/build.h"

/* ---- Reductions ------------------------------------------------------------------------------- */

/* Axes to reduce, ascending: all of them when no list is given. */
static bool reduced_axes(build *b, tn_val x, tn_ints axes, int64_t *out, int *n) {
    *n = axes.n;
    if (axes.n == 0 && !axes.items)
        for (*n = 0; *n < tn_rank(x); (*n)++) out[*n] = *n;
    return build_axes(b, x, axes, tn_rank(x), true, out);
}

/* Puts the axes that vanished back with extent 1. */
static tn_val with_axes_kept(build *b, tn_val reduced, const tn_type *before, const int64_t *axes, int n) {
    tn_dim dims[TN_MAX_RANK];
    if (!tn_is_valid(reduced) || n == 0) return reduced;
    for (int i = 0; i < before->rank; i++) dims[i] = before->dims[i];
    for (int i = 0; i < n; i++) dims[axes[i]] = dim_const(build_dims(b), 1);
    return build_reshape(b, reduced, before->rank, dims);
}

static tn_val reduce(build *b, tn_op op, tn_val x, tn_ints axes, bool keep_dims, attr *attrs, uint32_t n_attrs) {
    int64_t reduced[TN_MAX_RANK];
    int n;
    if (!reduced_axes(b, x, axes, reduced, &n)) return BUILD_INVALID;
    tn_type before = *build_type(x);
    attrs[n_attrs++] = build_ints(ATTR_axes, reduced, n);
    tn_val v = build_apply(b, op, &x, 1, attrs, n_attrs);
    return keep_dims ? with_axes_kept(b, v, &before, reduced, n) : v;
}

tn_val tn_reduce_at(tn_location at, const char *kind, tn_val x, tn_ints axes, bool keep_dims) {
    build b;
    attr attrs[2];
    if (!build_open_op(&b, at, TN_OP_reduce, &x, 1) || !build_option(&b, ATTR_kind, kind, &attrs[0]))
        return BUILD_INVALID;
    return reduce(&b, TN_OP_reduce, x, axes, keep_dims, attrs, 1);
}

tn_val tn_axes_at(tn_location at, tn_op op, tn_val x, tn_ints axes, bool keep_dims) {
    build b;
    attr attrs[1];
    if (!build_open_op(&b, at, op, &x, 1)) return BUILD_INVALID;
    return reduce(&b, op, x, axes, keep_dims, attrs, 0);
}

/* ---- Along one axis --------------------------------------------------------------------------- */

tn_val tn_axis_at(tn_location at, tn_op op, tn_val x, int axis) {
    build b;
    int64_t along;
    if (!build_open_op(&b, at, op, &x, 1) || !build_axis(&b, x, axis, tn_rank(x), &along)) return BUILD_INVALID;
    attr attrs = build_int(ATTR_axis, along);
    return build_apply(&b, op, &x, 1, &attrs, 1);
}

tn_val tn_cumulate_at(tn_location at, const char *kind, tn_val x, int axis, bool exclusive, bool reverse) {
    build b;
    attr attrs[4];
    int64_t along;
    if (!build_open_op(&b, at, TN_OP_cumulate, &x, 1) || !build_option(&b, ATTR_kind, kind, &attrs[0]) ||
        !build_axis(&b, x, axis, tn_rank(x), &along))
        return BUILD_INVALID;
    attrs[1] = build_int(ATTR_axis, along);
    attrs[2] = build_int(ATTR_exclusive, exclusive);
    attrs[3] = build_int(ATTR_reverse, reverse);
    return build_apply(&b, TN_OP_cumulate, &x, 1, attrs, 4);
}

tn_val tn_sort_at(tn_location at, const tn_val *values, int n, int axis, bool descending) {
    build b;
    int64_t along;
    if (n < 1 || !build_open_op(&b, at, TN_OP_sort, values, n) ||
        !build_axis(&b, values[0], axis, tn_rank(values[0]), &along))
        return BUILD_INVALID;
    attr attrs[] = {build_int(ATTR_axis, along), build_int(ATTR_descending, descending)};
    return build_apply(&b, TN_OP_sort, values, n, attrs, 2);
}

tn_val tn_top_k_at(tn_location at, tn_val x, int axis, tn_dim k, bool descending) {
    build b;
    int64_t along;
    if (!build_open_op(&b, at, TN_OP_top_k, &x, 1) || !build_axis(&b, x, axis, tn_rank(x), &along))
        return BUILD_INVALID;
    attr attrs[] = {build_int(ATTR_axis, along), build_one_dim(ATTR_k, k), build_int(ATTR_descending, descending)};
    return build_apply(&b, TN_OP_top_k, &x, 1, attrs, 3);
}
