/* Vector loops.
 *
 * in:  a loop of kind LT_VECTOR
 * out: a wide loop over whole groups of lanes, then what remains: one masked step where the
 *      machine masks memory, else lane by lane as scalars
 * law: lane l of a carried value takes the steps l, l + width, ... from the neutral element; when
 *      there was a step, lanes are combined by a fixed tree, the first value last. So both kinds
 *      of remainder give the same bits
 */
#include "compiler/codegen/emit_loop.h"

#include <math.h>

#include "ir/dtype.h"
#include "runtime/fault.h"

/* ---- Combining ---- */

/* The element that changes nothing when combined. */
static LLVMValueRef neutral(emit *e, tn_op combine, tn_dtype dtype) {
    LLVMTypeRef type = vmath_register_type(e->context, dtype, 0);
    LLVMTypeKind kind = LLVMGetTypeKind(type);
    if (kind != LLVMIntegerTypeKind) {
        switch (combine) {
        case TN_OP_add: return LLVMConstReal(type, -0.0);
        case TN_OP_mul: return LLVMConstReal(type, 1.0);
        case TN_OP_max: return LLVMConstReal(type, -INFINITY);
        default: return LLVMConstReal(type, INFINITY);
        }
    }
    bool is_signed = dtype_in(DTYPES_SINT, dtype);
    unsigned bits = LLVMGetIntTypeWidth(type);
    uint64_t ones = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    uint64_t greatest = is_signed ? ones >> 1 : ones;
    switch (combine) {
    case TN_OP_mul: return LLVMConstInt(type, 1, false);
    case TN_OP_max: return LLVMConstInt(type, is_signed ? greatest + 1 : 0, false);
    case TN_OP_min: return LLVMConstInt(type, greatest, false);
    case TN_OP_and: return LLVMConstInt(type, ones, false);
    default: return LLVMConstInt(type, 0, false); /* add, or */
    }
}

static LLVMValueRef combine_two(emit *e, const lt_carry *c, LLVMValueRef x, LLVMValueRef y) {
    LLVMValueRef operands[] = {x, y};
    LLVMValueRef r = emit_op(e, c->combine, 0, c->dtype, c->dtype, operands);
    return r ? r : x;
}

/* Lane i with lane i + width/2, until one is left. */
static LLVMValueRef combine_lanes(emit *e, const lt_carry *c, LLVMValueRef v) {
    LLVMValueRef numbers[256];
    for (unsigned width = LLVMGetVectorSize(LLVMTypeOf(v)); width > 1; width /= 2) {
        LLVMValueRef halves[2];
        for (unsigned h = 0; h < 2; h++) {
            for (unsigned i = 0; i < width / 2; i++) numbers[i] = LLVMConstInt(e->i32, i + h * width / 2, false);
            LLVMValueRef mask = LLVMConstVector(numbers, width / 2);
            halves[h] = LLVMBuildShuffleVector(e->builder, v, LLVMGetPoison(LLVMTypeOf(v)), mask, "half");
        }
        bool errs = FAULT(lanes_max) && c->combine == TN_OP_max && width == 2;
        v = errs ? halves[0] : combine_two(e, c, halves[0], halves[1]);
    }
    return LLVMBuildExtractElement(e->builder, v, LLVMConstInt(e->i32, 0, false), "lanes");
}

/* ---- Lanes ---- */

static bool block_suits_mask(const emit *e, const lt_block *block) {
    for (uint32_t i = 0; i < block->n; i++) {
        const lt_stmt *s = block->items[i];
        bool suits = true;
        if (s->kind == LT_LOAD || s->kind == LT_STORE)
            suits = machine_has_masks(&e->out->target->machine) || tn_dtype_bits(s->dtype) >= 32;
        else if (s->kind == LT_LOOP)
            suits = block_suits_mask(e, &s->loop.body);
        else if (s->kind == LT_IF)
            suits = block_suits_mask(e, &s->branch.then) && block_suits_mask(e, &s->branch.otherwise);
        else if (s->kind == LT_TILE || s->kind == LT_TRANSPOSE)
            suits = false;
        if (!suits) return false;
    }
    return true;
}

