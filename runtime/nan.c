/* Finding NaN in memory (see nan.h).
 *
 * By bits, so that neither flags nor modes of floating point matter: a NaN is what lies above infinity without its sign.
 * Blocks of elements are looked at without a branch, which compilers make vectors of.
 */
#include "runtime/nan.h"

#include <string.h>

#include "runtime/tensor.h"

enum { BLOCK = 1024 };

#define FIND(name, word, infinity)                                                                                     \
    static int64_t name(const char *data, int64_t n) {                                                                 \
        const word magnitude = (word)((word) ~(word)0 >> 1);                                                           \
        for (int64_t from = 0; from < n; from += BLOCK) {                                                              \
            int64_t end = from + BLOCK < n ? from + BLOCK : n;                                                         \
            word any = 0, x;                                                                                           \
            for (int64_t i = from; i < end; i++) {                                                                     \
                memcpy(&x, data + i * (int64_t)sizeof x, sizeof x);                                                    \
                any |= (word)((x & magnitude) > (infinity));                                                           \
            }                                                                                                          \
            for (int64_t i = from; any && i < end; i++) {                                                              \
                memcpy(&x, data + i * (int64_t)sizeof x, sizeof x);                                                    \
                if ((x & magnitude) > (infinity)) return i;                                                            \
            }                                                                                                          \
        }                                                                                                              \
        return -1;                                                                                                     \
    }
FIND(find_f16, uint16_t, 0x7c00)
FIND(find_bf16, uint16_t, 0x7f80)
FIND(find_f32, uint32_t, UINT32_C(0x7f800000))
FIND(find_f64, uint64_t, UINT64_C(0x7ff0000000000000))
#undef FIND

int64_t nan_find(tn_dtype dtype, const void *data, int64_t n) {
    switch (dtype) {
    case TN_F16: return find_f16(data, n);
    case TN_BF16: return find_bf16(data, n);
    case TN_F32: return find_f32(data, n);
    case TN_F64: return find_f64(data, n);
    default: return -1;
    }
}

int64_t nan_find_tensor(const tn_tensor *t) {
    int64_t n = tn_tensor_elements(t), at[TN_MAX_RANK] = {0}, offset = 0;
    int64_t bytes = tn_dtype_bits(t->dtype) / 8;
    if (n <= 0) return -1;
    if (tn_tensor_is_contiguous(t)) return nan_find(t->dtype, t->data, n);
    for (int64_t i = 0; i < n; i++) {
        if (nan_find(t->dtype, (const char *)t->data + offset * bytes, 1) == 0) return i;
        for (int axis = t->rank; axis-- > 0;) { /* the next index */
            offset += t->strides[axis];
            if (++at[axis] < t->shape[axis]) break;
            offset -= at[axis] * t->strides[axis];
            at[axis] = 0;
        }
    }
    return -1;
}
