/* A whole file mapped into memory, read-only.
 *
 * law: only regular files are mapped; a named pipe is refused, not waited for
 */
#ifndef TN_DATA_MAPPED_FILE_H
#define TN_DATA_MAPPED_FILE_H

#include "tenon_rt.h"

typedef struct mapped_file {
    const uint8_t *data; /* never NULL once mapped */
    size_t size;
    void *mapping; /* NULL: nothing to unmap, as for an empty file */
} mapped_file;

/* Flags for open(2) of a descriptor that is to be mapped. */
int mapped_file_flags(void);

/* Maps what `fd` is open on and closes it. NULL on success, else what is wrong with the file. */
const char *mapped_file_take(int fd, mapped_file *file);

/* Maps the file at `path`. On failure *file holds nothing and *diag has `path` as its file. */
tn_status mapped_file_open(const char *path, mapped_file *file, tn_diag *diag);

void mapped_file_close(mapped_file *file); /* fine on a zeroed one */

#endif
