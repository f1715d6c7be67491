/* Generated tests of the interpreter: every op in every dtype on random legal inputs.
 *
 * For each application the run must succeed, twice with the same bits, and every float's magnitude must be
 * at least its absolute value. Where the op is smooth, inputs moved by a relative 1e-9 must move
 * the results by no more than the magnitudes say. Views and indexing are checked element by element against
 * where each element comes from; sums of products against sums over all pairs of elements.
 */
#include "tests/lib/compare.h"

#include "ir/dtype.h"
#include "ir/samples_shape.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { MAX_VALUES = 32, SEEDS = 8, MAX_PAIRS = 400000 };

/* ---- One application ---------------------------------------------------------------------------- */

typedef struct application {
    sampler s;
    tn_op op;
    tn_graph *g;
    const node *n;
    eval_tensor in[MAX_VALUES], out[MAX_VALUES];
} application;

static const char *describe(const application *a) {
    static char text[128];
    snprintf(text, sizeof text, "%s in %s%s", op_name(a->op), tn_dtype_name(a->s.dtype),
             a->s.symbolic ? ", symbolic" : "");
    return text;
}

static size_t bytes_of(const eval_tensor *t) { return (size_t)t->n * (tn_dtype_bits(t->dtype) / 8); }

static void fill_inputs(application *a) {
    for (size_t i = 0; i < a->g->n_params; i++)
        if (!tensor_sampled(&a->s, a->g, i, &a->in[i])) fail_msg("%s: no input %zu", describe(a), i);
}

static void run(application *a, const eval_tensor *in, eval_tensor *out) {
    eval_options options = {.magnitudes = true, .max_elements = 1 << 24, .max_steps = 1 << 20};
    tn_diag diag;
    tn_status status = eval_graph(a->g, in, out, &options, &diag);
    if (status != TN_OK) fail_msg("%s: %s %s", describe(a), tn_status_name(status), diag.message);
}

static void open_application(application *a, tn_op op, tn_dtype dtype, uint64_t seed) {
    *a = (application){.s = {.state = seed * 1000003 + op * 101 + dtype, .dtype = dtype, .symbolic = seed % 2},
                       .op = op};
    a->g = tn_graph_new("generated");
    if (!sample_op(&a->s, a->g, op)) fail_msg("%s: %s", describe(a), a->g->module->error.message);
    a->n = graph_node_of(a->g, a->g->results[0].value);
    assert_true(a->g->n_params <= MAX_VALUES && a->g->n_results <= MAX_VALUES);
    fill_inputs(a);
    run(a, a->in, a->out);
}

static void close_application(application *a) {
    for (size_t i = 0; i < a->g->n_params; i++) eval_tensor_free(&a->in[i]);
    for (size_t r = 0; r < a->g->n_results; r++) eval_tensor_free(&a->out[r]);
    tn_graph_free(a->g);
}

/* The tensor that operand i of the node is; NULL when it is no parameter. */
static const eval_tensor *operand(const application *a, uint32_t i) {
    const node *n = graph_node_of(a->g, a->n->operands[i]);
    return n->op == TN_OP_param ? &a->in[attr_int(&n->attrs, ATTR_index, 0)] : NULL;
}

/* ---- What holds for every op ---------------------------------------------------------------------- */

static void check_repeats(application *a) {
    eval_tensor again[MAX_VALUES] = {{0}};
    run(a, a->in, again);
    for (size_t r = 0; r < a->g->n_results; r++) {
        if (a->out[r].n > 0 && memcmp(a->out[r].data, again[r].data, bytes_of(&a->out[r])) != 0)
            fail_msg("%s: result %zu differs from run to run", describe(a), r);
        eval_tensor_free(&again[r]);
    }
}

static void check_magnitudes(const application *a) {
    for (size_t r = 0; r < a->g->n_results; r++) {
        const eval_tensor *t = &a->out[r];
        for (int64_t k = 0; dtype_is_float(t->dtype) && k < t->n; k++) {
            double size = fabs(eval_load_float(t, k)), m = t->magnitude[k];
            if (isfinite(size) && isfinite(m) && size > m * 1.01 + 1e-7)
                fail_msg("%s: element %lld is %g, its magnitude %g", describe(a), (long long)k, size, m);
        }
    }
}

