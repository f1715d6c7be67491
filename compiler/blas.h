/* OpenBLAS behind the products that the pass `blas` leaves to it. */
#ifndef TN_COMPILER_BLAS_H
#define TN_COMPILER_BLAS_H

#include "tenon_compile.h"

typedef struct blas blas;

/* Opens the library, which then stays in the process until blas_close. NULL: the diagnostic says what is missing. */
blas *blas_open(tn_diag *diag);
void blas_close(blas *b); /* NULL is allowed */

/* The ops that it computes, blas.<dtype>.<a><b> (compiler/passes/blas.c). */
const tn_custom_op *blas_ops(const blas *b, int *n);

#endif
