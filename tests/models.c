/* Real models: what ONNX Runtime answered (tests/models/cases.txt), the interpreter, and compiled code agree.
 *
 * For every case: its model is compiled once for all of its cases, run with one and with two threads, which give
 * the same bits, and each output is what was recorded; compiled ahead of time and linked with a plain C program
 * (aot_run.h), it gives these bits too. Where interpreting takes reasonable time the interpreter
 * says the same, to within 1e-5 of the sum of absolute terms and 1e-3 of the largest element; with TN_LONG=1 always.
 * With TN_MACHINE=aarch64 in the environment that machine (object_run.h) says what was recorded.
 * Models that are not in build/models are skipped, by name.
 */
#include "tests/lib/cases.h"

#include "runtime/alloc.h"
#include "tenon.h"
#include "tenon_onnx.h"
#include "tests/lib/aot_run.h"
#include "tests/lib/compare.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A largest difference of 1e-5 of the magnitude, in unit roundoffs of f32. */
static const double SCALED_ERROR = 1e-5 / 0x1p-24;

/* ---- Models --------------------------------------------------------------------------------------- */

/* The model that is loaded now; cases of a model follow each other. */
typedef struct opened {
    const char *model;
    bool is_missing;
    tn_module *module;
    tn_program *program;
    aot_run *object;
    object_run *machine; /* where the object runs */
    tn_pool *pools[2];   /* of one and two threads */
} opened;

static void close_model(opened *o) {
    aot_run_close(o->object);
    tn_program_free(o->program);
    o->object = NULL;
    tn_module_free(o->module);
    o->program = NULL;
    o->module = NULL;
    o->model = NULL;
}

/* Large weights take long to go through a compiler: they are mapped, others stand in the object. */
static bool has_large_weights(const tn_graph *g) {
    enum { LARGE = 16 << 20 };
    size_t all = 0, bytes;
    for (size_t i = 0; i < g->n_params; i++)
        if (g->params[i].binding == BINDING_LOAD && type_static_bytes(g->module->dims, &g->params[i].type, &bytes))
            all += bytes;
    return all > LARGE;
}

static void open_object(opened *o) {
    char message[OBJECT_MESSAGE];
    tn_aot_options options = {.name = "model", .weights_in_file = has_large_weights(tn_module_main(o->module))};
    o->object = aot_run_open(o->machine, o->module, &options, message);
    if (!o->object) fail_msg("%s: %s", o->model, message);
}

/* Loads and compiles a model unless it is the one that is open; fails the test when that fails. */
static void open_model(opened *o, const char *model) {
    char path[200];
    if (o->model && strcmp(o->model, model) == 0) {
        if (!o->program && !o->is_missing) fail_msg("%s could not be compiled", model);
        return;
    }
    close_model(o);
    o->model = model;
    snprintf(path, sizeof path, "build/models/%s", model);
    o->is_missing = access(path, R_OK) != 0;
    if (o->is_missing) return;
    o->module = tn_onnx_load(path, NULL);
    assert_non_null(o->module);
    if (!tn_module_error(o->module)) o->program = tn_compile_module(o->module, NULL);
    if (!o->program) fail_msg("%s: %s", model, tn_module_error(o->module)->message);
    open_object(o);
}

/* ---- One case ------------------------------------------------------------------------------------- */

typedef struct test_case {
    const model_case *c;
    opened *open;
} test_case;

static void make_inputs(const model_case *c, eval_tensor *in) {
    char message[CASE_MESSAGE];
    for (int i = 0; i < c->n_in; i++)
        if (!case_input(&c->in[i], &in[i], message)) fail_msg("%s", message);
}

/* Runs with one of the pools; the outputs are the exec's, which the caller frees. */
static tn_exec *run_compiled(const test_case *t, const eval_tensor *in, tn_pool *pool) {
    tn_exec *exec = tn_exec_new(t->open->program, &(tn_exec_options){.pool = pool});
    assert_non_null(exec);
    for (int i = 0; i < t->c->n_in; i++) {
        tn_tensor tensor = tn_tensor_of(in[i].dtype, in[i].data, in[i].rank, in[i].dims);
        if (tn_exec_set_input(exec, t->c->in[i].name, &tensor) != TN_OK)
            fail_msg("there is no input %s", t->c->in[i].name);
    }
    if (tn_exec_run(exec, NULL, 0, NULL, 0) != TN_OK) fail_msg("%s", tn_exec_error(exec)->message);
    return exec;
}

