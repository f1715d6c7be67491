/* Loops that kernels have in common (compiler/loops/parts.h): which are one function, and that programs are right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "compiler/loops/parts.h"
#include "tests/lib/program_check.h"

/* ---- Loop trees ---- */

enum { N_KERNELS = 2, MOST_TEXT = 8192 };

typedef struct planned {
    tn_module *module;
    tn_graph graphs[N_KERNELS];
    planned_kernel kernels[N_KERNELS];
    function_plan functions[N_KERNELS];
    program_plan plan;
} planned;

static void plan_texts(planned *p, const char *first, const char *second) {
    const char *texts[N_KERNELS] = {first, second};
    *p = (planned){.module = module_new("test")};
    for (uint32_t i = 0; i < N_KERNELS; i++) {
        p->graphs[i].is_kernel = true;
        p->kernels[i].loops = lt_parse(p->module, texts[i], strlen(texts[i]), "text");
        if (!p->kernels[i].loops) fail_msg("%s", p->module->error.message);
        p->functions[i] = (function_plan){.graph = &p->graphs[i], .kernel = i};
    }
    p->plan = (program_plan){.module = p->module,
                             .kernels = p->kernels,
                             .n_kernels = N_KERNELS,
                             .functions = p->functions,
                             .n_functions = N_KERNELS};
}

/* A chunk's row of x, made `length` times as `factor` says and added to y's; `before` and `after` are other statements
 * of the stage's body. */
static const char *kernel_text(char *text, const char *buffers, const char *before, const char *factor, int rows,
                               int length, const char *after) {
    int n = snprintf(text, MOST_TEXT, "kernel @k map(%s) {\n  stage $0 in %d {\n%s    for $7 in 0 to %d {\n", buffers,
                     rows, before, length);
    for (int i = 0; i < 12; i++)
        n += snprintf(text + n, MOST_TEXT - (size_t)n,
                      "      %%%d = load x[64*$0 + $7 + %d] : f32\n      %%%d = const %s : f32\n"
                      "      %%%d = mul %%%d, %%%d : f32\n      store y[64*$0 + $7 + %d], %%%d\n",
                      20 + 3 * i, i, 21 + 3 * i, factor, 22 + 3 * i, 20 + 3 * i, 21 + 3 * i, i, 22 + 3 * i);
    snprintf(text + n, MOST_TEXT - (size_t)n, "    }\n%s  }\n}\n", after);
    return text;
}

static size_t count_parts(const char *first, const char *second) {
    planned p;
    loop_parts parts;
    plan_texts(&p, first, second);
    assert_true(loop_parts_find(&parts, &p.plan));
    assert_int_equal(parts.n_uses, 2 * parts.n_parts);
    size_t n = parts.n_parts;
    tn_module_free(p.module);
    return n;
}

#define X_TO_Y "in x: f32[320], out y: f32[320]"

/* Numbers of buffers, variables and values do not count. */
static void test_names(void **state) {
    (void)state;
    char a[MOST_TEXT], b[MOST_TEXT];
    planned p;
    loop_parts parts;
    plan_texts(&p, kernel_text(a, X_TO_Y, "", "2", 5, 52, ""),
               kernel_text(b, "in z: f32[5], in x: f32[320], out y: f32[320], out v: f32[5]",
                           "    %0 = load z[$0] : f32\n    store v[$0], %0\n", "2", 5, 52, "    store v[$0], %0\n"));
    assert_true(loop_parts_find(&parts, &p.plan));
    assert_int_equal(parts.n_parts, 1);
    assert_int_equal(parts.parts->n_variables, 1);
    assert_int_equal(parts.parts->loops->n_buffers, 2);
    for (size_t i = 0; i < N_KERNELS; i++) {
        const lt_block *body = &p.kernels[i].loops->stages->body;
        const part_use *use = loop_part_at(&parts, body->items[i == 0 ? 0 : 2]);
        assert_non_null(use);
        assert_int_equal(use->part, 0);
        assert_int_equal(use->buffers[0], i == 0 ? 0 : 1);
        assert_int_equal(use->buffers[1], i == 0 ? 1 : 2);
        assert_int_equal(use->variables[0], p.kernels[i].loops->stages->variable);
    }
    tn_module_free(p.module);
}

static void test_differences(void **state) {
    (void)state;
    char a[MOST_TEXT], b[MOST_TEXT];
    kernel_text(a, X_TO_Y, "", "2", 5, 52, "");
    assert_int_equal(count_parts(a, a), 1);
    assert_int_equal(count_parts(a, kernel_text(b, X_TO_Y, "", "3", 5, 52, "")), 0);
    assert_int_equal(count_parts(a, kernel_text(b, X_TO_Y, "", "2", 5, 51, "")), 0);
    assert_int_equal(count_parts(a, kernel_text(b, X_TO_Y, "", "2", 4, 52, "")), 0); /* the stage's chunks */
    assert_int_equal(count_parts(a, kernel_text(b, "in x: f32[320], temp y: f32[320]", "", "2", 5, 52, "")), 0);
}

/* Calls would take more than they save. */
static void test_short(void **state) {
    (void)state;
    char a[MOST_TEXT];
    kernel_text(a, X_TO_Y, "", "2", 5, 4, "");
    assert_int_equal(count_parts(a, a), 0);
}

#ifdef TN_HOSTILE_MALLOC
static void test_failures(void **state) {
    (void)state;
    char a[MOST_TEXT];
    kernel_text(a, X_TO_Y, "", "2", 5, 52, "");
    bool was_reached = true;
    for (uint64_t nth = 0; was_reached; nth++) {
        planned p;
        loop_parts parts;
        plan_texts(&p, a, a);
        tn_malloc_fail_at(nth, false);
        was_reached = !loop_parts_find(&parts, &p.plan);
        tn_malloc_fail_at(UINT64_MAX, false);
        tn_module_free(p.module);
    }
}
#endif

/* ---- Programs ---- */

static int count(const char *text, const char *word) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++) n++;
    return n;
}

/* A convolution with two epilogues; its products are long. */
static void test_convs(void **state) {
    (void)state;
    static const char text[] =
        "(%x: f32[n, 16, 24, 24], %z: f32[n, 16, 24, 24], %w: f32[16, 16, 5, 5]) "
        "-> (%y: f32[n, 16, 24, 24], %v: f32[n, 16, 24, 24]) {\n"
        "  %0 = conv %x, %w, low=[2, 2], high=[2, 2] : f32[n, 16, 24, 24]\n  %1 = neg %0 : f32[n, 16, 24, 24]\n"
        "  %2 = conv %z, %w, low=[2, 2], high=[2, 2] : f32[n, 16, 24, 24]\n  %3 = abs %2 : f32[n, 16, 24, 24]\n"
        "  return %1, %3\n}\n";
    char *code = program_stage(text, "llvm", NULL);
    int calls = count(code, "call void @.part."), functions = count(code, "void @.part.") - calls;
    if (functions == 0 || calls < 2 * functions) fail_msg("%d calls of %d functions\n%s", calls, functions, code);
    tn_text_free(code);
    check_program(text, "n=3", NULL, EXACT_NUMBERS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),    cmocka_unit_test(test_differences),
        cmocka_unit_test(test_short),    cmocka_unit_test(test_convs),
#ifdef TN_HOSTILE_MALLOC
        cmocka_unit_test(test_failures),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
