/* Reference evaluation of reduce and cumulate.
 *
 * in:  one operand
 * out: its elements combined along axes, or the running combination along one
 * law: elements are taken in row-major order of the operand, in f64 or 64-bit integers, and
 *      the result is rounded once. Of equal elements argmax and argmin take the first, or the
 *      last with select_last; NaN is greater and smaller than anything else.
 */
#include "ir/eval_state.h"

#include <math.h>
#include <string.h>

/* ---- reduce ------------------------------------------------------------------------------------- */

/* Walks the operand; offset is the result element that each belongs to. */
static bool plan_reduce(eval_args *c, const eval_tensor *x, const eval_tensor *y, eval_walk *w) {
    const attr *axes = attr_find(&c->node->attrs, ATTR_axes);
    bool vanishes[TN_MAX_RANK] = {false};
    int64_t strides[TN_MAX_RANK];
    for (uint32_t k = 0; axes && k < axes->ints.n; k++) {
        int64_t axis = axes->ints.items[k];
        if (axis < 0 || axis >= x->rank || vanishes[axis])
            return eval_error(c->state, TN_ERR_VERIFY, "axis %lld is out of range or named twice", (long long)axis);
        vanishes[axis] = true;
    }
    *w = (eval_walk){.rank = x->rank};
    memcpy(w->dims, x->dims, sizeof w->dims);
    eval_strides(y->rank, y->dims, strides);
    int to = 0;
    for (int axis = 0; axis < x->rank; axis++) {
        if (vanishes[axis]) continue;
        if (to >= y->rank || y->dims[to] != x->dims[axis])
            return eval_error(c->state, TN_ERR_SHAPE, "axis %d does not fit", axis);
        w->strides[axis] = strides[to++];
    }
    return to == y->rank || eval_error(c->state, TN_ERR_SHAPE, "the result has too many axes");
}

static bool fold_all(eval_args *c, const eval_fold *fold, eval_walk *w) {
    const eval_tensor *x = c->operands[0];
    eval_tensor *y = &c->results[0];
    wide *acc = tn_malloc(((size_t)y->n + 1) * sizeof *acc), v[EVAL_CHUNK];
    double m[EVAL_CHUNK] = {0}, growth = eval_acc_growth(c);
    if (!acc) return eval_no_memory(c->state);
    for (int64_t k = 0; k < y->n; k++) acc[k] = fold->neutral;
    for (int64_t first = 0; first < x->n && y->n > 0; first += EVAL_CHUNK) {
        int64_t n = x->n - first < EVAL_CHUNK ? x->n - first : EVAL_CHUNK;
        eval_read(x, first, n, v);
        if (y->magnitude) eval_read_magnitudes(x, first, n, m);
        for (int64_t k = 0; k < n; k++, eval_walk_next(w))
            eval_fold_in(fold, &acc[w->offset], y->magnitude ? &y->magnitude[w->offset] : NULL, v[k], m[k]);
    }
    eval_write(y, 0, y->n, acc);
    for (int64_t k = 0; y->magnitude && k < y->n; k++)
        y->magnitude[k] = eval_folded_magnitude(growth, y->magnitude[k], acc[k].f);
    tn_free(acc);
    return true;
}

/* -1, 0, 1: a goes before, ties with, goes after b, when greater ones go first; NaN is greatest. */
static int rank_of(const eval_fold *fold, wide a, wide b, bool greatest) {
    int order;
    if (fold->is_float)
        order = isnan(a.f) || isnan(b.f) ? (isnan(b.f) != 0) - (isnan(a.f) != 0)
                : greatest               ? (a.f < b.f) - (a.f > b.f)
                                         : (a.f > b.f) - (a.f < b.f);
    else {
        bool is_less = fold->type.is_signed ? a.i < b.i : (uint64_t)a.i < (uint64_t)b.i;
        order = a.i == b.i ? 0 : is_less == greatest ? 1 : -1;
    }
    return order;
}

