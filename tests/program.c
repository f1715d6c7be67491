/* Compiled programs as their users meet them: odd signatures and buffers, state, errors at run time,
 * users' own ops. Modules are given as text, so that locations in messages are lines of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "tenon_compile.h"

/* ---- Helpers -------------------------------------------------------------------------------------- */

static tn_program *compile_with(const char *text, const tn_compile_options *options) {
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    tn_program *p = tn_compile_module(m, options);
    if (!p) fail_msg("%s:%d: %s", tn_module_error(m)->file, tn_module_error(m)->line, tn_module_error(m)->message);
    tn_module_free(m);
    return p;
}

static tn_program *compile(const char *text) { return compile_with(text, NULL); }

/* The message of compiling what cannot be compiled. */
static void assert_refused(const char *text, const char *message) {
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    assert_null(tn_compile_module(m, NULL));
    assert_non_null(tn_module_error(m));
    if (!strstr(tn_module_error(m)->message, message))
        fail_msg("got: %s\nwanted: %s", tn_module_error(m)->message, message);
    tn_module_free(m);
}

static void run(tn_program *p, const tn_tensor *inputs, tn_tensor *outputs) {
    tn_diag diag = {0};
    if (tn_run(p, inputs, outputs) != TN_OK) {
        tn_program_error(p, &diag);
        fail_msg("%s", diag.message);
    }
}

static void assert_floats(const float *got, const float *want, size_t n, const char *what) {
    for (size_t i = 0; i < n; i++)
        if (!(got[i] == want[i])) fail_msg("%s[%zu] is %g, not %g", what, i, (double)got[i], (double)want[i]);
}

/* ---- Signatures ------------------------------------------------------------------------------------- */

static void test_parameters_and_constants_as_results(void **state) {
    (void)state;
    tn_program *p = compile("module \"m\"\n"
                            "fn @main(%x: f32[n]) -> (%a: f32[n], %b: f32[3], %c: f32[n], %d: f32[]) {\n"
                            "  %k = constant value=f32[3] {1, 2, 3}\n"
                            "  %s = constant value=f32[] {7}\n"
                            "  return %x, %k, %x, %s\n"
                            "}\n");
    float x[2] = {5, 6}, a[2], b[3], c[2], d;
    tn_tensor in = TN_TENSOR(TN_F32, x, 2);
    tn_tensor out[] = {TN_TENSOR(TN_F32, a, 2), TN_TENSOR(TN_F32, b, 3), TN_TENSOR(TN_F32, c, 2),
                       tn_tensor_of(TN_F32, &d, 0, NULL)};
    run(p, &in, out);
    assert_floats(a, x, 2, "a");
    assert_floats(b, (float[]){1, 2, 3}, 3, "b");
    assert_floats(c, x, 2, "c");
    assert_true(d == 7);
    tn_program_free(p);
}

static void test_one_value_as_several_results(void **state) {
    (void)state;
    tn_program *p = compile("module \"m\"\n"
                            "fn @main(%x: f32[2, 3]) -> (%a: f32[2, 3], %b: f32[2, 3], %c: f32[6]) {\n"
                            "  %0 = add %x, %x\n"
                            "  %1 = reshape %0, shape=[6]\n"
                            "  return %0, %0, %1\n"
                            "}\n");
    float x[6] = {1, 2, 3, 4, 5, 6}, want[6] = {2, 4, 6, 8, 10, 12}, a[6], b[6], c[6];
    tn_tensor in = TN_TENSOR(TN_F32, x, 2, 3);
    tn_tensor out[] = {TN_TENSOR(TN_F32, a, 2, 3), TN_TENSOR(TN_F32, b, 2, 3), TN_TENSOR(TN_F32, c, 6)};
    run(p, &in, out);
    assert_floats(a, want, 6, "a");
    assert_floats(b, want, 6, "b");
    assert_floats(c, want, 6, "c");
    tn_program_free(p);
}

