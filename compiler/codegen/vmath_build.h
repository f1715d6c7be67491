/* The little language that the vmath files are written in.
 *
 * A `vm` is one emission: a builder and a float type, scalar or vector, f32 or f64. Each
 * function below emits one operation on values of that type (or of the integer type of the
 * same width, whose functions start with i) and is named after it, with a v in front.
 *
 * law: an operation here is one IEEE operation per lane, never reordered or contracted; where
 *      precision matters without FMA hardware, a pair (hi, lo) with |lo| <= ulp(hi) / 2 carries
 *      twice the bits (Dekker 1971; Knuth, TAOCP 2, 4.2.2)
 */
#ifndef TN_COMPILER_CODEGEN_VMATH_BUILD_H
#define TN_COMPILER_CODEGEN_VMATH_BUILD_H

#include <stdint.h>

#include "compiler/codegen/vmath.h"

typedef LLVMValueRef val;

typedef struct vm {
    LLVMBuilderRef b;
    LLVMModuleRef module;
    const target *target;
    LLVMContextRef context;
    LLVMTypeRef f;     /* float type */
    LLVMTypeRef i;     /* integer type of the same width */
    unsigned lanes;    /* 0: scalar */
    bool is64;         /* f64, else f32 */
    unsigned mantissa; /* stored bits of the mantissa: 52, 23 */
    int bias;          /* of the exponent: 1023, 127 */
    uint64_t one_bits; /* 1.0 */
    double min_normal;
} vm;

typedef struct vpair {
    val hi, lo;
} vpair;

/* An emission for the type of `like` (float or double, scalar or vector). */
vm vm_start(const vmath_ctx *c, val like);
/* The f64 emission with the lanes of `m`; values cross with vwiden and vnarrow. */
vm vm_f64(const vm *m);
val vwiden(const vm *m, val x);  /* f32 of m to f64 */
val vnarrow(const vm *m, val x); /* f64 to f32 of m, rounded to nearest even */

/* Type of `element` with the lanes of m. */
LLVMTypeRef vm_type(const vm *m, LLVMTypeRef element);

/* For values of any type: lanes (0: scalar), the type of one lane, that type with other lanes, an
 * integer type's constant in every lane. */
unsigned vlanes_of(val v);
LLVMTypeRef velement_of(LLVMTypeRef type);
LLVMTypeRef vvector(LLVMTypeRef element, unsigned lanes);
val vsplat_int(LLVMTypeRef type, uint64_t bits);

/* Constants in every lane. */
val vnum(const vm *m, double value);
val vinf(const vm *m);
val vnan(const vm *m);
val vint(const vm *m, uint64_t bits);

/* Floats. */
val vadd(const vm *m, val a, val b);
val vsub(const vm *m, val a, val b);
val vmul(const vm *m, val a, val b);
val vdiv(const vm *m, val a, val b);
val vneg(const vm *m, val a);
val vmad(const vm *m, val a, val b, val c); /* a * b + c, fused where the target can */
val vabs(const vm *m, val a);
val vsqrt(const vm *m, val a);
val vfence(const vm *m, val a); /* a, of which LLVM takes nothing for granted */
val vround(const vm *m, val a); /* halves to even */
val vfloor(const vm *m, val a);
val vceil(const vm *m, val a);
val vtrunc(const vm *m, val a);
val vmaximum(const vm *m, val a, val b); /* NaN where either is; -0 < 0 */
val vminimum(const vm *m, val a, val b);
val vcopysign(const vm *m, val magnitude, val sign);
val vmin(const vm *m, val a, val b); /* b where either is NaN */
val vmax(const vm *m, val a, val b); /* b where either is NaN */

/* Comparisons (false where either is NaN; vne and vis_nan true) give i1 lanes. */
val vlt(const vm *m, val a, val b);
val vle(const vm *m, val a, val b);
val vgt(const vm *m, val a, val b);
val vge(const vm *m, val a, val b);
val veq(const vm *m, val a, val b);
val vne(const vm *m, val a, val b);
val vis_nan(const vm *m, val a);
val vsel(const vm *m, val condition, val a, val b);
val vand(const vm *m, val a, val b); /* of i1 lanes */
val vor(const vm *m, val a, val b);
val vnot(const vm *m, val a);

