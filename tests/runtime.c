/* Running programs: shapes to symbols, memory of inputs and outputs, errors and their messages.
 * The programs are written by hand (tests/lib/handmade.h); tests/runtime_threads.c runs them at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/handmade.h"

enum { MOST_ROWS = 100 };

static float x_data[MOST_ROWS * 784], y_data[MOST_ROWS], z_data[2 * MOST_ROWS + 1];

static void fill_data(void) {
    for (int i = 0; i < MOST_ROWS * 784; i++) x_data[i] = (float)(i % 7);
    for (int i = 0; i < MOST_ROWS; i++) y_data[i] = (float)i;
    for (int i = 0; i < 2 * MOST_ROWS; i++) z_data[i] = (float)(i % 3);
}

static float expected_prob(int64_t i, int64_t j) {
    float sum = y_data[i] + z_data[2 * i] + z_data[2 * i + 1] + (float)j;
    for (int k = 0; k < 784; k++) sum += x_data[i * 784 + k];
    return sum;
}

#define INPUTS(n)                                                                                                      \
    {TN_TENSOR(TN_F32, x_data, (n), 784), TN_TENSOR(TN_F32, y_data, (n)), TN_TENSOR(TN_F32, z_data, 2 * (n))}

/* ---- A run -------------------------------------------------------------------------------------------- */

static void test_positional(void **state) {
    (void)state;
    tn_program *p = handmade_mlp();
    assert_non_null(p);
    tn_exec *e = tn_exec_new(p, NULL);
    tn_program_free(p); /* the exec keeps it */
    const int64_t sizes[] = {1, 7, 100, 3};
    for (int k = 0; k < 4; k++) {
        int64_t n = sizes[k];
        tn_tensor inputs[] = INPUTS(n), outputs[2] = {{0}};
        assert_int_equal(tn_exec_run(e, inputs, 3, outputs, 2), TN_OK);
        assert_null(tn_exec_error(e));
        assert_int_equal(outputs[0].rank, 2);
        assert_int_equal(outputs[0].shape[0], n);
        assert_int_equal(outputs[0].shape[1], 3);
        assert_int_equal(outputs[0].dtype, TN_F32);
        assert_int_equal(tn_tensor_elements(&outputs[1]), 1);
        float total = 0;
        for (int64_t i = 0; i < n * 3; i++) {
            float given = ((float *)outputs[0].data)[i];
            assert_true(given == expected_prob(i / 3, i % 3));
            total += given;
        }
        assert_true(*(float *)outputs[1].data == total);
        assert_ptr_equal(tn_exec_output(e, 0)->data, outputs[0].data);
        assert_ptr_equal(tn_exec_output_named(e, "total")->data, outputs[1].data);
        assert_int_equal(tn_exec_symbol(e, 0), n);
        assert_int_equal(tn_exec_arena_bytes(e), (size_t)n * 4 + 64);
    }
    assert_null(tn_exec_output(e, 2));
    assert_null(tn_exec_output(e, -1));
    assert_null(tn_exec_output_named(e, "probabilities"));
    tn_exec_free(e);
}

