/* Loop trees themselves: the text form and its errors, the verifier's rules, the builder's sticky
 * errors, the evaluator's checks, hash and equality.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/kernel_check.h"

/* A kernel around statements: buffers x and b to read, y to write, t and l to work with. */
static char *around(const char *statements) {
    script s = {NULL, 0, 0};
    script_add(&s, "kernel @k map(in x: f32[n], in b: bool[n], out y: f32[n] streamed, temp t: f64[n], "
                   "local l: f32[16]) extents(n) sites(gather) {\n");
    script_add(&s, "  stage $0 in n {\n%%0 = const 1.5 : f32 %%1 = const true : bool %%2 = dim $0 : i64\n%s\n  }\n}\n",
               statements);
    return s.text;
}

/* ---- Text ---- */

static void everything_prints_and_parses(void **state) {
    (void)state;
    char *text =
        around("%3 = const -inf : f32 %4 = const nan.7fc00001 : f32 %5 = const 18446744073709551615 : u64\n"
               "%6 = const -128 : i8 %7 = const 0.1 : f64 %8 = const 65504 : f16\n"
               "%9 = load x[floordiv($0, 2) + n - 1] if %1 : f32 %10 = compare le %9, %0 : bool\n"
               "%11 = select %10, %9, %0 : f32 %12 = convert %11 : bf16 %13 = fma %0, %9, %11 : f32\n"
               "bind $1 = %2 below n element 2*$0 site 0 bind $2 = %2 below 4 element 0\n"
               "for $3 in 0 to n vector 8 carry(%14 = %0 by add -> %15, %16 = %1 by or -> %17) { next %14, %16 }\n"
               "for $4 in 2 to 5 unrolled { store l[$4], %13 }\n"
               "for $5 in $1 to n { if %1 { store y[$2], %11 if %10 } else { store y[$5], %0 } }\n"
               "tile 2 x 4 depth 3: l[0; 4] += x[$0; 3, 1] * x[0; 4] next x[$0; 2]\n"
               "tile 2 x 4 depth n by 3[n, 8] by 5[1, 4]: l[0; 4] = x[$0; 3, 1] * x[0; 4]\n"
               "transpose 2 x 3: l[$0; 2] = x[n; 3]\n");
    tn_module *m = module_new("test");
    lt_kernel *k = parse_kernel_text(m, text); /* compares what it prints and parses */
    tn_diag diag;
    if (!lt_verify(k, &diag)) fail_msg("%s", diag.message);
    tn_module_free(m);
    free(text);
}

static void expect_parse_error(const char *text, int line, const char *message) {
    tn_module *m = module_new("test");
    assert_null(lt_parse(m, text, strlen(text), "bad.lt"));
    assert_int_equal(m->error.status == TN_OK, 0);
    if (!strstr(m->error.message, message) || m->error.line != line)
        fail_msg("line %d: %s\nexpected line %d: %s", m->error.line, m->error.message, line, message);
    tn_module_free(m);
}

