/* Writers of reductions, running sums, sorting, pooling, softmax and normalisation. */
#include "frontends/onnx/export_ops.h"

static void give_with_axis(writing *w, made_node *n) {
    set_int(w->x, n, "axis", attr_int(&w->n->attrs, ATTR_axis, 0));
    give_work(w, 0, n->outputs[0]);
}

/* ---- Reductions ----------------------------------------------------------------------------------------- */

static label *reduced(writing *w, const char *op) {
    const attr *axes = attr_find(&w->n->attrs, ATTR_axes);
    made_node *n = EMIT_NODE(w, op, work_operand(w, 0), numbers_label(w->x, axes->ints.items, (int)axes->ints.n));
    set_int(w->x, n, "keepdims", 0);
    return n->outputs[0];
}

/* The greatest or least of integers that were converted to a wider dtype. Of none it is the end of that dtype, which
 * must become the end of their own: false or true of bools. */
static label *narrowed(writing *w, label *l) {
    int bits = (int)tn_dtype_bits(w->dtype);
    if (w->dtype == TN_BOOL) return EMIT(w, "Greater", l, scalar_label(w->x, w->work, 0));
    bool is_signed = dtype_in(DTYPES_SINT, w->dtype);
    double half = (double)(INT64_C(1) << (bits - 1)), least = is_signed ? -half : 0,
           greatest = is_signed ? half - 1 : 2 * half - 1;
    l = EMIT(w, "Clip", l, scalar_label(w->x, w->work, least), scalar_label(w->x, w->work, greatest));
    return emit_cast(w, l, w->work, w->dtype);
}

static bool may_be_empty(const writing *w) {
    const attr *axes = attr_find(&w->n->attrs, ATTR_axes);
    int64_t extent;
    for (uint32_t i = 0; i < axes->ints.n; i++)
        if (!dim_is_const(export_dims(w->x), operand_type(w, 0)->dims[axes->ints.items[i]], &extent) || extent == 0)
            return true;
    return false;
}

/* Bools are reduced as small integers, of which `and` is the least and `or` the greatest. */
void write_reduce(writing *w) {
    static const char *const ops[] = {
        [REDUCE_SUM] = "ReduceSum", [REDUCE_PROD] = "ReduceProd", [REDUCE_MAX] = "ReduceMax",
        [REDUCE_MIN] = "ReduceMin", [REDUCE_AND] = "ReduceMin",   [REDUCE_OR] = "ReduceMax",
        [REDUCE_ARGMAX] = "ArgMax", [REDUCE_ARGMIN] = "ArgMin",
    };
    int64_t kind = attr_int(&w->n->attrs, ATTR_kind, 0);
    if (kind != REDUCE_ARGMAX && kind != REDUCE_ARGMIN) {
        bool is_end = kind != REDUCE_SUM && kind != REDUCE_PROD && !dtype_is_float(w->work) && w->work != w->dtype;
        label *l = reduced(w, ops[kind]);
        if (is_end && may_be_empty(w))
            give(w, 0, narrowed(w, l));
        else
            give_work(w, 0, l);
        return;
    }
    made_node *n = EMIT_NODE(w, ops[kind], work_operand(w, 0));
    set_int(w->x, n, "axis", attr_find(&w->n->attrs, ATTR_axes)->ints.items[0]);
    set_int(w->x, n, "keepdims", 0);
    if (attr_int(&w->n->attrs, ATTR_select_last, 0)) set_int(w->x, n, "select_last_index", 1);
    give(w, 0, n->outputs[0]);
}

void write_mean(writing *w) { give_work(w, 0, reduced(w, "ReduceMean")); }

void write_cumulate(writing *w) {
    made_node *n = EMIT_NODE(w, "CumSum", work_operand(w, 0), number_label(w->x, attr_int(&w->n->attrs, ATTR_axis, 0)));
    if (attr_int(&w->n->attrs, ATTR_exclusive, 0)) set_int(w->x, n, "exclusive", 1);
    if (attr_int(&w->n->attrs, ATTR_reverse, 0)) set_int(w->x, n, "reverse", 1);
    give_work(w, 0, n->outputs[0]);
}

/* ---- Sorting -------------------------------------------------------------------------------------------- */

/* Values and indices of the first k. */
static made_node *emit_top_k(writing *w, tn_dim k) {
    label *inputs[] = {work_operand(w, 0), dim_label(w->x, w->b, w->f, k)};
    made_node *n = emit_node(w, "TopK", inputs, 2, 2);
    set_int(w->x, n, "axis", attr_int(&w->n->attrs, ATTR_axis, 0));
    set_int(w->x, n, "largest", attr_int(&w->n->attrs, ATTR_descending, 0) != 0);
    return n;
}

void write_top_k(writing *w) {
    made_node *n = emit_top_k(w, attr_find(&w->n->attrs, ATTR_k)->dim);
    give_work(w, 0, n->outputs[0]);
    give(w, 1, n->outputs[1]);
}

/* All of them by the first; the others follow it. */
void write_sort(writing *w) {
    int64_t axis = attr_int(&w->n->attrs, ATTR_axis, 0);
    made_node *sorted = emit_top_k(w, operand_type(w, 0)->dims[axis]);
    give_work(w, 0, sorted->outputs[0]);
    for (uint32_t i = 1; i < w->n->n_operands; i++) {
        made_node *n = EMIT_NODE(w, "GatherElements", operand(w, i), sorted->outputs[1]);
        set_int(w->x, n, "axis", axis);
        give(w, i, n->outputs[0]);
    }
}

