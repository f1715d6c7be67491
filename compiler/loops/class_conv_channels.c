/* Class conv for depthwise convolutions of many taps: lanes are channels.
 *
 * in:  a convolution along two axes of known extents, each channel by itself, whose operands lie in buffers as they are
 * out: a stage of bands of planes, as many channels as a vector has lanes. In each
 *
 *   input    the rows that the band meets, transposed: [position][channel]
 *   sums     rows of the result: a block of positions at a time in registers; an input row is loaded once for all
 *            taps of the row that meet it
 *   result   transposed back, then the other members, lanes along positions
 *
 * law: one FMA chain over taps; what lies beyond the input is left out of the chain
 *
 * Two transposes cost about as much as ten taps. For that weights need no registers, no lane is idle where rows are
 * short, strides cost nothing, and at the edges there is less work instead of more.
 */
#include "compiler/loops/conv_channels.h"

enum {
    LEAST_TAPS = 16,
    MOST_TAPS = 64,
    MOST_BLOCK = 14, /* positions of a row whose sums are registers */
    OTHER_REGISTERS = 8,
    LEAST_LANES = 8,
    Y = 0,
    X = 1,
};

/* ---- Sizes ---- */

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static tn_dim number(const channels *p, int64_t n) { return dim_const(p->c.t, n); }

/* base + factor * d */
static tn_dim plus(const channels *p, tn_dim base, int64_t factor, tn_dim d) {
    return dim_add(p->c.t, base, dim_mul_const(p->c.t, d, factor));
}

static int64_t reach(const channels *p, int axis) { return (p->c.tap[axis] - 1) * p->c.dilation[axis]; }

static int64_t rows_met(const channels *p, int64_t rows) {
    return least((rows - 1) * p->c.stride[Y] + reach(p, Y) + 1, p->in[Y]);
}

static int64_t band_bytes(const channels *p, int64_t rows) {
    int64_t positions = rows_met(p, rows) * p->in[X] + rows * p->out[X];
    return positions * p->lanes * tn_dtype_bits(p->c.sum) / 8;
}

/* A buffer that holds the operand row by row: only so can it be transposed where it is. */
static bool lies_in_rows(const convolution *c, value_id v) {
    const source *s = &c->a->sources[v];
    const tn_type *type = graph_type(c->a->fused, v);
    if (s->kind != SOURCE_BUFFER || (tn_dtype)type->dtype != c->sum) return false;
    for (int i = 0; i < type->rank; i++)
        if (s->stride[i] != access_row_stride(c->a, type, i)) return false;
    return true;
}

static bool read_sizes(channels *p, const machine *m) {
    const convolution *c = &p->c;
    if (c->spatial != 2 || c->taps > MOST_TAPS || !dim_is_value(c->t, c->channels, 1) ||
        !dim_is_value(c->t, c->features, 1) || !lies_in_rows(c, c->conv->operands[1]))
        return false;
    for (int i = 0; i < 2; i++)
        if (c->input_dilation[i] != 1 || c->out_step[i] != 1 || !dim_is_const(c->t, c->input->dims[i + 2], &p->in[i]) ||
            !dim_is_const(c->t, c->result.dims[i + 2], &p->out[i]) || !dim_is_const(c->t, c->low[i], &p->low[i]) ||
            p->in[i] < 1 || p->out[i] < 1 || p->in[i] > INT16_MAX || p->out[i] > INT16_MAX || p->low[i] < 0 ||
            p->low[i] > 256 || c->stride[i] > 256 || c->dilation[i] > 256)
            return false;
    p->lanes = machine_lanes(m, tn_dtype_bits(c->sum));
    p->blocks = c->groups / p->lanes;
    return c->groups % p->lanes == 0;
}

/* Worth two transposes. */
static bool suits(const channels *p) {
    return p->c.taps >= LEAST_TAPS && p->lanes >= LEAST_LANES && lies_in_rows(&p->c, p->c.conv->operands[0]);
}

static void choose_block(channels *p, const machine *m) {
    int64_t most = least(MOST_BLOCK, m->vector_count - OTHER_REGISTERS);
    p->row_block = ceil_div(p->out[X], ceil_div(p->out[X], most));
}

static void choose_band(channels *p, const machine *m) {
    int64_t room = (int64_t)m->l2_bytes / 4;
    p->band = p->out[Y];
    while (p->band > 1 && band_bytes(p, p->band) > room) p->band = ceil_div(p->band, 2);
    while (p->out[Y] % p->band) p->band--;
    p->bands = p->out[Y] / p->band;
    p->in_rows = rows_met(p, p->band);
}

