/* Training: optimizers, schedules, and a trainer that runs steps.
 *
 *     tn_trainer *t = tn_trainer_new(model, &(tn_trainer_options){.optimizer = tn_optimizer_of("adamw", 1e-3)}, &diag);
 *     while (...) {
 *         tn_tensor batch[] = {images, labels};       // the model's inputs, then its targets
 *         tn_step_report report;
 *         if (tn_trainer_step(t, batch, 2, &report) != TN_OK) ...tn_trainer_error(t)
 *     }
 *     tn_module *result = tn_model_inference(model, NULL, &diag);
 *
 * A step is one compiled program: the model with `training` true, its losses, their gradients, and the optimizer.
 * Parameters, optimizer state, moments of batch normalisation, counters and random state are its inputs and take their
 * next values in place: a step allocates nothing.
 */
#ifndef TENON_TRAIN_H
#define TENON_TRAIN_H

#include "tenon_compile.h"
#include "tenon_nn.h"
#include "tenon_trace.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Optimizers --------------------------------------------------------------------------- */

/* What an optimizer is: a row of the table and its numbers. With g the gradient, p the parameter, t = 1, 2, ... the
 * step; PyTorch's definitions. weight_decay w adds w * p to g, or where it says "decoupled" makes p * (1 - rate * w)
 * of p before the step.
 *
 *   sgd        b = momentum * b + g; p -= rate * b, with nesterov rate * (g + momentum * b)
 *   adam       m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2;
 *              p -= rate * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)
 *   adamw      likewise, weight decay decoupled, 0.01
 *   rmsprop    v = beta2 v + (1 - beta2) g^2 (beta2 0.99); p -= rate * g / (sqrt(v) + epsilon); with momentum that
 *              quotient goes through b = momentum * b + quotient
 *   adagrad    v = v + g^2; p -= rate * g / (sqrt(v) + epsilon), epsilon 1e-10
 *   lion       p -= rate * sign(beta1 m + (1 - beta1) g), m = beta2 m + (1 - beta2) g (0.9, 0.99); decay decoupled
 *              (Chen et al. 2023)
 *   adafactor  squares of gradients kept as row and column means, steps relative to the size of the parameter
 *              (Shazeer and Stern 2018, as torch.optim.Adafactor; decay decoupled)
 */
typedef struct tn_optimizer {
    const char *name;
    double learning_rate;
    double momentum; /* sgd, rmsprop: 0 */
    bool nesterov;   /* sgd */
    double beta1, beta2, epsilon;
    double weight_decay;
} tn_optimizer;

/* The row's default numbers with that learning rate. An unknown name is reported by tn_trainer_new. */
TN_API tn_optimizer tn_optimizer_of(const char *name, double learning_rate);

/* The learning rate over the steps, as a factor of the optimizer's. During the first `warmup` steps it rises in a line
 * to 1; then, with t steps since and T = total - warmup in all:
 *
 *   constant   1 (also NULL)
 *   step       gamma^floor(t / every)
 *   linear     from 1 to `floor`
 *   cosine     floor + (1 - floor) * (1 + cos(pi * t / T)) / 2
 *   one_cycle  cosines from 1 / 25 up to 1 at 30 % of `total`, then down to 1 / 250,000 (PyTorch's OneCycleLR)
 *
 * After `total` steps it stays. Or a function of one's own. */
typedef struct tn_schedule {
    const char *kind;
    int64_t total, warmup, every;
    double gamma, floor;
    double (*factor)(void *ctx, int64_t step); /* not NULL: counts in place of all else */
    void *ctx;
} tn_schedule;

/* The factor at a step, counted from 0. An unknown kind: NaN. */
TN_API double tn_schedule_factor(const tn_schedule *s, int64_t step);

/* ---- Trainers ------------------------------------------------------------------------------- */

typedef struct tn_trainer tn_trainer;

