/* Loop trees as compiled code: accesses of all patterns, guards, tails, loops with carried values,
 * ifs, bound indices, tiles, stages, scratch; for all targets against the evaluator.
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

#define EXTENTS(...) ((int64_t[]){__VA_ARGS__})

/* ---- Accesses ---- */

static void tails_of_all_lengths(void **state) {
    (void)state;
    static const char text[] = "kernel @k map(in x: f32[n], in b: i16[n], out y: f32[n], out c: i16[n]) extents(n) {\n"
                               "  stage $0 in 1 {\n"
                               "    for $1 in 0 to n vector 16 {\n"
                               "      %0 = load x[$1] : f32 %1 = add %0, %0 : f32 store y[$1], %1\n"
                               "      %2 = load b[n - 1 - $1] : i16 %3 = neg %2 : i16 store c[$1], %3\n"
                               "    }\n"
                               "  }\n"
                               "}\n";
    for (int64_t n = 0; n <= 40; n++) check_kernel(text, EXTENTS(n), EXACT);
}

static void static_tails(void **state) {
    (void)state;
    for (int n = 0; n <= 34; n += n < 10 ? 3 : 1) {
        script t = {NULL, 0, 0};
        script_add(&t, "kernel @k map(in x: f64[%d], out y: f64[%d]) {\n", n, n);
        script_add(&t, "stage $0 in 1 { for $1 in 0 to %d vector 8 { %%0 = load x[$1] : f64 store y[$1], %%0 } } }", n);
        check_kernel(t.text, NULL, EXACT);
        free(t.text);
    }
}

/* One lane, a few, whole groups: with constant masks for each dtype. */
static void static_masks(void **state) {
    (void)state;
    for (int d = 0; d < TN_DTYPE_COUNT; d++)
        for (int n = 1; n <= 9; n += n == 1 ? 4 : 1) {
            const char *name = tn_dtype_name((tn_dtype)d), *op = d == TN_BOOL ? "or" : "add";
            script t = {NULL, 0, 0};
            script_add(&t, "kernel @k map(in x: %s[%d*n], in b: %s[%d], out y: %s[%d*n]) extents(n) {\n", name, n, name,
                       n, name, n);
            script_add(
                &t,
                "stage $0 in n { for $1 in 0 to %d vector 4 { %%0 = load x[%d*$0 + $1] : %s %%1 = load b[$1] : %s\n", n,
                n, name, name);
            script_add(&t, "%%2 = %s %%0, %%1 : %s store y[%d*$0 + $1], %%2 } } }", op, name, n);
            check_kernel(t.text, EXTENTS(3), EXACT);
            free(t.text);
        }
}

static void strides(void **state) {
    (void)state;
    static const char *const dtypes[] = {"bool", "i8", "f16", "f32", "i64"};
    static const char *const indices[] = {"3*$1",           "n - 1 - $1",           "m*$1",           "floordiv($1, 3)",
                                          "mod($1, 5)",     "min($1, 4)",           "max(n - 4, $1)", "0",
                                          "ceildiv($1, 2)", "2*$1 + mod($1 + 7, 4)"};
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        script t = {NULL, 0, 0};
        script_add(&t, "kernel @k map(in x: %s[8*n*m + 8]", dtypes[d]);
        for (int i = 0; i < 10; i++)
            script_add(&t, ", out y%d: %s[n], out z%d: %s[8*n*m + 8]", i, dtypes[d], i, dtypes[d]);
        script_add(&t, ") extents(n, m) {\nstage $0 in 1 {\n");
        script_add(&t, "for $1 in 0 to n vector 8 {\n");
        for (int i = 0; i < 10; i++)
            script_add(&t, "%%%d = load x[%s] : %s store y%d[$1], %%%d\n", i, indices[i], dtypes[d], i, i);
        script_add(&t, "}\nfor $2 in 0 to 8*n*m + 8 { ");
        for (int i = 0; i < 10; i++)
            script_add(&t, "%%%d = load x[8*n*m + 7 - $2] : %s store z%d[$2], %%%d\n", i + 10, dtypes[d], i, i + 10);
        script_add(&t, "}\nfor $3 in 0 to n vector 8 { %%30 = load x[$3] : %s\n", dtypes[d]);
        /* Scattered stores: each index once. */
        script_add(&t, "store z0[3*$3], %%30 store z1[n - 1 - $3], %%30 store z2[m*$3], %%30 store z3[8*floordiv($3, "
                       "8) + mod($3, 8)], %%30\n");
        script_add(&t, "} } }");
        check_kernel(t.text, EXTENTS(37, 3), EXACT);
        check_kernel(t.text, EXTENTS(5, 1), EXACT);
        free(t.text);
    }
}

