/* What the machine can do: multiply-adds from registers, bytes from and to memory.
 *
 * Bandwidth is that of the best of several patterns, as no single one gets all that there is: one stream may leave
 * prefetchers idle, many may confuse them. Loops that only read are one limit; loops that also write, with ordinary
 * stores, are another, and count the bytes that they read and those that they write; those whose stores go past the
 * caches are a third one.
 */
#include "benchmarks/micro/micro.h"
#include "compiler/peak_loop.h"

#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { REPEATS = 16 }; /* calls of the loop in a measurement */

/* ---- Multiply-adds ---- */

static void peak_chunk(void *arg, int64_t chunk, int32_t worker) {
    float values[PEAK_LANES] = {0};
    (void)chunk, (void)worker;
    for (int i = 0; i < REPEATS; i++) ((const peak_loop *)arg)->loop(values);
}

/* On `threads` threads of a pool; NULL: on this one. */
typedef struct team {
    tn_pool *pool;
    int threads;
    void *arg;
} team;

static void peak_call(void *ctx) {
    const team *t = ctx;
    if (t->pool)
        tn_pool_parallel_for(t->pool, t->threads, peak_chunk, t->arg);
    else
        peak_chunk(t->arg, 0, 0);
}

static double measure_peak(team t) {
    peak_loop loop = choose_peak_loop();
    t.arg = &loop;
    return loop.operations * REPEATS * t.threads / best_of(peak_call, &t) * 1e-9;
}

/* ---- Memory ---- */

enum { SPANS = 64, MOST_STREAMS = 8, FLOATS = 1 << 26 /* 256 MB an array: no cache holds it */ };
#define SPAN_LINES (FLOATS / SPANS / 16)

/* 64 bytes, in as many registers as the machine needs for them. */
typedef float line __attribute__((vector_size(64)));

#if defined(__x86_64__)
#define FOR_EACH_TARGET __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define FOR_EACH_TARGET
#endif

/* A pattern on a span of the arrays. Each stream goes through a part of it; all advance together. */
typedef void pattern_body(line *z, const line *x, const line *y);
#define READ_LOOP(streams)                                                                                             \
    FOR_EACH_TARGET static void read_##streams(line *z, const line *x, const line *y) {                                \
        enum { PART = SPAN_LINES / (streams), CHAINS_EACH = MOST_STREAMS / (streams) };                                \
        line sum[MOST_STREAMS] = {{0}};                                                                                \
        (void)y;                                                                                                       \
        for (int i = 0; i < PART; i += CHAINS_EACH)                                                                    \
            _Pragma("GCC unroll 8") for (int c = 0; c < MOST_STREAMS; c++) sum[c] +=                                   \
                x[c % (streams) * PART + i + c / (streams)];                                                           \
        for (int c = 1; c < MOST_STREAMS; c++) sum[0] += sum[c];                                                       \
        z[0] = sum[0];                                                                                                 \
    }
#define WRITE_LOOP(name, streams, expression)                                                                          \
    FOR_EACH_TARGET static void name##_##streams(line *z, const line *x, const line *y) {                              \
        enum { PART = SPAN_LINES / (streams) };                                                                        \
        (void)y;                                                                                                       \
        for (int i = 0; i < PART; i++)                                                                                 \
            _Pragma("GCC unroll 8") for (int c = 0, at = i; c < (streams); c++, at += PART) z[at] = (expression);      \
    }
READ_LOOP(1)
READ_LOOP(2)
READ_LOOP(4)
READ_LOOP(8)
WRITE_LOOP(copy, 1, x[at])
WRITE_LOOP(copy, 2, x[at])
WRITE_LOOP(copy, 4, x[at])
WRITE_LOOP(add, 1, x[at] + y[at])
WRITE_LOOP(add, 2, x[at] + y[at])
WRITE_LOOP(add, 4, x[at] + y[at])

#if defined(__x86_64__)
#define STREAM_LOOP(name, expression)                                                                                  \
    static void name(line *z, const line *x, const line *y) {                                                          \
        const float *a = (const float *)x, *b = (const float *)y;                                                      \
        (void)b;                                                                                                       \
        for (size_t at = 0; at < (size_t)SPAN_LINES * 16; at += 4) _mm_stream_ps((float *)z + at, (expression));       \
        _mm_sfence();                                                                                                  \
    }
