/* Generated tests of the compiler: every op in every dtype on random legal inputs, compiled code
 * against the interpreter.
 *
 * in:  SAMPLES applications of an op in a dtype, in one module: the samples of even number with fixed sizes,
 *      those of odd number with symbols; TN_LONG=1: fifty such modules
 * out: for each op a test. Compiled results are the interpreter's: integers and bools equal,
 *      floats within FACTOR (below); the module printed and parsed is the same; two threads give the bits of
 *      one; numbers for symbols give the same bits
 *
 * With TN_MACHINE=aarch64 in the environment results are those of that machine, on one thread (object_run.h), and
 * each op in each dtype is tried with fixed sizes or with symbols, not both.
 *
 * A failure tells the seed; TN_OP=op TN_DTYPE=f32 TN_SEED=seed build/tests/generated runs that
 * sample alone and prints its module first, or with TN_STAGE=loops the text of that stage.
 *
 * FACTOR. The interpreter's magnitude of an element is the sum of the absolute terms that went into
 * it, so that one rounding of each term is one unit roundoff of it. Functions of one element are
 * exact to 2 unit roundoffs (1 ulp; tests/ulp.c states each); the reference itself is rounded
 * once for each node; a sum of n terms in k lanes adds up to n / k + log k roundings, that
 * random signs make to about the root of it: below 6 for the at most 1,600 terms here. 8 is
 * their sum, and a term left out or counted twice differs by 1 / n of the magnitude, thousands of
 * unit roundoffs.
 */
#include "tests/lib/levels.h"
#include "tests/lib/trial.h"

#include "ir/dtype.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FACTOR 8.0

enum { SAMPLES = 20, LONG_MODULES = 50, MAX_THREADS = 2, REPORT = 6000 };

static tn_pool *pool;

/* ---- A module of samples ------------------------------------------------------------------------- */

/* Half of the samples of an op: those with fixed sizes, or those with symbols. */
typedef struct batch {
    tn_op op;
    tn_dtype dtype;
    bool symbolic;
    uint64_t seeds[SAMPLES];
    int n;
    sampler s;
    tn_graph *g;
    trial t;
    size_t first_result[SAMPLES + 1];
} batch;

static uint64_t state_of(const batch *b, uint64_t seed) {
    return seed * UINT64_C(1000003) + (uint64_t)b->op * 101 + (uint64_t)b->dtype + 7;
}

static bool open_batch(batch *b, char *message) {
    b->g = tn_graph_new("generated");
    b->s = (sampler){.dtype = b->dtype, .symbolic = b->symbolic};
    b->t = (trial){.g = b->g, .s = &b->s};
    for (int i = 0; i < b->n; i++) {
        b->s.state = state_of(b, b->seeds[i]);
        b->s.exact = b->seeds[i] / 2 % 3 == 0;
        b->first_result[i] = b->g->n_results;
        if (!sample_op(&b->s, b->g, b->op)) {
            snprintf(message, TRIAL_MESSAGE, "no sample: %.900s", b->g->module->error.message);
            return false;
        }
        if (!trial_fill(&b->t, message)) return false;
    }
    b->first_result[b->n] = b->g->n_results;
    return trial_expect(&b->t, message);
}

static void close_batch(batch *b) {
    trial_close(&b->t);
    tn_graph_free(b->g);
}

static int sample_of_result(const batch *b, size_t r) {
    int i = 0;
    while (b->first_result[i + 1] <= r) i++;
    return i;
}

/* ---- Checking a batch ------------------------------------------------------------------------------ */

/* One level for all of a module, also for the sample of it that is tried alone. */
static const char *level_of(const batch *b) {
    return level_of_seed((uint64_t)b->op + b->dtype + b->symbolic + b->seeds[0] / SAMPLES);
}

static tn_program *compile(const batch *b, tn_module *m, char *message) {
    tn_compile_options options = {.target = level_of(b), .verify_each = true};
    tn_program *p = tn_compile_module(m, &options);
    if (!p) snprintf(message, TRIAL_MESSAGE, "compile: %.900s", tn_module_error(m)->message);
    return p;
}

/* The number of the sample that is wrong; -1: none. -2: the whole module fails. */
static int check_results(batch *b, const eval_tensor *got, char *message) {
    for (size_t r = 0; r < b->g->n_results; r++) {
        comparison c = trial_compare(&b->t, r, &got[r], FACTOR);
        if (c.is_equal) continue;
        snprintf(message, TRIAL_MESSAGE, "result %zu: %s", r - b->first_result[sample_of_result(b, r)], c.message);
        return sample_of_result(b, r);
    }
    return -1;
}

