/* A program walked through in the order in which it runs: its kernels, the values between them, the arena.
 *
 * in:  the plan of an entry (main or prepare), values of its symbols
 * out: kernels, values, edges and blocks of the arena, appended to the explanation
 * law: a kernel that is called from several places is there for each of them, with that call's sizes; what loops repeat
 *      is there once. Numbers are those that code generation gives (program_node.c): functions in the plan's order,
 *      their calls in the order of nodes
 */
#include "compiler/explain_state.h"

#include "ir/op.h"

#include <string.h>

/* Kernels beyond which functions that were shown are not shown again. */
enum { MOST_KERNELS = 20000 };

typedef struct walk {
    explanation *e;
    const program_plan *plan;
    const fusion_notes *fusion;
    bool is_prepare;
    int *first_number; /* of each function of the plan: its first kernel's number; -1: not reached */
    bool *is_shown;    /* likewise */
} walk;

/* A function that is called with certain sizes, with its part of the arena. */
typedef struct scope {
    walk *w;
    const function_plan *plan;
    sized in;
    bool is_entry;
    double calls, base;        /* in a run; where its part of the arena begins */
    int *made_by;              /* of each value: the last kernel that makes it, -1: none */
    int *number;               /* of each value: its number in the explanation, -1: not yet */
    int *first_row, *last_row; /* of each node: kernels that run for it; the last before the first: none do */
} scope;

static bool fail(explanation *e) { return !(e->failed = true); }

static bool ints_new(explanation *e, size_t n, int **out) {
    *out = tn_malloc((n + 1) * sizeof **out);
    if (!*out) return fail(e);
    memset(*out, 0xff, (n + 1) * sizeof **out);
    return true;
}

static void scope_close(scope *s) {
    tn_free(s->made_by);
    tn_free(s->number);
    tn_free(s->first_row);
    tn_free(s->last_row);
}

static bool scope_open(scope *s) {
    const tn_graph *g = s->in.graph;
    explanation *e = s->w->e;
    return ints_new(e, g->n_values, &s->made_by) && ints_new(e, g->n_values, &s->number) &&
           ints_new(e, g->n_nodes, &s->first_row) && ints_new(e, g->n_nodes, &s->last_row);
}

static size_t plan_number(const walk *w, const tn_graph *g) {
    return (size_t)(plan_of(w->plan, g) - w->plan->functions);
}

/* ---- Values ---- */

static tn_explained_place place_of(const scope *s, value_id root) {
    const place *at = &s->plan->values[root];
    switch (at->kind) {
    case PLACE_PARAM: return s->in.graph->params[at->index].binding == BINDING_LOAD ? TN_PLACE_WEIGHT : TN_PLACE_INPUT;
    case PLACE_RESULT: return s->is_entry ? TN_PLACE_OUTPUT : TN_PLACE_ARENA;
    case PLACE_CONSTANT: return TN_PLACE_CONSTANT;
    default: return TN_PLACE_ARENA;
    }
}

static int add_value(scope *s, value_id v, tn_explained_place place) {
    explanation *e = s->w->e;
    if (!array_reserve((void **)&e->values, &e->values_capacity, (size_t)e->all.n_values + 1, sizeof *e->values))
        return fail(e), -1;
    const char *name = s->in.graph->values[v].name;
    e->values[e->all.n_values] = (tn_explained_value){
        .name = name ? explain_text(e, "%s", name) : explain_text(e, "%%%u", (unsigned)v),
        .type = explain_type(e, &s->in, graph_type(s->in.graph, v)),
        .bytes = sized_bytes(&s->in, v),
        .place = place,
        .is_prepare = s->w->is_prepare,
    };
    return e->all.n_values++;
}

/* The number of what v is another name for; -1: it has no buffer (or no memory). */
static int number_of(scope *s, value_id v) {
    value_id root = plan_root(s->in.graph, v);
    if (graph_type(s->in.graph, root)->dtype == TN_TOKEN) return -1;
    if (s->number[root] < 0) s->number[root] = add_value(s, root, place_of(s, root));
    return s->number[root];
}

/* ---- Edges ---- */

static void add_edge(explanation *e, int from, int to, int value) {
    for (int i = e->all.n_edges - 1; i >= 0 && e->edges[i].to == to; i--)
        if (e->edges[i].from == from && e->edges[i].value == value) return;
    if (!array_reserve((void **)&e->edges, &e->edges_capacity, (size_t)e->all.n_edges + 1, sizeof *e->edges)) {
        fail(e);
        return;
    }
    e->edges[e->all.n_edges++] = (tn_explained_edge){from, to, value};
}

