/* The value of v at an index: bookkeeping, leaves and elementwise ops (see access.h). */
#include "compiler/loops/access.h"

#include "ir/view.h"

#include <string.h>

/* ---- Setting up ---- */

static void out_of_memory(access *a) {
    module_no_memory(a->fused->module);
    a->b.failed = true;
}

static bool add_buffers(access *a) {
    tn_graph *g = a->fused;
    lt_builder *b = &a->b;
    dim_table *dims = g->module->dims;
    for (size_t i = 0; i < g->n_params; i++) {
        const tn_type *type = graph_type(g, g->params[i].value);
        uint32_t buffer = lt_add_buffer(b, LT_INPUT, (tn_dtype)type->dtype, type_element_count(dims, type), NULL);
        access_in_buffer(a, g->params[i].value, buffer);
    }
    for (size_t i = 0; i < g->n_results; i++) {
        const tn_type *type = graph_type(g, g->results[i].value);
        lt_add_buffer(b, LT_OUTPUT, (tn_dtype)type->dtype, type_element_count(dims, type), NULL);
    }
    return !b->failed;
}

static bool add_extents(access *a) {
    tn_graph *g = a->fused;
    lt_kernel *k = a->b.kernel;
    k->extents = ARENA_ARRAY(&g->module->memory, tn_dim, g->n_symbols + 1);
    if (!k->extents) return false;
    k->extents_capacity = (uint32_t)g->n_symbols + 1;
    for (size_t i = 0; i < g->n_symbols; i++) {
        k->extents[k->n_extents++] = g->symbols[i].dim;
        access_add_range(a, g->symbols[i].dim, dim_const(g->module->dims, g->symbols[i].low), DIM_INVALID);
    }
    return !a->b.failed;
}

bool access_open(access *a, tn_graph *fused, const char *class_name, const machine *m) {
    memset(a, 0, sizeof *a);
    a->fused = fused;
    a->guard = LT_NONE;
    a->b.machine = m;
    a->b.kernel = lt_kernel_new(fused->module, fused->name, class_name);
    a->sources = tn_calloc(fused->n_values + 1, sizeof *a->sources);
    a->sites = tn_malloc((fused->n_nodes + 1) * sizeof *a->sites);
    if (!a->b.kernel || !a->sources || !a->sites)
        return module_error(fused->module, TN_ERR_MEMORY, LOCATION_NONE, "out of memory");
    memset(a->sites, 0xff, (fused->n_nodes + 1) * sizeof *a->sites);
    if (!add_buffers(a) || !add_extents(a) || (fused->nan_looks && !access_open_nan_sites(a)))
        return module_error(fused->module, TN_ERR_MEMORY, LOCATION_NONE, "out of memory");
    return true;
}

lt_kernel *access_close(access *a) {
    bool failed =
        a->b.failed || a->fused->module->error.status != TN_OK || dim_table_status(a->fused->module->dims) != TN_OK;
    tn_free(a->sources);
    tn_free(a->sites);
    tn_free(a->nan_sites);
    tn_free(a->memo);
    tn_free(a->ranges);
    if (failed) {
        if (dim_table_status(a->fused->module->dims) == TN_ERR_MEMORY) module_no_memory(a->fused->module);
        module_error(a->fused->module, TN_ERR_LIMIT, LOCATION_NONE, "kernel %s: index arithmetic overflows",
                     a->fused->name);
        return NULL;
    }
    return a->b.kernel;
}

static lt_value fail(access *a) {
    a->b.failed = true;
    return LT_NONE;
}

/* ---- Sources ---- */

tn_dim access_row_stride(access *a, const tn_type *type, int axis) {
    return dim_product(a->fused->module->dims, type->dims + axis + 1, type->rank - axis - 1);
}

void access_in_buffer(access *a, value_id v, uint32_t buffer) {
    const tn_type *type = graph_type(a->fused, v);
    source *s = &a->sources[v];
    *s = (source){.kind = SOURCE_BUFFER, .buffer = buffer, .base = dim_const(a->fused->module->dims, 0)};
    for (int i = 0; i < type->rank; i++) s->stride[i] = access_row_stride(a, type, i);
}

