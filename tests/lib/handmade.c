/* Programs written by hand: see handmade.h. */
#include "tests/lib/handmade.h"

#include <string.h>

#define CONSTANT(n) {TN_DIM_CONSTANT, (n), NULL}
#define SYMBOL(i) {TN_DIM_SYMBOL, (i), NULL}
#define EXPRESSION(text) {TN_DIM_EXPRESSION, 0, (text)}

/* A table in the program's memory: a copy of the array `items`. Strings are literals and stay. */
#define TABLE(p, field, count, ...)                                                                                    \
    do {                                                                                                               \
        __typeof__(*(p)->field) items[] = {__VA_ARGS__};                                                               \
        (p)->count = sizeof items / sizeof *items;                                                                     \
        (p)->field = arena_alloc(&(p)->memory, (p)->count, sizeof *items);                                             \
        if ((p)->field == NULL) goto no_memory;                                                                        \
        memcpy((p)->field, items, sizeof items);                                                                       \
    } while (0)

static tn_program *sealed(tn_program *p) {
    if (program_seal(p, NULL) == TN_OK) return p;
    tn_program_free(p);
    return NULL;
}

static void for_each(const tn_frame *f, int64_t n, tn_chunk_fn body, void *arg) {
    if (f->hooks != NULL && f->hooks->parallel_for != NULL) {
        f->hooks->parallel_for(f->hooks->ctx, n, body, arg);
        return;
    }
    for (int64_t i = 0; i < n; i++) body(arg, i, 0);
}

static void kernel_begin(const tn_frame *f, int32_t kernel) {
    if (f->hooks != NULL && f->hooks->kernel_begin != NULL) f->hooks->kernel_begin(f->hooks->ctx, kernel);
}

static void kernel_end(const tn_frame *f, int32_t kernel) {
    if (f->hooks != NULL && f->hooks->kernel_end != NULL) f->hooks->kernel_end(f->hooks->ctx, kernel);
}

static int32_t check_frame(const tn_frame *f) {
    return f->version != TN_FRAME_VERSION ? 1 : f->size < sizeof *f ? 2 : 0;
}

static void report(const tn_frame *f, int32_t worker, uint64_t site, uint64_t index) {
    uint64_t word = site << TN_STATUS_INDEX_BITS | index, *mine = f->status + worker * 8;
    if (word < *mine) *mine = word;
}

/* ---- mlp ------------------------------------------------------------------------------------------- */

enum { MLP_SCRATCH = 64 };

static int32_t mlp_bind(const int64_t *symbols, int64_t *bound) {
    int64_t n = symbols[0];
    const int64_t values[] = {n * (int64_t)sizeof(float), MLP_SCRATCH, n, 784, n, 2 * n, n, 3};
    memcpy(bound, values, sizeof values);
    return n == 13 ? 1 : 0;
}

static void mlp_row(void *arg, int64_t i, int32_t worker) {
    const tn_frame *f = arg;
    const float *x = f->inputs[0], *y = f->inputs[1], *z = f->inputs[2];
    float *sum = (float *)(f->scratch + worker * MLP_SCRATCH), *rows = (float *)f->arena;
    float *probs = f->outputs[0];
    *sum = 0;
    for (int k = 0; k < 784; k++) *sum += x[i * 784 + k];
    rows[i] = *sum + y[i] + z[2 * i] + z[2 * i + 1];
    for (int j = 0; j < 3; j++) probs[i * 3 + j] = rows[i] + (float)j;
}

static int32_t mlp_run(const tn_frame *f) {
    int32_t refused = check_frame(f);
    if (refused != 0) return refused;
    kernel_begin(f, 0);
    for_each(f, f->symbols[0], mlp_row, (void *)(uintptr_t)f);
    kernel_end(f, 0);
    kernel_begin(f, 1);
    const float *probs = f->outputs[0];
    float *total = f->outputs[1];
    *total = 0;
    for (int64_t i = 0; i < f->symbols[0] * 3; i++) *total += probs[i];
    kernel_end(f, 1);
    return 0;
}

