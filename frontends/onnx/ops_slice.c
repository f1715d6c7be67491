/* Parts and borders: Slice, Split, Pad.
 *
 * Positions clamp to the data as in NumPy. Where an extent is a symbol, a single element that
 * is asked for must exist, and a symbolic position must lie within a constant extent: that is recorded
 * as a constraint rather than written as min and max, so that sizes stay simple.
 */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <inttypes.h>
#include <string.h>

/* ---- Slice --------------------------------------------------------------------------------- */

enum { FAR = 1000000000 }; /* exporters write "to the end" as this or more */

/* A position given from either end, within [0, extent]. */
static tn_dim clamp_position(conversion *c, tn_dim position, tn_dim extent) {
    dim_table *t = node_dims(c);
    int64_t p, n;
    bool is_number = dim_is_const(t, position, &p);
    if (!is_number) return position;
    if (p >= FAR) return extent;
    if (p <= -FAR) return number_dim(c, 0);
    if (dim_is_const(t, extent, &n)) {
        if (p < 0) p += n;
        return number_dim(c, p < 0 ? 0 : p > n ? n : p);
    }
    return p < 0 ? dim_add_const(t, extent, p) : position;
}

/* start, end of a forward slice along one axis. */
static void forward_bounds(conversion *c, tn_dim extent, tn_dim *start, tn_dim *end) {
    dim_table *t = node_dims(c);
    int64_t from, to;
    tn_dim first = clamp_position(c, *start, extent), last = clamp_position(c, *end, extent);
    bool is_open = !dim_is_const(t, extent, NULL);
    bool is_short = dim_is_const(t, first, &from) && dim_is_const(t, last, &to) && to <= from + 1;
    if (is_open && dim_is_const(t, last, NULL) && !is_short) last = dim_min(t, last, extent);
    if (dim_is_const(t, first, &from) && dim_is_const(t, last, &to) && to < from) last = first;
    *start = first;
    *end = last;
}

/* A backward slice takes start, start - 1, ... down to above end: as a part to be reversed. */
static bool backward_bounds(conversion *c, tn_dim extent, tn_dim *start, tn_dim *end) {
    dim_table *t = node_dims(c);
    int64_t p, n;
    tn_dim high, low;
    bool is_number = dim_is_const(t, *start, &p), is_closed = dim_is_const(t, extent, &n);
    if (!is_number) return node_error(c, TN_ERR_UNSUPPORTED, "a backward slice starts at a symbolic position");
    if (is_closed)
        high = number_dim(c, p >= n ? n : p >= 0 ? p + 1 : p + n + 1 < 0 ? 0 : p + n + 1);
    else
        high = p >= FAR || p == -1 ? extent : p >= 0 ? number_dim(c, p + 1) : dim_add_const(t, extent, p + 1);
    if (!dim_is_const(t, *end, &p))
        return node_error(c, TN_ERR_UNSUPPORTED, "a backward slice ends at a symbolic position");
    if (is_closed)
        low = number_dim(c, p >= n ? n : p >= 0 ? p + 1 : p <= -FAR || p + n + 1 < 0 ? 0 : p + n + 1);
    else
        low = p <= -FAR ? number_dim(c, 0)
              : p >= 0  ? number_dim(c, p + 1)
                        : dim_max(t, dim_add_const(t, extent, p + 1), number_dim(c, 0));
    int64_t a, b;
    if (dim_is_const(t, low, &a) && dim_is_const(t, high, &b) && b < a) high = low;
    *start = low;
    *end = high;
    return true;
}

typedef struct slice_args {
    int n;
    int64_t axes[TN_MAX_RANK], steps[TN_MAX_RANK];
    tn_dim starts[TN_MAX_RANK], ends[TN_MAX_RANK];
} slice_args;

