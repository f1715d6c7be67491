/* The entries of an object to LLVM IR: what they share, messages, first states (see aot_entry.h). */
#include "compiler/codegen/aot_state.h"

#include <stdio.h>
#include <string.h>

#include <llvm-c/Object.h>
#include <llvm-c/Target.h>

#include "compiler/codegen/codegen_aot.h"
#include "compiler/codegen/emit_copy.h"
#include "compiler/codegen/object.h"
#include "runtime/alloc.h"

/* ---- Small things ---- */

LLVMValueRef aot_i64(const aot_emitter *a, uint64_t value) { return LLVMConstInt(a->i64, value, false); }
LLVMValueRef aot_i32(const aot_emitter *a, int32_t value) {
    return LLVMConstInt(a->i32, (unsigned long long)value, true);
}

LLVMBasicBlockRef aot_block_new(aot_emitter *a, const char *name) {
    return LLVMAppendBasicBlockInContext(a->context, a->function, name);
}

LLVMValueRef aot_function(aot_emitter *a, const char *suffix, LLVMTypeRef type) {
    char symbol[512];
    snprintf(symbol, sizeof symbol, "%s_%s", a->entry->name, suffix);
    a->function = LLVMAddFunction(a->module, symbol, type);
    target_mark_function(a->target, a->function);
    LLVMPositionBuilderAtEnd(a->b, aot_block_new(a, "start"));
    return a->function;
}

LLVMValueRef aot_at(aot_emitter *a, LLVMValueRef base, LLVMValueRef bytes) {
    return LLVMBuildGEP2(a->b, a->i8, base, &bytes, 1, "");
}

LLVMValueRef aot_load(aot_emitter *a, LLVMTypeRef type, LLVMValueRef base, uint64_t offset) {
    return LLVMBuildLoad2(a->b, type, aot_at(a, base, aot_i64(a, offset)), "");
}

void aot_store(aot_emitter *a, LLVMValueRef value, LLVMValueRef base, uint64_t offset) {
    LLVMBuildStore(a->b, value, aot_at(a, base, aot_i64(a, offset)));
}

