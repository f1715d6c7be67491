/* How far training is, as text (see progress.h). */
#include "frontends/nn/progress.h"

#include "runtime/diag.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR = 24, DEFAULT_COLUMNS = 80 };
static const double BETWEEN_SECONDS = 0.1;

/* ---- Texts ------------------------------------------------------------------------------------------------- */

static void add_values(line *t, const progress_state *s, bool of_evaluation) {
    line_add(t, "loss %.4f", of_evaluation ? s->validation_loss : s->loss);
    for (int i = 0; i < tn_trainer_n_metrics(s->trainer); i++) {
        double value = tn_trainer_metric(s->trainer, i, of_evaluation);
        if (!isnan(value)) line_add(t, "  %s %.4f", tn_trainer_metric_name(s->trainer, i), value);
    }
}

/* "0:07", "1:02:03" */
static void add_time(line *t, double seconds) {
    long long s = seconds > 0 ? (long long)(seconds + 0.5) : 0;
    if (s >= 3600)
        line_add(t, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else
        line_add(t, "%lld:%02lld", s / 60, s % 60);
}

static void add_pace(line *t, const progress_state *s) {
    if (s->timed <= 0) return;
    double ms = s->seconds * 1e3 / (double)s->timed;
    line_add(t, ms >= 100 ? "  %.0f ms/step  " : ms >= 1 ? "  %.1f ms/step  " : "  %.3f ms/step  ", ms);
    double left = (double)(s->epochs - s->epoch) * (double)s->batches - (double)s->batch;
    add_time(t, s->batches_of_all > 0 ? left * s->seconds_of_all / s->batches_of_all : 0);
    line_add(t, " left");
}

void progress_bar_text(const progress_state *s, int columns, char out[PROGRESS_BYTES]) {
    line t = {out, PROGRESS_BYTES, 0};
    int done = s->batches > 0 ? (int)(s->batch * BAR / s->batches) : 0;
    char bar[BAR + 1];
    for (int i = 0; i < BAR; i++) bar[i] = i < done ? '=' : i == done ? '>' : ' ';
    bar[BAR] = '\0';
    out[0] = '\0';
    line_add(&t, "epoch %d/%d [%s] %lld/%lld  ", s->epoch + 1, s->epochs, bar, (long long)s->batch,
             (long long)s->batches);
    add_values(&t, s, false);
    add_pace(&t, s);
    if (columns > 0 && t.used > (size_t)columns) out[columns] = '\0';
}

void progress_epoch_text(const progress_state *s, char out[PROGRESS_BYTES]) {
    line t = {out, PROGRESS_BYTES, 0};
    out[0] = '\0';
    line_add(&t, "epoch %d/%d  %.1f s  ", s->epoch + 1, s->epochs, s->seconds);
    add_values(&t, s, false);
    if (!s->has_validation) return;
    line_add(&t, "  validation ");
    add_values(&t, s, true);
}

/* ---- Writing ------------------------------------------------------------------------------------------------ */

progress progress_open(int fd) { return (progress){fd, fd > 0 && isatty(fd), -BETWEEN_SECONDS}; }

static int columns_of(int fd) {
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : DEFAULT_COLUMNS;
}

/* What cannot be written is not: training does not end for it. */
static void write_all(int fd, const char *text) {
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t written = write(fd, text, n);
        if (written <= 0) return;
        text += written;
        n -= (size_t)written;
    }
}

void progress_step(progress *p, const progress_state *s, double now) {
    char text[PROGRESS_BYTES], out[PROGRESS_BYTES + 8];
    if (!p->is_terminal || now - p->shown < BETWEEN_SECONDS) return;
    p->shown = now;
    progress_bar_text(s, columns_of(p->fd) - 1, text);
    snprintf(out, sizeof out, "\r%s\033[K", text); /* the rest of what was there is cleared */
    write_all(p->fd, out);
}

void progress_epoch(progress *p, const progress_state *s) {
    char text[PROGRESS_BYTES], out[PROGRESS_BYTES + 8];
    if (p->fd <= 0) return;
    progress_epoch_text(s, text);
    snprintf(out, sizeof out, p->is_terminal ? "\r%s\033[K\n" : "%s\n", text);
    write_all(p->fd, out);
}
