/* The interpreter's driver and control flow: symbols, constraints, limits, effects, loops. */
#include "tests/lib/opcase.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* Runs g on literal inputs and compares with literal outputs; TN_OK or the status that is wanted. */
static void run(tn_graph *g, const eval_options *options, tn_status status, const char *message, const char *const *in,
                const char *const *out) {
    eval_tensor inputs[8] = {{0}}, outputs[8] = {{0}};
    tn_diag diag;
    if (tn_graph_error(g)) fail_msg("%s", tn_graph_error(g)->message);
    for (int i = 0; in[i]; i++) inputs[i] = tensor_literal(in[i], NULL);
    tn_status got = eval_graph(g, inputs, outputs, options, &diag);
    if (got != status) fail_msg("%s: %s", tn_status_name(got), diag.message);
    if (message && !strstr(diag.message, message)) fail_msg("%s", diag.message);
    for (int r = 0; out[r]; r++) assert_tensor(&outputs[r], out[r], out[r]);
    for (int i = 0; in[i]; i++) eval_tensor_free(&inputs[i]);
    for (size_t r = 0; r < g->n_results; r++) eval_tensor_free(&outputs[r]);
}
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_LIST ((const char *const[]){NULL})

/* ---- Symbols -------------------------------------------------------------------------------------- */

static void test_symbols_bind(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("bind");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(2)));
    tn_val y = tn_input(g, "y", TN_F32, TN_SHAPE(TN_DIM("n")));
    tn_output(g, "s", tn_add(tn_reduce("sum", x, TN_INTS(1), false), y));
    tn_output(g, "n", tn_dim_value(g, tn_dim_of(x, 0)));
    run(g, NULL, TN_OK, NULL, LIST("f32[2,2] 1 2 3 4", "f32[2] 10 20"), LIST("f32[2] 13 27", "i64[] 2"));
    run(g, NULL, TN_OK, NULL, LIST("f32[0,2]", "f32[0]"), LIST("f32[0]", "i64[] 0"));
    run(g, NULL, TN_ERR_SHAPE, "axis 0 of input 1 (y) has 3 elements", LIST("f32[2,2] 1 2 3 4", "f32[3] 1 2 3"),
        NO_LIST);
    run(g, NULL, TN_ERR_SHAPE, "axis 1 of input 0 (x)", LIST("f32[2,1] 1 2", "f32[2] 1 2"), NO_LIST);
    run(g, NULL, TN_ERR_SHAPE, "rank", LIST("f32[2] 1 2", "f32[2] 1 2"), NO_LIST);
    run(g, NULL, TN_ERR_DTYPE, "i32", LIST("i32[1,2] 1 2", "f32[1] 1"), NO_LIST);
    tn_graph_free(g);
}

static void test_stated_bounds(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("bounds");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n")));
    tn_bound(g, "n", 2, 8, 2);
    tn_output(g, "y", tn_neg(x));
    run(g, NULL, TN_OK, NULL, LIST("f32[2] 1 2"), LIST("f32[2] -1 -2"));
    run(g, NULL, TN_ERR_CONSTRAINT, "n is 3", LIST("f32[3] 1 2 3"), NO_LIST);
    run(g, NULL, TN_ERR_CONSTRAINT, "n is 0", LIST("f32[0]"), NO_LIST);
    tn_graph_free(g);
}

static void test_constraints(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("constraint");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n")));
    tn_val y = tn_input(g, "y", TN_F32, TN_SHAPE(TN_DIM("m")));
    tn_val operands[2] = {x, y};
    tn_attr_arg none[] = {{0}};
    tn_output(g, "z", tn_apply(TN_HERE, g, TN_OP_add, operands, 2, none));
    run(g, NULL, TN_OK, NULL, LIST("f32[1] 1", "f32[1] 2"), LIST("f32[1] 3"));
    run(g, NULL, TN_ERR_CONSTRAINT, "add: ", LIST("f32[1] 1", "f32[2] 2 3"), NO_LIST);
    tn_graph_free(g);
}

