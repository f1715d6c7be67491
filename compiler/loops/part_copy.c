/* A loop of a kernel as a kernel of its own (see parts.h).
 *
 * in:  a kernel, a loop of it, the loops around that
 * out: a kernel whose one stage has a copy of the loop, with buffers, variables and values numbered in the order in
 *      which the loop names them, so that loops which do the same are equal (lt_equal)
 */
#include "compiler/loops/dims.h"
#include "compiler/loops/parts.h"

#include <string.h>

typedef struct copying {
    const lt_kernel *from;
    lt_kernel *to;
    arena *memory;
    bool *is_used;                     /* variables of `from` */
    uint32_t *buffers, *values;        /* of `from`: what they are in `to`; UINT32_MAX: nothing yet */
    uint32_t *named;                   /* buffers of `from`, in their order in `to` */
    tn_dim *old_variables, *variables; /* those that have a name in `to` */
    uint32_t n_variables;
    bool is_part, out_of_memory;
} copying;

/* ---- Names ---- */

static uint32_t copy_buffer(copying *c, uint32_t buffer) {
    if (buffer == LT_NONE) return LT_NONE;
    if (c->buffers[buffer] != UINT32_MAX) return c->buffers[buffer];
    static const lt_role roles[] = {/* all that code depends on: alignment, and whether others point there */
                                    [LT_INPUT] = LT_INPUT,
                                    [LT_OUTPUT] = LT_INPUT,
                                    [LT_TEMP] = LT_TEMP,
                                    [LT_SCRATCH] = LT_TEMP,
                                    [LT_LOCAL] = LT_LOCAL};
    const lt_buffer *b = &c->from->buffers[buffer];
    uint32_t number = c->to->n_buffers++;
    c->is_part &= !b->is_streamed;
    c->to->buffers[number] = (lt_buffer){roles[b->role], b->dtype, dim_const(c->from->module->dims, 0), b->name, false};
    c->named[number] = buffer;
    return c->buffers[buffer] = number;
}

static void name_variable(copying *c, tn_dim variable) {
    c->old_variables[c->n_variables] = variable;
    c->variables[c->n_variables] = dim_variable(c->from->module->dims, c->n_variables);
    c->n_variables++;
}

static lt_value new_value(copying *c, lt_value value, tn_dtype dtype) {
    if (value == LT_NONE) return LT_NONE;
    c->to->value_dtypes[c->to->n_values] = dtype;
    return c->values[value] = c->to->n_values++;
}

static lt_value copy_value(copying *c, lt_value value) {
    if (value == LT_NONE) return LT_NONE;
    c->is_part &= c->values[value] != UINT32_MAX;
    return c->values[value];
}

static tn_dim copy_dim(copying *c, tn_dim d) {
    return dim_substitute(c->from->module->dims, d, c->old_variables, c->variables, (int)c->n_variables);
}

/* ---- Statements ---- */

static void copy_block(copying *c, lt_block *to, const lt_block *from);

static void copy_loop(copying *c, lt_stmt *s, const lt_stmt *from) {
    s->loop.variable = c->variables[c->n_variables - 1];
    s->loop.carries =
        from->loop.n_carries ? arena_alloc(c->memory, from->loop.n_carries, sizeof *s->loop.carries) : NULL;
    c->out_of_memory |= from->loop.n_carries && !s->loop.carries;
    for (uint32_t i = 0; i < from->loop.n_carries && !c->out_of_memory; i++) {
        const lt_carry *carry = &from->loop.carries[i];
        s->loop.carries[i] = *carry;
        s->loop.carries[i].init = copy_value(c, carry->init);
        s->loop.carries[i].inner = new_value(c, carry->inner, carry->dtype);
    }
    copy_block(c, &s->loop.body, &from->loop.body);
    for (uint32_t i = 0; i < from->loop.n_carries && !c->out_of_memory; i++) {
        s->loop.carries[i].next = copy_value(c, from->loop.carries[i].next);
        s->loop.carries[i].result = new_value(c, from->loop.carries[i].result, from->loop.carries[i].dtype);
    }
}

