/* Rules of contractions, convolutions and pooling. */
#include "ir/columns.h"
#include "ir/rules.h"

#include <inttypes.h>

/* ---- dot -------------------------------------------------------------------------------------- */

/* Two lists of axes of the same length, the first of operand 0, the second of operand 1. */
typedef struct axis_pairs {
    uint32_t n;
    const int64_t *of[2];
} axis_pairs;

static bool read_pairs(rule_args *c, attr_name name, uint32_t used[2], axis_pairs *pairs) {
    const attr *given = attr_find(&c->attrs, name);
    *pairs = (axis_pairs){0};
    if (!given) return true;
    if (given->split * 2 != given->ints.n)
        return rule_error(c, TN_ERR_ARGUMENT, "%s names %u of the first operand's axes and %u of the second's",
                          attr_name_text(name), (unsigned)given->split, (unsigned)(given->ints.n - given->split));
    *pairs = (axis_pairs){given->split, {given->ints.items, given->ints.items + given->split}};
    for (int side = 0; side < 2; side++) {
        uint32_t mask;
        if (!rule_check_axes(c, attr_name_text(name), pairs->of[side], pairs->n, c->types[side].rank, &mask))
            return false;
        if (mask & used[side])
            return rule_error(c, TN_ERR_ARGUMENT, "an axis of operand %d is both batch and contract", side);
        used[side] |= mask;
    }
    for (uint32_t i = 0; i < pairs->n; i++)
        if (!rule_equal_dims(c, name == ATTR_batch ? "batch dims differ" : "inner dims differ", 0, (int)pairs->of[0][i],
                             1, (int)pairs->of[1][i]))
            return false;
    return true;
}

bool rule_dot(rule_args *c) {
    axis_pairs batch, contract;
    uint32_t used[2] = {0, 0};
    if (!rule_dtype(c, 0, DTYPES_NUMBER) || !rule_same_dtype(c, 0, 1) || !rule_acc(c, (tn_dtype)c->types[0].dtype) ||
        !read_pairs(c, ATTR_batch, used, &batch) || !read_pairs(c, ATTR_contract, used, &contract))
        return false;
    int rank = c->types[0].rank + c->types[1].rank - (int)batch.n - 2 * (int)contract.n;
    if (rank > TN_MAX_RANK)
        return rule_error(c, TN_ERR_LIMIT, "the result would have %d axes, the most is %d", rank, TN_MAX_RANK);
    tn_type type = type_make((tn_dtype)c->types[0].dtype, 0, NULL);
    for (uint32_t i = 0; i < batch.n; i++)
        type.dims[type.rank++] = rule_merge(c, c->types[0].dims[batch.of[0][i]], c->types[1].dims[batch.of[1][i]]);
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < c->types[side].rank; i++)
            if (!(used[side] >> i & 1)) type.dims[type.rank++] = c->types[side].dims[i];
    return rule_one_result(c, &type);
}

/* ---- conv ------------------------------------------------------------------------------------- */

