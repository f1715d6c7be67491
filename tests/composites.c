/* Decompositions against definitions: random samples of each composite in f64, evaluated through
 * the primitives they expand to, compared with the formula written out over plain arrays.
 */
#include "ir/eval.h"
#include "ir/samples_shape.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 8, SAMPLES = 60 };

/* One application: operands and what the interpreter made of them. All f64. */
typedef struct run {
    sampler s;
    tn_graph *g;
    const node *n; /* of the composite */
    eval_tensor in[MOST], out;
    int n_in;
} run;

static const double *data(const eval_tensor *t) { return t->data; }

static const node *find_node(const tn_graph *g, tn_op op) {
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == op) return &g->nodes[i];
    return NULL;
}

static void open_run(run *r, tn_op op, uint64_t seed) {
    *r = (run){.s = {.state = seed, .dtype = TN_F64, .symbolic = seed % 3 == 0}};
    r->g = tn_graph_new("composite");
    if (!sample_op(&r->s, r->g, op)) fail_msg("%s, seed %d: %s", op_name(op), (int)seed, r->g->module->error.message);
    r->n = find_node(r->g, op);
    r->n_in = (int)r->g->n_params;
    for (int i = 0; i < r->n_in; i++) {
        const tn_type *type = &r->g->params[i].type;
        eval_tensor *t = &r->in[i];
        *t = (eval_tensor){.dtype = (tn_dtype)type->dtype, .rank = type->rank, .n = 1};
        for (int k = 0; k < t->rank; k++) t->n *= t->dims[k] = sampler_value(&r->s, r->g, type->dims[k]);
        t->data = tn_calloc((size_t)t->n + 1, sizeof(double));
        assert_true(sample_input(&r->s, r->g, (uint32_t)i, t->dims, t->data));
    }
    eval_options options = {0};
    tn_diag diag = {0};
    eval_tensor out[2] = {{0}};
    tn_status status = eval_graph(r->g, r->in, out, &options, &diag);
    if (status != TN_OK) fail_msg("%s, seed %d: %s", op_name(op), (int)seed, diag.message);
    r->out = out[0];
}

static void close_run(run *r) {
    for (int i = 0; i < r->n_in; i++) tn_free(r->in[i].data);
    eval_tensor_free(&r->out);
    tn_graph_free(r->g);
}

static int64_t axis_attr(const run *r) { return attr_int(&r->n->attrs, ATTR_axis, 0); }

/* The product of extents of axes [from, to). */
static int64_t span(const eval_tensor *t, int64_t from, int64_t to) {
    int64_t n = 1;
    for (int64_t i = from; i < to; i++) n *= t->dims[i];
    return n;
}

static void assert_near(const run *r, int64_t i, double wanted) {
    double is = data(&r->out)[i], scale = fmax(1, fabs(wanted));
    if (isnan(is) != isnan(wanted) || fabs(is - wanted) > 1e-12 * scale)
        fail_msg("%s: element %d is %.17g, should be %.17g", op_name((tn_op)r->n->op), (int)i, is, wanted);
}

/* ---- Activations ----------------------------------------------------------------------------------- */

static double f_relu(double x) { return x > 0 ? x : 0; }
static double f_leaky_relu(double x) { return x >= 0 ? x : 0.01 * x; }
static double f_elu(double x) { return x > 0 ? x : expm1(x); }
static double f_gelu(double x) { return x * (1 + erf(x / sqrt(2))) / 2; }
static double f_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double f_silu(double x) { return x * f_sigmoid(x); }
static double f_hard_sigmoid(double x) { return fmin(fmax(x / 6 + 0.5, 0), 1); }
static double f_hard_swish(double x) { return x * f_hard_sigmoid(x); }
static double f_softplus(double x) { return log(1 + exp(x)); }
static double f_mish(double x) { return x * tanh(f_softplus(x)); }
static double f_stop_gradient(double x) { return x; }

