/* Messages by table, the other way: from a C struct to the bytes of a protobuf message.
 *
 * in:  a struct of proto.h and the table of its message, the same that it would be read by
 * out: bytes that read back to an equal struct
 * law: absent and zero fields that are no choice are left out, as protobuf has it; fields without a place in the
 *      struct (UNSTORED, REFUSED) are never written
 */
#ifndef TN_ONNX_PROTO_ENCODE_H
#define TN_ONNX_PROTO_ENCODE_H

#include "frontends/onnx/proto_message.h"

/* Takes what is written, in order; false ends the writing. */
typedef bool proto_sink(void *ctx, const void *bytes, size_t n);

/* Bytes that the message takes; SIZE_MAX: they do not fit in memory. */
size_t proto_encoded_size(const proto_message *type, const void *message);

/* False: the sink said so. */
bool proto_encode(const proto_message *type, const void *message, proto_sink *sink, void *ctx);

/* The message in memory from tn_malloc, `bytes` as proto_encoded_size tells it; NULL: no memory. */
void *proto_encode_to_memory(const proto_message *type, const void *message, size_t bytes);

#endif
