/* Where a product's operands are read: in place, or packed by a stage of their own.
 *
 * in:  a product whose elements the class computes
 * out: operands as the tile reads them, and the stages that fill packed ones
 * law: rows and columns beyond the extent are packed as zeros; nothing reads their products
 *
 * Packing computes elements by the class, so views, conversions and whatever else was fused
 * before the product cost one pass over the operand.
 */
#include "compiler/loops/pack.h"

#include "ir/dtype.h"
#include "ir/view.h"

enum {
    CHUNK_ELEMENTS = 16384, /* packed by a chunk */
    STEPS_AT_ONCE = 8,      /* of A, for all of its panels */
    ROW_ALIGNMENT = 16,     /* elements: packed rows begin on cache lines */
    ALIAS_BYTES = 2048,     /* rows apart by a multiple of this fall into few sets of the L1 */
};

int64_t product_constant(const product *p, tn_dim d) {
    int64_t value;
    return dim_is_const(p->t, d, &value) ? value : -1;
}

/* ---- Operands in place ---- */

/* Variables that stand for outer, row or column, and k while strides are looked for; far from the
 * numbers of any kernel's own. */
enum { ANALYSIS_VARIABLE = 0x7ffffff0 };

tn_dim product_outer_variable(const product *p) { return dim_variable(p->t, ANALYSIS_VARIABLE); }

/* Packing and tiles convert what they read to the sum's dtype. */
static bool converts_to_sum(const product *p, const node *n) {
    return n->op == TN_OP_convert && (tn_dtype)graph_type(p->a->fused, n->first_result)->dtype == p->sum;
}

static void copy_index(const product *p, value_id v, const tn_dim *from, tn_dim *to) {
    for (int i = 0; i < graph_type(p->a->fused, v)->rank; i++) to[i] = from[i];
}

/* The value that v is a view of, and the index there of its element `at`. */
static value_id behind_views(product *p, value_id v, tn_dim *at) {
    access *a = p->a;
    tn_dim from[TN_MAX_RANK] = {0};
    while (a->sources[v].kind == SOURCE_COMPUTED) {
        const node *n = graph_node_of(a->fused, v);
        bool is_view = view_is_plain((tn_op)n->op);
        if (!is_view && !converts_to_sum(p, n)) break;
        v = n->operands[0];
        if (!is_view) continue;
        view_index(a->fused, n, at, a->ranges, (int)a->n_ranges, from);
        copy_index(p, v, from, at);
    }
    return v;
}

static bool is_computed_by(const product *p, value_id v, loop_class c) {
    return p->a->sources[v].kind == SOURCE_COMPUTED && op_table[graph_node_of(p->a->fused, v)->op].loop_class == c;
}

/* The same, and through elementwise ops the first operand that is no constant. */
static value_id behind_elements(product *p, value_id v, tn_dim *at) {
    v = behind_views(p, v, at);
    while (is_computed_by(p, v, CLASS_MAP)) {
        const node *n = graph_node_of(p->a->fused, v);
        value_id next = VALUE_NONE;
        tn_dim from[TN_MAX_RANK] = {0};
        for (uint32_t k = 0; k < n->n_operands && next == VALUE_NONE; k++) {
            copy_index(p, v, at, from);
            next = behind_views(p, n->operands[k], from);
            if (is_computed_by(p, next, CLASS_LEAF)) next = VALUE_NONE;
        }
        if (next == VALUE_NONE) break;
        v = next;
        copy_index(p, v, from, at);
    }
    return v;
}

/* The offset in its buffer of an element of v; DIM_INVALID: it is in none. */
static tn_dim offset_of(product *p, value_id v, const tn_dim *at, uint32_t *buffer) {
    const source *s = &p->a->sources[v];
    if (s->kind != SOURCE_BUFFER) return DIM_INVALID;
    tn_dim offset = s->base;
    for (int i = 0; i < graph_type(p->a->fused, v)->rank; i++)
        offset = dim_add(p->t, offset, dim_mul(p->t, at[i], s->stride[i]));
    *buffer = s->buffer;
    return access_simplify(p->a, offset);
}

