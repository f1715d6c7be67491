/* Loads whose lanes lie at known distances from the first: whole vectors and shuffles.
 *
 * in:  an index that depends on the lane through the loop's counter alone
 * out: lanes a few elements apart (every second to fourth, or backwards): the vectors that cover them, each lane
 *      taken from its own. Lanes woven from two or four runs (at x mod 4 * pitch + x / 4): a part of a vector from
 *      each run, interleaved
 * law: nothing before the first or behind the last element wanted is read
 */
#include "compiler/codegen/emit_state.h"

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

/* ---- Shuffles ---- */

typedef struct shuffled {
    emit *e;
    LLVMTypeRef element;
    uint32_t buffer, lanes;
    LLVMValueRef first, guard; /* address of lane 0; a scalar condition, or NULL */
} shuffled;

static LLVMValueRef load_part(const shuffled *s, int64_t offset, uint32_t n) {
    emit *e = s->e;
    LLVMValueRef address = offset ? emit_address_plus(e, s->buffer, s->first, emit_const_i64(e, offset)) : s->first;
    if (s->guard) address = emit_address_if(e, s->guard, address);
    LLVMTypeRef type = n > 1 ? LLVMVectorType(s->element, n) : s->element;
    LLVMValueRef v = LLVMBuildLoad2(e->builder, type, address, "");
    LLVMSetAlignment(v, emit_alignment(e, s->buffer));
    return n > 1 ? v
                 : LLVMBuildInsertElement(e->builder, LLVMGetPoison(LLVMVectorType(s->element, 1)), v,
                                          LLVMConstInt(e->i32, 0, false), "");
}

static LLVMValueRef shuffle(const shuffled *s, LLVMValueRef a, LLVMValueRef b, const uint32_t *from, uint32_t n) {
    LLVMValueRef numbers[MOST_LANES];
    for (uint32_t i = 0; i < n; i++) numbers[i] = LLVMConstInt(s->e->i32, from[i], false);
    return LLVMBuildShuffleVector(s->e->builder, a, b, LLVMConstVector(numbers, n), "lanes");
}

/* Lanes from vectors of `wide` elements that cover the span; the last one ends with the last element. */
static LLVMValueRef load_near(const shuffled *s, const int64_t *offsets, int64_t low, int64_t span, uint32_t wide) {
    uint32_t n = s->lanes, n_parts = (uint32_t)((span + wide - 1) / wide), from[MOST_LANES];
    LLVMValueRef parts[MOST_PARTS] = {NULL};
    int64_t starts[MOST_PARTS];
    for (uint32_t p = 0; p < n_parts; p++) {
        starts[p] = p + 1 < n_parts ? (int64_t)p * wide : span - wide;
        parts[p] = load_part(s, low + starts[p], wide);
    }
    /* Two and two, each lane in its place at once; then the halves are blended. */
    for (uint32_t pairs = 0; 2 * pairs < n_parts; pairs++) {
        uint32_t a = 2 * pairs, b = a + 1 < n_parts ? a + 1 : a;
        for (uint32_t i = 0; i < n; i++) {
            int64_t at = offsets[i] - low;
            uint32_t own = (uint32_t)(at / wide) < n_parts ? (uint32_t)(at / wide) : n_parts - 1;
            uint32_t in_pair = own == b && b != a ? wide : 0;
            from[i] = own == a || own == b ? (uint32_t)(at - starts[own]) + in_pair : 0;
        }
        parts[pairs] = shuffle(s, parts[a], parts[b], from, n);
    }
    if (n_parts <= 2) return parts[0];
    for (uint32_t i = 0; i < n; i++) from[i] = (offsets[i] - low) / wide < 2 ? i : n + i;
    return shuffle(s, parts[0], parts[1], from, n);
}

/* Lane l is element l / runs of run l mod runs. */
static LLVMValueRef load_woven(const shuffled *s, const int64_t *offsets, uint32_t runs) {
    uint32_t n = s->lanes, each = n / runs, from[MOST_LANES] = {0};
    LLVMValueRef parts[MOST_PARTS] = {NULL};
    for (uint32_t r = 0; r < runs; r++) parts[r] = load_part(s, offsets[r], each);
    if (runs == 4)
        for (uint32_t r = 0; r < 2; r++) {
            for (uint32_t i = 0; i < n / 2; i++) from[i] = i;
            parts[r] = shuffle(s, parts[2 * r], parts[2 * r + 1], from, n / 2);
        }
    for (uint32_t i = 0; i < n; i++) from[i] = i % runs * each + i / runs;
    return shuffle(s, parts[0], parts[1], from, n);
}

static bool is_woven(const int64_t *offsets, uint32_t n, uint32_t runs) {
    for (uint32_t i = 0; i < n; i++)
        if (n < runs || offsets[i] != offsets[i % runs] + i / runs) return false;
    return true;
}

/* A register full of elements, or the most of which one lies within the span. */
static uint32_t part_width(const emit *e, LLVMTypeRef element, int64_t span) {
    LLVMTypeKind kind = LLVMGetTypeKind(element);
    unsigned bits = kind == LLVMIntegerTypeKind  ? LLVMGetIntTypeWidth(element)
                    : kind == LLVMDoubleTypeKind ? 64
                    : kind == LLVMFloatTypeKind  ? 32
                                                 : 16;
    int64_t wide = machine_lanes(&e->out->target->machine, bits);
    if (wide < e->lanes) wide = e->lanes;
    while (wide > span && wide > 1) wide /= 2;
    return (uint32_t)wide;
}

/* ---- Entry ---- */

LLVMValueRef emit_shuffled_load(emit *e, uint32_t buffer, tn_dim index, LLVMTypeRef element, LLVMValueRef guard) {
    int64_t offsets[MOST_LANES] = {0}, low = 0, high = 0;
    index = emit_substitute(e, index);
    if ((guard && emit_is_vector(guard)) || !lane_offsets(e, index, offsets)) return NULL;
    shuffled s = {e, element, buffer, e->lanes, NULL, guard};
    for (uint32_t i = 0; i < e->lanes; i++) {
        low = offsets[i] < low ? offsets[i] : low;
        high = offsets[i] > high ? offsets[i] : high;
    }
    int64_t span = high - low < 1 << 20 ? high - low + 1 : 0;
    uint32_t wide = part_width(e, element, span);
    bool is_near = span >= e->lanes && span <= MOST_PARTS * (int64_t)wide;
    uint32_t runs = is_woven(offsets, e->lanes, 2) ? 2 : is_woven(offsets, e->lanes, 4) ? 4 : 0;
    if (!is_near && !runs) return NULL;
    s.first = emit_address(e, buffer, index);
    return is_near ? load_near(&s, offsets, low, span, wide) : load_woven(&s, offsets, runs);
}