static void test_weights_have_initial_data(void **state) {
    (void)state;
    static const float initial[2] = {3, 4};
    tn_graph *g = tn_graph_new("weights");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(2)));
    tn_val w = tn_weight(g, "w", TN_F32, TN_SHAPE(TN_SIZE(2)), initial);
    tn_output(g, "y", tn_mul(x, w));
    tn_output(g, "w", w);
    eval_tensor inputs[2] = {tensor_literal("f32[2] 1 2", NULL)}, outputs[2];
    assert_int_equal(eval_graph(g, inputs, outputs, NULL, NULL), TN_OK);
    assert_tensor(&outputs[0], "f32[2] 3 8", "y");
    assert_tensor(&outputs[1], "f32[2] 3 4", "w");
    for (int i = 0; i < 2; i++) eval_tensor_free(&outputs[i]);
    eval_tensor_free(&inputs[0]);
    run(g, NULL, TN_OK, NULL, LIST("f32[2] 1 2", "f32[2] 5 6"), LIST("f32[2] 5 12", "f32[2] 5 6"));
    tn_graph_free(g);
}

/* ---- Results ---------------------------------------------------------------------------------------- */

static void test_a_value_twice_and_an_input_passed_through(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("twice");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(1)));
    tn_val y = tn_neg(x);
    tn_output(g, "a", y);
    tn_output(g, "b", y);
    tn_output(g, "c", x);
    tn_output(g, "d", tn_abs(y));
    run(g, NULL, TN_OK, NULL, LIST("f32[1] 1"), LIST("f32[1] -1", "f32[1] -1", "f32[1] 1", "f32[1] 1"));
    eval_options options = {.magnitudes = true};
    eval_tensor in = tensor_literal("f32[1] -2", NULL), out[4];
    assert_int_equal(eval_graph(g, &in, out, &options, NULL), TN_OK);
    for (int r = 0; r < 4; r++) {
        assert_true(out[r].magnitude && out[r].magnitude[0] >= 2);
        eval_tensor_free(&out[r]);
    }
    eval_tensor_free(&in);
    tn_graph_free(g);
}

static void test_limits(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("limits");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n")));
    tn_val v = x;
    for (int k = 0; k < 100; k++) v = tn_neg(tn_abs(v));
    tn_output(g, "y", v);
    /* Values are freed after their last reader: two at a time suffice. */
    eval_options options = {.max_elements = 8};
    run(g, &options, TN_OK, NULL, LIST("f32[4] 1 2 3 4"), LIST("f32[4] -1 -2 -3 -4"));
    options.max_elements = 7;
    run(g, &options, TN_ERR_LIMIT, "limit of 7", LIST("f32[4] 1 2 3 4"), NO_LIST);
    tn_graph_free(g);
}

/* ---- Effects ---------------------------------------------------------------------------------------- */

static void print_into(void *ctx, const char *message, const eval_tensor *t) {
    snprintf(ctx, 64, "%s %g", message, eval_load_float(t, 0));
}

static tn_val effect(tn_op op, tn_val token, tn_val v, const char *message) {
    tn_attr_arg attributes[] = {{.name = "message", .text = message}, {0}};
    return tn_apply(TN_HERE, NULL, op, (tn_val[]){token, v}, 2, attributes);
}

static void test_effects(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("effects");
    tn_attr_arg none[] = {{0}};
    tn_val x = tn_input(g, "x", TN_F32, TN_SCALAR);
    tn_val token = tn_apply(TN_HERE, g, TN_OP_token, NULL, 0, none);
    token = effect(TN_OP_print, token, x, "x is");
    effect(TN_OP_assert, token, tn_greater(x, tn_scalar(g, TN_F32, 0)), "x must be positive");
    tn_output(g, "y", tn_neg(x));
    char text[64] = "";
    eval_options options = {.print = print_into, .ctx = text};
    run(g, &options, TN_OK, NULL, LIST("f32[] 2"), LIST("f32[] -2"));
    assert_string_equal(text, "x is 2");
    run(g, NULL, TN_ERR_ASSERT, "assert: x must be positive", LIST("f32[] -2"), LIST("f32[] 2"));
    tn_graph_free(g);
}

