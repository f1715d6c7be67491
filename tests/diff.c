/* Differences of modules: what counts as a change, and how it reads. */
#include "ir/diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static tn_module *parse(const char *text) {
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    assert_non_null(m);
    if (tn_module_error(m)) fail_msg("%s\n%s", tn_module_error(m)->message, text);
    return m;
}

static void expect(const char *before, const char *after, const char *want) {
    tn_module *a = parse(before), *b = parse(after);
    module_diff d;
    text_buffer text = {0};
    assert_true(module_diff_make(&d, a, b));
    text_module_diff(&text, &d, "step");
    text_add_n(&text, "", 1);
    assert_false(text.failed);
    if (strcmp(text.text, want) != 0) fail_msg("the difference is\n%s\nnot\n%s", text.text, want);
    tn_free(text.text);
    module_diff_free(&d);
    tn_module_free(a);
    tn_module_free(b);
}

#define HEAD "module \"m\"\nfn @main(%x: f32[4]) -> (%y: f32[4]) {\n"

static void test_numbers_and_order_are_no_change(void **state) {
    (void)state;
    expect(HEAD "%0 = neg %x # a.c:1\n%1 = exp %x # a.c:2\n%2 = add %0, %1 # a.c:3\nreturn %2 }",
           HEAD "%7 = exp %x # a.c:2\n%8 = neg %x # a.c:1\n%9 = add %8, %7 # a.c:3\nreturn %9 }",
           "== step: nothing changed (3 nodes)\n");
    expect(HEAD "%0 = constant value=f32[4] {1, 2, 3, 4}\n%1 = add %x, %0\nreturn %1 }",
           HEAD "%0 = constant value=f32[4] {1, 2, 3, 4}\n%name = add %x, %0\nreturn %name }",
           "== step: nothing changed (2 nodes)\n");
}

/* What reads a replaced value, and all behind it, is as it was. */
static void test_a_node_is_replaced(void **state) {
    (void)state;
    expect(HEAD "%0 = neg %x # a.c:1\n%1 = exp %0 # a.c:2\n%2 = abs %1 # a.c:3\n%3 = sqrt %2 # a.c:4\n"
                "%4 = tanh %3 # a.c:5\nreturn %4 }",
           HEAD "%0 = neg %x # a.c:1\n%1 = abs %0 # a.c:2\n%2 = exp2 %1 # a.c:2\n%3 = abs %2 # a.c:3\n"
                "%4 = sqrt %3 # a.c:4\n%5 = tanh %4 # a.c:5\nreturn %5 }",
           "== step: 5 -> 6 nodes: +1 abs, -1 exp, +1 exp2\n"
           "fn @main\n"
           "   %0 = neg %x : f32[4]  # a.c:1\n"
           "-  %1- = exp %0 : f32[4]  # a.c:2  now %2\n"
           "+  %1 = abs %0 : f32[4]  # a.c:2\n"
           "+  %2 = exp2 %1 : f32[4]  # a.c:2\n"
           "   %3 = abs %2 : f32[4]  # a.c:3\n"
           "   ... 2 nodes unchanged\n");
}

static void test_an_identity_is_removed(void **state) {
    (void)state;
    expect(HEAD "%0 = reshape %x, shape=[4] # a.c:1\n%1 = exp %0 # a.c:2\nreturn %1 }",
           HEAD "%0 = exp %x # a.c:2\nreturn %0 }",
           "== step: 2 -> 1 nodes: -1 reshape\n"
           "fn @main\n"
           "-  %0- = reshape %x, shape=[4] : f32[4]  # a.c:1  now %x\n"
           "   %0 = exp %x : f32[4]  # a.c:2\n");
}

