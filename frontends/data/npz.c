/* NumPy's .npy and .npz files as archives.
 *
 * in:  a .npy file, or a zip of them
 * out: a tn_archive; and the reverse
 * law: every entry is read, or the call fails and names it;
 *      what is written numpy.load gives back bit for bit (bfloat16: see npy.h)
 */
#include "frontends/data/archive.h"
#include "frontends/data/npy.h"
#include "frontends/data/zip.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static tn_tensor tensor_of(const npy_array *a) { return tn_tensor_of(a->dtype, a->data, a->rank, a->dims); }

tn_status tn_npy_open(const char *path, tn_archive **archive, tn_diag *diag) {
    *archive = NULL;
    mapped_file file;
    npy_array array;
    tn_status status = mapped_file_open(path, &file, diag);
    if (status != TN_OK) return status;
    status = npy_read_memory(file.data, file.size, path, &array, diag);
    mapped_file_close(&file);
    if (status != TN_OK) return status;
    *archive = archive_of_one(tensor_of(&array));
    return *archive ? TN_OK : diag_in_file(diag, diag_fail(diag, TN_ERR_MEMORY, "out of memory"), path);
}

tn_status tn_npy_write(const char *path, const tn_tensor *tensor, tn_diag *diag) {
    tn_named_tensor named = {"data", *tensor};
    void *copy = NULL;
    tn_status status = named_tensor_check(&named, diag);
    const void *elements = status == TN_OK ? dense_elements(tensor, &copy) : NULL;
    if (status == TN_OK && !elements) status = diag_fail(diag, TN_ERR_MEMORY, "out of memory for a copy");
    if (status == TN_OK) status = npy_write(path, tensor->dtype, tensor->rank, tensor->shape, elements, diag);
    tn_free(copy);
    return diag_in_file(diag, status, path);
}

/* ---- Reading .npz -------------------------------------------------------------------------- */

static const char suffix[] = ".npy";
enum { SUFFIX_BYTES = sizeof suffix - 1 };

/* Puts "entry 'x.npy': " before the message. */
static tn_status in_entry(const zip_entry *e, tn_status status, tn_diag *diag) {
    if (!diag || status == TN_OK) return status;
    char message[TN_DIAG_MESSAGE_BYTES];
    line t = {message, sizeof message, 0};
    int shown = e->name_length < 100 ? (int)e->name_length : 100;
    line_add(&t, "entry '%.*s': %s", shown, e->name, diag->message);
    memcpy(diag->message, message, sizeof message);
    return status;
}

static tn_status take_array(const zip_entry *e, tn_archive *archive, tn_diag *diag) {
    if (e->name_length < SUFFIX_BYTES || memcmp(e->name + e->name_length - SUFFIX_BYTES, suffix, SUFFIX_BYTES) != 0 ||
        memchr(e->name, 0, e->name_length))
        return diag_fail(diag, TN_ERR_PARSE, "its name is not that of a .npy file");
    const uint8_t *bytes;
    void *own;
    tn_status status = zip_expand(e, &bytes, &own, diag);
    if (status != TN_OK) return status;
    npy_array array;
    status = npy_read_memory(bytes, (size_t)e->bytes, NULL, &array, diag);
    tn_free(own);
    if (status != TN_OK) return status;
    int64_t i = archive->n_tensors++;
    archive->owned[i] = array.data;
    archive->tensors[i].tensor = tensor_of(&array);
    archive->tensors[i].name = arena_strndup(&archive->arena, e->name, e->name_length - SUFFIX_BYTES);
    return archive->tensors[i].name ? TN_OK : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
}

static tn_status take_arrays(zip_reader *zip, tn_archive *archive, tn_diag *diag) {
    for (uint64_t i = 0; i < zip->n_entries; i++) {
        zip_entry e;
        tn_status status = zip_next(zip, &e, diag);
        if (status != TN_OK) return status;
        status = in_entry(&e, take_array(&e, archive, diag), diag);
        if (status != TN_OK) return status;
    }
    const char *twice = archive_index(archive);
    return twice ? diag_fail(diag, TN_ERR_PARSE, "two of its arrays are called '%.100s'", twice) : TN_OK;
}

