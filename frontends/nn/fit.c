/* The training loop.
 *
 * in:  a trainer, datasets, options
 * out: a trained model; files of parameters and checkpoints; progress
 * law: what decides how training goes on (states, place in the data, best value, patience, sums of the epoch) is in a
 *      checkpoint, so that a resumed run makes the steps that one without a break makes
 */
#include "frontends/data/atomic_file.h"
#include "frontends/nn/fit_events.h"
#include "frontends/nn/progress.h"
#include "frontends/nn/trainer.h"
#include "tenon_fit.h"

#include "runtime/diag.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BATCH = 64 };

typedef struct fit {
    tn_trainer *t;
    tn_fit_options o;
    tn_loader *loader;
    int fields[MAX_BATCH];
    double loss_sum, loss_count; /* of the epoch so far */
    int monitored;               /* number of the metric; -1: the loss */
    bool is_better_high;
    double best;
    int best_epoch, waited;
    void **kept; /* parameters at the best epoch, when they are to be put back */
    bool has_kept;
    int64_t since_checkpoint;
    progress shown;
    progress_state state;
    double began, epoch_began;
    tn_fit_report report;
    tn_diag *diag;
} fit;

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- Fields and batches --------------------------------------------------------------------------------------- */

static tn_status find_fields(const tn_trainer *t, const char *what, const tn_dataset *data, const char *const *names,
                             int fields[MAX_BATCH], tn_diag *diag) {
    if (!data) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no %s", what);
    if (t->n_batch > MAX_BATCH)
        return diag_fail(diag, TN_ERR_LIMIT, "the model has %d inputs and targets, the most is %d", t->n_batch,
                         MAX_BATCH);
    for (int i = 0; i < t->n_batch; i++) {
        const char *name = names ? names[i] : nn_batch_name(t, i);
        fields[i] = name ? tn_dataset_find_field(data, name) : -1;
        if (fields[i] >= 0) continue;
        char known[256] = "";
        line list = {known, sizeof known, 0};
        for (int k = 0; k < tn_dataset_n_fields(data); k++)
            line_add(&list, "%s%s", k ? ", " : "", tn_dataset_field(data, k)->name);
        return diag_fail(diag, TN_ERR_ARGUMENT, "the %s has no field %s for the model's %s (it has %s)", what,
                         name ? name : "(no name)", nn_batch_name(t, i), known);
    }
    return TN_OK;
}

static void order_batch(const tn_trainer *t, const tn_batch *batch, const int *fields, tn_tensor out[MAX_BATCH]) {
    for (int i = 0; i < t->n_batch; i++) out[i] = batch->fields[fields[i]];
}

static tn_status trainer_error(const tn_trainer *t, tn_status status, tn_diag *diag) {
    if (diag && tn_trainer_error(t)) *diag = *tn_trainer_error(t);
    if (diag && status == TN_ERR_DTYPE) {
        line more = {diag->message, sizeof diag->message, strlen(diag->message)};
        line_add(&more, " (tn_dataset_convert changes a dataset's)");
    }
    return status;
}

/* ---- Evaluation -------------------------------------------------------------------------------------------------- */

static tn_status evaluate(tn_trainer *t, tn_loader *loader, const int *fields, double *loss, tn_diag *diag) {
    double sum = 0, count = 0;
    tn_batch batch = {.is_last = false};
    while (!batch.is_last) {
        tn_tensor tensors[MAX_BATCH];
        tn_step_report report;
        tn_status status = tn_loader_next(loader, &batch, diag);
        if (status != TN_OK) return status;
        order_batch(t, &batch, fields, tensors);
        status = tn_trainer_evaluate(t, tensors, t->n_batch, &report);
        if (status != TN_OK) return trainer_error(t, status, diag);
        sum += report.loss * (double)batch.size;
        count += (double)batch.size;
    }
    *loss = sum / count;
    return TN_OK;
}

