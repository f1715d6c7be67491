/* The interpreter's leaves, views and indexing against expectations worked out by hand. */
#include "tests/lib/opcase.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_leaves(void **state) {
    (void)state;
    check_op("iota shape=[2,3] axis=1 dtype=f32", "f32[2,3] 0 1 2 0 1 2");
    check_op("iota shape=[2,3] axis=0 dtype=u8", "u8[2,3] 0 0 0 1 1 1");
    check_op("iota shape=[0] axis=0 dtype=i64", "i64[0]");
    check_op("dim dim=7", "i64[] 7");
}

/* Known-answer vectors of Philox 4x32-10: counter and key all zeros; all ones; digits of pi. The
 * last is the second block of the first stream. */
static void test_rng_bits(void **state) {
    (void)state;
    check_op("rng_bits shape=[4] dtype=u32", "u32[4] 0x6627e8d5 0xe169c58d 0xbc57ac4c 0x9b00dbd8", "u64[4] 0 0 0 0");
    check_op("rng_bits shape=[4] dtype=u32", "u32[4] 0x408f276d 0x41c83b0e 0xa20bc7c6 0x6d5451fd",
             "u64[4] 0xffffffffffffffff 0xffffffffffffffff 0xffffffffffffffff 0");
    check_op("rng_bits shape=[4] dtype=u32", "u32[4] 0xd16cfe09 0x94fdcceb 0x5001e420 0x24126ea1",
             "u64[4] 0x299f31d0a4093822 0x85a308d3243f6a88 0x0370734413198a2e 0");
    check_op("rng_bits shape=[2] dtype=u64", "u64[2] 0xe169c58d6627e8d5 0x9b00dbd8bc57ac4c", "u64[4] 0 0 0 0");
    /* The counter carries into its high half. */
    check_op("rng_bits shape=[8] dtype=u32",
             "u32[8] 0x5203e56f 0x73032403 0x2251da0c 0xd4f83473 0xaa8c7295 0x81534481 0x1899edf0 0xafbce5f9",
             "u64[4] 0x200000001 0xffffffffffffffff 5 0");
    check_op("rng_bits shape=[0] dtype=u32", "u32[0]", "u64[4] 0 0 0 0");
}

static void test_broadcast(void **state) {
    (void)state;
    check_op("broadcast shape=[2,3] dims=[1]", "f32[2,3] 1 2 3 1 2 3", "f32[3] 1 2 3");
    check_op("broadcast shape=[2,3] dims=[0]", "f32[2,3] 1 1 1 2 2 2", "f32[2] 1 2");
    check_op("broadcast shape=[2,2] dims=[0,1]", "u64[2,2] 1 1 2 2", "u64[2,1] 1 2");
    check_op("broadcast shape=[2,2]", "bool[2,2] 1 1 1 1", "bool[] 1");
    check_op("broadcast shape=[0,3] dims=[1]", "f32[0,3]", "f32[3] 1 2 3");
    check_op("broadcast shape=[]", "f32[] 4", "f32[] 4");
    check_magnitude("broadcast shape=[2]", "f64[2] 3 3", "f32[] -3");
}

static void test_reshape_transpose(void **state) {
    (void)state;
    check_op("reshape shape=[3,2]", "i8[3,2] 1 2 3 4 5 6", "i8[2,3] 1 2 3 4 5 6");
    check_op("reshape shape=[]", "f16[] 7", "f16[1,1] 7");
    check_op("reshape shape=[0,7]", "f32[0,7]", "f32[3,0]");
    check_op("transpose perm=[1,0]", "f32[3,2] 1 4 2 5 3 6", "f32[2,3] 1 2 3 4 5 6");
    check_op("transpose perm=[2,0,1]", "i32[2,1,2] 1 3 2 4", "i32[1,2,2] 1 2 3 4");
    check_op("transpose perm=[]", "f32[] 1", "f32[] 1");
}

