/* Class conv where the input is spread by zeros, for a batch: rows are images.
 *
 * in:  a convolution of known sizes along one or two axes, one group, whose input elements lie apart (input_dilation),
 *      of several images: the gradient of a convolution's input whose stride is above 1
 * out: input     [image][row][column][channel], with the padding that windows reach (channel_rows.c)
 *      weights   [panel][tap][channel][feature]
 *      chunks    of a panel and some rows of the result: sums [position][image][feature] in scratch, those of each
 *                image transposed to [feature][position], then the other members
 * law: one FMA chain over rows of taps, then taps of a row, then channels. Zeros between elements are no terms; those
 *      beyond the edges are
 *
 * Positions that are the same modulo the spread meet elements under the same taps, perhaps under none. A register tile
 * is a position of some images against a panel of features: so weights are read once for many images, however small
 * these are, and no zero is multiplied.
 */
#include "compiler/loops/channel_rows.h"
#include "compiler/loops/conv.h"

enum {
    LEAST_IMAGES = 8,
    MOST_SPREAD = 4,
    MOST_TAPS = 256,
    LINE = 16,               /* elements */
    CHUNK_POSITIONS = 64,    /* of a chunk, at least if there are as many */
    CHUNK_BYTES = 256 << 10, /* of sums, at most if one row has no more */
    X = 1,
    Y = 0,
};

/* Along an axis, positions phase + spread * i of the result:
 * taps first + step * t meet element i + origin + move * t. */
typedef struct spread_phase {
    int64_t first, step, count, origin, move;
    int64_t extent; /* of i */
} spread_phase;

typedef struct spread_conv {
    const convolution *c;
    access *a;
    dim_table *t;
    int64_t images, channels, features;
    int64_t in[2], out[2], tap[2], spread[2];
    spread_phase phases[2][MOST_SPREAD];
    channel_rows rows; /* the input */
    blocking how;
    int64_t panels, band, bands; /* rows of the result in a chunk */
    uint32_t weights, sums, turned;
    tn_dim panel, number; /* of the chunk: its panel and band */
} spread_conv;

static tn_dim number(const spread_conv *s, int64_t value) { return dim_const(s->t, value); }

/* base + factor * d */
static tn_dim plus(const spread_conv *s, tn_dim base, int64_t factor, tn_dim d) {
    return dim_add(s->t, base, dim_mul_const(s->t, d, factor));
}

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static access_loop open_count(spread_conv *s, int64_t n) {
    return access_open_loop(s->a, LT_SERIAL, number(s, 0), number(s, n), 0, 0);
}

static access_loop open_lanes(spread_conv *s, int64_t n) {
    uint32_t lanes = lower_lanes_for(s->a->fused, s->a->b.machine, number(s, n));
    return access_open_loop(s->a, LT_VECTOR, number(s, 0), number(s, n), lanes, 0);
}

/* ---- Sizes ---- */

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static spread_phase phase_of(const spread_conv *s, int axis, int64_t low, int64_t dilation, int64_t phase) {
    int64_t spread = s->spread[axis], shared = common_divisor(dilation, spread);
    spread_phase p = {.step = spread / shared, .move = dilation / shared};
    while (p.first < s->tap[axis] && (phase + p.first * dilation - low) % spread != 0) p.first++;
    p.count = ceil_div(s->tap[axis] - p.first, p.step);
    p.origin = p.count > 0 ? (phase + p.first * dilation - low) / spread : 0;
    p.extent = phase < s->out[axis] ? (s->out[axis] - phase - 1) / spread + 1 : 0;
    return p;
}

/* One axis is the columns of a single row. */
static bool read_axis(spread_conv *s, int axis, int from) {
    const convolution *c = s->c;
    int64_t low, limit = 1 << 14;
    if (!dim_is_const(s->t, c->input->dims[from + 2], &s->in[axis]) || !dim_is_const(s->t, c->low[from], &low) ||
        !dim_is_const(s->t, c->result.dims[from + 2], &s->out[axis]) || c->stride[from] != 1 ||
        c->input_dilation[from] > MOST_SPREAD || c->dilation[from] > limit || low > limit || low < -limit ||
        s->in[axis] < 1 || s->out[axis] < 1)
        return false;
    s->tap[axis] = c->tap[from];
    s->spread[axis] = c->input_dilation[from];
    for (int64_t i = 0; i < s->spread[axis]; i++) s->phases[axis][i] = phase_of(s, axis, low, c->dilation[from], i);
    return true;
}

