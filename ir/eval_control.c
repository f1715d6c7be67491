/* Reference evaluation of control ops and effects: call if while scan barrier custom assert print.
 *
 * in:  operands, functions of the module
 * out: what the functions return
 * law: a function sees nothing but its operands; each call and each round of a loop counts
 *      against options->max_steps; a failed assert is a fault, the run goes on
 */
#include "ir/eval_state.h"

#include <string.h>

/* ---- Calling a function ---------------------------------------------------------------------------- */

/* A function that the node names, and where its symbols begin in the attribute `symbols`. */
typedef struct callee {
    const tn_graph *g;
    uint32_t skip;
} callee;

/* The function `name`, whose symbols follow those of `former` (NULL: it is the first). */
static bool open_callee(eval_args *c, attr_name name, const callee *former, callee *f) {
    const attr *a = attr_find(&c->node->attrs, name);
    if (!a || !a->func) {
        eval_error(c->state, TN_ERR_VERIFY, "%s is missing", attr_name_text(name));
        return false;
    }
    *f = (callee){a->func, former ? former->skip + (uint32_t)former->g->n_symbols : 0};
    return true;
}

static bool run(eval_args *c, const callee *f, const eval_tensor *const *inputs, size_t n_inputs, eval_tensor *outputs,
                size_t n_outputs) {
    const tn_graph *g = f->g;
    const attr *given = attr_find(&c->node->attrs, ATTR_symbols);
    uint32_t n_given = given ? given->dims.n : 0, n = (uint32_t)g->n_symbols;
    if (n_given < f->skip || n_given - f->skip < n) return eval_error(c->state, TN_ERR_VERIFY, "symbols are missing");
    if (g->n_params != n_inputs || g->n_results != n_outputs)
        return eval_error(c->state, TN_ERR_VERIFY, "@%s takes %zu values and gives %zu, not %zu and %zu", g->name,
                          g->n_params, g->n_results, n_inputs, n_outputs);
    int64_t *symbols = tn_calloc(n + 1u, sizeof *symbols);
    bool is_good = symbols || eval_no_memory(c->state);
    for (uint32_t k = 0; k < n && is_good; k++)
        is_good = eval_dim_value(c, given->dims.items[f->skip + k], &symbols[k]);
    is_good = is_good && eval_function(c->state, g, symbols, n, inputs, outputs);
    tn_free(symbols);
    return is_good;
}

static void release_all(eval_state *s, eval_tensor *tensors, size_t n) {
    for (size_t i = 0; tensors && i < n; i++) eval_tensor_release(s, &tensors[i]);
}

/* Runs f and hands its results on as the node's first ones. */
static bool run_and_hand_on(eval_args *c, const callee *f, const eval_tensor *const *inputs, size_t n_inputs) {
    size_t n = c->node->n_results;
    eval_tensor *outputs = tn_calloc(n + 1, sizeof *outputs);
    if (!outputs) return eval_no_memory(c->state);
    bool is_good = run(c, f, inputs, n_inputs, outputs, n);
    for (size_t i = 0; i < n && is_good; i++) is_good = eval_hand_on(c, (uint32_t)i, &outputs[i]);
    release_all(c->state, outputs, n);
    tn_free(outputs);
    return is_good;
}

static bool is_true(const eval_tensor *t) { return t->n == 1 && eval_load_int(t, 0) != 0; }

bool eval_call(eval_args *c) {
    callee f;
    return open_callee(c, ATTR_callee, NULL, &f) && run_and_hand_on(c, &f, c->operands, c->n_operands);
}

bool eval_if(eval_args *c) {
    callee then, otherwise;
    return open_callee(c, ATTR_then, NULL, &then) && open_callee(c, ATTR_otherwise, &then, &otherwise) &&
           run_and_hand_on(c, is_true(c->operands[0]) ? &then : &otherwise, c->operands + 1, c->n_operands - 1);
}

/* ---- while ------------------------------------------------------------------------------------------- */

/* Values that a loop carries, and pointers to them as a function's inputs. */
typedef struct carried {
    size_t n, n_more; /* room for more inputs after the carried ones */
    eval_tensor *now, *next;
    const eval_tensor **inputs;
} carried;

static void carried_close(eval_state *s, carried *v) {
    release_all(s, v->now, v->n);
    release_all(s, v->next, v->n);
    tn_free(v->now);
    tn_free(v->next);
    tn_free(v->inputs);
}