/* Opens ranges [0, extent) for outer, row or column, and k; closed by cutting n_ranges back. */
static void add_analysis_ranges(product *p, const tn_dim *leaf, const tn_dim *extent, int n) {
    for (int i = 0; i < n; i++) access_add_range(p->a, leaf[i], dim_const(p->t, 0), dim_add_const(p->t, extent[i], -1));
}

/* Value v, at what `index_of` says, lies in a buffer with constant strides; or what it is computed from does. */
static bool has_strides(product *p, matrix_side side, value_id v, matrix_index *index_of) {
    matrix *m = &p->side[side];
    dim_table *t = p->t;
    tn_dim leaf[3], extent[3] = {p->outer, m->extent, p->depth}, index[TN_MAX_RANK], rest;
    for (uint32_t i = 0; i < 3; i++) leaf[i] = dim_variable(t, ANALYSIS_VARIABLE + i);
    size_t mark = p->a->n_ranges;
    add_analysis_ranges(p, leaf, extent, 3);
    index_of(p, side, leaf[0], leaf[1], leaf[2], index);
    value_id whole = behind_views(p, v, index), part = behind_elements(p, whole, index);
    tn_dim offset = offset_of(p, part, index, &m->buffer);
    p->a->n_ranges = mark;
    bool has_steps = offset != DIM_INVALID && dim_split_linear(t, offset, leaf[2], &m->depth_step, &rest) &&
                     dim_split_linear(t, rest, leaf[1], &m->step, &m->base) &&
                     !dim_contains(t, m->depth_step, leaf[1]) && !dim_contains(t, m->depth_step, leaf[0]) &&
                     !dim_contains(t, m->step, leaf[0]);
    m->runs_along_depth = has_steps && dim_is_value(t, m->depth_step, 1) && !dim_is_value(t, m->step, 1);
    return has_steps && part == whole;
}

static tn_dtype dtype_of(const product *p, matrix_side side) {
    return p->a->b.kernel->buffers[p->side[side].buffer].dtype;
}

/* The tile can read B as it lies. */
static bool is_readable(const product *p) {
    tn_dtype dtype = dtype_of(p, SIDE_B);
    return dtype == p->sum || (p->sum == TN_F32 && dtype_in(DTYPES_NARROW, dtype));
}

/* The innermost extent of the value that v is a view of: how wide panels would be. */
static int64_t innermost_extent(const product *p, value_id v) {
    const tn_graph *g = p->a->fused;
    while (p->a->sources[v].kind == SOURCE_COMPUTED && graph_node_of(g, v)->n_operands == 1)
        v = graph_node_of(g, v)->operands[0];
    const tn_type *type = graph_type(g, v);
    return type->rank == 3 ? product_constant(p, type->dims[2]) : -1;
}

/* Column panel * width + within of v lies at base + panel * step * width + within + k * width. */
bool product_find_panels(product *p, value_id v, matrix_index *index_of) {
    matrix *m = &p->side[SIDE_B];
    dim_table *t = p->t;
    int64_t width = innermost_extent(p, v);
    if (width <= 1) return false;
    tn_dim panel_step, rest, one, leaf[4], index[TN_MAX_RANK];
    tn_dim extent[4] = {p->outer, dim_ceildiv(t, m->extent, dim_const(t, width)), p->depth, dim_const(t, width)};
    for (uint32_t i = 0; i < 4; i++) leaf[i] = dim_variable(t, ANALYSIS_VARIABLE + i);
    size_t mark = p->a->n_ranges;
    add_analysis_ranges(p, leaf, extent, 4);
    index_of(p, SIDE_B, leaf[0], dim_add(t, dim_mul_const(t, leaf[1], width), leaf[3]), leaf[2], index);
    tn_dim offset = offset_of(p, behind_views(p, v, index), index, &m->buffer);
    p->a->n_ranges = mark;
    if (offset == DIM_INVALID || !dim_split_linear(t, offset, leaf[2], &m->depth_step, &rest) ||
        !dim_split_linear(t, rest, leaf[3], &one, &rest) || !dim_split_linear(t, rest, leaf[1], &panel_step, &m->base))
        return false;
    m->step = dim_exact_div(t, panel_step, dim_const(t, width));
    m->panel = width;
    return dim_is_value(t, one, 1) && dim_is_value(t, m->depth_step, width) && m->step != DIM_INVALID && is_readable(p);
}

