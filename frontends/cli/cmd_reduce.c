/* tenon reduce: a model made smaller for as long as a command fails on it.
 *
 * The smallest so far is in the output file at any time, so that an interrupt loses nothing.
 */
#include "compiler/shrink.h"
#include "frontends/cli/commands.h"
#include "frontends/cli/model.h"
#include "frontends/cli/try_command.h"
#include "frontends/cli/write.h"
#include "frontends/onnx/shrink_model.h"
#include "runtime/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct tn_onnx_size tn_onnx_size;

/* How subjects are read and written. */
typedef struct subject_format {
    const char *ending;
    bool of_onnx; /* read from a .onnx file as it is */
    shrink_kind (*kind)(void);
    void *(*open)(const arguments *a, const tn_onnx_size *sizes); /* NULL: the error is on stderr */
    bool (*write)(const void *subject, const char *path, const char *comment, tn_diag *diag);
} subject_format;

typedef struct reducing {
    const arguments *a;
    const subject_format *format;
    shrink_kind kind;
    failing failing;
    const char *out;
    char folder[512], file[600], log[600];
    bool is_interactive;
    shrink_size size;
    int status;
} reducing;

/* ---- Files ---- */

/* The data of a former, larger one are no longer of use. */
static bool write_tn(const void *subject, const char *path, const char *comment, tn_diag *diag) {
    char data[1024];
    snprintf(data, sizeof data, "%s.bin", path);
    remove(data);
    return write_module(subject, path, comment, diag) == TN_OK;
}

static bool write_onnx(const void *subject, const char *path, const char *comment, tn_diag *diag) {
    (void)comment;
    return tn_onnx_write(subject, path, NULL, diag) == TN_OK;
}

static bool write_model(const void *subject, const char *path, const char *comment, tn_diag *diag) {
    (void)comment;
    return shrink_model_write(subject, path, diag) == TN_OK;
}

/* A size that --set names, in place of its symbol. */
static bool fix_size(tn_graph *g, const tn_onnx_size *size) {
    dim_table *t = g->module->dims;
    tn_dim from = dim_symbol(t, size->symbol), to = dim_const(t, size->value);
    return shrink_rebuild(g, &(graph_edit){.from = &from, .to = &to, .n_dims = 1});
}

static void *open_module(const arguments *a, const tn_onnx_size *sizes) {
    tn_module *m = model_load(a->operands[0]);
    if (!m) return NULL;
    for (const tn_onnx_size *s = sizes; s->symbol; s++)
        if (!fix_size(module_main(m), s)) {
            tn_diag unnamed = {.status = TN_ERR_SHAPE, .message = "a size that --set gives does not fit the model"};
            report(a->operands[0], tn_module_error(m) ? tn_module_error(m) : &unnamed);
            tn_module_free(m);
            return NULL;
        }
    return m;
}

static void *open_model(const arguments *a, const tn_onnx_size *sizes) {
    tn_diag diag = {0};
    shrink_model *m = shrink_model_open(a->operands[0], sizes, &diag);
    if (!m) report(a->operands[0], &diag);
    return m;
}

/* The first that suits the endings of input and output. */
static const subject_format formats[] = {
    {".onnx", true, shrink_models, open_model, write_model},
    {".onnx", false, shrink_modules, open_module, write_onnx},
    {".tn", false, shrink_modules, open_module, write_tn},
};

static const subject_format *find_format(const char *path, const char *out) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (ends_with(out, formats[i].ending) && (!formats[i].of_onnx || ends_with(path, ".onnx"))) return &formats[i];
    return NULL;
}

