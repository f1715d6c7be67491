/* tenon bisect: the first stage and the first value where compiled results leave the interpreter's. */
#include "frontends/cli/commands.h"
#include "frontends/cli/json.h"
#include "frontends/cli/model.h"
#include "frontends/cli/write.h"
#include "runtime/alloc.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void show(void *ctx, const char *what) {
    const bool *is_interactive = ctx;
    if (*is_interactive) fprintf(stderr, "\r%-76.76s\r", what);
}

/* ---- The reproducer ---- */

/* With the command that shows it on top. */
static int write_reproducer(const tn_bisect_result *r, const char *path) {
    char comment[1400];
    tn_diag diag = {0};
    snprintf(comment, sizeof comment, "leaves at %s: tenon bisect %s%s", r->stage, path, r->needs);
    return write_module(r->reproducer, path, comment, &diag) == TN_OK ? EXIT_DONE : report(path, &diag);
}

static int print_reproducer(const tn_bisect_result *r, const char *path) {
    if (!r->reproducer) {
        printf("no smaller graph leaves there with random inputs\n");
        return EXIT_DONE;
    }
    if (path) {
        int status = write_reproducer(r, path);
        if (!status)
            printf("%s: %zu node%s it: tenon bisect %s%s\n", path, r->nodes, r->nodes == 1 ? " shows" : "s show", path,
                   r->needs);
        return status;
    }
    char *text = tn_module_print(r->reproducer, NULL);
    if (!text) return report_text(NULL, "out of memory");
    printf("\n# %zu node%s it (-o FILE writes them)%s%s\n%s", r->nodes, r->nodes == 1 ? " shows" : "s show",
           *r->needs ? ", with" : "", r->needs, text);
    tn_text_free(text);
    return EXIT_DONE;
}

/* ---- The answer ---- */

/* What a stage is, for those who don't know the word. */
static const char *stage_doc(const char *stage) {
    static const struct {
        const char *stage, *doc;
    } others[] = {{"loops", "the loop tree that a kernel is lowered to"},
                  {"llvm", "the code that is made of a kernel's loop tree"},
                  {"plan", "the program around the kernels: where values lie, calls, control flow"},
                  {"prepare", "packing of weights when the program is loaded"},
                  {"threads", "results depend on the number of threads"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i].stage, stage) == 0) return others[i].doc;
    return "a graph pass";
}

static void print_finding(const tn_bisect_result *r) {
    printf("leaves at: %s (%s)\n", r->stage, stage_doc(r->stage));
    printf("first value: %s = %s%s%s\n", r->value, r->op, *r->location ? "  # " : "", r->location);
    if (*r->index) {
        printf("  element %s is %.9g, the interpreter says %.9g", r->index, r->got, r->want);
        if (r->bound > 0)
            printf(" (%.3g apart, %.3g are allowed)\n", r->got > r->want ? r->got - r->want : r->want - r->got,
                   r->bound);
        else
            printf("\n");
    }
    if (*r->note) printf("  %s\n", r->note);
}

static int print_result(const tn_bisect_result *r, const arguments *a) {
    if (GIVEN(a, json)) {
        json_t *all = json_pack("{s:b, s:s}", "leaves", r->leaves, "checked", r->checked);
        if (r->leaves)
            json_object_update_new(all,
                                   json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:I, s:s}", "stage", r->stage,
                                             "value", r->value, "op", r->op, "location", r->location, "index", r->index,
                                             "got", r->got, "want", r->want, "bound", r->bound, "reproducer_nodes",
                                             (json_int_t)r->nodes, "reproducer_needs", r->needs));
        int status = print_json(all);
        if (!status && r->reproducer && TEXT_OF(a, output)) status = write_reproducer(r, TEXT_OF(a, output));
        return status ? status : r->leaves ? EXIT_INPUT : EXIT_DONE;
    }
    if (!r->leaves) {
        printf("nothing leaves: compared %s\n", r->checked);
        return EXIT_DONE;
    }
    print_finding(r);
    print_reproducer(r, TEXT_OF(a, output));
    return EXIT_INPUT;
}

/* ---- The command ---- */

static int bisect(session *s, const arguments *a) {
    const tn_graph *g = s->data.main;
    tn_tensor *inputs = tn_calloc(g->n_params + 1, sizeof *inputs);
    tn_symbol_value *sizes = run_data_symbols(&s->data);
    if (!inputs || !sizes) {
        tn_free(inputs);
        tn_free(sizes);
        return report_text(s->path, "out of memory");
    }
    for (size_t i = 0; i < g->n_params; i++) {
        const eval_tensor *t = &s->data.inputs[i];
        if (t->data && s->data.is_given[i]) inputs[i] = tn_tensor_of(t->dtype, t->data, t->rank, t->dims);
    }
    tn_compile_options compile;
    bool is_interactive = isatty(STDERR_FILENO);
    model_compile_options(a, &compile);
    tn_bisect_options options = {.compile = &compile,
                                 .threads = (int)NUMBER_OF(a, threads, 0),
                                 .seed = NUMBER_OF(a, seed, 0),
                                 .seconds = REAL_OF(a, seconds, 0),
                                 .progress = show,
                                 .ctx = &is_interactive};
    tn_bisect_result result;
    tn_diag diag;
    tn_status status = tn_bisect(s->module, inputs, sizes, (int)g->n_symbols, &options, &result, &diag);
    if (is_interactive) fprintf(stderr, "\r%-76s\r", "");
    int ended = status == TN_OK ? print_result(&result, a) : report(s->path, &diag);
    tn_bisect_free(&result);
    tn_free(inputs);
    tn_free(sizes);
    return ended;
}

int command_bisect(const arguments *a) {
    session s;
    if (TEXT_OF(a, output) && !ends_with(TEXT_OF(a, output), ".tn"))
        return options_complain(a->command, "-o: %s is no .tn file", TEXT_OF(a, output));
    int status = session_load(&s, a, FILL_NOTED);
    if (!status) status = bisect(&s, a);
    session_close(&s);
    return status;
}
