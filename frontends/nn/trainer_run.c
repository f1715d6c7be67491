/* The programs of a trainer, and steps.
 *
 * in:  a trainer, batches
 * out: states that move, losses, metrics
 * law: a step allocates nothing once it has been made with a batch of its sizes; what failed before anything ran
 *      changes no state; the size of a batch chooses the program, and all programs compute the same
 */
#include "frontends/nn/trainer.h"

#include "ir/dtype.h"
#include "ir/eval.h"
#include "ir/sizes.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool no_memory(tn_trainer *t) {
    diag_fail(&t->error, TN_ERR_MEMORY, "out of memory for the trainer");
    return false;
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
    *r = (nn_run){.exec = NULL};
}

void nn_run_close_all(tn_trainer *t) {
    for (int kind = 0; kind < NN_RUNS; kind++)
        for (int i = 0; i < NN_PROGRAMS; i++) close_run(&t->runs[kind][i]);
}

bool nn_run_check(tn_trainer *t) {
    nn_port *in, *out;
    tn_module *m = nn_train_graph(t, NN_RUN_STEP, NULL, &in, &out, &t->error);
    tn_free(in);
    tn_free(out);
    tn_module_free(m);
    return m != NULL;
}

/* States that a step reads only, parameters that are frozen, become weights. */
static bool keep_frozen(const tn_trainer *t, tn_module *m, const nn_port *in) {
    tn_graph *main = module_main(m);
    for (size_t i = 0; i < main->n_params; i++) {
        bool is_paired = false;
        for (size_t r = 0; r < main->n_results; r++) is_paired |= main->results[r].state_param == (int32_t)i;
        if (in[i].kind != NN_PORT_STATE || is_paired) continue;
        param *p = &main->params[i];
        p->initial = module_constant(m, &p->type, t->states[in[i].number].tensor.data, true);
        if (!p->initial) return false;
        p->binding = BINDING_LOAD;
    }
    return true;
}

