/* A model of a module that is there already: one read from an ONNX file, say.
 *
 * in:  a module with weights, the names of a loss and of the output that it is of
 * out: a model whose parameters begin as those weights
 * law: the module is not changed; its weights are copied
 */
#include "frontends/nn/inline.h"
#include "frontends/nn/model.h"

#include "ir/build.h"
#include "ir/dtype.h"
#include "ir/near.h"
#include "runtime/diag.h"

#include <string.h>

typedef struct imported {
    tn_model *m;
    tn_graph *from; /* the function that becomes forward; in the model's module */
    size_t prediction;
    const tn_model_import *how;
    tn_diag *diag;
} imported;

/* ---- What is trained ------------------------------------------------------------------------------------------ */

/* Moments of a batch normalisation are measured, not trained. */
static bool is_moment(const tn_graph *g, value_id v) {
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        if (n->op == TN_OP_batch_norm && (n->operands[3] == v || n->operands[4] == v)) return true;
    }
    return false;
}

static bool is_listed(const char *const *names, const char *name) {
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

static bool is_weight(const param *p) { return p->binding == BINDING_LOAD; }

static tn_status check_names(const imported *im) {
    for (const char *const *name = im->how->frozen; name && *name; name++) {
        bool is_there = false;
        char text[200];
        near_names near = {.wanted = *name};
        for (size_t i = 0; i < im->from->n_params; i++) {
            if (!is_weight(&im->from->params[i])) continue;
            is_there |= strcmp(im->from->params[i].name, *name) == 0;
            near_offer(&near, im->from->params[i].name);
        }
        if (!is_there)
            return diag_fail(im->diag, TN_ERR_ARGUMENT, "there is no weight %s to freeze%s", *name,
                             near_text(&near, text, sizeof text));
    }
    return TN_OK;
}

static tn_status check_params(const imported *im) {
    size_t n_trained = 0;
    for (size_t i = 0; i < im->from->n_params; i++) {
        const param *p = &im->from->params[i];
        if (p->binding == BINDING_STATE)
            return diag_fail(im->diag, TN_ERR_UNSUPPORTED, "%s is a state: a model for training has none", p->name);
        if (is_weight(p) && !p->initial)
            return diag_fail(im->diag, TN_ERR_ARGUMENT, "the weight %s has no values", p->name);
        n_trained += is_weight(p) && p->type.dtype == im->m->dtype;
    }
    if (n_trained > 0) return check_names(im);
    return diag_fail(im->diag, TN_ERR_ARGUMENT, "no weight is %s: there is nothing to train (constants are no weights)",
                     tn_dtype_name(im->m->dtype));
}

/* ---- Forward ---------------------------------------------------------------------------------------------------- */

static tn_val add_param(const imported *im, const param *p) {
    nn_param what = {.role = NN_INPUT};
    if (is_weight(p)) {
        bool is_trained = p->type.dtype == im->m->dtype && !is_moment(im->from, p->value);
        what = (nn_param){
            .role = NN_PARAMETER, .frozen = !is_trained || is_listed(im->how->frozen, p->name), .initial = p->initial};
    }
    return nn_add_param(im->m, p->name, &p->type, &what);
}

/* Losses that take logits get what the probabilities at the end of a classifier were made of. */
static tn_val logits_of(tn_val v, const char *loss) {
    static const struct {
        const char *loss;
        tn_op op;
    } ends[] = {{"sparse_cross_entropy", TN_OP_softmax},
                {"cross_entropy", TN_OP_softmax},
                {"binary_cross_entropy", TN_OP_logistic}};
    const node *n = graph_node_of(v.graph, v.id);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(loss, ends[i].loss) == 0 && n->op == ends[i].op &&
            (n->op != TN_OP_softmax || attr_int(&n->attrs, ATTR_axis, -1) == tn_rank(v) - 1))
            return (tn_val){v.graph, n->operands[0]};
    return v;
}

static void add_loss(const imported *im, tn_val prediction) {
    tn_model *m = im->m;
    const char *loss = im->how->loss;
    tn_val v = logits_of(prediction, loss);
    if (nn_loss_is_reduction(loss)) {
        tn_model_loss(m, "training.loss", nn_loss_reduce(v, loss));
        return;
    }
    tn_type type = nn_loss_target_type(tn_type_of(v), loss);
    tn_val target = nn_add_param(m, "target", &type, &(nn_param){.role = NN_TARGET});
    tn_location at = {"the loss", 0}; /* no line of the user's */
    tn_model_loss(m, "training.loss", tn_nn_loss_at(at, loss, v, (tn_nn_loss_args){.target = target}));
    if (strcmp(loss, "sparse_cross_entropy") == 0)
        tn_model_metric_at(at, m, "accuracy", v, (tn_nn_metric_args){.target = target});
}

