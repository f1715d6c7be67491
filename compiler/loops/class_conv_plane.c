/* Class conv for few output channels a group (depthwise) on planes of known size: several result rows at once.
 *
 * in:  a convolution along two axes of known extents
 * out: a stage of planes, or bands of them; in each, groups of rows whose sums are registers: an input row is
 *      loaded once for all of the group that need it. Lanes run along the row
 * law: one FMA chain over channels, then taps; what lies beyond the input is left out of the chain (a row), or
 *      is 0 (a lane)
 *
 * The input is read in place where its elements for neighbouring lanes are neighbours, or every second (the taps of a
 * row share what shuffles need, codegen/emit_shuffle.c), and memory can be masked: the first and the last group, and
 * the first and the last lanes of a row, have code of their own, in which what lies beyond the edges is known when
 * compiling. Else the planes of a band are copied first, with zeros around, and by stride in as many runs a row as make
 * lanes neighbours; then nothing is guarded.
 */
#include "compiler/loops/conv.h"

#include <string.h>

enum {
    MOST_TERMS = 64,  /* of an element */
    MOST_ROWS = 8,    /* of a group */
    MOST_STRIDE = 2,  /* between lanes that are read in place */
    DEAR_CODE = 3000, /* instructions whose compiling is worth as much as running takes */
    CHUNK_MULTIPLY_ADDS = 1 << 15,
    BAND_MULTIPLY_ADDS = 1 << 19, /* larger planes are cut */
    Y = 0,
    X = 1,
};

typedef struct planes {
    convolution c;
    int64_t in[2], out[2], low[2], channels;
    int64_t rows, groups, band_groups, bands; /* rows of a group; groups of a plane, of a band; bands of a plane */
    int64_t lanes;
    bool in_place, masks_lanes; /* the row is one vector that has more lanes than elements */
    /* The copy: runs of `pitch` elements, stride[X] runs a row, `copied_rows` rows a channel; position 0 of the input
     * lies at an aligned place. */
    uint32_t copy;
    int64_t pitch, lead, copied_rows;
    tn_dim index[4]; /* image, output channel, y, x */
    tn_dim channel;  /* first input channel */
    lt_value weights[MOST_TERMS];
} planes;

/* A group of rows being computed. */
typedef struct row_group {
    planes *p;
    tn_dim first; /* row of the result */
    int64_t rows;
    bool is_first, is_last; /* whether rows may lie above or below the input */
    tn_dim copied;          /* row of the copy that the first tap meets */
} row_group;

/* ---- Sizes ---- */

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int64_t reach(const planes *p, int axis) { return (p->c.tap[axis] - 1) * p->c.dilation[axis]; }

static int64_t group_input_rows(const planes *p, int64_t rows) { return (rows - 1) * p->c.stride[Y] + reach(p, Y) + 1; }

/* Instructions that compute that many rows, for each vector:
 * a multiply-add and a load that crosses lines count alike. */
static int64_t rows_code(const planes *p, int64_t rows) {
    return p->channels * (rows * p->c.taps + p->c.tap[X] * group_input_rows(p, rows));
}

/* About the cycles of a plane in groups of that many rows, more by what their code costs. The first group, the last and
 * those between have code of their own. */
static double plane_cost(const planes *p, int64_t rows) {
    int64_t groups = p->out[Y] / rows, rest = p->out[Y] % rows, bodies = rest ? 2 : 3;
    if (bodies > groups) bodies = groups;
    double of_group = (double)rows_code(p, rows), of_rest = rest ? (double)rows_code(p, rest) : 0;
    double cycles = (double)groups * of_group + of_rest, code = (double)bodies * of_group + of_rest;
    return cycles * (1 + code / DEAR_CODE);
}

static void choose_rows(planes *p, const machine *m) {
    int64_t terms = p->channels * p->c.taps, most = m->vector_count - terms - 3;
    if (most < 4) most = 4;
    if (most > MOST_ROWS) most = MOST_ROWS;
    if (most > p->out[Y]) most = p->out[Y];
    p->rows = 1;
    for (int64_t rows = 2; rows <= most; rows++)
        if (plane_cost(p, rows) < plane_cost(p, p->rows)) p->rows = rows;
}

static void choose_lanes(planes *p, const machine *m) {
    p->lanes = lower_lanes_for(p->c.a->fused, m, dim_const(p->c.t, p->out[X]));
    p->masks_lanes = p->lanes > p->out[X];
}

/* Rows of groups that are neither the first nor the last must meet the input alone; few vectors of a row may meet its
 * ends, for each has code of its own. */