/* Integers of the float's width. */
val vbits(const vm *m, val x);  /* float to its bits */
val vfloat(const vm *m, val i); /* bits to float */
val viadd(const vm *m, val a, val b);
val visub(const vm *m, val a, val b);
val viand(const vm *m, val a, val b);
val vior(const vm *m, val a, val b);
val vixor(const vm *m, val a, val b);
val vishl(const vm *m, val a, unsigned count);
val vishr(const vm *m, val a, unsigned count); /* zeros come in */
val vieq(const vm *m, val a, val b);
val vis_negative(const vm *m, val x); /* sign bit set, also of -0 */

/* c[0] + c[1] x + ... + c[count - 1] x^(count - 1). */
val vpoly_of(const vm *m, val x, const double *c, unsigned count);
#define vpoly(m, x, name)                                                                                              \
    ((m)->is64 ? vpoly_of((m), (x), name##_64, sizeof name##_64 / sizeof name##_64[0])                                 \
               : vpoly_of((m), (x), name##_32, sizeof name##_32 / sizeof name##_32[0]))
#define vpoly64(m, x, name) vpoly_of((m), (x), name##_64, sizeof name##_64 / sizeof name##_64[0])
#define vpoly32(m, x, name) vpoly_of((m), (x), name##_32, sizeof name##_32 / sizeof name##_32[0])
/* The same by Horner's rule for x^2, which the caller has, on pairs of terms: half as long a chain. */
val vpairs_of(const vm *m, val x, val square, const double *c, unsigned count);
#define vpairs32(m, x, square, name) vpairs_of((m), (x), (square), name##_32, sizeof name##_32 / sizeof name##_32[0])

/* A whole number that is small beside 2^mantissa, both as a float and in the low bits of an
 * integer (whose upper bits are those of 1.5 2^mantissa). */
typedef struct vwhole {
    val value, bits;
} vwhole;
vwhole vnearest(const vm *m, val x, double factor); /* whole number nearest to x * factor */
vwhole vwhole_of(const vm *m, val whole);
vwhole vwhole_plus(const vm *m, vwhole k, int constant);

/* 2^k for normal 2^k; x 2^k, rounded once, for |k| < 2.9 times the bias; the same of 1 + e rounded. */
val vpow2(const vm *m, vwhole k);
val vscale(const vm *m, val x, vwhole k);
val vscale_1p(const vm *m, val e, vwhole k);
/* Whether scaling is one instruction, which results that underflow do not slow down. */
bool vscales_at_once(const vm *m);

/* Element [index] of a table, lane by lane; indices are the low 32 bits of the integer lanes and
 * must be in range. */
val vlookup(const vm *m, const char *name, const double *table, unsigned count, val index);

/* Pairs. */
vpair vtwo_sum(const vm *m, val a, val b);      /* a + b exactly */
vpair vfast_two_sum(const vm *m, val a, val b); /* the same, where |a| >= |b| or a = 0 */
vpair vtwo_prod(const vm *m, val a, val b);     /* a * b exactly, barring overflow and underflow */
vpair vpair_mul(const vm *m, vpair a, vpair b);
vpair vpair_add(const vm *m, vpair a, vpair b); /* |a| >= |b| */
vpair vpair_num(const vm *m, const double parts[2]);
vpair vpair_div(const vm *m, vpair a, vpair b);

/* What emitters share across files. `a` are the arguments of m's type. */
#define VMATH(ENUM, name, arity, ulp32, ulp64, emitter, doc) val vmath_##emitter(const vm *m, const val *a);
#include "compiler/codegen/vmath.def"
#undef VMATH

/* A normal, positive x as 2^exponent * mantissa, mantissa in [sqrt(1/2), sqrt(2)). */
typedef struct vparts {
    val exponent, mantissa; /* both floats */
} vparts;
vparts vsplit(const vm *m, val x);

/* log(u + c) + e log(2) for a normal, positive u and |c| at most about ulp(u); c and e may be
 * NULL for 0. */
val vlog_core(const vm *m, val u, val c, val e);

/* e^x = power (1 + rest) for f32 and -24 <= x <= 0; no error that matters beside 1 - e^x. */
typedef struct vdecay {
    val power, rest;
} vdecay;
vdecay vdecay_f32(const vm *m, val x);

/* The emitter applied in f64 to an f32's value, then rounded: error just above half an ulp. */
val vin_f64(const vm *m, val (*emitter)(const vm *, const val *), const val *a, unsigned arity);

#endif
