/* NumPy's .npy files.
 *
 * in:  a file of format version 1, 2 or 3, either byte order, C or Fortran order
 * out: dtype, dims and elements, row-major, in the machine's byte order; and the reverse
 * law: what npy_write writes, numpy.load and npy_read give back bit for bit
 *
 * bfloat16 has no spelling of its own: ml_dtypes saves it as '<V2' (two bytes of anything), and
 * so does npy_write. Such a file reads as bf16 here; numpy.load gives dtype V2, which
 * `.view(ml_dtypes.bfloat16)` turns into numbers.
 *
 * Source: numpy.lib.format, "NPY format".
 */
#ifndef TN_DATA_NPY_H
#define TN_DATA_NPY_H

#include "tenon_rt.h"

typedef struct npy_array {
    tn_dtype dtype;
    int rank;
    int64_t dims[TN_MAX_RANK];
    size_t bytes;
    void *data; /* own memory, never NULL after a successful read */
} npy_array;

/* Reads the file at `path`. On failure *array holds nothing and *diag has `path` as its file. */
tn_status npy_read(const char *path, npy_array *array, tn_diag *diag);

/* The same from a file's content in memory; `path` is for diagnostics and may be NULL. */
tn_status npy_read_memory(const void *content, size_t size, const char *path, npy_array *array, tn_diag *diag);

/* Writes a row-major tensor to `path`, replacing what is there as a whole or not at all. */
tn_status npy_write(const char *path, tn_dtype dtype, int rank, const int64_t *dims, const void *data, tn_diag *diag);

/* The header of a file with such a tensor, which its elements follow. Its bytes, or 0: no such dtype or shape. */
enum { NPY_HEADER_BYTES = 512 };
size_t npy_header(char out[NPY_HEADER_BYTES], tn_dtype dtype, int rank, const int64_t *dims);

/* Frees what a read gave; fine on a zeroed array. */
void npy_free(npy_array *array);

#endif
