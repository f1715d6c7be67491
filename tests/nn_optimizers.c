/* Optimizers: 20 steps in f64 against PyTorch's results, Lion against its paper; schedules against PyTorch's.
 *
 * The numbers were made by PyTorch 2.13.0 (torch.optim, torch.optim.lr_scheduler, f64) on the gradients of `gradient`
 * below.
 */
#include "frontends/nn/optimizer.h"
#include "ir/eval.h"
#include "runtime/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MATRIX = 12, VECTOR = 4, STEPS = 20 };

static double gradient(double p, int i, int step, double phase) {
    return (0.5 + 0.1 * i) * p + 0.3 * sin(1.7 * i + 0.9 * step + phase);
}

/* A parameter and its state through STEPS steps of the optimizer's graph, run by the interpreter. */
static void optimise(const tn_optimizer *o, bool decays, tn_shape shape, int n, double frequency, double phase,
                     double *p) {
    tn_graph *g = tn_graph_new("step");
    nn_slot slots[NN_MAX_SLOTS];
    nn_update u = {.o = o, .weight_decay = decays ? o->weight_decay : 0};
    u.rate = tn_input(g, "rate", TN_F64, TN_SCALAR);
    u.step = tn_input(g, "step", TN_F64, TN_SCALAR);
    u.p = tn_input(g, "p", TN_F64, shape);
    u.g = tn_input(g, "g", TN_F64, shape);
    tn_type type = tn_type_of(u.p);
    int n_slots = nn_optimizer_slots(o, g->module->dims, &type, slots);
    for (int i = 0; i < n_slots; i++)
        u.slots[i] = (tn_val){g, graph_add_param(g, slots[i].name, &slots[i].type, BINDING_RUN)};
    tn_val next = nn_optimizer_step(&u);
    tn_output(g, "p'", next);
    for (int i = 0; i < n_slots; i++) tn_output(g, NULL, u.slots[i]);
    if (tn_graph_error(g)) fail_msg("%s: %s", o->name, tn_graph_error(g)->message);

    double rate = o->learning_rate, step, gradients[MATRIX], state[NN_MAX_SLOTS][MATRIX] = {{0}};
    eval_tensor in[4 + NN_MAX_SLOTS], out[1 + NN_MAX_SLOTS] = {{0}};
    for (size_t i = 0; i < g->n_params; i++) {
        const tn_type *t = &g->params[i].type;
        in[i] = (eval_tensor){.dtype = TN_F64, .rank = t->rank, .n = 1, .borrowed = true};
        for (int k = 0; k < t->rank; k++) {
            assert_true(dim_is_const(g->module->dims, t->dims[k], &in[i].dims[k]));
            in[i].n *= in[i].dims[k];
        }
        void *data[] = {&rate, &step, p, gradients};
        in[i].data = i < 4 ? data[i] : state[i - 4];
    }
    for (int i = 0; i < n; i++) p[i] = cos(frequency * i);
    for (int t = 0; t < STEPS; t++) {
        eval_options options = {0};
        tn_diag diag;
        step = t + 1;
        for (int i = 0; i < n; i++) gradients[i] = gradient(p[i], i, t, phase);
        if (eval_graph(g, in, out, &options, &diag) != TN_OK) fail_msg("%s: %s", o->name, diag.message);
        memcpy(p, out[0].data, (size_t)n * sizeof *p);
        for (int i = 0; i < n_slots; i++) memcpy(state[i], out[1 + i].data, (size_t)out[1 + i].n * sizeof(double));
        for (int i = 0; i <= n_slots; i++) eval_tensor_free(&out[i]);
    }
    tn_graph_free(g);
}

static void near(const char *what, double is, double wanted) {
    if (!(fabs(is - wanted) <= 1e-13)) fail_msg("%s: %.17g, should be %.17g", what, is, wanted);
}

/* Elements 1 and 11 of a matrix [3, 4], 0 and 3 of a vector. */
static const struct {
    tn_optimizer o;
    double matrix[2], vector[2];
} rows[] = {
    {{.name = "sgd"}, {0.42909221538676301, 0.029690071550004891}, {0.58956399205080934, -0.32805390343597318}},
    {{.name = "sgd", .momentum = 0.9, .weight_decay = 0.1},
     {-0.22395514271638733, 0.038946171776269897},
     {-0.38356741630178842, 0.12020199088144665}},
    {{.name = "sgd", .momentum = 0.9, .nesterov = true},
     {-0.15838482467059489, 0.012499494906103841},
     {-0.29847917389895179, 0.097205164992887838}},
    {{.name = "adam", .weight_decay = 0.1},
     {0.027417019796025892, 0.014558019653868555},
     {0.15753265568677785, 0.020970249084222629}},
    {{.name = "adamw"}, {0.045524735089955297, 0.011788474843486071}, {0.17409799521273861, 0.012412028955329104}},
    {{.name = "rmsprop"}, {0.12387779316819919, 0.15746465791369846}, {-0.12823539201436585, -0.1476452220080921}},
    {{.name = "rmsprop", .momentum = 0.5},
     {0.20010990088219363, 0.30147232467063251},
     {-0.20998008846919961, -0.11958573860344182}},
    {{.name = "adagrad", .weight_decay = 0.1},
     {0.48007822046396292, 0.010554919464855326},
     {0.63750852790430057, -0.43083848613515169}},
    {{.name = "adafactor", .weight_decay = 0.1},
     {0.40742034991880438, 0.020012161839366681},
     {0.49257110984692898, -0.31573529838179876}},
};

