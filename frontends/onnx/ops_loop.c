/* Loop, in one of three ways.
 *
 *   unrolled  the trip count is a small number and the condition stays true: the body is imported
 *             that often; the iteration number and what follows from it is known each time
 *   scan      the trip count is known (it may be a symbol) and the condition stays true
 *   while     otherwise; results that are collected (scan outputs) are refused then, since how many
 *             there will be is not known
 */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <string.h>

enum { UNROLL_TRIPS = 32, UNROLL_NODES = 2000 };

typedef struct loop {
    conversion *c;
    const onnx_graph *graph;
    int n_carried, n_collected;
    bool is_endless;    /* no trip count */
    const known *trips; /* or NULL: a value of run time */
    bool stays_true;    /* the condition, from the start on */
} loop;

/* ---- What kind of loop it is ------------------------------------------------------------------ */

/* True when the condition that the body gives is its own, or constant true. */
static bool condition_is_kept(loop *l) {
    const onnx_graph *g = l->graph;
    const char *name = g->outputs.items[0].name;
    for (size_t steps = 0; steps <= g->nodes.count; steps++) {
        if (strcmp(name, g->inputs.items[1].name) == 0) return true;
        const onnx_node *made_by = NULL;
        for (size_t i = 0; i < g->nodes.count && !made_by; i++)
            for (size_t k = 0; k < g->nodes.items[i].outputs.count; k++)
                if (strcmp(g->nodes.items[i].outputs.items[k], name) == 0) made_by = &g->nodes.items[i];
        bool passes_on = made_by && made_by->inputs.count == 1 &&
                         (strcmp(made_by->op_type, "Identity") == 0 || strcmp(made_by->op_type, "Cast") == 0);
        if (passes_on) {
            name = made_by->inputs.items[0];
            continue;
        }
        const onnx_tensor *tensor = NULL;
        if (made_by && strcmp(made_by->op_type, "Constant") == 0) {
            const onnx_attribute *a = onnx_node_attribute(made_by, "value");
            tensor = a && a->type == ONNX_ATTR_TENSOR ? a->t : NULL;
        }
        for (size_t i = 0; !made_by && i < g->initializers.count; i++)
            if (strcmp(g->initializers.items[i].name, name) == 0) tensor = &g->initializers.items[i];
        const tensor_data *data = tensor ? import_tensor(l->c->im, tensor) : NULL;
        const known *k = data ? known_from_data(l->c->im, data) : NULL;
        entry *outside = made_by || tensor ? NULL : scope_find(l->c->s, name);
        if (outside) k = entry_known(l->c->s, outside);
        int64_t is_true = 0;
        return k && k->n == 1 && known_number(l->c->im, k, 0, &is_true) && is_true != 0;
    }
    return false;
}

static bool read_loop(conversion *c, loop *l) {
    *l = (loop){.c = c, .graph = read_graph(c, "body"), .n_carried = input_count(c) - 2};
    if (!l->graph) return false;
    int n_outputs = (int)c->node->outputs.count;
    l->n_collected = n_outputs - l->n_carried;
    if (l->graph->inputs.count != (size_t)l->n_carried + 2 || l->n_collected < 0 ||
        l->graph->outputs.count != (size_t)n_outputs + 1)
        return node_error(c, TN_ERR_PARSE,
                          "carries %d values and has %d outputs; the body has %zu inputs and %zu outputs", l->n_carried,
                          n_outputs, l->graph->inputs.count, l->graph->outputs.count);
    for (int i = 0; i < l->n_carried; i++)
        if (!tn_is_valid(input(c, 2 + i)))
            return has_failed(c) ? false : node_error(c, TN_ERR_PARSE, "input %d is left out", 2 + i);
    l->is_endless = !has_input(c, 0);
    l->trips = l->is_endless ? NULL : input_folded(c, 0);
    int64_t starts = 1;
    const known *start = has_input(c, 1) ? input_folded(c, 1) : NULL;
    bool starts_known = !has_input(c, 1) || (start && start->n == 1 && known_number(c->im, start, 0, &starts));
    l->stays_true = starts_known && starts != 0 && condition_is_kept(l);
    return !has_failed(c);
}

/* ---- Unrolled ---------------------------------------------------------------------------------- */

static const known *known_scalar(loop *l, tn_dtype dtype, int64_t number) {
    tn_dim *items;
    known *k = known_new(l->c->im, dtype, 0, NULL, &items);
    if (k) items[0] = number_dim(l->c, number);
    return k;
}

/* A value on its way from one iteration to the next. */
typedef struct passed {
    tn_val value;
    const known *known;
} passed;

static bool take(scope *s, const onnx_graph *graph, size_t i, passed *p) {
    entry *e = scope_find(s, graph->outputs.items[i].name);
    if (!e)
        return import_error(s->im, TN_ERR_PARSE, "output %zu of the graph '%.100s' is no value of it", i, graph->name);
    p->known = entry_known(s, e);
    p->value = p->known ? e->value : entry_value(s, e);
    return !import_failed(s->im);
}

static bool give(scope *s, const char *name, passed p) {
    entry *e = scope_add(s, name);
    if (!e) return false;
    e->value = p.value;
    e->known = p.known;
    return true;
}

