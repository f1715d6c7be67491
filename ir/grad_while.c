/* A `while` as a scan, for gradients: how many rounds it makes at most, and one round as a step.
 *
 * Rounds are known when the condition, or one of those that it is the `and` of, compares a carried counter with a
 * limit (counter < limit, counter <= limit, limit > counter, limit >= counter), when the body adds a positive
 * constant to the counter, and when limit and first counter are constants or dims; either may be a carried value that
 * the body leaves as it is.
 */
#include "ir/build.h"
#include "ir/dtype.h"
#include "ir/eval.h"
#include "ir/grad_sweep.h"

#include <stdio.h>

typedef struct counting {
    const tn_graph *g; /* that the loop stands in */
    const node *n;
    const tn_graph *cond, *body;
    uint32_t counter;
    tn_dim limit; /* first counter that is too large */
} counting;

static const node *node_of(const tn_graph *g, value_id v) { return &g->nodes[g->values[v].node]; }

/* Through conversions and reshapes, which keep a counter what it is. */
static value_id see_through(const tn_graph *g, value_id v) {
    const node *n = node_of(g, v);
    while (n->op == TN_OP_convert || n->op == TN_OP_reshape || n->op == TN_OP_broadcast) {
        v = n->operands[0];
        n = node_of(g, v);
    }
    return v;
}

static bool as_constant(const tn_graph *g, value_id v, int64_t *number) {
    const node *n = node_of(g, see_through(g, v));
    if (n->op != TN_OP_constant) return false;
    const tensor_data *data = attr_find(&n->attrs, ATTR_value)->data;
    int64_t count = 1, extent;
    for (int i = 0; i < data->type.rank; i++) {
        if (!dim_is_const(g->module->dims, data->type.dims[i], &extent)) return false;
        count *= extent;
    }
    eval_tensor t = {.dtype = (tn_dtype)data->type.dtype, .n = count, .data = (void *)data->data};
    if (count != 1 || dtype_is_float(t.dtype)) return false;
    *number = eval_load_int(&t, 0);
    return true;
}

/* A value of the function that the loop stands in, as a dim of it. */
static bool as_dim(const tn_graph *g, value_id v, tn_dim *d) {
    int64_t number;
    const node *n = node_of(g, see_through(g, v));
    if (n->op == TN_OP_dim) {
        *d = attr_find(&n->attrs, ATTR_dim)->dim;
        return true;
    }
    if (!as_constant(g, v, &number)) return false;
    *d = dim_const(g->module->dims, number);
    return true;
}

static bool as_param(const tn_graph *g, value_id v, uint32_t *index) {
    const node *n = node_of(g, see_through(g, v));
    if (n->op != TN_OP_param) return false;
    *index = (uint32_t)attr_int(&n->attrs, ATTR_index, 0);
    return true;
}

/* A value of the condition: a constant, a dim, or what is carried unchanged and was one to begin with. */
static bool as_limit(const counting *c, value_id v, tn_dim *d) {
    dim_table *t = c->g->module->dims;
    uint32_t carried;
    if (as_param(c->cond, v, &carried))
        return c->body->results[carried].value == c->body->params[carried].value &&
               as_dim(c->g, c->n->operands[carried], d);
    if (!as_dim(c->cond, v, d)) return false;
    const tn_dim *symbols = node_callee_symbols(c->n, c->cond);
    for (size_t i = 0; symbols && i < c->cond->n_symbols; i++)
        if (dim_contains(t, *d, c->cond->symbols[i].dim)) {
            tn_dim *from = ARENA_ARRAY(&c->g->module->memory, tn_dim, c->cond->n_symbols);
            if (!from) return module_no_memory(c->g->module);
            for (size_t k = 0; k < c->cond->n_symbols; k++) from[k] = c->cond->symbols[k].dim;
            *d = dim_substitute(t, *d, from, symbols, (int)c->cond->n_symbols);
            break;
        }
    return *d != DIM_INVALID;
}

/* Which operand of a comparison is the counter, and whether it may equal the limit. */
static const struct {
    compare_kind kind;
    int counter;
    bool or_equal;
} comparisons[] = {{COMPARE_LT, 0, false}, {COMPARE_LE, 0, true}, {COMPARE_GT, 1, false}, {COMPARE_GE, 1, true}};

