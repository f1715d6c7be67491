/* Micro-benchmarks: each loop class as a share of what the machine can do.
 *
 *     build/bench/micro [--threads N] [--quick] [--json FILE]
 *
 * First the machine: fused multiply-adds a second from registers, bytes a second from memory.
 * Then dots beside OpenBLAS (when it is installed: loaded at run time), ResNet-50's
 * convolutions, Winograd's algorithm beside direct convolution, and memory-bound kernels. A figure
 * is the best of many runs. After the table one line of JSON, or in FILE.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tenon.h"

#define F32_BYTES ((double)sizeof(float))

typedef struct settings {
    int threads;
    double seconds; /* for each figure */
    const char *json_path;
} settings;

typedef struct figure {
    char group[16], name[48], unit[12];
    double value, milliseconds, share; /* of the machine's best; 0: not stated */
    double peer;                       /* same unit; 0: none */
    const char *peer_name;
} figure;

static struct {
    settings options;
    tn_pool *pool;          /* NULL with one thread */
    double peak, bandwidth; /* GFLOP/s, GB/s of all threads together */
    figure figures[128];
    int n;
} bench;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Best time of a call, in seconds. */
static double best_of(void (*call)(void *), void *ctx) {
    double best = 1e30, start = now();
    call(ctx);
    for (int i = 0; i < 3 || now() - start < bench.options.seconds; i++) {
        double t = now();
        call(ctx);
        t = now() - t;
        if (t < best) best = t;
    }
    return best;
}

static void record_beside(const char *group, const char *name, const char *unit, double value, double seconds,
                          double best, const char *peer_name, double peer) {
    if (bench.n == (int)(sizeof bench.figures / sizeof *bench.figures)) return;
    figure *f = &bench.figures[bench.n++];
    *f = (figure){.value = value,
                  .milliseconds = seconds * 1e3,
                  .share = best > 0 ? value / best : 0,
                  .peer = peer,
                  .peer_name = peer_name};
    snprintf(f->group, sizeof f->group, "%s", group);
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(f->unit, sizeof f->unit, "%s", unit);
    printf("%-10s %-36s %9.1f %-8s", group, name, value, unit);
    if (seconds > 0) printf(" %9.3f ms", seconds * 1e3);
    if (best > 0) printf(" %5.0f %%", 100 * value / best);
    if (peer > 0) printf("   %s %7.1f, ratio %4.2f", peer_name, peer, value / peer);
    printf("\n");
    fflush(stdout);
}

static void record(const char *group, const char *name, const char *unit, double value, double seconds, double best,
                   double peer) {
    record_beside(group, name, unit, value, seconds, best, "OpenBLAS", peer);
}

