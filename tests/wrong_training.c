/* Wrong training programs, and the exact message each gives.
 *
 * Each row makes one mistake, in building a model, in its trainer, in its data or in its files; the message is told by the
 * module, by the call's tn_diag or by the trainer, and names this file's line where a line is to blame. Nothing of the
 * mistake is left: a trainer makes its next step as if nothing had been.
 */
#include "tenon.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 8, IN = 3, CLASSES = 2 };

static float points[ROWS * IN];
static int32_t classes[ROWS];
static float labels[ROWS];
static int32_t few[ROWS];
static char folder[] = "/tmp/tenon-wrong-XXXXXX";

static const char *path_of(const char *name) {
    static char paths[4][80];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* ---- What every row finds ------------------------------------------------------------------------------ */

/* A model that is right so far: its loss is left to the row, or to finish. */
typedef struct given {
    tn_model *m;
    tn_val x;      /* "point", f32[n, 3] */
    tn_val label;  /* "class", i32[n], a target */
    tn_val hidden; /* f32[n, 4] */
    tn_val logits; /* f32[n, 2] */
    tn_trainer *t;
    tn_diag diag; /* of the call that went wrong */
    tn_dataset *data[2];
} given;

static void open_model(given *k) {
    *k = (given){.m = tn_model_new("points", NULL)};
    k->x = tn_model_input(k->m, "point", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(IN)));
    k->label = tn_model_target(k->m, "class", TN_I32, TN_SHAPE(TN_DIM("n")));
    k->hidden = tn_nn_dense(k->m, k->x, .units = 4, .activation = "tanh", .name = "first");
    k->logits = tn_nn_dense(k->m, k->hidden, .units = CLASSES, .name = "second");
}

static void finish_model(given *k) {
    tn_model_output(k->m, "logits", k->logits);
    tn_model_loss(k->m, "loss", tn_nn_loss("sparse_cross_entropy", k->logits, k->label));
    tn_model_metric(k->m, "accuracy", k->logits, k->label);
    if (tn_model_error(k->m)) fail_msg("%s", tn_model_error(k->m)->message);
}

/* With such options; NULL: the options are wrong, and diag says so. */
static void open_trainer(given *k, tn_trainer_options o) {
    finish_model(k);
    o.seed = 1;
    k->t = tn_trainer_new(k->m, &o, &k->diag);
}

static tn_dataset *arrays(given *k, const char *first, tn_tensor a, const char *second, tn_tensor b) {
    tn_named_tensor list[] = {{first, a}, {second, b}};
    tn_dataset **data = &k->data[k->data[0] != NULL];
    if (tn_dataset_arrays(list, 2, NULL, NULL, data, &k->diag) != TN_OK) fail_msg("%s", k->diag.message);
    return *data;
}

static tn_dataset *good_data(given *k) {
    return arrays(k, "point", TN_TENSOR(TN_F32, points, ROWS, IN), "class", TN_TENSOR(TN_I32, classes, ROWS));
}

static void step_on(given *k, tn_tensor a, tn_tensor b) {
    open_trainer(k, (tn_trainer_options){0});
    tn_tensor batch[] = {a, b};
    tn_trainer_step(k->t, batch, 2, NULL);
    if (tn_trainer_error(k->t)) k->diag = *tn_trainer_error(k->t);
}

static void fit_on(given *k, tn_dataset *data, tn_fit_options o) {
    if (!k->t) open_trainer(k, (tn_trainer_options){0});
    tn_fit(k->t, data, &o, NULL, &k->diag);
}
static void fit_with(given *k, tn_fit_options o) { fit_on(k, good_data(k), o); }

/* ---- Building ------------------------------------------------------------------------------------------ */

