/* safetensors files.
 *
 * in:  8 bytes with the header's length, the header, the tensors' bytes
 * out: a tn_archive over the mapped file; and the reverse
 * law: every byte behind the header belongs to exactly one tensor, so nothing is read twice or not at all; what
 *      tn_safetensors_write writes, tn_safetensors_open and other readers give back bit for bit
 *
 * The header is a JSON object: name -> {"dtype", "shape", "data_offsets": [begin, end]}, offsets counted from the
 * header's end; "__metadata__" holds strings. Numbers are little-endian. JSON is jansson's.
 *
 * Source: the format's description in the safetensors project.
 */
#include "frontends/data/archive.h"
#include "frontends/data/atomic_file.h"
#include "frontends/data/file_kind.h"
#include "frontends/data/utf8.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100000000, HEADER_ALIGNMENT = 8 };
static const char metadata_key[] = "__metadata__";

/* How the format spells each dtype. */
static const struct {
    tn_dtype dtype;
    const char *name;
} dtypes[] = {
    {TN_BOOL, "BOOL"}, {TN_I8, "I8"},   {TN_U8, "U8"},   {TN_I16, "I16"}, {TN_U16, "U16"},
    {TN_I32, "I32"},   {TN_U32, "U32"}, {TN_I64, "I64"}, {TN_U64, "U64"}, {TN_F16, "F16"},
    {TN_BF16, "BF16"}, {TN_F32, "F32"}, {TN_F64, "F64"},
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

static tn_dtype dtype_of(const char *name) {
    for (size_t i = 0; i < N_DTYPES; i++)
        if (strcmp(name, dtypes[i].name) == 0) return dtypes[i].dtype;
    return TN_DTYPE_INVALID;
}

static const char *name_of(tn_dtype dtype) {
    for (size_t i = 0; i < N_DTYPES; i++)
        if (dtypes[i].dtype == dtype) return dtypes[i].name;
    return NULL;
}

/* ---- Reading ----------------------------------------------------------------------------- */

/* One tensor's entry of the header. */
typedef struct entry {
    const char *name;
    tn_tensor tensor;
    int64_t begin, end;
} entry;

static tn_status take_shape(const json_t *shape, entry *e, tn_diag *diag) {
    if (!json_is_array(shape)) return diag_fail(diag, TN_ERR_PARSE, "tensor '%.100s': its shape is no list", e->name);
    size_t rank = json_array_size(shape);
    if (rank > TN_MAX_RANK)
        return diag_fail(diag, TN_ERR_UNSUPPORTED, "tensor '%.100s' has %zu axes, at most %d are supported", e->name,
                         rank, TN_MAX_RANK);
    e->tensor.rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return diag_fail(diag, TN_ERR_PARSE, "tensor '%.100s': size %zu of its shape is no whole number from 0 on",
                             e->name, i);
        e->tensor.shape[i] = json_integer_value(size);
    }
    return TN_OK;
}

static tn_status take_offsets(const json_t *offsets, entry *e, int64_t data_bytes, tn_diag *diag) {
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return diag_fail(diag, TN_ERR_PARSE, "tensor '%.100s': its data_offsets are no list of two whole numbers",
                         e->name);
    e->begin = json_integer_value(begin);
    e->end = json_integer_value(end);
    if (e->begin < 0 || e->begin > e->end || e->end > data_bytes)
        return diag_fail(diag, TN_ERR_PARSE,
                         "tensor '%.100s': its data_offsets [%" PRId64 ", %" PRId64 "] are not within the %" PRId64
                         " bytes behind the header",
                         e->name, e->begin, e->end, data_bytes);
    int64_t bytes = tn_tensor_bytes(&e->tensor);
    char type[160];
    tn_tensor_text(&e->tensor, type, sizeof type);
    if (bytes < 0)
        return diag_fail(diag, TN_ERR_LIMIT, "tensor '%.100s': the bytes of %s do not fit in 63 bits", e->name, type);
    if (bytes != e->end - e->begin)
        return diag_fail(diag, TN_ERR_PARSE,
                         "tensor '%.100s': its data_offsets [%" PRId64 ", %" PRId64 "] span %" PRId64
                         " bytes, but %s has %" PRId64,
                         e->name, e->begin, e->end, e->end - e->begin, type, bytes);
    return TN_OK;
}

