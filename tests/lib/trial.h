/* A graph with inputs, run by the interpreter and as compiled code.
 *
 *     trial t = {.g = g, .s = &sampler};
 *     trial_fill(&t);                               // inputs from the sampler
 *     trial_expect(&t, message);                    // the interpreter's results, with magnitudes
 *     tn_program *p = tn_compile(g, NULL);
 *     eval_tensor *got = trial_run(&t, p, NULL, message);
 *     trial_compare(&t, r, &got[r], factor)...
 *     trial_free_results(&t, got);
 *     trial_close(&t);
 *
 * Messages go to a buffer of TRIAL_MESSAGE bytes; nothing here fails a test by itself, so that
 * trials can run on any thread.
 */
#ifndef TN_TESTS_TRIAL_H
#define TN_TESTS_TRIAL_H

#include "tests/lib/compare.h"
#include "tests/lib/object_run.h"

#include "ir/samples.h"
#include "tenon_compile.h"

enum { TRIAL_MESSAGE = 1400 };

typedef struct trial {
    tn_graph *g; /* the caller's */
    sampler *s;  /* values of the symbols */
    eval_tensor *in, *want;
    size_t n_filled;
} trial;

/* Fills the inputs that have none yet. */
bool trial_fill(trial *t, char *message);
bool trial_expect(trial *t, char *message);
void trial_close(trial *t);

/* Results of the compiled program, from tn_malloc; NULL with a message when it fails. `options` may be NULL. */
eval_tensor *trial_run(const trial *t, tn_program *p, const tn_exec_options *options, char *message);
/* The same of the module as an object, on another machine. */
eval_tensor *trial_run_elsewhere(const trial *t, object_run *on, const tn_compile_options *options, char *message);
void trial_free_results(const trial *t, eval_tensor *results);

/* Result r against the interpreter's. */
comparison trial_compare(const trial *t, size_t r, const eval_tensor *got, double factor);
/* Whether two runs' results r have the same bits; NaNs are equal whatever their payload. */
bool trial_same_bits(const eval_tensor *a, const eval_tensor *b);

/* A copy of the trial's module in which every symbol of the main function is the number that the sampler
 * says; NULL with a message. The caller frees it. */
tn_module *trial_fixed(const trial *t, char *message);

/* Prints the module, parses the text, prints that: true when both texts are the same. */
bool trial_round_trip(const tn_module *m, char *message);

#endif
