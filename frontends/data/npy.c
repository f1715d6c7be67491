/* NumPy's .npy files (see npy.h).
 *
 * A file is a magic number, a version, the length of a header, the header, the elements. The
 * header is a Python dict literal with 'descr' (byte order, kind, bytes), 'fortran_order', 'shape'.
 */
#include "frontends/data/npy.h"

#include "frontends/data/atomic_file.h"
#include "frontends/data/element.h"
#include "frontends/data/read_file.h"
#include "runtime/alloc.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
enum { HOST_ORDER = '>', OTHER_ORDER = '<' };
#else
enum { HOST_ORDER = '<', OTHER_ORDER = '>' };
#endif

static const char magic[] = "\x93NUMPY";
enum { MAGIC_BYTES = 6, HEADER_ALIGNMENT = 64, MAX_HEADER_BYTES = 1 << 20 };

/* How each dtype is spelled behind its byte order. */
static const struct {
    tn_dtype dtype;
    const char *code;
} codes[] = {
    {TN_BOOL, "b1"}, {TN_I8, "i1"},  {TN_U8, "u1"},  {TN_I16, "i2"}, {TN_U16, "u2"}, {TN_I32, "i4"},  {TN_U32, "u4"},
    {TN_I64, "i8"},  {TN_U64, "u8"}, {TN_F16, "f2"}, {TN_F32, "f4"}, {TN_F64, "f8"}, {TN_BF16, "V2"},
};
enum { CODE_COUNT = sizeof codes / sizeof codes[0] };

/* ---- The header's dict ------------------------------------------------------------------ */

typedef struct cursor {
    const char *at, *end;
} cursor;

typedef struct header {
    char descr[16];
    bool is_fortran;
    int rank;
    int64_t dims[TN_MAX_RANK];
    bool has_descr, has_order, has_shape;
} header;

static void skip_space(cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r')) c->at++;
}

/* Takes `token` if it comes next. */
static bool take(cursor *c, const char *token) {
    skip_space(c);
    size_t length = strlen(token);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, token, length) != 0) return false;
    c->at += length;
    return true;
}

/* Takes a quoted string without escapes. */
static bool take_string(cursor *c, char *out, size_t size) {
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return false;
    char quote = *c->at++;
    size_t length = 0;
    while (c->at < c->end && *c->at != quote) {
        if (length + 1 >= size || *c->at == '\\') return false;
        out[length++] = *c->at++;
    }
    out[length] = '\0';
    return take(c, (char[]){quote, '\0'});
}

static bool take_size(cursor *c, int64_t *value) {
    skip_space(c);
    const char *start = c->at;
    *value = 0;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *c->at++ - '0', value))
            return false;
    bool is_number = c->at > start;
    take(c, "L"); /* Python 2 wrote long integers so */
    return is_number;
}

/* NULL, or what is wrong. */
static const char *take_shape(cursor *c, header *h) {
    if (!take(c, "(")) return "its 'shape' is not a tuple";
    while (!take(c, ")")) {
        if (h->rank == TN_MAX_RANK) return "it has more axes than the 8 that are supported";
        if (!take_size(c, &h->dims[h->rank])) return "its 'shape' holds something else than sizes below 2^63";
        h->rank++;
        if (!take(c, ",") && !(c->at < c->end && *c->at == ')')) return "its 'shape' is not a tuple";
    }
    return NULL;
}

static const char *take_entry(cursor *c, header *h) {
    char key[16];
    if (!take_string(c, key, sizeof key) || !take(c, ":")) return "its header is not a Python dict";
    if (strcmp(key, "descr") == 0) {
        h->has_descr = take_string(c, h->descr, sizeof h->descr);
        return h->has_descr ? NULL : "its 'descr' is not a plain dtype (structured arrays are not supported)";
    }
    if (strcmp(key, "fortran_order") == 0) {
        h->is_fortran = take(c, "True");
        h->has_order = h->is_fortran || take(c, "False");
        return h->has_order ? NULL : "its 'fortran_order' is neither True nor False";
    }
    if (strcmp(key, "shape") == 0 && !h->has_shape) {
        h->has_shape = true;
        return take_shape(c, h);
    }
    return "its header has a key that is unknown or comes twice";
}

static const char *parse_header(cursor c, header *h) {
    if (!take(&c, "{")) return "its header is not a Python dict";
    while (!take(&c, "}")) {
        const char *error = take_entry(&c, h);
        if (error) return error;
        if (!take(&c, ",") && !(c.at < c.end && *c.at == '}')) return "its header is not a Python dict";
    }
    return h->has_descr && h->has_order && h->has_shape ? NULL : "its header lacks 'descr', 'fortran_order' or 'shape'";
}

