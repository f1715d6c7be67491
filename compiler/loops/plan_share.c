/* Kernels that differ in numbers alone made one, which is given the numbers.
 *
 * in:  a plan; its kernels all differ
 * out: of kernels of one structure the first, with extents in place of the numbers that differ (common.h); the
 *      functions of the others have that kernel too, and each has its numbers
 * law: which kernels these are follows from the plan alone
 *
 * So the layers of a dense block, which have 64, 96, 128 channels, are one function for LLVM, whose time is nearly all
 * that a compilation takes.
 */
#include "compiler/loops/common.h"
#include "compiler/loops/plan.h"
#include "ir/hash.h"

#include <stdlib.h>

enum {
    MOST_FAMILIES = 64, /* of one structure: what is left when so many were looked for stays as it is */
    MOST_MEMBERS = 64,  /* of a family */
};

/* What becomes of a kernel. */
typedef struct share {
    dims_list list;
    uint64_t hash;   /* of all in which a family's members are the same */
    uint32_t kernel; /* the first of its family, or itself */
    const int64_t *numbers;
    uint32_t n_numbers;
} share;

typedef struct sharing {
    program_plan *plan;
    share *shares;  /* by kernel */
    tn_dim *common; /* by place */
    bool out_of_memory;
} sharing;

static lt_kernel *kernel_of(const sharing *s, uint32_t number) { return s->plan->kernels[number].loops; }

/* ---- A family ---- */

/* One dim for each place, in s->common; false: there is none. */
static bool unite(sharing *s, common *c, const uint32_t *members, uint32_t n) {
    c->n = n;
    c->n_numbers = 0;
    bool ok = !s->out_of_memory;
    tn_dim dims[MOST_MEMBERS];
    for (size_t at = 0; ok && at < c->list->n; at++) {
        for (uint32_t i = 0; i < n; i++) {
            const lt_kernel *k = kernel_of(s, members[i]);
            tn_dim own = *s->shares[members[i]].list.items[at].at;
            dims[i] = dim_substitute(c->dims, own, k->extents, c->first->extents, (int)k->n_extents);
        }
        s->common[at] = common_dim(c, dims, c->list->items[at].is_layout);
        ok = s->common[at] != DIM_INVALID;
    }
    s->out_of_memory |= c->out_of_memory || dim_table_status(c->dims) == TN_ERR_MEMORY;
    return ok && !s->out_of_memory;
}

/* Writes the common dims into the first member's kernel, which becomes that of all. */
static bool settle(sharing *s, const common *c, const uint32_t *members) {
    lt_kernel *k = kernel_of(s, members[0]);
    arena *memory = &k->module->memory;
    tn_dim *extents = ARENA_ARRAY(memory, tn_dim, k->n_extents + c->n_numbers + 1);
    if (!extents) return false;
    for (uint32_t i = 0; i < k->n_extents; i++) extents[i] = k->extents[i];
    for (uint32_t i = 0; i < c->n_numbers; i++) extents[k->n_extents + i] = c->numbers[i].symbol;
    for (uint32_t i = 0; i < c->n; i++) {
        int64_t *numbers = ARENA_ARRAY(memory, int64_t, c->n_numbers + 1);
        if (!numbers) return false;
        for (uint32_t at = 0; at < c->n_numbers; at++) numbers[at] = c->numbers[at].values[i];
        share *of = &s->shares[members[i]];
        of->kernel = members[0];
        of->numbers = numbers;
        of->n_numbers = c->n_numbers;
    }
    k->extents = extents;
    k->n_extents += c->n_numbers;
    k->extents_capacity = k->n_extents;
    for (size_t at = 0; at < c->list->n; at++) *c->list->items[at].at = s->common[at];
    return true;
}

/* A family of candidates[0] and of those that have dims in common with it, unless they have too many numbers with the
 * others. The rest is left among the candidates; returns how many. */
