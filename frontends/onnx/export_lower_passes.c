/* Lowering of what compiler passes make of convolutions: winograd, winograd_kernel, conv_weights.
 *
 * law: the sums are those of the op's formula (docs/OPS.md), with matrices as constants; only the order of additions is
 *      the runtime's
 */
#include "frontends/onnx/export_ops.h"

#include "ir/eval_winograd.h"

static bool done(lowering *c, tn_val v) {
    c->results[0] = v;
    return true;
}

static tn_dim number(const lowering *c, int64_t n) { return dim_const(export_dims(c->x), n); }

static tn_val constant(const lowering *c, int rank, const int64_t *extents, const float *items) {
    tn_shape shape = {.rank = rank};
    for (int i = 0; i < rank; i++) shape.dims[i] = TN_SIZE(extents[i]);
    return tn_constant(c->g, TN_F32, shape, items);
}

/* t (x) t, as an image of side x side for each pair of rows: [rows * rows, 1, side, side]. */
static tn_val matrix_pairs(const lowering *c, const double t[WINOGRAD_MAX_SIDE][WINOGRAD_MAX_SIDE], int rows,
                           int side) {
    float items[WINOGRAD_PLANES * WINOGRAD_PLANES], *at = items;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < rows; j++)
            for (int k = 0; k < side; k++)
                for (int l = 0; l < side; l++) *at++ = (float)(t[i][k] * t[j][l]);
    return constant(c, 4, (int64_t[]){(int64_t)rows * rows, 1, side, side}, items);
}

/* ---- winograd ---------------------------------------------------------------------------------------------- */

typedef struct winograd_shape {
    winograd_matrices how;
    tn_dim images, channels;
    int64_t features, out[2], tiles[2];
} winograd_shape;

static bool shape_of(const lowering *c, winograd_shape *s) {
    const tn_type *y = graph_type(c->from, c->n->first_result);
    tn_type x = tn_type_of(c->operands[0]);
    *s = (winograd_shape){.images = x.dims[0], .channels = x.dims[1]};
    s->features = attr_int(&c->n->attrs, ATTR_features, 0);
    if (!winograd_matrices_of(attr_int(&c->n->attrs, ATTR_tile, 0), &s->how)) return false;
    for (int i = 0; i < 2; i++) {
        if (!dim_is_const(export_dims(c->x), y->dims[2 + i], &s->out[i])) return false;
        s->tiles[i] = (s->out[i] + s->how.tile - 1) / s->how.tile;
    }
    return true;
}

/* B^T d B of all tiles, [planes, channels, images * tiles]: a convolution of each channel alone, in steps of a tile. */
static tn_val transformed_input(const lowering *c, const winograd_shape *s) {
    tn_type x = tn_type_of(c->operands[0]);
    dim_table *t = export_dims(c->x);
    int side = s->how.side, tile = s->how.tile;
    int64_t steps[] = {tile, tile};
    tn_dim low[2], high[2], planes = number(c, side * side), all = number(c, s->tiles[0] * s->tiles[1]);
    for (int i = 0; i < 2; i++) {
        low[i] = attr_dim_entry(&c->n->attrs, ATTR_low, i, number(c, 0));
        high[i] = dim_sub(t, number(c, s->tiles[i] * tile + side - tile), dim_add(t, x.dims[2 + i], low[i]));
    }
    tn_dim alone[] = {dim_mul(t, s->images, s->channels), number(c, 1), x.dims[2], x.dims[3]};
    tn_val v = tn_conv(tn_reshape_dims(c->operands[0], 4, alone), matrix_pairs(c, s->how.b, side, side),
                       .stride = {2, steps}, .low_dims = low, .high_dims = high);
    v = tn_transpose(tn_reshape_dims(v, 4, ((tn_dim[]){s->images, s->channels, planes, all})), TN_INTS(2, 1, 0, 3));
    return tn_reshape_dims(v, 3, ((tn_dim[]){planes, s->channels, dim_mul(t, s->images, all)}));
}

/* U as [planes, features, channels]. */
static tn_val kernel_planes(const lowering *c, const winograd_shape *s) {
    dim_table *t = export_dims(c->x);
    tn_type u = tn_type_of(c->operands[1]);
    tn_dim features = dim_mul(t, dim_mul(t, u.dims[0], u.dims[3]), u.dims[5]);
    tn_val v = tn_transpose(c->operands[1], TN_INTS(1, 2, 0, 3, 5, 4));
    v = tn_reshape_dims(v, 3, ((tn_dim[]){number(c, s->how.side * s->how.side), features, s->channels}));
    return tn_slice(v, 1, 0, s->features, 1);
}

