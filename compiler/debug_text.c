/* The text of what a module is lowered to, for debuggers too (see debug_text.h). */
#include "compiler/debug_text.h"

#include "compiler/kernel_title.h"
#include "compiler/loops/section.h"
#include "ir/text.h"
#include "runtime/diag.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The text ---- */

/* `loops` behind `graph`, both gone after. */
static char *join(char *graph, char *loops) {
    size_t length = graph ? strlen(graph) : 0, more = loops ? strlen(loops) : 0;
    char *all = graph && loops ? tn_realloc(graph, length + more + 1) : NULL;
    if (all)
        memcpy(all + length, loops, more + 1);
    else
        tn_text_free(graph);
    tn_free(loops);
    return all;
}

char *debug_text_print(const compilation *c, const char *data_path) {
    char *graph = tn_module_print(c->module, data_path);
    return join(graph, graph ? loops_section_print(&c->plan) : NULL);
}

/* ---- Lines ---- */

/* A row for each function of the module, in its memory; NULL: none is left. */
static uint32_t **new_lines(tn_module *m) {
    uint32_t **lines = ARENA_ARRAY(&m->memory, uint32_t *, m->n_graphs + 1);
    for (size_t i = 0; lines && i < m->n_graphs; i++)
        if (!(lines[i] = ARENA_ARRAY(&m->memory, uint32_t, m->graphs[i]->n_nodes + 1))) return NULL;
    return lines;
}

static uint32_t count_lines(const char *text, size_t length) {
    uint32_t n = 0;
    for (size_t i = 0; i < length; i++) n += text[i] == '\n';
    return n;
}

/* What the module's printer is asked to note while it prints: lines, and nothing in the text. */
typedef struct line_notes {
    const tn_module *module;
    uint32_t **lines;
    uint32_t line; /* that `seen` bytes of the text end in */
    size_t seen;
} line_notes;

static uint32_t line_at(line_notes *l, const text_buffer *out, size_t end) {
    if (out->failed || end < l->seen) return 0;
    l->line += count_lines(out->text + l->seen, end - l->seen);
    l->seen = end;
    return l->line;
}

/* The text ends behind the header, which begins behind an empty line. */
static void note_function(void *ctx, text_buffer *out, const tn_graph *g) {
    line_notes *l = ctx;
    size_t begin = out->failed ? 0 : out->length;
    while (begin > l->seen + 1 && !(out->text[begin - 1] == '\n' && out->text[begin - 2] == '\n')) begin--;
    l->lines[module_number_of(l->module, g)][g->n_nodes] = line_at(l, out, begin);
}

static void note_node(void *ctx, text_buffer *out, const tn_graph *g, const uint32_t *numbers, size_t i) {
    line_notes *l = ctx;
    (void)numbers;
    l->lines[module_number_of(l->module, g)][i] = line_at(l, out, out->length);
}

/* The text, in which everything knows its place. */
static char *print_lines(compilation *c, const char *data_path) {
    program_plan *p = &c->plan;
    line_notes l = {.module = c->module, .lines = new_lines(c->module), .line = 1};
    print_notes notes = {.ctx = &l, .function = note_function, .node = note_node};
    char *graph = l.lines ? module_print_with(c->module, data_path, &notes) : NULL;
    if (!graph) return NULL;
    for (size_t i = 0; i < p->n_functions; i++)
        p->functions[i].lines = l.lines[module_number_of(c->module, p->functions[i].graph)];
    for (size_t i = 0; i < p->n_kernels; i++) p->kernels[i].loops->where = kernel_origin(p->kernels[i].fused);
    return join(graph, loops_section_print_lines(p, count_lines(graph, strlen(graph))));
}

/* ---- The file ---- */

static bool close_file(FILE *f, const char *text, const char *path, tn_diag *diag) {
    bool ok = !text || fputs(text, f) >= 0;
    ok = fclose(f) == 0 && ok;
    if (!ok) diag_fail(diag, TN_ERR_IO, "debug_info: %.500s cannot be written: %s", path, strerror(errno));
    return ok;
}

static char *print_with_data(compilation *c, const char *path) {
    char *data_path = tn_malloc(strlen(path) + sizeof ".bin");
    if (!data_path) return NULL;
    sprintf(data_path, "%s.bin", path);
    char *text = print_lines(c, data_path);
    tn_free(data_path);
    return text;
}

static bool tell_codegen(compilation *c, const char *path) {
    const char *lines = c->options->debug_lines;
    char *whole = realpath(path, NULL); /* programs run in other folders */
    bool ok = codegen_debug(c->codegen, whole ? whole : path, lines && strcmp(lines, "source") == 0);
    free(whole);
    return ok;
}

bool debug_text_write(compilation *c) {
    const char *path = c->options->debug_info;
    if (!path) return true;
    FILE *f = fopen(path, "w"); /* first, so that what fails then is memory or a full disk */
    if (!f)
        return diag_fail(&c->diag, TN_ERR_IO, "debug_info: %.500s cannot be written: %s", path, strerror(errno)) ==
               TN_OK;
    char *text = print_with_data(c, path);
    bool ok = close_file(f, text, path, &c->diag);
    tn_text_free(text);
    if (ok && !text)
        diag_fail(&c->diag, TN_ERR_MEMORY, "debug_info: out of memory, or %.500s.bin cannot be written", path);
    return ok && text && tell_codegen(c, path);
}
