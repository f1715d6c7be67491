/* Elements of ONNX tensors (see tensorproto.h).
 *
 * The elements of a tensor are raw little-endian bytes, bytes in a file beside the model, or one
 * of the typed fields, whose number and width depend on the data type: the table below.
 */
#include "frontends/onnx/tensorproto.h"

#include "frontends/onnx/proto_store.h"
#include "frontends/onnx/proto_tables.h"
#include "frontends/onnx/proto_wire.h"
#include "runtime/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
enum { HOST_IS_LITTLE_ENDIAN = 0 };
#else
enum { HOST_IS_LITTLE_ENDIAN = 1 };
#endif

/* Numbers of TensorProto's fields that hold elements. */
enum {
    FLOAT_DATA = 4,
    INT32_DATA = 5,
    STRING_DATA = 6,
    INT64_DATA = 7,
    RAW_DATA = 9,
    DOUBLE_DATA = 10,
    UINT64_DATA = 11,
};

/* In a row: ONNX's name, Tenon's dtype, the typed field with how one of its values is written. */
static const struct {
    const char *name;
    tn_dtype dtype;
    int32_t field;
    wire_type wire;
} data_types[] = {
    [ONNX_UNDEFINED] = {"UNDEFINED", TN_DTYPE_INVALID, 0, WIRE_VARINT},
    [ONNX_FLOAT] = {"FLOAT", TN_F32, FLOAT_DATA, WIRE_FIXED32},
    [ONNX_UINT8] = {"UINT8", TN_U8, INT32_DATA, WIRE_VARINT},
    [ONNX_INT8] = {"INT8", TN_I8, INT32_DATA, WIRE_VARINT},
    [ONNX_UINT16] = {"UINT16", TN_U16, INT32_DATA, WIRE_VARINT},
    [ONNX_INT16] = {"INT16", TN_I16, INT32_DATA, WIRE_VARINT},
    [ONNX_INT32] = {"INT32", TN_I32, INT32_DATA, WIRE_VARINT},
    [ONNX_INT64] = {"INT64", TN_I64, INT64_DATA, WIRE_VARINT},
    [ONNX_STRING] = {"STRING", TN_DTYPE_INVALID, STRING_DATA, WIRE_BYTES},
    [ONNX_BOOL] = {"BOOL", TN_BOOL, INT32_DATA, WIRE_VARINT},
    [ONNX_FLOAT16] = {"FLOAT16", TN_F16, INT32_DATA, WIRE_VARINT},
    [ONNX_DOUBLE] = {"DOUBLE", TN_F64, DOUBLE_DATA, WIRE_FIXED64},
    [ONNX_UINT32] = {"UINT32", TN_U32, UINT64_DATA, WIRE_VARINT},
    [ONNX_UINT64] = {"UINT64", TN_U64, UINT64_DATA, WIRE_VARINT},
    [ONNX_COMPLEX64] = {"COMPLEX64", TN_DTYPE_INVALID, FLOAT_DATA, WIRE_FIXED32},
    [ONNX_COMPLEX128] = {"COMPLEX128", TN_DTYPE_INVALID, DOUBLE_DATA, WIRE_FIXED64},
    [ONNX_BFLOAT16] = {"BFLOAT16", TN_BF16, INT32_DATA, WIRE_VARINT},
    [17] = {"FLOAT8E4M3FN", TN_DTYPE_INVALID, INT32_DATA, WIRE_VARINT},
    [18] = {"FLOAT8E4M3FNUZ", TN_DTYPE_INVALID, INT32_DATA, WIRE_VARINT},
    [19] = {"FLOAT8E5M2", TN_DTYPE_INVALID, INT32_DATA, WIRE_VARINT},
    [20] = {"FLOAT8E5M2FNUZ", TN_DTYPE_INVALID, INT32_DATA, WIRE_VARINT},
    [21] = {"UINT4", TN_DTYPE_INVALID, INT32_DATA, WIRE_VARINT},
    [22] = {"INT4", TN_DTYPE_INVALID, INT32_DATA, WIRE_VARINT},
    [23] = {"FLOAT4E2M1", TN_DTYPE_INVALID, INT32_DATA, WIRE_VARINT},
    [24] = {"FLOAT8E8M0", TN_DTYPE_INVALID, INT32_DATA, WIRE_VARINT},
};
enum { DATA_TYPE_COUNT = sizeof data_types / sizeof data_types[0] };

static bool is_data_type(int32_t data_type) { return data_type >= 0 && data_type < DATA_TYPE_COUNT; }

const char *onnx_data_type_name(int32_t data_type) {
    return is_data_type(data_type) ? data_types[data_type].name : "unknown";
}