static void test_views_as_results(void **state) {
    (void)state;
    tn_program *p =
        compile("module \"m\"\n"
                "fn @main(%x: f32[2, 3]) -> (%t: f32[3, 2], %r: f32[2, 3], %b: f32[2, 2, 3], %s: f32[2, 1]) {\n"
                "  %t = transpose %x, perm=[1, 0]\n"
                "  %r = reverse %x, axes=[0, 1]\n"
                "  %b = broadcast %x, dims=[1, 2], shape=[2, 2, 3]\n"
                "  %s = slice %x, start=[0, 1], limit=[2, 2], stride=[1, 1]\n"
                "  return %t, %r, %b, %s\n"
                "}\n");
    float x[6] = {1, 2, 3, 4, 5, 6}, t[6], r[6], b[12], s[2];
    tn_tensor in = TN_TENSOR(TN_F32, x, 2, 3);
    tn_tensor out[] = {TN_TENSOR(TN_F32, t, 3, 2), TN_TENSOR(TN_F32, r, 2, 3), TN_TENSOR(TN_F32, b, 2, 2, 3),
                       TN_TENSOR(TN_F32, s, 2, 1)};
    run(p, &in, out);
    assert_floats(t, (float[]){1, 4, 2, 5, 3, 6}, 6, "t");
    assert_floats(r, (float[]){6, 5, 4, 3, 2, 1}, 6, "r");
    assert_floats(b, (float[]){1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6}, 12, "b");
    assert_floats(s, (float[]){2, 5}, 2, "s");
    tn_program_free(p);
}

