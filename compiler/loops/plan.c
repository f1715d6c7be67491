/* Kernels of a program and places of its values (see plan.h). */
#include "compiler/loops/plan.h"

#include "compiler/loops/section.h"
#include "runtime/fault.h"

#include <string.h>

/* ---- Looking things up ---- */

static size_t function_slot(const uint32_t *index, size_t capacity, const function_plan *functions, const tn_graph *g) {
    size_t at = (size_t)((uintptr_t)g / sizeof *g * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (capacity - 1);
    while (index[at] && functions[index[at] - 1].graph != g) at = (at + 1) & (capacity - 1);
    return at;
}

const function_plan *plan_of(const program_plan *p, const tn_graph *g) {
    if (p->function_index_capacity == 0) return NULL;
    uint32_t number = p->function_index[function_slot(p->function_index, p->function_index_capacity, p->functions, g)];
    return number ? &p->functions[number - 1] : NULL;
}

static size_t kernel_slot(const uint32_t *index, size_t capacity, const planned_kernel *kernels, const lt_kernel *k) {
    size_t at = (size_t)lt_hash(k) & (capacity - 1);
    while (index[at] && kernels[index[at] - 1].loops != k && !lt_equal(kernels[index[at] - 1].loops, k))
        at = (at + 1) & (capacity - 1);
    return at;
}

/* Doubles a table that is half full; the caller enters all anew when *grown. */
static bool grow_index(uint32_t **index, size_t *capacity, size_t n, bool *grown) {
    *grown = 2 * (n + 1) > *capacity;
    if (!*grown) return true;
    size_t wanted = *capacity ? 2 * *capacity : 64;
    uint32_t *larger = tn_calloc(wanted, sizeof *larger);
    if (!larger) return false;
    tn_free(*index);
    *index = larger;
    *capacity = wanted;
    return true;
}

uint32_t plan_carried(const node *n) {
    if (n->op == TN_OP_while) return n->n_operands;
    return n->op == TN_OP_scan ? (uint32_t)attr_int(&n->attrs, ATTR_carried, 0) : 0;
}

bool plan_is_invariant(const node *n, uint32_t k) {
    if (k >= plan_carried(n)) return false;
    const tn_graph *body = attr_find(&n->attrs, ATTR_body)->func;
    return plan_root(body, body->results[k].value) == body->params[k].value;
}

static bool is_alias(const node *n, uint32_t result) {
    return n->op == TN_OP_reshape || n->op == TN_OP_barrier || plan_is_invariant(n, result);
}

value_id plan_root(const tn_graph *g, value_id v) {
    for (const node *n = graph_node_of(g, v); is_alias(n, g->values[v].result); n = graph_node_of(g, v))
        v = n->operands[g->values[v].result];
    return v;
}

const attr_name plan_callees[PLAN_CALLEES] = {ATTR_callee, ATTR_then, ATTR_otherwise, ATTR_cond, ATTR_body};

tn_dim plan_in_caller(const tn_graph *callee, const node *call, tn_dim d) {
    const tn_dim *values = node_callee_symbols(call, callee);
    dim_table *t = callee->module->dims;
    if (!values || callee->n_symbols == 0) return values ? d : DIM_INVALID;
    tn_dim *from = tn_malloc(callee->n_symbols * sizeof *from);
    if (!from) return dim_fail(t, TN_ERR_MEMORY), DIM_INVALID;
    for (size_t i = 0; i < callee->n_symbols; i++) from[i] = callee->symbols[i].dim;
    tn_dim in_caller = dim_substitute(t, d, from, values, (int)callee->n_symbols);
    tn_free(from);
    return in_caller;
}

static tn_dim aligned(dim_table *t, tn_dim bytes, int64_t alignment) {
    return dim_mul_const(t, dim_ceildiv(t, bytes, dim_const(t, alignment)), alignment);
}

tn_dim plan_value_bytes(const tn_graph *g, value_id v) {
    dim_table *t = g->module->dims;
    const tn_type *type = graph_type(g, v);
    return dim_mul_const(t, type_element_count(t, type), tn_dtype_bits((tn_dtype)type->dtype) / 8);
}

tn_dim plan_buffer_bytes(const lt_kernel *k, lt_role role, int64_t alignment) {
    dim_table *t = k->module->dims;
    tn_dim sum = dim_const(t, 0);
    for (uint32_t i = 0; i < k->n_buffers; i++)
        if (k->buffers[i].role == role)
            sum = dim_add(t, sum,
                          aligned(t, dim_mul_const(t, k->buffers[i].elements, tn_dtype_bits(k->buffers[i].dtype) / 8),
                                  alignment));
    return sum;
}

/* ---- Kernels ---- */

const planned_kernel *plan_kernel_of(const program_plan *p, const tn_graph *fused) {
    const function_plan *f = plan_of(p, fused);
    return f ? &p->kernels[f->kernel] : NULL;
}

static bool out_of_memory(program_plan *p) {
    return module_error(p->module, TN_ERR_MEMORY, LOCATION_NONE, "out of memory while planning");
}

static bool index_function(program_plan *p) {
    bool grown;
    if (!grow_index(&p->function_index, &p->function_index_capacity, p->n_functions, &grown)) return false;
    for (size_t i = grown ? 0 : p->n_functions - 1; i < p->n_functions; i++)
        p->function_index[function_slot(p->function_index, p->function_index_capacity, p->functions,
                                        p->functions[i].graph)] = (uint32_t)i + 1;
    return true;
}

static function_plan *add_function(program_plan *p, tn_graph *g) {
    if (!array_reserve((void **)&p->functions, &p->functions_capacity, p->n_functions + 1, sizeof *p->functions))
        return NULL;
    function_plan *f = &p->functions[p->n_functions];
    dim_table *t = p->module->dims;
    *f = (function_plan){
        .graph = g, .arena_bytes = dim_const(t, 0), .scratch_bytes = dim_const(t, 0), .live_bytes = DIM_INVALID};
    if (!g->is_kernel) {
        f->values = tn_calloc(g->n_values + 1, sizeof *f->values);
        f->work_offset = tn_malloc((g->n_nodes + 1) * sizeof *f->work_offset);
        f->work_bytes = tn_malloc((g->n_nodes + 1) * sizeof *f->work_bytes);
        f->staged = tn_malloc((g->n_results + 1) * sizeof *f->staged);
        if (!f->values || !f->work_offset || !f->work_bytes || !f->staged) {
            tn_free(f->values);
            tn_free(f->work_offset);
            tn_free(f->work_bytes);
            tn_free(f->staged);
            return NULL;
        }
        memset(f->staged, 0xff, (g->n_results + 1) * sizeof *f->staged);
        memset(f->work_offset, 0xff, (g->n_nodes + 1) * sizeof *f->work_offset);
        memset(f->work_bytes, 0xff, (g->n_nodes + 1) * sizeof *f->work_bytes);
    }
    p->n_functions++;
    return index_function(p) ? f : NULL;
}

/* Its number: that of an equal one when there is one. */
static bool add_kernel(program_plan *p, lt_kernel *k, tn_graph *fused, uint32_t *number) {
    bool grown;
    if (!grow_index(&p->kernel_index, &p->kernel_index_capacity, p->n_kernels, &grown)) return false;
    for (size_t i = 0; grown && i < p->n_kernels; i++)
        p->kernel_index[kernel_slot(p->kernel_index, p->kernel_index_capacity, p->kernels, p->kernels[i].loops)] =
            (uint32_t)i + 1;
    uint32_t *slot = &p->kernel_index[kernel_slot(p->kernel_index, p->kernel_index_capacity, p->kernels, k)];
    if (*slot == 0) {
        if (!array_reserve((void **)&p->kernels, &p->kernels_capacity, p->n_kernels + 1, sizeof *p->kernels))
            return false;
        p->kernels[p->n_kernels++] = (planned_kernel){.loops = k, .fused = fused};
        *slot = (uint32_t)p->n_kernels;
    }
    *number = *slot - 1;
    return true;
}

static bool plan_kernel(program_plan *p, tn_graph *fused, const machine *m) {
    lt_kernel *k = lt_lower(fused, m);
    if (k) k = given_loops_take(p->given, fused, k);
    if (!k) return false;
    uint32_t number;
    function_plan *f = add_kernel(p, k, fused, &number) ? add_function(p, fused) : NULL;
    if (!f) return out_of_memory(p);
    f->kernel = number;
    f->notes = k->notes;
    f->n_notes = k->n_notes;
    f->sites = k->sites;
    f->scratch_bytes = plan_buffer_bytes(k, LT_SCRATCH, PLAN_ALIGNMENT);
    return true;
}

/* ---- Callees first ---- */

static bool plan_function(program_plan *p, tn_graph *g, const machine *m);

static bool plan_called(program_plan *p, tn_graph *g, const machine *m) {
    for (size_t i = 0; i < g->n_nodes; i++)
        for (size_t k = 0; k < PLAN_CALLEES; k++) {
            const attr *a = attr_find(&g->nodes[i].attrs, plan_callees[k]);
            if (a && !plan_of(p, a->func) &&
                !(a->func->is_kernel ? plan_kernel(p, a->func, m) : plan_function(p, a->func, m)))
                return false;
        }
    return true;
}

/* What node n needs beside its results: a kernel's temporaries, the callee's arena, the second copy of what a loop
 * carries (first) and its bodies' arenas. `is_live`: what is in them alone, without gaps and alignment. */
static tn_dim node_work(const program_plan *p, const tn_graph *g, const node *n, bool is_live) {
    dim_table *t = p->module->dims;
    const int64_t alignment = is_live ? 1 : PLAN_ALIGNMENT;
    tn_dim callee_bytes = dim_const(t, 0), carried = dim_const(t, 0);
    for (size_t k = 0; k < PLAN_CALLEES; k++) {
        const attr *a = attr_find(&n->attrs, plan_callees[k]);
        if (!a) continue;
        const function_plan *f = plan_of(p, a->func);
        tn_dim own = is_live && f->live_bytes != DIM_INVALID ? f->live_bytes : f->arena_bytes;
        if (a->func->is_kernel) own = plan_buffer_bytes(p->kernels[f->kernel].loops, LT_TEMP, alignment);
        callee_bytes = dim_max(t, callee_bytes, plan_in_caller(a->func, n, own));
    }
    for (uint32_t i = 0; i < plan_carried(n); i++)
        if (!plan_is_invariant(n, i))
            carried = dim_add(t, carried, aligned(t, plan_value_bytes(g, n->operands[i]), alignment));
    return dim_add(t, carried, callee_bytes);
}

/* The scratch of the function, with that of what node n calls. */
static tn_dim scratch_with(const program_plan *p, const node *n, tn_dim scratch) {
    for (size_t k = 0; k < PLAN_CALLEES; k++) {
        const attr *a = attr_find(&n->attrs, plan_callees[k]);
        if (!a) continue;
        tn_dim own = plan_in_caller(a->func, n, plan_of(p, a->func)->scratch_bytes);
        scratch = dim_max(p->module->dims, scratch, own);
    }
    return scratch;
}

/* ---- Writing a result over a dying operand ---- */

typedef struct overwrite_check {
    const lt_kernel *kernel;
    uint32_t in, out;
    tn_dim index; /* of every access so far */
    bool is_written;
    bool safe;
} overwrite_check;

static void check_block(overwrite_check *c, const lt_block *block);

static void check_stmt(overwrite_check *c, const lt_stmt *s) {
    if (s->kind == LT_LOOP)
        check_block(c, &s->loop.body);
    else if (s->kind == LT_IF) {
        check_block(c, &s->branch.then);
        check_block(c, &s->branch.otherwise);
    } else if (s->kind == LT_TILE)
        c->safe &= s->tile.a != c->in && s->tile.b != c->in && s->tile.c != c->out;
    else if (s->kind == LT_TRANSPOSE)
        c->safe &= s->transpose.from.buffer != c->in && s->transpose.to.buffer != c->out;
    else if ((s->kind == LT_LOAD && s->access.buffer == c->in) || (s->kind == LT_STORE && s->access.buffer == c->out)) {
        c->safe &= c->index == DIM_INVALID || c->index == s->access.index;
        c->safe &= s->kind == LT_STORE || !c->is_written;
        c->is_written |= s->kind == LT_STORE;
        c->index = s->access.index;
    }
}

static void check_block(overwrite_check *c, const lt_block *block) {
    for (uint32_t i = 0; i < block->n; i++) check_stmt(c, block->items[i]);
}

/* Every element is read at the one index it is written at, within one step of one loop and before. */
static bool may_overwrite(const lt_kernel *k, uint32_t in, uint32_t out) {
    overwrite_check c = {k, in, out, DIM_INVALID, false, k->n_stages == 1};
    if (c.safe) check_block(&c, &k->stages[0].body);
    return c.safe || FAULT(overwrite_check);
}

/* ---- Places ---- */

/* A buffer that one or more values use one after the other. */
typedef struct storage {
    lifetime life;
    size_t taken; /* 1 + the node of which a result took it over: no other of its results may */
} storage;

typedef struct placing {
    program_plan *program;
    function_plan *plan;
    tn_graph *graph;
    plan_part *parts;     /* by root value */
    size_t *last_use;     /* node index, by root value */
    uint32_t *storage_of; /* by value; UINT32_MAX: none */
    storage *storages;
    size_t n_storages;
} placing;

void plan_last_uses(const tn_graph *g, size_t *last) {
    for (size_t v = 0; v < g->n_values; v++) last[v] = SIZE_MAX;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_operands; k++) last[plan_root(g, g->nodes[i].operands[k])] = i;
    for (size_t r = 0; r < g->n_results; r++) last[plan_root(g, g->results[r].value)] = g->n_nodes;
}

