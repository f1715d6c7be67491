/* Elements of constants as text, exactly.
 *
 * in:  the bits of an element, or a number as text
 * out: the other one
 * law: parse(print(bits)) = bits for every dtype and all bits, whatever the locale
 */
#include "ir/literal.h"

#include "runtime/half.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool literal_begin(literal_locale *l) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) return false;
    l->c = c;
    l->former = uselocale(c);
    return true;
}

void literal_end(literal_locale *l) {
    uselocale((locale_t)l->former);
    freelocale((locale_t)l->c);
}

/* ---- One row a dtype -------------------------------------------------------------------------- */

typedef enum literal_kind { KIND_BOOL, KIND_SINT, KIND_UINT, KIND_FLOAT } literal_kind;

static const struct {
    literal_kind kind;
    unsigned bits;
} rows[TN_DTYPE_COUNT] = {
#define DTYPE(ENUM, name, bits, kind, storage) [TN_##ENUM] = {KIND_##kind, bits},
#include "dtypes.def"
#undef DTYPE
};

/* How a float dtype is read: rounds the number to the dtype's bits. Digits: as many as tell all
 * values apart, and as many as every value survives. */
typedef uint64_t read_float(const char *text, char **end);
static uint64_t read_f16(const char *text, char **end) { return f16_from_f64(strtod(text, end)); }
static uint64_t read_bf16(const char *text, char **end) { return bf16_from_f64(strtod(text, end)); }
static uint64_t read_f32(const char *text, char **end) { return half_float_bits(strtof(text, end)); }
static uint64_t read_f64(const char *text, char **end) {
    double value = strtod(text, end);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double value_f16(uint64_t bits) { return f16_to_f32((uint16_t)bits); }
static double value_bf16(uint64_t bits) { return bf16_to_f32((uint16_t)bits); }
static double value_f32(uint64_t bits) { return half_bits_float((uint32_t)bits); }
static double value_f64(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

typedef struct float_row {
    unsigned mantissa_bits, exponent_bits;
    int least_digits, most_digits;
    read_float *read;
    double (*value)(uint64_t bits);
} float_row;

static const float_row floats[TN_DTYPE_COUNT] = {
    [TN_F16] = {10, 5, 3, 5, read_f16, value_f16},
    [TN_BF16] = {7, 8, 2, 4, read_bf16, value_bf16},
    [TN_F32] = {23, 8, 6, 9, read_f32, value_f32},
    [TN_F64] = {52, 11, 15, 17, read_f64, value_f64},
};

static uint64_t load(const void *element, unsigned bits) {
    uint64_t value = 0;
    switch (bits) {
    case 8: return *(const uint8_t *)element;
    case 16: {
        uint16_t v;
        memcpy(&v, element, sizeof v);
        return v;
    }
    case 32: {
        uint32_t v;
        memcpy(&v, element, sizeof v);
        return v;
    }
    default: memcpy(&value, element, sizeof value); return value;
    }
}

static void store(void *element, unsigned bits, uint64_t value) {
    uint8_t v8 = (uint8_t)value;
    uint16_t v16 = (uint16_t)value;
    uint32_t v32 = (uint32_t)value;
    const void *from = bits == 8 ? (void *)&v8 : bits == 16 ? (void *)&v16 : bits == 32 ? (void *)&v32 : (void *)&value;
    memcpy(element, from, bits / 8);
}

static uint64_t exponent_mask(const float_row *f) {
    return (((uint64_t)1 << f->exponent_bits) - 1) << f->mantissa_bits;
}

static bool is_nan(const float_row *f, uint64_t bits) {
    uint64_t mask = exponent_mask(f);
    return (bits & mask) == mask && (bits & (((uint64_t)1 << f->mantissa_bits) - 1)) != 0;
}

/* The NaN that is spelled `nan`: quiet, positive, nothing else set. */
static uint64_t plain_nan(const float_row *f) { return exponent_mask(f) | (uint64_t)1 << (f->mantissa_bits - 1); }

/* ---- Printing ----------------------------------------------------------------------------------- */

static size_t print_float(tn_dtype dtype, uint64_t bits, char out[LITERAL_BYTES]) {
    const float_row *f = &floats[dtype];
    if (is_nan(f, bits)) {
        if (bits == plain_nan(f)) return (size_t)snprintf(out, LITERAL_BYTES, "nan");
        return (size_t)snprintf(out, LITERAL_BYTES, "nan.%0*" PRIx64, (int)(rows[dtype].bits / 4), bits);
    }
    double number = f->value(bits);
    /* Whole numbers as such up to where others have as many digits. */
    if (number > -1e7 && number < 1e7 && number == (double)(int64_t)number && (number != 0 || bits == 0))
        return (size_t)snprintf(out, LITERAL_BYTES, "%" PRId64, (int64_t)number);
    int n = 0;
    bool is_subnormal = (bits & exponent_mask(f)) == 0; /* with fewer digits than others */
    for (int digits = is_subnormal ? 1 : f->least_digits; digits <= f->most_digits; digits++) {
        n = snprintf(out, LITERAL_BYTES, "%.*g", digits, number);
        if (f->read(out, NULL) == bits) break;
    }
    return (size_t)n;
}

size_t literal_print(tn_dtype dtype, const void *element, char out[LITERAL_BYTES]) {
    uint64_t bits = load(element, rows[dtype].bits);
    unsigned unused = 64 - rows[dtype].bits;
    switch (rows[dtype].kind) {
    case KIND_BOOL:
        /* Any byte but 0 and 1 is kept as it is. */
        if (bits > 1) return (size_t)snprintf(out, LITERAL_BYTES, "%" PRIu64, bits);
        return (size_t)snprintf(out, LITERAL_BYTES, "%s", bits ? "true" : "false");
    case KIND_SINT: return (size_t)snprintf(out, LITERAL_BYTES, "%" PRId64, (int64_t)(bits << unused) >> unused);
    case KIND_UINT: return (size_t)snprintf(out, LITERAL_BYTES, "%" PRIu64, bits);
    default: return print_float(dtype, bits, out);
    }
}

/* ---- Reading -------------------------------------------------------------------------------------- */

static literal_fault parse_float(tn_dtype dtype, const char *text, uint64_t *bits) {
    const float_row *f = &floats[dtype];
    const char *digits = text + (*text == '-');
    char *end;
    if (strcmp(text, "nan") == 0) return *bits = plain_nan(f), LITERAL_OK;
    if (strncmp(text, "nan.", 4) == 0) {
        *bits = strtoull(text + 4, &end, 16);
        bool whole =
            *end == '\0' && end > text + 4 && strspn(text + 4, "0123456789abcdefABCDEF") == (size_t)(end - text - 4);
        bool fits = rows[dtype].bits == 64 || *bits >> rows[dtype].bits == 0;
        return whole && fits && is_nan(f, *bits) ? LITERAL_OK : LITERAL_MALFORMED;
    }
    if (strcmp(digits, "inf") != 0 && strspn(digits, "0123456789.eE+-") != strlen(digits)) return LITERAL_MALFORMED;
    *bits = f->read(text, &end);
    if (*end != '\0' || end == text) return LITERAL_MALFORMED;
    bool is_infinite = (*bits & exponent_mask(f)) == exponent_mask(f);
    return is_infinite && strcmp(digits, "inf") != 0 ? LITERAL_RANGE : LITERAL_OK;
}

static literal_fault parse_int(const char *text, unsigned bits, bool is_signed, uint64_t *value) {
    bool negative = *text == '-';
    const char *digits = text + negative;
    if (!*digits || strspn(digits, "0123456789") != strlen(digits)) return LITERAL_MALFORMED;
    char *end;
    errno = 0;
    uint64_t size = strtoull(digits, &end, 10);
    uint64_t most = is_signed ? ((uint64_t)1 << (bits - 1)) - !negative : negative ? 0 : UINT64_MAX >> (64 - bits);
    if (errno == ERANGE || size > most) return LITERAL_RANGE;
    *value = negative ? 0 - size : size;
    return LITERAL_OK;
}

literal_fault literal_parse(tn_dtype dtype, const char *text, void *element) {
    uint64_t bits = 0;
    literal_fault fault = LITERAL_OK;
    literal_kind kind = rows[dtype].kind;
    if (kind == KIND_FLOAT)
        fault = parse_float(dtype, text, &bits);
    else if (kind == KIND_BOOL && strcmp(text, "true") == 0)
        bits = 1;
    else if (kind == KIND_BOOL && strcmp(text, "false") == 0)
        bits = 0;
    else
        fault = parse_int(text, rows[dtype].bits, kind == KIND_SINT, &bits);
    if (fault == LITERAL_OK) store(element, rows[dtype].bits, bits);
    return fault;
}
