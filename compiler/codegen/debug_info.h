/* Debug information (DWARF) of a module: its functions, and of which line of a text the code is.
 *
 * in:  a module while it is emitted, the file of the text
 * out: metadata from which LLVM makes the sections .debug_*
 * law: nothing else changes: the same instructions with and without
 */
#ifndef TN_CODEGEN_DEBUG_INFO_H
#define TN_CODEGEN_DEBUG_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include <llvm-c/Core.h>

#include "ir/graph.h"

typedef struct debug_info debug_info;

/* Where code comes from: a line of the text (0: of none), and places in the user's sources. */
typedef struct debug_place {
    uint32_t line;
    location_id where; /* of `module`; LOCATION_NONE: none is known */
    const tn_module *module;
} debug_place;

/* Of a whole module, or of what is emitted into it from here on. `path`: the file, from the root on. With `shows_sources`
 * lines are of the user's sources where a place has one whose file is there. NULL: no memory. */
debug_info *debug_info_new(LLVMModuleRef module, unsigned pointer_bits, const char *path, bool shows_sources);
/* When all its functions are emitted. NULL is allowed. False: memory was out. */
bool debug_info_end(debug_info *d);

/* A function that begins there: what the lines of its code are given with. Debuggers know it as `name`. NULL, in which
 * case lines do nothing: `d` is, or it has no line in the text. */
LLVMMetadataRef debug_function(debug_info *d, LLVMValueRef function, const char *name, debug_place place);

/* From where `b` stands on, debuggers know a value by that name: a number, a vector of numbers or an address; others are
 * not told. `parameter`: its place among the function's, from 1 on; 0: it is none. */
void debug_value(debug_info *d, LLVMBuilderRef b, LLVMMetadataRef function, const char *name, unsigned parameter,
                 LLVMValueRef value);
/* Likewise the address of elements of that dtype. */
void debug_elements(debug_info *d, LLVMBuilderRef b, LLVMMetadataRef function, const char *name, tn_dtype dtype,
                    LLVMValueRef address);

/* What `b` emits from here on comes from there (line 0: from the same place as before). */
void debug_line(debug_info *d, LLVMBuilderRef b, LLVMMetadataRef function, debug_place place);

#endif