static void test_constants_are_compared_by_their_data(void **state) {
    (void)state;
    expect(HEAD "%0 = constant value=f32[4] {1, 2, 3, 4} # a.c:1\n%1 = add %x, %0 # a.c:2\nreturn %1 }",
           HEAD "%0 = constant value=f32[4] {1, 2, 3, 5} # a.c:1\n%1 = add %x, %0 # a.c:2\nreturn %1 }",
           "== step: 2 -> 2 nodes\n"
           "fn @main\n"
           "-  %0- = constant value=f32[4] {1, 2, 3, 4} : f32[4]  # a.c:1  now %0\n"
           "+  %0 = constant value=f32[4] {1, 2, 3, 5} : f32[4]  # a.c:1\n"
           "   %1 = add %x, %0 : f32[4]  # a.c:2\n");
}

static void test_nodes_move_between_functions(void **state) {
    (void)state;
    expect("module \"m\"\nfn @main(%x: f32[4], %w: f32[4] weight) -> (%y: f32[4]) {\n"
           "%0 = exp %w # a.c:1\n%1 = neg %0 # a.c:2\n%2 = add %x, %1 # a.c:3\nreturn %2 }",
           "module \"m\"\nfn @main(%x: f32[4], %p: f32[4] weight) -> (%y: f32[4]) {\n"
           "%0 = add %x, %p # a.c:3\nreturn %0 }\n"
           "fn @prepare(%w: f32[4] weight) -> (%p: f32[4]) {\n%0 = exp %w # a.c:1\n%1 = neg %0 # a.c:2\nreturn %1 }",
           "== step: 3 -> 3 nodes\n"
           "fn @main\n"
           "-  parameter %w: f32[4] weight\n"
           "+  parameter %p: f32[4] weight\n"
           ">  ... 2 nodes to @prepare\n"
           "   %0 = add %x, %p : f32[4]  # a.c:3\n"
           "fn @prepare is new: 2 nodes\n"
           "<  ... 2 nodes from @main\n");
}

static void test_kernels_tell_what_is_in_them(void **state) {
    (void)state;
    expect(HEAD "%0 = neg %x # a.c:1\n%1 = exp %0 # a.c:2\n%2 = exp %1 # a.c:3\nreturn %2 }",
           "module \"m\"\nfn @main(%x: f32[4]) -> (%y: f32[4]) {\n"
           "%0 = call %x, callee=@k0 # a.c:1, a.c:2, a.c:3\nreturn %0 }\n"
           "kernel fn @k0(%x: f32[4]) -> (%y: f32[4]) {\n%0 = neg %x # a.c:1\n%1 = exp %0 # a.c:2\n"
           "%2 = exp %1 # a.c:3\nreturn %2 }",
           "== step: 3 -> 4 nodes: +1 call\n"
           "fn @main\n"
           "+  %0 = @k0(%x) : f32[4] = neg + exp x2  # a.c:1, a.c:2, a.c:3\n"
           "-  ... 3 nodes are in these kernels now\n");
}

static void test_functions_come_and_go(void **state) {
    (void)state;
    expect("module \"m\"\nfn @main(%x: f32[4]) -> (%y: f32[4]) {\n%0 = call %x, callee=@f # a.c:1\nreturn %0 }\n"
           "fn @f(%x: f32[4]) -> (%y: f32[4]) {\n%0 = neg %x # a.c:9\nreturn %0 }",
           HEAD "%0 = neg %x # a.c:9\nreturn %0 }",
           "== step: 2 -> 1 nodes: -1 call\n"
           "fn @main\n"
           "-  %0- = call %x, callee=@f : f32[4]  # a.c:1  now %0\n"
           "<  %0 = neg %x : f32[4]  # a.c:9  from @f\n"
           "fn @f is no more: it had 1 node\n"
           ">  %0- = neg %x- : f32[4]  # a.c:9  to @main\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_and_order_are_no_change),
        cmocka_unit_test(test_a_node_is_replaced),
        cmocka_unit_test(test_an_identity_is_removed),
        cmocka_unit_test(test_constants_are_compared_by_their_data),
        cmocka_unit_test(test_nodes_move_between_functions),
        cmocka_unit_test(test_kernels_tell_what_is_in_them),
        cmocka_unit_test(test_functions_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