/* ---- Transposes ---- */

static void transpose(channels *p, lt_matrix from, lt_matrix to, int64_t rows, int64_t columns) {
    from.index = access_simplify(p->c.a, from.index);
    to.index = access_simplify(p->c.a, to.index);
    lt_transpose(&p->c.a->b, from, to, rows, columns);
}

/* Rows of channels from row `first` on. */
static lt_matrix in_lanes(const channels *p, uint32_t buffer, tn_dim first) {
    return (lt_matrix){buffer, dim_mul_const(p->c.t, first, p->lanes), number(p, p->lanes)};
}

typedef void part_body(channels *p, tn_dim first, int64_t n);

/* [0, n) in parts of as many as there are lanes; the last two may overlap. */
static void in_parts(channels *p, int64_t n, part_body *body) {
    int64_t whole = n / p->lanes;
    if (whole > 0) {
        access_loop loop = access_open_loop(p->c.a, LT_SERIAL, number(p, 0), number(p, whole), 0, 0);
        body(p, dim_mul_const(p->c.t, access_counter(&loop), p->lanes), p->lanes);
        access_close_loop(p->c.a, &loop);
    }
    if (whole * p->lanes == n) return;
    if (whole > 0)
        body(p, number(p, n - p->lanes), p->lanes);
    else
        body(p, number(p, 0), n);
}

/* What lies behind `start` elements of the chunk's first channel in an operand: its channels are rows. */
static lt_matrix of_operand(const channels *p, int operand, tn_dim start) {
    const source *s = &p->c.a->sources[p->c.conv->operands[operand]];
    tn_dim image = operand == 0 ? dim_mul(p->c.t, p->image, s->stride[0]) : number(p, 0), row = s->stride[1 - operand];
    tn_dim channel = dim_add(p->c.t, image, dim_mul(p->c.t, p->first_channel, row));
    return (lt_matrix){s->buffer, dim_add(p->c.t, s->base, dim_add(p->c.t, channel, start)), row};
}

static void turn_input(channels *p, tn_dim first, int64_t n) {
    tn_dim position = plus(p, first, p->in[X], p->first_in);
    transpose(p, of_operand(p, 0, position), in_lanes(p, p->input, first), p->lanes, n);
}

static void turn_weights(channels *p, tn_dim first, int64_t n) {
    transpose(p, of_operand(p, 1, first), in_lanes(p, p->weights, first), p->lanes, n);
}

/* ---- Sums ---- */

/* A block of a row being computed. */
typedef struct row_part {
    channels *p;
    tn_dim row; /* of the band */
    tn_dim x;   /* first position; a number where an edge is met */
    int64_t n;
    bool is_inner; /* all taps lie inside */
} row_part;

/* Whether that column of the input exists. */
static bool exists(const row_part *r, int64_t column) {
    const channels *p = r->p;
    int64_t x = 0;
    if (r->is_inner) return true;
    dim_is_const(p->c.t, r->x, &x);
    int64_t at = x * p->c.stride[X] + column - p->low[X];
    return at >= 0 && at < p->in[X];
}

/* Adds what one input row has under the taps of one kernel row. */
static void add_kernel_row(const row_part *r, tn_dim tap_row, lt_value *sums) {
    channels *p = r->p;
    const convolution *c = &p->c;
    lt_value weights[MOST_TAPS] = {0};
    tn_dim y = plus(p, dim_mul_const(c->t, dim_add(c->t, p->first_row, r->row), c->stride[Y]), c->dilation[Y], tap_row);
    tn_dim in_row = dim_sub(c->t, dim_add_const(c->t, y, -p->low[Y]), p->first_in);
    tn_dim start = plus(p, dim_add_const(c->t, dim_mul_const(c->t, in_row, p->in[X]), -p->low[X]), c->stride[X], r->x);
    tn_dim first = dim_add(c->t, p->input_first, p->lane);
    for (int64_t tap = 0; tap < c->tap[X]; tap++) {
        tn_dim at = dim_add_const(c->t, dim_mul_const(c->t, tap_row, c->tap[X]), tap);
        weights[tap] = lt_load(&c->a->b, p->weights, plus(p, p->lane, p->lanes, at), LT_NONE);
    }
    for (int64_t column = 0; column <= (r->n - 1) * c->stride[X] + reach(p, X); column++) {
        lt_value x = LT_NONE;
        for (int64_t tap = 0; tap < c->tap[X] && exists(r, column); tap++) {
            int64_t from = column - tap * c->dilation[X], i = from / c->stride[X];
            if (from < 0 || from % c->stride[X] || i >= r->n) continue;
            if (x == LT_NONE)
                x = lt_load(&c->a->b, p->input,
                            access_simplify(c->a, plus(p, first, p->input_step, dim_add_const(c->t, start, column))),
                            LT_NONE);
            sums[i] = lt_ternary(&c->a->b, TN_OP_fma, x, weights[tap], sums[i]);
        }
    }
}