static bool read_sizes(spread_conv *s, const convolution *c) {
    *s = (spread_conv){.c = c, .a = c->a, .t = c->t, .in = {1, 1}, .out = {1, 1}, .tap = {1, 1}, .spread = {1, 1}};
    s->phases[Y][0] = (spread_phase){.step = 1, .count = 1, .move = 1, .extent = 1};
    if (c->spatial > 2 || c->groups != 1 || c->taps > MOST_TAPS || !dim_is_const(c->t, c->channels, &s->channels) ||
        !dim_is_const(c->t, c->features, &s->features) || !dim_is_const(c->t, c->input->dims[0], &s->images) ||
        s->images < LEAST_IMAGES || s->channels < 1 || s->features < 1)
        return false;
    for (int i = 0; i < c->spatial; i++)
        if (!read_axis(s, 2 - c->spatial + i, i)) return false;
    return s->spread[Y] > 1 || s->spread[X] > 1;
}

/* The elements that windows reach, from the first one on: some of them are padding. */
static void read_reach(spread_conv *s) {
    channel_rows *r = &s->rows;
    *r = (channel_rows){.a = s->a,
                        .value = s->c->conv->operands[0],
                        .dtype = s->c->sum,
                        .spatial = s->c->spatial,
                        .lanes = machine_lanes(s->a->b.machine, tn_dtype_bits(s->c->sum)),
                        .channels = s->channels,
                        .pitch = (ceil_div(s->channels, LINE) | 1) * LINE,
                        .in = {s->in[Y], s->in[X]},
                        .step = {1, 1}};
    for (int axis = 0; axis < 2; axis++) {
        int64_t first = INT32_MAX, end = 0;
        for (int64_t i = 0; i < s->spread[axis]; i++) {
            const spread_phase *p = &s->phases[axis][i];
            if (p->count == 0 || p->extent == 0) continue;
            first = least(first, p->origin);
            end = most(end, p->extent + p->origin + (p->count - 1) * p->move);
        }
        first = least(first, end);
        r->low[axis] = -first;
        r->extent[axis] = most(1, end - first);
    }
}

/* ---- Operands ---- */

static int64_t image_elements(const spread_conv *s) { return s->rows.extent[Y] * channel_rows_line(&s->rows); }

static void input_stage(spread_conv *s) {
    tn_dim extents[2] = {number(s, s->images), number(s, s->rows.extent[Y])}, at[2];
    access_loop named[2];
    s->rows.buffer = lt_add_buffer(&s->a->b, LT_TEMP, s->c->sum, number(s, s->images * image_elements(s)), "input");
    s->rows.turned = lt_add_buffer(&s->a->b, LT_LOCAL, s->c->sum, number(s, channel_rows_turned(&s->rows)), "turned");
    access_open_chunks(s->a, 2, extents, at, named);
    channel_rows_copy(&s->rows, at[0], at[1],
                      plus(s, dim_mul_const(s->t, at[0], image_elements(s)), channel_rows_line(&s->rows), at[1]));
    access_close_chunks(s->a, 2, named);
}

/* Elements of a tap, and of a panel. */
static int64_t tap_elements(const spread_conv *s) { return s->channels * s->how.nr; }
static int64_t panel_elements(const spread_conv *s) { return s->c->taps * tap_elements(s); }

