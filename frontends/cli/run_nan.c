/* The first NaN of an interpreted run (see run_nan.h).
 *
 * law: what is an error is what compiled code takes for one (compiler/loops/nan_looks.h). A select that takes a NaN is
 *      not blamed: where it began is found by going back from operand to operand, all values of a function being there
 */
#include "frontends/cli/run_nan.h"

#include "compiler/loops/nan_looks.h"
#include "frontends/cli/run_values.h"
#include "ir/names.h"
#include "runtime/nan.h"

typedef struct looking {
    const session *s;
    tn_diag *diag;
    bool is_found;
} looking;

static int64_t find(const eval_frame *f, value_id v) {
    const eval_tensor *t = &f->values[v];
    return t->data ? nan_find(t->dtype, t->data, t->n) : -1;
}

/* From a value with a NaN to the operand that brought it, for as long as there is one. */
static value_id origin(const eval_frame *f, value_id v) {
    bool goes_on = true;
    while (goes_on) {
        const node *n = graph_node_of(f->graph, v);
        goes_on = false;
        for (uint32_t k = 0; k < n->n_operands && !goes_on; k++)
            if (find(f, n->operands[k]) >= 0) {
                v = n->operands[k];
                goes_on = true;
            }
    }
    return v;
}

static bool is_weight(const tn_graph *g, value_id v) {
    for (size_t i = 0; i < g->n_params; i++)
        if (g->params[i].value == v) return g->params[i].binding == BINDING_LOAD;
    return false;
}

static void blame(looking *l, const eval_frame *f, value_id v) {
    const eval_tensor *t = &f->values[v];
    tn_tensor shape = tn_tensor_of(t->dtype, NULL, t->rank, t->dims);
    const node *n = graph_node_of(f->graph, v);
    tn_op gradient_of = location_gradient_of(f->graph->module, n->locations);
    char places[1024], type[200];
    diag_fail(l->diag, TN_ERR_NAN, "%s: ", l->s->module->name);
    line text = {l->diag->message, sizeof l->diag->message, 0};
    line_add(&text, "%s: ", l->s->module->name);
    if (n->op == TN_OP_param) {
        const char *name = value_given_name(f->graph, v);
        line_add(&text, "%s '%s' has a NaN", is_weight(f->graph, v) ? "weight" : "input", name ? name : "?");
    } else {
        wanted_places(f->graph, v, places, sizeof places);
        line_add(&text, "%s%s%s", op_name((tn_op)n->op), *places ? " at " : "", places);
        if (gradient_of != TN_OP_COUNT) line_add(&text, " (in the gradient of %s)", op_name(gradient_of));
        line_add(&text, ": the first NaN is");
    }
    nan_add_element(&text, tn_tensor_text(&shape, type, sizeof type), (uint64_t)find(f, v));
    l->is_found = true;
}

static bool on_node(void *ctx, const eval_frame *frame, bool is_done) {
    looking *l = ctx;
    const node *n = frame->node;
    for (uint32_t r = 0; is_done && r < n->n_results; r++) {
        value_id v = n->first_result + r;
        const nan_look *looks = frame->graph->nan_looks;
        if (!looks || looks[v].use != NAN_ALWAYS || find(frame, v) < 0) continue;
        blame(l, frame, origin(frame, v));
        return false;
    }
    return true;
}

tn_status interpret_looking_for_nan(session *s, tn_diag *diag) {
    looking l = {.s = s, .diag = diag};
    tn_diag ended = {0};
    if (!nan_looks_find(s->module)) {
        *diag = *tn_module_error(s->module);
        return diag->status;
    }
    tn_status status =
        run_data_interpret_with(&s->data, &(eval_options){.keep_values = true, .observe = on_node, .ctx = &l}, &ended);
    if (l.is_found) return TN_ERR_NAN;
    *diag = ended;
    return status;
}
