/* Trains a small network to read handwritten digits, tests it, saves it as two kinds of file, and reads both back.
 *
 *     digits [DIGITS.csv.gz [FOLDER]]
 *
 * in:  1,797 scans of 8x8 pixels with the digits they show (docs/examples/data); from the repository's root no
 *      arguments are needed
 * out: progress on stderr; on stdout what the network has learnt, where lines with '#' may differ a little from
 *      one kind of CPU to another; FOLDER/digits.safetensors and FOLDER/digits.onnx (default: build)
 */
#include "tenon.h"
#include "tenon_onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 8, PIXELS = SIDE * SIDE, DIGITS = 10, SHOWN = 6, EPOCHS = 15, BATCH = 32 };

/* The digits that are kept for the test, and what the network says of them. */
typedef struct test {
    int64_t n;
    float *pixels;  /* [n, 1, 8, 8], 0 to 1 */
    int64_t *truth; /* [n] */
    float *scores;  /* [n, 10], the greatest is the answer */
} test;

static void stop_on(tn_status status, const tn_diag *diag) {
    if (status == TN_OK) return;
    fprintf(stderr, "%s: error: %s\n", diag->file ? diag->file : "digits", diag->message);
    exit(EXIT_FAILURE);
}

/* ---- The network ---- */

static tn_model *describe(void) {
    tn_model *m = tn_model_new("digits", NULL);
    tn_val x = tn_model_input(m, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(1), TN_SIZE(SIDE), TN_SIZE(SIDE)));
    tn_val y = tn_model_target(m, "y", TN_I64, TN_SHAPE(TN_DIM("n")));
    tn_val h = tn_nn_conv2d(m, x, .filters = 16, .kernel = {3, 3}, .padding = "same", .activation = "relu");
    h = tn_nn_conv2d(m, h, .filters = 32, .kernel = {3, 3}, .padding = "same", .activation = "relu");
    h = tn_nn_max_pool(m, h, .window = {2, 2});
    h = tn_nn_conv2d(m, h, .filters = 64, .kernel = {3, 3}, .padding = "same", .activation = "relu");
    h = tn_nn_max_pool(m, h, .window = {2, 2});
    h = tn_nn_dropout(m, tn_nn_flatten(m, h), .rate = 0.4);
    tn_val scores = tn_nn_dense(m, h, .units = DIGITS);
    tn_model_output(m, "scores", scores);
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", scores, y, .label_smoothing = 0.1));
    tn_model_metric(m, "accuracy", scores, y);
    return m;
}

static void train(tn_model *m, tn_dataset *data, tn_dataset *others, tn_pool *pool) {
    tn_diag diag = {0};
    int64_t steps = EPOCHS * ((tn_dataset_count(data) + BATCH - 1) / BATCH);
    tn_trainer_options how = {.optimizer = tn_optimizer_of("adamw", 5e-3),
                              .schedule = {.kind = "cosine", .total = steps, .warmup = 20},
                              .seed = 3,
                              .pool = pool};
    tn_trainer *t = tn_trainer_new(m, &how, &diag);
    stop_on(diag.status, &diag);
    tn_fit_options loop = {
        .epochs = EPOCHS, .batch_size = BATCH, .seed = 3, .validation = others, .progress_fd = 2 /* stderr */};
    stop_on(tn_fit(t, data, &loop, NULL, &diag), &diag);
    tn_trainer_free(t);
}

/* ---- The test ---- */

static test take_test(const tn_dataset *data) {
    size_t n = (size_t)tn_dataset_count(data);
    test t = {(int64_t)n, calloc(n, PIXELS * sizeof(float)), calloc(n, sizeof(int64_t)),
              calloc(n, DIGITS * sizeof(float))};
    tn_diag diag = {0};
    if (!t.pixels || !t.truth || !t.scores) exit(EXIT_FAILURE);
    for (int64_t i = 0; i < t.n; i++) {
        stop_on(tn_dataset_read(data, tn_dataset_find_field(data, "x"), i, t.pixels + i * PIXELS, &diag), &diag);
        stop_on(tn_dataset_read(data, tn_dataset_find_field(data, "y"), i, t.truth + i, &diag), &diag);
    }
    return t;
}

/* Compiles a module and lets it answer for all digits of the test. The module is freed. */
static void answer(tn_module *module, tn_diag diag, const test *t, float *scores) {
    tn_program *p = module && !tn_module_error(module) ? tn_compile_module(module, NULL) : NULL;
    if (module && tn_module_error(module)) diag = *tn_module_error(module);
    if (!p) stop_on(TN_ERR_ARGUMENT, &diag);
    tn_tensor x = TN_TENSOR(TN_F32, t->pixels, t->n, 1, SIDE, SIDE), y = TN_TENSOR(TN_F32, scores, t->n, DIGITS);
    if (tn_run(p, &x, &y) != TN_OK) stop_on(tn_program_error(p, &diag), &diag);
    tn_program_free(p);
    tn_module_free(module);
}

static void answer_by_model(const tn_model *m, const test *t, float *scores) {
    tn_diag diag = {0};
    tn_module *module = tn_model_inference(m, NULL, &diag);
    answer(module, diag, t, scores);
}

static int said(const float *scores, int64_t i) {
    int best = 0;
    for (int k = 1; k < DIGITS; k++)
        if (scores[i * DIGITS + k] > scores[i * DIGITS + best]) best = k;
    return best;
}