static bool carried_open(eval_args *c, carried *v, size_t n, size_t n_more, size_t n_next) {
    *v = (carried){n, n_more, tn_calloc(n + n_more + 1, sizeof(eval_tensor)),
                   tn_calloc(n_next + 1, sizeof(eval_tensor)), tn_calloc(n + n_more + 1, sizeof(eval_tensor *))};
    if (!v->now || !v->next || !v->inputs) {
        carried_close(c->state, v);
        return eval_no_memory(c->state);
    }
    for (size_t i = 0; i < n; i++) {
        v->now[i] = *c->operands[i];
        v->now[i].borrowed = true;
    }
    for (size_t i = 0; i < n + n_more; i++) v->inputs[i] = &v->now[i];
    return true;
}

static void carried_advance(eval_state *s, carried *v) {
    for (size_t i = 0; i < v->n; i++) {
        eval_tensor_release(s, &v->now[i]);
        v->now[i] = v->next[i];
        v->next[i] = (eval_tensor){0};
    }
}

/* The carried values become the node's first results; what is still an operand's is copied. */
static bool carried_hand_on(eval_args *c, carried *v) {
    for (size_t i = 0; i < v->n; i++) {
        eval_tensor own = v->now[i];
        if (own.borrowed && !eval_tensor_copy(c->state, &own, &v->now[i])) return false;
        v->now[i] = (eval_tensor){0};
        if (!eval_hand_on(c, (uint32_t)i, &own)) return false;
    }
    return true;
}

static bool run_condition(eval_args *c, const callee *condition, const carried *v, bool *holds) {
    eval_tensor answer = {0};
    if (!run(c, condition, v->inputs, v->n, &answer, 1)) return false;
    *holds = is_true(&answer);
    eval_tensor_release(c->state, &answer);
    return true;
}

bool eval_while(eval_args *c) {
    callee condition, body;
    carried v;
    bool holds = true;
    if (!open_callee(c, ATTR_cond, NULL, &condition) || !open_callee(c, ATTR_body, &condition, &body)) return false;
    if (c->node->n_results != c->n_operands)
        return eval_error(c->state, TN_ERR_VERIFY, "there is not one result an operand");
    if (!carried_open(c, &v, c->n_operands, 0, c->n_operands)) return false;
    bool is_good = run_condition(c, &condition, &v, &holds);
    while (is_good && holds) {
        is_good = run(c, &body, v.inputs, v.n, v.next, v.n);
        if (is_good) {
            carried_advance(c->state, &v);
            is_good = run_condition(c, &condition, &v, &holds);
        }
    }
    is_good = is_good && carried_hand_on(c, &v);
    carried_close(c->state, &v);
    return is_good;
}

/* ---- scan ---------------------------------------------------------------------------------------------- */

/* Step k of a sequence, without copying it. */
static eval_tensor element_of(const eval_tensor *sequence, int64_t k) {
    eval_tensor t = {.dtype = sequence->dtype, .rank = sequence->rank - 1, .borrowed = true};
    memcpy(t.dims, sequence->dims + 1, (size_t)t.rank * sizeof *t.dims);
    t.n = sequence->dims[0] > 0 ? sequence->n / sequence->dims[0] : 0;
    if (t.n == 0) return t;
    t.data = (char *)sequence->data + (size_t)(k * t.n) * eval_dtype_bytes(t.dtype);
    if (sequence->magnitude) t.magnitude = sequence->magnitude + k * t.n;
    return t;
}

static bool is_sequence(const eval_tensor *t, int64_t length) { return t->rank > 0 && t->dims[0] == length; }

/* Checks the sequences and makes room for those that come out. */
static bool open_sequences(eval_args *c, uint32_t n_carried, int64_t length) {
    for (uint32_t i = n_carried; i < c->n_operands; i++)
        if (!is_sequence(c->operands[i], length))
            return eval_error(c->state, TN_ERR_SHAPE, "sequence %u does not have %lld steps", (unsigned)(i - n_carried),
                              (long long)length);
    for (uint32_t i = n_carried; i < c->node->n_results; i++) {
        if (!is_sequence(&c->results[i], length))
            return eval_error(c->state, TN_ERR_SHAPE, "result %u does not have %lld steps", (unsigned)i,
                              (long long)length);
        if (!eval_tensor_alloc(c->state, &c->results[i])) return false;
    }
    return true;
}

