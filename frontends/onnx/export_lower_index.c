/* Lowering of indexing and padding.
 *
 * ONNX gathers and scatters along the first axes, in the order they have: data are transposed for that, and back.
 */
#include "frontends/onnx/export_ops.h"

#include <string.h>

static bool done(lowering *c, tn_val v) {
    c->results[0] = v;
    return true;
}

static tn_ints ints_of(const int64_t *items, int n) { return (tn_ints){n, items}; }

static tn_val count_along(lowering *c, tn_dtype dtype, const tn_dim *dims, int rank, int axis) {
    tn_attr_arg attrs[] = {
        {.name = "shape", .dims = dims, .n = rank}, {.name = "axis", .i = axis}, {.name = "dtype", .i = dtype}, {0}};
    return tn_apply(TN_HERE, c->g, TN_OP_iota, NULL, 0, attrs);
}

/* Batch axes, then the indexed ones in their order, then the others. True: that is another order. */
static bool indexed_first(const attr *axes, int batch, int rank, int64_t *perm) {
    int n = batch;
    bool is_other = false;
    for (int i = 0; i < rank; i++) perm[i] = i;
    for (uint32_t i = 0; i < axes->ints.n; i++) perm[n++] = axes->ints.items[i];
    for (int axis = batch; axis < rank; axis++) {
        bool is_indexed = false;
        for (uint32_t i = 0; i < axes->ints.n; i++) is_indexed |= axes->ints.items[i] == axis;
        if (!is_indexed) perm[n++] = axis;
    }
    for (int i = 0; i < rank; i++) is_other |= perm[i] != i;
    return is_other;
}

static tn_val transpose_back(tn_val v, const int64_t *perm, int rank) {
    int64_t back[TN_MAX_RANK];
    for (int i = 0; i < rank; i++) back[perm[i]] = i;
    return tn_transpose(v, ints_of(back, rank));
}

static void first_axes(int64_t *axes, int first, int n) {
    for (int i = 0; i < n; i++) axes[i] = first + i;
}

/* ---- gather --------------------------------------------------------------------------------------------------- */

/* No axis is indexed: the data repeat along the axes of the indices. */
static tn_val gather_whole(lowering *c, int batch) {
    tn_type type = *graph_type(c->from, c->n->first_result), data = tn_type_of(c->operands[0]);
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < data.rank; i++) dims[i] = i < batch ? i : type.rank - data.rank + i;
    tn_attr_arg attrs[] = {
        {.name = "shape", .dims = type.dims, .n = type.rank}, {.name = "dims", .ints = dims, .n = data.rank}, {0}};
    return tn_apply(TN_HERE, c->g, TN_OP_broadcast, &c->operands[0], 1, attrs);
}

bool lower_gather(lowering *c) {
    const attr *axes = attr_find(&c->n->attrs, ATTR_axes);
    int batch = (int)attr_int(&c->n->attrs, ATTR_batch_dims, 0), n = (int)axes->ints.n, rank = tn_rank(c->operands[0]);
    int64_t perm[TN_MAX_RANK], first[TN_MAX_RANK];
    if (n == 0) return done(c, gather_whole(c, batch));
    if ((n == 1 && batch == 0) || !indexed_first(axes, batch, rank, perm)) return false;
    first_axes(first, batch, n);
    tn_val data = tn_transpose(c->operands[0], ints_of(perm, rank));
    return done(c, tn_gather(data, c->operands[1], ints_of(first, n), batch));
}

/* ---- scatter -------------------------------------------------------------------------------------------------- */

/* Indices with those of the batch axes put before. */
static tn_val with_batch_indices(lowering *c, tn_val indices, int batch) {
    tn_type type = tn_type_of(indices);
    tn_val parts[TN_MAX_RANK + 1];
    for (int i = 0; i < batch; i++) {
        type.dims[type.rank - 1] = dim_const(export_dims(c->x), 1);
        parts[i] = count_along(c, (tn_dtype)type.dtype, type.dims, type.rank, i);
    }
    parts[batch] = indices;
    return tn_concat(parts, batch + 1, type.rank - 1);
}

