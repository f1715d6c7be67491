/* Whether two kernels are one and the same code.
 *
 * in:  kernels of one module
 * out: a hash, and equality: names and locations aside; the same of their structure, which is all but dims
 * law: equal kernels have equal hashes; dims are compared by id, which is canonical within a
 *      module, after the extents of one are put in place of the other's
 */
#include "compiler/loops/dims.h"

#include <string.h>

/* ---- Hash: of structure and static numbers ---- */

static uint64_t mix(uint64_t h, uint64_t x) {
    h ^= x + UINT64_C(0x9e3779b97f4a7c15) + (h << 6) + (h >> 2);
    return h * UINT64_C(0xff51afd7ed558ccd) ^ h >> 29;
}

typedef struct hasher {
    const dim_table *dims; /* NULL: dims do not count */
    uint64_t h;
} hasher;

static void add(hasher *s, uint64_t x) { s->h = mix(s->h, x); }

/* Names of symbols must not count, so of what is not constant only the form does. */
static void add_dim(hasher *s, tn_dim d) {
    int64_t constant;
    if (!s->dims) return;
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
    stmt_dims dims = dims_of_kind(stmt->kind);
    add(s, (uint64_t)stmt->kind << 16 | stmt->dtype);
    for (size_t i = 0; i < dims.n; i++) add_dim(s, dims_value(stmt, &dims.items[i]));
    switch (stmt->kind) {
    case LT_CONST: add(s, stmt->constant.bits); break;
    case LT_DIM: break;
    case LT_OP:
        add(s, (uint64_t)stmt->op.op << 8 | (uint64_t)stmt->op.compare);
        for (uint32_t i = 0; i < stmt->op.n_operands; i++) add(s, stmt->op.operands[i]);
        break;
    case LT_LOAD:
    case LT_STORE:
        add(s, stmt->access.buffer);
        add(s, stmt->access.guard);
        break;
    case LT_BIND: add(s, stmt->bind.value); break;
    case LT_CHECK: add(s, (uint64_t)stmt->check.value << 32 | stmt->check.site); break;
    case LT_LOOP:
        add(s, (uint64_t)stmt->loop.kind << 32 | stmt->loop.width);
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
        add(s, stmt->tile.n_inner);
        break;
    case LT_TRANSPOSE: add(s, (uint64_t)stmt->transpose.rows << 32 | stmt->transpose.columns); break;
    }
}

static void add_block(hasher *s, const lt_block *block) {
    add(s, block->n);
    for (uint32_t i = 0; i < block->n; i++) add_stmt(s, block->items[i]);
}

