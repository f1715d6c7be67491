/* The verifier: sound modules pass, and each rule catches what breaks it. */
#include "ir/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const char text[] =
    "module \"m\"\n"
    "fn @main(%x: f32[n, 4], %y: f32[m, 4], %s: f32[] state) -> (%r: f32[n, 4], %next: f32[] updates %s) {\n"
    "  %0 = add %x, %y : f32[n, 4]  # model.c:3\n"
    "  %1 = softmax %0, axis=1 : f32[n, 4]  # model.c:4\n"
    "  %2 = reduce %1, axes=[0, 1], kind=sum : f32[]  # model.c:5\n"
    "  %3 = call %1, callee=@f, symbols=[n] : f32[n, 4]  # model.c:6\n"
    "  %4 = constant value=f32[2] {1, 2} : f32[2]  # model.c:7\n"
    "  %5 = reshape %3, shape=[2, 2*n] : f32[2, 2*n]  # model.c:8\n"
    "  %6 = token : token  # model.c:9\n"
    "  %7 = print %6, %4, message=\"a\" : token  # model.c:10\n"
    "  return %3, %2\n"
    "}\n"
    "fn @f(%x: f32[k, 4]) -> (%y: f32[k, 4]) {\n"
    "  %0 = neg %x : f32[k, 4]  # model.c:20\n"
    "  %1 = abs %x : f32[k, 4]  # model.c:21\n"
    "  return %0\n"
    "}\n";

static tn_module *parse(void) {
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    assert_non_null(m);
    if (tn_module_error(m)) fail_msg("%s", tn_module_error(m)->message);
    return m;
}

static node *find(tn_graph *g, tn_op op) {
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == op) return &g->nodes[i];
    fail_msg("no node %s", op_name(op));
    return NULL;
}

static value *result_of(tn_graph *g, tn_op op) { return &g->values[find(g, op)->first_result]; }

/* Arrays of a node are constant for everyone but this test. */
static attr *attr_of(node *n, attr_name name) { return (attr *)attr_find(&n->attrs, name); }
static value_id *operands_of(node *n) { return (value_id *)n->operands; }

/* ---- Ways to break a module ------------------------------------------------------------------------ */

typedef void damage(tn_module *m, tn_graph *g);

static void wrong_type(tn_module *m, tn_graph *g) { result_of(g, TN_OP_add)->type.dims[1] = dim_const(m->dims, 5); }
static void wrong_dtype(tn_module *m, tn_graph *g) { (void)m, result_of(g, TN_OP_reduce)->type.dtype = TN_F64; }
static void no_type(tn_module *m, tn_graph *g) { (void)m, result_of(g, TN_OP_add)->type.rank = 9; }
static void no_dim(tn_module *m, tn_graph *g) { (void)m, result_of(g, TN_OP_add)->type.dims[0] = 4000000; }
static void strange_symbol(tn_module *m, tn_graph *g) {
    result_of(g, TN_OP_add)->type.dims[0] = dim_symbol(m->dims, "q");
}
static void later_operand(tn_module *m, tn_graph *g) {
    (void)m, operands_of(find(g, TN_OP_add))[1] = find(g, TN_OP_reduce)->first_result;
}
static void missing_operand(tn_module *m, tn_graph *g) { (void)m, find(g, TN_OP_add)->n_operands = 1; }
static void wrong_operand(tn_module *m, tn_graph *g) {
    (void)m, operands_of(find(g, TN_OP_softmax))[0] = g->params[2].value;
}
static void lost_node(tn_module *m, tn_graph *g) { (void)m, result_of(g, TN_OP_add)->node = 0; }
static void wrong_number(tn_module *m, tn_graph *g) { (void)m, find(g, TN_OP_softmax)->first_result++; }
static void values_left(tn_module *m, tn_graph *g) { (void)m, g->n_nodes--; }
static void strange_op(tn_module *m, tn_graph *g) { (void)m, find(g, TN_OP_add)->op = 9999; }
static void wrong_axis(tn_module *m, tn_graph *g) { (void)m, attr_of(find(g, TN_OP_softmax), ATTR_axis)->i = 7; }
static void strange_attr(tn_module *m, tn_graph *g) {
    (void)m, attr_of(find(g, TN_OP_softmax), ATTR_axis)->name = ATTR_groups;
}
static void lost_attr(tn_module *m, tn_graph *g) { (void)m, find(g, TN_OP_softmax)->attrs.n = 0; }
static void strange_option(tn_module *m, tn_graph *g) { (void)m, attr_of(find(g, TN_OP_reduce), ATTR_kind)->i = 99; }
static void short_data(tn_module *m, tn_graph *g) {
    (void)m, ((tensor_data *)attr_of(find(g, TN_OP_constant), ATTR_value)->data)->bytes = 4;
}
static void twice(tn_module *m, tn_graph *g) { (void)g, find(m->graphs[1], TN_OP_abs)->op = TN_OP_neg; }
static void itself(tn_module *m, tn_graph *g) { (void)m, attr_of(find(g, TN_OP_call), ATTR_callee)->func = g; }
static void nowhere(tn_module *m, tn_graph *g) { (void)m, attr_of(find(g, TN_OP_call), ATTR_callee)->func = NULL; }
static void same_names(tn_module *m, tn_graph *g) { (void)g, m->graphs[1]->name = "main"; }
static void no_constraint(tn_module *m, tn_graph *g) { (void)m, g->n_constraints = 0; }
static void wrong_bounds(tn_module *m, tn_graph *g) { (void)m, g->symbols[0].high = -1; }
static void no_symbol(tn_module *m, tn_graph *g) { (void)m, g->n_symbols = 0; }
static void no_result(tn_module *m, tn_graph *g) { (void)m, g->results[0].value = 1000; }
static void state_type(tn_module *m, tn_graph *g) { (void)m, g->results[1].state_param = 0; }
static void no_state(tn_module *m, tn_graph *g) { (void)m, g->results[1].state_param = 17; }
static void one_name(tn_module *m, tn_graph *g) { (void)m, g->results[1].name = g->results[0].name; }
static void lost_param(tn_module *m, tn_graph *g) { (void)m, g->n_params--; }
static void param_type(tn_module *m, tn_graph *g) { (void)m, g->params[2].type.dtype = TN_I32; }
static void no_effects(tn_module *m, tn_graph *g) { (void)m, g->has_effects = false; }
static void token_twice(tn_module *m, tn_graph *g) {
    value_id token = find(g, TN_OP_token)->first_result, results[1];
    const attr message = {.name = ATTR_message, .text = "b"};
    (void)m;
    assert_true(graph_apply(g, LOCATION_NONE, TN_OP_print, (value_id[]){token, g->params[2].value}, 2, &message, 1,
                            results, 1, NULL));
}

