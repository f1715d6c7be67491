/* What one function of a program does: its kernels one after the other, branches and loops
 * (see program_state.h).
 *
 * Every value is a pointer by the plan's place for it. A node hands its results' pointers to
 * whoever computes them, so nothing is copied but parameters and constants that are results,
 * the first values of what loops carry, and state.
 */
#include "compiler/codegen/program_state.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* ---- Small things ---- */

static LLVMValueRef byte_offset(program_emitter *p, LLVMValueRef base, LLVMValueRef bytes) {
    return LLVMBuildGEP2(p->b, p->i8, base, &bytes, 1, "");
}

static tn_dim type_bytes(program_emitter *p, const tn_type *type) {
    return dim_mul_const(p->dims, type_element_count(p->dims, type), tn_dtype_bits((tn_dtype)type->dtype) / 8);
}

tn_dim program_aligned_bytes(const program_emitter *p, tn_dim elements, tn_dtype dtype) {
    tn_dim bytes = dim_mul_const(p->dims, elements, tn_dtype_bits(dtype) / 8);
    return dim_mul_const(p->dims, dim_ceildiv(p->dims, bytes, dim_const(p->dims, PLAN_ALIGNMENT)), PLAN_ALIGNMENT);
}

static void copy_bytes(function_emitter *f, LLVMValueRef to, LLVMValueRef from, LLVMValueRef bytes) {
    emit_copy_bytes(f->p->b, f->p->out->target, to, from, bytes, 1);
}

/* Unless they are there already. */
static void bring_bytes(function_emitter *f, LLVMValueRef to, LLVMValueRef from, LLVMValueRef bytes) {
    program_emitter *p = f->p;
    LLVMBasicBlockRef move = program_new_block(f, "move"), there = program_new_block(f, "there");
    LLVMBuildCondBr(p->b, LLVMBuildICmp(p->b, LLVMIntEQ, from, to, ""), there, move);
    LLVMPositionBuilderAtEnd(p->b, move);
    copy_bytes(f, to, from, bytes);
    LLVMBuildBr(p->b, there);
    LLVMPositionBuilderAtEnd(p->b, there);
}

/* An array of 8-byte slots on the function's stack, made once. */
LLVMValueRef program_stack_slots(function_emitter *f, int64_t n) {
    program_emitter *p = f->p;
    builder_place here = builder_leave(p->b);
    LLVMPositionBuilder(p->b, f->entry, LLVMGetFirstInstruction(f->entry));
    LLVMValueRef slots = LLVMBuildArrayAlloca(p->b, p->i64, program_i64(p, n > 0 ? n : 1), "");
    builder_return(p->b, here);
    return slots;
}

LLVMBasicBlockRef program_new_block(function_emitter *f, const char *name) {
    return LLVMAppendBasicBlockInContext(f->p->context, f->function, name);
}

/* ---- Places ---- */

static LLVMValueRef address_of(function_emitter *f, const place *at) {
    program_emitter *p = f->p;
    switch (at->kind) {
    case PLACE_PARAM: return program_load_at(p, f->params, at->index, p->pointer);
    case PLACE_RESULT:
        return byte_offset(p, program_load_at(p, f->results, at->index, p->pointer), program_dim(f, at->offset));
    case PLACE_ARENA: return byte_offset(p, f->arena, program_dim(f, at->offset));
    case PLACE_CONSTANT: {
        const tensor_data *data = attr_find(&f->graph->nodes[at->index].attrs, ATTR_value)->data;
        if (data->bytes <= PROGRAM_INLINE_BYTES) {
            LLVMValueRef offset = program_i64(p, program_constant(p, data));
            return byte_offset(p, p->pool.array, offset);
        }
        LLVMValueRef weights = program_frame_member(p, f->frame, offsetof(tn_frame, weights), p->pointer);
        return program_load_at(p, weights, program_constant_weight(p, data), p->pointer);
    }
    default: return LLVMConstNull(p->pointer); /* a token */
    }
}

LLVMValueRef program_place(function_emitter *f, value_id v) {
    return address_of(f, &f->plan->values[plan_root(f->graph, v)]);
}

static LLVMValueRef work_of(function_emitter *f, const node *n) {
    tn_dim offset = f->plan->work_offset[n - f->graph->nodes];
    return offset == DIM_INVALID ? f->arena : byte_offset(f->p, f->arena, program_dim(f, offset));
}

