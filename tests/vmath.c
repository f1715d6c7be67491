/* Conversions between all dtypes and total integer arithmetic, as the code generator emits them,
 * for every feature level that this machine runs, against plain C on exact values.
 *
 * Every 8- and 16-bit value is tried as the source of a conversion, every pair of 8-bit values as
 * operands; wider ones are sampled. Vectors and scalars must agree bit for bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/jit.h"
#include "compiler/codegen/object.h"
#include "compiler/codegen/vmath.h"
#include "tests/lib/levels.h"

typedef long double wide; /* holds every value of every dtype */

typedef enum kind { KIND_BOOL, KIND_SINT, KIND_UINT, KIND_FLOAT } kind;

static const struct {
    const char *name;
    unsigned bits;
    kind kind;
} dtypes[TN_DTYPE_COUNT] = {
#define DTYPE(ENUM, name, bits, kind, storage) {#name, bits, KIND_##kind},
#include "runtime/dtypes.def"
#undef DTYPE
};

/* Bits after the leading 1, exponent of the lowest bit, exponent of overflow. */
static const struct {
    int precision, lowest, overflow;
} formats[TN_DTYPE_COUNT] = {
    [TN_F16] = {11, -24, 16}, [TN_BF16] = {8, -133, 128}, [TN_F32] = {24, -149, 128}, [TN_F64] = {53, -1074, 1024}};

/* ---- Exact values ----------------------------------------------------------------------- */

static wide decode(tn_dtype d, uint64_t bits) {
    unsigned n = dtypes[d].bits;
    if (dtypes[d].kind == KIND_BOOL) return bits != 0;
    if (dtypes[d].kind == KIND_UINT) return (wide)bits;
    if (dtypes[d].kind == KIND_SINT) return (wide)((int64_t)(bits << (64 - n)) >> (64 - n));
    int mantissa_bits = formats[d].precision - 1;
    uint64_t mantissa = bits & ((UINT64_C(1) << mantissa_bits) - 1);
    int exponent_bits = (int)n - 1 - mantissa_bits;
    int exponent = (int)(bits >> mantissa_bits & ((UINT64_C(1) << exponent_bits) - 1));
    wide magnitude;
    if (exponent == (1 << exponent_bits) - 1)
        magnitude = mantissa ? (wide)NAN : (wide)INFINITY;
    else if (exponent == 0)
        magnitude = ldexpl((wide)mantissa, formats[d].lowest);
    else
        magnitude = ldexpl((wide)(mantissa | UINT64_C(1) << mantissa_bits), formats[d].lowest + exponent - 1);
    return bits >> (n - 1) & 1 ? -magnitude : magnitude;
}

static wide round_to_format(tn_dtype d, wide v) {
    if (!isfinite(v) || v == 0) return v;
    int exponent;
    frexpl(v, &exponent);
    int unit = exponent - formats[d].precision;
    if (unit < formats[d].lowest) unit = formats[d].lowest;
    wide rounded = ldexpl(rintl(ldexpl(v, -unit)), unit);
    return fabsl(rounded) >= ldexpl(1, formats[d].overflow) ? copysignl((wide)INFINITY, v) : copysignl(rounded, v);
}

/* What converting must give, in bits; NaN of a float dtype as UINT64_MAX. */
static wide convert_to_float(tn_dtype to, wide v) { return round_to_format(to, v); }

static uint64_t convert_to_int(tn_dtype from, tn_dtype to, uint64_t bits) {
    unsigned n = dtypes[to].bits;
    uint64_t mask = UINT64_MAX >> (64 - n);
    wide v = decode(from, bits);
    if (dtypes[to].kind == KIND_BOOL) return isnan(v) || v != 0;
    if (dtypes[from].kind != KIND_FLOAT) return (v < 0 ? (uint64_t)(int64_t)v : (uint64_t)v) & mask;
    if (isnan(v)) return 0;
    wide most = dtypes[to].kind == KIND_SINT ? ldexpl(1, (int)n - 1) - 1 : ldexpl(1, (int)n) - 1;
    wide least = dtypes[to].kind == KIND_SINT ? -ldexpl(1, (int)n - 1) : 0;
    v = truncl(v);
    v = v > most ? most : v < least ? least : v;
    return (v < 0 ? (uint64_t)(int64_t)v : (uint64_t)v) & mask;
}

/* ---- Integer arithmetic ----------------------------------------------------------------- */

enum { INT_DIV, INT_REM, INT_SHL, INT_SHR, INT_POW, INT_OP_COUNT };
static const char *const int_names[INT_OP_COUNT] = {"div", "rem", "shl", "shr", "pow"};

static uint64_t power(uint64_t x, uint64_t y) {
    uint64_t r = 1;
    for (; y; y >>= 1, x *= x)
        if (y & 1) r *= x;
    return r;
}

