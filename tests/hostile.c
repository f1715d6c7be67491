/* Every allocation of Tenon's own failing in turn: reading, compiling, running.
 *
 * law: the call that met the failure says TN_ERR_MEMORY (or NULL, where that is its way to), nothing
 *      crashes, nothing leaks (the sanitizer tells), and the same call made again succeeds.
 *
 * Needs the build in which allocations can be made to fail (make MALLOC=hostile). A module keeps its error, so
 * it is read anew for each failure.
 */
#include "frontends/data/csv.h"
#include "ir/diff.h"
#include "ir/graphviz.h"
#include "runtime/alloc.h"
#include "tenon_aot.h"
#include "tenon_data.h"
#include "tenon_fit.h"
#include "tenon_onnx.h"
#include "tests/lib/cache_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#ifdef TN_HOSTILE_MALLOC

static const char text[] =
    "module \"hostile\"\n"
    "fn @main(%x: f32[n, 4], %w: f32[4, 3] weight, %c: bool[]) -> (%p: f32[n, 3], %s: f32[n, 4], %v: f32[1, 2, 3, 3], "
    "%a: f32[n, 4]) "
    "{\n"
    "  %0 = dot %x, %w, contract=[1]x[0] : f32[n, 3]\n"
    "  %1 = softmax %0, axis=1 : f32[n, 3]\n"
    "  %2 = if %c, %1, %w, then=@turn, otherwise=@same, symbols=[n, n] : f32[n, 3]\n"
    "  %7 = dot %x, %x, contract=[1]x[1] : f32[n, n]\n"
    "  %8 = softmax %7, axis=1 : f32[n, n]\n"
    "  %9 = dot %8, %x, contract=[1]x[0] : f32[n, 4]\n"
    "  %3 = sort %x, axis=1 : f32[n, 4]\n"
    "  %4 = constant value=f32[1, 1, 4, 4] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} : f32[1, 1, 4, 4]\n"
    "  %5 = reshape %w, shape=[2, 1, 2, 3] : f32[2, 1, 2, 3]\n"
    "  %6 = conv %4, %5, low=[0, 1], high=[0, 0] : f32[1, 2, 3, 3]\n"
    "  return %2, %3, %6, %9\n"
    "}\n"
    "fn @turn(%v: f32[k, 3], %u: f32[4, 3]) -> (%w: f32[k, 3]) {\n" /* neg %u is lifted out */
    "  %0 = neg %u : f32[4, 3]\n"
    "  %1 = slice %0, start=[0, 0], limit=[1, 3] : f32[1, 3]\n"
    "  %2 = broadcast %1, dims=[0, 1], shape=[k, 3] : f32[k, 3]\n"
    "  %3 = add %v, %2 : f32[k, 3]\n"
    "  return %3\n"
    "}\n"
    "fn @same(%v: f32[k, 3], %u: f32[4, 3]) -> (%w: f32[k, 3]) { return %v }\n";

static const float weight[12] = {1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12};

/* What a test goes through: a call, from the fixture that `prepare` makes before allocations fail. */
typedef struct act {
    void *(*prepare)(const char *name);
    tn_status (*call)(void *fixture, const char *name, char *message, size_t capacity);
    void (*release)(void *fixture);
    const char *name;
} act;

/* The status of the call with allocation `nth` failing, and how many it made. */
static tn_status act_once(const act *a, uint64_t nth, bool sticky, uint64_t *made, char *message, size_t capacity) {
    void *fixture = a->prepare ? a->prepare(a->name) : NULL;
    tn_malloc_fail_at(nth, sticky);
    tn_status status = a->call(fixture, a->name, message, capacity);
    *made = tn_malloc_fail_at(UINT64_MAX, false);
    if (a->release) a->release(fixture);
    return status;
}

