/* Building contractions, convolutions, pooling and indexing. */
#include "ir/build.h"
#include "ir/dtype.h"

/* ---- Contractions ----------------------------------------------------------------------------- */

tn_val tn_matmul_at(tn_location at, tn_val x, tn_val y) {
    build b;
    tn_val values[] = {x, y};
    return build_open_op(&b, at, TN_OP_matmul, values, 2) ? build_apply(&b, TN_OP_matmul, values, 2, NULL, 0)
                                                          : BUILD_INVALID;
}

/* Both lists one after the other, axes counted from either end. */
static bool axis_pair(build *b, attr_name name, const tn_val values[2], tn_ints first, tn_ints second, int64_t *items,
                      attr *out) {
    if (first.n != second.n) {
        build_error(b, TN_ERR_ARGUMENT, "%s names %d of the first operand's axes and %d of the second's",
                    attr_name_text(name), first.n, second.n);
        return false;
    }
    if (!build_axes(b, values[0], first, tn_rank(values[0]), false, items) ||
        !build_axes(b, values[1], second, tn_rank(values[1]), false, items + first.n))
        return false;
    *out = build_ints(name, items, first.n + second.n);
    out->split = (uint32_t)first.n;
    return true;
}

tn_val tn_dot_at(tn_location at, tn_val x, tn_val y, tn_ints batch_x, tn_ints batch_y, tn_ints contract_x,
                 tn_ints contract_y) {
    build b;
    tn_val values[] = {x, y};
    int64_t batch[2 * TN_MAX_RANK], contract[2 * TN_MAX_RANK];
    attr attrs[2];
    if (!build_open_op(&b, at, TN_OP_dot, values, 2) ||
        !axis_pair(&b, ATTR_batch, values, batch_x, batch_y, batch, &attrs[0]) ||
        !axis_pair(&b, ATTR_contract, values, contract_x, contract_y, contract, &attrs[1]))
        return BUILD_INVALID;
    return build_apply(&b, TN_OP_dot, values, 2, attrs, 2);
}

/* ---- Windows ---------------------------------------------------------------------------------- */

/* An attribute that is left out when its list is empty. */
static void add_ints(attr *attrs, uint32_t *n, attr_name name, tn_ints items) {
    if (items.n > 0 && items.items) attrs[(*n)++] = build_ints(name, items.items, items.n);
}

/* Padding from dims (one for each spatial axis) or else from numbers. */
static bool add_padding(build *b, attr *attrs, uint32_t *n, attr_name name, const tn_dim *dims, tn_ints numbers,
                        int spatial) {
    if (!dims && (numbers.n <= 0 || !numbers.items)) return true;
    int count = dims ? spatial : numbers.n;
    if (count <= 0) return true;
    tn_dim *items = ARENA_ARRAY(&b->g->module->memory, tn_dim, count);
    if (!items) return module_no_memory(b->g->module);
    for (int i = 0; i < count; i++) items[i] = dims ? dims[i] : dim_const(build_dims(b), numbers.items[i]);
    attrs[(*n)++] = build_dim_list(name, items, count);
    return true;
}

/* The attributes that convolution and pooling share. */
static bool window_attrs(build *b, tn_val x, const tn_window_args *args, attr *attrs, uint32_t *n) {
    int spatial = tn_rank(x) - 2;
    *n = 0;
    add_ints(attrs, n, ATTR_stride, args->stride);
    add_ints(attrs, n, ATTR_dilation, args->dilation);
    return add_padding(b, attrs, n, ATTR_low, args->low_dims, args->low, spatial) &&
           add_padding(b, attrs, n, ATTR_high, args->high_dims, args->high, spatial);
}

tn_val tn_conv_at(tn_location at, tn_val x, tn_val kernel, tn_window_args args) {
    build b;
    tn_val values[] = {x, kernel};
    attr attrs[OP_MAX_ATTRS];
    uint32_t n;
    if (!build_open_op(&b, at, TN_OP_conv, values, 2) || !window_attrs(&b, x, &args, attrs, &n)) return BUILD_INVALID;
    if (args.window.n > 0) return build_error(&b, TN_ERR_ARGUMENT, "the kernel's shape is the window, give none");
    add_ints(attrs, &n, ATTR_input_dilation, args.input_dilation);
    if (args.groups != 0 && args.groups != 1) attrs[n++] = build_int(ATTR_groups, args.groups);
    return build_apply(&b, TN_OP_conv, values, 2, attrs, n);
}

