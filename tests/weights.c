/* Weights stored in fewer bits (`weights` = "bf16", "int8"): which ones, how, and what results are off by.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/levels.h"
#include "runtime/weights.h"
#include "tests/lib/program_check.h"

static const char *const narrow_formats[] = {"bf16", "int8"};
enum { N_FORMATS = sizeof narrow_formats / sizeof *narrow_formats };

/* ---- The option ---- */

static const char plain_text[] = "(%x: f32[4, 64], %y: f32[64, 64] weight) -> (%z: f32[4, 64]) {\n"
                                 "  %0 = dot %x, %y, contract=[1]x[0] : f32[4, 64]\n  return %0\n}";

static void check_refused(const tn_compile_options *options, const char *message) {
    tn_module *m = program_parse(plain_text);
    assert_null(tn_compile_module(m, options));
    assert_int_equal(tn_module_error(m)->status, TN_ERR_ARGUMENT);
    assert_string_equal(tn_module_error(m)->message, message);
    tn_module_free(m);
}

static void test_refused(void **state) {
    (void)state;
    check_refused(&(tn_compile_options){.weight_type = "int4"},
                  "weight_type is \"int4\": it can be \"f32\", \"bf16\" or \"int8\"");
    check_refused(&(tn_compile_options){.weight_type = "bf16", .gemm = "blas"},
                  "gemm is \"blas\", which reads weights as f32: weights cannot be narrower");
}

/* ---- Which weights ---- */

static char *stage_with(const char *text, const char *stage, const char *weights) {
    return program_stage(text, stage, &(tn_compile_options){.weight_type = weights, .verify_each = true});
}

static void check_is_narrowed(const char *text, bool wanted) {
    for (int i = 0; i < N_FORMATS; i++) {
        char *after = stage_with(text, "quantise", narrow_formats[i]);
        if ((strstr(after, "= barrier ") != NULL) != wanted) fail_msg("%s\n%s", narrow_formats[i], after);
        tn_text_free(after);
    }
}

static void test_which(void **state) {
    (void)state;
    check_is_narrowed(plain_text, true);
    /* Through views, and where it is computed from weights. */
    check_is_narrowed("(%x: f32[n, 64], %y: f32[80, 64] weight) -> (%z: f32[n, 80]) {\n"
                      "  %0 = transpose %y, perm=[1, 0] : f32[64, 80]\n  %1 = neg %0 : f32[64, 80]\n"
                      "  %2 = dot %x, %1, contract=[1]x[0] : f32[n, 80]\n  return %2\n}",
                      true);
    /* Small; the first operand; not of f32; of each batch its own; not known before it runs. */
    check_is_narrowed("(%x: f32[4, 63], %y: f32[63, 65] weight) -> (%z: f32[4, 65]) {\n"
                      "  %0 = dot %x, %y, contract=[1]x[0] : f32[4, 65]\n  return %0\n}",
                      false);
    check_is_narrowed("(%x: f32[64, 4], %y: f32[80, 64] weight) -> (%z: f32[80, 4]) {\n"
                      "  %0 = dot %y, %x, contract=[1]x[0] : f32[80, 4]\n  return %0\n}",
                      false);
    check_is_narrowed("(%x: f64[4, 64], %y: f64[64, 80] weight) -> (%z: f64[4, 80]) {\n"
                      "  %0 = dot %x, %y, contract=[1]x[0] : f64[4, 80]\n  return %0\n}",
                      false);
    check_is_narrowed("(%x: f32[2, 4, 64], %y: f32[2, 64, 80] weight) -> (%z: f32[2, 4, 80]) {\n"
                      "  %0 = dot %x, %y, batch=[0]x[0], contract=[2]x[1] : f32[2, 4, 80]\n  return %0\n}",
                      false);
    check_is_narrowed("(%x: f32[4, 64], %y: f32[64, 80]) -> (%z: f32[4, 80]) {\n"
                      "  %0 = dot %x, %y, contract=[1]x[0] : f32[4, 80]\n  return %0\n}",
                      false);
}

