/* Trainers: steps against a loop in C, learning, determinism, accumulation, averages, guards, precision. */
#include "frontends/nn/trainer.h"
#include "tests/lib/nn_forward.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 64, IN = 2, HIDDEN = 16 };

static double points[ROWS * IN];
static float points32[ROWS * IN];
static int32_t inside[ROWS];

/* Points of a square, and whether they are in a circle. */
static void make_points(void) {
    nn_numbers(points, ROWS * IN, 77);
    for (int i = 0; i < ROWS * IN; i++) points32[i] = (float)points[i];
    for (int i = 0; i < ROWS; i++)
        inside[i] = points[2 * i] * points[2 * i] + points[2 * i + 1] * points[2 * i + 1] < 0.5;
}

static tn_model *circle(const tn_model_options *options, double dropout) {
    make_points();
    tn_model *m = tn_model_new("circle", options);
    tn_dtype dtype = options && options->dtype ? options->dtype : TN_F32;
    tn_val x = tn_model_input(m, "point", dtype, TN_SHAPE(TN_DIM("n"), TN_SIZE(IN)));
    tn_val label = tn_model_target(m, "inside", TN_I32, TN_SHAPE(TN_DIM("n")));
    tn_val h = tn_nn_dense(m, x, .units = HIDDEN, .activation = "tanh", .name = "first");
    if (dropout > 0) h = tn_nn_dropout(m, h, .rate = dropout);
    tn_val logits = tn_nn_dense(m, h, .units = 2, .name = "second");
    tn_model_output(m, "logits", logits);
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", logits, label));
    tn_model_metric(m, "accuracy", logits, label);
    return m;
}

static tn_trainer *open_trainer(tn_model *m, tn_trainer_options o) {
    tn_diag diag = {0};
    tn_trainer *t = tn_trainer_new(m, &o, &diag);
    if (!t) fail_msg("%s:%d: %s", diag.file ? diag.file : "", diag.line, diag.message);
    return t;
}

static tn_step_report step_on(tn_trainer *t, int first, int n) {
    bool is_f64 = t->m->dtype == TN_F64;
    tn_step_report report;
    tn_tensor batch[] = {is_f64 ? TN_TENSOR(TN_F64, points + first * IN, n, IN)
                                : TN_TENSOR(TN_F32, points32 + first * IN, n, IN),
                         TN_TENSOR(TN_I32, inside + first, n)};
    if (tn_trainer_step(t, batch, 2, &report) != TN_OK) fail_msg("%s", tn_trainer_error(t)->message);
    return report;
}

static const void *state_data(const tn_trainer *t, const char *name, tn_tensor *tensor) {
    tn_tensor own;
    if (!tensor) tensor = &own;
    for (int i = 0; i < tn_trainer_n_states(t); i++)
        if (strcmp(tn_trainer_state(t, i, tensor), name) == 0) return tensor->data;
    fail_msg("no state %s", name);
    return NULL;
}

/* ---- Against a loop in C ------------------------------------------------------------------------------------ */