void access_in_register(access *a, value_id v, lt_value reg) {
    a->sources[v] = (source){.kind = SOURCE_REGISTER, .reg = reg};
}

void access_computed(access *a, value_id v) { a->sources[v] = (source){.kind = SOURCE_COMPUTED}; }

/* ---- Index arithmetic ---- */

tn_dim access_offset(access *a, const tn_type *type, const tn_dim *index) {
    dim_table *t = a->fused->module->dims;
    tn_dim offset = dim_const(t, 0);
    for (int i = 0; i < type->rank; i++)
        offset = dim_add(t, offset, dim_mul(t, index[i], access_row_stride(a, type, i)));
    return offset;
}

tn_dim access_simplify(access *a, tn_dim d) {
    return dim_simplify(a->fused->module->dims, d, a->ranges, (int)a->n_ranges);
}

void access_unravel(access *a, tn_dim linear, int rank, const tn_dim *extents, tn_dim *index) {
    view_unravel(a->fused->module->dims, linear, rank, extents, a->ranges, (int)a->n_ranges, index);
}

void access_add_range(access *a, tn_dim leaf, tn_dim low, tn_dim high) {
    if (!array_reserve((void **)&a->ranges, &a->ranges_capacity, a->n_ranges + 1, sizeof *a->ranges)) {
        out_of_memory(a);
        return;
    }
    a->ranges[a->n_ranges++] = (dim_range){leaf, low, high};
}

void access_know_range(access *a, tn_dim leaf, tn_dim end) {
    dim_table *t = a->fused->module->dims;
    if (!a->b.failed) /* else there may be none */
        a->ranges[a->n_ranges - 1] = (dim_range){leaf, dim_const(t, 0), dim_add_const(t, end, -1)};
}

/* ---- Guards ---- */

lt_value access_within(access *a, tn_dim d, tn_dim low, tn_dim high) {
    dim_table *t = a->fused->module->dims;
    lt_value above = LT_NONE, below = LT_NONE;
    if (!dim_is_nonnegative(t, dim_sub(t, d, low), a->ranges, (int)a->n_ranges))
        above = lt_compare(&a->b, COMPARE_GE, lt_dim_value(&a->b, d), lt_dim_value(&a->b, low));
    if (!dim_is_nonnegative(t, dim_add_const(t, dim_sub(t, high, d), -1), a->ranges, (int)a->n_ranges))
        below = lt_compare(&a->b, COMPARE_LT, lt_dim_value(&a->b, d), lt_dim_value(&a->b, high));
    if (above == LT_NONE) return below;
    return below == LT_NONE ? above : lt_binary(&a->b, TN_OP_and, above, below);
}

lt_value access_push_guard(access *a, lt_value condition) {
    lt_value former = a->guard;
    if (condition != LT_NONE) a->guard = former == LT_NONE ? condition : lt_binary(&a->b, TN_OP_and, former, condition);
    return former;
}

uint32_t access_site(access *a, value_id v) {
    uint32_t n = a->fused->values[v].node;
    if (a->sites[n] == LT_NONE)
        a->sites[n] = lt_add_site(
            &a->b, (lt_site){.op = (tn_op)a->fused->nodes[n].op, .locations = a->fused->nodes[n].locations});
    return a->sites[n];
}

/* ---- Shared work ---- */

const access_memo *access_find_memo(const access *a, value_id v, int rank, const tn_dim *index, bool is_look) {
    for (size_t i = a->n_memo; i-- > 0;) {
        const access_memo *m = &a->memo[i];
        if (m->value == v && m->guard == a->guard && m->is_look == is_look &&
            memcmp(m->index, index, (size_t)rank * sizeof *index) == 0)
            return m;
    }
    return NULL;
}

