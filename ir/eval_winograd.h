/* Winograd's matrices, for reference evaluation. */
#ifndef TN_IR_EVAL_WINOGRAD_H
#define TN_IR_EVAL_WINOGRAD_H

#include "ir/eval_state.h"

enum { WINOGRAD_MAX_SIDE = 6, WINOGRAD_PLANES = WINOGRAD_MAX_SIDE * WINOGRAD_MAX_SIDE };

/* F(m, 3): B^T and A^T, as rows. Their points are 0, 1, -1 and 0, 3/4, -3/4, 3/2, -3/2, and infinity. */
typedef struct winograd_matrices {
    int tile, side;
    double b[WINOGRAD_MAX_SIDE][WINOGRAD_MAX_SIDE], a[WINOGRAD_MAX_SIDE][WINOGRAD_MAX_SIDE];
} winograd_matrices;

/* Those of F(tile, 3); false: there are none. */
bool winograd_matrices_of(int64_t tile, winograd_matrices *m);
winograd_matrices winograd_absolute(winograd_matrices m);

/* out = t in t^T, where t has `rows` rows of `side` and `in` is side x side. */
void winograd_sandwich(const double t[WINOGRAD_MAX_SIDE][WINOGRAD_MAX_SIDE], int rows, int side, const double *in,
                       double *out);

#endif
