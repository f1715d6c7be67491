/* docs/PASSES.md from the table of passes. */
#include "compiler/passes/passes.h"

#include <stdio.h>
#include <string.h>

char *doc_passes(void) {
    size_t bytes = 1024;
    for (size_t i = 0; i < n_passes; i++)
        bytes += strlen(pass_table[i].name) + strlen(pass_table[i].needs) + strlen(pass_table[i].gives) +
                 strlen(pass_table[i].doc) + 64;
    char *text = tn_malloc(bytes);
    if (!text) return NULL;
    size_t used = (size_t)snprintf(
        text, bytes,
        "# Graph passes\n\nGenerated from `compiler/passes/passes.def` by `tenon doc passes`; in the order they run. "
        "`tenon dump MODEL --after PASS` shows a model after one.\n\n"
        "| pass | what it does | needs | gives |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < n_passes && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "| `%s` | %s | %s | %s |\n", pass_table[i].name,
                                 pass_table[i].doc, pass_table[i].needs, pass_table[i].gives);
    return text;
}
