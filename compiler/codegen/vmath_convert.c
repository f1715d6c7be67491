/* Between dtypes, and between memory and registers.
 *
 * law: each conversion rounds once, to nearest even; float to integer saturates, NaN gives 0;
 *      half formats are integer arithmetic where the machine has no instruction, so nothing
 *      becomes a library call
 */
#include "compiler/codegen/vmath_build.h"

typedef enum kind { KIND_BOOL, KIND_SINT, KIND_UINT, KIND_FLOAT } kind;

static const struct {
    kind kind;
    unsigned bits;
} dtypes[TN_DTYPE_COUNT] = {
#define DTYPE(ENUM, name, bits, kind, storage) [TN_##ENUM] = {KIND_##kind, bits},
#include "runtime/dtypes.def"
#undef DTYPE
};

/* ---- Types ------------------------------------------------------------------------------ */

static LLVMTypeRef float_type(LLVMContextRef context, unsigned bits) {
    return bits == 64 ? LLVMDoubleTypeInContext(context) : LLVMFloatTypeInContext(context);
}

LLVMTypeRef vmath_register_type(LLVMContextRef context, tn_dtype dtype, unsigned lanes) {
    if (dtypes[dtype].kind == KIND_FLOAT) return vvector(float_type(context, dtypes[dtype].bits), lanes);
    unsigned bits = dtypes[dtype].kind == KIND_BOOL ? 1 : dtypes[dtype].bits;
    return vvector(LLVMIntTypeInContext(context, bits), lanes);
}

LLVMTypeRef vmath_memory_type(LLVMContextRef context, tn_dtype dtype, unsigned lanes) {
    bool is_wide_float = dtypes[dtype].kind == KIND_FLOAT && dtypes[dtype].bits >= 32;
    if (is_wide_float) return vmath_register_type(context, dtype, lanes);
    return vvector(LLVMIntTypeInContext(context, dtypes[dtype].bits), lanes);
}

static LLVMTypeRef int_like(const vmath_ctx *c, unsigned bits, val like) {
    return vvector(LLVMIntTypeInContext(LLVMGetModuleContext(c->module), bits), vlanes_of(like));
}

static LLVMTypeRef float_like(const vmath_ctx *c, unsigned bits, val like) {
    return vvector(float_type(LLVMGetModuleContext(c->module), bits), vlanes_of(like));
}

/* The emission of f32 or f64 with the lanes of v. */
static vm emission(const vmath_ctx *c, unsigned bits, val v) {
    return vm_start(c, LLVMConstNull(float_like(c, bits, v)));
}

/* ---- Half formats ----------------------------------------------------------------------- */

typedef val (*half_fn)(const vm *m, val bits);

/* 32-bit lanes with the half in the low bits, to f32 and back. */

/* The exponent is moved from bias 15 to 127; a denormal's missing leading 1 is added and then
 * subtracted as a float. */
static val f16_to_f32(const vm *m, val h) {
    val magnitude = vishl(m, viand(m, h, vint(m, 0x7fff)), 13);
    val sign = vishl(m, viand(m, h, vint(m, 0x8000)), 16);
    val exponent = viand(m, magnitude, vint(m, 0x1fu << 23));
    val rebias = vint(m, (127 - 15) << 23);
    val normal = viadd(m, magnitude, rebias);
    val special = viadd(m, normal, rebias); /* 31 becomes 255 */
    val denormal = vbits(m, vsub(m, vfloat(m, viadd(m, normal, vint(m, 1 << 23))), vnum(m, 0x1p-14)));
    val result = vsel(m, vieq(m, exponent, vint(m, 0x1fu << 23)), special, normal);
    result = vsel(m, vieq(m, exponent, vint(m, 0)), denormal, result);
    return vfloat(m, vior(m, result, sign));
}

static val unsigned_less(const vm *m, val a, val b) { return LLVMBuildICmp(m->b, LLVMIntULT, a, b, ""); }

/* Round the bits above position `cut` to nearest even: the carry runs into the exponent as it
 * should. */
