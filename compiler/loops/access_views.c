/* Views: an element of the result as an element of an operand (see access.h).
 *
 * Each function maps the result's index to the operand's. Where an element may come from
 * elsewhere (padding, another operand of a concat), the operand is read under a guard, so
 * that no load leaves its buffer.
 */
#include "compiler/loops/access.h"
#include "ir/view.h"
#include "runtime/fault.h"

static dim_table *dims_of(access *a) { return a->fused->module->dims; }

static const tn_type *operand_type(access *a, const node *n, uint32_t i) {
    return graph_type(a->fused, n->operands[i]);
}

lt_value access_plain_view(access *a, value_id v, const node *n, const tn_dim *index) {
    (void)v;
    tn_dim from[TN_MAX_RANK];
    view_index(a->fused, n, index, a->ranges, (int)a->n_ranges, from);
    return access_value(a, n->operands[0], from);
}

/* The guarded read of one of several possible origins: `condition` LT_NONE means certainly. */
static lt_value read_if(access *a, lt_value condition, value_id v, const tn_dim *index) {
    lt_value former = access_push_guard(a, condition);
    lt_value read = access_value(a, v, index);
    a->guard = former;
    return read;
}

static lt_value both(access *a, lt_value x, lt_value y) {
    if (x == LT_NONE || y == LT_NONE) return x == LT_NONE ? y : x;
    return lt_binary(&a->b, TN_OP_and, x, y);
}

lt_value access_pad(access *a, value_id v, const node *n, const tn_dim *index) {
    (void)v;
    dim_table *t = dims_of(a);
    const attr *low = attr_find(&n->attrs, ATTR_low), *interior = attr_find(&n->attrs, ATTR_interior);
    const tn_type *type = operand_type(a, n, 0);
    tn_dim zero = dim_const(t, 0), from[TN_MAX_RANK];
    lt_value inside = LT_NONE;
    for (int i = 0; i < type->rank; i++) {
        int64_t step = interior && interior->ints.n ? interior->ints.items[i] + 1 : 1;
        tn_dim at = dim_sub(t, index[i], low->dims.items[i]);
        from[i] = access_simplify(a, dim_floordiv(t, at, dim_const(t, step)));
        inside = both(a, inside, access_within(a, from[i], zero, type->dims[i]));
        tn_dim between = dim_sub(t, at, dim_mul_const(t, from[i], step));
        if (step > 1)
            inside = both(a, inside,
                          lt_compare(&a->b, COMPARE_EQ, lt_dim_value(&a->b, between), lt_const_int(&a->b, TN_I64, 0)));
    }
    lt_value element = read_if(a, inside, n->operands[0], from);
    if (inside == LT_NONE) return element;
    return lt_select(&a->b, inside, element, access_value(a, n->operands[1], ACCESS_NO_INDEX));
}

lt_value access_concat(access *a, value_id v, const node *n, const tn_dim *index) {
    (void)v;
    dim_table *t = dims_of(a);
    int64_t axis = attr_int(&n->attrs, ATTR_axis, 0);
    tn_dim offset = dim_const(t, 0), from[TN_MAX_RANK];
    lt_value chosen = LT_NONE;
    for (uint32_t i = 0; i < n->n_operands; i++) {
        const tn_type *type = operand_type(a, n, i);
        for (int k = 0; k < type->rank; k++) from[k] = index[k];
        from[axis] = dim_sub(t, index[axis], offset);
        lt_value inside = access_within(a, from[axis], dim_const(t, 0), type->dims[axis]);
        lt_value element = read_if(a, inside, n->operands[i], from);
        if (inside == LT_NONE) return element;
        chosen = chosen == LT_NONE ? element : lt_select(&a->b, inside, element, chosen);
        offset = dim_add(t, offset, type->dims[axis]);
    }
    return chosen;
}

/* ---- Indices that are data ---- */