static const struct {
    tn_op op;
    double (*f)(double x);
} activations[] = {
    {TN_OP_relu, f_relu},
    {TN_OP_leaky_relu, f_leaky_relu},
    {TN_OP_elu, f_elu},
    {TN_OP_gelu, f_gelu},
    {TN_OP_silu, f_silu},
    {TN_OP_sigmoid, f_sigmoid},
    {TN_OP_softplus, f_softplus},
    {TN_OP_mish, f_mish},
    {TN_OP_stop_gradient, f_stop_gradient},
    {TN_OP_hard_sigmoid, f_hard_sigmoid},
    {TN_OP_hard_swish, f_hard_swish},
};

static void test_activations(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof activations / sizeof *activations; k++)
        for (uint64_t seed = 0; seed < 10; seed++) {
            run r;
            open_run(&r, activations[k].op, seed);
            for (int64_t i = 0; i < r.out.n; i++) assert_near(&r, i, activations[k].f(data(&r.in[0])[i]));
            close_run(&r);
        }
}

/* Far out, where naive forms overflow. */
static void test_far_arguments(void **state) {
    (void)state;
    static const struct {
        tn_op op;
        double x, y;
    } rows[] = {
        {TN_OP_softplus, 1000, 1000}, {TN_OP_softplus, -1000, 0}, {TN_OP_silu, -1000, -0.0}, {TN_OP_gelu, 1000, 1000},
        {TN_OP_elu, 1000, 1000},      {TN_OP_elu, -1000, -1},     {TN_OP_sigmoid, -1000, 0}, {TN_OP_sigmoid, 1000, 1},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        tn_graph *g = tn_graph_new("far");
        tn_val y = tn_unary_at(TN_HERE, rows[k].op, tn_input(g, "x", TN_F64, TN_SCALAR));
        tn_output(g, "y", y);
        double x = rows[k].x;
        eval_tensor in = {.dtype = TN_F64, .n = 1, .data = &x}, out = {0};
        eval_options options = {0};
        tn_diag diag;
        assert_int_equal(eval_graph(g, &in, &out, &options, &diag), TN_OK);
        if (data(&out)[0] != rows[k].y) fail_msg("%s(%g) is %g", op_name(rows[k].op), x, data(&out)[0]);
        eval_tensor_free(&out);
        tn_graph_free(g);
    }
}

/* ---- Along axes ------------------------------------------------------------------------------------- */

static void check_softmax(const run *r) {
    const eval_tensor *x = &r->in[0];
    int64_t axis = axis_attr(r), inner = span(x, axis + 1, x->rank), extent = x->dims[axis];
    for (int64_t i = 0; i < x->n; i++) {
        int64_t first = i / (inner * extent) * inner * extent + i % inner;
        double sum = 0;
        for (int64_t k = 0; k < extent; k++) sum += exp(data(x)[first + k * inner]);
        double y = data(x)[i] - log(sum);
        assert_near(r, i, r->n->op == TN_OP_softmax ? exp(y) : y);
    }
}

/* Rows of the axes from `axis` on. */
static void check_norm(const run *r) {
    const eval_tensor *x = &r->in[0];
    int64_t width = span(x, axis_attr(r), x->rank);
    for (int64_t i = 0; i < x->n; i++) {
        const double *row = data(x) + i / width * width;
        double mean = 0, power = 0;
        for (int64_t k = 0; k < width; k++) mean += row[k] / (double)width;
        if (r->n->op == TN_OP_rms_norm) mean = 0;
        for (int64_t k = 0; k < width; k++) power += (row[k] - mean) * (row[k] - mean) / (double)width;
        double y = (data(x)[i] - mean) / sqrt(power + 1e-5) * data(&r->in[1])[i % width];
        assert_near(r, i, r->n_in == 3 ? y + data(&r->in[2])[i % width] : y);
    }
}

static void check_batch_norm(const run *r) {
    const eval_tensor *x = &r->in[0];
    int64_t inner = span(x, 2, x->rank);
    for (int64_t i = 0; i < x->n; i++) {
        int64_t c = i / inner % x->dims[1];
        assert_near(r, i,
                    (data(x)[i] - data(&r->in[3])[c]) / sqrt(data(&r->in[4])[c] + 1e-5) * data(&r->in[1])[c] +
                        data(&r->in[2])[c]);
    }
}

