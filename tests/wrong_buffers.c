/* Wrong buffers given to compiled programs, and the exact message each gives.
 *
 * Each row spoils one thing of a call that is right; the program must refuse it, or report what went wrong while it
 * ran, and run as before afterwards.
 */
#include "tenon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char text[] =
    "module \"net\"\n"
    "fn @main(%x: f32[n, 4], %y: f32[m, 4], %i: i64[k, 1], %c: bool[], %s: f32[4] state,\n"
    "         %w: f32[4] weight) -> (%sum: f32[n, 4], %rows: f32[k, 4], %next: f32[4] updates %s)\n"
    "  where n in [1, 8], k % 2 == 0\n"
    "{\n"
    "  %t = token\n"
    "  %a = assert %t, %c, message=\"c must hold\"\n"
    "  %0 = add %x, %y\n"
    "  %1 = gather %x, %i, axes=[0]\n"
    "  %2 = add %s, %w\n"
    "  return %0, %1, %2\n"
    "}\n";

/* A call: what a row spoils. */
typedef struct call {
    tn_program *p;
    tn_exec *exec;
    float x[3 * 4], y[3 * 4], s[4], sum[3 * 4], rows[2 * 4], next[4];
    int64_t i[2];
    bool c;
    tn_tensor in[5], out[3];
    int n_in, n_out;
    const char *set_name; /* a name given to tn_exec_set_input instead of a run */
    const char *weights[2];
    tn_tensor weight[2];
    int n_weights; /* over 0: tn_program_set_weights instead of a run */
} call;

static void good_call(call *k) {
    k->i[0] = k->i[1] = 2;
    k->c = true;
    k->in[0] = TN_TENSOR(TN_F32, k->x, 3, 4);
    k->in[1] = TN_TENSOR(TN_F32, k->y, 3, 4);
    k->in[2] = TN_TENSOR(TN_I64, k->i, 2, 1);
    k->in[3] = tn_tensor_of(TN_BOOL, &k->c, 0, NULL);
    k->in[4] = TN_TENSOR(TN_F32, k->s, 4);
    k->out[0] = TN_TENSOR(TN_F32, k->sum, 3, 4);
    k->out[1] = TN_TENSOR(TN_F32, k->rows, 2, 4);
    k->out[2] = TN_TENSOR(TN_F32, k->next, 4);
    k->n_in = 5;
    k->n_out = 3;
    k->set_name = NULL;
    k->n_weights = 0;
}

/* ---- What is spoiled ----------------------------------------------------------------------------------- */

