/* Gradients of functions with control flow, second derivatives, forward mode, and what users are told.
 *
 * in:  functions in the text form, in f64
 * out: vjps are what central differences say (tests/lib/gradient_check.h), also of vjps, and also compiled; jvp and
 *      hvp agree with them; loops agree with the same steps written out
 */
#include "tests/lib/compare.h"
#include "tests/lib/gradient_check.h"
#include "tests/lib/program_check.h"

#include "ir/graph.h"
#include "ir/op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- Central differences ----------------------------------------------------------------------------- */

/* Values for the symbols n and m, which all functions here use. */
static sampler sampler_of(uint64_t seed) {
    return (sampler){
        .state = seed, .dtype = TN_F64, .ordinary = true, .n_symbols = 2, .symbols = {"n", "m"}, .values = {3, 2}};
}

static void check_differences(tn_graph *f, uint64_t seed) {
    char message[GRADIENT_MESSAGE] = "";
    sampler s = sampler_of(seed);
    gradient_check k = {.f = f, .s = &s};
    if (!gradient_check_run(&k, message)) {
        char *text = tn_module_print(f->module, NULL);
        fprintf(stderr, "%s\n", text ? text : "");
        tn_text_free(text);
        fail_msg("%s: %s", f->name, message);
    }
    assert_true(k.n_compared > 0);
}

/* The vjp as a module of its own prints, parses, compiles, and runs as interpreted. */
static void check_compiled(tn_graph *vjp) {
    tn_module *own = tn_function_module(vjp);
    assert_non_null(own);
    char *text = tn_module_print(own, NULL);
    check_program(strstr(text, "fn @main") + strlen("fn @main"), "n=3 m=2", NULL, ANY_NUMBERS);
    tn_text_free(text);
    tn_module_free(own);
}

/* First and second order, interpreted and compiled. */
static void check_function(const char *text) {
    tn_module *m = program_parse(text);
    tn_graph *f = tn_module_main(m);
    int64_t numbers[64];
    check_differences(f, 1);
    tn_graph *vjp = tn_vjp(f, gradient_wrt(f, numbers));
    assert_non_null(vjp);
    check_compiled(vjp);
    check_differences(vjp, 2);
    tn_graph *twice = tn_vjp(vjp, gradient_wrt(vjp, numbers));
    if (!twice) fail_msg("%s", tn_module_error(m)->message);
    check_compiled(twice);
    tn_module_free(m);
}

/* ---- Control flow -------------------------------------------------------------------------------------- */

static const char calls[] = "(%x: f64[n, 2], %y: f64[2]) -> (%z: f64[n], %w: f64[n]) {\n"
                            "  %0, %1 = call %x, %y, callee=@f, symbols=[n]\n"
                            "  %2 = mul %0, %1\n"
                            "  return %0, %2\n"
                            "}\n"
                            "fn @f(%a: f64[k, 2], %b: f64[2]) -> (%c: f64[k], %d: f64[k]) {\n"
                            "  %0 = broadcast %b, shape=[k, 2], dims=[1]\n"
                            "  %1 = mul %a, %0\n"
                            "  %2 = tanh %1\n"
                            "  %3 = reduce %2, axes=[1], kind=sum\n"
                            "  %4 = sin %3\n"
                            "  return %3, %4\n"
                            "}\n";

/* The branches keep different things, and name their symbol otherwise. */
static const char branches[] = "(%c: bool[], %x: f64[n], %y: f64[n]) -> (%z: f64[n]) {\n"
                               "  %0 = if %c, %x, %y, then=@t, otherwise=@e, symbols=[n, n]\n"
                               "  return %0\n"
                               "}\n"
                               "fn @t(%a: f64[p], %b: f64[p]) -> (%c: f64[p]) {\n"
                               "  %0 = exp %a\n"
                               "  %1 = mul %0, %b\n"
                               "  %2 = sin %1\n"
                               "  return %2\n"
                               "}\n"
                               "fn @e(%a: f64[q], %b: f64[q]) -> (%c: f64[q]) {\n"
                               "  %0 = mul %b, %b\n"
                               "  %1 = cumulate %0, axis=0, kind=sum\n"
                               "  %2 = mul %1, %0\n"
                               "  return %2\n"
                               "}\n";

