/* Optimisation and output of a module; see object.h.
 *
 * The pass lists are short because the code generator already writes what it means: explicit
 * vectors, no redundant loads. What is left to clean up is constant arithmetic of indices and
 * the stack slots of carried values. `instcombine` would take four times as long as the quick
 * list does, and what it finds, instruction selection finds too: no model ran slower without.
 */
#include "compiler/codegen/object.h"

#include <string.h>

#include <llvm-c/Analysis.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "compiler/codegen/llvm_library.h"
#include "compiler/codegen/target.h"
#include "runtime/alloc.h"

static const char *const pass_lists[] = {
    NULL,
    "function(sroa,early-cse,instsimplify,simplifycfg)",
    "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,"
    "loop-mssa(licm),gvn,instcombine<no-verify-fixpoint>,simplifycfg,dce)",
};

enum { LEVEL_COUNT = sizeof pass_lists / sizeof pass_lists[0] };

static void keep_first_error(LLVMDiagnosticInfoRef info, void *user) {
    tn_diag *diag = user;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError || !diag || diag->status != TN_OK) return;
    char *message = LLVMGetDiagInfoDescription(info);
    target_fail(diag, TN_ERR_INTERNAL, "LLVM: %s", message);
    LLVMDisposeMessage(message);
}

LLVMContextRef object_context_new(tn_diag *diag) {
    LLVMContextRef context = llvm_load(diag) ? LLVMContextCreate() : NULL;
    if (context) LLVMContextSetDiagnosticHandler(context, keep_first_error, diag);
    return context;
}

tn_status object_verify(LLVMModuleRef module, tn_diag *diag) {
    char *message = NULL;
    bool broken = LLVMVerifyModule(module, LLVMReturnStatusAction, &message);
    tn_status status = broken ? target_fail(diag, TN_ERR_INTERNAL, "generated LLVM IR is wrong: %s", message) : TN_OK;
    LLVMDisposeMessage(message);
    return status;
}

static tn_status run_passes(LLVMModuleRef module, const char *passes, LLVMTargetMachineRef tm, tn_diag *diag) {
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(module, passes, tm, options);
    LLVMDisposePassBuilderOptions(options);
    if (!error) return TN_OK;
    char *message = LLVMGetErrorMessage(error);
    target_fail(diag, TN_ERR_INTERNAL, "LLVM's passes failed: %s", message);
    LLVMDisposeErrorMessage(message);
    return TN_ERR_INTERNAL;
}

tn_status object_optimise(LLVMModuleRef module, LLVMTargetMachineRef tm, int level, tn_diag *diag) {
    const char *passes = pass_lists[level < 0 ? 0 : level >= LEVEL_COUNT ? LEVEL_COUNT - 1 : level];
    return passes ? run_passes(module, passes, tm, diag) : TN_OK;
}

tn_status object_drop_unused(LLVMModuleRef module, tn_diag *diag) {
    return run_passes(module, "globaldce", NULL, diag);
}

tn_status object_emit(LLVMModuleRef module, LLVMTargetMachineRef tm, object_form form, LLVMMemoryBufferRef *out,
                      tn_diag *diag) {
    *out = NULL;
    if (form == OBJECT_LLVM) {
        char *text = LLVMPrintModuleToString(module);
        *out = LLVMCreateMemoryBufferWithMemoryRangeCopy(text, strlen(text), "module.ll");
        LLVMDisposeMessage(text);
        return TN_OK;
    }
    char *message = NULL;
    LLVMCodeGenFileType type = form == OBJECT_ASSEMBLY ? LLVMAssemblyFile : LLVMObjectFile;
    if (!LLVMTargetMachineEmitToMemoryBuffer(tm, module, type, &message, out)) return TN_OK;
    target_fail(diag, TN_ERR_INTERNAL, "LLVM's code generation failed: %s", message ? message : "no reason given");
    LLVMDisposeMessage(message);
    return TN_ERR_INTERNAL;
}

void object_each_symbol(LLVMBinaryRef object, symbol_visit visit, void *user) {
    LLVMSymbolIteratorRef s = LLVMObjectFileCopySymbolIterator(object);
    LLVMSectionIteratorRef section = LLVMObjectFileCopySectionIterator(object);
    bool go_on = true;
    for (; go_on && !LLVMObjectFileIsSymbolIteratorAtEnd(object, s); LLVMMoveToNextSymbol(s)) {
        const char *name = LLVMGetSymbolName(s);
        if (!name || !name[0]) continue;
        LLVMMoveToContainingSection(section, s);
        bool is_defined = !LLVMObjectFileIsSectionIteratorAtEnd(object, section);
        go_on = visit(user, name, is_defined ? LLVMGetSectionName(section) : NULL, s);
    }
    LLVMDisposeSectionIterator(section);
    LLVMDisposeSymbolIterator(s);
}
