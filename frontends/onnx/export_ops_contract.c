/* Writers of products, transposed convolution, gather and scatter. */
#include "frontends/onnx/export_ops.h"

#include "frontends/onnx/tensorproto.h"

#include <string.h>

/* ---- Products ----------------------------------------------------------------------------------------------- */

/* The axes of one operand of a dot. */
typedef struct dot_side {
    int rank, n_batch, n_free;
    int64_t batch[TN_MAX_RANK], contract[TN_MAX_RANK], free[TN_MAX_RANK];
} dot_side;

static int read_pair(const writing *w, attr_name name, int side, int64_t *axes) {
    const attr *pair = attr_find(&w->n->attrs, name);
    int n = pair ? (int)pair->split : 0;
    for (int i = 0; i < n; i++) axes[i] = pair->ints.items[side * n + i];
    return n;
}

static dot_side read_side(const writing *w, int side, int *n_contract) {
    dot_side s = {.rank = operand_type(w, (uint32_t)side)->rank};
    uint32_t used = 0;
    s.n_batch = read_pair(w, ATTR_batch, side, s.batch);
    *n_contract = read_pair(w, ATTR_contract, side, s.contract);
    for (int i = 0; i < s.n_batch; i++) used |= UINT32_C(1) << s.batch[i];
    for (int i = 0; i < *n_contract; i++) used |= UINT32_C(1) << s.contract[i];
    for (int i = 0; i < s.rank; i++)
        if (!(used >> i & 1)) s.free[s.n_free++] = i;
    return s;
}

/* An operand with its axes in the order that MatMul takes: batch, then the free ones with the depth among them. */
static label *arranged(writing *w, const dot_side *s, uint32_t i, int n_before_depth) {
    int64_t perm[TN_MAX_RANK];
    int n = 0;
    for (int k = 0; k < s->n_batch; k++) perm[n++] = s->batch[k];
    for (int k = 0; k < n_before_depth; k++) perm[n++] = s->free[k];
    perm[n++] = s->contract[0];
    for (int k = n_before_depth; k < s->n_free; k++) perm[n++] = s->free[k];
    return emit_permuted(w, work_operand(w, i), perm, s->rank);
}

/* One letter an axis: those of a side that meet an axis of the other have the same. */
static void write_einsum(writing *w, const dot_side sides[2], int n_contract) {
    char text[4 * TN_MAX_RANK + 8], *at = text, letters[2][TN_MAX_RANK], next = 'a', result[TN_MAX_RANK];
    int n = 0;
    for (int k = 0; k < sides[0].n_batch; k++)
        result[n++] = letters[0][sides[0].batch[k]] = letters[1][sides[1].batch[k]] = next++;
    for (int k = 0; k < n_contract; k++) letters[0][sides[0].contract[k]] = letters[1][sides[1].contract[k]] = next++;
    for (int side = 0; side < 2; side++)
        for (int k = 0; k < sides[side].n_free; k++) result[n++] = letters[side][sides[side].free[k]] = next++;
    for (int side = 0; side < 2; side++) {
        for (int k = 0; k < sides[side].rank; k++) *at++ = letters[side][k];
        *at++ = side == 0 ? ',' : '-';
    }
    *at++ = '>';
    for (int k = 0; k < n; k++) *at++ = result[k];
    *at = '\0';
    const char *equation = arena_strdup(&w->x->memory, text);
    made_node *made = EMIT_NODE(w, "Einsum", work_operand(w, 0), work_operand(w, 1));
    if (!equation) {
        export_no_memory(w->x);
        return;
    }
    set_text(w->x, made, "equation", equation);
    give_work(w, 0, made->outputs[0]);
}

/* Times a vector, with the depth not last: the vector goes to the left, where depth times columns is what MatMul takes.
 * (Besides, ONNX Runtime 1.32 folds a Transpose into a MatMul by a vector wrongly.) */
static bool is_vector_first(const dot_side sides[2]) {
    return sides[1].rank == 1 && sides[0].n_free > 0 && sides[0].contract[0] != sides[0].rank - 1;
}

