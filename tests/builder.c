/* The builder: broadcasting, dtypes of scalars, axes, symbols of bodies; and every op of the
 * table reached through a public call.
 */
#include "ir/samples.h"

#include "ir/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_type(tn_val v, const char *wanted) {
    char text[128] = "invalid";
    if (!v.graph) {
        fail_msg("an invalid value where %s was wanted", wanted);
        return;
    }
    const tn_diag *error = tn_graph_error(v.graph);
    if (error) fail_msg("%s:%d: %s", error->file, error->line, error->message);
    tn_type type = tn_type_of(v);
    type_print(v.graph->module->dims, &type, text, sizeof text);
    assert_string_equal(text, wanted);
}

static const char *op_of(tn_val v) { return op_name((tn_op)graph_node_of(v.graph, v.id)->op); }
static tn_val operand_of(tn_val v, int i) { return (tn_val){v.graph, graph_node_of(v.graph, v.id)->operands[i]}; }

static tn_val input(tn_graph *g, const char *name, tn_dtype dtype, tn_shape shape) {
    return tn_input_at(TN_HERE, g, name, dtype, shape);
}

/* ---- Broadcasting --------------------------------------------------------------------------------- */

static void test_broadcasting(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    tn_val a = input(g, "a", TN_F32, TN_SHAPE(TN_SIZE(3), TN_SIZE(1), TN_SIZE(5)));
    tn_val b = input(g, "b", TN_F32, TN_SHAPE(TN_SIZE(4), TN_SIZE(5)));
    tn_val s = input(g, "s", TN_F32, TN_SCALAR);
    tn_val n = input(g, "n", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(1)));
    tn_val row = input(g, "row", TN_F32, TN_SHAPE(TN_DIM("m")));
    tn_val none = input(g, "none", TN_F32, TN_SHAPE(TN_SIZE(0), TN_SIZE(1)));
    assert_type(tn_add(a, b), "f32[3, 4, 5]");
    assert_type(tn_add(s, s), "f32[]");
    assert_type(tn_add(s, b), "f32[4, 5]");
    assert_type(tn_mul(n, row), "f32[n, m]");
    assert_type(tn_mul(n, tn_mul(n, row)), "f32[n, m]");
    assert_type(tn_add(none, row), "f32[0, m]");
    assert_type(tn_select(tn_less(n, s), a, b), "f32[3, 4, 5]");
    assert_type(tn_clamp(s, a, b), "f32[3, 4, 5]");
    assert_type(tn_fma(a, b, s), "f32[3, 4, 5]");
    assert_type(tn_equal(a, b), "bool[3, 4, 5]");
    /* n = 4 was asked for by select; nothing else. */
    assert_int_equal(g->n_constraints, 1);
    /* No broadcast is inserted where shapes agree. */
    assert_string_equal(op_of(operand_of(tn_add(a, a), 0)), "param");
    assert_string_equal(op_of(operand_of(tn_add(a, b), 0)), "broadcast");
    assert_type(tn_broadcast_to(b, 3, ((tn_dim[]){tn_dim_of(n, 0), tn_dim_of(b, 0), tn_dim_of(b, 1)})), "f32[n, 4, 5]");
    tn_graph_free(g);
}

/* ---- Dtypes --------------------------------------------------------------------------------------- */

static void test_scalars_adopt_dtypes(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    tn_val h = input(g, "h", TN_F16, TN_SHAPE(TN_SIZE(3))), i = input(g, "i", TN_I8, TN_SHAPE(TN_SIZE(3)));
    tn_val p = input(g, "p", TN_BOOL, TN_SHAPE(TN_SIZE(3)));
    assert_type(tn_add(h, tn_scalar(g, TN_F32, 0.1)), "f16[3]");
    assert_type(tn_add(tn_scalar(g, TN_F64, 0.1), h), "f16[3]");
    assert_type(tn_add(h, tn_scalar_int(g, TN_I64, 3)), "f16[3]");
    assert_type(tn_add(i, tn_scalar(g, TN_F32, 3)), "i8[3]");
    assert_type(tn_add(tn_scalar(g, TN_F32, 1), tn_scalar(g, TN_F64, 2)), "f32[]");
    assert_type(tn_select(p, tn_scalar(g, TN_F32, 0), h), "f16[3]");
    assert_type(tn_clamp(tn_scalar(g, TN_F32, -1), i, tn_scalar(g, TN_F32, 1)), "i8[3]");
    assert_type(tn_max_scalar(i, -128), "i8[3]");
    assert_type(tn_and(p, tn_scalar(g, TN_F32, 1)), "bool[3]");
    /* A constant with axes keeps its dtype, and so does a scalar that is no constant. */
    tn_val s = input(g, "s", TN_F32, TN_SCALAR);
    assert_false(tn_is_valid(tn_add(h, s)));
    assert_string_equal(tn_graph_error(g)->message,
                        "add: dtypes differ: h is f16[3], s is f32[] (make them equal with tn_convert)");
    tn_graph_free(g);
}

