/* Which values of a vector loop differ between lanes.
 *
 * in:  a vector loop, about to be widened
 * out: is_varying of every value and variable defined in it
 * law: a value is uniform only if all lanes compute the same: from uniform operands, at uniform
 *      indices, under uniform guards; carried values are followed to a fixed point
 */
#include "compiler/codegen/emit_state.h"

static bool varies(const emit *e, lt_value v) { return v != LT_NONE && e->is_varying[v]; }

/* Raises the mark of v; true when it was not raised before. */
static bool raise(emit *e, lt_value v, bool varying) {
    if (!varying || e->is_varying[v]) return false;
    return e->is_varying[v] = true;
}

static bool mark_block(emit *e, const lt_block *block);

static bool mark_loop(emit *e, const lt_stmt *s) {
    bool changed = false, again;
    do {
        again = mark_block(e, &s->loop.body);
        for (uint32_t i = 0; i < s->loop.n_carries; i++) {
            const lt_carry *c = &s->loop.carries[i];
            bool varying = varies(e, c->init) || varies(e, c->next) || varies(e, c->inner);
            again |= raise(e, c->inner, varying);
            again |= raise(e, c->result, varying);
        }
        changed |= again;
    } while (again);
    return changed;
}

static bool mark_stmt(emit *e, const lt_stmt *s) {
    bool varying = false;
    switch (s->kind) {
    case LT_DIM: return raise(e, s->result, emit_dim_varies(e, s->dim.dim));
    case LT_OP:
        for (uint32_t i = 0; i < s->op.n_operands; i++) varying |= varies(e, s->op.operands[i]);
        return raise(e, s->result, varying);
    case LT_LOAD: return raise(e, s->result, emit_dim_varies(e, s->access.index) || varies(e, s->access.guard));
    case LT_BIND: {
        variable *v = &e->variables[dim_variable_number(e->dims, s->bind.variable)];
        bool was = v->is_varying;
        v->is_varying |= varies(e, s->bind.value) || emit_dim_varies(e, s->bind.limit);
        return v->is_varying != was;
    }
    case LT_LOOP: return mark_loop(e, s);
    case LT_IF: {
        bool then = mark_block(e, &s->branch.then);
        return mark_block(e, &s->branch.otherwise) || then;
    }
    default: return false;
    }
}

static bool mark_block(emit *e, const lt_block *block) {
    bool changed = false;
    for (uint32_t i = 0; i < block->n; i++) changed |= mark_stmt(e, block->items[i]);
    return changed;
}

void emit_mark_varying(emit *e, const lt_stmt *vector_loop) {
    e->variables[dim_variable_number(e->dims, vector_loop->loop.variable)].is_varying = true;
    for (uint32_t i = 0; i < vector_loop->loop.n_carries; i++) e->is_varying[vector_loop->loop.carries[i].inner] = true;
    uint32_t lanes = e->lanes;
    e->lanes = vector_loop->loop.width; /* outside wide code nothing varies */
    while (mark_block(e, &vector_loop->loop.body));
    e->lanes = lanes;
}
