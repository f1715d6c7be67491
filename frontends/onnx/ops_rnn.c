/* RNN, GRU, LSTM.
 *
 * Input products of all steps are one matrix product. What is left, a cell for each step, is the body of a
 * scan; a sequence of one step needs none.
 */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <string.h>

/* ---- Activations ----------------------------------------------------------------------------- */

typedef struct activation {
    const char *name;
    double alpha, beta;
} activation;

static tn_val apply_tanh(tn_val x, const activation *a) {
    (void)a;
    return tn_tanh(x);
}
static tn_val apply_sigmoid(tn_val x, const activation *a) {
    (void)a;
    return tn_logistic(x);
}
static tn_val apply_relu(tn_val x, const activation *a) {
    (void)a;
    return tn_max_scalar(x, 0);
}
static tn_val apply_softplus(tn_val x, const activation *a) {
    (void)a;
    return tn_softplus(x);
}
static tn_val apply_elu(tn_val x, const activation *a) { return tn_elu(x, a->alpha); }
static tn_val apply_leaky_relu(tn_val x, const activation *a) { return tn_leaky_relu(x, a->alpha); }
static tn_val apply_affine(tn_val x, const activation *a) { return tn_add_scalar(tn_mul_scalar(x, a->alpha), a->beta); }
static tn_val apply_scaled_tanh(tn_val x, const activation *a) {
    return tn_mul_scalar(tn_tanh(tn_mul_scalar(x, a->beta)), a->alpha);
}

static tn_val apply_softsign(tn_val x, const activation *a) {
    (void)a;
    return tn_div(x, tn_add_scalar(tn_abs(x), 1));
}

static tn_val apply_hard_sigmoid(tn_val x, const activation *a) {
    return tn_min_scalar(tn_max_scalar(tn_add_scalar(tn_mul_scalar(x, a->alpha), a->beta), 0), 1);
}

static tn_val apply_thresholded_relu(tn_val x, const activation *a) {
    return tn_select(tn_greater(x, scalar_like(x, a->alpha)), x, scalar_like(x, 0));
}