static bool is_smooth(tn_op op) {
    switch (op) {
    case TN_OP_sign:
    case TN_OP_floor:
    case TN_OP_ceil:
    case TN_OP_round:
    case TN_OP_rem:
    case TN_OP_bitcast:
    case TN_OP_convert:
    case TN_OP_while:
    case TN_OP_if:
    case TN_OP_custom: return false;
    default: return true;
    }
}

/* Moves each float input by a relative 1e-9 up or down; the sorting of the results into more or less
 * is left to the magnitudes. f64 only: else rounding hides the effect. */
static void check_first_order(application *a) {
    const double step = 1e-9;
    eval_tensor moved[MAX_VALUES] = {{0}}, out[MAX_VALUES] = {{0}};
    for (size_t i = 0; i < a->g->n_params; i++) {
        moved[i] = a->in[i];
        moved[i].data = tn_calloc((size_t)a->in[i].n + 1, 8);
        memcpy(moved[i].data, a->in[i].data, bytes_of(&a->in[i]));
        for (int64_t k = 0; moved[i].dtype == TN_F64 && k < moved[i].n; k++)
            eval_store_float(&moved[i], k,
                             eval_load_float(&moved[i], k) * (sampler_unit(&a->s) < 0.5 ? 1 + step : 1 - step));
    }
    run(a, moved, out);
    for (size_t r = 0; r < a->g->n_results; r++) {
        for (int64_t k = 0; out[r].dtype == TN_F64 && k < out[r].n; k++) {
            double y = eval_load_float(&a->out[r], k), z = eval_load_float(&out[r], k), m = a->out[r].magnitude[k];
            if (isfinite(y) && isfinite(z) && isfinite(m) && fabs(y - z) > 1.5 * step * m + 1e-14)
                fail_msg("%s: result %zu[%lld] moves from %.17g by %g, magnitude %g", describe(a), r, (long long)k, y,
                         z - y, m);
        }
        eval_tensor_free(&out[r]);
    }
    for (size_t i = 0; i < a->g->n_params; i++) eval_tensor_free(&moved[i]);
}

/* ---- Attributes and coordinates ------------------------------------------------------------------------ */

static int64_t entry(const application *a, attr_name name, int axis, int64_t otherwise) {
    const attr *found = attr_find(&a->n->attrs, name);
    if (!found) return otherwise;
    if (attr_kind_of(name) == ATTR_KIND_DIMS)
        return found->dims.n ? sampler_value(&a->s, a->g, found->dims.items[axis]) : otherwise;
    return found->ints.n ? found->ints.items[axis] : otherwise;
}

static int entry_count(const application *a, attr_name name) {
    const attr *found = attr_find(&a->n->attrs, name);
    return found ? (int)found->ints.n : 0;
}

static void coordinates(const eval_tensor *t, int64_t linear, int64_t *at) {
    for (int axis = t->rank; axis-- > 0; linear /= t->dims[axis]) at[axis] = linear % t->dims[axis];
}

static int64_t linear_of(const eval_tensor *t, const int64_t *at) {
    int64_t linear = 0;
    for (int axis = 0; axis < t->rank; axis++) linear = linear * t->dims[axis] + at[axis];
    return linear;
}

static bool names_axis(const application *a, attr_name name, int axis) {
    for (int k = 0; k < entry_count(a, name); k++)
        if (entry(a, name, k, -1) == axis) return true;
    return false;
}

/* ---- Where elements come from ----------------------------------------------------------------------------- */

/* The operand that the result element at `at` comes from, and its coordinates there. */
typedef uint32_t origin(const application *a, const int64_t *at, int64_t *from);

static uint32_t from_broadcast(const application *a, const int64_t *at, int64_t *from) {
    const eval_tensor *x = operand(a, 0);
    for (int k = 0; k < x->rank; k++) from[k] = x->dims[k] == 1 ? 0 : at[entry(a, ATTR_dims, k, k)];
    return 0;
}

static uint32_t from_transpose(const application *a, const int64_t *at, int64_t *from) {
    for (int k = 0; k < a->out[0].rank; k++) from[entry(a, ATTR_perm, k, k)] = at[k];
    return 0;
}

static uint32_t from_slice(const application *a, const int64_t *at, int64_t *from) {
    for (int k = 0; k < a->out[0].rank; k++) from[k] = entry(a, ATTR_start, k, 0) + at[k] * entry(a, ATTR_stride, k, 1);
    return 0;
}

