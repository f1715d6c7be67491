/* Sets of dtypes, read off the dtype table. */
#include "ir/dtype.h"

/* The bit of a row in the set of one kind: BIT(BOOL, FLOAT, n) is 0, BIT(BOOL, BOOL, n) is 1 << n. */
enum { KIND_BOOL, KIND_SINT, KIND_UINT, KIND_FLOAT };
#define BIT(wanted, kind, ENUM) (KIND_##wanted == KIND_##kind ? UINT32_C(1) << TN_##ENUM : 0)

enum {
#define DTYPE(ENUM, name, bits, kind, storage) +BIT(BOOL, kind, ENUM)
    SET_BOOL = 0
#include "dtypes.def"
    ,
#undef DTYPE
#define DTYPE(ENUM, name, bits, kind, storage) +BIT(SINT, kind, ENUM)
    SET_SINT = 0
#include "dtypes.def"
    ,
#undef DTYPE
#define DTYPE(ENUM, name, bits, kind, storage) +BIT(UINT, kind, ENUM)
    SET_UINT = 0
#include "dtypes.def"
    ,
#undef DTYPE
#define DTYPE(ENUM, name, bits, kind, storage) +BIT(FLOAT, kind, ENUM)
    SET_FLOAT = 0
#include "dtypes.def"
    ,
#undef DTYPE
};

const dtype_set DTYPES_BOOL = SET_BOOL;
const dtype_set DTYPES_SINT = SET_SINT;
const dtype_set DTYPES_UINT = SET_UINT;
const dtype_set DTYPES_FLOAT = SET_FLOAT;
const dtype_set DTYPES_INT = SET_SINT | SET_UINT;
const dtype_set DTYPES_BITS = SET_BOOL | SET_SINT | SET_UINT;
const dtype_set DTYPES_NUMBER = SET_SINT | SET_UINT | SET_FLOAT;
const dtype_set DTYPES_ANY = SET_BOOL | SET_SINT | SET_UINT | SET_FLOAT;
const dtype_set DTYPES_INDEX = UINT32_C(1) << TN_I32 | UINT32_C(1) << TN_I64;
const dtype_set DTYPES_NARROW = UINT32_C(1) << TN_I8 | UINT32_C(1) << TN_U8 | UINT32_C(1) << TN_I16 |
                                UINT32_C(1) << TN_U16 | UINT32_C(1) << TN_F16 | UINT32_C(1) << TN_BF16;

tn_dtype dtype_accumulator(tn_dtype dtype) {
    return dtype_is_float(dtype) && tn_dtype_bits(dtype) < 32 ? TN_F32 : dtype;
}

const char *dtype_set_text(dtype_set set) {
    static const struct {
        dtype_set set;
        const char *text;
    } rows[] = {
        {SET_BOOL, "bool"},
        {SET_FLOAT, "a float"},
        {SET_SINT | SET_UINT, "an integer"},
        {SET_BOOL | SET_SINT | SET_UINT, "bool or an integer"},
        {SET_SINT | SET_UINT | SET_FLOAT, "a number"},
        {UINT32_C(1) << TN_I32 | UINT32_C(1) << TN_I64, "i32 or i64"},
        {UINT32_C(1) << TN_U32 | UINT32_C(1) << TN_U64, "u32 or u64"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].set == set) return rows[i].text;
    return "data";
}
