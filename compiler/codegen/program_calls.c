/* Calls of kernels as tables (see program_state.h).
 *
 * in:  calls of kernels, in the order in which they run
 * out: for those with nothing else between them, one call of a helper that goes through a table (program_launch.c)
 * law: what a row says does not change while the function runs
 *
 * A row is where a slot's value (abi.h) comes from: an element of one of a few arrays, and a number that is added. As
 * code, a row would be four instructions, and LLVM would take longer for them than for many a kernel.
 */
#include "compiler/codegen/program_state.h"

#include <stddef.h>

/* The arrays, of 8-byte items. */
enum { OF_OWN, OF_PARAMS, OF_RESULTS, OF_WEIGHTS, OF_CONSTANTS, ARRAY_COUNT };

/* Items of the function's own array; then values that are not known before it runs. */
enum { OWN_ZERO, OWN_FRAME, OWN_ARENA, OWN_SCRATCH_STRIDE, OWN_COUNT };

enum { WORD_BYTES = 8 };

/* ---- Tables ---- */

static void add_word(function_emitter *f, int64_t word) {
    call_table *t = &f->calls;
    if (!array_reserve((void **)&t->words, &t->words_capacity, t->n_words + 1, sizeof *t->words))
        program_fail(f->p, TN_ERR_MEMORY, "out of memory");
    else
        t->words[t->n_words++] = program_i64(f->p, word);
}

static void add_row(function_emitter *f, int64_t array, int64_t index, int64_t addend) {
    add_word(f, array << 32 | index);
    add_word(f, addend);
}

static int64_t add_pointer(function_emitter *f, pointer_table *t, LLVMValueRef pointer) {
    if (array_reserve((void **)&t->items, &t->capacity, t->n + 1, sizeof *t->items))
        t->items[t->n++] = pointer;
    else
        program_fail(f->p, TN_ERR_MEMORY, "out of memory");
    return (int64_t)t->n - 1;
}

/* A constant array; all are made anew for each run of calls. */
static LLVMValueRef table_in_object(program_emitter *p, LLVMTypeRef type, LLVMValueRef *items, size_t n) {
    LLVMValueRef all = LLVMConstArray2(type, items, n), table = LLVMAddGlobal(p->module, LLVMTypeOf(all), "calls");
    LLVMSetInitializer(table, all);
    LLVMSetGlobalConstant(table, true);
    LLVMSetLinkage(table, LLVMPrivateLinkage);
    LLVMSetAlignment(table, WORD_BYTES);
    return table;
}

/* ---- The function's own values ---- */

static void set_own(function_emitter *f, int64_t index, LLVMValueRef value) {
    program_store_at(f->p, f->calls.own, index, value);
}

/* Makes the arrays known, in the function's entry. */
static void open_arrays(function_emitter *f) {
    program_emitter *p = f->p;
    if (f->calls.arrays) return;
    f->calls.arrays = program_stack_slots(f, ARRAY_COUNT);
    f->calls.own = program_stack_slots(f, OWN_COUNT); /* as many as there are at last: program_end_calls */
    LLVMBasicBlockRef here = LLVMGetInsertBlock(p->b);
    LLVMPositionBuilderBefore(p->b, LLVMGetBasicBlockTerminator(f->entry));
    LLVMValueRef weights = program_frame_member(p, f->frame, offsetof(tn_frame, weights), p->pointer);
    LLVMValueRef arrays[] = {f->calls.own, f->params, f->results, weights};
    for (int64_t i = 0; i < OF_CONSTANTS; i++) program_store_at(p, f->calls.arrays, i, arrays[i]);
    set_own(f, OWN_ZERO, program_i64(p, 0));
    set_own(f, OWN_FRAME, f->frame);
    set_own(f, OWN_ARENA, f->arena);
    set_own(f, OWN_SCRATCH_STRIDE, f->scratch_stride);
    LLVMPositionBuilderAtEnd(p->b, here);
}

