/* Tensors: views of arrays that the caller owns.
 *
 * in:  pointer, dtype, shape, strides in elements; possibly wrong in any way
 * out: sizes, checks, copies, text
 * law: no arithmetic on sizes overflows; a tensor that is malformed is refused, never followed
 */
#include "runtime/tensor.h"

#include <string.h>

tn_tensor tn_tensor_of(tn_dtype dtype, void *data, int rank, const int64_t *shape) {
    tn_tensor t = {.data = data, .dtype = dtype, .rank = rank};
    if (rank < 0 || rank > TN_MAX_RANK || (rank > 0 && shape == NULL)) {
        t.dtype = TN_DTYPE_INVALID;
        t.rank = 0;
        return t;
    }
    if (rank > 0) memcpy(t.shape, shape, (size_t)rank * sizeof *shape);
    return t;
}

tn_tensor tn_tensor_strided(tn_dtype dtype, void *data, int rank, const int64_t *shape, const int64_t *strides) {
    tn_tensor t = tn_tensor_of(dtype, data, rank, shape);
    t.has_strides = true;
    if (t.rank > 0 && strides == NULL) t.dtype = TN_DTYPE_INVALID;
    if (t.rank > 0 && strides != NULL) memcpy(t.strides, strides, (size_t)t.rank * sizeof *strides);
    return t;
}

int64_t tensor_count(int rank, const int64_t *shape, tn_dtype dtype) {
    unsigned bits = tn_dtype_bits(dtype);
    int64_t n = 1, unused;
    if (rank < 0 || rank > TN_MAX_RANK || bits == 0) return -1;
    bool is_empty = false;
    for (int axis = 0; axis < rank; axis++) {
        if (shape[axis] < 0) return -1;
        if (shape[axis] == 0) is_empty = true;
    }
    if (is_empty) return 0;
    for (int axis = 0; axis < rank; axis++)
        if (__builtin_mul_overflow(n, shape[axis], &n)) return -1;
    return __builtin_mul_overflow(n, (int64_t)bits, &unused) ? -1 : n;
}

int64_t tn_tensor_elements(const tn_tensor *tensor) {
    return tensor == NULL ? -1 : tensor_count(tensor->rank, tensor->shape, tensor->dtype);
}

int64_t tn_tensor_bytes(const tn_tensor *tensor) {
    int64_t n = tn_tensor_elements(tensor);
    return n < 0 ? -1 : (n * (int64_t)tn_dtype_bits(tensor->dtype) + 7) / 8;
}

bool tn_tensor_is_contiguous(const tn_tensor *tensor) {
    int64_t n = tn_tensor_elements(tensor), stride = 1;
    if (n < 0) return false;
    if (n == 0 || !tensor->has_strides) return true;
    for (int axis = tensor->rank - 1; axis >= 0; axis--) {
        if (tensor->shape[axis] != 1 && tensor->strides[axis] != stride) return false;
        stride *= tensor->shape[axis];
    }
    return true;
}

bool tensor_span(const tn_tensor *tensor, int64_t *low, int64_t *high) {
    int64_t n = tn_tensor_elements(tensor), bytes = (int64_t)tn_dtype_bits(tensor->dtype) / 8;
    *low = *high = 0;
    if (n < 0) return false;
    if (n == 0) return true;
    int64_t last = n - 1;
    if (tensor->has_strides) {
        last = 0;
        for (int axis = 0; axis < tensor->rank; axis++) {
            int64_t reach;
            int64_t *end = tensor->strides[axis] < 0 ? low : &last;
            if (__builtin_mul_overflow(tensor->shape[axis] - 1, tensor->strides[axis], &reach) ||
                __builtin_add_overflow(*end, reach, end))
                return false;
        }
    }
    return !__builtin_mul_overflow(*low, bytes, low) && !__builtin_add_overflow(last, 1, &last) &&
           !__builtin_mul_overflow(last, bytes, high);
}

tensor_range tensor_range_of(const tn_tensor *tensor) {
    int64_t low, high;
    if (!tensor_span(tensor, &low, &high)) return (tensor_range){0, UINTPTR_MAX};
    return (tensor_range){(uintptr_t)tensor->data + (uintptr_t)low, (uintptr_t)(high - low)};
}

bool tensor_ranges_meet(tensor_range a, tensor_range b) {
    if (a.bytes == 0 || b.bytes == 0) return false;
    if (a.bytes == UINTPTR_MAX || b.bytes == UINTPTR_MAX) return true;
    return a.start < b.start ? b.start - a.start < a.bytes : a.start - b.start < b.bytes;
}

/* ---- Copying ------------------------------------------------------------------------------------ */

/* Axes to walk, outermost first; those of both sides that follow each other are merged. */
typedef struct walk {
    int rank;
    int64_t shape[TN_MAX_RANK], to[TN_MAX_RANK], from[TN_MAX_RANK]; /* strides in elements */
} walk;

void tensor_strides(const tn_tensor *t, int64_t *strides) {
    int64_t stride = 1;
    for (int axis = t->rank - 1; axis >= 0; axis--) {
        strides[axis] = t->has_strides ? t->strides[axis] : stride;
        stride *= t->shape[axis];
    }
}

