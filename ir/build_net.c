/* Building the composites of neural networks that have arguments of their own. */
#include "ir/build.h"

static tn_val with_float(tn_location at, tn_op op, tn_val x, attr_name name, double number) {
    build b;
    attr attrs = build_float(name, number);
    return build_open_op(&b, at, op, &x, 1) ? build_apply(&b, op, &x, 1, &attrs, 1) : BUILD_INVALID;
}

tn_val tn_leaky_relu_at(tn_location at, tn_val x, double alpha) {
    return with_float(at, TN_OP_leaky_relu, x, ATTR_alpha, alpha);
}

tn_val tn_elu_at(tn_location at, tn_val x, double alpha) { return with_float(at, TN_OP_elu, x, ATTR_alpha, alpha); }

static tn_val norm(tn_location at, tn_op op, const tn_val *values, int n, int axis, double epsilon) {
    build b;
    int64_t first;
    if (!build_open_op(&b, at, op, values, n) || !build_axis(&b, values[0], axis, tn_rank(values[0]), &first))
        return BUILD_INVALID;
    attr attrs[] = {build_int(ATTR_axis, first), build_float(ATTR_epsilon, epsilon)};
    return build_apply(&b, op, values, n, attrs, 2);
}

tn_val tn_layer_norm_at(tn_location at, tn_val x, tn_val scale, tn_val bias, int axis, double epsilon) {
    tn_val values[] = {x, scale, bias};
    return norm(at, TN_OP_layer_norm, values, 3, axis, epsilon);
}

tn_val tn_rms_norm_at(tn_location at, tn_val x, tn_val scale, int axis, double epsilon) {
    tn_val values[] = {x, scale};
    return norm(at, TN_OP_rms_norm, values, 2, axis, epsilon);
}

tn_val tn_batch_norm_at(tn_location at, tn_val x, tn_val scale, tn_val bias, tn_val mean, tn_val variance,
                        double epsilon) {
    build b;
    tn_val values[] = {x, scale, bias, mean, variance};
    attr attrs = build_float(ATTR_epsilon, epsilon);
    return build_open_op(&b, at, TN_OP_batch_norm, values, 5) ? build_apply(&b, TN_OP_batch_norm, values, 5, &attrs, 1)
                                                              : BUILD_INVALID;
}

tn_val tn_attention_at(tn_location at, tn_val q, tn_val k, tn_val v, tn_val mask, double scale, bool causal) {
    build b;
    tn_val values[] = {q, k, v, mask};
    /* No graph: no mask. A mask that went wrong has no graph either, but left an error. */
    int n = mask.graph ? 4 : 3;
    attr attrs[2];
    uint32_t n_attrs = 0;
    if (!build_open_op(&b, at, TN_OP_attention, values, n)) return BUILD_INVALID;
    if (scale != 0) attrs[n_attrs++] = build_float(ATTR_scale, scale);
    if (causal) attrs[n_attrs++] = build_int(ATTR_causal, 1);
    return build_apply(&b, TN_OP_attention, values, n, attrs, n_attrs);
}
