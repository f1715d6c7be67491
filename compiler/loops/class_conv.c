/* Class conv: one convolution with what was fused after it, as a blocked product.
 *
 * in:  a fused function with one conv of floats whose operands come from outside, the other
 *      members elementwise on its result
 * out: for each image, group and band of result rows a product (pack.h): rows are output
 *      channels, columns positions of the band, depth runs over channels, then taps
 *
 * The weights are A and read where they are. B's column for a position holds the elements that the
 * kernel meets there; the step (channel, tap) of a band is the input shifted, so it is packed
 * row by row, zeros beyond the edges. A convolution of one tap with stride 1 and no padding
 * reads its input in place.
 *
 * Weights that lie in panels (compiler/passes/layout.c) are B: then rows are positions, and what the kernel meets is
 * read where it lies, or where the padded input does (conv_pad.c).
 * Few output channels in a group: class_conv_direct.c.
 * An input spread by zeros, of several images: class_conv_spread.c.
 */
#include "compiler/loops/conv.h"

enum {
    MOST_ROW_TAPS = 32, /* unrolled when packing */
    MOST_TAPS = 4096,   /* along an axis, met in place */
    BAND_COLUMNS = 512, /* most columns of a band */
    TILE_FEATURES = 4,  /* output channels of a group that make a tile worth its packing */
    DIRECT_TERMS = 64,  /* of an element that is computed directly */
};

typedef struct blocked_conv {
    product p;
    convolution c;
    int64_t band;      /* result rows in a band */
    tn_dim bands, row; /* bands; extent of a row */
    bool is_whole;     /* positions are those of the whole result */
    bool swaps;        /* weights are B */
} blocked_conv;

/* ---- Indices ---- */

/* outer = (image, group, band). */
static void unravel_outer(const blocked_conv *b, tn_dim outer, tn_dim *number) {
    tn_dim extents[3] = {b->c.input->dims[0], dim_const(b->c.t, b->c.groups), b->bands};
    access_unravel(b->c.a, outer, 3, extents, number);
}

static void kernel_index(product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k, tn_dim *index) {
    const blocked_conv *b = p->ctx;
    const convolution *c = &b->c;
    tn_dim number[3];
    (void)side;
    unravel_outer(b, outer, number);
    tn_dim extents[TN_MAX_RANK] = {c->channels}, step[TN_MAX_RANK];
    for (int i = 0; i < c->spatial; i++) extents[i + 1] = dim_const(c->t, c->tap[i]);
    access_unravel(c->a, k, c->spatial + 1, extents, step);
    index[0] = dim_add(c->t, dim_mul(c->t, number[1], c->features), at);
    index[1] = step[0];
    conv_kernel_taps(c, step + 1, index + 2);
}

/* One tap, stride 1, no padding: the band is all of the result, at position p is element p. */
static void input_index(product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k, tn_dim *index) {
    const blocked_conv *b = p->ctx;
    const convolution *c = &b->c;
    tn_dim number[3];
    (void)side;
    unravel_outer(b, outer, number);
    index[0] = number[0];
    index[1] = dim_add(c->t, dim_mul(c->t, number[1], c->channels), k);
    access_unravel(c->a, at, c->spatial, c->input->dims + 2, index + 2);
}

static lt_value weight(product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k) {
    tn_dim index[TN_MAX_RANK];
    kernel_index(p, side, outer, at, k, index);
    return access_value(p->a, ((blocked_conv *)p->ctx)->c.conv->operands[1], index);
}

/* What the kernel meets at position `at` of the whole result, in step k. */
static lt_value met(product *p, tn_dim outer, tn_dim at, tn_dim k) {
    blocked_conv *b = p->ctx;
    convolution *c = &b->c;
    tn_dim number[3], extents[TN_MAX_RANK] = {c->channels}, step[TN_MAX_RANK], position[CONV_SPATIAL],
                      index[TN_MAX_RANK];
    lt_value inside = LT_NONE;
    for (int i = 0; i < c->spatial; i++) extents[i + 1] = dim_const(c->t, c->tap[i]);
    unravel_outer(b, outer, number);
    access_unravel(c->a, k, c->spatial + 1, extents, step);
    access_unravel(c->a, at, c->spatial, c->result.dims + 2, position);
    index[0] = number[0];
    index[1] = dim_add(c->t, dim_mul(c->t, number[1], c->channels), step[0]);
    for (int i = 0; i < c->spatial; i++) index[i + 2] = conv_position(c, i, position[i], step[i + 1], &inside);
    return conv_element(c, index, inside);
}