static void check_out_of_range(tn_dtype dtype, double number, const char *message) {
    tn_graph *g = tn_graph_new("g");
    tn_val x = input(g, "x", dtype, TN_SHAPE(TN_SIZE(3)));
    assert_false(tn_is_valid(tn_add_scalar(x, number)));
    assert_string_equal(tn_graph_error(g)->message, message);
    tn_graph_free(g);
}

/* Integers take only what they can hold. */
static void test_numbers_that_do_not_fit(void **state) {
    (void)state;
    check_out_of_range(TN_U8, -1, "add: the number -1 is no u8 (convert the other operand with tn_convert)");
    check_out_of_range(TN_I8, 128, "add: the number 128 is no i8 (convert the other operand with tn_convert)");
    check_out_of_range(TN_I64, 1e30, "add: the number 1e+30 is no i64 (convert the other operand with tn_convert)");
    check_out_of_range(TN_I32, INFINITY, "add: the number inf is no i32 (convert the other operand with tn_convert)");
}

static uint64_t bits_of(tn_val scalar) {
    uint64_t bits = 0;
    const tensor_data *data = attr_find(&graph_node_of(scalar.graph, scalar.id)->attrs, ATTR_value)->data;
    memcpy(&bits, data->data, data->bytes);
    return bits;
}

/* tn_scalar converts as `convert` does: saturates, rounds once. */
static void test_scalars(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    assert_int_equal(bits_of(tn_scalar(g, TN_I8, 1e9)), 127);
    assert_int_equal(bits_of(tn_scalar(g, TN_U8, -5)), 0);
    assert_int_equal(bits_of(tn_scalar(g, TN_I32, NAN)), 0);
    assert_int_equal(bits_of(tn_scalar(g, TN_I32, -2.9)), 0xfffffffe);
    assert_int_equal(bits_of(tn_scalar(g, TN_BOOL, 0.5)), 1);
    assert_int_equal(bits_of(tn_scalar(g, TN_F16, 1)), 0x3c00);
    assert_int_equal(bits_of(tn_scalar(g, TN_BF16, 1)), 0x3f80);
    assert_int_equal(bits_of(tn_scalar(g, TN_F16, 1e9)), 0x7c00);
    assert_int_equal(bits_of(tn_scalar_int(g, TN_U8, 257)), 1);
    assert_true(bits_of(tn_scalar_int(g, TN_I64, INT64_MIN)) == (uint64_t)INT64_MIN);
    assert_null(tn_graph_error(g));
    tn_graph_free(g);
}

/* ---- Shapes --------------------------------------------------------------------------------------- */

