/* Arithmetic of known contents: item by item, on dims.
 *
 * in:  known contents
 * out: the sums, products, comparisons, ... of their items; nothing where an item cannot be told
 * law: see shape_arith.c
 */
#include "frontends/onnx/shape_arith.h"
#include "frontends/onnx/tensorproto.h"

#include <string.h>

/* ---- Single items ------------------------------------------------------------------------ */

static bool is_number(const conversion *c, tn_dim d, int64_t *number) { return dim_is_const(node_dims(c), d, number); }

/* Sign of an expression for all values of its symbols: -1, 0, 1; false when it depends on them. */
static bool sign_of(conversion *c, tn_dim d, int *sign) {
    int64_t low, high;
    if (d == DIM_INVALID) return false;
    dim_bounds(node_dims(c), d, NULL, 0, &low, &high);
    *sign = low > 0 ? 1 : high < 0 ? -1 : 0;
    return *sign != 0 || (low == 0 && high == 0);
}

static bool is_nonnegative(conversion *c, tn_dim d) {
    int64_t low, high;
    dim_bounds(node_dims(c), d, NULL, 0, &low, &high);
    return low >= 0 || dim_is_nonnegative(node_dims(c), d, NULL, 0);
}

/* Numbers that a dtype holds without wrapping or rounding. */
static bool fits(tn_dtype dtype, int64_t x) {
    switch (dtype) {
    case TN_BOOL: return x == 0 || x == 1;
    case TN_I8: return x == (int8_t)x;
    case TN_U8: return x == (uint8_t)x;
    case TN_I16: return x == (int16_t)x;
    case TN_U16: return x == (uint16_t)x;
    case TN_I32: return x == (int32_t)x;
    case TN_U32: return x == (int64_t)(uint32_t)x;
    case TN_U64: return x >= 0;
    case TN_F16: return x >= -2048 && x <= 2048;
    case TN_BF16: return x >= -256 && x <= 256;
    case TN_F32: return x >= -(1 << 24) && x <= 1 << 24;
    case TN_F64: return x >= -(INT64_C(1) << 53) && x <= INT64_C(1) << 53;
    default: return true;
    }
}

const known *known_finish(conversion *c, const known *k, const tn_dim *items) {
    for (int64_t i = 0; k && i < k->n; i++) {
        int64_t x;
        if (items[i] == DIM_INVALID || (is_number(c, items[i], &x) && !fits(k->dtype, x))) return NULL;
    }
    return k;
}

/* ---- Elementwise, two operands ------------------------------------------------------------- */

/* DIM_INVALID: cannot be told. */
typedef tn_dim item_fn(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b);

static tn_dim item_add(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b) {
    (void)dtype;
    return dim_add(node_dims(c), a, b);
}

static tn_dim item_sub(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b) {
    (void)dtype;
    return dim_sub(node_dims(c), a, b);
}

/* A float zero has a sign that dims don't know. */
static tn_dim item_mul(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b) {
    bool may_be_minus = !is_nonnegative(c, a) || !is_nonnegative(c, b);
    return dtype_is_float(dtype) && may_be_minus ? DIM_INVALID : dim_mul(node_dims(c), a, b);
}

static tn_dim item_div(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b) {
    dim_table *t = node_dims(c);
    int64_t x, y;
    if (is_number(c, b, &y) && (y == 0 || (dtype_is_float(dtype) && y < 0))) return DIM_INVALID;
    if (is_number(c, a, &x) && is_number(c, b, &y)) {
        if (y == -1 || (dtype_is_float(dtype) && x % y != 0)) return DIM_INVALID;
        return dim_const(t, x / y);
    }
    tn_dim exact = dim_exact_div(t, a, b);
    if (exact != DIM_INVALID || dtype_is_float(dtype)) return exact;
    return is_nonnegative(c, a) && is_nonnegative(c, b) ? dim_floordiv(t, a, b) : DIM_INVALID;
}

static tn_dim item_mod(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b) {
    int64_t y;
    if (dtype_is_float(dtype) || !is_number(c, b, &y) || y <= 0) return DIM_INVALID;
    if (read_int(c, "fmod", 0) != 0 && !is_nonnegative(c, a)) return DIM_INVALID;
    return dim_mod(node_dims(c), a, b);
}

static tn_dim item_min(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b) {
    (void)dtype;
    return dim_min(node_dims(c), a, b);
}