static void test_named(void **state) {
    (void)state;
    tn_program *p = handmade_mlp();
    tn_exec *e = tn_exec_new(p, NULL);
    tn_tensor inputs[] = INPUTS(2);
    float probs[6];
    tn_tensor out = TN_TENSOR(TN_F32, probs, 2, 3);
    assert_int_equal(tn_exec_set_input(e, "x", &inputs[0]), TN_OK);
    assert_int_equal(tn_exec_set_input(e, "z", &inputs[2]), TN_OK);
    assert_int_equal(tn_exec_run(e, NULL, 0, NULL, 0), TN_ERR_ARGUMENT);
    assert_string_equal(tn_exec_error(e)->message, "mlp: input 'y' is not given");
    assert_int_equal(tn_exec_set_input(e, "y", &inputs[1]), TN_OK);
    assert_int_equal(tn_exec_set_output(e, "probs", &out), TN_OK);
    assert_int_equal(tn_exec_run(e, NULL, 0, NULL, 0), TN_OK);
    for (int i = 0; i < 6; i++) assert_true(probs[i] == expected_prob(i / 3, i % 3));
    assert_ptr_equal(tn_exec_output(e, 0)->data, probs);
    assert_int_equal(tn_exec_set_input(e, "w", &inputs[0]), TN_ERR_ARGUMENT);
    assert_string_equal(tn_exec_error(e)->message, "mlp: no input is called 'w' (it has x, y, z)");
    assert_int_equal(tn_exec_set_output(e, NULL, &out), TN_ERR_ARGUMENT);
    assert_int_equal(tn_exec_set_symbol(e, "m", 3), TN_ERR_ARGUMENT);
    assert_string_equal(tn_exec_error(e)->message, "mlp: no symbol is called 'm' (it has n)");
    tn_exec_free(e);
    tn_program_free(p);
}

static void test_shapes_before_running(void **state) {
    (void)state;
    tn_program *p = handmade_mlp();
    tn_exec *e = tn_exec_new(p, NULL);
    tn_tensor inputs[] = INPUTS(9);
    for (int i = 0; i < 3; i++) inputs[i].data = NULL;
    assert_null(tn_exec_output(e, 0));
    assert_int_equal(tn_exec_arena_bytes(e), 0);
    assert_int_equal(tn_exec_bind(e, inputs, 3), TN_OK);
    assert_int_equal(tn_exec_output(e, 0)->shape[0], 9);
    assert_null(tn_exec_output(e, 0)->data);
    assert_int_equal(tn_exec_run(e, inputs, 3, NULL, 0), TN_ERR_ARGUMENT);
    assert_string_equal(tn_exec_error(e)->message, "mlp: input 'x': has no data");
    assert_null(tn_exec_output(e, 0));
    tn_exec_free(e);
    tn_program_free(p);
}

