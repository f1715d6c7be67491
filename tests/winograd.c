/* Winograd's algorithm: the op against the interpreter, compiled and as a loop tree; the pass against conv.
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

#include "compiler/loops/loops.h"
#include "tenon_compile.h"
#include "tests/lib/compare.h"
#include "tests/lib/kernel_check.h"
#include "tests/lib/levels.h"
#include "tests/lib/program_check.h"

enum { FACTOR = 8, TEXT = 4096 };

typedef struct sizes {
    int images, channels, features, rows, columns;
    int low[2], high[2];
    int panel;
} sizes;

/* Around tiles (rows and columns), few and many, vectors of tiles, panels of features, blocks of rows and of images. */
static const sizes all_sizes[] = {
    {1, 3, 16, 8, 8, {1, 1}, {1, 1}, 16},    {2, 5, 20, 9, 11, {1, 1}, {1, 1}, 16},
    {1, 4, 7, 3, 3, {0, 0}, {0, 0}, 16},     {1, 1, 1, 1, 1, {1, 1}, {1, 1}, 16},
    {3, 2, 33, 7, 7, {1, 1}, {1, 1}, 16},    {1, 17, 16, 28, 28, {1, 1}, {1, 1}, 16},
    {1, 3, 5, 5, 30, {0, 2}, {2, 0}, 4},     {2, 6, 9, 31, 6, {2, 0}, {1, 1}, 5},
    {1, 9, 18, 56, 56, {1, 1}, {1, 1}, 16},  {1, 2, 3, 18, 130, {1, 1}, {1, 1}, 16},
    {1, 3, 17, 66, 66, {0, 0}, {0, 0}, 16},  {1, 33, 40, 14, 14, {1, 1}, {1, 1}, 16},
    {5, 3, 16, 34, 34, {1, 1}, {1, 1}, 16},  {1, 40, 16, 29, 29, {0, 1}, {1, 0}, 7},
    {0, 3, 16, 8, 8, {1, 1}, {1, 1}, 16},    {1, 2, 50, 9, 33, {1, 1}, {1, 1}, 32},
    {1, 3, 16, 113, 50, {1, 1}, {1, 1}, 16}, {2, 19, 21, 7, 8, {1, 1}, {1, 1}, 16},
    {1, 10, 24, 16, 13, {1, 1}, {1, 1}, 16}, {3, 5, 70, 6, 5, {1, 1}, {1, 1}, 64},
    {1, 6, 37, 10, 12, {1, 1}, {1, 1}, 12},  {16, 17, 20, 4, 4, {1, 1}, {1, 1}, 16},
    {24, 33, 18, 8, 8, {1, 1}, {1, 1}, 16},  {12, 20, 9, 7, 6, {1, 0}, {1, 1}, 16},
    {36, 16, 33, 3, 3, {1, 1}, {1, 1}, 16},  {26, 18, 16, 5, 2, {1, 1}, {1, 1}, 16},
};
enum { N_SIZES = sizeof all_sizes / sizeof *all_sizes };

/* Two panels each, now and then. */
static int group_of(const sizes *s) { return s->features % 3 ? 1 : 2; }

static int groups_of(const sizes *s) {
    int group = group_of(s) * s->panel;
    return (s->features + group - 1) / group;
}

/* The op, then a bias, a residual and a maximum; both sums are results. */
static void op_text(const sizes *s, int tile, bool symbolic, char *text) {
    char n[8] = "n", y[64];
    if (!symbolic) snprintf(n, sizeof n, "%d", s->images);
    snprintf(y, sizeof y, "f32[%s, %d, %d, %d]", n, s->features, s->rows + s->low[0] + s->high[0] - 2,
             s->columns + s->low[1] + s->high[1] - 2);
    snprintf(
        text, TEXT,
        "(%%x: f32[%s, %d, %d, %d], %%u: f32[%d, %d, %d, %d, %d, %d], %%b: f32[%d], %%r: %s) -> (%%y: %s, %%z: %s) {\n"
        "  %%0 = winograd %%x, %%u, tile=%d, features=%d, low=[%d, %d], high=[%d, %d] : %s\n"
        "  %%1 = broadcast %%b, dims=[1], shape=%s : %s\n"
        "  %%2 = add %%0, %%1 : %s\n  %%3 = add %%2, %%r : %s\n  %%4 = max %%3, %%1 : %s\n  return %%2, %%4\n}",
        n, s->channels, s->rows, s->columns, groups_of(s), tile + 2, tile + 2, group_of(s), s->channels, s->panel,
        s->features, y, y, y, tile, s->features, s->low[0], s->low[1], s->high[0], s->high[1], y, strchr(y, '['), y, y,
        y, y);
}