static bool reads_in_place(const planes *p, const machine *m) {
    const convolution *c = &p->c;
    tn_dtype own = (tn_dtype)c->input->dtype;
    if (m->vector_bytes < 32 || (own != TN_F32 && own != TN_F64) || !c->input_is_plain || c->stride[X] > MOST_STRIDE)
        return false;
    if (reach(p, X) > p->lanes || p->low[X] > reach(p, X)) return false;
    int64_t last = (p->groups - 1) * p->rows - 1; /* row of the result */
    return p->groups == 1 ||
           (p->rows * c->stride[Y] >= p->low[Y] && last * c->stride[Y] + reach(p, Y) - p->low[Y] < p->in[Y]);
}

static void choose_bands(planes *p) {
    int64_t work = p->rows * p->out[X] * p->c.taps * p->channels;
    p->band_groups = work > BAND_MULTIPLY_ADDS ? 1 : BAND_MULTIPLY_ADDS / work;
    if (p->band_groups > p->groups) p->band_groups = p->groups;
    p->bands = ceil_div(p->groups, p->band_groups);
}

static int64_t copy_elements(const planes *p) { return p->channels * p->copied_rows * p->c.stride[X] * p->pitch; }

/* Bands of a copy stay in half of the first cache, or are single groups. False: those are too large. */
static bool choose_copy(planes *p, const machine *m) {
    int64_t stride = p->c.stride[X], width = p->masks_lanes ? p->lanes : p->out[X];
    int64_t bytes = tn_dtype_bits(p->c.sum) / 8;
    p->lead = (p->lanes - p->low[X] / stride % p->lanes) % p->lanes;
    p->pitch = ceil_div(p->lead + width + reach(p, X) / stride, p->lanes) * p->lanes;
    for (p->copied_rows = group_input_rows(p, p->rows * p->band_groups);
         p->band_groups > 1 && copy_elements(p) * bytes > (int64_t)m->l1_bytes / 2;
         p->copied_rows = group_input_rows(p, p->rows * p->band_groups))
        p->band_groups = (p->band_groups + 1) / 2;
    p->bands = ceil_div(p->groups, p->band_groups);
    return copy_elements(p) * bytes <= (int64_t)m->l2_bytes / 2;
}

/* ---- Operands ---- */

static tn_dim number(const planes *p, int64_t n) { return dim_const(p->c.t, n); }

static void load_weights(planes *p) {
    convolution *c = &p->c;
    for (int64_t k = 0; k < p->channels * c->taps; k++) {
        int64_t tap = k % c->taps;
        tn_dim taps[2] = {number(p, tap / c->tap[X]), number(p, tap % c->tap[X])};
        tn_dim index[4] = {p->index[1], number(p, k / c->taps)};
        conv_kernel_taps(c, taps, index + 2);
        lt_value w = access_value(c->a, c->conv->operands[1], index);
        p->weights[k] = w == LT_NONE ? w : lt_convert(&c->a->b, w, c->sum);
    }
}

/* The input elements that the lanes from x meet, `down` rows below the group's first, under a tap of the row. */
static lt_value read_in_place(row_group *g, int64_t channel, int64_t down, int64_t tap, tn_dim x, lt_value inside) {
    planes *p = g->p;
    dim_table *t = p->c.t;
    tn_dim y = dim_add_const(t, dim_mul_const(t, g->first, p->c.stride[Y]), down - p->low[Y]);
    tn_dim column = conv_position(&p->c, X, x, number(p, tap), NULL);
    tn_dim index[4] = {p->index[0], dim_add_const(t, p->channel, channel), y, column};
    return conv_element(&p->c, index, inside);
}

static lt_value read_copy(row_group *g, int64_t channel, int64_t down, int64_t tap, tn_dim x) {
    planes *p = g->p;
    dim_table *t = p->c.t;
    int64_t stride = p->c.stride[X], column = tap * p->c.dilation[X];
    tn_dim row = dim_add_const(t, g->copied, channel * p->copied_rows + down);
    tn_dim run = dim_add_const(t, dim_mul_const(t, row, stride), column % stride);
    tn_dim at = dim_add(t, dim_mul_const(t, run, p->pitch), dim_add_const(t, x, p->lead + column / stride));
    return lt_load(&p->c.a->b, p->copy, access_simplify(p->c.a, at), LT_NONE);
}

/* ---- Rows ---- */

/* Whether that input row exists; decided only in groups at an edge, whose first row is a number. */
static bool exists(const row_group *g, int64_t down) {
    const planes *p = g->p;
    int64_t first = 0;
    if (!p->in_place || (!g->is_first && !g->is_last)) return true;
    dim_is_const(p->c.t, g->first, &first);
    int64_t y = first * p->c.stride[Y] + down - p->low[Y];
    return y >= 0 && y < p->in[Y];
}

