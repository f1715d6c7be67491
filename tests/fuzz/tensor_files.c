/* Any bytes as a safetensors, .npz, .npy or IDX file: an answer, never a crash, and what was accepted can be looked at
 * in full, every element of every tensor. Corpus: tests/fuzz/corpus/tensor_files.
 */
#include "frontends/data/npy.h"
#include "frontends/data/tenon_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned sum_text(const char *text) {
    unsigned sum = 0;
    for (; text && *text; text++) sum += (uint8_t)*text;
    return sum;
}

static unsigned walk(const tn_archive *archive) {
    unsigned sum = 0;
    for (int64_t i = 0; i < tn_archive_count(archive); i++) {
        const tn_named_tensor *t = tn_archive_at(archive, i);
        int64_t bytes = tn_tensor_bytes(&t->tensor);
        if (tn_archive_find(archive, t->name) != &t->tensor || bytes < 0) __builtin_trap();
        for (int64_t k = 0; k < bytes; k++) sum += ((const uint8_t *)t->tensor.data)[k];
        sum += sum_text(t->name);
    }
    for (int64_t i = 0; tn_archive_metadata_at(archive, i); i++)
        sum += sum_text(tn_archive_metadata_at(archive, i)->value);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static tn_status (*const parsers[])(const void *, size_t, const char *, tn_archive **,
                                        tn_diag *) = {tn_safetensors_parse, tn_npz_parse, tn_idx_parse};
    static volatile unsigned sink; /* keeps the walk from being optimised away */
    for (size_t i = 0; i < sizeof parsers / sizeof *parsers; i++) {
        tn_archive *archive;
        tn_diag diag = {0};
        tn_status status = parsers[i](data, size, NULL, &archive, &diag);
        if ((status == TN_OK) != (archive != NULL) || (status != TN_OK && diag.message[0] == '\0')) __builtin_trap();
        sink = walk(archive);
        tn_archive_free(archive);
    }
    npy_array array;
    if (npy_read_memory(data, size, NULL, &array, NULL) == TN_OK)
        for (size_t i = 0; i < array.bytes; i++) sink += ((const uint8_t *)array.data)[i];
    npy_free(&array);
    (void)sink;
    return 0;
}