static void check_has(const char *text, const char *stage, const char *weights, const char *wanted) {
    char *after = stage_with(text, stage, weights);
    if (!strstr(after, wanted)) fail_msg("%s: no %s in\n%s", weights, wanted, after);
    tn_text_free(after);
}

/* Main's weights are narrow, in panels, and the kernel of the product converts them. */
static void test_where(void **state) {
    (void)state;
    static const struct {
        const char *weights, *dtype;
    } rows[] = {{"f32", "f32"}, {"bf16", "bf16"}, {"int8", "i8"}};
    char wanted[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(wanted, sizeof wanted, "kernel fn @k0(%%p0: f32[4, 64], %%p1: %s[", rows[i].dtype);
        check_has(plain_text, "fuse", rows[i].weights, wanted);
    }
}

/* ---- Results ---- */

/* What stands behind "fn @main" in the module's text after quantise. */
static char *quantised(const char *text, const char *weights) {
    char *all = stage_with(text, "quantise", weights), *from = strstr(all, "fn @main");
    assert_non_null(from);
    memmove(all, from + strlen("fn @main"), strlen(from + strlen("fn @main")) + 1);
    return all;
}

/* The graph that the pass makes, by the interpreter, is what its compiled form computes. */
static void check_agrees(const char *text, const char *symbols, numbers what) {
    for (int i = 0; i < N_FORMATS; i++) {
        char *narrow = quantised(text, narrow_formats[i]);
        check_program(narrow, symbols, NULL, what);
        tn_text_free(narrow);
    }
}

static void test_agree(void **state) {
    (void)state;
    static const int sizes[][3] = {{1, 128, 64},  {1, 300, 50},  {5, 140, 33},
                                   {37, 90, 100}, {130, 70, 60}, {3, 2000, 8}};
    char text[512], ms[16], symbols[16];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int crossed = 0; crossed < 2; crossed++) {
            int m = sizes[i][0], k = sizes[i][1], n = sizes[i][2];
            snprintf(ms, sizeof ms, i % 2 ? "m" : "%d", m);
            snprintf(symbols, sizeof symbols, "m=%d", m);
            snprintf(text, sizeof text,
                     "(%%x: f32[%s, %d], %%y: f32[%d, %d] weight, %%b: f32[%d] weight) -> (%%z: f32[%s, %d]) {\n"
                     "  %%0 = dot %%x, %%y, contract=[1]x[%d] : f32[%s, %d]\n"
                     "  %%1 = broadcast %%b, dims=[1], shape=[%s, %d] : f32[%s, %d]\n"
                     "  %%2 = add %%0, %%1 : f32[%s, %d]\n  return %%2\n}",
                     ms, k, crossed ? n : k, crossed ? k : n, n, ms, n, crossed, ms, n, ms, n, ms, n, ms, n);
            check_agrees(text, symbols, EXACT_NUMBERS);
            check_agrees(text, symbols, ANY_NUMBERS);
        }
    check_agrees("(%x: f32[n, 4, 30], %y: f32[30, 3, 4, 20] weight) -> (%z: f32[n, 3, 20]) {\n"
                 "  %0 = dot %x, %y, contract=[1, 2]x[2, 0] : f32[n, 3, 20]\n  return %0\n}",
                 "n=9", EXACT_NUMBERS);
}

/* One table is looked up in and multiplied by, as tied embeddings are; two products share a weight. */
static void test_shared(void **state) {
    (void)state;
    check_agrees("(%i: i64[n], %y: f32[100, 48] weight) -> (%z: f32[n, 100], %u: f32[n, 100]) {\n"
                 "  %0 = abs %i : i64[n]\n  %1 = reshape %0, shape=[n, 1] : i64[n, 1]\n"
                 "  %2 = gather %y, %1, axes=[0] : f32[n, 48]\n"
                 "  %3 = transpose %y, perm=[1, 0] : f32[48, 100]\n"
                 "  %4 = dot %2, %3, contract=[1]x[0] : f32[n, 100]\n  %5 = neg %2 : f32[n, 48]\n"
                 "  %6 = dot %5, %3, contract=[1]x[0] : f32[n, 100]\n  return %4, %6\n}",
                 "n=5", EXACT_NUMBERS);
}

