/* LLVM's library in this process.
 *
 * law: it is loaded when code generation first asks for it, once, and stays; whoever calls LLVM has called llvm_load
 *      before, as target_choose and object_context_new do for their callers
 */
#ifndef TN_CODEGEN_LLVM_LIBRARY_H
#define TN_CODEGEN_LLVM_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/tenon_rt.h"

/* Which, and the file that Tenon was built with: the build says it (build.mk). */
#ifndef TN_LLVM_VERSION
#define TN_LLVM_VERSION "unknown"
#define TN_LLVM_FILE ""
#endif

/* False: *diag (may be NULL) says that there is no LLVM, or not the one that Tenon was built with (TN_ERR_UNSUPPORTED). */
bool llvm_load(tn_diag *diag);

/* An address of its code; 0: it is not loaded. */
uintptr_t llvm_address(void);

#endif
