/* Titles of kernels: ops in order, and the source node that most of the work comes from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "compiler/kernel_title.h"
#include "ir/op.h"
#include "tenon_compile.h"

/* Compiled: the title of kernel `i`. The program is the caller's. */
static tn_program *program_of(const char *text) {
    tn_module *m = tn_module_parse(text, strlen(text), "folder/mlp.tn");
    tn_program *p = tn_compile_module(m, NULL);
    if (!p) fail_msg("%s", tn_module_error(m)->message);
    tn_module_free(m);
    return p;
}

static void test_programs(void **state) {
    (void)state;
    static const struct {
        const char *text, *title;
    } cases[] = {
        {"module \"m\"\nfn @main(%x: f32[4, 8], %w: f32[8, 16], %b: f32[16]) -> (%y: f32[4, 16]) {\n"
         "  %0 = dot %x, %w, contract=[1]x[0] : f32[4, 16]\n"
         "  %1 = broadcast %b, dims=[1], shape=[4, 16] : f32[4, 16]\n"
         "  %2 = add %0, %1 : f32[4, 16]\n  %y = tanh %2 : f32[4, 16]\n  return %y\n}\n",
         "dot+add+tanh mlp.tn:3"},
        {"module \"m\"\nfn @main(%x: f32[100]) -> (%y: f32[100]) {\n"
         "  %0 = exp %x : f32[100]  # \"m.onnx: node '/layer 1/conv's/Exp' (Exp)\"\n"
         "  %y = neg %0 : f32[100]  # \"m.onnx: node 'after' (Neg)\"\n  return %y\n}\n",
         "exp+neg /layer_1/conv's/Exp"},
        {"module \"m\"\nfn @main(%x: f32[100]) -> (%y: f32[100]) {\n"
         "  %0 = exp %x : f32[100]\n  %1 = sin %0 : f32[100]\n  %2 = cos %1 : f32[100]\n"
         "  %3 = tanh %2 : f32[100]\n  %4 = exp %3 : f32[100]\n  %y = neg %4 : f32[100]\n  return %y\n}\n",
         "exp+sin+cos+tanh+... mlp.tn:3"},
        {"module \"m\"\nfn @main(%x: f32[8, 9]) -> (%y: f32[9, 8]) {\n"
         "  %y = transpose %x, perm=[1, 0] : f32[9, 8]\n  return %y\n}\n",
         "transpose mlp.tn:3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_program *p = program_of(cases[i].text);
        assert_int_equal(tn_program_n_kernels(p), 1);
        assert_string_equal(tn_program_kernel(p, 0)->title, cases[i].title);
        tn_program_free(p);
    }
}

/* A name as long as anyone likes: its end stays. */
static void test_long_names(void **state) {
    (void)state;
    char name[600], text[900], title[KERNEL_TITLE];
    memset(name, 'a', sizeof name);
    memcpy(name + sizeof name - 5, "/end", 5);
    snprintf(text, sizeof text,
             "module \"m\"\nkernel fn @k(%%x: f32[8]) -> (%%y: f32[8]) {\n"
             "  %%y = logistic %%x : f32[8]  # \"m.onnx: node '%s' (Sigmoid)\"\n  return %%y\n}\n",
             name);
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    if (tn_module_error(m)) fail_msg("%s", tn_module_error(m)->message);
    kernel_title(m->graphs[0], title, sizeof title);
    assert_true(strlen(title) < 130);
    assert_memory_equal(title, "logistic ...aaa", 15);
    assert_string_equal(title + strlen(title) - 4, "/end");
    char small[12];
    kernel_title(m->graphs[0], small, sizeof small);
    assert_string_equal(small, "logistic...");
    tn_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_programs), cmocka_unit_test(test_long_names)};
    return cmocka_run_group_tests_name("kernel_title", tests, NULL, NULL);
}