/* Masked loads and stores are single instructions for all that the body touches. */
static bool has_masked_tail(const emit *e, const lt_stmt *s) {
    const target *t = e->out->target;
    return t->is_x86 && t->machine.vector_bytes >= 32 && block_suits_mask(e, &s->loop.body);
}

static void enter_lanes(emit *e, const lt_stmt *s) {
    e->lanes = s->loop.width;
    e->counter = s->loop.variable;
}

static void leave_lanes(emit *e) {
    e->lanes = 1;
    e->mask = NULL;
}

/* A vector loop being emitted. */
typedef struct wide {
    emit *e;
    const lt_stmt *s;
    uint32_t number;
    int64_t width, steps;            /* steps -1: not known */
    LLVMValueRef begin, middle, end; /* whole groups reach up to middle */
    LLVMValueRef *lanes;             /* carried values, one to a lane */
} wide;

static void split_range(wide *w) {
    emit *e = w->e;
    w->begin = emit_dim(e, w->s->loop.begin);
    w->middle = w->end = emit_dim(e, w->s->loop.end);
    if (w->steps >= 0 && w->steps % w->width == 0) return;
    LLVMValueRef count = LLVMBuildSub(e->builder, w->end, w->begin, "");
    LLVMValueRef zero = emit_const_i64(e, 0);
    LLVMValueRef some = LLVMBuildICmp(e->builder, LLVMIntSGT, count, zero, "");
    count = LLVMBuildSelect(e->builder, some, count, zero, "count");
    LLVMValueRef whole = LLVMBuildAnd(e->builder, count, emit_const_i64(e, -w->width), "");
    w->middle = LLVMBuildAdd(e->builder, w->begin, whole, "middle");
}

static void whole_groups(void *ctx) {
    wide *w = ctx;
    loop l;
    if (!emit_loop_init(w->e, &l, w->s)) return;
    l.begin = w->begin;
    l.end = w->middle;
    l.step = w->width;
    l.runs = w->steps >= w->width;
    l.once = w->steps >= 0 && w->steps / w->width == 1;
    enter_lanes(w->e, w->s);
    emit_loop_body(w->e, &l, w->lanes, w->lanes);
    leave_lanes(w->e);
    emit_loop_free(&l);
}

/* ---- What remains ---- */

static LLVMValueRef lane_mask(emit *e, LLVMValueRef live) {
    LLVMValueRef numbers[256];
    for (uint32_t i = 0; i < e->lanes; i++) numbers[i] = LLVMConstInt(e->i32, i, false);
    live = LLVMBuildTrunc(e->builder, live, e->i32, "live");
    if (FAULT(mask_short)) live = LLVMBuildSub(e->builder, live, LLVMConstInt(e->i32, 1, false), "");
    return LLVMBuildICmp(e->builder, LLVMIntULT, LLVMConstVector(numbers, e->lanes), emit_splat(e, live), "mask");
}

/* One step in which the lanes from `middle` to `end` are live. */
static void masked_step(wide *w, LLVMValueRef *nexts) {
    emit *e = w->e;
    loop l;
    if (!emit_loop_init(e, &l, w->s)) return;
    l.begin = w->middle;
    l.end = w->end;
    l.once = true;
    enter_lanes(e, w->s);
    LLVMValueRef mask = e->mask = lane_mask(e, LLVMBuildSub(e->builder, w->end, w->middle, ""));
    emit_loop_body(e, &l, w->lanes, nexts);
    for (uint32_t i = 0; i < w->s->loop.n_carries && !e->failed; i++)
        nexts[i] = LLVMBuildSelect(e->builder, mask, nexts[i], w->lanes[i], "");
    leave_lanes(e);
    emit_loop_free(&l);
}

/* A lane in memory: bool as a byte. */
static LLVMTypeRef slot_type(const emit *e, LLVMTypeRef lane) {
    return lane == e->i1 ? LLVMInt8TypeInContext(e->context) : lane;
}

static LLVMValueRef new_slots(wide *w, LLVMValueRef lanes) {
    emit *e = w->e;
    builder_place here = emit_enter_prologue(e, 0);
    LLVMTypeRef slot = slot_type(e, LLVMGetElementType(LLVMTypeOf(lanes)));
    LLVMValueRef slots = LLVMBuildAlloca(e->builder, LLVMVectorType(slot, (unsigned)w->width), "slots");
    builder_return(e->builder, here);
    return slots;
}

