/* Writers of control flow.
 *
 * law: functions but kernels are written where they are used, with their parameters bound to values of the graph around them:
 *      branches and bodies of ONNX see those. Tokens are no values, and are left out of every list.
 */
#include "frontends/onnx/export_ops.h"

static label **labels_new(writing *w, size_t n) {
    label **labels = ARENA_ARRAY(&w->x->memory, label *, n + 1);
    if (!labels) export_no_memory(w->x);
    return labels;
}

static bool is_token(const tn_type *type) { return type->dtype == TN_TOKEN; }

/* Labels of operands from `first` on; of tokens NULL. */
static label **operands_from(writing *w, uint32_t first) {
    label **labels = labels_new(w, w->n->n_operands - first);
    for (uint32_t i = first; labels && i < w->n->n_operands; i++)
        labels[i - first] = is_token(operand_type(w, i)) ? NULL : operand(w, i);
    return labels;
}

static tn_graph *named_function(const writing *w, attr_name name) { return attr_find(&w->n->attrs, name)->func; }

/* Writes a function of this node into a block. */
static inlined *write_function(writing *w, block *b, const tn_graph *g, label *const *arguments) {
    return export_function(w->x, b, g, arguments, w->f, node_callee_symbols(w->n, g));
}

void write_call(writing *w) {
    tn_graph *g = named_function(w, ATTR_callee);
    if (g->is_kernel) {
        export_kernel_call(w, g);
        return;
    }
    label **arguments = operands_from(w, 0);
    inlined *f = arguments ? write_function(w, w->b, g, arguments) : NULL;
    for (uint32_t i = 0; f && i < w->n->n_results; i++)
        if (!is_token(result_type(w, i))) give(w, i, value_label(w->x, f, g->results[i].value));
}

/* Declares results [first, first + n) of a function as outputs of a block. */
static void declare_results(writing *w, block *b, inlined *f, size_t first, size_t n) {
    for (size_t i = first; f && i < first + n; i++) {
        const tn_type *type = graph_type(f->g, f->g->results[i].value);
        if (is_token(type)) continue;
        block_declare(w->x, &b->outputs, block_own(w->x, b, value_label(w->x, f, f->g->results[i].value), &b->outputs),
                      type);
    }
}

/* An input of a block, for a parameter of that type. */
static label *declare_input(writing *w, block *b, const tn_type *type, const char *name) {
    label *l = label_new(w->x, b);
    l->wanted = name;
    block_declare(w->x, &b->inputs, l, type);
    return l;
}

/* Results of the node are the outputs of a node of ONNX's, tokens left out. */
static void give_outputs(writing *w, const made_node *n) {
    int at = 0;
    for (uint32_t i = 0; i < w->n->n_results && at < n->n_outputs; i++)
        if (!is_token(result_type(w, i))) give(w, i, n->outputs[at++]);
}

static int count_values(const writing *w) {
    int n = 0;
    for (uint32_t i = 0; i < w->n->n_results; i++) n += !is_token(result_type(w, i));
    return n;
}

/* ---- if ------------------------------------------------------------------------------------------------------ */

void write_if(writing *w) {
    static const struct {
        attr_name function;
        const char *branch;
    } branches[] = {{ATTR_then, "then_branch"}, {ATTR_otherwise, "else_branch"}};
    label *condition = operand(w, 0), **arguments = operands_from(w, 1);
    block *blocks[2];
    if (!arguments || count_values(w) == 0) return;
    for (int i = 0; i < 2; i++) {
        tn_graph *g = named_function(w, branches[i].function);
        blocks[i] = block_new(w->x, w->b, branches[i].branch);
        inlined *f = blocks[i] ? write_function(w, blocks[i], g, arguments) : NULL;
        if (!f) return;
        declare_results(w, blocks[i], f, 0, g->n_results);
    }
    made_node *n = emit_node(w, "If", &condition, 1, count_values(w));
    for (int i = 0; i < 2; i++) set_graph(w->x, n, branches[i].branch, blocks[i]);
    give_outputs(w, n);
}

/* ---- while --------------------------------------------------------------------------------------------------- */

/* Loop asks for the condition of the next iteration at the end of each, and for the first before: the condition is
 * written twice. */