/* The item that has `value`, of the function's entry; -1: none so far. */
static int64_t find_own(const function_emitter *f, LLVMValueRef value) {
    for (size_t i = 0; i < f->calls.own_values.n; i++)
        if (f->calls.own_values.items[i] == value) return OWN_COUNT + (int64_t)i;
    return -1;
}

static int64_t own_item(function_emitter *f, LLVMValueRef value) {
    program_emitter *p = f->p;
    int64_t index = find_own(f, value);
    if (index >= 0) return index;
    index = OWN_COUNT + add_pointer(f, &f->calls.own_values, value);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(p->b);
    LLVMPositionBuilderBefore(p->b, LLVMGetBasicBlockTerminator(f->entry));
    set_own(f, index, value);
    LLVMPositionBuilderAtEnd(p->b, here);
    return index;
}

/* ---- Rows ---- */

static void add_dim(function_emitter *f, tn_dim d) {
    int64_t number;
    if (d != DIM_INVALID && dim_is_const(f->p->dims, d, &number))
        add_row(f, OF_OWN, OWN_ZERO, number);
    else
        add_row(f, OF_OWN, own_item(f, program_dim(f, d)), 0);
}

/* Item `index` of an array and an offset that may not be known yet: then the sum is the function's own, for which the
 * addend of the row has no room. */
static void add_place(function_emitter *f, int64_t array, int64_t index, tn_dim offset) {
    program_emitter *p = f->p;
    int64_t number;
    if (offset != DIM_INVALID && dim_is_const(p->dims, offset, &number)) {
        add_row(f, array, index, number);
        return;
    }
    LLVMValueRef bytes = program_dim(f, offset);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(p->b);
    LLVMPositionBuilderBefore(p->b, LLVMGetBasicBlockTerminator(f->entry));
    LLVMValueRef base = array == OF_RESULTS ? program_load_at(p, f->results, index, p->pointer) : f->arena;
    LLVMValueRef at = LLVMBuildGEP2(p->b, p->i8, base, &bytes, 1, "");
    LLVMPositionBuilderAtEnd(p->b, here);
    add_row(f, OF_OWN, own_item(f, at), 0);
}

static void add_value(function_emitter *f, value_id v) {
    const place *at = &f->plan->values[plan_root(f->graph, v)];
    const tensor_data *data;
    switch (at->kind) {
    case PLACE_PARAM: add_row(f, OF_PARAMS, at->index, 0); return;
    case PLACE_RESULT: add_place(f, OF_RESULTS, at->index, at->offset); return;
    case PLACE_ARENA: add_place(f, OF_OWN, OWN_ARENA, at->offset); return;
    case PLACE_CONSTANT:
        data = attr_find(&f->graph->nodes[at->index].attrs, ATTR_value)->data;
        if (data->bytes <= PROGRAM_INLINE_BYTES)
            add_row(f, OF_CONSTANTS, add_pointer(f, &f->calls.constants, program_constant(f->p, data)), 0);
        else
            add_row(f, OF_WEIGHTS, program_constant_weight(f->p, data), 0);
        return;
    default: add_row(f, OF_OWN, OWN_ZERO, 0); /* a token */
    }
}

/* ---- Calls ---- */

/* What the kernel's extents are here. */
static tn_dim *extents_here(function_emitter *f, const node *n, const function_plan *callee, const lt_kernel *k) {
    const attr *symbols = attr_find(&n->attrs, ATTR_symbols);
    uint32_t n_symbols = k->n_extents - callee->n_numbers;
    tn_dim *here = tn_calloc(k->n_extents + 1u, sizeof *here);
    if (!here) program_fail(f->p, TN_ERR_MEMORY, "out of memory");
    for (uint32_t i = 0; here && i < k->n_extents; i++)
        here[i] = i < n_symbols ? symbols->dims.items[i] : dim_const(f->p->dims, callee->numbers[i - n_symbols]);
    return here;
}

