/* Tensors by themselves: sizes, strides, copies, text, and exchange through DLPack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/dlpack.h"
#include "runtime/tensor.h"

static void test_constructors(void **state) {
    (void)state;
    float x[6];
    tn_tensor t = TN_TENSOR(TN_F32, x, 2, 3);
    assert_ptr_equal(t.data, x);
    assert_int_equal(t.rank, 2);
    assert_int_equal(t.shape[1], 3);
    assert_int_equal(t.device, 0);
    assert_int_equal(tn_tensor_elements(&t), 6);
    assert_int_equal(tn_tensor_bytes(&t), 24);
    t = tn_tensor_of(TN_F64, x, 0, NULL);
    assert_int_equal(tn_tensor_elements(&t), 1);
    assert_int_equal(tn_tensor_bytes(&t), 8);
    t = tn_tensor_of(TN_F32, x, 9, (int64_t[9]){0});
    assert_int_equal(t.dtype, TN_DTYPE_INVALID);
    assert_int_equal(tn_tensor_elements(&t), -1);
    t = tn_tensor_of(TN_F32, x, 2, NULL);
    assert_int_equal(tn_tensor_bytes(&t), -1);
    t = tn_tensor_strided(TN_F32, x, 1, (int64_t[]){3}, NULL);
    assert_int_equal(tn_tensor_elements(&t), -1);
    assert_int_equal(tn_tensor_elements(NULL), -1);
    assert_int_equal(tn_tensor_bytes(NULL), -1);
}

static void test_sizes_that_overflow(void **state) {
    (void)state;
    const int64_t big = INT64_C(1) << 32;
    tn_tensor t = TN_TENSOR(TN_I8, NULL, big, big);
    assert_int_equal(tn_tensor_elements(&t), -1);
    t = TN_TENSOR(TN_I8, NULL, big, big, 0); /* no elements, whatever the others are */
    assert_int_equal(tn_tensor_elements(&t), 0);
    t = TN_TENSOR(TN_F64, NULL, big, big / 16);
    assert_int_equal(tn_tensor_elements(&t), -1);
    t = TN_TENSOR(TN_F32, NULL, 3, -1, 0);
    assert_int_equal(tn_tensor_elements(&t), -1);
    int64_t low, high;
    t = tn_tensor_strided(TN_I8, NULL, 2, (int64_t[]){3, 3}, (int64_t[]){INT64_MAX / 2, 1});
    assert_false(tensor_span(&t, &low, &high));
    t = tn_tensor_strided(TN_I8, NULL, 2, (int64_t[]){2, 2}, (int64_t[]){INT64_MAX, INT64_MAX});
    assert_false(tensor_span(&t, &low, &high));
    t = tn_tensor_strided(TN_F32, NULL, 2, (int64_t[]){2, 2}, (int64_t[]){INT64_MIN, 1});
    assert_false(tensor_span(&t, &low, &high));
    t = tn_tensor_strided(TN_F32, NULL, 2, (int64_t[]){4, 3}, (int64_t[]){-5, 2});
    assert_true(tensor_span(&t, &low, &high));
    assert_int_equal(low, -60);
    assert_int_equal(high, 20);
}

typedef struct stride_case {
    bool is_contiguous;
    int rank;
    int64_t shape[3], strides[3];
} stride_case;

static const stride_case stride_cases[] = {
    {true, 2, {2, 3}, {3, 1}},       {false, 2, {2, 3}, {1, 2}},       {true, 2, {1, 3}, {77, 1}},
    {true, 2, {3, 1}, {1, 99}},      {false, 2, {3, 1}, {2, 1}},       {false, 1, {3}, {-1}},
    {true, 3, {2, 0, 3}, {5, 5, 5}}, {false, 3, {2, 2, 3}, {8, 3, 1}}, {true, 0, {0}, {0}},
};

static void test_contiguity(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof stride_cases / sizeof *stride_cases; i++) {
        const stride_case *c = &stride_cases[i];
        tn_tensor t = tn_tensor_strided(TN_F32, NULL, c->rank, c->shape, c->strides);
        assert_int_equal(tn_tensor_is_contiguous(&t), c->is_contiguous);
        t.has_strides = false;
        assert_true(tn_tensor_is_contiguous(&t));
    }
    assert_false(tn_tensor_is_contiguous(NULL));
}

