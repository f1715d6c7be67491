/* Tensors to and from DLPack.
 *
 * in:  managed tensors of other libraries, or tensors of ours
 * out: the other one, over the same memory
 * law: nothing is copied but descriptions; a tensor that this library cannot address or whose
 *      dtype it does not have is refused by name
 */
#include "runtime/dlpack.h"

#include <string.h>

#include "runtime/alloc.h"
#include "runtime/diag.h"
#include "runtime/tensor.h"

/* ---- Dtypes ---------------------------------------------------------------------------------------------- */

enum { CODE_BOOL = kDLBool, CODE_SINT = kDLInt, CODE_UINT = kDLUInt, CODE_FLOAT = kDLFloat };

static const DLDataType types[TN_DTYPE_COUNT] = {
#define DTYPE(ENUM, name, bits, kind, storage) [TN_##ENUM] = {TN_##ENUM == TN_BF16 ? kDLBfloat : CODE_##kind, bits, 1},
#include "runtime/dtypes.def"
#undef DTYPE
};

static tn_dtype dtype_of(DLDataType type) {
    for (int i = 0; i < TN_DTYPE_COUNT; i++)
        if (types[i].code == type.code && types[i].bits == type.bits && type.lanes == 1) return (tn_dtype)i;
    return TN_DTYPE_INVALID;
}

/* ---- From -------------------------------------------------------------------------------------------------- */

static bool host_can_address(DLDevice device) {
    return device.device_type == kDLCPU || device.device_type == kDLCUDAHost || device.device_type == kDLROCMHost;
}

static tn_status view(const DLTensor *from, tn_tensor *tensor, tn_diag *diag) {
    if (!host_can_address(from->device))
        return diag_fail(diag, TN_ERR_UNSUPPORTED, "dlpack: device type %d is not the host's memory",
                         (int)from->device.device_type);
    tn_dtype dtype = dtype_of(from->dtype);
    if (dtype == TN_DTYPE_INVALID)
        return diag_fail(diag, TN_ERR_UNSUPPORTED, "dlpack: dtype code %d with %d bits and %d lanes is not supported",
                         from->dtype.code, from->dtype.bits, from->dtype.lanes);
    if (from->ndim < 0 || from->ndim > TN_MAX_RANK)
        return diag_fail(diag, TN_ERR_UNSUPPORTED, "dlpack: rank %d is not in [0, %d]", (int)from->ndim, TN_MAX_RANK);
    if (from->ndim > 0 && from->shape == NULL) return diag_fail(diag, TN_ERR_ARGUMENT, "dlpack: shape is NULL");
    char *data = from->data;
    if (data != NULL) data += from->byte_offset;
    tn_tensor t = tn_tensor_of(dtype, data, from->ndim, from->shape);
    if (from->strides != NULL) t = tn_tensor_strided(dtype, data, from->ndim, from->shape, from->strides);
    int64_t low, high;
    if (!tensor_span(&t, &low, &high))
        return diag_fail(diag, TN_ERR_ARGUMENT, "dlpack: a size is negative or does not fit in 63 bits");
    if (data == NULL && low != high) return diag_fail(diag, TN_ERR_ARGUMENT, "dlpack: data is NULL");
    *tensor = t;
    return TN_OK;
}

tn_status tn_tensor_from_dlpack(const struct DLManagedTensor *managed, tn_tensor *tensor, tn_diag *diag) {
    if (managed == NULL || tensor == NULL) return diag_fail(diag, TN_ERR_ARGUMENT, "dlpack: an argument is NULL");
    return view(&managed->dl_tensor, tensor, diag);
}

tn_status tn_tensor_from_dlpack_versioned(const struct DLManagedTensorVersioned *managed, tn_tensor *tensor,
                                          bool *is_read_only, tn_diag *diag) {
    if (managed == NULL || tensor == NULL) return diag_fail(diag, TN_ERR_ARGUMENT, "dlpack: an argument is NULL");
    if (managed->version.major != DLPACK_MAJOR_VERSION)
        return diag_fail(diag, TN_ERR_UNSUPPORTED, "dlpack: version %u.%u is not %d.x",
                         (unsigned)managed->version.major, (unsigned)managed->version.minor, DLPACK_MAJOR_VERSION);
    tn_status status = view(&managed->dl_tensor, tensor, diag);
    if (status == TN_OK && is_read_only != NULL) *is_read_only = (managed->flags & DLPACK_FLAG_BITMASK_READ_ONLY) != 0;
    return status;
}

/* ---- To ------------------------------------------------------------------------------------------------------ */

/* A managed tensor of ours with the arrays that it points to. */
typedef struct exported {
    union {
        DLManagedTensor plain;
        DLManagedTensorVersioned versioned;
    } managed;
    int64_t shape[TN_MAX_RANK], strides[TN_MAX_RANK];
    void (*release)(void *ctx);
    void *ctx;
} exported;

static void end(void *manager_ctx) {
    exported *e = manager_ctx;
    if (e->release != NULL) e->release(e->ctx);
    tn_free(e);
}

static void delete_plain(struct DLManagedTensor *self) { end(self->manager_ctx); }

static void delete_versioned(struct DLManagedTensorVersioned *self) { end(self->manager_ctx); }

static exported *export_tensor(const tn_tensor *tensor, DLTensor *to, void (*release)(void *ctx), void *ctx) {
    int64_t low, high;
    if (tensor == NULL || tensor->device != 0 || !tensor_span(tensor, &low, &high)) return NULL;
    exported *e = tn_calloc(1, sizeof *e);
    if (e == NULL) return NULL;
    e->release = release;
    e->ctx = ctx;
    int64_t stride = 1;
    for (int axis = tensor->rank - 1; axis >= 0; axis--) {
        e->shape[axis] = tensor->shape[axis];
        e->strides[axis] = tensor->has_strides ? tensor->strides[axis] : stride;
        if (tensor->shape[axis] > 0 && __builtin_mul_overflow(stride, tensor->shape[axis], &stride)) stride = 1;
    }
    *to = (DLTensor){
        .data = tensor->data,
        .device = {kDLCPU, 0},
        .ndim = tensor->rank,
        .dtype = types[tensor->dtype],
        .shape = e->shape,
        .strides = e->strides,
    };
    return e;
}

struct DLManagedTensor *tn_tensor_to_dlpack(const tn_tensor *tensor, void (*release)(void *ctx), void *ctx) {
    DLTensor to;
    exported *e = export_tensor(tensor, &to, release, ctx);
    if (e == NULL) return NULL;
    e->managed.plain = (DLManagedTensor){to, e, delete_plain};
    return &e->managed.plain;
}

struct DLManagedTensorVersioned *tn_tensor_to_dlpack_versioned(const tn_tensor *tensor, bool is_read_only,
                                                               void (*release)(void *ctx), void *ctx) {
    DLTensor to;
    exported *e = export_tensor(tensor, &to, release, ctx);
    if (e == NULL) return NULL;
    e->managed.versioned = (DLManagedTensorVersioned){
        .version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION},
        .manager_ctx = e,
        .deleter = delete_versioned,
        .flags = is_read_only ? DLPACK_FLAG_BITMASK_READ_ONLY : 0,
        .dl_tensor = to,
    };
    return &e->managed.versioned;
}
