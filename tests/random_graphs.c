/* Random graphs: compiled code against the interpreter, whole and kernel by kernel.
 *
 * in:  GRAPHS graphs of 5 to 60 nodes (TN_LONG=1: 5,000). Half are exact, small integers in
 *      floats, and must agree bit for bit; half are continuous and agree within FACTOR of the magnitudes. A
 *      third are wrapped in control flow, a third have symbols
 * out: fused and unfused programs give the interpreter's results; with two threads the same
 *      bits; every kernel's loop tree passes lt_verify and, run by lt_eval on inputs of its own, gives
 *      what the interpreter makes of the kernel's function, for vectors of 16, 32 and 64 bytes
 *
 * With TN_MACHINE=aarch64 in the environment programs run on that machine, on one thread (object_run.h).
 *
 * A failure tells the seed; TN_SEED=seed build/tests/random_graphs runs that graph alone and prints it.
 *
 * FACTOR is that of tests/generated.c: magnitudes carry the roundings of every node on the way to
 * an element, so that it does not grow with the graph.
 */
#include "tests/lib/levels.h"
#include "tests/lib/trial.h"

#include "compiler/loops/loops.h"
#include "compiler/passes/passes.h"
#include "ir/dtype.h"
#include "ir/samples_shape.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FACTOR 8.0

enum { GRAPHS = 200, LONG_GRAPHS = 5000, MAX_THREADS = 2, REPORT = 8000, MAX_VALUES = 64, MOST_ELEMENTS = 20000 };

static tn_pool *pool;

/* ---- Control flow around a random function --------------------------------------------------------- */

static tn_val like_param(tn_graph *g, const char *name, const tn_graph *f, size_t i) {
    const tn_type *type = &f->params[i].type;
    tn_shape shape = {.rank = type->rank};
    for (int axis = 0; axis < type->rank; axis++) {
        int64_t number = 0;
        const char *symbol = dim_symbol_name(g->module->dims, type->dims[axis]);
        if (!symbol) dim_is_const(g->module->dims, type->dims[axis], &number);
        shape.dims[axis] = symbol ? TN_DIM(symbol) : TN_SIZE(number);
    }
    return tn_input(g, name, (tn_dtype)type->dtype, shape);
}

static size_t like_params(tn_graph *g, const tn_graph *f, tn_val *values) {
    for (size_t i = 0; i < f->n_params && i < MAX_VALUES; i++) {
        char name[32];
        snprintf(name, sizeof name, "a%zu", i);
        values[i] = like_param(g, name, f, i);
    }
    return f->n_params;
}

static void output_all(tn_graph *g, tn_val first, size_t n, bool flipped) {
    for (size_t i = 0; i < n; i++) {
        char name[32];
        tn_val v = tn_result(first, (int)i);
        snprintf(name, sizeof name, "y%zu", i);
        tn_output(g, name, flipped ? tn_neg(v) : v);
    }
}

/* A small number out of all results of a call: sums, kept within [-2, 2]. */
static tn_val digest(tn_graph *g, tn_val first, size_t n, tn_dtype dtype) {
    tn_val all = tn_scalar(g, dtype, 0);
    for (size_t i = 0; i < n; i++) {
        tn_val v = tn_result(first, (int)i);
        int64_t axes[TN_MAX_RANK];
        if (tn_type_of(v).dtype != dtype) continue;
        for (int k = 0; k < tn_rank(v); k++) axes[k] = k;
        v = tn_max_scalar(tn_min_scalar(tn_reduce("max", v, ((tn_ints){tn_rank(v), axes}), false), 2), -2);
        all = tn_max(all, tn_neg(v));
    }
    return all;
}

static void wrap_call(sampler *s, tn_graph *g, tn_graph *f) {
    tn_val a[MAX_VALUES];
    int n = (int)like_params(g, f, a);
    tn_val once = tn_call(g, f, a, n);
    (void)s;
    output_all(g, once, f->n_results, false);
}

static void wrap_if(sampler *s, tn_graph *g, tn_graph *f) {
    tn_graph *other = tn_graph_sub(g, "other");
    tn_val a[MAX_VALUES];
    int n = (int)like_params(other, f, a);
    output_all(other, tn_call(other, f, a, n), f->n_results, true);
    like_params(g, f, a);
    tn_val condition = tn_input(g, "condition", TN_BOOL, TN_SCALAR);
    tn_val y = sampler_chance(s, 50) ? tn_if(condition, f, other, a, n) : tn_if(condition, other, f, a, n);
    output_all(g, y, f->n_results, sampler_chance(s, 30));
}

