/* Loss curves of three small models against PyTorch's, step by step in f64: MLP with Adam, ResNet with SGD, GPT with
 * AdamW. The recorded curves, and the definitions of weights and batches, are those of tests/tools/nn_curves.py.
 * In f32 the end must be near.
 */
#include "tenon_train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 50, MOST = 4096 };
#include "tests/nn_curves.inc"

/* ---- Numbers ------------------------------------------------------------------------------------------------ */

/* In [-1, 1). */
static double hash_number(uint64_t i, uint64_t key) {
    uint32_t u = (uint32_t)(i * 2654435761u + key * 40503 + 12345);
    u = (u ^ u >> 16) * 0x45d9f3b;
    u = (u ^ u >> 16) * 0x45d9f3b;
    u ^= u >> 16;
    return u * 0x1p-31 - 1;
}

static double image[MOST];
static float image32[MOST];
static int32_t words[MOST], labels[MOST];

static void fill_numbers(int n, uint64_t key) {
    for (int i = 0; i < n; i++) image32[i] = (float)(image[i] = hash_number((uint64_t)i, key));
}

static void fill_classes(int32_t *out, int n, uint64_t key, int classes) {
    for (int i = 0; i < n; i++) {
        int c = (int)((hash_number((uint64_t)i, key) + 1) / 2 * classes);
        out[i] = c < classes ? c : classes - 1;
    }
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

static void fill_parameters(tn_model *m) {
    tn_diag diag;
    uint64_t number = 0;
    if (tn_model_initialise(m, 0, &diag) != TN_OK) fail_msg("%s:%d: %s", diag.file, diag.line, diag.message);
    for (int i = 0; i < tn_model_n_parameters(m); i++) {
        tn_parameter p = tn_model_parameter_of(m, i);
        if (!p.is_trainable) continue;
        const int64_t *shape = p.tensor.shape;
        double center = ends_with(p.name, ".scale"), spread = ends_with(p.name, ".table") ? 0.5 : 0.1;
        if (ends_with(p.name, ".kernel"))
            spread = sqrt(3.0 / (double)(p.tensor.rank == 2 ? shape[0] : shape[1] * shape[2] * shape[3]));
        for (int64_t k = 0; k < tn_tensor_elements(&p.tensor); k++) {
            double w = center + spread * hash_number((uint64_t)k, number);
            if (p.tensor.dtype == TN_F64)
                ((double *)p.tensor.data)[k] = w;
            else
                ((float *)p.tensor.data)[k] = (float)w;
        }
        number++;
    }
}

/* ---- Models ---------------------------------------------------------------------------------------------------- */

static void mlp(tn_model *m, tn_dtype dtype) {
    tn_val x = tn_model_input(m, "x", dtype, TN_SHAPE(TN_DIM("n"), TN_SIZE(20)));
    tn_val t = tn_model_target(m, "t", TN_I32, TN_SHAPE(TN_DIM("n")));
    tn_val h = tn_nn_dense(m, x, .units = 32, .activation = "relu");
    h = tn_nn_dense(m, h, .units = 32, .activation = "tanh");
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", tn_nn_dense(m, h, .units = 10), t));
}

static tn_val conv_norm(tn_model *m, tn_val x, int64_t filters, int64_t taps, int64_t stride) {
    tn_val y = tn_nn_conv2d(m, x, .filters = filters, .kernel = {taps, taps}, .stride = {stride, stride},
                            .pad = {taps / 2, taps / 2}, .no_bias = true);
    return tn_nn_batch_norm(m, y);
}

static void resnet(tn_model *m, tn_dtype dtype) {
    static const int64_t filters[] = {8, 8, 16, 16}, strides[] = {1, 1, 2, 1};
    tn_val x = tn_model_input(m, "x", dtype, TN_SHAPE(TN_DIM("n"), TN_SIZE(3), TN_SIZE(8), TN_SIZE(8)));
    tn_val t = tn_model_target(m, "t", TN_I32, TN_SHAPE(TN_DIM("n")));
    tn_val h = tn_nn_activation(m, conv_norm(m, x, 8, 3, 1), "relu");
    for (int i = 0; i < 4; i++) {
        tn_val y = tn_nn_activation(m, conv_norm(m, h, filters[i], 3, strides[i]), "relu");
        y = conv_norm(m, y, filters[i], 3, 1);
        if (strides[i] > 1) h = conv_norm(m, h, filters[i], 1, strides[i]);
        h = tn_nn_activation(m, tn_add(y, h), "relu");
    }
    tn_val logits = tn_nn_dense(m, tn_nn_global_avg_pool(m, h), .units = 10);
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", logits, t));
}

static tn_val attend(void *ctx, tn_model *m, tn_val x) {
    (void)ctx;
    return tn_nn_multi_head_attention(m, tn_nn_layer_norm(m, x), .heads = 4, .causal = true);
}

static tn_val think(void *ctx, tn_model *m, tn_val x) {
    (void)ctx;
    tn_val h = tn_nn_dense(m, tn_nn_layer_norm(m, x), .units = 128, .activation = "gelu");
    return tn_nn_dense(m, h, .units = 32);
}

static void gpt(tn_model *m, tn_dtype dtype) {
    (void)dtype;
    tn_val x = tn_model_input(m, "x", TN_I32, TN_SHAPE(TN_DIM("n"), TN_SIZE(16)));
    tn_val t = tn_model_target(m, "t", TN_I32, TN_SHAPE(TN_DIM("n"), TN_SIZE(16)));
    tn_val h = tn_nn_learned_positions(m, tn_nn_embedding(m, x, .count = 17, .width = 32), .most = 16);
    for (int i = 0; i < 2; i++) {
        tn_model_push(m, i ? "second" : "first");
        h = tn_nn_residual(m, h, "attention", attend, NULL);
        h = tn_nn_residual(m, h, "mlp", think, NULL);
        tn_model_pop(m);
    }
    tn_val logits = tn_nn_dense(m, tn_nn_layer_norm(m, h), .units = 17, .no_bias = true);
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", logits, t));
}

static tn_optimizer adam(void) { return tn_optimizer_of("adam", 0.01); }

static tn_optimizer sgd(void) {
    tn_optimizer o = tn_optimizer_of("sgd", 0.05);
    o.momentum = 0.9;
    o.weight_decay = 5e-4;
    return o;
}

static tn_optimizer adamw(void) {
    tn_optimizer o = tn_optimizer_of("adamw", 3e-3);
    o.weight_decay = 0.1;
    return o;
}

/* ---- Curves ------------------------------------------------------------------------------------------------------ */

static const struct curve {
    const char *name;
    void (*build)(tn_model *m, tn_dtype dtype);
    tn_optimizer (*optimizer)(void);
    bool decays_matrices_only, is_of_words;
    int n_x, classes, rank;
    int64_t shape[4]; /* of x */
    const double *losses;
} curves[] = {
    {"mlp", mlp, adam, false, false, 16 * 20, 10, 2, {16, 20}, mlp_curve},
    {"resnet", resnet, sgd, false, false, 8 * 3 * 64, 10, 4, {8, 3, 8, 8}, resnet_curve},
    {"gpt", gpt, adamw, true, true, 4 * 16, 17, 2, {4, 16}, gpt_curve},
};

static void run_curve(const struct curve *c, tn_dtype dtype, double losses[STEPS]) {
    tn_diag diag = {.file = ""};
    tn_model *m = tn_model_new(c->name, &(tn_model_options){.dtype = dtype});
    c->build(m, dtype);
    if (tn_model_error(m)) fail_msg("%s", tn_model_error(m)->message);
    fill_parameters(m);
    tn_trainer *t = tn_trainer_new(m,
                                   &(tn_trainer_options){.optimizer = c->optimizer(),
                                                         .decays = c->decays_matrices_only ? tn_decay_matrices : NULL},
                                   &diag);
    if (!t) fail_msg("%s:%d: %s", diag.file ? diag.file : "", diag.line, diag.message);
    for (int step = 0; step < STEPS; step++) {
        uint64_t key = (uint64_t)step % 4;
        tn_step_report report;
        if (c->is_of_words)
            fill_classes(words, c->n_x, 1000 + key, c->classes);
        else
            fill_numbers(c->n_x, 1000 + key);
        fill_classes(labels, c->is_of_words ? c->n_x : (int)c->shape[0], 2000 + key, c->classes);
        void *x = c->is_of_words ? (void *)words : dtype == TN_F64 ? (void *)image : (void *)image32;
        tn_tensor batch[] = {tn_tensor_of(c->is_of_words ? TN_I32 : dtype, x, c->rank, c->shape),
                             tn_tensor_of(TN_I32, labels, c->is_of_words ? 2 : 1, c->shape)};
        if (tn_trainer_step(t, batch, 2, &report) != TN_OK) fail_msg("%s: %s", c->name, tn_trainer_error(t)->message);
        losses[step] = report.loss;
    }
    tn_trainer_free(t);
    tn_model_free(m);
}

static void test_curves(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof curves / sizeof *curves; k++) {
        double losses[STEPS], worst = 0;
        run_curve(&curves[k], TN_F64, losses);
        for (int i = 0; i < STEPS; i++) {
            double off = fabs(losses[i] / curves[k].losses[i] - 1);
            worst = fmax(worst, off);
            if (!(off < 1e-6))
                fail_msg("%s, step %d: loss %.17g, PyTorch's %.17g", curves[k].name, i, losses[i], curves[k].losses[i]);
        }
        printf("# %s: largest relative difference %.1e\n", curves[k].name, worst);
    }
}

static void test_ends_in_f32(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof curves / sizeof *curves; k++) {
        double losses[STEPS], is = 0, wanted = 0;
        run_curve(&curves[k], TN_F32, losses);
        for (int i = STEPS - 4; i < STEPS; i++) {
            is += losses[i];
            wanted += curves[k].losses[i];
        }
        if (!(fabs(is / wanted - 1) < 0.02))
            fail_msg("%s: loss %g at the end, PyTorch's %g", curves[k].name, is, wanted);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curves),
        cmocka_unit_test(test_ends_in_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