void write_while(writing *w) {
    tn_graph *cond = named_function(w, ATTR_cond), *body = named_function(w, ATTR_body);
    label **carried = operands_from(w, 0), **inside = labels_new(w, w->n->n_operands),
          **next = labels_new(w, w->n->n_operands), **inputs = labels_new(w, (size_t)w->n->n_operands + 2);
    block *b = block_new(w->x, w->b, "body");
    tn_type number = type_scalar(TN_I64), flag = type_scalar(TN_BOOL);
    if (!carried || !inside || !next || !inputs || !b) return;
    inlined *first = write_function(w, w->b, cond, carried);
    if (!first) return;
    int n_inputs = 0;
    inputs[n_inputs++] = NULL;
    inputs[n_inputs++] = value_label(w->x, first, cond->results[0].value);
    declare_input(w, b, &number, "iteration");
    declare_input(w, b, &flag, "goes_on");
    for (uint32_t i = 0; i < w->n->n_operands; i++) {
        if (!carried[i]) continue;
        inside[i] = declare_input(w, b, operand_type(w, i), body->params[i].name);
        inputs[n_inputs++] = carried[i];
    }
    inlined *f = write_function(w, b, body, inside);
    for (uint32_t i = 0; f && i < w->n->n_operands; i++)
        next[i] = carried[i] ? value_label(w->x, f, body->results[i].value) : NULL;
    inlined *again = f ? write_function(w, b, cond, next) : NULL;
    if (!again) return;
    declare_results(w, b, again, 0, 1);
    declare_results(w, b, f, 0, body->n_results);
    made_node *n = emit_node(w, "Loop", inputs, n_inputs, n_inputs - 2);
    set_graph(w->x, n, "body", b);
    give_outputs(w, n);
}

/* ---- scan ---------------------------------------------------------------------------------------------------- */

/* Scan needs a sequence to know the number of steps: the numbers of the steps, when there is none. */
static label *step_numbers(writing *w) {
    int64_t axis = 0;
    label *length = EMIT(w, "Squeeze", dim_label(w->x, w->b, w->f, attr_find(&w->n->attrs, ATTR_length)->dim),
                         numbers_label(w->x, &axis, 1));
    return EMIT(w, "Range", number_label(w->x, 0), length, number_label(w->x, 1));
}

static void set_directions(writing *w, made_node *n, const char *name, int count) {
    int64_t *ones = ARENA_ARRAY(&w->x->memory, int64_t, count + 1);
    if (!ones) {
        export_no_memory(w->x);
        return;
    }
    for (int i = 0; i < count; i++) ones[i] = 1;
    set_ints(w->x, n, name, ones, count);
}

void write_scan(writing *w) {
    tn_graph *body = named_function(w, ATTR_body);
    uint32_t n_operands = w->n->n_operands, n_carried = (uint32_t)attr_int(&w->n->attrs, ATTR_carried, 0);
    label **values = operands_from(w, 0), **inside = labels_new(w, n_operands),
          **inputs = labels_new(w, n_operands + 1);
    block *b = block_new(w->x, w->b, "body");
    int n_inputs = 0, n_states = 0;
    if (!values || !inside || !inputs || !b) return;
    for (uint32_t i = 0; i < n_operands; i++) {
        if (!values[i]) continue;
        inputs[n_inputs++] = values[i];
        n_states += i < n_carried;
        inside[i] = declare_input(w, b, &body->params[i].type, body->params[i].name);
    }
    if (n_inputs == n_states) {
        tn_type number = type_scalar(TN_I64);
        inputs[n_inputs++] = step_numbers(w);
        declare_input(w, b, &number, "step");
    }
    inlined *f = write_function(w, b, body, inside);
    if (!f) return;
    declare_results(w, b, f, 0, body->n_results);
    int n_outputs = count_values(w);
    made_node *n = emit_node(w, "Scan", inputs, n_inputs, n_outputs);
    set_graph(w->x, n, "body", b);
    set_int(w->x, n, "num_scan_inputs", n_inputs - n_states);
    if (attr_int(&w->n->attrs, ATTR_reverse, 0)) {
        set_directions(w, n, "scan_input_directions", n_inputs - n_states);
        if (n_outputs > n_states) set_directions(w, n, "scan_output_directions", n_outputs - n_states);
    }
    give_outputs(w, n);
}
