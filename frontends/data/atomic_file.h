/* A file that is replaced as a whole or not at all.
 *
 * in:  a path and the bytes, given piece by piece
 * out: the file at the path with these bytes, on the disk
 * law: whatever ends the process or the machine, and whenever, `path` holds what it held before or all of the
 *      new bytes. They go to PATH.tmp in the same folder, are synced, and only then take the path; the folder is
 *      synced last. A PATH.tmp that a kill left is taken over by the next write; two writers at a time do not mix: the
 *      second is refused
 *
 * Links are followed. A path that is there and no regular file (a device, a pipe) is written as it is.
 * Errors stick: after one, writes do nothing, and atomic_file_commit reports it.
 */
#ifndef TN_DATA_ATOMIC_FILE_H
#define TN_DATA_ATOMIC_FILE_H

#include "tenon_rt.h"

typedef struct atomic_file {
    char *path, *temporary; /* links followed */
    int fd;                 /* -1: not open */
    bool is_in_place;
    int error;             /* errno of the first failure, or 0 */
    uint64_t size;         /* bytes given so far */
    uint8_t *buffer;       /* of those not yet written */
    size_t buffered_bytes; /* in it */
} atomic_file;

/* Opens; *diag has `path` as its file on failure. To be ended by one of the two below. */
tn_status atomic_file_open(const char *path, atomic_file *file, tn_diag *diag);

/* Whether one can be opened, as far as that shows without opening it: its folder is there and may be written in. */
tn_status atomic_file_check(const char *path, tn_diag *diag);

void atomic_file_write(atomic_file *file, const void *data, size_t bytes);
void atomic_file_zeros(atomic_file *file, size_t bytes);

/* Puts the file in its place and ends it; after a failure the old one is there as it was. `path` is for *diag. */
tn_status atomic_file_commit(atomic_file *file, const char *path, tn_diag *diag);

/* Ends it without a trace; fine on one that is zeroed or ended. */
void atomic_file_abandon(atomic_file *file);

#endif
