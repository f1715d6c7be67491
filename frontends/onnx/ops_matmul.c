/* Matrix products. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

void convert_matmul(conversion *c) { output(c, 0, tn_matmul(input(c, 0), input(c, 1))); }

/* The last two axes exchanged. */
static tn_val transposed(tn_val x, bool is_wanted) { return is_wanted ? tn_transpose(x, TN_INTS(1, 0)) : x; }

static tn_val scaled(tn_val x, double factor) { return factor == 1 || !tn_is_valid(x) ? x : tn_mul_scalar(x, factor); }

/* alpha * a b + beta * bias */
void convert_gemm(conversion *c) {
    tn_val a = input(c, 0), b = input(c, 1), bias = input(c, 2);
    if (has_failed(c)) return;
    if (tn_rank(a) != 2 || tn_rank(b) != 2) {
        node_error(c, TN_ERR_SHAPE, "A has rank %d, B has rank %d, both must have 2", tn_rank(a), tn_rank(b));
        return;
    }
    tn_val v = tn_matmul(transposed(a, read_int(c, "transA", 0) != 0), transposed(b, read_int(c, "transB", 0) != 0));
    v = scaled(v, read_float(c, "alpha", 1));
    double beta = read_float(c, "beta", 1);
    output(c, 0, tn_is_valid(bias) && beta != 0 ? tn_add(v, scaled(bias, beta)) : v);
}

/* com.microsoft: matmul with either operand's last axes exchanged, times alpha. */
void convert_fused_matmul(conversion *c) {
    tn_val values[] = {input(c, 0), input(c, 1)};
    static const char *const flags[] = {"transA", "transB"};
    for (int i = 0; i < 2; i++) {
        int rank = tn_rank(values[i]);
        int64_t perm[TN_MAX_RANK];
        if (read_int(c, flags[i], 0) == 0 || rank < 2) continue;
        for (int k = 0; k < rank; k++) perm[k] = k < rank - 2 ? k : 2 * rank - 3 - k;
        values[i] = tn_transpose(values[i], ints_of(perm, rank));
    }
    output(c, 0, scaled(tn_matmul(values[0], values[1]), read_float(c, "alpha", 1)));
}