/* Linear regression with a penalty, momentum, clipping by norm and a schedule, 30 steps in f64. */
static void test_against_c(void **state) {
    (void)state;
    enum { N = 8, STEPS = 30 };
    double target[N], w[IN], b, v[IN + 1] = {0};
    make_points();
    for (int i = 0; i < N; i++) target[i] = 3 * points[2 * i] - points[2 * i + 1] + 0.5 + 0.1 * i;
    tn_model *m = tn_model_new("line", &(tn_model_options){.dtype = TN_F64});
    tn_val x = tn_model_input(m, "x", TN_F64, TN_SHAPE(TN_DIM("n"), TN_SIZE(IN)));
    tn_val y = tn_model_target(m, "y", TN_F64, TN_SHAPE(TN_DIM("n"), TN_SIZE(1)));
    tn_val p = tn_nn_dense(m, x, .units = 1, .penalty = {.l2 = 0.01});
    tn_model_loss(m, "loss", tn_nn_loss("mse", p, y));
    tn_optimizer o = tn_optimizer_of("sgd", 0.1);
    o.momentum = 0.9;
    o.weight_decay = 0.02;
    tn_trainer *t = open_trainer(m, (tn_trainer_options){.optimizer = o,
                                                         .clip_norm = 1.5,
                                                         .decays = tn_decay_matrices,
                                                         .schedule = {.kind = "step", .gamma = 0.5, .every = 10}});
    memcpy(w, state_data(t, "dense.kernel", NULL), sizeof w);
    b = *(const double *)state_data(t, "dense.bias", NULL);
    for (int step = 0; step < STEPS; step++) {
        double g[IN + 1] = {0}, loss = 0, rate = 0.1 * pow(0.5, floor(step / 10.0)), norm = 0;
        for (int i = 0; i < N; i++) {
            double off = points[2 * i] * w[0] + points[2 * i + 1] * w[1] + b - target[i];
            loss += off * off / N;
            for (int k = 0; k < IN; k++) g[k] += 2 * off * points[2 * i + k] / N;
            g[IN] += 2 * off / N;
        }
        for (int k = 0; k < IN; k++) {
            loss += 0.01 * w[k] * w[k];
            g[k] += 0.02 * w[k];
        }
        for (int k = 0; k <= IN; k++) norm += g[k] * g[k];
        norm = sqrt(norm);
        for (int k = 0; k <= IN; k++) {
            double *q = k < IN ? &w[k] : &b, clipped = g[k] * fmin(1, 1.5 / (norm + 1e-6));
            v[k] = 0.9 * v[k] + clipped + (k < IN ? 0.02 * *q : 0);
            *q -= rate * v[k];
        }
        tn_step_report r;
        tn_tensor batch[] = {TN_TENSOR(TN_F64, points, N, IN), TN_TENSOR(TN_F64, target, N, 1)};
        if (tn_trainer_step(t, batch, 2, &r) != TN_OK) fail_msg("%s", tn_trainer_error(t)->message);
        assert_numbers((double[]){r.loss, r.gradient_norm, r.learning_rate}, (double[]){loss, norm, rate}, 3, "report");
        assert_int_equal(r.step, step + 1);
        assert_numbers(state_data(t, "dense.kernel", NULL), w, IN, "kernel");
        assert_numbers(state_data(t, "dense.bias", NULL), &b, 1, "bias");
        assert_numbers(state_data(t, "optimizer.momentum.dense.kernel", NULL), v, IN, "momentum");
    }
    tn_trainer_free(t);
    tn_model_free(m);
}

/* ---- Learning ------------------------------------------------------------------------------------------------- */

static void test_learns(void **state) {
    (void)state;
    static const char *const optimizers[] = {"sgd", "adam", "adamw", "rmsprop", "adagrad", "lion", "adafactor"};
    static const double rates[] = {0.5, 0.03, 0.03, 0.01, 0.1, 0.01, 2};
    for (size_t k = 0; k < 7; k++) {
        tn_model *m = circle(NULL, 0);
        tn_optimizer o = tn_optimizer_of(optimizers[k], rates[k]);
        if (k == 0) o.momentum = 0.9;
        tn_trainer *t = open_trainer(m, (tn_trainer_options){.optimizer = o, .seed = 3});
        double first = 0, last = 0;
        for (int i = 0; i < 200; i++) {
            if (i == 199) tn_trainer_reset_metrics(t, false);
            last = step_on(t, 0, ROWS).loss;
            if (i == 0) first = last;
        }
        double accuracy = tn_trainer_metric(t, 0, false);
        if (last > first / 2.5 || accuracy < 0.9)
            fail_msg("%s: loss %g at first, then %g, accuracy %g", optimizers[k], first, last, accuracy);
        tn_trainer_free(t);
        tn_model_free(m);
    }
}

