/* Named tensors that were read from a file: what tn_archive is made of.
 *
 * in:  tensors and notes, one after the other, from the reader of a format
 * out: a tn_archive that finds them by name
 * law: names differ; strings and elements lie in the archive's arena, in its mapped file, or are the caller's
 */
#ifndef TN_DATA_ARCHIVE_H
#define TN_DATA_ARCHIVE_H

#include "frontends/data/mapped_file.h"
#include "frontends/data/tenon_data.h"
#include "runtime/alloc.h"

struct tn_archive {
    tn_named_tensor *tensors;
    int64_t *by_name; /* their numbers, sorted by name */
    int64_t n_tensors;
    tn_metadata *metadata;
    int64_t n_metadata;
    mapped_file file;
    arena arena; /* names, notes, elements that are not in the file */
};

/* With room for so many. NULL: no memory. */
tn_archive *archive_new(int64_t n_tensors, int64_t n_metadata);

/* Sorts the names. The first one that comes twice, or NULL. */
const char *archive_index(tn_archive *archive);

#endif
