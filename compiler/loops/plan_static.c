/* Blocks of known sizes to offsets in the arena.
 *
 * in:  blocks, each with the nodes between which it is wanted
 * out: their offsets, and how many bytes there are up to the end of the highest
 * law: the same blocks give the same offsets; blocks wanted at the same time share no byte
 *
 * The question is NP-hard (Garey and Johnson, "Computers and Intractability", 1979, SR2: dynamic storage allocation),
 * the answers of greedy placement good: blocks come in some order, each takes a gap between those alive at the same
 * time that are placed already (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020).
 * No order is best for all graphs, so several are tried. When none ends at the sum of what is alive at once, below
 * which nobody comes, the highest block of the best answer is placed earlier, and all begins anew, some times over.
 */
#include "compiler/loops/plan.h"

#include <stdlib.h>
#include <string.h>

enum {
    REPAIR_WORK = 2000000, /* pairs of blocks looked at from one order: some 2 ms */
    MANY = 5000,
};

typedef struct block {
    int64_t bytes, offset;
    size_t from, to, index;
} block;

static bool overlap(const block *a, const block *b) { return a->from <= b->to && b->from <= a->to; }

/* ---- Orders ---- */

static int by_index(const block *a, const block *b) { return a->index < b->index ? -1 : a->index > b->index; }

static int larger_first(const void *x, const void *y) {
    const block *a = x, *b = y;
    return a->bytes != b->bytes ? (a->bytes < b->bytes ? 1 : -1) : by_index(a, b);
}

static int longer_first(const void *x, const void *y) {
    const block *a = x, *b = y;
    size_t life_a = a->to - a->from, life_b = b->to - b->from;
    return life_a != life_b ? (life_a < life_b ? 1 : -1) : larger_first(x, y);
}

static int more_area_first(const void *x, const void *y) {
    const block *a = x, *b = y;
    double area_a = (double)a->bytes * (double)(a->to - a->from + 1);
    double area_b = (double)b->bytes * (double)(b->to - b->from + 1);
    return area_a != area_b ? (area_a < area_b ? 1 : -1) : larger_first(x, y);
}

static int earlier_first(const void *x, const void *y) {
    const block *a = x, *b = y;
    return a->from != b->from ? (a->from < b->from ? -1 : 1) : larger_first(x, y);
}

static int (*const orders[])(const void *, const void *) = {larger_first, more_area_first, longer_first, earlier_first};

/* ---- Placing in one order ---- */

typedef enum gap_rule { LOWEST_GAP, TIGHTEST_GAP, GAP_RULES } gap_rule;

/* Where `b` goes among the `n` placed blocks, which are in order of offset. */
static int64_t find_gap(block *const *placed, size_t n, const block *b, gap_rule rule) {
    int64_t end = 0, best = -1, best_gap = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        if (!overlap(placed[i], b)) continue;
        int64_t gap = placed[i]->offset - end;
        if (gap >= b->bytes && gap < best_gap) {
            if (rule == LOWEST_GAP) return end;
            best = end;
            best_gap = gap;
        }
        if (placed[i]->offset + placed[i]->bytes > end) end = placed[i]->offset + placed[i]->bytes;
    }
    return best < 0 ? end : best;
}

static void place_in_turn(block *blocks, size_t n, gap_rule rule, block **placed) {
    for (size_t i = 0; i < n; i++) {
        block *b = &blocks[i];
        b->offset = find_gap(placed, i, b, rule);
        size_t at = i;
        for (; at > 0 && placed[at - 1]->offset > b->offset; at--) placed[at] = placed[at - 1];
        placed[at] = b;
    }
}

/* ---- The best of many ---- */

/* How bad an answer is: its end, and how much of its blocks is beyond the bound. */
typedef struct badness {
    int64_t top, beyond;
} badness;

typedef struct search {
    block *blocks, *kept, *best; /* being placed; the last step that was no loss; the lowest of all */
    block **placed;
    size_t n;
    int64_t bound, top; /* no answer ends below; the end of `best` */
} search;

static bool is_done(const search *s) { return s->top <= s->bound; }

/* Places the blocks in their present order. */
static badness place_all(search *s, gap_rule rule) {
    badness now = {0, 0};
    place_in_turn(s->blocks, s->n, rule, s->placed);
    for (size_t i = 0; i < s->n; i++) {
        int64_t end = s->blocks[i].offset + s->blocks[i].bytes;
        if (end > now.top) now.top = end;
        if (end > s->bound) now.beyond += end - s->bound;
    }
    if (now.top < s->top) {
        s->top = now.top;
        memcpy(s->best, s->blocks, s->n * sizeof *s->best);
    }
    return now;
}

