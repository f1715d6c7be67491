/* Elements as numbers (see element.h). */
#include "frontends/data/element.h"

#include "runtime/half.h"

#include <math.h>
#include <string.h>

typedef enum dtype_kind { KIND_BOOL, KIND_SINT, KIND_UINT, KIND_FLOAT } dtype_kind;

static const struct {
    dtype_kind kind;
    int bits;
} dtypes[TN_DTYPE_COUNT] = {
#define DTYPE(ENUM, name, bits, kind, storage) [TN_##ENUM] = {KIND_##kind, bits},
#include "runtime/dtypes.def"
#undef DTYPE
};

static uint64_t load_bits(const char *at, int bits) {
    uint8_t one;
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (bits) {
    case 8: memcpy(&one, at, sizeof one); return one;
    case 16: memcpy(&two, at, sizeof two); return two;
    case 32: memcpy(&four, at, sizeof four); return four;
    default: memcpy(&eight, at, sizeof eight); return eight;
    }
}

static void store_bits(char *at, int bits, uint64_t value) {
    uint8_t one = (uint8_t)value;
    uint16_t two = (uint16_t)value;
    uint32_t four = (uint32_t)value;
    switch (bits) {
    case 8: memcpy(at, &one, sizeof one); break;
    case 16: memcpy(at, &two, sizeof two); break;
    case 32: memcpy(at, &four, sizeof four); break;
    default: memcpy(at, &value, sizeof value); break;
    }
}

static double from_float_bits(tn_dtype dtype, uint64_t bits) {
    double value;
    if (dtype == TN_F16) return f16_to_f32((uint16_t)bits);
    if (dtype == TN_BF16) return bf16_to_f32((uint16_t)bits);
    if (dtype == TN_F32) return half_bits_float((uint32_t)bits);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t to_float_bits(tn_dtype dtype, double value) {
    uint64_t bits;
    if (dtype == TN_F16) return f16_from_f64(value);
    if (dtype == TN_BF16) return bf16_from_f64(value);
    if (dtype == TN_F32) return half_float_bits((float)value);
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

double element_get(tn_dtype dtype, const void *data, int64_t i) {
    int bits = dtypes[dtype].bits;
    dtype_kind kind = dtypes[dtype].kind;
    uint64_t raw = load_bits((const char *)data + i * (bits / 8), bits);
    if (kind == KIND_FLOAT) return from_float_bits(dtype, raw);
    if (kind != KIND_SINT) return (double)raw;
    return (double)((int64_t)(raw << (64 - bits)) >> (64 - bits)); /* the sign goes all the way up */
}

bool element_set(tn_dtype dtype, void *data, int64_t i, double value) {
    int bits = dtypes[dtype].bits;
    dtype_kind kind = dtypes[dtype].kind;
    char *at = (char *)data + i * (bits / 8);
    if (kind == KIND_FLOAT) {
        store_bits(at, bits, to_float_bits(dtype, value));
        return true;
    }
    /* Powers of two are exact as doubles. */
    double low = kind == KIND_SINT ? -ldexp(1, bits - 1) : 0;
    double above = kind == KIND_BOOL ? 2 : ldexp(1, kind == KIND_SINT ? bits - 1 : bits);
    if (!(value >= low && value < above && value == trunc(value))) return false;
    store_bits(at, bits, kind == KIND_SINT ? (uint64_t)(int64_t)value : (uint64_t)value);
    return true;
}

void element_swap_bytes(void *data, size_t count, size_t bytes_each) {
    uint8_t *bytes = data;
    for (size_t i = 0; i < count; i++, bytes += bytes_each)
        for (size_t b = 0; b < bytes_each / 2; b++) {
            uint8_t kept = bytes[b];
            bytes[b] = bytes[bytes_each - 1 - b];
            bytes[bytes_each - 1 - b] = kept;
        }
}
