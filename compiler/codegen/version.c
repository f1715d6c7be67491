/* Which Tenon, which LLVM, which CPU. */
#include "compiler/codegen/target.h"
#include "tenon_compile.h"

#include <stdio.h>

#ifndef TN_VERSION
#define TN_VERSION "unknown"
#endif

void tn_version_text(char *text, size_t capacity)
{
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    char *cpu = LLVMGetHostCPUName();
    snprintf(text, capacity, "Tenon %s, LLVM %u.%u.%u, %s", TN_VERSION, major, minor, patch, cpu);
    LLVMDisposeMessage(cpu);
}