bool rule_conv(rule_args *c) {
    dim_table *t = rule_dims(c);
    const tn_type *x = &c->types[0], *kernel = &c->types[1];
    int64_t stride[TN_MAX_RANK], dilation[TN_MAX_RANK], spread[TN_MAX_RANK];
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    char a[RULE_TEXT], b[RULE_TEXT], have[RULE_TEXT], want[RULE_TEXT];
    if (!rule_dtype(c, 0, DTYPES_NUMBER) || !rule_same_dtype(c, 0, 1) || !rule_rank_at_least(c, 0, 2) ||
        !rule_acc(c, (tn_dtype)x->dtype))
        return false;
    if (kernel->rank != x->rank)
        return rule_error(c, TN_ERR_SHAPE, "ranks differ: %s, %s", rule_operand(c, 0, a), rule_operand(c, 1, b));
    int n = x->rank - 2;
    int64_t groups = attr_int(&c->attrs, ATTR_groups, 0);
    if (groups < 0 || groups > INT32_MAX)
        return rule_error(c, TN_ERR_ARGUMENT, "groups is %" PRId64 ", the least is 1", groups);
    if (groups == 0) groups = 1;
    if (!rule_ints(c, ATTR_stride, n, 1, 1, stride) || !rule_ints(c, ATTR_dilation, n, 1, 1, dilation) ||
        !rule_ints(c, ATTR_input_dilation, n, 1, 1, spread) || !rule_dim_list(c, ATTR_low, n, low) ||
        !rule_dim_list(c, ATTR_high, n, high))
        return false;
    tn_dim wanted = dim_mul_const(t, kernel->dims[1], groups);
    if (!graph_require_equal(c->graph, x->dims[1], wanted, c->op, c->where))
        return rule_error(c, TN_ERR_SHAPE, "channels differ: %s, %s, groups is %" PRId64 " (%s is not %s)",
                          rule_operand(c, 0, a), rule_operand(c, 1, b), groups, rule_dim_text(c, x->dims[1], have),
                          rule_dim_text(c, wanted, want));
    if (!rule_require(c, RELATION_DIVIDES, dim_const(t, groups), kernel->dims[0]))
        return rule_error(c, TN_ERR_SHAPE, "%" PRId64 " groups do not divide the output channels: %s", groups,
                          rule_operand(c, 1, b));
    tn_type type = *x;
    type.dims[1] = kernel->dims[0];
    for (int i = 0; i < n; i++) {
        tn_dim extent = x->dims[2 + i];
        if (spread[i] > 1) {
            /* (extent - 1) * spread + 1, which is right for 1 and more. */
            if (!rule_require(c, RELATION_LE, dim_const(t, 1), extent))
                return rule_error(c, TN_ERR_SHAPE, "axis %d is empty: %s", 2 + i, rule_operand(c, 0, a));
            extent = dim_add_const(t, dim_mul_const(t, extent, spread[i]), 1 - spread[i]);
        }
        if (!rule_window_places(c, 2 + i, extent, low[i], high[i], kernel->dims[2 + i], dilation[i], stride[i],
                                &type.dims[2 + i]))
            return false;
    }
    return rule_one_result(c, &type);
}

/* ---- winograd --------------------------------------------------------------------------------- */

/* Numbers that the op's loops count with: products of three of them and its matrices' sizes fit in 63 bits. */
enum { MOST_WINOGRAD = 1 << 16 };

static bool small_extent(rule_args *c, const char *what, tn_dim d, int64_t least, int64_t *value) {
    char text[RULE_TEXT];
    if (dim_is_const(rule_dims(c), d, value) && *value >= least && *value <= MOST_WINOGRAD) return true;
    return rule_error(c, TN_ERR_SHAPE, "%s is %s, but must be a number from %" PRId64 " to %d", what,
                      rule_dim_text(c, d, text), least, MOST_WINOGRAD);
}

bool rule_winograd(rule_args *c) {
    static const dtype_set f32 = 1u << TN_F32;
    const tn_type *x = &c->types[0], *u = &c->types[1];
    int64_t tile = attr_int(&c->attrs, ATTR_tile, 0), features = attr_int(&c->attrs, ATTR_features, 0), size[6],
            ignored;
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    char a[RULE_TEXT], b[RULE_TEXT];
    if (!rule_dtype(c, 0, f32) || !rule_dtype(c, 1, f32) || !rule_rank(c, 0, 4) || !rule_rank(c, 1, 6) ||
        !rule_dim_list(c, ATTR_low, 2, low) || !rule_dim_list(c, ATTR_high, 2, high))
        return false;
    if (tile != 2 && tile != 4) return rule_error(c, TN_ERR_ARGUMENT, "tile is %" PRId64 ", not 2 or 4", tile);
    if (features < 1 || features > MOST_WINOGRAD)
        return rule_error(c, TN_ERR_ARGUMENT, "features is %" PRId64 ", not 1 to %d", features, MOST_WINOGRAD);
    for (int i = 0; i < 6; i++)
        if (!small_extent(c, "an extent of the transformed kernel", u->dims[i], i == 4 ? 0 : 1, &size[i])) return false;
    int64_t group = size[3] * size[5];
    if (size[1] != tile + 2 || size[2] != tile + 2 || size[0] != (features + group - 1) / group ||
        !rule_equal_dims(c, "channels differ", 0, 1, 1, 4))
        return rule_error(c, TN_ERR_SHAPE, "operands do not fit tile %" PRId64 ", features %" PRId64 ": %s, %s", tile,
                          features, rule_operand(c, 0, a), rule_operand(c, 1, b));
    tn_type type = *x;
    type.dims[1] = dim_const(rule_dims(c), features);
    for (int i = 0; i < 2; i++) {
        tn_dim places = dim_add_const(
            rule_dims(c), dim_add(rule_dims(c), x->dims[i + 2], dim_add(rule_dims(c), low[i], high[i])), -2);
        if (!small_extent(c, "a spatial extent", x->dims[i + 2], 0, &ignored) ||
            !small_extent(c, "the padding", low[i], 0, &ignored) ||
            !small_extent(c, "the padding", high[i], 0, &ignored) ||
            !small_extent(c, "a spatial extent of the result", places, 1, &ignored))
            return false;
        type.dims[i + 2] = places;
    }
    return rule_one_result(c, &type);
}

