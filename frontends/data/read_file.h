/* Whole files into memory. */
#ifndef TN_DATA_READ_FILE_H
#define TN_DATA_READ_FILE_H

#include "tenon_rt.h"

/* Reads all of the file at `path`, which may be a pipe. *content is to be freed with tn_free; it
 * is NULL on failure, and *diag has `path` as its file. */
tn_status read_file(const char *path, void **content, size_t *size, tn_diag *diag);

#endif
