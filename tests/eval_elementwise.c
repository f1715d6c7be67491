/* The interpreter's elementwise ops against expectations worked out by hand. */
#include "tests/lib/opcase.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_unary_floats(void **state) {
    (void)state;
    check_op("neg", "f32[4] -1 0 -inf nan", "f32[4] 1 -0 inf nan");
    check_op("abs", "f16[3] 1.5 0 inf", "f16[3] -1.5 -0 -inf");
    check_op("sign", "f64[5] -1 0 -0 1 nan", "f64[5] -3 0 -0 0.1 nan");
    check_op("floor", "f32[4] -2 1 -0 inf", "f32[4] -1.5 1.5 -0 inf");
    check_op("ceil", "f32[3] -1 2 -0", "f32[3] -1.5 1.5 -0.5");
    check_op("round", "f32[6] 0 2 2 -0 -2 4", "f32[6] 0.5 1.5 2.5 -0.5 -1.5 3.5");
    check_op("exp", "~f32[4] 1 2.7182818 0 inf", "f32[4] 0 1 -inf inf");
    check_op("exp2", "f32[3] 8 0.5 0x1p-149", "f32[3] 3 -1 -149");
    check_op("log", "f32[4] 0 -inf nan inf", "f32[4] 1 0 -1 inf");
    check_op("log1p", "~f64[2] 1e-20 nan", "f64[2] 1e-20 -2");
    check_op("expm1", "~f64[3] 1e-20 -1 inf", "f64[3] 1e-20 -inf inf");
    check_op("sqrt", "f32[4] 3 nan -0 inf", "f32[4] 9 -1 -0 inf");
    check_op("rsqrt", "f32[4] 0.5 inf nan 0", "f32[4] 4 0 -1 inf");
    check_op("sin", "~f64[3] 0 1 nan", "f64[3] 0 1.5707963267948966 inf");
    check_op("cos", "~f64[2] 1 -1", "f64[2] 0 3.1415926535897931");
    check_op("tan", "~f64[1] 1", "f64[1] 0.78539816339744831");
    check_op("asin", "~f64[2] 1.5707963 nan", "f64[2] 1 1.5");
    check_op("acos", "~f64[2] 3.1415927 nan", "f64[2] -1 -1.5");
    check_op("atan", "~f64[2] 0.78539816 1.5707963", "f64[2] 1 inf");
    check_op("sinh", "~f64[1] 1.1752012", "f64[1] 1");
    check_op("cosh", "~f64[1] 1.5430806", "f64[1] 1");
    check_op("tanh", "~f64[2] 0.76159416 -1", "f64[2] 1 -inf");
    check_op("asinh", "~f64[1] 0.88137359", "f64[1] 1");
    check_op("acosh", "~f64[2] 1.3169579 nan", "f64[2] 2 0.5");
    check_op("atanh", "~f64[3] 0.54930614 inf nan", "f64[3] 0.5 1 2");
    check_op("erf", "~f64[2] 0.84270079 -1", "f64[2] 1 -inf");
    check_op("logistic", "~f64[4] 0.5 0.73105858 0 1", "f64[4] 0 1 -inf inf");
    check_op("is_nan", "bool[3] 0 1 0", "f16[3] 1 nan inf");
    check_op("is_inf", "bool[3] 0 0 1", "bf16[3] 1 nan -inf");
}

static void test_unary_ints(void **state) {
    (void)state;
    check_op("neg", "i8[3] -1 -128 1", "i8[3] 1 -128 -1");
    check_op("neg", "u8[2] 255 0", "u8[2] 1 0");
    check_op("abs", "i16[2] 5 -32768", "i16[2] -5 -32768");
    check_op("abs", "u8[1] 200", "u8[1] 200");
    check_op("sign", "i32[3] -1 0 1", "i32[3] -7 0 7");
    check_op("sign", "u64[2] 1 0", "u64[2] 0xffffffffffffffff 0");
    check_op("not", "bool[2] 0 1", "bool[2] 1 0");
    check_op("not", "u16[1] 0xff0f", "u16[1] 0x00f0");
    check_op("popcount", "i8[2] 8 1", "i8[2] -1 1");
    check_op("popcount", "i64[1] 64", "i64[1] -1");
}