/* Whether the kernel that makes a state's next value may write it over the old one: nothing reads that afterwards, and
 * the kernel itself reads each element where it writes it. */
static bool is_made_in_place(const placing *s, value_id root, uint32_t state) {
    const tn_graph *g = s->graph;
    size_t i = g->values[root].node, last = s->last_use[g->params[state].value];
    const node *n = &g->nodes[i];
    const attr *callee = attr_find(&n->attrs, ATTR_callee);
    if (n->op != TN_OP_call || !callee->func->is_kernel) return false;
    if (last != SIZE_MAX && last > i) return false;
    const lt_kernel *loops = plan_kernel_of(s->program, callee->func)->loops;
    for (uint32_t o = 0; o < n->n_operands; o++)
        if (plan_root(g, n->operands[o]) == g->params[state].value &&
            !may_overwrite(loops, o, loops->n_inputs + g->values[root].result))
            return false;
    return true;
}

/* Results that a node makes go straight to the caller's buffer, each value to its first. A state's next value goes to
 * the state's, or else is copied there at last. */
static void place_results(placing *s) {
    const tn_graph *g = s->graph;
    for (uint32_t r = 0; r < g->n_results; r++) {
        value_id root = plan_root(g, g->results[r].value);
        tn_op op = (tn_op)graph_node_of(g, root)->op;
        int32_t state = g->results[r].state_param;
        if (op == TN_OP_param || op == TN_OP_constant || s->plan->values[root].kind != PLACE_NONE) continue;
        if (state < 0)
            s->plan->values[root] = (place){PLACE_RESULT, r, dim_const(g->module->dims, 0)};
        else if (is_made_in_place(s, root, (uint32_t)state))
            s->plan->values[root] = (place){PLACE_PARAM, (uint32_t)state, dim_const(g->module->dims, 0)};
    }
}