/* ---- The op, compiled ---- */

static void test_op(void **state) {
    char text[TEXT], symbols[16];
    (void)state;
    for (int i = 0; i < N_SIZES; i++)
        for (int tile = 2; tile <= 4; tile += 2) {
            op_text(&all_sizes[i], tile, i % 3 == 1, text);
            snprintf(symbols, sizeof symbols, "n=%d", all_sizes[i].images);
            tn_compile_options options = {.target = level_of_seed((uint64_t)i + (uint64_t)tile / 2)};
            check_program(text, symbols, "winograd", tile == 2 ? EXACT_NUMBERS : ANY_NUMBERS);
            check_program_with(&options, text, symbols, "winograd", tile == 2 ? EXACT_NUMBERS : ANY_NUMBERS);
        }
}

/* Operands under views. */
static void test_views(void **state) {
    (void)state;
    check_program("(%x: f32[2, 9, 10, 3], %u: f32[16, 3, 3, 4, 4]) -> (%y: f32[2, 40, 7, 8]) {\n"
                  "  %0 = transpose %x, perm=[0, 3, 1, 2] : f32[2, 3, 9, 10]\n"
                  "  %1 = transpose %u, perm=[3, 4, 2, 1, 0] : f32[4, 4, 3, 3, 16]\n"
                  "  %v = reshape %1, shape=[1, 4, 4, 3, 3, 16] : f32[1, 4, 4, 3, 3, 16]\n"
                  "  %2 = winograd %0, %v, tile=2, features=40 : f32[2, 40, 7, 8]\n  return %2\n}",
                  "", "winograd", EXACT_NUMBERS);
}

/* ---- What makes U ---- */

static void test_kernel(void **state) {
    static const struct {
        const char *kernel, *result; /* [m, 3, 3, q, c, p], and but for its planes the same */
    } cases[] = {
        {"f32[2, 3, 3, 1, 5, 16]", "2, %d, %d, 1, 5, 16"}, {"f32[1, 3, 3, 2, 32, 16]", "1, %d, %d, 2, 32, 16"},
        {"f32[3, 3, 3, 2, 33, 7]", "3, %d, %d, 2, 33, 7"}, {"f32[1, 3, 3, 1, 70, 40]", "1, %d, %d, 1, 70, 40"},
        {"f32[1, 3, 3, 3, 1, 1]", "1, %d, %d, 3, 1, 1"},   {"f32[0, 3, 3, 1, 4, 16]", "0, %d, %d, 1, 4, 16"},
        {"f32[n, 3, 3, 2, n, 16]", "n, %d, %d, 2, n, 16"},
    };
    char text[TEXT], type[64];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int side = 4; side <= 6; side += 2) {
            snprintf(type, sizeof type, cases[i].result, side, side);
            snprintf(text, sizeof text,
                     "(%%g: f32[%d, 3], %%k: %s) -> (%%u: f32[%s]) {\n  %%0 = winograd_kernel %%g, %%k : f32[%s]\n"
                     "  %%1 = neg %%0 : f32[%s]\n  return %%1\n}",
                     side, cases[i].kernel, type, type, type);
            check_program(text, strchr(type, 'n') ? "n=3" : "", "winograd_kernel", EXACT_NUMBERS);
        }
}

/* As the pass makes it, with the features laid out by views. */
static void test_kernel_views(void **state) {
    (void)state;
    check_program("(%g: f32[4, 3], %k: f32[40, 6, 3, 3]) -> (%u: f32[5, 4, 4, 2, 6, 4]) {\n"
                  "  %0 = reshape %k, shape=[5, 2, 4, 6, 3, 3] : f32[5, 2, 4, 6, 3, 3]\n"
                  "  %1 = transpose %0, perm=[0, 4, 5, 1, 3, 2] : f32[5, 3, 3, 2, 6, 4]\n"
                  "  %2 = winograd_kernel %g, %1 : f32[5, 4, 4, 2, 6, 4]\n  return %2\n}",
                  "", "winograd_kernel", EXACT_NUMBERS);
}

