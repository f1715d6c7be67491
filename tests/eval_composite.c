/* Composites through their decompositions, against expectations worked out by hand. */
#include "tests/lib/opcase.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_activations(void **state) {
    (void)state;
    check_op("relu", "f32[4] 0 0 2 nan", "f32[4] -1 0 2 nan");
    check_op("relu", "i8[2] 0 3", "i8[2] -3 3");
    check_op("leaky_relu", "~f32[2] -0.02 3", "f32[2] -2 3");
    check_op("leaky_relu alpha=0.5", "f32[2] -1 3", "f32[2] -2 3");
    check_op("elu", "~f32[2] -0.63212056 2", "f32[2] -1 2");
    check_op("gelu", "~f32[3] 0.84134475 0 -0.15865525", "f32[3] 1 0 -1");
    check_op("gelu approximate=1", "~f32[1] 0.84119199", "f32[1] 1");
    check_op("silu", "~f32[2] 0.73105858 0", "f32[2] 1 0");
    check_op("sigmoid", "~f32[2] 0.73105858 0.5", "f32[2] 1 0");
    check_op("hard_sigmoid", "~f32[3] 0 0.66666667 1", "f32[3] -4 1 4");
    check_op("hard_sigmoid alpha=0.2 beta=0.5", "~f32[1] 0.7", "f32[1] 1");
    check_op("hard_swish", "~f32[3] 0 0.66666667 4", "f32[3] -4 1 4");
    check_op("softplus", "~f32[3] 0.69314718 1000 0", "f32[3] 0 1000 -1000");
}

static void test_normalisation(void **state) {
    (void)state;
    check_op("softmax axis=1", "~f32[2,2] 0.5 0.5 0.26894142 0.73105858", "f32[2,2] 1000 1000 1 2");
    check_op("softmax axis=0", "~f32[2,1] 0.26894142 0.73105858", "f32[2,1] 1 2");
    check_op("log_softmax axis=0", "~f32[2] -1.3132617 -0.31326169", "f32[2] 1 2");
    check_op("mean axes=[1]", "f32[2] 2 5", "f32[2,3] 1 2 3 4 5 6");
    check_op("variance axes=[0]", "f32[1] 1.25", "f32[4,1] 1 2 3 4");
    check_op("layer_norm axis=1 epsilon=0", "~f32[1,2] -1 5", "f32[1,2] 1 3", "f32[2] 2 3", "f32[2] 1 2");
    check_op("rms_norm axis=0 epsilon=0", "~f32[2] 0.44721360 2.6832816", "f32[2] 1 2", "f32[2] 0.70710678 2.1213203");
    check_op("batch_norm epsilon=0", "f32[1,2,1] 7 2", "f32[1,2,1] 4 5", "f32[2] 2 1", "f32[2] 1 1", "f32[2] 1 3",
             "f32[2] 1 4");
}

static void test_contractions(void **state) {
    (void)state;
    check_op("matmul", "f32[2,2] 19 22 43 50", "f32[2,2] 1 2 3 4", "f32[2,2] 5 6 7 8");
    check_op("matmul", "f32[2] 5 11", "f32[2,2] 1 2 3 4", "f32[2] 1 2");
    check_op("matmul", "f32[] 11", "f32[2] 1 2", "f32[2] 3 4");
    check_op("matmul", "f32[2,1,1] 5 11", "f32[2,1,2] 1 2 3 4", "f32[2,1] 1 2");
    check_op("attention scale=1", "~f32[1,1] 1.7310586", "f32[1,1] 1", "f32[2,1] 0 1", "f32[2,1] 1 2");
    check_op("attention causal=1", "~f32[2,1] 1 1.5", "f32[2,1] 0 0", "f32[2,1] 0 1", "f32[2,1] 1 2");
    check_op("attention", "f32[1,1] 2", "f32[1,1] 1", "f32[2,1] 0 1", "f32[2,1] 1 2", "bool[1,2] 0 1");
}

static void test_pooling(void **state) {
    (void)state;
    check_op("max_pool window=[2]", "f32[1,1,2] 3 3", "f32[1,1,3] 1 3 2");
    check_op("avg_pool window=[2] stride=[2]", "f32[1,1,2] 2 3", "f32[1,1,4] 1 3 2 4");
    check_op("avg_pool window=[2] low=[1]", "f32[1,1,2] 2 3", "f32[1,1,2] 2 4");
    check_op("avg_pool window=[2] low=[1] count_padding=1", "f32[1,1,2] 1 3", "f32[1,1,2] 2 4");
    check_op("global_avg_pool", "f32[1,2,1,1] 2.5 6.5", "f32[1,2,2,2] 1 2 3 4 5 6 7 8");
}

static void test_magnitudes_go_through(void **state) {
    (void)state;
    check_magnitude("relu", "f64[2] 1 2", "f32[2] -1 2");
    check_magnitude("matmul", "f64[1,1] 14", "f32[1,2] 1 -2", "f32[2,1] 3 2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations),           cmocka_unit_test(test_normalisation),
        cmocka_unit_test(test_contractions),          cmocka_unit_test(test_pooling),
        cmocka_unit_test(test_magnitudes_go_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
