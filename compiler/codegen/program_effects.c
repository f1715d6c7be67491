/* Nodes that tell the caller something or ask it to do something: assert, print, custom.
 *
 * law: without hooks a print does nothing and a custom op fails at its site; no operand is changed
 */
#include "compiler/codegen/program_state.h"

#include <stddef.h>
#include <string.h>

/* ---- assert ---- */

static void report_unless(function_emitter *f, LLVMValueRef condition, int64_t site) {
    program_emitter *p = f->p;
    LLVMBasicBlockRef bad = program_new_block(f, "bad"), good = program_new_block(f, "good");
    LLVMBuildCondBr(p->b, condition, good, bad);
    LLVMPositionBuilderAtEnd(p->b, bad);
    LLVMBuildCall2(p->b, p->report_type, p->report, (LLVMValueRef[]){f->frame, program_i64(p, site)}, 2, "");
    LLVMBuildBr(p->b, good);
    LLVMPositionBuilderAtEnd(p->b, good);
}

void program_emit_assert(function_emitter *f, const node *n) {
    const attr *message = attr_find(&n->attrs, ATTR_message);
    int64_t site =
        program_add_site(f->p, (emitted_site){.op = TN_OP_assert, .locations = n->locations, .message = message->text});
    report_unless(f, program_load_bool(f, program_place(f, n->operands[1])), site);
}

/* ---- Hooks ---- */

/* A hook being called: the builder stands where it is there. */
typedef struct hook_call {
    LLVMValueRef function, ctx;
    LLVMBasicBlockRef missing, join; /* the last block that knows it is not there; where both ways meet */
} hook_call;

static hook_call open_hook(function_emitter *f, unsigned offset) {
    program_emitter *p = f->p;
    hook_call h;
    LLVMBasicBlockRef given = program_new_block(f, "hooks"), call = program_new_block(f, "hook");
    h.missing = program_new_block(f, "missing");
    h.join = program_new_block(f, "told");
    LLVMValueRef hooks = program_frame_member(p, f->frame, offsetof(tn_frame, hooks), p->pointer);
    LLVMBuildCondBr(p->b, LLVMBuildIsNull(p->b, hooks, ""), h.missing, given);
    LLVMPositionBuilderAtEnd(p->b, given);
    h.function = program_frame_member(p, hooks, offset, p->pointer);
    h.ctx = program_frame_member(p, hooks, offsetof(tn_hooks, ctx), p->pointer);
    LLVMBuildCondBr(p->b, LLVMBuildIsNull(p->b, h.function, ""), h.missing, call);
    LLVMPositionBuilderAtEnd(p->b, h.missing);
    LLVMBuildBr(p->b, h.join);
    LLVMPositionBuilderAtEnd(p->b, call);
    return h;
}

/* ---- print ---- */

static LLVMValueRef text_in_object(program_emitter *p, const char *text) {
    return program_array(p, "text", LLVMConstStringInContext2(p->context, text, strlen(text), false), 1);
}

static void store_member(program_emitter *p, LLVMValueRef base, size_t offset, LLVMValueRef value) {
    LLVMValueRef at = LLVMBuildGEP2(p->b, p->i8, base, (LLVMValueRef[]){program_i64(p, (int64_t)offset)}, 1, "");
    program_store(p, value, at);
}

/* A tn_tensor on the stack that describes v. */
static LLVMValueRef describe_value(function_emitter *f, value_id v) {
    program_emitter *p = f->p;
    const tn_type *type = graph_type(f->graph, v);
    LLVMValueRef tensor = program_stack_slots(f, (int64_t)(sizeof(tn_tensor) + 7) / 8);
    store_member(p, tensor, offsetof(tn_tensor, data), program_place(f, v));
    store_member(p, tensor, offsetof(tn_tensor, dtype), LLVMConstInt(p->i32, type->dtype, false));
    store_member(p, tensor, offsetof(tn_tensor, rank), LLVMConstInt(p->i32, type->rank, false));
    store_member(p, tensor, offsetof(tn_tensor, device), LLVMConstInt(p->i32, 0, false));
    store_member(p, tensor, offsetof(tn_tensor, has_strides), LLVMConstInt(p->i8, 0, false));
    for (int i = 0; i < type->rank; i++)
        store_member(p, tensor, offsetof(tn_tensor, shape) + (size_t)i * sizeof(int64_t),
                     program_dim(f, type->dims[i]));
    return tensor;
}

