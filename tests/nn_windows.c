/* Convolutions and poolings against loops over every element. */
#include "tests/lib/nn_forward.h"

#include "frontends/nn/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 8192, N = 2 };

/* One layer: its input's sizes (rank 3 has h 1), and what the definition needs. low[] is what stands before. */
typedef struct window_case {
    int rank;
    int c, h, w;                    /* of the input */
    int o, kh, kw;                  /* filters, taps */
    int sh, sw, dh, dw, groups;     /* stride, dilation */
    int low_h, low_w, out_h, out_w; /* padding before, outputs */
} window_case;

static double input[MOST], wanted[MOST];

static void run(tn_model *m, tn_val y, nn_forward *r) {
    tn_model_output(m, "y", y);
    nn_scramble(m, 3);
    nn_forward_open(r, m, false, 0, N, (const void *[]){input});
}

static tn_model *open_model(tn_val *x, const window_case *k) {
    tn_model *m = tn_model_new("windows", &(tn_model_options){.dtype = TN_F64});
    nn_numbers(input, MOST, 11);
    tn_shape shape = k->rank == 3 ? TN_SHAPE(TN_DIM("n"), TN_SIZE(k->c), TN_SIZE(k->w))
                                  : TN_SHAPE(TN_DIM("n"), TN_SIZE(k->c), TN_SIZE(k->h), TN_SIZE(k->w));
    *x = tn_model_input(m, "x", TN_F64, shape);
    return m;
}

static void check(tn_model *m, nn_forward *r, int n, const char *what) {
    const eval_tensor *y = nn_forward_tensor(r, "y");
    if (y->n != n) fail_msg("%s has %d elements, should have %d", what, (int)y->n, n);
    assert_numbers(y->data, wanted, n, what);
    nn_forward_close(r);
    tn_model_free(m);
}

static double at(const window_case *k, int n, int c, int y, int x) {
    return y < 0 || y >= k->h || x < 0 || x >= k->w ? 0 : input[((n * k->c + c) * k->h + y) * k->w + x];
}

/* y[n, o, i, j] = bias[o] + sum over channels of the group and taps. Returns how many. */
static int convolve(const window_case *k, const double *kernel, const double *bias) {
    int of_group = k->c / k->groups, i = 0;
    for (int n = 0; n < N; n++)
        for (int o = 0; o < k->o; o++)
            for (int y = 0; y < k->out_h; y++)
                for (int x = 0; x < k->out_w; x++) {
                    double sum = bias ? bias[o] : 0;
                    for (int c = 0; c < of_group; c++)
                        for (int a = 0; a < k->kh; a++)
                            for (int b = 0; b < k->kw; b++)
                                sum += at(k, n, o / (k->o / k->groups) * of_group + c, y * k->sh + a * k->dh - k->low_h,
                                          x * k->sw + b * k->dw - k->low_w) *
                                       kernel[((o * of_group + c) * k->kh + a) * k->kw + b];
                    wanted[i++] = sum;
                }
    return i;
}

