/* --trace: what a command did when, as a file for Perfetto and chrome://tracing. */
#ifndef TN_CLI_RUN_TRACE_H
#define TN_CLI_RUN_TRACE_H

#include "frontends/cli/options.h"
#include "tenon.h"

typedef struct tracing {
    const char *path;
    tn_trace *trace;                                         /* NULL: nothing is traced */
    void (*watch)(void *ctx, const tn_stage_report *report); /* of the options, before tracing_watch; or NULL */
    void *watch_ctx;
    uint64_t stage_end_ns; /* of the last stage */
} tracing;

/* Begins when --trace is given. EXIT_DONE, or EXIT_INPUT with the error on stderr. */
int tracing_open(tracing *t, const arguments *a);
void tracing_close(tracing *t);

/* A span on the track "tenon", from `begin_ns` of the trace until now. */
void tracing_span(const tracing *t, const char *name, uint64_t begin_ns);
uint64_t tracing_now(const tracing *t);

/* Stages of a compilation with these options become spans. `t` must live as long as they. */
void tracing_watch(tracing *t, tn_compile_options *options);

/* Writes the file and says what found no room. */
int tracing_write(const tracing *t);

#endif
