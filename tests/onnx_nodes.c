/* The standard's own node tests: import, interpreter and JIT against the outputs in the files.
 *
 * The tests are Debian's libonnx-testdata; without it all of this is skipped. A test's model is imported
 * with its inputs free; where sizes depend on the values of an input (a shape, say) it is imported again
 * with the small inputs fixed, as a user would have to.
 *
 * Each test passes (interpreter and JIT give the outputs, within the standard's tolerance), lacks an op, asks for
 * what Tenon does not have (text, sequences, sizes that depend on data), is broken itself, or is wrong. None may
 * be wrong, none of tests/onnx/pass.txt may stop passing. BLESS=1 rewrites that list; TN_NODES=PREFIX
 * runs the tests of that name alone and tells each failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>

#include "frontends/onnx/doc.h"
#include "frontends/onnx/tenon_onnx.h"
#include "frontends/onnx/tensorproto.h"
#include "ir/dtype.h"
#include "ir/eval.h"
#include "ir/graph.h"
#include "runtime/alloc.h"
#include "tenon_compile.h"

#define NODES "/usr/share/libonnx-testdata/data/node"
#define PASS_LIST "tests/onnx/pass.txt"

enum { MOST_TENSORS = 16, PATH_BYTES = 512, LEAST_PASSES = 700 };
static const double RELATIVE = 1e-3, ABSOLUTE = 1e-7;

typedef enum outcome { PASSES, LACKS_OP, UNSUPPORTED, BROKEN, WRONG, OUTCOMES } outcome;
static const char *const outcome_names[] = {"passes", "lacks an op", "unsupported", "broken", "WRONG"};

/* Tests that contradict the standard or themselves. */
static const struct {
    const char *name, *why;
} broken[] = {
    {"test_cast_FLOAT_to_BFLOAT16", "expects truncation, the standard says to nearest even"},
    {"test_castlike_BFLOAT16_to_FLOAT", "the input `like` has not the shape that the model states"},
    {"test_castlike_BFLOAT16_to_FLOAT_expanded", "the input `like` has not the shape that the model states"},
    {"test_castlike_FLOAT_to_BFLOAT16", "the input `like` has not the shape that the model states"},
    {"test_castlike_FLOAT_to_BFLOAT16_expanded", "the input `like` has not the shape that the model states"},
};

/* One set of inputs and outputs. */
typedef struct data_set {
    onnx_tensor_file in[MOST_TENSORS], out[MOST_TENSORS];
    int n_in, n_out;
} data_set;

/* ---- Files ----------------------------------------------------------------------------------- */

static tn_status open_tensors(const char *folder, const char *kind, onnx_tensor_file *files, int *n, tn_diag *diag) {
    for (*n = 0; *n < MOST_TENSORS; (*n)++) {
        char path[PATH_BYTES];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s_%d.pb", folder, kind, *n);
        if (stat(path, &st) != 0) return TN_OK;
        tn_status status = tensorproto_file_open(path, &files[*n], diag);
        if (status != TN_OK) {
            diag->file = NULL;
            return status;
        }
    }
    return TN_OK;
}

static tn_status open_data_set(const char *folder, data_set *d, tn_diag *diag) {
    *d = (data_set){0};
    tn_status status = open_tensors(folder, "input", d->in, &d->n_in, diag);
    return status == TN_OK ? open_tensors(folder, "output", d->out, &d->n_out, diag) : status;
}

static void close_data_set(data_set *d) {
    for (int i = 0; i < d->n_in; i++) tensorproto_file_close(&d->in[i]);
    for (int i = 0; i < d->n_out; i++) tensorproto_file_close(&d->out[i]);
}

/* The files hold bf16 as the u16 of the same bits: they take the dtype that the model has. */
static void take_bf16(const onnx_value_info *info, onnx_tensor_file *f) {
    bool is_bf16 = info->type && info->type->tensor && info->type->tensor->elem_type == ONNX_BFLOAT16;
    if (is_bf16 && f->info.dtype == TN_U16) f->info.dtype = TN_BF16;
}

static void take_dtypes(const onnx_model *model, data_set *d) {
    for (int i = 0; i < d->n_in && (size_t)i < model->graph->inputs.count; i++)
        take_bf16(&model->graph->inputs.items[i], &d->in[i]);
    for (int i = 0; i < d->n_out && (size_t)i < model->graph->outputs.count; i++)
        take_bf16(&model->graph->outputs.items[i], &d->out[i]);
}

