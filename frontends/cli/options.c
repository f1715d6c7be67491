/* Options of the command line (see options.h), over getopt_long. */
#include "frontends/cli/options.h"

#include "ir/near.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum option_kind { FLAG, TEXT, INT, NUMBER, SHARE, LIST, CHOICE } option_kind;

static const struct {
    const char *name;
    option_kind kind;
    const char *argument, *help;
} specs[OPTION_COUNT] = {
#define OPTION(name, kind, argument, help) {#name, kind, argument, help},
#include "frontends/cli/options.def"
#undef OPTION
};

/* --output has the short form -o, --help -h. */
static int short_form(option_name o) { return o == OPTION_output ? 'o' : o == OPTION_help ? 'h' : 0; }

static void spell(option_name o, char *out, size_t bytes) {
    snprintf(out, bytes, "%s", specs[o].name);
    for (char *p = out; *p; p++)
        if (*p == '_') *p = '-';
}

void options_help(const command *c) {
    printf("Usage: tenon %s %s [OPTION]...\n%s\n\nOptions:\n", c->name, c->operands, c->doc);
    for (const option_name *o = c->options; *o != OPTION_COUNT; o++) {
        char name[40], left[120];
        spell(*o, name, sizeof name);
        snprintf(left, sizeof left, "%s--%s%s%s", *o == OPTION_output ? "-o, " : "", name,
                 specs[*o].argument ? " " : "", specs[*o].argument ? specs[*o].argument : "");
        if (strlen(left) > 28)
            printf("  %s\n  %-28s %s\n", left, "", specs[*o].help);
        else
            printf("  %-28s %s\n", left, specs[*o].help);
    }
    printf("\nExamples:\n%s", c->examples);
}