static val round_bits(const vm *m, val bits, unsigned cut) {
    val odd = viand(m, vishr(m, bits, cut), vint(m, 1));
    return viadd(m, bits, viadd(m, odd, vint(m, (UINT64_C(1) << (cut - 1)) - 1)));
}

static val f32_to_f16(const vm *m, val x) {
    val bits = vbits(m, x);
    val magnitude = viand(m, bits, vint(m, 0x7fffffff));
    val sign = vishr(m, viand(m, bits, vint(m, 0x80000000)), 16);
    val normal = vishr(m, visub(m, round_bits(m, magnitude, 13), vint(m, (127 - 15) << 23)), 13);
    /* Below 2^-14 adding 1/2 leaves the rounded denormal in the low bits. */
    val half = vnum(m, 0.5);
    val denormal = visub(m, vbits(m, vadd(m, vfloat(m, magnitude), half)), vbits(m, half));
    val result = vsel(m, unsigned_less(m, magnitude, vint(m, 113u << 23)), denormal, normal);
    result = vsel(m, unsigned_less(m, magnitude, vint(m, 143u << 23)), result, vint(m, 0x7c00));
    result = vsel(m, unsigned_less(m, vint(m, 0x7f800000), magnitude), vint(m, 0x7e00), result);
    return vior(m, result, sign);
}

static val bf16_to_f32(const vm *m, val h) { return vfloat(m, vishl(m, h, 16)); }

static val f32_to_bf16(const vm *m, val x) {
    val bits = vbits(m, x);
    val quiet = vior(m, vishr(m, bits, 16), vint(m, 0x40));
    return vsel(m, vis_nan(m, x), quiet, vishr(m, round_bits(m, bits, 16), 16));
}

static bool has_instruction(const vmath_ctx *c, tn_dtype dtype) { return dtype == TN_F16 && c->target->has_f16; }

static bool is_half(tn_dtype dtype) { return dtype == TN_F16 || dtype == TN_BF16; }

LLVMValueRef vmath_unpack(const vmath_ctx *c, tn_dtype dtype, LLVMValueRef memory) {
    if (dtype == TN_BOOL) return LLVMBuildICmp(c->builder, LLVMIntNE, memory, LLVMConstNull(LLVMTypeOf(memory)), "");
    if (!is_half(dtype)) return memory;
    vm m = emission(c, 32, memory);
    if (has_instruction(c, dtype)) {
        LLVMTypeRef half = vm_type(&m, LLVMHalfTypeInContext(m.context));
        return LLVMBuildFPExt(m.b, LLVMBuildBitCast(m.b, memory, half, ""), m.f, "");
    }
    half_fn widen = dtype == TN_F16 ? f16_to_f32 : bf16_to_f32;
    return widen(&m, LLVMBuildZExt(m.b, memory, m.i, ""));
}

LLVMValueRef vmath_pack(const vmath_ctx *c, tn_dtype dtype, LLVMValueRef reg) {
    if (dtype == TN_BOOL) return LLVMBuildZExt(c->builder, reg, int_like(c, 8, reg), "");
    if (!is_half(dtype)) return reg;
    vm m = emission(c, 32, reg);
    if (has_instruction(c, dtype)) {
        LLVMTypeRef half = vm_type(&m, LLVMHalfTypeInContext(m.context));
        /* Without the fence LLVM would move a copysign behind the rounding and round its f64 sign by a library call. */
        return LLVMBuildBitCast(m.b, LLVMBuildFPTrunc(m.b, vfence(&m, reg), half, ""), int_like(c, 16, reg), "");
    }
    half_fn narrow = dtype == TN_F16 ? f32_to_f16 : f32_to_bf16;
    return LLVMBuildTrunc(m.b, narrow(&m, reg), int_like(c, 16, reg), "");
}

/* ---- Float to float --------------------------------------------------------------------- */

/* f64 to f32 rounded to odd: cut off, with the last bit set if anything was lost. A second
 * rounding to a half format is then the only one that counts. */
