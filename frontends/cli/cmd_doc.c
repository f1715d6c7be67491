/* tenon doc: references made from the tables. */
#include "compiler/passes/passes.h"
#include "frontends/cli/commands.h"
#include "frontends/cli/write.h"
#include "frontends/onnx/doc.h"
#include "ir/doc.h"
#include "runtime/alloc.h"

#include <stdio.h>
#include <string.h>

/* Tenon's own ops, then those of ONNX. */
static char *make_ops(void) {
    char *own = doc_ops(), *others = own ? onnx_doc() : NULL;
    size_t length = own ? strlen(own) : 0;
    char *all = others ? tn_realloc(own, length + strlen(others) + 1) : NULL;
    if (all)
        memcpy(all + length, others, strlen(others) + 1);
    else
        tn_free(own);
    tn_free(others);
    return all;
}

int command_doc(const arguments *a) {
    static const struct {
        const char *name;
        char *(*make)(void);
    } docs[] = {{"ops", make_ops}, {"passes", doc_passes}};
    for (size_t i = 0; i < sizeof docs / sizeof *docs; i++)
        if (strcmp(docs[i].name, a->operands[0]) == 0) {
            char *text = docs[i].make();
            int status = write_text(TEXT_OF(a, output), text);
            tn_free(text);
            return status;
        }
    fprintf(stderr, "tenon doc: there is no reference called %s, but ops and passes (see tenon doc --help)\n",
            a->operands[0]);
    return EXIT_USAGE;
}
