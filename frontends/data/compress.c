/* Deflated bytes (see compress.h). */
#include "frontends/data/compress.h"

#include "frontends/data/read_file.h"
#include "runtime/alloc.h"
#include "runtime/diag.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>

/* zlib counts bytes at hand in an unsigned int. */
enum {
    MOST_AT_ONCE = 1 << 30,
    FIRST_BYTES = 1 << 16,
    GZIP_WINDOW = 15 + 16,
    BARE_WINDOW = -15,
    ZLIB_WINDOW = 15,
    MEMORY_LEVEL = 8
};

static void *take_memory(void *opaque, uInt count, uInt bytes) {
    (void)opaque;
    return tn_calloc(count, bytes);
}

static void give_back(void *opaque, void *p) {
    (void)opaque;
    tn_free(p);
}

static z_stream new_stream(void) { return (z_stream){.zalloc = take_memory, .zfree = give_back}; }

static uInt at_most(size_t bytes) { return bytes < MOST_AT_ONCE ? (uInt)bytes : MOST_AT_ONCE; }

/* ---- gzip -------------------------------------------------------------------------------- */

/* Expands one member at the stream's input; output is appended to *out. Z_STREAM_END when all went well. */
static int expand_member(z_stream *z, const uint8_t *from, size_t from_bytes, size_t *taken, void **out, size_t *used,
                         size_t *capacity) {
    int result = Z_OK;
    *taken = 0;
    while (result == Z_OK) {
        if (!array_reserve(out, capacity, *used + FIRST_BYTES, 1)) return Z_MEM_ERROR;
        uInt offered = at_most(from_bytes - *taken), room = at_most(*capacity - *used);
        z->next_in = (z_const Bytef *)(from + *taken);
        z->avail_in = offered;
        z->next_out = (Bytef *)*out + *used;
        z->avail_out = room;
        result = inflate(z, Z_NO_FLUSH);
        *taken += offered - z->avail_in;
        *used += room - z->avail_out;
        if (result == Z_OK && z->avail_in == offered && z->avail_out == room) return Z_BUF_ERROR; /* no progress */
    }
    return result;
}

static tn_status expand(const uint8_t *from, size_t from_bytes, void **out, size_t *used, tn_diag *diag) {
    z_stream z = new_stream();
    size_t capacity = 0, at = 0, taken = 0;
    int result = inflateInit2(&z, GZIP_WINDOW);
    bool is_open = result == Z_OK;
    while (result == Z_OK || (result == Z_STREAM_END && at < from_bytes)) {
        result = inflateReset(&z);
        if (result == Z_OK) result = expand_member(&z, from + at, from_bytes - at, &taken, out, used, &capacity);
        at += taken;
    }
    if (is_open) inflateEnd(&z);
    if (result == Z_STREAM_END) return TN_OK;
    if (result == Z_MEM_ERROR) return diag_fail(diag, TN_ERR_MEMORY, "out of memory while expanding it");
    const char *fault = result == Z_BUF_ERROR ? "it is cut off" : "it is damaged";
    return diag_fail(diag, TN_ERR_PARSE, "its gzip data cannot be expanded: %s near byte %zu of %zu", fault, at,
                     from_bytes);
}

tn_status expand_gzip(void **content, size_t *size, tn_diag *diag) {
    const uint8_t *from = *content;
    if (*size < 2 || from[0] != 0x1f || from[1] != 0x8b) return TN_OK;
    void *out = NULL;
    size_t used = 0;
    tn_status status = expand(from, *size, &out, &used, diag);
    tn_free(*content);
    if (status != TN_OK) {
        tn_free(out);
        out = NULL;
        used = 0;
    }
    *content = out;
    *size = used;
    return status;
}

tn_status read_maybe_gzip(const char *path, void **content, size_t *size, tn_diag *diag) {
    tn_status status = read_file(path, content, size, diag);
    if (status != TN_OK) return status;
    return diag_in_file(diag, expand_gzip(content, size, diag), path);
}

/* ---- Bare deflate streams ---------------------------------------------------------------- */

tn_status inflate_exactly(const uint8_t *from, size_t from_bytes, uint8_t *to, size_t to_bytes) {
    z_stream z = new_stream();
    uint8_t beyond; /* a place for a byte too many, so that the stream's end is reached in any case */
    size_t taken = 0, given = 0;
    int result = inflateInit2(&z, BARE_WINDOW);
    if (result != Z_OK) return TN_ERR_MEMORY;
    while (result == Z_OK) {
        bool is_full = given == to_bytes;
        uInt offered = at_most(from_bytes - taken), room = is_full ? 1 : at_most(to_bytes - given);
        z.next_in = (z_const Bytef *)(from + taken);
        z.avail_in = offered;
        z.next_out = is_full ? &beyond : to + given;
        z.avail_out = room;
        result = inflate(&z, Z_NO_FLUSH);
        size_t more = room - z.avail_out;
        taken += offered - z.avail_in;
        if (is_full && more > 0) result = Z_DATA_ERROR;
        given += more;
        if (result == Z_OK && z.avail_in == offered && more == 0) result = Z_BUF_ERROR; /* no progress */
    }
    inflateEnd(&z);
    if (result == Z_MEM_ERROR) return TN_ERR_MEMORY;
    bool is_exact = result == Z_STREAM_END && given == to_bytes && taken == from_bytes;
    return is_exact ? TN_OK : TN_ERR_PARSE;
}

uint8_t *deflate_bytes(const uint8_t *from, size_t from_bytes, deflate_wrap wrap, size_t *to_bytes) {
    z_stream z = new_stream();
    void *out = NULL;
    size_t used = 0, capacity = 0, taken = 0;
    int window = wrap == DEFLATE_ZLIB ? ZLIB_WINDOW : BARE_WINDOW;
    int result = deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window, MEMORY_LEVEL, Z_DEFAULT_STRATEGY);
    if (result != Z_OK) return NULL;
    while (result == Z_OK && array_reserve(&out, &capacity, used + FIRST_BYTES, 1)) {
        uInt offered = at_most(from_bytes - taken), room = at_most(capacity - used);
        z.next_in = (z_const Bytef *)(from + taken);
        z.avail_in = offered;
        z.next_out = (Bytef *)out + used;
        z.avail_out = room;
        result = deflate(&z, taken + offered == from_bytes ? Z_FINISH : Z_NO_FLUSH);
        taken += offered - z.avail_in;
        used += room - z.avail_out;
    }
    deflateEnd(&z);
    if (result != Z_STREAM_END) {
        tn_free(out);
        return NULL;
    }
    *to_bytes = used;
    return out;
}

uint32_t crc32_add(uint32_t sum, const void *data, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        uInt some = at_most(bytes - done);
        sum = (uint32_t)crc32(sum, (const Bytef *)data + done, some);
        done += some;
    }
    return sum;
}
