/* What is true of a dim under ranges of its leaves.
 *
 * in:  a dim, ranges low <= leaf <= high (both may be symbolic)
 * out: a constant c with d >= c for all values within the ranges
 * law: each step replaces the expression by one that is nowhere larger, so a bound found is a
 *      bound; that none is found says nothing. The steps, for e = C * x + R with C free of x:
 *        x a leaf       x at its low where C >= 0, at its high where C <= 0, else the lesser of both
 *        x = a // b     b*x lies in [a - b + 1, a]
 *        x = min(a, b)  x is a or b, and at most either
 *      and at the end every atom at its constant bound. Divisors are taken as positive: where
 *      one is not, the expression has no value. Work is limited, not by time but by steps.
 */
#include "ir/dim_bounds.h"

#define UNKNOWN INT64_MIN

enum { MAX_ATOMS = 32 };

static const poly poly_one = {1, &(const dim_term){1, 0, NULL}};

static int64_t lower(prover *p, poly e, int64_t goal);

static int64_t upper(prover *p, poly e, int64_t goal) {
    poly minus;
    if (!poly_scale(p->table, e, -1, &minus)) return INT64_MAX;
    int64_t low = lower(p, minus, goal == INT64_MIN ? INT64_MAX : -goal);
    return low == UNKNOWN ? INT64_MAX : -low;
}

static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t ceil_div(int64_t a, int64_t b) { return -int_floordiv(-a, b); }

/* ---- Leaves ------------------------------------------------------------------------------------ */

static const dim_range *range_of(const prover *p, tn_dim leaf) {
    for (int i = 0; i < p->n; i++)
        if (p->ranges[i].leaf == leaf) return &p->ranges[i];
    return NULL;
}

/* From k * M + c >= low with M a product of symbols: what that says of symbol `leaf` in M. */
static int64_t implied_low(const dim_table *t, poly high, int64_t low, tn_dim leaf) {
    if (high.n == 0 || high.n > 2 || (high.n == 2 && high.terms[1].n_atoms != 0)) return UNKNOWN;
    const dim_term *term = &high.terms[0];
    int64_t least;
    if (term->coefficient <= 0 || !int_add(low, -poly_constant(high), &least) || least <= 0) return UNKNOWN;
    bool found = false;
    for (uint32_t i = 0; i < term->n_atoms; i++) {
        if (dim_at(t, term->atoms[i])->kind != DIM_SYMBOL) return UNKNOWN;
        found |= term->atoms[i] == leaf;
    }
    if (!found) return UNKNOWN;
    return term->n_atoms == 1 ? ceil_div(least, term->coefficient) : 1;
}

/* The least value of a leaf that has no or a constant lower bound, with what follows from the
 * other ranges not being empty and from divisors being positive. */
static int64_t leaf_low(prover *p, tn_dim leaf) {
    const dim_table *t = p->table;
    bool is_symbol = dim_at(t, leaf)->kind == DIM_SYMBOL;
    int64_t low = is_symbol ? 0 : UNKNOWN;
    const dim_range *range = range_of(p, leaf);
    if (range && dim_valid(t, range->low)) low = greater(low, lower(p, dim_poly(t, range->low), INT64_MAX));
    if (!is_symbol) return low;
    for (int i = 0; i < p->n; i++) {
        int64_t at;
        if (dim_valid(t, p->ranges[i].high) && dim_valid(t, p->ranges[i].low) && dim_is_const(t, p->ranges[i].low, &at))
            low = greater(low, implied_low(t, dim_poly(t, p->ranges[i].high), at, leaf));
    }
    for (int i = 0; i < p->n_positive; i++) low = greater(low, implied_low(t, dim_poly(t, p->positive[i]), 1, leaf));
    return low;
}

static int64_t leaf_high(prover *p, tn_dim leaf) {
    const dim_range *range = range_of(p, leaf);
    if (!range || !dim_valid(p->table, range->high)) return INT64_MAX;
    return upper(p, dim_poly(p->table, range->high), INT64_MIN);
}

/* ---- Atoms ---------------------------------------------------------------------------------------- */

void prover_assume_positive(prover *p, tn_dim divisor) {
    for (int i = 0; i < p->n_positive; i++)
        if (p->positive[i] == divisor) return;
    if (p->n_positive < PROVER_MAX_POSITIVE) p->positive[p->n_positive++] = divisor;
}

