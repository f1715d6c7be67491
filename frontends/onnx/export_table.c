/* The rows of export.def, by op. */
#include "frontends/onnx/export_ops.h"

#define SET(NAME) (UINT32_C(1) << TN_##NAME)
enum {
    NONE = 0,
    BOOL = SET(BOOL),
    I8 = SET(I8),
    U8 = SET(U8),
    I32 = SET(I32),
    U32 = SET(U32),
    U64 = SET(U64),
    F16 = SET(F16),
    BF16 = SET(BF16),
    F32 = SET(F32),
    F64 = SET(F64),
    SMALL_SINTS = SET(I8) | SET(I16),
    UINTS = SET(U8) | SET(U16) | SET(U32) | SET(U64),
    FLOATS = SET(F16) | SET(F32) | SET(F64),
    NUMBERS = FLOATS | SET(I32) | SET(I64), /* what runtimes have nearly everything in */
    BITS = SET(BOOL) | SET(I8) | SET(I16) | SET(I32) | SET(I64) | UINTS,
};

#define WRITE(op, write, onnx, typed, runs, says) [TN_OP_##op] = {write, onnx, typed, runs, says, NULL, NULL},
#define LOWER(op, write, onnx, typed, runs, says, lower) [TN_OP_##op] = {write, onnx, typed, runs, says, lower, NULL},
#define SPLIT(op, lower, why) [TN_OP_##op] = {NULL, #op, -1, NONE, NONE, lower, why},
const export_row export_rows[TN_OP_COUNT] = {
#include "frontends/onnx/export.def"
};
#undef WRITE
#undef LOWER
#undef SPLIT

/* Names each row, and asks for the row of each op: one that is missing has no such name. */
enum {
#define WRITE(op, write, onnx, typed, runs, says) ROW_OF_##op,
#define LOWER(op, write, onnx, typed, runs, says, lower) ROW_OF_##op,
#define SPLIT(op, lower, why) ROW_OF_##op,
#include "frontends/onnx/export.def"
#undef WRITE
#undef LOWER
#undef SPLIT
    ROW_COUNT
};
#define OP(name, operands, attributes, rule, eval, grad, loop_class, samples, doc) +(ROW_OF_##name >= 0)
#define COMPOSITE(name, operands, attributes, rule, expand, grad, samples, doc) +(ROW_OF_##name >= 0)
_Static_assert(0
#include "ir/ops.def"
                   == ROW_COUNT,
               "one row for each op");
#undef OP
#undef COMPOSITE