/* Positions in dims, from an attribute (up to opset 9) or an input. */
static bool read_positions(conversion *c, const char *name, int i, tn_dim *positions, int *n) {
    if (c->version < 10) {
        int64_t numbers[TN_MAX_RANK];
        if (!read_ints(c, name, numbers, TN_MAX_RANK, n)) return false;
        for (int k = 0; k < *n; k++)
            positions[k] = number_dim(c, numbers[k] > FAR ? FAR : numbers[k] < -FAR ? -FAR : numbers[k]);
        return *n >= 0 || node_error(c, TN_ERR_PARSE, "attribute %s is missing", name);
    }
    const known *k = need_positions(c, i, name);
    if (!k) return false;
    if (k->n > TN_MAX_RANK) return node_error(c, TN_ERR_LIMIT, "%s has more than %d entries", name, TN_MAX_RANK);
    *n = (int)k->n;
    for (int at = 0; at < *n; at++) positions[at] = k->items[at];
    return true;
}

static bool read_slice(conversion *c, int rank, slice_args *a) {
    int n_ends = 0, n_axes = -1, n_steps = -1;
    if (!read_positions(c, "starts", 1, a->starts, &a->n) || !read_positions(c, "ends", 2, a->ends, &n_ends))
        return false;
    if (c->version < 10 ? !read_ints(c, "axes", a->axes, TN_MAX_RANK, &n_axes)
                        : has_input(c, 3) && !need_ints(c, 3, "axes", a->axes, TN_MAX_RANK, &n_axes))
        return false;
    if (c->version >= 10 && has_input(c, 4) && !need_ints(c, 4, "steps", a->steps, TN_MAX_RANK, &n_steps)) return false;
    for (int i = 0; n_axes < 0 && i < a->n; i++) a->axes[i] = i;
    for (int i = 0; n_steps < 0 && i < a->n; i++) a->steps[i] = 1;
    if (n_ends != a->n || (n_axes >= 0 && n_axes != a->n) || (n_steps >= 0 && n_steps != a->n))
        return node_error(c, TN_ERR_SHAPE, "starts, ends, axes and steps differ in length");
    uint32_t seen = 0;
    for (int i = 0; i < a->n; i++) {
        if (!check_axis(c, &a->axes[i], rank)) return false;
        if (seen >> a->axes[i] & 1) return node_error(c, TN_ERR_SHAPE, "axis %" PRId64 " is named twice", a->axes[i]);
        seen |= UINT32_C(1) << a->axes[i];
        if (a->steps[i] == 0 || a->steps[i] < -INT32_MAX || a->steps[i] > INT32_MAX)
            return node_error(c, TN_ERR_SHAPE, "a step is %" PRId64, a->steps[i]);
    }
    return true;
}

void convert_slice(conversion *c) {
    tn_val x = input(c, 0);
    slice_args a = {0};
    if (!tn_is_valid(x) || !read_slice(c, tn_rank(x), &a)) return;
    tn_type type = tn_type_of(x);
    tn_dim start[TN_MAX_RANK] = {0}, end[TN_MAX_RANK] = {0};
    int64_t stride[TN_MAX_RANK] = {0}, reversed[TN_MAX_RANK];
    int n_reversed = 0;
    bool is_whole = true;
    for (int i = 0; i < type.rank; i++) {
        start[i] = number_dim(c, 0);
        end[i] = type.dims[i];
        stride[i] = 1;
    }
    for (int i = 0; i < a.n; i++) {
        int64_t axis = a.axes[i];
        start[axis] = a.starts[i];
        end[axis] = a.ends[i];
        if (a.steps[i] > 0) {
            forward_bounds(c, type.dims[axis], &start[axis], &end[axis]);
            stride[axis] = a.steps[i];
        } else {
            if (!backward_bounds(c, type.dims[axis], &start[axis], &end[axis])) return;
            reversed[n_reversed++] = axis;
        }
        is_whole &= dim_is_value(node_dims(c), start[axis], 0) && end[axis] == type.dims[axis] && stride[axis] == 1;
    }
    if (!is_whole) x = tn_slice_dims(x, start, end, stride);
    if (n_reversed > 0) {
        bool strided = false;
        x = tn_reverse(x, ints_of(reversed, n_reversed));
        type = tn_type_of(x);
        for (int i = 0; i < type.rank; i++) start[i] = number_dim(c, 0), stride[i] = 1;
        for (int i = 0; i < a.n; i++)
            if (a.steps[i] < -1) stride[a.axes[i]] = -a.steps[i], strided = true;
        if (strided) x = tn_slice_dims(x, start, type.dims, stride);
    }
    output(c, 0, x);
}