static void test_slice_reverse(void **state) {
    (void)state;
    check_op("slice start=[1] limit=[4]", "f32[3] 1 2 3", "f32[5] 0 1 2 3 4");
    check_op("slice start=[0] limit=[5] stride=[2]", "f32[3] 0 2 4", "f32[5] 0 1 2 3 4");
    check_op("slice start=[1,1] limit=[2,3]", "u16[1,2] 5 6", "u16[2,3] 1 2 3 4 5 6");
    check_op("slice start=[2] limit=[2]", "f32[0]", "f32[3] 1 2 3");
    check_op("reverse axes=[1]", "f32[2,3] 3 2 1 6 5 4", "f32[2,3] 1 2 3 4 5 6");
    check_op("reverse axes=[0,1]", "f32[2,3] 6 5 4 3 2 1", "f32[2,3] 1 2 3 4 5 6");
    check_op("reverse axes=[0]", "f32[0]", "f32[0]");
}

static void test_pad_concat(void **state) {
    (void)state;
    check_op("pad low=[1] high=[2]", "f32[6] 9 1 2 3 9 9", "f32[3] 1 2 3", "f32[] 9");
    check_op("pad low=[-1] high=[1]", "f32[3] 2 3 9", "f32[3] 1 2 3", "f32[] 9");
    check_op("pad low=[0] high=[0] interior=[1]", "i32[5] 1 0 2 0 3", "i32[3] 1 2 3", "i32[] 0");
    check_op("pad low=[1,0] high=[0,1]", "u8[2,3] 7 7 7 1 2 7", "u8[1,2] 1 2", "u8[] 7");
    check_op("pad low=[2] high=[0]", "f32[2] 5 5", "f32[0]", "f32[] 5");
    check_op("pad low=[-2] high=[-1]", "f32[0]", "f32[3] 1 2 3", "f32[] 9");
    check_op("concat axis=0", "f32[3] 1 2 3", "f32[1] 1", "f32[2] 2 3");
    check_op("concat axis=1", "f32[2,3] 1 3 4 2 5 6", "f32[2,1] 1 2", "f32[2,2] 3 4 5 6");
    check_op("concat axis=0", "bool[2] 1 0", "bool[0]", "bool[2] 1 0");
}

static void test_gather(void **state) {
    (void)state;
    check_op("gather axes=[0]", "f32[2,3] 4 5 6 1 2 3", "f32[2,3] 1 2 3 4 5 6", "i64[2,1] 1 0");
    check_op("gather axes=[1]", "f32[2,2] 3 6 1 4", "f32[2,3] 1 2 3 4 5 6", "i32[2,1] 2 0");
    check_op("gather axes=[0,1]", "f32[2] 6 2", "f32[2,3] 1 2 3 4 5 6", "i64[2,2] 1 2 0 1");
    check_op("gather axes=[1] batch_dims=1", "f32[2] 3 4", "f32[2,3] 1 2 3 4 5 6", "i64[2,1] 2 0");
    check_op("gather axes=[1] batch_dims=1", "f32[2,2] 3 1 5 5", "f32[2,3] 1 2 3 4 5 6", "i64[2,2,1] 2 0 1 1");
    check_op("gather axes=[0]", "f32[] 2", "f32[2] 1 2", "i64[1] 1");
    check_op("gather axes=[0]", "f32[0,3]", "f32[2,3] 1 2 3 4 5 6", "i64[0,1]");
}

static void test_gather_faults(void **state) {
    (void)state;
    check_fault("gather axes=[0]", TN_ERR_INDEX, "gather: index 5 is out of range: axis 0 has 3 elements",
                "f32[3] 3 1 1", "f32[3] 1 2 3", "i64[3,1] 5 -1 0");
    check_fault("gather axes=[0]", TN_ERR_INDEX, "index -9223372036854775808", "f32[1] 1", "f32[3] 1 2 3",
                "i64[1,1] -9223372036854775808");
    check_fault("gather axes=[0]", TN_ERR_INDEX, "has 0 elements", "f32[1] 0", "f32[0]", "i64[1,1] 0");
}

