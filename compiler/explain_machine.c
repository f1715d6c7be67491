/* What this machine can do at most, measured in some tens of milliseconds.
 *
 * in:  the threads that are to be used
 * out: multiply-adds from registers, and bytes of z = x + y on working sets from a first cache to memory
 * law: each figure is the best of several tries: what others do on the machine meanwhile makes it smaller, nothing
 *      makes it larger
 *
 * benchmarks/micro/machine.c measures the same for longer and in more patterns.
 */
#include "compiler/peak_loop.h"
#include "compiler/watch.h"
#include "runtime/alloc.h"
#include "runtime/diag.h"
#include "tenon_explain.h"

#include <string.h>

enum {
    TRIES = 12, /* of what fits a cache */
    LINE_BYTES = 64,
    PARTS = 24,
    PASSES = 3,               /* through memory */
    LEAST_MEMORY = 512 << 10, /* of a small machine: its larger levels are not measured */
    CACHED_BYTES = 64 << 20,  /* moved in a try, at most: small working sets again and again */
};

static const double level_bytes[TN_MACHINE_LEVELS] = {24 << 10, 384 << 10, 3 << 20, 18 << 20, 96 << 20};

/* ---- Multiply-adds ---- */

static void peak_chunk(void *arg, int64_t chunk, int32_t worker) {
    float values[PEAK_LANES] = {0};
    (void)chunk, (void)worker;
    ((const peak_loop *)arg)->loop(values);
}

/* ---- Bytes ---- */

typedef float vector_line __attribute__((vector_size(LINE_BYTES)));

#if defined(__x86_64__) && defined(__ELF__)
#define FOR_EACH_TARGET __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define FOR_EACH_TARGET
#endif

FOR_EACH_TARGET static void add_lines(vector_line *z, const vector_line *x, const vector_line *y, size_t n) {
    for (size_t i = 0; i < n; i++) z[i] = x[i] + y[i];
}

typedef struct moving {
    vector_line *lines; /* of all threads: each has z, x, y one after the other */
    size_t each, times; /* lines of one array of one thread; passes */
    size_t from, n;     /* lines that are moved */
} moving;

static void moving_chunk(void *arg, int64_t chunk, int32_t worker) {
    const moving *m = arg;
    vector_line *z = m->lines + (size_t)chunk * 3 * m->each;
    (void)worker;
    for (size_t i = 0; i < m->times; i++)
        add_lines(z + m->from, z + m->each + m->from, z + 2 * m->each + m->from, m->n);
}

/* ---- Both ---- */

static double best_ms(tn_pool *pool, int threads, tn_chunk_fn body, void *arg, int tries) {
    double best = 0;
    for (int i = 0; i < tries; i++) {
        double begin = watch_now_ms();
        if (pool)
            tn_pool_parallel_for(pool, threads, body, arg);
        else
            body(arg, 0, 0);
        double ms = watch_now_ms() - begin;
        if (i == 0 || ms < best) best = ms;
    }
    return best > 1e-6 ? best : 1e-6;
}

/* Memory a part after the other, so that the best one had the machine for itself; all together no cache holds them. */
static double best_part_ms(tn_pool *pool, int threads, moving *m, int passes) {
    double best = 0;
    m->n = m->each / PARTS + 1;
    for (int i = 0; i < passes * PARTS; i++) {
        m->from = m->each / PARTS * (size_t)(i % PARTS);
        if (m->from + m->n > m->each) m->from = m->each - m->n;
        double ms = best_ms(pool, threads, moving_chunk, m, 1);
        if (i == 0 || ms < best) best = ms;
    }
    return best;
}

static double per_second(double amount, double ms) { return amount / ms * 1e3; }

tn_status tn_machine_measure(tn_pool *pool, tn_machine_limits *limits, tn_diag *diag) {
    int threads = pool ? tn_pool_workers(pool) : 1;
    *limits = (tn_machine_limits){.threads = threads};
    size_t most = (size_t)level_bytes[TN_MACHINE_LEVELS - 1];
    moving m = {0};
    while (!(m.lines = tn_aligned_alloc(LINE_BYTES, most)) && most > LEAST_MEMORY) most /= 2;
    if (!m.lines) return diag_fail(diag, TN_ERR_MEMORY, "out of memory while measuring the machine");
    memset(m.lines, 0, most);
    peak_loop loop = choose_peak_loop();
    limits->flops_per_second =
        per_second(loop.operations * threads, best_ms(pool, threads, peak_chunk, &loop, 4 * TRIES));
    for (int i = 0; i < TN_MACHINE_LEVELS; i++) {
        m.each = (size_t)level_bytes[i] / (size_t)threads / 3 / LINE_BYTES;
        m.each += m.each == 0;
        double bytes = (double)(m.each * 3 * LINE_BYTES) * threads;
        if (bytes > (double)most) break;
        m.from = 0;
        m.n = m.each;
        m.times = bytes < CACHED_BYTES ? (size_t)((double)CACHED_BYTES / TRIES / bytes) + 1 : 1;
        double ms = bytes < CACHED_BYTES ? best_ms(pool, threads, moving_chunk, &m, TRIES)
                                         : best_part_ms(pool, threads, &m, PASSES);
        double moved = (double)(m.n * 3 * LINE_BYTES) * threads * (double)m.times;
        limits->levels[i] = (tn_machine_level){level_bytes[i], per_second(moved, ms)};
    }
    tn_free(m.lines);
    return TN_OK;
}
