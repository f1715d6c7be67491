/* Emission of single operations, exact pairs and table look-ups; see vmath_build.h. */
#include "compiler/codegen/vmath_build.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { MAX_LANES = 256, MAX_TABLE = 512 };

/* ---- Types ------------------------------------------------------------------------------ */

LLVMTypeRef vvector(LLVMTypeRef element, unsigned lanes) { return lanes ? LLVMVectorType(element, lanes) : element; }

LLVMTypeRef velement_of(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
}

static unsigned lanes_of_type(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetVectorSize(type) : 0;
}

unsigned vlanes_of(val v) { return lanes_of_type(LLVMTypeOf(v)); }

static vm make(LLVMBuilderRef b, LLVMModuleRef module, const target *t, unsigned lanes, bool is64) {
    LLVMContextRef context = LLVMGetModuleContext(module);
    return (vm){
        .b = b,
        .module = module,
        .target = t,
        .context = context,
        .f = vvector(is64 ? LLVMDoubleTypeInContext(context) : LLVMFloatTypeInContext(context), lanes),
        .i = vvector(LLVMIntTypeInContext(context, is64 ? 64 : 32), lanes),
        .lanes = lanes,
        .is64 = is64,
        .mantissa = is64 ? 52 : 23,
        .bias = is64 ? 1023 : 127,
        .one_bits = is64 ? UINT64_C(1023) << 52 : UINT64_C(127) << 23,
        .min_normal = is64 ? 0x1p-1022 : 0x1p-126,
    };
}

vm vm_start(const vmath_ctx *c, val like) {
    bool is64 = LLVMGetTypeKind(velement_of(LLVMTypeOf(like))) == LLVMDoubleTypeKind;
    return make(c->builder, c->module, c->target, vlanes_of(like), is64);
}

vm vm_f64(const vm *m) { return make(m->b, m->module, m->target, m->lanes, true); }

val vwiden(const vm *m, val x) { return LLVMBuildFPExt(m->b, x, vm_type(m, LLVMDoubleTypeInContext(m->context)), ""); }

val vnarrow(const vm *m, val x) { return LLVMBuildFPTrunc(m->b, x, m->f, ""); }

LLVMTypeRef vm_type(const vm *m, LLVMTypeRef element) { return vvector(element, m->lanes); }

/* ---- Constants -------------------------------------------------------------------------- */

static val splat(val scalar, unsigned lanes) {
    if (lanes == 0) return scalar;
    val copies[MAX_LANES];
    assert(lanes <= MAX_LANES);
    for (unsigned i = 0; i < lanes; i++) copies[i] = scalar;
    return LLVMConstVector(copies, lanes);
}

val vsplat_int(LLVMTypeRef type, uint64_t bits) {
    LLVMTypeRef element = velement_of(type);
    uint64_t mask = UINT64_MAX >> (64 - LLVMGetIntTypeWidth(element));
    return splat(LLVMConstInt(element, bits & mask, 0), lanes_of_type(type));
}

val vnum(const vm *m, double value) { return splat(LLVMConstReal(velement_of(m->f), value), m->lanes); }

val vinf(const vm *m) { return vnum(m, (double)INFINITY); }

val vnan(const vm *m) { return vfloat(m, vint(m, m->is64 ? UINT64_C(0x7ff8) << 48 : UINT64_C(0x7fc0) << 16)); }

val vint(const vm *m, uint64_t bits) { return vsplat_int(m->i, bits); }

/* ---- Single operations ------------------------------------------------------------------ */

static val intrinsic(const vm *m, const char *name, val *args, unsigned count) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    val callee = LLVMGetIntrinsicDeclaration(m->module, id, (LLVMTypeRef *)&m->f, 1);
    LLVMTypeRef type = LLVMIntrinsicGetType(m->context, id, (LLVMTypeRef *)&m->f, 1);
    return LLVMBuildCall2(m->b, type, callee, args, count, "");
}