/* Lanes at known distances: a few elements apart, backwards, woven from runs; from aligned and other counters on. */
static void shuffles(void **state) {
    (void)state;
    static const char *const dtypes[] = {"i8", "f16", "f32", "f64"};
    static const char *const indices[] = {"2*$1 + 1",
                                          "3*$1",
                                          "4*$1 + 3",
                                          "n + 3 - $1",
                                          "120 - 2*$1",
                                          "120 - 3*$1",
                                          "floordiv($1, 2) + 60*mod($1, 2)",
                                          "floordiv($1, 4) + 41*mod($1, 4)",
                                          "41*$1 - 163*floordiv($1, 4)",
                                          "floordiv($1, 4) - 9*mod($1, 4) + 30"};
    enum { N = sizeof indices / sizeof *indices };
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
        for (int i = 1; i <= 5; i++) {
            static const int begins[] = {0, 4, 1};
            int begin = begins[(d + (size_t)i) % 3], width = 1 << i;
            script t = {NULL, 0, 0};
            script_add(&t, "kernel @k map(in x: %s[200]", dtypes[d]);
            for (int k = 0; k < N; k++) script_add(&t, ", out y%d: %s[n]", k, dtypes[d]);
            script_add(&t, ") extents(n) {\nstage $0 in 1 {\n");
            for (int k = 0; k < N; k++)
                script_add(&t, "for $%d in 0 to n { %%%d = load x[$%d] : %s store y%d[$%d], %%%d }\n", k + 2, N + k,
                           k + 2, dtypes[d], k, k + 2, N + k);
            script_add(&t, "for $1 in %d to n vector %d {\n", begin, width);
            for (int k = 0; k < N; k++)
                script_add(&t, "%%%d = load x[%s] : %s store y%d[$1], %%%d\n", k, indices[k], dtypes[d], k, k);
            script_add(&t, "} } }");
            check_kernel(t.text, EXTENTS(37), EXACT);
            free(t.text);
        }
}

/* Taps `low` to `high` of a row of n elements under the lanes of a loop from `begin` on, guarded where there may be
 * none: guards stand before all loads, or each before its own. */
static void add_taps(script *t, int *value, const char *dtype, int begin, int width, int stride, int n, int order) {
    enum { LOW = -3, HIGH = 3 };
    bool is_inner = begin * stride + LOW >= 0 && (begin + width - 1) * stride + HIGH < n;
    int guards[HIGH - LOW + 1], variable = 1 + begin / width;
    script_add(t, "for $%d in %d to %d vector %d {\n", variable, begin, begin + width, width);
    for (int pass = 0; pass < 2; pass++)
        for (int c = LOW; c <= HIGH; c++) {
            int v = *value;
            if (!is_inner && pass == (order ? 1 : 0)) {
                script_add(t, "%%%d = dim %d*$%d + %d : i64 %%%d = const 0 : i64 %%%d = dim %d : i64\n", v, stride,
                           variable, c, v + 1, v + 2, n);
                script_add(t, "%%%d = compare ge %%%d, %%%d : bool %%%d = compare lt %%%d, %%%d : bool ", v + 3, v,
                           v + 1, v + 4, v, v + 2);
                script_add(t, "%%%d = and %%%d, %%%d : bool\n", v + 5, v + 3, v + 4);
                guards[c - LOW] = v + 5;
                v += 6;
            }
            if (pass == 1) {
                script_add(t, "%%%d = load x[%d*$%d + %d]", v, stride, variable, c);
                if (!is_inner) script_add(t, " if %%%d", guards[c - LOW]);
                script_add(t, " : %s store y[%d + 7*$%d], %%%d\n", dtype, c - LOW, variable, v);
                v++;
            }
            *value = v;
        }
    script_add(t, "}\n");
}

/* Strided loads that share what they read: at the beginning of a row, inside, and at its end. */
static void taps(void **state) {
    (void)state;
    static const char *const dtypes[] = {"u8", "f16", "f32", "f64"};
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
        for (int width = 2; width <= 32; width *= 2)
            for (int stride = 2; stride <= 4; stride++) {
                int n = 3 * width * stride - 2 - width % 3, value = 0;
                script t = {NULL, 0, 0};
                script_add(&t, "kernel @k map(in x: %s[%d], out y: %s[%d]) {\nstage $0 in 1 {\n", dtypes[d], n,
                           dtypes[d], 21 * width);
                for (int begin = 0; begin < 3 * width; begin += width)
                    add_taps(&t, &value, dtypes[d], begin, width, stride, n, stride % 2);
                script_add(&t, "} }");
                check_kernel(t.text, NULL, EXACT);
                free(t.text);
            }
}

