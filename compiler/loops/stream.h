/* Results that no cache keeps until they are read. */
#ifndef TN_LOOPS_STREAM_H
#define TN_LOOPS_STREAM_H

#include "compiler/loops/classes.h"

/* Whether a buffer is such a result, if its kernel does not read it. */
bool stream_suits(const dim_table *t, const lt_buffer *result, const machine *m);
/* Marks them; returns k (which may be NULL). */
lt_kernel *stream_results(lt_kernel *k, const machine *m);

#endif