void product_find_plain(product *p, matrix_side side, value_id v, matrix_index *index_of) {
    matrix *m = &p->side[side];
    m->panel = 0;
    m->has_strides = has_strides(p, side, v, index_of);
    m->is_plain = m->has_strides && dtype_of(p, side) == p->sum;
    if (!m->has_strides && side == SIDE_B && !product_find_panels(p, v, index_of)) m->panel = 0;
}

operand product_in_place(const product *p, matrix_side side, tn_dim outer) {
    const matrix *m = &p->side[side];
    tn_dim variable = product_outer_variable(p);
    tn_dim base = access_simplify(p->a, dim_substitute(p->t, m->base, &variable, &outer, 1));
    return (operand){.buffer = m->buffer,
                     .base = base,
                     .advance = m->step,
                     .row = m->panel ? dim_const(p->t, 1) : m->step,
                     .depth = m->depth_step,
                     .line = m->line_step};
}

void product_set_inner(product *p, uint32_t n, const int64_t *steps, const tn_dim *strides) {
    matrix *b = &p->side[SIDE_B];
    p->n_inner = n;
    for (uint32_t i = n; i-- > 0;) {
        p->inner[i] = (lt_inner){(uint32_t)steps[i], strides[i], b->depth_step};
        b->depth_step = dim_mul_const(p->t, b->depth_step, steps[i]);
        p->depth = dim_exact_div(p->t, p->depth, dim_const(p->t, steps[i]));
    }
}

/* ---- Packed layouts ---- */

int64_t product_tile_size(const product *p, matrix_side side) { return side == SIDE_A ? p->how.mr : p->how.nr; }

tn_dim product_panels(const product *p, int64_t size, matrix_side side) {
    return dim_ceildiv(p->t, p->side[side].extent, dim_const(p->t, size));
}

/* A whose rows are runs in memory stays in rows, so that packing copies runs. */
static bool is_in_rows(const product *p, matrix_side side) {
    return side == SIDE_A && p->side[SIDE_A].runs_along_depth;
}

tn_dim product_row_length(const product *p) {
    tn_dim units = dim_ceildiv(p->t, p->depth, dim_const(p->t, ROW_ALIGNMENT));
    tn_dim length = dim_mul_const(p->t, units, ROW_ALIGNMENT);
    int64_t known = product_constant(p, length), bytes = tn_dtype_bits(p->sum) / 8;
    return known >= 0 && known % (ALIAS_BYTES / bytes) == 0 ? dim_add_const(p->t, length, ROW_ALIGNMENT) : length;
}

static bool is_by_steps(const product *p, matrix_side side) { return side == SIDE_B && p->how.by_steps; }

/* Elements of one packed matrix. */
static tn_dim packed_size(const product *p, matrix_side side) {
    if (is_by_steps(p, side)) return dim_mul_const(p->t, p->depth, p->how.step_row);
    int64_t size = product_tile_size(p, side);
    tn_dim padded = dim_mul_const(p->t, product_panels(p, size, side), size);
    return dim_mul(p->t, padded, is_in_rows(p, side) ? product_row_length(p) : p->depth);
}

