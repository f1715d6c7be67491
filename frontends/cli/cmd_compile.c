/* tenon compile: a model as an object and a header (tenon_aot.h), and what a C compiler makes of them. */
#include "frontends/cli/commands.h"
#include "frontends/cli/model.h"
#include "frontends/data/atomic_file.h"
#include "runtime/alloc.h"
#include "tenon_aot.h"
#include "tenon_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Options ---- */

/* What --emit says: the form of the code, what its file's name ends in. */
typedef struct emission {
    const char *name, *ending;
    tn_aot_form form;
    bool is_linked, is_program; /* the object is on the way to something else, which has a main */
} emission;

static const emission emissions[] = {
    {"obj", ".o", TN_AOT_OBJECT, false, false}, {"asm", ".s", TN_AOT_ASSEMBLY, false, false},
    {"llvm", ".ll", TN_AOT_LLVM, false, false}, {"lib", ".so", TN_AOT_OBJECT, true, false},
    {"exe", "", TN_AOT_OBJECT, true, true},
};

static const emission *find_emission(const char *name) {
    for (size_t i = 0; name && i < sizeof emissions / sizeof *emissions; i++)
        if (strcmp(emissions[i].name, name) == 0) return &emissions[i];
    return &emissions[0];
}

/* What the options say, as far as it has to be kept. */
typedef struct request {
    const arguments *a;
    const emission *emit;
    tn_compile_options compile;
    tn_symbol_value sizes[OPTION_LIST_MAX];
    arena symbols; /* their names */
    tn_aot_state *states;
    tn_archive *archive;
    tn_aot_options options;
} request;

static int take_sizes(request *r) {
    const option_list *set = LIST_OF(r->a, set);
    for (int i = 0; i < set->n; i++) {
        size_t length;
        int64_t value;
        int status = parse_size(r->a, set->items[i], &length, &value);
        if (status) return status;
        char *symbol = arena_strndup(&r->symbols, set->items[i], length);
        if (!symbol) return report_text(r->a->operands[0], "out of memory");
        r->sizes[i] = (tn_symbol_value){symbol, value};
    }
    r->options.sizes = r->sizes;
    r->options.n_sizes = set->n;
    return EXIT_DONE;
}

static int take_states(request *r) {
    const char *path = TEXT_OF(r->a, states);
    tn_diag diag = {0};
    if (!path) return EXIT_DONE;
    if (tn_safetensors_open(path, &r->archive, &diag) != TN_OK) return report(path, &diag);
    int64_t n = tn_archive_count(r->archive);
    if (!(r->states = tn_calloc((size_t)n + 1, sizeof *r->states))) return report_text(path, "out of memory");
    for (int64_t i = 0; i < n; i++) {
        const tn_named_tensor *t = tn_archive_at(r->archive, i);
        r->states[i] = (tn_aot_state){t->name, t->tensor};
    }
    r->options.states = r->states;
    r->options.n_states = (int)n;
    return EXIT_DONE;
}

/* The part of a path behind the last '/'. */
static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int take_options(request *r, const arguments *a) {
    *r = (request){.a = a, .emit = find_emission(TEXT_OF(a, emit))};
    if (!GIVEN(a, output))
        return options_complain(a->command, "what to write is missing: -o NAME writes NAME.o and NAME.h");
    if (strcmp(base_name(TEXT_OF(a, output)), ".") == 0 || strcmp(base_name(TEXT_OF(a, output)), "..") == 0 ||
        !*base_name(TEXT_OF(a, output)))
        return options_complain(a->command, "-o: a folder, but no name in it");
    model_compile_options(a, &r->compile);
    r->options.compile = &r->compile;
    r->options.name = base_name(TEXT_OF(a, output));
    r->options.source = base_name(a->operands[0]);
    r->options.verb = TEXT_OF(a, entry);
    r->options.function = TEXT_OF(a, function);
    r->options.weights_in_file = GIVEN(a, weights) && strcmp(TEXT_OF(a, weights), "file") == 0;
    r->options.form = r->emit->form;
    int status = take_sizes(r);
    return status ? status : take_states(r);
}

