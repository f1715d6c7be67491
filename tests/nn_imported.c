/* Models of modules that are there already: what is trained, what stays, and that the module is not changed. */
#include "frontends/nn/model.h"
#include "tenon_compile.h"
#include "tenon_train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 6, IN = 4, OUT = 3 };

static const float kernel[IN * OUT] = {0.1F, -0.2F, 0.3F, 0.5F, 0.4F, -0.1F, 0.2F, 0.6F, -0.3F, -0.4F, 0.1F, 0.7F};
static const float ones[OUT] = {1, 1, 1}, means[OUT] = {0.1F, 0.2F, 0.3F}, zeros[OUT];
static const int64_t order[OUT] = {2, 0, 1};
static float x[N * IN];
static const int64_t labels[N] = {0, 1, 2, 2, 1, 0};

/* softmax(batch_norm(x w)) with its columns in another order, of the rows of a weight of integers. The function may be
 * called "forward" as that of models is. */
static tn_module *classifier(bool has_softmax) {
    tn_graph *g = tn_graph_new("classifier");
    tn_val in = tn_input(g, "image", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(IN)));
    tn_val h = tn_matmul(in, tn_weight(g, "w", TN_F32, TN_SHAPE(TN_SIZE(IN), TN_SIZE(OUT)), kernel));
    tn_shape row = TN_SHAPE(TN_SIZE(OUT));
    tn_val scale = tn_weight(g, "scale", TN_F32, row, ones), bias = tn_weight(g, "bias", TN_F32, row, zeros);
    tn_val mean = tn_weight(g, "mean", TN_F32, row, means), variance = tn_weight(g, "variance", TN_F32, row, ones);
    h = tn_batch_norm(h, scale, bias, mean, variance, 1e-5);
    h = tn_take(h, tn_weight(g, "order", TN_I64, row, order), 1);
    tn_output(g, "loss", has_softmax ? tn_softmax(h, 1) : h); /* a name that training knows too */
    tn_module_main(tn_graph_module(g))->name = "forward";
    for (int i = 0; i < N * IN; i++) x[i] = (float)(i * 7 % 11 - 5) / 5;
    return tn_graph_module(g);
}

static void run(tn_module *m, float *out) {
    tn_program *p = tn_compile_module(m, NULL);
    if (!p) fail_msg("%s", tn_module_error(m)->message);
    tn_tensor in = TN_TENSOR(TN_F32, x, N, IN), y = TN_TENSOR(TN_F32, out, N, OUT);
    assert_int_equal(tn_run(p, &in, &y), TN_OK);
    tn_program_free(p);
}

static tn_model *open_model(tn_module *m, const char *loss, const char *const *frozen) {
    tn_diag diag = {0};
    tn_model *model = tn_model_from_module(m, &(tn_model_import){.loss = loss, .frozen = frozen}, &diag);
    if (!model) fail_msg("%s", diag.message);
    return model;
}

/* Before training it is the module; weights are copies, and moments and integers stay as they are. */
static void begins_as_the_module(void **state) {
    (void)state;
    tn_diag diag = {0};
    float before[N * OUT], after[N * OUT];
    tn_module *m = classifier(true);
    run(m, before);
    tn_model *model = open_model(m, "sparse_cross_entropy", (const char *[]){"bias", NULL});
    tn_module_free(m);
    static const struct {
        const char *name;
        bool is_trained;
    } wanted[] = {{"w", true},     {"scale", true},     {"bias", false},
                  {"mean", false}, {"variance", false}, {"order", false}};
    assert_int_equal(tn_model_n_parameters(model), 6);
    for (int i = 0; i < 6; i++) {
        tn_parameter p = tn_model_parameter_of(model, tn_model_find_parameter(model, wanted[i].name));
        assert_non_null(p.tensor.data);
        assert_int_equal(p.is_trainable, wanted[i].is_trained);
    }
    tn_parameter w = tn_model_parameter_of(model, tn_model_find_parameter(model, "w"));
    assert_memory_equal(w.tensor.data, kernel, sizeof kernel);
    assert_ptr_not_equal(w.tensor.data, kernel);
    tn_module *inference = tn_model_inference(model, NULL, &diag);
    if (!inference) fail_msg("%s", diag.message);
    run(inference, after);
    assert_memory_equal(before, after, sizeof before);
    tn_module_free(inference);
    ((float *)w.tensor.data)[0] = 9;
    assert_int_equal(tn_model_initialise(model, 7, &diag), TN_OK); /* begins anew, as the module had it */
    assert_memory_equal(w.tensor.data, kernel, sizeof kernel);
    tn_model_free(model);
}

