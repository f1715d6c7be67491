/* What a module computes, counted (see flops.h). */
#include "ir/flops.h"

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
        depth = dim_mul_const(t, b->dims[3], 9);
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