tn_dtype onnx_data_type_dtype(int32_t data_type) {
    return is_data_type(data_type) ? data_types[data_type].dtype : TN_DTYPE_INVALID;
}

int32_t onnx_data_type_of(tn_dtype dtype) {
    for (int32_t i = 1; i < DATA_TYPE_COUNT; i++)
        if (data_types[i].dtype == dtype && dtype != TN_DTYPE_INVALID) return i;
    return ONNX_UNDEFINED;
}

/* ---- What a tensor is ------------------------------------------------------------------- */

static tn_status refuse(const onnx_store *store, const onnx_tensor *tensor, tn_diag *diag, tn_status status,
                        const char *format, ...) __attribute__((format(printf, 5, 6)));

static tn_status refuse(const onnx_store *store, const onnx_tensor *tensor, tn_diag *diag, tn_status status,
                        const char *format, ...) {
    char reason[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return diag_fail(diag, status, "tensor '%.200s': %s (byte %zu)", tensor->name, reason,
                     (size_t)(tensor->body.data - store->bytes.data));
}

/* Element count times bytes each; false: it does not fit. A dim of 0 makes all others harmless. */
static bool size_of(tensor_info *info) {
    info->elements = 1;
    for (int i = 0; i < info->rank; i++)
        if (info->dims[i] == 0) info->elements = 0;
    for (int i = 0; i < info->rank && info->elements > 0; i++)
        if (__builtin_mul_overflow(info->elements, info->dims[i], &info->elements)) return false;
    int64_t bytes;
    if (__builtin_mul_overflow(info->elements, (int64_t)tn_dtype_bits(info->dtype) / 8, &bytes)) return false;
    info->bytes = (size_t)bytes;
    return (uint64_t)bytes <= SIZE_MAX / 2;
}

static tn_status find_info(const onnx_store *store, const onnx_tensor *tensor, tensor_info *info, tn_diag *diag) {
    *info = (tensor_info){.dtype = onnx_data_type_dtype(tensor->data_type)};
    if (info->dtype == TN_DTYPE_INVALID)
        return refuse(store, tensor, diag, TN_ERR_UNSUPPORTED, "data type %s (%d) is not supported",
                      onnx_data_type_name(tensor->data_type), (int)tensor->data_type);
    if (tensor->dims.count > TN_MAX_RANK)
        return refuse(store, tensor, diag, TN_ERR_LIMIT, "rank %zu, the highest supported is %d", tensor->dims.count,
                      TN_MAX_RANK);
    info->rank = (int)tensor->dims.count;
    for (int i = 0; i < info->rank; i++) info->dims[i] = tensor->dims.items[i];
    if (!size_of(info)) return refuse(store, tensor, diag, TN_ERR_LIMIT, "its size in bytes does not fit in 63 bits");
    return TN_OK;
}

/* ---- Typed fields ----------------------------------------------------------------------- */

/* Gives the values of the tensor's typed field in order. A message may hold packed and single
 * values mixed. */
typedef struct value_reader {
    wire_reader message;
    wire_reader packed;
    uint32_t number;
    wire_type wire;
} value_reader;

static value_reader values_open(const onnx_tensor *tensor) {
    return (value_reader){
        .message = wire_open(tensor->body),
        .packed = wire_open((onnx_bytes){tensor->body.data, 0}),
        .number = (uint32_t)data_types[tensor->data_type].field,
        .wire = data_types[tensor->data_type].wire,
    };
}

/* False: no more. The message was checked when it was parsed. */
static bool values_next(value_reader *values, uint64_t *value) {
    while (values->packed.in.bytes_left == 0) {
        wire_field field;
        if (wire_next(&values->message, &field) != WIRE_FIELD) return false;
        if (field.number != values->number) continue;
        if (field.type == values->wire) {
            *value = field.value;
            return true;
        }
        values->packed = wire_open(field.bytes);
    }
    return wire_value(&values->packed, values->wire, value);
}

/* How many values there are, and where they are if that is one packed piece. */
static size_t count_values(const onnx_tensor *tensor, onnx_bytes *packed) {
    value_reader values = values_open(tensor);
    size_t total = 0, pieces = 0;
    wire_field field;
    while (wire_next(&values.message, &field) == WIRE_FIELD) {
        if (field.number != values.number) continue;
        size_t count = 1;
        if (field.type == WIRE_BYTES) wire_packed_count(field.bytes, values.wire, &count);
        *packed = field.bytes;
        total += count;
        pieces++;
    }
    if (pieces != 1) *packed = (onnx_bytes){0};
    return total;
}

/* Stores the low bytes of a value in the machine's order. */
static void store_low(char *place, uint64_t value, size_t bytes) {
    uint8_t b = (uint8_t)value;
    uint16_t h = (uint16_t)value;
    uint32_t w = (uint32_t)value;
    const void *from = bytes == 1 ? (const void *)&b : bytes == 2 ? (const void *)&h : &w;
    memcpy(place, bytes == 8 ? &value : from, bytes);
}

static tn_status view_typed(onnx_store *store, const onnx_tensor *tensor, const tensor_info *info, const void **data,
                            tn_diag *diag) {
    int32_t expected = data_types[tensor->data_type].field;
    if (tensor->data_field != 0 && tensor->data_field != expected)
        return refuse(store, tensor, diag, TN_ERR_PARSE, "elements of type %s are in field %d, expected %d or raw_data",
                      onnx_data_type_name(tensor->data_type), (int)tensor->data_field, (int)expected);
    onnx_bytes packed = {0};
    size_t count = count_values(tensor, &packed);
    if (count != (uint64_t)info->elements)
        return refuse(store, tensor, diag, TN_ERR_PARSE, "%zu elements are given, its dims ask for %lld", count,
                      (long long)info->elements);
    size_t each = tn_dtype_bits(info->dtype) / 8;
    bool in_place = packed.data && HOST_IS_LITTLE_ENDIAN && data_types[tensor->data_type].wire != WIRE_VARINT;
    if (in_place || count == 0) {
        *data = in_place ? packed.data : tensor->body.data;
        return TN_OK;
    }
    char *elements = arena_alloc(&store->data, count, each);
    if (!elements) return refuse(store, tensor, diag, TN_ERR_MEMORY, "out of memory for its elements");
    value_reader values = values_open(tensor);
    uint64_t value;
    for (size_t i = 0; i < count && values_next(&values, &value); i++)
        store_low(elements + i * each, info->dtype == TN_BOOL ? value != 0 : value, each);
    *data = elements;
    return TN_OK;
}

/* ---- Raw and external bytes ------------------------------------------------------------- */

static bool is_canonical(const tensor_info *info, const uint8_t *bytes) {
    if (info->dtype == TN_BOOL)
        for (size_t i = 0; i < info->bytes; i++)
            if (bytes[i] > 1) return false;
    return HOST_IS_LITTLE_ENDIAN || tn_dtype_bits(info->dtype) == 8;
}

/* Little-endian elements: in place when that is the machine's order, else a copy. */
static tn_status view_raw(onnx_store *store, const onnx_tensor *tensor, const tensor_info *info, onnx_bytes raw,
                          const void **data, tn_diag *diag) {
    if (raw.size != info->bytes)
        return refuse(store, tensor, diag, TN_ERR_PARSE, "%zu bytes of data are given, its type and dims ask for %zu",
                      raw.size, info->bytes);
    *data = raw.data;
    if (is_canonical(info, raw.data)) return TN_OK;
    size_t each = tn_dtype_bits(info->dtype) / 8;
    char *copy = arena_alloc(&store->data, (size_t)info->elements, each);
    if (!copy) return refuse(store, tensor, diag, TN_ERR_MEMORY, "out of memory for its elements");
    for (size_t i = 0; i < (size_t)info->elements; i++) {
        uint64_t value = 0;
        for (size_t b = 0; b < each; b++) value |= (uint64_t)raw.data[i * each + b] << (8 * b);
        store_low(copy + i * each, info->dtype == TN_BOOL ? value != 0 : value, each);
    }
    *data = copy;
    return TN_OK;
}

/* A decimal number as external_data has it. */
static bool parse_decimal(const char *digits, uint64_t *value) {
    *value = 0;
    for (const char *c = digits; *c; c++)
        if (*c < '0' || *c > '9' || __builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*c - '0'), value))
            return false;
    return digits[0] != '\0';
}