static int check_same(batch *b, const eval_tensor *got, const eval_tensor *other, const char *what, char *message) {
    for (size_t r = 0; r < b->g->n_results; r++)
        if (!trial_same_bits(&got[r], &other[r])) {
            snprintf(message, TRIAL_MESSAGE, "other bits %s", what);
            return sample_of_result(b, r);
        }
    return -1;
}

static int check_threads(batch *b, tn_program *p, const eval_tensor *got, char *message) {
    tn_exec_options two = {.pool = pool};
    eval_tensor *other = trial_run(&b->t, p, &two, message);
    int wrong = other ? check_same(b, got, other, "with two threads", message) : -2;
    trial_free_results(&b->t, other);
    return wrong;
}

/* Numbers that come from sizes are folded by the interpreter when the sizes are known; its
 * functions are rounded better than those of compiled code. */
static bool computes_with_sizes(const batch *b) {
    char *text = tn_compile_text(b->g->module, NULL, "expand", NULL, NULL);
    bool found = text && strstr(text, "= dim ");
    tn_text_free(text);
    return found;
}

static int check_fixed(batch *b, const eval_tensor *got, char *message) {
    if (b->s.n_symbols == 0) return -1;
    tn_module *m = trial_fixed(&b->t, message);
    tn_program *p = m ? compile(b, m, message) : NULL;
    eval_tensor *other = p ? trial_run(&b->t, p, NULL, message) : NULL;
    int wrong = !other                   ? -2
                : computes_with_sizes(b) ? check_results(b, other, message)
                                         : check_same(b, got, other, "with numbers for symbols", message);
    trial_free_results(&b->t, other);
    tn_program_free(p);
    if (m) tn_module_free(m);
    return wrong;
}

static int check_elsewhere(batch *b, object_run *machine, char *message) {
    eval_tensor *got = trial_run_elsewhere(&b->t, machine, NULL, message);
    int wrong = got ? check_results(b, got, message) : -2;
    trial_free_results(&b->t, got);
    return wrong;
}

static int check_batch(batch *b, char *message) {
    object_run *machine = object_run_elsewhere();
    if (machine) return check_elsewhere(b, machine, message);
    if (!trial_round_trip(b->g->module, message)) return -2;
    tn_program *p = compile(b, b->g->module, message);
    eval_tensor *got = p ? trial_run(&b->t, p, NULL, message) : NULL;
    int wrong = got ? check_results(b, got, message) : -2;
    if (wrong == -1) wrong = check_threads(b, p, got, message);
    if (wrong == -1) wrong = check_fixed(b, got, message);
    trial_free_results(&b->t, got);
    tn_program_free(p);
    return wrong;
}

/* ---- Reports --------------------------------------------------------------------------------------- */

typedef struct report {
    pthread_mutex_t lock;
    int n_failed, n_checked;
    char text[REPORT];
    size_t length;
} report;

static void add_report(report *out, const batch *b, uint64_t seed, const char *message, const char *module) {
    pthread_mutex_lock(&out->lock);
    out->n_failed++;
    size_t room = sizeof out->text - out->length;
    int n = snprintf(out->text + out->length, room,
                     "%s in %s%s, seed %llu: %s\n  TN_OP=%s TN_DTYPE=%s TN_SEED=%llu build/tests/generated\n%s",
                     op_name(b->op), tn_dtype_name(b->dtype), b->symbolic ? ", symbolic" : "", (unsigned long long)seed,
                     message, op_name(b->op), tn_dtype_name(b->dtype), (unsigned long long)seed, module ? module : "");
    out->length += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
    pthread_mutex_unlock(&out->lock);
}

static void show(const batch *b) {
    const char *stage = getenv("TN_STAGE");
    char *text = stage ? tn_compile_text(b->g->module, NULL, stage, NULL, NULL) : tn_module_print(b->g->module, NULL);
    fprintf(stderr, "%s\n", text ? text : "no text");
    tn_text_free(text);
}