/* A weight that does not change, a state that does, a sequence in and one out. */
static const char recurrence[] =
    "(%w: f64[2, 2], %h: f64[n, 2], %xs: f64[5, n, 2]) -> (%last: f64[n, 2], %all: f64[5, n, 2]) {\n"
    "  %0, %1, %2 = scan %w, %h, %xs, body=@step, carried=2, length=5, symbols=[n]\n"
    "  return %1, %2\n"
    "}\n"
    "fn @step(%w: f64[2, 2], %h: f64[b, 2], %x: f64[b, 2]) -> (%w1: f64[2, 2], %h1: f64[b, 2], %y: f64[b, 2]) {\n"
    "  %0 = dot %h, %w, contract=[1]x[0]\n"
    "  %1 = add %0, %x\n"
    "  %2 = tanh %1\n"
    "  %3 = mul %2, %x\n"
    "  return %w, %2, %3\n"
    "}\n";

static const char backwards[] = "(%h: f64[], %xs: f64[n]) -> (%last: f64[]) {\n"
                                "  %0 = scan %h, %xs, body=@step, carried=1, length=n, reverse=1\n"
                                "  return %0\n"
                                "}\n"
                                "fn @step(%h: f64[], %x: f64[]) -> (%h1: f64[]) {\n"
                                "  %0 = mul %h, %x\n"
                                "  %1 = sin %0\n"
                                "  return %1\n"
                                "}\n";

/* Five rounds, counted in i32. */
static const char counted[] = "(%x: f64[n]) -> (%y: f64[n]) {\n"
                              "  %0 = constant value=i32[] {1}\n"
                              "  %1, %2 = while %0, %x, cond=@more, body=@step, symbols=[n, n]\n"
                              "  return %2\n"
                              "}\n"
                              "fn @more(%i: i32[], %x: f64[a]) -> (%r: bool[]) {\n"
                              "  %0 = constant value=i32[] {9}\n"
                              "  %1 = compare %i, %0, compare=le\n"
                              "  return %1\n"
                              "}\n"
                              "fn @step(%i: i32[], %x: f64[b]) -> (%j: i32[], %y: f64[b]) {\n"
                              "  %0 = constant value=i32[] {2}\n"
                              "  %1 = add %i, %0\n"
                              "  %2 = sin %x\n"
                              "  %3 = add %2, %x\n"
                              "  return %1, %3\n"
                              "}\n";

/* At most n rounds, fewer when the sum has become large. */
static const char bounded[] = "(%x: f64[n]) -> (%y: f64[n]) {\n"
                              "  %0 = constant value=i64[] {0}\n"
                              "  %1 = dim dim=n\n"
                              "  %2, %3, %4 = while %0, %1, %x, cond=@more, body=@step, symbols=[n, n]\n"
                              "  return %4\n"
                              "}\n"
                              "fn @more(%i: i64[], %n: i64[], %x: f64[a]) -> (%r: bool[]) {\n"
                              "  %0 = compare %i, %n, compare=lt\n"
                              "  %1 = mul %x, %x\n"
                              "  %2 = reduce %1, axes=[0], kind=sum\n"
                              "  %3 = constant value=f64[] {1e3}\n"
                              "  %4 = compare %2, %3, compare=lt\n"
                              "  %5 = and %0, %4\n"
                              "  return %5\n"
                              "}\n"
                              "fn @step(%i: i64[], %n: i64[], %x: f64[b]) -> (%j: i64[], %m: i64[], %y: f64[b]) {\n"
                              "  %0 = constant value=i64[] {1}\n"
                              "  %1 = add %i, %0\n"
                              "  %2 = constant value=f64[] {5.0}\n"
                              "  %3 = broadcast %2, shape=[b]\n"
                              "  %4 = mul %x, %3\n"
                              "  return %1, %n, %4\n"
                              "}\n";