static void test_convenience_run(void **state) {
    (void)state;
    tn_program *p = handmade_mlp();
    float probs[21], total;
    tn_tensor inputs[] = INPUTS(7), outputs[] = {TN_TENSOR(TN_F32, probs, 7, 3), tn_tensor_of(TN_F32, &total, 0, NULL)};
    tn_diag diag;
    assert_int_equal(tn_program_error(p, &diag), TN_OK);
    assert_int_equal(tn_run(p, inputs, outputs), TN_OK);
    for (int i = 0; i < 21; i++) assert_true(probs[i] == expected_prob(i / 3, i % 3));
    outputs[0].data = NULL;
    assert_int_equal(tn_run(p, inputs, outputs), TN_ERR_ARGUMENT);
    assert_int_equal(tn_program_error(p, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "mlp: output 'probs': has no data, and tn_run keeps none");
    assert_int_equal(tn_run(p, NULL, outputs), TN_ERR_ARGUMENT);
    assert_int_equal(tn_run(p, inputs, NULL), TN_ERR_ARGUMENT);
    assert_int_equal(tn_run(NULL, inputs, outputs), TN_ERR_ARGUMENT);
    tn_program_free(p);
}

static void test_descriptions(void **state) {
    (void)state;
    tn_program *p = handmade_mlp();
    assert_string_equal(tn_program_name(p), "mlp");
    assert_int_equal(tn_program_n_inputs(p), 3);
    assert_int_equal(tn_program_n_outputs(p), 2);
    assert_int_equal(tn_program_n_weights(p), 0);
    assert_int_equal(tn_program_n_symbols(p), 1);
    assert_int_equal(tn_program_n_kernels(p), 2);
    assert_string_equal(tn_program_input(p, 2)->dims[0].text, "2*n");
    assert_string_equal(tn_program_output(p, 0)->name, "probs");
    assert_string_equal(tn_program_symbol(p, 0)->name, "n");
    assert_string_equal(tn_program_kernel(p, 1)->name, "total");
    assert_null(tn_program_input(p, 3));
    assert_null(tn_program_weight(p, 0));
    assert_null(tn_program_kernel(p, -1));
    assert_int_equal(tn_program_find_input(p, "z"), 2);
    assert_int_equal(tn_program_find_output(p, "z"), -1);
    assert_int_equal(tn_program_find_symbol(p, "n"), 0);
    assert_int_equal(tn_program_n_inputs(NULL), 0);
    assert_int_equal(tn_program_find_symbol(NULL, "n"), -1);
    tn_program_free(p);
}

/* ---- Wrong inputs, and what is said about them ------------------------------------------------------------ */

/* One tensor of a right call (n = 7) is replaced; `slot` 0 to 2 are inputs, 3 and 4 outputs. */
typedef struct wrong_case {
    int slot, rank;
    int64_t shape[3];
    tn_dtype dtype;
    tn_status status;
    const char *message;
} wrong_case;

static const wrong_case wrong_cases[] = {
    {0,
     2,
     {7, 512},
     TN_F32,
     TN_ERR_SHAPE,
     "mlp: input 'x': expected f32[n, 784], got f32[7, 512] (axis 1: 784 is not 512)"},
    {0, 1, {784}, TN_F32, TN_ERR_SHAPE, "mlp: input 'x': expected f32[n, 784], got f32[784] (rank 2 is not 1)"},
    {0,
     2,
     {7, 784},
     TN_F64,
     TN_ERR_DTYPE,
     "mlp: input 'x': expected f32[n, 784], got f64[7, 784] (dtype f32 is not f64)"},
    {0,
     2,
     {-7, 784},
     TN_F32,
     TN_ERR_SHAPE,
     "mlp: input 'x': expected f32[n, 784], got f32[-7, 784] (axis 0: -7 is negative)"},
    {0,
     2,
     {7, 784},
     TN_DTYPE_INVALID,
     TN_ERR_DTYPE,
     "mlp: input 'x': expected f32[n, 784], got invalid[7, 784] (dtype f32 is not invalid)"},
    {0, 2000, {7, 784}, (tn_dtype)77, TN_ERR_DTYPE, NULL},
    {0, 2000, {7, 784}, TN_F32, TN_ERR_SHAPE, NULL},
    {0, -1, {7, 784}, TN_F32, TN_ERR_SHAPE, "mlp: input 'x': expected f32[n, 784], got f32[] (rank 2 is not -1)"},
    {0,
     2,
     {INT64_MAX, 784},
     TN_F32,
     TN_ERR_LIMIT,
     "mlp: input 'x': expected f32[n, 784], got f32[9223372036854775807, 784] (its bytes do not fit in 63 bits)"},
    {1,
     1,
     {8},
     TN_F32,
     TN_ERR_SHAPE,
     "mlp: input 'y': expected f32[n], got f32[8] (axis 0: n is 7 by axis 0 of input 'x', not 8)"},
    {2,
     1,
     {13},
     TN_F32,
     TN_ERR_SHAPE,
     "mlp: input 'z': expected f32[2*n], got f32[13] (axis 0: 2*n is 14 (n = 7), not 13)"},
    {3, 2, {7, 4}, TN_F32, TN_ERR_SHAPE, "mlp: output 'probs': expected f32[n, 3], got f32[7, 4] (axis 1: 3 is not 4)"},
    {3, 2, {6, 3}, TN_F32, TN_ERR_SHAPE, "mlp: output 'probs': expected f32[n, 3], got f32[6, 3] (axis 0: 7 is not 6)"},
    {4, 0, {0}, TN_F64, TN_ERR_DTYPE, "mlp: output 'total': expected f32[], got f64[] (dtype f32 is not f64)"},
    {4, 1, {1}, TN_F32, TN_ERR_SHAPE, "mlp: output 'total': expected f32[], got f32[1] (rank 0 is not 1)"},
};

static void test_wrong_tensors(void **state) {
    (void)state;
    static double room[7 * 784];
    tn_program *p = handmade_mlp();
    tn_exec *e = tn_exec_new(p, NULL);
    for (size_t k = 0; k < sizeof wrong_cases / sizeof *wrong_cases; k++) {
        const wrong_case *c = &wrong_cases[k];
        tn_tensor inputs[] = INPUTS(7), outputs[2] = {{0}};
        tn_tensor *wrong = c->slot < 3 ? &inputs[c->slot] : &outputs[c->slot - 3];
        *wrong = (tn_tensor){.data = room, .dtype = c->dtype, .rank = c->rank};
        memcpy(wrong->shape, c->shape, sizeof c->shape);
        assert_int_equal(tn_exec_run(e, inputs, 3, outputs, 2), c->status);
        assert_int_equal(tn_exec_error(e)->status, c->status);
        if (c->message != NULL) assert_string_equal(tn_exec_error(e)->message, c->message);
        assert_null(tn_exec_output(e, 0));
    }
    tn_exec_free(e);
    tn_program_free(p);
}

static void expect_error(tn_exec *e, const tn_tensor *inputs, int n_inputs, tn_tensor *outputs, int n_outputs,
                         tn_status status, const char *message) {
    assert_int_equal(tn_exec_run(e, inputs, n_inputs, outputs, n_outputs), status);
    assert_string_equal(tn_exec_error(e)->message, message);
}

static void test_wrong_calls(void **state) {
    (void)state;
    tn_program *p = handmade_mlp();
    tn_exec *e = tn_exec_new(p, NULL);
    tn_tensor inputs[] = INPUTS(7), outputs[2] = {{0}};
    expect_error(e, inputs, 2, NULL, 0, TN_ERR_ARGUMENT, "mlp: 2 inputs are given, the program has 3");
    expect_error(e, NULL, 3, NULL, 0, TN_ERR_ARGUMENT, "mlp: 0 inputs are given, the program has 3");
    expect_error(e, inputs, 3, outputs, 1, TN_ERR_ARGUMENT, "mlp: 1 outputs are given, the program has 2");
    inputs[0].device = 1;
    expect_error(e, inputs, 3, NULL, 0, TN_ERR_ARGUMENT, "mlp: input 'x': is on device 1, only the host (0) is known");
    tn_tensor none[] = INPUTS(0);
    expect_error(e, none, 3, NULL, 0, TN_ERR_CONSTRAINT,
                 "mlp: n is 0 by axis 0 of input 'x', but at least 1 is needed");
    tn_tensor many[] = {TN_TENSOR(TN_F32, x_data, 101, 784), TN_TENSOR(TN_F32, y_data, 101),
                        TN_TENSOR(TN_F32, z_data, 202)};
    expect_error(e, many, 3, NULL, 0, TN_ERR_CONSTRAINT,
                 "mlp: n is 101 by axis 0 of input 'x', but at most 100 is allowed");
    tn_tensor unlucky[] = INPUTS(13);
    expect_error(e, unlucky, 3, NULL, 0, TN_ERR_CONSTRAINT, "mlp: mlp.c:9: reshape: n must not be 13 (n = 13)");
    tn_tensor right[] = INPUTS(7);
    assert_int_equal(tn_exec_set_symbol(e, "n", 8), TN_OK);
    expect_error(e, right, 3, NULL, 0, TN_ERR_SHAPE,
                 "mlp: input 'x': expected f32[n, 784], got f32[7, 784] (axis 0: n is 8 by tn_exec_set_symbol, not 7)");
    assert_int_equal(tn_exec_set_symbol(e, "n", -1), TN_OK);
    assert_int_equal(tn_exec_run(e, right, 3, NULL, 0), TN_OK);
    assert_int_equal(tn_exec_run(NULL, right, 3, NULL, 0), TN_ERR_ARGUMENT);
    assert_null(tn_exec_error(NULL));
    tn_exec_free(e);
    assert_null(tn_exec_new(NULL, NULL));
    tn_hooks hooks = {.parallel_for = NULL};
    assert_non_null(e = tn_exec_new(p, &(tn_exec_options){.hooks = &hooks, .workers = -1}));
    tn_exec_free(e);
    tn_program_free(p);
}

/* ---- Memory of inputs and outputs ----------------------------------------------------------------------------- */

static void test_strided_inputs(void **state) {
    (void)state;
    tn_program *p = handmade_mlp();
    tn_exec *e = tn_exec_new(p, NULL);
    tn_tensor inputs[] = INPUTS(5), expected[2] = {{0}}, outputs[2] = {{0}};
    static float columns[784 * 5], backwards[5], spread[40];
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 784; k++) columns[k * 5 + i] = x_data[i * 784 + k];
    for (int i = 0; i < 5; i++) backwards[4 - i] = y_data[i];
    for (int i = 0; i < 10; i++) spread[i * 4] = z_data[i];
    assert_int_equal(tn_exec_run(e, inputs, 3, expected, 2), TN_OK);
    float wanted[15];
    memcpy(wanted, expected[0].data, sizeof wanted);
    inputs[0] = tn_tensor_strided(TN_F32, columns, 2, (int64_t[]){5, 784}, (int64_t[]){1, 5});
    inputs[1] = tn_tensor_strided(TN_F32, backwards + 4, 1, (int64_t[]){5}, (int64_t[]){-1});
    inputs[2] = tn_tensor_strided(TN_F32, spread, 1, (int64_t[]){10}, (int64_t[]){4});
    assert_int_equal(tn_exec_run(e, inputs, 3, outputs, 2), TN_OK);
    assert_memory_equal(outputs[0].data, wanted, sizeof wanted);
    inputs[1].strides[0] = INT64_MAX;
    assert_int_equal(tn_exec_run(e, inputs, 3, outputs, 2), TN_ERR_LIMIT);
    tn_exec_free(e);
    tn_program_free(p);
}

