/* Graphs of many nodes: neither time nor stack grows out of proportion.
 *
 * in:  chains of 100,000 nodes, on a thread with a stack of 1 MiB, up to loop trees; a model of 5,000
 *      nodes compiled to machine code
 * out: all within LIMIT_SECONDS each, which is some ten times what they take
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "tenon_compile.h"

enum { LONG_CHAIN = 100000, MODEL = 5000, LIMIT_SECONDS = 90 };

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- Kinds of chains ------------------------------------------------------------------------------------ */

typedef tn_val grow_fn(int i, tn_val last, tn_val x, tn_val w);

static tn_val elementwise(int i, tn_val last, tn_val x, tn_val w) {
    (void)w;
    return i % 2 ? tn_add(last, x) : tn_tanh(last);
}

static tn_val views(int i, tn_val last, tn_val x, tn_val w) {
    (void)x, (void)w;
    return i % 2 ? tn_reverse(last, TN_INTS(0)) : tn_transpose(last, TN_INTS(1, 0));
}

static tn_val reductions(int i, tn_val last, tn_val x, tn_val w) {
    (void)w;
    return i % 2 ? tn_softmax(last, -1) : tn_add(tn_transpose(last, TN_NO_INTS), x);
}

static tn_val products(int i, tn_val last, tn_val x, tn_val w) {
    (void)x;
    return i % 2 ? tn_matmul(last, w) : tn_relu(last);
}

static tn_val barriers(int i, tn_val last, tn_val x, tn_val w) {
    (void)x, (void)w;
    return i % 4 ? tn_neg(last) : tn_apply(TN_HERE, NULL, TN_OP_barrier, &last, 1, NULL);
}

static tn_val a_bit_of_all(int i, tn_val last, tn_val x, tn_val w) {
    switch (i % 10) {
    case 0: return tn_matmul(last, w);
    case 3: return tn_softmax(last, -1);
    case 5: return tn_add(last, x);
    case 7: return tn_transpose(last, TN_NO_INTS);
    default: return i % 2 ? tn_add_scalar(last, 0.1 * (i % 7)) : tn_tanh(last);
    }
}

/* With `on_weights` the chain can be computed before any run. */
static tn_graph *build(grow_fn *grow, int n, bool on_weights) {
    tn_graph *g = tn_graph_new("big");
    tn_shape shape = TN_SHAPE(TN_SIZE(8), TN_SIZE(8));
    tn_val x = on_weights ? tn_weight(g, "x", TN_F32, shape, NULL) : tn_input(g, "x", TN_F32, shape);
    tn_val w = on_weights ? x : tn_input(g, "w", TN_F32, shape), last = x;
    for (int i = 0; i < n; i++) last = grow(i, last, x, w);
    tn_output(g, "y", on_weights ? tn_add(last, tn_input(g, "z", TN_F32, shape)) : last);
    return g;
}

/* ---- Chains up to loop trees ----------------------------------------------------------------------------- */

typedef struct lowering {
    tn_graph *g;
    bool no_fusion;
    tn_diag diag;
} lowering;

static void *lower(void *arg) {
    lowering *l = arg;
    char *text = tn_compile_text(tn_graph_module(l->g), &(tn_compile_options){.no_fusion = l->no_fusion}, "loops", NULL,
                                 &l->diag);
    tn_text_free(text);
    return NULL;
}

static void check_chain(grow_fn *grow, bool on_weights, bool no_fusion) {
    lowering l = {.g = build(grow, LONG_CHAIN, on_weights), .no_fusion = no_fusion};
    pthread_attr_t small;
    pthread_t thread;
    double start = seconds();
    assert_null(tn_graph_error(l.g));
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 20);
    assert_int_equal(pthread_create(&thread, &small, lower, &l), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&small);
    tn_graph_free(l.g);
    if (l.diag.status != TN_OK) fail_msg("%s", l.diag.message);
    if (seconds() - start > LIMIT_SECONDS) fail_msg("it took %g s", seconds() - start);
}

static void test_chain_of_elementwise_ops(void **state) {
    (void)state;
    check_chain(elementwise, false, false);
    check_chain(elementwise, false, true);
}

static void test_chain_of_views(void **state) {
    (void)state;
    check_chain(views, false, false);
}

static void test_chain_of_reductions(void **state) {
    (void)state;
    check_chain(reductions, false, false);
}

static void test_chain_of_products(void **state) {
    (void)state;
    check_chain(products, false, false);
}

static void test_chain_of_barriers(void **state) {
    (void)state;
    check_chain(barriers, false, false);
}

static void test_chains_on_weights(void **state) {
    (void)state;
    check_chain(elementwise, true, false);
    check_chain(views, true, false);
}

/* ---- A model to machine code ------------------------------------------------------------------------------- */

static void test_model_of_5000_nodes(void **state) {
    (void)state;
    tn_graph *g = build(a_bit_of_all, MODEL, false);
    double start = seconds();
    tn_program *p = tn_compile(g, NULL);
    if (!p) fail_msg("%s", tn_graph_error(g)->message);
    if (seconds() - start > LIMIT_SECONDS) fail_msg("it took %g s", seconds() - start);
    float x[64], w[64], y[64];
    for (int i = 0; i < 64; i++) {
        x[i] = (float)i / 64;
        w[i] = (float)(i % 9 - 4) / 8;
    }
    tn_tensor in[] = {TN_TENSOR(TN_F32, x, 8, 8), TN_TENSOR(TN_F32, w, 8, 8)}, out = TN_TENSOR(TN_F32, y, 8, 8);
    assert_int_equal(tn_run(p, in, &out), TN_OK);
    tn_program_free(p);
    tn_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_of_elementwise_ops), cmocka_unit_test(test_chain_of_views),
        cmocka_unit_test(test_chain_of_reductions),      cmocka_unit_test(test_chain_of_products),
        cmocka_unit_test(test_chain_of_barriers),        cmocka_unit_test(test_chains_on_weights),
        cmocka_unit_test(test_model_of_5000_nodes),
    };
    return cmocka_run_group_tests_name("big_graphs", tests, NULL, NULL);
}
