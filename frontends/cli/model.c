/* Models: loading, compiling, running (see model.h). */
#include "frontends/cli/model.h"

#include "frontends/data/file_kind.h"
#include "frontends/data/read_file.h"
#include "runtime/alloc.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int report(const char *file, const tn_diag *diag) {
    const char *where = diag->file ? diag->file : file;
    if (where && diag->line && diag->column)
        fprintf(stderr, "%s:%d:%d: error: %s\n", where, diag->line, diag->column, diag->message);
    else if (where && diag->line)
        fprintf(stderr, "%s:%d: error: %s\n", where, diag->line, diag->message);
    else
        fprintf(stderr, "%s: error: %s\n", where ? where : "tenon", diag->message);
    return EXIT_INPUT;
}

int report_text(const char *file, const char *format, ...) {
    tn_diag diag = {.status = TN_ERR_ARGUMENT};
    va_list args;
    va_start(args, format);
    vsnprintf(diag.message, sizeof diag.message, format, args);
    va_end(args);
    return report(file, &diag);
}

double clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

void file_name(const char *name, char *out, size_t bytes) {
    snprintf(out, bytes, "%s", name);
    for (char *p = out; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p)) *p = '_';
}

bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static tn_module *load_text(const char *path) {
    void *content;
    size_t size;
    tn_diag diag = {0};
    if (read_file(path, &content, &size, &diag) != TN_OK) {
        report(path, &diag);
        return NULL;
    }
    bool is_text = size >= 6 && memcmp(content, "module", 6) == 0;
    const char *kind = is_text ? NULL : file_kind(content, size);
    if (kind) report_text(path, "not text of Tenon's graphs; this is %s", kind);
    tn_module *m = kind ? NULL : tn_module_parse(content, size, path);
    tn_free(content);
    return m;
}

tn_module *model_load(const char *path) { return model_load_with(path, NULL); }

/* A path that does not end as a model's does: what stands there, or whether its ending was forgotten. */
static void complain_of_path(const char *path) {
    static const char *const endings[] = {".onnx", ".tn"};
    struct stat found;
    char whole[1100];
    if (stat(path, &found) == 0) {
        const char *kind = S_ISREG(found.st_mode) ? file_kind_at(path) : NULL, *folder = ", not a folder";
        report_text(path, "a model is a .onnx or a .tn file%s%s", kind ? "; this is " : "",
                    kind                     ? kind
                    : S_ISDIR(found.st_mode) ? folder
                                             : "");
        return;
    }
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        snprintf(whole, sizeof whole, "%.1000s%s", path, endings[i]);
        if (access(whole, R_OK) != 0) continue;
        report_text(path, "a model is a .onnx or a .tn file: did you mean %s?", whole);
        return;
    }
    report_text(path, "%s; a model is a .onnx or a .tn file", strerror(errno));
}

tn_module *model_load_with(const char *path, const tn_onnx_options *options) {
    if (!ends_with(path, ".onnx") && !ends_with(path, ".tn")) {
        complain_of_path(path);
        return NULL;
    }
    tn_module *m = ends_with(path, ".onnx") ? tn_onnx_load(path, options) : load_text(path);
    tn_diag diag = {0};
    if (m && !tn_module_error(m) && (tn_module_verify(m, &diag) == TN_OK || report(path, &diag) == EXIT_DONE)) return m;
    if (m && tn_module_error(m)) report(path, tn_module_error(m));
    tn_module_free(m);
    return NULL;
}

/* ---- Compiling ---- */

/* Work over a second shows its stages on a terminal. */
static void show_progress(void *ctx, const tn_stage_report *stage) {
    const double *start = ctx;
    if (isatty(STDERR_FILENO) && clock_ms() - *start > 1000) fprintf(stderr, "\rcompiling: %-40s\r", stage->name);
}

static void end_progress(double start) {
    if (isatty(STDERR_FILENO) && clock_ms() - start > 1000) fprintf(stderr, "\r%-60s\r", "");
}