static void test_strided_and_unaligned_outputs(void **state) {
    (void)state;
    tn_program *p = handmade_cache();
    tn_exec *e = tn_exec_new(p, NULL);
    float old[] = {1, 2, 3}, x[] = {10, 20, 30};
    static char bytes[100];
    float wide[9] = {0}, y[3];
    tn_tensor inputs[] = {TN_TENSOR(TN_F32, old, 3), TN_TENSOR(TN_F32, x, 3)};
    tn_tensor outputs[] = {TN_TENSOR(TN_F32, bytes + 1, 3),
                           tn_tensor_strided(TN_F32, wide + 8, 1, (int64_t[]){3}, (int64_t[]){-4})};
    assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 2), TN_OK);
    memcpy(y, bytes + 1, sizeof y);
    assert_true(y[0] == 11 && y[1] == 22 && y[2] == 33);
    assert_true(wide[8] == 100 && wide[4] == 200 && wide[0] == 300 && wide[7] == 0);
    outputs[1].strides[0] = 0;
    expect_error(e, inputs, 2, outputs, 2, TN_ERR_ARGUMENT,
                 "cache: output 'y': stride 0 on axis 0 would write over itself");
    tn_exec_free(e);
    tn_program_free(p);
}

static void test_overlaps(void **state) {
    (void)state;
    tn_program *p = handmade_cache();
    tn_exec *e = tn_exec_new(p, NULL);
    float a[10] = {0}, b[10] = {0};
    tn_tensor inputs[] = {TN_TENSOR(TN_F32, a, 4), TN_TENSOR(TN_F32, b, 4)};
    tn_tensor outputs[] = {{0}, TN_TENSOR(TN_F32, b + 3, 4)};
    expect_error(e, inputs, 2, outputs, 2, TN_ERR_ARGUMENT, "cache: output 'y' overlaps input 'x'");
    outputs[1] = TN_TENSOR(TN_F32, b + 4, 4);
    assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 2), TN_OK);
    outputs[0] = TN_TENSOR(TN_F32, a + 1, 4); /* neither the state's buffer nor apart from it */
    expect_error(e, inputs, 2, outputs, 2, TN_ERR_ARGUMENT, "cache: output 'new' overlaps input 'old'");
    outputs[0] = TN_TENSOR(TN_F32, b + 5, 4);
    expect_error(e, inputs, 2, outputs, 2, TN_ERR_ARGUMENT, "cache: output 'y' overlaps output 'new'");
    /* A strided input is read before anything is written. */
    for (int i = 0; i < 10; i++) b[i] = (float)i;
    inputs[1] = tn_tensor_strided(TN_F32, b, 1, (int64_t[]){4}, (int64_t[]){2});
    outputs[0] = (tn_tensor){0};
    outputs[1] = TN_TENSOR(TN_F32, b, 4);
    assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 2), TN_OK);
    assert_true(b[0] == 0 && b[1] == 20 && b[2] == 40 && b[3] == 60);
    tn_exec_free(e);
    tn_program_free(p);
}