static void guards(void **state) {
    (void)state;
    static const char *const dtypes[] = {"bool", "u8", "bf16", "f32", "f64"};
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        const char *s = dtypes[d];
        script t = {NULL, 0, 0};
        script_add(&t,
                   "kernel @k map(in x: %s[n], in g: bool[n + 6], out a: %s[n + 6], out b: %s[n + 6], out c: %s[n + "
                   "6], out d: %s[2*n + 12], out e: %s[n + 6]) extents(n) {\n",
                   s, s, s, s, s, s);
        script_add(&t, "stage $0 in 1 { for $9 in 0 to n + 6 { %%90 = const %s : %s\n", d ? "3" : "true", s);
        script_add(
            &t,
            "store b[$9], %%90 store c[$9], %%90 store d[2*$9], %%90 store d[2*$9 + 1], %%90 store e[$9], %%90 }\n");
        script_add(&t, "for $1 in 0 to n + 6 vector 16 {\n");
        /* Padding: both sides outside of x. */
        script_add(&t,
                   "%%0 = dim $1 - 3 : i64 %%1 = const 0 : i64 %%2 = dim n : i64 %%3 = compare ge %%0, %%1 : bool\n");
        script_add(&t, "%%4 = compare lt %%0, %%2 : bool %%5 = and %%3, %%4 : bool\n");
        script_add(&t, "%%6 = load x[$1 - 3] if %%5 : %s store a[$1], %%6\n", s);
        script_add(&t, "%%7 = load g[$1] : bool store b[$1], %%6 if %%7\n");
        /* Strided, scattered, uniform. */
        script_add(&t, "%%8 = load x[2*$1 - 3] if %%11 : %s store c[$1], %%8 store d[2*$1 + 1], %%6 if %%7\n", s);
        script_add(&t, "%%12 = load g[0] : bool %%13 = load x[n - 1] if %%7 : %s store e[$1], %%13 if %%12\n", s);
        script_add(&t, "} } }");
        /* The strided guard is defined where the text asks for it. */
        char *at = strstr(t.text, "%8 = load x[2*$1 - 3]");
        script u = {NULL, 0, 0};
        script_add(&u, "%.*s", (int)(at - t.text), t.text);
        script_add(&u,
                   "%%14 = dim 2*$1 - 3 : i64 %%15 = compare ge %%14, %%1 : bool %%16 = compare lt %%14, %%2 : bool "
                   "%%11 = and %%15, %%16 : bool\n%s",
                   at);
        check_kernel(u.text, EXTENTS(23), EXACT);
        check_kernel(u.text, EXTENTS(1), EXACT);
        check_kernel(u.text, EXTENTS(58), EXACT);
        free(t.text);
        free(u.text);
    }
}

static void guards_of_scalars(void **state) {
    (void)state;
    check_kernel(
        "kernel @k map(in x: f32[n], out y: f32[2*n], out z: f32[2*n]) extents(n) {\n"
        "  stage $0 in 2*n {\n"
        "    %0 = dim $0 : i64 %1 = dim n : i64 %2 = compare lt %0, %1 : bool\n"
        "    %3 = load x[$0] if %2 : f32 store y[$0], %3\n"
        "    %5 = const 7 : f32 store z[$0], %5 %6 = not %2 : bool store z[$0], %3 if %6\n"
        "    if %2 { %7 = load x[n - 1 - $0] : f32 store z[$0], %7 } else { %8 = const 1 : f32 store z[$0], %8 }\n"
        "  }\n"
        "}\n",
        EXTENTS(9), EXACT);
}

/* ---- Loops ---- */

