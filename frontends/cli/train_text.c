/* A small GPT on the characters of a text, and what it writes.
 *
 * in:  a text file, UTF-8, plain or gzip
 * out: datasets of stretches of 64 characters; a transformer of 4 layers, 128 wide, with 4 heads; a sample
 * law: the same model and seed write the same sample
 */
#include "frontends/cli/train.h"

#include "runtime/alloc.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CONTEXT = 64, LAYERS = 4, WIDTH = 128, HEADS = 4, SAMPLE = 400 };
static const double TEMPERATURE = 0.8;

/* ---- The model ----------------------------------------------------------------------------------------------- */

static tn_val attend(void *ctx, tn_model *m, tn_val x) {
    (void)ctx;
    return tn_nn_multi_head_attention(m, tn_nn_layer_norm(m, x), .heads = HEADS, .causal = true,
                                      .kernel_init = {"normal", 0.02});
}

static tn_val think(void *ctx, tn_model *m, tn_val x) {
    (void)ctx;
    tn_val h = tn_nn_dense(m, tn_nn_layer_norm(m, x), .units = 4 * WIDTH, .activation = "gelu_tanh",
                           .kernel_init = {"normal", 0.02}, .name = "up");
    return tn_nn_dense(m, h, .units = WIDTH, .kernel_init = {"normal", 0.02}, .name = "down");
}

static tn_model *describe(int64_t characters) {
    tn_model *m = tn_model_new("gpt", NULL);
    tn_shape shape = TN_SHAPE(TN_DIM("n"), TN_DIM("t"));
    tn_val x = tn_model_input(m, "x", TN_I64, shape), y = tn_model_target(m, "y", TN_I64, shape);
    tn_val h = tn_nn_embedding(m, x, .count = characters, .width = WIDTH, .init = {"normal", 0.02});
    h = tn_nn_learned_positions(m, h, .most = CONTEXT);
    for (int i = 0; i < LAYERS; i++) {
        char name[24];
        snprintf(name, sizeof name, "block%d", i);
        tn_model_push(m, name);
        h = tn_nn_residual(m, h, "attention", attend, NULL);
        h = tn_nn_residual(m, h, "mlp", think, NULL);
        tn_model_pop(m);
    }
    tn_val logits = tn_nn_dense(m, tn_nn_layer_norm(m, h), .units = characters, .no_bias = true, .name = "head",
                                .kernel_init = {"normal", 0.02});
    tn_model_output(m, "logits", logits);
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", logits, y));
    return m;
}

int train_open_text(training *t) {
    tn_dataset *all;
    tn_diag diag = {0};
    tn_text_options options = {.context = CONTEXT, .stride = CONTEXT};
    if (tn_dataset_text(t->path, &options, &all, &diag) != TN_OK) return report(t->path, &diag);
    t->texts = tn_dataset_retain(all);
    int64_t characters = 0;
    while (tn_dataset_class(all, characters)) characters++;
    int status = train_split(t, all, true);
    if (status) return status;
    t->drop_last = tn_dataset_count(t->data) >= t->batch; /* a step for another size is not worth compiling */
    t->model = describe(characters);
    return t->model ? EXIT_DONE : report_text(t->path, "out of memory");
}

/* ---- The sample ------------------------------------------------------------------------------------------------ */

/* SplitMix64 (Steele, Lea, Flood 2014), as a number in [0, 1). */
static double next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* A character by its probability, softmax(logits / TEMPERATURE). */
static int64_t draw(const float *logits, int64_t n, uint64_t *random) {
    double most = -INFINITY, sum = 0, left;
    for (int64_t k = 0; k < n; k++) most = fmax(most, (double)logits[k]);
    for (int64_t k = 0; k < n; k++) sum += exp(((double)logits[k] - most) / TEMPERATURE);
    left = next_random(random) * sum;
    for (int64_t k = 0; k < n; k++) {
        left -= exp(((double)logits[k] - most) / TEMPERATURE);
        if (left < 0) return k;
    }
    return n - 1;
}

/* Writes on from a line's end, each character from the last CONTEXT ones. */
static tn_status write_sample(const training *t, tn_exec *exec) {
    int64_t text[SAMPLE + 1] = {0}, n;
    uint64_t random = (uint64_t)NUMBER_OF(t->a, seed, 0);
    if (tn_text_encode(t->texts, "\n", text, 1, &n, NULL) != TN_OK) text[0] = 0;
    for (int at = 1; at <= SAMPLE; at++) {
        int64_t seen = at < CONTEXT ? at : CONTEXT;
        tn_tensor x = TN_TENSOR(TN_I64, text + at - seen, 1, seen), logits = {0};
        tn_status status = tn_exec_run(exec, &x, 1, &logits, 1);
        if (status != TN_OK) return status;
        int64_t characters = logits.shape[2];
        text[at] = draw((const float *)logits.data + (seen - 1) * characters, characters, &random);
        printf("%s", tn_dataset_class(t->texts, text[at]));
    }
    printf("\n");
    return TN_OK;
}

int train_write_sample(training *t) {
    tn_diag diag = {0};
    tn_module *m = tn_model_inference(t->model, NULL, &diag);
    if (!m) return report(t->path, &diag);
    tn_program *p = tn_compile_module(m, &(tn_compile_options){.pool = t->pool});
    tn_exec *exec = p ? tn_exec_new(p, &(tn_exec_options){.pool = t->pool}) : NULL;
    int status = EXIT_DONE;
    if (!exec)
        status = p ? report_text(t->path, "out of memory") : report(t->path, tn_module_error(m));
    else if (write_sample(t, exec) != TN_OK)
        status = report(t->path, tn_exec_error(exec));
    tn_exec_free(exec);
    tn_program_free(p);
    tn_module_free(m);
    return status;
}