static void test_state_in_place(void **state) {
    (void)state;
    tn_program *p = handmade_cache();
    tn_exec *e = tn_exec_new(p, NULL);
    float old[] = {1, 2}, x[] = {10, 20}, other[2] = {0}, wide[] = {5, 0, 6};
    tn_tensor inputs[] = {TN_TENSOR(TN_F32, old, 2), TN_TENSOR(TN_F32, x, 2)}, outputs[2] = {{0}};
    for (int i = 0; i < 3; i++) assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 2), TN_OK); /* the same array */
    assert_ptr_equal(outputs[0].data, old);
    assert_true(old[0] == 31 && old[1] == 62);
    outputs[0] = TN_TENSOR(TN_F32, other, 2);
    assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 2), TN_OK);
    assert_true(old[0] == 31 && old[1] == 62 && other[0] == 41 && other[1] == 82);
    inputs[0] = tn_tensor_strided(TN_F32, wide, 1, (int64_t[]){2}, (int64_t[]){2});
    outputs[0] = (tn_tensor){0};
    assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 2), TN_OK);
    float *buffer = outputs[0].data;
    assert_true(wide[0] == 5 && buffer[0] == 15 && buffer[1] == 26);
    /* The exec's own buffer as the next state. */
    inputs[0] = outputs[0];
    assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 2), TN_OK);
    assert_ptr_equal(outputs[0].data, buffer);
    assert_true(buffer[0] == 25 && buffer[1] == 46);
    float room[4];
    tn_tensor direct[] = {{0}, TN_TENSOR(TN_F32, room, 2)};
    inputs[0] = TN_TENSOR(TN_F32, old, 2);
    assert_int_equal(tn_run(p, inputs, direct), TN_OK); /* state needs no buffer of its own */
    assert_true(old[0] == 41 && room[1] == 200);
    tn_exec_free(e);
    tn_program_free(p);
}

