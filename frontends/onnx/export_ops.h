/* The writers and lowerings that export.def names. */
#ifndef TN_ONNX_EXPORT_OPS_H
#define TN_ONNX_EXPORT_OPS_H

#include "frontends/onnx/export.h"

#define WRITE(op, write, onnx, typed, runs, says) write_fn write;
#define LOWER(op, write, onnx, typed, runs, says, lower)                                                               \
    write_fn write;                                                                                                    \
    lower_fn lower;
#define SPLIT(op, lower, why) lower_fn lower;
#include "frontends/onnx/export.def"
#undef WRITE
#undef LOWER
#undef SPLIT

write_fn write_conv_transposed; /* of write_conv */

#endif
