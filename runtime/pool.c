/* The thread pool.
 *
 * in:  parallel loops: n chunks and a body
 * out: each chunk done once, by some worker
 * law: one loop at a time has the threads; a loop that finds them taken, or that is called from
 *      within another, does its chunks itself; nothing is allocated; no thread outlives
 *      the last reference; a child of fork has threads of its own
 *
 * Each worker begins with its own share of the chunks, then helps with those of others. A loop's data mostly is what
 * another loop cut alike has stored before: so it lies in the cache of the core that reads it.
 *
 * The gate is how threads get at a loop: a count of those inside and a bit that says the
 * loop is open. A thread goes in only while the bit is set, and the owner leaves only when
 * the count is 0, so a loop's fields never change under a thread that looks at them, and
 * the owner never waits for a thread that is still asleep.
 *
 * A waiting thread spins, because the next loop mostly comes within microseconds, then sleeps.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include "runtime/alloc.h"
#include "runtime/tenon_rt.h"
#include "runtime/fault.h"

enum {
    MOST_WORKERS = 1024,
    MOST_SHARES = 16, /* of a loop: each is looked at by every worker */
    LINE_BYTES = 64,
};

/* How long to spin before sleeping, in rounds of pause; longer waits cost a wake-up of some 50 us. */
enum { SPIN_ROUNDS = 2000 };

#define GATE_OPEN (UINT64_C(1) << 32)

typedef struct pool_thread {
    struct tn_pool *pool;
    pthread_t handle;
    int32_t worker;
} pool_thread;

/* Chunks [next, end) are still to be handed out; next may have passed the end. */
typedef struct pool_share { /* NOLINT(clang-analyzer-optin.performance.Padding): the same as below */
    _Alignas(LINE_BYTES) _Atomic int64_t next;
    int64_t end;
} pool_share;

struct tn_pool { /* NOLINT(clang-analyzer-optin.performance.Padding): lines are kept apart on purpose */
    atomic_int references;
    int32_t workers; /* n_threads + 1: the caller of a loop works too */
    int32_t n_threads;
    pool_thread *threads;
    bool may_spin; /* more CPUs than workers would fight over */

    /* What a loop is; changed only by the owner of `is_busy` while the gate is closed and empty, but for the shares'
     * `next`. */
    pool_share shares[MOST_SHARES];
    _Alignas(LINE_BYTES) tn_chunk_fn body;
    void *arg;
    int32_t n_shares;
    _Atomic uint64_t gate; /* who goes in has read the line that says what the loop is */
    _Alignas(LINE_BYTES) atomic_bool is_busy;
    atomic_int process;                          /* the threads live in this one; -1: being made */
    _Alignas(LINE_BYTES) _Atomic uint32_t epoch; /* counts loops, so that sleepers see a new one */
    atomic_int sleepers;
    atomic_bool must_stop;
    pthread_mutex_t lock; /* for sleeping only */
    pthread_cond_t wake;
};

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- Processes ------------------------------------------------------------------------------ */

/* Each loop asks whether the threads are still in its process, so that must not take a call of the system, as getpid
 * is: processes are numbered by the forks between the first one and them, counted by the children. */
static atomic_int forks;
static pthread_once_t fork_watch = PTHREAD_ONCE_INIT;
static int fork_watch_error;

static void count_fork(void) { atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed); }
static void watch_forks(void) { fork_watch_error = pthread_atfork(NULL, NULL, count_fork); }
static int this_process(void) { return atomic_load_explicit(&forks, memory_order_relaxed); }

/* ---- Threads -------------------------------------------------------------------------------- */

static void cut_into_shares(tn_pool *p, int64_t n) {
    int64_t n_shares = p->workers < MOST_SHARES ? p->workers : MOST_SHARES;
    if (n_shares > n) n_shares = n;
    int64_t each = n / n_shares, larger = n % n_shares, first = 0;
    for (int64_t i = 0; i < n_shares; i++) {
        atomic_store_explicit(&p->shares[i].next, first, memory_order_relaxed);
        first += each + (i < larger && !FAULT(chunk_rest));
        p->shares[i].end = first;
    }
    if (FAULT(last_chunk) && each > 1) p->shares[n_shares - 1].end--;
    if (FAULT(odd_workers) && n_shares == 3) p->shares[0].end--;
    p->n_shares = (int32_t)n_shares;
}

