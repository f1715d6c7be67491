/* Ops that rearrange: reshape and kin, transpose, expand, tile, concat, space and depth. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <inttypes.h>
#include <string.h>

/* ---- Reshape ------------------------------------------------------------------------------- */

/* The extent of the axis that is -1. */
static tn_dim infer_extent(conversion *c, tn_dim total, tn_dim others) {
    dim_table *t = node_dims(c);
    tn_dim exact = dim_exact_div(t, total, others);
    if (exact != DIM_INVALID) return exact;
    if (dim_is_value(t, others, 0) ||
        !graph_require(c->g, RELATION_DIVIDES, others, total, TN_OP_reshape, c->g->origin)) {
        char a[128], b[128];
        dim_print(t, total, a, sizeof a);
        dim_print(t, others, b, sizeof b);
        node_error(c, TN_ERR_SHAPE, "the extent -1 cannot be inferred: %s elements are not a multiple of %s", a, b);
        return DIM_INVALID;
    }
    return dim_floordiv(t, total, others);
}

/* x in the shape that `wanted` says with -1 for one extent and (unless allowzero) 0 for one that stays. */
static tn_val reshape_as(conversion *c, tn_val x, const known *wanted) {
    dim_table *t = node_dims(c);
    tn_type type = tn_type_of(x);
    bool allow_zero = read_int(c, "allowzero", 0) != 0;
    tn_dim dims[TN_MAX_RANK], others = number_dim(c, 1);
    int inferred = -1;
    if (wanted->rank > 1 || wanted->n > TN_MAX_RANK) {
        node_error(c, TN_ERR_LIMIT, "the shape has %" PRId64 " axes, the most is %d", wanted->n, TN_MAX_RANK);
        return (tn_val){NULL, VALUE_NONE};
    }
    for (int i = 0; i < wanted->n; i++) {
        dims[i] = wanted->items[i];
        if (dim_is_value(t, dims[i], 0) && !allow_zero) {
            if (i >= type.rank) {
                node_error(c, TN_ERR_SHAPE, "axis %d of the shape is 0 (to be kept), but the data has %d axes", i,
                           type.rank);
                return (tn_val){NULL, VALUE_NONE};
            }
            dims[i] = type.dims[i];
        }
        if (!dim_is_value(t, dims[i], -1)) {
            others = dim_mul(t, others, dims[i]);
            continue;
        }
        if (inferred >= 0) {
            node_error(c, TN_ERR_SHAPE, "the shape has more than one -1");
            return (tn_val){NULL, VALUE_NONE};
        }
        inferred = i;
    }
    if (inferred >= 0) dims[inferred] = infer_extent(c, type_element_count(t, &type), others);
    return tn_reshape_dims(x, (int)wanted->n, dims);
}

/* The shape is an attribute up to opset 4. */
void convert_reshape(conversion *c) {
    tn_val x = input(c, 0);
    const known *wanted = tn_is_valid(x) ? need_known(c, 1, "the shape") : NULL;
    if (wanted) output(c, 0, reshape_as(c, x, wanted));
}

void convert_flatten(conversion *c) {
    tn_val x = input(c, 0);
    tn_type type = tn_type_of(x);
    int64_t axis = read_int(c, "axis", 1);
    if (!tn_is_valid(x) || (axis != type.rank && !check_axis(c, &axis, type.rank))) return;
    tn_dim dims[] = {dim_product(node_dims(c), type.dims, (int)axis),
                     dim_product(node_dims(c), type.dims + axis, type.rank - (int)axis)};
    output(c, 0, tn_reshape_dims(x, 2, dims));
}

