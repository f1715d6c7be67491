/* Products by OpenBLAS (`gemm = "blas"`): which dots it takes, in which form, with Tenon's own results.
 *
 * in:  dots of every layout, alone and with work before and after them
 * out: the stage `blas` calls the op that is said, and results are the interpreter's
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/program_check.h"

static const tn_compile_options by_blas = {.gemm = "blas", .verify_each = true};

/* The op that the product becomes; NULL: it stays a dot. */
static void check_form(const char *function, const char *symbols, const char *op, numbers what) {
    char call[64] = "= dot ";
    if (op) snprintf(call, sizeof call, "name=\"%s\"", op);
    char *stage = program_stage(function, "clean", &by_blas);
    if (!strstr(stage, call) || (op && strstr(stage, "= dot "))) fail_msg("no %s in\n%s", call, stage);
    tn_text_free(stage);
    check_program_with(&by_blas, function, symbols, NULL, what);
}

/* [m, k] or [k, m] times [k, n] or [n, k]. */
static void test_forms(void **state) {
    (void)state;
    static const char *const dtypes[] = {"f32", "f64"};
    static const int sizes[][3] = {{1, 1, 1}, {7, 33, 20}, {64, 64, 64}, {0, 5, 6}, {5, 0, 6}, {5, 6, 0}};
    for (int form = 0; form < 8; form++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char function[512], name[32];
            const char *dtype = dtypes[form / 4];
            int m = sizes[i][0], k = sizes[i][1], n = sizes[i][2], a = form / 2 % 2, b = form % 2;
            snprintf(name, sizeof name, "blas.%s.%c%c", dtype, a ? 't' : 'n', b ? 't' : 'n');
            snprintf(function, sizeof function,
                     "(%%x: %s[%d, %d], %%y: %s[%d, %d]) -> (%%z: %s[%d, %d]) {\n"
                     "  %%0 = dot %%x, %%y, contract=[%d]x[%d] : %s[%d, %d]\n  return %%0\n}",
                     dtype, a ? k : m, a ? m : k, dtype, b ? n : k, b ? k : n, dtype, m, n, !a, b, dtype, m, n);
            check_form(function, "", name, EXACT_NUMBERS);
            check_form(function, "", name, ANY_NUMBERS);
        }
}

/* Several batch, free and contracted axes, symbols, and work on both ends. */
static void test_axes(void **state) {
    (void)state;
    check_form("(%q: f32[b, h, n, 16], %k: f32[b, h, m, 16], %c: f32[m]) -> (%z: f32[b, h, n, m]) {\n"
               "  %0 = neg %q : f32[b, h, n, 16]\n"
               "  %1 = dot %0, %k, batch=[0, 1]x[0, 1], contract=[3]x[3] : f32[b, h, n, m]\n"
               "  %2 = broadcast %c, dims=[3], shape=[b, h, n, m] : f32[b, h, n, m]\n"
               "  %3 = add %1, %2 : f32[b, h, n, m]\n  return %3\n}",
               "b=2 h=3 n=5 m=9", "blas.f32.nt", EXACT_NUMBERS);
    check_form("(%x: f64[3, 4, n], %y: f64[3, 4, 2, 5]) -> (%z: f64[n, 2, 5]) {\n"
               "  %0 = dot %x, %y, contract=[0, 1]x[0, 1] : f64[n, 2, 5]\n  return %0\n}",
               "n=7", "blas.f64.tn", EXACT_NUMBERS);
    check_form("(%x: f32[n], %y: f32[n]) -> (%z: f32[]) {\n"
               "  %0 = dot %x, %y, contract=[0]x[0] : f32[]\n  return %0\n}",
               "n=70", "blas.f32.nt", EXACT_NUMBERS);
    check_form("(%x: f32[n], %y: f32[m]) -> (%z: f32[n, m]) {\n"
               "  %0 = dot %x, %y, contract=[]x[] : f32[n, m]\n  return %0\n}",
               "n=7 m=4", "blas.f32.nt", EXACT_NUMBERS);
}

/* Views that BLAS cannot read through are made first. */
static void test_views(void **state) {
    (void)state;
    check_form("(%x: f32[n, 80], %y: f32[40]) -> (%z: f32[n, 50]) {\n"
               "  %0 = slice %x, start=[0, 0], limit=[n, 80], stride=[1, 2] : f32[n, 40]\n"
               "  %1 = broadcast %y, dims=[0], shape=[40, 50] : f32[40, 50]\n"
               "  %2 = dot %0, %1, contract=[1]x[0] : f32[n, 50]\n  return %2\n}",
               "n=21", "blas.f32.nn", EXACT_NUMBERS);
}