/* Constant bounds of a // b. */
static void division_bounds(prover *p, const dim_entry *e, int64_t *low, int64_t *high) {
    dim_table *t = p->table;
    poly a = dim_poly(t, e->a), b = dim_poly(t, e->b), sum;
    int64_t divisor, least = lower(p, a, INT64_MAX), most = upper(p, a, INT64_MIN);
    if (poly_is_const(b, &divisor)) {
        *low = least == UNKNOWN ? UNKNOWN : int_floordiv(least, divisor);
        *high = most == INT64_MAX ? INT64_MAX : int_floordiv(most, divisor);
        return;
    }
    prover_assume_positive(p, e->b);
    dim_term plus = {1, 0, NULL}, minus = {-1, 0, NULL};
    *low = least >= 0 ? 0 : least;
    if (least < 0 && poly_add_product(t, a, plus, b, &sum) && lower(p, sum, 0) >= 0) *low = -1;
    *high = most < 0 ? -1 : most;
    if (most >= 0 && poly_add_product(t, b, minus, a, &sum) && lower(p, sum, 1) >= 1) *high = 0;
}

static void find_atom_bounds(prover *p, tn_dim atom, int64_t *low, int64_t *high) {
    const dim_entry *e = dim_at(p->table, atom);
    if (!dim_is_compound(e)) {
        *low = leaf_low(p, atom);
        *high = leaf_high(p, atom);
    } else if (e->kind == DIM_FLOORDIV) {
        division_bounds(p, e, low, high);
    } else {
        poly a = dim_poly(p->table, e->a), b = dim_poly(p->table, e->b);
        int64_t low_a = lower(p, a, INT64_MAX), low_b = lower(p, b, INT64_MAX);
        int64_t high_a = upper(p, a, INT64_MIN), high_b = upper(p, b, INT64_MIN);
        bool is_min = e->kind == DIM_MIN;
        *low = is_min ? lesser(low_a, low_b) : greater(low_a, low_b);
        *high = is_min ? lesser(high_a, high_b) : greater(high_a, high_b);
    }
}

/* Remembered for the prover's life. While an atom's bounds are being found it has none, so that
 * ranges that speak of each other come to an end. */
static void atom_bounds(prover *p, tn_dim atom, int64_t *low, int64_t *high) {
    *low = UNKNOWN;
    *high = INT64_MAX;
    for (int i = 0; i < p->n_bounds; i++)
        if (p->bounds[i].atom == atom) {
            *low = p->bounds[i].low;
            *high = p->bounds[i].high;
            return;
        }
    if (p->fuel <= 0 || p->n_bounds == PROVER_MAX_BOUNDS) return;
    int at = p->n_bounds++;
    p->bounds[at].atom = atom;
    p->bounds[at].low = UNKNOWN;
    p->bounds[at].high = INT64_MAX;
    find_atom_bounds(p, atom, low, high);
    p->bounds[at].low = *low;
    p->bounds[at].high = *high;
}

/* The distinct atoms of e; false when there are too many. */
static bool list_atoms(poly e, tn_dim *atoms, int *n) {
    *n = 0;
    for (uint32_t i = 0; i < e.n; i++)
        for (uint32_t k = 0; k < e.terms[i].n_atoms; k++) {
            int at = 0;
            while (at < *n && atoms[at] != e.terms[i].atoms[k]) at++;
            if (at < *n) continue;
            if (*n == MAX_ATOMS) return false;
            atoms[(*n)++] = e.terms[i].atoms[k];
        }
    return true;
}

/* The bound with every atom at a constant bound: shifts each atom to be at least 0, then
 * positive terms are at least 0 and negative ones at least their value at the highs. */
static int64_t settle(prover *p, poly e, const tn_dim *atoms, int n) {
    int64_t span[MAX_ATOMS] = {0};
    for (int i = 0; i < n; i++) {
        int64_t low, high;
        atom_bounds(p, atoms[i], &low, &high);
        if (low == UNKNOWN) return UNKNOWN;
        if (high == INT64_MAX || !int_add(high, -low, &span[i]) || span[i] < 0) span[i] = INT64_MAX;
        if (low == 0) continue;
        dim_term shifted[2] = {{1, 1, &atoms[i]}, {low, 0, NULL}};
        if (!poly_substitute(p->table, e, atoms[i], (poly){2, shifted}, &e)) return UNKNOWN;
    }
    int64_t bound = 0;
    for (uint32_t i = 0; i < e.n; i++) {
        int64_t term = e.terms[i].coefficient;
        if (term > 0 && e.terms[i].n_atoms > 0) continue;
        for (uint32_t k = 0; k < e.terms[i].n_atoms; k++) {
            int at = 0;
            while (at < n - 1 && atoms[at] != e.terms[i].atoms[k]) at++;
            if (span[at] == INT64_MAX || !int_mul(term, span[at], &term)) return UNKNOWN;
        }
        if (!int_add(bound, term, &bound)) return UNKNOWN;
    }
    return bound;
}