STREAM_LOOP(copy_past, _mm_load_ps(a + at))
STREAM_LOOP(add_past, _mm_load_ps(a + at) + _mm_load_ps(b + at))
#endif

static const struct {
    const char *name;
    limit of;
    double arrays; /* that cross the memory bus, one way */
    pattern_body *body;
} patterns[] = {
    {"read, 1 stream", LIMIT_READ, 1, read_1},       {"read, 2 streams", LIMIT_READ, 1, read_2},
    {"read, 4 streams", LIMIT_READ, 1, read_4},      {"read, 8 streams", LIMIT_READ, 1, read_8},
    {"z = x, 1 stream", LIMIT_WRITE, 2, copy_1},     {"z = x, 2 streams", LIMIT_WRITE, 2, copy_2},
    {"z = x, 4 streams", LIMIT_WRITE, 2, copy_4},    {"z = x + y, 1 stream", LIMIT_WRITE, 3, add_1},
    {"z = x + y, 2 streams", LIMIT_WRITE, 3, add_2}, {"z = x + y, 4 streams", LIMIT_WRITE, 3, add_4},
#if defined(__x86_64__)
    {"z = x, streamed", LIMIT_STREAM, 2, copy_past}, {"z = x + y, streamed", LIMIT_STREAM, 3, add_past},
#endif
};

typedef struct arrays {
    line sink[SPANS]; /* what reading loops leave, so that they are not left out */
    float *z, *x, *y;
    size_t pattern;
} arrays;

static void memory_chunk(void *arg, int64_t chunk, int32_t worker) {
    arrays *a = arg;
    size_t at = (size_t)chunk * SPAN_LINES;
    line *z = patterns[a->pattern].of == LIMIT_READ ? &a->sink[chunk] : (line *)a->z + at;
    (void)worker;
    patterns[a->pattern].body(z, (const line *)a->x + at, (const line *)a->y + at);
}

static void memory_call(void *ctx) {
    const team *t = ctx;
    for (int64_t i = 0; !t->pool && i < SPANS; i++) memory_chunk(t->arg, i, 0);
    if (t->pool) tn_pool_parallel_for(t->pool, SPANS, memory_chunk, t->arg);
}

/* ---- All limits ---- */

static void measure_team(team t, arrays *a, bool is_own) {
    char threads[16];
    snprintf(threads, sizeof threads, "%d thread%s", t.threads, t.threads > 1 ? "s" : "");
    double best[LIMIT_COUNT] = {[LIMIT_FMA] = measure_peak(t)};
    const char *how[LIMIT_COUNT] = {[LIMIT_FMA] = "multiply-adds from registers"};
    t.arg = a;
    for (a->pattern = 0; a->pattern < sizeof patterns / sizeof *patterns; a->pattern++) {
        limit of = patterns[a->pattern].of;
        double rate = FLOATS * F32_BYTES * patterns[a->pattern].arrays / best_of(memory_call, &t) * 1e-9;
        if (rate > best[of]) best[of] = rate, how[of] = patterns[a->pattern].name;
    }
    for (limit of = LIMIT_FMA; of < LIMIT_COUNT; of++) {
        if (!how[of]) continue;
        figure f = {.group = "machine", .unit = of == LIMIT_FMA ? "GFLOP/s" : "GB/s", .value = best[of]};
        snprintf(f.name, sizeof f.name, "%s: %s", threads, how[of]);
        record(f);
        if (is_own) bench.limits[of] = best[of];
    }
}

void measure_machine(void) {
    const int counts[] = {1, 2, bench.options.threads};
    arrays *a = aligned_alloc(64, (sizeof *a + 63) / 64 * 64);
    if (!a) stop("out of memory");
    *a = (arrays){.z = floats(FLOATS), .x = floats(FLOATS), .y = floats(FLOATS)};
    for (int i = 0; i < (bench.options.threads > 2 ? 3 : 2); i++) {
        team t = {.threads = counts[i], .pool = counts[i] > 1 ? tn_pool_new(counts[i]) : NULL};
        if (counts[i] > 1 && !t.pool) stop("no thread pool");
        measure_team(t, a, counts[i] == bench.options.threads);
        tn_pool_free(t.pool);
    }
    free(a->x), free(a->y), free(a->z);
    free(a);
}