static void fail_in_turn(const act *a) {
    char message[256] = "";
    uint64_t total, made, n_wrong = 0, n_tried = 0;
    tn_status status = act_once(a, UINT64_MAX, false, &total, message, sizeof message);
    if (status != TN_OK) fail_msg("%s: %s: %s", a->name, tn_status_name(status), message);
    assert_true(total > 0);
    for (uint64_t nth = 0; nth < total; nth++)
        for (int sticky = 0; sticky < 2; sticky++, n_tried++) {
            message[0] = '\0';
            status = act_once(a, nth, sticky, &made, message, sizeof message);
            if (status == TN_ERR_MEMORY || made <= nth) continue; /* or it was not reached this time */
            print_error("%s: allocation %d of %d%s: %s: %s\n", a->name, (int)nth, (int)total, sticky ? " and on" : "",
                        tn_status_name(status), message);
            n_wrong++;
        }
    status = act_once(a, UINT64_MAX, false, &made, message, sizeof message);
    if (status != TN_OK) fail_msg("%s: made again: %s: %s", a->name, tn_status_name(status), message);
    print_message("# %s: %d allocations, %d failures\n", a->name, (int)total, (int)n_tried);
    assert_int_equal(n_wrong, 0);
}

static tn_status module_status(const tn_module *m, char *message, size_t capacity) {
    if (!m) return TN_ERR_MEMORY;
    const tn_diag *error = tn_module_error(m);
    if (error) snprintf(message, capacity, "%s", error->message);
    return error ? error->status : TN_OK;
}

/* ---- Reading ---------------------------------------------------------------------------------------- */

static tn_status load(void *fixture, const char *name, char *message, size_t capacity) {
    (void)fixture;
    tn_module *m = tn_onnx_load(name, NULL);
    tn_status status = module_status(m, message, capacity);
    tn_module_free(m);
    return status;
}

