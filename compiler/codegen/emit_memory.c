/* Loads and stores.
 *
 * in:  accesses of the loop tree, with or without a guard
 * out: scalar accesses, contiguous vectors, gathers and scatters, or one access a lane
 * law: memory is touched only where the guard holds. A load whose guard is a scalar reads from a
 *      block of zeros instead, which costs no branch; a store is branched around
 */
#include "compiler/codegen/emit_state.h"

#include <stddef.h>

enum { WIDEST_LANES = 256 };

/* ---- Buffers ---- */

static LLVMValueRef load_slot(emit *e, LLVMTypeRef type, uint32_t slot, const char *name) {
    LLVMValueRef index = emit_const_i64(e, slot);
    LLVMValueRef address = LLVMBuildGEP2(e->builder, e->i64, e->args, &index, 1, "");
    return LLVMBuildLoad2(e->builder, type, address, name);
}

LLVMValueRef emit_frame_field(emit *e, LLVMTypeRef type, size_t offset, const char *name) {
    LLVMValueRef frame = load_slot(e, e->pointer, ABI_FRAME, "frame");
    LLVMValueRef at = emit_const_i64(e, (int64_t)offset);
    LLVMValueRef address = LLVMBuildGEP2(e->builder, LLVMInt8TypeInContext(e->context), frame, &at, 1, "");
    return LLVMBuildLoad2(e->builder, type, address, name);
}

LLVMValueRef emit_slot_i64(emit *e, uint32_t slot, const char *name) { return load_slot(e, e->i64, slot, name); }

/* frame->scratch + worker * stride + offset of the kernel + offset of the buffer. */
static LLVMValueRef scratch_address(emit *e, uint32_t buffer, const char *name) {
    LLVMValueRef base = emit_frame_field(e, e->pointer, offsetof(tn_frame, scratch), "scratch");
    LLVMValueRef stride = load_slot(e, e->i64, ABI_SCRATCH_STRIDE, "scratch_stride");
    LLVMValueRef worker = LLVMBuildSExt(e->builder, e->worker, e->i64, "");
    LLVMValueRef bytes = LLVMBuildMul(e->builder, worker, stride, "");
    bytes = LLVMBuildAdd(e->builder, bytes, load_slot(e, e->i64, ABI_SCRATCH_OFFSET, "scratch_offset"), "");
    tn_dim before = abi_scratch_offset(e->kernel, buffer);
    bytes = LLVMBuildAdd(e->builder, bytes, emit_dim(e, before), "");
    return LLVMBuildGEP2(e->builder, LLVMInt8TypeInContext(e->context), base, &bytes, 1, name);
}

static LLVMValueRef local_address(emit *e, const lt_buffer *b) {
    int64_t elements = 1;
    dim_is_const(e->dims, b->elements, &elements);
    LLVMTypeRef element = vmath_memory_type(e->context, b->dtype, 0);
    LLVMTypeRef type = LLVMArrayType2(element, (uint64_t)(elements > 0 ? elements : 1));
    LLVMValueRef local = LLVMBuildAlloca(e->builder, type, b->name);
    LLVMSetAlignment(local, ABI_ALIGNMENT);
    return local;
}

LLVMValueRef emit_buffer(emit *e, uint32_t buffer) {
    if (e->buffers[buffer]) return e->buffers[buffer];
    const lt_buffer *b = &e->kernel->buffers[buffer];
    builder_place here = builder_leave(e->builder);
    LLVMPositionBuilderBefore(e->builder, LLVMGetBasicBlockTerminator(e->entry));
    LLVMValueRef address;
    if (abi_has_slot(b))
        address = load_slot(e, e->pointer, abi_buffer_slot(e->kernel, buffer), b->name);
    else if (b->role == LT_SCRATCH)
        address = scratch_address(e, buffer, b->name);
    else
        address = local_address(e, b);
    if (!e->extents) debug_elements(e->out->debug, e->builder, e->described, b->name, b->dtype, address);
    builder_return(e->builder, here);
    return e->buffers[buffer] = address;
}

