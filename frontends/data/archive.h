/* Named tensors that were read from a file: what tn_archive is made of.
 *
 * in:  tensors and notes, one after the other, from the reader of a format
 * out: a tn_archive that finds them by name
 * law: names differ; elements lie in the archive's mapped file, are its own, or the caller's
 */
#ifndef TN_DATA_ARCHIVE_H
#define TN_DATA_ARCHIVE_H

#include "frontends/data/mapped_file.h"
#include "frontends/data/tenon_data.h"
#include "runtime/alloc.h"

struct tn_archive {
    tn_named_tensor *tensors;
    void **owned;     /* elements to be freed, one for each tensor, or NULL where the file has them */
    int64_t *by_name; /* their numbers, sorted by name */
    int64_t n_tensors;
    tn_metadata *metadata;
    int64_t n_metadata;
    mapped_file file;
    arena arena; /* names, notes */
};

/* With room for so many. NULL: no memory. */
tn_archive *archive_new(int64_t n_tensors, int64_t n_metadata);

/* Sorts the names. The first one that comes twice, or NULL. */
const char *archive_index(tn_archive *archive);

/* An archive of one tensor, called "data", whose elements it takes over. NULL: no memory, they are freed. */
tn_archive *archive_of_one(tn_tensor tensor);

/* ---- For writers --------------------------------------------------------------------------- */

/* That a tensor has a name, is well formed and has data. */
tn_status named_tensor_check(const tn_named_tensor *t, tn_diag *diag);

/* The tensor's elements without gaps, row-major: its own, or a *copy to be freed with tn_free. NULL: no memory. */
const void *dense_elements(const tn_tensor *t, void **copy);

#endif
