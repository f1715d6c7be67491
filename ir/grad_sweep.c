/* The sweep of reverse mode: from the results of a function back to its parameters, one rule a node.
 *
 * in:  a function; values with their cotangents
 * out: appended to it, the cotangents of other values
 * law: the chain rule. A node is taken when all that use its results were, so that their cotangents are complete:
 *      they are added up in the order of the users, from the last to the first. Sums of floats smaller than f32 are
 *      kept in f32
 *
 * Composites without a rule of their own are gone through by their decomposition, which is appended beside them: it
 * becomes one with theirs when the pass `expand` decomposes them.
 */
#include "ir/grad_sweep.h"

#include "ir/build.h"
#include "ir/dtype.h"

#include <string.h>

/* ---- What has a gradient at all -------------------------------------------------------------------- */

static bool any_operand(const node *n, const uint8_t *marked) {
    for (uint32_t i = 0; i < n->n_operands; i++)
        if (marked[n->operands[i]]) return true;
    return false;
}

static void mark_varied(const tn_graph *g, const node *n, uint8_t *varied) {
    if (!any_operand(n, varied)) return;
    for (uint32_t i = 0; i < n->n_results; i++) varied[n->first_result + i] = grad_is_float(g, n->first_result + i);
}

uint8_t *grad_find_varied(const tn_graph *g, const bool *params) {
    uint8_t *varied = tn_calloc(g->n_values + 1, 1);
    if (!varied) module_no_memory(g->module);
    for (size_t i = 0; varied && i < g->n_params; i++)
        varied[g->params[i].value] = params[i] && grad_is_float(g, g->params[i].value);
    for (size_t i = 0; varied && i < g->n_nodes; i++) mark_varied(g, &g->nodes[i], varied);
    return varied;
}

uint8_t *grad_find_useful(const tn_graph *g, const bool *results) {
    uint8_t *useful = tn_calloc(g->n_values + 1, 1);
    if (!useful) module_no_memory(g->module);
    for (size_t i = 0; useful && i < g->n_results; i++)
        if (results[i]) useful[g->results[i].value] = grad_is_float(g, g->results[i].value);
    for (size_t i = g->n_nodes; useful && i-- > 0;) {
        const node *n = &g->nodes[i];
        bool is_useful = false;
        for (uint32_t k = 0; k < n->n_results; k++) is_useful |= useful[n->first_result + k];
        for (uint32_t k = 0; is_useful && k < n->n_operands; k++)
            useful[n->operands[k]] |= grad_is_float(g, n->operands[k]);
    }
    return useful;
}

/* ---- State ----------------------------------------------------------------------------------------- */

/* What has been found out of a value. */
typedef struct slot {
    value_id cotangent; /* VALUE_NONE: none so far */
    value_id alias;     /* of a composite's result: the same by its decomposition; else VALUE_NONE */
    uint8_t varied;
} slot;

typedef struct sweep {
    const tape *tape;
    tn_graph *g;
    slot *slots; /* of the values that are there when the sweep begins */
    size_t n_slots, capacity;
    uint32_t *order; /* nodes, operands before users */
    size_t n_order;
    uint8_t *visited;
} sweep;

static bool reserve_slots(sweep *s) {
    size_t former = s->n_slots;
    if (!array_reserve((void **)&s->slots, &s->capacity, s->g->n_values + 1, sizeof *s->slots))
        return module_no_memory(s->g->module);
    for (s->n_slots = s->g->n_values; former < s->n_slots; former++)
        s->slots[former] = (slot){VALUE_NONE, VALUE_NONE, 0};
    return true;
}

static bool is_varied(const sweep *s, const node *n) {
    for (uint32_t i = 0; i < n->n_operands; i++)
        if (s->slots[n->operands[i]].varied) return true;
    return false;
}

static bool goes_by_expansion(const node *n) {
    return op_is_composite((tn_op)n->op) && !op_table[n->op].grad && !op_table[n->op].no_grad;
}

static tn_val *values_of(sweep *s, const value_id *ids, uint32_t n) {
    tn_val *values = ARENA_ARRAY(&s->g->module->memory, tn_val, n + 1);
    if (!values) module_no_memory(s->g->module);
    for (uint32_t i = 0; values && i < n; i++)
        values[i] = ids[i] == VALUE_NONE ? BUILD_INVALID : (tn_val){s->g, ids[i]};
    return values;
}

/* ---- Composites ------------------------------------------------------------------------------------- */

static bool append_expansion(sweep *s, size_t i) {
    const node n = s->g->nodes[i]; /* the array moves when it grows */
    tn_val *operands = values_of(s, n.operands, n.n_operands), result = {0};
    if (!operands) return false;
    location_id former = graph_set_origin(s->g, n.locations);
    bool ok = op_table[n.op].expand(s->g, operands, n.n_operands, &n.attrs, &result) && tn_is_valid(result);
    graph_set_origin(s->g, former);
    if (!ok)
        return module_error(s->g->module, TN_ERR_INTERNAL, n.locations, "%s: no decomposition", op_name((tn_op)n.op));
    if (!reserve_slots(s)) return false;
    s->slots[n.first_result].alias = result.id;
    return true;
}

