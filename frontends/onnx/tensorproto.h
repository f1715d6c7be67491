/* Elements of ONNX tensors, and tensors in files of their own.
 *
 * in:  an onnx_tensor (proto.h), or a file with one TensorProto
 * out: dtype, dims and elements, row-major, in the machine's byte order; elements stay where they
 *      are in the mapped file when they have that form there
 * law: no byte is read outside of the message or the external file, and none is missing: the
 *      number of elements given must be exactly what the dims ask for
 */
#ifndef TN_ONNX_TENSORPROTO_H
#define TN_ONNX_TENSORPROTO_H

#include "frontends/onnx/proto.h"

/* TensorProto.DataType */
enum {
    ONNX_UNDEFINED = 0,
    ONNX_FLOAT = 1,
    ONNX_UINT8 = 2,
    ONNX_INT8 = 3,
    ONNX_UINT16 = 4,
    ONNX_INT16 = 5,
    ONNX_INT32 = 6,
    ONNX_INT64 = 7,
    ONNX_STRING = 8,
    ONNX_BOOL = 9,
    ONNX_FLOAT16 = 10,
    ONNX_DOUBLE = 11,
    ONNX_UINT32 = 12,
    ONNX_UINT64 = 13,
    ONNX_COMPLEX64 = 14,
    ONNX_COMPLEX128 = 15,
    ONNX_BFLOAT16 = 16,
};

/* ONNX's name of a data type ("FLOAT16"); "unknown" for a number that ONNX does not define. */
const char *onnx_data_type_name(int32_t data_type);

/* Tenon's dtype for it, or TN_DTYPE_INVALID: there is none. */
tn_dtype onnx_data_type_dtype(int32_t data_type);

/* The reverse; ONNX_UNDEFINED when there is none. */
int32_t onnx_data_type_of(tn_dtype dtype);

typedef struct tensor_info {
    tn_dtype dtype;
    int rank;
    int64_t dims[TN_MAX_RANK];
    int64_t elements;
    size_t bytes;
} tensor_info;

/* What a tensor is, without its elements. Fails when the data type has no dtype, the rank is
 * above TN_MAX_RANK, or the size does not fit in memory. The diagnostic names the tensor. */
tn_status tensorproto_info(const onnx_store *store, const onnx_tensor *tensor, tensor_info *info, tn_diag *diag);

/* The elements: info->bytes bytes at *data, valid as long as the store, not necessarily aligned.
 * External data is mapped, typed fields are decoded into the store's memory. */
tn_status tensorproto_view(onnx_store *store, const onnx_tensor *tensor, tensor_info *info, const void **data,
                           tn_diag *diag);

/* A file that holds one tensor, as the standard's tests keep inputs and outputs. */
typedef struct onnx_tensor_file {
    onnx_store *store;
    onnx_tensor tensor;
    tensor_info info;
    const void *data; /* see tensorproto_view */
} onnx_tensor_file;

/* Reads a file with one TensorProto. A SequenceProto or OptionalProto is refused by name. On
 * failure nothing needs closing, *diag has `path` as its file. */
tn_status tensorproto_file_open(const char *path, onnx_tensor_file *file, tn_diag *diag);

/* The same from bytes that the caller keeps alive. */
tn_status tensorproto_file_from_memory(const void *bytes, size_t size, onnx_tensor_file *file, tn_diag *diag);

void tensorproto_file_close(onnx_tensor_file *file);

#endif