static uint64_t int_reference(int op, tn_dtype d, uint64_t x, uint64_t y) {
    unsigned n = dtypes[d].kind == KIND_BOOL ? 1 : dtypes[d].bits;
    uint64_t mask = UINT64_MAX >> (64 - n);
    bool is_signed = dtypes[d].kind == KIND_SINT;
    int64_t sx = (int64_t)(x << (64 - n)) >> (64 - n), sy = (int64_t)(y << (64 - n)) >> (64 - n);
    switch (op) {
    case INT_DIV:
        if (y == 0) return 0;
        return (is_signed ? sy == -1 ? -(uint64_t)sx : (uint64_t)(sx / sy) : x / y) & mask;
    case INT_REM:
        if (y == 0) return 0;
        return (is_signed ? sy == -1 ? 0 : (uint64_t)(sx % sy) : x % y) & mask;
    case INT_SHL: return y >= n ? 0 : (x << y) & mask;
    case INT_SHR:
        if (is_signed) return (uint64_t)(sx >> (y >= n ? 63 : y)) & mask;
        return y >= n ? 0 : x >> y;
    default:
        if (is_signed && sy < 0) return (sx == 1 ? 1 : sx == -1 ? (sy & 1 ? UINT64_MAX : 1) : 0) & mask;
        return power(x, y) & mask;
    }
}

static LLVMValueRef emit_int(const vmath_ctx *c, int op, bool is_signed, LLVMValueRef x, LLVMValueRef y) {
    switch (op) {
    case INT_DIV: return vmath_int_div(c, is_signed, x, y);
    case INT_REM: return vmath_int_rem(c, is_signed, x, y);
    case INT_SHL: return vmath_shl(c, x, y);
    case INT_SHR: return vmath_shr(c, is_signed, x, y);
    default: return vmath_int_pow(c, is_signed, x, y);
    }
}

/* ---- Compiling loops -------------------------------------------------------------------- */

typedef void (*loop_fn)(const void *a, const void *b, void *out, int64_t count);

/* `op` < 0: conversion from `from` to `to`, else that integer operation on `from`. */
static void add_loop(const vmath_ctx *c, const char *name, int op, tn_dtype from, tn_dtype to, unsigned lanes) {
    LLVMContextRef context = LLVMGetModuleContext(c->module);
    LLVMBuilderRef b = c->builder;
    unsigned vector = lanes > 1 ? lanes : 0;
    LLVMTypeRef in = vmath_memory_type(context, from, vector), out = vmath_memory_type(context, to, 0);
    LLVMTypeRef pointer = LLVMPointerTypeInContext(context, 0), i64 = LLVMInt64TypeInContext(context);
    LLVMTypeRef signature =
        LLVMFunctionType(LLVMVoidTypeInContext(context), (LLVMTypeRef[]){pointer, pointer, pointer, i64}, 4, 0);
    LLVMValueRef f = LLVMAddFunction(c->module, name, signature);
    target_mark_function(c->target, f);
    LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(context, f, "entry");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(context, f, "body");
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(context, f, "done");
    LLVMPositionBuilderAtEnd(b, entry);
    LLVMBuildBr(b, body);
    LLVMPositionBuilderAtEnd(b, body);
    LLVMValueRef i = LLVMBuildPhi(b, i64, "i"), x[2];
    for (unsigned k = 0; k < 2; k++) {
        LLVMValueRef at = LLVMBuildGEP2(b, vmath_memory_type(context, from, 0), LLVMGetParam(f, k), &i, 1, "");
        LLVMValueRef memory = LLVMBuildLoad2(b, in, at, "");
        LLVMSetAlignment(memory, 1);
        x[k] = vmath_unpack(c, from, memory);
    }
    LLVMValueRef y =
        op < 0 ? vmath_convert(c, x[0], from, to) : emit_int(c, op, dtypes[from].kind == KIND_SINT, x[0], x[1]);
    LLVMValueRef at = LLVMBuildGEP2(b, out, LLVMGetParam(f, 2), &i, 1, "");
    LLVMSetAlignment(LLVMBuildStore(b, vmath_pack(c, to, y), at), 1);
    LLVMValueRef next = LLVMBuildAdd(b, i, LLVMConstInt(i64, lanes, 0), "");
    LLVMValueRef again = LLVMBuildICmp(b, LLVMIntSLT, next, LLVMGetParam(f, 3), "");
    LLVMAddIncoming(i, (LLVMValueRef[]){LLVMConstInt(i64, 0, 0), next}, (LLVMBasicBlockRef[]){entry, body}, 2);
    LLVMBuildCondBr(b, again, body, done);
    LLVMPositionBuilderAtEnd(b, done);
    LLVMBuildRetVoid(b);
}

enum { VECTOR = 16 };