/* No axis is indexed: a first axis of one element is. */
static tn_val scatter_whole(lowering *c, const char *combine) {
    tn_val data = c->operands[0], indices = c->operands[1];
    tn_type type = tn_type_of(indices), whole = tn_type_of(data);
    type.dims[type.rank - 1] = dim_const(export_dims(c->x), 1);
    tn_val zero = tn_broadcast_to(tn_scalar_int(c->g, (tn_dtype)type.dtype, 0), type.rank, type.dims);
    tn_val v = tn_scatter(combine, tn_expand_dims(data, TN_INTS(0)), zero, c->operands[2], TN_INTS(0), 0);
    return tn_reshape_dims(v, whole.rank, whole.dims);
}

bool lower_scatter(lowering *c) {
    const attr *axes = attr_find(&c->n->attrs, ATTR_axes);
    int batch = (int)attr_int(&c->n->attrs, ATTR_batch_dims, 0), n = (int)axes->ints.n, rank = tn_rank(c->operands[0]);
    const char *combine = attr_option(ATTR_combine, attr_int(&c->n->attrs, ATTR_combine, 0));
    int64_t perm[TN_MAX_RANK], first[TN_MAX_RANK];
    bool is_other = indexed_first(axes, batch, rank, perm);
    /* Runtimes combine no halves. */
    if (tn_type_of(c->operands[0]).dtype == TN_F16 && attr_int(&c->n->attrs, ATTR_combine, 0) != COMBINE_SET) {
        tn_val wide = tn_scatter(combine, tn_convert(c->operands[0], TN_F32), c->operands[1],
                                 tn_convert(c->operands[2], TN_F32), ints_of(axes->ints.items, n), batch);
        return done(c, tn_convert(wide, TN_F16));
    }
    if (n == 0 && batch == 0) return done(c, scatter_whole(c, combine));
    if (!is_other && batch == 0) return false;
    first_axes(first, 0, batch + n);
    tn_val data = tn_transpose(c->operands[0], ints_of(perm, rank));
    tn_val indices = batch > 0 ? with_batch_indices(c, c->operands[1], batch) : c->operands[1];
    tn_val v = tn_scatter(combine, data, indices, c->operands[2], ints_of(first, batch + n), 0);
    return done(c, transpose_back(v, perm, rank));
}

/* ---- Dynamic slices ---------------------------------------------------------------------------------------------- */

/* The axes along which a part is smaller than the data, and the part's indices along them. */
typedef struct part_axes {
    int n;
    int64_t axes[TN_MAX_RANK];
    tn_val indices; /* [extents of these axes..., n] */
} part_axes;

/* start, so that the part fits. */
static tn_val clamped_start(lowering *c, tn_val start, tn_dim extent, tn_dim size) {
    tn_val most = tn_dim_value(c->g, dim_sub(export_dims(c->x), extent, size));
    return tn_max(tn_min(tn_convert(start, TN_I64), most), tn_scalar_int(c->g, TN_I64, 0));
}

static part_axes find_part(lowering *c, const tn_dim *sizes, uint32_t first_start) {
    tn_type data = tn_type_of(c->operands[0]);
    part_axes p = {0};
    tn_dim dims[TN_MAX_RANK];
    tn_val columns[TN_MAX_RANK];
    for (int i = 0; i < data.rank; i++) {
        if (sizes[i] == data.dims[i]) continue;
        dims[p.n] = sizes[i];
        p.axes[p.n++] = i;
    }
    for (int k = 0; k < p.n; k++) {
        int64_t axis = p.axes[k];
        tn_val start = clamped_start(c, c->operands[first_start + (uint32_t)axis], data.dims[axis], sizes[axis]);
        columns[k] = tn_expand_dims(tn_add(count_along(c, TN_I64, dims, p.n, k), start), TN_INTS(-1));
    }
    if (p.n > 0) p.indices = tn_concat(columns, p.n, p.n);
    return p;
}

