/* Inverted bottlenecks: which become one kernel, and the same results as the interpreter's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/program_check.h"

/* Their weights are more than a first cache holds: then they lie in panels on every machine. */
typedef struct block {
    const char *dtype;
    int images, channels, expanded, height, width, out_height, out_width;
    int taps, stride, low, high;
    const char *dilation;
} block;

/* What is done with the first convolution's result %e: `between` makes %m of it; `after` makes %y of %d. */
static const char *text_of(const block *b, const char *between, const char *after) {
    static char text[4096], wide[64], result[64];
    snprintf(wide, sizeof wide, "%s[%d, %d, %d, %d]", b->dtype, b->images, b->expanded, b->height, b->width);
    snprintf(result, sizeof result, "%s[%d, %d, %d, %d]", b->dtype, b->images, b->expanded, b->out_height,
             b->out_width);
    snprintf(text, sizeof text,
             "(%%x: %s[%d, %d, %d, %d], %%w: %s[%d, %d, 1, 1] weight, %%k: %s[%d, 1, %d, %d] weight, %%s: %s[%d] "
             "weight)\n  -> (%%y: %s) {\n"
             "  %%b = broadcast %%s, dims=[1], shape=[%d, %d, %d, %d] : %s\n"
             "  %%c = broadcast %%s, dims=[1], shape=[%d, %d, %d, %d] : %s\n"
             "  %%e = conv %%x, %%w : %s\n  %s : %s\n"
             "  %%d = conv %%m, %%k, stride=[%d, %d], low=[%d, %d], high=[%d, %d], dilation=[%s], groups=%d : %s\n"
             "  %s : %s\n  return %%y\n}",
             b->dtype, b->images, b->channels, b->height, b->width, b->dtype, b->expanded, b->channels, b->dtype,
             b->expanded, b->taps, b->taps, b->dtype, b->expanded, result, b->images, b->expanded, b->height, b->width,
             wide, b->images, b->expanded, b->out_height, b->out_width, result, wide, between, wide, b->stride,
             b->stride, b->low, b->low, b->high, b->high, b->dilation ? b->dilation : "1, 1", b->expanded, result,
             after, result);
    return text;
}

static const char add[] = "%m = add %e, %b", add_after[] = "%y = add %d, %c";

static void check(const block *b, const char *class_name) {
    const char *text = text_of(b, add, add_after);
    check_program(text, "", class_name, EXACT_NUMBERS);
    check_program(text, "", class_name, ANY_NUMBERS);
}

static void test_forms(void **state) {
    (void)state;
    static const block blocks[] = {
        {"f32", 1, 176, 96, 14, 14, 14, 14, 3, 1, 1, 1, NULL}, {"f32", 1, 150, 112, 14, 14, 7, 7, 3, 2, 1, 1, NULL},
        {"f32", 1, 120, 144, 7, 7, 7, 7, 5, 1, 2, 2, NULL},    {"f32", 3, 210, 80, 9, 11, 5, 6, 5, 2, 2, 2, NULL},
        {"f32", 2, 260, 64, 17, 5, 17, 5, 3, 1, 2, 2, "2, 2"}, {"f32", 1, 260, 64, 7, 17, 5, 15, 3, 1, 0, 0, NULL},
        {"f32", 1, 100, 176, 13, 13, 6, 6, 3, 2, 0, 0, NULL},  {"f64", 1, 176, 96, 13, 11, 13, 11, 3, 1, 1, 1, NULL},
        {"f32", 1, 260, 64, 10, 10, 13, 13, 2, 1, 2, 2, NULL},
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) check(&blocks[i], "bottleneck");
}

/* What can't be joined is two kernels, and right. */
static void test_what_stays(void **state) {
    (void)state;
    static const block blocks[] = {
        {"f32", 1, 176, 100, 14, 14, 14, 14, 3, 1, 1, 1, NULL}, /* vectors of channels are not full */
        {"f32", 1, 16, 64, 40, 40, 40, 40, 3, 1, 1, 1, NULL},   /* large planes */
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) check(&blocks[i], NULL);
}

static const block usual = {"f32", 1, 176, 96, 14, 14, 14, 14, 3, 1, 1, 1, NULL};

/* Any elementwise work between and after, with operands of its own. */
static void test_work(void **state) {
    (void)state;
    static const char *const between[] = {
        "%g = logistic %e : f32[1, 96, 14, 14]\n  %m = mul %e, %g",
        "%f = add %e, %b : f32[1, 96, 14, 14]\n  %g = max %f, %b : f32[1, 96, 14, 14]\n  %m = mul %g, %f",
    };
    static const char *const after[] = {
        "%g2 = logistic %d : f32[1, 96, 14, 14]\n  %y = mul %d, %g2",
        "%h = mul %d, %c : f32[1, 96, 14, 14]\n  %y = add %h, %d",
    };
    for (int i = 0; i < 2; i++) check_program(text_of(&usual, between[i], after[i]), "", "bottleneck", ANY_NUMBERS);
}

static int count(const char *text, const char *word) {
    int n = 0;
    for (; (text = strstr(text, word)); text += strlen(word)) n++;
    return n;
}

/* What is between is read elsewhere, or by the second one's work: it is there in memory. */
static void test_other_readers(void **state) {
    (void)state;
    const char *text = text_of(&usual, add, "%y = add %d, %m");
    char *stage = program_stage(text, "fuse", NULL);
    assert_int_equal(count(stage, "kernel fn"), 3); /* with that of `prepare` */
    tn_text_free(stage);
    check_program(text, "", NULL, EXACT_NUMBERS);
    text = text_of(&usual,
                   "%f = add %e, %b : f32[1, 96, 14, 14]\n"
                   "  %r = reduce %f, kind=sum, axes=[0, 1, 2, 3] : f32[]\n"
                   "  %q = broadcast %r, dims=[], shape=[1, 96, 14, 14] : f32[1, 96, 14, 14]\n  %m = add %f, %b",
                   "%y = add %d, %q");
    check_program(text, "", NULL, EXACT_NUMBERS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_what_stays),
        cmocka_unit_test(test_work),
        cmocka_unit_test(test_other_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
