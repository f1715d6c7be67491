/* Gradients through control flow.
 *
 * A control op is gone back through by an op of its own kind: `if` by the branch that was taken, `scan` from the last
 * step to the first. What the way back needs of the way there is kept: the functions that the op names are replaced
 * by ones that give it as further results, which scan stacks like any other sequence.
 *
 * in:  the joint function of each function named (grad.c): there and back in one
 * out: it, cut in two. A value that does not depend on a cotangent, and that one which does reads, is kept; but views,
 *      constants and what a loop does not change are made anew
 *
 * A `while` becomes a scan first, of as many steps as it makes rounds at most; a step does nothing once the condition
 * has failed.
 */
#include "ir/build.h"
#include "ir/dtype.h"
#include "ir/extract.h"
#include "ir/grad_sweep.h"

#include <string.h>

/* An array of at least n, in the module's memory. */
static void *room(tn_module *m, size_t n, size_t bytes) {
    void *made = arena_alloc(&m->memory, n + 1, bytes);
    if (!made) module_no_memory(m);
    return made;
}
#define ROOM(m, type, n) ((type *)room((m), (n), sizeof(type)))

static bool new_numbers(tn_module *m, numbers *list, size_t most) {
    list->n = 0;
    return (list->items = ROOM(m, uint32_t, most)) != NULL;
}

/* ---- Cutting --------------------------------------------------------------------------------------- */

/* A joint function, and where it is cut. */
typedef struct cut {
    tn_module *m;
    const tn_graph *f;
    joint j;
    const bool *is_free;  /* of f's parameters: the way back is given it, too. NULL: all */
    const bool *is_fixed; /* scan: carried unchanged */
    uint8_t *late;        /* values that depend on a cotangent */
    uint8_t *fixed;       /* values that fixed parameters and constants alone go into */
    uint8_t *needed;      /* values that the way back reads */
    value_id *kept;       /* in the module's memory */
    size_t n_kept;
} cut;

static void mark_dependence(cut *c) {
    const tn_graph *g = c->j.g;
    for (size_t i = 0; i < c->j.n_cotangents; i++) c->late[c->j.cotangents[i]] = 1;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        bool is_late = false, is_fixed = n->op != TN_OP_param;
        if (n->op == TN_OP_param) {
            int64_t index = attr_int(&n->attrs, ATTR_index, 0);
            is_fixed = c->is_fixed && (size_t)index < c->f->n_params && c->is_fixed[index];
            is_late = c->late[n->first_result];
        }
        for (uint32_t k = 0; k < n->n_operands; k++) {
            is_late |= c->late[n->operands[k]];
            is_fixed &= c->fixed[n->operands[k]];
        }
        for (uint32_t k = 0; k < n->n_results; k++) {
            c->late[n->first_result + k] = is_late;
            c->fixed[n->first_result + k] = is_fixed;
        }
    }
}

/* Made anew on the way back rather than kept: it costs no memory, or hardly any work, or nothing is to be kept. */
static bool is_made_anew(const cut *c, const node *n) {
    loop_class class = op_table[n->op].loop_class;
    if (c->f->remat == REMAT_FULL && class != CLASS_EFFECT) return true;
    if (c->f->remat == REMAT_NONE) return class == CLASS_LEAF;
    return class == CLASS_LEAF || class == CLASS_VIEW || n->op == TN_OP_convert || c->fixed[n->first_result];
}

static bool is_given(const cut *c, const node *n) {
    int64_t index = attr_int(&n->attrs, ATTR_index, 0);
    return (size_t)index >= c->f->n_params || !c->is_free || c->is_free[index];
}

static void keep(cut *c, value_id v) { c->kept[c->n_kept++] = v; }

