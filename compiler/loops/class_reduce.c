/* Class reduce: rows reduced in phases, with what was fused around them.
 *
 * in:  a fused function whose reductions all run over the same axes of one shape, the domain;
 *      other members have the domain's shape or that of a row (fusion's ROWS groups)
 * out: a stage of rows; for each row one loop over the reduced axes a phase, then one that
 *      stores the results that have the domain's shape
 * law: a reduction's lanes are merged by the fixed tree of vector loops; nothing is carried
 *      from row to row
 *
 * A reduction that reads another one's result (softmax's sum reads its max) comes a phase
 * later. What was computed on the way is computed again in the next phase.
 *
 * Lanes run along the reduced axes when the last axis is among them, else along the trailing
 * kept axes, many rows at a time. argmax and argmin have no merge of lanes: they are computed
 * in place by access.c.
 */
#include "compiler/loops/classes.h"

enum { CHUNK_ELEMENTS = 16384 };

typedef struct rows {
    access a;
    dim_table *t;
    tn_graph *g;
    tn_type domain;
    bool reduced[TN_MAX_RANK];
    int *phase; /* of each node: how many reductions it comes after */
    int n_phases;
    int lanes_from;            /* axes from here on are merged into the vector loop */
    tn_dim index[TN_MAX_RANK]; /* of the present element of the domain */
} rows;

static bool is_arg(const node *n) {
    reduce_kind kind = (reduce_kind)attr_int(&n->attrs, ATTR_kind, 0);
    return kind == REDUCE_ARGMAX || kind == REDUCE_ARGMIN;
}

/* ---- Shapes ---- */

/* The index, among the present element's, of a value of that shape: of the domain (true in
 * *whole), or of a row, with or without the reduced axes as extent 1. */
static bool index_of(const rows *s, const tn_type *type, bool *whole, tn_dim *index) {
    bool kept = type->rank == s->domain.rank;
    *whole = kept;
    for (int i = 0; i < s->domain.rank && kept; i++) {
        *whole &= type->dims[i] == s->domain.dims[i];
        kept &= type->dims[i] == s->domain.dims[i] || (s->reduced[i] && dim_is_value(s->t, type->dims[i], 1));
    }
    if (kept) {
        for (int i = 0; i < s->domain.rank; i++) index[i] = s->reduced[i] && !*whole ? dim_const(s->t, 0) : s->index[i];
        return true;
    }
    int at = 0;
    *whole = false;
    for (int i = 0; i < s->domain.rank; i++)
        if (!s->reduced[i]) {
            if (at >= type->rank || type->dims[at] != s->domain.dims[i]) return false;
            index[at++] = s->index[i];
        }
    return at == type->rank;
}

static bool find_domain(rows *s) {
    bool found = false;
    for (size_t i = 0; i < s->g->n_nodes; i++) {
        const node *n = &s->g->nodes[i];
        if (n->op != TN_OP_reduce) continue;
        const attr *axes = attr_find(&n->attrs, ATTR_axes);
        tn_type domain = *graph_type(s->g, n->operands[0]);
        bool reduced[TN_MAX_RANK] = {false};
        domain.dtype = TN_BOOL;
        for (uint32_t k = 0; k < axes->ints.n; k++) reduced[axes->ints.items[k]] = true;
        for (int k = 0; k < domain.rank; k++)
            if (found && reduced[k] != s->reduced[k]) return false;
        if (found && !type_equal(&domain, &s->domain)) return false;
        s->domain = domain;
        for (int k = 0; k < TN_MAX_RANK; k++) s->reduced[k] = reduced[k];
        found = true;
    }
    return found;
}