tn_dim product_packed_elements(const product *p, matrix_side side) {
    tn_dim one = packed_size(p, side);
    return p->is_alone ? one : dim_mul(p->t, p->outer, one);
}

operand product_packed(const product *p, matrix_side side, tn_dim outer) {
    operand o = p->packed[side];
    tn_dim one = dim_const(p->t, 1);
    o.base = p->is_alone ? dim_const(p->t, 0) : dim_mul(p->t, outer, packed_size(p, side));
    if (is_by_steps(p, side)) {
        tn_dim row = dim_const(p->t, p->how.step_row);
        return (operand){.buffer = o.buffer, .base = o.base, .advance = one, .row = one, .depth = row};
    }
    o.advance = is_in_rows(p, side) ? product_row_length(p) : p->depth;
    o.row = is_in_rows(p, side) ? o.advance : one;
    o.depth = is_in_rows(p, side) ? one : dim_const(p->t, product_tile_size(p, side));
    return o;
}

/* ---- Packing ---- */

static uint32_t lanes_up_to(const product *p, int64_t most) {
    uint32_t lanes = lower_lanes(p->a->fused, p->a->b.machine);
    while (lanes > 1 && lanes > most) lanes /= 2;
    return lanes;
}

/* Element (at, k), 0 beyond the extent. */
static lt_value element_or_zero(product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k) {
    lt_value inside = access_within(p->a, at, dim_const(p->t, 0), p->side[side].extent);
    lt_value former = access_push_guard(p->a, inside);
    lt_value x = p->element(p, side, outer, at, k);
    p->a->guard = former;
    if (p->a->b.failed || x == LT_NONE) return LT_NONE;
    x = lt_convert(&p->a->b, x, p->sum);
    return inside == LT_NONE ? x : lt_select(&p->a->b, inside, x, lt_const_int(&p->a->b, p->sum, 0));
}

/* A row of A, a run. */
static void pack_row(product *p, tn_dim outer, tn_dim row, uint32_t buffer, tn_dim base) {
    access_loop run = access_open_loop(p->a, LT_VECTOR, dim_const(p->t, 0), p->depth,
                                       lower_lanes_for(p->a->fused, p->a->b.machine, p->depth), 0);
    tn_dim k = access_counter(&run);
    lt_value x = element_or_zero(p, SIDE_A, outer, row, k);
    lt_store(&p->a->b, buffer, access_simplify(p->a, dim_add(p->t, base, k)), x, LT_NONE);
    access_close_loop(p->a, &run);
}

/* Rows of A one after the other. */
static void pack_rows(product *p) {
    dim_table *t = p->t;
    operand o = product_packed(p, SIDE_A, dim_const(t, 0));
    tn_dim padded = dim_mul_const(t, product_panels(p, p->how.mr, SIDE_A), p->how.mr);
    tn_dim total = dim_mul(t, p->outer, padded), at[2], extents[2] = {p->outer, padded};
    int64_t depth = product_constant(p, p->depth), grain = depth > 0 ? CHUNK_ELEMENTS / depth : 16;
    access_loop rows;
    tn_dim row = access_open_rows(p->a, total, grain > 0 ? grain : 1, &rows);
    access_unravel(p->a, row, 2, extents, at);
    pack_row(p, at[0], at[1], o.buffer, dim_mul(t, row, o.advance));
    access_close_loop(p->a, &rows);
}

/* One panel of `size` rows or columns from `first` on, k-major, written from `base` on; the tile reads `n` of them. */
typedef struct panel {
    matrix_side side;
    int64_t size, n;
    tn_dim outer, first;
    uint32_t buffer;
    tn_dim base;
} panel;

static void pack_element(product *p, const panel *q, tn_dim within, tn_dim k) {
    dim_table *t = p->t;
    lt_value x = element_or_zero(p, q->side, q->outer, dim_add(t, q->first, within), k);
    tn_dim at = dim_add(t, q->base, dim_add(t, dim_mul_const(t, k, q->size), within));
    lt_store(&p->a->b, q->buffer, access_simplify(p->a, at), x, LT_NONE);
}