static void spill(wide *w, LLVMValueRef lanes, LLVMValueRef slots) {
    LLVMTypeRef slot = slot_type(w->e, LLVMGetElementType(LLVMTypeOf(lanes)));
    if (LLVMGetElementType(LLVMTypeOf(lanes)) != slot)
        lanes = LLVMBuildZExt(w->e->builder, lanes, LLVMVectorType(slot, (unsigned)w->width), "");
    LLVMBuildStore(w->e->builder, lanes, slots);
}

static LLVMValueRef unspill(wide *w, LLVMTypeRef type, LLVMValueRef slots) {
    LLVMTypeRef slot = slot_type(w->e, LLVMGetElementType(type));
    LLVMValueRef lanes = LLVMBuildLoad2(w->e->builder, LLVMVectorType(slot, (unsigned)w->width), slots, "lanes");
    return LLVMGetElementType(type) == slot ? lanes : LLVMBuildTrunc(w->e->builder, lanes, type, "lanes");
}

/* The carried value of the lane whose turn it is. */
static LLVMValueRef slot_address(wide *w, LLVMTypeRef type, LLVMValueRef slots, LLVMValueRef counter) {
    LLVMValueRef lane = LLVMBuildSub(w->e->builder, counter, w->middle, "lane");
    return LLVMBuildGEP2(w->e->builder, slot_type(w->e, type), slots, &lane, 1, "slot");
}

static void read_slot(wide *w, uint32_t c, LLVMValueRef slots, LLVMValueRef counter) {
    LLVMTypeRef type = LLVMGetElementType(LLVMTypeOf(w->lanes[c]));
    LLVMValueRef address = slot_address(w, type, slots, counter);
    LLVMValueRef v = LLVMBuildLoad2(w->e->builder, slot_type(w->e, type), address, "carried");
    if (LLVMTypeOf(v) != type) v = LLVMBuildTrunc(w->e->builder, v, type, "carried");
    emit_set_value(w->e, w->s->loop.carries[c].inner, v);
}

static void write_slot(wide *w, uint32_t c, LLVMValueRef slots, LLVMValueRef counter) {
    LLVMTypeRef type = LLVMGetElementType(LLVMTypeOf(w->lanes[c]));
    LLVMValueRef v = emit_value(w->e, w->s->loop.carries[c].next);
    LLVMValueRef address = slot_address(w, type, slots, counter);
    if (slot_type(w->e, type) != type) v = LLVMBuildZExt(w->e->builder, v, slot_type(w->e, type), "");
    LLVMBuildStore(w->e->builder, v, address);
}

/* Lane by lane; the carried lanes lie in memory meanwhile. */
static void scalar_steps(wide *w, LLVMValueRef *nexts) {
    uint32_t n = w->s->loop.n_carries;
    loop l;
    LLVMValueRef *slots = tn_calloc(n + 1u, sizeof *slots);
    if (!slots) emit_fail(w->e, TN_ERR_MEMORY, "out of memory");
    if (!slots || !emit_loop_init(w->e, &l, w->s)) {
        tn_free(slots);
        return;
    }
    for (uint32_t c = 0; c < n; c++) spill(w, w->lanes[c], slots[c] = new_slots(w, w->lanes[c]));
    l.begin = w->middle;
    l.end = w->end;
    l.runs = true;
    l.n_phis = 0;
    emit_loop_open(w->e, &l, NULL);
    for (uint32_t c = 0; c < n; c++) read_slot(w, c, slots[c], l.counter);
    emit_block(w->e, &w->s->loop.body);
    for (uint32_t c = 0; c < n && !w->e->failed; c++) write_slot(w, c, slots[c], l.counter);
    if (!w->e->failed) emit_loop_close(w->e, &l, NULL, NULL, NULL);
    for (uint32_t c = 0; c < n && !w->e->failed; c++) nexts[c] = unspill(w, LLVMTypeOf(w->lanes[c]), slots[c]);
    emit_loop_free(&l);
    tn_free(slots);
}

