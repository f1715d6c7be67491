/* Dims: canonical form, printing, bounds and simplification, against direct evaluation. */
#include "ir/dim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static dim_table *table;

static int setup(void **state) {
    (void)state;
    table = dim_table_new();
    return table ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    dim_table_free(table);
    return 0;
}

static tn_dim number(int64_t value) { return dim_const(table, value); }
static tn_dim symbol(const char *name) { return dim_symbol(table, name); }
static tn_dim var(uint32_t k) { return dim_variable(table, k); }
static tn_dim add(tn_dim a, tn_dim b) { return dim_add(table, a, b); }
static tn_dim sub(tn_dim a, tn_dim b) { return dim_sub(table, a, b); }
static tn_dim mul(tn_dim a, tn_dim b) { return dim_mul(table, a, b); }
static tn_dim fdiv(tn_dim a, tn_dim b) { return dim_floordiv(table, a, b); }
static tn_dim cdiv(tn_dim a, tn_dim b) { return dim_ceildiv(table, a, b); }
static tn_dim mod(tn_dim a, tn_dim b) { return dim_mod(table, a, b); }

static void expect_text(tn_dim d, const char *text) {
    char out[512];
    size_t length = dim_print(table, d, out, sizeof out);
    assert_string_equal(out, text);
    assert_int_equal(length, strlen(text));
}

static void sums_and_products(void **state) {
    (void)state;
    tn_dim n = symbol("n"), m = symbol("m");
    assert_int_equal(sub(add(mul(number(2), n), n), mul(number(3), n)), number(0));
    assert_int_equal(add(n, m), add(m, n));
    assert_int_equal(mul(add(n, m), sub(n, m)), sub(mul(n, n), mul(m, m)));
    assert_int_equal(dim_product(table, (tn_dim[]){n, number(4), m}, 3), mul(mul(m, n), number(4)));
    expect_text(add(mul(number(2), n), number(1)), "2*n + 1");
    expect_text(sub(number(3), mul(n, m)), "-m*n + 3");
    expect_text(number(0), "0");
    expect_text(number(-7), "-7");
    expect_text(add(mul(var(0), n), var(12)), "$0*n + $12");
    expect_text(symbol("batch size\n"), "\"batch size\\n\"");
    assert_int_equal(dim_exact_div(table, mul(add(n, m), n), add(n, m)), n);
    assert_int_equal(dim_exact_div(table, add(mul(n, n), number(1)), n), DIM_INVALID);
    assert_int_equal(dim_exact_div(table, mul(number(6), n), mul(number(3), n)), number(2));
    assert_int_equal(dim_table_status(table), TN_OK);
}

static void divisions(void **state) {
    (void)state;
    tn_dim n = symbol("n"), m = symbol("m"), j = symbol("j"), four = number(4);
    assert_int_equal(fdiv(add(mul(four, n), j), four), add(n, fdiv(j, four)));
    assert_int_equal(mod(add(mul(four, n), j), four), mod(j, four));
    assert_int_equal(fdiv(fdiv(n, number(3)), four), fdiv(n, number(12)));
    assert_int_equal(fdiv(add(fdiv(add(n, number(1)), number(2)), number(1)), number(2)), cdiv(n, four));
    assert_int_equal(add(mul(fdiv(n, four), four), mod(n, four)), n);
    assert_int_equal(add(mul(fdiv(n, m), m), mod(n, m)), n);
    assert_int_equal(mod(mod(n, number(8)), four), mod(n, four));
    assert_int_equal(fdiv(mod(n, four), four), number(0));
    assert_int_equal(fdiv(mul(n, m), n), m);
    assert_int_equal(cdiv(mul(n, m), n), m);
    assert_int_equal(mod(mul(n, m), m), number(0));
    assert_int_equal(fdiv(mul(mul(n, number(6)), j), mul(mul(m, number(4)), n)),
                     fdiv(mul(number(3), j), mul(number(2), m)));
    assert_int_equal(fdiv(add(mul(add(n, number(1)), j), number(0)), add(n, number(1))), j);
    assert_int_equal(fdiv(number(-7), number(2)), number(-4));
    assert_int_equal(mod(number(-7), number(2)), number(1));
    expect_text(fdiv(n, number(2)), "floordiv(n, 2)");
    expect_text(cdiv(n, number(2)), "ceildiv(n, 2)");
    expect_text(mod(n, four), "mod(n, 4)");
    expect_text(add(mul(m, mod(add(n, number(1)), four)), number(7)), "m*mod(n + 1, 4) + 7");
    expect_text(mod(n, m), "mod(n, m)");
    assert_int_equal(dim_table_status(table), TN_OK);
    assert_int_equal(fdiv(n, number(0)), DIM_INVALID);
    assert_int_equal(dim_table_status(table), TN_ERR_ARGUMENT);
    dim_table_clear_status(table);
}

