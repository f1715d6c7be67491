/* Dots as blocked products: sizes around tiles and blocks, layouts, symbols, dtypes, epilogues, against the
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

/* Where the operands' runs lie: [m, k] or [k, m], [k, n] or [n, k]. */
typedef enum layout { PLAIN = 0, A_CROSSED = 1, B_CROSSED = 2 } layout;

/* x y + bias with each extent a number, or a symbol of that value. */
static void product(int m, int k, int n, layout l, const char *symbolic, const char *dtype, numbers what) {
    char ms[16] = "m", ks[16] = "k", ns[16] = "n", text[1024], symbols[64];
    if (symbolic[0] != 'm') snprintf(ms, sizeof ms, "%d", m);
    if (symbolic[1] != 'k') snprintf(ks, sizeof ks, "%d", k);
    if (symbolic[2] != 'n') snprintf(ns, sizeof ns, "%d", n);
    bool a = l & A_CROSSED, b = l & B_CROSSED;
    snprintf(text, sizeof text,
             "(%%x: %s[%s, %s], %%y: %s[%s, %s], %%b: %s[%s]) -> (%%z: %s[%s, %s]) {\n"
             "  %%0 = dot %%x, %%y, contract=[%d]x[%d] : %s[%s, %s]\n"
             "  %%1 = broadcast %%b, dims=[1], shape=[%s, %s] : %s[%s, %s]\n"
             "  %%2 = add %%0, %%1 : %s[%s, %s]\n  return %%2\n}",
             dtype, a ? ks : ms, a ? ms : ks, dtype, b ? ns : ks, b ? ks : ns, dtype, ns, dtype, ms, ns, !a, b, dtype,
             ms, ns, ms, ns, dtype, ms, ns, dtype, ms, ns);
    snprintf(symbols, sizeof symbols, "m=%d k=%d n=%d", m, k, n);
    check_program(text, symbols, NULL, what);
}

/* The same with y a weight: it is packed when it is loaded. */
static void product_of_weight(int m, int k, int n, bool b_crossed, const char *dtype, numbers what) {
    char text[1024], symbols[32];
    for (int is_symbolic = 0; is_symbolic < 2; is_symbolic++) {
        char ms[16] = "m";
        if (!is_symbolic) snprintf(ms, sizeof ms, "%d", m);
        snprintf(text, sizeof text,
                 "(%%x: %s[%s, %d], %%y: %s[%d, %d] weight) -> (%%z: %s[%s, %d]) {\n"
                 "  %%0 = dot %%x, %%y, contract=[1]x[%d] : %s[%s, %d]\n  return %%0\n}",
                 dtype, ms, k, dtype, b_crossed ? n : k, b_crossed ? k : n, dtype, ms, n, b_crossed, dtype, ms, n);
        snprintf(symbols, sizeof symbols, "m=%d", m);
        check_program(text, symbols, NULL, what);
    }
}

static const char *const symbolic[] = {"...", "m..", ".k.", "..n", "mkn"};

/* Every layout and choice of symbols at sizes around the tile, the vector and the block. */
static void test_sizes(void **state) {
    (void)state;
    static const int sizes[][3] = {{1, 1, 1},    {1, 5, 3},    {3, 7, 1},    {14, 32, 32}, {15, 33, 33}, {29, 17, 65},
                                   {40, 40, 40}, {13, 90, 50}, {100, 3, 99}, {7, 300, 90}, {2, 700, 40}, {64, 64, 1},
                                   {37, 1, 20},  {0, 5, 6},    {5, 0, 6},    {5, 6, 0},    {60, 20, 300}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int l = 0; l < 4; l++)
            product(sizes[i][0], sizes[i][1], sizes[i][2], (layout)l, symbolic[(i + (size_t)l) % 5], "f32",
                    EXACT_NUMBERS);
}

static void test_odd_sizes(void **state) {
    (void)state;
    for (int i = 1; i <= 40; i += 3)
        product(i, (i * 7) % 41 + 1, (i * 11) % 43 + 1, (layout)(i % 4), symbolic[i % 5], i % 2 ? "f32" : "f64",
                EXACT_NUMBERS);
}

