/* One element of any dtype, and every elementwise op on it.
 *
 * in:  elements as bits, zero-extended to 64 (f16 and bf16 as their own bits, bool as 0 or 1)
 * out: the same
 * law: the meaning of ops.def; f16 and bf16 are computed in f32 and rounded after each op. Ops
 *      that are rounded correctly give the compiled code's bits; the elementary functions are
 *      libm's, in f64, rounded once.
 */
#ifndef TN_LOOPS_SCALAR_H
#define TN_LOOPS_SCALAR_H

#include "ir/graph.h"

typedef enum scalar_kind { SCALAR_BOOL, SCALAR_SINT, SCALAR_UINT, SCALAR_FLOAT } scalar_kind;

scalar_kind scalar_kind_of(tn_dtype dtype);
static inline unsigned scalar_bytes(tn_dtype dtype) { return tn_dtype_bits(dtype) / 8; }

/* Element from and to memory of any alignment. */
uint64_t scalar_read(tn_dtype dtype, const void *memory);
void scalar_write(tn_dtype dtype, void *memory, uint64_t bits);

/* Integers: sign- or zero-extended. Floats: truncated, saturating, NaN 0. */
int64_t scalar_to_int(tn_dtype dtype, uint64_t bits);
/* Exact for floats; 64-bit integers round to nearest even. */
double scalar_to_float(tn_dtype dtype, uint64_t bits);
/* Rounds to nearest even once; integers saturate, NaN gives 0, bool is x != 0. */
uint64_t scalar_from_float(tn_dtype dtype, double value);
/* Integers wrap, floats round to nearest even, bool is x != 0. */
uint64_t scalar_from_int(tn_dtype dtype, int64_t value);

uint64_t scalar_convert(tn_dtype from, tn_dtype to, uint64_t bits);

/* The op on three operands (those it lacks may be anything) of `dtype` (select: that of operands
 * 1 and 2); `result_dtype` is read by convert and bitcast. False: not an elementwise op for that dtype. */
bool scalar_op(tn_op op, int32_t compare, tn_dtype dtype, tn_dtype result_dtype, const uint64_t *operands,
               uint64_t *result);

#endif
