/* Messages by table: from a C struct to bytes (see proto_encode.h).
 *
 * A message inside another is preceded by its size, so that sizes are computed on the way down, once for each level
 * that a message lies in. The wire primitives are nanopb's.
 */
#include "frontends/onnx/proto_encode.h"

#include "frontends/onnx/proto_wire.h"

#include <pb_encode.h>
#include <string.h>

/* What every ONNX_LIST looks like. */
typedef struct any_list {
    const char *items;
    size_t count;
} any_list;

static const struct {
    wire_type wire;
    size_t size;
} kinds[] = {
    [FIELD_INT64] = {WIRE_VARINT, sizeof(int64_t)},
    [FIELD_INT32] = {WIRE_VARINT, sizeof(int32_t)},
    [FIELD_FLOAT] = {WIRE_FIXED32, sizeof(float)},
    [FIELD_DOUBLE] = {WIRE_FIXED64, sizeof(double)},
    [FIELD_TEXT] = {WIRE_BYTES, sizeof(const char *)},
    [FIELD_BYTES] = {WIRE_BYTES, sizeof(onnx_bytes)},
    [FIELD_MESSAGE] = {WIRE_BYTES, 0},
};

static size_t size_each(const proto_field *field) {
    return field->kind == FIELD_MESSAGE ? field->message->size : kinds[field->kind].size;
}

static bool encode_message(pb_ostream_t *out, const proto_message *type, const void *message);

/* nanopb counts in size_t and fails where that overflows. */
static bool encoded_size(const proto_message *type, const void *message, size_t *bytes) {
    pb_ostream_t sizing = PB_OSTREAM_SIZING;
    if (!encode_message(&sizing, type, message)) return false;
    *bytes = sizing.bytes_written;
    return true;
}

static bool encode_nested(pb_ostream_t *out, const proto_message *type, const void *message) {
    size_t bytes;
    return encoded_size(type, message, &bytes) && pb_encode_varint(out, bytes) &&
           (out->callback ? encode_message(out, type, message) : pb_write(out, NULL, bytes));
}

/* The value of a field, at `place`, behind its tag. */
static bool encode_value(pb_ostream_t *out, const proto_field *field, const void *place) {
    int64_t wide = 0;
    int32_t narrow = 0;
    const char *text;
    onnx_bytes bytes;
    if (!pb_encode_tag(out, (pb_wire_type_t)kinds[field->kind].wire, field->number)) return false;
    switch (field->kind) {
    case FIELD_INT64: memcpy(&wide, place, sizeof wide); return pb_encode_varint(out, (uint64_t)wide);
    case FIELD_INT32: memcpy(&narrow, place, sizeof narrow); return pb_encode_varint(out, (uint64_t)(int64_t)narrow);
    case FIELD_FLOAT: return pb_encode_fixed32(out, place);
    case FIELD_DOUBLE: return pb_encode_fixed64(out, place);
    case FIELD_TEXT:
        memcpy((void *)&text, place, sizeof text);
        return pb_encode_string(out, (const pb_byte_t *)(text ? text : ""), text ? strlen(text) : 0);
    case FIELD_BYTES: memcpy(&bytes, place, sizeof bytes); return pb_encode_string(out, bytes.data, bytes.size);
    case FIELD_MESSAGE: return encode_nested(out, field->message, place);
    }
    return false;
}

static bool is_absent(const proto_field *field, const char *place) {
    static const char zeros[sizeof(onnx_bytes)] = {0};
    const char *text;
    if (field->is_choice) return false;
    if (field->kind != FIELD_TEXT) return memcmp(place, zeros, kinds[field->kind].size) == 0;
    memcpy((void *)&text, place, sizeof text);
    return !text || !*text;
}

static bool encode_field(pb_ostream_t *out, const proto_field *field, const char *place) {
    if (field->label == REPEATED) {
        any_list list;
        memcpy(&list, place, sizeof list);
        for (size_t i = 0; i < list.count; i++)
            if (!encode_value(out, field, list.items + i * size_each(field))) return false;
        return true;
    }
    if (field->kind == FIELD_MESSAGE) {
        const void *message;
        memcpy((void *)&message, place, sizeof message);
        return !message || encode_value(out, field, message);
    }
    return is_absent(field, place) || encode_value(out, field, place);
}

/* Of the fields that are a choice only the one given counts: they may share a place. */
static bool encode_message(pb_ostream_t *out, const proto_message *type, const void *message) {
    int32_t which = 0;
    if (type->which != PROTO_NOWHERE) memcpy(&which, (const char *)message + type->which, sizeof which);
    for (size_t i = 0; i < type->field_count; i++) {
        const proto_field *field = &type->fields[i];
        bool is_stored = field->label == ONCE || field->label == REPEATED;
        if (!is_stored || (field->is_choice && (int64_t)field->number != which)) continue;
        if (!encode_field(out, field, (const char *)message + field->offset)) return false;
    }
    return true;
}

size_t proto_encoded_size(const proto_message *type, const void *message) {
    size_t bytes;
    return encoded_size(type, message, &bytes) ? bytes : SIZE_MAX;
}

/* ---- The sink -------------------------------------------------------------------------------- */

typedef struct sink_call {
    proto_sink *write;
    void *ctx;
} sink_call;

static bool write_through(pb_ostream_t *out, const pb_byte_t *bytes, size_t n) {
    const sink_call *call = out->state;
    return call->write(call->ctx, bytes, n);
}

bool proto_encode(const proto_message *type, const void *message, proto_sink *sink, void *ctx) {
    sink_call call = {sink, ctx};
    pb_ostream_t out = {.callback = write_through, .state = &call, .max_size = SIZE_MAX};
    return encode_message(&out, type, message);
}

static bool write_memory(void *ctx, const void *bytes, size_t n) {
    uint8_t **at = ctx;
    if (n > 0) memcpy(*at, bytes, n);
    *at += n;
    return true;
}

void *proto_encode_to_memory(const proto_message *type, const void *message, size_t bytes) {
    uint8_t *memory = tn_malloc(bytes + 1), *at = memory;
    if (memory && proto_encode(type, message, write_memory, &at)) return memory;
    tn_free(memory);
    return NULL;
}
