/* The interpreter's reductions, sorts and contractions against expectations worked out by hand. */
#include "tests/lib/opcase.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_reduce(void **state) {
    (void)state;
    const char *x = "f32[2,3] 1 2 3 4 5 6";
    check_op("reduce kind=sum axes=[1]", "f32[2] 6 15", x);
    check_op("reduce kind=sum axes=[0]", "f32[3] 5 7 9", x);
    check_op("reduce kind=sum axes=[0,1]", "f32[] 21", x);
    check_op("reduce kind=sum axes=[]", "f32[2,3] 1 2 3 4 5 6", x);
    check_op("reduce kind=prod axes=[1]", "f32[2] 6 120", x);
    check_op("reduce kind=max axes=[0]", "f32[2] nan 4", "f32[2,2] 1 4 nan 2");
    check_op("reduce kind=min axes=[0]", "f32[2] nan 2", "f32[2,2] nan 4 1 2");
    check_op("reduce kind=sum axes=[0]", "i8[] -56", "i8[2] 100 100");
    check_op("reduce kind=and axes=[0]", "bool[2] 0 1", "bool[2,2] 1 1 0 1");
    check_op("reduce kind=or axes=[0]", "u8[] 7", "u8[3] 1 2 4");
    check_op("reduce kind=max axes=[0]", "u64[] 0x8000000000000000", "u64[2] 1 0x8000000000000000");
    /* Kept in f64: the ones are not lost beside the large term. */
    check_op("reduce kind=sum axes=[0]", "f32[] 2", "f32[4] 0x1p30 1 1 -0x1p30");
    check_op("reduce kind=sum axes=[1]", "i32[2,2] 4 6 12 14", "i32[2,2,2] 1 2 3 4 5 6 7 8");
}

static void test_reduce_of_none(void **state) {
    (void)state;
    check_op("reduce kind=sum axes=[0]", "f32[2] 0 0", "f32[0,2]");
    check_op("reduce kind=prod axes=[0]", "i32[] 1", "i32[0]");
    check_op("reduce kind=max axes=[0]", "f32[] -inf", "f32[0]");
    check_op("reduce kind=min axes=[0]", "f16[] inf", "f16[0]");
    check_op("reduce kind=max axes=[0]", "i8[] -128", "i8[0]");
    check_op("reduce kind=min axes=[0]", "i64[] 9223372036854775807", "i64[0]");
    check_op("reduce kind=max axes=[0]", "u8[] 0", "u8[0]");
    check_op("reduce kind=min axes=[0]", "u64[] 0xffffffffffffffff", "u64[0]");
    check_op("reduce kind=max axes=[0]", "bool[] 0", "bool[0]");
    check_op("reduce kind=min axes=[0]", "bool[] 1", "bool[0]");
    check_op("reduce kind=and axes=[0]", "u16[] 0xffff", "u16[0]");
    check_op("reduce kind=and axes=[0]", "bool[] 1", "bool[0]");
    check_op("reduce kind=argmax axes=[0]", "i64[] 0", "f32[0]");
    check_op("reduce kind=sum axes=[0]", "f32[0]", "f32[3,0]");
}

static void test_arg(void **state) {
    (void)state;
    check_op("reduce kind=argmax axes=[1]", "i64[2] 1 0", "f32[2,3] 1 5 5 7 2 3");
    check_op("reduce kind=argmax axes=[1] select_last=1", "i64[2] 2 0", "f32[2,3] 1 5 5 7 2 3");
    check_op("reduce kind=argmin axes=[0]", "i64[3] 0 1 1", "f32[2,3] 1 5 5 7 2 3");
    check_op("reduce kind=argmax axes=[0]", "i64[] 1", "f32[4] 1 nan inf nan");
    check_op("reduce kind=argmin axes=[0]", "i64[] 1", "f32[4] 1 nan -inf nan");
    check_op("reduce kind=argmax axes=[0]", "i64[] 0", "f32[2] -0 0");
    check_op("reduce kind=argmax axes=[0]", "i64[] 1", "u64[2] 1 0x8000000000000000");
    check_op("reduce kind=argmin axes=[0]", "i64[] 1", "i8[2] 1 -128");
}

