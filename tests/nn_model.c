/* Models as a whole: inference graph, sizes, summary, parameters. */
#include "tests/lib/nn_forward.h"

#include "frontends/nn/model.h"
#include "tenon_compile.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 3, SIDE = 6 };

static tn_model *digits(tn_dtype dtype, tn_dtype compute) {
    tn_model *m = tn_model_new("digits", &(tn_model_options){dtype, compute});
    tn_val x = tn_model_input(m, "image", dtype, TN_SHAPE(TN_DIM("n"), TN_SIZE(1), TN_SIZE(SIDE), TN_SIZE(SIDE)));
    tn_val label = tn_model_target(m, "label", TN_I32, TN_SHAPE(TN_DIM("n")));
    tn_model_push(m, "block");
    tn_val h = tn_nn_conv2d(m, x, .filters = 4, .kernel = {3, 3}, .padding = "same", .no_bias = true, .name = "conv");
    h = tn_nn_activation(m, tn_nn_batch_norm(m, h), "relu");
    tn_model_pop(m);
    h = tn_nn_max_pool(m, h, .window = {2, 2});
    h = tn_nn_dropout(m, tn_nn_flatten(m, h), .rate = 0.5);
    tn_val logits = tn_nn_dense(m, h, .units = 10, .penalty = {.l2 = 1e-4});
    tn_model_output(m, "logits", logits);
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", logits, label));
    tn_model_metric(m, "accuracy", logits, label);
    return m;
}

/* ---- Inference ----------------------------------------------------------------------------------------------- */

static size_t count_ops(const tn_module *m, tn_op op) {
    size_t n = 0;
    for (size_t k = 0; k < m->n_graphs; k++)
        for (size_t i = 0; i < m->graphs[k]->n_nodes; i++) n += m->graphs[k]->nodes[i].op == op;
    return n;
}

/* Only what inference needs is left: no random numbers, no moments of the batch, no target, no selects. */
static void test_inference_graph(void **state) {
    (void)state;
    tn_diag diag;
    tn_model *m = digits(TN_F64, TN_F64);
    nn_scramble(m, 2);
    tn_module *inference = tn_model_inference(m, NULL, &diag);
    if (!inference) {
        fail_msg("%s", diag.message);
        return;
    }
    if (tn_module_verify(inference, &diag) != TN_OK) fail_msg("%s", diag.message);
    tn_graph *main = tn_module_main(inference);
    assert_string_equal(main->name, "main");
    assert_int_equal(inference->n_graphs, 1);
    assert_int_equal(main->n_results, 1);
    assert_int_equal(main->n_params, 1 + 7); /* image; kernel; scale, bias, mean, variance; kernel, bias */
    static const tn_op gone[] = {TN_OP_rng_bits, TN_OP_select, TN_OP_mean,
                                 TN_OP_variance, TN_OP_gather, TN_OP_log_softmax};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) assert_int_equal(count_ops(inference, gone[i]), 0);
    tn_module_free(inference);
    tn_model_free(m);
}

/* Compiled, it gives what forward gives without training; the model may go first. */
static void test_inference_runs(void **state) {
    (void)state;
    static double image[N * SIDE * SIDE], got[N * 10];
    static const int32_t label[N] = {0, 1, 2};
    tn_diag diag;
    tn_model *m = digits(TN_F64, TN_F64);
    nn_forward r;
    nn_numbers(image, N * SIDE * SIDE, 4);
    nn_scramble(m, 2);
    nn_forward_open(&r, m, false, 0, N, (const void *[]){image, label});
    double wanted[N * 10];
    memcpy(wanted, nn_forward_result(&r, "logits"), sizeof wanted);
    nn_forward_close(&r);
    tn_module *inference = tn_model_inference(m, NULL, &diag);
    tn_module *fixed = tn_model_inference(m, (tn_model_size[]){{"n", N}, {0}}, &diag);
    assert_true(inference && fixed);
    tn_model_free(m);
    tn_program *p = tn_compile_module(inference, NULL);
    if (!p) fail_msg("%s", tn_module_error(inference)->message);
    tn_tensor in = TN_TENSOR(TN_F64, image, N, 1, SIDE, SIDE), out = TN_TENSOR(TN_F64, got, N, 10);
    assert_int_equal(tn_run(p, &in, &out), TN_OK);
    assert_numbers(got, wanted, N * 10, "compiled inference");
    tn_program_free(p);
    tn_module_free(inference);
    tn_program *of_three = tn_compile_module(fixed, NULL);
    if (!of_three) fail_msg("%s", tn_module_error(fixed)->message);
    assert_int_equal(tn_program_n_symbols(of_three), 0);
    memset(got, 0, sizeof got);
    assert_int_equal(tn_run(of_three, &in, &out), TN_OK);
    assert_numbers(got, wanted, N * 10, "inference of a fixed size");
    tn_program_free(of_three);
    tn_module_free(fixed);
}

