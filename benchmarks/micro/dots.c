/* Contractions over a grid of shapes, beside OpenBLAS where it is installed (loaded at run time).
 *
 * "packed": the second operand is a weight, which a program packs once, ahead of its runs. OpenBLAS packs in each
 * call. "crossed": the second operand is read transposed. Products with one row or column read a matrix once: theirs
 * is a share of what can be read, from memory, so caches are filled with something else before each call.
 */
#include "benchmarks/micro/micro.h"

#include <dlfcn.h>
#include <string.h>

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

typedef enum second_operand { PLAIN, CROSSED, PACKED } second_operand;

typedef struct dot_size {
    int m, k, n;
    second_operand second;
    double gate; /* share asked for; 0: none */
} dot_size;

static const dot_size sizes[] = {
    {64, 64, 64, PACKED, 0},       {128, 128, 128, PACKED, 0},       {256, 256, 256, PACKED, 0},
    {512, 512, 512, PACKED, 0.93}, {1024, 1024, 1024, PACKED, 0.93}, {2048, 2048, 2048, PACKED, 0.93},
    {16, 1024, 1024, PACKED, 0},   {128, 768, 768, PACKED, 0.93},    {128, 768, 3072, PACKED, 0.93},
    {128, 3072, 768, PACKED, 0},   {197, 768, 768, PACKED, 0},       {64, 64, 64, PLAIN, 0},
    {512, 512, 512, PLAIN, 0},     {1024, 1024, 1024, PLAIN, 0},     {2048, 2048, 2048, PLAIN, 0},
    {16, 1024, 1024, PLAIN, 0},    {128, 768, 3072, PLAIN, 0},       {128, 3072, 768, PLAIN, 0},
    {128, 768, 3072, CROSSED, 0},  {16, 1024, 1024, CROSSED, 0},     {1, 4096, 4096, PACKED, 0.90},
    {1, 4096, 4096, PLAIN, 0.90},  {1, 4096, 4096, CROSSED, 0.90},   {4096, 4096, 1, PLAIN, 0.90},
};

static bool is_read_once(const dot_size *d) { return d->m == 1 || d->n == 1; }

typedef struct blas_call {
    const dot_size *size;
    const float *a, *b;
    float *c;
} blas_call;

static void call_blas(void *ctx) {
    const blas_call *b = ctx;
    const dot_size *d = b->size;
    enum { ROW_MAJOR = 101, AS_IS = 111, TRANSPOSED = 112 };
    bool crossed = d->second == CROSSED;
    sgemm(ROW_MAJOR, AS_IS, crossed ? TRANSPOSED : AS_IS, d->m, d->n, d->k, 1, b->a, d->k, b->b, crossed ? d->k : d->n,
          0, b->c, d->n);
}

static double time_call(const dot_size *d, void (*call)(void *), void *ctx) {
    return is_read_once(d) ? best_cold(call, ctx) : best_of(call, ctx);
}

static double time_blas(const dot_size *d) {
    float *a = floats((size_t)d->m * (size_t)d->k), *b = floats((size_t)d->k * (size_t)d->n),
          *c = floats((size_t)d->m * (size_t)d->n);
    double t = time_call(d, call_blas, &(blas_call){d, a, b, c});
    free(a), free(b), free(c);
    return t;
}

static double time_own(const dot_size *d) {
    tn_graph *g = tn_graph_new("dot");
    tn_shape shape =
        d->second == CROSSED ? TN_SHAPE(TN_SIZE(d->n), TN_SIZE(d->k)) : TN_SHAPE(TN_SIZE(d->k), TN_SIZE(d->n));
    float *weights = d->second == PACKED ? floats((size_t)d->k * (size_t)d->n) : NULL;
    tn_val x = tn_input(g, "a", TN_F32, TN_SHAPE(TN_SIZE(d->m), TN_SIZE(d->k)));
    tn_val y = weights ? tn_weight(g, "b", TN_F32, shape, weights) : tn_input(g, "b", TN_F32, shape);
    if (d->second == CROSSED) y = tn_transpose(y, TN_INTS(1, 0));
    running r = running_open(g, tn_matmul(x, y), (run_options){0});
    double t = time_call(d, running_call, &r);
    running_close(&r);
    free(weights);
    return t;
}

static void measure_dot(const dot_size *d) {
    static const char *const ways[] = {[PLAIN] = "", [CROSSED] = ", crossed", [PACKED] = ", packed"};
    bool is_read = is_read_once(d);
    double amount = is_read ? F32_BYTES * d->k * d->m * d->n : 2.0 * d->m * d->k * d->n, own = time_own(d);
    figure f = {.group = "contract",
                .unit = is_read ? "GB/s" : "GFLOP/s",
                .value = amount / own * 1e-9,
                .seconds = own,
                .of = is_read ? LIMIT_READ : LIMIT_FMA,
                .gate_share = d->gate,
                .peer_name = "OpenBLAS",
                .peer = sgemm ? amount / time_blas(d) * 1e-9 : 0};
    snprintf(f.name, sizeof f.name, "%d x %d by %d x %d%s", d->m, d->k, d->k, d->n, ways[d->second]);
    record(f);
}

void measure_dots(void) {
    if (!is_wanted("contract")) return;
    load_blas();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) measure_dot(&sizes[i]);
}