static void loop_name(char *out, size_t bytes, int op, tn_dtype from, tn_dtype to, unsigned lanes) {
    snprintf(out, bytes, "%s_%s_%s_%u", op < 0 ? "convert" : int_names[op], dtypes[from].name, dtypes[to].name, lanes);
}

static jit_unit *compile(jit *j, const target *t, bool conversions) {
    tn_diag diag = {0};
    LLVMContextRef context = object_context_new(&diag);
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext("vmath", context);
    LLVMTargetMachineRef tm = target_machine_new(t, 1, &diag);
    assert_non_null(tm);
    target_mark_module(module, tm);
    vmath_ctx c = {LLVMCreateBuilderInContext(context), module, t};
    for (int from = 0; from < TN_DTYPE_COUNT; from++) {
        for (int k = 0; k < 2; k++) {
            char name[64];
            unsigned lanes = k ? VECTOR : 1;
            for (int to = 0; to < TN_DTYPE_COUNT && conversions; to++) {
                loop_name(name, sizeof name, -1, (tn_dtype)from, (tn_dtype)to, lanes);
                add_loop(&c, name, -1, (tn_dtype)from, (tn_dtype)to, lanes);
            }
            for (int op = 0; op < INT_OP_COUNT && !conversions && dtypes[from].kind != KIND_FLOAT; op++) {
                loop_name(name, sizeof name, op, (tn_dtype)from, (tn_dtype)from, lanes);
                add_loop(&c, name, op, (tn_dtype)from, (tn_dtype)from, lanes);
            }
        }
    }
    LLVMDisposeBuilder(c.builder);
    if (object_verify(module, &diag) != TN_OK) fail_msg("%s", diag.message);
    assert_int_equal(object_optimise(module, tm, 1, &diag), TN_OK);
    LLVMMemoryBufferRef object = NULL;
    assert_int_equal(object_emit(module, tm, OBJECT_OBJECT, &object, &diag), TN_OK);
    jit_unit *u = jit_add_object(j, LLVMGetBufferStart(object), LLVMGetBufferSize(object), &diag);
    if (!u) fail_msg("%s: %s", t->name, diag.message);
    LLVMDisposeMemoryBuffer(object);
    LLVMDisposeModule(module);
    LLVMDisposeTargetMachine(tm);
    LLVMContextDispose(context);
    return u;
}

/* ---- Samples ---------------------------------------------------------------------------- */

enum { COUNT = 1 << 16 };

static uint64_t mix(uint64_t x) {
    x ^= x >> 31;
    x *= UINT64_C(0x7fb5d329728ea185);
    x ^= x >> 27;
    x *= UINT64_C(0x81dadef4bc2dd44d);
    return x ^ x >> 33;
}

/* Integers of all lengths, and of floats both any bits and values around integer limits. */
static uint64_t sample(tn_dtype d, uint64_t i, unsigned salt) {
    unsigned n = dtypes[d].bits;
    uint64_t mask = UINT64_MAX >> (64 - n), random = mix(i * 2 + salt);
    if (dtypes[d].kind == KIND_BOOL) return (salt ? i >> 1 : i) & 1;
    if (n == 8) return (salt ? i >> 8 : i) & mask;
    if (n == 16 && salt == 0) return i & mask;
    if (dtypes[d].kind != KIND_FLOAT) {
        uint64_t shorter = random >> (mix(random) % n);
        return (i % 2 ? shorter : (uint64_t)-(int64_t)(shorter % 64)) & mask;
    }
    if (n == 16 || i % 2) return random & mask;
    double magnitude = ldexp((double)(random >> 11), (int)(mix(random) % 80) - 63);
    double value = random & 1 ? -magnitude : magnitude;
    float narrow = (float)value;
    uint64_t bits = 0;
    memcpy(&bits, n == 64 ? (void *)&value : (void *)&narrow, n / 8);
    return bits;
}

static void store(tn_dtype d, void *buffer, size_t i, uint64_t bits) {
    memcpy((char *)buffer + i * (dtypes[d].bits / 8), &bits, dtypes[d].bits / 8); /* little endian */
}

static uint64_t fetch(tn_dtype d, const void *buffer, size_t i) {
    uint64_t bits = 0;
    memcpy(&bits, (const char *)buffer + i * (dtypes[d].bits / 8), dtypes[d].bits / 8);
    return bits;
}

static uint64_t inputs[2][COUNT], vector_out[COUNT], scalar_out[COUNT];

static void run_both(jit_unit *u, int op, tn_dtype from, tn_dtype to) {
    char name[64];
    tn_diag diag;
    for (int k = 0; k < 2; k++) {
        loop_name(name, sizeof name, op, from, to, k ? VECTOR : 1);
        loop_fn run = (loop_fn)(uintptr_t)jit_lookup(u, name, &diag);
        if (!run) fail_msg("%s", diag.message);
        if (run) run(inputs[0], inputs[1], k ? vector_out : scalar_out, COUNT);
    }
}

