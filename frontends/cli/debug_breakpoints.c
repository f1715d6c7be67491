/* Breakpoints (see debug.h).
 *
 * in:  what the user says: a value's name or number, op:NAME, @function, a line of source (mlp.c:14), the name of an
 *      ONNX node, nan, inf
 * out: a list of nodes, or a property of nodes
 * law: what names nothing is told at once, with what is near to it
 */
#include "frontends/cli/debug.h"

#include "ir/dtype.h"
#include "ir/near.h"
#include "ir/op.h"
#include "runtime/alloc.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Being hit ------------------------------------------------------------------------------------------ */

static bool has_special(const eval_tensor *t, bool (*is_special)(double x)) {
    if (!dtype_is_float(t->dtype)) return false;
    for (int64_t i = 0; t->data && i < t->n; i++)
        if (is_special(eval_load_float(t, i))) return true;
    return false;
}

static bool is_nan(double x) { return isnan(x); }
static bool is_infinite(double x) { return isinf(x); }

static bool is_hit(const breakpoint *b, const eval_frame *frame, bool is_done) {
    const node *n = frame->node;
    if (is_done != (b->kind == BREAK_NAN || b->kind == BREAK_INF)) return false;
    if (b->kind == BREAK_OP) return n->op == b->op;
    for (uint32_t r = 0; is_done && r < n->n_results; r++)
        if (has_special(&frame->values[n->first_result + r], b->kind == BREAK_NAN ? is_nan : is_infinite)) return true;
    for (size_t i = 0; i < b->n_nodes; i++)
        if (b->nodes[i] == n) return true;
    return false;
}

breakpoint *breakpoint_at(debugger *d, const eval_frame *frame, bool is_done) {
    for (size_t i = 0; i < d->breakpoints.n; i++) {
        breakpoint *b = &d->breakpoints.items[i];
        if (!is_hit(b, frame, is_done)) continue;
        b->hits++;
        return b;
    }
    return NULL;
}

void breakpoints_free(breakpoint_list *list) {
    for (size_t i = 0; i < list->n; i++) tn_free(list->items[i].nodes);
    tn_free(list->items);
    *list = (breakpoint_list){0};
}

/* ---- What is meant ---------------------------------------------------------------------------------------- */

static bool add_node(breakpoint *b, const node *n) {
    const node **nodes = tn_realloc(b->nodes, (b->n_nodes + 1) * sizeof(node *));
    if (!nodes) return false;
    b->nodes = nodes;
    nodes[b->n_nodes++] = n;
    return true;
}

/* Its first node that is a step. */
static void add_function(breakpoint *b, const tn_graph *g) {
    for (size_t k = 0; k < g->n_nodes; k++)
        if (g->nodes[k].op != TN_OP_param && g->nodes[k].op != TN_OP_constant) {
            add_node(b, &g->nodes[k]);
            return;
        }
}

enum { MOST_VALUES = 256 };

/* A parameter is there when its function begins. */
static void add_values(debugger *d, breakpoint *b) {
    value_place found[MOST_VALUES];
    const tn_graph *here = d->shown ? d->shown->graph : NULL;
    size_t n = module_find_values(d->module, here, b->text, found, MOST_VALUES);
    for (size_t i = 0; i < n && i < MOST_VALUES; i++) {
        const node *made_by = graph_node_of(found[i].graph, found[i].value);
        if (made_by->op == TN_OP_param)
            add_function(b, found[i].graph);
        else
            add_node(b, made_by);
    }
}

/* Whether `text` is the place, or its end: "mlp.c:14" of "src/mlp.c:14", and the name of an ONNX node. */
static bool is_place(const tn_location *at, const char *text) {
    char place[1200];
    size_t length;
    const char *node = location_node_name(at, &length);
    if (node) return strlen(text) == length && strncmp(node, text, length) == 0;
    if (at->line > 0)
        snprintf(place, sizeof place, "%s:%d", at->file, at->line);
    else
        snprintf(place, sizeof place, "%s", at->file);
    size_t n = strlen(place), m = strlen(text);
    return m <= n && strcmp(place + n - m, text) == 0 && (m == n || place[n - m - 1] == '/');
}

static void add_places(const debugger *d, breakpoint *b) {
    for (size_t i = 0; i < d->module->n_graphs; i++) {
        const tn_graph *g = d->module->graphs[i];
        for (size_t k = 0; k < g->n_nodes; k++) {
            tn_location items[LOCATION_MAX];
            size_t n = location_items(d->module, g->nodes[k].locations, LOCATION_MAX, items);
            if (g->nodes[k].op == TN_OP_param || g->nodes[k].op == TN_OP_constant) continue;
            for (size_t at = 0; at < n; at++)
                if (is_place(&items[at], b->text)) {
                    add_node(b, &g->nodes[k]);
                    break;
                }
        }
    }
}

static const tn_graph *function_named(const tn_module *m, const char *name) {
    for (size_t i = 0; i < m->n_graphs; i++)
        if (strcmp(m->graphs[i]->name, name) == 0) return m->graphs[i];
    return NULL;
}

static void complain_of_op(const char *name) {
    near_names near = {.wanted = name};
    char text[120];
    for (int op = 0; op < TN_OP_COUNT; op++) near_offer(&near, op_name((tn_op)op));
    printf("there is no op %s%s\n", name, near_text(&near, text, sizeof text));
}

static void complain_of_function(const tn_module *m, const char *name) {
    near_names near = {.wanted = name};
    char text[200];
    for (size_t i = 0; i < m->n_graphs; i++) near_offer(&near, m->graphs[i]->name);
    printf("there is no function @%s%s\n", name, near_text(&near, text, sizeof text));
}

