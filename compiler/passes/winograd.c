/* Winograd: 3 x 3 convolutions with fewer multiplications.
 *
 * in:  functions of primitives
 * out: in main and what it calls once, convolutions of f32 with known sizes, 3 x 3 taps, stride 1, one group, as the op
 *      winograd; its weights are made by winograd_kernel: hoist moves that to `prepare` when they are known at load
 *      time, else it is worth its time only for several images of known number. Gradients of such kernels by tiles too
 * law: results differ from conv's by the rounding errors that the op states (docs/OPS.md); so the option
 *      `winograd` turns it off
 *
 * F(m, 3) makes m x m elements of a result channel with (m + 2)^2 products for each input channel in
 * place of 9 m^2, and costs transforms of input and result besides, and (m + 2)^2 / 9 times the bytes of
 * weights. Which of F(4, 3), F(2, 3) and conv comes cheapest is a matter of the shape alone.
 *
 * F(4, 3) interpolates at 0, +-3/4, +-3/2 and infinity: +-1 and +-2 have simpler matrices, but more than three times
 * the error (2.6e-6 against 9.4e-6 of the largest result with 256 channels).
 * Source: A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2015).
 */
#include "compiler/passes/passes.h"
#include "runtime/fault.h"

enum {
    TAPS = 3,
    PANEL = 16, /* features that lie next to each other: a cache line */
    LANES = 16, /* planes of the input have room for so many tiles, or a multiple */
    MANY_TILES = 64,
    LEAST_GROUPS = 8,        /* of panels: enough for all threads */
    GROUP_BYTES = 192 << 10, /* of the products of a group's panels with few tiles */
    MOST_SIDE = 6,
    TRANSFORM_COST = 10, /* multiply-adds that the time for transforming one element would do */
    WEIGHT_COST = 14,    /* likewise for reading one weight from memory */
    KERNEL_COST = 20,    /* for making one, when that is done in each run */
};

/* conv's cost that makes it worth it. */
static const double LEAST_GAIN = 1.15;

typedef struct kind {
    int64_t tile;
    double g[MOST_SIDE][TAPS];
} kind;

static const kind kinds[] = {
    {4,
     {{64. / 81, 0, 0},
      {-128. / 243, -96. / 243, -72. / 243},
      {-128. / 243, 96. / 243, -72. / 243},
      {32. / 243, 48. / 243, 72. / 243},
      {32. / 243, -48. / 243, 72. / 243},
      {0, 0, 1}}},
    {2, {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}}},
};

typedef struct candidate {
    bool is_known;  /* its weights, at load time */
    int64_t images; /* 1 when there is no telling */
    int64_t channels, features, in[2], out[2], low[2], high[2];
    double origin; /* bytes that the kernel is made from */
} candidate;

/* ---- What it is for ---- */

static bool read_padding(const dim_table *t, const node *n, attr_name name, int64_t *out) {
    const attr *list = attr_find(&n->attrs, name);
    for (uint32_t i = 0; i < 2; i++) {
        out[i] = 0;
        if (list && list->dims.n && (!dim_is_const(t, list->dims.items[i], &out[i]) || out[i] < 0 || out[i] > 2))
            return false;
    }
    return true;
}

static bool is_known_number(const dim_table *t, tn_dim d, int64_t *value) {
    return dim_is_const(t, d, value) && *value >= 1 && *value <= 1 << 16;
}

