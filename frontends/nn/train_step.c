/* The graphs of a trainer: step, accumulation of gradients, evaluation.
 *
 * in:  a trainer with its states
 * out: a module whose main takes states and a batch, and gives loss, metrics and next states
 * law: states are inputs paired with results; a guarded step whose gradients are not finite gives every state but the
 *      random one and the loss scale back as it was
 *
 * The way to main: one side of forward becomes a function `objective` of the trained parameters, its gradients another
 * one, and that is copied into main, where the optimizer follows.
 */
#include "frontends/nn/inline.h"
#include "frontends/nn/trainer.h"

#include "ir/build.h"
#include "runtime/diag.h"

#include <stdio.h>
#include <string.h>

typedef struct train_graph {
    const tn_trainer *t;
    nn_run_kind kind;
    tn_module *module;
    const tn_graph *forward; /* of the copy */
    tn_graph *main;
    sizes_fixed sizes;
    nn_port *in, *out;     /* of main's parameters and results so far */
    tn_val *states, *next; /* of main; invalid: not asked for, does not change */
    tn_val rate;
} train_graph;

static void *allocate(train_graph *b, size_t n, size_t bytes) {
    void *p = arena_alloc(&b->module->memory, n + 1, bytes);
    if (!p) module_no_memory(b->module);
    return p;
}

static bool failed(const train_graph *b) { return b->module->error.status != TN_OK; }

/* ---- Parameters and results of main ----------------------------------------------------------------------- */

static tn_type type_of_tensor(train_graph *b, const tn_tensor *tensor) {
    tn_type type = type_make(tensor->dtype, 0, NULL);
    type.rank = (uint8_t)tensor->rank;
    for (int i = 0; i < tensor->rank; i++) type.dims[i] = dim_const(b->module->dims, tensor->shape[i]);
    return type;
}

static tn_val add_param(train_graph *b, const char *name, tn_type type, nn_port port) {
    size_t i = b->main->n_params;
    value_id v = graph_add_param(b->main, name, &type, BINDING_RUN);
    if (v == VALUE_NONE) return BUILD_INVALID;
    b->in[i] = port;
    return (tn_val){b->main, v};
}

static tn_val state(train_graph *b, int i) {
    if (!tn_is_valid(b->states[i]) && !failed(b))
        b->states[i] =
            add_param(b, b->t->states[i].name, type_of_tensor(b, &b->t->states[i].tensor), (nn_port){NN_PORT_STATE, i});
    return b->states[i];
}

/* By a name that no input of the model has. */
static tn_val rate(train_graph *b) {
    const char *name = "learning_rate";
    for (size_t i = 0; i < b->forward->n_params; i++)
        if (strcmp(b->forward->params[i].name, name) == 0) name = "trainer.rate";
    if (!tn_is_valid(b->rate) && !failed(b))
        b->rate = add_param(b, name, type_scalar(TN_F64), (nn_port){NN_PORT_RATE, 0});
    return b->rate;
}

static void add_result(train_graph *b, const char *name, tn_val v, nn_port port) {
    size_t i = b->main->n_results;
    if (tn_is_valid(v) && graph_add_result(b->main, name, v.id, -1)) b->out[i] = port;
}

/* What stands for parameter i of forward in main. */
static tn_val forward_arg(train_graph *b, size_t i) {
    const param *p = &b->forward->params[i];
    int number = b->t->state_of[i];
    if (number >= 0) return state(b, number);
    if (b->t->m->params[i].role == NN_TRAINING) {
        const bool training = b->kind != NN_RUN_EVALUATE;
        return tn_constant(b->main, TN_BOOL, TN_SCALAR, &training);
    }
    return add_param(b, p->name, sizes_type(&b->sizes, b->module, p->type),
                     (nn_port){NN_PORT_BATCH, b->t->batch_of[i]});
}

/* ---- The objective ------------------------------------------------------------------------------------------ */

static tn_val plus(tn_val sum, tn_val v) { return tn_is_valid(sum) ? tn_add(sum, v) : v; }

/* l1 * sum |w| + l2 * sum w^2 */
static tn_val add_penalty(tn_val sum, tn_val w, tn_nn_penalty penalty) {
    if (penalty.l1 != 0) sum = plus(sum, tn_mul_scalar(tn_sum(tn_abs(w), TN_NO_INTS), penalty.l1));
    if (penalty.l2 != 0) sum = plus(sum, tn_mul_scalar(tn_sum(tn_mul(w, w), TN_NO_INTS), penalty.l2));
    return sum;
}

