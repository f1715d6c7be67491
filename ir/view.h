/* Views as index maps: which element of its operand an element of a view is. */
#ifndef TN_IR_VIEW_H
#define TN_IR_VIEW_H

#include "ir/op.h"

/* broadcast, reshape, transpose, slice, reverse: every element is one of the operand's.
 * (pad and concat choose between origins and are not among them.) */
bool view_is_plain(tn_op op);

/* The operand's index of result index `index` of the plain view n, simplified under the
 * ranges. */
void view_index(const tn_graph *g, const node *n, const tn_dim *index, const dim_range *ranges, int n_ranges,
                tn_dim *from);

/* From a linear index to one index per axis, by floordiv only: linear - q * extent takes the
 * place of mod, so that offsets recombine by themselves. */
void view_unravel(dim_table *t, tn_dim linear, int rank, const tn_dim *extents, const dim_range *ranges, int n_ranges,
                  tn_dim *index);

#endif
