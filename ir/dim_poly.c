/* Polynomials over atoms: order, sum, product, division.
 *
 * in:  term lists in graded lexicographic order (dim_poly.h)
 * out: the same, on the table's scratch stack
 * law: a product with a monomial keeps the order, so sums are merges; division follows the
 *      textbook's for several variables, with coefficients divided to minus infinity
 */
#include "ir/dim_poly.h"

#include <string.h>

/* ---- The scratch stack --------------------------------------------------------------------- */

struct scratch_block {
    scratch_block *next;
    size_t used, bytes;
};

enum { SCRATCH_BLOCK_BYTES = 1 << 14, SCRATCH_HEADER = (sizeof(scratch_block) + 15) & ~15u };

scratch_mark scratch_begin(const dim_table *t) { return (scratch_mark){t->scratch, t->scratch ? t->scratch->used : 0}; }

void scratch_end(dim_table *t, scratch_mark mark) {
    t->scratch = mark.block ? mark.block : t->scratch_first;
    if (t->scratch) t->scratch->used = mark.used;
}

static scratch_block *new_block(dim_table *t, size_t bytes) {
    size_t size = bytes > SCRATCH_BLOCK_BYTES ? bytes : SCRATCH_BLOCK_BYTES;
    scratch_block *block = tn_malloc(SCRATCH_HEADER + size);
    if (!block) return dim_fail(t, TN_ERR_MEMORY), NULL;
    *block = (scratch_block){NULL, 0, size};
    if (!t->scratch) {
        t->scratch_first = block;
    } else {
        block->next = t->scratch->next;
        t->scratch->next = block;
    }
    return t->scratch = block;
}

void *scratch_alloc(dim_table *t, size_t bytes) {
    bytes = (bytes + 15) & ~(size_t)15;
    scratch_block *block = t->scratch;
    if (block && block->bytes - block->used < bytes) {
        block = block->next;
        if (block) block->used = 0;
        if (block && block->bytes >= bytes)
            t->scratch = block;
        else
            block = NULL;
    }
    if (!block && !(block = new_block(t, bytes))) return NULL;
    char *at = (char *)block + SCRATCH_HEADER + block->used;
    block->used += bytes;
    return at;
}

void scratch_free_all(dim_table *t) {
    for (scratch_block *block = t->scratch_first, *next; block; block = next) {
        next = block->next;
        tn_free(block);
    }
    t->scratch = t->scratch_first = NULL;
}

/* ---- Integers -------------------------------------------------------------------------------- */

bool int_add(int64_t a, int64_t b, int64_t *out) { return !__builtin_add_overflow(a, b, out) && *out != INT64_MIN; }

bool int_mul(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out) && *out != INT64_MIN; }

int64_t int_floordiv(int64_t a, int64_t b) { return a / b - (a % b < 0); }

