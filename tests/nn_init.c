/* Initialisers against their definitions: moments, bounds, orthogonality; same seed, same bits. */
#include "frontends/nn/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 200, COLUMNS = 300, N = ROWS * COLUMNS };

static void fill(double *out, const char *init, double number, const char *name, uint64_t seed) {
    tn_diag diag;
    nn_fill f = {name, TN_TENSOR(TN_F64, out, ROWS, COLUMNS), {init, number}, ROWS, COLUMNS, seed};
    if (nn_initialise(&f, NULL, &diag) != TN_OK) fail_msg("%s", diag.message);
}

/* The deviation that the definition says, and how far an element may be from 0. */
static const struct {
    const char *name;
    double number, deviation, bound;
} rows[] = {
    {"uniform", 0, 0.05 / 1.7320508075688772, 0.05},
    {"uniform", 2, 2 / 1.7320508075688772, 2},
    {"normal", 0, 0.05, 1},
    {"normal", 3, 3, 20},
    {"truncated_normal", 1, 0.87962566103423978, 2},
    {"glorot_uniform", 0, 0.063245553203367587, 0.10954451150103323}, /* sqrt(2 / 500), sqrt(6 / 500) */
    {"glorot_normal", 0, 0.063245553203367587, 0.14380120530905},
    {"xavier_normal", 0, 0.063245553203367587, 1},
    {"he_uniform", 0, 0.1, 0.17320508075688773}, /* sqrt(2 / 200), sqrt(6 / 200) */
    {"he_normal", 0, 0.1, 0.22736943},
    {"kaiming_normal", 0, 0.1, 1},
    {"lecun_uniform", 0, 0.070710678118654752, 0.12247448713915891},
    {"lecun_normal", 0, 0.070710678118654752, 0.160774},
};

static void test_moments(void **state) {
    (void)state;
    static double x[N];
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        double sum = 0, square = 0, most = 0;
        fill(x, rows[k].name, rows[k].number, "w", 1);
        for (int i = 0; i < N; i++) {
            sum += x[i];
            square += x[i] * x[i];
            most = fmax(most, fabs(x[i]));
        }
        double mean = sum / N, deviation = sqrt(square / N - mean * mean);
        /* Five standard errors of the mean; 2 % of the deviation. */
        if (fabs(mean) > 5 * rows[k].deviation / sqrt(N)) fail_msg("%s: mean %g", rows[k].name, mean);
        if (fabs(deviation / rows[k].deviation - 1) > 0.02)
            fail_msg("%s: deviation %g, not %g", rows[k].name, deviation, rows[k].deviation);
        if (most > rows[k].bound * 1.00001) fail_msg("%s: an element of %g", rows[k].name, most);
    }
}

/* Each decile of the distribution has its share: what moments do not tell. */
static void test_normal_has_its_shape(void **state) {
    (void)state;
    static double x[N];
    static const double deciles[] = {
        -1.2815515655446004, -0.8416212335729143, -0.5244005127080407, -0.2533471031357997, 0,
        0.2533471031357997,  0.5244005127080407,  0.8416212335729143,  1.2815515655446004};
    fill(x, "normal", 1, "w", 2);
    for (int k = 0; k < 9; k++) {
        int below = 0;
        for (int i = 0; i < N; i++) below += x[i] < deciles[k];
        double share = (k + 1) / 10.0, error = sqrt(share * (1 - share) / N);
        if (fabs((double)below / N - share) > 5 * error) fail_msg("decile %d has %g", k + 1, (double)below / N);
    }
}

static void test_constants(void **state) {
    (void)state;
    static double x[N];
    fill(x, "zeros", 0, "w", 1);
    for (int i = 0; i < N; i++) assert_true(x[i] == 0);
    fill(x, "ones", 0, "w", 1);
    for (int i = 0; i < N; i++) assert_true(x[i] == 1);
    fill(x, "constant", -2.5, "w", 1);
    for (int i = 0; i < N; i++) assert_true(x[i] == -2.5);
}

/* Rows of a wide matrix, columns of a tall one, times the gain. */
static void check_orthogonal(int64_t rows_of, int64_t columns, double gain) {
    static double x[40 * 60];
    tn_diag diag;
    nn_fill f = {"w", TN_TENSOR(TN_F64, x, rows_of, columns), {"orthogonal", gain}, 1, 1, 3};
    assert_int_equal(nn_initialise(&f, NULL, &diag), TN_OK);
    bool is_wide = rows_of <= columns;
    int64_t n = is_wide ? rows_of : columns, length = is_wide ? columns : rows_of;
    for (int64_t a = 0; a < n; a++)
        for (int64_t b = 0; b <= a; b++) {
            double sum = 0, wanted = a == b ? gain * gain : 0;
            for (int64_t k = 0; k < length; k++)
                sum += is_wide ? x[a * columns + k] * x[b * columns + k] : x[k * columns + a] * x[k * columns + b];
            if (fabs(sum - wanted) > 1e-13) fail_msg("%d, %d: %g", (int)a, (int)b, sum);
        }
}

static void test_orthogonal(void **state) {
    (void)state;
    check_orthogonal(40, 60, 1);
    check_orthogonal(60, 40, 2);
    check_orthogonal(40, 40, 1);
    check_orthogonal(1, 5, 1);
}

/* The same bits for the same seed and name, others for others; f32 is f64 to within its precision. */
static void test_seeds(void **state) {
    (void)state;
    static double x[N], y[N];
    static float z[N];
    tn_diag diag;
    fill(x, "glorot_normal", 0, "a.kernel", 5);
    fill(y, "glorot_normal", 0, "a.kernel", 5);
    assert_memory_equal(x, y, sizeof x);
    nn_fill f = {"a.kernel", TN_TENSOR(TN_F32, z, ROWS, COLUMNS), {"glorot_normal", 0}, ROWS, COLUMNS, 5};
    assert_int_equal(nn_initialise(&f, NULL, &diag), TN_OK);
    for (int i = 0; i < N; i++) assert_true(fabs((double)z[i] - x[i]) < 1e-6);
    int same = 0;
    fill(y, "glorot_normal", 0, "a.kernel", 6);
    for (int i = 0; i < N; i++) same += x[i] == y[i];
    fill(y, "glorot_normal", 0, "b.kernel", 5);
    for (int i = 0; i < N; i++) same += x[i] == y[i];
    assert_int_equal(same, 0);
}

static void test_threads(void **state) {
    (void)state;
    static double x[N], y[N];
    tn_diag diag;
    tn_pool *pool = tn_pool_new(2);
    fill(x, "he_normal", 0, "w", 5);
    nn_fill f = {"w", TN_TENSOR(TN_F64, y, ROWS, COLUMNS), {"he_normal", 0}, ROWS, COLUMNS, 5};
    assert_int_equal(nn_initialise(&f, pool, &diag), TN_OK);
    assert_memory_equal(x, y, sizeof x);
    tn_pool_free(pool);
}

static void test_unknown(void **state) {
    (void)state;
    double x;
    tn_diag diag;
    nn_fill f = {"w", TN_TENSOR(TN_F64, &x, 1), {"glorot", 0}, 1, 1, 0};
    assert_int_equal(nn_initialise(&f, NULL, &diag), TN_ERR_ARGUMENT);
    assert_non_null(strstr(diag.message, "glorot_uniform"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments),   cmocka_unit_test(test_normal_has_its_shape),
        cmocka_unit_test(test_constants), cmocka_unit_test(test_orthogonal),
        cmocka_unit_test(test_seeds),     cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
