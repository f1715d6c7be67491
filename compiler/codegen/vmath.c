/* Elementary functions: the table and its dispatch. Each function is in the file that
 * vmath.def names; conversions are in vmath_convert.c, integers in vmath_int.c.
 */
#include "compiler/codegen/vmath.h"

#include "compiler/codegen/vmath_build.h"

typedef val (*emitter_fn)(const vm *m, const val *args);

static const struct {
    vmath_info info;
    emitter_fn emit;
} table[VMATH_OP_COUNT] = {
#define VMATH(ENUM, name, arity, ulp32, ulp64, emitter, doc)                                                           \
    [VMATH_##ENUM] = {{#name, arity, ulp32, ulp64, doc}, vmath_##emitter},
#include "compiler/codegen/vmath.def"
#undef VMATH
};

const vmath_info *vmath_describe(vmath_op op) { return &table[op].info; }

LLVMValueRef vmath_emit(const vmath_ctx *c, vmath_op op, const LLVMValueRef *args) {
    vm m = vm_start(c, args[0]);
    return table[op].emit(&m, args);
}

LLVMValueRef vmath_mad(const vmath_ctx *c, LLVMValueRef a, LLVMValueRef b, LLVMValueRef add) {
    vm m = vm_start(c, a);
    return vmad(&m, a, b, add);
}

/* The exact sum of a pair, rounded to odd: the last bit stands for all that was cut off, so that a
 * second rounding to fewer bits is right (Boldo and Melquiond 2008). */
static val round_to_odd(const vm *m, vpair s) {
    val bits = vbits(m, s.hi);
    val even = vieq(m, viand(m, bits, vint(m, 1)), vint(m, 0));
    val inexact = vand(m, vne(m, s.lo, vnum(m, 0)), vlt(m, vabs(m, s.hi), vinf(m)));
    /* Towards s.lo: up in magnitude where the signs agree. */
    val agree = vnot(m, LLVMBuildXor(m->b, vis_negative(m, s.hi), vis_negative(m, s.lo), ""));
    val odd = vsel(m, agree, viadd(m, bits, vint(m, 1)), visub(m, bits, vint(m, 1)));
    return vfloat(m, vsel(m, vand(m, even, inexact), odd, bits));
}

static val fma_32(const vm *m, val a, val b, val add) {
    vm w = vm_f64(m);
    val product = vmul(&w, vwiden(m, a), vwiden(m, b)); /* exact */
    return vnarrow(m, round_to_odd(&w, vtwo_sum(&w, product, vwiden(m, add))));
}

/* Operands are brought near 1 first, so that no part of the product leaves the range; what then
 * remains is scaled back in one rounding. */
static val fma_64(const vm *m, val a, val b, val add) {
    vpair p = vtwo_prod(m, a, b);
    vpair u = vtwo_sum(m, p.lo, add);
    vpair v = vtwo_sum(m, p.hi, u.hi);
    val result = vadd(m, v.hi, round_to_odd(m, vtwo_sum(m, v.lo, u.lo)));
    /* Where parts overflow, or nothing but the plain sum is left, that is the answer. */
    val plain = vadd(m, vmul(m, a, b), add);
    return vsel(m, vlt(m, vabs(m, result), vinf(m)), result, plain);
}

LLVMValueRef vmath_fma(const vmath_ctx *c, LLVMValueRef a, LLVMValueRef b, LLVMValueRef add) {
    vm m = vm_start(c, a);
    if (m.target->machine.has_fma) return vmad(&m, a, b, add);
    return m.is64 ? fma_64(&m, a, b, add) : fma_32(&m, a, b, add);
}
