/* Modules and functions as data: interning, locations, constraints, calls, copies. */
#include "ir/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const tn_shape TEN = {1, {{10, NULL}}};

static size_t operands_of(tn_val v) { return graph_node_of(v.graph, v.id)->n_operands; }

/* ---- Interning ----------------------------------------------------------------------------------- */

static void test_pure_nodes_are_interned(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    tn_val x = tn_input(g, "x", TN_F32, TEN), y = tn_input(g, "y", TN_F32, TEN);
    tn_val sum = tn_add(x, y);
    size_t n = g->n_nodes;
    assert_int_equal(tn_add(x, y).id, sum.id);
    assert_int_equal(g->n_nodes, n);
    assert_int_not_equal(tn_add(y, x).id, sum.id);
    assert_int_not_equal(tn_sub(x, y).id, sum.id);
    /* Attributes count, absent ones read as 0. */
    tn_val up = tn_cumulate("sum", x, 0, false, false);
    tn_attr_arg same[] = {{.name = "reverse", .i = 0}, {.name = "axis", .i = 0}, {.name = "kind", .text = "sum"}, {0}};
    assert_int_equal(tn_apply(TN_HERE, g, TN_OP_cumulate, &x, 1, same).id, up.id);
    assert_int_not_equal(tn_cumulate("sum", x, 0, true, false).id, up.id);
    assert_int_not_equal(tn_leaky_relu(x, 0.25).id, tn_leaky_relu(x, 0.5).id);
    assert_int_equal(tn_leaky_relu(x, 0.25).id, tn_leaky_relu(x, 0.25).id);
    assert_null(tn_graph_error(g));
    tn_graph_free(g);
}

/* Thousands of nodes, so that the table grows; each found again. */
static void test_many_nodes(void **state) {
    (void)state;
    enum { N = 5000 };
    tn_graph *g = tn_graph_new("g");
    tn_val x = tn_input(g, "x", TN_F32, TN_SCALAR), v = x;
    uint32_t first[N];
    for (int i = 0; i < N; i++) first[i] = (v = tn_sin(v)).id;
    size_t n = g->n_nodes;
    v = x;
    for (int i = 0; i < N; i++) assert_int_equal((v = tn_sin(v)).id, first[i]);
    assert_int_equal(g->n_nodes, n);
    for (size_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_operands; k++) assert_true(g->values[g->nodes[i].operands[k]].node < i);
    tn_graph_free(g);
}

static void test_barriers_and_effects_are_not_interned(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    tn_val x = tn_input(g, "x", TN_F32, TEN);
    assert_int_not_equal(tn_apply(TN_HERE, g, TN_OP_barrier, &x, 1, NULL).id,
                         tn_apply(TN_HERE, g, TN_OP_barrier, &x, 1, NULL).id);
    tn_val operands[] = {tn_apply(TN_HERE, g, TN_OP_token, NULL, 0, NULL), x};
    tn_attr_arg message[] = {{.name = "message", .text = "here"}, {0}};
    assert_false(g->has_effects);
    assert_int_not_equal(tn_apply(TN_HERE, g, TN_OP_print, operands, 2, message).id,
                         tn_apply(TN_HERE, g, TN_OP_print, operands, 2, message).id);
    assert_true(g->has_effects);
    assert_null(tn_graph_error(g));
    tn_graph_free(g);
}

static void test_constants_are_interned_by_bits(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    const float data[] = {1, 2, 0, -0.0f};
    const float same[] = {1, 2, 0, -0.0f};
    tn_val a = tn_constant(g, TN_F32, TN_SHAPE(TN_SIZE(4)), data);
    assert_int_equal(tn_constant(g, TN_F32, TN_SHAPE(TN_SIZE(4)), same).id, a.id);
    assert_int_not_equal(tn_constant(g, TN_F32, TN_SHAPE(TN_SIZE(2), TN_SIZE(2)), same).id, a.id);
    assert_int_not_equal(tn_constant(g, TN_I32, TN_SHAPE(TN_SIZE(4)), same).id, a.id);
    assert_int_not_equal(tn_scalar(g, TN_F32, 0).id, tn_scalar(g, TN_F32, -0.0).id);
    /* A weight's memory is the caller's, a constant's is not. */
    tn_val w = tn_weight(g, "w", TN_F32, TN_SHAPE(TN_SIZE(1), TN_SIZE(4)), data);
    assert_ptr_equal(g->params[0].initial->data, data);
    assert_int_equal(g->params[0].value, w.id);
    assert_ptr_not_equal(attr_find(&graph_node_of(g, a.id)->attrs, ATTR_value)->data->data, data);
    /* No elements, no data. */
    assert_true(tn_is_valid(tn_constant(g, TN_F64, TN_SHAPE(TN_SIZE(0), TN_SIZE(3)), NULL)));
    tn_graph_free(g);
}

