/* Results that no cache keeps until they are read. */
#ifndef TN_LOOPS_STREAM_H
#define TN_LOOPS_STREAM_H

#include "compiler/loops/classes.h"

/* Marks them; returns k (which may be NULL). */
lt_kernel *stream_results(lt_kernel *k, const machine *m);

#endif
