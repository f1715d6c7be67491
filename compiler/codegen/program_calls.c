/* Calls of kernels as tables (see program_state.h).
 *
 * in:  calls of kernels, in the order in which they run
 * out: for those with nothing else between them, one call of a helper that goes through a table (program_launch.c)
 * law: what a row says does not change while the function runs; a table holds no address
 *
 * A row is where a slot's value (abi.h) comes from: an item of one of a few arrays, or a number, and a number that is
 * added. As code, a row would be four instructions, and LLVM would take longer for them than for many a kernel.
 */
#include "compiler/codegen/program_state.h"

#include <stddef.h>

/* Items of the function's own array; then values that are not known before it runs. */
enum { OWN_ARENA, OWN_COUNT };

enum { WORD_BITS = 32, WORD_BYTES = WORD_BITS / 8 };

/* ---- Tables ---- */

static void add_word(function_emitter *f, int64_t word) {
    call_table *t = &f->calls;
    if (!array_reserve((void **)&t->words, &t->words_capacity, t->n_words + 1, sizeof *t->words))
        program_fail(f->p, TN_ERR_MEMORY, "out of memory");
    else
        t->words[t->n_words++] = LLVMConstInt(f->p->i32, (uint32_t)word, false);
}

static void add_row(function_emitter *f, int64_t array, int64_t index, int64_t addend) {
    int64_t count = addend == 0 ? 0 : addend == (int32_t)addend ? 1 : 2;
    if (index >> ROW_INDEX_BITS) program_fail(f->p, TN_ERR_LIMIT, "a function has too many values");
    add_word(f, array | count << ROW_ARRAY_BITS | index << (ROW_ARRAY_BITS + ROW_COUNT_BITS));
    for (int64_t i = 0; i < count; i++) add_word(f, addend >> WORD_BITS * i);
}

static void add_number(function_emitter *f, int64_t number) {
    bool fits = number >= 0 && number >> ROW_INDEX_BITS == 0;
    add_row(f, OF_NUMBER, fits ? number : 0, fits ? 0 : number);
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
    builder_place here = builder_leave(p->b);
    LLVMPositionBuilderBefore(p->b, LLVMGetBasicBlockTerminator(f->entry));
    LLVMValueRef weights = program_frame_member(p, f->frame, offsetof(tn_frame, weights), p->pointer);
    LLVMValueRef arrays[ARRAY_COUNT] = {f->calls.own, f->params, f->results, weights};
    for (int64_t i = 0; i < ARRAY_COUNT; i++) program_store_at(p, f->calls.arrays, i, arrays[i]);
    set_own(f, OWN_ARENA, f->arena);
    builder_return(p->b, here);
}

/* The item that has `value`, of the function's entry; -1: none so far. */
static int64_t find_own(const function_emitter *f, LLVMValueRef value) {
    for (size_t i = 0; i < f->calls.n_own; i++)
        if (f->calls.own_values[i] == value) return OWN_COUNT + (int64_t)i;
    return -1;
}

static int64_t own_item(function_emitter *f, LLVMValueRef value) {
    program_emitter *p = f->p;
    call_table *t = &f->calls;
    int64_t index = find_own(f, value);
    if (index >= 0) return index;
    if (!array_reserve((void **)&t->own_values, &t->own_capacity, t->n_own + 1, sizeof *t->own_values)) {
        program_fail(p, TN_ERR_MEMORY, "out of memory");
        return 0;
    }
    t->own_values[t->n_own] = value;
    index = OWN_COUNT + (int64_t)t->n_own++;
    builder_place here = builder_leave(p->b);
    LLVMPositionBuilderBefore(p->b, LLVMGetBasicBlockTerminator(f->entry));
    set_own(f, index, value);
    builder_return(p->b, here);
    return index;
}

/* ---- Rows ---- */

static void add_dim(function_emitter *f, tn_dim d) {
    int64_t number;
    if (d != DIM_INVALID && dim_is_const(f->p->dims, d, &number))
        add_number(f, number);
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
    builder_place here = builder_leave(p->b);
    LLVMPositionBuilderBefore(p->b, LLVMGetBasicBlockTerminator(f->entry));
    LLVMValueRef base = array == OF_RESULTS ? program_load_at(p, f->results, index, p->pointer) : f->arena;
    LLVMValueRef at = LLVMBuildGEP2(p->b, p->i8, base, &bytes, 1, "");
    builder_return(p->b, here);
    add_row(f, OF_OWN, own_item(f, at), 0);
}

