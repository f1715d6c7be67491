/* How parameters begin: a table of distributions over counter-based random numbers.
 *
 * in:  name, shape and fans of a parameter, a seed
 * out: its elements
 * law: an element depends on seed, name, initialiser and its own place alone: the Philox key is made of seed and name,
 *      the counter of the place
 *
 * Definitions: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010);
 * He et al., "Delving deep into rectifiers" (2015); LeCun et al., "Efficient BackProp" (1998); Saxe et al., "Exact
 * solutions to the nonlinear dynamics of learning in deep linear neural networks" (2014).
 */
#include "frontends/nn/model.h"

#include "ir/eval.h"
#include "ir/eval_state.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The deviation of a normal distribution that is cut at two deviations. */
static const double TRUNCATED_DEVIATION = 0.87962566103423978;

typedef enum shape_of { CONSTANT, UNIFORM, NORMAL, TRUNCATED, ORTHOGONAL } shape_of;
typedef enum scale_of { NUMBER, BOTH_FANS, FAN_IN } scale_of;

/* What `number` or the fans say is the value, the half width, or the deviation. */
typedef struct row {
    const char *name;
    shape_of shape;
    scale_of scale;
    double number; /* NUMBER: the default; else: the variance times the fan */
} row;

static const row rows[] = {
    {"zeros", CONSTANT, NUMBER, 0},
    {"ones", CONSTANT, NUMBER, 1},
    {"constant", CONSTANT, NUMBER, 0},
    {"uniform", UNIFORM, NUMBER, 0.05},
    {"normal", NORMAL, NUMBER, 0.05},
    {"truncated_normal", TRUNCATED, NUMBER, 0.05},
    {"glorot_uniform", UNIFORM, BOTH_FANS, 1},
    {"glorot_normal", TRUNCATED, BOTH_FANS, 1},
    {"xavier_normal", NORMAL, BOTH_FANS, 1},
    {"he_uniform", UNIFORM, FAN_IN, 2},
    {"he_normal", TRUNCATED, FAN_IN, 2},
    {"kaiming_normal", NORMAL, FAN_IN, 2},
    {"lecun_uniform", UNIFORM, FAN_IN, 1},
    {"lecun_normal", TRUNCATED, FAN_IN, 1},
    {"orthogonal", ORTHOGONAL, NUMBER, 1},
};
enum { ROWS = sizeof rows / sizeof *rows };