bool lower_dynamic_slice(lowering *c) {
    part_axes p = find_part(c, attr_find(&c->n->attrs, ATTR_sizes)->dims.items, 1);
    int rank = tn_rank(c->operands[0]);
    int64_t perm[TN_MAX_RANK];
    if (p.n == 0) return done(c, c->operands[0]);
    attr axes = {.name = ATTR_axes, .ints = {p.axes, (uint32_t)p.n}};
    indexed_first(&axes, 0, rank, perm);
    tn_val v = tn_gather(c->operands[0], p.indices, ints_of(p.axes, p.n), 0);
    return done(c, transpose_back(v, perm, rank));
}

bool lower_dynamic_update_slice(lowering *c) {
    tn_type part = tn_type_of(c->operands[1]);
    part_axes p = find_part(c, part.dims, 2);
    int64_t perm[TN_MAX_RANK];
    if (p.n == 0) return done(c, c->operands[1]);
    attr axes = {.name = ATTR_axes, .ints = {p.axes, (uint32_t)p.n}};
    indexed_first(&axes, 0, part.rank, perm);
    tn_val updates = tn_transpose(c->operands[1], ints_of(perm, part.rank));
    return done(c, tn_scatter("set", c->operands[0], p.indices, updates, ints_of(p.axes, p.n), 0));
}

/* ---- pad --------------------------------------------------------------------------------------------------------- */

/* A pad of one axis at its end. */
static tn_val pad_end(lowering *c, tn_val x, tn_val value, int axis, int64_t n) {
    int64_t low[TN_MAX_RANK] = {0}, high[TN_MAX_RANK] = {0};
    high[axis] = n;
    tn_attr_arg attrs[] = {
        {.name = "low", .ints = low, .n = tn_rank(x)}, {.name = "high", .ints = high, .n = tn_rank(x)}, {0}};
    (void)c;
    return tn_apply(TN_HERE, x.graph, TN_OP_pad, (tn_val[]){x, value}, 2, attrs);
}

/* Elements between others: each is one of a row that is padded; behind the last there are none. */
static tn_val spread(lowering *c, tn_val x, tn_val value, int axis, int64_t between) {
    dim_table *t = export_dims(c->x);
    tn_type type = tn_type_of(x);
    tn_dim start[TN_MAX_RANK], extent = type.dims[axis];
    tn_val rows = pad_end(c, tn_expand_dims(x, TN_INTS(axis + 1)), value, axis + 1, between);
    type.dims[axis] = dim_mul_const(t, extent, between + 1);
    x = tn_reshape_dims(rows, type.rank, type.dims);
    for (int i = 0; i < type.rank; i++) start[i] = dim_const(t, 0);
    type.dims[axis] = dim_max(t, dim_add_const(t, type.dims[axis], -between), dim_const(t, 0));
    return tn_slice_dims(x, start, type.dims, NULL);
}

bool lower_pad(lowering *c) {
    tn_val x = c->operands[0];
    if (attr_at_most(&c->n->attrs, ATTR_interior, 0) || tn_rank(x) == TN_MAX_RANK) return false;
    for (int i = 0; i < tn_rank(c->operands[0]); i++) {
        int64_t between = attr_entry(&c->n->attrs, ATTR_interior, i, 0);
        if (between > 0) x = spread(c, x, c->operands[1], i, between);
    }
    const attr *low = attr_find(&c->n->attrs, ATTR_low), *high = attr_find(&c->n->attrs, ATTR_high);
    tn_attr_arg attrs[] = {{.name = "low", .dims = low->dims.items, .n = (int)low->dims.n},
                           {.name = "high", .dims = high->dims.items, .n = (int)high->dims.n},
                           {0}};
    return done(c, tn_apply(TN_HERE, c->g, TN_OP_pad, (tn_val[]){x, c->operands[1]}, 2, attrs));
}
