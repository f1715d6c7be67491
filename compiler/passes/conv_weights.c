/* Gradients of convolutions' kernels, found among convolutions.
 *
 * in:  functions of primitives
 * out: a convolution whose kernel covers more of a plane than its result does, as conv_weights: what a plane meets in
 *      another one, shifted by a few positions
 * law: the sums are the same, term by term, over the same terms in the same order, but that zeros beyond the edges
 *      may be terms: a result is not a number where such a zero meets an infinity
 *
 * Reverse mode (and whoever spells it out) makes the gradient of a kernel a convolution of the input with the
 * result's gradient, both with images and channels exchanged, and exchanges those of the result. Here they are
 * exchanged once more, which cancels both. Weights known at load time have better: they are packed ahead.
 */
#include "compiler/passes/passes.h"
#include "ir/build.h"
#include "runtime/fault.h"

enum {
    MOST_WINDOW = 64,  /* result positions: each is a sum of its own in the kernel's memory */
    LEAST_PLACES = 16, /* of the kernel: small ones belong to convolutions of small planes */
};

static const int64_t exchanged[] = {1, 0, 2, 3};

static int64_t groups_of(const node *n) {
    int64_t groups = attr_int(&n->attrs, ATTR_groups, 1);
    return groups > 0 ? groups : 1;
}

/* The product of n known dims, none of which is 0 or unusually large; else 0. */
static int64_t known_product(const dim_table *t, const tn_dim *dims, int n) {
    int64_t all = 1, value;
    for (int i = 0; i < n; i++) {
        if (!dim_is_const(t, dims[i], &value) || value < 1 || value > 1 << 14) return 0;
        all *= value;
    }
    return all;
}

static bool has_known_padding(const dim_table *t, const node *n) {
    const attr *low = attr_find(&n->attrs, ATTR_low);
    int64_t value;
    for (uint32_t i = 0; low && i < low->dims.n; i++)
        if (!dim_is_const(t, low->dims.items[i], &value) || value < -(1 << 14) || value > 1 << 14) return false;
    return true;
}

static bool is_gradient(const load_time_visit *s, const tn_graph *g, const node *n) {
    if (n->op != TN_OP_conv || s->what.known[g->values[n->operands[1]].node]) return false;
    const dim_table *t = g->module->dims;
    const tn_type *x = graph_type(g, n->operands[0]), *kernel = graph_type(g, n->operands[1]),
                  *y = graph_type(g, n->first_result);
    int spatial = x->rank - 2;
    if (spatial < 1 || spatial > 2 || !dtype_in(DTYPES_FLOAT, (tn_dtype)x->dtype) || groups_of(n) > 1 << 14 ||
        !attr_at_most(&n->attrs, ATTR_input_dilation, 1) || !attr_at_most(&n->attrs, ATTR_stride, 1 << 14) ||
        !attr_at_most(&n->attrs, ATTR_dilation, 1 << 14) || !has_known_padding(t, n) || !known_product(t, x->dims, 1) ||
        !known_product(t, kernel->dims, 1) || !known_product(t, x->dims + 2, spatial))
        return false;
    int64_t places = known_product(t, kernel->dims + 2, spatial), window = known_product(t, y->dims + 2, spatial);
    return window > 0 && window <= MOST_WINDOW && places >= LEAST_PLACES && places > window;
}

static tn_val exchange(build *b, tn_val v) {
    attr perm = build_ints(ATTR_perm, exchanged, build_type(v)->rank);
    return build_apply(b, TN_OP_transpose, &v, 1, &perm, 1);
}

/* [a, groups b, ...] as [b, groups a, ...]. */
static tn_val exchange_groups(build *b, tn_val v, int64_t groups) {
    static const int64_t order[] = {2, 1, 0, 3, 4};
    dim_table *t = build_dims(b);
    tn_type type = *build_type(v);
    tn_dim dims[5] = {type.dims[0], dim_const(t, groups), dim_floordiv(t, type.dims[1], dim_const(t, groups))};
    if (groups == 1) return exchange(b, v);
    for (int i = 2; i < type.rank; i++) dims[i + 1] = type.dims[i];
    attr perm = build_ints(ATTR_perm, order, type.rank + 1);
    v = build_reshape(b, v, type.rank + 1, dims);
    v = build_apply(b, TN_OP_transpose, &v, 1, &perm, 1);
    type.dims[0] = dims[2];
    type.dims[1] = dim_mul_const(t, dims[0], groups);
    return build_reshape(b, v, type.rank, type.dims);
}

static bool rewrite_node(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    if (!is_gradient(ctx, from, n)) return graph_copy_node(to, from, n, map);
    tn_val operands[2] = {{to, map[n->operands[0]]}, {to, map[n->operands[1]]}};
    const tn_type *y = graph_type(from, n->first_result);
    int64_t window[2] = {1, 1};
    build b;
    if (!build_open(&b, TN_HERE, "conv_weights", to, operands, 2)) return false;
    for (int i = 0; i < y->rank - 2; i++) dim_is_const(build_dims(&b), y->dims[i + 2], &window[i]);
    attr attrs[OP_MAX_ATTRS] = {build_ints(ATTR_window, window, y->rank - 2)};
    uint32_t n_attrs = 1;
    for (uint32_t i = 0; i < n->attrs.n; i++) {
        attr a = n->attrs.items[i];
        if (a.name != ATTR_stride && a.name != ATTR_dilation && a.name != ATTR_low && a.name != ATTR_acc &&
            a.name != ATTR_groups)
            continue;
        if (!FAULT(conv_weights_stride) && (a.name == ATTR_stride || a.name == ATTR_dilation))
            a.name = a.name == ATTR_stride ? ATTR_dilation : ATTR_stride;
        attrs[n_attrs++] = a;
    }
    operands[0] = exchange_groups(&b, operands[0], groups_of(n));
    operands[1] = exchange(&b, operands[1]);
    tn_val result = exchange(&b, build_apply(&b, TN_OP_conv_weights, operands, 2, attrs, n_attrs));
    map[n->first_result] = result.id;
    return tn_is_valid(result);
}

bool pass_conv_weights(tn_module *m, const pass_options *o) {
    return module_find(m, "prepare") || load_time_rebuild(m, o, rewrite_node);
}