/* Only their first bytes are hashed. */
static void test_large_constants_that_begin_alike(void **state) {
    enum { N = 5000 };
    static float one[N], two[N];
    (void)state;
    tn_graph *g = tn_graph_new("g");
    one[N - 1] = 1;
    tn_val a = tn_constant(g, TN_F32, TN_SHAPE(TN_SIZE(N)), one), b = tn_constant(g, TN_F32, TN_SHAPE(TN_SIZE(N)), two);
    assert_int_not_equal(a.id, b.id);
    two[N - 1] = 1;
    tn_val c = tn_constant(g, TN_F32, TN_SHAPE(TN_SIZE(N)), two);
    assert_int_equal(a.id, c.id);
    tn_graph_free(g);
}

/* ---- Locations ----------------------------------------------------------------------------------- */

static void test_locations(void **state) {
    (void)state;
    tn_module *m = module_new("m");
    location_id a = location_intern(m, "a.c", 1), b = location_intern(m, "a.c", 2);
    assert_int_equal(location_intern(m, "a.c", 1), a);
    assert_int_not_equal(a, b);
    location_id both = location_union(m, a, b);
    assert_int_equal(location_union(m, both, a), both);
    assert_int_equal(location_union(m, both, both), both);
    assert_int_equal(location_union(m, LOCATION_NONE, b), b);
    assert_int_equal(location_union(m, b, LOCATION_NONE), b);
    tn_location items[2];
    assert_int_equal(location_items(m, both, 2, items), 2);
    assert_string_equal(items[0].file, "a.c");
    assert_int_equal(items[1].line, 2);
    assert_int_equal(location_items(m, LOCATION_NONE, 2, items), 0);
    assert_int_equal(location_items(m, 12345, 2, items), 0);
    /* A set stays small, however many go into it. */
    location_id many = a;
    for (int i = 0; i < 1000; i++) many = location_union(m, many, location_intern(m, "b.c", i));
    assert_int_equal(location_items(m, many, 0, NULL), LOCATION_MAX);
    tn_module_free(m);
}

/* A node that is built at two places keeps both; an origin takes the place of the call's. */
static void test_locations_of_nodes(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    tn_val x = tn_input(g, "x", TN_F32, TEN);
    tn_val first = tn_exp(x);
    tn_val second = tn_exp(x);
    assert_int_equal(first.id, second.id);
    tn_location items[4];
    assert_int_equal(location_items(g->module, graph_node_of(g, first.id)->locations, 4, items), 2);
    assert_int_equal(items[1].line, items[0].line + 1);
    location_id origin = location_intern(g->module, "model.onnx", 7);
    assert_int_equal(graph_set_origin(g, origin), LOCATION_NONE);
    tn_val derived = tn_log(x);
    assert_int_equal(graph_set_origin(g, LOCATION_NONE), origin);
    assert_int_equal(graph_node_of(g, derived.id)->locations, origin);
    tn_graph_free(g);
}

/* ---- Symbols and constraints ---------------------------------------------------------------------- */

static void test_constraints(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(4)));
    tn_val y = tn_input(g, "y", TN_F32, TN_SHAPE(TN_DIM("m"), TN_SIZE(4)));
    tn_val z = tn_input(g, "z", TN_F32, TN_SHAPE(TN_SIZE(6), TN_SIZE(4)));
    assert_int_equal(g->n_symbols, 2);
    tn_dim n = tn_dim_of(x, 0), m = tn_dim_of(y, 0);
    /* n = m is asked for once, and named for the op that asked. */
    tn_add(x, y);
    tn_mul(x, y);
    assert_int_equal(g->n_constraints, 1);
    assert_int_equal(g->constraints[0].relation, RELATION_EQ);
    assert_int_equal(g->constraints[0].a, n);
    assert_int_equal(g->constraints[0].b, m);
    assert_int_equal(g->constraints[0].op, TN_OP_add);
    /* n = 6: the number is what the result goes on with. */
    tn_val sum = tn_add(x, z);
    assert_int_equal(g->n_constraints, 2);
    assert_true(dim_is_value(g->module->dims, tn_dim_of(sum, 0), 6));
    /* 4 divides n, which bounds may prove. */
    tn_reshape(x, TN_SHAPE(TN_SIZE(16), TN_SIZE(-1)));
    assert_int_equal(g->constraints[2].relation, RELATION_DIVIDES);
    assert_null(tn_graph_error(g));
    /* What bounds prove is no constraint, what they exclude is an error. */
    size_t before = g->n_constraints;
    tn_bound(g, "m", 8, 64, 1);
    tn_slice(y, 0, 0, 8, 1);
    assert_int_equal(g->n_constraints, before);
    tn_slice(y, 0, 0, 65, 1);
    assert_string_equal(tn_graph_error(g)->message, "slice: [0, 65) is not within axis 0: y is f32[m, 4]");
    tn_graph_free(g);
}

