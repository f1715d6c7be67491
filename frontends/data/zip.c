/* Zip archives (see zip.h). */
#include "frontends/data/zip.h"

#include "frontends/data/compress.h"
#include "runtime/alloc.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <string.h>

enum {
    LOCAL_BYTES = 30,
    ENTRY_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    MAX_COMMENT = 65535,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8,
    EXTRA_ZIP64 = 1,
    FLAG_ENCRYPTED = 1,
    FLAG_UTF8 = 1 << 11,
    MAX_RATIO = 1032, /* of deflate */
};
#define LOCAL_MARK UINT32_C(0x04034b50)
#define ENTRY_MARK UINT32_C(0x02014b50)
#define END_MARK UINT32_C(0x06054b50)
#define END64_MARK UINT32_C(0x06064b50)
#define LOCATOR_MARK UINT32_C(0x07064b50)
#define ELSEWHERE32 UINT32_C(0xffffffff) /* the value is in a zip64 field */
#define ELSEWHERE16 UINT16_C(0xffff)

/* ---- Numbers, least byte first ------------------------------------------------------------- */

static uint64_t get(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}
static uint16_t get16(const uint8_t *at) { return (uint16_t)get(at, 2); }
static uint32_t get32(const uint8_t *at) { return (uint32_t)get(at, 4); }
static uint64_t get64(const uint8_t *at) { return get(at, 8); }

static void put(uint8_t **at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) *(*at)++ = (uint8_t)(value >> (8 * i));
}

/* ---- Reading ------------------------------------------------------------------------------- */

/* Where the end record is: its comment reaches to the end of the file. */
static const uint8_t *find_end(const uint8_t *content, size_t size) {
    for (size_t back = END_BYTES; back <= size && back <= END_BYTES + MAX_COMMENT; back++) {
        const uint8_t *at = content + size - back;
        if (get32(at) == END_MARK && get16(at + 20) == back - END_BYTES) return at;
    }
    return NULL;
}

/* The zip64 end record, when there is one before the end record; else NULL. */
static const uint8_t *find_end64(const uint8_t *content, const uint8_t *end) {
    if (end - content < LOCATOR_BYTES + END64_BYTES) return NULL;
    const uint8_t *locator = end - LOCATOR_BYTES;
    if (get32(locator) != LOCATOR_MARK) return NULL;
    uint64_t offset = get64(locator + 8);
    if (offset > (uint64_t)(locator - content) - END64_BYTES) return NULL;
    return get32(content + offset) == END64_MARK ? content + offset : NULL;
}

tn_status zip_open(const uint8_t *content, size_t size, zip_reader *zip, tn_diag *diag) {
    const uint8_t *end = content ? find_end(content, size) : NULL;
    if (!end) return diag_fail(diag, TN_ERR_PARSE, "not a zip archive, or one that is cut off: it has no end record");
    const uint8_t *end64 = find_end64(content, end);
    uint64_t n = end64 ? get64(end64 + 32) : get16(end + 10);
    uint64_t bytes = end64 ? get64(end64 + 40) : get32(end + 12), offset = end64 ? get64(end64 + 48) : get32(end + 16);
    uint64_t limit = (uint64_t)((end64 ? end64 : end) - content);
    if (offset > limit || bytes > limit - offset || n > bytes / ENTRY_BYTES)
        return diag_fail(diag, TN_ERR_PARSE,
                         "its directory of %" PRIu64 " entries, %" PRIu64 " bytes from offset %" PRIu64
                         " on, is not within the %" PRIu64 " bytes before the end record",
                         n, bytes, offset, limit);
    *zip = (zip_reader){content, size, offset, offset + bytes, n, 0, 0};
    return TN_OK;
}

/* Replaces what is marked as being elsewhere by what the zip64 field of `extra` holds. */
static bool take_zip64(const uint8_t *extra, size_t extra_bytes, uint64_t *values[3]) {
    while (extra_bytes >= 4) {
        size_t id = get16(extra), bytes = get16(extra + 2);
        if (bytes > extra_bytes - 4) return false;
        extra += 4;
        for (size_t i = 0, used = 0; id == EXTRA_ZIP64 && i < 3; i++) {
            if (*values[i] != ELSEWHERE32) continue;
            if (bytes - used < 8) return false;
            *values[i] = get64(extra + used);
            used += 8;
        }
        if (id == EXTRA_ZIP64) return true;
        extra += bytes;
        extra_bytes -= 4 + bytes;
    }
    return true;
}

static tn_status bad_entry(const zip_reader *zip, const char *fault, tn_diag *diag) {
    return diag_fail(diag, TN_ERR_PARSE, "entry %" PRIu64 " of the archive %s", zip->n_read, fault);
}