val vadd(const vm *m, val a, val b) { return LLVMBuildFAdd(m->b, a, b, ""); }

val vsub(const vm *m, val a, val b) { return LLVMBuildFSub(m->b, a, b, ""); }

val vmul(const vm *m, val a, val b) { return LLVMBuildFMul(m->b, a, b, ""); }

val vdiv(const vm *m, val a, val b) { return LLVMBuildFDiv(m->b, a, b, ""); }

val vneg(const vm *m, val a) { return LLVMBuildFNeg(m->b, a, ""); }

static bool has_fma(const vm *m) { return m->target->machine.has_fma && (!m->is64 || m->target->has_f64); }

val vmad(const vm *m, val a, val b, val c) {
    if (!has_fma(m)) return vadd(m, vmul(m, a, b), c);
    return intrinsic(m, "llvm.fma", (val[]){a, b, c}, 3);
}

val vabs(const vm *m, val a) { return intrinsic(m, "llvm.fabs", &a, 1); }

val vsqrt(const vm *m, val a) { return intrinsic(m, "llvm.sqrt", &a, 1); }

val vfence(const vm *m, val a) { return intrinsic(m, "llvm.arithmetic.fence", &a, 1); }

/* ---- Whole numbers ---- */

static bool has_rounding(const vm *m) { return m->target->has_rounding && (!m->is64 || m->target->has_f64); }

/* Where there is no instruction: from 2^mantissa on all floats are whole, and adding that to a smaller one rounds it. */
static val round_by_adding(const vm *m, val a) {
    val limit = vnum(m, m->is64 ? 0x1p52 : 0x1p23), magnitude = vabs(m, a);
    val whole = vsub(m, vfence(m, vadd(m, magnitude, limit)), limit);
    return vsel(m, vlt(m, magnitude, limit), vcopysign(m, whole, a), a);
}

val vround(const vm *m, val a) {
    return has_rounding(m) ? intrinsic(m, "llvm.roundeven", &a, 1) : round_by_adding(m, a);
}

val vfloor(const vm *m, val a) {
    if (has_rounding(m)) return intrinsic(m, "llvm.floor", &a, 1);
    val nearest = round_by_adding(m, a), below = vsub(m, nearest, vnum(m, 1));
    return vsel(m, vgt(m, nearest, a), below, nearest);
}

val vceil(const vm *m, val a) {
    return has_rounding(m) ? intrinsic(m, "llvm.ceil", &a, 1) : vneg(m, vfloor(m, vneg(m, a)));
}

val vtrunc(const vm *m, val a) {
    return has_rounding(m) ? intrinsic(m, "llvm.trunc", &a, 1) : vcopysign(m, vfloor(m, vabs(m, a)), a);
}

/* ---- The rest ---- */

val vmaximum(const vm *m, val a, val b) { return intrinsic(m, "llvm.maximum", (val[]){a, b}, 2); }

val vminimum(const vm *m, val a, val b) { return intrinsic(m, "llvm.minimum", (val[]){a, b}, 2); }

val vcopysign(const vm *m, val magnitude, val sign) {
    return intrinsic(m, "llvm.copysign", (val[]){magnitude, sign}, 2);
}

val vmin(const vm *m, val a, val b) { return vsel(m, vlt(m, a, b), a, b); }

val vmax(const vm *m, val a, val b) { return vsel(m, vgt(m, a, b), a, b); }

val vlt(const vm *m, val a, val b) { return LLVMBuildFCmp(m->b, LLVMRealOLT, a, b, ""); }

val vle(const vm *m, val a, val b) { return LLVMBuildFCmp(m->b, LLVMRealOLE, a, b, ""); }

val vgt(const vm *m, val a, val b) { return LLVMBuildFCmp(m->b, LLVMRealOGT, a, b, ""); }

val vge(const vm *m, val a, val b) { return LLVMBuildFCmp(m->b, LLVMRealOGE, a, b, ""); }

