/* Debug information through LLVM's builder of it (see debug_info.h).
 *
 * The language is told as C, so that debuggers print values and take names as they do in the programs around.
 */
#include "compiler/codegen/debug_info.h"

#include <string.h>

#include <llvm-c/DebugInfo.h>

#include "runtime/alloc.h"

enum { DWARF_VERSION = 4 }; /* what every debugger reads; of what 5 has more, nothing is made use of */

struct debug_info {
    LLVMDIBuilderRef builder;
    LLVMMetadataRef file, type; /* of all functions: that of one without parameters */
};

/* The module's, once. */
static void mark_module(LLVMModuleRef module) {
    static const char dwarf[] = "Dwarf Version", metadata[] = "Debug Info Version";
    LLVMTypeRef i32 = LLVMInt32TypeInContext(LLVMGetModuleContext(module));
    if (LLVMGetModuleFlag(module, metadata, sizeof metadata - 1)) return;
    LLVMAddModuleFlag(module, LLVMModuleFlagBehaviorWarning, dwarf, sizeof dwarf - 1,
                      LLVMValueAsMetadata(LLVMConstInt(i32, DWARF_VERSION, false)));
    LLVMAddModuleFlag(module, LLVMModuleFlagBehaviorWarning, metadata, sizeof metadata - 1,
                      LLVMValueAsMetadata(LLVMConstInt(i32, LLVMDebugMetadataVersion(), false)));
}

debug_info *debug_info_new(LLVMModuleRef module, const char *path) {
    static const char producer[] = "Tenon";
    debug_info *d = tn_calloc(1, sizeof *d);
    if (!d) return NULL;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    mark_module(module);
    d->builder = LLVMCreateDIBuilder(module);
    d->file = LLVMDIBuilderCreateFile(d->builder, name, strlen(name), path, slash ? (size_t)(slash - path) : 0);
    LLVMDIBuilderCreateCompileUnit(d->builder, LLVMDWARFSourceLanguageC99, d->file, producer, sizeof producer - 1, true,
                                   "", 0, 0, "", 0, LLVMDWARFEmissionFull, 0, false, false, "", 0, "", 0);
    LLVMMetadataRef nothing = NULL; /* is returned */
    d->type = LLVMDIBuilderCreateSubroutineType(d->builder, d->file, &nothing, 1, LLVMDIFlagZero);
    return d;
}

void debug_info_end(debug_info *d) {
    if (!d) return;
    LLVMDIBuilderFinalize(d->builder);
    LLVMDisposeDIBuilder(d->builder);
    tn_free(d);
}

/* Without the symbol's name, which gdb would take in place of `name`. */
LLVMMetadataRef debug_function(debug_info *d, LLVMValueRef function, const char *name, uint32_t line) {
    if (!d || !line) return NULL;
    bool is_local = LLVMGetLinkage(function) == LLVMInternalLinkage;
    LLVMMetadataRef f = LLVMDIBuilderCreateFunction(d->builder, d->file, name, strlen(name), "", 0, d->file, line,
                                                    d->type, is_local, true, line, LLVMDIFlagZero, true);
    LLVMDIBuilderFinalizeSubprogram(d->builder, f); /* it may be looked at before all are emitted */
    LLVMSetSubprogram(function, f);
    return f;
}

void debug_line(LLVMBuilderRef b, LLVMMetadataRef function, uint32_t line) {
    if (!function || !line) return;
    LLVMContextRef context = LLVMGetBuilderContext(b);
    LLVMSetCurrentDebugLocation2(b, LLVMDIBuilderCreateDebugLocation(context, line, 0, function, NULL));
}