tn_val tn_pool_at(tn_location at, tn_op op, tn_val x, tn_window_args args) {
    build b;
    attr attrs[OP_MAX_ATTRS];
    uint32_t n;
    if (!build_open_op(&b, at, op, &x, 1) || !window_attrs(&b, x, &args, attrs, &n)) return BUILD_INVALID;
    if (args.input_dilation.n > 0 || args.groups > 1)
        return build_error(&b, TN_ERR_ARGUMENT, "takes no input_dilation and no groups");
    attrs[n++] = build_ints(ATTR_window, args.window.items, args.window.n > 0 && args.window.items ? args.window.n : 0);
    if (args.count_padding) attrs[n++] = build_int(ATTR_count_padding, 1);
    return build_apply(&b, op, &x, 1, attrs, n);
}

/* ---- Indexing --------------------------------------------------------------------------------- */

tn_val tn_gather_at(tn_location at, tn_val data, tn_val indices, tn_ints axes, int batch_dims) {
    build b;
    tn_val values[] = {data, indices};
    int64_t indexed[TN_MAX_RANK];
    if (!build_open_op(&b, at, TN_OP_gather, values, 2) || !build_axes(&b, data, axes, tn_rank(data), false, indexed))
        return BUILD_INVALID;
    attr attrs[] = {build_ints(ATTR_axes, indexed, axes.n), build_int(ATTR_batch_dims, batch_dims)};
    return build_apply(&b, TN_OP_gather, values, 2, attrs, 2);
}

tn_val tn_take_at(tn_location at, tn_val data, tn_val indices, int axis) {
    build b;
    tn_val values[] = {data, indices};
    int64_t indexed, perm[2 * TN_MAX_RANK];
    tn_dim dims[TN_MAX_RANK + 1];
    if (!build_open(&b, at, "take", NULL, values, 2) || !build_axis(&b, data, axis, tn_rank(data), &indexed))
        return BUILD_INVALID;
    tn_type type = *build_type(indices);
    char text[BUILD_TEXT];
    if (!dtype_in(DTYPES_INDEX, type.dtype))
        return build_error(&b, TN_ERR_DTYPE, "the indices must be %s: %s", dtype_set_text(DTYPES_INDEX),
                           build_describe(indices, text));
    if (type.rank == TN_MAX_RANK) return build_error(&b, TN_ERR_LIMIT, "the indices have too many axes");
    for (int i = 0; i < type.rank; i++) dims[i] = type.dims[i];
    dims[type.rank] = dim_const(build_dims(&b), 1);
    values[1] = build_reshape(&b, indices, type.rank + 1, dims);
    attr axes = build_ints(ATTR_axes, &indexed, 1);
    tn_val taken = build_apply(&b, TN_OP_gather, values, 2, &axes, 1);
    if (!tn_is_valid(taken) || indexed == 0 || type.rank == 0) return taken;
    /* gather puts the indices' axes first; NumPy in the place of the axis. */
    int n = 0;
    for (int i = 0; i < indexed; i++) perm[n++] = type.rank + i;
    for (int i = 0; i < type.rank; i++) perm[n++] = i;
    while (n < tn_rank(taken)) {
        perm[n] = n;
        n++;
    }
    attr order = build_ints(ATTR_perm, perm, n);
    return build_apply(&b, TN_OP_transpose, &taken, 1, &order, 1);
}

tn_val tn_scatter_at(tn_location at, const char *combine, tn_val data, tn_val indices, tn_val updates, tn_ints axes,
                     int batch_dims) {
    build b;
    tn_val values[] = {data, indices, updates};
    int64_t indexed[TN_MAX_RANK];
    attr attrs[3];
    if (!build_open_op(&b, at, TN_OP_scatter, values, 3) || !build_option(&b, ATTR_combine, combine, &attrs[0]) ||
        !build_axes(&b, data, axes, tn_rank(data), false, indexed))
        return BUILD_INVALID;
    attrs[1] = build_ints(ATTR_axes, indexed, axes.n);
    attrs[2] = build_int(ATTR_batch_dims, batch_dims);
    return build_apply(&b, TN_OP_scatter, values, 3, attrs, 3);
}
