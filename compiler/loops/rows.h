/* Rows reduced in phases: what the classes reduce and attention have in common.
 *
 * Values have the shape of the domain ("whole"), or that of a row: the domain's without its reduced axes, or with
 * extent 1 there. A reduction that reads another one's result (softmax's sum reads its max) comes a phase later.
 *
 * in:  the index of a row, in the open block
 * out: one loop over the reduced axes for each phase, after which the reductions are in registers. What one phase
 *      computed the next ones compute again, or read where it was held
 * law: a reduction's lanes are merged by the fixed tree of vector loops, and their number follows from its dtype alone
 */
#ifndef TN_LOOPS_ROWS_H
#define TN_LOOPS_ROWS_H

#include "compiler/loops/classes.h"

#include <limits.h>

typedef struct rows {
    access *a;
    dim_table *t;
    tn_graph *g;
    tn_type domain;
    bool reduced[TN_MAX_RANK];
    int *phase; /* of each node: how many reductions it comes after; ROWS_ELSEWHERE: it is no work on rows */
    int n_phases;
    int lanes_from;            /* axes from here on are merged into the vector loop */
    tn_dim index[TN_MAX_RANK]; /* of the present element of the domain */
    /* A row may lie in a buffer of the thread's, so that a later phase has not to compute it again: the operand of a
     * reduction goes there when something later needs it, and nothing what was there. */
    value_id held;    /* what lies there; VALUE_NONE: nothing yet */
    source place;     /* where */
    bool makes_place; /* there is no place yet: one is made when a value wants it */
} rows;

enum { ROWS_ELSEWHERE = INT_MAX / 2 };

/* Finds domain and reduced axes; false: the function's reductions differ in them, or there is none. */
bool rows_find_domain(rows *s);
/* The index, among the present element's, of a value of that shape: whole (true in *whole), or of a row; false: it
 * has neither shape. */
bool rows_index_of(const rows *s, const tn_type *type, bool *whole, tn_dim *index);

/* Finds the phases; false: out of memory (recorded). `phase` is to be freed. */
bool rows_find_phases(rows *s);
/* Only what leads to `last`, but not what leads to `first`, is work on rows. False: out of memory (recorded). */
bool rows_limit(rows *s, value_id first, value_id last);

/* All phases of one row, or of as many as the open vector loop has lanes. The held value may become another one
 * that leads to `last` (VALUE_NONE: to a result). */
void rows_reduce(rows *s, value_id last);
/* The next row has registers of its own. */
void rows_forget(rows *s);

/* argmax, argmin */
bool rows_is_arg(const node *n);

/* A loop over the reduced axes around `body`. */
typedef void rows_body(rows *s, void *ctx);
void rows_sweep(rows *s, rows_body *body, void *ctx);

#endif
