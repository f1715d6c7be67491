/* Constants as text, and the file that large ones go to.
 *
 * in:  constant data
 * out: elements in braces, or a reference: @0x<checksum> "file"+offset, 64-aligned in the file
 * law: what is read back has the same bits; equal constants are written once
 */
#include "ir/hash.h"
#include "ir/literal.h"
#include "ir/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DATA_ALIGNMENT = 64 };

typedef struct stored {
    const tensor_data *data; /* NULL: free slot */
    uint64_t offset;
} stored;

struct data_file {
    char *path;
    const char *base; /* of the path */
    FILE *stream;     /* NULL until something is written */
    uint64_t size;
    bool failed;
    stored *slots; /* hash table by address, a power of two of them */
    size_t n_slots, n;
};

uint64_t data_checksum(const void *bytes, size_t n) { return hash_bytes(UINT64_C(0x74656e6f6e), bytes, n); }

data_file *data_file_new(const char *path) {
    data_file *file = tn_calloc(1, sizeof *file);
    size_t length = strlen(path);
    if (file) file->path = tn_malloc(length + 1);
    if (!file || !file->path) {
        tn_free(file);
        return NULL;
    }
    memcpy(file->path, path, length + 1);
    const char *slash = strrchr(file->path, '/');
    file->base = slash ? slash + 1 : file->path;
    return file;
}

bool data_file_close(data_file *file) {
    if (!file) return true;
    bool ok = !file->failed;
    if (file->stream && fclose(file->stream) != 0) ok = false;
    if (file->stream && !ok) unlink(file->path);
    tn_free(file->slots);
    tn_free(file->path);
    tn_free(file);
    return ok;
}

static stored *slot_of(data_file *file, const tensor_data *data) {
    size_t at = hash_mix(0, (uintptr_t)data) & (file->n_slots - 1);
    while (file->slots[at].data && file->slots[at].data != data) at = (at + 1) & (file->n_slots - 1);
    return &file->slots[at];
}

static bool grow_slots(data_file *file) {
    if (file->n_slots && file->n * 4 < file->n_slots * 3) return true;
    stored *old = file->slots;
    size_t n_old = file->n_slots;
    stored *slots = tn_calloc(n_old ? n_old * 2 : 64, sizeof *slots);
    if (!slots) return false;
    file->slots = slots;
    file->n_slots = n_old ? n_old * 2 : 64;
    for (size_t i = 0; i < n_old; i++)
        if (old[i].data) *slot_of(file, old[i].data) = old[i];
    tn_free(old);
    return true;
}

static bool write_bytes(data_file *file, const void *bytes, size_t n) {
    if (!file->stream) file->stream = fopen(file->path, "wb");
    if (!file->stream || fwrite(bytes, 1, n, file->stream) != n) return false;
    file->size += n;
    return true;
}

/* Writes the constant unless it is there; its offset. */
static bool store_data(data_file *file, const tensor_data *data, uint64_t *offset) {
    static const char zeros[DATA_ALIGNMENT];
    if (!grow_slots(file)) return false;
    stored *slot = slot_of(file, data);
    if (!slot->data) {
        size_t gap = (size_t)(-file->size % DATA_ALIGNMENT);
        if (!write_bytes(file, zeros, gap)) return false;
        *slot = (stored){data, file->size};
        file->n++;
        if (!write_bytes(file, data->data, data->bytes)) return false;
    }
    *offset = slot->offset;
    return true;
}

void text_double(text_buffer *b, double number) {
    char out[LITERAL_BYTES];
    text_add_n(b, out, literal_print(TN_F64, &number, out));
}

static void put_elements(text_buffer *b, const tensor_data *data, size_t n) {
    size_t size = tn_dtype_bits((tn_dtype)data->type.dtype) / 8;
    for (size_t i = 0; i < n; i++) {
        char out[LITERAL_BYTES + 2];
        size_t length = literal_print((tn_dtype)data->type.dtype, (const char *)data->data + i * size, out + 2);
        /* Long lists are broken into lines. */
        bool line_end = i > 0 && i % 16 == 0 && n > TEXT_INLINE_ELEMENTS;
        out[0] = ',';
        out[1] = line_end ? '\n' : ' ';
        text_add_n(b, i > 0 ? out : out + 2, i > 0 ? length + 2 : length);
    }
}

void text_data(text_buffer *b, data_file *file, const tensor_data *data) {
    size_t size = tn_dtype_bits((tn_dtype)data->type.dtype) / 8, n = data->bytes / size;
    if (file && n > TEXT_INLINE_ELEMENTS) {
        uint64_t offset;
        if (!store_data(file, data, &offset)) {
            file->failed = b->failed = true;
            return;
        }
        text_format(b, "@0x%016" PRIx64 " ", data_checksum(data->data, data->bytes));
        text_quote(b, file->base);
        text_format(b, "+%" PRIu64, offset);
        return;
    }
    text_add(b, "{");
    put_elements(b, data, n);
    text_add(b, "}");
}

void text_data_brief(text_buffer *b, const tensor_data *data) {
    size_t n = data->bytes / (tn_dtype_bits((tn_dtype)data->type.dtype) / 8);
    text_add(b, "{");
    put_elements(b, data, n > TEXT_BRIEF_ELEMENTS ? TEXT_BRIEF_ELEMENTS : n);
    text_add(b, n > TEXT_BRIEF_ELEMENTS ? ", ...}" : "}");
}
