/* Programs from the cache: the same as those that are compiled, for whoever asks first or later.
 *
 * What the folder does (damage, removal, several processes): cache_folder.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenon_compile.h"
#include "tests/lib/cache_check.h"

/* ---- Helpers ---- */

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    cache_folder_make(folder);
    return 0;
}

static int drop_folder(void **state) {
    (void)state;
    cache_folder_drop(folder);
    return 0;
}

typedef struct run_tensors {
    tn_tensor in[3], out[3];
    int n_in, n_out;
} run_tensors;

static tn_program *compile(tn_module *m, const tn_compile_options *options) {
    tn_program *p = tn_compile_module(m, options);
    if (!p) fail_msg("%s", tn_module_error(m)->message);
    return p;
}

static tn_program *compile_text(const char *text, const tn_compile_options *options) {
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    tn_program *p = compile(m, options);
    tn_module_free(m);
    return p;
}

static void assert_same_tensor(const tn_tensor_info *a, const tn_tensor_info *b) {
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->rank, b->rank);
    assert_int_equal(a->state_input, b->state_input);
    for (int i = 0; i < a->rank; i++) {
        assert_int_equal(a->dims[i].kind, b->dims[i].kind);
        assert_int_equal(a->dims[i].value, b->dims[i].value);
        assert_string_equal(a->dims[i].text, b->dims[i].text);
    }
}

static void assert_same_program(tn_program *a, tn_program *b) {
    assert_string_equal(tn_program_name(a), tn_program_name(b));
    assert_int_equal(tn_program_n_inputs(a), tn_program_n_inputs(b));
    for (int i = 0; i < tn_program_n_inputs(a); i++) assert_same_tensor(tn_program_input(a, i), tn_program_input(b, i));
    assert_int_equal(tn_program_n_outputs(a), tn_program_n_outputs(b));
    for (int i = 0; i < tn_program_n_outputs(a); i++)
        assert_same_tensor(tn_program_output(a, i), tn_program_output(b, i));
    assert_int_equal(tn_program_n_weights(a), tn_program_n_weights(b));
    for (int i = 0; i < tn_program_n_weights(a); i++)
        assert_same_tensor(tn_program_weight(a, i), tn_program_weight(b, i));
    assert_int_equal(tn_program_n_symbols(a), tn_program_n_symbols(b));
    for (int i = 0; i < tn_program_n_symbols(a); i++) {
        const tn_symbol_info *x = tn_program_symbol(a, i), *y = tn_program_symbol(b, i);
        assert_string_equal(x->name, y->name);
        assert_true(x->lower == y->lower && x->upper == y->upper && x->divisor == y->divisor);
    }
    assert_int_equal(tn_program_n_kernels(a), tn_program_n_kernels(b));
    for (int i = 0; i < tn_program_n_kernels(a); i++) {
        const tn_kernel_info *x = tn_program_kernel(a, i), *y = tn_program_kernel(b, i);
        assert_string_equal(x->name, y->name);
        assert_string_equal(x->class_name, y->class_name);
        assert_string_equal(x->locations, y->locations);
        assert_string_equal(x->title, y->title);
    }
    assert_int_equal(tn_program_weight_bytes(a), tn_program_weight_bytes(b));
    assert_int_equal(tn_program_live_bytes(a), tn_program_live_bytes(b));
}

/* The same status, message and bytes. */
static void assert_same_run(tn_program *a, tn_program *b, const run_tensors *t) {
    tn_exec *x = tn_exec_new(a, NULL), *y = tn_exec_new(b, NULL);
    tn_tensor of_x[3] = {0}, of_y[3] = {0};
    tn_status status = tn_exec_run(x, t->in, t->n_in, of_x, t->n_out);
    assert_int_equal(status, tn_exec_run(y, t->in, t->n_in, of_y, t->n_out));
    if (status != TN_OK) assert_string_equal(tn_exec_error(x)->message, tn_exec_error(y)->message);
    for (int i = 0; i < t->n_out && of_x[i].data; i++) {
        assert_int_equal(tn_tensor_bytes(&of_x[i]), tn_tensor_bytes(&of_y[i]));
        assert_memory_equal(of_x[i].data, of_y[i].data, (size_t)tn_tensor_bytes(&of_x[i]));
    }
    assert_int_equal(tn_exec_arena_bytes(x), tn_exec_arena_bytes(y));
    tn_exec_free(x);
    tn_exec_free(y);
}