static int same_answers(const test *t, const float *others) {
    for (int64_t i = 0; i < t->n; i++)
        if (said(t->scores, i) != said(others, i)) return 0;
    return 1;
}

/* ---- What is shown ---- */

/* Rows: the digit that was written; columns: the digit that was read. */
static void print_confusion(const test *t) {
    int table[DIGITS][DIGITS] = {{0}};
    for (int64_t i = 0; i < t->n; i++) table[t->truth[i]][said(t->scores, i)]++;
    printf("#\n# read as ");
    for (int k = 0; k < DIGITS; k++) printf("%4d", k);
    for (int row = 0; row < DIGITS; row++) {
        printf("\n# a %d      ", row);
        for (int k = 0; k < DIGITS; k++) table[row][k] ? printf("%4d", table[row][k]) : printf("   .");
    }
    printf("\n#\n");
}

/* Digits side by side, darker characters for more ink; first those that were read wrong. */
static void print_pictures(const test *t) {
    static const char inks[] = " .:-=+*%@";
    int64_t chosen[SHOWN];
    int n = 0;
    for (int wrong = 1; wrong >= 0; wrong--)
        for (int64_t i = 0; i < t->n && n < SHOWN; i++)
            if ((said(t->scores, i) != t->truth[i]) == wrong) chosen[n++] = i;
    for (int row = 0; row < SIDE; row++) {
        printf("# ");
        for (int k = 0; k < n; k++) {
            for (int column = 0; column < SIDE; column++) {
                char ink = inks[(int)(t->pixels[chosen[k] * PIXELS + row * SIDE + column] * 8 + 0.5F)];
                printf("%c%c", ink, ink);
            }
            printf(k < n - 1 ? "   " : "\n");
        }
    }
    printf("# ");
    for (int k = 0; k < n; k++) {
        int is = said(t->scores, chosen[k]), right = is == t->truth[chosen[k]];
        printf(right ? "     read: %d       " : "  read: %d, is: %d   ", is, (int)t->truth[chosen[k]]);
    }
    printf("\n#\n");
}

/* A fifth of the digits is kept for the test: always the same ones, by the seed. */
static void read_digits(const char *path, tn_dataset **data, tn_dataset **others) {
    tn_diag diag = {0};
    tn_dataset *all;
    stop_on(tn_dataset_csv(path, &(tn_csv_options){.label = -1}, &all, &diag), &diag);
    stop_on(tn_dataset_convert(all, "x", TN_F32, 0, 1.0 / 16, &diag), &diag);
    stop_on(tn_dataset_reshape(all, "x", 3, (int64_t[]){1, SIDE, SIDE}, &diag), &diag);
    stop_on(tn_dataset_split(all, &(tn_split_options){.fraction = 0.2, .seed = 1}, data, others, &diag), &diag);
    tn_dataset_free(all);
    printf("%d digits to learn from, %d others for the test\n", (int)tn_dataset_count(*data),
           (int)tn_dataset_count(*others));
}

static void print_test(const test *t) {
    int64_t right = 0;
    for (int64_t i = 0; i < t->n; i++) right += said(t->scores, i) == t->truth[i];
    print_confusion(t);
    print_pictures(t);
    printf("# %d of %d are right, %.1f %%\n", (int)right, (int)t->n, 100.0 * (double)right / (double)t->n);
    printf("at least 98 %% of the test are right: %s\n", right * 100 >= t->n * 98 ? "yes" : "no");
}

/* Parameters, read back into a model that is described anew. */
static void check_safetensors(const tn_model *m, const char *folder, const test *t, float *scores) {
    char path[1024];
    tn_diag diag = {0};
    tn_model *again = describe();
    snprintf(path, sizeof path, "%s/digits.safetensors", folder);
    stop_on(tn_model_save(m, path, &diag), &diag);
    stop_on(tn_model_load(again, path, NULL, &diag), &diag);
    answer_by_model(again, t, scores);
    printf("digits.safetensors says the same: %s\n", same_answers(t, scores) ? "yes" : "no");
    tn_model_free(again);
}

/* The model as a whole, which other systems read too. */
static void check_onnx(const tn_model *m, const char *folder, const test *t, float *scores) {
    char path[1024];
    tn_diag diag = {0};
    tn_module *module = tn_model_inference(m, NULL, &diag);
    snprintf(path, sizeof path, "%s/digits.onnx", folder);
    stop_on(diag.status, &diag);
    stop_on(tn_onnx_write(module, path, NULL, &diag), &diag);
    answer(tn_onnx_load(path, NULL), diag, t, scores);
    printf("digits.onnx says the same: %s\n", same_answers(t, scores) ? "yes" : "no");
    tn_module_free(module);
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "docs/examples/data/digits.csv.gz", *folder = argc > 2 ? argv[2] : "build";
    tn_dataset *data, *others;
    read_digits(path, &data, &others);
    tn_pool *pool = tn_pool_new(0);
    tn_model *m = describe();
    train(m, data, others, pool);

    test t = take_test(others);
    float *scores = calloc((size_t)t.n, DIGITS * sizeof *scores);
    if (!scores) exit(EXIT_FAILURE);
    answer_by_model(m, &t, t.scores);
    print_test(&t);
    check_safetensors(m, folder, &t, scores);
    check_onnx(m, folder, &t, scores);

    free(scores);
    free(t.pixels);
    free(t.truth);
    free(t.scores);
    tn_model_free(m);
    tn_pool_free(pool);
    tn_dataset_free(others);
    tn_dataset_free(data);
    return EXIT_SUCCESS;
}
