/* Any bytes as a CSV table, plain or gzip: an answer, never a crash, and every accepted example can be read. The first
 * byte chooses options. Corpus: tests/fuzz/corpus/csv.
 */
#include "frontends/data/compress.h"
#include "frontends/data/csv.h"
#include "runtime/alloc.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const tn_dataset *d) {
    int64_t n = tn_dataset_field(d, 0)->shape[0];
    double *x = tn_malloc((size_t)n * sizeof *x);
    int64_t y;
    for (int64_t i = 0; x && i < tn_dataset_count(d); i++) {
        if (tn_dataset_read(d, 0, i, x, NULL) != TN_OK) __builtin_trap();
        for (int64_t k = 0; k < n; k++)
            if (!isfinite(x[k])) __builtin_trap();
        if (tn_dataset_n_fields(d) == 2 && tn_dataset_read(d, 1, i, &y, NULL) != TN_OK) __builtin_trap();
    }
    tn_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    tn_csv_options options = {.header = (tn_csv_header)(data[0] % 3),
                              .label = data[0] / 3 % 3 - 1,
                              .separator = data[0] & 64 ? ';' : 0,
                              .label_name = data[0] & 128 ? "y" : NULL,
                              .dtype = TN_F64};
    size_t bytes = size - 1;
    void *content = tn_malloc(bytes);
    if (!content) return 0;
    memcpy(content, data + 1, bytes);
    tn_dataset *d = NULL;
    tn_diag diag = {0};
    tn_status status = expand_gzip(&content, &bytes, &diag);
    if (status == TN_OK) status = csv_parse(content, bytes, &options, &d, &diag);
    if ((status == TN_OK) != (d != NULL) || (status != TN_OK && diag.message[0] == '\0')) __builtin_trap();
    if (d) walk(d);
    tn_dataset_free(d);
    tn_free(content);
    return 0;
}
