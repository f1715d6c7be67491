/* Class conv_weights: one conv_weights with what was fused after it, as a blocked product.
 *
 * in:  a fused function with one conv_weights whose operands come from outside, the other members elementwise on its
 *      result
 * out: stages that lay the operands out by positions, channels next to each other (channel_rows.c), unless the second
 *      one can be read where it lies; then chunks, each of some output channels and some channels, all taps
 * law: each sum is one FMA chain over images, then places, row-major. With a tile: conv_weights_tiles.c
 *
 * For one tap the result is a product: rows are output channels, columns channels, the depth runs over all places of
 * all images, and what columns read begins at the tap. So that both operands come from near caches, a block of places
 * is taken by all taps and tiles of a chunk before the next one, sums being kept in the thread's memory. Few channels
 * are columns together with the taps of a row, which are their neighbours. Each channel by itself:
 * conv_weights_channels.c.
 */
#include "compiler/loops/conv_weights.h"

enum {
    BLOCK_POSITIONS = 96, /* of a block, at most: rows of channels that the L1 holds */
    CHUNK_COLUMNS = 64,
    LEAST_CHUNKS = 16,       /* wanted */
    LEAST_ROWS = 16,         /* of a chunk */
    CHUNK_BYTES = 192 << 10, /* of sums */
    LINE = 16,               /* elements */
    ALIAS_BYTES = 2048,      /* output channels apart by a multiple of this fall into few sets of the L1 */
};

/* ---- Sides ---- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

weights_side cw_side(int64_t extent, int64_t size, int64_t tiles) {
    weights_side s = {.extent = extent, .size = size, .whole = extent / size, .rest = extent % size};
    int64_t all = s.whole + (s.rest > 0);
    s.tiles = most(1, least(tiles, all));
    s.chunks = cw_ceil_div(all, s.tiles);
    s.chunk_extent = most(1, least(extent, s.tiles * size));
    return s;
}

tn_dim cw_first(const conv_weights *w, const weights_side *s, tn_dim chunk) {
    return dim_mul_const(w->t, chunk, s->tiles * s->size);
}

tn_dim cw_extent(const conv_weights *w, const weights_side *s, tn_dim chunk) {
    tn_dim left = dim_sub(w->t, cw_number(w, s->extent), cw_first(w, s, chunk));
    return access_simplify(w->a, dim_min(w->t, cw_number(w, s->chunk_extent), left));
}

/* ---- Tiles of a chunk ---- */

typedef struct tile_walk {
    const tn_dim *chunk;
    cw_tile *body;
    const void *ctx;
    tn_dim column;
    int64_t n_columns;
} tile_walk;

typedef void side_body(conv_weights *w, const tile_walk *walk, tn_dim first, int64_t n);

/* The chunk's tiles along one side: whole ones, then, in the last chunk, what is left. */
static void along_side(conv_weights *w, const weights_side *s, tn_dim chunk, side_body *body, const tile_walk *walk) {
    dim_table *t = w->t;
    if (s->whole) {
        tn_dim begin = dim_mul_const(t, chunk, s->tiles), end = dim_add_const(t, begin, s->tiles);
        end = access_simplify(w->a, dim_min(t, end, cw_number(w, s->whole)));
        access_loop loop = access_open_loop(w->a, LT_SERIAL, begin, end, 0, 0);
        access_know_range(w->a, access_counter(&loop), cw_number(w, s->whole));
        body(w, walk, dim_mul_const(t, access_counter(&loop), s->size), s->size);
        access_close_loop(w->a, &loop);
    }
    if (!s->rest) return;
    lt_block *outer = w->a->b.block;
    lt_stmt *branch = NULL;
    if (s->chunks > 1)
        branch = lt_open_if(&w->a->b, lt_compare(&w->a->b, COMPARE_EQ, lt_dim_value(&w->a->b, chunk),
                                                 lt_const_int(&w->a->b, TN_I64, s->chunks - 1)));
    body(w, walk, cw_number(w, s->whole * s->size), s->rest);
    if (branch) lt_close_if(&w->a->b, branch, outer);
}

static void one_tile(conv_weights *w, const tile_walk *walk, tn_dim row, int64_t n_rows) {
    walk->body(w, walk->ctx, row, walk->column, n_rows, walk->n_columns);
}

static void row_tiles(conv_weights *w, const tile_walk *walk, tn_dim column, int64_t n_columns) {
    tile_walk in = *walk;
    in.column = column;
    in.n_columns = n_columns;
    along_side(w, &w->rows, walk->chunk[0], one_tile, &in);
}

