/* Dims that differ in numbers, made one (see common.h): sums term by term, divisions, minima and maxima operand by
 * operand, down to numbers. */
#include "compiler/loops/common.h"
#include "ir/dim_poly.h"

#include <stdio.h>

enum { MOST_TERMS = 16 }; /* of a sum that differs */

static void *take(common *c, size_t bytes_each) {
    void *memory = arena_alloc(&c->memory, c->n, bytes_each);
    c->out_of_memory |= !memory;
    return memory;
}

static bool are_same(const common *c, const tn_dim *d) {
    for (uint32_t i = 1; i < c->n; i++)
        if (d[i] != d[0]) return false;
    return true;
}

/* ---- Numbers ---- */

/* v = factor * of, and the factor is not 0. */
static bool is_multiple(const common *c, const int64_t *v, const int64_t *of, int64_t *factor) {
    uint32_t at = 0;
    while (at < c->n && of[at] == 0) at++;
    if (at == c->n || v[at] % of[at] != 0) return false;
    *factor = v[at] / of[at];
    for (uint32_t i = 0; i < c->n; i++)
        if (of[i] * *factor != v[i]) return false;
    return *factor != 0;
}

/* None of the kernel's, by a name that few would give. */
static tn_dim new_symbol(const common *c) {
    tn_dim symbol = DIM_INVALID;
    bool is_taken = true;
    for (uint32_t number = 0; is_taken; number++) {
        char name[32];
        snprintf(name, sizeof name, "number.%u", number);
        symbol = dim_symbol(c->dims, name);
        is_taken = false;
        for (uint32_t i = 0; i < c->first->n_extents; i++) is_taken |= c->first->extents[i] == symbol;
        for (uint32_t i = 0; i < c->n_numbers; i++) is_taken |= c->numbers[i].symbol == symbol;
    }
    return symbol;
}

/* The extent of which v is the least multiple; NULL: there is no room, or its sign is not one. */
static const common_number *add_number(common *c, const int64_t *v) {
    bool is_negative = false, is_positive = false;
    int64_t factor = 0, *values = take(c, sizeof *values);
    for (uint32_t i = 0; i < c->n; i++) {
        is_negative |= v[i] < 0;
        is_positive |= v[i] > 0;
        factor = int_gcd(factor, v[i]);
    }
    if (!values || c->n_numbers == COMMON_MOST_NUMBERS || is_negative == is_positive) return NULL;
    for (uint32_t i = 0; i < c->n; i++) values[i] = v[i] / (is_negative ? -factor : factor);
    c->numbers[c->n_numbers] = (common_number){new_symbol(c), values};
    return &c->numbers[c->n_numbers++];
}

static tn_dim common_constant(common *c, const int64_t *v) {
    int64_t factor = 0;
    uint32_t i = 1, k = 0;
    while (i < c->n && v[i] == v[0]) i++;
    if (i == c->n) return dim_const(c->dims, v[0]);
    while (k < c->n_numbers && !is_multiple(c, v, c->numbers[k].values, &factor)) k++;
    const common_number *number = k < c->n_numbers ? &c->numbers[k] : add_number(c, v);
    if (!number || !is_multiple(c, v, number->values, &factor)) return DIM_INVALID;
    return dim_mul_const(c->dims, number->symbol, factor);
}

/* ---- Atoms ---- */

typedef struct reach_search {
    const common *c;
    dims_reach most;
} reach_search;

static bool visit_leaf(void *ctx, tn_dim leaf) {
    reach_search *s = ctx;
    if (dim_kind_of(s->c->dims, leaf) != DIM_VARIABLE) return true;
    dims_reach reach = s->c->list->reaches[dim_variable_number(s->c->dims, leaf)];
    if (reach > s->most) s->most = reach;
    return true;
}

static dims_reach reach_of(const common *c, tn_dim d) {
    reach_search s = {c, OF_CHUNK};
    dim_visit_leaves(c->dims, d, visit_leaf, &s);
    return s.most;
}

static tn_dim common_sum(common *c, const tn_dim *d);