/* From all that make a part of v. Weights and constants come from nowhere. */
static void add_edges(scope *s, value_id v, int to, int depth) {
    enum { DEEPEST = 32 };
    const tn_graph *g = s->in.graph;
    value_id root = plan_root(g, v);
    const node *n = graph_node_of(g, root);
    if (n->op == TN_OP_concat && depth < DEEPEST) {
        for (uint32_t k = 0; k < n->n_operands; k++) add_edges(s, n->operands[k], to, depth + 1);
        return;
    }
    int number = number_of(s, v);
    if (number < 0) return;
    tn_explained_place place = s->w->e->values[number].place;
    if (s->made_by[root] >= 0 || place == TN_PLACE_INPUT) add_edge(s->w->e, s->made_by[root], to, number);
}

/* ---- Kernels ---- */

static void read_operands(scope *s, const node *n, const sized *kernel, int row, tn_explained_kernel *k,
                          kernel_cost *cost) {
    explanation *e = s->w->e;
    int *reads = ARENA_ARRAY(&e->memory, int, n->n_operands + 1);
    k->reads = reads;
    e->failed |= !reads;
    for (uint32_t i = 0; reads && i < n->n_operands; i++) {
        int number = number_of(s, n->operands[i]);
        if (number < 0) continue;
        tn_explained_place place = e->values[number].place;
        bool is_weight = place == TN_PLACE_WEIGHT || place == TN_PLACE_CONSTANT;
        double bytes = explain_bytes_read(kernel, i);
        double *into = is_weight ? &k->weight_bytes : &k->bytes_read;
        *into = known_sum(*into, bytes);
        reads[k->n_reads++] = number;
        add_edges(s, n->operands[i], row, 0);
    }
    cost->working_set = known_sum(k->bytes_read, k->bytes_written);
}

static void write_results(scope *s, const node *n, int row, tn_explained_kernel *k) {
    explanation *e = s->w->e;
    int *writes = ARENA_ARRAY(&e->memory, int, n->n_results + 1);
    k->writes = writes;
    e->failed |= !writes;
    for (uint32_t i = 0; writes && i < n->n_results; i++) {
        s->made_by[n->first_result + i] = row;
        int number = number_of(s, n->first_result + i);
        if (number >= 0) writes[k->n_writes++] = number;
    }
}

/* Values of a callee's symbols at a call, from tn_malloc; NULL: no memory. */
static int64_t *callee_symbols(const scope *s, const node *n, const tn_graph *callee) {
    const tn_dim *dims = node_callee_symbols(n, callee);
    int64_t *values = tn_malloc((callee->n_symbols + 1) * sizeof *values);
    if (!values) fail(s->w->e);
    for (size_t i = 0; values && i < callee->n_symbols; i++) {
        double value = dims ? sized_value(&s->in, dims[i]) : TN_UNKNOWN;
        values[i] = value < 0 ? SIZE_UNKNOWN : (int64_t)value;
    }
    return values;
}

/* What was noted while the kernel was built, then why its operands are not part of it. */
static void note_kernel(scope *s, const node *n, const function_plan *fused, tn_explained_kernel *k) {
    explanation *e = s->w->e;
    const fusion_notes *fusion = s->w->fusion;
    const char **notes = ARENA_ARRAY(&e->memory, const char *, fused->n_notes + n->n_operands + 1);
    k->notes = notes;
    e->failed |= !notes;
    for (uint32_t i = 0; notes && i < fused->n_notes; i++) notes[k->n_notes++] = explain_text(e, "%s", fused->notes[i]);
    for (size_t i = 0; notes && i < fusion->n; i++) {
        const fusion_note *f = &fusion->items[i];
        if (f->kernel != fused->graph || f->operand >= n->n_operands) continue;
        int number = number_of(s, n->operands[f->operand]);
        if (number >= 0)
            notes[k->n_notes++] =
                explain_text(e, "%s is made by another kernel and not fused in: %s", e->values[number].name, f->why);
    }
}

