/* Kernels that differ in numbers (compiler/loops/plan_share.c): which are one function, and that all are right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "compiler/loops/plan.h"
#include "tests/lib/program_check.h"

/* ---- Loop trees ---- */

enum { MOST_KERNELS = 4 };

/* A plan of kernels that no function has yet. */
static program_plan plan_of_texts(tn_module *m, const char *const *texts, size_t n, planned_kernel *kernels) {
    for (size_t i = 0; i < n; i++) {
        kernels[i] = (planned_kernel){.loops = lt_parse(m, texts[i], strlen(texts[i]), "text")};
        if (!kernels[i].loops) fail_msg("%s", m->error.message);
    }
    return (program_plan){.module = m, .kernels = kernels, .n_kernels = n};
}

/* The first of the kernels when they are shared, as it is then: its text, to be freed with tn_free. */
static char *shared(const char *const *texts, size_t n) {
    tn_module *m = module_new("test");
    planned_kernel kernels[MOST_KERNELS];
    program_plan plan = plan_of_texts(m, texts, n, kernels);
    assert_true(plan_share(&plan));
    tn_diag diag;
    if (!lt_verify(kernels[0].loops, &diag)) fail_msg("%s", diag.message);
    char *text = lt_print(kernels[0].loops);
    assert_non_null(text);
    tn_module_free(m);
    return text;
}

static void check_shared(const char *first, const char *second, const char *third, const char *expected) {
    const char *texts[] = {first, second, third};
    char *text = shared(texts, third ? 3 : 2);
    assert_string_equal(text, expected);
    tn_free(text);
}

/* Rows of 16 columns: `rows` in all, of which a chunk does 10; what is loaded, and how many columns. */
#define ROWS(rows, elements, index, columns)                                                                           \
    "kernel @k map(in x: f32[" elements "], out y: f32[" elements "]) {\n  stage $0 in 3 {\n"                          \
    "    for $1 in 10*$0 to min(10*$0 + 10, " rows ") {\n      for $2 in 0 to " columns " vector 16 {\n"               \
    "        %0 = load x[" index "] : f32\n        store y[16*$1 + $2], %0\n      }\n    }\n  }\n}\n"

/* All numbers are multiples of one extent, whichever is first among the operands of a minimum. */
static void test_multiples(void **state) {
    (void)state;
    check_shared(ROWS("20", "320", "16*$1 + $2", "16"), ROWS("5", "80", "16*$1 + $2", "16"),
                 ROWS("25", "400", "16*$1 + $2", "16"),
                 "kernel @k map(in x: f32[80*number.0], out y: f32[80*number.0]) extents(number.0) {\n"
                 "  stage $0 in 3 {\n    for $1 in 10*$0 to min(10*$0 + 10, 5*number.0) {\n"
                 "      for $2 in 0 to 16 vector 16 {\n        %0 = load x[16*$1 + $2] : f32\n"
                 "        store y[16*$1 + $2], %0\n      }\n    }\n  }\n}\n");
}

/* The kernels stay as they are. */
static void check_apart(const char *first, const char *second) {
    const char *alone[] = {first}, *both[] = {first, second};
    char *expected = shared(alone, 1), *text = shared(both, 2);
    assert_string_equal(text, expected);
    tn_free(expected);
    tn_free(text);
}

/* Numbers that code is laid out by. */
static void test_layout(void **state) {
    (void)state;
    check_apart(ROWS("20", "960", "16*$1 + $2", "16"), ROWS("20", "960", "16*$1 + 3*$2", "16"));
    check_apart(ROWS("20", "320", "16*$1 + $2", "16"), ROWS("20", "320", "16*$1 + $2", "8"));
    check_apart(ROWS("20", "320", "16*floordiv($1, 3) + $2", "16"), ROWS("20", "320", "16*floordiv($1, 5) + $2", "16"));
}

static void test_structure(void **state) {
    (void)state;
    check_apart(ROWS("20", "320", "16*$1 + $2", "16"), ROWS("20", "320", "$2", "16"));
    check_apart(ROWS("20", "320", "16*$1 + $2 + 5", "16"), ROWS("20", "320", "16*$1 + $2 - 5", "16"));
    check_apart(ROWS("20", "320", "16*min($1, 7) + $2", "16"), ROWS("20", "320", "16*max($1, 9) + $2", "16"));
}

/* More numbers than are worth it. */
static void test_many(void **state) {
    (void)state;
    check_apart("kernel @k map(in x: f32[900], out y: f32[900]) { stage $0 in 3 { for $1 in 0 to 5 {"
                " %0 = load x[7*$0 + 11*$1 + 13] : f32 store y[17*$1], %0 } } }",
                "kernel @k map(in x: f32[901], out y: f32[901]) { stage $0 in 4 { for $1 in 0 to 6 {"
                " %0 = load x[8*$0 + 12*$1 + 14] : f32 store y[18*$1], %0 } } }");
}