/* All losses and penalties: args and results are those of forward. */
static tn_val total_loss(const train_graph *b, const tn_val *args, const tn_val *results) {
    const tn_model *m = b->t->m;
    tn_val sum = BUILD_INVALID;
    for (size_t r = 0; r < b->forward->n_results; r++)
        if (m->results[r].role == NN_LOSS) sum = plus(sum, results[r]);
    for (size_t i = 0; i < b->forward->n_params; i++)
        if (m->params[i].role == NN_PARAMETER && !m->params[i].frozen && tn_is_valid(args[i]))
            sum = add_penalty(sum, args[i], m->params[i].penalty);
    return sum;
}

/* The side of forward that the kind of run is about. */
static bool find_side(train_graph *b, nn_side *side) {
    const tn_model *m = b->t->m;
    size_t training = SIZE_MAX;
    bool *wanted = allocate(b, b->forward->n_results, sizeof *wanted);
    if (!wanted) return false;
    for (size_t r = 0; r < b->forward->n_results; r++) {
        nn_result_role role = m->results[r].role;
        wanted[r] = role == NN_LOSS || role == NN_METRIC || (role == NN_NEXT && b->kind != NN_RUN_EVALUATE);
    }
    for (size_t i = 0; i < b->forward->n_params; i++)
        if (m->params[i].role == NN_TRAINING) training = i;
    return nn_side_find(side, b->forward, training, b->kind != NN_RUN_EVALUATE, wanted) || module_no_memory(b->module);
}

static tn_val copy_param(train_graph *b, tn_graph *to, const char *name, tn_type type) {
    type = sizes_type(&b->sizes, b->module, type);
    value_id v = graph_add_param(to, name, &type, BINDING_RUN);
    return v == VALUE_NONE ? BUILD_INVALID : (tn_val){to, v};
}

/* objective: trained parameters first, then what else the side needs, then the loss scale if there is one. Results: the
 * loss times the scale; the loss; those of forward that are wanted. outer[i]: main's argument i. */
static tn_graph *make_objective(train_graph *b, const nn_side *side, tn_val *outer, size_t *n_outer) {
    const tn_trainer *t = b->t;
    tn_graph *f = module_add_graph(b->module, "objective");
    size_t n = b->forward->n_params;
    tn_val *args = allocate(b, n, sizeof *args), *results = allocate(b, b->forward->n_results, sizeof *results);
    if (!f || !args || !results) return NULL;
    for (size_t i = 0; i < n; i++) args[i] = BUILD_INVALID;
    *n_outer = 0;
    for (size_t k = 0; k < t->n_trained; k++) {
        const param *p = &b->forward->params[t->trained[k].param];
        args[t->trained[k].param] = copy_param(b, f, p->name, p->type);
        outer[(*n_outer)++] = state(b, t->trained[k].parameter);
    }
    const bool is_true = true;
    for (size_t i = 0; i < n && !failed(b); i++) {
        if (tn_is_valid(args[i]) || !nn_side_needs(side, i)) continue;
        if (t->m->params[i].role == NN_TRAINING) {
            args[i] = tn_constant(f, TN_BOOL, TN_SCALAR, &is_true);
            continue;
        }
        args[i] = copy_param(b, f, b->forward->params[i].name, b->forward->params[i].type);
        outer[(*n_outer)++] = forward_arg(b, i);
    }
    if (failed(b) || !nn_side_copy(side, f, args, &b->sizes, results)) return NULL;
    tn_val loss = total_loss(b, args, results), objective = loss;
    if (t->scale >= 0) {
        tn_val scale = copy_param(b, f, "objective.scale", type_scalar(t->m->dtype));
        outer[(*n_outer)++] = state(b, t->scale);
        objective = tn_mul(loss, scale);
    }
    tn_output(f, "objective", objective);
    tn_output(f, "objective.loss", loss);
    for (size_t r = 0; r < b->forward->n_results; r++)
        if (tn_is_valid(results[r])) tn_output(f, b->forward->results[r].name, results[r]);
    return failed(b) ? NULL : f;
}

