/* Trainers: their states, and what can be asked of them.
 *
 * in:  a model and options
 * out: a trainer whose states are as they begin
 */
#include "frontends/nn/trainer.h"

#include "ir/eval.h"
#include "runtime/diag.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool no_memory(tn_trainer *t) {
    diag_fail(&t->error, TN_ERR_MEMORY, "out of memory for the trainer");
    return false;
}

/* ---- States ----------------------------------------------------------------------------------------------- */

/* Adds a state over `data`, or, when that is NULL, over zeros of its own. Its number; -1: no memory. */
static int add_state(tn_trainer *t, const char *name, tn_tensor tensor) {
    if (!array_reserve((void **)&t->states, &t->states_capacity, t->n_states + 1, sizeof *t->states)) return -1;
    nn_state *s = &t->states[t->n_states];
    *s = (nn_state){arena_strdup(&t->memory, name), tensor, !tensor.data};
    if (!s->name) return -1;
    if (s->is_owned) {
        int64_t bytes = tn_tensor_bytes(&tensor);
        s->tensor.data = bytes >= 0 ? tn_aligned_alloc(64, bytes > 0 ? (size_t)bytes : 1) : NULL;
        if (!s->tensor.data) return -1;
        memset(s->tensor.data, 0, (size_t)bytes);
    }
    return (int)t->n_states++;
}

static int add_named(tn_trainer *t, const char *kind, const char *name, tn_tensor tensor) {
    char path[2 * NN_PATH_BYTES];
    tensor.data = NULL;
    snprintf(path, sizeof path, "%s.%s", kind, name);
    return add_state(t, path, tensor);
}

static tn_tensor tensor_of_type(const tn_model *m, const tn_type *type) {
    int64_t shape[TN_MAX_RANK] = {0};
    for (int i = 0; i < type->rank; i++) dim_is_const(m->module->dims, type->dims[i], &shape[i]);
    return tn_tensor_of((tn_dtype)type->dtype, NULL, type->rank, shape);
}

static bool add_trained(tn_trainer *t, size_t i) {
    const tn_model *m = t->m;
    const param *p = &m->forward->params[i];
    nn_trained *trained = &t->trained[t->n_trained++];
    nn_slot slots[NN_MAX_SLOTS];
    char kind[64];
    *trained = (nn_trained){.param = i, .parameter = t->state_of[i], .average = -1, .gradient = -1};
    trained->n_slots = nn_optimizer_slots(&t->o.optimizer, m->module->dims, &p->type, slots);
    for (int k = 0; k < trained->n_slots; k++) {
        snprintf(kind, sizeof kind, "optimizer.%s", slots[k].name);
        trained->slots[k] = add_named(t, kind, p->name, tensor_of_type(m, &slots[k].type));
        if (trained->slots[k] < 0) return false;
    }
    tn_tensor like = nn_param_tensor(m, i);
    if (t->o.ema_decay > 0) {
        trained->average = add_named(t, "average", p->name, like);
        if (trained->average < 0) return false;
        memcpy(t->states[trained->average].tensor.data, like.data, (size_t)tn_tensor_bytes(&like));
    }
    if (t->o.accumulate > 1) trained->gradient = add_named(t, "gradient", p->name, like);
    return t->o.accumulate <= 1 || trained->gradient >= 0;
}