static void prediction_of_integers(given *k) { tn_nn_loss("mse", k->label, k->label); }
static void target_of_other_shape(given *k) { tn_nn_loss("mse", k->hidden, k->logits); }
static void classes_as_floats(given *k) {
    tn_val y = tn_model_target(k->m, "y", TN_F32, TN_SHAPE(TN_DIM("n")));
    tn_nn_loss("sparse_cross_entropy", k->logits, y);
}
static void loss_per_example(given *k) {
    tn_model_loss(k->m, "loss", tn_sum(tn_mul(k->logits, k->logits), TN_INTS(1)));
}
static void loss_misspelt(given *k) { tn_nn_loss("cross_entrpy", k->logits, k->label); }
static void labels_smoothed_away(given *k) {
    tn_nn_loss("sparse_cross_entropy", k->logits, k->label, .label_smoothing = 1.5);
}
static void weights_of_pixels(given *k) {
    tn_nn_loss("sparse_cross_entropy", k->logits, k->label, .weights = k->logits);
}
static void dense_of_symbol(given *k) {
    tn_val words = tn_model_input(k->m, "words", TN_F32, TN_SHAPE(TN_DIM("n"), TN_DIM("length")));
    tn_nn_dense(k->m, words, .units = 4);
}
static void names_equal(given *k) { tn_nn_dense(k->m, k->hidden, .units = 4, .name = "first"); }
static void input_equal(given *k) { tn_model_input(k->m, "point", TN_F32, TN_SCALAR); }
static void embedding_of_floats(given *k) { tn_nn_embedding(k->m, k->x, .count = 10, .width = 4); }
static void heads_uneven(given *k) {
    tn_val x = tn_model_input(k->m, "sequence", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(5), TN_SIZE(16)));
    tn_nn_multi_head_attention(k->m, x, .heads = 3);
}
static void layers_unfit(given *k) { tn_add(k->hidden, k->logits); }
static void activation_misspelt(given *k) { tn_nn_dense(k->m, k->x, .units = 4, .activation = "sigmiod"); }
static void parameters_of_integers(given *k) {
    tn_model_free(k->m);
    k->m = tn_model_new("whole", &(tn_model_options){.dtype = TN_I32});
}

/* ---- Gradients ------------------------------------------------------------------------------------------ */

/* f(x: f32[4], i: i32[4]) -> op(x) */
static tn_graph *function(given *k, tn_val (*op)(tn_val x)) {
    tn_graph *f = tn_graph_sub(tn_model_graph(k->m), "f");
    tn_val x = tn_input(f, "x", TN_F32, TN_SHAPE(TN_SIZE(4)));
    tn_input(f, "i", TN_I32, TN_SHAPE(TN_SIZE(4)));
    tn_output(f, "y", op(x));
    return f;
}
static tn_val square_sum(tn_val x) { return tn_sum(tn_mul(x, x), TN_NO_INTS); }
static tn_val square_each(tn_val x) { return tn_mul(x, x); }
static tn_val floor_sum(tn_val x) { return tn_sum(tn_floor(x), TN_NO_INTS); }
static tn_val count_of(tn_val x) { return tn_reduce("argmax", x, TN_INTS(0), false); }

static void gradient_of_vector(given *k) { tn_grad(function(k, square_each), TN_INTS(0)); }
static void gradient_of_index(given *k) { tn_grad(function(k, count_of), TN_INTS(0)); }
static void gradient_by_integers(given *k) { tn_grad(function(k, square_sum), TN_INTS(1)); }
static void gradient_by_nothing(given *k) { tn_grad(function(k, square_sum), TN_INTS(2)); }
static void gradient_of_floor(given *k) { tn_grad(function(k, floor_sum), TN_INTS(0)); }
static void trained_through_floor(given *k) {
    tn_model_loss(k->m, "loss", tn_sum(tn_floor(k->logits), TN_NO_INTS));
    k->t = tn_trainer_new(k->m, NULL, &k->diag);
}

/* ---- Options of trainers ----------------------------------------------------------------------------------- */