static tn_tensor tensor_of(const onnx_tensor_file *f) {
    return tn_tensor_of(f->info.dtype, (void *)f->data, f->info.rank, f->info.dims);
}

/* ---- Comparison ------------------------------------------------------------------------------ */

/* An element as double, 64-bit integers as far as they fit. */
static eval_tensor view(const tn_tensor *t) {
    eval_tensor v = {.dtype = t->dtype, .rank = t->rank, .n = tn_tensor_elements(t), .data = t->data};
    memcpy(v.dims, t->shape, sizeof v.dims);
    return v;
}

static bool is_close(double got, double want) {
    if (isnan(want)) return isnan(got);
    if (isinf(want) || isinf(got)) return got == want;
    return fabs(got - want) <= ABSOLUTE + RELATIVE * fabs(want);
}

static bool compare(const tn_tensor *got, const tn_tensor *want, int output, char *message, size_t bytes) {
    if (got->dtype != want->dtype || got->rank != want->rank ||
        memcmp(got->shape, want->shape, sizeof *got->shape * (size_t)(got->rank > 0 ? got->rank : 0)) != 0) {
        char a[80], b[80];
        tn_tensor_text(got, a, sizeof a);
        tn_tensor_text(want, b, sizeof b);
        snprintf(message, bytes, "output %d is %s, not %s", output, a, b);
        return false;
    }
    eval_tensor g = view(got), w = view(want);
    bool is_float = dtype_is_float(want->dtype);
    for (int64_t i = 0; i < w.n; i++) {
        if (is_float ? is_close(eval_load_float(&g, i), eval_load_float(&w, i))
                     : eval_load_int(&g, i) == eval_load_int(&w, i))
            continue;
        snprintf(message, bytes, "output %d: element %lld is %.9g, not %.9g", output, (long long)i,
                 eval_load_float(&g, i), eval_load_float(&w, i));
        return false;
    }
    return true;
}

/* ---- Gradients ------------------------------------------------------------------------------- */

/* What became of the gradients of tests that are one node. */
typedef struct gradient_note {
    char op[64];
    int made, refused;
    char why[512]; /* the last refusal */
} gradient_note;

enum { MOST_OPS = 256 };
static gradient_note notes[MOST_OPS];
static int n_notes;

static gradient_note *note_of(const char *op) {
    for (int i = 0; i < n_notes; i++)
        if (strcmp(notes[i].op, op) == 0) return &notes[i];
    assert_true(n_notes < MOST_OPS);
    snprintf(notes[n_notes].op, sizeof notes[n_notes].op, "%s", op);
    return &notes[n_notes++];
}

/* The vjp with respect to all float inputs, where there are float outputs, too. It ends the module's use. */
static void note_gradient(const onnx_model *model, tn_module *m) {
    tn_graph *f = tn_module_main(m);
    int64_t wrt[MOST_TENSORS];
    int n = 0;
    bool gives = false;
    if (model->graph->nodes.count != 1) return;
    for (size_t i = 0; i < f->n_params && n < MOST_TENSORS; i++)
        if (dtype_is_float((tn_dtype)f->params[i].type.dtype)) wrt[n++] = (int64_t)i;
    for (size_t i = 0; i < f->n_results; i++)
        gives |= dtype_is_float((tn_dtype)graph_type(f, f->results[i].value)->dtype);
    if (n == 0 || !gives) return;
    gradient_note *note = note_of(model->graph->nodes.items[0].op_type);
    tn_graph *vjp = tn_vjp(f, ((tn_ints){n, wrt}));
    note->made += vjp != NULL;
    note->refused += vjp == NULL;
    if (!vjp) snprintf(note->why, sizeof note->why, "%.500s", tn_module_error(m)->message);
}

/* ---- One test -------------------------------------------------------------------------------- */

/* Inputs that are not fixed, in the order of the module's parameters: they go by their names. */
static int free_inputs(const tn_graph *g, onnx_model *model, const data_set *d, const bool *is_fixed,
                       const onnx_tensor_file **in) {
    int n = 0;
    (void)g;
    for (size_t i = 0, k = 0; i < model->graph->inputs.count && k < (size_t)d->n_in; i++, k++)
        if (!is_fixed[k]) in[n++] = &d->in[k];
    return n;
}

