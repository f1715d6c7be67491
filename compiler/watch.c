/* Watching (see watch.h). */
#include "compiler/watch.h"

#include <time.h>

double watch_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

void watch_tell(const tn_compile_options *options, const char *name, double begin_ms) {
    if (options->watch) options->watch(options->watch_ctx, &(tn_stage_report){name, watch_now_ms() - begin_ms, NULL});
}