/* Ours are aligned. The caller's may lie anywhere, but where that would cost: then elements are aligned. */
unsigned emit_alignment(const emit *e, uint32_t buffer) {
    const lt_buffer *b = &e->kernel->buffers[buffer];
    bool is_callers = b->role == LT_INPUT || b->role == LT_OUTPUT;
    return is_callers && !e->out->target->wants_alignment ? 1 : tn_dtype_bits(b->dtype) / 8;
}

tn_dim abi_scratch_offset(const lt_kernel *k, uint32_t buffer) {
    dim_table *t = k->module->dims;
    tn_dim total = dim_const(t, 0);
    for (uint32_t i = 0; i < buffer; i++) {
        const lt_buffer *b = &k->buffers[i];
        if (b->role != LT_SCRATCH) continue;
        tn_dim bytes = dim_mul_const(t, b->elements, tn_dtype_bits(b->dtype) / 8);
        tn_dim lines = dim_ceildiv(t, bytes, dim_const(t, ABI_ALIGNMENT));
        total = dim_add(t, total, dim_mul_const(t, lines, ABI_ALIGNMENT));
    }
    return total;
}

/* ---- Guards ---- */

LLVMValueRef emit_guard(emit *e, lt_value guard) {
    LLVMValueRef g = guard == LT_NONE ? NULL : emit_value(e, guard);
    if (!e->mask) return g;
    return g ? LLVMBuildAnd(e->builder, emit_splat(e, g), e->mask, "live") : e->mask;
}

/* Whether any live lane's guard holds, as one bit; NULL: always. Some lane is always live. */
static LLVMValueRef any_lane(emit *e, lt_value guard) {
    if (guard == LT_NONE || !emit_is_vector(emit_value(e, guard)))
        return guard == LT_NONE ? NULL : emit_value(e, guard);
    LLVMValueRef g = emit_guard(e, guard);
    LLVMTypeRef type = LLVMTypeOf(g);
    return emit_intrinsic(e, "llvm.vector.reduce.or", &type, 1, &g, 1, "any");
}

/* A block of zeros that a value of `type` can be read from: one for all, as large as the largest needs. */
static LLVMValueRef zeros(emit *e, LLVMTypeRef type) {
    static const char name[] = "tenon.zeros";
    LLVMValueRef old = LLVMGetNamedGlobal(e->module, name);
    uint64_t bytes = LLVMABISizeOfType(LLVMGetModuleDataLayout(e->module), type);
    if (old && LLVMGetArrayLength2(LLVMGlobalGetValueType(old)) >= bytes) return old;
    LLVMTypeRef all = LLVMArrayType2(LLVMInt8TypeInContext(e->context), bytes);
    LLVMValueRef z = LLVMAddGlobal(e->module, all, "");
    LLVMSetInitializer(z, LLVMConstNull(all));
    LLVMSetGlobalConstant(z, true);
    LLVMSetLinkage(z, LLVMPrivateLinkage);
    LLVMSetAlignment(z, ABI_ALIGNMENT);
    if (old) {
        LLVMReplaceAllUsesWith(old, z);
        LLVMDeleteGlobal(old);
    }
    LLVMSetValueName2(z, name, sizeof name - 1);
    return z;
}

LLVMValueRef emit_address_if(emit *e, LLVMValueRef condition, LLVMValueRef address, LLVMTypeRef type) {
    return LLVMBuildSelect(e->builder, condition, address, zeros(e, type), "safe");
}

/* ---- One lane after the other, and by hardware ---- */

static LLVMValueRef lane_of(emit *e, LLVMValueRef vector, uint32_t lane) {
    return LLVMBuildExtractElement(e->builder, vector, LLVMConstInt(e->i32, lane, false), "");
}

/* The addresses of all lanes, computed as they are asked for. */
typedef struct lane_addresses {
    uint32_t buffer;
    lane_pattern pattern;
    LLVMValueRef first, stride; /* strided: lane 0 and elements between lanes */
    LLVMValueRef indices;       /* any: i64 lanes */
} lane_addresses;

static lane_addresses addresses_of(emit *e, uint32_t buffer, tn_dim index) {
    tn_dim stride;
    lane_addresses a = {.buffer = buffer, .pattern = emit_lane_pattern(e, index, &stride)};
    if (a.pattern == LANES_ANY)
        a.indices = emit_dim_vector(e, index);
    else {
        a.first = emit_address(e, buffer, index);
        a.stride = emit_dim(e, stride);
    }
    return a;
}

