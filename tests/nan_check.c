/* tn_compile_options.nan_check: where the first NaN of a run is made, through fusion, control flow and gradients.
 *
 * Each case plants one NaN and says by which op and on which line; the message must name both, with one thread and two,
 * with fusion and without.
 */
#include "tenon.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Planting ---- */

enum { ROWS = 24, COLUMNS = 40, CHANNELS = 8, SIDE = 12, MOST = 1 << 15 };

static int planted; /* the line */
#define PLANT(value) (planted = __LINE__, (value))

typedef struct planting {
    tn_graph *g;
    tn_tensor inputs[3];
    int n;
    float *data; /* of the first input */
} planting;

static float numbers[3][MOST];

/* Numbers of [0.5, 1.5). */
static tn_val input(planting *p, const char *name, tn_shape shape, tn_tensor tensor) {
    float *x = numbers[p->n];
    for (int i = 0; i < MOST; i++) x[i] = 0.5F + (float)((i * 7919 + p->n * 31) % 1000) / 1000.0F;
    tensor.data = x;
    if (p->n == 0) p->data = x;
    p->inputs[p->n++] = tensor;
    return tn_input(p->g, name, TN_F32, shape);
}

static tn_val matrix(planting *p, const char *name) {
    return input(p, name, TN_SHAPE(TN_SIZE(ROWS), TN_SIZE(COLUMNS)), TN_TENSOR(TN_F32, NULL, ROWS, COLUMNS));
}

static tn_val dynamic_matrix(planting *p, const char *name) {
    return input(p, name, TN_SHAPE(TN_DIM("n"), TN_SIZE(COLUMNS)), TN_TENSOR(TN_F32, NULL, ROWS, COLUMNS));
}

static tn_val image(planting *p, const char *name) {
    return input(p, name, TN_SHAPE(TN_SIZE(1), TN_SIZE(CHANNELS), TN_SIZE(SIDE), TN_SIZE(SIDE)),
                 TN_TENSOR(TN_F32, NULL, 1, CHANNELS, SIDE, SIDE));
}

/* ---- Cases ---- */

static void chain(planting *p) {
    tn_val x = matrix(p, "x");
    p->data[7 * COLUMNS + 3] = 0.25F;
    tn_val h = PLANT(tn_log(tn_sub_scalar(x, 0.4)));
    tn_output(p->g, "y", tn_mul(tn_exp(h), x));
}

static void dynamic_chain(planting *p) {
    tn_val x = dynamic_matrix(p, "x");
    p->data[7 * COLUMNS + 3] = 0.25F;
    tn_val h = PLANT(tn_log(tn_sub_scalar(x, 0.4)));
    tn_output(p->g, "y", tn_mul(tn_exp(h), x));
}

static void dot_itself(planting *p) {
    tn_val x = matrix(p, "x");
    tn_val w = input(p, "w", TN_SHAPE(TN_SIZE(COLUMNS), TN_SIZE(36)), TN_TENSOR(TN_F32, NULL, COLUMNS, 36));
    p->data[7 * COLUMNS + 3] = INFINITY;
    p->data[7 * COLUMNS + 9] = -INFINITY;
    tn_output(p->g, "y", tn_add_scalar(PLANT(tn_matmul(x, w)), 1));
}

static void epilogue_of_dot(planting *p) {
    tn_val x = matrix(p, "x");
    tn_val w = input(p, "w", TN_SHAPE(TN_SIZE(COLUMNS), TN_SIZE(36)), TN_TENSOR(TN_F32, NULL, COLUMNS, 36));
    for (int i = 0; i < COLUMNS; i++) p->data[7 * COLUMNS + i] = -2;
    tn_output(p->g, "y", tn_add_scalar(PLANT(tn_sqrt(tn_matmul(x, w))), 1));
}

static void prologue_of_dot(planting *p) {
    tn_val x = dynamic_matrix(p, "x");
    tn_val w = input(p, "w", TN_SHAPE(TN_SIZE(COLUMNS), TN_SIZE(36)), TN_TENSOR(TN_F32, NULL, COLUMNS, 36));
    p->data[7 * COLUMNS + 3] = -2;
    tn_output(p->g, "y", tn_matmul(PLANT(tn_sqrt(x)), w));
}

