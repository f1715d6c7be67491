/* The inside of the dim table, shared by the dim_*.c files only: entries, polynomials as
 * sorted term lists on a scratch stack, and interning.
 *
 * A polynomial is a list of terms in graded lexicographic order, highest first, so that the
 * constant comes last; no coefficient is 0 and no monomial repeats. The order depends on the
 * expressions alone, never on ids, so that the same module prints the same from any history.
 */
#ifndef TN_IR_DIM_POLY_H
#define TN_IR_DIM_POLY_H

#include "ir/dim.h"

enum {
    DIM_MAX_TERMS = 1024,      /* of one sum */
    DIM_MAX_DEGREE = 64,       /* atoms of one monomial */
    DIM_MAX_DEPTH = 100,       /* divisions, mins and maxes inside each other */
    DIM_MAX_WEIGHT = 1 << 14,  /* atoms of the whole expression, written out as a tree */
    DIM_MAX_ENTRIES = 1 << 26, /* of a table */
    DIM_SMALL_CONSTANTS = 64,  /* 0, 1, 2, ...: their ids are their values */
};

typedef struct dim_entry {
    tn_dim self;
    uint8_t kind;    /* dim_kind */
    uint8_t depth;   /* nesting of compound atoms: 0 for a constant or leaf */
    uint32_t weight; /* size as a tree */
    uint64_t hash;
    uint32_t n_terms; /* the expression as a polynomial; an atom is the sum of itself */
    const dim_term *terms;
    dim_term own; /* what `terms` points to, for constants and atoms */
    union {
        const char *name; /* SYMBOL */
        uint32_t number;  /* VARIABLE */
        struct {
            tn_dim a, b; /* operands of a compound atom */
        };
    };
} dim_entry;

typedef struct scratch_block scratch_block;

struct dim_table {
    arena memory;
    dim_entry **entries;
    size_t n_entries, entries_capacity;
    uint32_t *slots; /* hash table of id + 1; a power of two of them */
    size_t n_slots;
    scratch_block *scratch_first, *scratch; /* see dim_poly.c */
    tn_status status;
    int quiet; /* above 0: failures leave the status alone */
};

/* Terms on the scratch stack, or those of an entry. */
typedef struct poly {
    uint32_t n;
    const dim_term *terms;
} poly;

static inline const dim_entry *dim_at(const dim_table *t, tn_dim d) { return t->entries[d]; }
static inline bool dim_valid(const dim_table *t, tn_dim d) { return d < t->n_entries; }
static inline poly dim_poly(const dim_table *t, tn_dim d) { return (poly){dim_at(t, d)->n_terms, dim_at(t, d)->terms}; }
static inline bool dim_is_compound(const dim_entry *e) { return e->kind >= DIM_FLOORDIV; }

/* The scratch stack: memory that is given back to a mark, kept by the table for the next use. */
typedef struct scratch_mark {
    scratch_block *block;
    size_t used;
} scratch_mark;
scratch_mark scratch_begin(const dim_table *t);
void scratch_end(dim_table *t, scratch_mark mark);
void *scratch_alloc(dim_table *t, size_t bytes);
void scratch_free_all(dim_table *t);

/* Orders of atoms, expressions and monomials: below 0 when x stands before y. */
int atom_compare(const dim_table *t, tn_dim x, tn_dim y);
int dim_compare(const dim_table *t, tn_dim x, tn_dim y);
int monomial_compare(const dim_table *t, const dim_term *x, const dim_term *y);

/* x / y as monomials into quotient (room for x's atoms); false when y does not divide x. */
bool monomial_divide(const dim_table *t, const dim_term *x, const dim_term *y, tn_dim *quotient, uint32_t *n);

/* Arithmetic; results lie on the scratch stack. False: overflow, a limit or no memory, told to
 * the table unless it is quiet. */
bool poly_add_product(dim_table *t, poly a, dim_term factor, poly b, poly *out); /* a + factor * b */
bool poly_mul(dim_table *t, poly a, poly b, poly *out);
bool poly_scale(dim_table *t, poly a, int64_t k, poly *out);
/* a = q * b + r, reducing every term that b's leading term divides; coefficients of r that
 * stand with the leading monomial are in [0, its coefficient). */
bool poly_divide(dim_table *t, poly a, poly b, poly *q, poly *r);
bool poly_substitute(dim_table *t, poly a, tn_dim atom, poly value, poly *out);
/* a = coefficient * atom + rest; false when the atom stands in a power (nothing is recorded). */
bool poly_split(dim_table *t, poly a, tn_dim atom, poly *coefficient, poly *rest);

static inline bool poly_is_const(poly p, int64_t *constant) {
    if (p.n > 1 || (p.n == 1 && p.terms[0].n_atoms > 0)) return false;
    *constant = p.n ? p.terms[0].coefficient : 0;
    return true;
}
/* The constant term. */
static inline int64_t poly_constant(poly p) {
    return p.n && p.terms[p.n - 1].n_atoms == 0 ? p.terms[p.n - 1].coefficient : 0;
}

/* Interning. */
tn_dim dim_from_poly(dim_table *t, poly p);
tn_dim dim_from_operands(dim_table *t, dim_kind kind, tn_dim a, tn_dim b); /* as it stands: nothing is simplified */

/* Integer helpers; values stay within (INT64_MIN, INT64_MAX]. */
bool int_add(int64_t a, int64_t b, int64_t *out);
bool int_mul(int64_t a, int64_t b, int64_t *out);
int64_t int_floordiv(int64_t a, int64_t b); /* b > 0 */
int64_t int_gcd(int64_t a, int64_t b);      /* not negative */

#endif
