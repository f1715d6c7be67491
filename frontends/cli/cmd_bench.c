/* tenon bench: warm-up, then minimum and median of many runs. */
#include "frontends/cli/commands.h"
#include "frontends/cli/model.h"
#include "runtime/alloc.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MAX_RUNS = 100000, MIN_RUNS = 3 };

typedef struct measured {
    double compile_ms, min_ms, median_ms;
    int runs;
    long peak_bytes;
    size_t arena_bytes;
} measured;

static int ascending(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

static int measure(run_data *d, tn_exec *exec, double seconds, measured *m, tn_diag *diag)
{
    double *times = tn_malloc(MAX_RUNS * sizeof *times), end = 0;
    tn_tensor *inputs = tn_calloc((size_t)d->n_inputs + 1, sizeof *inputs);
    tn_tensor *outputs = tn_calloc((size_t)d->n_outputs + 1, sizeof *outputs);
    tn_status status = times && inputs && outputs ? TN_OK : TN_ERR_MEMORY;
    int n = 0;
    for (int i = 0; status == TN_OK && i < d->n_inputs; i++)
        if (d->main->params[i].binding != BINDING_LOAD)
            inputs[n++] = tn_tensor_of(d->inputs[i].dtype, d->inputs[i].data, d->inputs[i].rank, d->inputs[i].dims);
    for (int i = -2; status == TN_OK && i < MAX_RUNS; i++) { /* two to warm up */
        memset(outputs, 0, (size_t)d->n_outputs * sizeof *outputs);
        double begin = clock_ms();
        status = tn_exec_run(exec, inputs, n, outputs, d->n_outputs);
        double now = clock_ms();
        if (i == 0)
            end = begin + seconds * 1e3;
        if (i >= 0)
            times[m->runs++] = now - begin;
        if (i >= MIN_RUNS && now > end)
            break;
    }
    if (status != TN_OK && tn_exec_error(exec))
        *diag = *tn_exec_error(exec);
    if (m->runs > 0) {
        qsort(times, (size_t)m->runs, sizeof *times, ascending);
        m->min_ms = times[0];
        m->median_ms = times[m->runs / 2];
    }
    tn_free(times);
    tn_free(inputs);
    tn_free(outputs);
    return status == TN_OK ? EXIT_DONE : EXIT_INPUT;
}

static void print_profile(const tn_program *p, const tn_profile *profile, int runs)
{
    for (int i = 0; i < tn_program_n_kernels(p); i++) {
        const tn_kernel_info *k = tn_program_kernel(p, i);
        fprintf(stderr, "%10.4f ms  %-8s %-10s %s\n", (double)tn_profile_ns(profile, i) * 1e-6 / (runs + 2), k->name, k->class_name, k->locations);
    }
}

static void print_result(const arguments *a, const measured *m)
{
    if (!GIVEN(a, json)) {
        printf("min %.4f ms, median %.4f ms over %d runs; compiled in %.1f ms; peak %ld KiB, arena %zu bytes\n", m->min_ms, m->median_ms,
               m->runs, m->compile_ms, m->peak_bytes / 1024, m->arena_bytes);
        return;
    }
    json_t *all = json_pack("{s:f, s:f, s:i, s:f, s:I, s:I}", "min_ms", m->min_ms, "median_ms", m->median_ms, "runs", m->runs, "compile_ms",
                            m->compile_ms, "peak_bytes", (json_int_t)m->peak_bytes, "arena_bytes", (json_int_t)m->arena_bytes);
    json_dumpf(all, stdout, 0);
    printf("\n");
    json_decref(all);
}

int command_bench(const arguments *a)
{
    const char *path = a->operands[0];
    tn_module *module = model_load(path);
    run_data d = {0};
    measured m = {0};
    tn_diag diag = {0};
    tn_compile_options options;
    model_compile_options(a, &options);
    if (!module)
        return EXIT_INPUT;
    int status = run_data_load(&d, module, a, true);
    tn_program *p = status ? NULL : model_compile(module, path, &options, &m.compile_ms);
    tn_pool *pool = p ? tn_pool_new((int)NUMBER_OF(a, threads, 0)) : NULL;
    tn_profile *profile = p && GIVEN(a, profile) ? tn_profile_new(p) : NULL;
    tn_exec *exec = pool ? tn_exec_new(p, &(tn_exec_options){.pool = pool, .profile = profile}) : NULL;
    if (!status && p && !exec) {
        diag = (tn_diag){.status = TN_ERR_ARGUMENT, .message = "no exec: out of memory, or --threads is out of range"};
        status = report(path, &diag);
    } else if (!status && !p)
        status = EXIT_INPUT;
    if (!status && (status = measure(&d, exec, GIVEN(a, seconds) ? a->options[OPTION_seconds].real : 2, &m, &diag)) != EXIT_DONE)
        report(path, &diag);
    if (!status) {
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        m.peak_bytes = usage.ru_maxrss * 1024;
        m.arena_bytes = tn_exec_arena_bytes(exec);
        print_result(a, &m);
        if (profile)
            print_profile(p, profile, m.runs);
    }
    tn_exec_free(exec);
    tn_profile_free(profile);
    tn_program_free(p);
    tn_pool_free(pool);
    run_data_free(&d);
    tn_module_free(module);
    return status;
}
