/* Comparison of tensors (compare.h). */
#include "tests/lib/compare.h"

#include "ir/dtype.h"
#include "ir/samples_shape.h"
#include "ir/eval_state.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Floats ------------------------------------------------------------------------------------- */

/* Limits of the float formats. */
typedef struct float_limits {
    double unit, subnormal, greatest;
} float_limits;

static float_limits limits_of(tn_dtype dtype) {
    switch (dtype) {
    case TN_F16: return (float_limits){0x1p-11, 0x1p-24, 65504};
    case TN_BF16: return (float_limits){0x1p-8, 0x1p-133, 0x1.fep127};
    case TN_F32: return (float_limits){0x1p-24, 0x1p-149, 0x1.fffffep127};
    default: return (float_limits){0x1p-53, 0x1p-1074, 0x1.fffffffffffffp1023};
    }
}

typedef enum verdict { SAME, DIFFERENT, UNKNOWN } verdict;

static verdict judge_float(double got, double want, double magnitude, double factor, const float_limits *f,
                           double *ratio) {
    *ratio = 0;
    if (isnan(want)) return isnan(got) ? SAME : DIFFERENT;
    if (got == want) return SAME;
    double scale = f->unit * (isinf(want) ? f->greatest : magnitude), tolerance = factor * (scale + f->subnormal);
    if (isinf(want)) return got * want > 0 && fabs(got) + tolerance >= f->greatest ? SAME : DIFFERENT;
    if (!isfinite(magnitude)) return UNKNOWN;
    if (isnan(got)) return DIFFERENT;
    if (isinf(got)) return want * got > 0 && fabs(want) + tolerance >= f->greatest ? SAME : DIFFERENT;
    double difference = fabs(got - want);
    if (difference > f->subnormal) *ratio = difference / scale;
    return difference <= tolerance ? SAME : DIFFERENT;
}

static void compare_floats(const eval_tensor *got, const eval_tensor *want, double factor, comparison *c) {
    float_limits limits = limits_of(want->dtype);
    for (int64_t k = 0; k < want->n; k++) {
        double g = eval_load_float(got, k), w = eval_load_float(want, k), ratio;
        double m = want->magnitude ? want->magnitude[k] : fabs(w);
        verdict v = judge_float(g, w, m, factor, &limits, &ratio);
        c->n_unknown += v == UNKNOWN;
        if (ratio > c->worst) c->worst = ratio;
        if (v != DIFFERENT || !c->is_equal) continue;
        c->is_equal = false;
        snprintf(c->message, sizeof c->message,
                 "element %lld is %.17g, the reference %.17g: they differ by %.3g unit roundoffs of magnitude %.3g, "
                 "at most %g are allowed",
                 (long long)k, g, w, ratio, m, factor);
    }
}

/* ---- All ----------------------------------------------------------------------------------------- */

static void compare_ints(const eval_tensor *got, const eval_tensor *want, comparison *c) {
    for (int64_t k = 0; k < want->n && c->is_equal; k++) {
        int64_t g = eval_load_int(got, k), w = eval_load_int(want, k);
        if (g == w) continue;
        c->is_equal = false;
        snprintf(c->message, sizeof c->message, "element %lld is %lld, the reference %lld", (long long)k, (long long)g,
                 (long long)w);
    }
}

comparison compare_tensors(const eval_tensor *got, const eval_tensor *want, double factor) {
    comparison c = {.is_equal = true};
    if (got->dtype != want->dtype || got->rank != want->rank ||
        memcmp(got->dims, want->dims, (size_t)want->rank * sizeof *want->dims) != 0) {
        c.is_equal = false;
        snprintf(c.message, sizeof c.message, "the types differ: %s of rank %d, the reference %s of rank %d",
                 tn_dtype_name(got->dtype), got->rank, tn_dtype_name(want->dtype), want->rank);
        return c;
    }
    if (dtype_is_float(want->dtype))
        compare_floats(got, want, factor, &c);
    else
        compare_ints(got, want, &c);
    return c;
}

eval_tensor tensor_view(tn_dtype dtype, int rank, const int64_t *dims, const void *data) {
    eval_tensor t = {.dtype = dtype, .rank = rank, .data = (void *)(uintptr_t)data, .borrowed = true};
    if (rank > 0) memcpy(t.dims, dims, (size_t)rank * sizeof *dims);
    if (!eval_tensor_count(&t)) t.n = 0;
    return t;
}

bool tensor_of_sizes(const sampler *s, const tn_graph *g, const tn_type *type, eval_tensor *t) {
    int64_t dims[TN_MAX_RANK];
    for (int axis = 0; axis < type->rank; axis++) dims[axis] = sampler_value(s, g, type->dims[axis]);
    *t = tensor_view((tn_dtype)type->dtype, type->rank, dims, NULL);
    t->borrowed = false;
    t->data = tn_calloc((size_t)t->n + 1, 8);
    return t->data != NULL;
}

bool tensor_sampled(sampler *s, const tn_graph *g, size_t i, eval_tensor *t) {
    return tensor_of_sizes(s, g, &g->params[i].type, t) && sample_input(s, g, (uint32_t)i, t->dims, t->data);
}