/* Marks what depends on the values `wrt`, also in what is appended meanwhile. */
static bool open_sweep(sweep *s, const value_id *wrt, size_t n_wrt) {
    if (!reserve_slots(s)) return false;
    for (size_t i = 0; i < n_wrt; i++) s->slots[wrt[i]].varied = grad_is_float(s->g, wrt[i]);
    for (size_t i = 0; i < s->g->n_nodes; i++) {
        const node *n = &s->g->nodes[i];
        if (!is_varied(s, n)) continue;
        for (uint32_t k = 0; k < n->n_results; k++)
            s->slots[n->first_result + k].varied = grad_is_float(s->g, n->first_result + k);
        if (goes_by_expansion(n) && !append_expansion(s, i)) return false;
    }
    return true;
}

/* ---- Order ------------------------------------------------------------------------------------------ */

/* A node on the way, and how many of what it depends on have been looked at. */
typedef struct visit {
    uint32_t node, next;
} visit;

/* The value that number `i` of those that node n depends on: its operands, or what stands for it. */
static bool dependency(const sweep *s, const node *n, uint32_t i, value_id *v) {
    value_id alias = s->slots[n->first_result].alias;
    if (alias != VALUE_NONE) {
        *v = alias;
        return i == 0;
    }
    if (i < n->n_operands) *v = n->operands[i];
    return i < n->n_operands;
}

typedef struct visits {
    visit *items;
    size_t n, capacity;
} visits;

static bool push_node(sweep *s, visits *stack, uint32_t i) {
    if (!array_reserve((void **)&stack->items, &stack->capacity, stack->n + 1, sizeof *stack->items))
        return module_no_memory(s->g->module);
    s->visited[i] = 1;
    stack->items[stack->n++] = (visit){i, 0};
    return true;
}

/* A node that has to come before the one on top and has not been visited; UINT32_MAX: none is left. */
static uint32_t next_before(const sweep *s, visit *top) {
    value_id v = VALUE_NONE;
    while (dependency(s, &s->g->nodes[top->node], top->next, &v)) {
        top->next++;
        uint32_t i = s->g->values[v].node;
        if (s->slots[v].varied && !s->visited[i]) return i;
    }
    return UINT32_MAX;
}

/* Depth first, with a stack of its own: graphs are deeper than C's. */
static bool visit_from(sweep *s, visits *stack, uint32_t root) {
    if (s->visited[root]) return true;
    if (!push_node(s, stack, root)) return false;
    while (stack->n > 0) {
        visit *top = &stack->items[stack->n - 1];
        uint32_t before = next_before(s, top);
        if (before == UINT32_MAX) {
            s->order[s->n_order++] = top->node;
            stack->n--;
        } else if (!push_node(s, stack, before)) {
            return false;
        }
    }
    return true;
}

static bool find_order(sweep *s, const seed *seeds, size_t n_seeds) {
    visits stack = {0};
    s->visited = tn_calloc(s->g->n_nodes + 1, 1);
    s->order = tn_malloc((s->g->n_nodes + 1) * sizeof *s->order);
    bool ok = s->visited && s->order;
    if (!ok) module_no_memory(s->g->module);
    for (size_t i = 0; ok && i < n_seeds; i++)
        if (s->slots[seeds[i].value].varied) ok = visit_from(s, &stack, s->g->values[seeds[i].value].node);
    tn_free(stack.items);
    return ok;
}

/* ---- Cotangents ------------------------------------------------------------------------------------- */

/* As the type of the value it belongs to: extents that a constraint makes equal may be written otherwise, and
 * sums are kept wider than the value. */
static tn_val in_type_of(tn_val cotangent, tn_val v) {
    tn_type wanted = tn_type_of(v);
    tn_val fitted = tn_convert(cotangent, (tn_dtype)wanted.dtype);
    tn_type type = tn_type_of(fitted);
    return !tn_is_valid(fitted) || type_equal(&type, &wanted) ? fitted
                                                              : tn_reshape_dims(fitted, wanted.rank, wanted.dims);
}

static bool contribute(sweep *s, value_id v, tn_val cotangent) {
    slot *at = &s->slots[v];
    if (!tn_is_valid(cotangent)) return s->g->module->error.status == TN_OK;
    tn_val part = in_type_of(cotangent, (tn_val){s->g, v});
    if (at->cotangent != VALUE_NONE) {
        tn_dtype wide = dtype_accumulator((tn_dtype)graph_type(s->g, v)->dtype);
        part = tn_add(tn_convert(((tn_val){s->g, at->cotangent}), wide), tn_convert(part, wide));
    }
    if (!tn_is_valid(part)) return false;
    at->cotangent = part.id;
    return true;
}

