/* Strassen: large products by weights are seven products of half the size instead of eight.
 *
 * in:  main, of primitives
 * out: where a `dot` of f32 multiplies many rows by a large matrix known at load time, both are cut in quarters and
 *      multiplied in Winograd's form of Strassen's algorithm, once, not down to smaller quarters:
 *        s1 = a21 + a22   t1 = b12 - b11     m1 = a11 b11   m5 = s1 t1     c11 = m1 + m2
 *        s2 = s1 - a11    t2 = b22 - t1      m2 = a12 b21   m6 = s2 t2     c12 = m1 + m6 + m5 + m3
 *        s3 = a11 - a21   t3 = b22 - b12     m3 = s4 b22    m7 = s3 t3     c21 = m1 + m6 + m7 - m4
 *        s4 = a12 - s2    t4 = t2 - b21      m4 = a22 t4                   c22 = m1 + m6 + m7 + m5
 *      The sums of weights move to `prepare` (hoist.c): seven quarters are stored for four
 * law: errors are relative to the largest elements of the matrices, not to those that an element of the result is
 *      made of, and weights take 1.75 times the memory. So the option `strassen` asks for it
 *
 * A product's result stays in quarters as long as what reads it is elementwise, or is the next product: only
 * then the sums are part of the products' kernels, and nothing is copied together in between.
 */
#include "compiler/passes/passes.h"
#include "ir/build.h"

enum {
    LEAST_ROWS = 128,
    LEAST_DEPTH = 512, /* below, additions cost what the product saves */
    LEAST_COLUMNS = 512,
    MOST_OPERANDS = 4, /* of an elementwise node */
};

#define STORED 1.75 /* of the weights' bytes */

/* A value in quarters: the halves along axis[0], and of each the halves along axis[1]. */
typedef struct quarters {
    bool exist, have_sums;
    int axis[2];
    tn_val of[2][2], sums[4];
} quarters;

typedef struct splitter {
    const pass_options *options;
    load_time what;
    quarters *values; /* by values of the old function */
    bool *is_result;
} splitter;

/* A product that is to be split. */
typedef struct split_dot {
    int rows, depth[2], columns; /* axes: of the first operand, of both, of the second */
    int result_rows, result_columns;
} split_dot;

/* ---- Quarters ---- */

static tn_val half(tn_val v, int axis, int number) {
    int64_t extent = 0;
    dim_is_const(v.graph->module->dims, graph_type(v.graph, v.id)->dims[axis], &extent);
    return tn_slice_at(TN_HERE, v, axis, number * (extent / 2), (number + 1) * (extent / 2), 1);
}

static quarters cut(tn_val v, const int *axis) {
    quarters q = {.exist = true, .axis = {axis[0], axis[1]}};
    for (int i = 0; i < 2; i++) {
        tn_val rows = half(v, axis[0], i);
        for (int j = 0; j < 2; j++) q.of[i][j] = half(rows, axis[1], j);
    }
    return q;
}

/* The old value v as one, in the new function. */
static value_id whole(const splitter *s, value_id v, value_id *map) {
    const quarters *q = &s->values[v];
    if (map[v] != VALUE_NONE || !q->exist) return map[v];
    tn_val rows[2];
    for (int i = 0; i < 2; i++) rows[i] = tn_concat_at(TN_HERE, q->of[i], 2, q->axis[1]);
    return map[v] = tn_concat_at(TN_HERE, rows, 2, q->axis[0]).id;
}

/* The old value v in quarters along these axes; kept when it has no others. */
static quarters *in_quarters(splitter *s, tn_graph *to, value_id v, const int *axis, value_id *map, quarters *own) {
    quarters *q = &s->values[v];
    if (q->exist && q->axis[0] == axis[0] && q->axis[1] == axis[1]) return q;
    *own = cut((tn_val){to, whole(s, v, map)}, axis);
    if (q->exist) return own;
    *q = *own;
    return q;
}

/* ---- Which products ---- */

static int64_t extent_of(const tn_graph *g, value_id v, int axis) {
    int64_t extent;
    return dim_is_const(g->module->dims, graph_type(g, v)->dims[axis], &extent) ? extent : -1;
}

static bool is_even(int64_t extent, int64_t least) { return extent >= least && extent % 2 == 0; }

/* The longest axis of x that is not summed over; *rows: of all such. */
static int longest_axis(const tn_graph *g, value_id x, int summed, int64_t *rows) {
    int longest = -1;
    *rows = 1;
    for (int i = 0; i < graph_type(g, x)->rank; i++) {
        int64_t extent = extent_of(g, x, i);
        if (extent < 1) return -1;
        if (i == summed) continue;
        *rows *= extent;
        if (longest < 0 || extent > extent_of(g, x, longest)) longest = i;
    }
    return longest;
}

static bool read_dot(const splitter *s, const tn_graph *g, const node *n, split_dot *d) {
    if (n->op != TN_OP_dot || s->what.known[n - g->nodes] || !s->what.known[g->values[n->operands[1]].node])
        return false;
    value_id x = n->operands[0], w = n->operands[1];
    const attr *batch = attr_find(&n->attrs, ATTR_batch), *contract = attr_find(&n->attrs, ATTR_contract);
    if ((batch && batch->split > 0) || !contract || contract->split != 1 || graph_type(g, w)->rank != 2) return false;
    if (graph_type(g, x)->dtype != TN_F32 || graph_type(g, w)->dtype != TN_F32 ||
        attr_int(&n->attrs, ATTR_acc, TN_F32) != TN_F32)
        return false;
    int64_t rows;
    d->depth[0] = (int)contract->ints.items[0];
    d->depth[1] = (int)contract->ints.items[1];
    d->columns = 1 - d->depth[1];
    d->rows = longest_axis(g, x, d->depth[0], &rows);
    if (d->rows < 0 || rows < LEAST_ROWS || !is_even(extent_of(g, x, d->rows), 2) ||
        !is_even(extent_of(g, w, d->depth[1]), LEAST_DEPTH) || !is_even(extent_of(g, w, d->columns), LEAST_COLUMNS))
        return false;
    d->result_rows = d->rows - (d->rows > d->depth[0]);
    d->result_columns = graph_type(g, n->first_result)->rank - 1;
    double bytes = (double)extent_of(g, w, 0) * (double)extent_of(g, w, 1) * (double)sizeof(float) * STORED;
    return load_time_accepts(s->options, bytes, s->what.origin[g->values[w].node]);
}