/* Sums into the result's elements, twice for the variance. */
static void check_moment(const run *r) {
    const eval_tensor *x = &r->in[0];
    const attr *axes = attr_find(&r->n->attrs, ATTR_axes);
    double mean[4096] = {0}, square[4096] = {0};
    int64_t count = 1, to[4096];
    for (uint32_t k = 0; k < axes->ints.n; k++) count *= x->dims[axes->ints.items[k]];
    assert_true(x->n <= 4096);
    for (int64_t i = 0; i < x->n; i++) {
        int64_t rest = i, stride = 1;
        to[i] = 0;
        for (int a = x->rank - 1; a >= 0; a--) {
            bool is_reduced = false;
            for (uint32_t k = 0; k < axes->ints.n; k++) is_reduced |= axes->ints.items[k] == a;
            if (!is_reduced) {
                to[i] += rest % x->dims[a] * stride;
                stride *= x->dims[a];
            }
            rest /= x->dims[a];
        }
        mean[to[i]] += data(x)[i] / (double)count;
    }
    for (int64_t i = 0; i < x->n; i++) square[to[i]] += pow(data(x)[i] - mean[to[i]], 2) / (double)count;
    for (int64_t i = 0; i < r->out.n; i++) assert_near(r, i, r->n->op == TN_OP_mean ? mean[i] : square[i]);
}

/* ---- Contractions ------------------------------------------------------------------------------------ */

/* The offset of an operand's matrix for batch number `batch` of the result. */
static int64_t matrix_offset(const eval_tensor *t, int n_batch, int core, const eval_tensor *out, int64_t batch) {
    int64_t offset = 0, stride = span(t, t->rank - core, t->rank);
    for (int j = n_batch - 1, axis = t->rank - core - 1; j >= 0; j--, axis--) {
        int64_t at = batch % out->dims[j];
        batch /= out->dims[j];
        if (axis < 0 || axis >= TN_MAX_RANK) continue;
        if (t->dims[axis] != 1) offset += at * stride;
        stride *= t->dims[axis];
    }
    return offset;
}

static void check_matmul(const run *r) {
    const eval_tensor *a = &r->in[0], *b = &r->in[1];
    int core_a = a->rank >= 2 ? 2 : 1, core_b = b->rank >= 2 ? 2 : 1;
    int n_batch = r->out.rank - (core_a - 1) - (core_b - 1);
    int64_t m = core_a == 2 ? a->dims[a->rank - 2] : 1, k = a->dims[a->rank - 1];
    int64_t n = core_b == 2 ? b->dims[b->rank - 1] : 1;
    for (int64_t i = 0; i < r->out.n; i++) {
        const double *x = data(a) + matrix_offset(a, n_batch, core_a, &r->out, i / (m * n));
        const double *y = data(b) + matrix_offset(b, n_batch, core_b, &r->out, i / (m * n));
        double sum = 0;
        for (int64_t p = 0; p < k; p++) sum += x[i / n % m * k + p] * y[p * n + i % n];
        assert_near(r, i, sum);
    }
}

static void check_attention(const run *r) {
    const eval_tensor *q = &r->in[0], *k = &r->in[1], *v = &r->in[2], *mask = r->n_in == 4 ? &r->in[3] : NULL;
    int64_t m = q->dims[q->rank - 2], n = k->dims[k->rank - 2], d = q->dims[q->rank - 1], e = v->dims[v->rank - 1];
    double scale = attr_float(&r->n->attrs, ATTR_scale, 1 / sqrt((double)d));
    bool is_causal = attr_int(&r->n->attrs, ATTR_causal, 0) != 0;
    for (int64_t i = 0; i < r->out.n; i++) {
        int64_t batch = i / (m * e), row = i / e % m;
        double weights = 0, sum = 0;
        for (int64_t j = 0; j < n; j++) {
            double score = 0;
            if (is_causal && j > row + n - m) continue;
            for (int64_t p = 0; p < d; p++)
                score += data(q)[(batch * m + row) * d + p] * data(k)[(batch * n + j) * d + p];
            score *= scale;
            if (mask) score += data(mask)[(mask->dims[0] == 1 ? 0 : row) * n + j];
            weights += exp(score);
            sum += exp(score) * data(v)[(batch * n + j) * e + i % e];
        }
        assert_near(r, i, sum / weights);
    }
}

