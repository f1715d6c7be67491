/* Helpers of the decompositions of composites. */
#include "ir/expand.h"

#include "ir/dtype.h"

tn_val expand_widen(tn_val x) { return tn_convert(x, dtype_accumulator((tn_dtype)tn_type_of(x).dtype)); }
tn_val expand_narrow(tn_val x, tn_dtype dtype) { return tn_convert(x, dtype); }

tn_val expand_count(tn_val x, const int64_t *axes, int n, tn_dtype dtype) {
    tn_graph *g = x.graph;
    if (!tn_is_valid(x)) return x;
    dim_table *t = g->module->dims;
    tn_type type = tn_type_of(x);
    tn_dim count = dim_const(t, 1);
    for (int i = 0; i < n; i++) count = dim_mul(t, count, type.dims[axes[i]]);
    int64_t number;
    if (dim_is_const(t, count, &number)) return tn_scalar_int(g, dtype, number);
    return tn_convert(tn_dim_value(g, count), dtype);
}

tn_val expand_along(tn_val v, tn_val like, const int64_t *dims, int n) {
    tn_type type = tn_type_of(like);
    tn_attr_arg attrs[] = {
        {.name = "shape", .dims = type.dims, .n = type.rank}, {.name = "dims", .ints = dims, .n = n}, {0}};
    return tn_apply(TN_HERE, NULL, TN_OP_broadcast, &v, 1, attrs);
}

tn_val expand_back(tn_val reduced, tn_val like, const int64_t *axes, int n) {
    int64_t kept[TN_MAX_RANK];
    int n_kept = 0;
    for (int i = 0; i < tn_rank(like); i++) {
        bool is_reduced = false;
        for (int k = 0; k < n; k++) is_reduced |= axes[k] == i;
        if (!is_reduced) kept[n_kept++] = i;
    }
    return expand_along(reduced, like, kept, n_kept);
}

tn_val expand_reduce(const char *kind, tn_val x, const int64_t *axes, int n, bool back) {
    tn_val reduced = tn_reduce(kind, x, ((tn_ints){n, axes}), false);
    return back && n > 0 ? expand_back(reduced, x, axes, n) : reduced;
}

tn_val expand_average(tn_val x, const int64_t *axes, int n, bool back) {
    if (n == 0) return x;
    tn_val sum = expand_reduce("sum", x, axes, n, false);
    tn_val mean = tn_div(sum, expand_count(x, axes, n, (tn_dtype)tn_type_of(x).dtype));
    return back ? expand_back(mean, x, axes, n) : mean;
}

int expand_axes_from(tn_val x, int64_t first, int64_t axes[TN_MAX_RANK]) {
    int n = 0;
    for (int64_t i = first; i < tn_rank(x); i++) axes[n++] = i;
    return n;
}