/* Loss, metrics and next states go to main; gradients to `gradients`. */
static bool differentiate(train_graph *b, tn_val *loss, tn_val *gradients) {
    const tn_trainer *t = b->t;
    nn_side side;
    size_t n_outer;
    tn_val *outer = allocate(b, b->forward->n_params + t->n_trained + 1, sizeof *outer);
    int64_t *wrt = allocate(b, t->n_trained, sizeof *wrt);
    if (!outer || !wrt || !find_side(b, &side)) return false;
    tn_graph *f = make_objective(b, &side, outer, &n_outer);
    for (size_t k = 0; k < t->n_trained; k++) wrt[k] = (int64_t)k;
    tn_graph *both = f ? tn_value_and_grad(f, ((tn_ints){(int)t->n_trained, wrt})) : NULL;
    tn_val *results = both ? allocate(b, both->n_results, sizeof *results) : NULL;
    bool ok = results && nn_inline(b->main, both, outer, results);
    if (ok) {
        size_t at = 1;
        *loss = results[at++];
        add_result(b, "loss", *loss, (nn_port){NN_PORT_LOSS, 0});
        for (size_t r = 0; r < b->forward->n_results; r++) {
            if (!side.wanted[r]) continue;
            tn_val v = results[at++];
            for (int i = 0; i < t->n_metrics; i++)
                if (t->metrics[i].result == r) add_result(b, t->metrics[i].name, v, (nn_port){NN_PORT_METRIC, i});
            for (size_t i = 0; i < b->forward->n_params; i++)
                if (t->m->params[i].role == NN_STATE && t->m->params[i].next == r) b->next[t->state_of[i]] = v;
        }
        for (size_t k = 0; k < t->n_trained; k++) gradients[k] = results[at + k];
    }
    nn_side_free(&side);
    return ok;
}

/* ---- Gradients and updates ----------------------------------------------------------------------------------- */

static tn_val zeros_like(tn_val v) {
    tn_type type = tn_type_of(v);
    return tn_is_valid(v) ? tn_broadcast_to(tn_scalar(v.graph, (tn_dtype)type.dtype, 0), type.rank, type.dims) : v;
}

/* Takes the loss scale off, and adds what earlier batches left: the mean over all of them. */
static void gather_gradients(train_graph *b, tn_val *gradients) {
    const tn_trainer *t = b->t;
    tn_dtype dtype = t->m->dtype;
    tn_val factor = BUILD_INVALID;
    if (t->scale >= 0) factor = tn_div(tn_scalar(b->main, dtype, 1), state(b, t->scale));
    for (size_t k = 0; k < t->n_trained; k++) {
        const nn_trained *trained = &t->trained[k];
        if (tn_is_valid(factor)) gradients[k] = tn_mul(gradients[k], factor);
        if (trained->gradient < 0) continue;
        tn_val sum = tn_add(state(b, trained->gradient), tn_mul_scalar(gradients[k], 1.0 / t->o.accumulate));
        gradients[k] = sum;
        b->next[trained->gradient] = b->kind == NN_RUN_ACCUMULATE ? sum : zeros_like(sum);
    }
}

/* Norm of all gradients as one vector. */
static tn_val norm_of(const train_graph *b, const tn_val *gradients) {
    tn_val sum = BUILD_INVALID;
    for (size_t k = 0; k < b->t->n_trained; k++)
        sum = plus(sum, tn_sum(tn_mul(gradients[k], gradients[k]), TN_NO_INTS));
    return tn_sqrt(sum);
}

static tn_val clip(const tn_trainer *t, tn_val g, tn_val factor) {
    tn_dtype dtype = t->m->dtype;
    if (t->o.clip_value > 0)
        g = tn_clamp(tn_scalar(g.graph, dtype, -t->o.clip_value), g, tn_scalar(g.graph, dtype, t->o.clip_value));
    return tn_is_valid(factor) ? tn_mul(g, factor) : g;
}

static void update(train_graph *b, size_t k, tn_val gradient, tn_val step) {
    const tn_trainer *t = b->t;
    const nn_trained *trained = &t->trained[k];
    const param *p = &b->forward->params[trained->param];
    bool decays = !t->o.decays || t->o.decays(t->o.decays_ctx, p->name, p->type.rank);
    nn_update u = {.o = &t->o.optimizer,
                   .weight_decay = decays ? t->o.optimizer.weight_decay : 0,
                   .rate = rate(b),
                   .step = step,
                   .p = state(b, trained->parameter),
                   .g = gradient};
    for (int i = 0; i < trained->n_slots; i++) u.slots[i] = state(b, trained->slots[i]);
    tn_val next = b->next[trained->parameter] = nn_optimizer_step(&u);
    for (int i = 0; i < trained->n_slots; i++) b->next[trained->slots[i]] = u.slots[i];
    if (trained->average >= 0) {
        double keep = t->o.ema_decay;
        b->next[trained->average] =
            tn_add(tn_mul_scalar(state(b, trained->average), keep), tn_mul_scalar(next, 1 - keep));
    }
}