static bool find_extreme(eval_args *c, eval_walk *w, bool greatest) {
    const eval_tensor *x = c->operands[0];
    eval_tensor *y = &c->results[0];
    const attr *axes = attr_find(&c->node->attrs, ATTR_axes);
    bool last = attr_int(&c->node->attrs, ATTR_select_last, 0) != 0;
    eval_fold fold = {.is_float = dtype_is_float(x->dtype), .type = eval_int_type(x->dtype)};
    if (!axes || axes->ints.n != 1) return eval_error(c->state, TN_ERR_VERIFY, "argmax and argmin take one axis");
    int64_t axis = axes->ints.items[0];
    wide *all = eval_read_all(c->state, x), *best = tn_malloc(((size_t)y->n + 1) * sizeof *best);
    int64_t *where = tn_malloc(((size_t)y->n + 1) * sizeof *where);
    bool is_good = all && best && where;
    for (int64_t k = 0; is_good && k < y->n; k++) where[k] = 0; /* of none: 0 */
    for (int64_t k = 0; is_good && y->n > 0 && k < x->n; k++, eval_walk_next(w)) {
        int64_t at = w->at[axis];
        int order = at == 0 ? -1 : rank_of(&fold, all[k], best[w->offset], greatest);
        if (order > 0 || (order == 0 && !last)) continue;
        best[w->offset] = all[k];
        where[w->offset] = at;
    }
    for (int64_t k = 0; is_good && k < y->n; k++) eval_store_int(y, k, where[k]);
    tn_free(all);
    tn_free(best);
    tn_free(where);
    return is_good || eval_no_memory(c->state);
}

bool eval_reduce(eval_args *c) {
    int64_t kind = attr_int(&c->node->attrs, ATTR_kind, REDUCE_SUM);
    const eval_tensor *x = c->operands[0];
    eval_walk w = {0};
    eval_fold fold;
    if (!plan_reduce(c, x, &c->results[0], &w)) return false;
    if (kind == REDUCE_ARGMAX || kind == REDUCE_ARGMIN) return find_extreme(c, &w, kind == REDUCE_ARGMAX);
    if (x->dtype != c->results[0].dtype || kind < 0 || !eval_fold_of((reduce_kind)kind, x->dtype, &fold))
        return eval_error(c->state, TN_ERR_VERIFY, "this kind is not defined on %s", tn_dtype_name(x->dtype));
    return fold_all(c, &fold, &w);
}

/* ---- cumulate ----------------------------------------------------------------------------------------- */

bool eval_cumulate(eval_args *c) {
    const eval_tensor *x = c->operands[0];
    eval_tensor *y = &c->results[0];
    int64_t kind = attr_int(&c->node->attrs, ATTR_kind, REDUCE_SUM), axis = attr_int(&c->node->attrs, ATTR_axis, 0);
    bool exclusive = attr_int(&c->node->attrs, ATTR_exclusive, 0), reverse = attr_int(&c->node->attrs, ATTR_reverse, 0);
    eval_fold fold;
    if (kind < 0 || axis < 0 || axis >= x->rank || x->n != y->n || x->dtype != y->dtype ||
        !eval_fold_of((reduce_kind)kind, x->dtype, &fold))
        return eval_error(c->state, TN_ERR_VERIFY, "this kind or axis is not defined on the operand");
    if (x->n == 0) return true;
    wide *all = eval_read_all(c->state, x);
    if (!all) return false;
    int64_t strides[TN_MAX_RANK], extent = x->dims[axis];
    double growth = eval_acc_growth(c);
    eval_strides(x->rank, x->dims, strides);
    for (int64_t line = 0; line < x->n / extent; line++) {
        int64_t step = strides[axis], first = line / step * step * extent + line % step;
        wide acc = fold.neutral;
        double sum_m = 0, m = 0;
        for (int64_t k = 0; k < extent; k++) {
            int64_t at = first + (reverse ? extent - 1 - k : k) * step;
            wide v = all[at];
            double before_m = sum_m;
            wide before = acc;
            if (y->magnitude) eval_read_magnitudes(x, at, 1, &m);
            eval_fold_in(&fold, &acc, y->magnitude ? &sum_m : NULL, v, m);
            all[at] = exclusive ? before : acc;
            if (y->magnitude) y->magnitude[at] = eval_folded_magnitude(growth, exclusive ? before_m : sum_m, all[at].f);
        }
    }
    eval_write(y, 0, y->n, all);
    tn_free(all);
    return true;
}
