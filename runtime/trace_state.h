/* What a trace is made of; private to trace*.c. */
#ifndef TN_RUNTIME_TRACE_STATE_H
#define TN_RUNTIME_TRACE_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/alloc.h"
#include "runtime/trace.h"

typedef struct trace_span {
    uint64_t begin_ns, end_ns;
    const char *track, *name;
} trace_span;

struct tn_trace {
    uint64_t begin_ns;
    trace_event *events; /* those with kind TRACE_NONE are holes: their place was given to a span */
    size_t most;
    _Atomic uint64_t n_taken; /* places asked for, by events and spans */

    pthread_mutex_t lock; /* of what follows */
    arena memory;         /* of texts */
    trace_span *spans;
    size_t n_spans, spans_capacity;
    tn_program **programs;
    size_t n_programs, programs_capacity;
};

#endif
