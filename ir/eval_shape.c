/* Reference evaluation of the views: broadcast reshape transpose slice reverse pad concat.
 *
 * in:  elements
 * out: the same elements in other places, magnitudes with them
 * law: the first five read operand element base + sum of index * stride for each result
 *      index; the last two write into the result likewise
 */
#include "ir/eval_state.h"

#include <string.h>

/* Moves one line of the result's last axis. */
static void read_line(const eval_tensor *x, int64_t from, int64_t stride, eval_tensor *y, int64_t to, int64_t n) {
    if (stride == 1) {
        eval_move(x, from, y, to, n);
        return;
    }
    for (int64_t k = 0; k < n; k++) eval_move(x, from + k * stride, y, to + k, 1);
}

/* Fills the result: each element from operand element base + index * strides. */
static bool read_strided(eval_args *c, int64_t base, const int64_t *strides) {
    const eval_tensor *x = c->operands[0];
    eval_tensor *y = &c->results[0];
    if (y->n == 0) return true;
    if (x->n == 0 || x->dtype != y->dtype) return eval_error(c->state, TN_ERR_VERIFY, "there is nothing to read");
    if (y->rank == 0) {
        eval_move(x, base, y, 0, 1);
        return true;
    }
    eval_walk w = {.rank = y->rank - 1, .offset = base};
    memcpy(w.dims, y->dims, sizeof w.dims);
    memcpy(w.strides, strides, (size_t)y->rank * sizeof *strides);
    int64_t line = y->dims[y->rank - 1];
    for (int64_t first = 0; first < y->n; first += line, eval_walk_next(&w))
        read_line(x, w.offset, strides[y->rank - 1], y, first, line);
    return true;
}

bool eval_broadcast(eval_args *c) {
    const eval_tensor *x = c->operands[0];
    const eval_tensor *y = &c->results[0];
    int64_t to[TN_MAX_RANK], from[TN_MAX_RANK], strides[TN_MAX_RANK] = {0};
    if (!eval_ints(c, ATTR_dims, x->rank, 0, to)) return false;
    eval_strides(x->rank, x->dims, from);
    for (int axis = 0; axis < x->rank; axis++) {
        if (to[axis] < 0 || to[axis] >= y->rank || (x->dims[axis] != 1 && x->dims[axis] != y->dims[to[axis]]))
            return eval_error(c->state, TN_ERR_VERIFY, "operand axis %d does not fit the result", axis);
        if (x->dims[axis] != 1) strides[to[axis]] = from[axis];
    }
    return read_strided(c, 0, strides);
}

bool eval_reshape(eval_args *c) {
    const eval_tensor *x = c->operands[0];
    eval_tensor *y = &c->results[0];
    if (x->n != y->n || x->dtype != y->dtype)
        return eval_error(c->state, TN_ERR_SHAPE, "%lld elements do not make %lld", (long long)x->n, (long long)y->n);
    eval_move(x, 0, y, 0, y->n);
    return true;
}

bool eval_transpose(eval_args *c) {
    const eval_tensor *x = c->operands[0];
    const eval_tensor *y = &c->results[0];
    int64_t perm[TN_MAX_RANK], from[TN_MAX_RANK], strides[TN_MAX_RANK];
    bool is_taken[TN_MAX_RANK] = {false};
    if (!eval_ints(c, ATTR_perm, y->rank, 0, perm)) return false;
    eval_strides(x->rank, x->dims, from);
    for (int axis = 0; axis < y->rank; axis++) {
        if (perm[axis] < 0 || perm[axis] >= x->rank || is_taken[perm[axis]] || x->dims[perm[axis]] != y->dims[axis])
            return eval_error(c->state, TN_ERR_VERIFY, "result axis %d does not fit perm", axis);
        is_taken[perm[axis]] = true;
        strides[axis] = from[perm[axis]];
    }
    return read_strided(c, 0, strides);
}

bool eval_slice(eval_args *c) {
    const eval_tensor *x = c->operands[0];
    const eval_tensor *y = &c->results[0];
    int64_t start[TN_MAX_RANK], step[TN_MAX_RANK], from[TN_MAX_RANK], strides[TN_MAX_RANK], base = 0;
    if (!eval_dims(c, ATTR_start, x->rank, 0, start) || !eval_ints(c, ATTR_stride, x->rank, 1, step)) return false;
    if (y->n == 0) return true;
    eval_strides(x->rank, x->dims, from);
    for (int axis = 0; axis < x->rank; axis++) {
        int64_t room = x->dims[axis] - 1 - start[axis];
        if (start[axis] < 0 || room < 0 || step[axis] < 1 || (y->dims[axis] - 1) > room / step[axis])
            return eval_error(c->state, TN_ERR_SHAPE,
                              "axis %d: %lld elements from %lld in steps of %lld leave the operand's %lld", axis,
                              (long long)y->dims[axis], (long long)start[axis], (long long)step[axis],
                              (long long)x->dims[axis]);
        base += start[axis] * from[axis];
        strides[axis] = y->dims[axis] == 1 ? 0 : step[axis] * from[axis];
    }
    return read_strided(c, base, strides);
}

