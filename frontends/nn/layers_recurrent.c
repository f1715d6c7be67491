/* Recurrent layers: simple_rnn, lstm, gru.
 *
 * Input products of all steps are one matrix product; what is left, a cell for each step, is the body of a scan, which
 * carries the hidden state and the recurrent weights (functions see nothing but their parameters).
 */
#include "frontends/nn/layer.h"

#include <string.h>

enum { MAX_STATES = 2, MAX_WEIGHTS = 2 };

/* What a cell works on: x are the products of this step, [n, gates * units]. */
typedef struct cell_values {
    int64_t units;
    tn_val x;
    tn_val states[MAX_STATES]; /* the first is h */
    tn_val weights[MAX_WEIGHTS];
} cell_values;

typedef struct cell_kind {
    const char *name;
    int gates, n_states;
    bool has_recurrent_bias; /* of the last gate, as a weight */
    void (*step)(cell_values *v);
} cell_kind;

/* Columns of gate `which` of [n, gates * units], or `n` gates. */
static tn_val gate(const cell_values *v, tn_val all, int which, int n) {
    return tn_slice(all, 1, which * v->units, (which + n) * v->units, 1);
}

static tn_val one_minus(tn_val x) { return tn_sub(tn_scalar(x.graph, nn_dtype(x), 1), x); }

static void step_simple(cell_values *v) {
    v->states[0] = tn_tanh(tn_add(v->x, tn_matmul(v->states[0], v->weights[0])));
}

/* Input, forget, cell, output. */
static void step_lstm(cell_values *v) {
    tn_val all = tn_add(v->x, tn_matmul(v->states[0], v->weights[0]));
    tn_val i = tn_logistic(gate(v, all, 0, 1)), f = tn_logistic(gate(v, all, 1, 1));
    tn_val g = tn_tanh(gate(v, all, 2, 1)), o = tn_logistic(gate(v, all, 3, 1));
    v->states[1] = tn_add(tn_mul(f, v->states[1]), tn_mul(i, g));
    v->states[0] = tn_mul(o, tn_tanh(v->states[1]));
}

/* Reset, update, new. */
static void step_gru(cell_values *v) {
    tn_val h = v->states[0], of_h = tn_matmul(h, v->weights[0]);
    tn_val two = tn_logistic(tn_add(gate(v, v->x, 0, 2), gate(v, of_h, 0, 2)));
    tn_val r = gate(v, two, 0, 1), z = gate(v, two, 1, 1);
    tn_val part = tn_mul(r, tn_add(gate(v, of_h, 2, 1), v->weights[1]));
    tn_val next = tn_tanh(tn_add(gate(v, v->x, 2, 1), part));
    v->states[0] = tn_add(tn_mul(one_minus(z), next), tn_mul(z, h));
}

static const cell_kind simple_rnn = {"simple_rnn", 1, 1, false, step_simple};
static const cell_kind lstm = {"lstm", 4, 2, false, step_lstm};
static const cell_kind gru = {"gru", 3, 1, true, step_gru};

/* ---- The scan --------------------------------------------------------------------------------------- */

static tn_val add_param(tn_graph *body, const char *name, tn_type type) {
    value_id v = graph_add_param(body, name, &type, BINDING_RUN);
    return v == VALUE_NONE ? BUILD_INVALID : (tn_val){body, v};
}

