/* Where the debugger stops (see debug.h).
 *
 * in:  each node, before and after it is evaluated; how the user wants to go on, and breakpoints
 * out: a conversation where one of these asks for it
 * law: parameters and constants are no steps: there is nothing to see that their readers do not show. A node that has
 *      an error or a fault is a stop in any case
 */
#include "frontends/cli/debug.h"

#include "runtime/alloc.h"

#include <stdio.h>

int debug_depth(const eval_frame *frame) {
    int depth = 0;
    for (; frame->caller; frame = frame->caller) depth++;
    return depth;
}

/* ---- Rounds ------------------------------------------------------------------------------------------- */

static bool reserve_levels(debugger *d, size_t n) {
    size_t before = d->n_levels;
    if (n <= before) return true;
    level *levels = tn_realloc(d->levels, n * sizeof *levels);
    if (!levels) return false;
    for (size_t i = before; i < n; i++) levels[i] = (level){.round = 1};
    d->levels = levels;
    d->n_levels = n;
    return true;
}

/* The rounds in which the node of `caller` has called `callee`. */
static rounds *rounds_of(level *caller, const tn_graph *callee) {
    for (int i = 0; i < DEBUG_MOST_CALLEES; i++) {
        rounds *r = &caller->callees[i];
        if (!r->graph) *r = (rounds){.graph = callee, .last = SIZE_MAX};
        if (r->graph == callee) return r;
    }
    return &caller->callees[0];
}

/* Counts rounds before node `frame->node` is evaluated: whether that begins one. A function that is evaluated again
 * has the same frame, but begins again with its first node. */
static bool count_round(debugger *d, const eval_frame *frame) {
    size_t at = (size_t)(frame->node - frame->graph->nodes);
    if (!reserve_levels(d, (size_t)d->depth + 1)) return false;
    for (int i = 0; i < DEBUG_MOST_CALLEES; i++) d->levels[d->depth].callees[i] = (rounds){0};
    if (d->depth == 0) return false;
    rounds *r = rounds_of(&d->levels[d->depth - 1], frame->graph);
    bool is_new = r->last == SIZE_MAX || at <= r->last;
    r->n += is_new;
    r->last = at;
    d->levels[d->depth].round = r->n;
    return is_new;
}

/* ---- Stopping ------------------------------------------------------------------------------------------- */

static void stop(debugger *d) {
    d->shown = d->frame;
    d->listed = NULL;
    d->list_next = SIZE_MAX;
    d->mode = RUN;
    debug_show_stop(d);
    d->stopped_frame = d->is_done ? NULL : d->frame;
    d->stopped_node = d->frame->node;
    debug_converse(d);
}

static bool is_step(const node *n) { return n->op != TN_OP_param && n->op != TN_OP_constant; }

/* Whether going on as the user wants ends before the node. */
static bool is_reached(debugger *d, bool is_new_round) {
    bool is_here = false;
    switch (d->mode) {
    case RUN: return false;
    case STEP: is_here = true; break;
    case NEXT: is_here = d->depth <= d->mode_depth; break;
    case FINISH: is_here = d->depth < d->mode_depth || (d->depth == d->mode_depth && is_new_round); break;
    }
    return is_here && is_step(d->frame->node) && --d->times <= 0;
}

static bool before_node(debugger *d) {
    bool is_new_round = count_round(d, d->frame);
    breakpoint *b = breakpoint_at(d, d->frame, false);
    /* A round's parameters come before its first step. */
    if (d->mode == FINISH && d->depth == d->mode_depth && is_new_round) d->mode = STEP;
    if (b) printf("breakpoint %d: %s\n", b->number, b->text);
    if (b || is_reached(d, is_new_round)) stop(d);
    return !d->quits && !d->runs_again;
}

static bool is_new_error(debugger *d) {
    if (d->diag.status == TN_OK || d->is_error_told) return false;
    d->is_error_told = true;
    return true;
}

static bool after_node(debugger *d) {
    bool was_stepped = d->stopped_frame == d->frame && d->stopped_node == d->frame->node;
    if (is_new_error(d)) {
        debug_show_error(d);
        stop(d);
    } else {
        breakpoint *b = breakpoint_at(d, d->frame, true);
        if (was_stepped && d->mode != RUN) debug_show_results(d->frame);
        if (b) printf("breakpoint %d: %s\n", b->number, b->text);
        if (b || (d->mode == FINISH && d->depth < d->mode_depth)) stop(d);
    }
    return !d->quits && !d->runs_again;
}

bool debug_on_node(void *ctx, const eval_frame *frame, bool is_done) {
    debugger *d = ctx;
    d->frame = d->shown = frame;
    d->depth = debug_depth(frame);
    d->is_done = is_done;
    return is_done ? after_node(d) : before_node(d);
}

void debug_begin_run(debugger *d) {
    d->diag = (tn_diag){0};
    d->is_error_told = false;
    d->mode = STEP; /* to the first node */
    d->times = 1;
    d->told_graph = NULL;
    d->stopped_frame = NULL;
    for (size_t i = 0; i < d->n_levels; i++) d->levels[i] = (level){.round = 1};
}