/* Batches of any size; evaluation has no dropout, adds its metrics up apart, and leaves the state alone. */
static void test_evaluate(void **state) {
    (void)state;
    tn_model *m = circle(&(tn_model_options){.dtype = TN_F64}, 0.4);
    tn_trainer *t = open_trainer(m, (tn_trainer_options){.seed = 3});
    tn_step_report r;
    for (int i = 0; i < 20; i++) step_on(t, i % 4 * 16, i % 2 ? 16 : 7);
    assert_string_equal(tn_trainer_metric_name(t, 0), "accuracy");
    assert_null(tn_trainer_metric_name(t, 1));
    assert_true(isnan(tn_trainer_metric(t, 0, true)));
    for (int part = 0; part < 2; part++) {
        tn_tensor batch[] = {TN_TENSOR(TN_F64, points + part * 32 * IN, 32, IN),
                             TN_TENSOR(TN_I32, inside + part * 32, 32)};
        if (tn_trainer_evaluate(t, batch, 2, &r) != TN_OK) fail_msg("%s", tn_trainer_error(t)->message);
        nn_forward f;
        nn_forward_open(&f, m, false, 0, 32, (const void *[]){points + part * 32 * IN, inside + part * 32});
        assert_numbers(&r.loss, nn_forward_result(&f, "loss"), 1, "loss");
        nn_forward_close(&f);
    }
    int right = 0;
    nn_forward f;
    nn_forward_open(&f, m, false, 0, ROWS, (const void *[]){points, inside});
    for (int i = 0; i < ROWS; i++) {
        const double *logits = nn_forward_result(&f, "logits") + 2 * i;
        right += (logits[1] > logits[0]) == inside[i];
    }
    nn_forward_close(&f);
    assert_numbers((double[]){tn_trainer_metric(t, 0, true)}, (double[]){right / (double)ROWS}, 1, "accuracy");
    assert_int_equal(tn_trainer_steps(t), 20);
    tn_trainer_free(t);
    tn_model_free(m);
}

/* ---- The same bits ----------------------------------------------------------------------------------------------- */

/* All states after some steps, one behind the other. */
static size_t run_steps(uint8_t *out, uint64_t seed, tn_pool *pool, bool any_size, int n) {
    tn_model *m = circle(NULL, 0.3);
    tn_trainer *t = open_trainer(
        m, (tn_trainer_options){.seed = seed, .pool = pool, .any_size = any_size, .ema_decay = 0.9, .accumulate = 2});
    size_t bytes = 0;
    for (int i = 0; i < n; i++) step_on(t, i % 3 * 16, 16 + i % 2);
    for (int i = 0; i < tn_trainer_n_states(t); i++) {
        tn_tensor x;
        tn_trainer_state(t, i, &x);
        memcpy(out + bytes, x.data, (size_t)tn_tensor_bytes(&x));
        bytes += (size_t)tn_tensor_bytes(&x);
    }
    assert_int_equal(bytes, tn_trainer_state_bytes(t));
    tn_trainer_free(t);
    tn_model_free(m);
    return bytes;
}

static void test_same_bits(void **state) {
    (void)state;
    enum { MOST = 8192 };
    static uint8_t a[MOST], b[MOST], half[MOST];
    size_t n = run_steps(a, 5, NULL, false, 9);
    assert_true(n < MOST);
    run_steps(b, 5, NULL, true, 9);
    assert_memory_equal(a, b, n);
    tn_pool *pool = tn_pool_new(2);
    run_steps(b, 5, pool, false, 9);
    tn_pool_free(pool);
    assert_memory_equal(a, b, n);
    run_steps(b, 6, NULL, false, 9);
    assert_true(memcmp(a, b, n) != 0);
    /* What was written after three batches, in the middle of an accumulated step, and read by another trainer. */
    run_steps(half, 5, NULL, false, 3);
    tn_model *m = circle(NULL, 0.3);
    tn_trainer *t = open_trainer(m, (tn_trainer_options){.seed = 99, .ema_decay = 0.9, .accumulate = 2});
    size_t at = 0;
    for (int i = 0; i < tn_trainer_n_states(t); i++) {
        tn_tensor x;
        tn_trainer_state(t, i, &x);
        memcpy(x.data, half + at, (size_t)tn_tensor_bytes(&x));
        at += (size_t)tn_tensor_bytes(&x);
    }
    for (int i = 3; i < 9; i++) step_on(t, i % 3 * 16, 16 + i % 2);
    at = 0;
    for (int i = 0; i < tn_trainer_n_states(t); i++) {
        tn_tensor x;
        const char *name = tn_trainer_state(t, i, &x);
        if (memcmp(x.data, a + at, (size_t)tn_tensor_bytes(&x)) != 0) fail_msg("%s differs after resuming", name);
        at += (size_t)tn_tensor_bytes(&x);
    }
    tn_trainer_free(t);
    tn_model_free(m);
}