static uint32_t from_reverse(const application *a, const int64_t *at, int64_t *from) {
    for (int k = 0; k < a->out[0].rank; k++)
        from[k] = names_axis(a, ATTR_axes, k) ? a->out[0].dims[k] - 1 - at[k] : at[k];
    return 0;
}

static uint32_t from_pad(const application *a, const int64_t *at, int64_t *from) {
    const eval_tensor *x = operand(a, 0);
    for (int k = 0; k < x->rank; k++) {
        int64_t step = entry(a, ATTR_interior, k, 0) + 1, inside = at[k] - entry(a, ATTR_low, k, 0);
        if (inside < 0 || inside % step != 0 || inside / step >= x->dims[k]) return 1;
        from[k] = inside / step;
    }
    return 0;
}

static uint32_t from_concat(const application *a, const int64_t *at, int64_t *from) {
    int64_t axis = attr_int(&a->n->attrs, ATTR_axis, 0);
    uint32_t i = 0;
    memcpy(from, at, sizeof(int64_t[TN_MAX_RANK]));
    while (from[axis] >= operand(a, i)->dims[axis]) from[axis] -= operand(a, i++)->dims[axis];
    return i;
}

static uint32_t from_gather(const application *a, const int64_t *at, int64_t *from) {
    const eval_tensor *data = operand(a, 0), *indices = operand(a, 1);
    int64_t batch = attr_int(&a->n->attrs, ATTR_batch_dims, 0), where[TN_MAX_RANK];
    int next = indices->rank - 1;
    for (int k = 0; k < data->rank; k++) from[k] = k < batch ? at[k] : names_axis(a, ATTR_axes, k) ? -1 : at[next++];
    memcpy(where, at, sizeof where);
    for (int k = 0; k < entry_count(a, ATTR_axes); k++) {
        where[indices->rank - 1] = k;
        from[entry(a, ATTR_axes, k, 0)] = eval_load_int(indices, linear_of(indices, where));
    }
    return 0;
}

static uint32_t from_dynamic_slice(const application *a, const int64_t *at, int64_t *from) {
    const eval_tensor *x = operand(a, 0);
    for (int k = 0; k < x->rank; k++) {
        int64_t start = eval_load_int(operand(a, (uint32_t)k + 1), 0), last = x->dims[k] - a->out[0].dims[k];
        from[k] = at[k] + (start < 0 ? 0 : start > last ? last : start);
    }
    return 0;
}

static void check_origins(const application *a, origin *find) {
    const eval_tensor *y = &a->out[0];
    size_t bytes = tn_dtype_bits(y->dtype) / 8;
    for (int64_t k = 0; k < y->n; k++) {
        int64_t at[TN_MAX_RANK] = {0}, from[TN_MAX_RANK] = {0};
        coordinates(y, k, at);
        const eval_tensor *x = operand(a, find(a, at, from));
        if (memcmp((char *)y->data + (size_t)k * bytes, (char *)x->data + (size_t)linear_of(x, from) * bytes, bytes) !=
            0)
            fail_msg("%s: element %lld is not where it comes from", describe(a), (long long)k);
    }
}

/* ---- Sums over all elements or pairs that meet in a result element -------------------------------------- */

/* Does the element of operand 0 at `i` meet that of operand 1 at `j` in the result element at `at`? */
typedef bool meeting(const application *a, const int64_t *at, const int64_t *i, const int64_t *j);

static bool meet_reduce(const application *a, const int64_t *at, const int64_t *i, const int64_t *j) {
    int next = 0;
    (void)j;
    for (int k = 0; k < operand(a, 0)->rank; k++)
        if (!names_axis(a, ATTR_axes, k) && i[k] != at[next++]) return false;
    return true;
}

static bool meet_window(const application *a, const int64_t *at, const int64_t *i, const int64_t *j) {
    (void)j;
    for (int k = 0; k < operand(a, 0)->rank; k++) {
        int64_t reach = i[k] + entry(a, ATTR_low, k, 0) - at[k] * entry(a, ATTR_stride, k, 1);
        int64_t step = entry(a, ATTR_dilation, k, 1);
        if (reach < 0 || reach % step != 0 || reach / step >= entry(a, ATTR_window, k, 1)) return false;
    }
    return true;
}