static tn_dim item_max(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b) {
    (void)dtype;
    return dim_max(node_dims(c), a, b);
}

/* Comparisons give 0 or 1. Where the sizes decide, the dim says so: a < b is min(1, max(0, b - a)). */
static tn_dim truth_of(conversion *c, tn_dim positive) {
    dim_table *t = node_dims(c);
    int64_t low, high;
    if (positive == DIM_INVALID) return DIM_INVALID;
    dim_bounds(t, positive, NULL, 0, &low, &high);
    if (low > 0 || high <= 0) return dim_const(t, low > 0);
    return dim_min(t, dim_const(t, 1), dim_max(t, dim_const(t, 0), positive));
}

static tn_dim item_lt(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b) {
    (void)dtype;
    return truth_of(c, dim_sub(node_dims(c), b, a));
}

static tn_dim item_le(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b) {
    (void)dtype;
    return truth_of(c, dim_add_const(node_dims(c), dim_sub(node_dims(c), b, a), 1));
}

static tn_dim item_gt(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b) { return item_lt(c, dtype, b, a); }
static tn_dim item_ge(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b) { return item_le(c, dtype, b, a); }

static tn_dim item_eq(conversion *c, tn_dtype dtype, tn_dim a, tn_dim b) {
    dim_table *t = node_dims(c);
    tn_dim less = item_lt(c, dtype, a, b), greater = item_lt(c, dtype, b, a);
    return dim_sub(t, dim_const(t, 1), dim_max(t, less, greater));
}

static const struct {
    const char *name;
    item_fn *item;
    bool is_test; /* the result is bool */
    bool wants_bool;
} binaries[] = {
    {"Add", item_add, false, false},       {"Sub", item_sub, false, false},   {"Mul", item_mul, false, false},
    {"Div", item_div, false, false},       {"Mod", item_mod, false, false},   {"Min", item_min, false, false},
    {"Max", item_max, false, false},       {"Equal", item_eq, true, false},   {"Less", item_lt, true, false},
    {"LessOrEqual", item_le, true, false}, {"Greater", item_gt, true, false}, {"GreaterOrEqual", item_ge, true, false},
    {"And", item_min, true, true},         {"Or", item_max, true, true},
};

bool known_merge_shapes(const known *a, const known *b, int *rank, int64_t *shape) {
    *rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 0; i < *rank && i < KNOWN_MAX_RANK; i++) {
        int ia = i - (*rank - a->rank), ib = i - (*rank - b->rank);
        int64_t x = ia >= 0 ? a->shape[ia] : 1, y = ib >= 0 ? b->shape[ib] : 1;
        if (x != y && x != 1 && y != 1) return false;
        shape[i] = x == 1 ? y : x;
    }
    return true;
}

tn_dim known_broadcast_item(const known *k, int rank, const int64_t *shape, int64_t at) {
    int64_t index = 0, step = 1;
    if (rank < 0 || rank > KNOWN_MAX_RANK) return DIM_INVALID;
    for (int i = rank - 1; i >= 0; i--) {
        int64_t coordinate = at % shape[i];
        at /= shape[i];
        int own = i - (rank - k->rank);
        if (own < 0) continue;
        if (k->shape[own] != 1) index += coordinate * step;
        step *= k->shape[own];
    }
    return k->items[index];
}

const known *known_binary(conversion *c) {
    size_t row = 0;
    while (strcmp(binaries[row].name, c->node->op_type) != 0) row++;
    const known *a = input_known(c, 0), *b = a && input_count(c) == 2 ? input_known(c, 1) : NULL;
    int rank;
    int64_t shape[KNOWN_MAX_RANK];
    tn_dim *items;
    if (!b || a->dtype != b->dtype || !known_merge_shapes(a, b, &rank, shape)) return NULL;
    if (binaries[row].wants_bool && a->dtype != TN_BOOL) return NULL;
    known *k = known_new(c->im, binaries[row].is_test ? TN_BOOL : a->dtype, rank, shape, &items);
    for (int64_t i = 0; k && i < k->n; i++)
        items[i] = binaries[row].item(c, a->dtype, known_broadcast_item(a, rank, shape, i),
                                      known_broadcast_item(b, rank, shape, i));
    if (k && k->n == 1 && binaries[row].item == item_eq) {
        k->is_equality = true;
        k->left = a->items[0];
        k->right = b->items[0];
    }
    return known_finish(c, k, items);
}