static double loss_of(tn_module *m, int steps, tn_model **keep) {
    tn_diag diag = {0};
    tn_model *model = open_model(m, "sparse_cross_entropy", NULL);
    tn_trainer_options options = {.optimizer = tn_optimizer_of("adam", 0.05)};
    tn_trainer *t = tn_trainer_new(model, &options, &diag);
    if (!t) fail_msg("%s", diag.message);
    tn_tensor batch[] = {TN_TENSOR(TN_F32, x, N, IN), TN_TENSOR(TN_I64, labels, N)};
    tn_step_report report;
    for (int i = 0; i < steps; i++) assert_int_equal(tn_trainer_step(t, batch, 2, NULL), TN_OK);
    assert_int_equal(tn_trainer_evaluate(t, batch, 2, &report), TN_OK);
    assert_string_equal(tn_trainer_metric_name(t, 0), "accuracy");
    tn_trainer_free(t);
    if (keep)
        *keep = model;
    else
        tn_model_free(model);
    return report.loss;
}

/* The mean of -log p over the labels. */
static double cross_entropy(const float *p) {
    double sum = 0;
    for (int i = 0; i < N; i++) sum -= log((double)p[i * OUT + labels[i]]);
    return sum / N;
}

/* Probabilities and logits are the same model: the loss is that of the probabilities.
 * It is trained, the module is not. */
static void trains(void **state) {
    (void)state;
    float p[N * OUT];
    tn_module *with = classifier(true), *without = classifier(false);
    tn_model *model;
    run(with, p);
    assert_true(fabs(loss_of(with, 0, NULL) - cross_entropy(p)) < 1e-6);
    assert_true(fabs(loss_of(without, 0, NULL) - cross_entropy(p)) < 1e-6);
    double before = cross_entropy(p), trained = loss_of(with, 60, &model);
    assert_true(trained < 0.8 * before);
    run(with, p);
    assert_true(cross_entropy(p) == before);
    static const char *const moments[] = {"mean", "variance"};
    static const float *const values[] = {means, ones};
    for (int i = 0; i < 2; i++) {
        tn_parameter moment = tn_model_parameter_of(model, tn_model_find_parameter(model, moments[i]));
        assert_memory_equal(moment.tensor.data, values[i], sizeof ones);
    }
    tn_diag diag = {0};
    tn_module *inference = tn_model_inference(model, NULL, &diag);
    assert_non_null(inference);
    run(inference, p);
    assert_true(fabs(cross_entropy(p) - trained) < 1e-5);
    tn_module_free(inference);
    tn_model_free(model);
    tn_module_free(with);
    tn_module_free(without);
}

/* "sum" takes no target; others take one of the output's type. */
static void takes_targets(void **state) {
    (void)state;
    static const struct {
        const char *loss;
        size_t n;
        tn_dtype dtype;
        int rank;
    } rows[] = {{"sum", 0, 0, 0}, {"mse", 1, TN_F32, 2}, {"sparse_cross_entropy", 1, TN_I64, 1}};
    tn_module *m = classifier(false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tn_model *model = open_model(m, rows[i].loss, NULL);
        size_t n = 0;
        for (size_t k = 0; k < model->forward->n_params; k++) {
            if (model->params[k].role != NN_TARGET) continue;
            n++;
            assert_string_equal(model->forward->params[k].name, "target");
            assert_int_equal(model->forward->params[k].type.dtype, rows[i].dtype);
            assert_int_equal(model->forward->params[k].type.rank, rows[i].rank);
        }
        assert_int_equal(n, rows[i].n);
        tn_model_free(model);
    }
    tn_module_free(m);
}

static void refuses_how(tn_module *m, const tn_model_import *how, tn_status status, const char *message) {
    tn_diag diag = {0};
    assert_null(tn_model_from_module(m, how, &diag));
    if (diag.status != status || !strstr(diag.message, message))
        fail_msg("status %d: %s; wanted %d: %s", diag.status, diag.message, status, message);
    assert_null(tn_model_from_module(m, how, NULL));
}

static void refuses(tn_module *m, const char *loss, const char *const *frozen, tn_status status, const char *message) {
    refuses_how(m, &(tn_model_import){.loss = loss, .frozen = frozen}, status, message);
}

/* The loss is of the output that is named. */
static void takes_an_output(void **state) {
    (void)state;
    tn_diag diag = {0};
    tn_graph *g = tn_graph_new("two");
    tn_val in = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(IN)));
    tn_val h = tn_matmul(in, tn_weight(g, "w", TN_F32, TN_SHAPE(TN_SIZE(IN), TN_SIZE(OUT)), kernel));
    tn_output(g, "boxes", tn_sum(h, TN_INTS(1)));
    tn_output(g, "scores", tn_softmax(h, 1));
    tn_output(g, "places", tn_convert(h, TN_I32));
    tn_model_import how = {.loss = "sparse_cross_entropy", .output = "scores"};
    tn_model *m = tn_model_from_module(tn_graph_module(g), &how, &diag);
    assert_non_null(m);
    assert_int_equal(m->forward->n_params, 3); /* x, w, target */
    assert_int_equal(m->forward->params[2].type.rank, 1);
    tn_model_free(m);
    how.output = "boxes ";
    refuses_how(tn_graph_module(g), &how, TN_ERR_ARGUMENT, "there is no output boxes ");
    how.output = "places";
    refuses_how(tn_graph_module(g), &how, TN_ERR_DTYPE, "output places is i32, a loss is of floats");
    tn_graph_free(g);
}

