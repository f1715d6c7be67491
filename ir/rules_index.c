/* Rules of ops whose indices are data: gather, scatter, dynamic slices. */
#include "ir/columns.h"
#include "ir/rules.h"

#include <inttypes.h>

/* The type that gather(data, indices) has and scatter's updates must have: batch axes, the other
 * axes of the indices, the data axes that are not indexed. */
static bool gathered_type(rule_args *c, tn_type *type) {
    const tn_type *data = &c->types[0], *indices = &c->types[1];
    const attr *axes = attr_find(&c->attrs, ATTR_axes);
    int64_t batch_dims = attr_int(&c->attrs, ATTR_batch_dims, 0);
    uint32_t indexed;
    char a[RULE_TEXT];
    if (!rule_dtype(c, 0, DTYPES_ANY) || !rule_dtype(c, 1, DTYPES_INDEX) || !rule_rank_at_least(c, 1, 1) ||
        !rule_axes(c, data->rank, &indexed))
        return false;
    if (batch_dims < 0 || batch_dims > data->rank || batch_dims > indices->rank - 1)
        return rule_error(c, TN_ERR_SHAPE, "batch_dims %" PRId64 " is not within both operands: %s", batch_dims,
                          rule_operand(c, 1, a));
    if (indexed & ((UINT32_C(1) << batch_dims) - 1))
        return rule_error(c, TN_ERR_SHAPE, "an indexed axis is a batch axis");
    if (!graph_require_equal(c->graph, indices->dims[indices->rank - 1], dim_const(rule_dims(c), axes->ints.n), c->op,
                             c->where))
        return rule_error(c, TN_ERR_SHAPE, "the last axis of the indices must hold %u, one for each axis: %s",
                          (unsigned)axes->ints.n, rule_operand(c, 1, a));
    int rank = indices->rank - 1 + data->rank - (int)batch_dims - (int)axes->ints.n;
    if (rank > TN_MAX_RANK)
        return rule_error(c, TN_ERR_LIMIT, "the result would have %d axes, the most is %d", rank, TN_MAX_RANK);
    for (int i = 0; i < batch_dims; i++)
        if (!rule_equal_dims(c, "batch axes differ", 0, i, 1, i)) return false;
    *type = type_make((tn_dtype)data->dtype, 0, NULL);
    for (int i = 0; i < indices->rank - 1; i++) type->dims[type->rank++] = indices->dims[i];
    for (int i = (int)batch_dims; i < data->rank; i++)
        if (!(indexed >> i & 1)) type->dims[type->rank++] = data->dims[i];
    return true;
}

bool rule_gather(rule_args *c) {
    tn_type type;
    return gathered_type(c, &type) && rule_one_result(c, &type);
}

bool rule_scatter(rule_args *c) {
    tn_type wanted = {0};
    char a[RULE_TEXT], text[RULE_TEXT];
    combine_kind combine = (combine_kind)attr_int(&c->attrs, ATTR_combine, 0);
    if (!gathered_type(c, &wanted)) return false;
    if ((combine == COMBINE_ADD || combine == COMBINE_MUL) && !rule_dtype(c, 0, DTYPES_NUMBER)) return false;
    if (!rule_same_dtype(c, 0, 2)) return false;
    bool fits = c->types[2].rank == wanted.rank;
    for (int i = 0; fits && i < wanted.rank; i++)
        fits = graph_require_equal(c->graph, c->types[2].dims[i], wanted.dims[i], c->op, c->where);
    type_print(rule_dims(c), &wanted, text, sizeof text);
    if (!fits) return rule_error(c, TN_ERR_SHAPE, "the updates must be %s: %s", text, rule_operand(c, 2, a));
    return rule_one_result(c, &c->types[0]);
}

/* Operands from `first` on are index scalars, one for each axis of operand 0. */
static bool check_starts(rule_args *c, uint32_t first) {
    char a[RULE_TEXT];
    if (c->n_operands - first != c->types[0].rank)
        return rule_error(c, TN_ERR_ARGUMENT, "takes a start for each axis, but got %u: %s",
                          (unsigned)(c->n_operands - first), rule_operand(c, 0, a));
    for (uint32_t i = first; i < c->n_operands; i++)
        if (!rule_dtype(c, i, DTYPES_INDEX) || !rule_rank(c, i, 0)) return false;
    return true;
}

bool rule_dynamic_slice(rule_args *c) {
    tn_type type = c->types[0];
    char a[RULE_TEXT], b[RULE_TEXT];
    if (!check_starts(c, 1) || !rule_dim_list(c, ATTR_sizes, type.rank, type.dims)) return false;
    for (int i = 0; i < type.rank; i++) {
        if (!rule_extent(c, "an extent", type.dims[i])) return false;
        if (!rule_require(c, RELATION_LE, type.dims[i], c->types[0].dims[i]))
            return rule_error(c, TN_ERR_SHAPE, "%s elements are not within axis %d: %s",
                              rule_dim_text(c, type.dims[i], b), i, rule_operand(c, 0, a));
    }
    return rule_one_result(c, &type);
}

bool rule_dynamic_update_slice(rule_args *c) {
    char a[RULE_TEXT], b[RULE_TEXT];
    const tn_type *data = &c->types[0], *update = &c->types[1];
    if (!rule_dtype(c, 0, DTYPES_ANY) || !rule_same_dtype(c, 0, 1) || !rule_rank(c, 1, data->rank) ||
        !check_starts(c, 2))
        return false;
    for (int i = 0; i < data->rank; i++)
        if (!rule_require(c, RELATION_LE, update->dims[i], data->dims[i]))
            return rule_error(c, TN_ERR_SHAPE, "the update is larger along axis %d: %s, %s", i, rule_operand(c, 0, a),
                              rule_operand(c, 1, b));
    return rule_one_result(c, data);
}
