/* Options of the command line, by table. */
#ifndef TN_CLI_OPTIONS_H
#define TN_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXIT_DONE = 0, EXIT_INPUT = 1, EXIT_USAGE = 2 };

enum { OPTION_LIST_MAX = 256 };

typedef struct option_list {
    int n;
    const char *items[OPTION_LIST_MAX];
} option_list;

/* One option's value; which member counts follows from its kind. */
typedef struct option_value {
    bool is_given;
    const char *text;
    int64_t number;
    double real;
    option_list list;
} option_value;

typedef enum option_name {
#define OPTION(name, kind, argument, help) OPTION_##name,
#include "frontends/cli/options.def"
#undef OPTION
    OPTION_COUNT
} option_name;

struct arguments;

/* A command: what it does, which options it takes. */
typedef struct command {
    const char *name, *operands, *doc, *examples;
    const option_name *options; /* ended by OPTION_COUNT */
    int least_operands, most_operands;
    int (*run)(const struct arguments *a);
} command;

typedef struct arguments {
    const command *command;
    const char *operands[4];
    int n_operands;
    option_value options[OPTION_COUNT];
} arguments;

/* All commands there are, so that an option of another one is told with that. */
void options_know(const command *commands, int n);

/* Reads what follows the command's name. 0, or EXIT_USAGE with a message on stderr; -1 when help was
 * asked for and printed. */
int options_parse(arguments *a, const command *c, int argc, char **argv);

void options_help(const command *c);

/* Prints "tenon COMMAND: message (see tenon COMMAND --help)" and returns EXIT_USAGE. */
int options_complain(const command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define GIVEN(a, name) ((a)->options[OPTION_##name].is_given)
#define TEXT_OF(a, name) ((a)->options[OPTION_##name].text)
#define NUMBER_OF(a, name, otherwise) (GIVEN(a, name) ? (a)->options[OPTION_##name].number : (otherwise))
#define REAL_OF(a, name, otherwise) (GIVEN(a, name) ? (a)->options[OPTION_##name].real : (otherwise))
#define LIST_OF(a, name) (&(a)->options[OPTION_##name].list)

#endif