static void optimizer_misspelt(given *k) {
    open_trainer(k, (tn_trainer_options){.optimizer = tn_optimizer_of("adamW2", 0.1)});
}
static void rate_negative(given *k) {
    open_trainer(k, (tn_trainer_options){.optimizer = tn_optimizer_of("sgd", -0.1)});
}
static void momentum_of_one(given *k) {
    tn_optimizer sgd = tn_optimizer_of("sgd", 0.1);
    sgd.momentum = 1;
    open_trainer(k, (tn_trainer_options){.optimizer = sgd});
}
static void schedule_misspelt(given *k) { open_trainer(k, (tn_trainer_options){.schedule = {.kind = "cosinus"}}); }
static void schedule_without_end(given *k) { open_trainer(k, (tn_trainer_options){.schedule = {.kind = "cosine"}}); }
static void schedule_all_warmup(given *k) {
    open_trainer(k, (tn_trainer_options){.schedule = {.kind = "linear", .total = 100, .warmup = 100}});
}
static void schedule_without_gamma(given *k) {
    open_trainer(k, (tn_trainer_options){.schedule = {.kind = "step", .every = 10}});
}
static void schedule_step_of_none(given *k) {
    open_trainer(k, (tn_trainer_options){.schedule = {.kind = "step", .gamma = 0.1}});
}
static void clip_negative(given *k) { open_trainer(k, (tn_trainer_options){.clip_norm = -1}); }
static void average_of_one(given *k) { open_trainer(k, (tn_trainer_options){.ema_decay = 1}); }
static void no_loss(given *k) {
    tn_model_output(k->m, "logits", k->logits);
    k->t = tn_trainer_new(k->m, NULL, &k->diag);
}
static void all_frozen(given *k) {
    tn_model_free(k->m);
    k->m = tn_model_new("frozen", NULL);
    tn_val w = tn_model_parameter(k->m, "w", .shape = TN_SHAPE(TN_SIZE(3)), .frozen = true);
    tn_model_loss(k->m, "loss", tn_sum(w, TN_NO_INTS));
    k->t = tn_trainer_new(k->m, NULL, &k->diag);
}
static void inference_before_training(given *k) {
    finish_model(k);
    tn_module_free(tn_model_inference(k->m, NULL, &k->diag));
}
static void frozen_misspelt(given *k) {
    static const char text[] =
        "module \"net\"\n"
        "fn @main(%x: f32[n, 2], %kernel: f32[2, 3] weight {1, 2, 3, 4, 5, 6}) -> (%y: f32[n, 3]) {\n"
        "  %0 = dot %x, %kernel, contract=[1]x[0]\n"
        "  return %0\n"
        "}\n";
    tn_module *net = tn_module_parse(text, sizeof text - 1, "net.tn");
    assert_null(tn_module_error(net));
    const char *const frozen[] = {"kernal", NULL};
    tn_model_free(tn_model_from_module(net, &(tn_model_import){.loss = "mse", .frozen = frozen}, &k->diag));
    tn_module_free(net);
}

/* ---- Batches and data ---------------------------------------------------------------------------------------- */

