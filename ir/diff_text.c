/* Differences of modules as text, in the manner of a unified diff.
 *
 * in:  which nodes of two modules are the same (diff_match.c)
 * out: a headline; each function that changed: lines of nodes with a mark before them
 *        (none) is the same, one on each side of a change; runs of others are counted
 *        -      is removed: its values are called %name-; `now %x` is what its readers read in its place
 *        +      is added
 *        > <    has moved to, or from, another function
 *      calls of new kernels tell in one line what is in them; the nodes that went there are counted
 * law: values are called as in the dump of the second module, so that they can be looked up there
 */
#include "ir/diff.h"

#include "ir/names.h"
#include "ir/op.h"

#include <stdlib.h>
#include <string.h>

typedef enum line_kind { SAME, REMOVED, ADDED, MOVED_OUT, MOVED_IN } line_kind;

typedef struct line {
    line_kind kind;
    uint32_t node; /* of `before` for REMOVED and MOVED_OUT, else of `after` */
} line;

/* One function being written. */
typedef struct writer {
    text_buffer *out;
    const function_diff *f;
    uint32_t *numbers_before, *numbers_after; /* of values */
    line *lines;
    size_t n;
    size_t in_kernels; /* removed nodes that calls of kernels stand for */
} writer;

/* ---- Counts ----------------------------------------------------------------------------------------- */

typedef struct op_count {
    tn_op op;
    int before, after;
} op_count;

static int change_of(const op_count *c) { return c->after - c->before; }

/* The largest changes first. */
static int by_change(const void *a, const void *b) {
    const op_count *x = a, *y = b;
    int apart = abs(change_of(y)) - abs(change_of(x));
    return apart ? apart : (int)x->op - (int)y->op;
}

static bool is_counted(const node *n) { return n->op != TN_OP_param; }

static size_t count_nodes(const tn_graph *g) {
    size_t n = 0;
    for (size_t k = 0; g && k < g->n_nodes; k++) n += is_counted(&g->nodes[k]);
    return n;
}

static void put_headline(text_buffer *b, const module_diff *d, const char *title, bool is_changed) {
    op_count counts[TN_OP_COUNT];
    size_t n_before = 0, n_after = 0;
    for (int op = 0; op < TN_OP_COUNT; op++) counts[op] = (op_count){.op = (tn_op)op};
    for (size_t i = 0; i < d->n; i++) {
        const tn_graph *from = d->functions[i].before, *to = d->functions[i].after;
        n_before += count_nodes(from);
        n_after += count_nodes(to);
        for (size_t k = 0; from && k < from->n_nodes; k++) counts[from->nodes[k].op].before++;
        for (size_t k = 0; to && k < to->n_nodes; k++) counts[to->nodes[k].op].after++;
    }
    counts[TN_OP_param] = (op_count){.op = TN_OP_param};
    qsort(counts, TN_OP_COUNT, sizeof *counts, by_change);
    text_format(b, "== %s: ", title);
    if (!is_changed) {
        text_format(b, "nothing changed (%zu nodes)\n", n_after);
        return;
    }
    text_format(b, "%zu -> %zu nodes", n_before, n_after);
    for (int i = 0; i < TN_OP_COUNT && change_of(&counts[i]); i++)
        text_format(b, "%s %+d %s", i ? "," : ":", change_of(&counts[i]), op_name(counts[i].op));
    text_add(b, "\n");
}

/* ---- Values and nodes --------------------------------------------------------------------------------- */

static void spell_after(void *ctx, text_buffer *b, value_id v) {
    const writer *w = ctx;
    text_value(b, w->f->after, w->numbers_after, v);
}

/* By the name that the value, when it is still there, has now. */
static void spell_before(void *ctx, text_buffer *b, value_id v) {
    const writer *w = ctx;
    const function_diff *f = w->f;
    if (f->after && f->node_after[f->before->values[v].node] != NODE_NONE) {
        spell_after(ctx, b, f->value_after[v]);
        return;
    }
    text_value(b, f->before, w->numbers_before, v);
    text_add(b, "-");
}

static bool is_kernel_call(const node *n) {
    const attr *callee = n->op == TN_OP_call ? attr_find(&n->attrs, ATTR_callee) : NULL;
    return callee && callee->func->is_kernel;
}

static bool is_work(const node *n) { return op_is_work((tn_op)n->op); }
static bool is_no_leaf(const node *n) { return op_table[n->op].loop_class != CLASS_LEAF; }

