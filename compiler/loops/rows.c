/* One loop a phase (see rows.h). */
#include "compiler/loops/rows.h"
#include "runtime/fault.h"

bool rows_is_arg(const node *n) {
    reduce_kind kind = (reduce_kind)attr_int(&n->attrs, ATTR_kind, 0);
    return kind == REDUCE_ARGMAX || kind == REDUCE_ARGMIN;
}

/* ---- Shapes ---- */

bool rows_index_of(const rows *s, const tn_type *type, bool *whole, tn_dim *index) {
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

bool rows_find_domain(rows *s) {
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

/* ---- Phases ---- */

bool rows_find_phases(rows *s) {
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
        bool whole, is_row = op_table[n->op].loop_class == CLASS_MAP || (n->op == TN_OP_reduce && rows_is_arg(n));
        if (is_row && s->phase[i] + (n->op == TN_OP_reduce) <= phase &&
            rows_index_of(s, graph_type(s->g, n->first_result), &whole, index) && !whole)
            access_value(s->a, n->first_result, index);
    }
}

/* ---- Loops over the reduced axes ---- */

enum {
    MAX_CARRIED = 16,
    HELD_SHARE = 4,   /* of the L2, for a held row */
    LIGHT_AGAIN = 3,  /* ops that are sooner done again than held */
    FREE_VECTORS = 4, /* what hides the latency of max, with its NaNs */
};

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
    *loop = access_open_loop(s->a, kind, dim_const(s->t, 0), extent, width, w->n);
    for (uint32_t k = 0; k < w->n; k++) {
        tn_op combine = access_combiner((reduce_kind)attr_int(&w->nodes[k]->attrs, ATTR_kind, 0));
        w->carried[k] = lt_carry_in(&s->a->b, loop->stmt, k, w->carried[k], combine);
    }
}

/* Lanes of a sum are part of its order, so they follow from its own dtype, not from what else was
 * fused; 0: any number gives the same bits. */
static uint32_t lanes_of_reduction(const rows *s, const node *n) {
    reduce_kind kind = (reduce_kind)attr_int(&n->attrs, ATTR_kind, 0);
    tn_dtype dtype = access_accumulator(s->g, n);
    bool is_float = dtype == TN_F16 || dtype == TN_BF16 || dtype == TN_F32 || dtype == TN_F64;
    bool rounds = is_float && (kind == REDUCE_SUM || kind == REDUCE_PROD);
    return rounds ? (uint32_t)machine_sum_lanes(s->a->b.machine, tn_dtype_bits(dtype)) : 0;
}

/* Lanes for reductions that any number suits: those of several vectors, so that a step need not wait for the one
 * before, where these divide the extent. */
static uint32_t free_width(const rows *s, tn_dim extent) {
    uint32_t lanes = lower_lanes_for(s->g, s->a->b.machine, extent);
    int64_t known;
    return dim_is_const(s->t, extent, &known) && known % (FREE_VECTORS * lanes) == 0 ? FREE_VECTORS * lanes : lanes;
}

/* Where the extent is known lanes beyond it are left out: they would hold neutral elements, so the tree stays
 * the same. */
static uint32_t sweep_width(const rows *s, const sweep *w, tn_dim extent) {
    uint32_t lanes = w->lanes;
    int64_t known;
    if (lanes == 0) return w->n > 0 ? free_width(s, extent) : lower_lanes_for(s->g, s->a->b.machine, extent);
    while (lanes > 1 && dim_is_const(s->t, extent, &known) && (int64_t)lanes > known) lanes /= 2;
    return lanes;
}

static void open_sweep(rows *s, sweep *w) {
    bool along = s->reduced[s->domain.rank - 1];
    int serial_end = along ? s->lanes_from : s->domain.rank;
    w->depth = 0;
    for (int i = 0; i < serial_end && !s->a->b.failed; i++)
        if (s->reduced[i]) {
            open_sweep_loop(s, w, LT_SERIAL, s->domain.dims[i], 0);
            s->index[i] = access_counter(&w->loops[w->depth - 1]);
        }
    if (along) {
        int n = s->domain.rank - s->lanes_from;
        tn_dim extent = dim_product(s->t, s->domain.dims + s->lanes_from, n);
        open_sweep_loop(s, w, LT_VECTOR, extent, sweep_width(s, w, extent));
        access_unravel(s->a, access_counter(&w->loops[w->depth - 1]), n, s->domain.dims + s->lanes_from,
                       s->index + s->lanes_from);
    }
}

static void close_sweep(rows *s, sweep *w, const lt_value *next) {
    for (uint32_t k = 0; k < w->n; k++) w->carried[k] = next[k];
    while (w->depth > 0 && !s->a->b.failed) {
        access_loop *loop = &w->loops[--w->depth];
        for (uint32_t k = 0; k < w->n; k++) lt_carry_next(loop->stmt, k, w->carried[k]);
        access_close_loop(s->a, loop);
        for (uint32_t k = 0; k < w->n; k++) w->carried[k] = lt_carry_result(loop->stmt, k);
    }
}

