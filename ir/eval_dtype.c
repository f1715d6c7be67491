/* Element types of the interpreter: bulk reads and writes with conversion.
 *
 * in:  tensors of any dtype
 * out: elements as doubles or 64-bit integers, and back
 * law: a float is rounded once, from f64 to its dtype, to nearest with ties to even; an
 *      integer is cut to its width; bool is "not zero"; any NaN stays some NaN
 */
#include "runtime/half.h"

#include "ir/eval_state.h"

#include <math.h>
#include <string.h>

typedef enum dtype_kind { KIND_BOOL, KIND_SINT, KIND_UINT, KIND_FLOAT } dtype_kind;

typedef struct dtype_row {
    uint8_t bits, kind;
} dtype_row;

static const dtype_row rows[TN_DTYPE_COUNT] = {
#define DTYPE(ENUM, name, bits, kind, storage) {bits, KIND_##kind},
#include "dtypes.def"
#undef DTYPE
};

/* Significand bits of floats, with the leading one. */
static const uint8_t precisions[TN_DTYPE_COUNT] = {[TN_F16] = 11, [TN_BF16] = 8, [TN_F32] = 24, [TN_F64] = 53};

int_type eval_int_type(tn_dtype dtype) {
    if ((unsigned)dtype >= TN_DTYPE_COUNT || rows[dtype].kind == KIND_FLOAT) return (int_type){0, false};
    if (rows[dtype].kind == KIND_BOOL) return (int_type){1, false};
    return (int_type){rows[dtype].bits, rows[dtype].kind == KIND_SINT};
}

size_t eval_dtype_bytes(tn_dtype dtype) { return (unsigned)dtype < TN_DTYPE_COUNT ? rows[dtype].bits / 8u : 0; }

double eval_unit_roundoff(tn_dtype dtype) { return dtype_is_float(dtype) ? ldexp(1, -precisions[dtype]) : 0; }

/* ---- Bulk access. Data may be unaligned: they are the caller's ------------------------------ */

#define UNPACK_F16(v) f16_to_f32(v)
#define UNPACK_BF16(v) bf16_to_f32(v)
#define UNPACK_F32(v) (v)
#define UNPACK_F64(v) (v)
#define PACK_F16(v) f16_from_f64(v)
#define PACK_BF16(v) bf16_from_f64(v)
#define PACK_F32(v) (float)(v)
#define PACK_F64(v) (v)
#define READ_BOOL(ENUM) out[k].i = v != 0
#define READ_SINT(ENUM) out[k].i = (int64_t)v
#define READ_UINT(ENUM) out[k].i = (int64_t)v
#define READ_FLOAT(ENUM) out[k].f = UNPACK_##ENUM(v)
#define WRITE_BOOL(ENUM, storage) v = in[k].i != 0
#define WRITE_SINT(ENUM, storage) v = (storage)(uint64_t)in[k].i
#define WRITE_UINT(ENUM, storage) v = (storage)in[k].i
#define WRITE_FLOAT(ENUM, storage) v = PACK_##ENUM(in[k].f)

#define DTYPE(ENUM, name, bits, kind, storage)                                                                         \
    static void read_##ENUM(const char *from, int64_t n, wide *out) {                                                  \
        for (int64_t k = 0; k < n; k++) {                                                                              \
            storage v;                                                                                                 \
            memcpy(&v, from + (size_t)k * sizeof v, sizeof v);                                                         \
            READ_##kind(ENUM);                                                                                         \
        }                                                                                                              \
    }                                                                                                                  \
    static void write_##ENUM(char *to, int64_t n, const wide *in) {                                                    \
        for (int64_t k = 0; k < n; k++) {                                                                              \
            storage v;                                                                                                 \
            WRITE_##kind(ENUM, storage);                                                                               \
            memcpy(to + (size_t)k * sizeof v, &v, sizeof v);                                                           \
        }                                                                                                              \
    }
#include "dtypes.def"
#undef DTYPE

static const struct {
    void (*read)(const char *from, int64_t n, wide *out);
    void (*write)(char *to, int64_t n, const wide *in);
} access[TN_DTYPE_COUNT] = {
#define DTYPE(ENUM, name, bits, kind, storage) {read_##ENUM, write_##ENUM},
#include "dtypes.def"
#undef DTYPE
};