static uint32_t draw(uint32_t *state, size_t below) {
    *state =
        *state * 1664525 + 1013904223; /* Press et al., "Numerical Recipes", 1992; the high bits are the good ones */
    return (uint32_t)((*state >> 16) % below);
}

/* A block beyond the bound came when only high places were left: it is to come earlier. Which one and how much
 * earlier is drawn, always the same; a step that leaves more beyond the bound is taken back. */
static void repair(search *s, gap_rule rule, badness before, size_t steps) {
    uint32_t drawn = 1;
    memcpy(s->kept, s->blocks, s->n * sizeof *s->kept);
    for (size_t step = 0; step < steps && !is_done(s); step++) {
        size_t high = draw(&drawn, s->n);
        while (s->blocks[high].offset + s->blocks[high].bytes <= s->bound) high = (high + 1) % s->n;
        size_t to = draw(&drawn, high + 1);
        block moved = s->blocks[high];
        memmove(&s->blocks[to + 1], &s->blocks[to], (high - to) * sizeof moved);
        s->blocks[to] = moved;
        badness now = place_all(s, rule);
        bool is_loss = now.beyond > before.beyond;
        if (!is_loss) before = now;
        memcpy(is_loss ? s->blocks : s->kept, is_loss ? s->kept : s->blocks, s->n * sizeof *s->kept);
    }
}

/* Each order as it is, then each with repairs; for very many blocks the first alone. */
static void try_orders(search *s) {
    const size_t n_orders = s->n > MANY ? 1 : sizeof orders / sizeof *orders, steps = REPAIR_WORK / (s->n * s->n + 1);
    for (int with_repair = 0; with_repair < 2; with_repair++)
        for (size_t k = 0; k < n_orders; k++)
            for (gap_rule rule = 0; rule < GAP_RULES && !is_done(s); rule++) {
                qsort(s->blocks, s->n, sizeof *s->blocks, orders[k]);
                badness now = place_all(s, rule);
                if (with_repair) repair(s, rule, now, steps);
            }
}

/* Bytes of the blocks alive at once, at most; -1: out of memory. */
static int64_t most_alive(const block *blocks, size_t n) {
    size_t last = 0;
    for (size_t i = 0; i < n; i++) last = blocks[i].to > last ? blocks[i].to : last;
    int64_t *change = tn_calloc(last + 2, sizeof *change), now = 0, most = change ? 0 : -1;
    for (size_t i = 0; change && i < n; i++) {
        change[blocks[i].from] += blocks[i].bytes;
        change[blocks[i].to + 1] -= blocks[i].bytes;
    }
    for (size_t at = 0; change && at <= last; at++) {
        now += change[at];
        most = now > most ? now : most;
    }
    tn_free(change);
    return most;
}

static void fill(const dim_table *t, const lifetime *of, size_t n, bool is_live, block *blocks) {
    for (size_t i = 0; i < n; i++) {
        blocks[i] = (block){.from = of[i].from, .to = of[i].to, .index = i};
        dim_is_const(t, is_live ? of[i].live_bytes : of[i].bytes, &blocks[i].bytes);
        if (!is_live) blocks[i].bytes = (blocks[i].bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
    }
}

bool plan_place_static(dim_table *t, lifetime *of, size_t n, tn_dim *top, tn_dim *live) {
    search s = {.n = n, .top = INT64_MAX};
    s.blocks = tn_calloc(n + 1, sizeof *s.blocks);
    s.kept = tn_calloc(n + 1, sizeof *s.kept);
    s.best = tn_calloc(n + 1, sizeof *s.best);
    s.placed = tn_calloc(n + 1, sizeof *s.placed);
    bool ok = s.blocks && s.kept && s.best && s.placed;
    if (ok) {
        fill(t, of, n, true, s.blocks);
        int64_t live_bytes = most_alive(s.blocks, n);
        fill(t, of, n, false, s.blocks);
        s.bound = most_alive(s.blocks, n);
        ok = live_bytes >= 0 && s.bound >= 0;
        if (ok) *live = dim_const(t, live_bytes);
    }
    if (ok) {
        try_orders(&s);
        for (size_t i = 0; i < n; i++) of[s.best[i].index].offset = dim_const(t, s.best[i].offset);
        *top = dim_const(t, s.top);
    }
    tn_free(s.blocks);
    tn_free(s.kept);
    tn_free(s.best);
    tn_free(s.placed);
    return ok;
}
