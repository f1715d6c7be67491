/* Work on rows that are longer than vectors and not whole ones: functions, sums, norms, indices, conversions,
 * sorting, against the interpreter. (Every op in every dtype on small tensors: generated.c.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "tests/lib/program_check.h"

/* One op on x * scale, x in [-1, 1]: scales beyond the range of exp, and where arguments of sin are reduced. */
static void test_functions(void **state) {
    (void)state;
    static const char *const functions[] = {
        "exp",  "exp2", "expm1", "log",   "log1p", "sin", "cos",  "tan",   "asin",     "acos", "atan",  "sinh",
        "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "sqrt", "rsqrt", "logistic", "gelu", "floor", "round",
    };
    static const char *const scales[] = {"1", "12", "110", "100000"}, *const dtypes[] = {"f32", "f32", "f64", "f16"};
    char text[1024];
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++)
        for (int i = 0; i < 4; i++) {
            const char *dtype = dtypes[(f + (size_t)i) % 4];
            snprintf(text, sizeof text,
                     "(%%x: %s[n, 203]) -> (%%y: %s[n, 203]) {\n  %%c = constant value=f32[] {%s} : f32[]\n"
                     "  %%0 = convert %%c, dtype=%s : %s[]\n  %%1 = broadcast %%0, shape=[n, 203] : %s[n, 203]\n"
                     "  %%2 = mul %%x, %%1 : %s[n, 203]\n  %%3 = %s %%2 : %s[n, 203]\n  return %%3\n}",
                     dtype, dtype, scales[i], dtype, dtype, dtype, dtype, functions[f], dtype);
            check_program(text, "n=5", "map", ANY_NUMBERS);
        }
}

static void test_functions_of_two(void **state) {
    (void)state;
    static const char *const functions[] = {"pow", "atan2", "rem", "div", "max", "min"};
    static const char *const dtypes[] = {"f32", "f64", "f16"};
    char text[1024];
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++)
        for (int i = 0; i < 3; i++) {
            const char *dtype = dtypes[i];
            snprintf(text, sizeof text,
                     "(%%x: %s[n, 203], %%y: %s[203]) -> (%%z: %s[n, 203]) {\n"
                     "  %%0 = abs %%x : %s[n, 203]\n  %%1 = broadcast %%y, dims=[1], shape=[n, 203] : %s[n, 203]\n"
                     "  %%2 = %s %%0, %%1 : %s[n, 203]\n  return %%2\n}",
                     dtype, dtype, dtype, dtype, dtype, functions[f], dtype);
            check_program(text, "n=5", "map", ANY_NUMBERS);
        }
}

/* Along the rows, across them, and over all. */
static void test_reductions(void **state) {
    (void)state;
    static const char *const kinds[] = {"sum", "max", "min", "prod"}, *const axes[] = {"0", "1", "0, 1"};
    static const char *const shapes[] = {"[203]", "[n]", "[]"}, *const dtypes[] = {"f32", "f64", "f16", "i32", "u8"};
    char text[1024];
    for (int k = 0; k < 20; k++)
        for (int a = 0; a < 3; a++) {
            const char *dtype = dtypes[k % 5];
            snprintf(text, sizeof text,
                     "(%%x: %s[n, 203]) -> (%%y: %s%s) {\n  %%0 = reduce %%x, kind=%s, axes=[%s] : %s%s\n"
                     "  return %%0\n}",
                     dtype, dtype, shapes[a], kinds[k % 4], axes[a], dtype, shapes[a]);
            check_program(text, "n=37", NULL, k % 4 == 3 ? ANY_NUMBERS : EXACT_NUMBERS);
        }
    check_program("(%x: f32[n, 700]) -> (%y: f32[n]) {\n  %0 = mul %x, %x : f32[n, 700]\n"
                  "  %1 = reduce %0, kind=sum, axes=[1] : f32[n]\n  return %1\n}",
                  "n=9", "reduce", ANY_NUMBERS);
    check_program("(%x: f32[n, 203]) -> (%y: i64[n]) {\n  %0 = reduce %x, kind=argmax, axes=[1] : i64[n]\n"
                  "  return %0\n}",
                  "n=9", NULL, EXACT_NUMBERS);
}