static float *floats(size_t n) {
    float *x = aligned_alloc(64, (n * sizeof *x + 127) / 64 * 64);
    if (!x) {
        fprintf(stderr, "micro: out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < n; i++) x[i] = (float)(int)(i * 2654435761U >> 16 & 255) / 256 - 0.5F;
    return x;
}

/* ---- The machine ---- */

enum { CHAINS = 12, STEPS = 1 << 20, SPANS = 64 };

/* CHAINS independent chains of multiply-adds on vectors of that many bytes, as single instructions. */
#if defined(__clang__)
#define CONTRACTED
#pragma clang fp contract(fast)
#else
#define CONTRACTED , optimize("fp-contract=fast")
#endif
#define PEAK_LOOP(name, bytes, ...)                                                                                    \
    __attribute__((__VA_ARGS__ CONTRACTED)) static void name(float *out) {                                             \
        typedef float lanes __attribute__((vector_size(bytes)));                                                       \
        lanes sum[CHAINS], x, y;                                                                                       \
        for (size_t i = 0; i < bytes / 4; i++) x[i] = out[i] + 0.999F, y[i] = out[i] + 0.001F;                         \
        for (int c = 0; c < CHAINS; c++) sum[c] = x * (float)c;                                                        \
        for (int i = 0; i < STEPS; i++) {                                                                              \
            _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS; c++) sum[c] = sum[c] * x + y;                         \
        }                                                                                                              \
        for (int c = 1; c < CHAINS; c++) sum[0] += sum[c];                                                             \
        out[0] = sum[0][0];                                                                                            \
    }
#if defined(__x86_64__)
PEAK_LOOP(peak_64, 64, noinline, target("avx512f"))
PEAK_LOOP(peak_32, 32, noinline, target("avx2,fma"))
#endif
PEAK_LOOP(peak_16, 16, noinline)

static void peak_chunk(void *arg, int64_t chunk, int32_t worker) {
    float values[16] = {0};
    (void)chunk, (void)worker;
    (*(void (**)(float *))arg)(values);
}

static void peak_call(void *ctx) {
    if (bench.pool)
        tn_pool_parallel_for(bench.pool, bench.options.threads, peak_chunk, ctx);
    else
        peak_chunk(ctx, 0, 0);
}

static void measure_peak(void) {
    void (*loop)(float *) = peak_16;
    double lanes = 4;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        loop = peak_64, lanes = 16;
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        loop = peak_32, lanes = 8;
#endif
    double t = best_of(peak_call, &loop);
    bench.peak = 2.0 * CHAINS * STEPS * lanes * bench.options.threads / t * 1e-9;
    record("machine", "multiply-adds", "GFLOP/s", bench.peak, 0, 0, 0);
}

typedef struct memory_read {
    const float *data;
    size_t n;
    float sums[SPANS];
} memory_read;

static void read_chunk(void *arg, int64_t chunk, int32_t worker) {
    memory_read *r = arg;
    typedef float lanes __attribute__((vector_size(64)));
    const lanes *x = __builtin_assume_aligned(r->data + r->n / SPANS * (size_t)chunk, sizeof(lanes));
    lanes a = {0}, b = {0}, c = {0}, d = {0};
    (void)worker;
    for (size_t i = 0; i < r->n / SPANS / 16; i += 4) a += x[i], b += x[i + 1], c += x[i + 2], d += x[i + 3];
    a += b + c + d;
    r->sums[chunk] = a[0];
}

static void read_call(void *ctx) {
    for (int64_t i = 0; !bench.pool && i < SPANS; i++) read_chunk(ctx, i, 0);
    if (bench.pool) tn_pool_parallel_for(bench.pool, SPANS, read_chunk, ctx);
}

static void measure_bandwidth(void) {
    memory_read r = {.n = (size_t)1 << 26};
    float *data = floats(r.n);
    r.data = data;
    double t = best_of(read_call, &r);
    free(data);
    bench.bandwidth = (double)r.n * F32_BYTES / t * 1e-9;
    record("machine", "reading memory", "GB/s", bench.bandwidth, 0, 0, 0);
}

/* ---- Programs ---- */

typedef struct timed {
    tn_exec *exec;
    tn_tensor inputs[4], output;
    int n;
} timed;

static void run_call(void *ctx) {
    timed *t = ctx;
    tn_tensor output = {0};
    if (tn_exec_run(t->exec, t->inputs, t->n, &output, 1) != TN_OK) {
        fprintf(stderr, "micro: %s\n", tn_exec_error(t->exec)->message);
        exit(1);
    }
}

/* Compiles g, whose inputs are f32 with numbers for sizes and whose only output is `result`, and times it; frees g. */
static double time_graph(tn_graph *g, tn_val result) {
    tn_output(g, "y", result);
    tn_program *p = tn_compile(g, NULL);
    if (!p) {
        fprintf(stderr, "micro: %s\n", tn_graph_error(g)->message);
        exit(1);
    }
    timed t = {.exec = tn_exec_new(p, &(tn_exec_options){.pool = bench.pool}), .n = tn_program_n_inputs(p)};
    for (int i = 0; i < t.n; i++) {
        const tn_tensor_info *info = tn_program_input(p, i);
        int64_t shape[TN_MAX_RANK], n = 1;
        for (int axis = 0; axis < info->rank; axis++) n *= shape[axis] = info->dims[axis].value;
        t.inputs[i] = tn_tensor_of(TN_F32, floats((size_t)n), info->rank, shape);
    }
    double seconds = best_of(run_call, &t);
    for (int i = 0; i < t.n; i++) free(t.inputs[i].data);
    tn_exec_free(t.exec);
    tn_program_free(p);
    tn_graph_free(g);
    return seconds;
}

/* ---- Dots ---- */

typedef void sgemm_function(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                            const float *b, int ldb, float beta, float *c, int ldc);
static sgemm_function *sgemm;

static void load_blas(void) {
    void *library = dlopen("libopenblas.so.0", RTLD_NOW);
    if (!library) return;
    void *symbol = dlsym(library, "cblas_sgemm"), *threads = dlsym(library, "openblas_set_num_threads");
    void (*set_threads)(int);
    if (!symbol || !threads) return;
    memcpy(&sgemm, &symbol, sizeof symbol);
    memcpy(&set_threads, &threads, sizeof threads);
    set_threads(bench.options.threads);
}

typedef struct dot_size {
    int m, k, n;
    bool crossed; /* the second operand is [n, k] */
    const float *a, *b;
    float *c;
} dot_size;

static void blas_call(void *ctx) {
    const dot_size *d = ctx;
    enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };
    sgemm(ROW_MAJOR, PLAIN, d->crossed ? TRANSPOSED : PLAIN, d->m, d->n, d->k, 1, d->a, d->k, d->b,
          d->crossed ? d->k : d->n, 0, d->c, d->n);
}