void cw_tiles(conv_weights *w, const tn_dim *chunk, cw_tile *body, const void *ctx) {
    tile_walk walk = {.chunk = chunk, .body = body, .ctx = ctx};
    along_side(w, &w->columns, chunk[1], row_tiles, &walk);
}

/* ---- Results ---- */

/* [tap][channel] to [channel][tap], for the sums from `at` on of `n` channels. */
static void turn_taps(conv_weights *w, tn_dim at, tn_dim first, int64_t n) {
    int64_t taps = cw_taps(w);
    lt_matrix from = {w->sums, access_simplify(w->a, dim_add(w->t, at, first)), cw_number(w, w->tap_pitch)},
              to = {w->turned, dim_mul_const(w->t, first, taps), cw_number(w, taps)};
    lt_transpose(&w->a->b, from, to, taps, n);
}

/* All of an output channel that the chunk has: `extent` channels from `first` on; room is for whole vectors. */
static void store_row(conv_weights *w, tn_dim feature, tn_dim at, tn_dim first, tn_dim extent, int64_t most_channels) {
    access *a = w->a;
    int64_t taps = cw_taps(w), blocks = most_channels / w->lanes, rest = most_channels % w->lanes;
    if (taps > 1 && blocks) {
        access_loop loop = cw_open_count(w, blocks);
        turn_taps(w, at, dim_mul_const(w->t, access_counter(&loop), w->lanes), w->lanes);
        access_close_loop(a, &loop);
    }
    if (taps > 1 && rest) turn_taps(w, at, cw_number(w, blocks * w->lanes), rest);
    tn_dim all = access_simplify(a, dim_mul_const(w->t, extent, taps));
    access_loop run = access_open_loop(a, LT_VECTOR, cw_number(w, 0), all, (uint32_t)w->lanes, 0);
    tn_dim j = access_counter(&run);
    access_know_range(a, j, cw_number(w, most_channels * taps));
    lt_value sum = taps > 1 ? lt_load(&a->b, w->turned, j, LT_NONE)
                            : lt_load(&a->b, w->sums, access_simplify(a, dim_add(w->t, at, j)), LT_NONE);
    tn_dim extents[3] = {cw_number(w, most_channels), cw_number(w, w->window[0]), cw_number(w, w->window[1])},
           number[3], index[4] = {feature};
    access_unravel(a, j, 3, extents, number);
    index[1] = dim_add(w->t, first, number[0]);
    index[2] = w->spatial > 1 ? number[1] : number[2];
    index[3] = number[2];
    lower_store_anchor(a, w->value, index, sum);
    access_close_loop(a, &run);
}

void cw_store_chunk(conv_weights *w, const tn_dim *chunk) {
    access *a = w->a;
    bool has_all = w->columns.chunks == 1;
    int64_t channels = has_all ? w->channels : w->columns.chunk_extent;
    tn_dim first = has_all ? cw_number(w, 0) : cw_first(w, &w->columns, chunk[1]),
           extent = has_all ? cw_number(w, w->channels) : cw_extent(w, &w->columns, chunk[1]);
    access_loop rows = access_open_loop(a, LT_SERIAL, cw_number(w, 0), cw_extent(w, &w->rows, chunk[0]), 0, 0);
    tn_dim row = access_counter(&rows);
    access_know_range(a, row, cw_number(w, w->rows.chunk_extent));
    tn_dim feature = cw_plus(w, dim_add(w->t, cw_first(w, &w->rows, chunk[0]), row), w->features, w->group);
    store_row(w, feature, dim_mul_const(w->t, row, w->row_pitch), first, extent, channels);
    access_close_loop(a, &rows);
}

/* ---- The direct algorithm ---- */

/* How a block of places is cut: so many images, or rows of one. */
typedef struct places_block {
    int64_t images, rows;
} places_block;

/* What a tile needs to know besides its place. */
typedef struct direct_tile {
    const tn_dim *chunk;
    tn_dim image, row;   /* first ones of the block */
    tn_dim depth;        /* images in it */
    int64_t rows;        /* of each */
    tn_dim tap_row, tap; /* tap: of the row */
} direct_tile;

/* A level of the tile's depth, behind those that are there: with the last of them, if one goes on where the other
 * ends. */
static void add_inner(conv_weights *w, lt_stmt *s, int64_t steps, tn_dim a, int64_t b) {
    if (steps <= 1) return;
    lt_inner level = {(uint32_t)steps, a, cw_number(w, b)},
             *last = s->tile.n_inner ? &s->tile.inner[s->tile.n_inner - 1] : NULL;
    if (last && last->a == dim_mul_const(w->t, a, steps) && last->b == cw_number(w, steps * b)) {
        level.steps *= last->steps;
        *last = level;
    } else
        s->tile.inner[s->tile.n_inner++] = level;
}