bool eval_reverse(eval_args *c) {
    const eval_tensor *x = c->operands[0];
    const attr *axes = attr_find(&c->node->attrs, ATTR_axes);
    int64_t strides[TN_MAX_RANK], base = 0;
    if (x->n == 0) return true;
    eval_strides(x->rank, x->dims, strides);
    for (uint32_t k = 0; axes && k < axes->ints.n; k++) {
        int64_t axis = axes->ints.items[k];
        if (axis < 0 || axis >= x->rank || strides[axis] < 0)
            return eval_error(c->state, TN_ERR_VERIFY, "axis %lld is out of range or named twice", (long long)axis);
        base += strides[axis] * (x->dims[axis] - 1);
        strides[axis] = -strides[axis];
    }
    return read_strided(c, base, strides);
}

/* ---- Writing views ------------------------------------------------------------------------------ */

bool eval_pad(eval_args *c) {
    const eval_tensor *x = c->operands[0], *padding = c->operands[1];
    eval_tensor *y = &c->results[0];
    int64_t low[TN_MAX_RANK], interior[TN_MAX_RANK], strides[TN_MAX_RANK];
    if (!eval_dims(c, ATTR_low, y->rank, 0, low) || !eval_ints(c, ATTR_interior, y->rank, 0, interior)) return false;
    if (padding->n != 1 || x->rank != y->rank || x->dtype != y->dtype || padding->dtype != y->dtype)
        return eval_error(c->state, TN_ERR_VERIFY, "operands do not fit the result");
    for (int64_t k = 0; k < y->n; k++) eval_move(padding, 0, y, k, 1);
    if (x->n == 0 || y->n == 0) return true;
    eval_strides(y->rank, y->dims, strides);
    eval_walk w = {.rank = x->rank}; /* strides 0: only the position counts */
    memcpy(w.dims, x->dims, sizeof w.dims);
    for (int64_t k = 0; k < x->n; k++, eval_walk_next(&w)) {
        int64_t to = 0;
        bool is_inside = true;
        for (int axis = 0; axis < x->rank && is_inside; axis++) {
            int64_t at; /* overflow: far outside */
            is_inside = interior[axis] >= 0 && interior[axis] < INT64_MAX &&
                        !__builtin_mul_overflow(w.at[axis], interior[axis] + 1, &at) &&
                        !__builtin_add_overflow(at, low[axis], &at) && at >= 0 && at < y->dims[axis];
            if (is_inside) to += at * strides[axis];
        }
        if (is_inside) eval_move(x, k, y, to, 1);
    }
    return true;
}

bool eval_concat(eval_args *c) {
    eval_tensor *y = &c->results[0];
    int64_t axis = attr_int(&c->node->attrs, ATTR_axis, 0), outer = 1, inner = 1, done = 0;
    if (axis < 0 || axis >= y->rank)
        return eval_error(c->state, TN_ERR_VERIFY, "axis %lld is out of range", (long long)axis);
    if (y->n == 0) return true;
    for (int k = 0; k < axis; k++) outer *= y->dims[k];
    for (int k = (int)axis + 1; k < y->rank; k++) inner *= y->dims[k];
    for (uint32_t i = 0; i < c->n_operands; i++) {
        const eval_tensor *x = c->operands[i];
        bool fits = x->rank == y->rank && x->dtype == y->dtype && x->dims[axis] <= y->dims[axis] - done;
        int64_t run = fits ? x->dims[axis] * inner : 0;
        if (!fits || x->n != outer * run)
            return eval_error(c->state, TN_ERR_SHAPE, "operand %u does not fit the result", (unsigned)i);
        for (int64_t o = 0; o < outer; o++) eval_move(x, o * run, y, (o * y->dims[axis] + done) * inner, run);
        done += x->dims[axis];
    }
    return done == y->dims[axis] ||
           eval_error(c->state, TN_ERR_SHAPE, "operands fill %lld of %lld", (long long)done, (long long)y->dims[axis]);
}