static double time_blas(dot_size d) {
    if (!sgemm) return 0;
    float *a = floats((size_t)d.m * (size_t)d.k), *b = floats((size_t)d.k * (size_t)d.n),
          *c = floats((size_t)d.m * (size_t)d.n);
    d.a = a, d.b = b, d.c = c;
    double t = best_of(blas_call, &d);
    free(a);
    free(b);
    free(c);
    return t;
}

static void measure_dots(void) {
    static const dot_size sizes[] = {
        {.m = 64, .k = 64, .n = 64},
        {.m = 128, .k = 128, .n = 128},
        {.m = 256, .k = 256, .n = 256},
        {.m = 512, .k = 512, .n = 512},
        {.m = 1024, .k = 1024, .n = 1024},
        {.m = 2048, .k = 2048, .n = 2048},
        {.m = 16, .k = 1024, .n = 1024},
        {.m = 128, .k = 768, .n = 3072},
        {.m = 128, .k = 3072, .n = 768},
        {.m = 197, .k = 768, .n = 768},
        {.m = 1, .k = 4096, .n = 4096},
        {.m = 128, .k = 768, .n = 3072, .crossed = true},
        {.m = 16, .k = 1024, .n = 1024, .crossed = true},
        {.m = 1, .k = 4096, .n = 4096, .crossed = true},
        {.m = 4096, .k = 4096, .n = 1},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const dot_size *d = &sizes[i];
        tn_graph *g = tn_graph_new("dot");
        tn_val x = tn_input(g, "a", TN_F32, TN_SHAPE(TN_SIZE(d->m), TN_SIZE(d->k)));
        tn_val y = d->crossed
                       ? tn_transpose(tn_input(g, "b", TN_F32, TN_SHAPE(TN_SIZE(d->n), TN_SIZE(d->k))), TN_INTS(1, 0))
                       : tn_input(g, "b", TN_F32, TN_SHAPE(TN_SIZE(d->k), TN_SIZE(d->n)));
        double flops = 2.0 * d->m * d->k * d->n, own = time_graph(g, tn_matmul(x, y)), blas = time_blas(*d);
        char name[48];
        snprintf(name, sizeof name, "%d x %d by %d x %d%s", d->m, d->k, d->k, d->n, d->crossed ? ", crossed" : "");
        record("dot", name, "GFLOP/s", flops / own * 1e-9, own, bench.peak, blas > 0 ? flops / blas * 1e-9 : 0);
    }
}

/* ---- Convolutions ---- */

typedef struct conv_size {
    int channels, extent, features, taps, stride, pad, groups, times; /* times: how often in the model */
} conv_size;

