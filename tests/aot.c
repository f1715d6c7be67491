/* Objects written by tn_compile_object, linked with a plain C program that knows the frame and
 * nothing else of Tenon (tests/lib/object_run.h): the same bits as in this process, and no symbol from outside but
 * memcpy, memset and memmove.
 *
 * Needs $CC (default cc) and nm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/lib/compare.h"
#include "tests/lib/object_run.h"

/* ---- The model ---------------------------------------------------------------------------------------- */

/* A bit of everything: a contraction, softmax, functions, indices, a loop, an f16, packed weights. */
static const char text[] = "module \"m\"\n"
                           "fn @main(%x: f32[n, 24], %i: i64[k, 1], %w: f32[24, 10] weight, %h: f16[n])\n"
                           "    -> (%p: f32[n, 10], %g: f32[k, 10], %t: f16[n], %s: f32[n, 24], %r: f32[n, 24]) {\n"
                           "  %e = exp %w\n"
                           "  %0 = dot %x, %e, contract=[1]x[0]\n"
                           "  %p = softmax %0, axis=1\n"
                           "  %g = gather %p, %i, axes=[0]\n"
                           "  %t = tanh %h\n"
                           "  %s = sort %x, axis=1\n"
                           "  %y = rem %x, %s\n"
                           "  %z = atan2 %y, %x\n"
                           "  %r = while %z, cond=@large, body=@half, symbols=[n, 24, n, 24]\n"
                           "  return %p, %g, %t, %s, %r\n"
                           "}\n"
                           "fn @large(%a: f32[n, k]) -> (%c: bool[]) {\n"
                           "  %m = reduce %a, kind=max, axes=[0, 1]\n"
                           "  %one = constant value=f32[] {0.01}\n"
                           "  %c = compare %m, %one, compare=gt\n"
                           "  return %c\n"
                           "}\n"
                           "fn @half(%a: f32[n, k]) -> (%b: f32[n, k]) {\n"
                           "  %half = constant value=f32[] {0.5}\n"
                           "  %h = broadcast %half, dims=[], shape=[n, k]\n"
                           "  %b = mul %a, %h\n"
                           "  return %b\n"
                           "}\n";

enum { N = 37, K = 5, RESULTS = 5 };

/* Inputs in the order of main's parameters: x, i, w, h. */
enum { X, I, W, H, INPUTS };
static float x[N * 24], w[24 * 10];
static int64_t i[K] = {0, 36, 7, 7, 12};
static uint16_t h[N];

static void fill_inputs(void) {
    for (int k = 0; k < N * 24; k++) x[k] = (float)(k * 7 % 31 - 15) / 8;
    for (int k = 0; k < 24 * 10; k++) w[k] = (float)(k * 5 % 17 - 8) / 8;
    for (int k = 0; k < N; k++) h[k] = (uint16_t)(0x3000 + k * 40);
}

static tn_module *parse(void) {
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    if (tn_module_error(m)) fail_msg("%d: %s", tn_module_error(m)->line, tn_module_error(m)->message);
    return m;
}

/* In this process; the results are the exec's. */
static tn_exec *run_here(tn_module *m) {
    tn_program *p = tn_compile_module(m, NULL);
    if (!p) fail_msg("%s", tn_module_error(m)->message);
    const char *name = "w";
    tn_tensor weight = TN_TENSOR(TN_F32, w, 24, 10);
    assert_int_equal(tn_program_set_weights(p, &name, &weight, 1, NULL), TN_OK);
    tn_tensor in[] = {TN_TENSOR(TN_F32, x, N, 24), TN_TENSOR(TN_I64, i, K, 1), TN_TENSOR(TN_F16, h, N)};
    tn_exec *e = tn_exec_new(p, NULL);
    if (tn_exec_run(e, in, 3, NULL, 0) != TN_OK) fail_msg("%s", tn_exec_error(e)->message);
    tn_program_free(p);
    return e;
}

static void test_object_in_a_plain_program(void **state) {
    tn_module *m = parse();
    fill_inputs();
    tn_exec *here = run_here(m);
    eval_tensor in[INPUTS] = {
        tensor_view(TN_F32, 2, (int64_t[]){N, 24}, x), tensor_view(TN_I64, 2, (int64_t[]){K, 1}, i),
        tensor_view(TN_F32, 2, (int64_t[]){24, 10}, w), tensor_view(TN_F16, 1, (int64_t[]){N}, h)};
    eval_tensor there[RESULTS];
    for (int r = 0; r < RESULTS; r++) {
        const tn_tensor *t = tn_exec_output(here, r);
        there[r] = tensor_view(t->dtype, t->rank, t->shape, NULL);
        there[r].data = calloc((size_t)there[r].n, 4);
    }
    char message[OBJECT_MESSAGE];
    if (!object_run_module(*state, m, NULL, &(object_call){.in = in, .out = there}, message)) fail_msg("%s", message);
    for (int r = 0; r < RESULTS; r++) {
        const tn_tensor *t = tn_exec_output(here, r);
        assert_memory_equal(there[r].data, t->data, (size_t)tn_tensor_bytes(t));
        free(there[r].data);
    }
    tn_exec_free(here);
    tn_module_free(m);
}

static void write_object(object_run *run, const char *target) {
    tn_module *m = parse();
    void *object;
    size_t bytes;
    tn_diag diag = {0};
    if (tn_compile_object(m, &(tn_compile_options){.target = target}, "m_", &object, &bytes, &diag) != TN_OK)
        fail_msg("%s", diag.message);
    object_run_write(run, "m.o", object, bytes);
    tn_text_free(object);
    tn_module_free(m);
}

/* For every target, since each expands on its own what it has no instruction for. */
static void test_object_needs_nothing(void **state) {
    static const char *const targets[] = {NULL, "x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64"};
    char out[4000];
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
        write_object(*state, targets[t]);
        if (object_run_command(*state, "nm -u m.o", out, sizeof out) != 0) fail_msg("nm: %s", out);
        char *rest = out;
        for (char *word; (word = strsep(&rest, " \n"));) {
            bool known = *word == '\0' || strcmp(word, "U") == 0 || strcmp(word, "memcpy") == 0 ||
                         strcmp(word, "memset") == 0 || strcmp(word, "memmove") == 0;
            if (!known) fail_msg("%s: the object needs %s", targets[t] ? targets[t] : "host", word);
        }
    }
}

static int set_up(void **state) {
    *state = object_run_open(&(object_machine){.emulator = ""});
    return 0;
}

static int tear_down(void **state) {
    object_run_close(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_object_in_a_plain_program),
        cmocka_unit_test(test_object_needs_nothing),
    };
    return cmocka_run_group_tests_name("aot", tests, set_up, tear_down);
}
