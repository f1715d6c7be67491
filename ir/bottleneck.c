/* Which nodes are an inverted bottleneck (see bottleneck.h): from the depthwise convolution back through elementwise
 * work to the one convolution of one tap that it is work on. */
#include "ir/bottleneck.h"

enum {
    RANK = 4,
    MOST_TAPS = 64,
    MOST_STEP = 256,
    MOST_BETWEEN = 32, /* nodes looked at */
};

static bool has_own_sums(const tn_graph *g, const node *conv) {
    int64_t own = graph_type(g, conv->operands[0])->dtype;
    return (own == TN_F32 || own == TN_F64) && attr_int(&conv->attrs, ATTR_acc, own) == own;
}

static bool is_static_conv(const tn_graph *g, const node *n) {
    const dim_table *t = g->module->dims;
    return n->op == TN_OP_conv && graph_type(g, n->first_result)->rank == RANK && has_own_sums(g, n) &&
           type_is_static(t, graph_type(g, n->operands[0])) && type_is_static(t, graph_type(g, n->operands[1])) &&
           type_is_static(t, graph_type(g, n->first_result));
}

static int64_t extent(const tn_graph *g, value_id v, int axis) {
    int64_t n = 0;
    dim_is_const(g->module->dims, graph_type(g, v)->dims[axis], &n);
    return n;
}

/* The padding before is not negative, and at most that. */
static bool is_padded_by(const tn_graph *g, const node *n, int64_t most) {
    const attr *low = attr_find(&n->attrs, ATTR_low);
    int64_t known;
    for (uint32_t i = 0; low && i < low->dims.n; i++)
        if (!dim_is_const(g->module->dims, low->dims.items[i], &known) || known < 0 || known > most) return false;
    return true;
}

static bool is_depthwise(const tn_graph *g, const node *n) {
    if (!is_static_conv(g, n) || !attr_at_most(&n->attrs, ATTR_input_dilation, 1) ||
        !attr_at_most(&n->attrs, ATTR_stride, MOST_STEP) || !attr_at_most(&n->attrs, ATTR_dilation, MOST_STEP) ||
        !is_padded_by(g, n, MOST_STEP))
        return false;
    int64_t channels = extent(g, n->operands[0], 1), taps = extent(g, n->operands[1], 2) * extent(g, n->operands[1], 3);
    return attr_int(&n->attrs, ATTR_groups, 1) == channels && extent(g, n->operands[1], 0) == channels &&
           channels > 1 && taps > 1 && taps <= MOST_TAPS;
}

/* One tap, stride 1, no padding: its result has its input's positions. */
static bool is_pointwise(const tn_graph *g, const node *n) {
    if (!is_static_conv(g, n) || attr_int(&n->attrs, ATTR_groups, 1) > 1 || !attr_at_most(&n->attrs, ATTR_stride, 1) ||
        !attr_at_most(&n->attrs, ATTR_input_dilation, 1) || !is_padded_by(g, n, 0))
        return false;
    for (int i = 2; i < RANK; i++)
        if (extent(g, n->operands[1], i) != 1 || extent(g, n->operands[0], i) != extent(g, n->first_result, i))
            return false;
    return true;
}

/* Back from v; false: there is another convolution than the one found, or too much. */
static bool walk_back(const tn_graph *g, value_id v, bottleneck *found, int *left) {
    const node *n = graph_node_of(g, v);
    uint32_t number = g->values[v].node;
    if (--*left < 0) return false;
    if (is_pointwise(g, n)) {
        bool is_other = found->expand != UINT32_MAX && found->expand != number;
        found->expand = number;
        return !is_other;
    }
    if (op_table[n->op].loop_class != CLASS_MAP || n->op == TN_OP_rng_bits) return true;
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (!walk_back(g, n->operands[k], found, left)) return false;
    return true;
}

bool bottleneck_find(const tn_graph *g, uint32_t depthwise, bottleneck *found) {
    const node *n = &g->nodes[depthwise];
    int left = MOST_BETWEEN;
    *found = (bottleneck){.expand = UINT32_MAX, .depthwise = depthwise};
    if (!is_depthwise(g, n)) return false;
    found->expanded = n->operands[0];
    found->channels = extent(g, found->expanded, 1);
    found->positions = extent(g, found->expanded, 2) * extent(g, found->expanded, 3);
    return walk_back(g, found->expanded, found, &left) && found->expand != UINT32_MAX;
}