static void bad_text(void **state) {
    (void)state;
    static const struct {
        const char *statements, *message;
    } cases[] = {
        {"%3 = const 1 f32", "expected `:`"},
        {"%3 = const 1 : f33", "no dtype is called f33"},
        {"%3 = const maybe : bool", "maybe is no bool"},
        {"%3 = const 1x : i32", "malformed"},
        {"%3 = frobnicate %0 : f32", "no op is called frobnicate"},
        {"%3 = add %0, %9 : f32", "%9 is not defined"},
        {"%3 = load q[0] : f32", "no buffer is called q"},
        {"%3 = load x[0 : f32", "expected `]`"},
        {"%3 = compare about %0, %0 : bool", "expected eq, ne"},
        {"%99999999 = const 1 : f32", "a value with a number up to"},
        {"store x[$0];", "expected `,`"},
        {"tile 1 x 1 depth 1 by 1[0, 0] by 1[0, 0] by 1[0, 0]: l[0; 1] = x[0; 1, 1] * x[0; 1]", "expected `:`"},
        {"for $1 in 0 to 4 { if %1 { if %1 {", "expected a statement, not the end"},
        {"for $1 in 0 to 4 carry(%3 = %0 -> %4) { }", "expected `next`"},
        {"go away", "expected a statement, not `go`"},
        {"%3 = add %0, %0, %0, %0 : f32", "at most 3 operands"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = around(cases[i].statements);
        int line = strstr(cases[i].message, "not the end") ? 7 : 4;
        expect_parse_error(text, line, cases[i].message);
        free(text);
    }
    expect_parse_error("", 1, "expected `kernel`");
    expect_parse_error("kernel k", 1, "expected the kernel's name");
    expect_parse_error("kernel @k map(inn x: f32[1]) { }", 1, "in, out, temp, scratch or local");
    expect_parse_error("kernel @k map() extents(2) { }", 1, "an extent is a symbol");
    expect_parse_error("kernel @k map() { } more", 1, "the end of the text");
}

/* Any cut of a good text is refused without a crash. */
static void cut_text(void **state) {
    (void)state;
    char *text = around("for $1 in 0 to n vector 8 carry(%3 = %0 by add -> %4) { next %3 } if %1 { store y[$0], %4 }");
    size_t length = strlen(text) - 2; /* without the last brace */
    for (size_t n = 0; n <= length; n++) {
        tn_module *m = module_new("test");
        assert_null(lt_parse(m, text, n, "cut.lt"));
        tn_module_free(m);
    }
    free(text);
}

static void deep_text(void **state) {
    (void)state;
    script s = {NULL, 0, 0};
    for (int i = 0; i < 100; i++) script_add(&s, "if %%1 { ");
    for (int i = 0; i < 100; i++) script_add(&s, "} ");
    char *text = around(s.text);
    expect_parse_error(text, 4, "nested more than");
    free(text);
    free(s.text);
}

/* ---- Rules ---- */

static void rules(void **state) {
    (void)state;
    static const struct {
        const char *statements, *message;
    } cases[] = {
        {"%3 = add %0, %1 : f32", "an operand %1 is bool, not f32"},
        {"%3 = add %0, %0 : f64", "add gives f32, not f64"},
        {"%3 = not %0 : f32", "not is not defined for f32"},
        {"%3 = sort %0 : f32", "sort is not elementwise"},
        {"%3 = add %0 : f32", "add cannot take 1 operands"},
        {"%3 = select %0, %0, %0 : f32", "the condition %0 is f32, not bool"},
        {"%3 = bitcast %0 : f64", "bitcast from f32 to f64"},
        {"%0 = const 1 : f32", "%0 is defined twice"},
        {"%3 = dim $5 : i64", "$5 is not in scope"},
        {"%3 = dim m : i64", "m is no extent"},
        {"%3 = dim n : i32", "a dim is i64, not i32"},
        {"%3 = load x[0] : f64", "x holds f32, not f64"},
        {"%3 = load x[0] if %0 : f32", "the guard %0 is f32, not bool"},
        {"store x[0], %0", "a store into the input x"},
        {"store y[0], %1", "the stored value %1 is bool, not f32"},
        {"bind $1 = %0 below n element 0", "the bound value %0 is f32, not i64"},
        {"bind $1 = %2 below n element 0 site 7", "a bind names no site"},
        {"for $0 in 0 to 4 { }", "$0 is bound twice"},
        {"for $1 in 0 to 4 { } %3 = dim $1 : i64", "$1 is not in scope"},
        {"for $1 in 0 to 4 { %3 = const 1 : f32 } store y[0], %3", "%3 is not defined here"},
        {"if %1 { %3 = const 1 : f32 } store y[0], %3", "%3 is not defined here"},
        {"if %0 { }", "the condition %0 is f32, not bool"},
        {"for $1 in 0 to 4 vector 3 { }", "3 lanes: not a power of two"},
        {"for $1 in 0 to 4 vector 512 { }", "512 lanes"},
        {"for $1 in 0 to 4 vector 4 { for $2 in 0 to 4 vector 4 { } }", "a vector loop inside a vector loop"},
        {"for $1 in 0 to 4 vector 4 { for $2 in 0 to $1 { } }", "differ between lanes"},
        {"for $1 in 0 to n unrolled { }", "without static bounds"},
        {"for $1 in 0 to 100000 unrolled { }", "more than 1024 steps"},
        {"for $1 in 0 to 4 vector 4 carry(%3 = %0 -> %4) { next %3 }", "cannot combine lanes by nothing"},
        {"for $1 in 0 to 4 vector 4 carry(%3 = %0 by sub -> %4) { next %3 }", "cannot combine lanes by sub"},
        {"for $1 in 0 to 4 vector 4 carry(%3 = %1 by add -> %4) { next %3 }", "add is not defined for bool"},
        {"for $1 in 0 to 4 carry(%3 = %0 -> %4) { next %1 }", "the next carried value %1 is bool"},
        {"for $1 in 0 to 4 carry(%3 = %0 -> %4) { %5 = add %4, %4 : f32 next %5 }", "%4 is not defined here"},
        {"tile 0 x 4 depth n: l[0; 4] = x[0; 1, 1] * x[0; 4]", "a tile of 0 x 4"},
        {"tile 4 x 4 depth n by 0[1, 1]: l[0; 4] = x[0; 1, 1] * x[0; 4]", "a tile with steps of 0"},
        {"tile 4 x 4 depth n by 3[1, $7]: l[0; 4] = x[0; 1, 1] * x[0; 4]", "$7 is not in scope"},
        {"tile 4 x 4 depth n: t[0; 4] = x[0; 1, 1] * x[0; 4]", "a tile of f32 into f64"},
        {"tile 4 x 4 depth n: x[0; 4] = x[0; 1, 1] * x[0; 4]", "a tile into the input x"},
        {"tile 4 x 4 depth n: l[0; 4] = b[0; 1, 1] * x[0; 4]", "a of a tile is bool"},
        {"for $1 in 0 to 4 vector 4 { tile 4 x 4 depth n: l[0; 4] = x[0; 1, 1] * x[0; 4] }",
         "a tile inside a vector loop"},
        {"transpose 0 x 4: l[0; 4] = x[0; 4]", "a transpose of 0 x 4"},
        {"transpose 4 x 65: l[0; 4] = x[0; 65]", "a transpose of 4 x 65"},
        {"transpose 4 x 4: l[0; 4] = l[0; 4]", "a transpose of l into itself"},
        {"transpose 4 x 4: t[0; 4] = x[0; 4]", "a transpose of f32 into f64"},
        {"transpose 4 x 4: x[0; 4] = l[0; 4]", "a transpose into the input x"},
        {"for $1 in 0 to 4 vector 4 { transpose 4 x 4: l[0; 4] = x[0; 4] }", "a transpose inside a vector loop"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_module *m = module_new("test");
        char *text = around(cases[i].statements);
        lt_kernel *k = lt_parse(m, text, strlen(text), "rule.lt");
        if (!k) fail_msg("%s\n%s", text, m->error.message);
        tn_diag diag = {.status = TN_OK};
        assert_false(lt_verify(k, &diag));
        assert_int_equal(diag.status, TN_ERR_VERIFY);
        if (!strstr(diag.message, cases[i].message))
            fail_msg("%s\n%s\nexpected: %s", text, diag.message, cases[i].message);
        tn_module_free(m);
        free(text);
    }
}

/* ---- The evaluator ---- */

static void accesses_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *statements, *message;
    } cases[] = {
        {"%3 = load x[n] : f32", "element 3 of x, which has 3"},
        {"%3 = load x[$0 - 1] : f32", "element -1 of x"},
        {"store l[16], %0", "element 16 of l, which has 16"},
        {"tile 1 x 4 depth 1: l[0; 4] = x[0; 1, 1] * x[0; 4]", "element 3 of x"},
        {"tile 1 x 1 depth 1 by 2[1, 0] by 2[2, 0]: l[0; 1] = x[0; 1, 1] * x[0; 1]", "element 3 of x"},
        {"transpose 2 x 2: l[0; 2] = x[0; 2]", "element 3 of x"},
        {"transpose 1 x 3: l[10; 4] = x[0; 3]", "element 18 of l"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_module *m = module_new("test");
        char *text = around(cases[i].statements);
        lt_kernel *k = parse_kernel_text(m, text);
        float x[3] = {1, 2, 3}, y[3];
        uint8_t b[3] = {1, 1, 1};
        tn_diag diag = {.status = TN_OK};
        assert_int_equal(lt_eval(k, (void *[]){x, b, y}, (int64_t[]){3}, &diag), TN_ERR_INTERNAL);
        if (!strstr(diag.message, cases[i].message)) fail_msg("%s\nexpected: %s", diag.message, cases[i].message);
        tn_module_free(m);
        free(text);
    }
}

/* ---- The builder ---- */

static void builder_errors_stick(void **state) {
    (void)state;
    tn_module *m = module_new("test");
    lt_builder b = {.kernel = lt_kernel_new(m, "k", "map")};
    dim_table *t = m->dims;
    uint32_t x = lt_add_buffer(&b, LT_OUTPUT, TN_F32, dim_const(t, 4), "an odd name");
    assert_string_equal(b.kernel->buffers[x].name, "an_odd_name");
    assert_string_equal(b.kernel->buffers[lt_add_buffer(&b, LT_LOCAL, TN_F32, dim_const(t, 4), "an odd name")].name,
                        "an_odd_name.1");
    lt_open_stage(&b, dim_const(t, 1));
    lt_block *outer = b.block;
    lt_value one = lt_const_float(&b, TN_F32, 1);
    assert_int_equal(lt_binary(&b, TN_OP_add, one, 77), LT_NONE);
    assert_true(b.failed);
    assert_int_equal(m->error.status, TN_ERR_INTERNAL);
    /* Nothing after it crashes or changes anything. */
    uint32_t n_values = b.kernel->n_values;
    lt_stmt *loop = lt_open_loop(&b, LT_SERIAL, dim_const(t, 0), DIM_INVALID, 1, 2);
    assert_non_null(loop);
    assert_int_equal(lt_carry_in(&b, loop, 0, one, TN_OP_add), LT_NONE);
    lt_carry_next(loop, 1, one);
    assert_int_equal(lt_carry_result(loop, 1), LT_NONE);
    lt_store(&b, x, dim_const(t, 0), one, LT_NONE);
    lt_close_loop(&b, loop, outer);
    lt_stmt *branch = lt_open_if(&b, one);
    lt_else(&b, branch);
    lt_close_if(&b, branch, outer);
    assert_non_null(lt_tile(&b));
    assert_non_null(lt_open_stage(&b, DIM_INVALID));
    assert_int_equal(b.kernel->n_values, n_values);
    assert_int_equal(b.kernel->n_stages, 1);
    tn_module_free(m);
}

/* ---- Equality ---- */

static lt_kernel *parsed(tn_module *m, const char *text) {
    lt_kernel *k = lt_parse(m, text, strlen(text), "text");
    if (!k) fail_msg("%s", m->error.message);
    return k;
}

static void equality(void **state) {
    (void)state;
    tn_module *m = module_new("test");
    static const char *const same[] = {
        "kernel @a map(in x: f32[2*n], out y: f32[2*n]) extents(n) { stage $0 in 2*n { %0 = load x[$0] : f32 store "
        "y[$0], %0 } }",
        "kernel @b reduce(in p: f32[2*n], out q: f32[2*n]) extents(n) { stage $0 in 2*n { %0 = load p[$0] : f32 store "
        "q[$0], %0 } }",
        "kernel @c map(in x: f32[2*k], out y: f32[2*k]) extents(k) { stage $0 in 2*k { %0 = load x[$0] : f32 store "
        "y[$0], %0 } }",
    };
    static const char *const others[] = {
        "kernel @d map(in x: f32[2*n], out y: f32[2*n]) extents(n) { stage $0 in 2*n { %0 = load x[2*n - 1 - $0] : f32 "
        "store y[$0], %0 } }",
        "kernel @e map(in x: i32[2*n], out y: i32[2*n]) extents(n) { stage $0 in 2*n { %0 = load x[$0] : i32 store "
        "y[$0], %0 } }",
        "kernel @f map(in x: f32[3*n], out y: f32[2*n]) extents(n) { stage $0 in 2*n { %0 = load x[$0] : f32 store "
        "y[$0], %0 } }",
        "kernel @g map(in x: f32[2*n], out y: f32[2*n]) extents(n) { stage $0 in 2*n { %0 = load x[$0] : f32 %1 = neg "
        "%0 : f32 store y[$0], %1 } }",
    };
    lt_kernel *first = parsed(m, same[0]);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        lt_kernel *k = parsed(m, same[i]);
        assert_true(lt_equal(first, k));
        assert_true(lt_equal(k, first));
        assert_true(lt_hash(k) == lt_hash(first));
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_false(lt_equal(first, parsed(m, others[i])));
    tn_module_free(m);
}

#ifdef TN_HOSTILE_MALLOC
/* Read, printed, verified, evaluated; false: some allocation failed, and was reported. */
static bool go_through(const char *text) {
    tn_module *m = module_new("test");
    if (!m) return false;
    tn_diag diag = {.status = TN_OK};
    lt_kernel *k = lt_parse(m, text, strlen(text), "text");
    bool ok = k != NULL;
    if (!ok) assert_int_equal(m->error.status, TN_ERR_MEMORY);
    char *printed = ok ? lt_print(k) : NULL;
    ok = printed != NULL;
    tn_free(printed);
    if (ok && !(ok = lt_verify(k, &diag))) assert_int_equal(diag.status, TN_ERR_MEMORY);
    float x[8] = {1, 2, 3}, y[8];
    uint8_t b[8] = {1};
    if (ok && !(ok = lt_eval(k, (void *[]){x, b, y}, (int64_t[]){8}, &diag) == TN_OK))
        assert_int_equal(diag.status, TN_ERR_MEMORY);
    tn_module_free(m);
    return ok;
}

static void every_allocation_fails_in_turn(void **state) {
    (void)state;
    char *text =
        around("for $1 in 0 to n vector 4 carry(%3 = %0 by add -> %4, %5 = %0 by max -> %6) { next %3, %5 }\n"
               "if %1 { store y[mod($0, 3)], %4 } else { tile 2 x 2 depth 2: l[0; 2] = x[0; 2, 1] * x[0; 2] }\n"
               "transpose 2 x 2: l[0; 2] = x[0; 2]");
    for (int sticky = 0; sticky < 2; sticky++)
        for (uint64_t nth = 0;; nth++) {
            tn_malloc_fail_at(nth, sticky);
            bool ok = go_through(text);
            tn_malloc_fail_at(UINT64_MAX, false);
            assert_true(nth < 10000);
            if (ok) break; /* it was not reached */
        }
    free(text);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_prints_and_parses),
        cmocka_unit_test(bad_text),
        cmocka_unit_test(cut_text),
        cmocka_unit_test(deep_text),
        cmocka_unit_test(rules),
        cmocka_unit_test(accesses_are_checked),
        cmocka_unit_test(builder_errors_stick),
        cmocka_unit_test(equality),
#ifdef TN_HOSTILE_MALLOC
        cmocka_unit_test(every_allocation_fails_in_turn),
#endif
    };
    return cmocka_run_group_tests_name("loops", tests, NULL, NULL);
}