static void test_no_elements(void **state) {
    (void)state;
    tn_program *p = handmade_cache();
    tn_exec *e = tn_exec_new(p, NULL);
    tn_tensor inputs[] = {TN_TENSOR(TN_F32, NULL, 0), TN_TENSOR(TN_F32, NULL, 0)}, outputs[2] = {{0}};
    assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 2), TN_OK);
    assert_int_equal(tn_tensor_elements(&outputs[1]), 0);
    outputs[0] = outputs[1] = TN_TENSOR(TN_F32, NULL, 0);
    assert_int_equal(tn_run(p, inputs, outputs), TN_OK);
    tn_exec_free(e);
    tn_program_free(p);
}

/* A size that no machine has is an error, and the exec goes on working. */
static void test_no_memory(void **state) {
    (void)state;
    tn_program *p = handmade_cache();
    tn_exec *e = tn_exec_new(p, NULL);
    float one = 1;
    int64_t huge[] = {INT64_MAX / 64}, zero[] = {0};
    tn_tensor inputs[] = {tn_tensor_strided(TN_F32, &one, 1, huge, zero),
                          tn_tensor_strided(TN_F32, &one, 1, huge, zero)};
    assert_int_equal(tn_exec_run(e, inputs, 2, NULL, 0), TN_ERR_MEMORY);
    assert_string_equal(tn_exec_error(e)->message,
                        "cache: no memory: 576460752303423484 bytes for a copy of input 'x'");
    tn_tensor right[] = {TN_TENSOR(TN_F32, &one, 1), TN_TENSOR(TN_F32, &one, 1)};
    tn_tensor outputs[2] = {{0}};
    float sum = 0;
    outputs[0] = TN_TENSOR(TN_F32, &sum, 1);
    inputs[0] = inputs[1] = right[0];
    assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 2), TN_OK);
    assert_true(sum == 2);
    tn_exec_free(e);
    tn_program_free(p);
}