static LLVMValueRef lane_address(emit *e, const lane_addresses *a, uint32_t lane) {
    if (a->pattern == LANES_ANY)
        return emit_address_plus(e, a->buffer, emit_buffer(e, a->buffer), lane_of(e, a->indices, lane));
    if (lane == 0) return a->first;
    LLVMValueRef distance = LLVMBuildMul(e->builder, a->stride, emit_const_i64(e, lane), "");
    return emit_address_plus(e, a->buffer, a->first, distance);
}

static LLVMValueRef all_addresses(emit *e, const lane_addresses *a) {
    LLVMValueRef indices = a->indices, base = emit_buffer(e, a->buffer);
    if (a->pattern != LANES_ANY) {
        LLVMValueRef numbers[WIDEST_LANES];
        for (uint32_t i = 0; i < e->lanes; i++) numbers[i] = emit_const_i64(e, i);
        indices = LLVMBuildMul(e->builder, emit_splat(e, a->stride), LLVMConstVector(numbers, e->lanes), "");
        base = a->first;
    }
    LLVMTypeRef element = vmath_memory_type(e->context, e->kernel->buffers[a->buffer].dtype, 0);
    return LLVMBuildGEP2(e->builder, element, base, &indices, 1, "at");
}

/* Calls a masked intrinsic. `pointer_arg` is where its address stands; LLVM before 22 takes the
 * alignment as an argument behind it, later ones as an attribute. */
static LLVMValueRef masked_call(emit *e, const char *name, LLVMTypeRef *types, unsigned n_types, LLVMValueRef *args,
                                unsigned n, unsigned pointer_arg, unsigned alignment) {
#if LLVM_VERSION_MAJOR < 22
    LLVMValueRef all[5];
    unsigned m = 0;
    for (unsigned i = 0; i < n; i++) {
        all[m++] = args[i];
        if (i == pointer_arg) all[m++] = LLVMConstInt(e->i32, alignment, false);
    }
    return emit_intrinsic(e, name, types, n_types, all, m, "");
#else
    LLVMValueRef call = emit_intrinsic(e, name, types, n_types, args, n, "");
    unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
    LLVMAddCallSiteAttribute(call, pointer_arg + 1, LLVMCreateEnumAttribute(e->context, kind, alignment));
    return call;
#endif
}

LLVMValueRef emit_masked_load(emit *e, LLVMTypeRef vector, LLVMValueRef address, LLVMValueRef mask,
                              unsigned alignment) {
    LLVMTypeRef types[] = {vector, e->pointer};
    LLVMValueRef args[] = {address, mask, LLVMConstNull(vector)};
    return masked_call(e, "llvm.masked.load", types, 2, args, 3, 0, alignment);
}

void emit_masked_store(emit *e, LLVMValueRef value, LLVMValueRef address, LLVMValueRef mask, unsigned alignment) {
    LLVMTypeRef types[] = {LLVMTypeOf(value), e->pointer};
    LLVMValueRef args[] = {value, address, mask};
    masked_call(e, "llvm.masked.store", types, 2, args, 3, 1, alignment);
}

/* ---- Loads ---- */

static LLVMValueRef plain_load(emit *e, LLVMTypeRef type, LLVMValueRef address, unsigned alignment) {
    LLVMValueRef v = LLVMBuildLoad2(e->builder, type, address, "");
    LLVMSetAlignment(v, alignment);
    return v;
}

static LLVMValueRef load_uniform(emit *e, const lt_stmt *s, LLVMTypeRef type) {
    LLVMValueRef address = emit_address(e, s->access.buffer, s->access.index);
    LLVMValueRef guard = any_lane(e, s->access.guard);
    if (guard) address = emit_address_if(e, guard, address, type);
    return plain_load(e, type, address, emit_alignment(e, s->access.buffer));
}