static void find_kept(cut *c) {
    const tn_graph *g = c->j.g;
    for (size_t i = 0; i < c->j.n_gradients; i++) c->needed[c->j.gradients[i]] = 1;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const node *n = &g->nodes[i];
        bool is_needed = false, is_late = c->late[n->first_result];
        for (uint32_t k = 0; k < n->n_results; k++) is_needed |= c->needed[n->first_result + k];
        if (!is_needed) continue;
        if (n->op == TN_OP_param ? !is_given(c, n) : !is_late && !is_made_anew(c, n)) {
            for (uint32_t k = 0; k < n->n_results; k++)
                if (c->needed[n->first_result + k]) keep(c, n->first_result + k);
        } else {
            for (uint32_t k = 0; k < n->n_operands; k++) c->needed[n->operands[k]] = 1;
        }
    }
}

static void end_cut(cut *c) {
    tn_free(c->late);
    tn_free(c->fixed);
    tn_free(c->needed);
    if (c->j.g) module_remove_graph(c->m, c->j.g);
}

/* params, results: of f, which gradients are wanted of and which have one. */
static bool open_cut(cut *c, tn_graph *f, const bool *params, const bool *results, const bool *is_free,
                     const bool *is_fixed) {
    *c = (cut){.m = f->module, .f = f, .is_free = is_free, .is_fixed = is_fixed};
    if (!grad_joint(f, params, results, SEED_PARAMETERS, &c->j)) return false;
    size_t n = c->j.g->n_values + 1;
    c->late = tn_calloc(n, 1);
    c->fixed = tn_calloc(n, 1);
    c->needed = tn_calloc(n, 1);
    c->kept = ROOM(c->m, value_id, n);
    if (!c->late || !c->fixed || !c->needed || !c->kept) return module_no_memory(c->m);
    mark_dependence(c);
    find_kept(c);
    return true;
}

static value_id param_of(const cut *c, size_t i) { return c->j.g->params[i].value; }

/* ---- Symbols --------------------------------------------------------------------------------------- */

static bool has_extent(const tn_type *type, tn_dim d) {
    for (int i = 0; i < type->rank; i++)
        if (type->dims[i] == d) return true;
    return false;
}

/* A function learns its symbols from its parameters: those of the way back must show all of them, or get one of f's
 * that does. */
static void need_symbols(cut *c) {
    const tn_graph *g = c->j.g;
    for (size_t s = 0; s < g->n_symbols; s++) {
        tn_dim d = g->symbols[s].dim;
        bool is_shown = false;
        for (size_t i = 0; i < c->n_kept; i++) is_shown |= has_extent(graph_type(g, c->kept[i]), d);
        for (size_t i = 0; i < c->j.n_cotangents; i++) is_shown |= has_extent(graph_type(g, c->j.cotangents[i]), d);
        for (size_t i = 0; i < c->f->n_params; i++)
            is_shown |= c->needed[param_of(c, i)] && has_extent(&g->params[i].type, d);
        for (size_t i = 0; !is_shown && i < c->f->n_params; i++) {
            if (!has_extent(&g->params[i].type, d)) continue;
            if (c->is_free && !c->is_free[i]) keep(c, param_of(c, i));
            c->needed[param_of(c, i)] = 1;
            is_shown = true;
        }
    }
}

/* ---- Lists of values ------------------------------------------------------------------------------- */

typedef struct value_list {
    value_id *items;
    tn_type *types; /* of those that are VALUE_NONE */
    size_t n;
} value_list;

static bool new_list(tn_module *m, value_list *list, size_t most) {
    *list = (value_list){.items = ROOM(m, value_id, most), .types = ROOM(m, tn_type, most)};
    return list->items && list->types;
}

static void add_value(value_list *list, value_id v) { list->items[list->n++] = v; }

static void add_values(value_list *list, const value_id *values, size_t n) {
    for (size_t i = 0; i < n; i++) add_value(list, values[i]);
}

/* Places for values of another function with the same symbols. */
static void add_types(value_list *list, const tn_graph *g, const value_id *values, size_t n) {
    for (size_t i = 0; i < n; i++) {
        list->types[list->n] = *graph_type(g, values[i]);
        add_value(list, VALUE_NONE);
    }
}

