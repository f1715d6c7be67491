/* Lowering of elementwise ops, and of leaves. */
#include "frontends/onnx/export_ops.h"

static bool done(lowering *c, tn_val v) {
    c->results[0] = v;
    return true;
}

static tn_dtype dtype_of(tn_val v) { return (tn_dtype)tn_type_of(v).dtype; }
static tn_val scalar_like(tn_val v, double number) { return tn_scalar(v.graph, dtype_of(v), number); }

/* Range counts in i64 along one axis; the others repeat. */
bool lower_iota(lowering *c) {
    tn_type type = *graph_type(c->from, c->n->first_result);
    int64_t axis = attr_int(&c->n->attrs, ATTR_axis, 0), first = 0;
    if (type.rank == 1 && type.dtype == TN_I64) return false;
    tn_attr_arg count[] = {{.name = "shape", .dims = &type.dims[axis], .n = 1},
                           {.name = "axis", .i = first},
                           {.name = "dtype", .i = TN_I64},
                           {0}};
    tn_attr_arg along[] = {
        {.name = "shape", .dims = type.dims, .n = type.rank}, {.name = "dims", .ints = &axis, .n = 1}, {0}};
    tn_val v = tn_convert(tn_apply(TN_HERE, c->g, TN_OP_iota, NULL, 0, count), (tn_dtype)type.dtype);
    return done(c, type.rank == 1 ? v : tn_apply(TN_HERE, c->g, TN_OP_broadcast, &v, 1, along));
}

enum { MOST_COPIED_BYTES = 1 << 16 };

/* A small constant is written in the shape that it is wanted in. */
bool lower_reshape(lowering *c) {
    const node *n = graph_node_of(c->g, c->operands[0].id);
    const tensor_data *data = n->op == TN_OP_constant ? attr_find(&n->attrs, ATTR_value)->data : NULL;
    const tn_type *type = graph_type(c->from, c->n->first_result);
    if (!data || data->bytes > MOST_COPIED_BYTES || !type_is_static(export_dims(c->x), type)) return false;
    const tensor_data *reshaped = module_constant(c->g->module, type, data->data, false);
    attr value = {.name = ATTR_value, .data = reshaped};
    uint32_t n_results;
    c->results[0] = (tn_val){c->g, VALUE_NONE};
    if (reshaped)
        graph_apply(c->g, c->n->locations, TN_OP_constant, NULL, 0, &value, 1, &c->results[0].id, 1, &n_results);
    return true;
}

/* Of unsigned integers it wraps, which ONNX has no op for. */
bool lower_neg(lowering *c) {
    tn_val x = c->operands[0];
    return dtype_in(DTYPES_UINT, dtype_of(x)) && done(c, tn_sub(scalar_like(x, 0), x));
}

bool lower_exp2(lowering *c) { return done(c, tn_pow(scalar_like(c->operands[0], 2), c->operands[0])); }
bool lower_rsqrt(lowering *c) {
    tn_val root = tn_sqrt(c->operands[0]);
    return done(c, tn_div(scalar_like(root, 1), root));
}

/* With u = 1 + x rounded, log(u) * x / (u - 1) is log(1 + x) to a few roundings, since the error in u cancels
 * (Kahan); x itself where u is 1, log(u) where 1 is lost in u. */
bool lower_log1p(lowering *c) {
    tn_val x = c->operands[0], one = scalar_like(x, 1), u = tn_add(x, one), log_u = tn_log(u);
    tn_val v = tn_mul(log_u, tn_div(x, tn_sub(u, one)));
    return done(c, tn_select(tn_equal(u, one), x, tn_select(tn_equal(u, x), log_u, v)));
}

/* exp(x) - 1 = tanh(x / 2) * (exp(x) + 1), in which nothing cancels. */
bool lower_expm1(lowering *c) {
    tn_val x = c->operands[0];
    return done(c, tn_mul(tn_tanh(tn_mul(x, scalar_like(x, 0.5))), tn_add(tn_exp(x), scalar_like(x, 1))));
}

/* In a dtype that holds every product, where there is one: it is not rounded then, nor infinite. */
bool lower_fma(lowering *c) {
    tn_dtype own = dtype_of(c->operands[0]), wide = own == TN_F16 || own == TN_BF16 ? TN_F32 : TN_F64;
    tn_val v = tn_mul(tn_convert(c->operands[0], wide), tn_convert(c->operands[1], wide));
    return done(c, tn_convert(tn_add(v, tn_convert(c->operands[2], wide)), own));
}

/* Negative, or a zero with that sign. */
static tn_val has_sign(tn_val v) {
    tn_val zero = scalar_like(v, 0);
    return tn_or(tn_less(v, zero), tn_and(tn_equal(v, zero), tn_less(tn_div(scalar_like(v, 1), v), zero)));
}

