/* Statistics of tensors (see tenon_statistics.h).
 *
 * Two looks at the elements: extremes, sum and special values, then deviations from the mean and the histogram, so that
 * neither loses what a single look would cancel out.
 */
#include "frontends/data/tenon_statistics.h"

#include "frontends/data/element.h"
#include "runtime/tensor.h"

#include <math.h>
#include <string.h>

/* Calls take(ctx, x) for each element, in row-major order. */
static void each_element(const tn_tensor *t, void (*take)(void *ctx, double x), void *ctx) {
    int64_t n = tn_tensor_elements(t), at[TN_MAX_RANK] = {0}, strides[TN_MAX_RANK], offset = 0;
    tensor_strides(t, strides);
    for (int64_t i = 0; i < n; i++, offset = tensor_next(t, strides, at, offset))
        take(ctx, element_get(t->dtype, t->data, offset));
}

typedef struct looking {
    tn_statistics *s;
    double sum, squares;
    int64_t n; /* finite elements */
} looking;

static void first_look(void *ctx, double x) {
    looking *l = ctx;
    tn_statistics *s = l->s;
    s->zeros += x == 0;
    s->nans += isnan(x) != 0;
    s->infinities += isinf(x) != 0;
    if (!isfinite(x)) return;
    if (l->n == 0 || x < s->least) s->least = x;
    if (l->n == 0 || x > s->greatest) s->greatest = x;
    l->sum += x;
    l->n++;
}

/* Halves, so that the width of a range of f64 does not overflow. */
static int bin_of(const tn_statistics *s, double x) {
    double width = s->greatest / 2 - s->least / 2;
    double at = width > 0 ? (x / 2 - s->least / 2) / width * TN_HISTOGRAM_BINS : 0;
    return at >= TN_HISTOGRAM_BINS ? TN_HISTOGRAM_BINS - 1 : (int)at;
}

static void second_look(void *ctx, double x) {
    looking *l = ctx;
    if (!isfinite(x)) return;
    l->squares += (x - l->s->mean) * (x - l->s->mean);
    l->s->bins[bin_of(l->s, x)]++;
}

tn_status tn_tensor_statistics(const tn_tensor *t, tn_statistics *s) {
    if (!t || !s || tn_tensor_elements(t) < 0 || t->device != 0) return TN_ERR_ARGUMENT;
    *s = (tn_statistics){
        .elements = tn_tensor_elements(t), .least = NAN, .greatest = NAN, .mean = NAN, .deviation = NAN};
    if (s->elements == 0) return TN_OK;
    if (!t->data) return TN_ERR_ARGUMENT;
    looking l = {.s = s};
    each_element(t, first_look, &l);
    if (l.n == 0) return TN_OK;
    s->mean = l.sum / (double)l.n;
    each_element(t, second_look, &l);
    s->deviation = sqrt(l.squares / (double)l.n);
    return TN_OK;
}

char *tn_histogram_text(const tn_statistics *s, char *text) {
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    enum { HEIGHTS = sizeof blocks / sizeof *blocks - 1 };
    int64_t most = 0;
    size_t length = 0;
    for (int i = 0; i < TN_HISTOGRAM_BINS; i++) most = s->bins[i] > most ? s->bins[i] : most;
    for (int i = 0; i < TN_HISTOGRAM_BINS && most > 0; i++) {
        int height = s->bins[i] > 0 ? 1 + (int)((double)(HEIGHTS - 1) * (double)s->bins[i] / (double)most) : 0;
        size_t bytes = strlen(blocks[height]);
        memcpy(text + length, blocks[height], bytes);
        length += bytes;
    }
    text[length] = '\0';
    return text;
}
