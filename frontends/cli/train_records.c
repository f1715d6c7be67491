/* What TensorBoard shows of a training: the graph, scalars of steps and epochs, histograms of parameters.
 *
 * in:  a model and the events of tn_fit
 * out: an event file
 */
#include "frontends/cli/train.h"

#include "frontends/nn/model.h"
#include "ir/graph.h"
#include "ir/op.h"
#include "runtime/diag.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TAG_BYTES = 300 };

/* ---- The graph ------------------------------------------------------------------------------------------------ */

/* Parts of a path are groups that fold: "block0.mlp" is shown as "block0/mlp". */
static char *with_slashes(arena *memory, const char *path, const char *rest) {
    char *name = arena_printf(memory, "%s%s", path, rest);
    for (char *p = name; p && p < name + strlen(path); p++)
        if (*p == '.') *p = '/';
    return name;
}

/* The innermost layer that made node n: the last one that began before it and has not ended. */
static const char *layer_of(const tn_model *m, size_t n) {
    for (size_t i = m->n_layers; i-- > 0;)
        if (m->layers[i].first_node <= n && n < m->layers[i].end_node) return m->layers[i].path;
    return "";
}

static char *node_name(arena *memory, const tn_model *m, size_t n) {
    const tn_graph *g = m->forward;
    const node *made = &g->nodes[n];
    char rest[TAG_BYTES];
    if (made->op == TN_OP_param) {
        const char *name = g->params[attr_int(&made->attrs, ATTR_index, 0)].name;
        return with_slashes(memory, name, "");
    }
    const char *layer = layer_of(m, n);
    snprintf(rest, sizeof rest, "%s%s_%zu", *layer ? "/" : "", op_name((tn_op)made->op), n);
    return with_slashes(memory, layer, rest);
}

static bool describe_node(arena *memory, const tn_model *m, size_t n, tn_event_node *nodes) {
    const tn_graph *g = m->forward;
    const node *made = &g->nodes[n];
    char type[TAG_BYTES];
    const char **inputs = ARENA_ARRAY(memory, const char *, made->n_operands + 1);
    for (uint32_t i = 0; inputs && i < made->n_operands; i++) inputs[i] = nodes[g->values[made->operands[i]].node].name;
    type[0] = '\0';
    if (made->n_results > 0) type_print(g->module->dims, graph_type(g, made->first_result), type, sizeof type);
    nodes[n] = (tn_event_node){.name = node_name(memory, m, n),
                               .op = op_name((tn_op)made->op),
                               .inputs = inputs,
                               .n_inputs = (int)made->n_operands,
                               .type = arena_strdup(memory, type)};
    return inputs && nodes[n].name && nodes[n].type;
}

static tn_status write_graph(train_records *r, const tn_model *m) {
    arena memory = {0};
    size_t n = m->forward->n_nodes;
    tn_event_node *nodes = ARENA_ARRAY(&memory, tn_event_node, n + 1);
    bool ok = nodes != NULL;
    for (size_t i = 0; ok && i < n; i++) ok = describe_node(&memory, m, i, nodes);
    tn_status status = ok ? tn_event_graph(r->writer, nodes, (int64_t)n, &r->diag)
                          : diag_fail(&r->diag, TN_ERR_MEMORY, "out of memory");
    arena_free(&memory);
    return status;
}

/* ---- Events ---------------------------------------------------------------------------------------------------- */

/* Numbers that there are not are left out. */
static void scalar(train_records *r, const char *group, const char *name, int64_t step, double value) {
    char tag[TAG_BYTES];
    if (isnan(value) || r->diag.status != TN_OK) return;
    snprintf(tag, sizeof tag, "%s/%s", group, name);
    tn_event_scalar(r->writer, tag, step, value, &r->diag);
}

static void write_epoch(train_records *r, const tn_model *m, const tn_fit_event *e) {
    scalar(r, "epoch", "loss", e->step, e->loss);
    scalar(r, "validation", "loss", e->step, e->validation_loss);
    for (int i = 0; i < tn_trainer_n_metrics(e->trainer); i++) {
        const char *name = tn_trainer_metric_name(e->trainer, i);
        scalar(r, "epoch", name, e->step, tn_trainer_metric(e->trainer, i, false));
        if (!isnan(e->validation_loss)) scalar(r, "validation", name, e->step, tn_trainer_metric(e->trainer, i, true));
    }
    for (int i = 0; i < tn_model_n_parameters(m) && r->diag.status == TN_OK; i++) {
        char tag[TAG_BYTES];
        tn_parameter p = tn_model_parameter_of(m, i);
        snprintf(tag, sizeof tag, "parameters/%s", p.name);
        if (tn_tensor_elements(&p.tensor) > 0) tn_event_histogram(r->writer, tag, e->step, &p.tensor, &r->diag);
    }
}

tn_status train_records_open(train_records *r, const char *folder, const tn_model *m) {
    *r = (train_records){.diag = {.status = TN_OK}};
    if (tn_event_writer_new(folder, &r->writer, &r->diag) != TN_OK || write_graph(r, m) == TN_OK) return r->diag.status;
    r->diag.file = NULL; /* the writer's */
    tn_event_writer_close(r->writer, NULL);
    r->writer = NULL;
    return r->diag.status;
}

bool train_records_event(train_records *r, const tn_model *m, const tn_fit_event *event) {
    if (event->is_epoch) {
        write_epoch(r, m, event);
    } else {
        scalar(r, "step", "loss", event->step, event->loss);
        scalar(r, "step", "learning_rate", event->step, event->learning_rate);
        scalar(r, "step", "gradient_norm", event->step, event->gradient_norm);
    }
    return r->diag.status == TN_OK;
}

tn_status train_records_close(train_records *r) {
    tn_status closed = tn_event_writer_close(r->writer, r->diag.status == TN_OK ? &r->diag : NULL);
    r->writer = NULL;
    r->diag.file = NULL;
    return r->diag.status != TN_OK ? r->diag.status : closed;
}