static double measure_conv(const char *group, const conv_size *c) {
    tn_graph *g = tn_graph_new("conv");
    int64_t stride[] = {c->stride, c->stride}, pad[] = {c->pad, c->pad};
    tn_val x =
        tn_input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(1), TN_SIZE(c->channels), TN_SIZE(c->extent), TN_SIZE(c->extent)));
    tn_val k =
        tn_input(g, "k", TN_F32,
                 TN_SHAPE(TN_SIZE(c->features), TN_SIZE(c->channels / c->groups), TN_SIZE(c->taps), TN_SIZE(c->taps)));
    tn_window_args args = {.stride = {2, stride}, .low = {2, pad}, .high = {2, pad}, .groups = c->groups};
    int out = (c->extent + 2 * c->pad - c->taps) / c->stride + 1;
    double flops = 2.0 * c->features * c->channels / c->groups * c->taps * c->taps * out * out;
    double seconds = time_graph(g, tn_relu(tn_conv_at(TN_HERE, x, k, args)));
    char name[48];
    snprintf(name, sizeof name, "%d, %dx%d to %d, %dx%d / %d", c->channels, c->extent, c->extent, c->features, c->taps,
             c->taps, c->stride);
    record(group, name, "GFLOP/s", flops / seconds * 1e-9, seconds, bench.peak, 0);
    return seconds;
}

static void measure_convs(void) {
    static const conv_size resnet50[] = {
        {3, 224, 64, 7, 2, 3, 1, 1},    {64, 56, 64, 1, 1, 0, 1, 1},    {64, 56, 64, 3, 1, 1, 1, 3},
        {64, 56, 256, 1, 1, 0, 1, 4},   {256, 56, 64, 1, 1, 0, 1, 2},   {256, 56, 128, 1, 1, 0, 1, 1},
        {128, 56, 128, 3, 2, 1, 1, 1},  {128, 28, 512, 1, 1, 0, 1, 4},  {256, 56, 512, 1, 2, 0, 1, 1},
        {512, 28, 128, 1, 1, 0, 1, 3},  {128, 28, 128, 3, 1, 1, 1, 3},  {512, 28, 256, 1, 1, 0, 1, 1},
        {256, 28, 256, 3, 2, 1, 1, 1},  {256, 14, 1024, 1, 1, 0, 1, 6}, {512, 28, 1024, 1, 2, 0, 1, 1},
        {1024, 14, 256, 1, 1, 0, 1, 5}, {256, 14, 256, 3, 1, 1, 1, 5},  {1024, 14, 512, 1, 1, 0, 1, 1},
        {512, 14, 512, 3, 2, 1, 1, 1},  {512, 7, 2048, 1, 1, 0, 1, 3},  {1024, 14, 2048, 1, 2, 0, 1, 1},
        {2048, 7, 512, 1, 1, 0, 1, 2},  {512, 7, 512, 3, 1, 1, 1, 2},
    };
    static const conv_size depthwise[] = {{32, 112, 32, 3, 1, 1, 32, 1},
                                          {144, 56, 144, 3, 2, 1, 144, 1},
                                          {192, 28, 192, 3, 1, 1, 192, 1},
                                          {576, 14, 576, 3, 1, 1, 576, 1}};
    double seconds = 0, flops = 0;
    for (size_t i = 0; i < sizeof resnet50 / sizeof *resnet50; i++) {
        const conv_size *c = &resnet50[i];
        int out = (c->extent + 2 * c->pad - c->taps) / c->stride + 1;
        seconds += c->times * measure_conv("conv", c);
        flops += 2.0 * c->times * c->features * c->channels * c->taps * c->taps * out * out;
    }
    record("conv", "all of ResNet-50", "GFLOP/s", flops / seconds * 1e-9, seconds, bench.peak, 0);
    for (size_t i = 0; i < sizeof depthwise / sizeof *depthwise; i++) measure_conv("depthwise", &depthwise[i]);
}

/* ---- Winograd's algorithm ---- */

/* Two programs of the same convolution, in turns. */
typedef struct both_ways {
    tn_program *programs[2];
    timed runs[2];
    double best[2]; /* seconds: direct, Winograd */
} both_ways;

