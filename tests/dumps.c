/* Dumps of real models: the text of every stage up to the loop trees parses, verifies, and is the same program.
 *
 * For the first case of every model of tests/models: what the stages make of a dump is compared with what they make of
 * the model itself, text by text, source locations too. Where that differs (a pass may take a second look at what
 * a later one has left), the dump is compiled and run on the case's inputs: the results have the same bits. So do those of
 * the loop trees as they were read, which are run in any case. With TN_LONG=1 all models, else those that take
 * little time. Models that are not in build/models are skipped, by name.
 */
#include "tests/lib/cases.h"

#include "compiler/stages.h"
#include "tenon.h"
#include "tenon_onnx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_STAGES = 32 };

typedef struct stage_text {
    char name[24];
    char *text;
} stage_text;

/* A model, its dumps, and the answer of the program that is made of it at once. */
typedef struct dumped {
    const model_case *c;
    tn_module *module;
    eval_tensor in[CASE_TENSORS];
    tn_program *program;
    tn_exec *answer;
    stage_text stages[MOST_STAGES];
    int n_stages, n_run;
} dumped;

/* Data of constants stand in a file of the same name in a folder of each text, which the text names without the folder. */
static char root[] = "/tmp/tenon-dumps-XXXXXX";

static const char *in_folder(const char *folder, const char *file, char *path, size_t bytes) {
    snprintf(path, bytes, "%s/%s", root, folder);
    mkdir(path, 0700);
    snprintf(path, bytes, "%s/%s/%s", root, folder, file);
    return path;
}

/* ---- Dumping -------------------------------------------------------------------------------------- */

static bool keep_text(void *ctx, compilation *c, const char *stage) {
    dumped *d = ctx;
    char path[300];
    stage_text *s = &d->stages[d->n_stages];
    assert_true(d->n_stages < MOST_STAGES);
    snprintf(s->name, sizeof s->name, "%s", stage);
    in_folder(stage, "data.bin", path, sizeof path);
    bool is_last = strcmp(stage, "loops") == 0;
    /* The last one has loop trees behind the graph. */
    s->text = is_last ? tn_compile_text(d->module, NULL, stage, path, NULL) : tn_module_print(c->module, path);
    assert_non_null(s->text);
    d->n_stages++;
    return !is_last;
}

static void dump(dumped *d) {
    compilation c;
    compilation_goal goal = {.prefix = "", .inspect = keep_text, .inspect_ctx = d};
    if (!compilation_run(&c, d->module, NULL, &goal)) fail_msg("%s: %s", d->c->model, c.diag.message);
    compilation_end(&c);
}

/* ---- Reading back ------------------------------------------------------------------------------------ */

static tn_exec *run_program(const dumped *d, tn_program *p) {
    tn_exec *exec = tn_exec_new(p, NULL);
    assert_non_null(exec);
    for (int i = 0; i < d->c->n_in; i++) {
        tn_tensor t = tn_tensor_of(d->in[i].dtype, d->in[i].data, d->in[i].rank, d->in[i].dims);
        assert_int_equal(tn_exec_set_input(exec, d->c->in[i].name, &t), TN_OK);
    }
    if (tn_exec_run(exec, NULL, 0, NULL, 0) != TN_OK) fail_msg("%s", tn_exec_error(exec)->message);
    return exec;
}

static void assert_same_answer(dumped *d, const char *stage, tn_module *m) {
    tn_program *p = tn_compile_module(m, NULL);
    if (!p) fail_msg("%s after %s: %s", d->c->model, stage, tn_module_error(m)->message);
    tn_exec *exec = run_program(d, p);
    for (int i = 0; i < d->c->n_out; i++) {
        const tn_tensor *want = tn_exec_output_named(d->answer, d->c->out[i].name);
        const tn_tensor *got = tn_exec_output_named(exec, d->c->out[i].name);
        if (!want || !got) {
            fail_msg("%s after %s: the output %s is gone", d->c->model, stage, d->c->out[i].name);
            return;
        }
        assert_int_equal(tn_tensor_bytes(want), tn_tensor_bytes(got));
        if (memcmp(want->data, got->data, (size_t)tn_tensor_bytes(want)) != 0)
            fail_msg("%s after %s: %s has other bits", d->c->model, stage, d->c->out[i].name);
    }
    tn_exec_free(exec);
    tn_program_free(p);
    d->n_run++;
}