/* A scan whose body branches and calls. */
static const char nested[] = "(%h: f64[2], %xs: f64[4, 2], %cs: bool[4]) -> (%last: f64[2]) {\n"
                             "  %0 = scan %h, %xs, %cs, body=@step, carried=1, length=4\n"
                             "  return %0\n"
                             "}\n"
                             "fn @step(%h: f64[2], %x: f64[2], %c: bool[]) -> (%h1: f64[2]) {\n"
                             "  %0 = if %c, %h, %x, then=@f, otherwise=@g\n"
                             "  %1 = call %0, callee=@square\n"
                             "  return %1\n"
                             "}\n"
                             "fn @f(%a: f64[2], %b: f64[2]) -> (%c: f64[2]) {\n"
                             "  %0 = mul %a, %b\n"
                             "  return %0\n"
                             "}\n"
                             "fn @g(%a: f64[2], %b: f64[2]) -> (%c: f64[2]) {\n"
                             "  %0 = sin %a\n"
                             "  %1 = add %0, %b\n"
                             "  return %1\n"
                             "}\n"
                             "fn @square(%a: f64[2]) -> (%c: f64[2]) {\n"
                             "  %0 = tanh %a\n"
                             "  %1 = mul %0, %0\n"
                             "  return %1\n"
                             "}\n";

static void test_call(void **state) { (void)state, check_function(calls); }
static void test_if(void **state) { (void)state, check_function(branches); }
static void test_scan(void **state) { (void)state, check_function(recurrence); }
static void test_reverse_scan(void **state) { (void)state, check_function(backwards); }
static void test_counted_while(void **state) { (void)state, check_function(counted); }
static void test_bounded_while(void **state) { (void)state, check_function(bounded); }
static void test_nested(void **state) { (void)state, check_function(nested); }

/* ---- An LSTM, looped and written out ---------------------------------------------------------------------- */

enum { BATCH = 3, WIDTH = 4, STEPS = 6 };

static tn_val gate(tn_val all, int number) { return tn_slice(all, 1, number * WIDTH, (number + 1) * WIDTH, 1); }

/* (w, u, h, c, x) -> (w, u, h', c', h') */
static tn_graph *lstm_step(tn_graph *g) {
    tn_graph *f = tn_graph_sub(g, "step");
    tn_shape matrix = TN_SHAPE(TN_SIZE(WIDTH), TN_SIZE(4 * WIDTH)), state = TN_SHAPE(TN_SIZE(BATCH), TN_SIZE(WIDTH));
    tn_val w = tn_input(f, "w", TN_F64, matrix), u = tn_input(f, "u", TN_F64, matrix);
    tn_val h = tn_input(f, "h", TN_F64, state), c = tn_input(f, "c", TN_F64, state),
           x = tn_input(f, "x", TN_F64, state);
    tn_val all = tn_add(tn_matmul(x, w), tn_matmul(h, u));
    tn_val kept = tn_mul(tn_sigmoid(gate(all, 0)), c);
    tn_val next = tn_add(kept, tn_mul(tn_sigmoid(gate(all, 1)), tn_tanh(gate(all, 2))));
    tn_val out = tn_mul(tn_sigmoid(gate(all, 3)), tn_tanh(next));
    tn_output(f, "w1", w);
    tn_output(f, "u1", u);
    tn_output(f, "h1", out);
    tn_output(f, "c1", next);
    tn_output(f, "y", out);
    return f;
}

static tn_graph *lstm(bool looped) {
    tn_graph *g = tn_graph_new("lstm"), *step = lstm_step(g);
    tn_shape matrix = TN_SHAPE(TN_SIZE(WIDTH), TN_SIZE(4 * WIDTH)), state = TN_SHAPE(TN_SIZE(BATCH), TN_SIZE(WIDTH));
    tn_val v[5] = {tn_input(g, "w", TN_F64, matrix), tn_input(g, "u", TN_F64, matrix), tn_input(g, "h", TN_F64, state),
                   tn_input(g, "c", TN_F64, state),
                   tn_input(g, "x", TN_F64, TN_SHAPE(TN_SIZE(STEPS), TN_SIZE(BATCH), TN_SIZE(WIDTH)))};
    tn_val xs = v[4], loss = tn_scalar(g, TN_F64, 0);
    if (looped) {
        tn_val y = tn_result(tn_scan(step, v, 4, &xs, 1, TN_DIM_INVALID, false), 4);
        loss = tn_sum(tn_mul(y, y), TN_NO_INTS);
    }
    for (int t = 0; !looped && t < STEPS; t++) {
        v[4] = tn_squeeze(tn_slice(xs, 0, t, t + 1, 1), TN_INTS(0));
        tn_val first = tn_call(g, step, v, 5);
        for (int i = 0; i < 4; i++) v[i] = tn_result(first, i);
        loss = tn_add(loss, tn_sum(tn_mul(v[2], v[2]), TN_NO_INTS));
    }
    tn_output(g, "loss", loss);
    return g;
}