static tn_status map_external(onnx_store *store, const char *location, onnx_bytes *bytes, tn_diag *diag) {
    onnx_external_file *file = store->external_files;
    while (file && strcmp(file->location, location) != 0) file = file->next;
    if (!file) {
        file = ARENA_NEW(&store->data, onnx_external_file);
        if (!file) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
        tn_status status = file_map_beneath(store->folder, location, &file->map, diag);
        if (status != TN_OK) return status;
        file->location = location;
        file->next = store->external_files;
        store->external_files = file;
    }
    *bytes = file->map.bytes;
    return TN_OK;
}

static tn_status view_external(onnx_store *store, const onnx_tensor *tensor, const tensor_info *info, const void **data,
                               tn_diag *diag) {
    const char *location = "";
    uint64_t offset = 0, length = info->bytes;
    for (size_t i = 0; i < tensor->external.count; i++) {
        const onnx_entry *entry = &tensor->external.items[i];
        uint64_t *number = strcmp(entry->key, "offset") == 0   ? &offset
                           : strcmp(entry->key, "length") == 0 ? &length
                                                               : NULL;
        if (strcmp(entry->key, "location") == 0) location = entry->value;
        if (number && !parse_decimal(entry->value, number))
            return refuse(store, tensor, diag, TN_ERR_PARSE, "external data: %s '%.50s' is not a number of bytes",
                          entry->key, entry->value);
    }
    if (store->folder < 0)
        return refuse(store, tensor, diag, TN_ERR_UNSUPPORTED, "external data, but the model has no folder");
    onnx_bytes file = {0};
    tn_status status = map_external(store, location, &file, diag);
    if (status != TN_OK) return status;
    if (offset > file.size || length > file.size - offset)
        return refuse(store, tensor, diag, TN_ERR_PARSE,
                      "external data: %llu bytes at %llu are not in '%.100s', which has %zu",
                      (unsigned long long)length, (unsigned long long)offset, location, file.size);
    return view_raw(store, tensor, info, (onnx_bytes){file.data + offset, (size_t)length}, data, diag);
}