static void convolution(planting *p, int side, int64_t groups) {
    tn_val x = image(p, "x");
    tn_val w = input(p, "w", TN_SHAPE(TN_SIZE(CHANNELS), TN_SIZE(CHANNELS / groups), TN_SIZE(side), TN_SIZE(side)),
                     TN_TENSOR(TN_F32, NULL, CHANNELS, CHANNELS / groups, side, side));
    p->data[5 * SIDE * SIDE + 4 * SIDE + 4] = INFINITY;
    p->data[5 * SIDE * SIDE + 4 * SIDE + 5] = -INFINITY;
    tn_output(p->g, "y", tn_relu(PLANT(tn_conv(x, w, .low = TN_INTS(1, 1), .high = TN_INTS(1, 1), .groups = groups))));
}

static void conv_itself(planting *p) { convolution(p, 3, 1); }
static void depthwise_conv(planting *p) { convolution(p, 3, CHANNELS); }
static void wide_conv(planting *p) { convolution(p, 5, 1); }

static void epilogue_of_conv(planting *p) {
    tn_val x = image(p, "x");
    tn_val w = input(p, "w", TN_SHAPE(TN_SIZE(16), TN_SIZE(CHANNELS), TN_SIZE(3), TN_SIZE(3)),
                     TN_TENSOR(TN_F32, NULL, 16, CHANNELS, 3, 3));
    p->data[5 * SIDE * SIDE + 4 * SIDE + 4] = -1e6F;
    tn_val h = tn_add_scalar(tn_conv(x, w, .low = TN_INTS(1, 1), .high = TN_INTS(1, 1)), 3);
    tn_output(p->g, "y", tn_relu(PLANT(tn_log(h))));
}

static void sum(planting *p) {
    tn_val x = dynamic_matrix(p, "x");
    p->data[7 * COLUMNS + 3] = INFINITY;
    p->data[7 * COLUMNS + 9] = -INFINITY;
    tn_output(p->g, "y", tn_mul_scalar(PLANT(tn_sum(x, TN_INTS(1))), 2));
}

static void sum_of_columns(planting *p) {
    tn_val x = matrix(p, "x");
    p->data[7 * COLUMNS + 3] = INFINITY;
    p->data[9 * COLUMNS + 3] = -INFINITY;
    tn_output(p->g, "y", tn_mul_scalar(PLANT(tn_sum(x, TN_INTS(0))), 2));
}

/* A row of nothing but -inf. */
static void softmax(planting *p) {
    tn_val x = matrix(p, "x");
    for (int i = 0; i < COLUMNS; i++) p->data[7 * COLUMNS + i] = -INFINITY;
    tn_output(p->g, "y", PLANT(tn_softmax(x, -1)));
}

/* A query all of whose keys are masked. */
static void attention(planting *p) {
    enum { HEADS = 2, LENGTH = 48, DEPTH = 16 };
    tn_val x[3];
    const char *names[] = {"mask", "q", "k"};
    x[0] = input(p, names[0], TN_SHAPE(TN_SIZE(LENGTH), TN_SIZE(LENGTH)), TN_TENSOR(TN_F32, NULL, LENGTH, LENGTH));
    for (int i = 0; i < LENGTH * LENGTH; i++) p->data[i] = i / LENGTH == 5 ? -INFINITY : i % 3 ? 0 : -INFINITY;
    for (int i = 1; i < 3; i++)
        x[i] = input(p, names[i], TN_SHAPE(TN_SIZE(1), TN_SIZE(HEADS), TN_SIZE(LENGTH), TN_SIZE(DEPTH)),
                     TN_TENSOR(TN_F32, NULL, 1, HEADS, LENGTH, DEPTH));
    tn_output(p->g, "y", PLANT(tn_attention(x[1], x[2], x[2], x[0], 0, false)));
}

static void running_sum(planting *p) {
    tn_val x = matrix(p, "x");
    p->data[7 * COLUMNS + 3] = INFINITY;
    p->data[7 * COLUMNS + 9] = -INFINITY;
    tn_output(p->g, "y", tn_abs(PLANT(tn_cumulate("sum", x, 1, false, false))));
}