static void input_rank(call *k) { k->in[0] = TN_TENSOR(TN_F32, k->x, 12); }
static void input_dtype(call *k) { k->in[0].dtype = TN_F16; }
static void input_axis(call *k) { k->in[0] = TN_TENSOR(TN_F32, k->x, 4, 3); }
static void input_negative(call *k) { k->in[0].shape[0] = -3; }
static void input_no_data(call *k) { k->in[1].data = NULL; }
static void input_rank_nine(call *k) { k->in[0].rank = 9; }
static void input_device(call *k) { k->in[0].device = 1; }
static void input_huge(call *k) { k->in[0].shape[0] = INT64_MAX; }
static void input_count(call *k) { k->n_in = 4; }
static void input_scalar(call *k) { k->in[3] = TN_TENSOR(TN_BOOL, &k->c, 1); }
static void input_token(call *k) { k->in[0].dtype = TN_TOKEN; }
static void input_name(call *k) { k->set_name = "z"; }
static void rows_differ(call *k) { k->in[1] = TN_TENSOR(TN_F32, k->y, 2, 4); }
static void above_bound(call *k) { k->in[0] = k->in[1] = TN_TENSOR(TN_F32, k->x, 9, 4); }
static void not_divisible(call *k) { k->in[2] = TN_TENSOR(TN_I64, k->i, 1, 1); }
static void output_count(call *k) { k->n_out = 2; }
static void output_axis(call *k) { k->out[0] = TN_TENSOR(TN_F32, k->sum, 2, 4); }
static void output_dtype(call *k) { k->out[1].dtype = TN_F64; }
static void output_on_input(call *k) { k->out[0].data = k->x + 4; }
static void output_on_output(call *k) { k->out[1].data = k->sum; }
static void output_spread(call *k) {
    k->out[0] = tn_tensor_strided(TN_F32, k->sum, 2, (int64_t[]){3, 4}, (int64_t[]){0, 1});
}
static void state_shape(call *k) { k->in[4] = TN_TENSOR(TN_F32, k->s, 3); }
static void index_high(call *k) { k->i[1] = 3; }
static void index_low(call *k) { k->i[0] = INT64_MIN; }
static void assertion(call *k) { k->c = false; }
static void weight_name(call *k) {
    k->weights[0] = "v";
    k->weight[0] = TN_TENSOR(TN_F32, k->s, 4);
    k->n_weights = 1;
}
static void weight_shape(call *k) {
    k->weights[0] = "w";
    k->weight[0] = TN_TENSOR(TN_F32, k->s, 2, 2);
    k->n_weights = 1;
}
static void weight_dtype(call *k) {
    k->weights[0] = "w";
    k->weight[0] = TN_TENSOR(TN_I32, k->s, 4);
    k->n_weights = 1;
}
static void weight_twice(call *k) {
    k->weights[0] = k->weights[1] = "w";
    k->weight[0] = k->weight[1] = TN_TENSOR(TN_F32, k->s, 4);
    k->n_weights = 2;
}

static const struct {
    const char *name;
    void (*spoil)(call *k);
    tn_status status;
    const char *message;
} wrong[] = {
#define ROW(spoil, status, message) {#spoil, spoil, TN_ERR_##status, message}
    ROW(input_rank, SHAPE, "net: input 'x': expected f32[n, 4], got f32[12] (rank 2 is not 1)"),
    ROW(input_dtype, DTYPE, "net: input 'x': expected f32[n, 4], got f16[3, 4] (dtype f32 is not f16)"),
    ROW(input_axis, SHAPE, "net: input 'x': expected f32[n, 4], got f32[4, 3] (axis 1: 4 is not 3)"),
    ROW(input_negative, SHAPE, "net: input 'x': expected f32[n, 4], got f32[-3, 4] (axis 0: -3 is negative)"),
    ROW(input_no_data, ARGUMENT, "net: input 'y': has no data"),
    ROW(input_rank_nine, SHAPE,
        "net: input 'x': expected f32[n, 4], got f32[3, 4, 0, 0, 0, 0, 0, 0] (rank 2 is not 9)"),
    ROW(input_device, ARGUMENT, "net: input 'x': is on device 1, only the host (0) is known"),
    ROW(input_huge, LIMIT,
        "net: input 'x': expected f32[n, 4], got f32[9223372036854775807, 4] (its bytes do not fit in 63 bits)"),
    ROW(input_count, ARGUMENT, "net: 4 inputs are given, the program has 5"),
    ROW(input_scalar, SHAPE, "net: input 'c': expected bool[], got bool[1] (rank 0 is not 1)"),
    ROW(input_token, DTYPE, "net: input 'x': expected f32[n, 4], got token[3, 4] (dtype f32 is not token)"),
    ROW(input_name, ARGUMENT, "net: no input is called 'z' (it has x, y, i, c, s)"),
    ROW(rows_differ, CONSTRAINT, "net: net.tn:8: add: n = m (n = 3, m = 2, k = 2)"),
    ROW(above_bound, CONSTRAINT, "net: n is 9 by axis 0 of input 'x', but at most 8 is allowed"),
    ROW(not_divisible, CONSTRAINT, "net: k is 1 by axis 0 of input 'i', which 2 does not divide"),
    ROW(output_count, ARGUMENT, "net: 2 outputs are given, the program has 3"),
    ROW(output_axis, SHAPE, "net: output 'sum': expected f32[n, 4], got f32[2, 4] (axis 0: 3 is not 2)"),
    ROW(output_dtype, DTYPE, "net: output 'rows': expected f32[k, 4], got f64[2, 4] (dtype f32 is not f64)"),
    ROW(output_on_input, ARGUMENT, "net: output 'sum' overlaps input 'x'"),
    ROW(output_on_output, ARGUMENT, "net: output 'rows' overlaps output 'sum'"),
    ROW(output_spread, ARGUMENT, "net: output 'sum': stride 0 on axis 0 would write over itself"),
    ROW(state_shape, SHAPE, "net: input 's': expected f32[4], got f32[3] (axis 0: 4 is not 3)"),
    ROW(index_high, INDEX, "net: gather at net.tn:9: an index is out of range (element 1)"),
    ROW(index_low, INDEX, "net: gather at net.tn:9: an index is out of range (element 0)"),
    ROW(assertion, ASSERT, "net: assert at net.tn:7: assertion failed: c must hold (element 0)"),
    ROW(weight_name, ARGUMENT, "net: no weight is called 'v' (it has w)"),
    ROW(weight_shape, SHAPE, "net: weight 'w': expected f32[4], got f32[2, 2] (rank 1 is not 2)"),
    ROW(weight_dtype, DTYPE, "net: weight 'w': expected f32[4], got i32[4] (dtype f32 is not i32)"),
    ROW(weight_twice, ARGUMENT, "net: weight 'w' is given twice"),
#undef ROW
};

