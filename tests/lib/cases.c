/* Recorded cases of real models (see cases.h): reading them, making inputs, comparing outputs. */
#include "tests/lib/cases.h"

#include "frontends/data/npy.h"
#include "frontends/data/read_file.h"
#include "ir/dtype.h"
#include "runtime/alloc.h"
#include "tests/lib/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "tests/models/"

/* How far a recorded value and ours may be apart, absolutely or relatively. */
static const double TOLERANCE = 1e-3;

static bool fail(char *message, const char *format, const char *what) {
    snprintf(message, CASE_MESSAGE, format, what);
    return false;
}

/* ---- cases.txt ------------------------------------------------------------------------------------ */

static bool read_shape(const char *text, case_tensor *t) {
    if (strcmp(text, "-") == 0) return true;
    for (char *end; t->rank < TN_MAX_RANK; text = end + 1) {
        t->dims[t->rank++] = strtoll(text, &end, 10);
        if (end == text || (*end && *end != 'x')) return false;
        if (!*end) return true;
    }
    return false;
}

static bool read_tensor(const char *line, case_tensor *t) {
    char dtype[8], shape[64];
    *t = (case_tensor){0};
    if (sscanf(line, "%*s %95s %7s %63s %255s", t->name, dtype, shape, t->source) != 4) return false;
    t->dtype = tn_dtype_from_name(dtype);
    return t->dtype != TN_DTYPE_INVALID && read_shape(shape, t);
}

static bool read_line(const char *line, model_case *all, size_t *n) {
    model_case *c = *n ? &all[*n - 1] : NULL;
    if (!*line || *line == '#') return true;
    if (strncmp(line, "case ", 5) == 0) {
        c = &all[(*n)++];
        *c = (model_case){0};
        return sscanf(line, "case %63s %95s", c->name, c->model) == 2;
    }
    if (c && strncmp(line, "in ", 3) == 0 && c->n_in < CASE_TENSORS) return read_tensor(line, &c->in[c->n_in++]);
    if (c && strncmp(line, "out ", 4) == 0 && c->n_out < CASE_TENSORS) return read_tensor(line, &c->out[c->n_out++]);
    return false;
}

model_case *cases_read(const char *path, size_t *n, char *message) {
    void *content;
    size_t size, lines = 1;
    tn_diag diag = {0};
    *n = 0;
    if (read_file(path, &content, &size, &diag) != TN_OK) {
        fail(message, "%s", diag.message);
        return NULL;
    }
    char *text = tn_malloc(size + 1);
    for (size_t i = 0; i < size; i++) lines += ((char *)content)[i] == '\n';
    model_case *all = text ? tn_calloc(lines, sizeof *all) : NULL;
    bool ok = all || fail(message, "%s", "out of memory");
    if (ok) {
        memcpy(text, content, size);
        text[size] = '\0';
    }
    char *rest;
    for (char *line = ok ? text : NULL; ok && line; line = rest) {
        rest = strchr(line, '\n');
        if (rest) *rest++ = '\0';
        ok = read_line(line, all, n) || fail(message, "cases.txt: this line is wrong: %s", line);
    }
    tn_free(content);
    tn_free(text);
    if (ok) return all;
    tn_free(all);
    return NULL;
}

/* ---- Inputs --------------------------------------------------------------------------------------- */

static void store(eval_tensor *t, int64_t i, double value) {
    if (dtype_is_float(t->dtype))
        eval_store_float(t, i, value);
    else
        eval_store_int(t, i, (int64_t)floor(value));
}

static void fill_value(eval_tensor *t, double value) {
    for (int64_t i = 0; i < t->n; i++) store(t, i, value);
}