/* Compiled, stored and loaded: three programs of the module that `make` builds, with all `runs`. */
static void check_module(tn_module *(*make)(void), const tn_compile_options *options, const run_tensors *runs, int n) {
    cached_compilation c;
    tn_program *p[3];
    cached_compilation_begin(&c);
    if (options) {
        c.options.customs = options->customs;
        c.options.n_customs = options->n_customs;
        c.options.gemm = options->gemm;
    }
    for (int i = 0; i < 3; i++) {
        tn_module *m = make();
        c.options.cache = i ? "on" : "off";
        p[i] = compile(m, &c.options);
        tn_module_free(m);
    }
    assert_int_equal(c.n_warnings, 0);
    assert_int_equal(c.n_stores, 1);
    assert_int_equal(c.n_hits, 1);
    for (int i = 1; i < 3; i++) {
        assert_same_program(p[0], p[i]);
        for (int k = 0; k < n; k++) assert_same_run(p[0], p[i], &runs[k]);
    }
    for (int i = 0; i < 3; i++) tn_program_free(p[i]);
}

/* ---- Kinds of programs ---- */

static tn_module *parse(const char *text) {
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    if (tn_module_error(m)) fail_msg("%s", tn_module_error(m)->message);
    return m;
}

static const char symbolic_text[] = "module \"m\"\n"
                                    "fn @main(%x: f32[n], %y: f32[m]) -> (%s: f32[n], %r: f32[4, floordiv(n, 4)]) {\n"
                                    "  %s = add %x, %y\n"
                                    "  %r = reshape %x, shape=[4, floordiv(n, 4)]\n"
                                    "  return %s, %r\n"
                                    "}\n";

static tn_module *make_symbolic(void) { return parse(symbolic_text); }

static void test_symbols_and_constraints(void **state) {
    (void)state;
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[8] = {3};
    run_tensors runs[] = {{{TN_TENSOR(TN_F32, x, 8), TN_TENSOR(TN_F32, y, 8)}, {{0}}, 2, 2},
                          {{TN_TENSOR(TN_F32, x, 4), TN_TENSOR(TN_F32, y, 4)}, {{0}}, 2, 2},
                          {{TN_TENSOR(TN_F32, x, 8), TN_TENSOR(TN_F32, y, 7)}, {{0}}, 2, 2},
                          {{TN_TENSOR(TN_F32, x, 6), TN_TENSOR(TN_F32, y, 6)}, {{0}}, 2, 2}};
    check_module(make_symbolic, NULL, runs, 4);
}

static tn_module *make_assert(void) {
    return parse("module \"m\"\n"
                 "fn @main(%x: f32[n], %i: i32[k, 1]) -> (%y: f32[k]) {\n"
                 "  %t = token\n"
                 "  %zero = constant value=f32[] {0}\n"
                 "  %least = reduce %x, kind=min, axes=[0]\n"
                 "  %good = compare %least, %zero, compare=ge\n"
                 "  %u = assert %t, %good, message=\"x must not be negative\"\n"
                 "  %g = gather %x, %i, axes=[0]\n"
                 "  %y = sqrt %g\n"
                 "  return %y\n"
                 "}\n");
}

static void test_messages_of_runs(void **state) {
    (void)state;
    float x[3] = {1, 4, 9}, negative[3] = {1, -4, 9};
    int32_t good[2] = {2, 0}, bad[2] = {0, 7};
    run_tensors runs[] = {{{TN_TENSOR(TN_F32, x, 3), TN_TENSOR(TN_I32, good, 2, 1)}, {{0}}, 2, 1},
                          {{TN_TENSOR(TN_F32, negative, 3), TN_TENSOR(TN_I32, good, 2, 1)}, {{0}}, 2, 1},
                          {{TN_TENSOR(TN_F32, x, 3), TN_TENSOR(TN_I32, bad, 2, 1)}, {{0}}, 2, 1}};
    check_module(make_assert, NULL, runs, 3);
}