/* Wanted at node i alone, to begin with. Its number, which work_offset[] and staged[] have until offsets are known. */
static uint32_t new_storage(placing *s, tn_dim bytes, tn_dim live_bytes, size_t i) {
    s->storages[s->n_storages] = (storage){.life = {.bytes = bytes, .live_bytes = live_bytes, .from = i, .to = i}};
    return (uint32_t)s->n_storages++;
}

/* The storage of an operand that dies at node i and that result `k` of the kernel call may
 * take over; UINT32_MAX: none. */
static uint32_t storage_to_take(placing *s, size_t i, uint32_t k) {
    const tn_graph *g = s->graph;
    const node *n = &g->nodes[i];
    const attr *callee = attr_find(&n->attrs, ATTR_callee);
    if (!callee || !callee->func->is_kernel) return UINT32_MAX;
    const lt_kernel *loops = plan_kernel_of(s->program, callee->func)->loops;
    for (uint32_t o = 0; o < n->n_operands; o++) {
        value_id root = plan_root(g, n->operands[o]);
        uint32_t own = s->storage_of[root];
        if (own == UINT32_MAX || s->last_use[root] != i || s->storages[own].life.to != i ||
            s->storages[own].taken == i + 1 || s->storages[own].life.bytes != plan_value_bytes(g, n->first_result + k))
            continue;
        bool once = true;
        for (uint32_t other = 0; other < n->n_operands; other++)
            once &= other == o || s->storage_of[plan_root(g, n->operands[other])] != own;
        if (once && may_overwrite(loops, o, loops->n_inputs + k)) return own;
    }
    return UINT32_MAX;
}