/* The tap along y by which row `row` of the group meets the input row `down` rows below the first; -1: none. */
static int64_t tap_between(const planes *p, int64_t row, int64_t down) {
    int64_t from = down - row * p->c.stride[Y];
    if (from < 0 || from % p->c.dilation[Y] != 0 || from / p->c.dilation[Y] >= p->c.tap[Y]) return -1;
    return from / p->c.dilation[Y];
}

static void add_row(row_group *g, int64_t channel, int64_t down, tn_dim x, const lt_value *inside, lt_value *sums) {
    planes *p = g->p;
    const convolution *c = &p->c;
    for (int64_t tap = 0; tap < c->tap[X]; tap++) {
        lt_value element = LT_NONE;
        for (int64_t row = 0; row < g->rows && !c->a->b.failed; row++) {
            int64_t y = tap_between(p, row, down);
            if (y < 0) continue;
            if (element == LT_NONE)
                element = p->in_place ? read_in_place(g, channel, down, tap, x, inside[tap])
                                      : read_copy(g, channel, down, tap, x);
            lt_value w = p->weights[channel * c->taps + y * c->tap[X] + tap];
            if (element != LT_NONE && w != LT_NONE) sums[row] = lt_ternary(&c->a->b, TN_OP_fma, element, w, sums[row]);
        }
    }
}

static void store_row(row_group *g, int64_t row, tn_dim x, lt_value sum) {
    planes *p = g->p;
    tn_dim at[4] = {p->index[0], p->index[1], dim_add_const(p->c.t, g->first, row), x};
    conv_result_positions(&p->c, at + 2);
    lower_store_anchor(p->c.a, p->c.value, at, sum);
}

/* The group's elements of the lanes that count x. */
static void add_taps(row_group *g, tn_dim x) {
    planes *p = g->p;
    access *a = p->c.a;
    lt_value sums[MOST_ROWS], inside[MOST_TERMS];
    for (int64_t row = 0; row < g->rows; row++) sums[row] = lt_const_int(&a->b, p->c.sum, 0);
    for (int64_t tap = 0; tap < p->c.tap[X]; tap++) {
        inside[tap] = LT_NONE;
        if (p->in_place) conv_position(&p->c, X, x, number(p, tap), &inside[tap]);
    }
    for (int64_t channel = 0; channel < p->channels; channel++)
        for (int64_t down = 0; down < group_input_rows(p, g->rows); down++)
            if (exists(g, down)) add_row(g, channel, down, x, inside, sums);
    lt_value former = a->guard;
    if (p->masks_lanes) access_push_guard(a, access_within(a, x, number(p, 0), number(p, p->out[X])));
    for (int64_t row = 0; row < g->rows; row++) store_row(g, row, x, sums[row]);
    a->guard = former;
}

/* ---- Lanes ---- */

static void run_lanes(row_group *g, int64_t begin, int64_t end) {
    planes *p = g->p;
    if (begin >= end) return;
    access_loop lanes = access_open_loop(p->c.a, LT_VECTOR, number(p, begin), number(p, end), (uint32_t)p->lanes, 0);
    add_taps(g, access_counter(&lanes));
    access_close_loop(p->c.a, &lanes);
}

/* Whether all taps of the vector at x lie inside. */
static bool is_inner(const planes *p, int64_t x) {
    int64_t stride = p->c.stride[X], last = (x + p->lanes - 1) * stride + reach(p, X) - p->low[X];
    return !p->in_place || (x * stride >= p->low[X] && last < p->in[X]);
}

/* Whole vectors along the row, the last two overlapping; those that meet an edge one by one. */
static void run_row(row_group *g) {
    const planes *p = g->p;
    int64_t x = 0, lanes = p->lanes, whole = p->out[X] / lanes * lanes;
    if (p->masks_lanes) {
        run_lanes(g, 0, lanes);
        return;
    }
    while (x < whole) {
        int64_t begin = x;
        while (x < whole && is_inner(p, x)) x += lanes;
        run_lanes(g, begin, x);
        if (x < whole) {
            run_lanes(g, x, x + lanes);
            x += lanes;
        }
    }
    if (whole < p->out[X]) run_lanes(g, p->out[X] - lanes, p->out[X]);
}

/* ---- Groups ---- */

