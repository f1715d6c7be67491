/* Copies of whole arrays: the one thing for which code may ask a libc. */
#ifndef TN_CODEGEN_EMIT_COPY_H
#define TN_CODEGEN_EMIT_COPY_H

#include "compiler/codegen/target.h"

/* Copies `bytes` (i64) between places that do not overlap and are aligned so: by memcpy, or, for code that stands alone,
 * by a loop in a function of the builder's module. */
void emit_copy_bytes(LLVMBuilderRef b, const target *t, LLVMValueRef to, LLVMValueRef from, LLVMValueRef bytes,
                     unsigned alignment);

#endif