static lt_value element(product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k) {
    bool is_weight = (side == SIDE_B) == ((blocked_conv *)p->ctx)->swaps;
    return is_weight ? weight(p, side, outer, at, k) : met(p, outer, at, k);
}

static void store(product *p, tn_dim outer, tn_dim row, tn_dim column, lt_value sum) {
    blocked_conv *b = p->ctx;
    convolution *c = &b->c;
    tn_dim number[3], index[TN_MAX_RANK], feature = b->swaps ? column : row, position = b->swaps ? row : column;
    unravel_outer(b, outer, number);
    index[0] = number[0];
    index[1] = dim_add(c->t, dim_mul(c->t, number[1], c->features), feature);
    if (b->is_whole)
        access_unravel(c->a, position, c->spatial, c->result.dims + 2, index + 2);
    else {
        tn_dim in_band[2], extents[2] = {dim_const(c->t, b->band), b->row};
        access_unravel(c->a, position, 2, extents, in_band);
        conv_unravel_row(c, dim_add(c->t, dim_mul_const(c->t, number[2], b->band), in_band[0]), index + 2);
        index[c->spatial + 1] = in_band[1];
    }
    conv_result_positions(c, index + 2);
    lower_store_anchor(c->a, c->value, index, sum);
}

/* ---- Packing ---- */

/* A row of the result as the kernel's row of taps meets it. */
typedef struct packed_row {
    blocked_conv *b;
    tn_dim index[TN_MAX_RANK]; /* of the input; the last axis is filled in */
    lt_value inside;           /* along the other axes */
    int64_t tap;               /* of the row */
    tn_dim from, end;          /* part of the row */
    uint32_t buffer;
    tn_dim to; /* offset of x = 0 in the buffer */
} packed_row;

static void put(packed_row *r, tn_dim x, lt_value value) {
    lt_store(&r->b->c.a->b, r->buffer, access_simplify(r->b->c.a, dim_add(r->b->c.t, r->to, x)), value, LT_NONE);
}

static void copy_element(void *ctx, tn_dim x) {
    packed_row *r = ctx;
    convolution *c = &r->b->c;
    lt_value inside = r->inside, ignored = LT_NONE;
    int last = c->spatial - 1;
    bool spread = c->input_dilation[last] > 1;
    r->index[last + 2] = conv_position(c, last, x, dim_const(c->t, r->tap), spread ? &inside : &ignored);
    put(r, x, conv_element(c, r->index, inside));
}

static void clear_element(void *ctx, tn_dim x) {
    packed_row *r = ctx;
    put(r, x, lt_const_int(&r->b->c.a->b, r->b->c.sum, 0));
}

static void pack_row(packed_row *r) {
    convolution *c = &r->b->c;
    tn_dim first, end;
    if (c->input_dilation[c->spatial - 1] > 1) {
        lower_run(c->a, r->from, r->end, copy_element, r);
        return;
    }
    conv_inside(c, r->tap, &first, &end);
    first = access_simplify(c->a, dim_min(c->t, dim_max(c->t, first, r->from), r->end));
    end = access_simplify(c->a, dim_max(c->t, dim_min(c->t, end, r->end), first));
    lower_run(c->a, r->from, first, clear_element, r);
    lower_run(c->a, first, end, copy_element, r);
    lower_run(c->a, end, r->end, clear_element, r);
}

/* What is packed: steps of one channel at a time. */
typedef struct packing {
    blocked_conv *b;
    tn_dim number[3]; /* image, group, band */
    tn_dim channel;
    tn_dim column, column_end;
    uint32_t buffer;
    tn_dim base; /* offset of the channel's first step */
} packing;