static bool is_candidate(const load_time_visit *r, const tn_graph *g, const node *n, candidate *c) {
    if (n->op != TN_OP_conv) return false;
    const dim_table *t = g->module->dims;
    const tn_type *x = graph_type(g, n->operands[0]), *kernel = graph_type(g, n->operands[1]),
                  *y = graph_type(g, n->first_result);
    if (x->dtype != TN_F32 || x->rank != 4 || attr_int(&n->attrs, ATTR_acc, TN_F32) != TN_F32 ||
        attr_int(&n->attrs, ATTR_groups, 1) > 1 || !attr_at_most(&n->attrs, ATTR_stride, 1) ||
        !attr_at_most(&n->attrs, ATTR_dilation, 1) || !attr_at_most(&n->attrs, ATTR_input_dilation, 1) ||
        !read_padding(t, n, ATTR_low, c->low) || !read_padding(t, n, ATTR_high, c->high) ||
        !is_known_number(t, kernel->dims[0], &c->features) || !is_known_number(t, kernel->dims[1], &c->channels) ||
        x->dims[1] != kernel->dims[1])
        return false;
    c->origin = r->what.origin[g->values[n->operands[1]].node];
    c->is_known = g == module_main(g->module) && r->what.known[g->values[n->operands[1]].node];
    if (!is_known_number(t, x->dims[0], &c->images)) {
        if (!c->is_known) return false;
        c->images = 1;
    }
    for (int i = 0; i < 2; i++)
        if (!dim_is_value(t, kernel->dims[i + 2], TAPS) || !is_known_number(t, x->dims[i + 2], &c->in[i]) ||
            !is_known_number(t, y->dims[i + 2], &c->out[i]))
            return false;
    return true;
}

/* ---- What is cheapest, in multiply-adds ---- */

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Arithmetic and reading the weights overlap in part. */
static double together(double a, double b) { return a > b ? a + b / 2 : b + a / 2; }

static double conv_cost(const candidate *c) {
    double weights = (double)(TAPS * TAPS) * (double)c->features * (double)c->channels;
    return together(weights * (double)c->images * (double)c->out[0] * (double)c->out[1], weights * WEIGHT_COST);
}

static double winograd_cost(const candidate *c, int64_t tile) {
    int64_t tiles = ceil_div(c->out[0], tile) * ceil_div(c->out[1], tile) * c->images, side = tile + TAPS - 1;
    double features = (double)(ceil_div(c->features, PANEL) * PANEL), channels = (double)c->channels;
    double planes = (double)(side * side), weights = planes * features * channels;
    double transforms = TRANSFORM_COST * (channels + (double)c->features) * (double)tiles;
    return together(weights * (double)tiles + planes * transforms, weights * WEIGHT_COST) +
           (c->is_known ? 0 : weights * KERNEL_COST);
}

/* hoist would leave it in main. */
static bool grows(const load_time_visit *r, const candidate *c, int64_t tile) {
    double features = (double)(ceil_div(c->features, PANEL) * PANEL), side = (double)(tile + TAPS - 1);
    return c->is_known &&
           !load_time_accepts(r->options, side * side * features * (double)c->channels * sizeof(float), c->origin);
}

static const kind *choose(const load_time_visit *r, const candidate *c) {
    const kind *best = NULL;
    double least = conv_cost(c) / LEAST_GAIN;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        double cost = winograd_cost(c, kinds[i].tile);
        if (cost >= least || grows(r, c, kinds[i].tile)) continue;
        least = cost;
        best = &kinds[i];
    }
    return best;
}

/* ---- Gradients of kernels ---- */

/* Sums of conv_weights may run over tiles, which have a kernel's part in the place of a result's. */
static bool suits_tiles(const tn_graph *g, const node *n) {
    const dim_table *t = g->module->dims;
    const tn_type *x = graph_type(g, n->operands[0]), *dy = graph_type(g, n->operands[1]);
    const attr *window = attr_find(&n->attrs, ATTR_window);
    int64_t places[2] = {0}, channels, features;
    if (n->op != TN_OP_conv_weights || attr_find(&n->attrs, ATTR_tile) || x->dtype != TN_F32 || x->rank != 4 ||
        attr_int(&n->attrs, ATTR_groups, 1) > 1 || attr_int(&n->attrs, ATTR_acc, TN_F32) != TN_F32 ||
        !attr_at_most(&n->attrs, ATTR_stride, 1) || !attr_at_most(&n->attrs, ATTR_dilation, 1) ||
        !is_known_number(t, x->dims[1], &channels) || !is_known_number(t, dy->dims[1], &features))
        return false;
    for (int i = 0; i < 2; i++)
        if (window->ints.items[i] != TAPS || !is_known_number(t, dy->dims[i + 2], &places[i])) return false;
    const int64_t tile = kinds[0].tile, side = tile + TAPS - 1;
    double direct = (double)(TAPS * TAPS) * (double)(features * channels) * (double)(places[0] * places[1]);
    double tiles = (double)(ceil_div(places[0], tile) * ceil_div(places[1], tile)), planes = (double)(side * side);
    double cost = planes * tiles * ((double)(features * channels) + (double)(TRANSFORM_COST * (features + channels)));
    return cost * LEAST_GAIN < direct;
}

