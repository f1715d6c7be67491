#include "tests/lib/program_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/dtype.h"
#include "tenon_compile.h"
#include "tests/lib/compare.h"
#include "tests/lib/levels.h"
#include "tests/lib/object_run.h"

enum { MOST_TENSORS = 8, FACTOR = 8 };

typedef struct check {
    const char *text, *symbols;
    tn_module *module;
    tn_graph *graph;
    eval_tensor in[MOST_TENSORS], want[MOST_TENSORS];
} check;

/* ---- Inputs ---- */

static bool look(void *ctx, tn_dim leaf, int64_t *value) {
    const check *c = ctx;
    const char *name = dim_symbol_name(c->module->dims, leaf);
    size_t length = strlen(name);
    for (const char *at = c->symbols; at && *at; at = strchr(at, ' '), at += at != NULL)
        if (strncmp(at, name, length) == 0 && at[length] == '=') {
            *value = strtoll(at + length + 1, NULL, 10);
            return true;
        }
    return false;
}

static uint64_t next_number(uint64_t *state) {
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = (*state ^ (*state >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void fill(eval_tensor *t, numbers what, uint64_t *state) {
    for (int64_t k = 0; k < t->n; k++) {
        uint64_t number = next_number(state);
        if (!dtype_is_float(t->dtype))
            eval_store_int(t, k, (int64_t)(number % 7) - 3);
        else if (what == EXACT_NUMBERS)
            eval_store_float(t, k, (double)(int64_t)(number % 7) - 3);
        else
            eval_store_float(t, k, (double)(int64_t)number * 0x1p-63);
    }
}

static void make_inputs(check *c, numbers what) {
    uint64_t state = 1;
    assert_true(c->graph->n_params <= MOST_TENSORS && c->graph->n_results <= MOST_TENSORS);
    for (size_t i = 0; i < c->graph->n_params; i++) {
        const tn_type *type = &c->graph->params[i].type;
        int64_t dims[TN_MAX_RANK];
        for (int axis = 0; axis < type->rank; axis++)
            if (!dim_eval(c->module->dims, type->dims[axis], look, c, &dims[axis]))
                fail_msg("a symbol has no value: %s", c->text);
        c->in[i] = tensor_view((tn_dtype)type->dtype, type->rank, dims, NULL);
        c->in[i].data = calloc((size_t)c->in[i].n + 1, 8);
        assert_non_null(c->in[i].data);
        fill(&c->in[i], what, &state);
    }
}

/* ---- Runs ---- */

static tn_tensor tensor_of(const eval_tensor *t) { return tn_tensor_of(t->dtype, t->data, t->rank, t->dims); }

static bool is_weight(const check *c, size_t i) { return c->graph->params[i].binding == BINDING_LOAD; }

static void set_weights(const check *c, tn_program *p) {
    const char *names[MOST_TENSORS];
    tn_tensor tensors[MOST_TENSORS];
    int n = 0;
    tn_diag diag;
    for (size_t i = 0; i < c->graph->n_params; i++)
        if (is_weight(c, i)) {
            names[n] = c->graph->params[i].name;
            tensors[n++] = tensor_of(&c->in[i]);
        }
    if (n > 0 && tn_program_set_weights(p, names, tensors, n, &diag) != TN_OK)
        fail_msg("%s\n%s", diag.message, c->text);
}

static tn_exec *run(check *c, tn_program *p, tn_pool *pool, tn_tensor *outputs) {
    tn_tensor inputs[MOST_TENSORS];
    int n_inputs = 0;
    for (size_t i = 0; i < c->graph->n_params; i++)
        if (!is_weight(c, i)) inputs[n_inputs++] = tensor_of(&c->in[i]);
    tn_exec *exec = tn_exec_new(p, &(tn_exec_options){.pool = pool});
    assert_non_null(exec);
    for (size_t r = 0; r < c->graph->n_results; r++) outputs[r] = (tn_tensor){0};
    if (tn_exec_run(exec, inputs, n_inputs, outputs, (int)c->graph->n_results) != TN_OK)
        fail_msg("%s\n%s", tn_exec_error(exec)->message, c->text);
    return exec;
}

/* `threaded`: those of another run; NULL: there is none. */
static void compare_results(const check *c, const char *target, const tn_tensor *got, const tn_tensor *threaded,
                            numbers what) {
    for (size_t r = 0; r < c->graph->n_results; r++) {
        eval_tensor view = tensor_view(got[r].dtype, got[r].rank, got[r].shape, got[r].data);
        comparison same = compare_tensors(&view, &c->want[r], what == EXACT_NUMBERS ? 0 : FACTOR);
        if (!same.is_equal) fail_msg("%s: result %zu: %s\n%s\n%s", target, r, same.message, c->symbols, c->text);
        size_t bytes = (size_t)view.n * (tn_dtype_bits(view.dtype) / 8);
        if (threaded && bytes > 0 && memcmp(got[r].data, threaded[r].data, bytes) != 0)
            fail_msg("%s: result %zu: two threads give other bits\n%s\n%s", target, r, c->symbols, c->text);
    }
}

void check_program(const char *text, const char *symbols, const char *class_name, numbers what) {
    check_program_with(NULL, text, symbols, class_name, what);
}

/* ---- Modules ---- */

tn_module *program_parse(const char *text) {
    char *module_text = malloc(strlen(text) + 64);
    assert_non_null(module_text);
    sprintf(module_text, "module \"check\"\nfn @main%s\n", text);
    tn_module *m = tn_module_parse(module_text, strlen(module_text), "check");
    assert_non_null(m);
    if (tn_module_error(m)) fail_msg("%s\n%s", tn_module_error(m)->message, text);
    free(module_text);
    return m;
}

char *program_stage(const char *text, const char *stage, const tn_compile_options *options) {
    tn_diag diag = {0};
    tn_module *m = program_parse(text);
    char *after = tn_compile_text(m, options, stage, NULL, &diag);
    if (!after) fail_msg("%s\n%s", diag.message, text);
    tn_module_free(m);
    return after;
}

static void check_on_target(check *c, const tn_compile_options *options, const char *class_name, numbers what) {
    tn_program *p = tn_compile_module(c->module, options);
    if (!p) fail_msg("%s: %s\n%s", options->target, tn_module_error(c->module)->message, c->text);
    if (class_name) assert_string_equal(tn_program_kernel(p, 0)->class_name, class_name);
    set_weights(c, p);
    tn_pool *pool = tn_pool_new(2);
    tn_tensor got[MOST_TENSORS], threaded[MOST_TENSORS];
    tn_exec *execs[2] = {run(c, p, NULL, got), run(c, p, pool, threaded)};
    compare_results(c, options->target, got, threaded, what);
    for (int i = 0; i < 2; i++) tn_exec_free(execs[i]);
    tn_pool_free(pool);
    tn_program_free(p);
}

static void check_here(check *c, const tn_compile_options *options, const char *class_name, numbers what) {
    for (int i = 0; i < LEVELS; i++) {
        tn_compile_options on_target = options ? *options : (tn_compile_options){0};
        on_target.target = level_names[i];
        if (level_runs_here(level_names[i])) check_on_target(c, &on_target, class_name, what);
    }
}

/* As an object, on one thread. */
static void check_elsewhere(check *c, object_run *machine, const tn_compile_options *options, numbers what) {
    eval_tensor got[MOST_TENSORS];
    tn_tensor results[MOST_TENSORS] = {{0}};
    char message[OBJECT_MESSAGE];
    for (size_t r = 0; r < c->graph->n_results; r++) {
        got[r] = tensor_view(c->want[r].dtype, c->want[r].rank, c->want[r].dims, NULL);
        got[r].data = calloc((size_t)got[r].n + 1, 8);
        assert_non_null(got[r].data);
        results[r] = tensor_of(&got[r]);
    }
    if (!object_run_module(machine, c->module, options, &(object_call){.in = c->in, .out = got}, message))
        fail_msg("%s\n%s\n%s", message, c->symbols, c->text);
    compare_results(c, getenv("TN_MACHINE"), results, NULL, what);
    for (size_t r = 0; r < c->graph->n_results; r++) free(got[r].data);
}

void check_program_with(const tn_compile_options *options, const char *text, const char *symbols,
                        const char *class_name, numbers what) {
    check c = {.text = text, .symbols = symbols, .module = program_parse(text)};
    c.graph = module_main(c.module);
    make_inputs(&c, what);
    eval_options reference = {.magnitudes = what == ANY_NUMBERS};
    tn_diag diag;
    if (eval_graph(c.graph, c.in, c.want, &reference, &diag) != TN_OK)
        fail_msg("the interpreter: %s\n%s", diag.message, text);
    object_run *machine = object_run_elsewhere();
    if (machine)
        check_elsewhere(&c, machine, options, what);
    else
        check_here(&c, options, class_name, what);
    for (size_t i = 0; i < c.graph->n_params; i++) free(c.in[i].data);
    for (size_t r = 0; r < c.graph->n_results; r++) eval_tensor_free(&c.want[r]);
    tn_module_free(c.module);
}
