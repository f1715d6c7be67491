/* Layers against their definitions, written out over plain arrays of f64. Convolutional and recurrent ones are in
 * nn_windows.c and nn_sequences.c.
 */
#include "tests/lib/nn_forward.h"

#include "frontends/nn/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A model with an input x and an output y; the layer comes in between. */
typedef struct layer_trial {
    tn_model *m;
    tn_val x;
    double data[4096];
} layer_trial;

static void open_trial(layer_trial *t, tn_shape shape, uint64_t seed) {
    t->m = tn_model_new("layers", &(tn_model_options){.dtype = TN_F64});
    t->x = tn_model_input(t->m, "x", TN_F64, shape);
    nn_numbers(t->data, 4096, seed);
}

static void run_trial(layer_trial *t, nn_forward *r, tn_val y, bool training) {
    tn_model_output(t->m, "y", y);
    nn_scramble(t->m, 9);
    nn_forward_open(r, t->m, training, 1, 3, (const void *[]){t->data});
}

static void close_trial(layer_trial *t, nn_forward *r) {
    nn_forward_close(r);
    tn_model_free(t->m);
}

/* ---- Dense, embedding, activations --------------------------------------------------------------------- */

static void test_dense(void **state) {
    (void)state;
    layer_trial t;
    nn_forward r;
    open_trial(&t, TN_SHAPE(TN_DIM("n"), TN_SIZE(2), TN_SIZE(4)), 1);
    run_trial(&t, &r, tn_nn_dense(t.m, t.x, .units = 5, .activation = "tanh"), false);
    const double *kernel = nn_forward_parameter(&r, "dense.kernel"), *bias = nn_forward_parameter(&r, "dense.bias");
    double wanted[3 * 2 * 5];
    for (int i = 0; i < 6; i++)
        for (int u = 0; u < 5; u++) {
            double sum = bias[u];
            for (int k = 0; k < 4; k++) sum += t.data[i * 4 + k] * kernel[k * 5 + u];
            wanted[i * 5 + u] = tanh(sum);
        }
    assert_numbers(nn_forward_result(&r, "y"), wanted, 30, "dense");
    close_trial(&t, &r);
}

static double f_relu(double x) { return x > 0 ? x : 0; }
static double f_leaky_relu(double x) { return x > 0 ? x : 0.01 * x; }
static double f_elu(double x) { return x > 0 ? x : expm1(x); }
static double f_gelu(double x) { return x * (1 + erf(x / sqrt(2))) / 2; }
static double f_gelu_tanh(double x) {
    return x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x))) / 2;
}
static double f_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double f_silu(double x) { return x * f_sigmoid(x); }
static double f_hard_sigmoid(double x) { return fmin(fmax(x / 6 + 0.5, 0), 1); }
static double f_hard_swish(double x) { return x * f_hard_sigmoid(x); }
static double f_softplus(double x) { return log1p(exp(x)); }
static double f_mish(double x) { return x * tanh(f_softplus(x)); }
static double f_linear(double x) { return x; }

static const struct {
    const char *name;
    double (*f)(double x);
} activations[] = {
    {"linear", f_linear},
    {"relu", f_relu},
    {"leaky_relu", f_leaky_relu},
    {"elu", f_elu},
    {"gelu", f_gelu},
    {"gelu_tanh", f_gelu_tanh},
    {"silu", f_silu},
    {"sigmoid", f_sigmoid},
    {"hard_sigmoid", f_hard_sigmoid},
    {"hard_swish", f_hard_swish},
    {"tanh", tanh},
    {"softplus", f_softplus},
    {"mish", f_mish},
    {"exp", exp},
};

static void test_activations(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof activations / sizeof *activations; k++) {
        layer_trial t;
        nn_forward r;
        double wanted[30];
        open_trial(&t, TN_SHAPE(TN_DIM("n"), TN_SIZE(10)), 2);
        for (int i = 0; i < 30; i++) wanted[i] = activations[k].f(t.data[i] *= 4);
        run_trial(&t, &r, tn_nn_activation(t.m, t.x, activations[k].name), false);
        assert_numbers(nn_forward_result(&r, "y"), wanted, 30, activations[k].name);
        close_trial(&t, &r);
    }
}