tn_program *handmade_mlp(void) {
    tn_program *p = program_new("mlp");
    if (p == NULL) return NULL;
    TABLE(p, inputs, n_inputs, {"x", TN_F32, 2, {SYMBOL(0), CONSTANT(784)}, -1}, {"y", TN_F32, 1, {SYMBOL(0)}, -1},
          {"z", TN_F32, 1, {EXPRESSION("2*n")}, -1});
    TABLE(p, outputs, n_outputs, {"probs", TN_F32, 2, {SYMBOL(0), CONSTANT(3)}, -1},
          {"total", TN_F32, 0, {CONSTANT(0)}, -1});
    TABLE(p, symbols, n_symbols, {"n", 1, 100, 1});
    TABLE(p, constraints, n_constraints, {"mlp.c:9: reshape: n must not be 13"});
    TABLE(p, kernels, n_kernels, {"rows", "reduce", "mlp.c:5", "reduce mlp.c:5", -1},
          {"total", "reduce", "mlp.c:6", "reduce mlp.c:6", -1});
    p->bind = mlp_bind;
    p->run = mlp_run;
    return sealed(p);
no_memory:
    tn_program_free(p);
    return NULL;
}

/* ---- scale ------------------------------------------------------------------------------------------ */

static int32_t scale_prepare_run(const tn_frame *f) {
    const float *w = f->inputs[0];
    float *doubled = f->outputs[0];
    for (int j = 0; j < 4; j++) doubled[j] = 2 * w[j];
    return 0;
}

static int32_t scale_bind(const int64_t *symbols, int64_t *bound) {
    const int64_t values[] = {0, 0, symbols[0], 4, symbols[0], 4};
    memcpy(bound, values, sizeof values);
    return 0;
}

static void scale_row(void *arg, int64_t i, int32_t worker) {
    const tn_frame *f = arg;
    const float *x = f->inputs[0], *doubled = f->weights[0], *b = f->weights[1];
    float *y = f->outputs[0];
    (void)worker;
    for (int j = 0; j < 4; j++) y[i * 4 + j] = x[i * 4 + j] * doubled[j] + b[j];
}

static int32_t scale_run(const tn_frame *f) {
    for_each(f, f->symbols[0], scale_row, (void *)(uintptr_t)f);
    return 0;
}

tn_program *handmade_scale(const float *w, const float *b, void (*release)(void *), void *ctx) {
    tn_program *p = program_new("scale");
    if (p == NULL) return NULL;
    p->prepare = program_new("scale's prepare");
    if (p->prepare == NULL) goto no_memory;
    TABLE(p->prepare, inputs, n_inputs, {"w", TN_F32, 1, {CONSTANT(4)}, -1}, {"b", TN_F32, 1, {CONSTANT(4)}, -1});
    TABLE(p->prepare, outputs, n_outputs, {"doubled", TN_F32, 1, {CONSTANT(4)}, -1});
    p->prepare->run = scale_prepare_run;
    TABLE(p, inputs, n_inputs, {"x", TN_F32, 2, {SYMBOL(0), CONSTANT(4)}, -1});
    TABLE(p, outputs, n_outputs, {"y", TN_F32, 2, {SYMBOL(0), CONSTANT(4)}, -1});
    TABLE(p, symbols, n_symbols, {"n", 0, INT64_MAX, 1});
    TABLE(p, weights, n_weights, {{"w", TN_F32, 1, {CONSTANT(4)}, -1}, w, false},
          {{"b", TN_F32, 1, {CONSTANT(4)}, -1}, b, false});
    TABLE(p, packed, n_packed, {PACKED_PREPARED, 0, NULL}, {PACKED_RAW, 1, NULL});
    p->release_weights = release;
    p->release_weights_ctx = ctx;
    p->bind = scale_bind;
    p->run = scale_run;
    return sealed(p);
no_memory:
    tn_program_free(p);
    return NULL;
}

/* ---- cache -------------------------------------------------------------------------------------------- */

static float load(const void *p, int64_t i) { /* buffers may be unaligned */
    float value;
    memcpy(&value, (const char *)p + i * (int64_t)sizeof value, sizeof value);
    return value;
}

static void store(void *p, int64_t i, float value) {
    memcpy((char *)p + i * (int64_t)sizeof value, &value, sizeof value);
}