static void batch_of_doubles(given *k) {
    static double wide[ROWS * IN];
    step_on(k, TN_TENSOR(TN_F64, wide, ROWS, IN), TN_TENSOR(TN_I32, classes, ROWS));
}
static void batch_too_wide(given *k) { step_on(k, TN_TENSOR(TN_F32, points, 4, 6), TN_TENSOR(TN_I32, classes, 4)); }
static void batch_flat(given *k) { step_on(k, TN_TENSOR(TN_F32, points, ROWS * IN), TN_TENSOR(TN_I32, classes, ROWS)); }
static void batch_sizes_differ(given *k) {
    step_on(k, TN_TENSOR(TN_F32, points, 4, IN), TN_TENSOR(TN_I32, classes, 5));
}
static void batch_of_one(given *k) {
    open_trainer(k, (tn_trainer_options){0});
    tn_trainer_step(k->t, (tn_tensor[]){TN_TENSOR(TN_F32, points, 4, IN)}, 1, NULL);
    k->diag = *tn_trainer_error(k->t);
}
static void label_beyond(given *k) {
    memcpy(few, classes, sizeof few);
    few[2] = CLASSES;
    step_on(k, TN_TENSOR(TN_F32, points, ROWS, IN), TN_TENSOR(TN_I32, few, ROWS));
}
static void label_from_one(given *k) {
    for (int i = 0; i < ROWS; i++) few[i] = classes[i] - 1;
    fit_on(k, arrays(k, "point", TN_TENSOR(TN_F32, points, ROWS, IN), "class", TN_TENSOR(TN_I32, few, ROWS)),
           (tn_fit_options){.in_order = true});
}
static void input_not_a_number(given *k) {
    static float spoilt[ROWS * IN];
    memcpy(spoilt, points, sizeof spoilt);
    spoilt[4] = NAN;
    step_on(k, TN_TENSOR(TN_F32, spoilt, ROWS, IN), TN_TENSOR(TN_I32, classes, ROWS));
}
static void field_misnamed(given *k) {
    fit_on(k, arrays(k, "point", TN_TENSOR(TN_F32, points, ROWS, IN), "label", TN_TENSOR(TN_I32, classes, ROWS)),
           (tn_fit_options){0});
}
static void labels_as_floats(given *k) {
    fit_on(k, arrays(k, "point", TN_TENSOR(TN_F32, points, ROWS, IN), "class", TN_TENSOR(TN_F32, labels, ROWS)),
           (tn_fit_options){0});
}
static void examples_too_wide(given *k) {
    fit_on(k, arrays(k, "point", TN_TENSOR(TN_F32, points, 6, 4), "class", TN_TENSOR(TN_I32, classes, 6)),
           (tn_fit_options){0});
}
static void validation_misnamed(given *k) {
    tn_dataset *data = good_data(k);
    fit_on(k, data,
           (tn_fit_options){.validation = arrays(k, "points", TN_TENSOR(TN_F32, points, ROWS, IN), "class",
                                                 TN_TENSOR(TN_I32, classes, ROWS))});
}
static void fields_uneven(given *k) {
    tn_named_tensor list[] = {{"point", TN_TENSOR(TN_F32, points, ROWS, IN)}, {"class", TN_TENSOR(TN_I32, classes, 7)}};
    tn_dataset_arrays(list, 2, NULL, NULL, &k->data[0], &k->diag);
}
static void batch_larger_than_data(given *k) { fit_with(k, (tn_fit_options){.batch_size = 9, .drop_last = true}); }
static void batch_negative(given *k) { fit_with(k, (tn_fit_options){.batch_size = -4}); }
static void epochs_negative(given *k) { fit_with(k, (tn_fit_options){.epochs = -1}); }
static void patience_negative(given *k) { fit_with(k, (tn_fit_options){.patience = -1}); }
static void monitor_misspelt(given *k) { fit_with(k, (tn_fit_options){.monitor = "acuracy"}); }

/* ---- Files --------------------------------------------------------------------------------------------------- */