void program_emit_print(function_emitter *f, const node *n) {
    program_emitter *p = f->p;
    const attr *message = attr_find(&n->attrs, ATTR_message);
    LLVMTypeRef type = LLVMFunctionType(p->empty, (LLVMTypeRef[]){p->pointer, p->pointer, p->pointer}, 3, false);
    hook_call h = open_hook(f, offsetof(tn_hooks, print));
    LLVMValueRef arguments[] = {h.ctx, text_in_object(p, message->text), describe_value(f, n->operands[1])};
    LLVMBuildCall2(p->b, type, h.function, arguments, 3, "");
    LLVMBuildBr(p->b, h.join);
    LLVMPositionBuilderAtEnd(p->b, h.join);
}

/* ---- custom ---- */

static int64_t add_custom(program_emitter *p, const char *name) {
    emitted_tables *t = p->tables;
    for (size_t i = 0; i < t->n_customs; i++)
        if (strcmp(t->customs[i], name) == 0) return (int64_t)i;
    if (!array_reserve((void **)&t->customs, &t->customs_capacity, t->n_customs + 1, sizeof *t->customs)) {
        program_fail(p, TN_ERR_MEMORY, "out of memory");
        return 0;
    }
    t->customs[t->n_customs] = name;
    return (int64_t)t->n_customs++;
}

/* The dims of a value, entered from slot `at` on; returns the slot behind them. */
static int64_t enter_dims(function_emitter *f, LLVMValueRef slots, int64_t at, const tn_type *type) {
    for (int i = 0; i < type->rank; i++) program_store_at(f->p, slots, at++, program_dim(f, type->dims[i]));
    return at;
}

/* hooks->custom(ctx, number, operands, results, dims): not there, or not 0, is an error at the
 * node's site. */
void program_emit_custom(function_emitter *f, const node *n) {
    program_emitter *p = f->p;
    const char *name = attr_find(&n->attrs, ATTR_name)->text;
    int64_t number = add_custom(p, name),
            site = program_add_site(p, (emitted_site){.op = TN_OP_custom, .locations = n->locations, .message = name}),
            n_dims = 0, at = 0;
    for (uint32_t i = 0; i < n->n_operands; i++) n_dims += graph_type(f->graph, n->operands[i])->rank;
    for (uint32_t i = 0; i < n->n_results; i++) n_dims += graph_type(f->graph, n->first_result + i)->rank;
    LLVMValueRef operands = program_stack_slots(f, n->n_operands), results = program_stack_slots(f, n->n_results);
    LLVMValueRef dims = program_stack_slots(f, n_dims);
    for (uint32_t i = 0; i < n->n_operands; i++) {
        program_store_at(p, operands, i, program_place(f, n->operands[i]));
        at = enter_dims(f, dims, at, graph_type(f->graph, n->operands[i]));
    }
    for (uint32_t i = 0; i < n->n_results; i++) {
        program_store_at(p, results, i, program_place(f, n->first_result + i));
        at = enter_dims(f, dims, at, graph_type(f->graph, n->first_result + i));
    }
    LLVMTypeRef type =
        LLVMFunctionType(p->i32, (LLVMTypeRef[]){p->pointer, p->i32, p->pointer, p->pointer, p->pointer}, 5, false);
    hook_call h = open_hook(f, offsetof(tn_hooks, custom));
    LLVMValueRef arguments[] = {h.ctx, LLVMConstInt(p->i32, (unsigned long long)number, false), operands, results,
                                dims};
    LLVMValueRef status = LLVMBuildCall2(p->b, type, h.function, arguments, 5, ""),
                 minus_one = LLVMConstAllOnes(p->i32);
    LLVMBasicBlockRef called = LLVMGetInsertBlock(p->b);
    LLVMBuildBr(p->b, h.join);
    LLVMPositionBuilderAtEnd(p->b, h.join);
    LLVMValueRef outcome = LLVMBuildPhi(p->b, p->i32, "outcome");
    LLVMAddIncoming(outcome, (LLVMValueRef[]){status, minus_one}, (LLVMBasicBlockRef[]){called, h.missing}, 2);
    report_unless(f, LLVMBuildIsNull(p->b, outcome, ""), site);
}