static void open_way(both_ways *b, int way, const conv_size *c, const float *weights) {
    tn_graph *g = tn_graph_new("conv");
    int64_t pad[] = {c->pad, c->pad}, shape[] = {1, c->channels, c->extent, c->extent};
    tn_val x =
        tn_input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(1), TN_SIZE(c->channels), TN_SIZE(c->extent), TN_SIZE(c->extent)));
    tn_val k =
        tn_weight(g, "k", TN_F32,
                  TN_SHAPE(TN_SIZE(c->features), TN_SIZE(c->channels), TN_SIZE(c->taps), TN_SIZE(c->taps)), weights);
    tn_window_args args = {.low = {2, pad}, .high = {2, pad}};
    tn_output(g, "y", tn_relu(tn_conv_at(TN_HERE, x, k, args)));
    b->programs[way] = tn_compile(g, &(tn_compile_options){.winograd = way ? "on" : "off"});
    if (!b->programs[way]) {
        fprintf(stderr, "micro: %s\n", tn_graph_error(g)->message);
        exit(1);
    }
    tn_graph_free(g);
    timed *t = &b->runs[way];
    *t = (timed){.exec = tn_exec_new(b->programs[way], &(tn_exec_options){.pool = bench.pool}), .n = 1};
    t->inputs[0] = tn_tensor_of(TN_F32, floats((size_t)(shape[1] * shape[2] * shape[3])), 4, shape);
}

static void take_turns(both_ways *b) {
    b->best[0] = b->best[1] = 1e30;
    for (double start = now(); now() - start < 2 * bench.options.seconds;)
        for (int way = 0; way < 2; way++)
            for (int i = 0; i < 4; i++) {
                double t = now();
                run_call(&b->runs[way]);
                t = now() - t;
                if (t < b->best[way]) b->best[way] = t;
            }
}

/* "Effective": the direct algorithm's operations for either time. */
static void measure_winograd(void) {
    static const conv_size sizes[] = {{64, 56, 64, 3, 1, 1, 1, 1},
                                      {128, 28, 128, 3, 1, 1, 1, 1},
                                      {256, 14, 256, 3, 1, 1, 1, 1},
                                      {512, 7, 512, 3, 1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const conv_size *c = &sizes[i];
        float *weights = floats((size_t)c->features * (size_t)c->channels * 9);
        both_ways b;
        for (int way = 0; way < 2; way++) open_way(&b, way, c, weights);
        take_turns(&b);
        double flops = 18.0 * c->features * c->channels * c->extent * c->extent * 1e-9;
        char name[48];
        snprintf(name, sizeof name, "%d, %dx%d to %d, effective", c->channels, c->extent, c->extent, c->features);
        record_beside("winograd", name, "GFLOP/s", flops / b.best[1], b.best[1], bench.peak, "direct",
                      flops / b.best[0]);
        for (int way = 0; way < 2; way++) {
            free(b.runs[way].inputs[0].data);
            tn_exec_free(b.runs[way].exec);
            tn_program_free(b.programs[way]);
        }
        free(weights);
    }
}

/* ---- Memory-bound kernels ---- */

/* `passes`: how often the tensor's bytes cross the memory bus, read or written. */
static void record_bytes(const char *name, double elements, double passes, double seconds) {
    record("memory", name, "GB/s", elements * passes * F32_BYTES / seconds * 1e-9, seconds, bench.bandwidth, 0);
}

static void measure_memory(void) {
    enum { ROWS = 16384, COLUMNS = 1024 };
    double n = (double)ROWS * COLUMNS;
    tn_shape shape = TN_SHAPE(TN_SIZE(ROWS), TN_SIZE(COLUMNS)), row = TN_SHAPE(TN_SIZE(COLUMNS));
    tn_graph *g = tn_graph_new("map");
    record_bytes("map: x + y", n, 3,
                 time_graph(g, tn_add(tn_input(g, "x", TN_F32, shape), tn_input(g, "y", TN_F32, shape))));
    g = tn_graph_new("gelu");
    record_bytes("map: gelu", n, 2, time_graph(g, tn_gelu(tn_input(g, "x", TN_F32, shape))));
    g = tn_graph_new("rows");
    record_bytes("reduce: sum of rows", n, 1, time_graph(g, tn_sum(tn_input(g, "x", TN_F32, shape), TN_INTS(1))));
    g = tn_graph_new("columns");
    record_bytes("reduce: sum of columns", n, 1, time_graph(g, tn_sum(tn_input(g, "x", TN_F32, shape), TN_INTS(0))));
    g = tn_graph_new("all");
    record_bytes("reduce: sum of all", n, 1, time_graph(g, tn_sum(tn_input(g, "x", TN_F32, shape), TN_INTS(0, 1))));
    g = tn_graph_new("transpose");
    record_bytes("map: transpose", n, 2,
                 time_graph(g, tn_add_scalar(tn_transpose(tn_input(g, "x", TN_F32, shape), TN_INTS(1, 0)), 1)));
    g = tn_graph_new("softmax");
    record_bytes("reduce: softmax", n, 2, time_graph(g, tn_softmax(tn_input(g, "x", TN_F32, shape), -1)));
    g = tn_graph_new("layer_norm");
    tn_val x = tn_input(g, "x", TN_F32, shape), scale = tn_input(g, "scale", TN_F32, row),
           bias = tn_input(g, "bias", TN_F32, row);
    record_bytes("reduce: layer_norm", n, 2, time_graph(g, tn_layer_norm(x, scale, bias, 1, 1e-5)));
    g = tn_graph_new("max_pool");
    int64_t window[] = {3, 3}, stride[] = {2, 2}, pad[] = {1, 1};
    tn_window_args args = {.window = {2, window}, .stride = {2, stride}, .low = {2, pad}, .high = {2, pad}};
    x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(8), TN_SIZE(64), TN_SIZE(112), TN_SIZE(112)));
    record_bytes("window: 3x3 / 2", 8.0 * 64 * 112 * 112, 1.25,
                 time_graph(g, tn_pool_at(TN_HERE, TN_OP_max_pool, x, args)));
}

