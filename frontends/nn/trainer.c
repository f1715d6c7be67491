/* Trainers: their states, and running steps.
 *
 * in:  a model and options; then batches
 * out: states that move, losses, metrics
 * law: a step allocates nothing once a program has run with its sizes; what failed before anything ran changes no state
 */
#include "frontends/nn/trainer.h"

#include "ir/dtype.h"
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
    size_t n = m->forward->n_params;
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
    const char *fault = nn_optimizer_exists(a->name) ? nn_optimizer_fault(a) : NULL;
    size_t n_losses = 0, n_trained = 0;
    for (size_t r = 0; r < t->m->forward->n_results; r++) n_losses += t->m->results[r].role == NN_LOSS;
    for (size_t i = 0; i < t->m->forward->n_params; i++)
        n_trained += t->m->params[i].role == NN_PARAMETER && !t->m->params[i].frozen;
    tn_status status = TN_ERR_ARGUMENT;
    if (!nn_optimizer_exists(a->name))
        diag_fail(&t->error, status, "no optimizer is called \"%s\" (%s)", a->name, nn_optimizer_names());
    else if (fault)
        diag_fail(&t->error, status, "optimizer %s: %s", a->name, fault);
    else if (isnan(tn_schedule_factor(&o->schedule, o->schedule.warmup)))
        diag_fail(&t->error, status, "no schedule is called \"%s\" (constant, step, linear, cosine, one_cycle)",
                  o->schedule.kind ? o->schedule.kind : "");
    else if (!(o->clip_norm >= 0 && o->clip_value >= 0 && o->accumulate >= 0))
        diag_fail(&t->error, status, "clip_norm, clip_value and accumulate must be at least 0");
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

/* The list is the caller's; a later compilation needs it too. */
static bool copy_sizes(tn_trainer *t) {
    size_t n = 0;
    while (t->o.sizes && t->o.sizes[n].symbol) n++;
    tn_model_size *copy = ARENA_ARRAY(&t->memory, tn_model_size, n + 1);
    if (!copy) return false;
    for (size_t i = 0; i < n; i++) {
        copy[i] = (tn_model_size){arena_strdup(&t->memory, t->o.sizes[i].symbol), t->o.sizes[i].value};
        if (!copy[i].symbol) return false;
    }
    t->o.sizes = n ? copy : NULL;
    return true;
}

/* ---- Programs ------------------------------------------------------------------------------------------------- */

static void close_run(nn_run *r) {
    tn_exec_free(r->exec);
    tn_program_free(r->program);
    tn_free(r->in);
    tn_free(r->out);
    tn_free(r->inputs);
    tn_free(r->outputs);
    tn_free(r->results);
    *r = (nn_run){0};
}

/* Fixed ends of inputs: states and rate. Batches come with each call. */
static bool bind_run(tn_trainer *t, nn_run *r) {
    r->n_inputs = tn_program_n_inputs(r->program);
    r->n_outputs = tn_program_n_outputs(r->program);
    r->inputs = tn_calloc((size_t)r->n_inputs + 1, sizeof *r->inputs);
    r->outputs = tn_calloc((size_t)r->n_outputs + 1, sizeof *r->outputs);
    r->results = tn_calloc((size_t)r->n_outputs + 1, sizeof *r->results);
    if (!r->inputs || !r->outputs || !r->results) return no_memory(t);
    for (int i = 0; i < r->n_inputs; i++) {
        if (r->in[i].kind == NN_PORT_STATE) r->inputs[i] = t->states[r->in[i].number].tensor;
        if (r->in[i].kind == NN_PORT_RATE) r->inputs[i] = tn_tensor_of(TN_F64, &t->rate, 0, NULL);
    }
    return true;
}

static bool open_run(tn_trainer *t, nn_run_kind kind) {
    nn_run *r = &t->runs[kind];
    if (r->exec) return true;
    tn_module *m = nn_train_graph(t, kind, &r->in, &r->out, &t->error);
    if (!m) return false;
    tn_compile_options options = t->o.compile ? *t->o.compile : (tn_compile_options){0};
    if (t->o.pool) options.pool = t->o.pool;
    r->program = tn_compile_module(m, &options);
    if (!r->program && tn_module_error(m)) {
        t->error = *tn_module_error(m);
        t->error.file = module_intern(t->m->module, t->error.file); /* the module's dies with it */
    }
    tn_module_free(m);
    if (!r->program) return t->error.status == TN_OK ? no_memory(t) : false;
    r->exec = tn_exec_new(r->program, &(tn_exec_options){.pool = t->o.pool});
    if (r->exec ? bind_run(t, r) : no_memory(t)) return true;
    close_run(r);
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
    if (!is_initialised(t->m) && tn_model_initialise(t->m, t->o.seed, &t->error) != TN_OK) return false;
    if (t->o.accumulate == 0) t->o.accumulate = 1;
    if (!copy_sizes(t) || !make_states(t) || !make_metrics(t)) return no_memory(t);
    return open_run(t, NN_RUN_STEP);
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
    if (open_trainer(t)) return t;
    if (diag) *diag = t->error;
    tn_trainer_free(t);
    return NULL;
}

void tn_trainer_free(tn_trainer *t) {
    if (!t) return;
    for (int k = 0; k < NN_RUNS; k++) close_run(&t->runs[k]);
    for (size_t i = 0; i < t->n_states; i++)
        if (t->states[i].is_owned) tn_free(t->states[i].tensor.data);
    tn_free(t->states);
    arena_free(&t->memory);
    tn_free(t);
}

