/* tenon draw: a model, or what a pass has made of it, as a picture.
 *
 * out: the language of Graphviz (FILE.dot, or stdout), or a picture that its program dot makes of it: FILE.svg, .png,
 *      .pdf. Graphviz is not needed for anything else.
 */
#include "frontends/cli/commands.h"
#include "frontends/cli/model.h"
#include "frontends/cli/stage.h"
#include "frontends/cli/write.h"
#include "ir/graphviz.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool write_all(int file, const char *text, size_t n) {
    while (n > 0) {
        ssize_t written = write(file, text, n);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        text += written;
        n -= (size_t)written;
    }
    return true;
}

/* Starts dot with its standard input at the other end of *pipe_end. 0, or errno. */
static int start_dot(const char *format, const char *path, pid_t *process, int *pipe_end) {
    int ends[2];
    char option[16];
    posix_spawn_file_actions_t actions;
    snprintf(option, sizeof option, "-T%s", format);
    char *const arguments[] = {"dot", option, "-o", (char *)(uintptr_t)path, NULL};
    if (pipe(ends) != 0) return errno;
    int error = posix_spawn_file_actions_init(&actions);
    if (!error) {
        error = posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
        if (!error) error = posix_spawn_file_actions_addclose(&actions, ends[1]);
        if (!error) error = posix_spawnp(process, "dot", &actions, NULL, arguments, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[0]);
    *pipe_end = ends[1];
    if (error) close(ends[1]);
    return error;
}

static int draw_picture(const char *format, const char *path, const char *text) {
    pid_t process;
    int file = -1, ended;
    int error = start_dot(format, path, &process, &file);
    if (error == ENOENT)
        return report_text(path, "a picture needs the program dot of Graphviz, which is not installed; "
                                 "write FILE.dot and have it drawn elsewhere");
    if (error) return report_text(path, "dot cannot be started: %s", strerror(error));
    void (*former)(int) = signal(SIGPIPE, SIG_IGN); /* its own message says more */
    bool is_written = write_all(file, text, strlen(text));
    close(file);
    while (waitpid(process, &ended, 0) < 0 && errno == EINTR) {
    }
    signal(SIGPIPE, former);
    if (WIFEXITED(ended) && WEXITSTATUS(ended) == 127) /* how some systems tell that there is none */
        return report_text(path, "dot of Graphviz cannot be run");
    if (is_written && WIFEXITED(ended) && WEXITSTATUS(ended) == 0) return EXIT_DONE;
    return report_text(path, "dot could not draw it");
}

/* The end of a file's name that dot knows as a format; NULL: the text is wanted. */
static const char *picture_format(const char *path) {
    static const char *const formats[] = {"svg", "png", "pdf"};
    const char *dot = path ? strrchr(path, '.') : NULL;
    for (size_t i = 0; dot && i < sizeof formats / sizeof *formats; i++)
        if (strcmp(dot + 1, formats[i]) == 0) return formats[i];
    return NULL;
}

static int draw(void *ctx, tn_module *m) {
    const char *path = ctx, *format = picture_format(path);
    char *text = module_graphviz(m);
    int status = !text    ? report_text(path, "out of memory")
                 : format ? draw_picture(format, path, text)
                          : write_text(path, text);
    tn_text_free(text);
    return status;
}

int command_draw(const arguments *a) {
    char *out = (char *)(uintptr_t)TEXT_OF(a, output);
    if (out && !picture_format(out) && !ends_with(out, ".dot"))
        return options_complain(a->command, "-o: %s is no .dot, .svg, .png or .pdf", out);
    int status = stage_check_graph(a);
    if (status) return status;
    tn_module *m = model_load(a->operands[0]);
    status = m ? stage_visit(a, m, GIVEN(a, after) ? TEXT_OF(a, after) : NULL, draw, out) : EXIT_INPUT;
    tn_module_free(m);
    return status;
}