static void run_group(planes *p, tn_dim group, int64_t rows, tn_dim first_group, bool is_first, bool is_last) {
    dim_table *t = p->c.t;
    tn_dim within = dim_mul_const(t, dim_sub(t, group, first_group), p->rows * p->c.stride[Y]);
    row_group g = {.p = p,
                   .first = access_simplify(p->c.a, dim_mul_const(t, group, p->rows)),
                   .rows = rows,
                   .is_first = is_first,
                   .is_last = is_last,
                   .copied = access_simplify(p->c.a, within)};
    run_row(&g);
}

/* The band's groups from `low` of the plane on, below `high`. */
static void run_groups(planes *p, tn_dim band, int64_t low, int64_t high) {
    dim_table *t = p->c.t;
    if (low >= high) return;
    tn_dim first = dim_mul_const(t, band, p->band_groups), end = dim_add_const(t, first, p->band_groups);
    tn_dim from = access_simplify(p->c.a, dim_max(t, first, number(p, low)));
    tn_dim to = access_simplify(p->c.a, dim_min(t, end, number(p, high)));
    access_loop groups = access_open_loop(p->c.a, LT_SERIAL, from, to, 0, 0);
    run_group(p, access_counter(&groups), p->rows, first, false, false);
    access_close_loop(p->c.a, &groups);
}

/* A group at the top or the bottom of the plane, when the band is the one that has it. */
static void run_edge(planes *p, tn_dim band, int64_t group) {
    lt_builder *b = &p->c.a->b;
    int64_t its_band = group / p->band_groups, rows = p->out[Y] - group * p->rows;
    lt_block *outer = b->block;
    lt_stmt *branch = NULL;
    if (p->bands > 1) {
        lt_value is_its = lt_compare(b, COMPARE_EQ, lt_dim_value(b, band), lt_const_int(b, TN_I64, its_band));
        branch = lt_open_if(b, is_its);
    }
    run_group(p, number(p, group), rows < p->rows ? rows : p->rows, number(p, its_band * p->band_groups), group == 0,
              group == p->groups - 1);
    if (branch) lt_close_if(b, branch, outer);
}

static void run_band(planes *p, tn_dim band) {
    bool has_rest = p->out[Y] % p->rows != 0;
    int64_t low = p->in_place ? 1 : 0, high = p->in_place || has_rest ? p->groups - 1 : p->groups;
    load_weights(p);
    if (low) run_edge(p, band, 0);
    run_groups(p, band, low, high);
    if (high < p->groups && high >= low) run_edge(p, band, high);
}

/* ---- The copy ---- */

typedef struct copied_run {
    planes *p;
    tn_dim y, to; /* of the input; offset of the run's position 0 */
    int64_t channel, phase;
    lt_value inside;
} copied_run;

static void copy_lane(void *ctx, tn_dim at) {
    copied_run *r = ctx;
    planes *p = r->p;
    dim_table *t = p->c.t;
    tn_dim x = dim_add_const(t, dim_mul_const(t, at, p->c.stride[X]), r->phase - p->low[X]);
    tn_dim index[4] = {p->index[0], dim_add_const(t, p->channel, r->channel), r->y, x};
    lt_value element = conv_element(&p->c, index, r->inside);
    if (element != LT_NONE)
        lt_store(&p->c.a->b, p->copy, access_simplify(p->c.a, dim_add(t, r->to, at)), element, LT_NONE);
}

/* Row `row` of the band's part of an input channel, 0 where there is none. */
static void copy_row(planes *p, tn_dim band, tn_dim row, int64_t channel) {
    const convolution *c = &p->c;
    dim_table *t = c->t;
    int64_t stride = c->stride[X], needed = (p->out[X] - 1) * stride + reach(p, X) + 1;
    tn_dim first = dim_mul_const(t, band, p->band_groups * p->rows * c->stride[Y]);
    copied_run r = {.p = p, .channel = channel, .inside = LT_NONE};
    r.y = dim_add_const(t, dim_add(t, first, row), -p->low[Y]);
    r.inside = access_within(c->a, r.y, number(p, 0), number(p, p->in[Y]));
    int64_t end = p->in[X] + p->low[X] < needed ? p->in[X] + p->low[X] : needed;
    for (r.phase = 0; r.phase < stride; r.phase++) {
        tn_dim run =
            dim_add_const(t, dim_mul_const(t, dim_add_const(t, row, channel * p->copied_rows), stride), r.phase);
        r.to = dim_add_const(t, dim_mul_const(t, run, p->pitch), p->lead);
        int64_t from = ceil_div(p->low[X] > r.phase ? p->low[X] - r.phase : 0, stride);
        lower_run(c->a, number(p, from), number(p, end > r.phase ? ceil_div(end - r.phase, stride) : 0), copy_lane, &r);
    }
}

