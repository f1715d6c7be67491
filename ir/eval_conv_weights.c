/* Reference evaluation of conv_weights.
 *
 * in:  x [n, c, spatial...], dy [n, o, places...]
 * out: y [o, c / groups, window...]: the sum over images and places q of dy at q times x, in o's group, at
 *      q * stride + t * dilation - low
 * law: as the formula stands, in f64. With a tile each sum runs over tiles, by Winograd's formula; its magnitude is
 *      what the same formula gives for absolute values of operands and matrices
 */
#include "ir/eval_winograd.h"

#include <math.h>
#include <string.h>

enum { TAPS = 3, TILE = 4 };

/* Along rows and columns; one spatial axis is the columns of a single row. */
typedef struct weights_plan {
    int64_t images, groups, channels, features; /* channels: of a group */
    int64_t in[2], places[2], window[2], stride[2], low[2], dilation[2];
    winograd_matrices how; /* with a tile; A and G as rows, in place of their transposed ones */
    double g[WINOGRAD_MAX_SIDE][WINOGRAD_MAX_SIDE];
} weights_plan;

/* ---- As the sum stands ---- */

/* Adds place (q[0], q[1]) of one feature, for all channels and taps. */
static void add_place(const weights_plan *v, const wide *x, const int64_t *q, wide dy, wide *y, eval_axpy *axpy) {
    int64_t at[2], first[2], end[2];
    for (int i = 0; i < 2; i++) {
        at[i] = q[i] * v->stride[i] - v->low[i];
        eval_taps(at[i], v->dilation[i], v->in[i], v->window[i], &first[i], &end[i]);
    }
    for (int64_t c = 0; first[1] < end[1] && c < v->channels; c++)
        for (int64_t row = first[0]; row < end[0]; row++) {
            int64_t line = c * v->in[0] + at[0] + row * v->dilation[0];
            const wide *from = x + line * v->in[1] + at[1] + first[1] * v->dilation[1];
            axpy(y + (c * v->window[0] + row) * v->window[1] + first[1], from, v->dilation[1], dy, end[1] - first[1]);
        }
}

static void weights_loops(const void *plan, const wide *x, const wide *dy, wide *y, eval_axpy *axpy) {
    const weights_plan *v = plan;
    int64_t taps = v->window[0] * v->window[1], group = v->channels * v->in[0] * v->in[1];
    for (int64_t image = 0; image < v->images; image++, x += v->groups * group)
        for (int64_t o = 0; o < v->features; o++) {
            const wide *met = x + o / (v->features / v->groups) * group;
            for (int64_t row = 0; row < v->places[0]; row++)
                for (int64_t column = 0; column < v->places[1]; column++)
                    add_place(v, met, (int64_t[]){row, column}, *dy++, y + o * v->channels * taps, axpy);
        }
}

/* ---- By tiles ---- */

/* extent x extent elements of a plane from (row, column) on, zeros outside of it. */
static void take_part(const wide *plane, const int64_t *size, int64_t row, int64_t column, int extent, double *part) {
    for (int i = 0; i < extent; i++)
        for (int j = 0; j < extent; j++) {
            int64_t y = row + i, x = column + j;
            bool is_inside = y >= 0 && y < size[0] && x >= 0 && x < size[1];
            part[i * extent + j] = is_inside ? plane[y * size[1] + x].f : 0;
        }
}

static void add_tile(const weights_plan *v, const wide *x, const wide *dy, int64_t row, int64_t column, double *sums) {
    double part[WINOGRAD_PLANES], met[WINOGRAD_PLANES], given[WINOGRAD_PLANES];
    int side = v->how.side;
    take_part(x, v->in, row - v->low[0], column - v->low[1], side, part);
    winograd_sandwich(v->how.b, side, side, part, met);
    take_part(dy, v->places, row, column, TILE, part);
    winograd_sandwich(v->how.a, side, TILE, part, given);
    for (int i = 0; i < side * side; i++) sums[i] += met[i] * given[i];
}