tn_status tn_evaluate(tn_trainer *t, tn_dataset *data, const tn_fit_options *options, double *loss, tn_diag *diag) {
    int fields[MAX_BATCH];
    tn_loader *loader = NULL;
    if (!t) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no trainer");
    tn_status status = find_fields(t, "dataset", data, options ? options->fields : NULL, fields, diag);
    if (status != TN_OK) return status;
    status = tn_loader_new(data, &(tn_loader_options){.batch_size = options ? options->batch_size : 0}, &loader, diag);
    if (status != TN_OK) return status;
    tn_trainer_reset_metrics(t, true);
    status = evaluate(t, loader, fields, loss, diag);
    tn_loader_free(loader);
    return status;
}

/* ---- The best ---------------------------------------------------------------------------------------------------- */

static tn_status choose_monitor(fit *f) {
    static const char *const low[] = {"perplexity", "mse", "mae"};
    const char *name = f->o.monitor;
    f->monitored = -1;
    f->best = NAN;
    f->best_epoch = -1;
    if (!name || strcmp(name, "loss") == 0) return TN_OK;
    for (int i = 0; i < f->t->n_metrics; i++)
        if (strcmp(f->t->metrics[i].name, name) == 0) f->monitored = i;
    if (f->monitored < 0) {
        char known[256] = "";
        line list = {known, sizeof known, 0};
        for (int i = 0; i < f->t->n_metrics; i++) line_add(&list, ", %s", f->t->metrics[i].name);
        return diag_fail(f->diag, TN_ERR_ARGUMENT, "the model has no metric %s to monitor (it has loss%s)", name,
                         known);
    }
    f->is_better_high = true;
    for (size_t i = 0; i < sizeof low / sizeof *low; i++)
        if (strcmp(f->t->metrics[f->monitored].kind, low[i]) == 0) f->is_better_high = false;
    return TN_OK;
}

static double monitored_value(const fit *f) {
    bool of_evaluation = f->o.validation != NULL;
    if (f->monitored >= 0) return tn_trainer_metric(f->t, f->monitored, of_evaluation);
    return of_evaluation ? f->state.validation_loss : f->state.loss;
}

static tn_status keep_parameters(fit *f) {
    int n = tn_model_n_parameters(f->t->m);
    if (!f->kept && !(f->kept = tn_calloc((size_t)n + 1, sizeof *f->kept)))
        return diag_fail(f->diag, TN_ERR_MEMORY, "out of memory for the best parameters");
    for (int i = 0; i < n; i++) {
        tn_tensor x = tn_model_parameter_of(f->t->m, i).tensor;
        size_t bytes = (size_t)tn_tensor_bytes(&x);
        if (!f->kept[i] && !(f->kept[i] = tn_malloc(bytes ? bytes : 1)))
            return diag_fail(f->diag, TN_ERR_MEMORY, "out of memory for the best parameters");
        memcpy(f->kept[i], x.data, bytes);
    }
    f->has_kept = true;
    return TN_OK;
}

static void put_back(fit *f) {
    for (int i = 0; f->has_kept && i < tn_model_n_parameters(f->t->m); i++) {
        tn_tensor x = tn_model_parameter_of(f->t->m, i).tensor;
        memcpy(x.data, f->kept[i], (size_t)tn_tensor_bytes(&x));
    }
}

static void free_kept(fit *f) {
    for (int i = 0; f->kept && i < tn_model_n_parameters(f->t->m); i++) tn_free(f->kept[i]);
    tn_free(f->kept);
}

static tn_status note_best(fit *f) {
    double value = monitored_value(f), gain = f->is_better_high ? value - f->best : f->best - value;
    f->waited++;
    if (isnan(value) || (!isnan(f->best) && !(gain > f->o.min_delta))) return TN_OK;
    f->best = value;
    f->best_epoch = f->state.epoch;
    f->waited = 0;
    tn_status status = f->o.restore_best ? keep_parameters(f) : TN_OK;
    if (status == TN_OK && f->o.best_path) status = tn_model_save(f->t->m, f->o.best_path, f->diag);
    return status;
}