/* Parameters and moments first, then what is kept for each trained one, then counters. */
static bool make_states(tn_trainer *t) {
    const tn_model *m = t->m;
    size_t n = t->n_params = m->forward->n_params;
    t->n_results = m->forward->n_results;
    t->state_of = ARENA_ARRAY(&t->memory, int, n + 1);
    t->batch_of = ARENA_ARRAY(&t->memory, int, n + 1);
    t->trained = ARENA_ARRAY(&t->memory, nn_trained, n + 1);
    if (!t->state_of || !t->batch_of || !t->trained) return false;
    for (size_t i = 0; i < n; i++) {
        nn_role role = m->params[i].role;
        t->state_of[i] = t->batch_of[i] = -1;
        if (role == NN_PARAMETER || role == NN_STATE)
            t->state_of[i] = add_state(t, m->forward->params[i].name, nn_param_tensor(m, i));
        if ((role == NN_PARAMETER || role == NN_STATE) && t->state_of[i] < 0) return false;
        if (role == NN_INPUT) t->batch_of[i] = t->n_batch++;
    }
    for (size_t i = 0; i < n; i++)
        if (m->params[i].role == NN_TARGET) t->batch_of[i] = t->n_batch++;
    for (size_t i = 0; i < n; i++)
        if (m->params[i].role == NN_PARAMETER && !m->params[i].frozen && !add_trained(t, i)) return false;
    t->step = add_state(t, "trainer.step", tn_tensor_of(TN_I64, NULL, 0, NULL));
    t->micro = add_state(t, "trainer.batches", tn_tensor_of(TN_I64, NULL, 0, NULL));
    t->random = add_state(t, "trainer.random", tn_tensor_of(TN_U64, NULL, 1, (int64_t[]){4}));
    t->scale = t->good_steps = -1;
    if (t->step < 0 || t->micro < 0 || t->random < 0) return false;
    *(uint64_t *)t->states[t->random].tensor.data = t->o.seed;
    for (size_t i = 0; i < n; i++)
        if (m->params[i].role == NN_RANDOM) t->state_of[i] = t->random;
    if (m->compute != TN_F16) return true;
    t->scale = add_state(t, "trainer.loss_scale", tn_tensor_of(m->dtype, NULL, 0, NULL));
    t->good_steps = add_state(t, "trainer.good_steps", tn_tensor_of(TN_I64, NULL, 0, NULL));
    if (t->scale < 0 || t->good_steps < 0) return false;
    eval_tensor scale = {.dtype = m->dtype, .n = 1, .data = t->states[t->scale].tensor.data};
    eval_store_float(&scale, 0, t->o.loss_scale > 0 ? t->o.loss_scale : 65536);
    return true;
}

static bool make_metrics(tn_trainer *t) {
    const tn_model *m = t->m;
    t->metrics = ARENA_ARRAY(&t->memory, nn_metric, m->forward->n_results + 1);
    if (!t->metrics) return false;
    for (size_t r = 0; r < m->forward->n_results; r++) {
        if (m->results[r].role != NN_METRIC) continue;
        nn_metric *metric = &t->metrics[t->n_metrics++];
        tn_tensor sums = tensor_of_type(m, graph_type(m->forward, m->forward->results[r].value));
        *metric = (nn_metric){arena_strdup(&t->memory, m->forward->results[r].name),
                              arena_strdup(&t->memory, m->results[r].metric),
                              r,
                              (int)tn_tensor_elements(&sums),
                              {NULL, NULL}};
        for (int k = 0; k < 2; k++) metric->sums[k] = ARENA_ARRAY(&t->memory, double, metric->n + 1);
        if (!metric->name || !metric->kind || !metric->sums[0] || !metric->sums[1]) return false;
    }
    return true;
}

/* ---- Options ------------------------------------------------------------------------------------------------ */

static bool check_options(tn_trainer *t) {
    const tn_trainer_options *o = &t->o;
    const tn_optimizer *a = &o->optimizer;
    char text[200], more[200];
    const char *fault = nn_optimizer_exists(a->name) ? nn_optimizer_fault(a, text, sizeof text) : NULL;
    const char *unscheduled = nn_schedule_fault(&o->schedule, more, sizeof more);
    size_t n_losses = 0, n_trained = 0;
    for (size_t r = 0; r < t->m->forward->n_results; r++) n_losses += t->m->results[r].role == NN_LOSS;
    for (size_t i = 0; i < t->m->forward->n_params; i++)
        n_trained += t->m->params[i].role == NN_PARAMETER && !t->m->params[i].frozen;
    tn_status status = TN_ERR_ARGUMENT;
    if (!nn_optimizer_exists(a->name))
        diag_fail(&t->error, status, "no optimizer is called \"%s\" (%s)", a->name, nn_optimizer_names());
    else if (fault)
        diag_fail(&t->error, status, "optimizer %s: %s", a->name, fault);
    else if (unscheduled)
        diag_fail(&t->error, status, "%s", unscheduled);
    else if (!(o->clip_norm >= 0 && o->clip_value >= 0 && o->accumulate >= 0 && o->loss_scale >= 0))
        diag_fail(&t->error, status,
                  "clip_norm is %g, clip_value %g, accumulate %d, loss_scale %g: they must be at least 0", o->clip_norm,
                  o->clip_value, o->accumulate, o->loss_scale);
    else if (!(o->ema_decay >= 0 && o->ema_decay < 1))
        diag_fail(&t->error, status, "ema_decay is %g, it must be at least 0 and below 1", o->ema_decay);
    else if (n_losses == 0)
        diag_fail(&t->error, status, "the model %s has no loss (tn_model_loss)", t->m->module->name);
    else if (n_trained == 0)
        diag_fail(&t->error, status, "the model %s has no parameter to train", t->m->module->name);
    else
        return true;
    return false;
}

