/* Class window: one window reduction (pooling) with what was fused after it.
 *
 * in:  a fused function with one window whose operand comes from outside, the other members
 *      elementwise on its result
 * out: a stage of result rows; lanes run along the last axis, the elements of a window are
 *      unrolled. Where whole windows lie inside the operand nothing is guarded; the ends of a row, and
 *      rows at the edges, take the neutral element for what lies outside
 * law: elements are combined in row-major order of the window; max and min, to which order is nothing, combine rows
 *      first: those that a row of windows meets become one, lanes side by side, then windows take theirs from it
 */
#include "compiler/loops/classes.h"
#include "runtime/fault.h"

enum {
    MOST_TERMS = 128, /* unrolled for an element */
    CHUNK_TERMS = 1 << 17,
    LEAST_ROWS = 4, /* of windows that are combined before any takes its elements: they must have reached the cache */
};

typedef struct pooling {
    access a;
    dim_table *t;
    const node *window;
    value_id value;
    const tn_type *operand, *result;
    reduce_kind kind;
    tn_dtype sum;
    int rank;
    int64_t terms, size[TN_MAX_RANK], stride[TN_MAX_RANK], dilation[TN_MAX_RANK];
    tn_dim low[TN_MAX_RANK];
    tn_dim index[TN_MAX_RANK]; /* of the result */
    bool guards_rows, guards_ends;
    uint32_t met;          /* max and min: for each row of windows of the chunk, the rows that they meet as one */
    int64_t before, width; /* of that: elements before the operand's first, in all */
    tn_dim met_row;        /* offset of the present one */
} pooling;

static int64_t list_item(const node *n, attr_name name, int i) {
    const attr *list = attr_find(&n->attrs, name);
    return list && list->ints.n ? list->ints.items[i] : 1;
}

static bool read_window(pooling *p, tn_graph *fused) {
    const node *n = lower_anchor(fused, TN_OP_window);
    p->t = fused->module->dims;
    p->window = n;
    p->value = n->first_result;
    p->operand = graph_type(fused, n->operands[0]);
    p->result = graph_type(fused, n->first_result);
    p->kind = (reduce_kind)attr_int(&n->attrs, ATTR_kind, 0);
    p->sum = access_accumulator(fused, n);
    p->rank = p->operand->rank;
    p->terms = 1;
    const attr *low = attr_find(&n->attrs, ATTR_low);
    for (int i = 0; i < p->rank; i++) {
        p->size[i] = list_item(n, ATTR_window, i);
        p->stride[i] = list_item(n, ATTR_stride, i);
        p->dilation[i] = list_item(n, ATTR_dilation, i);
        p->low[i] = low && low->dims.n ? low->dims.items[i] : dim_const(p->t, 0);
        if (p->size[i] < 1 || p->size[i] > MOST_TERMS || (p->terms *= p->size[i]) > MOST_TERMS) return false;
    }
    return p->rank > 0;
}

/* ---- One element ---- */

/* Position in the operand of step `tap` of the window at `at`. */
static tn_dim position(const pooling *p, int axis, tn_dim at, int64_t tap) {
    tn_dim first = dim_sub(p->t, dim_mul_const(p->t, at, p->stride[axis]), p->low[axis]);
    return dim_add_const(p->t, first, tap * p->dilation[axis]);
}

static lt_value both(pooling *p, lt_value x, lt_value y) {
    if (x == LT_NONE || y == LT_NONE) return x == LT_NONE ? y : x;
    return lt_binary(&p->a.b, TN_OP_and, x, y);
}

static lt_value within(pooling *p, int axis, tn_dim d) {
    return access_within(&p->a, d, dim_const(p->t, 0), p->operand->dims[axis]);
}

/* What lies at `index` of the operand, the neutral element where `inside` does not hold. */
static lt_value load(pooling *p, const tn_dim *index, lt_value inside, lt_value neutral) {
    lt_value former = access_push_guard(&p->a, inside);
    lt_value x = access_value(&p->a, p->window->operands[0], index);
    p->a.guard = former;
    if (p->a.b.failed || x == LT_NONE) return neutral;
    x = lt_convert(&p->a.b, x, p->sum);
    if (FAULT(window_neutral)) neutral = lt_const_int(&p->a.b, p->sum, 0);
    return inside == LT_NONE ? x : lt_select(&p->a.b, inside, x, neutral);
}

/* One more element. A sum begins with the neutral element, as it does where nothing is combined; max and min with the
 * first. */
static lt_value combine(pooling *p, lt_value sum, lt_value x) {
    if (sum == LT_NONE && (p->kind == REDUCE_MAX || p->kind == REDUCE_MIN)) return x;
    if (sum == LT_NONE) sum = access_neutral(&p->a, p->kind, p->sum);
    return lt_binary(&p->a.b, access_combiner(p->kind), sum, x);
}