static void add_kernel(scope *s, size_t i, const tn_graph *fused, int number) {
    explanation *e = s->w->e;
    const node *n = &s->in.graph->nodes[i];
    size_t count = (size_t)e->all.n_kernels + 1;
    int64_t *symbols = callee_symbols(s, n, fused);
    if (!symbols || !array_reserve((void **)&e->kernels, &e->kernels_capacity, count, sizeof *e->kernels) ||
        !array_reserve((void **)&e->costs, &e->costs_capacity, count, sizeof *e->costs)) {
        fail(e);
        tn_free(symbols);
        return;
    }
    int row = e->all.n_kernels++;
    const lt_kernel *loops = plan_kernel_of(s->w->plan, fused)->loops;
    const function_plan *own = plan_of(s->w->plan, fused);
    sized kernel = {fused, symbols};
    tn_explained_kernel k = {.number = number,
                             .is_prepare = s->w->is_prepare,
                             .name = explain_text(e, "%s", loops->name),
                             .class_name = explain_text(e, "%s", loops->class_name),
                             .function = explain_text(e, "%s", s->in.graph->name),
                             .calls = s->calls,
                             .predicted_ms = TN_UNKNOWN,
                             .measured_ms = TN_UNKNOWN,
                             .share_of_peak = TN_UNKNOWN,
                             .share_of_time = TN_UNKNOWN};
    explain_nodes(e, &kernel, &k);
    explain_cost(&kernel, &k, &e->costs[row]);
    read_operands(s, n, &kernel, row, &k, &e->costs[row]);
    write_results(s, n, row, &k);
    note_kernel(s, n, own, &k);
    if (s->plan->work_bytes[i] != DIM_INVALID) k.temporary_bytes = sized_value(&s->in, s->plan->work_bytes[i]);
    e->kernels[row] = k;
    tn_free(symbols);
}

/* ---- The arena ---- */

static void add_block(scope *s, const char *what, int value, tn_dim offset, double bytes, int first, int last) {
    explanation *e = s->w->e;
    double at = sized_value(&s->in, offset);
    if (at < 0 || bytes <= 0 || s->base < 0) return;
    if (!array_reserve((void **)&e->blocks, &e->blocks_capacity, (size_t)e->all.n_blocks + 1, sizeof *e->blocks)) {
        fail(e);
        return;
    }
    e->blocks[e->all.n_blocks++] = (tn_explained_block){.what = what,
                                                        .value = value,
                                                        .is_prepare = s->w->is_prepare,
                                                        .offset = s->base + at,
                                                        .bytes = bytes,
                                                        .first = first,
                                                        .last = last < first ? first : last};
}

static double carried_bytes(const scope *s, const node *n) {
    double all = 0;
    for (uint32_t i = 0; i < plan_carried(n); i++) {
        double bytes = plan_is_invariant(n, i) ? 0 : sized_bytes(&s->in, n->operands[i]);
        if (bytes < 0) return TN_UNKNOWN;
        int64_t blocks = ((int64_t)bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT;
        all += (double)(blocks * PLAN_ALIGNMENT);
    }
    return all;
}

static void add_work(scope *s, size_t i) {
    explanation *e = s->w->e;
    const node *n = &s->in.graph->nodes[i];
    tn_dim at = s->plan->work_offset[i];
    const attr *callee = attr_find(&n->attrs, ATTR_callee);
    int first = s->first_row[i], last = s->last_row[i];
    if (at == DIM_INVALID) return;
    if (callee && callee->func->is_kernel && first <= last)
        add_block(s, explain_text(e, "temporaries of %s", e->kernels[first].name), -1, at,
                  e->kernels[first].temporary_bytes, first, last);
    else if (plan_carried(n))
        add_block(s, explain_text(e, "second copies of what %s carries", op_name((tn_op)n->op)), -1, at,
                  carried_bytes(s, n), first, last);
    else if (first > last)
        add_block(s, explain_text(e, "arena of %s", callee ? callee->func->name : op_name((tn_op)n->op)), -1, at,
                  sized_value(&s->in, s->plan->work_bytes[i]), first, last);
}

typedef struct spans {
    int *first, *last; /* of each value: kernels, by row */
    plan_part *parts;
} spans;

static void use_at(const scope *s, const spans *of, value_id v, int row) {
    value_id root = plan_root(s->in.graph, v);
    if (row > of->last[root]) of->last[root] = row;
}

/* A part of a concat lies in the whole, which is wanted from the first part on. */
static void join_parts(const scope *s, const spans *of) {
    for (value_id v = 0; v < s->in.graph->n_values; v++) {
        value_id whole = of->parts[v].whole;
        if (whole == VALUE_NONE || s->plan->values[v].kind != PLACE_ARENA) continue;
        if (of->first[v] < of->first[whole]) of->first[whole] = of->first[v];
        if (of->last[v] > of->last[whole]) of->last[whole] = of->last[v];
    }
}

static void add_blocks(scope *s, const spans *of) {
    const tn_graph *g = s->in.graph;
    explanation *e = s->w->e;
    int end = e->all.n_kernels - 1;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        for (uint32_t k = 0; k < n->n_operands; k++) use_at(s, of, n->operands[k], s->last_row[i]);
        for (uint32_t k = 0; k < n->n_results; k++) of->first[n->first_result + k] = s->first_row[i];
    }
    for (size_t r = 0; r < g->n_results; r++) use_at(s, of, g->results[r].value, end);
    join_parts(s, of);
    for (value_id v = 0; v < g->n_values; v++) {
        if (s->plan->values[v].kind != PLACE_ARENA || of->parts[v].whole != VALUE_NONE) continue;
        int number = number_of(s, v);
        if (number >= 0)
            add_block(s, e->values[number].name, number, s->plan->values[v].offset, sized_bytes(&s->in, v),
                      of->first[v], of->last[v]);
    }
    for (size_t i = 0; i < g->n_nodes; i++) add_work(s, i);
    for (size_t r = 0; r < g->n_results; r++)
        if (s->plan->staged[r] != DIM_INVALID)
            add_block(s, explain_text(e, "next value of %s", g->results[r].name), -1, s->plan->staged[r],
                      sized_bytes(&s->in, g->results[r].value), end, end);
}