static tn_graph *extract(const cut *c, const char *suffix, const value_list *given, const value_list *asked,
                         bool effects) {
    const char *name = arena_printf(&c->m->memory, "%s.%s", c->f->name, suffix);
    if (!name) module_no_memory(c->m);
    if (!name) return NULL;
    return graph_extract(c->j.g, &(extraction){.name = name,
                                               .given = given->items,
                                               .n_given = given->n,
                                               .asked = asked->items,
                                               .n_asked = asked->n,
                                               .given_types = given->types,
                                               .asked_types = asked->types,
                                               .effects = effects});
}

/* ---- Records --------------------------------------------------------------------------------------- */

static control_record *new_record(tape *t, const node *n) {
    control_record *r = ROOM(t->g->module, control_record, 1);
    if (!r) return NULL;
    *r = (control_record){.next = t->controls, .n_results = n->n_results};
    bool ok =
        new_numbers(t->g->module, &r->carried, n->n_operands) && new_numbers(t->g->module, &r->fixed, n->n_operands) &&
        new_numbers(t->g->module, &r->operands, n->n_operands) && new_numbers(t->g->module, &r->given, n->n_results) &&
        new_numbers(t->g->module, &r->results, n->n_results) && new_numbers(t->g->module, &r->gives, n->n_operands);
    return ok ? r : NULL;
}

static void add_number(numbers *list, uint32_t i) { list->items[list->n++] = i; }

/* The replacement was built and its first result is v. */
static bool close_record(tape *t, control_record *r, tn_val v, const node *n, value_id *map) {
    if (!tn_is_valid(v)) return false;
    r->node = t->g->values[v.id].node;
    t->controls = r;
    for (uint32_t i = 0; i < n->n_results; i++) map[n->first_result + i] = v.id + i;
    return true;
}

static tn_val *mapped_operands(tape *t, const node *n, const value_id *map) {
    tn_val *operands = ROOM(t->g->module, tn_val, n->n_operands);
    for (uint32_t i = 0; operands && i < n->n_operands; i++) operands[i] = (tn_val){t->g, map[n->operands[i]]};
    return operands;
}

/* ---- call ------------------------------------------------------------------------------------------ */

/* A function with a gradient of its own is called as it is. */
static bool record_own_gradient(tape *t, tn_graph *f, const node *n, value_id *map) {
    control_record *r = new_record(t, n);
    const tn_val *operands = mapped_operands(t, n, map);
    if (!r || !operands) return false;
    for (uint32_t i = 0; i < f->n_params; i++) {
        add_number(&r->operands, i);
        if (grad_is_float(f, f->params[i].value)) add_number(&r->gives, i);
    }
    for (uint32_t i = 0; i < f->n_results; i++) {
        add_number(&r->given, i);
        if (grad_is_float(f, f->results[i].value)) add_number(&r->results, i);
    }
    r->backward = f->gradient;
    if (f->gradient->n_results != r->gives.n)
        return module_error(
            t->g->module, TN_ERR_ARGUMENT, n->locations,
            "call: @%s, the gradient of @%s, must have %u results, a cotangent for each float parameter",
            f->gradient->name, f->name, (unsigned)r->gives.n);
    return close_record(t, r, tn_call(t->g, f, operands, (int)n->n_operands), n, map);
}

