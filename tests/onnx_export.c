/* Exporting ONNX: what is written reads back through the importer as a module that computes the same.
 *
 * Every op of the table in every dtype that it takes, on random legal inputs: exported, imported, and run by the
 * interpreter beside the original. What ONNX cannot say is refused with a message that names the op and its place.
 */
#include "tests/lib/compare.h"
#include "tests/lib/opcase.h"

#include "frontends/onnx/export_ops.h"
#include "frontends/onnx/proto.h"
#include "frontends/onnx/tenon_onnx.h"
#include "frontends/onnx/tensorproto.h"
#include "compiler/tenon_compile.h"
#include "ir/dtype.h"
#include "ir/graph.h"
#include "ir/samples_shape.h"
#include "runtime/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static const char *what(const application *a) { return a->op == TN_OP_COUNT ? "graph" : op_name(a->op); }

static const char *describe(const application *a) {
    static char text[160];
    snprintf(text, sizeof text, "%s in %s%s, seed %llu", what(a), tn_dtype_name(a->s.dtype),
             a->s.symbolic ? ", symbolic" : "", (unsigned long long)a->s.state);
    return text;
}

static void fill_inputs(application *a) {
    for (size_t i = 0; i < a->g->n_params; i++)
        if (!tensor_sampled(&a->s, a->g, i, &a->in[i])) fail_msg("%s: no input %zu", describe(a), i);
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
    static const int opsets[] = {0, 18, 0, 19, 20, 0, 22, 23};
    tn_onnx_write_options options = {.opset = opsets[a->s.state % 8], .drop_effects = true};
    tn_status status = tn_onnx_write_memory(a->g->module, &a->bytes, &a->n, &options, &diag);
    if (status == TN_ERR_UNSUPPORTED) {
        if (a->op != TN_OP_COUNT && !strstr(diag.message, op_name(a->op)))
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

/* ---- For another runtime ------------------------------------------------------------------------------------ */

static void write_bytes(const char *folder, const char *kind, size_t i, const void *data, size_t n) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s%zu", folder, kind, i);
    FILE *f = fopen(path, "wb");
    bool ok = f && (n == 0 || !data || fwrite(data, 1, n, f) == n);
    if (f) ok = fclose(f) == 0 && ok;
    if (!ok) fail_msg("%s cannot be written", path);
}

static void write_line(FILE *f, const char *kind, const char *name, const eval_tensor *t) {
    fprintf(f, "%s %s %s", kind, name, tn_dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++) fprintf(f, " %lld", (long long)t->dims[i]);
    fprintf(f, "\n");
}

/* Whether ONNX says what element k of the result is: not for what an integer cannot hold. */
static bool is_defined(const application *a, int64_t k) {
    bool overflows = a->op == TN_OP_pow || (a->op == TN_OP_reduce && a->out[0].dtype == a->in[0].dtype);
    if (dtype_is_float(a->out[0].dtype)) return true;
    if (a->op == TN_OP_convert && dtype_is_float(a->in[0].dtype)) {
        double x = eval_load_float(&a->in[0], k), limit = ldexp(1, (int)tn_dtype_bits(a->out[0].dtype) - 1);
        bool is_signed = dtype_in(DTYPES_SINT, a->out[0].dtype);
        return a->out[0].dtype == TN_BOOL || (is_signed ? fabs(x) < limit : x >= 0 && x < 2 * limit);
    }
    return !overflows;
}

/* How far each element of a float may be off: see compare.h. NaN where nothing is known. */
static void write_tolerance(const application *a, const char *folder, size_t i, double factor) {
    const eval_tensor *t = &a->out[i];
    /* ONNX Runtime's Sigmoid is exact to a rounding of 1, as is its Elu, exp(x) - 1. */
    static const tn_op coarse[] = {TN_OP_COUNT, TN_OP_logistic, TN_OP_sigmoid, TN_OP_silu, TN_OP_elu};
    double least = 0;
    for (size_t k = 0; k < sizeof coarse / sizeof *coarse; k++) least = a->op == coarse[k] ? 1 : least;
    double unit = t->dtype == TN_F64 ? 0x1p-53 : t->dtype == TN_F32 ? 0x1p-24 : t->dtype == TN_F16 ? 0x1p-11 : 0x1p-8;
    double *tolerance = tn_calloc((size_t)t->n + 1, sizeof *tolerance);
    for (int64_t k = 0; k < t->n && dtype_is_float(t->dtype); k++)
        tolerance[k] = factor * unit * (t->magnitude[k] + least) + (t->dtype == TN_F16 ? 0x1p-20 : 0x1p-120);
    for (int64_t k = 0; k < t->n; k++)
        if (!is_defined(a, k)) tolerance[k] = NAN;
    write_bytes(folder, "tolerance", i, tolerance, (size_t)t->n * sizeof *tolerance);
    tn_free(tolerance);
}

static size_t tensor_bytes(const eval_tensor *t) { return (size_t)t->n * (tn_dtype_bits(t->dtype) / 8); }

/* TN_EXPORT_DIR/NUMBER-OP-DTYPE gets the model, inputs, the interpreter's outputs, and what they are. */
static void keep(const application *a) {
    static int number;
    const char *root = getenv("TN_EXPORT_DIR");
    char folder[400], path[512];
    if (!root) return;
    snprintf(folder, sizeof folder, "%s/%05d-%s-%s", root, number++, what(a), tn_dtype_name(a->s.dtype));
    snprintf(path, sizeof path, "%s/about", folder);
    if (mkdir(folder, 0777) != 0) fail_msg("%s cannot be made", folder);
    FILE *f = fopen(path, "w");
    if (!f) {
        fail_msg("%s cannot be written", path);
        return;
    }
    write_bytes(folder, "model", 0, a->bytes, a->n);
    for (size_t i = 0; i < a->g->n_params; i++) {
        write_line(f, "in", a->g->params[i].name, &a->in[i]);
        write_bytes(folder, "in", i, a->in[i].data, tensor_bytes(&a->in[i]));
    }
    for (size_t i = 0; i < a->g->n_results; i++) {
        write_line(f, "out", a->g->results[i].name, &a->out[i]);
        write_bytes(folder, "out", i, a->out[i].data, tensor_bytes(&a->out[i]));
        write_tolerance(a, folder, i, 8 * allowance(a));
    }
    fclose(f);
}

/* ---- Every op in every dtype --------------------------------------------------------------------------------- */

/* Ops whose row says that there is no way. */
static bool is_never_said(tn_op op) { return export_rows[op].lower == lower_nothing; }

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
                if (is_said) keep(&a);
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

/* ---- Random graphs --------------------------------------------------------------------------------------------- */

static void graphs_there_and_back(void **state) {
    (void)state;
    int most = getenv("TN_LONG") ? 2000 : 150, n_said = 0;
    for (int seed = 0; seed < most; seed++) {
        application a = {
            .s = {.state = (uint64_t)seed * 7919 + 1, .dtype = TN_F32, .symbolic = seed % 3 == 0, .exact = seed % 2},
            .op = TN_OP_COUNT};
        a.g = tn_graph_new("graph");
        int n_nodes = (int)sampler_range(&a.s, 5, 40);
        assert_true(sample_graph(&a.s, a.g, n_nodes));
        if (a.g->n_params <= MAX_VALUES && a.g->n_results <= MAX_VALUES) {
            fill_inputs(&a);
            bool is_said = export_application(&a);
            n_said += is_said;
            if (is_said) check_application(&a);
            if (is_said) keep(&a);
        }
        close_application(&a);
    }
    assert_true(n_said > most * 9 / 10);
}

/* ---- Modules from text ------------------------------------------------------------------------------------------ */

static tn_module *from_text(const char *text) {
    tn_module *m = text ? tn_module_parse(text, strlen(text), "given.tn") : NULL;
    if (!m) fail_msg("no text, or no memory");
    const tn_diag *error = tn_module_error(m);
    if (error) fail_msg("%d: %s", error->line, error->message);
    return m;
}

static tn_module *exported(tn_module *m, const tn_onnx_write_options *options, void **bytes) {
    size_t n;
    tn_diag diag = {0};
    if (tn_onnx_write_memory(m, bytes, &n, options, &diag) != TN_OK) fail_msg("%s", diag.message);
    tn_module *again = tn_onnx_parse(*bytes, n, "again.onnx", NULL);
    if (tn_module_error(again)) fail_msg("%s", tn_module_error(again)->message);
    return again;
}

/* The model gives what the module gives, for inputs as literals, ended by NULL. */
static void check_module(tn_module *m, tn_module *again, va_list inputs) {
    eval_tensor in[MAX_VALUES] = {{0}}, out[2][MAX_VALUES];
    tn_diag diag = {0};
    const tn_graph *g = tn_module_main(m), *h = tn_module_main(again);
    int n = 0;
    for (const char *text; (text = va_arg(inputs, const char *));) in[n++] = tensor_literal(text, NULL);
    eval_options options = {.magnitudes = true};
    if (eval_graph(g, in, out[0], &options, &diag) != TN_OK) fail_msg("module: %s", diag.message);
    if (eval_graph(h, in, out[1], NULL, &diag) != TN_OK) fail_msg("model: %s", diag.message);
    for (size_t i = 0; i < h->n_results; i++) {
        comparison c = compare_tensors(&out[1][i], &out[0][i], 8);
        if (!c.is_equal) fail_msg("%s: %s", g->results[i].name, c.message);
        eval_tensor_free(&out[0][i]);
        eval_tensor_free(&out[1][i]);
    }
    for (int i = 0; i < n; i++) eval_tensor_free(&in[i]);
}

static void check_text(const char *text, ...) {
    void *bytes;
    tn_module *m = from_text(text), *again = exported(m, NULL, &bytes);
    va_list inputs;
    va_start(inputs, text);
    check_module(m, again, inputs);
    va_end(inputs);
    tn_module_free(again);
    tn_onnx_free(bytes);
    tn_module_free(m);
}
#define check(...) check_text(__VA_ARGS__, (const char *)NULL)

static void sizes(void **state) {
    (void)state;
    check(
        "module \"sizes\" fn @main(%x: f32[n, m]) -> (%a: i64[], %b: i64[], %c: i64[], %d: f32[m*n], %e: f32[n, m]) {\n"
        "  %0 = dim dim=floordiv(n - 5, 3)\n"
        "  %1 = dim dim=max(2*n*m - m + 3, 4)\n"
        "  %2 = dim dim=min(mod(n, 4), m) + 7\n"
        "  %3 = reshape %x, shape=[m*n]\n"
        "  %4 = reshape %3, shape=[n, m]\n"
        "  return %0, %1, %2, %3, %4\n"
        "}\n",
        "f32[2,3] 1 2 3 4 5 6");
    check("module \"sizes\" fn @main(%x: f32[n]) -> (%a: f32[n, 1, n], %b: f32[n - 1]) {\n"
          "  %0 = broadcast %x, dims=[2], shape=[n, 1, n]\n"
          "  %1 = slice %x, start=[1], limit=[n]\n"
          "  return %0, %1\n"
          "}\n",
          "f32[3] 1 2 3");
}

static void control_flow(void **state) {
    (void)state;
    check("module \"nested\"\n"
          "fn @main(%x: f32[n], %c: bool[]) -> (%y: f32[n], %z: f32[n], %w: f32[n]) {\n"
          "  %0 = constant value=i64[] {0}\n"
          "  %1, %2 = while %0, %x, cond=@cond, body=@body, symbols=[n, n]\n"
          "  %3 = if %c, %2, %x, then=@first, otherwise=@sum, symbols=[n, n]\n"
          "  %4 = call %3, %2, callee=@sum, symbols=[n]\n"
          "  return %2, %3, %4\n"
          "}\n"
          "fn @cond(%i: i64[], %v: f32[k]) -> (%more: bool[]) {\n"
          "  %0 = dim dim=k\n"
          "  %1 = compare %i, %0, compare=lt\n"
          "  return %1\n"
          "}\n"
          "fn @body(%i: i64[], %v: f32[k]) -> (%next: i64[], %w: f32[k]) {\n"
          "  %0 = constant value=i64[] {1}\n"
          "  %1 = add %i, %0\n"
          "  %2 = compare %i, %0, compare=lt\n"
          "  %3 = if %2, %v, %v, then=@sum, otherwise=@first, symbols=[k, k]\n"
          "  return %1, %3\n"
          "}\n"
          "fn @first(%a: f32[j], %b: f32[j]) -> (%r: f32[j]) { return %a }\n"
          "fn @sum(%a: f32[j], %b: f32[j]) -> (%r: f32[j]) {\n"
          "  %0 = add %a, %b\n"
          "  %1 = dim dim=j\n"
          "  %2 = convert %1, dtype=f32\n"
          "  %3 = broadcast %2, dims=[], shape=[j]\n"
          "  %4 = mul %0, %3\n"
          "  return %4\n"
          "}\n",
          "f32[3] 1 2 3", "bool[] 1");
}

/* A function of calls that double what is written each. */
static void too_many_calls(void **state) {
    (void)state;
    char text[8192];
    int n = snprintf(text, sizeof text,
                     "module \"calls\"\nfn @main(%%x: f32[]) -> (%%y: f32[]) {\n"
                     "  %%0 = call %%x, callee=@f0\n  return %%0\n}\n");
    for (int i = 0; i < 30; i++)
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "fn @f%d(%%x: f32[]) -> (%%y: f32[]) {\n  %%0 = call %%x, callee=@f%d\n"
                      "  %%1 = call %%0, callee=@f%d\n  return %%1\n}\n",
                      i, i + 1, i + 1);
    snprintf(text + n, sizeof text - (size_t)n,
             "fn @f30(%%x: f32[]) -> (%%y: f32[]) {\n  %%0 = neg %%x\n  return %%0\n}\n");
    tn_module *m = from_text(text);
    void *bytes;
    size_t size;
    tn_diag diag = {0};
    assert_int_equal(tn_onnx_write_memory(m, &bytes, &size, NULL, &diag), TN_ERR_LIMIT);
    assert_string_equal(diag.message,
                        "the model would have more than 2000000 nodes: functions are written where they are called");
    tn_module_free(m);
}