/* Element sizes of each width, an axis of each kind of stride. */
static void test_copies(void **state) {
    (void)state;
    static const tn_dtype dtypes[] = {TN_U8, TN_BF16, TN_I32, TN_F64};
    for (int k = 0; k < 4; k++) {
        size_t width = tn_dtype_bits(dtypes[k]) / 8;
        unsigned char from[24 * 8], to[24 * 8], back[24 * 8];
        for (size_t i = 0; i < sizeof from; i++) from[i] = (unsigned char)(i * 7);
        const int64_t shape[] = {2, 3, 4}, backwards[] = {1, -8, 2}; /* element (i, j, k) at 16 + i - 8 j + 2 k */
        tn_tensor source = TN_TENSOR(dtypes[k], from, 2, 3, 4);
        tn_tensor target = tn_tensor_strided(dtypes[k], to + 16 * width, 3, shape, backwards);
        assert_int_equal(tn_tensor_copy(&target, &source), TN_OK);
        for (size_t i = 0; i < 24; i++) {
            size_t at = 16 + i / 12 - 8 * (i / 4 % 3) + 2 * (i % 4);
            assert_memory_equal(to + at * width, from + i * width, width);
        }
        tn_tensor again = TN_TENSOR(dtypes[k], back, 2, 3, 4);
        assert_int_equal(tn_tensor_copy(&again, &target), TN_OK);
        assert_memory_equal(back, from, 24 * width);
    }
    float one = 3, four[4];
    tn_tensor all = tn_tensor_strided(TN_F32, &one, 1, (int64_t[]){4}, (int64_t[]){0});
    tn_tensor room = TN_TENSOR(TN_F32, four, 4);
    assert_int_equal(tn_tensor_copy(&room, &all), TN_OK);
    assert_true(four[0] == 3 && four[3] == 3);
}

static void test_wrong_copies(void **state) {
    (void)state;
    float x[4] = {0}, y[4] = {0};
    tn_tensor from = TN_TENSOR(TN_F32, x, 4), to = TN_TENSOR(TN_I32, y, 4);
    assert_int_equal(tn_tensor_copy(&to, &from), TN_ERR_DTYPE);
    to = TN_TENSOR(TN_F32, y, 2, 2);
    assert_int_equal(tn_tensor_copy(&to, &from), TN_ERR_SHAPE);
    to = TN_TENSOR(TN_F32, y, 3);
    assert_int_equal(tn_tensor_copy(&to, &from), TN_ERR_SHAPE);
    to = TN_TENSOR(TN_F32, NULL, 4);
    assert_int_equal(tn_tensor_copy(&to, &from), TN_ERR_ARGUMENT);
    to = TN_TENSOR(TN_F32, y, 4);
    to.device = 1;
    assert_int_equal(tn_tensor_copy(&to, &from), TN_ERR_ARGUMENT);
    assert_int_equal(tn_tensor_copy(NULL, &from), TN_ERR_ARGUMENT);
    assert_int_equal(tn_tensor_copy(&from, NULL), TN_ERR_ARGUMENT);
    from = to = TN_TENSOR(TN_F32, NULL, 0, 4);
    assert_int_equal(tn_tensor_copy(&to, &from), TN_OK);
}

static void test_text(void **state) {
    (void)state;
    char text[32];
    tn_tensor t = TN_TENSOR(TN_BF16, NULL, 7, 784);
    assert_string_equal(tn_tensor_text(&t, text, sizeof text), "bf16[7, 784]");
    assert_string_equal(tn_tensor_text(&t, text, 8), "bf16[7,");
    assert_string_equal(tn_tensor_text(&t, text, 1), "");
    t = tn_tensor_of(TN_F32, NULL, 0, NULL);
    assert_string_equal(tn_tensor_text(&t, text, sizeof text), "f32[]");
    t.rank = 1 << 30;
    assert_string_equal(tn_tensor_text(&t, text, sizeof text), "f32[0, 0, 0, 0, 0, 0, 0, 0]");
    assert_string_equal(tn_tensor_text(NULL, text, sizeof text), "");
}

/* ---- DLPack ------------------------------------------------------------------------------------------ */

static void count(void *ctx) { ++*(int *)ctx; }

