/* Shape arithmetic: known contents through ops, while importing.
 *
 * in:  a node whose inputs are known contents (Shape: any tensor)
 * out: its outputs as known contents; no node is made
 * law: the result is exactly what the op gives at run time. Where that cannot be told (a sign that
 *      depends on a symbol, an overflow, a fraction) the node is converted as any other
 */
#include "frontends/onnx/shape_arith.h"
#include "frontends/onnx/tensorproto.h"

#include <string.h>

static bool is_number(const conversion *c, tn_dim d, int64_t *number) {
    return dim_is_const(c->im->module->dims, d, number);
}

static int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

static const known *known_identity(conversion *c) { return input_known(c, 0); }

/* Whole numbers stay. */
static const known *known_rounding(conversion *c) { return input_known(c, 0); }

/* ---- Shapes read --------------------------------------------------------------------------- */

static const known *known_shape(conversion *c) {
    tn_val x = input(c, 0);
    int rank = tn_rank(x);
    int64_t start = read_int(c, "start", 0), end = read_int(c, "end", INT64_MAX);
    tn_dim *items;
    if (rank < 0 || has_failed(c)) return NULL;
    start = clamp(start < 0 ? start + rank : start, 0, rank);
    end = clamp(end < 0 ? end + rank : end, 0, rank);
    known *k = known_vector(c->im, TN_I64, end > start ? end - start : 0, &items);
    tn_type type = tn_type_of(x);
    for (int64_t i = 0; k && i < k->n; i++) items[i] = type.dims[start + i];
    return k;
}

static const known *known_size(conversion *c) {
    tn_val x = input(c, 0);
    tn_dim *items;
    if (!tn_is_valid(x)) return NULL;
    tn_type type = tn_type_of(x);
    known *k = known_new(c->im, TN_I64, 0, NULL, &items);
    if (k) items[0] = type_element_count(node_dims(c), &type);
    return known_finish(c, k, items);
}

/* ---- Parts put together -------------------------------------------------------------------- */

static const known *known_gather(conversion *c) {
    const known *x = input_known(c, 0), *at = x ? input_known(c, 1) : NULL;
    int64_t axis = read_int(c, "axis", 0), i;
    tn_dim *items;
    if (!at || x->rank != 1 || (axis != 0 && axis != -1)) return NULL;
    known *k = known_new(c->im, x->dtype, at->rank, at->shape, &items);
    for (int64_t n = 0; k && n < k->n; n++) {
        if (!is_number(c, at->items[n], &i)) return NULL;
        if (i < 0) i += x->n;
        if (i < 0 || i >= x->n) {
            node_error(c, TN_ERR_SHAPE, "index %lld is not within the %lld elements of '%.200s'", (long long)i,
                       (long long)x->n, input_name(c, 0));
            return NULL;
        }
        items[n] = x->items[i];
    }
    return k;
}

static const known *known_concat(conversion *c) {
    int64_t axis = read_int(c, "axis", 0), n = 0;
    const known *first = input_known(c, 0), *x;
    tn_dim *items;
    if (!first || first->rank != 1 || (axis != 0 && axis != -1)) return NULL;
    for (int i = 0; i < input_count(c); i++) {
        if (!(x = input_known(c, i)) || x->rank != 1 || x->dtype != first->dtype) return NULL;
        n += x->n;
    }
    known *k = known_vector(c->im, first->dtype, n, &items);
    for (int i = 0, at = 0; k && i < input_count(c); at += (int)x->n, i++) {
        x = input_known(c, i);
        memcpy(items + at, x->items, (size_t)x->n * sizeof *items);
    }
    return k;
}

