/* The training loop: epochs over a dataset with validation, early stopping, checkpoints and progress.
 *
 *     tn_fit_report report;
 *     tn_fit(trainer, images, &(tn_fit_options){.epochs = 10, .batch_size = 64, .validation = others,
 *                                               .progress_fd = 2, .best_path = "best.safetensors"}, &report, &diag);
 */
#ifndef TENON_FIT_H
#define TENON_FIT_H

#include "tenon_data.h"
#include "tenon_train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Files of parameters --------------------------------------------------------------------- */

/* Writes parameters and moments as a safetensors file, whole or not at all (tn_safetensors_write). */
TN_API tn_status tn_model_save(const tn_model *m, const char *path, tn_diag *diag);

/* Where a parameter is in a file that names or lays it out differently. `perm` (TN_NO_INTS: none) says which axis of
 * the file's tensor becomes axis i: a dense kernel of PyTorch, [out, in], has TN_INTS(1, 0), a convolution's of Keras,
 * [h, w, in, out], TN_INTS(3, 2, 0, 1). */
typedef struct tn_weight_name {
    const char *parameter, *tensor;
    tn_ints perm;
} tn_weight_name;

/* Reads parameters and moments from a safetensors file. `names` ends with a NULL parameter, or is NULL: all have the
 * names that they have in the model. Floats are converted to the model's dtype. Those that the list does not name keep
 * their values, which the model must have; without a list all must be there. Nothing is changed on errors: TN_ERR_IO,
 * TN_ERR_PARSE, TN_ERR_ARGUMENT (names), TN_ERR_SHAPE, TN_ERR_DTYPE, TN_ERR_MEMORY. */
TN_API tn_status tn_model_load(tn_model *m, const char *path, const tn_weight_name *names, tn_diag *diag);

/* All states of a trainer (tn_trainer_state), sums of metrics, and notes of the caller, as one safetensors file; and
 * back: a trainer of the same model and options goes on from it bit for bit. Loading changes nothing on errors. */
TN_API tn_status tn_trainer_save(const tn_trainer *t, const char *path, const tn_metadata *notes, int n_notes,
                                 tn_diag *diag);
TN_API tn_status tn_trainer_load(tn_trainer *t, const char *path, tn_diag *diag);

/* ---- The loop ----------------------------------------------------------------------------------- */

/* What is told after each step and each epoch. */
typedef struct tn_fit_event {
    bool is_epoch;                             /* the end of one; else of a step */
    int epoch;                                 /* from 0 on */
    int64_t step;                              /* steps made so far */
    double loss, learning_rate, gradient_norm; /* of the step; of an epoch the mean loss over its examples */
    double validation_loss;                    /* NaN: there was none */
    tn_trainer *trainer;                       /* for metrics, states */
} tn_fit_event;

typedef enum tn_fit_end {
    TN_FIT_DONE,    /* all epochs */
    TN_FIT_EARLY,   /* the monitored value did not get better */
    TN_FIT_STOPPED, /* *stop was set */
    TN_FIT_CALLBACK /* on_event said so */
} tn_fit_end;

/* All zero: the defaults. */
typedef struct tn_fit_options {
    int epochs;             /* in all, those before a resumed run counted; 0: 1 */
    int progress_fd;        /* where progress is written: a bar on a terminal, lines elsewhere; 0: nowhere */
    int64_t batch_size;     /* 0: 32 */
    uint64_t seed;          /* of the order of examples */
    bool in_order;          /* not shuffled */
    bool drop_last;         /* leaves out an epoch's last batch when it is smaller */
    tn_dataset *validation; /* evaluated after each epoch; or NULL */
    /* Fields of the datasets for the model's inputs, then its targets; NULL: fields of the same names. */
    const char *const *fields;
    /* Early stopping and the best: a metric's name, or NULL: the loss; of validation when there is one. Losses,
     * perplexity, mse and mae get better downwards, all others upwards. */
    const char *monitor;
    double min_delta;            /* what counts as better */
    int patience;                /* epochs without getting better after which to stop; 0: never */
    bool restore_best;           /* puts the parameters of the best epoch back at the end */
    bool resume;                 /* goes on from checkpoint_path, which must be given, when that file exists */
    const char *best_path;       /* the model's parameters at the best epoch so far (tn_model_save); or NULL */
    const char *checkpoint_path; /* written at each end of an epoch, and when stopped (tn_trainer_save); or NULL */
    int64_t checkpoint_every;    /* and every so many batches; 0: not */
    /* Looked at after each step: not 0 ends training cleanly. A signal handler may set it. */
    const volatile int *stop;
    /* Where TensorBoard's records go, or NULL: the graph at first, scalars after each step, and after each epoch its
     * means, those of validation, and histograms of all parameters. The caller closes it. */
    tn_event_writer *events;
    bool (*on_event)(void *ctx, const tn_fit_event *event); /* false ends training; or NULL */
    void *ctx;
} tn_fit_options;

typedef struct tn_fit_report {
    tn_fit_end end;
    int epochs; /* finished, those before a resumed run counted */
    int64_t steps;
    double loss, validation_loss; /* of the last finished epoch; NaN: there was none */
    double best;                  /* the monitored value at its best; NaN */
    int best_epoch;
    double seconds;
} tn_fit_report;

/* Trains. Options and report may be NULL. Errors: of datasets (with file and record), of the step, of files. */
TN_API tn_status tn_fit(tn_trainer *t, tn_dataset *data, const tn_fit_options *options, tn_fit_report *report,
                        tn_diag *diag);

/* The mean loss over a dataset, metrics added up (tn_trainer_metric of evaluation, reset before). */
TN_API tn_status tn_evaluate(tn_trainer *t, tn_dataset *data, const tn_fit_options *options, double *loss,
                             tn_diag *diag);

#ifdef __cplusplus
}
#endif

#endif
