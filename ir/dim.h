/* Dims: interned integer expressions over symbols.
 *
 * A dim is a 32-bit id into a table owned by its module. Expressions are kept in one
 * canonical form, so that two dims are equal as functions (as far as the form can tell)
 * exactly when their ids are equal:
 *
 *   expression  c0 + sum of c_i * monomial_i     (c_i != 0, monomials ordered)
 *   monomial    product of atoms                  (ordered, repeats allowed)
 *   atom        symbol | variable | floordiv | min | max
 *
 * Division and mod take a positive divisor; floordiv rounds to minus infinity and mod has
 * the divisor's sign, so a = floordiv(a, b) * b + mod(a, b). Only floordiv is kept: mod(a, b)
 * is a - b * floordiv(a, b) and ceildiv(a, b) is floordiv(a + b - 1, b); texts show them again
 * as what they were. Terms that the divisor divides leave the division: floordiv(4*n + j, 4)
 * is n + floordiv(j, 4). What follows from one law in dim_arith.c holds by identity of ids.
 *
 * The loop trees use the same expressions for their indices: a loop counter is a variable.
 * Arithmetic is overflow-checked: a result that does not fit in 63 bits is DIM_INVALID, and
 * so is any operation on DIM_INVALID; `table->status` says why (it is sticky).
 */
#ifndef TN_IR_DIM_H
#define TN_IR_DIM_H

#include "tenon_graph.h"

#include "runtime/alloc.h"

#define DIM_INVALID TN_DIM_INVALID

typedef enum dim_kind {
    DIM_CONST,
    DIM_SYMBOL,   /* named: a size known when the program is called */
    DIM_VARIABLE, /* numbered: a loop counter or a loaded index, printed $k */
    DIM_SUM,
    DIM_FLOORDIV,
    DIM_CEILDIV, /* never the kind of a dim, see above */
    DIM_MOD,     /* likewise */
    DIM_MIN,
    DIM_MAX,
} dim_kind;

typedef struct dim_table dim_table;

/* One term of a sum: coefficient * product of atoms. n_atoms is 0 for the constant term. */
typedef struct dim_term {
    int64_t coefficient;
    uint32_t n_atoms;
    const tn_dim *atoms;
} dim_term;

dim_table *dim_table_new(void); /* NULL: no memory */
void dim_table_free(dim_table *t);
tn_status
dim_table_status(const dim_table *t); /* TN_OK, TN_ERR_LIMIT (overflow), TN_ERR_ARGUMENT (divisor), TN_ERR_MEMORY */
void dim_table_clear_status(dim_table *t);
bool dim_fail(dim_table *t, tn_status why); /* records why an operation failed; always false */

tn_dim dim_const(dim_table *t, int64_t value);
tn_dim dim_symbol(dim_table *t, const char *name);
tn_dim dim_variable(dim_table *t, uint32_t number);
tn_dim dim_add(dim_table *t, tn_dim a, tn_dim b);
tn_dim dim_sub(dim_table *t, tn_dim a, tn_dim b);
tn_dim dim_mul(dim_table *t, tn_dim a, tn_dim b);
tn_dim dim_floordiv(dim_table *t, tn_dim a, tn_dim b);
tn_dim dim_ceildiv(dim_table *t, tn_dim a, tn_dim b);
tn_dim dim_mod(dim_table *t, tn_dim a, tn_dim b);
tn_dim dim_min(dim_table *t, tn_dim a, tn_dim b);
tn_dim dim_max(dim_table *t, tn_dim a, tn_dim b);
tn_dim dim_add_const(dim_table *t, tn_dim a, int64_t b);
tn_dim dim_mul_const(dim_table *t, tn_dim a, int64_t b);
tn_dim dim_product(dim_table *t, const tn_dim *dims, int n); /* 1 for none */
/* n elements with `interior` others between neighbours: n + interior * (n - 1), none when n is 0. */
tn_dim dim_spread(dim_table *t, tn_dim n, int64_t interior);

