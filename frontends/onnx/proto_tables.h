/* The messages of ONNX that a file can start with. */
#ifndef TN_ONNX_PROTO_TABLES_H
#define TN_ONNX_PROTO_TABLES_H

#include "frontends/onnx/proto_message.h"

extern const proto_message onnx_model_message;  /* an onnx_model */
extern const proto_message onnx_tensor_message; /* an onnx_tensor */

#endif
