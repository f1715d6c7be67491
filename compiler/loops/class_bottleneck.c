/* Class bottleneck: a convolution of one tap and a depthwise one on its result, a panel of channels at a time.
 *
 * in:  a fused function that is an inverted bottleneck (ir/bottleneck.h): two convolutions, elementwise work on the
 *      result of each; the first one's weights lie in panels
 * out: one stage. A chunk is a panel of channels, in two steps on one buffer of [position][channel], which a cache
 *      holds: the product of all positions with the panel into it, then the sums of each vector of channels out of it
 * law: sums are those of class conv, bit for bit: only the tensor between is never there, nor are its rows turned to
 *      planes and back
 */
#include "compiler/loops/conv_channels.h"
#include "ir/bottleneck.h"

enum { MOST_NODES = 256 };

/* ---- Which functions ---- */

static bool find(const tn_graph *fused, bottleneck *found) {
    uint32_t n = 0;
    bool is_found = false;
    for (uint32_t i = 0; i < fused->n_nodes; i++) {
        if (fused->nodes[i].op != TN_OP_conv) continue;
        n++;
        is_found = bottleneck_find(fused, i, found); /* of the last one */
    }
    return n == 2 && is_found;
}

/* Convolutions apart, all is computed element by element; what depends on the first one is read there and by the second
 * one alone. */
static bool is_closed(const tn_graph *fused, const bottleneck *found) {
    enum { ON_FIRST = 1, ON_SECOND = 2 };
    uint8_t depends[MOST_NODES] = {0};
    if (fused->n_nodes > MOST_NODES) return false;
    for (uint32_t i = 0; i < fused->n_nodes; i++) {
        const node *n = &fused->nodes[i];
        bool is_conv = i == found->expand || i == found->depthwise;
        for (uint32_t k = 0; k < n->n_operands; k++) depends[i] |= depends[fused->values[n->operands[k]].node];
        if (is_conv) depends[i] = i == found->expand ? ON_FIRST : ON_SECOND;
        if (depends[i] == (ON_FIRST | ON_SECOND) || (!is_conv && !lower_is_element(n))) return false;
    }
    for (size_t r = 0; r < fused->n_results; r++)
        if (depends[fused->values[fused->results[r].value].node] == ON_FIRST) return false;
    return lower_has_results_like(fused, graph_type(fused, fused->nodes[found->depthwise].first_result));
}

bool bottleneck_takes(const tn_graph *fused) {
    bottleneck found;
    return find(fused, &found) && is_closed(fused, &found);
}

/* ---- Lowering ---- */

typedef struct lowering {
    access a;
    dim_table *t;
    bottleneck found;
    product p; /* rows are positions, columns channels */
    channels planes;
    uint32_t buffer;
    source place; /* of what is between the convolutions, in the buffer */
} lowering;

static const tn_type *type_of(const lowering *l, value_id v) { return graph_type(l->a.fused, v); }

static void weight_index(product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k, tn_dim *index) {
    (void)side;
    (void)outer;
    index[0] = at;
    index[1] = k;
    index[2] = index[3] = dim_const(p->t, 0);
}

static void input_index(product *p, matrix_side side, tn_dim outer, tn_dim at, tn_dim k, tn_dim *index) {
    const lowering *l = p->ctx;
    (void)side;
    index[0] = outer;
    index[1] = k;
    access_unravel(p->a, at, 2, type_of(l, l->found.expanded)->dims + 2, index + 2);
}

/* Stores what the second convolution meets, given the first one's sum. */
static void store(product *p, tn_dim outer, tn_dim row, tn_dim column, lt_value sum) {
    lowering *l = p->ctx;
    access *a = &l->a;
    value_id first = a->fused->nodes[l->found.expand].first_result;
    tn_dim index[4] = {outer, column};
    if (a->b.failed) return;
    access_unravel(a, row, 2, type_of(l, first)->dims + 2, index + 2);
    access_in_register(a, first, sum);
    lt_value x = access_value(a, l->found.expanded, index);
    if (x != LT_NONE) access_store_in(a, &l->place, 4, index, x);
    access_computed(a, first);
}

