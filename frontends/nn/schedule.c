/* Learning rates over the steps, as factors (see tenon_train.h). */
#include "frontends/nn/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
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

const char *nn_schedule_fault(const tn_schedule *s, char *text, size_t bytes) {
    const char *kind = s->kind ? s->kind : "constant";
    bool is_step = strcmp(kind, "step") == 0, has_end = !is_step && strcmp(kind, "constant") != 0;
    size_t i = 0;
    if (s->factor) return NULL;
    while (i < sizeof rows / sizeof *rows && strcmp(rows[i].kind, kind) != 0) i++;
    if (i == sizeof rows / sizeof *rows)
        snprintf(text, bytes, "no schedule is called \"%.100s\" (constant, step, linear, cosine, one_cycle)", kind);
    else if (s->warmup < 0)
        snprintf(text, bytes, "schedule %s: warmup is %" PRId64 ", it must be at least 0", kind, s->warmup);
    else if (is_step && s->every < 1)
        snprintf(text, bytes, "schedule step: every is %" PRId64 ", it must be at least 1", s->every);
    else if (is_step && !(s->gamma > 0))
        snprintf(text, bytes, "schedule step: gamma is %g, it must be above 0", s->gamma);
    else if (has_end && s->total <= s->warmup)
        snprintf(text, bytes, "schedule %s: total is %" PRId64 ", it must be above warmup, which is %" PRId64, kind,
                 s->total, s->warmup);
    else
        return NULL;
    return text;
}

double tn_schedule_factor(const tn_schedule *s, int64_t at) {
    if (s->factor) return s->factor(s->ctx, at);
    if (at < s->warmup) return ((double)at + 1) / (double)s->warmup;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].kind, s->kind ? s->kind : "constant") == 0)
            return rows[i].factor(s, (double)(at - s->warmup));
    return NAN;
}