static bool unroll_once(loop *l, int64_t iteration, passed *carried, tn_val *collected) {
    const onnx_graph *g = l->graph;
    scope s = scope_open(l->c->im, l->c->g, l->c->s, l->c->s->frame, l->c->s->opsets);
    passed number = {.known = known_scalar(l, TN_I64, iteration)}, is_true = {.known = known_scalar(l, TN_BOOL, 1)};
    bool ok = number.known && is_true.known && give(&s, g->inputs.items[0].name, number) &&
              give(&s, g->inputs.items[1].name, is_true);
    for (int i = 0; ok && i < l->n_carried; i++) ok = give(&s, g->inputs.items[2 + i].name, carried[i]);
    ok = ok && import_graph_body(&s, g);
    for (int i = 0; ok && i < l->n_carried; i++) ok = take(&s, g, (size_t)i + 1, &carried[i]);
    for (int i = 0; ok && i < l->n_collected; i++) {
        entry *e = scope_find(&s, g->outputs.items[1 + l->n_carried + i].name);
        ok = e != NULL ||
             node_error(l->c, TN_ERR_PARSE, "output %d of the body is no value of it", 1 + l->n_carried + i);
        if (ok) collected[i] = tn_expand_dims(entry_value(&s, e), TN_INTS(0));
    }
    scope_close(&s);
    return ok;
}

static void unroll(loop *l, int64_t trips) {
    conversion *c = l->c;
    size_t n = (size_t)l->n_collected;
    passed *carried = ARENA_ARRAY(&c->im->memory, passed, l->n_carried + 1);
    tn_val *once = ARENA_ARRAY(&c->im->memory, tn_val, n + 1),
           *all = ARENA_ARRAY(&c->im->memory, tn_val, n * (size_t)trips + 1);
    if (!carried || !once || !all) {
        import_no_memory(c->im);
        return;
    }
    for (int i = 0; i < l->n_carried; i++) {
        carried[i].known = input_known(c, 2 + i);
        carried[i].value = input(c, 2 + i);
    }
    for (int64_t k = 0; k < trips; k++) {
        if (!unroll_once(l, k, carried, once)) return;
        for (size_t i = 0; i < n; i++) all[i * (size_t)trips + (size_t)k] = once[i];
    }
    for (int i = 0; i < l->n_carried; i++) {
        if (carried[i].known)
            output_known(c, i, carried[i].known);
        else
            output(c, i, carried[i].value);
    }
    for (size_t i = 0; i < n; i++) output(c, l->n_carried + (int)i, tn_concat(all + i * (size_t)trips, (int)trips, 0));
}

/* ---- As a function ------------------------------------------------------------------------------ */

/* Carried values inside, by the names of the body's inputs from `first` on. */
static bool bind_carried(loop *l, scope *s, const tn_graph *g, size_t first_param) {
    for (int i = 0; i < l->n_carried; i++) {
        entry *e = scope_add(s, l->graph->inputs.items[2 + i].name);
        if (!e) return false;
        e->value = (tn_val){(tn_graph *)g, g->params[first_param + (size_t)i].value};
    }
    return true;
}

static bool bind_value(scope *s, const char *name, tn_val v, const known *k) {
    entry *e = scope_add(s, name);
    if (!e) return false;
    e->value = v;
    e->known = k;
    return k || tn_is_valid(v);
}

static bool add_carried_params(loop *l, body *b) {
    for (int i = 0; i < l->n_carried; i++) {
        tn_type type = tn_type_of(input(l->c, 2 + i));
        if (!tn_is_valid(body_param(b, l->graph->inputs.items[2 + i].name, &type))) return false;
    }
    return true;
}

static tn_val *carried_values(loop *l, const body *b, const tn_val *first, size_t n_first, size_t *n) {
    *n = n_first + (size_t)l->n_carried + b->n;
    tn_val *all = ARENA_ARRAY(&l->c->im->memory, tn_val, *n + 1);
    if (!all) {
        import_no_memory(l->c->im);
        return NULL;
    }
    for (size_t i = 0; i < n_first; i++) all[i] = first[i];
    for (int i = 0; i < l->n_carried; i++) all[n_first + (size_t)i] = input(l->c, 2 + i);
    for (size_t i = 0; i < b->n; i++) all[n_first + (size_t)l->n_carried + i] = b->outer[i];
    return all;
}

