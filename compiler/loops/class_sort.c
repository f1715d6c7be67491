/* Class sort: sort and top_k, a merge sort from the bottom up.
 *
 * in:  a fused function whose results are those of one sort or top_k; operands may be read
 *      through views
 * out: a stage of rows. A row's keys and positions are brought to scratch; passes merge runs of
 *      1, 2, 4, ... elements from one pair of buffers to the other and copy them back; at last
 *      every operand is read at the sorted positions
 * law: stable; NaN counts as greatest. The number of passes is the logarithm of the extent; when
 *      that is symbolic, passes over runs that are long enough already have nothing to do
 */
#include "compiler/loops/classes.h"

bool sort_takes(const tn_graph *fused) {
    if (fused->n_results == 0) return false;
    const node *n = graph_node_of(fused, fused->results[0].value);
    for (size_t r = 0; r < fused->n_results; r++)
        if (graph_node_of(fused, fused->results[r].value) != n) return false;
    return n->op == TN_OP_sort || n->op == TN_OP_top_k;
}

enum { MAX_PASSES = 62 };

typedef struct sorter {
    access a;
    dim_table *t;
    const node *n;
    const tn_type *type; /* of the keys */
    int axis;
    bool descending;
    tn_dim extent;
    tn_dim index[TN_MAX_RANK];      /* of the present row */
    uint32_t keys[2], positions[2]; /* scratch buffers: from, to */
} sorter;

static lt_value int_const(sorter *s, int64_t value) { return lt_const_int(&s->a.b, TN_I64, value); }

/* x stands strictly before y. */
static lt_value precedes(sorter *s, lt_value x, lt_value y) {
    lt_builder *b = &s->a.b;
    if (s->descending) {
        lt_value other = x;
        x = y;
        y = other;
    }
    lt_value less = lt_compare(b, COMPARE_LT, x, y);
    tn_dtype dtype = lt_dtype(b, x);
    if (dtype != TN_F16 && dtype != TN_BF16 && dtype != TN_F32 && dtype != TN_F64) return less;
    lt_value number = lt_compare(b, COMPARE_EQ, x, x), nan = lt_compare(b, COMPARE_NE, y, y);
    return lt_binary(b, TN_OP_or, less, lt_binary(b, TN_OP_and, number, nan));
}

static void bring_keys(sorter *s) {
    access_loop loop = access_open_loop(&s->a, LT_SERIAL, dim_const(s->t, 0), s->extent, 0, 0);
    s->index[s->axis] = access_counter(&loop);
    lt_value key = access_value(&s->a, s->n->operands[0], s->index);
    if (key != LT_NONE) lt_store(&s->a.b, s->keys[0], access_counter(&loop), key, LT_NONE);
    lt_store(&s->a.b, s->positions[0], access_counter(&loop), lt_dim_value(&s->a.b, access_counter(&loop)), LT_NONE);
    access_close_loop(&s->a, &loop);
}

/* Merges runs [low, middle) and [middle, high) of the first buffers into the second. */
static void merge_runs(sorter *s, tn_dim low, tn_dim middle, tn_dim high) {
    lt_builder *b = &s->a.b;
    lt_value start[2] = {lt_dim_value(b, low), lt_dim_value(b, middle)}, at[2], is_open[2], key[2], position[2],
             next[2];
    lt_value limit[2] = {lt_dim_value(b, middle), lt_dim_value(b, high)};
    access_loop loop = access_open_loop(&s->a, LT_SERIAL, low, high, 0, 2);
    for (uint32_t k = 0; k < 2; k++) at[k] = lt_carry_in(b, loop.stmt, k, start[k], TN_OP_COUNT);
    for (int k = 0; k < 2; k++) {
        tn_dim from = lt_bind(b, at[k], s->extent, dim_const(s->t, 0), LT_NONE);
        is_open[k] = lt_compare(b, COMPARE_LT, at[k], limit[k]);
        key[k] = lt_load(b, s->keys[0], from, LT_NONE);
        position[k] = lt_load(b, s->positions[0], from, LT_NONE);
    }
    /* The left one, unless it is used up or the right one stands before it. */
    lt_value right_first = lt_binary(b, TN_OP_and, is_open[1], precedes(s, key[1], key[0]));
    lt_value take_left = lt_binary(b, TN_OP_and, is_open[0], lt_unary(b, TN_OP_not, right_first));
    lt_store(b, s->keys[1], access_counter(&loop), lt_select(b, take_left, key[0], key[1]), LT_NONE);
    lt_store(b, s->positions[1], access_counter(&loop), lt_select(b, take_left, position[0], position[1]), LT_NONE);
    lt_value left_step = lt_convert(b, take_left, TN_I64);
    next[0] = lt_binary(b, TN_OP_add, at[0], left_step);
    next[1] = lt_binary(b, TN_OP_add, at[1], lt_binary(b, TN_OP_sub, int_const(s, 1), left_step));
    for (uint32_t k = 0; k < 2; k++) lt_carry_next(loop.stmt, k, next[k]);
    access_close_loop(&s->a, &loop);
}

static void copy_back(sorter *s, tn_dim count) {
    uint32_t lanes = (uint32_t)machine_lanes(s->a.b.machine, 64);
    access_loop loop = access_open_loop(&s->a, LT_VECTOR, dim_const(s->t, 0), count, lanes, 0);
    tn_dim i = access_counter(&loop);
    lt_store(&s->a.b, s->keys[0], i, lt_load(&s->a.b, s->keys[1], i, LT_NONE), LT_NONE);
    lt_store(&s->a.b, s->positions[0], i, lt_load(&s->a.b, s->positions[1], i, LT_NONE), LT_NONE);
    access_close_loop(&s->a, &loop);
}

