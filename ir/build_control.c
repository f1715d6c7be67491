/* Building control flow: the symbols of bodies are found by matching parameter types with
 * operand types.
 *
 * A parameter's extent that is a plain symbol gives its value at once; one that is linear in a
 * single unknown symbol (2*m + 1) gives it when the division comes out. What does not fit is
 * left to the rule, which compares the types after substitution.
 */
#include "ir/build.h"

/* ---- Matching --------------------------------------------------------------------------------- */

typedef struct matching {
    dim_table *t;
    const tn_graph *g;
    tn_dim *found;     /* the value of each of g's symbols, DIM_INVALID while unknown */
    tn_dim *from, *to; /* room for a substitution */
} matching;

static int symbol_number(const matching *m, tn_dim leaf) {
    for (size_t i = 0; i < m->g->n_symbols; i++)
        if (m->g->symbols[i].dim == leaf) return (int)i;
    return -1;
}

/* The unknown symbols of an extent: how many, and one of them. */
typedef struct unknowns {
    const matching *m;
    int n, one;
} unknowns;

static bool count_unknown(void *ctx, tn_dim leaf) {
    unknowns *u = ctx;
    int i = symbol_number(u->m, leaf);
    if (i < 0 || u->m->found[i] != DIM_INVALID || (u->n > 0 && u->one == i)) return true;
    u->one = i;
    u->n++;
    return true;
}

/* Replaces what is known; unknown symbols stay. Caller and callee may use one name for two
 * symbols, so that this is done only after the unknown was split off. */
static tn_dim substitute_known(const matching *m, tn_dim d) {
    int n = 0;
    for (size_t i = 0; i < m->g->n_symbols; i++) {
        if (m->found[i] == DIM_INVALID) continue;
        m->from[n] = m->g->symbols[i].dim;
        m->to[n++] = m->found[i];
    }
    return dim_substitute(m->t, d, m->from, m->to, n);
}

/* Learns a symbol from one extent; true when it did. */
static bool match_extent(matching *m, tn_dim wanted, tn_dim given) {
    unknowns u = {m, 0, -1};
    if (dim_is_const(m->t, wanted, NULL)) return false;
    dim_visit_leaves(m->t, wanted, count_unknown, &u);
    if (u.n != 1) return false;
    tn_dim leaf = m->g->symbols[u.one].dim, coefficient, rest;
    if (wanted == leaf) {
        m->found[u.one] = given;
        return true;
    }
    if (!dim_split_linear(m->t, wanted, leaf, &coefficient, &rest)) return false;
    tn_dim left = dim_sub(m->t, given, substitute_known(m, rest));
    if (left == DIM_INVALID) return false;
    m->found[u.one] = dim_exact_div(m->t, left, substitute_known(m, coefficient));
    return m->found[u.one] != DIM_INVALID;
}

/* Finds the symbols of g, called with operands of these types. */
static bool match_symbols(build *b, const tn_graph *g, const tn_type *types, size_t n, tn_dim *found) {
    tn_dim *room = ARENA_ARRAY(&g->module->memory, tn_dim, 2 * g->n_symbols + 1);
    if (!room) return module_no_memory(g->module);
    matching m = {build_dims(b), g, found, room, room + g->n_symbols};
    for (size_t i = 0; i < g->n_symbols; i++) found[i] = DIM_INVALID;
    for (bool learned = true; learned;) {
        learned = false;
        for (size_t i = 0; i < n && i < g->n_params; i++) {
            const tn_type *wanted = &g->params[i].type;
            for (int axis = 0; axis < wanted->rank && axis < types[i].rank; axis++)
                learned |= match_extent(&m, wanted->dims[axis], types[i].dims[axis]);
        }
    }
    for (size_t i = 0; i < g->n_symbols; i++) {
        if (found[i] != DIM_INVALID) continue;
        if (g->n_params != n)
            build_error(b, TN_ERR_ARGUMENT, "@%s takes %zu argument%s, not %zu", g->name, g->n_params,
                        g->n_params == 1 ? "" : "s", n);
        else
            build_error(b, TN_ERR_SHAPE, "the symbol %s of @%s cannot be found from the operands",
                        dim_symbol_name(m.t, g->symbols[i].dim), g->name);
        return false;
    }
    return true;
}

/* ---- Calls ------------------------------------------------------------------------------------ */

/* A control op being built: its operands, the types its functions see of them, its functions. */
typedef struct control {
    build b;
    tn_op op;
    const tn_val *operands;
    int n;
    tn_type *types;
    size_t n_types;
    attr attrs[OP_MAX_ATTRS];
    uint32_t n_attrs;
} control;

static bool add_function(control *c, attr_name name, tn_graph *g) {
    if (g && g->module == c->b.g->module) {
        c->attrs[c->n_attrs++] = build_func(name, g);
        return true;
    }
    build_error(&c->b, TN_ERR_ARGUMENT, "%s is no function of this module", attr_name_text(name));
    return false;
}

