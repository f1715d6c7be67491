/* How far apart tensors may be.
 *
 * in:  a tensor, and the interpreter's with the sum of absolute terms that went into each element
 * out: the element that is furthest off, if any is further than rounding takes it
 * law: integers and bools are equal; a float is off by at most the tolerance times its magnitude, as far as that is to be
 *      trusted (eval_trusted_magnitude). NaN meets NaN, an infinity the same one, but where the
 *      magnitude itself is not finite
 */
#include "compiler/bisect.h"

#include "ir/eval_state.h"

#include <math.h>

/* What the difference is in parts of its bound; over 1: it leaves. */
static double excess(double got, double want, double bound, double magnitude) {
    if (got == want || (isnan(got) && isnan(want)) || !isfinite(magnitude)) return 0;
    if (isnan(got) || isnan(want) || isinf(got) || isinf(want)) return INFINITY;
    return fabs(got - want) / fmax(bound, 1e-300);
}

static departure compare_floats(const eval_tensor *got, const eval_tensor *want, double tolerance) {
    departure d = {0};
    double greatest = eval_greatest(want), worst = 1;
    double unit = eval_unit_roundoff(want->dtype), parts = tolerance * (unit / 0x1p-24);
    double least = want->dtype == TN_F16 ? 0x1p-23 : 1e-37; /* of numbers that lose digits, being so small */
    for (int64_t i = 0; i < want->n; i++) {
        double x = eval_load_float(got, i), y = eval_load_float(want, i);
        double magnitude = want->magnitude ? want->magnitude[i] : fabs(y);
        double bound = parts * eval_trusted_magnitude(magnitude, greatest) + least,
               over = excess(x, y, bound, magnitude);
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