/* A loaded index as a variable. Under a guard that fails it is 0, so that no error is
 * recorded for an element that is not wanted. */
static tn_dim bind_index(access *a, lt_value loaded, tn_dim limit, tn_dim element, uint32_t site) {
    lt_value as_i64 = lt_convert(&a->b, loaded, TN_I64);
    if (a->guard != LT_NONE) as_i64 = lt_select(&a->b, a->guard, as_i64, lt_const_int(&a->b, TN_I64, 0));
    tn_dim variable = lt_bind(&a->b, as_i64, limit, element, site);
    dim_table *t = dims_of(a);
    access_add_range(a, variable, dim_const(t, 0), dim_add_const(t, limit, -1));
    return variable;
}

lt_value access_gather(access *a, value_id v, const node *n, const tn_dim *index) {
    dim_table *t = dims_of(a);
    const tn_type *data = operand_type(a, n, 0), *indices = operand_type(a, n, 1);
    const attr *axes = attr_find(&n->attrs, ATTR_axes);
    int batch = (int)attr_int(&n->attrs, ATTR_batch_dims, 0);
    tn_dim from[TN_MAX_RANK], at[TN_MAX_RANK];
    bool indexed[TN_MAX_RANK] = {false};
    for (int i = 0; i + 1 < indices->rank; i++) at[i] = index[i];
    for (uint32_t i = 0; i < axes->ints.n; i++) {
        int64_t axis = axes->ints.items[i];
        at[indices->rank - 1] = dim_const(t, i);
        lt_value loaded = access_value(a, n->operands[1], at);
        if (loaded == LT_NONE) return LT_NONE;
        indexed[axis] = true;
        from[axis] = bind_index(a, loaded, data->dims[axis], access_offset(a, indices, at), access_site(a, v));
    }
    int next = indices->rank - 1;
    for (int i = 0; i < data->rank; i++)
        if (!indexed[i]) from[i] = i < batch ? index[i] : index[next++];
    return access_value(a, n->operands[0], from);
}

/* start + ... of a dynamic slice: the start clamped so that the slice fits. */
static tn_dim clamped_start(access *a, value_id start, tn_dim extent, tn_dim size) {
    dim_table *t = dims_of(a);
    lt_value loaded = access_value(a, start, ACCESS_NO_INDEX);
    if (loaded == LT_NONE) return DIM_INVALID;
    int64_t more = FAULT(slice_clamp) && extent != size ? 0 : 1;
    return bind_index(a, loaded, dim_add_const(t, dim_sub(t, extent, size), more), dim_const(t, 0), LT_NONE);
}

lt_value access_dynamic_slice(access *a, value_id v, const node *n, const tn_dim *index) {
    dim_table *t = dims_of(a);
    const tn_type *data = operand_type(a, n, 0), *type = graph_type(a->fused, v);
    tn_dim from[TN_MAX_RANK];
    for (int i = 0; i < data->rank; i++)
        from[i] = dim_add(t, clamped_start(a, n->operands[1 + i], data->dims[i], type->dims[i]), index[i]);
    return access_value(a, n->operands[0], from);
}

lt_value access_dynamic_update_slice(access *a, value_id v, const node *n, const tn_dim *index) {
    (void)v;
    dim_table *t = dims_of(a);
    const tn_type *data = operand_type(a, n, 0), *update = operand_type(a, n, 1);
    tn_dim from[TN_MAX_RANK];
    lt_value inside = LT_NONE;
    for (int i = 0; i < data->rank; i++) {
        tn_dim start = clamped_start(a, n->operands[2 + i], data->dims[i], update->dims[i]);
        from[i] = dim_sub(t, index[i], start);
        inside = both(a, inside, access_within(a, from[i], dim_const(t, 0), update->dims[i]));
    }
    lt_value updated = read_if(a, inside, n->operands[1], from);
    return inside == LT_NONE ? updated : lt_select(&a->b, inside, updated, access_value(a, n->operands[0], index));
}
