/* Class winograd: one winograd with what was fused after it.
 *
 * in:  a fused function with one winograd whose operands come from outside, the other members elementwise
 *      on its result
 * out: for each block of tile rows, or of images that have few, the transformed input (winograd_input.c,
 *      winograd_tiles.c), and for each group of features the products and their result (winograd_panels.c)
 * law: sums run over the channels in order; blocks and groups follow from the shape and the machine alone
 *
 * A chunk is a block, where there are enough of them: it keeps V to itself, in a cache of its own. Else V is made
 * first, and chunks are groups of features. Planes of V and M are a cache line longer than they need be, so that
 * the lines of one tile fall into different sets.
 */
#include "compiler/loops/winograd_work.h"

enum {
    LINE = 16,          /* elements of a cache line */
    LEAST_TILES = 12,   /* of a block that is a chunk: weights are read once for each block */
    MOST_TILES = 32,    /* of a block of images that is none */
    LEAST_BLOCKS = 8,   /* that are worth chunks of their own */
    CHUNK_CHANNELS = 8, /* whose V a chunk makes */
};

/* ---- Stages ---- */

uint32_t winograd_scratch(winograd *w, int64_t elements, const char *name) {
    return lt_add_buffer(&w->a->b, LT_SCRATCH, TN_F32, constant(w, elements), name);
}

/* U, when it is not a buffer as it is. */
static void weights_stage(winograd *w) {
    const tn_type *type = graph_type(w->a->fused, w->n->operands[1]);
    tn_dim index[6];
    access_loop named[4], channels, lanes;
    w->u = lt_add_buffer(&w->a->b, LT_TEMP, TN_F32, type_element_count(w->t, type), "u");
    access_open_chunks(w->a, 4, type->dims, index, named);
    channels = open_count(w, w->channels);
    lanes = open_lanes(w, w->panel, lanes_for(w, w->panel));
    index[4] = access_counter(&channels);
    index[5] = access_counter(&lanes);
    store(w, w->u, access_offset(w->a, type, index), access_value(w->a, w->n->operands[1], index));
    access_close_loop(w->a, &lanes);
    access_close_loop(w->a, &channels);
    access_close_chunks(w->a, 4, named);
}

static void find_weights(winograd *w) {
    const source *s = &w->a->sources[w->n->operands[1]];
    if (s->kind == SOURCE_BUFFER)
        w->u = s->buffer;
    else
        weights_stage(w);
}

/* Of the batch: chunks have one each, or several. */
static tn_dim image_blocks(const winograd *w) {
    tn_dim images = graph_type(w->a->fused, w->n->operands[0])->dims[0];
    return dim_floordiv(w->t, images, constant(w, w->block_images));
}

/* A chunk is a block. */
static void blocks_stage(winograd *w) {
    tn_dim extents[2] = {image_blocks(w), constant(w, w->blocks)}, numbers[2];
    access_loop named[2];
    w->v_tile ? winograd_open_rows(w) : winograd_open_input(w);
    w->v = winograd_scratch(w, w->side * w->side * w->v_plane, "v");
    winograd_open_group(w);
    access_open_chunks(w->a, 2, extents, numbers, named);
    w->image = dim_mul_const(w->t, numbers[0], w->block_images);
    w->block = numbers[1];
    if (w->v_tile) {
        access_loop images = open_count(w, w->block_images);
        winograd_input_of_image(w, access_counter(&images));
        access_close_loop(w->a, &images);
    } else
        winograd_input_of_block(w, constant(w, 0), constant(w, w->channels));
    access_loop groups = open_count(w, w->groups);
    winograd_group(w, access_counter(&groups));
    access_close_loop(w->a, &groups);
    access_close_chunks(w->a, 2, named);
}

/* V of all images; chunks of a few channels of one. */
static void channels_stage(winograd *w) {
    tn_dim extents[2] = {image_blocks(w), constant(w, ceil_div(w->channels, CHUNK_CHANNELS))}, numbers[2];
    access_loop named[2];
    winograd_open_input(w);
    access_open_chunks(w->a, 2, extents, numbers, named);
    w->image = numbers[0];
    tn_dim first = dim_mul_const(w->t, numbers[1], CHUNK_CHANNELS), end = dim_add_const(w->t, first, CHUNK_CHANNELS);
    winograd_input_of_block(w, first, access_simplify(w->a, dim_min(w->t, end, constant(w, w->channels))));
    access_close_chunks(w->a, 2, named);
}

/* V of all images; chunks are images. */
static void images_stage(winograd *w) {
    tn_dim extents[2] = {image_blocks(w), constant(w, w->block_images)}, numbers[2];
    access_loop named[2];
    winograd_open_rows(w);
    access_open_chunks(w->a, 2, extents, numbers, named);
    w->image = dim_mul_const(w->t, numbers[0], w->block_images);
    winograd_input_of_image(w, numbers[1]);
    access_close_chunks(w->a, 2, named);
}

/* A chunk is a group of a block. */
static void groups_stage(winograd *w) {
    tn_dim extents[2] = {image_blocks(w), constant(w, w->groups)}, numbers[2];
    access_loop named[2];
    winograd_open_group(w);
    access_open_chunks(w->a, 2, extents, numbers, named);
    w->image = dim_mul_const(w->t, numbers[0], w->block_images);
    winograd_group(w, numbers[1]);
    access_close_chunks(w->a, 2, named);
}