/* ---- Pooling ---------------------------------------------------------------------------------------------- */

bool pool_is_direct(const dim_table *t, const tn_type *x, const attr_list *attrs, bool is_mean, int opset) {
    if (x->rank < 3 || x->rank > 5) return false;
    for (int i = 0; i < x->rank - 2; i++) {
        int64_t low = 0, high = 0, window = attr_entry(attrs, ATTR_window, i, 1);
        tn_dim none = DIM_INVALID, before = attr_dim_entry(attrs, ATTR_low, i, none),
               after = attr_dim_entry(attrs, ATTR_high, i, none);
        if ((before != none && !dim_is_const(t, before, &low)) || (after != none && !dim_is_const(t, after, &high)))
            return false;
        /* Runtimes refuse windows that lie in the padding alone. */
        if (low < 0 || high < 0 || low >= window || high >= window) return false;
        if (is_mean && opset < 19 && attr_entry(attrs, ATTR_dilation, i, 1) != 1) return false;
    }
    return true;
}

/* strides, dilations and pads of the spatial axes, where they are not what ONNX takes anyway. */
static void set_window(writing *w, made_node *n, int spatial) {
    int64_t strides[TN_MAX_RANK], dilations[TN_MAX_RANK], pads[2 * TN_MAX_RANK];
    bool is_strided = false, is_dilated = false, is_padded = false;
    for (int i = 0; i < spatial; i++) {
        tn_dim none = dim_const(export_dims(w->x), 0);
        strides[i] = attr_entry(&w->n->attrs, ATTR_stride, i, 1);
        dilations[i] = attr_entry(&w->n->attrs, ATTR_dilation, i, 1);
        dim_is_const(export_dims(w->x), attr_dim_entry(&w->n->attrs, ATTR_low, i, none), &pads[i]);
        dim_is_const(export_dims(w->x), attr_dim_entry(&w->n->attrs, ATTR_high, i, none), &pads[spatial + i]);
        is_strided |= strides[i] != 1;
        is_dilated |= dilations[i] != 1;
        is_padded |= pads[i] != 0 || pads[spatial + i] != 0;
    }
    if (is_strided) set_ints(w->x, n, "strides", strides, spatial);
    if (is_dilated) set_ints(w->x, n, "dilations", dilations, spatial);
    if (is_padded) set_ints(w->x, n, "pads", pads, 2 * spatial);
}

void write_pool(writing *w) {
    const attr *window = attr_find(&w->n->attrs, ATTR_window);
    made_node *n = EMIT_NODE(w, w->row->onnx, work_operand(w, 0));
    set_ints(w->x, n, "kernel_shape", window->ints.items, (int)window->ints.n);
    set_window(w, n, (int)window->ints.n);
    if (attr_int(&w->n->attrs, ATTR_count_padding, 0)) set_int(w->x, n, "count_include_pad", 1);
    give_work(w, 0, n->outputs[0]);
}

void write_conv(writing *w) {
    int spatial = operand_type(w, 0)->rank - 2;
    if (!attr_at_most(&w->n->attrs, ATTR_input_dilation, 1)) {
        write_conv_transposed(w);
        return;
    }
    made_node *n = EMIT_NODE(w, "Conv", work_operand(w, 0), work_operand(w, 1));
    set_window(w, n, spatial);
    if (attr_int(&w->n->attrs, ATTR_groups, 0) > 1) set_int(w->x, n, "group", attr_int(&w->n->attrs, ATTR_groups, 1));
    give_work(w, 0, n->outputs[0]);
}

/* ---- Along an axis, normalisation --------------------------------------------------------------------------- */

void write_axis(writing *w) { give_with_axis(w, EMIT_NODE(w, w->row->onnx, work_operand(w, 0))); }

void write_norm(writing *w) {
    label *labels[5];
    for (uint32_t i = 0; i < w->n->n_operands; i++) labels[i] = work_operand(w, i);
    made_node *n = emit_node(w, w->row->onnx, labels, (int)w->n->n_operands, 1);
    if (w->n->op != TN_OP_batch_norm) set_int(w->x, n, "axis", attr_int(&w->n->attrs, ATTR_axis, 0));
    set_float(w->x, n, "epsilon", attr_float(&w->n->attrs, ATTR_epsilon, 1e-5));
    give_work(w, 0, n->outputs[0]);
}

/* ---- Activations with numbers --------------------------------------------------------------------------------- */

void write_alpha(writing *w) {
    made_node *n = EMIT_NODE(w, w->row->onnx, work_operand(w, 0));
    set_float(w->x, n, "alpha", attr_float(&w->n->attrs, ATTR_alpha, w->n->op == TN_OP_leaky_relu ? 0.01 : 1));
    give_work(w, 0, n->outputs[0]);
}

void write_hard_sigmoid(writing *w) {
    made_node *n = EMIT_NODE(w, w->row->onnx, work_operand(w, 0));
    set_float(w->x, n, "alpha", attr_float(&w->n->attrs, ATTR_alpha, 1.0 / 6));
    set_float(w->x, n, "beta", attr_float(&w->n->attrs, ATTR_beta, 0.5));
    give_work(w, 0, n->outputs[0]);
}

void write_gelu(writing *w) {
    made_node *n = EMIT_NODE(w, "Gelu", work_operand(w, 0));
    if (attr_int(&w->n->attrs, ATTR_approximate, 0)) set_text(w->x, n, "approximate", "tanh");
    give_work(w, 0, n->outputs[0]);
}
