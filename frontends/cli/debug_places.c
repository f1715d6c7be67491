/* Where the debugger is: list, bt, where, up, down (see debug.h).
 *
 * law: nodes are written as the text form has them, so that names and numbers are those of `tenon dump`
 */
#include "frontends/cli/debug.h"

#include "ir/near.h"
#include "ir/op.h"
#include "runtime/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { AROUND = 5 };

/* ---- Nodes ---------------------------------------------------------------------------------------------- */

static void show_with(const tn_graph *g, const uint32_t *numbers, const node *n, const char *mark) {
    text_buffer b = {0};
    text_node(&b, g, numbers, NULL, n);
    if (!b.failed && b.length >= 2) printf("%s%.*s", mark, (int)b.length - 2, b.text + 2); /* without its margin */
    tn_free(b.text);
}

void debug_show_node(const tn_graph *g, const node *n, const char *mark) {
    uint32_t *numbers = graph_number_values(g);
    if (numbers) show_with(g, numbers, n, mark);
    tn_free(numbers);
}

/* "%r", or the op of a node without results. */
static void put_name(const tn_graph *g, const node *n) {
    uint32_t *numbers = graph_number_values(g);
    text_buffer b = {0};
    if (numbers && n->n_results) text_value(&b, g, numbers, n->first_result);
    if (b.length)
        printf("%.*s = %s", (int)b.length, b.text, op_name((tn_op)n->op));
    else
        printf("%s", op_name((tn_op)n->op));
    tn_free(b.text);
    tn_free(numbers);
}

static bool is_loop(const node *n) { return n->op == TN_OP_while || n->op == TN_OP_scan; }

static int64_t round_of(const debugger *d, const eval_frame *f) {
    size_t depth = (size_t)debug_depth(f);
    return depth < d->n_levels ? d->levels[depth].round : 1;
}

/* "@body, round 3 of %r = while" */
static void put_function(const debugger *d, const eval_frame *f) {
    printf("@%s", f->graph->name);
    if (!f->caller) return;
    printf(", ");
    if (is_loop(f->caller->node)) printf("round %" PRId64 " of ", round_of(d, f));
    if (!is_loop(f->caller->node)) printf("called by ");
    put_name(f->caller->graph, f->caller->node);
}

void debug_show_stop(debugger *d) {
    const eval_frame *f = d->frame;
    if (d->told_graph != f->graph || d->told_round != round_of(d, f)) {
        put_function(d, f);
        printf("\n");
    }
    d->told_graph = f->graph;
    d->told_round = round_of(d, f);
    debug_show_node(f->graph, f->node, d->is_done ? "ok " : "=> ");
    if (d->is_done) debug_show_results(f);
}

void debug_show_error(const debugger *d) {
    const tn_diag *e = &d->diag;
    printf("error: %s", e->message);
    if (e->file) printf("  # %s", e->file);
    if (e->file && e->line) printf(":%d", e->line);
    printf("\n");
}

/* ---- The chain of calls ----------------------------------------------------------------------------------- */

static bool has_frame(const debugger *d) {
    if (!d->shown) printf("the run is over: run starts it again\n");
    return d->shown != NULL;
}

void debug_bt(debugger *d, const char *text) {
    int number = 0;
    (void)text;
    if (!has_frame(d)) return;
    for (const eval_frame *f = d->frame; f; f = f->caller, number++) {
        printf("%c%d ", f == d->shown ? '*' : ' ', number);
        put_function(d, f);
        printf("\n");
        debug_show_node(f->graph, f->node, "     ");
    }
}

static void look_at(debugger *d, const eval_frame *f) {
    d->shown = f;
    d->listed = NULL;
    put_function(d, f);
    printf("\n");
    debug_show_node(f->graph, f->node, f == d->frame && !d->is_done ? "=> " : "-> ");
}

void debug_up(debugger *d, const char *text) {
    (void)text;
    if (!has_frame(d)) return;
    if (d->shown->caller)
        look_at(d, d->shown->caller);
    else
        printf("nothing calls @%s\n", d->shown->graph->name);
}

void debug_down(debugger *d, const char *text) {
    const eval_frame *f = d->frame;
    (void)text;
    if (!has_frame(d)) return;
    while (f != d->shown && f->caller != d->shown) f = f->caller;
    if (f != d->shown)
        look_at(d, f);
    else
        printf("@%s is the innermost function\n", f->graph->name);
}

void debug_where(debugger *d, const char *text) {
    tn_location items[LOCATION_MAX];
    (void)text;
    if (!has_frame(d)) return;
    size_t n = location_items(d->module, d->shown->node->locations, LOCATION_MAX, items);
    if (n == 0) printf("it is from no place of a source\n");
    for (size_t i = 0; i < n; i++) {
        if (items[i].line > 0)
            printf("%s:%d\n", items[i].file, items[i].line);
        else
            printf("%s\n", items[i].file);
    }
}

/* ---- Listing -------------------------------------------------------------------------------------------------- */

/* What the text form writes in a function's head is not listed. */
static bool is_listed(const node *n) { return n->op != TN_OP_param; }

static void list_from(debugger *d, const tn_graph *g, size_t first) {
    uint32_t *numbers = graph_number_values(g);
    size_t k = first;
    for (int shown = 0; numbers && k < g->n_nodes && shown < 2 * AROUND + 1; k++) {
        const node *n = &g->nodes[k];
        bool is_here = d->shown && d->shown->graph == g && d->shown->node == n;
        if (!is_listed(n)) continue;
        show_with(g, numbers, n, !is_here ? "   " : d->is_done && d->shown == d->frame ? "ok " : "=> ");
        shown++;
    }
    if (k == first) printf("that is all of @%s\n", g->name);
    d->listed = g;
    d->list_next = k;
    tn_free(numbers);
}

static size_t before(const tn_graph *g, const node *n) {
    size_t at = (size_t)(n - g->nodes);
    for (int i = 0; i < AROUND && at > 0 && is_listed(&g->nodes[at - 1]); i++) at--;
    return at;
}

void debug_list(debugger *d, const char *text) {
    const tn_graph *here = d->shown ? d->shown->graph : d->data.main;
    value_place found;
    char near[300];
    if (!*text && d->listed) {
        list_from(d, d->listed, d->list_next);
    } else if (!*text) {
        list_from(d, here, d->shown ? before(here, d->shown->node) : 0);
    } else if (*text == '@' && module_find(d->module, text + 1)) {
        list_from(d, module_find(d->module, text + 1), 0);
    } else if (module_find_values(d->module, here, text, &found, 1) > 0) {
        list_from(d, found.graph, before(found.graph, graph_node_of(found.graph, found.value)));
    } else if (module_find(d->module, text)) {
        list_from(d, module_find(d->module, text), 0);
    } else {
        printf("there is neither a function nor a value %s%s\n", text,
               module_near_values(d->module, text, near, sizeof near));
    }
}
