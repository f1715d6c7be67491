/* Losses and metrics against their definitions over plain arrays. */
#include "tests/lib/nn_forward.h"

#include "frontends/nn/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 40, CLASSES = 6, N = ROWS * CLASSES };

static double logits[N], dense[N], weights[N];
static int32_t classes[ROWS];

/* What a loss or metric takes as its target. */
typedef enum target_kind { SPARSE, PROBABILITIES, LOG_PROBABILITIES, SIGNS, BITS, NUMBERS } target_kind;

static void make_data(target_kind kind) {
    nn_numbers(logits, N, 31);
    nn_numbers(dense, N, 32);
    nn_numbers(weights, N, 33);
    for (int i = 0; i < N; i++) {
        logits[i] *= 4;
        weights[i] = weights[i] < -0.5 ? 0 : weights[i] + 1;
    }
    for (int row = 0; row < ROWS; row++) {
        double sum = 0, sum_of_logits = 0;
        classes[row] = (row * 7 + row / 5) % CLASSES;
        for (int c = 0; c < CLASSES; c++) {
            double *t = &dense[row * CLASSES + c];
            if (kind == SIGNS) *t = *t > 0 ? 1 : -1;
            if (kind == BITS) *t = *t > 0.2;
            if (kind == PROBABILITIES || kind == LOG_PROBABILITIES) *t = *t < -0.7 ? 0 : *t + 1;
            sum += *t;
            sum_of_logits += exp(logits[row * CLASSES + c]);
        }
        for (int c = 0; c < CLASSES; c++) {
            if (kind == PROBABILITIES || kind == LOG_PROBABILITIES) dense[row * CLASSES + c] /= sum;
            if (kind == LOG_PROBABILITIES) logits[row * CLASSES + c] -= log(sum_of_logits);
        }
    }
}

/* ---- Losses ---------------------------------------------------------------------------------------------- */

static double log_sum(const double *row) {
    double sum = 0;
    for (int c = 0; c < CLASSES; c++) sum += exp(row[c]);
    return log(sum);
}

/* Of row i, or of element i where every element is an example. */
typedef double one_loss(int i, double smoothing);

static double sparse(int i, double s) {
    double loss = 0;
    for (int c = 0; c < CLASSES; c++)
        loss -=
            (s / CLASSES + (c == classes[i] ? 1 - s : 0)) * (logits[i * CLASSES + c] - log_sum(logits + i * CLASSES));
    return loss;
}

static double cross(int i, double s) {
    double loss = 0;
    for (int c = 0; c < CLASSES; c++)
        loss -= (s / CLASSES + (1 - s) * dense[i * CLASSES + c]) *
                (logits[i * CLASSES + c] - log_sum(logits + i * CLASSES));
    return loss;
}

static double binary(int i, double s) {
    double p = 1 / (1 + exp(-logits[i])), t = (1 - s) * dense[i] + s / 2;
    return -t * log(p) - (1 - t) * log(1 - p);
}

static double square(int i, double s) { return (void)s, (logits[i] - dense[i]) * (logits[i] - dense[i]); }
static double absolute(int i, double s) { return (void)s, fabs(logits[i] - dense[i]); }

static double huber(int i, double s) {
    double off = fabs(logits[i] - dense[i]), delta = 1.5;
    (void)s;
    return off <= delta ? off * off / 2 : delta * (off - delta / 2);
}

static double divergence(int i, double s) {
    double loss = 0;
    (void)s;
    for (int c = 0; c < CLASSES; c++) {
        double t = dense[i * CLASSES + c];
        if (t > 0) loss += t * (log(t) - logits[i * CLASSES + c]);
    }
    return loss;
}

static double hinge(int i, double s) { return (void)s, fmax(0, 1 - dense[i] * logits[i]); }

static const struct {
    const char *name;
    target_kind target;
    bool is_of_rows;
    one_loss *one;
} losses[] = {
    {"sparse_cross_entropy", SPARSE, true, sparse},
    {"cross_entropy", PROBABILITIES, true, cross},
    {"binary_cross_entropy", BITS, false, binary},
    {"mse", NUMBERS, false, square},
    {"mae", NUMBERS, false, absolute},
    {"huber", NUMBERS, false, huber},
    {"kl_divergence", LOG_PROBABILITIES, true, divergence},
    {"hinge", SIGNS, false, hinge},
};

