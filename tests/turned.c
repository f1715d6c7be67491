/* Maps of transposed operands: blocks turned in registers, their rests, what is fused around them, against the
 * interpreter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/program_check.h"

static void check_turned(const char *text, const char *symbols, bool is_turned) {
    char *loops = program_stage(text, "loops", NULL);
    const char *trees = strstr(loops, "\nloops\n");
    if (!trees || !strstr(trees, " transpose ") == is_turned)
        fail_msg("%s:\n%s", is_turned ? "not turned" : "turned", loops);
    tn_text_free(loops);
    check_program(text, symbols, "map", ANY_NUMBERS);
}

static void transpose(const char *from, const char *perm, const char *to, const char *symbols, bool is_turned) {
    char text[512];
    snprintf(text, sizeof text, "(%%x: %s) -> (%%y: %s) {\n  %%0 = transpose %%x, perm=[%s] : %s\n  return %%0\n}",
             from, to, perm, to);
    check_turned(text, symbols, is_turned);
}

/* Whole blocks, rests of one side, of both. */
static void test_sizes(void **state) {
    (void)state;
    transpose("f32[64, 48]", "1, 0", "f32[48, 64]", "", true);
    transpose("f32[16, 16]", "1, 0", "f32[16, 16]", "", true);
    transpose("f32[64, 53]", "1, 0", "f32[53, 64]", "", true);
    transpose("f32[67, 32]", "1, 0", "f32[32, 67]", "", true);
    transpose("f32[131, 197]", "1, 0", "f32[197, 131]", "", true);
    transpose("f32[300, 1100]", "1, 0", "f32[1100, 300]", "", true);
    transpose("f32[8, 300]", "1, 0", "f32[300, 8]", "", false); /* less than a block */
    transpose("f32[n, 300]", "1, 0", "f32[300, n]", "n=70", false);
}

static void test_dtypes(void **state) {
    (void)state;
    transpose("f64[70, 33]", "1, 0", "f64[33, 70]", "", true);
    transpose("i16[70, 81]", "1, 0", "i16[81, 70]", "", true);
    transpose("u8[130, 67]", "1, 0", "u8[67, 130]", "", true);
    transpose("bool[130, 67]", "1, 0", "bool[67, 130]", "", true);
}

/* Channels to the end and back; axes before them of any size; axes between rows and columns. */
static void test_axes(void **state) {
    (void)state;
    transpose("f32[2, 24, 7, 9]", "0, 2, 3, 1", "f32[2, 7, 9, 24]", "", true);
    transpose("f32[2, 7, 9, 24]", "0, 3, 1, 2", "f32[2, 24, 7, 9]", "", true);
    transpose("f32[n, 24, 30]", "0, 2, 1", "f32[n, 30, 24]", "n=3", true);
    transpose("f32[0, 24, 30]", "0, 2, 1", "f32[0, 30, 24]", "", false);
    transpose("f32[20, 3, 40]", "2, 1, 0", "f32[40, 3, 20]", "", false);
    transpose("f32[20, 3, 40]", "1, 0, 2", "f32[3, 20, 40]", "", false); /* rows move as they are */
}

static void test_fused(void **state) {
    (void)state;
    /* One operand as it lies, two turned, one of a row. */
    check_turned("(%x: f32[40, 50], %y: f32[50, 40], %z: f32[40, 50], %b: f32[40]) -> (%r: f32[50, 40]) {\n"
                 "  %0 = transpose %x, perm=[1, 0] : f32[50, 40]\n  %1 = transpose %z, perm=[1, 0] : f32[50, 40]\n"
                 "  %2 = add %0, %y : f32[50, 40]\n  %3 = mul %2, %1 : f32[50, 40]\n"
                 "  %4 = broadcast %b, dims=[1], shape=[50, 40] : f32[50, 40]\n  %5 = sub %3, %4 : f32[50, 40]\n"
                 "  return %5\n}",
                 "", true);
    /* x + x^T: one load of each kind; two results; part of an operand. */
    check_turned("(%x: f32[37, 37]) -> (%r: f32[37, 37], %s: f32[37, 37]) {\n"
                 "  %0 = transpose %x, perm=[1, 0] : f32[37, 37]\n  %1 = add %0, %x : f32[37, 37]\n"
                 "  %2 = mul %0, %x : f32[37, 37]\n  return %1, %2\n}",
                 "", true);
    check_turned("(%x: f32[90, 80]) -> (%r: f32[40, 33]) {\n"
                 "  %0 = slice %x, start=[5, 7], limit=[38, 47] : f32[33, 40]\n"
                 "  %1 = transpose %0, perm=[1, 0] : f32[40, 33]\n  return %1\n}",
                 "", true);
}

/* A copy past the caches, whose chunks go the other way. */
static void test_streamed_copy(void **state) {
    (void)state;
    transpose("f64[2112, 2100]", "1, 0", "f64[2100, 2112]", "", true);
}

/* A result that no cache holds is stored past them, a smaller one is not. */
static void test_streamed(void **state) {
    (void)state;
    static const struct {
        int rows;
        bool is_streamed;
    } cases[] = {{1 << 20, true}, {1 << 10, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        int rows = cases[i].rows;
        snprintf(text, sizeof text,
                 "(%%x: f32[%d, 1024]) -> (%%y: f32[%d, 1024]) {\n  %%0 = neg %%x : f32[%d, 1024]\n  return %%0\n}",
                 rows, rows, rows);
        char *loops = program_stage(text, "loops", NULL);
        assert_int_equal(strstr(loops, " streamed)") != NULL, cases[i].is_streamed);
        tn_text_free(loops);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streamed), cmocka_unit_test(test_streamed_copy), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_dtypes),   cmocka_unit_test(test_axes),          cmocka_unit_test(test_fused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