static uint32_t make_family(sharing *s, uint32_t *candidates, uint32_t n) {
    const lt_kernel *first = kernel_of(s, candidates[0]);
    common c = {.first = first, .list = &s->shares[candidates[0]].list, .dims = first->module->dims};
    uint32_t members[MOST_MEMBERS] = {candidates[0]}, n_members = 1, n_left = 0;
    for (uint32_t i = 1; i < n; i++) {
        uint32_t pair[] = {members[0], candidates[i]};
        if (n_members < MOST_MEMBERS && lt_same_structure(first, kernel_of(s, candidates[i])) && unite(s, &c, pair, 2))
            members[n_members++] = candidates[i];
        else
            candidates[n_left++] = candidates[i];
    }
    while (n_members > 1 && !unite(s, &c, members, n_members)) candidates[n_left++] = members[--n_members];
    s->out_of_memory |= n_members > 1 && !settle(s, &c, members);
    arena_free(&c.memory);
    return n_left;
}

/* ---- All families ---- */

/* Structure, and what must be the same number. */
static uint64_t hash_of(const dims_list *l, const lt_kernel *k) {
    uint64_t hash = lt_hash_structure(k);
    int64_t number;
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i].is_layout && dim_is_const(k->module->dims, *l->items[i].at, &number))
            hash = hash_mix(hash, (uint64_t)number);
    return hash;
}

static bool list_kernels(sharing *s) {
    size_t most = 0;
    for (size_t i = 0; i < s->plan->n_kernels; i++) {
        share *of = &s->shares[i];
        if (!dims_list_kernel(&of->list, kernel_of(s, (uint32_t)i))) return false;
        of->hash = hash_of(&of->list, kernel_of(s, (uint32_t)i));
        of->kernel = (uint32_t)i;
        most = of->list.n > most ? of->list.n : most;
    }
    s->common = tn_malloc((most + 1) * sizeof *s->common);
    return s->common != NULL;
}

typedef struct hashed {
    uint64_t hash;
    uint32_t kernel;
} hashed;

static int by_hash(const void *x, const void *y) {
    const hashed *a = x, *b = y;
    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    return a->kernel < b->kernel ? -1 : a->kernel > b->kernel;
}

/* Kernels of one hash stand together, in their order. */
static void make_families(sharing *s, hashed *kernels, uint32_t *candidates) {
    size_t n = s->plan->n_kernels;
    for (size_t i = 0; i < n; i++) kernels[i] = (hashed){s->shares[i].hash, (uint32_t)i};
    qsort(kernels, n, sizeof *kernels, by_hash);
    for (size_t from = 0, to; from < n; from = to) {
        uint32_t n_candidates = 0;
        for (to = from; to < n && kernels[to].hash == kernels[from].hash; to++)
            candidates[n_candidates++] = kernels[to].kernel;
        for (int i = 0; i < MOST_FAMILIES && n_candidates > 1 && !s->out_of_memory; i++)
            n_candidates = make_family(s, candidates, n_candidates);
    }
}

static void give_kernels(const sharing *s) {
    for (size_t i = 0; i < s->plan->n_functions; i++) {
        function_plan *f = &s->plan->functions[i];
        if (!f->graph->is_kernel) continue;
        const share *of = &s->shares[f->kernel];
        f->kernel = of->kernel;
        f->numbers = of->numbers;
        f->n_numbers = of->n_numbers;
    }
}

bool plan_share(program_plan *p) {
    size_t n = p->n_kernels;
    sharing s = {.plan = p, .shares = tn_calloc(n + 1, sizeof *s.shares)};
    hashed *kernels = tn_calloc(n + 1, sizeof *kernels);
    uint32_t *candidates = tn_calloc(n + 1, sizeof *candidates);
    s.out_of_memory = !s.shares || !kernels || !candidates || !list_kernels(&s);
    if (!s.out_of_memory) make_families(&s, kernels, candidates);
    if (!s.out_of_memory) give_kernels(&s);
    for (size_t i = 0; s.shares && i < n; i++) dims_list_free(&s.shares[i].list);
    tn_free(s.shares);
    tn_free(s.common);
    tn_free(kernels);
    tn_free(candidates);
    return !s.out_of_memory ||
           module_error(p->module, TN_ERR_MEMORY, LOCATION_NONE, "out of memory while sharing kernels");
}