static void test_conv2d(void **state) {
    (void)state;
    static const struct {
        tn_nn_conv_args a;
        window_case k;
    } cases[] = {
        {{.filters = 4, .kernel = {3, 3}}, {4, 2, 6, 7, 4, 3, 3, 1, 1, 1, 1, 1, 0, 0, 4, 5}},
        {{.filters = 4, .kernel = {3, 2}, .padding = "same"}, {4, 2, 6, 7, 4, 3, 2, 1, 1, 1, 1, 1, 1, 0, 6, 7}},
        {{.filters = 3, .kernel = {3, 3}, .stride = {2, 2}, .padding = "same"},
         {4, 2, 6, 7, 3, 3, 3, 2, 2, 1, 1, 1, 0, 1, 3, 4}},
        {{.filters = 3, .kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1}},
         {4, 2, 6, 7, 3, 3, 3, 2, 2, 1, 1, 1, 1, 1, 3, 4}},
        {{.filters = 6, .kernel = {2, 2}, .dilation = {2, 3}, .groups = 2, .no_bias = true},
         {4, 4, 6, 7, 6, 2, 2, 1, 1, 2, 3, 2, 0, 0, 4, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_nn_conv_args a = cases[i].a;
        nn_forward r;
        tn_model *m = open_model(&a.x, &cases[i].k);
        run(m, tn_nn_conv2d_at(TN_HERE, m, a), &r);
        int n = convolve(&cases[i].k, nn_forward_parameter(&r, "conv2d.kernel"),
                         a.no_bias ? NULL : nn_forward_parameter(&r, "conv2d.bias"));
        check(m, &r, n, "conv2d");
    }
}

static void test_conv1d(void **state) {
    (void)state;
    window_case k = {3, 2, 1, 9, 3, 1, 3, 1, 1, 1, 2, 1, 0, 4, 1, 9};
    nn_forward r;
    tn_val x;
    tn_model *m = open_model(&x, &k);
    run(m, tn_nn_conv1d(m, x, .filters = 3, .kernel = {3}, .dilation = {2}, .padding = "causal"), &r);
    int n = convolve(&k, nn_forward_parameter(&r, "conv1d.kernel"), nn_forward_parameter(&r, "conv1d.bias"));
    check(m, &r, n, "conv1d");
}

static void test_depthwise(void **state) {
    (void)state;
    window_case k = {4, 3, 6, 7, 6, 3, 3, 1, 1, 1, 1, 3, 1, 1, 6, 7};
    nn_forward r;
    tn_val x;
    tn_model *m = open_model(&x, &k);
    run(m, tn_nn_depthwise_conv2d(m, x, .kernel = {3, 3}, .multiplier = 2, .padding = "same"), &r);
    int n = convolve(&k, nn_forward_parameter(&r, "depthwise_conv2d.kernel"),
                     nn_forward_parameter(&r, "depthwise_conv2d.bias"));
    check(m, &r, n, "depthwise_conv2d");
}

/* Each input element adds its kernel, spread by stride, at its place less the padding. */
static int convolve_back(const window_case *k, const double *kernel, const double *bias) {
    int of_group = k->o / k->groups, in_group = k->c / k->groups, n_out = N * k->o * k->out_h * k->out_w;
    for (int i = 0; i < n_out; i++) wanted[i] = bias[i / (k->out_h * k->out_w) % k->o];
    for (int n = 0; n < N; n++)
        for (int c = 0; c < k->c; c++)
            for (int y = 0; y < k->h; y++)
                for (int x = 0; x < k->w; x++)
                    for (int o = 0; o < of_group; o++)
                        for (int a = 0; a < k->kh; a++)
                            for (int b = 0; b < k->kw; b++) {
                                int to_y = y * k->sh + a * k->dh - k->low_h, to_x = x * k->sw + b * k->dw - k->low_w;
                                if (to_y < 0 || to_y >= k->out_h || to_x < 0 || to_x >= k->out_w) continue;
                                int to = c / in_group * of_group + o;
                                wanted[((n * k->o + to) * k->out_h + to_y) * k->out_w + to_x] +=
                                    at(k, n, c, y, x) * kernel[((c * of_group + o) * k->kh + a) * k->kw + b];
                            }
    return n_out;
}

static void test_conv_transpose2d(void **state) {
    (void)state;
    static const struct {
        tn_nn_conv_args a;
        window_case k;
    } cases[] = {
        {{.filters = 3, .kernel = {3, 3}}, {4, 2, 4, 5, 3, 3, 3, 1, 1, 1, 1, 1, 0, 0, 6, 7}},
        {{.filters = 3, .kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1}, .output_pad = {1, 0}},
         {4, 2, 4, 5, 3, 3, 3, 2, 2, 1, 1, 1, 1, 1, 8, 9}},
        {{.filters = 4, .kernel = {2, 3}, .stride = {2, 3}, .dilation = {1, 2}, .groups = 2},
         {4, 2, 4, 5, 4, 2, 3, 2, 3, 1, 2, 2, 0, 0, 8, 17}},
        {{.filters = 3, .kernel = {4, 4}, .stride = {2, 2}, .padding = "same"},
         {4, 2, 4, 5, 3, 4, 4, 2, 2, 1, 1, 1, 1, 1, 8, 10}},
        {{.filters = 3, .kernel = {1, 1}, .stride = {2, 2}, .padding = "same"},
         {4, 2, 4, 5, 3, 1, 1, 2, 2, 1, 1, 1, 0, 0, 8, 10}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_nn_conv_args a = cases[i].a;
        nn_forward r;
        tn_model *m = open_model(&a.x, &cases[i].k);
        run(m, tn_nn_conv_transpose2d_at(TN_HERE, m, a), &r);
        int n = convolve_back(&cases[i].k, nn_forward_parameter(&r, "conv_transpose2d.kernel"),
                              nn_forward_parameter(&r, "conv_transpose2d.bias"));
        check(m, &r, n, "conv_transpose2d");
    }
}

/* "same" of a symbol gives what it gives of the number. */
static void test_same_of_symbols(void **state) {
    (void)state;
    for (int64_t n = 5; n < 9; n++) {
        tn_model *m = tn_model_new("symbols", &(tn_model_options){.dtype = TN_F64});
        tn_val x = tn_model_input(m, "x", TN_F64, TN_SHAPE(TN_SIZE(1), TN_SIZE(2), TN_DIM("h"), TN_DIM("h")));
        nn_forward r;
        nn_numbers(input, MOST, 11);
        tn_model_output(m, "y",
                        tn_nn_conv2d(m, x, .filters = 3, .kernel = {4, 3}, .stride = {2, 3}, .padding = "same"));
        nn_scramble(m, 3);
        nn_forward_open(&r, m, false, 0, n, (const void *[]){input});
        const eval_tensor *y = nn_forward_tensor(&r, "y");
        assert_int_equal(y->dims[2], (n + 1) / 2);
        assert_int_equal(y->dims[3], (n + 2) / 3);
        int all_h = (int)(((n + 1) / 2 - 1) * 2 + 4 - n), all_w = (int)(((n + 2) / 3 - 1) * 3 + 3 - n), size = (int)n;
        window_case k = {4,         2,         size,           size,          3, 4, 3, 2, 3, 1, 1, 1,
                         all_h / 2, all_w / 2, (size + 1) / 2, (size + 2) / 3};
        convolve(&k, nn_forward_parameter(&r, "conv2d.kernel"), nn_forward_parameter(&r, "conv2d.bias"));
        assert_numbers(y->data, wanted, y->n, "same"); /* of the first example */
        nn_forward_close(&r);
        tn_model_free(m);
    }
}

/* ---- Poolings -------------------------------------------------------------------------------------------- */

typedef enum pool_kind { MAX, MEAN, MEAN_OF_ALL } pool_kind;

static int pool(const window_case *k, pool_kind kind) {
    int i = 0;
    for (int n = 0; n < N; n++)
        for (int c = 0; c < k->c; c++)
            for (int y = 0; y < k->out_h; y++)
                for (int x = 0; x < k->out_w; x++) {
                    double sum = 0, most = -INFINITY;
                    int count = 0;
                    for (int a = 0; a < k->kh; a++)
                        for (int b = 0; b < k->kw; b++) {
                            int from_y = y * k->sh + a - k->low_h, from_x = x * k->sw + b - k->low_w;
                            if (from_y < 0 || from_y >= k->h || from_x < 0 || from_x >= k->w) continue;
                            sum += at(k, n, c, from_y, from_x);
                            most = fmax(most, at(k, n, c, from_y, from_x));
                            count++;
                        }
                    wanted[i++] = kind == MAX ? most : sum / (kind == MEAN ? count : k->kh * k->kw);
                }
    return i;
}

static void test_pools(void **state) {
    (void)state;
    window_case plain = {4, 2, 6, 7, 2, 2, 3, 2, 3, 1, 1, 1, 0, 0, 3, 2};
    window_case padded = {4, 2, 6, 7, 2, 3, 3, 1, 2, 1, 1, 1, 1, 1, 6, 4};
    nn_forward r;
    tn_val x;
    tn_model *m = open_model(&x, &plain);
    run(m, tn_nn_max_pool(m, x, .window = {2, 3}), &r);
    check(m, &r, pool(&plain, MAX), "max_pool");
    m = open_model(&x, &padded);
    run(m, tn_nn_max_pool(m, x, .window = {3, 3}, .stride = {1, 2}, .padding = "same"), &r);
    check(m, &r, pool(&padded, MAX), "max_pool");
    m = open_model(&x, &padded);
    run(m, tn_nn_avg_pool(m, x, .window = {3, 3}, .stride = {1, 2}, .pad = {1, 1}), &r);
    check(m, &r, pool(&padded, MEAN), "avg_pool");
    m = open_model(&x, &padded);
    run(m, tn_nn_avg_pool(m, x, .window = {3, 3}, .stride = {1, 2}, .pad = {1, 1}, .count_padding = true), &r);
    check(m, &r, pool(&padded, MEAN_OF_ALL), "avg_pool with padding");
}

static void test_global_pools(void **state) {
    (void)state;
    window_case k = {4, 2, 6, 7, 2, 6, 7, 1, 1, 1, 1, 1, 0, 0, 1, 1};
    nn_forward r;
    tn_val x;
    tn_model *m = open_model(&x, &k);
    run(m, tn_nn_global_max_pool(m, x), &r);
    assert_int_equal(nn_forward_tensor(&r, "y")->rank, 2);
    check(m, &r, pool(&k, MAX), "global_max_pool");
    m = open_model(&x, &k);
    run(m, tn_nn_flatten(m, tn_nn_global_avg_pool(m, x)), &r);
    check(m, &r, pool(&k, MEAN), "global_avg_pool");
    m = open_model(&x, &k);
    run(m, tn_nn_flatten(m, x), &r);
    memcpy(wanted, input, sizeof wanted);
    assert_int_equal(nn_forward_tensor(&r, "y")->dims[1], 84);
    check(m, &r, N * 84, "flatten");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv2d),          cmocka_unit_test(test_conv1d),
        cmocka_unit_test(test_depthwise),       cmocka_unit_test(test_conv_transpose2d),
        cmocka_unit_test(test_same_of_symbols), cmocka_unit_test(test_pools),
        cmocka_unit_test(test_global_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