static void test_cumulate(void **state) {
    (void)state;
    check_op("cumulate kind=sum axis=0", "f32[3] 1 3 6", "f32[3] 1 2 3");
    check_op("cumulate kind=sum axis=0 exclusive=1", "f32[3] 0 1 3", "f32[3] 1 2 3");
    check_op("cumulate kind=sum axis=0 reverse=1", "f32[3] 6 5 3", "f32[3] 1 2 3");
    check_op("cumulate kind=sum axis=0 exclusive=1 reverse=1", "f32[3] 5 3 0", "f32[3] 1 2 3");
    check_op("cumulate kind=prod axis=1", "i8[2,3] 1 2 6 4 20 120", "i8[2,3] 1 2 3 4 5 6");
    check_op("cumulate kind=max axis=0", "f32[2,2] 1 4 3 4", "f32[2,2] 1 4 3 2");
    check_op("cumulate kind=min axis=0", "f32[3] 2 nan nan", "f32[3] 2 nan 1");
    check_op("cumulate kind=max axis=0 exclusive=1", "i8[2] -128 1", "i8[2] 1 2");
    check_op("cumulate kind=sum axis=1", "f32[2,0]", "f32[2,0]");
}

static void test_window(void **state) {
    (void)state;
    check_op("window kind=max window=[2]", "f32[3] 2 3 3", "f32[4] 1 2 3 0");
    check_op("window kind=sum window=[2] stride=[2]", "f32[2] 3 7", "f32[4] 1 2 3 4");
    check_op("window kind=sum window=[3] low=[1] high=[1]", "f32[3] 3 6 5", "f32[3] 1 2 3");
    check_op("window kind=max window=[2] low=[2]", "f32[3] -inf -1 -1", "f32[2] -1 -2");
    check_op("window kind=min window=[2] low=[2]", "i8[3] 127 -1 -2", "i8[2] -1 -2");
    check_op("window kind=sum window=[2] dilation=[2]", "f32[2] 4 6", "f32[4] 1 2 3 4");
    check_op("window kind=prod window=[2,2]", "f32[1,2] 40 180", "f32[2,3] 1 2 3 4 5 6");
    check_op("window kind=sum window=[2] low=[1] high=[1]", "f32[1] 0", "f32[0]");
    check_magnitude("window kind=sum window=[2]", "f64[2] 3 5", "f32[3] 1 -2 3");
}

static void test_sort(void **state) {
    (void)state;
    check_op("sort axis=0", "f32[5] -inf -1 0 2 nan", "f32[5] 2 nan -inf 0 -1");
    check_op("sort axis=0 descending=1", "f32[4] nan 3 2 1", "f32[4] 2 1 nan 3");
    check_op("sort axis=0", "i32[4] 1 1 2 2; i32[4] 1 3 0 2", "i32[4] 2 1 2 1", "i32[4] 0 1 2 3");
    check_op("sort axis=0 descending=1", "i32[4] 2 2 1 1; f64[4] 0 2 1 3", "i32[4] 2 1 2 1", "f64[4] 0 1 2 3");
    check_op("sort axis=0", "f32[2,2] 1 0 3 2", "f32[2,2] 3 0 1 2");
    check_op("sort axis=1", "u64[1,2] 1 0x8000000000000000", "u64[1,2] 0x8000000000000000 1");
    check_op("sort axis=0", "i8[2] -1 1", "i8[2] 1 -1");
    check_op("sort axis=0", "f32[0]", "f32[0]");
    check_op("sort axis=0", "i32[9] 0 1 2 3 4 5 6 7 8", "i32[9] 8 3 5 1 7 0 2 6 4");
    check_op("sort axis=0", "f32[2] 0 -0", "f32[2] 0 -0");
}

static void test_top_k(void **state) {
    (void)state;
    check_op("top_k axis=0 k=2 descending=1", "f32[2] 5 4; i64[2] 1 3", "f32[4] 1 5 3 4");
    check_op("top_k axis=0 k=2", "f32[2] 1 3; i64[2] 0 2", "f32[4] 1 5 3 4");
    check_op("top_k axis=1 k=1 descending=1", "f32[2,1] 2 9; i64[2,1] 0 1", "f32[2,2] 2 2 3 9");
    check_op("top_k axis=0 k=1 descending=1", "f32[1,2] 3 4; i64[1,2] 1 0", "f32[2,2] 2 4 3 4");
    check_op("top_k axis=0 k=0", "f32[0]; i64[0]", "f32[2] 1 2");
}

