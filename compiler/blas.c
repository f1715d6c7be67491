/* Products of matrices by OpenBLAS, as custom ops.
 *
 * in:  calls of the ops blas.<dtype>.<a><b> (compiler/passes/blas.c): a and b of rank 3, contiguous
 * out: c[i] = op(a[i]) op(b[i]) for each of their matrices
 * law: one thread; what OpenBLAS does about memory, bits and errors is its own
 *
 * The library is loaded when a program asks for it, so that nobody else needs it.
 */
#include "compiler/blas.h"

#include "runtime/alloc.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* CBLAS's own numbers and signatures. */
enum { ROW_MAJOR = 101, AS_IT_LIES = 111, TRANSPOSED = 112 };

typedef void sgemm_function(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                            const float *b, int ldb, float beta, float *c, int ldc);
typedef void dgemm_function(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda,
                            const double *b, int ldb, double beta, double *c, int ldc);

typedef struct product_form {
    const blas *library;
    bool is_double, transposes_a, transposes_b;
} product_form;

enum { FORMS = 8 };

static const char *const names[FORMS] = {"blas.f32.nn", "blas.f32.nt", "blas.f32.tn", "blas.f32.tt",
                                         "blas.f64.nn", "blas.f64.nt", "blas.f64.tn", "blas.f64.tt"};

struct blas {
    void *handle;
    sgemm_function *sgemm;
    dgemm_function *dgemm;
    product_form forms[FORMS]; /* in the order of their names */
    tn_custom_op ops[FORMS];
};

/* ---- Calls ---- */

typedef struct product_sizes {
    int64_t count, rows, columns, depth;
    int a_row, b_row, c_row; /* from a row, as it lies, to the next */
} product_sizes;

static int at_least_1(int64_t extent) { return extent > 1 ? (int)extent : 1; }

/* dims: a's three, b's three, c's three. False: more than BLAS can count. */
static bool read_sizes(const product_form *f, const int64_t *dims, product_sizes *s) {
    for (int i = 0; i < 9; i++)
        if (i % 3 && dims[i] > INT_MAX) return false;
    *s = (product_sizes){.count = dims[0], .rows = dims[7], .columns = dims[8], .depth = dims[f->transposes_a ? 1 : 2]};
    s->a_row = at_least_1(dims[2]);
    s->b_row = at_least_1(dims[5]);
    s->c_row = at_least_1(dims[8]);
    return true;
}

static void multiply(const product_form *f, const product_sizes *s, const void *a, const void *b, void *c) {
    int ta = f->transposes_a ? TRANSPOSED : AS_IT_LIES, tb = f->transposes_b ? TRANSPOSED : AS_IT_LIES;
    int rows = (int)s->rows, columns = (int)s->columns, depth = (int)s->depth;
    if (f->is_double)
        f->library->dgemm(ROW_MAJOR, ta, tb, rows, columns, depth, 1, a, s->a_row, b, s->b_row, 0, c, s->c_row);
    else
        f->library->sgemm(ROW_MAJOR, ta, tb, rows, columns, depth, 1, a, s->a_row, b, s->b_row, 0, c, s->c_row);
}

static int32_t call(void *ctx, void *const *operands, void *const *results, const int64_t *dims) {
    const product_form *f = ctx;
    product_sizes s;
    if (!read_sizes(f, dims, &s)) return -1;
    int64_t bytes = f->is_double ? (int64_t)sizeof(double) : (int64_t)sizeof(float);
    const char *a = operands[0], *b = operands[1];
    char *c = results[0];
    for (int64_t i = 0; i < s.count && s.rows > 0 && s.columns > 0; i++) {
        multiply(f, &s, a, b, c);
        a += s.rows * s.depth * bytes;
        b += s.depth * s.columns * bytes;
        c += s.rows * s.columns * bytes;
    }
    return 0;
}

/* ---- The library ---- */

static const char *const libraries[] = {"libopenblas.so.0", "libopenblas.so"};

/* POSIX: an object pointer from a symbol look-up holds a function's address. */
static bool find(void *handle, const char *name, void *function) {
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static bool load(blas *b) {
    void (*set_threads)(int);
    for (size_t i = 0; !b->handle && i < sizeof libraries / sizeof *libraries; i++)
        b->handle = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
    if (!b->handle || !find(b->handle, "cblas_sgemm", &b->sgemm) || !find(b->handle, "cblas_dgemm", &b->dgemm))
        return false;
    if (find(b->handle, "openblas_set_num_threads", &set_threads)) set_threads(1);
    return true;
}

static blas *fail(blas *b, tn_diag *diag, tn_status status, const char *message) {
    diag->status = status;
    snprintf(diag->message, sizeof diag->message, "%s", message);
    blas_close(b);
    return NULL;
}

blas *blas_open(tn_diag *diag) {
    blas *b = tn_calloc(1, sizeof *b);
    if (!b) return fail(b, diag, TN_ERR_MEMORY, "out of memory");
    if (!load(b))
        return fail(
            b, diag, TN_ERR_UNSUPPORTED,
            "gemm \"blas\": no OpenBLAS here (libopenblas.so.0 with cblas_sgemm and cblas_dgemm; Debian's package "
            "libopenblas0)");
    for (int i = 0; i < FORMS; i++) {
        b->forms[i] = (product_form){b, i / 4 != 0, i / 2 % 2 != 0, i % 2 != 0};
        b->ops[i] = (tn_custom_op){names[i], call, &b->forms[i]};
    }
    return b;
}

void blas_close(blas *b) {
    if (b && b->handle) dlclose(b->handle);
    tn_free(b);
}

const tn_custom_op *blas_ops(const blas *b, int *n) {
    *n = b ? FORMS : 0;
    return b ? b->ops : NULL;
}