int64_t int_gcd(int64_t a, int64_t b) {
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* ---- Order ------------------------------------------------------------------------------------ */

/* Loop counters before sizes, sizes before what is computed from them. */
static const uint8_t kind_rank[] = {
    [DIM_VARIABLE] = 0, [DIM_SYMBOL] = 1, [DIM_FLOORDIV] = 2, [DIM_CEILDIV] = 3, [DIM_MOD] = 4,
    [DIM_MIN] = 5,      [DIM_MAX] = 6,    [DIM_CONST] = 7,    [DIM_SUM] = 8,
};

int atom_compare(const dim_table *t, tn_dim x, tn_dim y) {
    if (x == y) return 0;
    const dim_entry *a = dim_at(t, x), *b = dim_at(t, y);
    if (a->kind != b->kind) return kind_rank[a->kind] < kind_rank[b->kind] ? -1 : 1;
    if (a->kind == DIM_VARIABLE) return a->number < b->number ? -1 : 1;
    if (a->kind == DIM_SYMBOL) return strcmp(a->name, b->name);
    int first = dim_compare(t, a->a, b->a);
    return first ? first : dim_compare(t, a->b, b->b);
}

int monomial_compare(const dim_table *t, const dim_term *x, const dim_term *y) {
    if (x->n_atoms != y->n_atoms) return x->n_atoms > y->n_atoms ? -1 : 1;
    for (uint32_t i = 0; i < x->n_atoms; i++) {
        int order = atom_compare(t, x->atoms[i], y->atoms[i]);
        if (order) return order;
    }
    return 0;
}

int dim_compare(const dim_table *t, tn_dim x, tn_dim y) {
    if (x == y) return 0;
    poly a = dim_poly(t, x), b = dim_poly(t, y);
    for (uint32_t i = 0; i < a.n && i < b.n; i++) {
        int order = monomial_compare(t, &a.terms[i], &b.terms[i]);
        if (order) return order;
        if (a.terms[i].coefficient != b.terms[i].coefficient)
            return a.terms[i].coefficient < b.terms[i].coefficient ? -1 : 1;
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

/* ---- Monomials --------------------------------------------------------------------------------- */

/* Product of two monomials: the merge of their sorted atoms. */
static bool monomial_mul(dim_table *t, const dim_term *x, const dim_term *y, dim_term *out) {
    if (y->n_atoms == 0 || x->n_atoms == 0) {
        const dim_term *only = y->n_atoms ? y : x;
        out->n_atoms = only->n_atoms;
        out->atoms = only->atoms;
        return true;
    }
    uint32_t n = x->n_atoms + y->n_atoms;
    if (n > DIM_MAX_DEGREE) return dim_fail(t, TN_ERR_LIMIT);
    tn_dim *atoms = scratch_alloc(t, n * sizeof *atoms);
    if (!atoms) return false;
    for (uint32_t i = 0, j = 0; i + j < n;) {
        bool left = j == y->n_atoms || (i < x->n_atoms && atom_compare(t, x->atoms[i], y->atoms[j]) <= 0);
        atoms[i + j] = left ? x->atoms[i] : y->atoms[j];
        if (left)
            i++;
        else
            j++;
    }
    out->n_atoms = n;
    out->atoms = atoms;
    return true;
}

bool monomial_divide(const dim_table *t, const dim_term *x, const dim_term *y, tn_dim *quotient, uint32_t *n) {
    (void)t;
    if (y->n_atoms > x->n_atoms) return false;
    uint32_t matched = 0;
    *n = 0;
    for (uint32_t i = 0; i < x->n_atoms; i++) {
        if (matched < y->n_atoms && x->atoms[i] == y->atoms[matched])
            matched++;
        else
            quotient[(*n)++] = x->atoms[i];
    }
    return matched == y->n_atoms;
}

/* ---- Polynomials --------------------------------------------------------------------------------- */

bool poly_add_product(dim_table *t, poly a, dim_term factor, poly b, poly *out) {
    if (factor.coefficient == 0 || b.n == 0) {
        *out = a;
        return true;
    }
    uint64_t most = (uint64_t)a.n + b.n;
    if (most > 2 * DIM_MAX_TERMS) return dim_fail(t, TN_ERR_LIMIT);
    dim_term *terms = scratch_alloc(t, most * sizeof *terms);
    if (!terms) return false;
    uint32_t n = 0, i = 0;
    for (uint32_t j = 0; j < b.n; j++) {
        dim_term term;
        if (!int_mul(factor.coefficient, b.terms[j].coefficient, &term.coefficient)) return dim_fail(t, TN_ERR_LIMIT);
        if (!monomial_mul(t, &factor, &b.terms[j], &term)) return false;
        int order = -1;
        while (i < a.n && (order = monomial_compare(t, &a.terms[i], &term)) < 0) terms[n++] = a.terms[i++];
        if (i < a.n && order == 0) {
            if (!int_add(term.coefficient, a.terms[i++].coefficient, &term.coefficient))
                return dim_fail(t, TN_ERR_LIMIT);
        }
        if (term.coefficient) terms[n++] = term;
    }
    while (i < a.n) terms[n++] = a.terms[i++];
    if (n > DIM_MAX_TERMS) return dim_fail(t, TN_ERR_LIMIT);
    *out = (poly){n, terms};
    return true;
}

bool poly_scale(dim_table *t, poly a, int64_t k, poly *out) {
    return poly_add_product(t, (poly){0, NULL}, (dim_term){k, 0, NULL}, a, out);
}

bool poly_mul(dim_table *t, poly a, poly b, poly *out) {
    poly sum = {0, NULL};
    if (b.n > a.n) {
        poly swap = a;
        a = b;
        b = swap;
    }
    for (uint32_t i = 0; i < b.n; i++)
        if (!poly_add_product(t, sum, b.terms[i], a, &sum)) return false;
    *out = sum;
    return true;
}

bool poly_divide(dim_table *t, poly a, poly b, poly *q, poly *r) {
    *q = (poly){0, NULL};
    *r = a;
    if (b.n == 0) return dim_fail(t, TN_ERR_ARGUMENT);
    const dim_term *lead = &b.terms[0];
    int64_t size = lead->coefficient < 0 ? -lead->coefficient : lead->coefficient;
    for (uint32_t i = 0; i < r->n;) {
        const dim_term *term = &r->terms[i];
        dim_term factor = {int_floordiv(term->coefficient, size), 0, NULL};
        if (factor.coefficient == 0 || term->n_atoms < lead->n_atoms) {
            i++;
            continue;
        }
        tn_dim *atoms = scratch_alloc(t, (term->n_atoms + 1u) * sizeof *atoms);
        if (!atoms) return false;
        factor.atoms = atoms;
        if (!monomial_divide(t, term, lead, atoms, &factor.n_atoms)) {
            i++;
            continue;
        }
        if (lead->coefficient < 0) factor.coefficient = -factor.coefficient;
        bool stays = term->coefficient % size != 0;
        dim_term minus = factor;
        minus.coefficient = -factor.coefficient;
        poly one = {1, &(dim_term){1, 0, NULL}};
        if (!poly_add_product(t, *q, factor, one, q) || !poly_add_product(t, *r, minus, b, r)) return false;
        if (stays) i++;
    }
    return true;
}

/* The term without `atom`, and how often it stood there. */
static bool take_out(dim_table *t, const dim_term *term, tn_dim atom, dim_term *rest, uint32_t *times) {
    *rest = *term;
    *times = 0;
    for (uint32_t i = 0; i < term->n_atoms; i++) *times += term->atoms[i] == atom;
    if (*times == 0) return true;
    tn_dim *atoms = scratch_alloc(t, term->n_atoms * sizeof *atoms);
    if (!atoms) return false;
    uint32_t n = 0;
    for (uint32_t i = 0; i < term->n_atoms; i++)
        if (term->atoms[i] != atom) atoms[n++] = term->atoms[i];
    rest->atoms = atoms;
    rest->n_atoms = n;
    return true;
}

bool poly_substitute(dim_table *t, poly a, tn_dim atom, poly value, poly *out) {
    poly sum = {0, NULL};
    for (uint32_t i = 0; i < a.n; i++) {
        dim_term rest;
        uint32_t times;
        if (!take_out(t, &a.terms[i], atom, &rest, &times)) return false;
        poly power = {1, &(dim_term){1, 0, NULL}};
        for (uint32_t k = 0; k < times; k++)
            if (!poly_mul(t, power, value, &power)) return false;
        if (!poly_add_product(t, sum, rest, power, &sum)) return false;
    }
    *out = sum;
    return true;
}

bool poly_split(dim_table *t, poly a, tn_dim atom, poly *coefficient, poly *rest) {
    *coefficient = *rest = (poly){0, NULL};
    poly one = {1, &(dim_term){1, 0, NULL}};
    for (uint32_t i = 0; i < a.n; i++) {
        dim_term without;
        uint32_t times;
        if (!take_out(t, &a.terms[i], atom, &without, &times) || times > 1) return false;
        if (!poly_add_product(t, times ? *coefficient : *rest, without, one, times ? coefficient : rest)) return false;
    }
    return true;
}