/* ---- Calls --------------------------------------------------------------------------------------- */

/* A function that is called stops growing, so that calls form no cycle. */
static void test_calls_form_no_cycle(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g"), *f = tn_graph_sub(g, "f");
    tn_val x = tn_input(g, "x", TN_F32, TEN);
    tn_output(f, "r", tn_exp(tn_input(f, "t", TN_F32, TEN)));
    tn_output(g, "y", tn_call(g, f, &x, 1));
    assert_null(tn_graph_error(g));
    assert_true(f->is_called);
    assert_int_equal(g->depth, 1);
    tn_val t = {f, 0};
    assert_false(tn_is_valid(tn_call(f, g, &t, 1)));
    assert_string_equal(tn_graph_error(g)->message, "call: @f is called already and cannot grow");
    tn_graph_free(g);
}

static void test_depth_of_calls_is_limited(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g"), *callee = NULL;
    for (int i = 0; i < GRAPH_MAX_DEPTH + 5; i++) {
        tn_graph *f = tn_graph_sub(g, "f");
        tn_val t = tn_input(f, "t", TN_F32, TEN);
        tn_output(f, "r", callee ? tn_call(f, callee, &t, 1) : tn_exp(t));
        callee = f;
    }
    assert_int_equal(tn_graph_error(g)->status, TN_ERR_LIMIT);
    assert_string_equal(tn_graph_error(g)->message, "call: calls nest deeper than 200");
    tn_graph_free(g);
}

/* A callee's constraints and bounds become the caller's, in the caller's symbols. */
static void test_constraints_of_callees(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g"), *f = tn_graph_sub(g, "f");
    tn_val a = tn_input(f, "a", TN_F32, TN_SHAPE(TN_DIM("n"))), b = tn_input(f, "b", TN_F32, TN_SHAPE(TN_DIM("m")));
    tn_output(f, "r", tn_add(a, b));
    tn_bound(f, "n", 2, 100, 4);
    tn_val x[] = {tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("m"))), tn_input(g, "y", TN_F32, TN_SHAPE(TN_DIM("k")))};
    tn_val sum = tn_call(g, f, x, 2);
    assert_null(tn_graph_error(g));
    assert_int_equal(tn_dim_of(sum, 0), tn_dim_of(x[0], 0));
    static const relation wanted[] = {RELATION_LE, RELATION_LE, RELATION_DIVIDES, RELATION_EQ};
    assert_int_equal(g->n_constraints, 4);
    for (int i = 0; i < 4; i++) assert_int_equal(g->constraints[i].relation, wanted[i]);
    assert_int_equal(g->constraints[3].op, TN_OP_add);
    assert_int_equal(g->constraints[3].b, tn_dim_of(x[1], 0));
    /* Known sizes that break them are an error at the call. */
    tn_val wrong[] = {tn_input(g, "u", TN_F32, TN_SHAPE(TN_SIZE(8))), tn_input(g, "v", TN_F32, TN_SHAPE(TN_SIZE(12)))};
    tn_call(g, f, wrong, 2);
    assert_string_equal(tn_graph_error(g)->message, "call: a constraint of @f, from add, does not hold here");
    tn_graph_free(g);
}