const known *known_where(conversion *c) {
    const known *condition = input_known(c, 0), *a = condition ? input_known(c, 1) : NULL,
                *b = a ? input_known(c, 2) : NULL;
    int rank, all;
    int64_t shape[KNOWN_MAX_RANK], whole[KNOWN_MAX_RANK], is_true;
    tn_dim *items;
    if (!b || a->dtype != b->dtype || !known_merge_shapes(a, b, &rank, shape)) return NULL;
    known merged = {.rank = rank};
    memcpy(merged.shape, shape, sizeof shape);
    if (!known_merge_shapes(&merged, condition, &all, whole)) return NULL;
    known *k = known_new(c->im, a->dtype, all, whole, &items);
    for (int64_t i = 0; k && i < k->n; i++) {
        tn_dim which = known_broadcast_item(condition, all, whole, i), x = known_broadcast_item(a, all, whole, i),
               y = known_broadcast_item(b, all, whole, i);
        items[i] = is_number(c, which, &is_true)
                       ? (is_true ? x : y)
                       : dim_add(node_dims(c), y, dim_mul(node_dims(c), which, dim_sub(node_dims(c), x, y)));
    }
    return known_finish(c, k, items);
}

/* ---- Elementwise, one operand -------------------------------------------------------------- */

static const known *same_items(conversion *c, const known *x, tn_dtype dtype) {
    known *k = ARENA_NEW(&c->im->memory, known);
    if (!k) {
        import_no_memory(c->im);
        return NULL;
    }
    *k = *x;
    k->dtype = dtype;
    return known_finish(c, k, k->items);
}

const known *known_cast(conversion *c) {
    const known *x = input_known(c, 0);
    tn_dtype dtype = onnx_data_type_dtype((int32_t)read_int(c, "to", 0));
    if (!x || dtype == TN_DTYPE_INVALID) return NULL;
    if (dtype != TN_BOOL) return same_items(c, x, dtype);
    tn_dim *items;
    known *k = known_new(c->im, TN_BOOL, x->rank, x->shape, &items);
    for (int64_t i = 0; k && i < k->n; i++) {
        int sign;
        if (!sign_of(c, x->items[i], &sign)) return NULL;
        items[i] = dim_const(node_dims(c), sign != 0);
    }
    return k;
}

const known *known_unary(conversion *c) {
    const known *x = input_known(c, 0);
    tn_dim *items, zero = dim_const(node_dims(c), 0);
    if (!x || dtype_is_float(x->dtype)) return NULL;
    known *k = known_new(c->im, x->dtype, x->rank, x->shape, &items);
    for (int64_t i = 0; k && i < k->n; i++) {
        int sign;
        bool is_not = c->node->op_type[0] == 'N' && c->node->op_type[1] == 'o', is_neg = c->node->op_type[0] == 'N';
        if (is_not) /* of a bool */
            items[i] = dim_sub(node_dims(c), dim_const(node_dims(c), 1), x->items[i]);
        else if (is_neg)
            items[i] = dim_sub(node_dims(c), zero, x->items[i]);
        else if (is_nonnegative(c, x->items[i]))
            items[i] = x->items[i];
        else if (sign_of(c, x->items[i], &sign))
            items[i] = dim_sub(node_dims(c), zero, x->items[i]);
        else
            return NULL;
    }
    return known_finish(c, k, items);
}

/* ---- Reductions --------------------------------------------------------------------------- */

/* All items of a vector in one. */
const known *known_reduce(conversion *c) {
    const char *how = c->node->op_type + strlen("Reduce");
    const known *x = input_known(c, 0);
    int64_t axes[TN_MAX_RANK];
    tn_dim *items;
    int n;
    if (!x || x->rank != 1 || x->n == 0 || dtype_is_float(x->dtype) || read_int(c, "noop_with_empty_axes", 0) != 0 ||
        !read_axes(c, 1, 1, axes, &n))
        return NULL;
    item_fn *item = strcmp(how, "Sum") == 0    ? item_add
                    : strcmp(how, "Prod") == 0 ? item_mul
                    : strcmp(how, "Max") == 0  ? item_max
                                               : item_min;
    known *k = known_new(c->im, x->dtype, read_int(c, "keepdims", 1) != 0, (int64_t[]){1}, &items);
    if (!k) return NULL;
    items[0] = x->items[0];
    for (int64_t i = 1; i < x->n; i++) items[0] = item(c, x->dtype, items[0], x->items[i]);
    return known_finish(c, k, items);
}
