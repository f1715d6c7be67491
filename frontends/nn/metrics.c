/* Metrics: sums over a batch as graph code, finished on the host.
 *
 * in:  predictions and targets, as the header says for each
 * out: a vector of sums, which are added up over batches
 */
#include "frontends/nn/score.h"

#include "ir/dtype.h"
#include "ir/expand.h"
#include "runtime/diag.h"

#include <math.h>
#include <string.h>

enum { DEFAULT_K = 5, DEFAULT_BINS = 200 };

static tn_dtype dtype_of(tn_val v) { return (tn_dtype)tn_type_of(v).dtype; }

/* ---- Sums ------------------------------------------------------------------------------------------------- */

/* A bool, or any number, as 0 and 1 (or itself) of p's dtype. */
static tn_val number_of(score *s, tn_val v) { return tn_convert(v, dtype_of(s->p)); }

/* Scalars as one vector. */
static tn_val vector_of(const tn_val *scalars, int n) {
    enum { MOST = 4 };
    tn_val rows_of[MOST];
    for (int i = 0; i < n; i++) rows_of[i] = tn_reshape(scalars[i], TN_SHAPE(TN_SIZE(1)));
    return tn_concat(rows_of, n, 0);
}

/* [sum of x, how many]. */
static tn_val share_of(score *s, tn_val x) {
    tn_val sums[2];
    return score_sums(s, x, &sums[0], &sums[1]) ? vector_of(sums, 2) : BUILD_INVALID;
}

static tn_val accuracy(score *s, const tn_nn_metric_args *a) {
    (void)a;
    if (!score_is_sparse(s)) return BUILD_INVALID;
    tn_val best = tn_reduce("argmax", s->p, TN_INTS(-1), false);
    return share_of(s, number_of(s, tn_equal(best, tn_convert(s->t, TN_I64))));
}

/* Fewer than k are greater than the target's; a NaN is never right. */
static tn_val top_k(score *s, const tn_nn_metric_args *a) {
    if (!score_is_sparse(s)) return BUILD_INVALID;
    tn_val picked = score_pick(s, s->p);
    tn_val greater = number_of(s, tn_greater(s->p, tn_expand_dims(picked, TN_INTS(-1))));
    tn_val is_among = tn_less(tn_sum(greater, TN_INTS(-1)), score_number(s, (double)(a->k > 0 ? a->k : DEFAULT_K)));
    return share_of(s, number_of(s, tn_and(is_among, tn_equal(picked, picked))));
}

static tn_val says_yes(score *s, const tn_nn_metric_args *a) { return tn_greater(s->p, score_number(s, a->threshold)); }
static tn_val is_yes(score *s) { return tn_greater(s->t, score_number(s, 0.5)); }

static tn_val binary_accuracy(score *s, const tn_nn_metric_args *a) {
    if (!score_is_alike(s)) return BUILD_INVALID;
    return share_of(s, number_of(s, tn_equal(says_yes(s, a), is_yes(s))));
}

/* [right yes, wrong yes, missed yes] */
static tn_val f1(score *s, const tn_nn_metric_args *a) {
    if (!score_is_alike(s)) return BUILD_INVALID;
    tn_val said = says_yes(s, a), is = is_yes(s);
    tn_val cells[] = {tn_and(said, is), tn_and(said, tn_not(is)), tn_and(tn_not(said), is)}, sums[3], count;
    for (int i = 0; i < 3; i++)
        if (!score_sums(s, number_of(s, cells[i]), &sums[i], &count)) return BUILD_INVALID;
    return vector_of(sums, 3);
}

/* [..., classes] of 0 and 1: where the class is. */
static tn_val one_hot(score *s, tn_val classes) {
    tn_type type = tn_type_of(s->p);
    tn_attr_arg attrs[] = {{.name = "shape", .dims = &type.dims[type.rank - 1], .n = 1},
                           {.name = "axis", .i = 0},
                           {.name = "dtype", .i = TN_I64},
                           {0}};
    tn_val all = tn_apply(TN_HERE, s->b.g, TN_OP_iota, NULL, 0, attrs);
    return number_of(s, tn_equal(tn_expand_dims(classes, TN_INTS(-1)), all));
}

/* v, one for each example, with another axis of extent 1 behind. */
static tn_val sum_examples(tn_val v) {
    int64_t axes[TN_MAX_RANK];
    int n = expand_axes_from(v, 1, axes);
    for (int i = 0; i < n; i++) axes[i]--;
    return tn_sum(v, ((tn_ints){n, axes}));
}

/* For each class right, said, true: [3 * classes]. */
static tn_val macro_f1(score *s, const tn_nn_metric_args *a) {
    (void)a;
    if (!score_is_sparse(s)) return BUILD_INVALID;
    tn_val said = one_hot(s, tn_reduce("argmax", s->p, TN_INTS(-1), false)), is = one_hot(s, tn_convert(s->t, TN_I64));
    if (tn_is_valid(s->weights)) {
        tn_val w = tn_expand_dims(s->weights, TN_INTS(-1));
        tn_val sums[] = {sum_examples(tn_mul(tn_mul(said, is), w)), sum_examples(tn_mul(said, w)),
                         sum_examples(tn_mul(is, w))};
        return tn_concat(sums, 3, 0);
    }
    tn_val sums[] = {sum_examples(tn_mul(said, is)), sum_examples(said), sum_examples(is)};
    return tn_concat(sums, 3, 0);
}

