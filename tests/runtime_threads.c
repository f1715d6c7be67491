/* Running programs at once: many threads, weights replaced meanwhile, pools, fork; what a run
 * must not do (allocate, change bits or modes); hooks and times. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/fpmode.h"
#include "tests/lib/handmade.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED
#endif
#if __has_feature(thread_sanitizer)
#define NO_FORK_TEST
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

/* ---- Counting allocations: the C library's own functions behind ours ---------------------------------- */

#if defined(__GLIBC__) && !defined(SANITIZED)
#define COUNTS_ALLOCATIONS
static atomic_long allocations;

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

__attribute__((visibility("default"))) void *malloc(size_t bytes) {
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(bytes);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t bytes) {
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(count, bytes);
}

__attribute__((visibility("default"))) void *realloc(void *old, size_t bytes) {
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(old, bytes);
}

__attribute__((visibility("default"))) int posix_memalign(void **p, size_t alignment, size_t bytes) {
    atomic_fetch_add(&allocations, 1);
    *p = __libc_memalign(alignment, bytes);
    return *p != NULL ? 0 : 12;
}

static void test_a_run_allocates_nothing(void **state) {
    (void)state;
    static float x[40 * 784], y[40], z[80], probs[120], total;
    tn_program *p = handmade_mlp();
    tn_pool *pool = tn_pool_new(2);
    tn_program_set_pool(p, pool);
    tn_exec *e = tn_exec_new(p, &(tn_exec_options){.pool = pool});
    tn_tensor inputs[] = {tn_tensor_strided(TN_F32, x, 2, (int64_t[]){40, 784}, (int64_t[]){1, 40}),
                          TN_TENSOR(TN_F32, y, 40), TN_TENSOR(TN_F32, z, 80)};
    tn_tensor outputs[] = {TN_TENSOR(TN_F32, probs, 40, 3), tn_tensor_of(TN_F32, &total, 0, NULL)};
    tn_tensor smaller[] = {TN_TENSOR(TN_F32, x, 4, 784), TN_TENSOR(TN_F32, y, 4), TN_TENSOR(TN_F32, z, 8)};
    for (int round = 0; round < 5; round++) {
        long before = atomic_load(&allocations);
        tn_status status = tn_exec_run(e, inputs, 3, outputs, 2);
        if (status == TN_OK) status = tn_exec_run(e, inputs, 3, NULL, 0);
        if (status == TN_OK) status = tn_exec_run(e, smaller, 3, NULL, 0);
        if (status == TN_OK) status = tn_run(p, inputs, outputs);
        long made = atomic_load(&allocations) - before;
        assert_int_equal(status, TN_OK);
        if (round == 0)
            assert_true(made > 0); /* so the count counts */
        else
            assert_int_equal(made, 0);
    }
    tn_exec_free(e);
    tn_program_free(p);
    tn_pool_free(pool);
}
#endif

/* ---- Threads --------------------------------------------------------------------------------------------- */

enum { RUNNERS = 4, ROUNDS = 300, ROWS = 16 };

static void fill4(float *four, float value) {
    for (int j = 0; j < 4; j++) four[j] = value;
}

typedef struct runner {
    tn_program *program;
    tn_pool *pool;
    bool is_convenient; /* tn_run, else an exec of its own */
    const char *wrong;
} runner;

/* Weights are always w = b = k for some k, so y = 2 * k * x + k in every element of one run. */
static void *keep_running(void *arg) {
    runner *r = arg;
    float x[ROWS * 4], y[ROWS * 4];
    for (int i = 0; i < ROWS * 4; i++) x[i] = (float)i;
    tn_tensor input = TN_TENSOR(TN_F32, x, ROWS, 4), output = TN_TENSOR(TN_F32, y, ROWS, 4);
    tn_exec *e = tn_exec_new(r->program, &(tn_exec_options){.pool = r->pool});
    for (int round = 0; round < ROUNDS && r->wrong == NULL; round++) {
        tn_status status =
            r->is_convenient ? tn_run(r->program, &input, &output) : tn_exec_run(e, &input, 1, &output, 1);
        if (status != TN_OK) r->wrong = "a run failed";
        float k = y[0];
        for (int i = 0; i < ROWS * 4; i++)
            if (y[i] != 2 * k * x[i] + k) r->wrong = "two weight sets in one run";
    }
    tn_exec_free(e);
    return NULL;
}