static void run(const tn_graph *f, const eval_tensor *in, eval_tensor *out) {
    tn_diag diag;
    memset(out, 0, f->n_results * sizeof *out);
    if (eval_graph(f, in, out, NULL, &diag) != TN_OK) fail_msg("%s: %s", f->name, diag.message);
}

static void test_lstm(void **state) {
    (void)state;
    char message[GRADIENT_MESSAGE];
    sampler s = sampler_of(5);
    tn_graph *g[2] = {lstm(true), lstm(false)};
    eval_tensor *in = gradient_inputs(&s, g[0], message), out[2][5];
    for (int i = 0; i < 2; i++) {
        tn_graph *slope = tn_grad(g[i], TN_INTS(0, 1, 2, 3, 4));
        if (!slope) fail_msg("%s", tn_graph_error(g[i])->message);
        run(slope, in, out[i]);
        check_compiled(slope);
    }
    for (int r = 0; r < 5; r++) {
        for (int64_t k = 0; k < out[0][r].n; k++) {
            double a = eval_load_float(&out[0][r], k), b = eval_load_float(&out[1][r], k);
            if (fabs(a - b) > 1e-12 * fmax(1, fabs(b)))
                fail_msg("result %d[%lld]: %.17g, %.17g", r, (long long)k, a, b);
        }
        eval_tensor_free(&out[0][r]);
        eval_tensor_free(&out[1][r]);
    }
    gradient_inputs_free(in, 5);
    check_differences(g[0], 6);
    for (int i = 0; i < 2; i++) tn_graph_free(g[i]);
}

/* ---- Forward mode, Hessian times vector ------------------------------------------------------------------- */

static const char mlp[] = "(%w1: f64[4, 5], %w2: f64[5], %x: f64[n, 4]) -> (%loss: f64[]) {\n"
                          "  %0 = dot %x, %w1, contract=[1]x[0]\n"
                          "  %1 = gelu %0\n"
                          "  %2 = dot %1, %w2, contract=[1]x[0]\n"
                          "  %3 = logistic %2\n"
                          "  %4 = mul %3, %3\n"
                          "  %5 = mean %4, axes=[0]\n"
                          "  return %5\n"
                          "}\n";

/* f's results at in + h * direction, where directions are of the parameters 0 and 1. */
static void run_moved(const tn_graph *f, eval_tensor *in, const eval_tensor *directions, double h, eval_tensor *out) {
    for (int side = 0; side < 2; side++) {
        for (int p = 0; p < 2; p++)
            for (int64_t k = 0; k < in[p].n; k++)
                eval_store_float(&in[p], k,
                                 eval_load_float(&in[p], k) + (side ? -h : h) * eval_load_float(&directions[p], k));
        if (side == 0) run(f, in, out);
    }
}

/* `forward` takes f's parameters and directions and gives the derivatives of f's results along them. */
static void check_along(const tn_graph *f, const tn_graph *forward) {
    char message[GRADIENT_MESSAGE];
    sampler s = sampler_of(8);
    const double h = 5e-5;
    eval_tensor *in = gradient_inputs(&s, forward, message), out[4][2], got[2];
    assert_int_equal(forward->n_params, f->n_params + 2);
    static const double at[] = {-2, -1, 1, 2}, weights[] = {1, -8, 8, -1};
    for (int i = 0; i < 4; i++) run_moved(f, in, in + f->n_params, at[i] * h, out[i]);
    run(forward, in, got);
    for (size_t r = 0; r < f->n_results; r++)
        for (int64_t k = 0; k < got[r].n; k++) {
            double want = 0, is = eval_load_float(&got[r], k);
            for (int i = 0; i < 4; i++) want += weights[i] * eval_load_float(&out[i][r], k) / (12 * h);
            if (fabs(is - want) > 1e-6 * fabs(want) + 1e-9)
                fail_msg("%s: result %zu[%lld] is %.12g, differences say %.12g", forward->name, r, (long long)k, is,
                         want);
        }
    for (size_t r = 0; r < f->n_results; r++) {
        for (int i = 0; i < 4; i++) eval_tensor_free(&out[i][r]);
        eval_tensor_free(&got[r]);
    }
    gradient_inputs_free(in, forward->n_params);
}