static bool record_call(tape *t, const tn_graph *from, const node *n, const bool *params, const bool *results,
                        value_id *map) {
    tn_graph *f = attr_find(&n->attrs, ATTR_callee)->func, *forward = NULL;
    cut c;
    value_list all, there, given, asked;
    (void)from;
    if (f->gradient) return record_own_gradient(t, f, n, map);
    control_record *r = new_record(t, n);
    if (!r || !open_cut(&c, f, params, results, NULL, NULL)) return false;
    need_symbols(&c);
    size_t most = f->n_params + f->n_results + c.n_kept;
    bool ok = new_list(c.m, &all, most) && new_list(c.m, &there, most) && new_list(c.m, &given, most) &&
              new_list(c.m, &asked, most);
    for (uint32_t i = 0; ok && i < f->n_params; i++) {
        add_value(&all, param_of(&c, i));
        if (params[i]) add_number(&r->gives, i);
        if (!c.needed[param_of(&c, i)]) continue;
        add_number(&r->operands, i);
        add_value(&given, param_of(&c, i));
    }
    for (uint32_t i = 0; ok && i < n->n_results; i++)
        if (results[i] && grad_is_float(f, f->results[i].value)) add_number(&r->results, i);
    if (ok) {
        add_values(&there, c.j.primals, f->n_results);
        add_values(&there, c.kept, c.n_kept);
        add_values(&given, c.kept, c.n_kept);
        add_values(&given, c.j.cotangents, c.j.n_cotangents);
        add_values(&asked, c.j.gradients, c.j.n_gradients);
        forward = extract(&c, "forward", &all, &there, true);
        r->backward = forward ? extract(&c, "backward", &given, &asked, false) : NULL;
    }
    end_cut(&c);
    const tn_val *operands = mapped_operands(t, n, map);
    return r->backward && operands && close_record(t, r, tn_call(t->g, forward, operands, (int)n->n_operands), n, map);
}

/* ---- if -------------------------------------------------------------------------------------------- */

static bool same_params(const tn_graph *f, const tn_graph *g) {
    bool same = f->n_params == g->n_params;
    for (size_t i = 0; same && i < f->n_params; i++) same = type_equal(&f->params[i].type, &g->params[i].type);
    return same;
}

/* g under the parameter types of `like`, whose symbols may have other names. */
static tn_graph *with_params_of(const tn_graph *like, tn_graph *g) {
    if (same_params(like, g)) return g;
    tn_graph *to = module_add_graph(g->module, g->name);
    tn_val *operands = ROOM(g->module, tn_val, like->n_params);
    bool ok = to && operands;
    for (size_t i = 0; ok && i < like->n_params; i++) {
        operands[i] = (tn_val){to, graph_add_param(to, NULL, &like->params[i].type, BINDING_RUN)};
        ok = tn_is_valid(operands[i]);
    }
    if (ok) graph_copy_bounds(to, like);
    tn_val first = ok ? tn_call(to, g, operands, (int)like->n_params) : BUILD_INVALID;
    for (size_t i = 0; i < g->n_results; i++) tn_output(to, g->results[i].name, tn_result(first, (int)i));
    return tn_is_valid(first) ? to : NULL;
}

static bool cut_branches(tn_graph *const *branches, const bool *params, const bool *results, cut cuts[2]) {
    bool ok = true;
    for (int b = 0; ok && b < 2; b++) ok = open_cut(&cuts[b], branches[b], params, results, NULL, NULL);
    for (int b = 0; ok && b < 2; b++) need_symbols(&cuts[b]);
    return ok;
}

/* Both branches give and take what either keeps: zeros in place of the other's. */
static bool extract_branch(const cut cuts[2], int b, const control_record *r, tn_graph **forward, tn_graph **backward) {
    const cut *c = &cuts[b];
    value_list all, there, given, asked;
    size_t most = c->f->n_params + c->f->n_results + cuts[0].n_kept + cuts[1].n_kept;
    if (!new_list(c->m, &all, most) || !new_list(c->m, &there, most) || !new_list(c->m, &given, most) ||
        !new_list(c->m, &asked, most))
        return false;
    for (size_t i = 0; i < c->f->n_params; i++) add_value(&all, param_of(c, i));
    for (uint32_t i = 0; i < r->operands.n; i++) add_value(&given, param_of(c, r->operands.items[i] - 1));
    add_values(&there, c->j.primals, c->f->n_results);
    for (int k = 0; k < 2; k++)
        for (int side = 0; side < 2; side++) {
            value_list *list = side == 0 ? &there : &given;
            if (k == b)
                add_values(list, c->kept, c->n_kept);
            else
                add_types(list, cuts[k].j.g, cuts[k].kept, cuts[k].n_kept);
        }
    add_values(&given, c->j.cotangents, c->j.n_cotangents);
    add_values(&asked, c->j.gradients, c->j.n_gradients);
    *forward = extract(c, "forward", &all, &there, true);
    *backward = *forward ? extract(c, "backward", &given, &asked, false) : NULL;
    return *backward != NULL;
}

