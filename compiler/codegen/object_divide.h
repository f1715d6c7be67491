/* Division of 64-bit integers for machines that have none. */
#ifndef TN_CODEGEN_OBJECT_DIVIDE_H
#define TN_CODEGEN_OBJECT_DIVIDE_H

#include "compiler/codegen/target.h"

/* Before a module is optimised: where the target has no such instruction, and something divides, the module gets functions
 * of its own for it. */
void object_define_divisions(LLVMModuleRef module, const target *t);

#endif
