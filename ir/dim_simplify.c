/* Decides divisions, mins and maxes by the ranges of their leaves.
 *
 * in:  a dim, ranges
 * out: a dim with the same value for all values within the ranges
 * law: floordiv(r, b)  is k              where k*b <= r < (k+1)*b is proved
 *                      is floordiv(x, c) where r = g*x + s, b = g*c and 0 <= s < g is proved
 *      min(a, b)       is a              where a <= b is proved
 */
#include "ir/dim_bounds.h"

static tn_dim simplify(prover *p, tn_dim d);

/* The greatest term that divides both. */
static bool term_gcd(dim_table *t, const dim_term *x, const dim_term *y, dim_term *g) {
    tn_dim *atoms = scratch_alloc(t, (x->n_atoms + 1u) * sizeof *atoms);
    if (!atoms) return false;
    *g = (dim_term){int_gcd(x->coefficient, y->coefficient), 0, atoms};
    uint32_t j = 0;
    for (uint32_t i = 0; i < x->n_atoms; i++) {
        uint32_t at = j;
        while (at < y->n_atoms && y->atoms[at] != x->atoms[i]) at++;
        if (at == y->n_atoms) continue;
        atoms[g->n_atoms++] = x->atoms[i];
        j = at + 1;
    }
    return true;
}

/* floordiv(r, b) with r = g*x + s and b = g*c as floordiv(x, c), where 0 <= s < g; else DIM_INVALID. */
static tn_dim divide_by_factor(prover *p, tn_dim r, tn_dim b, tn_dim g) {
    dim_table *t = p->table;
    tn_dim c = dim_exact_div(t, b, g);
    poly x, s;
    if (c == DIM_INVALID || dim_is_value(t, g, 1)) return DIM_INVALID;
    if (!poly_divide(t, dim_poly(t, r), dim_poly(t, g), &x, &s) || x.n == 0) return DIM_INVALID;
    tn_dim low_part = dim_from_poly(t, s);
    if (!prover_is_at_least(p, low_part, 0) || !prover_is_at_least(p, dim_sub(t, g, low_part), 1)) return DIM_INVALID;
    return dim_floordiv(t, dim_from_poly(t, x), c);
}

/* Drops what is too small to count from a division: tries the factors of b that its terms
 * share with those of r, and the extents of the counters in r. DIM_INVALID: none works. */
static tn_dim drop_low_part(prover *p, tn_dim r, tn_dim b) {
    dim_table *t = p->table;
    poly terms = dim_poly(t, r), divisor = dim_poly(t, b), one = {1, &(dim_term){1, 0, NULL}}, whole;
    dim_term content = divisor.terms[0], g;
    for (uint32_t i = 1; i < divisor.n; i++)
        if (!term_gcd(t, &content, &divisor.terms[i], &content)) return DIM_INVALID;
    for (uint32_t i = 0; i < terms.n && terms.terms[i].n_atoms > 0; i++) {
        if (!term_gcd(t, &content, &terms.terms[i], &g)) return DIM_INVALID;
        if (!poly_add_product(t, (poly){0, NULL}, g, one, &whole)) return DIM_INVALID;
        tn_dim quotient = divide_by_factor(p, r, b, dim_from_poly(t, whole));
        if (quotient != DIM_INVALID) return quotient;
    }
    for (int i = 0; i < p->n; i++) {
        const dim_range *range = &p->ranges[i];
        if (!dim_is_value(t, range->low, 0) || !dim_valid(t, range->high) || !dim_contains(t, r, range->leaf)) continue;
        tn_dim quotient = divide_by_factor(p, r, b, dim_add_const(t, range->high, 1));
        if (quotient != DIM_INVALID) return quotient;
    }
    return DIM_INVALID;
}