static void test_softmax(void **state) {
    (void)state;
    layer_trial t;
    nn_forward r;
    double wanted[30];
    open_trial(&t, TN_SHAPE(TN_DIM("n"), TN_SIZE(10)), 2);
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        for (int k = 0; k < 10; k++) sum += exp(t.data[i * 10 + k]);
        for (int k = 0; k < 10; k++) wanted[i * 10 + k] = t.data[i * 10 + k] - log(sum);
    }
    run_trial(&t, &r, tn_nn_activation(t.m, t.x, "log_softmax"), false);
    assert_numbers(nn_forward_result(&r, "y"), wanted, 30, "log_softmax");
    close_trial(&t, &r);
}

static void test_embedding(void **state) {
    (void)state;
    static const int32_t rows[] = {4, 0, 2, 2, 3, 4};
    tn_model *m = tn_model_new("embedding", &(tn_model_options){.dtype = TN_F64});
    tn_val x = tn_model_input(m, "x", TN_I32, TN_SHAPE(TN_DIM("n"), TN_SIZE(2)));
    tn_model_output(m, "y", tn_nn_embedding(m, x, .count = 5, .width = 3, .name = "words"));
    nn_scramble(m, 4);
    nn_forward r;
    nn_forward_open(&r, m, false, 0, 3, (const void *[]){rows});
    const double *table = nn_forward_parameter(&r, "words.table");
    for (int i = 0; i < 6; i++) assert_numbers(nn_forward_result(&r, "y") + 3 * i, table + 3 * rows[i], 3, "embedding");
    nn_forward_close(&r);
    tn_model_free(m);
}

static tn_val block(void *ctx, tn_model *m, tn_val x) {
    return tn_nn_dense(m, x, .units = *(int *)ctx, .no_bias = true, .name = "inside");
}

static void test_blocks(void **state) {
    (void)state;
    layer_trial t;
    nn_forward r;
    int widths[] = {4, 3};
    double wanted[12];
    open_trial(&t, TN_SHAPE(TN_DIM("n"), TN_SIZE(4)), 3);
    tn_val h = tn_nn_residual(t.m, t.x, NULL, block, &widths[0]);
    h = tn_nn_sequential(t.m, h, "tail", ((tn_nn_block[]){block, block}), ((void *[]){&widths[1], &widths[0]}), 2);
    run_trial(&t, &r, h, false);
    const double *a = nn_forward_parameter(&r, "residual.inside.kernel");
    const double *b = nn_forward_parameter(&r, "tail.0.inside.kernel"),
                 *c = nn_forward_parameter(&r, "tail.1.inside.kernel");
    for (int i = 0; i < 3; i++) {
        double sum[4], next[3];
        for (int k = 0; k < 4; k++) {
            sum[k] = t.data[i * 4 + k];
            for (int j = 0; j < 4; j++) sum[k] += t.data[i * 4 + j] * a[j * 4 + k];
        }
        for (int k = 0; k < 3; k++) {
            next[k] = 0;
            for (int j = 0; j < 4; j++) next[k] += sum[j] * b[j * 3 + k];
        }
        for (int k = 0; k < 4; k++) {
            wanted[i * 4 + k] = 0;
            for (int j = 0; j < 3; j++) wanted[i * 4 + k] += next[j] * c[j * 4 + k];
        }
    }
    assert_numbers(nn_forward_result(&r, "y"), wanted, 12, "residual and sequential");
    close_trial(&t, &r);
}

/* ---- Dropout ----------------------------------------------------------------------------------------------- */

