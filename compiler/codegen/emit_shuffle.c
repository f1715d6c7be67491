/* Loads whose lanes lie at known distances from the first: whole vectors and shuffles.
 *
 * in:  an index that depends on the lane through the loop's counter alone
 * out: lanes a few elements apart (every second to fourth, or backwards): the vectors that cover them, each lane
 *      taken from its own. Lanes woven from two or four runs (at x mod 4 * pitch + x / 4): a part of a vector from
 *      each run, interleaved
 * law: nothing before the first or behind the last element is read that the load wants, or one of its block that goes
 *      with it
 *
 * Loads of a block with the same stride from places nearby, as the taps of a kernel make them, share what they read:
 * they take their lanes from the same vectors, and what is a stride ahead of or behind another is that one moved by a
 * lane. That they come out as the same instructions is enough; LLVM keeps one of each.
 */
#include "compiler/codegen/emit_state.h"

#include <string.h>

enum {
    MOST_LANES = 256,
    MOST_PARTS = 4,
    FRESH_VARIABLE = 0x7ffffff8, /* far from the numbers of any kernel's own */
};

/* ---- Where the lanes lie ---- */

static bool visit_leaf(void *ctx, tn_dim leaf) {
    const emit *e = ctx;
    return dim_kind_of(e->dims, leaf) != DIM_VARIABLE || leaf == e->counter ||
           !e->variables[dim_variable_number(e->dims, leaf)].is_varying;
}

static tn_dim first_of_counter(const emit *e) {
    for (size_t i = e->n_ranges; i-- > 0;)
        if (e->ranges[i].leaf == e->counter) return e->ranges[i].low;
    return DIM_INVALID;
}

/* Elements from lane 0 to each lane, when they are the same in every group of lanes. A group's counter is the
 * loop's first one and a multiple of the lanes more. */
static bool lane_offsets(emit *e, tn_dim index, int64_t *offsets) {
    tn_dim first = first_of_counter(e), fresh = dim_variable(e->dims, FRESH_VARIABLE), at_zero = DIM_INVALID;
    if (first == DIM_INVALID || e->lanes > MOST_LANES || !dim_visit_leaves(e->dims, index, visit_leaf, e)) return false;
    dim_range range = {fresh, dim_const(e->dims, 0), DIM_INVALID};
    tn_dim group = dim_add(e->dims, first, dim_mul_const(e->dims, fresh, e->lanes));
    for (uint32_t i = 0; i < e->lanes; i++) {
        tn_dim counter = dim_add_const(e->dims, group, i);
        tn_dim at = dim_simplify(e->dims, dim_substitute(e->dims, index, &e->counter, &counter, 1), &range, 1);
        if (i == 0) at_zero = at;
        if (!dim_is_const(e->dims, dim_sub(e->dims, at, at_zero), &offsets[i])) return false;
    }
    return true;
}

/* ---- Loads that go together ---- */

/* Lanes of a load, counted in elements from its lane 0. */
typedef struct lanes_wanted {
    emit *e;
    LLVMTypeRef element;
    uint32_t buffer, lanes;
    tn_dim index;
    LLVMValueRef guard; /* a scalar condition, or NULL */
    int64_t at[MOST_LANES];
    bool is_live[MOST_LANES];
    bool all_live;
    int64_t low, high;        /* what may be read: the first and the last element */
    int64_t origin;           /* where vectors that cover the elements begin */
    bool is_masked;           /* vectors reach beyond what may be read, and have 0 there */
    bool is_zero[MOST_LANES]; /* lanes that have become 0 by that */
} lanes_wanted;