/* All zero: the defaults. */
typedef struct tn_trainer_options {
    tn_optimizer optimizer; /* name NULL: adam at 0.001 */
    tn_schedule schedule;
    uint64_t seed;     /* of parameters (unless they have values already) and of random numbers */
    double clip_norm;  /* gradients are scaled so that their norm together is at most this; 0: not */
    double clip_value; /* each element is cut to [-clip_value, clip_value]; 0: not */
    int accumulate;    /* so many calls of tn_trainer_step are one step, on the mean of their gradients; 0: 1 */
    double ema_decay;  /* keeps averages of parameters: decay * average + (1 - decay) * parameter; 0: not */
    double loss_scale; /* of f16: what the loss is multiplied by at first; 0: 65,536. Adapted to avoid overflow */
    /* Whether weight decay applies to a parameter; NULL: to all. tn_decay_matrices: to those of two axes and more. */
    bool (*decays)(void *ctx, const char *name, int rank);
    void *decays_ctx;
    /* A step whose gradients are not finite changes nothing but the random state; it is an error, or with
     * skip_nonfinite is counted as skipped. Unguarded, nothing is checked, nor is the norm computed unless clip_norm
     * needs it. A loss scale always skips. */
    bool skip_nonfinite, unguarded;
    /* A step is compiled for each of the first few sizes of batches that it meets: sizes that are known make faster
     * code than symbols. true: one program for all sizes. */
    bool any_size;
    tn_pool *pool;                     /* that compiles and runs; NULL: the calling thread alone */
    const tn_compile_options *compile; /* or NULL */
    tn_trace *trace;                   /* of all runs (tenon_trace.h), must live as long as the trainer; or NULL */
} tn_trainer_options;

TN_API bool tn_decay_matrices(void *ctx, const char *name, int rank);

/* A trainer of the model, which must outlive it and whose parameters' arrays it works on; initialises the model when
 * that has not been done. Steps are compiled when they are first made. Strings of the options must outlive the trainer.
 * NULL with *diag: the model or an option is wrong, an op on the way to a parameter has no gradient, no memory. */
TN_API tn_trainer *tn_trainer_new(tn_model *m, const tn_trainer_options *options, tn_diag *diag);
TN_API void tn_trainer_free(tn_trainer *t); /* NULL is allowed */

typedef struct tn_step_report {
    double loss;          /* penalties included */
    double gradient_norm; /* before clipping; NaN when no step was made (accumulate, or in evaluation), or unguarded */
    double learning_rate; /* that the step took */
    int64_t step;         /* steps made so far */
    bool is_skipped;      /* the gradients were not finite */
} tn_step_report;

/* One step on a batch: a tensor for each input of the model, then for each target, in the order they were declared.
 * report may be NULL. Errors: those of tn_exec_run; TN_ERR_ASSERT when gradients are not finite. */
TN_API tn_status tn_trainer_step(tn_trainer *t, const tn_tensor *batch, int n, tn_step_report *report);

/* The loss of a batch with `training` false, by the averages of the parameters when there are any; metrics are added
 * up. Compiled at the first call. */
TN_API tn_status tn_trainer_evaluate(tn_trainer *t, const tn_tensor *batch, int n, tn_step_report *report);

/* What was wrong in the last call, or NULL. */
TN_API const tn_diag *tn_trainer_error(const tn_trainer *t);

/* Metrics over all batches since the last reset, by steps and by evaluations apart; names as in the model. */
TN_API int tn_trainer_n_metrics(const tn_trainer *t);
TN_API const char *tn_trainer_metric_name(const tn_trainer *t, int i);           /* NULL: there is none */
TN_API double tn_trainer_metric(const tn_trainer *t, int i, bool of_evaluation); /* NaN: no batches */
TN_API void tn_trainer_reset_metrics(tn_trainer *t, bool of_evaluation);

/* All that a checkpoint has to hold, by name: parameters and moments ("dense.kernel"), optimizer state
 * ("optimizer.m.dense.kernel"), averages ("average.dense.kernel"), counters and random state ("trainer.step"). The data
 * may be read and written between steps; steps then go on from what was written, bit for bit. */
TN_API int tn_trainer_n_states(const tn_trainer *t);
TN_API const char *tn_trainer_state(const tn_trainer *t, int i, tn_tensor *tensor); /* the name; NULL: there is none */

TN_API int64_t tn_trainer_steps(const tn_trainer *t); /* made so far */
/* Bytes of parameters and state, and of the arena that a step works in. */
TN_API size_t tn_trainer_state_bytes(const tn_trainer *t);
TN_API size_t tn_trainer_arena_bytes(const tn_trainer *t);
/* The step as a module of its own, to be looked at, written as text or compiled ahead of time: main takes and gives
 * states (inputs paired with outputs), takes the batch and the learning rate as "learning_rate", f64[], and gives loss,
 * metrics, the norm of the gradients and whether they are finite; parameters that are frozen are weights with copies of
 * their values. `sizes`: numbers in place of symbols, or NULL. NULL with *diag. The caller frees it. */
TN_API tn_module *tn_trainer_module(const tn_trainer *t, const tn_model_size *sizes, tn_diag *diag);
/* The program of the last step, for profiles; belongs to the trainer. NULL before the first. */
TN_API tn_program *tn_trainer_program(const tn_trainer *t);

#ifdef __cplusplus
}
#endif

#endif