/* MatMul where one axis is summed over and no axes need to be joined for it. */
void write_dot(writing *w) {
    int n_contract;
    dot_side sides[2] = {read_side(w, 0, &n_contract), read_side(w, 1, &n_contract)};
    bool one_column = sides[1].n_free <= 1, is_batched = sides[0].n_batch > 0;
    bool fits = n_contract == 1 && one_column && (!is_batched || (sides[0].n_free == 1 && sides[1].n_free == 1));
    if (!fits) {
        write_einsum(w, sides, n_contract);
        return;
    }
    bool is_turned = is_vector_first(sides);
    label *a = arranged(w, &sides[0], 0, sides[0].n_free - is_turned), *b = arranged(w, &sides[1], 1, 0);
    give_work(w, 0, is_turned ? EMIT(w, "MatMul", b, a) : EMIT(w, "MatMul", a, b));
}

void write_matmul(writing *w) { give_work(w, 0, EMIT(w, "MatMul", work_operand(w, 0), work_operand(w, 1))); }

/* ---- Transposed convolution ------------------------------------------------------------------------------------ */

/* What the input's borders were padded with, seen from the output: ConvTranspose crops that. */
static bool crop(const dim_table *t, const tn_type *kernel, const attr_list *attrs, attr_name name, int i,
                 int64_t *cropped) {
    int64_t taps, padded = 0;
    tn_dim given = attr_dim_entry(attrs, name, i, DIM_INVALID);
    if (!dim_is_const(t, kernel->dims[2 + i], &taps) || (given != DIM_INVALID && !dim_is_const(t, given, &padded)))
        return false;
    *cropped = (taps - 1) * attr_entry(attrs, ATTR_dilation, i, 1) - padded;
    return true;
}

bool conv_is_transposed(const dim_table *t, const tn_type *kernel, const attr_list *attrs) {
    int64_t groups = attr_int(attrs, ATTR_groups, 1), features, low, high;
    if (!dim_is_const(t, kernel->dims[0], &features) || kernel->rank < 3 || kernel->rank > 5) return false;
    if (groups < 1) groups = 1;
    for (int i = 0; i < kernel->rank - 2; i++) {
        if (attr_entry(attrs, ATTR_stride, i, 1) != 1 || !crop(t, kernel, attrs, ATTR_low, i, &low) ||
            !crop(t, kernel, attrs, ATTR_high, i, &high))
            return false;
        /* More at the end is output_padding, which must be less than the stride. */
        if (low < 0 || high <= -attr_entry(attrs, ATTR_input_dilation, i, 1)) return false;
    }
    return features % groups == 0;
}

/* [o, c / groups, k...] as [c, o / groups, k...] with each spatial axis from end to start. */
static label *transposed_kernel(writing *w, int64_t groups) {
    dim_table *t = export_dims(w->x);
    const tn_type *type = operand_type(w, 1);
    tn_dim split[TN_MAX_RANK + 1], joined[TN_MAX_RANK];
    int64_t perm[TN_MAX_RANK + 1], axes[TN_MAX_RANK], last[TN_MAX_RANK], end[TN_MAX_RANK];
    int rank = type->rank, spatial = rank - 2;
    split[0] = dim_const(t, groups);
    split[1] = joined[1] = dim_exact_div(t, type->dims[0], split[0]);
    joined[0] = dim_mul_const(t, type->dims[1], groups);
    for (int i = 1; i < rank; i++) split[i + 1] = type->dims[i];
    for (int i = 2; i < rank; i++) joined[i] = type->dims[i];
    for (int i = 0; i <= rank; i++) perm[i] = i == 1 ? 2 : i == 2 ? 1 : i;
    for (int i = 0; i < spatial; i++) {
        axes[i] = 2 + i;
        last[i] = -1;
        end[i] = -INT64_MAX;
    }
    label *l = work_operand(w, 1);
    l = EMIT(w, "Reshape", l, dims_label(w->x, w->b, w->f, split, rank + 1));
    l = emit_permuted(w, l, perm, rank + 1);
    l = EMIT(w, "Reshape", l, dims_label(w->x, w->b, w->f, joined, rank));
    return EMIT(w, "Slice", l, numbers_label(w->x, last, spatial), numbers_label(w->x, end, spatial),
                numbers_label(w->x, axes, spatial), numbers_label(w->x, last, spatial));
}