static void as_scan(loop *l) {
    conversion *c = l->c;
    body b = {0};
    scope s = {0};
    tn_dim length = dim_max(node_dims(c), l->trips->items[0], number_dim(c, 0));
    tn_type number = type_scalar(TN_I64);
    bool ok =
        body_open(&b, c, "loop") && add_carried_params(l, &b) && body_scope(&b, &l->graph, 1, &s) &&
        bind_value(&s, l->graph->inputs.items[1].name, (tn_val){NULL, VALUE_NONE}, known_scalar(l, TN_BOOL, 1)) &&
        bind_carried(l, &s, b.g, 0) &&
        bind_value(&s, l->graph->inputs.items[0].name, body_param(&b, l->graph->inputs.items[0].name, &number), NULL) &&
        import_graph_body(&s, l->graph) && body_results(&b, &s, l->graph, 1, (size_t)l->n_carried) &&
        body_return_captured(&b) && body_results(&b, &s, l->graph, 1 + (size_t)l->n_carried, (size_t)l->n_collected);
    size_t n = 0;
    tn_val *carried = ok ? carried_values(l, &b, NULL, 0, &n) : NULL;
    if (carried) {
        tn_val numbers = iota_dims(c, TN_I64, 1, &length, 0);
        tn_val v = tn_scan(b.g, carried, (int)n, &numbers, 1, length, false);
        for (int i = 0; i < l->n_carried && !has_failed(c); i++) output(c, i, tn_result(v, i));
        for (int i = 0; i < l->n_collected && !has_failed(c); i++)
            output(c, l->n_carried + i, tn_result(v, (int)n + i));
    }
    scope_close(&s);
    body_close(&b);
}

/* Parameters of both functions of a while: number, condition, carried values, then captured ones, of which the
 * trip count is the first. */
static bool open_while(loop *l, body *b, scope *s, const char *name, tn_val trips) {
    tn_type number = type_scalar(TN_I64), flag = type_scalar(TN_BOOL);
    return body_open(b, l->c, name) && tn_is_valid(body_param(b, l->graph->inputs.items[0].name, &number)) &&
           tn_is_valid(body_param(b, l->graph->inputs.items[1].name, &flag)) && add_carried_params(l, b) &&
           (l->is_endless || tn_is_valid(body_capture(b, trips))) && body_scope(b, &l->graph, 1, s);
}

static bool build_condition(loop *l, body *b, tn_val trips) {
    scope s = {0};
    bool ok = open_while(l, b, &s, "condition", trips);
    if (ok) {
        tn_val number = {b->g, b->g->params[0].value}, goes_on = {b->g, b->g->params[1].value};
        if (!l->is_endless) goes_on = tn_and(goes_on, tn_less(number, body_capture(b, trips)));
        ok = body_result(b, goes_on);
    }
    scope_close(&s);
    return ok;
}

static bool build_while_body(loop *l, body *b, tn_val trips) {
    scope s = {0};
    bool ok = open_while(l, b, &s, "body", trips);
    if (ok) {
        tn_val number = {b->g, b->g->params[0].value}, goes_on = {b->g, b->g->params[1].value};
        ok = bind_value(&s, l->graph->inputs.items[0].name, number, NULL) &&
             bind_value(&s, l->graph->inputs.items[1].name, goes_on, NULL) && bind_carried(l, &s, b->g, 2) &&
             import_graph_body(&s, l->graph) && body_result(b, tn_add(number, tn_scalar_int(b->g, TN_I64, 1)));
        entry *next = ok ? scope_find(&s, l->graph->outputs.items[0].name) : NULL;
        ok = next && body_result(b, tn_reshape_dims(entry_value(&s, next), 0, NULL)) &&
             body_results(b, &s, l->graph, 1, (size_t)l->n_carried) && body_return_captured(b);
    }
    scope_close(&s);
    return ok;
}

static void as_while(loop *l) {
    conversion *c = l->c;
    if (l->n_collected > 0) {
        node_error(c, TN_ERR_UNSUPPORTED, "collects results of iterations whose number is not known before it runs");
        return;
    }
    tn_val trips =
        l->is_endless ? (tn_val){NULL, VALUE_NONE} : tn_reshape_dims(tn_convert(input(c, 0), TN_I64), 0, NULL);
    tn_val first[] = {tn_scalar_int(c->g, TN_I64, 0),
                      has_input(c, 1) ? tn_reshape_dims(input(c, 1), 0, NULL) : tn_scalar_int(c->g, TN_BOOL, 1)};
    body condition = {0}, b = {0};
    size_t n = 0;
    if (build_condition(l, &condition, trips) && build_while_body(l, &b, trips)) {
        tn_val *carried = carried_values(l, &b, first, 2, &n);
        tn_val v = carried ? tn_while(condition.g, b.g, carried, (int)n) : (tn_val){NULL, VALUE_NONE};
        for (int i = 0; i < l->n_carried && !has_failed(c); i++) output(c, i, tn_result(v, 2 + i));
    } else if (!has_failed(c)) {
        node_error(c, TN_ERR_PARSE, "the body gives no condition");
    }
    body_close(&condition);
    body_close(&b);
}

void convert_loop(conversion *c) {
    loop l;
    int64_t trips;
    if (!read_loop(c, &l)) return;
    bool is_number = l.trips && l.trips->n == 1 && known_number(c->im, l.trips, 0, &trips);
    if (is_number && trips < 0) trips = 0;
    bool is_small = is_number && trips <= UNROLL_TRIPS && trips * (int64_t)l.graph->nodes.count <= UNROLL_NODES;
    if (l.stays_true && is_small && (trips > 0 || l.n_collected == 0))
        unroll(&l, trips);
    else if (l.stays_true && l.trips && l.trips->n == 1)
        as_scan(&l);
    else
        as_while(&l);
}