static void copy_names(copying *c, lt_stmt *s, const lt_stmt *from) {
    switch (from->kind) {
    case LT_OP:
        for (uint32_t i = 0; i < from->op.n_operands; i++) s->op.operands[i] = copy_value(c, from->op.operands[i]);
        break;
    case LT_LOAD:
    case LT_STORE:
        s->access.buffer = copy_buffer(c, from->access.buffer);
        s->access.guard = copy_value(c, from->access.guard);
        if (from->kind == LT_STORE) s->access.value = copy_value(c, from->access.value);
        break;
    case LT_BIND:
        c->is_part &= from->bind.site == LT_NONE;
        s->bind.value = copy_value(c, from->bind.value);
        name_variable(c, from->bind.variable);
        s->bind.variable = c->variables[c->n_variables - 1];
        break;
    case LT_CHECK: c->is_part = false; break;
    case LT_LOOP: copy_loop(c, s, from); break;
    case LT_IF:
        s->branch.condition = copy_value(c, from->branch.condition);
        copy_block(c, &s->branch.then, &from->branch.then);
        copy_block(c, &s->branch.otherwise, &from->branch.otherwise);
        break;
    case LT_TILE:
        s->tile.a = copy_buffer(c, from->tile.a);
        s->tile.b = copy_buffer(c, from->tile.b);
        s->tile.c = copy_buffer(c, from->tile.c);
        s->tile.next = copy_buffer(c, from->tile.next);
        break;
    case LT_TRANSPOSE:
        s->transpose.from.buffer = copy_buffer(c, from->transpose.from.buffer);
        s->transpose.to.buffer = copy_buffer(c, from->transpose.to.buffer);
        break;
    default: break;
    }
}

static lt_stmt *copy_stmt(copying *c, const lt_stmt *from) {
    lt_stmt *s = arena_alloc(c->memory, 1, sizeof *s);
    c->out_of_memory |= !s;
    if (!s) return NULL;
    *s = *from;
    if (from->kind == LT_LOOP) name_variable(c, from->loop.variable);
    copy_names(c, s, from);
    if (c->out_of_memory || !c->is_part) return s;
    stmt_dims dims = dims_of_kind(from->kind);
    for (size_t i = 0; i < dims.n; i++) *dims_at(s, &dims.items[i]) = copy_dim(c, dims_value(from, &dims.items[i]));
    if (from->result != LT_NONE) s->result = new_value(c, from->result, from->dtype);
    return s;
}

static void copy_block(copying *c, lt_block *to, const lt_block *from) {
    *to =
        (lt_block){.items = arena_alloc(c->memory, from->n + 1u, sizeof *to->items), .n = from->n, .capacity = from->n};
    c->out_of_memory |= !to->items;
    for (uint32_t i = 0; i < from->n && c->is_part && !c->out_of_memory; i++)
        to->items[i] = copy_stmt(c, from->items[i]);
}

/* ---- What the caller gives ---- */

typedef struct leaf_visit {
    copying *c;
    bool *is_extent_used;
} leaf_visit;

static bool visit_leaf(void *ctx, tn_dim leaf) {
    leaf_visit *v = ctx;
    const dim_table *t = v->c->from->module->dims;
    if (dim_kind_of(t, leaf) == DIM_VARIABLE)
        v->c->is_used[dim_variable_number(t, leaf)] = true;
    else
        for (uint32_t i = 0; i < v->c->from->n_extents; i++) v->is_extent_used[i] |= v->c->from->extents[i] == leaf;
    return true;
}

static void visit_dim(leaf_visit *v, tn_dim d) { dim_visit_leaves(v->c->from->module->dims, d, visit_leaf, v); }

static void visit_stmt(leaf_visit *v, const lt_stmt *s) {
    stmt_dims dims = dims_of_kind(s->kind);
    for (size_t i = 0; i < dims.n; i++) visit_dim(v, dims_value(s, &dims.items[i]));
    const lt_block *blocks[2] = {NULL, NULL};
    if (s->kind == LT_LOOP) blocks[0] = &s->loop.body;
    if (s->kind == LT_IF) {
        blocks[0] = &s->branch.then;
        blocks[1] = &s->branch.otherwise;
    }
    for (int i = 0; i < 2; i++)
        for (uint32_t k = 0; blocks[i] && k < blocks[i]->n; k++) visit_stmt(v, blocks[i]->items[k]);
}

static bool is_used(const copying *c, const loop_nest *nest) {
    return c->is_used[dim_variable_number(c->from->module->dims, nest->variable)];
}

/* From the outermost, so that a range has names for what it is over. */
static void name_nest(copying *c, const loop_nest *nest, dim_range *ranges) {
    if (!nest) return;
    name_nest(c, nest->outer, ranges);
    if (!is_used(c, nest)) return;
    tn_dim low = copy_dim(c, nest->begin), high = copy_dim(c, dim_add_const(c->from->module->dims, nest->end, -1));
    name_variable(c, nest->variable);
    ranges[c->n_variables - 1] = (dim_range){c->variables[c->n_variables - 1], low, high};
}

static uint32_t count(const loop_nest *nest) {
    uint32_t n = 0;
    for (; nest; nest = nest->outer) n++;
    return n;
}