static tn_dim common_atom(common *c, const tn_dim *d) {
    static tn_dim (*const makers[])(dim_table *, tn_dim,
                                    tn_dim) = {[DIM_FLOORDIV] = dim_floordiv, [DIM_MIN] = dim_min, [DIM_MAX] = dim_max};
    if (are_same(c, d)) return d[0];
    dim_kind kind = dim_kind_of(c->dims, d[0]);
    tn_dim *a = take(c, sizeof *a), *b = take(c, sizeof *b);
    if (!a || !b || kind >= sizeof makers / sizeof *makers || !makers[kind]) return DIM_INVALID;
    for (uint32_t i = 0; i < c->n; i++) {
        if (dim_kind_of(c->dims, d[i]) != kind) return DIM_INVALID;
        dim_operands(c->dims, d[i], &a[i], &b[i]);
        /* Which operand of a minimum is the first depends on ids. */
        if (kind == DIM_FLOORDIV || dim_kind_of(c->dims, a[i]) == dim_kind_of(c->dims, a[0])) continue;
        tn_dim first = a[i];
        a[i] = b[i];
        b[i] = first;
    }
    /* A division by a number is a multiplication; one by an extent is not. */
    if (kind == DIM_FLOORDIV && !are_same(c, b) && reach_of(c, a[0]) != OF_CHUNK) return DIM_INVALID;
    tn_dim x = common_sum(c, a), y = common_sum(c, b);
    return x == DIM_INVALID || y == DIM_INVALID ? DIM_INVALID : makers[kind](c->dims, x, y);
}

/* ---- Sums ---- */

/* Of term `at`, which is not a number alone. */
static tn_dim common_term(common *c, const tn_dim *d, uint32_t at) {
    int64_t *coefficients = take(c, sizeof *coefficients);
    dim_term *terms = take(c, sizeof *terms), some[MOST_TERMS];
    tn_dim *atoms = take(c, sizeof *atoms);
    if (!coefficients || !terms || !atoms) return DIM_INVALID;
    for (uint32_t i = 0; i < c->n; i++) {
        dim_terms(c->dims, d[i], MOST_TERMS, some);
        terms[i] = some[at];
        coefficients[i] = terms[i].coefficient;
        if (terms[i].n_atoms != terms[0].n_atoms) return DIM_INVALID;
    }
    tn_dim product = common_constant(c, coefficients);
    bool differs = product == DIM_INVALID || !dim_is_const(c->dims, product, NULL);
    for (uint32_t k = 0; k < terms[0].n_atoms && product != DIM_INVALID; k++) {
        for (uint32_t i = 0; i < c->n; i++) atoms[i] = terms[i].atoms[k];
        tn_dim atom = differs && reach_of(c, atoms[0]) == OF_LAYOUT ? DIM_INVALID : common_atom(c, atoms);
        product = atom == DIM_INVALID ? DIM_INVALID : dim_mul(c->dims, product, atom);
    }
    return product;
}

static int64_t constant_of(const common *c, tn_dim d) {
    dim_term first;
    return dim_terms(c->dims, d, 1, &first) && first.n_atoms == 0 ? first.coefficient : 0;
}

static tn_dim common_sum(common *c, const tn_dim *d) {
    if (are_same(c, d)) return d[0];
    int64_t *constants = take(c, sizeof *constants);
    tn_dim *rests = take(c, sizeof *rests);
    if (!constants || !rests) return DIM_INVALID;
    for (uint32_t i = 0; i < c->n; i++) {
        constants[i] = constant_of(c, d[i]);
        rests[i] = dim_add_const(c->dims, d[i], -constants[i]);
        if (dim_term_count(c->dims, rests[i]) != dim_term_count(c->dims, rests[0])) return DIM_INVALID;
    }
    uint32_t n = dim_term_count(c->dims, rests[0]);
    tn_dim sum = n <= MOST_TERMS ? common_constant(c, constants) : DIM_INVALID;
    for (uint32_t at = 0; at < n && sum != DIM_INVALID; at++) {
        tn_dim term = common_term(c, rests, at);
        sum = term == DIM_INVALID ? DIM_INVALID : dim_add(c->dims, sum, term);
    }
    return sum;
}

/* ---- The law ---- */

static bool gives_back(const common *c, tn_dim sum, const tn_dim *d) {
    tn_dim symbols[COMMON_MOST_NUMBERS], values[COMMON_MOST_NUMBERS];
    for (uint32_t k = 0; k < c->n_numbers; k++) symbols[k] = c->numbers[k].symbol;
    for (uint32_t i = 0; i < c->n; i++) {
        for (uint32_t k = 0; k < c->n_numbers; k++) values[k] = dim_const(c->dims, c->numbers[k].values[i]);
        if (dim_substitute(c->dims, sum, symbols, values, (int)c->n_numbers) != d[i]) return false;
    }
    return true;
}

tn_dim common_dim(common *c, const tn_dim *d, bool is_layout) {
    if (are_same(c, d)) return d[0];
    tn_dim sum = is_layout ? DIM_INVALID : common_sum(c, d);
    return sum != DIM_INVALID && gives_back(c, sum, d) ? sum : DIM_INVALID;
}