static const struct {
    const char *name;
    tn_val (*apply)(tn_val x, const activation *a);
    int n_numbers; /* of alpha, beta */
    double alpha, beta;
} functions[] = {
    {"Affine", apply_affine, 2, 1, 0},
    {"Elu", apply_elu, 1, 1, 0},
    {"HardSigmoid", apply_hard_sigmoid, 2, 0.2, 0.5},
    {"LeakyRelu", apply_leaky_relu, 1, 0.01, 0},
    {"Relu", apply_relu, 0, 0, 0},
    {"ScaledTanh", apply_scaled_tanh, 2, 1, 1},
    {"Sigmoid", apply_sigmoid, 0, 0, 0},
    {"Softplus", apply_softplus, 0, 0, 0},
    {"Softsign", apply_softsign, 0, 0, 0},
    {"Tanh", apply_tanh, 0, 0, 0},
    {"ThresholdedRelu", apply_thresholded_relu, 1, 1, 0},
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

static tn_val activate(tn_val x, const activation *a) {
    for (size_t i = 0; a->name && i < FUNCTIONS; i++)
        if (strcmp(functions[i].name, a->name) == 0) return functions[i].apply(x, a);
    return x;
}

/* ---- The op ---------------------------------------------------------------------------------- */

enum { MAX_ACTIVATIONS = 3 };
static int gates_of(rnn_variant kind) { return kind == RNN_LSTM ? 4 : kind == RNN_GRU ? 3 : 1; }

/* One direction. Values of the weights are outside a body; `in` brings them where the cell is built. */
typedef struct rnn {
    conversion *c;
    rnn_variant kind;
    tn_dim hidden, batch, steps;
    int directions;
    bool is_batch_first, input_forget, reset_after;
    double clip;
    activation activations[2 * MAX_ACTIVATIONS];
    tn_val x;       /* [steps, batch, input] */
    tn_val lengths; /* i64[batch, 1], or invalid: all steps count */
} rnn;

/* What a cell reads besides its inputs. */
typedef struct cell_weights {
    tn_val recurrent; /* [gates * hidden, hidden] */
    tn_val bias;      /* GRU: of the recurrent product, [gates * hidden]; or invalid */
    tn_val peepholes; /* LSTM: [3 * hidden], or invalid */
} cell_weights;

/* Rows `gate` to `gate + n` of a vector, or columns of a [batch, gates * hidden]. */
static tn_val gate(const rnn *r, tn_val v, int which, int n) {
    dim_table *t = r->c->im->module->dims;
    int axis = tn_rank(v) - 1;
    return tn_is_valid(v)
               ? slice_axis(r->c, v, axis, dim_mul_const(t, r->hidden, which), dim_mul_const(t, r->hidden, which + n))
               : v;
}

static tn_val gate_rows(const rnn *r, tn_val v, int which, int n) {
    dim_table *t = r->c->im->module->dims;
    return slice_axis(r->c, v, 0, dim_mul_const(t, r->hidden, which), dim_mul_const(t, r->hidden, which + n));
}

static tn_val clipped(const rnn *r, tn_val x) {
    return r->clip > 0 ? tn_clamp(scalar_like(x, -r->clip), x, scalar_like(x, r->clip)) : x;
}

static tn_val product(tn_val h, tn_val weights) {
    return tn_dot(h, weights, TN_NO_INTS, TN_NO_INTS, TN_INTS(1), TN_INTS(1));
}

static tn_val plus_peephole(const rnn *r, tn_val x, const cell_weights *w, int which, tn_val c) {
    return tn_is_valid(w->peepholes) ? tn_add(x, tn_mul(c, gate(r, w->peepholes, which, 1))) : x;
}

/* Gates in the order of ONNX: input, output, forget, cell. */
static void lstm_cell(const rnn *r, const activation *f, const cell_weights *w, tn_val x, tn_val *h, tn_val *c) {
    tn_val all = tn_add(x, product(*h, w->recurrent));
    tn_val i = activate(clipped(r, plus_peephole(r, gate(r, all, 0, 1), w, 0, *c)), &f[0]);
    tn_val forget = activate(clipped(r, plus_peephole(r, gate(r, all, 2, 1), w, 2, *c)), &f[0]);
    if (r->input_forget) forget = tn_sub(scalar_like(i, 1), i);
    tn_val next = activate(clipped(r, gate(r, all, 3, 1)), &f[1]);
    *c = tn_add(tn_mul(forget, *c), tn_mul(i, next));
    tn_val o = activate(clipped(r, plus_peephole(r, gate(r, all, 1, 1), w, 1, *c)), &f[0]);
    *h = tn_mul(o, activate(*c, &f[2]));
}

/* Gates: update, reset, hidden. */
static void gru_cell(const rnn *r, const activation *f, const cell_weights *w, tn_val x, tn_val *h) {
    tn_val two = tn_add(gate(r, x, 0, 2), product(*h, gate_rows(r, w->recurrent, 0, 2)));
    if (tn_is_valid(w->bias)) two = tn_add(two, gate(r, w->bias, 0, 2));
    tn_val z = activate(clipped(r, gate(r, two, 0, 1)), &f[0]), reset = activate(clipped(r, gate(r, two, 1, 1)), &f[0]);
    tn_val rows = gate_rows(r, w->recurrent, 2, 1), bias = gate(r, w->bias, 2, 1);
    tn_val part = product(r->reset_after ? *h : tn_mul(reset, *h), rows);
    if (tn_is_valid(bias)) part = tn_add(part, bias);
    if (r->reset_after) part = tn_mul(reset, part);
    tn_val next = activate(clipped(r, tn_add(gate(r, x, 2, 1), part)), &f[1]);
    *h = tn_add(tn_mul(tn_sub(scalar_like(z, 1), z), next), tn_mul(z, *h));
}

static void cell(const rnn *r, const activation *f, const cell_weights *w, tn_val x, tn_val *h, tn_val *c) {
    if (r->kind == RNN_LSTM)
        lstm_cell(r, f, w, x, h, c);
    else if (r->kind == RNN_GRU)
        gru_cell(r, f, w, x, h);
    else
        *h = activate(clipped(r, tn_add(x, product(*h, w->recurrent))), &f[0]);
}

/* ---- One direction ------------------------------------------------------------------------------ */

/* Where a cell is built: outside (b is NULL) or in the body of a scan. */
static tn_val bring(body *b, tn_val v) { return b && tn_is_valid(v) ? body_capture(b, v) : v; }

/* Biases: half for the input product, half for the recurrent one. */
static tn_val bias_half(const rnn *r, tn_val bias, int half) {
    int n = gates_of(r->kind);
    return tn_is_valid(bias) ? gate(r, bias, half * n, n) : bias;
}

static cell_weights weights_for(rnn *r, body *b, int direction) {
    conversion *c = r->c;
    cell_weights w = {.recurrent = pick(c, bring(b, input(c, 2)), 0, direction),
                      .bias = {NULL, VALUE_NONE},
                      .peepholes = {NULL, VALUE_NONE}};
    if (r->kind == RNN_GRU && has_input(c, 3)) w.bias = bias_half(r, pick(c, bring(b, input(c, 3)), 0, direction), 1);
    if (r->kind == RNN_LSTM && has_input(c, 7)) w.peepholes = pick(c, bring(b, input(c, 7)), 0, direction);
    return w;
}

/* x W^T + bias for all steps: [steps, batch, gates * hidden]. */
static tn_val input_products(rnn *r, int direction) {
    conversion *c = r->c;
    tn_val w = pick(c, input(c, 1), 0, direction);
    tn_val v = tn_dot(r->x, w, TN_NO_INTS, TN_NO_INTS, TN_INTS(2), TN_INTS(1));
    if (!has_input(c, 3)) return v;
    tn_val bias = pick(c, input(c, 3), 0, direction);
    v = tn_add(v, bias_half(r, bias, 0));
    return r->kind == RNN_GRU ? v : tn_add(v, bias_half(r, bias, 1));
}

/* Initial state from input i, zeros when it is left out. */
static tn_val initial(rnn *r, int i, int direction) {
    conversion *c = r->c;
    if (has_input(c, i)) return pick(c, input(c, i), r->is_batch_first ? 1 : 0, direction);
    tn_dim dims[] = {r->batch, r->hidden};
    return tn_broadcast_to(scalar_like(r->x, 0), 2, dims);
}

typedef struct direction_results {
    tn_val y, h, c; /* [steps, batch, hidden], [batch, hidden] twice */
} direction_results;

/* Steps past the end of a sequence keep the state; their results are 0. */
static void mask_step(const rnn *r, tn_val step, tn_val lengths, tn_val h_before, tn_val c_before, tn_val *h, tn_val *c,
                      tn_val *y) {
    tn_val counts = tn_less(step, lengths);
    counts = broadcast_like(r->c, counts, *h);
    *y = tn_select(counts, *h, scalar_like(*h, 0));
    *h = tn_select(counts, *h, h_before);
    if (r->kind == RNN_LSTM) *c = tn_select(counts, *c, c_before);
}

static bool build_step(rnn *r, body *b, const activation *f, int direction, const tn_type *state,
                       const tn_type *products) {
    bool is_lstm = r->kind == RNN_LSTM;
    tn_type one = type_make((tn_dtype)products->dtype, 2, products->dims + 1), number = type_scalar(TN_I64);
    if (!body_open(b, r->c, "step")) return false;
    tn_val h = body_param(b, "h", state), c = is_lstm ? body_param(b, "c", state) : h;
    tn_val h_before = h, c_before = c;
    cell_weights w = weights_for(r, b, direction);
    tn_val lengths = bring(b, r->lengths), x = body_param(b, "x", &one), y;
    bool has_lengths = tn_is_valid(lengths);
    tn_val step = has_lengths ? body_param(b, "step", &number) : (tn_val){NULL, VALUE_NONE};
    cell(r, f, &w, x, &h, &c);
    y = h;
    if (has_lengths) mask_step(r, step, lengths, h_before, c_before, &h, &c, &y);
    return body_result(b, h) && (!is_lstm || body_result(b, c)) && body_return_captured(b) && body_result(b, y);
}

static void run_direction(rnn *r, int direction, bool is_reverse, direction_results *out) {
    conversion *c = r->c;
    bool is_lstm = r->kind == RNN_LSTM;
    int n_activations = r->kind == RNN_PLAIN ? 1 : r->kind == RNN_GRU ? 2 : 3;
    const activation *f = r->activations + direction * n_activations;
    tn_val products = input_products(r, direction), h = initial(r, 5, direction),
           cell_state = is_lstm ? initial(r, 6, direction) : h;
    if (has_failed(c) || !tn_is_valid(products)) return;
    if (dim_is_value(node_dims(c), r->steps, 1) && !tn_is_valid(r->lengths)) {
        cell_weights w = weights_for(r, NULL, direction);
        cell(r, f, &w, pick(c, products, 0, 0), &h, &cell_state);
        *out = (direction_results){tn_expand_dims(h, TN_INTS(0)), h, cell_state};
        return;
    }
    body b = {0};
    tn_type state = tn_type_of(h), type = tn_type_of(products);
    state.dims[0] = type.dims[1];
    if (tn_is_valid(h) && build_step(r, &b, f, direction, &state, &type)) {
        size_t n = 1 + (size_t)is_lstm + b.n;
        tn_val *carried = ARENA_ARRAY(&c->im->memory, tn_val, n), sequences[2] = {products};
        int n_sequences = 1;
        if (carried) {
            carried[0] = h;
            if (is_lstm) carried[1] = cell_state;
            for (size_t i = 0; i < b.n; i++) carried[1 + (size_t)is_lstm + i] = b.outer[i];
            if (tn_is_valid(r->lengths)) sequences[n_sequences++] = iota_dims(c, TN_I64, 1, &r->steps, 0);
            tn_val v = tn_scan(b.g, carried, (int)n, sequences, n_sequences, r->steps, is_reverse);
            *out = (direction_results){tn_result(v, (int)n), v, is_lstm ? tn_result(v, 1) : v};
        } else {
            import_no_memory(c->im);
        }
    }
    body_close(&b);
}

/* ---- Attributes --------------------------------------------------------------------------------- */

static bool read_activations(rnn *r) {
    static const char *const defaults[][MAX_ACTIVATIONS] = {
        [RNN_PLAIN] = {"Tanh"}, [RNN_GRU] = {"Sigmoid", "Tanh"}, [RNN_LSTM] = {"Sigmoid", "Tanh", "Tanh"}};
    conversion *c = r->c;
    int each = r->kind == RNN_PLAIN ? 1 : r->kind == RNN_GRU ? 2 : 3, n = each * r->directions;
    const onnx_attribute *names = find_attribute(c, "activations", ONNX_ATTR_STRINGS);
    const onnx_attribute *alphas = find_attribute(c, "activation_alpha", ONNX_ATTR_FLOATS);
    const onnx_attribute *betas = find_attribute(c, "activation_beta", ONNX_ATTR_FLOATS);
    size_t n_alphas = 0, n_betas = 0;
    if (has_failed(c)) return false;
    if (names && names->strings.count != (size_t)n)
        return node_error(c, TN_ERR_PARSE, "activations has %zu entries, not %d", names->strings.count, n);
    for (int i = 0; i < n; i++) {
        const char *name = defaults[r->kind][i % each];
        if (names) {
            name =
                arena_strndup(&c->im->memory, (const char *)names->strings.items[i].data, names->strings.items[i].size);
            if (!name) return import_no_memory(c->im);
        }
        size_t row = 0;
        while (row < FUNCTIONS && strcmp(functions[row].name, name) != 0) row++;
        if (row == FUNCTIONS) return node_error(c, TN_ERR_UNSUPPORTED, "the activation %.40s is not supported", name);
        activation *a = &r->activations[i];
        *a = (activation){functions[row].name, functions[row].alpha, functions[row].beta};
        if (functions[row].n_numbers >= 1 && alphas && n_alphas < alphas->floats.count)
            a->alpha = (double)alphas->floats.items[n_alphas++];
        if (functions[row].n_numbers >= 2 && betas && n_betas < betas->floats.count)
            a->beta = (double)betas->floats.items[n_betas++];
    }
    return true;
}

/* Lengths that are not all the whole sequence. */
static bool read_lengths(rnn *r, bool is_forward) {
    conversion *c = r->c;
    r->lengths = (tn_val){NULL, VALUE_NONE};
    if (!has_input(c, 4)) return true;
    const known *k = input_known(c, 4);
    bool are_whole = k != NULL;
    for (int64_t i = 0; k && i < k->n; i++) are_whole &= k->items[i] == r->steps;
    if (are_whole) return true;
    if (!is_forward)
        return node_error(c, TN_ERR_UNSUPPORTED, "sequence_lens with a reverse direction is not supported");
    r->lengths = tn_expand_dims(tn_convert(input(c, 4), TN_I64), TN_INTS(1));
    return !has_failed(c);
}

static bool check_rank(conversion *c, int i, const char *what, int rank) {
    if (!has_input(c, i) || tn_rank(input(c, i)) == rank) return !has_failed(c);
    return node_error(c, TN_ERR_SHAPE, "%s has rank %d, not %d", what, tn_rank(input(c, i)), rank);
}

static bool read_rnn(rnn *r, const char *direction) {
    conversion *c = r->c;
    if (!check_rank(c, 0, "X", 3) || !check_rank(c, 1, "W", 3) || !check_rank(c, 2, "R", 3) ||
        !check_rank(c, 3, "B", 2) || !check_rank(c, 4, "sequence_lens", 1) || !check_rank(c, 5, "initial_h", 3) ||
        !check_rank(c, 6, "initial_c", 3) || !check_rank(c, 7, "P", 2))
        return false;
    r->is_batch_first = read_int(c, "layout", 0) != 0;
    r->input_forget = read_int(c, "input_forget", 0) != 0;
    r->reset_after = read_int(c, "linear_before_reset", 0) != 0;
    r->clip = read_float(c, "clip", 0);
    r->x = input(c, 0);
    if (r->is_batch_first) r->x = tn_transpose(r->x, TN_INTS(1, 0, 2));
    tn_type x = tn_type_of(r->x), recurrent = tn_type_of(input(c, 2));
    r->steps = x.dims[0];
    r->batch = x.dims[1];
    r->hidden = recurrent.dims[2];
    bool is_forward = strcmp(direction, "forward") == 0;
    return !has_failed(c) && read_activations(r) && read_lengths(r, is_forward);
}

void convert_rnn(conversion *c) {
    const char *direction = read_text(c, "direction", "forward");
    bool is_both = strcmp(direction, "bidirectional") == 0, is_reverse = strcmp(direction, "reverse") == 0;
    rnn r = {.c = c, .kind = (rnn_variant)c->variant, .directions = is_both ? 2 : 1};
    if (!is_both && !is_reverse && strcmp(direction, "forward") != 0) {
        node_error(c, TN_ERR_PARSE, "direction is '%.40s'", direction);
        return;
    }
    if (!read_rnn(&r, direction)) return;
    /* Directions side by side: axis 1 of Y, axis 0 of the states; with layout 1 axis 2 and 1. */
    tn_val y[2], h[2], state[2];
    for (int d = 0; d < r.directions; d++) {
        direction_results one = {{NULL, VALUE_NONE}, {NULL, VALUE_NONE}, {NULL, VALUE_NONE}};
        run_direction(&r, d, is_reverse || d == 1, &one);
        if (has_failed(c)) return;
        int axis = r.is_batch_first ? 1 : 0;
        y[d] = tn_expand_dims(r.is_batch_first ? tn_transpose(one.y, TN_INTS(1, 0, 2)) : one.y, TN_INTS(axis + 1));
        h[d] = tn_expand_dims(one.h, TN_INTS(axis));
        state[d] = tn_expand_dims(one.c, TN_INTS(axis));
    }
    output(c, 0, tn_concat(y, r.directions, r.is_batch_first ? 2 : 1));
    output(c, 1, tn_concat(h, r.directions, r.is_batch_first ? 1 : 0));
    if (r.kind == RNN_LSTM) output(c, 2, tn_concat(state, r.directions, r.is_batch_first ? 1 : 0));
}