/* ---- Names and weights ------------------------------------------------------------------------------------------- */

static void names_are_kept(void **state) {
    (void)state;
    void *bytes;
    tn_module *m =
        from_text("module \"step\"\n"
                  "fn @main(%x: f32[batch, 2] state, %\"odd/name\": f32[2]) -> (%x: f32[batch, 2] updates %x, "
                  "%y: f32[2], %z: f32[2]) {\n"
                  "  %b = broadcast %\"odd/name\", dims=[1], shape=[batch, 2]\n"
                  "  %hidden = add %x, %b\n"
                  "  return %hidden, %\"odd/name\", %\"odd/name\"\n"
                  "}\n");
    tn_module *again = exported(m, NULL, &bytes);
    const tn_graph *g = tn_module_main(again);
    char type[64];
    assert_int_equal(g->n_params, 2);
    assert_string_equal(g->params[0].name, "x");
    assert_string_equal(g->params[1].name, "odd/name");
    type_print(again->dims, &g->params[0].type, type, sizeof type);
    assert_string_equal(type, "f32[batch, 2]");
    assert_string_equal(g->results[0].name, "x_out");
    assert_string_equal(g->results[1].name, "y");
    assert_string_equal(g->results[2].name, "z");
    tn_module_free(again);
    tn_onnx_free(bytes);
    tn_module_free(m);
}