static bool double_it(void *ctx, const char *name, const eval_tensor *in, int n_in, eval_tensor *out, int n_out) {
    (void)ctx;
    if (strcmp(name, "double") != 0 || n_in != 1 || n_out != 1) return false;
    for (int64_t k = 0; k < in->n; k++) eval_store_float(out, k, 2 * eval_load_float(in, k));
    return true;
}

static void test_custom(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("custom");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(2)));
    tn_attr_arg attributes[] = {{.name = "name", .text = "double"}, {0}};
    tn_output(g, "y", tn_apply(TN_HERE, g, TN_OP_custom, &x, 1, attributes));
    eval_options options = {.custom = double_it, .magnitudes = true};
    run(g, &options, TN_OK, NULL, LIST("f32[2] 1 2"), LIST("f32[2] 2 4"));
    run(g, NULL, TN_ERR_UNSUPPORTED, "double", LIST("f32[2] 1 2"), NO_LIST);
    tn_graph_free(g);
}

/* ---- Functions ---------------------------------------------------------------------------------------- */

static void test_call(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("call"), *f = tn_graph_sub(g, "square_sum");
    tn_val a = tn_input(f, "a", TN_F32, TN_SHAPE(TN_DIM("k")));
    tn_output(f, "s", tn_sum(tn_mul(a, a), TN_INTS(0)));
    tn_output(f, "k", tn_dim_value(f, tn_dim_of(a, 0)));
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n")));
    tn_val s = tn_call(g, f, &x, 1);
    tn_output(g, "s", s);
    tn_output(g, "n", tn_result(s, 1));
    run(g, NULL, TN_OK, NULL, LIST("f32[3] 1 2 3"), LIST("f32[] 14", "i64[] 3"));
    tn_graph_free(g);
}

static void test_if(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("if"), *then = tn_graph_sub(g, "then"), *otherwise = tn_graph_sub(g, "otherwise");
    tn_output(then, "y", tn_neg(tn_input(then, "a", TN_F32, TN_SHAPE(TN_DIM("k")))));
    tn_output(otherwise, "y", tn_input(otherwise, "a", TN_F32, TN_SHAPE(TN_DIM("j"))));
    tn_val c = tn_input(g, "c", TN_BOOL, TN_SCALAR), x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n")));
    tn_output(g, "y", tn_if(c, then, otherwise, &x, 1));
    run(g, NULL, TN_OK, NULL, LIST("bool[] 1", "f32[2] 1 2"), LIST("f32[2] -1 -2"));
    run(g, NULL, TN_OK, NULL, LIST("bool[] 0", "f32[2] 1 2"), LIST("f32[2] 1 2"));
    tn_graph_free(g);
}

/* while (i < limit) i, x = i + 1, x * 2 */
static tn_graph *doubling_loop(void) {
    tn_graph *g = tn_graph_new("while"), *cond = tn_graph_sub(g, "cond"), *body = tn_graph_sub(g, "body");
    tn_graph *parts[2] = {cond, body};
    tn_val i[2], x[2], limit[2];
    for (int k = 0; k < 2; k++) {
        i[k] = tn_input(parts[k], "i", TN_I64, TN_SCALAR);
        x[k] = tn_input(parts[k], "x", TN_F32, TN_SHAPE(TN_DIM("k")));
        limit[k] = tn_input(parts[k], "limit", TN_I64, TN_SCALAR);
    }
    tn_output(cond, "c", tn_less(i[0], limit[0]));
    tn_output(body, "i", tn_add(i[1], tn_scalar_int(body, TN_I64, 1)));
    tn_output(body, "x", tn_add(x[1], x[1]));
    tn_output(body, "limit", limit[1]);
    tn_val carried[3] = {tn_scalar_int(g, TN_I64, 0), tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"))),
                         tn_input(g, "limit", TN_I64, TN_SCALAR)};
    tn_val loop = tn_while(cond, body, carried, 3);
    tn_output(g, "i", loop);
    tn_output(g, "x", tn_result(loop, 1));
    return g;
}

