/* Fields of a protobuf message, one after the other.
 *
 * in:  the bytes of one message
 * out: fields with their number, wire type and value; what has a length stays in place
 * law: never reads past the bytes given; each field is read or refused as a whole
 *
 * Wire decoding is nanopb's (stream primitives over a memory buffer). Its generated structs are
 * not used: they know fixed fields only, copy what they read, and say neither where an error is
 * nor which message it is in.
 */
#ifndef TN_ONNX_PROTO_WIRE_H
#define TN_ONNX_PROTO_WIRE_H

#include "frontends/onnx/proto.h"

#include <pb_decode.h>

typedef enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 } wire_type;

/* "varint", ...; never NULL. */
const char *wire_type_name(wire_type type);

typedef struct wire_reader {
    const uint8_t *end;
    pb_istream_t in;
    const char *error; /* what was wrong, once a call has failed */
    uint64_t lacking;  /* bytes by which the last field is longer than the message */
} wire_reader;

typedef struct wire_field {
    uint32_t number;
    wire_type type;
    uint64_t value;   /* varint, fixed32, fixed64 */
    onnx_bytes bytes; /* WIRE_BYTES */
} wire_field;

typedef enum wire_result { WIRE_END, WIRE_FIELD, WIRE_ERROR } wire_result;

wire_reader wire_open(onnx_bytes message);

/* Where the next field starts. */
const uint8_t *wire_position(const wire_reader *reader);

/* Reads the next field. */
wire_result wire_next(wire_reader *reader, wire_field *field);

/* Reads a bare value, as they follow each other in packed fields. */
bool wire_value(wire_reader *reader, wire_type type, uint64_t *value);

/* Number of values of a wire type in a packed field. False: the last one is cut off. */
bool wire_packed_count(onnx_bytes packed, wire_type type, size_t *count);

#endif
