/* Which values are looked at for NaN (see nan_looks.h): how each is read, found from the last node to the first.
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
    while (group != NAN_NO_GROUP && l->parents[group] != group) group = l->parents[group];
    return group;
}

static uint32_t join_groups(looking *l, uint32_t a, uint32_t b) {
    a = find_group(l, a);
    b = find_group(l, b);
    if (a == NAN_NO_GROUP || b == NAN_NO_GROUP) return a == NAN_NO_GROUP ? b : a;
    if (b < a) l->parents[a] = b;
    if (a < b) l->parents[b] = a;
    return a < b ? a : b;
}

/* ---- Readers ---- */

static void add_use(looking *l, nan_look *look, nan_look use) {
    if (use.use == NAN_UNREAD) return;
    use.group = join_groups(l, look->group, use.group);
    if (look->use == NAN_UNREAD) {
        *look = use;
        return;
    }
    look->group = use.group;
    if (look->use == use.use && look->select == use.select && look->side == use.side) return;
    look->use = look->use == NAN_ALWAYS || use.use == NAN_ALWAYS ? NAN_ALWAYS : NAN_MAYBE;
}

/* `x != x`, and is_nan: the program looks for itself. */
static bool asks_for_nan(const node *n) {
    return n->op == TN_OP_is_nan || (n->op == TN_OP_compare && n->operands[0] == n->operands[1]);
}

/* How a node reads an operand, when its results are read as `own` says. */
static nan_look use_by(looking *l, const tn_graph *g, const node *n, uint32_t k, const nan_look *own) {
    nan_look always = {.use = NAN_ALWAYS, .group = NAN_NO_GROUP}, unread = {.use = NAN_UNREAD, .group = NAN_NO_GROUP};
    if (asks_for_nan(n)) return unread;
    if (n->op == TN_OP_select && k > 0) {
        nan_look *of_result = (nan_look *)own;
        if (of_result->use == NAN_UNREAD) return unread;
        if (of_result->group == NAN_NO_GROUP) of_result->group = new_group(l);
        return (nan_look){NAN_BRANCH, (uint8_t)k, (uint32_t)(n - g->nodes), of_result->group};
    }
    loop_class c = op_table[n->op].loop_class;
    if (c == CLASS_CONTROL || c == CLASS_EFFECT || !dtype_in(DTYPES_FLOAT, graph_type(g, n->first_result)->dtype))
        return always;
    return *own;
}

static void sweep(looking *l, tn_graph *g);

static nan_look *new_looks(looking *l, tn_graph *g) {
    if (g->nan_looks) return g->nan_looks; /* a text may call a kernel twice */
    nan_look *looks = ARENA_ARRAY(&l->m->memory, nan_look, g->n_values + 1);
    if (!looks) l->ok = module_no_memory(l->m);
    for (size_t i = 0; looks && i < g->n_values; i++) looks[i] = (nan_look){.group = NAN_NO_GROUP};
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
        add_use(l, &kernel->nan_looks[kernel->results[r].value], elsewhere(g->nan_looks[n->first_result + r]));
    sweep(l, kernel);
    for (uint32_t k = 0; k < n->n_operands; k++)
        add_use(l, &g->nan_looks[n->operands[k]], elsewhere(kernel->nan_looks[kernel->params[k].value]));
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
                add_use(l, &g->nan_looks[n->operands[k]], g->nan_looks[n->first_result + k]);
            continue;
        }
        nan_look *own = &g->nan_looks[n->first_result];
        for (uint32_t k = 1; k < n->n_results; k++) add_use(l, own, g->nan_looks[n->first_result + k]);
        for (uint32_t k = 0; k < n->n_operands; k++)
            add_use(l, &g->nan_looks[n->operands[k]], use_by(l, g, n, k, own));
    }
}

bool nan_looks_find(tn_module *m) {
    looking l = {.m = m, .ok = true};
    for (size_t i = 0; i < m->n_graphs && l.ok; i++) {
        tn_graph *g = m->graphs[i];
        if (g->is_kernel || !new_looks(&l, g)) continue;
        for (size_t r = 0; r < g->n_results; r++)
            add_use(&l, &g->nan_looks[g->results[r].value], (nan_look){.use = NAN_ALWAYS, .group = NAN_NO_GROUP});
        sweep(&l, g);
    }
    for (size_t i = 0; i < m->n_graphs && l.ok; i++)
        for (size_t v = 0; m->graphs[i]->nan_looks && v < m->graphs[i]->n_values; v++)
            m->graphs[i]->nan_looks[v].group = find_group(&l, m->graphs[i]->nan_looks[v].group);
    tn_free(l.parents);
    return l.ok;
}

/* ---- Makers ---- */

/* Ops of class map that make no NaN of numbers. */
static bool is_harmless(tn_op op) {
    static const tn_op harmless[] = {TN_OP_neg,    TN_OP_abs,      TN_OP_sign,    TN_OP_floor,  TN_OP_ceil,
                                     TN_OP_round,  TN_OP_exp,      TN_OP_exp2,    TN_OP_expm1,  TN_OP_tanh,
                                     TN_OP_erf,    TN_OP_logistic, TN_OP_convert, TN_OP_select, TN_OP_max,
                                     TN_OP_min,    TN_OP_clamp,    TN_OP_atan};
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
        [CLASS_MAP] = true,  [CLASS_REDUCE] = true,   [CLASS_CUMULATE] = true, [CLASS_CONTRACT] = true,
        [CLASS_CONV] = true, [CLASS_WINDOW] = true,   [CLASS_SORT] = false,
    };
    loop_class c = op_table[n->op].loop_class;
    if (n->op == TN_OP_scatter) return true;
    return c < sizeof classes / sizeof *classes && classes[c] && !is_harmless((tn_op)n->op) && !is_extreme(n);
}

bool nan_looks_wants(const tn_graph *g, value_id v) {
    const node *n = graph_node_of(g, v);
    loop_class c = op_table[n->op].loop_class;
    if (!g->nan_looks || !dtype_in(DTYPES_FLOAT, graph_type(g, v)->dtype) || n->op == TN_OP_param) return false;
    if (makes_nan(n)) return true;
    if (c == CLASS_VIEW || c == CLASS_LEAF) return false;
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (g->nan_looks[n->operands[k]].use > NAN_ALWAYS) return true;
    return false;
}
