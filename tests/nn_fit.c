/* The loop: epochs, validation, early stopping, the best, checkpoints, resuming, progress; and files of parameters. */
#include "frontends/nn/progress.h"
#include "frontends/nn/trainer.h"
#include "tenon_fit.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 70, IN = 3 };

static float points[ROWS * IN];
static int32_t classes[ROWS];
static char folder[] = "/tmp/tenon-fit-XXXXXX";

static char *path_of(const char *name) {
    static char paths[4][80];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static tn_dataset *make_data(int first, int n) {
    tn_dataset *data = NULL;
    tn_diag diag;
    for (int i = 0; i < ROWS * IN; i++) points[i] = (float)((i * 37 + i * i % 11) % 41) / 20 - 1;
    for (int i = 0; i < ROWS; i++) classes[i] = points[3 * i] + points[3 * i + 1] * points[3 * i + 2] > 0;
    tn_named_tensor arrays[] = {{"class", TN_TENSOR(TN_I32, classes + first, n)},
                                {"point", TN_TENSOR(TN_F32, points + first * IN, n, IN)}};
    if (tn_dataset_arrays(arrays, 2, NULL, NULL, &data, &diag) != TN_OK) fail_msg("%s", diag.message);
    return data;
}

static tn_model *make_model(void) {
    tn_model *m = tn_model_new("points", NULL);
    tn_val x = tn_model_input(m, "point", TN_F32, TN_SHAPE(TN_DIM("n"), TN_SIZE(IN)));
    tn_val label = tn_model_target(m, "class", TN_I32, TN_SHAPE(TN_DIM("n")));
    tn_val h = tn_nn_dropout(m, tn_nn_dense(m, x, .units = 8, .activation = "tanh", .name = "first"), .rate = 0.1);
    tn_val logits = tn_nn_dense(m, h, .units = 2, .name = "second");
    tn_model_output(m, "logits", logits);
    tn_model_loss(m, "loss", tn_nn_loss("sparse_cross_entropy", logits, label));
    tn_model_metric(m, "accuracy", logits, label);
    return m;
}

static tn_trainer *make_trainer(tn_model *m) {
    tn_diag diag;
    tn_trainer *t =
        tn_trainer_new(m, &(tn_trainer_options){.optimizer = tn_optimizer_of("adam", 0.02), .seed = 5}, &diag);
    if (!t) fail_msg("%s", diag.message);
    return t;
}

static tn_fit_report fit(tn_trainer *t, tn_dataset *data, tn_fit_options o) {
    tn_fit_report report;
    tn_diag diag = {.file = ""};
    if (tn_fit(t, data, &o, &report, &diag) != TN_OK) fail_msg("%s: %s", diag.file ? diag.file : "", diag.message);
    return report;
}

/* ---- Epochs ------------------------------------------------------------------------------------------------- */

typedef struct events {
    int steps, epochs;
    double losses, last_validation;
    int stop_at_step, stop_at_epoch; /* 0: never */
    volatile int *stop;
} events;

static bool count_event(void *ctx, const tn_fit_event *event) {
    events *e = ctx;
    if (!event->is_epoch) {
        e->steps++;
        e->losses += event->loss;
        if (e->stop && e->steps == e->stop_at_step) *e->stop = 1;
        return e->stop || e->steps != e->stop_at_step;
    }
    assert_int_equal(event->epoch, e->epochs);
    e->epochs++;
    e->last_validation = event->validation_loss;
    return e->epochs != e->stop_at_epoch;
}

static void test_epochs(void **state) {
    (void)state;
    tn_dataset *data = make_data(0, 50), *others = make_data(50, 20);
    tn_model *m = make_model();
    tn_trainer *t = make_trainer(m);
    events e = {0};
    double loss;
    tn_diag diag;
    tn_fit_report first =
        fit(t, data, (tn_fit_options){.batch_size = 8, .validation = others, .on_event = count_event, .ctx = &e});
    assert_true(first.end == TN_FIT_DONE && first.epochs == 1 && first.steps == 7 && e.steps == 7 && e.epochs == 1);
    tn_fit_report r =
        fit(t, data, (tn_fit_options){.epochs = 40, .batch_size = 8, .validation = others, .drop_last = true});
    assert_true(r.epochs == 40 && r.steps == 7 + 40 * 6);
    if (!(r.loss < first.loss / 2)) fail_msg("loss %g, then %g", first.loss, r.loss);
    assert_int_equal(tn_evaluate(t, others, NULL, &loss, &diag), TN_OK);
    /* Of other batch sizes, so sums differ in their last bits. */
    assert_true(fabs(loss - r.validation_loss) < 1e-5);
    assert_true(tn_trainer_metric(t, 0, true) > 0.7);
    assert_true(r.best <= r.validation_loss && r.best_epoch >= 0);
    tn_trainer_free(t);
    tn_model_free(m);
    tn_dataset_free(data);
    tn_dataset_free(others);
}

static void test_callback_ends(void **state) {
    (void)state;
    tn_dataset *data = make_data(0, ROWS);
    tn_model *m = make_model();
    tn_trainer *t = make_trainer(m);
    events e = {.stop_at_step = 4};
    tn_fit_report r = fit(t, data, (tn_fit_options){.epochs = 5, .on_event = count_event, .ctx = &e});
    assert_true(r.end == TN_FIT_CALLBACK && r.steps == 4 && r.epochs == 1);
    e = (events){.stop_at_epoch = 2};
    r = fit(t, data, (tn_fit_options){.epochs = 5, .on_event = count_event, .ctx = &e});
    assert_true(r.end == TN_FIT_CALLBACK && r.epochs == 2 && e.epochs == 2);
    tn_trainer_free(t);
    tn_model_free(m);
    tn_dataset_free(data);
}

/* Nothing gets better by 10: training ends after `patience` more epochs, with the parameters of the first. */
static void test_early_stopping(void **state) {
    (void)state;
    tn_dataset *data = make_data(0, ROWS);
    tn_model *m = make_model(), *other = make_model();
    tn_trainer *t = make_trainer(m);
    tn_diag diag;
    tn_fit_report r = fit(t, data,
                          (tn_fit_options){.epochs = 50,
                                           .monitor = "accuracy",
                                           .min_delta = 10,
                                           .patience = 3,
                                           .restore_best = true,
                                           .best_path = path_of("best.safetensors")});
    assert_true(r.end == TN_FIT_EARLY && r.epochs == 4 && r.best_epoch == 0);
    assert_int_equal(tn_model_load(other, path_of("best.safetensors"), NULL, &diag), TN_OK);
    for (int i = 0; i < tn_model_n_parameters(m); i++) {
        tn_tensor a = tn_model_parameter_of(m, i).tensor, b = tn_model_parameter_of(other, i).tensor;
        assert_memory_equal(a.data, b.data, (size_t)tn_tensor_bytes(&a));
    }
    tn_trainer_free(t);
    tn_model_free(m);
    tn_model_free(other);
    tn_dataset_free(data);
}

/* ---- Checkpoints ------------------------------------------------------------------------------------------------ */

static size_t states_of(const tn_trainer *t, uint8_t *out, size_t most) {
    size_t bytes = 0;
    for (int i = 0; i < tn_trainer_n_states(t); i++) {
        tn_tensor x;
        tn_trainer_state(t, i, &x);
        assert_true(bytes + (size_t)tn_tensor_bytes(&x) <= most);
        memcpy(out + bytes, x.data, (size_t)tn_tensor_bytes(&x));
        bytes += (size_t)tn_tensor_bytes(&x);
    }
    return bytes;
}

enum { MOST = 4096, EPOCHS = 6 };

static tn_fit_options options_of(const char *checkpoint) {
    return (tn_fit_options){.epochs = EPOCHS,
                            .batch_size = 8,
                            .seed = 3,
                            .monitor = "accuracy",
                            .checkpoint_path = checkpoint,
                            .checkpoint_every = checkpoint ? 2 : 0,
                            .resume = checkpoint != NULL};
}

/* Stopped after some steps and resumed by another trainer, again and again, it makes the same bits. */
static void test_resume(void **state) {
    (void)state;
    static uint8_t wanted[MOST], is[MOST];
    tn_dataset *data = make_data(0, ROWS);
    tn_model *m = make_model();
    tn_trainer *t = make_trainer(m);
    tn_fit_report whole = fit(t, data, options_of(NULL));
    size_t n = states_of(t, wanted, MOST);
    tn_trainer_free(t);
    tn_model_free(m);
    static const int pieces[] = {1, 3, 9, 5, 14, 100};
    tn_fit_report r = {0};
    for (size_t i = 0; i < 6; i++) {
        volatile int stop = 0;
        events e = {.stop_at_step = pieces[i], .stop = &stop};
        tn_fit_options o = options_of(path_of("resume.safetensors"));
        o.on_event = NULL, o.ctx = &e, o.stop = &stop;
        o.on_event = count_event;
        m = make_model();
        t = make_trainer(m);
        /* Epochs of a resumed run begin where the former ended. */
        tn_diag diag;
        e.epochs = r.epochs;
        if (tn_fit(t, data, &o, &r, &diag) != TN_OK) fail_msg("%s", diag.message);
        assert_int_equal(r.end, i < 5 ? TN_FIT_STOPPED : TN_FIT_DONE);
        if (i == 5) assert_int_equal(states_of(t, is, MOST), n);
        tn_trainer_free(t);
        tn_model_free(m);
    }
    assert_memory_equal(is, wanted, n);
    assert_true(r.steps == whole.steps && r.best == whole.best && r.best_epoch == whole.best_epoch);
    assert_true(r.loss == whole.loss);
    tn_dataset_free(data);
}

/* Tells the parent. */
static bool tell_event(void *ctx, const tn_fit_event *event) {
    (void)event;
    usleep(200);
    return write(*(const int *)ctx, "", 1) == 1;
}

/* Trains in a process of its own, which is killed some time after its event of that number. Whether it was. */
static bool kill_at(tn_dataset *data, int event) {
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        tn_trainer *t = make_trainer(make_model());
        tn_fit_options o = options_of(path_of("kill.safetensors"));
        o.on_event = tell_event, o.ctx = &ends[1];
        o.checkpoint_every = 1;
        _exit(tn_fit(t, data, &o, NULL, NULL) == TN_OK ? 0 : 1);
    }
    close(ends[1]);
    int told = 0;
    while (told < event && read(ends[0], &byte, 1) == 1) told++;
    usleep((useconds_t)(137 * event));
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ends[0]);
    if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
    return WIFSIGNALED(status);
}

