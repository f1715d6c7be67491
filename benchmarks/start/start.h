/* What the programs of the start benchmark share: their arguments, and what they say.
 *
 *   PROGRAM MODEL INPUT DIMS FILE OUTPUT     DIMS as 1x3x224x224; FILE has the input's floats
 *
 * out: a line "NANOSECONDS FLOAT...": the monotonic clock when the first output was there, and what it begins with
 */
#ifndef TN_BENCHMARKS_START_H
#define TN_BENCHMARKS_START_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { START_MOST_RANK = 8 };

typedef struct start_work {
    const char *model, *input, *output;
    int rank;
    int64_t dims[START_MOST_RANK];
    float *data; /* from malloc, lives as long as the program */
    size_t bytes;
} start_work;

/* Exits with a message when the arguments are wrong. */
start_work start_read(int argc, char **argv);
void start_tell(const float *output, size_t n);

/* Prints a message and exits. */
_Noreturn void start_fail(const char *message);

#endif
