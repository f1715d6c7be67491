/* "The gradient of this function is what central differences say."
 *
 *     gradient_check k = {.f = g, .s = &sampler};
 *     gradient_check_run(&k, message)
 *
 * f is a function of f64 values (others may be among its parameters). Its vjp with respect to all of them, for random
 * cotangents, is evaluated by the interpreter and compared with differences of sum(result * cotangent), of fourth
 * order, at MOST_ELEMENTS elements of each parameter. Where two step widths disagree a kink is near and the element
 * is left out: `n_left_out` counts them, and no more than a fifth of all may be.
 */
#ifndef TN_TESTS_GRADIENT_CHECK_H
#define TN_TESTS_GRADIENT_CHECK_H

#include "ir/eval.h"
#include "ir/samples.h"

enum { GRADIENT_MESSAGE = 1400 };

typedef struct gradient_check {
    tn_graph *f;
    sampler *s;
    double tolerance; /* relative; 0: 1e-6 */
    int n_compared, n_left_out;
} gradient_check;

/* False with a message of GRADIENT_MESSAGE bytes. f without a parameter in f64 is right. */
bool gradient_check_run(gradient_check *k, char *message);

/* The numbers of f's parameters in f64, to `wrt` of n_params entries. */
tn_ints gradient_wrt(const tn_graph *f, int64_t *wrt);

/* Inputs for the parameters of f, from the sampler; to be freed with gradient_inputs_free. NULL: a message. */
eval_tensor *gradient_inputs(sampler *s, const tn_graph *f, char *message);
void gradient_inputs_free(eval_tensor *in, size_t n);

#endif
