/* Losses: a table of functions that give one number for each example, and their mean.
 *
 * in:  predictions and targets, as the header says for each
 * out: a scalar
 * law: exponentials never overflow: cross-entropies go through log_softmax and softplus
 */
#include "frontends/nn/score.h"

#include "ir/dtype.h"
#include "ir/expand.h"
#include "runtime/diag.h"

#include <string.h>

static tn_dtype dtype_of(tn_val v) { return (tn_dtype)tn_type_of(v).dtype; }

/* ---- Predictions, targets, weights ------------------------------------------------------------------- */

static tn_val widen(tn_val v) { return dtype_is_float(dtype_of(v)) ? expand_widen(v) : v; }

bool score_open(score *s, tn_location at, const char *name, tn_val p, tn_val t, tn_val weights) {
    tn_val values[] = {p, t, weights};
    char text[BUILD_TEXT];
    *s = (score){.weights = BUILD_INVALID};
    if (!build_open(&s->b, at, name, NULL, values, weights.graph ? 3 : 2)) return false;
    if (!dtype_is_float(dtype_of(p))) {
        build_error(&s->b, TN_ERR_DTYPE, "a prediction is of floats: %s", build_describe(p, text));
        return false;
    }
    s->p = widen(p);
    s->t = widen(t);
    if (weights.graph) s->weights = tn_convert(weights, dtype_of(s->p));
    return true;
}

tn_val score_number(const score *s, double number) { return tn_scalar(s->b.g, dtype_of(s->p), number); }

bool score_is_sparse(score *s) {
    char p[BUILD_TEXT], t[BUILD_TEXT];
    if (dtype_in(DTYPES_INDEX, dtype_of(s->t)) && tn_rank(s->t) == tn_rank(s->p) - 1) return true;
    build_error(&s->b, dtype_in(DTYPES_INDEX, dtype_of(s->t)) ? TN_ERR_SHAPE : TN_ERR_DTYPE,
                "the target has a class (i32 or i64) for each row of the prediction: %s, %s", build_describe(s->t, t),
                build_describe(s->p, p));
    return false;
}

/* Whether two sizes can be the same; an axis of 1 is not spread over one of more, or of a size that is not known. */
static bool may_be_equal(const score *s, tn_dim a, tn_dim b) {
    int64_t x, y;
    bool knows_x = dim_is_const(build_dims(&s->b), a, &x), knows_y = dim_is_const(build_dims(&s->b), b, &y);
    if (knows_x && knows_y) return x == y;
    return !(knows_x && x == 1) && !(knows_y && y == 1);
}

bool score_is_alike(score *s) {
    char p[BUILD_TEXT], t[BUILD_TEXT];
    bool is_alike = tn_rank(s->t) == tn_rank(s->p);
    for (int axis = 0; is_alike && axis < tn_rank(s->t); axis++)
        is_alike = may_be_equal(s, tn_dim_of(s->t, axis), tn_dim_of(s->p, axis));
    if (!is_alike) {
        build_error(&s->b, TN_ERR_SHAPE, "the target has the prediction's shape: %s, %s", build_describe(s->t, t),
                    build_describe(s->p, p));
        return false;
    }
    s->t = tn_convert(s->t, dtype_of(s->p));
    return true;
}

tn_val score_pick(score *s, tn_val x) {
    int last = tn_rank(x) - 1;
    return tn_gather(x, tn_expand_dims(s->t, TN_INTS(-1)), TN_INTS(last), last);
}

tn_val score_nll(score *s) { return tn_neg(score_pick(s, tn_log_softmax(s->p, -1))); }

bool score_sums(score *s, tn_val x, tn_val *sum, tn_val *count) {
    char text[BUILD_TEXT];
    int64_t axes[TN_MAX_RANK];
    if (!tn_is_valid(x)) return false;
    if (tn_is_valid(s->weights)) {
        if (tn_rank(s->weights) != tn_rank(x)) {
            build_error(&s->b, TN_ERR_SHAPE, "weights are one for each of %d axes of examples: %s", tn_rank(x),
                        build_describe(s->weights, text));
            return false;
        }
        *sum = tn_sum(tn_mul(x, s->weights), TN_NO_INTS);
        *count = tn_sum(s->weights, TN_NO_INTS);
    } else {
        *sum = tn_sum(x, TN_NO_INTS);
        *count = expand_count(x, axes, expand_axes_from(x, 0, axes), dtype_of(x));
    }
    return tn_is_valid(*sum) && tn_is_valid(*count);
}

/* ---- The losses ------------------------------------------------------------------------------------------ */