static void test_small_floats_round_once(void **state) {
    (void)state;
    /* 1 + 2^-11 is a tie in f16 and goes to even; a little above it goes up. */
    check_op("add", "f16[3] 1 1.0009765625 inf", "f16[3] 1 1 65504", "f16[3] 0x1p-11 0x1.8p-11 16");
    check_op("add", "f16[1] 65504", "f16[1] 65504", "f16[1] 15");
    check_op("mul", "f16[2] 0x1p-24 0", "f16[2] 0x1p-14 0x1p-14", "f16[2] 0x1p-10 0x1p-11");
    check_op("add", "bf16[2] 1 1.015625", "bf16[2] 1 1.0078125", "bf16[2] 0x1p-8 0x1p-8");
    check_op("convert dtype=f16", "f16[3] 1 1.0009765625 nan", "f64[3] 0x1.002p0 0x1.0020000001p0 nan");
    check_op("convert dtype=bf16", "bf16[2] inf 0x1p-133", "f64[2] 1e39 0x1.8p-134");
}

static void test_binary_floats(void **state) {
    (void)state;
    check_op("add", "f32[2] 3 inf", "f32[2] 1 inf", "f32[2] 2 1");
    check_op("sub", "f32[2] -1 nan", "f32[2] 1 inf", "f32[2] 2 inf");
    check_op("mul", "f64[2] 6 nan", "f64[2] 2 0", "f64[2] 3 inf");
    check_op("div", "f32[3] inf nan 0.5", "f32[3] 1 0 1", "f32[3] 0 0 2");
    check_op("rem", "f32[4] 1.5 -1.5 nan 1", "f32[4] 5.5 -5.5 1 1", "f32[4] 2 2 0 inf");
    check_op("pow", "f64[4] 8 1 nan 0.25", "f64[4] 2 0 -1 2", "f64[4] 3 0 0.5 -2");
    check_op("max", "f32[4] 2 nan nan 0", "f32[4] 1 nan 1 -0", "f32[4] 2 1 nan 0");
    check_op("min", "f32[4] 1 nan nan -0", "f32[4] 1 nan 1 -0", "f32[4] 2 1 nan 0");
    check_op("atan2", "~f64[2] 0.78539816 3.1415927", "f64[2] 1 0", "f64[2] 1 -1");
}

static void test_binary_ints(void **state) {
    (void)state;
    check_op("add", "i8[2] -128 -2", "i8[2] 127 127", "i8[2] 1 127");
    check_op("sub", "u8[1] 255", "u8[1] 0", "u8[1] 1");
    check_op("mul", "u16[1] 1", "u16[1] 65535", "u16[1] 65535");
    check_op("mul", "i64[1] -9223372036854775808", "i64[1] 4611686018427387904", "i64[1] 2");
    check_op("div", "i32[4] -2 0 -2147483648 -2", "i32[4] 7 7 -2147483648 -7", "i32[4] -3 0 -1 3");
    check_op("div", "i64[1] -9223372036854775808", "i64[1] -9223372036854775808", "i64[1] -1");
    check_op("div", "u64[2] 2 0", "u64[2] 0xfffffffffffffffe 5", "u64[2] 0x7fffffffffffffff 0xffffffffffffffff");
    check_op("rem", "i32[4] 1 0 0 -1", "i32[4] 7 7 -2147483648 -7", "i32[4] -3 0 -1 3");
    check_op("rem", "u64[1] 1", "u64[1] 0xffffffffffffffff", "u64[1] 2");
    check_op("pow", "i32[7] 81 0 1 -1 1 0 1", "i32[7] 3 2 1 -1 -1 0 0", "i32[7] 4 -1 -5 -3 -2 -1 0");
    check_op("pow", "u8[1] 1", "u8[1] 3", "u8[1] 128");
    check_op("max", "i8[2] 1 -1", "i8[2] 1 -1", "i8[2] -1 -128");
    check_op("max", "u64[1] 0x8000000000000000", "u64[1] 0x8000000000000000", "u64[1] 1");
    check_op("max", "bool[2] 1 0", "bool[2] 1 0", "bool[2] 0 0");
    check_op("min", "bool[2] 0 1", "bool[2] 1 1", "bool[2] 0 1");
    check_op("and", "bool[4] 0 0 0 1", "bool[4] 0 0 1 1", "bool[4] 0 1 0 1");
    check_op("or", "u8[1] 0xff", "u8[1] 0xf0", "u8[1] 0x0f");
    check_op("xor", "bool[2] 1 0", "bool[2] 1 1", "bool[2] 0 1");
    check_op("shl", "i8[5] -128 0 0 2 -2", "i8[5] 1 1 1 1 -1", "i8[5] 7 8 -1 1 1");
    check_op("shr", "i8[5] -1 -1 -1 0 31", "i8[5] -1 -128 -1 127 127", "i8[5] 1 8 -1 100 2");
    check_op("shr", "u8[3] 127 0 0", "u8[3] 255 255 255", "u8[3] 1 8 255");
    check_op("shr", "u64[1] 1", "u64[1] 0x8000000000000000", "u64[1] 63");
}

