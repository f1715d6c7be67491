/* Every elementwise op on every dtype that it is defined for, and every conversion: compiled for
 * all targets against the evaluator of loop trees, in the wide part, the remainder and as a scalar.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "compiler/loops/scalar.h"
#include "ir/op.h"
#include "tests/lib/kernel_check.h"

typedef struct op_case {
    tn_op op;
    double ulps; /* f32 and f64; f16 and bf16 may differ by one rounding */
} op_case;

static const op_case cases[] = {
#define EXACTLY(name) {TN_OP_##name, 0},
#define WITHIN(name, ulps) {TN_OP_##name, ulps},
    EXACTLY(neg) EXACTLY(abs) EXACTLY(sign) EXACTLY(floor) EXACTLY(ceil) EXACTLY(round) EXACTLY(sqrt) EXACTLY(not)
        EXACTLY(is_nan) EXACTLY(is_inf) EXACTLY(popcount) EXACTLY(add) EXACTLY(sub) EXACTLY(mul) EXACTLY(div)
            EXACTLY(rem) EXACTLY(max) EXACTLY(min) EXACTLY(and) EXACTLY(or) EXACTLY(xor) EXACTLY(shl) EXACTLY(shr)
                EXACTLY(clamp) EXACTLY(select) WITHIN(exp, 2) WITHIN(exp2, 2) WITHIN(log, 2) WITHIN(log1p, 3)
                    WITHIN(expm1, 3) WITHIN(rsqrt, 3) WITHIN(sin, 3) WITHIN(cos, 3) WITHIN(tan, 5) WITHIN(asin, 4)
                        WITHIN(acos, 4) WITHIN(atan, 4) WITHIN(sinh, 4) WITHIN(cosh, 4) WITHIN(tanh, 4) WITHIN(asinh, 5)
                            WITHIN(acosh, 5) WITHIN(atanh, 5) WITHIN(erf, 4) WITHIN(logistic, 4) WITHIN(pow, 4)
                                WITHIN(atan2, 5)
#undef EXACTLY
#undef WITHIN
};
enum { CASES = sizeof cases / sizeof *cases };

static bool is_defined(tn_op op, tn_dtype dtype) {
    uint64_t none[3] = {0, 0, 0}, result;
    return scalar_op(op, 0, dtype, dtype, none, &result);
}

static tn_dtype result_dtype(tn_op op, tn_dtype dtype) {
    return op == TN_OP_is_nan || op == TN_OP_is_inf || op == TN_OP_compare ? TN_BOOL : dtype;
}

/* A loop that applies each of the ops to x, y, z and stores into outputs o0, o1, ... */
static void add_loop(script *t, const op_case *ops, int n, tn_dtype dtype, uint32_t lanes) {
    const char *name = tn_dtype_name(dtype);
    script_add(t, "for $1 in 0 to n vector %u {\n%%0 = load x[$1] : %s\n%%1 = load y[$1] : %s\n", lanes, name, name);
    script_add(t, "%%2 = load z[$1] : %s\n%%3 = load c[$1] : bool\n", name);
    for (int i = 0; i < n; i++) {
        const char *operands[] = {"", "%0", "%0, %1", "%0, %1, %2"};
        int count = op_table[ops[i].op].max_operands;
        script_add(t, "%%%d = %s %s : %s\n", i + 4, op_table[ops[i].op].name,
                   ops[i].op == TN_OP_select ? "%3, %0, %1" : operands[count],
                   tn_dtype_name(result_dtype(ops[i].op, dtype)));
        script_add(t, "store o%d[$1], %%%d\n", i, i + 4);
    }
    script_add(t, "}\n");
}

static void check_ops(const op_case *ops, int n, tn_dtype dtype, double ulps) {
    script t = {NULL, 0, 0};
    const char *name = tn_dtype_name(dtype);
    script_add(&t, "kernel @ops map(in x: %s[n], in y: %s[n], in z: %s[n], in c: bool[n]", name, name, name);
    for (int i = 0; i < n; i++) script_add(&t, ", out o%d: %s[n]", i, tn_dtype_name(result_dtype(ops[i].op, dtype)));
    script_add(&t, ") extents(n) {\nstage $0 in 1 {\n");
    add_loop(&t, ops, n, dtype, 8);
    script_add(&t, "}\n}\n");
    check_kernel(t.text, (int64_t[]){251}, ulps);
    free(t.text);
}

/* Ops that share a bound go into one kernel. */
static void check_dtype(tn_dtype dtype, bool exact) {
    op_case ops[CASES];
    int n = 0;
    double ulps = 0;
    bool is_float = scalar_kind_of(dtype) == SCALAR_FLOAT;
    for (int i = 0; i < CASES; i++) {
        if (!is_defined(cases[i].op, dtype) || (cases[i].ulps == 0 || !is_float) != exact) continue;
        ops[n++] = cases[i];
        if (cases[i].ulps > ulps) ulps = cases[i].ulps;
    }
    if (n) check_ops(ops, n, dtype, exact ? EXACT : dtype == TN_F16 || dtype == TN_BF16 ? 1 : ulps);
}

