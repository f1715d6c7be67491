/* Simplify: identities, views of views, dead code.
 *
 * in:  functions of primitives
 * out: the same without nodes that do nothing or that nobody needs
 * law: every rule but that of pow keeps every bit of every result (so x + 0 stays for floats: it turns -0 to
 *      0); equal nodes merge by themselves, as the builder interns
 *
 * One rule for each op that has any, in a table; rules look at operands that are simplified
 * already, so one walk is enough.
 */
#include "compiler/passes/passes.h"
#include "runtime/fault.h"

#include <string.h>

typedef struct simplifier {
    tn_graph *g;   /* being built */
    const node *n; /* of the old function: op and attributes */
    value_id x[3]; /* its first operands in g */
} simplifier;

/* The simpler value, or VALUE_NONE. */
typedef value_id rule(simplifier *s);

/* ---- Asking ---- */

static const node *node_of(const simplifier *s, value_id v) { return graph_node_of(s->g, v); }
static dim_table *dims_of(const simplifier *s) { return s->g->module->dims; }

static bool same_type(const simplifier *s, value_id v, const tn_type *type) {
    return type_equal(graph_type(s->g, v), type);
}

static tn_type result_type(const simplifier *s, const tn_graph *from) { return *graph_type(from, s->n->first_result); }

/* The constant that v is everywhere: a scalar constant through broadcasts and reshapes. */
static bool uniform_value(const simplifier *s, value_id v, double *out) {
    const node *n = node_of(s, v);
    while (n->op == TN_OP_broadcast || n->op == TN_OP_reshape) n = node_of(s, n->operands[0]);
    if (n->op != TN_OP_constant) return false;
    const tensor_data *d = attr_find(&n->attrs, ATTR_value)->data;
    union {
        uint64_t bits;
        float f;
        double d;
        int64_t i;
    } u = {0};
    size_t bytes = tn_dtype_bits((tn_dtype)d->type.dtype) / 8;
    if (d->bytes != bytes ||
        (d->type.dtype != TN_F32 && d->type.dtype != TN_F64 && d->type.dtype != TN_I64 && d->type.dtype != TN_I32))
        return false;
    memcpy(&u, d->data, bytes);
    *out = d->type.dtype == TN_F32   ? (double)u.f
           : d->type.dtype == TN_F64 ? u.d
           : d->type.dtype == TN_I32 ? (double)(int32_t)u.i
                                     : (double)u.i;
    return true;
}

static bool is_uniform(const simplifier *s, value_id v, double wanted) {
    double value;
    return uniform_value(s, v, &value) && value == wanted;
}

static bool is_int(const simplifier *s, value_id v) {
    uint8_t dtype = graph_type(s->g, v)->dtype;
    return dtype != TN_F16 && dtype != TN_BF16 && dtype != TN_F32 && dtype != TN_F64 && dtype != TN_BOOL;
}

static value_id apply1(simplifier *s, tn_op op, value_id x, const attr *attrs, uint32_t n_attrs) {
    value_id v = VALUE_NONE;
    graph_apply(s->g, s->n->locations, op, &x, 1, attrs, n_attrs, &v, 1, NULL);
    return v;
}

static value_id apply2(simplifier *s, tn_op op, value_id x, value_id y) {
    value_id v = VALUE_NONE, operands[2] = {x, y};
    graph_apply(s->g, s->n->locations, op, operands, 2, NULL, 0, &v, 1, NULL);
    return v;
}

/* ---- Views ---- */

static value_id simplify_reshape(simplifier *s) {
    const attr *shape = attr_find(&s->n->attrs, ATTR_shape);
    tn_type type = type_make((tn_dtype)graph_type(s->g, s->x[0])->dtype, (int)shape->dims.n, shape->dims.items);
    if (same_type(s, s->x[0], &type)) return s->x[0];
    const node *inner = node_of(s, s->x[0]);
    if (inner->op != TN_OP_reshape) return VALUE_NONE;
    return same_type(s, inner->operands[0], &type) ? inner->operands[0]
                                                   : apply1(s, TN_OP_reshape, inner->operands[0], shape, 1);
}

static value_id simplify_transpose(simplifier *s) {
    const attr *perm = attr_find(&s->n->attrs, ATTR_perm);
    const node *inner = node_of(s, s->x[0]);
    const attr *before = inner->op == TN_OP_transpose ? attr_find(&inner->attrs, ATTR_perm) : NULL;
    int64_t both[TN_MAX_RANK];
    bool is_identity = true;
    for (uint32_t i = 0; i < perm->ints.n; i++) {
        both[i] = before ? before->ints.items[perm->ints.items[i]] : perm->ints.items[i];
        if (FAULT(transpose_order) && before) both[i] = perm->ints.items[before->ints.items[i]];
        is_identity &= both[i] == i;
    }
    value_id origin = before ? inner->operands[0] : s->x[0];
    if (is_identity) return origin;
    if (!before) return VALUE_NONE;
    attr merged = *perm;
    merged.ints.items = both;
    return apply1(s, TN_OP_transpose, origin, &merged, 1);
}