static void test_shapes(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    tn_val x = input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(6), TN_SIZE(4)));
    tn_val s = input(g, "s", TN_F32, TN_SCALAR);
    tn_val none = input(g, "none", TN_F32, TN_SHAPE(TN_SIZE(0), TN_SIZE(4)));
    assert_type(tn_reshape(x, TN_SHAPE(TN_SIZE(-1), TN_SIZE(8))), "f32[3*n, 8]");
    assert_type(tn_reshape(x, TN_SHAPE(TN_DIM("n"), TN_SIZE(-1))), "f32[n, 24]");
    assert_type(tn_reshape(s, TN_SHAPE(TN_SIZE(1), TN_SIZE(-1))), "f32[1, 1]");
    assert_type(tn_reshape(none, TN_SHAPE(TN_SIZE(4), TN_SIZE(-1))), "f32[4, 0]");
    assert_type(tn_transpose(x, TN_INTS(-1, 0, 1)), "f32[4, n, 6]");
    assert_type(tn_transpose(x, TN_NO_INTS), "f32[4, 6, n]");
    assert_int_equal(tn_transpose(x, TN_INTS(0, 1, 2)).id, x.id);
    assert_type(tn_slice(x, -1, 1, INT64_MAX, 2), "f32[n, 6, 2]");
    assert_type(tn_slice(x, 1, -2, INT64_MAX, 1), "f32[n, 2, 4]");
    assert_type(tn_slice(x, 0, 0, -1, 1), "f32[n - 1, 6, 4]");
    assert_type(tn_pad(x, 0, TN_INTS(1, 0, -1), TN_INTS(1, 2, 0)), "f32[n + 2, 8, 3]");
    assert_type(tn_concat(((tn_val[]){x, x, x}), 3, -3), "f32[3*n, 6, 4]");
    assert_type(tn_expand_dims(x, TN_INTS(0, -1)), "f32[1, n, 6, 4, 1]");
    assert_type(tn_squeeze(tn_expand_dims(x, TN_INTS(1)), TN_INTS(1)), "f32[n, 6, 4]");
    assert_type(tn_expand_dims(s, TN_INTS(0)), "f32[1]");
    assert_type(tn_iota(g, TN_I32, TN_SHAPE(TN_SIZE(3), TN_DIM("n")), -1), "i32[3, n]");
    assert_type(tn_dim_value(g, tn_dim_of(x, -3)), "i64[]");
    assert_type(tn_reverse(x, TN_INTS(-1, 0)), "f32[n, 6, 4]");
    tn_graph_free(g);
}

static void test_reductions(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    tn_val x = input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(6), TN_SIZE(4)));
    static const int64_t nothing[1];
    assert_type(tn_sum(x, TN_INTS(-1)), "f32[n, 6]");
    assert_type(tn_sum(x, TN_NO_INTS), "f32[]");
    assert_type(tn_sum(x, ((tn_ints){0, nothing})), "f32[n, 6, 4]");
    assert_type(tn_reduce("max", x, TN_INTS(2, 0), true), "f32[1, 6, 1]");
    assert_type(tn_reduce("argmax", x, TN_INTS(0), false), "i64[6, 4]");
    assert_type(tn_mean(x, TN_INTS(0, 1), true), "f32[1, 1, 4]");
    assert_type(tn_top_k(x, -1, dim_const(g->module->dims, 2), true), "f32[n, 6, 2]");
    tn_val ids = input(g, "ids", TN_I32, TN_SHAPE(TN_SIZE(2), TN_DIM("m")));
    assert_type(tn_take(x, ids, 1), "f32[n, 2, m, 4]");
    assert_type(tn_take(x, ids, 0), "f32[2, m, 6, 4]");
    assert_type(tn_matmul(x, tn_transpose(x, TN_INTS(0, 2, 1))), "f32[n, 6, 6]");
    assert_type(tn_dot(x, x, TN_INTS(0), TN_INTS(0), TN_INTS(-1), TN_INTS(-1)), "f32[n, 6, 6]");
    assert_null(tn_graph_error(g));
    tn_graph_free(g);
}

static void test_windows(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    tn_val x = input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(3), TN_DIM("h"), TN_SIZE(32)));
    tn_val k = tn_weight(g, "k", TN_F32, TN_SHAPE(TN_SIZE(8), TN_SIZE(3), TN_SIZE(3), TN_SIZE(3)), NULL);
    assert_type(tn_conv(x, k, .stride = TN_INTS(2, 2), .low = TN_INTS(1, 1), .high = TN_INTS(1, 1)),
                "f32[n, 8, ceildiv(h, 2), 16]");
    assert_type(tn_conv(x, k, .dilation = TN_INTS(2, 2)), "f32[n, 8, h - 4, 28]");
    assert_type(tn_conv(x, k, .input_dilation = TN_INTS(2, 2), .low = TN_INTS(2, 2), .high = TN_INTS(2, 2)),
                "f32[n, 8, 2*h + 1, 65]");
    assert_type(tn_max_pool(x, .window = TN_INTS(2, 2), .stride = TN_INTS(2, 2)), "f32[n, 3, floordiv(h, 2), 16]");
    assert_type(tn_global_avg_pool(x), "f32[n, 3, 1, 1]");
    assert_null(tn_graph_error(g));
    tn_graph_free(g);
}

