/* Reference evaluation of sort and top_k.
 *
 * in:  operands of one shape; the first has the keys
 * out: all operands in the order of the keys along an axis; the first k of one, with indices
 * law: stable: of equal keys the lower index first, also when descending; NaN is greatest;
 *      -0 and 0 are equal
 */
#include "ir/eval_state.h"

#include <math.h>
#include <string.h>

typedef struct sort_keys {
    const wide *keys; /* of one line */
    bool is_float, is_signed, descending;
} sort_keys;

/* True when key b must come before key a although a stands first. */
static bool is_before(const sort_keys *s, wide b, wide a) {
    if (s->descending) { /* b > a */
        wide swap = a;
        a = b, b = swap;
    }
    if (s->is_float) return isnan(a.f) ? !isnan(b.f) : b.f < a.f;
    return s->is_signed ? b.i < a.i : (uint64_t)b.i < (uint64_t)a.i;
}

/* Sorts order[0, n) by merging runs of doubling length; `spare` has room for n. */
static void merge_sort(const sort_keys *s, int64_t *order, int64_t *spare, int64_t n) {
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t first = 0; first < n; first += 2 * run) {
            int64_t middle = first + run < n ? first + run : n, end = middle + run < n ? middle + run : n;
            int64_t a = first, b = middle;
            for (int64_t k = first; k < end; k++) {
                bool take_b = a == middle || (b < end && is_before(s, s->keys[order[b]], s->keys[order[a]]));
                spare[k] = take_b ? order[b++] : order[a++];
            }
        }
        memcpy(order, spare, (size_t)n * sizeof *order);
    }
}

/* Scratch for one line. */
typedef struct sort_line {
    wide *keys;
    int64_t *order, *spare;
} sort_line;

static bool line_open(eval_state *s, sort_line *l, int64_t extent) {
    size_t n = (size_t)extent + 1;
    *l = (sort_line){tn_malloc(n * sizeof(wide)), tn_malloc(n * sizeof(int64_t)), tn_malloc(n * sizeof(int64_t))};
    if (l->keys && l->order && l->spare) return true;
    eval_no_memory(s);
    return false;
}

static void line_close(sort_line *l) {
    tn_free(l->keys);
    tn_free(l->order);
    tn_free(l->spare);
}

/* Sorts line number `line` of x along an axis with that extent and step; order[i] is the index of what
 * comes i-th. Returns the line's first element. */
static int64_t sort_one(sort_line *l, const eval_tensor *x, int64_t line, int64_t extent, int64_t step,
                        bool descending) {
    sort_keys s = {l->keys, dtype_is_float(x->dtype), eval_int_type(x->dtype).is_signed, descending};
    int64_t first = line / step * step * extent + line % step;
    for (int64_t k = 0; k < extent; k++) {
        eval_read(x, first + k * step, 1, &l->keys[k]);
        l->order[k] = k;
    }
    merge_sort(&s, l->order, l->spare, extent);
    return first;
}

static bool check_axis(eval_args *c, int64_t *axis) {
    *axis = attr_int(&c->node->attrs, ATTR_axis, 0);
    if (*axis >= 0 && *axis < c->operands[0]->rank) return true;
    eval_error(c->state, TN_ERR_VERIFY, "axis %lld is out of range", (long long)*axis);
    return false;
}

bool eval_sort(eval_args *c) {
    const eval_tensor *x = c->operands[0];
    bool descending = attr_int(&c->node->attrs, ATTR_descending, 0) != 0;
    int64_t axis, strides[TN_MAX_RANK];
    if (!check_axis(c, &axis)) return false;
    for (uint32_t i = 0; i < c->n_operands; i++) {
        const eval_tensor *o = c->operands[i], *r = &c->results[i];
        if (i >= c->node->n_results || o->n != x->n || r->n != x->n || o->dtype != r->dtype)
            return eval_error(c->state, TN_ERR_VERIFY, "operand %u does not fit the others", (unsigned)i);
    }
    if (x->n == 0) return true;
    sort_line l;
    int64_t extent = x->dims[axis];
    eval_strides(x->rank, x->dims, strides);
    bool is_good = line_open(c->state, &l, extent);
    for (int64_t line = 0; is_good && line < x->n / extent; line++) {
        int64_t step = strides[axis], first = sort_one(&l, x, line, extent, step, descending);
        for (uint32_t i = 0; i < c->n_operands; i++)
            for (int64_t k = 0; k < extent; k++)
                eval_move(c->operands[i], first + l.order[k] * step, &c->results[i], first + k * step, 1);
    }
    line_close(&l);
    return is_good;
}

bool eval_top_k(eval_args *c) {
    const eval_tensor *x = c->operands[0];
    eval_tensor *values = &c->results[0], *indices = &c->results[1];
    bool descending = attr_int(&c->node->attrs, ATTR_descending, 0) != 0;
    int64_t axis, strides[TN_MAX_RANK];
    if (!check_axis(c, &axis)) return false;
    if (c->node->n_results != 2 || values->n != indices->n || values->dtype != x->dtype || values->rank != x->rank)
        return eval_error(c->state, TN_ERR_VERIFY, "results do not fit the operand");
    if (values->n == 0) return true;
    int64_t extent = x->dims[axis], k_most = values->dims[axis];
    if (k_most > extent || values->n / k_most != x->n / extent)
        return eval_error(c->state, TN_ERR_SHAPE, "there are %lld elements, not %lld", (long long)extent,
                          (long long)k_most);
    sort_line l;
    eval_strides(x->rank, x->dims, strides);
    bool is_good = line_open(c->state, &l, extent);
    for (int64_t line = 0; is_good && line < x->n / extent; line++) {
        int64_t step = strides[axis], first = sort_one(&l, x, line, extent, step, descending);
        int64_t to = line / step * step * k_most + line % step;
        for (int64_t k = 0; k < k_most; k++) {
            eval_move(x, first + l.order[k] * step, values, to + k * step, 1);
            eval_store_int(indices, to + k * step, l.order[k]);
        }
    }
    line_close(&l);
    return is_good;
}
