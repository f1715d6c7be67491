/* Protobuf messages, written field by field.
 *
 * in:  field numbers and values, in order; a message inside another between proto_begin and proto_end
 * out: the bytes of the message
 * law: once memory is short nothing more is written and has_failed tells
 *
 * The wire primitives are nanopb's.
 */
#ifndef TN_DATA_PROTO_WRITE_H
#define TN_DATA_PROTO_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise to start; `bytes` is to be freed with tn_free. */
typedef struct proto_buffer {
    uint8_t *bytes;
    size_t used, capacity;
    bool has_failed;
} proto_buffer;

void proto_int(proto_buffer *b, uint32_t field, int64_t value);
void proto_float(proto_buffer *b, uint32_t field, float value);
void proto_double(proto_buffer *b, uint32_t field, double value);
void proto_bytes(proto_buffer *b, uint32_t field, const void *bytes, size_t n);
void proto_text(proto_buffer *b, uint32_t field, const char *text);
void proto_doubles(proto_buffer *b, uint32_t field, const double *values, size_t n); /* packed */

/* Starts a message in a field; what is written until proto_end of the result is its content. */
size_t proto_begin(proto_buffer *b, uint32_t field);
void proto_end(proto_buffer *b, size_t begin);

#endif
