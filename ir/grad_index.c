/* Gradient rules of indexing and sorting: where an element came from is where its cotangent goes.
 *
 * Repeated indices: cotangents of what was read several times add up. Of several updates of one element `set` keeps
 * the last, which alone has a cotangent; equal extremes of `max` and `min` share it.
 */
#include "ir/build.h"
#include "ir/columns.h"
#include "ir/grad.h"

/* ---- gather and scatter --------------------------------------------------------------------------- */

typedef struct indexing {
    const grad_args *c;
    tn_val indices;
    tn_ints axes;
    int batch_dims;
} indexing;

static indexing indexing_of(const grad_args *c) {
    const attr *axes = attr_find(&c->attrs, ATTR_axes);
    return (indexing){c, c->x[1], {(int)axes->ints.n, axes->ints.items}, (int)attr_int(&c->attrs, ATTR_batch_dims, 0)};
}

static tn_val gather(const indexing *at, tn_val data) { return tn_gather(data, at->indices, at->axes, at->batch_dims); }

static tn_val scatter(const indexing *at, const char *combine, tn_val data, tn_val updates) {
    return tn_scatter(combine, data, at->indices, updates, at->axes, at->batch_dims);
}

void grad_gather(grad_args *c) {
    indexing at = indexing_of(c);
    c->dx[0] = scatter(&at, "add", grad_zeros(c->x[0]), c->dy[0]);
}

/* Numbers of the updates, in the order in which they are combined. */
static tn_val numbers_of(tn_val updates) {
    tn_graph *g = updates.graph;
    tn_type type = tn_type_of(updates);
    tn_dim count = type_element_count(g->module->dims, &type);
    return tn_reshape_dims(grad_positions(g, 1, &count, 0), type.rank, type.dims);
}

static tn_val like_in(tn_val v, tn_dtype dtype, double number) {
    tn_type type = tn_type_of(v);
    return tn_broadcast_to(tn_scalar(v.graph, dtype, number), type.rank, type.dims);
}

static void scatter_set(grad_args *c, const indexing *at) {
    tn_val updates = c->x[2];
    if (c->wanted[0]) c->dx[0] = scatter(at, "set", c->dy[0], grad_zeros(updates));
    if (!c->wanted[2]) return;
    tn_val numbers = numbers_of(updates);
    tn_val last = gather(at, scatter(at, "set", like_in(c->x[0], TN_I64, -1), numbers));
    c->dx[2] = grad_where(tn_equal(last, numbers), gather(at, c->dy[0]));
}

static void scatter_add(grad_args *c, const indexing *at) {
    c->dx[0] = c->dy[0];
    if (c->wanted[2]) c->dx[2] = gather(at, c->dy[0]);
}

/* An update gets the product of all else that goes into its element: the whole product over it, or, where it is the
 * only 0 there, the product without zeros. */
static void scatter_mul(grad_args *c, const indexing *at) {
    tn_val updates = c->x[2];
    if (c->wanted[0]) c->dx[0] = tn_mul(c->dy[0], scatter(at, "mul", grad_fill(c->x[0], 1), updates));
    if (!c->wanted[2]) return;
    tn_dtype dtype = (tn_dtype)tn_type_of(updates).dtype;
    tn_val is_zero = tn_equal(updates, grad_zeros(updates)), safe = tn_select(is_zero, grad_fill(updates, 1), updates);
    tn_val zeros = scatter(at, "add", grad_zeros(c->x[0]), tn_convert(is_zero, dtype));
    tn_val nonzero = gather(at, tn_mul(c->dy[0], scatter(at, "mul", c->x[0], safe)));
    tn_val others_zero = tn_sub(gather(at, zeros), tn_convert(is_zero, dtype));
    c->dx[2] = grad_where(tn_equal(others_zero, grad_zeros(updates)), tn_div(nonzero, safe));
}

static void scatter_extreme(grad_args *c, const indexing *at) {
    tn_val data = c->x[0], updates = c->x[2];
    tn_dtype dtype = (tn_dtype)tn_type_of(data).dtype;
    tn_val data_wins = tn_equal(data, c->y[0]), update_wins = tn_equal(updates, gather(at, c->y[0]));
    tn_val count = scatter(at, "add", tn_convert(data_wins, dtype), tn_convert(update_wins, dtype));
    tn_val part = tn_div(c->dy[0], count);
    if (c->wanted[0]) c->dx[0] = grad_where(data_wins, part);
    if (c->wanted[2]) c->dx[2] = grad_where(update_wins, gather(at, part));
}