/* Depths that are cut in blocks: C goes through memory, the chain stays one. */
static void test_deep(void **state) {
    (void)state;
    product(33, 5000, 47, PLAIN, "...", "f32", EXACT_NUMBERS);
    product(20, 3000, 70, PLAIN, "m..", "f32", EXACT_NUMBERS);
    product(5, 2500, 40, B_CROSSED, "...", "f32", EXACT_NUMBERS);
    product(300, 5000, 33, A_CROSSED, "...", "f32", EXACT_NUMBERS);
    product(9, 2200, 30, PLAIN, "...", "f32", ANY_NUMBERS);
}

static void test_weights(void **state) {
    (void)state;
    static const int sizes[][3] = {{1, 128, 64},  {1, 300, 50}, {5, 40, 33},    {14, 64, 96},    {37, 90, 100},
                                   {128, 70, 16}, {3, 2000, 8}, {20, 1500, 40}, {64, 256, 1000}, {0, 40, 64}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int crossed = 0; crossed < 2; crossed++)
            product_of_weight(sizes[i][0], sizes[i][1], sizes[i][2], crossed, i % 3 ? "f32" : "f64", EXACT_NUMBERS);
    product_of_weight(50, 200, 60, true, "f32", ANY_NUMBERS);
    product_of_weight(50, 200, 60, false, "f16", EXACT_NUMBERS);
    check_program("(%x: f32[n, 4, 30], %y: f32[30, 3, 4, 20] weight, %w: f32[3, 20] weight) -> (%z: f32[n, 3, 20]) {\n"
                  "  %0 = dot %x, %y, contract=[1, 2]x[2, 0] : f32[n, 3, 20]\n"
                  "  %1 = broadcast %w, dims=[1, 2], shape=[n, 3, 20] : f32[n, 3, 20]\n"
                  "  %2 = mul %0, %1 : f32[n, 3, 20]\n  return %2\n}",
                  "n=9", "contract", EXACT_NUMBERS);
}

/* Numbers of fewer bits are converted by the product's own kernel: from memory, and from panels as they lie. */
static void test_narrow(void **state) {
    (void)state;
    static const char *const dtypes[] = {"bf16", "i8", "f16", "u16"};
    char text[1024];
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        snprintf(text, sizeof text,
                 "(%%x: f32[n, 40], %%y: %s[40, 70]) -> (%%z: f32[n, 70]) {\n"
                 "  %%0 = convert %%y, dtype=f32 : f32[40, 70]\n"
                 "  %%1 = dot %%x, %%0, contract=[1]x[0] : f32[n, 70]\n  return %%1\n}",
                 dtypes[i]);
        check_program(text, "n=1", "contract", EXACT_NUMBERS);
        check_program(text, "n=30", "contract", EXACT_NUMBERS);
        for (int width = 16; width <= 64; width *= 2) {
            snprintf(text, sizeof text,
                     "(%%x: f32[n, 40], %%y: %s[3, 40, %d]) -> (%%z: f32[n, %d]) {\n"
                     "  %%0 = convert %%y, dtype=f32 : f32[3, 40, %d]\n"
                     "  %%1 = transpose %%0, perm=[1, 0, 2] : f32[40, 3, %d]\n"
                     "  %%2 = reshape %%1, shape=[40, %d] : f32[40, %d]\n"
                     "  %%3 = dot %%x, %%2, contract=[1]x[0] : f32[n, %d]\n  return %%3\n}",
                     dtypes[i], width, 3 * width, width, width, 3 * width, 3 * width, 3 * width);
            check_program(text, "n=1", "contract", EXACT_NUMBERS);
            check_program(text, "n=30", "contract", EXACT_NUMBERS);
        }
    }
}

/* What others read too is converted once, by a kernel of its own. */
static void test_narrow_for_others(void **state) {
    (void)state;
    check_program("(%x: f32[9, 40], %y: bf16[40, 70]) -> (%z: f32[9, 70], %w: f32[40, 70]) {\n"
                  "  %0 = convert %y, dtype=f32 : f32[40, 70]\n  %1 = neg %0 : f32[40, 70]\n"
                  "  %2 = dot %x, %0, contract=[1]x[0] : f32[9, 70]\n  return %2, %1\n}",
                  "", "map", EXACT_NUMBERS);
}

static void test_rounding(void **state) {
    (void)state;
    for (int l = 0; l < 4; l++) product(50, 200, 60, (layout)l, symbolic[l], "f32", ANY_NUMBERS);
    product(300, 100, 40, PLAIN, "...", "f64", ANY_NUMBERS);
}