bool reduce_takes(const tn_graph *fused) {
    static const loop_class others[] = {CLASS_CUMULATE, CLASS_CONTRACT, CLASS_CONV,
                                        CLASS_WINDOW,   CLASS_SORT,     CLASS_CONTROL};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (lower_has_class(fused, others[i])) return false;
    rows s = {.g = (tn_graph *)fused, .t = fused->module->dims};
    bool whole;
    tn_dim index[TN_MAX_RANK];
    if (!find_domain(&s) || s.domain.rank == 0 || lower_single(fused, TN_OP_scatter)) return false;
    for (size_t r = 0; r < fused->n_results; r++)
        if (!index_of(&s, graph_type(fused, fused->results[r].value), &whole, index)) return false;
    return true;
}

/* ---- Phases ---- */

static bool find_phases(rows *s) {
    s->phase = tn_calloc(s->g->n_nodes + 1, sizeof *s->phase);
    if (!s->phase) return module_error(s->g->module, TN_ERR_MEMORY, LOCATION_NONE, "out of memory");
    for (size_t i = 0; i < s->g->n_nodes; i++) {
        const node *n = &s->g->nodes[i];
        for (uint32_t k = 0; k < n->n_operands; k++) {
            uint32_t o = s->g->values[n->operands[k]].node;
            int after = s->phase[o] + (s->g->nodes[o].op == TN_OP_reduce);
            if (after > s->phase[i]) s->phase[i] = after;
        }
        if (n->op == TN_OP_reduce && s->phase[i] + 1 > s->n_phases) s->n_phases = s->phase[i] + 1;
    }
    return true;
}

/* Values of a row's shape that are ready before phase `phase`: computed once a row, outside
 * the loops that read them. */
static void compute_row_values(rows *s, int phase) {
    for (size_t i = 0; i < s->g->n_nodes; i++) {
        const node *n = &s->g->nodes[i];
        tn_dim index[TN_MAX_RANK];
        bool whole, is_row = op_table[n->op].loop_class == CLASS_MAP || (n->op == TN_OP_reduce && is_arg(n));
        if (is_row && s->phase[i] + (n->op == TN_OP_reduce) <= phase &&
            index_of(s, graph_type(s->g, n->first_result), &whole, index) && !whole)
            access_value(&s->a, n->first_result, index);
    }
}

/* ---- Loops over the reduced axes ---- */

enum { MAX_CARRIED = 16 };

/* The loops of one phase: all but the last serial, the last one with lanes when lanes run
 * along the reduced axes. */
typedef struct sweep {
    int depth;
    access_loop loops[TN_MAX_RANK];
    uint32_t lanes; /* where the order of sums depends on it; 0: as many as suit */
    uint32_t n;
    const node *nodes[MAX_CARRIED];
    lt_value carried[MAX_CARRIED];
} sweep;

static void open_sweep_loop(rows *s, sweep *w, lt_loop_kind kind, tn_dim extent, uint32_t width) {
    access_loop *loop = &w->loops[w->depth++];
    *loop = access_open_loop(&s->a, kind, dim_const(s->t, 0), extent, width, w->n);
    for (uint32_t k = 0; k < w->n; k++) {
        tn_op combine = access_combiner((reduce_kind)attr_int(&w->nodes[k]->attrs, ATTR_kind, 0));
        w->carried[k] = lt_carry_in(&s->a.b, loop->stmt, k, w->carried[k], combine);
    }
}

/* Lanes of a sum are part of its order, so they follow from its own dtype, not from what else was
 * fused; 0: any number gives the same bits. */
static uint32_t lanes_of_reduction(const rows *s, const node *n) {
    reduce_kind kind = (reduce_kind)attr_int(&n->attrs, ATTR_kind, 0);
    tn_dtype dtype = access_accumulator(s->g, n);
    bool is_float = dtype == TN_F16 || dtype == TN_BF16 || dtype == TN_F32 || dtype == TN_F64;
    bool rounds = is_float && (kind == REDUCE_SUM || kind == REDUCE_PROD);
    return rounds ? (uint32_t)machine_lanes(s->a.b.machine, tn_dtype_bits(dtype)) : 0;
}

/* Where the extent is known lanes beyond it are left out: they would hold neutral elements, so the tree stays
 * the same. */