static tn_module *one_function(const char *input, tn_dtype dtype, const float *w) {
    tn_graph *g = tn_graph_new("one");
    tn_val in = tn_input(g, input, dtype, TN_SHAPE(TN_SIZE(OUT)));
    if (dtype == TN_F32) in = tn_mul(in, tn_weight(g, "w", TN_F32, TN_SHAPE(TN_SIZE(OUT)), w));
    tn_output(g, "y", in);
    return tn_graph_module(g);
}

/* round(x w), gone back through as if it were x w: what a function's own gradient is stays with it. */
static void keeps_own_gradients(void **state) {
    (void)state;
    static const char text[] =
        "module \"steps\"\n"
        "fn @back(%x: f32[n, 2], %y: f32[n, 2], %d: f32[n, 2]) -> (%d_x: f32[n, 2]) {\n  return %d\n}\n"
        "gradient @back fn @whole(%x: f32[n, 2]) -> (%y: f32[n, 2]) {\n"
        "  %0 = round %x\n  return %0\n}\n"
        "fn @main(%x: f32[n, 2], %w: f32[2, 2] weight {1, 2, 3, 4}) -> (%y: f32[n, 2]) {\n"
        "  %0 = dot %x, %w, contract=[1]x[0]\n"
        "  %1 = call %0, callee=@whole, symbols=[n]\n  return %1\n}\n";
    tn_diag diag = {0};
    tn_module *m = tn_module_parse(text, strlen(text), "steps.tn");
    if (tn_module_error(m)) fail_msg("%s", tn_module_error(m)->message);
    tn_model *model = open_model(m, "sum", NULL);
    tn_trainer *t = tn_trainer_new(model, &(tn_trainer_options){.optimizer = tn_optimizer_of("sgd", 0.5)}, &diag);
    if (!t) fail_msg("%s", diag.message);
    tn_tensor batch = TN_TENSOR(TN_F32, x, 1, 2);
    assert_int_equal(tn_trainer_step(t, &batch, 1, NULL), TN_OK);
    const float *w = tn_model_parameter_of(model, tn_model_find_parameter(model, "w")).tensor.data;
    for (int i = 0; i < 4; i++) assert_true(w[i] == (float)(i + 1) - 0.5F * x[i / 2]);
    tn_module *step = tn_trainer_module(t, NULL, &diag);
    assert_non_null(step);
    assert_int_equal(step->n_graphs, 3); /* main, @whole and @back: what was made of them is left out */
    tn_module_free(step);
    tn_trainer_free(t);
    tn_model_free(model);
    tn_module_free(m);
}

static void refuses_what_is_wrong(void **state) {
    (void)state;
    tn_module *m = classifier(true);
    refuses_how(m, NULL, TN_ERR_ARGUMENT, "no loss");
    refuses(NULL, "sum", NULL, TN_ERR_ARGUMENT, "there is no module");
    refuses(m, NULL, NULL, TN_ERR_ARGUMENT, "no loss");
    refuses(m, "best", NULL, TN_ERR_ARGUMENT, "there is no loss of that name");
    refuses(m, "sum", (const char *[]){"w", "image", NULL}, TN_ERR_ARGUMENT, "there is no weight image to freeze");
    tn_module_free(m);
    m = one_function("x", TN_I32, NULL);
    refuses(m, "sum", NULL, TN_ERR_DTYPE, "no output of the model is a float");
    tn_module_free(m);
    m = one_function("x", TN_F64, NULL);
    refuses(m, "sum", NULL, TN_ERR_ARGUMENT, "no weight is f64: there is nothing to train");
    tn_module_free(m);
    m = one_function("x", TN_F32, NULL);
    refuses(m, "sum", NULL, TN_ERR_ARGUMENT, "the weight w has no values");
    tn_module_free(m);
    m = one_function("target", TN_F32, ones);
    refuses(m, "mse", NULL, TN_ERR_ARGUMENT, "has an input target already");
    tn_module_free(m);
    tn_graph *g = tn_graph_new("counter");
    tn_val count = tn_input(g, "count", TN_F32, TN_SCALAR);
    tn_update(g, "next", count, tn_add_scalar(count, 1));
    refuses(tn_graph_module(g), "sum", NULL, TN_ERR_UNSUPPORTED, "count is a state");
    tn_graph_free(g);
    g = tn_graph_new("wrong");
    tn_output(g, "y", tn_relu(tn_input(g, "x", TN_BOOL, TN_SCALAR)));
    refuses(tn_graph_module(g), "sum", NULL, TN_ERR_DTYPE, "relu");
    tn_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_as_the_module), cmocka_unit_test(trains),
        cmocka_unit_test(takes_targets),        cmocka_unit_test(takes_an_output),
        cmocka_unit_test(keeps_own_gradients),  cmocka_unit_test(refuses_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
