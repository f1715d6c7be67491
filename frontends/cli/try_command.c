/* Running a shell command on a file, to see whether it fails (see try_command.h). */
#include "frontends/cli/try_command.h"

#include "frontends/cli/model.h"
#include "frontends/data/read_file.h"
#include "runtime/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t is_interrupted;

static void note_interrupt(int signal) {
    (void)signal;
    is_interrupted = 1;
}

void try_catch_interrupt(void) {
    struct sigaction action = {.sa_handler = note_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool try_was_interrupted(void) { return is_interrupted != 0; }

/* The command with the file in place of each {}, in single quotes; from tn_malloc. */
static char *fill_in(const char *command, const char *file) {
    size_t length = strlen(command) + 1;
    for (const char *at = command; (at = strstr(at, "{}")); at += 2) length += 4 * strlen(file) + 2;
    char *text = tn_malloc(length), *to = text;
    for (const char *from = command; text && *from;) {
        if (strncmp(from, "{}", 2) != 0) {
            *to++ = *from++;
            continue;
        }
        from += 2;
        *to++ = '\'';
        for (const char *c = file; *c; c++) {
            size_t n = *c == '\'' ? 4 : 1;
            memcpy(to, n == 4 ? "'\\''" : c, n);
            to += n;
        }
        *to++ = '\'';
    }
    if (text) *to = 0;
    return text;
}

/* In the child: never returns. */
static void run_shell(const char *text, const char *log) {
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600), in = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    if (out < 0 || in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) _exit(127);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    execl("/bin/sh", "sh", "-c", text, (char *)NULL);
    _exit(127);
}

/* Waits; past the time, or when interrupted, the whole group is ended. */
static trial_end wait_for(pid_t child, double timeout_s, int *status) {
    double start = clock_ms();
    trial_end end = TRIAL_ENDED;
    long pause_ns = 500000;
    for (;;) {
        pid_t done = waitpid(child, status, end == TRIAL_ENDED ? WNOHANG : 0);
        if (done == child) break;
        if (done < 0 && errno != EINTR) return TRIAL_NOT_RUN;
        if (is_interrupted) end = TRIAL_INTERRUPTED;
        if (clock_ms() - start > timeout_s * 1e3) end = TRIAL_TIMED_OUT;
        if (end != TRIAL_ENDED) kill(-child, SIGKILL);
        nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
        if (pause_ns < 20000000) pause_ns *= 2;
    }
    kill(-child, SIGKILL); /* what it left behind */
    return end;
}

static bool prints(const char *log, const char *match, trial *t) {
    void *content;
    size_t size;
    tn_diag diag = {0};
    if (read_file(log, &content, &size, &diag) != TN_OK) return false;
    size_t keep = size < sizeof t->output - 1 ? size : sizeof t->output - 1;
    memcpy(t->output, (char *)content + size - keep, keep);
    t->output[keep] = 0;
    bool found = match && memmem(content, size, match, strlen(match)) != NULL;
    tn_free(content);
    return found;
}

trial try_command(const failing *f, const char *file, const char *log) {
    trial t = {.end = TRIAL_NOT_RUN};
    char *text = fill_in(f->command, file);
    double start = clock_ms();
    pid_t child = text ? fork() : -1;
    if (child == 0) run_shell(text, log);
    t.status = errno;
    tn_free(text);
    if (child < 0) return t;
    setpgid(child, child);
    int status = 0;
    t.end = wait_for(child, f->timeout_s, &status);
    t.seconds = (clock_ms() - start) * 1e-3;
    if (t.end == TRIAL_ENDED && WIFSIGNALED(status)) t.end = TRIAL_SIGNALLED;
    t.status = t.end == TRIAL_SIGNALLED ? WTERMSIG(status) : WEXITSTATUS(status);
    bool is_over = t.end == TRIAL_ENDED || t.end == TRIAL_SIGNALLED, found = prints(log, f->match, &t);
    if (f->match)
        t.fails = is_over && found;
    else if (f->exit_code >= 0)
        t.fails = t.end == TRIAL_ENDED && t.status == f->exit_code;
    else
        t.fails = t.end == TRIAL_SIGNALLED || (t.end == TRIAL_ENDED && t.status != 0);
    return t;
}
