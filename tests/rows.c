/* Work on rows: softmax over any axes of sizes around vectors, whose exponentials lie in a buffer of a row's size where
 * they fit; reductions over rows and columns; against the interpreter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/kernel_check.h"
#include "tests/lib/program_check.h"

/* ---- Held rows ---- */

static void check_held(const char *text, const char *symbols, bool is_held) {
    char *loops = program_stage(text, "loops", NULL);
    if (!strstr(loops, " scratch row: ") == is_held) fail_msg("a row %s held:\n%s", is_held ? "is not" : "is", loops);
    tn_text_free(loops);
    check_program(text, symbols, "reduce", ANY_NUMBERS);
}

static void softmax(const char *type, int axis, const char *symbols, bool is_held) {
    char text[512];
    snprintf(text, sizeof text, "(%%x: %s) -> (%%y: %s) {\n  %%0 = softmax %%x, axis=%d : %s\n  return %%0\n}", type,
             type, axis, type);
    check_held(text, symbols, is_held);
}

static void test_softmax(void **state) {
    (void)state;
    static const char *const types[] = {"f32[3, 1]",    "f32[5, 7]", "f32[2, 64]", "f32[40, 197]", "f64[9, 70]",
                                        "f32[3, 1000]", "f32[0, 7]", "f32[7, 0]",  "f16[6, 50]",   "bf16[6, 50]"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) softmax(types[i], 1, "", true);
    softmax("f32[200]", 0, "", true);
    softmax("f32[2, 3, 65]", 2, "", true);
    softmax("f32[n, m]", 1, "n=5 m=37", true);
    softmax("f32[2, 300000]", 1, "", false); /* too long a row */
    softmax("f32[2, 20, 33]", 1, "", false); /* lanes are rows */
}

/* What is held is read by results and by row values alike. */
static void test_shared(void **state) {
    (void)state;
    check_held("(%x: f32[6, 50]) -> (%y: f32[6, 50], %e: f32[6, 50], %s: f32[6]) {\n"
               "  %0 = exp %x : f32[6, 50]\n  %1 = reduce %0, kind=sum, axes=[1] : f32[6]\n"
               "  %2 = broadcast %1, dims=[0], shape=[6, 50] : f32[6, 50]\n  %3 = div %0, %2 : f32[6, 50]\n  return "
               "%3, %0, %1\n}",
               "", true);
    /* Two reductions of a phase: each computes for itself. */
    check_held(
        "(%x: f32[6, 50]) -> (%y: f32[6, 50]) {\n"
        "  %0 = exp %x : f32[6, 50]\n  %1 = reduce %0, kind=sum, axes=[1] : f32[6]\n"
        "  %2 = reduce %0, kind=max, axes=[1] : f32[6]\n  %3 = div %2, %1 : f32[6]\n"
        "  %4 = broadcast %3, dims=[0], shape=[6, 50] : f32[6, 50]\n  %5 = mul %0, %4 : f32[6, 50]\n  return %5\n}",
        "", false);
    /* The second value takes the place of the first. */
    check_held(
        "(%x: f32[6, 50]) -> (%y: f32[6, 50]) {\n"
        "  %0 = exp %x : f32[6, 50]\n  %1 = reduce %0, kind=sum, axes=[1] : f32[6]\n"
        "  %2 = broadcast %1, dims=[0], shape=[6, 50] : f32[6, 50]\n  %3 = div %0, %2 : f32[6, 50]\n  %4 = exp %3 : "
        "f32[6, 50]\n"
        "  %5 = reduce %4, kind=sum, axes=[1] : f32[6]\n  %6 = broadcast %5, dims=[0], shape=[6, 50] : f32[6, 50]\n"
        "  %7 = div %4, %6 : f32[6, 50]\n  return %7\n}",
        "", true);
}