int options_complain(const command *c, const char *format, ...) {
    va_list args;
    fprintf(stderr, "tenon %s: ", c->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (see tenon %s --help)\n", c->name);
    return EXIT_USAGE;
}

/* Whether `given` is one of the words of "a|b|c". */
static bool is_choice(const char *choices, const char *given) {
    for (size_t n; *choices; choices += n + (choices[n] == '|')) {
        n = strcspn(choices, "|");
        if (strlen(given) == n && strncmp(choices, given, n) == 0) return true;
    }
    return false;
}

static int set_option(arguments *a, option_name o, const char *given) {
    option_value *v = &a->options[o];
    char *end = NULL, name[40];
    spell(o, name, sizeof name);
    v->is_given = true;
    v->text = given;
    errno = 0;
    switch (specs[o].kind) {
    case FLAG:
    case TEXT: return 0;
    case CHOICE:
        if (!is_choice(specs[o].argument, given))
            return options_complain(a->command, "--%s: %s is none of %s", name, given, specs[o].argument);
        return 0;
    case LIST:
        if (v->list.n == OPTION_LIST_MAX)
            return options_complain(a->command, "--%s is given more than %d times", name, OPTION_LIST_MAX);
        v->list.items[v->list.n++] = given;
        return 0;
    case INT:
        v->number = strtoll(given, &end, 10);
        if (end == given || *end || errno || v->number < 0)
            return options_complain(a->command, "--%s: %s is not a number from 0 on", name, given);
        return 0;
    case NUMBER:
        v->real = strtod(given, &end);
        if (end == given || *end || errno || !(v->real > 0 && v->real < 1e9))
            return options_complain(a->command, "--%s: %s is not a number above 0", name, given);
        return 0;
    case SHARE:
        v->real = strtod(given, &end);
        if (end == given || *end || errno || !(v->real >= 0 && v->real < 1))
            return options_complain(a->command, "--%s: %s is not a number from 0 to below 1", name, given);
        return 0;
    }
    return 0;
}

static const command *commands;
static int n_commands;

void options_know(const command *all, int n) {
    commands = all;
    n_commands = n;
}

static bool takes(const command *c, option_name option) {
    for (const option_name *o = c->options; *o != OPTION_COUNT; o++)
        if (*o == option) return true;
    return false;
}

/* ", but of run and bench": the commands that have an option of that name; "" when none has. */
static const char *text_of_commands(const char *name, char *out, size_t bytes) {
    int last = -1;
    char spelt[40];
    option_name o = 0;
    for (; o < OPTION_COUNT; o++) {
        spell(o, spelt, sizeof spelt);
        if (strcmp(spelt, name) == 0) break;
    }
    for (int i = 0; o < OPTION_COUNT && i < n_commands; i++)
        if (takes(&commands[i], o)) last = i;
    out[0] = '\0';
    for (int i = 0; i <= last; i++) {
        if (!takes(&commands[i], o)) continue;
        const char *before = !*out ? ", but of " : i == last ? " and " : ", ";
        snprintf(out + strlen(out), bytes - strlen(out), "%s%s", before, commands[i].name);
    }
    return out;
}

/* An option as it was given, which this command does not know: of which it is, or what it may be meant for. */
static int complain_of_option(const command *c, const char *given) {
    char name[64], text[300], spelt[OPTION_COUNT][42];
    const char *word = given + strspn(given, "-");
    int dashes = (int)(word - given);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    near_names near = {.wanted = name};
    for (const option_name *o = c->options; *o != OPTION_COUNT; o++) {
        memcpy(spelt[*o], "--", 2);
        spell(*o, spelt[*o] + 2, sizeof spelt[*o] - 2);
        near_offer(&near, spelt[*o] + 2);
    }
    for (int i = 0; i < near.n; i++) near.names[i] -= 2;                /* shown with their dashes */
    bool is_known = near.n > 0 && strcmp(near.names[0] + 2, name) == 0; /* but was given with one dash */
    if (is_known) near.n = 1;
    if (is_known || !*text_of_commands(name, text, sizeof text)) near_text(&near, text, sizeof text);
    return options_complain(c, "%.*s%s is no option of this command%s", dashes, given, name, text);
}

/* What getopt stopped at: of a cluster of short options ("-set", meant as --set) it has not gone on yet. */
static const char *stopped_at(int argc, char **argv) {
    const char *next = optind < argc ? argv[optind] : "";
    return optopt > 0 && optopt < 256 && next[0] == '-' && next[1] && next[1] != '-' && next[2] ? next
                                                                                                : argv[optind - 1];
}

int options_parse(arguments *a, const command *c, int argc, char **argv) {
    struct option longs[OPTION_COUNT + 1];
    char names[OPTION_COUNT][40], shorts[8] = ":";
    option_name of[OPTION_COUNT];
    int n = 0;
    memset(a, 0, sizeof *a);
    a->command = c;
    for (const option_name *o = c->options; *o != OPTION_COUNT && n < OPTION_COUNT; o++, n++) {
        spell(*o, names[n], sizeof names[n]);
        of[n] = *o;
        longs[n] = (struct option){names[n], specs[*o].kind == FLAG ? no_argument : required_argument, NULL, 256 + n};
        if (short_form(*o))
            snprintf(shorts + strlen(shorts), sizeof shorts - strlen(shorts), "%c%s", short_form(*o),
                     specs[*o].kind == FLAG ? "" : ":");
    }
    longs[n] = (struct option){0};
    optind = 1;
    for (int got; (got = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        if (got == ':') return options_complain(c, "%s needs a value", argv[optind - 1]);
        if (got == '?' && optopt >= 256) return options_complain(c, "--%s takes no value", names[optopt - 256]);
        if (got == '?') return complain_of_option(c, stopped_at(argc, argv));
        int which = got >= 256 ? got - 256 : -1;
        for (int i = 0; i < n && got < 256; i++)
            if (short_form(of[i]) == got) which = i;
        if (which < 0 || which >= n) return complain_of_option(c, argv[optind - 1]);
        if (of[which] == OPTION_help) {
            options_help(c);
            return -1;
        }
        int status = set_option(a, of[which], optarg);
        if (status) return status;
    }
    if (argc - optind < c->least_operands) return options_complain(c, "%s is missing", c->operands);
    if (argc - optind > c->most_operands)
        return options_complain(c, "%s is one operand too many", argv[optind + c->most_operands]);
    a->n_operands = argc - optind;
    for (int i = 0; i < a->n_operands; i++) a->operands[i] = argv[optind + i];
    return 0;
}