static tn_dim step_offset(const packing *q, tn_dim tap) {
    return dim_add(q->b->c.t, q->base, dim_mul_const(q->b->c.t, tap, q->b->p.how.step_row));
}

/* Tiles read whole vectors, and where the extent is symbolic whole panels: zeros behind the last column. */
static void pack_margin(packing *q, tn_dim tap) {
    convolution *c = &q->b->c;
    const blocking *how = &q->b->p.how;
    packed_row r = {.b = q->b, .buffer = q->buffer, .to = step_offset(q, tap)};
    tn_dim columns = dim_sub(c->t, q->column_end, q->column);
    tn_dim panels = dim_mul_const(c->t, dim_ceildiv(c->t, columns, dim_const(c->t, how->nr)), how->nr);
    lower_run(c->a, columns, dim_min(c->t, panels, dim_const(c->t, how->step_row)), clear_element, &r);
}

/* One result row of the band under the taps of one kernel row; `tap` counts the others. */
static void pack_band_row(packing *q, tn_dim within, const tn_dim *taps, tn_dim tap) {
    convolution *c = &q->b->c;
    dim_table *t = c->t;
    int last = c->spatial - 1;
    packed_row r = {.b = q->b, .inside = LT_NONE, .buffer = q->buffer};
    tn_dim at[TN_MAX_RANK];
    conv_unravel_row(c, dim_add(t, dim_mul_const(t, q->number[2], q->b->band), within), at);
    r.index[0] = q->number[0];
    r.index[1] = dim_add(t, dim_mul(t, q->number[1], c->channels), q->channel);
    for (int i = 0; i < last; i++) r.index[i + 2] = conv_position(c, i, at[i], taps[i], &r.inside);
    bool is_part = q->b->band == 1;
    r.from = is_part ? q->column : dim_const(t, 0);
    r.end = is_part ? q->column_end : q->b->row;
    for (r.tap = 0; r.tap < c->tap[last]; r.tap++) {
        tn_dim step = dim_add_const(t, dim_mul_const(t, tap, c->tap[last]), r.tap);
        r.to = dim_sub(t, dim_add(t, step_offset(q, step), dim_mul(t, within, q->b->row)), r.from);
        pack_row(&r);
    }
}

static void pack_kernel_rows(packing *q) {
    convolution *c = &q->b->c;
    dim_table *t = c->t;
    int last = c->spatial - 1;
    access_loop loops[CONV_SPATIAL], rows;
    tn_dim taps[CONV_SPATIAL], tap = dim_const(t, 0);
    for (int i = 0; i < last; i++) {
        loops[i] = access_open_loop(c->a, LT_SERIAL, dim_const(t, 0), dim_const(t, c->tap[i]), 0, 0);
        taps[i] = access_counter(&loops[i]);
        tap = dim_add(t, dim_mul_const(t, tap, c->tap[i]), taps[i]);
    }
    rows = access_open_loop(c->a, LT_SERIAL, dim_const(t, 0), dim_const(t, q->b->band), 0, 0);
    pack_band_row(q, access_counter(&rows), taps, tap);
    access_close_loop(c->a, &rows);
    for (int64_t i = 0; i < c->tap[last]; i++) pack_margin(q, dim_add_const(t, dim_mul_const(t, tap, c->tap[last]), i));
    for (int i = last; i-- > 0;) access_close_loop(c->a, &loops[i]);
}

static void pack_steps(product *p, tn_dim outer, tn_dim k, tn_dim k_end, tn_dim column, tn_dim column_end,
                       uint32_t buffer, tn_dim base) {
    blocked_conv *b = p->ctx;
    dim_table *t = p->t;
    tn_dim taps = dim_const(t, b->c.taps), first = access_simplify(p->a, dim_floordiv(t, k, taps));
    packing q = {.b = b, .column = column, .column_end = column_end, .buffer = buffer};
    unravel_outer(b, outer, q.number);
    access_loop loop =
        access_open_loop(p->a, LT_SERIAL, first, access_simplify(p->a, dim_floordiv(t, k_end, taps)), 0, 0);
    q.channel = access_counter(&loop);
    access_know_range(p->a, q.channel, b->c.channels);
    q.base = dim_add(t, base, dim_mul_const(t, dim_sub(t, q.channel, first), b->c.taps * p->how.step_row));
    pack_kernel_rows(&q);
    access_close_loop(p->a, &loop);
}