static void tile_loops(const void *plan, const wide *x, const wide *dy, wide *y, eval_axpy *axpy) {
    const weights_plan *v = plan;
    int64_t in_plane = v->in[0] * v->in[1], out_plane = v->places[0] * v->places[1];
    (void)axpy;
    for (int64_t o = 0; o < v->features; o++)
        for (int64_t c = 0; c < v->channels; c++, y += TAPS * TAPS) {
            double sums[WINOGRAD_PLANES] = {0}, out[WINOGRAD_PLANES];
            for (int64_t image = 0; image < v->images; image++)
                for (int64_t row = 0; row < v->places[0]; row += TILE)
                    for (int64_t column = 0; column < v->places[1]; column += TILE)
                        add_tile(v, x + (image * v->channels + c) * in_plane,
                                 dy + (image * v->features + o) * out_plane, row, column, sums);
            winograd_sandwich(v->g, TAPS, v->how.side, sums, out);
            for (int i = 0; i < TAPS * TAPS; i++) y[i].f += out[i];
        }
}

/* ---- Plans ---- */

static const double kernel_matrix[TAPS][WINOGRAD_MAX_SIDE] = {
    {64. / 81, -128. / 243, -128. / 243, 32. / 243, 32. / 243, 0},
    {0, -96. / 243, 96. / 243, 48. / 243, -48. / 243, 0},
    {0, -72. / 243, -72. / 243, 72. / 243, 72. / 243, 1},
};

static void turn_rows(winograd_matrices *m) {
    winograd_matrices from = *m;
    for (int i = 0; i < m->side; i++)
        for (int j = 0; j < m->tile; j++) m->a[i][j] = from.a[j][i];
}

static weights_plan absolute(weights_plan v) {
    v.how = winograd_absolute(v.how);
    for (int i = 0; i < TAPS; i++)
        for (int j = 0; j < WINOGRAD_MAX_SIDE; j++) v.g[i][j] = fabs(v.g[i][j]);
    return v;
}

static bool plan_weights(eval_args *c, weights_plan *v) {
    const eval_tensor *x = c->operands[0], *dy = c->operands[1], *y = &c->results[0];
    int n = x->rank - 2, first = 2 - n;
    *v = (weights_plan){.in = {1, 1}, .places = {1, 1}, .window = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    v->groups = attr_int(&c->node->attrs, ATTR_groups, 1);
    if (v->groups == 0) v->groups = 1;
    if (n < 1 || n > 2 || dy->rank != x->rank || y->rank != x->rank || dy->dims[0] != x->dims[0] ||
        y->dims[0] != dy->dims[1] || v->groups < 1 || x->dims[1] % v->groups || dy->dims[1] % v->groups ||
        y->dims[1] != x->dims[1] / v->groups)
        return eval_error(c->state, TN_ERR_SHAPE, "operands and result do not fit");
    if (!eval_ints(c, ATTR_stride, n, 1, v->stride + first) || !eval_dims(c, ATTR_low, n, 0, v->low + first) ||
        !eval_ints(c, ATTR_dilation, n, 1, v->dilation + first))
        return false;
    v->images = x->dims[0];
    v->channels = x->dims[1] / v->groups;
    v->features = dy->dims[1];
    for (int i = first; i < 2; i++) {
        v->in[i] = x->dims[2 + i - first];
        v->places[i] = dy->dims[2 + i - first];
        v->window[i] = y->dims[2 + i - first];
        if (v->stride[i] < 1 || v->dilation[i] < 1)
            return eval_error(c->state, TN_ERR_VERIFY, "a stride or dilation is below 1");
    }
    if (x->n == 0 || dy->n == 0) v->images = 0;
    if (y->n == 0) v->images = v->features = 0;
    return true;
}

bool eval_conv_weights(eval_args *c) {
    weights_plan v, of_magnitudes;
    if (!plan_weights(c, &v)) return false;
    contraction how = {eval_natural_order(c->operands[0]), eval_natural_order(c->operands[1]), weights_loops, &v, NULL};
    if (!attr_find(&c->node->attrs, ATTR_tile)) return eval_contract(c, &how);
    if (!winograd_matrices_of(TILE, &v.how) || v.window[0] != TAPS || v.window[1] != TAPS)
        return eval_error(c->state, TN_ERR_VERIFY, "a tile wants a window of 3 x 3");
    turn_rows(&v.how);
    memcpy(v.g, kernel_matrix, sizeof kernel_matrix);
    of_magnitudes = absolute(v);
    how.loops = tile_loops;
    how.magnitude_plan = &of_magnitudes;
    return eval_contract(c, &how);
}