static LLVMValueRef load_contiguous(emit *e, const lt_stmt *s, LLVMTypeRef type, LLVMValueRef guard) {
    LLVMValueRef address = emit_address(e, s->access.buffer, s->access.index);
    unsigned alignment = emit_alignment(e, s->access.buffer);
    LLVMTypeRef vector = LLVMVectorType(type, e->lanes);
    if (guard && emit_is_vector(guard)) return emit_masked_load(e, vector, address, guard, alignment);
    return plain_load(e, vector, guard ? emit_address_if(e, guard, address, vector) : address, alignment);
}

/* Gathers exist for elements of 32 and 64 bits; they win where the addresses are vectors anyway. */
static bool has_gather(const emit *e, LLVMTypeRef type) {
    LLVMTypeKind kind = LLVMGetTypeKind(type);
    unsigned bits = kind == LLVMIntegerTypeKind ? LLVMGetIntTypeWidth(type) : kind == LLVMDoubleTypeKind ? 64 : 32;
    return e->out->target->is_x86 && e->out->target->machine.vector_bytes >= 32 && bits >= 32;
}

static LLVMValueRef load_lanes(emit *e, const lt_stmt *s, LLVMTypeRef type, LLVMValueRef guard) {
    LLVMValueRef shuffled = emit_shuffled_load(e, s, type, guard);
    if (shuffled) return shuffled;
    lane_addresses a = addresses_of(e, s->access.buffer, s->access.index);
    unsigned alignment = emit_alignment(e, s->access.buffer);
    LLVMTypeRef vector = LLVMVectorType(type, e->lanes);
    LLVMValueRef guards = guard ? emit_splat(e, guard) : NULL;
    if (has_gather(e, type) && (a.pattern == LANES_ANY || guards)) {
        LLVMTypeRef types[] = {vector, LLVMVectorType(e->pointer, e->lanes)};
        LLVMValueRef args[] = {all_addresses(e, &a), guards ? guards : emit_all_true(e), LLVMConstNull(vector)};
        return masked_call(e, "llvm.masked.gather", types, 2, args, 3, 0, alignment);
    }
    LLVMValueRef result = LLVMGetPoison(vector);
    for (uint32_t i = 0; i < e->lanes; i++) {
        LLVMValueRef address = lane_address(e, &a, i);
        if (guards) address = emit_address_if(e, lane_of(e, guards, i), address, type);
        LLVMValueRef element = plain_load(e, type, address, alignment);
        result = LLVMBuildInsertElement(e->builder, result, element, LLVMConstInt(e->i32, i, false), "");
    }
    return result;
}

void emit_load(emit *e, const lt_stmt *s) {
    LLVMTypeRef type = vmath_memory_type(e->context, s->dtype, 0);
    LLVMValueRef memory;
    tn_dim stride;
    lane_pattern pattern = emit_lane_pattern(e, s->access.index, &stride);
    if (pattern == LANES_UNIFORM)
        memory = load_uniform(e, s, type);
    else if (pattern == LANES_STRIDED && dim_is_value(e->dims, stride, 1))
        memory = load_contiguous(e, s, type, emit_guard(e, s->access.guard));
    else
        memory = load_lanes(e, s, type, emit_guard(e, s->access.guard));
    LLVMValueRef value = vmath_unpack(&e->math, s->dtype, memory);
    /* One read serves all lanes, but those that are guarded out get 0. */
    if (pattern == LANES_UNIFORM && s->access.guard != LT_NONE && emit_is_vector(emit_value(e, s->access.guard))) {
        value = emit_splat(e, value);
        value =
            LLVMBuildSelect(e->builder, emit_value(e, s->access.guard), value, LLVMConstNull(LLVMTypeOf(value)), "");
    }
    emit_set_value(e, s->result, value);
}

/* ---- Stores ---- */

/* Runs what follows only if `condition`; ends with end_if. */
typedef struct guarded {
    LLVMBasicBlockRef join;
} guarded;

static guarded begin_if(emit *e, LLVMValueRef condition) {
    guarded g = {NULL};
    if (!condition) return g;
    LLVMBasicBlockRef then = emit_new_block(e, "store", 0);
    g.join = emit_new_block(e, "stored", 0);
    LLVMBuildCondBr(e->builder, condition, then, g.join);
    LLVMPositionBuilderAtEnd(e->builder, then);
    return g;
}

static void end_if(emit *e, guarded g) {
    if (!g.join) return;
    LLVMBuildBr(e->builder, g.join);
    LLVMPositionBuilderAtEnd(e->builder, g.join);
}