/* ---- Asking ahead ---- */

/* The tiles of a row share a channel of the next band's input, the last rows the last one. */
static void ask_ahead(product *p, lt_stmt *tile, tn_dim outer, tn_dim row, tn_dim column) {
    blocked_conv *b = p->ctx;
    const convolution *c = &b->c;
    dim_table *t = c->t;
    const source *s = &c->a->sources[c->conv->operands[0]];
    int64_t steps = product_constant(p, p->depth), rows = b->band * c->stride[0],
            tiles = product_constant(p, product_panels(p, p->how.nr, SIDE_B)),
            share = (rows * product_constant(p, s->stride[2]) + tiles * steps - 1) / (tiles * steps);
    tn_dim number[3], channel = dim_floordiv(t, row, dim_const(t, p->how.mr)), last = dim_add_const(t, c->channels, -1);
    unravel_outer(b, outer, number);
    tn_dim y = dim_sub(t, dim_mul_const(t, dim_add_const(t, number[2], 1), rows), c->low[0]);
    tn_dim index[3] = {number[0], dim_min(t, channel, last), y}, at = s->base;
    for (int i = 0; i < 3; i++) at = dim_add(t, at, dim_mul(t, index[i], s->stride[i]));
    tn_dim before = dim_mul_const(t, dim_floordiv(t, column, dim_const(t, p->how.nr)), steps * share);
    tile->tile.next = s->buffer;
    tile->tile.next_index = access_simplify(p->a, dim_add(t, at, before));
    tile->tile.next_step = dim_const(t, share);
}

/* Few channels of known planes: bands are far apart in memory, and it may have lost them since the run before. */
static bool can_ask_ahead(const blocked_conv *b) {
    const convolution *c = &b->c;
    const product *p = &b->p;
    const source *s = &c->a->sources[c->conv->operands[0]];
    int64_t channels = product_constant(p, c->channels),
            row_tiles = product_constant(p, product_panels(p, p->how.mr, SIDE_A));
    return p->how.packs_in_chunk && p->how.depth_block == 0 && c->spatial == 2 && c->groups == 1 && channels > 0 &&
           channels <= row_tiles && s->kind == SOURCE_BUFFER && product_constant(p, s->stride[2]) > 0 &&
           product_constant(p, p->side[SIDE_B].extent) > 0;
}

/* ---- Shape ---- */

static bool is_pointwise(const convolution *c) {
    for (int i = 0; i < c->spatial; i++)
        if (c->tap[i] != 1 || c->stride[i] != 1 || c->input_dilation[i] != 1 || !dim_is_value(c->t, c->low[i], 0) ||
            c->input->dims[i + 2] != c->result.dims[i + 2])
            return false;
    return true;
}

static void set_band(blocked_conv *b, int64_t band, tn_dim rows) {
    b->band = band;
    b->bands = dim_exact_div(b->c.t, rows, dim_const(b->c.t, band));
    b->p.side[SIDE_B].extent = dim_mul_const(b->c.t, b->row, band);
    tn_dim images = dim_mul_const(b->c.t, b->c.input->dims[0], b->c.groups);
    b->p.outer = dim_mul(b->c.t, images, b->bands);
}

/* A chunk reads all weights for its band, so bands are as long as fits, unless tiles waste much. */
static void choose_band(blocked_conv *b, const machine *m, tn_dim rows) {
    int64_t n = product_constant(&b->p, rows), row = product_constant(&b->p, b->row), best = 1;
    double least = -1;
    set_band(b, 1, rows);
    if (n < 1 || row < 1 || row > BAND_COLUMNS) return;
    for (int64_t band = 1; band <= n && (band == 1 || band * row <= BAND_COLUMNS); band++) {
        if (n % band) continue;
        set_band(b, band, rows);
        product_shape s = product_known_shape(&b->p);
        double columns = (double)(band * row), cost = blocking_cost(m, &s) / columns * (1 + 6 / columns);
        if (least >= 0 && cost >= least) continue;
        least = cost;
        best = band;
    }
    set_band(b, best, rows);
}

