/* Which Tenon, which LLVM, which CPU. */
#include "compiler/codegen/codegen.h"
#include "tenon_compile.h"

#include <stdio.h>

#ifndef TN_VERSION
#define TN_VERSION "unknown"
#endif

void tn_version_text(char *text, size_t capacity) {
    char backend[200];
    codegen_version(backend, sizeof backend);
    snprintf(text, capacity, "Tenon %s, %s", TN_VERSION, backend);
}
