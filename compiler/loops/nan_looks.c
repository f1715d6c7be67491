/* Which values are looked at for NaN (see nan_looks.h): how each is read, found from the last node to the first; what
 * may have a NaN nonetheless, from the first to the last; and what of that belongs together.
 *
 * A kernel has one call, so the sweep through the function that calls it goes on inside: what is known of the call's
 * results is known of the kernel's, and what is found of the kernel's parameters holds for the call's operands. Bodies
 * of control flow are taken by themselves: all that goes in or comes out is looked at.
 */
#include "compiler/loops/nan_looks.h"

#include "ir/dtype.h"

#include <string.h>

typedef struct looking {
    tn_module *m;
    uint32_t *parents; /* of groups that turned out to be one */
    size_t n_groups, capacity;
    bool ok;
} looking;

/* ---- Readers ---- */

static void add_use(nan_look *look, nan_look use) {
    if (use.use == NAN_UNREAD) return;
    if (look->use == NAN_UNREAD) {
        *look = use;
        return;
    }
    if (look->use == use.use && look->select == use.select && look->side == use.side) return;
    look->use = look->use == NAN_ALWAYS || use.use == NAN_ALWAYS ? NAN_ALWAYS : NAN_MAYBE;
}

static nan_look looked_at(nan_use use) {
    return (nan_look){.use = (uint8_t)use, .group = NAN_NO_GROUP, .sides = {NAN_NO_GROUP, NAN_NO_GROUP}};
}

/* `x != x`, and is_nan: the program looks for itself. */
static bool asks_for_nan(const node *n) {
    return n->op == TN_OP_is_nan || (n->op == TN_OP_compare && n->operands[0] == n->operands[1]);
}

/* How a node reads an operand, when its results are read as `own` says. */
static nan_look use_by(const tn_graph *g, const node *n, uint32_t k, const nan_look *own) {
    nan_look always = looked_at(NAN_ALWAYS), unread = looked_at(NAN_UNREAD);
    if (asks_for_nan(n)) return unread;
    if (n->op == TN_OP_select && k > 0) {
        if (own->use == NAN_UNREAD) return unread;
        nan_look branch = looked_at(NAN_BRANCH);
        branch.side = (uint8_t)k;
        branch.select = (uint32_t)(n - g->nodes);
        return branch;
    }
    loop_class c = op_table[n->op].loop_class;
    if (c == CLASS_CONTROL || c == CLASS_EFFECT || !dtype_is_float(graph_type(g, n->first_result)->dtype))
        return always;
    return *own;
}

static void sweep(looking *l, tn_graph *g);

static nan_look *new_looks(looking *l, tn_graph *g) {
    if (g->nan_looks) return g->nan_looks; /* a text may call a kernel twice */
    nan_look *looks = ARENA_ARRAY(&l->m->memory, nan_look, g->n_values + 1);
    if (!looks) l->ok = module_no_memory(l->m);
    for (size_t i = 0; looks && i < g->n_values; i++) looks[i] = looked_at(NAN_UNREAD);
    return g->nan_looks = looks;
}

/* What the caller knows of the results, and learns of the operands. Which select it is says nothing elsewhere. */
static nan_look elsewhere(nan_look look) {
    if (look.use == NAN_BRANCH) look.use = NAN_MAYBE;
    look.select = 0;
    look.side = 0;
    return look;
}

static void through_kernel(looking *l, tn_graph *g, const node *n) {
    tn_graph *kernel = attr_find(&n->attrs, ATTR_callee)->func;
    if (!new_looks(l, kernel)) return;
    for (size_t r = 0; r < kernel->n_results; r++)
        add_use(&kernel->nan_looks[kernel->results[r].value], elsewhere(g->nan_looks[n->first_result + r]));
    sweep(l, kernel);
    for (uint32_t k = 0; k < n->n_operands; k++)
        add_use(&g->nan_looks[n->operands[k]], elsewhere(kernel->nan_looks[kernel->params[k].value]));
}

static bool calls_kernel(const node *n) {
    const attr *callee = n->op == TN_OP_call ? attr_find(&n->attrs, ATTR_callee) : NULL;
    return callee && callee->func->is_kernel;
}

