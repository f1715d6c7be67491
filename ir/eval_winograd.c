/* Reference evaluation of winograd and of what makes its U.
 *
 * in:  x [n, c, h, w], u [ceil(features / (q p)), a, a, q, c, p] with a = tile + 2
 * out: y [n, features, ...], tile by tile: d is the tile's part of the input, zeros outside of it;
 *      y = A^T (sum over c of u * (B^T d B)) A
 * law: as the formula stands, in f64. The magnitude is what the same formula gives for absolute values of
 *      operands and matrices: an error of one unit roundoff anywhere in the algorithm is within one of it
 */
#include "ir/eval_winograd.h"

#include <math.h>

static const winograd_matrices kinds[] = {
    {2, 4, {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}}, {{1, 1, 1, 0}, {0, 1, -1, -1}}},
    {4,
     6,
     {{81. / 64, 0, -45. / 16, 0, 1, 0},
      {0, -27. / 16, -9. / 4, 3. / 4, 1, 0},
      {0, 27. / 16, -9. / 4, -3. / 4, 1, 0},
      {0, -27. / 32, -9. / 16, 3. / 2, 1, 0},
      {0, 27. / 32, -9. / 16, -3. / 2, 1, 0},
      {0, 81. / 64, 0, -45. / 16, 0, 1}},
     {{1, 1, 1, 1, 1, 0},
      {0, 3. / 4, -3. / 4, 3. / 2, -3. / 2, 0},
      {0, 9. / 16, 9. / 16, 9. / 4, 9. / 4, 0},
      {0, 27. / 64, -27. / 64, 27. / 8, -27. / 8, 1}}},
};

/* ---- Matrices ---- */

bool winograd_matrices_of(int64_t tile, winograd_matrices *m) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].tile == tile) {
            *m = kinds[i];
            return true;
        }
    return false;
}

winograd_matrices winograd_absolute(winograd_matrices m) {
    for (int i = 0; i < WINOGRAD_MAX_SIDE; i++)
        for (int j = 0; j < WINOGRAD_MAX_SIDE; j++) {
            m.b[i][j] = fabs(m.b[i][j]);
            m.a[i][j] = fabs(m.a[i][j]);
        }
    return m;
}

void winograd_sandwich(const double t[WINOGRAD_MAX_SIDE][WINOGRAD_MAX_SIDE], int rows, int side, const double *in,
                       double *out) {
    double half[WINOGRAD_MAX_SIDE][WINOGRAD_MAX_SIDE];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < side; j++) {
            half[i][j] = 0;
            for (int k = 0; k < side; k++) half[i][j] += t[i][k] * in[k * side + j];
        }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < rows; j++) {
            out[i * rows + j] = 0;
            for (int k = 0; k < side; k++) out[i * rows + j] += half[i][k] * t[j][k];
        }
}

/* ---- The op ---- */

typedef struct winograd_plan {
    winograd_matrices how;
    int64_t batch, channels, features, panel, group; /* features in a panel, panels in a group */
    int64_t in[2], out[2], low[2];
    double *transformed; /* [channels][WINOGRAD_PLANES] of the present tile */
} winograd_plan;

/* B^T d B of each channel, of the tile whose first result element is (row, column). */
static void transform_tile(const winograd_plan *v, const wide *image, int64_t row, int64_t column) {
    int side = v->how.side;
    for (int64_t c = 0; c < v->channels; c++) {
        double d[WINOGRAD_PLANES];
        for (int i = 0; i < side; i++)
            for (int j = 0; j < side; j++) {
                int64_t y = row + i - v->low[0], x = column + j - v->low[1];
                bool is_inside = y >= 0 && y < v->in[0] && x >= 0 && x < v->in[1];
                d[i * side + j] = is_inside ? image[(c * v->in[0] + y) * v->in[1] + x].f : 0;
            }
        winograd_sandwich(v->how.b, side, side, d, v->transformed + c * WINOGRAD_PLANES);
    }
}

/* Adds one feature's elements of the tile. */
static void add_tile(const winograd_plan *v, const wide *u, int64_t k, int64_t row, int64_t column, wide *y) {
    int side = v->how.side, tile = v->how.tile;
    int64_t panel = k / v->panel;
    double products[WINOGRAD_PLANES] = {0}, out[WINOGRAD_PLANES];
    for (int64_t xi = 0; xi < side * side; xi++) {
        int64_t plane = panel / v->group * side * side + xi;
        const wide *row_of_u = u + (plane * v->group + panel % v->group) * v->channels * v->panel + k % v->panel;
        for (int64_t c = 0; c < v->channels; c++)
            products[xi] += row_of_u[c * v->panel].f * v->transformed[c * WINOGRAD_PLANES + xi];
    }
    winograd_sandwich(v->how.a, tile, side, products, out);
    for (int64_t i = 0; i < tile && row + i < v->out[0]; i++)
        for (int64_t j = 0; j < tile && column + j < v->out[1]; j++)
            y[(row + i) * v->out[1] + column + j].f += out[i * tile + j];
}