static tn_status take_entry(const json_t *value, entry *e, int64_t data_bytes, tn_diag *diag) {
    if (!json_is_object(value))
        return diag_fail(diag, TN_ERR_PARSE, "tensor '%.100s': its entry in the header is no object", e->name);
    const char *key;
    json_t *unused;
    json_object_foreach((json_t *)value, key, unused) if (
        strcmp(key, "dtype") != 0 && strcmp(key, "shape") != 0 &&
        strcmp(key, "data_offsets") !=
            0) return diag_fail(diag, TN_ERR_PARSE,
                                "tensor '%.100s': its entry has '%.100s', expected dtype, shape and data_offsets alone",
                                e->name, key);
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    if (!dtype) return diag_fail(diag, TN_ERR_PARSE, "tensor '%.100s': its dtype is missing or no string", e->name);
    e->tensor.dtype = dtype_of(dtype);
    if (e->tensor.dtype == TN_DTYPE_INVALID)
        return diag_fail(
            diag, TN_ERR_UNSUPPORTED,
            "tensor '%.100s': its dtype '%.40s' is not supported, expected BOOL, I8 to I64, U8 to U64, F16, "
            "BF16, F32 or F64",
            e->name, dtype);
    tn_status status = take_shape(json_object_get(value, "shape"), e, diag);
    return status == TN_OK ? take_offsets(json_object_get(value, "data_offsets"), e, data_bytes, diag) : status;
}

static int compare_places(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Sorted by place, each begins where the one before ends, and the last ends with the file. */
static tn_status check_places(const entry *entries, size_t n, int64_t data_bytes, tn_diag *diag) {
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const char *fault = entries[i].begin < at ? "overlaps the tensor before it" : "leaves a gap before it";
        if (entries[i].begin != at)
            return diag_fail(diag, TN_ERR_PARSE,
                             "tensor '%.100s' begins at offset %" PRId64 " and %s, expected %" PRId64, entries[i].name,
                             entries[i].begin, fault, at);
        at = entries[i].end;
    }
    if (at == data_bytes) return TN_OK;
    return diag_fail(diag, TN_ERR_PARSE,
                     "the tensors end at offset %" PRId64 ", but %" PRId64 " bytes follow the header", at, data_bytes);
}

/* Compiled code takes a bool for 0 or 1. */
static tn_status check_bools(const entry *e, const uint8_t *data, tn_diag *diag) {
    for (int64_t i = e->begin; e->tensor.dtype == TN_BOOL && i < e->end; i++)
        if (data[i] > 1)
            return diag_fail(diag, TN_ERR_PARSE, "tensor '%.100s': element %" PRId64 " is %d, a BOOL is 0 or 1",
                             e->name, i - e->begin, data[i]);
    return TN_OK;
}

static tn_status take_metadata(const json_t *notes, tn_archive *archive, tn_diag *diag) {
    if (!notes) return TN_OK;
    if (!json_is_object(notes)) return diag_fail(diag, TN_ERR_PARSE, "its __metadata__ is no object");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)notes, key, value) {
        if (!json_is_string(value))
            return diag_fail(diag, TN_ERR_PARSE, "the value of '%.100s' in its __metadata__ is no string", key);
        tn_metadata note = {arena_strdup(&archive->arena, key),
                            arena_strdup(&archive->arena, json_string_value(value))};
        if (!note.key || !note.value) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
        archive->metadata[archive->n_metadata++] = note;
    }
    return TN_OK;
}

