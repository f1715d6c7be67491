/* A small graph that leaves at the same stage.
 *
 * in:  a case, and what was found in it
 * out: a module, made of the case's by leaving out what the stage does not need to go wrong (shrink.h)
 * law: the module is checked as the case was: it leaves, and at that stage first
 *
 * It is looked for around the places in the source that the finding names, further and further from them, so that
 * most of a large model is not even tried.
 */
#include "compiler/bisect.h"

#include "compiler/shrink.h"
#include "compiler/watch.h"
#include "ir/op.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct search {
    const bisect_case *c;
    int stage;
    double deadline_ms;
    size_t tries;
} search;

/* ---- Trying --------------------------------------------------------------------------------------------------- */

static bool leaves_there(void *ctx, void *subject) {
    search *s = ctx;
    bisect_case candidate;
    bisect_finding f;
    tn_diag diag = {0};
    if (tn_module_verify(subject, &diag) != TN_OK) return false;
    bool ok = bisect_case_open(&candidate, subject, s->c, &diag) &&
              bisect_find(&candidate, s->stage, false, &f, &diag) && f.stage == s->stage;
    bisect_case_close(&candidate);
    return ok;
}

static bool tell(void *ctx, const void *kept, const char *step, const shrink_size *size, size_t tries) {
    search *s = ctx;
    (void)kept;
    bisect_tell(s->c, "a smaller graph: %zu nodes, %zu tries, %s", size->nodes, s->tries + tries, step);
    return watch_now_ms() < s->deadline_ms;
}

/* ---- Around the places ---------------------------------------------------------------------------------------------- */

static bool is_at(const tn_graph *g, const node *n, const bisect_finding *f) {
    tn_location items[LOCATION_MAX];
    size_t count = location_items(g->module, n->locations, LOCATION_MAX, items);
    for (size_t i = 0; i < count && i < LOCATION_MAX; i++)
        for (size_t k = 0; k < f->n_locations; k++)
            if (items[i].line == f->locations[k].line && strcmp(items[i].file, f->locations[k].file) == 0) return true;
    return false;
}

/* What the nodes read and what reads them, too. */
static void widen(const tn_graph *g, bool *is_in) {
    bool *more = tn_calloc(g->n_nodes + 1, sizeof *more);
    for (size_t i = 0; more && i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_operands; k++) {
            uint32_t from = g->values[g->nodes[i].operands[k]].node;
            more[from] |= is_in[i];
            more[i] |= is_in[from] && g->nodes[from].op != TN_OP_param;
        }
    for (size_t i = 0; more && i < g->n_nodes; i++) is_in[i] |= more[i];
    tn_free(more);
}

/* The module with nothing but those nodes (and constants): what others make becomes inputs, what others read outputs. */
static tn_module *cut_out(tn_module *m, const bool *is_in) {
    tn_module *copy = module_clone(m);
    tn_graph *g = copy ? module_main(copy) : NULL;
    uint8_t *what = g ? tn_calloc(g->n_values + 1, 1) : NULL;
    bool *is_asked = g ? tn_calloc(g->n_values + 1, sizeof *is_asked) : NULL;
    value_id *results = g ? tn_calloc(g->n_values + 1, sizeof *results) : NULL;
    bool ok = what && is_asked && results;
    for (size_t i = 0; ok && i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        bool stays = is_in[i] || op_table[n->op].loop_class == CLASS_LEAF;
        for (uint32_t k = 0; !stays && k < n->n_results; k++) what[n->first_result + k] = VALUE_INPUT;
        for (uint32_t k = 0; !stays && k < n->n_operands; k++) is_asked[n->operands[k]] = true;
    }
    for (size_t r = 0; ok && r < g->n_results; r++) is_asked[g->results[r].value] = true;
    size_t count = 0;
    for (size_t v = 0; ok && v < g->n_values; v++) {
        const node *n = graph_node_of(g, (value_id)v);
        bool is_made = is_in[g->values[v].node] && op_table[n->op].loop_class != CLASS_LEAF;
        if (is_asked[v] && is_made && graph_type(g, (value_id)v)->dtype != TN_TOKEN) results[count++] = (value_id)v;
    }
    ok = ok && count > 0 && shrink_rebuild(g, &(graph_edit){.what = what, .results = results, .n_results = count});
    tn_free(what);
    tn_free(is_asked);
    tn_free(results);
    if (ok) return copy;
    tn_module_free(copy);
    return NULL;
}

/* NULL: none of them leaves. */
static tn_module *find_near(search *s, const bisect_finding *f) {
    enum { HOPS = 6 };
    const tn_graph *g = module_main(s->c->module);
    bool *is_in = tn_calloc(g->n_nodes + 1, sizeof *is_in);
    tn_module *found = NULL;
    size_t n = 0;
    for (size_t i = 0; is_in && i < g->n_nodes; i++)
        n += is_in[i] = g->nodes[i].op != TN_OP_param && is_at(g, &g->nodes[i], f);
    for (int hop = 0; is_in && n > 0 && hop <= HOPS && !found; hop++) {
        if (hop > 0) widen(g, is_in);
        found = cut_out(s->c->module, is_in);
        s->tries++;
        bisect_tell(s->c, "a smaller graph: %d steps around the place", hop);
        if (found && !leaves_there(s, found)) {
            tn_module_free(found);
            found = NULL;
        }
    }
    tn_free(is_in);
    return found;
}

/* ---- What it needs ------------------------------------------------------------------------------------------------------ */

/* Options of the command that shows it: sizes that are not fixed, inputs that were given. */
static void write_note(const bisect_case *c, tn_module *m, char *note) {
    enum { NOTE_BYTES = 200 };
    bisect_case made;
    tn_diag diag;
    size_t used = 0;
    *note = 0;
    if (c->how->seed) used += (size_t)snprintf(note, NOTE_BYTES, " --seed %lld", c->how->seed);
    const tn_graph *g = module_main(m);
    if (bisect_case_open(&made, m, c, &diag)) {
        for (size_t i = 0; i < g->n_symbols && used < NOTE_BYTES; i++)
            used += (size_t)snprintf(note + used, NOTE_BYTES - used, " --set %s=%" PRId64,
                                     dim_symbol_name(m->dims, g->symbols[i].dim), made.sizes[i]);
        for (size_t i = 0; i < g->n_params && used < NOTE_BYTES; i++)
            if (made.is_given[i])
                used += (size_t)snprintf(note + used, NOTE_BYTES - used, " --input %.60s=FILE (as it was given)",
                                         g->params[i].name);
    }
    bisect_case_close(&made);
}

tn_module *bisect_reproduce(const bisect_case *c, const bisect_finding *f, char *note) {
    double seconds = c->how->seconds > 0 ? c->how->seconds : 120;
    search s = {.c = c, .stage = f->stage, .deadline_ms = watch_now_ms() + seconds * 1e3};
    shrink_kind kind = shrink_modules();
    shrink_test test = {.fails = leaves_there, .tell = tell, .ctx = &s};
    tn_module *m = find_near(&s, f);
    if (!m) {
        m = module_clone(c->module);
        bool ok =
            m && m->error.status == TN_OK && shrink_rebuild(module_main(m), &(graph_edit){0}) && leaves_there(&s, m);
        if (!ok) {
            tn_module_free(m);
            return NULL;
        }
    }
    m = shrink(&kind, m, &test, NULL);
    write_note(c, m, note);
    return m;
}