static bool open_product(lowering *l, const machine *m) {
    const node *n = &l->a.fused->nodes[l->found.expand];
    const tn_dim *dims = type_of(l, n->first_result)->dims;
    product *p = &l->p;
    *p = (product){.a = &l->a, .t = l->t, .ctx = l, .sum = access_accumulator(l->a.fused, n), .store = store};
    p->outer = dims[0];
    p->depth = type_of(l, n->operands[0])->dims[1];
    p->side[SIDE_A].extent = dim_product(l->t, dims + 2, 2);
    p->side[SIDE_B].extent = dims[1];
    product_find_plain(p, SIDE_A, n->operands[0], input_index);
    if (!p->side[SIDE_A].is_plain || !product_find_panels(p, n->operands[1], weight_index)) return false;
    product_shape s = product_known_shape(p);
    p->how = blocking_choose(m, &s);
    p->how.depth_block = 0;
    p->how.panels = 1;
    p->how.row_tiles = (s.rows + p->how.mr - 1) / p->how.mr;
    return p->how.in_panels;
}

static bool open_planes(lowering *l, const machine *m) {
    convolution c;
    return conv_read(&c, &l->a, &l->a.fused->nodes[l->found.depthwise]) && conv_channels_open(&l->planes, &c, m) &&
           l->p.how.nr % l->planes.lanes == 0;
}

/* The buffer begins with the first position's first channel of the panel. */
static void place_panel(lowering *l, tn_dim panel) {
    dim_table *t = l->t;
    int64_t nr = l->p.how.nr;
    l->place = (source){.kind = SOURCE_BUFFER, .buffer = l->buffer, .base = dim_mul_const(t, panel, -nr)};
    l->place.stride[0] = dim_const(t, 0);
    l->place.stride[1] = dim_const(t, 1);
    l->place.stride[2] = dim_const(t, l->planes.in[1] * nr);
    l->place.stride[3] = dim_const(t, nr);
}

static void lower_panel(lowering *l, tn_dim image, tn_dim panel) {
    dim_table *t = l->t;
    product *p = &l->p;
    int64_t nr = p->how.nr, lanes = l->planes.lanes;
    tn_dim zero = dim_const(t, 0), first = dim_mul_const(t, panel, nr);
    product_rows all = {image, zero, zero, p->side[SIDE_A].extent};
    place_panel(l, panel);
    product_from_part(p, &all, product_take_rows(p, &all), panel);
    tn_dim left = dim_min(t, dim_sub(t, p->side[SIDE_B].extent, first), dim_const(t, nr));
    tn_dim vectors = access_simplify(&l->a, dim_floordiv(t, left, dim_const(t, lanes)));
    access_loop loop = access_open_loop(&l->a, LT_SERIAL, zero, vectors, 0, 0);
    access_know_range(&l->a, access_counter(&loop), dim_const(t, nr / lanes));
    tn_dim within = dim_mul_const(t, access_counter(&loop), lanes);
    conv_channels_run(&l->planes, image, dim_add(t, first, within), l->buffer, within, nr);
    access_close_loop(&l->a, &loop);
}

static void lower_chunks(lowering *l) {
    product *p = &l->p;
    tn_dim extents[2] = {p->outer, product_panels(p, p->how.nr, SIDE_B)}, number[2];
    access_loop loops[2];
    l->buffer =
        lt_add_buffer(&l->a.b, LT_SCRATCH, p->sum, dim_mul_const(l->t, p->side[SIDE_A].extent, p->how.nr), "panel");
    access_open_chunks(&l->a, 2, extents, number, loops);
    lower_panel(l, number[0], number[1]);
    access_close_chunks(&l->a, 2, loops);
}

lt_kernel *bottleneck_lower(tn_graph *fused, const machine *m) {
    lowering l = {.t = fused->module->dims};
    if (access_open(&l.a, fused, "bottleneck", m)) {
        if (!find(fused, &l.found) || !open_product(&l, m) || !open_planes(&l, m)) {
            access_close(&l.a);
            return map_lower(fused, m);
        }
        product_note(&l.p);
        lower_chunks(&l);
    }
    return access_close(&l.a);
}