/* The rows of the kernel that meet rows of the input: [*first, *end). */
static void kernel_rows(const row_part *r, tn_dim *first, tn_dim *end) {
    const channels *p = r->p;
    const convolution *c = &p->c;
    tn_dim step = number(p, c->dilation[Y]), zero = number(p, 0), all = number(p, c->tap[Y]);
    tn_dim above =
        dim_sub(c->t, number(p, p->low[Y]), dim_mul_const(c->t, dim_add(c->t, p->first_row, r->row), c->stride[Y]));
    tn_dim below = dim_add_const(c->t, above, p->in[Y]);
    *end = access_simplify(c->a, dim_max(c->t, zero, dim_min(c->t, all, dim_ceildiv(c->t, below, step))));
    *first = access_simplify(c->a, dim_min(c->t, *end, dim_max(c->t, zero, dim_ceildiv(c->t, above, step))));
}

static void sum_part(const row_part *r) {
    channels *p = r->p;
    access *a = p->c.a;
    lt_value sums[MOST_BLOCK], zero = lt_const_int(&a->b, p->c.sum, 0);
    tn_dim first, end;
    kernel_rows(r, &first, &end);
    access_loop taps = access_open_loop(a, LT_SERIAL, first, end, 0, (uint32_t)r->n);
    for (int64_t i = 0; i < r->n; i++) sums[i] = lt_carry_in(&a->b, taps.stmt, (uint32_t)i, zero, TN_OP_add);
    add_kernel_row(r, access_counter(&taps), sums);
    for (int64_t i = 0; i < r->n; i++) lt_carry_next(taps.stmt, (uint32_t)i, sums[i]);
    access_close_loop(a, &taps);
    tn_dim start = plus(p, r->x, p->out[X], r->row);
    for (int64_t i = 0; i < r->n; i++)
        lt_store(&a->b, p->sums, access_simplify(a, plus(p, p->lane, p->lanes, dim_add_const(p->c.t, start, i))),
                 lt_carry_result(taps.stmt, (uint32_t)i), LT_NONE);
}

/* Whether block number k of a row has all its taps inside. */
static bool is_inner(const channels *p, int64_t k) {
    int64_t first = k * p->row_block, n = least(p->row_block, p->out[X] - first);
    return n == p->row_block && first * p->c.stride[X] >= p->low[X] &&
           (first + n - 1) * p->c.stride[X] + reach(p, X) - p->low[X] < p->in[X];
}

/* Blocks that meet an edge have code of their own. */
static void sum_row(channels *p, tn_dim row) {
    int64_t n = ceil_div(p->out[X], p->row_block);
    for (int64_t k = 0; k < n;) {
        int64_t end = k;
        while (end < n && is_inner(p, end)) end++;
        if (end == k) {
            int64_t first = k * p->row_block;
            sum_part(&(row_part){p, row, number(p, first), least(p->row_block, p->out[X] - first), false});
            k++;
            continue;
        }
        access_loop loop = access_open_loop(p->c.a, LT_SERIAL, number(p, k), number(p, end), 0, 0);
        sum_part(&(row_part){p, row, dim_mul_const(p->c.t, access_counter(&loop), p->row_block), p->row_block, true});
        access_close_loop(p->c.a, &loop);
        k = end;
    }
}

static void sum_band(channels *p) {
    access_loop lanes = access_open_loop(p->c.a, LT_VECTOR, number(p, 0), number(p, p->lanes), (uint32_t)p->lanes, 0);
    p->lane = access_counter(&lanes);
    access_loop rows = access_open_loop(p->c.a, LT_SERIAL, number(p, 0), number(p, p->band), 0, 0);
    sum_row(p, access_counter(&rows));
    access_close_loop(p->c.a, &rows);
    access_close_loop(p->c.a, &lanes);
}

/* ---- The result ---- */

