/* Collecting events (see tenon_trace.h); trace_write.c makes files of them.
 *
 * in:  events of runs, from any number of threads at once; spans of the caller's
 * out: arrays of both
 * law: an event costs two looks at the clock and one atomic addition; its place is nobody else's. Memory is bounded: it
 *      is taken when the trace is made, and touched as it fills
 */
#include "runtime/trace_state.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/exec.h"

enum { DEFAULT_EVENTS = 1 << 18 };

tn_trace *tn_trace_new(size_t most_events) {
    size_t most = most_events ? most_events : DEFAULT_EVENTS;
    tn_trace *t = tn_calloc(1, sizeof *t);
    if (t == NULL) return NULL;
    t->events = tn_calloc(most, sizeof *t->events);
    if (t->events == NULL || pthread_mutex_init(&t->lock, NULL) != 0) {
        tn_free(t->events);
        tn_free(t);
        return NULL;
    }
    t->most = most;
    t->begin_ns = profile_now_ns();
    return t;
}

void tn_trace_free(tn_trace *t) {
    if (t == NULL) return;
    for (size_t i = 0; i < t->n_programs; i++) tn_program_free(t->programs[i]);
    pthread_mutex_destroy(&t->lock);
    arena_free(&t->memory);
    tn_free(t->programs);
    tn_free(t->spans);
    tn_free(t->events);
    tn_free(t);
}

uint64_t tn_trace_now(const tn_trace *t) { return t == NULL ? 0 : profile_now_ns() - t->begin_ns; }

uint64_t tn_trace_left_out(const tn_trace *t) {
    uint64_t n = t == NULL ? 0 : atomic_load(&t->n_taken);
    return t != NULL && n > t->most ? n - t->most : 0;
}

/* ---- Events of threads ---- */

static int64_t thread_number(void) {
#ifdef SYS_gettid
    return (int64_t)syscall(SYS_gettid);
#else
    return (int64_t)((uintptr_t)pthread_self() >> 4 & INT32_MAX);
#endif
}

void trace_add(tn_trace *t, trace_event event) {
    uint64_t at = atomic_fetch_add_explicit(&t->n_taken, 1, memory_order_relaxed);
    if (at >= t->most) return;
    event.thread = thread_number();
    t->events[at] = event;
}

int32_t trace_add_program(tn_trace *t, tn_program *program) {
    int32_t number = -1;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < t->n_programs && number < 0; i++)
        if (t->programs[i] == program) number = (int32_t)i;
    if (number < 0 && t->n_programs < INT32_MAX &&
        array_reserve((void **)&t->programs, &t->programs_capacity, t->n_programs + 1, sizeof *t->programs)) {
        number = (int32_t)t->n_programs;
        t->programs[t->n_programs++] = tn_program_retain(program);
    }
    pthread_mutex_unlock(&t->lock);
    return number;
}

/* ---- Spans ---- */

/* The caller holds the lock. NULL: no memory. */
static const char *keep_text(tn_trace *t, const char *text) { return arena_strdup(&t->memory, text ? text : ""); }

void tn_trace_span(tn_trace *t, const char *track, const char *name, uint64_t begin_ns, uint64_t end_ns) {
    if (t == NULL || atomic_fetch_add(&t->n_taken, 1) >= t->most) return;
    pthread_mutex_lock(&t->lock);
    trace_span span = {begin_ns, end_ns < begin_ns ? begin_ns : end_ns, keep_text(t, track), keep_text(t, name)};
    bool has_room = span.track != NULL && span.name != NULL &&
                    array_reserve((void **)&t->spans, &t->spans_capacity, t->n_spans + 1, sizeof *t->spans);
    if (has_room) t->spans[t->n_spans++] = span;
    pthread_mutex_unlock(&t->lock);
}