static outcome run_interpreter(const tn_graph *g, const onnx_tensor_file **in, int n, const data_set *d, char *message,
                               size_t bytes) {
    eval_tensor inputs[MOST_TENSORS] = {0}, outputs[MOST_TENSORS] = {0};
    tn_diag diag = {0};
    for (int i = 0; i < n; i++) {
        tn_tensor t = tensor_of(in[i]);
        inputs[i] = view(&t);
    }
    eval_options options = {0};
    tn_status status = eval_graph(g, inputs, outputs, &options, &diag);
    if (status != TN_OK && status != TN_ERR_INDEX) {
        snprintf(message, bytes, "interpreter: %s", diag.message);
        return WRONG;
    }
    bool ok = true;
    for (int i = 0; i < d->n_out && ok; i++) {
        tn_tensor got = tn_tensor_of(outputs[i].dtype, outputs[i].data, outputs[i].rank, outputs[i].dims);
        tn_tensor want = tensor_of(&d->out[i]);
        char text[256];
        ok = compare(&got, &want, i, text, sizeof text);
        if (!ok) snprintf(message, bytes, "interpreter: %s", text);
    }
    for (size_t i = 0; i < g->n_results; i++) eval_tensor_free(&outputs[i]);
    return ok ? PASSES : WRONG;
}

static outcome run_compiled(tn_module *m, const onnx_tensor_file **in, int n, const data_set *d, char *message,
                            size_t bytes) {
    tn_program *p = tn_compile_module(m, NULL);
    if (!p) {
        const tn_diag *e = tn_module_error(m);
        snprintf(message, bytes, "compiler: %s", e ? e->message : "no program");
        return WRONG;
    }
    tn_exec *exec = tn_exec_new(p, NULL);
    tn_tensor inputs[MOST_TENSORS] = {0}, outputs[MOST_TENSORS] = {{0}};
    for (int i = 0; i < n; i++) inputs[i] = tensor_of(in[i]);
    tn_status status = exec ? tn_exec_run(exec, inputs, n, outputs, tn_program_n_outputs(p)) : TN_ERR_MEMORY;
    bool ok = status == TN_OK || status == TN_ERR_INDEX;
    if (!ok)
        snprintf(message, bytes, "run: %s", exec && tn_exec_error(exec) ? tn_exec_error(exec)->message : "no memory");
    for (int i = 0; i < d->n_out && ok; i++) {
        tn_tensor want = tensor_of(&d->out[i]);
        char text[256];
        ok = compare(&outputs[i], &want, i, text, sizeof text);
        if (!ok) snprintf(message, bytes, "compiled: %s", text);
    }
    tn_exec_free(exec);
    tn_program_free(p);
    return ok ? PASSES : WRONG;
}

/* Which inputs are fixed: none; integers of rank 0 or 1; also scalars, and all of rank 1 after the first. */
enum { ATTEMPTS = 3 };
static bool is_fixed_in(int attempt, int i, const onnx_tensor_file *f) {
    if (attempt == 0 || f->info.rank > 1) return false;
    return !dtype_is_float(f->info.dtype) ? true : attempt == 2 && (i > 0 || f->info.rank == 0);
}

static outcome try_model(const char *path, onnx_model *model, const data_set *d, int attempt, char *message,
                         size_t bytes) {
    struct tn_onnx_input fixed[MOST_TENSORS + 1] = {{0}};
    bool is_fixed[MOST_TENSORS] = {false};
    int n_fixed = 0;
    for (int i = 0; i < d->n_in && (size_t)i < model->graph->inputs.count; i++)
        if (is_fixed_in(attempt, i, &d->in[i])) {
            is_fixed[i] = true;
            fixed[n_fixed++] = (struct tn_onnx_input){model->graph->inputs.items[i].name, tensor_of(&d->in[i])};
        }
    tn_onnx_options options = {.inputs = fixed};
    tn_module *m = tn_onnx_load(path, &options);
    const tn_diag *e = tn_module_error(m);
    outcome result = PASSES;
    tn_diag diag = {0};
    if (e) {
        snprintf(message, bytes, "import: %s: %s", e->file ? e->file : "", e->message);
        result = e->status != TN_ERR_UNSUPPORTED ? WRONG : strstr(e->message, "missing (") ? LACKS_OP : UNSUPPORTED;
    } else if (tn_module_verify(m, &diag) != TN_OK) {
        snprintf(message, bytes, "verifier: %s", diag.message);
        result = WRONG;
    } else {
        const onnx_tensor_file *in[MOST_TENSORS];
        int n = free_inputs(tn_module_main(m), model, d, is_fixed, in);
        result = run_interpreter(tn_module_main(m), in, n, d, message, bytes);
        if (result == PASSES && !getenv("TN_NODES_EVAL")) result = run_compiled(m, in, n, d, message, bytes);
        if (result == PASSES) note_gradient(model, m);
    }
    tn_module_free(m);
    return result;
}