/* ---- Control flow --------------------------------------------------------------------------------- */

static void test_symbols_of_bodies(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g"), *f = tn_graph_sub(g, "f");
    /* The body's n is the caller's m + 1 and the other way round; p follows from 2*p. */
    tn_val a = input(f, "a", TN_F32, TN_SHAPE(TN_DIM("n"), TN_DIM("m")));
    tn_dim twice = dim_mul_const(g->module->dims, dim_symbol(g->module->dims, "p"), 2);
    tn_type type = type_make(TN_F32, 1, &twice);
    tn_val b = {f, graph_add_param(f, "b", &type, BINDING_RUN)};
    tn_output(f, "r", tn_concat(((tn_val[]){tn_sum(a, TN_INTS(0)), tn_slice(b, 0, 0, INT64_MAX, 2)}), 2, 0));
    tn_val x = input(g, "x", TN_F32, TN_SHAPE(TN_DIM("m"), TN_DIM("n")));
    tn_val longer = tn_pad(x, 0, TN_INTS(1, 0), TN_INTS(0, 0));
    tn_val y = tn_reshape(x, TN_SHAPE(TN_SIZE(-1)));
    tn_val both[] = {longer, tn_concat(((tn_val[]){y, y}), 2, 0)};
    assert_type(tn_call(g, f, both, 2), "f32[m*n + n]");
    tn_graph_free(g);
}

static void test_loops(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g"), *cond = tn_graph_sub(g, "cond"), *body = tn_graph_sub(g, "body");
    tn_val t = input(cond, "t", TN_F32, TN_SHAPE(TN_DIM("k")));
    tn_output(cond, "more", tn_less(tn_sum(t, TN_NO_INTS), tn_scalar(cond, TN_F32, 100)));
    t = input(body, "t", TN_F32, TN_SHAPE(TN_DIM("q")));
    tn_output(body, "next", tn_mul_scalar(t, 2));
    tn_val x = input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n")));
    assert_type(tn_while(cond, body, &x, 1), "f32[n]");

    tn_graph *step = tn_graph_sub(g, "step");
    tn_val h = input(step, "h", TN_F32, TN_SHAPE(TN_DIM("d"))), e = input(step, "e", TN_F32, TN_SHAPE(TN_DIM("d")));
    tn_output(step, "h", tn_tanh(tn_add(h, e)));
    tn_output(step, "sum", tn_sum(e, TN_NO_INTS));
    tn_val seq = input(g, "seq", TN_F32, TN_SHAPE(TN_DIM("t"), TN_DIM("n")));
    tn_val last = tn_scan(step, &x, 1, &seq, 1, TN_DIM_INVALID, true);
    assert_type(last, "f32[n]");
    assert_type(tn_result(last, 1), "f32[t]");
    assert_int_equal(tn_result(tn_result(last, 0), 1).id, last.id + 1);
    tn_graph_free(g);
}

/* ---- States and names ------------------------------------------------------------------------------ */

static void test_states(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    tn_val cache = input(g, "cache", TN_F32, TN_SHAPE(TN_SIZE(8)));
    tn_output(g, "y", tn_name(tn_neg(cache), "negated"));
    tn_update(g, "next", cache, tn_exp(cache));
    assert_null(tn_graph_error(g));
    assert_int_equal(g->params[0].binding, BINDING_STATE);
    assert_int_equal(g->results[1].state_param, 0);
    assert_int_equal(g->results[0].state_param, -1);
    assert_string_equal(g->values[g->results[0].value].name, "negated");
    tn_update(g, "again", cache, cache);
    assert_string_equal(tn_graph_error(g)->message, "output: parameter cache has its next value already");
    tn_graph_free(g);
}

/* ---- The table ------------------------------------------------------------------------------------- */

/* Every op is built by its sample, which knows only public calls, in some dtype; an op whose
 * meaning is the caller's is built by tn_apply. */