static void resume_from_nowhere(given *k) { fit_with(k, (tn_fit_options){.resume = true}); }
static void checkpoint_in_no_folder(given *k) {
    fit_with(k, (tn_fit_options){.checkpoint_path = path_of("none/fit.safetensors")});
}
static void write_bytes(const char *path, const void *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) fail_msg("%s cannot be written", path);
}
static void resume_from_picture(given *k) {
    const char *path = path_of("picture.safetensors");
    write_bytes(path, "\211PNG\r\n\032\n12345678", 16);
    fit_with(k, (tn_fit_options){.resume = true, .checkpoint_path = path});
}
static void resume_from_parameters(given *k) {
    const char *path = path_of("parameters.safetensors");
    open_trainer(k, (tn_trainer_options){0});
    assert_int_equal(tn_model_save(k->m, path, &k->diag), TN_OK);
    fit_with(k, (tn_fit_options){.resume = true, .checkpoint_path = path});
}
static void resume_with_other_seed(given *k) {
    const char *path = path_of("seed.safetensors");
    open_trainer(k, (tn_trainer_options){0});
    tn_dataset *data = good_data(k);
    fit_on(k, data, (tn_fit_options){.checkpoint_path = path});
    fit_on(k, data, (tn_fit_options){.checkpoint_path = path, .resume = true, .seed = 3});
}
static void load_cut(given *k) {
    const char *path = path_of("cut.safetensors");
    open_trainer(k, (tn_trainer_options){0});
    assert_int_equal(tn_trainer_save(k->t, path, NULL, 0, &k->diag), TN_OK);
    assert_int_equal(truncate(path, 1000), 0);
    tn_trainer_load(k->t, path, &k->diag);
}
/* A checkpoint of another trainer of a model, with more units or another optimizer. */
static void load_of_other(given *k, int64_t units, const char *optimizer) {
    const char *path = path_of("other.safetensors");
    given other = {.m = tn_model_new("points", NULL)};
    other.x = tn_model_input(other.m, "point", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(IN)));
    other.label = tn_model_target(other.m, "class", TN_I32, TN_SHAPE(TN_DIM("n")));
    other.hidden = tn_nn_dense(other.m, other.x, .units = units, .activation = "tanh", .name = "first");
    other.logits = tn_nn_dense(other.m, other.hidden, .units = CLASSES, .name = "second");
    open_trainer(&other, (tn_trainer_options){.optimizer = tn_optimizer_of(optimizer, 0.1)});
    assert_int_equal(tn_trainer_save(other.t, path, NULL, 0, &k->diag), TN_OK);
    tn_trainer_free(other.t);
    tn_model_free(other.m);
    open_trainer(k, (tn_trainer_options){0});
    tn_trainer_load(k->t, path, &k->diag);
}
static void load_of_other_units(given *k) { load_of_other(k, 5, "adam"); }
static void load_of_other_optimizer(given *k) { load_of_other(k, 4, "sgd"); }
static void load_of_more_state(given *k) {
    const char *path = path_of("more.safetensors");
    open_trainer(k, (tn_trainer_options){0});
    assert_int_equal(tn_trainer_save(k->t, path, NULL, 0, &k->diag), TN_OK);
    tn_trainer_free(k->t);
    k->t = tn_trainer_new(k->m, &(tn_trainer_options){.optimizer = tn_optimizer_of("sgd", 0.1)}, &k->diag);
    tn_trainer_load(k->t, path, &k->diag);
}
static void weights_misnamed(given *k) {
    const char *path = path_of("weights.safetensors");
    open_trainer(k, (tn_trainer_options){0});
    assert_int_equal(tn_model_save(k->m, path, &k->diag), TN_OK);
    tn_model_load(k->m, path, (tn_weight_name[]){{"frist.kernel", "first.kernel", TN_NO_INTS}, {0}}, &k->diag);
}
static void weights_turned(given *k) {
    const char *path = path_of("turned.safetensors");
    open_trainer(k, (tn_trainer_options){0});
    assert_int_equal(tn_model_save(k->m, path, &k->diag), TN_OK);
    tn_model_load(k->m, path, (tn_weight_name[]){{"first.kernel", "first.kernel", TN_INTS(1, 0)}, {0}}, &k->diag);
}

