/* Where a loop tree has dims: by kind of statement, and of a whole kernel in one order. */
#ifndef TN_LOOPS_DIMS_H
#define TN_LOOPS_DIMS_H

#include "compiler/loops/loops.h"

#include <stddef.h>

/* A dim that every statement of a kind has. Those that it does not use (a tile's inner steps, what it asks memory for)
 * are 0. */
typedef struct stmt_dim {
    size_t offset;  /* in lt_stmt */
    bool is_layout; /* code is laid out by it: as a number it is part of instructions */
} stmt_dim;

typedef struct stmt_dims {
    const stmt_dim *items;
    size_t n;
} stmt_dims;

stmt_dims dims_of_kind(lt_kind kind);

static inline tn_dim *dims_at(lt_stmt *s, const stmt_dim *at) { return (tn_dim *)((char *)s + at->offset); }
static inline tn_dim dims_value(const lt_stmt *s, const stmt_dim *at) {
    return *(const tn_dim *)((const char *)s + at->offset);
}

/* What a variable is in code: the number of a chunk, a register that counts, or several numbers: lanes, and steps that
 * are unrolled. */
typedef enum dims_reach { OF_CHUNK, OF_COUNTER, OF_LAYOUT } dims_reach;

typedef struct listed_dim {
    tn_dim *at;
    bool is_layout;
} listed_dim;

/* All dims of a kernel; kernels of one structure (lt_same_structure) have as many, in the same order. */
typedef struct dims_list {
    listed_dim *items;
    size_t n, capacity;
    dims_reach *reaches; /* by variable */
} dims_list;

/* False: out of memory; the list is to be freed all the same. */
bool dims_list_kernel(dims_list *l, lt_kernel *k);
void dims_list_free(dims_list *l);

#endif
