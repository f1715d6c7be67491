/* The comparison that generated tests rest on: what it accepts and what it does not. */
#include "tests/lib/compare.h"

#include "tests/lib/opcase.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static comparison compare(const char *got, const char *want, const double *magnitude, double factor) {
    eval_tensor g = tensor_literal(got, NULL), w = tensor_literal(want, NULL);
    w.magnitude = (double *)(uintptr_t)magnitude;
    comparison c = compare_tensors(&g, &w, factor);
    w.magnitude = NULL;
    eval_tensor_free(&g);
    eval_tensor_free(&w);
    return c;
}
#define accepts(got, want, factor) assert_true(compare((got), (want), NULL, (factor)).is_equal)
#define refuses(got, want, factor) assert_false(compare((got), (want), NULL, (factor)).is_equal)

static void test_values(void **state) {
    (void)state;
    accepts("i8[2] 1 2", "i8[2] 1 2", 0);
    refuses("i8[2] 1 2", "i8[2] 1 3", 100);
    refuses("i8[1] 1", "u8[1] 1", 0);
    refuses("f32[1,1] 1", "f32[1] 1", 0);
    refuses("f32[2] 1 1", "f32[1] 1", 0);
    accepts("f32[0]", "f32[0]", 0);
    accepts("f32[2] 1 -0", "f32[2] 1 0", 0);
    refuses("f32[1] 0x1.000002p0", "f32[1] 1", 0);
    accepts("f32[1] 0x1.000002p0", "f32[1] 1", 2);
    refuses("f32[1] 0x1.000006p0", "f32[1] 1", 4);
    accepts("f16[1] 0x1.004p0", "f16[1] 1", 2);
    accepts("f32[1] 0x1p-149", "f32[1] 0", 1);
    refuses("f32[1] 0x1p-140", "f32[1] 0", 1);
}

static void test_specials(void **state) {
    (void)state;
    accepts("f32[1] nan", "f32[1] nan", 0);
    refuses("f32[1] nan", "f32[1] 1", 4);
    refuses("f32[1] 1", "f32[1] nan", 4);
    accepts("f32[1] inf", "f32[1] inf", 0);
    refuses("f32[1] -inf", "f32[1] inf", 4);
    refuses("f32[1] 1", "f32[1] inf", 4);
    refuses("f32[1] inf", "f32[1] 1", 4);
    accepts("f16[1] inf", "f16[1] 65504", 2);
    accepts("f16[1] 65504", "f16[1] inf", 2);
    refuses("f16[1] -inf", "f16[1] 65504", 2);
}

static void test_magnitudes(void **state) {
    (void)state;
    const double large[1] = {1e6}, unknown[1] = {INFINITY};
    assert_true(compare("f32[1] 0.01", "f32[1] 0", large, 1).is_equal);
    assert_false(compare("f32[1] 0.1", "f32[1] 0", large, 1).is_equal);
    comparison c = compare("f32[1] 5", "f32[1] 0", unknown, 1);
    assert_true(c.is_equal && c.n_unknown == 1);
    c = compare("f32[1] 3", "f32[1] 1", NULL, 2);
    assert_false(c.is_equal);
    assert_true(fabs(c.worst - 2 / 0x1p-24) < 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_specials),
        cmocka_unit_test(test_magnitudes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