static void pooling(planting *p) {
    tn_val x = image(p, "x");
    p->data[5 * SIDE * SIDE + 4 * SIDE + 5] = INFINITY;
    p->data[5 * SIDE * SIDE + 4 * SIDE + 6] = -INFINITY;
    tn_output(p->g, "y",
              tn_abs(PLANT(tn_avg_pool(x, .window = TN_INTS(2, 2), .stride = TN_INTS(2, 2), .low = TN_INTS(1, 1),
                                       .high = TN_INTS(1, 1)))));
}

static void scattered_sum(planting *p) {
    tn_val x = matrix(p, "x");
    static const int32_t to[ROWS] = {3, 1, 2, 3};
    tn_val indices = tn_constant(p->g, TN_I32, TN_SHAPE(TN_SIZE(ROWS), TN_SIZE(1)), to);
    p->data[0] = INFINITY;
    p->data[3 * COLUMNS] = -INFINITY;
    tn_output(p->g, "y", PLANT(tn_scatter("add", tn_abs(x), indices, x, TN_INTS(0), 0)));
}

static void half(planting *p) {
    tn_val x = matrix(p, "x");
    p->data[7 * COLUMNS + 3] = -2;
    tn_val h = tn_convert(x, TN_F16);
    tn_output(p->g, "y", tn_convert(tn_add(PLANT(tn_sqrt(h)), h), TN_F32));
}

/* What would be folded. */
static void constants(planting *p) {
    tn_val x = matrix(p, "x");
    tn_val nothing = tn_scalar(p->g, TN_F32, 0);
    tn_output(p->g, "y", tn_add(x, PLANT(tn_div(nothing, nothing))));
}

/* Half of it is negative after the third round. */
static void loop(planting *p) {
    tn_val x = matrix(p, "x");
    tn_graph *condition = tn_graph_sub(p->g, "condition"), *body = tn_graph_sub(p->g, "body");
    tn_shape shape = TN_SHAPE(TN_SIZE(ROWS), TN_SIZE(COLUMNS));
    tn_val i = tn_input(condition, "i", TN_I32, TN_SCALAR);
    tn_input(condition, "x", TN_F32, shape);
    tn_output(condition, "more", tn_less(i, tn_scalar_int(condition, TN_I32, 5)));
    i = tn_input(body, "i", TN_I32, TN_SCALAR);
    tn_val v = tn_input(body, "x", TN_F32, shape);
    tn_output(body, "i", tn_add_scalar(i, 1));
    tn_output(body, "x", PLANT(tn_sqrt(tn_sub_scalar(v, 0.3))));
    tn_val carried[] = {tn_scalar_int(p->g, TN_I32, 0), x};
    tn_output(p->g, "y", tn_result(tn_while(condition, body, carried, 2), 1));
}

static void scan(planting *p) {
    tn_val x = matrix(p, "x");
    tn_graph *body = tn_graph_sub(p->g, "body");
    tn_shape shape = TN_SHAPE(TN_SIZE(COLUMNS));
    tn_val sum = tn_input(body, "sum", TN_F32, shape), row = tn_input(body, "row", TN_F32, shape);
    tn_val next = tn_add(sum, PLANT(tn_log(row)));
    tn_output(body, "sum", next);
    p->data[7 * COLUMNS + 3] = -2;
    tn_val zeros = tn_broadcast_to(tn_scalar(p->g, TN_F32, 0), 1, (tn_dim[]){tn_dim_of(x, 1)});
    tn_output(p->g, "y", tn_scan(body, &zeros, 1, &x, 1, TN_DIM_INVALID, false));
}

/* The branch with the NaN is taken. */
static void taken_branch(planting *p) {
    tn_val x = matrix(p, "x");
    p->data[7 * COLUMNS + 3] = -2;
    tn_val h = PLANT(tn_log(x));
    tn_output(p->g, "y", tn_select(tn_less(x, tn_scalar(p->g, TN_F32, 1)), h, x));
}