/* ---- Sites ---- */

int64_t program_add_site(program_emitter *p, emitted_site site) {
    emitted_tables *t = p->tables;
    if (!array_reserve((void **)&t->sites, &t->sites_capacity, t->n_sites + 1, sizeof *t->sites)) {
        program_fail(p, TN_ERR_MEMORY, "out of memory");
        return 0;
    }
    t->sites[t->n_sites] = site;
    return (int64_t)t->n_sites++;
}

/* ---- Kernels ---- */

static int64_t add_call(program_emitter *p, const tn_graph *fused) {
    emitted_tables *t = p->tables;
    if (!array_reserve((void **)&t->calls, &t->calls_capacity, t->n_calls + 1, sizeof *t->calls)) {
        program_fail(p, TN_ERR_MEMORY, "out of memory");
        return 0;
    }
    t->calls[t->n_calls] = fused;
    return (int64_t)t->n_calls++;
}

/* ---- Calls of functions ---- */

/* Calls `callee` with the given parameter and result pointers and part of the arena; its
 * symbols have the values that the node's attribute gives. */
static void call_function(function_emitter *f, const node *n, const tn_graph *callee, LLVMValueRef params,
                          LLVMValueRef results, LLVMValueRef arena) {
    program_emitter *p = f->p;
    const tn_dim *values = node_callee_symbols(n, callee);
    LLVMValueRef symbols = program_stack_slots(f, (int64_t)callee->n_symbols);
    for (size_t i = 0; i < callee->n_symbols; i++) program_store_at(p, symbols, (int64_t)i, program_dim(f, values[i]));
    LLVMValueRef arguments[] = {f->frame, params, results, arena, symbols, f->scratch_stride};
    const function_plan *plan = plan_of(p->plan, callee);
    LLVMBuildCall2(p->b, p->function_type, p->functions[plan - p->plan->functions], arguments, 6, "");
}

static LLVMValueRef operand_slots(function_emitter *f, const node *n, uint32_t first, uint32_t n_operands) {
    LLVMValueRef slots = program_stack_slots(f, n_operands);
    for (uint32_t i = 0; i < n_operands; i++)
        program_store_at(f->p, slots, i, program_place(f, n->operands[first + i]));
    return slots;
}

static LLVMValueRef result_slots(function_emitter *f, const node *n) {
    LLVMValueRef slots = program_stack_slots(f, n->n_results);
    for (uint32_t i = 0; i < n->n_results; i++) program_store_at(f->p, slots, i, program_place(f, n->first_result + i));
    return slots;
}

static void emit_call(function_emitter *f, const node *n) {
    const tn_graph *callee = attr_find(&n->attrs, ATTR_callee)->func;
    if (callee->is_kernel)
        program_call_kernel(f, n, add_call(f->p, callee));
    else
        call_function(f, n, callee, operand_slots(f, n, 0, n->n_operands), result_slots(f, n), work_of(f, n));
}

/* Operands that are not made where they are wanted are brought there. */
static void emit_concat(function_emitter *f, const node *n) {
    program_emitter *p = f->p;
    place to = f->plan->values[n->first_result];
    for (uint32_t k = 0; k < n->n_operands; k++) {
        const place *from = &f->plan->values[plan_root(f->graph, n->operands[k])];
        tn_dim bytes = plan_value_bytes(f->graph, n->operands[k]);
        if (from->kind != to.kind || from->index != to.index || from->offset != to.offset)
            copy_bytes(f, address_of(f, &to), address_of(f, from), program_dim(f, bytes));
        to.offset = dim_add(p->dims, to.offset, bytes);
    }
}

LLVMValueRef program_load_bool(function_emitter *f, LLVMValueRef at) {
    return LLVMBuildIsNotNull(f->p->b, LLVMBuildLoad2(f->p->b, f->p->i8, at, ""), "");
}

