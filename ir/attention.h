/* Attention spelled out in primitives: a dot, work on the rows of its result (scale, mask, softmax), and a dot
 * that takes what came of it as its first operand.
 *
 * The first one's result, the scores, has batch axes, then those of rows, then those of keys; the second one
 * contracts the keys. In between are elementwise ops, reductions over all keys, and broadcasts of what
 * is reduced, each at its own row: a row needs no other.
 */
#ifndef TN_IR_ATTENTION_H
#define TN_IR_ATTENTION_H

#include "ir/op.h"

enum { ATTENTION_REACH = 256 }; /* nodes from the first dot to the second, at most */

typedef struct attention {
    uint32_t scores, values; /* the dots */
    value_id weights;        /* first operand of the second */
    int n_batch, n_rows, n_keys;
    bool is_between[ATTENTION_REACH]; /* node scores + i depends on the first dot, and comes before the second */
} attention;

/* Whether node `values` is the second dot of an attention. What else reads what is between is not looked at. */
bool attention_find(const tn_graph *g, uint32_t values, attention *found);

#endif
