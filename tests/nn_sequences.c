/* Recurrent layers, attention and positions against loops written from their equations. */
#include "tests/lib/nn_forward.h"

#include "frontends/nn/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 2, STEPS = 5, IN = 3, UNITS = 4, MOST = 8192 };

static double input[MOST], other[MOST], wanted[MOST];

static tn_model *open_model(tn_val *x, int64_t width) {
    tn_model *m = tn_model_new("sequences", &(tn_model_options){.dtype = TN_F64});
    nn_numbers(input, MOST, 21);
    nn_numbers(other, MOST, 22);
    *x = tn_model_input(m, "x", TN_F64, TN_SHAPE(TN_DIM("n"), TN_SIZE(STEPS), TN_SIZE(width)));
    return m;
}

static void run(tn_model *m, tn_val y, nn_forward *r) {
    tn_model_output(m, "y", y);
    nn_scramble(m, 3);
    nn_forward_open(r, m, false, 0, N, (const void *[]){input, other});
}

static void check(tn_model *m, nn_forward *r, int n, const char *what) {
    const eval_tensor *y = nn_forward_tensor(r, "y");
    if (y->n != n) fail_msg("%s has %d elements, should have %d", what, (int)y->n, n);
    assert_numbers(y->data, wanted, n, what);
    nn_forward_close(r);
    tn_model_free(m);
}

/* ---- Recurrent layers ----------------------------------------------------------------------------------------- */

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* Column `column` of x kernel: kernel has `gates * UNITS` columns. */
static double product(const double *x, int n, const double *kernel, int gates, int column) {
    double sum = 0;
    for (int k = 0; k < n; k++) sum += x[k] * kernel[k * gates * UNITS + column];
    return sum;
}

typedef struct weights {
    const double *kernel, *recurrent, *bias, *recurrent_bias;
} weights;

typedef void cell(const weights *w, const double *x, double *h, double *c);

static void simple_cell(const weights *w, const double *x, double *h, double *c) {
    double next[UNITS];
    (void)c;
    for (int u = 0; u < UNITS; u++)
        next[u] = tanh(product(x, IN, w->kernel, 1, u) + product(h, UNITS, w->recurrent, 1, u) + w->bias[u]);
    memcpy(h, next, sizeof next);
}

static void lstm_cell(const weights *w, const double *x, double *h, double *c) {
    double next[UNITS];
    for (int u = 0; u < UNITS; u++) {
        double gate[4];
        for (int k = 0; k < 4; k++)
            gate[k] = product(x, IN, w->kernel, 4, k * UNITS + u) + product(h, UNITS, w->recurrent, 4, k * UNITS + u) +
                      w->bias[k * UNITS + u];
        c[u] = sigmoid(gate[1]) * c[u] + sigmoid(gate[0]) * tanh(gate[2]);
        next[u] = sigmoid(gate[3]) * tanh(c[u]);
    }
    memcpy(h, next, sizeof next);
}

static void gru_cell(const weights *w, const double *x, double *h, double *c) {
    double next[UNITS];
    (void)c;
    for (int u = 0; u < UNITS; u++) {
        double of_x[3], of_h[3];
        for (int k = 0; k < 3; k++) {
            of_x[k] = product(x, IN, w->kernel, 3, k * UNITS + u) + w->bias[k * UNITS + u];
            of_h[k] = product(h, UNITS, w->recurrent, 3, k * UNITS + u);
        }
        double r = sigmoid(of_x[0] + of_h[0]), z = sigmoid(of_x[1] + of_h[1]);
        next[u] = (1 - z) * tanh(of_x[2] + r * (of_h[2] + w->recurrent_bias[u])) + z * h[u];
    }
    memcpy(h, next, sizeof next);
}