static int32_t twice(void *ctx, void *const *operands, void *const *results, const int64_t *dims) {
    const float *x = operands[0];
    float *y = results[0];
    for (int64_t i = 0; i < dims[0]; i++) y[i] = 2 * x[i];
    return *(const int32_t *)ctx;
}

static tn_module *make_custom(void) {
    return parse("module \"m\"\n"
                 "fn @main(%x: f32[n]) -> (%y: f32[n]) {\n"
                 "  %0 = custom %x, name=\"twice\"\n"
                 "  return %0\n"
                 "}\n");
}

static void test_custom_ops(void **state) {
    (void)state;
    int32_t outcome = 0;
    float x[3] = {1, 4, 9};
    tn_custom_op op = {"twice", twice, &outcome};
    run_tensors run = {{TN_TENSOR(TN_F32, x, 3)}, {{0}}, 1, 1};
    check_module(make_custom, &(tn_compile_options){.customs = &op, .n_customs = 1}, &run, 1);
    cache_folder_drop(folder);
    cache_folder_make(folder);
    outcome = 5;
    check_module(make_custom, &(tn_compile_options){.customs = &op, .n_customs = 1}, &run, 1);
    cached_compilation c; /* what is cached is the name: nobody has registered it now */
    cached_compilation_begin(&c);
    tn_module *m = make_custom();
    tn_program *p = compile(m, &c.options);
    tn_tensor out = TN_TENSOR(TN_F32, (float[3]){0}, 3);
    assert_int_equal(c.n_hits, 1);
    assert_int_equal(tn_run(p, run.in, &out), TN_ERR_CUSTOM);
    tn_program_free(p);
    tn_module_free(m);
}

static tn_module *make_blas(void) {
    return parse("module \"m\"\n"
                 "fn @main(%x: f32[4, 8], %y: f32[8, 5]) -> (%z: f32[4, 5]) {\n"
                 "  %0 = dot %x, %y, contract=[1]x[0]\n"
                 "  return %0\n"
                 "}\n");
}

static void test_blas(void **state) {
    (void)state;
    float x[32], y[40];
    for (int i = 0; i < 32; i++) x[i] = (float)i;
    for (int i = 0; i < 40; i++) y[i] = (float)(i % 7);
    run_tensors run = {{TN_TENSOR(TN_F32, x, 4, 8), TN_TENSOR(TN_F32, y, 8, 5)}, {{0}}, 2, 1};
    check_module(make_blas, &(tn_compile_options){.gemm = "blas"}, &run, 1);
}

/* ---- Data ---- */

enum { ROWS = 96, COLUMNS = 80 };
static float first[ROWS * COLUMNS], second[ROWS * COLUMNS];

static void fill(float *data, float from) {
    for (int i = 0; i < ROWS * COLUMNS; i++) data[i] = from + (float)(i % 31) * 0.25f;
}

/* y = x w + c v: w is packed, c is read as it is. */
static tn_module *make_products(const void *w, const void *v, bool are_weights) {
    tn_graph *g = tn_graph_new("products");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(ROWS)));
    tn_val a = are_weights ? tn_weight(g, "w", TN_F32, TN_SHAPE(TN_SIZE(ROWS), TN_SIZE(COLUMNS)), w)
                           : tn_constant(g, TN_F32, TN_SHAPE(TN_SIZE(ROWS), TN_SIZE(COLUMNS)), w);
    tn_val b = are_weights ? tn_weight(g, "v", TN_F32, TN_SHAPE(TN_SIZE(ROWS), TN_SIZE(COLUMNS)), v)
                           : tn_constant(g, TN_F32, TN_SHAPE(TN_SIZE(ROWS), TN_SIZE(COLUMNS)), v);
    tn_output(g, "y", tn_matmul(x, a));
    tn_output(g, "z", tn_add(tn_matmul(x, b), tn_slice(b, 0, 3, 4, 1)));
    return tn_graph_module(g);
}