/* x w + b with weights that the module has values for. */
static tn_module *with_weights(void) {
    tn_graph *g = tn_graph_new("weights");
    tn_module *m = tn_graph_module(g);
    tn_dim dims[] = {dim_const(m->dims, 4), dim_const(m->dims, 300)};
    tn_type types[] = {type_make(TN_F32, 2, dims), type_make(TN_F32, 1, dims + 1)};
    float numbers[1200];
    for (int i = 0; i < 1200; i++) numbers[i] = (float)(i * 37 % 101 - 50);
    tn_val v[3] = {tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(4)))};
    for (int i = 0; i < 2; i++) {
        v[1 + i] = (tn_val){g, graph_add_param(g, i == 0 ? "w" : "b", &types[i], BINDING_LOAD)};
        g->params[1 + i].initial = module_constant(m, &types[i], numbers, true);
    }
    tn_output(g, "y", tn_add(tn_matmul(v[0], v[1]), v[2]));
    assert_null(tn_graph_error(g));
    return m;
}

/* The initializers of a file, by the reader. */
static void check_initializers(const char *path, int32_t location) {
    onnx_model *model;
    tn_diag diag = {0};
    if (onnx_model_open(path, NULL, &model, &diag) != TN_OK) fail_msg("%s", diag.message);
    assert_int_equal(model->ir_version, 10);
    assert_string_equal(model->producer_name, "tenon");
    assert_int_equal(model->opset_imports.items[0].version, 21);
    assert_int_equal(model->graph->inputs.count, 1);
    assert_int_equal(model->graph->initializers.count, 2);
    assert_string_equal(model->graph->initializers.items[0].name, "w");
    assert_string_equal(model->graph->initializers.items[1].name, "b");
    assert_int_equal(model->graph->initializers.items[0].data_location, location);
    assert_int_equal(model->graph->nodes.count, 2); /* the broadcast is ONNX's own */
    onnx_model_close(model);
}