static void test_against_pytorch(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        double matrix[MATRIX], vector[VECTOR];
        char text[200];
        tn_optimizer o = tn_optimizer_of(rows[k].o.name, 0.05);
        o.momentum = rows[k].o.momentum;
        o.nesterov = rows[k].o.nesterov;
        if (rows[k].o.weight_decay != 0) o.weight_decay = rows[k].o.weight_decay;
        assert_null(nn_optimizer_fault(&o, text, sizeof text));
        optimise(&o, true, TN_SHAPE(TN_SIZE(3), TN_SIZE(4)), MATRIX, 0.7, 0, matrix);
        optimise(&o, true, TN_SHAPE(TN_SIZE(4)), VECTOR, 1.3, 5, vector);
        near(o.name, matrix[1], rows[k].matrix[0]);
        near(o.name, matrix[11], rows[k].matrix[1]);
        near(o.name, vector[0], rows[k].vector[0]);
        near(o.name, vector[3], rows[k].vector[1]);
    }
}

/* Algorithm 2 of Chen et al., "Symbolic discovery of optimization algorithms" (2023). */
static void test_lion(void **state) {
    (void)state;
    for (int decays = 0; decays < 2; decays++) {
        double p[MATRIX], m = 0, wanted;
        tn_optimizer o = tn_optimizer_of("lion", 0.05);
        o.weight_decay = 0.3;
        optimise(&o, decays, TN_SHAPE(TN_SIZE(3), TN_SIZE(4)), MATRIX, 0.7, 0, p);
        for (int i = 0; i < MATRIX; i++) {
            m = 0, wanted = cos(0.7 * i);
            for (int t = 0; t < STEPS; t++) {
                double g = gradient(wanted, i, t, 0), c = 0.9 * m + 0.1 * g;
                wanted -= 0.05 * ((c > 0) - (c < 0) + (decays ? 0.3 * wanted : 0));
                m = 0.99 * m + 0.01 * g;
            }
            near("lion", p[i], wanted);
        }
    }
}

static void test_faults(void **state) {
    (void)state;
    char text[200];
    tn_optimizer o = tn_optimizer_of("adam", 0);
    assert_non_null(strstr(nn_optimizer_fault(&o, text, sizeof text), "learning_rate is 0"));
    o = tn_optimizer_of("sgd", 1);
    o.nesterov = true;
    assert_non_null(strstr(nn_optimizer_fault(&o, text, sizeof text), "momentum"));
    o = tn_optimizer_of("adam", NAN);
    assert_non_null(nn_optimizer_fault(&o, text, sizeof text));
    assert_false(nn_optimizer_exists(tn_optimizer_of("adamax", 1).name));
    assert_true(tn_decay_matrices(NULL, "w", 2) && !tn_decay_matrices(NULL, "b", 1));
}

static void test_schedules(void **state) {
    (void)state;
    static const struct {
        tn_schedule s;
        int64_t step;
        double factor;
    } points[] = {
        {{.kind = NULL}, 1000, 1},
        {{.kind = "constant", .warmup = 4}, 0, 0.25},
        {{.kind = "constant", .warmup = 4}, 3, 1},
        {{.kind = "constant", .warmup = 4}, 9, 1},
        {{.kind = "step", .gamma = 0.5, .every = 7}, 6, 1},
        {{.kind = "step", .gamma = 0.5, .every = 7}, 7, 0.5},
        {{.kind = "step", .gamma = 0.5, .every = 7}, 40, 0.03125},
        {{.kind = "linear", .total = 40, .floor = 0.2}, 10, 0.8},
        {{.kind = "linear", .total = 40, .floor = 0.2}, 100, 0.2},
        {{.kind = "cosine", .total = 40, .floor = 0.1}, 1, 0.9986128001799076},
        {{.kind = "cosine", .total = 40, .floor = 0.1}, 10, 0.8681980515339464},
        {{.kind = "cosine", .total = 40, .floor = 0.1}, 39, 0.10138719982009242},
        {{.kind = "cosine", .total = 40, .floor = 0.1}, 60, 0.1},
        {{.kind = "cosine", .total = 45, .floor = 0.1, .warmup = 5}, 15, 0.8681980515339464},
        {{.kind = "one_cycle", .total = 50}, 0, 0.04},
        {{.kind = "one_cycle", .total = 50}, 1, 0.05203460215272471},
        {{.kind = "one_cycle", .total = 50}, 7, 0.52},
        {{.kind = "one_cycle", .total = 50}, 14, 1},
        {{.kind = "one_cycle", .total = 50}, 30, 0.5671183644422961},
        {{.kind = "one_cycle", .total = 50}, 49, 4e-06},
    };
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        near(points[i].s.kind ? points[i].s.kind : "none", tn_schedule_factor(&points[i].s, points[i].step),
             points[i].factor);
    assert_true(isnan(tn_schedule_factor(&(tn_schedule){.kind = "sine"}, 1)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_pytorch),
        cmocka_unit_test(test_lion),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
