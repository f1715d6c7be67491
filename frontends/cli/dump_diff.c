/* tenon dump --diff: what each stage of a compilation changed.
 *
 * in:  a model; all stages, or one
 * out: for each a difference from the stage before (ir/diff.h); the first is told in one line
 * law: the model is compiled once; what a stage started from is a copy taken when the one before had ended
 */
#include "frontends/cli/model.h"
#include "frontends/cli/stage.h"
#include "frontends/cli/write.h"
#include "ir/diff.h"
#include "runtime/alloc.h"

#include <stdio.h>
#include <string.h>

typedef struct differ {
    const char *stage, *folder, *file; /* "all", or the one; NULL: stdout */
    tn_module *before;                 /* as the stage before left it; NULL: none was */
    int number, status;
} differ;

/* The stages that leave the graph as fuse made it, and what they make. */
static const struct {
    const char *stage, *makes;
} behind_the_graph[] = {
    {"loops", "loop trees of its kernels"},
    {"plan", "where its values live"},
    {"llvm", "its code for LLVM"},
    {"asm", "its code for the machine"},
};

static const char *what_it_makes(const char *stage) {
    for (size_t i = 0; i < sizeof behind_the_graph / sizeof *behind_the_graph; i++)
        if (strcmp(behind_the_graph[i].stage, stage) == 0) return behind_the_graph[i].makes;
    return NULL;
}

static void put_first(text_buffer *b, const tn_module *m, const char *stage) {
    size_t n = 0;
    for (size_t i = 0; i < m->n_graphs; i++)
        for (size_t k = 0; k < m->graphs[i]->n_nodes; k++) n += m->graphs[i]->nodes[k].op != TN_OP_param;
    text_format(b, "== %s: %zu nodes in %zu function%s\n", stage, n, m->n_graphs, m->n_graphs == 1 ? "" : "s");
}

static bool put_difference(text_buffer *b, const differ *d, const tn_module *after, const char *stage) {
    const char *made = what_it_makes(stage);
    module_diff diff = {0};
    if (made)
        text_format(b, "== %s: the graph is as before; %s: tenon dump --after %s\n", stage, made, stage);
    else if (!d->before)
        put_first(b, after, stage);
    else if (module_diff_make(&diff, d->before, after))
        text_module_diff(b, &diff, stage);
    else
        b->failed = true;
    module_diff_free(&diff);
    text_add_n(b, "", 1);
    return !b->failed;
}

static int write_difference(const differ *d, const char *stage, const char *text) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%02d-%s.diff", d->folder ? d->folder : "", d->number, stage);
    return write_text(d->folder ? path : d->file, text);
}

static bool after_stage(void *ctx, compilation *c, const char *stage) {
    differ *d = ctx;
    bool is_all = strcmp(d->stage, "all") == 0, is_wanted = is_all || strcmp(d->stage, stage) == 0;
    text_buffer text = {0};
    if (is_wanted && !put_difference(&text, d, c->module, stage))
        d->status = report_text(NULL, "out of memory");
    else if (is_wanted)
        d->status = write_difference(d, stage, text.text);
    tn_free(text.text);
    if (d->status || (is_wanted && !is_all)) return false;
    d->number++;
    if (what_it_makes(stage)) return true;
    tn_module_free(d->before);
    d->before = module_clone(c->module);
    if (!d->before) d->status = report_text(NULL, "out of memory");
    return d->status == EXIT_DONE;
}

int dump_differences(tn_module *m, const arguments *a, const char *stage, const char *out) {
    bool is_all = strcmp(stage, "all") == 0;
    differ d = {.stage = stage, .folder = is_all ? out : NULL, .file = is_all ? NULL : out};
    compilation c;
    tn_compile_options options;
    model_compile_options(a, &options);
    if (d.folder) d.status = write_folder(d.folder);
    compilation_goal goal = {.prefix = "", .last = is_all ? "asm" : stage, .inspect = after_stage, .inspect_ctx = &d};
    if (d.status) return d.status;
    if (!compilation_run(&c, m, &options, &goal) && !d.status) d.status = report(a->operands[0], &c.diag);
    compilation_end(&c);
    tn_module_free(d.before);
    return d.status;
}