/* One pass over runs of `width`, a carried value that doubles. */
static lt_value merge_pass(sorter *s, lt_value width) {
    lt_builder *b = &s->a.b;
    lt_value n = lt_dim_value(b, s->extent), is_needed = lt_compare(b, COMPARE_LT, width, n);
    tn_dim beyond = dim_add_const(s->t, s->extent, 1);
    tn_dim w = lt_bind(b, width, beyond, dim_const(s->t, 0), LT_NONE);
    tn_dim count = lt_bind(b, lt_select(b, is_needed, n, int_const(s, 0)), beyond, dim_const(s->t, 0), LT_NONE);
    access_add_range(&s->a, w, dim_const(s->t, 1), s->extent);
    access_add_range(&s->a, count, dim_const(s->t, 0), s->extent);
    tn_dim twice = dim_mul_const(s->t, w, 2);
    access_loop blocks = access_open_loop(&s->a, LT_SERIAL, dim_const(s->t, 0), dim_ceildiv(s->t, count, twice), 0, 0);
    tn_dim low = dim_mul(s->t, access_counter(&blocks), twice);
    tn_dim middle = dim_min(s->t, dim_add(s->t, low, w), s->extent),
           high = dim_min(s->t, dim_add(s->t, low, twice), s->extent);
    merge_runs(s, low, middle, high);
    access_close_loop(&s->a, &blocks);
    copy_back(s, count);
    return lt_select(b, is_needed, lt_binary(b, TN_OP_add, width, width), width);
}

static int64_t count_passes(const sorter *s) {
    int64_t known, passes = 0;
    if (!dim_is_const(s->t, s->extent, &known)) return MAX_PASSES;
    while (passes < MAX_PASSES && (INT64_C(1) << passes) < known) passes++;
    return passes;
}

static void merge_all(sorter *s) {
    lt_value one = int_const(s, 1);
    access_loop passes = access_open_loop(&s->a, LT_SERIAL, dim_const(s->t, 0), dim_const(s->t, count_passes(s)), 0, 1);
    lt_value width = lt_carry_in(&s->a.b, passes.stmt, 0, one, TN_OP_COUNT);
    lt_carry_next(passes.stmt, 0, merge_pass(s, width));
    access_close_loop(&s->a, &passes);
}

/* sort: every operand at the sorted positions. top_k: keys and positions. */
static void store_sorted(sorter *s) {
    const tn_type *out = graph_type(s->a.fused, s->n->first_result);
    access_loop loop = access_open_loop(&s->a, LT_SERIAL, dim_const(s->t, 0), out->dims[s->axis], 0, 0);
    tn_dim to[TN_MAX_RANK], from[TN_MAX_RANK];
    for (int i = 0; i < s->type->rank; i++) to[i] = from[i] = i == s->axis ? access_counter(&loop) : s->index[i];
    lt_value position = lt_load(&s->a.b, s->positions[0], access_counter(&loop), LT_NONE);
    from[s->axis] = lt_bind(&s->a.b, position, s->extent, dim_const(s->t, 0), LT_NONE);
    for (uint32_t r = 0; r < s->a.fused->n_results; r++) {
        uint32_t which = s->a.fused->values[s->a.fused->results[r].value].result;
        lt_value v = s->n->op == TN_OP_top_k && which == 1
                         ? position
                         : access_value(&s->a, s->n->operands[s->n->op == TN_OP_sort ? which : 0], from);
        if (v != LT_NONE) access_store_result(&s->a, r, to, v);
    }
    access_close_loop(&s->a, &loop);
}

static void lower_rows(sorter *s) {
    tn_dim others[TN_MAX_RANK], index[TN_MAX_RANK];
    int n = 0, at = 0;
    for (int i = 0; i < s->type->rank; i++)
        if (i != s->axis) others[n++] = s->type->dims[i];
    for (int k = 0; k < 2; k++) {
        s->keys[k] = lt_add_buffer(&s->a.b, LT_SCRATCH, (tn_dtype)s->type->dtype, s->extent, NULL);
        s->positions[k] = lt_add_buffer(&s->a.b, LT_SCRATCH, TN_I64, s->extent, NULL);
    }
    access_loop rows;
    tn_dim row = access_open_rows(&s->a, dim_product(s->t, others, n), 1, &rows);
    access_unravel(&s->a, row, n, others, index);
    for (int i = 0; i < s->type->rank; i++)
        if (i != s->axis) s->index[i] = index[at++];
    bring_keys(s);
    merge_all(s);
    store_sorted(s);
    access_close_loop(&s->a, &rows);
}

lt_kernel *sort_lower(tn_graph *fused, const machine *m) {
    sorter s = {.t = fused->module->dims, .n = graph_node_of(fused, fused->results[0].value)};
    s.type = graph_type(fused, s.n->operands[0]);
    s.axis = (int)attr_int(&s.n->attrs, ATTR_axis, 0);
    s.descending = attr_int(&s.n->attrs, ATTR_descending, 0) != 0;
    s.extent = s.type->dims[s.axis];
    if (access_open(&s.a, fused, "sort", m)) lower_rows(&s);
    return access_close(&s.a);
}
