/* Which Tenon, which LLVM, which CPU. */
#include "compiler/codegen/codegen.h"
#include "compiler/version.h"
#include "tenon_compile.h"

#include <stdio.h>

void tn_version_text(char *text, size_t capacity) {
    char backend[200];
    codegen_version(backend, sizeof backend);
    snprintf(text, capacity, "Tenon %s, %s", TN_VERSION, backend);
}