static void sweep(looking *l, tn_graph *g) {
    for (size_t i = g->n_nodes; i-- > 0 && l->ok;) {
        const node *n = &g->nodes[i];
        if (calls_kernel(n)) {
            through_kernel(l, g, n);
            continue;
        }
        if (n->op == TN_OP_barrier) {
            for (uint32_t k = 0; k < n->n_operands; k++)
                add_use(&g->nan_looks[n->operands[k]], g->nan_looks[n->first_result + k]);
            continue;
        }
        nan_look *own = &g->nan_looks[n->first_result];
        for (uint32_t k = 1; k < n->n_results; k++) add_use(own, g->nan_looks[n->first_result + k]);
        for (uint32_t k = 0; k < n->n_operands; k++) add_use(&g->nan_looks[n->operands[k]], use_by(g, n, k, own));
    }
}

/* ---- Makers ---- */

/* Ops of class map that make no NaN of numbers. */
static bool is_harmless(tn_op op) {
    static const tn_op harmless[] = {TN_OP_neg,     TN_OP_abs,    TN_OP_sign,  TN_OP_floor, TN_OP_ceil,  TN_OP_round,
                                     TN_OP_exp,     TN_OP_exp2,   TN_OP_expm1, TN_OP_tanh,  TN_OP_erf,   TN_OP_logistic,
                                     TN_OP_convert, TN_OP_select, TN_OP_max,   TN_OP_min,   TN_OP_clamp, TN_OP_atan};
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (op == harmless[i]) return true;
    return false;
}

static bool is_extreme(const node *n) {
    reduce_kind kind = (reduce_kind)attr_int(&n->attrs, ATTR_kind, 0);
    return (n->op == TN_OP_reduce || n->op == TN_OP_window || n->op == TN_OP_cumulate) &&
           (kind == REDUCE_MAX || kind == REDUCE_MIN);
}

static bool makes_nan(const node *n) {
    static const bool classes[] = {
        [CLASS_MAP] = true,  [CLASS_REDUCE] = true, [CLASS_CUMULATE] = true, [CLASS_CONTRACT] = true,
        [CLASS_CONV] = true, [CLASS_WINDOW] = true, [CLASS_SORT] = false,
    };
    loop_class c = op_table[n->op].loop_class;
    if (n->op == TN_OP_scatter) return true;
    return c < sizeof classes / sizeof *classes && classes[c] && !is_harmless((tn_op)n->op) && !is_extreme(n);
}

static bool is_view(const node *n) {
    loop_class c = op_table[n->op].loop_class;
    return c == CLASS_VIEW || (c == CLASS_INDEX && n->op != TN_OP_scatter) || n->op == TN_OP_barrier;
}

/* ---- What nobody looked at ---- */

static void hide_through(tn_graph *g);

/* A kernel's parameters are made by the caller, and the call's results by the kernel. */
static void hide_through_kernel(tn_graph *g, const node *n) {
    tn_graph *kernel = attr_find(&n->attrs, ATTR_callee)->func;
    for (uint32_t k = 0; k < n->n_operands; k++)
        kernel->nan_looks[kernel->params[k].value].is_hidden = g->nan_looks[n->operands[k]].is_hidden;
    hide_through(kernel);
    for (uint32_t r = 0; r < n->n_results; r++)
        g->nan_looks[n->first_result + r].is_hidden = kernel->nan_looks[kernel->results[r].value].is_hidden;
}

/* From the first node to the last: whether what a node makes can have a NaN that nobody looked at. */
static void hide_through(tn_graph *g) {
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        if (calls_kernel(n))
            hide_through_kernel(g, n);
        else if (n->op == TN_OP_param)
            continue;
        bool is_any = false;
        for (uint32_t k = 0; k < n->n_operands; k++) is_any |= g->nan_looks[n->operands[k]].is_hidden;
        for (uint32_t r = 0; r < n->n_results && !calls_kernel(n); r++) {
            nan_look *look = &g->nan_looks[n->first_result + r];
            look->is_hidden = is_view(n) ? is_any : look->use > NAN_ALWAYS && (is_any || makes_nan(n));
        }
    }
}

static void hide_from(tn_graph *g) {
    for (size_t i = 0; i < g->n_params; i++) {
        nan_look *look = &g->nan_looks[g->params[i].value];
        look->is_hidden = look->use > NAN_ALWAYS;
    }
    hide_through(g);
}

/* ---- Groups ---- */