val veq(const vm *m, val a, val b) { return LLVMBuildFCmp(m->b, LLVMRealOEQ, a, b, ""); }

val vne(const vm *m, val a, val b) { return LLVMBuildFCmp(m->b, LLVMRealUNE, a, b, ""); }

val vis_nan(const vm *m, val a) { return LLVMBuildFCmp(m->b, LLVMRealUNO, a, a, ""); }

val vsel(const vm *m, val condition, val a, val b) { return LLVMBuildSelect(m->b, condition, a, b, ""); }

val vand(const vm *m, val a, val b) { return LLVMBuildAnd(m->b, a, b, ""); }

val vor(const vm *m, val a, val b) { return LLVMBuildOr(m->b, a, b, ""); }

val vnot(const vm *m, val a) { return LLVMBuildNot(m->b, a, ""); }

val vbits(const vm *m, val x) { return LLVMBuildBitCast(m->b, x, m->i, ""); }

val vfloat(const vm *m, val i) { return LLVMBuildBitCast(m->b, i, m->f, ""); }

val viadd(const vm *m, val a, val b) { return LLVMBuildAdd(m->b, a, b, ""); }

val visub(const vm *m, val a, val b) { return LLVMBuildSub(m->b, a, b, ""); }

val viand(const vm *m, val a, val b) { return LLVMBuildAnd(m->b, a, b, ""); }

val vior(const vm *m, val a, val b) { return LLVMBuildOr(m->b, a, b, ""); }

val vixor(const vm *m, val a, val b) { return LLVMBuildXor(m->b, a, b, ""); }

val vishl(const vm *m, val a, unsigned count) { return LLVMBuildShl(m->b, a, vint(m, count), ""); }

val vishr(const vm *m, val a, unsigned count) { return LLVMBuildLShr(m->b, a, vint(m, count), ""); }

val vieq(const vm *m, val a, val b) { return LLVMBuildICmp(m->b, LLVMIntEQ, a, b, ""); }

val vis_negative(const vm *m, val x) { return LLVMBuildICmp(m->b, LLVMIntSLT, vbits(m, x), vint(m, 0), ""); }

/* ---- Polynomials, scaling, tables ------------------------------------------------------- */

static val horner(const vm *m, val x, const double *c, unsigned count) {
    val r = vnum(m, c[count - 1]);
    for (unsigned i = count - 1; i-- > 0;) r = vmad(m, r, x, vnum(m, c[i]));
    return r;
}

/* Horner's rule; long ones in two pieces, whose operations don't wait for each other. (Not even and
 * odd powers: where signs alternate each of the two sums would be large.) */
val vpoly_of(const vm *m, val x, const double *c, unsigned count) {
    if (count < 9) return horner(m, x, c, count);
    unsigned cut = 4;
    val power = vmul(m, x, x);
    power = vmul(m, power, power);
    for (; cut * 2 < count - 2; cut *= 2) power = vmul(m, power, power);
    return vmad(m, horner(m, x, c + cut, count - cut), power, horner(m, x, c, cut));
}

val vpairs_of(const vm *m, val x, val square, const double *c, unsigned count) {
    val r = NULL;
    for (unsigned i = (count + 1) / 2 * 2; i > 0; i -= 2) {
        val pair = vnum(m, c[i - 2]);
        if (i <= count) pair = vmad(m, vnum(m, c[i - 1]), x, pair);
        r = r ? vmad(m, r, square, pair) : pair;
    }
    return r;
}

/* Adding 1.5 * 2^mantissa rounds to a whole number and leaves it in the low bits. */
static val whole_shift(const vm *m) { return vnum(m, m->is64 ? 0x1.8p52 : 0x1.8p23); }

vwhole vnearest(const vm *m, val x, double factor) {
    val shifted = vmad(m, x, vnum(m, factor), whole_shift(m));
    return (vwhole){vsub(m, shifted, whole_shift(m)), vbits(m, shifted)};
}