/* ---- Reading ---------------------------------------------------------------------------- */

/* Finds the header and where the elements start. */
static const char *find_header(const uint8_t *content, size_t size, cursor *dict, size_t *data_at) {
    if (size < MAGIC_BYTES + 4 || memcmp(content, magic, MAGIC_BYTES) != 0)
        return "not a .npy file: it does not start with \\x93NUMPY";
    uint8_t version = content[MAGIC_BYTES];
    size_t width = version == 1 ? 2 : 4;
    if (version < 1 || version > 3) return "its format version is not 1, 2 or 3";
    if (size < MAGIC_BYTES + 2 + width) return "it is cut off in its header";
    size_t length = 0;
    for (size_t i = 0; i < width; i++) length |= (size_t)content[MAGIC_BYTES + 2 + i] << (8 * i);
    size_t start = MAGIC_BYTES + 2 + width;
    if (length > MAX_HEADER_BYTES) return "its header is longer than a megabyte";
    if (length > size - start) return "it is cut off in its header";
    *dict = (cursor){(const char *)content + start, (const char *)content + start + length};
    *data_at = start + length;
    return NULL;
}

/* The dtype of "<f4"; order is '<', '>' or '|' (one byte, or bytes of anything). */
static tn_dtype parse_descr(const char *descr, char *order) {
    *order = descr[0] == '=' ? HOST_ORDER : descr[0];
    if (*order != '<' && *order != '>' && *order != '|') return TN_DTYPE_INVALID;
    for (size_t i = 0; i < CODE_COUNT; i++)
        if (strcmp(descr + 1, codes[i].code) == 0) return codes[i].dtype;
    if (strcmp(descr + 1, "?") == 0) return TN_BOOL;
    return TN_DTYPE_INVALID;
}

/* Elements and bytes of the array; false: they do not fit in memory. */
static bool size_of(npy_array *array, int64_t *elements) {
    *elements = 1;
    for (int i = 0; i < array->rank; i++)
        if (array->dims[i] == 0) *elements = 0;
    for (int i = 0; i < array->rank && *elements > 0; i++)
        if (__builtin_mul_overflow(*elements, array->dims[i], elements)) return false;
    int64_t bytes;
    if (__builtin_mul_overflow(*elements, (int64_t)tn_dtype_bits(array->dtype) / 8, &bytes)) return false;
    array->bytes = (size_t)bytes;
    return (uint64_t)bytes <= SIZE_MAX / 2;
}

/* Column-major to row-major: walks the result in order, stepping through the source by strides. */
static void reorder(const npy_array *array, const uint8_t *from, uint8_t *to, int64_t elements, size_t each) {
    int64_t strides[TN_MAX_RANK], index[TN_MAX_RANK] = {0};
    int64_t stride = 1, source = 0;
    for (int i = 0; i < array->rank; i++) {
        strides[i] = stride;
        stride *= array->dims[i];
    }
    for (int64_t n = 0; n < elements; n++) {
        memcpy(to + (size_t)n * each, from + (size_t)source * each, each);
        for (int axis = array->rank - 1; axis >= 0; axis--) {
            source += strides[axis];
            if (++index[axis] < array->dims[axis]) break;
            source -= strides[axis] * array->dims[axis];
            index[axis] = 0;
        }
    }
}

static tn_status take_elements(npy_array *array, const header *h, char order, int64_t elements, const uint8_t *data) {
    size_t each = tn_dtype_bits(array->dtype) / 8;
    array->data = tn_malloc(array->bytes + !array->bytes);
    if (!array->data) return TN_ERR_MEMORY;
    if (h->is_fortran && array->rank > 1)
        reorder(array, data, array->data, elements, each);
    else if (array->bytes > 0)
        memcpy(array->data, data, array->bytes);
    if (order == OTHER_ORDER) element_swap_bytes(array->data, (size_t)elements, each);
    uint8_t *flags = array->data;
    for (size_t i = 0; array->dtype == TN_BOOL && i < array->bytes; i++) flags[i] = flags[i] != 0;
    return TN_OK;
}