static void direct_sum(conv_weights *w, const void *ctx, tn_dim row, tn_dim column, int64_t n_rows, int64_t n_columns) {
    const direct_tile *d = ctx;
    dim_table *t = w->t;
    const channel_rows *x = &w->x;
    const given_places *dy = &w->given;
    int64_t x_line = channel_rows_line(x);
    tn_dim x_row = cw_plus(w, dim_mul_const(t, d->row, cw_place_step(w, 0)), w->dilation[0], d->tap_row);
    tn_dim b_index = cw_plus(w, dim_mul_const(t, d->image, cw_image_elements(x)), x_line, x_row);
    b_index = cw_plus(w, dim_add(t, b_index, column), w->dilation[1] * x->pitch, d->tap);
    tn_dim feature = cw_plus(w, row, w->features, w->group),
           a_index = dim_add(t, dy->base, dim_mul(t, feature, dy->feature));
    a_index = dim_add(t, a_index, dim_add(t, dim_mul(t, d->image, dy->image), dim_mul(t, d->row, dy->row)));
    tn_dim tap = cw_plus(w, d->tap, w->window[1], d->tap_row), r = dim_sub(t, row, cw_first(w, &w->rows, d->chunk[0])),
           j = dim_sub(t, column, cw_first(w, &w->columns, d->chunk[1]));
    lt_stmt *s = lt_tile(&w->a->b);
    s->tile.a = dy->buffer;
    s->tile.b = x->buffer;
    s->tile.c = w->sums;
    s->tile.a_index = access_simplify(w->a, a_index);
    s->tile.b_index = access_simplify(w->a, cw_plus(w, b_index, w->channels, w->group));
    s->tile.c_index = access_simplify(w->a, cw_plus(w, cw_plus(w, j, w->row_pitch, r), w->tap_pitch, tap));
    s->tile.a_row = dy->feature;
    s->tile.a_depth = dy->image;
    s->tile.b_depth = cw_number(w, cw_image_elements(x));
    s->tile.c_row = cw_number(w, w->row_pitch);
    s->tile.depth = d->depth;
    s->tile.mr = (uint32_t)n_rows;
    s->tile.nr = (uint32_t)n_columns;
    s->tile.accumulate = true;
    add_inner(w, s, d->rows, dy->row, cw_place_step(w, 0) * x_line);
    add_inner(w, s, w->places[1], dy->column, cw_place_step(w, 1) * x->pitch);
}

/* Columns are channels and the taps of a row. */
static bool joins_taps(const conv_weights *w) {
    return w->window[1] > 1 && w->dilation[1] == 1 && w->channels < w->lanes && w->groups == 1;
}

static void all_taps(conv_weights *w, direct_tile *d) {
    access_loop rows = cw_open_count(w, w->window[0]);
    d->tap_row = access_counter(&rows);
    access_loop taps = cw_open_count(w, joins_taps(w) ? 1 : w->window[1]);
    d->tap = access_counter(&taps);
    cw_tiles(w, d->chunk, direct_sum, d);
    access_close_loop(w->a, &taps);
    access_close_loop(w->a, &rows);
}

static places_block choose_block(const conv_weights *w) {
    int64_t row = w->x.extent[1], rows = most(1, least(w->places[0], BLOCK_POSITIONS / most(1, row)));
    while (w->places[0] % rows) rows--;
    if (rows < w->places[0]) return (places_block){1, rows};
    return (places_block){most(1, BLOCK_POSITIONS / most(1, rows * row)), rows};
}

static void chunk_sums(conv_weights *w, const tn_dim *chunk) {
    dim_table *t = w->t;
    places_block block = choose_block(w);
    tn_dim some = cw_number(w, block.images);
    channel_rows_clear(w->a, w->sums, w->sum, cw_number(w, 0), w->rows.chunk_extent * w->row_pitch);
    if (w->places[0] < 1 || w->places[1] < 1) return;
    access_loop images = access_open_loop(w->a, LT_SERIAL, cw_number(w, 0), dim_ceildiv(t, w->images, some), 0, 0);
    access_loop rows = cw_open_count(w, w->places[0] / block.rows);
    tn_dim image = dim_mul_const(t, access_counter(&images), block.images);
    direct_tile d = {.chunk = chunk,
                     .image = image,
                     .row = dim_mul_const(t, access_counter(&rows), block.rows),
                     .depth = access_simplify(w->a, dim_min(t, some, dim_sub(t, w->images, image))),
                     .rows = block.rows};
    all_taps(w, &d);
    access_close_loop(w->a, &rows);
    access_close_loop(w->a, &images);
}

