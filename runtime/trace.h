/* The inside of a trace: what runs add to it. */
#ifndef TN_RUNTIME_TRACE_H
#define TN_RUNTIME_TRACE_H

#include "runtime/tenon_trace.h"

typedef enum trace_kind { TRACE_NONE, TRACE_RUN, TRACE_KERNEL, TRACE_CHUNK } trace_kind;

/* One event of a thread. */
typedef struct trace_event {
    uint64_t begin_ns, end_ns;
    int64_t chunk;
    int64_t thread;          /* the system's number of it */
    int32_t program, kernel; /* numbers */
    int32_t loop;            /* of the kernel: TRACE_CHUNK */
    int32_t worker;
    trace_kind kind;
} trace_event;

/* The number of a program, which lives as long as the trace from now on; -1: no memory. */
int32_t trace_add_program(tn_trace *trace, tn_program *program);

/* Adds an event of the calling thread. Neither waits nor allocates. */
void trace_add(tn_trace *trace, trace_event event);

#endif