/* A chunk is a tap of a panel; what is missing in the last panel is zeros. */
static void weights_stage(spread_conv *s) {
    access *a = s->a;
    tn_dim extents[3] = {number(s, s->panels), number(s, s->tap[Y]), number(s, s->tap[X])}, at[3], index[4];
    access_loop named[3];
    s->weights = lt_add_buffer(&a->b, LT_TEMP, s->c->sum, number(s, s->panels * panel_elements(s)), "weights");
    access_open_chunks(a, 3, extents, at, named);
    access_loop channels = open_count(s, s->channels), lanes = open_lanes(s, s->how.nr);
    tn_dim channel = access_counter(&channels), within = access_counter(&lanes);
    index[0] = plus(s, within, s->how.nr, at[0]);
    index[1] = channel;
    if (s->c->spatial > 1) index[2] = at[1];
    index[1 + s->c->spatial] = at[2];
    lt_value inside = access_within(a, index[0], number(s, 0), number(s, s->features));
    lt_value former = access_push_guard(a, inside), x = access_value(a, s->c->conv->operands[1], index);
    a->guard = former;
    if (!a->b.failed) {
        x = lt_convert(&a->b, x, s->c->sum);
        if (inside != LT_NONE) x = lt_select(&a->b, inside, x, lt_const_int(&a->b, s->c->sum, 0));
        tn_dim tap = plus(s, at[2], s->tap[X], at[1]), to = dim_mul_const(s->t, at[0], panel_elements(s));
        to = plus(s, plus(s, to, tap_elements(s), tap), s->how.nr, channel);
        lt_store(&a->b, s->weights, access_simplify(a, dim_add(s->t, to, within)), x, LT_NONE);
    }
    access_close_loop(a, &lanes);
    access_close_loop(a, &channels);
    access_close_chunks(a, 3, named);
}

/* ---- Sums ---- */

/* Of a position, in the sums: a line more, so that positions fall into different sets. */
static int64_t position_elements(const spread_conv *s) { return s->images * s->how.nr + LINE; }

static void add_inner(const spread_conv *s, lt_stmt *tile, int64_t steps, int64_t a, int64_t b) {
    if (steps > 1) tile->tile.inner[tile->tile.n_inner++] = (lt_inner){(uint32_t)steps, number(s, a), number(s, b)};
}

/* A position of `n` images from `image` on, position `at` of the chunk: the phase's number i along rows and columns. */
static void tile_of(spread_conv *s, const spread_phase *y, const spread_phase *x, const tn_dim *i, tn_dim at,
                    tn_dim image, int64_t n) {
    int64_t line = channel_rows_line(&s->rows), pitch = s->rows.pitch;
    int64_t origin = (y->origin + s->rows.low[Y]) * line + (x->origin + s->rows.low[X]) * pitch;
    tn_dim from = plus(s, plus(s, dim_mul_const(s->t, image, image_elements(s)), line, i[Y]), pitch, i[X]);
    tn_dim weights = dim_add_const(s->t, dim_mul_const(s->t, s->panel, panel_elements(s)),
                                   (y->first * s->tap[X] + x->first) * tap_elements(s));
    lt_stmt *tile = lt_tile(&s->a->b);
    tile->tile.a = s->rows.buffer;
    tile->tile.b = s->weights;
    tile->tile.c = s->sums;
    tile->tile.a_index = access_simplify(s->a, dim_add_const(s->t, from, origin));
    tile->tile.b_index = access_simplify(s->a, weights);
    tn_dim to = plus(s, dim_mul_const(s->t, image, s->how.nr), position_elements(s), at);
    tile->tile.c_index = access_simplify(s->a, to);
    tile->tile.a_row = number(s, image_elements(s));
    tile->tile.c_row = number(s, s->how.nr);
    tile->tile.mr = (uint32_t)n;
    tile->tile.nr = (uint32_t)s->how.nr;
    tile->tile.depth = number(s, y->count);
    tile->tile.a_depth = number(s, y->move * line);
    tile->tile.b_depth = number(s, y->step * s->tap[X] * tap_elements(s));
    add_inner(s, tile, x->count, x->move * pitch, x->step * tap_elements(s));
    add_inner(s, tile, s->channels, 1, s->how.nr);
}