static void exact_ops(void **state) {
    (void)state;
    for (int d = 0; d < TN_DTYPE_COUNT; d++) check_dtype((tn_dtype)d, true);
}

static void elementary_functions(void **state) {
    (void)state;
    for (int d = 0; d < TN_DTYPE_COUNT; d++) check_dtype((tn_dtype)d, false);
}

static void conversions(void **state) {
    (void)state;
    for (int from = 0; from < TN_DTYPE_COUNT; from++) {
        script t = {NULL, 0, 0};
        script_add(&t, "kernel @convert map(in x: %s[n]", tn_dtype_name((tn_dtype)from));
        for (int to = 0; to < TN_DTYPE_COUNT; to++) script_add(&t, ", out o%d: %s[n]", to, tn_dtype_name((tn_dtype)to));
        script_add(&t, ") extents(n) {\nstage $0 in 1 {\nfor $1 in 0 to n vector 8 {\n");
        script_add(&t, "%%0 = load x[$1] : %s\n", tn_dtype_name((tn_dtype)from));
        for (int to = 0; to < TN_DTYPE_COUNT; to++)
            script_add(&t, "%%%d = convert %%0 : %s\nstore o%d[$1], %%%d\n", to + 1, tn_dtype_name((tn_dtype)to), to,
                       to + 1);
        script_add(&t, "}\n}\n}\n");
        check_kernel(t.text, (int64_t[]){203}, EXACT);
        free(t.text);
    }
}

static void bitcasts(void **state) {
    (void)state;
    check_kernel(
        "kernel @bitcast map(in x: f32[n], in h: f16[n], in w: i64[n], out a: i32[n], out b: bf16[n], out c: f64[n],"
        " out d: f16[n]) extents(n) {\n"
        "stage $0 in 1 { for $1 in 0 to n vector 8 {\n"
        "%0 = load x[$1] : f32 %1 = bitcast %0 : i32 store a[$1], %1\n"
        "%2 = load h[$1] : f16 %3 = bitcast %2 : u16 %4 = bitcast %3 : bf16 store b[$1], %4\n"
        "%5 = load w[$1] : i64 %6 = bitcast %5 : f64 store c[$1], %6\n"
        "%7 = bitcast %3 : f16 store d[$1], %7 } } }",
        (int64_t[]){61}, EXACT);
}

static void comparisons(void **state) {
    (void)state;
    static const char *const relations[] = {"eq", "ne", "lt", "le", "gt", "ge"};
    for (int d = 0; d < TN_DTYPE_COUNT; d++) {
        const char *name = tn_dtype_name((tn_dtype)d);
        script t = {NULL, 0, 0};
        script_add(&t, "kernel @compare map(in x: %s[n], in y: %s[n]", name, name);
        for (int i = 0; i < 6; i++) script_add(&t, ", out o%d: bool[n]", i);
        script_add(&t, ") extents(n) { stage $0 in 1 { for $1 in 0 to n vector 16 {\n");
        script_add(&t, "%%0 = load x[$1] : %s %%1 = load y[$1] : %s\n", name, name);
        for (int i = 0; i < 6; i++)
            script_add(&t, "%%%d = compare %s %%0, %%1 : bool store o%d[$1], %%%d\n", i + 2, relations[i], i, i + 2);
        script_add(&t, "} } }");
        check_kernel(t.text, (int64_t[]){201}, EXACT);
        free(t.text);
    }
}

/* Rounded once or twice, as the target has it: exact on small integers. */
static void fma_of_small_integers(void **state) {
    (void)state;
    for (int d = TN_F16; d <= TN_F64; d++) {
        const char *name = tn_dtype_name((tn_dtype)d);
        script t = {NULL, 0, 0};
        script_add(
            &t, "kernel @fma map(in x: %s[n], in y: %s[n], in z: %s[n], out o: %s[n]) extents(n) { stage $0 in 1 {\n",
            name, name, name, name);
        script_add(&t,
                   "for $1 in 0 to n vector 16 { %%0 = load x[$1] : %s %%1 = load y[$1] : %s %%2 = load z[$1] : %s\n",
                   name, name, name);
        script_add(&t, "%%3 = fma %%0, %%1, %%2 : %s store o[$1], %%3 } } }", name);
        check_kernel_with(t.text, (int64_t[]){77}, EXACT, FILL_SMALL);
        free(t.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_ops), cmocka_unit_test(elementary_functions), cmocka_unit_test(conversions),
        cmocka_unit_test(bitcasts),  cmocka_unit_test(comparisons),          cmocka_unit_test(fma_of_small_integers),
    };
    return cmocka_run_group_tests_name("emit_ops", tests, NULL, NULL);
}