/* (states..., weights..., x) -> (states..., weights..., h) */
static tn_graph *make_body(nn_scope *s, const cell_kind *kind, int64_t units, const tn_val *carried, int n_weights,
                           tn_type x) {
    static const char *const state_names[] = {"h", "c"}, *const weight_names[] = {"recurrent", "recurrent_bias"};
    tn_graph *body = tn_graph_sub(s->m->forward, kind->name);
    if (!body) return NULL;
    graph_set_origin(body, s->b.where);
    cell_values v = {.units = units};
    for (int i = 0; i < kind->n_states; i++) v.states[i] = add_param(body, state_names[i], tn_type_of(carried[i]));
    for (int i = 0; i < n_weights; i++)
        v.weights[i] = add_param(body, weight_names[i], tn_type_of(carried[kind->n_states + i]));
    v.x = add_param(body, "x", x);
    kind->step(&v);
    if (tn_model_error(s->m)) return NULL;
    bool ok = true;
    for (int i = 0; ok && i < kind->n_states; i++) ok = graph_add_result(body, NULL, v.states[i].id, -1);
    for (int i = 0; ok && i < n_weights; i++) ok = graph_add_result(body, NULL, v.weights[i].id, -1);
    ok = ok && graph_add_result(body, "y", v.states[0].id, -1);
    graph_set_origin(body, LOCATION_NONE);
    return ok ? body : NULL;
}

/* x kernel + bias of all steps, [steps, n, gates * units]. */
static tn_val input_products(nn_scope *s, const cell_kind *kind, const tn_nn_recurrent_args *a) {
    nn_linear_args linear = {
        .prefix = "", .units = kind->gates * a->units, .kernel_init = a->kernel_init, .penalty = a->penalty};
    return tn_transpose(nn_linear(s, a->x, linear), TN_INTS(1, 0, 2));
}

static tn_val recur(nn_scope *s, const cell_kind *kind, const tn_nn_recurrent_args *a) {
    int64_t units = a->units;
    if (!nn_check(s, a->x, 3, 3) || !nn_positive(s, "units", units)) return BUILD_INVALID;
    tn_val products = input_products(s, kind, a);
    tn_val carried[MAX_STATES + MAX_WEIGHTS], zero = tn_scalar(s->m->forward, s->m->compute, 0);
    tn_dim state[] = {build_type(a->x)->dims[0], dim_const(build_dims(&s->b), units)};
    int n = 0, n_weights = kind->has_recurrent_bias ? 2 : 1;
    while (n < kind->n_states) carried[n++] = tn_broadcast_to(zero, 2, state);
    carried[n++] = nn_parameter(s, (nn_parameter_args){.name = "recurrent",
                                                       .init = a->recurrent_init,
                                                       .init_default = "orthogonal",
                                                       .penalty = a->penalty,
                                                       .rank = 2,
                                                       .dims = {units, kind->gates * units}});
    if (kind->has_recurrent_bias) /* a row, which broadcasts against [n, units] */
        carried[n++] = nn_parameter(
            s, (nn_parameter_args){.name = "recurrent_bias", .init_default = "zeros", .rank = 1, .dims = {units}});
    if (tn_model_error(s->m)) return BUILD_INVALID;
    tn_type all = tn_type_of(products), x = type_make((tn_dtype)all.dtype, 2, all.dims + 1);
    tn_graph *body = make_body(s, kind, units, carried, n_weights, x);
    if (!body) return BUILD_INVALID;
    tn_val h = tn_scan(body, carried, n, &products, 1, all.dims[0], a->reverse);
    return a->last_only ? h : tn_transpose(tn_result(h, n), TN_INTS(1, 0, 2));
}

static tn_val layer(tn_location at, tn_model *m, const cell_kind *kind, const tn_nn_recurrent_args *a) {
    nn_scope s;
    return nn_open(&s, m, at, kind->name, a->name, &a->x, 1) ? nn_close(&s, recur(&s, kind, a)) : BUILD_INVALID;
}

tn_val tn_nn_simple_rnn_at(tn_location at, tn_model *m, tn_nn_recurrent_args a) {
    return layer(at, m, &simple_rnn, &a);
}
tn_val tn_nn_lstm_at(tn_location at, tn_model *m, tn_nn_recurrent_args a) { return layer(at, m, &lstm, &a); }
tn_val tn_nn_gru_at(tn_location at, tn_model *m, tn_nn_recurrent_args a) { return layer(at, m, &gru, &a); }
