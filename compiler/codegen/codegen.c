/* Code generation as the driver sees it (see codegen.h): a module and its machine, kept together. */
#include "compiler/codegen/codegen.h"

#include "compiler/codegen/object.h"
#include "compiler/codegen/program_emit.h"

#include <stdio.h>
#include <string.h>

struct codegen {
    target target;
    LLVMTargetMachineRef machine;
    LLVMContextRef context;
    LLVMModuleRef module;
    tn_diag *diag;
};

codegen *codegen_new(const char *target_name, int level, tn_diag *diag) {
    codegen *g = tn_calloc(1, sizeof *g);
    if (!g) {
        target_fail(diag, TN_ERR_MEMORY, "out of memory");
        return NULL;
    }
    g->diag = diag;
    if (target_init(&g->target, target_name, diag) == TN_OK) g->machine = target_machine_new(&g->target, level, diag);
    if (g->machine) g->context = object_context_new(diag);
    if (g->context) g->module = LLVMModuleCreateWithNameInContext("tenon", g->context);
    if (g->module) {
        target_mark_module(g->module, g->machine);
        return g;
    }
    codegen_free(g);
    return NULL;
}

void codegen_free(codegen *g) {
    if (!g) return;
    if (g->module) LLVMDisposeModule(g->module);
    if (g->context) LLVMContextDispose(g->context);
    if (g->machine) LLVMDisposeTargetMachine(g->machine);
    target_free(&g->target);
    tn_free(g);
}

const machine *codegen_machine(const codegen *g) { return &g->target.machine; }
bool codegen_is_host(const codegen *g) { return g->target.is_host; }

bool codegen_emit(codegen *g, const program_plan *plan, tn_graph *entry, const char *prefix, emitted_tables *tables) {
    emitter out = {.module = g->module, .target = &g->target, .diag = g->diag};
    return program_emit(&out, plan, entry, prefix, tables);
}

bool codegen_finish(codegen *g, bool verify) {
    if (verify && object_verify(g->module, g->diag) != TN_OK) return false;
    return object_optimise(g->module, g->machine, 1, g->diag) == TN_OK;
}

char *codegen_write(codegen *g, codegen_form form, size_t *bytes) {
    static const object_form forms[] = {
        [CODEGEN_LLVM] = OBJECT_LLVM, [CODEGEN_ASSEMBLY] = OBJECT_ASSEMBLY, [CODEGEN_OBJECT] = OBJECT_OBJECT};
    LLVMMemoryBufferRef buffer;
    if (object_emit(g->module, g->machine, forms[form], &buffer, g->diag) != TN_OK) return NULL;
    *bytes = LLVMGetBufferSize(buffer);
    char *copy = tn_malloc(*bytes + 1);
    if (copy) {
        memcpy(copy, LLVMGetBufferStart(buffer), *bytes);
        copy[*bytes] = '\0';
    } else
        target_fail(g->diag, TN_ERR_MEMORY, "out of memory");
    LLVMDisposeMemoryBuffer(buffer);
    return copy;
}

void codegen_version(char *text, size_t capacity) {
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    char *cpu = LLVMGetHostCPUName();
    snprintf(text, capacity, "LLVM %u.%u.%u, %s", major, minor, patch, cpu);
    LLVMDisposeMessage(cpu);
}