vwhole vwhole_of(const vm *m, val whole) { return (vwhole){whole, vbits(m, vadd(m, whole, whole_shift(m)))}; }

vwhole vwhole_plus(const vm *m, vwhole k, int constant) {
    return (vwhole){vadd(m, k.value, vnum(m, constant)), viadd(m, k.bits, vint(m, (uint64_t)(int64_t)constant))};
}

static val pow2_of_bits(const vm *m, val bits) {
    return vfloat(m, viadd(m, vishl(m, bits, m->mantissa), vint(m, m->one_bits)));
}

val vpow2(const vm *m, vwhole k) { return pow2_of_bits(m, k.bits); }

/* 2^k as a product, so that it may itself be out of range. Halving the bits halves k towards
 * -inf: the bits above are positive and even. */
typedef struct factors {
    val first, second;
} factors;

static factors pow2_factors(const vm *m, vwhole k) {
    val half = vishr(m, k.bits, 1);
    return (factors){pow2_of_bits(m, half), pow2_of_bits(m, visub(m, k.bits, half))};
}

/* AVX-512 scales in one operation, with the same bits: it rounds once, too. */
static const char *scale_intrinsic(const vm *m) {
    static const char *const names[2][3] = {
        {"llvm.x86.avx512.mask.scalef.ps.128", "llvm.x86.avx512.mask.scalef.ps.256",
         "llvm.x86.avx512.mask.scalef.ps.512"},
        {"llvm.x86.avx512.mask.scalef.pd.128", "llvm.x86.avx512.mask.scalef.pd.256",
         "llvm.x86.avx512.mask.scalef.pd.512"},
    };
    if (!m->target->is_x86 || m->target->machine.vector_bytes < 64) return NULL;
    for (unsigned i = 0; i < 3; i++)
        if (m->lanes * (m->is64 ? 8 : 4) == 16u << i) return names[m->is64][i];
    return NULL;
}

bool vscales_at_once(const vm *m) { return scale_intrinsic(m) != NULL; }

static val scale_at_once(const vm *m, val x, val k) {
    enum { CURRENT_ROUNDING = 4 };
    const char *name = scale_intrinsic(m);
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMTypeRef i32 = LLVMInt32TypeInContext(m->context);
    val all = LLVMConstAllOnes(LLVMIntTypeInContext(m->context, m->lanes > 8 ? m->lanes : 8)),
        args[] = {x, k, x, all, LLVMConstInt(i32, CURRENT_ROUNDING, 0)};
    bool is_widest = m->lanes * (m->is64 ? 8 : 4) == 64;
    val callee = LLVMGetIntrinsicDeclaration(m->module, id, NULL, 0);
    return LLVMBuildCall2(m->b, LLVMIntrinsicGetType(m->context, id, NULL, 0), callee, args, is_widest ? 5 : 4, "");
}

/* Only the second step rounds. */
val vscale(const vm *m, val x, vwhole k) {
    if (vscales_at_once(m)) return scale_at_once(m, x, k.value);
    factors f = pow2_factors(m, k);
    return vmul(m, vmul(m, x, f.first), f.second);
}

/* The addition of 1 is part of the first step. */
val vscale_1p(const vm *m, val e, vwhole k) {
    if (vscales_at_once(m)) return scale_at_once(m, vadd(m, e, vnum(m, 1)), k.value);
    factors f = pow2_factors(m, k);
    return vmul(m, vmad(m, e, f.first, f.first), f.second);
}

