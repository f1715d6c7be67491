/* Gradients of random graphs: compiled, interpreted, and by central differences.
 *
 * in:  GRAPHS continuous graphs of 5 to 40 nodes in f64 (TN_LONG=1: LONG_GRAPHS), every second with symbols
 * out: the vjp with respect to all parameters is what differences say (tests/lib/gradient_check.h); compiled, it is
 *      what the interpreter makes of it, within FACTOR of the magnitudes (tests/generated.c), and the same bits with
 *      two threads
 *
 * A failure tells the seed; TN_SEED=seed build/tests/gradients_random runs that graph alone and prints it.
 */
#include "tests/lib/gradient_check.h"
#include "tests/lib/trial.h"

#include "ir/graph.h"
#include "ir/samples_shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FACTOR 8.0

enum { GRAPHS = 500, LONG_GRAPHS = 5000 };

static tn_pool *pool;

static bool check_compiled(sampler *s, tn_graph *vjp, char *message) {
    tn_module *own = tn_function_module(vjp);
    trial t = {.g = tn_module_main(own), .s = s};
    tn_program *p = NULL;
    bool ok = own && trial_fill(&t, message) && trial_expect(&t, message) && (p = tn_compile_module(own, NULL));
    if (own && !p && tn_module_error(own))
        snprintf(message, TRIAL_MESSAGE, "compile: %.900s", tn_module_error(own)->message);
    tn_exec_options two = {.pool = pool};
    eval_tensor *got = ok ? trial_run(&t, p, NULL, message) : NULL,
                *again = got ? trial_run(&t, p, &two, message) : NULL;
    ok = got && again;
    for (size_t r = 0; ok && r < t.g->n_results; r++) {
        comparison c = trial_compare(&t, r, &got[r], FACTOR);
        ok = c.is_equal && trial_same_bits(&got[r], &again[r]);
        if (!ok)
            snprintf(message, TRIAL_MESSAGE, "%s: %s", t.g->results[r].name, c.is_equal ? "two threads" : c.message);
    }
    trial_free_results(&t, got);
    trial_free_results(&t, again);
    trial_close(&t);
    tn_program_free(p);
    tn_module_free(own);
    return ok;
}

/* Compared elements. */
static int check_graph(uint64_t seed, bool is_shown) {
    char message[TRIAL_MESSAGE] = "";
    int64_t numbers[64];
    sampler s = {.state = seed * 1000003 + 11, .dtype = TN_F64, .symbolic = seed % 2, .ordinary = true};
    tn_graph *g = tn_graph_new("random");
    if (!sample_graph(&s, g, (int)sampler_range(&s, 5, 40))) fail_msg("seed %llu: no graph", (unsigned long long)seed);
    if (is_shown) {
        char *text = tn_module_print(g->module, NULL);
        fprintf(stderr, "%s\n", text);
        tn_text_free(text);
    }
    gradient_check k = {.f = g, .s = &s};
    bool ok = gradient_check_run(&k, message);
    tn_graph *vjp = ok ? tn_vjp(g, gradient_wrt(g, numbers)) : NULL;
    if (!ok || !vjp || !check_compiled(&s, vjp, message)) fail_msg("seed %llu: %s", (unsigned long long)seed, message);
    tn_graph_free(g);
    return k.n_compared;
}

static void test_random_graphs(void **state) {
    (void)state;
    const char *only = getenv("TN_SEED");
    uint64_t n = getenv("TN_LONG") ? LONG_GRAPHS : GRAPHS, compared = 0;
    for (uint64_t seed = only ? strtoull(only, NULL, 10) : 0; seed < n; seed++) {
        compared += (uint64_t)check_graph(seed, only != NULL);
        if (only) return;
    }
    assert_true(compared > n * 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_graphs)};
    pool = tn_pool_new(2);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tn_pool_free(pool);
    return failed;
}