/* Shape of the result of a reshape of n items; -1 and 0 as ONNX has them. */
static bool resolve_shape(conversion *c, const known *x, const known *wanted, int64_t *shape) {
    int64_t others = 1;
    int inferred = -1;
    if (wanted->rank != 1 || wanted->n > KNOWN_MAX_RANK) return false;
    for (int i = 0; i < wanted->n; i++) {
        if (!known_number(c->im, wanted, i, &shape[i])) return false;
        if (shape[i] == 0 && read_int(c, "allowzero", 0) == 0) {
            if (i >= x->rank) return false;
            shape[i] = x->shape[i];
        }
        if (shape[i] == -1 && inferred < 0)
            inferred = i;
        else if (shape[i] < 0 || __builtin_mul_overflow(others, shape[i], &others))
            return false;
    }
    if (inferred >= 0) {
        if (others == 0 || x->n % others != 0) return false;
        shape[inferred] = x->n / others;
        others = x->n;
    }
    return others == x->n;
}

static const known *reshaped(conversion *c, const known *x, int rank, const int64_t *shape) {
    tn_dim *items;
    known *k = known_new(c->im, x->dtype, rank, shape, &items);
    if (k) memcpy(items, x->items, (size_t)x->n * sizeof *items);
    return k;
}

static const known *known_reshape(conversion *c) {
    const known *x = input_known(c, 0), *wanted = x ? input_known(c, 1) : NULL;
    int64_t shape[KNOWN_MAX_RANK];
    return wanted && resolve_shape(c, x, wanted, shape) ? reshaped(c, x, (int)wanted->n, shape) : NULL;
}

static const known *known_unsqueeze(conversion *c) {
    const known *x = input_known(c, 0);
    int64_t axes[TN_MAX_RANK], shape[KNOWN_MAX_RANK];
    int n, from = 0, next = 0;
    if (!x || (input_count(c) > 1 && !input_known(c, 1))) return NULL;
    bool is_attribute = has_attribute(c, "axes");
    int64_t count = is_attribute ? 0 : input_count(c) > 1 ? input_known(c, 1)->n : 0;
    if (is_attribute && (!read_ints(c, "axes", axes, TN_MAX_RANK, &n) || n < 0)) return NULL;
    int rank = x->rank + (is_attribute ? n : (int)count);
    if (rank > KNOWN_MAX_RANK || !read_axes(c, 1, rank, axes, &n) || n < 0) return NULL;
    for (int i = 0; i < rank; i++) {
        bool is_new = next < n && axes[next] == i;
        next += is_new;
        shape[i] = is_new ? 1 : x->shape[from++];
    }
    return reshaped(c, x, rank, shape);
}

static const known *known_squeeze(conversion *c) {
    const known *x = input_known(c, 0);
    int64_t axes[TN_MAX_RANK], shape[KNOWN_MAX_RANK];
    int n, rank = 0, next = 0;
    if (!x || !read_axes(c, 1, x->rank, axes, &n)) return NULL;
    for (int i = 0; i < x->rank; i++) {
        bool is_dropped = n < 0 ? x->shape[i] == 1 : next < n && axes[next] == i;
        next += is_dropped;
        if (is_dropped && x->shape[i] != 1) return NULL;
        if (!is_dropped) shape[rank++] = x->shape[i];
    }
    return reshaped(c, x, rank, shape);
}

static const known *known_transpose(conversion *c) {
    const known *x = input_known(c, 0);
    tn_dim *items;
    if (!x || x->rank > 2) return NULL;
    int64_t perm[TN_MAX_RANK] = {1, 0}, shape[2] = {x->shape[1], x->shape[0]};
    int n;
    if (!read_ints(c, "perm", perm, TN_MAX_RANK, &n)) return NULL;
    if (x->rank < 2 || (n == 2 && perm[0] == 0)) return x;
    known *k = known_new(c->im, x->dtype, 2, shape, &items);
    for (int64_t i = 0; k && i < k->n; i++) items[i] = x->items[i % shape[1] * shape[0] + i / shape[1]];
    return k;
}