/* ---- Checkpoints ------------------------------------------------------------------------------------------------- */

/* Numbers beside the states, as notes; floats in hexadecimal keep every bit. */
enum { NOTES = 8, NOTE_BYTES = 40 };
static const char *const note_keys[NOTES] = {"fit.epoch",  "fit.position", "fit.best",       "fit.best_epoch",
                                             "fit.waited", "fit.loss_sum", "fit.loss_count", "fit.seed"};

static tn_status save_checkpoint(fit *f) {
    char values[NOTES][NOTE_BYTES];
    tn_metadata notes[NOTES];
    int64_t epoch, position;
    if (!f->o.checkpoint_path) return TN_OK;
    tn_loader_tell(f->loader, &epoch, &position);
    snprintf(values[0], NOTE_BYTES, "%lld", (long long)epoch);
    snprintf(values[1], NOTE_BYTES, "%lld", (long long)position);
    snprintf(values[2], NOTE_BYTES, "%a", f->best);
    snprintf(values[3], NOTE_BYTES, "%d", f->best_epoch);
    snprintf(values[4], NOTE_BYTES, "%d", f->waited);
    snprintf(values[5], NOTE_BYTES, "%a", f->loss_sum);
    snprintf(values[6], NOTE_BYTES, "%a", f->loss_count);
    snprintf(values[7], NOTE_BYTES, "%llu", (unsigned long long)f->o.seed);
    for (int i = 0; i < NOTES; i++) notes[i] = (tn_metadata){note_keys[i], values[i]};
    f->since_checkpoint = 0;
    return tn_trainer_save(f->t, f->o.checkpoint_path, notes, NOTES, f->diag);
}

/* All notes, or false: one is missing or no number. */
static bool read_notes(const tn_archive *file, double out[NOTES]) {
    for (int i = 0; i < NOTES; i++) {
        const char *text = tn_archive_metadata(file, note_keys[i]);
        char *end;
        if (!text || !*text) return false;
        out[i] = strtod(text, &end);
        if (*end) return false;
    }
    return out[0] >= 0 && out[0] < 1e9 && out[1] >= 0 && out[1] < 0x1p53;
}

static tn_status take_checkpoint(fit *f, const tn_archive *file) {
    double notes[NOTES];
    if (!read_notes(file, notes))
        return diag_fail(f->diag, TN_ERR_PARSE,
                         "the file is no checkpoint of tn_fit: its notes fit.* are missing or wrong (tn_model_load "
                         "reads files of parameters)");
    if (notes[7] != (double)f->o.seed)
        return diag_fail(f->diag, TN_ERR_ARGUMENT, "the checkpoint was made with the seed %.0f, not %llu", notes[7],
                         (unsigned long long)f->o.seed);
    tn_status status = nn_trainer_restore(f->t, file, f->diag);
    if (status != TN_OK) return status;
    if (tn_loader_seek(f->loader, (int64_t)notes[0], (int64_t)notes[1]) != TN_OK)
        return diag_fail(f->diag, TN_ERR_ARGUMENT,
                         "the checkpoint's place, epoch %.0f and example %.0f, is not in the data", notes[0], notes[1]);
    f->state.epoch = (int)notes[0];
    f->best = notes[2];
    f->best_epoch = (int)notes[3];
    f->waited = (int)notes[4];
    f->loss_sum = notes[5];
    f->loss_count = notes[6];
    return TN_OK;
}

static tn_status resume(fit *f) {
    tn_archive *file = NULL;
    if (!f->o.resume || !f->o.checkpoint_path || access(f->o.checkpoint_path, F_OK) != 0) return TN_OK;
    tn_status status = tn_safetensors_open(f->o.checkpoint_path, &file, f->diag);
    if (status != TN_OK) return status;
    status = take_checkpoint(f, file);
    tn_archive_free(file);
    return diag_in_file(f->diag, status, f->o.checkpoint_path);
}