static int make_folder(reducing *r) {
    const char *temporary = getenv("TMPDIR");
    snprintf(r->folder, sizeof r->folder, "%.400s/tenon-reduce-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(r->folder)) return report_text(r->folder, "the folder cannot be made: %s", strerror(errno));
    snprintf(r->file, sizeof r->file, "%s/try%s", r->folder, r->format->ending);
    snprintf(r->log, sizeof r->log, "%s/log", r->folder);
    return EXIT_DONE;
}

static void remove_folder(const reducing *r) {
    char data[640];
    snprintf(data, sizeof data, "%s.bin", r->file);
    remove(data);
    snprintf(data, sizeof data, "%s.data", r->file);
    remove(data);
    remove(r->file);
    remove(r->log);
    rmdir(r->folder);
}

/* ---- Trying ---- */

/* What cannot be written (ONNX has no such op) is no candidate. */
static bool fails(void *ctx, void *subject) {
    reducing *r = ctx;
    tn_diag diag = {0};
    if (!r->format->write(subject, r->file, NULL, &diag)) return false;
    return try_command(&r->failing, r->file, r->log).fails;
}

static bool keep(reducing *r, const void *subject) {
    char comment[1024];
    tn_diag diag = {0};
    snprintf(comment, sizeof comment, "fails: %.900s", r->failing.command);
    for (char *c = comment; *c; c++)
        if (*c == '\n') *c = ' ';
    if (r->format->write(subject, r->out, comment, &diag)) return true;
    r->status = report(r->out, &diag);
    return false;
}

static bool tell(void *ctx, const void *kept, const char *step, const shrink_size *size, size_t tries) {
    reducing *r = ctx;
    r->size = *size;
    if (r->is_interactive) fprintf(stderr, "\r%zu nodes, %zu tries, %-20s\r", size->nodes, tries, step);
    if (try_was_interrupted()) return false;
    return !kept || keep(r, kept);
}

static const char *plural(size_t n) { return n == 1 ? "" : "s"; }

/* The original has to fail as it will be tried: written again by Tenon. */
static int check_original(reducing *r, const void *subject) {
    const char *path = r->a->operands[0];
    tn_diag diag = {0};
    if (!r->format->write(subject, r->file, NULL, &diag)) return report(diag.file ? diag.file : r->file, &diag);
    trial t = try_command(&r->failing, r->file, r->log);
    if (t.fails) {
        if (!GIVEN(r->a, timeout)) r->failing.timeout_s = 10 * t.seconds + 10;
        return EXIT_DONE;
    }
    const char *import = ends_with(path, ".onnx") && !r->format->of_onnx
                             ? " (as .tn; where the import is at fault, ask for -o NAME.onnx)"
                             : "";
    if (t.end == TRIAL_TIMED_OUT)
        return report_text(path, "the command took more than %g s, there is nothing to reduce: see --timeout",
                           r->failing.timeout_s);
    if (t.end == TRIAL_NOT_RUN) return report_text(path, "the command could not be run: %s", strerror(t.status));
    if (t.end == TRIAL_INTERRUPTED) return report_text(path, "interrupted");
    char why[300];
    if (r->failing.match)
        snprintf(why, sizeof why, "what it prints has no '%.200s' in it", r->failing.match);
    else if (t.end == TRIAL_SIGNALLED)
        snprintf(why, sizeof why, "it ended by signal %d and not with status %d", t.status, r->failing.exit_code);
    else
        snprintf(why, sizeof why, "it ended with status %d", t.status);
    int status = report_text(path, "the command does not fail on the model itself%s: %s", import, why);
    if (*t.output) fprintf(stderr, "%s%s", t.output, t.output[strlen(t.output) - 1] == '\n' ? "" : "\n");
    return status;
}

static int run(reducing *r, void *subject) {
    shrink_size first;
    r->kind.measure(subject, &first);
    size_t tries = 0;
    int status = check_original(r, subject);
    if (!status && !keep(r, subject)) status = r->status;
    if (status) {
        r->kind.release(subject);
        return status;
    }
    r->is_interactive = isatty(STDERR_FILENO);
    shrink_test test = {.fails = fails, .tell = tell, .ctx = r};
    subject = shrink(&r->kind, subject, &test, &tries);
    r->kind.measure(subject, &r->size);
    r->kind.release(subject);
    if (r->is_interactive) fprintf(stderr, "\r%-60s\r", "");
    if (!r->status)
        printf("%s: %zu node%s of %zu, %zu inputs and outputs of %zu, %zu tries%s\n", r->out, r->size.nodes,
               plural(r->size.nodes), first.nodes, r->size.ends, first.ends, tries,
               try_was_interrupted() ? " (interrupted)" : "");
    return r->status;
}

/* What --set says, ended by no name; symbols are cut out of its items. */
static int read_sizes(const arguments *a, tn_onnx_size *sizes) {
    const option_list *set = LIST_OF(a, set);
    for (int i = 0; i < set->n; i++) {
        size_t length;
        int status = parse_size(a, set->items[i], &length, &sizes[i].value);
        char *symbol = status ? NULL : tn_calloc(length + 1, 1);
        if (!symbol) return status ? status : report_text(NULL, "out of memory");
        memcpy(symbol, set->items[i], length);
        sizes[i].symbol = symbol;
    }
    return EXIT_DONE;
}

static int check_usage(const arguments *a) {
    const char *out = TEXT_OF(a, output);
    if (!GIVEN(a, command))
        return options_complain(a->command, "the command that fails is missing: --command 'CMD {}'");
    if (!out) return options_complain(a->command, "where to write is missing: -o FILE.tn or -o FILE.onnx");
    if (!strstr(TEXT_OF(a, command), "{}"))
        return options_complain(a->command, "--command: it has no {}, which stands for the file to try");
    if (!find_format(a->operands[0], out))
        return options_complain(a->command, "-o: %s is neither a .tn nor a .onnx file", out);
    if (GIVEN(a, match) && GIVEN(a, exit_code))
        return options_complain(a->command, "--match and --exit-code exclude each other");
    return EXIT_DONE;
}

int command_reduce(const arguments *a) {
    int status = check_usage(a);
    if (status) return status;
    reducing r = {.a = a, .out = TEXT_OF(a, output), .format = find_format(a->operands[0], TEXT_OF(a, output))};
    r.kind = r.format->kind();
    r.failing = (failing){.command = TEXT_OF(a, command),
                          .exit_code = (int)NUMBER_OF(a, exit_code, -1),
                          .match = TEXT_OF(a, match),
                          .timeout_s = REAL_OF(a, timeout, 600)};
    tn_onnx_size sizes[OPTION_LIST_MAX + 1] = {{NULL, 0}};
    status = read_sizes(a, sizes);
    void *subject = status ? NULL : r.format->open(a, sizes);
    if (!status && !subject) status = EXIT_INPUT;
    if (!status && (status = make_folder(&r))) r.kind.release(subject);
    if (!status) {
        try_catch_interrupt();
        status = run(&r, subject);
        remove_folder(&r);
    }
    for (int i = 0; i <= OPTION_LIST_MAX && sizes[i].symbol; i++) tn_free((char *)(uintptr_t)sizes[i].symbol);
    return status;
}