static val narrow_to_odd(const vmath_ctx *c, val x) {
    const vm m = emission(c, 32, x), w = vm_f64(&m);
    val nearest = vnarrow(&m, x);
    val back = vwiden(&m, nearest);
    val bits = vbits(&m, nearest);
    val went_up = vgt(&w, vabs(&w, back), vabs(&w, x));
    val cut = vsel(&m, went_up, visub(&m, bits, vint(&m, 1)), bits);
    val inexact = vand(&m, vne(&w, back, x), vnot(&m, vis_nan(&w, x)));
    return vfloat(&m, vsel(&m, inexact, vior(&m, cut, vint(&m, 1)), bits));
}

/* An f64 or f32 register to any float dtype's register. */
static val from_float(const vmath_ctx *c, val x, bool is64, tn_dtype to) {
    if (to == TN_F64) return is64 ? x : LLVMBuildFPExt(c->builder, x, float_like(c, 64, x), "");
    if (to == TN_F32) return is64 ? LLVMBuildFPTrunc(c->builder, x, float_like(c, 32, x), "") : x;
    return vmath_unpack(c, to, vmath_pack(c, to, is64 ? narrow_to_odd(c, x) : x));
}

/* ---- Integer to float ------------------------------------------------------------------- */

/* Bits of a 64-bit integer that f64 cannot hold are gathered into the last that it can, where
 * they only say "inexact": enough for a second rounding to fewer bits. */
static val sticky_for_f64(const vmath_ctx *c, bool is_signed, val x) {
    const vm m = emission(c, 64, x);
    val low_mask = vint(&m, 0x7ff);
    val sticky = viadd(&m, viand(&m, x, low_mask), low_mask);
    val rounded = viand(&m, vior(&m, x, sticky), vint(&m, ~UINT64_C(0x7ff)));
    /* Small values are exact as they are. */
    val magnitude = is_signed ? vixor(&m, x, LLVMBuildAShr(m.b, x, vint(&m, 63), "")) : x;
    return vsel(&m, LLVMBuildICmp(m.b, LLVMIntULT, magnitude, vint(&m, UINT64_C(1) << 53), ""), x, rounded);
}

/* Halves of 64-bit integers, where f64 is the widest that a machine computes in. */
static bool by_halves(const vmath_ctx *c, unsigned bits) {
    return bits == 64 && !c->target->has_i64 && c->target->has_f64;
}

/* One that f64 holds, or one rounding to it. */
static val halves_to_f64(const vmath_ctx *c, bool is_signed, val x) {
    const vm m = emission(c, 64, x);
    LLVMTypeRef half = int_like(c, 32, x);
    val high = LLVMBuildTrunc(m.b, vishr(&m, x, 32), half, ""), low = LLVMBuildTrunc(m.b, x, half, "");
    val f = is_signed ? LLVMBuildSIToFP(m.b, high, m.f, "") : LLVMBuildUIToFP(m.b, high, m.f, "");
    return vadd(&m, vmul(&m, f, vnum(&m, 0x1p32)), LLVMBuildUIToFP(m.b, low, m.f, ""));
}

static val int_to_float(const vmath_ctx *c, val x, tn_dtype from, tn_dtype to) {
    bool is_signed = dtypes[from].kind == KIND_SINT;
    unsigned bits = dtypes[from].bits;
    /* Directly to f32 and f64; to half formats through one that holds the integer exactly. */
    bool is64 = to == TN_F64 || (is_half(to) && bits > 16);
    if (by_halves(c, bits)) {
        if (to != TN_F64) x = sticky_for_f64(c, is_signed, x);
        return from_float(c, halves_to_f64(c, is_signed, x), true, to);
    }
    if (is_half(to) && bits == 64) x = sticky_for_f64(c, is_signed, x);
    LLVMTypeRef type = float_like(c, is64 ? 64 : 32, x);
    val f = is_signed ? LLVMBuildSIToFP(c->builder, x, type, "") : LLVMBuildUIToFP(c->builder, x, type, "");
    return is_half(to) ? from_float(c, f, is64, to) : f;
}

/* ---- Float to integer ------------------------------------------------------------------- */

