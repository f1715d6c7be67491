/* Fold: what is known at compile time is computed at compile time, by the interpreter.
 *
 * in:  functions of primitives
 * out: the same, where nodes whose operands are all constants have become constants
 * law: a result larger than the limit (pass_options.fold_limit_bytes) stays a node, so folding
 *      never explodes memory; so does work of more than FOLD_MAX_TERMS additions
 *
 * iota, and broadcasts of constants, are known but cost nothing as they are: they are folded
 * with their readers, never on their own.
 */
#include "compiler/passes/passes.h"

#include "runtime/nan.h"

#include "ir/eval.h"
#include "runtime/fault.h"

enum { FOLD_DEFAULT_BYTES = 1 << 20, FOLD_MAX_TERMS = 1 << 26 };

typedef struct folder {
    size_t limit_bytes;
    bool keeps_nan;
} folder;

static bool is_free(tn_op op) { return op == TN_OP_iota || op == TN_OP_broadcast || op == TN_OP_constant; }

static bool is_foldable(tn_op op) {
    loop_class c = op_table[op].loop_class;
    return c != CLASS_CONTROL && c != CLASS_EFFECT && c != CLASS_COMPOSITE && op != TN_OP_param && op != TN_OP_dim &&
           op != TN_OP_token;
}

/* v comes from constants alone. */
static bool is_known(const tn_graph *g, value_id v) {
    const node *n = graph_node_of(g, v);
    if (n->op == TN_OP_constant) return true;
    if (!is_free((tn_op)n->op) || !type_is_static(g->module->dims, graph_type(g, v))) return false;
    for (uint32_t i = 0; i < n->n_operands; i++)
        if (!is_known(g, n->operands[i])) return false;
    return true;
}

static bool fits(const tn_graph *from, const node *n, size_t limit_bytes) {
    size_t bytes;
    for (uint32_t k = 0; k < n->n_results; k++)
        if (!type_static_bytes(from->module->dims, graph_type(from, n->first_result + k), &bytes) ||
            bytes > limit_bytes)
            return false;
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (!type_static_bytes(from->module->dims, graph_type(from, n->operands[k]), &bytes) ||
            bytes > 16 * limit_bytes)
            return false;
    return true;
}

/* Contractions of constants: one operand's elements times the result's is a bound of the work. */
static bool is_quick(const tn_graph *from, const node *n) {
    loop_class c = op_table[n->op].loop_class;
    if (c != CLASS_CONTRACT && c != CLASS_CONV && c != CLASS_WINDOW) return true;
    dim_table *t = from->module->dims;
    int64_t out, in;
    return dim_is_const(t, type_element_count(t, graph_type(from, n->first_result)), &out) &&
           dim_is_const(t, type_element_count(t, graph_type(from, n->operands[n->n_operands - 1])), &in) &&
           out < FOLD_MAX_TERMS && in < FOLD_MAX_TERMS && out * in < FOLD_MAX_TERMS;
}

/* The known value v, copied into the scratch function. */
static value_id copy_known(tn_graph *scratch, const tn_graph *g, value_id v) {
    const node *n = graph_node_of(g, v);
    value_id operands[OP_MAX_ATTRS], copy = VALUE_NONE;
    for (uint32_t i = 0; i < n->n_operands && i < OP_MAX_ATTRS; i++)
        if ((operands[i] = copy_known(scratch, g, n->operands[i])) == VALUE_NONE) return VALUE_NONE;
    graph_apply(scratch, n->locations, (tn_op)n->op, operands, n->n_operands, n->attrs.items, n->attrs.n, &copy, 1,
                NULL);
    return copy;
}

static bool build_scratch(tn_graph *scratch, const tn_graph *g, const node *n, const value_id *map) {
    value_id *operands = tn_calloc(n->n_operands + 1, sizeof *operands), first = VALUE_NONE;
    bool ok = operands != NULL;
    for (uint32_t i = 0; ok && i < n->n_operands; i++) {
        uint32_t k = FAULT(fold_operands) && n->op == TN_OP_sub ? 1 - i : i;
        ok = (operands[i] = copy_known(scratch, g, map[n->operands[k]])) != VALUE_NONE;
    }
    ok = ok && graph_apply(scratch, n->locations, (tn_op)n->op, operands, n->n_operands, n->attrs.items, n->attrs.n,
                           &first, 1, NULL);
    for (uint32_t k = 0; ok && k < n->n_results; k++) ok = graph_add_result(scratch, NULL, first + k, -1);
    tn_free(operands);
    return ok || module_error(g->module, TN_ERR_MEMORY, n->locations, "out of memory while folding");
}

static bool has_nan(const tn_graph *scratch, const eval_tensor *results) {
    for (size_t k = 0; k < scratch->n_results; k++) {
        const tn_type *type = graph_type(scratch, scratch->results[k].value);
        size_t bytes = 0;
        type_static_bytes(scratch->module->dims, type, &bytes);
        int64_t n = (int64_t)(bytes * 8 / tn_dtype_bits((tn_dtype)type->dtype));
        if (nan_find((tn_dtype)type->dtype, results[k].data, n) >= 0) return true;
    }
    return false;
}

/* Evaluates the scratch function and enters its results as constants. *done false: it failed in a
 * way that is the run's to report (an index out of range). */
static bool evaluate(tn_graph *scratch, tn_graph *to, const node *n, value_id *map, bool keeps_nan, bool *done) {
    eval_tensor *results = tn_calloc(n->n_results + 1, sizeof *results);
    tn_diag diag = {0};
    if (!results) return module_error(to->module, TN_ERR_MEMORY, n->locations, "out of memory while folding");
    tn_status status = eval_graph(scratch, NULL, results, NULL, &diag);
    bool ok = *done = status == TN_OK && !(keeps_nan && has_nan(scratch, results));
    for (uint32_t k = 0; ok && k < n->n_results; k++) {
        const tn_type *type = graph_type(scratch, scratch->results[k].value);
        attr data = {.name = ATTR_value, .data = module_constant(to->module, type, results[k].data, true)};
        ok = data.data &&
             graph_apply(to, n->locations, TN_OP_constant, NULL, 0, &data, 1, &map[n->first_result + k], 1, NULL);
    }
    for (uint32_t k = 0; k < n->n_results; k++) eval_tensor_free(&results[k]);
    tn_free(results);
    return ok || !*done;
}

static bool fold_node(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    folder *s = ctx;
    bool known = is_foldable((tn_op)n->op) && !is_free((tn_op)n->op) && n->n_operands > 0;
    for (uint32_t i = 0; known && i < n->n_operands; i++) known = is_known(to, map[n->operands[i]]);
    if (!known || !fits(from, n, s->limit_bytes) || !is_quick(from, n)) return graph_copy_node(to, from, n, map);
    tn_graph *scratch = module_add_graph(to->module, "fold");
    bool done = false;
    bool ok = scratch && build_scratch(scratch, to, n, map) && evaluate(scratch, to, n, map, s->keeps_nan, &done);
    if (scratch) module_remove_graph(to->module, scratch);
    return ok && (done || graph_copy_node(to, from, n, map));
}

bool pass_fold(tn_module *m, const pass_options *o) {
    folder s = {.limit_bytes = o->fold_limit_bytes ? o->fold_limit_bytes : FOLD_DEFAULT_BYTES,
                .keeps_nan = o->nan_check};
    return module_rebuild(m, true, fold_node, &s);
}
