/* Commands of the debugger (see debug.h).
 *
 * in:  lines: those of --execute first, then those of standard input
 * out: each obeyed, and echoed where no person sees what is typed, so that a script's output reads as a conversation
 * law: an empty line means the last one again, as debuggers have it; a command may be cut to any beginning that no other
 *      command before it in the table has
 */
#include "frontends/cli/debug.h"

#include "ir/near.h"
#include "runtime/alloc.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Going on -------------------------------------------------------------------------------------------- */

static bool is_running(const debugger *d) {
    if (!d->frame) printf("the run is over: run starts it again\n");
    return d->frame != NULL;
}

/* A count behind a command; 0: it is none, which has been said. */
static int64_t count_of(const char *text) {
    char *end;
    if (!*text) return 1;
    long long n = strtoll(text, &end, 10);
    if (end != text && !*end && n > 0) return n;
    printf("%s is no number from 1 on\n", text);
    return 0;
}

static void go_on(debugger *d, stepping mode, const char *text) {
    int64_t times = count_of(text);
    if (times == 0 || !is_running(d)) return;
    d->mode = mode;
    d->times = times;
    d->mode_depth = debug_depth(mode == FINISH ? d->shown : d->frame);
    d->shown = NULL; /* ends the conversation */
}

static void step(debugger *d, const char *text) { go_on(d, STEP, text); }
static void next(debugger *d, const char *text) { go_on(d, NEXT, text); }

/* Those that nothing may stand behind. */
static bool is_alone(const char *text) {
    if (*text) printf("%s is one word too many\n", text);
    return !*text;
}

static void finish(debugger *d, const char *text) {
    if (is_alone(text)) go_on(d, FINISH, text);
}

static void resume(debugger *d, const char *text) {
    if (is_alone(text)) go_on(d, RUN, text);
}

static void run_again(debugger *d, const char *text) {
    (void)text;
    d->runs_again = true;
}

static void quit(debugger *d, const char *text) {
    (void)text;
    d->quits = true;
}

/* ---- The table --------------------------------------------------------------------------------------------- */

static debug_command help;

static const struct row {
    const char *name, *operands;
    debug_command *obey;
    const char *doc;
} rows[] = {
    {"step", "[N]", step, "evaluate a node, and stop in what it calls"},
    {"next", "[N]", next, "evaluate a node with all that it calls"},
    {"finish", "", finish, "go on to the end of this function, or of this round of a loop"},
    {"continue", "", resume, "go on to a breakpoint, an error or the end"},
    {"break", "WHAT", debug_break,
     "stop before a value, op:NAME, @function, FILE:LINE or a source node; behind nan or inf"},
    {"delete", "[N]", debug_delete, "delete breakpoint N, or all"},
    {"info", "WHAT", debug_info, "list breakpoints, symbols or functions"},
    {"print", "VALUE[SLICE]", debug_print, "type and elements of a value: print x, print %12[0, 1:3]; or a symbol"},
    {"list", "[WHAT]", debug_list, "nodes around this one, of @function, or around a value; then those that follow"},
    {"stats", "VALUE", debug_stats, "least, mean, greatest, NaNs, a histogram"},
    {"set", "VALUE = X", debug_set, "put a number, or the content of a .npy file, in place of a value"},
    {"bt", "", debug_bt, "the chain of calls, with rounds of loops"},
    {"up", "", debug_up, "look at the caller"},
    {"down", "", debug_down, "look at what it called"},
    {"where", "", debug_where, "the places in the source that this node is from"},
    {"run", "", run_again, "start again from the first node; breakpoints stay"},
    {"help", "", help, "print this"},
    {"quit", "", quit, "end"},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static void help(debugger *d, const char *text) {
    (void)d;
    (void)text;
    for (int i = 0; i < N_ROWS; i++) printf("  %-8s %-13s %s\n", rows[i].name, rows[i].operands, rows[i].doc);
    printf("An empty line repeats the last command; commands may be cut short: s, n, c, b, p, l.\n");
}

static const struct row *row_of(const char *word, size_t length) {
    for (int i = 0; i < N_ROWS; i++)
        if (length > 0 && strncmp(rows[i].name, word, length) == 0) return &rows[i];
    return NULL;
}

static void complain(const char *word, size_t length) {
    char name[64], text[120];
    snprintf(name, sizeof name, "%.*s", length > 60 ? 60 : (int)length, word);
    near_names near = {.wanted = name};
    for (int i = 0; i < N_ROWS; i++) near_offer(&near, rows[i].name);
    printf("there is no command %s%s (help lists them)\n", name, near_text(&near, text, sizeof text));
}

static void obey(debugger *d, char *line) {
    size_t length = strcspn(line, " \t");
    const struct row *row = row_of(line, length);
    const char *rest = line + length + strspn(line + length, " \t");
    if (row)
        row->obey(d, rest);
    else
        complain(line, length);
}

/* ---- Lines --------------------------------------------------------------------------------------------------- */

static char *trim(char *line) {
    while (isspace((unsigned char)*line)) line++;
    for (size_t n = strlen(line); n > 0 && isspace((unsigned char)line[n - 1]); n--) line[n - 1] = '\0';
    return line;
}

static bool take_line(debugger *d, const char *text) {
    size_t n = strlen(text) + 1;
    if (n > d->line_bytes) {
        char *line = realloc(d->line, n); /* NOLINT: it is getline's memory */
        if (!line) return false;
        d->line = line;
        d->line_bytes = n;
    }
    memcpy(d->line, text, n);
    return true;
}

/* The next line; false: there are no more. */
static bool read_line(debugger *d) {
    const option_list *given = LIST_OF(d->a, execute);
    bool is_terminal = isatty(STDIN_FILENO), is_given = d->next_command < given->n;
    if (is_given) {
        if (!take_line(d, given->items[d->next_command++])) return false;
    } else {
        if (is_terminal) printf("(tenon) ");
        fflush(stdout);
        if (getline(&d->line, &d->line_bytes, stdin) < 0) return false;
    }
    if (is_given || !is_terminal) printf("(tenon) %s\n", trim(d->line));
    return true;
}

static bool remember(debugger *d, const char *line) {
    size_t n = strlen(line) + 1;
    char *copy = tn_malloc(n);
    if (!copy) return false;
    memcpy(copy, line, n);
    tn_free(d->last_line);
    d->last_line = copy;
    return true;
}

void debug_converse(debugger *d) {
    d->shown = d->frame;
    while (!d->quits && !d->runs_again && (d->shown || !d->frame)) {
        if (!read_line(d)) {
            d->quits = true;
            break;
        }
        char *line = trim(d->line);
        if (*line && !remember(d, line)) printf("out of memory\n");
        if (d->last_line) obey(d, *line ? line : d->last_line);
    }
    fflush(stdout);
}
