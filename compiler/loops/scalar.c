/* Elements as bits: kinds, memory, conversions (scalar.h). The ops are in scalar_ops.c. */
#include "compiler/loops/scalar.h"

#include <math.h>
#include <string.h>

typedef struct dtype_row {
    scalar_kind kind;
    unsigned bits;
} dtype_row;

static const dtype_row rows[TN_DTYPE_COUNT] = {
#define DTYPE(ENUM, name, bits, kind, storage) {SCALAR_##kind, bits},
#include "runtime/dtypes.def"
#undef DTYPE
};

scalar_kind scalar_kind_of(tn_dtype dtype) { return rows[dtype].kind; }

static uint64_t mask_of(unsigned bits) { return bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1; }

/* ---- Memory ---- */

#define FOR_EACH_SIZE(X) X(1, uint8_t) X(2, uint16_t) X(4, uint32_t) X(8, uint64_t)

uint64_t scalar_read(tn_dtype dtype, const void *memory) {
    uint64_t bits = 0;
    switch (scalar_bytes(dtype)) {
#define READ(bytes, type)                                                                                              \
    case bytes: {                                                                                                      \
        type v;                                                                                                        \
        memcpy(&v, memory, sizeof v);                                                                                  \
        bits = v;                                                                                                      \
        break;                                                                                                         \
    }
        FOR_EACH_SIZE(READ)
#undef READ
    default: break;
    }
    return dtype == TN_BOOL ? bits != 0 : bits;
}

void scalar_write(tn_dtype dtype, void *memory, uint64_t bits) {
    switch (scalar_bytes(dtype)) {
#define WRITE(bytes, type)                                                                                             \
    case bytes: {                                                                                                      \
        type v = (type)bits;                                                                                           \
        memcpy(memory, &v, sizeof v);                                                                                  \
        break;                                                                                                         \
    }
        FOR_EACH_SIZE(WRITE)
#undef WRITE
    default: break;
    }
}

/* ---- Half precision ---- */

/* A float format narrower than f64. */
typedef struct float_format {
    int mantissa_bits, least_exponent, greatest_exponent; /* exponents of normal numbers */
} float_format;

static const float_format format_f16 = {10, -14, 15};
static const float_format format_bf16 = {7, -126, 127};

/* Rounds to nearest even once, to the bits of a narrow format. */
static uint64_t narrow(const float_format *f, double x) {
    int exponent_bits_above = f->greatest_exponent + 1;
    int exponent_bits = 0;
    while ((1 << exponent_bits) <= exponent_bits_above) exponent_bits++;
    uint64_t sign = signbit(x) ? UINT64_C(1) << (exponent_bits + f->mantissa_bits) : 0;
    uint64_t infinity = ((UINT64_C(1) << exponent_bits) - 1) << f->mantissa_bits;
    if (isnan(x)) return sign | infinity | (UINT64_C(1) << (f->mantissa_bits - 1));
    if (isinf(x)) return sign | infinity;
    if (x == 0) return sign;
    int exponent;
    frexp(x, &exponent);
    exponent--; /* |x| = 1.m * 2^exponent */
    if (exponent < f->least_exponent) exponent = f->least_exponent;
    /* In units of the last place: at most 2^(mantissa_bits + 1), so exact arithmetic. */
    double units = nearbyint(ldexp(fabs(x), f->mantissa_bits - exponent));
    if (units == 0) return sign;
    uint64_t biased = (uint64_t)(exponent - f->least_exponent);
    uint64_t bits = (biased << f->mantissa_bits) + (uint64_t)units; /* a carry goes on into the exponent */
    return sign | (bits >= infinity ? infinity : bits);
}

static double widen(const float_format *f, int exponent_bits, uint64_t bits) {
    uint64_t mantissa = bits & ((UINT64_C(1) << f->mantissa_bits) - 1);
    int biased = (int)(bits >> f->mantissa_bits) & ((1 << exponent_bits) - 1);
    bool negative = bits >> (f->mantissa_bits + exponent_bits) & 1;
    double magnitude;
    if (biased == (1 << exponent_bits) - 1)
        magnitude = mantissa ? (double)NAN : (double)INFINITY;
    else if (biased == 0)
        magnitude = ldexp((double)mantissa, f->least_exponent - f->mantissa_bits);
    else
        magnitude = ldexp((double)(mantissa | UINT64_C(1) << f->mantissa_bits),
                          f->least_exponent - f->mantissa_bits + biased - 1);
    return negative ? -magnitude : magnitude;
}