static void test_import(void **state) {
    (void)state;
    static const char *const paths[] = {
        "build/models/mtcnn_rnet.onnx",
        "/usr/share/libonnx-testdata/data/node/test_softmax_axis_1/model.onnx",
        "/usr/share/libonnx-testdata/data/node/test_basic_conv_with_padding/model.onnx",
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (access(paths[i], R_OK) == 0) fail_in_turn(&(act){.call = load, .name = paths[i]});
}

static tn_status parse(void *fixture, const char *name, char *message, size_t capacity) {
    (void)fixture;
    tn_module *m = tn_module_parse(text, sizeof text - 1, name);
    tn_status status = module_status(m, message, capacity);
    tn_module_free(m);
    return status;
}

static void test_parse(void **state) {
    (void)state;
    fail_in_turn(&(act){.call = parse, .name = "parse"});
}

/* ---- Compiling -------------------------------------------------------------------------------------- */

static void *read_text(const char *name) { return tn_module_parse(text, sizeof text - 1, name); }
static void *read_model(const char *name) { return tn_onnx_load(name, NULL); }
static void release_module(void *fixture) { tn_module_free(fixture); }

static tn_status compile(void *fixture, const char *name, char *message, size_t capacity) {
    (void)name;
    tn_program *p = tn_compile_module(fixture, NULL);
    tn_status status = module_status(fixture, message, capacity);
    if (!p && status == TN_OK) fail_msg("%s: no program and no error", name);
    tn_program_free(p);
    return status;
}

/* Through a product, a branch, a loop with a call in it, indexing; differentiated twice. */
static const char steps[] = "module \"steps\"\n"
                            "fn @main(%x: f64[n, 2], %c: bool[], %w: f64[2, 2]) -> (%loss: f64[]) {\n"
                            "  %0, %1 = scan %w, %x, body=@step, carried=1, length=n\n"
                            "  %2 = if %c, %1, then=@all, otherwise=@first, symbols=[n, n]\n"
                            "  %3 = gelu %2\n"
                            "  %4 = mul %3, %2\n"
                            "  return %4\n"
                            "}\n"
                            "fn @step(%w: f64[2, 2], %x: f64[2]) -> (%w1: f64[2, 2], %y: f64[2]) {\n"
                            "  %0 = dot %x, %w, contract=[0]x[0]\n"
                            "  %1 = softmax %0, axis=0\n"
                            "  return %w, %1\n"
                            "}\n"
                            "fn @all(%y: f64[k, 2]) -> (%s: f64[]) {\n"
                            "  %0 = reduce %y, axes=[0, 1], kind=max\n"
                            "  return %0\n"
                            "}\n"
                            "fn @first(%y: f64[m, 2]) -> (%s: f64[]) {\n"
                            "  %0 = constant value=i64[2] {0, 1}\n"
                            "  %1 = gather %y, %0, axes=[0, 1]\n"
                            "  return %1\n"
                            "}\n";

static void *read_steps(const char *name) { return tn_module_parse(steps, sizeof steps - 1, name); }

static tn_status differentiate(void *fixture, const char *name, char *message, size_t capacity) {
    (void)name;
    tn_graph *f = tn_module_main(fixture);
    tn_graph *grad = tn_value_and_grad(f, TN_INTS(0, 2)), *forward = tn_jvp(f, TN_INTS(0, 2));
    tn_graph *twice = tn_hvp(f, TN_INTS(2));
    tn_status status = module_status(fixture, message, capacity);
    if ((!grad || !forward || !twice) && status == TN_OK) fail_msg("%s: no function and no error", name);
    if (status != TN_OK) return status;
    tn_module *own = tn_function_module(twice);
    status = module_status(own, message, capacity);
    tn_module_free(own);
    return status;
}

static void test_gradients(void **state) {
    (void)state;
    fail_in_turn(&(act){read_steps, differentiate, release_module, "gradients"});
}

static void test_compile(void **state) {
    (void)state;
    static const char path[] = "/usr/share/libonnx-testdata/data/node/test_softmax_axis_1/model.onnx";
    fail_in_turn(&(act){read_text, compile, release_module, "compile"});
    if (access(path, R_OK) == 0) fail_in_turn(&(act){read_model, compile, release_module, path});
}

/* The cache wants no memory that a compilation could not do without: a program, or TN_ERR_MEMORY, and no entry is taken
 * for a damaged one. Returns the number of allocations. */
static uint64_t compile_cached(uint64_t nth, bool sticky) {
    cached_compilation c;
    cached_compilation_begin(&c);
    tn_module *m = read_text("cache");
    tn_malloc_fail_at(nth, sticky);
    tn_program *p = tn_compile_module(m, &c.options);
    uint64_t made = tn_malloc_fail_at(UINT64_MAX, false);
    if (!p) assert_int_equal(tn_module_error(m)->status, TN_ERR_MEMORY);
    assert_int_equal(c.n_warnings, 0);
    tn_program_free(p);
    tn_module_free(m);
    return made;
}

static void test_cache(void **state) {
    (void)state;
    char folder[64];
    tn_cache_info info;
    cache_folder_make(folder);
    uint64_t stored = compile_cached(UINT64_MAX, false), loaded = compile_cached(UINT64_MAX, false);
    assert_true(loaded > 0 && loaded < stored);
    for (uint64_t nth = 0; nth < loaded; nth++)
        for (int sticky = 0; sticky < 2; sticky++) compile_cached(nth, sticky);
    for (uint64_t nth = 0; nth < stored; nth++) {
        tn_cache_clear(&info, NULL);
        compile_cached(nth, nth % 2);
    }
    tn_cache_clear(&info, NULL);
    assert_true(compile_cached(UINT64_MAX, false) > loaded);
    assert_int_equal(compile_cached(UINT64_MAX, false), loaded);
    cache_folder_drop(folder);
}

static tn_status export(void *fixture, const char *name, char *message, size_t capacity) {
    (void)name;
    tn_diag diag = {.status = TN_OK};
    void *bytes;
    size_t n;
    tn_status status = tn_onnx_write_memory(fixture, &bytes, &n, NULL, &diag);
    snprintf(message, capacity, "%s", diag.message);
    tn_onnx_free(bytes);
    return status;
}

static void test_export(void **state) {
    (void)state;
    static const char path[] = "build/models/mtcnn_rnet.onnx";
    fail_in_turn(&(act){read_text, export, release_module, "export"});
    if (access(path, R_OK) == 0) fail_in_turn(&(act){read_model, export, release_module, path});
}

/* The stages' texts: graph, loop trees, LLVM. */
static tn_status print_stage(void *fixture, const char *name, char *message, size_t capacity) {
    tn_diag diag = {.status = TN_OK};
    char *stage = tn_compile_text(fixture, NULL, name, NULL, &diag);
    snprintf(message, capacity, "%s", diag.message);
    if (!stage && diag.status == TN_OK) fail_msg("%s: no text and no error", name);
    tn_text_free(stage);
    return diag.status;
}

/* What training makes of convolutions: by Winograd's algorithm and not, strided, each channel by itself. */
static const char convolutions[] =
    "module \"convolutions\"\n"
    "fn @main(%x: f32[8, 32, 8, 8], %k: f32[32, 32, 3, 3], %dy: f32[8, 32, 4, 4])\n"
    "  -> (%y: f32[8, 32, 8, 8], %g: f32[32, 32, 3, 3], %h: f32[32, 32, 3, 3], %d: f32[32, 1, 3, 3],\n"
    "      %dx: f32[8, 32, 8, 8]) {\n"
    "  %0 = conv %x, %k, low=[1, 1], high=[1, 1] : f32[8, 32, 8, 8]\n"
    "  %1 = conv_weights %x, %0, window=[3, 3], low=[1, 1] : f32[32, 32, 3, 3]\n"
    "  %2 = conv_weights %x, %dy, window=[3, 3], low=[1, 1], stride=[2, 2] : f32[32, 32, 3, 3]\n"
    "  %3 = conv_weights %x, %0, window=[3, 3], low=[1, 1], groups=32 : f32[32, 1, 3, 3]\n"
    "  %4 = reverse %k, axes=[2, 3] : f32[32, 32, 3, 3]\n"
    "  %5 = conv %dy, %4, low=[1, 1], high=[2, 2], input_dilation=[2, 2] : f32[8, 32, 8, 8]\n"
    "  return %0, %1, %2, %3, %5\n"
    "}\n";

static void *read_convolutions(const char *name) {
    return tn_module_parse(convolutions, sizeof convolutions - 1, name);
}

static void test_stages(void **state) {
    (void)state;
    fail_in_turn(&(act){read_text, print_stage, release_module, "loops"});
    fail_in_turn(&(act){read_convolutions, print_stage, release_module, "loops"});
    fail_in_turn(&(act){read_text, print_stage, release_module, "plan"});
    fail_in_turn(&(act){read_text, print_stage, release_module, "llvm"});
}

/* ---- Looking at stages ------------------------------------------------------------------------------ */

typedef struct two_stages {
    tn_module *before, *after;
} two_stages;

static void *read_stages(const char *name) {
    two_stages *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->before = read_text(name);
    char *fused = tn_compile_text(s->before, NULL, "fuse", NULL, NULL);
    assert_non_null(fused);
    s->after = tn_module_parse(fused, strlen(fused), "fused.tn");
    assert_null(tn_module_error(s->after));
    tn_text_free(fused);
    return s;
}

static void release_stages(void *fixture) {
    two_stages *s = fixture;
    tn_module_free(s->before);
    tn_module_free(s->after);
    free(s);
}

static tn_status differ(void *fixture, const char *name, char *message, size_t capacity) {
    const two_stages *s = fixture;
    module_diff d;
    text_buffer b = {0};
    (void)message;
    (void)capacity;
    bool ok = module_diff_make(&d, s->before, s->after);
    if (ok) text_module_diff(&b, &d, name);
    ok = ok && !b.failed;
    tn_free(b.text);
    module_diff_free(&d);
    return ok ? TN_OK : TN_ERR_MEMORY;
}

static tn_status draw(void *fixture, const char *name, char *message, size_t capacity) {
    const two_stages *s = fixture;
    (void)name;
    (void)message;
    (void)capacity;
    char *drawn = module_graphviz(s->after);
    tn_text_free(drawn);
    return drawn ? TN_OK : TN_ERR_MEMORY;
}

static tn_status export_kernels(void *fixture, const char *name, char *message, size_t capacity) {
    const two_stages *s = fixture;
    void *bytes;
    size_t n;
    tn_diag diag = {0};
    (void)name;
    tn_status status = tn_onnx_write_memory(s->after, &bytes, &n, NULL, &diag);
    snprintf(message, capacity, "%s", diag.message);
    tn_onnx_free(bytes);
    return status;
}

static void test_looking_at_stages(void **state) {
    (void)state;
    fail_in_turn(&(act){read_stages, differ, release_stages, "diff"});
    fail_in_turn(&(act){read_stages, draw, release_stages, "draw"});
    fail_in_turn(&(act){read_stages, export_kernels, release_stages, "export"});
}

/* ---- Ahead of time ---------------------------------------------------------------------------------- */

static const char step_text[] = "module \"step\"\n"
                                "fn @main(%x: f32[n, 2], %w: f32[2] weight {1, 2}, %sum: f32[2] state, %rate: f32[])\n"
                                "    -> (%next: f32[2] updates %sum, %y: f32[n]) {\n"
                                "  %e = neg %w\n"
                                "  %y = dot %x, %e, contract=[1]x[0]\n"
                                "  %r = broadcast %rate, dims=[], shape=[2]\n"
                                "  %next = add %sum, %r\n"
                                "  return %next, %y\n"
                                "}\n";

static void *read_step(const char *name) { return tn_module_parse(step_text, sizeof step_text - 1, name); }

static tn_status compile_ahead(void *fixture, const char *name, char *message, size_t capacity) {
    float first[] = {3, 4};
    tn_aot_state states[] = {{"sum", TN_TENSOR(TN_F32, first, 2)}};
    tn_symbol_value sizes[] = {{"n", 4}};
    bool is_fixed = strcmp(name, "fixed") == 0;
    tn_aot_options options = {.verb = "step",
                              .states = states,
                              .n_states = 1,
                              .sizes = sizes,
                              .n_sizes = is_fixed,
                              .weights_in_file = is_fixed};
    tn_aot aot;
    tn_diag diag;
    tn_status status = tn_compile_aot(fixture, &options, &aot, &diag);
    snprintf(message, capacity, "%s", diag.message);
    tn_aot_free(&aot);
    return status;
}

static void test_ahead_of_time(void **state) {
    (void)state;
    fail_in_turn(&(act){read_step, compile_ahead, release_module, "sizes"});
    fail_in_turn(&(act){read_step, compile_ahead, release_module, "fixed"});
}

static tn_status compile_described(void *fixture, const char *name, char *message, size_t capacity) {
    static const char path[] = "/tmp/tenon-hostile.loops.tn";
    (void)name;
    tn_program *p = tn_compile_module(fixture, &(tn_compile_options){.debug_info = path, .debug_lines = "source"});
    tn_status status = module_status(fixture, message, capacity);
    if (!p && status == TN_OK) fail_msg("%s: no program and no error", name);
    tn_program_free(p);
    unlink(path);
    return status;
}

static void test_debug_info(void **state) {
    (void)state;
    fail_in_turn(&(act){read_step, compile_described, release_module, "debug information"});
}

/* ---- Training --------------------------------------------------------------------------------------- */

static tn_model *describe_model(void) {
    tn_model *m = tn_model_new("hostile", NULL);
    tn_val x = tn_model_input(m, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(4), TN_SIZE(6)));
    tn_val t = tn_model_target(m, "t", TN_I32, TN_SHAPE(TN_DIM("n")));
    tn_val h = tn_nn_batch_norm(m, tn_nn_conv1d(m, x, .filters = 4, .kernel = {3}, .padding = "same"));
    h = tn_nn_dropout(m, tn_nn_lstm(m, h, .units = 3, .last_only = true), .rate = 0.5);
    h = tn_nn_dense(m, h, .units = 3, .kernel_init = {"orthogonal", 0}, .activation = "gelu");
    tn_model_output(m, "y", h);
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", h, t));
    tn_model_metric(m, "accuracy", h, t);
    return m;
}