/* ---- Split --------------------------------------------------------------------------------- */

/* Sizes of equal parts: exact ones, or (from opset 18 on) a smaller last one. */
static bool equal_parts(conversion *c, tn_dim extent, int n, tn_dim *sizes) {
    dim_table *t = node_dims(c);
    tn_dim count = number_dim(c, n), size = dim_exact_div(t, extent, count);
    if (size == DIM_INVALID && c->version < 18) {
        if (!graph_require(c->g, RELATION_DIVIDES, count, extent, TN_OP_slice, c->g->origin))
            return node_error(c, TN_ERR_SHAPE, "the axis does not divide into %d parts", n);
        size = dim_floordiv(t, extent, count);
    } else if (size == DIM_INVALID) {
        size = dim_ceildiv(t, extent, count);
    }
    for (int i = 0; i < n; i++) sizes[i] = size;
    sizes[n - 1] = dim_sub(t, extent, dim_mul_const(t, size, n - 1));
    return true;
}

void convert_split(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axis = read_int(c, "axis", 0);
    int n = (int)c->node->outputs.count;
    if (!tn_is_valid(x) || !check_axis(c, &axis, tn_rank(x)) || n == 0) return;
    tn_dim *sizes = ARENA_ARRAY(&c->im->memory, tn_dim, n), at = number_dim(c, 0);
    if (!sizes) {
        import_no_memory(c->im);
        return;
    }
    const onnx_attribute *fixed = c->version < 13 ? find_attribute(c, "split", ONNX_ATTR_INTS) : NULL;
    const known *given = c->version >= 13 && has_input(c, 1) ? need_known(c, 1, "split") : NULL;
    size_t n_given = fixed ? fixed->ints.count : given ? (size_t)given->n : (size_t)n;
    if (has_failed(c)) return;
    if (n_given != (size_t)n) {
        node_error(c, TN_ERR_SHAPE, "split has %zu sizes for %d outputs", n_given, n);
        return;
    }
    tn_dim extent = tn_type_of(x).dims[axis];
    for (int i = 0; i < n && (fixed || given); i++)
        sizes[i] = fixed ? number_dim(c, fixed->ints.items[i]) : given->items[i];
    if (!fixed && !given && !equal_parts(c, extent, n, sizes)) return;
    for (int i = 0; i < n; i++) {
        tn_dim end = dim_add(node_dims(c), at, sizes[i]);
        output(c, i, slice_axis(c, x, (int)axis, at, end));
        at = end;
    }
    if (!has_failed(c) && !graph_require_equal(c->g, at, extent, TN_OP_slice, c->g->origin))
        node_error(c, TN_ERR_SHAPE, "the sizes of split do not add up to the axis");
}

/* ---- Pad ----------------------------------------------------------------------------------- */

typedef tn_val border_fn(conversion *c, tn_val x, int axis, tn_dim amount, bool at_end);

static tn_val reflect_border(conversion *c, tn_val x, int axis, tn_dim amount, bool at_end) {
    dim_table *t = node_dims(c);
    tn_dim last = dim_add_const(t, tn_type_of(x).dims[axis], -1), one = number_dim(c, 1);
    tn_val part = at_end ? slice_axis(c, x, axis, dim_sub(t, last, amount), last)
                         : slice_axis(c, x, axis, one, dim_add(t, one, amount));
    return tn_reverse(part, TN_INTS(axis));
}

static tn_val edge_border(conversion *c, tn_val x, int axis, tn_dim amount, bool at_end) {
    tn_type type = tn_type_of(x);
    tn_dim n = type.dims[axis], last = dim_add_const(node_dims(c), n, -1);
    tn_val part = at_end ? slice_axis(c, x, axis, last, n) : slice_axis(c, x, axis, number_dim(c, 0), number_dim(c, 1));
    type.dims[axis] = amount;
    return tn_broadcast_to(part, type.rank, type.dims);
}

static tn_val wrap_border(conversion *c, tn_val x, int axis, tn_dim amount, bool at_end) {
    tn_dim n = tn_type_of(x).dims[axis];
    return at_end ? slice_axis(c, x, axis, number_dim(c, 0), amount)
                  : slice_axis(c, x, axis, dim_sub(node_dims(c), n, amount), n);
}