static void test_sizes_of_zero_and_rank_zero(void **state) {
    (void)state;
    tn_program *p =
        compile("module \"m\"\n"
                "fn @main(%x: f32[n, k], %c: f32[]) -> (%y: f32[n, k], %sum: f32[n], %all: f32[], %m: f32[n, n]) {\n"
                "  %b = broadcast %c, dims=[], shape=[n, k]\n"
                "  %y = add %x, %b\n"
                "  %sum = reduce %y, kind=sum, axes=[1]\n"
                "  %all = reduce %y, kind=max, axes=[0, 1]\n"
                "  %m = dot %y, %y, contract=[1]x[1]\n"
                "  return %y, %sum, %all, %m\n"
                "}\n");
    static const int64_t sizes[][2] = {{0, 0}, {0, 3}, {2, 0}, {2, 3}, {1, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t n = sizes[i][0], k = sizes[i][1];
        float x[6] = {1, 2, 3, 4, 5, 6}, c = 1, y[6], sum[2], all, m[4];
        tn_tensor in[] = {TN_TENSOR(TN_F32, n * k > 0 ? x : NULL, n, k), tn_tensor_of(TN_F32, &c, 0, NULL)};
        tn_tensor out[] = {TN_TENSOR(TN_F32, n * k > 0 ? y : NULL, n, k), TN_TENSOR(TN_F32, n > 0 ? sum : NULL, n),
                           tn_tensor_of(TN_F32, &all, 0, NULL), TN_TENSOR(TN_F32, n > 0 ? m : NULL, n, n)};
        /* An exec, since tn_run wants data of all outputs. */
        tn_exec *e = tn_exec_new(p, NULL);
        if (tn_exec_run(e, in, 2, out, 4) != TN_OK) fail_msg("%s", tn_exec_error(e)->message);
        tn_exec_free(e);
        for (int64_t row = 0; row < n; row++) {
            float want = 0;
            for (int64_t j = 0; j < k; j++) want += x[row * k + j] + 1;
            assert_true(sum[row] == want);
            assert_true(k > 0 || m[row * n] == 0);
        }
        assert_true(n * k > 0 ? all == (float)(n * k + 1) : all == -1.0f / 0.0f);
    }
    tn_program_free(p);
}

static void test_unaligned_buffers(void **state) {
    (void)state;
    tn_program *p = compile("module \"m\"\n"
                            "fn @main(%x: f32[n], %i: i16[n], %w: f64[n]) -> (%y: f32[n], %j: i16[n], %s: f64[]) {\n"
                            "  %y = mul %x, %x\n"
                            "  %j = neg %i\n"
                            "  %s = reduce %w, kind=sum, axes=[0]\n"
                            "  return %y, %j, %s\n"
                            "}\n");
    char room[6][800];
    enum { N = 37 };
    for (int shift = 1; shift < 8; shift += 2) {
        float x[N], y[N];
        int16_t i[N], j[N];
        double w[N], s, want = 0;
        for (int k = 0; k < N; k++) {
            x[k] = (float)k;
            i[k] = (int16_t)k;
            w[k] = k;
            want += k;
        }
        memcpy(room[0] + shift, x, sizeof x);
        memcpy(room[1] + shift, i, sizeof i);
        memcpy(room[2] + shift, w, sizeof w);
        tn_tensor in[] = {TN_TENSOR(TN_F32, room[0] + shift, N), TN_TENSOR(TN_I16, room[1] + shift, N),
                          TN_TENSOR(TN_F64, room[2] + shift, N)};
        tn_tensor out[] = {TN_TENSOR(TN_F32, room[3] + shift, N), TN_TENSOR(TN_I16, room[4] + shift, N),
                           tn_tensor_of(TN_F64, room[5] + shift, 0, NULL)};
        run(p, in, out);
        memcpy(y, room[3] + shift, sizeof y);
        memcpy(j, room[4] + shift, sizeof j);
        memcpy(&s, room[5] + shift, sizeof s);
        for (int k = 0; k < N; k++) assert_true(y[k] == x[k] * x[k] && j[k] == -i[k]);
        assert_true(s == want);
    }
    tn_program_free(p);
}

/* ---- State ---------------------------------------------------------------------------------------------- */

static void test_state_across_runs(void **state) {
    (void)state;
    tn_program *p = compile("module \"m\"\n"
                            "fn @main(%s: f32[n] state, %x: f32[n]) -> (%next: f32[n] updates %s, %old: f32[n]) {\n"
                            "  %next = add %s, %x\n"
                            "  return %next, %s\n"
                            "}\n");
    float s[4] = {0}, x[4] = {1, 2, 3, 4}, old[4];
    tn_tensor in[] = {TN_TENSOR(TN_F32, s, 4), TN_TENSOR(TN_F32, x, 4)};
    for (int step = 1; step <= 5; step++) {
        tn_tensor out[] = {TN_TENSOR(TN_F32, s, 4), TN_TENSOR(TN_F32, old, 4)};
        run(p, in, out);
        for (int i = 0; i < 4; i++) assert_true(s[i] == (float)step * x[i] && old[i] == (float)(step - 1) * x[i]);
    }
    tn_program_free(p);
}

/* Each state takes the other's old value: there is no order of copies that serves. */
static void test_states_that_change_places(void **state) {
    (void)state;
    tn_program *p =
        compile("module \"m\"\n"
                "fn @main(%a: f32[3] state, %b: f32[3] state, %c: f32[3] state)\n"
                "    -> (%x: f32[3] updates %a, %y: f32[3] updates %b, %z: f32[3] updates %c, %was: f32[3]) {\n"
                "  return %b, %c, %a, %a\n"
                "}\n");
    float a[3] = {1, 1, 1}, b[3] = {2, 2, 2}, c[3] = {3, 3, 3}, was[3];
    tn_tensor in[] = {TN_TENSOR(TN_F32, a, 3), TN_TENSOR(TN_F32, b, 3), TN_TENSOR(TN_F32, c, 3)};
    tn_tensor out[] = {in[0], in[1], in[2], TN_TENSOR(TN_F32, was, 3)};
    run(p, in, out);
    assert_true(a[0] == 2 && b[1] == 3 && c[2] == 1);
    assert_floats(was, (float[]){1, 1, 1}, 3, "was");
    run(p, in, out);
    assert_true(a[0] == 3 && b[1] == 1 && c[2] == 2);
    tn_program_free(p);
}

/* A next value is made where the old one is when that is read where it is written and by nobody afterwards; else it
 * has a place in the arena. */
static void test_states_in_place(void **state) {
    (void)state;
    static const struct {
        const char *nodes;
        int n_extra; /* results that are no state */
        bool in_place;
        float next[4]; /* of s = 1, 2, 3, 4 and x = 10 */
    } cases[] = {
        {"  %0 = add %s, %x\n  return %0\n", 0, true, {11, 12, 13, 14}},
        {"  %0 = mul %s, %s\n  %1 = add %0, %x\n  return %1\n", 0, true, {11, 14, 19, 26}},
        {"  %0 = reverse %s, axes=[0]\n  %1 = add %0, %s\n  return %1\n", 0, false, {5, 5, 5, 5}},
        {"  %0 = cumulate %s, axis=0, kind=sum\n  return %0\n", 0, true, {1, 3, 6, 10}},
        {"  %0 = add %s, %x\n  return %0, %s\n", 1, false, {11, 12, 13, 14}},
        {"  %0 = add %s, %x\n  %1 = sort %s, axis=0\n  return %0, %1\n", 1, false, {11, 12, 13, 14}},
    };
    enum { MANY = 4096 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "module \"m\"\nfn @main(%%s: f32[n] state, %%x: f32[n]) -> (%%next: f32[n] updates %%s%s) {\n%s}\n",
                 cases[i].n_extra ? ", %was: f32[n]" : "", cases[i].nodes);
        tn_program *p = compile(text);
        float s[4] = {1, 2, 3, 4}, x[4] = {10, 10, 10, 10}, was[4];
        tn_tensor in[] = {TN_TENSOR(TN_F32, s, 4), TN_TENSOR(TN_F32, x, 4)};
        tn_tensor out[] = {TN_TENSOR(TN_F32, s, 4), TN_TENSOR(TN_F32, was, 4)};
        run(p, in, out);
        assert_floats(s, cases[i].next, 4, cases[i].nodes);
        if (cases[i].n_extra) assert_floats(was, (float[]){1, 2, 3, 4}, 4, cases[i].nodes);
        /* Written elsewhere, the state keeps its old value. */
        float before[4] = {1, 2, 3, 4}, after[4];
        in[0].data = before;
        out[0].data = after;
        run(p, in, out);
        assert_floats(after, cases[i].next, 4, cases[i].nodes);
        assert_floats(before, (float[]){1, 2, 3, 4}, 4, cases[i].nodes);
        tn_exec *e = tn_exec_new(p, NULL);
        tn_tensor large[] = {TN_TENSOR(TN_F32, NULL, MANY), TN_TENSOR(TN_F32, NULL, MANY)};
        assert_int_equal(tn_exec_bind(e, large, 2), TN_OK);
        if ((tn_exec_arena_bytes(e) < MANY * sizeof(float)) != cases[i].in_place)
            fail_msg("%s: arena of %zu bytes", cases[i].nodes, tn_exec_arena_bytes(e));
        tn_exec_free(e);
        tn_program_free(p);
    }
}