static const row *find_row(const char *name) {
    for (size_t i = 0; name && i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

bool nn_init_exists(const char *name) { return find_row(name) != NULL; }

const char *nn_init_names(void) {
    return "zeros, ones, constant, uniform, normal, truncated_normal, glorot_uniform, glorot_normal, xavier_normal, "
           "he_uniform, he_normal, kaiming_normal, lecun_uniform, lecun_normal, orthogonal";
}

/* ---- Random numbers ----------------------------------------------------------------------------------- */

/* FNV-1a, then mixed with the seed so that near seeds have far keys. */
static uint64_t make_key(const char *name, uint64_t seed) {
    uint64_t h = 0xcbf29ce484222325;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3;
    h ^= seed + 0x9e3779b97f4a7c15 + (h << 6) + (h >> 2);
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9;
    return (h ^ (h >> 27)) * 0x94d049bb133111eb;
}

/* In (0, 1), with 53 digits. */
static double unit(uint32_t high, uint32_t low) {
    uint64_t bits = (uint64_t)high << 32 | low;
    return ((double)(int64_t)(bits >> 11) + 0.5) * 0x1p-53;
}

static const double TURN = 2 * 3.14159265358979323846;

/* Box and Muller's transform of two numbers from (0, 1). */
static void normal_of(double u, double v, double out[2]) {
    double radius = sqrt(-2 * log(u)), angle = TURN * v;
    out[0] = radius * cos(angle);
    out[1] = radius * sin(angle);
}

/* The same in the precision of floats, whose functions take a third of the time. */
static void normal_of_floats(double u, double v, double out[2]) {
    float radius = sqrtf(-2 * logf((float)u)), sine, cosine;
    sincosf((float)(TURN * v), &sine, &cosine);
    out[0] = (double)(radius * cosine);
    out[1] = (double)(radius * sine);
}

/* `attempt` numbers blocks for those that draw again. */
static void normal_pair(uint64_t key, uint64_t pair, uint64_t attempt, bool is_f64, double out[2]) {
    uint32_t block[4];
    eval_philox_block(key, pair, attempt, block);
    (is_f64 ? normal_of : normal_of_floats)(unit(block[0], block[1]), unit(block[2], block[3]), out);
}

/* One of a pair that is too large is drawn again from blocks of its own. */
static void truncate_pair(uint64_t key, uint64_t pair, bool is_f64, double out[2]) {
    for (uint64_t i = 0; i < 2; i++)
        for (uint64_t attempt = 1; fabs(out[i]) > 2; attempt++) {
            double again[2];
            normal_pair(key, 2 * pair + i, attempt, is_f64, again);
            out[i] = again[0];
        }
}

enum { PAIRS = EVAL_PHILOX_BLOCKS };

/* Pairs `first` and on: those of one after the other would wait for each other's steps. */
static void draw_pairs(shape_of shape, uint64_t key, uint64_t first, bool is_f64, double out[PAIRS][2]) {
    uint32_t words[4][PAIRS];
    double u[PAIRS], v[PAIRS];
    if (shape == CONSTANT) {
        for (int i = 0; i < PAIRS; i++) out[i][0] = out[i][1] = 1;
        return;
    }
    eval_philox_blocks(key, first, words);
    for (int i = 0; i < PAIRS; i++) {
        u[i] = unit(words[0][i], words[1][i]);
        v[i] = unit(words[2][i], words[3][i]);
    }
    if (shape == UNIFORM) {
        for (int i = 0; i < PAIRS; i++) {
            out[i][0] = 2 * u[i] - 1;
            out[i][1] = 2 * v[i] - 1;
        }
        return;
    }
    for (int i = 0; i < PAIRS; i++) {
        if (is_f64)
            normal_of(u[i], v[i], out[i]);
        else
            normal_of_floats(u[i], v[i], out[i]);
        if (shape == TRUNCATED) truncate_pair(key, first + (uint64_t)i, is_f64, out[i]);
    }
}

/* ---- Orthogonal matrices --------------------------------------------------------------------------------- */

static double inner(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Makes `n` vectors of `length` >= n, one a row, orthonormal: Gram and Schmidt's way, twice, which is as accurate as
 * reflections ("twice is enough"). Of a normal matrix that gives the uniform distribution. */
static void orthonormalise(double *rows_of, int64_t n, int64_t length) {
    for (int64_t i = 0; i < n; i++) {
        double *v = rows_of + i * length;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t j = 0; j < i; j++) {
                const double *u = rows_of + j * length;
                double along = inner(u, v, length);
                for (int64_t k = 0; k < length; k++) v[k] -= along * u[k];
            }
        double size = sqrt(inner(v, v, length));
        for (int64_t k = 0; k < length; k++) v[k] /= size;
    }
}

static tn_status fill_orthogonal(const nn_fill *f, eval_tensor *t, uint64_t key, double gain, tn_diag *diag) {
    int64_t n_rows = t->rank > 0 ? t->dims[0] : 1, n_columns = n_rows > 0 ? t->n / n_rows : 0;
    bool is_wide = n_rows <= n_columns;
    int64_t n = is_wide ? n_rows : n_columns, length = is_wide ? n_columns : n_rows;
    double *vectors = tn_calloc((size_t)t->n + 2, sizeof *vectors);
    if (!vectors) return diag_fail(diag, TN_ERR_MEMORY, "out of memory for %s", f->name);
    for (int64_t i = 0; i < t->n; i += 2) normal_pair(key, (uint64_t)i / 2, 0, true, vectors + i);
    orthonormalise(vectors, n, length);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < length; k++)
            eval_store_float(t, is_wide ? i * n_columns + k : k * n_columns + i, gain * vectors[i * length + k]);
    tn_free(vectors);
    return TN_OK;
}

/* ---- Filling ------------------------------------------------------------------------------------------------ */

/* Deviation of the elements, or their value or half width. */
static double scale(const row *r, const nn_fill *f) {
    if (r->scale == NUMBER) return f->init.number != 0 ? f->init.number : r->number;
    double fan = r->scale == FAN_IN ? (double)f->fan_in : ((double)f->fan_in + (double)f->fan_out) / 2;
    double deviation = sqrt(r->number / fmax(fan, 1));
    if (r->shape == UNIFORM) return deviation * sqrt(3);
    return r->shape == TRUNCATED ? deviation / TRUNCATED_DEVIATION : deviation;
}

/* A filling whose elements are drawn each by itself, in chunks. */
typedef struct drawing {
    const row *r;
    uint64_t key;
    double factor;
    int64_t n;
    bool is_f64;
    void *data; /* floats, or doubles */
} drawing;

enum { CHUNK = 1 << 15 }; /* elements: whole blocks of pairs */

static void draw_chunk(void *arg, int64_t chunk, int32_t worker) {
    const drawing *d = arg;
    int64_t first = chunk * CHUNK, end = first + CHUNK < d->n ? first + CHUNK : d->n;
    (void)worker;
    for (int64_t i = first; i < end; i += 2 * PAIRS) {
        double pairs[PAIRS][2];
        const double *numbers = pairs[0];
        int64_t n = end - i < 2 * PAIRS ? end - i : 2 * PAIRS;
        draw_pairs(d->r->shape, d->key, (uint64_t)i / 2, d->is_f64, pairs);
        if (d->is_f64)
            for (int64_t k = 0; k < n; k++) ((double *)d->data)[i + k] = d->factor * numbers[k];
        else
            for (int64_t k = 0; k < n; k++) ((float *)d->data)[i + k] = (float)(d->factor * numbers[k]);
    }
}

tn_status nn_initialise(const nn_fill *f, tn_pool *pool, tn_diag *diag) {
    const row *r = find_row(f->init.name);
    if (!r)
        return diag_fail(diag, TN_ERR_ARGUMENT, "%s: no initialiser is called \"%s\" (%s)", f->name,
                         f->init.name ? f->init.name : "", nn_init_names());
    eval_tensor t = {
        .dtype = f->tensor.dtype, .rank = f->tensor.rank, .n = tn_tensor_elements(&f->tensor), .data = f->tensor.data};
    for (int i = 0; i < t.rank; i++) t.dims[i] = f->tensor.shape[i];
    drawing d = {r, make_key(f->name, f->seed), scale(r, f), t.n, t.dtype == TN_F64, t.data};
    if (r->shape == ORTHOGONAL) return fill_orthogonal(f, &t, d.key, d.factor, diag);
    int64_t n_chunks = (t.n + CHUNK - 1) / CHUNK;
    if (pool) {
        tn_pool_parallel_for(pool, n_chunks, draw_chunk, &d);
    } else {
        for (int64_t i = 0; i < n_chunks; i++) draw_chunk(&d, i, 0);
    }
    return TN_OK;
}
