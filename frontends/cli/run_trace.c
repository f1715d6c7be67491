/* --trace (see run_trace.h). */
#include "frontends/cli/run_trace.h"
#include "frontends/cli/model.h"

#include <stdio.h>

int tracing_open(tracing *t, const arguments *a) {
    *t = (tracing){.path = TEXT_OF(a, trace)};
    if (!t->path) return EXIT_DONE;
    FILE *file = fopen(t->path, "w"); /* so that a run is not in vain */
    if (!file) return report_text(t->path, "cannot be written");
    fclose(file);
    t->trace = tn_trace_new(0);
    return t->trace ? EXIT_DONE : report_text(t->path, "out of memory");
}

void tracing_close(tracing *t) {
    tn_trace_free(t->trace);
    *t = (tracing){0};
}

uint64_t tracing_now(const tracing *t) { return tn_trace_now(t->trace); }

void tracing_span(const tracing *t, const char *name, uint64_t begin_ns) {
    if (t->trace) tn_trace_span(t->trace, "tenon", name, begin_ns, tracing_now(t));
}

static void on_stage(void *ctx, const tn_stage_report *stage) {
    tracing *t = ctx;
    uint64_t now = tracing_now(t), ns = (uint64_t)(stage->milliseconds * 1e6), begin = now > ns ? now - ns : 0;
    if (begin < t->stage_end_ns) begin = t->stage_end_ns; /* clocks are read twice */
    tn_trace_span(t->trace, "compile", stage->name, begin, now);
    t->stage_end_ns = now;
    if (t->watch) t->watch(t->watch_ctx, stage);
}

void tracing_watch(tracing *t, tn_compile_options *options) {
    if (!t->trace) return;
    t->watch = options->watch;
    t->watch_ctx = options->watch_ctx;
    options->watch = on_stage;
    options->watch_ctx = t;
}

int tracing_write(const tracing *t) {
    tn_diag diag = {0};
    if (!t->trace) return EXIT_DONE;
    if (tn_trace_write(t->trace, t->path, &diag) != TN_OK) return report(NULL, &diag);
    unsigned long long left_out = tn_trace_left_out(t->trace);
    if (left_out > 0) fprintf(stderr, "%s: %llu later events found no room and were left out\n", t->path, left_out);
    return EXIT_DONE;
}