static void add_value(function_emitter *f, value_id v) {
    const place *at = &f->plan->values[plan_root(f->graph, v)];
    const tensor_data *data;
    int64_t offset;
    switch (at->kind) {
    case PLACE_PARAM: add_row(f, OF_PARAMS, at->index, 0); return;
    case PLACE_RESULT: add_place(f, OF_RESULTS, at->index, at->offset); return;
    case PLACE_ARENA: add_place(f, OF_OWN, OWN_ARENA, at->offset); return;
    case PLACE_CONSTANT:
        data = attr_find(&f->graph->nodes[at->index].attrs, ATTR_value)->data;
        if (data->bytes <= PROGRAM_INLINE_BYTES) {
            offset = program_constant(f->p, data);
            add_row(f, OF_OWN, own_item(f, f->p->pool.array), offset);
        } else
            add_row(f, OF_WEIGHTS, program_constant_weight(f->p, data), 0);
        return;
    default: add_number(f, 0); /* a token */
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

/* Slots from ABI_BUFFERS on, as compiler/codegen/abi.h lays them out. */
static void add_slots(function_emitter *f, const node *n, const lt_kernel *k, const tn_dim *extents) {
    program_emitter *p = f->p;
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

/* Site i of the kernel that n calls. Where an index is wrong all that was fused may be to blame. */
static void add_site(function_emitter *f, const node *n, const function_plan *callee, const lt_site *s) {
    emitted_site site = {.op = s->op, .locations = n->locations};
    if (s->kind != LT_SITE_INDEX) {
        site = (emitted_site){.op = s->op,
                              .locations = s->locations,
                              .kernel = callee->graph->name,
                              .type = *s->type,
                              .is_hint = s->kind == LT_SITE_HINT,
                              .group = s->group};
        for (int i = 0; i < site.type.rank; i++)
            site.type.dims[i] = plan_in_caller(callee->graph, n, site.type.dims[i]);
    }
    program_add_site(f->p, site);
}

static void add_header(function_emitter *f, const node *n, const function_plan *callee) {
    program_emitter *p = f->p;
    uint32_t kernel = callee->kernel;
    const lt_kernel *k = p->plan->kernels[kernel].loops;
    int64_t header[CALL_HEADER] = {[CALL_SITE_BASE] = (int64_t)p->tables->n_sites,
                                   [CALL_FIRST_STAGE] = p->table.first[kernel],
                                   [CALL_ROWS] = (int64_t)abi_slot_count(k) - ABI_BUFFERS,
                                   [CALL_STAGES] = k->n_stages};
    for (uint32_t i = 0; i < k->n_sites; i++) add_site(f, n, callee, &callee->sites[i]);
    for (int i = 0; i < CALL_HEADER; i++) add_word(f, header[i]);
}

void program_call_kernel(function_emitter *f, const node *n, int64_t number) {
    program_emitter *p = f->p;
    const function_plan *callee = plan_of(p->plan, attr_find(&n->attrs, ATTR_callee)->func);
    const lt_kernel *k = p->plan->kernels[callee->kernel].loops;
    tn_dim *extents = extents_here(f, n, callee, k);
    if (!extents) return;
    open_arrays(f);
    if (f->calls.n++ == 0) f->calls.first_number = number;
    add_header(f, n, callee);
    add_slots(f, n, k, extents);
    for (uint32_t i = 0; i < k->n_stages; i++)
        add_dim(f, dim_substitute(p->dims, k->stages[i].chunks, k->extents, extents, (int)k->n_extents));
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
    LLVMValueRef words = program_array(p, "calls", LLVMConstArray2(p->i32, t->words, t->n_words), WORD_BYTES);
    LLVMValueRef arguments[] = {f->frame,
                                f->scratch_stride,
                                t->arrays,
                                call_slots(f),
                                words,
                                program_i64(p, t->first_number),
                                program_i64(p, (int64_t)t->n)};
    LLVMBuildCall2(p->b, p->call_type, p->call, arguments, 7, "");
    t->n = t->n_words = 0;
}

void program_end_calls(function_emitter *f) {
    call_table *t = &f->calls;
    if (t->own && !f->p->failed) LLVMSetOperand(t->own, 0, program_i64(f->p, OWN_COUNT + (int64_t)t->n_own));
    tn_free(t->words);
    tn_free(t->own_values);
}