static void do_share(tn_pool *p, pool_share *s, int32_t worker) {
    int64_t end = s->end, chunk;
    if (atomic_load_explicit(&s->next, memory_order_relaxed) >= end) return; /* leaves the line where it is */
    while ((chunk = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed)) < end) p->body(p->arg, chunk, worker);
}

static void do_chunks(tn_pool *p, int32_t worker) {
    int32_t n = p->n_shares, own = worker * n / p->workers;
    for (int32_t i = own; i < n; i++) do_share(p, &p->shares[i], worker);
    for (int32_t i = 0; i < own; i++) do_share(p, &p->shares[i], worker);
}

static bool gate_enter(tn_pool *p) {
    uint64_t gate = atomic_load_explicit(&p->gate, memory_order_relaxed);
    while (gate & GATE_OPEN)
        if (atomic_compare_exchange_weak_explicit(&p->gate, &gate, gate + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

/* Waits until the epoch is another than `seen` and returns it. */
static uint32_t wait_for_loop(tn_pool *p, uint32_t seen) {
    uint32_t now;
    for (int i = 0; i < (p->may_spin ? SPIN_ROUNDS : 0); i++) {
        if ((now = atomic_load(&p->epoch)) != seen) return now;
        pause_briefly();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1); /* before looking again: see wake_threads */
    while ((now = atomic_load(&p->epoch)) == seen) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
    return now;
}

/* Says that there is something new. Either this sees a sleeper's count, or the sleeper, who
 * counts himself first, sees the new epoch. */
static void wake_threads(tn_pool *p, int64_t wanted) {
    atomic_fetch_add(&p->epoch, 1);
    int asleep = atomic_load(&p->sleepers);
    if (asleep == 0) return;
    pthread_mutex_lock(&p->lock);
    if (wanted >= asleep)
        pthread_cond_broadcast(&p->wake);
    else
        for (int64_t i = 0; i < wanted; i++) pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static void *thread_main(void *arg) {
    pool_thread *self = arg;
    tn_pool *p = self->pool;
    uint32_t seen = 0;
    while (!atomic_load(&p->must_stop)) {
        if (gate_enter(p)) {
            do_chunks(p, self->worker);
            atomic_fetch_sub_explicit(&p->gate, 1, memory_order_release);
        }
        seen = wait_for_loop(p, seen);
    }
    return NULL;
}

/* Starts as many threads as the system gives, up to `wanted`. The process field is left alone. */
static void start_threads(tn_pool *p, int32_t wanted) {
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    atomic_store(&p->gate, 0);
    atomic_store(&p->epoch, 0);
    atomic_store(&p->sleepers, 0);
    atomic_store(&p->must_stop, false);
    p->may_spin = tn_cpu_count() > wanted; /* before the threads look */
    p->n_threads = 0;
    sigset_t all, before; /* signals are for the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int32_t i = 0; i < wanted; i++) {
        pool_thread *t = &p->threads[i];
        *t = (pool_thread){.pool = p, .worker = i + 1};
        if (pthread_create(&t->handle, NULL, thread_main, t) != 0) break;
        p->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop_threads(tn_pool *p) {
    atomic_store(&p->must_stop, true);
    wake_threads(p, INT64_MAX);
    for (int32_t i = 0; i < p->n_threads; i++) pthread_join(p->threads[i].handle, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
}

/* ---- Loops ------------------------------------------------------------------------------------ */

/* The id under which the calling thread works for this pool already, else 0. */
static int32_t current_worker(const tn_pool *p) {
    pthread_t self = pthread_self();
    for (int32_t i = 0; i < p->n_threads; i++)
        if (pthread_equal(p->threads[i].handle, self)) return p->threads[i].worker;
    return 0;
}

static void run_inline(int32_t worker, int64_t n, tn_chunk_fn body, void *arg) {
    for (int64_t i = 0; i < n; i++) body(arg, i, worker);
}

/* In the child of a fork the threads are gone, and whatever state they were in with them: the
 * first loop makes new ones, others at that moment run inline. False: run inline. */
static bool threads_are_here(tn_pool *p) {
    int mine = this_process(), known = atomic_load_explicit(&p->process, memory_order_acquire);
    if (known == mine) return true;
    if (known == -1 || !atomic_compare_exchange_strong(&p->process, &known, -1)) return false;
    int32_t wanted = p->n_threads;
    atomic_store(&p->is_busy, false);
    start_threads(p, wanted);
    atomic_store(&p->process, mine);
    return true;
}

/* Until no thread is inside; or until there are none, in a child forked by a chunk. */
static void wait_until_empty(tn_pool *p) {
    int rounds = 0;
    while (atomic_load_explicit(&p->gate, memory_order_acquire) != 0) {
        if (p->may_spin && rounds < SPIN_ROUNDS) {
            rounds++;
            pause_briefly();
        } else {
            if (atomic_load(&p->process) != this_process()) return;
            sched_yield();
        }
    }
}

void tn_pool_parallel_for(tn_pool *pool, int64_t n, tn_chunk_fn body, void *arg) {
    if (n <= 0 || body == NULL) return;
    if (pool == NULL || pool->workers == 1 || !threads_are_here(pool)) {
        run_inline(0, n, body, arg);
        return;
    }
    if (n == 1 || atomic_load_explicit(&pool->is_busy, memory_order_relaxed) ||
        atomic_exchange_explicit(&pool->is_busy, true, memory_order_acquire)) {
        run_inline(current_worker(pool), n, body, arg);
        return;
    }
    pool->body = body;
    pool->arg = arg;
    cut_into_shares(pool, n);
    atomic_store_explicit(&pool->gate, GATE_OPEN, memory_order_release);
    wake_threads(pool, n - 1);
    do_chunks(pool, 0);
    atomic_fetch_and_explicit(&pool->gate, ~GATE_OPEN, memory_order_relaxed);
    wait_until_empty(pool);
    atomic_store_explicit(&pool->is_busy, false, memory_order_release);
}

static void hook_parallel_for(void *ctx, int64_t n, tn_chunk_fn body, void *arg) {
    tn_pool_parallel_for(ctx, n, body, arg);
}

tn_hooks tn_pool_hooks(tn_pool *pool) { return (tn_hooks){.ctx = pool, .parallel_for = hook_parallel_for}; }

/* ---- The pool as an object ---------------------------------------------------------------------- */

tn_pool *tn_pool_new(int threads) {
    if (threads < 0 || threads > MOST_WORKERS) return NULL;
    if (threads == 0) threads = tn_cpu_count();
    if (threads > MOST_WORKERS) threads = MOST_WORKERS;
    pthread_once(&fork_watch, watch_forks);
    if (fork_watch_error != 0) return NULL;
    tn_pool *p = tn_aligned_alloc(LINE_BYTES, sizeof *p);
    if (p == NULL) return NULL;
    *p = (tn_pool){.workers = threads};
    atomic_init(&p->references, 1);
    p->threads = tn_calloc((size_t)threads, sizeof *p->threads);
    if (p->threads == NULL) {
        tn_free(p);
        return NULL;
    }
    start_threads(p, threads - 1);
    p->workers = p->n_threads + 1;
    atomic_store(&p->process, this_process());
    return p;
}

tn_pool *tn_pool_retain(tn_pool *pool) {
    if (pool != NULL) atomic_fetch_add(&pool->references, 1);
    return pool;
}

void tn_pool_free(tn_pool *pool) {
    if (pool == NULL || atomic_fetch_sub(&pool->references, 1) != 1) return;
    if (atomic_load(&pool->process) == this_process()) stop_threads(pool);
    tn_free(pool->threads);
    tn_free(pool);
}

int32_t tn_pool_workers(const tn_pool *pool) { return pool == NULL ? 1 : pool->workers; }