/* So it is, by another kernel. */
static void taken_branch_of_dot(planting *p) {
    tn_val x = matrix(p, "x");
    tn_val w = input(p, "w", TN_SHAPE(TN_SIZE(COLUMNS), TN_SIZE(36)), TN_TENSOR(TN_F32, NULL, COLUMNS, 36));
    p->data[7 * COLUMNS + 3] = INFINITY;
    p->data[7 * COLUMNS + 9] = -INFINITY;
    tn_val h = PLANT(tn_matmul(x, w)), s = tn_softmax(tn_slice(x, 1, 0, 36, 1), -1);
    tn_val rows = tn_reduce("min", tn_slice(x, 1, 20, 30, 1), TN_INTS(1), true);
    tn_output(p->g, "y", tn_sum(tn_select(tn_less(rows, tn_scalar(p->g, TN_F32, 9)), h, s), TN_INTS(0)));
}

static void gradient(planting *p) {
    tn_val x = matrix(p, "x");
    tn_graph *f = tn_graph_sub(p->g, "f");
    tn_val v = tn_input(f, "v", TN_F32, TN_SHAPE(TN_SIZE(ROWS), TN_SIZE(COLUMNS)));
    tn_val h = PLANT(tn_mul(v, v));
    planted = __LINE__ - 1;
    tn_output(f, "loss", tn_sum(tn_sqrt(h), TN_NO_INTS));
    tn_graph *df = tn_grad(f, TN_INTS(0));
    p->data[7 * COLUMNS + 3] = 0;
    tn_output(p->g, "y", tn_call(p->g, df, &x, 1));
}

static const struct {
    const char *name, *op, *element; /* element: what the message says of it */
    void (*plant)(planting *p);
} cases[] = {
    {"chain", "log", "[7, 3] of f32[24, 40]", chain},
    {"dynamic_chain", "log", "[7, 3] of f32[n, 40]", dynamic_chain},
    {"dot_itself", "dot", "[7, 0] of f32[24, 36]", dot_itself},
    {"epilogue_of_dot", "sqrt", "[7, 0] of f32[24, 36]", epilogue_of_dot},
    {"prologue_of_dot", "sqrt", "[7, 3] of f32[n, 40]", prologue_of_dot},
    {"conv_itself", "conv", "", conv_itself},
    {"depthwise_conv", "conv", "", depthwise_conv},
    {"wide_conv", "conv", "", wide_conv},
    {"epilogue_of_conv", "log", "", epilogue_of_conv},
    {"sum", "reduce", "[7] of f32[n]", sum},
    {"sum_of_columns", "reduce", "[3] of f32[40]", sum_of_columns},
    {"softmax", "sub", "[7, 0] of f32[24, 40]", softmax},
    {"attention", "sub", "[0, 0, 5, 0]", attention},
    {"running_sum", "cumulate", "[7, 9] of f32[24, 40]", running_sum},
    {"pooling", "window", "[0, 5, 2, 3] of f32[1, 8, 7, 7]", pooling},
    {"scattered_sum", "scatter", "[3, 0] of f32[24, 40]", scattered_sum},
    {"half", "sqrt", "[7, 3] of f16[24, 40]", half},
    {"constants", "div", "f32[]", constants},
    {"loop", "sqrt", "", loop},
    {"scan", "log", "[3] of f32[40]", scan},
    {"taken_branch", "log", "[7, 3] of f32[24, 40]", taken_branch},
    {"taken_branch_of_dot", "dot", "[7, 0] of f32[24, 36]", taken_branch_of_dot},
    {"gradient", "mul", "[7, 3] of f32[24, 40]", gradient},
};
enum { N_CASES = sizeof cases / sizeof *cases };

/* ---- Running ---- */

static tn_program *compile(tn_graph *g, tn_compile_options options) {
    tn_program *program = tn_compile(g, &options);
    if (!program) fail_msg("%s", tn_graph_error(g)->message);
    return program;
}

