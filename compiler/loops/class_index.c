/* Class index: scatter. (Gathers and dynamic slices are read in place by whatever uses them.)
 *
 * in:  a fused function with one scatter as its only result; operands may be read through views
 * out: a stage that copies the data, then one that applies the updates, one after the other in
 *      row-major order of the indices, lanes along the last axis when it is no indexed one
 * law: an index out of range changes nothing and is recorded as a run-time error
 */
#include "compiler/loops/classes.h"

bool index_takes(const tn_graph *fused) {
    return fused->n_results == 1 && graph_node_of(fused, fused->results[0].value)->op == TN_OP_scatter;
}

enum { CHUNK_ELEMENTS = 16384, DATA = 0, INDICES = 1, UPDATES = 2 };

typedef struct scattering {
    access a;
    dim_table *t;
    const node *n;
    const tn_type *data, *indices, *updates;
    bool indexed[TN_MAX_RANK]; /* axes of the data */
    int batch;
} scattering;

static void copy_data(scattering *s) {
    tn_dim total = type_element_count(s->t, s->data), index[TN_MAX_RANK];
    tn_dim chunk = access_open_stage(&s->a, dim_ceildiv(s->t, total, dim_const(s->t, CHUNK_ELEMENTS)));
    tn_dim begin = dim_mul_const(s->t, chunk, CHUNK_ELEMENTS),
           end = dim_min(s->t, dim_add_const(s->t, begin, CHUNK_ELEMENTS), total);
    access_loop lanes = access_open_loop(&s->a, LT_VECTOR, begin, end, lower_lanes(s->a.fused, s->a.b.machine), 0);
    access_unravel(&s->a, access_counter(&lanes), s->data->rank, s->data->dims, index);
    access_store_result(&s->a, 0, index, access_value(&s->a, s->n->operands[DATA], index));
    access_close_loop(&s->a, &lanes);
}

/* Loads the index vector of one update and enters it in `to`; the value that says whether all
 * of it is in range (LT_NONE: nothing is indexed). */
static lt_value load_indices(scattering *s, tn_dim *at, tn_dim *to) {
    lt_builder *b = &s->a.b;
    const attr *axes = attr_find(&s->n->attrs, ATTR_axes);
    lt_value in_range = LT_NONE;
    for (uint32_t i = 0; i < axes->ints.n; i++) {
        int64_t axis = axes->ints.items[i];
        at[s->indices->rank - 1] = dim_const(s->t, i);
        lt_value loaded = access_value(&s->a, s->n->operands[INDICES], at);
        if (loaded == LT_NONE) return LT_NONE;
        loaded = lt_convert(b, loaded, TN_I64);
        lt_value above = lt_compare(b, COMPARE_GE, loaded, lt_const_int(b, TN_I64, 0));
        lt_value below = lt_compare(b, COMPARE_LT, loaded, lt_dim_value(b, s->data->dims[axis]));
        lt_value both = lt_binary(b, TN_OP_and, above, below);
        in_range = in_range == LT_NONE ? both : lt_binary(b, TN_OP_and, in_range, both);
        to[axis] = lt_bind(b, loaded, s->data->dims[axis], access_offset(&s->a, s->indices, at),
                           access_site(&s->a, s->n->first_result));
    }
    return in_range;
}

static void combine(scattering *s, const tn_dim *from, const tn_dim *to, lt_value in_range) {
    static const tn_op ops[] = {
        [COMBINE_ADD] = TN_OP_add, [COMBINE_MUL] = TN_OP_mul, [COMBINE_MAX] = TN_OP_max, [COMBINE_MIN] = TN_OP_min};
    lt_builder *b = &s->a.b;
    combine_kind kind = (combine_kind)attr_int(&s->n->attrs, ATTR_combine, 0);
    uint32_t out = s->a.b.kernel->n_inputs;
    tn_dim offset = access_offset(&s->a, s->data, to);
    lt_value update = access_value(&s->a, s->n->operands[UPDATES], from);
    if (update != LT_NONE && kind != COMBINE_SET)
        update = lt_binary(b, ops[kind], lt_load(b, out, offset, in_range), update);
    lt_value former = access_push_guard(&s->a, in_range);
    access_look(&s->a, s->n->first_result, to, update);
    s->a.guard = former;
    if (update != LT_NONE) lt_store(b, out, offset, update, in_range);
}

/* Updates have batch axes, index axes, then the data's other axes; `from` counts in them. */
static void apply_updates(scattering *s) {
    access_loop loops[TN_MAX_RANK];
    tn_dim from[TN_MAX_RANK] = {0}, at[TN_MAX_RANK], to[TN_MAX_RANK];
    int n_index = s->indices->rank - 1, rank = s->updates->rank;
    access_open_stage(&s->a, dim_const(s->t, 1));
    for (int i = 0; i < n_index; i++) {
        loops[i] = access_open_loop(&s->a, LT_SERIAL, dim_const(s->t, 0), s->updates->dims[i], 0, 0);
        from[i] = at[i] = access_counter(&loops[i]);
    }
    lt_value in_range = load_indices(s, at, to);
    for (int i = n_index; i < rank; i++) {
        bool is_last = i == rank - 1;
        tn_dim extent = s->updates->dims[i];
        loops[i] = access_open_loop(&s->a, is_last ? LT_VECTOR : LT_SERIAL, dim_const(s->t, 0), extent,
                                    is_last ? lower_lanes_for(s->a.fused, s->a.b.machine, extent) : 0, 0);
        from[i] = access_counter(&loops[i]);
    }
    int next = n_index;
    for (int i = 0; i < s->data->rank; i++)
        if (!s->indexed[i]) to[i] = i < s->batch ? from[i] : from[next++];
    if (!s->a.b.failed) combine(s, from, to, in_range);
    for (int i = rank - 1; i >= 0 && !s->a.b.failed; i--) access_close_loop(&s->a, &loops[i]);
}

lt_kernel *index_lower(tn_graph *fused, const machine *m) {
    scattering s = {.t = fused->module->dims, .n = graph_node_of(fused, fused->results[0].value)};
    s.data = graph_type(fused, s.n->operands[DATA]);
    s.indices = graph_type(fused, s.n->operands[INDICES]);
    s.updates = graph_type(fused, s.n->operands[UPDATES]);
    s.batch = (int)attr_int(&s.n->attrs, ATTR_batch_dims, 0);
    const attr *axes = attr_find(&s.n->attrs, ATTR_axes);
    for (uint32_t i = 0; i < axes->ints.n; i++) s.indexed[axes->ints.items[i]] = true;
    if (access_open(&s.a, fused, "index", m)) {
        copy_data(&s);
        apply_updates(&s);
    }
    return access_close(&s.a);
}