/* Which lanes a guard lets through, when that is known or the same for all. */
static bool read_guard(lanes_wanted *w, LLVMValueRef guard) {
    bool by_lane = guard && emit_is_vector(guard);
    w->guard = by_lane ? NULL : guard;
    w->all_live = true;
    for (uint32_t i = 0; i < w->lanes; i++) w->is_live[i] = true;
    if (!by_lane) return true;
    if (!LLVMIsConstant(guard)) return false;
    for (uint32_t i = 0; i < w->lanes; i++) {
        LLVMValueRef lane = LLVMGetAggregateElement(guard, i);
        if (!lane || !LLVMIsAConstantInt(lane)) return false;
        w->is_live[i] = LLVMConstIntGetZExtValue(lane) != 0;
        w->all_live &= w->is_live[i];
    }
    return true;
}

static uint32_t first_live(const lanes_wanted *w) {
    uint32_t i = 0;
    while (i + 1 < w->lanes && !w->is_live[i]) i++;
    return i;
}

/* The first and the last element that live lanes want; false: there is none. */
static bool read_extent(lanes_wanted *w) {
    bool any = false;
    for (uint32_t i = 0; i < w->lanes; i++) {
        if (!w->is_live[i]) continue;
        w->low = any && w->low < w->at[i] ? w->low : w->at[i];
        w->high = any && w->high > w->at[i] ? w->high : w->at[i];
        any = true;
    }
    return any;
}

static bool may_read(const lanes_wanted *w, int64_t element) { return element >= w->low && element <= w->high; }

static unsigned element_bits(LLVMTypeRef element) {
    switch (LLVMGetTypeKind(element)) {
    case LLVMIntegerTypeKind: return LLVMGetIntTypeWidth(element);
    case LLVMDoubleTypeKind: return 64;
    default: return 32;
    }
}

/* A register full of elements, or the most of which one lies within the span. */
static uint32_t part_width(const lanes_wanted *w, int64_t span) {
    int64_t wide = machine_lanes(&w->e->out->target->machine, element_bits(w->element));
    if (wide < w->lanes) wide = w->lanes;
    while (wide > span && wide > 1) wide /= 2;
    return (uint32_t)wide;
}

static bool has_masked_loads(const lanes_wanted *w) {
    const target *t = w->e->out->target;
    return t->is_x86 && t->machine.vector_bytes >= 32 &&
           (element_bits(w->element) >= 32 || machine_has_masks(&t->machine));
}

/* Whether the guard's value is there before `load` is emitted. */
static bool is_ready(const emit *e, const lt_stmt *load, lt_value guard) {
    if (guard == LT_NONE) return true;
    bool before = true;
    for (uint32_t i = 0; i < e->block->n; i++) {
        before &= e->block->items[i] != load;
        if (e->block->items[i]->result == guard) return before;
    }
    return true;
}

/* Whether another load of the block is from the same buffer, at a distance that is known and within [first, last]. */
static bool is_near(const lanes_wanted *w, const lt_stmt *other, int64_t first, int64_t last, int64_t *distance) {
    emit *e = w->e;
    if (other->kind != LT_LOAD || other->access.buffer != w->buffer) return false;
    tn_dim index = emit_substitute(e, other->access.index);
    int64_t own = emit_constant_term(e, w->index), its = emit_constant_term(e, index);
    *distance = its - own;
    return *distance >= first && *distance <= last &&
           dim_add_const(e->dims, w->index, -own) == dim_add_const(e->dims, index, -its);
}

/* The power of two that divides the index of that element, as far as it is known. */
static int64_t alignment_of(const lanes_wanted *w, int64_t element) {
    int64_t at = emit_constant_term(w->e, w->index) + element;
    return at ? at & -at : INT64_MAX;
}

/* Whether vectors had better begin at `at`: where more of what they cover is wanted, or where they are aligned. */
static bool is_better_origin(const lanes_wanted *w, int64_t stride, int64_t at) {
    int64_t behind = stride * w->lanes - 1;
    bool is_whole = at >= w->low && at + behind <= w->high,
         was_whole = w->origin >= w->low && w->origin + behind <= w->high;
    int64_t aligned = alignment_of(w, at), was_aligned = alignment_of(w, w->origin);
    if (is_whole != was_whole || aligned != was_aligned)
        return is_whole != was_whole ? is_whole : aligned > was_aligned;
    return at < w->origin;
}

