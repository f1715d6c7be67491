/* Fuzz target: any bytes through the parser; what it accepts is verified, printed and read again. */
#include "tenon_graph.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 1 << 20) return 0;
    tn_module *m = tn_module_parse((const char *)data, size, "fuzz.tn");
    if (!m) return 0;
    if (!tn_module_error(m)) {
        check(tn_module_verify(m, NULL) == TN_OK);
        char *text = tn_module_print(m, NULL);
        check(text != NULL);
        tn_module *again = tn_module_parse(text, strlen(text), "fuzz.tn");
        check(again && !tn_module_error(again));
        char *second = tn_module_print(again, NULL);
        check(second && strcmp(text, second) == 0);
        tn_text_free(second);
        tn_text_free(text);
        tn_module_free(again);
    }
    tn_module_free(m);
    return 0;
}