static LLVMValueRef plain_store(emit *e, LLVMValueRef value, LLVMValueRef address, unsigned alignment) {
    LLVMValueRef store = LLVMBuildStore(e->builder, value, address);
    LLVMSetAlignment(store, alignment);
    return store;
}

/* The only lane that a constant guard lets through, or -1. LLVM up to 22 stores too many bytes
 * when a truncated vector goes out under such a mask (llvm-project issue 179489). */
static int only_lane(const emit *e, LLVMValueRef guard) {
    int only = -1;
    if (!LLVMIsConstant(guard)) return -1;
    for (uint32_t i = 0; i < e->lanes; i++) {
        LLVMValueRef lane = LLVMGetAggregateElement(guard, i);
        if (!lane || !LLVMIsAConstantInt(lane)) return -1;
        if (LLVMConstIntGetZExtValue(lane) && only >= 0) return -1;
        if (LLVMConstIntGetZExtValue(lane)) only = (int)i;
    }
    return only;
}

static void store_contiguous(emit *e, const lt_stmt *s, LLVMValueRef memory, LLVMValueRef guard) {
    LLVMValueRef address = emit_address(e, s->access.buffer, s->access.index);
    unsigned alignment = emit_alignment(e, s->access.buffer);
    int only = guard && emit_is_vector(guard) ? only_lane(e, guard) : -1;
    if (only >= 0) {
        LLVMValueRef lane = emit_address_plus(e, s->access.buffer, address, emit_const_i64(e, only));
        plain_store(e, lane_of(e, memory, (uint32_t)only), lane, alignment);
        return;
    }
    if (guard && emit_is_vector(guard)) {
        emit_masked_store(e, memory, address, guard, alignment);
        return;
    }
    guarded g = begin_if(e, guard);
    LLVMValueRef store = plain_store(e, memory, address, alignment);
    if (e->streams && emit_is_streamed(e, s->access.buffer))
        emit_stream_store(e, store, e->lanes * tn_dtype_bits(s->dtype) / 8);
    end_if(e, g);
}

static void store_lanes(emit *e, const lt_stmt *s, LLVMValueRef memory, LLVMValueRef guard) {
    lane_addresses a = addresses_of(e, s->access.buffer, s->access.index);
    unsigned alignment = emit_alignment(e, s->access.buffer);
    if (guard && emit_is_vector(guard)) {
        LLVMTypeRef types[] = {LLVMTypeOf(memory), LLVMVectorType(e->pointer, e->lanes)};
        LLVMValueRef args[] = {memory, all_addresses(e, &a), guard};
        masked_call(e, "llvm.masked.scatter", types, 2, args, 3, 1, alignment);
        return;
    }
    guarded g = begin_if(e, guard);
    for (uint32_t i = 0; i < e->lanes; i++) plain_store(e, lane_of(e, memory, i), lane_address(e, &a, i), alignment);
    end_if(e, g);
}

/* All lanes store the same element: the verifier asks for a uniform value. */
static void store_uniform(emit *e, const lt_stmt *s, LLVMValueRef memory) {
    guarded g = begin_if(e, any_lane(e, s->access.guard));
    LLVMValueRef address = emit_address(e, s->access.buffer, s->access.index);
    plain_store(e, memory, address, emit_alignment(e, s->access.buffer));
    end_if(e, g);
}

void emit_store(emit *e, const lt_stmt *s) {
    LLVMValueRef value = emit_value(e, s->access.value);
    tn_dim stride;
    lane_pattern pattern = emit_lane_pattern(e, s->access.index, &stride);
    if (pattern == LANES_UNIFORM && !emit_is_vector(value)) {
        store_uniform(e, s, vmath_pack(&e->math, s->dtype, value));
        return;
    }
    LLVMValueRef guard = emit_guard(e, s->access.guard);
    LLVMValueRef memory = vmath_pack(&e->math, s->dtype, emit_splat(e, value));
    if (pattern == LANES_STRIDED && dim_is_value(e->dims, stride, 1))
        store_contiguous(e, s, memory, guard);
    else
        store_lanes(e, s, memory, guard);
}