static tn_status parse(const void *content, size_t size, void *out, tn_diag *diag) {
    npy_array *array = out;
    *array = (npy_array){.dtype = TN_DTYPE_INVALID};
    header h = {0};
    cursor dict;
    size_t data_at;
    const char *error = find_header(content, size, &dict, &data_at);
    error = error ? error : parse_header(dict, &h);
    if (error) return diag_fail(diag, TN_ERR_PARSE, "%s", error);
    char order;
    npy_array read = {.dtype = parse_descr(h.descr, &order), .rank = h.rank};
    memcpy(read.dims, h.dims, sizeof read.dims);
    if (read.dtype == TN_DTYPE_INVALID)
        return diag_fail(diag, TN_ERR_UNSUPPORTED,
                         "its dtype '%s' is not supported, expected bool, int8 to int64, uint8 to uint64, float16, "
                         "float32, float64 or bfloat16 (as V2)",
                         h.descr);
    int64_t elements;
    if (!size_of(&read, &elements)) return diag_fail(diag, TN_ERR_LIMIT, "its size in bytes does not fit in 63 bits");
    if (size - data_at != read.bytes)
        return diag_fail(diag, TN_ERR_PARSE, "%zu bytes follow its header, expected %zu for %" PRId64 " of %s",
                         size - data_at, read.bytes, elements, tn_dtype_name(read.dtype));
    if (take_elements(&read, &h, order, elements, (const uint8_t *)content + data_at) != TN_OK)
        return diag_fail(diag, TN_ERR_MEMORY, "out of memory for %zu bytes", read.bytes);
    *array = read;
    return TN_OK;
}

tn_status npy_read_memory(const void *content, size_t size, const char *path, npy_array *array, tn_diag *diag) {
    return diag_in_file(diag, parse(content, size, array, diag), path);
}

tn_status npy_read(const char *path, npy_array *array, tn_diag *diag) {
    *array = (npy_array){.dtype = TN_DTYPE_INVALID};
    return parse_file(path, read_file, parse, array, diag);
}

void npy_free(npy_array *array) {
    tn_free(array->data);
    array->data = NULL;
}

/* ---- Writing ---------------------------------------------------------------------------- */

size_t npy_header(char out[NPY_HEADER_BYTES], tn_dtype dtype, int rank, const int64_t *dims) {
    const char *code = NULL;
    for (size_t i = 0; i < CODE_COUNT; i++) code = codes[i].dtype == dtype ? codes[i].code : code;
    if (!code || rank < 0 || rank > TN_MAX_RANK) return 0;
    for (int i = 0; i < rank; i++)
        if (dims[i] < 0) return 0;
    char shape[TN_MAX_RANK * 24] = "";
    size_t used = 0;
    for (int i = 0; i < rank; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRId64, i ? ", " : "", dims[i]);
    char order = tn_dtype_bits(dtype) == 8 ? '|' : HOST_ORDER;
    size_t start = MAGIC_BYTES + 4;
    int written =
        snprintf(out + start, NPY_HEADER_BYTES - start, "{'descr': '%c%s', 'fortran_order': False, 'shape': (%s%s), }",
                 order, code, shape, rank == 1 ? "," : "");
    size_t end = start + (size_t)written;
    size_t total = (end + 1 + HEADER_ALIGNMENT - 1) / HEADER_ALIGNMENT * HEADER_ALIGNMENT;
    memset(out + end, ' ', total - end);
    out[total - 1] = '\n';
    memcpy(out, magic, MAGIC_BYTES);
    size_t length = total - start;
    memcpy(out + MAGIC_BYTES, (char[]){1, 0, (char)(length & 0xff), (char)(length >> 8)}, 4);
    return total;
}

static tn_status write_file(const char *path, tn_dtype dtype, int rank, const int64_t *dims, const void *data,
                            tn_diag *diag) {
    char head[NPY_HEADER_BYTES];
    size_t head_bytes = npy_header(head, dtype, rank, dims);
    if (head_bytes == 0)
        return diag_fail(diag, TN_ERR_ARGUMENT, "a tensor of dtype %s and rank %d with these dims cannot be written",
                         tn_dtype_name(dtype), rank);
    npy_array array = {.dtype = dtype, .rank = rank};
    int64_t elements;
    for (int i = 0; i < rank; i++) array.dims[i] = dims[i];
    if (!size_of(&array, &elements)) return diag_fail(diag, TN_ERR_LIMIT, "its size in bytes does not fit in 63 bits");
    atomic_file file;
    tn_status status = atomic_file_open(path, &file, diag);
    if (status != TN_OK) return status;
    atomic_file_write(&file, head, head_bytes);
    atomic_file_write(&file, data, array.bytes);
    return atomic_file_commit(&file, path, diag);
}

tn_status npy_write(const char *path, tn_dtype dtype, int rank, const int64_t *dims, const void *data, tn_diag *diag) {
    return diag_in_file(diag, write_file(path, dtype, rank, dims, data, diag), path);
}
