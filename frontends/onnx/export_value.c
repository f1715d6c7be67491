/* Values of functions as values of graphs (see export.h).
 *
 * Constants, sizes and broadcasts are not written where they stand but where they are wanted: elementwise ops of ONNX
 * broadcast by themselves, so that most broadcasts are never written.
 */
#include "frontends/onnx/export.h"

#include "frontends/onnx/tensorproto.h"
#include "runtime/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool write_error(writing *w, tn_status status, const char *format, ...) {
    char reason[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return module_error(w->x->module, status, w->n->locations, "%s: %s", op_name((tn_op)w->n->op), reason);
}

/* ---- Nodes ------------------------------------------------------------------------------------------ */

made_node *emit_node(writing *w, const char *op, label *const *inputs, int n, int n_outputs) {
    return node_new(w->x, w->b, op, inputs, n, n_outputs);
}

label *emit(writing *w, const char *op, label *const *inputs, int n) {
    return node_new(w->x, w->b, op, inputs, n, 1)->outputs[0];
}

label *emit_cast(writing *w, label *l, tn_dtype from, tn_dtype to) {
    if (from == to) return l;
    made_node *n = EMIT_NODE(w, "Cast", l);
    set_int(w->x, n, "to", onnx_data_type_of(to));
    return n->outputs[0];
}

label *emit_permuted(writing *w, label *l, const int64_t *perm, int rank) {
    bool is_identity = true;
    for (int i = 0; i < rank; i++) is_identity &= perm[i] == i;
    if (is_identity) return l;
    made_node *n = EMIT_NODE(w, "Transpose", l);
    set_ints(w->x, n, "perm", perm, rank);
    return n->outputs[0];
}

label *emit_part(writing *w, label *l, int64_t axis, label *start, label *end, int64_t step) {
    return EMIT(w, "Slice", l, start, end, numbers_label(w->x, &axis, 1), numbers_label(w->x, &step, 1));
}

/* ---- Broadcasts --------------------------------------------------------------------------------------- */

/* Operand axis k of the node becomes result axis dims[k]. */
static int64_t broadcast_axis(const node *n, int k) { return attr_entry(&n->attrs, ATTR_dims, k, k); }

/* The operand with axes of extent 1 put in, so that its axes meet the result's when counted from the last. */
static label *aligned(exporter *x, inlined *f, const node *n, label *source) {
    int source_rank = graph_type(f->g, n->operands[0])->rank, rank = graph_type(f->g, n->first_result)->rank;
    if (source_rank == 0) return source;
    int64_t first = broadcast_axis(n, 0), put[TN_MAX_RANK];
    int n_put = 0;
    for (int64_t axis = first; axis < rank; axis++) {
        bool is_there = false;
        for (int k = 0; k < source_rank; k++) is_there |= broadcast_axis(n, k) == axis;
        if (!is_there) put[n_put++] = axis - first;
    }
    if (n_put == 0) return source;
    label *inputs[] = {source, numbers_label(x, put, n_put)};
    return node_new(x, f->b, "Unsqueeze", inputs, 2, 1)->outputs[0];
}

static label *make_broadcast(exporter *x, inlined *f, const node *n) {
    const tn_type *type = graph_type(f->g, n->first_result);
    label *source = aligned(x, f, n, value_label(x, f, n->operands[0]));
    label *inputs[] = {source, dims_label(x, f->b, f, type->dims, type->rank)};
    return type->rank == 0 ? source : node_new(x, f->b, "Expand", inputs, 2, 1)->outputs[0];
}

static const node *as_broadcast(const tn_graph *g, value_id v) {
    const node *n = graph_node_of(g, v);
    return n->op == TN_OP_broadcast ? n : NULL;
}

/* Whether operand v alone gives the result its extent along an axis. */
static bool covers(const writing *w, value_id v, int axis) {
    const tn_graph *g = w->f->g;
    const node *n = as_broadcast(g, v);
    if (!n) return true;
    const tn_type *source = graph_type(g, n->operands[0]);
    /* An axis of one element only has to be there. */
    if (dim_is_value(export_dims(w->x), graph_type(g, v)->dims[axis], 1))
        return source->rank > 0 && axis >= broadcast_axis(n, 0);
    for (int k = 0; k < source->rank; k++)
        if (broadcast_axis(n, k) == axis) return !dim_is_value(export_dims(w->x), source->dims[k], 1);
    return false;
}

/* ONNX's own broadcasting gives the result its shape when some operand covers each axis. */
static bool all_covered(const writing *w, uint32_t n_folded) {
    const tn_type *type = operand_type(w, 0);
    for (int axis = 0; axis < type->rank; axis++) {
        bool is_covered = false;
        for (uint32_t i = 0; i < w->n->n_operands && !is_covered; i++)
            is_covered = i >= n_folded || covers(w, w->n->operands[i], axis);
        if (!is_covered) return false;
    }
    return true;
}

static label *typed_operand(writing *w, uint32_t i, label *l) {
    tn_dtype dtype = (tn_dtype)operand_type(w, i)->dtype;
    return dtype == w->dtype ? emit_cast(w, l, dtype, w->work) : l;
}

void work_operands(writing *w, label **labels) {
    /* As many as can be from the last on are left to ONNX: the first operand is the one that is written out. */
    uint32_t n = w->n->n_operands, first = 0;
    bool folds_all = all_covered(w, n);
    for (uint32_t i = 0; i < n; i++) {
        const node *broadcast = as_broadcast(w->f->g, w->n->operands[i]);
        bool is_folded = broadcast && (folds_all || i > first);
        label *l = is_folded ? aligned(w->x, w->f, broadcast, value_label(w->x, w->f, broadcast->operands[0]))
                             : value_label(w->x, w->f, w->n->operands[i]);
        labels[i] = typed_operand(w, i, l);
    }
}