/* Elements next to each other in the panel are so in memory too, or nothing is known. */
static void pack_steps_along(product *p, const panel *q, tn_dim k, tn_dim k_end) {
    dim_table *t = p->t;
    access_loop steps = access_open_loop(p->a, LT_SERIAL, k, k_end, 0, 0);
    access_know_range(p->a, access_counter(&steps), p->depth);
    access_loop lanes = access_open_loop(p->a, LT_VECTOR, dim_const(t, 0), dim_const(t, q->n), lanes_up_to(p, q->n), 0);
    pack_element(p, q, access_counter(&lanes), access_counter(&steps));
    access_close_loop(p->a, &lanes);
    access_close_loop(p->a, &steps);
}

static void pack_panel_along(product *p, const panel *q) { pack_steps_along(p, q, dim_const(p->t, 0), p->depth); }

/* `n` steps from k on, through a small buffer: rows are copied there as they lie, then they become columns. */
static void pack_steps_across(product *p, const panel *q, tn_dim k, int64_t n, uint32_t turned) {
    dim_table *t = p->t;
    tn_dim width = dim_const(t, n);
    access_loop rows = access_open_loop(p->a, LT_SERIAL, dim_const(t, 0), dim_const(t, q->n), 0, 0);
    tn_dim within = access_counter(&rows);
    access_loop run = access_open_loop(p->a, LT_VECTOR, dim_const(t, 0), width, lanes_up_to(p, n), 0);
    tn_dim step = access_counter(&run);
    lt_value x = element_or_zero(p, q->side, q->outer, dim_add(t, q->first, within), dim_add(t, k, step));
    lt_store(&p->a->b, turned, dim_add(t, dim_mul(t, within, width), step), x, LT_NONE);
    access_close_loop(p->a, &run);
    access_close_loop(p->a, &rows);
    tn_dim to = access_simplify(p->a, dim_add(t, q->base, dim_mul_const(t, k, q->size)));
    lt_transpose(&p->a->b, (lt_matrix){turned, dim_const(t, 0), width},
                 (lt_matrix){q->buffer, to, dim_const(t, q->size)}, q->n, n);
}

/* Runs in memory cross the panel: as many steps as a vector has lanes at a time, and what is left. */
static void pack_panel_across(product *p, const panel *q) {
    dim_table *t = p->t;
    int64_t lanes = machine_lanes(p->a->b.machine, tn_dtype_bits(p->sum)), depth = product_constant(p, p->depth);
    uint32_t turned = lt_add_buffer(&p->a->b, LT_LOCAL, p->sum, dim_const(t, q->n * lanes), "turned");
    tn_dim blocks = dim_floordiv(t, p->depth, dim_const(t, lanes)), done = dim_mul_const(t, blocks, lanes);
    if (!dim_is_value(t, blocks, 0)) {
        access_loop loop = access_open_loop(p->a, LT_SERIAL, dim_const(t, 0), blocks, 0, 0);
        pack_steps_across(p, q, dim_mul_const(t, access_counter(&loop), lanes), lanes, turned);
        access_close_loop(p->a, &loop);
    }
    if (depth >= 0) {
        if (depth % lanes) pack_steps_across(p, q, done, depth % lanes, turned);
        return;
    }
    access_loop rest = access_open_loop(p->a, LT_SERIAL, done, p->depth, 0, 0);
    access_know_range(p->a, access_counter(&rest), p->depth);
    pack_steps_across(p, q, access_counter(&rest), 1, turned);
    access_close_loop(p->a, &rest);
}

static void pack_panel(product *p, const panel *q) {
    (p->side[q->side].runs_along_depth ? pack_panel_across : pack_panel_along)(p, q);
}

