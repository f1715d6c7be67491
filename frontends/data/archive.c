/* Named tensors that were read from a file (see archive.h). */
#include "frontends/data/archive.h"

#include "runtime/diag.h"

#include <stdlib.h>
#include <string.h>

tn_archive *archive_new(int64_t n_tensors, int64_t n_metadata) {
    tn_archive *archive = tn_calloc(1, sizeof *archive);
    if (!archive) return NULL;
    archive->tensors = tn_calloc((size_t)n_tensors, sizeof *archive->tensors);
    archive->owned = tn_calloc((size_t)n_tensors, sizeof *archive->owned);
    archive->by_name = tn_calloc((size_t)n_tensors, sizeof *archive->by_name);
    archive->metadata = tn_calloc((size_t)n_metadata, sizeof *archive->metadata);
    if (archive->tensors && archive->owned && archive->by_name && archive->metadata) return archive;
    tn_archive_free(archive);
    return NULL;
}

static int compare_names(const void *a, const void *b, void *tensors) {
    const tn_named_tensor *all = tensors;
    return strcmp(all[*(const int64_t *)a].name, all[*(const int64_t *)b].name);
}

const char *archive_index(tn_archive *archive) {
    size_t n = (size_t)archive->n_tensors;
    for (size_t i = 0; i < n; i++) archive->by_name[i] = (int64_t)i;
    if (n > 1) qsort_r(archive->by_name, n, sizeof *archive->by_name, compare_names, archive->tensors);
    for (size_t i = 1; i < n; i++) {
        const char *name = archive->tensors[archive->by_name[i]].name;
        if (strcmp(name, archive->tensors[archive->by_name[i - 1]].name) == 0) return name;
    }
    return NULL;
}

tn_archive *archive_of_one(tn_tensor tensor) {
    tn_archive *archive = archive_new(1, 0);
    if (!archive) {
        tn_free(tensor.data);
        return NULL;
    }
    archive->tensors[0] = (tn_named_tensor){"data", tensor};
    archive->owned[0] = tensor.data;
    archive->n_tensors = 1;
    return archive;
}

/* ---- Looking ------------------------------------------------------------------------------- */

int64_t tn_archive_count(const tn_archive *archive) { return archive ? archive->n_tensors : -1; }

const tn_named_tensor *tn_archive_at(const tn_archive *archive, int64_t i) {
    return archive && i >= 0 && i < archive->n_tensors ? &archive->tensors[i] : NULL;
}

const tn_tensor *tn_archive_find(const tn_archive *archive, const char *name) {
    if (!archive || !name) return NULL;
    int64_t low = 0, high = archive->n_tensors;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        const tn_named_tensor *at = &archive->tensors[archive->by_name[middle]];
        int order = strcmp(name, at->name);
        if (order == 0) return &at->tensor;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const tn_metadata *tn_archive_metadata_at(const tn_archive *archive, int64_t i) {
    return archive && i >= 0 && i < archive->n_metadata ? &archive->metadata[i] : NULL;
}

const char *tn_archive_metadata(const tn_archive *archive, const char *key) {
    for (int64_t i = 0; key && archive && i < archive->n_metadata; i++)
        if (strcmp(archive->metadata[i].key, key) == 0) return archive->metadata[i].value;
    return NULL;
}

void tn_archive_free(tn_archive *archive) {
    if (!archive) return;
    mapped_file_close(&archive->file);
    arena_free(&archive->arena);
    for (int64_t i = 0; archive->owned && i < archive->n_tensors; i++) tn_free(archive->owned[i]);
    tn_free(archive->owned);
    tn_free(archive->tensors);
    tn_free(archive->by_name);
    tn_free(archive->metadata);
    tn_free(archive);
}

/* ---- For writers --------------------------------------------------------------------------- */

tn_status named_tensor_check(const tn_named_tensor *t, tn_diag *diag) {
    if (!t->name) return diag_fail(diag, TN_ERR_ARGUMENT, "a tensor has no name");
    int64_t bytes = tn_tensor_bytes(&t->tensor);
    char type[160];
    if (bytes >= 0 && (bytes == 0 || t->tensor.data) && t->tensor.device == 0) return TN_OK;
    return diag_fail(diag, TN_ERR_ARGUMENT, "tensor '%.100s' is malformed, not on the host or has no data: %s", t->name,
                     tn_tensor_text(&t->tensor, type, sizeof type));
}

const void *dense_elements(const tn_tensor *t, void **copy) {
    *copy = NULL;
    if (tn_tensor_elements(t) == 0) return "";
    if (tn_tensor_is_contiguous(t)) return t->data;
    *copy = tn_malloc((size_t)tn_tensor_bytes(t));
    if (!*copy) return NULL;
    tn_tensor dense = tn_tensor_of(t->dtype, *copy, t->rank, t->shape);
    tn_tensor_copy(&dense, t); /* cannot fail: both are well formed, on the host, alike */
    return *copy;
}
