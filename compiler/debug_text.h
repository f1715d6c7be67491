/* What a module is lowered to as a text: functions, and the loop trees of their kernels; and that text as what debuggers
 * show of a program (tn_compile_options.debug_info).
 *
 * in:  a compilation whose plan has been made
 * out: the text; or a file, and each function and each statement of a loop tree knows its line in it
 */
#ifndef TN_COMPILER_DEBUG_TEXT_H
#define TN_COMPILER_DEBUG_TEXT_H

#include "compiler/stages.h"

/* From tn_malloc; NULL: no memory, or the data file cannot be written. `data_path` as tn_compile_text has it. */
char *debug_text_print(const compilation *c, const char *data_path);

/* Writes the file that the options ask for, constants of over 64 elements beside it, and tells code generation which
 * file it is. Nothing happens when they ask for none. False: c->diag. */
bool debug_text_write(compilation *c);

#endif