static void test_weights_are_replaced_while_running(void **state) {
    (void)state;
    static const char *const names[] = {"b", "w"};
    float four[4];
    fill4(four, 1);
    tn_program *p = handmade_scale(four, four, NULL, NULL);
    assert_non_null(p);
    assert_int_equal(tn_program_weight_bytes(p), 64); /* w doubled, padded; b is read where it is */
    tn_pool *pool = tn_pool_new(2);
    tn_program_set_pool(p, pool);
    pthread_t threads[RUNNERS];
    runner runners[RUNNERS];
    for (int i = 0; i < RUNNERS; i++) {
        runners[i] = (runner){p, pool, i % 2 == 0, NULL};
        assert_int_equal(pthread_create(&threads[i], NULL, keep_running, &runners[i]), 0);
    }
    for (int k = 2; k < 100; k++) {
        float own[4];
        fill4(own, (float)k);
        tn_tensor both[] = {TN_TENSOR(TN_F32, own, 4), TN_TENSOR(TN_F32, own, 4)};
        assert_int_equal(tn_program_set_weights(p, names, both, 2, NULL), TN_OK);
        fill4(own, -1); /* they were copied */
    }
    for (int i = 0; i < RUNNERS; i++) {
        pthread_join(threads[i], NULL);
        assert_null(runners[i].wrong);
    }
    assert_int_equal(tn_program_weight_bytes(p), 128);
    tn_program_set_pool(p, NULL);
    tn_pool_free(pool);
    tn_program_free(p);
}

typedef struct intruder {
    tn_exec *exec;
    tn_tensor *inputs;
    tn_status status;
} intruder;

static int32_t run_again(void *ctx, void *const *operands, void *const *results, const int64_t *dims) {
    intruder *i = ctx;
    (void)operands, (void)results, (void)dims;
    i->status = tn_exec_run(i->exec, i->inputs, 2, NULL, 0);
    return 0;
}

static void test_an_exec_serves_one_at_a_time(void **state) {
    (void)state;
    float data[] = {1};
    int64_t at[] = {0, 0};
    tn_tensor inputs[] = {TN_TENSOR(TN_F32, data, 1), TN_TENSOR(TN_I64, at, 2)};
    intruder i = {.inputs = inputs};
    tn_program *p = handmade_gather((program_custom){"again", run_again, &i});
    i.exec = tn_exec_new(p, NULL);
    assert_int_equal(tn_exec_run(i.exec, inputs, 2, NULL, 0), TN_OK);
    assert_int_equal(i.status, TN_ERR_ARGUMENT);
    tn_exec_free(i.exec);
    tn_program_free(p);
}

/* ---- Weights ------------------------------------------------------------------------------------------------ */

static void count_release(void *ctx) { ++*(int *)ctx; }

