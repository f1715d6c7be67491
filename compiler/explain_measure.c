/* The program of an explanation run and timed, kernel by kernel.
 *
 * in:  inputs of the sizes that the figures are for
 * out: the lower quartile of the times of each kernel, and of what is between them; the whole run is the sum: what others
 *      do on the machine meanwhile only adds, and seldom to the same part
 * law: runs are those of any user; what a run adds to itself by being timed is two looks at the clock for each kernel
 */
#include "compiler/explain_state.h"
#include "compiler/watch.h"
#include "runtime/diag.h"

#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 2, LEAST_RUNS = 3, MOST_RUNS = 200 };

typedef struct timing {
    tn_exec *exec;
    tn_profile *profile;
    int n_kernels, n_runs;
    double *ms;    /* [run][kernel], one call of each; the last of a row is all between them */
    double *calls; /* of each kernel, in a run */
    tn_tensor *outputs;
    int n_outputs;
} timing;

static int ascending(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

/* Of column `which`; -1: it was never called. */
static double lower_quartile(const timing *t, int which) {
    double column[MOST_RUNS];
    int n = 0;
    for (int i = 0; i < t->n_runs; i++) {
        double ms = t->ms[(size_t)i * (size_t)(t->n_kernels + 1) + (size_t)which];
        if (ms >= 0) column[n++] = ms;
    }
    if (n == 0) return TN_UNKNOWN;
    qsort(column, (size_t)n, sizeof *column, ascending);
    return column[n / 4];
}

static void take_run(timing *t, double ms) {
    double *row = t->ms + (size_t)t->n_runs * (size_t)(t->n_kernels + 1), in_kernels = 0;
    for (int i = 0; i < t->n_kernels; i++) {
        double calls = (double)tn_profile_calls(t->profile, i);
        t->calls[i] += calls;
        in_kernels += (double)tn_profile_ns(t->profile, i) * 1e-6;
        row[i] = calls > 0 ? (double)tn_profile_ns(t->profile, i) * 1e-6 / calls : TN_UNKNOWN;
    }
    row[t->n_kernels] = ms > in_kernels ? ms - in_kernels : 0;
    t->n_runs++;
}

static tn_status run_for(timing *t, const tn_tensor *inputs, int n_inputs, double seconds, tn_diag *diag) {
    double end = 0;
    for (int i = -WARM_UP; i < MOST_RUNS; i++) {
        memset(t->outputs, 0, (size_t)t->n_outputs * sizeof *t->outputs);
        tn_profile_reset(t->profile);
        double begin = watch_now_ms();
        tn_status status = tn_exec_run(t->exec, inputs, n_inputs, t->outputs, t->n_outputs);
        double now = watch_now_ms();
        if (status != TN_OK) {
            if (diag && tn_exec_error(t->exec)) *diag = *tn_exec_error(t->exec);
            if (diag) diag->file = NULL; /* lives as long as the exec */
            return status;
        }
        if (i == 0) end = begin + seconds * 1e3;
        if (i >= 0) take_run(t, now - begin);
        if (i + 1 >= LEAST_RUNS && now > end) break;
    }
    return TN_OK;
}

/* A kernel that is called from several places has one time for all of them: each has its part by what is predicted. */
static void give_times(explanation *e, const timing *t) {
    double *predicted = tn_calloc((size_t)t->n_kernels + 1, sizeof *predicted);
    double *places = tn_calloc((size_t)t->n_kernels + 1, sizeof *places);
    for (int i = 0; predicted && places && i < e->all.n_kernels; i++) {
        const tn_explained_kernel *k = &e->kernels[i];
        if (k->is_prepare || k->number >= t->n_kernels) continue;
        predicted[k->number] += k->predicted_ms > 0 ? k->predicted_ms : 0;
        places[k->number]++;
    }
    for (int i = 0; predicted && places && i < e->all.n_kernels; i++) {
        tn_explained_kernel *k = &e->kernels[i];
        if (k->is_prepare || k->number >= t->n_kernels) continue;
        double own = places[k->number],
               part = predicted[k->number] > 0 ? k->predicted_ms / predicted[k->number] * own : 1;
        double ms = lower_quartile(t, k->number);
        k->calls = t->calls[k->number] / t->n_runs / own;
        k->measured_ms = ms < 0 ? TN_UNKNOWN : own > 1 ? ms * part : ms;
    }
    e->failed |= !predicted || !places;
    tn_free(predicted);
    tn_free(places);
}

/* Sizes that no input tells. */
static tn_status set_sizes(const explanation *e, tn_exec *exec, tn_diag *diag) {
    for (int i = 0; i < e->all.n_symbols; i++) {
        const tn_explained_symbol *s = &e->all.symbols[i];
        if (tn_program_find_symbol(e->program, s->name) < 0) continue;
        if (tn_exec_set_symbol(exec, s->name, s->value) != TN_OK)
            return diag_fail(diag, TN_ERR_ARGUMENT, "%s cannot be %lld", s->name, (long long)s->value);
    }
    return TN_OK;
}

tn_status tn_explain_measure(tn_explanation *all, const tn_tensor *inputs, int n_inputs, tn_pool *pool, double seconds,
                             tn_diag *diag) {
    explanation *e = (explanation *)all;
    if (!e || !e->program) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no program of this machine to run");
    timing t = {.n_kernels = tn_program_n_kernels(e->program), .n_outputs = tn_program_n_outputs(e->program)};
    t.profile = tn_profile_new(e->program);
    t.exec = tn_exec_new(e->program, &(tn_exec_options){.pool = pool, .profile = t.profile});
    t.ms = tn_calloc((size_t)MOST_RUNS * ((size_t)t.n_kernels + 1), sizeof *t.ms);
    t.calls = tn_calloc((size_t)t.n_kernels + 1, sizeof *t.calls);
    t.outputs = tn_calloc((size_t)t.n_outputs + 1, sizeof *t.outputs);
    tn_status status = t.profile && t.exec && t.ms && t.calls && t.outputs
                           ? set_sizes(e, t.exec, diag)
                           : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    if (status == TN_OK) status = run_for(&t, inputs, n_inputs, seconds, diag);
    if (status == TN_OK) {
        give_times(e, &t);
        e->all.measured_ms = lower_quartile(&t, t.n_kernels);
        e->all.runs = t.n_runs;
        explain_predict(e);
        e->all.measured_ms += e->all.kernels_ms;
        if (e->failed) status = diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    }
    tn_exec_free(t.exec);
    tn_profile_free(t.profile);
    tn_free(t.ms);
    tn_free(t.calls);
    tn_free(t.outputs);
    return status;
}