static const struct {
    damage *apply;
    const char *message;
    int line;
} cases[] = {
    {wrong_type, "@main, node 3 (add): types: result 0 is f32[n, 5], but the rule says f32[n, 4]", 3},
    {wrong_dtype, "@main, node 5 (reduce): types: result 0 is f64[], but the rule says f32[]", 5},
    {no_type, "@main, node 3 (add): types: a result has no valid type", 3},
    {no_dim, "@main, node 3 (add): symbols: a result is no dim of the module", 3},
    {strange_symbol, "@main, node 3 (add): symbols: a result is q, with a symbol that no parameter has", 3},
    {later_operand, "@main, node 3 (add): order: operand 1 is defined here or later", 3},
    {missing_operand, "@main, node 3 (add): operands: there are 1", 3},
    {wrong_operand, "@main, node 4 (softmax): rule: softmax: axis 1 is not within [0, 0)", 4},
    {lost_node, "@main, node 3 (add): values: result 0 does not know its node", 3},
    {wrong_number, "@main, node 4 (softmax): values: its results are numbered from 5, not 4", 4},
    {values_left, "@main: values: 1 of them have no node", 0},
    {strange_op, "@main, node 3 (invalid): operands: no op has the number 9999", 3},
    {wrong_axis, "@main, node 4 (softmax): rule: softmax: axis 7 is not within [0, 2)", 4},
    {strange_attr, "@main, node 4 (softmax): attributes: it takes no groups", 4},
    {lost_attr, "@main, node 4 (softmax): attributes: axis is missing", 4},
    {strange_option, "@main, node 5 (reduce): attributes: kind has no such option", 5},
    {short_data, "@main, node 7 (constant): attributes: the constant has 4 bytes, which its type has not", 7},
    {twice, "@f, node 2 (neg): interning: an equal node stands before it", 21},
    {itself, "@main, node 6 (call): calls: @main calls itself, here or further down", 6},
    {nowhere, "@main, node 6 (call): calls: callee is no function of the module", 6},
    {same_names, "module: two functions are called @main", 0},
    {no_constraint, "@main: constraints: n == m, which add needs, is neither proved nor recorded", 0},
    {wrong_bounds, "@main: symbols: no size satisfies the bounds of n", 0},
    {no_symbol, "@main: symbols: a constraint is n, with a symbol that no parameter has", 0},
    {no_result, "@main: results: result 0 is no value", 0},
    {state_type, "@main: results: output: a state keeps its type: x is f32[n, 4], the reduce is f32[]", 0},
    {no_state, "@main: results: result 1 updates no parameter", 0},
    {one_name, "@main: results: output: @main has an output r already", 0},
    {lost_param, "@main: parameters: 2 for 3 `param` nodes", 0},
    {param_type, "@main, node 2 (param): parameters: parameter and value have different types", 2},
    {no_effects, "@main: effects: has_effects is wrong", 0},
    {token_twice, "@main, node 9 (token): tokens: its token is used more than once", 9},
};

static void each_rule_catches(void **state) {
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        tn_module *m = parse();
        tn_diag diag;
        if (tn_module_verify(m, &diag) != TN_OK) fail_msg("%s", diag.message);
        cases[i].apply(m, module_main(m));
        tn_status status = tn_module_verify(m, &diag);
        if (status != TN_ERR_VERIFY || strcmp(diag.message, cases[i].message) != 0 || diag.line != cases[i].line) {
            print_message("# %s, line %d\n# %s, line %d expected\n", diag.message, diag.line, cases[i].message,
                          cases[i].line);
            wrong++;
        }
        assert_int_equal(tn_module_verify(m, NULL), status);
        tn_module_free(m);
    }
    assert_int_equal(wrong, 0);
}

static void errors_come_first(void **state) {
    (void)state;
    tn_diag diag;
    tn_module *m = tn_module_parse("module", 6, "m.tn");
    assert_int_equal(tn_module_verify(m, &diag), TN_ERR_PARSE);
    assert_string_equal(diag.message, tn_module_error(m)->message);
    tn_module_free(m);
    assert_int_equal(tn_module_verify(NULL, &diag), TN_ERR_VERIFY);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_rule_catches), cmocka_unit_test(errors_come_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