/* Of a kernel's results only one may take over the operand that dies, also when nobody reads the other. */
static void test_unread_result(void **state) {
    (void)state;
    tn_program *p = compile("module \"m\"\n"
                            "fn @main(%x: f32[4]) -> (%y: f32[4]) {\n"
                            "  %0 = call %x, callee=@negate : f32[4]\n"
                            "  %1, %2 = call %0, callee=@both : f32[4], f32[4]\n"
                            "  %3 = call %2, callee=@negate : f32[4]\n"
                            "  return %3\n"
                            "}\n"
                            "kernel fn @negate(%a: f32[4]) -> (%r: f32[4]) {\n"
                            "  %0 = neg %a\n"
                            "  return %0\n"
                            "}\n"
                            "kernel fn @both(%a: f32[4]) -> (%r: f32[4], %s: f32[4]) {\n"
                            "  %0 = neg %a\n"
                            "  %1 = abs %a\n"
                            "  return %1, %0\n"
                            "}\n");
    float x[4] = {1, -2, 3, -4}, y[4];
    tn_tensor in = TN_TENSOR(TN_F32, x, 4), out = TN_TENSOR(TN_F32, y, 4);
    run(p, &in, &out);
    assert_floats(y, (float[]){-1, 2, -3, 4}, 4, "y");
    tn_program_free(p);
}

/* ---- Errors at run time ------------------------------------------------------------------------------------ */

