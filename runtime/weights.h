/* A set of packed weights: made once, read by any number of runs, never changed.
 *
 * in:  raw weights, given by the caller or by the program's builder
 * out: what frame->weights points to
 * law: a set lives until the program has another and the last run that took it has ended
 */
#ifndef TN_RUNTIME_WEIGHTS_H
#define TN_RUNTIME_WEIGHTS_H

#include "runtime/program.h"

typedef struct weight_set {
    atomic_int references;
    void **packed; /* n_packed pointers */
    char *block;   /* the memory of those that the set owns; aligned to 64 */
    size_t bytes;
} weight_set;

void weight_set_free(weight_set *set); /* one reference less; NULL is allowed */

/* The current set with one more reference; NULL: none yet. */
weight_set *program_retain_set(tn_program *program);

/* Name of a weight whose values nobody gave, or NULL. */
const char *program_missing_weight(const tn_program *program);

/* Packs the initial weights when all are there. */
tn_status weights_load_initial(tn_program *program, tn_diag *diag);

#endif
