/* Sets of dtypes, for rules that ask "is this a float?" (the rows are in runtime/dtypes.def). */
#ifndef TN_IR_DTYPE_H
#define TN_IR_DTYPE_H

#include "tenon_rt.h"

typedef uint32_t dtype_set; /* bit i: the dtype numbered i */

extern const dtype_set DTYPES_BOOL, DTYPES_SINT, DTYPES_UINT, DTYPES_FLOAT;
extern const dtype_set DTYPES_INT;    /* signed and unsigned */
extern const dtype_set DTYPES_BITS;   /* bool and integers */
extern const dtype_set DTYPES_NUMBER; /* all but bool */
extern const dtype_set DTYPES_ANY;    /* all that have data: not token */
extern const dtype_set DTYPES_INDEX;  /* i32 and i64 */
extern const dtype_set DTYPES_NARROW; /* all numbers of fewer bits than f32: it holds each of theirs */

static inline bool dtype_in(dtype_set set, unsigned dtype) { return dtype < TN_DTYPE_COUNT && (set >> dtype & 1); }
static inline bool dtype_is_float(unsigned dtype) { return dtype_in(DTYPES_FLOAT, dtype); }

/* What sums of a dtype are kept in when an op does not say: f32 for smaller floats, else itself. */
tn_dtype dtype_accumulator(tn_dtype dtype);

/* A set in words, for messages: "a float", "an integer". */
const char *dtype_set_text(dtype_set set);

#endif
