/* Modules compiled ahead of time, linked and run: see aot_run.h. */
#include "tests/lib/aot_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/graph.h"

struct aot_run {
    object_run *machine;
    const tn_graph *function;
    tn_aot files;
};

enum { MOST_ARGUMENTS = 400, LINE_BYTES = 60000 };

static bool fail(char *message, const char *text) {
    snprintf(message, OBJECT_MESSAGE, "%.*s", OBJECT_MESSAGE - 1, text);
    return false;
}

/* ---- Compiling ---- */

static bool run_line(aot_run *a, char *message, const char *format, const char *name) {
    char line[1000], text[OBJECT_MESSAGE];
    snprintf(line, sizeof line, format, name, name, name, name);
    return object_run_command(a->machine, line, text, sizeof text) == 0 || fail(message, text);
}

/* Weights in a file go where the program is told to read them. */
static void write_files(aot_run *a) {
    char name[300];
    snprintf(name, sizeof name, "%.250s.o", a->files.name);
    object_run_write(a->machine, name, a->files.code, a->files.code_bytes);
    snprintf(name, sizeof name, "%.250s.h", a->files.name);
    object_run_write(a->machine, name, a->files.header, strlen(a->files.header));
    snprintf(name, sizeof name, "%.250s.c", a->files.name);
    object_run_write(a->machine, name, a->files.program, strlen(a->files.program));
    snprintf(name, sizeof name, "%.250s.weights", a->files.name);
    if (a->files.weights) object_run_write(a->machine, name, a->files.weights, a->files.weights_bytes);
}

static bool link_files(aot_run *a, char *message) {
    const object_machine *machine = object_run_machine(a->machine);
    char format[700];
    snprintf(format, sizeof format,
             "%.200s -std=c99 -O1 -Wall -Wextra -Wpedantic -Werror -o '%%s.program' '%%s.c' '%%s.o' %.200s",
             machine->compiler, machine->linking ? machine->linking : "");
    return run_line(a, message, format, a->files.name) &&
           run_line(a, message,
                    "LC_ALL=C nm -u '%s.o' | grep -vE '^ *$|^ +U (memcpy|memmove|memset)$' && exit 1; exit 0",
                    a->files.name);
}

aot_run *aot_run_open(object_run *machine, tn_module *m, const tn_aot_options *options, char *message) {
    tn_aot_options o = options ? *options : (tn_aot_options){.name = "model"};
    tn_compile_options c = o.compile ? *o.compile : (tn_compile_options){0};
    tn_diag diag;
    if (!c.target) {
        c.target = object_run_machine(machine)->target;
        c.features = object_run_machine(machine)->features;
    }
    o.compile = &c;
    aot_run *a = calloc(1, sizeof *a);
    if (!a) abort();
    a->machine = machine;
    a->function = o.function ? module_find(m, o.function) : module_main(m);
    bool ok = tn_compile_aot(m, &o, &a->files, &diag) == TN_OK || fail(message, diag.message);
    if (ok) write_files(a);
    if (ok && link_files(a, message)) return a;
    aot_run_close(a);
    return NULL;
}

void aot_run_close(aot_run *a) {
    char message[OBJECT_MESSAGE];
    if (!a) return;
    if (a->files.name) run_line(a, message, "rm -f '%s'.* *.tensor", a->files.name);
    tn_aot_free(&a->files);
    free(a);
}

const tn_aot *aot_run_files(const aot_run *a) { return &a->files; }

/* ---- Arguments ---- */

/* The line on top of the program that tells its arguments, in order: sizes, states, inputs, scalars, outputs. */
typedef struct usage {
    char words[LINE_BYTES];
    char *names[MOST_ARGUMENTS];
    int n, next;
} usage;

static bool read_usage(const aot_run *a, usage *u, char *message) {
    const char *line = strstr(a->files.program, "\n *     ");
    *u = (usage){.n = 0};
    if (!line) return fail(message, "the program does not tell its arguments");
    snprintf(u->words, sizeof u->words, "%.*s", (int)strcspn(line + 8, "\n"), line + 8);
    char *rest = u->words;
    strsep(&rest, " "); /* the program's name */
    for (char *word; (word = strsep(&rest, " ")) && u->n < MOST_ARGUMENTS;) {
        word[strcspn(word, "=")] = '\0';
        u->names[u->n++] = word;
    }
    return true;
}

typedef struct command_line {
    char text[LINE_BYTES];
    usage usage;
} command_line;

static void add_argument(command_line *c, const char *value) {
    size_t used = strlen(c->text);
    usage *u = &c->usage;
    snprintf(c->text + used, sizeof c->text - used, " '%s=%s'", u->next < u->n ? u->names[u->next] : "?", value);
    u->next++;
}