/* Views, which cost nothing, are told where there is nothing else. */
static void put_members(text_buffer *b, const tn_graph *kernel) {
    if (text_ops(b, kernel, &(ops_style){.is_told = is_work}) == 0)
        text_ops(b, kernel, &(ops_style){.is_told = is_no_leaf});
}

static void put_kernel_call(writer *w, const node *n) {
    text_buffer *b = w->out;
    const tn_graph *g = w->f->after, *kernel = attr_find(&n->attrs, ATTR_callee)->func;
    text_add(b, "  ");
    for (uint32_t r = 0; r < n->n_results; r++) {
        if (r) text_add(b, ", ");
        spell_after(w, b, n->first_result + r);
    }
    text_add(b, " = ");
    text_name(b, '@', kernel->name);
    for (uint32_t i = 0; i < n->n_operands; i++) {
        text_add(b, i ? ", " : "(");
        spell_after(w, b, n->operands[i]);
    }
    text_add(b, n->n_operands ? ")" : "()");
    for (uint32_t r = 0; r < n->n_results; r++) {
        text_add(b, r ? ", " : " : ");
        text_type(b, g->module->dims, graph_type(g, n->first_result + r));
    }
    text_add(b, " = ");
    put_members(b, kernel);
    if (n->locations != LOCATION_NONE) {
        text_add(b, "  # ");
        text_locations_brief(b, g->module, n->locations);
    }
    text_add(b, "\n");
}

static void put_node_after(writer *w, uint32_t k) {
    const node *n = &w->f->after->nodes[k];
    if (is_kernel_call(n))
        put_kernel_call(w, n);
    else
        text_node(w->out, w->f->after, NULL, &(node_style){spell_after, w}, n);
}

/* Whether a removed value and what took its place have one name: the lines then tell by themselves. */
static bool is_called_alike(const writer *w, value_id before, value_id after) {
    if (w->numbers_before[before] != VALUE_NAMED || w->numbers_after[after] != VALUE_NAMED) return false;
    return strcmp(value_given_name(w->f->before, before), value_given_name(w->f->after, after)) == 0;
}

static void put_node_before(writer *w, uint32_t k) {
    const function_diff *f = w->f;
    const node *n = &f->before->nodes[k];
    text_node(w->out, f->before, NULL, &(node_style){spell_before, w}, n);
    bool is_replaced = false;
    for (uint32_t r = 0; f->after && r < n->n_results; r++) {
        value_id now = f->value_after[n->first_result + r];
        if (now == VALUE_NONE || w->out->failed || is_called_alike(w, n->first_result + r, now)) continue;
        if (!is_replaced) w->out->length--; /* the end of the line */
        text_add(w->out, is_replaced ? ", " : "  now ");
        spell_after(w, w->out, now);
        is_replaced = true;
    }
    if (is_replaced) text_add(w->out, "\n");
}

/* ---- The order of lines ------------------------------------------------------------------------------- */

static void add_line(writer *w, line_kind kind, uint32_t node) { w->lines[w->n++] = (line){kind, node}; }

/* Nodes before up to `end` that are not there any more. */
static void add_removed(writer *w, uint32_t *at, uint32_t end, bool has_kernels) {
    const function_diff *f = w->f;
    for (; *at < end; ++*at) {
        if (f->node_after[*at] != NODE_NONE || !is_counted(&f->before->nodes[*at])) continue;
        const tn_graph *to = f->moved_to[*at];
        if (has_kernels && (!to || to->is_kernel))
            w->in_kernels++;
        else
            add_line(w, to ? MOVED_OUT : REMOVED, *at);
    }
}

/* Where in `before` the node `k` of `after` is: the end of it when it took the place of one that was removed. */
static bool place_before(const function_diff *f, uint32_t k, uint32_t *end) {
    const node *n = &f->after->nodes[k];
    if (f->node_before[k] != NODE_NONE) {
        *end = f->node_before[k];
        return true;
    }
    for (uint32_t r = 0; r < n->n_results; r++) {
        value_id was = f->value_before[n->first_result + r];
        if (was == VALUE_NONE) continue;
        *end = f->before->values[was].node + 1;
        return true;
    }
    return false;
}

