/* Many programs, many threads, many runs.
 *
 *   programs compiled in several threads at once, one program run by several threads, weights
 *   replaced while they do; a run allocates nothing; memory stays flat over PROGRAMS programs
 *   (TN_LONG=1: 2,000) compiled and freed in one process; of a model's file little stays in memory
 *   once its weights are packed
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tenon_compile.h"
#include "tenon_onnx.h"

enum { THREADS = 4, PROGRAMS = 300, LONG_PROGRAMS = 2000, ROUNDS = 40 };

/* ---- A model ------------------------------------------------------------------------------------------ */

/* y = softmax(max(x w1, 0) w2 + c), f32[n, 32] x f32[32, 16] x f32[16, 5]; w2 is scaled by `c` in
 * prepare. Every c makes another program. */
static tn_program *compile_model(const float *w1, const float *w2, double c) {
    tn_graph *g = tn_graph_new("model");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(32)));
    tn_val a = tn_weight(g, "w1", TN_F32, TN_SHAPE(TN_SIZE(32), TN_SIZE(16)), w1);
    tn_val b = tn_weight(g, "w2", TN_F32, TN_SHAPE(TN_SIZE(16), TN_SIZE(5)), w2);
    tn_val h = tn_matmul(tn_relu(tn_matmul(x, a)), tn_mul_scalar(b, c));
    tn_output(g, "y", tn_softmax(tn_add_scalar(h, c), -1));
    tn_program *p = tn_compile(g, NULL);
    if (!p) fprintf(stderr, "%s\n", tn_graph_error(g)->message);
    tn_graph_free(g);
    return p;
}

typedef struct model_data {
    float w1[32 * 16], w2[16 * 5], x[64 * 32];
} model_data;

static void fill_model(model_data *d, int seed) {
    for (int i = 0; i < 32 * 16; i++) d->w1[i] = (float)((i + seed) * 7 % 31 - 15) / 16;
    for (int i = 0; i < 16 * 5; i++) d->w2[i] = (float)((i + seed) * 5 % 17 - 8) / 8;
    for (int i = 0; i < 64 * 32; i++) d->x[i] = (float)(i * 3 % 29) / 29;
}

static bool run_model(tn_program *p, const model_data *d, int n, float *y) {
    tn_tensor in = TN_TENSOR(TN_F32, d->x, n, 32), out = TN_TENSOR(TN_F32, y, n, 5);
    return tn_run(p, &in, &out) == TN_OK;
}

/* ---- Threads -------------------------------------------------------------------------------------------- */

typedef struct job {
    int number;
    const model_data *data;
    tn_program *shared;
    const float *want, *other; /* of the shared program, with its first weights and with others */
    atomic_int *wrong;
} job;