/* ---- Accumulation, averages, precision --------------------------------------------------------------------------- */

/* Four batches of 16 make the step of one of 64. */
static void test_accumulate(void **state) {
    (void)state;
    double kernel[2][IN * HIDDEN];
    for (int parts = 0; parts < 2; parts++) {
        tn_model *m = circle(&(tn_model_options){.dtype = TN_F64}, 0);
        tn_trainer *t = open_trainer(m, (tn_trainer_options){.seed = 3, .accumulate = parts ? 4 : 0});
        for (int step = 0; step < 5; step++)
            for (int part = 0; part < (parts ? 4 : 1); part++) {
                tn_step_report r = parts ? step_on(t, part * 16, 16) : step_on(t, 0, ROWS);
                assert_int_equal(r.step, step + (!parts || part == 3));
                assert_int_equal(isnan(r.gradient_norm), parts && part < 3);
            }
        memcpy(kernel[parts], state_data(t, "first.kernel", NULL), sizeof kernel[0]);
        tn_trainer_free(t);
        tn_model_free(m);
    }
    assert_numbers(kernel[1], kernel[0], IN * HIDDEN, "kernel");
}

static void test_averages(void **state) {
    (void)state;
    double wanted[IN * HIDDEN];
    tn_model *m = circle(&(tn_model_options){.dtype = TN_F64}, 0);
    tn_trainer *t = open_trainer(m, (tn_trainer_options){.seed = 3, .ema_decay = 0.8});
    const double *kernel = state_data(t, "first.kernel", NULL);
    memcpy(wanted, kernel, sizeof wanted);
    for (int i = 0; i < 10; i++) {
        step_on(t, 0, ROWS);
        for (int k = 0; k < IN * HIDDEN; k++) wanted[k] = 0.8 * wanted[k] + 0.2 * kernel[k];
    }
    assert_numbers(state_data(t, "average.first.kernel", NULL), wanted, IN * HIDDEN, "average");
    tn_step_report by_average, plain;
    tn_tensor batch[] = {TN_TENSOR(TN_F64, points, ROWS, IN), TN_TENSOR(TN_I32, inside, ROWS)};
    assert_int_equal(tn_trainer_evaluate(t, batch, 2, &by_average), TN_OK);
    tn_trainer_free(t);
    t = open_trainer(m, (tn_trainer_options){.seed = 3});
    assert_int_equal(tn_trainer_evaluate(t, batch, 2, &plain), TN_OK);
    assert_true(fabs(by_average.loss - plain.loss) > 1e-6);
    tn_trainer_free(t);
    tn_model_free(m);
}

static void test_mixed_precision(void **state) {
    (void)state;
    static const tn_dtype dtypes[] = {TN_F32, TN_BF16, TN_F16};
    double losses[3];
    for (int k = 0; k < 3; k++) {
        tn_model *m = circle(&(tn_model_options){.compute = dtypes[k]}, 0);
        tn_trainer *t = open_trainer(m, (tn_trainer_options){.optimizer = tn_optimizer_of("adam", 0.03), .seed = 3});
        for (int i = 0; i < 200; i++) losses[k] = step_on(t, 0, ROWS).loss;
        tn_trainer_free(t);
        tn_model_free(m);
    }
    for (int k = 1; k < 3; k++)
        if (!(fabs(losses[k] - losses[0]) < 0.03))
            fail_msg("%s: loss %g, in f32 %g", tn_dtype_name(dtypes[k]), losses[k], losses[0]);
}

/* A scale that makes gradients overflow is halved, without steps, until they do not. */
static void test_loss_scale(void **state) {
    (void)state;
    tn_model *m = circle(&(tn_model_options){.compute = TN_F16}, 0);
    tn_trainer *t = open_trainer(m, (tn_trainer_options){.seed = 3, .loss_scale = 0x1p24});
    int skipped = 0;
    tn_step_report r = {.is_skipped = true};
    while (r.is_skipped && skipped < 30) {
        r = step_on(t, 0, ROWS);
        skipped += r.is_skipped;
        assert_int_equal(r.step, !r.is_skipped);
    }
    float scale = *(const float *)state_data(t, "trainer.loss_scale", NULL);
    assert_in_range(skipped, 1, 20);
    assert_true((double)scale == ldexp(1, 24 - skipped));
    assert_true(isfinite(r.gradient_norm) && isfinite(r.loss));
    tn_trainer_free(t);
    tn_model_free(m);
}