/* Of values, and of nodes of ONNX: their names, cut out of locations, are kept as long as this takes. */
static void complain_of(const debugger *d, const char *text) {
    near_names near = {.wanted = text};
    arena names = {0};
    char out[600];
    module_offer_values(d->module, &near);
    for (size_t i = 0; i < d->module->n_graphs; i++)
        for (size_t k = 0; k < d->module->graphs[i]->n_nodes; k++) {
            tn_location at;
            size_t length;
            const node *n = &d->module->graphs[i]->nodes[k];
            const char *name =
                location_items(d->module, n->locations, 1, &at) > 0 ? location_node_name(&at, &length) : NULL;
            char *copy = name ? ARENA_ARRAY(&names, char, length + 1) : NULL;
            if (!copy) continue;
            memcpy(copy, name, length);
            copy[length] = '\0';
            near_offer(&near, copy);
        }
    printf("%s is no value, line of source, node or op here%s\n", text, near_text(&near, out, sizeof out));
    arena_free(&names);
}

/* False: it has been said why not. */
static bool understand(debugger *d, breakpoint *b) {
    const char *text = b->text;
    if (strcmp(text, "nan") == 0 || strcmp(text, "inf") == 0) {
        b->kind = *text == 'n' ? BREAK_NAN : BREAK_INF;
        return true;
    }
    const char *op = strncmp(text, "op:", 3) == 0 ? text + 3 : text;
    b->op = op_from_name(op, strlen(op));
    if (op != text) {
        b->kind = BREAK_OP;
        if (b->op == TN_OP_COUNT) complain_of_op(op);
        return b->op != TN_OP_COUNT;
    }
    if (*text == '@' && !strchr(text, ':')) {
        const tn_graph *g = function_named(d->module, text + 1);
        if (g) add_function(b, g);
        if (!g) complain_of_function(d->module, text + 1);
        return b->n_nodes > 0;
    }
    add_values(d, b);
    if (b->n_nodes == 0) add_places(d, b);
    if (b->n_nodes > 0) return true;
    b->kind = BREAK_OP; /* op: may be left out where nothing else has that name */
    if (b->op != TN_OP_COUNT) return true;
    complain_of(d, text);
    return false;
}

/* ---- Commands ------------------------------------------------------------------------------------------------ */

static void describe(const breakpoint *b) {
    printf("breakpoint %d: %s", b->number, b->text);
    if (b->kind == BREAK_NODES && b->n_nodes != 1) printf(", %zu nodes", b->n_nodes);
    if (b->kind == BREAK_OP) printf(", every %s", op_name(b->op));
    if (b->hits > 0) printf(", hit %" PRId64 " time%s", b->hits, b->hits == 1 ? "" : "s");
    printf("\n");
}

void debug_break(debugger *d, const char *text) {
    breakpoint b = {.number = d->breakpoints.last_number + 1};
    if (!*text) {
        printf("break at what? A value, op:NAME, @function, FILE:LINE, a node's name, nan or inf\n");
        return;
    }
    snprintf(b.text, sizeof b.text, "%s", text);
    bool ok = understand(d, &b);
    breakpoint_list *list = &d->breakpoints;
    if (ok && !array_reserve((void **)&list->items, &list->capacity, list->n + 1, sizeof *list->items)) {
        printf("out of memory\n");
        ok = false;
    }
    if (!ok) {
        tn_free(b.nodes);
        return;
    }
    list->items[list->n++] = b;
    list->last_number = b.number;
    describe(&b);
}

void debug_delete(debugger *d, const char *text) {
    breakpoint_list *list = &d->breakpoints;
    char *end;
    long number = strtol(text, &end, 10);
    if (*text && (end == text || *end)) {
        printf("%s is no number of a breakpoint (info breakpoints lists them)\n", text);
        return;
    }
    size_t kept = 0, before = list->n;
    for (size_t i = 0; i < before; i++) {
        if (!*text || list->items[i].number == number)
            tn_free(list->items[i].nodes);
        else
            list->items[kept++] = list->items[i];
    }
    list->n = kept;
    if (*text && kept == before) printf("there is no breakpoint %ld (info breakpoints lists them)\n", number);
}

static void info_breakpoints(const debugger *d) {
    if (d->breakpoints.n == 0) printf("there are none\n");
    for (size_t i = 0; i < d->breakpoints.n; i++) describe(&d->breakpoints.items[i]);
}

static void info_symbols(const debugger *d) {
    const eval_frame *f = d->shown;
    if (!f || f->graph->n_symbols == 0) printf("there are none\n");
    for (size_t i = 0; f && i < f->graph->n_symbols; i++) {
        const char *name = dim_symbol_name(d->module->dims, f->graph->symbols[i].dim);
        if (f->is_bound[i])
            printf("%s = %" PRId64 "\n", name, f->symbols[i]);
        else
            printf("%s is not known\n", name);
    }
}

static void info_functions(const debugger *d) {
    for (size_t i = 0; i < d->module->n_graphs; i++) {
        const tn_graph *g = d->module->graphs[i];
        size_t n = g->n_nodes - g->n_params;
        printf("%s@%s, %zu node%s\n", g->is_kernel ? "kernel " : "", g->name, n, n == 1 ? "" : "s");
    }
}

void debug_info(debugger *d, const char *text) {
    static const struct {
        const char *name;
        void (*show)(const debugger *d);
    } subjects[] = {{"breakpoints", info_breakpoints}, {"symbols", info_symbols}, {"functions", info_functions}};
    for (size_t i = 0; *text && i < sizeof subjects / sizeof *subjects; i++)
        if (strncmp(subjects[i].name, text, strlen(text)) == 0) {
            subjects[i].show(d);
            return;
        }
    printf("info breakpoints, info symbols or info functions\n");
}