/* ---- Errors while running ---------------------------------------------------------------------------------------- */

static int32_t twice(void *ctx, void *const *operands, void *const *results, const int64_t *dims) {
    const float *in = operands[0];
    float *out = results[0];
    for (int64_t i = 0; i < dims[0]; i++) out[i] = 2 * in[i];
    return *(int32_t *)ctx;
}

static int32_t ten_times(void *ctx, int32_t op, void *const *operands, void *const *results, const int64_t *dims) {
    (void)ctx;
    if (op != 0) return -1;
    for (int64_t i = 0; i < dims[0]; i++) ((float *)results[0])[i] = 10 * ((float *)operands[0])[i];
    return 0;
}

static void test_index_errors(void **state) {
    (void)state;
    int32_t result = 0;
    tn_program *p = handmade_gather((program_custom){"twice", twice, &result});
    tn_pool *pool = tn_pool_new(3);
    tn_exec *e = tn_exec_new(p, &(tn_exec_options){.pool = pool});
    float data[] = {1, 2, 3};
    static int64_t at[2000];
    for (int i = 0; i < 100; i++) at[i] = i % 3;
    tn_tensor inputs[] = {TN_TENSOR(TN_F32, data, 3), TN_TENSOR(TN_I64, at, 100)}, outputs[1] = {{0}};
    assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 1), TN_OK);
    for (int i = 0; i < 100; i++) assert_true(((float *)outputs[0].data)[i] == 2 * data[i % 3]);
    at[97] = 3;
    at[37] = -5;
    at[55] = INT64_MAX;
    for (int round = 0; round < 20; round++) {
        assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 1), TN_ERR_INDEX);
        assert_string_equal(tn_exec_error(e)->message,
                            "pick: gather at model.c:7: an index is out of range (element 37)");
    }
    assert_true(((float *)tn_exec_output(e, 0)->data)[37] == 2); /* clamped */
    at[97] = at[37] = at[55] = 0;
    assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 1), TN_OK);
    result = 5;
    expect_error(e, inputs, 2, outputs, 1, TN_ERR_CUSTOM, "pick: twice: the callback returned an error (element 0)");
    inputs[1] = TN_TENSOR(TN_I64, at, 2000); /* the assertion comes first in the program */
    outputs[0] = (tn_tensor){0};
    expect_error(e, inputs, 2, outputs, 1, TN_ERR_ASSERT,
                 "pick: assert at model.c:9: assertion failed: at most 1000 (element 0)");
    inputs[1] = TN_TENSOR(TN_I64, at, 7);
    outputs[0] = (tn_tensor){0};
    expect_error(e, inputs, 2, outputs, 1, TN_ERR_CONSTRAINT,
                 "pick: m is 7 by axis 0 of input 'at', which 2 does not divide");
    tn_exec_free(e);
    tn_pool_free(pool);
    tn_hooks hooks = {.custom = ten_times};
    e = tn_exec_new(p, &(tn_exec_options){.hooks = &hooks});
    inputs[1] = TN_TENSOR(TN_I64, at, 2);
    assert_int_equal(tn_exec_run(e, inputs, 2, outputs, 1), TN_OK);
    assert_true(((float *)outputs[0].data)[1] == 10 * data[1]);
    tn_exec_free(e);
    tn_program_free(p);
}