static void show_time(void *ctx, const tn_stage_report *stage) {
    (void)ctx;
    fprintf(stderr, "%10.3f ms  %s\n", stage->milliseconds, stage->name);
}

/* Without a cache all works as well, so that a folder that cannot be used is told to those who look at times alone. */
static void warn_of_cache(void *ctx, const tn_diag *what) {
    const tn_compile_options *o = ctx;
    if (what->status != TN_ERR_IO || o->watch == show_time)
        fprintf(stderr, "%s: warning: the cache: %s\n", what->file ? what->file : "tenon", what->message);
}

/* DIR/NAME.loops.tn of --debug-info DIR, for a model of that name. A folder that cannot be made is told when the file is
 * written. */
static const char *debug_file(const arguments *a) {
    static char path[1400];
    const char *folder = TEXT_OF(a, debug_info), *model = a->operands[0], *slash = strrchr(model, '/');
    char name[256];
    if (!folder) return NULL;
    file_name(slash ? slash + 1 : model, name, sizeof name);
    char *dot = strrchr(name, '.');
    if (dot) *dot = '\0';
    mkdir(folder, 0777);
    snprintf(path, sizeof path, "%.1000s/%s.loops.tn", folder, name);
    return path;
}

void model_compile_options(const arguments *a, tn_compile_options *options) {
    *options = (tn_compile_options){.target = TEXT_OF(a, target),
                                    .cpu = TEXT_OF(a, cpu),
                                    .features = TEXT_OF(a, features),
                                    .freestanding = GIVEN(a, freestanding),
                                    .no_fusion = GIVEN(a, no_fusion),
                                    .trust_loops = GIVEN(a, trust_loops),
                                    .perf_map = GIVEN(a, perf_map),
                                    .debug_info = debug_file(a),
                                    .debug_lines = TEXT_OF(a, debug_lines),
                                    .verify_each = GIVEN(a, verify_each),
                                    .nan_check = GIVEN(a, nan_check),
                                    .winograd = TEXT_OF(a, winograd),
                                    .strassen = TEXT_OF(a, strassen),
                                    .gemm = TEXT_OF(a, gemm),
                                    .weight_type = TEXT_OF(a, weight_type),
                                    .cache = GIVEN(a, cache) ? TEXT_OF(a, cache) : "off",
                                    .warn = warn_of_cache,
                                    .warn_ctx = options};
    if (GIVEN(a, time)) options->watch = show_time;
}

tn_program *model_compile(tn_module *m, const char *path, const tn_compile_options *options, double *milliseconds) {
    double start = clock_ms();
    tn_compile_options with_progress = *options;
    if (!with_progress.watch) {
        with_progress.watch = show_progress;
        with_progress.watch_ctx = &start;
    }
    tn_program *p = tn_compile_module(m, &with_progress);
    *milliseconds = clock_ms() - start;
    if (with_progress.watch == show_progress) end_progress(start);
    if (!p) report(path, tn_module_error(m));
    return p;
}

/* ---- Sessions ---- */

int session_load(session *s, const arguments *a, filling how) {
    enum { MOST_THREADS = 1024 };
    double start = clock_ms();
    *s = (session){.a = a, .path = a->operands[0]};
    if (NUMBER_OF(a, threads, 0) > MOST_THREADS)
        return options_complain(a->command, "--threads: at most %d", MOST_THREADS);
    if (tracing_open(&s->tracing, a) != EXIT_DONE) return EXIT_INPUT;
    s->module = model_load(s->path);
    s->load_ms = clock_ms() - start;
    tracing_span(&s->tracing, "load", 0);
    return s->module ? run_data_load(&s->data, s->module, a, how) : EXIT_INPUT;
}