static void extrema(void **state) {
    (void)state;
    tn_dim n = symbol("n"), m = symbol("m"), k = symbol("k");
    assert_int_equal(dim_min(table, n, add(n, number(1))), n);
    assert_int_equal(dim_max(table, n, add(n, number(1))), add(n, number(1)));
    assert_int_equal(dim_min(table, n, m), dim_min(table, m, n));
    assert_int_equal(dim_min(table, n, dim_min(table, m, k)), dim_min(table, dim_min(table, k, n), m));
    assert_int_equal(dim_min(table, dim_min(table, n, m), sub(n, number(2))), dim_min(table, m, sub(n, number(2))));
    expect_text(dim_min(table, n, dim_min(table, m, number(4))), "min(m, n, 4)");
}

static void overflow_is_caught(void **state) {
    (void)state;
    tn_dim big = number(INT64_MAX), n = symbol("n");
    assert_int_equal(add(big, number(1)), DIM_INVALID);
    assert_int_equal(dim_table_status(table), TN_ERR_LIMIT);
    dim_table_clear_status(table);
    assert_int_equal(mul(mul(n, number(INT64_C(1) << 40)), number(INT64_C(1) << 40)), DIM_INVALID);
    assert_int_equal(dim_table_status(table), TN_ERR_LIMIT);
    assert_int_equal(add(DIM_INVALID, n), DIM_INVALID);
    dim_table_clear_status(table);
    tn_dim deep = n; /* every level doubles the tree: stopped by its weight */
    for (int i = 0; i < 100; i++) deep = mod(mul(deep, deep), add(deep, number(3 + i)));
    assert_int_equal(deep, DIM_INVALID);
    assert_int_equal(dim_table_status(table), TN_ERR_LIMIT);
    dim_table_clear_status(table);
}

static void reshape_maps(void **state) {
    (void)state;
    tn_dim n = symbol("n"), h = symbol("h"), w = symbol("w"), zero = number(0);
    tn_dim a = var(0), b = var(1), c = var(2);
    dim_range r[] = {{a, zero, sub(n, number(1))}, {b, zero, sub(h, number(1))}, {c, zero, sub(w, number(1))}};
    tn_dim flat = add(add(mul(a, mul(h, w)), mul(b, w)), c);
    assert_int_equal(dim_simplify(table, fdiv(flat, w), r, 3), add(mul(a, h), b));
    assert_int_equal(dim_simplify(table, mod(flat, w), r, 3), c);
    assert_int_equal(dim_simplify(table, fdiv(flat, mul(h, w)), r, 3), a);
    assert_int_equal(dim_simplify(table, mod(fdiv(flat, w), h), r, 3), b);
    assert_int_equal(dim_simplify(table, mod(flat, mul(h, w)), r, 3), add(mul(b, w), c));
    /* Padded rows, and a divisor that is a sum. */
    tn_dim w2 = add(w, number(2)), h2 = add(h, number(2));
    dim_range padded[] = {{a, zero, sub(n, number(1))}, {b, zero, add(h, number(1))}, {c, zero, add(w, number(1))}};
    tn_dim flat2 = add(add(mul(a, mul(h2, w2)), mul(b, w2)), c);
    assert_int_equal(dim_simplify(table, fdiv(flat2, mul(h2, w2)), padded, 3), a);
    assert_int_equal(dim_simplify(table, mod(fdiv(flat2, w2), h2), padded, 3), b);
    assert_int_equal(dim_simplify(table, mod(flat2, w2), padded, 3), c);
    /* Split rows: 64 = 4 x 16 in numbers. */
    dim_range fixed[] = {{a, zero, number(31)}, {b, zero, number(3)}, {c, zero, number(15)}};
    tn_dim flat3 = add(add(mul(a, number(64)), mul(b, number(16))), c);
    assert_int_equal(dim_simplify(table, fdiv(flat3, number(64)), fixed, 3), a);
    assert_int_equal(dim_simplify(table, fdiv(flat3, number(16)), fixed, 3), add(mul(number(4), a), b));
    assert_int_equal(dim_simplify(table, fdiv(flat3, number(32)), fixed, 3),
                     add(mul(number(2), a), fdiv(b, number(2))));
    assert_int_equal(dim_simplify(table, mod(fdiv(flat3, number(16)), number(4)), fixed, 3), b);
    /* A factor that only the range knows: (5*h) * w elements as rows of h * w. */
    dim_range folded[] = {{b, zero, sub(mul(number(5), h), number(1))}, {c, zero, sub(w, number(1))}};
    assert_int_equal(dim_simplify(table, fdiv(add(mul(b, w), c), mul(h, w)), folded, 2), fdiv(b, h));
    assert_int_equal(dim_table_status(table), TN_OK);
}

