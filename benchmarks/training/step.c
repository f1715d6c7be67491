/* Tenon's side of the training benchmark: steps of one of its models, their losses and times, as a line of JSON.
 *
 *     build/bench/training MODEL [--dtype f32|f64] [--threads N] [--weights FILE] [--batches FILE] [--steps N]
 *                          [--seconds S] [--unguarded] [--module FILE] [--save FILE] [--describe]
 *
 * in:  MODEL is one of benchmarks/training/models.c. FILE.safetensors of --weights holds its parameters at the first
 *      step (without it they are drawn), FILE.npz of --batches x [k, batch, ...] and y [k, batch, ...], taken one after
 *      the other, over and over. --module writes the step as text, for `tenon bench FILE --profile` and
 *      `tenon dump`
 * out: --save writes the parameters as they are at the first step, --describe tells sizes and optimizer, and no more
 *      is done. Else {"losses": of the first --steps, "first_ms": from nothing to the end of the first step,
 *      compiling included, "min_ms", "median_ms", "runs": of steps during --seconds, "cpu_ms": the median of their
 *      processor time, "peak_bytes": the most that was resident, "compile_bytes": likewise before the first step,
 *      "state_bytes", "arena_bytes"}
 */
#include "benchmarks/training/models.h"

#include "tenon_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_TIMES = 100000, WARM_UP = 3, LEAST_RUNS = 5 };

typedef struct settings {
    const training_task *task;
    tn_dtype dtype;
    int threads;
    const char *weights, *batches, *save;
    long steps;
    double seconds;
    bool unguarded, describes;
    const char *module;
} settings;

typedef struct batches {
    tn_archive *archive;
    const tn_tensor *x, *y;
    int64_t count;
} batches;

static _Noreturn void stop(const char *what, const char *message) {
    fprintf(stderr, "training: %s: %s\n", what, message);
    exit(1);
}

static double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double now(void) { return seconds_of(CLOCK_MONOTONIC); }

/* The most memory that was resident so far. */
static long peak_bytes(void) {
    static const char key[] = "VmHWM:";
    char text[256];
    long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(text, sizeof text, file))
        if (strncmp(text, key, sizeof key - 1) == 0) kilobytes = strtol(text + sizeof key - 1, NULL, 10);
    if (file) fclose(file);
    return kilobytes * 1024;
}

/* ---- Weights and batches ------------------------------------------------------------------------------------ */

static void load_weights(tn_model *m, const char *path) {
    tn_diag diag = {0};
    tn_archive *archive;
    if (tn_safetensors_open(path, &archive, &diag) != TN_OK) stop(path, diag.message);
    for (int i = 0; i < tn_model_n_parameters(m); i++) {
        tn_parameter p = tn_model_parameter_of(m, i);
        const tn_tensor *from = tn_archive_find(archive, p.name);
        if (!from || from->dtype != p.tensor.dtype || tn_tensor_bytes(from) != tn_tensor_bytes(&p.tensor))
            stop(p.name, "is not among the weights, or of another type");
        memcpy(p.tensor.data, from->data, (size_t)tn_tensor_bytes(from));
    }
    tn_archive_free(archive);
}

static void save_weights(const tn_model *m, const char *path) {
    tn_diag diag = {0};
    int n = tn_model_n_parameters(m);
    tn_named_tensor *all = calloc((size_t)n + 1, sizeof *all);
    if (!all) stop(path, "out of memory");
    for (int i = 0; i < n; i++) {
        tn_parameter p = tn_model_parameter_of(m, i);
        all[i] = (tn_named_tensor){p.name, p.tensor};
    }
    if (tn_safetensors_write(path, all, n, NULL, 0, &diag) != TN_OK) stop(path, diag.message);
    free(all);
}

static batches open_batches(const char *path) {
    tn_diag diag = {0};
    batches b = {0};
    if (tn_npz_open(path, &b.archive, &diag) != TN_OK) stop(path, diag.message);
    b.x = tn_archive_find(b.archive, "x");
    b.y = tn_archive_find(b.archive, "y");
    if (!b.x || !b.y || b.x->rank < 2 || b.y->rank < 2 || b.x->shape[0] < 1 || b.x->shape[0] != b.y->shape[0])
        stop(path, "needs x and y, each [k, batch, ...]");
    b.count = b.x->shape[0];
    return b;
}

/* Number i along the first axis. */
static tn_tensor entry(const tn_tensor *all, int64_t i) {
    char *data = all->data;
    return tn_tensor_of(all->dtype, data + i * (tn_tensor_bytes(all) / all->shape[0]), all->rank - 1, all->shape + 1);
}

/* ---- Steps -------------------------------------------------------------------------------------------------- */

