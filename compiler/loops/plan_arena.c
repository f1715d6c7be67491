/* Lifetimes to offsets in the arena.
 *
 * Known sizes are packed (plan_static.c). Symbolic ones cannot be ordered: blocks share slots instead, a
 * slot is as large as the largest of its blocks, and slots lie one after the other.
 */
#include "compiler/loops/plan.h"

#include <stdlib.h>

static tn_dim aligned(dim_table *t, tn_dim bytes) {
    return dim_mul_const(t, dim_ceildiv(t, bytes, dim_const(t, PLAN_ALIGNMENT)), PLAN_ALIGNMENT);
}

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

static bool place_in_slots(dim_table *t, lifetime *blocks, size_t n, tn_dim *top) {
    lifetime **order = tn_calloc(n + 1, sizeof *order);
    slot *slots = tn_calloc(n + 1, sizeof *slots);
    size_t *slot_of = tn_calloc(n + 1, sizeof *slot_of);
    bool ok = order && slots && slot_of;
    for (size_t i = 0; ok && i < n; i++) order[i] = &blocks[i];
    if (ok) *top = place_symbolic(t, order, n, slots, slot_of);
    tn_free(order);
    tn_free(slots);
    tn_free(slot_of);
    return ok;
}

bool plan_place(dim_table *t, lifetime *blocks, size_t n, tn_dim *top, tn_dim *live) {
    *live = DIM_INVALID;
    return all_static(t, blocks, n) ? plan_place_static(t, blocks, n, top, live) : place_in_slots(t, blocks, n, top);
}
