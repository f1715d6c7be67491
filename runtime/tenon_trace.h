/* Traces: what ran when, on which thread, as files for Perfetto (ui.perfetto.dev) and chrome://tracing.
 *
 *     tn_trace *trace = tn_trace_new(0);
 *     tn_exec *exec = tn_exec_new(program, &(tn_exec_options){.pool = pool, .trace = trace});
 *     tn_exec_run(exec, ...);
 *     tn_trace_write(trace, "trace.json", NULL);
 */
#ifndef TENON_TRACE_H
#define TENON_TRACE_H

#include "tenon_rt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A trace with room for so many events, 0: 262,144 (14 MB). Runs, kernels, chunks of their parallel loops and spans are an
 * event each; when there is no more room the first stay, and the others are counted. NULL: no memory. Several execs, of
 * several programs and on several threads, may share one. */
TN_API tn_trace *tn_trace_new(size_t most_events);

/* NULL is allowed. Execs that have it must be freed before. */
TN_API void tn_trace_free(tn_trace *trace);

/* Nanoseconds since the trace was made. */
TN_API uint64_t tn_trace_now(const tn_trace *trace);

/* Something of the caller's own: an event [begin_ns, end_ns) on a track of that name, beside the threads'. Texts are
 * copied. Spans of one track must nest or follow each other. Any thread may call this at any time. */
TN_API void tn_trace_span(tn_trace *trace, const char *track, const char *name, uint64_t begin_ns, uint64_t end_ns);

/* How many events found no room. */
TN_API uint64_t tn_trace_left_out(const tn_trace *trace);

/* Writes what there is so far as Trace Event Format JSON: one track a thread, complete events ("X") in order of time; of a
 * kernel the name is its number and title, its arguments are class and places in the source; of a chunk, its number and
 * which of the kernel's loops it is of. No exec that has the trace may be running. TN_ERR_IO, TN_ERR_MEMORY with *diag
 * (may be NULL). */
TN_API tn_status tn_trace_write(const tn_trace *trace, const char *path, tn_diag *diag);

#ifdef __cplusplus
}
#endif

#endif