/* Exact division: a / b when b divides every term of a (polynomially), else DIM_INVALID
 * without touching the status. */
tn_dim dim_exact_div(dim_table *t, tn_dim a, tn_dim b);

bool dim_is_valid(const dim_table *t, tn_dim d); /* an id of this table */
dim_kind dim_kind_of(const dim_table *t, tn_dim d);
bool dim_is_const(const dim_table *t, tn_dim d, int64_t *value); /* value may be NULL */
bool dim_is_value(const dim_table *t, tn_dim d, int64_t value);
const char *dim_symbol_name(const dim_table *t, tn_dim d); /* NULL: not a symbol */
uint32_t dim_variable_number(const dim_table *t, tn_dim d);
void dim_operands(const dim_table *t, tn_dim d, tn_dim *a, tn_dim *b); /* of a division, mod, min or max */

/* The expression as a sum (a constant or an atom is a sum of one term; 0 has none).
 * Returns the number of terms, constant term first when there is one. */
uint32_t dim_terms(const dim_table *t, tn_dim d, uint32_t capacity, dim_term *terms);
uint32_t dim_term_count(const dim_table *t, tn_dim d);

/* d = coefficient * atom + rest with neither containing `atom`: true and both are set (0 when
 * absent). False when `atom` stands inside a division, min, max or in a power. The
 * coefficient is itself a dim (`n` in n*$0). */
bool dim_split_linear(dim_table *t, tn_dim d, tn_dim atom, tn_dim *coefficient, tn_dim *rest);
bool dim_contains(const dim_table *t, tn_dim d, tn_dim atom);

/* Calls visit(ctx, atom) for each symbol and variable in d, repeats included; stops at false. */
bool dim_visit_leaves(const dim_table *t, tn_dim d, bool (*visit)(void *ctx, tn_dim leaf), void *ctx);

/* Replaces each from[i] (symbol or variable) by to[i], all at once. */
tn_dim dim_substitute(dim_table *t, tn_dim d, const tn_dim *from, const tn_dim *to, int n);

/* Copies an expression between tables; symbols keep their names. */
tn_dim dim_import(dim_table *to, const dim_table *from, tn_dim d);

/* Value with leaf values from look(ctx, leaf, &value). False: a leaf has no value, the
 * arithmetic overflows, or a divisor is not positive. */
bool dim_eval(const dim_table *t, tn_dim d, bool (*look)(void *ctx, tn_dim leaf, int64_t *value), void *ctx,
              int64_t *value);

/* What is known of leaves: low <= leaf <= high, high itself a dim (DIM_INVALID: unknown). Leaves without
 * an entry: variables are unknown. Symbols are sizes, never below 0, with an entry or without. */
typedef struct dim_range {
    tn_dim leaf;
    tn_dim low, high;
} dim_range;

/* Constant bounds of d under the ranges; INT64_MIN/INT64_MAX where there is none. */
void dim_bounds(dim_table *t, tn_dim d, const dim_range *ranges, int n, int64_t *low, int64_t *high);

/* True when d >= 0 is proved for all values within the ranges (symbolically too:
 * n - 1 - $0 with $0 <= n - 1). False says nothing. */
bool dim_is_nonnegative(dim_table *t, tn_dim d, const dim_range *ranges, int n);

/* Simplifies divisions, mods, mins and maxes that the ranges decide: with 0 <= $1 < n,
 * floordiv($0*n + $1, n) is $0 and mod(...) is $1. */
tn_dim dim_simplify(dim_table *t, tn_dim d, const dim_range *ranges, int n);

/* Writes the expression as text ("2*n + 1", "floordiv(n, 2)"), NUL-terminated, cut to size.
 * Returns the length it would have had. The text parses back (ir/parse_dim.c). */
size_t dim_print(const dim_table *t, tn_dim d, char *out, size_t bytes);

#endif