static const struct {
    const char *name;
    tn_val (*layer)(tn_location at, tn_model *m, tn_nn_recurrent_args args);
    cell *step;
    bool has_recurrent_bias;
} recurrent[] = {
    {"simple_rnn", tn_nn_simple_rnn_at, simple_cell, false},
    {"lstm", tn_nn_lstm_at, lstm_cell, false},
    {"gru", tn_nn_gru_at, gru_cell, true},
};

static const double *parameter(const nn_forward *r, const char *layer, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "%s.%s", layer, name);
    return nn_forward_parameter(r, path);
}

static void check_recurrent(size_t k, bool last_only, bool reverse) {
    nn_forward r;
    tn_nn_recurrent_args a = {.units = UNITS, .last_only = last_only, .reverse = reverse};
    tn_model *m = open_model(&a.x, IN);
    run(m, recurrent[k].layer(TN_HERE, m, a), &r);
    weights w = {parameter(&r, recurrent[k].name, "kernel"), parameter(&r, recurrent[k].name, "recurrent"),
                 parameter(&r, recurrent[k].name, "bias"),
                 recurrent[k].has_recurrent_bias ? parameter(&r, recurrent[k].name, "recurrent_bias") : NULL};
    for (int n = 0; n < N; n++) {
        double h[UNITS] = {0}, c[UNITS] = {0};
        for (int i = 0; i < STEPS; i++) {
            int step = reverse ? STEPS - 1 - i : i;
            recurrent[k].step(&w, input + (n * STEPS + step) * IN, h, c);
            memcpy(last_only ? wanted + n * UNITS : wanted + (n * STEPS + step) * UNITS, h, sizeof h);
        }
    }
    check(m, &r, last_only ? N * UNITS : N * STEPS * UNITS, recurrent[k].name);
}

static void test_recurrent(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof recurrent / sizeof *recurrent; k++)
        for (int way = 0; way < 4; way++) check_recurrent(k, way & 1, way & 2);
}

/* ---- Positions --------------------------------------------------------------------------------------------------- */

static void test_sinusoidal(void **state) {
    (void)state;
    nn_forward r;
    tn_val x;
    tn_model *m = open_model(&x, 6);
    run(m, tn_nn_sinusoidal(m, x), &r);
    for (int i = 0; i < N * STEPS * 6; i++) {
        int position = i / 6 % STEPS, k = i % 6;
        double angle = position / pow(10000, (k - k % 2) / 6.0);
        wanted[i] = input[i] + (k % 2 ? cos(angle) : sin(angle));
    }
    check(m, &r, N * STEPS * 6, "sinusoidal");
}

static void test_learned_positions(void **state) {
    (void)state;
    nn_forward r;
    tn_val x;
    tn_model *m = open_model(&x, 6);
    run(m, tn_nn_learned_positions(m, x, .most = 8), &r);
    const double *table = nn_forward_parameter(&r, "learned_positions.table");
    for (int i = 0; i < N * STEPS * 6; i++) wanted[i] = input[i] + table[i % (STEPS * 6)];
    check(m, &r, N * STEPS * 6, "learned_positions");
}

/* Turns the pairs of a row of d features. */
static void turn(double *row, int d, int position, double base) {
    for (int i = 0; i < d / 2; i++) {
        double angle = position / pow(base, 2.0 * i / d), a = row[i], b = row[i + d / 2];
        row[i] = a * cos(angle) - b * sin(angle);
        row[i + d / 2] = a * sin(angle) + b * cos(angle);
    }
}

static void test_rotary(void **state) {
    (void)state;
    nn_forward r;
    tn_val x;
    tn_model *m = open_model(&x, 6);
    run(m, tn_nn_rotary(m, x, .base = 100), &r);
    memcpy(wanted, input, sizeof wanted);
    for (int row = 0; row < N * STEPS; row++) turn(wanted + row * 6, 6, row % STEPS, 100);
    check(m, &r, N * STEPS * 6, "rotary");
}

/* ---- Attention --------------------------------------------------------------------------------------------------- */

enum { WIDTH = 8, HEADS = 4, OTHERS = 7, MEMORY = 6 };