static uint64_t hash_of(const lt_kernel *k, const dim_table *dims) {
    hasher s = {dims, 0};
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

uint64_t lt_hash(const lt_kernel *k) { return hash_of(k, k->module->dims); }
uint64_t lt_hash_structure(const lt_kernel *k) { return hash_of(k, NULL); }

/* ---- Equality ---- */

typedef struct pair {
    const lt_kernel *a, *b;
    dim_table *dims; /* NULL: dims do not count */
    bool same_extents;
} pair;

static bool same_dim(const pair *p, tn_dim x, tn_dim y) {
    if (!p->dims) return true;
    if (p->same_extents) return x == y;
    return dim_substitute(p->dims, x, p->a->extents, p->b->extents, (int)p->a->n_extents) == y;
}

static bool same_block(const pair *p, const lt_block *x, const lt_block *y);

static bool same_op(const lt_stmt *x, const lt_stmt *y) {
    return x->op.op == y->op.op && x->op.n_operands == y->op.n_operands && x->op.compare == y->op.compare &&
           memcmp(x->op.operands, y->op.operands, x->op.n_operands * sizeof *x->op.operands) == 0;
}

static bool same_access(const lt_stmt *x, const lt_stmt *y) {
    return x->access.buffer == y->access.buffer && x->access.guard == y->access.guard &&
           (x->kind == LT_LOAD || x->access.value == y->access.value);
}

static bool same_loop(const pair *p, const lt_stmt *x, const lt_stmt *y) {
    if (x->loop.kind != y->loop.kind || x->loop.variable != y->loop.variable || x->loop.width != y->loop.width ||
        x->loop.n_carries != y->loop.n_carries)
        return false;
    for (uint32_t i = 0; i < x->loop.n_carries; i++) {
        const lt_carry *c = &x->loop.carries[i], *d = &y->loop.carries[i];
        if (c->init != d->init || c->inner != d->inner || c->next != d->next || c->result != d->result ||
            c->dtype != d->dtype || c->combine != d->combine)
            return false;
    }
    return same_block(p, &x->loop.body, &y->loop.body);
}

static bool same_tile(const lt_stmt *x, const lt_stmt *y) {
    if (x->tile.n_inner != y->tile.n_inner) return false;
    for (uint32_t i = 0; i < x->tile.n_inner; i++)
        if (x->tile.inner[i].steps != y->tile.inner[i].steps) return false;
    return x->tile.a == y->tile.a && x->tile.b == y->tile.b && x->tile.c == y->tile.c && x->tile.next == y->tile.next &&
           x->tile.mr == y->tile.mr && x->tile.nr == y->tile.nr && x->tile.accumulate == y->tile.accumulate;
}

static bool same_transpose(const lt_stmt *x, const lt_stmt *y) {
    return x->transpose.rows == y->transpose.rows && x->transpose.columns == y->transpose.columns &&
           x->transpose.from.buffer == y->transpose.from.buffer && x->transpose.to.buffer == y->transpose.to.buffer;
}

static bool same_stmt(const pair *p, const lt_stmt *x, const lt_stmt *y) {
    if (x->kind != y->kind || x->dtype != y->dtype || x->result != y->result) return false;
    stmt_dims dims = dims_of_kind(x->kind);
    for (size_t i = 0; i < dims.n; i++)
        if (!same_dim(p, dims_value(x, &dims.items[i]), dims_value(y, &dims.items[i]))) return false;
    switch (x->kind) {
    case LT_CONST: return x->constant.bits == y->constant.bits;
    case LT_DIM: return true;
    case LT_OP: return same_op(x, y);
    case LT_LOAD:
    case LT_STORE: return same_access(x, y);
    case LT_BIND:
        return x->bind.variable == y->bind.variable && x->bind.value == y->bind.value && x->bind.site == y->bind.site;
    case LT_CHECK: return x->check.value == y->check.value && x->check.site == y->check.site;
    case LT_LOOP: return same_loop(p, x, y);
    case LT_IF:
        return x->branch.condition == y->branch.condition && same_block(p, &x->branch.then, &y->branch.then) &&
               same_block(p, &x->branch.otherwise, &y->branch.otherwise);
    case LT_TILE: return same_tile(x, y);
    case LT_TRANSPOSE: return same_transpose(x, y);
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
        if (p->a->sites[i].op != p->b->sites[i].op || p->a->sites[i].kind != p->b->sites[i].kind) return false;
    return true;
}

static bool same_kernel(const lt_kernel *a, const lt_kernel *b, dim_table *dims) {
    if (a == b) return true;
    if (a->module != b->module || a->n_extents != b->n_extents || a->n_stages != b->n_stages) return false;
    pair p = {a, b, dims, true};
    for (uint32_t i = 0; i < a->n_extents; i++) p.same_extents &= a->extents[i] == b->extents[i];
    if (!same_buffers(&p) || !same_sites(&p)) return false;
    for (uint32_t i = 0; i < a->n_stages; i++)
        if (a->stages[i].variable != b->stages[i].variable || !same_dim(&p, a->stages[i].chunks, b->stages[i].chunks) ||
            !same_block(&p, &a->stages[i].body, &b->stages[i].body))
            return false;
    return true;
}

bool lt_equal(const lt_kernel *a, const lt_kernel *b) { return same_kernel(a, b, a->module->dims); }
bool lt_same_structure(const lt_kernel *a, const lt_kernel *b) { return same_kernel(a, b, NULL); }
