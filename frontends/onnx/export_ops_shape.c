/* Writers of views: reshape, transpose, slice, pad, concat, reverse. */
#include "frontends/onnx/export_ops.h"

#include <string.h>

/* The shape to reshape to. A size that is no number can be left for ONNX to infer when it is the only one, and no
 * other is 0 (then nothing would tell it). */
static label *target_shape(writing *w, const tn_type *type, bool *allows_zero) {
    int64_t numbers[TN_MAX_RANK];
    int n_symbolic = 0;
    bool has_zero = false;
    for (int i = 0; i < type->rank; i++) {
        bool is_number = dim_is_const(export_dims(w->x), type->dims[i], &numbers[i]);
        if (!is_number) numbers[i] = -1;
        n_symbolic += !is_number;
        has_zero |= numbers[i] == 0;
    }
    *allows_zero = has_zero || n_symbolic > 1;
    if (n_symbolic == 0 || (n_symbolic == 1 && !has_zero)) return numbers_label(w->x, numbers, type->rank);
    return dims_label(w->x, w->b, w->f, type->dims, type->rank);
}

/* A reduction that nobody else reads can keep the axes that the reshape puts back. */
static bool keeps_axes(writing *w) {
    value_id v = w->n->operands[0];
    const node *n = graph_node_of(w->f->g, v);
    if ((n->op != TN_OP_reduce && n->op != TN_OP_mean) || w->f->uses[v] != 1) return false;
    tn_type kept = *graph_type(w->f->g, n->operands[0]);
    const attr *axes = attr_find(&n->attrs, ATTR_axes);
    kept.dtype = result_type(w, 0)->dtype;
    for (uint32_t i = 0; i < axes->ints.n; i++) kept.dims[axes->ints.items[i]] = dim_const(export_dims(w->x), 1);
    made_node *made = w->f->values[v]->maker;
    if (!type_equal(&kept, result_type(w, 0)) || !made) return false;
    for (int i = 0; i < made->n_attributes; i++)
        if (strcmp(made->attributes[i].name, "keepdims") == 0) {
            made->attributes[i].i = 1;
            made->outputs[0]->wanted = NULL;
            give(w, 0, made->outputs[0]);
            return true;
        }
    return false;
}

void write_reshape(writing *w) {
    bool allows_zero;
    if (keeps_axes(w)) return;
    label *shape = target_shape(w, result_type(w, 0), &allows_zero);
    made_node *n = EMIT_NODE(w, "Reshape", operand(w, 0), shape);
    if (allows_zero) set_int(w->x, n, "allowzero", 1);
    give(w, 0, n->outputs[0]);
}

void write_transpose(writing *w) {
    const attr *perm = attr_find(&w->n->attrs, ATTR_perm);
    give(w, 0, emit_permuted(w, operand(w, 0), perm->ints.items, (int)perm->ints.n));
}

/* A position from the start, or from the end where that is a number and the other is not. */
static tn_dim nearer_end(writing *w, tn_dim position, tn_dim extent) {
    dim_table *t = export_dims(w->x);
    int64_t before_end;
    tn_dim from_end = dim_sub(t, position, extent);
    bool is_simple = dim_is_const(t, position, NULL) || !dim_is_const(t, from_end, &before_end) || before_end >= 0;
    return is_simple ? position : from_end;
}

void write_slice(writing *w) {
    const tn_type *x = operand_type(w, 0);
    dim_table *t = export_dims(w->x);
    tn_dim starts[TN_MAX_RANK], ends[TN_MAX_RANK];
    int64_t axes[TN_MAX_RANK], steps[TN_MAX_RANK];
    int n = 0;
    bool is_strided = false;
    for (int i = 0; i < x->rank; i++) {
        tn_dim start = attr_find(&w->n->attrs, ATTR_start)->dims.items[i],
               limit = attr_find(&w->n->attrs, ATTR_limit)->dims.items[i];
        int64_t step = attr_entry(&w->n->attrs, ATTR_stride, i, 1);
        if (dim_is_value(t, start, 0) && limit == x->dims[i] && step == 1) continue;
        starts[n] = nearer_end(w, start, x->dims[i]);
        ends[n] = limit == x->dims[i] && !dim_is_const(t, limit, NULL) ? dim_const(t, INT64_MAX >> 1)
                                                                       : nearer_end(w, limit, x->dims[i]);
        axes[n] = i;
        is_strided |= step != 1;
        steps[n++] = step;
    }
    if (n == 0) {
        give(w, 0, operand(w, 0));
        return;
    }
    label *inputs[] = {operand(w, 0), dims_label(w->x, w->b, w->f, starts, n), dims_label(w->x, w->b, w->f, ends, n),
                       numbers_label(w->x, axes, n), is_strided ? numbers_label(w->x, steps, n) : NULL};
    give(w, 0, emit(w, "Slice", inputs, is_strided ? 5 : 4));
}

void write_reverse(writing *w) {
    const attr *axes = attr_find(&w->n->attrs, ATTR_axes);
    int64_t last[TN_MAX_RANK], before_first[TN_MAX_RANK], steps[TN_MAX_RANK];
    int n = (int)axes->ints.n;
    for (int i = 0; i < n; i++) {
        last[i] = steps[i] = -1;
        before_first[i] = -INT64_MAX;
    }
    if (n == 0) {
        give(w, 0, operand(w, 0));
        return;
    }
    give(w, 0,
         EMIT(w, "Slice", operand(w, 0), numbers_label(w->x, last, n), numbers_label(w->x, before_first, n),
              numbers_label(w->x, axes->ints.items, n), numbers_label(w->x, steps, n)));
}

/* Negative pads crop in ONNX too. Of elements between others none are left (export_lower_pad). */
void write_pad(writing *w) {
    int rank = operand_type(w, 0)->rank;
    tn_dim pads[2 * TN_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        pads[i] = attr_find(&w->n->attrs, ATTR_low)->dims.items[i];
        pads[rank + i] = attr_find(&w->n->attrs, ATTR_high)->dims.items[i];
    }
    if (rank == 0) {
        give(w, 0, operand(w, 0));
        return;
    }
    give_work(w, 0,
              EMIT(w, "Pad", work_operand(w, 0), dims_label(w->x, w->b, w->f, pads, 2 * rank), work_operand(w, 1)));
}

void write_concat(writing *w) {
    label **labels = ARENA_ARRAY(&w->x->memory, label *, w->n->n_operands);
    if (!labels) {
        export_no_memory(w->x);
        return;
    }
    for (uint32_t i = 0; i < w->n->n_operands; i++) labels[i] = operand(w, i);
    made_node *n = emit_node(w, "Concat", labels, (int)w->n->n_operands, 1);
    set_int(w->x, n, "axis", attr_int(&w->n->attrs, ATTR_axis, 0));
    give(w, 0, n->outputs[0]);
}