static tn_val perplexity(score *s, const tn_nn_metric_args *a) {
    (void)a;
    return score_is_sparse(s) ? share_of(s, score_nll(s)) : BUILD_INVALID;
}

/* How many of yes, then of no, fall into each bin of sigmoid(p): [2 * bins]. */
static tn_val auc(score *s, const tn_nn_metric_args *a) {
    int64_t bins = a->bins > 0 ? a->bins : DEFAULT_BINS;
    if (!score_is_alike(s)) return BUILD_INVALID;
    tn_val place = tn_floor(tn_mul_scalar(tn_logistic(s->p), (double)bins));
    place = tn_expand_dims(tn_min_scalar(place, (double)(bins - 1)), TN_INTS(-1));
    tn_val in_bin = tn_equal(place, tn_iota(s->b.g, dtype_of(s->p), TN_SHAPE(TN_SIZE(bins)), 0));
    tn_val yes = tn_expand_dims(is_yes(s), TN_INTS(-1)), sums[2];
    for (int i = 0; i < 2; i++) {
        tn_val counted = number_of(s, tn_and(in_bin, i == 0 ? yes : tn_not(yes)));
        if (tn_is_valid(s->weights)) counted = tn_mul(counted, tn_expand_dims(s->weights, TN_INTS(-1)));
        sums[i] = sum_examples(counted);
    }
    return tn_concat(sums, 2, 0);
}

static tn_val mse(score *s, const tn_nn_metric_args *a) {
    (void)a;
    if (!score_is_alike(s)) return BUILD_INVALID;
    tn_val off = tn_sub(s->p, s->t);
    return share_of(s, tn_mul(off, off));
}

static tn_val mae(score *s, const tn_nn_metric_args *a) {
    (void)a;
    return score_is_alike(s) ? share_of(s, tn_abs(tn_sub(s->p, s->t))) : BUILD_INVALID;
}

/* ---- From sums to the metric -------------------------------------------------------------------------------- */

static double finish_share(const double *sums, int n) { return n == 2 && sums[1] > 0 ? sums[0] / sums[1] : NAN; }
static double finish_perplexity(const double *sums, int n) { return exp(finish_share(sums, n)); }

/* 2 right / (2 right + wrong + missed); without any yes there is nothing to say. */
static double finish_f1(const double *sums, int n) {
    double all = n == 3 ? 2 * sums[0] + sums[1] + sums[2] : 0;
    return all > 0 ? 2 * sums[0] / all : NAN;
}

/* A class that neither is nor was said does not count. */
static double finish_macro_f1(const double *sums, int n) {
    double sum = 0, classes = 0;
    int count = n / 3;
    for (int c = 0; c < count; c++) {
        double all = sums[count + c] + sums[2 * count + c];
        if (all > 0) {
            sum += 2 * sums[c] / all;
            classes++;
        }
    }
    return classes > 0 ? sum / classes : NAN;
}

/* The share of pairs of a yes and a no in which the yes is the higher one; half of those in one bin. */
static double finish_auc(const double *sums, int n) {
    double above = 0, area = 0, no = 0;
    int bins = n / 2;
    for (int i = bins - 1; i >= 0; i--) {
        area += sums[bins + i] * (above + sums[i] / 2);
        above += sums[i];
        no += sums[bins + i];
    }
    return above > 0 && no > 0 ? area / (above * no) : NAN;
}

/* ---- The table ------------------------------------------------------------------------------------------------ */

typedef struct row {
    const char *name;
    tn_val (*sums)(score *s, const tn_nn_metric_args *a);
    double (*finish)(const double *sums, int n);
} row;

static const row rows[] = {
    {"accuracy", accuracy, finish_share},
    {"top_k", top_k, finish_share},
    {"binary_accuracy", binary_accuracy, finish_share},
    {"f1", f1, finish_f1},
    {"macro_f1", macro_f1, finish_macro_f1},
    {"perplexity", perplexity, finish_perplexity},
    {"auc", auc, finish_auc},
    {"mse", mse, finish_share},
    {"mae", mae, finish_share},
};
enum { ROWS = sizeof rows / sizeof *rows };

static const row *find_row(const char *name) {
    for (size_t i = 0; name && i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

tn_val tn_nn_metric_at(tn_location at, const char *name, tn_val prediction, tn_nn_metric_args a) {
    score s;
    if (!score_open(&s, at, name ? name : "metric", prediction, a.target, a.weights)) return BUILD_INVALID;
    const row *r = find_row(name);
    if (!r) {
        char names[256] = "";
        line known = {names, sizeof names, 0};
        for (size_t i = 0; i < ROWS; i++) line_add(&known, "%s%s", i ? ", " : "", rows[i].name);
        return build_error(&s.b, TN_ERR_ARGUMENT, "there is no metric of that name (%s)", names);
    }
    location_id former = graph_set_origin(s.b.g, s.b.where);
    tn_val sums = r->sums(&s, &a);
    graph_set_origin(s.b.g, former);
    return sums;
}

double tn_nn_metric_finish(const char *name, const double *sums, int n) {
    const row *r = find_row(name);
    return r ? r->finish(sums, n) : NAN;
}
