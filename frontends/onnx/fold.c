/* Contents that follow from constants by more than shape arithmetic: scales computed in floats, conditions.
 *
 * in:  a value that is asked for while importing
 * out: its content, when it comes from a few small constants alone: computed by the interpreter
 * law: a weight that it comes from is what it is in the file; sizes don't change when it is replaced
 */
#include "frontends/onnx/import.h"
#include "ir/eval.h"
#include "ir/op.h"

enum { FOLD_NODES = 256 };

typedef struct folding {
    tn_graph scratch;
    const tn_graph *from;
    int n_nodes;
    struct {
        value_id from, to;
    } copied[FOLD_NODES];
} folding;

static bool is_small(const tn_graph *g, const node *n) {
    dim_table *t = g->module->dims;
    int64_t elements;
    for (uint32_t i = 0; i < n->n_results; i++)
        if (!dim_is_const(t, type_element_count(t, graph_type(g, n->first_result + i)), &elements) ||
            elements > KNOWN_MAX_ITEMS)
            return false;
    return true;
}

/* The content that a weight begins with; NULL: v is none. */
static const tensor_data *weight_data(const tn_graph *g, value_id v) {
    for (size_t i = 0; i < g->n_params; i++)
        if (g->params[i].value == v) return g->params[i].binding == BINDING_LOAD ? g->params[i].initial : NULL;
    return NULL;
}

/* Copies v and what it comes from. VALUE_NONE: not from constants alone, or too much. */
static value_id copy(folding *f, value_id v, int depth) {
    const node *n = graph_node_of(f->from, v);
    loop_class c = op_table[n->op].loop_class;
    value_id operands[8], first = VALUE_NONE;
    for (int i = 0; i < f->n_nodes; i++)
        if (f->copied[i].from == v) return f->copied[i].to;
    const tensor_data *weight = n->op == TN_OP_param ? weight_data(f->from, v) : NULL;
    attr value = {.name = ATTR_value, .data = weight};
    bool is_leaf = weight || n->op == TN_OP_constant || n->op == TN_OP_iota;
    if (depth > FOLD_NODES || (c == CLASS_LEAF && !is_leaf) || c == CLASS_CONTROL || c == CLASS_EFFECT ||
        n->n_operands > 8 || !is_small(f->from, n))
        return VALUE_NONE;
    for (uint32_t i = 0; i < n->n_operands; i++)
        if ((operands[i] = copy(f, n->operands[i], depth + 1)) == VALUE_NONE) return VALUE_NONE;
    if (f->n_nodes == FOLD_NODES ||
        !graph_apply(&f->scratch, n->locations, weight ? TN_OP_constant : (tn_op)n->op, operands, n->n_operands,
                     weight ? &value : n->attrs.items, weight ? 1 : n->attrs.n, &first, 1, NULL))
        return VALUE_NONE;
    value_id to = first + f->from->values[v].result;
    f->copied[f->n_nodes].from = v;
    f->copied[f->n_nodes++].to = to;
    return to;
}

static const tensor_data *evaluate(folding *f, value_id v, const tn_type *type) {
    eval_tensor result = {0};
    eval_options options = {0};
    tn_status status = TN_ERR_MEMORY;
    if (graph_add_result(&f->scratch, "value", v, -1)) status = eval_graph(&f->scratch, NULL, &result, &options, NULL);
    if (status != TN_OK) {
        if (status == TN_ERR_MEMORY) module_no_memory(f->scratch.module);
        eval_tensor_free(&result);
        return NULL;
    }
    const tensor_data *data = module_constant(f->scratch.module, type, result.data, true);
    eval_tensor_free(&result);
    return data;
}

const tensor_data *import_fold(importer *im, tn_val v) {
    if (!tn_is_valid(v) || import_failed(im)) return NULL;
    folding *f = tn_calloc(1, sizeof *f);
    if (!f) {
        import_no_memory(im);
        return NULL;
    }
    f->scratch = (tn_graph){.module = im->module, .name = "fold"};
    f->from = v.graph;
    tn_type type = tn_type_of(v);
    value_id copied = copy(f, v.id, 0);
    const tensor_data *data = copied != VALUE_NONE ? evaluate(f, copied, &type) : NULL;
    graph_release(&f->scratch);
    tn_free(f);
    return data;
}
