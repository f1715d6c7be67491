/* Class reduce: rows reduced in phases, with what was fused around them.
 *
 * in:  a fused function whose reductions all run over the same axes of one shape, the domain;
 *      other members have the domain's shape or that of a row (fusion's ROWS groups)
 * out: a stage of rows; for each row one loop over the reduced axes a phase, then one that
 *      stores the results that have the domain's shape
 * law: a reduction's lanes are merged by the fixed tree of vector loops; nothing is carried
 *      from row to row
 *
 * Lanes run along the reduced axes when the last axis is among them, else along the trailing
 * kept axes: of sums, a run of columns after the other, down many rows (class_reduce_columns.c), else
 * many columns at a time. argmax and argmin have no merge of lanes: they are computed
 * in place by access.c.
 */
#include "compiler/loops/class_reduce.h"

enum { CHUNK_ELEMENTS = 16384 };

bool reduce_takes(const tn_graph *fused) {
    static const loop_class others[] = {CLASS_CUMULATE, CLASS_CONTRACT, CLASS_CONV,
                                        CLASS_WINDOW,   CLASS_SORT,     CLASS_CONTROL};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (lower_has_class(fused, others[i])) return false;
    rows s = {.g = (tn_graph *)fused, .t = fused->module->dims};
    bool whole;
    tn_dim index[TN_MAX_RANK];
    if (!rows_find_domain(&s) || s.domain.rank == 0 || lower_single(fused, TN_OP_scatter)) return false;
    for (size_t r = 0; r < fused->n_results; r++)
        if (!rows_index_of(&s, graph_type(fused, fused->results[r].value), &whole, index)) return false;
    return true;
}

void reduce_store_results(rows *s, bool whole_ones) {
    tn_dim index[TN_MAX_RANK];
    bool whole;
    for (uint32_t r = 0; r < s->g->n_results; r++) {
        value_id v = s->g->results[r].value;
        if (rows_index_of(s, graph_type(s->g, v), &whole, index) && whole == whole_ones)
            access_store_result(s->a, r, index, access_value(s->a, v, index));
    }
}

static void store_whole_results(rows *s, void *ctx) {
    (void)ctx;
    reduce_store_results(s, true);
}

bool reduce_has_whole_result(const rows *s) {
    tn_dim index[TN_MAX_RANK];
    bool whole, any = false;
    for (uint32_t r = 0; r < s->g->n_results; r++)
        any |= rows_index_of(s, graph_type(s->g, s->g->results[r].value), &whole, index) && whole;
    return any;
}

/* One row, or as many as there are lanes. */
static void lower_row(rows *s) {
    rows_reduce(s, VALUE_NONE);
    reduce_store_results(s, false);
    if (reduce_has_whole_result(s)) rows_sweep(s, store_whole_results, NULL);
    rows_forget(s);
}

/* ---- Rows ---- */

static int64_t row_grain(rows *s) {
    int64_t elements = 1, extent;
    for (int i = 0; i < s->domain.rank; i++)
        if (s->reduced[i] || i >= s->lanes_from)
            elements *=
                dim_is_const(s->t, s->domain.dims[i], &extent) && extent > 0 && extent < CHUNK_ELEMENTS ? extent : 64;
    return elements >= CHUNK_ELEMENTS || elements < 1 ? 1 : CHUNK_ELEMENTS / elements;
}

/* Kept axes before `lanes_from` by the row's number. */
static void unravel_row(rows *s, tn_dim row) {
    tn_dim extents[TN_MAX_RANK], index[TN_MAX_RANK];
    int n = 0, at = 0;
    for (int i = 0; i < s->lanes_from; i++)
        if (!s->reduced[i]) extents[n++] = s->domain.dims[i];
    access_unravel(s->a, row, n, extents, index);
    for (int i = 0; i < s->lanes_from; i++)
        if (!s->reduced[i]) s->index[i] = index[at++];
}

static void lower_rows(rows *s) {
    bool along = s->reduced[s->domain.rank - 1];
    s->lanes_from = s->domain.rank;
    while (s->lanes_from > 0 && s->reduced[s->lanes_from - 1] == along) s->lanes_from--;
    if (reduce_suits_columns(s)) {
        lt_note(&s->a->b,
                "rows are added to sums of a run of columns, so that memory is read along the rows: the last axis is "
                "kept, not summed over");
        reduce_lower_columns(s);
        return;
    }
    tn_dim total = dim_const(s->t, 1);
    for (int i = 0; i < s->lanes_from; i++)
        if (!s->reduced[i]) total = dim_mul(s->t, total, s->domain.dims[i]);
    access_loop row_loop, lanes;
    tn_dim row = access_open_rows(s->a, total, row_grain(s), &row_loop);
    unravel_row(s, row);
    lt_note(&s->a->b, along ? "lanes run along the axes that are summed over and are merged at the end of each row"
                            : "lanes run along the axes that are kept, each with a chain of its own");
    if (s->n_phases > 1)
        lt_note(&s->a->b, "%d loops over each row: what comes later needs the results of the earlier ones",
                (int)s->n_phases);
    if (along)
        lower_row(s);
    else {
        int n = s->domain.rank - s->lanes_from;
        tn_dim extent = dim_product(s->t, s->domain.dims + s->lanes_from, n);
        lanes = access_open_loop(s->a, LT_VECTOR, dim_const(s->t, 0), extent,
                                 lower_lanes_for(s->g, s->a->b.machine, extent), 0);
        access_unravel(s->a, access_counter(&lanes), n, s->domain.dims + s->lanes_from, s->index + s->lanes_from);
        lower_row(s);
        access_close_loop(s->a, &lanes);
    }
    access_close_loop(s->a, &row_loop);
}

lt_kernel *reduce_lower(tn_graph *fused, const machine *m) {
    access a;
    rows s = {.a = &a, .g = fused, .t = fused->module->dims, .held = VALUE_NONE, .makes_place = true};
    bool ok = access_open(&a, fused, "reduce", m) && rows_find_domain(&s) && rows_find_phases(&s);
    if (ok) lower_rows(&s);
    a.b.failed |= !ok;
    tn_free(s.phase);
    return access_close(&a);
}