/* After enough good steps the scale is doubled, after a bad one halved. */
static void adapt_scale(train_graph *b, tn_val good) {
    const tn_trainer *t = b->t;
    const int64_t patience = 2000;
    tn_graph *g = b->main;
    tn_val scale = state(b, t->scale), count = state(b, t->good_steps), zero = tn_scalar_int(g, TN_I64, 0);
    tn_val more = tn_add(count, tn_scalar_int(g, TN_I64, 1));
    tn_val is_time = tn_greater_equal(more, tn_scalar_int(g, TN_I64, patience));
    tn_val grown = tn_select(is_time, tn_min_scalar(tn_mul_scalar(scale, 2), 0x1p24), scale);
    b->next[t->scale] = tn_select(good, grown, tn_max_scalar(tn_mul_scalar(scale, 0.5), 1));
    b->next[t->good_steps] = tn_select(good, tn_select(is_time, zero, more), zero);
}

static tn_val is_finite(tn_val x) {
    return tn_equal(tn_sub(x, x), tn_scalar(x.graph, (tn_dtype)tn_type_of(x).dtype, 0));
}

/* States as they were, unless all is well; but sums of gradients are as they have to be. */
static void guard(train_graph *b, tn_val good) {
    const tn_trainer *t = b->t;
    for (size_t i = 0; i < t->n_states && !failed(b); i++) {
        bool is_sum = false;
        for (size_t k = 0; k < t->n_trained; k++) is_sum |= t->trained[k].gradient == (int)i;
        if (tn_is_valid(b->next[i]) && !is_sum) b->next[i] = tn_select(good, b->next[i], b->states[i]);
    }
}

/* The kernel that makes a gradient writes it and nothing else, and one kernel a parameter does the rest: roots and
 * quotients between the tiles of a product take longer than reading the gradient again (a step of an MLP 784-512-512-10
 * with Adam 5.1 ms in place of 6.0). A guarded one waits by itself, as it depends on whether all are finite. */
static tn_val apart(tn_val g, tn_val good) {
    if (!tn_is_valid(good)) return tn_apply(TN_HERE, NULL, TN_OP_barrier, &g, 1, NULL);
    return tn_select(good, g, tn_scalar(g.graph, (tn_dtype)tn_type_of(g).dtype, 0));
}

static void optimise(train_graph *b, tn_val loss, tn_val *gradients) {
    const tn_trainer *t = b->t;
    tn_dtype dtype = t->m->dtype;
    bool is_guarded = !t->o.unguarded || t->scale >= 0;
    tn_val norm = BUILD_INVALID, factor = BUILD_INVALID, good = BUILD_INVALID;
    if (is_guarded || t->o.clip_norm > 0) norm = norm_of(b, gradients);
    if (is_guarded) good = is_finite(tn_add(norm, loss));
    if (t->o.clip_norm > 0)
        factor = tn_min_scalar(tn_div(tn_scalar(b->main, dtype, t->o.clip_norm), tn_add_scalar(norm, 1e-6)), 1);
    tn_val next_step = tn_add(state(b, t->step), tn_scalar_int(b->main, TN_I64, 1));
    tn_val step = tn_convert(next_step, TN_F64);
    for (size_t k = 0; k < t->n_trained && !failed(b); k++)
        update(b, k, clip(t, apart(gradients[k], good), factor), step);
    b->next[t->step] = next_step;
    add_result(b, "gradient_norm", norm, (nn_port){NN_PORT_NORM, 0});
    if (!is_guarded) return;
    guard(b, good);
    if (t->scale >= 0) adapt_scale(b, good);
    add_result(b, "is_finite", good, (nn_port){NN_PORT_GOOD, 0});
}

/* The next step's random numbers: see nn_random_bits. */
static void advance_random(train_graph *b) {
    const uint64_t one[4] = {0, 0, (uint64_t)1 << 20, 0};
    int i = b->t->random;
    if (tn_is_valid(b->states[i]))
        b->next[i] = tn_add(b->states[i], tn_constant(b->main, TN_U64, TN_SHAPE(TN_SIZE(4)), one));
}