static void run_threads(void *(*body)(void *), job *jobs) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, body, &jobs[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

static bool same_bits(const float *x, const float *y, int n) {
    for (int i = 0; i < n; i++) {
        uint32_t a, b;
        memcpy(&a, &x[i], sizeof a);
        memcpy(&b, &y[i], sizeof b);
        if (a != b) return false;
    }
    return true;
}

static void *compile_and_run(void *arg) {
    job *j = arg;
    float y[64 * 5], again[64 * 5];
    for (int round = 0; round < 6; round++) {
        tn_program *p = compile_model(j->data->w1, j->data->w2, 1 + round);
        tn_program *q = compile_model(j->data->w1, j->data->w2, 1 + round);
        bool ok = p && q && run_model(p, j->data, 64, y) && run_model(q, j->data, 64, again);
        if (!ok || !same_bits(y, again, 64 * 5)) atomic_fetch_add(j->wrong, 1);
        if (ok && round == 0 && !same_bits(y, j->want, 64 * 5)) atomic_fetch_add(j->wrong, 1);
        tn_program_free(p);
        tn_program_free(q);
    }
    return NULL;
}

static void test_programs_compiled_in_threads(void **state) {
    (void)state;
    static model_data data;
    static float want[64 * 5];
    atomic_int wrong = 0;
    fill_model(&data, 0);
    tn_program *p = compile_model(data.w1, data.w2, 1);
    assert_true(p && run_model(p, &data, 64, want));
    job jobs[THREADS];
    for (int i = 0; i < THREADS; i++) jobs[i] = (job){.number = i, .data = &data, .want = want, .wrong = &wrong};
    run_threads(compile_and_run, jobs);
    tn_program_free(p);
    assert_int_equal(wrong, 0);
}

static void *run_shared(void *arg) {
    job *j = arg;
    float y[64 * 5];
    for (int round = 0; round < ROUNDS; round++)
        for (int n = 1; n <= 64; n += 21 + j->number) {
            bool ok = run_model(j->shared, j->data, n, y);
            size_t bytes = (size_t)n * 5 * sizeof(float);
            bool first = ok && memcmp(y, j->want, bytes) == 0;
            if (!first && !(ok && j->other && memcmp(y, j->other, bytes) == 0)) atomic_fetch_add(j->wrong, 1);
        }
    return NULL;
}

static void test_one_program_in_threads(void **state) {
    (void)state;
    static model_data data;
    static float want[64 * 5];
    atomic_int wrong = 0;
    fill_model(&data, 1);
    tn_program *p = compile_model(data.w1, data.w2, 2);
    tn_pool *pool = tn_pool_new(2);
    assert_true(p && run_model(p, &data, 64, want));
    for (int pooled = 0; pooled < 2; pooled++) {
        tn_program_set_pool(p, pooled ? pool : NULL);
        job jobs[THREADS];
        for (int i = 0; i < THREADS; i++)
            jobs[i] = (job){.number = i, .data = &data, .shared = p, .want = want, .wrong = &wrong};
        run_threads(run_shared, jobs);
    }
    tn_program_free(p);
    tn_pool_free(pool);
    assert_int_equal(wrong, 0);
}

/* Thread 0 replaces the weights, the others run: each run has one set or the other, whole. */
static void *run_or_replace(void *arg) {
    job *j = arg;
    if (j->number > 0) return run_shared(arg);
    static model_data sets[2];
    const char *names[] = {"w1", "w2"};
    fill_model(&sets[0], 2);
    fill_model(&sets[1], 9);
    for (int round = 0; round < 2 * ROUNDS; round++) {
        tn_tensor tensors[] = {TN_TENSOR(TN_F32, sets[round % 2].w1, 32, 16),
                               TN_TENSOR(TN_F32, sets[round % 2].w2, 16, 5)};
        if (tn_program_set_weights(j->shared, names, tensors, 2, NULL) != TN_OK) atomic_fetch_add(j->wrong, 1);
    }
    return NULL;
}

static void test_weights_replaced_while_running(void **state) {
    (void)state;
    static model_data first, second;
    static float want[64 * 5], other[64 * 5];
    atomic_int wrong = 0;
    fill_model(&first, 2);
    fill_model(&second, 9);
    tn_program *p = compile_model(first.w1, first.w2, 3), *q = compile_model(second.w1, second.w2, 3);
    assert_true(p && q && run_model(p, &first, 64, want) && run_model(q, &first, 64, other));
    assert_false(same_bits(want, other, 64 * 5));
    job jobs[THREADS];
    for (int i = 0; i < THREADS; i++)
        jobs[i] = (job){.number = i, .data = &first, .shared = p, .want = want, .other = other, .wrong = &wrong};
    run_threads(run_or_replace, jobs);
    tn_program_free(p);
    tn_program_free(q);
    assert_int_equal(wrong, 0);
}

/* ---- Memory ------------------------------------------------------------------------------------------------ */

#if defined(__SANITIZE_ADDRESS__) || defined(TN_HOSTILE_MALLOC)
#define COUNTS_ALLOCATIONS 0
#else
#define COUNTS_ALLOCATIONS 1

/* glibc's own entries, so that these may stand in for the library's. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
static atomic_bool counting;
static atomic_long counted;

static void count(void) {
    if (atomic_load(&counting)) atomic_fetch_add(&counted, 1);
}

void *malloc(size_t n) {
    count();
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
    count();
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
    count();
    return __libc_realloc(p, n);
}
void *aligned_alloc(size_t alignment, size_t n) {
    count();
    return __libc_memalign(alignment, n);
}
int posix_memalign(void **p, size_t alignment, size_t n) {
    count();
    *p = __libc_memalign(alignment, n);
    return *p ? 0 : 12;
}
#endif

/* After the first run of its sizes neither tn_run nor an exec allocates, on one thread or more. */
static void test_runs_allocate_nothing(void **state) {
    (void)state;
#if COUNTS_ALLOCATIONS
    static model_data data;
    float y[64 * 5];
    fill_model(&data, 0);
    tn_program *p = compile_model(data.w1, data.w2, 1);
    tn_pool *pool = tn_pool_new(2);
    assert_non_null(p);
    for (int pooled = 0; pooled < 2; pooled++) {
        tn_program_set_pool(p, pooled ? pool : NULL);
        tn_exec *e = tn_exec_new(p, &(tn_exec_options){.pool = pooled ? pool : NULL});
        tn_tensor in = TN_TENSOR(TN_F32, data.x, 64, 32), out = TN_TENSOR(TN_F32, y, 64, 5);
        assert_true(run_model(p, &data, 64, y) && tn_exec_run(e, &in, 1, &out, 1) == TN_OK);
        atomic_store(&counted, 0);
        atomic_store(&counting, true);
        bool ok = true;
        for (int i = 0; i < 10; i++) {
            ok = ok && tn_run(p, &in, &out) == TN_OK;
            out.data = y;
            ok = ok && tn_exec_run(e, &in, 1, &out, 1) == TN_OK;
        }
        atomic_store(&counting, false);
        tn_exec_free(e);
        assert_true(ok);
        assert_int_equal(counted, 0);
    }
    tn_program_free(p);
    tn_pool_free(pool);
#else
    skip();
#endif
}

static long resident_kib(void) {
    char line[200] = "", *end = line;
    FILE *f = fopen("/proc/self/statm", "r"); /* pages in all, pages resident, ... */
    if (!f) return 0;
    if (fgets(line, sizeof line, f)) strtol(line, &end, 10);
    fclose(f);
    return strtol(end, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
}

static void test_memory_stays_flat(void **state) {
    (void)state;
    static model_data data;
    float y[64 * 5];
    fill_model(&data, 0);
    int n = getenv("TN_LONG") ? LONG_PROGRAMS : PROGRAMS;
    long before = 0;
    for (int i = 0; i < n; i++) {
        tn_program *p = compile_model(data.w1, data.w2, 1 + i % 7);
        assert_true(p && run_model(p, &data, 64, y));
        tn_program_free(p);
        if (i == n / 3) before = resident_kib();
    }
    long grown = resident_kib() - before;
#if COUNTS_ALLOCATIONS
    /* Two thirds of the programs, each of tens of KiB of code and far more while it is compiled. */
    if (grown > 2048) fail_msg("%d programs left %ld KiB behind", n - n / 3, grown);
#else
    (void)grown;
#endif
}

/* KiB of a mapped file that are in memory; -1: it is not mapped. */
static long resident_of(const char *path) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[4096];
    long sum = -1;
    bool is_its = false;
    while (maps && fgets(line, sizeof line, maps)) {
        if (!isupper((unsigned char)line[0])) is_its = strstr(line, path) != NULL; /* a mapping; its figures follow */
        if (is_its && strncmp(line, "Rss:", 4) == 0) sum = (sum < 0 ? 0 : sum) + strtol(line + 4, NULL, 10);
    }
    if (maps) fclose(maps);
    return sum;
}

/* Neither a model's file nor LLVM stays in memory beside the packed weights. */
static void test_what_compiling_leaves_in_memory(void **state) {
    (void)state;
    /* Of a file that was just written, the system maps much around each page that is read: a quarter was seen. */
    enum { KIB_LEFT = 16 << 10, KIB_MAPPED = 48 << 10 };
    static const char path[] = "build/models/paraphrase-MiniLM-L3-v2.onnx"; /* 69 MB, of them 7 MB not packed */
    if (access(path, R_OK) != 0) skip();
    tn_module *m = tn_onnx_load(path, NULL);
    assert_null(tn_module_error(m));
    assert_in_range(resident_of(path), 1, KIB_MAPPED);
    for (int i = 0; i < 2; i++) {
        tn_program *p = tn_compile_module(m, NULL);
        assert_non_null(p);
        assert_in_range(resident_of(path), 0, KIB_LEFT);
        assert_true(resident_of("/libLLVM") < KIB_LEFT);
        tn_program_free(p);
    }
    tn_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs_compiled_in_threads),
        cmocka_unit_test(test_one_program_in_threads),
        cmocka_unit_test(test_weights_replaced_while_running),
        cmocka_unit_test(test_runs_allocate_nothing),
        cmocka_unit_test(test_memory_stays_flat),
        cmocka_unit_test(test_what_compiling_leaves_in_memory),
    };
    return cmocka_run_group_tests_name("program_many", tests, NULL, NULL);
}
