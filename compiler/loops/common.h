/* One dim in place of several that are the same but for numbers.
 *
 * in:  for each place in a kernel the dims that its members (kernels of one structure) have there
 * out: one dim, in which numbers that differ are multiples of a few extents, and what these are for each member:
 *      of 64*$0, 96*$0 and 128*$0 it is 32*number.0*$0, and number.0 is 2, 3, 4
 * law: with a member's numbers the dim is the member's own, id for id. A number that code is laid out by does not
 *      become an extent: the stride of lanes, of unrolled steps, and a divisor within loops
 */
#ifndef TN_LOOPS_COMMON_H
#define TN_LOOPS_COMMON_H

#include "compiler/loops/dims.h"

enum { COMMON_MOST_NUMBERS = 4 }; /* each takes a register, or its multiples do */

/* An extent, and what it is for each member: none is below 0. */
typedef struct common_number {
    tn_dim symbol;
    int64_t *values;
} common_number;

typedef struct common {
    const lt_kernel *first; /* dims are over its extents */
    const dims_list *list;  /* of it */
    dim_table *dims;
    uint32_t n; /* members */
    common_number numbers[COMMON_MOST_NUMBERS];
    uint32_t n_numbers;
    arena memory; /* the caller frees it */
    bool out_of_memory;
} common;

/* d[i] is member i's; DIM_INVALID: nothing stands for them all. */
tn_dim common_dim(common *c, const tn_dim *d, bool is_layout);

#endif