static void reductions(void **state) {
    (void)state;
    static const struct {
        const char *op, *dtype, *init;
    } kinds[] = {{"add", "f32", "0"},     {"max", "f32", "-inf"},   {"min", "f64", "1e300"}, {"mul", "f32", "1"},
                 {"add", "i32", "5"},     {"max", "i8", "-128"},    {"min", "u16", "65535"}, {"and", "bool", "true"},
                 {"or", "bool", "false"}, {"max", "bool", "false"}, {"add", "f16", "0"},     {"mul", "u64", "3"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *d = kinds[i].dtype;
        script t = {NULL, 0, 0};
        script_add(&t, "kernel @k reduce(in x: %s[m*n], out y: %s[m]) extents(m, n) {\nstage $0 in m {\n", d, d);
        script_add(&t, "%%0 = const %s : %s\n", kinds[i].init, d);
        script_add(&t, "for $1 in 0 to n vector 16 carry(%%1 = %%0 by %s -> %%2) {\n", kinds[i].op);
        script_add(&t, "%%3 = load x[n*$0 + $1] : %s %%4 = %s %%1, %%3 : %s next %%4 }\nstore y[$0], %%2 } }", d,
                   kinds[i].op, d);
        for (int64_t n = 0; n <= 40; n += n < 2 ? 1 : 7) check_kernel_with(t.text, EXTENTS(3, n), EXACT, FILL_POSITIVE);
        check_kernel(t.text, EXTENTS(2, 100), EXACT);
        free(t.text);
    }
}

/* Serial loops with carried vectors inside vector loops, uniform ones beside them. */
static void columns(void **state) {
    (void)state;
    static const char text[] = "kernel @k reduce(in x: f32[m*n], out y: f32[n], out z: i64[n]) extents(m, n) {\n"
                               "  stage $0 in 1 {\n"
                               "    for $1 in 0 to n vector 8 {\n"
                               "      %0 = const 0 : f32 %10 = const 1 : i64\n"
                               "      for $2 in 0 to m carry(%1 = %0 -> %2, %11 = %10 -> %12) {\n"
                               "        %3 = load x[n*$2 + $1] : f32 %4 = add %1, %3 : f32\n"
                               "        %13 = dim $2 : i64 %14 = add %11, %13 : i64\n"
                               "        next %4, %14\n"
                               "      }\n"
                               "      store y[$1], %2 store z[$1], %12\n"
                               "    }\n"
                               "  }\n"
                               "}\n";
    check_kernel(text, EXTENTS(5, 19), EXACT);
    check_kernel(text, EXTENTS(0, 19), EXACT);
    check_kernel(text, EXTENTS(1, 3), EXACT);
}

static void unrolled_and_serial(void **state) {
    (void)state;
    check_kernel("kernel @k window(in x: f32[n + 2], out y: f32[n], out z: f32[3*n]) extents(n) {\n"
                 "  stage $0 in ceildiv(n, 10) {\n"
                 "    for $1 in 10*$0 to min(n, 10*$0 + 10) {\n"
                 "      %0 = const 0 : f32\n"
                 "      for $2 in 0 to 3 unrolled carry(%1 = %0 -> %2) {\n"
                 "        %3 = load x[$1 + $2] : f32 %4 = add %1, %3 : f32\n"
                 "        store z[$2 + 3*$1], %4 next %4\n"
                 "      }\n"
                 "      store y[$1], %2\n"
                 "    }\n"
                 "  }\n"
                 "}\n",
                 EXTENTS(33), EXACT);
    /* Vector loops inside unrolled and serial ones; a serial loop of one step. */
    check_kernel(
        "kernel @k map(in x: f32[4*n], out y: f32[4*n]) extents(n) {\n"
        "  stage $0 in 1 {\n"
        "    for $1 in 0 to 4 unrolled {\n"
        "      for $3 in $1 to $1 + 1 {\n"
        "        for $2 in 0 to n vector 16 {\n"
        "          %0 = load x[n*$3 + $2] : f32 %1 = dim $1 : i64 %2 = convert %1 : f32 %3 = mul %0, %2 : f32\n"
        "          store y[4*$2 + $3], %3\n"
        "        }\n"
        "      }\n"
        "    }\n"
        "  }\n"
        "}\n",
        EXTENTS(21), EXACT);
}

/* Ifs inside vector loops are uniform. */
static void ifs(void **state) {
    (void)state;
    check_kernel("kernel @k map(in x: f32[n], in g: bool[n], out y: f32[n*n]) extents(n) {\n"
                 "  stage $0 in n {\n"
                 "    %0 = load g[$0] : bool\n"
                 "    for $1 in 0 to n vector 8 {\n"
                 "      %1 = load x[$1] : f32\n"
                 "      if %0 { %2 = neg %1 : f32 store y[n*$0 + $1], %2 } else { store y[n*$0 + $1], %1 }\n"
                 "    }\n"
                 "  }\n"
                 "}\n",
                 EXTENTS(19), EXACT);
}

static void index_arithmetic(void **state) {
    (void)state;
    static const char *const dims[] = {"floordiv($1 - 7, 4)",   "mod($1 - 7, 4)",     "floordiv($1 - 9, 5)",
                                       "mod($1 - 9, 5)",        "ceildiv($1 - 9, n)", "mod(n*$1 - 20, m)",
                                       "floordiv(3 - $1, m)",   "min(n*$1, m*m)",     "max($1*$1 - m, -3)",
                                       "floordiv($1, 7)",       "mod($1*m + 3, 11)",  "floordiv(n*m, 3) - $1",
                                       "floordiv(3*$1 + n, m)", "mod(5*$1 - 3*m, n)", "mod(mod($1, m), 3)"};
    enum { N = sizeof dims / sizeof *dims };
    script t = {NULL, 0, 0};
    script_add(&t, "kernel @k map(out a: i64[%d*40], out b: i64[%d*40]) extents(n, m) {\nstage $0 in 1 {\n", N, N);
    script_add(&t, "for $1 in 0 to 40 vector 8 {\n");
    for (int i = 0; i < N; i++) script_add(&t, "%%%d = dim %s : i64 store a[%d*40 + $1], %%%d\n", i, dims[i], i, i);
    script_add(&t, "}\nfor $2 in 0 to 40 {\n");
    for (int i = 0; i < N; i++) {
        script_add(&t, "%%%d = dim ", i + N);
        for (const char *c = dims[i]; *c; c++)
            script_add(&t, "%c", c[0] == '1' && c > dims[i] && c[-1] == '$' ? '2' : c[0]);
        script_add(&t, " : i64 store b[%d*40 + $2], %%%d\n", i, i + N);
    }
    script_add(&t, "}\n} }");
    check_kernel(t.text, EXTENTS(6, 4), EXACT);
    check_kernel(t.text, EXTENTS(1, 3), EXACT);
    check_kernel(t.text, EXTENTS(200, 37), EXACT);
    check_kernel(t.text, EXTENTS(1, 1), EXACT);
    free(t.text);
    /* A division by an extent that may be 0, in a loop that then has no step. */
    check_kernel("kernel @k map(out y: i64[9]) extents(n) { stage $0 in 9 { %0 = dim n : i64 store y[$0], %0\n"
                 "for $1 in 0 to n { %1 = dim floordiv($0, n) + mod($0, n) : i64 store y[$0], %1 } } }",
                 EXTENTS(0), EXACT);
}

/* ---- Bound indices ---- */

static const char gather_text[] = "kernel @k gather(in x: f32[10*n], in i: i64[n], in h: i32[1], out y: f32[n], out z: "
                                  "f32[n]) extents(n) sites(gather, dynamic_slice) {\n"
                                  "  stage $0 in 1 {\n"
                                  "    %5 = load h[0] : i32 %6 = convert %5 : i64\n"
                                  "    bind $3 = %6 below n element 0 site 1\n"
                                  "    for $1 in 0 to n vector 8 {\n"
                                  "      %0 = load i[$1] : i64\n"
                                  "      bind $2 = %0 below 10 element $1 + 3 site 0\n"
                                  "      %1 = load x[n*$2 + $1] : f32\n"
                                  "      store y[$1], %1\n"
                                  "      %2 = load x[$3] : f32 store z[$1], %2\n"
                                  "    }\n"
                                  "  }\n"
                                  "}\n";

static void indices(void **state) {
    (void)state;
    for (int64_t n = 1; n < 40; n += 5) {
        check_kernel(gather_text, EXTENTS(n), EXACT); /* nearly all out of range */
        check_kernel_with(gather_text, EXTENTS(n), EXACT, FILL_POSITIVE);
        check_kernel_with(gather_text, EXTENTS(n), EXACT, FILL_SMALL);
    }
}

static void scatters(void **state) {
    (void)state;
    check_kernel("kernel @k scatter(in u: f32[n], in i: i32[n], out y: f32[12]) extents(n) sites(scatter) {\n"
                 "  stage $0 in 1 {\n"
                 "    for $1 in 0 to 12 { %0 = const 0 : f32 store y[$1], %0 }\n"
                 "    for $2 in 0 to n {\n"
                 "      %1 = load i[$2] : i32 %2 = convert %1 : i64\n"
                 "      bind $3 = %2 below 12 element $2 site 0\n"
                 "      %3 = load y[$3] : f32 %4 = load u[$2] : f32 %5 = add %3, %4 : f32 store y[$3], %5\n"
                 "    }\n"
                 "  }\n"
                 "}\n",
                 EXTENTS(50), EXACT);
}

/* ---- Stages and buffers ---- */

static void stages_and_scratch(void **state) {
    (void)state;
    check_kernel("kernel @k reduce(in x: f32[n*n], out y: f32[n], temp t: f32[n], scratch s: f32[n], scratch u: "
                 "i16[3], local l: f32[8]) extents(n) {\n"
                 "  stage $0 in n {\n"
                 "    for $1 in 0 to n vector 8 { %0 = load x[n*$0 + $1] : f32 %1 = neg %0 : f32 store s[$1], %1 }\n"
                 "    %9 = const -3 : i16 store u[2], %9 %10 = load u[2] : i16 %11 = convert %10 : f32\n"
                 "    for $2 in 0 to n vector 8 carry(%2 = %11 by add -> %3) { %4 = load s[$2] : f32 %5 = add %2, %4 : "
                 "f32 next %5 }\n"
                 "    store t[$0], %3\n"
                 "  }\n"
                 "  stage $3 in n {\n"
                 "    for $4 in 0 to 8 unrolled { %20 = dim $4 : i64 %21 = convert %20 : f32 store l[7 - $4], %21 }\n"
                 "    %22 = load t[n - 1 - $3] : f32 %23 = load l[5] : f32 %24 = add %22, %23 : f32 store y[$3], %24\n"
                 "  }\n"
                 "}\n",
                 EXTENTS(21), EXACT);
}

/* ---- Tiles ---- */

static void check_tile_of(const char *dtype, const char *b_dtype, const char *sum, int mr, int nr, int64_t depth,
                          bool accumulate, bool packed, bool is_local) {
    script t = {NULL, 0, 0};
    script_add(
        &t, "kernel @k contract(in a: %s[%d*k], in b: %s[%d*k], out c: %s[%d]%s%s%s%s) extents(k) {\nstage $0 in 1 {\n",
        dtype, mr, b_dtype, nr, sum, mr * nr, is_local ? ", local l: " : "", is_local ? sum : "",
        is_local ? "[4096]" : "", "");
    const char *to = is_local ? "l" : "c";
    script_add(&t, "for $1 in 0 to %d { %%0 = const 2 : %s store %s[$1], %%0 }\n", mr * nr, sum, to);
    script_add(&t, "tile %d x %d depth k: %s[0; %d] %s= a[0; %s] * b[0; %d]\n", mr, nr, to, nr, accumulate ? "+" : "",
               packed ? "1, " : "k, 1", nr);
    script u = {NULL, 0, 0};
    if (packed) {
        char *at = strstr(t.text, "; 1, ]");
        script_add(&u, "%.*s; 1, %d%s", (int)(at - t.text), t.text, mr, at + 5);
    } else
        script_add(&u, "%s", t.text);
    if (is_local)
        script_add(&u, "for $2 in 0 to %d vector 8 { %%1 = load l[$2] : %s store c[$2], %%1 }\n", mr * nr, sum);
    script_add(&u, "} }");
    check_kernel_with(u.text, EXTENTS(depth), EXACT, FILL_SMALL);
    free(t.text);
    free(u.text);
}

static void check_tile(const char *dtype, const char *sum, int mr, int nr, int64_t depth, bool accumulate, bool packed,
                       bool is_local) {
    check_tile_of(dtype, dtype, sum, mr, nr, depth, accumulate, packed, is_local);
}

static void tiles(void **state) {
    (void)state;
    check_tile("f32", "f32", 6, 64, 37, false, true, false);
    check_tile("f32", "f32", 6, 64, 5, true, false, true);
    check_tile("f32", "f32", 14, 32, 9, false, false, false);
    check_tile("f32", "f32", 1, 1, 3, true, true, false);
    check_tile("f32", "f32", 3, 27, 8, false, true, true);
    check_tile("f32", "f32", 4, 16, 0, true, true, false);
    check_tile("f64", "f64", 6, 20, 11, true, true, false);
    check_tile("f16", "f32", 4, 24, 7, false, true, true);
    check_tile("bf16", "bf16", 2, 9, 4, true, false, false);
    static const char *const narrow[] = {"i8", "u8", "i16", "u16", "f16", "bf16"};
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++) {
        check_tile_of("f32", narrow[i], "f32", 1, 64, 37, false, true, true);
        check_tile_of("f32", narrow[i], "f32", 3, 27, 8, i % 2, false, false);
    }
}

