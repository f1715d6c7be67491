/* What `tenon train` trains: an example that is described here, or an imported model. */
#ifndef TN_CLI_TRAIN_H
#define TN_CLI_TRAIN_H

#include "frontends/cli/model.h"

#include <stdio.h>

struct training;

/* A described example; its numbers stand where no option says otherwise. */
typedef struct train_example {
    const char *name, *operand; /* what follows the name: "DIR"; NULL: nothing has to */
    int epochs, batch;
    double rate;
    const char *optimizer, *schedule;
    double validation; /* share of the data */
    /* Fills data, validation and model. EXIT_DONE, or another status with the error on stderr. */
    int (*open)(struct training *t);
    int (*finish)(struct training *t); /* what is shown after training; NULL: nothing */
} train_example;

enum { TRAIN_MAX_FIELDS = 64 };

/* All that a training works with. */
typedef struct training {
    const arguments *a;
    const train_example *example;
    const char *path;              /* of the data, for messages */
    tn_dataset *data, *validation; /* validation may be NULL */
    tn_dataset *texts;             /* text: knows the characters */
    tn_model *model;
    const char
        *fields[TRAIN_MAX_FIELDS]; /* of the data, for inputs and targets; the first NULL: those of their names */
    int64_t batch;
    bool drop_last;      /* leaves out an epoch's last batch when it is smaller */
    bool is_batch_fixed; /* by the model: no other size will do, in validation neither */
    tn_pool *pool;
    tn_trainer *trainer;
    tracing tracing;
} training;

/* Fills *t: the example, its data and model, as the command's arguments say. EXIT_DONE, or another status with the error
 * on stderr; train_close in any case. */
int train_open(training *t, const arguments *a);
/* The same for the trainer. */
int train_open_trainer(training *t, tn_schedule schedule);
void train_close(training *t);

/* Keeps a share of the data (the option's or the example's) apart; in_order: the last part. Takes `all` over. */
int train_split(training *t, tn_dataset *all, bool in_order);

/* train_pictures.c */
int train_open_digits(training *t);
int train_open_mnist(training *t);
/* train_text.c */
int train_open_text(training *t);
int train_write_sample(training *t);
/* train_imported.c */
int train_open_imported(training *t);

/* train_step.c: the step, its first states and the model for use as files NAME.tn, NAME.safetensors, NAME_infer.tn;
 * what they are is said to `told`, which may be NULL. */
int train_write_step(training *t, const char *name, FILE *told);

/* train_records.c: what TensorBoard shows. */
typedef struct train_records {
    tn_event_writer *writer; /* NULL: nothing is written */
    tn_diag diag;            /* why writing ended; status TN_OK while it goes on */
} train_records;
/* Opens a file in the folder and writes the model's graph. */
tn_status train_records_open(train_records *r, const char *folder, const tn_model *m);
/* False: it could not be written. */
bool train_records_event(train_records *r, const tn_model *m, const tn_fit_event *event);
tn_status train_records_close(train_records *r);

#endif