void access_add_memo(access *a, value_id v, int rank, const tn_dim *index, lt_value result, bool is_look) {
    if (!array_reserve((void **)&a->memo, &a->memo_capacity, a->n_memo + 1, sizeof *a->memo)) {
        out_of_memory(a);
        return;
    }
    access_memo *m = &a->memo[a->n_memo++];
    *m = (access_memo){.value = v, .guard = a->guard, .rank = rank, .result = result, .is_look = is_look};
    memcpy(m->index, index, (size_t)rank * sizeof *index);
}

/* ---- Loops ---- */

access_loop access_open_loop(access *a, lt_loop_kind kind, tn_dim begin, tn_dim end, uint32_t width,
                             uint32_t n_carries) {
    access_loop loop = {.outer = a->b.block, .memo_mark = a->n_memo, .range_mark = a->n_ranges};
    loop.stmt = lt_open_loop(&a->b, kind, begin, end, width, n_carries);
    access_add_range(a, loop.stmt->loop.variable, begin, dim_add_const(a->fused->module->dims, end, -1));
    return loop;
}

void access_close_loop(access *a, access_loop *loop) {
    lt_close_loop(&a->b, loop->stmt, loop->outer);
    a->n_memo = loop->memo_mark;
    a->n_ranges = loop->range_mark;
}

tn_dim access_open_stage(access *a, tn_dim chunks) {
    dim_table *t = a->fused->module->dims;
    lt_stage *stage = lt_open_stage(&a->b, chunks);
    a->n_memo = 0;
    a->n_ranges = a->fused->n_symbols;
    access_add_range(a, stage->variable, dim_const(t, 0), dim_add_const(t, chunks, -1));
    return stage->variable;
}

tn_dim access_open_rows(access *a, tn_dim total, int64_t grain, access_loop *loop) {
    dim_table *t = a->fused->module->dims;
    tn_dim chunk = access_open_stage(a, dim_ceildiv(t, total, dim_const(t, grain)));
    tn_dim begin = dim_mul_const(t, chunk, grain);
    *loop = access_open_loop(a, LT_SERIAL, begin, dim_min(t, dim_add_const(t, begin, grain), total), 0, 0);
    tn_dim row = access_counter(loop);
    access_know_range(a, row, total);
    return row;
}

tn_dim access_open_named(access *a, tn_dim d, tn_dim end, access_loop *loop) {
    *loop = access_open_loop(a, LT_SERIAL, d, dim_add_const(a->fused->module->dims, d, 1), 0, 0);
    access_know_range(a, access_counter(loop), end);
    return access_counter(loop);
}

void access_open_chunks(access *a, int n, const tn_dim *extents, tn_dim *numbers, access_loop *named) {
    access_unravel(a, access_open_stage(a, dim_product(a->fused->module->dims, extents, n)), n, extents, numbers);
    for (int i = 0; i < n; i++) numbers[i] = access_open_named(a, numbers[i], extents[i], &named[i]);
}

void access_close_chunks(access *a, int n, access_loop *named) {
    for (int i = n; i-- > 0;) access_close_loop(a, &named[i]);
}

/* ---- Single ops ---- */

static lt_value emit_constant(access *a, value_id v, const node *n, const tn_dim *index) {
    (void)v;
    const tensor_data *data = attr_find(&n->attrs, ATTR_value)->data;
    size_t bytes = tn_dtype_bits((tn_dtype)data->type.dtype) / 8;
    uint64_t bits = 0;
    (void)index;
    if (data->bytes != bytes) {
        module_error(a->fused->module, TN_ERR_INTERNAL, n->locations,
                     "kernel %s: a constant of %zu bytes must be a parameter", a->fused->name, data->bytes);
        return fail(a);
    }
    memcpy(&bits, data->data, bytes);
    return lt_const_bits(&a->b, (tn_dtype)data->type.dtype, bits);
}

