/* Arithmetic on dims, each result in canonical form.
 *
 * in:  dims of one table
 * out: dims; DIM_INVALID with the table's status when the result does not fit
 * law: the only division kept is floordiv. With a positive divisor b
 *        ceildiv(a, b) = floordiv(a + b - 1, b)        mod(a, b) = a - b * floordiv(a, b)
 *      and floordiv(a, b) is brought to one form by
 *        a = q*b + r  (polynomial division)            floordiv(a, b) = q + floordiv(r, b)
 *        g divides b and all terms of a but k          floordiv(a, b) = floordiv(a/g, b/g), k/g rounded down
 *        of a and -a - 1 the better (choose_sign)      floordiv(a, b) = -1 - floordiv(-a - 1, b)
 *        x = floordiv(y, c) alone in a = r + x         floordiv(a, b) = floordiv(c*r + y, c*b)
 */
#include "ir/dim_poly.h"

static const poly poly_one = {1, &(const dim_term){1, 0, NULL}};

/* Both valid, with the failure of invalid operands left to where it first happened. */
static bool both_valid(const dim_table *t, tn_dim a, tn_dim b) { return dim_valid(t, a) && dim_valid(t, b); }

/* a + k * b */
static tn_dim add_scaled(dim_table *t, tn_dim a, int64_t k, tn_dim b) {
    if (!both_valid(t, a, b)) return DIM_INVALID;
    int64_t x, y;
    if (dim_is_const(t, a, &x) && dim_is_const(t, b, &y)) {
        if (!int_mul(k, y, &y) || !int_add(x, y, &x)) return dim_fail(t, TN_ERR_LIMIT), DIM_INVALID;
        return dim_const(t, x);
    }
    scratch_mark mark = scratch_begin(t);
    poly sum;
    bool ok = poly_add_product(t, dim_poly(t, a), (dim_term){k, 0, NULL}, dim_poly(t, b), &sum);
    tn_dim d = ok ? dim_from_poly(t, sum) : DIM_INVALID;
    scratch_end(t, mark);
    return d;
}

tn_dim dim_add(dim_table *t, tn_dim a, tn_dim b) { return add_scaled(t, a, 1, b); }

tn_dim dim_sub(dim_table *t, tn_dim a, tn_dim b) { return add_scaled(t, a, -1, b); }

tn_dim dim_add_const(dim_table *t, tn_dim a, int64_t b) { return dim_add(t, a, dim_const(t, b)); }

tn_dim dim_mul_const(dim_table *t, tn_dim a, int64_t b) { return dim_mul(t, a, dim_const(t, b)); }

tn_dim dim_mul(dim_table *t, tn_dim a, tn_dim b) {
    if (!both_valid(t, a, b)) return DIM_INVALID;
    int64_t x, y;
    if (dim_is_const(t, a, &x) && dim_is_const(t, b, &y)) {
        if (!int_mul(x, y, &x)) return dim_fail(t, TN_ERR_LIMIT), DIM_INVALID;
        return dim_const(t, x);
    }
    scratch_mark mark = scratch_begin(t);
    poly product;
    tn_dim d = poly_mul(t, dim_poly(t, a), dim_poly(t, b), &product) ? dim_from_poly(t, product) : DIM_INVALID;
    scratch_end(t, mark);
    return d;
}

tn_dim dim_product(dim_table *t, const tn_dim *dims, int n) {
    tn_dim product = dim_const(t, 1);
    for (int i = 0; i < n; i++) product = dim_mul(t, product, dims[i]);
    return product;
}

tn_dim dim_exact_div(dim_table *t, tn_dim a, tn_dim b) {
    if (!both_valid(t, a, b) || dim_is_value(t, b, 0)) return DIM_INVALID;
    if (a == b) return dim_const(t, 1);
    scratch_mark mark = scratch_begin(t);
    poly q, r;
    t->quiet++;
    bool exact = poly_divide(t, dim_poly(t, a), dim_poly(t, b), &q, &r) && r.n == 0;
    tn_dim d = exact ? dim_from_poly(t, q) : DIM_INVALID;
    t->quiet--;
    scratch_end(t, mark);
    return d;
}

/* ---- floordiv ------------------------------------------------------------------------------- */