/* ---- The seven products ---- */

static void sum_rows(quarters *a) {
    if (a->have_sums) return;
    a->have_sums = true;
    a->sums[0] = tn_add(a->of[1][0], a->of[1][1]);
    a->sums[1] = tn_sub(a->sums[0], a->of[0][0]);
    a->sums[2] = tn_sub(a->of[0][0], a->of[1][0]);
    a->sums[3] = tn_sub(a->of[0][1], a->sums[1]);
}

static bool split(splitter *s, tn_graph *to, const node *n, const split_dot *d, value_id *map) {
    int of_a[2] = {d->rows, d->depth[0]}, of_b[2] = {d->depth[1], d->columns};
    quarters own, *a = in_quarters(s, to, n->operands[0], of_a, map, &own);
    quarters b = cut((tn_val){to, map[n->operands[1]]}, of_b);
    sum_rows(a);
    tn_val t1 = tn_sub(b.of[0][1], b.of[0][0]), t2 = tn_sub(b.of[1][1], t1), t3 = tn_sub(b.of[1][1], b.of[0][1]),
           t4 = tn_sub(t2, b.of[1][0]);
    const tn_val left[7] = {a->of[0][0], a->of[0][1], a->sums[3], a->of[1][1], a->sums[0], a->sums[1], a->sums[2]};
    const tn_val right[7] = {b.of[0][0], b.of[1][0], b.of[1][1], t4, t1, t2, t3};
    tn_val m[7];
    for (int i = 0; i < 7; i++)
        m[i] = tn_dot(left[i], right[i], TN_NO_INTS, TN_NO_INTS, TN_INTS(d->depth[0]), TN_INTS(d->depth[1]));
    tn_val u2 = tn_add(m[0], m[5]), u3 = tn_add(u2, m[6]), u4 = tn_add(u2, m[4]);
    s->values[n->first_result] =
        (quarters){.exist = true,
                   .axis = {d->result_rows, d->result_columns},
                   .of = {{tn_add(m[0], m[1]), tn_add(u4, m[2])}, {tn_sub(u3, m[3]), tn_add(u3, m[4])}}};
    return true;
}

/* ---- What reads them ---- */

/* An operand of an elementwise node of which there are only quarters; NULL: none. */
static const quarters *operand_in_quarters(const splitter *s, const node *n, const value_id *map) {
    if (op_table[n->op].loop_class != CLASS_MAP || n->op == TN_OP_rng_bits || n->n_operands > MOST_OPERANDS)
        return NULL;
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (s->values[n->operands[k]].exist && map[n->operands[k]] == VALUE_NONE) return &s->values[n->operands[k]];
    return NULL;
}

static bool split_elements(splitter *s, tn_graph *to, const node *n, const int *axis, value_id *map) {
    tn_val operands[MOST_OPERANDS];
    build b;
    quarters result = {.exist = true, .axis = {axis[0], axis[1]}};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            for (uint32_t k = 0; k < n->n_operands; k++) {
                quarters own;
                operands[k] = in_quarters(s, to, n->operands[k], axis, map, &own)->of[i][j];
            }
            if (!build_open(&b, TN_HERE, "strassen", to, operands, (int)n->n_operands)) return false;
            result.of[i][j] = build_apply(&b, (tn_op)n->op, operands, (int)n->n_operands, n->attrs.items, n->attrs.n);
        }
    s->values[n->first_result] = result;
    return true;
}

static bool visit(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    splitter *s = ctx;
    split_dot d;
    const quarters *of_operand = operand_in_quarters(s, n, map);
    if (read_dot(s, from, n, &d)) {
        if (!split(s, to, n, &d, map)) return false;
    } else if (of_operand) {
        int axis[2] = {of_operand->axis[0], of_operand->axis[1]};
        if (!split_elements(s, to, n, axis, map)) return false;
    } else {
        for (uint32_t k = 0; k < n->n_operands; k++) whole(s, n->operands[k], map);
        return graph_copy_node(to, from, n, map);
    }
    if (s->is_result[n->first_result]) whole(s, n->first_result, map);
    return to->module->error.status == TN_OK;
}

bool pass_strassen(tn_module *m, const pass_options *o) {
    tn_graph *g = module_main(m);
    if (!g || !o->strassen || o->calls_blas || o->weights != WEIGHTS_F32 || !o->panel_columns ||
        module_find(m, "prepare"))
        return true;
    splitter s = {.options = o,
                  .values = tn_calloc(g->n_values + 1, sizeof *s.values),
                  .is_result = tn_calloc(g->n_values + 1, sizeof *s.is_result)};
    bool ok = s.values && s.is_result;
    if (!ok) module_no_memory(m);
    for (size_t r = 0; ok && r < g->n_results; r++) s.is_result[g->results[r].value] = true;
    ok = ok && load_time_find(&s.what, g, NULL, o) && graph_rebuild(g, true, visit, &s) != NULL;
    load_time_free(&s.what);
    tn_free(s.values);
    tn_free(s.is_result);
    return ok;
}