static bool meet_cumulate(const application *a, const int64_t *at, const int64_t *i, const int64_t *j) {
    int64_t axis = attr_int(&a->n->attrs, ATTR_axis, 0);
    (void)j;
    for (int k = 0; k < operand(a, 0)->rank; k++)
        if (k != axis && i[k] != at[k]) return false;
    if (i[axis] == at[axis]) return !attr_int(&a->n->attrs, ATTR_exclusive, 0);
    return (i[axis] > at[axis]) == (attr_int(&a->n->attrs, ATTR_reverse, 0) != 0);
}

static bool meet_dot(const application *a, const int64_t *at, const int64_t *i, const int64_t *j) {
    const int64_t *coordinate[2] = {i, j};
    bool is_free[2][TN_MAX_RANK];
    memset(is_free, true, sizeof is_free);
    int next = 0;
    for (int p = 0; p < 2; p++) {
        attr_name name = p == 0 ? ATTR_batch : ATTR_contract;
        int n = entry_count(a, name) / 2;
        for (int k = 0; k < n; k++) {
            int64_t left = entry(a, name, k, 0), right = entry(a, name, n + k, 0);
            is_free[0][left] = is_free[1][right] = false;
            if (i[left] != j[right] || (p == 0 && i[left] != at[next++])) return false;
        }
    }
    for (int side = 0; side < 2; side++)
        for (int k = 0; k < operand(a, (uint32_t)side)->rank; k++)
            if (is_free[side][k] && coordinate[side][k] != at[next++]) return false;
    return true;
}

static bool meet_conv(const application *a, const int64_t *at, const int64_t *i, const int64_t *j) {
    const eval_tensor *kernel = operand(a, 1);
    int64_t groups = attr_int(&a->n->attrs, ATTR_groups, 1), out_channels = kernel->dims[0] / groups;
    if (i[0] != at[0] || j[0] != at[1] || i[1] != at[1] / out_channels * kernel->dims[1] + j[1]) return false;
    for (int k = 0; k < kernel->rank - 2; k++)
        if (at[k + 2] * entry(a, ATTR_stride, k, 1) - entry(a, ATTR_low, k, 0) +
                j[k + 2] * entry(a, ATTR_dilation, k, 1) !=
            i[k + 2] * entry(a, ATTR_input_dilation, k, 1))
            return false;
    return true;
}

static void check_sums(const application *a, meeting *meets) {
    const eval_tensor *x = operand(a, 0), *z = a->n->n_operands > 1 ? operand(a, 1) : NULL, *y = &a->out[0];
    int64_t n_z = z ? z->n : 1;
    if ((double)x->n * (double)n_z * (double)y->n > MAX_PAIRS) return;
    eval_tensor want = *y;
    want.data = tn_calloc((size_t)y->n + 1, 8);
    for (int64_t k = 0; k < y->n; k++) {
        int64_t at[TN_MAX_RANK], i[TN_MAX_RANK], j[TN_MAX_RANK] = {0};
        double sum = 0;
        uint64_t integer = 0;
        coordinates(y, k, at);
        for (int64_t pair = 0; pair < x->n * n_z; pair++) {
            coordinates(x, pair / n_z, i);
            if (z) coordinates(z, pair % n_z, j);
            if (!meets(a, at, i, j)) continue;
            sum += eval_load_float(x, pair / n_z) * (z ? eval_load_float(z, pair % n_z) : 1);
            integer += (uint64_t)eval_load_int(x, pair / n_z) * (z ? (uint64_t)eval_load_int(z, pair % n_z) : 1);
        }
        if (dtype_is_float(y->dtype))
            eval_store_float(&want, k, sum);
        else
            eval_store_int(&want, k, (int64_t)integer);
    }
    comparison c = compare_tensors(y, &want, 2);
    if (!c.is_equal) fail_msg("%s: %s", describe(a), c.message);
    tn_free(want.data);
}

/* ---- All of it --------------------------------------------------------------------------------------------- */

static const struct {
    tn_op op;
    origin *origin;
    meeting *meets;
} definitions[] = {
    {TN_OP_broadcast, from_broadcast, NULL},
    {TN_OP_transpose, from_transpose, NULL},
    {TN_OP_slice, from_slice, NULL},
    {TN_OP_reverse, from_reverse, NULL},
    {TN_OP_pad, from_pad, NULL},
    {TN_OP_concat, from_concat, NULL},
    {TN_OP_gather, from_gather, NULL},
    {TN_OP_dynamic_slice, from_dynamic_slice, NULL},
    {TN_OP_reduce, NULL, meet_reduce},
    {TN_OP_window, NULL, meet_window},
    {TN_OP_cumulate, NULL, meet_cumulate},
    {TN_OP_dot, NULL, meet_dot},
    {TN_OP_conv, NULL, meet_conv},
};

