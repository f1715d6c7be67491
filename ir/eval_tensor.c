/* Tensors of the interpreter: allocation within the run's limit, copies, handing on.
 *
 * in:  dims
 * out: contiguous row-major tensors
 * law: every live element counts against options->max_elements; a failed allocation is an
 *      error of the run and leaves nothing behind
 */
#include "ir/eval_state.h"
#include "runtime/diag.h"

#include <math.h>
#include <string.h>

bool eval_tensor_count(eval_tensor *t) {
    t->n = t->dtype == TN_TOKEN ? 0 : 1;
    bool is_empty = false;
    for (int axis = 0; axis < t->rank; axis++) {
        if (t->dims[axis] < 0) return false;
        is_empty |= t->dims[axis] == 0;
    }
    for (int axis = 0; axis < t->rank && !is_empty; axis++)
        if (__builtin_mul_overflow(t->n, t->dims[axis], &t->n)) return false;
    if (is_empty) t->n = 0;
    return true;
}

bool eval_tensor_alloc(eval_state *s, eval_tensor *t) {
    uint64_t n = (uint64_t)t->n;
    if (t->n < 0 || n > s->max_elements - s->live_elements)
        return eval_error(s, TN_ERR_LIMIT, "a value of %lld elements passes the limit of %llu live elements",
                          (long long)t->n, (unsigned long long)s->max_elements);
    t->data = NULL;
    t->magnitude = NULL;
    t->borrowed = false;
    if (n == 0) return true;
    t->data = tn_calloc((size_t)n, eval_dtype_bytes(t->dtype));
    if (!t->data) return eval_no_memory(s);
    if (s->options->magnitudes && dtype_is_float(t->dtype)) {
        t->magnitude = tn_calloc((size_t)n, sizeof *t->magnitude);
        if (!t->magnitude) {
            tn_free(t->data);
            t->data = NULL;
            return eval_no_memory(s);
        }
    }
    s->live_elements += n;
    return true;
}

void eval_tensor_free(eval_tensor *t) {
    if (!t->borrowed) {
        tn_free(t->data);
        tn_free(t->magnitude);
    }
    *t = (eval_tensor){0};
}

void eval_tensor_release(eval_state *s, eval_tensor *t) {
    if (!t->borrowed && t->data) s->live_elements -= (uint64_t)t->n;
    eval_tensor_free(t);
}

bool eval_tensor_copy(eval_state *s, eval_tensor *to, const eval_tensor *from) {
    *to = *from;
    if (!eval_tensor_alloc(s, to)) {
        *to = (eval_tensor){0};
        return false;
    }
    if (to->data) memcpy(to->data, from->data, (size_t)from->n * eval_dtype_bytes(from->dtype));
    if (to->magnitude) eval_read_magnitudes(from, 0, from->n, to->magnitude);
    return true;
}

void eval_move(const eval_tensor *x, int64_t from, eval_tensor *y, int64_t to, int64_t n) {
    if (n <= 0) return;
    size_t bytes = eval_dtype_bytes(y->dtype);
    memcpy((char *)y->data + (size_t)to * bytes, (const char *)x->data + (size_t)from * bytes, (size_t)n * bytes);
    if (y->magnitude) eval_read_magnitudes(x, from, n, &y->magnitude[to]);
}

bool eval_hand_on(eval_args *c, uint32_t i, eval_tensor *from) {
    eval_tensor *to = &c->results[i];
    bool is_same = to->dtype == from->dtype && to->rank == from->rank && to->n == from->n &&
                   memcmp(to->dims, from->dims, (size_t)to->rank * sizeof *to->dims) == 0;
    if (!is_same) {
        eval_tensor_release(c->state, from);
        return eval_error(c->state, TN_ERR_SHAPE, "result %u has another type than it was given", (unsigned)i);
    }
    *to = *from;
    *from = (eval_tensor){0};
    return true;
}

wide *eval_read_all(eval_state *s, const eval_tensor *t) {
    wide *all = tn_malloc(((size_t)t->n + 1) * sizeof *all);
    if (!all) {
        eval_no_memory(s);
        return NULL;
    }
    eval_read(t, 0, t->n, all);
    return all;
}

double *eval_read_all_magnitudes(eval_state *s, const eval_tensor *t) {
    double *all = tn_malloc(((size_t)t->n + 1) * sizeof *all);
    if (!all) {
        eval_no_memory(s);
        return NULL;
    }
    eval_read_magnitudes(t, 0, t->n, all);
    return all;
}

void eval_strides(int rank, const int64_t *dims, int64_t *strides) {
    uint64_t step = 1; /* may wrap where another extent is 0: then no element is reached */
    for (int axis = rank; axis-- > 0;) {
        strides[axis] = (int64_t)step;
        step *= (uint64_t)dims[axis];
    }
}

/* ---- Looking at tensors --------------------------------------------------------------------------- */

bool eval_same_type(const eval_tensor *a, const eval_tensor *b) {
    bool same = a->dtype == b->dtype && a->rank == b->rank;
    for (int axis = 0; same && axis < a->rank; axis++) same = a->dims[axis] == b->dims[axis];
    return same;
}

const char *eval_index_text(const eval_tensor *t, int64_t at, char *out, size_t bytes) {
    int64_t index[TN_MAX_RANK];
    line text = {out, bytes, 0};
    for (int axis = t->rank; axis-- > 0; at /= t->dims[axis] ? t->dims[axis] : 1)
        index[axis] = t->dims[axis] ? at % t->dims[axis] : 0;
    line_add(&text, "[");
    for (int axis = 0; axis < t->rank; axis++) line_add(&text, "%s%lld", axis ? ", " : "", (long long)index[axis]);
    line_add(&text, "]");
    return out;
}

double eval_load_number(const eval_tensor *t, int64_t i) {
    return dtype_is_float(t->dtype) ? eval_load_float(t, i) : (double)eval_load_int(t, i);
}

double eval_greatest(const eval_tensor *t) {
    double greatest = 0;
    for (int64_t i = 0; i < t->n; i++) {
        double x = fabs(eval_load_number(t, i));
        if (isfinite(x) && x > greatest) greatest = x;
    }
    return greatest;
}

double eval_trusted_magnitude(double magnitude, double greatest) {
    return fmin(magnitude, greatest > 0 ? 1e3 * greatest : INFINITY);
}
