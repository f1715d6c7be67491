/* How far apart tensors may be.
 *
 * in:  a tensor, and the interpreter's with the sum of absolute terms that went into each element
 * out: the element that is furthest off, if any is further than rounding takes it
 * law: integers and bools are equal; a float is off by at most the tolerance times its magnitude. That sum grows with each
 *      layer of a deep network until it says nothing any more: it counts for at most a thousand times the tensor's
 *      largest element, unless all of the tensor cancels out. NaN meets NaN, an infinity the same one, but where the
 *      magnitude itself is not finite
 */
#include "compiler/bisect.h"

#include "ir/eval_state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static double greatest_of(const eval_tensor *t) {
    double greatest = 0;
    for (int64_t i = 0; i < t->n; i++) {
        double x = fabs(eval_load_float(t, i));
        if (isfinite(x) && x > greatest) greatest = x;
    }
    return greatest;
}

/* What the difference is in parts of its bound; over 1: it leaves. */
static double excess(double got, double want, double bound, double magnitude) {
    if (got == want || (isnan(got) && isnan(want)) || !isfinite(magnitude)) return 0;
    if (isnan(got) || isnan(want) || isinf(got) || isinf(want)) return INFINITY;
    return fabs(got - want) / fmax(bound, 1e-300);
}

static departure compare_floats(const eval_tensor *got, const eval_tensor *want, double tolerance) {
    departure d = {0};
    double greatest = greatest_of(want), most = greatest > 0 ? 1e3 * greatest : INFINITY, worst = 1;
    double unit = eval_unit_roundoff(want->dtype), parts = tolerance * (unit / 0x1p-24);
    double least = want->dtype == TN_F16 ? 0x1p-23 : 1e-37; /* of numbers that lose digits, being so small */
    for (int64_t i = 0; i < want->n; i++) {
        double x = eval_load_float(got, i), y = eval_load_float(want, i);
        double magnitude = want->magnitude ? want->magnitude[i] : fabs(y);
        double bound = parts * fmin(magnitude, most) + least, over = excess(x, y, bound, magnitude);
        if (!(over > worst)) continue;
        worst = over;
        d = (departure){true, i, x, y, bound};
    }
    return d;
}

static departure compare_ints(const eval_tensor *got, const eval_tensor *want) {
    for (int64_t i = 0; i < want->n; i++) {
        int64_t x = eval_load_int(got, i), y = eval_load_int(want, i);
        if (x != y) return (departure){true, i, (double)x, (double)y, 0};
    }
    return (departure){0};
}

departure bisect_compare(const eval_tensor *got, const eval_tensor *want, double tolerance) {
    bool same_shape = got->dtype == want->dtype && got->rank == want->rank && got->n == want->n;
    if (!same_shape) return (departure){.leaves = true, .got = NAN, .want = NAN};
    if (want->dtype == TN_TOKEN) return (departure){0};
    return dtype_is_float(want->dtype) ? compare_floats(got, want, tolerance) : compare_ints(got, want);
}

void bisect_index_text(const eval_tensor *t, int64_t at, char *text, size_t bytes) {
    int64_t index[TN_MAX_RANK];
    for (int axis = t->rank; axis-- > 0; at /= t->dims[axis]) index[axis] = at % (t->dims[axis] ? t->dims[axis] : 1);
    size_t used = (size_t)snprintf(text, bytes, "[");
    for (int axis = 0; axis < t->rank && used < bytes; axis++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%" PRId64, axis ? ", " : "", index[axis]);
    if (used < bytes) snprintf(text + used, bytes - used, "]");
}
