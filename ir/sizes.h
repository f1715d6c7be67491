/* Numbers in place of symbols.
 *
 * in:  symbols of a module, and what each is to be
 * out: dims, types and attributes with the numbers in them; a function that has them
 * law: a function with a symbol fixed computes what it did for that size
 */
#ifndef TN_IR_SIZES_H
#define TN_IR_SIZES_H

#include "ir/graph.h"

/* The least value that a symbol may have, from 1 on. */
int64_t symbol_least_size(const symbol *s);

/* Whether a value is within what is stated of the symbol. */
bool symbol_allows(const symbol *s, int64_t value);

/* Values of all symbols of a function, in its order. */
typedef struct symbol_sizes {
    const tn_graph *g;
    const int64_t *values;
} symbol_sizes;

/* The value of a symbol, for dim_eval; ctx is a symbol_sizes. */
bool symbol_size(void *ctx, tn_dim leaf, int64_t *value);
/* The value of an expression over them; false as for dim_eval. */
bool graph_size_at(const tn_graph *g, const int64_t *values, tn_dim d, int64_t *size);

/* from[i] becomes to[i]. */
enum { SIZES_MOST = 16 };
typedef struct sizes_fixed {
    int n;
    tn_dim from[SIZES_MOST], to[SIZES_MOST];
} sizes_fixed;

/* One more; false after an error, which is in the module: more than SIZES_MOST, or the value is below 0. */
bool sizes_fix(sizes_fixed *s, tn_module *m, const char *symbol, int64_t value);

/* `s` may be NULL: nothing is fixed. */
tn_dim sizes_dim(const sizes_fixed *s, tn_module *m, tn_dim d);
tn_type sizes_type(const sizes_fixed *s, tn_module *m, tn_type type);

/* Appends a copy of node n of `from`, on these operands of `to`, a function of the same module; enters its results in
 * map[], and their names where they have none. False after an error, which is in the module. */
bool sizes_copy_node(tn_graph *to, const tn_graph *from, const node *n, const sizes_fixed *s, const value_id *operands,
                     value_id *map);

/* Makes a function that nothing calls one of these sizes. Each must be a symbol of it within its bounds. False after an
 * error, which is in the module. */
bool graph_fix_sizes(tn_graph *g, const sizes_fixed *s);

/* What a symbol's values must be: "at least 4 and at most 64, a multiple of 3". Returns out. */
const char *sizes_bounds_text(const symbol *s, char *out, size_t bytes);

#endif