/* What stays with Tenon: other dtypes and accumulators, axes in another order. */
static void test_own(void **state) {
    (void)state;
    check_form("(%x: f16[4, 5], %y: f16[5, 6]) -> (%z: f16[4, 6]) {\n"
               "  %0 = dot %x, %y, contract=[1]x[0] : f16[4, 6]\n  return %0\n}",
               "", NULL, EXACT_NUMBERS);
    check_form("(%x: i32[4, 5], %y: i32[5, 6]) -> (%z: i32[4, 6]) {\n"
               "  %0 = dot %x, %y, contract=[1]x[0] : i32[4, 6]\n  return %0\n}",
               "", NULL, EXACT_NUMBERS);
    check_form("(%x: f32[4, 5], %y: f32[5, 6]) -> (%z: f32[4, 6]) {\n"
               "  %0 = dot %x, %y, contract=[1]x[0], acc=f64 : f32[4, 6]\n  return %0\n}",
               "", NULL, EXACT_NUMBERS);
    check_form("(%x: f32[4, 5, 3], %y: f32[5, 6]) -> (%z: f32[4, 3, 6]) {\n"
               "  %0 = dot %x, %y, contract=[1]x[0] : f32[4, 3, 6]\n  return %0\n}",
               "", NULL, EXACT_NUMBERS);
    check_form("(%x: f32[4, 5, 3], %y: f32[3, 5, 6]) -> (%z: f32[4, 6]) {\n"
               "  %0 = dot %x, %y, contract=[1, 2]x[1, 0] : f32[4, 6]\n  return %0\n}",
               "", NULL, EXACT_NUMBERS);
    check_form("(%x: f32[4, 5, 2], %y: f32[2, 5, 6]) -> (%z: f32[2, 4, 6]) {\n"
               "  %0 = dot %x, %y, batch=[2]x[0], contract=[1]x[1] : f32[2, 4, 6]\n  return %0\n}",
               "", NULL, EXACT_NUMBERS);
}

static const char plain_text[] = "module \"m\"\n"
                                 "fn @main(%x: f32[4, 5], %y: f32[5, 6]) -> (%z: f32[4, 6]) {\n"
                                 "  %0 = dot %x, %y, contract=[1]x[0] : f32[4, 6]\n  return %0\n}\n";

static void test_unknown_gemm(void **state) {
    (void)state;
    tn_module *m = tn_module_parse(plain_text, strlen(plain_text), "m.tn");
    assert_null(tn_compile_module(m, &(tn_compile_options){.gemm = "mkl"}));
    assert_int_equal(tn_module_error(m)->status, TN_ERR_ARGUMENT);
    assert_string_equal(tn_module_error(m)->message, "gemm is \"mkl\": it can be \"own\" or \"blas\"");
    tn_module_free(m);
}

/* The text of the stage asks for the library again; without it a run says which op nobody has. */
static void test_text_without_library(void **state) {
    (void)state;
    char *stage = program_stage(strstr(plain_text, "(%x"), "clean", &by_blas);
    tn_module *m = tn_module_parse(stage, strlen(stage), "stage.tn");
    assert_null(tn_module_error(m));
    for (int with = 0; with < 2; with++) {
        float x[20], y[30], z[24];
        for (int i = 0; i < 20; i++) x[i] = (float)i;
        for (int i = 0; i < 30; i++) y[i] = 1;
        tn_program *p = tn_compile_module(m, with ? &by_blas : NULL);
        assert_non_null(p);
        tn_exec *exec = tn_exec_new(p, NULL);
        tn_tensor in[] = {TN_TENSOR(TN_F32, x, 4, 5), TN_TENSOR(TN_F32, y, 5, 6)}, out = TN_TENSOR(TN_F32, z, 4, 6);
        assert_int_equal(tn_exec_run(exec, in, 2, &out, 1), with ? TN_OK : TN_ERR_CUSTOM);
        if (with)
            assert_true(z[0] == 10 && z[23] == 85);
        else
            assert_non_null(strstr(tn_exec_error(exec)->message, "blas.f32.nn"));
        tn_exec_free(exec);
        tn_program_free(p);
    }
    tn_module_free(m);
    tn_text_free(stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms), cmocka_unit_test(test_axes),         cmocka_unit_test(test_views),
        cmocka_unit_test(test_own),   cmocka_unit_test(test_unknown_gemm), cmocka_unit_test(test_text_without_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