static bool record_if(tape *t, const tn_graph *from, const node *n, const bool *params, const bool *results,
                      value_id *map) {
    tn_graph *then = attr_find(&n->attrs, ATTR_then)->func;
    tn_graph *otherwise = with_params_of(then, attr_find(&n->attrs, ATTR_otherwise)->func), *forward[2] = {NULL, NULL};
    cut cuts[2] = {{0}, {0}};
    (void)from;
    control_record *r = new_record(t, n);
    bool ok = r && otherwise && cut_branches((tn_graph *[]){then, otherwise}, params + 1, results, cuts);
    for (uint32_t i = 0; ok && i < then->n_params; i++) {
        if (params[i + 1]) add_number(&r->gives, i + 1);
        if (cuts[0].needed[param_of(&cuts[0], i)] || cuts[1].needed[param_of(&cuts[1], i)])
            add_number(&r->operands, i + 1);
    }
    for (uint32_t i = 0; ok && i < n->n_results; i++)
        if (results[i] && grad_is_float(then, then->results[i].value)) add_number(&r->results, i);
    ok = ok && extract_branch(cuts, 0, r, &forward[0], &r->backward) &&
         extract_branch(cuts, 1, r, &forward[1], &r->otherwise);
    for (int b = 0; b < 2; b++)
        if (cuts[b].m) end_cut(&cuts[b]);
    const tn_val *operands = ok ? mapped_operands(t, n, map) : NULL;
    return operands &&
           close_record(t, r, tn_if(operands[0], forward[0], forward[1], operands + 1, (int)n->n_operands - 1), n, map);
}

/* ---- scan ------------------------------------------------------------------------------------------ */

/* A loop to be replaced by one that can be gone back through: a scan, or a while that is written as one. */
typedef struct loop {
    const node *n;
    tn_graph *body;
    uint32_t n_carried;
    tn_dim length;
    bool reverse;
    bool *varies;  /* parameters of the body that depend on what gradients are wanted of */
    bool *matters; /* its results that what has a gradient depends on */
    bool *is_free, *is_fixed;
} loop;

/* What is carried depends on what was, round by round, until nothing is added. */
static bool close_over(loop *l, const bool *params, const bool *results) {
    tn_graph *body = l->body;
    for (size_t i = 0; i < body->n_params; i++) l->varies[i] = params[i];
    for (size_t i = 0; i < body->n_results; i++) l->matters[i] = results[i];
    for (bool grows = true; grows;) {
        uint8_t *varied = grad_find_varied(body, l->varies), *useful = grad_find_useful(body, l->matters);
        grows = false;
        for (uint32_t i = 0; varied && useful && i < l->n_carried; i++) {
            bool varies = varied[body->results[i].value] && !l->varies[i];
            bool matters = useful[body->params[i].value] && !l->matters[i];
            l->varies[i] |= varies;
            l->matters[i] |= matters;
            grows |= varies || matters;
        }
        bool ok = varied && useful;
        for (size_t i = l->n_carried; ok && !grows && i < body->n_params; i++)
            l->varies[i] &= useful[body->params[i].value] != 0;
        tn_free(varied);
        tn_free(useful);
        if (!ok) return false;
    }
    for (uint32_t i = 0; i < l->n_carried; i++) {
        bool both = l->varies[i] && l->matters[i];
        l->varies[i] = l->matters[i] = both;
        l->is_fixed[i] = l->is_free[i] = body->results[i].value == body->params[i].value;
    }
    for (size_t i = l->n_carried; i < body->n_params; i++) l->is_free[i] = true;
    return true;
}

static bool open_loop(loop *l, const bool *params, const bool *results) {
    tn_module *m = l->body->module;
    size_t n = l->body->n_params + l->body->n_results;
    l->varies = ROOM(m, bool, n);
    l->matters = ROOM(m, bool, n);
    l->is_free = ROOM(m, bool, n);
    l->is_fixed = ROOM(m, bool, n);
    if (!l->varies || !l->matters || !l->is_free || !l->is_fixed) return false;
    memset(l->is_fixed, 0, n + 1);
    return close_over(l, params, results);
}

