/* The dims of loop trees (see dims.h). */
#include "compiler/loops/dims.h"

/* ---- By kind of statement ---- */

#define AT(member) offsetof(lt_stmt, member)

static const stmt_dim of_dim[] = {{AT(dim.dim), false}};
static const stmt_dim of_access[] = {{AT(access.index), false}};
static const stmt_dim of_bind[] = {{AT(bind.limit), false}, {AT(bind.element), false}};
static const stmt_dim of_check[] = {{AT(check.element), false}};
static const stmt_dim of_loop[] = {{AT(loop.begin), false}, {AT(loop.end), false}};
static const stmt_dim of_tile[] = {
    {AT(tile.a_index), false},   {AT(tile.b_index), false},    {AT(tile.c_index), false},
    {AT(tile.a_row), false}, /* a register for each row then: no tile was slower */
    {AT(tile.c_row), true},      {AT(tile.a_depth), false},    {AT(tile.b_depth), false},
    {AT(tile.depth), false},     {AT(tile.next_index), false}, {AT(tile.next_step), true},
    {AT(tile.inner[0].a), true}, {AT(tile.inner[0].b), true},  {AT(tile.inner[1].a), true},
    {AT(tile.inner[1].b), true},
};
static const stmt_dim of_transpose[] = {
    {AT(transpose.from.index), false},
    {AT(transpose.from.row), false},
    {AT(transpose.to.index), false},
    {AT(transpose.to.row), false},
};

#define ALL(items) {items, sizeof(items) / sizeof *(items)}

static const stmt_dims by_kind[] = {
    [LT_DIM] = ALL(of_dim),
    [LT_LOAD] = ALL(of_access),
    [LT_STORE] = ALL(of_access),
    [LT_BIND] = ALL(of_bind),
    [LT_LOOP] = ALL(of_loop),
    [LT_TILE] = ALL(of_tile),
    [LT_TRANSPOSE] = ALL(of_transpose),
    [LT_CHECK] = ALL(of_check),
};

stmt_dims dims_of_kind(lt_kind kind) { return by_kind[kind]; }

/* ---- Of a kernel ---- */

static bool add(dims_list *l, tn_dim *at, bool is_layout) {
    if (!array_reserve((void **)&l->items, &l->capacity, l->n + 1, sizeof *l->items)) return false;
    l->items[l->n++] = (listed_dim){at, is_layout};
    return true;
}

static void set_reach(const dims_list *l, const dim_table *t, tn_dim variable, dims_reach reach) {
    l->reaches[dim_variable_number(t, variable)] = reach;
}

static bool list_block(dims_list *l, dim_table *t, const lt_block *block) {
    bool ok = true;
    for (uint32_t i = 0; i < block->n && ok; i++) {
        lt_stmt *s = block->items[i];
        bool is_wide = s->kind == LT_LOOP && s->loop.kind != LT_SERIAL;
        /* How many steps there are decides what code a vector loop is, if it is a number. */
        bool is_counted = is_wide && dim_is_const(t, dim_sub(t, s->loop.end, s->loop.begin), NULL);
        stmt_dims dims = dims_of_kind(s->kind);
        for (size_t k = 0; k < dims.n && ok; k++)
            ok = add(l, dims_at(s, &dims.items[k]), is_counted || dims.items[k].is_layout);
        if (s->kind == LT_BIND) set_reach(l, t, s->bind.variable, OF_COUNTER);
        if (s->kind == LT_LOOP) {
            set_reach(l, t, s->loop.variable, is_wide ? OF_LAYOUT : OF_COUNTER);
            ok = ok && list_block(l, t, &s->loop.body);
        } else if (s->kind == LT_IF)
            ok = ok && list_block(l, t, &s->branch.then) && list_block(l, t, &s->branch.otherwise);
    }
    return ok;
}

bool dims_list_kernel(dims_list *l, lt_kernel *k) {
    *l = (dims_list){.reaches = tn_calloc(k->n_variables + 1u, sizeof *l->reaches)};
    bool ok = l->reaches != NULL;
    for (uint32_t i = 0; i < k->n_buffers && ok; i++)
        ok = add(l, &k->buffers[i].elements, k->buffers[i].role == LT_LOCAL);
    for (uint32_t i = 0; i < k->n_stages && ok; i++)
        ok = add(l, &k->stages[i].chunks, false) && list_block(l, k->module->dims, &k->stages[i].body);
    return ok;
}

void dims_list_free(dims_list *l) {
    tn_free(l->items);
    tn_free(l->reaches);
}