/* ---- The op, as a loop tree ---- */

static void open_tensor(const tn_module *m, const tn_type *type, eval_tensor *t, bool random) {
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < type->rank; i++) assert_true(dim_is_const(m->dims, type->dims[i], &dims[i]));
    *t = tensor_view((tn_dtype)type->dtype, type->rank, dims, NULL);
    t->data = calloc((size_t)t->n + 1, 8);
    assert_non_null(t->data);
    uint32_t number = 1;
    for (int64_t k = 0; random && k < t->n; k++) {
        number = number * 1664525 + 1013904223;
        eval_store_float(t, k, (double)number * 0x1p-31 - 1);
    }
}

static lt_kernel *lower(tn_module *m, int vector_bytes) {
    machine target = {.vector_bytes = vector_bytes,
                      .vector_count = vector_bytes == 64 ? 32 : 16,
                      .has_fma = true,
                      .l1_bytes = 32 << 10,
                      .l2_bytes = 512 << 10};
    lt_kernel *k = lt_lower(module_main(m), &target);
    if (!k) fail_msg("%s", tn_module_error(m)->message);
    return k;
}

/* Every access is checked to be in its buffer. */
static void evaluate_loops(const char *text, int vector_bytes) {
    tn_module *m = program_parse(text);
    tn_graph *g = module_main(m);
    eval_tensor in[4], want[2] = {{0}}, got[2];
    void *buffers[6];
    tn_diag diag = {0};
    for (int i = 0; i < 4; i++) {
        open_tensor(m, &g->params[i].type, &in[i], true);
        buffers[i] = in[i].data;
    }
    for (int i = 0; i < 2; i++) {
        open_tensor(m, graph_type(g, g->results[i].value), &got[i], false);
        buffers[4 + i] = got[i].data;
    }
    if (eval_graph(g, in, want, &(eval_options){.magnitudes = true}, &diag) != TN_OK) fail_msg("%s", diag.message);
    lt_kernel *k = lower(m, vector_bytes);
    if (!lt_verify(k, &diag) || lt_eval(k, buffers, NULL, &diag) != TN_OK) fail_msg("%s\n%s", diag.message, text);
    for (int i = 0; i < 2; i++) {
        comparison same = compare_tensors(&got[i], &want[i], FACTOR);
        if (!same.is_equal) fail_msg("%d bytes: %s\n%s", vector_bytes, same.message, text);
        free(got[i].data);
        eval_tensor_free(&want[i]);
    }
    for (int i = 0; i < 4; i++) free(in[i].data);
    tn_module_free(m);
}

static void test_loops(void **state) {
    char text[TEXT];
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        op_text(&all_sizes[i], i % 2 ? 2 : 4, false, text);
        for (int bytes = 16; bytes <= 64; bytes *= 2) evaluate_loops(text, bytes);
    }
}

/* The same loop tree on every target that runs here. */
static void test_targets(void **state) {
    char text[TEXT];
    (void)state;
    for (int i = 1; i < 6; i += 2)
        for (int bytes = 16; bytes <= 64; bytes *= 4) {
            op_text(&all_sizes[i], 2, false, text);
            tn_module *m = program_parse(text);
            char *loops = lt_print(lower(m, bytes));
            assert_non_null(loops);
            check_kernel_with(loops, NULL, EXACT, FILL_SMALL);
            tn_free(loops);
            tn_module_free(m);
        }
}

/* ---- Wrong applications ---- */

static void check_refused(const char *text, const char *message) {
    tn_module *m = tn_module_parse(text, strlen(text), "wrong");
    assert_non_null(m);
    assert_non_null(tn_module_error(m));
    if (!strstr(tn_module_error(m)->message, message))
        fail_msg("%s, but not: %s", tn_module_error(m)->message, message);
    tn_module_free(m);
}