/* A copy of all images, by rows. */
static void lay_out_stage(conv_weights *w, channel_rows *s, const char *name) {
    tn_dim extents[2] = {w->images, cw_number(w, s->extent[0])}, number[2];
    access_loop named[2];
    s->buffer = lt_add_buffer(&w->a->b, LT_TEMP, w->sum, dim_mul_const(w->t, w->images, cw_image_elements(s)), name);
    s->turned = lt_add_buffer(&w->a->b, LT_LOCAL, w->sum, cw_number(w, channel_rows_turned(s)), "turned");
    access_open_chunks(w->a, 2, extents, number, named);
    tn_dim at = cw_plus(w, dim_mul_const(w->t, number[0], cw_image_elements(s)), channel_rows_line(s), number[1]);
    channel_rows_copy(s, number[0], number[1], at);
    access_close_chunks(w->a, 2, named);
}

blocking cw_blocking(const conv_weights *w, const machine *m, int64_t columns) {
    product_shape s = {.rows = most(1, w->features),
                       .columns = most(1, columns),
                       .depth = BLOCK_POSITIONS,
                       .element_bytes = tn_dtype_bits(w->sum) / 8,
                       .is_plain = {true, true},
                       .row_bytes = -1,
                       .column_bytes = -1};
    return blocking_choose(m, &s);
}

/* As many tiles in a chunk as leave enough chunks. */
static void choose_sides(conv_weights *w, const machine *m) {
    int64_t columns = joins_taps(w) ? w->window[1] * w->channels : w->channels, bytes = tn_dtype_bits(w->sum) / 8;
    blocking how = cw_blocking(w, m, columns);
    w->columns = cw_side(columns, how.nr, joins_taps(w) ? columns : most(1, CHUNK_COLUMNS / how.nr));
    w->tap_pitch = joins_taps(w) ? w->channels : w->columns.chunk_extent;
    w->row_pitch = w->tap_pitch * cw_taps(w);
    int64_t rows = w->features * w->columns.chunks * w->groups / LEAST_CHUNKS,
            fitting = CHUNK_BYTES / most(1, w->row_pitch * bytes);
    rows = most(LEAST_ROWS, least(rows, fitting));
    w->rows = cw_side(w->features, how.mr, most(1, (rows + how.mr / 2) / how.mr));
}

/* Output channels are rows of a tile: their elements follow each other where the operand is read as it lies. */
static bool is_given_in_place(conv_weights *w) {
    value_id v = w->dy.value;
    const source *s = &w->a->sources[v];
    int64_t stride;
    if (s->kind != SOURCE_BUFFER || (tn_dtype)graph_type(w->a->fused, v)->dtype != w->sum ||
        !dim_is_value(w->t, s->stride[1 + w->spatial], 1) || !dim_is_const(w->t, s->stride[1], &stride) ||
        stride * tn_dtype_bits(w->sum) / 8 % ALIAS_BYTES == 0)
        return false;
    w->given = (given_places){s->buffer, s->base, s->stride[0], s->stride[1], s->stride[2], s->stride[1 + w->spatial]};
    return true;
}

static void give_copy(conv_weights *w) {
    const channel_rows *s = &w->dy;
    lay_out_stage(w, &w->dy, "dy");
    w->given = (given_places){s->buffer,
                              cw_number(w, 0),
                              cw_number(w, cw_image_elements(s)),
                              cw_number(w, 1),
                              cw_number(w, channel_rows_line(s)),
                              cw_number(w, s->pitch)};
}

static void lower_direct(conv_weights *w, const machine *m) {
    tn_dim extents[3], number[3];
    access_loop named[3];
    bool is_by_channels = w->groups > 1 && w->channels == 1 && w->features == 1 && w->window[1] <= CW_MOST_WINDOW;
    lay_out_stage(w, &w->x, "x");
    if (is_by_channels || !is_given_in_place(w)) give_copy(w);
    if (is_by_channels) {
        cw_lower_channels(w);
        return;
    }
    choose_sides(w, m);
    extents[0] = cw_number(w, w->groups);
    extents[1] = cw_number(w, w->rows.chunks);
    extents[2] = cw_number(w, w->columns.chunks);
    w->sums = lt_add_buffer(&w->a->b, LT_SCRATCH, w->sum, cw_number(w, w->rows.chunk_extent * w->row_pitch), "sums");
    int64_t channels = w->columns.chunks == 1 ? w->channels : w->columns.chunk_extent;
    w->turned = lt_add_buffer(&w->a->b, LT_LOCAL, w->sum, cw_number(w, most(1, channels * cw_taps(w))), "row");
    access_open_chunks(w->a, 3, extents, number, named);
    w->group = number[0];
    chunk_sums(w, number + 1);
    cw_store_chunk(w, number + 1);
    access_close_chunks(w->a, 3, named);
}