/* Finds what may be read, and the origin, for all loads that are at most a stride apart, one from the next. */
static void join_related(lanes_wanted *w, const lt_stmt *load, int64_t stride) {
    const lt_block *block = w->e->block;
    int64_t first = 0, last = 0, at;
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = 0; i < block->n; i++) {
            if (!is_near(w, block->items[i], first - stride, last + stride, &at) || (at >= first && at <= last))
                continue;
            first = at < first ? at : first;
            last = at > last ? at : last;
            again = true;
        }
    }
    bool has_gaps = !w->all_live;
    for (uint32_t i = 0; i < block->n; i++) {
        const lt_stmt *other = block->items[i];
        if (!is_near(w, other, first, last, &at) || !is_ready(w->e, load, other->access.guard)) continue;
        lanes_wanted its = *w;
        if (!read_guard(&its, emit_guard(w->e, other->access.guard)) || its.guard != w->guard || !read_extent(&its))
            continue;
        w->low = its.low + at < w->low ? its.low + at : w->low;
        w->high = its.high + at > w->high ? its.high + at : w->high;
        has_gaps |= !its.all_live;
    }
    w->is_masked = has_gaps && has_masked_loads(w);
    w->origin = w->low;
    for (uint32_t i = 0; i < block->n; i++)
        if (is_near(w, block->items[i], first, last, &at) && may_read(w, at) && is_better_origin(w, stride, at))
            w->origin = at;
}

/* ---- Shuffles ---- */

static LLVMValueRef load_part(const lanes_wanted *w, int64_t offset, uint32_t n) {
    emit *e = w->e;
    LLVMValueRef address = emit_address(e, w->buffer, dim_add_const(e->dims, w->index, offset)), mask[MOST_LANES];
    LLVMTypeRef type = LLVMVectorType(w->element, n);
    if (w->guard) address = emit_address_if(e, w->guard, address, type);
    unsigned alignment = emit_alignment(e, w->buffer);
    if (w->is_masked && !(may_read(w, offset) && may_read(w, offset + (int64_t)n - 1))) {
        for (uint32_t i = 0; i < n; i++) mask[i] = LLVMConstInt(e->i1, may_read(w, offset + (int64_t)i), false);
        return emit_masked_load(e, type, address, LLVMConstVector(mask, n), alignment);
    }
    LLVMValueRef v = LLVMBuildLoad2(e->builder, n > 1 ? type : w->element, address, "");
    LLVMSetAlignment(v, alignment);
    LLVMValueRef zero = LLVMConstInt(e->i32, 0, false);
    return n > 1 ? v : LLVMBuildInsertElement(e->builder, LLVMGetPoison(type), v, zero, "");
}

/* Lanes numbered -1 are any. */
static LLVMValueRef shuffle(emit *e, LLVMValueRef a, LLVMValueRef b, const int64_t *from, uint32_t n) {
    LLVMValueRef numbers[MOST_LANES];
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = from[i] < 0 ? LLVMGetPoison(e->i32) : LLVMConstInt(e->i32, (uint64_t)from[i], false);
    return LLVMBuildShuffleVector(e->builder, a, b, LLVMConstVector(numbers, n), "lanes");
}

/* Where a vector of `wide` elements begins that should begin at `start`, but not beyond what may be read. */
static int64_t start_within(const lanes_wanted *w, int64_t start, uint32_t wide) {
    start = start + wide - 1 > w->high ? w->high - wide + 1 : start;
    return start < w->low ? w->low : start;
}

/* Lanes from vectors of `wide` elements, one behind the other from `origin` on. Those of what may not be read are any,
 * 0 when vectors are masked. */