static void explain_arena(scope *s) {
    const tn_graph *g = s->in.graph;
    spans of = {.parts = tn_malloc((g->n_values + 1) * sizeof *of.parts)};
    bool ok = ints_new(s->w->e, g->n_values, &of.first) && ints_new(s->w->e, g->n_values, &of.last) && of.parts;
    if (ok) {
        plan_join(g, of.parts);
        add_blocks(s, &of);
    }
    s->w->e->failed |= !ok;
    tn_free(of.parts);
    tn_free(of.first);
    tn_free(of.last);
}

/* ---- Functions ---- */

static void walk_function(scope *s);

/* A function that node n names. Its parameters are the operands from `first_operand` on; those from `first_slice` on are
 * one step of theirs. Results' kernels go to made_by[] from `results` on (NULL: nowhere). */
typedef struct inner_call {
    const node *n;
    tn_graph *callee;
    uint32_t first_operand, first_slice;
    double calls, base;
    int *results;
} inner_call;

static void give_params(scope *s, scope *inner, const inner_call *call) {
    const tn_graph *g = call->callee;
    for (size_t i = 0; i < g->n_params; i++) {
        value_id v = call->n->operands[call->first_operand + i], root = plan_root(s->in.graph, v);
        int number = number_of(s, v);
        inner->made_by[g->params[i].value] = s->made_by[root];
        if (number < 0) continue;
        bool is_slice = i >= call->first_slice;
        inner->number[g->params[i].value] =
            is_slice ? add_value(inner, g->params[i].value, s->w->e->values[number].place) : number;
    }
}

static void take_results(const scope *inner, const inner_call *call) {
    const tn_graph *g = call->callee;
    for (size_t r = 0; call->results && r < g->n_results; r++) {
        int row = inner->made_by[plan_root(g, g->results[r].value)];
        if (row > call->results[r]) call->results[r] = row;
    }
}

static void walk_callee(scope *s, const inner_call *call) {
    walk *w = s->w;
    bool *is_shown = &w->is_shown[plan_number(w, call->callee)];
    if (*is_shown && w->e->all.n_kernels >= MOST_KERNELS) {
        w->e->all.is_cut = true;
        return;
    }
    *is_shown = true;
    int64_t *symbols = callee_symbols(s, call->n, call->callee);
    scope inner = {.w = w,
                   .plan = plan_of(w->plan, call->callee),
                   .in = {call->callee, symbols},
                   .calls = call->calls,
                   .base = call->base};
    if (symbols && scope_open(&inner)) {
        give_params(s, &inner, call);
        walk_function(&inner);
        take_results(&inner, call);
    }
    scope_close(&inner);
    tn_free(symbols);
}