typedef void scatter_rule(grad_args *c, const indexing *at);
static scatter_rule *const scatter_rules[] = {
    [COMBINE_SET] = scatter_set,     [COMBINE_ADD] = scatter_add,     [COMBINE_MUL] = scatter_mul,
    [COMBINE_MAX] = scatter_extreme, [COMBINE_MIN] = scatter_extreme,
};

void grad_scatter(grad_args *c) {
    indexing at = indexing_of(c);
    scatter_rules[attr_int(&c->attrs, ATTR_combine, 0)](c, &at);
}

/* ---- Slices at run time --------------------------------------------------------------------------- */

/* data with `update` at the starts, which are c's operands from `first` on. */
static tn_val update_at(const grad_args *c, tn_val data, tn_val update, uint32_t first) {
    tn_val operands[TN_MAX_RANK + 2] = {data, update};
    int n = 2;
    for (uint32_t i = first; i < c->n_operands; i++) operands[n++] = c->x[i];
    return tn_apply(TN_HERE, c->g, TN_OP_dynamic_update_slice, operands, n, NULL);
}

void grad_dynamic_slice(grad_args *c) { c->dx[0] = update_at(c, grad_zeros(c->x[0]), c->dy[0], 1); }

void grad_dynamic_update_slice(grad_args *c) {
    if (c->wanted[0]) c->dx[0] = update_at(c, c->dy[0], grad_zeros(c->x[1]), 2);
    if (!c->wanted[1]) return;
    tn_type type = tn_type_of(c->x[1]);
    tn_val operands[TN_MAX_RANK + 1] = {c->dy[0]};
    for (int i = 0; i < type.rank; i++) operands[1 + i] = c->x[2 + i];
    tn_attr_arg attrs[] = {{.name = "sizes", .dims = type.dims, .n = type.rank}, {0}};
    c->dx[1] = tn_apply(TN_HERE, c->g, TN_OP_dynamic_slice, operands, type.rank + 1, attrs);
}

/* ---- Sorting -------------------------------------------------------------------------------------- */

/* Sorted along with the operands, positions tell where each element came from; sorting by them puts it back there. */
void grad_sort(grad_args *c) {
    tn_graph *g = c->g;
    int axis = (int)attr_int(&c->attrs, ATTR_axis, 0);
    tn_type type = tn_type_of(c->x[0]);
    tn_val *all = ARENA_ARRAY(&g->module->memory, tn_val, c->n_operands + 1);
    if (!all) {
        module_no_memory(g->module);
        return;
    }
    for (uint32_t i = 0; i < c->n_operands; i++) all[i] = c->x[i];
    all[c->n_operands] = grad_positions(g, type.rank, type.dims, axis);
    tn_val sorted = tn_sort(all, (int)c->n_operands + 1, axis, attr_int(&c->attrs, ATTR_descending, 0) != 0);
    tn_val origin = tn_result(sorted, (int)c->n_operands);
    for (uint32_t i = 0; i < c->n_operands; i++) {
        tn_val pair[] = {origin, c->dy[i]};
        if (c->wanted[i] && tn_is_valid(c->dy[i])) c->dx[i] = tn_result(tn_sort(pair, 2, axis, false), 1);
    }
}

static void last_axis_and_back(int rank, int axis, int64_t *there, int64_t *back) {
    int n = 0;
    for (int i = 0; i < rank; i++)
        if (i != axis) there[n++] = i;
    there[n] = axis;
    for (int i = 0; i < rank; i++) back[there[i]] = i;
}

tn_val grad_add_along(tn_val data, tn_val index, tn_val updates, int axis) {
    int rank = tn_rank(data);
    int64_t there[TN_MAX_RANK], back[TN_MAX_RANK], last = rank - 1;
    if (rank < 1) return BUILD_INVALID;
    last_axis_and_back(rank, axis, there, back);
    tn_ints to_last = {rank, there};
    tn_val rows = tn_transpose(data, to_last), at = tn_transpose(index, to_last);
    if (rank == TN_MAX_RANK) {
        module_error(data.graph->module, TN_ERR_LIMIT, data.graph->origin,
                     "the gradient along an axis needs one axis more than there are, at most %d", TN_MAX_RANK);
        return BUILD_INVALID;
    }
    at = tn_expand_dims(at, TN_INTS(rank));
    tn_val sum = tn_scatter("add", rows, at, tn_transpose(updates, to_last), TN_INTS(last), rank - 1);
    return tn_transpose(sum, ((tn_ints){rank, back}));
}

void grad_top_k(grad_args *c) {
    if (!tn_is_valid(c->dy[0])) return;
    c->dx[0] = grad_add_along(grad_zeros(c->x[0]), c->y[1], c->dy[0], (int)attr_int(&c->attrs, ATTR_axis, 0));
}