/* ---- Life ------------------------------------------------------------------------------------------------------- */

static bool is_initialised(const tn_model *m) {
    for (size_t i = 0; i < m->forward->n_params; i++)
        if ((m->params[i].role == NN_PARAMETER || m->params[i].role == NN_STATE) && !m->params[i].data) return false;
    return true;
}

static bool open_trainer(tn_trainer *t) {
    if (!t->o.optimizer.name) t->o.optimizer = tn_optimizer_of("adam", 1e-3);
    if (!check_options(t)) return false;
    if (!is_initialised(t->m) && nn_initialise_model(t->m, t->o.seed, t->o.pool, &t->error) != TN_OK) return false;
    if (t->o.accumulate == 0) t->o.accumulate = 1;
    if (!make_states(t) || !make_metrics(t)) return no_memory(t);
    return nn_run_check(t);
}

tn_trainer *tn_trainer_new(tn_model *m, const tn_trainer_options *options, tn_diag *diag) {
    if (!m || tn_model_error(m)) {
        diag_fail(diag, TN_ERR_ARGUMENT, "there is no model");
        if (m && diag) *diag = *tn_model_error(m);
        return NULL;
    }
    tn_trainer *t = tn_calloc(1, sizeof *t);
    if (!t) {
        diag_fail(diag, TN_ERR_MEMORY, "out of memory");
        return NULL;
    }
    t->m = m;
    if (options) t->o = *options;
    if (t->o.compile) t->compile = *t->o.compile;
    if (t->o.pool) t->compile.pool = t->o.pool;
    if (open_trainer(t)) return t;
    if (diag) *diag = t->error;
    tn_trainer_free(t);
    return NULL;
}

void tn_trainer_free(tn_trainer *t) {
    if (!t) return;
    nn_run_close_all(t);
    for (size_t i = 0; i < t->n_states; i++)
        if (t->states[i].is_owned) tn_free(t->states[i].tensor.data);
    tn_free(t->states);
    arena_free(&t->memory);
    tn_free(t);
}

/* ---- Questions --------------------------------------------------------------------------------------------------- */

const tn_diag *tn_trainer_error(const tn_trainer *t) { return t && t->error.status != TN_OK ? &t->error : NULL; }

int tn_trainer_n_metrics(const tn_trainer *t) { return t ? t->n_metrics : 0; }

static nn_metric *metric_at(const tn_trainer *t, int i) {
    return t && i >= 0 && i < t->n_metrics ? &t->metrics[i] : NULL;
}

const char *tn_trainer_metric_name(const tn_trainer *t, int i) {
    return metric_at(t, i) ? metric_at(t, i)->name : NULL;
}

double tn_trainer_metric(const tn_trainer *t, int i, bool of_evaluation) {
    const nn_metric *metric = metric_at(t, i);
    return metric ? tn_nn_metric_finish(metric->kind, metric->sums[of_evaluation], metric->n) : NAN;
}

void tn_trainer_reset_metrics(tn_trainer *t, bool of_evaluation) {
    for (int i = 0; t && i < t->n_metrics; i++)
        for (int k = 0; k < t->metrics[i].n; k++) t->metrics[i].sums[of_evaluation][k] = 0;
}

int tn_trainer_n_states(const tn_trainer *t) { return t ? (int)t->n_states : 0; }

const char *tn_trainer_state(const tn_trainer *t, int i, tn_tensor *tensor) {
    if (!t || i < 0 || (size_t)i >= t->n_states) return NULL;
    if (tensor) *tensor = t->states[i].tensor;
    return t->states[i].name;
}

int64_t tn_trainer_steps(const tn_trainer *t) { return t ? *(const int64_t *)t->states[t->step].tensor.data : 0; }

size_t tn_trainer_state_bytes(const tn_trainer *t) {
    size_t bytes = 0;
    for (size_t i = 0; t && i < t->n_states; i++) bytes += (size_t)tn_tensor_bytes(&t->states[i].tensor);
    return bytes;
}

size_t tn_trainer_arena_bytes(const tn_trainer *t) { return t && t->last ? tn_exec_arena_bytes(t->last->exec) : 0; }

tn_program *tn_trainer_program(const tn_trainer *t) { return t && t->last ? t->last->program : NULL; }