static void test_there_and_back(void **state) {
    (void)state;
    static const int64_t shape[] = {2, 3}, strides[] = {1, -2};
    uint64_t room[6];
    for (int i = 0; i < TN_DTYPE_COUNT; i++)
        for (int is_strided = 0; is_strided < 2; is_strided++) {
            int released = 0;
            bool is_read_only = false;
            tn_tensor t = tn_tensor_of((tn_dtype)i, room, 2, shape), back, again;
            if (is_strided) t = tn_tensor_strided((tn_dtype)i, room + 5, 2, shape, strides);
            DLManagedTensor *plain = tn_tensor_to_dlpack(&t, count, &released);
            DLManagedTensorVersioned *versioned = tn_tensor_to_dlpack_versioned(&t, true, count, &released);
            assert_non_null(plain);
            assert_non_null(versioned);
            assert_int_equal(tn_tensor_from_dlpack(plain, &back, NULL), TN_OK);
            assert_int_equal(tn_tensor_from_dlpack_versioned(versioned, &again, &is_read_only, NULL), TN_OK);
            assert_true(is_read_only);
            assert_memory_equal(&back, &again, sizeof back);
            assert_ptr_equal(back.data, t.data);
            assert_int_equal(back.dtype, t.dtype);
            assert_int_equal(back.rank, 2);
            assert_memory_equal(back.shape, t.shape, sizeof shape);
            assert_int_equal(tn_tensor_is_contiguous(&back), !is_strided);
            assert_int_equal(back.strides[0], is_strided ? 1 : 3);
            plain->deleter(plain);
            versioned->deleter(versioned);
            assert_int_equal(released, 2);
        }
    tn_tensor wrong = tn_tensor_of(TN_F32, room, 99, shape);
    assert_null(tn_tensor_to_dlpack(&wrong, count, NULL));
    assert_null(tn_tensor_to_dlpack(NULL, NULL, NULL));
    tn_tensor scalar = tn_tensor_of(TN_F32, room, 0, NULL);
    DLManagedTensor *unowned = tn_tensor_to_dlpack(&scalar, NULL, NULL);
    assert_int_equal(unowned->dl_tensor.ndim, 0);
    unowned->deleter(unowned);
}

static void test_foreign_tensors(void **state) {
    (void)state;
    float room[6];
    int64_t shape[] = {2, 3};
    tn_tensor t;
    tn_diag diag;
    DLManagedTensor m = {.dl_tensor = {room, {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape, NULL, 4}};
    assert_int_equal(tn_tensor_from_dlpack(&m, &t, &diag), TN_OK);
    assert_ptr_equal(t.data, room + 1);
    assert_false(t.has_strides);
    m.dl_tensor.device.device_type = kDLCUDAHost;
    assert_int_equal(tn_tensor_from_dlpack(&m, &t, &diag), TN_OK);
    m.dl_tensor.device.device_type = kDLCUDA;
    assert_int_equal(tn_tensor_from_dlpack(&m, &t, &diag), TN_ERR_UNSUPPORTED);
    assert_string_equal(diag.message, "dlpack: device type 2 is not the host's memory");
    m.dl_tensor.device.device_type = kDLCPU;
    m.dl_tensor.dtype.code = kDLComplex;
    assert_int_equal(tn_tensor_from_dlpack(&m, &t, &diag), TN_ERR_UNSUPPORTED);
    assert_string_equal(diag.message, "dlpack: dtype code 5 with 32 bits and 1 lanes is not supported");
    m.dl_tensor.dtype = (DLDataType){kDLFloat, 32, 4};
    assert_int_equal(tn_tensor_from_dlpack(&m, &t, &diag), TN_ERR_UNSUPPORTED);
    m.dl_tensor.dtype.lanes = 1;
    m.dl_tensor.ndim = 9;
    assert_int_equal(tn_tensor_from_dlpack(&m, &t, &diag), TN_ERR_UNSUPPORTED);
    assert_string_equal(diag.message, "dlpack: rank 9 is not in [0, 8]");
    m.dl_tensor.ndim = -1;
    assert_int_equal(tn_tensor_from_dlpack(&m, &t, &diag), TN_ERR_UNSUPPORTED);
    m.dl_tensor.ndim = 2;
    shape[0] = -2;
    assert_int_equal(tn_tensor_from_dlpack(&m, &t, &diag), TN_ERR_ARGUMENT);
    shape[0] = 2;
    m.dl_tensor.data = NULL;
    assert_int_equal(tn_tensor_from_dlpack(&m, &t, &diag), TN_ERR_ARGUMENT);
    m.dl_tensor.shape = NULL;
    assert_int_equal(tn_tensor_from_dlpack(&m, &t, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_tensor_from_dlpack(NULL, &t, &diag), TN_ERR_ARGUMENT);
    DLManagedTensorVersioned v = {.version = {2, 0}};
    assert_int_equal(tn_tensor_from_dlpack_versioned(&v, &t, NULL, &diag), TN_ERR_UNSUPPORTED);
    assert_string_equal(diag.message, "dlpack: version 2.0 is not 1.x");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constructors),   cmocka_unit_test(test_sizes_that_overflow),
        cmocka_unit_test(test_contiguity),     cmocka_unit_test(test_copies),
        cmocka_unit_test(test_wrong_copies),   cmocka_unit_test(test_text),
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_foreign_tensors),
    };
    return cmocka_run_group_tests_name("tensor", tests, NULL, NULL);
}
