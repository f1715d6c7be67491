/* Fields of a protobuf message over nanopb's stream primitives (see proto_wire.h).
 *
 * Source: the protobuf encoding specification, protobuf.dev/programming-guides/encoding.
 */
#include "frontends/onnx/proto_wire.h"

const char *wire_type_name(wire_type type) {
    switch (type) {
    case WIRE_VARINT: return "varint";
    case WIRE_FIXED64: return "fixed64";
    case WIRE_BYTES: return "bytes";
    case WIRE_FIXED32: return "fixed32";
    }
    return "unknown";
}

wire_reader wire_open(onnx_bytes message) {
    return (wire_reader){.end = message.data + message.size, .in = pb_istream_from_buffer(message.data, message.size)};
}

const uint8_t *wire_position(const wire_reader *reader) { return reader->end - reader->in.bytes_left; }

static bool fail(wire_reader *reader, const char *error) {
    reader->error = error;
    return false;
}

static bool read_length_prefixed(wire_reader *reader, onnx_bytes *bytes) {
    uint64_t length;
    if (!pb_decode_varint(&reader->in, &length))
        return fail(reader, "the length of a field is cut off or longer than 64 bits");
    if (length > reader->in.bytes_left) {
        reader->lacking = length - reader->in.bytes_left;
        return fail(reader, "a field is longer than the message that holds it");
    }
    *bytes = (onnx_bytes){wire_position(reader), (size_t)length};
    return pb_read(&reader->in, NULL, (size_t)length) || fail(reader, "a field is cut off");
}

bool wire_value(wire_reader *reader, wire_type type, uint64_t *value) {
    if (type == WIRE_VARINT)
        return pb_decode_varint(&reader->in, value) || fail(reader, "a varint is cut off or longer than 64 bits");
    if (type == WIRE_FIXED64)
        return pb_decode_fixed64(&reader->in, value) || fail(reader, "an 8-byte value is cut off");
    uint32_t word = 0;
    if (!pb_decode_fixed32(&reader->in, &word)) return fail(reader, "a 4-byte value is cut off");
    *value = word;
    return true;
}

wire_result wire_next(wire_reader *reader, wire_field *field) {
    *field = (wire_field){0};
    if (reader->in.bytes_left == 0) return WIRE_END;
    pb_wire_type_t type;
    bool at_end;
    if (!pb_decode_tag(&reader->in, &type, &field->number, &at_end)) {
        fail(reader, "a field's tag is cut off or longer than 32 bits");
        return WIRE_ERROR;
    }
    if (field->number == 0) {
        fail(reader, "a field has the number 0");
        return WIRE_ERROR;
    }
    field->type = (wire_type)type;
    bool ok;
    if (field->type == WIRE_BYTES)
        ok = read_length_prefixed(reader, &field->bytes);
    else if (field->type == WIRE_VARINT || field->type == WIRE_FIXED32 || field->type == WIRE_FIXED64)
        ok = wire_value(reader, field->type, &field->value);
    else
        ok = fail(reader, "a field has a wire type that protobuf does not use any more");
    return ok ? WIRE_FIELD : WIRE_ERROR;
}

bool wire_packed_count(onnx_bytes packed, wire_type type, size_t *count) {
    *count = 0;
    if (type != WIRE_VARINT) {
        size_t width = type == WIRE_FIXED32 ? 4 : 8;
        *count = packed.size / width;
        return packed.size % width == 0;
    }
    /* The last byte of every varint, and only that, has its top bit clear. */
    for (size_t i = 0; i < packed.size; i++) *count += packed.data[i] < 0x80;
    return packed.size == 0 || packed.data[packed.size - 1] < 0x80;
}