enum { N_DEFINITIONS = sizeof definitions / sizeof *definitions };

/* Counts in checked[] what it checked. */
static void check_definition(const application *a, int *checked) {
    for (uint32_t i = 0; i < a->n->n_operands; i++)
        if (!operand(a, i)) return;
    if (attr_int(&a->n->attrs, ATTR_kind, REDUCE_SUM) != REDUCE_SUM) return;
    for (size_t k = 0; k < N_DEFINITIONS; k++) {
        if (definitions[k].op != a->op) continue;
        checked[k]++;
        if (definitions[k].origin) check_origins(a, definitions[k].origin);
        if (definitions[k].meets) check_sums(a, definitions[k].meets);
    }
}

static void check_op(tn_op op, tn_dtype dtype, int *checked) {
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        application a;
        open_application(&a, op, dtype, seed);
        check_repeats(&a);
        check_magnitudes(&a);
        if (dtype == TN_F64 && is_smooth(op)) check_first_order(&a);
        if (a.n->op == op) check_definition(&a, checked);
        close_application(&a);
    }
}

static void test_every_op_and_dtype(void **state) {
    (void)state;
    int n = 0, checked[N_DEFINITIONS] = {0};
    for (tn_op op = 0; op < TN_OP_COUNT; op++)
        for (tn_dtype dtype = 0; dtype < TN_DTYPE_COUNT; dtype++) {
            if (op == TN_OP_custom || !sample_supports(op, dtype)) continue; /* custom needs the caller's callback */
            check_op(op, dtype, checked);
            n++;
        }
    assert_true(n > 500);
    for (size_t k = 0; k < N_DEFINITIONS; k++)
        if (checked[k] < 10) fail_msg("%s: only %d samples were checked", op_name(definitions[k].op), checked[k]);
}

/* Graphs of many ops; the continuous ones in f64 move as their magnitudes say. */
static void test_random_graphs(void **state) {
    (void)state;
    static const tn_dtype dtypes[] = {TN_F64, TN_F32, TN_F16, TN_I32};
    for (uint64_t seed = 0; seed < 60; seed++) {
        application a = {
            .s = {.state = seed, .dtype = dtypes[seed % 4], .symbolic = seed % 3 == 0, .exact = seed % 8 > 3}};
        a.g = tn_graph_new("random");
        if (!sample_graph(&a.s, a.g, 40)) fail_msg("graph %d: %s", (int)seed, a.g->module->error.message);
        assert_true(a.g->n_params <= MAX_VALUES && a.g->n_results <= MAX_VALUES);
        fill_inputs(&a);
        run(&a, a.in, a.out);
        check_repeats(&a);
        check_magnitudes(&a);
        if (a.s.dtype == TN_F64 && !a.s.exact) check_first_order(&a);
        close_application(&a);
    }
}

#ifdef TN_HOSTILE_MALLOC
/* Each allocation of each op fails in turn: TN_ERR_MEMORY, nothing leaks, the next run is whole. */
static void test_failing_memory(void **state) {
    (void)state;
    for (tn_op op = 0; op < TN_OP_COUNT; op++) {
        tn_dtype dtype = sample_supports(op, TN_F32) ? TN_F32 : TN_I32;
        if (op == TN_OP_custom || !sample_supports(op, dtype)) continue;
        application a;
        open_application(&a, op, dtype, 1);
        tn_status status = TN_ERR_MEMORY;
        for (uint64_t nth = 0; status != TN_OK; nth++) {
            eval_options options = {.magnitudes = true};
            eval_tensor out[MAX_VALUES] = {{0}};
            tn_diag diag;
            tn_malloc_fail_at(nth, false);
            status = eval_graph(a.g, a.in, out, &options, &diag);
            tn_malloc_fail_at(UINT64_MAX, false);
            if (status != TN_OK && status != TN_ERR_MEMORY) fail_msg("%s: %s", describe(&a), diag.message);
            for (size_t r = 0; r < a.g->n_results; r++) eval_tensor_free(&out[r]);
        }
        close_application(&a);
    }
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op_and_dtype),
        cmocka_unit_test(test_random_graphs),
#ifdef TN_HOSTILE_MALLOC
        cmocka_unit_test(test_failing_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
