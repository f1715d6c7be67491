/* Reference evaluation of dot, and what contractions share.
 *
 * in:  two operands; pairs of batch and of contracted axes
 * out: sums of products
 * law: each sum runs over the contracted axes in row-major order, in f64 or wrapping 64-bit
 *      integers, and is rounded once
 */
#include "ir/eval_state.h"

#include <math.h>
#include <string.h>

/* ---- Shared with conv ---------------------------------------------------------------------------- */

static void axpy_float(wide *acc, const wide *x, int64_t step, wide w, int64_t n) {
    for (int64_t k = 0; k < n; k++) acc[k].f += w.f * x[k * step].f;
}

static void axpy_int(wide *acc, const wide *x, int64_t step, wide w, int64_t n) {
    for (int64_t k = 0; k < n; k++) acc[k].i = (int64_t)((uint64_t)acc[k].i + (uint64_t)w.i * (uint64_t)x[k * step].i);
}

typedef enum reading { READ_VALUES, READ_ABSOLUTE, READ_MAGNITUDES } reading;

static void read_in_order(const eval_tensor *t, const eval_walk *order, reading what, wide *out) {
    eval_walk w = *order;
    for (int64_t k = 0; k < t->n; k++, eval_walk_next(&w)) {
        if (what == READ_MAGNITUDES)
            eval_read_magnitudes(t, w.offset, 1, &out[k].f);
        else
            eval_read(t, w.offset, 1, &out[k]);
        if (what == READ_ABSOLUTE) out[k].f = fabs(out[k].f);
    }
}

eval_walk eval_natural_order(const eval_tensor *t) {
    eval_walk w = {.rank = t->rank};
    memcpy(w.dims, t->dims, sizeof w.dims);
    eval_strides(t->rank, t->dims, w.strides);
    return w;
}

bool eval_contract(eval_args *c, const contraction *how) {
    const eval_tensor *ta = c->operands[0], *tb = c->operands[1];
    eval_tensor *y = &c->results[0];
    if (dtype_is_float(ta->dtype) != dtype_is_float(y->dtype) || dtype_is_float(tb->dtype) != dtype_is_float(y->dtype))
        return eval_error(c->state, TN_ERR_VERIFY, "operands and result are not all floats or all integers");
    wide *a = tn_malloc(((size_t)ta->n + 1) * sizeof *a), *b = tn_malloc(((size_t)tb->n + 1) * sizeof *b);
    wide *sums = tn_calloc((size_t)y->n + 1, sizeof *sums);
    bool is_good = a && b && sums;
    if (!is_good) {
        eval_no_memory(c->state);
    } else {
        read_in_order(ta, &how->a, READ_VALUES, a);
        read_in_order(tb, &how->b, READ_VALUES, b);
        how->loops(how->plan, a, b, sums, dtype_is_float(y->dtype) ? axpy_float : axpy_int);
        eval_write(y, 0, y->n, sums);
    }
    if (is_good && y->magnitude) {
        double growth = eval_acc_growth(c);
        memset(sums, 0, (size_t)y->n * sizeof *sums);
        for (int side = 0; side < 2; side++) {
            read_in_order(ta, &how->a, side == 0 ? READ_MAGNITUDES : READ_ABSOLUTE, a);
            read_in_order(tb, &how->b, side == 1 ? READ_MAGNITUDES : READ_ABSOLUTE, b);
            how->loops(how->magnitude_plan ? how->magnitude_plan : how->plan, a, b, sums, axpy_float);
        }
        for (int64_t k = 0; k < y->n; k++) y->magnitude[k] = growth * sums[k].f;
    }
    tn_free(a);
    tn_free(b);
    tn_free(sums);
    return is_good;
}

/* ---- dot -------------------------------------------------------------------------------------------- */

typedef struct dot_plan {
    int64_t n_batch, n_a, n_k, n_b; /* elements of the groups of axes: batch, a's free, contracted, b's free */
} dot_plan;

/* One operand's axes: batch and contracted ones as attributes list them, then the free ones. */
typedef struct dot_axes {
    const int64_t *batch, *contract;
    int n_batch, n_contract, n_free;
    int64_t free[TN_MAX_RANK];
} dot_axes;