static void check_file(tn_module *m, const char *path, ...) {
    tn_module *again = tn_onnx_load(path, NULL);
    if (tn_module_error(again)) fail_msg("%s", tn_module_error(again)->message);
    va_list inputs;
    va_start(inputs, path);
    check_module(m, again, inputs);
    va_end(inputs);
    tn_module_free(again);
}

static void weights_in_files(void **state) {
    (void)state;
    char folder[] = "/tmp/tenon-export-XXXXXX", path[64], data[80];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/m.onnx", folder);
    snprintf(data, sizeof data, "%s.data", path);
    tn_module *m = with_weights();
    tn_diag diag = {0};
    assert_int_equal(tn_onnx_write(m, path, NULL, &diag), TN_OK);
    assert_int_equal(access(data, F_OK), -1);
    check_initializers(path, 0);
    assert_int_equal(tn_onnx_write(m, path, &(tn_onnx_write_options){.most_inside_bytes = 1}, &diag), TN_OK);
    assert_int_equal(access(data, F_OK), 0);
    check_initializers(path, 1);
    check_file(m, path, "f32[2,4] 1 2 3 4 5 6 7 8", (const char *)NULL);
    unlink(data);
    unlink(path);
    rmdir(folder);
    tn_module_free(m);
}

/* ---- How ops are said -------------------------------------------------------------------------------------------- */