static tn_status model_status(const tn_model *m, char *message, size_t capacity) {
    const tn_diag *error = tn_model_error(m);
    if (error) snprintf(message, capacity, "%s", error->message);
    return !m ? TN_ERR_MEMORY : error ? error->status : TN_OK;
}

static tn_status describe(void *fixture, const char *name, char *message, size_t capacity) {
    (void)fixture, (void)name;
    tn_model *m = describe_model();
    tn_status status = model_status(m, message, capacity);
    if (status == TN_OK) {
        char *summary = tn_model_summary(m);
        if (!summary) status = TN_ERR_MEMORY;
        tn_text_free(summary);
    }
    tn_model_free(m);
    return status;
}

static void *make_model(const char *name) {
    (void)name;
    return describe_model();
}

static void release_model(void *fixture) { tn_model_free(fixture); }

static tn_status infer(void *fixture, const char *name, char *message, size_t capacity) {
    (void)name;
    tn_diag diag = {.status = TN_OK};
    tn_status status = tn_model_initialise(fixture, 1, &diag);
    tn_module *m = status == TN_OK ? tn_model_inference(fixture, NULL, &diag) : NULL;
    snprintf(message, capacity, "%s", diag.message);
    if (!m && diag.status == TN_OK) fail_msg("%s: no module and no error", name);
    tn_module_free(m);
    return diag.status;
}