tn_module *tn_trainer_module(const tn_trainer *t, const tn_model_size *sizes, tn_diag *diag) {
    nn_port *in, *out;
    if (!t) {
        diag_fail(diag, TN_ERR_ARGUMENT, "there is no trainer");
        return NULL;
    }
    tn_module *m = nn_train_graph(t, NN_RUN_STEP, sizes, &in, &out, diag);
    bool ok = m && keep_frozen(t, m, in) && module_remove_uncalled(m, module_main(m), NULL);
    tn_free(in);
    tn_free(out);
    if (!m || ok) return m;
    diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    tn_module_free(m);
    return NULL;
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

static bool compile_run(tn_trainer *t, nn_run *r, nn_run_kind kind, const tn_model_size *sizes) {
    tn_module *m = nn_train_graph(t, kind, sizes, &r->in, &r->out, &t->error);
    if (!m) return false;
    r->program = tn_compile_module(m, &t->compile);
    if (!r->program && tn_module_error(m)) {
        t->error = *tn_module_error(m);
        t->error.file = module_intern(t->m->module, t->error.file); /* the module's dies with it */
    }
    tn_module_free(m);
    if (!r->program) return t->error.status == TN_OK ? no_memory(t) : false;
    r->exec = tn_exec_new(r->program, &(tn_exec_options){.pool = t->o.pool, .trace = t->o.trace});
    return r->exec ? bind_run(t, r) : no_memory(t);
}

/* The sizes that are known, by name. */
static void list_sizes(const tn_trainer *t, const int64_t *sizes, tn_model_size list[NN_MAX_SYMBOLS + 1]) {
    const tn_graph *f = t->m->forward;
    int n = 0;
    for (size_t i = 0; i < f->n_symbols && i < NN_MAX_SYMBOLS; i++)
        if (sizes[i] >= 0) list[n++] = (tn_model_size){dim_symbol_name(f->module->dims, f->symbols[i].dim), sizes[i]};
    list[n] = (tn_model_size){NULL, 0};
}

static bool open_run(tn_trainer *t, nn_run *r, nn_run_kind kind, const int64_t *sizes) {
    tn_model_size list[NN_MAX_SYMBOLS + 1];
    list_sizes(t, sizes, list);
    if (!compile_run(t, r, kind, list)) {
        close_run(r);
        return false;
    }
    memcpy(r->sizes, sizes, sizeof r->sizes);
    return true;
}

/* The program for these sizes: one that is there, a new one, or that for all. */
static nn_run *find_run(tn_trainer *t, nn_run_kind kind, const int64_t sizes[NN_MAX_SYMBOLS]) {
    int64_t any[NN_MAX_SYMBOLS];
    nn_run *runs = t->runs[kind];
    for (int i = 0; i < NN_MAX_SYMBOLS; i++) any[i] = -1;
    /* Evaluation is one program: it is run less often, on what is left of a dataset too. */
    bool takes_any = kind == NN_RUN_EVALUATE || t->o.any_size || t->m->forward->n_symbols > NN_MAX_SYMBOLS;
    for (int i = 1; !takes_any && i < NN_PROGRAMS; i++) {
        if (!runs[i].exec) return open_run(t, &runs[i], kind, sizes) ? &runs[i] : NULL;
        if (memcmp(runs[i].sizes, sizes, sizeof any) == 0) return &runs[i];
    }
    return runs[0].exec || open_run(t, &runs[0], kind, any) ? &runs[0] : NULL;
}

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

static size_t param_of_batch(const tn_trainer *t, int number) {
    size_t i = 0;
    while (t->batch_of[i] != number) i++;
    return i;
}

const char *nn_batch_name(const tn_trainer *t, int number) {
    return t->m->forward->params[param_of_batch(t, number)].name;
}

static bool wrong_batch(tn_trainer *t, int n) {
    char names[256] = "";
    line list = {names, sizeof names, 0};
    for (int i = 0; i < t->n_batch; i++) line_add(&list, "%s%s", i ? ", " : "", nn_batch_name(t, i));
    diag_fail(&t->error, TN_ERR_ARGUMENT, "a batch has %d tensors (%s), not %d", t->n_batch, names, n);
    return false;
}

static bool wrong_tensor(tn_trainer *t, tn_status status, const param *p, const tn_tensor *x, const char *why) {
    char is[128], wanted[256];
    type_print(t->m->module->dims, &p->type, wanted, sizeof wanted);
    diag_fail(&t->error, status, "%s of the batch is %s, the model takes %s%s", p->name,
              tn_tensor_text(x, is, sizeof is), wanted, why);
    return false;
}

/* Learns a symbol, or checks it. Returns what is wrong, ": n is 4 by a tensor before it", or NULL. */
static const char *learn_symbol(const tn_graph *f, tn_dim dim, int64_t value, int64_t sizes[NN_MAX_SYMBOLS], char *text,
                                size_t bytes) {
    const char *name = dim_symbol_name(f->module->dims, dim);
    for (size_t i = 0; name && i < f->n_symbols && i < NN_MAX_SYMBOLS; i++) {
        const symbol *s = &f->symbols[i];
        if (s->dim != dim) continue;
        char bounds[100];
        if (!symbol_allows(s, value))
            snprintf(text, bytes, ": %s must be %s", name, sizes_bounds_text(s, bounds, sizeof bounds));
        else if (sizes[i] >= 0 && sizes[i] != value)
            snprintf(text, bytes, ": %s is %" PRId64 " by a tensor before it", name, sizes[i]);
        else {
            sizes[i] = value;
            continue;
        }
        return text;
    }
    return NULL;
}

/* The values of forward's symbols that the batch's shapes say; expressions are left to the program. */
static bool take_sizes(tn_trainer *t, const tn_tensor *batch, int n, int64_t sizes[NN_MAX_SYMBOLS]) {
    const tn_graph *f = t->m->forward;
    const dim_table *dims = t->m->module->dims;
    for (int i = 0; i < NN_MAX_SYMBOLS; i++) sizes[i] = -1;
    if (f->n_params != t->n_params || f->n_results != t->n_results) {
        diag_fail(&t->error, TN_ERR_ARGUMENT, "the model has grown since its trainer was made: make another one");
        return false;
    }
    if (n != t->n_batch || (n > 0 && !batch)) return wrong_batch(t, n);
    for (int k = 0; k < n; k++) {
        const param *p = &f->params[param_of_batch(t, k)];
        const tn_tensor *x = &batch[k];
        if (x->dtype != p->type.dtype) return wrong_tensor(t, TN_ERR_DTYPE, p, x, "");
        if (x->rank != p->type.rank) return wrong_tensor(t, TN_ERR_SHAPE, p, x, "");
        for (int axis = 0; axis < x->rank; axis++) {
            tn_dim dim = p->type.dims[axis];
            int64_t number;
            if (dim_is_const(dims, dim, &number) ? number != x->shape[axis] : x->shape[axis] < 0)
                return wrong_tensor(t, TN_ERR_SHAPE, p, x, "");
            char text[200];
            const char *wrong = learn_symbol(f, dim, x->shape[axis], sizes, text, sizeof text);
            if (wrong) return wrong_tensor(t, TN_ERR_CONSTRAINT, p, x, wrong);
        }
    }
    return true;
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

static double scalar_of(const tn_tensor *x) {
    eval_tensor t = {.dtype = x->dtype, .n = 1, .data = x->data};
    return eval_load_float(&t, 0);
}

static int64_t *counter(const tn_trainer *t, int state) { return t->states[state].tensor.data; }

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

/* A NaN's sign tells nothing. */
static double without_sign(double x) { return isnan(x) ? NAN : x; }

/* What was wrong with a step that was not made, and where it began. */
static tn_status refuse(tn_trainer *t, const tn_tensor *batch, const tn_step_report *report, uint64_t *random) {
    tn_model_size list[NN_MAX_SYMBOLS + 1];
    list_sizes(t, t->last->sizes, list);
    diag_fail(&t->error, TN_ERR_ASSERT,
              "after %" PRId64 " steps the loss is %g and the norm of the gradients %g: the step was not made",
              report->step, without_sign(report->loss), without_sign(report->gradient_norm));
    nn_probe(t, batch, list, random);
    return TN_ERR_ASSERT;
}

/* An index was out of range: adds what the batch's integers are, labels and words among them. */
static void tell_indices(tn_trainer *t, const tn_tensor *batch, int n) {
    line more = {t->error.message, sizeof t->error.message, strlen(t->error.message)};
    for (int k = 0; k < n; k++) {
        tn_tensor x = batch[k];
        eval_tensor elements = {.dtype = x.dtype, .n = tn_tensor_elements(&x), .data = x.data};
        if (!dtype_in(DTYPES_INDEX, x.dtype) || x.has_strides || elements.n < 1) continue;
        int64_t least = INT64_MAX, most = INT64_MIN;
        for (int64_t i = 0; i < elements.n; i++) {
            int64_t value = eval_load_int(&elements, i);
            least = value < least ? value : least;
            most = value > most ? value : most;
        }
        line_add(&more, "; %s of the batch is from %" PRId64 " to %" PRId64, nn_batch_name(t, k), least, most);
    }
}

static tn_status run(tn_trainer *t, nn_run_kind kind, const tn_tensor *batch, int n, tn_step_report *report) {
    int64_t sizes[NN_MAX_SYMBOLS];
    t->error = (tn_diag){.status = TN_OK};
    nn_run *r = take_sizes(t, batch, n, sizes) ? find_run(t, kind, sizes) : NULL;
    if (!r) return t->error.status;
    for (int i = 0; i < r->n_inputs; i++)
        if (r->in[i].kind == NN_PORT_BATCH) r->inputs[i] = batch[r->in[i].number];
    memcpy(r->results, r->outputs, (size_t)r->n_outputs * sizeof *r->results);
    tn_status status = tn_exec_run(r->exec, r->inputs, r->n_inputs, r->results, r->n_outputs);
    if (status != TN_OK) {
        if (tn_exec_error(r->exec)) t->error = *tn_exec_error(r->exec);
        if (status == TN_ERR_INDEX) tell_indices(t, batch, n);
        return status;
    }
    if (kind == NN_RUN_STEP) t->last = r;
    take_results(t, r, kind == NN_RUN_EVALUATE, report);
    return TN_OK;
}

tn_status tn_trainer_step(tn_trainer *t, const tn_tensor *batch, int n, tn_step_report *report) {
    tn_step_report own;
    if (!t) return TN_ERR_ARGUMENT;
    if (!report) report = &own;
    int64_t *batches = counter(t, t->micro), step = *counter(t, t->step);
    bool is_step = *batches + 1 >= t->o.accumulate;
    uint64_t random[4];
    memcpy(random, t->states[t->random].tensor.data, sizeof random);
    t->rate = t->o.optimizer.learning_rate * tn_schedule_factor(&t->o.schedule, step);
    *report = (tn_step_report){.loss = NAN, .gradient_norm = NAN, .learning_rate = t->rate};
    tn_status status = run(t, is_step ? NN_RUN_STEP : NN_RUN_ACCUMULATE, batch, n, report);
    report->step = *counter(t, t->step);
    if (status == TN_ERR_NAN) {
        tn_diag what = t->error;
        diag_fail(&t->error, status, "step %" PRId64 ": %s", report->step + 1, what.message);
    }
    if (status != TN_OK) return status;
    *batches = is_step ? 0 : *batches + 1;
    if (!report->is_skipped || t->o.skip_nonfinite || t->scale >= 0) return TN_OK;
    return refuse(t, batch, report, random);
}

tn_status tn_trainer_evaluate(tn_trainer *t, const tn_tensor *batch, int n, tn_step_report *report) {
    tn_step_report own;
    if (!t) return TN_ERR_ARGUMENT;
    if (!report) report = &own;
    *report = (tn_step_report){.loss = NAN, .gradient_norm = NAN, .learning_rate = NAN};
    report->step = *counter(t, t->step);
    return run(t, NN_RUN_EVALUATE, batch, n, report);
}
