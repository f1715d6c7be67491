/* Reference evaluation of window: pooling in its general form.
 *
 * in:  one operand; for each axis window, stride, low, high, dilation
 * out: result element o combines operand elements o * stride - low + t * dilation, t < window
 * law: what falls outside the operand counts as the neutral element; taps in row-major order
 */
#include "ir/eval_state.h"

#include <string.h>

void eval_taps(int64_t at, int64_t dilation, int64_t extent, int64_t taps, int64_t *first, int64_t *end) {
    *first = at >= 0 ? 0 : (-at + dilation - 1) / dilation;
    *end = at >= extent ? 0 : (extent - 1 - at) / dilation + 1;
    if (*end > taps) *end = taps;
    if (*end < *first) *end = *first;
}

typedef struct window_plan {
    int rank;
    int64_t window[TN_MAX_RANK], stride[TN_MAX_RANK], low[TN_MAX_RANK], dilation[TN_MAX_RANK];
    int64_t strides[TN_MAX_RANK]; /* of the operand */
} window_plan;

static bool read_plan(eval_args *c, window_plan *p) {
    const eval_tensor *x = c->operands[0];
    int64_t unused;
    *p = (window_plan){.rank = x->rank};
    if (!eval_ints(c, ATTR_window, p->rank, 1, p->window) || !eval_ints(c, ATTR_stride, p->rank, 1, p->stride) ||
        !eval_dims(c, ATTR_low, p->rank, 0, p->low) || !eval_ints(c, ATTR_dilation, p->rank, 1, p->dilation))
        return false;
    for (int axis = 0; axis < p->rank; axis++) {
        int64_t last = c->results[0].dims[axis] - 1, reach = p->low[axis];
        bool fits = p->window[axis] >= 0 && p->stride[axis] > 0 && p->dilation[axis] > 0 && reach > -INT64_MAX / 4 &&
                    reach < INT64_MAX / 4 && p->dilation[axis] < INT64_MAX / 4 &&
                    (last < 0 || !__builtin_mul_overflow(last, p->stride[axis], &unused));
        if (!fits || (last >= 0 && unused > INT64_MAX / 4))
            return eval_error(c->state, TN_ERR_LIMIT, "sizes of axis %d are out of range", axis);
    }
    eval_strides(p->rank, x->dims, p->strides);
    return true;
}

/* The window of the result element at `at`: a walk over its taps inside the operand. Returns how
 * many there are. */
static int64_t open_window(const window_plan *p, const eval_tensor *x, const int64_t *at, eval_walk *w) {
    int64_t n = 1;
    *w = (eval_walk){.rank = p->rank};
    for (int axis = 0; axis < p->rank; axis++) {
        int64_t begin = at[axis] * p->stride[axis] - p->low[axis], first, end;
        eval_taps(begin, p->dilation[axis], x->dims[axis], p->window[axis], &first, &end);
        if (end == first) return 0;
        w->dims[axis] = end - first;
        w->strides[axis] = p->dilation[axis] * p->strides[axis];
        w->offset += (begin + first * p->dilation[axis]) * p->strides[axis];
        n *= end - first;
    }
    return n;
}

static void combine_windows(const window_plan *p, const eval_tensor *x, const wide *all, const double *m,
                            const eval_fold *fold, eval_tensor *y, double growth) {
    eval_walk out = {.rank = y->rank};
    memcpy(out.dims, y->dims, sizeof out.dims);
    for (int64_t k = 0; k < y->n; k++, eval_walk_next(&out)) {
        eval_walk w;
        wide acc = fold->neutral;
        double sum_m = 0;
        int64_t n = open_window(p, x, out.at, &w);
        for (int64_t t = 0; t < n; t++, eval_walk_next(&w))
            eval_fold_in(fold, &acc, m ? &sum_m : NULL, all[w.offset], m ? m[w.offset] : 0);
        eval_write(y, k, 1, &acc);
        if (m) y->magnitude[k] = eval_folded_magnitude(growth, sum_m, acc.f);
    }
}

bool eval_window(eval_args *c) {
    const eval_tensor *x = c->operands[0];
    eval_tensor *y = &c->results[0];
    int64_t kind = attr_int(&c->node->attrs, ATTR_kind, REDUCE_SUM);
    eval_fold fold;
    window_plan p;
    if (x->rank != y->rank || x->dtype != y->dtype || kind < 0 || !eval_fold_of((reduce_kind)kind, x->dtype, &fold))
        return eval_error(c->state, TN_ERR_VERIFY, "this kind is not defined on the operand");
    if (!read_plan(c, &p)) return false;
    wide *all = eval_read_all(c->state, x);
    double *m = y->magnitude ? eval_read_all_magnitudes(c->state, x) : NULL;
    bool is_good = all && (m || !y->magnitude);
    if (is_good) combine_windows(&p, x, all, m, &fold, y, eval_acc_growth(c));
    tn_free(all);
    tn_free(m);
    return is_good;
}
