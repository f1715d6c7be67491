/* Programs and how long they take: the best of many runs. */
#include "benchmarks/micro/micro.h"

#include <stdint.h>
#include <time.h>

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double best_after(void (*before)(void), void (*call)(void *), void *ctx) {
    double best = 1e30, start = now();
    call(ctx);
    for (int i = 0; i < 3 || now() - start < bench.options.seconds; i++) {
        if (before) before();
        double t = now();
        call(ctx);
        t = now() - t;
        if (t < best) best = t;
    }
    return best;
}

double best_of(void (*call)(void *), void *ctx) { return best_after(NULL, call, ctx); }

enum { MORE_THAN_CACHED = 1 << 26 };
static float *other_data;

static void fill_caches(void) {
    float sum = 0;
    for (size_t i = 0; i < MORE_THAN_CACHED; i += 16) sum += other_data[i];
    other_data[0] = sum / MORE_THAN_CACHED;
}

double best_cold(void (*call)(void *), void *ctx) {
    other_data = floats(MORE_THAN_CACHED);
    double best = best_after(fill_caches, call, ctx);
    free(other_data);
    return best;
}

void stop(const char *message) {
    fprintf(stderr, "micro: %s\n", message);
    exit(1);
}

static void *memory(size_t n) {
    void *x = aligned_alloc(64, (n * 4 + 127) / 64 * 64);
    if (!x) stop("out of memory");
    return x;
}

float *floats(size_t n) {
    float *x = memory(n);
    for (size_t i = 0; i < n; i++) x[i] = (float)(int)(i * 2654435761U >> 16 & 255) / 256 - 0.5F;
    return x;
}

static int32_t *indices(size_t n, int below) {
    int32_t *x = memory(n);
    for (size_t i = 0; i < n; i++) x[i] = (int32_t)((i * 2654435761U >> 8 & 0xFFFFFF) * (size_t)below >> 24);
    return x;
}

running running_open(tn_graph *g, tn_val result, run_options options) {
    tn_output(g, "y", result);
    running r = {.program = tn_compile(g, &(tn_compile_options){.winograd = options.winograd})};
    if (!r.program) stop(tn_graph_error(g)->message);
    tn_graph_free(g);
    r.exec = tn_exec_new(r.program, &(tn_exec_options){.pool = bench.pool});
    r.n_inputs = tn_program_n_inputs(r.program);
    for (int i = 0; i < r.n_inputs; i++) {
        const tn_tensor_info *info = tn_program_input(r.program, i);
        int64_t shape[TN_MAX_RANK], n = 1;
        for (int axis = 0; axis < info->rank; axis++) n *= shape[axis] = info->dims[axis].value;
        void *data = info->dtype == TN_I32 ? (void *)indices((size_t)n, options.indices_below) : floats((size_t)n);
        r.inputs[i] = tn_tensor_of(info->dtype, data, info->rank, shape);
    }
    return r;
}

void running_call(void *ctx) {
    running *r = ctx;
    tn_tensor output = {0};
    if (tn_exec_run(r->exec, r->inputs, r->n_inputs, &output, 1) != TN_OK) stop(tn_exec_error(r->exec)->message);
}

void running_close(running *r) {
    for (int i = 0; i < r->n_inputs; i++) free(r->inputs[i].data);
    tn_exec_free(r->exec);
    tn_program_free(r->program);
}

double time_graph(tn_graph *g, tn_val result) {
    running r = running_open(g, result, (run_options){0});
    double seconds = best_of(running_call, &r);
    running_close(&r);
    return seconds;
}