/* ---- Guards and wrong calls -------------------------------------------------------------------------------------- */

static void test_guard(void **state) {
    (void)state;
    for (int skips = 0; skips < 2; skips++) {
        tn_model *m = circle(NULL, 0);
        tn_trainer *t = open_trainer(m, (tn_trainer_options){.seed = 3, .skip_nonfinite = skips});
        float before[IN * HIDDEN], bad[IN * 4] = {0, 1, NAN, 0};
        step_on(t, 0, ROWS);
        memcpy(before, state_data(t, "first.kernel", NULL), sizeof before);
        tn_tensor batch[] = {TN_TENSOR(TN_F32, bad, 4, IN), TN_TENSOR(TN_I32, inside, 4)};
        tn_step_report r;
        assert_int_equal(tn_trainer_step(t, batch, 2, &r), skips ? TN_OK : TN_ERR_ASSERT);
        assert_true(r.is_skipped && r.step == 1);
        if (!skips) assert_non_null(strstr(tn_trainer_error(t)->message, "after 1 steps the loss is nan"));
        assert_memory_equal(before, state_data(t, "first.kernel", NULL), sizeof before);
        assert_true(isfinite(step_on(t, 0, ROWS).loss));
        tn_trainer_free(t);
        tn_model_free(m);
    }
}

/* Unguarded the state is lost, and nothing tells but the loss. */
static void test_unguarded(void **state) {
    (void)state;
    tn_model *m = circle(NULL, 0);
    tn_trainer *t = open_trainer(m, (tn_trainer_options){.seed = 3, .unguarded = true});
    float bad[IN] = {NAN, 0};
    assert_true(isnan(step_on(t, 0, ROWS).gradient_norm));
    tn_tensor batch[] = {TN_TENSOR(TN_F32, bad, 1, IN), TN_TENSOR(TN_I32, inside, 1)};
    tn_step_report r;
    assert_int_equal(tn_trainer_step(t, batch, 2, &r), TN_OK);
    assert_true(!r.is_skipped && r.step == 2 && isnan(r.loss));
    assert_true(isnan(*(const float *)state_data(t, "second.kernel", NULL)));
    tn_trainer_free(t);
    tn_model_free(m);
}

/* The op that made the first NaN is named with the line that built it; a NaN that was given, by its input. */
static void test_probe(void **state) {
    (void)state;
    make_points();
    tn_model *m = tn_model_new("logs", NULL);
    tn_val x = tn_model_input(m, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(IN)));
    tn_val h = tn_nn_dropout(m, tn_nn_dense(m, x, .units = 1), .rate = 0.2);
    tn_val masked = tn_max_scalar(tn_add_scalar(h, -INFINITY), -3); /* an infinity that is meant */
    int line = __LINE__ + 1;
    h = tn_name(tn_log(h), "logs");
    tn_model_loss(m, "loss", tn_sum(tn_add(tn_exp(h), masked), TN_NO_INTS));
    tn_trainer *t = open_trainer(m, (tn_trainer_options){.seed = 3});
    tn_tensor batch = TN_TENSOR(TN_F32, points32, ROWS, IN);
    assert_int_equal(tn_trainer_step(t, &batch, 1, NULL), TN_ERR_ASSERT);
    const tn_diag *error = tn_trainer_error(t);
    if (!strstr(error->message, "the first NaN comes from log: logs is f32[64, 1]")) fail_msg("%s", error->message);
    assert_true(error->file && strstr(error->file, "nn_training.c") && error->line == line);
    float bad[] = {NAN, 1};
    batch = TN_TENSOR(TN_F32, bad, 1, IN);
    assert_int_equal(tn_trainer_step(t, &batch, 1, NULL), TN_ERR_ASSERT);
    error = tn_trainer_error(t);
    if (!strstr(error->message, "there is a NaN in its input: x is f32[1, 2]")) fail_msg("%s", error->message);
    tn_trainer_free(t);
    tn_model_free(m);
}