/* In the body of a loop: what is stored is made in prepare. */
static void test_loop(void **state) {
    (void)state;
    static const char text[] =
        "(%w: f32[96, 48] weight, %h: f32[2, 48], %x: f32[n, 2, 96]) -> (%y: f32[n, 2, 96]) {\n"
        "  %0, %1, %2 = scan %h, %w, %x, carried=2, length=n, body=@step : f32[2, 48], f32[96, 48], f32[n, 2, 96]\n"
        "  return %2\n}\n"
        "fn @step(%h: f32[2, 48], %w: f32[96, 48], %x: f32[2, 96]) -> (%h1: f32[2, 48], %w1: f32[96, 48], %y: f32[2, "
        "96]) {\n"
        "  %0 = dot %h, %w, contract=[1]x[1] : f32[2, 96]\n  %1 = add %0, %x : f32[2, 96]\n"
        "  %2 = tanh %1 : f32[2, 96]\n  %3 = slice %2, start=[0, 0], limit=[2, 48] : f32[2, 48]\n"
        "  return %3, %w, %2\n}\n";
    for (int i = 0; i < N_FORMATS; i++) {
        char *hoisted = stage_with(text, "hoist", narrow_formats[i]);
        const char *prepare = strstr(hoisted, "fn @prepare"), *barrier = strstr(hoisted, "= barrier ");
        if (!prepare || !barrier || barrier < prepare) fail_msg("%s", hoisted);
        tn_text_free(hoisted);
    }
    check_agrees(text, "n=5", ANY_NUMBERS);
}

/* ---- Where they lie ---- */

/* A weight that is read as it was given stays where it lies: in a model's file,
 * which all processes that map it share. */
static void test_in_place(void **state) {
    (void)state;
    static float table[64 * 64], matrix[64 * 64];
    for (int i = 0; i < 64 * 64; i++) matrix[i] = 1;
    tn_graph *g = tn_graph_new("in_place");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(64), TN_SIZE(64)));
    tn_val added = tn_add(x, tn_weight(g, "table", TN_F32, TN_SHAPE(TN_SIZE(64), TN_SIZE(64)), table));
    tn_output(g, "y", tn_matmul(added, tn_weight(g, "matrix", TN_F32, TN_SHAPE(TN_SIZE(64), TN_SIZE(64)), matrix)));
    tn_program *p = tn_compile(g, NULL);
    assert_non_null(p);
    weight_set *set = program_retain_set(p);
    int n_in_place = 0, n_packed = 0;
    for (uint32_t i = 0; i < p->n_packed; i++) {
        n_in_place += set->packed[i] == (void *)table;
        n_packed += set->packed[i] >= (void *)set->block && (char *)set->packed[i] < set->block + set->bytes;
    }
    assert_int_equal(n_in_place, 1);
    assert_int_equal(n_packed, 1);
    assert_int_equal(tn_program_weight_bytes(p), sizeof matrix);
    weight_set_free(set);
    tn_program_free(p);
    tn_graph_free(g);
}

/* Of large weights whose columns do not fill panels only the last one is copied to be filled up. */
static void test_last_panel(void **state) {
    (void)state;
    static const char *const texts[] = {
        "(%x: f32[n, 300], %w: f32[300, 1001] weight) -> (%y: f32[n, 1001]) {\n"
        "  %0 = dot %x, %w, contract=[1]x[0] : f32[n, 1001]\n  return %0\n}",
        "(%x: f32[n, 300], %w: f32[1001, 300] weight) -> (%y: f32[n, 1001]) {\n"
        "  %0 = transpose %w, perm=[1, 0] : f32[300, 1001]\n"
        "  %1 = dot %x, %0, contract=[1]x[0] : f32[n, 1001]\n  return %1\n}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *after = stage_with(texts[i], "layout", "f32");
        if (!strstr(after, "= concat ")) fail_msg("%s", after);
        tn_text_free(after);
        check_program(texts[i], "n=3", NULL, EXACT_NUMBERS);
        check_agrees(texts[i], "n=3", ANY_NUMBERS);
    }
}

