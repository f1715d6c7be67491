/* How far training is, as text: a bar that is written over on a terminal, a line an epoch elsewhere. */
#ifndef TN_NN_PROGRESS_H
#define TN_NN_PROGRESS_H

#include "tenon_train.h"

/* What is shown. */
typedef struct progress_state {
    const tn_trainer *trainer;
    int epoch, epochs;      /* epoch from 0 on */
    int64_t batch, batches; /* done, and of the epoch */
    bool has_validation;
    double loss, validation_loss;          /* means so far; NaN: none */
    double seconds;                        /* since the epoch began */
    int64_t timed;                         /* batches done in them (a resumed epoch has fewer than `batch`) */
    double seconds_of_all, batches_of_all; /* since training began: what is left is told from these */
} progress_state;

typedef struct progress {
    int fd; /* 0: nothing is written */
    bool is_terminal;
    double shown; /* when the bar was, in seconds */
} progress;

progress progress_open(int fd);
void progress_step(progress *p, const progress_state *s, double now);
void progress_epoch(progress *p, const progress_state *s);

/* The texts, for tests: at most `columns` wide. */
enum { PROGRESS_BYTES = 512 };
void progress_bar_text(const progress_state *s, int columns, char out[PROGRESS_BYTES]);
void progress_epoch_text(const progress_state *s, char out[PROGRESS_BYTES]);

#endif