static bool take_types(control *c, int first) {
    c->n_types = (size_t)(c->n - first);
    c->types = ARENA_ARRAY(&c->b.g->module->memory, tn_type, c->n_types ? c->n_types : 1);
    if (!c->types) return module_no_memory(c->b.g->module);
    for (size_t i = 0; i < c->n_types; i++) c->types[i] = *build_type(c->operands[(size_t)first + i]);
    return true;
}

/* Adds `symbols` for all functions among the attributes and applies the op. */
static tn_val apply_control(control *c) {
    size_t n = 0;
    for (uint32_t i = 0; i < c->n_attrs; i++)
        if (attr_kind_of(c->attrs[i].name) == ATTR_KIND_FUNC) n += c->attrs[i].func->n_symbols;
    tn_dim *symbols = ARENA_ARRAY(&c->b.g->module->memory, tn_dim, n ? n : 1);
    if (!symbols) {
        module_no_memory(c->b.g->module);
        return BUILD_INVALID;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < c->n_attrs; i++) {
        if (attr_kind_of(c->attrs[i].name) != ATTR_KIND_FUNC) continue;
        const tn_graph *g = c->attrs[i].func;
        if (!match_symbols(&c->b, g, c->types, c->n_types, symbols + at)) return BUILD_INVALID;
        at += g->n_symbols;
    }
    if (n > 0) c->attrs[c->n_attrs++] = build_dim_list(ATTR_symbols, symbols, (int)n);
    return build_apply(&c->b, c->op, c->operands, c->n, c->attrs, c->n_attrs);
}

static bool open_control(control *c, tn_location at, tn_op op, tn_graph *g, const tn_val *operands, int n) {
    *c = (control){.op = op, .operands = operands, .n = n};
    return n >= 0 && build_open(&c->b, at, op_name(op), g, operands, n);
}

tn_val tn_call_at(tn_location at, tn_graph *caller, tn_graph *callee, const tn_val *operands, int n) {
    control c;
    return open_control(&c, at, TN_OP_call, caller, operands, n) && add_function(&c, ATTR_callee, callee) &&
                   take_types(&c, 0)
               ? apply_control(&c)
               : BUILD_INVALID;
}

/* The operands of an op that are not given as one list, in the arena; NULL: no memory. */
static tn_val *join(tn_graph *g, const tn_val *first, int n_first, const tn_val *second, int n_second) {
    tn_val *all = ARENA_ARRAY(&g->module->memory, tn_val, n_first + n_second + 1);
    if (!all) module_no_memory(g->module);
    for (int i = 0; all && i < n_first; i++) all[i] = first[i];
    for (int i = 0; all && i < n_second; i++) all[n_first + i] = second[i];
    return all;
}

tn_val tn_if_at(tn_location at, tn_val condition, tn_graph *then, tn_graph *otherwise, const tn_val *operands, int n) {
    control c;
    if (!condition.graph || n < 0) return BUILD_INVALID;
    const tn_val *all = join(condition.graph, &condition, 1, operands, n);
    return all && open_control(&c, at, TN_OP_if, NULL, all, n + 1) && add_function(&c, ATTR_then, then) &&
                   add_function(&c, ATTR_otherwise, otherwise) && take_types(&c, 1)
               ? apply_control(&c)
               : BUILD_INVALID;
}

tn_val tn_while_at(tn_location at, tn_graph *condition, tn_graph *body, const tn_val *carried, int n) {
    control c;
    return open_control(&c, at, TN_OP_while, NULL, carried, n) && add_function(&c, ATTR_cond, condition) &&
                   add_function(&c, ATTR_body, body) && take_types(&c, 0)
               ? apply_control(&c)
               : BUILD_INVALID;
}

tn_val tn_scan_at(tn_location at, tn_graph *body, const tn_val *carried, int n_carried, const tn_val *sequences,
                  int n_sequences, tn_dim length, bool reverse) {
    control c;
    char text[BUILD_TEXT];
    if (n_carried < 0 || n_sequences < 0 || n_carried + n_sequences == 0) return BUILD_INVALID;
    tn_graph *g = n_carried > 0 ? carried[0].graph : sequences[0].graph;
    if (!g) return BUILD_INVALID;
    const tn_val *all = join(g, carried, n_carried, sequences, n_sequences);
    if (!all || !open_control(&c, at, TN_OP_scan, g, all, n_carried + n_sequences) ||
        !add_function(&c, ATTR_body, body) || !take_types(&c, 0))
        return BUILD_INVALID;
    for (int i = n_carried; i < c.n; i++) {
        if (c.types[i].rank == 0)
            return build_error(&c.b, TN_ERR_SHAPE, "a sequence must have an axis 0: %s", build_describe(all[i], text));
        if (length == DIM_INVALID) length = c.types[i].dims[0];
        c.types[i] = type_make((tn_dtype)c.types[i].dtype, c.types[i].rank - 1, build_type(all[i])->dims + 1);
    }
    c.attrs[c.n_attrs++] = build_int(ATTR_carried, n_carried);
    c.attrs[c.n_attrs++] = build_one_dim(ATTR_length, length);
    c.attrs[c.n_attrs++] = build_int(ATTR_reverse, reverse);
    return apply_control(&c);
}
