/* Reference evaluation of the elementwise ops that choose or mix: compare select clamp fma.
 *
 * in:  two or three operands of one shape; select's condition and compare's result are bool
 * out: one result of the same shape
 * law: with NaN only `ne` is true; select moves elements as they are; clamp propagates NaN of
 *      any operand; fma rounds once in f32 and f64, to f16 and bf16 from a product and sum in f64
 */
#include "ir/eval_state.h"

#include <math.h>

/* ---- compare ---------------------------------------------------------------------------------- */

/* Bits: less 1, equal 2, greater 4, unordered 8; a relation is the set it holds for. */
enum { LESS = 1, EQUAL = 2, GREATER = 4, UNORDERED = 8 };
static const uint8_t holds[] = {
    [COMPARE_EQ] = EQUAL,   [COMPARE_NE] = LESS | GREATER | UNORDERED,
    [COMPARE_LT] = LESS,    [COMPARE_LE] = LESS | EQUAL,
    [COMPARE_GT] = GREATER, [COMPARE_GE] = GREATER | EQUAL,
};

static int order_floats(double a, double b) { return a < b ? LESS : a > b ? GREATER : a == b ? EQUAL : UNORDERED; }
static int order_ints(int64_t a, int64_t b, bool is_signed) {
    if (a == b) return EQUAL;
    return (is_signed ? a < b : (uint64_t)a < (uint64_t)b) ? LESS : GREATER;
}

bool eval_compare(eval_args *c) {
    const eval_tensor *a = c->operands[0], *b = c->operands[1];
    eval_tensor *y = &c->results[0];
    int64_t relation_index = attr_int(&c->node->attrs, ATTR_compare, 0);
    if (a->n != y->n || b->n != y->n || a->dtype != b->dtype || relation_index < 0 || relation_index > COMPARE_GE)
        return eval_error(c->state, TN_ERR_VERIFY, "operands differ in shape or dtype, or the relation is unknown");
    bool is_float = dtype_is_float(a->dtype), is_signed = eval_int_type(a->dtype).is_signed;
    wide va[EVAL_CHUNK], vb[EVAL_CHUNK], v[EVAL_CHUNK];
    for (int64_t first = 0; first < y->n; first += EVAL_CHUNK) {
        int64_t n = y->n - first < EVAL_CHUNK ? y->n - first : EVAL_CHUNK;
        eval_read(a, first, n, va);
        eval_read(b, first, n, vb);
        for (int64_t k = 0; k < n; k++) {
            int order = is_float ? order_floats(va[k].f, vb[k].f) : order_ints(va[k].i, vb[k].i, is_signed);
            v[k].i = (holds[relation_index] & order) != 0;
        }
        eval_write(y, first, n, v);
    }
    return true;
}

/* ---- Three operands ------------------------------------------------------------------------------ */

/* Element k of three operands with their magnitudes, and the result's. */
typedef struct trio {
    wide x[3], y;
    double m[3], my;
} trio;

typedef void trio_step(trio *t, tn_dtype dtype);

static void select_step(trio *t, tn_dtype dtype) {
    (void)dtype;
    int chosen = t->x[0].i ? 1 : 2;
    t->y = t->x[chosen];
    t->my = t->m[chosen];
}

static void clamp_step(trio *t, tn_dtype dtype) {
    const binary_row *max = eval_binary_row(TN_OP_max), *min = eval_binary_row(TN_OP_min);
    int_type type = eval_int_type(dtype);
    if (type.bits) {
        t->y.i = min->i(max->i(t->x[1].i, t->x[0].i, type), t->x[2].i, type);
        return;
    }
    t->y.f = min->f(max->f(t->x[1].f, t->x[0].f), t->x[2].f);
    t->my = fmax(fmax(t->m[0], t->m[1]), t->m[2]);
}

static void fma_step(trio *t, tn_dtype dtype) {
    if (!dtype_is_float(dtype)) {
        t->y.i = (int64_t)((uint64_t)t->x[0].i * (uint64_t)t->x[1].i + (uint64_t)t->x[2].i);
        return;
    }
    double a = t->x[0].f, b = t->x[1].f, add = t->x[2].f;
    t->y.f = dtype == TN_F32 ? fmaf((float)a, (float)b, (float)add) : fma(a, b, add);
    t->my = eval_binary_row(TN_OP_mul)->magnitude(a, t->m[0], b, t->m[1], 0) + t->m[2];
}

static bool eval_trio(eval_args *c, trio_step *step) {
    eval_tensor *y = &c->results[0];
    for (int i = 0; i < 3; i++)
        if (c->operands[i]->n != y->n) return eval_error(c->state, TN_ERR_VERIFY, "operands differ in shape");
    wide x[3][EVAL_CHUNK], v[EVAL_CHUNK];
    double m[3][EVAL_CHUNK];
    for (int64_t first = 0; first < y->n; first += EVAL_CHUNK) {
        int64_t n = y->n - first < EVAL_CHUNK ? y->n - first : EVAL_CHUNK;
        for (int i = 0; i < 3; i++) {
            eval_read(c->operands[i], first, n, x[i]);
            if (y->magnitude) eval_read_magnitudes(c->operands[i], first, n, m[i]);
        }
        for (int64_t k = 0; k < n; k++) {
            trio t = {.x = {x[0][k], x[1][k], x[2][k]}};
            for (int i = 0; i < 3 && y->magnitude; i++) t.m[i] = m[i][k];
            step(&t, y->dtype);
            v[k] = t.y;
            if (y->magnitude) y->magnitude[first + k] = t.my;
        }
        eval_write(y, first, n, v);
    }
    return true;
}

bool eval_select(eval_args *c) {
    const eval_tensor *const *o = c->operands;
    if (o[0]->dtype != TN_BOOL || o[1]->dtype != c->results[0].dtype || o[2]->dtype != c->results[0].dtype)
        return eval_error(c->state, TN_ERR_VERIFY, "operands must be bool and two of the result's dtype");
    return eval_trio(c, select_step);
}

static bool has_one_dtype(eval_args *c) {
    for (int i = 0; i < 3; i++)
        if (c->operands[i]->dtype != c->results[0].dtype) return eval_error(c->state, TN_ERR_VERIFY, "dtypes differ");
    return true;
}

bool eval_clamp(eval_args *c) { return has_one_dtype(c) && eval_trio(c, clamp_step); }
bool eval_fma(eval_args *c) { return has_one_dtype(c) && eval_trio(c, fma_step); }