static void assert_run_fails(tn_program *p, tn_pool *pool, const tn_tensor *in, int n_in, tn_tensor *out, int n_out,
                             tn_status status, const char *message) {
    tn_exec *e = tn_exec_new(p, &(tn_exec_options){.pool = pool});
    tn_status got = tn_exec_run(e, in, n_in, out, n_out);
    if (got != status || strcmp(tn_exec_error(e)->message, message) != 0)
        fail_msg("got %s: %s\nwanted: %s", tn_status_name(got), tn_exec_error(e) ? tn_exec_error(e)->message : "",
                 message);
    tn_exec_free(e);
}

static void test_index_errors(void **state) {
    (void)state;
    tn_program *p = compile("module \"m\"\n"
                            "fn @main(%x: f32[n], %i: i64[k, 1], %j: i64[k, 1]) -> (%y: f32[k], %z: f32[k]) {\n"
                            "  %y = gather %x, %i, axes=[0]\n"
                            "  %z = gather %y, %j, axes=[0]\n"
                            "  return %y, %z\n"
                            "}\n");
    enum { N = 100000 };
    static float x[10], y[N], z[N];
    static int64_t i[N], j[N];
    tn_pool *pool = tn_pool_new(2);
    for (int k = 0; k < 10; k++) x[k] = (float)k;
    tn_tensor in[] = {TN_TENSOR(TN_F32, x, 10), TN_TENSOR(TN_I64, i, N, 1), TN_TENSOR(TN_I64, j, N, 1)};
    tn_tensor out[] = {TN_TENSOR(TN_F32, y, N), TN_TENSOR(TN_F32, z, N)};
    /* The smallest wrong index of the first op counts, whoever meets another first. */
    i[77777] = 10;
    i[99999] = -1;
    j[5] = N;
    for (int threads = 0; threads < 4; threads++) {
        assert_run_fails(p, threads % 2 ? pool : NULL, in, 3, out, 2, TN_ERR_INDEX,
                         "m: gather at m.tn:3: an index is out of range (element 77777)");
        assert_true(y[77777] == 9 && y[99999] == 0); /* the nearest element was read */
        assert_true(z[5] == y[N - 1]);
    }
    i[77777] = i[99999] = 0;
    assert_run_fails(p, pool, in, 3, out, 2, TN_ERR_INDEX, "m: gather at m.tn:4: an index is out of range (element 5)");
    j[5] = 0;
    run(p, in, out);
    tn_pool_free(pool);
    tn_program_free(p);
}

static void test_asserts(void **state) {
    (void)state;
    tn_program *p = compile("module \"m\"\n"
                            "fn @main(%x: f32[n]) -> (%y: f32[n]) {\n"
                            "  %t = token\n"
                            "  %zero = constant value=f32[] {0}\n"
                            "  %least = reduce %x, kind=min, axes=[0]\n"
                            "  %good = compare %least, %zero, compare=ge\n"
                            "  %u = assert %t, %good, message=\"x must not be negative\"\n"
                            "  %y = sqrt %x\n"
                            "  return %y\n"
                            "}\n");
    float x[3] = {1, 4, 9}, y[3];
    tn_tensor in = TN_TENSOR(TN_F32, x, 3), out = TN_TENSOR(TN_F32, y, 3);
    run(p, &in, &out);
    assert_floats(y, (float[]){1, 2, 3}, 3, "y");
    x[1] = -4;
    assert_run_fails(p, NULL, &in, 1, &out, 1, TN_ERR_ASSERT,
                     "m: assert at m.tn:7: assertion failed: x must not be negative (element 0)");
    assert_true(y[0] == 1 && y[2] == 3); /* the run went on */
    tn_program_free(p);
}

static void test_constraints(void **state) {
    (void)state;
    tn_program *p = compile("module \"m\"\n"
                            "fn @main(%x: f32[n], %y: f32[m]) -> (%s: f32[n], %r: f32[4, floordiv(n, 4)]) {\n"
                            "  %s = add %x, %y\n"
                            "  %r = reshape %x, shape=[4, floordiv(n, 4)]\n"
                            "  return %s, %r\n"
                            "}\n");
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[8] = {0}, s[8], r[8];
    tn_tensor in[] = {TN_TENSOR(TN_F32, x, 8), TN_TENSOR(TN_F32, y, 8)};
    tn_tensor out[] = {TN_TENSOR(TN_F32, s, 8), TN_TENSOR(TN_F32, r, 4, 2)};
    run(p, in, out);
    in[1].shape[0] = 7;
    assert_run_fails(p, NULL, in, 2, NULL, 0, TN_ERR_CONSTRAINT, "m: m.tn:3: add: n = m (n = 8, m = 7)");
    in[0].shape[0] = in[1].shape[0] = 6;
    assert_run_fails(p, NULL, in, 2, NULL, 0, TN_ERR_CONSTRAINT, "m: m.tn:4: reshape: 4 must divide n (n = 6, m = 6)");
    tn_program_free(p);
}