/* Where the entry's data are, behind its local header. */
static tn_status find_data(zip_reader *zip, zip_entry *e, uint64_t local, tn_diag *diag) {
    if (local > zip->size - LOCAL_BYTES || get32(zip->content + local) != LOCAL_MARK)
        return bad_entry(zip, "has no header where the directory says", diag);
    uint64_t start = local + LOCAL_BYTES + get16(zip->content + local + 26) + get16(zip->content + local + 28);
    if (start > zip->size || e->stored_bytes > zip->size - start) return bad_entry(zip, "reaches past the end", diag);
    zip->claimed_bytes += e->stored_bytes;
    if (zip->claimed_bytes > zip->size) return bad_entry(zip, "overlaps another one", diag);
    e->data = zip->content + start;
    return TN_OK;
}

tn_status zip_next(zip_reader *zip, zip_entry *entry, tn_diag *diag) {
    const uint8_t *at = zip->content + zip->directory;
    uint64_t left = zip->directory_end - zip->directory;
    if (left < ENTRY_BYTES || get32(at) != ENTRY_MARK) return bad_entry(zip, "is not where it should be", diag);
    size_t name = get16(at + 28), extra = get16(at + 30), comment = get16(at + 32);
    uint64_t local = get32(at + 42);
    *entry = (zip_entry){
        (const char *)at + ENTRY_BYTES, name, get16(at + 10), get32(at + 16), NULL, get32(at + 20), get32(at + 24)};
    if (name + extra + comment > left - ENTRY_BYTES) return bad_entry(zip, "reaches past the directory", diag);
    if (!take_zip64(at + ENTRY_BYTES + name, extra, (uint64_t *[]){&entry->bytes, &entry->stored_bytes, &local}))
        return bad_entry(zip, "has a malformed zip64 field", diag);
    if (get16(at + 8) & FLAG_ENCRYPTED)
        return diag_fail(diag, TN_ERR_UNSUPPORTED, "entry %" PRIu64 " is encrypted", zip->n_read);
    tn_status status = find_data(zip, entry, local, diag);
    zip->directory += ENTRY_BYTES + name + extra + comment;
    zip->n_read++;
    return status;
}

static tn_status expand(const zip_entry *e, const uint8_t **bytes, void **own, tn_diag *diag) {
    if (e->method != METHOD_STORED && e->method != METHOD_DEFLATED)
        return diag_fail(diag, TN_ERR_UNSUPPORTED, "method %d of compression, expected stored (0) or deflated (8)",
                         e->method);
    *bytes = e->data;
    if (e->method == METHOD_STORED && e->bytes == e->stored_bytes) return TN_OK;
    if (e->method == METHOD_STORED || e->bytes / MAX_RATIO > e->stored_bytes)
        return diag_fail(diag, TN_ERR_PARSE, "%" PRIu64 " bytes cannot come from the %" PRIu64 " that are there",
                         e->bytes, e->stored_bytes);
    uint8_t *out = *own = tn_malloc((size_t)e->bytes);
    if (!out) return diag_fail(diag, TN_ERR_MEMORY, "out of memory for %" PRIu64 " bytes", e->bytes);
    *bytes = out;
    tn_status status = inflate_exactly(e->data, (size_t)e->stored_bytes, out, (size_t)e->bytes);
    if (status == TN_OK) return TN_OK;
    return diag_fail(diag, status, status == TN_ERR_MEMORY ? "out of memory" : "its deflated data are damaged");
}

