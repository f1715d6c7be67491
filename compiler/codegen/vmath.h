/* Elementary functions as LLVM IR.
 *
 * in:  float or integer values, scalars or vectors of any width, and a builder
 * out: IR at the builder's place that computes the function lane by lane
 * law: nothing is emitted that could become a library call, on any target; the same lane gives the
 *      same bits whatever the vector's width; every input gives a result (NaN in, NaN out);
 *      infinities, signed zeros and denormals are as in C's Annex F
 *
 * Emission opens no basic block: the builder stays in the block where it was. (A few rare
 * functions emit a call to a private helper function, which they add to the module once.)
 */
#ifndef TN_COMPILER_CODEGEN_VMATH_H
#define TN_COMPILER_CODEGEN_VMATH_H

#include <stdbool.h>

#include <llvm-c/Core.h>

#include "compiler/codegen/target.h"
#include "runtime/tenon_rt.h"

/* Where code goes and for which machine. */
typedef struct vmath_ctx {
    LLVMBuilderRef builder; /* in a function of `module` */
    LLVMModuleRef module;
    const target *target;
} vmath_ctx;

typedef enum vmath_op {
#define VMATH(ENUM, name, arity, ulp32, ulp64, emitter, doc) VMATH_##ENUM,
#include "compiler/codegen/vmath.def"
#undef VMATH
    VMATH_OP_COUNT
} vmath_op;

typedef struct vmath_info {
    const char *name;
    unsigned arity;
    double ulp32, ulp64; /* stated bounds */
    const char *doc;
} vmath_info;

/* The row of `op` in vmath.def. */
const vmath_info *vmath_describe(vmath_op op);

/* Emits `op` on `args` (vmath_describe(op)->arity of them, all float or all double, scalar or
 * vector of the same width). The result has their type. f16 and bf16: convert to f32 first. */
LLVMValueRef vmath_emit(const vmath_ctx *c, vmath_op op, const LLVMValueRef *args);

/* a * b + c: one rounding where the target has the instruction, else two. */
LLVMValueRef vmath_mad(const vmath_ctx *c, LLVMValueRef a, LLVMValueRef b, LLVMValueRef add);

/* ---- Conversions ------------------------------------------------------------------------ */

/* How a dtype is held in a register: bool as i1, f16 and bf16 as f32, all others as their own
 * LLVM type. How it is held in memory: bool as i8, f16 and bf16 as i16. `lanes` 0: scalar. */
LLVMTypeRef vmath_register_type(LLVMContextRef context, tn_dtype dtype, unsigned lanes);
LLVMTypeRef vmath_memory_type(LLVMContextRef context, tn_dtype dtype, unsigned lanes);

/* Memory form to register form and back (f32 to f16 or bf16 rounds to nearest even). */
LLVMValueRef vmath_unpack(const vmath_ctx *c, tn_dtype dtype, LLVMValueRef memory);
LLVMValueRef vmath_pack(const vmath_ctx *c, tn_dtype dtype, LLVMValueRef reg);

/* Register form of `from` to register form of `to`, rounding once to nearest even: integers
 * wrap, floats saturate to integers with NaN to 0, anything but 0 is true. The result for f16
 * and bf16 is an f32 that holds the rounded value. */
LLVMValueRef vmath_convert(const vmath_ctx *c, LLVMValueRef value, tn_dtype from, tn_dtype to);

/* ---- Total integer arithmetic (also on i1, i8, i16 registers) --------------------------- */

/* x / 0 = 0; MIN / -1 = MIN (wraps); otherwise towards zero. */
LLVMValueRef vmath_int_div(const vmath_ctx *c, bool is_signed, LLVMValueRef x, LLVMValueRef y);

/* Sign of x, as in C; x rem 0 = 0, x rem -1 = 0. */
LLVMValueRef vmath_int_rem(const vmath_ctx *c, bool is_signed, LLVMValueRef x, LLVMValueRef y);

/* Shifts by the width or more, or by a negative count, give 0; an arithmetic shift right
 * (is_signed) gives the sign instead. */
LLVMValueRef vmath_shl(const vmath_ctx *c, LLVMValueRef x, LLVMValueRef count);
LLVMValueRef vmath_shr(const vmath_ctx *c, bool is_signed, LLVMValueRef x, LLVMValueRef count);

/* x to the power of y, wrapping; y < 0 gives 0, but 1 for x = 1 and 1 or -1 for x = -1. */
LLVMValueRef vmath_int_pow(const vmath_ctx *c, bool is_signed, LLVMValueRef x, LLVMValueRef y);

#endif
