/* PNG pictures in memory (see png.h). */
#include "frontends/data/png.h"

#include "frontends/data/compress.h"
#include "runtime/alloc.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 12, HEADER_BYTES = 13, FILTER_NONE = 0, FILTER_UP = 2 };
static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

static void put32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* A chunk: length, type, data, and the sum of type and data. Returns behind it. */
static uint8_t *put_chunk(uint8_t *at, const char *type, const uint8_t *data, size_t bytes) {
    put32(at, (uint32_t)bytes);
    memcpy(at + 4, type, 4);
    if (bytes > 0) memcpy(at + 8, data, bytes);
    put32(at + 8 + bytes, crc32_add(0, at + 4, 4 + bytes));
    return at + CHUNK_BYTES + bytes;
}

static long magnitude(const uint8_t *row, size_t stride) {
    long sum = 0;
    for (size_t i = 0; i < stride; i++) sum += abs((int8_t)row[i]);
    return sum;
}

/* Each row behind the number of its filter: as it is or as differences to the row above,
 * whichever is smaller in sum. */
static uint8_t *filter(const uint8_t *pixels, size_t stride, size_t height) {
    uint8_t *out = tn_malloc((stride + 1) * height);
    for (size_t y = 0; out && y < height; y++) {
        uint8_t *to = out + y * (stride + 1);
        const uint8_t *row = pixels + y * stride;
        for (size_t i = 0; y > 0 && i < stride; i++) to[i + 1] = (uint8_t)(row[i] - row[i - stride]);
        bool is_up = y > 0 && magnitude(to + 1, stride) < magnitude(row, stride);
        to[0] = is_up ? FILTER_UP : FILTER_NONE;
        if (!is_up) memcpy(to + 1, row, stride);
    }
    return out;
}

uint8_t *png_of(const uint8_t *pixels, uint32_t width, uint32_t height, int channels, size_t *bytes) {
    static const uint8_t colour_types[] = {[1] = 0, [2] = 4, [3] = 2, [4] = 6};
    size_t stride = (size_t)width * (size_t)channels, packed_bytes = 0;
    uint8_t *rows = filter(pixels, stride, height);
    uint8_t *packed = rows ? deflate_bytes(rows, (stride + 1) * height, DEFLATE_ZLIB, &packed_bytes) : NULL;
    tn_free(rows);
    *bytes = sizeof signature + 3 * CHUNK_BYTES + HEADER_BYTES + packed_bytes;
    uint8_t *out = packed ? tn_malloc(*bytes) : NULL;
    if (out) {
        uint8_t header[HEADER_BYTES] = {[8] = 8, [9] = colour_types[channels]};
        put32(header, width);
        put32(header + 4, height);
        memcpy(out, signature, sizeof signature);
        uint8_t *at = put_chunk(out + sizeof signature, "IHDR", header, sizeof header);
        at = put_chunk(at, "IDAT", packed, packed_bytes);
        put_chunk(at, "IEND", NULL, 0);
    }
    tn_free(packed);
    return out;
}