static void test_weights_by_name(void **state) {
    (void)state;
    float w[4], b[4], x[4] = {1, 2, 3, 4}, y[4];
    tn_diag diag;
    tn_program *p = handmade_scale(NULL, NULL, NULL, NULL);
    tn_tensor input = TN_TENSOR(TN_F32, x, 1, 4), output = TN_TENSOR(TN_F32, y, 1, 4);
    assert_int_equal(tn_program_n_weights(p), 2);
    assert_string_equal(tn_program_weight(p, 1)->name, "b");
    assert_int_equal(tn_run(p, &input, &output), TN_ERR_ARGUMENT);
    tn_program_error(p, &diag);
    assert_string_equal(diag.message, "scale: weight 'w' has no values: give them with tn_program_set_weights");
    fill4(w, 3);
    fill4(b, 100);
    float pairs[8] = {1, 0, 2, 0, 3, 0, 4, 0};
    const char *names[] = {"w", "b"};
    tn_tensor tensors[] = {TN_TENSOR(TN_F32, w, 4),
                           tn_tensor_strided(TN_F32, pairs, 1, (int64_t[]){4}, (int64_t[]){2})};
    assert_int_equal(tn_program_set_weights(p, names, tensors, 1, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "scale: weight 'b' is not given");
    assert_int_equal(tn_program_set_weights(p, names, tensors, 2, &diag), TN_OK);
    assert_int_equal(tn_run(p, &input, &output), TN_OK);
    for (int j = 0; j < 4; j++) assert_true(y[j] == x[j] * 6 + (float)(j + 1));
    names[1] = "bias";
    assert_int_equal(tn_program_set_weights(p, names, tensors, 2, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "scale: no weight is called 'bias' (it has w, b)");
    names[1] = "w";
    assert_int_equal(tn_program_set_weights(p, names, tensors, 2, &diag), TN_ERR_ARGUMENT);
    assert_string_equal(diag.message, "scale: weight 'w' is given twice");
    names[1] = "b";
    tensors[1] = TN_TENSOR(TN_F32, b, 2, 2);
    assert_int_equal(tn_program_set_weights(p, names, tensors, 2, &diag), TN_ERR_SHAPE);
    assert_string_equal(diag.message, "scale: weight 'b': expected f32[4], got f32[2, 2] (rank 1 is not 2)");
    tensors[1] = TN_TENSOR(TN_F32, NULL, 4);
    assert_int_equal(tn_program_set_weights(p, names, tensors, 2, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_program_set_weights(NULL, names, tensors, 2, &diag), TN_ERR_ARGUMENT);
    assert_int_equal(tn_program_set_weights(p, NULL, tensors, 2, NULL), TN_ERR_ARGUMENT);
    assert_int_equal(tn_run(p, &input, &output), TN_OK); /* the old ones stay */
    assert_true(y[0] == 7);
    tn_program_free(p);
}

static void test_initial_weights(void **state) {
    (void)state;
    float w[4], b[4], x[4] = {1, 2, 3, 4}, y[4];
    int released = 0;
    fill4(w, 1);
    fill4(b, 5);
    tn_program *p = handmade_scale(w, b, count_release, &released);
    tn_tensor input = TN_TENSOR(TN_F32, x, 1, 4), output = TN_TENSOR(TN_F32, y, 1, 4);
    assert_int_equal(tn_run(p, &input, &output), TN_OK);
    assert_true(y[1] == 9);
    float four[4];
    fill4(four, 10);
    const char *name = "w";
    tn_tensor ten = TN_TENSOR(TN_F32, four, 4);
    assert_int_equal(tn_program_set_weights(p, &name, &ten, 1, NULL), TN_OK); /* b keeps its first values */
    assert_int_equal(tn_run(p, &input, &output), TN_OK);
    assert_true(y[1] == 45);
    assert_int_equal(released, 0); /* b is read where it is */
    tn_program_free(p);
    assert_int_equal(released, 1);
}

/* ---- Bits, modes, hooks ------------------------------------------------------------------------------------------ */

static void test_same_bits_with_any_number_of_threads(void **state) {
    (void)state;
    static float x[64 * 784], y[64], z[128], first[192], probs[192];
    float total, first_total = 0;
    for (int i = 0; i < 64 * 784; i++) x[i] = 1.0f / (float)(i + 3);
    tn_program *p = handmade_mlp();
    tn_tensor inputs[] = {TN_TENSOR(TN_F32, x, 64, 784), TN_TENSOR(TN_F32, y, 64), TN_TENSOR(TN_F32, z, 128)};
    for (int threads = 1; threads <= 4; threads++) {
        tn_pool *pool = tn_pool_new(threads);
        tn_program_set_pool(p, pool);
        tn_pool_free(pool);
        tn_tensor outputs[] = {TN_TENSOR(TN_F32, threads == 1 ? first : probs, 64, 3),
                               tn_tensor_of(TN_F32, threads == 1 ? &first_total : &total, 0, NULL)};
        assert_int_equal(tn_run(p, inputs, outputs), TN_OK);
        if (threads == 1) continue;
        assert_memory_equal(probs, first, sizeof first);
        assert_memory_equal(&total, &first_total, sizeof total);
    }
    tn_program_free(p);
}

#if defined(__SSE__) || defined(__aarch64__)
static void test_denormals(void **state) {
    (void)state;
    static float x[100], y[100];
    tn_program *p = handmade_halve();
    tn_pool *pool = tn_pool_new(3);
    tn_tensor input = TN_TENSOR(TN_F32, x, 100), output = TN_TENSOR(TN_F32, y, 100);
    for (int i = 0; i < 100; i++) x[i] = 2e-39f;
    for (int flush = 0; flush < 2; flush++)
        for (int callers = 0; callers < 2; callers++) {
            tn_exec *e = tn_exec_new(p, &(tn_exec_options){.pool = pool, .flush_denormals = flush == 1});
            fpmode before = fpmode_enter(callers == 1), during = fpmode_enter(callers == 1);
            tn_status status = tn_exec_run(e, &input, 1, &output, 1);
            fpmode after = fpmode_enter(false);
            fpmode_leave(before);
            assert_int_equal(status, TN_OK);
            assert_int_equal(after, during); /* the caller's own mode is back */
            for (int i = 0; i < 100; i++) {
                uint32_t bits;
                memcpy(&bits, &y[i], sizeof bits);
                assert_true((bits == 0) == (flush == 1));
            }
            tn_exec_free(e);
        }
    tn_pool_free(pool);
    tn_program_free(p);
}
#endif

typedef struct own_hooks {
    int loops, begun, ended;
    int32_t worker;
} own_hooks;

static void own_parallel_for(void *ctx, int64_t n, tn_chunk_fn body, void *arg) {
    own_hooks *h = ctx;
    h->loops++;
    for (int64_t i = n - 1; i >= 0; i--) body(arg, i, h->worker);
}

static void own_begin(void *ctx, int32_t kernel) {
    (void)kernel;
    ((own_hooks *)ctx)->begun++;
}

static void own_end(void *ctx, int32_t kernel) {
    (void)kernel;
    ((own_hooks *)ctx)->ended++;
}

static void test_own_hooks_and_times(void **state) {
    (void)state;
    static float x[5 * 784], y[5], z[10];
    tn_program *p = handmade_mlp();
    own_hooks own = {.worker = 2};
    tn_hooks hooks = {.ctx = &own, .parallel_for = own_parallel_for, .kernel_begin = own_begin, .kernel_end = own_end};
    tn_profile *profile = tn_profile_new(p);
    tn_exec *e = tn_exec_new(p, &(tn_exec_options){.hooks = &hooks, .workers = 3, .profile = profile});
    tn_tensor inputs[] = {TN_TENSOR(TN_F32, x, 5, 784), TN_TENSOR(TN_F32, y, 5), TN_TENSOR(TN_F32, z, 10)};
    for (int i = 0; i < 3; i++) assert_int_equal(tn_exec_run(e, inputs, 3, NULL, 0), TN_OK);
    assert_int_equal(own.loops, 3);
    assert_int_equal(own.begun, 6);
    assert_int_equal(own.ended, 6);
    assert_int_equal(tn_profile_calls(profile, 0), 3);
    assert_int_equal(tn_profile_calls(profile, 1), 3);
    assert_true(tn_profile_ns(profile, 0) > 0);
    assert_int_equal(tn_profile_calls(profile, 2), 0);
    assert_int_equal(tn_profile_ns(profile, -1), 0);
    tn_profile_reset(profile);
    assert_int_equal(tn_profile_calls(profile, 0), 0);
    own.worker = 3; /* no such worker: its scratch would be someone else's memory */
    assert_int_equal(tn_exec_run(e, inputs, 3, NULL, 0), TN_ERR_ARGUMENT);
    assert_string_equal(tn_exec_error(e)->message,
                        "mlp: parallel_for used a worker id that is not in [0, 3): some chunks did not run");
    own.worker = 0;
    assert_int_equal(tn_exec_run(e, inputs, 3, NULL, 0), TN_OK);
    tn_exec_free(e);
    tn_profile_free(profile);
    assert_null(tn_profile_new(NULL));
    tn_program_free(p);
}

#ifndef NO_FORK_TEST
static void test_a_child_runs_too(void **state) {
    (void)state;
    float four[4], x[ROWS * 4] = {0}, y[ROWS * 4];
    fill4(four, 1);
    tn_program *p = handmade_scale(four, four, NULL, NULL);
    tn_pool *pool = tn_pool_new(2);
    tn_program_set_pool(p, pool);
    tn_tensor input = TN_TENSOR(TN_F32, x, ROWS, 4), output = TN_TENSOR(TN_F32, y, ROWS, 4);
    assert_int_equal(tn_run(p, &input, &output), TN_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        memset(y, 0, sizeof y);
        bool right = tn_run(p, &input, &output) == TN_OK && y[ROWS * 4 - 1] == 1;
        tn_program_free(p);
        tn_pool_free(pool);
        _exit(right ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(tn_run(p, &input, &output), TN_OK);
    tn_program_free(p);
    tn_pool_free(pool);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
#ifdef COUNTS_ALLOCATIONS
        cmocka_unit_test(test_a_run_allocates_nothing),
#endif
        cmocka_unit_test(test_weights_are_replaced_while_running),
        cmocka_unit_test(test_an_exec_serves_one_at_a_time),
        cmocka_unit_test(test_weights_by_name),
        cmocka_unit_test(test_initial_weights),
        cmocka_unit_test(test_same_bits_with_any_number_of_threads),
#if defined(__SSE__) || defined(__aarch64__)
        cmocka_unit_test(test_denormals),
#endif
        cmocka_unit_test(test_own_hooks_and_times),
#ifndef NO_FORK_TEST
        cmocka_unit_test(test_a_child_runs_too),
#endif
    };
    return cmocka_run_group_tests_name("runtime_threads", tests, NULL, NULL);
}