/* ---- Elimination ------------------------------------------------------------------------------------ */

/* 1: e >= 0, -1: e <= 0, 0: not known. */
static int sign_of(prover *p, poly e) {
    int64_t value;
    poly minus;
    if (poly_is_const(e, &value)) return value >= 0 ? 1 : -1;
    if (lower(p, e, 0) >= 0) return 1;
    return poly_scale(p->table, e, -1, &minus) && lower(p, minus, 0) >= 0 ? -1 : 0;
}

/* C * value + R */
static bool put_back(prover *p, poly C, poly value, poly R, poly *out) {
    poly product;
    return poly_mul(p->table, C, value, &product) &&
           poly_add_product(p->table, product, (dim_term){1, 0, NULL}, R, out);
}

static int64_t lower_at(prover *p, poly C, tn_dim value, poly R, int64_t goal) {
    poly e;
    if (!dim_valid(p->table, value) || !put_back(p, C, dim_poly(p->table, value), R, &e)) return UNKNOWN;
    return lower(p, e, goal);
}

/* e = C * (a // b) + R */
static int64_t eliminate_division(prover *p, const dim_entry *x, poly C, poly R, int64_t goal) {
    dim_table *t = p->table;
    poly a = dim_poly(t, x->a), b = dim_poly(t, x->b), end = a, q, r, e;
    prover_assume_positive(p, x->b);
    int sign = sign_of(p, C);
    if (sign == 0) return UNKNOWN;
    if (sign > 0 && (!poly_add_product(t, a, (dim_term){-1, 0, NULL}, b, &end) ||
                     !poly_add_product(t, end, (dim_term){1, 0, NULL}, poly_one, &end)))
        return UNKNOWN;
    /* b divides C: no need to scale. */
    if (!poly_divide(t, C, b, &q, &r)) return UNKNOWN;
    if (r.n == 0) return put_back(p, q, end, R, &e) ? lower(p, e, goal) : UNKNOWN;
    /* b * e >= k says e >= k / b, rounded up. */
    int64_t divisor, scaled_goal, low;
    if (!poly_mul(t, R, b, &R) || !put_back(p, C, end, R, &e)) return UNKNOWN;
    if (poly_is_const(b, &divisor)) {
        if (!int_mul(goal, divisor, &scaled_goal)) scaled_goal = INT64_MAX;
        low = lower(p, e, scaled_goal);
        return low == UNKNOWN ? UNKNOWN : ceil_div(low, divisor);
    }
    if (!poly_add_product(t, e, (dim_term){1, 0, NULL}, b, &e)) return UNKNOWN;
    return lower(p, e, 1) >= 1 ? 0 : UNKNOWN;
}

/* e = C * min(a, b) + R, or max */
static int64_t eliminate_extremum(prover *p, const dim_entry *x, poly C, poly R, int64_t goal) {
    int sign = sign_of(p, C);
    bool either = x->kind == DIM_MIN ? sign < 0 : sign > 0;
    int64_t first = lower_at(p, C, x->a, R, goal);
    if (either ? first >= goal : first == UNKNOWN) return first;
    int64_t second = lower_at(p, C, x->b, R, goal);
    return either ? greater(first, second) : lesser(first, second);
}

static int64_t eliminate_leaf(prover *p, tn_dim x, poly C, poly R, int64_t goal) {
    const dim_range *range = range_of(p, x);
    int sign = sign_of(p, C);
    tn_dim high = range ? range->high : DIM_INVALID;
    if (sign < 0) return lower_at(p, C, high, R, goal);
    tn_dim low = range ? range->low : DIM_INVALID;
    int64_t least = leaf_low(p, x), fixed;
    if (!dim_valid(p->table, low) || (dim_is_const(p->table, low, &fixed) && fixed < least))
        low = least == UNKNOWN ? DIM_INVALID : dim_const(p->table, least);
    int64_t at_low = lower_at(p, C, low, R, goal);
    return sign > 0 || at_low == UNKNOWN ? at_low : lesser(at_low, lower_at(p, C, high, R, goal));
}