/* ---- Running ---------------------------------------------------------------------------------------------------- */

static double scalar_of(const tn_tensor *x) {
    eval_tensor t = {.dtype = x->dtype, .n = 1, .data = x->data};
    return eval_load_float(&t, 0);
}

static int64_t *counter(const tn_trainer *t, int state) { return t->states[state].tensor.data; }

const char *nn_batch_name(const tn_trainer *t, int number) {
    for (size_t i = 0; i < t->m->forward->n_params; i++)
        if (t->batch_of[i] == number) return t->m->forward->params[i].name;
    return "";
}

static tn_status wrong_batch(tn_trainer *t, int n) {
    char names[256] = "";
    line list = {names, sizeof names, 0};
    for (int i = 0; i < t->n_batch; i++) line_add(&list, "%s%s", i ? ", " : "", nn_batch_name(t, i));
    return diag_fail(&t->error, TN_ERR_ARGUMENT, "a batch has %d tensors (%s), not %d", t->n_batch, names, n);
}

/* Adds the sums that a run has given. */
static void add_sums(nn_metric *metric, const tn_tensor *sums, int of) {
    eval_tensor t = {.dtype = sums->dtype, .n = metric->n, .data = sums->data};
    for (int i = 0; i < metric->n; i++) metric->sums[of][i] += eval_load_float(&t, i);
}

static void take_results(tn_trainer *t, const nn_run *r, int of, tn_step_report *report) {
    for (int i = 0; i < r->n_outputs; i++) {
        const tn_tensor *x = &r->results[i];
        switch (r->out[i].kind) {
        case NN_PORT_LOSS: report->loss = scalar_of(x); break;
        case NN_PORT_NORM: report->gradient_norm = scalar_of(x); break;
        case NN_PORT_GOOD: report->is_skipped = !*(const uint8_t *)x->data; break;
        default: break;
        }
    }
    for (int i = 0; i < r->n_outputs && !report->is_skipped; i++)
        if (r->out[i].kind == NN_PORT_METRIC) add_sums(&t->metrics[r->out[i].number], &r->results[i], of);
}

static tn_status run(tn_trainer *t, nn_run_kind kind, const tn_tensor *batch, int n, tn_step_report *report) {
    nn_run *r = &t->runs[kind];
    t->error = (tn_diag){.status = TN_OK};
    if (n != t->n_batch || (n > 0 && !batch)) return wrong_batch(t, n);
    if (!open_run(t, kind)) return t->error.status;
    for (int i = 0; i < r->n_inputs; i++)
        if (r->in[i].kind == NN_PORT_BATCH) r->inputs[i] = batch[r->in[i].number];
    memcpy(r->results, r->outputs, (size_t)r->n_outputs * sizeof *r->results);
    tn_status status = tn_exec_run(r->exec, r->inputs, r->n_inputs, r->results, r->n_outputs);
    if (status != TN_OK) {
        if (tn_exec_error(r->exec)) t->error = *tn_exec_error(r->exec);
        return status;
    }
    take_results(t, r, kind == NN_RUN_EVALUATE, report);
    return TN_OK;
}

tn_status tn_trainer_step(tn_trainer *t, const tn_tensor *batch, int n, tn_step_report *report) {
    tn_step_report own;
    if (!t) return TN_ERR_ARGUMENT;
    if (!report) report = &own;
    int64_t *batches = counter(t, t->micro), step = *counter(t, t->step);
    bool is_step = *batches + 1 >= t->o.accumulate;
    t->rate = t->o.optimizer.learning_rate * tn_schedule_factor(&t->o.schedule, step);
    *report = (tn_step_report){.loss = NAN, .gradient_norm = NAN, .learning_rate = t->rate};
    tn_status status = run(t, is_step ? NN_RUN_STEP : NN_RUN_ACCUMULATE, batch, n, report);
    report->step = *counter(t, t->step);
    if (status != TN_OK) return status;
    *batches = is_step ? 0 : *batches + 1;
    if (!report->is_skipped || t->o.skip_nonfinite || t->scale >= 0) return TN_OK;
    return diag_fail(&t->error, TN_ERR_ASSERT,
                     "after %lld steps the loss is %g and the norm of the gradients %g: the step was not made",
                     (long long)report->step, report->loss, report->gradient_norm);
}

tn_status tn_trainer_evaluate(tn_trainer *t, const tn_tensor *batch, int n, tn_step_report *report) {
    tn_step_report own;
    if (!t) return TN_ERR_ARGUMENT;
    if (!report) report = &own;
    *report = (tn_step_report){.loss = NAN, .gradient_norm = NAN, .learning_rate = NAN};
    report->step = *counter(t, t->step);
    return run(t, NN_RUN_EVALUATE, batch, n, report);
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

int64_t tn_trainer_steps(const tn_trainer *t) { return t ? *counter(t, t->step) : 0; }

size_t tn_trainer_state_bytes(const tn_trainer *t) {
    size_t bytes = 0;
    for (size_t i = 0; t && i < t->n_states; i++) bytes += (size_t)tn_tensor_bytes(&t->states[i].tensor);
    return bytes;
}

size_t tn_trainer_arena_bytes(const tn_trainer *t) {
    return t && t->runs[NN_RUN_STEP].exec ? tn_exec_arena_bytes(t->runs[NN_RUN_STEP].exec) : 0;
}

tn_program *tn_trainer_program(const tn_trainer *t) { return t ? t->runs[NN_RUN_STEP].program : NULL; }