/* Killed at any moment, the last checkpoint is whole, and goes on to the same bits. */
static void test_kill(void **state) {
    (void)state;
    static uint8_t wanted[MOST], is[MOST];
    tn_dataset *data = make_data(0, ROWS);
    tn_model *m = make_model();
    tn_trainer *t = make_trainer(m);
    fit(t, data, options_of(NULL));
    size_t n = states_of(t, wanted, MOST);
    tn_trainer_free(t);
    tn_model_free(m);
    int kills = 0;
    for (int event = 1; event < 9; event++) kills += kill_at(data, event);
    m = make_model();
    t = make_trainer(m);
    fit(t, data, options_of(path_of("kill.safetensors")));
    assert_int_equal(states_of(t, is, MOST), n);
    assert_memory_equal(is, wanted, n);
    assert_true(kills > 0);
    tn_trainer_free(t);
    tn_model_free(m);
    tn_dataset_free(data);
}

/* ---- Files of parameters ----------------------------------------------------------------------------------------- */

/* Weights as PyTorch names and lays them out. */
static void test_weight_names(void **state) {
    (void)state;
    float weight[8 * IN], bias[8];
    double half[8];
    for (int i = 0; i < 8 * IN; i++) weight[i] = (float)i;
    for (int i = 0; i < 8; i++) half[i] = bias[i] = (float)(i + 0.5);
    tn_diag diag;
    tn_named_tensor list[] = {{"fc1.weight", TN_TENSOR(TN_F32, weight, 8, IN)},
                              {"fc1.bias", TN_TENSOR(TN_F64, half, 8)}};
    assert_int_equal(tn_safetensors_write(path_of("torch.safetensors"), list, 2, NULL, 0, &diag), TN_OK);
    tn_model *m = make_model();
    const tn_weight_name names[] = {
        {"first.kernel", "fc1.weight", TN_INTS(1, 0)}, {"first.bias", "fc1.bias", TN_NO_INTS}, {0}};
    if (tn_model_load(m, path_of("torch.safetensors"), names, &diag) != TN_OK) fail_msg("%s", diag.message);
    const float *kernel = tn_model_parameter_of(m, 0).tensor.data;
    for (int i = 0; i < IN; i++)
        for (int u = 0; u < 8; u++) assert_true(kernel[i * 8 + u] == weight[u * IN + i]);
    assert_memory_equal(tn_model_parameter_of(m, 1).tensor.data, bias, sizeof bias);

    const struct {
        tn_weight_name name;
        const char *message;
    } wrong[] = {
        {{"first.kernel", "fc1.weight", {0, NULL}}, "first.kernel is f32[3, 8], the file has f32[8, 3]"},
        {{"first.kernel", "fc2.weight", {0, NULL}}, "the file has no tensor fc2.weight for the parameter first.kernel"},
        {{"third.kernel", "fc1.weight", {0, NULL}}, "the model points has no parameter third.kernel"},
        {{"first.kernel", "fc1.weight", {2, (const int64_t[]){1, 1}}}, "perm does not name each of the 2 axes"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tn_weight_name bad[] = {wrong[i].name, {0}};
        assert_int_not_equal(tn_model_load(m, path_of("torch.safetensors"), bad, &diag), TN_OK);
        if (!strstr(diag.message, wrong[i].message)) fail_msg("%s", diag.message);
        assert_non_null(diag.file);
    }
    assert_int_not_equal(tn_model_load(m, path_of("torch.safetensors"), NULL, &diag), TN_OK);
    assert_non_null(strstr(diag.message, "the file has no tensor first.kernel"));
    assert_int_equal(tn_model_load(m, path_of("nothing.safetensors"), NULL, &diag), TN_ERR_IO);
    tn_model_free(m);
}

static void test_wrong_checkpoints(void **state) {
    (void)state;
    static uint8_t before[MOST], after[MOST];
    tn_dataset *data = make_data(0, ROWS);
    tn_model *m = make_model();
    tn_trainer *t = make_trainer(m);
    tn_diag diag;
    size_t n = states_of(t, before, MOST);
    assert_int_equal(tn_model_save(m, path_of("weights.safetensors"), &diag), TN_OK);
    assert_int_not_equal(tn_trainer_load(t, path_of("weights.safetensors"), &diag), TN_OK);
    assert_non_null(strstr(diag.message, "the checkpoint has no optimizer.m.first.kernel"));
    tn_fit_options o = options_of(path_of("weights.safetensors"));
    assert_int_not_equal(tn_fit(t, data, &o, NULL, &diag), TN_OK);
    assert_non_null(strstr(diag.message, "no checkpoint of tn_fit"));
    assert_int_equal(states_of(t, after, MOST), n);
    assert_memory_equal(before, after, n);
    fit(t, data, (tn_fit_options){.seed = 4, .checkpoint_path = path_of("other.safetensors")});
    o = options_of(path_of("other.safetensors"));
    assert_int_not_equal(tn_fit(t, data, &o, NULL, &diag), TN_OK);
    assert_non_null(strstr(diag.message, "made with the seed 4, not 3"));
    o = (tn_fit_options){.monitor = "recall"};
    assert_int_not_equal(tn_fit(t, data, &o, NULL, &diag), TN_OK);
    assert_non_null(strstr(diag.message, "no metric recall"));
    o = (tn_fit_options){.fields = (const char *const[]){"point", "label"}};
    assert_int_not_equal(tn_fit(t, data, &o, NULL, &diag), TN_OK);
    assert_non_null(strstr(diag.message, "no field label for the model's class (it has class, point)"));
    tn_trainer_free(t);
    tn_model_free(m);
    tn_dataset_free(data);
}

/* ---- TensorBoard ------------------------------------------------------------------------------------------------- */

/* What the records are is the business of tests/tensorboard.sh; here, that all of them are written. */
static void test_events(void **state) {
    (void)state;
    static char bytes[1 << 18];
    tn_dataset *data = make_data(0, ROWS);
    tn_model *m = make_model();
    tn_trainer *t = make_trainer(m);
    tn_event_writer *writer = NULL;
    tn_diag diag;
    if (tn_event_writer_new(folder, &writer, &diag) != TN_OK) fail_msg("%s", diag.message);
    fit(t, data, (tn_fit_options){.epochs = 2, .validation = data, .events = writer});
    FILE *file = fopen(tn_event_writer_path(writer), "rb");
    assert_int_equal(tn_event_writer_close(writer, &diag), TN_OK);
    size_t n = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (file) fclose(file);
    static const char *const wanted[] = {
        "train/loss",          "train/learning_rate",     "train/gradient_norm", "epoch/accuracy", "validation/loss",
        "validation/accuracy", "parameters/first.kernel", "first/matmul_",       "dropout/select_"};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!memmem(bytes, n, wanted[i], strlen(wanted[i]))) fail_msg("no %s among %d bytes", wanted[i], (int)n);
    tn_trainer_free(t);
    tn_model_free(m);
    tn_dataset_free(data);
}

