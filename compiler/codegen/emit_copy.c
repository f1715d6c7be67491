/* Copies of whole arrays (see emit_copy.h). */
#include "compiler/codegen/emit_copy.h"

#include "compiler/codegen/builder_place.h"

enum { WORD_BYTES = 4 };

typedef struct copier {
    LLVMBuilderRef b;
    LLVMContextRef context;
    LLVMValueRef function, to, from;
    LLVMTypeRef size; /* an integer as wide as a pointer */
} copier;

static LLVMValueRef at(const copier *c, LLVMValueRef base, LLVMValueRef offset) {
    return LLVMBuildGEP2(c->b, LLVMInt8TypeInContext(c->context), base, &offset, 1, "");
}

/* From `begin` on, as long as a whole item is left before `end`; returns where that ends. */
static LLVMValueRef copy_items(const copier *c, LLVMValueRef begin, LLVMValueRef end, unsigned item_bytes) {
    LLVMBasicBlockRef before = LLVMGetInsertBlock(c->b),
                      head = LLVMAppendBasicBlockInContext(c->context, c->function, "head"),
                      body = LLVMAppendBasicBlockInContext(c->context, c->function, "body"),
                      done = LLVMAppendBasicBlockInContext(c->context, c->function, "done");
    LLVMTypeRef item = LLVMIntTypeInContext(c->context, 8 * item_bytes);
    LLVMBuildBr(c->b, head);
    LLVMPositionBuilderAtEnd(c->b, head);
    LLVMValueRef i = LLVMBuildPhi(c->b, c->size, "i"), one = LLVMConstInt(c->size, item_bytes, false);
    LLVMValueRef left = LLVMBuildSub(c->b, end, i, "");
    LLVMBuildCondBr(c->b, LLVMBuildICmp(c->b, LLVMIntUGE, left, one, ""), body, done);
    LLVMPositionBuilderAtEnd(c->b, body);
    LLVMValueRef loaded = LLVMBuildLoad2(c->b, item, at(c, c->from, i), "");
    LLVMSetAlignment(loaded, 1);
    LLVMSetAlignment(LLVMBuildStore(c->b, loaded, at(c, c->to, i)), 1);
    LLVMValueRef next = LLVMBuildAdd(c->b, i, one, "");
    LLVMBuildBr(c->b, head);
    LLVMAddIncoming(i, (LLVMValueRef[]){begin, next}, (LLVMBasicBlockRef[]){before, body}, 2);
    LLVMPositionBuilderAtEnd(c->b, done);
    return i;
}

/* void tenon.copy(to, from, bytes): by words, wherever they lie, then by bytes. Made by the first who asks. */
static LLVMValueRef copy_function(LLVMBuilderRef b, const target *t, LLVMModuleRef module, LLVMTypeRef size) {
    static const char name[] = "tenon.copy";
    LLVMValueRef f = LLVMGetNamedFunction(module, name);
    if (f) return f;
    LLVMContextRef context = LLVMGetModuleContext(module);
    LLVMTypeRef pointer = LLVMPointerTypeInContext(context, 0);
    f = LLVMAddFunction(
        module, name,
        LLVMFunctionType(LLVMVoidTypeInContext(context), (LLVMTypeRef[]){pointer, pointer, size}, 3, false));
    LLVMSetLinkage(f, LLVMInternalLinkage);
    target_mark_function(t, f);
    builder_place here = builder_leave(b);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(context, f, "start"));
    copier c = {b, context, f, LLVMGetParam(f, 0), LLVMGetParam(f, 1), size};
    LLVMValueRef words = copy_items(&c, LLVMConstNull(size), LLVMGetParam(f, 2), WORD_BYTES);
    copy_items(&c, words, LLVMGetParam(f, 2), 1);
    LLVMBuildRetVoid(b);
    builder_return(b, here);
    return f;
}

void emit_copy_bytes(LLVMBuilderRef b, const target *t, LLVMValueRef to, LLVMValueRef from, LLVMValueRef bytes,
                     unsigned alignment) {
    LLVMModuleRef module = LLVMGetGlobalParent(LLVMGetBasicBlockParent(LLVMGetInsertBlock(b)));
    LLVMTypeRef size = LLVMIntTypeInContext(LLVMGetModuleContext(module), (unsigned)t->pointer_bits);
    if (t->pointer_bits < 64) bytes = LLVMBuildTrunc(b, bytes, size, "");
    if (!t->is_freestanding) {
        LLVMBuildMemCpy(b, to, alignment, from, alignment, bytes);
        return;
    }
    LLVMValueRef f = copy_function(b, t, module, size), arguments[] = {to, from, bytes};
    LLVMBuildCall2(b, LLVMGlobalGetValueType(f), f, arguments, 3, "");
}
