/* A compilation described for the runtime: names, shapes, sites, weights (runtime/program.h). */
#ifndef TN_COMPILER_DESCRIBE_H
#define TN_COMPILER_DESCRIBE_H

#include "compiler/stages.h"
#include "runtime/program.h"

/* False: out of memory. */
bool describe_program(tn_program *p, const compilation *c);
bool describe_prepare(tn_program *p, const compilation *c);

/* Fills in the functions of the program's custom ops, by their names: the caller's come first, then OpenBLAS's (NULL:
 * none). Those that nobody has registered have none. */
void describe_custom_calls(tn_program *p, const tn_compile_options *options, const blas *products);

/* "conv: a <= b", of a constraint. */
enum { DESCRIBED_CONSTRAINT = 500 };
void describe_constraint(const dim_table *t, const constraint *c, char *text, size_t bytes);

/* Copies a diagnostic out of what is about to be freed: the place becomes part of the message
 * when it does not outlive it. */
void diag_copy(tn_diag *to, const tn_diag *from);

#endif