/* ---- Progress ---------------------------------------------------------------------------------------------------- */

static void test_progress_texts(void **state) {
    (void)state;
    char text[PROGRESS_BYTES];
    progress_state s = {.epoch = 2,
                        .epochs = 10,
                        .batch = 30,
                        .batches = 120,
                        .loss = 0.12345,
                        .validation_loss = NAN,
                        .seconds = 0.36,
                        .timed = 30,
                        .seconds_of_all = 3.24,
                        .batches_of_all = 270};
    progress_bar_text(&s, 200, text);
    assert_string_equal(text, "epoch 3/10 [======>                 ] 30/120  loss 0.1235  12.0 ms/step  0:11 left");
    progress_bar_text(&s, 20, text);
    assert_string_equal(text, "epoch 3/10 [======> ");
    s.seconds = 75;
    progress_epoch_text(&s, text);
    assert_string_equal(text, "epoch 3/10  75.0 s  loss 0.1235");
    s.has_validation = true;
    progress_epoch_text(&s, text);
    assert_string_equal(text, "epoch 3/10  75.0 s  loss 0.1235  validation loss nan");
    s.validation_loss = 0.25;
    progress_epoch_text(&s, text);
    assert_string_equal(text, "epoch 3/10  75.0 s  loss 0.1235  validation loss 0.2500");
}