/* Inputs in the order of `inputs` below. */
typedef struct values {
    tn_model *m;
    tn_val p, t, w;
} values;

static values open_model(target_kind target, bool has_weights, bool weights_of_rows) {
    values v = {.m = tn_model_new("losses", &(tn_model_options){.dtype = TN_F64})};
    make_data(target);
    v.p = tn_model_input(v.m, "p", TN_F64, TN_SHAPE(TN_DIM("n"), TN_SIZE(CLASSES)));
    v.t = target == SPARSE ? tn_model_target(v.m, "t", TN_I32, TN_SHAPE(TN_DIM("n")))
                           : tn_model_target(v.m, "t", TN_F64, TN_SHAPE(TN_DIM("n"), TN_SIZE(CLASSES)));
    if (has_weights)
        v.w = weights_of_rows ? tn_model_target(v.m, "w", TN_F64, TN_SHAPE(TN_DIM("n")))
                              : tn_model_target(v.m, "w", TN_F64, TN_SHAPE(TN_DIM("n"), TN_SIZE(CLASSES)));
    return v;
}

static void run(values *v, nn_forward *r, target_kind target) {
    nn_scramble(v->m, 1);
    nn_forward_open(r, v->m, false, 0, ROWS,
                    (const void *[]){logits, target == SPARSE ? (void *)classes : (void *)dense, weights});
}

static void check_loss(size_t k, bool has_weights, double smoothing) {
    values v = open_model(losses[k].target, has_weights, losses[k].is_of_rows);
    nn_forward r;
    tn_model_loss(v.m, "loss",
                  tn_nn_loss(losses[k].name, v.p, v.t, .weights = v.w, .delta = 1.5, .label_smoothing = smoothing));
    run(&v, &r, losses[k].target);
    double sum = 0, count = 0;
    for (int i = 0; i < (losses[k].is_of_rows ? ROWS : N); i++) {
        double w = has_weights ? weights[i] : 1;
        sum += w * losses[k].one(i, smoothing);
        count += w;
    }
    assert_numbers(nn_forward_result(&r, "loss"), (double[]){sum / count}, 1, losses[k].name);
    nn_forward_close(&r);
    tn_model_free(v.m);
}

static void test_losses(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof losses / sizeof *losses; k++) {
        bool smooths = k < 3;
        check_loss(k, false, 0);
        check_loss(k, true, smooths ? 0.1 : 0);
    }
}

/* No exponential overflows, whatever the logits. */
static void test_far_logits(void **state) {
    (void)state;
    values v = open_model(SPARSE, false, false);
    nn_forward r;
    tn_model_loss(v.m, "loss", tn_nn_loss("sparse_cross_entropy", v.p, v.t));
    double sum = 0;
    for (int i = 0; i < N; i++) logits[i] = i % CLASSES == 2 ? 1e4 : -1e4;
    for (int i = 0; i < ROWS; i++) sum += classes[i] == 2 ? 0 : 2e4;
    run(&v, &r, SPARSE);
    assert_numbers(nn_forward_result(&r, "loss"), (double[]){sum / ROWS}, 1, "far logits");
    nn_forward_close(&r);
    tn_model_free(v.m);
}

/* ---- Metrics ------------------------------------------------------------------------------------------------ */

static double metric(const char *name, target_kind target, tn_nn_metric_args a) {
    values v = open_model(target, false, false);
    nn_forward r;
    a.target = v.t;
    tn_model_metric_at(TN_HERE, v.m, name, v.p, a);
    run(&v, &r, target);
    const eval_tensor *sums = nn_forward_tensor(&r, name);
    double y = tn_nn_metric_finish(name, sums->data, (int)sums->n);
    nn_forward_close(&r);
    tn_model_free(v.m);
    return y;
}

static int best_of(int row) {
    int best = 0;
    for (int c = 1; c < CLASSES; c++)
        if (logits[row * CLASSES + c] > logits[row * CLASSES + best]) best = c;
    return best;
}