static LLVMValueRef load_near(const lanes_wanted *w, const int64_t *at, int64_t origin, uint32_t wide) {
    uint32_t n = w->lanes, n_parts = 1;
    LLVMValueRef parts[MOST_PARTS] = {NULL};
    int64_t starts[MOST_PARTS], from[MOST_LANES] = {0}, own[MOST_LANES] = {0};
    for (uint32_t i = 0; i < n; i++) {
        own[i] = at[i] >= origin && (may_read(w, at[i]) || w->is_masked) ? (at[i] - origin) / wide : -1;
        n_parts = own[i] >= n_parts ? (uint32_t)own[i] + 1 : n_parts;
    }
    for (uint32_t p = 0; p < n_parts; p++) {
        starts[p] = origin + (int64_t)p * wide;
        if (!w->is_masked) starts[p] = start_within(w, starts[p], wide);
        parts[p] = load_part(w, starts[p], wide);
    }
    /* Two and two, each lane in its place at once; then the halves are blended. */
    for (uint32_t pairs = 0; 2 * pairs < n_parts; pairs++) {
        uint32_t a = 2 * pairs, b = a + 1 < n_parts ? a + 1 : a;
        for (uint32_t i = 0; i < n; i++) {
            int64_t in_pair = own[i] == b && b != a ? wide : 0;
            from[i] = own[i] == a || own[i] == b ? at[i] - starts[own[i]] + in_pair : -1;
        }
        parts[pairs] = shuffle(w->e, parts[a], parts[b], from, n);
    }
    if (n_parts <= 2) return parts[0];
    for (uint32_t i = 0; i < n; i++) from[i] = own[i] < 0 ? -1 : (int64_t)i + (own[i] < 2 ? 0 : n);
    return shuffle(w->e, parts[0], parts[1], from, n);
}

/* The first and the last lane that counts and is not to be had from those of the origin; false: there is none. */
static bool find_missing(const lanes_wanted *w, int64_t moved, int64_t *first, int64_t *last) {
    bool any = false;
    for (int64_t i = 0; i < w->lanes; i++) {
        if (!w->is_live[i] || (i + moved >= 0 && i + moved < w->lanes)) continue;
        if (!any) *first = i;
        *last = i;
        any = true;
    }
    return any;
}

/* Lanes `stride` apart: those that begin less than a stride behind the origin, moved by as many lanes as they lie ahead
 * or behind; what comes in is from one vector more. */
static LLVMValueRef load_strided(lanes_wanted *w, int64_t stride, uint32_t wide) {
    int64_t n = w->lanes, phase = (-w->origin % stride + stride) % stride, moved = (-w->origin - phase) / stride;
    int64_t at[MOST_LANES] = {0}, from[MOST_LANES] = {0}, first = 0, last = 0;
    for (int64_t i = 0; i < n; i++) {
        bool is_there = i + moved >= 0 && i + moved < n;
        from[i] = is_there ? i + moved : -1;
        at[i] = is_there ? w->at[i] : w->origin - 1;
        w->is_zero[i] = w->is_masked && is_there && !may_read(w, w->at[i]);
    }
    if (!find_missing(w, moved, &first, &last)) return load_near(w, at, w->origin, wide);
    int64_t start = start_within(w, moved < 0 ? w->at[first] : w->at[last] - wide + 1, wide);
    if (w->at[first] < start || w->at[last] >= start + wide) {
        memset(w->is_zero, 0, sizeof w->is_zero);
        return load_near(w, w->at, w->at[first_live(w)], wide);
    }
    for (int64_t i = 0; i < n; i++) at[i] = w->origin + phase + i * stride;
    LLVMValueRef base = load_near(w, at, w->origin, wide), more = load_part(w, start, wide);
    for (int64_t i = 0; i < n; i++) at[i] = i >= first && i <= last ? w->at[i] - start : -1;
    if (wide != n) more = shuffle(w->e, more, more, at, w->lanes);
    for (int64_t i = first; i <= last; i++) from[i] = n + (wide != n ? i : at[i]);
    return shuffle(w->e, base, more, from, w->lanes);
}

