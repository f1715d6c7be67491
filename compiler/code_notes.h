/* Comments in the code of kernels, LLVM's and assembly: which kernel a function is a stage of, and where that is from. */
#ifndef TN_COMPILER_CODE_NOTES_H
#define TN_COMPILER_CODE_NOTES_H

#include "compiler/loops/plan.h"

/* `code` (from tn_malloc, which is taken over) with lines of comments before the functions of kernels; `sign` begins a
 * comment. NULL: no memory, or code was NULL. */
char *code_with_notes(const program_plan *p, char *code, const char *sign);

#endif
