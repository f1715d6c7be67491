/* The targets that code is tried for: levels of the psABI, and this machine.
 *
 * in:  nothing, or a seed
 * out: names for tn_compile_options.target, and which of them this machine can run
 */
#ifndef TN_TESTS_LEVELS_H
#define TN_TESTS_LEVELS_H

#include <stdbool.h>
#include <stdint.h>

enum { LEVELS = 4 };
extern const char *const level_names[LEVELS]; /* from the least to "host" */

bool level_runs_here(const char *name);
/* One of those that run here: seeds in a row go through all. */
const char *level_of_seed(uint64_t seed);

#endif
