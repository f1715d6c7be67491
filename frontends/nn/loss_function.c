/* A loss put behind any function, an imported one say, so that it can be differentiated or trained. */
#include "ir/build.h"
#include "ir/dtype.h"
#include "ir/extract.h"
#include "ir/grad.h"
#include "tenon_nn.h"

#include "frontends/nn/inline.h"
#include "frontends/nn/model.h"

#include <string.h>

bool nn_loss_is_reduction(const char *loss) { return strcmp(loss, "sum") == 0 || strcmp(loss, "mean") == 0; }

tn_val nn_loss_reduce(tn_val prediction, const char *loss) {
    return loss[0] == 's' ? tn_sum(prediction, TN_NO_INTS) : tn_mean(prediction, TN_NO_INTS, false);
}

tn_type nn_loss_target_type(tn_type prediction, const char *loss) {
    if (strcmp(loss, "sparse_cross_entropy") != 0) return prediction;
    return type_make(TN_I64, prediction.rank > 0 ? prediction.rank - 1 : 0, prediction.dims);
}

bool nn_find_prediction(const tn_graph *f, size_t *r) {
    for (*r = 0; *r < f->n_results; ++*r)
        if (dtype_is_float((tn_dtype)graph_type(f, f->results[*r].value)->dtype)) return true;
    return false;
}

tn_graph *tn_nn_loss_function_at(tn_location at, tn_graph *f, const char *loss) {
    build b;
    size_t r;
    if (!f || tn_graph_error(f) || !build_open(&b, at, "loss", f, NULL, 0)) return NULL;
    if (!nn_find_prediction(f, &r)) {
        build_error(&b, TN_ERR_DTYPE, "no result of @%s is a float", f->name);
        return NULL;
    }
    tn_graph *to = tn_graph_sub(f, "loss");
    tn_val *args = ARENA_ARRAY(&f->module->memory, tn_val, f->n_params + 1),
           *results = ARENA_ARRAY(&f->module->memory, tn_val, f->n_results + 1);
    if (!to || !args || !results) {
        module_no_memory(f->module);
        return NULL;
    }
    graph_set_origin(to, b.where);
    if (!graph_copy_symbols(to, f)) return NULL;
    for (size_t i = 0; i < f->n_params; i++) {
        args[i] = (tn_val){to, graph_copy_input(to, f, i)};
        if (!tn_is_valid(args[i])) return NULL;
    }
    if (!nn_inline(to, f, args, results)) return NULL;
    tn_val prediction = results[r], value;
    if (nn_loss_is_reduction(loss)) {
        value = nn_loss_reduce(prediction, loss);
    } else {
        tn_type type = nn_loss_target_type(tn_type_of(prediction), loss);
        tn_val target = {to, graph_add_param(to, "target", &type, BINDING_RUN)};
        value = tn_nn_loss_at(at, loss, prediction, (tn_nn_loss_args){.target = target});
    }
    tn_output(to, "loss", value);
    graph_set_origin(to, LOCATION_NONE);
    return tn_graph_error(to) ? NULL : to;
}