static void reduce_sweep(rows *s, sweep *w, value_id taken) {
    lt_value next[MAX_CARRIED];
    for (uint32_t k = 0; k < w->n; k++)
        w->carried[k] = access_neutral(s->a, (reduce_kind)attr_int(&w->nodes[k]->attrs, ATTR_kind, 0),
                                       access_accumulator(s->g, w->nodes[k]));
    for (uint32_t k = 0; FAULT(reduce_neutral) && k < w->n; k++)
        if (attr_int(&w->nodes[k]->attrs, ATTR_kind, 0) == REDUCE_MAX)
            w->carried[k] = lt_const_int(&s->a->b, access_accumulator(s->g, w->nodes[k]), 0);
    open_sweep(s, w);
    for (uint32_t k = 0; k < w->n && !s->a->b.failed; k++) {
        lt_value term = access_value(s->a, w->nodes[k]->operands[0], s->index);
        if (term == LT_NONE) return;
        if (w->nodes[k]->operands[0] == taken) access_store_in(s->a, &s->place, s->domain.rank, s->index, term);
        term = lt_convert(&s->a->b, term, access_accumulator(s->g, w->nodes[k]));
        next[k] = lt_binary(&s->a->b, access_combiner((reduce_kind)attr_int(&w->nodes[k]->attrs, ATTR_kind, 0)),
                            w->carried[k], term);
    }
    close_sweep(s, w, next);
    for (uint32_t k = 0; k < w->n && !s->a->b.failed; k++) {
        value_id v = w->nodes[k]->first_result;
        access_in_register(s->a, v, lt_convert(&s->a->b, w->carried[k], (tn_dtype)graph_type(s->g, v)->dtype));
    }
}

/* The reductions of the phase that have that many lanes, at most MAX_CARRIED a sweep. */
static void run_sweeps(rows *s, int phase, uint32_t lanes, bool with_any, value_id taken) {
    sweep w = {.n = 0, .lanes = lanes};
    for (size_t i = 0; i < s->g->n_nodes; i++) {
        const node *n = &s->g->nodes[i];
        if (n->op != TN_OP_reduce || rows_is_arg(n) || s->phase[i] != phase) continue;
        uint32_t own = lanes_of_reduction(s, n);
        if (own != lanes && !(with_any && own == 0)) continue;
        w.nodes[w.n++] = n;
        if (w.n == MAX_CARRIED) {
            reduce_sweep(s, &w, taken);
            w.n = 0;
        }
    }
    if (w.n > 0) reduce_sweep(s, &w, taken);
}

/* Sweeps for each number of lanes; those that suit any number go with the first. */
static void run_phase(rows *s, int phase, value_id taken) {
    static const unsigned bits[] = {64, 32, 16};
    bool with_any = true;
    uint32_t before = 0; /* scalars have as many for any bits */
    for (size_t b = 0; b < sizeof bits / sizeof *bits; b++) {
        uint32_t lanes = (uint32_t)machine_sum_lanes(s->a->b.machine, bits[b]);
        bool found = false;
        if (lanes == before) continue;
        before = lanes;
        for (size_t i = 0; i < s->g->n_nodes && !found; i++) {
            const node *n = &s->g->nodes[i];
            found =
                n->op == TN_OP_reduce && !rows_is_arg(n) && s->phase[i] == phase && lanes_of_reduction(s, n) == lanes;
        }
        if (!found) continue;
        run_sweeps(s, phase, lanes, with_any, taken);
        with_any = false;
    }
    if (with_any) run_sweeps(s, phase, 0, true, taken);
}

/* ---- Needs ---- */

/* Of each value, whether `last` (VALUE_NONE: any result) is computed from it, known being `known` and the reductions of
 * phases up to `phase`. Nodes are in order, so that needs are found by going back. NULL: out of memory (recorded). */
static uint8_t *needs_of(const rows *s, value_id last, value_id known, int phase) {
    uint8_t *is_needed = tn_calloc(s->g->n_values + 1, 1);
    if (!is_needed) {
        module_no_memory(s->g->module);
        return NULL;
    }
    if (last != VALUE_NONE) is_needed[last] = 1;
    for (size_t r = 0; last == VALUE_NONE && r < s->g->n_results; r++) is_needed[s->g->results[r].value] = 1;
    for (size_t i = s->g->n_nodes; i-- > 0;) {
        const node *n = &s->g->nodes[i];
        bool is_known = n->first_result == known || (n->op == TN_OP_reduce && s->phase[i] <= phase);
        if (!is_needed[n->first_result] || is_known) continue;
        for (uint32_t k = 0; k < n->n_operands; k++) is_needed[n->operands[k]] = 1;
    }
    return is_needed;
}

