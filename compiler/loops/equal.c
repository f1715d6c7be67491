/* Whether two kernels are one and the same code.
 *
 * in:  kernels of one module
 * out: a hash, and equality: names and locations aside
 * law: equal kernels have equal hashes; dims are compared by id, which is canonical within a
 *      module, after the extents of one are put in place of the other's
 */
#include "compiler/loops/loops.h"

#include <string.h>

/* ---- Hash: of structure and static numbers ---- */

static uint64_t mix(uint64_t h, uint64_t x) {
    h ^= x + UINT64_C(0x9e3779b97f4a7c15) + (h << 6) + (h >> 2);
    return h * UINT64_C(0xff51afd7ed558ccd) ^ h >> 29;
}

typedef struct hasher {
    const dim_table *dims;
    uint64_t h;
} hasher;

static void add(hasher *s, uint64_t x) { s->h = mix(s->h, x); }

/* Names of symbols must not count, so of what is not constant only the form does. */
static void add_dim(hasher *s, tn_dim d) {
    int64_t constant;
    add(s, (uint64_t)dim_kind_of(s->dims, d));
    add(s, dim_is_const(s->dims, d, &constant) ? (uint64_t)constant : dim_term_count(s->dims, d));
}

static void add_block(hasher *s, const lt_block *block);

static void add_carries(hasher *s, const lt_stmt *loop) {
    for (uint32_t i = 0; i < loop->loop.n_carries; i++) {
        const lt_carry *c = &loop->loop.carries[i];
        add(s, c->init);
        add(s, c->next);
        add(s, c->combine);
    }
}

static void add_stmt(hasher *s, const lt_stmt *stmt) {
    add(s, (uint64_t)stmt->kind << 16 | stmt->dtype);
    switch (stmt->kind) {
    case LT_CONST: add(s, stmt->constant.bits); break;
    case LT_DIM: add_dim(s, stmt->dim.dim); break;
    case LT_OP:
        add(s, (uint64_t)stmt->op.op << 8 | (uint64_t)stmt->op.compare);
        for (uint32_t i = 0; i < stmt->op.n_operands; i++) add(s, stmt->op.operands[i]);
        break;
    case LT_LOAD:
    case LT_STORE:
        add(s, stmt->access.buffer);
        add_dim(s, stmt->access.index);
        add(s, stmt->access.guard);
        break;
    case LT_BIND:
        add(s, stmt->bind.value);
        add_dim(s, stmt->bind.limit);
        break;
    case LT_LOOP:
        add(s, (uint64_t)stmt->loop.kind << 32 | stmt->loop.width);
        add_dim(s, stmt->loop.begin);
        add_dim(s, stmt->loop.end);
        add_carries(s, stmt);
        add_block(s, &stmt->loop.body);
        break;
    case LT_IF:
        add(s, stmt->branch.condition);
        add_block(s, &stmt->branch.then);
        add_block(s, &stmt->branch.otherwise);
        break;
    case LT_TILE:
        add(s, (uint64_t)stmt->tile.mr << 32 | stmt->tile.nr);
        add_dim(s, stmt->tile.depth);
        add(s, stmt->tile.n_inner);
        break;
    case LT_TRANSPOSE:
        add(s, (uint64_t)stmt->transpose.rows << 32 | stmt->transpose.columns);
        add_dim(s, stmt->transpose.from.row);
        break;
    }
}

static void add_block(hasher *s, const lt_block *block) {
    add(s, block->n);
    for (uint32_t i = 0; i < block->n; i++) add_stmt(s, block->items[i]);
}

uint64_t lt_hash(const lt_kernel *k) {
    hasher s = {k->module->dims, 0};
    add(&s, k->n_values);
    add(&s, k->n_extents);
    for (uint32_t i = 0; i < k->n_buffers; i++) {
        add(&s, (uint64_t)k->buffers[i].is_streamed << 16 | (uint64_t)k->buffers[i].role << 8 | k->buffers[i].dtype);
        add_dim(&s, k->buffers[i].elements);
    }
    for (uint32_t i = 0; i < k->n_stages; i++) {
        add_dim(&s, k->stages[i].chunks);
        add_block(&s, &k->stages[i].body);
    }
    return s.h;
}

/* ---- Equality ---- */

typedef struct pair {
    const lt_kernel *a, *b;
    dim_table *dims;
    bool same_extents;
} pair;

static bool same_dim(const pair *p, tn_dim x, tn_dim y) {
    if (p->same_extents) return x == y;
    return dim_substitute(p->dims, x, p->a->extents, p->b->extents, (int)p->a->n_extents) == y;
}

static bool same_block(const pair *p, const lt_block *x, const lt_block *y);

static bool same_op(const lt_stmt *x, const lt_stmt *y) {
    return x->op.op == y->op.op && x->op.n_operands == y->op.n_operands && x->op.compare == y->op.compare &&
           memcmp(x->op.operands, y->op.operands, x->op.n_operands * sizeof *x->op.operands) == 0;
}

static bool same_access(const pair *p, const lt_stmt *x, const lt_stmt *y) {
    return x->access.buffer == y->access.buffer && x->access.guard == y->access.guard &&
           (x->kind == LT_LOAD || x->access.value == y->access.value) && same_dim(p, x->access.index, y->access.index);
}

static bool same_bind(const pair *p, const lt_stmt *x, const lt_stmt *y) {
    return x->bind.variable == y->bind.variable && x->bind.value == y->bind.value && x->bind.site == y->bind.site &&
           same_dim(p, x->bind.limit, y->bind.limit) && same_dim(p, x->bind.element, y->bind.element);
}