/* ---- Users' own ops, prints --------------------------------------------------------------------------------- */

static int32_t scale_rows(void *ctx, void *const *operands, void *const *results, const int64_t *dims) {
    /* x[n, k], f[n] -> y[n, k] */
    if (dims[2] != dims[0] || dims[3] != dims[0] || dims[4] != dims[1]) return 1;
    const float *x = operands[0], *f = operands[1];
    float *y = results[0];
    for (int64_t i = 0; i < dims[0] * dims[1]; i++) y[i] = x[i] * f[i / dims[1]];
    return *(const int32_t *)ctx;
}

static const char custom_text[] = "module \"m\"\n"
                                  "fn @main(%x: f32[n, k], %f: f32[n]) -> (%y: f32[n, k]) {\n"
                                  "  %0 = neg %x\n"
                                  "  %1 = custom %0, %f, name=\"scale_rows\"\n"
                                  "  %2 = neg %1\n"
                                  "  return %2\n"
                                  "}\n";

static void test_custom_ops(void **state) {
    (void)state;
    int32_t outcome = 0;
    tn_custom_op op = {"scale_rows", scale_rows, &outcome};
    tn_program *p = compile_with(custom_text, &(tn_compile_options){.customs = &op, .n_customs = 1});
    float x[6] = {1, 2, 3, 4, 5, 6}, f[2] = {10, 100}, y[6];
    tn_tensor in[] = {TN_TENSOR(TN_F32, x, 2, 3), TN_TENSOR(TN_F32, f, 2)}, out = TN_TENSOR(TN_F32, y, 2, 3);
    run(p, in, &out);
    assert_floats(y, (float[]){10, 20, 30, 400, 500, 600}, 6, "y");
    outcome = 3;
    assert_run_fails(p, NULL, in, 2, &out, 1, TN_ERR_CUSTOM,
                     "m: scale_rows at m.tn:4: the callback returned an error (element 0)");
    tn_program_free(p);
    p = compile(custom_text); /* nobody has registered it */
    assert_run_fails(p, NULL, in, 2, &out, 1, TN_ERR_CUSTOM,
                     "m: scale_rows at m.tn:4: the callback returned an error (element 0)");
    tn_program_free(p);
}

typedef struct printed {
    int n;
    char text[2][100];
} printed;

static void take_print(void *ctx, const char *message, const tn_tensor *value) {
    printed *all = ctx;
    char type[40];
    if (all->n < 2)
        snprintf(all->text[all->n], sizeof all->text[0], "%s %s %g", message, tn_tensor_text(value, type, sizeof type),
                 (double)((const float *)value->data)[0]);
    all->n++;
}

static void test_prints(void **state) {
    (void)state;
    tn_program *p = compile("module \"m\"\n"
                            "fn @main(%x: f32[n]) -> (%y: f32[n]) {\n"
                            "  %t = token\n"
                            "  %0 = add %x, %x\n"
                            "  %u = print %t, %0, message=\"twice\"\n"
                            "  %y = neg %0\n"
                            "  %v = print %u, %y, message=\"result\"\n"
                            "  return %y\n"
                            "}\n");
    float x[2] = {1, 2}, y[2];
    printed all = {0};
    tn_hooks hooks = {.ctx = &all, .print = take_print};
    tn_tensor in = TN_TENSOR(TN_F32, x, 2), out = TN_TENSOR(TN_F32, y, 2);
    run(p, &in, &out); /* to nobody */
    tn_exec *e = tn_exec_new(p, &(tn_exec_options){.hooks = &hooks});
    assert_int_equal(tn_exec_run(e, &in, 1, &out, 1), TN_OK);
    tn_exec_free(e);
    assert_int_equal(all.n, 2);
    assert_string_equal(all.text[0], "twice f32[2] 2");
    assert_string_equal(all.text[1], "result f32[2] -2");
    tn_program_free(p);
}

