/* Debug information through LLVM's builder of it (see debug_info.h).
 *
 * The language is told as C, so that debuggers print values and take names as they do in the programs around.
 */
#include "compiler/codegen/debug_info.h"

#include <stdlib.h>
#include <string.h>

#include <llvm-c/DebugInfo.h>

#include "runtime/alloc.h"

enum { DWARF_VERSION = 4 }; /* what every debugger reads; of what 5 has more, nothing is made use of */

/* A file of the user's, as its name stands in locations. */
typedef struct source_file {
    const char *name;
    LLVMMetadataRef file; /* NULL: there is none of that name */
} source_file;

struct debug_info {
    LLVMDIBuilderRef builder;
    LLVMMetadataRef file, type; /* of all functions: that of one without parameters */
    unsigned pointer_bits;
    bool shows_sources, out_of_memory;
    source_file *sources;
    size_t n_sources, sources_capacity;
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

/* Of a whole path. */
static LLVMMetadataRef make_file(debug_info *d, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return LLVMDIBuilderCreateFile(d->builder, name, strlen(name), path, slash ? (size_t)(slash - path) : 0);
}

debug_info *debug_info_new(LLVMModuleRef module, unsigned pointer_bits, const char *path, bool shows_sources) {
    static const char producer[] = "Tenon";
    debug_info *d = tn_calloc(1, sizeof *d);
    if (!d) return NULL;
    mark_module(module);
    d->shows_sources = shows_sources;
    d->pointer_bits = pointer_bits;
    d->builder = LLVMCreateDIBuilder(module);
    d->file = make_file(d, path);
    LLVMDIBuilderCreateCompileUnit(d->builder, LLVMDWARFSourceLanguageC99, d->file, producer, sizeof producer - 1, true,
                                   "", 0, 0, "", 0, LLVMDWARFEmissionFull, 0, false, false, "", 0, "", 0);
    LLVMMetadataRef nothing = NULL; /* is returned */
    d->type = LLVMDIBuilderCreateSubroutineType(d->builder, d->file, &nothing, 1, LLVMDIFlagZero);
    return d;
}

bool debug_info_end(debug_info *d) {
    if (!d) return true;
    bool ok = !d->out_of_memory;
    LLVMDIBuilderFinalize(d->builder);
    LLVMDisposeDIBuilder(d->builder);
    tn_free(d->sources);
    tn_free(d);
    return ok;
}

/* ---- Places ---- */

/* NULL: it is not there, and the text has to do. */
static LLVMMetadataRef find_source(debug_info *d, const char *name) {
    for (size_t i = 0; i < d->n_sources; i++)
        if (strcmp(d->sources[i].name, name) == 0) return d->sources[i].file;
    if (!array_reserve((void **)&d->sources, &d->sources_capacity, d->n_sources + 1, sizeof *d->sources)) {
        d->out_of_memory = true;
        return NULL;
    }
    char *path = realpath(name, NULL);
    source_file source = {name, path ? make_file(d, path) : NULL};
    free(path);
    d->sources[d->n_sources++] = source;
    return source.file;
}

/* Its file; *line: the line there. */
static LLVMMetadataRef resolve(debug_info *d, debug_place place, unsigned *line) {
    tn_location items[LOCATION_MAX];
    size_t n = d->shows_sources ? location_items(place.module, place.where, LOCATION_MAX, items) : 0;
    for (size_t i = 0; i < n && i < LOCATION_MAX; i++) {
        LLVMMetadataRef file = items[i].file && items[i].line > 0 ? find_source(d, items[i].file) : NULL;
        if (!file) continue;
        *line = (unsigned)items[i].line;
        return file;
    }
    *line = place.line;
    return d->file;
}

/* Without the symbol's name, which gdb would take in place of `name`. */
LLVMMetadataRef debug_function(debug_info *d, LLVMValueRef function, const char *name, debug_place place) {
    unsigned line;
    if (!d || !place.line) return NULL;
    LLVMMetadataRef file = resolve(d, place, &line);
    bool is_local = LLVMGetLinkage(function) == LLVMInternalLinkage;
    LLVMMetadataRef f = LLVMDIBuilderCreateFunction(d->builder, file, name, strlen(name), "", 0, file, line, d->type,
                                                    is_local, true, line, LLVMDIFlagZero, true);
    LLVMDIBuilderFinalizeSubprogram(d->builder, f); /* it may be looked at before all are emitted */
    LLVMSetSubprogram(function, f);
    return f;
}

void debug_line(debug_info *d, LLVMBuilderRef b, LLVMMetadataRef function, debug_place place) {
    unsigned line;
    if (!function || !place.line) return;
    LLVMMetadataRef file = resolve(d, place, &line), scope = function;
    if (file != LLVMDIScopeGetFile(function))
        scope = LLVMDIBuilderCreateLexicalBlockFile(d->builder, function, file, 0);
    LLVMContextRef context = LLVMGetBuilderContext(b);
    LLVMSetCurrentDebugLocation2(b, LLVMDIBuilderCreateDebugLocation(context, line, 0, scope, NULL));
}

/* ---- Types ---- */

/* DW_ATE_* (DWARF 4, 7.8). */
enum { ENCODING_BOOL = 2, ENCODING_FLOAT = 4, ENCODING_SIGNED = 5, ENCODING_UNSIGNED = 7 };

static LLVMMetadataRef basic_type(debug_info *d, const char *name, unsigned bits, unsigned encoding) {
    return LLVMDIBuilderCreateBasicType(d->builder, name, strlen(name), bits, encoding, LLVMDIFlagZero);
}

static LLVMMetadataRef element_type(debug_info *d, tn_dtype dtype) {
    static const unsigned encodings[] = {
#define BOOL ENCODING_BOOL
#define SINT ENCODING_SIGNED
#define UINT ENCODING_UNSIGNED
#define FLOAT ENCODING_FLOAT
#define DTYPE(ENUM, name, bits, kind, storage) [TN_##ENUM] = kind,
#include "runtime/dtypes.def"
#undef DTYPE
#undef FLOAT
#undef UINT
#undef SINT
#undef BOOL
    };
    /* Of floats of 16 bits debuggers know IEEE's alone. */
    unsigned encoding = dtype == TN_BF16 ? ENCODING_UNSIGNED : encodings[dtype];
    return basic_type(d, tn_dtype_name(dtype), (unsigned)tn_dtype_bits(dtype), encoding);
}

/* Of a number; *bits: how many it has. NULL: it is none that debuggers are told. */
static LLVMMetadataRef number_type(debug_info *d, LLVMTypeRef type, unsigned *bits) {
    tn_dtype dtype;
    switch (LLVMGetTypeKind(type)) {
    case LLVMFloatTypeKind: dtype = TN_F32; break;
    case LLVMDoubleTypeKind: dtype = TN_F64; break;
    case LLVMHalfTypeKind: dtype = TN_F16; break;
    case LLVMIntegerTypeKind:
        switch (LLVMGetIntTypeWidth(type)) {
        case 8: dtype = TN_I8; break;
        case 16: dtype = TN_I16; break;
        case 32: dtype = TN_I32; break;
        case 64: dtype = TN_I64; break;
        default: return NULL;
        }
        break;
    default: return NULL;
    }
    *bits = (unsigned)tn_dtype_bits(dtype);
    return element_type(d, dtype);
}

static LLVMMetadataRef value_type(debug_info *d, LLVMTypeRef type) {
    unsigned bits;
    if (LLVMGetTypeKind(type) == LLVMPointerTypeKind)
        return LLVMDIBuilderCreatePointerType(d->builder, NULL, d->pointer_bits, 0, 0, "", 0);
    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind) return number_type(d, type, &bits);
    LLVMMetadataRef lane = number_type(d, LLVMGetElementType(type), &bits);
    unsigned lanes = LLVMGetVectorSize(type);
    if (!lane) return NULL;
    LLVMMetadataRef range = LLVMDIBuilderGetOrCreateSubrange(d->builder, 0, lanes);
    return LLVMDIBuilderCreateVectorType(d->builder, (uint64_t)lanes * bits, 0, lane, &range, 1);
}

