/* Elementary functions: the table and its dispatch. Each function is in the file that
 * vmath.def names; conversions are in vmath_convert.c, integers in vmath_int.c.
 */
#include "compiler/codegen/vmath.h"

#include "compiler/codegen/vmath_build.h"

typedef val (*emitter_fn)(const vm *m, const val *args);

static const struct {
    vmath_info info;
    emitter_fn emit;
} table[VMATH_OP_COUNT] = {
#define VMATH(ENUM, name, arity, ulp32, ulp64, emitter, doc)                                                           \
    [VMATH_##ENUM] = {{#name, arity, ulp32, ulp64, doc}, vmath_##emitter},
#include "compiler/codegen/vmath.def"
#undef VMATH
};

const vmath_info *vmath_describe(vmath_op op) { return &table[op].info; }

LLVMValueRef vmath_emit(const vmath_ctx *c, vmath_op op, const LLVMValueRef *args) {
    vm m = vm_start(c, args[0]);
    return table[op].emit(&m, args);
}

LLVMValueRef vmath_mad(const vmath_ctx *c, LLVMValueRef a, LLVMValueRef b, LLVMValueRef add) {
    vm m = vm_start(c, a);
    return vmad(&m, a, b, add);
}
