/* The least time that each kernel needs, by what the machine can do at most: the larger of operations / its multiply-adds
 * and bytes / its bandwidth (a roofline).
 *
 * in:  kernels with their costs, the machine's limits
 * out: predicted times, what bounds them, shares, totals
 * law: bandwidth is that of the level that holds the working set: of a kernel's own operands and results, which the
 *      kernels before left in a cache; for weights, of all that a run touches
 */
#include "compiler/explain_state.h"

#include <math.h>

static double at_least_zero(double x) { return x > 0 ? x : 0; }

/* Between two levels, on logarithmic scales. */
static double bandwidth(const tn_machine_limits *m, double bytes) {
    const tn_machine_level *l = m->levels;
    int n = TN_MACHINE_LEVELS;
    while (n > 1 && l[n - 1].bytes_per_second <= 0) n--;
    if (l[0].bytes_per_second <= 0) return 0;
    if (bytes <= l[0].bytes) return l[0].bytes_per_second;
    for (int i = 1; i < n; i++)
        if (bytes <= l[i].bytes) {
            double part = log(bytes / l[i - 1].bytes) / log(l[i].bytes / l[i - 1].bytes);
            return l[i - 1].bytes_per_second * pow(l[i].bytes_per_second / l[i - 1].bytes_per_second, part);
        }
    return l[n - 1].bytes_per_second;
}

static double ms_of(double amount, double per_second) { return per_second > 0 ? amount / per_second * 1e3 : 0; }

static void predict(const explanation *e, tn_explained_kernel *k, const kernel_cost *cost, double footprint) {
    const tn_machine_limits *m = &e->all.machine;
    double bytes = k->bytes_read + k->bytes_written + k->weight_bytes;
    bool is_known = k->flops >= 0 && k->bytes_read >= 0 && k->bytes_written >= 0 && k->weight_bytes >= 0;
    k->bound = TN_BOUND_UNKNOWN;
    k->intensity = k->predicted_ms = TN_UNKNOWN;
    if (!is_known) return;
    k->intensity = bytes > 0 ? k->flops / bytes : 0;
    double done = cost->products_done * (cost->is_wide ? 2 : 1) + cost->others;
    double compute = ms_of(done, m->flops_per_second);
    double memory = ms_of(k->bytes_read + k->bytes_written, bandwidth(m, cost->working_set)) +
                    ms_of(k->weight_bytes, bandwidth(m, footprint));
    k->predicted_ms = fmax(compute, memory);
    k->bound = compute >= memory ? TN_BOUND_BY_COMPUTE : TN_BOUND_BY_MEMORY;
}

/* Calls that are not known count once. */
static double calls_of(const tn_explained_kernel *k) { return k->calls < 0 ? 1 : k->calls; }

static double time_of(const tn_explained_kernel *k, bool is_measured) {
    double ms = is_measured ? k->measured_ms : k->predicted_ms;
    return at_least_zero(ms) * calls_of(k);
}

static void share(explanation *e) {
    bool is_measured = e->all.measured_ms >= 0;
    double all[2] = {0};
    for (int i = 0; i < e->all.n_kernels; i++) {
        tn_explained_kernel *k = &e->kernels[i];
        all[k->is_prepare] += time_of(k, is_measured && !k->is_prepare);
    }
    for (int i = 0; i < e->all.n_kernels; i++) {
        tn_explained_kernel *k = &e->kernels[i];
        bool is_timed = is_measured && !k->is_prepare;
        k->share_of_time = all[k->is_prepare] > 0 ? time_of(k, is_timed) / all[k->is_prepare] : 0;
        k->share_of_peak = TN_UNKNOWN;
        if (k->measured_ms > 0 && k->flops >= 0 && e->all.machine.flops_per_second > 0)
            k->share_of_peak = k->flops / k->measured_ms * 1e3 / e->all.machine.flops_per_second;
    }
    e->all.kernels_ms = is_measured ? all[false] : TN_UNKNOWN;
}

void explain_predict(explanation *e) {
    double footprint =
        e->all.packed_weight_bytes + at_least_zero(e->all.live_bytes >= 0 ? e->all.live_bytes : e->all.arena_bytes);
    e->all.flops = e->all.bytes = e->all.predicted_ms = 0;
    for (int i = 0; i < e->all.n_kernels; i++) {
        tn_explained_kernel *k = &e->kernels[i];
        predict(e, k, &e->costs[i], footprint);
        if (k->is_prepare) continue;
        double bytes = at_least_zero(k->bytes_read) + at_least_zero(k->weight_bytes) + at_least_zero(k->bytes_written);
        e->all.flops += at_least_zero(k->flops) * calls_of(k);
        e->all.bytes += bytes * calls_of(k);
        e->all.predicted_ms += at_least_zero(k->predicted_ms) * calls_of(k);
    }
    share(e);
}