/* ---- Sizes ---- */

static int64_t known(const conv_weights *w, tn_dim d) {
    int64_t value = 0;
    dim_is_const(w->t, d, &value);
    return value;
}

static void read_axis(conv_weights *w, int axis, int from) {
    const attr *stride = attr_find(&w->n->attrs, ATTR_stride), *low = attr_find(&w->n->attrs, ATTR_low),
               *dilation = attr_find(&w->n->attrs, ATTR_dilation);
    w->in[axis] = known(w, graph_type(w->a->fused, w->n->operands[0])->dims[from + 2]);
    w->places[axis] = known(w, graph_type(w->a->fused, w->n->operands[1])->dims[from + 2]);
    w->window[axis] = attr_find(&w->n->attrs, ATTR_window)->ints.items[from];
    w->stride[axis] = stride && stride->ints.n ? stride->ints.items[from] : 1;
    w->dilation[axis] = dilation && dilation->ints.n ? dilation->ints.items[from] : 1;
    w->low[axis] = low && low->dims.n ? known(w, low->dims.items[from]) : 0;
}

/* Of an odd number of cache lines, so that positions fall into different sets. Few channels stay next to each other. */
static int64_t pitch_of(int64_t channels) {
    return channels < LINE ? channels : (cw_ceil_div(channels, LINE) | 1) * LINE;
}

/* With one tap only the positions that it meets are copied. */
static void read_copies(conv_weights *w) {
    w->x = (channel_rows){
        .a = w->a, .value = w->n->operands[0], .dtype = w->sum, .spatial = w->spatial, .lanes = w->lanes};
    w->dy = w->x;
    w->x.channels = w->groups * w->channels;
    w->dy.value = w->n->operands[1];
    w->dy.channels = w->groups * w->features;
    w->x.pitch = joins_taps(w) ? w->channels : pitch_of(w->x.channels);
    w->dy.pitch = pitch_of(w->dy.channels);
    for (int i = 0; i < 2; i++) {
        bool is_single = w->window[i] == 1;
        w->x.in[i] = w->in[i];
        w->x.low[i] = w->low[i];
        w->x.step[i] = is_single ? w->stride[i] : 1;
        w->x.extent[i] =
            is_single ? w->places[i] : (w->places[i] - 1) * w->stride[i] + (w->window[i] - 1) * w->dilation[i] + 1;
        w->dy.in[i] = w->dy.extent[i] = w->places[i];
        w->dy.step[i] = 1;
        if (w->places[i] == 0) w->x.extent[i] = 0;
    }
}

static void read_sizes(conv_weights *w, access *a, const node *n) {
    const tn_type *x = graph_type(a->fused, n->operands[0]), *dy = graph_type(a->fused, n->operands[1]);
    *w = (conv_weights){.a = a, .t = a->fused->module->dims, .n = n, .value = n->first_result};
    w->sum = access_accumulator(a->fused, n);
    w->images = x->dims[0];
    w->spatial = x->rank - 2;
    w->groups = attr_int(&n->attrs, ATTR_groups, 1);
    if (w->groups < 1) w->groups = 1;
    w->channels = known(w, x->dims[1]) / w->groups;
    w->features = known(w, dy->dims[1]) / w->groups;
    w->group = cw_number(w, 0);
    w->lanes = machine_lanes(a->b.machine, tn_dtype_bits(w->sum));
    w->in[0] = w->places[0] = w->window[0] = w->stride[0] = w->dilation[0] = 1;
    for (int i = 0; i < w->spatial; i++) read_axis(w, 2 - w->spatial + i, i);
    read_copies(w);
}

/* ---- Entries ---- */

bool conv_weights_takes(const tn_graph *fused) { return lower_anchor(fused, TN_OP_conv_weights) != NULL; }

lt_kernel *conv_weights_lower(tn_graph *fused, const machine *m) {
    access a;
    conv_weights w;
    if (access_open(&a, fused, "conv_weights", m)) {
        const node *n = lower_anchor(fused, TN_OP_conv_weights);
        read_sizes(&w, &a, n);
        if (attr_find(&n->attrs, ATTR_tile))
            cw_lower_tiles(&w, m);
        else
            lower_direct(&w, m);
    }
    return access_close(&a);
}
