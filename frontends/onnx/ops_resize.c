/* Resize and Upsample, one axis after the other.
 *
 * A result's element i lies at coordinate x(i) of the data (coordinate_transformation_mode). It is the sum
 * of taps around it: one (nearest), two (linear) or four (cubic), each a gather along the
 * axis times a weight. Coordinates are kept in f64. A nearest axis grown by a whole factor is a view.
 */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <math.h>
#include <string.h>

typedef enum coordinates {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    TF_HALF_PIXEL,
    CROP,
} coordinates;
static const char *const coordinate_names[] = {
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
    "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize",
};
typedef enum rounding { PREFER_FLOOR, PREFER_CEIL, DOWN, UP } rounding;
static const char *const rounding_names[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
typedef enum interpolation { NEAREST, LINEAR, CUBIC } interpolation;
static const char *const interpolation_names[] = {"nearest", "linear", "cubic"};

typedef struct resize {
    conversion *c;
    coordinates how;
    rounding round;
    interpolation mode;
    double cubic_a, extrapolation;
    bool exclude_outside, has_scale;
    double scale[TN_MAX_RANK]; /* with has_scale */
    double crop[2][TN_MAX_RANK];
    tn_dim extent[TN_MAX_RANK]; /* of the result */
} resize;

static bool read_option(conversion *c, const char *name, const char *otherwise, const char *const *names, int n,
                        int *option) {
    const char *text = read_text(c, name, otherwise);
    for (*option = 0; *option < n; (*option)++)
        if (strcmp(names[*option], text) == 0) return true;
    return node_error(c, TN_ERR_UNSUPPORTED, "%s is '%.60s', which is not supported", name, text);
}

/* ---- Coordinates ----------------------------------------------------------------------------- */

static tn_val number(resize *r, tn_dim d) { return tn_convert(tn_dim_value(r->c->g, d), TN_F64); }

/* i / scale, for scales given or as extents. */
static tn_val divide_by_scale(resize *r, tn_val i, int axis, tn_dim from) {
    if (r->has_scale) return tn_div_scalar(i, r->scale[axis]);
    return tn_div(tn_mul(i, number(r, from)), number(r, r->extent[axis]));
}

/* Where the result has one element, `one` counts. */
static tn_val unless_one(resize *r, int axis, tn_val v, double one) {
    tn_dim to = r->extent[axis];
    int64_t n;
    if (is_static_dim(r->c, to, &n)) return n == 1 ? tn_add_scalar(tn_mul_scalar(v, 0), one) : v;
    return tn_select(tn_equal(number(r, to), scalar_like(v, 1)), scalar_like(v, one), v);
}

static tn_val corner_step(resize *r, int axis, tn_dim from, double span) {
    dim_table *t = node_dims(r->c);
    tn_val last = tn_mul_scalar(number(r, dim_add_const(t, from, -1)), span);
    /* A given scale counts as it is, though the extent is rounded. */
    if (r->has_scale) return tn_div(last, tn_sub_scalar(tn_mul_scalar(number(r, from), r->scale[axis]), 1));
    return tn_div(last, number(r, dim_max(t, dim_add_const(t, r->extent[axis], -1), number_dim(r->c, 1))));
}

/* Coordinates in the data of all elements along the axis. */
static tn_val coordinates_of(resize *r, int axis, tn_dim from) {
    tn_val i = iota_dims(r->c, TN_F64, 1, &r->extent[axis], 0), half = tn_add_scalar(i, 0.5);
    double start = r->crop[0][axis], end = r->crop[1][axis];
    switch (r->how) {
    case HALF_PIXEL: return tn_sub_scalar(divide_by_scale(r, half, axis, from), 0.5);
    case PYTORCH_HALF_PIXEL: return unless_one(r, axis, tn_sub_scalar(divide_by_scale(r, half, axis, from), 0.5), 0);
    case ALIGN_CORNERS: return unless_one(r, axis, tn_mul(i, corner_step(r, axis, from, 1)), 0);
    case ASYMMETRIC: return divide_by_scale(r, i, axis, from);
    case TF_HALF_PIXEL: return divide_by_scale(r, half, axis, from);
    case HALF_PIXEL_SYMMETRIC: {
        tn_val whole = number(r, from), adjusted = scalar_like(half, 1);
        if (r->has_scale) adjusted = tn_div(number(r, r->extent[axis]), tn_mul_scalar(whole, r->scale[axis]));
        tn_val offset = tn_mul(tn_mul_scalar(whole, 0.5), tn_sub(scalar_like(half, 1), adjusted));
        return tn_sub_scalar(tn_add(divide_by_scale(r, half, axis, from), offset), 0.5);
    }
    case CROP: break;
    }
    tn_val last = number(r, dim_add_const(node_dims(r->c), from, -1));
    int64_t n;
    if (is_static_dim(r->c, r->extent[axis], &n) && n == 1)
        return tn_add(tn_mul_scalar(i, 0), tn_mul_scalar(last, 0.5 * (start + end)));
    return tn_add(tn_mul(i, corner_step(r, axis, from, end - start)), tn_mul_scalar(last, start));
}

/* ---- Taps ------------------------------------------------------------------------------------ */

static tn_val clamp_index(resize *r, tn_val at, tn_dim from) {
    tn_val last = number(r, dim_add_const(node_dims(r->c), from, -1));
    return tn_convert(tn_clamp(scalar_like(at, 0), at, last), TN_I64);
}

static tn_val nearest_index(const resize *r, tn_val at) {
    switch (r->round) {
    case PREFER_FLOOR: return tn_ceil(tn_sub_scalar(at, 0.5));
    case PREFER_CEIL: return tn_floor(tn_add_scalar(at, 0.5));
    case DOWN: return tn_floor(at);
    case UP: return tn_ceil(at);
    }
    return at;
}

/* ((k3 x + k2) x + k1) x + k0 */
static tn_val polynomial(tn_val x, double k3, double k2, double k1, double k0) {
    tn_val v = tn_add_scalar(tn_mul_scalar(x, k3), k2);
    v = tn_add_scalar(tn_mul(v, x), k1);
    return tn_add_scalar(tn_mul(v, x), k0);
}

/* Weights of the taps at floor(x) - 1, ..., floor(x) + 2, of a fraction in [0, 1). */
static void cubic_weights(double a, tn_val fraction, tn_val *weights) {
    tn_val rest = tn_sub(scalar_like(fraction, 1), fraction);
    tn_val far[] = {tn_add_scalar(fraction, 1), tn_add_scalar(rest, 1)}, near[] = {fraction, rest};
    for (int side = 0; side < 2; side++) {
        weights[side * 3] = polynomial(far[side], a, -5 * a, 8 * a, -4 * a);
        weights[1 + side] = polynomial(near[side], a + 2, -(a + 3), 0, 1);
    }
}

/* The weights of taps outside become 0, the others sum to 1. */
static void drop_outside(resize *r, tn_val floor_at, tn_dim from, tn_val *weights) {
    tn_val last = number(r, dim_add_const(node_dims(r->c), from, -1)), sum = scalar_like(floor_at, 0);
    for (int k = 0; k < 4; k++) {
        tn_val at = tn_add_scalar(floor_at, k - 1);
        tn_val is_outside = tn_or(tn_less(at, scalar_like(at, 0)), tn_greater(at, last));
        weights[k] = tn_select(is_outside, scalar_like(at, 0), weights[k]);
        sum = tn_add(sum, weights[k]);
    }
    for (int k = 0; k < 4; k++) weights[k] = tn_div(weights[k], sum);
}

static tn_val interpolate(resize *r, tn_val x, int axis, tn_val at, tn_dim from) {
    int rank = tn_rank(x), n = r->mode == LINEAR ? 2 : 4, first = r->mode == LINEAR ? 0 : -1;
    tn_val floor_at = tn_floor(at), fraction = tn_sub(at, floor_at), weights[4], sum = {NULL, VALUE_NONE};
    if (r->mode == LINEAR) {
        weights[0] = tn_sub(scalar_like(fraction, 1), fraction);
        weights[1] = fraction;
    } else {
        cubic_weights(r->cubic_a, fraction, weights);
        if (r->exclude_outside) drop_outside(r, floor_at, from, weights);
    }
    for (int k = 0; k < n; k++) {
        tn_val index = clamp_index(r, tn_add_scalar(floor_at, first + k), from);
        tn_val weight = along_axis(r->c, tn_convert(weights[k], dtype_of(x)), axis, rank);
        tn_val part = tn_mul(tn_take(x, index, axis), weight);
        sum = k == 0 ? part : tn_add(sum, part);
    }
    return sum;
}

/* ---- Axes ------------------------------------------------------------------------------------ */

/* Each element `factor` times in a row. */
static tn_val repeat(resize *r, tn_val x, int axis, int64_t factor) {
    tn_type type = tn_type_of(x);
    tn_dim wide[TN_MAX_RANK];
    for (int i = 0; i <= type.rank; i++)
        wide[i] = i <= axis ? type.dims[i] : i == axis + 1 ? number_dim(r->c, factor) : type.dims[i - 1];
    x = tn_broadcast_to(tn_expand_dims(x, TN_INTS(axis + 1)), type.rank + 1, wide);
    type.dims[axis] = r->extent[axis];
    return tn_reshape_dims(x, type.rank, type.dims);
}

/* True when element i is that at i / factor. */
static bool is_repetition(const resize *r, int axis, tn_dim from, int64_t *factor) {
    dim_table *t = r->c->im->module->dims;
    tn_dim ratio = dim_exact_div(t, r->extent[axis], from);
    if (ratio == DIM_INVALID || !dim_is_const(t, ratio, factor) || *factor < 1) return false;
    if (r->mode != NEAREST || (r->has_scale && r->scale[axis] != (double)*factor)) return false;
    bool is_half = r->how == HALF_PIXEL || r->how == PYTORCH_HALF_PIXEL || r->how == HALF_PIXEL_SYMMETRIC;
    bool is_floor = r->how == ASYMMETRIC || r->how == TF_HALF_PIXEL;
    return (is_half && r->round <= PREFER_CEIL) || (is_floor && r->round == DOWN);
}

static tn_val resize_axis(resize *r, tn_val x, int axis) {
    tn_dim from = tn_type_of(x).dims[axis];
    int64_t factor;
    bool is_same = from == r->extent[axis] && (!r->has_scale || r->scale[axis] == 1);
    if (is_same && r->how != CROP && r->how != TF_HALF_PIXEL) return x;
    if (is_repetition(r, axis, from, &factor) && tn_rank(x) < TN_MAX_RANK) return repeat(r, x, axis, factor);
    tn_val at = coordinates_of(r, axis, from);
    tn_val v = r->mode == NEAREST ? tn_take(x, clamp_index(r, nearest_index(r, at), from), axis)
                                  : interpolate(r, x, axis, at, from);
    if (r->how != CROP || is_same) return v;
    tn_val last = number(r, dim_add_const(node_dims(r->c), from, -1));
    tn_val is_outside = tn_or(tn_less(at, scalar_like(at, 0)), tn_greater(at, last));
    is_outside = broadcast_like(r->c, along_axis(r->c, is_outside, axis, tn_rank(v)), v);
    return tn_select(is_outside, scalar_like(v, r->extrapolation), v);
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

/* floor(extent * scale), also of a symbol when the scale is a fraction with a small power of two below. */
static tn_dim scaled_extent(conversion *c, tn_dim extent, double scale) {
    int64_t n, below = 1;
    if (!(scale > 0) || scale > 1e6) {
        node_error(c, TN_ERR_SHAPE, "a scale is %g", scale);
        return extent;
    }
    if (is_static_dim(c, extent, &n)) return number_dim(c, (int64_t)floor((double)n * scale));
    while (scale != floor(scale) && below < 1 << 20) scale *= 2, below *= 2;
    if (scale != floor(scale)) {
        node_error(c, TN_ERR_UNSUPPORTED, "a size that is not fixed is scaled by %g, which is no simple fraction",
                   scale / (double)below);
        return extent;
    }
    tn_dim above = dim_mul_const(node_dims(c), extent, (int64_t)scale);
    return below == 1 ? above : dim_floordiv(node_dims(c), above, number_dim(c, below));
}

/* Which axes are resized (all, or those of the attribute), and their scales or sizes. */
static bool read_sizes(resize *r, tn_val x, int scales, int sizes) {
    conversion *c = r->c;
    int rank = tn_rank(x), n, n_axes = -1;
    int64_t axes[TN_MAX_RANK];
    double given[TN_MAX_RANK];
    tn_type type = tn_type_of(x);
    for (int i = 0; i < rank; i++) {
        r->extent[i] = type.dims[i];
        r->scale[i] = 1;
        r->crop[0][i] = 0;
        r->crop[1][i] = 1;
    }
    if (c->version >= 18 && !read_ints(c, "axes", axes, TN_MAX_RANK, &n_axes)) return false;
    for (int i = 0; n_axes < 0 && i < rank; i++) axes[i] = i;
    if (n_axes < 0) n_axes = rank;
    for (int i = 0; i < n_axes; i++)
        if (!check_axis(c, &axes[i], rank)) return false;
    const known *wanted = sizes >= 0 && has_input(c, sizes) ? need_known(c, sizes, "the sizes") : NULL;
    if (wanted && wanted->n > 0) {
        if (wanted->n != n_axes)
            return node_error(c, TN_ERR_SHAPE, "there are %d sizes for %d axes", (int)wanted->n, n_axes);
        for (int i = 0; i < n_axes; i++) r->extent[axes[i]] = wanted->items[i];
    } else {
        if (scales < 0 ? has_attribute(c, "scales") : true) {
            const onnx_attribute *a = scales < 0 ? find_attribute(c, "scales", ONNX_ATTR_FLOATS) : NULL;
            n = 0;
            if (a)
                for (; n < TN_MAX_RANK && n < (int)a->floats.count; n++) given[n] = (double)a->floats.items[n];
            else if (!need_floats(c, scales, "the scales", given, TN_MAX_RANK, &n))
                return false;
            if (n != n_axes) return node_error(c, TN_ERR_SHAPE, "there are %d scales for %d axes", n, n_axes);
        } else {
            return node_error(c, TN_ERR_PARSE, "scales are missing");
        }
        r->has_scale = true;
        for (int i = 0; i < n; i++) {
            r->scale[axes[i]] = given[i];
            r->extent[axes[i]] = scaled_extent(c, type.dims[axes[i]], given[i]);
        }
    }
    if (r->how != CROP) return !has_failed(c);
    double crop[2 * TN_MAX_RANK];
    if (!need_floats(c, 1, "the region of interest", crop, 2 * TN_MAX_RANK, &n)) return false;
    if (n != 2 * n_axes) return node_error(c, TN_ERR_SHAPE, "roi has %d numbers for %d axes", n, n_axes);
    for (int i = 0; i < n; i++) r->crop[i / n_axes][axes[i % n_axes]] = crop[i];
    return !has_failed(c);
}

static void resize_all(resize *r, tn_val x) {
    tn_dtype dtype = dtype_of(x);
    bool is_wide = r->mode == NEAREST || dtype == TN_F32 || dtype == TN_F64;
    if (!is_wide) x = tn_convert(x, TN_F32);
    for (int i = 0; i < tn_rank(x) && !has_failed(r->c); i++) x = resize_axis(r, x, i);
    output(r->c, 0, tn_convert(x, dtype));
}

void convert_resize(conversion *c) {
    tn_val x = input(c, 0);
    resize r = {.c = c};
    int how, round, mode;
    if (!tn_is_valid(x) || !read_option(c, "mode", "nearest", interpolation_names, 3, &mode) ||
        !read_option(c, "coordinate_transformation_mode", "half_pixel", coordinate_names, 7, &how) ||
        !read_option(c, "nearest_mode", "round_prefer_floor", rounding_names, 4, &round))
        return;
    r.mode = (interpolation)mode;
    r.how = (coordinates)how;
    r.round = (rounding)round;
    r.cubic_a = read_float(c, "cubic_coeff_a", -0.75);
    r.exclude_outside = read_int(c, "exclude_outside", 0) != 0;
    r.extrapolation = read_float(c, "extrapolation_value", 0);
    if (read_int(c, "antialias", 0) != 0 ||
        strcmp(read_text(c, "keep_aspect_ratio_policy", "stretch"), "stretch") != 0) {
        node_error(c, TN_ERR_UNSUPPORTED, "antialias and keep_aspect_ratio_policy are not supported");
        return;
    }
    if (read_sizes(&r, x, 2, 3)) resize_all(&r, x);
}

/* Resize of opset 10, and Upsample: scales alone, from the corner. */
void convert_upsample(conversion *c) {
    tn_val x = input(c, 0);
    resize r = {.c = c, .how = ASYMMETRIC, .round = DOWN};
    bool is_linear = strcmp(read_text(c, "mode", "nearest"), "linear") == 0;
    r.mode = is_linear ? LINEAR : NEAREST;
    if (tn_is_valid(x) && read_sizes(&r, x, c->variant, -1)) resize_all(&r, x);
}
