/* Reducing modules (compiler/shrink.h) with tests that look for one thing in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/shrink.h"
#include "ir/op.h"

static tn_module *parse(const char *text) {
    tn_module *m = tn_module_parse(text, strlen(text), "test.tn");
    assert_non_null(m);
    if (tn_module_error(m)) fail_msg("%s", tn_module_error(m)->message);
    return m;
}

/* Fails while each word is in the text; a subject must be a module that verifies. */
static bool has_words(void *ctx, void *subject) {
    const char *const *words = ctx;
    tn_diag diag = {0};
    if (tn_module_verify(subject, &diag) != TN_OK) fail_msg("%s", diag.message);
    char *text = tn_module_print(subject, NULL);
    assert_non_null(text);
    bool has_all = true;
    for (; *words; words++) has_all &= strstr(text, *words) != NULL;
    tn_text_free(text);
    return has_all;
}

static void check(const char *text, const char *const *words, const char *want) {
    char *got[2];
    for (int i = 0; i < 2; i++) { /* twice the same */
        shrink_kind kind = shrink_modules();
        shrink_test test = {.fails = has_words, .ctx = (void *)(uintptr_t)words};
        tn_module *m = shrink(&kind, parse(text), &test, NULL);
        got[i] = tn_module_print(m, NULL);
        assert_non_null(got[i]);
        for (char *c = got[i]; (c = strchr(c, '#'));) { /* without places in the source */
            char *end = strchr(c, '\n');
            while (c[-1] == ' ') c--;
            memmove(c, end, strlen(end) + 1);
        }
        tn_module_free(m);
    }
    assert_string_equal(got[0], got[1]);
    if (strcmp(got[0], want) != 0) fail_msg("got\n%swanted\n%s", got[0], want);
    for (int i = 0; i < 2; i++) tn_text_free(got[i]);
}
#define WORDS(...)                                                                                                     \
    (const char *const[]) { __VA_ARGS__, NULL }

static void test_middle_of_a_chain(void **state) {
    (void)state;
    check("module \"m\"\n"
          "fn @main(%x: f32[n, 64], %w: f32[64, 32] weight) -> (%a: f32[n, 32], %b: f32[n, 32]) {\n"
          "  %0 = exp %x\n  %1 = dot %0, %w, contract=[1]x[0]\n  %2 = neg %1\n  %3 = tanh %2\n  %4 = sin %3\n"
          "  return %4, %2\n}\n",
          WORDS(" tanh "),
          "module \"m\"\n\nfn @main(%p0: f32[1, 1]) -> (%r0: f32[1, 1]) {\n  %0 = tanh %p0 : f32[1, 1]\n  return "
          "%0\n}\n");
}

static void test_two_things(void **state) {
    (void)state;
    check("module \"m\"\n"
          "fn @main(%x: f32[8, 64]) -> (%a: f32[8, 64]) {\n"
          "  %0 = exp %x\n  %1 = neg %0\n  %2 = abs %1\n  %3 = tanh %2\n  %4 = sin %3\n  return %4\n}\n",
          WORDS(" neg ", " sin "),
          "module \"m\"\n\nfn @main(%p0: f32[1, 1]) -> (%a: f32[1, 1]) {\n  %0 = neg %p0 : f32[1, 1]\n"
          "  %1 = sin %0 : f32[1, 1]\n  return %1\n}\n");
}

static void test_states(void **state) {
    (void)state;
    check("module \"m\"\n"
          "fn @main(%s: f32[4] state, %x: f32[4]) -> (%next: f32[4] updates %s, %y: f32[4]) {\n"
          "  %0 = add %s, %x\n  %1 = tanh %0\n  return %0, %1\n}\n",
          WORDS("updates", "add"),
          "module \"m\"\n\nfn @main(%s: f32[1] state, %x: f32[1]) -> (%next: f32[1] updates %s) {\n"
          "  %0 = add %s, %x : f32[1]\n  return %0\n}\n");
}

static void test_control_flow(void **state) {
    (void)state;
    check(
        "module \"m\"\n"
        "fn @main(%x: f32[4], %c: bool[]) -> (%y: f32[4]) {\n"
        "  %0 = neg %x\n  %1 = if %c, %0, then=@a, otherwise=@b\n  %2 = scan %1, %1, body=@step, carried=1, length=4\n"
        "  return %2\n}\n"
        "fn @a(%x: f32[4]) -> (%y: f32[4]) {\n  %0 = tanh %x\n  %1 = exp %0\n  return %1\n}\n"
        "fn @b(%x: f32[4]) -> (%y: f32[4]) {\n  %0 = cos %x\n  return %0\n}\n"
        "fn @step(%h: f32[4], %e: f32[]) -> (%n: f32[4]) {\n  %0 = sin %h\n  %1 = exp %0\n  return %1\n}\n",
        WORDS(" tanh "),
        "module \"m\"\n\nfn @main(%p1: f32[1]) -> (%r0: f32[1]) {\n  %0 = tanh %p1 : f32[1]\n  return %0\n}\n");
    /* What is only in a loop, with the loop. */
    check("module \"m\"\n"
          "fn @main(%x: f32[4], %s: f32[6, 4]) -> (%y: f32[4]) {\n"
          "  %0 = neg %x\n  %1 = scan %0, %s, body=@step, carried=1, length=6\n  return %1\n}\n"
          "fn @step(%h: f32[4], %e: f32[4]) -> (%n: f32[4]) {\n  %0 = sin %h\n  %1 = add %0, %e\n  %2 = exp %1\n  "
          "return %2\n}\n",
          WORDS(" scan ", " exp "),
          "module \"m\"\n\nfn @main(%s: f32[1, 1], %p1: f32[1]) -> (%y: f32[1]) {\n"
          "  %0 = scan %p1, %s, carried=1, length=1, body=@step : f32[1]\n  return %0\n}\n\n"
          "fn @step(%h: f32[1], %e: f32[1]) -> (%n: f32[1]) {\n  %0 = exp %h : f32[1]\n  return %0\n}\n");
}

static void test_data(void **state) {
    (void)state;
    check("module \"m\"\n"
          "fn @main(%x: f32[2, 2], %w: f32[2, 2] weight {1, 2, 3, 4}) -> (%y: f32[2, 2]) {\n"
          "  %c = constant value=f32[2, 2] {5, 6, 7, 8}\n  %0 = dot %x, %w, contract=[1]x[0]\n  %1 = add %0, %c\n"
          "  return %1\n}\n",
          WORDS("dot", "weight", "constant"),
          "module \"m\"\n\nfn @main(%x: f32[1, 1], %w: f32[1, 1] weight) -> (%y: f32[1, 1]) {\n"
          "  %c = constant value=f32[1, 1] {5} : f32[1, 1]\n  %0 = dot %x, %w, contract=[1]x[0] : f32[1, 1]\n"
          "  %1 = add %0, %c : f32[1, 1]\n  return %1\n}\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_middle_of_a_chain), cmocka_unit_test(test_two_things), cmocka_unit_test(test_states),
        cmocka_unit_test(test_control_flow),      cmocka_unit_test(test_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
