/* Time spent in each kernel.
 *
 * in:  begin and end of kernels, from any number of execs at once
 * out: calls and nanoseconds a kernel
 * law: counts are exact; nothing is allocated while counting
 */
#include <stdatomic.h>
#include <time.h>

#include "runtime/exec.h"

typedef struct kernel_time {
    _Atomic uint64_t calls, ns;
} kernel_time;

struct tn_profile {
    int32_t n;
    kernel_time kernels[];
};

uint64_t profile_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void profile_add(tn_profile *profile, int32_t kernel, uint64_t ns) {
    if (kernel < 0 || kernel >= profile->n) return;
    atomic_fetch_add_explicit(&profile->kernels[kernel].calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&profile->kernels[kernel].ns, ns, memory_order_relaxed);
}

tn_profile *tn_profile_new(const tn_program *program) {
    if (program == NULL) return NULL;
    tn_profile *p = tn_calloc(1, sizeof *p + program->n_kernels * sizeof *p->kernels);
    if (p != NULL) p->n = (int32_t)program->n_kernels;
    return p;
}

void tn_profile_free(tn_profile *profile) { tn_free(profile); }

void tn_profile_reset(tn_profile *profile) {
    for (int32_t i = 0; profile != NULL && i < profile->n; i++) {
        atomic_store(&profile->kernels[i].calls, 0);
        atomic_store(&profile->kernels[i].ns, 0);
    }
}

uint64_t tn_profile_calls(const tn_profile *profile, int kernel) {
    if (profile == NULL || kernel < 0 || kernel >= profile->n) return 0;
    return atomic_load(&profile->kernels[kernel].calls);
}

uint64_t tn_profile_ns(const tn_profile *profile, int kernel) {
    if (profile == NULL || kernel < 0 || kernel >= profile->n) return 0;
    return atomic_load(&profile->kernels[kernel].ns);
}
