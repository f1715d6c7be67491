/* Values for the parameters of samples: what their readers may legally get, and telling.
 *
 * in:  a parameter, its extents
 * out: its data, row-major
 * law: indices are in range; in exact samples floats are small integers; specials (NaN,
 *      infinities, extremes) go to elementwise readers only, where each stays by itself
 */
#include "ir/samples_shape.h"

#include "ir/dtype.h"
#include "ir/eval.h"

#include <math.h>

/* ---- Where a float's function is interesting ------------------------------------------------------ */

typedef struct domain {
    uint16_t op;
    int8_t operand; /* -1: any */
    double low, high;
} domain;

static const domain domains[] = {
    {TN_OP_exp, -1, -10, 10},       {TN_OP_exp2, -1, -12, 12},     {TN_OP_expm1, -1, -3, 3},
    {TN_OP_log, -1, 0.01, 20},      {TN_OP_log1p, -1, -0.9, 10},   {TN_OP_sqrt, -1, 0, 20},
    {TN_OP_rsqrt, -1, 0.01, 20},    {TN_OP_sin, -1, -20, 20},      {TN_OP_cos, -1, -20, 20},
    {TN_OP_tan, -1, -1.4, 1.4},     {TN_OP_asin, -1, -1, 1},       {TN_OP_acos, -1, -1, 1},
    {TN_OP_sinh, -1, -6, 6},        {TN_OP_cosh, -1, -6, 6},       {TN_OP_acosh, -1, 1, 20},
    {TN_OP_atanh, -1, -0.95, 0.95}, {TN_OP_pow, 0, 0.1, 4},        {TN_OP_pow, 1, -3, 3},
    {TN_OP_div, 1, 0.2, 5},         {TN_OP_rem, 1, 0.2, 5},        {TN_OP_convert, -1, -200, 200},
    {TN_OP_batch_norm, 4, 0.1, 3},  {TN_OP_softplus, -1, -30, 30}, {TN_OP_logistic, -1, -15, 15},
    {TN_OP_reduce, -1, -2, 2},      {TN_OP_cumulate, -1, -2, 2},
};

/* ---- The reader ----------------------------------------------------------------------------------- */

typedef struct reader {
    const tn_graph *g;
    const node *n; /* NULL: none, or several */
    uint32_t operand;
} reader;

static reader find_reader(const tn_graph *g, value_id v) {
    reader found = {.g = g};
    int n = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_operands; k++) {
            if (g->nodes[i].operands[k] != v) continue;
            found.n = &g->nodes[i];
            found.operand = k;
            n++;
        }
    if (n != 1) found.n = NULL;
    /* A broadcast only repeats: what counts is who reads it. */
    if (found.n && found.n->op == TN_OP_broadcast) return find_reader(g, found.n->first_result);
    return found;
}

static bool reads(const reader *r, tn_op op, uint32_t operand) {
    return r->n && r->n->op == op && r->operand == operand;
}

/* Do NaN, infinities and extremes make a test here, or only noise? */
static bool takes_specials(const reader *r) {
    return r->n && (op_table[r->n->op].loop_class == CLASS_MAP || op_table[r->n->op].loop_class == CLASS_VIEW);
}

/* ---- One element ---------------------------------------------------------------------------------- */

static double draw_float(sampler *s, const reader *r) {
    static const double specials[] = {0, -0.0, 1, -1, 0x1p-140, -0x1p-20, 65504, 1e30, -1e30};
    if (!s->ordinary && takes_specials(r) && sampler_chance(s, 3)) {
        int64_t i = sampler_range(s, 0, 11);
        return i < 9 ? specials[i] : i == 9 ? NAN : i == 10 ? INFINITY : -INFINITY;
    }
    double low = -4, high = 4;
    for (size_t i = 0; r->n && i < sizeof domains / sizeof *domains; i++) {
        if (domains[i].op != r->n->op || (domains[i].operand >= 0 && domains[i].operand != (int)r->operand)) continue;
        low = domains[i].low;
        high = domains[i].high;
    }
    return low + (high - low) * sampler_unit(s);
}

/* Small enough that sums of products stay exact; factors of a long product smaller still. */
static double draw_exact(sampler *s, const reader *r) {
    bool multiplies = r->n && attr_find(&r->n->attrs, ATTR_kind) && attr_int(&r->n->attrs, ATTR_kind, 0) == REDUCE_PROD;
    return multiplies ? (double)(sampler_chance(s, 50) ? 1 : -1) : (double)sampler_range(s, -4, 4);
}

static int64_t draw_int(sampler *s, const reader *r, bool is_signed) {
    bool is_count = reads(r, TN_OP_shl, 1) || reads(r, TN_OP_shr, 1);
    if (is_count && sampler_chance(s, 80)) return sampler_range(s, 0, 9);
    if (takes_specials(r) && sampler_chance(s, 10)) {
        int64_t pick = sampler_range(s, 0, 3);
        return pick == 0 ? INT64_MIN : pick == 1 ? INT64_MAX : (int64_t)sampler_next(s) >> sampler_range(s, 0, 56);
    }
    return sampler_range(s, is_signed ? -8 : 0, 8);
}

/* An index within the axis that it goes into; the last axis of the indices has one for each. */
static int64_t draw_index(sampler *s, const reader *r, int64_t linear) {
    const attr *axes = attr_find(&r->n->attrs, ATTR_axes);
    if (!axes || axes->ints.n == 0) return 0;
    int64_t axis = axes->ints.items[linear % (int64_t)axes->ints.n];
    int64_t extent = sampler_value(s, r->g, graph_type(r->g, r->n->operands[0])->dims[axis]);
    return extent > 0 ? sampler_range(s, 0, extent - 1) : 0;
}

bool sample_input(sampler *s, const tn_graph *g, uint32_t number, const int64_t *dims, void *data) {
    if (number >= g->n_params) return false;
    const param *p = &g->params[number];
    eval_tensor t = {.dtype = (tn_dtype)p->type.dtype, .rank = p->type.rank, .n = 1, .data = data};
    for (int i = 0; i < p->type.rank; i++)
        if (__builtin_mul_overflow(t.n, dims[i], &t.n)) return false;
    reader r = find_reader(g, p->value);
    bool is_index = reads(&r, TN_OP_gather, 1) || reads(&r, TN_OP_scatter, 1);
    bool is_signed = dtype_in(DTYPES_SINT, t.dtype);
    for (int64_t i = 0; i < t.n; i++) {
        if (is_index)
            eval_store_int(&t, i, draw_index(s, &r, i));
        else if (t.dtype == TN_BOOL)
            eval_store_int(&t, i, sampler_range(s, 0, 1));
        else if (dtype_is_float(t.dtype))
            eval_store_float(&t, i, s->exact ? draw_exact(s, &r) : draw_float(s, &r));
        else
            eval_store_int(&t, i, draw_int(s, &r, is_signed));
    }
    return true;
}