/* ---- The test ------------------------------------------------------------------------------------------- */

static tn_program *compile(void) {
    static const float w[4] = {1, 2, 3, 4};
    tn_module *m = tn_module_parse(text, sizeof text - 1, "net.tn");
    assert_non_null(m);
    tn_program *p = tn_compile_module(m, NULL);
    if (!p) fail_msg("%s", tn_module_error(m)->message);
    tn_module_free(m);
    tn_tensor weights = TN_TENSOR(TN_F32, w, 4);
    assert_int_equal(tn_program_set_weights(p, (const char *[]){"w"}, &weights, 1, NULL), TN_OK);
    return p;
}

static tn_status make(call *k, tn_diag *diag) {
    *diag = (tn_diag){0};
    if (k->n_weights) return tn_program_set_weights(k->p, k->weights, k->weight, k->n_weights, diag);
    tn_status status = k->set_name ? tn_exec_set_input(k->exec, k->set_name, &k->in[0])
                                   : tn_exec_run(k->exec, k->in, k->n_in, k->out, k->n_out);
    if (tn_exec_error(k->exec)) *diag = *tn_exec_error(k->exec);
    return status;
}

static void test_messages(void **state) {
    (void)state;
    static call k;
    tn_diag diag;
    k.p = compile();
    k.exec = tn_exec_new(k.p, NULL);
    assert_non_null(k.exec);
    int differing = 0;
    for (size_t r = 0; r < sizeof wrong / sizeof *wrong; r++) {
        good_call(&k);
        wrong[r].spoil(&k);
        tn_status status = make(&k, &diag);
        if (status != wrong[r].status || strcmp(diag.message, wrong[r].message) != 0) {
            print_message("%s:\n  says  %s: %s\n  wants %s: %s\n", wrong[r].name, tn_status_name(status), diag.message,
                          tn_status_name(wrong[r].status), wrong[r].message);
            differing++;
        }
        good_call(&k);
        k.x[4] = 5;
        k.y[4] = 7;
        if (make(&k, &diag) != TN_OK) fail_msg("after %s: %s", wrong[r].name, diag.message);
        assert_true(k.sum[4] == 12 && k.next[3] == 4);
    }
    print_message("# %d wrong calls of programs\n", (int)(sizeof wrong / sizeof *wrong));
    assert_int_equal(differing, 0);
    tn_exec_free(k.exec);
    tn_program_free(k.p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages)};
    return cmocka_run_group_tests_name("wrong_buffers", tests, NULL, NULL);
}