static void test_forward_mode(void **state) {
    (void)state;
    tn_module *m = program_parse(mlp);
    tn_graph *f = tn_module_main(m), *jvp = tn_jvp(f, TN_INTS(0, 1));
    if (!jvp) fail_msg("%s", tn_module_error(m)->message);
    check_along(f, jvp);
    check_compiled(jvp);
    tn_graph *slope = tn_grad(f, TN_INTS(0, 1)), *hvp = tn_hvp(f, TN_INTS(0, 1));
    if (!slope || !hvp) fail_msg("%s", tn_module_error(m)->message);
    check_along(slope, hvp);
    check_compiled(hvp);
    tn_module_free(m);
}

/* ---- Kept or made anew ------------------------------------------------------------------------------------ */

static const char *const policies[] = {"cheap", "none", "full"};

/* Blocks of a deep function: ^ stands for the number of each, _ for that of the one before. */
static const struct stack {
    const char *head, *block;
} stacks[] = {
    {"(%w: f64[8, 8], %x: f64[512, 8]) -> (%y: f64[512, 8]) {\n",
     "  %a^ = dot %c_, %w, contract=[1]x[0]\n  %b^ = gelu %a^\n  %c^ = add %b^, %c_\n"},
    {"(%w: f64[4, 4, 3, 3], %x: f64[4, 4, 16, 16]) -> (%y: f64[4, 4, 16, 16]) {\n",
     "  %a^ = conv %c_, %w, low=[1, 1], high=[1, 1]\n  %b^ = tanh %a^\n  %c^ = add %b^, %c_\n"},
};
enum { N_BLOCKS = 9, STACK_TEXT = 2048 };

static void print_stack(const struct stack *s, char *out) {
    size_t n = (size_t)snprintf(out, STACK_TEXT, "%s  %%c0 = neg %%x\n", s->head);
    for (int i = 1; i <= N_BLOCKS; i++)
        for (const char *at = s->block; *at; at++)
            out[n++] = *at == '^' ? (char)('0' + i) : *at == '_' ? (char)('0' + i - 1) : *at;
    snprintf(out + n, STACK_TEXT - n, "  return %%c%d\n}\n", N_BLOCKS);
}

/* Whatever is kept, gradients have the same bits. */
static void check_remat(const char *text) {
    eval_tensor in_all[8], out[3][8] = {{{0}}};
    size_t n_results = 0;
    for (int p = 0; p < 3; p++) {
        tn_module *m = program_parse(text);
        int64_t numbers[64];
        char message[GRADIENT_MESSAGE];
        sampler s = sampler_of(9);
        for (size_t i = 0; i < m->n_graphs; i++) tn_graph_remat(m->graphs[i], policies[p]);
        tn_graph *f = tn_module_main(m), *vjp = tn_vjp(f, gradient_wrt(f, numbers));
        if (!vjp) fail_msg("%s", tn_module_error(m)->message);
        check_compiled(vjp);
        eval_tensor *in = gradient_inputs(&s, vjp, message);
        assert_true(vjp->n_results <= 8 && vjp->n_params <= 8);
        memcpy(in_all, in, vjp->n_params * sizeof *in);
        run(vjp, in_all, out[p]);
        n_results = vjp->n_results;
        gradient_inputs_free(in, vjp->n_params);
        tn_module_free(m);
    }
    for (size_t r = 0; r < n_results; r++) {
        for (int p = 1; p < 3; p++)
            if (memcmp(out[p][r].data, out[0][r].data, (size_t)out[0][r].n * 8) != 0)
                fail_msg("%s\nremat %s: result %zu has other bits", text, policies[p], r);
        for (int p = 0; p < 3; p++) eval_tensor_free(&out[p][r]);
    }
}

/* Of the function itself, of what it calls, of a loop's body, and of many layers. */
static void test_remat(void **state) {
    (void)state;
    static const char *const texts[] = {mlp, calls, recurrence, branches};
    char text[STACK_TEXT];
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) check_remat(texts[t]);
    for (size_t t = 0; t < sizeof stacks / sizeof *stacks; t++) {
        print_stack(&stacks[t], text);
        check_remat(text);
    }
    tn_module *m = program_parse(mlp);
    tn_graph_remat(tn_module_main(m), "some");
    assert_string_equal(tn_module_error(m)->message, "remat: some is none of none, cheap, full");
    tn_module_free(m);
}

