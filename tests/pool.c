/* The thread pool: every chunk once, nested and shared loops, fork, quotas. */
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/cpus.h"
#include "runtime/tenon_rt.h"

enum { CHUNKS = 500, THREADS = 4, MANY_THREADS = 19 };

/* ---- Every chunk once, one thread a worker -------------------------------------------------------- */

typedef struct tally {
    atomic_int done[CHUNKS];
    atomic_int busy[MANY_THREADS];
    atomic_int clashes; /* two at a time with one worker id, or an id out of range */
    tn_pool *pool;      /* for nested loops */
} tally;

static void count_chunk(void *arg, int64_t chunk, int32_t worker) {
    tally *t = arg;
    if (worker < 0 || worker >= MANY_THREADS || atomic_fetch_add(&t->busy[worker], 1) != 0)
        atomic_fetch_add(&t->clashes, 1);
    atomic_fetch_add(&t->done[chunk], 1);
    if (worker >= 0 && worker < MANY_THREADS) atomic_fetch_sub(&t->busy[worker], 1);
}

static void check_tally(tally *t, int n, int times) {
    assert_int_equal(t->clashes, 0);
    for (int i = 0; i < CHUNKS; i++) assert_int_equal(t->done[i], i < n ? times : 0);
}

static void test_every_chunk_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= THREADS; threads++) {
        tn_pool *pool = tn_pool_new(threads);
        assert_non_null(pool);
        assert_int_equal(tn_pool_workers(pool), threads);
        for (int n = 0; n <= CHUNKS; n = n < 10 ? n + 1 : n * 7) {
            tally t = {0};
            for (int i = 0; i < 20; i++) tn_pool_parallel_for(pool, n, count_chunk, &t);
            check_tally(&t, n, 20);
        }
        tn_pool_free(pool);
    }
}

/* More than there are shares of a loop's chunks. */
static void test_many_threads(void **state) {
    (void)state;
    tn_pool *pool = tn_pool_new(MANY_THREADS);
    for (int n = 1; n <= CHUNKS; n = n * 2 + 1) {
        tally t = {0};
        for (int i = 0; i < 10; i++) tn_pool_parallel_for(pool, n, count_chunk, &t);
        check_tally(&t, n, 10);
    }
    tn_pool_free(pool);
}

/* Chunk 0 waits until another worker has done all others, those of its own worker's share too. */
static void wait_for_others(void *arg, int64_t chunk, int32_t worker) {
    tally *t = arg;
    (void)worker;
    for (int64_t i = 1; chunk == 0 && i < CHUNKS; i++)
        while (atomic_load(&t->done[i]) == 0) usleep(10);
    atomic_fetch_add(&t->done[chunk], 1);
}

static void test_shares_are_taken_over(void **state) {
    (void)state;
    tn_pool *pool = tn_pool_new(2);
    tally t = {0};
    tn_pool_parallel_for(pool, CHUNKS, wait_for_others, &t);
    check_tally(&t, CHUNKS, 1);
    tn_pool_free(pool);
}

static void test_many_short_loops(void **state) {
    (void)state;
    tn_pool *pool = tn_pool_new(2);
    tally t = {0};
    for (int i = 0; i < 20000; i++) tn_pool_parallel_for(pool, 3, count_chunk, &t);
    check_tally(&t, 3, 20000);
    tn_pool_free(pool);
}

/* Long pauses, so that the threads fall asleep in between. */
static void test_sleeping_threads_wake(void **state) {
    (void)state;
    tn_pool *pool = tn_pool_new(3);
    tally t = {0};
    for (int i = 0; i < 20; i++) {
        usleep(2000);
        tn_pool_parallel_for(pool, CHUNKS, count_chunk, &t);
    }
    check_tally(&t, CHUNKS, 20);
    tn_pool_free(pool);
}

static void wait_for_company(void *arg, int64_t chunk, int32_t worker) {
    atomic_int *inside = arg;
    (void)chunk, (void)worker;
    atomic_fetch_add(inside, 1);
    for (int i = 0; i < 5000 && atomic_load(inside) < 2; i++) usleep(1000);
}