/* A matrix or more times a vector is one MatMul, with nothing turned before it where the axes allow that. */
static void products_by_vectors(void **state) {
    (void)state;
    static const struct {
        const char *text, *a, *b;
        size_t n_nodes;
    } products[] = {
        {"module \"m\"\nfn @main(%x: f32[2, 3], %v: f32[3]) -> (%y: f32[2]) {\n"
         "  %0 = dot %x, %v, contract=[1]x[0]\n  return %0\n}\n",
         "f32[2,3] 1 2 3 4 5 6", "f32[3] 1 10 100", 1},
        {"module \"m\"\nfn @main(%x: f32[n, 3], %v: f32[n]) -> (%y: f32[3]) {\n"
         "  %0 = dot %x, %v, contract=[0]x[0]\n  return %0\n}\n",
         "f32[2,3] 1 2 3 4 5 6", "f32[2] 1 10", 1},
        {"module \"m\"\nfn @main(%x: f32[2, 2, 2], %v: f32[2]) -> (%y: f32[2, 2]) {\n"
         "  %0 = dot %x, %v, contract=[0]x[0]\n  return %0\n}\n",
         "f32[2,2,2] 1 2 3 4 5 6 7 8", "f32[2] 1 10", 2},
    };
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        size_t n;
        void *bytes;
        onnx_model *model;
        tn_diag diag = {0};
        check(products[i].text, products[i].a, products[i].b);
        tn_module *m = from_text(products[i].text);
        assert_int_equal(tn_onnx_write_memory(m, &bytes, &n, NULL, &diag), TN_OK);
        assert_int_equal(onnx_model_from_memory(bytes, n, NULL, NULL, &model, &diag), TN_OK);
        assert_int_equal(model->graph->nodes.count, products[i].n_nodes);
        assert_string_equal(model->graph->nodes.items[products[i].n_nodes - 1].op_type, "MatMul");
        onnx_model_close(model);
        tn_onnx_free(bytes);
        tn_module_free(m);
    }
}

/* ---- Kernels ----------------------------------------------------------------------------------------------------- */