/* Calls of functions that print are kept apart, as the prints themselves would be. */
static void test_calls_with_effects(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g"), *quiet = tn_graph_sub(g, "quiet"), *loud = tn_graph_sub(g, "loud");
    tn_val x = tn_input(g, "x", TN_F32, TN_SCALAR);
    tn_output(quiet, "r", tn_exp(tn_input(quiet, "t", TN_F32, TN_SCALAR)));
    tn_val t = tn_input(loud, "t", TN_F32, TN_SCALAR);
    tn_val operands[] = {tn_apply(TN_HERE, loud, TN_OP_token, NULL, 0, NULL), t};
    tn_apply(TN_HERE, loud, TN_OP_print, operands, 2, (tn_attr_arg[]){{.name = "message", .text = "t"}, {0}});
    tn_output(loud, "r", t);
    assert_int_equal(tn_call(g, quiet, &x, 1).id, tn_call(g, quiet, &x, 1).id);
    assert_int_not_equal(tn_call(g, loud, &x, 1).id, tn_call(g, loud, &x, 1).id);
    assert_true(g->has_effects);
    tn_graph_free(g);
}

/* ---- Copies -------------------------------------------------------------------------------------- */

static void test_copy_and_uses(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("g");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(4)));
    tn_val many[20];
    for (int i = 0; i < 20; i++) many[i] = i == 0 ? x : tn_add_scalar(x, i);
    tn_val all = tn_name(tn_concat(many, 20, 0), "all"), top = tn_top_k(all, 1, dim_const(g->module->dims, 2), true);
    tn_output(g, "values", top);
    tn_output(g, "indices", tn_result(top, 1));
    assert_null(tn_graph_error(g));
    assert_int_equal(operands_of(all), 20);

    uint32_t *uses = graph_count_uses(g);
    assert_int_equal(uses[x.id], 20);
    assert_int_equal(uses[all.id], 1);
    assert_int_equal(uses[top.id + 1], 1);
    tn_free(uses);

    tn_graph *copy = module_add_graph(g->module, "main");
    assert_string_equal(copy->name, "main.1");
    value_id *map = tn_malloc(g->n_values * sizeof *map);
    for (size_t i = 0; i < g->n_nodes; i++) assert_true(graph_copy_node(copy, g, &g->nodes[i], map));
    assert_int_equal(copy->n_nodes, g->n_nodes);
    assert_string_equal(copy->values[map[all.id]].name, "all");
    assert_true(type_equal(graph_type(copy, map[top.id + 1]), graph_type(g, top.id + 1)));
    assert_int_equal(copy->n_symbols, 1);
    tn_free(map);
    tn_graph_free(g);
}

/* ---- Types --------------------------------------------------------------------------------------- */

static void test_types(void **state) {
    (void)state;
    tn_module *m = module_new("m");
    dim_table *t = m->dims;
    char text[64];
    size_t bytes;
    tn_dim dims[] = {dim_symbol(t, "n"), dim_const(t, 784)};
    tn_type type = type_make(TN_BF16, 2, dims), scalar = type_scalar(TN_BOOL), token = type_scalar(TN_TOKEN);
    assert_int_equal(type_print(t, &type, text, sizeof text), 12);
    assert_string_equal(text, "bf16[n, 784]");
    assert_int_equal(type_print(t, &type, text, 6), 12);
    assert_string_equal(text, "bf16[");
    type_print(t, &scalar, text, sizeof text);
    assert_string_equal(text, "bool[]");
    type_print(t, &token, text, sizeof text);
    assert_string_equal(text, "token");
    assert_false(type_is_static(t, &type));
    assert_false(type_static_bytes(t, &type, &bytes));
    type.dims[0] = dim_const(t, 3);
    assert_true(type_static_bytes(t, &type, &bytes));
    assert_int_equal(bytes, 3 * 784 * 2);
    type.dims[0] = dim_const(t, INT64_MAX / 4);
    assert_false(type_static_bytes(t, &type, &bytes));
    assert_int_equal(type_element_count(t, &type), DIM_INVALID);
    dim_table_clear_status(t);
    type.dims[1] = dim_const(t, 0);
    assert_true(type_static_bytes(t, &type, &bytes));
    assert_int_equal(bytes, 0);
    tn_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pure_nodes_are_interned),
        cmocka_unit_test(test_many_nodes),
        cmocka_unit_test(test_barriers_and_effects_are_not_interned),
        cmocka_unit_test(test_constants_are_interned_by_bits),
        cmocka_unit_test(test_large_constants_that_begin_alike),
        cmocka_unit_test(test_locations),
        cmocka_unit_test(test_locations_of_nodes),
        cmocka_unit_test(test_constraints),
        cmocka_unit_test(test_calls_form_no_cycle),
        cmocka_unit_test(test_depth_of_calls_is_limited),
        cmocka_unit_test(test_constraints_of_callees),
        cmocka_unit_test(test_calls_with_effects),
        cmocka_unit_test(test_copy_and_uses),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