static value_id simplify_broadcast(simplifier *s) {
    const attr *shape = attr_find(&s->n->attrs, ATTR_shape), *axes = attr_find(&s->n->attrs, ATTR_dims);
    tn_type type = type_make((tn_dtype)graph_type(s->g, s->x[0])->dtype, (int)shape->dims.n, shape->dims.items);
    if (same_type(s, s->x[0], &type)) return s->x[0];
    const node *inner = node_of(s, s->x[0]);
    if (inner->op != TN_OP_broadcast) return VALUE_NONE;
    const attr *before = attr_find(&inner->attrs, ATTR_dims);
    int64_t both[TN_MAX_RANK];
    attr merged[2] = {*shape, {.name = ATTR_dims}};
    for (uint32_t i = 0; before && i < before->ints.n; i++) both[i] = axes->ints.items[before->ints.items[i]];
    merged[1].ints.items = both;
    merged[1].ints.n = before ? before->ints.n : 0;
    return apply1(s, TN_OP_broadcast, inner->operands[0], merged, 2);
}

static value_id simplify_slice(simplifier *s) {
    const attr *start = attr_find(&s->n->attrs, ATTR_start), *limit = attr_find(&s->n->attrs, ATTR_limit);
    const attr *stride = attr_find(&s->n->attrs, ATTR_stride);
    const tn_type *type = graph_type(s->g, s->x[0]);
    for (int i = 0; i < type->rank; i++)
        if (!dim_is_value(dims_of(s), start->dims.items[i], 0) || limit->dims.items[i] != type->dims[i] ||
            (stride && stride->ints.n && stride->ints.items[i] != 1))
            return VALUE_NONE;
    return s->x[0];
}

static value_id simplify_pad(simplifier *s) {
    const attr *low = attr_find(&s->n->attrs, ATTR_low), *high = attr_find(&s->n->attrs, ATTR_high);
    const attr *interior = attr_find(&s->n->attrs, ATTR_interior);
    for (uint32_t i = 0; i < low->dims.n; i++)
        if (!dim_is_value(dims_of(s), low->dims.items[i], 0) || !dim_is_value(dims_of(s), high->dims.items[i], 0) ||
            (interior && interior->ints.n && interior->ints.items[i] != 0))
            return VALUE_NONE;
    return s->x[0];
}

static value_id simplify_concat(simplifier *s) { return s->n->n_operands == 1 ? s->x[0] : VALUE_NONE; }

static value_id simplify_reverse(simplifier *s) {
    return attr_find(&s->n->attrs, ATTR_axes)->ints.n == 0 ? s->x[0] : VALUE_NONE;
}

/* Zeros around a convolution's input are its own padding. */
static value_id simplify_conv(simplifier *s) {
    const node *pad = node_of(s, s->x[0]);
    dim_table *t = dims_of(s);
    if (pad->op != TN_OP_pad || !is_uniform(s, pad->operands[1], 0)) return VALUE_NONE;
    const attr *interior = attr_find(&pad->attrs, ATTR_interior), *zeros = attr_find(&s->n->attrs, ATTR_input_dilation);
    const attr *pads[2] = {attr_find(&pad->attrs, ATTR_low), attr_find(&pad->attrs, ATTR_high)};
    const attr *own[2] = {attr_find(&s->n->attrs, ATTR_low), attr_find(&s->n->attrs, ATTR_high)};
    int64_t known;
    for (uint32_t i = 0; i < pads[0]->dims.n; i++) {
        if ((interior && interior->ints.n && interior->ints.items[i] != 0) || (zeros && zeros->ints.n))
            return VALUE_NONE;
        for (int side = 0; side < 2; side++)
            if (!dim_is_const(t, pads[side]->dims.items[i], &known) || known < 0 || (i < 2 && known != 0))
                return VALUE_NONE;
    }
    tn_dim sums[2][TN_MAX_RANK];
    attr attrs[OP_MAX_ATTRS];
    uint32_t n = 0, spatial = pads[0]->dims.n - 2;
    for (uint32_t i = 0; i < s->n->attrs.n; i++)
        if (s->n->attrs.items[i].name != ATTR_low && s->n->attrs.items[i].name != ATTR_high)
            attrs[n++] = s->n->attrs.items[i];
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < spatial; i++)
            sums[side][i] = dim_add(t, pads[FAULT(pad_sides) ? 1 - side : side]->dims.items[i + 2],
                                    own[side] && own[side]->dims.n ? own[side]->dims.items[i] : dim_const(t, 0));
        attrs[n] = (attr){.name = side ? ATTR_high : ATTR_low};
        attrs[n].dims.items = sums[side];
        attrs[n++].dims.n = spatial;
    }
    value_id v = VALUE_NONE, operands[2] = {pad->operands[0], s->x[1]};
    graph_apply(s->g, s->n->locations, TN_OP_conv, operands, 2, attrs, n, &v, 1, NULL);
    return v;
}