static void choose_blocking(product *p, const machine *m, bool keeps_b) {
    product_shape s = product_known_shape(p);
    s.keeps_b = keeps_b;
    p->how = blocking_choose(m, &s);
}

static bool has_windows(const convolution *c) {
    if (c->taps == 1 || c->spatial > 2 || c->groups > 1) return false;
    for (int i = 0; i < c->spatial; i++)
        if (c->input_dilation[i] != 1 || c->tap[i] > MOST_TAPS || !dim_is_const(c->t, c->input->dims[i + 2], NULL) ||
            !dim_is_const(c->t, c->result.dims[i + 2], NULL))
            return false;
    return true;
}

/* Rows are positions, a line of them for each row of the result; steps of the depth channels, and taps in them. */
static void read_windows(blocked_conv *b) {
    convolution *c = &b->c;
    product *p = &b->p;
    dim_table *t = c->t;
    int last = c->spatial - 1, n = 0;
    conv_view v = conv_padded(c);
    matrix *m = &p->side[SIDE_A];
    tn_dim image = dim_mul(t, product_outer_variable(p), v.image), strides[CONV_SPATIAL];
    int64_t taps[CONV_SPATIAL];
    for (int i = 0; i < c->spatial; i++) {
        if (c->tap[i] == 1) continue;
        taps[n] = c->tap[i];
        strides[n++] = dim_mul_const(t, v.at[i], c->dilation[i]);
    }
    m->has_strides = m->is_plain = true;
    m->buffer = v.buffer;
    m->base = dim_add(t, v.base, image);
    m->extent = c->result.dims[last + 2];
    m->step = dim_mul_const(t, v.at[last], c->stride[last]);
    m->line_step = dim_mul_const(t, v.at[0], c->stride[0]);
    m->depth_step = v.channel;
    p->in_lines = true;
    p->lines = last > 0 ? c->result.dims[2] : dim_const(t, 1);
    product_set_inner(p, (uint32_t)n, taps, strides);
}

/* One chunk's band is all of the result. */
static void set_whole(blocked_conv *b, tn_dim rows) {
    b->is_whole = true;
    b->row = dim_mul(b->c.t, rows, b->row);
    set_band(b, 1, dim_const(b->c.t, 1));
}

/* Weights are B, in panels. False: they do not lie so. */
static bool set_up_swapped(blocked_conv *b, const machine *m, tn_dim rows) {
    convolution *c = &b->c;
    product *p = &b->p;
    set_whole(b, rows);
    p->side[SIDE_A].extent = b->row;
    p->side[SIDE_B].extent = c->features;
    b->swaps = true;
    if (!product_find_panels(p, c->conv->operands[1], kernel_index)) return false;
    lt_note(&c->a->b, "rows are positions of the result, columns output channels: the weights are B");
    if (is_pointwise(c))
        product_find_plain(p, SIDE_A, c->conv->operands[0], input_index);
    else if (has_windows(c))
        read_windows(b);
    if (p->in_lines) lt_note(&c->a->b, "what the kernel meets is read where it lies, row by row of the result");
    p->lanes_along_rows = !dim_is_value(c->t, b->row, 1); /* features of a single position are neighbours */
    choose_blocking(p, m, false);
    if (p->in_lines) p->how.depth_block = (p->how.depth_block + c->taps - 1) / c->taps; /* of channels */
    return true;
}

static bool set_up_in_place(blocked_conv *b, const machine *m, tn_dim rows) {
    const convolution *c = &b->c;
    product *p = &b->p;
    if (!is_pointwise(c)) return false;
    set_whole(b, rows);
    product_find_plain(p, SIDE_B, c->conv->operands[0], input_index);
    product_find_plain(p, SIDE_A, c->conv->operands[1], kernel_index);
    choose_blocking(p, m, true);
    if (!p->how.packs[SIDE_B])
        lt_note(&c->a->b,
                "rows are output channels, columns positions: one tap, stride 1 and no padding, so that the input is "
                "read where it lies");
    return !p->how.packs[SIDE_B];
}