void convert_squeeze(conversion *c) {
    tn_val x = input(c, 0);
    tn_type type = tn_type_of(x);
    int64_t axes[TN_MAX_RANK];
    int n;
    if (!tn_is_valid(x) || !read_axes(c, 1, type.rank, axes, &n)) return;
    if (n < 0)
        for (int i = n = 0; i < type.rank; i++) {
            if (dim_is_value(node_dims(c), type.dims[i], 1))
                axes[n++] = i;
            else if (!dim_is_const(node_dims(c), type.dims[i], NULL)) {
                node_error(c, TN_ERR_UNSUPPORTED, "axes are not given, and axis %d may or may not have the extent 1",
                           i);
                return;
            }
        }
    for (int i = n - 1; i >= 0; i--) x = drop_axis(c, x, (int)axes[i]);
    output(c, 0, x);
}

void convert_unsqueeze(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axes[TN_MAX_RANK];
    int n;
    if (!tn_is_valid(x)) return;
    bool is_attribute = has_attribute(c, "axes");
    if (!(is_attribute ? read_ints(c, "axes", axes, TN_MAX_RANK, &n) : need_ints(c, 1, "axes", axes, TN_MAX_RANK, &n)))
        return;
    output(c, 0, tn_expand_dims(x, ints_of(axes, n < 0 ? 0 : n)));
}

void convert_transpose(conversion *c) {
    int64_t perm[TN_MAX_RANK];
    int n;
    if (read_ints(c, "perm", perm, TN_MAX_RANK, &n))
        output(c, 0, tn_transpose(input(c, 0), ints_of(perm, n < 0 ? 0 : n)));
}

/* ---- Repeating ----------------------------------------------------------------------------- */

/* The extent that an axis and a wanted one broadcast to. */
static tn_dim merge_extents(conversion *c, tn_dim has, tn_dim wanted) {
    if (dim_is_value(node_dims(c), wanted, 1)) return has;
    return dim_is_const(node_dims(c), has, NULL) && !dim_is_value(node_dims(c), has, 1) ? has : wanted;
}

void convert_expand(conversion *c) {
    tn_val x = input(c, 0);
    const known *wanted = tn_is_valid(x) ? need_known(c, 1, "the shape") : NULL;
    if (!wanted) return;
    tn_type type = tn_type_of(x);
    tn_dim dims[TN_MAX_RANK];
    int rank = wanted->n > type.rank ? (int)wanted->n : type.rank;
    if (wanted->n > TN_MAX_RANK) {
        node_error(c, TN_ERR_LIMIT, "the shape has %" PRId64 " axes, the most is %d", wanted->n, TN_MAX_RANK);
        return;
    }
    for (int i = 0; i < rank; i++) {
        int own = i - (rank - type.rank), other = i - (rank - (int)wanted->n);
        dims[i] = own < 0     ? wanted->items[other]
                  : other < 0 ? type.dims[own]
                              : merge_extents(c, type.dims[own], wanted->items[other]);
    }
    output(c, 0, tn_broadcast_to(x, rank, dims));
}

void convert_tile(conversion *c) {
    tn_val x = input(c, 0);
    const known *repeats = tn_is_valid(x) ? need_known(c, 1, "the repeats") : NULL;
    if (!repeats) return;
    tn_type type = tn_type_of(x);
    if (repeats->n != type.rank) {
        node_error(c, TN_ERR_SHAPE, "repeats has %" PRId64 " entries, but the data %d axes", repeats->n, type.rank);
        return;
    }
    /* [a, b] becomes [1, a, 1, b], repeats, and folds again; an axis at a time to stay within the
     * largest rank. */
    for (int i = 0; i < type.rank; i++) {
        if (dim_is_value(node_dims(c), repeats->items[i], 1)) continue;
        if (type.rank == TN_MAX_RANK) {
            node_error(c, TN_ERR_LIMIT, "the data has %d axes, one more would be needed", type.rank);
            return;
        }
        tn_dim wide[TN_MAX_RANK];
        for (int k = 0; k <= type.rank; k++)
            wide[k] = k < i ? type.dims[k] : k == i ? repeats->items[i] : type.dims[k - 1];
        x = tn_broadcast_to(tn_expand_dims(x, TN_INTS(i)), type.rank + 1, wide);
        type.dims[i] = dim_mul(node_dims(c), type.dims[i], repeats->items[i]);
        x = tn_reshape_dims(x, type.rank, type.dims);
    }
    output(c, 0, x);
}

