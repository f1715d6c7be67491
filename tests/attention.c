/* Attention as one kernel: sizes around tiles and vectors, masks, cached keys, grouped heads, symbols, dtypes, against
 * the interpreter; and what must stay several kernels.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/kernel_check.h"
#include "tests/lib/program_check.h"
#include "tests/lib/trial.h"

/* ---- How many kernels ---- */

static int count(const char *text, const char *what) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++) n++;
    return n;
}

static void check_kernels(const char *text, int kernels, int attentions) {
    char *loops = program_stage(text, "loops", NULL);
    if (count(loops, "\nkernel @") != kernels || count(loops, " attention(") != attentions)
        fail_msg("not %d kernels with %d attentions among them:\n%s", kernels, attentions, loops);
    tn_text_free(loops);
}

/* One kernel, that gives what the interpreter does. */
static void check_fused(const char *text, const char *symbols) {
    check_kernels(text, 1, 1);
    check_program(text, symbols, "attention", ANY_NUMBERS);
}

static void check_not_fused(const char *text, int kernels) {
    check_kernels(text, kernels, 0);
    check_program(text, "", NULL, ANY_NUMBERS);
}

/* ---- Sizes ---- */

typedef struct sizes {
    int batch, rows, keys, depth, width;
} sizes;

static void plain(const sizes *s, const char *dtype, const char *more) {
    char text[1024];
    snprintf(text, sizeof text,
             "(%%q: %s[%d, %d, %d], %%k: %s[%d, %d, %d], %%v: %s[%d, %d, %d]) -> (%%y: %s[%d, %d, %d]) {\n"
             "  %%0 = attention %%q, %%k, %%v%s : %s[%d, %d, %d]\n  return %%0\n}",
             dtype, s->batch, s->rows, s->depth, dtype, s->batch, s->keys, s->depth, dtype, s->batch, s->keys, s->width,
             dtype, s->batch, s->rows, s->width, more, dtype, s->batch, s->rows, s->width);
    check_fused(text, "");
}

static void test_sizes(void **state) {
    (void)state;
    static const sizes all[] = {{1, 1, 1, 1, 1},    {2, 3, 5, 7, 2},      {3, 1, 129, 64, 64},  {2, 17, 33, 20, 9},
                                {1, 64, 64, 64, 1}, {1, 1, 7, 1, 40},     {2, 100, 16, 33, 48}, {1, 5, 1024, 8, 8},
                                {2, 30, 1, 16, 16}, {1, 200, 197, 64, 64}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        plain(&all[i], "f32", "");
        plain(&all[i], i % 2 ? "f64" : "f32", ", causal=1");
        plain(&all[i], "f32", ", scale=0.3");
    }
}

static void test_nothing(void **state) {
    (void)state;
    static const sizes all[] = {{0, 3, 4, 5, 6}, {2, 0, 4, 5, 6}, {2, 3, 4, 0, 6}, {2, 3, 4, 5, 0}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) plain(&all[i], "f32", ", scale=0.5");
}

/* ---- Masks ---- */

static void test_masks(void **state) {
    (void)state;
    static const char *const masks[] = {"f32[2, 3, 19, 37]",  "f32[1, 1, 19, 37]", "f32[2, 1, 1, 37]", "f32[19, 37]",
                                        "bool[2, 1, 19, 37]", "bool[37]",          "bool[2, 3, 19, 1]"};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++)
        for (int causal = 0; causal < 2; causal++) {
            char text[1024];
            snprintf(
                text, sizeof text,
                "(%%q: f32[2, 3, 19, 24], %%k: f32[2, 3, 37, 24], %%v: f32[2, 3, 37, 24], %%m: %s) -> (%%y: "
                "f32[2, 3, 19, 24]) {\n  %%0 = attention %%q, %%k, %%v, %%m%s : f32[2, 3, 19, 24]\n  return %%0\n}",
                masks[i], causal ? ", causal=1" : "");
            check_fused(text, "");
        }
}