static bool compares_counter(counting *c, const node *n) {
    if (n->op != TN_OP_compare) return false;
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++) {
        if (comparisons[i].kind != (compare_kind)attr_int(&n->attrs, ATTR_compare, 0)) continue;
        int side = comparisons[i].counter;
        if (!as_param(c->cond, n->operands[side], &c->counter) || !as_limit(c, n->operands[1 - side], &c->limit))
            return false;
        if (comparisons[i].or_equal) c->limit = dim_add_const(c->g->module->dims, c->limit, 1);
        return true;
    }
    return false;
}

/* counter + a positive constant */
static bool step_of(const counting *c, int64_t *step) {
    const node *n = node_of(c->body, see_through(c->body, c->body->results[c->counter].value));
    uint32_t index;
    if (n->op != TN_OP_add) return false;
    for (int side = 0; side < 2; side++)
        if (as_param(c->body, n->operands[side], &index) && index == c->counter &&
            as_constant(c->body, n->operands[1 - side], step))
            return *step > 0;
    return false;
}

static bool rounds_of(counting *c, const node *n, tn_dim *rounds) {
    dim_table *t = c->g->module->dims;
    int64_t step;
    tn_dim first;
    if (!compares_counter(c, n) || !step_of(c, &step) || !as_dim(c->g, c->n->operands[c->counter], &first))
        return false;
    tn_dim all = dim_ceildiv(t, dim_sub(t, c->limit, first), dim_const(t, step));
    *rounds = dim_max(t, all, dim_const(t, 0));
    return *rounds != DIM_INVALID;
}

/* Looks through the `and`s of the condition; *alone: there is no other condition. */
static bool find_rounds(counting *c, value_id v, tn_dim *rounds, bool *alone) {
    const node *n = node_of(c->cond, see_through(c->cond, v));
    if (rounds_of(c, n, rounds)) return true;
    if (n->op != TN_OP_and) return false;
    *alone = false;
    return find_rounds(c, n->operands[0], rounds, alone) || find_rounds(c, n->operands[1], rounds, alone);
}

static tn_graph *with_params(const counting *c, const char *suffix, tn_val *params) {
    tn_module *m = c->g->module;
    const char *name = arena_printf(&m->memory, "%s.%s", c->body->name, suffix);
    tn_graph *to = name ? module_add_graph(m, name) : NULL;
    bool ok = to != NULL;
    for (size_t i = 0; ok && i < c->body->n_params; i++) {
        params[i] = (tn_val){to, graph_add_param(to, NULL, &c->body->params[i].type, BINDING_RUN)};
        ok = tn_is_valid(params[i]);
    }
    return ok ? to : NULL;
}

static void output_all(tn_graph *g, const tn_val *values, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "r%zu", i);
        tn_output(g, name, values[i]);
    }
}

/* if (condition) body, else all stays as it is */
static tn_graph *guarded_step(const counting *c) {
    size_t n = c->body->n_params;
    tn_val *values = ARENA_ARRAY(&c->g->module->memory, tn_val, n + 1);
    if (!values) {
        module_no_memory(c->g->module);
        return NULL;
    }
    tn_graph *stay = with_params(c, "stay", values);
    if (!stay) return NULL;
    output_all(stay, values, n);
    tn_graph *step = with_params(c, "step", values);
    if (!step) return NULL;
    tn_val goes_on = tn_call(step, (tn_graph *)c->cond, values, (int)n);
    tn_val first = tn_if(goes_on, (tn_graph *)c->body, stay, values, (int)n);
    for (size_t i = 0; i < n; i++) values[i] = tn_result(first, (int)i);
    output_all(step, values, n);
    return tn_is_valid(first) ? step : NULL;
}

bool grad_bound_while(const tn_graph *g, const node *n, bounded_while *w) {
    counting c = {
        .g = g, .n = n, .cond = attr_find(&n->attrs, ATTR_cond)->func, .body = attr_find(&n->attrs, ATTR_body)->func};
    bool alone = true;
    if (!find_rounds(&c, c.cond->results[0].value, &w->rounds, &alone))
        return module_error(
            g->module, TN_ERR_UNSUPPORTED, n->locations,
            "while: a gradient goes through it, which needs a bound on its rounds: let the condition be, or "
            "begin with `and` of, counter < limit, where the body adds a constant to the counter and "
            "limit and first counter are constants or dims; or use scan");
    w->step = alone ? (tn_graph *)c.body : guarded_step(&c);
    return w->step != NULL;
}
