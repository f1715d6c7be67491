/* Optimizers as graph code: a table, one row each.
 *
 * in:  a parameter, its gradient and the row's state
 * out: their next values
 * law: numbers that depend on the step alone (powers of beta, rates) are computed in f64 and rounded once
 */
#include "frontends/nn/optimizer.h"

#include "ir/expand.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

static tn_dtype dtype_of(tn_val v) { return (tn_dtype)tn_type_of(v).dtype; }

/* ---- Pieces ------------------------------------------------------------------------------------------------- */

/* An f64 scalar in the dtype of x. */
static tn_val as(tn_val scalar, tn_val x) { return tn_convert(scalar, dtype_of(x)); }

static tn_val one_minus(tn_val x) { return tn_sub(tn_scalar(x.graph, dtype_of(x), 1), x); }

/* old * keep + now * (1 - keep) */
static tn_val blend(tn_val old, tn_val now, double keep) {
    return tn_add(tn_mul_scalar(old, keep), tn_mul_scalar(now, 1 - keep));
}

static tn_val square(tn_val x) { return tn_mul(x, x); }

/* 1 - beta^step, in f64. */
static tn_val correction(const nn_update *u, double beta) {
    return one_minus(tn_pow(tn_scalar(u->step.graph, TN_F64, beta), u->step));
}

/* g + decay * p */
static tn_val with_decay(const nn_update *u) {
    return u->weight_decay == 0 ? u->g : tn_add(u->g, tn_mul_scalar(u->p, u->weight_decay));
}

/* p * (1 - rate * decay) */
static tn_val decayed(const nn_update *u) {
    if (u->weight_decay == 0) return u->p;
    return tn_mul(u->p, as(one_minus(tn_mul_scalar(u->rate, u->weight_decay)), u->p));
}

static tn_val minus_rate(const nn_update *u, tn_val p, tn_val direction) {
    return tn_sub(p, tn_mul(as(u->rate, p), direction));
}

/* ---- The rows' steps ------------------------------------------------------------------------------------------ */

static tn_val step_sgd(nn_update *u) {
    tn_val g = with_decay(u);
    if (u->o->momentum == 0) return minus_rate(u, u->p, g);
    u->slots[0] = tn_add(tn_mul_scalar(u->slots[0], u->o->momentum), g);
    tn_val ahead = u->o->nesterov ? tn_add(g, tn_mul_scalar(u->slots[0], u->o->momentum)) : u->slots[0];
    return minus_rate(u, u->p, ahead);
}

static tn_val step_moments(nn_update *u, tn_val p, tn_val g) {
    tn_val m = u->slots[0] = blend(u->slots[0], g, u->o->beta1);
    tn_val v = u->slots[1] = blend(u->slots[1], square(g), u->o->beta2);
    tn_val size = tn_div(u->rate, correction(u, u->o->beta1));
    tn_val spread = tn_rsqrt(correction(u, u->o->beta2));
    tn_val divisor = tn_add_scalar(tn_mul(tn_sqrt(v), as(spread, v)), u->o->epsilon);
    return tn_sub(p, tn_mul(as(size, p), tn_div(m, divisor)));
}

static tn_val step_adam(nn_update *u) { return step_moments(u, u->p, with_decay(u)); }
static tn_val step_adamw(nn_update *u) { return step_moments(u, decayed(u), u->g); }

static tn_val step_rmsprop(nn_update *u) {
    tn_val g = with_decay(u);
    u->slots[0] = blend(u->slots[0], square(g), u->o->beta2);
    tn_val quotient = tn_div(g, tn_add_scalar(tn_sqrt(u->slots[0]), u->o->epsilon));
    if (u->o->momentum == 0) return minus_rate(u, u->p, quotient);
    u->slots[1] = tn_add(tn_mul_scalar(u->slots[1], u->o->momentum), quotient);
    return minus_rate(u, u->p, u->slots[1]);
}

static tn_val step_adagrad(nn_update *u) {
    tn_val g = with_decay(u);
    u->slots[0] = tn_add(u->slots[0], square(g));
    return minus_rate(u, u->p, tn_div(g, tn_add_scalar(tn_sqrt(u->slots[0]), u->o->epsilon)));
}

static tn_val step_lion(nn_update *u) {
    tn_val direction = tn_sign(blend(u->slots[0], u->g, u->o->beta1));
    u->slots[0] = blend(u->slots[0], u->g, u->o->beta2);
    return minus_rate(u, decayed(u), direction);
}

/* Root of the mean of squares over all elements. */
static tn_val root_mean_square(tn_val x) {
    int64_t axes[TN_MAX_RANK];
    return tn_sqrt(expand_average(square(x), axes, expand_axes_from(x, 0, axes), false));
}

/* An estimate of the squares by their row and column means: row * column / mean of rows. */
static tn_val factored_squares(nn_update *u, tn_val keep, double least) {
    tn_val now = square(u->g), fresh = one_minus(keep);
    tn_val rows = tn_add(tn_mul(u->slots[0], keep), tn_mul(tn_mean(now, TN_INTS(-1), true), fresh));
    tn_val columns = tn_add(tn_mul(u->slots[1], keep), tn_mul(tn_mean(now, TN_INTS(-2), true), fresh));
    u->slots[0] = rows;
    u->slots[1] = columns;
    return tn_mul(tn_div(rows, tn_max_scalar(tn_mean(rows, TN_INTS(-2), true), least)), columns);
}