/* Rows with nothing to see give zeros, as exporters spell it out. */
static void test_empty_rows(void **state) {
    (void)state;
    check_fused("(%q: f32[2, 9, 8], %k: f32[2, 20, 8], %v: f32[2, 20, 8], %m: bool[9, 1]) -> (%y: f32[2, 9, 8]) {\n"
                "  %inf = constant value=f32[] {-inf} : f32[]\n"
                "  %zero = constant value=f32[] {0} : f32[]\n"
                "  %0 = dot %q, %k, batch=[0]x[0], contract=[2]x[2] : f32[2, 9, 20]\n"
                "  %1 = broadcast %m, dims=[1, 2], shape=[2, 9, 20] : bool[2, 9, 20]\n"
                "  %2 = broadcast %inf, shape=[2, 9, 20] : f32[2, 9, 20]\n"
                "  %3 = select %1, %0, %2 : f32[2, 9, 20]\n"
                "  %4 = softmax %3, axis=2 : f32[2, 9, 20]\n"
                "  %5 = is_nan %4 : bool[2, 9, 20]\n"
                "  %6 = broadcast %zero, shape=[2, 9, 20] : f32[2, 9, 20]\n"
                "  %7 = select %5, %6, %4 : f32[2, 9, 20]\n"
                "  %8 = dot %7, %v, batch=[0]x[0], contract=[2]x[1] : f32[2, 9, 8]\n"
                "  return %8\n}",
                "");
}

/* ---- Layouts ---- */

/* Heads are parts of rows, q and k are scaled, k is crossed twice, heads are put together again. */
static void test_heads(void **state) {
    (void)state;
    check_fused("(%q: f32[1, 40, 96], %k: f32[1, 51, 96], %v: f32[1, 51, 96], %m: f32[1, 1, 40, 51]) -> (%y: f32[1, 3, "
                "40, 32]) "
                "{\n"
                "  %s = constant value=f32[] {0.42} : f32[]\n"
                "  %0 = reshape %q, shape=[1, 40, 3, 32] : f32[1, 40, 3, 32]\n"
                "  %1 = transpose %0, perm=[0, 2, 1, 3] : f32[1, 3, 40, 32]\n"
                "  %2 = broadcast %s, shape=[1, 3, 40, 32] : f32[1, 3, 40, 32]\n"
                "  %3 = mul %1, %2 : f32[1, 3, 40, 32]\n"
                "  %4 = reshape %k, shape=[1, 51, 3, 32] : f32[1, 51, 3, 32]\n"
                "  %5 = transpose %4, perm=[0, 2, 3, 1] : f32[1, 3, 32, 51]\n"
                "  %6 = broadcast %s, shape=[1, 3, 32, 51] : f32[1, 3, 32, 51]\n"
                "  %7 = mul %6, %5 : f32[1, 3, 32, 51]\n"
                "  %8 = dot %3, %7, batch=[0, 1]x[0, 1], contract=[3]x[2] : f32[1, 3, 40, 51]\n"
                "  %9 = broadcast %m, dims=[0, 1, 2, 3], shape=[1, 3, 40, 51] : f32[1, 3, 40, 51]\n"
                "  %10 = add %8, %9 : f32[1, 3, 40, 51]\n"
                "  %11 = softmax %10, axis=3 : f32[1, 3, 40, 51]\n"
                "  %12 = reshape %v, shape=[1, 51, 3, 32] : f32[1, 51, 3, 32]\n"
                "  %13 = transpose %12, perm=[0, 2, 1, 3] : f32[1, 3, 51, 32]\n"
                "  %14 = dot %11, %13, batch=[0, 1]x[0, 1], contract=[3]x[2] : f32[1, 3, 40, 32]\n"
                "  %15 = tanh %14 : f32[1, 3, 40, 32]\n"
                "  return %15\n}",
                "");
}

/* Several heads of q share one of k and v. */
static void test_grouped_heads(void **state) {
    (void)state;
    check_fused("(%q: f32[2, 4, 11, 16], %k: f32[2, 1, 30, 16], %v: f32[2, 1, 30, 16]) -> (%y: f32[2, 4, 11, 16]) {\n"
                "  %0 = broadcast %k, dims=[0, 1, 2, 3], shape=[2, 4, 30, 16] : f32[2, 4, 30, 16]\n"
                "  %1 = broadcast %v, dims=[0, 1, 2, 3], shape=[2, 4, 30, 16] : f32[2, 4, 30, 16]\n"
                "  %2 = attention %q, %0, %1 : f32[2, 4, 11, 16]\n  return %2\n}",
                "");
}

