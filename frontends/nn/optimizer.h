/* Optimizers inside: what a row keeps for a parameter, and its step as graph code. */
#ifndef TN_NN_OPTIMIZER_H
#define TN_NN_OPTIMIZER_H

#include "ir/graph.h"
#include "tenon_train.h"

enum { NN_MAX_SLOTS = 3 };

/* State that an optimizer keeps for a parameter; it begins with zeros. */
typedef struct nn_slot {
    const char *name;
    tn_type type;
} nn_slot;

/* One parameter's step. Numbers that change are scalars of f64. */
typedef struct nn_update {
    const tn_optimizer *o;
    double weight_decay;        /* 0 where a mask says so */
    tn_val rate, step;          /* learning rate; 1, 2, ... */
    tn_val p, g;                /* parameter and gradient, of one type */
    tn_val slots[NN_MAX_SLOTS]; /* old values, then the next ones */
} nn_update;

bool nn_optimizer_exists(const char *name);
const char *nn_optimizer_names(void);
/* What is wrong with its numbers, which may be written to `text`; or NULL. */
const char *nn_optimizer_fault(const tn_optimizer *o, char *text, size_t bytes);

/* The slots of a parameter of that type; returns how many. */
int nn_optimizer_slots(const tn_optimizer *o, dim_table *t, const tn_type *type, nn_slot slots[NN_MAX_SLOTS]);
/* The parameter's next value; slots are replaced by theirs. */
tn_val nn_optimizer_step(nn_update *u);

#endif