/* A float in the range of the integers, to i64. */
static val float_to_halves(const vmath_ctx *c, val x, bool is_signed) {
    const vm from = vm_start(c, x), m = vm_f64(&from);
    LLVMTypeRef half = int_like(c, 32, x);
    val whole = vtrunc(&m, from.is64 ? x : vwiden(&from, x)), high = vfloor(&m, vmul(&m, whole, vnum(&m, 0x1p-32)));
    val low = LLVMBuildFPToUI(m.b, vsub(&m, whole, vmul(&m, high, vnum(&m, 0x1p32))), half, "");
    high = is_signed ? LLVMBuildFPToSI(m.b, high, half, "") : LLVMBuildFPToUI(m.b, high, half, "");
    return vior(&m, vishl(&m, LLVMBuildZExt(m.b, high, m.i, ""), 32), LLVMBuildZExt(m.b, low, m.i, ""));
}

/* Clamped first: LLVM's own conversion says nothing of values out of range. */
static val float_to_int(const vmath_ctx *c, val x, bool is_signed, unsigned bits) {
    vm m = vm_start(c, x);
    double top = is_signed ? 0x1p-1 : 1; /* 2^bits times this is one too many */
    for (unsigned i = 0; i < bits; i++) top *= 2;
    double bottom = is_signed ? -top : 0;
    unsigned precision = m.mantissa + 1, value_bits = is_signed ? bits - 1 : bits;
    double unit = 1; /* of the largest float below `top` */
    for (unsigned i = precision; i < value_bits; i++) unit *= 2;
    val zero = vnum(&m, 0);
    val known = vsel(&m, vis_nan(&m, x), zero, x);
    val clamped = vmin(&m, vmax(&m, known, vnum(&m, bottom)), vnum(&m, top - unit));
    /* Narrow integers go through i32: every machine converts to that. */
    bool is_narrow = bits < 32;
    LLVMTypeRef type = int_like(c, is_narrow ? 32 : bits, x);
    val result = by_halves(c, bits)       ? float_to_halves(c, clamped, is_signed)
                 : is_signed || is_narrow ? LLVMBuildFPToSI(m.b, clamped, type, "")
                                          : LLVMBuildFPToUI(m.b, clamped, type, "");
    if (is_narrow) return LLVMBuildTrunc(m.b, result, int_like(c, bits, x), "");
    if (unit == 1) return result;
    val most = vsplat_int(type, UINT64_MAX >> (64 - value_bits));
    return vsel(&m, vge(&m, known, vnum(&m, top)), most, result);
}

/* ---- The whole table -------------------------------------------------------------------- */

static val to_bool(const vmath_ctx *c, val x, kind from) {
    val zero = LLVMConstNull(LLVMTypeOf(x));
    if (from == KIND_FLOAT) return LLVMBuildFCmp(c->builder, LLVMRealUNE, x, zero, "");
    return LLVMBuildICmp(c->builder, LLVMIntNE, x, zero, "");
}

static val int_to_int(const vmath_ctx *c, val x, tn_dtype from, unsigned bits) {
    LLVMTypeRef type = int_like(c, bits, x);
    if (dtypes[from].bits > bits && dtypes[from].kind != KIND_BOOL) return LLVMBuildTrunc(c->builder, x, type, "");
    if (dtypes[from].bits == bits && dtypes[from].kind != KIND_BOOL) return x;
    if (dtypes[from].kind == KIND_SINT) return LLVMBuildSExt(c->builder, x, type, "");
    return LLVMBuildZExt(c->builder, x, type, "");
}

LLVMValueRef vmath_convert(const vmath_ctx *c, LLVMValueRef value, tn_dtype from, tn_dtype to) {
    kind source = dtypes[from].kind, result = dtypes[to].kind;
    if (from == to) return value;
    if (result == KIND_BOOL) return to_bool(c, value, source);
    if (source == KIND_BOOL && result == KIND_FLOAT)
        return LLVMBuildUIToFP(c->builder, value,
                               vmath_register_type(LLVMGetModuleContext(c->module), to, vlanes_of(value)), "");
    if (source == KIND_FLOAT && result == KIND_FLOAT) return from_float(c, value, from == TN_F64, to);
    if (source == KIND_FLOAT) return float_to_int(c, value, result == KIND_SINT, dtypes[to].bits);
    if (result == KIND_FLOAT) return int_to_float(c, value, from, to);
    return int_to_int(c, value, from, dtypes[to].bits);
}