/* ---- The messages ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*spoil)(given *k);
    tn_status status;
    const char *message; /* with the place before it: see said */
} rows[] = {
#define ROW(spoil, status, message) {#spoil, spoil, TN_ERR_##status, message}
    ROW(prediction_of_integers, DTYPE, "wrong_training.c:*: mse: a prediction is of floats: class is i32[n]"),
    ROW(target_of_other_shape, SHAPE,
        "wrong_training.c:*: mse: the target has the prediction's shape: the add of wrong_training.c:* is f32[n, 2], "
        "the tanh of wrong_training.c:* is f32[n, 4]"),
    ROW(classes_as_floats, DTYPE,
        "wrong_training.c:*: sparse_cross_entropy: the target has a class (i32 or i64) for each row of the prediction: "
        "y is f32[n], the add of wrong_training.c:* is f32[n, 2]"),
    ROW(loss_per_example, SHAPE,
        "wrong_training.c:*: loss: a loss is a float scalar: the reduce of wrong_training.c:* is f32[n] (tn_mean makes "
        "one of it)"),
    ROW(loss_misspelt, ARGUMENT,
        "wrong_training.c:*: cross_entrpy: there is no loss of that name (sparse_cross_entropy, cross_entropy, "
        "binary_cross_entropy, mse, mae, huber, kl_divergence, hinge)"),
    ROW(labels_smoothed_away, ARGUMENT,
        "wrong_training.c:*: sparse_cross_entropy: label_smoothing is 1.5, it must be at least 0 and below 1"),
    ROW(weights_of_pixels, SHAPE,
        "wrong_training.c:*: sparse_cross_entropy: weights are one for each of 1 axes of examples: the add of "
        "wrong_training.c:* is f32[n, 2]"),
    ROW(dense_of_symbol, SHAPE,
        "wrong_training.c:*: dense: the last axis must be a positive number, as parameters have its size: words is "
        "f32[n, length]"),
    ROW(names_equal, ARGUMENT,
        "wrong_training.c:*: dense: there is a layer first already: layers have names of their own"),
    ROW(input_equal, ARGUMENT, "wrong_training.c:*: input: @forward has an input point already"),
    ROW(embedding_of_floats, DTYPE, "wrong_training.c:*: embedding: takes indices, i32 or i64: point is f32[n, 3]"),
    ROW(heads_uneven, SHAPE, "wrong_training.c:*: multi_head_attention: 3 heads do not divide 16 features: give .head"),
    ROW(layers_unfit, SHAPE,
        "wrong_training.c:*: add: shapes do not broadcast: the tanh of wrong_training.c:* is f32[n, 4], the add of "
        "wrong_training.c:* is f32[n, 2] (4 is not 2)"),
    ROW(activation_misspelt, ARGUMENT,
        "wrong_training.c:*: dense: no activation is called \"sigmiod\" (linear, relu, leaky_relu, elu, gelu, "
        "gelu_tanh, silu, sigmoid, hard_sigmoid, hard_swish, tanh, softplus, mish, softmax, log_softmax, exp)"),
    ROW(parameters_of_integers, DTYPE, "model whole: parameters are f32 or f64, not i32"),
    ROW(gradient_of_vector, SHAPE,
        "wrong_training.c:*: grad: the first result of @f must be a float scalar, that of a loss: the mul of "
        "wrong_training.c:* is f32[4]"),
    ROW(gradient_of_index, SHAPE,
        "wrong_training.c:*: grad: the first result of @f must be a float scalar, that of a loss: the reduce of "
        "wrong_training.c:* is i64[]"),
    ROW(gradient_by_integers, DTYPE, "wrong_training.c:*: grad: gradients are those of floats: i is i32[4]"),
    ROW(gradient_by_nothing, ARGUMENT, "wrong_training.c:*: grad: @f has 2 parameters, there is no number 2"),
    ROW(gradient_of_floor, UNSUPPORTED,
        "wrong_training.c:*: floor: a gradient was asked for that goes through it, but floor has zero derivative "
        "almost everywhere; stop_gradient(y) makes its result y a constant, x + stop_gradient(y - x) is the "
        "straight-through estimate"),
    ROW(trained_through_floor, UNSUPPORTED,
        "wrong_training.c:*: floor: a gradient was asked for that goes through it, but floor has zero derivative "
        "almost everywhere; stop_gradient(y) makes its result y a constant, x + stop_gradient(y - x) is the "
        "straight-through estimate"),
    ROW(optimizer_misspelt, ARGUMENT,
        "no optimizer is called \"adamW2\" (sgd, adam, adamw, rmsprop, adagrad, lion, adafactor)"),
    ROW(rate_negative, ARGUMENT, "optimizer sgd: learning_rate is -0.1, it must be above 0"),
    ROW(momentum_of_one, ARGUMENT, "optimizer sgd: momentum is 1, it must be at least 0 and below 1"),
    ROW(schedule_misspelt, ARGUMENT, "no schedule is called \"cosinus\" (constant, step, linear, cosine, one_cycle)"),
    ROW(schedule_without_end, ARGUMENT, "schedule cosine: total is 0, it must be above warmup, which is 0"),
    ROW(schedule_all_warmup, ARGUMENT, "schedule linear: total is 100, it must be above warmup, which is 100"),
    ROW(schedule_without_gamma, ARGUMENT, "schedule step: gamma is 0, it must be above 0"),
    ROW(schedule_step_of_none, ARGUMENT, "schedule step: every is 0, it must be at least 1"),
    ROW(clip_negative, ARGUMENT, "clip_norm is -1, clip_value 0, accumulate 0, loss_scale 0: they must be at least 0"),
    ROW(average_of_one, ARGUMENT, "ema_decay is 1, it must be at least 0 and below 1"),
    ROW(no_loss, ARGUMENT, "the model points has no loss (tn_model_loss)"),
    ROW(all_frozen, ARGUMENT, "the model frozen has no parameter to train"),
    ROW(inference_before_training, ARGUMENT,
        "the model points has no values for first.kernel: tn_model_initialise makes them"),
    ROW(frozen_misspelt, ARGUMENT, "there is no weight kernal to freeze: did you mean kernel?"),
    ROW(batch_of_doubles, DTYPE, "point of the batch is f64[8, 3], the model takes f32[n, 3]"),
    ROW(batch_too_wide, SHAPE, "point of the batch is f32[4, 6], the model takes f32[n, 3]"),
    ROW(batch_flat, SHAPE, "point of the batch is f32[24], the model takes f32[n, 3]"),
    ROW(batch_sizes_differ, CONSTRAINT,
        "class of the batch is i32[5], the model takes i32[n]: n is 4 by a tensor before it"),
    ROW(batch_of_one, ARGUMENT, "a batch has 2 tensors (point, class), not 1"),
    ROW(label_beyond, INDEX,
        "points: gather at tests/wrong_training.c:* tests/wrong_training.c:*: an index is out of range (element 2); "
        "class of the batch is from 0 to 2"),
    ROW(label_from_one, INDEX,
        "points: gather at tests/wrong_training.c:* tests/wrong_training.c:*: an index is out of range (element 0); "
        "class of the batch is from -1 to 0"),
    ROW(input_not_a_number, ASSERT,
        "after 0 steps the loss is nan and the norm of the gradients nan: the step was not made; there is a NaN in its "
        "input: point is f32[8, 3]"),
    ROW(field_misnamed, ARGUMENT, "the dataset has no field class for the model's class (it has point, label)"),
    ROW(labels_as_floats, DTYPE,
        "class of the batch is f32[8], the model takes i32[n] (tn_dataset_convert changes a dataset's)"),
    ROW(examples_too_wide, SHAPE, "point of the batch is f32[6, 4], the model takes f32[n, 3]"),
    ROW(validation_misnamed, ARGUMENT,
        "the validation dataset has no field point for the model's point (it has points, class)"),
    ROW(fields_uneven, SHAPE, "array 'class' is i32[7], but 'point' has 8 examples"),
    ROW(batch_larger_than_data, ARGUMENT,
        "the dataset has 8 examples, not one batch of 9 (drop_last leaves smaller ones out)"),
    ROW(batch_negative, ARGUMENT, "batch_size is -4, it must be at least 1 (or 0: 32)"),
    ROW(epochs_negative, ARGUMENT, "epochs is -1, it must be at least 0"),
    ROW(patience_negative, ARGUMENT, "patience is -1, it must be at least 0"),
    ROW(monitor_misspelt, ARGUMENT, "the model has no metric acuracy to monitor (it has loss, accuracy)"),
    ROW(resume_from_nowhere, ARGUMENT, "resume needs a checkpoint_path"),
    ROW(checkpoint_in_no_folder, IO, "FOLDER/none/fit.safetensors: cannot be written: No such file or directory"),
    ROW(resume_from_picture, PARSE, "FOLDER/picture.safetensors: not a safetensors file; this is a picture (PNG)"),
    ROW(resume_from_parameters, PARSE,
        "FOLDER/parameters.safetensors: the file is no checkpoint of tn_fit: its notes fit.* are missing or wrong "
        "(tn_model_load reads files of parameters)"),
    ROW(resume_with_other_seed, ARGUMENT, "FOLDER/seed.safetensors: the checkpoint was made with the seed 0, not 3"),
    ROW(load_cut, PARSE, "FOLDER/cut.safetensors: it is cut off: its header has 1192 bytes, 992 are there"),
    ROW(load_of_other_units, SHAPE, "FOLDER/other.safetensors: first.kernel is f32[3, 4], the file has f32[3, 5]"),
    ROW(load_of_other_optimizer, ARGUMENT,
        "FOLDER/other.safetensors: the checkpoint has no optimizer.m.first.kernel: it is of another model or "
        "optimizer"),
    ROW(load_of_more_state, ARGUMENT,
        "FOLDER/more.safetensors: the checkpoint has 16 tensors, the trainer 8: it is of another model or optimizer"),
    ROW(weights_misnamed, ARGUMENT,
        "FOLDER/weights.safetensors: the model points has no parameter frist.kernel: did you mean first.kernel?"),
    ROW(weights_turned, SHAPE, "FOLDER/turned.safetensors: first.kernel is f32[3, 4], the file has f32[4, 3] (turned)"),
#undef ROW
};

