/* What the decompositions of composites (ir/expand_*.c) share.
 *
 * They are written with the public builder. Floats smaller than f32 are widened at the start
 * and narrowed at the end, so that a composite rounds once.
 */
#ifndef TN_IR_EXPAND_H
#define TN_IR_EXPAND_H

#include "ir/op.h"

/* x in f32 when it is a smaller float, else x. */
tn_val expand_widen(tn_val x);
tn_val expand_narrow(tn_val x, tn_dtype dtype);

/* Number of elements along the axes of x, as a scalar of dtype. */
tn_val expand_count(tn_val x, const int64_t *axes, int n, tn_dtype dtype);
/* x reduced over axes by `kind`, or its mean; then, with `back`, repeated to x's shape again. */
tn_val expand_reduce(const char *kind, tn_val x, const int64_t *axes, int n, bool back);
tn_val expand_average(tn_val x, const int64_t *axes, int n, bool back);
/* v, made of `like` by a reduction over axes, repeated to the shape of `like` again. */
tn_val expand_back(tn_val v, tn_val like, const int64_t *axes, int n);
/* v repeated to the shape of `like`, its axis i becoming axis dims[i]. */
tn_val expand_along(tn_val v, tn_val like, const int64_t *dims, int n);

/* The axes from `first` to the last; returns how many. */
int expand_axes_from(tn_val x, int64_t first, int64_t axes[TN_MAX_RANK]);

static inline bool expand_done(tn_val made, tn_val *results) {
    results[0] = made;
    return tn_is_valid(made);
}

#endif
