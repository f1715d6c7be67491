/* tenon dump: the text of a stage, or of all stages in a folder; or what they changed. */
#include "frontends/cli/commands.h"
#include "frontends/cli/model.h"
#include "frontends/cli/stage.h"
#include "frontends/cli/write.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *extension(const char *stage) {
    static const struct {
        const char *stage, *extension;
    } others[] = {{"llvm", "ll"}, {"asm", "s"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i].stage, stage) == 0) return others[i].extension;
    return "tn";
}

static int dump_stage(tn_module *m, const arguments *a, const char *stage, const char *path) {
    tn_compile_options options;
    tn_diag diag = {0};
    char data[1024];
    model_compile_options(a, &options);
    if (path) snprintf(data, sizeof data, "%s.bin", path);
    const char *brief = isatty(STDOUT_FILENO) ? "" : NULL; /* who looks at a terminal wants no weights */
    char *text = tn_compile_text(m, &options, stage, path ? data : brief, &diag);
    int status = text ? write_text(path, text) : report(a->operands[0], &diag);
    tn_text_free(text);
    return status;
}

/* ---- All stages, from one compilation ---- */

typedef struct dumper {
    const char *folder;
    int status;
} dumper;

static bool write_stage(void *ctx, compilation *c, const char *stage) {
    dumper *d = ctx;
    char path[1024], data[1024];
    int number = stage_number(stage);
    snprintf(path, sizeof path, "%s/%02d-%s.%s", d->folder, number, stage, extension(stage));
    snprintf(data, sizeof data, "%s/%02d-%s.bin", d->folder, number, stage);
    char *text = compilation_text(c, stage, data);
    d->status = text ? write_text(path, text) : report_text(path, "there is no memory for it, or it cannot be written");
    tn_text_free(text);
    return d->status == EXIT_DONE;
}

static int dump_all(tn_module *m, const arguments *a, const char *folder) {
    dumper d = {.folder = folder, .status = write_folder(folder)};
    compilation c;
    tn_compile_options options;
    model_compile_options(a, &options);
    if (d.status) return d.status;
    compilation_goal goal = {.prefix = "", .last = "asm", .inspect = write_stage, .inspect_ctx = &d};
    if (!compilation_run(&c, m, &options, &goal) && !d.status) d.status = report(a->operands[0], &c.diag);
    compilation_end(&c);
    return d.status;
}

int command_dump(const arguments *a) {
    bool has_diff = GIVEN(a, diff);
    const char *stage = GIVEN(a, after) ? TEXT_OF(a, after) : has_diff ? "all" : "import", *out = TEXT_OF(a, output);
    bool all = strcmp(stage, "all") == 0;
    int status = all ? EXIT_DONE : stage_check(a);
    if (status) return status;
    if (all && !out && !has_diff) return options_complain(a->command, "--after all needs a folder: -o DIR");
    tn_module *m = model_load(a->operands[0]);
    status = EXIT_INPUT;
    if (m)
        status = has_diff ? dump_differences(m, a, stage, out)
                 : all    ? dump_all(m, a, out)
                          : dump_stage(m, a, stage, out);
    tn_module_free(m);
    return status;
}