/* A division in canonical form: its value, or the division itself. */
static tn_dim decide_division(prover *p, tn_dim division) {
    dim_table *t = p->table;
    tn_dim r, b;
    dim_operands(t, division, &r, &b);
    int64_t divisor, low, high;
    if (dim_is_const(t, b, &divisor)) {
        prover_bounds(p, r, &low, &high);
        if (low != INT64_MIN && high != INT64_MAX && int_floordiv(low, divisor) == int_floordiv(high, divisor))
            return dim_const(t, int_floordiv(low, divisor));
    }
    prover_assume_positive(p, b);
    if (prover_is_at_least(p, r, 0) && prover_is_at_least(p, dim_sub(t, b, r), 1)) return dim_const(t, 0);
    if (prover_is_at_least(p, dim_sub(t, dim_const(t, 0), r), 1) && prover_is_at_least(p, dim_add(t, r, b), 0))
        return dim_const(t, -1);
    scratch_mark mark = scratch_begin(t);
    tn_dim smaller = drop_low_part(p, r, b);
    scratch_end(t, mark);
    return smaller == DIM_INVALID ? division : smaller;
}

/* Decides the divisions among the atoms of d, again as long as that makes it smaller. */
static tn_dim decide_divisions(prover *p, tn_dim d) {
    dim_table *t = p->table;
    for (uint32_t i = 0; d != DIM_INVALID && i < dim_at(t, d)->n_terms; i++) {
        const dim_term *term = &dim_at(t, d)->terms[i];
        for (uint32_t k = 0; k < term->n_atoms; k++) {
            tn_dim atom = term->atoms[k];
            if (dim_at(t, atom)->kind != DIM_FLOORDIV) continue;
            tn_dim decided = decide_division(p, atom);
            if (decided == atom) continue;
            decided = simplify(p, decided);
            if (decided == DIM_INVALID) return d;
            scratch_mark mark = scratch_begin(t);
            poly replaced;
            bool ok = poly_substitute(t, dim_poly(t, d), atom, dim_poly(t, decided), &replaced);
            tn_dim next = ok ? dim_from_poly(t, replaced) : DIM_INVALID;
            scratch_end(t, mark);
            return next == DIM_INVALID || next == d ? d : decide_divisions(p, next);
        }
    }
    return d;
}

static tn_dim decide_extremum(prover *p, dim_kind kind, tn_dim a, tn_dim b) {
    dim_table *t = p->table;
    bool is_min = kind == DIM_MIN;
    if (prover_is_at_least(p, dim_sub(t, b, a), 0)) return is_min ? a : b;
    if (prover_is_at_least(p, dim_sub(t, a, b), 0)) return is_min ? b : a;
    return is_min ? dim_min(t, a, b) : dim_max(t, a, b);
}

static tn_dim simplify_atom(prover *p, tn_dim atom) {
    const dim_entry *e = dim_at(p->table, atom);
    if (!dim_is_compound(e)) return atom;
    tn_dim a = simplify(p, e->a), b = simplify(p, e->b);
    if (a == DIM_INVALID || b == DIM_INVALID) return DIM_INVALID;
    if (e->kind != DIM_FLOORDIV) return decide_extremum(p, (dim_kind)e->kind, a, b);
    return decide_divisions(p, dim_floordiv(p->table, a, b));
}

static tn_dim simplify(prover *p, tn_dim d) {
    dim_table *t = p->table;
    if (d == DIM_INVALID || dim_at(t, d)->depth == 0) return d;
    poly terms = dim_poly(t, d);
    tn_dim sum = dim_const(t, 0);
    for (uint32_t i = 0; i < terms.n; i++) {
        tn_dim product = dim_const(t, terms.terms[i].coefficient);
        for (uint32_t k = 0; k < terms.terms[i].n_atoms; k++)
            product = dim_mul(t, product, simplify_atom(p, terms.terms[i].atoms[k]));
        sum = dim_add(t, sum, product);
    }
    return sum;
}

tn_dim dim_simplify(dim_table *t, tn_dim d, const dim_range *ranges, int n) {
    if (!dim_valid(t, d) || dim_at(t, d)->depth == 0) return d;
    prover p;
    prover_start(&p, t, ranges, n);
    t->quiet++;
    tn_dim simple = simplify(&p, d);
    t->quiet--;
    return simple == DIM_INVALID ? d : simple;
}