/* Three steps of a0 = a0 / 2 + digest(f(a...)) (exact: min(max(a0 + digest, -4), 4)). */
static tn_val next_of(sampler *s, tn_val x, tn_val change) {
    tn_type type = tn_type_of(x);
    tn_val wide = tn_broadcast_to(change, type.rank, type.dims);
    if (s->exact) return tn_max_scalar(tn_min_scalar(tn_add(x, wide), 4), -4);
    return tn_add(tn_mul_scalar(x, 0.5), wide);
}

static void wrap_while(sampler *s, tn_graph *g, tn_graph *f) {
    tn_graph *cond = tn_graph_sub(g, "cond"), *body = tn_graph_sub(g, "body");
    tn_val a[MAX_VALUES + 1];
    a[0] = tn_input(cond, "i", TN_I64, TN_SCALAR);
    size_t n = like_params(cond, f, a + 1);
    tn_output(cond, "more", tn_less(a[0], tn_scalar_int(cond, TN_I64, sampler_range(s, 0, 3))));
    a[0] = tn_input(body, "i", TN_I64, TN_SCALAR);
    like_params(body, f, a + 1);
    tn_val change = digest(body, tn_call(body, f, a + 1, (int)n), f->n_results, s->dtype);
    tn_output(body, "i", tn_add_scalar(a[0], 1));
    tn_output(body, "x", next_of(s, a[1], change));
    for (size_t i = 1; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "same%zu", i);
        tn_output(body, name, a[i + 1]);
    }
    a[0] = tn_scalar_int(g, TN_I64, 0);
    like_params(g, f, a + 1);
    output_all(g, tn_while(cond, body, a, (int)n + 1), n + 1, false);
}

/* Carries parameter 0; a sequence of numbers is added to it, and the digests come out. */
static void wrap_scan(sampler *s, tn_graph *g, tn_graph *f) {
    tn_graph *body = tn_graph_sub(g, "body");
    tn_val a[MAX_VALUES] = {{0}}, x[MAX_VALUES];
    size_t n = like_params(body, f, a);
    tn_val number = tn_input(body, "number", s->dtype, TN_SCALAR);
    tn_val change = digest(body, tn_call(body, f, a, (int)n), f->n_results, s->dtype);
    tn_output(body, "x", next_of(s, a[0], tn_max_scalar(tn_min_scalar(tn_add(change, number), 2), -2)));
    for (size_t i = 1; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "same%zu", i);
        tn_output(body, name, a[i]);
    }
    tn_output(body, "change", change);
    like_params(g, f, x);
    tn_val numbers = tn_input(g, "numbers", s->dtype, TN_SHAPE(TN_SIZE(sampler_range(s, 0, 4))));
    tn_val y = tn_scan(body, x, (int)n, &numbers, 1, tn_dim_of(numbers, 0), sampler_chance(s, 50));
    output_all(g, y, n + 1, false);
}

static bool build(sampler *s, tn_graph *g) {
    static void (*const wraps[])(sampler *, tn_graph *, tn_graph *) = {wrap_call, wrap_if, wrap_while, wrap_scan};
    int n_nodes = (int)sampler_range(s, 5, 60);
    if (!sampler_chance(s, 33)) return sample_graph(s, g, n_nodes);
    tn_graph *f = tn_graph_sub(g, "part");
    if (!sample_graph(s, f, n_nodes) || f->n_params > MAX_VALUES) return false;
    wraps[sampler_range(s, 0, 3)](s, g, f);
    return g->n_results > 0 && !tn_graph_error(g);
}

/* ---- Whole graphs ------------------------------------------------------------------------------------ */

typedef struct random_graph {
    uint64_t seed;
    sampler s;
    tn_graph *g;
    trial t;
    char message[TRIAL_MESSAGE];
} random_graph;