/* The storage that is to have result `k` of node i. */
static uint32_t storage_for(placing *s, size_t i, uint32_t k) {
    value_id v = s->graph->nodes[i].first_result + k, whole = s->parts[v].whole != VALUE_NONE ? s->parts[v].whole : v;
    uint32_t own = s->storage_of[whole];
    if (own == UINT32_MAX && s->parts[v].whole == VALUE_NONE) own = storage_to_take(s, i, k);
    if (own == UINT32_MAX) {
        tn_dim bytes = plan_value_bytes(s->graph, whole);
        own = new_storage(s, bytes, bytes, i);
    }
    return s->storage_of[whole] = s->storage_of[v] = own;
}

static void place_result(placing *s, size_t i, uint32_t k) {
    value_id v = s->graph->nodes[i].first_result + k;
    const plan_part *part = &s->parts[v];
    const place *whole = part->whole != VALUE_NONE ? &s->plan->values[part->whole] : NULL;
    if (whole && whole->kind == PLACE_RESULT) {
        s->plan->values[v] = (place){PLACE_RESULT, whole->index, part->offset};
        return;
    }
    storage *own = &s->storages[storage_for(s, i, k)];
    size_t last = s->last_use[v];
    if (FAULT(arena_lifetime) && last != SIZE_MAX && last > i + 1) last--;
    if (last != SIZE_MAX && last > own->life.to) own->life.to = last;
    own->taken = i + 1;
    s->plan->values[v].kind = PLACE_ARENA;
}