static uint32_t sweep_width(const rows *s, const sweep *w, tn_dim extent) {
    uint32_t lanes = w->lanes;
    int64_t known;
    if (lanes == 0) return lower_lanes_for(s->g, s->a.b.machine, extent);
    while (lanes > 1 && dim_is_const(s->t, extent, &known) && (int64_t)lanes > known) lanes /= 2;
    return lanes;
}

static void open_sweep(rows *s, sweep *w) {
    bool along = s->reduced[s->domain.rank - 1];
    int serial_end = along ? s->lanes_from : s->domain.rank;
    w->depth = 0;
    for (int i = 0; i < serial_end && !s->a.b.failed; i++)
        if (s->reduced[i]) {
            open_sweep_loop(s, w, LT_SERIAL, s->domain.dims[i], 0);
            s->index[i] = access_counter(&w->loops[w->depth - 1]);
        }
    if (along) {
        int n = s->domain.rank - s->lanes_from;
        tn_dim extent = dim_product(s->t, s->domain.dims + s->lanes_from, n);
        open_sweep_loop(s, w, LT_VECTOR, extent, sweep_width(s, w, extent));
        access_unravel(&s->a, access_counter(&w->loops[w->depth - 1]), n, s->domain.dims + s->lanes_from,
                       s->index + s->lanes_from);
    }
}

static void close_sweep(rows *s, sweep *w, const lt_value *next) {
    for (uint32_t k = 0; k < w->n; k++) w->carried[k] = next[k];
    while (w->depth > 0 && !s->a.b.failed) {
        access_loop *loop = &w->loops[--w->depth];
        for (uint32_t k = 0; k < w->n; k++) lt_carry_next(loop->stmt, k, w->carried[k]);
        access_close_loop(&s->a, loop);
        for (uint32_t k = 0; k < w->n; k++) w->carried[k] = lt_carry_result(loop->stmt, k);
    }
}

static void reduce_sweep(rows *s, sweep *w) {
    lt_value next[MAX_CARRIED];
    for (uint32_t k = 0; k < w->n; k++)
        w->carried[k] = access_neutral(&s->a, (reduce_kind)attr_int(&w->nodes[k]->attrs, ATTR_kind, 0),
                                       access_accumulator(s->g, w->nodes[k]));
    open_sweep(s, w);
    for (uint32_t k = 0; k < w->n && !s->a.b.failed; k++) {
        lt_value term = access_value(&s->a, w->nodes[k]->operands[0], s->index);
        if (term == LT_NONE) return;
        term = lt_convert(&s->a.b, term, access_accumulator(s->g, w->nodes[k]));
        next[k] = lt_binary(&s->a.b, access_combiner((reduce_kind)attr_int(&w->nodes[k]->attrs, ATTR_kind, 0)),
                            w->carried[k], term);
    }
    close_sweep(s, w, next);
    for (uint32_t k = 0; k < w->n && !s->a.b.failed; k++) {
        value_id v = w->nodes[k]->first_result;
        access_in_register(&s->a, v, lt_convert(&s->a.b, w->carried[k], (tn_dtype)graph_type(s->g, v)->dtype));
    }
}

/* The reductions of the phase that have that many lanes, at most MAX_CARRIED a sweep. */
static void run_sweeps(rows *s, int phase, uint32_t lanes, bool with_any) {
    sweep w = {.n = 0, .lanes = lanes};
    for (size_t i = 0; i < s->g->n_nodes; i++) {
        const node *n = &s->g->nodes[i];
        if (n->op != TN_OP_reduce || is_arg(n) || s->phase[i] != phase) continue;
        uint32_t own = lanes_of_reduction(s, n);
        if (own != lanes && !(with_any && own == 0)) continue;
        w.nodes[w.n++] = n;
        if (w.n == MAX_CARRIED) {
            reduce_sweep(s, &w);
            w.n = 0;
        }
    }
    if (w.n > 0) reduce_sweep(s, &w);
}