static void test_dropout(void **state) {
    (void)state;
    enum { N = 1000 };
    layer_trial t;
    nn_forward r, again, other, off;
    open_trial(&t, TN_SHAPE(TN_SIZE(N)), 5);
    tn_val y = tn_nn_dropout(t.m, t.x, .rate = 0.3);
    tn_model_output(t.m, "z", tn_nn_dropout(t.m, t.x, .rate = 0.3));
    run_trial(&t, &r, y, true);
    nn_forward_open(&again, t.m, true, 1, 3, (const void *[]){t.data});
    nn_forward_open(&other, t.m, true, 2, 3, (const void *[]){t.data});
    nn_forward_open(&off, t.m, false, 1, 3, (const void *[]){t.data});
    const double *kept = nn_forward_result(&r, "y"), *second = nn_forward_result(&r, "z");
    int n = 0, like_next_step = 0, like_second = 0;
    for (int i = 0; i < N; i++) {
        bool stays = kept[i] != 0;
        n += stays;
        if (stays) assert_numbers(&kept[i], (double[]){t.data[i] / 0.7}, 1, "dropout");
        like_next_step += stays == (nn_forward_result(&other, "y")[i] != 0);
        like_second += stays == (second[i] != 0);
    }
    assert_in_range(n, 700 - 75, 700 + 75); /* five deviations of 14.5 */
    /* Independent masks agree at 0.7^2 + 0.3^2 of the places. */
    assert_in_range(like_next_step, 580 - 80, 580 + 80);
    assert_in_range(like_second, 580 - 80, 580 + 80);
    assert_numbers(nn_forward_result(&again, "y"), kept, N, "the same step again");
    assert_numbers(nn_forward_result(&off, "y"), t.data, N, "dropout in inference");
    nn_forward_close(&again);
    nn_forward_close(&other);
    nn_forward_close(&off);
    close_trial(&t, &r);
}

static void test_uniform(void **state) {
    (void)state;
    enum { N = 4000 };
    layer_trial t;
    nn_forward r;
    double sum = 0, square = 0;
    open_trial(&t, TN_SHAPE(TN_SIZE(N)), 5);
    run_trial(&t, &r, tn_model_uniform(t.m, t.x), true);
    for (int i = 0; i < N; i++) {
        double u = nn_forward_result(&r, "y")[i];
        assert_true(u >= 0 && u < 1);
        sum += u;
        square += u * u;
    }
    assert_true(fabs(sum / N - 0.5) < 0.025 && fabs(square / N - 1 / 3.0) < 0.025);
    close_trial(&t, &r);
}

/* ---- Normalisations ------------------------------------------------------------------------------------------ */

/* Mean and variance (over n) of the elements that `is_one` picks. */
static void moments(const double *x, int n, bool (*is_one)(int i, int which), int which, double *mean, double *variance,
                    int *count) {
    *mean = *variance = *count = 0;
    for (int i = 0; i < n; i++)
        if (is_one(i, which)) *mean += x[i], ++*count;
    *mean /= *count;
    for (int i = 0; i < n; i++)
        if (is_one(i, which)) *variance += (x[i] - *mean) * (x[i] - *mean);
    *variance /= *count;
}

/* [3, 4, 5]: channel c; row; group of two channels of an example. */
static bool is_channel(int i, int c) { return i / 5 % 4 == c; }
static bool is_row(int i, int row) { return i / 5 == row; }
static bool is_group(int i, int group) { return i / 10 == group; }

static void test_batch_norm(void **state) {
    (void)state;
    for (int training = 0; training < 2; training++) {
        layer_trial t;
        nn_forward r;
        double wanted[60], next_mean[4], next_variance[4];
        open_trial(&t, TN_SHAPE(TN_DIM("n"), TN_SIZE(4), TN_SIZE(5)), 6);
        run_trial(&t, &r, tn_nn_batch_norm(t.m, t.x, .epsilon = 1e-3, .momentum = 0.8), training);
        const double *scale = nn_forward_parameter(&r, "batch_norm.scale"),
                     *bias = nn_forward_parameter(&r, "batch_norm.bias");
        const double *old_mean = nn_forward_parameter(&r, "batch_norm.mean");
        const double *old_variance = nn_forward_parameter(&r, "batch_norm.variance");
        for (int c = 0; c < 4; c++) {
            double mean, variance;
            int n;
            moments(t.data, 60, is_channel, c, &mean, &variance, &n);
            next_mean[c] = 0.8 * old_mean[c] + 0.2 * mean;
            next_variance[c] = 0.8 * old_variance[c] + 0.2 * variance * n / (n - 1);
            if (!training) mean = old_mean[c], variance = old_variance[c];
            for (int i = 0; i < 60; i++)
                if (is_channel(i, c)) wanted[i] = (t.data[i] - mean) / sqrt(variance + 1e-3) * scale[c] + bias[c];
        }
        assert_numbers(nn_forward_result(&r, "y"), wanted, 60, "batch_norm");
        assert_numbers(nn_forward_result(&r, "batch_norm.mean.next"), next_mean, 4, "its mean");
        assert_numbers(nn_forward_result(&r, "batch_norm.variance.next"), next_variance, 4, "its variance");
        close_trial(&t, &r);
    }
}