/* ---- Values ---- */

static void name_value(debug_info *d, LLVMBuilderRef b, LLVMMetadataRef function, const char *name, unsigned parameter,
                       LLVMMetadataRef type, LLVMValueRef value) {
    size_t length = strlen(name);
    unsigned line = LLVMDISubprogramGetLine(function);
    LLVMMetadataRef variable = parameter
                                   ? LLVMDIBuilderCreateParameterVariable(d->builder, function, name, length, parameter,
                                                                          d->file, line, type, false, LLVMDIFlagZero)
                                   : LLVMDIBuilderCreateAutoVariable(d->builder, function, name, length, d->file, line,
                                                                     type, false, LLVMDIFlagZero, 0);
    LLVMMetadataRef as_it_is = LLVMDIBuilderCreateExpression(d->builder, NULL, 0);
    LLVMMetadataRef place = LLVMDIBuilderCreateDebugLocation(LLVMGetBuilderContext(b), line, 0, function, NULL);
    LLVMValueRef end = LLVMGetBasicBlockTerminator(LLVMGetInsertBlock(b));
    if (end)
        LLVMDIBuilderInsertDbgValueRecordBefore(d->builder, value, variable, as_it_is, place, end);
    else
        LLVMDIBuilderInsertDbgValueRecordAtEnd(d->builder, value, variable, as_it_is, place, LLVMGetInsertBlock(b));
}

void debug_value(debug_info *d, LLVMBuilderRef b, LLVMMetadataRef function, const char *name, unsigned parameter,
                 LLVMValueRef value) {
    LLVMMetadataRef type = function ? value_type(d, LLVMTypeOf(value)) : NULL;
    if (type) name_value(d, b, function, name, parameter, type, value);
}

void debug_elements(debug_info *d, LLVMBuilderRef b, LLVMMetadataRef function, const char *name, tn_dtype dtype,
                    LLVMValueRef address) {
    if (!function) return;
    LLVMMetadataRef type =
        LLVMDIBuilderCreatePointerType(d->builder, element_type(d, dtype), d->pointer_bits, 0, 0, "", 0);
    name_value(d, b, function, name, 0, type, address);
}