static void test_while(void **state) {
    (void)state;
    tn_graph *g = doubling_loop();
    run(g, NULL, TN_OK, NULL, LIST("f32[2] 1 3", "i64[] 4"), LIST("i64[] 4", "f32[2] 16 48"));
    run(g, NULL, TN_OK, NULL, LIST("f32[2] 1 3", "i64[] 0"), LIST("i64[] 0", "f32[2] 1 3"));
    eval_options options = {.max_steps = 1000};
    run(g, &options, TN_ERR_LIMIT, "1000 steps", LIST("f32[1] 1", "i64[] 0x7fffffffffffffff"), NO_LIST);
    tn_graph_free(g);
}

/* What an observer saw: how often before and after a node, how deep, and an add's result and operand in the loop. */
typedef struct sightings {
    int before, after, deepest, stop_after;
    float sum, operand;
} sightings;

static bool see(void *ctx, const eval_frame *frame, bool is_done) {
    sightings *s = ctx;
    int depth = 1;
    for (const eval_frame *f = frame->caller; f; f = f->caller) depth++;
    if (depth > s->deepest) s->deepest = depth;
    is_done ? s->after++ : s->before++;
    const node *n = frame->node;
    if (is_done && n->op == TN_OP_add && graph_type(frame->graph, n->first_result)->dtype == TN_F32) {
        s->sum = ((const float *)frame->values[n->first_result].data)[1];
        s->operand = ((const float *)frame->values[n->operands[0]].data)[1];
    }
    return s->stop_after == 0 || s->after < s->stop_after;
}

static void test_observer(void **state) {
    (void)state;
    tn_graph *g = doubling_loop();
    for (int keep = 0; keep < 2; keep++) {
        sightings seen = {0};
        eval_options options = {.keep_values = keep, .observe = see, .ctx = &seen};
        run(g, &options, TN_OK, NULL, LIST("f32[2] 1 3", "i64[] 4"), LIST("i64[] 4", "f32[2] 16 48"));
        assert_int_equal(seen.before, seen.after);
        assert_int_equal(seen.deepest, 2);
        assert_true(seen.sum == 48 && seen.operand == 24);
        seen = (sightings){.stop_after = 7};
        run(g, &options, TN_ERR_ARGUMENT, "stopped", LIST("f32[2] 1 3", "i64[] 4"), NO_LIST);
        assert_int_equal(seen.after, 7);
    }
    tn_graph_free(g);
}

/* Running sum of x with y = sum * 10 each step. */
static tn_graph *running_sum(bool reverse) {
    tn_graph *g = tn_graph_new("scan"), *body = tn_graph_sub(g, "body");
    tn_val s = tn_input(body, "s", TN_F32, TN_SHAPE(TN_SIZE(2))), e = tn_input(body, "e", TN_F32, TN_SHAPE(TN_SIZE(2)));
    tn_val next = tn_add(s, e);
    tn_output(body, "s", next);
    tn_output(body, "y", tn_mul_scalar(next, 10));
    tn_val start = tn_input(g, "s", TN_F32, TN_SHAPE(TN_SIZE(2)));
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("t"), TN_SIZE(2)));
    tn_val r = tn_scan(body, &start, 1, &x, 1, tn_dim_of(x, 0), reverse);
    tn_output(g, "s", r);
    tn_output(g, "y", tn_result(r, 1));
    return g;
}

