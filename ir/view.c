/* Views as index maps (see view.h). */
#include "ir/view.h"

typedef struct view_args {
    dim_table *t;
    const node *n;
    const tn_type *to, *type; /* of the result, of the operand */
    const tn_dim *index;
    const dim_range *ranges;
    int n_ranges;
    tn_dim *from;
} view_args;

static void broadcast_index(const view_args *v) {
    const attr *axes = attr_find(&v->n->attrs, ATTR_dims);
    for (int i = 0; i < v->type->rank; i++)
        v->from[i] = dim_is_value(v->t, v->type->dims[i], 1) ? dim_const(v->t, 0) : v->index[axes->ints.items[i]];
}

static void transpose_index(const view_args *v) {
    const attr *perm = attr_find(&v->n->attrs, ATTR_perm);
    for (int i = 0; i < v->type->rank; i++) v->from[perm->ints.items[i]] = v->index[i];
}

static void slice_index(const view_args *v) {
    const attr *start = attr_find(&v->n->attrs, ATTR_start), *stride = attr_find(&v->n->attrs, ATTR_stride);
    for (int i = 0; i < v->type->rank; i++) {
        int64_t step = stride && stride->ints.n ? stride->ints.items[i] : 1;
        v->from[i] = dim_add(v->t, start->dims.items[i], dim_mul_const(v->t, v->index[i], step));
    }
}

static void reverse_index(const view_args *v) {
    const attr *axes = attr_find(&v->n->attrs, ATTR_axes);
    for (int i = 0; i < v->type->rank; i++) v->from[i] = v->index[i];
    for (uint32_t i = 0; i < axes->ints.n; i++) {
        int64_t axis = axes->ints.items[i];
        v->from[axis] = dim_sub(v->t, dim_add_const(v->t, v->type->dims[axis], -1), v->index[axis]);
    }
}

void view_unravel(dim_table *t, tn_dim linear, int rank, const tn_dim *extents, const dim_range *ranges, int n_ranges,
                  tn_dim *index) {
    /* Where an extent is 0 there is no element, and any index serves. */
    for (int i = 0; i < rank; i++)
        if (dim_is_value(t, extents[i], 0)) {
            for (int k = 0; k < rank; k++) index[k] = dim_const(t, 0);
            return;
        }
    for (int i = rank - 1; i > 0; i--) {
        tn_dim quotient = dim_simplify(t, dim_floordiv(t, linear, extents[i]), ranges, n_ranges);
        index[i] = dim_sub(t, linear, dim_mul(t, quotient, extents[i]));
        linear = quotient;
    }
    if (rank > 0) index[0] = linear;
}

/* Axes [i0, i) of the operand and [j0, j) of the result that hold the same elements. */
typedef struct axis_group {
    int i0, i, j0, j;
} axis_group;

/* Grows a group from (i0, j0) until both sides have the same extent, or all axes are in it. */
static axis_group next_group(const view_args *v, int i0, int j0) {
    dim_table *t = v->t;
    axis_group g = {i0, i0, j0, j0};
    tn_dim pi = g.i < v->type->rank ? v->type->dims[g.i++] : dim_const(t, 1);
    tn_dim pj = g.j < v->to->rank ? v->to->dims[g.j++] : dim_const(t, 1);
    while (pi != pj) {
        if (g.i < v->type->rank && (g.j == v->to->rank || dim_exact_div(t, pi, pj) == DIM_INVALID))
            pi = dim_mul(t, pi, v->type->dims[g.i++]);
        else if (g.j < v->to->rank)
            pj = dim_mul(t, pj, v->to->dims[g.j++]);
        else
            break;
    }
    return g;
}

/* Group by group, so that an axis that the reshape leaves alone keeps its own index. */
static void reshape_index(const view_args *v) {
    dim_table *t = v->t;
    axis_group g = {0, 0, 0, 0};
    while (g.i < v->type->rank || g.j < v->to->rank) {
        g = next_group(v, g.i, g.j);
        if (g.i - g.i0 == 1 && g.j - g.j0 == 1) {
            v->from[g.i0] = v->index[g.j0];
            continue;
        }
        tn_dim linear = dim_const(t, 0);
        for (int k = g.j0; k < g.j; k++) linear = dim_add(t, dim_mul(t, linear, v->to->dims[k]), v->index[k]);
        view_unravel(t, linear, g.i - g.i0, v->type->dims + g.i0, v->ranges, v->n_ranges, v->from + g.i0);
    }
    for (int k = 0; k < v->type->rank; k++)
        if (dim_is_value(t, v->type->dims[k], 1)) v->from[k] = dim_const(t, 0);
}

static void (*const maps[TN_OP_COUNT])(const view_args *) = {
    [TN_OP_broadcast] = broadcast_index, [TN_OP_transpose] = transpose_index, [TN_OP_slice] = slice_index,
    [TN_OP_reverse] = reverse_index,     [TN_OP_reshape] = reshape_index,
};

bool view_is_plain(tn_op op) { return maps[op] != NULL; }

void view_index(const tn_graph *g, const node *n, const tn_dim *index, const dim_range *ranges, int n_ranges,
                tn_dim *from) {
    view_args v = {.t = g->module->dims,
                   .n = n,
                   .to = graph_type(g, n->first_result),
                   .type = graph_type(g, n->operands[0]),
                   .index = index,
                   .ranges = ranges,
                   .n_ranges = n_ranges,
                   .from = from};
    maps[n->op](&v);
}