static void copy_band(planes *p, tn_dim band) {
    for (int64_t channel = 0; channel < p->channels; channel++) {
        access_loop rows = access_open_loop(p->c.a, LT_SERIAL, number(p, 0), number(p, p->copied_rows), 0, 0);
        copy_row(p, band, access_counter(&rows), channel);
        access_close_loop(p->c.a, &rows);
    }
}

static void clear_lane(void *ctx, tn_dim at) {
    planes *p = ctx;
    lt_store(&p->c.a->b, p->copy, at, lt_const_int(&p->c.a->b, p->c.sum, 0), LT_NONE);
}

/* ---- The whole ---- */

/* Output channels of a group, in a band whose copy there is. */
static void run_features(planes *p, tn_dim group, tn_dim band) {
    convolution *c = &p->c;
    access_loop features = access_open_loop(c->a, LT_SERIAL, number(p, 0), c->features, 0, 0);
    p->index[1] = dim_add(c->t, dim_mul(c->t, group, c->features), access_counter(&features));
    run_band(p, band);
    access_close_loop(c->a, &features);
}

/* Chunks are numbers of (image, group, band). */
static void planes_stage(planes *p) {
    convolution *c = &p->c;
    dim_table *t = c->t;
    tn_dim extents[3] = {c->input->dims[0], number(p, c->groups), number(p, p->bands)}, at[3];
    int64_t work = p->band_groups * p->rows * p->out[X] * c->taps * p->channels;
    int64_t grain = work >= CHUNK_MULTIPLY_ADDS ? 1 : CHUNK_MULTIPLY_ADDS / work;
    tn_dim total = dim_product(t, extents, 3), chunk = access_open_stage(c->a, dim_ceildiv(t, total, number(p, grain)));
    if (!p->in_place) lower_run(c->a, number(p, 0), number(p, copy_elements(p)), clear_lane, p);
    tn_dim begin = dim_mul_const(t, chunk, grain), end = dim_min(t, dim_add_const(t, begin, grain), total);
    access_loop bands = access_open_loop(c->a, LT_SERIAL, begin, end, 0, 0);
    access_know_range(c->a, access_counter(&bands), total);
    access_unravel(c->a, access_counter(&bands), 3, extents, at);
    p->index[0] = at[0];
    p->channel = dim_mul_const(t, at[1], p->channels);
    if (!p->in_place) copy_band(p, at[2]);
    run_features(p, at[1], at[2]);
    access_close_loop(c->a, &bands);
}

static bool plane_sizes(planes *p, const machine *m) {
    const convolution *c = &p->c;
    if (c->spatial != 2 || !dim_is_const(c->t, c->channels, &p->channels) || p->channels * c->taps > MOST_TERMS ||
        p->channels < 1)
        return false;
    for (int i = 0; i < 2; i++) {
        if (c->input_dilation[i] != 1 || !dim_is_const(c->t, c->input->dims[i + 2], &p->in[i]) ||
            !dim_is_const(c->t, c->result.dims[i + 2], &p->out[i]) || !dim_is_const(c->t, c->low[i], &p->low[i]))
            return false;
        if (p->in[i] < 1 || p->out[i] < 1 || p->in[i] > INT32_MAX || p->out[i] > INT32_MAX || p->low[i] < 0 ||
            p->low[i] > 256 || c->stride[i] > 256 || c->dilation[i] > 256)
            return false;
    }
    choose_rows(p, m);
    choose_lanes(p, m);
    p->groups = ceil_div(p->out[Y], p->rows);
    choose_bands(p);
    p->in_place = reads_in_place(p, m);
    return p->in_place || choose_copy(p, m);
}

bool conv_planes(const convolution *c, const machine *m) {
    planes p = {.c = *c};
    if (!plane_sizes(&p, m)) return false;
    lt_note(&c->a->b,
            "depthwise: %lld rows of the result at once, whose sums are registers: an input row is loaded once for all "
            "of them; lanes (%lld) run along the row",
            (long long)p.rows, (long long)p.lanes);
    lt_note(&c->a->b,
            p.in_place ? "the input is read where it lies, edges have code of their own"
                       : "the input is copied first, with zeros around: its elements are not neighbours for the lanes");
    lt_note(&c->a->b, "%lld band%s of a plane for threads", (long long)p.bands, p.bands == 1 ? "" : "s");
    if (!p.in_place) p.copy = lt_add_buffer(&c->a->b, LT_SCRATCH, c->sum, number(&p, copy_elements(&p)), "rows");
    planes_stage(&p);
    return true;
}