static bool name_outside(copying *c, const loop_nest *nest, const lt_stmt *loop, loop_part *part, part_use *use) {
    const lt_kernel *k = c->from;
    dim_range *ranges = arena_alloc(c->memory, count(nest) + 1u, sizeof *ranges);
    tn_dim *extents = arena_alloc(c->memory, k->n_extents + 1u, sizeof *extents);
    leaf_visit v = {c, tn_calloc(k->n_extents + 1u, sizeof(bool))};
    c->out_of_memory |= !ranges || !extents || !v.is_extent_used;
    if (!c->out_of_memory) {
        visit_stmt(&v, loop);
        for (const loop_nest *n = nest; n; n = n->outer) {
            if (!is_used(c, n)) continue;
            visit_dim(&v, n->begin);
            visit_dim(&v, n->end);
        }
        name_nest(c, nest, ranges);
        for (uint32_t i = 0; i < k->n_extents; i++)
            if (v.is_extent_used[i]) extents[c->to->n_extents++] = k->extents[i];
        c->to->extents = extents;
        use->extents = extents;
        *part = (loop_part){c->to, c->n_variables, ranges};
    }
    tn_free(v.is_extent_used);
    return !c->out_of_memory;
}

/* ---- The whole ---- */

static bool open_copy(copying *c) {
    const lt_kernel *k = c->from;
    size_t n_variables = k->n_variables + 1u;
    c->to = lt_kernel_new(k->module, "part", "part");
    c->is_used = tn_calloc(n_variables, sizeof *c->is_used);
    c->buffers = tn_malloc((k->n_buffers + 1u) * sizeof *c->buffers);
    c->values = tn_malloc((k->n_values + 1u) * sizeof *c->values);
    c->old_variables = arena_alloc(c->memory, n_variables, sizeof *c->old_variables);
    c->variables = tn_malloc(n_variables * sizeof *c->variables);
    c->named = arena_alloc(c->memory, k->n_buffers + 1u, sizeof *c->named);
    if (!c->to || !c->is_used || !c->buffers || !c->values || !c->old_variables || !c->variables || !c->named)
        return false;
    c->to->buffers = arena_alloc(c->memory, k->n_buffers + 1u, sizeof *c->to->buffers);
    c->to->value_dtypes = arena_alloc(c->memory, k->n_values + 1u, sizeof *c->to->value_dtypes);
    c->to->stages = arena_alloc(c->memory, 1, sizeof *c->to->stages);
    memset(c->buffers, 0xff, k->n_buffers * sizeof *c->buffers);
    memset(c->values, 0xff, k->n_values * sizeof *c->values);
    return c->to->buffers && c->to->value_dtypes && c->to->stages;
}

static void close_copy(copying *c) {
    tn_free(c->is_used);
    tn_free(c->buffers);
    tn_free(c->values);
    tn_free(c->variables);
}

bool loop_part_copy(const lt_kernel *k, const loop_nest *nest, const lt_stmt *loop, loop_part *part, part_use *use,
                    bool *out_of_memory) {
    copying c = {.from = k, .memory = &k->module->memory, .is_part = true};
    c.out_of_memory = !open_copy(&c);
    if (!c.out_of_memory && name_outside(&c, nest, loop, part, use)) {
        *c.to->stages =
            (lt_stage){.variable = dim_variable(k->module->dims, 0), .chunks = dim_const(k->module->dims, 1)};
        copy_block(&c, &c.to->stages->body, &(lt_block){(lt_stmt *[]){(lt_stmt *)loop}, 1, 1});
        c.to->n_stages = 1;
        c.to->n_variables = c.n_variables;
    }
    use->loop = loop;
    use->buffers = c.named;
    use->variables = c.old_variables;
    c.out_of_memory |= dim_table_status(k->module->dims) == TN_ERR_MEMORY;
    *out_of_memory |= c.out_of_memory;
    close_copy(&c);
    return c.is_part && !c.out_of_memory;
}

bool loop_part_equal(const loop_part *a, const loop_part *b) {
    if (a->n_variables != b->n_variables || !lt_equal(a->loops, b->loops)) return false;
    dim_table *t = a->loops->module->dims;
    for (uint32_t i = 0; i < a->n_variables; i++) {
        const tn_dim ours[] = {a->ranges[i].low, a->ranges[i].high}, its[] = {b->ranges[i].low, b->ranges[i].high};
        for (int k = 0; k < 2; k++)
            if (dim_substitute(t, ours[k], a->loops->extents, b->loops->extents, (int)a->loops->n_extents) != its[k])
                return false;
    }
    return true;
}