/* Whether a range of another of these atoms speaks of `leaf`: then that one goes first. */
static bool is_spoken_of(const prover *p, tn_dim leaf, const tn_dim *atoms, int n) {
    for (int i = 0; i < n; i++) {
        const dim_range *range = atoms[i] == leaf ? NULL : range_of(p, atoms[i]);
        if (range && (dim_contains(p->table, range->high, leaf) || dim_contains(p->table, range->low, leaf)))
            return true;
    }
    return false;
}

/* The atom to eliminate: what contains others before those, counters before sizes. */
static bool choose_atom(prover *p, poly e, const tn_dim *atoms, int n, tn_dim *atom, poly *C, poly *R) {
    const dim_table *t = p->table;
    uint64_t tried = 0;
    for (int round = 0; round < n; round++) {
        int best = -1, best_rank = -1;
        for (int i = 0; i < n; i++) {
            const dim_entry *x = dim_at(t, atoms[i]);
            if (tried >> i & 1) continue;
            int rank = dim_is_compound(x) ? 3 + x->depth : x->kind == DIM_VARIABLE ? 2 : 1;
            if (!dim_is_compound(x) && is_spoken_of(p, atoms[i], atoms, n)) rank = 0;
            if (rank > best_rank) {
                best = i;
                best_rank = rank;
            }
        }
        tried |= (uint64_t)1 << best;
        *atom = atoms[best];
        if (poly_split(p->table, e, *atom, C, R)) return true;
    }
    return false;
}

static int64_t eliminate(prover *p, poly e, const tn_dim *atoms, int n, int64_t goal) {
    tn_dim atom;
    poly C, R;
    if (!choose_atom(p, e, atoms, n, &atom, &C, &R)) return UNKNOWN;
    const dim_entry *x = dim_at(p->table, atom);
    if (!dim_is_compound(x)) return eliminate_leaf(p, atom, C, R, goal);
    return x->kind == DIM_FLOORDIV ? eliminate_division(p, x, C, R, goal) : eliminate_extremum(p, x, C, R, goal);
}

/* A constant that e is never below; UNKNOWN: none found. `goal` is what would do. */
static int64_t lower(prover *p, poly e, int64_t goal) {
    int64_t value;
    if (poly_is_const(e, &value)) return value;
    if (--p->fuel <= 0) return UNKNOWN;
    tn_dim atoms[MAX_ATOMS] = {0};
    int n;
    if (!list_atoms(e, atoms, &n)) return UNKNOWN;
    scratch_mark mark = scratch_begin(p->table);
    int64_t bound = settle(p, e, atoms, n);
    if (bound < goal) bound = greater(bound, eliminate(p, e, atoms, n, goal));
    scratch_end(p->table, mark);
    return bound;
}

/* ---- Entries ------------------------------------------------------------------------------------------- */

void prover_start(prover *p, dim_table *t, const dim_range *ranges, int n) {
    p->table = t;
    p->ranges = ranges;
    p->n = n;
    p->fuel = PROVER_FUEL;
    p->n_positive = 0;
    p->n_bounds = 0;
}

bool prover_is_at_least(prover *p, tn_dim d, int64_t bound) {
    int64_t value;
    if (!dim_valid(p->table, d)) return false;
    if (dim_is_const(p->table, d, &value)) return value >= bound;
    p->fuel = PROVER_FUEL;
    p->table->quiet++;
    bool proved = lower(p, dim_poly(p->table, d), bound) >= bound;
    p->table->quiet--;
    return proved;
}

void prover_bounds(prover *p, tn_dim d, int64_t *low, int64_t *high) {
    *low = INT64_MIN;
    *high = INT64_MAX;
    if (!dim_valid(p->table, d)) return;
    if (dim_is_const(p->table, d, low)) {
        *high = *low;
        return;
    }
    p->table->quiet++;
    p->fuel = PROVER_FUEL;
    *low = lower(p, dim_poly(p->table, d), INT64_MAX);
    p->fuel = PROVER_FUEL;
    scratch_mark mark = scratch_begin(p->table);
    *high = upper(p, dim_poly(p->table, d), INT64_MIN);
    scratch_end(p->table, mark);
    p->table->quiet--;
}

void dim_bounds(dim_table *t, tn_dim d, const dim_range *ranges, int n, int64_t *low, int64_t *high) {
    prover p;
    prover_start(&p, t, ranges, n);
    prover_bounds(&p, d, low, high);
}

bool dim_is_nonnegative(dim_table *t, tn_dim d, const dim_range *ranges, int n) {
    prover p;
    prover_start(&p, t, ranges, n);
    return prover_is_at_least(&p, d, 0);
}
