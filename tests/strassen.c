/* Products by Strassen's algorithm: which ones, in which forms, and the same results as the interpreter's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/program_check.h"

static const tn_compile_options on = {.strassen = "on"};

static int count(const char *text, const char *word) {
    int n = 0;
    for (; (text = strstr(text, word)); text += strlen(word)) n++;
    return n;
}

/* `products`: in main, after the pass. */
static void check(const char *text, const char *symbols, int products) {
    char *stage = program_stage(text, "strassen", &on);
    int found = count(stage, "= dot ");
    if (found != products) fail_msg("%d products:\n%.4000s", found, stage);
    tn_text_free(stage);
    check_program_with(&on, text, symbols, NULL, EXACT_NUMBERS);
    check_program_with(&on, text, symbols, NULL, ANY_NUMBERS);
}

static void test_forms(void **state) {
    (void)state;
    check("(%x: f32[128, 512], %w: f32[512, 640] weight) -> (%y: f32[128, 640]) {\n"
          "  %0 = dot %x, %w, contract=[1]x[0] : f32[128, 640]\n  return %0\n}",
          "", 7);
    check("(%x: f32[512, 130], %w: f32[512, 512] weight) -> (%y: f32[130, 512]) {\n"
          "  %0 = dot %x, %w, contract=[0]x[1] : f32[130, 512]\n  return %0\n}",
          "", 7);
    check("(%x: f32[3, 512, 44], %w: f32[514, 512] weight) -> (%y: f32[3, 44, 514]) {\n"
          "  %0 = dot %x, %w, contract=[1]x[1] : f32[3, 44, 514]\n  return %0\n}",
          "", 7);
}

static void test_what_stays(void **state) {
    (void)state;
    static const char *const texts[] = {
        "(%x: f32[126, 512], %w: f32[512, 512] weight) -> (%y: f32[126, 512]) {\n"
        "  %0 = dot %x, %w, contract=[1]x[0] : f32[126, 512]\n  return %0\n}",
        "(%x: f32[129, 512], %w: f32[512, 512] weight) -> (%y: f32[129, 512]) {\n"
        "  %0 = dot %x, %w, contract=[1]x[0] : f32[129, 512]\n  return %0\n}",
        "(%x: f32[128, 512], %w: f32[512, 512]) -> (%y: f32[128, 512]) {\n"
        "  %0 = dot %x, %w, contract=[1]x[0] : f32[128, 512]\n  return %0\n}",
        "(%x: f32[n, 512], %w: f32[512, 512] weight) -> (%y: f32[n, 512]) {\n"
        "  %0 = dot %x, %w, contract=[1]x[0] : f32[n, 512]\n  return %0\n}",
        "(%x: f64[128, 512], %w: f64[512, 512] weight) -> (%y: f64[128, 512]) {\n"
        "  %0 = dot %x, %w, contract=[1]x[0] : f64[128, 512]\n  return %0\n}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *stage = program_stage(texts[i], "strassen", &on);
        assert_int_equal(count(stage, "= dot "), 1);
        assert_int_equal(count(stage, "= concat "), 0);
        tn_text_free(stage);
    }
    static const char text[] = "(%x: f32[128, 512], %w: f32[512, 512] weight) -> (%y: f32[128, 512]) {\n"
                               "  %0 = dot %x, %w, contract=[1]x[0] : f32[128, 512]\n  return %0\n}";
    char *stage = program_stage(text, "strassen", NULL);
    assert_int_equal(count(stage, "= dot "), 1);
    tn_text_free(stage);
}

/* Quarters go through elementwise ops into the next product; what reads the whole gets it, once. */
static void test_chains(void **state) {
    (void)state;
    check("(%x: f32[128, 512], %w: f32[512, 512] weight, %v: f32[512, 512] weight, %b: f32[512])\n"
          "  -> (%y: f32[128, 512], %z: f32[128], %u: f32[128, 512]) {\n"
          "  %0 = dot %x, %w, contract=[1]x[0] : f32[128, 512]\n"
          "  %1 = broadcast %b, dims=[1], shape=[128, 512] : f32[128, 512]\n"
          "  %2 = add %0, %1 : f32[128, 512]\n"
          "  %3 = compare %2, %x, compare=gt : bool[128, 512]\n  %4 = select %3, %2, %x : f32[128, 512]\n"
          "  %5 = dot %4, %v, contract=[1]x[0] : f32[128, 512]\n  %6 = sub %5, %x : f32[128, 512]\n"
          "  %7 = reduce %6, axes=[1], kind=max : f32[128]\n  %8 = neg %6 : f32[128, 512]\n  return %8, %7, %2\n}",
          "", 14);
    check("(%x: f32[512, 512], %w: f32[512, 512] weight) -> (%y: f32[512, 512], %z: f32[512, 512]) {\n"
          "  %0 = dot %x, %w, contract=[1]x[0] : f32[512, 512]\n  %1 = dot %x, %w, contract=[0]x[0] : f32[512, 512]\n"
          "  %2 = add %0, %1 : f32[512, 512]\n  %3 = transpose %2, perm=[1, 0] : f32[512, 512]\n"
          "  %4 = dot %0, %w, contract=[0]x[1] : f32[512, 512]\n  return %3, %4\n}",
          "", 21);
}

static void test_bad_option(void **state) {
    (void)state;
    tn_module *m = module_new("m");
    tn_diag diag = {0};
    assert_null(tn_compile_text(m, &(tn_compile_options){.strassen = "maybe"}, "strassen", NULL, &diag));
    assert_int_equal(diag.status, TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "--strassen: \"on\" or \"off\"");
    tn_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_what_stays),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_bad_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