/* ---- Report ---- */

static int write_json(void) {
    FILE *out = bench.options.json_path ? fopen(bench.options.json_path, "w") : stdout;
    if (!out) {
        perror(bench.options.json_path);
        return 1;
    }
    fprintf(out, "{\"threads\": %d, \"figures\": [", bench.options.threads);
    for (int i = 0; i < bench.n; i++) {
        const figure *f = &bench.figures[i];
        fprintf(out,
                "%s{\"group\": \"%s\", \"name\": \"%s\", \"unit\": \"%s\", \"value\": %.2f, \"ms\": %.4f, \"share\": "
                "%.3f, \"peer\": \"%s\", \"peer_value\": %.2f}",
                i ? ", " : "", f->group, f->name, f->unit, f->value, f->milliseconds, f->share,
                f->peer > 0 ? f->peer_name : "", f->peer);
    }
    fprintf(out, "]}\n");
    return out != stdout && fclose(out) != 0;
}

static void usage(void) {
    printf("usage: micro [--threads N] [--quick] [--json FILE]\n"
           "Measures each loop class as a share of what this machine can do.\n");
}

int main(int argc, char **argv) {
    bench.options = (settings){.threads = 1, .seconds = 0.3};
    long threads;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc && (threads = strtol(argv[i + 1], NULL, 10)) > 0 &&
            threads <= 1024)
            bench.options.threads = (int)threads, i++;
        else if (strcmp(argv[i], "--quick") == 0)
            bench.options.seconds = 0.05;
        else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc)
            bench.options.json_path = argv[++i];
        else {
            usage();
            return strcmp(argv[i], "--help") == 0 ? 0 : 2;
        }
    }
    if (bench.options.threads > 1 && !(bench.pool = tn_pool_new(bench.options.threads))) {
        fprintf(stderr, "micro: no thread pool\n");
        return 1;
    }
    measure_peak();
    measure_bandwidth();
    load_blas();
    measure_dots();
    measure_convs();
    measure_winograd();
    measure_memory();
    tn_pool_free(bench.pool);
    return write_json();
}