static lt_value emit_iota(access *a, value_id v, const node *n, const tn_dim *index) {
    tn_dim i = index[attr_int(&n->attrs, ATTR_axis, 0)];
    return lt_convert(&a->b, lt_dim_value(&a->b, i), (tn_dtype)graph_type(a->fused, v)->dtype);
}

static lt_value emit_dim(access *a, value_id v, const node *n, const tn_dim *index) {
    (void)v, (void)index;
    return lt_dim_value(&a->b, attr_find(&n->attrs, ATTR_dim)->dim);
}

/* Of a select, operands behind the condition (the first of x) are computed as its branches. */
static lt_value emit_operand(access *a, const node *n, uint32_t i, const lt_value *x, const tn_dim *index) {
    if (n->op != TN_OP_select || i == 0) return access_value(a, n->operands[i], index);
    access_branch branch = {a->branch, (uint32_t)(n - a->fused->nodes), (uint8_t)i, x[0]};
    a->branch = &branch;
    lt_value result = access_value(a, n->operands[i], index);
    a->branch = branch.outer;
    return result;
}

static lt_value emit_map(access *a, value_id v, const node *n, const tn_dim *index) {
    lt_value x[LT_MAX_OPERANDS] = {LT_NONE, LT_NONE, LT_NONE};
    for (uint32_t i = 0; i < n->n_operands; i++)
        if ((x[i] = emit_operand(a, n, i, x, index)) == LT_NONE) return fail(a);
    tn_dtype dtype = (tn_dtype)graph_type(a->fused, v)->dtype;
    switch (n->op) {
    case TN_OP_convert: return lt_convert(&a->b, x[0], dtype);
    case TN_OP_bitcast: return lt_bitcast(&a->b, x[0], dtype);
    case TN_OP_compare: return lt_compare(&a->b, (compare_kind)attr_int(&n->attrs, ATTR_compare, 0), x[0], x[1]);
    case TN_OP_select: return lt_select(&a->b, x[0], x[1], x[2]);
    default: break;
    }
    switch (n->n_operands) {
    case 1: return lt_unary(&a->b, (tn_op)n->op, x[0]);
    case 2: return lt_binary(&a->b, (tn_op)n->op, x[0], x[1]);
    default: return lt_ternary(&a->b, (tn_op)n->op, x[0], x[1], x[2]);
    }
}

/* Ops that need more than their operands at the same index; all other ops of class map are
 * elementwise. */
static access_emitter *const emitters[TN_OP_COUNT] = {
    [TN_OP_constant] = emit_constant,
    [TN_OP_iota] = emit_iota,
    [TN_OP_dim] = emit_dim,
    [TN_OP_rng_bits] = access_rng_bits,
    [TN_OP_broadcast] = access_plain_view,
    [TN_OP_reshape] = access_plain_view,
    [TN_OP_transpose] = access_plain_view,
    [TN_OP_slice] = access_plain_view,
    [TN_OP_pad] = access_pad,
    [TN_OP_concat] = access_concat,
    [TN_OP_reverse] = access_plain_view,
    [TN_OP_gather] = access_gather,
    [TN_OP_dynamic_slice] = access_dynamic_slice,
    [TN_OP_dynamic_update_slice] = access_dynamic_update_slice,
    [TN_OP_reduce] = access_reduce,
    [TN_OP_window] = access_window,
    [TN_OP_dot] = access_dot,
    [TN_OP_conv] = access_conv,
};

static tn_dim offset_in(access *a, const source *s, int rank, const tn_dim *index) {
    dim_table *t = a->fused->module->dims;
    tn_dim offset = s->base;
    for (int i = 0; i < rank; i++) offset = dim_add(t, offset, dim_mul(t, index[i], s->stride[i]));
    return access_simplify(a, offset);
}

static lt_value load(access *a, const source *s, int rank, const tn_dim *index) {
    tn_dim offset = offset_in(a, s, rank, index);
    lt_value x;
    if (a->load_instead && a->guard == LT_NONE && a->load_instead(a->load_ctx, s->buffer, offset, &x)) return x;
    return lt_load(&a->b, s->buffer, offset, a->guard);
}

