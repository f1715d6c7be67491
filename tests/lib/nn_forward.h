/* A model's function `forward`, run by the interpreter.
 *
 *     nn_forward r;
 *     nn_forward_open(&r, m, true, inputs, n);   // training; inputs: data of inputs and targets in order, f64 or i32
 *     nn_forward_result(&r, "y")[3]
 *     nn_forward_close(&r);
 *
 * in:  a model of f64 that is initialised, data for its inputs and targets; symbols take `n` as their value
 * out: its results by name
 *
 * What goes wrong fails the running cmocka test.
 */
#ifndef TN_TESTS_NN_FORWARD_H
#define TN_TESTS_NN_FORWARD_H

#include "ir/eval.h"
#include "tenon_nn.h"

typedef struct nn_forward {
    tn_model *m;
    eval_tensor *in, *out;
} nn_forward;

/* Fills all parameters and states with numbers in (-1, 1), those of states in (0.5, 1.5). */
void nn_scramble(tn_model *m, uint64_t seed);
/* The same numbers for data: in (-1, 1). */
void nn_numbers(double *out, int64_t n, uint64_t seed);

void nn_forward_open(nn_forward *r, tn_model *m, bool training, uint64_t step, int64_t n, const void *const *inputs);
const double *nn_forward_result(const nn_forward *r, const char *name);
const eval_tensor *nn_forward_tensor(const nn_forward *r, const char *name);
/* The array of a parameter or state. */
const double *nn_forward_parameter(const nn_forward *r, const char *name);
void nn_forward_close(nn_forward *r);

/* Both within 1e-12, relative where they are large. */
void assert_numbers(const double *is, const double *wanted, int64_t n, const char *what);

#endif