/* Windows of rows x columns over `channels` planes of 9 x 20, each tile row 2 elements behind the one before. */
static void check_windows(int mr, int nr, int64_t channels, int rows, int columns, bool accumulate, bool asks) {
    script t = {NULL, 0, 0};
    int taps = rows * columns;
    script_add(&t, "kernel @k conv(in a: f32[180*k + 64], in b: f32[%d*k], out c: f32[%d]) extents(k) {\n", taps * nr,
               mr * nr);
    script_add(&t, "stage $0 in 1 {\nfor $1 in 0 to %d { %%0 = const 2 : f32 store c[$1], %%0 }\n", mr * nr);
    script_add(&t, "tile %d x %d depth k by %d[20, %d] by %d[1, %d]: c[0; %d] %s= a[0; 2, 180] * b[0; %d]%s\n} }", mr,
               nr, rows, columns * nr, columns, nr, nr, accumulate ? "+" : "", taps * nr, asks ? " next a[3; 7]" : "");
    check_kernel_with(t.text, EXTENTS(channels), EXACT, FILL_SMALL);
    free(t.text);
}

static void tiles_of_windows(void **state) {
    (void)state;
    check_windows(6, 64, 5, 3, 3, false, false);
    check_windows(7, 48, 3, 7, 7, false, true);
    check_windows(4, 20, 2, 5, 5, true, true);
    check_windows(8, 16, 1, 1, 17, true, false);
    check_windows(1, 1, 4, 1, 1, false, true);
    check_windows(3, 32, 0, 3, 3, true, false);
}