static void test_scan(void **state) {
    (void)state;
    tn_graph *g = running_sum(false), *back = running_sum(true);
    run(g, NULL, TN_OK, NULL, LIST("f32[2] 0 100", "f32[2,2] 1 2 3 4"),
        LIST("f32[2] 4 106", "f32[2,2] 10 1020 40 1060"));
    run(g, NULL, TN_OK, NULL, LIST("f32[2] 0 100", "f32[0,2]"), LIST("f32[2] 0 100", "f32[0,2]"));
    run(back, NULL, TN_OK, NULL, LIST("f32[2] 0 100", "f32[2,2] 1 2 3 4"),
        LIST("f32[2] 4 106", "f32[2,2] 40 1060 30 1040"));
    eval_options options = {.magnitudes = true};
    run(g, &options, TN_OK, NULL, LIST("f32[2] 0 100", "f32[1,2] 1 2"), LIST("f32[2] 1 102"));
    tn_graph_free(g);
    tn_graph_free(back);
}

static void test_barrier(void **state) {
    (void)state;
    check_op("barrier", "f32[1] 1; i8[2] 2 3", "f32[1] 1", "i8[2] 2 3");
}

/* The first fault in program order is the one that is told. */
static void test_first_fault(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("faults");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(2))), i = tn_input(g, "i", TN_I64, TN_SHAPE(TN_SIZE(1)));
    tn_output(g, "a", tn_take(x, i, 0));
    tn_output(g, "b", tn_take(x, tn_add(i, i), 0));
    run(g, NULL, TN_ERR_INDEX, "index 3 is out of range", LIST("f32[2] 7 8", "i64[1] 3"), LIST("f32[1] 8", "f32[1] 8"));
    tn_graph_free(g);
}

/* ---- Memory -------------------------------------------------------------------------------------------- */

#ifdef TN_HOSTILE_MALLOC
static tn_graph *composites(void) {
    tn_graph *g = tn_graph_new("composites");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"))), y = tn_input(g, "y", TN_F32, TN_SHAPE(TN_SIZE(2)));
    tn_output(g, "y", tn_softmax(x, 0));
    tn_output(g, "z", tn_matmul(y, y));
    return g;
}

/* Every allocation of a run fails in turn: each time TN_ERR_MEMORY, no crash, no leak. */
static void test_failing_memory(void **state) {
    (void)state;
    tn_graph *graphs[] = {doubling_loop(), running_sum(false), composites()};
    const char *inputs[3][2] = {
        {"f32[2] 1 3", "i64[] 2"}, {"f32[2] 0 100", "f32[2,2] 1 2 3 4"}, {"f32[2] 1 3", "f32[2] 1 2"}};
    eval_options options = {.magnitudes = true};
    for (int g = 0; g < 3; g++) {
        tn_status status = TN_ERR_MEMORY;
        for (uint64_t nth = 0; status != TN_OK; nth++) {
            eval_tensor in[2] = {tensor_literal(inputs[g][0], NULL), tensor_literal(inputs[g][1], NULL)}, out[2];
            tn_diag diag;
            tn_malloc_fail_at(nth, false);
            status = eval_graph(graphs[g], in, out, &options, &diag);
            tn_malloc_fail_at(UINT64_MAX, false);
            assert_true(status == TN_OK || status == TN_ERR_MEMORY);
            for (int k = 0; k < 2; k++) eval_tensor_free(&in[k]), eval_tensor_free(&out[k]);
        }
        tn_graph_free(graphs[g]);
    }
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symbols_bind),
        cmocka_unit_test(test_stated_bounds),
        cmocka_unit_test(test_constraints),
        cmocka_unit_test(test_weights_have_initial_data),
        cmocka_unit_test(test_a_value_twice_and_an_input_passed_through),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_effects),
        cmocka_unit_test(test_custom),
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_if),
        cmocka_unit_test(test_while),
        cmocka_unit_test(test_observer),
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_first_fault),
#ifdef TN_HOSTILE_MALLOC
        cmocka_unit_test(test_failing_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