/* The greatest term that divides all of p, the constant aside where `but_constant`, and `g`
 * itself. The monomial shrinks in place. */
static void common_factor(poly p, bool but_constant, int64_t *coefficient, tn_dim *atoms, uint32_t *n_atoms) {
    for (uint32_t i = 0; i < p.n; i++) {
        const dim_term *term = &p.terms[i];
        if (but_constant && term->n_atoms == 0 && *n_atoms == 0) continue;
        *coefficient = int_gcd(*coefficient, term->coefficient);
        uint32_t kept = 0, j = 0;
        for (uint32_t k = 0; k < *n_atoms; k++) {
            uint32_t at = j;
            while (at < term->n_atoms && term->atoms[at] != atoms[k]) at++;
            if (at == term->n_atoms) continue;
            atoms[kept++] = atoms[k];
            j = at + 1;
        }
        *n_atoms = kept;
    }
}

/* p / (coefficient * atoms), which divides every term; a constant that it does not divide is
 * rounded down. */
static bool divide_terms(dim_table *t, poly p, int64_t coefficient, const tn_dim *atoms, uint32_t n_atoms, poly *out) {
    dim_term *terms = scratch_alloc(t, (p.n + 1u) * sizeof *terms);
    if (!terms) return false;
    dim_term divisor = {coefficient, n_atoms, atoms};
    uint32_t n = 0;
    for (uint32_t i = 0; i < p.n; i++) {
        tn_dim *rest = scratch_alloc(t, (p.terms[i].n_atoms + 1u) * sizeof *rest);
        if (!rest) return false;
        dim_term term = {int_floordiv(p.terms[i].coefficient, coefficient), 0, rest};
        monomial_divide(t, &p.terms[i], &divisor, rest, &term.n_atoms);
        if (term.coefficient) terms[n++] = term;
    }
    *out = (poly){n, terms};
    return true;
}

/* Takes the greatest common term out of a and b. */
static bool cancel_common(dim_table *t, poly *a, poly *b) {
    const dim_term *first = &b->terms[0];
    int64_t coefficient = first->coefficient;
    uint32_t n_atoms = first->n_atoms;
    tn_dim *atoms = scratch_alloc(t, (n_atoms + 1u) * sizeof *atoms);
    if (!atoms) return false;
    for (uint32_t k = 0; k < n_atoms; k++) atoms[k] = first->atoms[k];
    common_factor(*b, false, &coefficient, atoms, &n_atoms);
    /* With a constant term in a, only a number can be taken out of it: round it down. */
    if (a->n && a->terms[a->n - 1].n_atoms == 0) n_atoms = 0;
    common_factor(*a, true, &coefficient, atoms, &n_atoms);
    if (coefficient < 0) coefficient = -coefficient;
    if (coefficient <= 1 && n_atoms == 0) return true;
    return divide_terms(t, *a, coefficient, atoms, n_atoms, a) && divide_terms(t, *b, coefficient, atoms, n_atoms, b);
}

/* Whether x is the better numerator: at the first term with another coefficient the lesser
 * positive one. Constants decide only where there is nothing else. */
static bool is_better(poly x, poly y) {
    for (uint32_t i = 0; i < x.n && i < y.n; i++) {
        int64_t k = x.terms[i].coefficient, l = y.terms[i].coefficient;
        if (i > 0 && x.terms[i].n_atoms == 0) return false;
        if (k == l) continue;
        return (k > 0) != (l > 0) ? k > 0 : k < l;
    }
    return x.n == 0 && y.n > 0;
}

/* floordiv(r, b) = -1 - floordiv(-r - 1, b): turns r where that makes its leading coefficient
 * positive, or smaller. *sign is what the division is to be multiplied with. */
static bool choose_sign(dim_table *t, poly *q, poly *r, poly b, int64_t *sign) {
    *sign = 1;
    const dim_term *lead = &b.terms[0], *first = &r->terms[0];
    tn_dim quotient[DIM_MAX_DEGREE];
    uint32_t n;
    bool reducible = monomial_divide(t, first, lead, quotient, &n);
    if (first->coefficient > 0 && (!reducible || first->coefficient <= (lead->coefficient - 1) / 2)) return true;
    poly turned, q2, r2;
    if (!poly_scale(t, *r, -1, &turned) || !poly_add_product(t, turned, (dim_term){-1, 0, NULL}, poly_one, &turned))
        return false;
    if (!poly_divide(t, turned, b, &q2, &r2)) return false;
    if (!is_better(r2, *r)) return true;
    *sign = -1;
    *r = r2;
    return poly_add_product(t, *q, (dim_term){-1, 0, NULL}, q2, q) &&
           poly_add_product(t, *q, (dim_term){-1, 0, NULL}, poly_one, q);
}