/* The index of term k of the window, but along the last axis; whether it is inside. */
static lt_value find_rows(pooling *p, int64_t k, tn_dim *index) {
    lt_value inside = LT_NONE;
    int64_t rest = k / p->size[p->rank - 1];
    for (int i = p->rank - 1; i-- > 0; rest /= p->size[i]) {
        index[i] = position(p, i, p->index[i], rest % p->size[i]);
        if (p->guards_rows) inside = both(p, inside, within(p, i, index[i]));
    }
    return inside;
}

static void element(void *ctx, tn_dim at) {
    pooling *p = ctx;
    lt_value neutral = access_neutral(&p->a, p->kind, p->sum), sum = LT_NONE;
    p->index[p->rank - 1] = at;
    int last = p->rank - 1;
    for (int64_t k = 0; k < p->terms && !p->a.b.failed; k++) {
        tn_dim index[TN_MAX_RANK];
        lt_value inside = find_rows(p, k, index);
        index[last] = position(p, last, at, k % p->size[last]);
        if (p->guards_ends) inside = both(p, inside, within(p, last, index[last]));
        sum = combine(p, sum, load(p, index, inside, neutral));
    }
    lower_store_anchor(&p->a, p->value, p->index, sum);
}

/* ---- Max and min ---- */

/* Whether rows are worth combining first, all sizes along the last axis being known. */
static bool combines_rows(pooling *p) {
    int last = p->rank - 1;
    int64_t out, in;
    if ((p->kind != REDUCE_MAX && p->kind != REDUCE_MIN) || p->size[last] == 1 || p->terms == p->size[last] ||
        p->stride[last] == 1 || !dim_is_const(p->t, p->result->dims[last], &out) ||
        !dim_is_const(p->t, p->operand->dims[last], &in) || !dim_is_const(p->t, p->low[last], &p->before))
        return false;
    p->width = (out - 1) * p->stride[last] + (p->size[last] - 1) * p->dilation[last] + 1;
    return in > 0 && out > 0 && p->before >= 0 && p->before <= p->width;
}

static void put_met(pooling *p, tn_dim at, lt_value x) {
    tn_dim to = dim_add(p->t, p->met_row, dim_add_const(p->t, at, p->before));
    lt_store(&p->a.b, p->met, access_simplify(&p->a, to), x, LT_NONE);
}

static void no_element(void *ctx, tn_dim at) {
    pooling *p = ctx;
    put_met(p, at, access_neutral(&p->a, p->kind, p->sum));
}

static void combine_column(void *ctx, tn_dim at) {
    pooling *p = ctx;
    lt_value neutral = access_neutral(&p->a, p->kind, p->sum), sum = LT_NONE;
    for (int64_t k = 0; k < p->terms && !p->a.b.failed; k += p->size[p->rank - 1]) {
        tn_dim index[TN_MAX_RANK];
        lt_value inside = find_rows(p, k, index);
        index[p->rank - 1] = at;
        sum = combine(p, sum, load(p, index, inside, neutral));
    }
    put_met(p, at, sum);
}

static void combine_rows(pooling *p, bool guards_rows) {
    tn_dim first = dim_const(p->t, -p->before), zero = dim_const(p->t, 0),
           behind = dim_const(p->t, p->width - p->before), end = dim_min(p->t, p->operand->dims[p->rank - 1], behind);
    p->guards_rows = guards_rows;
    lower_run(&p->a, first, zero, no_element, p);
    lower_run(&p->a, zero, end, combine_column, p);
    lower_run(&p->a, end, behind, no_element, p);
}

static void take_elements(void *ctx, tn_dim at) {
    pooling *p = ctx;
    int last = p->rank - 1;
    lt_value sum = LT_NONE;
    tn_dim first = dim_add(p->t, p->met_row, dim_mul_const(p->t, at, p->stride[last]));
    p->index[last] = at;
    for (int64_t tap = 0; tap < p->size[last]; tap++) {
        tn_dim from = access_simplify(&p->a, dim_add_const(p->t, first, tap * p->dilation[last]));
        sum = combine(p, sum, lt_load(&p->a.b, p->met, from, LT_NONE));
    }
    lower_store_anchor(&p->a, p->value, p->index, sum);
}

/* ---- Rows ---- */

/* The part of the row whose windows lie inside the operand. */
static void inside_part(pooling *p, tn_dim *first, tn_dim *end) {
    dim_table *t = p->t;
    int last = p->rank - 1;
    tn_dim stride = dim_const(t, p->stride[last]), extent = p->result->dims[last];
    int64_t reach = (p->size[last] - 1) * p->dilation[last];
    tn_dim after = dim_add_const(t, dim_add(t, p->operand->dims[last], p->low[last]), -reach);
    *first = dim_min(t, dim_max(t, dim_ceildiv(t, p->low[last], stride), dim_const(t, 0)), extent);
    *end = dim_max(t, dim_min(t, dim_ceildiv(t, after, stride), extent), *first);
}

