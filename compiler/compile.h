/* The last step of a compilation: a program in this process. Private to compiler/. */
#ifndef TN_COMPILER_COMPILE_H
#define TN_COMPILER_COMPILE_H

#include "compiler/cache.h"

/* The program of a compilation that has its objects, for this machine; what only served to make it is given back, and the
 * module reduced to its data. `cache` has been opened, or is all zero. NULL: c->diag. */
tn_program *compile_program(compilation *c, program_cache *cache);

#endif
