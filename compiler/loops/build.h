/* Building by hand, for those who bring their own numbers (the parser). */
#ifndef TN_LOOPS_BUILD_H
#define TN_LOOPS_BUILD_H

#include "compiler/loops/loops.h"

/* A statement at the end of the open block, all zero but its kind and LT_NONE as its result;
 * the kernel's spare one after a failure. */
lt_stmt *lt_append(lt_builder *b, lt_kind kind);

/* Makes value `v` known with its dtype; the kernel's count of values covers it from then on. */
bool lt_declare_value(lt_builder *b, lt_value v, tn_dtype dtype);

#endif
