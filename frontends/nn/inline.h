/* One side of a function: what some of its results need when a bool parameter is known, copied into another function.
 *
 *     nn_side side;
 *     if (!nn_side_find(&side, forward, training_param, false, wanted)) ...no memory
 *     for each parameter with nn_side_needs(&side, i): args[i] = a value of `to`
 *     ok = nn_side_copy(&side, to, args, sizes, results);
 *     nn_side_free(&side);
 *
 * law: a select on a known condition is the value it chooses; what only the other one needs is not copied
 */
#ifndef TN_NN_INLINE_H
#define TN_NN_INLINE_H

#include "ir/sizes.h"
#include "tenon_nn.h"

typedef struct nn_side {
    const tn_graph *from;
    int8_t *known;    /* of each value: 0 or 1; -1: not known */
    value_id *chosen; /* of each value: itself, or what a select chose */
    bool *live;       /* of each node */
    bool *wanted;     /* of each result */
} nn_side;

/* `param` SIZE_MAX: none is known. `wanted` has one entry for each result; NULL: all. False: no memory, and nothing to
 * free. */
bool nn_side_find(nn_side *s, const tn_graph *from, size_t param, bool value, const bool *wanted);
void nn_side_free(nn_side *s);
bool nn_side_needs(const nn_side *s, size_t param);

/* Copies into `to`, of the same module. args: a value of `to` for each parameter that is needed; results: of each that
 * is wanted. False after an error, which is in the module. */
bool nn_side_copy(const nn_side *s, tn_graph *to, const tn_val *args, const sizes_fixed *sizes, tn_val *results);
/* All of a function. */
bool nn_inline(tn_graph *to, const tn_graph *from, const tn_val *args, tn_val *results);

/* Of a list that ends with a NULL symbol (NULL: empty), in the module's dims. */
bool nn_sizes_take(sizes_fixed *s, tn_module *m, const tn_model_size *list);

#endif