static void test_layer_norm(void **state) {
    (void)state;
    layer_trial t;
    nn_forward r;
    double layer[60], rms[60];
    open_trial(&t, TN_SHAPE(TN_DIM("n"), TN_SIZE(4), TN_SIZE(5)), 7);
    tn_model_output(t.m, "rms", tn_nn_rms_norm(t.m, t.x, .epsilon = 1e-3));
    run_trial(&t, &r, tn_nn_layer_norm(t.m, t.x, .epsilon = 1e-3), false);
    const double *scale = nn_forward_parameter(&r, "layer_norm.scale"),
                 *bias = nn_forward_parameter(&r, "layer_norm.bias");
    const double *rms_scale = nn_forward_parameter(&r, "rms_norm.scale");
    for (int row = 0; row < 12; row++) {
        double mean, variance;
        int n;
        moments(t.data, 60, is_row, row, &mean, &variance, &n);
        for (int k = 0; k < 5; k++) {
            double x = t.data[row * 5 + k];
            layer[row * 5 + k] = (x - mean) / sqrt(variance + 1e-3) * scale[k] + bias[k];
            rms[row * 5 + k] = x / sqrt(variance + mean * mean + 1e-3) * rms_scale[k];
        }
    }
    assert_numbers(nn_forward_result(&r, "y"), layer, 60, "layer_norm");
    assert_numbers(nn_forward_result(&r, "rms"), rms, 60, "rms_norm");
    close_trial(&t, &r);
}

static void test_group_norm(void **state) {
    (void)state;
    layer_trial t;
    nn_forward r;
    double wanted[60];
    open_trial(&t, TN_SHAPE(TN_DIM("n"), TN_SIZE(4), TN_SIZE(5)), 8);
    run_trial(&t, &r, tn_nn_group_norm(t.m, t.x, .groups = 2), false);
    const double *scale = nn_forward_parameter(&r, "group_norm.scale"),
                 *bias = nn_forward_parameter(&r, "group_norm.bias");
    for (int group = 0; group < 6; group++) {
        double mean, variance;
        int n;
        moments(t.data, 60, is_group, group, &mean, &variance, &n);
        for (int i = 0; i < 60; i++)
            if (is_group(i, group))
                wanted[i] = (t.data[i] - mean) / sqrt(variance + 1e-5) * scale[i / 5 % 4] + bias[i / 5 % 4];
    }
    assert_numbers(nn_forward_result(&r, "y"), wanted, 60, "group_norm");
    close_trial(&t, &r);
}

/* ---- Wrong calls ------------------------------------------------------------------------------------------------ */

typedef void wrong_call(tn_model *m, tn_val x, tn_val i);
static void no_units(tn_model *m, tn_val x, tn_val i) { (void)i, tn_nn_dense(m, x, .units = 0); }
static void dense_of_integers(tn_model *m, tn_val x, tn_val i) { (void)x, tn_nn_dense(m, i, .units = 2); }
static void odd_activation(tn_model *m, tn_val x, tn_val i) {
    (void)i, tn_nn_dense(m, x, .units = 2, .activation = "rulu");
}
static void odd_initialiser(tn_model *m, tn_val x, tn_val i) {
    (void)i, tn_nn_dense(m, x, .units = 2, .kernel_init = {"he", 0});
}
static void rate_of_1(tn_model *m, tn_val x, tn_val i) { (void)i, tn_nn_dropout(m, x, .rate = 1); }
static void groups_of_3(tn_model *m, tn_val x, tn_val i) { (void)i, tn_nn_group_norm(m, x, .groups = 3); }
static void embed_floats(tn_model *m, tn_val x, tn_val i) { (void)i, tn_nn_embedding(m, x, .count = 2, .width = 2); }
static void odd_padding(tn_model *m, tn_val x, tn_val i) {
    (void)i, tn_nn_conv2d(m, x, .filters = 2, .kernel = {3, 3}, .padding = "full");
}
static void no_kernel(tn_model *m, tn_val x, tn_val i) { (void)i, tn_nn_conv2d(m, x, .filters = 2, .kernel = {3}); }
static void conv1d_of_rank_4(tn_model *m, tn_val x, tn_val i) {
    (void)i, tn_nn_conv1d(m, x, .filters = 2, .kernel = {3});
}
static void same_name(tn_model *m, tn_val x, tn_val i) {
    (void)i, tn_nn_flatten(m, x);
    tn_nn_dense(m, x, .units = 2, .name = "flatten");
}
static void pop_too_much(tn_model *m, tn_val x, tn_val i) { (void)x, (void)i, tn_model_pop(m); }
static void loss_of_rank_4(tn_model *m, tn_val x, tn_val i) { (void)i, tn_model_loss(m, "loss", x); }
static void odd_loss(tn_model *m, tn_val x, tn_val i) { (void)i, (void)m, tn_nn_loss("l2", x, x); }
static void odd_metric(tn_model *m, tn_val x, tn_val i) { (void)i, tn_model_metric(m, "recall", x, x); }
static void classes_of_rank_4(tn_model *m, tn_val x, tn_val i) { (void)m, tn_nn_loss("sparse_cross_entropy", x, i); }