static bool same_loop(const pair *p, const lt_stmt *x, const lt_stmt *y) {
    if (x->loop.kind != y->loop.kind || x->loop.variable != y->loop.variable || x->loop.width != y->loop.width ||
        x->loop.n_carries != y->loop.n_carries || !same_dim(p, x->loop.begin, y->loop.begin) ||
        !same_dim(p, x->loop.end, y->loop.end))
        return false;
    for (uint32_t i = 0; i < x->loop.n_carries; i++) {
        const lt_carry *c = &x->loop.carries[i], *d = &y->loop.carries[i];
        if (c->init != d->init || c->inner != d->inner || c->next != d->next || c->result != d->result ||
            c->dtype != d->dtype || c->combine != d->combine)
            return false;
    }
    return same_block(p, &x->loop.body, &y->loop.body);
}

static bool same_inner(const pair *p, const lt_stmt *x, const lt_stmt *y) {
    if (x->tile.n_inner != y->tile.n_inner) return false;
    for (uint32_t i = 0; i < x->tile.n_inner; i++) {
        const lt_inner *u = &x->tile.inner[i], *v = &y->tile.inner[i];
        if (u->steps != v->steps || !same_dim(p, u->a, v->a) || !same_dim(p, u->b, v->b)) return false;
    }
    return true;
}

static bool same_tile(const pair *p, const lt_stmt *x, const lt_stmt *y) {
    return x->tile.a == y->tile.a && x->tile.b == y->tile.b && x->tile.c == y->tile.c && x->tile.mr == y->tile.mr &&
           x->tile.nr == y->tile.nr && x->tile.accumulate == y->tile.accumulate &&
           same_dim(p, x->tile.a_index, y->tile.a_index) && same_dim(p, x->tile.b_index, y->tile.b_index) &&
           same_dim(p, x->tile.c_index, y->tile.c_index) && same_dim(p, x->tile.a_row, y->tile.a_row) &&
           same_dim(p, x->tile.a_depth, y->tile.a_depth) && same_dim(p, x->tile.b_depth, y->tile.b_depth) &&
           same_dim(p, x->tile.c_row, y->tile.c_row) && same_dim(p, x->tile.depth, y->tile.depth) &&
           same_inner(p, x, y) && x->tile.next == y->tile.next &&
           (x->tile.next == LT_NONE ||
            (same_dim(p, x->tile.next_index, y->tile.next_index) && same_dim(p, x->tile.next_step, y->tile.next_step)));
}

static bool same_matrix(const pair *p, const lt_matrix *x, const lt_matrix *y) {
    return x->buffer == y->buffer && same_dim(p, x->index, y->index) && same_dim(p, x->row, y->row);
}

static bool same_transpose(const pair *p, const lt_stmt *x, const lt_stmt *y) {
    return x->transpose.rows == y->transpose.rows && x->transpose.columns == y->transpose.columns &&
           same_matrix(p, &x->transpose.from, &y->transpose.from) && same_matrix(p, &x->transpose.to, &y->transpose.to);
}

static bool same_stmt(const pair *p, const lt_stmt *x, const lt_stmt *y) {
    if (x->kind != y->kind || x->dtype != y->dtype || x->result != y->result) return false;
    switch (x->kind) {
    case LT_CONST: return x->constant.bits == y->constant.bits;
    case LT_DIM: return same_dim(p, x->dim.dim, y->dim.dim);
    case LT_OP: return same_op(x, y);
    case LT_LOAD:
    case LT_STORE: return same_access(p, x, y);
    case LT_BIND: return same_bind(p, x, y);
    case LT_LOOP: return same_loop(p, x, y);
    case LT_IF:
        return x->branch.condition == y->branch.condition && same_block(p, &x->branch.then, &y->branch.then) &&
               same_block(p, &x->branch.otherwise, &y->branch.otherwise);
    case LT_TILE: return same_tile(p, x, y);
    case LT_TRANSPOSE: return same_transpose(p, x, y);
    }
    return false;
}

static bool same_block(const pair *p, const lt_block *x, const lt_block *y) {
    if (x->n != y->n) return false;
    for (uint32_t i = 0; i < x->n; i++)
        if (!same_stmt(p, x->items[i], y->items[i])) return false;
    return true;
}

static bool same_buffers(const pair *p) {
    if (p->a->n_buffers != p->b->n_buffers || p->a->n_inputs != p->b->n_inputs || p->a->n_outputs != p->b->n_outputs)
        return false;
    for (uint32_t i = 0; i < p->a->n_buffers; i++) {
        const lt_buffer *x = &p->a->buffers[i], *y = &p->b->buffers[i];
        if (x->role != y->role || x->dtype != y->dtype || x->is_streamed != y->is_streamed ||
            !same_dim(p, x->elements, y->elements))
            return false;
    }
    return true;
}

static bool same_sites(const pair *p) {
    if (p->a->n_sites != p->b->n_sites) return false;
    for (uint32_t i = 0; i < p->a->n_sites; i++)
        if (p->a->sites[i].op != p->b->sites[i].op) return false;
    return true;
}

bool lt_equal(const lt_kernel *a, const lt_kernel *b) {
    if (a == b) return true;
    if (a->module != b->module || a->n_extents != b->n_extents || a->n_stages != b->n_stages) return false;
    pair p = {a, b, a->module->dims, true};
    for (uint32_t i = 0; i < a->n_extents; i++) p.same_extents &= a->extents[i] == b->extents[i];
    if (!same_buffers(&p) || !same_sites(&p)) return false;
    for (uint32_t i = 0; i < a->n_stages; i++)
        if (a->stages[i].variable != b->stages[i].variable || !same_dim(&p, a->stages[i].chunks, b->stages[i].chunks) ||
            !same_block(&p, &a->stages[i].body, &b->stages[i].body))
            return false;
    return true;
}