/* Small integers, so that all orders of sums are equal. */
static void fill(eval_tensor *t, const dim_table *dims, const param *p, int64_t extent) {
    *t = (eval_tensor){.dtype = (tn_dtype)p->type.dtype, .rank = p->type.rank, .n = 1};
    for (int i = 0; i < t->rank; i++) {
        if (!dim_is_const(dims, p->type.dims[i], &t->dims[i])) t->dims[i] = extent;
        t->n *= t->dims[i];
    }
    t->data = tn_calloc((size_t)t->n + 1, sizeof(float));
    for (int64_t i = 0; i < t->n; i++) eval_store_float(t, i, (double)(i * 7 % 5 - 2));
}

/* A module as the pass fuse leaves it, written and read again: what it computes, and the functions that it has. */
static void check_fused(const char *text, int64_t extent, const char *functions, size_t n_calls) {
    tn_module *m = from_text(text);
    tn_diag diag = {0};
    char *fused_text = tn_compile_text(m, NULL, "fuse", NULL, &diag), names[400] = "";
    if (!fused_text) fail_msg("%s", diag.message);
    tn_module *fused = from_text(fused_text);
    void *bytes;
    size_t n, calls = 0;
    onnx_model *model;
    if (tn_onnx_write_memory(fused, &bytes, &n, NULL, &diag) != TN_OK) fail_msg("%s\n%s", diag.message, fused_text);
    assert_int_equal(onnx_model_from_memory(bytes, n, NULL, NULL, &model, &diag), TN_OK);
    for (size_t i = 0; i < model->functions.count; i++) {
        assert_string_equal(model->functions.items[i].domain, "tenon.kernel");
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? " " : "",
                 model->functions.items[i].name);
    }
    for (size_t i = 0; i < model->graph->nodes.count; i++)
        calls += strcmp(model->graph->nodes.items[i].domain, "tenon.kernel") == 0;
    assert_string_equal(names, functions);
    assert_int_equal(calls, n_calls);
    onnx_model_close(model);

    tn_module *again = tn_onnx_parse(bytes, n, "again.onnx", NULL);
    if (tn_module_error(again)) fail_msg("%s\n%s", tn_module_error(again)->message, fused_text);
    tn_graph *g = tn_module_main(m), *h = tn_module_main(again);
    eval_tensor in[4], want[2], got[2];
    assert_true(g->n_params <= 4 && g->n_results <= 2);
    assert_int_equal(h->n_params, g->n_params);
    for (size_t i = 0; i < g->n_params; i++) fill(&in[i], m->dims, &g->params[i], extent);
    assert_int_equal(eval_graph(g, in, want, NULL, &diag), TN_OK);
    assert_int_equal(eval_graph(h, in, got, NULL, &diag), TN_OK);
    for (size_t i = 0; i < g->n_results; i++) {
        comparison c = compare_tensors(&got[i], &want[i], 16);
        if (!c.is_equal) fail_msg("result %zu: %s\n%s", i, c.message, fused_text);
        eval_tensor_free(&want[i]);
        eval_tensor_free(&got[i]);
    }
    for (size_t i = 0; i < g->n_params; i++) eval_tensor_free(&in[i]);
    tn_module_free(again);
    tn_onnx_free(bytes);
    tn_module_free(fused);
    tn_text_free(fused_text);
    tn_module_free(m);
}

static void kernels_are_functions(void **state) {
    (void)state;
    /* A weight that `prepare` lays out, and a kernel that its result goes to. */
    check_fused("module \"m\"\nfn @main(%x: f32[n, 64], %w: f32[64, 48] weight) -> (%y: f32[n, 48]) {\n"
                "  %0 = dot %x, %w, contract=[1]x[0]\n  %1 = constant value=f32[] {0.5}\n"
                "  %2 = broadcast %1, shape=[n, 48]\n  %3 = max %0, %2\n  return %3\n}\n",
                3, "k1_reshape_transpose k0_dot_max", 2);
    /* Sizes that are axes of no parameter: of what is made from nothing, and products of axes. */
    check_fused(
        "module \"m\"\nfn @main(%x: f32[n, m]) -> (%y: f32[n*m], %z: f32[n*m]) {\n"
        "  %0 = reshape %x, shape=[n*m]\n  %1 = exp %0\n  %2 = barrier %1\n  %3 = iota shape=[n*m], axis=0, dtype=f32\n"
        "  %4 = mul %2, %3\n  return %1, %4\n}\n",
        4, "k0_exp k1_mul", 2);
    /* A loop's body calls kernels, too. */
    check_fused(
        "module \"m\"\nfn @main(%x: f32[5, 8]) -> (%y: f32[8]) {\n"
        "  %0 = constant value=f32[8] {1, 2, 3, 4, 5, 6, 7, 8}\n"
        "  %1 = scan %0, %x, body=@body, carried=1, length=5\n  return %1\n}\n"
        "fn @body(%s: f32[8], %r: f32[8]) -> (%t: f32[8]) {\n  %0 = add %s, %r\n  %1 = neg %0\n  return %1\n}\n",
        1, "k0_add_neg", 0);
}