/* Into the middle of rows that are longer than what is written. */
static void check_transpose(const char *dtype, int rows, int columns) {
    script t = {NULL, 0, 0};
    int from_row = columns + 3, to_row = rows + 2;
    script_add(&t, "kernel @k map(in x: %s[%d], out y: %s[%d]) {\nstage $0 in 1 {\n", dtype, rows * from_row, dtype,
               columns * to_row + 1);
    script_add(&t, "for $1 in 0 to %d { %%0 = const 0 : %s store y[$1], %%0 }\n", columns * to_row + 1, dtype);
    script_add(&t, "transpose %d x %d: y[1; %d] = x[2; %d]\n} }", rows, columns, to_row, from_row);
    check_kernel_with(t.text, EXTENTS(1), EXACT, FILL_SMALL);
    free(t.text);
}

static void transposes(void **state) {
    static const char *const dtypes[] = {"f32", "f64", "bf16", "i8", "bool"};
    static const int sizes[][2] = {{1, 1}, {16, 16}, {14, 16}, {7, 33}, {1, 20}, {64, 5}, {31, 47}};
    (void)state;
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) check_transpose(dtypes[d], sizes[i][0], sizes[i][1]);
}

#ifdef TN_HOSTILE_MALLOC
#include "compiler/codegen/emit.h"

