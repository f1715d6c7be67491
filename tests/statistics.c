/* Statistics of tensors: against a plain loop, for every dtype, strides, special values. */
#include "frontends/data/element.h"
#include "tenon.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static tn_statistics of(tn_tensor t) {
    tn_statistics s;
    assert_int_equal(tn_tensor_statistics(&t, &s), TN_OK);
    return s;
}

static void test_numbers(void **state) {
    (void)state;
    static const float x[] = {1, 2, 3, 4, 0, -2, NAN, INFINITY, -INFINITY, 0};
    tn_statistics s = of(TN_TENSOR(TN_F32, x, 2, 5));
    assert_int_equal(s.elements, 10);
    assert_int_equal(s.zeros, 2);
    assert_int_equal(s.nans, 1);
    assert_int_equal(s.infinities, 2);
    assert_true(s.least == -2 && s.greatest == 4 && s.mean == 8.0 / 7);
    assert_true(fabs(s.deviation - sqrt((1 + 4 + 9 + 16 + 4) / 7.0 - 64.0 / 49)) < 1e-15);
    int64_t all = 0;
    for (int i = 0; i < TN_HISTOGRAM_BINS; i++) all += s.bins[i];
    assert_int_equal(all, 7);
    assert_int_equal(s.bins[0], 1);
    assert_int_equal(s.bins[5], 2); /* zeros: a third of the way */
    assert_int_equal(s.bins[TN_HISTOGRAM_BINS - 1], 1);
}

/* The same numbers in every dtype. */
static void test_dtypes(void **state) {
    (void)state;
    for (int d = 0; d < TN_DTYPE_COUNT; d++) {
        char data[12 * 8];
        for (int i = 0; i < 12; i++) assert_true(element_set((tn_dtype)d, data, i, d == TN_BOOL ? i % 2 : i));
        tn_statistics s = of(TN_TENSOR((tn_dtype)d, data, 12));
        assert_true(s.least == 0 && s.greatest == (d == TN_BOOL ? 1 : 11) && s.mean == (d == TN_BOOL ? 0.5 : 5.5));
        assert_int_equal(s.zeros, d == TN_BOOL ? 6 : 1);
    }
}

static void test_strides(void **state) {
    (void)state;
    static const double x[] = {1, 100, 2, 100, 3, 100, 4, 100};
    tn_statistics s = of(tn_tensor_strided(TN_F64, (void *)x, 2, (int64_t[]){2, 2}, (int64_t[]){4, 2}));
    assert_true(s.elements == 4 && s.least == 1 && s.greatest == 4 && s.mean == 2.5);
    s = of(tn_tensor_strided(TN_F64, (void *)(x + 6), 1, (int64_t[]){4}, (int64_t[]){-2}));
    assert_true(s.mean == 2.5);
    s = of(tn_tensor_strided(TN_F64, (void *)x, 1, (int64_t[]){5}, (int64_t[]){0}));
    assert_true(s.mean == 1 && s.deviation == 0 && s.bins[0] == 5);
}

static void test_extremes(void **state) {
    (void)state;
    static const double wide[] = {-1.7e308, 1.7e308, 0}, huge[] = {INFINITY, NAN};
    tn_statistics s = of(TN_TENSOR(TN_F64, wide, 3));
    assert_int_equal(s.bins[0] + s.bins[8] + s.bins[TN_HISTOGRAM_BINS - 1], 3);
    s = of(TN_TENSOR(TN_F64, huge, 2));
    char text[TN_HISTOGRAM_TEXT];
    assert_true(isnan(s.least) && isnan(s.mean) && isnan(s.deviation));
    assert_string_equal(tn_histogram_text(&s, text), "");
    s = of(tn_tensor_of(TN_F32, NULL, 2, (int64_t[]){3, 0}));
    assert_true(s.elements == 0 && isnan(s.mean));
    static const float one = 3;
    s = of(tn_tensor_of(TN_F32, (void *)&one, 0, NULL));
    assert_true(s.elements == 1 && s.mean == 3 && s.deviation == 0);
}

static void test_text(void **state) {
    (void)state;
    char text[TN_HISTOGRAM_TEXT];
    tn_statistics s = {.bins = {1000000, 1, 0, 500000}};
    assert_string_equal(tn_histogram_text(&s, text), "█▁ ▄            ");
    for (int i = 0; i < TN_HISTOGRAM_BINS; i++) s.bins[i] = 7;
    assert_int_equal(strlen(tn_histogram_text(&s, text)), 3 * TN_HISTOGRAM_BINS);
}

static void test_wrong(void **state) {
    (void)state;
    tn_statistics s;
    tn_tensor t = tn_tensor_of(TN_F32, NULL, 1, (int64_t[]){3});
    assert_int_equal(tn_tensor_statistics(&t, &s), TN_ERR_ARGUMENT);
    assert_int_equal(tn_tensor_statistics(NULL, &s), TN_ERR_ARGUMENT);
    assert_int_equal(tn_tensor_statistics(&t, NULL), TN_ERR_ARGUMENT);
    t.rank = 99;
    assert_int_equal(tn_tensor_statistics(&t, &s), TN_ERR_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_dtypes), cmocka_unit_test(test_strides),
        cmocka_unit_test(test_extremes), cmocka_unit_test(test_text),   cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