/* The only reduction of a phase; NULL: there are more, or it has no merge of lanes. */
static const node *only_reduction(const rows *s, int phase) {
    const node *only = NULL;
    for (size_t i = 0; i < s->g->n_nodes; i++) {
        const node *n = &s->g->nodes[i];
        if (n->op != TN_OP_reduce || s->phase[i] != phase) continue;
        if (only || rows_is_arg(n)) return NULL;
        only = n;
    }
    return only;
}

/* ---- Held rows ---- */

static bool is_whole(const rows *s, value_id v) {
    tn_dim index[TN_MAX_RANK];
    bool whole;
    return rows_index_of(s, graph_type(s->g, v), &whole, index) && whole;
}

/* A buffer for a row of values like v, where lanes run along the row and a static length leaves room for the rest. */
static bool make_place(rows *s, value_id v) {
    const tn_type *type = graph_type(s->g, v);
    tn_dim extent = dim_const(s->t, 1);
    int64_t known, bits = tn_dtype_bits((tn_dtype)type->dtype);
    s->place = (source){.kind = SOURCE_BUFFER, .base = dim_const(s->t, 0)};
    for (int i = s->domain.rank; i-- > 0;) {
        s->place.stride[i] = s->reduced[i] ? extent : dim_const(s->t, 0);
        if (s->reduced[i]) extent = dim_mul(s->t, extent, s->domain.dims[i]);
    }
    bool is_large =
        dim_is_const(s->t, extent, &known) && known > (int64_t)s->a->b.machine->l2_bytes / HELD_SHARE * 8 / bits;
    if (is_large || !s->reduced[s->domain.rank - 1]) return false;
    s->place.buffer = lt_add_buffer(&s->a->b, LT_SCRATCH, (tn_dtype)type->dtype, extent, "row");
    s->makes_place = false;
    return true;
}

/* Light ops that make v of what is held, of reductions and of what lies in buffers, up to `most`; more of them, or others:
 * more than that. */
static int ops_again(const rows *s, value_id v, int most) {
    const node *n = graph_node_of(s->g, v);
    if (v == s->held || s->a->sources[v].kind != SOURCE_COMPUTED || n->op == TN_OP_reduce) return 0;
    bool is_map = op_table[n->op].loop_class == CLASS_MAP;
    if (most < 0 || (is_map && !lower_is_light((tn_op)n->op))) return most + 1;
    int ops = is_map;
    for (uint32_t k = 0; k < n->n_operands && ops <= most; k++) ops += ops_again(s, n->operands[k], most - ops);
    return ops;
}

/* The operand of the phase's reduction, when it may go to the place of the held value. */
static value_id may_take(rows *s, int phase, value_id last) {
    bool is_held = s->held != VALUE_NONE;
    const node *n = is_held || s->makes_place ? only_reduction(s, phase) : NULL;
    if (!n || n->operands[0] == s->held) return VALUE_NONE;
    value_id v = n->operands[0];
    if (s->a->sources[v].kind == SOURCE_BUFFER || !is_whole(s, v)) return VALUE_NONE;
    if (is_held && graph_type(s->g, v)->dtype != graph_type(s->g, s->held)->dtype) return VALUE_NONE;
    if (is_held && ops_again(s, v, LIGHT_AGAIN) <= LIGHT_AGAIN) return VALUE_NONE;
    uint8_t *is_needed = needs_of(s, last, v, phase);
    s->a->b.failed |= !is_needed;
    bool may = is_needed && is_needed[v] && !(is_held && is_needed[s->held]);
    tn_free(is_needed);
    return may && (is_held || make_place(s, v)) ? v : VALUE_NONE;
}

static void hold(rows *s, value_id v) {
    s->a->sources[v] = s->place;
    s->a->sources[v].is_looked_at = true; /* it was computed */
    if (s->held != VALUE_NONE) access_computed(s->a, s->held);
    s->held = v;
}

/* ---- Entries ---- */

void rows_reduce(rows *s, value_id last) {
    for (int phase = 0; phase < s->n_phases && !s->a->b.failed; phase++) {
        compute_row_values(s, phase);
        value_id taken = may_take(s, phase, last);
        run_phase(s, phase, taken);
        if (taken != VALUE_NONE) hold(s, taken);
    }
    compute_row_values(s, s->n_phases);
}

bool rows_limit(rows *s, value_id first, value_id last) {
    uint8_t *is_needed = needs_of(s, last, first, -1);
    if (!is_needed) return false;
    for (size_t i = 0; i < s->g->n_nodes; i++) {
        value_id v = s->g->nodes[i].first_result;
        if (!is_needed[v] || v == first) s->phase[i] = ROWS_ELSEWHERE;
    }
    tn_free(is_needed);
    return true;
}

void rows_forget(rows *s) {
    for (size_t i = 0; i < s->g->n_nodes; i++)
        if (s->g->nodes[i].op == TN_OP_reduce) access_computed(s->a, s->g->nodes[i].first_result);
}

void rows_sweep(rows *s, rows_body *body, void *ctx) {
    sweep w = {.n = 0};
    open_sweep(s, &w);
    body(s, ctx);
    close_sweep(s, &w, NULL);
}
