/* Division of 64-bit integers for machines that have none (see object_divide.h).
 *
 * in:  a module for a 32-bit ARM
 * out: __aeabi_uldivmod and __aeabi_ldivmod as internal functions, which the calls that LLVM makes for divisions then
 *      refer to (Run-time ABI for the Arm Architecture, 4.3.1: quotient in r0 and r1, remainder in r2 and r3, as LLVM
 *      returns a struct of both)
 * law: x / 0 is something, and traps nowhere
 */
#include "compiler/codegen/object_divide.h"

#include <string.h>

typedef struct divider {
    LLVMBuilderRef b;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMValueRef function;
    LLVMTypeRef i1, i32, i64, pair;
} divider;

static LLVMValueRef number(const divider *d, uint64_t value) { return LLVMConstInt(d->i64, value, false); }

static LLVMBasicBlockRef block(const divider *d, const char *name) {
    return LLVMAppendBasicBlockInContext(d->context, d->function, name);
}

static LLVMValueRef leading_zeros(const divider *d, LLVMValueRef x) {
    unsigned id = LLVMLookupIntrinsicID("llvm.ctlz", strlen("llvm.ctlz"));
    LLVMTypeRef types[] = {d->i64};
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(d->module, id, types, 1),
                 arguments[] = {x, LLVMConstInt(d->i1, 0, false)};
    return LLVMBuildCall2(d->b, LLVMIntrinsicGetType(d->context, id, types, 1), f, arguments, 2, "");
}

static void return_pair(const divider *d, LLVMValueRef quotient, LLVMValueRef rest) {
    LLVMValueRef p = LLVMBuildInsertValue(d->b, LLVMGetPoison(d->pair), quotient, 0, "");
    LLVMBuildRet(d->b, LLVMBuildInsertValue(d->b, p, rest, 1, ""));
}

static LLVMValueRef open_function(divider *d, const target *t, const char *name) {
    LLVMTypeRef type = LLVMFunctionType(d->pair, (LLVMTypeRef[]){d->i64, d->i64}, 2, false);
    d->function = LLVMAddFunction(d->module, name, type);
    LLVMSetLinkage(d->function, LLVMInternalLinkage);
    target_mark_function(t, d->function);
    LLVMPositionBuilderAtEnd(d->b, block(d, "start"));
    return d->function;
}

/* By the machine's own division when both fit in 32 bits, else bit by bit from the first that can be set. */
static LLVMValueRef define_unsigned(divider *d, const target *t) {
    LLVMValueRef f = open_function(d, t, "__aeabi_uldivmod"), x = LLVMGetParam(f, 0), y = LLVMGetParam(f, 1);
    LLVMBasicBlockRef narrow = block(d, "narrow"), wide = block(d, "wide"), some = block(d, "some"),
                      none = block(d, "none"), step = block(d, "step"), done = block(d, "done");
    LLVMValueRef high = LLVMBuildLShr(d->b, LLVMBuildOr(d->b, x, y, ""), number(d, 32), "");
    LLVMBuildCondBr(d->b, LLVMBuildICmp(d->b, LLVMIntEQ, high, number(d, 0), ""), narrow, wide);

    LLVMPositionBuilderAtEnd(d->b, narrow);
    LLVMValueRef x32 = LLVMBuildTrunc(d->b, x, d->i32, ""), y32 = LLVMBuildTrunc(d->b, y, d->i32, ""),
                 one32 = LLVMConstInt(d->i32, 1, false), zero32 = LLVMConstInt(d->i32, 0, false);
    y32 = LLVMBuildSelect(d->b, LLVMBuildICmp(d->b, LLVMIntEQ, y32, zero32, ""), one32, y32, "");
    LLVMValueRef q32 = LLVMBuildUDiv(d->b, x32, y32, ""),
                 r32 = LLVMBuildSub(d->b, x32, LLVMBuildMul(d->b, q32, y32, ""), "");
    return_pair(d, LLVMBuildZExt(d->b, q32, d->i64, ""), LLVMBuildZExt(d->b, r32, d->i64, ""));

    LLVMPositionBuilderAtEnd(d->b, wide);
    LLVMValueRef shift = LLVMBuildSub(d->b, leading_zeros(d, y), leading_zeros(d, x), "");
    LLVMValueRef is_less = LLVMBuildICmp(d->b, LLVMIntULT, x, y, ""),
                 is_zero = LLVMBuildICmp(d->b, LLVMIntEQ, y, number(d, 0), "");
    LLVMBuildCondBr(d->b, LLVMBuildOr(d->b, is_less, is_zero, ""), none, some);
    LLVMPositionBuilderAtEnd(d->b, none);
    return_pair(d, number(d, 0), x);
    LLVMPositionBuilderAtEnd(d->b, some);
    LLVMValueRef first = LLVMBuildShl(d->b, y, shift, "");
    LLVMBuildBr(d->b, step);

    LLVMPositionBuilderAtEnd(d->b, step);
    LLVMValueRef left = LLVMBuildPhi(d->b, d->i64, "left"), quotient = LLVMBuildPhi(d->b, d->i64, "quotient"),
                 rest = LLVMBuildPhi(d->b, d->i64, "rest"), part = LLVMBuildPhi(d->b, d->i64, "part");
    LLVMValueRef fits = LLVMBuildICmp(d->b, LLVMIntUGE, rest, part, ""),
                 less = LLVMBuildSelect(d->b, fits, LLVMBuildSub(d->b, rest, part, ""), rest, ""),
                 doubled = LLVMBuildShl(d->b, quotient, number(d, 1), ""),
                 more = LLVMBuildOr(d->b, doubled, LLVMBuildZExt(d->b, fits, d->i64, ""), ""),
                 half = LLVMBuildLShr(d->b, part, number(d, 1), ""), next = LLVMBuildSub(d->b, left, number(d, 1), "");
    LLVMBuildCondBr(d->b, LLVMBuildICmp(d->b, LLVMIntEQ, left, number(d, 0), ""), done, step);
    LLVMBasicBlockRef from[] = {some, step};
    LLVMAddIncoming(left, (LLVMValueRef[]){shift, next}, from, 2);
    LLVMAddIncoming(quotient, (LLVMValueRef[]){number(d, 0), more}, from, 2);
    LLVMAddIncoming(rest, (LLVMValueRef[]){x, less}, from, 2);
    LLVMAddIncoming(part, (LLVMValueRef[]){first, half}, from, 2);
    LLVMPositionBuilderAtEnd(d->b, done);
    return_pair(d, more, less);
    return f;
}