bool rule_winograd_kernel(rule_args *c) {
    static const dtype_set f32 = 1u << TN_F32;
    const tn_type *g = &c->types[0], *k = &c->types[1];
    char a[RULE_TEXT], b[RULE_TEXT];
    if (!rule_dtype(c, 0, f32) || !rule_dtype(c, 1, f32) || !rule_rank(c, 0, 2) || !rule_rank(c, 1, 6)) return false;
    const dim_table *t = rule_dims(c);
    bool is_side = dim_is_value(t, g->dims[0], 4) || dim_is_value(t, g->dims[0], 6);
    if (!is_side || !dim_is_value(t, g->dims[1], 3) || !dim_is_value(t, k->dims[1], 3) ||
        !dim_is_value(t, k->dims[2], 3))
        return rule_error(c, TN_ERR_SHAPE, "operands are not [4 or 6, 3] and [m, 3, 3, q, c, p]: %s, %s",
                          rule_operand(c, 0, a), rule_operand(c, 1, b));
    tn_type type = *k;
    type.dims[1] = type.dims[2] = g->dims[0];
    return rule_one_result(c, &type);
}

/* ---- conv_weights ----------------------------------------------------------------------------- */

/* Winograd's algorithm is for windows of 3 x 3 that move by single elements. */
static bool check_tile(rule_args *c, int n, const int64_t *window, const int64_t *stride, const int64_t *dilation) {
    int64_t tile = attr_int(&c->attrs, ATTR_tile, 0);
    if (!attr_find(&c->attrs, ATTR_tile)) return true;
    if (tile != 4) return rule_error(c, TN_ERR_ARGUMENT, "tile is %" PRId64 ", not 4", tile);
    bool fits = n == 2 && c->types[0].dtype == TN_F32 && attr_int(&c->attrs, ATTR_acc, TN_F32) == TN_F32 &&
                attr_int(&c->attrs, ATTR_groups, 1) <= 1;
    for (int i = 0; i < n; i++) fits &= window[i] == 3 && stride[i] == 1 && dilation[i] == 1;
    return fits ||
           rule_error(c, TN_ERR_ARGUMENT, "tile 4 wants f32, one group, a window of 3 x 3, stride 1 and dilation 1");
}