static double step(tn_trainer *t, const batches *b) {
    int64_t i = tn_trainer_steps(t) % b->count;
    tn_tensor batch[] = {entry(b->x, i), entry(b->y, i)};
    tn_step_report report;
    if (tn_trainer_step(t, batch, 2, &report) != TN_OK) stop("step", tn_trainer_error(t)->message);
    return report.loss;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(tn_trainer *t, const batches *b, double seconds) {
    static double times[MOST_TIMES], processor[MOST_TIMES];
    int n = 0;
    for (int i = 0; i < WARM_UP; i++) step(t, b);
    for (double end = now() + seconds; n < LEAST_RUNS || (now() < end && n < MOST_TIMES); n++) {
        double began = now(), used = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        step(t, b);
        processor[n] = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - used;
        times[n] = now() - began;
    }
    qsort(times, (size_t)n, sizeof *times, compare);
    qsort(processor, (size_t)n, sizeof *processor, compare);
    printf(", \"min_ms\": %.4f, \"median_ms\": %.4f, \"cpu_ms\": %.4f, \"runs\": %d", times[0] * 1e3,
           times[n / 2] * 1e3, processor[n / 2] * 1e3, n);
}

/* Watches the compilation: the graph as it goes in. */
static void write_module(void *ctx, const tn_stage_report *report) {
    const char *path = ctx;
    if (!report->text) return;
    FILE *file = fopen(path, "w");
    if (!file || fputs(report->text, file) < 0 || fclose(file) != 0) stop(path, "cannot be written");
}

static void train(const settings *s, tn_pool *pool) {
    tn_diag diag = {0};
    batches b = open_batches(s->batches);
    double began = now();
    tn_model *m = training_model_new(s->task, s->dtype);
    if (!m || tn_model_initialise(m, 1, &diag) != TN_OK) stop(s->task->name, diag.message);
    if (s->weights) load_weights(m, s->weights);
    tn_compile_options compile = {.watch = write_module, .watch_ctx = (void *)s->module, .watch_text = "import"};
    tn_trainer_options options = {.optimizer = training_optimizer(s->task),
                                  .pool = pool,
                                  .unguarded = s->unguarded,
                                  .compile = s->module ? &compile : NULL};
    tn_trainer *t = tn_trainer_new(m, &options, &diag);
    if (!t) stop(s->task->name, diag.message);
    long compile_bytes = peak_bytes();
    double loss = step(t, &b);
    printf("{\"first_ms\": %.1f, \"losses\": [%.17g", (now() - began) * 1e3, loss);
    for (long i = 1; i < s->steps; i++) printf(", %.17g", step(t, &b));
    printf("]");
    if (s->seconds > 0) measure(t, &b, s->seconds);
    printf(", \"peak_bytes\": %ld, \"compile_bytes\": %ld, \"state_bytes\": %zu, \"arena_bytes\": %zu}\n", peak_bytes(),
           compile_bytes, tn_trainer_state_bytes(t), tn_trainer_arena_bytes(t));
    tn_trainer_free(t);
    tn_model_free(m);
    tn_archive_free(b.archive);
}

static void save(const settings *s) {
    tn_diag diag = {0};
    tn_model *m = training_model_new(s->task, s->dtype);
    if (!m || tn_model_initialise(m, 1, &diag) != TN_OK) stop(s->task->name, diag.message);
    save_weights(m, s->save);
    tn_model_free(m);
}

static void describe(const training_task *task) {
    const training_sizes *z = &task->sizes;
    const struct {
        const char *name;
        int64_t size;
    } all[] = {{"batch", z->batch},   {"classes", z->classes}, {"width", z->width}, {"inputs", z->inputs},
               {"layers", z->layers}, {"blocks", z->blocks},   {"heads", z->heads}, {"context", z->context}};
    tn_optimizer o = training_optimizer(task);
    printf("{\"name\": \"%s\"", task->name);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) printf(", \"%s\": %lld", all[i].name, (long long)all[i].size);
    printf(", \"optimizer\": \"%s\", \"learning_rate\": %g, \"momentum\": %g, \"beta1\": %g, \"beta2\": %g, "
           "\"epsilon\": %g, \"weight_decay\": %g}\n",
           o.name, o.learning_rate, o.momentum, o.beta1, o.beta2, o.epsilon, o.weight_decay);
}

/* ---- Arguments ---------------------------------------------------------------------------------------------- */

static int usage(void) {
    fprintf(stderr,
            "usage: training MODEL [--dtype f32|f64] [--threads N] [--weights FILE] --batches FILE [--steps N]\n"
            "                [--seconds S] [--unguarded] [--module FILE]\n"
            "       training MODEL [--dtype f32|f64] --save FILE\n"
            "       training MODEL --describe\n");
    return 2;
}

/* 0 unless the text is a number above 0 and up to `most`. */
static double read_number(const char *text, double most) {
    char *end;
    double x = strtod(text, &end);
    return end != text && *end == 0 && x > 0 && x <= most ? x : 0;
}

static bool read_option(settings *s, const char *name, const char *value) {
    if (strcmp(name, "--dtype") == 0) {
        s->dtype = strcmp(value, "f64") == 0 ? TN_F64 : TN_F32;
        return s->dtype == TN_F64 || strcmp(value, "f32") == 0;
    }
    if (strcmp(name, "--threads") == 0) return (s->threads = (int)read_number(value, 1024)) > 0;
    if (strcmp(name, "--steps") == 0) return (s->steps = (long)read_number(value, 1e9)) > 0;
    if (strcmp(name, "--seconds") == 0) return (s->seconds = read_number(value, 1e6)) > 0;
    if (strcmp(name, "--module") == 0) return (s->module = value) != NULL;
    if (strcmp(name, "--weights") == 0) return (s->weights = value) != NULL;
    if (strcmp(name, "--batches") == 0) return (s->batches = value) != NULL;
    return strcmp(name, "--save") == 0 && (s->save = value) != NULL;
}

int main(int argc, char **argv) {
    settings s = {.dtype = TN_F32, .threads = 1, .steps = 1};
    if (argc < 2 || !(s.task = training_task_find(argv[1]))) return usage();
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--unguarded") == 0)
            s.unguarded = true;
        else if (strcmp(argv[i], "--describe") == 0)
            s.describes = true;
        else if (i + 1 >= argc || !read_option(&s, argv[i], argv[i + 1]))
            return usage();
        else
            i++;
    if (!s.batches + !s.save + !s.describes != 2) return usage();
    tn_pool *pool = s.threads > 1 ? tn_pool_new(s.threads) : NULL;
    if (s.threads > 1 && !pool) stop("threads", "no thread pool");
    if (s.describes)
        describe(s.task);
    else if (s.save)
        save(&s);
    else
        train(&s, pool);
    tn_pool_free(pool);
    return 0;
}
