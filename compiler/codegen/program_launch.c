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

/* ---- Stages ---- */

static LLVMValueRef distance(program_emitter *p, LLVMValueRef to, LLVMValueRef from) {
    LLVMValueRef bytes = LLVMConstSub(LLVMConstPtrToInt(to, p->i64), LLVMConstPtrToInt(from, p->i64));
    return LLVMConstTrunc(bytes, p->i32);
}

/* Which stage of the table is the first of each kernel; returns how many there are. */
static uint32_t number_stages(program_emitter *p) {
    uint32_t n = 0;
    for (size_t k = 0; k < p->plan->n_kernels; k++) {
        p->table.first[k] = n;
        if (p->stages[k]) n += p->plan->kernels[k].loops->n_stages;
    }
    return n;
}

bool program_make_stage_table(program_emitter *p) {
    stage_table *t = &p->table;
    t->is_relative = p->out->target->is_pic && !p->out->is_shared;
    t->first = tn_calloc(p->plan->n_kernels + 1, sizeof *t->first);
    if (!t->first) return program_fail(p, TN_ERR_MEMORY, "out of memory");
    uint32_t n = number_stages(p);
    LLVMTypeRef item = t->is_relative ? p->i32 : p->pointer;
    LLVMValueRef *items = tn_calloc(n + 1u, sizeof *items);
    if (!items) return program_fail(p, TN_ERR_MEMORY, "out of memory");
    t->array = program_array(p, "stages", LLVMConstNull(LLVMArrayType2(item, n)), t->is_relative ? 4 : 8);
    for (size_t k = 0; k < p->plan->n_kernels; k++)
        for (uint32_t s = 0; p->stages[k] && s < p->plan->kernels[k].loops->n_stages; s++) {
            LLVMValueRef stage = p->stages[k][s];
            items[t->first[k] + s] = t->is_relative ? distance(p, stage, t->array) : stage;
        }
    LLVMSetInitializer(t->array, LLVMConstArray2(item, items, n));
    tn_free(items);
    return true;
}

static LLVMValueRef load_stage(program_emitter *p, LLVMValueRef number) {
    const stage_table *t = &p->table;
    if (!t->is_relative)
        return LLVMBuildLoad2(p->b, p->pointer, LLVMBuildGEP2(p->b, p->pointer, t->array, &number, 1, ""), "");
    LLVMValueRef word = LLVMBuildLoad2(p->b, p->i32, LLVMBuildGEP2(p->b, p->i32, t->array, &number, 1, ""), "");
    LLVMValueRef bytes = LLVMBuildSExt(p->b, word, p->i64, "");
    return LLVMBuildGEP2(p->b, p->i8, t->array, &bytes, 1, "stage");
}

/* ---- Tables of calls (program_calls.c) ---- */

/* The helper being written. Its variables are on the stack, of which LLVM makes registers. */
typedef struct caller {
    program_emitter *p;
    LLVMValueRef function, arrays, next; /* the last: where the next word is */
    LLVMValueRef sum;                    /* of the row that is being taken */
} caller;

static LLVMValueRef variable(caller *c, LLVMTypeRef type, LLVMValueRef value) {
    LLVMValueRef v = LLVMBuildAlloca(c->p->b, type, "");
    LLVMBuildStore(c->p->b, value, v);
    return v;
}

static LLVMValueRef take_word(caller *c) {
    program_emitter *p = c->p;
    LLVMValueRef at = LLVMBuildLoad2(p->b, p->pointer, c->next, ""), word = LLVMBuildLoad2(p->b, p->i32, at, "");
    LLVMBuildStore(p->b, LLVMBuildGEP2(p->b, p->i32, at, (LLVMValueRef[]){program_i64(p, 1)}, 1, ""), c->next);
    return word;
}

static LLVMValueRef take_unsigned(caller *c) { return LLVMBuildZExt(c->p->b, take_word(c), c->p->i64, ""); }

static void add_to_sum(caller *c, LLVMValueRef addend) {
    LLVMBuilderRef b = c->p->b;
    LLVMBuildStore(b, LLVMBuildAdd(b, LLVMBuildLoad2(b, c->p->i64, c->sum, ""), addend, ""), c->sum);
}

/* Goes on in a new block if x is n, else in another one of those that are given, or in a new one, which is returned. */
static LLVMBasicBlockRef if_equal(caller *c, LLVMValueRef x, int64_t n, LLVMBasicBlockRef otherwise) {
    program_emitter *p = c->p;
    LLVMBasicBlockRef then = new_block(p, c->function, "then");
    if (!otherwise) otherwise = new_block(p, c->function, "else");
    LLVMBuildCondBr(p->b, LLVMBuildICmp(p->b, LLVMIntEQ, x, program_i64(p, n), ""), then, otherwise);
    LLVMPositionBuilderAtEnd(p->b, then);
    return otherwise;
}

static void go_on_in(caller *c, LLVMBasicBlockRef block) {
    LLVMBuildBr(c->p->b, block);
    LLVMPositionBuilderAtEnd(c->p->b, block);
}