/* ---- Pooling ------------------------------------------------------------------------------------------ */

static int64_t window_attr(const run *r, attr_name name, int i, int64_t otherwise) {
    const attr *given = attr_find(&r->n->attrs, name);
    if (!given) return otherwise;
    if (attr_kind_of(name) == ATTR_KIND_INTS) return given->ints.items[i];
    return sampler_value(&r->s, r->g, given->dims.items[i]);
}

static void check_pool(const run *r) {
    const eval_tensor *x = &r->in[0], *y = &r->out;
    bool counts = attr_int(&r->n->attrs, ATTR_count_padding, 0) != 0;
    int n = x->rank > 2 ? x->rank - 2 : 0;
    int64_t taps = 1, channel = span(y, 2, y->rank), plane = span(x, 2, x->rank);
    for (int i = 0; i < n; i++) taps *= window_attr(r, ATTR_window, i, 1);
    for (int64_t o = 0; o < y->n; o++) {
        double sum = 0, most = -INFINITY;
        int64_t covered = 0;
        for (int64_t tap = 0; tap < taps; tap++) {
            int64_t place = o % channel, t = tap, offset = 0, stride = 1;
            bool is_inside = true;
            for (int i = n - 1; i >= 0; i--) {
                int64_t w = window_attr(r, ATTR_window, i, 1), extent = x->dims[2 + i];
                int64_t at = place % y->dims[2 + i] * window_attr(r, ATTR_stride, i, 1) +
                             t % w * window_attr(r, ATTR_dilation, i, 1) - window_attr(r, ATTR_low, i, 0);
                is_inside &= at >= 0 && at < extent;
                offset += at * stride;
                stride *= extent;
                place /= y->dims[2 + i];
                t /= w;
            }
            if (!is_inside) continue;
            double element = data(x)[o / channel * plane + offset];
            covered++;
            sum += element;
            most = fmax(most, element);
        }
        assert_near(r, o, r->n->op == TN_OP_max_pool ? most : sum / (double)(counts ? taps : covered));
    }
}

static void check_global_pool(const run *r) {
    int64_t plane = span(&r->in[0], 2, r->in[0].rank);
    for (int64_t i = 0; i < r->out.n; i++) {
        double sum = 0;
        for (int64_t k = 0; k < plane; k++) sum += data(&r->in[0])[i * plane + k];
        assert_near(r, i, sum / (double)plane);
    }
}

/* ---- The rest of the table ---------------------------------------------------------------------------- */

static const struct {
    tn_op op;
    void (*check)(const run *r);
} checks[] = {
    {TN_OP_softmax, check_softmax}, {TN_OP_log_softmax, check_softmax},   {TN_OP_layer_norm, check_norm},
    {TN_OP_rms_norm, check_norm},   {TN_OP_batch_norm, check_batch_norm}, {TN_OP_mean, check_moment},
    {TN_OP_variance, check_moment}, {TN_OP_matmul, check_matmul},         {TN_OP_attention, check_attention},
    {TN_OP_max_pool, check_pool},   {TN_OP_avg_pool, check_pool},         {TN_OP_global_avg_pool, check_global_pool},
};

static void test_definitions(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof checks / sizeof *checks; k++)
        for (uint64_t seed = 0; seed < SAMPLES; seed++) {
            run r;
            open_run(&r, checks[k].op, seed);
            checks[k].check(&r);
            close_run(&r);
        }
}

/* Every composite of the table is in one of the lists above. */
static void test_none_is_forgotten(void **state) {
    (void)state;
    for (tn_op op = 0; op < TN_OP_COUNT; op++) {
        bool is_checked = !op_is_composite(op);
        for (size_t k = 0; k < sizeof checks / sizeof *checks; k++) is_checked |= checks[k].op == op;
        for (size_t k = 0; k < sizeof activations / sizeof *activations; k++) is_checked |= activations[k].op == op;
        if (!is_checked) fail_msg("%s has no definition here", op_name(op));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_far_arguments),
        cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_none_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