/* A kernel with something of everything, read and emitted; false: some allocation failed, and was reported. */
static bool go_through(void) {
    static const char text[] =
        "kernel @k map(in x: f32[n*m], in i: i64[n], out y: f32[n*m], local l: f32[64], scratch s: f32[n]) extents(n, "
        "m) sites(gather) {\n"
        "  stage $0 in n {\n"
        "    %0 = const 0 : f32 %1 = load i[$0] : i64\n"
        "    bind $1 = %1 below n element $0 site 0\n"
        "    for $2 in 0 to m vector 8 carry(%2 = %0 by add -> %3) {\n"
        "      %4 = load x[m*$1 + floordiv($2, 3) + mod($2, n)] : f32 %5 = add %2, %4 : f32 next %5\n"
        "    }\n"
        "    for $3 in 0 to 4 unrolled { store l[3*$3], %3 }\n"
        "    for $4 in 0 to m { %6 = load l[mod($4*m, 7)] : f32 store s[$0], %6 store y[m*$0 + $4], %6 }\n"
        "    tile 2 x 4 depth m: l[0; 4] += x[0; m, 1] * x[0; 4]\n"
        "    tile 2 x 4 depth m by 5[4, 2] by 4[1, 1]: l[0; 4] = x[0; m, 1] * x[0; 4] next x[0; 2]\n"
        "    transpose 2 x 4: s[0; 2] = l[0; 4]\n"
        "  }\n"
        "}\n";
    tn_diag diag = {.status = TN_OK};
    target t;
    if (target_init(&t, "x86-64-v3", &diag) != TN_OK) {
        target_free(&t);
        return false;
    }
    tn_module *m = module_new("test");
    lt_kernel *k = m ? lt_parse(m, text, sizeof text - 1, "text") : NULL;
    bool ok = k != NULL;
    if (!m)
        diag.status = TN_ERR_MEMORY;
    else if (!k)
        diag = m->error;
    LLVMContextRef context = LLVMContextCreate();
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext("kernel", context);
    if (ok) {
        LLVMValueRef stages[1];
        ok = emit_kernel(&(emitter){.module = module, .target = &t, .diag = &diag}, k, "k", stages);
    }
    assert_true(ok || diag.status == TN_ERR_MEMORY);
    LLVMDisposeModule(module);
    LLVMContextDispose(context);
    if (m) tn_module_free(m);
    target_free(&t);
    return ok;
}