static tn_val smoothed(const tn_nn_loss_args *a, tn_val plain, tn_val uniform) {
    double s = a->label_smoothing;
    return s == 0 ? plain : tn_add(tn_mul_scalar(plain, 1 - s), tn_mul_scalar(uniform, s));
}

static tn_val sparse_cross_entropy(score *s, const tn_nn_loss_args *a) {
    if (!score_is_sparse(s)) return BUILD_INVALID;
    return smoothed(a, score_nll(s), tn_neg(tn_mean(tn_log_softmax(s->p, -1), TN_INTS(-1), false)));
}

static tn_val cross_entropy(score *s, const tn_nn_loss_args *a) {
    if (!score_is_alike(s)) return BUILD_INVALID;
    tn_val logs = tn_log_softmax(s->p, -1);
    return smoothed(a, tn_neg(tn_sum(tn_mul(s->t, logs), TN_INTS(-1))), tn_neg(tn_mean(logs, TN_INTS(-1), false)));
}

static tn_val binary_cross_entropy(score *s, const tn_nn_loss_args *a) {
    if (!score_is_alike(s)) return BUILD_INVALID;
    /* Two classes: half of the smoothing is for the other one. */
    tn_val t = smoothed(a, s->t, score_number(s, 0.5));
    return tn_sub(tn_softplus(s->p), tn_mul(t, s->p));
}

static tn_val mse(score *s, const tn_nn_loss_args *a) {
    (void)a;
    if (!score_is_alike(s)) return BUILD_INVALID;
    tn_val off = tn_sub(s->p, s->t);
    return tn_mul(off, off);
}

static tn_val mae(score *s, const tn_nn_loss_args *a) {
    (void)a;
    return score_is_alike(s) ? tn_abs(tn_sub(s->p, s->t)) : BUILD_INVALID;
}

/* With c = min(|off|, delta): c * (|off| - c / 2). */
static tn_val huber(score *s, const tn_nn_loss_args *a) {
    if (!score_is_alike(s)) return BUILD_INVALID;
    tn_val off = tn_abs(tn_sub(s->p, s->t)), cut = tn_min_scalar(off, a->delta > 0 ? a->delta : 1);
    return tn_mul(cut, tn_sub(off, tn_mul_scalar(cut, 0.5)));
}

static tn_val kl_divergence(score *s, const tn_nn_loss_args *a) {
    (void)a;
    if (!score_is_alike(s)) return BUILD_INVALID;
    tn_val zero = score_number(s, 0), is_positive = tn_greater(s->t, zero);
    tn_val safe = tn_select(is_positive, s->t, score_number(s, 1)); /* 0 log 0 is 0 */
    tn_val each = tn_select(is_positive, tn_mul(s->t, tn_sub(tn_log(safe), s->p)), zero);
    return tn_sum(each, TN_INTS(-1));
}

static tn_val hinge(score *s, const tn_nn_loss_args *a) {
    (void)a;
    if (!score_is_alike(s)) return BUILD_INVALID;
    return tn_max_scalar(tn_sub(score_number(s, 1), tn_mul(s->t, s->p)), 0);
}

static const struct {
    const char *name;
    tn_val (*each)(score *s, const tn_nn_loss_args *a); /* one number an example */
} rows[] = {
    {"sparse_cross_entropy", sparse_cross_entropy},
    {"cross_entropy", cross_entropy},
    {"binary_cross_entropy", binary_cross_entropy},
    {"mse", mse},
    {"mae", mae},
    {"huber", huber},
    {"kl_divergence", kl_divergence},
    {"hinge", hinge},
};

static tn_val mean(score *s, tn_val each) {
    tn_val sum, count;
    return score_sums(s, each, &sum, &count) ? tn_div(sum, count) : BUILD_INVALID;
}

tn_val tn_nn_loss_at(tn_location at, const char *name, tn_val prediction, tn_nn_loss_args a) {
    score s;
    char names[256] = "";
    line known = {names, sizeof names, 0};
    if (!score_open(&s, at, name ? name : "loss", prediction, a.target, a.weights)) return BUILD_INVALID;
    if (!(a.label_smoothing >= 0 && a.label_smoothing < 1))
        return build_error(&s.b, TN_ERR_ARGUMENT, "label_smoothing is %g, it must be at least 0 and below 1",
                           a.label_smoothing);
    location_id former = graph_set_origin(s.b.g, s.b.where);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        line_add(&known, "%s%s", i ? ", " : "", rows[i].name);
        if (!name || strcmp(rows[i].name, name) != 0) continue;
        tn_val loss = mean(&s, rows[i].each(&s, &a));
        graph_set_origin(s.b.g, former);
        return loss;
    }
    graph_set_origin(s.b.g, former);
    return build_error(&s.b, TN_ERR_ARGUMENT, "there is no loss of that name (%s)", names);
}