static bool is_state(const tn_graph *g, size_t param) {
    for (size_t r = 0; r < g->n_results; r++)
        if (g->results[r].state_param == (int32_t)param) return true;
    return false;
}

typedef enum group { STATE, INPUT, SCALAR, GROUPS } group;

static group group_of(const tn_graph *g, size_t param) {
    if (is_state(g, param)) return STATE;
    return graph_type(g, g->params[param].value)->rank == 0 ? SCALAR : INPUT;
}

static bool is_given(const tn_graph *g, size_t param) {
    return g->params[param].binding != BINDING_LOAD || !g->params[param].initial;
}

static size_t bytes_of(const eval_tensor *t) { return (size_t)t->n * (tn_dtype_bits(t->dtype) / 8); }

/* Sizes that no fixed number has taken the place of. */
static void add_sizes(command_line *c, const tn_graph *g, const object_call *call) {
    for (size_t i = 0; i < g->n_symbols; i++) {
        const char *name = dim_symbol_name(g->module->dims, g->symbols[i].dim);
        int64_t value = -1;
        char text[40];
        for (int k = 0; k < call->n_symbols; k++)
            if (strcmp(call->symbols[k], name) == 0) value = call->values[k];
        for (size_t p = 0; p < g->n_params; p++) {
            const tn_type *type = graph_type(g, g->params[p].value);
            for (int axis = 0; is_given(g, p) && axis < type->rank; axis++)
                if (type->dims[axis] == g->symbols[i].dim) value = call->in[p].dims[axis];
        }
        snprintf(text, sizeof text, "%lld", (long long)value);
        add_argument(c, text);
    }
}

static void add_input(aot_run *a, command_line *c, const object_call *call, size_t p, group kind) {
    const eval_tensor *t = &call->in[p];
    char text[60];
    if (kind == SCALAR) {
        bool is_real = t->dtype == TN_F32 || t->dtype == TN_F64;
        if (is_real)
            snprintf(text, sizeof text, "%a", eval_load_float(t, 0));
        else if (t->dtype == TN_F16 || t->dtype == TN_BF16)
            snprintf(text, sizeof text, "%u", (unsigned)*(const uint16_t *)t->data);
        else
            snprintf(text, sizeof text, "%lld", (long long)eval_load_int(t, 0));
    } else {
        snprintf(text, sizeof text, "in%zu.tensor", p);
        object_run_write(a->machine, text, t->data, bytes_of(t));
    }
    add_argument(c, text);
}

/* ---- Running ---- */

static bool run_command(aot_run *a, const command_line *c, char *message) {
    static const char script[] = "run.tensor"; /* a line may be longer than what object_run_command takes */
    size_t length = strlen(c->text);
    object_run_write(a->machine, script, c->text, length);
    return run_line(a, message, "sh run.tensor", "");
}

static bool read_outputs(aot_run *a, const object_call *call, char *message) {
    const tn_graph *g = a->function;
    for (size_t r = 0; r < g->n_results; r++) {
        char name[60];
        int32_t state = g->results[r].state_param;
        size_t bytes = bytes_of(&call->out[r]);
        snprintf(name, sizeof name, state >= 0 ? "in%d.tensor" : "out%d.tensor", state >= 0 ? state : (int)r);
        if (object_run_read(a->machine, name, call->out[r].data, bytes) != bytes)
            return fail(message, "an output has other bytes than expected");
    }
    return true;
}

bool aot_run_call(aot_run *a, const object_call *call, char *message) {
    static command_line line; /* large; tests that use this have one thread */
    command_line *c = &line;
    const tn_graph *g = a->function;
    *c = (command_line){.text = ""};
    if (!read_usage(a, &c->usage, message)) return false;
    snprintf(c->text, sizeof c->text, "exec %.100s './%.200s.program'", object_run_machine(a->machine)->emulator,
             a->files.name);
    if (a->files.weights) {
        char name[300];
        snprintf(name, sizeof name, "%.250s.weights", a->files.name);
        add_argument(c, name);
    }
    add_sizes(c, g, call);
    for (group kind = STATE; kind < GROUPS; kind++)
        for (size_t p = 0; p < g->n_params; p++)
            if (is_given(g, p) && group_of(g, p) == kind) add_input(a, c, call, p, kind);
    for (size_t r = 0; r < g->n_results; r++) {
        char name[60];
        snprintf(name, sizeof name, "out%zu.tensor", r);
        if (g->results[r].state_param < 0) add_argument(c, name);
    }
    if (c->usage.next != c->usage.n) return fail(message, "the program has other arguments than the function");
    return run_command(a, c, message) && read_outputs(a, call, message);
}
