/* Class window: one window reduction (pooling) with what was fused after it.
 *
 * in:  a fused function with one window whose operand comes from outside, the other members
 *      elementwise on its result
 * out: a stage of result rows; lanes run along the last axis, the elements of a window are
 *      unrolled. Where whole windows lie inside the operand nothing is guarded; the ends of a row, and
 *      rows at the edges, take the neutral element for what lies outside
 * law: elements are combined in row-major order of the window
 */
#include "compiler/loops/classes.h"

enum {
    MOST_TERMS = 128, /* unrolled for an element */
    CHUNK_TERMS = 1 << 17,
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

static lt_value term(pooling *p, const int64_t *tap, lt_value neutral) {
    tn_dim index[TN_MAX_RANK];
    lt_value inside = LT_NONE;
    for (int i = 0; i < p->rank; i++) {
        index[i] = position(p, i, p->index[i], tap[i]);
        if (i == p->rank - 1 ? p->guards_ends : p->guards_rows) inside = both(p, inside, within(p, i, index[i]));
    }
    lt_value former = access_push_guard(&p->a, inside);
    lt_value x = access_value(&p->a, p->window->operands[0], index);
    p->a.guard = former;
    if (p->a.b.failed || x == LT_NONE) return neutral;
    x = lt_convert(&p->a.b, x, p->sum);
    return inside == LT_NONE ? x : lt_select(&p->a.b, inside, x, neutral);
}

static void element(void *ctx, tn_dim at) {
    pooling *p = ctx;
    lt_value neutral = access_neutral(&p->a, p->kind, p->sum), sum = neutral;
    p->index[p->rank - 1] = at;
    for (int64_t k = 0; k < p->terms && !p->a.b.failed; k++) {
        int64_t tap[TN_MAX_RANK], rest = k;
        for (int i = p->rank; i-- > 0; rest /= p->size[i]) tap[i] = rest % p->size[i];
        lt_value x = term(p, tap, neutral);
        sum = lt_binary(&p->a.b, access_combiner(p->kind), sum, x);
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

static void row(pooling *p) {
    lt_value inside = LT_NONE;
    for (int i = 0; i + 1 < p->rank; i++) {
        inside = both(p, inside, within(p, i, position(p, i, p->index[i], 0)));
        inside = both(p, inside, within(p, i, position(p, i, p->index[i], p->size[i] - 1)));
    }
    if (inside == LT_NONE) {
        whole_row(p, false);
        return;
    }
    lt_block *outer = p->a.b.block;
    lt_stmt *branch = lt_open_if(&p->a.b, inside);
    whole_row(p, false);
    lt_else(&p->a.b, branch);
    whole_row(p, true);
    lt_close_if(&p->a.b, branch, outer);
}

/* ---- Entries ---- */

bool window_takes(const tn_graph *fused) { return lower_anchor(fused, TN_OP_window) != NULL; }

lt_kernel *window_lower(tn_graph *fused, const machine *m) {
    pooling p = {0};
    if (!access_open(&p.a, fused, "window", m)) return access_close(&p.a);
    if (!read_window(&p, fused)) {
        access_close(&p.a);
        return map_lower(fused, m);
    }
    int64_t width = 64;
    dim_is_const(p.t, p.result->dims[p.rank - 1], &width);
    int64_t grain = CHUNK_TERMS / p.terms / (width > 0 && width < CHUNK_TERMS ? width : CHUNK_TERMS);
    access_loop rows;
    tn_dim number = access_open_rows(&p.a, dim_product(p.t, p.result->dims, p.rank - 1), grain > 0 ? grain : 1, &rows);
    access_unravel(&p.a, number, p.rank - 1, p.result->dims, p.index);
    row(&p);
    access_close_loop(&p.a, &rows);
    return access_close(&p.a);
}