static bool wrong(random_graph *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(random_graph *r, const char *format, ...) {
    char text[TRIAL_MESSAGE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(r->message, text, sizeof text);
    return false;
}

static double factor_of(const random_graph *r) { return r->s.exact ? 0 : FACTOR; }

static bool check_results(random_graph *r, const eval_tensor *got, const char *how) {
    for (size_t k = 0; k < r->g->n_results; k++) {
        comparison c = trial_compare(&r->t, k, &got[k], factor_of(r));
        if (!c.is_equal) return wrong(r, "%s: result %zu: %s", how, k, c.message);
    }
    return true;
}

static bool check_threads(random_graph *r, tn_program *p, const eval_tensor *got) {
    tn_exec_options two = {.pool = pool};
    char message[TRIAL_MESSAGE];
    eval_tensor *other = trial_run(&r->t, p, &two, message);
    if (!other) return wrong(r, "two threads: %.900s", message);
    bool same = true;
    for (size_t k = 0; k < r->g->n_results; k++) same = same && trial_same_bits(&got[k], &other[k]);
    trial_free_results(&r->t, other);
    return same || wrong(r, "other bits with two threads");
}

static bool check_elsewhere(random_graph *r, object_run *on, const tn_compile_options *options, const char *how) {
    char message[TRIAL_MESSAGE] = "";
    eval_tensor *got = trial_run_elsewhere(&r->t, on, options, message);
    bool ok = got ? check_results(r, got, how) : wrong(r, "%s: %.900s", how, message);
    trial_free_results(&r->t, got);
    return ok;
}

static bool check_program(random_graph *r, const tn_compile_options *options, const char *how) {
    char message[TRIAL_MESSAGE] = "";
    object_run *machine = object_run_elsewhere();
    if (machine) return check_elsewhere(r, machine, options, how);
    tn_program *p = tn_compile_module(r->g->module, options);
    if (!p) return wrong(r, "%s: compile: %.900s", how, tn_module_error(r->g->module)->message);
    eval_tensor *got = trial_run(&r->t, p, NULL, message);
    bool ok = got ? check_results(r, got, how) && check_threads(r, p, got) : wrong(r, "%s: %.900s", how, message);
    trial_free_results(&r->t, got);
    tn_program_free(p);
    return ok;
}

/* ---- Kernel by kernel ----------------------------------------------------------------------------------- */

static bool extents_of(const random_graph *r, const tn_graph *caller, const node *call, const tn_graph *kernel,
                       int64_t *extents) {
    const tn_dim *dims = node_callee_symbols(call, kernel);
    for (size_t i = 0; dims && i < kernel->n_symbols; i++)
        if ((extents[i] = sampler_value(&r->s, caller, dims[i])) < 0) return false;
    return dims != NULL;
}

typedef struct extent_look {
    const tn_graph *kernel;
    const int64_t *extents;
} extent_look;

static bool look_up(void *ctx, tn_dim leaf, int64_t *value) {
    const extent_look *look = ctx;
    for (size_t i = 0; i < look->kernel->n_symbols; i++)
        if (look->kernel->symbols[i].dim == leaf) {
            *value = look->extents[i];
            return true;
        }
    return false;
}

static bool open_tensor(const tn_graph *kernel, const int64_t *extents, value_id v, eval_tensor *t) {
    const tn_type *type = graph_type(kernel, v);
    extent_look look = {kernel, extents};
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < type->rank; i++)
        if (!dim_eval(kernel->module->dims, type->dims[i], look_up, &look, &dims[i])) return false;
    *t = tensor_view((tn_dtype)type->dtype, type->rank, dims, NULL);
    t->borrowed = false;
    t->data = t->n <= MOST_ELEMENTS ? tn_calloc((size_t)t->n + 1, 8) : NULL;
    return t->data != NULL;
}

/* lt_eval is slow: kernels of large tensors run as parts of the program only. */
static bool is_large(const eval_tensor *t, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (t[i].n > MOST_ELEMENTS) return true;
    return false;
}

static void fill(random_graph *r, eval_tensor *t) {
    for (int64_t k = 0; k < t->n; k++) {
        int64_t small = sampler_range(&r->s, -4, 4);
        if (t->dtype == TN_BOOL)
            eval_store_int(t, k, small & 1);
        else if (!dtype_is_float(t->dtype))
            eval_store_int(t, k, 0); /* an index, perhaps */
        else
            eval_store_float(t, k, r->s.exact ? (double)small : 0.5 + sampler_unit(&r->s));
    }
}

static bool run_loops(random_graph *r, const tn_graph *kernel, const lt_kernel *k, const int64_t *extents,
                      const eval_tensor *in, const eval_tensor *want) {
    eval_tensor out[MAX_VALUES] = {{0}};
    void *buffers[2 * MAX_VALUES];
    tn_diag diag = {0};
    bool ok = true;
    for (size_t i = 0; i < kernel->n_params; i++) buffers[i] = in[i].data;
    for (size_t i = 0; i < kernel->n_results && ok; i++) {
        if (!open_tensor(kernel, extents, kernel->results[i].value, &out[i])) ok = wrong(r, "no memory for a result");
        buffers[kernel->n_params + i] = out[i].data;
    }
    if (ok && lt_eval(k, buffers, extents, &diag) != TN_OK) ok = wrong(r, "lt_eval: %.900s", diag.message);
    for (size_t i = 0; i < kernel->n_results && ok; i++) {
        comparison c = compare_tensors(&out[i], &want[i], factor_of(r));
        if (!c.is_equal) ok = wrong(r, "kernel %s (%s), result %zu: %s", k->name, k->class_name, i, c.message);
    }
    for (size_t i = 0; i < kernel->n_results; i++) eval_tensor_free(&out[i]);
    return ok;
}

static bool lower_and_run(random_graph *r, tn_graph *kernel, const int64_t *extents, const eval_tensor *in,
                          const eval_tensor *want) {
    for (int bytes = 16; bytes <= 64; bytes *= 2) {
        machine m = {.vector_bytes = bytes,
                     .vector_count = 16,
                     .has_fma = true,
                     .l1_bytes = 32 << 10,
                     .l2_bytes = 512 << 10,
                     .l3_bytes = 8 << 20,
                     .tile_f32 = {6, 2 * bytes / 4},
                     .tile_f64 = {6, 2 * bytes / 8}};
        tn_diag diag = {0};
        lt_kernel *k = lt_lower(kernel, &m);
        if (!k) return wrong(r, "lower: %.900s", kernel->module->error.message);
        if (!lt_verify(k, &diag)) return wrong(r, "lt_verify: %.900s", diag.message);
        if (!run_loops(r, kernel, k, extents, in, want)) return false;
    }
    return true;
}

/* A kernel whose symbols are not all sizes of its operands cannot be run alone. */
static bool binds_symbols(const tn_graph *kernel) {
    for (size_t s = 0; s < kernel->n_symbols; s++) {
        bool found = false;
        for (size_t i = 0; i < kernel->n_params; i++)
            for (int k = 0; k < kernel->params[i].type.rank; k++)
                found |= kernel->params[i].type.dims[k] == kernel->symbols[s].dim;
        if (!found) return false;
    }
    return true;
}

static bool check_kernel(random_graph *r, tn_graph *kernel, const int64_t *extents) {
    eval_tensor in[MAX_VALUES] = {{0}}, want[MAX_VALUES] = {{0}};
    eval_options options = {.magnitudes = true, .max_elements = 1 << 24, .max_steps = 1 << 20};
    tn_diag diag = {0};
    bool small = kernel->n_params <= MAX_VALUES && kernel->n_results <= MAX_VALUES && binds_symbols(kernel);
    for (size_t i = 0; small && i < kernel->n_params; i++) {
        small = open_tensor(kernel, extents, kernel->params[i].value, &in[i]);
        if (small) fill(r, &in[i]);
    }
    bool ok = true;
    if (small) {
        if (eval_graph(kernel, in, want, &options, &diag) != TN_OK)
            ok = wrong(r, "kernel %s: the interpreter: %.900s", kernel->name, diag.message);
        else if (!is_large(want, kernel->n_results))
            ok = lower_and_run(r, kernel, extents, in, want);
    }
    for (size_t i = 0; i < MAX_VALUES; i++) {
        eval_tensor_free(&in[i]);
        eval_tensor_free(&want[i]);
    }
    return ok;
}

static bool check_kernels(random_graph *r) {
    tn_module *m = module_clone(r->g->module);
    pass_options o = {0};
    bool ok = m != NULL;
    for (size_t i = 0; ok && i < n_passes; i++)
        if (!pass_table[i].run(m, &o)) ok = wrong(r, "%s: %.900s", pass_table[i].name, m->error.message);
    for (size_t i = 0; ok && i < m->n_graphs; i++) {
        const tn_graph *g = m->graphs[i];
        for (size_t n = 0; ok && n < g->n_nodes; n++) {
            const attr *callee = attr_find(&g->nodes[n].attrs, ATTR_callee);
            int64_t extents[64];
            if (callee && callee->func->is_kernel && callee->func->n_symbols <= 64 &&
                extents_of(r, g, &g->nodes[n], callee->func, extents))
                ok = check_kernel(r, callee->func, extents);
        }
    }
    if (m) tn_module_free(m);
    return ok;
}

/* ---- One graph -------------------------------------------------------------------------------------------- */

static bool check_graph(random_graph *r) {
    static const tn_dtype dtypes[] = {TN_F32, TN_F64, TN_F32, TN_F16};
    tn_compile_options fused = {.target = level_of_seed(r->seed / 2), .verify_each = true}, unfused = fused;
    unfused.no_fusion = true;
    r->s = (sampler){.state = r->seed * UINT64_C(0x9e3779b97f4a7c15) + 17,
                     .dtype = dtypes[r->seed % 4],
                     .symbolic = r->seed % 3 == 1,
                     .exact = r->seed % 2 == 0};
    if (r->s.exact) r->s.dtype = r->seed % 4 ? TN_F64 : TN_F32;
    r->g = tn_graph_new("random");
    r->t = (trial){.g = r->g, .s = &r->s};
    if (!build(&r->s, r->g)) return wrong(r, "build: %.900s", r->g->module->error.message);
    if (getenv("TN_SEED")) {
        char *text = tn_module_print(r->g->module, NULL);
        fprintf(stderr, "%s\n", text ? text : "no text");
        tn_text_free(text);
    }
    return trial_fill(&r->t, r->message) && trial_expect(&r->t, r->message) &&
           trial_round_trip(r->g->module, r->message) && check_kernels(r) && check_program(r, &fused, "fused") &&
           check_program(r, &unfused, "unfused");
}

/* ---- All -------------------------------------------------------------------------------------------------- */

typedef struct work {
    atomic_int next;
    int n;
    pthread_mutex_t lock;
    int n_failed;
    char text[REPORT];
    size_t length;
} work;

static void run_one(work *w, uint64_t seed) {
    random_graph r = {.seed = seed};
    if (!check_graph(&r)) {
        pthread_mutex_lock(&w->lock);
        size_t room = sizeof w->text - w->length;
        int n = snprintf(w->text + w->length, room,
                         "graph %llu (%zu nodes, %s%s): %s\n  TN_SEED=%llu build/tests/random_graphs\n",
                         (unsigned long long)seed, r.g->n_nodes, r.s.exact ? "exact" : "continuous",
                         r.s.symbolic ? ", symbolic" : "", r.message, (unsigned long long)seed);
        w->length += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
        w->n_failed++;
        pthread_mutex_unlock(&w->lock);
    }
    trial_close(&r.t);
    tn_graph_free(r.g);
}

static void *run_all(void *arg) {
    work *w = arg;
    const char *seed = getenv("TN_SEED");
    for (int i; (i = atomic_fetch_add(&w->next, 1)) < w->n;) run_one(w, seed ? strtoull(seed, NULL, 0) : (uint64_t)i);
    return NULL;
}

static void test_random_graphs(void **state) {
    static work w;
    pthread_t threads[MAX_THREADS];
    (void)state;
    w.n = getenv("TN_SEED") ? 1 : getenv("TN_LONG") ? LONG_GRAPHS : GRAPHS;
    pthread_mutex_init(&w.lock, NULL);
    pool = tn_pool_new(2);
    assert_non_null(pool);
    for (int i = 0; i < MAX_THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, run_all, &w), 0);
    for (int i = 0; i < MAX_THREADS; i++) pthread_join(threads[i], NULL);
    tn_pool_free(pool);
    pthread_mutex_destroy(&w.lock);
    if (w.n_failed > 0) fail_msg("%d failed:\n%s", w.n_failed, w.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_graphs)};
    return cmocka_run_group_tests_name("random_graphs", tests, NULL, NULL);
}