/* Symbols that are not the size of an axis of an input are not told by the inputs. */
static bool set_symbols(const session *s) {
    const tn_graph *g = s->data.main;
    for (size_t i = 0; i < g->n_symbols; i++) {
        bool is_axis = false;
        for (size_t k = 0; k < g->n_params; k++) {
            const tn_type *type = graph_type(g, g->params[k].value);
            for (int axis = 0; g->params[k].binding != BINDING_LOAD && axis < type->rank; axis++)
                is_axis |= type->dims[axis] == g->symbols[i].dim;
        }
        const char *name = dim_symbol_name(g->module->dims, g->symbols[i].dim);
        if (!is_axis && tn_program_find_symbol(s->program, name) >= 0 &&
            tn_exec_set_symbol(s->exec, name, s->data.symbols[i]) != TN_OK)
            return false;
    }
    return true;
}

static bool make_exec(session *s, tn_trace *trace) {
    tn_exec_free(s->exec);
    s->exec = tn_exec_new(s->program, &(tn_exec_options){.pool = s->pool, .profile = s->profile, .trace = trace});
    return s->exec && set_symbols(s);
}

int session_set_weights(session *s) {
    int n = s->data.n_inputs + s->data.n_raw, count = 0;
    const char **names = tn_calloc((size_t)n + 1, sizeof *names);
    tn_tensor *tensors = tn_calloc((size_t)n + 1, sizeof *tensors);
    for (int i = 0; names && tensors && i < n; i++) {
        const eval_tensor *t = run_data_tensor(&s->data, i);
        if (!run_data_is_weight(&s->data, i) || !t->data) continue;
        names[count] = run_data_param(&s->data, i)->name;
        tensors[count++] = tn_tensor_of(t->dtype, t->data, t->rank, t->dims);
    }
    tn_diag diag = {.status = TN_ERR_MEMORY, .message = "out of memory"};
    bool ok =
        names && tensors && (count == 0 || tn_program_set_weights(s->program, names, tensors, count, &diag) == TN_OK);
    tn_free(names);
    tn_free(tensors);
    return ok ? EXIT_DONE : report(s->path, &diag);
}

int session_compile(session *s, bool uses_cache) {
    tn_compile_options options;
    model_compile_options(s->a, &options);
    if (uses_cache && !GIVEN(s->a, cache)) options.cache = "on";
    if (s->is_probe) {
        options.nan_check = false;
        options.watch = NULL;
    }
    options.pool = s->pool = tn_pool_new((int)NUMBER_OF(s->a, threads, 0));
    tracing_watch(&s->tracing, &options);
    uint64_t begin = tracing_now(&s->tracing);
    s->program = model_compile(s->module, s->path, &options, &s->compile_ms);
    tracing_span(&s->tracing, "compile", begin);
    if (!s->program) return EXIT_INPUT;
    s->profile = GIVEN(s->a, profile) && !s->is_probe ? tn_profile_new(s->program) : NULL;
    if (!s->pool || (GIVEN(s->a, profile) && !s->is_probe && !s->profile) || !make_exec(s, NULL))
        return report_text(s->path, "out of memory");
    return session_set_weights(s);
}

int session_trace_runs(session *s) {
    if (!s->tracing.trace || make_exec(s, s->tracing.trace)) return EXIT_DONE;
    return report_text(s->path, "out of memory");
}

void session_close(session *s) {
    tn_exec_free(s->exec);
    tn_profile_free(s->profile);
    tracing_close(&s->tracing);
    tn_program_free(s->program);
    tn_pool_free(s->pool);
    run_data_free(&s->data);
    tn_module_free(s->module);
    *s = (session){0};
}

void session_print_profile(const session *s, int runs) {
    for (int i = 0; s->profile && i < tn_program_n_kernels(s->program); i++) {
        const tn_kernel_info *k = tn_program_kernel(s->program, i);
        fprintf(stderr, "%10.4f ms  %-8s %-10s %s\n", (double)tn_profile_ns(s->profile, i) * 1e-6 / runs, k->name,
                k->class_name, k->locations);
    }
}
