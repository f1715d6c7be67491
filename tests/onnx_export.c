/* Exporting ONNX: what is written reads back through the importer as a module that computes the same.
 *
 * Every op of the table in every dtype that it takes, on random legal inputs: exported, imported, and run by the
 * interpreter beside the original. What ONNX cannot say is refused with a message that names the op and its place.
 */
#include "tests/lib/compare.h"

#include "frontends/onnx/proto.h"
#include "frontends/onnx/tenon_onnx.h"
#include "frontends/onnx/tensorproto.h"
#include "ir/dtype.h"
#include "ir/graph.h"
#include "ir/samples_shape.h"
#include "runtime/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_VALUES = 32, SEEDS = 6 };

/* ---- One application, there and back --------------------------------------------------------------------- */

typedef struct application {
    sampler s;
    tn_op op;
    tn_graph *g;
    eval_tensor in[MAX_VALUES], out[MAX_VALUES], again[MAX_VALUES];
    void *bytes;
    size_t n;
    tn_module *imported;
} application;

static const char *describe(const application *a) {
    static char text[160];
    snprintf(text, sizeof text, "%s in %s%s, seed %llu", op_name(a->op), tn_dtype_name(a->s.dtype),
             a->s.symbolic ? ", symbolic" : "", (unsigned long long)a->s.state);
    return text;
}

static void fill_inputs(application *a) {
    for (size_t i = 0; i < a->g->n_params; i++) {
        const tn_type *type = &a->g->params[i].type;
        int64_t dims[TN_MAX_RANK];
        for (int axis = 0; axis < type->rank; axis++) dims[axis] = sampler_value(&a->s, a->g, type->dims[axis]);
        a->in[i] = tensor_view((tn_dtype)type->dtype, type->rank, dims, NULL);
        a->in[i].borrowed = false;
        a->in[i].data = tn_calloc((size_t)a->in[i].n + 1, 8);
        if (!sample_input(&a->s, a->g, (uint32_t)i, dims, a->in[i].data)) fail_msg("%s: no input %zu", describe(a), i);
    }
}

static void run(application *a, const tn_graph *g, eval_tensor *out, bool magnitudes) {
    eval_options options = {.magnitudes = magnitudes, .max_elements = 1 << 24, .max_steps = 1 << 20};
    tn_diag diag;
    tn_status status = eval_graph(g, a->in, out, &options, &diag);
    if (status != TN_OK) fail_msg("%s: %s %s", describe(a), tn_status_name(status), diag.message);
}

/* Ops whose text is written to the terminal when a comparison fails. */
static void show(const application *a) {
    char *before = tn_module_print(a->g->module, NULL), *after = tn_module_print(a->imported, NULL);
    print_message("%s\n%s\n", before ? before : "", after ? after : "");
    tn_text_free(before);
    tn_text_free(after);
}

static bool open_application(application *a, tn_op op, tn_dtype dtype, uint64_t seed) {
    *a = (application){.s = {.state = seed * 1000003 + op * 101 + dtype, .dtype = dtype, .symbolic = seed % 2},
                       .op = op};
    a->g = tn_graph_new("exported");
    if (!sample_op(&a->s, a->g, op)) fail_msg("%s: %s", describe(a), a->g->module->error.message);
    assert_true(a->g->n_params <= MAX_VALUES && a->g->n_results <= MAX_VALUES);
    fill_inputs(a);
    return true;
}

static void close_application(application *a) {
    for (size_t i = 0; i < a->g->n_params; i++) eval_tensor_free(&a->in[i]);
    for (size_t r = 0; r < a->g->n_results; r++) eval_tensor_free(&a->out[r]);
    for (size_t r = 0; r < a->g->n_results; r++) eval_tensor_free(&a->again[r]);
    tn_module_free(a->imported);
    tn_onnx_free(a->bytes);
    tn_graph_free(a->g);
}

/* Whether it was exported; else it was refused as the op may be. */
static bool export_application(application *a) {
    tn_diag diag = {0};
    tn_onnx_write_options options = {.opset = a->s.state % 3 == 0 ? 18 : 0, .drop_effects = true};
    tn_status status = tn_onnx_write_memory(a->g->module, &a->bytes, &a->n, &options, &diag);
    if (status == TN_ERR_UNSUPPORTED) {
        if (!strstr(diag.message, op_name(a->op)) && a->op != TN_OP_avg_pool && a->op != TN_OP_max_pool)
            fail_msg("%s: the message does not name the op: %s", describe(a), diag.message);
        return false;
    }
    if (status != TN_OK) fail_msg("%s: %s %s", describe(a), tn_status_name(status), diag.message);
    a->imported = tn_onnx_parse(a->bytes, a->n, "again.onnx", NULL);
    const tn_diag *error = tn_module_error(a->imported);
    if (error) {
        char *text = tn_module_print(a->g->module, NULL);
        print_message("%s\n", text);
        fail_msg("%s: import: %s", describe(a), error->message);
    }
    return true;
}

/* What is said by several ops is rounded more often; half precision once more in f32. */
static double allowance(const application *a) {
    switch (a->op) {
    case TN_OP_log1p:
    case TN_OP_expm1:
    case TN_OP_atan2:
    case TN_OP_exp2:
    case TN_OP_window:
    case TN_OP_variance: return 64;
    default: return a->s.dtype == TN_F16 || a->s.dtype == TN_BF16 ? 4 : 16;
    }
}

static void check_application(application *a) {
    run(a, a->g, a->out, true);
    tn_graph *g = tn_module_main(a->imported);
    assert_int_equal(g->n_params, a->g->n_params);
    assert_int_equal(g->n_results, a->g->n_results);
    run(a, g, a->again, false);
    for (size_t i = 0; i < g->n_results; i++) {
        assert_string_equal(g->results[i].name, a->g->results[i].name);
        comparison c = compare_tensors(&a->again[i], &a->out[i], allowance(a));
        if (c.is_equal) continue;
        show(a);
        fail_msg("%s: result %zu: %s", describe(a), i, c.message);
    }
}

/* ---- Every op in every dtype --------------------------------------------------------------------------------- */

/* Ops that no dtype of is said in ONNX. */
static bool is_never_said(tn_op op) {
    return op == TN_OP_rng_bits || op == TN_OP_winograd || op == TN_OP_winograd_kernel || op == TN_OP_custom;
}

static void ops_there_and_back(void **state) {
    (void)state;
    int most = getenv("TN_LONG") ? 10 * SEEDS : SEEDS;
    for (int op = 0; op < TN_OP_COUNT; op++) {
        int n_said = 0, n_refused = 0;
        for (int dtype = 0; dtype < TN_DTYPE_COUNT; dtype++) {
            if (!sample_supports((tn_op)op, (tn_dtype)dtype)) continue;
            for (int seed = 0; seed < most; seed++) {
                application a;
                open_application(&a, (tn_op)op, (tn_dtype)dtype, (uint64_t)seed);
                bool is_said = export_application(&a);
                if (is_said) check_application(&a);
                n_said += is_said;
                n_refused += !is_said;
                close_application(&a);
            }
        }
        if (is_never_said((tn_op)op) != (n_said == 0))
            fail_msg("%s: %d applications written", op_name((tn_op)op), n_said);
        if (getenv("TN_SHOW")) print_message("%-24s %4d written %4d refused\n", op_name((tn_op)op), n_said, n_refused);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
