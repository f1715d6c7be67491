/* Helpers that the functions of a program share: calling kernels, and for that launching a stage and telling the kernel
 * hooks; recording a run-time error (see program_state.h). */
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
static LLVMValueRef emit_launch(program_emitter *p) {
    LLVMTypeRef type =
        LLVMFunctionType(p->empty, (LLVMTypeRef[]){p->pointer, p->pointer, p->i64, p->pointer}, 4, false);
    LLVMValueRef f = program_function(p, "launch", type, true);
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
    return f;
}

/* void mark(frame, offset of the hook, call): kernel_begin or kernel_end when there is one. */
static LLVMValueRef emit_mark(program_emitter *p) {
    LLVMTypeRef own_type = LLVMFunctionType(p->empty, (LLVMTypeRef[]){p->pointer, p->i64, p->i32}, 3, false);
    LLVMValueRef f = program_function(p, "mark", own_type, true);
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
    return f;
}

/* ---- Tables of calls (program_calls.c) ---- */

/* The helper being written. Its variables are on the stack, of which LLVM makes registers. */
typedef struct caller {
    program_emitter *p;
    LLVMValueRef function, arrays, words, stages; /* the last two: where the next ones are */
} caller;

static LLVMValueRef variable(caller *c, LLVMTypeRef type, LLVMValueRef value) {
    LLVMValueRef v = LLVMBuildAlloca(c->p->b, type, "");
    LLVMBuildStore(c->p->b, value, v);
    return v;
}

/* What a cursor points to, and the cursor goes on. */
static LLVMValueRef take(caller *c, LLVMValueRef cursor, LLVMTypeRef type) {
    program_emitter *p = c->p;
    LLVMValueRef at = LLVMBuildLoad2(p->b, p->pointer, cursor, ""), v = LLVMBuildLoad2(p->b, type, at, "");
    LLVMBuildStore(p->b, LLVMBuildGEP2(p->b, p->i64, at, (LLVMValueRef[]){program_i64(p, 1)}, 1, ""), cursor);
    return v;
}

/* The value that the next row says. */
static LLVMValueRef take_row(caller *c) {
    program_emitter *p = c->p;
    LLVMValueRef where = take(c, c->words, p->i64), addend = take(c, c->words, p->i64);
    LLVMValueRef array = LLVMBuildLShr(p->b, where, program_i64(p, 32), "");
    LLVMValueRef index = LLVMBuildAnd(p->b, where, program_i64(p, UINT32_MAX), "");
    LLVMValueRef base = LLVMBuildLoad2(p->b, p->pointer, LLVMBuildGEP2(p->b, p->i64, c->arrays, &array, 1, ""), "");
    LLVMValueRef item = LLVMBuildLoad2(p->b, p->i64, LLVMBuildGEP2(p->b, p->i64, base, &index, 1, ""), "");
    return LLVMBuildAdd(p->b, item, addend, "");
}

/* A loop of n steps: the builder is in its body, at step `i`, until close_steps. */
typedef struct steps {
    LLVMBasicBlockRef head, done;
    LLVMValueRef counter, i;
} steps;

static steps open_steps(caller *c, LLVMValueRef counter, LLVMValueRef n) {
    program_emitter *p = c->p;
    steps s = {
        .head = new_block(p, c->function, "head"), .done = new_block(p, c->function, "done"), .counter = counter};
    LLVMBasicBlockRef body = new_block(p, c->function, "body");
    LLVMBuildStore(p->b, program_i64(p, 0), counter);
    LLVMBuildBr(p->b, s.head);
    LLVMPositionBuilderAtEnd(p->b, s.head);
    s.i = LLVMBuildLoad2(p->b, p->i64, counter, "i");
    LLVMBuildCondBr(p->b, LLVMBuildICmp(p->b, LLVMIntSLT, s.i, n, ""), body, s.done);
    LLVMPositionBuilderAtEnd(p->b, body);
    return s;
}

static void close_steps(caller *c, const steps *s) {
    program_emitter *p = c->p;
    LLVMBuildStore(p->b, LLVMBuildAdd(p->b, s->i, program_i64(p, 1), ""), s->counter);
    LLVMBuildBr(p->b, s->head);
    LLVMPositionBuilderAtEnd(p->b, s->done);
}

static void tell(caller *c, LLVMValueRef mark, LLVMValueRef frame, size_t hook_offset, LLVMValueRef number) {
    program_emitter *p = c->p;
    LLVMValueRef arguments[] = {frame, program_i64(p, (int64_t)hook_offset), LLVMBuildTrunc(p->b, number, p->i32, "")};
    LLVMBuildCall2(p->b, LLVMGlobalGetValueType(mark), mark, arguments, 3, "");
}

/* void call(frame, arrays, slots, words, stages, calls): for each call its number, how many slots and stages it has, a
 * row for each slot, and one for the chunks of each stage. */
static void emit_call(program_emitter *p, LLVMValueRef launch, LLVMValueRef mark) {
    LLVMTypeRef types[] = {p->pointer, p->pointer, p->pointer, p->pointer, p->pointer, p->i64};
    p->call_type = LLVMFunctionType(p->empty, types, 6, false);
    LLVMValueRef f = p->call = program_function(p, "call", p->call_type, true), frame = LLVMGetParam(f, 0),
                 slots = LLVMGetParam(f, 2);
    LLVMPositionBuilderAtEnd(p->b, new_block(p, f, "start"));
    caller c = {.p = p, .function = f, .arrays = LLVMGetParam(f, 1)};
    c.words = variable(&c, p->pointer, LLVMGetParam(f, 3));
    c.stages = variable(&c, p->pointer, LLVMGetParam(f, 4));
    LLVMValueRef counters[3];
    for (int i = 0; i < 3; i++) counters[i] = variable(&c, p->i64, program_i64(p, 0));
    steps calls = open_steps(&c, counters[0], LLVMGetParam(f, 5));
    LLVMValueRef number = take(&c, c.words, p->i64), n_slots = take(&c, c.words, p->i64),
                 n_stages = take(&c, c.words, p->i64);
    steps rows = open_steps(&c, counters[1], n_slots);
    LLVMBuildStore(p->b, take_row(&c), LLVMBuildGEP2(p->b, p->i64, slots, &rows.i, 1, ""));
    close_steps(&c, &rows);
    tell(&c, mark, frame, offsetof(tn_hooks, kernel_begin), number);
    steps stages = open_steps(&c, counters[2], n_stages);
    LLVMValueRef chunks = take_row(&c);
    LLVMValueRef arguments[] = {frame, take(&c, c.stages, p->pointer), chunks, slots};
    LLVMBuildCall2(p->b, LLVMGlobalGetValueType(launch), launch, arguments, 4, "");
    close_steps(&c, &stages);
    tell(&c, mark, frame, offsetof(tn_hooks, kernel_end), number);
    close_steps(&c, &calls);
    LLVMBuildRetVoid(p->b);
}

/* ---- Errors ---- */

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
    LLVMValueRef launch = emit_launch(p), mark = emit_mark(p);
    emit_call(p, launch, mark);
    emit_report(p);
}