static void bounds(void **state) {
    (void)state;
    tn_dim n = symbol("n"), h = symbol("h"), w = symbol("w"), zero = number(0), a = var(0), b = var(1);
    dim_range r[] = {{a, zero, sub(n, number(1))}, {n, number(1), number(1024)}};
    int64_t low, high;
    dim_bounds(table, add(mul(number(3), a), n), r, 2, &low, &high);
    assert_int_equal(low, 1);
    assert_int_equal(high, 4093);
    dim_bounds(table, mod(a, number(7)), r, 2, &low, &high);
    assert_int_equal(low, 0);
    assert_int_equal(high, 6);
    dim_bounds(table, var(9), NULL, 0, &low, &high);
    assert_true(low == INT64_MIN && high == INT64_MAX);
    assert_true(dim_is_nonnegative(table, sub(sub(n, number(1)), a), r, 1));
    assert_false(dim_is_nonnegative(table, sub(sub(n, number(2)), a), r, 1));
    /* The last element of [h, w] is inside. */
    dim_range grid[] = {{a, zero, sub(h, number(1))}, {b, zero, sub(w, number(1))}};
    assert_true(dim_is_nonnegative(table, sub(sub(mul(h, w), number(1)), add(mul(a, w), b)), grid, 2));
    /* A tile that is cut at the end. */
    tn_dim rest = dim_min(table, number(63), sub(sub(n, mul(number(64), a)), number(1)));
    dim_range tile[] = {{a, zero, fdiv(sub(n, number(1)), number(64))}, {b, zero, rest}};
    assert_true(dim_is_nonnegative(table, sub(sub(n, number(1)), add(mul(number(64), a), b)), tile, 2));
    /* Reversed, and divided. */
    tn_dim reversed = fdiv(sub(sub(n, number(1)), a), number(4));
    assert_true(dim_is_nonnegative(table, reversed, r, 1));
    assert_true(dim_is_nonnegative(table, sub(fdiv(sub(n, number(1)), number(4)), reversed), r, 1));
    /* A mod by a symbol. */
    assert_true(dim_is_nonnegative(table, mod(a, w), r, 1));
    assert_true(dim_is_nonnegative(table, sub(sub(w, number(1)), mod(a, w)), r, 1));
    /* Ranges that speak of each other come to an end. */
    dim_range circle[] = {{n, zero, h}, {h, zero, n}};
    assert_false(dim_is_nonnegative(table, sub(sub(number(100), n), h), circle, 2));
    assert_int_equal(dim_table_status(table), TN_OK);
}

static void linear_parts(void **state) {
    (void)state;
    tn_dim n = symbol("n"), a = var(0), b = var(1), c, r;
    assert_true(dim_split_linear(table, add(mul(n, a), mul(number(3), b)), a, &c, &r));
    assert_int_equal(c, n);
    assert_int_equal(r, mul(number(3), b));
    assert_true(dim_split_linear(table, n, a, &c, &r));
    assert_int_equal(c, number(0));
    assert_false(dim_split_linear(table, mul(a, a), a, &c, &r));
    assert_false(dim_split_linear(table, fdiv(a, number(4)), a, &c, &r));
    assert_true(dim_contains(table, fdiv(a, number(4)), a));
    dim_term terms[4];
    assert_int_equal(dim_terms(table, add(mul(n, a), number(5)), 4, terms), 2);
    assert_int_equal(terms[0].coefficient, 5);
    assert_int_equal(terms[1].n_atoms, 2);
    assert_int_equal(dim_terms(table, number(0), 4, terms), 0);
}