label *scalar_operand(writing *w, uint32_t i) {
    value_id v = w->n->operands[i];
    const node *broadcast = as_broadcast(w->f->g, v);
    if (broadcast) v = broadcast->operands[0];
    return graph_type(w->f->g, v)->rank == 0 ? typed_operand(w, i, value_label(w->x, w->f, v)) : NULL;
}

/* Every axis has one element but for the one that becomes axis 1 of the result, or axis 1 of a value of that rank. */
static bool is_by_channel(const writing *w, const tn_type *source, const node *broadcast) {
    int n_other = 0;
    bool has_channels = false;
    for (int k = 0; k < source->rank; k++) {
        int64_t axis = broadcast_axis(broadcast, k);
        bool is_one = dim_is_value(export_dims(w->x), source->dims[k], 1);
        has_channels |= axis == 1 && source->dims[k] == result_type(w, 0)->dims[1];
        n_other += axis != 1 && !is_one;
    }
    return has_channels && n_other == 0;
}

label *channel_operand(writing *w, uint32_t i) {
    const tn_graph *g = w->f->g;
    const node *broadcast = as_broadcast(g, w->n->operands[i]);
    if (!broadcast || result_type(w, 0)->rank < 2) return NULL;
    value_id v = broadcast->operands[0];
    const node *n = graph_node_of(g, v);
    if (!is_by_channel(w, graph_type(g, v), broadcast)) return NULL;
    tn_type vector = type_make((tn_dtype)graph_type(g, v)->dtype, 1, &result_type(w, 0)->dims[1]);
    if (n->op == TN_OP_constant && !type_equal(graph_type(g, v), &vector)) {
        const tensor_data *data = attr_find(&n->attrs, ATTR_value)->data;
        return constant_label(w->x, module_constant(w->x->module, &vector, data->data, false));
    }
    if (n->op == TN_OP_reshape) v = n->operands[0];
    if (!type_equal(graph_type(g, v), &vector)) return NULL;
    label *l = value_label(w->x, w->f, v);
    return l->is_made ? NULL : l;
}

const tensor_data *constant_operand(const writing *w, uint32_t i) {
    const node *n = graph_node_of(w->f->g, w->n->operands[i]);
    while (n->op == TN_OP_broadcast || n->op == TN_OP_reshape) n = graph_node_of(w->f->g, n->operands[0]);
    return n->op == TN_OP_constant ? attr_find(&n->attrs, ATTR_value)->data : NULL;
}

/* ---- Values on demand ------------------------------------------------------------------------------------ */

/* A dim as a scalar. */
static label *make_dim(exporter *x, inlined *f, const node *n) {
    tn_dim d = attr_find(&n->attrs, ATTR_dim)->dim;
    int64_t number, axis = 0;
    if (dim_is_const(export_dims(x), d, &number)) return number_label(x, number);
    label *inputs[] = {dim_label(x, f->b, f, d), numbers_label(x, &axis, 1)};
    return node_new(x, f->b, "Squeeze", inputs, 2, 1)->outputs[0];
}

/* Of rank 1 and i64 (export_lower_leaf). */
static label *make_iota(exporter *x, inlined *f, const node *n) {
    tn_dim extent = graph_type(f->g, n->first_result)->dims[0];
    int64_t number, axis = 0;
    label *limit;
    if (dim_is_const(export_dims(x), extent, &number)) {
        limit = number_label(x, number);
    } else {
        label *inputs[] = {dim_label(x, f->b, f, extent), numbers_label(x, &axis, 1)};
        limit = node_new(x, f->b, "Squeeze", inputs, 2, 1)->outputs[0];
    }
    label *inputs[] = {number_label(x, 0), limit, number_label(x, 1)};
    return node_new(x, f->b, "Range", inputs, 3, 1)->outputs[0];
}

static label *make_value(exporter *x, inlined *f, value_id v) {
    const node *n = graph_node_of(f->g, v);
    switch (n->op) {
    case TN_OP_constant: {
        label *l = constant_label(x, attr_find(&n->attrs, ATTR_value)->data);
        if (f->g->values[v].name) l->wanted = f->g->values[v].name;
        return l;
    }
    case TN_OP_dim: return make_dim(x, f, n);
    case TN_OP_iota: return make_iota(x, f, n);
    case TN_OP_broadcast: return make_broadcast(x, f, n);
    default: return &x->spare_label; /* after an error */
    }
}

label *value_label(exporter *x, inlined *f, value_id v) {
    if (!f->values[v]) f->values[v] = make_value(x, f, v);
    return f->values[v];
}

label *operand(writing *w, uint32_t i) { return value_label(w->x, w->f, w->n->operands[i]); }
label *work_operand(writing *w, uint32_t i) { return typed_operand(w, i, operand(w, i)); }

void give(writing *w, uint32_t i, label *l) {
    value_id v = w->n->first_result + i;
    w->f->values[v] = l;
    if (!l->wanted && l->is_made) l->wanted = w->f->g->values[v].name;
}

void give_work(writing *w, uint32_t i, label *l) {
    tn_dtype dtype = (tn_dtype)result_type(w, i)->dtype;
    give(w, i, dtype == w->dtype ? emit_cast(w, l, w->work, dtype) : l);
}
