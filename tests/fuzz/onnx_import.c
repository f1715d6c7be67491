/* Any bytes as an ONNX model, imported: a module or an error, never a crash; a module that is given passes
 * the verifier. Corpus: tests/fuzz/corpus/onnx_import.
 */
#include <stdlib.h>

#include "frontends/onnx/tenon_onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int replaceable = 0; replaceable < 2; replaceable++) {
        tn_onnx_options options = {.max_nodes = 2000, .weights_replaceable = replaceable != 0};
        tn_module *m = tn_onnx_parse(data, size, "model.onnx", &options);
        tn_diag diag;
        if (m && !tn_module_error(m) && tn_module_verify(m, &diag) != TN_OK) abort();
        tn_module_free(m);
    }
    return 0;
}