/* Several axes, the middle one kept: a row lies in pieces. */
static void test_axes(void **state) {
    (void)state;
    check_held("(%x: f32[3, 5, 22]) -> (%y: f32[3, 5, 22]) {\n"
               "  %0 = exp %x : f32[3, 5, 22]\n  %1 = reduce %0, kind=sum, axes=[0, 2] : f32[5]\n"
               "  %2 = broadcast %1, dims=[1], shape=[3, 5, 22] : f32[3, 5, 22]\n  %3 = div %0, %2 : f32[3, 5, 22]\n  "
               "return %3\n}",
               "", true);
}

/* ---- Columns ---- */

static void check_columns(const char *text, const char *symbols, bool by_runs) {
    char *loops = program_stage(text, "loops", NULL);
    if (!strstr(loops, " scratch sums: ") == by_runs) fail_msg("%s by runs:\n%s", by_runs ? "not" : "", loops);
    tn_text_free(loops);
    check_program(text, symbols, "reduce", ANY_NUMBERS);
}

static void reduce(const char *kind, const char *from, const char *axes, const char *to, const char *symbols,
                   bool by_runs) {
    char text[512];
    snprintf(text, sizeof text,
             "(%%x: %s) -> (%%y: %s) {\n  %%0 = reduce %%x, kind=%s, axes=[%s] : %s\n  return %%0\n}", from, to, kind,
             axes, to);
    check_columns(text, symbols, by_runs);
}

static void test_columns(void **state) {
    (void)state;
    static const char *const kinds[] = {"sum", "prod", "max", "min"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        reduce(kinds[i], "f32[24, 40]", "0", "f32[40]", "", true);
        reduce(kinds[i], "f32[37, 1]", "0", "f32[1]", "", false); /* less than a vector of columns */
    }
    reduce("sum", "f32[21, 2100]", "0", "f32[2100]", "", true);
    reduce("sum", "f32[16, 40]", "0", "f32[40]", "", false); /* few rows */
    reduce("sum", "f32[n, m]", "0", "f32[m]", "n=43 m=17", true);
    reduce("sum", "f32[n, m]", "0", "f32[m]", "n=3 m=5", true);
    reduce("sum", "f64[70, 33]", "0", "f64[33]", "", true);
    reduce("max", "f16[70, 33]", "0", "f16[33]", "", true);
    reduce("sum", "i32[70, 33]", "0", "i32[33]", "", true);
    reduce("sum", "f32[70, 0]", "0", "f32[0]", "", false);
    reduce("sum", "f32[0, 9, 30]", "1", "f32[0, 30]", "", false);
}

/* Rows over several axes, next to each other or not; kept axes before and after them. */
static void test_columns_axes(void **state) {
    (void)state;
    reduce("sum", "f32[3, 50, 20]", "1", "f32[3, 20]", "", true);
    reduce("sum", "f32[2, 7, 7, 33]", "1, 2", "f32[2, 33]", "", true);
    reduce("sum", "f32[5, 3, 9, 20]", "0, 2", "f32[3, 20]", "", true);
    reduce("sum", "f32[5, 3, 4, 20, 3]", "0, 2", "f32[3, 20, 3]", "", true);
}

/* Two sums of one sweep, what they are made of before them and after them. */
static void test_columns_fused(void **state) {
    (void)state;
    check_columns("(%x: f32[60, 50], %b: f32[50]) -> (%m: f32[50], %v: f32[50]) {\n"
                  "  %0 = broadcast %b, dims=[1], shape=[60, 50] : f32[60, 50]\n  %1 = sub %x, %0 : f32[60, 50]\n"
                  "  %2 = mul %1, %1 : f32[60, 50]\n  %3 = reduce %1, kind=sum, axes=[0] : f32[50]\n"
                  "  %4 = reduce %2, kind=sum, axes=[0] : f32[50]\n  %5 = mul %3, %b : f32[50]\n"
                  "  return %5, %4\n}",
                  "", true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax), cmocka_unit_test(test_shared),       cmocka_unit_test(test_axes),
        cmocka_unit_test(test_columns), cmocka_unit_test(test_columns_axes), cmocka_unit_test(test_columns_fused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
