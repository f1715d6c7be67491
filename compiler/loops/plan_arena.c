/* Lifetimes to offsets in the arena.
 *
 * Static sizes: largest first, each at the lowest offset that no block alive at the same time
 * covers (Pisarchyk and Lee, "Efficient memory management for deep neural net inference",
 * 2020, greedy by size). Symbolic sizes cannot be ordered: blocks share slots instead, a
 * slot is as large as the largest of its blocks, and slots lie one after the other.
 */
#include "compiler/loops/plan.h"

#include <stdlib.h>

static bool overlap(const lifetime *a, const lifetime *b) { return a->from <= b->to && b->from <= a->to; }

static tn_dim aligned(dim_table *t, tn_dim bytes) {
    return dim_mul_const(t, dim_ceildiv(t, bytes, dim_const(t, PLAN_ALIGNMENT)), PLAN_ALIGNMENT);
}

/* ---- Static ---- */

typedef struct block {
    int64_t bytes, offset;
    size_t index;
} block;

static int by_size(const void *x, const void *y) {
    const block *a = x, *b = y;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int by_offset(const void *x, const void *y) {
    const block *a = x, *b = y;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* Lowest gap of `bytes` between the `n` placed neighbours, which are in order of offset. */
static int64_t lowest_gap(const block *neighbours, size_t n, int64_t bytes) {
    int64_t end = 0;
    for (size_t i = 0; i < n; i++) {
        if (neighbours[i].offset - end >= bytes) return end;
        if (neighbours[i].offset + neighbours[i].bytes > end) end = neighbours[i].offset + neighbours[i].bytes;
    }
    return end;
}

static tn_dim place_static(dim_table *t, lifetime *blocks, size_t n, block *order, block *neighbours) {
    int64_t top = 0;
    qsort(order, n, sizeof *order, by_size);
    for (size_t i = 0; i < n; i++) {
        size_t near = 0;
        for (size_t j = 0; j < i; j++)
            if (overlap(&blocks[order[i].index], &blocks[order[j].index])) neighbours[near++] = order[j];
        qsort(neighbours, near, sizeof *neighbours, by_offset);
        order[i].offset = lowest_gap(neighbours, near, order[i].bytes);
        blocks[order[i].index].offset = dim_const(t, order[i].offset);
        if (order[i].offset + order[i].bytes > top) top = order[i].offset + order[i].bytes;
    }
    return dim_const(t, top);
}

/* ---- Symbolic ---- */

typedef struct slot {
    tn_dim bytes;
    size_t free_after; /* last node of its last block */
} slot;

/* A free slot, best one of the same size; `n` when there is none. */
static size_t find_slot(const slot *slots, size_t n, const lifetime *b) {
    size_t found = n;
    for (size_t i = 0; i < n; i++)
        if (slots[i].free_after < b->from && (found == n || slots[i].bytes == b->bytes)) found = i;
    return found;
}

static int by_start(const void *x, const void *y) {
    const lifetime *a = *(const lifetime *const *)x, *b = *(const lifetime *const *)y;
    if (a->from != b->from) return a->from < b->from ? -1 : 1;
    return a < b ? -1 : a > b;
}

static tn_dim place_symbolic(dim_table *t, lifetime **order, size_t n, slot *slots, size_t *slot_of) {
    size_t n_slots = 0;
    qsort(order, n, sizeof *order, by_start);
    for (size_t i = 0; i < n; i++) {
        size_t s = find_slot(slots, n_slots, order[i]);
        if (s == n_slots) slots[n_slots++] = (slot){.bytes = order[i]->bytes};
        slots[s].bytes = dim_max(t, slots[s].bytes, order[i]->bytes);
        slots[s].free_after = order[i]->to;
        slot_of[i] = s;
    }
    tn_dim top = dim_const(t, 0);
    for (size_t s = 0; s < n_slots; s++) {
        tn_dim bytes = aligned(t, slots[s].bytes);
        slots[s].bytes = top; /* from here on: its offset */
        top = dim_add(t, top, bytes);
    }
    for (size_t i = 0; i < n; i++) order[i]->offset = slots[slot_of[i]].bytes;
    return top;
}

static bool all_static(const dim_table *t, const lifetime *blocks, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!dim_is_const(t, blocks[i].bytes, NULL)) return false;
    return true;
}

tn_dim plan_place(dim_table *t, lifetime *blocks, size_t n) {
    tn_dim top = DIM_INVALID;
    if (all_static(t, blocks, n)) {
        block *order = tn_calloc(n + 1, sizeof *order), *neighbours = tn_calloc(n + 1, sizeof *neighbours);
        for (size_t i = 0; order && i < n; i++) {
            dim_is_const(t, aligned(t, blocks[i].bytes), &order[i].bytes);
            order[i].index = i;
        }
        if (order && neighbours) top = place_static(t, blocks, n, order, neighbours);
        tn_free(order);
        tn_free(neighbours);
    } else {
        lifetime **order = tn_calloc(n + 1, sizeof *order);
        slot *slots = tn_calloc(n + 1, sizeof *slots);
        size_t *slot_of = tn_calloc(n + 1, sizeof *slot_of);
        for (size_t i = 0; order && i < n; i++) order[i] = &blocks[i];
        if (order && slots && slot_of) top = place_symbolic(t, order, n, slots, slot_of);
        tn_free(order);
        tn_free(slots);
        tn_free(slot_of);
    }
    return top;
}