static int32_t cache_run(const tn_frame *f) {
    for (int64_t i = 0; i < f->symbols[0]; i++) {
        float old = load(f->inputs[0], i), x = load(f->inputs[1], i);
        store(f->outputs[1], i, 10 * x);
        store(f->outputs[0], i, old + x);
    }
    return 0;
}

tn_program *handmade_cache(void) {
    tn_program *p = program_new("cache");
    if (p == NULL) return NULL;
    TABLE(p, inputs, n_inputs, {"old", TN_F32, 1, {SYMBOL(0)}, -1}, {"x", TN_F32, 1, {SYMBOL(0)}, -1});
    TABLE(p, outputs, n_outputs, {"new", TN_F32, 1, {SYMBOL(0)}, 0}, {"y", TN_F32, 1, {SYMBOL(0)}, -1});
    TABLE(p, symbols, n_symbols, {"n", 0, INT64_MAX, 1});
    p->run = cache_run;
    return sealed(p);
no_memory:
    tn_program_free(p);
    return NULL;
}

/* ---- gather ------------------------------------------------------------------------------------------- */

static void gather_chunk(void *arg, int64_t chunk, int32_t worker) {
    const tn_frame *f = arg;
    const float *data = f->inputs[0];
    const int64_t *at = f->inputs[1];
    float *out = f->outputs[0];
    int64_t n = f->symbols[0], m = f->symbols[1];
    for (int64_t i = chunk * 4; i < m && i < chunk * 4 + 4; i++) {
        int64_t index = at[i];
        if (index < 0 || index >= n) {
            report(f, worker, 0, (uint64_t)i);
            index = index < 0 ? 0 : n - 1;
        }
        out[i] = n > 0 ? data[index] : 0;
    }
}

static int32_t gather_run(const tn_frame *f) {
    int64_t m = f->symbols[1];
    for_each(f, (m + 3) / 4, gather_chunk, (void *)(uintptr_t)f);
    if (m > 1000) report(f, 0, 1, 0);
    void *operands[] = {f->outputs[0]}, *results[] = {f->outputs[0]};
    if (f->hooks->custom(f->hooks->ctx, 0, operands, results, &m) != 0) report(f, 0, 2, 0);
    return 0;
}

tn_program *handmade_gather(program_custom custom) {
    tn_program *p = program_new("pick");
    if (p == NULL) return NULL;
    TABLE(p, inputs, n_inputs, {"data", TN_F32, 1, {SYMBOL(0)}, -1}, {"at", TN_I64, 1, {SYMBOL(1)}, -1});
    TABLE(p, outputs, n_outputs, {"out", TN_F32, 1, {SYMBOL(1)}, -1});
    TABLE(p, symbols, n_symbols, {"n", 0, INT64_MAX, 1}, {"m", 0, INT64_MAX, 2});
    TABLE(p, sites, n_sites, {.kind = SITE_INDEX, .op = "gather", .location = "model.c:7"},
          {.kind = SITE_ASSERT, .op = "assert", .location = "model.c:9", .message = "at most 1000"},
          {.kind = SITE_CUSTOM, .op = "twice"});
    TABLE(p, customs, n_customs, custom);
    p->run = gather_run;
    return sealed(p);
no_memory:
    tn_program_free(p);
    return NULL;
}

/* ---- halve -------------------------------------------------------------------------------------------- */

static void halve_chunk(void *arg, int64_t i, int32_t worker) {
    const tn_frame *f = arg;
    volatile const float *x = f->inputs[0]; /* at run time, not by the C compiler */
    float *y = f->outputs[0];
    (void)worker;
    y[i] = x[i] * 0.5f;
}

static int32_t halve_run(const tn_frame *f) {
    for_each(f, f->symbols[0], halve_chunk, (void *)(uintptr_t)f);
    return 0;
}

tn_program *handmade_halve(void) {
    tn_program *p = program_new("halve");
    if (p == NULL) return NULL;
    TABLE(p, inputs, n_inputs, {"x", TN_F32, 1, {SYMBOL(0)}, -1});
    TABLE(p, outputs, n_outputs, {"y", TN_F32, 1, {SYMBOL(0)}, -1});
    TABLE(p, symbols, n_symbols, {"n", 0, INT64_MAX, 1});
    p->run = halve_run;
    return sealed(p);
no_memory:
    tn_program_free(p);
    return NULL;
}
