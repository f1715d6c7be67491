/* The inference graph of a model.
 *
 * in:  a model with its parameters
 * out: a module whose main has the outputs; parameters are weights
 * law: the model is not changed, and the module has copies of its parameters
 */
#include "frontends/nn/inline.h"
#include "frontends/nn/model.h"

#include "ir/build.h"
#include "runtime/diag.h"

/* What stands for parameter i of forward in main; invalid after an error. */
static tn_val make_arg(const tn_model *m, tn_graph *main, const sizes_fixed *sizes, size_t i) {
    static const bool is_false = false;
    const param *p = &module_find(main->module, "forward")->params[i];
    nn_role role = m->params[i].role;
    if (role == NN_TRAINING) return tn_constant(main, TN_BOOL, TN_SCALAR, &is_false);
    bool is_weight = role == NN_PARAMETER || role == NN_STATE;
    tn_type type = sizes_type(sizes, main->module, p->type);
    value_id v = graph_add_param(main, p->name, &type, is_weight ? BINDING_LOAD : BINDING_RUN);
    if (v == VALUE_NONE) return BUILD_INVALID;
    if (is_weight) {
        const tensor_data *initial = module_constant(main->module, &type, m->params[i].data, true);
        if (!initial) return BUILD_INVALID;
        main->params[main->n_params - 1].initial = initial;
    }
    return (tn_val){main, v};
}

static bool build_main(const tn_model *m, tn_graph *main, nn_side *side, const sizes_fixed *sizes) {
    const tn_graph *from = side->from;
    tn_val *args = ARENA_ARRAY(&main->module->memory, tn_val, from->n_params + 1);
    tn_val *results = ARENA_ARRAY(&main->module->memory, tn_val, from->n_results + 1);
    if (!args || !results) return module_no_memory(main->module);
    for (size_t i = 0; i < from->n_params; i++) {
        args[i] = BUILD_INVALID;
        if (!nn_side_needs(side, i)) continue;
        args[i] = make_arg(m, main, sizes, i);
        if (!tn_is_valid(args[i])) return false;
    }
    if (!nn_side_copy(side, main, args, sizes, results)) return false;
    for (size_t r = 0; r < from->n_results; r++)
        if (side->wanted[r] && !graph_add_result(main, from->results[r].name, results[r].id, -1)) return false;
    return true;
}

static bool build_module(const tn_model *m, tn_module *copy, const tn_model_size *list) {
    sizes_fixed sizes;
    nn_side side;
    tn_graph *forward = module_find(copy, "forward"), *main = module_add_graph(copy, "main");
    bool *wanted = ARENA_ARRAY(&copy->memory, bool, forward ? forward->n_results + 1 : 1);
    if (!forward || !main || !wanted || !nn_sizes_take(&sizes, copy, list)) return module_no_memory(copy);
    size_t training = SIZE_MAX;
    for (size_t r = 0; r < forward->n_results; r++) wanted[r] = m->results[r].role == NN_OUTPUT;
    for (size_t i = 0; i < forward->n_params; i++)
        if (m->params[i].role == NN_TRAINING) training = i;
    if (!nn_side_find(&side, forward, training, false, wanted)) return module_no_memory(copy);
    bool ok = build_main(m, main, &side, &sizes);
    nn_side_free(&side);
    return ok && module_remove_uncalled(copy, main, NULL);
}

tn_module *tn_model_inference(const tn_model *m, const tn_model_size *sizes, tn_diag *diag) {
    size_t n_outputs = 0;
    if (!m) {
        diag_fail(diag, TN_ERR_ARGUMENT, "there is no model");
        return NULL;
    }
    if (tn_model_error(m)) {
        if (diag) *diag = *tn_model_error(m);
        return NULL;
    }
    for (size_t r = 0; r < m->forward->n_results; r++) n_outputs += m->results[r].role == NN_OUTPUT;
    for (size_t i = 0; i < m->forward->n_params; i++)
        if ((m->params[i].role == NN_PARAMETER || m->params[i].role == NN_STATE) && !m->params[i].data) {
            diag_fail(diag, TN_ERR_ARGUMENT, "the model %s has no values for %s: tn_model_initialise makes them",
                      m->module->name, m->forward->params[i].name);
            return NULL;
        }
    if (n_outputs == 0) {
        diag_fail(diag, TN_ERR_ARGUMENT, "the model %s has no output (tn_model_output)", m->module->name);
        return NULL;
    }
    tn_module *copy = module_clone(m->module);
    if (!copy) {
        diag_fail(diag, TN_ERR_MEMORY, "out of memory");
        return NULL;
    }
    if (build_module(m, copy, sizes) && !tn_module_error(copy)) return copy; /* the clone may have failed in part */
    diag_fail(diag, copy->error.status, "%s", copy->error.message);
    tn_module_free(copy);
    return NULL;
}
