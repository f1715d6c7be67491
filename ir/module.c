/* Modules: their life, their functions by name, and the first error.
 *
 * law: errors are sticky: the first is kept, later ones are dropped, nothing is printed
 */
#include "ir/intern.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

tn_module *module_new(const char *name) {
    tn_module *m = tn_calloc(1, sizeof *m);
    if (!m) return NULL;
    m->dims = dim_table_new();
    m->interner = interner_new();
    if (m->dims && m->interner) m->name = module_intern(m, name ? name : "module");
    if (m->name) return m;
    tn_module_free(m);
    return NULL;
}

void graph_release(tn_graph *g) {
    tn_free(g->nodes);
    tn_free(g->values);
    tn_free(g->params);
    tn_free(g->results);
    tn_free(g->symbols);
    tn_free(g->constraints);
    tn_free(g->intern);
}

void tn_module_free(tn_module *m) {
    if (!m || atomic_fetch_sub(&m->references, 1) > 0) return;
    tn_module_free(m->source);
    for (const attachment *a = m->attachments; a; a = a->next) a->kind->release(a->data);
    module_keep_data(m);
    arena_free(&m->contents);
    tn_free(m);
}

void module_keep_data(tn_module *m) {
    for (size_t i = 0; i < m->n_graphs; i++) graph_release(m->graphs[i]);
    tn_free(m->graphs);
    interner_free(m->interner);
    dim_table_free(m->dims);
    arena_free(&m->memory);
    m->graphs = NULL;
    m->n_graphs = 0;
    m->interner = NULL;
    m->dims = NULL;
    m->name = NULL;
}

tn_module *module_retain(tn_module *m) {
    atomic_fetch_add(&m->references, 1);
    return m;
}

bool module_attach(tn_module *m, const attachment_kind *kind, void *data) {
    attachment *a = ARENA_NEW(&m->contents, attachment);
    if (!a) return module_no_memory(m);
    *a = (attachment){m->attachments, kind, data};
    m->attachments = a;
    return true;
}

void *module_attached(const tn_module *m, const attachment_kind *kind) {
    for (const attachment *a = m->attachments; a; a = a->next)
        if (a->kind == kind) return a->data;
    return NULL;
}

void module_drop_pages(const tn_module *m) {
    for (; m; m = m->source)
        for (const attachment *a = m->attachments; a; a = a->next)
            if (a->kind->drop_pages) a->kind->drop_pages(a->data);
}

const char *const remat_names[REMAT_COUNT] = {[REMAT_CHEAP] = "cheap", [REMAT_NONE] = "none", [REMAT_FULL] = "full"};

/* ---- Functions ------------------------------------------------------------------------------- */

tn_graph *module_find(const tn_module *m, const char *name) {
    for (size_t i = 0; i < m->n_graphs; i++)
        if (strcmp(m->graphs[i]->name, name) == 0) return m->graphs[i];
    return NULL;
}

tn_graph *module_main(const tn_module *m) {
    tn_graph *g = module_find(m, "main");
    return g || m->n_graphs == 0 ? g : m->graphs[0];
}

/* `name`, or `name.1`, `name.2`, ... when it is taken. NULL: no memory. All names are interned, so
 * that a string never seen before is nobody's. */
static const char *unique_name(tn_module *m, const char *name) {
    size_t n_known = m->interner->strings.n;
    const char *unique = module_intern(m, name);
    for (size_t i = 1; unique && m->interner->strings.n == n_known && module_find(m, unique); i++) {
        unique = arena_printf(&m->memory, "%s.%zu", name, i);
        if (unique) unique = module_intern(m, unique);
    }
    return unique;
}

tn_graph *module_add_graph(tn_module *m, const char *name) {
    tn_graph *g = ARENA_NEW(&m->memory, tn_graph);
    const char *unique = g ? unique_name(m, name ? name : "fn") : NULL;
    if (!unique || !array_reserve((void **)&m->graphs, &m->graphs_capacity, m->n_graphs + 1, sizeof *m->graphs)) {
        module_no_memory(m);
        return NULL;
    }
    g->module = m;
    g->name = unique;
    m->graphs[m->n_graphs++] = g;
    return g;
}

size_t module_number_of(const tn_module *m, const tn_graph *g) {
    size_t at = 0;
    while (at < m->n_graphs && m->graphs[at] != g) at++;
    return at;
}

void module_remove_graph(tn_module *m, tn_graph *g) {
    size_t at = module_number_of(m, g);
    if (at == m->n_graphs) return;
    memmove(&m->graphs[at], &m->graphs[at + 1], (m->n_graphs - at - 1) * sizeof *m->graphs);
    m->n_graphs--;
    graph_release(g);
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static bool set_error(tn_module *m, tn_status status, const char *file, int line, int column, const char *format,
                      va_list arguments) {
    if (m->error.status != TN_OK) return false;
    vsnprintf(m->error.message, sizeof m->error.message, format, arguments);
    /* Status first: should interning the file fail, that is not an error on top of this one. */
    m->error.status = status;
    m->error.file = module_intern(m, file);
    m->error.line = line;
    m->error.column = column;
    return false;
}

bool module_error_at(tn_module *m, tn_status status, const char *file, int line, int column, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    set_error(m, status, file, line, column, format, arguments);
    va_end(arguments);
    return false;
}

bool module_error(tn_module *m, tn_status status, location_id where, const char *format, ...) {
    tn_location place = {NULL, 0};
    location_items(m, where, 1, &place);
    va_list arguments;
    va_start(arguments, format);
    set_error(m, status, place.file, place.line, 0, format, arguments);
    va_end(arguments);
    return false;
}

void module_end_passing_error(tn_module *m) {
    if (m->error_is_passing) m->error = (tn_diag){0};
    m->error_is_passing = false;
}

bool module_no_memory(tn_module *m) { return module_error(m, TN_ERR_MEMORY, LOCATION_NONE, "out of memory"); }

void graph_take_content(tn_graph *g, tn_graph *from) {
    tn_module *m = g->module;
    size_t at = module_number_of(m, from);
    memmove(&m->graphs[at], &m->graphs[at + 1], (m->n_graphs - at - 1) * sizeof *m->graphs);
    m->n_graphs--;
    from->name = g->name;
    from->is_called = g->is_called;
    graph_release(g);
    *g = *from;
}

/* ---- Public ----------------------------------------------------------------------------------- */

tn_graph *tn_graph_new(const char *name) {
    tn_module *m = module_new(name);
    tn_graph *g = m ? module_add_graph(m, "main") : NULL;
    if (!g) tn_module_free(m);
    return g;
}

tn_graph *tn_graph_sub(tn_graph *g, const char *name) { return g ? module_add_graph(g->module, name) : NULL; }

void tn_graph_free(tn_graph *g) {
    if (g) tn_module_free(g->module);
}

tn_module *tn_graph_module(const tn_graph *g) { return g ? g->module : NULL; }
tn_graph *tn_module_main(const tn_module *m) { return m ? module_main(m) : NULL; }

const tn_diag *tn_module_error(const tn_module *m) { return m && m->error.status != TN_OK ? &m->error : NULL; }
const tn_diag *tn_graph_error(const tn_graph *g) { return g ? tn_module_error(g->module) : NULL; }