/* ---- Conversions ---- */

int64_t scalar_to_int(tn_dtype dtype, uint64_t bits) {
    const dtype_row *row = &rows[dtype];
    if (row->kind == SCALAR_FLOAT) return (int64_t)scalar_from_float(TN_I64, scalar_to_float(dtype, bits));
    bits &= mask_of(row->bits);
    if (row->kind == SCALAR_SINT && row->bits < 64 && bits >> (row->bits - 1)) bits |= ~mask_of(row->bits);
    return (int64_t)bits;
}

double scalar_to_float(tn_dtype dtype, uint64_t bits) {
    float f;
    double d;
    uint32_t word = (uint32_t)bits;
    switch (dtype) {
    case TN_F16: return widen(&format_f16, 5, bits);
    case TN_BF16: return widen(&format_bf16, 8, bits);
    case TN_F32: memcpy(&f, &word, sizeof f); return (double)f;
    case TN_F64: memcpy(&d, &bits, sizeof d); return d;
    case TN_U64: return (double)bits;
    default: return (double)scalar_to_int(dtype, bits);
    }
}

uint64_t scalar_from_float(tn_dtype dtype, double value) {
    const dtype_row *row = &rows[dtype];
    float f;
    uint32_t word;
    uint64_t bits;
    switch (row->kind) {
    case SCALAR_BOOL: return value != 0;
    case SCALAR_SINT: {
        double limit = ldexp(1, (int)row->bits - 1);
        int64_t least = -INT64_C(1) - (int64_t)mask_of(row->bits - 1);
        int64_t i = isnan(value)     ? 0
                    : value >= limit ? (int64_t)mask_of(row->bits - 1)
                    : value < -limit ? least
                                     : (int64_t)value;
        return (uint64_t)i & mask_of(row->bits);
    }
    case SCALAR_UINT:
        return isnan(value) || value <= -1         ? 0
               : value >= ldexp(1, (int)row->bits) ? mask_of(row->bits)
                                                   : (uint64_t)value;
    default: break;
    }
    switch (dtype) {
    case TN_F16: return narrow(&format_f16, value);
    case TN_BF16: return narrow(&format_bf16, value);
    case TN_F32:
        f = (float)value;
        memcpy(&word, &f, sizeof word);
        return word;
    default: memcpy(&bits, &value, sizeof bits); return bits;
    }
}

/* An integer as a float that is rounded once: f32 and narrower take a detour that keeps enough
 * of the low bits ("round to odd") for the second rounding to be the only one that counts. */
static double int_to_double(uint64_t magnitude, bool negative) {
    int shift = 0;
    while (magnitude >> 53) {
        magnitude = (magnitude >> 1) | (magnitude & 1);
        shift++;
    }
    double d = ldexp((double)magnitude, shift);
    return negative ? -d : d;
}

static uint64_t float_from_integer(tn_dtype dtype, uint64_t magnitude, bool negative) {
    if (dtype != TN_F64) return scalar_from_float(dtype, int_to_double(magnitude, negative));
    double d = (double)magnitude;
    return scalar_from_float(dtype, negative ? -d : d);
}

uint64_t scalar_from_int(tn_dtype dtype, int64_t value) {
    const dtype_row *row = &rows[dtype];
    if (row->kind == SCALAR_BOOL) return value != 0;
    if (row->kind == SCALAR_FLOAT)
        return float_from_integer(dtype, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
    return (uint64_t)value & mask_of(row->bits);
}

uint64_t scalar_convert(tn_dtype from, tn_dtype to, uint64_t bits) {
    if (scalar_kind_of(from) == SCALAR_FLOAT) return scalar_from_float(to, scalar_to_float(from, bits));
    if (from == TN_U64 && scalar_kind_of(to) == SCALAR_FLOAT) return float_from_integer(to, bits, false);
    return scalar_from_int(to, scalar_to_int(from, bits));
}