static value_id cotangent_of(sweep *s, value_id v) {
    value_id sum = s->slots[v].cotangent;
    return sum == VALUE_NONE ? sum : in_type_of((tn_val){s->g, sum}, (tn_val){s->g, v}).id;
}

/* A gradient of no elements is not worth a node. */
static bool has_elements(const tn_graph *g, value_id v) {
    const tn_type *type = graph_type(g, v);
    for (int i = 0; i < type->rank; i++)
        if (dim_is_value(g->module->dims, type->dims[i], 0)) return false;
    return true;
}

static const control_record *find_record(const tape *t, size_t node) {
    for (const control_record *r = t->controls; r; r = r->next)
        if (r->node == node) return r;
    return NULL;
}

static bool apply_rule(sweep *s, size_t i, const node *n, tn_val *dy) {
    grad_args c = {.g = s->g,
                   .op = (tn_op)n->op,
                   .attrs = n->attrs,
                   .n_operands = n->n_operands,
                   .n_results = n->n_results,
                   .dy = dy};
    value_id *results = ARENA_ARRAY(&s->g->module->memory, value_id, n->n_results + 1);
    bool *wanted = ARENA_ARRAY(&s->g->module->memory, bool, n->n_operands + 1);
    c.dx = ARENA_ARRAY(&s->g->module->memory, tn_val, n->n_operands + 1);
    if (!results || !wanted || !c.dx) return module_no_memory(s->g->module);
    for (uint32_t k = 0; k < n->n_results; k++) results[k] = n->first_result + k;
    bool any = false;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        any |= wanted[k] = s->slots[n->operands[k]].varied && has_elements(s->g, n->operands[k]);
        c.dx[k] = BUILD_INVALID;
    }
    if (!any) return true;
    c.wanted = wanted;
    if (!(c.x = values_of(s, n->operands, n->n_operands)) || !(c.y = values_of(s, results, n->n_results))) return false;
    if (op_table[n->op].loop_class == CLASS_CONTROL) c.control = find_record(s->tape, i);
    if (!op_table[n->op].grad)
        return module_error(s->g->module, TN_ERR_UNSUPPORTED, n->locations,
                            "%s: a gradient was asked for that goes through it, but %s %s", op_name((tn_op)n->op),
                            op_name((tn_op)n->op), op_table[n->op].no_grad);
    op_table[n->op].grad(&c);
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (wanted[k] && !contribute(s, n->operands[k], c.dx[k])) return false;
    return s->g->module->error.status == TN_OK;
}

static bool go_back(sweep *s, size_t i) {
    const node n = s->g->nodes[i];
    bool is_any = false, ok = true;
    if (n.op == TN_OP_param || !is_varied(s, &n)) return true;
    tn_val *dy = ARENA_ARRAY(&s->g->module->memory, tn_val, n.n_results + 1);
    if (!dy) return module_no_memory(s->g->module);
    location_id former = graph_set_origin(s->g, location_in_gradient(s->g->module, n.locations, (tn_op)n.op));
    for (uint32_t k = 0; k < n.n_results; k++) {
        value_id cotangent = has_elements(s->g, n.first_result + k) ? cotangent_of(s, n.first_result + k) : VALUE_NONE;
        dy[k] = cotangent == VALUE_NONE ? BUILD_INVALID : (tn_val){s->g, cotangent};
        is_any |= cotangent != VALUE_NONE;
    }
    value_id alias = s->slots[n.first_result].alias;
    if (is_any) ok = alias != VALUE_NONE ? contribute(s, alias, dy[0]) : apply_rule(s, i, &n, dy);
    graph_set_origin(s->g, former);
    return ok;
}

/* ---- The whole -------------------------------------------------------------------------------------- */

bool grad_sweep(tape *t, const seed *seeds, size_t n_seeds, const value_id *wrt, size_t n_wrt, value_id *gradients) {
    sweep s = {.tape = t, .g = t->g};
    bool ok = open_sweep(&s, wrt, n_wrt) && find_order(&s, seeds, n_seeds);
    t->n_forward = t->g->n_nodes;
    for (size_t i = 0; ok && i < n_seeds; i++) ok = contribute(&s, seeds[i].value, (tn_val){s.g, seeds[i].cotangent});
    for (size_t i = s.n_order; ok && i-- > 0;) ok = go_back(&s, s.order[i]);
    for (size_t i = 0; ok && i < n_wrt; i++) gradients[i] = cotangent_of(&s, wrt[i]);
    tn_free(s.slots);
    tn_free(s.order);
    tn_free(s.visited);
    return ok && t->g->module->error.status == TN_OK;
}