/* Rows and keys of two axes each, as in windows of pictures. */
static void test_planes(void **state) {
    (void)state;
    check_fused("(%q: f32[3, 4, 5, 16], %k: f32[3, 6, 7, 16], %v: f32[3, 6, 7, 20]) -> (%y: f32[3, 4, 5, 20]) {\n"
                "  %0 = dot %q, %k, batch=[0]x[0], contract=[3]x[3] : f32[3, 4, 5, 6, 7]\n"
                "  %1 = reduce %0, axes=[3, 4], kind=max : f32[3, 4, 5]\n"
                "  %2 = broadcast %1, dims=[0, 1, 2], shape=[3, 4, 5, 6, 7] : f32[3, 4, 5, 6, 7]\n"
                "  %3 = sub %0, %2 : f32[3, 4, 5, 6, 7]\n"
                "  %4 = exp %3 : f32[3, 4, 5, 6, 7]\n"
                "  %5 = reduce %4, axes=[3, 4], kind=sum : f32[3, 4, 5]\n"
                "  %6 = broadcast %5, dims=[0, 1, 2], shape=[3, 4, 5, 6, 7] : f32[3, 4, 5, 6, 7]\n"
                "  %7 = div %4, %6 : f32[3, 4, 5, 6, 7]\n"
                "  %8 = dot %7, %v, batch=[0]x[0], contract=[3, 4]x[1, 2] : f32[3, 4, 5, 20]\n  return %8\n}",
                "");
}

/* The scores are needed again after what took their place: the sum of squares reads them too. */
static void test_other_row_work(void **state) {
    (void)state;
    check_fused("(%q: f32[21, 16], %k: f32[40, 16], %v: f32[40, 8]) -> (%y: f32[21, 8]) {\n"
                "  %0 = dot %q, %k, contract=[1]x[1] : f32[21, 40]\n"
                "  %1 = mul %0, %0 : f32[21, 40]\n"
                "  %2 = reduce %1, axes=[1], kind=sum : f32[21]\n"
                "  %3 = sqrt %2 : f32[21]\n"
                "  %4 = broadcast %3, dims=[0], shape=[21, 40] : f32[21, 40]\n"
                "  %5 = div %0, %4 : f32[21, 40]\n"
                "  %6 = dot %5, %v, contract=[1]x[0] : f32[21, 8]\n  return %6\n}",
                "");
}

/* ---- Symbols ---- */

