/* GridSample: the data read at coordinates that are data themselves, between -1 and 1 along each axis.
 *
 * A result is the sum of taps around its coordinates: one (nearest), 2 x 2 (linear) or 4 x 4 (cubic), each
 * a gather of whole pixels times a weight. Taps outside read 0, the border, or what lies mirrored.
 */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <string.h>

typedef enum padding { PAD_ZEROS, PAD_BORDER, PAD_REFLECTION } padding;

typedef struct grid {
    conversion *c;
    tn_val x; /* [n, c, h, w] */
    padding outside;
    bool is_aligned;
    int taps; /* along each axis */
} grid;

/* Along one axis: coordinates, and taps with their weights. */
typedef struct axis_taps {
    tn_val index[4];  /* as floats, whole */
    tn_val weight[4]; /* invalid: 1 */
} axis_taps;

static tn_val size_of(const grid *s, int axis) {
    return tn_convert(tn_dim_value(s->c->g, tn_type_of(s->x).dims[axis]), dtype_of(s->x));
}

/* The next whole number below: it does not move with x where it has a derivative. */
static tn_val steps_of(tn_val x) { return tn_stop_gradient(tn_floor(x)); }

/* Mirrored between low and low + range as often as it takes. */
static tn_val reflect(tn_val v, double low, tn_val range) {
    tn_val twice = tn_mul_scalar(range, 2), from = tn_sub_scalar(v, low);
    tn_val t = tn_sub(from, tn_mul(steps_of(tn_div(from, twice)), twice));
    return tn_add_scalar(tn_select(tn_greater(t, range), tn_sub(twice, t), t), low);
}

static tn_val clamp_to(tn_val v, tn_val last) { return tn_clamp(scalar_like(v, 0), v, last); }

/* Coordinates and tap indices both follow the padding. */
static tn_val follow_padding(const grid *s, tn_val v, int axis) {
    tn_val size = size_of(s, axis), last = tn_sub_scalar(size, 1);
    if (s->outside == PAD_BORDER) return clamp_to(v, last);
    if (s->outside == PAD_REFLECTION) return reflect(v, s->is_aligned ? 0 : -0.5, s->is_aligned ? last : size);
    return v;
}

/* -1 and 1 are the centres of the first and last pixel (aligned), or their outer edges. */
static tn_val denormalize(const grid *s, tn_val v, int axis) {
    tn_val size = size_of(s, axis), moved = tn_add_scalar(v, 1);
    if (s->is_aligned) return tn_mul_scalar(tn_mul(moved, tn_sub_scalar(size, 1)), 0.5);
    return tn_mul_scalar(tn_sub_scalar(tn_mul(moved, size), 1), 0.5);
}

/* ((k3 x + k2) x + k1) x + k0 */
static tn_val polynomial(tn_val x, double k3, double k2, double k1, double k0) {
    tn_val v = tn_add_scalar(tn_mul_scalar(x, k3), k2);
    v = tn_add_scalar(tn_mul(v, x), k1);
    return tn_add_scalar(tn_mul(v, x), k0);
}

static void find_taps(const grid *s, tn_val at, int axis, axis_taps *t) {
    const double a = -0.75; /* of the cubic kernel */
    at = follow_padding(s, denormalize(s, at, axis), axis);
    if (s->taps == 1) {
        t->index[0] = tn_round(at);
        t->weight[0] = (tn_val){NULL, VALUE_NONE};
        return;
    }
    tn_val low = steps_of(at), f = tn_sub(at, low), rest = tn_sub(scalar_like(f, 1), f);
    for (int k = 0; k < s->taps; k++) t->index[k] = tn_add_scalar(low, s->taps == 4 ? k - 1 : k);
    if (s->taps == 2) {
        t->weight[0] = rest;
        t->weight[1] = f;
        return;
    }
    t->weight[0] = polynomial(tn_add_scalar(f, 1), a, -5 * a, 8 * a, -4 * a);
    t->weight[1] = polynomial(f, a + 2, -(a + 3), 0, 1);
    t->weight[2] = polynomial(rest, a + 2, -(a + 3), 0, 1);
    t->weight[3] = polynomial(tn_add_scalar(rest, 1), a, -5 * a, 8 * a, -4 * a);
}

/* The pixels at a pair of taps, [n, c, h', w']. */
static tn_val read_pixels(const grid *s, tn_val row, tn_val column) {
    tn_val at[2], is_inside = {NULL, VALUE_NONE};
    at[0] = row;
    at[1] = column;
    for (int i = 0; i < 2; i++) {
        tn_val last = tn_sub_scalar(size_of(s, 2 + i), 1), within = follow_padding(s, at[i], 2 + i);
        tn_val inside = tn_and(tn_greater_equal(at[i], scalar_like(at[i], 0)), tn_less_equal(at[i], last));
        is_inside = i == 0 ? inside : tn_and(is_inside, inside);
        at[i] = tn_expand_dims(tn_convert(clamp_to(tn_round(within), last), TN_I64), TN_INTS(-1));
    }
    tn_val pixels = tn_gather(s->x, tn_concat(at, 2, 3), TN_INTS(2, 3), 1); /* [n, h', w', c] */
    pixels = tn_transpose(pixels, TN_INTS(0, 3, 1, 2));
    if (s->outside != PAD_ZEROS) return pixels;
    tn_val mask = broadcast_like(s->c, tn_expand_dims(is_inside, TN_INTS(1)), pixels);
    return tn_select(mask, pixels, scalar_like(pixels, 0));
}

static tn_val sample(const grid *s, tn_val at) {
    axis_taps rows = {0}, columns = {0};
    tn_val sum = {NULL, VALUE_NONE};
    find_taps(s, pick(s->c, at, 3, 1), 2, &rows);
    find_taps(s, pick(s->c, at, 3, 0), 3, &columns);
    for (int i = 0; i < s->taps; i++)
        for (int k = 0; k < s->taps; k++) {
            tn_val part = read_pixels(s, rows.index[i], columns.index[k]);
            if (s->taps > 1) part = tn_mul(part, tn_expand_dims(tn_mul(rows.weight[i], columns.weight[k]), TN_INTS(1)));
            sum = i + k == 0 ? part : tn_add(sum, part);
        }
    return sum;
}

static int find_name(const char *name, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

void convert_grid_sample(conversion *c) {
    static const char *const modes[] = {"nearest", "bilinear", "linear", "bicubic", "cubic"};
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    static const int taps[] = {1, 2, 2, 4, 4};
    tn_val x = input(c, 0), at = input(c, 1);
    const char *mode = read_text(c, "mode", "bilinear"), *outside = read_text(c, "padding_mode", "zeros");
    int m = find_name(mode, modes, 5), p = find_name(outside, paddings, 3);
    if (has_failed(c)) return;
    if (tn_rank(x) != 4 || tn_rank(at) != 4 || m < 0 || p < 0) {
        node_error(c, TN_ERR_UNSUPPORTED, "X has rank %d, mode is '%.40s', padding_mode is '%.40s'", tn_rank(x), mode,
                   outside);
        return;
    }
    grid s = {c, x, (padding)p, read_int(c, "align_corners", 0) != 0, taps[m]};
    output(c, 0, sample(&s, tn_convert(at, dtype_of(x))));
}