static void test_compare(void **state) {
    (void)state;
    const char *a = "f32[5] 1 2 nan 0 inf", *b = "f32[5] 2 2 nan -0 1";
    check_op("compare compare=eq", "bool[5] 0 1 0 1 0", a, b);
    check_op("compare compare=ne", "bool[5] 1 0 1 0 1", a, b);
    check_op("compare compare=lt", "bool[5] 1 0 0 0 0", a, b);
    check_op("compare compare=le", "bool[5] 1 1 0 1 0", a, b);
    check_op("compare compare=gt", "bool[5] 0 0 0 0 1", a, b);
    check_op("compare compare=ge", "bool[5] 0 1 0 1 1", a, b);
    check_op("compare compare=lt", "bool[2] 1 0", "i8[2] -1 1", "i8[2] 1 -1");
    check_op("compare compare=gt", "bool[1] 1", "u64[1] 0xffffffffffffffff", "u64[1] 1");
}

static void test_three_operands(void **state) {
    (void)state;
    check_op("select", "f32[3] 1 nan 5", "bool[3] 1 0 0", "f32[3] 1 2 3", "f32[3] 4 nan 5");
    check_op("select", "u64[1] 0xffffffffffffffff", "bool[1] 1", "u64[1] 0xffffffffffffffff", "u64[1] 0");
    check_op("clamp", "f32[4] 0 0.5 1 nan", "f32[4] 0 0 0 0", "f32[4] -1 0.5 2 nan", "f32[4] 1 1 1 1");
    check_op("clamp", "f32[2] nan nan", "f32[2] nan 0", "f32[2] 1 1", "f32[2] 2 nan");
    check_op("clamp", "i32[1] 1", "i32[1] 3", "i32[1] 0", "i32[1] 1"); /* low above high: high wins */
    /* (1 + 2^-23)^2 - 1 has bits below f32's that only a single rounding keeps. */
    check_op("fma", "f32[1] 0x1.000001p-22", "f32[1] 0x1.000002p0", "f32[1] 0x1.000002p0", "f32[1] -1");
    check_op("fma", "f64[2] 7 nan", "f64[2] 2 0", "f64[2] 3 inf", "f64[2] 1 1");
}

static void test_convert(void **state) {
    (void)state;
    check_op("convert dtype=i8", "i8[6] 127 -128 0 1 -1 127", "f32[6] 200 -inf nan 1.9 -1.9 inf");
    check_op("convert dtype=u8", "u8[4] 0 255 0 200", "f64[4] -5 300 nan 200.9");
    check_op("convert dtype=u64", "u64[3] 0xffffffffffffffff 0x8000000000000000 0", "f64[3] 1e30 0x1p63 -1");
    check_op("convert dtype=i64", "i64[3] 9223372036854775807 -9223372036854775808 0", "f64[3] 0x1p63 -0x1p63 nan");
    check_op("convert dtype=bool", "bool[4] 0 1 1 0", "f32[4] 0 0.1 nan -0");
    check_op("convert dtype=bool", "bool[2] 1 0", "i32[2] 256 0");
    check_op("convert dtype=f32", "f32[2] 1 0", "bool[2] 1 0");
    check_op("convert dtype=i8", "i8[2] -128 1", "i32[2] 128 257");
    check_op("convert dtype=u32", "u32[1] 0xffffffff", "i8[1] -1");
    check_op("convert dtype=f32", "f32[1] 0x1p64", "u64[1] 0xffffffffffffffff");
    /* 2^62 + 2^38 + 1: rounded by way of f64 it would be a tie and go down. */
    check_op("convert dtype=f32", "f32[1] 0x1.000002p62", "i64[1] 4611686293305294849");
    check_op("convert dtype=f64", "f64[1] 0x1p-149", "f32[1] 0x1p-149");
    check_op("convert dtype=f16", "f16[2] 65504 inf", "i32[2] 65519 65520");
}