/* A constant of the object's own. */
static LLVMValueRef add_constant(aot_emitter *a, const char *name, LLVMValueRef value) {
    LLVMValueRef constant = LLVMAddGlobal(a->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(constant, value);
    LLVMSetGlobalConstant(constant, true);
    LLVMSetLinkage(constant, LLVMPrivateLinkage);
    return constant;
}

LLVMValueRef aot_table(aot_emitter *a, const char *name, LLVMTypeRef type, LLVMValueRef *items, size_t n) {
    return add_constant(a, name, LLVMConstArray2(type, items, n));
}

void aot_require(aot_emitter *a, LLVMValueRef condition, int32_t code) {
    LLVMBasicBlockRef holds = aot_block_new(a, "holds"), fails = aot_block_new(a, "fails");
    LLVMBuildCondBr(a->b, condition, holds, fails);
    LLVMPositionBuilderAtEnd(a->b, fails);
    LLVMBuildRet(a->b, aot_i32(a, code));
    LLVMPositionBuilderAtEnd(a->b, holds);
}

aot_loop aot_loop_open(aot_emitter *a, LLVMValueRef n) {
    aot_loop loop = {.before = LLVMGetInsertBlock(a->b), .body = aot_block_new(a, "body"), .n = n};
    LLVMBuildBr(a->b, loop.body);
    LLVMPositionBuilderAtEnd(a->b, loop.body);
    loop.i = LLVMBuildPhi(a->b, a->i64, "i");
    return loop;
}

void aot_loop_close(aot_emitter *a, aot_loop *loop) {
    LLVMValueRef next = LLVMBuildAdd(a->b, loop->i, aot_i64(a, 1), ""), zero = aot_i64(a, 0);
    LLVMBasicBlockRef end = LLVMGetInsertBlock(a->b), after = aot_block_new(a, "after");
    LLVMBuildCondBr(a->b, LLVMBuildICmp(a->b, LLVMIntULT, next, loop->n, ""), loop->body, after);
    LLVMAddIncoming(loop->i, (LLVMValueRef[]){zero, next}, (LLVMBasicBlockRef[]){loop->before, end}, 2);
    LLVMPositionBuilderAtEnd(a->b, after);
}

LLVMValueRef aot_is_aligned(aot_emitter *a, LLVMValueRef pointer, unsigned bytes) {
    LLVMValueRef address = LLVMBuildPtrToInt(a->b, pointer, a->i64, "");
    LLVMValueRef rest = LLVMBuildAnd(a->b, address, aot_i64(a, bytes - 1), "");
    return LLVMBuildICmp(a->b, LLVMIntEQ, rest, aot_i64(a, 0), "");
}

/* ---- Messages ---- */

/* const char *NAME_message(int code): the numbers behind a code's kind are those of texts, which stand one after the
 * other; any other number is that of the last one. */
static bool emit_message(aot_emitter *a) {
    const aot_entry *e = a->entry;
    LLVMValueRef *starts = tn_calloc(e->n_messages, sizeof *starts);
    size_t bytes = 0;
    for (size_t i = 0; i < e->n_messages; i++) bytes += strlen(e->messages[i]) + 1;
    char *all = tn_malloc(bytes);
    if (starts && all) {
        size_t at = 0;
        for (size_t i = 0; i < e->n_messages; i++) {
            starts[i] = aot_i32(a, (int32_t)at);
            size_t length = strlen(e->messages[i]) + 1;
            memcpy(all + at, e->messages[i], length);
            at += length;
        }
        aot_function(a, "message", LLVMFunctionType(a->pointer, &a->i32, 1, false));
        LLVMValueRef texts = add_constant(a, "messages", LLVMConstStringInContext2(a->context, all, bytes, true));
        LLVMValueRef table = aot_table(a, "message_starts", a->i32, starts, e->n_messages);
        LLVMValueRef number = LLVMBuildLShr(a->b, LLVMGetParam(a->function, 0), aot_i32(a, AOT_KIND_BITS), "");
        LLVMValueRef last = aot_i32(a, (int32_t)e->n_messages - 1);
        number = LLVMBuildSelect(a->b, LLVMBuildICmp(a->b, LLVMIntULT, number, last, ""), number, last, "");
        number = LLVMBuildZExt(a->b, number, a->i64, "");
        LLVMValueRef at_number = LLVMBuildGEP2(a->b, a->i32, table, &number, 1, "");
        LLVMValueRef start = LLVMBuildZExt(a->b, LLVMBuildLoad2(a->b, a->i32, at_number, ""), a->i64, "");
        LLVMBuildRet(a->b, aot_at(a, texts, start));
    }
    tn_free(starts);
    tn_free(all);
    return starts && all;
}

/* ---- Weights, and first states ---- */

static const char weights_section[] = ".rodata.tenon_weights";

/* LLVM's C interface tells sections of ELF. */
static bool has_room(const target *t, const aot_block *block) {
    return block->is_for_object && t->architecture != ARCHITECTURE_WASM;
}

static bool is_weights_section(LLVMSectionIteratorRef s) {
    const char *name = LLVMGetSectionName(s); /* NULL: the first has none */
    return name && strcmp(name, weights_section) == 0;
}

bool aot_fill_weights(const target *t, const aot_block *block, void *object, size_t bytes, tn_diag *diag) {
    if (block->is_in_file || block->bytes == 0 || !has_room(t, block)) return true;
    char *message = NULL;
    LLVMMemoryBufferRef view = LLVMCreateMemoryBufferWithMemoryRange(object, bytes, "object", false);
    LLVMBinaryRef binary = LLVMCreateBinary(view, NULL, &message);
    LLVMSectionIteratorRef s = binary ? LLVMObjectFileCopySectionIterator(binary) : NULL;
    while (s && !LLVMObjectFileIsSectionIteratorAtEnd(binary, s) && !is_weights_section(s)) LLVMMoveToNextSection(s);
    bool ok = s && !LLVMObjectFileIsSectionIteratorAtEnd(binary, s) && LLVMGetSectionSize(s) == block->bytes;
    if (ok) memcpy((char *)object + (LLVMGetSectionContents(s) - (const char *)object), block->data, block->bytes);
    if (s) LLVMDisposeSectionIterator(s);
    if (binary) LLVMDisposeBinary(binary);
    LLVMDisposeMemoryBuffer(view);
    LLVMDisposeMessage(message);
    return ok || target_fail(diag, TN_ERR_INTERNAL, "the object has no room for its weights") == TN_OK;
}

/* Through LLVM, a byte of data takes several in memory: an object gets room, which aot_fill_weights fills. */
static void add_block(aot_emitter *a) {
    const aot_block *block = &a->entry->block;
    enum { BLOCK_ALIGNMENT = 64 };
    if (block->is_in_file || block->bytes == 0) return;
    bool is_room = has_room(a->target, block);
    LLVMValueRef data = is_room ? LLVMConstNull(LLVMArrayType2(a->i8, block->bytes))
                                : LLVMConstStringInContext2(a->context, block->data, block->bytes, true);
    a->block = add_constant(a, "weights", data);
    if (is_room) LLVMSetSection(a->block, weights_section);
    LLVMSetExternallyInitialized(a->block, is_room); /* what is read there is not zero */
    LLVMSetAlignment(a->block, BLOCK_ALIGNMENT);
}

LLVMValueRef aot_weights(aot_emitter *a, LLVMValueRef bound) {
    if (a->block) return a->block;
    return bound ? aot_load(a, a->pointer, bound, (uint64_t)AOT_BOUND_WEIGHTS * a->pointer_bytes)
                 : LLVMConstNull(a->pointer);
}

/* void NAME_init([bound,] state) */
void aot_emit_init(aot_emitter *a) {
    const aot_entry *e = a->entry;
    LLVMTypeRef types[] = {a->pointer, a->pointer};
    unsigned n = e->block.is_in_file ? 2 : 1;
    LLVMValueRef f = aot_function(a, "init", LLVMFunctionType(a->empty, types, n, false));
    LLVMValueRef state = LLVMGetParam(f, n - 1), from = aot_weights(a, n == 2 ? LLVMGetParam(f, 0) : NULL);
    for (size_t i = 0; i < e->n_initial; i++) {
        const aot_initial *part = &e->initial[i];
        emit_copy_bytes(a->b, a->target, aot_at(a, state, aot_i64(a, part->state_offset)),
                        aot_at(a, from, aot_i64(a, part->block_offset)), aot_i64(a, part->bytes), 1);
    }
    LLVMBuildRetVoid(a->b);
}

/* ---- All of them ---- */

/* Nothing outside calls what a version consists of. */
static void hide_versions(aot_emitter *a) {
    static const char *const entries[] = {"bind", "run"};
    for (size_t v = 0; v < a->entry->n_versions; v++)
        for (size_t i = 0; i < 2; i++) {
            char name[600];
            snprintf(name, sizeof name, "%s%s", a->entry->versions[v].prefix, entries[i]);
            LLVMSetLinkage(LLVMGetNamedFunction(a->module, name), LLVMInternalLinkage);
        }
}

bool aot_emit(LLVMModuleRef module, LLVMTargetMachineRef machine, const target *t, const aot_entry *entry,
              tn_diag *diag) {
    LLVMContextRef context = LLVMGetModuleContext(module);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    aot_emitter a = {
        .entry = entry,
        .target = t,
        .context = context,
        .module = module,
        .b = LLVMCreateBuilderInContext(context),
        .i8 = LLVMInt8TypeInContext(context),
        .i32 = LLVMInt32TypeInContext(context),
        .i64 = LLVMInt64TypeInContext(context),
        .pointer = LLVMPointerTypeInContext(context, 0),
        .empty = LLVMVoidTypeInContext(context),
        .pointer_bytes = LLVMPointerSize(layout),
        .has_bound = entry->block.is_in_file || entry->n_versions > 1,
    };
    LLVMDisposeTargetData(layout);
    add_block(&a);
    bool ok = aot_emit_run(&a, diag);
    if (ok && a.has_bound) aot_emit_bind(&a);
    if (ok && entry->n_initial > 0) aot_emit_init(&a);
    if (ok && !emit_message(&a)) ok = target_fail(diag, TN_ERR_MEMORY, "out of memory") == TN_OK;
    hide_versions(&a);
    ok = ok && object_drop_unused(module, diag) == TN_OK;
    LLVMDisposeBuilder(a.b);
    return ok;
}