void convert_concat(conversion *c) {
    int n = input_count(c);
    tn_val *values = ARENA_ARRAY(&c->im->memory, tn_val, n);
    if (!values) {
        import_no_memory(c->im);
        return;
    }
    int64_t axis = read_int(c, "axis", 1);
    for (int i = 0; i < n; i++) values[i] = input(c, i);
    if (has_failed(c) || !check_axis(c, &axis, tn_rank(values[0]))) return;
    output(c, 0, tn_concat(values, n, (int)axis));
}

/* ---- Blocks between space and depth -------------------------------------------------------- */

static bool read_block(conversion *c, tn_val x, int64_t *block) {
    *block = read_int(c, "blocksize", 0);
    if (!tn_is_valid(x)) return false;
    if (tn_rank(x) != 4) return node_error(c, TN_ERR_SHAPE, "the data must have rank 4, not %d", tn_rank(x));
    return (*block >= 1 && *block <= INT32_MAX) || node_error(c, TN_ERR_PARSE, "blocksize is %" PRId64, *block);
}

/* [n, c, h, w] through six axes, permuted, to [n, c', h', w']. */
static tn_val regroup(tn_val x, const tn_dim *six, tn_ints perm, const tn_dim *four) {
    return tn_reshape_dims(tn_transpose(tn_reshape_dims(x, 6, six), perm), 4, four);
}

void convert_depth_to_space(conversion *c) {
    tn_val x = input(c, 0);
    int64_t block;
    if (!read_block(c, x, &block)) return;
    dim_table *t = node_dims(c);
    tn_type type = tn_type_of(x);
    tn_dim b = number_dim(c, block), n = type.dims[0], h = type.dims[2], w = type.dims[3];
    if (!graph_require(c->g, RELATION_DIVIDES, dim_mul(t, b, b), type.dims[1], TN_OP_reshape, c->g->origin)) {
        node_error(c, TN_ERR_SHAPE, "the channels are not a multiple of blocksize * blocksize (%" PRId64 ")",
                   block * block);
        return;
    }
    tn_dim depth = dim_floordiv(t, type.dims[1], dim_mul(t, b, b));
    tn_dim four[] = {n, depth, dim_mul(t, h, b), dim_mul(t, w, b)};
    bool is_crd = strcmp(read_text(c, "mode", "DCR"), "CRD") == 0;
    tn_dim crd[] = {n, depth, b, b, h, w}, dcr[] = {n, b, b, depth, h, w};
    output(c, 0,
           is_crd ? regroup(x, crd, TN_INTS(0, 1, 4, 2, 5, 3), four)
                  : regroup(x, dcr, TN_INTS(0, 3, 4, 1, 5, 2), four));
}

void convert_space_to_depth(conversion *c) {
    tn_val x = input(c, 0);
    int64_t block;
    if (!read_block(c, x, &block)) return;
    dim_table *t = node_dims(c);
    tn_type type = tn_type_of(x);
    tn_dim b = number_dim(c, block), n = type.dims[0], d = type.dims[1];
    if (!graph_require(c->g, RELATION_DIVIDES, b, type.dims[2], TN_OP_reshape, c->g->origin) ||
        !graph_require(c->g, RELATION_DIVIDES, b, type.dims[3], TN_OP_reshape, c->g->origin)) {
        node_error(c, TN_ERR_SHAPE, "height and width are not multiples of blocksize (%" PRId64 ")", block);
        return;
    }
    tn_dim h = dim_floordiv(t, type.dims[2], b), w = dim_floordiv(t, type.dims[3], b);
    tn_dim six[] = {n, d, h, b, w, b}, four[] = {n, dim_mul(t, d, dim_mul(t, b, b)), h, w};
    output(c, 0, regroup(x, six, TN_INTS(0, 3, 5, 1, 2, 4), four));
}