static LLVMValueRef bits_of(caller *c, LLVMValueRef word, int from, int n) {
    program_emitter *p = c->p;
    LLVMValueRef high = LLVMBuildLShr(p->b, word, program_i64(p, from), "");
    return LLVMBuildAnd(p->b, high, program_i64(p, (INT64_C(1) << n) - 1), "");
}

/* The value that the next row says. */
static LLVMValueRef take_row(caller *c) {
    program_emitter *p = c->p;
    LLVMValueRef word = take_unsigned(c), array = bits_of(c, word, 0, ROW_ARRAY_BITS),
                 count = bits_of(c, word, ROW_ARRAY_BITS, ROW_COUNT_BITS),
                 index = bits_of(c, word, ROW_ARRAY_BITS + ROW_COUNT_BITS, ROW_INDEX_BITS);
    LLVMBasicBlockRef added = new_block(p, c->function, "added");
    LLVMBuildStore(p->b, index, c->sum);
    LLVMBasicBlockRef item = if_equal(c, array, OF_NUMBER, NULL), more = new_block(p, c->function, "more");
    LLVMBuildBr(p->b, more);
    LLVMPositionBuilderAtEnd(p->b, item);
    LLVMValueRef base = LLVMBuildLoad2(p->b, p->pointer, LLVMBuildGEP2(p->b, p->i64, c->arrays, &array, 1, ""), "");
    LLVMBuildStore(p->b, LLVMBuildLoad2(p->b, p->i64, LLVMBuildGEP2(p->b, p->i64, base, &index, 1, ""), ""), c->sum);
    go_on_in(c, more);

    LLVMBasicBlockRef some = if_equal(c, count, 0, NULL);
    LLVMBuildBr(p->b, added);
    LLVMPositionBuilderAtEnd(p->b, some);
    LLVMValueRef low = take_word(c);
    LLVMBasicBlockRef two = if_equal(c, count, 1, NULL);
    add_to_sum(c, LLVMBuildSExt(p->b, low, p->i64, ""));
    LLVMBuildBr(p->b, added);
    LLVMPositionBuilderAtEnd(p->b, two);
    LLVMValueRef high = LLVMBuildShl(p->b, take_unsigned(c), program_i64(p, 32), "");
    add_to_sum(c, LLVMBuildOr(p->b, high, LLVMBuildZExt(p->b, low, p->i64, ""), ""));
    go_on_in(c, added);
    return LLVMBuildLoad2(p->b, p->i64, c->sum, "");
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

/* void call(frame, scratch stride, arrays, slots, words, number of the first call, calls). */
static void emit_call(program_emitter *p, LLVMValueRef launch, LLVMValueRef mark) {
    LLVMTypeRef types[] = {p->pointer, p->i64, p->pointer, p->pointer, p->pointer, p->i64, p->i64};
    p->call_type = LLVMFunctionType(p->empty, types, 7, false);
    LLVMValueRef f = p->call = program_function(p, "call", p->call_type, true), frame = LLVMGetParam(f, 0),
                 slots = LLVMGetParam(f, 3), counters[3], header[CALL_HEADER];
    LLVMPositionBuilderAtEnd(p->b, new_block(p, f, "start"));
    caller c = {.p = p, .function = f, .arrays = LLVMGetParam(f, 2)};
    c.next = variable(&c, p->pointer, LLVMGetParam(f, 4));
    c.sum = variable(&c, p->i64, program_i64(p, 0));
    for (int i = 0; i < 3; i++) counters[i] = variable(&c, p->i64, program_i64(p, 0));
    program_store_at(p, slots, ABI_FRAME, frame);
    program_store_at(p, slots, ABI_SCRATCH_OFFSET, program_i64(p, 0));
    program_store_at(p, slots, ABI_SCRATCH_STRIDE, LLVMGetParam(f, 1));

    steps calls = open_steps(&c, counters[0], LLVMGetParam(f, 6));
    LLVMValueRef number = LLVMBuildAdd(p->b, LLVMGetParam(f, 5), calls.i, "");
    for (int i = 0; i < CALL_HEADER; i++) header[i] = take_unsigned(&c);
    program_store_at(p, slots, ABI_SITE_BASE, header[CALL_SITE_BASE]);
    steps rows = open_steps(&c, counters[1], header[CALL_ROWS]);
    LLVMValueRef value = take_row(&c), slot = LLVMBuildAdd(p->b, rows.i, program_i64(p, ABI_BUFFERS), "");
    LLVMBuildStore(p->b, value, LLVMBuildGEP2(p->b, p->i64, slots, &slot, 1, ""));
    close_steps(&c, &rows);
    tell(&c, mark, frame, offsetof(tn_hooks, kernel_begin), number);
    steps stages = open_steps(&c, counters[2], header[CALL_STAGES]);
    LLVMValueRef chunks = take_row(&c),
                 stage = load_stage(p, LLVMBuildAdd(p->b, header[CALL_FIRST_STAGE], stages.i, ""));
    LLVMValueRef arguments[] = {frame, stage, chunks, slots};
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