static void test_every_op_is_reached(void **state) {
    (void)state;
    for (tn_op op = 0; op < TN_OP_COUNT; op++) {
        int n_dtypes = 0;
        for (tn_dtype dtype = 0; dtype < TN_DTYPE_COUNT; dtype++) n_dtypes += sample_supports(op, dtype);
        if (n_dtypes > 0) continue;
        tn_graph *g = tn_graph_new("g");
        tn_val x = input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(3)));
        tn_attr_arg attrs[] = {{.name = "name", .text = "own"}, {.name = "dtype", .i = TN_I32}, {0}};
        if (!tn_is_valid(tn_apply(TN_HERE, g, op, &x, 1, attrs))) fail_msg("%s cannot be built", op_name(op));
        assert_int_equal(op, TN_OP_custom);
        tn_graph_free(g);
    }
}

/* What an op's row says of itself is whole. */
static void test_rows(void **state) {
    (void)state;
    for (tn_op op = 0; op < TN_OP_COUNT; op++) {
        const op_info *info = &op_table[op];
        assert_non_null(info->rule);
        assert_non_null(info->sample);
        assert_true((info->expand != NULL) == op_is_composite(op));
        assert_true((info->eval != NULL) != op_is_composite(op));
        assert_true(info->min_operands >= 0 && info->min_operands <= info->max_operands);
        assert_int_equal(op_from_name(info->name, strlen(info->name)), op);
        size_t length = strlen(info->doc);
        if (length < 5 || info->doc[length - 1] != '.') fail_msg("%s: the doc is no sentence", info->name);
        for (uint32_t i = 1; i < info->n_attrs; i++)
            for (uint32_t k = 0; k < i; k++) assert_int_not_equal(info->attrs[i].name, info->attrs[k].name);
    }
    assert_int_equal(op_from_name("tan", 3), TN_OP_tan);
    assert_int_equal(op_from_name("tanhh", 5), TN_OP_COUNT);
}

/* Of one seed one sample; dtypes that a rule refuses are no samples. */
static void test_samples_repeat(void **state) {
    (void)state;
    assert_true(sample_supports(TN_OP_exp, TN_BF16));
    assert_false(sample_supports(TN_OP_exp, TN_I32));
    assert_false(sample_supports(TN_OP_add, TN_BOOL));
    for (uint64_t seed = 0; seed < 20; seed++) {
        size_t n[2];
        uint32_t last[2];
        for (int i = 0; i < 2; i++) {
            sampler s = {.state = seed, .dtype = TN_F32, .symbolic = seed & 1, .exact = seed & 2};
            tn_graph *g = tn_graph_new("g");
            assert_true(sample_graph(&s, g, 30));
            assert_true(g->n_nodes >= 30);
            n[i] = g->n_nodes;
            last[i] = g->nodes[g->n_nodes - 1].op;
            tn_graph_free(g);
        }
        assert_int_equal(n[0], n[1]);
        assert_int_equal(last[0], last[1]);
    }
}

#ifdef TN_HOSTILE_MALLOC
/* Builds some of everything; NULL when not even the graph could be made. */
static tn_graph *build_some(uint64_t seed) {
    sampler s = {.state = seed, .dtype = TN_F32, .symbolic = true};
    tn_graph *g = tn_graph_new("g");
    if (g && sample_op(&s, g, TN_OP_scan)) sample_graph(&s, g, 25);
    return g;
}

/* Each allocation fails in turn: an error that says so, no crash, no leak. */
static void test_failing_memory(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        tn_malloc_fail_at(UINT64_MAX, false);
        tn_graph_free(build_some(seed));
        uint64_t n = tn_malloc_fail_at(UINT64_MAX, false);
        assert_true(n > 20);
        for (uint64_t nth = 0; nth < n; nth++) {
            tn_malloc_fail_at(nth, false);
            tn_graph *g = build_some(seed);
            tn_malloc_fail_at(UINT64_MAX, false);
            const tn_diag *error = tn_graph_error(g);
            if (g && (!error || error->status != TN_ERR_MEMORY))
                fail_msg("seed %d, allocation %d: %s", (int)seed, (int)nth, error ? error->message : "no error");
            tn_graph_free(g);
        }
    }
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broadcasting),
        cmocka_unit_test(test_scalars_adopt_dtypes),
        cmocka_unit_test(test_numbers_that_do_not_fit),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_symbols_of_bodies),
        cmocka_unit_test(test_loops),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_every_op_is_reached),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_samples_repeat),
#ifdef TN_HOSTILE_MALLOC
        cmocka_unit_test(test_failing_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