/* ---- Random expressions ---------------------------------------------------------------------- */

enum { LEAVES = 6, NODES = 12 };

typedef struct expression {
    int op; /* 0 constant, 1 leaf, then + - * // ceil % min max */
    int64_t value;
    int a, b;
} expression;

static uint64_t seed = 88172645463325252u;
static int64_t draw(int64_t low, int64_t high) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return low + (int64_t)(seed % (uint64_t)(high - low + 1));
}

/* Divisors are positive wherever all leaves are: 1..9, or a symbol, or their product. */
static int random_tree(expression *tree) {
    int n = 0;
    for (int i = 0; i < 4; i++) tree[n++] = (expression){1, draw(0, LEAVES - 1), 0, 0};
    tree[n++] = (expression){0, draw(-9, 9), 0, 0};
    int first = n;
    while (n < first + NODES) {
        int op = (int)draw(2, 9), b = (int)draw(0, n - 1);
        if (op >= 5 && op <= 7) {
            tree[n++] = draw(0, 2) ? (expression){0, draw(1, 9), 0, 0} : (expression){1, draw(0, 2), 0, 0};
            b = n - 1;
        }
        tree[n] = (expression){op, 0, (int)draw(n > first + 3 ? first : 0, n - 1), b};
        n++;
    }
    return n;
}

static tn_dim (*const builders[])(dim_table *, tn_dim, tn_dim) = {dim_add,     dim_sub, dim_mul, dim_floordiv,
                                                                  dim_ceildiv, dim_mod, dim_min, dim_max};

static tn_dim leaf_dim(int64_t i) {
    static const char *const names[] = {"n", "h", "w"};
    return i < 3 ? symbol(names[i]) : var((uint32_t)i);
}

