/* Lowering: a module in which every op is one that ONNX has.
 *
 * in:  the exporter's copy of a module
 * out: the same functions, in which every node has a writer that takes it as it is, or a row that says why not
 * law: a function's results stay what they were, but for roundings (an op that ONNX has not is said by several) and
 *      for effects that are left out on demand
 *
 * What a node is lowered to may have to be lowered itself: rounds go on until nothing is left.
 */
#include "frontends/onnx/export_ops.h"

#include "compiler/passes/passes.h"

enum { MAX_ROUNDS = 32 };

typedef struct lowering_round {
    exporter *x;
    size_t n_lowered;
} lowering_round;

bool lower_nothing(lowering *c) {
    (void)c;
    return false;
}

bool lower_composite(lowering *c) {
    return op_table[c->n->op].expand(c->g, c->operands, c->n->n_operands, &c->n->attrs, c->results);
}

/* A composite whose row does not take the dtype is decomposed. */
static bool takes_dtype(const node *n, const tn_graph *from) {
    const export_row *row = &export_rows[n->op];
    if (!row->write || row->typed < 0) return row->write != NULL;
    return dtype_in(row->runs, graph_type(from, n->operands[row->typed])->dtype);
}

static bool lower_node(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    lowering_round *round = ctx;
    const export_row *row = &export_rows[n->op];
    tn_val *values = tn_calloc((size_t)n->n_operands + n->n_results + 1, sizeof *values);
    if (!values) return module_no_memory(to->module);
    lowering c = {round->x, to, from, n, values, values + n->n_operands};
    for (uint32_t i = 0; i < n->n_operands; i++) values[i] = (tn_val){to, map[n->operands[i]]};
    bool is_lowered;
    if (op_is_composite((tn_op)n->op) && !takes_dtype(n, from))
        is_lowered = lower_composite(&c);
    else
        is_lowered = row->lower && row->lower(&c);
    for (uint32_t i = 0; is_lowered && i < n->n_results && !export_failed(round->x); i++) {
        if (!tn_is_valid(c.results[i]))
            module_error(to->module, TN_ERR_INTERNAL, n->locations, "%s: has no form for ONNX", op_name((tn_op)n->op));
        map[n->first_result + i] = c.results[i].id;
    }
    round->n_lowered += is_lowered;
    tn_free(values);
    return is_lowered || graph_copy_node(to, from, n, map);
}

bool export_lower(exporter *x) {
    for (int i = 0; i < MAX_ROUNDS; i++) {
        lowering_round round = {x, 0};
        if (!module_rebuild(x->module, true, lower_node, &round)) return false;
        if (round.n_lowered == 0) return true;
    }
    return module_error(x->module, TN_ERR_INTERNAL, LOCATION_NONE, "ops for ONNX nest deeper than %d", MAX_ROUNDS);
}

/* ---- Composites that depend on more than the dtype ------------------------------------------------------- */

static int opset(const lowering *c) { return c->x->options.opset; }
bool lower_since_20(lowering *c) { return opset(c) < 20 && lower_composite(c); }

/* Attributes are f32, so that f64 keeps an epsilon only when that is one. */
bool lower_norm(lowering *c) {
    double epsilon = attr_float(&c->n->attrs, ATTR_epsilon, 1e-5);
    bool is_kept = tn_type_of(c->operands[0]).dtype != TN_F64 || (double)(float)epsilon == epsilon;
    return !is_kept && lower_composite(c);
}
bool lower_rms_norm(lowering *c) { return opset(c) < 23 ? lower_composite(c) : lower_norm(c); }

bool lower_mean(lowering *c) { return attr_find(&c->n->attrs, ATTR_axes)->ints.n == 0 && lower_composite(c); }
bool lower_global_pool(lowering *c) { return tn_rank(c->operands[0]) < 3 && lower_composite(c); }

bool lower_pool(lowering *c) {
    tn_type x = tn_type_of(c->operands[0]);
    bool is_direct = pool_is_direct(export_dims(c->x), &x, &c->n->attrs, c->n->op == TN_OP_avg_pool, opset(c));
    return !is_direct && lower_composite(c);
}

/* A token goes on as it came. */
bool lower_effect(lowering *c) {
    if (!c->x->options.drop_effects) return false;
    c->results[0] = c->operands[0];
    return true;
}