/* ---- Steps and epochs -------------------------------------------------------------------------------------------- */

/* Tells TensorBoard and the callback; *goes_on becomes false when that wants to end. */
static tn_status tell(fit *f, bool is_epoch, const tn_step_report *report, bool *goes_on) {
    tn_fit_event event = {.is_epoch = is_epoch,
                          .epoch = f->state.epoch,
                          .step = tn_trainer_steps(f->t),
                          .loss = is_epoch ? f->state.loss : report->loss,
                          .learning_rate = report->learning_rate,
                          .gradient_norm = report->gradient_norm,
                          .validation_loss = f->state.validation_loss,
                          .trainer = f->t};
    tn_status status = TN_OK;
    if (f->o.events) status = (is_epoch ? fit_events_epoch : fit_events_step)(f->o.events, &event, f->diag);
    if (status != TN_OK || !f->o.on_event || f->o.on_event(f->o.ctx, &event)) return status;
    f->report.end = TN_FIT_CALLBACK;
    *goes_on = false;
    return TN_OK;
}

static tn_status make_step(fit *f, const tn_batch *batch, tn_step_report *report) {
    tn_tensor tensors[MAX_BATCH];
    order_batch(f->t, batch, f->fields, tensors);
    tn_status status = tn_trainer_step(f->t, tensors, f->t->n_batch, report);
    if (status != TN_OK) return trainer_error(f->t, status, f->diag);
    if (!report->is_skipped) {
        f->loss_sum += report->loss * (double)batch->size;
        f->loss_count += (double)batch->size;
    }
    double now = seconds_now();
    f->state.loss = f->loss_sum / f->loss_count;
    f->state.batch = (batch->position + batch->size - 1) / (f->o.batch_size ? f->o.batch_size : 32) + 1;
    f->state.timed++;
    f->state.batches_of_all++;
    f->state.seconds = now - f->epoch_began;
    f->state.seconds_of_all = now - f->began;
    progress_step(&f->shown, &f->state, now);
    return TN_OK;
}

static tn_status end_epoch(fit *f, const tn_step_report *report, bool *goes_on) {
    tn_status status = TN_OK;
    f->state.validation_loss = NAN;
    if (f->o.validation) status = tn_evaluate(f->t, f->o.validation, &f->o, &f->state.validation_loss, f->diag);
    if (status == TN_OK) status = note_best(f);
    if (status != TN_OK) return status;
    progress_epoch(&f->shown, &f->state);
    f->report.loss = f->state.loss;
    f->report.validation_loss = f->state.validation_loss;
    status = tell(f, true, report, goes_on);
    if (status != TN_OK) return status;
    tn_trainer_reset_metrics(f->t, false);
    f->loss_sum = f->loss_count = 0;
    f->state.epoch++;
    f->state.batch = f->state.timed = 0;
    f->epoch_began = seconds_now();
    if (*goes_on && f->o.patience > 0 && f->waited >= f->o.patience) {
        f->report.end = TN_FIT_EARLY;
        *goes_on = false;
    }
    return save_checkpoint(f);
}

static tn_status run(fit *f) {
    tn_batch batch;
    tn_step_report report;
    bool goes_on = true;
    while (goes_on && f->state.epoch < f->o.epochs) {
        tn_status status = tn_loader_next(f->loader, &batch, f->diag);
        if (status == TN_OK) status = make_step(f, &batch, &report);
        if (status == TN_OK) status = tell(f, false, &report, &goes_on);
        if (status != TN_OK) return status;
        if (batch.is_last && goes_on) {
            status = end_epoch(f, &report, &goes_on);
            if (status != TN_OK) return status;
        } else if (f->o.checkpoint_every > 0 && ++f->since_checkpoint >= f->o.checkpoint_every) {
            status = save_checkpoint(f);
            if (status != TN_OK) return status;
        }
        if (goes_on && f->o.stop && *f->o.stop != 0 && f->state.epoch < f->o.epochs) {
            f->report.end = TN_FIT_STOPPED;
            return save_checkpoint(f);
        }
    }
    return TN_OK;
}