/* Sweeps for each number of lanes; those that suit any number go with the first. */
static void run_phase(rows *s, int phase) {
    static const unsigned bits[] = {64, 32, 16};
    bool with_any = true;
    for (size_t b = 0; b < sizeof bits / sizeof *bits; b++) {
        uint32_t lanes = (uint32_t)machine_lanes(s->a.b.machine, bits[b]);
        bool found = false;
        for (size_t i = 0; i < s->g->n_nodes && !found; i++) {
            const node *n = &s->g->nodes[i];
            found = n->op == TN_OP_reduce && !is_arg(n) && s->phase[i] == phase && lanes_of_reduction(s, n) == lanes;
        }
        if (!found) continue;
        run_sweeps(s, phase, lanes, with_any);
        with_any = false;
    }
    if (with_any) run_sweeps(s, phase, 0, true);
}

static void store_results(rows *s, bool whole_ones) {
    tn_dim index[TN_MAX_RANK];
    bool whole;
    for (uint32_t r = 0; r < s->g->n_results; r++) {
        value_id v = s->g->results[r].value;
        if (index_of(s, graph_type(s->g, v), &whole, index) && whole == whole_ones)
            access_store_result(&s->a, r, index, access_value(&s->a, v, index));
    }
}

static bool has_whole_result(const rows *s) {
    tn_dim index[TN_MAX_RANK];
    bool whole, any = false;
    for (uint32_t r = 0; r < s->g->n_results; r++)
        any |= index_of(s, graph_type(s->g, s->g->results[r].value), &whole, index) && whole;
    return any;
}

/* One row, or as many as there are lanes. */
static void lower_row(rows *s) {
    for (int phase = 0; phase < s->n_phases && !s->a.b.failed; phase++) {
        compute_row_values(s, phase);
        run_phase(s, phase);
    }
    compute_row_values(s, s->n_phases);
    store_results(s, false);
    if (has_whole_result(s)) {
        sweep w = {.n = 0};
        open_sweep(s, &w);
        store_results(s, true);
        close_sweep(s, &w, NULL);
    }
    for (size_t i = 0; i < s->g->n_nodes; i++) /* the next row has registers of its own */
        if (s->g->nodes[i].op == TN_OP_reduce) access_computed(&s->a, s->g->nodes[i].first_result);
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
    access_unravel(&s->a, row, n, extents, index);
    for (int i = 0; i < s->lanes_from; i++)
        if (!s->reduced[i]) s->index[i] = index[at++];
}

static void lower_rows(rows *s) {
    bool along = s->reduced[s->domain.rank - 1];
    s->lanes_from = s->domain.rank;
    while (s->lanes_from > 0 && s->reduced[s->lanes_from - 1] == along) s->lanes_from--;
    tn_dim total = dim_const(s->t, 1);
    for (int i = 0; i < s->lanes_from; i++)
        if (!s->reduced[i]) total = dim_mul(s->t, total, s->domain.dims[i]);
    access_loop row_loop, lanes;
    tn_dim row = access_open_rows(&s->a, total, row_grain(s), &row_loop);
    unravel_row(s, row);
    if (along)
        lower_row(s);
    else {
        int n = s->domain.rank - s->lanes_from;
        tn_dim extent = dim_product(s->t, s->domain.dims + s->lanes_from, n);
        lanes = access_open_loop(&s->a, LT_VECTOR, dim_const(s->t, 0), extent,
                                 lower_lanes_for(s->g, s->a.b.machine, extent), 0);
        access_unravel(&s->a, access_counter(&lanes), n, s->domain.dims + s->lanes_from, s->index + s->lanes_from);
        lower_row(s);
        access_close_loop(&s->a, &lanes);
    }
    access_close_loop(&s->a, &row_loop);
}

lt_kernel *reduce_lower(tn_graph *fused, const machine *m) {
    rows s = {.g = fused, .t = fused->module->dims};
    bool ok = access_open(&s.a, fused, "reduce", m) && find_domain(&s) && find_phases(&s);
    if (ok) lower_rows(&s);
    s.a.b.failed |= !ok;
    tn_free(s.phase);
    return access_close(&s.a);
}