static void list_scan(const loop *l, const cut *c, control_record *r) {
    for (uint32_t i = 0; i < l->n_carried; i++) {
        if (l->varies[i]) add_number(&r->carried, i);
        if (l->is_fixed[i] && c->needed[param_of(c, i)]) add_number(&r->fixed, i);
    }
    for (uint32_t i = l->n_carried; i < l->body->n_params; i++) {
        if (c->needed[param_of(c, i)]) add_number(&r->operands, i);
        if (l->varies[i]) add_number(&r->gives, i);
    }
    for (uint32_t i = l->n_carried; i < l->body->n_results; i++)
        if (l->matters[i] && grad_is_float(l->body, l->body->results[i].value)) add_number(&r->results, i);
}

static bool extract_scan(const loop *l, const cut *c, control_record *r, tn_graph **forward) {
    value_list all, there, given, asked;
    size_t most = 2 * (l->body->n_params + l->body->n_results) + c->n_kept;
    if (!new_list(c->m, &all, most) || !new_list(c->m, &there, most) || !new_list(c->m, &given, most) ||
        !new_list(c->m, &asked, most))
        return false;
    for (size_t i = 0; i < l->body->n_params; i++) add_value(&all, param_of(c, i));
    add_values(&there, c->j.primals, l->body->n_results);
    add_values(&there, c->kept, c->n_kept);
    add_values(&given, c->j.cotangents, r->carried.n);
    for (uint32_t i = 0; i < r->fixed.n; i++) add_value(&given, param_of(c, r->fixed.items[i]));
    for (uint32_t i = 0; i < r->operands.n; i++) add_value(&given, param_of(c, r->operands.items[i]));
    add_values(&given, c->kept, c->n_kept);
    add_values(&given, c->j.cotangents + r->carried.n, c->j.n_cotangents - r->carried.n);
    add_values(&asked, c->j.gradients, r->carried.n);
    for (uint32_t i = 0; i < r->fixed.n; i++) add_value(&asked, param_of(c, r->fixed.items[i]));
    add_values(&asked, c->j.gradients + r->carried.n, c->j.n_gradients - r->carried.n);
    *forward = extract(c, "forward", &all, &there, true);
    r->backward = *forward ? extract(c, "backward", &given, &asked, false) : NULL;
    return r->backward != NULL;
}

static bool record_loop(tape *t, loop *l, const bool *params, const bool *results, value_id *map) {
    tn_graph *forward = NULL;
    cut c;
    control_record *r = new_record(t, l->n);
    if (!r || !open_loop(l, params, results) || !open_cut(&c, l->body, l->varies, l->matters, l->is_free, l->is_fixed))
        return false;
    need_symbols(&c);
    list_scan(l, &c, r);
    bool ok = extract_scan(l, &c, r, &forward);
    end_cut(&c);
    const tn_val *operands = ok ? mapped_operands(t, l->n, map) : NULL;
    if (!operands) return false;
    int n_carried = (int)l->n_carried, n_sequences = (int)(l->n->n_operands - l->n_carried);
    return close_record(t, r,
                        tn_scan(forward, operands, n_carried, operands + n_carried, n_sequences, l->length, l->reverse),
                        l->n, map);
}

static bool record_scan(tape *t, const tn_graph *from, const node *n, const bool *params, const bool *results,
                        value_id *map) {
    loop l = {.n = n,
              .body = attr_find(&n->attrs, ATTR_body)->func,
              .n_carried = (uint32_t)attr_int(&n->attrs, ATTR_carried, 0),
              .length = attr_find(&n->attrs, ATTR_length)->dim,
              .reverse = attr_int(&n->attrs, ATTR_reverse, 0) != 0};
    (void)from;
    return record_loop(t, &l, params, results, map);
}