void eval_read(const eval_tensor *t, int64_t first, int64_t n, wide *out) {
    if (n <= 0 || t->dtype >= TN_DTYPE_COUNT) return;
    const char *data = t->data;
    access[t->dtype].read(data + (size_t)first * eval_dtype_bytes(t->dtype), n, out);
}

void eval_write(eval_tensor *t, int64_t first, int64_t n, const wide *in) {
    if (n <= 0 || t->dtype >= TN_DTYPE_COUNT) return;
    char *data = t->data;
    access[t->dtype].write(data + (size_t)first * eval_dtype_bytes(t->dtype), n, in);
}

void eval_read_magnitudes(const eval_tensor *t, int64_t first, int64_t n, double *out) {
    if (n <= 0) return;
    if (t->magnitude) {
        memcpy(out, t->magnitude + first, (size_t)n * sizeof *out);
        return;
    }
    for (int64_t k = 0; k < n; k++) out[k] = fabs(eval_load_float(t, first + k));
}

/* ---- Single elements and conversions --------------------------------------------------------- */

double eval_load_float(const eval_tensor *t, int64_t i) {
    wide w = {0};
    eval_read(t, i, 1, &w);
    if (dtype_is_float(t->dtype)) return w.f;
    return t->dtype == TN_U64 ? (double)(uint64_t)w.i : (double)w.i;
}

int64_t eval_load_int(const eval_tensor *t, int64_t i) {
    wide w = {0};
    eval_read(t, i, 1, &w);
    return dtype_is_float(t->dtype) ? eval_float_to_int(w.f, TN_I64) : w.i;
}

int64_t eval_load_index(const eval_tensor *t, int64_t i) {
    int64_t index = eval_load_int(t, i);
    return t->dtype == TN_U64 && index < 0 ? INT64_MAX : index;
}

void eval_store_float(eval_tensor *t, int64_t i, double x) {
    wide w;
    if (dtype_is_float(t->dtype))
        w.f = x;
    else
        w.i = eval_float_to_int(x, t->dtype);
    eval_write(t, i, 1, &w);
}

void eval_store_int(eval_tensor *t, int64_t i, int64_t x) {
    wide w;
    if (dtype_is_float(t->dtype))
        w.f = eval_int_to_float(x, false, t->dtype);
    else
        w.i = x;
    eval_write(t, i, 1, &w);
}

int64_t eval_float_to_int(double x, tn_dtype to) {
    int_type type = eval_int_type(to);
    if (to == TN_BOOL) return x != 0;
    if (type.bits == 0 || isnan(x)) return 0;
    double limit = ldexp(1, (int)type.bits - (type.is_signed ? 1 : 0)); /* one past the greatest */
    int64_t greatest = (int64_t)(UINT64_MAX >> (64 - type.bits + (type.is_signed ? 1 : 0)));
    if (x >= limit) return greatest;
    if (type.is_signed) return x <= -limit ? -greatest - 1 : (int64_t)x;
    return x <= 0 ? 0 : (int64_t)(uint64_t)x;
}

double eval_int_to_float(int64_t x, bool is_unsigned, tn_dtype to) {
    if (to == TN_F64) return is_unsigned ? (double)(uint64_t)x : (double)x;
    bool is_negative = !is_unsigned && x < 0;
    uint64_t size = is_negative ? -(uint64_t)x : (uint64_t)x;
    /* What f64 cannot hold goes into one sticky bit, so that the rounding to follow is the only one. */
    if (size >> 53) size = (size & ~UINT64_C(0x7ff)) | (size & 0x7ff ? UINT64_C(0x800) : 0);
    return is_negative ? -(double)size : (double)size;
}

int64_t eval_wrap(int64_t x, tn_dtype to) {
    int_type type = eval_int_type(to);
    if (to == TN_BOOL) return x != 0;
    if (type.bits == 0 || type.bits == 64) return x;
    uint64_t mask = (UINT64_C(1) << type.bits) - 1, cut = (uint64_t)x & mask;
    if (type.is_signed && cut >> (type.bits - 1)) cut |= ~mask;
    return (int64_t)cut;
}
