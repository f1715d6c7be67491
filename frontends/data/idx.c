/* IDX files, the format of MNIST.
 *
 * in:  a file, plain or gzip: two zero bytes, the type, the number of axes, their sizes, the elements; most significant
 *      byte first
 * out: an archive of one tensor, or a dataset of examples and labels
 * law: the elements end where the file does
 *
 * Source: the description on the MNIST page of Y. LeCun, C. Cortes, C. Burges.
 */
#include "frontends/data/archive.h"
#include "frontends/data/compress.h"
#include "frontends/data/element.h"
#include "frontends/data/read_file.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <string.h>

enum { FIXED_BYTES = 4, SIZE_BYTES = 4 };

static const struct {
    uint8_t code;
    tn_dtype dtype;
} types[] = {{0x08, TN_U8}, {0x09, TN_I8}, {0x0b, TN_I16}, {0x0c, TN_I32}, {0x0d, TN_F32}, {0x0e, TN_F64}};
enum { N_TYPES = sizeof types / sizeof *types };

static tn_dtype dtype_of(uint8_t code) {
    for (size_t i = 0; i < N_TYPES; i++)
        if (types[i].code == code) return types[i].dtype;
    return TN_DTYPE_INVALID;
}

static tn_status take_header(const uint8_t *content, size_t size, tn_tensor *t, size_t *header_bytes, tn_diag *diag) {
    if (size < FIXED_BYTES || content[0] != 0 || content[1] != 0)
        return diag_fail(diag, TN_ERR_PARSE,
                         "not an IDX file: it does not start with two zero bytes, a type and a rank");
    *t = (tn_tensor){.dtype = dtype_of(content[2]), .rank = content[3]};
    if (t->dtype == TN_DTYPE_INVALID)
        return diag_fail(diag, TN_ERR_PARSE, "its type is 0x%02x, expected 0x08, 0x09 or 0x0b to 0x0e", content[2]);
    if (t->rank > TN_MAX_RANK)
        return diag_fail(diag, TN_ERR_UNSUPPORTED, "it has %d axes, at most %d are supported", t->rank, TN_MAX_RANK);
    *header_bytes = FIXED_BYTES + SIZE_BYTES * (size_t)t->rank;
    if (size < *header_bytes) return diag_fail(diag, TN_ERR_PARSE, "it is cut off in its header");
    for (int i = 0; i < t->rank; i++)
        for (int b = 0; b < SIZE_BYTES; b++) t->shape[i] = t->shape[i] << 8 | content[FIXED_BYTES + SIZE_BYTES * i + b];
    return TN_OK;
}

static tn_status parse(const void *data, size_t size, void *out, tn_diag *diag) {
    const uint8_t *content = data;
    tn_archive **archive = out;
    tn_tensor t = {0};
    size_t header_bytes = 0;
    tn_status status = take_header(content, size, &t, &header_bytes, diag);
    if (status != TN_OK) return status;
    int64_t bytes = tn_tensor_bytes(&t);
    char type[160];
    if (bytes < 0 || (uint64_t)bytes != size - header_bytes)
        return diag_fail(diag, TN_ERR_PARSE, "%zu bytes follow its header, expected %" PRId64 " for %s",
                         size - header_bytes, bytes, tn_tensor_text(&t, type, sizeof type));
    t.data = tn_malloc((size_t)bytes);
    if (!t.data) return diag_fail(diag, TN_ERR_MEMORY, "out of memory for %" PRId64 " bytes", bytes);
    memcpy(t.data, content + header_bytes, (size_t)bytes);
    uint16_t one = 1;
    bool is_little = *(const uint8_t *)&one == 1;
    if (is_little) element_swap_bytes(t.data, (size_t)tn_tensor_elements(&t), tn_dtype_bits(t.dtype) / 8);
    *archive = archive_of_one(t);
    return *archive ? TN_OK : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
}

tn_status tn_idx_parse(const void *data, size_t bytes, const char *name, tn_archive **archive, tn_diag *diag) {
    *archive = NULL;
    return diag_in_file(diag, parse(data, bytes, archive, diag), name);
}

tn_status tn_idx_open(const char *path, tn_archive **archive, tn_diag *diag) {
    *archive = NULL;
    return parse_file(path, read_maybe_gzip, parse, archive, diag);
}

/* ---- A dataset ----------------------------------------------------------------------------- */

/* What a dataset is made of: examples, and labels or NULL. */
typedef struct pair {
    tn_archive *examples, *labels;
} pair;

static void release_pair(void *ctx) {
    pair *p = ctx;
    tn_archive_free(p->examples);
    tn_archive_free(p->labels);
    tn_free(p);
}

tn_status tn_dataset_idx(const char *examples, const char *labels, tn_dataset **dataset, tn_diag *diag) {
    *dataset = NULL;
    pair *p = tn_calloc(1, sizeof *p);
    if (!p) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    tn_status status = tn_idx_open(examples, &p->examples, diag);
    if (status == TN_OK && labels) status = tn_idx_open(labels, &p->labels, diag);
    if (status == TN_OK) {
        tn_named_tensor arrays[2] = {{"x", tn_archive_at(p->examples, 0)->tensor}};
        if (labels) arrays[1] = (tn_named_tensor){"y", tn_archive_at(p->labels, 0)->tensor};
        status = diag_in_file(diag, tn_dataset_arrays(arrays, labels ? 2 : 1, release_pair, p, dataset, diag),
                              labels ? labels : examples);
    }
    if (status != TN_OK) release_pair(p);
    return status;
}
