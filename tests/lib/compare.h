/* Comparison of computed tensors with the interpreter's.
 *
 * Integers and bools must be equal. A float must be within
 *
 *     factor * (unit roundoff of the dtype * magnitude + least subnormal)
 *
 * of the reference, where the magnitude is the scale of rounding errors that the interpreter
 * tracks (eval_options.magnitudes; absolute values where it was not asked to). `factor` stands
 * for the number of roundings in a row: 0 asks for equal values (zeros of either sign are
 * equal). NaN must meet NaN, an infinity the same infinity; but a result whose tolerance
 * reaches past the greatest finite number may be infinite. Where the magnitude is not finite
 * nothing is known of the element, and nothing is asked.
 */
#ifndef TN_TESTS_COMPARE_H
#define TN_TESTS_COMPARE_H

#include "ir/eval.h"
#include "ir/samples.h"

typedef struct comparison {
    bool is_equal;
    int64_t n_unknown; /* elements of which nothing was asked */
    double worst;      /* largest |difference| / (unit roundoff * magnitude) of the known ones */
    char message[256]; /* the first element that differs; "" when is_equal */
} comparison;

comparison compare_tensors(const eval_tensor *got, const eval_tensor *want, double factor);

/* A tensor over someone else's data, contiguous and row-major; nothing to free. */
eval_tensor tensor_view(tn_dtype dtype, int rank, const int64_t *dims, const void *data);

/* A tensor of zeros with the sizes that the sampler gives the type's extents; false: no memory. To be freed, also then,
 * with eval_tensor_free, as those of: */
bool tensor_of_sizes(const sampler *s, const tn_graph *g, const tn_type *type, eval_tensor *t);
/* ... an input for parameter i of g, filled by the sampler. */
bool tensor_sampled(sampler *s, const tn_graph *g, size_t i, eval_tensor *t);

#endif