/* Bodies of scans stay with the inference graph, those of nobody don't. */
static void test_inference_of_scans(void **state) {
    (void)state;
    tn_diag diag;
    tn_model *m = tn_model_new("lstm", NULL);
    tn_val x = tn_model_input(m, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_DIM("steps"), TN_SIZE(3)));
    tn_val other = tn_model_input(m, "other", TN_F32, TN_SHAPE(TN_DIM("n"), TN_DIM("steps"), TN_SIZE(3)));
    tn_model_output(m, "y", tn_nn_lstm(m, x, .units = 4, .last_only = true));
    tn_model_loss(m, "loss", tn_sum(tn_nn_gru(m, other, .units = 4), TN_NO_INTS));
    assert_int_equal(tn_model_initialise(m, 1, &diag), TN_OK);
    tn_module *inference = tn_model_inference(m, NULL, &diag);
    if (!inference) {
        fail_msg("%s", diag.message);
        return;
    }
    assert_int_equal(inference->n_graphs, 2);
    assert_int_equal(tn_module_main(inference)->n_params, 4);
    if (tn_module_verify(inference, &diag) != TN_OK) fail_msg("%s", diag.message);
    tn_module_free(inference);
    tn_model_free(m);
}

/* Layers compute in bf16, parameters and results are f32, and the results near those of f32. */
static void test_mixed_precision(void **state) {
    (void)state;
    static float image[N * SIDE * SIDE], got[2][N * 10];
    for (int i = 0; i < N * SIDE * SIDE; i++) image[i] = (float)(i * 7 % 11) / 11;
    for (int mixed = 0; mixed < 2; mixed++) {
        tn_diag diag;
        tn_model *m = digits(TN_F32, mixed ? TN_BF16 : TN_F32);
        assert_int_equal(tn_model_initialise(m, 3, &diag), TN_OK);
        for (int i = 0; i < tn_model_n_parameters(m); i++)
            assert_int_equal(tn_model_parameter_of(m, i).tensor.dtype, TN_F32);
        tn_module *inference = tn_model_inference(m, NULL, &diag);
        tn_program *p = inference ? tn_compile_module(inference, NULL) : NULL;
        if (!p) fail_msg("%s", inference ? tn_module_error(inference)->message : diag.message);
        tn_tensor in = TN_TENSOR(TN_F32, image, N, 1, SIDE, SIDE), out = TN_TENSOR(TN_F32, got[mixed], N, 10);
        assert_int_equal(tn_run(p, &in, &out), TN_OK);
        tn_program_free(p);
        tn_module_free(inference);
        tn_model_free(m);
    }
    int n_equal = 0;
    for (int i = 0; i < N * 10; i++) {
        double off = fabs((double)got[0][i] - (double)got[1][i]);
        n_equal += off == 0;
        if (off > 0.05) fail_msg("logit %d: %g in f32, %g in bf16", i, (double)got[0][i], (double)got[1][i]);
    }
    assert_true(n_equal < N * 5);
}

/* ---- Parameters and summary ------------------------------------------------------------------------------------ */