static uint32_t new_group(looking *l) {
    if (!array_reserve((void **)&l->parents, &l->capacity, l->n_groups + 1, sizeof *l->parents)) {
        l->ok = module_no_memory(l->m);
        return NAN_NO_GROUP;
    }
    l->parents[l->n_groups] = (uint32_t)l->n_groups;
    return (uint32_t)l->n_groups++;
}

static uint32_t find_group(const looking *l, uint32_t group) {
    while (group != NAN_NO_GROUP && l->parents && l->parents[group] != group) group = l->parents[group];
    return group;
}

static uint32_t join_groups(looking *l, uint32_t a, uint32_t b) {
    a = find_group(l, a);
    b = find_group(l, b);
    if (a == NAN_NO_GROUP || b == NAN_NO_GROUP) return a == NAN_NO_GROUP ? b : a;
    if (l->parents && b < a) l->parents[a] = b;
    if (l->parents && a < b) l->parents[b] = a;
    return a < b ? a : b;
}

static void group_back(looking *l, tn_graph *g);

static void group_back_through_kernel(looking *l, tn_graph *g, const node *n) {
    tn_graph *kernel = attr_find(&n->attrs, ATTR_callee)->func;
    for (uint32_t r = 0; r < n->n_results; r++) {
        uint32_t *group = &kernel->nan_looks[kernel->results[r].value].group;
        *group = join_groups(l, *group, g->nan_looks[n->first_result + r].group);
    }
    group_back(l, kernel);
    for (uint32_t k = 0; k < n->n_operands; k++) {
        uint32_t *group = &g->nan_looks[n->operands[k]].group;
        *group = join_groups(l, *group, kernel->nan_looks[kernel->params[k].value].group);
    }
}

/* From the last node to the first: what is hidden is of the group of its readers, up to the selects that take it. */
static void group_back(looking *l, tn_graph *g) {
    for (size_t i = g->n_nodes; i-- > 0 && l->ok;) {
        const node *n = &g->nodes[i];
        if (calls_kernel(n)) {
            group_back_through_kernel(l, g, n);
            continue;
        }
        for (uint32_t k = 0; k < n->n_operands && l->ok; k++) {
            nan_look *operand = &g->nan_looks[n->operands[k]];
            if (!operand->is_hidden || asks_for_nan(n)) continue;
            nan_look *own = &g->nan_looks[n->first_result + (n->op == TN_OP_barrier ? k : 0)];
            bool has_sides = n->op == TN_OP_select && own->use == NAN_ALWAYS && k > 0;
            uint32_t *group = has_sides ? &own->sides[k - 1] : &own->group;
            if (*group == NAN_NO_GROUP) *group = new_group(l);
            operand->group = join_groups(l, operand->group, *group);
        }
    }
}

/* ---- The whole ---- */

static void finish(const looking *l, tn_graph *g) {
    for (size_t v = 0; g->nan_looks && v < g->n_values; v++) {
        nan_look *look = &g->nan_looks[v];
        look->group = find_group(l, look->group);
        for (int side = 0; side < 2; side++) look->sides[side] = find_group(l, look->sides[side]);
    }
}

bool nan_looks_find(tn_module *m) {
    looking l = {.m = m, .ok = true};
    for (size_t i = 0; i < m->n_graphs && l.ok; i++) {
        tn_graph *g = m->graphs[i];
        if (g->is_kernel || !new_looks(&l, g)) continue;
        for (size_t r = 0; r < g->n_results; r++) add_use(&g->nan_looks[g->results[r].value], looked_at(NAN_ALWAYS));
        sweep(&l, g);
    }
    for (size_t i = 0; i < m->n_graphs && l.ok; i++) {
        if (m->graphs[i]->is_kernel) continue;
        hide_from(m->graphs[i]);
        group_back(&l, m->graphs[i]);
    }
    for (size_t i = 0; i < m->n_graphs && l.ok; i++) finish(&l, m->graphs[i]);
    tn_free(l.parents);
    return l.ok;
}

/* ---- Answers ---- */

bool nan_looks_lets_through(const tn_graph *g, value_id v) {
    const node *n = graph_node_of(g, v);
    if (is_view(n)) return false;
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (g->nan_looks[n->operands[k]].is_hidden) return true;
    return false;
}

bool nan_looks_wants(const tn_graph *g, value_id v) {
    const node *n = graph_node_of(g, v);
    if (!dtype_is_float(graph_type(g, v)->dtype) || n->op == TN_OP_param) return false;
    return makes_nan(n) || nan_looks_lets_through(g, v);
}