static void assert_output(const model_case *c, int i, const tn_tensor *got) {
    char message[CASE_MESSAGE];
    double worst;
    if (!got) fail_msg("there is no output %s", c->out[i].name);
    if (!case_agrees(&c->out[i], got, &worst, message)) fail_msg("%s", message);
    printf("# %s: %s differs from the recorded by up to %.2g\n", c->name, c->out[i].name, worst);
}

/* A module's inputs in their order. */
static void order_inputs(const test_case *t, const eval_tensor *in, eval_tensor *ordered) {
    assert_int_equal(tn_program_n_inputs(t->open->program), t->c->n_in);
    for (int i = 0; i < t->c->n_in; i++) ordered[tn_program_find_input(t->open->program, t->c->in[i].name)] = in[i];
}

static void assert_same_bits(const model_case *c, const tn_exec *a, const tn_exec *b) {
    for (int i = 0; i < c->n_out; i++) {
        const tn_tensor *x = tn_exec_output_named(a, c->out[i].name), *y = tn_exec_output_named(b, c->out[i].name);
        assert_memory_equal(x->data, y->data, (size_t)tn_tensor_bytes(x));
    }
}

/* The outputs of the object, in the order of the case, to be freed. */
static void run_object(const test_case *t, const eval_tensor *in, tn_tensor *results) {
    const tn_program *p = t->open->program;
    eval_tensor ordered[CASE_TENSORS] = {0}, got[CASE_TENSORS] = {0};
    const tn_graph *g = tn_module_main(t->open->module);
    eval_tensor *all = calloc(g->n_params + 1, sizeof *all);
    char message[OBJECT_MESSAGE];
    order_inputs(t, in, ordered);
    for (size_t i = 0, k = 0; i < g->n_params; i++)
        if (g->params[i].binding != BINDING_LOAD) all[i] = ordered[k++];
    for (int i = 0; i < t->c->n_out; i++) {
        const case_tensor *out = &t->c->out[i];
        int at = tn_program_find_output(p, out->name);
        got[at] = tensor_view(out->dtype, out->rank, out->dims, NULL);
        got[at].data = calloc((size_t)got[at].n + 1, 8);
        results[i] = tn_tensor_of(out->dtype, got[at].data, out->rank, out->dims);
    }
    bool ok = aot_run_call(t->open->object, &(object_call){.in = all, .out = got}, message);
    free(all);
    if (!ok) fail_msg("%s", message);
}

static void free_results(const test_case *t, tn_tensor *results) {
    for (int i = 0; i < t->c->n_out; i++) free(results[i].data);
}

/* As an object on another machine. */
static void test_elsewhere(const test_case *t, const eval_tensor *in) {
    tn_tensor results[CASE_TENSORS];
    run_object(t, in, results);
    for (int i = 0; i < t->c->n_out; i++) assert_output(t->c, i, &results[i]);
    free_results(t, results);
}

static void test_here(const test_case *t, const eval_tensor *in) {
    tn_exec *one = run_compiled(t, in, t->open->pools[0]), *two = run_compiled(t, in, t->open->pools[1]);
    assert_same_bits(t->c, one, two);
    for (int i = 0; i < t->c->n_out; i++) assert_output(t->c, i, tn_exec_output_named(one, t->c->out[i].name));
    tn_tensor results[CASE_TENSORS];
    run_object(t, in, results);
    for (int i = 0; i < t->c->n_out; i++) {
        const tn_tensor *here = tn_exec_output_named(one, t->c->out[i].name);
        assert_int_equal(tn_tensor_bytes(here), tn_tensor_bytes(&results[i]));
        assert_memory_equal(here->data, results[i].data, (size_t)tn_tensor_bytes(here));
    }
    free_results(t, results);
    tn_exec_free(one);
    tn_exec_free(two);
}

static void test_recorded(void **state) {
    const test_case *t = *state;
    eval_tensor in[CASE_TENSORS] = {0};
    open_model(t->open, t->c->model);
    if (t->open->is_missing) skip();
    make_inputs(t->c, in);
    if (object_run_elsewhere())
        test_elsewhere(t, in);
    else
        test_here(t, in);
    for (int i = 0; i < t->c->n_in; i++) eval_tensor_free(&in[i]);
}

/* The interpreter takes main's inputs in their order, and finds weights in the module. */
static void interpret(const test_case *t, const eval_tensor *in, eval_tensor *out) {
    eval_tensor ordered[CASE_TENSORS] = {0};
    order_inputs(t, in, ordered);
    tn_diag diag = {0};
    if (eval_graph(tn_module_main(t->open->module), ordered, out, &(eval_options){.magnitudes = true}, &diag) != TN_OK)
        fail_msg("the interpreter says: %s", diag.message);
}