static size_t planned_bytes(const char *text, const char *remat) {
    tn_module *m = program_parse(text);
    tn_graph *f = tn_module_main(m);
    int64_t numbers[64];
    size_t bytes = 0;
    tn_diag diag = {0};
    tn_graph_remat(f, remat);
    tn_graph *vjp = tn_vjp(f, gradient_wrt(f, numbers));
    tn_module *own = vjp ? tn_function_module(vjp) : NULL;
    assert_non_null(own);
    if (tn_planned_bytes(own, NULL, NULL, 0, &bytes, &diag) != TN_OK) fail_msg("%s", diag.message);
    tn_module_free(own);
    tn_module_free(m);
    return bytes;
}

/* Many layers: what is kept is little, and what is made anew lies in memory for one segment at a time. */
static void test_remat_peaks(void **state) {
    (void)state;
    char text[STACK_TEXT];
    for (size_t t = 0; t < sizeof stacks / sizeof *stacks; t++) {
        print_stack(&stacks[t], text);
        size_t none = planned_bytes(text, "none"), cheap = planned_bytes(text, "cheap"),
               full = planned_bytes(text, "full");
        if (cheap > none || 4 * full > 3 * cheap)
            fail_msg("%s\nnone %zu, cheap %zu, full %zu", text, none, cheap, full);
    }
}

/* What tn_grad makes is compiled as any graph. */
static void test_compile_gradient(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("square");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n")));
    tn_output(g, "loss", tn_sum(tn_mul(x, x), TN_NO_INTS));
    tn_program *p = tn_compile(tn_grad(g, TN_INTS(0)), NULL);
    if (!p) fail_msg("%s", tn_graph_error(g)->message);
    assert_int_equal(tn_program_n_outputs(p), 1);
    assert_string_equal(tn_program_output(p, 0)->name, "d_x");
    tn_graph_free(g);
    float in[3] = {1, -2, 3}, out[3];
    tn_tensor inputs[] = {TN_TENSOR(TN_F32, in, 3)}, outputs[] = {TN_TENSOR(TN_F32, out, 3)};
    assert_int_equal(tn_run(p, inputs, outputs), TN_OK);
    for (int i = 0; i < 3; i++) assert_true(out[i] == 2 * in[i]);
    tn_program_free(p);
}

/* ---- A gradient of one's own ------------------------------------------------------------------------------ */

/* floor(x) * y, to gradients the identity times y: straight through.
 * Differentiated again, what counts is the gradient. */
static const char straight[] =
    "(%x: f64[n], %y: f64[n]) -> (%z: f64[n]) {\n"
    "  %0 = call %x, %y, callee=@f, symbols=[n]\n"
    "  return %0\n"
    "}\n"
    "gradient @back fn @f(%x: f64[a], %y: f64[a]) -> (%z: f64[a]) {\n"
    "  %0 = floor %x\n"
    "  %1 = mul %0, %y\n"
    "  return %1\n"
    "}\n"
    "fn @back(%x: f64[b], %y: f64[b], %z: f64[b], %d: f64[b]) -> (%dx: f64[b], %dy: f64[b]) {\n"
    "  %0 = mul %d, %y\n"
    "  %1 = mul %d, %x\n"
    "  return %0, %1\n"
    "}\n";

static void test_own_gradient(void **state) {
    (void)state;
    tn_module *m = program_parse(straight);
    tn_graph *vjp = tn_vjp(tn_module_main(m), TN_INTS(0, 1));
    if (!vjp) fail_msg("%s", tn_module_error(m)->message);
    double x[3] = {0.5, 1.5, -2.5}, y[3] = {1, 2, 3}, d[3] = {1, 10, 100};
    int64_t n = 3;
    eval_tensor in[3] = {tensor_view(TN_F64, 1, &n, x), tensor_view(TN_F64, 1, &n, y), tensor_view(TN_F64, 1, &n, d)},
                out[2];
    run(vjp, in, out);
    for (int i = 0; i < 3; i++) {
        assert_true(eval_load_float(&out[0], i) == d[i] * y[i]);
        assert_true(eval_load_float(&out[1], i) == d[i] * x[i]);
    }
    for (int i = 0; i < 2; i++) eval_tensor_free(&out[i]);
    check_compiled(vjp);
    check_differences(vjp, 3);
    tn_graph *f = m->graphs[1];
    tn_graph_gradient(f, f);
    assert_string_equal(tn_module_error(m)->message, "gradient: that of @f must be another function of its module");
    tn_module_free(m);
}