static void test_wrong(void **state) {
    (void)state;
    static const struct {
        const char *x, *u, *attrs, *message;
    } cases[] = {
        {"f32[1, 3, 8, 8]", "f32[1, 6, 6, 1, 3, 16]", "tile=3, features=16", "tile is 3, not 2 or 4"},
        {"f32[1, 3, 8, 8]", "f32[1, 6, 6, 1, 3, 16]", "tile=2, features=16", "do not fit tile 2"},
        {"f32[1, 3, 8, 8]", "f32[1, 6, 6, 1, 3, 16]", "tile=4, features=17", "do not fit tile 4, features 17"},
        {"f32[1, 3, 8, 8]", "f32[1, 6, 6, 1, 3, 16]", "tile=4, features=0", "features is 0"},
        {"f32[1, 4, 8, 8]", "f32[1, 6, 6, 1, 3, 16]", "tile=4, features=16", "channels differ"},
        {"f32[1, 3, h, 8]", "f32[1, 6, 6, 1, 3, 16]", "tile=4, features=16", "a spatial extent is h"},
        {"f32[1, 3, 8, 70000]", "f32[1, 6, 6, 1, 3, 16]", "tile=4, features=16", "to 65536"},
        {"f32[1, 3, 2, 8]", "f32[1, 6, 6, 1, 3, 16]", "tile=4, features=16", "a spatial extent of the result is 0"},
        {"f32[1, 3, 8, 8]", "f32[1, 6, 6, 1, 3, 16]", "tile=4, features=16, low=[-1, 0]", "the padding is -1"},
        {"f64[1, 3, 8, 8]", "f64[1, 6, 6, 1, 3, 16]", "tile=4, features=16", "f64"},
        {"f32[3, 8, 8]", "f32[1, 6, 6, 1, 3, 16]", "tile=4, features=16", "f32[3, 8, 8]"},
    };
    char text[TEXT];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text,
                 "module \"wrong\"\nfn @main(%%x: %s, %%u: %s) -> (%%y: f32[1]) {\n  %%0 = winograd %%x, %%u, %s : "
                 "f32[1]\n  return %%0\n}\n",
                 cases[i].x, cases[i].u, cases[i].attrs);
        check_refused(text, cases[i].message);
    }
}

static void test_wrong_kernel(void **state) {
    (void)state;
    static const struct {
        const char *g, *k, *message;
    } cases[] = {
        {"f32[5, 3]", "f32[1, 3, 3, 1, 4, 16]", "operands are not [4 or 6, 3] and [m, 3, 3, q, c, p]: g is f32[5, 3]"},
        {"f32[4, 2]", "f32[1, 3, 3, 1, 4, 16]", "operands are not"},
        {"f32[4, 3]", "f32[1, 3, 2, 1, 4, 16]", "operands are not"},
        {"f32[4, 3]", "f32[1, n, 3, 1, 4, 16]", "operands are not"},
        {"f64[4, 3]", "f64[1, 3, 3, 1, 4, 16]", "f64"},
        {"f32[4, 3]", "f32[1, 3, 3, 4, 16]", "f32[1, 3, 3, 4, 16]"},
    };
    char text[TEXT];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text,
                 "module \"wrong\"\nfn @main(%%g: %s, %%k: %s) -> (%%u: f32[1]) {\n"
                 "  %%0 = winograd_kernel %%g, %%k : f32[1]\n  return %%0\n}\n",
                 cases[i].g, cases[i].k);
        check_refused(text, cases[i].message);
    }
}

/* ---- The pass ---- */

static void conv_text(const sizes *s, const char *attrs, const char *binding, char *text) {
    char y[64];
    snprintf(y, sizeof y, "f32[%d, %d, %d, %d]", s->images, s->features, s->rows + s->low[0] + s->high[0] - 2,
             s->columns + s->low[1] + s->high[1] - 2);
    snprintf(text, TEXT,
             "(%%x: f32[%d, %d, %d, %d], %%k: f32[%d, %d, 3, 3]%s) -> (%%y: %s) {\n"
             "  %%0 = conv %%x, %%k, low=[%d, %d], high=[%d, %d]%s : %s\n  return %%0\n}",
             s->images, s->channels, s->rows, s->columns, s->features, s->channels, binding, y, s->low[0], s->low[1],
             s->high[0], s->high[1], attrs, y);
}