static void test_norms(void **state) {
    (void)state;
    static const char *const texts[] = {
        "(%x: f32[n, 203]) -> (%y: f32[n, 203]) {\n  %0 = softmax %x, axis=1 : f32[n, 203]\n  return %0\n}",
        "(%x: f32[n, 203]) -> (%y: f32[n, 203]) {\n  %0 = softmax %x, axis=0 : f32[n, 203]\n  return %0\n}",
        "(%x: f64[n, 9]) -> (%y: f64[n, 9]) {\n  %0 = log_softmax %x, axis=1 : f64[n, 9]\n  return %0\n}",
        "(%x: f16[n, 40]) -> (%y: f16[n, 40]) {\n  %0 = softmax %x, axis=1 : f16[n, 40]\n  return %0\n}",
        "(%x: f32[n, 203], %s: f32[203], %b: f32[203]) -> (%y: f32[n, 203]) {\n"
        "  %0 = layer_norm %x, %s, %b, axis=1 : f32[n, 203]\n  return %0\n}",
        "(%x: f32[n, 6, 31], %s: f32[6, 31], %b: f32[6, 31]) -> (%y: f32[n, 6, 31]) {\n"
        "  %0 = layer_norm %x, %s, %b, axis=1 : f32[n, 6, 31]\n  return %0\n}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) check_program(texts[i], "n=11", NULL, ANY_NUMBERS);
}

/* Indices are 0 to 3. */
static void test_indices(void **state) {
    (void)state;
    static const char *const combines[] = {"set", "add", "max"}, *const dtypes[] = {"f32", "f64", "i8", "f16"};
    char text[1024];
    for (int i = 0; i < 12; i++) {
        const char *dtype = dtypes[i % 4], *index = i % 2 ? "i32" : "i64";
        snprintf(text, sizeof text,
                 "(%%x: %s[n, 50], %%i: %s[33, 1]) -> (%%y: %s[33, 50]) {\n  %%0 = abs %%i : %s[33, 1]\n"
                 "  %%1 = gather %%x, %%0, axes=[0] : %s[33, 50]\n  return %%1\n}",
                 dtype, index, dtype, index, dtype);
        check_program(text, "n=4", NULL, EXACT_NUMBERS);
        snprintf(text, sizeof text,
                 "(%%x: %s[n, 50], %%i: %s[33, 1], %%u: %s[33, 50]) -> (%%y: %s[n, 50]) {\n"
                 "  %%0 = abs %%i : %s[33, 1]\n"
                 "  %%1 = scatter %%x, %%0, %%u, axes=[0], combine=%s : %s[n, 50]\n  return %%1\n}",
                 dtype, index, dtype, dtype, index, combines[i % 3], dtype);
        check_program(text, "n=4", NULL, EXACT_NUMBERS);
    }
}

static void test_conversions(void **state) {
    (void)state;
    static const char *const dtypes[] = {"f32", "f64", "f16", "bf16", "i8", "u8", "i16", "i32", "u32", "i64", "bool"};
    enum { DTYPES = sizeof dtypes / sizeof *dtypes };
    char text[1024];
    for (int from = 0; from < DTYPES; from++)
        for (int to = 0; to < DTYPES; to++) {
            if (from == to) continue;
            snprintf(text, sizeof text,
                     "(%%x: %s[n, 71]) -> (%%y: %s[n, 71]) {\n  %%0 = convert %%x, dtype=%s : %s[n, 71]\n"
                     "  return %%0\n}",
                     dtypes[from], dtypes[to], dtypes[to], dtypes[to]);
            bool is_rounded = from < 4 && to < 4;
            check_program(text, "n=3", "map", is_rounded ? ANY_NUMBERS : EXACT_NUMBERS);
        }
}

static void test_orders(void **state) {
    (void)state;
    static const char *const dtypes[] = {"f32", "f64", "f16", "i32", "i8"}, *const kinds[] = {"sum", "max"};
    char text[1024];
    for (int i = 0; i < 10; i++) {
        const char *dtype = dtypes[i % 5];
        snprintf(text, sizeof text,
                 "(%%x: %s[n, 203]) -> (%%y: %s[n, 203]) {\n  %%0 = sort %%x, axis=%d, descending=%d : %s[n, 203]\n"
                 "  return %%0\n}",
                 dtype, dtype, i % 2, i / 5, dtype);
        check_program(text, "n=9", NULL, EXACT_NUMBERS);
        snprintf(text, sizeof text,
                 "(%%x: %s[n, 203]) -> (%%y: %s[n, 203]) {\n"
                 "  %%0 = cumulate %%x, kind=%s, axis=%d, reverse=%d, exclusive=%d : %s[n, 203]\n  return %%0\n}",
                 dtype, dtype, kinds[i / 5], i % 2, i % 3 == 1, i % 3 == 2, dtype);
        check_program(text, "n=9", NULL, EXACT_NUMBERS);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions), cmocka_unit_test(test_functions_of_two), cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_norms),     cmocka_unit_test(test_indices),          cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