tn_status zip_expand(const zip_entry *entry, const uint8_t **bytes, void **own, tn_diag *diag) {
    *own = NULL;
    tn_status status = expand(entry, bytes, own, diag);
    uint32_t crc = status == TN_OK ? crc32_add(0, *bytes, (size_t)entry->bytes) : 0;
    if (status == TN_OK && crc != entry->crc)
        status = diag_fail(diag, TN_ERR_PARSE, "its CRC-32 is %08" PRIx32 ", expected %08" PRIx32, crc, entry->crc);
    if (status != TN_OK) {
        tn_free(*own);
        *own = NULL;
    }
    return status;
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* What headers say of an entry. */
typedef struct made_entry {
    const char *name;
    size_t name_length;
    uint64_t offset, stored_bytes, bytes;
    uint32_t crc;
    uint16_t method;
} made_entry;

enum { ZIP64_FIELD_BYTES = 4 + 3 * 8, VERSION_ZIP64 = 45, DATE_1980 = 0x21 };

/* The part that local header and directory entry share: from the version needed to the name's length. */
static void put_common(uint8_t **at, const made_entry *e) {
    bool is_ascii = true;
    for (size_t i = 0; i < e->name_length; i++) is_ascii &= (uint8_t)e->name[i] < 0x80;
    put(at, VERSION_ZIP64, 2);
    put(at, is_ascii ? 0 : FLAG_UTF8, 2);
    put(at, e->method, 2);
    put(at, 0, 2); /* time */
    put(at, DATE_1980, 2);
    put(at, e->crc, 4);
    put(at, ELSEWHERE32, 4); /* sizes are in the zip64 field, always: one form for all */
    put(at, ELSEWHERE32, 4);
    put(at, e->name_length, 2);
}

static void write_local(atomic_file *file, const made_entry *e) {
    uint8_t header[LOCAL_BYTES], field[ZIP64_FIELD_BYTES], *at = header;
    put(&at, LOCAL_MARK, 4);
    put_common(&at, e);
    put(&at, 4 + 2 * 8, 2);
    at = field;
    put(&at, EXTRA_ZIP64, 2);
    put(&at, 2 * 8, 2);
    put(&at, e->bytes, 8);
    put(&at, e->stored_bytes, 8);
    atomic_file_write(file, header, sizeof header);
    atomic_file_write(file, e->name, e->name_length);
    atomic_file_write(file, field, 4 + 2 * 8);
}

static bool add_to_directory(zip_writer *zip, const made_entry *e) {
    size_t bytes = ENTRY_BYTES + e->name_length + ZIP64_FIELD_BYTES;
    void *directory = zip->directory;
    bool has_room = array_reserve(&directory, &zip->directory_capacity, zip->directory_bytes + bytes, 1);
    zip->directory = directory;
    if (!has_room) return false;
    uint8_t *at = zip->directory + zip->directory_bytes;
    put(&at, ENTRY_MARK, 4);
    put(&at, VERSION_ZIP64, 2); /* made by */
    put_common(&at, e);
    put(&at, ZIP64_FIELD_BYTES, 2);
    put(&at, 0, 2 + 2 + 2); /* comment, disk, internal attributes */
    put(&at, 0, 4);
    put(&at, ELSEWHERE32, 4);
    memcpy(at, e->name, e->name_length);
    at += e->name_length;
    put(&at, EXTRA_ZIP64, 2);
    put(&at, ZIP64_FIELD_BYTES - 4, 2);
    put(&at, e->bytes, 8);
    put(&at, e->stored_bytes, 8);
    put(&at, e->offset, 8);
    zip->directory_bytes += bytes;
    zip->n_entries++;
    return true;
}

bool zip_add(zip_writer *zip, const char *name, const void *head, size_t head_bytes, const void *body,
             size_t body_bytes, bool deflates) {
    made_entry e = {name, strlen(name), zip->file->size, head_bytes + body_bytes, head_bytes + body_bytes,
                    0,    METHOD_STORED};
    e.crc = crc32_add(crc32_add(0, head, head_bytes), body, body_bytes);
    uint8_t *whole = NULL, *packed = NULL;
    if (deflates) {
        size_t packed_bytes = 0;
        whole = tn_malloc((size_t)e.bytes);
        if (!whole) return false;
        memcpy(whole, head, head_bytes);
        if (body_bytes > 0) memcpy(whole + head_bytes, body, body_bytes);
        packed = deflate_bytes(whole, (size_t)e.bytes, DEFLATE_BARE, &packed_bytes);
        tn_free(whole);
        if (!packed) return false;
        e.method = METHOD_DEFLATED;
        e.stored_bytes = packed_bytes;
    }
    write_local(zip->file, &e);
    if (packed) {
        atomic_file_write(zip->file, packed, (size_t)e.stored_bytes);
    } else {
        atomic_file_write(zip->file, head, head_bytes);
        atomic_file_write(zip->file, body, body_bytes);
    }
    tn_free(packed);
    return add_to_directory(zip, &e);
}

void zip_finish(zip_writer *zip) {
    uint8_t end[END64_BYTES + LOCATOR_BYTES + END_BYTES], *at = end;
    uint64_t start = zip->file->size;
    atomic_file_write(zip->file, zip->directory, zip->directory_bytes);
    put(&at, END64_MARK, 4);
    put(&at, END64_BYTES - 12, 8);
    put(&at, VERSION_ZIP64, 2);
    put(&at, VERSION_ZIP64, 2);
    put(&at, 0, 4 + 4); /* disks */
    put(&at, zip->n_entries, 8);
    put(&at, zip->n_entries, 8);
    put(&at, zip->directory_bytes, 8);
    put(&at, start, 8);
    put(&at, LOCATOR_MARK, 4);
    put(&at, 0, 4);
    put(&at, start + zip->directory_bytes, 8);
    put(&at, 1, 4); /* disks in all */
    put(&at, END_MARK, 4);
    put(&at, 0, 2 + 2);
    put(&at, ELSEWHERE16, 2);
    put(&at, ELSEWHERE16, 2);
    put(&at, ELSEWHERE32, 4);
    put(&at, ELSEWHERE32, 4);
    put(&at, 0, 2); /* comment */
    atomic_file_write(zip->file, end, sizeof end);
    tn_free(zip->directory);
    zip->directory = NULL;
}