/* The angle in the first quadrant, mirrored. Two zeros or two infinities have the ratio 0 and 1. */
bool lower_atan2(lowering *c) {
    tn_val y = c->operands[0], x = c->operands[1], ay = tn_abs(y), ax = tn_abs(x), zero = scalar_like(x, 0);
    tn_val ratio = tn_div(ay, ax);
    ratio = tn_select(tn_and(tn_is_inf(ay), tn_is_inf(ax)), scalar_like(x, 1), ratio);
    ratio = tn_select(tn_and(tn_equal(ay, zero), tn_equal(ax, zero)), zero, ratio);
    tn_val angle = tn_atan(ratio);
    angle = tn_select(has_sign(x), tn_sub(scalar_like(x, 0x1.921fb54442d18p+1), angle), angle);
    return done(c, tn_select(has_sign(y), tn_neg(angle), angle));
}

/* Signed and unsigned integers of a size are converted bit for bit. */
bool lower_bitcast(lowering *c) {
    tn_dtype from = dtype_of(c->operands[0]), to = (tn_dtype)attr_int(&c->n->attrs, ATTR_dtype, 0);
    if (from == to) return done(c, c->operands[0]);
    if (dtype_is_float(from) || dtype_is_float(to)) return false;
    return done(c, tn_convert(c->operands[0], to));
}

/* ---- Dtypes that need care ---------------------------------------------------------------------------------- */

bool lower_most(lowering *c) {
    if (dtype_of(c->operands[0]) != TN_BOOL) return false;
    return done(c,
                c->n->op == TN_OP_max ? tn_or(c->operands[0], c->operands[1]) : tn_and(c->operands[0], c->operands[1]));
}

/* Runtimes choose between signed integers of 64 bits only: to convert them changes no bits. */
bool lower_select(lowering *c) {
    tn_val condition = c->operands[0], a = c->operands[1], b = c->operands[2];
    if (dtype_of(a) == TN_BOOL) return done(c, tn_or(tn_and(condition, a), tn_and(tn_not(condition), b)));
    if (dtype_of(a) != TN_U64) return false;
    return done(c, tn_convert(tn_select(condition, tn_convert(a, TN_I64), tn_convert(b, TN_I64)), TN_U64));
}

/* ---- Bits --------------------------------------------------------------------------------------------------- */

static tn_dtype unsigned_of(tn_dtype dtype) {
    static const tn_dtype same_size[TN_DTYPE_COUNT] = {
        [TN_I8] = TN_U8, [TN_I16] = TN_U16, [TN_I32] = TN_U32, [TN_I64] = TN_U64};
    return dtype_in(DTYPES_SINT, dtype) ? same_size[dtype] : dtype;
}

/* ONNX shifts unsigned integers, runtimes those of 8, 32 and 64 bits. A negative number is shifted right as the
 * complement of its complement, so that ones come in. */
bool lower_shift(lowering *c) {
    tn_val x = c->operands[0], count = c->operands[1];
    tn_dtype own = dtype_of(x), bits = unsigned_of(own);
    bool is_signed = bits != own, is_right = c->n->op == TN_OP_shr;
    if (!is_signed && bits != TN_U16) return false;
    tn_dtype wide = bits == TN_U16 ? TN_U32 : bits;
    double width = (double)tn_dtype_bits(own);
    /* Counts that are out of range stay so: as unsigned numbers negative ones are large. */
    tn_val by = tn_convert(tn_convert(count, bits), wide);
    tn_val is_negative = is_signed ? tn_less(x, scalar_like(x, 0)) : (tn_val){NULL, VALUE_NONE};
    if (is_signed && is_right) {
        x = tn_select(is_negative, tn_not(x), x);
        by = tn_min(by, scalar_like(by, width));
    }
    tn_val from = tn_convert(tn_convert(x, bits), wide);
    tn_val v = is_right ? tn_shr(from, by) : tn_shl(from, by);
    v = tn_convert(tn_convert(v, bits), own);
    return done(c, is_signed && is_right ? tn_select(is_negative, tn_not(v), v) : v);
}

/* Sums of neighbouring groups of bits, side by side (in 64 bits). */
bool lower_popcount(lowering *c) {
    static const uint64_t masks[] = {UINT64_C(0x5555555555555555), UINT64_C(0x3333333333333333),
                                     UINT64_C(0x0f0f0f0f0f0f0f0f), UINT64_C(0x00ff00ff00ff00ff),
                                     UINT64_C(0x0000ffff0000ffff), UINT64_C(0x00000000ffffffff)};
    tn_dtype own = dtype_of(c->operands[0]);
    tn_val v = tn_convert(tn_convert(c->operands[0], unsigned_of(own)), TN_U64);
    for (int i = 0; i < 6; i++) {
        tn_val mask = tn_constant(c->g, TN_U64, TN_SCALAR, &masks[i]), by = scalar_like(v, (double)(1 << i));
        v = tn_add(tn_and(v, mask), tn_and(tn_shr(v, by), mask));
    }
    return done(c, tn_convert(v, own));
}
