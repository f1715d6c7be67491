/* Gradient rules of views: each is linear and moves elements, so that its gradient is the view that moves them
 * back, and adds up what was repeated.
 */
#include "ir/build.h"
#include "ir/columns.h"
#include "ir/grad.h"

void grad_broadcast(grad_args *c) {
    dim_table *t = c->g->module->dims;
    tn_type from = tn_type_of(c->x[0]), to = tn_type_of(c->y[0]);
    const attr *map = attr_find(&c->attrs, ATTR_dims);
    int64_t repeated[TN_MAX_RANK];
    int n = 0, next = 0;
    for (int axis = 0; axis < to.rank; axis++) {
        bool is_mapped = next < from.rank && map->ints.items[next] == axis;
        bool is_repeated = !is_mapped || (dim_is_value(t, from.dims[next], 1) && !dim_is_value(t, to.dims[axis], 1));
        if (is_repeated) repeated[n++] = axis;
        next += is_mapped;
    }
    tn_val sum = n > 0 ? tn_sum(c->dy[0], ((tn_ints){n, repeated})) : c->dy[0];
    c->dx[0] = tn_rank(sum) == from.rank ? sum : tn_reshape_dims(sum, from.rank, from.dims);
}

void grad_reshape(grad_args *c) {
    tn_type type = tn_type_of(c->x[0]);
    c->dx[0] = tn_reshape_dims(c->dy[0], type.rank, type.dims);
}

void grad_transpose(grad_args *c) {
    const attr *perm = attr_find(&c->attrs, ATTR_perm);
    int64_t inverse[TN_MAX_RANK];
    int rank = tn_rank(c->x[0]);
    for (int i = 0; i < rank; i++) inverse[perm->ints.items[i]] = i;
    c->dx[0] = rank > 0 ? tn_transpose(c->dy[0], ((tn_ints){rank, inverse})) : c->dy[0];
}

void grad_reverse(grad_args *c) {
    const attr *axes = attr_find(&c->attrs, ATTR_axes);
    c->dx[0] = tn_reverse(c->dy[0], ((tn_ints){(int)axes->ints.n, axes->ints.items}));
}

void grad_slice(grad_args *c) {
    dim_table *t = c->g->module->dims;
    tn_type from = tn_type_of(c->x[0]), to = tn_type_of(c->y[0]);
    const attr *start = attr_find(&c->attrs, ATTR_start), *stride = attr_find(&c->attrs, ATTR_stride);
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    int64_t interior[TN_MAX_RANK];
    for (int i = 0; i < from.rank; i++) {
        interior[i] = stride ? stride->ints.items[i] - 1 : 0;
        low[i] = start->dims.items[i];
        high[i] = dim_sub(t, dim_sub(t, from.dims[i], low[i]), dim_spread(t, to.dims[i], interior[i]));
    }
    c->dx[0] = grad_pad_zeros(c->dy[0], low, high, interior);
}

/* Takes padding off again: negative padding crops, then the elements between neighbours are skipped. */
static tn_val unpad(tn_val v, const tn_dim *low, const tn_dim *high, const int64_t *interior, const tn_type *like) {
    dim_table *t = v.graph->module->dims;
    tn_dim before[TN_MAX_RANK], after[TN_MAX_RANK], start[TN_MAX_RANK], limit[TN_MAX_RANK];
    int64_t stride[TN_MAX_RANK], none[TN_MAX_RANK] = {0};
    bool steps = false;
    for (int i = 0; i < like->rank; i++) {
        before[i] = dim_mul_const(t, low[i], -1);
        after[i] = dim_mul_const(t, high[i], -1);
        start[i] = dim_const(t, 0);
        limit[i] = dim_spread(t, like->dims[i], interior[i]);
        stride[i] = interior[i] + 1;
        steps |= interior[i] > 0;
    }
    tn_val cropped = grad_pad_zeros(v, before, after, none);
    return steps ? tn_slice_dims(cropped, start, limit, stride) : cropped;
}

/* The padded value gets the sum over all that is not taken by the operand. */
void grad_pad(grad_args *c) {
    tn_type from = tn_type_of(c->x[0]);
    const attr *low = attr_find(&c->attrs, ATTR_low), *high = attr_find(&c->attrs, ATTR_high),
               *interior = attr_find(&c->attrs, ATTR_interior);
    int64_t between[TN_MAX_RANK] = {0};
    for (int i = 0; interior && i < from.rank; i++) between[i] = interior->ints.items[i];
    if (c->wanted[0]) c->dx[0] = unpad(c->dy[0], low->dims.items, high->dims.items, between, &from);
    if (!c->wanted[1]) return;
    tn_val taken = grad_pad_zeros(grad_fill(c->x[0], 1), low->dims.items, high->dims.items, between);
    tn_val rest = grad_where(tn_equal(taken, grad_zeros(taken)), c->dy[0]);
    c->dx[1] = from.rank > 0 ? tn_sum(rest, TN_NO_INTS) : rest;
}

void grad_concat(grad_args *c) {
    dim_table *t = c->g->module->dims;
    int64_t axis = attr_int(&c->attrs, ATTR_axis, 0);
    tn_dim start[TN_MAX_RANK], limit[TN_MAX_RANK], at = dim_const(t, 0);
    for (uint32_t i = 0; i < c->n_operands; i++) {
        tn_type type = tn_type_of(c->x[i]), whole = tn_type_of(c->y[0]);
        tn_dim next = dim_add(t, at, type.dims[axis]);
        for (int k = 0; k < type.rank; k++) {
            start[k] = k == axis ? at : dim_const(t, 0);
            limit[k] = k == axis ? next : whole.dims[k];
        }
        if (c->wanted[i]) c->dx[i] = tn_slice_dims(c->dy[0], start, limit, NULL);
        at = next;
    }
}