static bool read_axes(eval_args *c, int operand, dot_axes *d) {
    static const int64_t none[1];
    const attr *pairs[2] = {attr_find(&c->node->attrs, ATTR_batch), attr_find(&c->node->attrs, ATTR_contract)};
    const eval_tensor *t = c->operands[operand];
    bool is_taken[TN_MAX_RANK] = {false};
    *d = (dot_axes){.batch = none, .contract = none};
    for (int p = 0; p < 2; p++) {
        if (!pairs[p]) continue;
        uint32_t split = pairs[p]->split, n = operand == 0 ? split : pairs[p]->ints.n - split;
        const int64_t *items = pairs[p]->ints.items + (operand == 0 ? 0 : split);
        if (2 * split != pairs[p]->ints.n) return eval_error(c->state, TN_ERR_VERIFY, "lists of axes differ in length");
        for (uint32_t k = 0; k < n; k++) {
            if (items[k] < 0 || items[k] >= t->rank || is_taken[items[k]])
                return eval_error(c->state, TN_ERR_VERIFY, "axis %lld is out of range or named twice",
                                  (long long)items[k]);
            is_taken[items[k]] = true;
        }
        *(p == 0 ? &d->batch : &d->contract) = items;
        *(p == 0 ? &d->n_batch : &d->n_contract) = (int)n;
    }
    for (int axis = 0; axis < t->rank; axis++)
        if (!is_taken[axis]) d->free[d->n_free++] = axis;
    return true;
}

/* Appends axes of t to a walk; returns the product of their extents. */
static int64_t append_axes(eval_walk *w, const eval_tensor *t, const int64_t *axes, int n) {
    int64_t strides[TN_MAX_RANK], product = 1;
    eval_strides(t->rank, t->dims, strides);
    for (int k = 0; k < n; k++) {
        w->dims[w->rank] = t->dims[axes[k]];
        w->strides[w->rank++] = strides[axes[k]];
        if (product != 0 && __builtin_mul_overflow(product, t->dims[axes[k]], &product)) product = INT64_MAX;
    }
    return product;
}

/* Operands are read in the order batch, free, contracted (a) and batch, contracted, free (b). */
static bool plan_dot(eval_args *c, contraction *how, dot_plan *p) {
    const eval_tensor *a = c->operands[0], *b = c->operands[1], *y = &c->results[0];
    dot_axes da, db;
    if (!read_axes(c, 0, &da) || !read_axes(c, 1, &db)) return false;
    for (int k = 0; k < da.n_batch; k++)
        if (a->dims[da.batch[k]] != b->dims[db.batch[k]])
            return eval_error(c->state, TN_ERR_SHAPE, "batch axes differ");
    for (int k = 0; k < da.n_contract; k++)
        if (a->dims[da.contract[k]] != b->dims[db.contract[k]])
            return eval_error(c->state, TN_ERR_SHAPE, "contracted axes differ");
    p->n_batch = append_axes(&how->a, a, da.batch, da.n_batch);
    p->n_a = append_axes(&how->a, a, da.free, da.n_free);
    p->n_k = append_axes(&how->a, a, da.contract, da.n_contract);
    append_axes(&how->b, b, db.batch, db.n_batch);
    append_axes(&how->b, b, db.contract, db.n_contract);
    p->n_b = append_axes(&how->b, b, db.free, db.n_free);
    if (y->n == 0) *p = (dot_plan){0};
    if (y->rank != da.n_batch + da.n_free + db.n_free || y->n != p->n_batch * p->n_a * p->n_b)
        return eval_error(c->state, TN_ERR_SHAPE, "the result does not fit the operands");
    return true;
}

static void dot_loops(const void *plan, const wide *a, const wide *b, wide *y, eval_axpy *axpy) {
    const dot_plan *p = plan;
    for (int64_t batch = 0; batch < p->n_batch; batch++)
        for (int64_t i = batch * p->n_a; i < (batch + 1) * p->n_a; i++)
            for (int64_t k = 0; k < p->n_k; k++)
                axpy(y + i * p->n_b, b + (batch * p->n_k + k) * p->n_b, 1, a[i * p->n_k + k], p->n_b);
}

bool eval_dot(eval_args *c) {
    dot_plan p;
    contraction how = {.loops = dot_loops, .plan = &p};
    return plan_dot(c, &how, &p) && eval_contract(c, &how);
}
