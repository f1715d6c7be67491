/* A trainer inside: its state by name, and the programs that work on it.
 *
 * law: every array that outlives a step is a state, so that what is saved of them is all there is
 */
#ifndef TN_NN_TRAINER_H
#define TN_NN_TRAINER_H

#include "frontends/nn/model.h"
#include "frontends/nn/optimizer.h"

/* An array that steps read and write. */
typedef struct nn_state {
    const char *name;
    tn_tensor tensor;
    bool is_owned; /* else it is the model's */
} nn_state;

/* What belongs to one trained parameter: numbers of states, -1 where there is none. */
typedef struct nn_trained {
    size_t param; /* of forward */
    int parameter, average, gradient, slots[NN_MAX_SLOTS];
    int n_slots;
} nn_trained;

/* A step that updates; one that only adds to the gradients; the loss without training. */
typedef enum nn_run_kind { NN_RUN_STEP, NN_RUN_ACCUMULATE, NN_RUN_EVALUATE, NN_RUNS } nn_run_kind;

/* Where an input of a program comes from, and where an output goes. */
typedef enum nn_port_kind {
    NN_PORT_STATE, /* state `number`, in and out */
    NN_PORT_BATCH, /* tensor `number` of a batch */
    NN_PORT_RATE,  /* the learning rate, f64 */
    NN_PORT_LOSS,  /* scalars out */
    NN_PORT_NORM,
    NN_PORT_GOOD,   /* bool: the gradients were finite */
    NN_PORT_METRIC, /* sums of metric `number` */
} nn_port_kind;

typedef struct nn_port {
    nn_port_kind kind;
    int number;
} nn_port;

/* A compiled program with its tensors; empty before its first use. */
typedef struct nn_run {
    tn_program *program;
    tn_exec *exec;
    nn_port *in, *out;
    tn_tensor *inputs, *outputs, *results; /* outputs are given anew at each run, as results */
    int n_inputs, n_outputs;
} nn_run;

typedef struct nn_metric {
    const char *name, *kind;
    size_t result;   /* of forward */
    int n;           /* sums */
    double *sums[2]; /* of steps, of evaluations */
} nn_metric;

struct tn_trainer {
    tn_model *m;
    tn_trainer_options o;
    arena memory; /* names, lists */
    nn_state *states;
    size_t n_states, states_capacity;
    nn_trained *trained;
    size_t n_trained;
    int *state_of; /* of each parameter of forward; -1 */
    int *batch_of; /* likewise: its place in a batch; -1 */
    int n_batch;
    nn_metric *metrics;
    int n_metrics;
    int step, random, micro, scale, good_steps; /* states; scale and good_steps -1 without loss scale */
    double rate;                                /* that the next step takes: an input of its program */
    nn_run runs[NN_RUNS];
    tn_diag error;
};

/* The module whose main is that program. in and out (from tn_malloc, freed by the caller) say what its parameters and
 * results are. NULL with *diag. (train_step.c) */
tn_module *nn_train_graph(const tn_trainer *t, nn_run_kind kind, nn_port **in, nn_port **out, tn_diag *diag);

/* Name of the input or target that tensor `number` of a batch is for. */
const char *nn_batch_name(const tn_trainer *t, int number);

/* All states and sums of metrics from an open checkpoint; nothing changes on errors. (checkpoint.c) */
struct tn_archive;
tn_status nn_trainer_restore(tn_trainer *t, const struct tn_archive *file, tn_diag *diag);

#endif