/* ---- Refusals ---------------------------------------------------------------------------------------------------- */

static void check_refused(const char *text, const tn_onnx_write_options *options, tn_status status, const char *file,
                          int line, const char *message) {
    tn_module *m = text ? from_text(text) : NULL;
    tn_diag diag = {0};
    void *bytes;
    size_t n;
    assert_int_equal(tn_onnx_write_memory(m, &bytes, &n, options, &diag), status);
    assert_null(bytes);
    assert_string_equal(diag.message, message);
    assert_int_equal(diag.line, line);
    if (file) assert_string_equal(diag.file, file);
    tn_module_free(m);
}

static void refusals(void **state) {
    (void)state;
    static const char fine[] = "module \"m\"\nfn @main(%x: f32[]) -> (%y: f32[]) { return %x }\n";
    check_refused("module \"m\"\nfn @main(%k: u64[4]) -> (%y: u32[3]) {\n  %0 = rng_bits %k, shape=[3], dtype=u32\n"
                  "  return %0\n}\n",
                  NULL, TN_ERR_UNSUPPORTED, "given.tn", 3,
                  "rng_bits: ONNX cannot say it: it has random numbers of its own choosing only, not Philox's");
    check_refused("module \"m\"\nfn @main(%x: f32[3]) -> (%y: f32[3]) {\n  %0 = custom %x, name=\"router\"\n"
                  "  return %0\n}\n",
                  NULL, TN_ERR_UNSUPPORTED, "given.tn", 3,
                  "custom: ONNX cannot say it: what a user's own op does is known to its callback alone");
    check_refused(
        "module \"m\"\nfn @main(%x: f32[3]) -> (%y: i32[3]) {\n\n  %0 = bitcast %x, dtype=i32\n  return %0\n}\n", NULL,
        TN_ERR_UNSUPPORTED, "given.tn", 4, "bitcast: ONNX cannot say it: it has no way to read the bits of a float");
    check_refused("module \"m\"\nfn @main(%x: u64[3]) -> (%y: u64[3]) {\n  %0 = pow %x, %x\n  return %0\n}\n", NULL,
                  TN_ERR_UNSUPPORTED, "given.tn", 3, "pow: ONNX's Pow does not take u64");
    check_refused("module \"m\"\nfn @main(%x: f32[], %c: bool[]) -> (%y: f32[]) {\n  %0 = token\n"
                  "  %1 = assert %0, %c, message=\"no\"\n  return %x\n}\n",
                  NULL, TN_ERR_UNSUPPORTED, "given.tn", 4,
                  "assert: ONNX cannot say it: a model cannot fail by itself (drop_effects, or --drop-effects, leaves "
                  "checks out)");
    check_refused(fine, &(tn_onnx_write_options){.opset = 17}, TN_ERR_ARGUMENT, NULL, 0,
                  "opset 17 cannot be written: it must be 18 to 23");
    check_refused(NULL, NULL, TN_ERR_ARGUMENT, NULL, 0, "there is no module to write");
    tn_module *m = from_text(fine);
    tn_diag diag = {0};
    assert_int_equal(tn_onnx_write(m, "/no/such/folder/m.onnx", NULL, &diag), TN_ERR_IO);
    assert_string_equal(diag.message, "cannot be written: No such file or directory");
    assert_int_equal(tn_onnx_write(m, NULL, NULL, &diag), TN_ERR_ARGUMENT);
    tn_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_there_and_back),
        cmocka_unit_test(graphs_there_and_back),
        cmocka_unit_test(sizes),
        cmocka_unit_test(control_flow),
        cmocka_unit_test(too_many_calls),
        cmocka_unit_test(names_are_kept),
        cmocka_unit_test(weights_in_files),
        cmocka_unit_test(products_by_vectors),
        cmocka_unit_test(kernels_are_functions),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