/* ---- Where a function has no derivative ------------------------------------------------------------------- */

/* The gradient of the sum of f(x) for f of one f64[n], at given points. */
static const struct {
    const char *what, *nodes;
    int n;
    double x[4], d[4];
} edges[] = {
    {"abs at 0", "%0 = abs %x", 3, {-1, 0, 1}, {-1, 0, 1}},
    {"relu at 0", "%0 = relu %x", 3, {-1, 0, 1}, {0, 0, 1}},
    {"leaky_relu at 0", "%0 = leaky_relu %x, alpha=0.25", 3, {-1, 0, 1}, {0.25, 0.25, 1}},
    {"max of equals", "%0 = max %x, %x", 2, {1, 2}, {1, 1}},
    {"max with 0",
     "%9 = constant value=f64[] {0.0}\n  %8 = broadcast %9, shape=[3]\n  %0 = max %x, %8",
     3,
     {-1, 0, 1},
     {0, 0.5, 1}},
    {"clamp at its bounds",
     "%9 = constant value=f64[] {1.0}\n  %8 = broadcast %9, shape=[4]\n  %7 = neg %8\n  %0 = clamp %7, %x, %8",
     4,
     {-2, -1, 1, 2},
     {0, 1, 1, 0}},
    {"sqrt at 0", "%0 = sqrt %x", 2, {0, 4}, {INFINITY, 0.25}},
    {"pow of base 0",
     "%9 = constant value=f64[] {2.0}\n  %8 = broadcast %9, shape=[2]\n  %0 = pow %x, %8",
     2,
     {0, 3},
     {0, 6}},
    {"pow to x of 0 and 2",
     "%9 = constant value=f64[2] {0.0, 2.0}\n  %0 = pow %9, %x",
     2,
     {2, 0},
     {0, 0.69314718055994530942}},
    {"reduce max of equals", "%0 = reduce %x, axes=[0], kind=max", 4, {3, 1, 3, 2}, {0.5, 0, 0.5, 0}},
    {"reduce prod with one 0", "%0 = reduce %x, axes=[0], kind=prod", 3, {2, 0, 3}, {0, 6, 0}},
    {"reduce prod with two 0", "%0 = reduce %x, axes=[0], kind=prod", 3, {2, 0, 0}, {0, 0, 0}},
    {"running product with a 0", "%0 = cumulate %x, axis=0, kind=prod", 3, {2, 0, 3}, {1, 8, 0}},
    {"running maximum of equals", "%0 = cumulate %x, axis=0, kind=max", 4, {1, 2, 2, 0}, {1, 1, 2, 0}},
    {"windows with equal maxima", "%0 = window %x, kind=max, window=[2]", 4, {1, 1, 1, 0}, {1, 1, 1, 0}},
    {"overlapping windows", "%0 = window %x, kind=sum, window=[3]", 4, {1, 1, 1, 1}, {1, 2, 2, 1}},
    {"repeated indices",
     "%9 = constant value=i64[3, 1] {1, 1, 0}\n  %0 = gather %x, %9, axes=[0]",
     3,
     {1, 2, 3},
     {1, 2, 0}},
    {"padding that crops",
     "%9 = constant value=f64[] {0.0}\n  %0 = pad %x, %9, low=[-1], high=[2]",
     3,
     {1, 2, 3},
     {0, 1, 1}},
    {"padding between",
     "%9 = constant value=f64[] {0.0}\n  %0 = pad %x, %9, low=[-1], high=[-1], interior=[1]",
     3,
     {1, 2, 3},
     {0, 1, 0}},
    {"every second", "%0 = slice %x, start=[1], limit=[4], stride=[2]", 4, {1, 2, 3, 4}, {0, 1, 0, 1}},
    {"stop_gradient", "%9 = stop_gradient %x\n  %0 = mul %9, %x", 2, {3, 4}, {3, 4}},
    {"round, straight through",
     "%9 = round %x\n  %8 = sub %9, %x\n  %7 = stop_gradient %8\n  %0 = add %x, %7",
     2,
     {0.4, 1.6},
     {1, 1}},
};