/* Told before hours of training rather than behind them. */
static tn_status check_path(const char *path, tn_diag *diag) { return path ? atomic_file_check(path, diag) : TN_OK; }

static tn_status check_options(const fit *f) {
    const struct {
        const char *name;
        double number;
    } counts[] = {{"epochs", f->o.epochs},
                  {"patience", f->o.patience},
                  {"checkpoint_every", (double)f->o.checkpoint_every},
                  {"min_delta", f->o.min_delta}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (!(counts[i].number >= 0))
            return diag_fail(f->diag, TN_ERR_ARGUMENT, "%s is %g, it must be at least 0", counts[i].name,
                             counts[i].number);
    if (!f->o.checkpoint_path && (f->o.resume || f->o.checkpoint_every > 0))
        return diag_fail(f->diag, TN_ERR_ARGUMENT, "%s needs a checkpoint_path",
                         f->o.resume ? "resume" : "checkpoint_every");
    tn_status status = check_path(f->o.checkpoint_path, f->diag);
    return status == TN_OK ? check_path(f->o.best_path, f->diag) : status;
}

static tn_status open_fit(fit *f, tn_dataset *data) {
    tn_loader_options loader = {
        .batch_size = f->o.batch_size, .shuffle = !f->o.in_order, .drop_last = f->o.drop_last, .seed = f->o.seed};
    if (f->o.epochs == 0) f->o.epochs = 1;
    int fields[MAX_BATCH]; /* tn_evaluate finds them again; what is wrong is told before the first step */
    tn_status status = check_options(f);
    if (status == TN_OK) status = find_fields(f->t, "dataset", data, f->o.fields, f->fields, f->diag);
    if (status == TN_OK && f->o.validation)
        status = find_fields(f->t, "validation dataset", f->o.validation, f->o.fields, fields, f->diag);
    if (status == TN_OK) status = choose_monitor(f);
    if (status == TN_OK) status = tn_loader_new(data, &loader, &f->loader, f->diag);
    if (status != TN_OK) return status;
    tn_trainer_reset_metrics(f->t, false);
    f->state = (progress_state){.trainer = f->t,
                                .epochs = f->o.epochs,
                                .has_validation = f->o.validation != NULL,
                                .batches = tn_loader_batches(f->loader),
                                .loss = NAN,
                                .validation_loss = NAN};
    f->shown = progress_open(f->o.progress_fd);
    f->began = f->epoch_began = seconds_now();
    if (f->o.events) status = fit_events_graph(f->o.events, f->t, f->diag);
    return status == TN_OK ? resume(f) : status;
}

tn_status tn_fit(tn_trainer *t, tn_dataset *data, const tn_fit_options *options, tn_fit_report *report, tn_diag *diag) {
    fit f = {.t = t, .diag = diag, .report = {.loss = NAN, .validation_loss = NAN, .best = NAN}};
    if (!t) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no trainer");
    if (options) f.o = *options;
    tn_status status = open_fit(&f, data);
    if (status == TN_OK) status = run(&f);
    if (status == TN_OK && f.o.restore_best) put_back(&f);
    tn_loader_free(f.loader);
    free_kept(&f);
    f.report.epochs = f.state.epoch;
    f.report.steps = tn_trainer_steps(t);
    f.report.best = f.best;
    f.report.best_epoch = f.best_epoch;
    f.report.seconds = seconds_now() - f.began;
    if (report) *report = f.report;
    return status;
}