/* In deep models the sum of absolute terms grows until it says nothing; this much is asked there too. */
static void assert_close(const eval_tensor *got, const eval_tensor *want) {
    double greatest = 0, worst = 0;
    if (want->dtype != TN_F32) return;
    for (int64_t i = 0; i < want->n; i++) {
        greatest = fmax(greatest, fabs(eval_load_float(want, i)));
        worst = fmax(worst, fabs(eval_load_float(got, i) - eval_load_float(want, i)));
    }
    if (worst > 1e-3 * greatest) fail_msg("an element differs by %g, the largest one is %g", worst, greatest);
}

static void test_interpreted(void **state) {
    const test_case *t = *state;
    eval_tensor in[CASE_TENSORS] = {0}, out[CASE_TENSORS] = {0};
    open_model(t->open, t->c->model);
    if (t->open->is_missing) skip();
    make_inputs(t->c, in);
    tn_exec *exec = run_compiled(t, in, t->open->pools[1]);
    interpret(t, in, out);
    for (int i = 0; i < t->c->n_out; i++) {
        const tn_tensor *got = tn_exec_output(exec, i);
        eval_tensor view = tensor_view(got->dtype, got->rank, got->shape, got->data);
        comparison c = compare_tensors(&view, &out[i], SCALED_ERROR);
        if (!c.is_equal) fail_msg("%s: %s", tn_program_output(t->open->program, i)->name, c.message);
        assert_close(&view, &out[i]);
        printf("# %s: %s differs from the interpreter's by up to %.2g of the magnitude\n", t->c->name,
               tn_program_output(t->open->program, i)->name, c.worst * 0x1p-24);
    }
    tn_exec_free(exec);
    for (int i = 0; i < t->c->n_in; i++) eval_tensor_free(&in[i]);
    for (int i = 0; i < t->c->n_out; i++) eval_tensor_free(&out[i]);
}

/* ---- All cases ------------------------------------------------------------------------------------ */

/* Cases that the interpreter takes 10 to 70 seconds for; the other ones take 100 seconds together. */
static const char *const slow[] = {
    "magika-3",           "light-inception-v2",  "light-resnet50",
    "light-vgg19",        "light-zfnet512",      "random-bvlc-alexnet",
    "random-densenet121", "random-inception-v1", "random-inception-v2",
    "random-resnet50",    "random-vgg19",        "random-zfnet512",
};

static bool is_slow(const char *name) {
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++)
        if (strcmp(slow[i], name) == 0) return true;
    return false;
}

static char *title(const char *name, const char *what) {
    size_t bytes = strlen(name) + strlen(what) + 1;
    char *text = malloc(bytes);
    if (text) snprintf(text, bytes, "%s%s", name, what);
    return text;
}

/* Arguments: parts of names of the cases to run. */
static bool is_wanted(const char *name, int argc, char **argv) {
    bool wanted = argc <= 1;
    for (int i = 1; i < argc; i++) wanted |= strstr(name, argv[i]) != NULL;
    return wanted;
}

int main(int argc, char **argv) {
    char message[CASE_MESSAGE];
    size_t n, n_tests = 0;
    model_case *all = cases_read("tests/models/cases.txt", &n, message);
    if (!all) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    struct CMUnitTest *tests = calloc(2 * n + 1, sizeof *tests);
    test_case *cases = calloc(n + 1, sizeof *cases);
    object_run *here = object_run_elsewhere() ? NULL : object_run_open(&(object_machine){.emulator = ""});
    opened open = {.machine = here ? here : object_run_elsewhere(), .pools = {tn_pool_new(1), tn_pool_new(2)}};
    bool ok = tests && cases && open.pools[0] && open.pools[1];
    for (size_t i = 0; ok && i < n; i++) {
        if (!is_wanted(all[i].name, argc, argv)) continue;
        cases[i] = (test_case){&all[i], &open};
        tests[n_tests++] = (struct CMUnitTest){title(all[i].name, ""), test_recorded, NULL, NULL, &cases[i]};
        if (!object_run_elsewhere() && (getenv("TN_LONG") || !is_slow(all[i].name)))
            tests[n_tests++] =
                (struct CMUnitTest){title(all[i].name, " = interpreter"), test_interpreted, NULL, NULL, &cases[i]};
    }
    int failed = ok ? _cmocka_run_group_tests("models", tests, n_tests, NULL, NULL) : 1;
    close_model(&open);
    if (here) object_run_close(here);
    tn_pool_free(open.pools[0]);
    tn_pool_free(open.pools[1]);
    for (size_t i = 0; i < n_tests; i++) free((char *)tests[i].name);
    free(tests);
    free(cases);
    tn_free(all);
    return failed;
}
