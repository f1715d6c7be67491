/* What one call of a kernel costs.
 *
 * in:  a fused function, values of its symbols
 * out: floating-point operations, bytes read and written
 * law: an operand counts once however often the kernel reads it, and a value that is fused in not at all: these are the
 *      bytes that have to be moved, not those that are
 */
#include "compiler/explain_state.h"

#include "ir/op.h"
#include "ir/sizes.h"
#include "ir/view.h"

/* ---- Sizes ---- */

bool sized_symbol(void *ctx, tn_dim leaf, int64_t *value) {
    const sized *s = ctx;
    return symbol_size(&(symbol_sizes){s->graph, s->symbols}, leaf, value) && *value != SIZE_UNKNOWN;
}

double sized_value(const sized *s, tn_dim d) {
    int64_t value;
    sized own = *s;
    return d != DIM_INVALID && dim_eval(s->graph->module->dims, d, sized_symbol, &own, &value) ? (double)value
                                                                                               : TN_UNKNOWN;
}

double sized_bytes(const sized *s, value_id v) {
    const tn_type *type = graph_type(s->graph, v);
    double bytes = (double)tn_dtype_bits((tn_dtype)type->dtype) / 8;
    for (int i = 0; i < type->rank; i++) {
        double extent = sized_value(s, type->dims[i]);
        if (extent < 0) return TN_UNKNOWN;
        bytes *= extent;
    }
    return bytes;
}

/* ---- Bytes ---- */

/* Takes only a part of its first operand. */
static bool takes_part(const node *n) {
    return n->op == TN_OP_slice || n->op == TN_OP_gather || n->op == TN_OP_dynamic_slice;
}

double explain_bytes_read(const sized *kernel, uint32_t i) {
    const tn_graph *g = kernel->graph;
    value_id v = g->params[i].value;
    double all = sized_bytes(kernel, v), parts = 0;
    for (size_t k = 0; k < g->n_nodes; k++) {
        const node *n = &g->nodes[k];
        for (uint32_t o = 0; o < n->n_operands; o++) {
            if (n->operands[o] != v) continue;
            parts = known_sum(parts, o == 0 && takes_part(n) ? sized_bytes(kernel, n->first_result) : all);
        }
    }
    for (size_t r = 0; r < g->n_results; r++)
        if (g->results[r].value == v) parts = known_sum(parts, all);
    return all >= 0 && parts >= 0 && parts < all ? parts : all;
}

/* ---- Operations ---- */

void explain_cost(const sized *kernel, tn_explained_kernel *k, kernel_cost *cost) {
    const tn_graph *g = kernel->graph;
    sized own = *kernel;
    bool is_known = true;
    k->flops = k->bytes_written = 0;
    *cost = (kernel_cost){0};
    for (size_t i = 0; i < g->n_nodes; i++) {
        operations of;
        is_known &= node_count_operations(g, &g->nodes[i], sized_symbol, &own, &of);
        k->flops += of.products + of.others;
        cost->products_done += of.products_done;
        cost->others += of.others;
        cost->is_wide |= of.products > 0 && graph_type(g, g->nodes[i].first_result)->dtype == TN_F64;
    }
    for (size_t r = 0; r < g->n_results; r++)
        k->bytes_written = known_sum(k->bytes_written, sized_bytes(kernel, g->results[r].value));
    if (!is_known) k->flops = cost->products_done = cost->others = TN_UNKNOWN;
}