/* Stores step k of the sequences that come out. */
static bool store_step(eval_args *c, uint32_t n_carried, int64_t k, eval_tensor *outputs) {
    for (uint32_t i = n_carried; i < c->node->n_results; i++) {
        eval_tensor *to = &c->results[i], *from = &outputs[i];
        if (from->dtype != to->dtype || from->n != element_of(to, k).n)
            return eval_error(c->state, TN_ERR_SHAPE, "step %lld of result %u has another size", (long long)k,
                              (unsigned)i);
        eval_move(from, 0, to, k * from->n, from->n);
        eval_tensor_release(c->state, from);
    }
    return true;
}

bool eval_scan(eval_args *c) {
    callee body;
    int64_t count = attr_int(&c->node->attrs, ATTR_carried, 0), length;
    const attr *steps = attr_find(&c->node->attrs, ATTR_length);
    bool reverse = attr_int(&c->node->attrs, ATTR_reverse, 0) != 0;
    uint32_t n_results = c->node->n_results;
    carried v;
    if (!steps || !open_callee(c, ATTR_body, NULL, &body) || !eval_dim_value(c, steps->dim, &length)) return false;
    if (count < 0 || count > c->n_operands || count > n_results || length < 0)
        return eval_error(c->state, TN_ERR_VERIFY, "carried or length is out of range");
    uint32_t n = (uint32_t)count;
    if (!open_sequences(c, n, length) || !carried_open(c, &v, n, c->n_operands - n, n_results)) return false;
    bool is_good = true;
    for (int64_t step = 0; step < length && is_good; step++) {
        int64_t k = reverse ? length - 1 - step : step;
        for (uint32_t i = n; i < c->n_operands; i++) v.now[i] = element_of(c->operands[i], k);
        is_good = run(c, &body, v.inputs, c->n_operands, v.next, n_results) && store_step(c, n, k, v.next);
        if (is_good) carried_advance(c->state, &v);
    }
    if (!is_good) release_all(c->state, v.next, n_results);
    is_good = is_good && carried_hand_on(c, &v);
    carried_close(c->state, &v);
    return is_good;
}

/* ---- The rest ----------------------------------------------------------------------------------------- */

bool eval_barrier(eval_args *c) {
    if (c->node->n_results != c->n_operands)
        return eval_error(c->state, TN_ERR_VERIFY, "there is not one result an operand");
    for (uint32_t i = 0; i < c->n_operands; i++) {
        eval_tensor copy;
        if (!eval_tensor_copy(c->state, &copy, c->operands[i]) || !eval_hand_on(c, i, &copy)) return false;
    }
    return true;
}

/* Runs the callback on copies of the tensors' descriptions, so that it can change data alone. */
static bool run_custom(eval_args *c, const char *name) {
    const eval_options *o = c->state->options;
    uint32_t n_in = c->n_operands, n_out = c->node->n_results;
    eval_tensor *all = tn_calloc((size_t)n_in + n_out + 1, sizeof *all);
    if (!all) return eval_no_memory(c->state);
    for (uint32_t i = 0; i < n_in; i++) all[i] = *c->operands[i];
    for (uint32_t i = 0; i < n_out; i++) all[n_in + i] = c->results[i];
    bool is_good = o->custom(o->ctx, name, all, (int)n_in, all + n_in, (int)n_out);
    tn_free(all);
    return is_good || eval_error(c->state, TN_ERR_UNSUPPORTED, "the callback of \"%s\" failed", name);
}

bool eval_custom(eval_args *c) {
    const attr *name = attr_find(&c->node->attrs, ATTR_name);
    const char *text = name && name->text ? name->text : "";
    if (!c->state->options->custom)
        return eval_error(c->state, TN_ERR_UNSUPPORTED, "the interpreter was given no callback for \"%s\"", text);
    for (uint32_t i = 0; i < c->node->n_results; i++)
        if (!eval_tensor_alloc(c->state, &c->results[i])) return false;
    if (!run_custom(c, text)) return false;
    for (uint32_t i = 0; i < c->node->n_results; i++) {
        eval_tensor bare = c->results[i]; /* the callback's results count as their absolute values */
        bare.magnitude = NULL;
        if (c->results[i].magnitude) eval_read_magnitudes(&bare, 0, bare.n, c->results[i].magnitude);
    }
    return true;
}

static const char *message_of(eval_args *c) {
    const attr *message = attr_find(&c->node->attrs, ATTR_message);
    return message && message->text ? message->text : "";
}

bool eval_assert(eval_args *c) {
    if (!is_true(c->operands[1])) eval_fault(c->state, TN_ERR_ASSERT, "%s", message_of(c));
    return true;
}

bool eval_print(eval_args *c) {
    const eval_options *o = c->state->options;
    if (o->print) o->print(o->ctx, message_of(c), c->operands[1]);
    return true;
}