/* The message of a run: "" when there is none. */
static void message_of(const planting *p, tn_compile_options options, int threads, char *text, size_t bytes) {
    tn_pool *pool = tn_pool_new(threads);
    tn_program *program = tn_compile(p->g, &options);
    if (!program) { /* it is made before the first run */
        assert_int_equal(tn_graph_error(p->g)->status, TN_ERR_NAN);
        snprintf(text, bytes, "%s", tn_graph_error(p->g)->message);
        tn_pool_free(pool);
        return;
    }
    tn_exec *exec = tn_exec_new(program, &(tn_exec_options){.pool = pool});
    tn_tensor out = {0};
    tn_status status = tn_exec_run(exec, p->inputs, p->n, &out, 1);
    snprintf(text, bytes, "%s", status == TN_OK ? "" : tn_exec_error(exec)->message);
    assert_true(status == TN_OK || status == TN_ERR_NAN);
    tn_exec_free(exec);
    tn_program_free(program);
    tn_pool_free(pool);
}

static void test_planted(void **state) {
    size_t number = *(const size_t *)*state;
    planting p = {.g = tn_graph_new("planted")};
    cases[number].plant(&p);
    if (tn_graph_error(p.g)) fail_msg("%s", tn_graph_error(p.g)->message);
    char first[1024], text[1024], wanted[200];
    snprintf(wanted, sizeof wanted, ": %s at %s:%d", cases[number].op, __FILE__, planted);
    for (int threads = 1; threads <= 2; threads++)
        for (int no_fusion = 0; no_fusion < 2; no_fusion++) {
            message_of(&p, (tn_compile_options){.nan_check = true, .no_fusion = no_fusion}, threads, text, sizeof text);
            if (getenv("SHOW_MESSAGES")) print_message("%s\n", text);
            if (!strstr(text, wanted) || !strstr(text, cases[number].element))
                fail_msg("expected \"%s ... %s\", got \"%s\"", wanted, cases[number].element, text);
            if (threads == 1 && !no_fusion) snprintf(first, sizeof first, "%s", text);
            if (threads == 2 && !no_fusion) assert_string_equal(text, first);
        }
    tn_graph_free(p.g);
}

/* ---- What is no error ---- */

static void assert_quiet(const planting *p) {
    char text[1024];
    if (tn_graph_error(p->g)) fail_msg("%s", tn_graph_error(p->g)->message);
    for (int no_fusion = 0; no_fusion < 2; no_fusion++) {
        message_of(p, (tn_compile_options){.nan_check = true, .no_fusion = no_fusion}, 2, text, sizeof text);
        assert_string_equal(text, "");
    }
    tn_graph_free(p->g);
}

static void test_branches_not_taken(void **state) {
    (void)state;
    planting p = {.g = tn_graph_new("guarded")};
    tn_val x = matrix(&p, "x"), zero = tn_scalar(p.g, TN_F32, 0), one = tn_scalar(p.g, TN_F32, 1);
    p.data[7 * COLUMNS + 3] = -2;
    p.data[8 * COLUMNS + 3] = 0;
    tn_val log = tn_log(x), inverse = tn_sqrt(tn_sub(one, tn_div(one, x)));
    tn_val y = tn_select(tn_greater(x, zero), tn_mul(log, log), x); /* shared by two in one branch */
    y = tn_select(tn_greater(x, one), tn_select(tn_equal(y, y), tn_add(y, inverse), inverse), y); /* in two selects */
    tn_output(p.g, "y", y);
    assert_quiet(&p);
}

/* What goes from one kernel to the select of another, and what the program asks about itself. */
static void test_unused_elsewhere(void **state) {
    (void)state;
    planting p = {.g = tn_graph_new("guarded")};
    tn_val x = matrix(&p, "x");
    tn_val w = input(&p, "w", TN_SHAPE(TN_SIZE(COLUMNS), TN_SIZE(36)), TN_TENSOR(TN_F32, NULL, COLUMNS, 36));
    p.data[7 * COLUMNS + 3] = INFINITY;
    p.data[7 * COLUMNS + 9] = -INFINITY;
    tn_val h = tn_matmul(x, w);
    tn_val means = tn_mean(h, TN_INTS(1), true);
    tn_val rows = tn_reduce("max", tn_slice(x, 1, 0, 4, 1), TN_INTS(1), true);
    tn_val good = tn_less(rows, tn_scalar(p.g, TN_F32, 9));
    h = tn_select(good, tn_sub(h, means), tn_scalar(p.g, TN_F32, 0));
    tn_output(p.g, "y", tn_sum(h, TN_INTS(0)));
    assert_quiet(&p);

    p = (planting){.g = tn_graph_new("asked")};
    x = matrix(&p, "x");
    p.data[5] = NAN;
    tn_output(p.g, "y", tn_exp(tn_select(tn_is_nan(x), tn_scalar(p.g, TN_F32, 0), x)));
    assert_quiet(&p);
}