/* All entries of the header but the notes, sorted by place. */
static tn_status take_entries(const json_t *header, entry *entries, size_t n, const uint8_t *data, int64_t data_bytes,
                              tn_diag *diag) {
    const char *key;
    json_t *value;
    size_t i = 0;
    tn_status status = TN_OK;
    json_object_foreach((json_t *)header, key, value) {
        if (strcmp(key, metadata_key) == 0) continue;
        entries[i] = (entry){.name = key};
        status = take_entry(value, &entries[i], data_bytes, diag);
        if (status == TN_OK) status = check_bools(&entries[i], data, diag);
        if (status != TN_OK) return status;
        i++;
    }
    if (n > 1) qsort(entries, n, sizeof *entries, compare_places);
    return check_places(entries, n, data_bytes, diag);
}

/* Puts notes and tensors into an archive with room for them; `entries` is for the work. */
static tn_status fill(const json_t *header, const uint8_t *data, int64_t data_bytes, entry *entries, size_t n,
                      tn_archive *archive, tn_diag *diag) {
    tn_status status = take_metadata(json_object_get(header, metadata_key), archive, diag);
    if (status == TN_OK) status = take_entries(header, entries, n, data, data_bytes, diag);
    for (size_t i = 0; status == TN_OK && i < n; i++) {
        tn_named_tensor named = {arena_strdup(&archive->arena, entries[i].name), entries[i].tensor};
        named.tensor.data = (void *)(data + entries[i].begin);
        archive->tensors[archive->n_tensors++] = named;
        if (!named.name) status = diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    }
    if (status == TN_OK) archive_index(archive); /* JSON has no name twice */
    return status;
}

static tn_status make_archive(const json_t *header, const uint8_t *data, int64_t data_bytes, tn_archive **archive,
                              tn_diag *diag) {
    const json_t *notes = json_object_get(header, metadata_key);
    size_t n = json_object_size(header) - (notes != NULL);
    entry *entries = tn_calloc(n, sizeof *entries);
    tn_status status = TN_ERR_MEMORY;
    *archive = archive_new((int64_t)n, (int64_t)json_object_size(notes));
    if (entries && *archive)
        status = fill(header, data, data_bytes, entries, n, *archive, diag);
    else
        diag_fail(diag, status, "out of memory");
    tn_free(entries);
    return status;
}

/* jansson's own message, with the place in the file. */
static tn_status parse_header(const char *text, size_t length, json_t **header, tn_diag *diag) {
    json_error_t error;
    *header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(*header)) return TN_OK;
    if (*header) return diag_fail(diag, TN_ERR_PARSE, "its header is no JSON object");
    if (json_error_code(&error) == json_error_out_of_memory) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    if (json_error_code(&error) == json_error_duplicate_key)
        return diag_fail(diag, TN_ERR_PARSE, "its header has a name twice, up to offset %d: %s",
                         error.position + LENGTH_BYTES, error.text);
    return diag_fail(diag, TN_ERR_PARSE, "its header is no valid JSON at offset %d: %s", error.position + LENGTH_BYTES,
                     error.text);
}

static tn_status parse(const uint8_t *content, size_t size, tn_archive **archive, tn_diag *diag) {
    if (size < LENGTH_BYTES)
        return diag_fail(diag, TN_ERR_PARSE, "it has %zu bytes, a safetensors file begins with 8 bytes of length",
                         size);
    uint64_t length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)content[i] << (8 * i);
    const char *kind = length > MAX_HEADER_BYTES ? file_kind(content, size) : NULL;
    if (kind) return diag_fail(diag, TN_ERR_PARSE, "not a safetensors file; this is %s", kind);
    if (length > MAX_HEADER_BYTES)
        return diag_fail(diag, TN_ERR_PARSE,
                         "it says that its header has %" PRIu64 " bytes, more than 100,000,000: not a safetensors file",
                         length);
    if (length > size - LENGTH_BYTES)
        return diag_fail(diag, TN_ERR_PARSE, "it is cut off: its header has %" PRIu64 " bytes, %zu are there", length,
                         size - LENGTH_BYTES);
    json_t *header = NULL;
    tn_status status = parse_header((const char *)content + LENGTH_BYTES, (size_t)length, &header, diag);
    const uint8_t *data = content + LENGTH_BYTES + length;
    if (status == TN_OK) status = make_archive(header, data, (int64_t)(size - LENGTH_BYTES - length), archive, diag);
    json_decref(header);
    if (status != TN_OK) {
        tn_archive_free(*archive);
        *archive = NULL;
    }
    return status;
}

