/* Finding NaN in memory, and saying where (see nan.h).
 *
 * By bits, so that neither flags nor modes of floating point matter: a NaN is what lies above infinity without its sign.
 * Blocks of elements are looked at without a branch, which compilers make vectors of.
 */
#include "runtime/nan.h"

#include <stdlib.h>
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
    for (int64_t i = 0; i < n; i++, offset = tensor_next(t, t->strides, at, offset))
        if (nan_find(t->dtype, (const char *)t->data + offset * bytes, 1) == 0) return i;
    return -1;
}

void nan_add_element(line *t, const char *type, uint64_t element) {
    int64_t sizes[TN_MAX_RANK], strides[TN_MAX_RANK];
    int rank = 0;
    bool is_known = true;
    const char *at = type;
    while (*at != '\0' && *at != '[') at++;
    if (strcmp(at, "[]") == 0) at += 2;
    while (*at == '[' || *at == ',') {
        char *end;
        sizes[rank] = strtoll(at + 1, &end, 10);
        if (rank > 0 && (end == at + 1 || (*end != ',' && *end != ']') || sizes[rank] <= 0)) is_known = false;
        for (at++; *at != '\0' && *at != ',' && *at != ']'; at++)
            if (*at == '(' || rank + 1 >= TN_MAX_RANK) is_known = false; /* an expression with commas of its own */
        if (!is_known) break;
        rank++;
    }
    if (!is_known || rank == 0) {
        if (rank > 0 || !is_known) line_add(t, " at element %llu", (unsigned long long)element);
        line_add(t, "%s%s", rank > 0 || !is_known ? " of " : " in ", type);
        return;
    }
    strides[rank - 1] = 1;
    for (int i = rank - 1; i > 0; i--) strides[i - 1] = strides[i] * sizes[i];
    line_add(t, " at element [");
    for (int i = 0; i < rank; element %= (uint64_t)strides[i++])
        line_add(t, "%s%llu", i ? ", " : "", (unsigned long long)(element / (uint64_t)strides[i]));
    line_add(t, "] of %s", type);
}
