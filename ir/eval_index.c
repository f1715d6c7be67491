/* Reference evaluation of ops whose indices are data: gather scatter dynamic_slice
 * dynamic_update_slice.
 *
 * in:  data, indices
 * out: elements read or combined at those places
 * law: an index out of range is a fault: gather reads the nearest element, scatter drops the
 *      update, and the run returns an error that names the first one. Scatter combines in
 *      row-major order of the updates, in f64 or 64-bit integers, and rounds once at the end.
 *      Dynamic slices clamp their start so that they fit, without a fault.
 */
#include "ir/eval_state.h"

#include <math.h>
#include <string.h>

/* ---- gather and scatter ------------------------------------------------------------------------ */

/* How the elements of gather's result (or of scatter's updates) lie in the data. Its axes are
 * batch axes, index axes, window axes (the data's axes that are not indexed, in order). */
typedef struct index_plan {
    int64_t axes[TN_MAX_RANK]; /* the data axis of each index component */
    int n_axes;
    int64_t strides[TN_MAX_RANK]; /* of the data */
    eval_walk window;             /* over batch, index and window axes: offset of the batch and window parts */
    eval_walk index;              /* likewise: where the index vector begins */
} index_plan;

static bool plan_indices(eval_args *c, const eval_tensor *data, const eval_tensor *indices, const eval_tensor *picked,
                         index_plan *p) {
    int64_t batch = attr_int(&c->node->attrs, ATTR_batch_dims, 0), index_strides[TN_MAX_RANK];
    const attr *axes = attr_find(&c->node->attrs, ATTR_axes);
    bool is_indexed[TN_MAX_RANK] = {false};
    const int n_axes = axes ? (int)axes->ints.n : 0;
    *p = (index_plan){.n_axes = n_axes};
    int index_axes = indices->rank - 1; /* batch axes among them */
    if (indices->rank < 1 || batch < 0 || batch > index_axes || n_axes > data->rank - batch ||
        indices->dims[index_axes] != n_axes || picked->rank != index_axes + data->rank - batch - n_axes)
        return eval_error(c->state, TN_ERR_VERIFY, "indices do not fit data and axes");
    eval_strides(data->rank, data->dims, p->strides);
    eval_strides(indices->rank, indices->dims, index_strides);
    for (int k = 0; k < n_axes; k++) {
        int64_t axis = p->axes[k] = axes->ints.items[k];
        if (axis < batch || axis >= data->rank || is_indexed[axis])
            return eval_error(c->state, TN_ERR_VERIFY, "axis %lld is out of range or named twice", (long long)axis);
        is_indexed[axis] = true;
    }
    int to = 0;
    for (; to < index_axes; to++) {
        p->index.strides[to] = index_strides[to];
        p->window.strides[to] = to < batch ? p->strides[to] : 0;
        if (picked->dims[to] != indices->dims[to] || (to < batch && picked->dims[to] != data->dims[to]))
            return eval_error(c->state, TN_ERR_SHAPE, "axis %d of the indices does not fit", to);
    }
    for (int axis = (int)batch; axis < data->rank; axis++) {
        if (is_indexed[axis]) continue;
        p->window.strides[to] = p->strides[axis];
        if (picked->dims[to++] != data->dims[axis])
            return eval_error(c->state, TN_ERR_SHAPE, "data axis %d does not fit", axis);
    }
    p->window.rank = p->index.rank = picked->rank;
    memcpy(p->window.dims, picked->dims, sizeof picked->dims);
    memcpy(p->index.dims, picked->dims, sizeof picked->dims);
    return true;
}

/* The data element that the walks stand at, with indices clamped; -1 where there is none.
 * False (with a fault) when an index was out of range. */
static bool locate(eval_args *c, const index_plan *p, const eval_tensor *data, const eval_tensor *indices,
                   int64_t *at) {
    bool is_inside = true;
    *at = data->n > 0 ? p->window.offset : -1;
    for (int k = 0; k < p->n_axes; k++) {
        int64_t index = eval_load_index(indices, p->index.offset + k), extent = data->dims[p->axes[k]];
        if (index < 0 || index >= extent) {
            eval_fault(c->state, TN_ERR_INDEX, "index %lld is out of range: axis %lld has %lld elements",
                       (long long)index, (long long)p->axes[k], (long long)extent);
            is_inside = false;
            index = index < 0 ? 0 : extent - 1;
        }
        if (data->n > 0) *at += index * p->strides[p->axes[k]];
    }
    return is_inside;
}

bool eval_gather(eval_args *c) {
    const eval_tensor *data = c->operands[0], *indices = c->operands[1];
    eval_tensor *y = &c->results[0];
    index_plan p;
    if (!plan_indices(c, data, indices, y, &p)) return false;
    if (data->dtype != y->dtype) return eval_error(c->state, TN_ERR_VERIFY, "dtypes differ");
    for (int64_t k = 0; k < y->n; k++, eval_walk_next(&p.window), eval_walk_next(&p.index)) {
        int64_t at;
        locate(c, &p, data, indices, &at);
        if (at >= 0) eval_move(data, at, y, k, 1); /* of no elements the nearest is 0 */
    }
    return true;
}