static void expect_error(tn_model *m, tn_trainer_options o, const char *message) {
    tn_diag diag = {0};
    assert_null(tn_trainer_new(m, &o, &diag));
    if (!strstr(diag.message, message)) fail_msg("\"%s\" should say \"%s\"", diag.message, message);
}

static void test_messages(void **state) {
    (void)state;
    tn_model *m = circle(NULL, 0), *empty = tn_model_new("empty", NULL);
    expect_error(m, (tn_trainer_options){.optimizer = tn_optimizer_of("adm", 1)},
                 "no optimizer is called \"adm\" (sgd,");
    expect_error(m, (tn_trainer_options){.optimizer = tn_optimizer_of("adam", 0)},
                 "learning_rate is 0, it must be above 0");
    expect_error(m, (tn_trainer_options){.schedule = {.kind = "sine"}}, "no schedule is called \"sine\"");
    expect_error(m, (tn_trainer_options){.ema_decay = 1}, "ema_decay is 1");
    expect_error(m, (tn_trainer_options){.clip_norm = -1}, "they must be at least 0");
    expect_error(empty, (tn_trainer_options){.seed = 1}, "the model empty has no loss");
    expect_error(NULL, (tn_trainer_options){.seed = 1}, "no model");
    tn_model_free(empty);

    tn_trainer *t = open_trainer(m, (tn_trainer_options){.seed = 1});
    tn_tensor batch[] = {TN_TENSOR(TN_F32, points32, 4, IN), TN_TENSOR(TN_I32, inside, 5)};
    assert_int_equal(tn_trainer_step(t, batch, 1, NULL), TN_ERR_ARGUMENT);
    assert_non_null(strstr(tn_trainer_error(t)->message, "a batch has 2 tensors (point, inside), not 1"));
    assert_int_not_equal(tn_trainer_step(t, batch, 2, NULL), TN_OK);
    assert_int_equal(tn_trainer_steps(t), 0);
    /* A class that is not there is an error of the run. */
    int32_t wrong[] = {0, 2, 1, 0};
    batch[1] = TN_TENSOR(TN_I32, wrong, 4);
    assert_int_equal(tn_trainer_step(t, batch, 2, NULL), TN_ERR_INDEX);
    batch[1] = TN_TENSOR(TN_I32, inside, 4);
    tn_val x = tn_model_input(m, "more", TN_F32, TN_SHAPE(TN_SIZE(1)));
    assert_true(tn_is_valid(x));
    assert_int_equal(tn_trainer_step(t, batch, 2, NULL), TN_ERR_ARGUMENT);
    assert_non_null(strstr(tn_trainer_error(t)->message, "has grown"));
    tn_trainer_free(t);
    tn_model_free(m);
    tn_trainer_free(NULL);
}

/* An op without a gradient on the way to a parameter is named with the line that built it. */
static void test_no_gradient(void **state) {
    (void)state;
    tn_diag diag = {0};
    tn_model *m = tn_model_new("floor", NULL);
    tn_val x = tn_model_input(m, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(2)));
    tn_model_loss(m, "loss", tn_sum(tn_floor(tn_nn_dense(m, x, .units = 2)), TN_NO_INTS));
    assert_null(tn_trainer_new(m, NULL, &diag));
    assert_non_null(strstr(diag.message, "floor"));
    assert_non_null(diag.file);
    assert_non_null(strstr(diag.file, "nn_training.c"));
    tn_model_free(m);
}

/* ---- Every layer trains ------------------------------------------------------------------------------------------ */