static bool build_forward(const imported *im) {
    tn_module *module = im->m->module;
    tn_val *args = ARENA_ARRAY(&module->memory, tn_val, im->from->n_params + 1);
    tn_val *results = ARENA_ARRAY(&module->memory, tn_val, im->from->n_results + 1);
    if (!args || !results) return module_no_memory(module);
    if (!graph_copy_symbols(im->m->forward, im->from)) return false;
    for (size_t i = 0; i < im->from->n_params; i++) {
        args[i] = add_param(im, &im->from->params[i]);
        if (!tn_is_valid(args[i])) return false;
    }
    if (!nn_inline(im->m->forward, im->from, args, results)) return false;
    for (size_t r = 0; r < im->from->n_results; r++)
        if (!nn_add_result(im->m, im->from->results[r].name, results[r], NN_OUTPUT, NULL)) return false;
    add_loss(im, results[im->prediction]);
    return module->error.status == TN_OK && module_remove_uncalled(module, im->m->forward, NULL);
}

/* ---- The model --------------------------------------------------------------------------------------------------- */

/* A copy of the module with an empty function forward. */
static bool open_model(imported *im, tn_module *from) {
    tn_model *m = im->m = tn_calloc(1, sizeof *m);
    if (m) m->module = module_clone(from);
    if (!m || !m->module || m->module->error.status != TN_OK) {
        diag_fail(im->diag, TN_ERR_MEMORY, "out of memory");
        return false;
    }
    im->from = module_main(m->module);
    if (!im->from) {
        diag_fail(im->diag, TN_ERR_ARGUMENT, "the module has no function");
        return false;
    }
    m->training = m->random = BUILD_INVALID;
    tn_graph *other = module_find(m->module, "forward");
    const char *another = module_intern(m->module, "forward (imported)");
    if (other && another) other->name = another;
    m->forward = another ? module_add_graph(m->module, "forward") : NULL;
    if (m->forward) return true;
    diag_fail(im->diag, TN_ERR_MEMORY, "out of memory");
    return false;
}

static tn_status complain_of_output(const imported *im, const char *name) {
    char text[200];
    near_names near = {.wanted = name};
    for (size_t r = 0; r < im->from->n_results; r++) near_offer(&near, im->from->results[r].name);
    return diag_fail(im->diag, TN_ERR_ARGUMENT, "there is no output %s%s", name, near_text(&near, text, sizeof text));
}

/* The output that the loss is of. */
static tn_status choose_output(imported *im) {
    const char *name = im->how->output;
    size_t r = 0;
    if (name) {
        while (r < im->from->n_results && strcmp(im->from->results[r].name, name) != 0) r++;
        if (r == im->from->n_results) return complain_of_output(im, name);
    } else if (!nn_find_prediction(im->from, &r))
        return diag_fail(im->diag, TN_ERR_DTYPE, "no output of the model is a float");
    tn_dtype dtype = (tn_dtype)graph_type(im->from, im->from->results[r].value)->dtype;
    if (!dtype_is_float(dtype))
        return diag_fail(im->diag, TN_ERR_DTYPE, "output %s is %s, a loss is of floats", name, tn_dtype_name(dtype));
    im->prediction = r;
    im->m->dtype = im->m->compute = dtype == TN_F64 ? TN_F64 : TN_F32;
    return TN_OK;
}

/* im->m is then to be freed when something went wrong. */
static tn_status make_model(imported *im) {
    tn_status status = choose_output(im);
    if (status == TN_OK) status = check_params(im);
    if (status != TN_OK) return status;
    const tn_diag *error = &im->m->module->error;
    if (!build_forward(im)) return diag_fail(im->diag, error->status, "%s", error->message);
    return tn_model_initialise(im->m, 0, im->diag);
}

tn_model *tn_model_from_module(const tn_module *from, const tn_model_import *how, tn_diag *diag) {
    imported im = {.how = how, .diag = diag};
    if (!from || !how || !how->loss) {
        diag_fail(diag, TN_ERR_ARGUMENT, "there is no module, or no loss");
        return NULL;
    }
    if (tn_module_error(from)) {
        if (diag) *diag = *tn_module_error(from);
        return NULL;
    }
    /* The copy reads constants in place and keeps the module: that is all that happens to it. */
    if (open_model(&im, (tn_module *)(uintptr_t)from) && make_model(&im) == TN_OK) return im.m;
    tn_model_free(im.m);
    return NULL;
}
