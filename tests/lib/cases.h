/* Recorded cases of real models: tests/models/cases.txt, whose README tells the format.
 *
 * Messages go to a buffer of CASE_MESSAGE bytes; nothing here fails a test by itself.
 */
#ifndef TN_TESTS_CASES_H
#define TN_TESTS_CASES_H

#include "ir/eval.h"

enum { CASE_TENSORS = 8, CASE_MESSAGE = 1200 };

typedef struct case_tensor {
    char name[96];
    tn_dtype dtype;
    int rank;
    int64_t dims[TN_MAX_RANK];
    char source[256]; /* of an input: where its values are from; of an output: what it is compared with */
} case_tensor;

typedef struct model_case {
    char name[64], model[96];
    case_tensor in[CASE_TENSORS], out[CASE_TENSORS];
    int n_in, n_out;
} model_case;

/* All cases of the file, to be freed with tn_free; NULL with a message. */
model_case *cases_read(const char *path, size_t *n, char *message);

/* The values of an input, to be freed with eval_tensor_free. */
bool case_input(const case_tensor *in, eval_tensor *t, char *message);

/* Whether an output is what was recorded; *worst gets its largest difference, absolute or relative,
 * whichever is less. */
bool case_agrees(const case_tensor *out, const tn_tensor *got, double *worst, char *message);

/* page.c: the pixels of text line k of the demo's page, as the demo prepares them: f32[1, 3, 48, *width], from malloc.
 * NULL: there is no such line, or no page. */
float *page_line(int k, int *width);

#endif