static tn_val all_layers(tn_model *m, tn_val image, tn_val words) {
    tn_val h = tn_nn_conv2d(m, image, .filters = 4, .kernel = {3, 3}, .padding = "same", .no_bias = true);
    h = tn_nn_activation(m, tn_nn_batch_norm(m, h), "relu");
    h = tn_nn_depthwise_conv2d(m, h, .kernel = {3, 3}, .pad = {1, 1});
    h = tn_nn_group_norm(m, h, .groups = 2);
    h = tn_nn_max_pool(m, h, .window = {2, 2});
    h = tn_nn_conv_transpose2d(m, h, .filters = 3, .kernel = {3, 3}, .stride = {2, 2}, .padding = "same");
    h = tn_nn_avg_pool(m, h, .window = {2, 2});
    tn_val seen = tn_nn_dense(m, tn_nn_flatten(m, h), .units = 6, .activation = "gelu");
    tn_val w = tn_nn_learned_positions(m, tn_nn_embedding(m, words, .count = 9, .width = 8), .most = 8);
    w = tn_nn_multi_head_attention(m, tn_nn_layer_norm(m, w), .heads = 4, .groups = 2, .causal = true, .rotary = true);
    w = tn_nn_rms_norm(m, w);
    w = tn_nn_gru(m, tn_nn_lstm(m, w, .units = 5), .units = 5);
    w = tn_nn_simple_rnn(m, tn_nn_sinusoidal(m, w), .units = 6, .last_only = true);
    return tn_nn_dense(m, tn_nn_dropout(m, tn_add(seen, w), .rate = 0.1), .units = 3);
}

static void test_all_layers(void **state) {
    (void)state;
    enum { N = 4, SIDE = 6, STEPS = 5 };
    static float image[N * SIDE * SIDE];
    static const int32_t label[N] = {0, 2, 1, 2};
    int32_t words[N * STEPS];
    for (int i = 0; i < N * SIDE * SIDE; i++) image[i] = (float)(i * 7 % 13) / 13;
    for (int i = 0; i < N * STEPS; i++) words[i] = i * 5 % 9;
    tn_model *m = tn_model_new("all", NULL);
    tn_val x = tn_model_input(m, "image", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(1), TN_SIZE(SIDE), TN_SIZE(SIDE)));
    tn_val w = tn_model_input(m, "words", TN_I32, TN_SHAPE(TN_DIM("n"), TN_SIZE(STEPS)));
    tn_val t = tn_model_target(m, "label", TN_I32, TN_SHAPE(TN_DIM("n")));
    tn_val logits = all_layers(m, x, w);
    tn_model_output(m, "logits", logits);
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", logits, t));
    tn_trainer *trainer =
        open_trainer(m, (tn_trainer_options){.optimizer = tn_optimizer_of("adamw", 0.01), .seed = 4, .clip_norm = 1});
    tn_tensor batch[] = {TN_TENSOR(TN_F32, image, N, 1, SIDE, SIDE), TN_TENSOR(TN_I32, words, N, STEPS),
                         TN_TENSOR(TN_I32, label, N)};
    tn_step_report r;
    double first = 0;
    for (int i = 0; i < 60; i++) {
        if (tn_trainer_step(trainer, batch, 3, &r) != TN_OK) fail_msg("%s", tn_trainer_error(trainer)->message);
        if (i == 0) first = r.loss;
    }
    if (r.loss > first / 4) fail_msg("loss %g at first, then %g", first, r.loss);
    /* Each parameter has moved: its second moments are not all 0. */
    for (int i = 0; i < tn_trainer_n_states(trainer); i++) {
        tn_tensor v;
        const char *name = tn_trainer_state(trainer, i, &v);
        double sum = 0;
        if (strncmp(name, "optimizer.v.", 12) != 0) continue;
        for (int64_t k = 0; k < tn_tensor_elements(&v); k++) sum += (double)((float *)v.data)[k];
        if (!(sum > 0)) fail_msg("%s is 0", name);
    }
    tn_trainer_free(trainer);
    tn_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_c),       cmocka_unit_test(test_learns),      cmocka_unit_test(test_evaluate),
        cmocka_unit_test(test_same_bits),       cmocka_unit_test(test_accumulate),  cmocka_unit_test(test_averages),
        cmocka_unit_test(test_mixed_precision), cmocka_unit_test(test_loss_scale),  cmocka_unit_test(test_guard),
        cmocka_unit_test(test_messages),        cmocka_unit_test(test_no_gradient), cmocka_unit_test(test_all_layers),
        cmocka_unit_test(test_probe),           cmocka_unit_test(test_unguarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