/* Steps from `middle` to `end`, when there are any. */
static void rest(wide *w) {
    emit *e = w->e;
    uint32_t n = w->s->loop.n_carries;
    LLVMValueRef *nexts = tn_calloc(n + 1u, sizeof *nexts);
    if (!nexts) {
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
        return;
    }
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->builder);
    LLVMBasicBlockRef tail = emit_new_block(e, "rest", w->number), done = emit_new_block(e, "done", w->number);
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, w->middle, w->end, "any"), tail, done);
    LLVMPositionBuilderAtEnd(e->builder, tail);
    if (has_masked_tail(e, w->s))
        masked_step(w, nexts);
    else
        scalar_steps(w, nexts);
    LLVMBasicBlockRef after = LLVMGetInsertBlock(e->builder);
    LLVMBuildBr(e->builder, done);
    LLVMPositionBuilderAtEnd(e->builder, done);
    for (uint32_t i = 0; i < n && !e->failed; i++) {
        LLVMValueRef phi = LLVMBuildPhi(e->builder, LLVMTypeOf(w->lanes[i]), "carried");
        LLVMAddIncoming(phi, &w->lanes[i], &before, 1);
        LLVMAddIncoming(phi, &nexts[i], &after, 1);
        w->lanes[i] = phi;
    }
    tn_free(nexts);
}

/* ---- The whole ---- */

static void lanes_of_loop(wide *w, LLVMValueRef *carried) {
    emit *e = w->e;
    const lt_carry *carries = w->s->loop.carries;
    uint32_t n = w->s->loop.n_carries;
    enter_lanes(e, w->s);
    emit_mark_varying(e, w->s);
    for (uint32_t i = 0; i < n; i++) w->lanes[i] = emit_splat(e, neutral(e, carries[i].combine, carries[i].dtype));
    leave_lanes(e);
    if (w->steps < 0 || w->steps >= w->width) emit_stream_either_way(w->e, emit_streams(w->e, w->s), whole_groups, w);
    if (!e->failed && w->width > 1 && (w->steps < 0 || w->steps % w->width)) rest(w);
    for (uint32_t i = 0; i < n && !e->failed; i++) {
        LLVMValueRef all = w->width > 1 ? combine_lanes(e, &carries[i], w->lanes[i]) : w->lanes[i];
        carried[i] = combine_two(e, &carries[i], carried[i], all);
    }
}

void emit_vector_loop(emit *e, const lt_stmt *s, LLVMValueRef *carried) {
    uint32_t n = s->loop.n_carries;
    wide w = {.e = e, .s = s, .number = dim_variable_number(e->dims, s->loop.variable), .width = s->loop.width};
    w.steps = emit_loop_steps(e, s);
    if (w.steps == 0) return;
    w.lanes = tn_calloc(2 * (size_t)n + 1, sizeof *w.lanes);
    if (!w.lanes) {
        emit_fail(e, TN_ERR_MEMORY, "out of memory");
        return;
    }
    split_range(&w);
    if (n == 0 || w.steps > 0 || emit_loop_runs(e, s))
        lanes_of_loop(&w, carried);
    else {
        /* Without a step, carried values stay as they are. */
        LLVMValueRef *inits = w.lanes + n;
        for (uint32_t i = 0; i < n; i++) inits[i] = carried[i];
        LLVMBasicBlockRef before = LLVMGetInsertBlock(e->builder);
        LLVMBasicBlockRef some = emit_new_block(e, "some", w.number), join = emit_new_block(e, "after", w.number);
        LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, w.begin, w.end, "any"), some, join);
        LLVMPositionBuilderAtEnd(e->builder, some);
        lanes_of_loop(&w, carried);
        LLVMBasicBlockRef after = LLVMGetInsertBlock(e->builder);
        LLVMBuildBr(e->builder, join);
        LLVMPositionBuilderAtEnd(e->builder, join);
        for (uint32_t i = 0; i < n && !e->failed; i++) {
            LLVMValueRef phi = LLVMBuildPhi(e->builder, LLVMTypeOf(inits[i]), "carried");
            LLVMAddIncoming(phi, &inits[i], &before, 1);
            LLVMAddIncoming(phi, &carried[i], &after, 1);
            carried[i] = phi;
        }
    }
    tn_free(w.lanes);
}