static tn_status prepare_training(void *fixture, const char *name, char *message, size_t capacity) {
    tn_diag diag = {.status = TN_OK};
    tn_trainer_options options = {.optimizer = tn_optimizer_of("adafactor", 0.1), .accumulate = 2, .ema_decay = 0.5};
    tn_trainer *t = tn_trainer_new(fixture, &options, &diag);
    snprintf(message, capacity, "%s", diag.message);
    if (!t && diag.status == TN_OK) fail_msg("%s: no trainer and no error", name);
    tn_trainer_free(t);
    return diag.status;
}

static tn_trainer *same_trainer;
static void *take_trainer(const char *name) {
    (void)name;
    return same_trainer;
}

static tn_status save_and_load(void *fixture, const char *name, char *message, size_t capacity) {
    (void)name;
    tn_diag diag = {.status = TN_OK};
    char path[64];
    snprintf(path, sizeof path, "/tmp/tenon-hostile-%d.safetensors", (int)getpid());
    tn_status status = tn_trainer_save(fixture, path, NULL, 0, &diag);
    if (status == TN_OK) status = tn_trainer_load(fixture, path, &diag);
    snprintf(message, capacity, "%s", diag.message);
    unlink(path);
    return status;
}

static void *make_classifier(const char *name) {
    tn_graph *g = tn_graph_new(name);
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(4)));
    tn_val w = tn_weight(g, "w", TN_F32, TN_SHAPE(TN_SIZE(4), TN_SIZE(3)), weight);
    tn_output(g, "p", tn_softmax(tn_matmul(x, w), 1));
    return tn_graph_module(g);
}