/* A term of r that is a division times 1, or times -1 up to a multiple of b: the first such. */
static const dim_term *nested_division(const dim_table *t, poly r, poly b, int64_t *sign) {
    int64_t divisor = 0;
    poly_is_const(b, &divisor);
    for (uint32_t i = 0; i < r.n; i++) {
        const dim_term *term = &r.terms[i];
        if (term->n_atoms != 1 || dim_at(t, term->atoms[0])->kind != DIM_FLOORDIV) continue;
        *sign = term->coefficient == 1 ? 1 : -1;
        if (term->coefficient == 1 || term->coefficient == -1 || term->coefficient == divisor - 1) return term;
    }
    return NULL;
}

static bool floordiv_poly(dim_table *t, poly a, poly b, poly *out);

/* floordiv(r + floordiv(y, c), b) as floordiv(c*r + y, c*b), with -floordiv(y, c) taken as
 * floordiv(-y + c - 1, c). */
static bool merge_nested(dim_table *t, poly r, poly b, const dim_term *division, int64_t sign, poly *out) {
    const dim_entry *inner = dim_at(t, division->atoms[0]);
    poly y = dim_poly(t, inner->a), c = dim_poly(t, inner->b), numerator = {0}, divisor = {0}, result = {0};
    dim_term away = {-division->coefficient, 1, division->atoms}, plus = {1, 0, NULL};
    if (!poly_add_product(t, r, away, poly_one, &r) || !poly_mul(t, r, c, &numerator)) return false;
    if (!poly_add_product(t, numerator, (dim_term){sign, 0, NULL}, y, &numerator)) return false;
    if (sign < 0 && (!poly_add_product(t, numerator, plus, c, &numerator) ||
                     !poly_add_product(t, numerator, (dim_term){-1, 0, NULL}, poly_one, &numerator)))
        return false;
    if (!poly_mul(t, c, b, &divisor) || !floordiv_poly(t, numerator, divisor, &result)) return false;
    /* b - 1 times the division was taken as -1 times: b times it leaves. */
    dim_term left = {division->coefficient != sign, 1, division->atoms};
    return poly_add_product(t, result, left, poly_one, out);
}

/* floordiv(r, b), r reduced, as one atom or merged with a division inside it. */
static bool divide_rest(dim_table *t, poly r, poly b, poly *out) {
    int64_t sign;
    const dim_term *nested = nested_division(t, r, b, &sign);
    if (nested) {
        t->quiet++; /* a product that does not fit leaves the division nested */
        bool merged = merge_nested(t, r, b, nested, sign, out);
        t->quiet--;
        if (merged) return true;
    }
    tn_dim x = dim_from_poly(t, r), y = dim_from_poly(t, b);
    if (x == DIM_INVALID || y == DIM_INVALID) return false;
    tn_dim *atom = scratch_alloc(t, sizeof *atom);
    if (!atom) return false;
    *atom = dim_from_operands(t, DIM_FLOORDIV, x, y);
    return *atom != DIM_INVALID && poly_add_product(t, (poly){0, NULL}, (dim_term){1, 1, atom}, poly_one, out);
}

static bool floordiv_poly(dim_table *t, poly a, poly b, poly *out) {
    const dim_term plus = {1, 0, NULL};
    int64_t divisor, numerator, sign;
    poly q, r, rest = {0};
    if (poly_is_const(b, &divisor) && divisor <= 0) return dim_fail(t, TN_ERR_ARGUMENT);
    if (!poly_divide(t, a, b, &q, &r)) return false;
    if (r.n == 0) return *out = q, true;
    if (!cancel_common(t, &r, &b)) return false;
    if (poly_is_const(b, &divisor)) {
        if (divisor == 1) return poly_add_product(t, q, plus, r, out);
        if (poly_is_const(r, &numerator)) return *out = q, true; /* below b */
    }
    if (r.n == 0) return *out = q, true;
    if (!choose_sign(t, &q, &r, b, &sign)) return false;
    if (r.n == 0) return *out = q, true;
    return divide_rest(t, r, b, &rest) && poly_add_product(t, q, (dim_term){sign, 0, NULL}, rest, out);
}

