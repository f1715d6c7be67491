/* Whole files into memory. */
#ifndef TN_DATA_READ_FILE_H
#define TN_DATA_READ_FILE_H

#include "tenon_rt.h"

/* Reads all of the file at `path`, which may be a pipe. *content is to be freed with tn_free; it
 * is NULL on failure, and *diag has `path` as its file. */
tn_status read_file(const char *path, void **content, size_t *size, tn_diag *diag);

/* Reads a file as `read` does (read_file, or another of that kind) and gives its content to `parse`, which fills *out.
 * *diag has `path` as its file. */
typedef tn_status read_fn(const char *path, void **content, size_t *size, tn_diag *diag);
typedef tn_status parse_fn(const void *content, size_t size, void *out, tn_diag *diag);
tn_status parse_file(const char *path, read_fn *read, parse_fn *parse, void *out, tn_diag *diag);

#endif