static tn_status import_model(void *fixture, const char *name, char *message, size_t capacity) {
    tn_diag diag = {.status = TN_OK};
    tn_model *m = tn_model_from_module(fixture, &(tn_model_import){.loss = "sparse_cross_entropy"}, &diag);
    snprintf(message, capacity, "%s", diag.message);
    if (!m && diag.status == TN_OK) fail_msg("%s: no model and no error", name);
    tn_model_free(m);
    return diag.status;
}

static void test_training(void **state) {
    (void)state;
    fail_in_turn(&(act){make_classifier, import_model, release_module, "a model of a module"});
    fail_in_turn(&(act){NULL, describe, NULL, "describe"});
    fail_in_turn(&(act){make_model, infer, release_model, "infer"});
    fail_in_turn(&(act){make_model, prepare_training, release_model, "prepare training"});
    tn_model *m = describe_model();
    same_trainer = tn_trainer_new(m, NULL, NULL);
    assert_non_null(same_trainer);
    fail_in_turn(&(act){take_trainer, save_and_load, NULL, "save and load"});
    tn_trainer_free(same_trainer);
    tn_model_free(m);
}

/* ---- Running ---------------------------------------------------------------------------------------- */

static void *make_program(const char *name) {
    tn_module *m = read_text(name);
    tn_program *p = tn_compile_module(m, NULL);
    if (!p) fail_msg("%s", tn_module_error(m)->message);
    tn_module_free(m);
    return p;
}

