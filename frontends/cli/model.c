/* Models: loading, compiling (see model.h). */
#include "frontends/cli/model.h"

#include "frontends/cli/read_file.h"
#include "runtime/alloc.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int report(const char *file, const tn_diag *diag)
{
    const char *where = diag->file ? diag->file : file;
    if (where && diag->line && diag->column)
        fprintf(stderr, "%s:%d:%d: error: %s\n", where, diag->line, diag->column, diag->message);
    else if (where && diag->line)
        fprintf(stderr, "%s:%d: error: %s\n", where, diag->line, diag->message);
    else
        fprintf(stderr, "%s: error: %s\n", where ? where : "tenon", diag->message);
    return EXIT_INPUT;
}

double clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

void file_name(const char *name, char *out, size_t bytes)
{
    snprintf(out, bytes, "%s", name);
    for (char *p = out; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            *p = '_';
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static tn_module *load_text(const char *path)
{
    void *content;
    size_t size;
    tn_diag diag = {0};
    if (read_file(path, &content, &size, &diag) != TN_OK) {
        report(path, &diag);
        return NULL;
    }
    tn_module *m = tn_module_parse(content, size, path);
    tn_free(content);
    return m;
}

tn_module *model_load(const char *path)
{
    if (!ends_with(path, ".onnx") && !ends_with(path, ".tn")) {
        tn_diag diag = {.message = "a model is a .onnx or a .tn file"};
        report(path, &diag);
        return NULL;
    }
    tn_module *m = ends_with(path, ".onnx") ? tn_onnx_load(path, NULL) : load_text(path);
    if (m && !tn_module_error(m))
        return m;
    if (m)
        report(path, tn_module_error(m));
    tn_module_free(m);
    return NULL;
}

/* ---- Compiling ---- */

/* Work over a second shows its stages on a terminal. */
static void show_progress(void *ctx, const tn_stage_report *stage)
{
    double *start = ctx;
    if (isatty(STDERR_FILENO) && clock_ms() - *start > 1000)
        fprintf(stderr, "\rcompiling: %s done%20s\r", stage->name, "");
}

static void show_time(void *ctx, const tn_stage_report *stage)
{
    (void)ctx;
    fprintf(stderr, "%10.3f ms  %s\n", stage->milliseconds, stage->name);
}

void model_compile_options(const arguments *a, tn_compile_options *options)
{
    *options = (tn_compile_options){.target = TEXT_OF(a, target), .no_fusion = GIVEN(a, no_fusion),
                                    .verify_each = GIVEN(a, verify_each), .gemm = TEXT_OF(a, gemm)};
    if (GIVEN(a, time))
        options->watch = show_time;
}

tn_program *model_compile(tn_module *m, const char *path, const tn_compile_options *options, double *milliseconds)
{
    double start = clock_ms();
    tn_compile_options with_progress = *options;
    if (!with_progress.watch) {
        with_progress.watch = show_progress;
        with_progress.watch_ctx = &start;
    }
    tn_program *p = tn_compile_module(m, &with_progress);
    *milliseconds = clock_ms() - start;
    if (!p)
        report(path, tn_module_error(m));
    return p;
}
