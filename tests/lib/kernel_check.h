/* "This loop tree, compiled for every target that runs here, does what the evaluator says."
 *
 *     check_kernel(text, (int64_t[]){37}, EXACT);
 *
 * The text is parsed, printed and parsed again, verified, evaluated on random inputs, compiled
 * and run, and all outputs and the status are compared.
 */
#ifndef TN_TESTS_KERNEL_CHECK_H
#define TN_TESTS_KERNEL_CHECK_H

#include "tests/lib/kernel_run.h"

/* Largest difference in units of the last place of the output's dtype; zeros are equal. */
enum { EXACT = 0 };

typedef enum fill {
    FILL_ANY,      /* all kinds of values, the odd ones too */
    FILL_SMALL,    /* small integers, exact in every dtype and in sums */
    FILL_POSITIVE, /* between 0.5 and 2; integers 0 to 5 */
} fill;

/* Fills `n` elements with values that depend on nothing but the arguments. */
void fill_elements(tn_dtype dtype, void *data, int64_t n, fill how, uint64_t seed);

void check_kernel_with(const char *text, const int64_t *extents, double ulps, fill how);
static inline void check_kernel(const char *text, const int64_t *extents, double ulps) {
    check_kernel_with(text, extents, ulps, FILL_ANY);
}

/* The kernel, printed and parsed back once; fails the test with the diagnostic. */
lt_kernel *parse_kernel_text(tn_module *m, const char *text);

/* A text that grows; free() it. */
typedef struct script {
    char *text;
    size_t n, capacity;
} script;
void script_add(script *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