static void all_images(spread_conv *s, const spread_phase *y, const spread_phase *x, const tn_dim *i, tn_dim at) {
    int64_t whole = s->images / s->how.mr, rest = s->images % s->how.mr;
    if (y->count == 0 || x->count == 0) {
        channel_rows_clear(s->a, s->sums, s->c->sum, dim_mul_const(s->t, at, position_elements(s)),
                           s->images * s->how.nr);
        return;
    }
    access_loop tiles = open_count(s, whole);
    tile_of(s, y, x, i, at, dim_mul_const(s->t, access_counter(&tiles), s->how.mr), s->how.mr);
    access_close_loop(s->a, &tiles);
    if (rest) tile_of(s, y, x, i, at, number(s, whole * s->how.mr), rest);
}

/* Of row i[Y] of a phase, `row` of the chunk. */
static void row_sums(spread_conv *s, const spread_phase *y, tn_dim *i, tn_dim row) {
    for (int64_t phase = 0; phase < s->spread[X]; phase++) {
        const spread_phase *x = &s->phases[X][phase];
        if (x->extent == 0) continue;
        access_loop columns = open_count(s, x->extent);
        i[X] = access_counter(&columns);
        tn_dim column = dim_add_const(s->t, dim_mul_const(s->t, i[X], s->spread[X]), phase);
        all_images(s, y, x, i, plus(s, column, s->out[X], row));
        access_close_loop(s->a, &columns);
    }
}

/* Bands have whole periods of phases: the last one fewer rows. */
static void band_sums(spread_conv *s) {
    for (int64_t phase = 0; phase < s->spread[Y]; phase++) {
        const spread_phase *y = &s->phases[Y][phase];
        int64_t period = s->band / s->spread[Y];
        tn_dim i[2], first = dim_mul_const(s->t, s->number, period), end = dim_add_const(s->t, first, period);
        if (y->extent == 0) continue;
        end = access_simplify(s->a, dim_min(s->t, end, number(s, y->extent)));
        access_loop rows = access_open_loop(s->a, LT_SERIAL, first, end, 0, 0);
        i[Y] = access_counter(&rows);
        access_know_range(s->a, i[Y], number(s, y->extent));
        tn_dim row = dim_sub(s->t, i[Y], first);
        row_sums(s, y, i, dim_add_const(s->t, dim_mul_const(s->t, row, s->spread[Y]), phase));
        access_close_loop(s->a, &rows);
    }
}

/* ---- Results ---- */

/* `some` positions from `at` on of an image: [position][feature] to [feature][position]. */
static void turn_positions(spread_conv *s, tn_dim image, tn_dim at, int64_t some) {
    int64_t positions = s->band * s->out[X];
    tn_dim from = plus(s, dim_mul_const(s->t, image, s->how.nr), position_elements(s), at);
    lt_transpose(&s->a->b, (lt_matrix){s->sums, access_simplify(s->a, from), number(s, position_elements(s))},
                 (lt_matrix){s->turned, access_simplify(s->a, at), number(s, positions)}, some, s->how.nr);
}

static void turn_image(spread_conv *s, tn_dim image) {
    int64_t positions = s->band * s->out[X], whole = positions / s->rows.lanes, rest = positions % s->rows.lanes;
    if (whole) {
        access_loop loop = open_count(s, whole);
        turn_positions(s, image, dim_mul_const(s->t, access_counter(&loop), s->rows.lanes), s->rows.lanes);
        access_close_loop(s->a, &loop);
    }
    if (rest) turn_positions(s, image, number(s, whole * s->rows.lanes), rest);
}

static void store_feature(spread_conv *s, tn_dim image, tn_dim within) {
    access *a = s->a;
    tn_dim first = dim_mul_const(s->t, s->number, s->band), left = dim_sub(s->t, number(s, s->out[Y]), first),
           rows = access_simplify(a, dim_min(s->t, number(s, s->band), left));
    access_loop run = access_open_loop(a, LT_VECTOR, number(s, 0), dim_mul_const(s->t, rows, s->out[X]),
                                       lower_lanes(a->fused, a->b.machine), 0);
    tn_dim j = access_counter(&run), extents[2] = {number(s, s->band), number(s, s->out[X])}, at[2], index[4] = {image};
    access_know_range(a, j, number(s, s->band * s->out[X]));
    access_unravel(a, j, 2, extents, at);
    index[1] = plus(s, within, s->how.nr, s->panel);
    if (s->c->spatial > 1) index[2] = dim_add(s->t, first, at[0]);
    index[1 + s->c->spatial] = at[1];
    lt_value sum = lt_load(&a->b, s->turned, access_simplify(a, plus(s, j, s->band * s->out[X], within)), LT_NONE);
    lower_store_anchor(a, s->c->value, index, sum);
    access_close_loop(a, &run);
}