static void test_edges(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        char text[600];
        snprintf(text, sizeof text, "(%%x: f64[%d]) -> (%%y: f64[]) {\n  %s\n", edges[i].n, edges[i].nodes);
        bool is_scalar = strstr(text, "= reduce ") != NULL;
        strcat(text, is_scalar ? "  return %0\n}\n" : "  %1 = reduce %0, axes=[0], kind=sum\n  return %1\n}\n");
        tn_module *m = program_parse(text);
        tn_graph *slope = tn_grad(tn_module_main(m), TN_INTS(0));
        if (!slope) fail_msg("%s: %s", edges[i].what, tn_module_error(m)->message);
        eval_tensor x = tensor_view(TN_F64, 1, (int64_t[]){edges[i].n}, edges[i].x), d;
        run(slope, &x, &d);
        for (int k = 0; k < edges[i].n; k++) {
            double is = eval_load_float(&d, k), want = edges[i].d[k];
            if (is != want && !(fabs(is - want) < 1e-15))
                fail_msg("%s: [%d] is %g, not %g", edges[i].what, k, is, want);
        }
        eval_tensor_free(&d);
        tn_module_free(m);
    }
}

/* ---- What users are told ----------------------------------------------------------------------------------- */

static const char endless[] = "(%x: f64[n]) -> (%y: f64[n]) {\n"
                              "  %0 = while %x, cond=@more, body=@step, symbols=[n, n]\n"
                              "  return %0\n"
                              "}\n"
                              "fn @more(%x: f64[a]) -> (%r: bool[]) {\n"
                              "  %0 = reduce %x, axes=[0], kind=sum\n"
                              "  %1 = constant value=f64[] {1e3}\n"
                              "  %2 = compare %0, %1, compare=lt\n"
                              "  return %2\n"
                              "}\n"
                              "fn @step(%x: f64[b]) -> (%y: f64[b]) {\n"
                              "  %0 = add %x, %x\n"
                              "  return %0\n"
                              "}\n";

static const struct {
    const char *text;
    int64_t wrt;
    bool is_vjp;
    const char *message;
} refused[] = {
    {"(%x: f64[2]) -> (%y: f64[2]) {\n  %0 = floor %x\n  return %0\n}\n", 0, true,
     "floor: a gradient was asked for that goes through it, but floor has zero derivative almost everywhere"},
    {endless, 0, true, "while: a gradient goes through it, which needs a bound on its rounds"},
    {"(%x: i32[2]) -> (%y: f64[2]) {\n  %0 = convert %x, dtype=f64\n  return %0\n}\n", 0, true,
     "vjp: gradients are those of floats: x is i32[2]"},
    {"(%x: f64[2]) -> (%y: f64[2]) {\n  %0 = neg %x\n  return %0\n}\n", 1, true,
     "vjp: @main has 1 parameters, there is no number 1"},
    {"(%x: f64[2]) -> (%y: f64[2]) {\n  %0 = neg %x\n  return %0\n}\n", 0, false,
     "grad: the first result of @main must be a float scalar, that of a loss: "},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        tn_module *m = program_parse(refused[i].text);
        tn_graph *f = tn_module_main(m);
        tn_graph *made = refused[i].is_vjp ? tn_vjp(f, TN_INTS(refused[i].wrt)) : tn_grad(f, TN_INTS(refused[i].wrt));
        assert_null(made);
        assert_non_null(tn_module_error(m));
        if (!strstr(tn_module_error(m)->message, refused[i].message))
            fail_msg("the message is: %s", tn_module_error(m)->message);
        tn_module_free(m);
    }
    assert_null(tn_vjp(NULL, TN_INTS(0)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_if),
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_reverse_scan),
        cmocka_unit_test(test_counted_while),
        cmocka_unit_test(test_bounded_while),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_lstm),
        cmocka_unit_test(test_forward_mode),
        cmocka_unit_test(test_remat),
        cmocka_unit_test(test_remat_peaks),
        cmocka_unit_test(test_own_gradient),
        cmocka_unit_test(test_compile_gradient),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