/* ---- What results are off by ---- */

enum { ROWS = 3, DEPTH = 150, COLUMNS = 40 };

typedef struct numbers_of_product {
    float x[ROWS * DEPTH], w[DEPTH * COLUMNS], y[ROWS * COLUMNS];
} numbers_of_product;

static float number(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)((double)*state * 0x1p-31 - 1);
}

/* Columns of very different size; one of zeros. */
static void fill_product(numbers_of_product *p) {
    uint32_t state = 1;
    for (int i = 0; i < ROWS * DEPTH; i++) p->x[i] = number(&state);
    for (int i = 0; i < DEPTH * COLUMNS; i++)
        p->w[i] = i % COLUMNS == 7 ? 0 : ldexpf(number(&state), i % COLUMNS - COLUMNS / 2);
}

static void run_product(numbers_of_product *p, const char *target, const char *weights) {
    char text[256];
    snprintf(text, sizeof text,
             "(%%x: f32[%d, %d], %%w: f32[%d, %d] weight) -> (%%y: f32[%d, %d]) {\n"
             "  %%0 = dot %%x, %%w, contract=[1]x[0] : f32[%d, %d]\n  return %%0\n}",
             ROWS, DEPTH, DEPTH, COLUMNS, ROWS, COLUMNS, ROWS, COLUMNS);
    tn_module *m = program_parse(text);
    tn_program *program = tn_compile_module(m, &(tn_compile_options){.weight_type = weights, .target = target});
    if (!program) fail_msg("%s", tn_module_error(m)->message);
    tn_diag diag;
    tn_tensor w = TN_TENSOR(TN_F32, p->w, DEPTH, COLUMNS), x = TN_TENSOR(TN_F32, p->x, ROWS, DEPTH),
              y = TN_TENSOR(TN_F32, p->y, ROWS, COLUMNS);
    assert_int_equal(tn_program_set_weights(program, (const char *const[]){"w"}, &w, 1, &diag), TN_OK);
    tn_exec *exec = tn_exec_new(program, NULL);
    assert_non_null(exec);
    assert_int_equal(tn_exec_run(exec, &x, 1, &y, 1), TN_OK);
    tn_exec_free(exec);
    tn_program_free(program);
    tn_module_free(m);
}

static double largest_of_column(const numbers_of_product *p, int column) {
    double most = 0;
    for (int k = 0; k < DEPTH; k++) most = fmax(most, fabs((double)p->w[k * COLUMNS + column]));
    return most;
}

/* As the option promises: 2^-8 of each weight, or half of the column's scale; and sums in f32. */
static void check_deviation(const numbers_of_product *p, bool is_int8) {
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        int row = i / COLUMNS, column = i % COLUMNS;
        double exact = 0, bound = 0, half_scale = largest_of_column(p, column) / 127 / 2;
        for (int k = 0; k < DEPTH; k++) {
            double x = (double)p->x[row * DEPTH + k], w = (double)p->w[k * COLUMNS + column];
            exact += x * w;
            bound += fabs(x) * (is_int8 ? half_scale : fabs(w) * 0x1p-8) + fabs(x * w) * DEPTH * 0x1p-24;
        }
        if (!(fabs((double)p->y[i] - exact) <= bound))
            fail_msg("%d: %g is not %g to %g", i, (double)p->y[i], exact, bound);
    }
}

static void test_deviation(void **state) {
    (void)state;
    numbers_of_product *p = calloc(1, sizeof *p);
    assert_non_null(p);
    fill_product(p);
    for (int level = 0; level < LEVELS; level++)
        for (int i = 0; level_runs_here(level_names[level]) && i < N_FORMATS; i++) {
            run_product(p, level_names[level], narrow_formats[i]);
            check_deviation(p, strcmp(narrow_formats[i], "int8") == 0);
        }
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_which),      cmocka_unit_test(test_where),
        cmocka_unit_test(test_agree),    cmocka_unit_test(test_shared),     cmocka_unit_test(test_loop),
        cmocka_unit_test(test_in_place), cmocka_unit_test(test_last_panel), cmocka_unit_test(test_deviation),
    };
    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