/* New nodes stand in runs that end with one whose place is known: what it took the place of comes first. */
static void order_lines(writer *w, bool has_kernels) {
    const function_diff *f = w->f;
    uint32_t n_before = f->before ? (uint32_t)f->before->n_nodes : 0, at = 0;
    uint32_t n_after = f->after ? (uint32_t)f->after->n_nodes : 0;
    for (uint32_t first = 0, last; first < n_after; first = last + 1) {
        uint32_t end = n_before;
        last = first;
        while (last + 1 < n_after && f->before && !place_before(f, last, &end) && f->node_before[last + 1] == NODE_NONE)
            last++;
        if (f->before && !place_before(f, last, &end) && last + 1 < n_after) place_before(f, last + 1, &end);
        if (f->before) add_removed(w, &at, end, has_kernels);
        for (uint32_t k = first; k <= last; k++)
            if (is_counted(&f->after->nodes[k]))
                add_line(w, f->node_before[k] != NODE_NONE ? SAME : f->moved_from[k] ? MOVED_IN : ADDED, k);
    }
    if (f->before) add_removed(w, &at, n_before, has_kernels);
}

/* ---- Writing them --------------------------------------------------------------------------------------- */

static bool is_change(const writer *w, size_t i) { return i < w->n && w->lines[i].kind != SAME; }

/* Next to a change; constants, which are long, tell nothing. */
static bool is_context(const writer *w, size_t i) {
    if (w->f->after->nodes[w->lines[i].node].op == TN_OP_constant) return false;
    return (i > 0 && is_change(w, i - 1)) || is_change(w, i + 1);
}

/* How many lines from i on are the same and of no interest. */
static size_t quiet_run(const writer *w, size_t i) {
    size_t n = 0;
    while (i + n < w->n && !is_change(w, i + n) && !is_context(w, i + n)) n++;
    return n;
}

static const tn_graph *other_function(const writer *w, size_t i) {
    const line *l = &w->lines[i];
    return l->kind == MOVED_OUT ? w->f->moved_to[l->node] : l->kind == MOVED_IN ? w->f->moved_from[l->node] : NULL;
}

/* How many lines from i on have moved the same way. */
static size_t moved_run(const writer *w, size_t i) {
    const tn_graph *other = other_function(w, i);
    size_t n = 0;
    while (other && i + n < w->n && w->lines[i + n].kind == w->lines[i].kind && other_function(w, i + n) == other) n++;
    return n;
}

static void put_moved(writer *w, size_t i, size_t n) {
    bool is_out = w->lines[i].kind == MOVED_OUT;
    const char *mark = is_out ? ">" : "<", *way = is_out ? "to" : "from";
    if (n > 1) {
        text_format(w->out, "%s  ... %zu nodes %s ", mark, n, way);
        text_name(w->out, '@', other_function(w, i)->name);
        text_add(w->out, "\n");
        return;
    }
    text_add(w->out, mark);
    text_node(w->out, is_out ? w->f->before : w->f->after, NULL, &(node_style){is_out ? spell_before : spell_after, w},
              &(is_out ? w->f->before : w->f->after)->nodes[w->lines[i].node]);
    if (!w->out->failed) w->out->length--;
    text_format(w->out, "  %s ", way);
    text_name(w->out, '@', other_function(w, i)->name);
    text_add(w->out, "\n");
}

static void put_line(writer *w, const line *l) {
    text_add(w->out, l->kind == SAME ? " " : l->kind == REMOVED ? "-" : "+");
    if (l->kind == REMOVED)
        put_node_before(w, l->node);
    else
        put_node_after(w, l->node);
}

static void put_lines(writer *w) {
    for (size_t i = 0; i < w->n;) {
        size_t quiet = quiet_run(w, i), moved = moved_run(w, i);
        if (quiet > 0) {
            text_format(w->out, "   ... %zu node%s unchanged\n", quiet, quiet == 1 ? "" : "s");
            i += quiet;
        } else if (moved > 0) {
            put_moved(w, i, moved);
            i += moved;
        } else {
            put_line(w, &w->lines[i++]);
        }
    }
}

/* ---- Heads ------------------------------------------------------------------------------------------------ */

/* Parameters and results are compared as what they are written as. */
static void describe_param(text_buffer *b, const tn_graph *g, size_t i) {
    text_add(b, "parameter ");
    text_param(b, g->module, &g->params[i]);
}

static void describe_result(text_buffer *b, const tn_graph *g, size_t i) {
    text_add(b, "result ");
    text_name(b, '%', g->results[i].name);
    text_add(b, ": ");
    text_type(b, g->module->dims, graph_type(g, g->results[i].value));
}

typedef void describe_item(text_buffer *b, const tn_graph *g, size_t i);

