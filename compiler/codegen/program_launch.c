/* Helpers that the functions of a program share: launching a stage, telling the kernel hooks,
 * recording a run-time error (see program_state.h). */
#include "compiler/codegen/program_state.h"

#include <stddef.h>

static LLVMBasicBlockRef new_block(program_emitter *p, LLVMValueRef function, const char *name) {
    return LLVMAppendBasicBlockInContext(p->context, function, name);
}

static LLVMValueRef is_null(program_emitter *p, LLVMValueRef pointer) { return LLVMBuildIsNull(p->b, pointer, ""); }

static LLVMValueRef hook(program_emitter *p, LLVMValueRef hooks, unsigned offset) {
    LLVMValueRef at = LLVMBuildGEP2(p->b, p->i8, hooks, (LLVMValueRef[]){program_i64(p, offset)}, 1, "");
    return LLVMBuildLoad2(p->b, p->pointer, at, "");
}

/* void launch(frame, stage, chunks, args): through hooks->parallel_for when there is one and
 * more than one chunk, else a loop in place. */
static void emit_launch(program_emitter *p) {
    p->launch_type = LLVMFunctionType(p->empty, (LLVMTypeRef[]){p->pointer, p->pointer, p->i64, p->pointer}, 4, false);
    LLVMValueRef f = p->launch = program_function(p, "launch", p->launch_type, true);
    LLVMValueRef frame = LLVMGetParam(f, 0), stage = LLVMGetParam(f, 1), n = LLVMGetParam(f, 2),
                 args = LLVMGetParam(f, 3);
    LLVMBasicBlockRef start = new_block(p, f, "start"), several = new_block(p, f, "several"),
                      hooked = new_block(p, f, "hooked"), parallel = new_block(p, f, "parallel"),
                      head = new_block(p, f, "head"), body = new_block(p, f, "body"), done = new_block(p, f, "done");
    LLVMTypeRef stage_type = emit_stage_type(p->context);
    LLVMTypeRef for_type =
        LLVMFunctionType(p->empty, (LLVMTypeRef[]){p->pointer, p->i64, p->pointer, p->pointer}, 4, false);

    LLVMPositionBuilderAtEnd(p->b, start);
    LLVMBuildCondBr(p->b, LLVMBuildICmp(p->b, LLVMIntSGT, n, program_i64(p, 1), ""), several, head);
    LLVMPositionBuilderAtEnd(p->b, several);
    LLVMValueRef hooks = program_frame_member(p, frame, offsetof(tn_frame, hooks), p->pointer);
    LLVMBuildCondBr(p->b, is_null(p, hooks), head, hooked);
    LLVMPositionBuilderAtEnd(p->b, hooked);
    LLVMValueRef parallel_for = hook(p, hooks, offsetof(tn_hooks, parallel_for));
    LLVMBuildCondBr(p->b, is_null(p, parallel_for), head, parallel);
    LLVMPositionBuilderAtEnd(p->b, parallel);
    LLVMValueRef ctx = hook(p, hooks, offsetof(tn_hooks, ctx));
    LLVMBuildCall2(p->b, for_type, parallel_for, (LLVMValueRef[]){ctx, n, stage, args}, 4, "");
    LLVMBuildRetVoid(p->b);

    LLVMPositionBuilderAtEnd(p->b, head);
    LLVMValueRef i = LLVMBuildPhi(p->b, p->i64, "i");
    LLVMBuildCondBr(p->b, LLVMBuildICmp(p->b, LLVMIntSLT, i, n, ""), body, done);
    LLVMPositionBuilderAtEnd(p->b, body);
    LLVMBuildCall2(p->b, stage_type, stage, (LLVMValueRef[]){args, i, LLVMConstInt(p->i32, 0, false)}, 3, "");
    LLVMValueRef next = LLVMBuildAdd(p->b, i, program_i64(p, 1), "");
    LLVMBuildBr(p->b, head);
    LLVMValueRef zero = program_i64(p, 0);
    LLVMAddIncoming(i, (LLVMValueRef[]){zero, zero, zero, next}, (LLVMBasicBlockRef[]){start, several, hooked, body},
                    4);
    LLVMPositionBuilderAtEnd(p->b, done);
    LLVMBuildRetVoid(p->b);
}

/* void mark(frame, offset of the hook, kernel): kernel_begin or kernel_end when there is one. */
static void emit_mark(program_emitter *p) {
    p->mark_type = LLVMFunctionType(p->empty, (LLVMTypeRef[]){p->pointer, p->i64, p->i32}, 3, false);
    LLVMValueRef f = p->mark = program_function(p, "mark", p->mark_type, true);
    LLVMValueRef frame = LLVMGetParam(f, 0), offset = LLVMGetParam(f, 1), kernel = LLVMGetParam(f, 2);
    LLVMBasicBlockRef start = new_block(p, f, "start"), hooked = new_block(p, f, "hooked"),
                      call = new_block(p, f, "call"), done = new_block(p, f, "done");
    LLVMPositionBuilderAtEnd(p->b, start);
    LLVMValueRef hooks = program_frame_member(p, frame, offsetof(tn_frame, hooks), p->pointer);
    LLVMBuildCondBr(p->b, is_null(p, hooks), done, hooked);
    LLVMPositionBuilderAtEnd(p->b, hooked);
    LLVMValueRef at = LLVMBuildGEP2(p->b, p->i8, hooks, &offset, 1, "");
    LLVMValueRef told = LLVMBuildLoad2(p->b, p->pointer, at, "");
    LLVMBuildCondBr(p->b, is_null(p, told), done, call);
    LLVMPositionBuilderAtEnd(p->b, call);
    LLVMTypeRef type = LLVMFunctionType(p->empty, (LLVMTypeRef[]){p->pointer, p->i32}, 2, false);
    LLVMBuildCall2(p->b, type, told, (LLVMValueRef[]){hook(p, hooks, offsetof(tn_hooks, ctx)), kernel}, 2, "");
    LLVMBuildBr(p->b, done);
    LLVMPositionBuilderAtEnd(p->b, done);
    LLVMBuildRetVoid(p->b);
}

/* void report(frame, site): worker 0's status word becomes that of the site's element 0, unless
 * it is less already. */
static void emit_report(program_emitter *p) {
    p->report_type = LLVMFunctionType(p->empty, (LLVMTypeRef[]){p->pointer, p->i64}, 2, false);
    LLVMValueRef f = p->report = program_function(p, "report", p->report_type, true);
    LLVMPositionBuilderAtEnd(p->b, new_block(p, f, "start"));
    LLVMValueRef word = LLVMBuildShl(p->b, LLVMGetParam(f, 1), program_i64(p, TN_STATUS_INDEX_BITS), "");
    LLVMValueRef status = program_frame_member(p, LLVMGetParam(f, 0), offsetof(tn_frame, status), p->pointer);
    LLVMValueRef old = LLVMBuildLoad2(p->b, p->i64, status, "");
    LLVMValueRef is_less = LLVMBuildICmp(p->b, LLVMIntULT, word, old, "");
    LLVMBuildStore(p->b, LLVMBuildSelect(p->b, is_less, word, old, ""), status);
    LLVMBuildRetVoid(p->b);
}

void program_emit_helpers(program_emitter *p) {
    emit_launch(p);
    emit_mark(p);
    emit_report(p);
}