/* The message as people read it, behind its place; lines of this file are '*', and its folder FOLDER. */
static void said(const tn_diag *error, char *out, size_t bytes) {
    static const char here[] = "wrong_training.c:";
    char text[2 * TN_DIAG_MESSAGE_BYTES];
    const char *slash = error->file && error->line ? strrchr(error->file, '/') : NULL;
    const char *file = slash ? slash + 1 : error->file;
    snprintf(text, sizeof text, "%s%s%s", file ? file : "", error->line ? ":0: " : file ? ": " : "", error->message);
    size_t used = 0, length = strlen(folder);
    for (const char *c = text; *c && used + 1 < bytes;) {
        bool is_folder = strncmp(c, folder, length) == 0, is_here = strncmp(c, here, sizeof here - 1) == 0;
        const char *written = is_folder ? "FOLDER" : "wrong_training.c:*";
        if (!is_folder && !is_here) {
            out[used++] = *c++;
            continue;
        }
        used += (size_t)snprintf(out + used, bytes - used, "%s", written);
        c += is_folder ? length : sizeof here - 1;
        if (is_here) c += strspn(c, "0123456789");
    }
    out[used < bytes ? used : bytes - 1] = '\0';
}

/* Nothing is left of a mistake: the trainer makes its next step. */
static void check_trainer(given *k, const char *name) {
    tn_tensor batch[] = {TN_TENSOR(TN_F32, points, ROWS, IN), TN_TENSOR(TN_I32, classes, ROWS)};
    if (k->t && tn_trainer_step(k->t, batch, 2, NULL) != TN_OK)
        fail_msg("after %s: %s", name, tn_trainer_error(k->t)->message);
}