/* What a chunk divides by is an extent; a number is no symbol of the kernel's own. */
static void test_chunks(void **state) {
    (void)state;
    check_shared("kernel @k map(in x: f32[number.0], out y: f32[number.0]) extents(number.0) { stage $0 in 4 {"
                 " %0 = load x[3*floordiv($0, 3)] : f32 store y[2*$0], %0 } }",
                 "kernel @k map(in x: f32[n], out y: f32[n]) extents(n) { stage $0 in 8 {"
                 " %0 = load x[3*floordiv($0, 4)] : f32 store y[5*$0], %0 } }",
                 NULL,
                 "kernel @k map(in x: f32[number.0], out y: f32[number.0]) extents(number.0, number.1, number.2, "
                 "number.3) {\n"
                 "  stage $0 in 4*number.1 {\n    %0 = load x[3*floordiv($0, number.2)] : f32\n"
                 "    store y[$0*number.3], %0\n  }\n}\n");
}

#ifdef TN_HOSTILE_MALLOC
static void test_failures(void **state) {
    (void)state;
    const char *texts[] = {ROWS("20", "320", "16*$1 + $2", "16"), ROWS("5", "80", "16*$1 + $2", "16"),
                           ROWS("25", "400", "16*$1 + $2", "16")};
    for (int sticky = 0; sticky < 2; sticky++) {
        bool was_reached = true;
        for (uint64_t nth = 0; was_reached; nth++) {
            tn_module *m = module_new("test");
            planned_kernel kernels[MOST_KERNELS];
            program_plan plan = plan_of_texts(m, texts, 3, kernels);
            tn_malloc_fail_at(nth, sticky);
            was_reached = !plan_share(&plan);
            tn_malloc_fail_at(UINT64_MAX, false);
            if (was_reached) assert_int_equal(m->error.status, TN_ERR_MEMORY);
            tn_module_free(m);
        }
    }
}
#endif

/* ---- Programs ---- */

static int count_functions(const char *text) {
    int n = 0;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *end = strchr(line, '\n'), *stage = strstr(line, ".s0(");
        n += strncmp(line, "define ", 7) == 0 && stage && (!end || stage < end);
    }
    return n;
}

/* The program is right, and its kernels are so many functions. */
static void check_program_of(const char *text, const char *symbols, int functions) {
    char *code = program_stage(text, "llvm", NULL);
    int n = count_functions(code);
    if (n != functions) fail_msg("%d functions, not %d\n%s", n, functions, code);
    tn_text_free(code);
    check_program(text, symbols, NULL, EXACT_NUMBERS);
}

/* Layers with other numbers of channels, as in a dense block, and copies, whose vector loops have other numbers of
 * steps. */
static void test_convs(void **state) {
    (void)state;
    check_program_of("(%x: f32[n, 32, 14, 14], %v: f32[64, 32, 1, 1], %w: f32[64, 96, 1, 1], %u: f32[64, 160, 1, 1]) "
                     "-> (%y: f32[n, 64, 14, 14]) {\n"
                     "  %0 = conv %x, %v : f32[n, 64, 14, 14]\n  %1 = concat %x, %0, axis=1 : f32[n, 96, 14, 14]\n"
                     "  %2 = conv %1, %w : f32[n, 64, 14, 14]\n  %3 = concat %1, %2, axis=1 : f32[n, 160, 14, 14]\n"
                     "  %4 = conv %3, %u : f32[n, 64, 14, 14]\n  return %4\n}\n",
                     "n=2", 3);
}

static void test_maps(void **state) {
    (void)state;
    check_program_of("(%x: f32[6, 50], %a: f32[6], %z: f32[9, 50], %b: f32[9]) -> (%u: f32[6, 50], %v: f32[9, 50]) {\n"
                     "  %0 = broadcast %a, shape=[6, 50], dims=[0] : f32[6, 50]\n  %1 = mul %x, %0 : f32[6, 50]\n"
                     "  %2 = broadcast %b, shape=[9, 50], dims=[0] : f32[9, 50]\n  %3 = mul %z, %2 : f32[9, 50]\n"
                     "  return %1, %3\n}\n",
                     "", 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multiples), cmocka_unit_test(test_layout), cmocka_unit_test(test_structure),
        cmocka_unit_test(test_many),      cmocka_unit_test(test_chunks), cmocka_unit_test(test_convs),
        cmocka_unit_test(test_maps),
#ifdef TN_HOSTILE_MALLOC
        cmocka_unit_test(test_failures),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
