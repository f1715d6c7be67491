/* tenon bench: warm-up, then minimum and median of many runs. */
#include "frontends/cli/commands.h"
#include "frontends/cli/json.h"
#include "frontends/cli/model.h"
#include "runtime/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MAX_RUNS = 100000, MIN_RUNS = 3, WARM_UP = 2, TRACED_RUNS = 3 };

typedef struct measured {
    double min_ms, median_ms;
    double first_ms; /* from opening the model to the end of the first run */
    int runs;
    long peak_bytes;
} measured;

static int ascending(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

static int measure(session *s, double opened, double seconds, measured *m) {
    int n, n_outputs = s->data.n_outputs;
    double *times = tn_malloc(MAX_RUNS * sizeof *times), end = 0;
    tn_tensor *inputs = run_data_tensors(&s->data, &n), *outputs = tn_calloc((size_t)n_outputs + 1, sizeof *outputs);
    tn_status status = times && inputs && outputs ? TN_OK : TN_ERR_MEMORY;
    for (int i = -WARM_UP; status == TN_OK && i < MAX_RUNS; i++) {
        memset(outputs, 0, (size_t)n_outputs * sizeof *outputs);
        double begin = clock_ms();
        status = tn_exec_run(s->exec, inputs, n, outputs, n_outputs);
        double now = clock_ms();
        if (i == -WARM_UP) m->first_ms = now - opened;
        if (i == 0) end = begin + seconds * 1e3;
        if (i >= 0) times[m->runs++] = now - begin;
        if (i >= MIN_RUNS && now > end) break;
    }
    if (m->runs > 0) {
        qsort(times, (size_t)m->runs, sizeof *times, ascending);
        m->min_ms = times[0];
        m->median_ms = times[m->runs / 2];
    }
    tn_free(times);
    tn_free(inputs);
    tn_free(outputs);
    if (status == TN_OK) return EXIT_DONE;
    return tn_exec_error(s->exec) ? report(s->path, tn_exec_error(s->exec)) : report_text(s->path, "out of memory");
}

/* With --trace some runs more, which are not measured. */
static int trace_runs(session *s) {
    int n, n_outputs = s->data.n_outputs;
    if (!s->tracing.trace) return EXIT_DONE;
    tn_tensor *inputs = run_data_tensors(&s->data, &n), *outputs = tn_calloc((size_t)n_outputs + 1, sizeof *outputs);
    int status = inputs && outputs ? session_trace_runs(s) : report_text(s->path, "out of memory");
    for (int i = 0; outputs && !status && i < TRACED_RUNS; i++) {
        memset(outputs, 0, (size_t)n_outputs * sizeof *outputs);
        if (tn_exec_run(s->exec, inputs, n, outputs, n_outputs) != TN_OK)
            status = report(s->path, tn_exec_error(s->exec));
    }
    tn_free(inputs);
    tn_free(outputs);
    return status ? status : tracing_write(&s->tracing);
}

/* With how near the plan comes to what is alive at once, where that is known. */
static void print_arena(const session *s) {
    size_t all = tn_exec_arena_bytes(s->exec), scratch = tn_exec_scratch_bytes(s->exec);
    int64_t live = tn_program_live_bytes(s->program);
    printf("arena %zu bytes", all);
    if (live > 0)
        printf(" (scratch %zu, values %.3f of the %lld alive at once)", scratch, (double)(all - scratch) / (double)live,
               (long long)live);
    printf("\n");
}

static int print_result(const session *s, const measured *m) {
    if (!GIVEN(s->a, json)) {
        printf("min %.4f ms, median %.4f ms over %d runs; compiled in %.1f ms; peak %ld KiB, ", m->min_ms, m->median_ms,
               m->runs, s->compile_ms, m->peak_bytes / 1024);
        print_arena(s);
        return EXIT_DONE;
    }
    return print_json(json_pack(
        "{s:f, s:f, s:i, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:i, s:i}", "min_ms", m->min_ms, "median_ms", m->median_ms,
        "runs", m->runs, "compile_ms", s->compile_ms, "first_ms", m->first_ms, "peak_bytes", (json_int_t)m->peak_bytes,
        "arena_bytes", (json_int_t)tn_exec_arena_bytes(s->exec), "scratch_bytes",
        (json_int_t)tn_exec_scratch_bytes(s->exec), "live_bytes", (json_int_t)tn_program_live_bytes(s->program),
        "weight_bytes", (json_int_t)tn_program_weight_bytes(s->program), "kernels", tn_program_n_kernels(s->program),
        "threads", (int)tn_pool_workers(s->pool)));
}

int command_bench(const arguments *a) {
    session s;
    measured m = {0};
    double opened = clock_ms();
    int status = session_load(&s, a, FILL_QUIET);
    if (!status) status = session_compile(&s, false);
    if (!status) status = measure(&s, opened, GIVEN(a, seconds) ? a->options[OPTION_seconds].real : 2, &m);
    if (!status) {
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        m.peak_bytes = usage.ru_maxrss * 1024;
        status = print_result(&s, &m);
        session_print_profile(&s, m.runs + WARM_UP);
    }
    if (!status) status = trace_runs(&s);
    session_close(&s);
    return status;
}