/* The format is little-endian and read in place. */
static tn_status check_host(tn_diag *diag) {
    uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first ? TN_OK : diag_fail(diag, TN_ERR_UNSUPPORTED, "safetensors files on a big-endian machine");
}

tn_status tn_safetensors_parse(const void *data, size_t bytes, const char *name, tn_archive **archive, tn_diag *diag) {
    *archive = NULL;
    tn_status status = check_host(diag);
    return diag_in_file(diag, status == TN_OK ? parse(data, bytes, archive, diag) : status, name);
}

tn_status tn_safetensors_open(const char *path, tn_archive **archive, tn_diag *diag) {
    *archive = NULL;
    mapped_file file;
    tn_status status = mapped_file_open(path, &file, diag);
    if (status != TN_OK) return status;
    status = tn_safetensors_parse(file.data, file.size, path, archive, diag);
    if (*archive)
        (*archive)->file = file;
    else
        mapped_file_close(&file);
    return status;
}

/* ---- Writing ----------------------------------------------------------------------------- */

/* Large elements first, so that each begins at a multiple of its size. */
static int compare_for_writing(const void *a, const void *b) {
    const tn_named_tensor *const *x = a, *const *y = b;
    int more_bits = (int)tn_dtype_bits((*y)->tensor.dtype) - (int)tn_dtype_bits((*x)->tensor.dtype);
    return more_bits ? more_bits : strcmp((*x)->name, (*y)->name);
}

static tn_status check_tensor(const tn_named_tensor *t, tn_diag *diag) {
    tn_status status = named_tensor_check(t, diag);
    if (status != TN_OK) return status;
    if (!utf8_is_valid(t->name))
        return diag_fail(diag, TN_ERR_ARGUMENT, "tensor '%.100s': its name is no UTF-8", t->name);
    if (strcmp(t->name, metadata_key) != 0) return TN_OK;
    return diag_fail(diag, TN_ERR_ARGUMENT, "a tensor cannot be called __metadata__");
}

/* The header's entry of a tensor that begins at `begin`. NULL: no memory. */
static json_t *entry_of(const tn_tensor *t, int64_t begin) {
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++) json_array_append_new(shape, json_integer(t->shape[i]));
    int64_t end = begin + tn_tensor_bytes(t);
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", name_of(t->dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

static tn_status add_metadata(json_t *header, const tn_metadata *metadata, int64_t n, tn_diag *diag) {
    json_t *notes = json_object();
    if (!notes || json_object_set_new(header, metadata_key, notes) != 0)
        return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    for (int64_t i = 0; i < n; i++) {
        const tn_metadata *m = &metadata[i];
        if (!m->key || !m->value || json_object_get(notes, m->key))
            return diag_fail(diag, TN_ERR_ARGUMENT, "note %" PRId64 " lacks key or value, or its key comes twice", i);
        if (!utf8_is_valid(m->key) || !utf8_is_valid(m->value))
            return diag_fail(diag, TN_ERR_ARGUMENT, "note '%.100s' is no UTF-8", m->key);
        if (json_object_set_new(notes, m->key, json_string(m->value)) != 0)
            return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    }
    return TN_OK;
}