static const struct {
    wrong_call *call;
    const char *message;
} wrong[] = {
    {no_units, "dense: units is 0, it must be at least 1"},
    {dense_of_integers, "dense: takes floats: i is i32[n]"},
    {odd_activation, "no activation is called \"rulu\" (linear, relu"},
    {odd_initialiser, "no initialiser is called \"he\" (zeros, ones"},
    {rate_of_1, "dropout: rate is 1, it must be at least 0 and below 1"},
    {groups_of_3, "group_norm: 3 groups do not divide 4 channels"},
    {embed_floats, "embedding: takes indices, i32 or i64: x is f64[n, 4, 5, 5]"},
    {odd_padding, "conv2d: padding \"full\" is none of valid, same"},
    {no_kernel, "conv2d: entry 1 of kernel is 0, it must be at least 1"},
    {conv1d_of_rank_4, "conv1d: takes 3 axes: x is f64[n, 4, 5, 5]"},
    {same_name, "dense: there is a layer flatten already"},
    {pop_too_much, "tn_model_pop without a tn_model_push"},
    {loss_of_rank_4, "loss: a loss is a float scalar: x is f64[n, 4, 5, 5]"},
    {odd_loss, "l2: there is no loss of that name (sparse_cross_entropy, "},
    {odd_metric, "recall: there is no metric of that name (accuracy, "},
    {classes_of_rank_4, "sparse_cross_entropy: the target has a class (i32 or i64) for each row of the prediction"},
};

static void test_messages(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        tn_model *m = tn_model_new("wrong", &(tn_model_options){.dtype = TN_F64});
        tn_val x = tn_model_input(m, "x", TN_F64, TN_SHAPE(TN_DIM("n"), TN_SIZE(4), TN_SIZE(5), TN_SIZE(5)));
        tn_val i = tn_model_input(m, "i", TN_I32, TN_SHAPE(TN_DIM("n")));
        assert_null(tn_model_error(m));
        wrong[k].call(m, x, i);
        const tn_diag *error = tn_model_error(m);
        if (!error || !strstr(error->message, wrong[k].message))
            fail_msg("message %d is \"%s\", should be \"%s\"", (int)k, error ? error->message : "", wrong[k].message);
        if (error && wrong[k].call != pop_too_much &&
            (!error->file || !strstr(error->file, "nn_layers.c") || error->line == 0))
            fail_msg("message %d: no place: %s", (int)k, error->message);
        /* Whatever follows does nothing. */
        assert_false(tn_is_valid(tn_nn_dense(m, x, .units = 3)));
        assert_int_not_equal(tn_model_initialise(m, 1, NULL), TN_OK);
        tn_diag diag;
        assert_null(tn_model_inference(m, NULL, &diag));
        assert_string_equal(diag.message, error ? error->message : "");
        tn_model_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),      cmocka_unit_test(test_activations), cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_embedding),  cmocka_unit_test(test_blocks),      cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_uniform),    cmocka_unit_test(test_batch_norm),  cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_group_norm), cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