static void *same_program;
static void *take_program(const char *name) {
    (void)name;
    return same_program;
}

static tn_status run(void *fixture, const char *name, char *message, size_t capacity) {
    (void)name;
    static float x[2][4] = {{3, 1, 2, 0}, {5, 4, 7, 6}};
    static bool c = true;
    tn_tensor inputs[2] = {tn_tensor_strided(TN_F32, x, 2, (int64_t[]){2, 4}, (int64_t[]){4, 1}),
                           tn_tensor_strided(TN_BOOL, &c, 0, NULL, NULL)};
    tn_tensor outputs[4] = {{0}},
              w = tn_tensor_strided(TN_F32, (void *)weight, 2, (int64_t[]){4, 3}, (int64_t[]){3, 1});
    const char *weight_name = "w";
    tn_diag diag = {.status = TN_OK};
    tn_status status = tn_program_set_weights(fixture, &weight_name, &w, 1, &diag);
    snprintf(message, capacity, "%s", diag.message);
    if (status != TN_OK) return status;
    tn_exec *e = tn_exec_new(fixture, NULL);
    if (!e) return TN_ERR_MEMORY;
    status = tn_exec_run(e, inputs, 2, outputs, 4);
    if (status != TN_OK) snprintf(message, capacity, "%s", tn_exec_error(e)->message);
    if (status == TN_OK) {
        static const float sorted[2][4] = {{0, 1, 2, 3}, {4, 5, 6, 7}};
        assert_memory_equal(outputs[1].data, sorted, sizeof sorted);
    }
    tn_exec_free(e);
    return status;
}

static void test_run(void **state) {
    (void)state;
    same_program = make_program("run");
    fail_in_turn(&(act){take_program, run, NULL, "run"});
    tn_program_free(same_program);
}

/* ---- Data ------------------------------------------------------------------------------------------- */

/* What a call left behind: the rest of it is skipped. */
static tn_status told(tn_status status, const tn_diag *diag, char *message, size_t capacity) {
    if (status != TN_OK) snprintf(message, capacity, "%s", diag->message);
    return status;
}

static float numbers[6] = {1, 2, 3, 4, 5, 6};
static char data_path[64], data_folder[72];

/* Writes and reads a file of tensors, one of which is strided. */
static tn_status tensor_file(void *fixture, const char *name, char *message, size_t capacity) {
    (void)fixture;
    const tn_named_tensor tensors[] = {
        {"a", TN_TENSOR(TN_F32, numbers, 6)},
        {"b", tn_tensor_strided(TN_F32, numbers, 2, (int64_t[]){3, 2}, (int64_t[]){1, 3})}};
    const tn_metadata note = {"key", "value"};
    bool is_npz = strcmp(name, "npz") == 0;
    tn_diag diag = {.status = TN_OK};
    tn_archive *archive = NULL;
    tn_status status = is_npz ? tn_npz_write(data_path, tensors, 2, true, &diag)
                              : tn_safetensors_write(data_path, tensors, 2, &note, 1, &diag);
    if (status == TN_OK)
        status = is_npz ? tn_npz_open(data_path, &archive, &diag) : tn_safetensors_open(data_path, &archive, &diag);
    if (status == TN_OK) assert_memory_equal(tn_archive_find(archive, "a")->data, numbers, sizeof numbers);
    tn_archive_free(archive);
    return told(status, &diag, message, capacity);
}