/* Infinite values are often meant. */
static void test_infinities(void **state) {
    (void)state;
    planting p = {.g = tn_graph_new("infinite")};
    tn_val x = matrix(&p, "x");
    for (int i = 0; i < COLUMNS / 2; i++) p.data[7 * COLUMNS + i] = -INFINITY;
    tn_output(p.g, "y", tn_softmax(tn_mul_scalar(x, 2), -1));
    assert_quiet(&p);
}

/* ---- What is there already ---- */

static void test_inputs_and_weights(void **state) {
    (void)state;
    planting p = {.g = tn_graph_new("given")};
    tn_val x = dynamic_matrix(&p, "x");
    p.data[7 * COLUMNS + 3] = NAN;
    tn_output(p.g, "y", tn_exp(x));
    char text[1024];
    message_of(&p, (tn_compile_options){.nan_check = true}, 1, text, sizeof text);
    assert_string_equal(text, "given: input 'x' has a NaN at element [7, 3] of f32[24, 40]");
    tn_graph_free(p.g);

    static float weights[COLUMNS * 4];
    weights[9] = NAN;
    p = (planting){.g = tn_graph_new("given")};
    x = matrix(&p, "x");
    tn_output(p.g, "y", tn_matmul(x, tn_weight(p.g, "w", TN_F32, TN_SHAPE(TN_SIZE(COLUMNS), TN_SIZE(4)), weights)));
    assert_null(tn_compile(p.g, &(tn_compile_options){.nan_check = true}));
    assert_int_equal(tn_graph_error(p.g)->status, TN_ERR_NAN);
    assert_string_equal(tn_graph_error(p.g)->message, "given: weight 'w' has a NaN at element [2, 1] of f32[40, 4]");
    tn_graph_free(p.g);
}

/* Results are the same, bit for bit, and the exec goes on after an error. */
static void test_same_bits(void **state) {
    (void)state;
    for (size_t c = 0; c < N_CASES; c++) {
        static float results[2][MOST];
        if (cases[c].plant == constants) continue; /* that is no program */
        planting p = {.g = tn_graph_new("same")};
        cases[c].plant(&p);
        for (int i = 0; i < MOST; i++) p.data[i] = 1.5F + (float)(i % 97) / 97.0F;
        for (int looks = 0; looks < 2; looks++) {
            tn_program *program = compile(p.g, (tn_compile_options){.nan_check = looks});
            tn_exec *exec = tn_exec_new(program, NULL);
            tn_tensor out = {0};
            p.data[0] = NAN;
            tn_status status = tn_exec_run(exec, p.inputs, p.n, &out, 1);
            assert_int_equal(status, looks ? TN_ERR_NAN : TN_OK);
            p.data[0] = 1.5F;
            out = (tn_tensor){0};
            if (tn_exec_run(exec, p.inputs, p.n, &out, 1) != TN_OK)
                fail_msg("%s: %s", cases[c].name, tn_exec_error(exec)->message);
            memcpy(results[looks], out.data, (size_t)tn_tensor_bytes(&out));
            tn_exec_free(exec);
            tn_program_free(program);
        }
        printf("# %s\n", cases[c].name);
        assert_memory_equal(results[0], results[1], sizeof results[0]);
        tn_graph_free(p.g);
    }
}

/* ---- Training ---- */

enum { BATCH = 4, LENGTH = 16, WORDS = 32, WIDTH = 24 };

/* What a beginner writes: the root of a square, whose gradient is infinity times zero where a word's row is zero. */
static int bad_line;
static tn_val bad_norm(tn_val h) {
    bad_line = __LINE__ + 1;
    tn_val square = tn_mul(h, h);
    return tn_sqrt(square);
}