/* tile of the winograd in the text after the pass; 0: there is none. */
static int chosen_tile(const char *function, const tn_compile_options *options) {
    char *text = program_stage(function, "winograd", options);
    const char *op = strstr(text, "= winograd"), *tile = op ? strstr(op, "tile=") : NULL;
    int result = tile ? (int)strtol(tile + 5, NULL, 10) : 0;
    tn_text_free(text);
    return result;
}

static void test_choices(void **state) {
    (void)state;
    static const sizes large = {1, 64, 64, 56, 56, {1, 1}, {1, 1}, 0}, small = {1, 512, 512, 7, 7, {1, 1}, {1, 1}, 0},
                       few = {1, 3, 64, 56, 56, {1, 1}, {1, 1}, 0}, smaller = {1, 512, 512, 6, 6, {1, 1}, {1, 1}, 0};
    char text[TEXT];
    conv_text(&large, "", " weight", text);
    assert_int_equal(chosen_tile(text, NULL), 4);
    assert_int_equal(chosen_tile(text, &(tn_compile_options){.winograd = "on"}), 4);
    assert_int_equal(chosen_tile(text, &(tn_compile_options){.winograd = "off"}), 0);
    assert_int_equal(chosen_tile(text, &(tn_compile_options){.hoist_growth = 3.9}), 2);
    assert_int_equal(chosen_tile(text, &(tn_compile_options){.hoist_growth = 1.5}), 0);
    conv_text(&small, "", " weight", text);
    assert_int_equal(chosen_tile(text, NULL), 2);
    conv_text(&smaller, "", " weight", text);
    assert_int_equal(chosen_tile(text, NULL), 2);
    conv_text(&few, "", " weight", text);
    assert_int_equal(chosen_tile(text, NULL), 0);
    conv_text(&large, "", "", text); /* not known at load time, but worth it */
    assert_int_equal(chosen_tile(text, NULL), 4);
    assert_int_equal(chosen_tile(text, &(tn_compile_options){.hoist_growth = 1.5}), 4); /* nothing is kept */
    assert_int_equal(chosen_tile(text, &(tn_compile_options){.winograd = "off"}), 0);
    conv_text(&small, "", "", text); /* the kernel is as much work as the convolution */
    assert_int_equal(chosen_tile(text, NULL), 0);
    sizes batch = small;
    batch.images = 32;
    conv_text(&batch, "", "", text);
    assert_int_equal(chosen_tile(text, NULL), 4);
    assert_int_equal(chosen_tile("(%x: f32[n, 64, 56, 56], %k: f32[64, 64, 3, 3]) -> (%y: f32[n, 64, 54, 54]) {\n"
                                 "  %0 = conv %x, %k : f32[n, 64, 54, 54]\n  return %0\n}",
                                 NULL),
                     0);
    static const char *const others[] = {
        "(%x: f32[1, 64, 57, 57], %k: f32[64, 64, 3, 3] weight) -> (%y: f32[1, 64, 28, 28]) {\n"
        "  %0 = conv %x, %k, stride=[2, 2] : f32[1, 64, 28, 28]\n  return %0\n}",
        "(%x: f32[1, 64, 56, 56], %k: f32[64, 64, 3, 3] weight) -> (%y: f32[1, 64, 52, 52]) {\n"
        "  %0 = conv %x, %k, dilation=[2, 2] : f32[1, 64, 52, 52]\n  return %0\n}",
        "(%x: f32[1, 128, 56, 56], %k: f32[64, 64, 3, 3] weight) -> (%y: f32[1, 64, 54, 54]) {\n"
        "  %0 = conv %x, %k, groups=2 : f32[1, 64, 54, 54]\n  return %0\n}",
        "(%x: f32[1, 64, h, 56], %k: f32[64, 64, 3, 3] weight) -> (%y: f32[1, 64, h - 2, 54]) {\n"
        "  %0 = conv %x, %k : f32[1, 64, h - 2, 54]\n  return %0\n}",
        "(%x: f64[1, 64, 56, 56], %k: f64[64, 64, 3, 3] weight) -> (%y: f64[1, 64, 54, 54]) {\n"
        "  %0 = conv %x, %k : f64[1, 64, 54, 54]\n  return %0\n}",
        "(%x: f32[1, 64, 56, 56], %k: f32[64, 64, 3, 1] weight) -> (%y: f32[1, 64, 54, 56]) {\n"
        "  %0 = conv %x, %k : f32[1, 64, 54, 56]\n  return %0\n}",
        /* Weights made of next to nothing stay that. */
        "(%x: f32[1, 64, 56, 56], %s: f32[1] weight) -> (%y: f32[1, 64, 54, 54]) {\n"
        "  %0 = broadcast %s, dims=[0], shape=[64, 64, 3, 3] : f32[64, 64, 3, 3]\n"
        "  %1 = conv %x, %0 : f32[1, 64, 54, 54]\n  return %1\n}",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_int_equal(chosen_tile(others[i], NULL), 0);
    tn_module *m = program_parse(others[0]);
    tn_diag diag = {0};
    assert_null(tn_compile_text(m, &(tn_compile_options){.winograd = "maybe"}, "winograd", NULL, &diag));
    assert_int_equal(diag.status, TN_ERR_ARGUMENT);
    tn_module_free(m);
}

/* Runs the program on in[0] and in[1], which may be its weight. */
static eval_tensor run(tn_program *p, eval_tensor *in, bool is_weight, tn_pool *pool) {
    tn_tensor x[2], y = {0};
    for (int i = 0; i < 2; i++) x[i] = tn_tensor_of(TN_F32, in[i].data, in[i].rank, in[i].dims);
    tn_diag diag = {0};
    if (is_weight && tn_program_set_weights(p, &(const char *){"k"}, &x[1], 1, &diag) != TN_OK)
        fail_msg("%s", diag.message);
    tn_exec *e = tn_exec_new(p, &(tn_exec_options){.pool = pool});
    assert_non_null(e);
    if (tn_exec_run(e, x, is_weight ? 1 : 2, &y, 1) != TN_OK) fail_msg("%s", tn_exec_error(e)->message);
    eval_tensor copy = tensor_view(TN_F32, y.rank, y.shape, NULL);
    copy.data = malloc((size_t)copy.n * sizeof(float) + 1);
    assert_non_null(copy.data);
    memcpy(copy.data, y.data, (size_t)copy.n * sizeof(float));
    tn_exec_free(e);
    return copy;
}

/* Results by the pass are the interpreter's conv to within `bound` of the largest,
 * and the same bits with two threads. */
static void check_text(const char *text, bool is_weight, int tile, double bound) {
    if (chosen_tile(text, NULL) != tile) fail_msg("not tile %d: %s", tile, text);
    tn_module *m = program_parse(text);
    tn_graph *g = module_main(m);
    eval_tensor in[2], want[1] = {{0}};
    tn_diag diag = {0};
    for (int i = 0; i < 2; i++) open_tensor(m, &g->params[i].type, &in[i], true);
    if (eval_graph(g, in, want, NULL, &diag) != TN_OK) fail_msg("%s", diag.message);
    tn_program *p = tn_compile_module(m, NULL);
    if (!p) fail_msg("%s\n%s", tn_module_error(m)->message, text);
    tn_pool *pool = tn_pool_new(2);
    eval_tensor got = run(p, in, is_weight, NULL), threaded = run(p, in, is_weight, pool);
    double greatest = 0, worst = 0;
    for (int64_t k = 0; k < got.n; k++) {
        greatest = fmax(greatest, fabs(eval_load_float(want, k)));
        worst = fmax(worst, fabs(eval_load_float(want, k) - eval_load_float(&got, k)));
    }
    if (!(worst <= bound * greatest)) fail_msg("an error of %.3g of the largest\n%s", worst / greatest, text);
    assert_memory_equal(got.data, threaded.data, (size_t)got.n * sizeof(float));
    free(got.data);
    free(threaded.data);
    eval_tensor_free(want);
    for (int i = 0; i < 2; i++) free(in[i].data);
    tn_pool_free(pool);
    tn_program_free(p);
    tn_module_free(m);
}

static void check_pass(const sizes *s, int tile, double bound) {
    char text[TEXT];
    conv_text(s, "", " weight", text);
    check_text(text, true, tile, bound);
}

static void test_pass(void **state) {
    (void)state;
    check_pass(&(sizes){1, 64, 64, 56, 56, {1, 1}, {1, 1}, 0}, 4, 4e-6);
    check_pass(&(sizes){1, 128, 128, 28, 28, {1, 1}, {1, 1}, 0}, 4, 5e-6);
    check_pass(&(sizes){1, 256, 256, 14, 14, {1, 1}, {1, 1}, 0}, 4, 7e-6);
    check_pass(&(sizes){1, 512, 64, 7, 7, {1, 1}, {1, 1}, 0}, 2, 3e-6);
    check_pass(&(sizes){1, 512, 96, 14, 14, {1, 1}, {1, 1}, 0}, 4, 1e-5);
    check_pass(&(sizes){2, 32, 64, 13, 15, {0, 0}, {0, 0}, 0}, 4, 3e-6);
    check_pass(&(sizes){4, 24, 48, 33, 31, {1, 0}, {0, 1}, 0}, 4, 3e-6);
    check_pass(&(sizes){16, 64, 64, 8, 8, {1, 1}, {1, 1}, 0}, 4, 4e-6);
    check_pass(&(sizes){32, 128, 48, 4, 4, {1, 1}, {1, 1}, 0}, 4, 4e-6);
}

/* The gradient of an input: the kernel, known at run time alone, reversed and with its channels exchanged,
 * is read so by what transforms it. */
static void test_run_time_kernel(void **state) {
    static const char text[] = "(%dy: f32[16, 32, 12, 12], %k: f32[32, 32, 3, 3]) -> (%dx: f32[16, 32, 12, 12]) {\n"
                               "  %0 = reverse %k, axes=[2, 3] : f32[32, 32, 3, 3]\n"
                               "  %1 = transpose %0, perm=[1, 0, 2, 3] : f32[32, 32, 3, 3]\n"
                               "  %2 = conv %dy, %1, low=[1, 1], high=[1, 1] : f32[16, 32, 12, 12]\n  return %2\n}";
    (void)state;
    char *fused = program_stage(text, "fuse", NULL), *last = fused;
    int kernels = 0;
    while ((last = strstr(last, "kernel fn"))) {
        last++;
        kernels++;
    }
    if (kernels != 2 || !strstr(fused, "= winograd ")) fail_msg("%s", fused);
    tn_text_free(fused);
    check_text(text, false, 4, 4e-6);
}

/* In a loop too: there a kernel counts as known at run time alone. */
static void test_in_loop(void **state) {
    static const char text[] =
        "(%x: f32[3, 8, 16, 12, 12], %k: f32[16, 16, 3, 3] weight) -> (%y: f32[16, 16, 3, 3], %z: f32[3, 8, 16, 12, "
        "12]) "
        "{\n  %0, %1 = scan %k, %x, body=@body, carried=1, length=3 : f32[16, 16, 3, 3], f32[3, 8, 16, 12, 12]\n"
        "  return %0, %1\n}\n"
        "fn @body(%k: f32[16, 16, 3, 3], %x: f32[8, 16, 12, 12]) -> (%n: f32[16, 16, 3, 3], %y: f32[8, 16, 12, 12]) {\n"
        "  %0 = conv %x, %k, low=[1, 1], high=[1, 1] : f32[8, 16, 12, 12]\n  %1 = neg %k : f32[16, 16, 3, 3]\n"
        "  return %1, %0\n}\n";
    (void)state;
    assert_int_equal(chosen_tile(text, NULL), 4);
    assert_int_equal(chosen_tile(text, &(tn_compile_options){.winograd = "off"}), 0);
    check_program(text, "", NULL, ANY_NUMBERS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_op),           cmocka_unit_test(test_views),           cmocka_unit_test(test_kernel),
        cmocka_unit_test(test_kernel_views), cmocka_unit_test(test_loops),           cmocka_unit_test(test_targets),
        cmocka_unit_test(test_wrong),        cmocka_unit_test(test_wrong_kernel),    cmocka_unit_test(test_choices),
        cmocka_unit_test(test_pass),         cmocka_unit_test(test_run_time_kernel), cmocka_unit_test(test_in_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