bool rule_conv_weights(rule_args *c) {
    const tn_type *x = &c->types[0], *dy = &c->types[1];
    int64_t window[TN_MAX_RANK], stride[TN_MAX_RANK], dilation[TN_MAX_RANK], ignored, channels, features,
        groups = attr_int(&c->attrs, ATTR_groups, 0);
    tn_dim low[TN_MAX_RANK];
    char a[RULE_TEXT], b[RULE_TEXT];
    if (!rule_dtype(c, 0, DTYPES_FLOAT) || !rule_same_dtype(c, 0, 1) || !rule_rank_at_least(c, 0, 3) ||
        !rule_acc(c, (tn_dtype)x->dtype))
        return false;
    if (x->rank > 4 || dy->rank != x->rank)
        return rule_error(c, TN_ERR_SHAPE, "operands have not one or two spatial axes each: %s, %s",
                          rule_operand(c, 0, a), rule_operand(c, 1, b));
    int n = x->rank - 2;
    if (!rule_ints(c, ATTR_window, n, 1, 1, window) || !rule_ints(c, ATTR_stride, n, 1, 1, stride) ||
        !rule_ints(c, ATTR_dilation, n, 1, 1, dilation) || !rule_dim_list(c, ATTR_low, n, low) ||
        !check_tile(c, n, window, stride, dilation) || !rule_equal_dims(c, "numbers of images differ", 0, 0, 1, 0) ||
        !small_extent(c, "the number of channels", x->dims[1], 0, &channels) ||
        !small_extent(c, "the number of output channels", dy->dims[1], 0, &features))
        return false;
    if (groups == 0) groups = 1;
    if (groups < 1 || channels % groups || features % groups)
        return rule_error(c, TN_ERR_SHAPE, "%" PRId64 " groups do not divide the channels: %s, %s", groups,
                          rule_operand(c, 0, a), rule_operand(c, 1, b));
    tn_type type = type_make((tn_dtype)x->dtype, x->rank, dy->dims);
    type.dims[0] = dy->dims[1];
    type.dims[1] = dim_const(rule_dims(c), channels / groups);
    for (int i = 0; i < n; i++) {
        tn_dim step[3] = {dim_const(rule_dims(c), window[i]), dim_const(rule_dims(c), stride[i]),
                          dim_const(rule_dims(c), dilation[i])};
        if (!small_extent(c, "a spatial extent", x->dims[i + 2], 0, &ignored) ||
            !small_extent(c, "the number of places", dy->dims[i + 2], 0, &ignored) ||
            !small_extent(c, "an extent of the window", step[0], 1, &ignored) ||
            !small_extent(c, "the stride", step[1], 1, &ignored) ||
            !small_extent(c, "the dilation", step[2], 1, &ignored) ||
            !small_extent(c, "the padding", low[i], -MOST_WINOGRAD, &ignored))
            return false;
        type.dims[i + 2] = step[0];
    }
    return rule_one_result(c, &type);
}

/* ---- Composites ------------------------------------------------------------------------------- */

/* Batch axes of two operands by NumPy's rules: `ends` are their ranks without the last axes. The
 * result's axes go to dims; returns how many, -1 on error. */
static int merge_batch(rule_args *c, uint32_t i, int end_i, uint32_t j, int end_j, tn_dim *dims) {
    int n = end_i > end_j ? end_i : end_j;
    for (int k = 0; k < n; k++) {
        int axis_i = end_i - n + k, axis_j = end_j - n + k;
        tn_dim a = axis_i >= 0 ? c->types[i].dims[axis_i] : DIM_INVALID;
        tn_dim b = axis_j >= 0 ? c->types[j].dims[axis_j] : DIM_INVALID;
        if (a == DIM_INVALID || b == DIM_INVALID) {
            dims[k] = a == DIM_INVALID ? b : a;
        } else if (dim_is_value(rule_dims(c), a, 1) || dim_is_value(rule_dims(c), b, 1)) {
            dims[k] = dim_is_value(rule_dims(c), a, 1) ? b : a;
        } else {
            if (!rule_equal_dims(c, "batch dims differ", i, axis_i, j, axis_j)) return -1;
            dims[k] = rule_merge(c, a, b);
        }
    }
    return n;
}

bool rule_matmul(rule_args *c) {
    const tn_type *a = &c->types[0], *b = &c->types[1];
    if (!rule_dtype(c, 0, DTYPES_NUMBER) || !rule_same_dtype(c, 0, 1) || !rule_rank_at_least(c, 0, 1) ||
        !rule_rank_at_least(c, 1, 1))
        return false;
    int inner_b = b->rank >= 2 ? b->rank - 2 : 0;
    if (!rule_equal_dims(c, "inner dims differ", 0, a->rank - 1, 1, inner_b)) return false;
    tn_type type = type_make((tn_dtype)a->dtype, 0, NULL);
    int rank = merge_batch(c, 0, a->rank >= 2 ? a->rank - 2 : 0, 1, inner_b, type.dims);
    if (rank < 0) return false;
    type.rank = (uint8_t)rank;
    if (a->rank >= 2) type.dims[type.rank++] = a->dims[a->rank - 2];
    if (b->rank >= 2) type.dims[type.rank++] = b->dims[b->rank - 1];
    return rule_one_result(c, &type);
}