/* False: the message is another one, which is printed. */
static bool check_row(const char *name, void (*spoil)(given *k), tn_status status, const char *message) {
    char text[2 * TN_DIAG_MESSAGE_BYTES] = "no error";
    given k;
    open_model(&k);
    spoil(&k);
    const tn_diag *error = k.diag.status != TN_OK ? &k.diag : tn_model_error(k.m);
    if (error) said(error, text, sizeof text);
    bool is_right = error && error->status == status && strcmp(text, message) == 0;
    if (!is_right)
        print_message("%s:\n  says  %s: %s\n  wants %s: %s\n", name, error ? tn_status_name(error->status) : "TN_OK",
                      text, tn_status_name(status), message);
    check_trainer(&k, name);
    tn_dataset_free(k.data[0]);
    tn_dataset_free(k.data[1]);
    tn_trainer_free(k.t);
    tn_model_free(k.m);
    return is_right;
}

static void test_messages(void **state) {
    (void)state;
    int differing = 0, n = (int)(sizeof rows / sizeof *rows);
    for (int i = 0; i < n; i++) differing += !check_row(rows[i].name, rows[i].spoil, rows[i].status, rows[i].message);
    print_message("# %d wrong training programs\n", n);
    assert_int_equal(differing, 0);
}

static void remove_files(void) {
    static const char *const names[] = {"cut.safetensors",        "more.safetensors",    "other.safetensors",
                                        "parameters.safetensors", "picture.safetensors", "seed.safetensors",
                                        "turned.safetensors",     "weights.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(path_of(names[i]));
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages)};
    for (int i = 0; i < ROWS * IN; i++) points[i] = (float)(i * 7 % 10) / 10;
    for (int i = 0; i < ROWS; i++) classes[i] = i % 2;
    if (!mkdtemp(folder)) return 1;
    int failed = cmocka_run_group_tests_name("wrong_training", tests, NULL, NULL);
    remove_files();
    return failed;
}