/* How scatter combines; `set` overwrites. */
static bool scatter_fold(int64_t combine, tn_dtype dtype, eval_fold *fold) {
    static const reduce_kind kinds[] = {[COMBINE_ADD] = REDUCE_SUM,
                                        [COMBINE_MUL] = REDUCE_PROD,
                                        [COMBINE_MAX] = REDUCE_MAX,
                                        [COMBINE_MIN] = REDUCE_MIN};
    return combine >= COMBINE_SET && combine <= COMBINE_MIN &&
           (combine == COMBINE_SET || eval_fold_of(kinds[combine], dtype, fold));
}

bool eval_scatter(eval_args *c) {
    const eval_tensor *data = c->operands[0], *indices = c->operands[1], *updates = c->operands[2];
    eval_tensor *y = &c->results[0];
    int64_t combine = attr_int(&c->node->attrs, ATTR_combine, COMBINE_SET);
    index_plan p;
    eval_fold fold;
    if (!plan_indices(c, data, indices, updates, &p)) return false;
    if (!scatter_fold(combine, y->dtype, &fold) || data->n != y->n || data->dtype != y->dtype ||
        updates->dtype != y->dtype)
        return eval_error(c->state, TN_ERR_VERIFY, "data, updates and combine do not fit");
    wide *all = eval_read_all(c->state, data), update;
    if (!all) return false;
    if (y->magnitude) eval_read_magnitudes(data, 0, data->n, y->magnitude);
    for (int64_t k = 0; k < updates->n; k++, eval_walk_next(&p.window), eval_walk_next(&p.index)) {
        int64_t at;
        double m = 0;
        if (!locate(c, &p, data, indices, &at) || at < 0) continue;
        eval_read(updates, k, 1, &update);
        if (y->magnitude) eval_read_magnitudes(updates, k, 1, &m);
        if (combine == COMBINE_SET) {
            all[at] = update;
            if (y->magnitude) y->magnitude[at] = m;
        } else {
            eval_fold_in(&fold, &all[at], y->magnitude ? &y->magnitude[at] : NULL, update, m);
            /* Each step gives an element, rounded as such: a product may overflow on its way to 0. */
            eval_write(y, at, 1, &all[at]);
            eval_read(y, at, 1, &all[at]);
        }
    }
    eval_write(y, 0, y->n, all);
    tn_free(all);
    return true;
}

/* ---- Dynamic slices ------------------------------------------------------------------------------- */

/* Reads the starts and clamps them so that a block of `sizes` fits into `whole`. */
static bool read_starts(eval_args *c, uint32_t first, const eval_tensor *whole, const eval_tensor *block,
                        int64_t *starts) {
    if (c->n_operands != first + (uint32_t)whole->rank || block->rank != whole->rank || block->dtype != whole->dtype)
        return eval_error(c->state, TN_ERR_VERIFY, "there must be one start for each axis");
    for (int axis = 0; axis < whole->rank; axis++) {
        const eval_tensor *start = c->operands[first + (uint32_t)axis];
        int64_t last = whole->dims[axis] - block->dims[axis];
        if (start->n != 1 || last < 0)
            return eval_error(c->state, TN_ERR_SHAPE, "the slice is larger than axis %d", axis);
        int64_t at = eval_load_index(start, 0);
        starts[axis] = at < 0 ? 0 : at > last ? last : at;
    }
    return true;
}

/* Walks over a block within `whole`: offset is the element in `whole`. */
static eval_walk block_walk(const eval_tensor *whole, const eval_tensor *block, const int64_t *starts) {
    eval_walk w = {.rank = whole->rank};
    eval_strides(whole->rank, whole->dims, w.strides);
    memcpy(w.dims, block->dims, sizeof w.dims);
    for (int axis = 0; axis < whole->rank; axis++) w.offset += starts[axis] * w.strides[axis];
    return w;
}

bool eval_dynamic_slice(eval_args *c) {
    const eval_tensor *data = c->operands[0];
    eval_tensor *y = &c->results[0];
    int64_t starts[TN_MAX_RANK] = {0};
    if (!read_starts(c, 1, data, y, starts)) return false;
    if (y->n == 0) return true;
    eval_walk w = block_walk(data, y, starts);
    for (int64_t k = 0; k < y->n; k++, eval_walk_next(&w)) eval_move(data, w.offset, y, k, 1);
    return true;
}

bool eval_dynamic_update_slice(eval_args *c) {
    const eval_tensor *data = c->operands[0], *update = c->operands[1];
    eval_tensor *y = &c->results[0];
    int64_t starts[TN_MAX_RANK] = {0};
    if (!read_starts(c, 2, data, update, starts)) return false;
    if (data->n != y->n || data->dtype != y->dtype)
        return eval_error(c->state, TN_ERR_VERIFY, "the result is not like the data");
    eval_move(data, 0, y, 0, y->n);
    if (update->n == 0) return true;
    eval_walk w = block_walk(data, update, starts);
    for (int64_t k = 0; k < update->n; k++, eval_walk_next(&w)) eval_move(update, k, y, w.offset, 1);
    return true;
}