static void test_dtypes(void **state) {
    (void)state;
    static const char *const dtypes[] = {"f16", "bf16", "f64", "i32", "i8", "u16"};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        for (int l = 0; l < 4; l++) product(17, 20, 40, (layout)l, symbolic[l], dtypes[i], EXACT_NUMBERS);
}

/* A dot is one chain over k, whatever its extents are known of: numbers and symbols give the same bits. */
static void test_axes(void **state) {
    (void)state;
    check_program("(%x: f32[b, n, 20], %y: f32[b, m, 20], %c: f32[m]) -> (%z: f32[b, n, m], %d: f32[b, n, m]) {\n"
                  "  %0 = dot %x, %y, batch=[0]x[0], contract=[2]x[2] : f32[b, n, m]\n"
                  "  %1 = broadcast %c, dims=[2], shape=[b, n, m] : f32[b, n, m]\n"
                  "  %2 = add %0, %1 : f32[b, n, m]\n  return %2, %0\n}",
                  "b=3 n=17 m=41", "contract", EXACT_NUMBERS);
    check_program("(%x: f32[2, n, 4, 10], %y: f32[4, 5, 10, 2]) -> (%z: f32[2, n, 5]) {\n"
                  "  %0 = dot %x, %y, batch=[0]x[3], contract=[2, 3]x[0, 2] : f32[2, n, 5]\n  return %0\n}",
                  "n=19", "contract", EXACT_NUMBERS);
    check_program("(%x: f32[3, n, 20], %y: f32[20, 2, 25]) -> (%z: f32[3, n, 2, 25]) {\n"
                  "  %0 = dot %x, %y, contract=[2]x[0] : f32[3, n, 2, 25]\n  return %0\n}",
                  "n=7", "contract", EXACT_NUMBERS);
    check_program("(%x: f32[8], %y: f32[30]) -> (%z: f32[8, 30]) {\n"
                  "  %0 = dot %x, %y, contract=[]x[] : f32[8, 30]\n  return %0\n}",
                  "", NULL, EXACT_NUMBERS);
    check_program("(%x: f32[300], %y: f32[300]) -> (%z: f32[]) {\n"
                  "  %0 = dot %x, %y, contract=[0]x[0] : f32[]\n  return %0\n}",
                  "", NULL, EXACT_NUMBERS);
}

static void test_views_before(void **state) {
    (void)state;
    check_program("(%x: f32[n, 80], %y: f32[50, 40]) -> (%z: f32[n, 50]) {\n"
                  "  %0 = slice %x, start=[0, 0], limit=[n, 80], stride=[1, 2] : f32[n, 40]\n"
                  "  %1 = transpose %y, perm=[1, 0] : f32[40, 50]\n"
                  "  %2 = dot %0, %1, contract=[1]x[0] : f32[n, 50]\n  return %2\n}",
                  "n=21", "contract", EXACT_NUMBERS);
    check_program("(%x: f32[30, 40], %y: f32[40]) -> (%z: f32[30, 50]) {\n"
                  "  %0 = broadcast %y, dims=[0], shape=[40, 50] : f32[40, 50]\n"
                  "  %1 = reverse %x, axes=[1] : f32[30, 40]\n"
                  "  %2 = dot %1, %0, contract=[1]x[0] : f32[30, 50]\n  return %2\n}",
                  "", "contract", EXACT_NUMBERS);
}

/* A kernel has this result. */
static void check_result(const char *text, const char *symbols, const char *result) {
    char *fused = program_stage(text, "fuse", NULL);
    if (!strstr(fused, result)) fail_msg("no kernel with %s:\n%s", result, fused);
    tn_text_free(fused);
    check_program(text, symbols, NULL, EXACT_NUMBERS);
}