/* Runs the samples; when one is wrong, each alone, to report those that are. */
static void run_batch(batch *b, report *out) {
    char message[TRIAL_MESSAGE] = "";
    bool is_open = open_batch(b, message);
    if (getenv("TN_SEED")) show(b); /* before anything can crash */
    int wrong = is_open ? check_batch(b, message) : -2;
    if (wrong != -1 && b->n == 1) {
        char *text = tn_module_print(b->g->module, NULL);
        add_report(out, b, b->seeds[0], message, text);
        tn_text_free(text);
    }
    close_batch(b);
    if (wrong == -1 || b->n == 1) return;
    int before = out->n_failed;
    for (int i = 0; i < b->n; i++) {
        batch one = {.op = b->op, .dtype = b->dtype, .symbolic = b->symbolic, .seeds = {b->seeds[i]}, .n = 1};
        run_batch(&one, out);
    }
    if (out->n_failed == before)
        add_report(out, b, b->seeds[wrong < 0 ? 0 : wrong], message, "  (only together with others)\n");
}

/* ---- Work for two threads --------------------------------------------------------------------------- */

typedef struct work {
    tn_op op;
    atomic_int next;
    int n_jobs; /* (module, dtype, fixed or symbolic) */
    report *out;
} work;

/* A token goes to one effect only, so that samples of effects need modules of their own. */
static bool stands_alone(tn_op op) { return op == TN_OP_token || op_table[op].loop_class == CLASS_EFFECT; }

static void run_samples(const work *w, batch *b) {
    if (!stands_alone(w->op)) {
        run_batch(b, w->out);
    } else
        for (int i = 0; i < b->n; i++) {
            batch one = {.op = b->op, .dtype = b->dtype, .symbolic = b->symbolic, .seeds = {b->seeds[i]}, .n = 1};
            run_batch(&one, w->out);
        }
    pthread_mutex_lock(&w->out->lock);
    w->out->n_checked += b->n;
    pthread_mutex_unlock(&w->out->lock);
}

static void run_job(const work *w, int job) {
    tn_dtype dtype = (tn_dtype)(job / 2 % TN_DTYPE_COUNT);
    const char *only = getenv("TN_DTYPE"), *seed = getenv("TN_SEED");
    bool is_half = object_run_elsewhere() && !seed; /* a program takes longer to link than to run */
    if (is_half && ((int)w->op + (int)dtype + job) % 2) return;
    if (!sample_supports(w->op, dtype) || (only && strcmp(only, tn_dtype_name(dtype)) != 0)) return;
    batch b = {.op = w->op, .dtype = dtype, .symbolic = job % 2};
    uint64_t first = (uint64_t)(job / 2 / TN_DTYPE_COUNT) * SAMPLES;
    for (uint64_t k = 0; k < SAMPLES; k++)
        if (k % 2 == b.symbolic) b.seeds[b.n++] = first + k;
    if (seed) {
        b.n = 1;
        b.seeds[0] = strtoull(seed, NULL, 0);
        if (b.seeds[0] % 2 != b.symbolic) return;
    }
    run_samples(w, &b);
}

static void *run_jobs(void *arg) {
    work *w = arg;
    for (int job; (job = atomic_fetch_add(&w->next, 1)) < w->n_jobs;) run_job(w, job);
    return NULL;
}

/* Jobs go to two threads, so that two compilations run at once. */
static void test_op(void **state) {
    static report out;
    memset(&out, 0, sizeof out);
    pthread_mutex_init(&out.lock, NULL);
    int modules = getenv("TN_LONG") && !getenv("TN_SEED") ? LONG_MODULES : 1;
    work w = {.op = *(const tn_op *)*state, .n_jobs = 2 * TN_DTYPE_COUNT * modules, .out = &out};
    pthread_t threads[MAX_THREADS];
    for (int i = 0; i < MAX_THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, run_jobs, &w), 0);
    for (int i = 0; i < MAX_THREADS; i++) pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&out.lock);
    if (out.n_failed > 0) fail_msg("%d failed:\n%s", out.n_failed, out.text);
    if (out.n_checked == 0) skip();
}

static int set_up(void **state) {
    (void)state;
    pool = tn_pool_new(2);
    return pool ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    tn_pool_free(pool);
    return 0;
}

int main(void) {
    static struct CMUnitTest tests[TN_OP_COUNT];
    static tn_op ops[TN_OP_COUNT];
    const char *only = getenv("TN_OP");
    size_t n = 0;
    for (tn_op op = 0; op < TN_OP_COUNT; op++) {
        if (op == TN_OP_custom || (only && strcmp(only, op_name(op)) != 0)) continue; /* custom: tests/custom.c */
        ops[n] = op;
        tests[n] = (struct CMUnitTest){.name = op_name(op), .test_func = test_op, .initial_state = &ops[n]};
        n++;
    }
    return _cmocka_run_group_tests("generated", tests, n, set_up, tear_down);
}