static void test_scatter(void **state) {
    (void)state;
    check_op("scatter axes=[0] combine=set", "f32[3] 9 2 8", "f32[3] 1 2 3", "i64[3,1] 0 2 2", "f32[3] 9 7 8");
    check_op("scatter axes=[0] combine=add", "f32[3] 1 2 18", "f32[3] 1 2 3", "i64[2,1] 2 2", "f32[2] 7 8");
    check_op("scatter axes=[0] combine=mul", "i8[2] -128 1", "i8[2] 64 1", "i64[1,1] 0", "i8[1] 2");
    check_op("scatter axes=[0] combine=max", "f32[2] nan 5", "f32[2] nan 1", "i64[2,1] 0 1", "f32[2] 3 5");
    check_op("scatter axes=[0] combine=min", "u8[1] 3", "u8[1] 200", "i32[1,1] 0", "u8[1] 3");
    check_op("scatter axes=[0] combine=set", "f32[2,2] 1 2 8 9", "f32[2,2] 1 2 3 4", "i64[1,1] 1", "f32[1,2] 8 9");
    check_op("scatter axes=[1] batch_dims=1 combine=add", "f32[2,2] 1 12 23 4", "f32[2,2] 1 2 3 4", "i64[2,1] 1 0",
             "f32[2] 10 20");
    check_op("scatter axes=[0] combine=add", "f32[2] 1 2", "f32[2] 1 2", "i64[0,1]", "f32[0]");
    check_fault("scatter axes=[0] combine=set", TN_ERR_INDEX, "scatter: index 2", "f32[2] 1 9", "f32[2] 1 2",
                "i64[2,1] 2 1", "f32[2] 8 9");
    /* Every update is rounded: 2048 + 1 is 2048 in f16. */
    check_op("scatter axes=[0] combine=add", "f16[1] 2048", "f16[1] 2048", "i64[2,1] 0 0", "f16[2] 1 1");
    check_magnitude("scatter axes=[0] combine=add", "f64[2] 10 2", "f32[2] 1 2", "i64[2,1] 0 0", "f32[2] 4 -5");
}

static void test_dynamic_slices(void **state) {
    (void)state;
    check_op("dynamic_slice sizes=[2]", "f32[2] 2 3", "f32[4] 1 2 3 4", "i64[] 1");
    check_op("dynamic_slice sizes=[2]", "f32[2] 3 4", "f32[4] 1 2 3 4", "i64[] 100");
    check_op("dynamic_slice sizes=[2]", "f32[2] 1 2", "f32[4] 1 2 3 4", "i32[] -5");
    check_op("dynamic_slice sizes=[1,2]", "i8[1,2] 5 6", "i8[2,3] 1 2 3 4 5 6", "i64[] 1", "i64[] 1");
    check_op("dynamic_slice sizes=[]", "f32[] 3", "f32[] 3");
    check_op("dynamic_update_slice", "f32[4] 1 8 9 4", "f32[4] 1 2 3 4", "f32[2] 8 9", "i64[] 1");
    check_op("dynamic_update_slice", "f32[2,2] 1 2 3 9", "f32[2,2] 1 2 3 4", "f32[1,1] 9", "i64[] 7", "i64[] 7");
    check_op("dynamic_update_slice", "f32[2] 1 2", "f32[2] 1 2", "f32[0]", "i64[] 1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaves),        cmocka_unit_test(test_rng_bits),
        cmocka_unit_test(test_broadcast),     cmocka_unit_test(test_reshape_transpose),
        cmocka_unit_test(test_slice_reverse), cmocka_unit_test(test_pad_concat),
        cmocka_unit_test(test_gather),        cmocka_unit_test(test_gather_faults),
        cmocka_unit_test(test_scatter),       cmocka_unit_test(test_dynamic_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