tn_status tn_npz_parse(const void *data, size_t bytes, const char *name, tn_archive **archive, tn_diag *diag) {
    *archive = NULL;
    zip_reader zip;
    tn_status status = zip_open(data, bytes, &zip, diag);
    if (status != TN_OK) return diag_in_file(diag, status, name);
    tn_archive *result = archive_new((int64_t)zip.n_entries, 0);
    status = result ? take_arrays(&zip, result, diag) : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    if (status == TN_OK)
        *archive = result;
    else
        tn_archive_free(result);
    return diag_in_file(diag, status, name);
}

tn_status tn_npz_open(const char *path, tn_archive **archive, tn_diag *diag) {
    *archive = NULL;
    mapped_file file;
    tn_status status = mapped_file_open(path, &file, diag);
    if (status != TN_OK) return status;
    status = tn_npz_parse(file.data, file.size, path, archive, diag);
    mapped_file_close(&file);
    return status;
}

tn_status tn_dataset_npz(const char *path, tn_dataset **dataset, tn_diag *diag) {
    *dataset = NULL;
    tn_archive *archive;
    tn_status status = tn_npz_open(path, &archive, diag);
    if (status != TN_OK) return status;
    return diag_in_file(diag, tn_dataset_archive(archive, dataset, diag), path);
}

/* ---- Writing .npz -------------------------------------------------------------------------- */

static tn_status write_entry(zip_writer *zip, const tn_named_tensor *t, bool deflates, tn_diag *diag) {
    char header[NPY_HEADER_BYTES];
    size_t header_bytes = npy_header(header, t->tensor.dtype, t->tensor.rank, t->tensor.shape);
    size_t length = strlen(t->name);
    char *name = tn_malloc(length + SUFFIX_BYTES + 1);
    void *copy = NULL;
    const void *elements = dense_elements(&t->tensor, &copy);
    bool ok = name && elements;
    if (ok) {
        memcpy(name, t->name, length);
        memcpy(name + length, suffix, SUFFIX_BYTES + 1);
        ok = zip_add(zip, name, header, header_bytes, elements, (size_t)tn_tensor_bytes(&t->tensor), deflates);
    }
    tn_free(name);
    tn_free(copy);
    return ok ? TN_OK : diag_fail(diag, TN_ERR_MEMORY, "out of memory for array '%.100s'", t->name);
}

static tn_status check_arrays(const tn_named_tensor *tensors, int64_t n, tn_diag *diag) {
    if (n < 0) return diag_fail(diag, TN_ERR_ARGUMENT, "the number of arrays is negative");
    tn_archive *names = archive_new(n, 0); /* for its search of names that come twice */
    if (!names) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    tn_status status = TN_OK;
    for (int64_t i = 0; status == TN_OK && i < n; i++) {
        status = named_tensor_check(&tensors[i], diag);
        if (status == TN_OK && strlen(tensors[i].name) > ZIP_MAX_NAME - SUFFIX_BYTES)
            status = diag_fail(diag, TN_ERR_ARGUMENT, "array '%.100s...' has a name of more than 65,531 bytes",
                               tensors[i].name);
        names->tensors[names->n_tensors++] = tensors[i];
    }
    const char *twice = status == TN_OK ? archive_index(names) : NULL;
    if (twice) status = diag_fail(diag, TN_ERR_ARGUMENT, "two arrays are called '%.100s'", twice);
    tn_archive_free(names);
    return status;
}

tn_status tn_npz_write(const char *path, const tn_named_tensor *tensors, int64_t n_tensors, bool deflates,
                       tn_diag *diag) {
    tn_status status = check_arrays(tensors, n_tensors, diag);
    if (status != TN_OK) return diag_in_file(diag, status, path);
    atomic_file file;
    status = atomic_file_open(path, &file, diag);
    if (status != TN_OK) return status;
    zip_writer zip = {.file = &file};
    for (int64_t i = 0; status == TN_OK && i < n_tensors; i++) status = write_entry(&zip, &tensors[i], deflates, diag);
    zip_finish(&zip);
    if (status == TN_OK) return atomic_file_commit(&file, path, diag);
    atomic_file_abandon(&file);
    return diag_in_file(diag, status, path);
}