/* One number of a vector that is an attribute or an input; false: not known. */
static bool slice_number(conversion *c, const char *attribute, int i, int64_t otherwise, int64_t *number) {
    int64_t items[TN_MAX_RANK];
    int n;
    *number = otherwise;
    if (has_attribute(c, attribute)) {
        if (!read_ints(c, attribute, items, TN_MAX_RANK, &n) || n != 1) return false;
        *number = items[0];
        return true;
    }
    if (!has_input(c, i)) return otherwise != INT64_MIN;
    const known *k = input_positions(c, i);
    return k && k->n == 1 && known_number(c->im, k, 0, number);
}

static const known *known_slice(conversion *c) {
    const known *x = input_known(c, 0);
    int64_t start, end, axis, step, n = 0;
    tn_dim *items;
    if (!x || x->rank != 1 || !slice_number(c, "starts", 1, INT64_MIN, &start) ||
        !slice_number(c, "ends", 2, INT64_MIN, &end) || !slice_number(c, "axes", 3, 0, &axis) ||
        !slice_number(c, "steps", 4, 1, &step) || (axis != 0 && axis != -1) || step == 0 || step == INT64_MIN)
        return NULL;
    if (start < 0) start = start < -x->n ? (step > 0 ? 0 : -1) : start + x->n;
    if (end < 0) end = end < -x->n ? -1 : end + x->n;
    if (step > 0) {
        start = clamp(start, 0, x->n);
        end = clamp(end, 0, x->n);
        n = end > start ? (end - start - 1) / step + 1 : 0;
    } else {
        start = clamp(start, -1, x->n - 1);
        end = clamp(end, -1, x->n - 1);
        n = start > end ? (start - end - 1) / -step + 1 : 0;
    }
    known *k = known_vector(c->im, x->dtype, n, &items);
    for (int64_t i = 0; k && i < n; i++) items[i] = x->items[start + i * step];
    return k;
}

/* ---- Content made -------------------------------------------------------------------------- */

/* A shape given as known content, when it is of numbers; false: not. */
static bool shape_numbers(conversion *c, const known *wanted, int64_t *shape) {
    if (!wanted || wanted->rank != 1 || wanted->n > KNOWN_MAX_RANK) return false;
    for (int i = 0; i < wanted->n; i++)
        if (!known_number(c->im, wanted, i, &shape[i]) || shape[i] < 0) return false;
    return true;
}

static const known *known_constant_of_shape(conversion *c) {
    const known *wanted = input_known(c, 0);
    int64_t shape[KNOWN_MAX_RANK];
    tn_dim *items, one = dim_const(node_dims(c), 0);
    tn_dtype dtype = TN_F32;
    if (!shape_numbers(c, wanted, shape)) return NULL;
    const onnx_attribute *value = find_attribute(c, "value", ONNX_ATTR_TENSOR);
    if (value && value->t) {
        const tensor_data *data = import_tensor(c->im, value->t);
        const known *k = data ? known_from_data(c->im, data) : NULL;
        if (!k || k->n != 1) return NULL;
        one = k->items[0];
        dtype = k->dtype;
    }
    known *k = known_new(c->im, dtype, (int)wanted->n, shape, &items);
    for (int64_t i = 0; k && i < k->n; i++) items[i] = one;
    return k;
}

static const known *known_expand(conversion *c) {
    const known *x = input_known(c, 0), *wanted = x ? input_known(c, 1) : NULL;
    known target = {0};
    int64_t shape[KNOWN_MAX_RANK];
    tn_dim *items;
    int rank;
    if (!wanted || !shape_numbers(c, wanted, target.shape)) return NULL;
    target.rank = (int)wanted->n;
    if (!known_merge_shapes(x, &target, &rank, shape)) return NULL;
    known *k = known_new(c->im, x->dtype, rank, shape, &items);
    for (int64_t i = 0; k && i < k->n; i++) items[i] = known_broadcast_item(x, rank, shape, i);
    return k;
}