void write_conv_transposed(writing *w) {
    const attr_list *attrs = &w->n->attrs;
    int spatial = operand_type(w, 0)->rank - 2;
    int64_t groups = attr_int(attrs, ATTR_groups, 1), strides[TN_MAX_RANK], dilations[TN_MAX_RANK],
            pads[2 * TN_MAX_RANK], more[TN_MAX_RANK];
    if (groups < 1) groups = 1;
    for (int i = 0; i < spatial; i++) {
        strides[i] = attr_entry(attrs, ATTR_input_dilation, i, 1);
        dilations[i] = attr_entry(attrs, ATTR_dilation, i, 1);
        crop(export_dims(w->x), operand_type(w, 1), attrs, ATTR_low, i, &pads[i]);
        crop(export_dims(w->x), operand_type(w, 1), attrs, ATTR_high, i, &pads[spatial + i]);
        more[i] = pads[spatial + i] < 0 ? -pads[spatial + i] : 0;
        pads[spatial + i] += more[i];
    }
    made_node *n = EMIT_NODE(w, "ConvTranspose", work_operand(w, 0), transposed_kernel(w, groups));
    set_ints(w->x, n, "strides", strides, spatial);
    set_ints(w->x, n, "dilations", dilations, spatial);
    set_ints(w->x, n, "pads", pads, 2 * spatial);
    set_ints(w->x, n, "output_padding", more, spatial);
    if (groups > 1) set_int(w->x, n, "group", groups);
    give_work(w, 0, n->outputs[0]);
}

/* ---- Gather, scatter --------------------------------------------------------------------------------------------- */

/* Of indices [..., 1] the [...]: what they were reshaped from, when that is it. */
static label *without_last_axis(writing *w, uint32_t i) {
    const node *n = graph_node_of(w->f->g, w->n->operands[i]);
    const tn_type *type = operand_type(w, i);
    if (n->op == TN_OP_reshape) {
        tn_type before = *graph_type(w->f->g, n->operands[0]),
                wanted = type_make((tn_dtype)type->dtype, type->rank - 1, type->dims);
        if (type_equal(&before, &wanted)) return value_label(w->x, w->f, n->operands[0]);
    }
    int64_t last = -1;
    return EMIT(w, "Squeeze", operand(w, i), numbers_label(w->x, &last, 1));
}

/* data[..., index, ...] has the axes of the indices where the indexed one was: they go to the front. */
static void write_take(writing *w, int64_t axis) {
    int n_index = operand_type(w, 1)->rank - 1, rank = result_type(w, 0)->rank;
    int64_t perm[TN_MAX_RANK];
    made_node *n = EMIT_NODE(w, "Gather", operand(w, 0), without_last_axis(w, 1));
    if (axis != 0) set_int(w->x, n, "axis", axis);
    for (int i = 0; i < rank; i++) perm[i] = i < n_index ? axis + i : i < n_index + axis ? i - n_index : i;
    give(w, 0, emit_permuted(w, n->outputs[0], perm, rank));
}

static label *wide_indices(writing *w, uint32_t i) {
    return emit_cast(w, operand(w, i), (tn_dtype)operand_type(w, i)->dtype, TN_I64);
}

/* The indexed axes are the first behind the batch axes (export_lower_gather), but for a single one. */
void write_gather(writing *w) {
    const attr *axes = attr_find(&w->n->attrs, ATTR_axes);
    int64_t batch = attr_int(&w->n->attrs, ATTR_batch_dims, 0);
    if (batch == 0 && axes->ints.n == 1) {
        write_take(w, axes->ints.items[0]);
        return;
    }
    made_node *n = EMIT_NODE(w, "GatherND", operand(w, 0), wide_indices(w, 1));
    if (batch > 0) set_int(w->x, n, "batch_dims", batch);
    give(w, 0, n->outputs[0]);
}

void write_scatter(writing *w) {
    static const char *const reductions[] = {[COMBINE_SET] = "none",
                                             [COMBINE_ADD] = "add",
                                             [COMBINE_MUL] = "mul",
                                             [COMBINE_MAX] = "max",
                                             [COMBINE_MIN] = "min"};
    int64_t combine = attr_int(&w->n->attrs, ATTR_combine, COMBINE_SET);
    made_node *n = EMIT_NODE(w, "ScatterND", work_operand(w, 0), wide_indices(w, 1), work_operand(w, 2));
    if (combine != COMBINE_SET) set_text(w->x, n, "reduction", reductions[combine]);
    give_work(w, 0, n->outputs[0]);
}