/* The mask's axes are those of the scores [batch..., m, n], or 1, from the right. */
static bool check_mask(rule_args *c, const tn_type *scores) {
    char a[RULE_TEXT], b[RULE_TEXT];
    const tn_type *mask = &c->types[3];
    bool fits = mask->rank <= scores->rank;
    if (mask->dtype != TN_BOOL && mask->dtype != scores->dtype)
        return rule_error(c, TN_ERR_DTYPE, "the mask must be bool or %s: %s", tn_dtype_name((tn_dtype)scores->dtype),
                          rule_operand(c, 3, a));
    for (int i = 0; fits && i < mask->rank; i++)
        fits =
            dim_is_value(rule_dims(c), mask->dims[i], 1) ||
            graph_require_equal(c->graph, mask->dims[i], scores->dims[scores->rank - mask->rank + i], c->op, c->where);
    if (fits) return true;
    type_print(rule_dims(c), scores, b, sizeof b);
    return rule_error(c, TN_ERR_SHAPE, "the mask does not broadcast to the scores %s: %s", b, rule_operand(c, 3, a));
}

bool rule_attention(rule_args *c) {
    const tn_type *q = &c->types[0], *k = &c->types[1], *v = &c->types[2];
    char a[RULE_TEXT], b[RULE_TEXT];
    if (!rule_dtype(c, 0, DTYPES_FLOAT) || !rule_same_dtype(c, 0, 1) || !rule_same_dtype(c, 0, 2)) return false;
    for (uint32_t i = 0; i < 3; i++)
        if (!rule_rank_at_least(c, i, 2)) return false;
    for (uint32_t i = 1; i < 3; i++) {
        if (c->types[i].rank != q->rank)
            return rule_error(c, TN_ERR_SHAPE, "ranks differ: %s, %s", rule_operand(c, 0, a), rule_operand(c, i, b));
        for (int axis = 0; axis < q->rank - 2; axis++)
            if (!rule_equal_dims(c, "batch dims differ", 0, axis, i, axis)) return false;
    }
    int last = q->rank - 1;
    if (!rule_equal_dims(c, "q and k differ in the last axis", 0, last, 1, last) ||
        !rule_equal_dims(c, "k and v differ in length", 1, last - 1, 2, last - 1))
        return false;
    tn_type scores = *q, type = *q;
    scores.dims[last] = k->dims[last - 1];
    type.dims[last] = v->dims[last];
    if (c->n_operands == 4 && !check_mask(c, &scores)) return false;
    return rule_one_result(c, &type);
}

bool rule_pool(rule_args *c) {
    const tn_type *x = &c->types[0];
    int64_t window[TN_MAX_RANK], stride[TN_MAX_RANK], dilation[TN_MAX_RANK];
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    if (!rule_dtype(c, 0, c->op == TN_OP_avg_pool ? DTYPES_FLOAT : DTYPES_NUMBER) || !rule_rank_at_least(c, 0, 2))
        return false;
    int n = x->rank - 2;
    if (!rule_ints(c, ATTR_window, n, 1, 1, window) || !rule_ints(c, ATTR_stride, n, 1, 1, stride) ||
        !rule_ints(c, ATTR_dilation, n, 1, 1, dilation) || !rule_dim_list(c, ATTR_low, n, low) ||
        !rule_dim_list(c, ATTR_high, n, high))
        return false;
    tn_type type = *x;
    for (int i = 0; i < n; i++)
        if (!rule_window_places(c, 2 + i, x->dims[2 + i], low[i], high[i], dim_const(rule_dims(c), window[i]),
                                dilation[i], stride[i], &type.dims[2 + i]))
            return false;
    return rule_one_result(c, &type);
}

bool rule_global_pool(rule_args *c) {
    if (!rule_dtype(c, 0, DTYPES_FLOAT) || !rule_rank_at_least(c, 0, 2)) return false;
    tn_type type = c->types[0];
    for (int i = 2; i < type.rank; i++) type.dims[i] = dim_const(rule_dims(c), 1);
    return rule_one_result(c, &type);
}