/* [rows, in] by [in, columns], plus a bias. */
static void project(const double *x, int rows, int in, const double *kernel, const double *bias, int columns,
                    double *out) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            out[i * columns + j] = bias ? bias[j] : 0;
            for (int k = 0; k < in; k++) out[i * columns + j] += x[i * in + k] * kernel[k * columns + j];
        }
}

typedef struct attention_case {
    int groups, head;
    bool causal, rotary, is_cross, no_bias;
} attention_case;

static void check_attention(attention_case c) {
    static double q[MOST], k[MOST], v[MOST], mixed[MOST];
    const char *name = "multi_head_attention";
    nn_forward r;
    tn_val x, memory = {0};
    tn_model *m = open_model(&x, WIDTH);
    if (c.is_cross)
        memory = tn_model_input(m, "memory", TN_F64, TN_SHAPE(TN_DIM("n"), TN_SIZE(OTHERS), TN_SIZE(MEMORY)));
    run(m,
        tn_nn_multi_head_attention(m, x, .memory = memory, .heads = HEADS, .groups = c.groups, .head = c.head,
                                   .causal = c.causal, .rotary = c.rotary, .no_bias = c.no_bias),
        &r);
    int d = c.head ? c.head : WIDTH / HEADS, groups = c.groups ? c.groups : HEADS, each = HEADS / groups;
    int steps = c.is_cross ? OTHERS : STEPS, in = c.is_cross ? MEMORY : WIDTH;
    const double *from = c.is_cross ? other : input, *no = NULL;
#define BIAS(which) (c.no_bias ? no : parameter(&r, name, which))
    project(input, N * STEPS, WIDTH, parameter(&r, name, "query.kernel"), BIAS("query.bias"), HEADS * d, q);
    project(from, N * steps, in, parameter(&r, name, "key.kernel"), BIAS("key.bias"), groups * d, k);
    project(from, N * steps, in, parameter(&r, name, "value.kernel"), BIAS("value.bias"), groups * d, v);
    for (int i = 0; c.rotary && i < N * STEPS * HEADS; i++) turn(q + i * d, d, i / HEADS % STEPS, 10000);
    for (int i = 0; c.rotary && i < N * steps * groups; i++) turn(k + i * d, d, i / groups % steps, 10000);
    for (int n = 0; n < N; n++)
        for (int i = 0; i < STEPS; i++)
            for (int h = 0; h < HEADS; h++) {
                double weight[OTHERS + STEPS], sum = 0, *to = mixed + ((n * STEPS + i) * HEADS + h) * d;
                for (int j = 0; j < steps; j++) {
                    double score = 0;
                    for (int f = 0; f < d; f++)
                        score +=
                            q[((n * STEPS + i) * HEADS + h) * d + f] * k[((n * steps + j) * groups + h / each) * d + f];
                    weight[j] = c.causal && j > i + steps - STEPS ? 0 : exp(score / sqrt(d));
                    sum += weight[j];
                }
                for (int f = 0; f < d; f++) {
                    to[f] = 0;
                    for (int j = 0; j < steps; j++)
                        to[f] += weight[j] / sum * v[((n * steps + j) * groups + h / each) * d + f];
                }
            }
    project(mixed, N * STEPS, HEADS * d, parameter(&r, name, "output.kernel"), BIAS("output.bias"), WIDTH, wanted);
#undef BIAS
    check(m, &r, N * STEPS * WIDTH, name);
}

static void test_attention(void **state) {
    (void)state;
    check_attention((attention_case){0});
    check_attention((attention_case){.causal = true, .no_bias = true});
    check_attention((attention_case){.groups = 2, .causal = true, .rotary = true});
    check_attention((attention_case){.groups = 1, .head = 6});
    check_attention((attention_case){.is_cross = true, .head = 3});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recurrent), cmocka_unit_test(test_sinusoidal), cmocka_unit_test(test_learned_positions),
        cmocka_unit_test(test_rotary),    cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