/* Slots as compiler/codegen/abi.h lays them out. */
static void add_slots(function_emitter *f, const node *n, const lt_kernel *k, const tn_dim *extents) {
    program_emitter *p = f->p;
    int64_t site_base = (int64_t)p->tables->n_sites;
    for (uint32_t i = 0; i < k->n_sites; i++) program_add_site(p, k->sites[i].op, n->locations, NULL);
    add_row(f, OF_OWN, OWN_FRAME, 0);
    add_row(f, OF_OWN, OWN_ZERO, site_base);
    add_row(f, OF_OWN, OWN_ZERO, 0); /* the scratch offset */
    add_row(f, OF_OWN, OWN_SCRATCH_STRIDE, 0);
    tn_dim work = f->plan->work_offset[n - f->graph->nodes];
    if (work == DIM_INVALID) work = dim_const(p->dims, 0);
    uint32_t input = 0, output = 0;
    for (uint32_t i = 0; i < k->n_buffers; i++) {
        const lt_buffer *buffer = &k->buffers[i];
        if (!abi_has_slot(buffer)) continue;
        if (buffer->role == LT_INPUT)
            add_value(f, n->operands[input++]);
        else if (buffer->role == LT_OUTPUT)
            add_value(f, n->first_result + output++);
        else {
            tn_dim elements = dim_substitute(p->dims, buffer->elements, k->extents, extents, (int)k->n_extents);
            add_place(f, OF_OWN, OWN_ARENA, work);
            work = dim_add(p->dims, work, program_aligned_bytes(p, elements, buffer->dtype));
        }
    }
    for (uint32_t i = 0; i < k->n_extents; i++) add_dim(f, extents[i]);
}

void program_call_kernel(function_emitter *f, const node *n, int64_t number) {
    program_emitter *p = f->p;
    const function_plan *callee = plan_of(p->plan, attr_find(&n->attrs, ATTR_callee)->func);
    const lt_kernel *k = p->plan->kernels[callee->kernel].loops;
    tn_dim *extents = extents_here(f, n, callee, k);
    if (!extents) return;
    open_arrays(f);
    add_word(f, number);
    add_word(f, abi_slot_count(k));
    add_word(f, k->n_stages);
    add_slots(f, n, k, extents);
    for (uint32_t i = 0; i < k->n_stages; i++) {
        add_pointer(f, &f->calls.stages, p->stages[callee->kernel][i]);
        add_dim(f, dim_substitute(p->dims, k->stages[i].chunks, k->extents, extents, (int)k->n_extents));
    }
    f->calls.n++;
    tn_free(extents);
}

/* Slots are read only while a kernel runs: the same for all calls of the function. */
static LLVMValueRef call_slots(function_emitter *f) {
    uint32_t most = 1;
    if (f->calls.slots) return f->calls.slots;
    for (size_t i = 0; i < f->p->plan->n_kernels; i++) {
        uint32_t n = abi_slot_count(f->p->plan->kernels[i].loops);
        most = n > most ? n : most;
    }
    return f->calls.slots = program_stack_slots(f, most);
}

void program_flush_calls(function_emitter *f) {
    program_emitter *p = f->p;
    call_table *t = &f->calls;
    if (t->n == 0 || p->failed) return;
    if (t->constants.n)
        program_store_at(p, t->arrays, OF_CONSTANTS,
                         table_in_object(p, p->pointer, t->constants.items, t->constants.n));
    LLVMValueRef arguments[] = {f->frame,
                                t->arrays,
                                call_slots(f),
                                table_in_object(p, p->i64, t->words, t->n_words),
                                table_in_object(p, p->pointer, t->stages.items, t->stages.n),
                                program_i64(p, (int64_t)t->n)};
    LLVMBuildCall2(p->b, p->call_type, p->call, arguments, 6, "");
    t->n = t->n_words = t->stages.n = t->constants.n = 0;
}

void program_end_calls(function_emitter *f) {
    call_table *t = &f->calls;
    if (t->own && !f->p->failed) LLVMSetOperand(t->own, 0, program_i64(f->p, OWN_COUNT + (int64_t)t->own_values.n));
    tn_free(t->words);
    tn_free(t->stages.items);
    tn_free(t->constants.items);
    tn_free(t->own_values.items);
}