/* `n` positions of the band, of all its channels. */
static void store_part(channels *p, tn_dim first, int64_t n) {
    access *a = p->c.a;
    dim_table *t = p->c.t;
    transpose(p, in_lanes(p, p->sums, first), in_lanes(p, p->turned, number(p, 0)), n, p->lanes);
    access_loop channel = access_open_loop(a, LT_SERIAL, number(p, 0), number(p, p->lanes), 0, 0);
    tn_dim end = dim_add_const(t, first, n);
    access_loop run =
        access_open_loop(a, LT_VECTOR, first, end, lower_lanes_for(a->fused, a->b.machine, number(p, n)), 0);
    tn_dim at = access_counter(&run), position = plus(p, at, p->out[X], p->first_row);
    access_know_range(a, at, number(p, p->band * p->out[X]));
    tn_dim from = plus(p, dim_sub(t, at, first), p->lanes, access_counter(&channel));
    lt_value sum = lt_load(&a->b, p->turned, access_simplify(a, from), LT_NONE);
    tn_dim index[4] = {p->image, dim_add(t, p->first_channel, access_counter(&channel))};
    access_unravel(a, position, 2, p->c.result.dims + 2, index + 2);
    lower_store_anchor(a, p->c.value, index, sum);
    access_close_loop(a, &run);
    access_close_loop(a, &channel);
}

/* ---- The whole ---- */

static uint32_t scratch(channels *p, int64_t positions, const char *name) {
    return lt_add_buffer(&p->c.a->b, LT_SCRATCH, p->c.sum, number(p, positions * p->lanes), name);
}

/* Scratch for all but the input. */
static void add_buffers(channels *p) {
    p->weights = scratch(p, p->c.taps, "weights");
    p->sums = scratch(p, p->band * p->out[X], "sums");
    p->turned = lt_add_buffer(&p->c.a->b, LT_LOCAL, p->c.sum, number(p, p->lanes * p->lanes), "turned");
}

/* The chunk's band, its input being in lanes. */
static void run_band(channels *p) {
    in_parts(p, p->c.taps, turn_weights);
    sum_band(p);
    in_parts(p, p->band * p->out[X], store_part);
}

static void channels_stage(channels *p) {
    dim_table *t = p->c.t;
    tn_dim extents[3] = {p->c.input->dims[0], number(p, p->blocks), number(p, p->bands)}, at[3];
    access_loop named[3];
    access_open_chunks(p->c.a, 3, extents, at, named);
    p->image = at[0];
    p->first_channel = dim_mul_const(t, at[1], p->lanes);
    p->first_row = dim_mul_const(t, at[2], p->band);
    tn_dim above = dim_add_const(t, dim_mul_const(t, p->first_row, p->c.stride[Y]), -p->low[Y]);
    tn_dim last = number(p, p->in[Y] - p->in_rows);
    p->first_in = access_simplify(p->c.a, dim_max(t, number(p, 0), dim_min(t, above, last)));
    in_parts(p, p->in_rows * p->in[X], turn_input);
    run_band(p);
    access_close_chunks(p->c.a, 3, named);
}

bool conv_channels(const convolution *c, const machine *m) {
    channels p = {.c = *c};
    if (!read_sizes(&p, m) || !suits(&p)) return false;
    choose_block(&p, m);
    choose_band(&p, m);
    lt_note(&c->a->b,
            "depthwise with many taps: lanes are %lld channels, the input is turned for that; %lld sums of a row in "
            "registers, bands of %lld rows so that a band's input fits a quarter of the L2",
            (long long)p.lanes, (long long)p.row_block, (long long)p.band);
    add_buffers(&p);
    p.input = scratch(&p, p.in_rows * p.in[X], "rows");
    p.input_first = number(&p, 0);
    p.input_step = p.lanes;
    channels_stage(&p);
    return true;
}

/* ---- Planes whose input is there ---- */

bool conv_channels_open(channels *p, const convolution *c, const machine *m) {
    *p = (channels){.c = *c};
    if (!read_sizes(p, m)) return false;
    choose_block(p, m);
    p->band = p->out[Y];
    p->bands = 1;
    p->in_rows = p->in[Y];
    add_buffers(p);
    return true;
}

void conv_channels_run(channels *p, tn_dim image, tn_dim channel, uint32_t input, tn_dim first, int64_t step) {
    p->image = image;
    p->first_channel = channel;
    p->first_row = p->first_in = number(p, 0);
    p->input = input;
    p->input_first = first;
    p->input_step = step;
    run_band(p);
}