static void place_node(placing *s, size_t i) {
    tn_graph *g = s->graph;
    const node *n = &g->nodes[i];
    dim_table *t = g->module->dims;
    for (uint32_t k = 0; k < n->n_results; k++) {
        value_id v = n->first_result + k;
        place *at = &s->plan->values[v];
        if (n->op == TN_OP_param)
            *at = (place){.kind = PLACE_PARAM, .index = (uint32_t)attr_int(&n->attrs, ATTR_index, 0)};
        else if (n->op == TN_OP_constant)
            *at = (place){.kind = PLACE_CONSTANT, .index = (uint32_t)i};
        else if (at->kind == PLACE_NONE && !is_alias(n, k) && g->values[v].type.dtype != TN_TOKEN)
            place_result(s, i, k);
    }
    s->plan->scratch_bytes = scratch_with(s->program, n, s->plan->scratch_bytes);
    tn_dim work = node_work(s->program, g, n, false);
    if (!dim_is_value(t, work, 0)) {
        s->plan->work_bytes[i] = work;
        s->plan->work_offset[i] = (tn_dim)new_storage(s, work, node_work(s->program, g, n, true), i);
    }
}

static bool is_state(const tn_graph *g, uint32_t index) {
    for (size_t r = 0; r < g->n_results; r++)
        if (g->results[r].state_param == (int32_t)index) return true;
    return false;
}