/* Reads a table, cuts it in two and takes batches from the larger part. */
static tn_status batches(void *fixture, const char *name, char *message, size_t capacity) {
    (void)fixture, (void)name;
    static const char table[] = "a,b,y\n1,2,0\n3,4,1\n5,6,0\n7,8,1\n";
    tn_diag diag = {.status = TN_OK};
    tn_dataset *all, *training = NULL, *validation = NULL;
    tn_loader *l = NULL;
    tn_batch batch;
    tn_status status = csv_parse(table, sizeof table - 1, &(tn_csv_options){.label = -1}, &all, &diag);
    if (status == TN_OK) status = tn_dataset_convert(all, "y", TN_F32, 0, 1, &diag);
    if (status == TN_OK) status = tn_dataset_split(all, &(tn_split_options){.count = 1}, &training, &validation, &diag);
    if (status == TN_OK)
        status = tn_loader_new(training, &(tn_loader_options){.batch_size = 2, .no_prefetch = true}, &l, &diag);
    for (int i = 0; status == TN_OK && i < 4; i++) status = tn_loader_next(l, &batch, &diag);
    tn_loader_free(l);
    tn_dataset_free(training);
    tn_dataset_free(validation);
    tn_dataset_free(all);
    return told(status, &diag, message, capacity);
}

static tn_status events(void *fixture, const char *name, char *message, size_t capacity) {
    (void)fixture, (void)name;
    static const tn_event_node node = {.name = "a", .op = "param"};
    tn_tensor values = tn_tensor_strided(TN_F32, numbers, 2, (int64_t[]){3, 2}, (int64_t[]){1, 3});
    tn_diag diag = {.status = TN_OK};
    tn_event_writer *w;
    tn_status status = tn_event_writer_new(data_folder, &w, &diag);
    if (status == TN_OK) status = tn_event_scalar(w, "loss", 1, 2, &diag);
    if (status == TN_OK) status = tn_event_histogram(w, "h", 1, &values, &diag);
    if (status == TN_OK) status = tn_event_image(w, "p", 1, &values, &diag);
    if (status == TN_OK) status = tn_event_text(w, "t", 1, "text", &diag);
    if (status == TN_OK) status = tn_event_graph(w, &node, 1, &diag);
    told(status, &diag, message, capacity);
    if (w) unlink(tn_event_writer_path(w));
    tn_event_writer_close(w, NULL);
    rmdir(data_folder);
    return status;
}

static void test_data(void **state) {
    (void)state;
    snprintf(data_path, sizeof data_path, "/tmp/tenon-hostile-%ld", (long)getpid());
    snprintf(data_folder, sizeof data_folder, "%s-events", data_path);
    fail_in_turn(&(act){.call = tensor_file, .name = "safetensors"});
    fail_in_turn(&(act){.call = tensor_file, .name = "npz"});
    fail_in_turn(&(act){.call = batches, .name = "batches"});
    fail_in_turn(&(act){.call = events, .name = "events"});
    assert_int_equal(unlink(data_path), 0);
    assert_int_equal(access(data_folder, F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_import),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_compile),
        cmocka_unit_test(test_export),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_looking_at_stages),
        cmocka_unit_test(test_ahead_of_time),
        cmocka_unit_test(test_debug_info),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_data),
    };
    return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}

#else

static void test_hostile(void **state) {
    (void)state;
    print_message("# SKIP hostile allocator build\n");
    skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile)};
    return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}

#endif