static void test_symbols(void **state) {
    (void)state;
    static const char *const values[] = {"b=2 n=1 m=1", "b=1 n=7 m=50", "b=3 n=33 m=16", "b=1 n=0 m=5",
                                         "b=1 n=200 m=130"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        for (int causal = 0; causal < 2; causal++) {
            char text[1024];
            snprintf(text, sizeof text,
                     "(%%q: f32[b, n, 24], %%k: f32[b, m, 24], %%v: f32[b, m, 40], %%m: f32[n, m]) -> (%%y: f32[b, n, "
                     "40]) {\n  %%0 = attention %%q, %%k, %%v, %%m, scale=0.2%s : f32[b, n, 40]\n  return %%0\n}",
                     causal ? ", causal=1" : "");
            check_kernels(text, 1 + causal, 1); /* what a row sees is the same for each batch: made once */
            check_program(text, values[i], NULL, ANY_NUMBERS);
        }
}

/* ---- What stays apart ---- */

#define WEIGHTS                                                                                                        \
    "  %0 = dot %q, %k, batch=[0]x[0], contract=[2]x[2] : f32[2, 9, 20]\n"                                             \
    "  %1 = softmax %0, axis=2 : f32[2, 9, 20]\n"                                                                      \
    "  %2 = dot %1, %v, batch=[0]x[0], contract=[2]x[1] : f32[2, 9, 8]\n"

static void test_used_elsewhere(void **state) {
    (void)state;
    check_not_fused("(%q: f32[2, 9, 8], %k: f32[2, 20, 8], %v: f32[2, 20, 8]) -> (%y: f32[2, 9, 8], %w: f32[2, 9, 20]) "
                    "{\n" WEIGHTS "  return %2, %1\n}",
                    3);
    check_not_fused("(%q: f32[2, 9, 8], %k: f32[2, 20, 8], %v: f32[2, 20, 8]) -> (%y: f32[2, 9, 8], %w: f32[2, 9, 20]) "
                    "{\n" WEIGHTS "  return %2, %0\n}",
                    3);
    check_not_fused("(%q: f32[2, 20, 8], %k: f32[2, 20, 8]) -> (%y: f32[2, 20, 20]) {\n"
                    "  %0 = dot %q, %k, batch=[0]x[0], contract=[2]x[2] : f32[2, 20, 20]\n"
                    "  %1 = softmax %0, axis=2 : f32[2, 20, 20]\n"
                    "  %2 = dot %1, %0, batch=[0]x[0], contract=[2]x[1] : f32[2, 20, 20]\n  return %2\n}",
                    3);
}

/* Over rows, or of the weights transposed. */
static void test_other_axes(void **state) {
    (void)state;
    check_not_fused("(%q: f32[2, 20, 8], %k: f32[2, 20, 8], %v: f32[2, 20, 8]) -> (%y: f32[2, 20, 8]) {\n"
                    "  %0 = dot %q, %k, batch=[0]x[0], contract=[2]x[2] : f32[2, 20, 20]\n"
                    "  %1 = softmax %0, axis=1 : f32[2, 20, 20]\n"
                    "  %2 = dot %1, %v, batch=[0]x[0], contract=[2]x[1] : f32[2, 20, 8]\n  return %2\n}",
                    3);
    check_not_fused("(%q: f32[2, 20, 8], %k: f32[2, 20, 8], %v: f32[2, 20, 8]) -> (%y: f32[2, 20, 8]) {\n"
                    "  %0 = dot %q, %k, batch=[0]x[0], contract=[2]x[2] : f32[2, 20, 20]\n"
                    "  %1 = softmax %0, axis=2 : f32[2, 20, 20]\n"
                    "  %2 = dot %1, %v, batch=[0]x[0], contract=[1]x[1] : f32[2, 20, 8]\n  return %2\n}",
                    3);
}

/* ---- Laws ---- */

/* Sums are those of the kernels that it is made of: without fusion there are the same bits. */
static void test_same_bits(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("attention");
    tn_val q = tn_input(g, "q", TN_F32, TN_SHAPE(TN_SIZE(2), TN_SIZE(45), TN_SIZE(32))),
           k = tn_input(g, "k", TN_F32, TN_SHAPE(TN_SIZE(2), TN_SIZE(70), TN_SIZE(32))),
           v = tn_input(g, "v", TN_F32, TN_SHAPE(TN_SIZE(2), TN_SIZE(70), TN_SIZE(48))),
           mask = tn_input(g, "mask", TN_F32, TN_SHAPE(TN_SIZE(45), TN_SIZE(70)));
    tn_output(g, "y", tn_attention(q, k, v, mask, 0, true));
    sampler s = {.state = 7, .dtype = TN_F32};
    trial t = {.g = g, .s = &s};
    char message[TRIAL_MESSAGE];
    if (!trial_fill(&t, message)) fail_msg("%s", message);
    eval_tensor *got[2];
    tn_program *p[2];
    for (int i = 0; i < 2; i++) {
        p[i] = tn_compile(g, &(tn_compile_options){.no_fusion = i == 1});
        assert_non_null(p[i]);
        got[i] = trial_run(&t, p[i], NULL, message);
        if (!got[i]) {
            fail_msg("%s", message);
            return;
        }
    }
    assert_int_equal(tn_program_n_kernels(p[0]), 1);
    assert_true(tn_program_n_kernels(p[1]) > 5);
    assert_memory_equal(got[0]->data, got[1]->data, (size_t)got[0]->n * sizeof(float));
    for (int i = 0; i < 2; i++) {
        trial_free_results(&t, got[i]);
        tn_program_free(p[i]);
    }
    trial_close(&t);
    tn_graph_free(g);
}

/* The loop tree by itself: its text, its verifier, its evaluator. */
static void test_loop_tree(void **state) {
    (void)state;
    char *loops = program_stage("(%q: f32[2, n, 8], %k: f32[2, 21, 8], %v: f32[2, 21, 5]) -> (%y: f32[2, n, 5]) {\n"
                                "  %0 = attention %q, %k, %v, scale=0.01 : f32[2, n, 5]\n  return %0\n}",
                                "loops", NULL);
    const char *kernel = strstr(loops, "\nkernel @");
    assert_non_null(kernel);
    check_kernel_with(kernel + 1, (int64_t[]){19}, 64, FILL_POSITIVE);
    tn_text_free(loops);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),      cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_masks),      cmocka_unit_test(test_empty_rows),
        cmocka_unit_test(test_heads),      cmocka_unit_test(test_grouped_heads),
        cmocka_unit_test(test_planes),     cmocka_unit_test(test_other_row_work),
        cmocka_unit_test(test_symbols),    cmocka_unit_test(test_used_elsewhere),
        cmocka_unit_test(test_other_axes), cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_loop_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
