/* What the rules of ops (ir/rules_*.c) share: checks of operands and attributes.
 *
 * A rule states the types of an op's results, or why it cannot be applied. Checks return
 * false after recording an error, so that a rule reads as a list of `if (!...) return false`.
 */
#ifndef TN_IR_RULES_H
#define TN_IR_RULES_H

#include "ir/dtype.h"
#include "ir/op.h"

enum { RULE_TEXT = 320 };

static inline dim_table *rule_dims(const rule_args *c) { return c->graph->module->dims; }

/* Operand i in words ("x is f32[n, 784]"), in `text` of RULE_TEXT bytes. Returns text. */
const char *rule_operand(const rule_args *c, uint32_t i, char *text);
/* A dim in words; text of RULE_TEXT bytes. Returns text. */
const char *rule_dim_text(const rule_args *c, tn_dim d, char *text);

/* Operand i has a dtype in the set. */
bool rule_dtype(rule_args *c, uint32_t i, dtype_set set);
/* Operands i and j have the same dtype. */
bool rule_same_dtype(rule_args *c, uint32_t i, uint32_t j);
/* Operand i has that rank; or at least that rank. */
bool rule_rank(rule_args *c, uint32_t i, int rank);
bool rule_rank_at_least(rule_args *c, uint32_t i, int rank);

/* Dims agree (proved, or recorded as a constraint). On the error both operands are shown and
 * `what` says what should agree ("inner dims differ"). */
bool rule_equal_dims(rule_args *c, const char *what, uint32_t i, int axis_i, uint32_t j, int axis_j);
/* Of two dims that are required to be equal the one to go on with: the constant one. */
tn_dim rule_merge(const rule_args *c, tn_dim a, tn_dim b);
/* a <= b, or a divides b, proved or recorded; the message is the caller's. */
bool rule_require(rule_args *c, relation r, tn_dim a, tn_dim b);
/* All operands from `first` to `last` have one dtype and shape; *type is what they merge to. */
bool rule_same_types(rule_args *c, uint32_t first, uint32_t last, tn_type *type);

/* One axis within [0, rank). */
bool rule_check_axis(rule_args *c, const char *what, int64_t axis, int rank);
/* A list of distinct axes within [0, rank); *mask has a bit for each. */
bool rule_check_axes(rule_args *c, const char *what, const int64_t *axes, uint32_t n, int rank, uint32_t *mask);
/* The attribute `axes`, or `axis`, of operand 0. */
bool rule_axes(rule_args *c, int rank, uint32_t *mask);
bool rule_axis(rule_args *c, int rank, int *axis);

/* An INTS attribute with `n` entries of at least `least`, or (when absent) n times `otherwise`. */
bool rule_ints(rule_args *c, attr_name name, int n, int64_t least, int64_t otherwise, int64_t *out);
/* A DIMS attribute with n entries, or n times 0. */
bool rule_dim_list(rule_args *c, attr_name name, int n, tn_dim *out);
/* A DIMS attribute as a shape of at most TN_MAX_RANK axes, none negative. */
bool rule_shape(rule_args *c, attr_name name, tn_dtype dtype, tn_type *type);
/* A dim that is an extent: at least 0 (proved or recorded). */
bool rule_extent(rule_args *c, const char *what, tn_dim d);
/* The attribute `acc` is absent, or a dtype in which sums of `dtype` can be kept. */
bool rule_acc(rule_args *c, tn_dtype dtype);

/* One result of that type. */
bool rule_one_result(rule_args *c, const tn_type *type);

/* Number of places of a window along an axis: `extent` elements between `low` and `high` of padding,
 * `taps` of them `dilation` apart, `stride` from place to place. It has to fit once. */
bool rule_window_places(rule_args *c, int axis, tn_dim extent, tn_dim low, tn_dim high, tn_dim taps, int64_t dilation,
                        int64_t stride, tn_dim *places);

#endif
