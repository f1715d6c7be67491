/* tenon train: trains a described example or an imported model.
 *
 * in:  the name of an example, or --onnx; options
 * out: progress on stderr; what was reached on stdout; files of parameters, checkpoints, records; or with --step the
 *      step itself (train_step.c)
 * law: an interrupt ends training after the running step, with a checkpoint; a second one ends the program
 */
#include "frontends/cli/commands.h"
#include "frontends/cli/train.h"
#include "frontends/data/atomic_file.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const train_example examples[] = {
    {"digits", NULL, 15, 32, 5e-3, "adamw", "cosine", 0.2, train_open_digits, NULL},
    {"mnist", "DIR", 4, 64, 2e-3, "adamw", "cosine", 0, train_open_mnist, NULL},
    {"text", "FILE", 3, 16, 1e-3, "adamw", "cosine", 0.1, train_open_text, train_write_sample},
};
enum { N_EXAMPLES = sizeof examples / sizeof *examples };

static const train_example imported = {
    "--onnx", NULL, 5, 32, 1e-4, "adam", "constant", 0.2, train_open_imported, NULL,
};

/* ---- Stopping -------------------------------------------------------------------------------------------- */

static volatile int stop;

static void on_signal(int number) {
    (void)number;
    stop = 1;
}

static void catch_interrupts(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- Options --------------------------------------------------------------------------------------------- */

/* NULL: the message is on stderr. */
static const train_example *complain_of(const arguments *a, const char *message, const char *about) {
    options_complain(a->command, message, about);
    return NULL;
}

static const train_example *find_imported(const arguments *a) {
    if (a->n_operands > 0) return complain_of(a, "--onnx takes its data by --data, not %s", a->operands[0]);
    if (!GIVEN(a, loss)) return complain_of(a, "--onnx needs %s", "--loss NAME");
    return GIVEN(a, data) || GIVEN(a, step) ? &imported : complain_of(a, "--onnx needs %s", "--data FILE");
}

static const train_example *find_example(const arguments *a) {
    const train_example *example = NULL;
    if (GIVEN(a, onnx)) return find_imported(a);
    if (a->n_operands == 0)
        return complain_of(a, "what to train is missing: %s", "digits, mnist DIR, text FILE, or --onnx MODEL");
    for (int i = 0; i < N_EXAMPLES; i++)
        if (strcmp(examples[i].name, a->operands[0]) == 0) example = &examples[i];
    if (!example) return complain_of(a, "there is no example %s (digits, mnist, text)", a->operands[0]);
    if (GIVEN(a, loss) || GIVEN(a, loss_of) || GIVEN(a, data) || GIVEN(a, freeze))
        return complain_of(a, "--loss, --loss-of, --data and --freeze go with --onnx, not with %s", example->name);
    if (example->operand && a->n_operands < 2) {
        options_complain(a->command, "%s needs a %s", example->name, example->operand);
        return NULL;
    }
    return example;
}

/* What goes with training alone. */
static int check_step(const arguments *a) {
    static const option_name others[] = {
        OPTION_epochs,           OPTION_lr,     OPTION_schedule, OPTION_validation,  OPTION_patience, OPTION_checkpoint,
        OPTION_checkpoint_every, OPTION_resume, OPTION_best,     OPTION_tensorboard, OPTION_output};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (a->options[others[i]].is_given)
            return options_complain(a->command,
                                    "--step writes the step and trains nothing: of the options for that "
                                    "only --batch, --optimizer, --seed and what tells the model go with it");
    return EXIT_DONE;
}

static bool is_output(const char *path) { return ends_with(path, ".onnx") || ends_with(path, ".safetensors"); }

static int check_options(const arguments *a) {
    enum { MOST_THREADS = 1024, MOST_EPOCHS = 1000000000 };
    if (GIVEN(a, epochs) && (NUMBER_OF(a, epochs, 1) < 1 || NUMBER_OF(a, epochs, 1) > MOST_EPOCHS))
        return options_complain(a->command, "--epochs: it must be 1 to %d", MOST_EPOCHS);
    if (GIVEN(a, batch) && NUMBER_OF(a, batch, 1) < 1)
        return options_complain(a->command, "--batch: it must be at least 1");
    if (NUMBER_OF(a, patience, 0) > MOST_EPOCHS)
        return options_complain(a->command, "--patience: at most %d", MOST_EPOCHS);
    if (NUMBER_OF(a, threads, 0) > MOST_THREADS)
        return options_complain(a->command, "--threads: at most %d", MOST_THREADS);
    if (GIVEN(a, output) && !is_output(TEXT_OF(a, output)))
        return options_complain(a->command, "-o: %s is neither a .onnx nor a .safetensors file", TEXT_OF(a, output));
    if ((GIVEN(a, resume) || GIVEN(a, checkpoint_every)) && !GIVEN(a, checkpoint))
        return options_complain(a->command, "--resume and --checkpoint-every need --checkpoint FILE");
    return GIVEN(a, step) ? check_step(a) : EXIT_DONE;
}

/* ---- Data -------------------------------------------------------------------------------------------------- */

int train_split(training *t, tn_dataset *all, bool in_order) {
    double share = REAL_OF(t->a, validation, t->example->validation);
    tn_diag diag = {0};
    if (share == 0) {
        t->data = all;
        return EXIT_DONE;
    }
    tn_split_options options = {.fraction = share, .seed = (uint64_t)NUMBER_OF(t->a, seed, 0), .in_order = in_order};
    tn_status status = tn_dataset_split(all, &options, &t->data, &t->validation, &diag);
    tn_dataset_free(all);
    if (status != TN_OK) return report(t->path, &diag);
    if (tn_dataset_count(t->data) > 0 && tn_dataset_count(t->validation) > 0) return EXIT_DONE;
    long long n = tn_dataset_count(t->data) + tn_dataset_count(t->validation);
    return report_text(t->path,
                       "%lld examples are too few to keep a share of %g for validation (--validation 0 keeps none)", n,
                       share);
}

/* ---- Training ---------------------------------------------------------------------------------------------- */

/* Schedules that fall are warmed up over a twentieth of the steps. */
static tn_schedule make_schedule(const training *t, int64_t epochs) {
    const char *kind = GIVEN(t->a, schedule) ? TEXT_OF(t->a, schedule) : t->example->schedule;
    int64_t batch = t->batch > 0 ? t->batch : 1, total = epochs * ((tn_dataset_count(t->data) + batch - 1) / batch);
    bool is_warmed = strcmp(kind, "cosine") == 0 || strcmp(kind, "linear") == 0;
    return (tn_schedule){.kind = kind,
                         .total = total,
                         .warmup = is_warmed ? total / 20 : 0,
                         .every = total / 3 > 0 ? total / 3 : 1,
                         .gamma = 0.1};
}

int train_open_trainer(training *t, tn_schedule schedule) {
    const char *optimizer = GIVEN(t->a, optimizer) ? TEXT_OF(t->a, optimizer) : t->example->optimizer;
    tn_diag diag = {0};
    t->pool = tn_pool_new((int)NUMBER_OF(t->a, threads, 0));
    if (!t->pool) return report_text(t->path, "out of memory");
    if (tracing_open(&t->tracing, t->a) != EXIT_DONE) return EXIT_INPUT;
    tn_compile_options compile = {.nan_check = GIVEN(t->a, nan_check)};
    tracing_watch(&t->tracing, &compile);
    tn_trainer_options options = {.optimizer = tn_optimizer_of(optimizer, REAL_OF(t->a, lr, t->example->rate)),
                                  .schedule = schedule,
                                  .seed = (uint64_t)NUMBER_OF(t->a, seed, 0),
                                  .decays = tn_decay_matrices,
                                  .pool = t->pool,
                                  .compile = &compile,
                                  .trace = t->tracing.trace};
    t->trainer = tn_trainer_new(t->model, &options, &diag);
    return t->trainer ? EXIT_DONE : report(GIVEN(t->a, onnx) ? TEXT_OF(t->a, onnx) : NULL, &diag);
}

typedef struct watcher {
    const training *t;
    train_records records;
} watcher;

static bool watch(void *ctx, const tn_fit_event *event) {
    watcher *w = ctx;
    return train_records_event(&w->records, w->t->model, event);
}

static void print_report(const training *t, const tn_fit_report *r) {
    printf("%s: %d epoch%s, %lld steps", GIVEN(t->a, onnx) ? TEXT_OF(t->a, onnx) : t->example->name, r->epochs,
           r->epochs == 1 ? "" : "s", (long long)r->steps);
    if (!isnan(r->loss)) printf(", loss %.4f", r->loss);
    if (!isnan(r->validation_loss)) printf(", validation loss %.4f", r->validation_loss);
    for (int i = 0; i < tn_trainer_n_metrics(t->trainer) && !isnan(r->validation_loss); i++)
        printf(", %s %.4f", tn_trainer_metric_name(t->trainer, i), tn_trainer_metric(t->trainer, i, true));
    printf("\n");
    if (r->end == TN_FIT_EARLY) printf("ended early: epoch %d was the best\n", r->best_epoch + 1);
    if (r->end != TN_FIT_STOPPED) return;
    if (GIVEN(t->a, checkpoint))
        printf("stopped: --resume goes on from %s\n", TEXT_OF(t->a, checkpoint));
    else
        printf("stopped: without --checkpoint there is nothing to go on from\n");
}

static int fit(const training *t, int64_t epochs) {
    const arguments *a = t->a;
    watcher w = {.t = t};
    tn_fit_report r;
    tn_diag diag = {0};
    if (GIVEN(a, tensorboard) && train_records_open(&w.records, TEXT_OF(a, tensorboard), t->model) != TN_OK)
        return report(TEXT_OF(a, tensorboard), &w.records.diag);
    tn_fit_options options = {.epochs = (int)epochs,
                              .batch_size = t->batch,
                              .seed = (uint64_t)NUMBER_OF(a, seed, 0),
                              .drop_last = t->drop_last || t->is_batch_fixed,
                              .validation = t->validation,
                              .fields = t->fields[0] ? t->fields : NULL,
                              .patience = (int)NUMBER_OF(a, patience, 0),
                              .best_path = TEXT_OF(a, best),
                              .checkpoint_path = TEXT_OF(a, checkpoint),
                              .checkpoint_every = NUMBER_OF(a, checkpoint_every, 0),
                              .resume = GIVEN(a, resume),
                              .stop = &stop,
                              .progress_fd = STDERR_FILENO,
                              .on_event = w.records.writer ? watch : NULL,
                              .ctx = &w};
    catch_interrupts();
    tn_status status = tn_fit(t->trainer, t->data, &options, &r, &diag);
    tn_status recorded = train_records_close(&w.records);
    if (status != TN_OK) return report(t->path, &diag);
    if (recorded != TN_OK) return report(TEXT_OF(a, tensorboard), &w.records.diag);
    print_report(t, &r);
    return EXIT_DONE;
}

/* ---- What is left of it --------------------------------------------------------------------------------------- */

static int write_onnx(const training *t, const char *path) {
    tn_diag diag = {0};
    tn_module *m = tn_model_inference(t->model, NULL, &diag);
    tn_status status = m ? tn_onnx_write(m, path, NULL, &diag) : diag.status;
    tn_module_free(m);
    return status == TN_OK ? EXIT_DONE : report(diag.file ? diag.file : path, &diag);
}

static int write_model(const training *t) {
    const char *path = TEXT_OF(t->a, output);
    tn_diag diag = {0};
    if (!path) return EXIT_DONE;
    if (ends_with(path, ".onnx")) return write_onnx(t, path);
    return tn_model_save(t->model, path, &diag) == TN_OK ? EXIT_DONE : report(path, &diag);
}

void train_close(training *t) {
    tn_trainer_free(t->trainer);
    tracing_close(&t->tracing);
    tn_model_free(t->model);
    tn_dataset_free(t->data);
    tn_dataset_free(t->validation);
    tn_dataset_free(t->texts);
    tn_pool_free(t->pool);
}

int train_open(training *t, const arguments *a) {
    *t = (training){.a = a, .example = find_example(a)};
    tn_diag diag = {0};
    int status = t->example ? check_options(a) : EXIT_USAGE;
    if (!status && GIVEN(a, output) && atomic_file_check(TEXT_OF(a, output), &diag) != TN_OK)
        return report(NULL, &diag);
    if (status) return status;
    t->batch = NUMBER_OF(a, batch, t->example->batch);
    t->path = GIVEN(a, data) ? TEXT_OF(a, data) : a->operands[1];
    status = t->example->open(t);
    if (status) return status;
    return tn_model_error(t->model) ? report(NULL, tn_model_error(t->model)) : EXIT_DONE;
}

static int write_step(training *t) {
    int status = train_open_trainer(t, (tn_schedule){.kind = "constant"});
    return status ? status : train_write_step(t, TEXT_OF(t->a, step), stdout);
}

static int train(training *t) {
    int64_t epochs = NUMBER_OF(t->a, epochs, t->example->epochs);
    fprintf(stderr, "%lld examples to learn from, %lld for validation\n", (long long)tn_dataset_count(t->data),
            t->validation ? (long long)tn_dataset_count(t->validation) : 0);
    int status = train_open_trainer(t, make_schedule(t, epochs));
    if (!status) status = fit(t, epochs);
    if (tracing_write(&t->tracing) != EXIT_DONE) status = EXIT_INPUT;
    if (!status) status = write_model(t);
    if (!status && t->example->finish) status = t->example->finish(t);
    return status;
}

int command_train(const arguments *a) {
    training t;
    int status = train_open(&t, a);
    if (!status) status = GIVEN(a, step) ? write_step(&t) : train(&t);
    train_close(&t);
    return status;
}