static void walk_control(scope *s, size_t i) {
    const node *n = &s->in.graph->nodes[i];
    static const struct {
        uint32_t first_operand;
        bool makes_results;
    } how[PLAN_CALLEES] = {{0, true}, {1, true}, {1, true}, {0, false}, {0, true}}; /* as in plan_callees */
    double base = known_sum(s->base,
                            s->plan->work_offset[i] == DIM_INVALID ? 0 : sized_value(&s->in, s->plan->work_offset[i])),
           calls = n->op == TN_OP_call ? s->calls : TN_UNKNOWN;
    if (n->op == TN_OP_scan) {
        double length = sized_value(&s->in, attr_find(&n->attrs, ATTR_length)->dim);
        calls = length < 0 || s->calls < 0 ? TN_UNKNOWN : s->calls * length;
    }
    for (size_t k = 0; k < PLAN_CALLEES; k++) {
        const attr *a = attr_find(&n->attrs, plan_callees[k]);
        if (!a) continue;
        walk_callee(s, &(inner_call){.n = n,
                                     .callee = a->func,
                                     .first_operand = how[k].first_operand,
                                     .first_slice = n->op == TN_OP_scan ? plan_carried(n) : UINT32_MAX,
                                     .calls = calls,
                                     .base = known_sum(base, carried_bytes(s, n)),
                                     .results = how[k].makes_results ? s->made_by + n->first_result : NULL});
    }
}

/* A node of the function itself, which copies or renames: its result is whole when its last operand is. */
static void pass_on(scope *s, const node *n) {
    for (uint32_t r = 0; r < n->n_results; r++)
        for (uint32_t k = 0; k < n->n_operands; k++) {
            int row = s->made_by[plan_root(s->in.graph, n->operands[k])];
            if (row > s->made_by[n->first_result + r]) s->made_by[n->first_result + r] = row;
        }
}

static void walk_function(scope *s) {
    const tn_graph *g = s->in.graph;
    explanation *e = s->w->e;
    int number = s->w->first_number[plan_number(s->w, g)];
    for (size_t i = 0; i < g->n_nodes && !e->failed; i++) {
        const node *n = &g->nodes[i];
        const attr *callee = attr_find(&n->attrs, ATTR_callee);
        s->first_row[i] = e->all.n_kernels;
        if (callee && callee->func->is_kernel)
            add_kernel(s, i, callee->func, number++);
        else if (op_table[n->op].loop_class == CLASS_CONTROL && n->op != TN_OP_barrier && n->op != TN_OP_custom)
            walk_control(s, i);
        else
            pass_on(s, n);
        s->last_row[i] = e->all.n_kernels - 1;
    }
    if (!e->failed) explain_arena(s);
}

/* ---- Entries ---- */

/* Marks what is reached and numbers kernels as code generation does; false where that has other ones. */
static bool number_kernels(walk *w, const tn_graph *entry, const emitted_tables *tables) {
    const program_plan *plan = w->plan;
    w->first_number[plan_number(w, entry)] = 0;
    for (size_t i = plan->n_functions; i-- > 0;) {
        const tn_graph *g = plan->functions[i].graph;
        for (size_t n = 0; w->first_number[i] >= 0 && !g->is_kernel && n < g->n_nodes; n++)
            for (size_t k = 0; k < PLAN_CALLEES; k++) {
                const attr *callee = attr_find(&g->nodes[n].attrs, plan_callees[k]);
                if (callee) w->first_number[plan_number(w, callee->func)] = 0;
            }
    }
    size_t count = 0;
    for (size_t i = 0; i < plan->n_functions; i++) {
        const tn_graph *g = plan->functions[i].graph;
        if (w->first_number[i] < 0 || g->is_kernel) continue;
        w->first_number[i] = (int)count;
        for (size_t n = 0; n < g->n_nodes; n++) {
            const attr *callee = attr_find(&g->nodes[n].attrs, ATTR_callee);
            if (!callee || !callee->func->is_kernel) continue;
            if (count >= tables->n_calls || tables->calls[count] != callee->func) return false;
            count++;
        }
    }
    return count == tables->n_calls;
}

static void edges_of_results(scope *s) {
    const tn_graph *g = s->in.graph;
    for (size_t r = 0; r < g->n_results; r++) add_edges(s, g->results[r].value, -1, 0);
}

bool explain_entry(explanation *e, const compilation *c, tn_graph *entry, const emitted_tables *tables,
                   const int64_t *sizes) {
    walk w = {.e = e, .plan = &c->plan, .fusion = &c->fusion_notes, .is_prepare = entry == c->prepare};
    scope s = {.w = &w, .plan = plan_of(&c->plan, entry), .in = {entry, sizes}, .is_entry = true, .calls = 1};
    bool ok = ints_new(e, c->plan.n_functions, &w.first_number), agrees = true;
    w.is_shown = tn_calloc(c->plan.n_functions + 1, sizeof *w.is_shown);
    if (!w.is_shown) ok = fail(e);
    if (ok && (agrees = number_kernels(&w, entry, tables)) && scope_open(&s)) {
        walk_function(&s);
        edges_of_results(&s);
    }
    scope_close(&s);
    tn_free(w.first_number);
    tn_free(w.is_shown);
    return agrees;
}