/* The tree as a dim; `turned` builds the same function another way round. */
static tn_dim build(const expression *tree, int at, bool turned) {
    const expression *e = &tree[at];
    if (e->op == 0) return number(e->value);
    if (e->op == 1) return leaf_dim(e->value);
    tn_dim a, b;
    if (turned) {
        b = build(tree, e->b, true);
        a = build(tree, e->a, true);
        tn_dim one = number(1);
        switch (e->op) {
        case 2: return sub(add(b, add(a, one)), one);
        case 3: return add(mul(number(-1), b), a);
        case 4: return sub(mul(add(b, one), a), a);
        case 5: return sub(fdiv(add(a, mul(b, b)), b), b);
        case 6: return mul(number(-1), fdiv(mul(number(-1), a), b));
        case 7: return mod(sub(a, mul(b, number(3))), b);
        default: return builders[e->op - 2](table, b, builders[e->op - 2](table, a, b));
        }
    }
    a = build(tree, e->a, false);
    b = build(tree, e->b, false);
    return builders[e->op - 2](table, a, b);
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

static bool direct(const expression *tree, int at, const int64_t *leaves, int64_t *value) {
    const expression *e = &tree[at];
    int64_t a, b;
    if (e->op < 2) return *value = e->op ? leaves[e->value] : e->value, true;
    if (!direct(tree, e->a, leaves, &a) || !direct(tree, e->b, leaves, &b)) return false;
    const int64_t limit = INT64_C(1) << 50;
    switch (e->op) {
    case 2: *value = a + b; break;
    case 3: *value = a - b; break;
    case 4:
        if (__builtin_mul_overflow(a, b, value)) return false;
        break;
    case 5: *value = floor_div(a, b); break;
    case 6: *value = -floor_div(-a, b); break;
    case 7: *value = a - b * floor_div(a, b); break;
    case 8: *value = a < b ? a : b; break;
    default: *value = a > b ? a : b;
    }
    return *value < limit && *value > -limit;
}

static bool look(void *ctx, tn_dim leaf, int64_t *value) {
    const int64_t *leaves = ctx;
    for (int i = 0; i < LEAVES; i++)
        if (leaf_dim(i) == leaf) return *value = leaves[i], true;
    return false;
}

static void random_expressions(void **state) {
    (void)state;
    int evaluated = 0, same = 0, built = 0;
    int rounds = getenv("TN_LONG") ? 200000 : 3000;
    for (int round = 0; round < rounds; round++) {
        expression tree[64];
        int root = random_tree(tree) - 1;
        tn_dim d = build(tree, root, false), turned = build(tree, root, true);
        if (d == DIM_INVALID || turned == DIM_INVALID) continue;
        built++;
        same += d == turned;
        if (d != turned) {
            char x[2000], y[2000];
            dim_print(table, d, x, sizeof x);
            dim_print(table, turned, y, sizeof y);
            if (getenv("TN_SHOW")) fprintf(stderr, "%s\n  %s\n", x, y);
        }
        dim_range ranges[LEAVES];
        for (int i = 0; i < 3; i++) ranges[i] = (dim_range){leaf_dim(i), number(1), number(draw(1, 40))};
        for (int i = 3; i < LEAVES; i++)
            ranges[i] = (dim_range){leaf_dim(i), number(0), sub(leaf_dim(i - 3), number(1))};
        tn_dim simple = dim_simplify(table, d, ranges, LEAVES);
        int64_t low, high;
        dim_bounds(table, d, ranges, LEAVES, &low, &high);
        bool nonnegative = dim_is_nonnegative(table, d, ranges, LEAVES);
        for (int k = 0; k < 8; k++) {
            int64_t leaves[LEAVES], expected, value = 0, simplified = 0;
            for (int i = 0; i < 3; i++) {
                int64_t most;
                assert_true(dim_is_const(table, ranges[i].high, &most));
                leaves[i] = draw(1, most);
                leaves[i + 3] = draw(0, leaves[i] - 1);
            }
            if (!direct(tree, root, leaves, &expected)) continue;
            if (!dim_eval(table, d, look, leaves, &value))
                continue; /* the canonical form may pass 63 bits on the way */
            evaluated++;
            if (value != expected) {
                char text[2000];
                dim_print(table, d, text, sizeof text);
                fail_msg("round %d: %s", round, text);
            }
            assert_true(dim_eval(table, turned, look, leaves, &value));
            assert_int_equal(value, expected);
            if (dim_eval(table, simple, look, leaves, &simplified)) assert_int_equal(simplified, expected);
            assert_true(low <= expected && expected <= high);
            assert_true(!nonnegative || expected >= 0);
        }
    }
    print_message("# %d built, %d of them the same turned round, %d evaluations\n", built, same, evaluated);
    assert_true(built > rounds / 2 && evaluated > 4 * built);
    assert_true(same * 100 >= built * 97); /* not: the two halves of an odd number, min(x, x // 2) */
    dim_table_clear_status(table);
}

static void substitution_and_import(void **state) {
    (void)state;
    tn_dim n = symbol("n"), m = symbol("m");
    tn_dim d = add(mul(n, m), fdiv(n, number(2)));
    tn_dim swapped = dim_substitute(table, d, (tn_dim[]){n, m}, (tn_dim[]){m, n}, 2);
    assert_int_equal(swapped, add(mul(n, m), fdiv(m, number(2))));
    assert_int_equal(dim_substitute(table, d, &n, (tn_dim[]){number(8)}, 1), add(mul(number(8), m), number(4)));
    dim_table *other = dim_table_new();
    assert_non_null(other);
    dim_symbol(other, "m");
    char x[100], y[100];
    tn_dim copy = dim_import(other, table, d);
    dim_print(table, d, x, sizeof x);
    dim_print(other, copy, y, sizeof y);
    assert_string_equal(x, y);
    assert_int_equal(dim_import(table, other, copy), d);
    dim_table_free(other);
    char cut[5];
    assert_int_equal(dim_print(table, d, cut, sizeof cut), strlen(x));
    assert_int_equal(strlen(cut), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_products),
        cmocka_unit_test(divisions),
        cmocka_unit_test(extrema),
        cmocka_unit_test(overflow_is_caught),
        cmocka_unit_test(reshape_maps),
        cmocka_unit_test(bounds),
        cmocka_unit_test(linear_parts),
        cmocka_unit_test(random_expressions),
        cmocka_unit_test(substitution_and_import),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
