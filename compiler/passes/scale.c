/* Scale: what multiplies the channels of a convolution's input multiplies its weights, where these are fewer.
 *
 * in:  functions of primitives
 * out: conv(x * s, w) with a factor s for each channel, and at least LEAST_GAIN times as many elements in x as in w, is
 *      conv(x, w * s)
 * law: the same results to rounding: either way each product of three numbers is rounded once before it is added
 *
 * The gates of squeeze-and-excitation are such factors: known only at run time, so the weights are multiplied in every
 * run. What lies in panels (layout.c) stays so: weights with so few positions beside them gain nothing here.
 */
#include "compiler/passes/passes.h"
#include "ir/build.h"
#include "runtime/fault.h"

enum { LEAST_GAIN = 4, CHANNEL = 1 };

static bool known_elements(const tn_graph *g, value_id v, int64_t *n) {
    dim_table *t = g->module->dims;
    return dim_is_const(t, type_element_count(t, graph_type(g, v)), n);
}

/* What v repeats along all axes but that of channels; VALUE_NONE: it is no such value. */
static value_id channel_factor(const tn_graph *g, value_id v) {
    const node *n = graph_node_of(g, v);
    if (n->op != TN_OP_broadcast) return VALUE_NONE;
    const attr *axes = attr_find(&n->attrs, ATTR_dims);
    const tn_type *type = graph_type(g, n->operands[0]);
    for (int i = 0; i < type->rank; i++)
        if (axes->ints.items[i] != CHANNEL && !dim_is_value(g->module->dims, type->dims[i], 1)) return VALUE_NONE;
    return n->operands[0];
}

/* A convolution of one group whose input is a product with such a factor: number `*factor` of its operands. */
static const node *scaled_input(const tn_graph *g, const node *n, int *factor) {
    if (n->op != TN_OP_conv || attr_int(&n->attrs, ATTR_groups, 1) > 1) return NULL;
    const node *product = graph_node_of(g, n->operands[0]);
    uint8_t dtype = graph_type(g, n->operands[0])->dtype;
    if (product->op != TN_OP_mul || (dtype != TN_F32 && dtype != TN_F64)) return NULL;
    for (*factor = 0; *factor < 2; ++*factor)
        if (channel_factor(g, product->operands[*factor]) != VALUE_NONE) return product;
    return NULL;
}

static bool move_factor(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    (void)ctx;
    int factor;
    int64_t input, weights;
    build b;
    const node *product = scaled_input(from, n, &factor);
    if (!product || !known_elements(from, n->operands[0], &input) || !known_elements(from, n->operands[1], &weights) ||
        weights > input / LEAST_GAIN)
        return graph_copy_node(to, from, n, map);
    tn_val x = {to, map[FAULT(scale_twice) ? n->operands[0] : product->operands[1 - factor]]},
           w = {to, map[n->operands[1]]}, s = {to, map[channel_factor(from, product->operands[factor])]};
    if (!build_open(&b, TN_HERE, "scale", to, (tn_val[]){x, w, s}, 3)) return false;
    dim_table *t = build_dims(&b);
    const tn_type *type = build_type(w);
    tn_dim aligned[TN_MAX_RANK];
    for (int i = 0; i < type->rank; i++)
        aligned[i] = i == CHANNEL ? type_element_count(t, build_type(s)) : dim_const(t, 1);
    s = build_reshape(&b, s, type->rank, aligned);
    s = build_broadcast(&b, s, type->rank, type->dims);
    w = build_apply(&b, TN_OP_mul, (tn_val[]){w, s}, 2, NULL, 0);
    tn_val result = build_apply(&b, TN_OP_conv, (tn_val[]){x, w}, 2, n->attrs.items, n->attrs.n);
    map[n->first_result] = result.id;
    return tn_is_valid(result);
}

bool pass_scale(tn_module *m, const pass_options *o) {
    (void)o;
    return module_rebuild(m, true, move_factor, NULL);
}