static void test_chunks_run_at_once(void **state) {
    (void)state;
    tn_pool *pool = tn_pool_new(2);
    atomic_int inside = 0;
    tn_pool_parallel_for(pool, 2, wait_for_company, &inside);
    assert_int_equal(inside, 2);
    tn_pool_free(pool);
}

/* ---- Nested and shared ----------------------------------------------------------------------------- */

/* A nested loop keeps its worker's id, so it never shares that worker's scratch. */
static void count_inner(void *arg, int64_t chunk, int32_t worker) {
    int32_t *outer = arg;
    (void)chunk;
    if (worker != *outer) *outer = -1;
}

static void nest(void *arg, int64_t chunk, int32_t worker) {
    tally *t = arg;
    int32_t seen = worker;
    tn_pool_parallel_for(t->pool, 7, count_inner, &seen);
    if (seen != worker) atomic_fetch_add(&t->clashes, 1);
    count_chunk(arg, chunk, worker);
}

static void test_nested_loops_run_inline(void **state) {
    (void)state;
    tally t = {.pool = tn_pool_new(THREADS)};
    for (int i = 0; i < 50; i++) tn_pool_parallel_for(t.pool, CHUNKS, nest, &t);
    check_tally(&t, CHUNKS, 50);
    tn_pool_free(t.pool);
}

static void *share(void *arg) {
    tn_pool *pool = arg;
    tally t = {.pool = pool};
    for (int i = 0; i < 200; i++) tn_pool_parallel_for(pool, CHUNKS, count_chunk, &t);
    for (int i = 0; i < CHUNKS; i++)
        if (t.done[i] != 200 || t.clashes != 0) return "wrong";
    return NULL;
}

