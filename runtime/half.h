/* f16 and bf16 on the host, in integer arithmetic.
 *
 * in:  the 16 bits of a half or bfloat16, or a float or double
 * out: the other one
 * law: widening is exact; narrowing rounds once, to nearest with ties to even, whatever the
 *      machine's rounding or flushing mode; infinities, signed zeros and subnormals are kept, a
 *      NaN stays a (quiet) NaN with its sign
 */
#ifndef TN_RUNTIME_HALF_H
#define TN_RUNTIME_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t half_float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float half_bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* `bits` without its lowest `shift` bits (1 to 31), rounded to nearest, ties to even. */
static inline uint32_t half_round_shift(uint32_t bits, unsigned shift) {
    uint32_t kept = bits >> shift;
    uint32_t rest = bits & ((UINT32_C(1) << shift) - 1), tie = UINT32_C(1) << (shift - 1);
    return kept + (rest > tie || (rest == tie && (kept & 1)));
}

static inline float f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    if (exponent == 31) return half_bits_float(sign | 0x7f800000 | mantissa << 13 | (mantissa ? 0x400000 : 0));
    if (exponent == 0) {
        if (mantissa == 0) return half_bits_float(sign);
        for (exponent = 1; !(mantissa & 0x400); exponent--) mantissa <<= 1; /* subnormal: normal as f32 */
        mantissa &= 0x3ff;
    }
    return half_bits_float(sign | (exponent + 112) << 23 | mantissa << 13);
}

/* Narrows the bits of a float; a separate step so that doubles need not pass through a float. */
static inline uint16_t half_f16_from_bits(uint32_t bits) {
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
    if (magnitude >= 0x47800000) return sign | 0x7c00; /* 65536 and up */
    if (magnitude >= 0x38800000)                       /* normal: rebias, a carry may reach infinity */
        return (uint16_t)(sign | half_round_shift(magnitude - (UINT32_C(112) << 23), 13));
    if (magnitude < 0x33000000) return sign; /* below half of the least subnormal */
    uint32_t significand = (magnitude & 0x7fffff) | 0x800000;
    return (uint16_t)(sign | half_round_shift(significand, 126 - (magnitude >> 23)));
}

static inline uint16_t half_bf16_from_bits(uint32_t bits) {
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)half_round_shift(bits, 16);
}

/* The bits of a double cut to a float's, the last bit set when anything was lost: rounding that
 * to 16 bits is rounding the double (round to odd). */
static inline uint32_t half_double_to_odd(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = (uint32_t)(bits >> 32) & 0x80000000;
    int exponent = (int)(bits >> 52 & 0x7ff);
    uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1);
    if (exponent == 0x7ff) return sign | 0x7f800000 | (uint32_t)(mantissa >> 29) | (mantissa ? 0x400000 : 0);
    if (exponent >= 1023 + 128) return sign | 0x7f7fffff;
    if (exponent < 1023 - 149) return sign | (exponent != 0 || mantissa != 0);
    int shift = 29;
    uint64_t packed;
    if (exponent > 1023 - 127) {
        packed = (uint64_t)(exponent - (1023 - 127)) << 52 | mantissa;
    } else { /* subnormal as a float */
        shift += 1023 - 126 - exponent;
        packed = mantissa | UINT64_C(1) << 52;
    }
    uint32_t kept = (uint32_t)(packed >> shift);
    return sign | kept | ((packed & ((UINT64_C(1) << shift) - 1)) != 0);
}

static inline uint16_t f16_from_f32(float value) { return half_f16_from_bits(half_float_bits(value)); }

static inline uint16_t f16_from_f64(double value) { return half_f16_from_bits(half_double_to_odd(value)); }

static inline float bf16_to_f32(uint16_t b) { return half_bits_float((uint32_t)b << 16); }

static inline uint16_t bf16_from_f32(float value) { return half_bf16_from_bits(half_float_bits(value)); }

static inline uint16_t bf16_from_f64(double value) { return half_bf16_from_bits(half_double_to_odd(value)); }

#endif