static void test_dot(void **state) {
    (void)state;
    check_op("dot contract=[1]x[0]", "f32[2,2] 19 22 43 50", "f32[2,2] 1 2 3 4", "f32[2,2] 5 6 7 8");
    check_op("dot contract=[0]x[0]", "f32[] 11", "f32[2] 1 2", "f32[2] 3 4");
    check_op("dot contract=[]x[]", "i8[2,2] 3 4 6 8", "i8[2] 1 2", "i8[2] 3 4");
    check_op("dot contract=[0]x[1]", "f32[1,2] 5 11", "f32[2,1] 1 2", "f32[2,2] 1 2 3 4");
    check_op("dot batch=[0]x[0] contract=[2]x[1]", "f32[2,1,1] 11 39", "f32[2,1,2] 1 2 3 4", "f32[2,2,1] 3 4 5 6");
    check_op("dot batch=[1]x[0] contract=[0]x[1]", "f32[2] 14 28", "f32[2,2] 1 2 3 4", "f32[2,2] 2 4 2 6");
    check_op("dot contract=[1]x[0]", "f32[2,2] 0 0 0 0", "f32[2,0]", "f32[0,2]");
    check_op("dot contract=[1]x[0]", "f32[0,2]", "f32[0,1]", "f32[1,2] 1 2");
    check_op("dot contract=[0]x[0]", "i8[] -56", "i8[2] 100 100", "i8[2] 1 1");
    check_op("dot contract=[0,1]x[1,0]", "f32[] 29", "f32[2,2] 1 2 3 4", "f32[2,2] 1 2 3 4");
    check_op("dot contract=[0]x[0]", "f16[] 2050", "f16[3] 2048 1 1", "f16[3] 1 1 1");
    check_magnitude("dot contract=[0]x[0]", "f64[] 14", "f32[2] 1 -2", "f32[2] 3 2");
}

static void test_conv(void **state) {
    (void)state;
    check_op("conv", "f32[1,1,2] 5 8", "f32[1,1,3] 1 2 3", "f32[1,1,2] 1 2");
    check_op("conv low=[1] high=[1]", "f32[1,1,4] 2 5 8 3", "f32[1,1,3] 1 2 3", "f32[1,1,2] 1 2");
    check_op("conv stride=[2]", "f32[1,1,2] 1 3", "f32[1,1,3] 1 2 3", "f32[1,1,1] 1");
    check_op("conv dilation=[2]", "f32[1,1,1] 7", "f32[1,1,3] 1 2 3", "f32[1,1,2] 1 2");
    check_op("conv input_dilation=[2]", "f32[1,1,4] 1 4 2 6", "f32[1,1,3] 1 2 3", "f32[1,1,2] 1 2");
    check_op("conv input_dilation=[2] low=[1] high=[1]", "f32[1,1,4] 2 1 4 2", "f32[1,1,2] 1 2", "f32[1,1,2] 1 2");
    check_op("conv groups=2", "f32[1,2,1] 3 8", "f32[1,2,1] 1 2", "f32[2,1,1] 3 4");
    check_op("conv", "f32[1,2,1] 11 17", "f32[1,2,1] 1 2", "f32[2,2,1] 3 4 5 6");
    check_op("conv", "f32[1,1,1,2] 37 47", "f32[1,1,2,3] 1 2 3 4 5 6", "f32[1,1,2,2] 1 2 3 4");
    check_op("conv low=[1,1] high=[1,1] stride=[2,2]", "f32[1,1,2,2] 1 3 7 9", "f32[1,1,3,3] 1 2 3 4 5 6 7 8 9",
             "f32[1,1,3,3] 0 0 0 0 1 0 0 0 0");
    check_op("conv", "i8[2,1,1] -56 4", "i8[2,1,2] 100 100 2 2", "i8[1,1,2] 1 1");
    check_op("conv", "f32[2,1] 5 11", "f32[2,2] 1 2 3 4", "f32[1,2] 1 2");
    check_op("conv", "f32[1,2,2] 0 0 0 0", "f32[1,0,2]", "f32[2,0,1]");
    check_op("conv", "f32[0,1,2]", "f32[0,1,3]", "f32[1,1,2] 1 2");
    check_magnitude("conv", "f64[1,1,2] 10 16", "f32[1,1,3] 1 -2 3", "f32[1,1,2] 1 2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reduce), cmocka_unit_test(test_reduce_of_none),
        cmocka_unit_test(test_arg),    cmocka_unit_test(test_cumulate),
        cmocka_unit_test(test_window), cmocka_unit_test(test_sort),
        cmocka_unit_test(test_top_k),  cmocka_unit_test(test_dot),
        cmocka_unit_test(test_conv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