int64_t tensor_next(const tn_tensor *t, const int64_t *strides, int64_t *at, int64_t offset) {
    for (int axis = t->rank; axis-- > 0;) {
        offset += strides[axis];
        if (++at[axis] < t->shape[axis]) break;
        offset -= at[axis] * strides[axis];
        at[axis] = 0;
    }
    return offset;
}

static bool is_product(int64_t product, int64_t a, int64_t b) {
    int64_t value;
    return !__builtin_mul_overflow(a, b, &value) && value == product;
}

static walk walk_both(const tn_tensor *to, const tn_tensor *from) {
    walk w = {0};
    int64_t to_strides[TN_MAX_RANK], from_strides[TN_MAX_RANK];
    tensor_strides(to, to_strides);
    tensor_strides(from, from_strides);
    for (int axis = 0; axis < to->rank; axis++) {
        int64_t extent = to->shape[axis];
        int last = w.rank - 1;
        if (extent == 1) continue;
        bool follows = w.rank > 0 && is_product(w.to[last], to_strides[axis], extent) &&
                       is_product(w.from[last], from_strides[axis], extent);
        if (follows) {
            w.shape[last] *= extent;
        } else {
            last = w.rank++;
            w.shape[last] = extent;
        }
        w.to[last] = to_strides[axis];
        w.from[last] = from_strides[axis];
    }
    return w;
}

/* One row of elements of 1, 2, 4 or 8 bytes. */
#define COPY_ROW(type)                                                                                                 \
    for (int64_t i = 0; i < n; i++, to += to_step, from += from_step) memcpy(to, from, sizeof(type))

static void copy_row(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t n, int64_t bytes) {
    int64_t to_step = to_stride * bytes, from_step = from_stride * bytes;
    if (to_stride == 1 && from_stride == 1) {
        memcpy(to, from, (size_t)(n * bytes));
        return;
    }
    switch (bytes) {
    case 1: COPY_ROW(uint8_t); break;
    case 2: COPY_ROW(uint16_t); break;
    case 4: COPY_ROW(uint32_t); break;
    default: COPY_ROW(uint64_t); break;
    }
}

static void copy_axes(const walk *w, int axis, char *to, const char *from, int64_t bytes) {
    if (axis == w->rank - 1) {
        copy_row(to, w->to[axis], from, w->from[axis], w->shape[axis], bytes);
        return;
    }
    for (int64_t i = 0; i < w->shape[axis]; i++)
        copy_axes(w, axis + 1, to + i * w->to[axis] * bytes, from + i * w->from[axis] * bytes, bytes);
}

tn_status tn_tensor_copy(const tn_tensor *to, const tn_tensor *from) {
    int64_t n = tn_tensor_elements(to), low, high;
    if (n < 0 || tn_tensor_elements(from) < 0 || to->device != 0 || from->device != 0) return TN_ERR_ARGUMENT;
    if (to->dtype != from->dtype) return TN_ERR_DTYPE;
    if (to->rank != from->rank) return TN_ERR_SHAPE;
    if (to->rank > 0 && memcmp(to->shape, from->shape, (size_t)to->rank * sizeof *to->shape) != 0) return TN_ERR_SHAPE;
    if (n == 0) return TN_OK;
    if (to->data == NULL || from->data == NULL || !tensor_span(to, &low, &high) || !tensor_span(from, &low, &high))
        return TN_ERR_ARGUMENT;
    walk w = walk_both(to, from);
    int64_t bytes = (int64_t)tn_dtype_bits(to->dtype) / 8;
    if (w.rank == 0)
        memcpy(to->data, from->data, (size_t)bytes);
    else
        copy_axes(&w, 0, to->data, from->data, bytes);
    return TN_OK;
}

/* ---- Text ----------------------------------------------------------------------------------------- */

tn_tensor tensor_of_info(const tn_tensor_info *info, const void *data) {
    int64_t shape[TN_MAX_RANK];
    bool is_static = true;
    for (int axis = 0; axis < info->rank; axis++) {
        is_static &= info->dims[axis].kind == TN_DIM_CONSTANT;
        shape[axis] = info->dims[axis].value;
    }
    return tn_tensor_of(is_static ? info->dtype : TN_DTYPE_INVALID, (void *)(uintptr_t)data, info->rank, shape);
}

void tensor_add_text(line *t, const tn_tensor *tensor) {
    int rank = tensor->rank < 0 ? 0 : tensor->rank > TN_MAX_RANK ? TN_MAX_RANK : tensor->rank;
    line_add(t, "%s[", tn_dtype_name(tensor->dtype));
    for (int axis = 0; axis < rank; axis++) line_add(t, "%s%lld", axis ? ", " : "", (long long)tensor->shape[axis]);
    line_add(t, "]");
}

char *tn_tensor_text(const tn_tensor *tensor, char *bytes, size_t capacity) {
    if (bytes == NULL || capacity == 0) return bytes;
    bytes[0] = '\0';
    char whole[256];
    line t = {whole, sizeof whole, 0};
    if (tensor != NULL) tensor_add_text(&t, tensor);
    size_t length = t.used < capacity ? t.used : capacity - 1;
    memcpy(bytes, whole, length);
    bytes[length] = '\0';
    return bytes;
}