static void test_bitcast(void **state) {
    (void)state;
    check_op("bitcast dtype=u32", "u32[2] 0x3f800000 0x80000000", "f32[2] 1 -0");
    check_op("bitcast dtype=f16", "f16[2] 1 -2", "u16[2] 0x3c00 0xc000");
    check_op("bitcast dtype=bf16", "bf16[2] 1 nan", "i16[2] 0x3f80 0x7fc0");
    check_op("bitcast dtype=i64", "i64[] 0x3ff0000000000000", "f64[] 1");
}

static void test_shapes(void **state) {
    (void)state;
    check_op("neg", "f32[] -1", "f32[] 1");
    check_op("add", "f32[0]", "f32[0]", "f32[0]");
    check_op("select", "f32[2,0]", "bool[2,0]", "f32[2,0]", "f32[2,0]");
    check_op("add", "f32[1,1] 3", "f32[1,1] 1", "f32[1,1] 2");
}

/* 300 elements: more than one chunk. */
static void test_chunks(void **state) {
    (void)state;
    eval_tensor x = {.dtype = TN_I32, .rank = 1, .dims = {300}, .n = 300}, y = {0};
    int32_t items[300];
    for (int k = 0; k < 300; k++) items[k] = k;
    x.data = items;
    tn_module *m = module_new("chunks");
    tn_graph *g = module_add_graph(m, "main");
    tn_dim dim = dim_const(m->dims, 300);
    tn_type type = type_make(TN_I32, 1, &dim);
    value_id v = graph_add_param(g, "x", &type, BINDING_RUN), operands[2] = {v, v}, sum;
    uint32_t n;
    assert_true(graph_apply(g, LOCATION_NONE, TN_OP_add, operands, 2, NULL, 0, &sum, 1, &n));
    assert_true(graph_add_result(g, "y", sum, -1));
    assert_int_equal(eval_graph(g, &x, &y, NULL, NULL), TN_OK);
    for (int k = 0; k < 300; k++) assert_int_equal(eval_load_int(&y, k), 2 * k);
    eval_tensor_free(&y);
    tn_module_free(m);
}

static void test_magnitudes(void **state) {
    (void)state;
    check_magnitude("add", "f64[2] 3 2", "f32[2] 1 -1", "f32[2] 2 1");
    check_magnitude("sub", "f64[1] 2", "f32[1] 1", "f32[1] 1");
    check_magnitude("mul", "f64[1] 12", "f32[1] -2", "f32[1] 3");
    check_magnitude("div", "f64[1] 6", "f32[1] 4", "f32[1] 2");
    check_magnitude("exp", "f64[1] 22.16716829679195", "f32[1] 2");
    check_magnitude("log", "f64[1] 1", "f32[1] 1");
    check_magnitude("floor", "f64[1] 1", "f32[1] 1.5");
    check_magnitude("max", "f64[1] 3", "f32[1] -3", "f32[1] 2");
    check_magnitude("select", "f64[1] 2", "bool[1] 0", "f32[1] 1", "f32[1] -2");
    check_magnitude("convert dtype=f32", "f64[1] 8192", "f16[1] 1"); /* f16's roundoff in units of f32's */
    check_magnitude("convert dtype=f16", "f64[1] 1.0001220703125", "f32[1] 1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unary_floats),
        cmocka_unit_test(test_unary_ints),
        cmocka_unit_test(test_small_floats_round_once),
        cmocka_unit_test(test_binary_floats),
        cmocka_unit_test(test_binary_ints),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_three_operands),
        cmocka_unit_test(test_convert),
        cmocka_unit_test(test_bitcast),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_magnitudes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
