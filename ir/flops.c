/* What a module computes, counted (see flops.h). */
#include "ir/flops.h"

#include "ir/dtype.h"
#include "ir/op.h"

/* Floating-point operations of a contraction or convolution: two for each product. */
static tn_dim node_flops(tn_graph *g, const node *n) {
    dim_table *t = g->module->dims;
    tn_dim out = type_element_count(t, graph_type(g, n->first_result)), depth = dim_const(t, 1);
    const tn_type *b = n->n_operands > 1 ? graph_type(g, n->operands[1]) : NULL;
    if (n->op == TN_OP_dot) {
        const attr *contract = attr_find(&n->attrs, ATTR_contract);
        for (uint32_t i = 0; i < contract->split; i++)
            depth = dim_mul(t, depth, graph_type(g, n->operands[0])->dims[contract->ints.items[i]]);
    } else if (n->op == TN_OP_conv && b)
        depth = dim_product(t, b->dims + 1, b->rank - 1);
    else if (n->op == TN_OP_winograd && b) /* those of the convolution that it is */
        depth = dim_mul_const(t, b->dims[4], 9);
    else if (n->op == TN_OP_matmul) {
        const tn_type *a = graph_type(g, n->operands[0]);
        depth = a->dims[a->rank - 1];
    } else
        return dim_const(t, 0);
    return dim_mul_const(t, dim_mul(t, out, depth), 2);
}

/* Operations of a function over its own symbols, those that it calls included; `done` keeps each function's. */
static tn_dim graph_flops(tn_graph *g, tn_dim *done) {
    dim_table *t = g->module->dims;
    tn_dim sum = dim_const(t, 0);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        const attr *callee = attr_find(&n->attrs, ATTR_callee), *values = attr_find(&n->attrs, ATTR_symbols);
        sum = dim_add(t, sum, node_flops(g, n));
        if (!callee) continue;
        size_t k = module_number_of(g->module, callee->func);
        if (done[k] == DIM_INVALID) done[k] = graph_flops(callee->func, done);
        tn_dim from[64];
        size_t n_symbols = callee->func->n_symbols;
        for (size_t s = 0; s < n_symbols && s < 64; s++) from[s] = callee->func->symbols[s].dim;
        if (values && n_symbols <= 64 && values->dims.n == n_symbols)
            sum = dim_add(t, sum, dim_substitute(t, done[k], from, values->dims.items, (int)n_symbols));
        else if (n_symbols == 0)
            sum = dim_add(t, sum, done[k]);
    }
    return sum;
}

tn_dim module_flops(tn_module *m) {
    tn_dim *done = tn_malloc((m->n_graphs + 1) * sizeof *done);
    if (!done) {
        dim_fail(m->dims, TN_ERR_MEMORY);
        return DIM_INVALID;
    }
    for (size_t i = 0; i < m->n_graphs; i++) done[i] = DIM_INVALID;
    tn_dim flops = graph_flops(module_main(m), done);
    tn_free(done);
    return flops;
}

/* ---- With sizes known ---- */

typedef struct counting {
    const tn_graph *g;
    const node *n;
    dim_look *look;
    void *ctx;
    bool is_known;
} counting;

static double extent(counting *c, tn_dim d) {
    int64_t value = 0;
    c->is_known &= dim_eval(c->g->module->dims, d, c->look, c->ctx, &value);
    return (double)value;
}

static double extents(counting *c, const tn_dim *dims, int n) {
    double all = 1;
    for (int i = 0; i < n; i++) all *= extent(c, dims[i]);
    return all;
}

static const tn_type *operand(const counting *c, uint32_t i) { return graph_type(c->g, c->n->operands[i]); }

static double elements(counting *c, const tn_type *type) { return extents(c, type->dims, type->rank); }

static double depth_of_dot(counting *c) {
    const attr *contract = attr_find(&c->n->attrs, ATTR_contract);
    double depth = 1;
    for (uint32_t i = 0; i < contract->split; i++) depth *= extent(c, operand(c, 0)->dims[contract->ints.items[i]]);
    return depth;
}

/* Of a transposed convolution, zeros between elements don't count. */
static double depth_of_conv(counting *c) {
    const attr *spread = attr_find(&c->n->attrs, ATTR_input_dilation);
    double depth = extents(c, operand(c, 1)->dims + 1, operand(c, 1)->rank - 1);
    for (uint32_t i = 0; spread && i < spread->ints.n; i++) depth /= (double)spread->ints.items[i];
    return depth;
}

static double depth_of_winograd(counting *c) { return 9 * extent(c, operand(c, 1)->dims[4]); }

/* Images and places. */
static double depth_of_conv_weights(counting *c) {
    const tn_type *dy = operand(c, 1);
    return extent(c, dy->dims[0]) * extents(c, dy->dims + 2, dy->rank - 2);
}

/* G k, which is [a, 3], then that times G^T, [a, a]: of each of these a * a elements. */
static double depth_of_winograd_kernel(counting *c) { return 9 / extent(c, operand(c, 0)->dims[0]) + 3; }

static const struct {
    tn_op op;
    double (*depth)(counting *c);
} products[] = {{TN_OP_dot, depth_of_dot},
                {TN_OP_conv, depth_of_conv},
                {TN_OP_winograd, depth_of_winograd},
                {TN_OP_winograd_kernel, depth_of_winograd_kernel},
                {TN_OP_conv_weights, depth_of_conv_weights}};

/* Of F(tile, 3) on matrices: (tile + 2)^2 multiplications for (3 tile)^2. */
static double share_done(const node *n) {
    double tile = (double)attr_int(&n->attrs, ATTR_tile, 0);
    bool is_winograd = n->op == TN_OP_winograd || n->op == TN_OP_conv_weights;
    return is_winograd && tile > 0 ? (tile + 2) * (tile + 2) / (9 * tile * tile) : 1;
}

static double elementwise(counting *c) {
    const node *n = c->n;
    const tn_type *result = graph_type(c->g, n->first_result);
    static const tn_op no_arithmetic[] = {TN_OP_convert, TN_OP_bitcast, TN_OP_select, TN_OP_compare};
    if (n->n_operands == 0 || !dtype_is_float(operand(c, 0)->dtype)) return 0;
    for (size_t i = 0; i < sizeof no_arithmetic / sizeof *no_arithmetic; i++)
        if (n->op == no_arithmetic[i]) return 0;
    switch (op_table[n->op].loop_class) {
    case CLASS_MAP: return elements(c, result) * (n->op == TN_OP_fma ? 2 : 1);
    case CLASS_REDUCE:
    case CLASS_CUMULATE: return elements(c, operand(c, 0));
    case CLASS_WINDOW: {
        const attr *window = attr_find(&n->attrs, ATTR_window);
        double all = elements(c, result);
        for (uint32_t i = 0; window && i < window->ints.n; i++) all *= (double)window->ints.items[i];
        return all;
    }
    default: return 0;
    }
}

bool node_count_operations(const tn_graph *g, const node *n, dim_look *look, void *ctx, operations *out) {
    counting c = {g, n, look, ctx, true};
    *out = (operations){0};
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        if (n->op == products[i].op)
            out->products = 2 * elements(&c, graph_type(g, n->first_result)) * products[i].depth(&c);
    out->products_done = out->products * share_done(n);
    out->others = elementwise(&c);
    return c.is_known;
}
