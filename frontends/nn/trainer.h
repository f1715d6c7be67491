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

/* Programs of a kind: one for each of the first few sizes of batches, and one for all others, which is the first. */
enum { NN_PROGRAMS = 9, NN_MAX_SYMBOLS = 8 };

/* A compiled program with its tensors; empty before its first use. */
typedef struct nn_run {
    int64_t sizes[NN_MAX_SYMBOLS]; /* of forward's symbols; -1: any */
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
    size_t n_params, n_results; /* of forward, when the trainer was made */
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
    nn_run runs[NN_RUNS][NN_PROGRAMS];
    nn_run *last; /* that made a step; or NULL */
    tn_compile_options compile;
    tn_diag error;
};

/* ---- train_step.c: the graphs ---- */

/* The module whose main is that program, with numbers in place of the symbols that `sizes` lists (may be NULL). in and
 * out (from tn_malloc, freed by the caller) say what its parameters and
 * results are. NULL with *diag. */
tn_module *nn_train_graph(const tn_trainer *t, nn_run_kind kind, const tn_model_size *sizes, nn_port **in,
                          nn_port **out, tn_diag *diag);

/* ---- trainer_run.c: programs and steps ---- */

/* Whether the step's graph can be made; else the error is in the trainer. */
bool nn_run_check(tn_trainer *t);
void nn_run_close_all(tn_trainer *t);
/* Name of the input or target that tensor `number` of a batch is for. */
const char *nn_batch_name(const tn_trainer *t, int number);

/* ---- schedule.c ---- */

/* What is wrong with a schedule, which may be written to `text`; or NULL. */
const char *nn_schedule_fault(const tn_schedule *s, char *text, size_t bytes);

/* ---- trainer_probe.c ---- */

/* Adds to the trainer's error which op made the first number that is not finite, when that can be found out. `random`
 * is the random state that the refused step began with. */
void nn_probe(tn_trainer *t, const tn_tensor *batch, const tn_model_size *sizes, uint64_t *random);

/* ---- checkpoint.c ---- */

/* All states and sums of metrics from an open checkpoint; nothing changes on errors. */
struct tn_archive;
tn_status nn_trainer_restore(tn_trainer *t, const struct tn_archive *file, tn_diag *diag);

#endif