/* ---- Descriptions that the compiler must not make ---------------------------------------------------------------- */

static int32_t nothing(const tn_frame *frame) {
    (void)frame;
    return 0;
}

static int32_t refuse(const tn_frame *frame) {
    (void)frame;
    return 2;
}

static void expect_malformed(tn_program *p, const char *message) {
    tn_diag diag;
    assert_int_equal(program_seal(p, &diag), TN_ERR_INTERNAL);
    assert_string_equal(diag.message, message);
    tn_program_free(p);
}

static void test_malformed_programs(void **state) {
    (void)state;
    tn_tensor_info info = {"x", TN_F32, 1, {{TN_DIM_SYMBOL, 0, NULL}}, -1};
    tn_program *p = program_new("bad");
    expect_malformed(p, "bad: malformed program: there is no run entry");
    p = program_new("bad");
    p->run = nothing;
    p->n_inputs = 1;
    p->inputs = &info;
    expect_malformed(p, "bad: malformed program: a tensor's dim is malformed");
    info.rank = 9;
    p = program_new("bad");
    p->run = nothing;
    p->n_outputs = 1;
    p->outputs = &info;
    expect_malformed(p, "bad: malformed program: a tensor's rank is out of range");
    p = program_new("bad");
    p->run = refuse;
    assert_int_equal(program_seal(p, NULL), TN_OK);
    tn_exec *e = tn_exec_new(p, NULL);
    expect_error(e, NULL, 0, NULL, 0, TN_ERR_INTERNAL, "bad: the code refused the frame (check 2)");
    tn_exec_free(e);
    tn_program_free(p);
}

#ifdef TN_HOSTILE_MALLOC
static tn_status use_everything(void) {
    static const float w[4] = {1, 2, 3, 4}, b[4] = {0}, x[8] = {1};
    const char *name = "w";
    tn_tensor strided = tn_tensor_strided(TN_F32, (void *)x, 2, (int64_t[]){2, 4}, (int64_t[]){0, 1}), output = {0};
    tn_tensor again = TN_TENSOR(TN_F32, b, 4);
    tn_program *p = handmade_scale(w, b, NULL, NULL);
    tn_exec *e = tn_exec_new(p, NULL);
    tn_status status = e == NULL ? TN_ERR_MEMORY : tn_exec_run(e, &strided, 1, &output, 1);
    if (status == TN_OK) status = tn_program_set_weights(p, &name, &again, 1, NULL);
    if (status == TN_OK) status = tn_run(p, &strided, &output);
    tn_exec_free(e);
    tn_program_free(p);
    return status;
}

/* Every allocation failing in turn: an error each time, nothing leaked (the sanitizer tells). */
static void test_failing_allocations(void **state) {
    (void)state;
    tn_status status = TN_ERR_MEMORY;
    uint64_t nth = 0;
    for (; status != TN_OK; nth++) {
        tn_malloc_fail_at(nth, false);
        status = use_everything();
        assert_true(status == TN_OK || status == TN_ERR_MEMORY);
        assert_true(nth < 1000);
    }
    assert_int_equal(tn_malloc_fail_at(UINT64_MAX, false), nth - 1);
    assert_true(nth > 20);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_positional),
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_shapes_before_running),
        cmocka_unit_test(test_convenience_run),
        cmocka_unit_test(test_descriptions),
        cmocka_unit_test(test_wrong_tensors),
        cmocka_unit_test(test_wrong_calls),
        cmocka_unit_test(test_strided_inputs),
        cmocka_unit_test(test_strided_and_unaligned_outputs),
        cmocka_unit_test(test_overlaps),
        cmocka_unit_test(test_state_in_place),
        cmocka_unit_test(test_no_elements),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_index_errors),
        cmocka_unit_test(test_malformed_programs),
#ifdef TN_HOSTILE_MALLOC
        cmocka_unit_test(test_failing_allocations),
#endif
    };
    fill_data();
    return cmocka_run_group_tests_name("runtime", tests, NULL, NULL);
}