/* A^T m A: products [planes, features, images * tiles] to the result. */
static tn_val transformed_result(const lowering *c, const winograd_shape *s, tn_val products) {
    int side = s->how.side, tile = s->how.tile;
    tn_val pairs =
        tn_reshape(matrix_pairs(c, s->how.a, tile, side), TN_SHAPE(TN_SIZE(tile * tile), TN_SIZE(side * side)));
    tn_val v = tn_dot(pairs, products, TN_NO_INTS, TN_NO_INTS, TN_INTS(1), TN_INTS(0));
    tn_dim apart[] = {number(c, tile), number(c, tile),        number(c, s->features),
                      s->images,       number(c, s->tiles[0]), number(c, s->tiles[1])};
    v = tn_transpose(tn_reshape_dims(v, 6, apart), TN_INTS(3, 2, 4, 0, 5, 1));
    tn_dim together[] = {s->images, number(c, s->features), number(c, s->tiles[0] * tile),
                         number(c, s->tiles[1] * tile)};
    v = tn_reshape_dims(v, 4, together);
    return tn_slice(tn_slice(v, 2, 0, s->out[0], 1), 3, 0, s->out[1], 1);
}

bool lower_winograd(lowering *c) {
    winograd_shape s;
    if (!shape_of(c, &s)) return false;
    tn_val products =
        tn_dot(kernel_planes(c, &s), transformed_input(c, &s), TN_INTS(0), TN_INTS(0), TN_INTS(2), TN_INTS(1));
    return done(c, transformed_result(c, &s, products));
}

/* G k G^T: [m, 3, 3, q, c, p] to [m, a, a, q, c, p]. */
bool lower_winograd_kernel(lowering *c) {
    tn_val g = c->operands[0];
    tn_val rows = tn_dot(g, c->operands[1], TN_NO_INTS, TN_NO_INTS, TN_INTS(1), TN_INTS(1)); /* [a, m, 3, ...] */
    tn_val all = tn_dot(g, rows, TN_NO_INTS, TN_NO_INTS, TN_INTS(1), TN_INTS(2));            /* [a', a, m, ...] */
    return done(c, tn_transpose(all, TN_INTS(2, 1, 0, 3, 4, 5)));
}

/* ---- conv_weights ------------------------------------------------------------------------------------------ */

/* A convolution in which images are channels and channels images, the second operand being the kernel: its places are
 * taps, `stride` apart, and taps of the gradient are its places. */
static tn_val as_conv(const lowering *c, int n) {
    dim_table *t = export_dims(c->x);
    tn_type x = tn_type_of(c->operands[0]), dy = tn_type_of(c->operands[1]);
    int64_t stride[TN_MAX_RANK], dilation[TN_MAX_RANK], perm[TN_MAX_RANK] = {1, 0};
    tn_dim low[TN_MAX_RANK], high[TN_MAX_RANK];
    for (int i = 0; i < n; i++) {
        int64_t window = attr_entry(&c->n->attrs, ATTR_window, i, 1);
        perm[2 + i] = 2 + i;
        stride[i] = attr_entry(&c->n->attrs, ATTR_dilation, i, 1);
        dilation[i] = attr_entry(&c->n->attrs, ATTR_stride, i, 1);
        low[i] = attr_dim_entry(&c->n->attrs, ATTR_low, i, number(c, 0));
        /* What the last tap of the gradient meets at the last place. */
        tn_dim reach = dim_mul_const(t, dim_add_const(t, dy.dims[2 + i], -1), dilation[i]);
        reach = dim_add_const(t, reach, (window - 1) * stride[i] + 1);
        high[i] = dim_sub(t, reach, dim_add(t, x.dims[2 + i], low[i]));
    }
    tn_ints swap = {2 + n, perm};
    tn_val v = tn_conv(tn_transpose(c->operands[0], swap), tn_transpose(c->operands[1], swap), .stride = {n, stride},
                       .dilation = {n, dilation}, .low_dims = low, .high_dims = high);
    return tn_transpose(v, swap);
}

bool lower_conv_weights(lowering *c) {
    if (attr_int(&c->n->attrs, ATTR_groups, 1) > 1) return false;
    return done(c, as_conv(c, tn_rank(c->operands[0]) - 2));
}
