/* Which values are looked at for NaN, and when it is an error (tn_compile_options.nan_check).
 *
 * in:  a module after fuse
 * out: tn_graph.nan_looks of its functions, by which access.c emits checks
 * law: no alarm for what a program never uses: `select(x > 0, log(x), 0)` may have a NaN in the branch that is not
 *      taken. A NaN of a value that is read in branches of selects alone is an error where the branch is taken; where
 *      that cannot be known it is remembered, and named when a select takes it
 */
#ifndef TN_LOOPS_NAN_LOOKS_H
#define TN_LOOPS_NAN_LOOKS_H

#include "ir/graph.h"
#include "ir/op.h"

typedef enum nan_use {
    NAN_UNREAD,
    NAN_ALWAYS, /* a NaN is an error */
    NAN_BRANCH, /* where `select` takes its operand `side` */
    NAN_MAYBE,  /* only readers of the same group can tell */
} nan_use;

typedef struct nan_look {
    uint8_t use; /* enum nan_use */
    uint8_t side;
    bool is_hidden;  /* where it is made a NaN of it may not be an error */
    uint32_t select; /* a node of the function */
    uint32_t group;  /* of what is remembered, and of who reads it; NAN_NO_GROUP: none */
    /* Of a select that is looked at always: the groups of what its operands 1 and 2 are made from. */
    uint32_t sides[2];
} nan_look;

#define NAN_NO_GROUP UINT32_MAX

/* Fills tn_graph.nan_looks of all functions, in the module's memory. False: no memory (recorded). */
bool nan_looks_find(tn_module *m);

/* Whether v can be the first of its kernel to have a NaN: its op makes them, or lets one through that was not looked at. */
bool nan_looks_wants(const tn_graph *g, value_id v);
/* Whether v can have a NaN that was not looked at before. */
bool nan_looks_lets_through(const tn_graph *g, value_id v);

#endif
