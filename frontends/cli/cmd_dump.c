/* tenon dump: the text of a stage, or of all stages in a folder. */
#include "frontends/cli/commands.h"
#include "frontends/cli/model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int io_error(const char *path) {
    tn_diag diag = {.status = TN_ERR_IO};
    snprintf(diag.message, sizeof diag.message, "cannot be written: %s", strerror(errno));
    return report(path, &diag);
}

static int write_text(const char *path, const char *text) {
    FILE *f = path ? fopen(path, "w") : stdout;
    if (!f) return io_error(path);
    bool ok = fputs(text, f) >= 0;
    if (path) ok = fclose(f) == 0 && ok;
    return ok ? EXIT_DONE : io_error(path ? path : "stdout");
}

static const char *extension(const char *stage) {
    static const struct {
        const char *stage, *extension;
    } others[] = {{"llvm", "ll"}, {"asm", "s"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i].stage, stage) == 0) return others[i].extension;
    return "tn";
}

static int dump_stage(tn_module *m, const arguments *a, const char *stage, const char *path, const char *data_path) {
    tn_compile_options options;
    tn_diag diag = {0};
    model_compile_options(a, &options);
    char *text = tn_compile_text(m, &options, stage, data_path, &diag);
    int status = text ? write_text(path, text) : report(a->operands[0], &diag);
    tn_text_free(text);
    return status;
}

static int dump_all(tn_module *m, const arguments *a, const char *folder) {
    int status = EXIT_DONE, number = 0;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) return io_error(folder);
    for (const char *const *stage = tn_stage_names(); !status && *stage; stage++, number++) {
        char path[1024], data[1024];
        if (strcmp(*stage, "object") == 0) continue;
        snprintf(path, sizeof path, "%s/%02d-%s.%s", folder, number, *stage, extension(*stage));
        snprintf(data, sizeof data, "%s/%02d-%s.bin", folder, number, *stage);
        status = dump_stage(m, a, *stage, path, data);
    }
    return status;
}

static bool is_stage(const char *name) {
    for (const char *const *stage = tn_stage_names(); *stage; stage++)
        if (strcmp(*stage, name) == 0) return strcmp(name, "object") != 0;
    return strcmp(name, "all") == 0;
}

int command_dump(const arguments *a) {
    const char *stage = GIVEN(a, after) ? TEXT_OF(a, after) : "import", *out = TEXT_OF(a, output);
    bool all = strcmp(stage, "all") == 0;
    if (!is_stage(stage)) return options_complain(a->command, "--after: there is no stage %s", stage);
    if (all && !out) return options_complain(a->command, "--after all needs a folder: -o DIR");
    tn_module *m = model_load(a->operands[0]);
    int status = EXIT_INPUT;
    char data[1024];
    if (out) snprintf(data, sizeof data, "%s.bin", out);
    if (m) status = all ? dump_all(m, a, out) : dump_stage(m, a, stage, out, out ? data : NULL);
    tn_module_free(m);
    return status;
}