/* ---- Elementwise ---- */

static value_id simplify_convert(simplifier *s) {
    return attr_int(&s->n->attrs, ATTR_dtype, -1) == graph_type(s->g, s->x[0])->dtype ? s->x[0] : VALUE_NONE;
}

static value_id simplify_add(simplifier *s) {
    if (is_int(s, s->x[0]) && is_uniform(s, s->x[1], 0)) return s->x[0];
    return is_int(s, s->x[0]) && is_uniform(s, s->x[0], 0) ? s->x[1] : VALUE_NONE;
}

static value_id simplify_sub(simplifier *s) {
    return is_int(s, s->x[0]) && is_uniform(s, s->x[1], 0) ? s->x[0] : VALUE_NONE;
}

static value_id simplify_mul(simplifier *s) {
    if (is_uniform(s, s->x[1], 1)) return s->x[0];
    return is_uniform(s, s->x[0], 1) ? s->x[1] : VALUE_NONE;
}

static value_id simplify_div(simplifier *s) { return is_uniform(s, s->x[1], 1) ? s->x[0] : VALUE_NONE; }

/* The one rule that may change the last bits. The square is rounded once, which pow's bound does not promise; the cube
 * twice, which f32 and wider have bits for: less than two units in the last place, for a twentieth of the time. */
static value_id simplify_pow(simplifier *s) {
    if (is_uniform(s, s->x[1], 1)) return s->x[0];
    bool is_square = is_uniform(s, s->x[1], 2), is_cube = is_uniform(s, s->x[1], 3);
    unsigned bits = tn_dtype_bits((tn_dtype)graph_type(s->g, s->x[0])->dtype);
    if (!is_square && !(is_cube && bits >= 32)) return VALUE_NONE;
    value_id square = apply2(s, TN_OP_mul, s->x[0], s->x[0]);
    if (is_square || square == VALUE_NONE) return square;
    return apply2(s, TN_OP_mul, square, FAULT(pow_cube) ? square : s->x[0]);
}

static value_id undo_twice(simplifier *s) {
    const node *inner = node_of(s, s->x[0]);
    return inner->op == s->n->op ? inner->operands[0] : VALUE_NONE;
}

static value_id simplify_select(simplifier *s) { return s->x[1] == s->x[2] ? s->x[1] : VALUE_NONE; }

static value_id simplify_reduce(simplifier *s) {
    return attr_find(&s->n->attrs, ATTR_axes)->ints.n == 0 ? s->x[0] : VALUE_NONE;
}

static rule *const rules[TN_OP_COUNT] = {
    [TN_OP_reshape] = simplify_reshape,
    [TN_OP_transpose] = simplify_transpose,
    [TN_OP_broadcast] = simplify_broadcast,
    [TN_OP_slice] = simplify_slice,
    [TN_OP_pad] = simplify_pad,
    [TN_OP_concat] = simplify_concat,
    [TN_OP_reverse] = simplify_reverse,
    [TN_OP_conv] = simplify_conv,
    [TN_OP_convert] = simplify_convert,
    [TN_OP_add] = simplify_add,
    [TN_OP_sub] = simplify_sub,
    [TN_OP_mul] = simplify_mul,
    [TN_OP_div] = simplify_div,
    [TN_OP_pow] = simplify_pow,
    [TN_OP_neg] = undo_twice,
    [TN_OP_not] = undo_twice,
    [TN_OP_select] = simplify_select,
    [TN_OP_reduce] = simplify_reduce,
};

static bool simplify_node(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    (void)ctx;
    simplifier s = {.g = to, .n = n};
    for (uint32_t i = 0; i < n->n_operands && i < 3; i++) s.x[i] = map[n->operands[i]];
    value_id simpler = rules[n->op] ? rules[n->op](&s) : VALUE_NONE;
    if (simpler == VALUE_NONE) return graph_copy_node(to, from, n, map);
    /* A rule must not change what the function is: its result has the node's type. */
    tn_type type = result_type(&s, from);
    if (!same_type(&s, simpler, &type)) return graph_copy_node(to, from, n, map);
    map[n->first_result] = simpler;
    return true;
}

bool pass_simplify(tn_module *m, const pass_options *o) {
    (void)o;
    return module_rebuild(m, true, simplify_node, NULL);
}

bool pass_clean(tn_module *m, const pass_options *o) { return pass_simplify(m, o); }