/* ---- What cannot be ------------------------------------------------------------------------------------------ */

static void test_tokens_in_a_signature(void **state) {
    (void)state;
    assert_refused("module \"m\"\nfn @main(%t: token, %x: f32[]) -> (%x2: f32[], %u: token) { return %x, %t }\n",
                   "token");
}

static void test_errors_of_building(void **state) {
    (void)state;
    tn_graph *g = tn_graph_new("m");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(2), TN_SIZE(3)));
    tn_output(g, "y", tn_matmul(x, x));
    assert_null(tn_compile(g, NULL));
    assert_non_null(strstr(tn_graph_error(g)->message, "matmul"));
    tn_graph_free(g);
}

/* ---- Compilation on several threads -------------------------------------------------------------------- */

/* Kernels of many sizes, so that there is code for several objects: y = sums of softmax(x[:, :k] w[:k, :]). */
static tn_program *compile_many_kernels(tn_pool *pool) {
    enum { KERNELS = 24, WIDTH = 40 };
    tn_graph *g = tn_graph_new("many");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(WIDTH))), y = tn_scalar(g, TN_F32, 0);
    tn_val w = tn_input(g, "w", TN_F32, TN_SHAPE(TN_SIZE(WIDTH), TN_SIZE(17)));
    for (int k = WIDTH - KERNELS; k < WIDTH; k++) {
        tn_val product = tn_matmul(tn_slice(x, 1, 0, k, 1), tn_slice(w, 0, 0, k, 1));
        y = tn_add(y, tn_softmax(product, 1));
    }
    tn_output(g, "y", y);
    tn_program *p = tn_compile(g, &(tn_compile_options){.pool = pool});
    if (!p) fail_msg("%s", tn_graph_error(g)->message);
    tn_graph_free(g);
    return p;
}

static void test_compiling_in_parallel(void **state) {
    (void)state;
    enum { N = 5, WIDTH = 40, COLUMNS = 17, THREADS = 3 };
    float x[N * WIDTH], w[WIDTH * COLUMNS], y[2][N * COLUMNS] = {{0}};
    for (int i = 0; i < N * WIDTH; i++) x[i] = (float)(i * 37 % 101) / 101 - 0.5F;
    for (int i = 0; i < WIDTH * COLUMNS; i++) w[i] = (float)(i * 53 % 97) / 97 - 0.5F;
    for (int i = 0; i < 2; i++) {
        tn_pool *pool = i ? tn_pool_new(THREADS) : NULL;
        tn_program *p = compile_many_kernels(pool);
        tn_tensor in[] = {TN_TENSOR(TN_F32, x, N, WIDTH), TN_TENSOR(TN_F32, w, WIDTH, COLUMNS)};
        tn_tensor out = TN_TENSOR(TN_F32, y[i], N, COLUMNS);
        run(p, in, &out);
        tn_program_free(p);
        tn_pool_free(pool);
    }
    float total = 0;
    for (int i = 0; i < N * COLUMNS; i++) total += y[0][i];
    assert_true(total > 24 * N - 0.01F && total < 24 * N + 0.01F); /* each row of each softmax sums to 1 */
    assert_memory_equal(y[0], y[1], sizeof y[0]);
}

/* ---- Memory ------------------------------------------------------------------------------------------ */

static long page_faults(void) {
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt;
}