lt_value access_value(access *a, value_id v, const tn_dim *index) {
    if (a->b.failed) return LT_NONE;
    const source *s = &a->sources[v];
    int rank = graph_type(a->fused, v)->rank;
    if (s->kind == SOURCE_REGISTER) {
        access_look(a, v, index, s->reg);
        return s->reg;
    }
    const access_memo *known = access_find_memo(a, v, rank, index, false);
    if (known) return known->result;

    const node *n = graph_node_of(a->fused, v);
    location_id outer = a->b.where; /* what is loaded is of who reads it */
    lt_value result;
    if (s->kind != SOURCE_BUFFER && n->locations != LOCATION_NONE) a->b.where = n->locations;
    if (s->kind == SOURCE_BUFFER)
        result = load(a, s, rank, index);
    else if (emitters[n->op])
        result = emitters[n->op](a, v, n, index);
    else if (op_table[n->op].loop_class == CLASS_MAP)
        result = emit_map(a, v, n, index);
    else {
        module_error(a->fused->module, TN_ERR_INTERNAL, n->locations, "kernel %s: %s cannot be computed in place",
                     a->fused->name, op_name((tn_op)n->op));
        result = fail(a);
    }
    access_add_memo(a, v, rank, index, result, false);
    if (!s->is_looked_at) access_look(a, v, index, result);
    a->b.where = outer;
    return result;
}

static void store_result(access *a, uint32_t r, tn_dim offset, lt_value value, value_id of) {
    location_id outer = a->b.where;
    a->b.where = graph_node_of(a->fused, of)->locations;
    lt_store(&a->b, a->b.kernel->n_inputs + r, access_simplify(a, offset), value, a->guard);
    a->b.where = outer;
}

void access_store_in(access *a, const source *place, int rank, const tn_dim *index, lt_value value) {
    lt_store(&a->b, place->buffer, offset_in(a, place, rank, index), value, a->guard);
}

/* Result r lies row by row as the value that this returns; axis i of what is stored is its axis order[i]. */
static value_id find_order(const tn_graph *fused, uint32_t r, value_id *stored, int *order) {
    value_id v = fused->results[r].value, laid_out;
    while (graph_node_of(fused, v)->op == TN_OP_reshape) v = graph_node_of(fused, v)->operands[0];
    laid_out = v;
    for (int i = 0; i < TN_MAX_RANK; i++) order[i] = i;
    while (graph_node_of(fused, v)->op == TN_OP_transpose) {
        const node *n = graph_node_of(fused, v);
        const attr *perm = attr_find(&n->attrs, ATTR_perm);
        int former[TN_MAX_RANK];
        memcpy(former, order, sizeof former);
        for (uint32_t i = 0; i < perm->ints.n; i++) order[perm->ints.items[i]] = former[i];
        v = n->operands[0];
    }
    *stored = v;
    return laid_out;
}

value_id access_stored(const tn_graph *fused, uint32_t r) {
    value_id stored;
    int order[TN_MAX_RANK];
    find_order(fused, r, &stored, order);
    return stored;
}

void access_store_ordered(access *a, uint32_t r, const tn_dim *index, lt_value value) {
    value_id stored;
    int order[TN_MAX_RANK];
    const tn_type *type = graph_type(a->fused, find_order(a->fused, r, &stored, order));
    tn_dim laid_out[TN_MAX_RANK];
    for (int i = 0; i < type->rank; i++) laid_out[order[i]] = index[i];
    access_look(a, stored, index, value);
    store_result(a, r, access_offset(a, type, laid_out), value, stored);
}

void access_store_result(access *a, uint32_t r, const tn_dim *index, lt_value value) {
    const tn_type *type = graph_type(a->fused, a->fused->results[r].value);
    access_look(a, a->fused->results[r].value, index, value);
    store_result(a, r, access_offset(a, type, index), value, a->fused->results[r].value);
}