val vlookup(const vm *m, const char *name, const double *table, unsigned count, val index) {
    LLVMTypeRef f64 = LLVMDoubleTypeInContext(m->context);
    LLVMTypeRef i32 = LLVMInt32TypeInContext(m->context);
    val global = LLVMGetNamedGlobal(m->module, name);
    if (!global) {
        val items[MAX_TABLE];
        assert(count <= MAX_TABLE);
        for (unsigned i = 0; i < count; i++) items[i] = LLVMConstReal(f64, table[i]);
        LLVMTypeRef type = LLVMArrayType2(f64, count);
        global = LLVMAddGlobal(m->module, type, name);
        LLVMSetInitializer(global, LLVMConstArray2(f64, items, count));
        LLVMSetGlobalConstant(global, 1);
        LLVMSetLinkage(global, LLVMPrivateLinkage);
    }
    val result = m->lanes ? LLVMGetPoison(vm_type(m, f64)) : NULL;
    for (unsigned i = 0; i < (m->lanes ? m->lanes : 1); i++) {
        val lane = LLVMConstInt(i32, i, 0);
        val at = m->lanes ? LLVMBuildExtractElement(m->b, index, lane, "") : index;
        val element = LLVMBuildLoad2(m->b, f64, LLVMBuildInBoundsGEP2(m->b, f64, global, &at, 1, ""), "");
        result = m->lanes ? LLVMBuildInsertElement(m->b, result, element, lane, "") : element;
    }
    return result;
}

/* ---- Pairs ------------------------------------------------------------------------------ */

vpair vtwo_sum(const vm *m, val a, val b) {
    val s = vadd(m, a, b);
    val bb = vsub(m, s, a);
    return (vpair){s, vadd(m, vsub(m, a, vsub(m, s, bb)), vsub(m, b, bb))};
}

vpair vfast_two_sum(const vm *m, val a, val b) {
    val s = vadd(m, a, b);
    return (vpair){s, vsub(m, b, vsub(m, s, a))};
}

/* x rounded to half its bits; what remains fits in the other half (Veltkamp). */
static val upper_half(const vm *m, val x) {
    val c = vmul(m, x, vnum(m, m->is64 ? 0x1p27 + 1 : 0x1p12 + 1));
    return vsub(m, c, vsub(m, c, x));
}

vpair vtwo_prod(const vm *m, val a, val b) {
    val p = vmul(m, a, b);
    if (has_fma(m)) return (vpair){p, vmad(m, a, b, vneg(m, p))};
    val ah = upper_half(m, a), bh = upper_half(m, b);
    val al = vsub(m, a, ah), bl = vsub(m, b, bh);
    val e = vsub(m, vmul(m, ah, bh), p);
    e = vadd(m, e, vmul(m, ah, bl));
    e = vadd(m, e, vmul(m, al, bh));
    return (vpair){p, vadd(m, e, vmul(m, al, bl))};
}

vpair vpair_mul(const vm *m, vpair a, vpair b) {
    vpair p = vtwo_prod(m, a.hi, b.hi);
    val cross = vmad(m, a.hi, b.lo, vmul(m, a.lo, b.hi));
    return vfast_two_sum(m, p.hi, vadd(m, p.lo, cross));
}

vpair vpair_add(const vm *m, vpair a, vpair b) {
    vpair s = vtwo_sum(m, a.hi, b.hi);
    return vfast_two_sum(m, s.hi, vadd(m, s.lo, vadd(m, a.lo, b.lo)));
}

vpair vpair_num(const vm *m, const double parts[2]) { return (vpair){vnum(m, parts[0]), vnum(m, parts[1])}; }

vpair vpair_div(const vm *m, vpair a, vpair b) {
    val q = vdiv(m, a.hi, b.hi);
    vpair back = vtwo_prod(m, q, b.hi);
    val rest = vsub(m, vsub(m, a.hi, back.hi), back.lo);
    rest = vsub(m, vadd(m, rest, a.lo), vmul(m, q, b.lo));
    return vfast_two_sum(m, q, vdiv(m, rest, b.hi));
}

val vin_f64(const vm *m, val (*emitter)(const vm *, const val *), const val *a, unsigned arity) {
    vm wide = vm_f64(m);
    val args[4];
    for (unsigned i = 0; i < arity; i++) args[i] = vwiden(m, a[i]);
    return vnarrow(m, emitter(&wide, args));
}