/* What tn_exec_bind has made room for is there: of the arena's 256 pages none is waited for. */
static void test_pages_of_the_arena(void **state) {
    (void)state;
    enum { N = 512, PAGES_OF_CODE_AND_STACK = 64 };
    static float x[N * N], y[N * N];
    tn_program *p = compile("module \"m\"\nfn @main(%x: f32[512, 512]) -> (%y: f32[512, 512]) {\n"
                            "  %0 = dot %x, %x, contract=[1]x[0] : f32[512, 512]\n"
                            "  %1 = dot %0, %x, contract=[1]x[0] : f32[512, 512]\n  return %1\n}\n");
    tn_exec *e = tn_exec_new(p, NULL);
    tn_tensor input = TN_TENSOR(TN_F32, x, N, N), output = TN_TENSOR(TN_F32, y, N, N);
    for (int i = 0; i < N * N; i++) x[i] = y[i] = 1;
    assert_int_equal(tn_exec_bind(e, &input, 1), TN_OK);
    assert_true(tn_exec_arena_bytes(e) >= sizeof x);
    long before = page_faults();
    assert_int_equal(tn_exec_run(e, &input, 1, &output, 1), TN_OK);
    long faults = page_faults() - before;
    if (faults > PAGES_OF_CODE_AND_STACK) fail_msg("%ld pages were touched first by a run", faults);
    assert_true(y[0] == (float)N * N);
    tn_exec_free(e);
    tn_program_free(p);
}

/* The plan alone says what a bound program says, of the sizes that this takes. */
static void test_planned_bytes(void **state) {
    (void)state;
    static const char text[] = "module \"m\"\n"
                               "fn @main(%x: f32[n, 64], %y: f32[m, 64]) -> (%z: f32[n, 64]) where n in [2, 512] {\n"
                               "  %0 = add %x, %y\n  %1 = dot %0, %y, contract=[1]x[1]\n  %2 = exp %1\n"
                               "  %3 = dot %2, %x, contract=[1]x[0]\n  return %3\n}\n";
    static const struct {
        tn_symbol_value values[2];
        int n;
        tn_status status;
        const char *message;
    } cases[] = {
        {{{"n", 3}, {"m", 3}}, 2, TN_OK, NULL},
        {{{"m", 300}, {"n", 300}}, 2, TN_OK, NULL},
        {{{"n", 3}, {"m", 4}}, 2, TN_ERR_CONSTRAINT, "add: n = m"},
        {{{"n", 1}, {"m", 1}}, 2, TN_ERR_CONSTRAINT, "n is 1, it must be at least 2 and at most 512"},
        {{{"n", 3}}, 1, TN_ERR_ARGUMENT, "the symbol m has no value"},
    };
    tn_module *m = tn_module_parse(text, strlen(text), "m.tn");
    tn_program *p = compile(text);
    tn_exec *e = tn_exec_new(p, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t bytes;
        tn_diag diag = {0};
        tn_status status = tn_planned_bytes(m, NULL, cases[i].values, cases[i].n, &bytes, &diag);
        assert_int_equal(status, cases[i].status);
        if (status == TN_OK) {
            int64_t rows = cases[i].values[0].value;
            tn_tensor in[] = {TN_TENSOR(TN_F32, NULL, rows, 64), TN_TENSOR(TN_F32, NULL, rows, 64)};
            assert_int_equal(tn_exec_bind(e, in, 2), TN_OK);
            assert_true(bytes > 0);
            assert_int_equal(bytes, tn_exec_arena_bytes(e));
        } else {
            assert_string_equal(diag.message, cases[i].message);
        }
    }
    tn_exec_free(e);
    tn_program_free(p);
    tn_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters_and_constants_as_results),
        cmocka_unit_test(test_one_value_as_several_results),
        cmocka_unit_test(test_views_as_results),
        cmocka_unit_test(test_sizes_of_zero_and_rank_zero),
        cmocka_unit_test(test_unaligned_buffers),
        cmocka_unit_test(test_state_across_runs),
        cmocka_unit_test(test_states_that_change_places),
        cmocka_unit_test(test_states_in_place),
        cmocka_unit_test(test_unread_result),
        cmocka_unit_test(test_index_errors),
        cmocka_unit_test(test_asserts),
        cmocka_unit_test(test_constraints),
        cmocka_unit_test(test_custom_ops),
        cmocka_unit_test(test_prints),
        cmocka_unit_test(test_tokens_in_a_signature),
        cmocka_unit_test(test_errors_of_building),
        cmocka_unit_test(test_compiling_in_parallel),
        cmocka_unit_test(test_pages_of_the_arena),
        cmocka_unit_test(test_planned_bytes),
    };
    return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