static const known *known_range(conversion *c) {
    int64_t start, limit, step, n = 0;
    tn_dim *items;
    const known *x[3];
    for (int i = 0; i < 3; i++)
        if (!(x[i] = input_known(c, i)) || x[i]->n != 1 || x[i]->dtype != x[0]->dtype) return NULL;
    if (!known_number(c->im, x[0], 0, &start) || !known_number(c->im, x[1], 0, &limit) ||
        !known_number(c->im, x[2], 0, &step) || step == 0 || step == INT64_MIN)
        return NULL;
    if (__builtin_sub_overflow(limit, start, &n)) return NULL;
    n = step > 0 ? (n > 0 ? (n - 1) / step + 1 : 0) : (n < 0 ? (-1 - n) / -step + 1 : 0);
    known *k = known_vector(c->im, x[0]->dtype, n, &items);
    for (int64_t i = 0; k && i < n; i++) items[i] = dim_const(node_dims(c), start + i * step);
    return known_finish(c, k, items);
}

/* Indices of what is not 0, as [rank, n]. */
static const known *known_nonzero(conversion *c) {
    const known *x = input_known(c, 0);
    int64_t number, n = 0;
    tn_dim *items;
    if (!x || x->rank == 0) return NULL;
    for (int64_t i = 0; i < x->n; i++) {
        if (!is_number(c, x->items[i], &number)) return NULL;
        n += number != 0;
    }
    known *k = known_new(c->im, TN_I64, 2, (int64_t[]){x->rank, n}, &items);
    for (int64_t i = 0, at = 0; k && i < x->n; i++) {
        is_number(c, x->items[i], &number);
        if (number == 0) continue;
        int64_t rest = i;
        for (int axis = x->rank - 1; axis >= 0; axis--) {
            items[axis * n + at] = dim_const(node_dims(c), rest % x->shape[axis]);
            rest /= x->shape[axis];
        }
        at++;
    }
    return k;
}

/* ---- The table ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    known_fn *convert;
} table[] = {
    {"Abs", known_unary},
    {"Add", known_binary},
    {"And", known_binary},
    {"Cast", known_cast},
    {"Ceil", known_rounding},
    {"Concat", known_concat},
    {"ConstantOfShape", known_constant_of_shape},
    {"Div", known_binary},
    {"Equal", known_binary},
    {"Expand", known_expand},
    {"Floor", known_rounding},
    {"Gather", known_gather},
    {"Greater", known_binary},
    {"GreaterOrEqual", known_binary},
    {"Identity", known_identity},
    {"Less", known_binary},
    {"LessOrEqual", known_binary},
    {"Max", known_binary},
    {"Min", known_binary},
    {"Mod", known_binary},
    {"Mul", known_binary},
    {"Neg", known_unary},
    {"NonZero", known_nonzero},
    {"Not", known_unary},
    {"Or", known_binary},
    {"Range", known_range},
    {"ReduceMax", known_reduce},
    {"ReduceMin", known_reduce},
    {"ReduceProd", known_reduce},
    {"ReduceSum", known_reduce},
    {"Reshape", known_reshape},
    {"Round", known_rounding},
    {"Shape", known_shape},
    {"Size", known_size},
    {"Slice", known_slice},
    {"Squeeze", known_squeeze},
    {"Sub", known_binary},
    {"Transpose", known_transpose},
    {"Unsqueeze", known_unsqueeze},
    {"Where", known_where},
};

bool convert_known(conversion *c) {
    if (*c->row->domain != '\0') return false;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].name, c->node->op_type) != 0) continue;
        const known *k = table[i].convert(c);
        /* An overflow only means that it cannot be told. */
        if (dim_table_status(node_dims(c)) == TN_ERR_LIMIT) dim_table_clear_status(node_dims(c));
        if (!k || has_failed(c)) return false;
        output_known(c, 0, k);
        return true;
    }
    return false;
}