static void store_image(spread_conv *s, tn_dim image) {
    tn_dim left = dim_sub(s->t, number(s, s->features), dim_mul_const(s->t, s->panel, s->how.nr));
    tn_dim end = access_simplify(s->a, dim_min(s->t, number(s, s->how.nr), left));
    turn_image(s, image);
    access_loop features = access_open_loop(s->a, LT_SERIAL, number(s, 0), end, 0, 0);
    access_know_range(s->a, access_counter(&features), number(s, s->how.nr));
    store_feature(s, image, access_counter(&features));
    access_close_loop(s->a, &features);
}

/* ---- The whole ---- */

/* Phases that have taps: each has tiles of its own. */
static int64_t count_tiled(const spread_conv *s, int axis) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->spread[axis]; i++) n += s->phases[axis][i].extent > 0 && s->phases[axis][i].count > 0;
    return n;
}

/* Rows of a tile that leave no rest, if half as many as fit do not have to do: as code, a rest is a tile more for every
 * phase, and as slow as a tile of twice the rows. */
static int64_t even_rows(int64_t n, int64_t fitting) {
    for (int64_t rows = fitting; 2 * rows >= fitting; rows--)
        if (n % rows == 0) return rows;
    return fitting;
}

static void choose_tile(spread_conv *s, const machine *m) {
    product_shape shape = {.rows = s->images,
                           .columns = s->features,
                           .depth = s->channels,
                           .element_bytes = tn_dtype_bits(s->c->sum) / 8,
                           .is_plain = {true, true},
                           .row_bytes = -1,
                           .column_bytes = -1};
    s->how = blocking_choose(m, &shape);
    if (count_tiled(s, Y) * count_tiled(s, X) > 1) s->how.mr = even_rows(s->images, s->how.mr);
    s->panels = ceil_div(s->features, s->how.nr);
    int64_t row = s->out[X] * s->spread[Y], bytes = s->images * s->how.nr * shape.element_bytes;
    int64_t positions = most(row, least(CHUNK_POSITIONS, CHUNK_BYTES / bytes));
    s->band = least(positions / row, ceil_div(s->out[Y], s->spread[Y])) * s->spread[Y];
    s->bands = ceil_div(s->out[Y], s->band);
}

bool conv_spread(const convolution *c, const machine *m) {
    spread_conv s;
    if (!read_sizes(&s, c)) return false;
    read_reach(&s);
    choose_tile(&s, m);
    lt_note(
        &c->a->b,
        "a transposed convolution of several images: rows are images, columns output channels, tiles of %lld x %lld; "
        "only elements between which no zeros lie are multiplied",
        (long long)s.how.mr, (long long)s.how.nr);
    input_stage(&s);
    weights_stage(&s);
    int64_t positions = s.band * s.out[X];
    s.sums = lt_add_buffer(&s.a->b, LT_SCRATCH, c->sum, number(&s, positions * position_elements(&s)), "sums");
    s.turned = lt_add_buffer(&s.a->b, LT_SCRATCH, c->sum, number(&s, positions * s.how.nr), "turned");
    tn_dim extents[2] = {number(&s, s.panels), number(&s, s.bands)}, at[2];
    access_loop named[2];
    access_open_chunks(s.a, 2, extents, at, named);
    s.panel = at[0];
    s.number = at[1];
    band_sums(&s);
    access_loop images = open_count(&s, s.images);
    store_image(&s, access_counter(&images));
    access_close_loop(s.a, &images);
    access_close_chunks(s.a, 2, named);
    return true;
}