/* Into a pipe: a line an epoch and nothing else. */
static void test_progress_lines(void **state) {
    (void)state;
    int ends[2];
    char text[2048] = "";
    assert_int_equal(pipe(ends), 0);
    tn_dataset *data = make_data(0, ROWS);
    tn_model *m = make_model();
    tn_trainer *t = make_trainer(m);
    fit(t, data, (tn_fit_options){.epochs = 2, .validation = data, .progress_fd = ends[1]});
    close(ends[1]);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    int lines = 0;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 2);
    assert_null(strchr(text, '\r'));
    assert_int_equal(strncmp(text, "epoch 1/2  ", 11), 0);
    assert_non_null(strstr(text, "accuracy 0."));
    assert_non_null(strstr(text, "validation loss "));
    tn_trainer_free(t);
    tn_model_free(m);
    tn_dataset_free(data);
}

/* Reads until `text` ends with a line that holds `wanted`: a terminal gives what was written to it in pieces, and
   later than it was written. */
static void read_through(int fd, const char *wanted, char *text, size_t size) {
    enum { PATIENCE_MS = 10000 };
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    size_t used = 0;
    const char *found = NULL;
    while (used < size - 1 && !(found && strchr(found, '\n')) && poll(&readable, 1, PATIENCE_MS) > 0) {
        ssize_t n = read(fd, text + used, size - 1 - used);
        if (n <= 0) break;
        text[used += (size_t)n] = '\0';
        found = strstr(text, wanted);
    }
}

/* On a terminal: a bar that is written over, and cut to its width. */
static void test_progress_bar(void **state) {
    (void)state;
    char text[8192] = "";
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) skip();
    int end = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    struct winsize size = {.ws_row = 24, .ws_col = 40};
    assert_int_equal(ioctl(end, TIOCSWINSZ, &size), 0);
    tn_dataset *data = make_data(0, ROWS);
    tn_model *m = make_model();
    tn_trainer *t = make_trainer(m);
    fit(t, data, (tn_fit_options){.epochs = 2, .progress_fd = end});
    read_through(terminal, "\repoch 2/2  ", text, sizeof text);
    close(end);
    close(terminal);
    const char *bar = strstr(text, "\repoch 1/2 [");
    assert_non_null(bar);
    assert_int_equal(strcspn(bar + 1, "\033"), 39);
    assert_non_null(strstr(text, "\repoch 2/2  "));
    tn_trainer_free(t);
    tn_model_free(m);
    tn_dataset_free(data);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[120];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_callback_ends),
        cmocka_unit_test(test_early_stopping),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_weight_names),
        cmocka_unit_test(test_wrong_checkpoints),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_progress_texts),
        cmocka_unit_test(test_progress_lines),
        cmocka_unit_test(test_progress_bar),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