static tn_module *make_constants(void) { return make_products(first, second, false); }
static tn_module *make_weights(void) { return make_products(first, second, true); }
static tn_module *make_equal_weights(void) { return make_products(first, first, true); }
static tn_module *make_missing_weight(void) { return make_products(first, NULL, true); }

static run_tensors products_run(float *x) {
    for (int i = 0; i < 2 * ROWS; i++) x[i] = (float)(i % 5) - 2;
    return (run_tensors){{TN_TENSOR(TN_F32, x, 2, ROWS)}, {{0}}, 1, 2};
}

static void test_constants_and_weights(void **state) {
    (void)state;
    float x[2 * ROWS];
    fill(first, 1);
    fill(second, -3);
    run_tensors run = products_run(x);
    check_module(make_constants, NULL, &run, 1);
    check_module(make_weights, NULL, &run, 1);
    check_module(make_missing_weight, NULL, &run, 1); /* a run says which one is not given */
}

/* Values of weights are no part of the key: each program has those of its own module, also where two were
 * the same in the module that was stored. */
static void test_other_weights(void **state) {
    (void)state;
    float x[2 * ROWS];
    cached_compilation c;
    run_tensors run = products_run(x);
    fill(first, 1);
    fill(second, -3);
    cached_compilation_begin(&c);
    tn_module *modules[] = {make_equal_weights(), make_weights()};
    tn_program *stored = compile(modules[0], &c.options), *loaded = compile(modules[1], &c.options);
    assert_int_equal(c.n_stores, 1);
    assert_int_equal(c.n_hits, 1);
    c.options.cache = "off";
    tn_program *compiled = compile(modules[1], &c.options);
    assert_same_run(compiled, loaded, &run);
    /* And both take others. */
    tn_tensor w = TN_TENSOR(TN_F32, second, ROWS, COLUMNS);
    const char *name = "w";
    assert_int_equal(tn_program_set_weights(compiled, &name, &w, 1, NULL), TN_OK);
    assert_int_equal(tn_program_set_weights(loaded, &name, &w, 1, NULL), TN_OK);
    assert_same_run(compiled, loaded, &run);
    for (int i = 0; i < 2; i++) tn_module_free(modules[i]);
    tn_program_free(stored);
    tn_program_free(loaded);
    tn_program_free(compiled);
}

/* Packed weights above their share of the cache are packed again. */
static void test_packed_again(void **state) {
    (void)state;
    float x[2 * ROWS];
    cached_compilation c;
    run_tensors run = products_run(x);
    fill(first, 1);
    fill(second, -3);
    cached_compilation_begin(&c);
    c.options.cache_bytes = 128 << 10;
    tn_module *m = make_constants();
    tn_program *p[2] = {compile(m, &c.options), compile(m, &c.options)};
    assert_int_equal(c.n_stores, 1);
    assert_int_equal(c.n_hits, 1);
    assert_same_program(p[0], p[1]);
    tn_module_free(m);
    assert_same_run(p[0], p[1], &run);
    tn_program_free(p[0]);
    tn_program_free(p[1]);
}

/* ---- Keys ---- */

static int hits_of(tn_module *m, const tn_compile_options *change) {
    cached_compilation c;
    cached_compilation_begin(&c);
    c.options.level = change->level;
    c.options.no_fusion = change->no_fusion;
    c.options.winograd = change->winograd;
    c.options.strassen = change->strassen;
    c.options.weight_type = change->weight_type;
    c.options.target = change->target;
    c.options.fold_limit_bytes = change->fold_limit_bytes;
    c.options.hoist_growth = change->hoist_growth;
    tn_program_free(compile(m, &c.options));
    assert_int_equal(c.n_warnings, 0);
    tn_module_free(m);
    return c.n_hits;
}

static const tn_compile_options plain;