/* Panel `index` of product `outer`, which is panel `number` of all. */
static panel panel_of(const product *p, matrix_side side, tn_dim outer, tn_dim index, tn_dim number) {
    int64_t size = product_tile_size(p, side);
    tn_dim first = dim_mul_const(p->t, index, size), base = dim_mul_const(p->t, dim_mul(p->t, number, p->depth), size);
    return (panel){side, size, size, outer, first, p->packed[side].buffer, base};
}

/* Panels of A counted over all outer matrices: rows that lie together are narrower than a line of the cache, so a chunk
 * packs some steps of all panels. */
static void pack_steps_of_panels(product *p) {
    dim_table *t = p->t;
    tn_dim panels = product_panels(p, p->how.mr, SIDE_A), grain = dim_const(t, STEPS_AT_ONCE);
    tn_dim parts = dim_ceildiv(t, p->depth, grain), at[2], extents[2] = {p->outer, parts};
    access_unravel(p->a, access_open_stage(p->a, dim_mul(t, p->outer, parts)), 2, extents, at);
    tn_dim k = dim_mul(t, at[1], grain), k_end = dim_min(t, dim_add(t, k, grain), p->depth);
    access_loop loop = access_open_loop(p->a, LT_SERIAL, dim_const(t, 0), panels, 0, 0);
    tn_dim number = dim_add(t, dim_mul(t, at[0], panels), access_counter(&loop));
    panel q = panel_of(p, SIDE_A, at[0], access_counter(&loop), number);
    pack_steps_along(p, &q, k, k_end);
    access_close_loop(p->a, &loop);
}

/* Panels counted over all outer matrices. */
static void pack_panels(product *p, matrix_side side) {
    dim_table *t = p->t;
    int64_t size = product_tile_size(p, side), depth = product_constant(p, p->depth);
    tn_dim panels = product_panels(p, size, side), at[2], extents[2] = {p->outer, panels};
    int64_t grain = depth > 0 ? CHUNK_ELEMENTS / size / depth : 1;
    access_loop loop;
    tn_dim number = access_open_rows(p->a, dim_mul(t, p->outer, panels), grain > 0 ? grain : 1, &loop);
    access_unravel(p->a, number, 2, extents, at);
    panel q = panel_of(p, side, at[0], at[1], number);
    pack_panel(p, &q);
    access_close_loop(p->a, &loop);
}

void product_pack_steps(product *p, tn_dim outer, tn_dim k, tn_dim k_end, tn_dim column, tn_dim column_end,
                        uint32_t buffer, tn_dim base) {
    dim_table *t = p->t;
    access_loop steps = access_open_loop(p->a, LT_SERIAL, k, k_end, 0, 0);
    tn_dim step = access_counter(&steps), row = dim_const(t, p->how.step_row);
    access_know_range(p->a, step, p->depth);
    access_loop run =
        access_open_loop(p->a, LT_VECTOR, column, column_end, lower_lanes(p->a->fused, p->a->b.machine), 0);
    tn_dim at = access_counter(&run);
    access_know_range(p->a, at, p->side[SIDE_B].extent);
    lt_value x = p->element(p, SIDE_B, outer, at, step);
    if (x != LT_NONE) {
        tn_dim to = dim_add(t, dim_mul(t, dim_sub(t, step, k), row), dim_sub(t, at, column));
        lt_store(&p->a->b, buffer, access_simplify(p->a, dim_add(t, base, to)), lt_convert(&p->a->b, x, p->sum),
                 LT_NONE);
    }
    access_close_loop(p->a, &run);
    access_close_loop(p->a, &steps);
}

