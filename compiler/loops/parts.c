/* Finding the parts that kernels have in common (see parts.h).
 *
 * in:  a plan
 * out: loops that do the same in two places or more, the longest first; none lies in another
 * law: which they are follows from the plan alone. A call costs as much as a few vectors, so loops are long in what
 *      they do, and long in code, without which there is nothing to gain
 */
#include "compiler/loops/dims.h"
#include "compiler/loops/parts.h"
#include "ir/hash.h"

#include <stdlib.h>

enum {
    LEAST_CODE = 40,    /* statements of a part, as they are in code */
    LEAST_STEPS = 2048, /* statements that a call runs */
    MOST_ALIKE = 64,    /* loops of one form that are compared with each other */
    SOME_STEPS = 4,     /* taken for a symbolic number */
    SOME_DEPTH = 64,
};

/* A loop that may be a part. */
typedef struct candidate {
    const lt_kernel *kernel;
    const loop_nest *nest;
    const lt_stmt *loop;
    uint64_t form;       /* hash of all but dims and names */
    uint32_t code;       /* statements as they are in code */
    size_t first, after; /* in the order of all statements of all kernels: it and what it has */
} candidate;

typedef struct finding {
    loop_parts *out;
    arena *memory;
    dim_table *dims;
    candidate *candidates;
    size_t n_candidates, candidates_capacity;
    size_t n_stmts;
    bool *is_taken; /* by statement: it is in a part */
    bool out_of_memory;
} finding;

/* ---- Candidates ---- */

/* What a statement and all within it amount to. */
typedef struct weight {
    uint64_t form;
    uint64_t steps; /* statements run */
    uint32_t code;
} weight;

/* Where a statement stands. */
typedef struct standing {
    const lt_kernel *kernel;
    const loop_nest *nest;
    bool is_plain; /* in serial loops alone */
} standing;

static weight weigh_block(finding *f, const standing *at, const lt_block *block);

static int64_t steps_of(const finding *f, const lt_stmt *loop) {
    int64_t steps;
    if (!dim_is_const(f->dims, dim_sub(f->dims, loop->loop.end, loop->loop.begin), &steps)) return SOME_STEPS;
    return steps > 0 ? steps : 0;
}

static void add_candidate(finding *f, const standing *at, const lt_stmt *loop, const weight *w, size_t first) {
    if (!at->is_plain || loop->loop.n_carries || loop->loop.kind == LT_UNROLLED || w->code < LEAST_CODE ||
        w->steps < LEAST_STEPS)
        return;
    f->out_of_memory |=
        !array_reserve((void **)&f->candidates, &f->candidates_capacity, f->n_candidates + 1, sizeof *f->candidates);
    if (!f->out_of_memory)
        f->candidates[f->n_candidates++] = (candidate){at->kernel, at->nest, loop, w->form, w->code, first, f->n_stmts};
}

static weight weigh_loop(finding *f, const standing *at, const lt_stmt *s, size_t first) {
    loop_nest *nest = ARENA_NEW(f->memory, loop_nest);
    f->out_of_memory |= !nest;
    if (f->out_of_memory) return (weight){0};
    *nest = (loop_nest){at->nest, s->loop.variable, s->loop.begin, s->loop.end};
    standing within = {at->kernel, nest, at->is_plain && s->loop.kind == LT_SERIAL};
    weight w = weigh_block(f, &within, &s->loop.body);
    uint64_t steps = (uint64_t)steps_of(f, s), groups = s->loop.kind == LT_VECTOR ? s->loop.width : 1;
    w.form = hash_mix(hash_mix(w.form, (uint64_t)s->loop.kind << 32 | s->loop.width), steps);
    w.steps = w.steps * ((steps + groups - 1) / groups);
    if (s->loop.kind == LT_UNROLLED) w.code *= (uint32_t)steps;
    w.code++;
    add_candidate(f, at, s, &w, first);
    return w;
}

static weight weigh_tile(const finding *f, const lt_stmt *s) {
    int64_t depth = SOME_DEPTH;
    dim_is_const(f->dims, s->tile.depth, &depth);
    uint32_t sums = s->tile.mr * ((s->tile.nr + 15) / 16);
    weight w = {.form = (uint64_t)s->tile.mr << 32 | s->tile.nr, .steps = sums * (uint64_t)depth, .code = 3 * sums};
    for (uint32_t i = 0; i < s->tile.n_inner; i++) w.steps *= s->tile.inner[i].steps;
    w.form = hash_mix(w.form, w.steps);
    return w;
}

static weight weigh_stmt(finding *f, const standing *at, const lt_stmt *s) {
    size_t first = f->n_stmts++;
    weight w = {.form = 0, .steps = 1, .code = 1};
    if (s->kind == LT_LOOP)
        w = weigh_loop(f, at, s, first);
    else if (s->kind == LT_TILE)
        w = weigh_tile(f, s);
    else if (s->kind == LT_TRANSPOSE)
        w = (weight){(uint64_t)s->transpose.rows << 32 | s->transpose.columns, s->transpose.columns, 4};
    else if (s->kind == LT_OP)
        w.form = s->op.op;
    else if (s->kind == LT_CONST)
        w.form = s->constant.bits;
    else if (s->kind == LT_IF) {
        weight then = weigh_block(f, at, &s->branch.then), otherwise = weigh_block(f, at, &s->branch.otherwise);
        w = (weight){hash_mix(then.form, otherwise.form), then.steps + otherwise.steps, then.code + otherwise.code};
    }
    w.form = hash_mix(w.form, (uint64_t)s->kind << 16 | s->dtype);
    return w;
}

