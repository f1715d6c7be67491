/* Protobuf messages, written field by field (see proto_write.h). */
#include "frontends/data/proto_write.h"

#include "runtime/alloc.h"

#include <pb_encode.h>
#include <string.h>

enum { MOST_VARINT_BYTES = 10 };

static bool append(pb_ostream_t *out, const pb_byte_t *bytes, size_t n) {
    proto_buffer *b = out->state;
    void *all = b->bytes;
    if (n > SIZE_MAX - b->used || !array_reserve(&all, &b->capacity, b->used + n, 1)) return false;
    b->bytes = all;
    if (n > 0) memcpy(b->bytes + b->used, bytes, n);
    b->used += n;
    return true;
}

static pb_ostream_t stream_of(proto_buffer *b) {
    return (pb_ostream_t){.callback = append, .state = b, .max_size = SIZE_MAX};
}

/* Notes how a field went; the rest is not written once one has failed. */
#define PUT(b, ...)                                                                                                    \
    do {                                                                                                               \
        pb_ostream_t out = stream_of(b);                                                                               \
        if (!(b)->has_failed) (b)->has_failed = !(__VA_ARGS__);                                                        \
    } while (0)

void proto_int(proto_buffer *b, uint32_t field, int64_t value) {
    PUT(b, pb_encode_tag(&out, PB_WT_VARINT, field) && pb_encode_varint(&out, (uint64_t)value));
}

void proto_float(proto_buffer *b, uint32_t field, float value) {
    PUT(b, pb_encode_tag(&out, PB_WT_32BIT, field) && pb_encode_fixed32(&out, &value));
}

void proto_double(proto_buffer *b, uint32_t field, double value) {
    PUT(b, pb_encode_tag(&out, PB_WT_64BIT, field) && pb_encode_fixed64(&out, &value));
}

void proto_bytes(proto_buffer *b, uint32_t field, const void *bytes, size_t n) {
    PUT(b, pb_encode_tag(&out, PB_WT_STRING, field) && pb_encode_string(&out, bytes, n));
}

void proto_text(proto_buffer *b, uint32_t field, const char *text) { proto_bytes(b, field, text, strlen(text)); }

void proto_doubles(proto_buffer *b, uint32_t field, const double *values, size_t n) {
    PUT(b, pb_encode_tag(&out, PB_WT_STRING, field) && pb_encode_varint(&out, n * sizeof *values));
    for (size_t i = 0; i < n; i++) PUT(b, pb_encode_fixed64(&out, &values[i]));
}

size_t proto_begin(proto_buffer *b, uint32_t field) {
    PUT(b, pb_encode_tag(&out, PB_WT_STRING, field));
    return b->used;
}

/* The size goes before the content, which moves up to make room. */
void proto_end(proto_buffer *b, size_t begin) {
    size_t content = b->used - begin;
    PUT(b, pb_encode_varint(&out, content));
    if (b->has_failed) return;
    uint8_t size[MOST_VARINT_BYTES];
    size_t n = b->used - begin - content;
    memcpy(size, b->bytes + begin + content, n);
    memmove(b->bytes + begin + n, b->bytes + begin, content);
    memcpy(b->bytes + begin, size, n);
}