tn_dim dim_floordiv(dim_table *t, tn_dim a, tn_dim b) {
    if (!both_valid(t, a, b)) return DIM_INVALID;
    int64_t x, y;
    if (dim_is_const(t, b, &y)) {
        if (y <= 0) return dim_fail(t, TN_ERR_ARGUMENT), DIM_INVALID;
        if (y == 1) return a;
        if (dim_is_const(t, a, &x)) return dim_const(t, int_floordiv(x, y));
    }
    scratch_mark mark = scratch_begin(t);
    poly q = {0};
    tn_dim d = floordiv_poly(t, dim_poly(t, a), dim_poly(t, b), &q) ? dim_from_poly(t, q) : DIM_INVALID;
    scratch_end(t, mark);
    return d;
}

tn_dim dim_ceildiv(dim_table *t, tn_dim a, tn_dim b) {
    return dim_floordiv(t, dim_add_const(t, dim_add(t, a, b), -1), b);
}

tn_dim dim_mod(dim_table *t, tn_dim a, tn_dim b) { return dim_sub(t, a, dim_mul(t, b, dim_floordiv(t, a, b))); }

/* ---- min, max --------------------------------------------------------------------------------- */

enum { MAX_OPERANDS = 64 };

/* Operands of nested mins (or maxes), sorted, none that another decides. */
typedef struct operand_list {
    dim_kind kind;
    int n;
    tn_dim items[MAX_OPERANDS];
} operand_list;

/* y - x when that is a constant. */
static bool constant_difference(dim_table *t, tn_dim x, tn_dim y, int64_t *difference) {
    scratch_mark mark = scratch_begin(t);
    poly d;
    t->quiet++;
    bool known = poly_add_product(t, dim_poly(t, y), (dim_term){-1, 0, NULL}, dim_poly(t, x), &d) &&
                 poly_is_const(d, difference);
    t->quiet--;
    scratch_end(t, mark);
    return known;
}

static bool add_operand(dim_table *t, operand_list *list, tn_dim d) {
    const dim_entry *e = dim_at(t, d);
    if (e->kind == list->kind) return add_operand(t, list, e->a) && add_operand(t, list, e->b);
    for (int i = 0; i < list->n; i++) {
        int64_t above; /* d over the operand that is there */
        if (!constant_difference(t, list->items[i], d, &above)) continue;
        if (list->kind == DIM_MIN ? above >= 0 : above <= 0) return true;
        for (int k = i; k + 1 < list->n; k++) list->items[k] = list->items[k + 1];
        list->n--;
        i--;
    }
    if (list->n == MAX_OPERANDS) return dim_fail(t, TN_ERR_LIMIT);
    int at = list->n++;
    for (; at > 0 && dim_compare(t, d, list->items[at - 1]) < 0; at--) list->items[at] = list->items[at - 1];
    list->items[at] = d;
    return true;
}

static tn_dim extremum(dim_table *t, dim_kind kind, tn_dim a, tn_dim b) {
    if (!both_valid(t, a, b)) return DIM_INVALID;
    if (a == b) return a;
    operand_list list = {.kind = kind};
    if (!add_operand(t, &list, a) || !add_operand(t, &list, b)) return DIM_INVALID;
    tn_dim d = list.items[list.n - 1];
    for (int i = list.n - 2; i >= 0 && d != DIM_INVALID; i--) d = dim_from_operands(t, kind, list.items[i], d);
    return d;
}

tn_dim dim_min(dim_table *t, tn_dim a, tn_dim b) { return extremum(t, DIM_MIN, a, b); }

tn_dim dim_max(dim_table *t, tn_dim a, tn_dim b) { return extremum(t, DIM_MAX, a, b); }

tn_dim dim_spread(dim_table *t, tn_dim n, int64_t interior) {
    if (interior == 0) return n;
    tn_dim gaps = dim_max(t, dim_add_const(t, n, -1), dim_const(t, 0));
    return dim_add(t, n, dim_mul_const(t, gaps, interior));
}