static void every_allocation_fails_in_turn(void **state) {
    (void)state;
    for (int sticky = 0; sticky < 2; sticky++)
        for (uint64_t nth = 0;; nth++) {
            tn_malloc_fail_at(nth, sticky);
            bool ok = go_through();
            tn_malloc_fail_at(UINT64_MAX, false);
            assert_true(nth < 10000);
            if (ok) break; /* it was not reached */
        }
}
#endif

/* ---- Streamed stores ---- */

/* From the start of a line of the cache, from behind it, to two buffers, with parts that are not streamed. */
static void streams(void **state) {
    (void)state;
    static const char text[] =
        "kernel @k map(in x: f32[n + 40], out y: f32[4*n + 4] streamed, out c: i16[n + 1] streamed) extents(n) {\n"
        "  stage $0 in 2 {\n"
        "    for $1 in 0 to n vector 16 {\n"
        "      %0 = load x[$1] : f32 %1 = add %0, %0 : f32\n"
        "      store y[n*$0 + $1], %1\n"
        "    }\n"
        "    for $2 in 0 to n vector 16 { %2 = load x[$2 + 40] : f32 store y[2*n + n*$0 + $2 + 4], %2 }\n"
        "  }\n"
        "  stage $3 in 1 {\n"
        "    for $4 in 0 to n vector 32 {\n"
        "      %3 = load x[$4] : f32 %4 = convert %3 : i16 store c[$4], %4 store y[$4], %3\n"
        "    }\n"
        "    for $5 in 0 to 1 { store c[n], %5 store y[2*n + 0*$5], %6 store y[4*n], %6 }\n"
        "  }\n"
        "}\n";
    char whole[sizeof text + 80];
    const char *at = strstr(text, "    for $5");
    snprintf(whole, sizeof whole, "%.*s    %%5 = const 7 : i16 %%6 = const 8 : f32\n%s", (int)(at - text), text, at);
    static const int64_t sizes[] = {0, 1, 16, 255, 256, 512, 1000, 2048};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) check_kernel(whole, EXTENTS(sizes[i]), EXACT);
}

/* Stores that are not streamed: guarded, backwards, of a lane, in an inner loop, where a bound index says. */
static void streams_that_are_not(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "%1 = compare lt %0, %0 : bool store y[$1], %0 if %1",
        "store y[511 - $1], %0",
        "store y[2*$1], %0",
        "for $2 in 0 to 1 { store y[$1 + $2], %0 }",
        "%1 = dim n : i64 bind $2 = %1 below 16 element 0 store y[$1 + $2], %0",
        "%1 = const true : bool if %1 { store y[$1], %0 }",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        script t = {NULL, 0, 0};
        script_add(&t, "kernel @k map(in x: f32[512], out y: f32[1024] streamed) extents(n) {\n");
        script_add(&t, "stage $0 in 1 { for $1 in 0 to 512 vector 16 { %%0 = load x[$1] : f32 %s } } }", bodies[i]);
        check_kernel(t.text, EXTENTS(5), EXACT);
        free(t.text);
    }
}

static void streamed_transposes(void **state) {
    (void)state;
    for (int offset = 0; offset < 2; offset++)
        for (int row = 64; row < 66; row++) {
            script t = {NULL, 0, 0};
            script_add(&t, "kernel @k map(in x: f32[1024], out y: f32[4096] streamed) {\nstage $0 in 1 {\n");
            script_add(&t, "transpose 16 x 32: y[%d; %d] = x[0; 32] } }", offset, row);
            check_kernel(t.text, NULL, EXACT);
            free(t.text);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams),
        cmocka_unit_test(streams_that_are_not),
        cmocka_unit_test(streamed_transposes),
        cmocka_unit_test(tails_of_all_lengths),
        cmocka_unit_test(static_tails),
        cmocka_unit_test(static_masks),
        cmocka_unit_test(strides),
        cmocka_unit_test(shuffles),
        cmocka_unit_test(taps),
        cmocka_unit_test(guards),
        cmocka_unit_test(guards_of_scalars),
        cmocka_unit_test(reductions),
        cmocka_unit_test(columns),
        cmocka_unit_test(unrolled_and_serial),
        cmocka_unit_test(ifs),
        cmocka_unit_test(index_arithmetic),
        cmocka_unit_test(indices),
        cmocka_unit_test(scatters),
        cmocka_unit_test(stages_and_scratch),
        cmocka_unit_test(tiles),
        cmocka_unit_test(tiles_of_windows),
        cmocka_unit_test(transposes),
#ifdef TN_HOSTILE_MALLOC
        cmocka_unit_test(every_allocation_fails_in_turn),
#endif
    };
    return cmocka_run_group_tests_name("emit", tests, NULL, NULL);
}
