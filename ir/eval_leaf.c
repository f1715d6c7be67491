/* Reference evaluation of the leaves: param constant iota dim token.
 *
 * in:  the frame's inputs, constant data, the frame's symbols
 * out: their values; parameters and constants are borrowed, not copied
 */
#include "ir/eval_state.h"

bool eval_param(eval_args *c) {
    int64_t index = attr_int(&c->node->attrs, ATTR_index, -1);
    if (index < 0 || (size_t)index >= c->graph->n_params)
        return eval_error(c->state, TN_ERR_VERIFY, "no such parameter");
    eval_tensor input = *c->state->frame->inputs[index];
    input.borrowed = true;
    return eval_hand_on(c, 0, &input);
}

bool eval_constant(eval_args *c) {
    const attr *a = attr_find(&c->node->attrs, ATTR_value);
    eval_tensor *t = &c->results[0];
    if (!a || !a->data || a->data->bytes < (size_t)t->n * eval_dtype_bytes(t->dtype))
        return eval_error(c->state, TN_ERR_VERIFY, "the data are shorter than the type");
    t->data = (void *)(uintptr_t)a->data->data; /* only read */
    t->borrowed = true;
    return true;
}

bool eval_iota(eval_args *c) {
    eval_tensor *t = &c->results[0];
    int64_t axis = attr_int(&c->node->attrs, ATTR_axis, 0);
    if (axis < 0 || axis >= t->rank)
        return eval_error(c->state, TN_ERR_VERIFY, "axis %lld is out of range", (long long)axis);
    int64_t strides[TN_MAX_RANK];
    eval_strides(t->rank, t->dims, strides);
    for (int64_t k = 0; k < t->n; k++) {
        eval_store_int(t, k, k / strides[axis] % t->dims[axis]);
        if (t->magnitude) t->magnitude[k] = eval_load_float(t, k);
    }
    return true;
}

bool eval_dim(eval_args *c) {
    const attr *dim = attr_find(&c->node->attrs, ATTR_dim);
    int64_t extent;
    if (!dim || !eval_dim_value(c, dim->dim, &extent)) return false;
    eval_store_int(&c->results[0], 0, extent);
    return true;
}

bool eval_token(eval_args *c) {
    (void)c;
    return true;
}