static tn_val step_adafactor(nn_update *u) {
    const double decay_of_beta = -0.8, least_scale = u->o->epsilon;
    double least = dtype_of(u->p) == TN_F64 ? DBL_EPSILON : FLT_EPSILON;
    tn_graph *g = u->p.graph;
    tn_val keep = as(one_minus(tn_pow(u->step, tn_scalar(g, TN_F64, decay_of_beta))), u->p), squares;
    if (tn_rank(u->p) >= 2) {
        squares = factored_squares(u, keep, least);
    } else {
        u->slots[0] = tn_add(tn_mul(u->slots[0], keep), tn_mul(square(u->g), one_minus(keep)));
        squares = u->slots[0];
    }
    tn_val update = tn_mul(u->g, tn_rsqrt(tn_max_scalar(squares, least * least)));
    tn_val rate = as(tn_min(u->rate, tn_rsqrt(u->step)), u->p);
    tn_val size = tn_mul(rate, tn_max_scalar(root_mean_square(u->p), least_scale));
    tn_val over = tn_max_scalar(root_mean_square(update), 1);
    return tn_sub(decayed(u), tn_mul(tn_div(size, over), update));
}

/* ---- What they keep --------------------------------------------------------------------------------------------- */

static int keep_momentum(const tn_optimizer *o, dim_table *t, const tn_type *type, nn_slot *slots) {
    (void)t;
    slots[0] = (nn_slot){"momentum", *type};
    return o->momentum != 0;
}

static int keep_moments(const tn_optimizer *o, dim_table *t, const tn_type *type, nn_slot *slots) {
    (void)o, (void)t;
    slots[0] = (nn_slot){"m", *type};
    slots[1] = (nn_slot){"v", *type};
    return 2;
}

static int keep_squares(const tn_optimizer *o, dim_table *t, const tn_type *type, nn_slot *slots) {
    (void)t;
    slots[0] = (nn_slot){"v", *type};
    slots[1] = (nn_slot){"momentum", *type};
    return 1 + (o->momentum != 0);
}

static int keep_mean(const tn_optimizer *o, dim_table *t, const tn_type *type, nn_slot *slots) {
    (void)o, (void)t;
    slots[0] = (nn_slot){"m", *type};
    return 1;
}

static int keep_factors(const tn_optimizer *o, dim_table *t, const tn_type *type, nn_slot *slots) {
    (void)o;
    slots[0] = (nn_slot){"v", *type};
    if (type->rank < 2) return 1;
    slots[0] = (nn_slot){"rows", *type};
    slots[0].type.dims[type->rank - 1] = dim_const(t, 1);
    slots[1] = (nn_slot){"columns", *type};
    slots[1].type.dims[type->rank - 2] = dim_const(t, 1);
    return 2;
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

typedef struct row {
    tn_optimizer defaults; /* its name too */
    int (*keep)(const tn_optimizer *o, dim_table *t, const tn_type *type, nn_slot *slots);
    tn_val (*step)(nn_update *u);
} row;

static const row rows[] = {
    {{.name = "sgd"}, keep_momentum, step_sgd},
    {{.name = "adam", .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8}, keep_moments, step_adam},
    {{.name = "adamw", .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 1e-2}, keep_moments, step_adamw},
    {{.name = "rmsprop", .beta2 = 0.99, .epsilon = 1e-8}, keep_squares, step_rmsprop},
    {{.name = "adagrad", .epsilon = 1e-10}, keep_squares, step_adagrad},
    {{.name = "lion", .beta1 = 0.9, .beta2 = 0.99}, keep_mean, step_lion},
    {{.name = "adafactor", .epsilon = 1e-3}, keep_factors, step_adafactor},
};
enum { ROWS = sizeof rows / sizeof *rows };

static const row *find_row(const char *name) {
    for (size_t i = 0; name && i < ROWS; i++)
        if (strcmp(rows[i].defaults.name, name) == 0) return &rows[i];
    return NULL;
}

tn_optimizer tn_optimizer_of(const char *name, double learning_rate) {
    const row *r = find_row(name);
    tn_optimizer o = r ? r->defaults : (tn_optimizer){.name = name ? name : ""};
    o.learning_rate = learning_rate;
    return o;
}

bool nn_optimizer_exists(const char *name) { return find_row(name) != NULL; }
const char *nn_optimizer_names(void) { return "sgd, adam, adamw, rmsprop, adagrad, lion, adafactor"; }

const char *nn_optimizer_fault(const tn_optimizer *o, char *text, size_t bytes) {
    const struct {
        const char *name;
        double number;
        bool is_right;
        const char *right;
    } numbers[] = {
        {"learning_rate", o->learning_rate, o->learning_rate > 0, "above 0"},
        {"momentum", o->momentum, o->momentum >= 0 && o->momentum < 1, "at least 0 and below 1"},
        {"beta1", o->beta1, o->beta1 >= 0 && o->beta1 < 1, "at least 0 and below 1"},
        {"beta2", o->beta2, o->beta2 >= 0 && o->beta2 < 1, "at least 0 and below 1"},
        {"epsilon", o->epsilon, o->epsilon >= 0, "at least 0"},
        {"weight_decay", o->weight_decay, o->weight_decay >= 0, "at least 0"},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!numbers[i].is_right) {
            snprintf(text, bytes, "%s is %g, it must be %s", numbers[i].name, numbers[i].number, numbers[i].right);
            return text;
        }
    return o->nesterov && o->momentum == 0 ? "nesterov needs a momentum" : NULL;
}

int nn_optimizer_slots(const tn_optimizer *o, dim_table *t, const tn_type *type, nn_slot slots[NN_MAX_SLOTS]) {
    return find_row(o->name)->keep(o, t, type, slots);
}

tn_val nn_optimizer_step(nn_update *u) { return find_row(u->o->name)->step(u); }

bool tn_decay_matrices(void *ctx, const char *name, int rank) {
    (void)ctx;
    (void)name;
    return rank >= 2;
}