static tn_status find_view(onnx_store *store, const onnx_tensor *tensor, tensor_info *info, const void **data,
                           tn_diag *diag) {
    tn_status status = find_info(store, tensor, info, diag);
    if (status != TN_OK) return status;
    if (tensor->data_location == 1) return view_external(store, tensor, info, data, diag);
    if (tensor->data_field == RAW_DATA) return view_raw(store, tensor, info, tensor->raw_data, data, diag);
    return view_typed(store, tensor, info, data, diag);
}

tn_status tensorproto_info(const onnx_store *store, const onnx_tensor *tensor, tensor_info *info, tn_diag *diag) {
    return diag_in_file(diag, find_info(store, tensor, info, diag), store->file_name);
}

tn_status tensorproto_view(onnx_store *store, const onnx_tensor *tensor, tensor_info *info, const void **data,
                           tn_diag *diag) {
    return diag_in_file(diag, find_view(store, tensor, info, data, diag), store->file_name);
}

/* ---- Files with one tensor -------------------------------------------------------------- */

/* Nothing in a file says which message it is. A SequenceProto or OptionalProto has a name (bytes),
 * its element kind (0 to 5) and messages in fields 3 to 7, nothing else. */
static bool looks_like_sequence(onnx_bytes bytes) {
    wire_reader reader = wire_open(bytes);
    wire_field field;
    wire_result result;
    bool has_kind = false;
    while ((result = wire_next(&reader, &field)) == WIRE_FIELD) {
        bool is_kind = field.number == 2 && field.type == WIRE_VARINT && field.value <= 5;
        if (!is_kind && (field.type != WIRE_BYTES || field.number == 2 || field.number > 7)) return false;
        has_kind = has_kind || is_kind;
    }
    return result == WIRE_END && has_kind;
}

static tn_status read_tensor_file(onnx_tensor_file *file, tn_diag *diag) {
    onnx_store *store = file->store;
    if (store->bytes.size == 0) return diag_fail(diag, TN_ERR_PARSE, "the file is empty, expected a TensorProto");
    proto_parser parser = store_parser(store, diag);
    proto_path root = {NULL, "", -1, store->bytes};
    tn_status status = proto_parse(&parser, &onnx_tensor_message, &root, &file->tensor);
    if (status == TN_OK) status = find_view(store, &file->tensor, &file->info, &file->data, diag);
    if (status != TN_OK && status != TN_ERR_MEMORY && looks_like_sequence(store->bytes))
        status =
            diag_fail(diag, TN_ERR_UNSUPPORTED, "this is a SequenceProto or OptionalProto, only tensors are supported");
    return status;
}

tn_status tensorproto_file_open(const char *path, onnx_tensor_file *file, tn_diag *diag) {
    *file = (onnx_tensor_file){0};
    tn_status status = store_open(path, NULL, 0, NULL, &file->store, diag);
    if (status != TN_OK) return diag_in_file(diag, status, path);
    file->store->folder = folder_of(path);
    status = read_tensor_file(file, diag);
    if (status != TN_OK) tensorproto_file_close(file);
    return diag_in_file(diag, status, path);
}

tn_status tensorproto_file_from_memory(const void *bytes, size_t size, onnx_tensor_file *file, tn_diag *diag) {
    *file = (onnx_tensor_file){0};
    tn_status status = store_open(NULL, bytes, size, NULL, &file->store, diag);
    if (status != TN_OK) return status;
    status = read_tensor_file(file, diag);
    if (status != TN_OK) tensorproto_file_close(file);
    return status;
}

void tensorproto_file_close(onnx_tensor_file *file) {
    store_close(file->store);
    *file = (onnx_tensor_file){0};
}