static void whole_row(pooling *p, bool guards_rows) {
    tn_dim first, end;
    inside_part(p, &first, &end);
    p->guards_rows = guards_rows;
    p->guards_ends = true;
    lower_run(&p->a, dim_const(p->t, 0), first, element, p);
    p->guards_ends = false;
    lower_run(&p->a, first, end, element, p);
    p->guards_ends = true;
    lower_run(&p->a, end, p->result->dims[p->rank - 1], element, p);
}

/* A row of windows; `body` with whether some lie outside. */
static void row(pooling *p, void (*body)(pooling *p, bool guards_rows)) {
    lt_value inside = LT_NONE;
    for (int i = 0; i + 1 < p->rank; i++) {
        inside = both(p, inside, within(p, i, position(p, i, p->index[i], 0)));
        inside = both(p, inside, within(p, i, position(p, i, p->index[i], p->size[i] - 1)));
    }
    if (inside == LT_NONE) {
        body(p, false);
        return;
    }
    lt_block *outer = p->a.b.block;
    lt_stmt *branch = lt_open_if(&p->a.b, inside);
    body(p, false);
    lt_else(&p->a.b, branch);
    body(p, true);
    lt_close_if(&p->a.b, branch, outer);
}

/* ---- Stages ---- */

static void open_row(pooling *p, tn_dim number) {
    access_unravel(&p->a, number, p->rank - 1, p->result->dims, p->index);
}

static void rows_stage(pooling *p, tn_dim total, int64_t grain) {
    access_loop rows;
    open_row(p, access_open_rows(&p->a, total, grain, &rows));
    row(p, whole_row);
    access_close_loop(&p->a, &rows);
}

/* A chunk's rows of windows: first all are combined, then windows take their elements. */
static void combined_stage(pooling *p, tn_dim total, int64_t grain) {
    dim_table *t = p->t;
    p->met = lt_add_buffer(&p->a.b, LT_SCRATCH, p->sum, dim_const(t, grain * p->width), "met");
    tn_dim begin = dim_mul_const(t, access_open_stage(&p->a, dim_ceildiv(t, total, dim_const(t, grain))), grain);
    tn_dim end = dim_min(t, dim_add_const(t, begin, grain), total);
    for (int takes = 0; takes < 2; takes++) {
        access_loop rows = access_open_loop(&p->a, LT_SERIAL, begin, end, 0, 0);
        access_know_range(&p->a, access_counter(&rows), total);
        p->met_row = dim_mul_const(t, dim_sub(t, access_counter(&rows), begin), p->width);
        open_row(p, access_counter(&rows));
        if (takes)
            lower_run(&p->a, dim_const(t, 0), p->result->dims[p->rank - 1], take_elements, p);
        else
            row(p, combine_rows);
        access_close_loop(&p->a, &rows);
    }
}

/* ---- Entries ---- */

bool window_takes(const tn_graph *fused) { return lower_anchor(fused, TN_OP_window) != NULL; }

lt_kernel *window_lower(tn_graph *fused, const machine *m) {
    pooling p = {0};
    if (!access_open(&p.a, fused, "window", m)) return access_close(&p.a);
    if (!read_window(&p, fused)) {
        access_close(&p.a);
        return lower_noted(map_lower(fused, m), m,
                           "the window's extents are not all known, or it has too many elements: each "
                           "result combines its window by itself");
    }
    int64_t width = 64;
    dim_is_const(p.t, p.result->dims[p.rank - 1], &width);
    int64_t grain = CHUNK_TERMS / p.terms / (width > 0 && width < CHUNK_TERMS ? width : CHUNK_TERMS);
    tn_dim rows = dim_product(p.t, p.result->dims, p.rank - 1);
    if (grain < 1) grain = 1;
    int64_t fitting = combines_rows(&p) ? (int64_t)m->l1_bytes / 2 / (p.width * tn_dtype_bits(p.sum) / 8) : 0;
    if (fitting >= LEAST_ROWS)
        lt_note(&p.a.b,
                "rows of a window are combined first, then its columns: fewer steps, and %lld rows fit half of the L1",
                (long long)(grain < fitting ? grain : fitting));
    else
        lt_note(&p.a.b, "a row of results at a time, lanes along it");
    if (fitting >= LEAST_ROWS)
        combined_stage(&p, rows, grain < fitting ? grain : fitting);
    else
        rows_stage(&p, rows, grain);
    return access_close(&p.a);
}