static void emit_if(function_emitter *f, const node *n) {
    program_emitter *p = f->p;
    LLVMBasicBlockRef then = program_new_block(f, "then"), otherwise = program_new_block(f, "else"),
                      after = program_new_block(f, "after");
    LLVMValueRef condition = program_load_bool(f, program_place(f, n->operands[0]));
    LLVMValueRef params = operand_slots(f, n, 1, n->n_operands - 1), results = result_slots(f, n), work = work_of(f, n);
    LLVMBuildCondBr(p->b, condition, then, otherwise);
    LLVMPositionBuilderAtEnd(p->b, then);
    call_function(f, n, attr_find(&n->attrs, ATTR_then)->func, params, results, work);
    LLVMBuildBr(p->b, after);
    LLVMPositionBuilderAtEnd(p->b, otherwise);
    call_function(f, n, attr_find(&n->attrs, ATTR_otherwise)->func, params, results, work);
    LLVMBuildBr(p->b, after);
    LLVMPositionBuilderAtEnd(p->b, after);
}

/* ---- What loops carry ----
 *
 * Each carried value has two buffers: the node's result, and one in the node's work. `current`
 * and `other` are slot arrays of pointers that are swapped after each step; at the end a value
 * that stands in its second buffer is copied home. What the body returns as it was has one
 * buffer, the operand's, which is the result's too. */
typedef struct carried {
    uint32_t n;
    LLVMValueRef current, other, bodies_arena;
} carried;

static carried start_carried(function_emitter *f, const node *n, uint32_t count, int64_t current_slots,
                             int64_t other_slots) {
    program_emitter *p = f->p;
    carried c = {
        .n = count, .current = program_stack_slots(f, current_slots), .other = program_stack_slots(f, other_slots)};
    c.bodies_arena = work_of(f, n);
    for (uint32_t i = 0; i < count; i++) {
        tn_dim bytes = type_bytes(p, graph_type(f->graph, n->operands[i]));
        LLVMValueRef home = program_place(f, n->first_result + i);
        if (plan_is_invariant(n, i)) {
            program_store_at(p, c.current, i, home);
            program_store_at(p, c.other, i, home);
            continue;
        }
        copy_bytes(f, home, program_place(f, n->operands[i]), program_dim(f, bytes));
        program_store_at(p, c.current, i, home);
        program_store_at(p, c.other, i, c.bodies_arena);
        c.bodies_arena = byte_offset(p, c.bodies_arena, program_dim(f, program_aligned_bytes(p, bytes, TN_U8)));
    }
    return c;
}

static void swap_carried(function_emitter *f, const carried *c) {
    for (uint32_t i = 0; i < c->n; i++) {
        LLVMValueRef a = program_load_at(f->p, c->current, i, f->p->pointer),
                     b = program_load_at(f->p, c->other, i, f->p->pointer);
        program_store_at(f->p, c->current, i, b);
        program_store_at(f->p, c->other, i, a);
    }
}

static void bring_home(function_emitter *f, const node *n, const carried *c) {
    program_emitter *p = f->p;
    for (uint32_t i = 0; i < c->n; i++)
        if (!plan_is_invariant(n, i))
            bring_bytes(f, program_place(f, n->first_result + i), program_load_at(p, c->current, i, p->pointer),
                        program_dim(f, type_bytes(p, graph_type(f->graph, n->operands[i]))));
}

static void emit_while(function_emitter *f, const node *n) {
    program_emitter *p = f->p;
    carried c = start_carried(f, n, n->n_operands, n->n_operands, n->n_operands);
    LLVMValueRef flag = program_stack_slots(f, 1), flag_slot = program_stack_slots(f, 1);
    program_store_at(p, flag_slot, 0, flag);
    LLVMBasicBlockRef head = program_new_block(f, "while"), body = program_new_block(f, "body"),
                      done = program_new_block(f, "done");
    LLVMBuildBr(p->b, head);
    LLVMPositionBuilderAtEnd(p->b, head);
    call_function(f, n, attr_find(&n->attrs, ATTR_cond)->func, c.current, flag_slot, c.bodies_arena);
    LLVMBuildCondBr(p->b, program_load_bool(f, flag), body, done);
    LLVMPositionBuilderAtEnd(p->b, body);
    call_function(f, n, attr_find(&n->attrs, ATTR_body)->func, c.current, c.other, c.bodies_arena);
    swap_carried(f, &c);
    LLVMBuildBr(p->b, head);
    LLVMPositionBuilderAtEnd(p->b, done);
    bring_home(f, n, &c);
}

