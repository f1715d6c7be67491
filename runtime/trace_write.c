/* Traces as JSON (see tenon_trace.h): the Trace Event Format, which Perfetto and Chromium read.
 *
 * in:  a trace
 * out: {"traceEvents": [...]}: names of tracks, then complete events, track by track, in order of their begin; of two that
 *      begin together the longer one first, so that what is inside comes after what it is inside of
 * law: texts are escaped, so that the file is JSON whatever names a model has
 */
#include "runtime/trace_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/diag.h"
#include "runtime/program.h"

/* Tracks of spans have numbers that no thread has. */
enum { FIRST_SPAN_TRACK = 1 << 24 };

/* An event, or a span, as it is sorted. */
typedef struct listed {
    int64_t track;
    uint64_t begin_ns, end_ns;
    const trace_event *event; /* or */
    const trace_span *span;
} listed;

typedef struct writer {
    const tn_trace *trace;
    FILE *file;
    listed *items;
    size_t n;
    bool has_item; /* a comma comes first */
} writer;

/* ---- Texts ---- */

static void put_text(FILE *f, const char *text) {
    fputc('"', f);
    for (const unsigned char *c = (const unsigned char *)(text ? text : ""); *c != '\0'; c++)
        if (*c == '"' || *c == '\\')
            fprintf(f, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            fprintf(f, "\\u%04x", *c);
        else
            fputc(*c, f);
    fputc('"', f);
}

static void put_member(FILE *f, const char *name, const char *text) {
    fprintf(f, ", \"%s\": ", name);
    put_text(f, text);
}

/* Microseconds. */
static void put_time(FILE *f, const char *name, uint64_t ns) {
    fprintf(f, ", \"%s\": %" PRIu64 ".%03u", name, ns / 1000, (unsigned)(ns % 1000));
}

static void open_item(writer *w, const char *phase, int64_t track) {
    fprintf(w->file, "%s\n{\"ph\": \"%s\", \"pid\": %ld, \"tid\": %" PRId64, w->has_item ? "," : "", phase,
            (long)getpid(), track);
    w->has_item = true;
}

/* ---- Names of tracks ---- */

static void put_track(writer *w, int64_t track, const char *name, int64_t order) {
    open_item(w, "M", track);
    fprintf(w->file, ", \"name\": \"thread_name\", \"args\": {\"name\": ");
    put_text(w->file, name);
    fprintf(w->file, "}}");
    open_item(w, "M", track);
    fprintf(w->file, ", \"name\": \"thread_sort_index\", \"args\": {\"sort_index\": %" PRId64 "}}", order);
}

/* Of the first item of a track: spans first, then callers, then workers of pools. */
static void name_track(writer *w, const listed *item) {
    char name[64];
    if (item->span != NULL) {
        put_track(w, item->track, item->span->track, item->track - FIRST_SPAN_TRACK);
        return;
    }
    int32_t worker = item->event->worker;
    snprintf(name, sizeof name, worker == 0 ? "caller" : "worker %d", (int)worker);
    put_track(w, item->track, name, 1000 + worker);
}

/* ---- Events ---- */

static void put_kernel_name(writer *w, const tn_kernel_info *k) {
    char name[512];
    snprintf(name, sizeof name, "%s%s%s", k->name, k->title != NULL && *k->title ? " " : "",
             k->title != NULL ? k->title : "");
    put_member(w->file, "name", name);
}

/* Operations in a nanosecond are thousand millions in a second. */
static void put_flops(FILE *f, double flops, uint64_t ns) {
    fprintf(f, ", \"flops\": %.0f, \"gflop_per_s\": %.3f", flops, ns > 0 ? flops / (double)ns : 0.0);
}

static void put_event(writer *w, const trace_event *e) {
    const tn_program *p = w->trace->programs[e->program];
    static const char *const categories[] = {[TRACE_RUN] = "run", [TRACE_KERNEL] = "kernel", [TRACE_CHUNK] = "chunk"};
    const tn_kernel_info *k = e->kernel >= 0 ? tn_program_kernel(p, e->kernel) : NULL;
    put_member(w->file, "cat", categories[e->kind]);
    if (k == NULL) {
        char name[256];
        snprintf(name, sizeof name, "run %s", p->name);
        put_member(w->file, "name", e->kind == TRACE_RUN ? name : "?");
        fprintf(w->file, ", \"args\": {\"program\": ");
        put_text(w->file, p->name);
    } else {
        put_kernel_name(w, k);
        fprintf(w->file, ", \"args\": {\"kernel\": %d", (int)e->kernel);
    }
    if (e->kind == TRACE_KERNEL && k != NULL) {
        put_member(w->file, "class", k->class_name);
        put_member(w->file, "from", k->locations);
        if (k->flops > 0) put_flops(w->file, k->flops, e->end_ns - e->begin_ns);
    }
    if (e->kind == TRACE_CHUNK) fprintf(w->file, ", \"loop\": %d, \"chunk\": %" PRId64, (int)e->loop, e->chunk);
    fprintf(w->file, "}}");
}

static void put_item(writer *w, const listed *item) {
    open_item(w, "X", item->track);
    put_time(w->file, "ts", item->begin_ns);
    put_time(w->file, "dur", item->end_ns - item->begin_ns);
    if (item->event != NULL) {
        put_event(w, item->event);
        return;
    }
    put_member(w->file, "cat", item->span->track);
    put_member(w->file, "name", item->span->name);
    fprintf(w->file, ", \"args\": {}}");
}

/* ---- Order ---- */

static int in_order(const void *x, const void *y) {
    const listed *a = x, *b = y;
    if (a->track != b->track) return a->track < b->track ? -1 : 1;
    if (a->begin_ns != b->begin_ns) return a->begin_ns < b->begin_ns ? -1 : 1;
    if (a->end_ns != b->end_ns) return a->end_ns > b->end_ns ? -1 : 1;
    bool has_kinds = a->event != NULL && b->event != NULL;
    return has_kinds ? (int)a->event->kind - (int)b->event->kind : 0;
}

/* The number of a span's track: that of the first span with the name. */
static int64_t track_of(const tn_trace *t, const trace_span *span) {
    size_t i = 0;
    while (strcmp(t->spans[i].track, span->track) != 0) i++;
    return FIRST_SPAN_TRACK + (int64_t)i;
}

static bool list_items(writer *w) {
    const tn_trace *t = w->trace;
    uint64_t taken = atomic_load(&t->n_taken);
    size_t n_events = taken < t->most ? (size_t)taken : t->most;
    w->items = tn_malloc((n_events + t->n_spans + 1) * sizeof *w->items);
    if (w->items == NULL) return false;
    for (size_t i = 0; i < t->n_spans; i++)
        w->items[w->n++] =
            (listed){track_of(t, &t->spans[i]), t->spans[i].begin_ns, t->spans[i].end_ns, NULL, &t->spans[i]};
    for (size_t i = 0; i < n_events; i++) {
        const trace_event *e = &t->events[i];
        if (e->kind != TRACE_NONE) w->items[w->n++] = (listed){e->thread, e->begin_ns, e->end_ns, e, NULL};
    }
    qsort(w->items, w->n, sizeof *w->items, in_order);
    return true;
}

/* ---- The whole ---- */

static void put_all(writer *w) {
    fprintf(w->file,
            "{\"displayTimeUnit\": \"ms\",\n\"otherData\": {\"events_left_out\": %" PRIu64 "},\n\"traceEvents\": [",
            tn_trace_left_out(w->trace));
    open_item(w, "M", 0);
    fprintf(w->file, ", \"name\": \"process_name\", \"args\": {\"name\": \"Tenon\"}}");
    for (size_t i = 0; i < w->n; i++)
        if (i == 0 || w->items[i].track != w->items[i - 1].track) name_track(w, &w->items[i]);
    for (size_t i = 0; i < w->n; i++) put_item(w, &w->items[i]);
    fprintf(w->file, "\n]}\n");
}

tn_status tn_trace_write(const tn_trace *t, const char *path, tn_diag *diag) {
    if (t == NULL || path == NULL) return diag_fail(diag, TN_ERR_ARGUMENT, "tn_trace_write: an argument is NULL");
    writer w = {.trace = t};
    if (!list_items(&w)) return diag_fail(diag, TN_ERR_MEMORY, "%s: no memory to sort the trace", path);
    w.file = fopen(path, "w");
    tn_status status = TN_OK;
    if (w.file == NULL) {
        status = diag_fail(diag, TN_ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    } else {
        put_all(&w);
        bool failed = ferror(w.file) != 0;
        if (fclose(w.file) != 0 || failed)
            status = diag_fail(diag, TN_ERR_IO, "%s: could not be written whole: %s", path, strerror(errno));
    }
    tn_free(w.items);
    return status;
}