static void fill_uniform(eval_tensor *t, uint64_t seed, double low, double high) {
    for (int64_t i = 0; i < t->n; i++) {
        uint64_t z = seed * UINT64_C(0x2545f4914f6cdd1d) + ((uint64_t)i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        z = (z ^ z >> 31) >> 40;
        store(t, i, low + (high - low) * ((double)z * 0x1p-24));
    }
}

/* ---- Fields between colons ---- */

/* Takes the next field; false when there is none or it does not fit. */
static bool take_text(const char **at, char *out, size_t bytes) {
    size_t n = strcspn(*at, ":");
    if (n == 0 || n >= bytes) return false;
    memcpy(out, *at, n);
    out[n] = '\0';
    *at += n + ((*at)[n] == ':');
    return true;
}

static bool take_number(const char **at, double *out) {
    char field[64], *end;
    if (!take_text(at, field, sizeof field)) return false;
    *out = strtod(field, &end);
    return *end == '\0';
}

/* A kept file: `file` is its name under tests/models. To be closed with npy_free. */
static bool open_kept(const char *file, npy_array *array, eval_tensor *t, char *message) {
    char path[400];
    tn_diag diag = {0};
    snprintf(path, sizeof path, FOLDER "%s", file);
    if (npy_read(path, array, &diag) != TN_OK) {
        snprintf(message, CASE_MESSAGE, "%s: %.300s", path, diag.message);
        return false;
    }
    *t = tensor_view(array->dtype, array->rank, array->dims, array->data);
    return true;
}

static bool fill_file(eval_tensor *t, const char *file, double scale, double offset, char *message) {
    npy_array array;
    eval_tensor kept;
    if (!open_kept(file, &array, &kept, message)) return false;
    bool ok = kept.n == t->n || fail(message, "%s has another size", file);
    for (int64_t i = 0; ok && i < t->n; i++) store(t, i, eval_load_number(&kept, i) * scale + offset);
    npy_free(&array);
    return ok;
}

static bool fill_page(eval_tensor *t, int k, char *message) {
    int width = 0;
    float *pixels = page_line(k, &width);
    bool ok = pixels && t->rank == 4 && t->dims[3] == width;
    if (ok) memcpy(t->data, pixels, (size_t)t->n * sizeof *pixels);
    free(pixels);
    return ok || fail(message, "%s", "the page has no such line, or one of another width");
}

bool case_input(const case_tensor *in, eval_tensor *t, char *message) {
    tn_tensor shape = tn_tensor_of(in->dtype, NULL, in->rank, in->dims);
    *t = (eval_tensor){.dtype = in->dtype, .rank = in->rank, .n = tn_tensor_elements(&shape)};
    memcpy(t->dims, in->dims, sizeof t->dims);
    t->data = tn_calloc((size_t)tn_tensor_bytes(&shape) + 1, 1);
    if (!t->data) return fail(message, "%s", "out of memory");
    char kind[16], file[200];
    double a, b, c;
    const char *at = in->source;
    bool has_kind = take_text(&at, kind, sizeof kind);
    if (has_kind && strcmp(kind, "value") == 0 && take_number(&at, &a))
        fill_value(t, a);
    else if (has_kind && strcmp(kind, "uniform") == 0 && take_number(&at, &a) && take_number(&at, &b) &&
             take_number(&at, &c))
        fill_uniform(t, (uint64_t)a, b, c);
    else if (has_kind && strcmp(kind, "file") == 0 && take_text(&at, file, sizeof file) && take_number(&at, &a) &&
             take_number(&at, &b))
        return fill_file(t, file, a, b, message);
    else if (has_kind && strcmp(kind, "page") == 0 && take_number(&at, &a))
        return fill_page(t, (int)a, message);
    else
        return fail(message, "the source %s is unknown", in->source);
    return true;
}

/* ---- Outputs -------------------------------------------------------------------------------------- */

/* One element against its recorded value; *worst keeps the largest difference. */
static bool element_agrees(const eval_tensor *got, int64_t i, double want, double *worst, char *message) {
    double g = eval_load_number(got, i), absolute = fabs(g - want),
           relative = want != 0 ? absolute / fabs(want) : absolute;
    double difference = absolute < relative ? absolute : relative;
    if (difference > *worst) *worst = difference;
    if (difference <= (dtype_is_float(got->dtype) ? TOLERANCE : 0)) return true; /* not so for NaN */
    snprintf(message, CASE_MESSAGE, "element %lld is %.9g, recorded is %.9g", (long long)i, g, want);
    return false;
}

static bool agrees_full(const eval_tensor *got, const eval_tensor *kept, double *worst, char *message) {
    bool ok = kept->n == got->n || fail(message, "%s", "the kept output has another size");
    for (int64_t i = 0; ok && i < got->n; i++) ok = element_agrees(got, i, eval_load_number(kept, i), worst, message);
    return ok;
}

static bool agrees_every(const eval_tensor *got, const eval_tensor *kept, int64_t step, double sum, double magnitude,
                         double *worst, char *message) {
    double own_sum = 0, own_magnitude = 0;
    bool ok = step > 0 && kept->n == (got->n + step - 1) / step;
    if (!ok) return fail(message, "%s", "the kept output has another size");
    for (int64_t k = 0; ok && k < kept->n; k++)
        ok = element_agrees(got, k * step, eval_load_number(kept, k), worst, message);
    for (int64_t i = 0; ok && i < got->n; i++) {
        own_sum += eval_load_number(got, i);
        own_magnitude += fabs(eval_load_number(got, i));
    }
    if (!ok ||
        (fabs(own_sum - sum) <= TOLERANCE * magnitude && fabs(own_magnitude - magnitude) <= TOLERANCE * magnitude))
        return ok;
    snprintf(message, CASE_MESSAGE, "sum and magnitude are %.9g and %.9g, recorded are %.9g and %.9g", own_sum,
             own_magnitude, sum, magnitude);
    return false;
}

static bool agrees_sparse(const eval_tensor *got, const eval_tensor *kept, const eval_tensor *at, double below,
                          double *worst, char *message) {
    bool ok = at->n == kept->n || fail(message, "%s", "the kept output has another size than its indices");
    int64_t next = 0;
    for (int64_t i = 0; ok && i < got->n; i++) {
        if (next < at->n && eval_load_int(at, next) == i)
            ok = element_agrees(got, i, eval_load_number(kept, next++), worst, message);
        else if (!(fabs(eval_load_number(got, i)) < below + TOLERANCE))
            ok = element_agrees(got, i, 0, worst, message);
    }
    return ok && (next == at->n || fail(message, "%s", "an index of the kept output is out of range"));
}

static bool reference_agrees(const char *reference, const eval_tensor *got, double *worst, char *message) {
    char kind[16], file[200], indices[200];
    double step = 0, sum = 0, magnitude = 0, below = 0;
    const char *at_field = reference;
    npy_array array = {0}, at_array = {0};
    eval_tensor kept, at;
    bool ok = take_text(&at_field, kind, sizeof kind) && take_text(&at_field, file, sizeof file);
    if (ok && strcmp(kind, "full") == 0)
        ok = open_kept(file, &array, &kept, message) && agrees_full(got, &kept, worst, message);
    else if (ok && strcmp(kind, "every") == 0 && take_number(&at_field, &step) && take_number(&at_field, &sum) &&
             take_number(&at_field, &magnitude))
        ok = open_kept(file, &array, &kept, message) &&
             agrees_every(got, &kept, (int64_t)step, sum, magnitude, worst, message);
    else if (ok && strcmp(kind, "sparse") == 0 && take_text(&at_field, indices, sizeof indices) &&
             take_number(&at_field, &below))
        ok = open_kept(file, &array, &kept, message) && open_kept(indices, &at_array, &at, message) &&
             agrees_sparse(got, &kept, &at, below, worst, message);
    else
        ok = fail(message, "the reference %s is unknown", reference);
    npy_free(&array);
    npy_free(&at_array);
    return ok;
}

bool case_agrees(const case_tensor *out, const tn_tensor *got, double *worst, char *message) {
    tn_tensor shape = tn_tensor_of(out->dtype, NULL, out->rank, out->dims);
    char expected[128], is[128];
    *worst = 0;
    tn_tensor_text(&shape, expected, sizeof expected);
    tn_tensor_text(got, is, sizeof is);
    if (strcmp(expected, is) != 0) {
        snprintf(message, CASE_MESSAGE, "%s is %s, recorded is %s", out->name, is, expected);
        return false;
    }
    eval_tensor view = tensor_view(got->dtype, got->rank, got->shape, got->data);
    char why[CASE_MESSAGE];
    if (reference_agrees(out->source, &view, worst, why)) return true;
    snprintf(message, CASE_MESSAGE, "%s: %.490s", out->name, why);
    return false;
}