static LLVMValueRef negate_if(const divider *d, LLVMValueRef condition, LLVMValueRef x) {
    return LLVMBuildSelect(d->b, condition, LLVMBuildNeg(d->b, x, ""), x, "");
}

/* Of the magnitudes; the rest has the sign of x. */
static void define_signed(divider *d, const target *t, LLVMValueRef divide) {
    LLVMValueRef f = open_function(d, t, "__aeabi_ldivmod"), x = LLVMGetParam(f, 0), y = LLVMGetParam(f, 1);
    LLVMValueRef x_negative = LLVMBuildICmp(d->b, LLVMIntSLT, x, number(d, 0), ""),
                 y_negative = LLVMBuildICmp(d->b, LLVMIntSLT, y, number(d, 0), "");
    LLVMValueRef arguments[] = {negate_if(d, x_negative, x), negate_if(d, y_negative, y)};
    LLVMValueRef p = LLVMBuildCall2(d->b, LLVMGlobalGetValueType(divide), divide, arguments, 2, "");
    LLVMValueRef differ = LLVMBuildXor(d->b, x_negative, y_negative, "");
    return_pair(d, negate_if(d, differ, LLVMBuildExtractValue(d->b, p, 0, "")),
                negate_if(d, x_negative, LLVMBuildExtractValue(d->b, p, 1, "")));
}

/* ---- Who divides ---- */

static bool is_wide_division(LLVMValueRef instruction) {
    LLVMOpcode op = LLVMGetInstructionOpcode(instruction);
    if (op != LLVMUDiv && op != LLVMSDiv && op != LLVMURem && op != LLVMSRem) return false;
    LLVMTypeRef type = LLVMTypeOf(instruction);
    if (LLVMGetTypeKind(type) == LLVMVectorTypeKind) type = LLVMGetElementType(type);
    return LLVMGetIntTypeWidth(type) == 64;
}

static bool divides(LLVMModuleRef module) {
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f))
        for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b))
            for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i))
                if (is_wide_division(i)) return true;
    return false;
}

void object_define_divisions(LLVMModuleRef module, const target *t) {
    if (t->architecture != ARCHITECTURE_ARM || !divides(module)) return;
    LLVMContextRef context = LLVMGetModuleContext(module);
    divider d = {.b = LLVMCreateBuilderInContext(context),
                 .context = context,
                 .module = module,
                 .i1 = LLVMInt1TypeInContext(context),
                 .i32 = LLVMInt32TypeInContext(context),
                 .i64 = LLVMInt64TypeInContext(context)};
    d.pair = LLVMStructTypeInContext(context, (LLVMTypeRef[]){d.i64, d.i64}, 2, false);
    define_signed(&d, t, define_unsigned(&d, t));
    LLVMDisposeBuilder(d.b);
}