/* Few features of few terms are computed directly. */
static bool suits_product(const convolution *c) {
    int64_t features, channels;
    return !dim_is_const(c->t, c->features, &features) || features >= TILE_FEATURES ||
           !dim_is_const(c->t, c->channels, &channels) || channels * c->taps > DIRECT_TERMS;
}

static bool set_up_packed(blocked_conv *b, const machine *m, tn_dim rows) {
    const convolution *c = &b->c;
    product *p = &b->p;
    if (c->tap[c->spatial - 1] > MOST_ROW_TAPS) return false;
    p->pack_steps = pack_steps;
    p->step_multiple = c->taps;
    set_band(b, 1, rows);
    product_find_plain(p, SIDE_A, c->conv->operands[1], kernel_index);
    choose_band(b, m, rows);
    product_find_plain(p, SIDE_A, c->conv->operands[1], kernel_index); /* the band is part of its base */
    choose_blocking(p, m, false);
    if (can_ask_ahead(b)) p->ask_ahead = ask_ahead;
    lt_note(&c->a->b,
            "rows are output channels, columns positions: %lld row%s of the result at a time, for which the input is "
            "copied tap by tap, zeros beyond its edges",
            (long long)b->band, b->band == 1 ? "" : "s");
    return true;
}

/* The first of the ways that the weights and the input allow. False: it is no product. */
static bool set_up(blocked_conv *b, const machine *m) {
    static bool (*const ways[])(blocked_conv *, const machine *, tn_dim) = {set_up_swapped, set_up_in_place,
                                                                            set_up_packed};
    const convolution c = b->c;
    bool is_done = false;
    for (size_t i = 0; !is_done && i < sizeof ways / sizeof *ways; i++) {
        *b = (blocked_conv){.c = c, .row = c.result.dims[c.spatial + 1]};
        b->p = (product){.a = c.a, .t = c.t, .ctx = b, .sum = c.sum, .element = element, .store = store};
        b->p.depth = dim_mul_const(c.t, c.channels, c.taps);
        b->p.side[SIDE_A].extent = c.features;
        is_done = ways[i](b, m, dim_product(c.t, c.result.dims + 2, c.spatial - 1));
    }
    return is_done;
}

/* ---- Entries ---- */

bool conv_takes(const tn_graph *fused) {
    const node *conv = lower_anchor(fused, TN_OP_conv);
    if (!conv) return false;
    const tn_type *kernel = graph_type(fused, conv->operands[1]);
    tn_dtype own = (tn_dtype)kernel->dtype, acc = access_accumulator(fused, conv);
    bool is_float = own == TN_F16 || own == TN_BF16 || own == TN_F32 || own == TN_F64;
    for (int i = 1; i < kernel->rank; i++)
        if (!dim_is_const(fused->module->dims, kernel->dims[i], NULL)) return false;
    return kernel->rank > 2 && is_float && (acc == TN_F32 || acc == TN_F64) && !(own == TN_F64 && acc == TN_F32);
}

lt_kernel *conv_lower(tn_graph *fused, const machine *m) {
    access a;
    blocked_conv b;
    if (access_open(&a, fused, "conv", m)) {
        convolution whole;
        bool is_readable = conv_read(&whole, &a, lower_anchor(fused, TN_OP_conv));
        if (is_readable && conv_spread(&whole, m)) return access_close(&a);
        bool is_product = is_readable && suits_product(&whole);
        for (int64_t i = 0; is_product && i < conv_phase_count(&whole); i++) {
            b.c = conv_phase(&whole, i);
            is_product = set_up(&b, m); /* the first phase has the most taps: it decides */
            if (is_product) product_lower(&b.p);
        }
        if (!is_product) {
            access_close(&a);
            return conv_lower_direct(fused, m);
        }
    }
    return access_close(&a);
}