static void test_other_options(void **state) {
    (void)state;
    static const tn_compile_options rows[] = {{0},
                                              {.level = 1},
                                              {.no_fusion = true},
                                              {.winograd = "off"},
                                              {.strassen = "on"},
                                              {.weight_type = "bf16"},
                                              {.fold_limit_bytes = 77},
                                              {.hoist_growth = 2}};
    fill(first, 1);
    fill(second, -3);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_int_equal(hits_of(make_constants(), &rows[i]), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_int_equal(hits_of(make_constants(), &rows[i]), 1);
    static const tn_compile_options defaults = {.level = 2, .winograd = "on", .strassen = "off", .weight_type = "f32"};
    assert_int_equal(hits_of(make_constants(), &defaults), 1);
}

static void test_other_modules(void **state) {
    (void)state;
    static const char text[] = "module \"m\"\nfn @main(%x: f32[n]) -> (%y: f32[n]) {\n  %0 = neg %x\n  return %0\n}\n";
    static const char *const changes[][2] = {{"neg", "abs"}, {"\"m\"", "\"k\""}, {"f32", "f64"}, {"[n]", "[7]"},
                                             {"[n]", "[m]"}, {"%y", "%z"},       {"%x", "%w"},   {"{\n", "{\n\n"}};
    assert_int_equal(hits_of(parse(text), &plain), 0);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char changed[400] = "";
        for (const char *at = text, *next; *at; at = next) {
            next = strstr(at, changes[i][0]);
            size_t n = next ? (size_t)(next - at) : strlen(at);
            snprintf(changed + strlen(changed), sizeof changed - strlen(changed), "%.*s%s", (int)n, at,
                     next ? changes[i][1] : "");
            next = next ? next + strlen(changes[i][0]) : at + n;
        }
        assert_int_equal(hits_of(parse(changed), &plain), 0);
    }
    assert_int_equal(hits_of(parse(text), &plain), 1);
    fill(first, 1);
    fill(second, -3);
    assert_int_equal(hits_of(make_constants(), &plain), 0);
    second[ROWS * COLUMNS - 1] += 1; /* constants are part of the key to the last byte */
    assert_int_equal(hits_of(make_constants(), &plain), 0);
    assert_int_equal(hits_of(make_weights(), &plain), 0);
    assert_int_equal(hits_of(make_missing_weight(), &plain), 0);
    second[0] += 1;
    assert_int_equal(hits_of(make_weights(), &plain), 1);
}

/* ---- When it is used ---- */

static void test_off_and_on(void **state) {
    (void)state;
    static char names[CACHE_FILES][CACHE_NAME];
    tn_program_free(compile_text(symbolic_text, &(tn_compile_options){.cache = "off"}));
    assert_int_equal(cache_folder_files(folder, names), 0);
    tn_program_free(compile_text(symbolic_text, &(tn_compile_options){.verify_each = true}));
    assert_int_equal(cache_folder_files(folder, names), 0);
    tn_program_free(compile_text(symbolic_text, NULL)); /* TENON_CACHE_DIR says so */
    assert_int_equal(cache_folder_files(folder, names), 1);
    tn_module *m = make_symbolic();
    assert_null(tn_compile_module(m, &(tn_compile_options){.cache = "maybe"}));
    assert_int_equal(tn_module_error(m)->status, TN_ERR_ARGUMENT);
    assert_string_equal(tn_module_error(m)->message, "--cache: \"on\" or \"off\"");
    tn_module_free(m);
}

/* What does not compile is no entry, and says why each time. */
static void test_errors(void **state) {
    (void)state;
    static char names[CACHE_FILES][CACHE_NAME];
    static const char text[] =
        "module \"m\"\nfn @main(%t: token, %x: f32[]) -> (%x2: f32[], %u: token) { return %x, %t }\n";
    char message[2][TN_DIAG_MESSAGE_BYTES];
    for (int i = 0; i < 2; i++) {
        tn_module *m = parse(text);
        assert_null(tn_compile_module(m, &(tn_compile_options){.cache = "on"}));
        snprintf(message[i], sizeof message[i], "%s", tn_module_error(m)->message);
        tn_module_free(m);
    }
    assert_string_equal(message[0], message[1]);
    assert_int_equal(cache_folder_files(folder, names), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_symbols_and_constraints),
        TEST(test_messages_of_runs),
        TEST(test_custom_ops),
        TEST(test_blas),
        TEST(test_constants_and_weights),
        TEST(test_other_weights),
        TEST(test_packed_again),
        TEST(test_other_options),
        TEST(test_other_modules),
        TEST(test_off_and_on),
        TEST(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
