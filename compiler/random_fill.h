/* Random contents of inputs that nobody gave: the same in every command, for the same name and seed. */
#ifndef TN_COMPILER_RANDOM_FILL_H
#define TN_COMPILER_RANDOM_FILL_H

#include "ir/eval.h"

/* Floats in [-1, 1), integers in [0, 8), bools. A tensor has the same values at every stage of a model. */
void random_fill(eval_tensor *t, const char *name, long long seed);

#endif