static void winograd_loops(const void *plan, const wide *x, const wide *u, wide *y, eval_axpy *axpy) {
    const winograd_plan *v = plan;
    (void)axpy;
    for (int64_t image = 0; image < v->batch; image++)
        for (int64_t row = 0; row < v->out[0]; row += v->how.tile)
            for (int64_t column = 0; column < v->out[1]; column += v->how.tile) {
                transform_tile(v, x + image * v->channels * v->in[0] * v->in[1], row, column);
                for (int64_t k = 0; k < v->features; k++)
                    add_tile(v, u, k, row, column, y + (image * v->features + k) * v->out[0] * v->out[1]);
            }
}

static bool plan_winograd(eval_args *c, winograd_plan *v) {
    const eval_tensor *x = c->operands[0], *u = c->operands[1], *y = &c->results[0];
    int64_t tile = attr_int(&c->node->attrs, ATTR_tile, 0);
    *v = (winograd_plan){.batch = x->dims[0], .features = attr_int(&c->node->attrs, ATTR_features, 0)};
    winograd_matrices_of(tile, &v->how);
    if (x->rank != 4 || u->rank != 6 || y->rank != 4 || v->how.tile == 0 || v->features < 1 || u->dims[3] < 1 ||
        u->dims[5] < 1)
        return eval_error(c->state, TN_ERR_SHAPE, "operands, attributes and result do not fit");
    v->channels = x->dims[1];
    v->group = u->dims[3];
    v->panel = u->dims[5];
    if (u->dims[1] != v->how.side || u->dims[2] != v->how.side || u->dims[4] != v->channels ||
        u->dims[0] < (v->features - 1) / v->panel / v->group + 1 || y->dims[0] != x->dims[0] ||
        y->dims[1] != v->features || !eval_dims(c, ATTR_low, 2, 0, v->low))
        return eval_error(c->state, TN_ERR_SHAPE, "operands, attributes and result do not fit");
    for (int i = 0; i < 2; i++) {
        v->in[i] = x->dims[i + 2];
        v->out[i] = y->dims[i + 2];
    }
    if (x->n == 0 || y->n == 0) v->batch = 0;
    v->transformed = tn_malloc(((size_t)v->channels * WINOGRAD_PLANES + 1) * sizeof *v->transformed);
    return v->transformed || eval_no_memory(c->state);
}

bool eval_winograd(eval_args *c) {
    winograd_plan v, of_magnitudes;
    if (!plan_winograd(c, &v)) return false;
    of_magnitudes = v;
    of_magnitudes.how = winograd_absolute(v.how);
    contraction how = {eval_natural_order(c->operands[0]), eval_natural_order(c->operands[1]), winograd_loops, &v,
                       &of_magnitudes};
    bool ok = eval_contract(c, &how);
    tn_free(v.transformed);
    return ok;
}

/* ---- U ---------------------------------------------------------------------------------------------- */

enum { TAPS = 3 };

typedef struct kernel_plan {
    int64_t side, matrices, elements; /* neighbours are the same elements of matrices */
} kernel_plan;

static winograd_matrices kernel_matrix(const wide *g, int side) {
    winograd_matrices m = {.side = side};
    for (int i = 0; i < side * TAPS; i++) m.b[i / TAPS][i % TAPS] = g[i].f;
    return m;
}

static void kernel_loops(const void *plan, const wide *g, const wide *k, wide *u, eval_axpy *axpy) {
    const kernel_plan *v = plan;
    int side = (int)v->side;
    const winograd_matrices how = kernel_matrix(g, side);
    double taps[TAPS * TAPS], out[WINOGRAD_PLANES];
    (void)axpy;
    for (int64_t m = 0; m < v->matrices; m++, k += TAPS * TAPS * v->elements, u += side * side * v->elements)
        for (int64_t at = 0; at < v->elements; at++) {
            for (int i = 0; i < TAPS * TAPS; i++) taps[i] = k[i * v->elements + at].f;
            winograd_sandwich(how.b, side, TAPS, taps, out);
            for (int i = 0; i < side * side; i++) u[i * v->elements + at].f += out[i];
        }
}

bool eval_winograd_kernel(eval_args *c) {
    const eval_tensor *g = c->operands[0], *k = c->operands[1], *u = &c->results[0];
    if (g->rank != 2 || k->rank != 6 || u->rank != 6 || g->dims[0] < 1 || g->dims[0] > WINOGRAD_MAX_SIDE ||
        g->dims[1] != TAPS || k->dims[1] != TAPS || k->dims[2] != TAPS ||
        u->n != k->n / (TAPS * TAPS) * g->dims[0] * g->dims[0])
        return eval_error(c->state, TN_ERR_SHAPE, "operands and result do not fit");
    kernel_plan v = {g->dims[0], k->n ? k->dims[0] : 0, k->dims[3] * k->dims[4] * k->dims[5]};
    return eval_contract(c, &(contraction){eval_natural_order(g), eval_natural_order(k), kernel_loops, &v, NULL});
}
