/* A model inside: `forward` with what each of its parameters and results is for.
 *
 * law: params[i] belongs to parameter i of forward, results[i] to its result i; names are paths, parts joined by '.'
 */
#ifndef TN_NN_MODEL_H
#define TN_NN_MODEL_H

#include "ir/graph.h"
#include "tenon_nn.h"

typedef enum nn_role { NN_INPUT, NN_TARGET, NN_PARAMETER, NN_STATE, NN_TRAINING, NN_RANDOM } nn_role;

/* One parameter of forward. */
typedef struct nn_param {
    nn_role role;
    bool frozen; /* PARAMETER: not trained */
    tn_nn_init init;
    tn_nn_penalty penalty;
    int64_t fan_in, fan_out;
    uint32_t next;              /* STATE: the result that is its next value */
    void *data;                 /* PARAMETER, STATE: its array, or NULL; owned */
    const tensor_data *initial; /* how it begins in place of init; or NULL */
} nn_param;

typedef enum nn_result_role { NN_OUTPUT, NN_LOSS, NN_METRIC, NN_NEXT } nn_result_role;

typedef struct nn_result {
    nn_result_role role;
    const char *metric; /* METRIC: its kind */
} nn_result;

/* A row of the summary. */
typedef struct nn_layer {
    const char *kind, *path;
    value_id output;               /* VALUE_NONE: the layer went wrong */
    size_t first_node, end_node;   /* of forward */
    size_t first_param, end_param; /* likewise */
} nn_layer;

enum { NN_PATH_BYTES = 256, NN_MAX_SCOPES = 64 };

struct tn_model {
    tn_module *module;
    tn_graph *forward;
    tn_dtype dtype, compute;
    nn_param *params;
    size_t params_capacity; /* there are forward->n_params of them */
    nn_result *results;
    size_t results_capacity; /* forward->n_results of them */
    nn_layer *layers;
    size_t n_layers, layers_capacity;
    tn_val training, random;  /* invalid before their first use */
    uint32_t n_draws;         /* of random numbers: each has a stream of its own */
    char path[NN_PATH_BYTES]; /* scopes in force, "a.b." */
    size_t scope_starts[NN_MAX_SCOPES];
    int n_scopes;
};

/* Adds a result of that role to forward; false after an error. */
bool nn_add_result(tn_model *m, const char *name, tn_val v, nn_result_role role, const char *metric);
/* Adds a parameter of forward named path + name, of the role and with all else that `what` says. */
tn_val nn_add_param(tn_model *m, const char *name, const tn_type *type, const nn_param *what);

/* The function's parameter i, as tensors of the runtime have it; the data are the model's. */
tn_tensor nn_param_tensor(const tn_model *m, size_t i);

/* ---- loss_function.c: a loss of a function's result ---- */

/* The first result that is a float. */
bool nn_find_prediction(const tn_graph *f, size_t *r);
/* "sum" or "mean", which take no target. */
bool nn_loss_is_reduction(const char *loss);
tn_val nn_loss_reduce(tn_val prediction, const char *loss);
/* Of the labels or values that a prediction is compared with. */
tn_type nn_loss_target_type(tn_type prediction, const char *loss);

/* ---- initialise.c: how arrays begin ---- */

typedef struct nn_fill {
    const char *name; /* of the parameter: part of the key */
    tn_tensor tensor;
    tn_nn_init init;
    int64_t fan_in, fan_out;
    uint64_t seed;
} nn_fill;
/* Fills the tensor, f32 or f64 with data, on the pool's threads (NULL: this one). */
tn_status nn_initialise(const nn_fill *f, tn_pool *pool, tn_diag *diag);
/* All of a model (model.c). */
tn_status nn_initialise_model(tn_model *m, uint64_t seed, tn_pool *pool, tn_diag *diag);
bool nn_init_exists(const char *name);
const char *nn_init_names(void); /* all of them, for messages */

#endif