static outcome run_node_test(const char *name, char *message, size_t bytes) {
    char path[PATH_BYTES], folder[PATH_BYTES];
    data_set d;
    tn_diag diag = {0};
    onnx_model *model;
    snprintf(path, sizeof path, NODES "/%s/model.onnx", name);
    snprintf(folder, sizeof folder, NODES "/%s/test_data_set_0", name);
    outcome result = UNSUPPORTED;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        if (strcmp(broken[i].name, name) == 0) {
            snprintf(message, bytes, "%s", broken[i].why);
            return BROKEN;
        }
    if (open_data_set(folder, &d, &diag) != TN_OK || onnx_model_open(path, NULL, &model, &diag) != TN_OK) {
        snprintf(message, bytes, "%s", diag.message);
        close_data_set(&d);
        return diag.status == TN_ERR_UNSUPPORTED ? UNSUPPORTED : WRONG;
    }
    take_dtypes(model, &d);
    for (int attempt = 0; attempt < ATTEMPTS && result == UNSUPPORTED; attempt++)
        result = try_model(path, model, &d, attempt, message, bytes);
    onnx_model_close(model);
    close_data_set(&d);
    return result;
}

/* ---- All tests ------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The names of all tests, sorted; NULL: there are none on this machine. */
static char **list_tests(size_t *n) {
    DIR *dir = opendir(NODES);
    char **names = NULL;
    size_t capacity = 0;
    *n = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (strncmp(entry->d_name, "test_", 5) != 0) continue;
        if (*n == capacity) {
            char **grown = realloc(names, (capacity = capacity ? 2 * capacity : 64) * sizeof *names);
            if (!grown) abort();
            names = grown;
        }
        names[(*n)++] = strdup(entry->d_name);
    }
    if (dir) closedir(dir);
    if (*n > 0) qsort(names, *n, sizeof *names, by_name);
    return names;
}

static bool is_in_list(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; at && (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == '\n') && at[length] == '\n') return true;
    return false;
}

static char *read_list(void) {
    FILE *f = fopen(PASS_LIST, "r");
    if (!f) return NULL;
    char *text = calloc(1, 1 << 20);
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

/* What the documentation says of each op. */
static void check_gradients(void) {
    for (int i = 0; i < n_notes; i++) {
        if (getenv("TN_NODES_GRADIENTS"))
            print_message("%s: %d gradients made, %d refused: %s\n", notes[i].op, notes[i].made, notes[i].refused,
                          notes[i].why);
        bool says = onnx_no_gradient(notes[i].op) == NULL;
        if (says ? notes[i].refused > 0 : notes[i].made > 0)
            fail_msg("%s: %d gradients made, %d refused, but the table says there is %s: %s", notes[i].op,
                     notes[i].made, notes[i].refused, says ? "one" : "none", notes[i].why);
    }
}

static void test_nodes(void **state) {
    (void)state;
    size_t n, counts[OUTCOMES] = {0}, lost = 0;
    char **names = list_tests(&n), *list = read_list();
    const char *only = getenv("TN_NODES");
    bool blesses = getenv("BLESS") && !only;
    if (n == 0) skip();
    FILE *blessed = blesses ? fopen(PASS_LIST, "w") : NULL;
    for (size_t i = 0; i < n; i++) {
        char message[2048] = "";
        if (only && strncmp(names[i] + 5, only, strlen(only)) != 0) continue;
        outcome result = run_node_test(names[i], message, sizeof message);
        counts[result]++;
        bool was_passing = is_in_list(list, names[i]);
        if (result == PASSES && blessed) fprintf(blessed, "%s\n", names[i]);
        if (result == WRONG || (was_passing && result != PASSES) || (only && result != PASSES) ||
            getenv("TN_NODES_ALL"))
            print_message("%s: %s: %s\n", names[i], outcome_names[result], message);
        lost += was_passing && result != PASSES;
    }
    if (blessed) fclose(blessed);
    check_gradients();
    print_message("%zu pass, %zu lack an op, %zu unsupported, %zu broken, %zu wrong; %zu no longer pass\n",
                  counts[PASSES], counts[LACKS_OP], counts[UNSUPPORTED], counts[BROKEN], counts[WRONG], lost);
    for (size_t i = 0; i < n; i++) free(names[i]);
    free(names);
    free(list);
    assert_int_equal(counts[WRONG], 0);
    assert_int_equal(lost, 0);
    if (!only) assert_true(counts[PASSES] >= LEAST_PASSES);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nodes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