/* Lane l is element l / runs of run l mod runs. */
static LLVMValueRef load_woven(const lanes_wanted *w, uint32_t runs) {
    uint32_t n = w->lanes, each = n / runs;
    int64_t from[MOST_LANES] = {0};
    LLVMValueRef parts[MOST_PARTS] = {NULL};
    for (uint32_t r = 0; r < runs; r++) parts[r] = load_part(w, w->at[r], each);
    if (runs == 4)
        for (uint32_t r = 0; r < 2; r++) {
            for (uint32_t i = 0; i < n / 2; i++) from[i] = i;
            parts[r] = shuffle(w->e, parts[2 * r], parts[2 * r + 1], from, n / 2);
        }
    for (uint32_t i = 0; i < n; i++) from[i] = i % runs * each + i / runs;
    return shuffle(w->e, parts[0], parts[1], from, n);
}

static bool is_woven(const int64_t *offsets, uint32_t n, uint32_t runs) {
    for (uint32_t i = 0; i < n; i++)
        if (n < runs || offsets[i] != offsets[i % runs] + i / runs) return false;
    return true;
}

/* Elements between lanes when they are few and the same between all; else 0. */
static int64_t near_stride(const lanes_wanted *w) {
    int64_t stride = w->lanes > 1 ? w->at[1] - w->at[0] : 0;
    for (uint32_t i = 0; i < w->lanes; i++)
        if (w->at[i] != i * stride) return 0;
    return stride >= 2 && stride <= MOST_PARTS ? stride : 0;
}

/* ---- Entry ---- */

/* Makes 0 of lanes that do not count and are not 0 yet.
 * By bits: of a shuffle with zeros LLVM may make an expansion, which takes longer. */
static LLVMValueRef clear_dead(const lanes_wanted *w, LLVMValueRef lanes) {
    LLVMBuilderRef b = w->e->builder;
    LLVMTypeRef word = LLVMIntTypeInContext(w->e->context, element_bits(w->element));
    LLVMValueRef kept[MOST_LANES];
    bool is_clear = true;
    for (uint32_t i = 0; i < w->lanes; i++) {
        bool is_right = w->is_live[i] || w->is_zero[i];
        is_clear &= is_right;
        kept[i] = LLVMConstInt(word, is_right ? UINT64_MAX : 0, true);
    }
    if (is_clear) return lanes;
    LLVMValueRef some = LLVMBuildFreeze(b, lanes, ""); /* lanes that are any are no poison from here on */
    LLVMValueRef bits = LLVMBuildBitCast(b, some, LLVMVectorType(word, w->lanes), "");
    bits = LLVMBuildAnd(b, bits, LLVMConstVector(kept, w->lanes), "");
    return LLVMBuildBitCast(b, bits, LLVMTypeOf(lanes), "lanes");
}

LLVMValueRef emit_shuffled_load(emit *e, const lt_stmt *load, LLVMTypeRef element, LLVMValueRef guard) {
    lanes_wanted w = {.e = e, .element = element, .buffer = load->access.buffer, .lanes = e->lanes};
    w.index = emit_substitute(e, load->access.index);
    if (!lane_offsets(e, w.index, w.at) || !read_guard(&w, guard)) return NULL;
    if (!read_extent(&w)) return LLVMConstNull(LLVMVectorType(element, e->lanes));
    int64_t stride = near_stride(&w), span = w.high - w.low < 1 << 20 ? w.high - w.low + 1 : 0;
    if (stride) {
        join_related(&w, load, stride);
        uint32_t wide = e->lanes;
        while (!w.is_masked && wide > w.high - w.low + 1) wide /= 2;
        return clear_dead(&w, load_strided(&w, stride, wide));
    }
    uint32_t wide = part_width(&w, span), runs = is_woven(w.at, e->lanes, 2) ? 2 : is_woven(w.at, e->lanes, 4) ? 4 : 0;
    if (!w.all_live) return NULL;
    if (span >= e->lanes && span <= MOST_PARTS * (int64_t)wide) return load_near(&w, w.at, w.low, wide);
    return runs ? load_woven(&w, runs) : NULL;
}