static tn_status make_header(const tn_named_tensor **order, int64_t n, const tn_metadata *metadata, int64_t n_metadata,
                             json_t *header, tn_diag *diag) {
    tn_status status = n_metadata > 0 ? add_metadata(header, metadata, n_metadata, diag) : TN_OK;
    int64_t at = 0;
    for (int64_t i = 0; status == TN_OK && i < n; i++) {
        const tn_named_tensor *t = order[i];
        int64_t bytes = tn_tensor_bytes(&t->tensor);
        if (json_object_get(header, t->name))
            return diag_fail(diag, TN_ERR_ARGUMENT, "two tensors are called '%.100s'", t->name);
        if (at > INT64_MAX - bytes) return diag_fail(diag, TN_ERR_LIMIT, "the tensors' bytes do not fit in 63 bits");
        if (json_object_set_new(header, t->name, entry_of(&t->tensor, at)) != 0)
            return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
        at += bytes;
    }
    return status;
}

/* The length, the header, and spaces up to a multiple of 8. */
static tn_status write_header(atomic_file *file, const json_t *header, tn_diag *diag) {
    char *text = json_dumps(header, JSON_COMPACT);
    if (!text) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    size_t used = strlen(text), padding = (HEADER_ALIGNMENT - used % HEADER_ALIGNMENT) % HEADER_ALIGNMENT;
    uint64_t length = used + padding;
    uint8_t bytes[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; i++) bytes[i] = (uint8_t)(length >> (8 * i));
    bool fits = length <= MAX_HEADER_BYTES;
    if (fits) {
        atomic_file_write(file, bytes, sizeof bytes);
        atomic_file_write(file, text, used);
        atomic_file_write(file, "        ", padding);
    }
    free(text); /* jansson's */
    return fits ? TN_OK : diag_fail(diag, TN_ERR_LIMIT, "its header would have more than 100,000,000 bytes");
}

static tn_status write_elements(atomic_file *file, const tn_named_tensor *t, tn_diag *diag) {
    void *copy;
    const void *elements = dense_elements(&t->tensor, &copy);
    if (!elements) return diag_fail(diag, TN_ERR_MEMORY, "out of memory for a copy of tensor '%.100s'", t->name);
    atomic_file_write(file, elements, (size_t)tn_tensor_bytes(&t->tensor));
    tn_free(copy);
    return TN_OK;
}

static tn_status write_file(const char *path, const tn_named_tensor **order, int64_t n, const json_t *header,
                            tn_diag *diag) {
    atomic_file file;
    tn_status status = atomic_file_open(path, &file, diag);
    if (status != TN_OK) return status;
    status = write_header(&file, header, diag);
    for (int64_t i = 0; status == TN_OK && i < n; i++) status = write_elements(&file, order[i], diag);
    if (status == TN_OK) return atomic_file_commit(&file, path, diag);
    atomic_file_abandon(&file);
    return status;
}

tn_status tn_safetensors_write(const char *path, const tn_named_tensor *tensors, int64_t n_tensors,
                               const tn_metadata *metadata, int64_t n_metadata, tn_diag *diag) {
    tn_status status = check_host(diag);
    if (status == TN_OK && (n_tensors < 0 || n_metadata < 0))
        status = diag_fail(diag, TN_ERR_ARGUMENT, "a number of tensors or notes is negative");
    for (int64_t i = 0; status == TN_OK && i < n_tensors; i++) status = check_tensor(&tensors[i], diag);
    if (status != TN_OK) return diag_in_file(diag, status, path);
    const tn_named_tensor **order = tn_calloc((size_t)n_tensors, sizeof *order);
    json_t *header = json_object();
    if (order && header) {
        for (int64_t i = 0; i < n_tensors; i++) order[i] = &tensors[i];
        if (n_tensors > 1) qsort(order, (size_t)n_tensors, sizeof *order, compare_for_writing);
        status = make_header(order, n_tensors, metadata, n_metadata, header, diag);
        if (status == TN_OK) status = write_file(path, order, n_tensors, header, diag);
    } else {
        status = diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    }
    json_decref(header);
    tn_free(order);
    return diag_in_file(diag, status, path);
}