/* ---- Shape ---- */

static bool read_shape(winograd *w, access *a, tn_graph *fused) {
    const node *n = lower_anchor(fused, TN_OP_winograd);
    const tn_type *x = graph_type(fused, n->operands[0]), *u = graph_type(fused, n->operands[1]),
                  *y = graph_type(fused, n->first_result);
    const attr *low = attr_find(&n->attrs, ATTR_low);
    *w = (winograd){.a = a, .t = fused->module->dims, .n = n, .value = n->first_result};
    w->tile = attr_int(&n->attrs, ATTR_tile, 0);
    w->side = w->tile + 2;
    w->features = attr_int(&n->attrs, ATTR_features, 0);
    w->lanes = lower_lanes(fused, a->b.machine);
    bool ok = dim_is_const(w->t, x->dims[1], &w->channels) && dim_is_const(w->t, u->dims[0], &w->groups) &&
              dim_is_const(w->t, u->dims[3], &w->group) && dim_is_const(w->t, u->dims[5], &w->panel);
    for (int i = 0; i < 2; i++) {
        ok = ok && dim_is_const(w->t, x->dims[i + 2], &w->in[i]) && dim_is_const(w->t, y->dims[i + 2], &w->out[i]) &&
             (!low || !low->dims.n || dim_is_const(w->t, low->dims.items[i], &w->low[i]));
        w->tiles[i] = ceil_div(w->out[i], w->tile);
    }
    return ok;
}

static int64_t known_images(const winograd *w) {
    int64_t n = 1;
    dim_is_const(w->t, graph_type(w->a->fused, w->n->operands[0])->dims[0], &n);
    return n;
}

/* The lowest blocks of enough tiles, if there are enough of them. */
static bool cut_into_blocks(winograd *w) {
    int64_t rows = ceil_div(LEAST_TILES, w->tiles[1]);
    while (rows < w->tiles[0] && w->tiles[0] % rows) rows++;
    if (rows > w->tiles[0] || w->tiles[0] / rows * known_images(w) < LEAST_BLOCKS) return false;
    w->block_rows = rows;
    return true;
}

/* Images of few tiles each: as many as have enough together, if that leaves enough blocks, else as many as register
 * tiles suit. */
static bool take_images(winograd *w) {
    int64_t images = known_images(w), tiles = w->tiles[0] * w->tiles[1], least = ceil_div(LEAST_TILES, tiles);
    if (tiles >= LEAST_TILES || images < least || w->channels < w->lanes) return false;
    while (least <= images && images % least) least++;
    w->by_blocks = images / least >= LEAST_BLOCKS;
    if (!w->by_blocks) {
        least = MOST_TILES / tiles;
        while (least > 1 && images % least) least--;
    }
    w->block_images = least;
    return least > 1;
}

static void choose_block(winograd *w) {
    bool several = take_images(w);
    w->block_rows = w->tiles[0];
    if (!several) {
        w->block_images = 1;
        w->by_blocks = cut_into_blocks(w);
    }
    w->blocks = w->tiles[0] / w->block_rows;
    w->is_cut[0] = !several && w->blocks == 1 && w->out[0] % w->tile != 0;
    w->is_cut[1] = !several && w->out[1] % w->tile != 0;
    w->pitch = round_up(winograd_block_tiles(w), w->lanes);
    w->v_tile = several ? round_up(w->channels, LINE) + LINE : 0;
    w->v_plane = round_up(several ? w->v_tile * winograd_block_tiles(w) : w->channels * w->pitch, LINE) + LINE;
    w->m_plane = round_up(w->group * w->panel * w->pitch, LINE) + LINE;
    w->staged_pitch = round_up(w->tiles[1] + 1, lanes_for(w, w->tiles[1] + 1));
    w->row_lanes = lanes_for(w, w->tiles[1]);
}

/* ---- Entries ---- */

bool winograd_takes(const tn_graph *fused) { return lower_anchor(fused, TN_OP_winograd) != NULL; }

lt_kernel *winograd_lower(tn_graph *fused, const machine *m) {
    access a;
    winograd w;
    if (access_open(&a, fused, "winograd", m) && read_shape(&w, &a, fused)) {
        choose_block(&w);
        find_weights(&w);
        int64_t taken = w.side * w.side, spared = 9 * w.tile * w.tile;
        lt_note(&a.b, "F(%lld, 3): a tile of %lld x %lld results takes %lld multiplications for %lld",
                (long long)w.tile, (long long)w.tile, (long long)w.tile, (long long)taken, (long long)spared);
        if (w.block_images > 1)
            lt_note(&a.b, "%lld images at a time: one has too few tiles", (long long)w.block_images);
        lt_note(&a.b,
                w.by_blocks ? "blocks of %lld row(s) of tiles, each through all three steps in the cache of one thread"
                            : "%lld row(s) of tiles at once: all input is transformed first, then groups of channels",
                (long long)w.block_rows);
        if (w.by_blocks)
            blocks_stage(&w);
        else {
            tn_dim all = dim_mul_const(w.t, image_blocks(&w), w.side * w.side * w.v_plane);
            w.block = constant(&w, 0);
            w.v = lt_add_buffer(&a.b, LT_TEMP, TN_F32, all, "v");
            w.v_tile ? images_stage(&w) : channels_stage(&w);
            groups_stage(&w);
        }
    }
    return access_close(&a);
}
