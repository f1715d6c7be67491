/* Losses, as models that were exported with their training head have them. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <string.h>

/* Loss of each element: -scores[target] * weight[target], 0 where the target is ignored. With the
 * reduction of the attribute; the mean is weighted. */
static tn_val reduced_loss(conversion *c, tn_val scores, tn_val target, tn_val weights) {
    const char *reduction = read_text(c, "reduction", "mean");
    tn_type type = tn_type_of(scores);
    target = tn_convert(target, TN_I64);
    /* One along the classes where the class is the target. */
    tn_val classes = iota_dims(c, TN_I64, type.rank, type.dims, 1);
    tn_val hit = tn_equal(classes, tn_expand_dims(target, TN_INTS(1)));
    if (has_attribute(c, "ignore_index")) {
        tn_val ignored = tn_scalar_int(c->g, TN_I64, read_int(c, "ignore_index", 0));
        hit = tn_and(hit, tn_not_equal(classes, ignored));
    }
    tn_val zero = scalar_like(scores, 0);
    tn_val own = tn_is_valid(weights) ? broadcast_like(c, along_axis(c, weights, 1, type.rank), scores)
                                      : broadcast_like(c, scalar_like(scores, 1), scores);
    tn_val weight = tn_reduce("sum", tn_select(hit, own, zero), TN_INTS(1), false);
    tn_val loss = tn_neg(tn_reduce("sum", tn_select(hit, tn_mul(scores, own), zero), TN_INTS(1), false));
    if (strcmp(reduction, "none") == 0) return loss;
    tn_val sum = tn_reduce("sum", loss, TN_NO_INTS, false);
    return strcmp(reduction, "sum") == 0 ? sum : tn_div(sum, tn_reduce("sum", weight, TN_NO_INTS, false));
}

static bool check_ranks(conversion *c, tn_val scores, tn_val target) {
    if (!tn_is_valid(scores) || !tn_is_valid(target)) return false;
    return (tn_rank(scores) >= 2 && tn_rank(target) == tn_rank(scores) - 1) ||
           node_error(c, TN_ERR_SHAPE, "the scores have rank %d, the target rank %d", tn_rank(scores), tn_rank(target));
}

void convert_nll_loss(conversion *c) {
    tn_val scores = input(c, 0), target = input(c, 1);
    if (check_ranks(c, scores, target)) output(c, 0, reduced_loss(c, scores, target, input(c, 2)));
}

void convert_softmax_cross_entropy(conversion *c) {
    tn_val scores = input(c, 0), target = input(c, 1);
    if (!check_ranks(c, scores, target)) return;
    tn_val log_probability = tn_log_softmax(scores, 1);
    output(c, 0, reduced_loss(c, log_probability, target, input(c, 2)));
    output(c, 1, log_probability);
}