/* What the stages make of a dump, whose name stands in its folder so that its data are found. */
static void read_back(dumped *d, const stage_text *s, const char *loops) {
    char path[300], data[300];
    tn_diag diag = {0};
    in_folder(s->name, "dump.tn", path, sizeof path);
    tn_module *m = tn_module_parse(s->text, strlen(s->text), path);
    if (!m || tn_module_error(m)) fail_msg("%s: %s", path, m ? tn_module_error(m)->message : "no memory");
    if (tn_module_verify(m, &diag) != TN_OK) fail_msg("%s after %s: %s", d->c->model, s->name, diag.message);
    in_folder("again", "data.bin", data, sizeof data);
    char *again = tn_compile_text(m, NULL, "loops", data, &diag);
    if (!again) fail_msg("%s after %s: %s", d->c->model, s->name, diag.message);
    bool is_same = again && strcmp(again, loops) == 0;
    tn_text_free(again);
    if (!is_same || strcmp(s->name, "loops") == 0) assert_same_answer(d, s->name, m);
    tn_module_free(m);
}

/* ---- All models --------------------------------------------------------------------------------------- */

static void test_model(void **state) {
    dumped d = {.c = *state};
    char path[300], message[CASE_MESSAGE];
    snprintf(path, sizeof path, "build/models/%s", d.c->model);
    if (access(path, R_OK) != 0) skip();
    d.module = tn_onnx_load(path, NULL);
    assert_non_null(d.module);
    d.program = tn_compile_module(d.module, NULL);
    if (!d.program) fail_msg("%s: %s", path, tn_module_error(d.module)->message);
    for (int i = 0; i < d.c->n_in; i++)
        if (!case_input(&d.c->in[i], &d.in[i], message)) fail_msg("%s", message);
    d.answer = run_program(&d, d.program);
    dump(&d);
    for (int i = 0; i < d.n_stages; i++) read_back(&d, &d.stages[i], d.stages[d.n_stages - 1].text);
    printf("# %s: %d dumps, %d of them run\n", d.c->model, d.n_stages, d.n_run);
    for (int i = 0; i < d.n_stages; i++) tn_text_free(d.stages[i].text);
    for (int i = 0; i < d.c->n_in; i++) eval_tensor_free(&d.in[i]);
    tn_exec_free(d.answer);
    tn_program_free(d.program);
    tn_module_free(d.module);
}

/* What takes a second or so; the others take up to minutes, as large weights are written out with each stage. */
static const char *const quick[] = {
    "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "dtln_model_1.onnx",
    "light_densenet121.onnx",
    "light_inception_v2.onnx",
    "light_shufflenet.onnx",
    "mtcnn_pnet.onnx",
    "mtcnn_rnet.onnx",
    "silero_vad.onnx",
};

static bool is_wanted(const char *model, int argc, char **argv) {
    bool wanted = argc <= 1 && getenv("TN_LONG");
    for (int i = 1; i < argc; i++) wanted |= strstr(model, argv[i]) != NULL;
    for (size_t i = 0; argc <= 1 && i < sizeof quick / sizeof *quick; i++) wanted |= strcmp(model, quick[i]) == 0;
    return wanted;
}

static int make_root(void **state) {
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state) {
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

/* Arguments: parts of names of the models. */
int main(int argc, char **argv) {
    char message[CASE_MESSAGE];
    size_t n, n_tests = 0;
    model_case *all = cases_read("tests/models/cases.txt", &n, message);
    if (!all) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    struct CMUnitTest *tests = calloc(n + 1, sizeof *tests);
    for (size_t i = 0; tests && i < n; i++) {
        bool is_first = true;
        for (size_t k = 0; k < i; k++) is_first &= strcmp(all[i].model, all[k].model) != 0;
        if (is_first && is_wanted(all[i].model, argc, argv))
            tests[n_tests++] = (struct CMUnitTest){all[i].model, test_model, NULL, NULL, &all[i]};
    }
    int failed = tests ? _cmocka_run_group_tests("dumps", tests, n_tests, make_root, remove_root) : 1;
    free(tests);
    tn_free(all);
    return failed;
}