/* States that take each other's old values go through a place of their own. */
static void stage_states(placing *s) {
    tn_graph *g = s->graph;
    for (size_t r = 0; r < g->n_results; r++) {
        const place *from = &s->plan->values[plan_root(g, g->results[r].value)];
        int32_t own = g->results[r].state_param;
        if (own < 0 || from->kind != PLACE_PARAM || from->index == (uint32_t)own || !is_state(g, from->index)) continue;
        tn_dim bytes = plan_value_bytes(g, g->results[r].value);
        s->plan->staged[r] = (tn_dim)new_storage(s, bytes, bytes, g->n_nodes);
    }
}

static bool place_values(placing *s) {
    tn_graph *g = s->graph;
    dim_table *t = g->module->dims;
    plan_last_uses(s->graph, s->last_use);
    plan_join(g, s->parts);
    place_results(s);
    for (size_t i = 0; i < g->n_nodes; i++) place_node(s, i);
    stage_states(s);
    lifetime *blocks = tn_calloc(s->n_storages + 1, sizeof *blocks);
    if (!blocks) return false;
    for (size_t i = 0; i < s->n_storages; i++) blocks[i] = s->storages[i].life;
    bool ok = plan_place(t, blocks, s->n_storages, &s->plan->arena_bytes, &s->plan->live_bytes);
    for (value_id v = 0; ok && v < g->n_values; v++)
        if (s->plan->values[v].kind == PLACE_ARENA)
            s->plan->values[v].offset = dim_add(t, blocks[s->storage_of[v]].offset,
                                                s->parts[v].whole != VALUE_NONE ? s->parts[v].offset : dim_const(t, 0));
    for (size_t i = 0; ok && i < g->n_nodes; i++)
        if (s->plan->work_offset[i] != DIM_INVALID) s->plan->work_offset[i] = blocks[s->plan->work_offset[i]].offset;
    for (size_t r = 0; ok && r < g->n_results; r++)
        if (s->plan->staged[r] != DIM_INVALID) s->plan->staged[r] = blocks[s->plan->staged[r]].offset;
    tn_free(blocks);
    ok = ok && dim_table_status(t) != TN_ERR_MEMORY; /* not even for what is only told */
    return ok && s->plan->arena_bytes != DIM_INVALID && s->plan->scratch_bytes != DIM_INVALID;
}

static bool plan_function(program_plan *p, tn_graph *g, const machine *m) {
    if (!plan_called(p, g, m)) return false;
    placing s = {.program = p, .graph = g, .plan = add_function(p, g)};
    s.parts = tn_malloc((g->n_values + 1) * sizeof *s.parts);
    s.last_use = tn_malloc((g->n_values + 1) * sizeof *s.last_use);
    s.storage_of = tn_malloc((g->n_values + 1) * sizeof *s.storage_of);
    s.storages = tn_calloc(g->n_values + g->n_nodes + g->n_results + 1, sizeof *s.storages);
    bool ok = s.plan && s.plan->values && s.parts && s.last_use && s.storage_of && s.storages;
    if (ok) {
        memset(s.storage_of, 0xff, (g->n_values + 1) * sizeof *s.storage_of);
        ok = place_values(&s);
    }
    tn_free(s.parts);
    tn_free(s.last_use);
    tn_free(s.storage_of);
    tn_free(s.storages);
    if (!ok && dim_table_status(p->module->dims) == TN_ERR_LIMIT)
        return module_error(p->module, TN_ERR_LIMIT, LOCATION_NONE, "%s: sizes do not fit in 63 bits", g->name);
    return ok || out_of_memory(p);
}

bool plan_entry(program_plan *p, tn_graph *entry, const machine *m) {
    p->module = entry->module;
    return plan_of(p, entry) || plan_function(p, entry, m);
}

void plan_free(program_plan *p) {
    for (size_t i = 0; i < p->n_functions; i++) {
        tn_free(p->functions[i].values);
        tn_free(p->functions[i].work_offset);
        tn_free(p->functions[i].work_bytes);
        tn_free(p->functions[i].staged);
    }
    tn_free(p->functions);
    tn_free(p->kernels);
    tn_free(p->function_index);
    tn_free(p->kernel_index);
    *p = (program_plan){0};
}