static tn_model *small_gpt(bool is_bad) {
    tn_model *m = tn_model_new("gpt", NULL);
    tn_val words = tn_model_input(m, "words", TN_I32, TN_SHAPE(TN_DIM("n"), TN_SIZE(LENGTH)));
    tn_val next = tn_model_target(m, "next", TN_I32, TN_SHAPE(TN_DIM("n"), TN_SIZE(LENGTH)));
    tn_val h = tn_nn_embedding(m, words, .count = WORDS, .width = WIDTH, .name = "words");
    if (is_bad) { /* word 0 is padding: its row is masked */
        tn_val is_word = tn_convert(tn_not_equal(words, tn_scalar_int(tn_model_graph(m), TN_I32, 0)), TN_F32);
        h = tn_mul(h, tn_expand_dims(is_word, TN_INTS(2)));
        h = tn_add(h, bad_norm(h));
    }
    tn_val a = tn_nn_layer_norm(m, h, .name = "norm1");
    h = tn_add(h, tn_nn_multi_head_attention(m, a, .heads = 2, .causal = true, .name = "attention"));
    a = tn_nn_layer_norm(m, h, .name = "norm2");
    a = tn_nn_dense(m, a, .units = 2 * WIDTH, .activation = "gelu", .name = "up");
    h = tn_add(h, tn_nn_dense(m, a, .units = WIDTH, .name = "down"));
    tn_val logits = tn_nn_dense(m, h, .units = WORDS, .name = "head");
    tn_model_output(m, "logits", logits);
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", logits, next));
    return m;
}

static void test_training(void **state) {
    (void)state;
    static int32_t words[BATCH * LENGTH], next[BATCH * LENGTH];
    tn_tensor batch[] = {TN_TENSOR(TN_I32, words, BATCH, LENGTH), TN_TENSOR(TN_I32, next, BATCH, LENGTH)};
    for (int is_bad = 0; is_bad < 2; is_bad++) {
        tn_diag diag = {0};
        tn_model *m = small_gpt(is_bad);
        tn_compile_options options = {.nan_check = true};
        tn_trainer *t = tn_trainer_new(m, &(tn_trainer_options){.compile = &options}, &diag);
        if (!t) fail_msg("%s", diag.message);
        for (int i = 0; i < BATCH * LENGTH; i++) words[i] = next[i] = 1 + i * 7 % (WORDS - 1);
        for (int step = 0; step < 3; step++)
            if (tn_trainer_step(t, batch, 2, NULL) != TN_OK) fail_msg("%s", tn_trainer_error(t)->message);
        words[21] = 0;
        tn_status status = tn_trainer_step(t, batch, 2, NULL);
        if (is_bad) {
            char wanted[200];
            snprintf(wanted, sizeof wanted, "mul at %s:%d (in the gradient of mul)", __FILE__, bad_line);
            const char *text = tn_trainer_error(t)->message;
            if (getenv("SHOW_MESSAGES")) print_message("%s\n", text);
            assert_int_equal(status, TN_ERR_NAN);
            if (!strstr(text, wanted) || !strstr(text, "step 4: "))
                fail_msg("expected \"%s\", got \"%s\"", wanted, text);
        } else if (status != TN_OK)
            fail_msg("%s", tn_trainer_error(t)->message);
        tn_trainer_free(t);
        tn_model_free(m);
    }
}

int main(void) {
    static struct CMUnitTest tests[N_CASES + 8];
    static size_t numbers_of_cases[N_CASES];
    size_t n = 0;
    for (size_t i = 0; i < N_CASES; i++) {
        numbers_of_cases[i] = i;
        tests[n++] = (struct CMUnitTest){cases[i].name, test_planted, NULL, NULL, &numbers_of_cases[i]};
    }
    const struct CMUnitTest others[] = {
        cmocka_unit_test(test_branches_not_taken), cmocka_unit_test(test_unused_elsewhere),
        cmocka_unit_test(test_infinities),         cmocka_unit_test(test_inputs_and_weights),
        cmocka_unit_test(test_same_bits),          cmocka_unit_test(test_training),
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) tests[n++] = others[i];
    return _cmocka_run_group_tests("nan_check", tests, n, NULL, NULL);
}