static bool is_negative(conversion *c, tn_dim d) {
    int64_t n;
    return dim_is_const(node_dims(c), d, &n) && n < 0;
}

static tn_val add_borders(conversion *c, tn_val x, border_fn *border, const tn_dim *low, const tn_dim *high) {
    dim_table *t = node_dims(c);
    for (int axis = 0; axis < tn_rank(x); axis++) {
        tn_dim n = tn_type_of(x).dims[axis], zero = number_dim(c, 0);
        /* Negative amounts crop. */
        tn_dim from = is_negative(c, low[axis]) ? dim_sub(t, zero, low[axis]) : zero;
        tn_dim to = is_negative(c, high[axis]) ? dim_add(t, n, high[axis]) : n;
        x = slice_axis(c, x, axis, from, to);
        tn_val parts[3];
        int count = 0;
        if (!is_negative(c, low[axis]) && low[axis] != zero) parts[count++] = border(c, x, axis, low[axis], false);
        parts[count++] = x;
        if (!is_negative(c, high[axis]) && high[axis] != zero) parts[count++] = border(c, x, axis, high[axis], true);
        x = tn_concat(parts, count, axis);
    }
    return x;
}

/* Amounts: attribute `pads` up to opset 10, then an input with (from 18 on) the axes it is for. */
static bool read_pads(conversion *c, int rank, tn_dim *low, tn_dim *high) {
    int64_t numbers[2 * TN_MAX_RANK], axes[TN_MAX_RANK] = {0};
    tn_dim given[2 * TN_MAX_RANK] = {0};
    int n = 0, n_axes = -1;
    for (int i = 0; i < rank; i++) low[i] = high[i] = number_dim(c, 0);
    if (c->version < 11) {
        if (!read_ints(c, c->version < 2 ? "paddings" : "pads", numbers, 2 * TN_MAX_RANK, &n)) return false;
        for (int i = 0; i < n; i++) given[i] = number_dim(c, numbers[i]);
    } else {
        const known *k = need_known(c, 1, "the pads");
        if (!k) return false;
        if (k->n > 2 * TN_MAX_RANK)
            return node_error(c, TN_ERR_LIMIT, "there are pads for more than %d axes", TN_MAX_RANK);
        n = (int)k->n;
        for (int i = 0; i < n; i++) given[i] = k->items[i];
        if (has_input(c, 3) && !need_ints(c, 3, "axes", axes, TN_MAX_RANK, &n_axes)) return false;
    }
    int padded = n_axes < 0 ? rank : n_axes;
    if (n != 2 * padded)
        return node_error(c, TN_ERR_SHAPE, "there are %d pads, not %d (two for each axis)", n, 2 * padded);
    for (int i = 0; i < padded; i++) {
        int64_t axis = n_axes < 0 ? i : axes[i];
        if (!check_axis(c, &axis, rank)) return false;
        low[axis] = given[i];
        high[axis] = given[padded + i];
    }
    return true;
}

void convert_pad(conversion *c) {
    static const struct {
        const char *mode;
        border_fn *border;
    } modes[] = {{"reflect", reflect_border}, {"edge", edge_border}, {"wrap", wrap_border}};
    tn_val x = input(c, 0);
    tn_dim low[TN_MAX_RANK] = {0}, high[TN_MAX_RANK] = {0};
    const char *mode = read_text(c, "mode", "constant");
    if (!tn_is_valid(x) || !read_pads(c, tn_rank(x), low, high)) return;
    if (strcmp(mode, "constant") == 0) {
        tn_val value = c->version < 11   ? scalar_like(x, read_float(c, "value", 0))
                       : has_input(c, 2) ? tn_reshape_dims(input(c, 2), 0, NULL)
                                         : scalar_like(x, 0);
        output(c, 0, pad_dims(c, x, value, low, high));
        return;
    }
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(modes[i].mode, mode) == 0) {
            output(c, 0, add_borders(c, x, modes[i].border, low, high));
            return;
        }
    node_error(c, TN_ERR_UNSUPPORTED, "mode is '%.40s', not constant, reflect, edge or wrap", mode);
}