static bool is_item_of(const tn_graph *g, size_t n, describe_item *describe, text_buffer *text) {
    bool found = false;
    for (size_t i = 0; i < n && !found; i++) {
        text_buffer other = {0};
        describe(&other, g, i);
        found = !other.failed && other.length == text->length && memcmp(other.text, text->text, text->length) == 0;
        text->failed |= other.failed;
        tn_free(other.text);
    }
    return found;
}

/* Those of `g` that `other` has not. */
static void put_items(text_buffer *b, const char *mark, const tn_graph *g, size_t n, const tn_graph *other,
                      size_t n_other, describe_item *describe) {
    for (size_t i = 0; i < n; i++) {
        text_buffer text = {0};
        describe(&text, g, i);
        if (!is_item_of(other, n_other, describe, &text)) {
            text_format(b, "%s  ", mark);
            text_add_n(b, text.text, text.length);
            text_add(b, "\n");
        }
        b->failed |= text.failed;
        tn_free(text.text);
    }
}

static void put_heads(text_buffer *b, const tn_graph *before, const tn_graph *after) {
    put_items(b, "-", before, before->n_params, after, after->n_params, describe_param);
    put_items(b, "+", after, after->n_params, before, before->n_params, describe_param);
    put_items(b, "-", before, before->n_results, after, after->n_results, describe_result);
    put_items(b, "+", after, after->n_results, before, before->n_results, describe_result);
}

/* ---- Functions ---------------------------------------------------------------------------------------------- */

static bool writer_open(writer *w, text_buffer *b, const function_diff *f) {
    size_t n = (f->before ? f->before->n_nodes : 0) + (f->after ? f->after->n_nodes : 0);
    *w = (writer){.out = b, .f = f, .lines = tn_malloc((n + 1) * sizeof *w->lines)};
    if (f->before) w->numbers_before = graph_number_values(f->before);
    if (f->after) w->numbers_after = graph_number_values(f->after);
    return w->lines && (!f->before || w->numbers_before) && (!f->after || w->numbers_after);
}

static void writer_close(writer *w) {
    tn_free(w->lines);
    tn_free(w->numbers_before);
    tn_free(w->numbers_after);
}

/* Whether fuse has been at work on it: it calls kernels, and did not before. */
static bool gained_kernels(const function_diff *f) {
    bool had = false, has = false;
    for (size_t k = 0; f->before && k < f->before->n_nodes; k++) had |= is_kernel_call(&f->before->nodes[k]);
    for (size_t k = 0; f->after && k < f->after->n_nodes; k++) has |= is_kernel_call(&f->after->nodes[k]);
    return has && !had;
}

static void put_title(writer *w) {
    const function_diff *f = w->f;
    text_add(w->out, "fn ");
    text_name(w->out, '@', f->after ? f->after->name : f->before->name);
    size_t n = count_nodes(f->after ? f->after : f->before);
    if (!f->before) text_format(w->out, " is new: %zu node%s", n, n == 1 ? "" : "s");
    if (!f->after) text_format(w->out, " is no more: it had %zu node%s", n, n == 1 ? "" : "s");
    text_add(w->out, "\n");
}

/* A kernel that is new is told of where it is called. */
static bool put_function(text_buffer *b, const function_diff *f) {
    if (!f->before && f->after->is_kernel) return true;
    writer w;
    text_buffer heads = {0};
    if (!writer_open(&w, b, f)) {
        b->failed = true;
        writer_close(&w);
        return true;
    }
    order_lines(&w, gained_kernels(f));
    if (f->before && f->after) put_heads(&heads, f->before, f->after);
    bool is_changed = !f->before || !f->after || heads.length > 0 || w.in_kernels > 0;
    for (size_t i = 0; i < w.n; i++) is_changed |= is_change(&w, i);
    if (is_changed) {
        put_title(&w);
        text_add_n(b, heads.text, heads.length);
        put_lines(&w);
        if (w.in_kernels) text_format(b, "-  ... %zu nodes are in these kernels now\n", w.in_kernels);
    }
    b->failed |= heads.failed;
    tn_free(heads.text);
    writer_close(&w);
    return is_changed;
}

void text_module_diff(text_buffer *b, const module_diff *d, const char *title) {
    text_buffer body = {0};
    bool is_changed = false;
    for (size_t i = 0; i < d->n; i++) is_changed |= put_function(&body, &d->functions[i]);
    put_headline(b, d, title, is_changed);
    if (is_changed) text_add_n(b, body.text, body.length);
    b->failed |= body.failed;
    tn_free(body.text);
}
