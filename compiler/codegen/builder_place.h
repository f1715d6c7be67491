/* Where a builder stands, kept while it writes elsewhere.
 *
 * law: what it writes there is of the line of the instruction it is put before (or of none, in a function without lines);
 *      what it writes when it is back, of the line it had
 */
#ifndef TN_CODEGEN_BUILDER_PLACE_H
#define TN_CODEGEN_BUILDER_PLACE_H

#include <stddef.h>

#include <llvm-c/Core.h>

typedef struct builder_place {
    LLVMBasicBlockRef block;
    LLVMMetadataRef line; /* debug_info.h; NULL: none */
} builder_place;

/* The caller moves the builder. */
static inline builder_place builder_leave(LLVMBuilderRef b) {
    builder_place here = {LLVMGetInsertBlock(b), LLVMGetCurrentDebugLocation2(b)};
    LLVMSetCurrentDebugLocation2(b, NULL);
    return here;
}

/* Goes on at the end of the block, or before what ends it. */
static inline void builder_return(LLVMBuilderRef b, builder_place here) {
    LLVMValueRef end = LLVMGetBasicBlockTerminator(here.block);
    if (end)
        LLVMPositionBuilderBefore(b, end);
    else
        LLVMPositionBuilderAtEnd(b, here.block);
    LLVMSetCurrentDebugLocation2(b, here.line);
}

#endif