/* ---- The three programs ----------------------------------------------------------------------------------------- */

static bool build_training(train_graph *b) {
    tn_val loss, *gradients = allocate(b, b->t->n_trained, sizeof *gradients);
    if (!gradients || !differentiate(b, &loss, gradients)) return false;
    gather_gradients(b, gradients);
    if (b->kind == NN_RUN_STEP)
        optimise(b, loss, gradients);
    else if (!b->t->o.unguarded)
        guard(b, is_finite(loss));
    advance_random(b);
    for (size_t i = 0; i < b->t->n_states && !failed(b); i++) {
        size_t at = b->main->n_results;
        char name[2 * NN_PATH_BYTES];
        if (!tn_is_valid(b->next[i])) continue;
        snprintf(name, sizeof name, "%s.next", b->t->states[i].name);
        tn_update(b->main, name, b->states[i], b->next[i]);
        b->out[at] = (nn_port){NN_PORT_STATE, (int)i};
    }
    return !failed(b);
}

/* By the averages of parameters where there are any. */
static bool build_evaluation(train_graph *b) {
    const tn_trainer *t = b->t;
    nn_side side;
    size_t n = b->forward->n_params;
    tn_val *args = allocate(b, n, sizeof *args), *results = allocate(b, b->forward->n_results, sizeof *results);
    if (!args || !results || !find_side(b, &side)) return false;
    for (size_t i = 0; i < n; i++) {
        args[i] = BUILD_INVALID;
        bool is_parameter = t->m->params[i].role == NN_PARAMETER; /* a penalty needs those too */
        int average = -1;
        for (size_t k = 0; k < t->n_trained; k++)
            if (t->trained[k].param == i) average = t->trained[k].average;
        if (nn_side_needs(&side, i) || is_parameter) args[i] = average >= 0 ? state(b, average) : forward_arg(b, i);
    }
    bool ok = !failed(b) && nn_side_copy(&side, b->main, args, &b->sizes, results);
    nn_side_free(&side);
    if (!ok) return false;
    add_result(b, "loss", total_loss(b, args, results), (nn_port){NN_PORT_LOSS, 0});
    for (int i = 0; i < t->n_metrics; i++)
        add_result(b, t->metrics[i].name, results[t->metrics[i].result], (nn_port){NN_PORT_METRIC, i});
    return !failed(b);
}

static bool open_graph(train_graph *b, const tn_model_size *sizes) {
    const tn_trainer *t = b->t;
    size_t n_ports = b->forward->n_params + t->n_states + (size_t)t->n_metrics + 8;
    b->main = module_add_graph(b->module, "main");
    b->in = tn_calloc(n_ports, sizeof *b->in);
    b->out = tn_calloc(n_ports, sizeof *b->out);
    b->states = allocate(b, t->n_states, sizeof *b->states);
    b->next = allocate(b, t->n_states, sizeof *b->next);
    if (!b->main || !b->in || !b->out || !b->states || !b->next) return module_no_memory(b->module);
    for (size_t i = 0; i < t->n_states; i++) b->states[i] = b->next[i] = BUILD_INVALID;
    return nn_sizes_take(&b->sizes, b->module, sizes);
}

tn_module *nn_train_graph(const tn_trainer *t, nn_run_kind kind, const tn_model_size *sizes, nn_port **in,
                          nn_port **out, tn_diag *diag) {
    train_graph b = {.t = t, .kind = kind, .module = module_clone(t->m->module), .rate = BUILD_INVALID};
    *in = *out = NULL;
    if (!b.module) {
        diag_fail(diag, TN_ERR_MEMORY, "out of memory");
        return NULL;
    }
    b.forward = module_find(b.module, "forward");
    bool ok = !failed(&b) && b.forward && /* a clone that has failed in part has its error */
              open_graph(&b, sizes) && (kind == NN_RUN_EVALUATE ? build_evaluation(&b) : build_training(&b)) &&
              !failed(&b);
    if (ok) {
        *in = b.in;
        *out = b.out;
        return b.module;
    }
    if (diag) {
        diag_fail(diag, failed(&b) ? b.module->error.status : TN_ERR_INTERNAL, "%s", b.module->error.message);
        diag->file = module_intern(t->m->module, b.module->error.file); /* lives as long as the model */
        diag->line = b.module->error.line;
    }
    tn_free(b.in);
    tn_free(b.out);
    tn_module_free(b.module);
    return NULL;
}