/* What is read transposed alone is stored so, whoever reads it; what is read in both orders, or turned, is not. */
static void test_views_after(void **state) {
    (void)state;
    check_result("(%p: f32[3, 4, n, 9], %v: f32[3, 4, 9, 5], %w: f32[20, 8]) -> (%y: f32[3, n, 8], %z: f32[3, n]) {\n"
                 "  %0 = dot %p, %v, batch=[0, 1]x[0, 1], contract=[3]x[2] : f32[3, 4, n, 5]\n"
                 "  %1 = neg %0 : f32[3, 4, n, 5]\n"
                 "  %2 = transpose %1, perm=[0, 2, 1, 3] : f32[3, n, 4, 5]\n"
                 "  %3 = reshape %2, shape=[3, n, 20] : f32[3, n, 20]\n"
                 "  %4 = dot %3, %w, contract=[2]x[0] : f32[3, n, 8]\n"
                 "  %5 = reduce %3, axes=[2], kind=sum : f32[3, n]\n  return %4, %5\n}",
                 "n=19", "-> (%r0: f32[3, s0, 20])");
    check_result("(%x: f32[4, 30, 9], %y: f32[4, 9, 40]) -> (%a: f32[120, 40]) {\n"
                 "  %0 = dot %x, %y, batch=[0]x[0], contract=[2]x[1] : f32[4, 30, 40]\n"
                 "  %1 = transpose %0, perm=[1, 0, 2] : f32[30, 4, 40]\n"
                 "  %2 = reshape %1, shape=[120, 40] : f32[120, 40]\n"
                 "  %3 = cumulate %2, axis=0, kind=sum : f32[120, 40]\n  return %3\n}",
                 "", "-> (%r0: f32[120, 40])");
    check_result("(%x: f32[4, 30, 9], %y: f32[4, 9, 40]) -> (%a: f32[30, 4, 40], %b: f32[4, 30, 40]) {\n"
                 "  %0 = dot %x, %y, batch=[0]x[0], contract=[2]x[1] : f32[4, 30, 40]\n"
                 "  %1 = transpose %0, perm=[1, 0, 2] : f32[30, 4, 40]\n"
                 "  %2 = cumulate %1, axis=0, kind=sum : f32[30, 4, 40]\n"
                 "  %3 = cumulate %0, axis=0, kind=sum : f32[4, 30, 40]\n  return %2, %3\n}",
                 "", "-> (%r0: f32[4, 30, 40]) {\n  %0 = dot");
    check_result("(%x: f32[4, 30, 9], %y: f32[4, 9, 40]) -> (%a: f32[4, 40, 30]) {\n"
                 "  %0 = dot %x, %y, batch=[0]x[0], contract=[2]x[1] : f32[4, 30, 40]\n"
                 "  %1 = transpose %0, perm=[0, 2, 1] : f32[4, 40, 30]\n"
                 "  %2 = cumulate %1, axis=0, kind=sum : f32[4, 40, 30]\n  return %2\n}",
                 "", "-> (%r0: f32[4, 30, 40]) {\n  %0 = dot");
    /* Of integers, and too small for a blocked product. */
    check_result("(%x: i32[3, 4, 2], %y: i32[3, 2, 5]) -> (%a: i32[4, 3, 5]) {\n"
                 "  %0 = dot %x, %y, batch=[0]x[0], contract=[2]x[1] : i32[3, 4, 5]\n"
                 "  %1 = transpose %0, perm=[1, 0, 2] : i32[4, 3, 5]\n"
                 "  %2 = cumulate %1, axis=0, kind=sum : i32[4, 3, 5]\n  return %2\n}",
                 "", "-> (%r0: i32[4, 3, 5]) {\n  %0 = dot");
}

/* Steps of A far apart: its rows are copied to panels, some steps of all at a time. */
static void test_far_steps(void **state) {
    (void)state;
    static const int sizes[][3] = {{512, 70, 128}, {300, 33, 65}, {1030, 9, 40}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof symbolic / sizeof *symbolic; k++)
            product(sizes[i][0], sizes[i][1], sizes[i][2], A_CROSSED, symbolic[k], "f32", EXACT_NUMBERS);
    check_program("(%x: f32[5, 30, 300], %y: f32[5, 30, 70]) -> (%z: f32[5, 300, 70]) {\n"
                  "  %0 = dot %x, %y, batch=[0]x[0], contract=[1]x[1] : f32[5, 300, 70]\n  return %0\n}",
                  "", "contract", EXACT_NUMBERS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),        cmocka_unit_test(test_odd_sizes),
        cmocka_unit_test(test_deep),         cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_dtypes),       cmocka_unit_test(test_axes),
        cmocka_unit_test(test_views_before), cmocka_unit_test(test_weights),
        cmocka_unit_test(test_narrow),       cmocka_unit_test(test_narrow_for_others),
        cmocka_unit_test(test_views_after),  cmocka_unit_test(test_far_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
