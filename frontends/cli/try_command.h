/* Running a shell command on a file, to see whether it fails. */
#ifndef TN_CLI_TRY_COMMAND_H
#define TN_CLI_TRY_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* What counts as failing. */
typedef struct failing {
    const char *command; /* {} stands for the file, once or more often */
    int exit_code;       /* -1: any but 0, and signals */
    const char *match;   /* text in what it prints, the status does not count then; NULL: the status counts */
    double timeout_s;
} failing;

typedef enum trial_end { TRIAL_ENDED, TRIAL_SIGNALLED, TRIAL_TIMED_OUT, TRIAL_INTERRUPTED, TRIAL_NOT_RUN } trial_end;

typedef struct trial {
    bool fails; /* as asked for */
    trial_end end;
    int status; /* exit status, number of the signal, errno */
    double seconds;
    char output[400]; /* the end of what it printed */
} trial;

/* Runs it with what it prints in the file `log`, stdin empty, as a process group that ends with it. */
trial try_command(const failing *f, const char *file, const char *log);

/* From here on an interrupt ends the trial under way, and not this program. */
void try_catch_interrupt(void);
bool try_was_interrupted(void);

#endif
