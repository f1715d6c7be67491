/* What training writes for TensorBoard (see fit_events.h). */
#include "frontends/nn/fit_events.h"
#include "frontends/nn/trainer.h"

#include "ir/op.h"
#include "runtime/diag.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A scalar unless it is no number: of a loss or norm that there was none of. */
static tn_status add_scalar(tn_event_writer *w, tn_status so_far, const char *group, const char *name, int64_t step,
                            double value, tn_diag *diag) {
    char tag[2 * NN_PATH_BYTES];
    if (so_far != TN_OK || isnan(value)) return so_far;
    snprintf(tag, sizeof tag, "%s/%s", group, name);
    return tn_event_scalar(w, tag, step, value, diag);
}

tn_status fit_events_step(tn_event_writer *w, const tn_fit_event *e, tn_diag *diag) {
    tn_status status = add_scalar(w, TN_OK, "train", "loss", e->step, e->loss, diag);
    status = add_scalar(w, status, "train", "learning_rate", e->step, e->learning_rate, diag);
    return add_scalar(w, status, "train", "gradient_norm", e->step, e->gradient_norm, diag);
}

tn_status fit_events_epoch(tn_event_writer *w, const tn_fit_event *e, tn_diag *diag) {
    static const char *const groups[] = {"epoch", "validation"};
    const double losses[] = {e->loss, e->validation_loss};
    tn_status status = TN_OK;
    for (int k = 0; k < 2; k++) {
        status = add_scalar(w, status, groups[k], "loss", e->step, losses[k], diag);
        for (int i = 0; i < tn_trainer_n_metrics(e->trainer); i++)
            status = add_scalar(w, status, groups[k], tn_trainer_metric_name(e->trainer, i), e->step,
                                tn_trainer_metric(e->trainer, i, k == 1), diag);
    }
    const tn_model *m = e->trainer->m;
    for (int i = 0; i < tn_model_n_parameters(m) && status == TN_OK; i++) {
        char tag[2 * NN_PATH_BYTES];
        tn_parameter p = tn_model_parameter_of(m, i);
        snprintf(tag, sizeof tag, "parameters/%s", p.name);
        status = tn_event_histogram(w, tag, e->step, &p.tensor, diag);
    }
    return status;
}

/* ---- The graph ------------------------------------------------------------------------------------------------ */

/* "block/conv/" of the layer that node i is in, or "". */
static void scope_of(const tn_model *m, size_t i, char *out, size_t bytes) {
    out[0] = '\0';
    for (size_t k = 0; k < m->n_layers; k++)
        if (i >= m->layers[k].first_node && i < m->layers[k].end_node) snprintf(out, bytes, "%s/", m->layers[k].path);
    for (; *out; out++)
        if (*out == '.') *out = '/';
}

static const char *node_name(arena *memory, const tn_model *m, size_t i) {
    char scope[NN_PATH_BYTES + 2];
    const node *n = &m->forward->nodes[i];
    if (n->op == TN_OP_param) return m->forward->values[n->first_result].name;
    scope_of(m, i, scope, sizeof scope);
    return arena_printf(memory, "%s%s_%zu", scope, op_name((tn_op)n->op), i);
}

static bool describe_node(arena *memory, const tn_model *m, size_t i, const char *const *names, tn_event_node *out) {
    const tn_graph *g = m->forward;
    const node *n = &g->nodes[i];
    char type[300];
    const char **inputs = ARENA_ARRAY(memory, const char *, n->n_operands + 1);
    type_print(m->module->dims, graph_type(g, n->first_result), type, sizeof type);
    for (uint32_t k = 0; inputs && k < n->n_operands; k++) inputs[k] = names[g->values[n->operands[k]].node];
    *out = (tn_event_node){names[i], op_name((tn_op)n->op), inputs, (int)n->n_operands, arena_strdup(memory, type)};
    return inputs && out->type;
}

tn_status fit_events_graph(tn_event_writer *w, const tn_trainer *t, tn_diag *diag) {
    const tn_graph *g = t->m->forward;
    arena memory = {0};
    const char **names = ARENA_ARRAY(&memory, const char *, g->n_nodes + 1);
    tn_event_node *nodes = ARENA_ARRAY(&memory, tn_event_node, g->n_nodes + 1);
    bool ok = names && nodes;
    for (size_t i = 0; ok && i < g->n_nodes; i++) ok = (names[i] = node_name(&memory, t->m, i)) != NULL;
    for (size_t i = 0; ok && i < g->n_nodes; i++) ok = describe_node(&memory, t->m, i, names, &nodes[i]);
    tn_status status = ok ? tn_event_graph(w, nodes, (int64_t)g->n_nodes, diag)
                          : diag_fail(diag, TN_ERR_MEMORY, "out of memory for the graph's events");
    arena_free(&memory);
    return status;
}
