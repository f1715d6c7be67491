/* What training reads and writes: files of tensors, datasets, batches, and records for TensorBoard.
 *
 * No graph is needed for any of it. Calls that can fail return a tn_status and fill *diag (which may be NULL): its
 * `file` is then the path that was given (so it lives as long as that), its message says which record and where.
 * What a call makes is NULL after it failed. All `..._free` accept NULL.
 */
#ifndef TENON_DATA_H
#define TENON_DATA_H

#include "tenon_rt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Files of named tensors ------------------------------------------------------------- */

/* A tensor and what it is called. */
typedef struct tn_named_tensor {
    const char *name;
    tn_tensor tensor;
} tn_named_tensor;

/* A note in a file: UTF-8 text. */
typedef struct tn_metadata {
    const char *key, *value;
} tn_metadata;

/* What was read from a file: tensors with their names, and notes. Immutable; any thread may look at it. */
typedef struct tn_archive tn_archive;

/* Opens a safetensors file. Its tensors are views of the mapped file, which must not be changed in place while the
 * archive lives (replacing it, as tn_safetensors_write does, is fine); their memory may be unaligned. Everything is
 * checked before anything is given: header, dtypes, shapes, that the tensors lie one behind the other and fill the file,
 * names that come twice. TN_ERR_IO, TN_ERR_PARSE, TN_ERR_UNSUPPORTED (dtypes, more than 8 axes), TN_ERR_MEMORY. */
TN_API tn_status tn_safetensors_open(const char *path, tn_archive **archive, tn_diag *diag);

/* The same from memory, which must outlive the archive; `name` is for messages and may be NULL. */
TN_API tn_status tn_safetensors_parse(const void *data, size_t bytes, const char *name, tn_archive **archive,
                                      tn_diag *diag);

/* Writes a safetensors file in place of `path`: whatever ends the process or the machine, and whenever, the file is
 * whole, either the old or the new one (a temporary PATH.tmp in the same folder is synced, then renamed). Tensors may be
 * strided; they are laid out by decreasing size of element, then by name, which keeps each aligned. Names and keys
 * must differ and be UTF-8. */
TN_API tn_status tn_safetensors_write(const char *path, const tn_named_tensor *tensors, int64_t n_tensors,
                                      const tn_metadata *metadata, int64_t n_metadata, tn_diag *diag);

/* Number of tensors, in the order of the file; -1: no archive. */
TN_API int64_t tn_archive_count(const tn_archive *archive);

/* Tensor number i, or NULL when there is none. Lives, like all that it points to, as long as the archive. */
TN_API const tn_named_tensor *tn_archive_at(const tn_archive *archive, int64_t i);

/* The tensor of that name, or NULL. */
TN_API const tn_tensor *tn_archive_find(const tn_archive *archive, const char *name);

/* The note of that key, or NULL; and note number i. */
TN_API const char *tn_archive_metadata(const tn_archive *archive, const char *key);
TN_API const tn_metadata *tn_archive_metadata_at(const tn_archive *archive, int64_t i);

TN_API void tn_archive_free(tn_archive *archive);

#ifdef __cplusplus
}
#endif

#endif