static int rank_of(int row) {
    int rank = 0;
    for (int c = 0; c < CLASSES; c++) rank += logits[row * CLASSES + c] > logits[row * CLASSES + classes[row]];
    return rank;
}

static void test_class_metrics(void **state) {
    (void)state;
    double right = 0, among = 0, nll = 0, f1 = 0;
    make_data(SPARSE);
    for (int i = 0; i < ROWS; i++) {
        right += best_of(i) == classes[i];
        among += rank_of(i) < 3;
        nll += sparse(i, 0);
    }
    for (int c = 0; c < CLASSES; c++) {
        double both = 0, all = 0;
        for (int i = 0; i < ROWS; i++) {
            both += best_of(i) == c && classes[i] == c;
            all += (best_of(i) == c) + (classes[i] == c);
        }
        f1 += 2 * both / all / CLASSES;
    }
    double is[] = {metric("accuracy", SPARSE, (tn_nn_metric_args){.k = 0}),
                   metric("top_k", SPARSE, (tn_nn_metric_args){.k = 3}),
                   metric("perplexity", SPARSE, (tn_nn_metric_args){.k = 0}),
                   metric("macro_f1", SPARSE, (tn_nn_metric_args){.k = 0})};
    assert_true(right > 0 && right < ROWS);
    assert_numbers(is, (double[]){right / ROWS, among / ROWS, exp(nll / ROWS), f1}, 4, "metrics of classes");
}

static void test_binary_metrics(void **state) {
    (void)state;
    double right = 0, both = 0, all = 0, above = 0, pairs = 0;
    make_data(BITS);
    for (int i = 0; i < N; i++) {
        bool said = logits[i] > 0.5, is = dense[i] > 0.5;
        right += said == is;
        both += said && is;
        all += said + is;
        for (int j = 0; j < N; j++) {
            if (!is || dense[j] > 0.5) continue;
            pairs++;
            above += logits[i] > logits[j];
        }
    }
    double is[] = {metric("binary_accuracy", BITS, (tn_nn_metric_args){.threshold = 0.5}),
                   metric("f1", BITS, (tn_nn_metric_args){.threshold = 0.5})};
    assert_numbers(is, (double[]){right / N, 2 * both / all}, 2, "metrics of two classes");
    double area = metric("auc", BITS, (tn_nn_metric_args){.bins = 5000});
    if (fabs(area - above / pairs) > 2e-3) fail_msg("auc %g, should be %g", area, above / pairs);
}

static void test_number_metrics(void **state) {
    (void)state;
    double squares = 0, absolutes = 0;
    make_data(NUMBERS);
    for (int i = 0; i < N; i++) {
        squares += square(i, 0);
        absolutes += absolute(i, 0);
    }
    double is[] = {metric("mse", NUMBERS, (tn_nn_metric_args){.k = 0}),
                   metric("mae", NUMBERS, (tn_nn_metric_args){.k = 0})};
    assert_numbers(is, (double[]){squares / N, absolutes / N}, 2, "metrics of numbers");
}

/* Sums of two batches are those of both; nothing at all is no number. */
static void test_finish(void **state) {
    (void)state;
    assert_true(isnan(tn_nn_metric_finish("accuracy", (double[]){0, 0}, 2)));
    assert_true(isnan(tn_nn_metric_finish("f1", (double[]){0, 0, 0}, 3)));
    assert_true(isnan(tn_nn_metric_finish("auc", (double[]){0, 3, 0, 0}, 4)));
    assert_true(isnan(tn_nn_metric_finish("nothing", (double[]){1, 1}, 2)));
    assert_true(tn_nn_metric_finish("auc", (double[]){0, 3, 2, 0}, 4) == 1);
    assert_true(tn_nn_metric_finish("auc", (double[]){3, 0, 3, 0}, 4) == 0.5);
    assert_true(tn_nn_metric_finish("accuracy", (double[]){3, 4}, 2) == 0.75);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses),         cmocka_unit_test(test_far_logits),
        cmocka_unit_test(test_class_metrics),  cmocka_unit_test(test_binary_metrics),
        cmocka_unit_test(test_number_metrics), cmocka_unit_test(test_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
