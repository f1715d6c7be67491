/* The `loops` section of a module's text (see section.h). */
#include "compiler/loops/section.h"

#include <stdio.h>
#include <string.h>

/* ---- Reading ---- */

/* Each kernel begins a line. */
static const char *next_kernel(const char *at, const char *end) {
    static const char word[] = "\nkernel ";
    const size_t n = sizeof word - 1;
    for (; (size_t)(end - at) >= n; at++)
        if (memcmp(at, word, n) == 0) return at + 1;
    return end;
}

/* Nothing but white space and comments. */
static bool is_blank(const char *at, const char *end) {
    for (bool in_comment = false; at < end; at++) {
        in_comment = *at != '\n' && (in_comment || *at == '#');
        if (!in_comment && (!strchr(" \t\r\n", *at) || !*at)) return false;
    }
    return true;
}

/* Places in one kernel's text are those of the whole file. */
static void move_error(tn_module *m, const loops_text *whole, const char *at) {
    for (const char *p = whole->text; p < at; p++) m->error.line += *p == '\n';
    m->error.line += whole->line - 1;
}

static lt_kernel *read_kernel(tn_module *m, const char *at, const char *end) {
    bool had_error = m->error.status != TN_OK;
    lt_kernel *k = lt_parse(m, at, (size_t)(end - at), m->loops.file);
    tn_diag diag = {0};
    if (!k) {
        if (!had_error) move_error(m, &m->loops, at);
        return NULL;
    }
    if (lt_verify(k, &diag)) return k;
    module_error(m, TN_ERR_VERIFY, LOCATION_NONE, "loops of @%s: %s", k->name, diag.message);
    return NULL;
}

bool given_loops_read(tn_module *m, given_loops *out) {
    const char *text = m->loops.text, *end = text ? text + m->loops.length : NULL;
    out->n = 0;
    if (!text) return true;
    size_t n = 0;
    for (const char *at = next_kernel(text, end); at < end; at = next_kernel(at, end)) n++;
    const char *at = next_kernel(text, end);
    if (!is_blank(text, at))
        return module_error_at(m, TN_ERR_PARSE, m->loops.file, m->loops.line, 0, "expected a kernel behind loops");
    out->kernels = ARENA_ARRAY(&m->memory, lt_kernel *, n + 1);
    if (!out->kernels) return module_error(m, TN_ERR_MEMORY, LOCATION_NONE, "out of memory");
    while (at < end) {
        const char *next = next_kernel(at, end);
        lt_kernel *k = read_kernel(m, at, next);
        if (!k) return false;
        out->kernels[out->n++] = k;
        at = next;
    }
    return true;
}

/* ---- Taking ---- */

/* Whether both are called with the same arguments. */
static bool same_arguments(const lt_kernel *a, const lt_kernel *b) {
    if (a->n_inputs != b->n_inputs || a->n_outputs != b->n_outputs || a->n_extents != b->n_extents ||
        a->n_sites != b->n_sites)
        return false;
    for (uint32_t i = 0; i < a->n_extents; i++)
        if (a->extents[i] != b->extents[i]) return false;
    for (uint32_t i = 0; i < a->n_inputs + a->n_outputs; i++) {
        const lt_buffer *x = &a->buffers[i], *y = &b->buffers[i];
        if (x->role != y->role || x->dtype != y->dtype || x->elements != y->elements) return false;
    }
    return true;
}

lt_kernel *given_loops_take(const given_loops *given, const tn_graph *fused, lt_kernel *lowered) {
    lt_kernel *k = NULL;
    for (size_t i = 0; given && i < given->n && !k; i++)
        if (strcmp(given->kernels[i]->name, fused->name) == 0) k = given->kernels[i];
    if (!k) return lowered;
    if (given->are_trusted ? !same_arguments(k, lowered) : !lt_equal(k, lowered)) {
        module_error(fused->module, TN_ERR_VERIFY, LOCATION_NONE,
                     given->are_trusted
                         ? "loops of @%s: its buffers and extents are not those of the function"
                         : "loops of @%s: not what the function is lowered to; only a trusted loop tree may be another",
                     fused->name);
        return NULL;
    }
    for (uint32_t i = 0; i < k->n_sites; i++) k->sites[i] = lowered->sites[i]; /* the text has no locations */
    return k;
}

/* ---- Writing ---- */

typedef struct section_text {
    char *text;
    size_t length, capacity;
} section_text;

static bool add(section_text *s, const char *text) {
    size_t n = strlen(text);
    if (!array_reserve((void **)&s->text, &s->capacity, s->length + n + 1, 1)) return false;
    memcpy(s->text + s->length, text, n + 1);
    s->length += n;
    return true;
}

/* As a comment, for each function with a known arena. */
static bool add_plan(section_text *s, const program_plan *p, const function_plan *f) {
    char text[400];
    int64_t arena, live;
    if (f->graph->is_kernel || !dim_is_const(p->module->dims, f->arena_bytes, &arena) ||
        !dim_is_const(p->module->dims, f->live_bytes, &live))
        return true;
    snprintf(text, sizeof text, "# plan of @%.200s: arena %lld bytes, alive at once at most %lld\n", f->graph->name,
             (long long)arena, (long long)live);
    return add(s, text);
}

static uint32_t count_lines(const section_text *s, size_t from) {
    uint32_t n = 0;
    for (size_t i = from; i < s->length; i++) n += s->text[i] == '\n';
    return n;
}

static char *print_kernel(const function_plan *f, const planned_kernel *k, uint32_t line) {
    lt_kernel named = *k->loops;
    named.name = f->graph->name;
    bool is_first = k->fused == f->graph;
    return lt_print_lines(&named, is_first ? line : 0);
}

/* `line`: that the section begins in; 0: nobody asks. */
static char *print_section(const program_plan *p, uint32_t line) {
    section_text s = {0};
    size_t counted = 0;
    bool ok = add(&s, "\nloops\n");
    for (size_t i = 0; ok && i < p->n_functions; i++) ok = add_plan(&s, p, &p->functions[i]);
    for (size_t i = 0; ok && i < p->n_functions; i++) {
        if (!p->functions[i].graph->is_kernel) continue;
        if (!(ok = add(&s, "\n"))) break;
        line += line ? count_lines(&s, counted) : 0;
        counted = s.length;
        char *one = print_kernel(&p->functions[i], &p->kernels[p->functions[i].kernel], line);
        ok = one && add(&s, one);
        tn_free(one);
    }
    if (ok) return s.text;
    tn_free(s.text);
    return NULL;
}

char *loops_section_print(const program_plan *p) { return print_section(p, 0); }

char *loops_section_print_lines(const program_plan *p, uint32_t lines_before) {
    return print_section(p, lines_before + 1);
}