/* ---- while ----------------------------------------------------------------------------------------- */

static bool record_while(tape *t, const tn_graph *from, const node *n, const bool *params, const bool *results,
                         value_id *map) {
    bounded_while w;
    loop l = {.n = n, .n_carried = n->n_operands};
    if (!grad_bound_while(from, n, &w)) return false;
    l.body = w.step;
    l.length = w.rounds;
    return record_loop(t, &l, params, results, map);
}

/* ---- There ----------------------------------------------------------------------------------------- */

typedef bool record_fn(tape *t, const tn_graph *from, const node *n, const bool *params, const bool *results,
                       value_id *map);
static const struct {
    tn_op op;
    record_fn *record;
} recorders[] = {
    {TN_OP_call, record_call}, {TN_OP_if, record_if}, {TN_OP_scan, record_scan}, {TN_OP_while, record_while}};

bool grad_record_control(tape *t, const tn_graph *from, const node *n, const bool *params, const bool *results,
                         value_id *map) {
    for (size_t i = 0; i < sizeof recorders / sizeof *recorders; i++)
        if (recorders[i].op == n->op) return recorders[i].record(t, from, n, params, results, map);
    return false;
}

/* ---- And back --------------------------------------------------------------------------------------- */

typedef struct arguments {
    tn_val *items;
    int n;
} arguments;

static void take_operands(const grad_args *c, const numbers *which, arguments *a) {
    for (uint32_t i = 0; i < which->n; i++) a->items[a->n++] = c->x[which->items[i]];
}

static void take_cotangents(const grad_args *c, const numbers *which, arguments *a) {
    for (uint32_t i = 0; i < which->n; i++) a->items[a->n++] = grad_cotangent(c, which->items[i]);
}

static void take_kept(const grad_args *c, arguments *a) {
    for (uint32_t i = c->control->n_results; i < c->n_results; i++) a->items[a->n++] = c->y[i];
}

static bool open_arguments(const grad_args *c, arguments *a) {
    *a = (arguments){.items = ROOM(c->g->module, tn_val, 2 * (c->n_operands + c->n_results))};
    return a->items != NULL;
}

/* The cotangents of the operands that are listed, from result number `first` on. */
static void give(const grad_args *c, const numbers *which, tn_val made, uint32_t first) {
    for (uint32_t i = 0; i < which->n; i++) c->dx[which->items[i]] = tn_result(made, (int)(first + i));
}

void grad_call(grad_args *c) {
    arguments a;
    const control_record *r = c->control;
    if (!open_arguments(c, &a)) return;
    take_operands(c, &r->operands, &a);
    for (uint32_t i = 0; i < r->given.n; i++) a.items[a.n++] = c->y[r->given.items[i]];
    take_kept(c, &a);
    take_cotangents(c, &r->results, &a);
    give(c, &r->gives, tn_call(c->g, r->backward, a.items, a.n), 0);
}

void grad_if(grad_args *c) {
    arguments a;
    const control_record *r = c->control;
    if (!open_arguments(c, &a)) return;
    take_operands(c, &r->operands, &a);
    take_kept(c, &a);
    take_cotangents(c, &r->results, &a);
    give(c, &r->gives, tn_if(c->x[0], r->backward, r->otherwise, a.items, a.n), 0);
}

void grad_scan(grad_args *c) {
    arguments carried, sequences;
    const control_record *r = c->control;
    if (!open_arguments(c, &carried) || !open_arguments(c, &sequences)) return;
    take_cotangents(c, &r->carried, &carried);
    take_operands(c, &r->fixed, &carried);
    take_operands(c, &r->operands, &sequences);
    take_kept(c, &sequences);
    take_cotangents(c, &r->results, &sequences);
    tn_val made = tn_scan(r->backward, carried.items, carried.n, sequences.items, sequences.n,
                          attr_find(&c->attrs, ATTR_length)->dim, !attr_int(&c->attrs, ATTR_reverse, 0));
    give(c, &r->carried, made, 0);
    give(c, &r->gives, made, r->carried.n + r->fixed.n);
}