static bool take_tiles(tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    attr attrs[OP_MAX_ATTRS] = {{.name = ATTR_tile, .i = kinds[0].tile}};
    value_id operands[2] = {map[n->operands[0]], map[n->operands[1]]};
    (void)from;
    for (uint32_t i = 0; i < n->attrs.n; i++) attrs[i + 1] = n->attrs.items[i];
    return graph_apply(to, n->locations, TN_OP_conv_weights, operands, 2, attrs, n->attrs.n + 1, &map[n->first_result],
                       1, NULL);
}

/* ---- The new nodes ---- */

/* Panels that are multiplied with a plane of the input before the next one, since it has just been read. Products of
 * many tiles are too large for more than one panel. */
static int64_t group_size(const candidate *c, const kind *k, int64_t panels) {
    int64_t tiles = ceil_div(c->out[0], k->tile) * ceil_div(c->out[1], k->tile), side = k->tile + TAPS - 1;
    int64_t products = side * side * ceil_div(tiles, LANES) * LANES * PANEL * (int64_t)sizeof(float);
    int64_t most = GROUP_BYTES / products, size = panels / LEAST_GROUPS;
    if (size > most) size = most;
    while (size > 1 && panels % size) size--;
    return tiles < MANY_TILES && size > 1 ? size : 1;
}

static tn_val constant_matrix(tn_graph *g, const kind *k) {
    int64_t side = k->tile + TAPS - 1;
    float numbers[MOST_SIDE * TAPS];
    for (int64_t i = 0; i < side * TAPS; i++) numbers[i] = (float)k->g[i / TAPS][i % TAPS];
    return tn_constant(g, TN_F32, TN_SHAPE(TN_SIZE(side), TN_SIZE(TAPS)), numbers);
}

/* G kernel G^T for every channel and feature, in groups of panels, as the op wants it. */
static tn_val transformed(tn_val kernel, const kind *k, const candidate *c) {
    int64_t panels = ceil_div(c->features, PANEL), padding = panels * PANEL - c->features,
            group = group_size(c, k, panels), groups = panels / group;
    if (padding) kernel = tn_pad(kernel, 0, TN_INTS(0, 0, 0, 0), TN_INTS(padding, 0, 0, 0));
    kernel = tn_reshape(kernel, TN_SHAPE(TN_SIZE(groups), TN_SIZE(group), TN_SIZE(PANEL), TN_SIZE(c->channels),
                                         TN_SIZE(TAPS), TN_SIZE(TAPS)));
    kernel = tn_transpose(kernel, TN_INTS(0, 4, 5, 1, 3, 2));
    tn_val operands[2] = {constant_matrix(kernel.graph, k), kernel};
    return tn_apply(TN_HERE, kernel.graph, TN_OP_winograd_kernel, operands, 2, NULL);
}

static bool rewrite_node(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    const load_time_visit *r = ctx;
    candidate c;
    if (suits_tiles(from, n)) return take_tiles(to, from, n, map);
    const kind *k = is_candidate(r, from, n, &c) ? choose(r, &c) : NULL;
    if (!k) return graph_copy_node(to, from, n, map);
    tn_val operands[2] = {{to, map[n->operands[0]]}, {to, map[n->operands[1]]}};
    operands[1] = transformed(operands[1], k, &c);
    tn_attr_arg attrs[] = {{.name = "tile", .i = k->tile},
                           {.name = "features", .i = c.features},
                           {.name = "low", .ints = FAULT(winograd_padding) ? c.high : c.low, .n = 2},
                           {.name = "high", .ints = FAULT(winograd_padding) ? c.low : c.high, .n = 2},
                           {0}};
    tn_val y = tn_apply(TN_HERE, to, TN_OP_winograd, operands, 2, attrs);
    map[n->first_result] = y.id;
    return tn_is_valid(y);
}

bool pass_winograd(tn_module *m, const pass_options *o) {
    return o->no_winograd || module_find(m, "prepare") || load_time_rebuild(m, o, rewrite_node);
}
