/* Learning rates over the steps, as factors (see tenon_train.h). */
#include "tenon_train.h"

#include <math.h>
#include <string.h>

static const double PI = 3.14159265358979323846;

/* How much of the way to `total` is behind: 0 to 1. */
static double done(const tn_schedule *s, double t) {
    double all = (double)(s->total - s->warmup);
    return all > 0 ? fmin(t / all, 1) : 1;
}

/* Half a cosine from a to b. */
static double anneal(double a, double b, double share) { return b + (a - b) * (1 + cos(PI * share)) / 2; }

static double constant(const tn_schedule *s, double t) {
    (void)s, (void)t;
    return 1;
}

static double step(const tn_schedule *s, double t) {
    return pow(s->gamma, floor(t / (double)(s->every > 0 ? s->every : 1)));
}
static double linear(const tn_schedule *s, double t) { return 1 + (s->floor - 1) * done(s, t); }
static double cosine(const tn_schedule *s, double t) { return anneal(1, s->floor, done(s, t)); }

static double one_cycle(const tn_schedule *s, double t) {
    const double first = 1 / 25.0, last = first / 1e4, rising = 0.3;
    double top = rising * (double)s->total - 1, end = (double)s->total - 1;
    if (t <= top) return anneal(first, 1, top > 0 ? t / top : 1);
    return anneal(1, last, end > top ? fmin((t - top) / (end - top), 1) : 1);
}

static const struct {
    const char *kind;
    double (*factor)(const tn_schedule *s, double t);
} rows[] = {
    {"constant", constant}, {"step", step}, {"linear", linear}, {"cosine", cosine}, {"one_cycle", one_cycle},
};

double tn_schedule_factor(const tn_schedule *s, int64_t at) {
    if (s->factor) return s->factor(s->ctx, at);
    if (at < s->warmup) return ((double)at + 1) / (double)s->warmup;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].kind, s->kind ? s->kind : "constant") == 0)
            return rows[i].factor(s, (double)(at - s->warmup));
    return NAN;
}