static void test_parameters(void **state) {
    (void)state;
    tn_diag diag;
    tn_model *m = digits(TN_F32, TN_F32);
    static const char *const names[] = {"block.conv.kernel",
                                        "block.batch_norm.scale",
                                        "block.batch_norm.bias",
                                        "block.batch_norm.mean",
                                        "block.batch_norm.variance",
                                        "dense.kernel",
                                        "dense.bias"};
    assert_int_equal(tn_model_n_parameters(m), 7);
    assert_null(tn_model_parameter_of(m, 0).tensor.data);
    assert_int_equal(tn_model_initialise(m, 3, &diag), TN_OK);
    for (int i = 0; i < 7; i++) {
        tn_parameter p = tn_model_parameter_of(m, i);
        assert_string_equal(p.name, names[i]);
        assert_int_equal(tn_model_find_parameter(m, names[i]), i);
        assert_int_equal(p.is_trainable, i != 3 && i != 4);
    }
    assert_null(tn_model_parameter_of(m, 7).name);
    assert_null(tn_model_parameter_of(m, -1).name);
    assert_int_equal(tn_model_find_parameter(m, "dense"), -1);
    tn_parameter kernel = tn_model_parameter_of(m, 0), variance = tn_model_parameter_of(m, 4);
    const float *w = kernel.tensor.data, *v = variance.tensor.data;
    double bound = sqrt(6.0 / (9 + 36));
    for (int i = 0; i < 36; i++) assert_true(fabs((double)w[i]) <= bound && w[i] != 0);
    for (int i = 0; i < 4; i++) assert_true(v[i] == 1);
    tn_model_free(m);
}

static void test_not_ready(void **state) {
    (void)state;
    tn_diag diag;
    tn_model *m = digits(TN_F32, TN_F32);
    assert_null(tn_model_inference(m, NULL, &diag));
    assert_non_null(strstr(diag.message, "no values for block.conv.kernel: tn_model_initialise"));
    tn_model_free(m);
    m = tn_model_new("empty", NULL);
    assert_null(tn_model_inference(m, NULL, &diag));
    assert_non_null(strstr(diag.message, "no output"));
    tn_model_free(m);
    m = tn_model_new("odd", &(tn_model_options){.dtype = TN_I32});
    assert_non_null(strstr(tn_model_error(m)->message, "parameters are f32 or f64, not i32"));
    tn_model_free(m);
    m = tn_model_new("odd", &(tn_model_options){.compute = TN_F64});
    assert_non_null(strstr(tn_model_error(m)->message, "no wider than the parameters' f32, not in f64"));
    tn_model_free(m);
    tn_model_free(NULL);
    assert_null(tn_model_inference(NULL, NULL, &diag));
}

static const char summary[] = "model digits\n"
                              "layer                output             parameters      operations\n"
                              "------------------------------------------------------------------\n"
                              "image (input)        f32[n, 1, 6, 6]\n"
                              "block.conv (conv2d)  f32[n, 4, 6, 6]            36           2,592\n"
                              "block.batch_norm     f32[n, 4, 6, 6]            16             471\n"
                              "block.relu           f32[n, 4, 6, 6]             0             144\n"
                              "max_pool             f32[n, 4, 3, 3]             0             144\n"
                              "flatten              f32[n, 36]                  0               0\n"
                              "dropout              f32[n, 36]                  0             108\n"
                              "dense                f32[n, 10]                370             730\n"
                              "------------------------------------------------------------------\n"
                              "parameters: 422, trainable 414 (1,688 bytes)\n"
                              "operations: 4,189\n";

static void test_summary(void **state) {
    (void)state;
    tn_model *m = digits(TN_F32, TN_F32);
    char *text = tn_model_summary(m);
    assert_string_equal(text, summary);
    tn_text_free(text);
    tn_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inference_graph),
        cmocka_unit_test(test_inference_runs),
        cmocka_unit_test(test_inference_of_scans),
        cmocka_unit_test(test_mixed_precision),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_not_ready),
        cmocka_unit_test(test_summary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