/* All columns; a chunk packs some steps. */
static void pack_by_steps(product *p) {
    dim_table *t = p->t;
    operand o = product_packed(p, SIDE_B, dim_const(t, 0));
    int64_t unit = p->step_multiple > 0 ? p->step_multiple : 1, some = CHUNK_ELEMENTS / p->how.step_row / unit;
    tn_dim grain = dim_const(t, (some > 0 ? some : 1) * unit);
    tn_dim parts = dim_ceildiv(t, p->depth, grain), at[2], extents[2] = {p->outer, parts};
    access_unravel(p->a, access_open_stage(p->a, dim_mul(t, p->outer, parts)), 2, extents, at);
    tn_dim k = dim_mul(t, at[1], grain), end = dim_min(t, dim_add(t, k, grain), p->depth);
    tn_dim base = dim_mul_const(t, dim_add(t, dim_mul(t, at[0], p->depth), k), p->how.step_row);
    p->pack_steps(p, at[0], k, end, dim_const(t, 0), p->side[SIDE_B].extent, o.buffer, base);
}

void product_pack_stage(product *p, matrix_side side) {
    if (is_by_steps(p, side))
        pack_by_steps(p);
    else if (is_in_rows(p, side))
        pack_rows(p);
    else if (side == SIDE_A && p->side[side].has_strides)
        pack_steps_of_panels(p);
    else
        pack_panels(p, side);
}

/* ---- For one chunk ---- */

static void pack_panel_number(product *p, tn_dim outer, tn_dim number, int64_t n) {
    tn_dim first = dim_mul_const(p->t, number, p->how.nr);
    panel q = {SIDE_B, p->how.nr, n, outer, first, p->packed[SIDE_B].buffer, dim_mul(p->t, first, p->depth)};
    pack_panel(p, &q);
}

void product_pack_columns(product *p, tn_dim outer) {
    if (!p->how.packs[SIDE_B]) return;
    dim_table *t = p->t;
    int64_t nr = p->how.nr, columns = product_constant(p, p->side[SIDE_B].extent),
            rest = columns < 0 ? 0 : columns % nr;
    tn_dim whole = columns < 0 ? product_panels(p, nr, SIDE_B) : dim_const(t, columns / nr);
    p->is_alone = true;
    p->packed[SIDE_B].buffer =
        lt_add_buffer(&p->a->b, LT_SCRATCH, p->sum, product_packed_elements(p, SIDE_B), "columns");
    access_loop loop = access_open_loop(p->a, LT_SERIAL, dim_const(t, 0), whole, 0, 0);
    pack_panel_number(p, outer, access_counter(&loop), nr);
    access_close_loop(p->a, &loop);
    if (rest) pack_panel_number(p, outer, whole, product_tile_columns(p, rest));
}

operand product_rows_in(const product *p, const product_rows *rows, uint32_t buffer, tn_dim row) {
    tn_dim base = dim_mul_const(p->t, dim_mul(p->t, rows->begin, row), -1);
    return (operand){.buffer = buffer, .base = base, .advance = row, .row = row, .depth = dim_const(p->t, 1)};
}

operand product_take_rows(product *p, const product_rows *rows) {
    if (!p->how.packs[SIDE_A]) return product_in_place(p, SIDE_A, rows->outer);
    tn_dim length = product_row_length(p), size = dim_const(p->t, p->how.row_tiles * p->how.mr);
    uint32_t buffer = lt_add_buffer(&p->a->b, LT_SCRATCH, p->sum, dim_mul(p->t, size, length), "rows");
    bool is_known = product_constant(p, p->side[SIDE_A].extent) >= 0; /* else tiles may reach beyond the last row */
    tn_dim end = is_known ? rows->end : dim_add(p->t, rows->begin, size);
    access_loop loop = access_open_loop(p->a, LT_SERIAL, rows->begin, end, 0, 0);
    if (is_known) access_know_range(p->a, access_counter(&loop), p->side[SIDE_A].extent);
    tn_dim from_first = dim_sub(p->t, access_counter(&loop), rows->begin);
    pack_row(p, rows->outer, access_counter(&loop), buffer, dim_mul(p->t, from_first, length));
    access_close_loop(p->a, &loop);
    return product_rows_in(p, rows, buffer, length);
}