static void test_callers_share_a_pool(void **state) {
    (void)state;
    tn_pool *pool = tn_pool_new(THREADS);
    pthread_t threads[6];
    for (int i = 0; i < 6; i++) assert_int_equal(pthread_create(&threads[i], NULL, share, pool), 0);
    for (int i = 0; i < 6; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    tn_pool_free(pool);
}

static void test_hooks_of_a_frame(void **state) {
    (void)state;
    tn_pool *pool = tn_pool_new(2);
    tn_hooks hooks = tn_pool_hooks(pool);
    tally t = {0};
    hooks.parallel_for(hooks.ctx, CHUNKS, count_chunk, &t);
    check_tally(&t, CHUNKS, 1);
    assert_null(hooks.kernel_begin);
    tn_pool_free(pool);
}

/* ---- Making pools -------------------------------------------------------------------------------------- */

static void test_wrong_arguments(void **state) {
    (void)state;
    assert_null(tn_pool_new(-1));
    assert_null(tn_pool_new(1 << 20));
    tn_pool_free(NULL);
    assert_null(tn_pool_retain(NULL));
    assert_int_equal(tn_pool_workers(NULL), 1);
    tally t = {0};
    tn_pool_parallel_for(NULL, 5, count_chunk, &t);
    check_tally(&t, 5, 1);
    tn_pool_parallel_for(NULL, -5, count_chunk, &t);
    tn_pool_parallel_for(NULL, 5, NULL, &t);
}

static void test_references(void **state) {
    (void)state;
    tn_pool *pool = tn_pool_new(0);
    assert_non_null(pool);
    assert_int_equal(tn_pool_workers(pool), tn_cpu_count());
    assert_ptr_equal(tn_pool_retain(pool), pool);
    tn_pool_free(pool);
    tally t = {0};
    tn_pool_parallel_for(pool, 5, count_chunk, &t);
    tn_pool_free(pool);
}

/* ---- Fork ---------------------------------------------------------------------------------------------- */

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NO_FORK_TEST /* it cannot start threads in the child of a threaded process */
#endif
#endif

#ifndef NO_FORK_TEST
static void test_child_of_fork(void **state) {
    (void)state;
    tn_pool *pool = tn_pool_new(3);
    tally t = {0};
    tn_pool_parallel_for(pool, CHUNKS, count_chunk, &t);
    for (int round = 0; round < 3; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            atomic_int inside = 0;
            tally mine = {.pool = pool};
            alarm(20); /* a pool that hangs fails the test */
            tn_pool_parallel_for(pool, 2, wait_for_company, &inside);
            for (int i = 0; i < 100; i++) tn_pool_parallel_for(pool, CHUNKS, nest, &mine);
            bool right = inside == 2 && mine.clashes == 0;
            for (int i = 0; i < CHUNKS; i++) right = right && mine.done[i] == 100;
            tn_pool_free(pool);
            _exit(right ? 0 : 1);
        }
        int status = -1;
        waitpid(child, &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    tn_pool_parallel_for(pool, CHUNKS, count_chunk, &t);
    check_tally(&t, CHUNKS, 2);
    tn_pool_free(pool);
}
#endif

/* ---- Quotas ---------------------------------------------------------------------------------------------- */

/* Writes a file below `root`, making the folders on the way. */
static void write_file(const char *root, const char *path, const char *content) {
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0777);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    if (file == NULL) {
        fail_msg("cannot write %s", whole);
        return;
    }
    fputs(content, file);
    fclose(file);
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *where) {
    (void)about, (void)kind, (void)where;
    return remove(path);
}

typedef struct quota_case {
    int expected;
    const char *files[8]; /* path, content, path, content, ... */
} quota_case;

static const quota_case quota_cases[] = {
    {0, {NULL}},
    {0, {"proc/self/cgroup", "nonsense\n::\n\n0:\n"}},
    {2, {"proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "250000 100000\n"}},
    {1, {"proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "50000 100000\n"}},
    {0, {"proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "max 100000\n"}},
    {3,
     {"proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max", "800000 100000\n", "sys/fs/cgroup/a/cpu.max",
      "300000 100000\n"}},
    {4, {"proc/self/cgroup", "0::/\n", "sys/fs/cgroup/cpu.max", "400000 100000\n"}},
    {4, {"proc/self/cgroup", "0::/of/the/host\n", "sys/fs/cgroup/cpu.max", "400000 100000\n"}},
    {5,
     {"proc/self/cgroup", "7:cpuset:/x\n4:cpuacct,cpu:/docker/1\n", "sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us",
      "500000\n", "sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us", "100000\n"}},
    {0,
     {"proc/self/cgroup", "4:cpu:/x\n", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n",
      "sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n"}},
    {0, {"proc/self/cgroup", "0::/a\n", "sys/fs/cgroup/a/cpu.max", "100000 0\n"}},
};

static void test_quotas(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof quota_cases / sizeof *quota_cases; i++) {
        char root[] = "/tmp/tenon-pool-XXXXXX";
        assert_non_null(mkdtemp(root));
        const quota_case *c = &quota_cases[i];
        for (int k = 0; k < 8 && c->files[k] != NULL; k += 2) write_file(root, c->files[k], c->files[k + 1]);
        int quota = cpus_quota(root);
        assert_int_equal(nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
        assert_int_equal(quota, c->expected);
    }
    assert_true(tn_cpu_count() >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_chunk_once),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_shares_are_taken_over),
        cmocka_unit_test(test_many_short_loops),
        cmocka_unit_test(test_sleeping_threads_wake),
        cmocka_unit_test(test_chunks_run_at_once),
        cmocka_unit_test(test_nested_loops_run_inline),
        cmocka_unit_test(test_callers_share_a_pool),
        cmocka_unit_test(test_hooks_of_a_frame),
        cmocka_unit_test(test_wrong_arguments),
        cmocka_unit_test(test_references),
#ifndef NO_FORK_TEST
        cmocka_unit_test(test_child_of_fork),
#endif
        cmocka_unit_test(test_quotas),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
