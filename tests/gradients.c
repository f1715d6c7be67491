/* Generated tests of gradients: every op of the table in f64, on random legal inputs, against central differences.
 *
 * in:  SEEDS applications of an op (TN_LONG=1: LONG_SEEDS), of odd numbers with symbols, among them broadcasts and
 *      axes of no and of one element
 * out: its vjp has the parameters' types, passes the verifier and is what differences say (tests/lib/gradient_check.h);
 *      an op without a gradient says why
 *
 * A failure tells the seed; TN_OP=op TN_SEED=seed build/tests/gradients runs that alone and prints its module.
 */
#include "tests/lib/gradient_check.h"

#include "ir/dtype.h"
#include "ir/graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SEEDS = 24, LONG_SEEDS = 400 };

/* Whether the op maps f64 to f64 here, so that it can be compared. */
static bool maps_floats(const tn_graph *g) {
    bool in = false, out = false;
    for (size_t i = 0; i < g->n_params; i++) in |= g->params[i].type.dtype == TN_F64;
    for (size_t i = 0; i < g->n_results; i++) {
        tn_dtype dtype = (tn_dtype)graph_type(g, g->results[i].value)->dtype;
        if (dtype_is_float(dtype) && dtype != TN_F64) return false;
        out |= dtype == TN_F64;
    }
    return in && out;
}

/* An op that has none is an error as soon as one would go through it. */
static void check_refusal(const tn_graph *g, tn_op op) {
    int64_t numbers[64];
    const node *n = graph_node_of(g, g->results[0].value);
    const tn_type *type = graph_type(g, g->results[0].value);
    bool goes_through = n->op == op && n->n_operands > 0;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        const tn_type *from = graph_type(g, n->operands[k]);
        for (int i = 0; i < from->rank; i++) goes_through &= !dim_is_value(g->module->dims, from->dims[i], 0);
    }
    for (int i = 0; i < type->rank; i++) goes_through &= !dim_is_value(g->module->dims, type->dims[i], 0);
    tn_graph *vjp = tn_vjp((tn_graph *)g, gradient_wrt(g, numbers));
    if (goes_through && (vjp || !strstr(g->module->error.message, op_table[op].no_grad)))
        fail_msg("%s has no gradient, but the message is: %s", op_name(op), g->module->error.message);
    if (!goes_through && !vjp) fail_msg("%s: %s", op_name(op), g->module->error.message);
}

static void print_module(const tn_graph *g) {
    char *text = tn_module_print(g->module, NULL);
    fprintf(stderr, "%s\n", text ? text : "");
    tn_text_free(text);
}

/* Number of compared elements. */
static int check_sample(tn_op op, uint64_t seed) {
    char message[GRADIENT_MESSAGE] = "";
    sampler s = {.state = seed * 1000003 + (uint64_t)op * 101, .dtype = TN_F64, .symbolic = seed % 2, .ordinary = true};
    tn_graph *g = tn_graph_new("gradients");
    gradient_check k = {.f = g, .s = &s};
    if (!sample_op(&s, g, op)) fail_msg("%s: no sample: %s", op_name(op), g->module->error.message);
    if (getenv("TN_SEED")) print_module(g);
    if (maps_floats(g) && op_table[op].no_grad) {
        check_refusal(g, op);
    } else if (maps_floats(g) && op != TN_OP_stop_gradient && !gradient_check_run(&k, message)) {
        if (getenv("TN_SEED")) print_module(g);
        fail_msg("%s, seed %llu: %s", op_name(op), (unsigned long long)seed, message);
    }
    tn_graph_free(g);
    return k.n_compared;
}

static void check_op_gradient(void **state) {
    tn_op op = (tn_op)(size_t)*state;
    const char *seed = getenv("TN_SEED");
    if (!sample_supports(op, TN_F64)) return; /* of other dtypes only: no gradient goes through it */
    if (seed) {
        check_sample(op, strtoull(seed, NULL, 10));
        return;
    }
    int compared = 0;
    for (uint64_t i = 0; i < (getenv("TN_LONG") ? LONG_SEEDS : SEEDS); i++) compared += check_sample(op, i);
    /* An op with a rule whose samples are in floats is compared, or the test is worth nothing. */
    if (!op_table[op].no_grad && compared == 0 && op != TN_OP_stop_gradient)
        fail_msg("%s: nothing was compared", op_name(op));
}

int main(void) {
    static struct CMUnitTest tests[TN_OP_COUNT];
    const char *only = getenv("TN_OP");
    size_t n = 0;
    for (size_t op = 0; op < TN_OP_COUNT; op++) {
        if (only && strcmp(only, op_name((tn_op)op)) != 0) continue;
        tests[n++] = (struct CMUnitTest){op_name((tn_op)op), check_op_gradient, NULL, NULL, (void *)op};
    }
    return _cmocka_run_group_tests("gradients", tests, n, NULL, NULL);
}