static bool same(tn_dtype d, wide expected, uint64_t bits) {
    wide got = decode(d, bits);
    return isnan(expected) ? isnan(got) : got == expected && !signbit(got) == !signbit(expected);
}

static void check_conversion(jit_unit *u, const target *t, tn_dtype from, tn_dtype to) {
    for (size_t i = 0; i < COUNT; i++) store(from, inputs[0], i, sample(from, i, 0));
    run_both(u, -1, from, to);
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t bits = fetch(from, inputs[0], i), got = fetch(to, vector_out, i), scalar = fetch(to, scalar_out, i);
        wide v = decode(from, bits);
        bool is_float = dtypes[to].kind == KIND_FLOAT;
        bool is_right = is_float ? same(to, convert_to_float(to, v), got) : got == convert_to_int(from, to, bits);
        bool is_equal = got == scalar || (is_float && isnan(decode(to, got)) && isnan(decode(to, scalar)));
        if (!is_right || !is_equal)
            fail_msg("%s: %s %Lg (0x%llx) to %s: vector 0x%llx, scalar 0x%llx", t->name, dtypes[from].name, v,
                     (unsigned long long)bits, dtypes[to].name, (unsigned long long)got, (unsigned long long)scalar);
    }
}

static void check_int(jit_unit *u, const target *t, int op, tn_dtype d) {
    for (unsigned k = 0; k < 2; k++)
        for (size_t i = 0; i < COUNT; i++) store(d, inputs[k], i, sample(d, i, k));
    run_both(u, op, d, d);
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t x = fetch(d, inputs[0], i), y = fetch(d, inputs[1], i);
        uint64_t got = fetch(d, vector_out, i), scalar = fetch(d, scalar_out, i), expected = int_reference(op, d, x, y);
        if (got != expected || scalar != expected)
            fail_msg("%s: %s %s 0x%llx, 0x%llx is 0x%llx; vector 0x%llx, scalar 0x%llx", t->name, dtypes[d].name,
                     int_names[op], (unsigned long long)x, (unsigned long long)y, (unsigned long long)expected,
                     (unsigned long long)got, (unsigned long long)scalar);
    }
}

/* ---- Tests ------------------------------------------------------------------------------ */

static bool can_run(const target *t) {
    target host;
    tn_diag diag;
    bool runs = target_init(&host, NULL, &diag) == TN_OK && t->is_x86 == host.is_x86 &&
                t->machine.vector_bytes <= host.machine.vector_bytes && t->machine.has_fma <= host.machine.has_fma;
    target_free(&host);
    return runs;
}

/* `bare`: with code for machines that have no 64-bit integers and no rounding to whole numbers, as a Cortex-M4 or M7. */
static void check_level(const char *name, bool conversions, bool bare) {
    tn_diag diag;
    target t;
    assert_int_equal(target_init(&t, name, &diag), TN_OK);
    if (bare) t.has_i64 = t.has_rounding = false;
    if (can_run(&t)) {
        jit *j = jit_new(NULL, &diag);
        jit_unit *u = compile(j, &t, conversions);
        for (int from = 0; from < TN_DTYPE_COUNT; from++) {
            for (int to = 0; to < TN_DTYPE_COUNT && conversions; to++)
                check_conversion(u, &t, (tn_dtype)from, (tn_dtype)to);
            for (int op = 0; op < INT_OP_COUNT && !conversions && dtypes[from].kind != KIND_FLOAT; op++)
                check_int(u, &t, op, (tn_dtype)from);
        }
        jit_unit_free(u);
        jit_free(j);
    }
    target_free(&t);
}

static void test_conversions(void **state) { check_level(*state, true, false); }

static void test_integers(void **state) { check_level(*state, false, false); }

static void test_bare_conversions(void **state) { check_level(*state, true, true); }

int main(void) {
    static char titles[2 * LEVELS][40];
    struct CMUnitTest tests[2 * LEVELS + 1];
    for (int i = 0; i < LEVELS; i++) {
        snprintf(titles[2 * i], sizeof titles[0], "conversions on %s", level_names[i]);
        snprintf(titles[2 * i + 1], sizeof titles[0], "integers on %s", level_names[i]);
        tests[2 * i] = (struct CMUnitTest){titles[2 * i], test_conversions, NULL, NULL, (void *)level_names[i]};
        tests[2 * i + 1] = (struct CMUnitTest){titles[2 * i + 1], test_integers, NULL, NULL, (void *)level_names[i]};
    }
    tests[2 * LEVELS] =
        (struct CMUnitTest){"bare conversions", test_bare_conversions, NULL, NULL, (void *)level_names[0]};
    return cmocka_run_group_tests_name("vmath", tests, NULL, NULL);
}
