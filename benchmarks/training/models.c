#include "benchmarks/training/models.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 32 };

static void finish(tn_model *m, tn_val logits, tn_val target) {
    tn_model_output(m, "logits", logits);
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", logits, target));
}

/* ---- MLP --------------------------------------------------------------------------------------------------- */

static void build_mlp(tn_model *m, const training_sizes *s, tn_dtype dtype) {
    tn_val h = tn_model_input(m, "x", dtype, TN_SHAPE(TN_SIZE(s->batch), TN_SIZE(s->inputs)));
    tn_val y = tn_model_target(m, "y", TN_I32, TN_SHAPE(TN_SIZE(s->batch)));
    for (int i = 0; i < s->layers; i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "hidden%d", i);
        h = tn_nn_dense(m, h, .units = s->width, .activation = "relu", .name = name);
    }
    finish(m, tn_nn_dense(m, h, .units = s->classes, .name = "head"), y);
}

/* ---- GPT --------------------------------------------------------------------------------------------------- */

/* Pre-norm: both parts of a block add to what they read normalised. */
static tn_val attention_part(void *ctx, tn_model *m, tn_val x) {
    const training_sizes *s = ctx;
    x = tn_nn_layer_norm(m, x, .name = "norm");
    return tn_nn_multi_head_attention(m, x, .heads = s->heads, .causal = true, .name = "heads");
}

static tn_val feed_forward_part(void *ctx, tn_model *m, tn_val x) {
    const training_sizes *s = ctx;
    x = tn_nn_layer_norm(m, x, .name = "norm");
    x = tn_nn_dense(m, x, .units = 4 * s->width, .activation = "gelu", .name = "up");
    return tn_nn_dense(m, x, .units = s->width, .name = "down");
}

static void build_gpt(tn_model *m, const training_sizes *s, tn_dtype dtype) {
    (void)dtype;
    tn_val x = tn_model_input(m, "x", TN_I32, TN_SHAPE(TN_SIZE(s->batch), TN_SIZE(s->context)));
    tn_val y = tn_model_target(m, "y", TN_I32, TN_SHAPE(TN_SIZE(s->batch), TN_SIZE(s->context)));
    tn_nn_init small = {"normal", 0.02};
    tn_val h = tn_nn_embedding(m, x, .count = s->classes, .width = s->width, .init = small, .name = "token");
    h = tn_nn_learned_positions(m, h, .most = s->context, .init = small, .name = "position");
    for (int i = 0; i < s->layers; i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "block%d", i);
        tn_model_push(m, name);
        h = tn_nn_residual(m, h, "attention", attention_part, (void *)s);
        h = tn_nn_residual(m, h, "feed", feed_forward_part, (void *)s);
        tn_model_pop(m);
    }
    h = tn_nn_layer_norm(m, h, .name = "norm");
    finish(m, tn_nn_dense(m, h, .units = s->classes, .no_bias = true, .name = "head"), y);
}

/* ---- ResNet ------------------------------------------------------------------------------------------------- */

static tn_val conv3x3(tn_model *m, tn_val x, int64_t filters, int64_t stride, const char *name) {
    return tn_nn_conv2d(m, x, .filters = filters, .kernel = {3, 3}, .stride = {stride, stride}, .pad = {1, 1},
                        .no_bias = true, .name = name);
}

static tn_val basic_block(tn_model *m, tn_val x, int64_t filters, int64_t stride, bool changes_shape) {
    tn_val h = tn_nn_batch_norm(m, conv3x3(m, x, filters, stride, "conv1"), .name = "norm1");
    h = conv3x3(m, tn_nn_activation(m, h, "relu"), filters, 1, "conv2");
    h = tn_nn_batch_norm(m, h, .name = "norm2");
    if (changes_shape) {
        x = tn_nn_conv2d(m, x, .filters = filters, .kernel = {1, 1}, .stride = {stride, stride}, .no_bias = true,
                         .name = "shortcut");
        x = tn_nn_batch_norm(m, x, .name = "shortcut_norm");
    }
    return tn_nn_activation(m, tn_add(h, x), "relu");
}

/* Without the pooling that pictures of 224 x 224 have first. */
static void build_resnet(tn_model *m, const training_sizes *s, tn_dtype dtype) {
    tn_val x =
        tn_model_input(m, "x", dtype, TN_SHAPE(TN_SIZE(s->batch), TN_SIZE(3), TN_SIZE(s->inputs), TN_SIZE(s->inputs)));
    tn_val y = tn_model_target(m, "y", TN_I32, TN_SHAPE(TN_SIZE(s->batch)));
    tn_val h = tn_nn_batch_norm(m, conv3x3(m, x, s->width, 1, "conv"), .name = "norm");
    h = tn_nn_activation(m, h, "relu");
    for (int stage = 0; stage < s->layers; stage++)
        for (int block = 0; block < s->blocks; block++) {
            char name[NAME_BYTES];
            snprintf(name, sizeof name, "stage%d.%d", stage, block);
            bool is_smaller = stage > 0 && block == 0;
            tn_model_push(m, name);
            h = basic_block(m, h, s->width << stage, is_smaller ? 2 : 1, is_smaller);
            tn_model_pop(m);
        }
    finish(m, tn_nn_dense(m, tn_nn_global_avg_pool(m, h), .units = s->classes, .name = "head"), y);
}

/* ---- The table ---------------------------------------------------------------------------------------------- */

static const training_task tasks[] = {
    {"mlp", build_mlp, {.batch = 128, .classes = 10, .width = 512, .inputs = 784, .layers = 2}, "adam", 1e-3, 0},
    {"gpt",
     build_gpt,
     {.batch = 12, .classes = 65, .width = 128, .layers = 4, .heads = 4, .context = 64},
     "adamw",
     1e-3,
     0},
    {"resnet18",
     build_resnet,
     {.batch = 32, .classes = 10, .width = 64, .inputs = 32, .layers = 4, .blocks = 2},
     "sgd",
     0.002,
     0.9},
};

const training_task *training_task_find(const char *name) {
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strcmp(tasks[i].name, name) == 0) return &tasks[i];
    return NULL;
}

tn_model *training_model_new(const training_task *task, tn_dtype dtype) {
    tn_model *m = tn_model_new(task->name, &(tn_model_options){.dtype = dtype});
    if (m) task->build(m, &task->sizes, dtype);
    return m;
}

tn_optimizer training_optimizer(const training_task *task) {
    tn_optimizer o = tn_optimizer_of(task->optimizer, task->learning_rate);
    o.momentum = task->momentum;
    return o;
}