/* ---- Files ---- */

/* NAME.c and NAME.h may be the user's own: only what was made here before is replaced. */
static bool may_replace(const char *path, const char *ending) {
    char start[400];
    if (strcmp(ending, ".c") != 0 && strcmp(ending, ".h") != 0) return true;
    FILE *f = fopen(path, "r");
    if (!f) return true;
    start[fread(start, 1, sizeof start - 1, f)] = '\0';
    fclose(f);
    return !*start || strstr(start, "made by Tenon");
}

static int write_file(const char *name, const char *ending, const void *data, size_t bytes) {
    char path[1100];
    atomic_file f;
    tn_diag diag = {0};
    if ((size_t)snprintf(path, sizeof path, "%s%s", name, ending) >= sizeof path)
        return report_text(name, "the path is too long");
    if (!may_replace(path, ending))
        return report_text(path, "is there already, and Tenon did not make it: -o with another name");
    if (atomic_file_open(path, &f, &diag) != TN_OK) return report(path, &diag);
    atomic_file_write(&f, data, bytes);
    if (atomic_file_commit(&f, path, &diag) != TN_OK) return report(path, &diag);
    printf("%-12s %zu bytes\n", path, bytes);
    return EXIT_DONE;
}

/* Runs the user's C compiler: $CC, which may have arguments of its own, or cc. */
static int link_files(const request *r) {
    const char *name = TEXT_OF(r->a, output), *cc = getenv("CC");
    char command[1100], object[1100], source[1100], result[1100], folder[1100];
    snprintf(command, sizeof command, "%.1000s \"$@\"", cc && *cc ? cc : "cc");
    snprintf(object, sizeof object, "%s.o", name);
    snprintf(source, sizeof source, "%s.c", name);
    snprintf(result, sizeof result, "%s%s", name, r->emit->ending);
    int folder_length = (int)(base_name(name) - name);
    snprintf(folder, sizeof folder, "-I%.*s", folder_length > 0 ? folder_length : 1, folder_length > 0 ? name : ".");
    char *const program[] = {"sh", "-c", command, "cc", "-O1", folder, "-o", result, source, object, NULL},
                *const library[] = {"sh", "-c", command, "cc", "-shared", "-o", result, object, NULL};
    pid_t child;
    int status = -1;
    fflush(stdout);
    if (posix_spawnp(&child, "sh", NULL, NULL, r->emit->is_program ? program : library, environ) != 0 ||
        waitpid(child, &status, 0) != child || status != 0)
        return report_text(result, "%s could not link it (CC names another compiler)", cc && *cc ? cc : "cc");
    printf("%s\n", result);
    return EXIT_DONE;
}

static int write_files(const request *r, const tn_aot *aot) {
    const char *name = TEXT_OF(r->a, output);
    int status = write_file(name, r->emit->is_linked ? ".o" : r->emit->ending, aot->code, aot->code_bytes);
    if (!status) status = write_file(name, ".h", aot->header, strlen(aot->header));
    if (!status && aot->weights) status = write_file(name, ".weights", aot->weights, aot->weights_bytes);
    if (!status && r->emit->is_program) status = write_file(name, ".c", aot->program, strlen(aot->program));
    return !status && r->emit->is_linked ? link_files(r) : status;
}

int command_compile(const arguments *a) {
    static request r; /* some KiB of lists */
    tn_aot aot = {0};
    tn_diag diag = {0};
    int status = take_options(&r, a);
    tn_module *m = status ? NULL : model_load(a->operands[0]);
    if (!status && !m) status = EXIT_INPUT;
    if (!status && tn_compile_aot(m, &r.options, &aot, &diag) != TN_OK) status = report(a->operands[0], &diag);
    if (!status) status = write_files(&r, &aot);
    tn_aot_free(&aot);
    tn_module_free(m);
    tn_archive_free(r.archive);
    tn_free(r.states);
    arena_free(&r.symbols);
    return status;
}