/* Pointers to element `step` of each sequence, entered in the slots behind the carried ones. */
static void enter_slices(function_emitter *f, LLVMValueRef slots, uint32_t first_slot, const value_id *values,
                         uint32_t n_values, LLVMValueRef step) {
    program_emitter *p = f->p;
    for (uint32_t i = 0; i < n_values; i++) {
        tn_type element = *graph_type(f->graph, values[i]);
        element.dims[0] = dim_const(p->dims, 1);
        LLVMValueRef bytes = LLVMBuildMul(p->b, step, program_dim(f, type_bytes(p, &element)), "");
        program_store_at(p, slots, first_slot + i, byte_offset(p, program_place(f, values[i]), bytes));
    }
}

static void emit_scan(function_emitter *f, const node *n) {
    program_emitter *p = f->p;
    uint32_t n_carried = plan_carried(n);
    uint32_t n_in = n->n_operands - n_carried, n_out = n->n_results - n_carried;
    bool reverse = attr_int(&n->attrs, ATTR_reverse, 0) != 0;
    carried c = start_carried(f, n, n_carried, n_carried + n_in, n_carried + n_out);
    LLVMValueRef length = program_dim(f, attr_find(&n->attrs, ATTR_length)->dim), counter = program_stack_slots(f, 1);
    value_id *outs = tn_calloc(n_out + 1, sizeof *outs);
    if (!outs) {
        program_fail(p, TN_ERR_MEMORY, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < n_out; i++) outs[i] = n->first_result + n_carried + i;
    LLVMBuildStore(p->b, program_i64(p, 0), counter);
    LLVMBasicBlockRef head = program_new_block(f, "scan"), body = program_new_block(f, "step"),
                      done = program_new_block(f, "done");
    LLVMBuildBr(p->b, head);
    LLVMPositionBuilderAtEnd(p->b, head);
    LLVMValueRef i = LLVMBuildLoad2(p->b, p->i64, counter, "");
    LLVMBuildCondBr(p->b, LLVMBuildICmp(p->b, LLVMIntSLT, i, length, ""), body, done);
    LLVMPositionBuilderAtEnd(p->b, body);
    LLVMValueRef last = LLVMBuildSub(p->b, length, program_i64(p, 1), "");
    LLVMValueRef step = reverse ? LLVMBuildSub(p->b, last, i, "") : i;
    enter_slices(f, c.current, n_carried, n->operands + n_carried, n_in, step);
    enter_slices(f, c.other, n_carried, outs, n_out, step);
    call_function(f, n, attr_find(&n->attrs, ATTR_body)->func, c.current, c.other, c.bodies_arena);
    swap_carried(f, &c);
    LLVMBuildStore(p->b, LLVMBuildAdd(p->b, i, program_i64(p, 1), ""), counter);
    LLVMBuildBr(p->b, head);
    LLVMPositionBuilderAtEnd(p->b, done);
    bring_home(f, n, &c);
    tn_free(outs);
}

/* ---- Functions ---- */

static void emit_unsupported(function_emitter *f, const node *n) {
    program_fail(f->p, TN_ERR_UNSUPPORTED, "%s cannot be compiled yet; the interpreter runs it", op_name((tn_op)n->op));
}

static void emit_nothing(function_emitter *f, const node *n) { (void)f, (void)n; }

static void (*const emitters[TN_OP_COUNT])(function_emitter *, const node *) = {
    [TN_OP_param] = emit_nothing,
    [TN_OP_constant] = emit_nothing,
    [TN_OP_reshape] = emit_nothing,
    [TN_OP_barrier] = emit_nothing,
    [TN_OP_concat] = emit_concat,
    [TN_OP_token] = emit_nothing,
    [TN_OP_call] = emit_call,
    [TN_OP_if] = emit_if,
    [TN_OP_while] = emit_while,
    [TN_OP_scan] = emit_scan,
    [TN_OP_assert] = program_emit_assert,
    [TN_OP_print] = program_emit_print,
    [TN_OP_custom] = program_emit_custom,
};

/* Whether it does not matter if the calls before have been made. */
static bool waits(const node *n) {
    return emitters[n->op] == emit_nothing ||
           (n->op == TN_OP_call && attr_find(&n->attrs, ATTR_callee)->func->is_kernel);
}

/* Whether it is made there, or stays in its own state. */
static bool is_there(const function_emitter *f, uint32_t r) {
    const result *of = &f->graph->results[r];
    const place *at = &f->plan->values[plan_root(f->graph, of->value)];
    bool stays = at->kind == PLACE_PARAM && of->state_param == (int32_t)at->index;
    return at->kind == PLACE_NONE || stays || (at->kind == PLACE_RESULT && at->index == r);
}

static LLVMValueRef result_address(function_emitter *f, uint32_t r) {
    return program_load_at(f->p, f->results, r, f->p->pointer);
}

/* Result r's value to `to`, which is the result's own place or where it is staged. For a parameter that is result r a
 * loop gives one buffer. */
static void copy_result(function_emitter *f, uint32_t r, LLVMValueRef to) {
    const result *of = &f->graph->results[r];
    const place *at = &f->plan->values[plan_root(f->graph, of->value)];
    LLVMValueRef bytes = program_dim(f, type_bytes(f->p, graph_type(f->graph, of->value)));
    bool may_be_there = at->kind == PLACE_PARAM && at->index == r;
    (may_be_there ? bring_bytes : copy_bytes)(f, to, program_place(f, of->value), bytes);
}

/* Results that live elsewhere (parameters, constants, a value that is two results) are copied;
 * states last, since other results may be their old values. */
static void copy_results(function_emitter *f) {
    program_emitter *p = f->p;
    const tn_graph *g = f->graph;
    for (uint32_t r = 0; r < g->n_results; r++)
        if (g->results[r].state_param < 0 && !is_there(f, r)) copy_result(f, r, result_address(f, r));
    for (uint32_t r = 0; r < g->n_results; r++)
        if (f->plan->staged[r] != DIM_INVALID && !is_there(f, r))
            copy_result(f, r, byte_offset(p, f->arena, program_dim(f, f->plan->staged[r])));
    for (uint32_t r = 0; r < g->n_results; r++) {
        bool is_staged = f->plan->staged[r] != DIM_INVALID;
        if (g->results[r].state_param < 0 || (!is_staged && is_there(f, r))) continue;
        if (!is_staged)
            copy_result(f, r, result_address(f, r));
        else
            copy_bytes(f, result_address(f, r), byte_offset(p, f->arena, program_dim(f, f->plan->staged[r])),
                       program_dim(f, type_bytes(p, graph_type(g, g->results[r].value))));
    }
}

/* Debuggers have a `main` already. */
static LLVMMetadataRef describe(program_emitter *p, LLVMValueRef function, const tn_graph *g) {
    char name[200];
    snprintf(name, sizeof name, "fn_%s", g->name);
    return program_describe(p, function, name, g);
}

bool program_emit_function(program_emitter *p, const function_plan *plan, LLVMValueRef function) {
    tn_graph *g = plan->graph;
    function_emitter f = {.p = p, .plan = plan, .graph = g, .function = function};
    LLVMValueRef *arguments[] = {&f.frame, &f.params, &f.results, &f.arena, &f.symbols_array, &f.scratch_stride};
    for (unsigned i = 0; i < sizeof arguments / sizeof *arguments; i++) *arguments[i] = LLVMGetParam(function, i);
    f.entry = LLVMAppendBasicBlockInContext(p->context, function, "entry");
    LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(p->context, function, "start");
    LLVMPositionBuilderAtEnd(p->b, f.entry);
    f.described = describe(p, function, g);
    for (size_t i = 0; i < g->n_symbols; i++)
        program_know_dim(&f, g->symbols[i].dim, program_load_at(p, f.symbols_array, (int64_t)i, p->i64));
    LLVMBuildBr(p->b, start);
    LLVMPositionBuilderAtEnd(p->b, start);
    for (size_t i = 0; i < g->n_nodes && !p->failed; i++) {
        const node *n = &g->nodes[i];
        if (!waits(n)) program_flush_calls(&f);
        if (plan->lines)
            debug_line(p->out->debug, p->b, f.described, (debug_place){plan->lines[i], n->locations, g->module});
        (emitters[n->op] ? emitters[n->op] : emit_unsupported)(&f, n);
        if (f.described) program_flush_calls(&f); /* each call is of its own line */
    }
    program_flush_calls(&f);
    if (!p->failed) copy_results(&f);
    LLVMBuildRetVoid(p->b);
    program_end_calls(&f);
    tn_free(f.known_dims);
    tn_free(f.known_values);
    return !p->failed;
}