static weight weigh_block(finding *f, const standing *at, const lt_block *block) {
    weight w = {0};
    for (uint32_t i = 0; i < block->n && !f->out_of_memory; i++) {
        weight one = weigh_stmt(f, at, block->items[i]);
        w = (weight){hash_mix(w.form, one.form), w.steps + one.steps, w.code + one.code};
    }
    return w;
}

static void weigh_kernel(finding *f, const lt_kernel *k) {
    for (uint32_t i = 0; i < k->n_stages && !f->out_of_memory; i++) {
        loop_nest *nest = ARENA_NEW(f->memory, loop_nest);
        f->out_of_memory |= !nest;
        if (!nest) return;
        *nest = (loop_nest){NULL, k->stages[i].variable, dim_const(f->dims, 0), k->stages[i].chunks};
        weigh_block(f, &(standing){k, nest, true}, &k->stages[i].body);
    }
}

/* Those that functions still have after plan_share. */
static void weigh_kernels(finding *f, const program_plan *plan) {
    bool *is_needed = tn_calloc(plan->n_kernels + 1, sizeof *is_needed);
    f->out_of_memory |= !is_needed;
    if (!is_needed) return;
    for (size_t i = 0; i < plan->n_functions; i++)
        if (plan->functions[i].graph->is_kernel) is_needed[plan->functions[i].kernel] = true;
    for (size_t i = 0; i < plan->n_kernels; i++)
        if (is_needed[i]) weigh_kernel(f, plan->kernels[i].loops);
    tn_free(is_needed);
}

/* ---- Those that are the same ---- */

typedef struct alike {
    loop_part part;
    part_use use;
    const candidate *of;
    uint32_t same_as; /* the first of its kind; itself */
    uint32_t n;       /* of its kind, if it is the first */
} alike;

static void take(finding *f, const alike *a, uint32_t part) {
    f->out->uses[f->out->n_uses] = a->use;
    f->out->uses[f->out->n_uses++].part = part;
    for (size_t i = a->of->first; i < a->of->after; i++) f->is_taken[i] = true;
}

/* Makes parts of candidates of one form. */
static void compare(finding *f, const candidate *candidates, size_t n) {
    alike all[MOST_ALIKE];
    uint32_t n_all = 0;
    for (size_t i = 0; i < n && n_all < MOST_ALIKE && !f->out_of_memory; i++) {
        alike *a = &all[n_all];
        const candidate *c = &candidates[i];
        if (f->is_taken[c->first] || !loop_part_copy(c->kernel, c->nest, c->loop, &a->part, &a->use, &f->out_of_memory))
            continue;
        a->of = c;
        a->same_as = 0;
        while (a->same_as < n_all && !loop_part_equal(&all[a->same_as].part, &a->part)) a->same_as++;
        a->n = 0;
        all[a->same_as].n++;
        n_all++;
    }
    for (uint32_t i = 0; i < n_all && !f->out_of_memory; i++) {
        if (all[i].n < 2) continue;
        uint32_t number = (uint32_t)f->out->n_parts++;
        f->out->parts[number] = all[i].part;
        for (uint32_t k = i; k < n_all; k++)
            if (all[k].same_as == i) take(f, &all[k], number);
    }
}

/* The longest first, those of one form together. */
static int by_form(const void *x, const void *y) {
    const candidate *a = x, *b = y;
    if (a->code != b->code) return a->code > b->code ? -1 : 1;
    if (a->form != b->form) return a->form < b->form ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

static int by_loop(const void *x, const void *y) {
    const part_use *a = x, *b = y;
    return a->loop < b->loop ? -1 : a->loop > b->loop;
}

static void compare_all(finding *f) {
    size_t n = f->n_candidates;
    f->is_taken = tn_calloc(f->n_stmts + 1, sizeof *f->is_taken);
    f->out->parts = ARENA_ARRAY(f->memory, loop_part, n + 1);
    f->out->uses = ARENA_ARRAY(f->memory, part_use, n + 1);
    f->out_of_memory |= !f->is_taken || !f->out->parts || !f->out->uses;
    if (f->out_of_memory || n == 0) return;
    qsort(f->candidates, n, sizeof *f->candidates, by_form);
    for (size_t from = 0, to; from < n && !f->out_of_memory; from = to) {
        const candidate *c = f->candidates;
        for (to = from; to < n && c[to].code == c[from].code && c[to].form == c[from].form;) to++;
        if (to - from > 1) compare(f, &c[from], to - from);
    }
    qsort(f->out->uses, f->out->n_uses, sizeof *f->out->uses, by_loop);
}

bool loop_parts_find(loop_parts *p, const program_plan *plan) {
    *p = (loop_parts){0};
    finding f = {.out = p, .memory = &plan->module->memory, .dims = plan->module->dims};
    weigh_kernels(&f, plan);
    if (!f.out_of_memory) compare_all(&f);
    tn_free(f.candidates);
    tn_free(f.is_taken);
    return !f.out_of_memory;
}

const part_use *loop_part_at(const loop_parts *p, const lt_stmt *loop) {
    size_t from = 0, to = p ? p->n_uses : 0;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (p->uses[middle].loop == loop) return &p->uses[middle];
        if (p->uses[middle].loop < loop)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}
