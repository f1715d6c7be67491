/* The interpreter's driver: evaluates a function node by node.
 *
 * in:  a verified function, one tensor for each parameter
 * out: one tensor for each result
 * law: nodes are evaluated in order; a value is freed after its last reader; a node whose
 *      results nobody needs is skipped unless it has effects; bad sizes, limits and failed
 *      allocations end in a diagnostic, never in a crash
 */
#include "ir/eval_state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Errors --------------------------------------------------------------------------------- */

/* Writes the diagnostic: of the outermost composite, else of the node being evaluated, else at `where`. */
static void record(eval_state *s, tn_status status, location_id where, const char *format, va_list arguments) {
    tn_diag *d = s->diag;
    tn_location at;
    const eval_frame *f = s->frame;
    const tn_graph *g = s->blame_node ? s->blame_graph : f ? f->graph : NULL;
    const node *n = s->blame_node ? s->blame_node : f ? f->node : NULL;
    *d = (tn_diag){.status = status};
    if (n) where = n->locations;
    if (g && where != LOCATION_NONE && location_items(g->module, where, 1, &at) > 0) {
        d->file = at.file;
        d->line = at.line;
    }
    int used = n ? snprintf(d->message, sizeof d->message, "%s: ", op_name((tn_op)n->op)) : 0;
    vsnprintf(d->message + used, sizeof d->message - (size_t)used, format, arguments);
}

bool eval_error(eval_state *s, tn_status status, const char *format, ...) {
    if (s->failed) return false;
    va_list arguments;
    va_start(arguments, format);
    record(s, status, LOCATION_NONE, format, arguments);
    va_end(arguments);
    s->failed = true;
    return false;
}

bool eval_error_at(eval_state *s, tn_status status, location_id where, const char *format, ...) {
    if (s->failed) return false;
    va_list arguments;
    va_start(arguments, format);
    record(s, status, where, format, arguments);
    va_end(arguments);
    s->failed = true;
    return false;
}

bool eval_no_memory(eval_state *s) { return eval_error(s, TN_ERR_MEMORY, "out of memory"); }

void eval_fault(eval_state *s, tn_status status, const char *format, ...) {
    if (s->diag->status != TN_OK) return;
    va_list arguments;
    va_start(arguments, format);
    record(s, status, LOCATION_NONE, format, arguments);
    va_end(arguments);
}

/* ---- Attributes ------------------------------------------------------------------------------- */

bool eval_dim_value(eval_args *c, tn_dim dim, int64_t *out) {
    if (eval_dim_in(c->state->frame, dim, out)) return true;
    char text[128];
    dim_print(c->graph->module->dims, dim, text, sizeof text);
    return eval_error(c->state, TN_ERR_LIMIT, "%s has no value: a symbol is unbound, or it overflows", text);
}

static bool has_entries(eval_args *c, attr_name name, uint32_t has, int n) {
    if (has == (uint32_t)n) return true;
    return eval_error(c->state, TN_ERR_VERIFY, "%s has %u entries, not %d", attr_name_text(name), (unsigned)has, n);
}

bool eval_ints(eval_args *c, attr_name name, int n, int64_t otherwise, int64_t *out) {
    const attr *a = attr_find(&c->node->attrs, name);
    for (int k = 0; k < n; k++) out[k] = otherwise;
    if (!a || a->ints.n == 0) return true;
    if (!has_entries(c, name, a->ints.n, n)) return false;
    for (int k = 0; k < n; k++) out[k] = a->ints.items[k];
    return true;
}

bool eval_dims(eval_args *c, attr_name name, int n, int64_t otherwise, int64_t *out) {
    const attr *a = attr_find(&c->node->attrs, name);
    for (int k = 0; k < n; k++) out[k] = otherwise;
    if (!a || a->dims.n == 0) return true;
    if (!has_entries(c, name, a->dims.n, n)) return false;
    for (int k = 0; k < n; k++)
        if (!eval_dim_value(c, a->dims.items[k], &out[k])) return false;
    return true;
}

/* ---- One node --------------------------------------------------------------------------------- */

/* Sets dtype, dims and n of a result from its declared type. */
static bool set_type(eval_args *c, const tn_type *type, eval_tensor *t) {
    *t = (eval_tensor){.dtype = (tn_dtype)type->dtype, .rank = type->rank};
    for (int axis = 0; axis < type->rank; axis++)
        if (!eval_dim_value(c, type->dims[axis], &t->dims[axis])) return false;
    if (eval_tensor_count(t)) return true;
    return eval_error(c->state, TN_ERR_SHAPE,
                      "a result's extents are negative or its elements do not count in 63 bits");
}

/* Ops whose results come from elsewhere: no memory is set up for them. */
static bool hands_on(tn_op op) {
    return op == TN_OP_param || op == TN_OP_constant || op_table[op].loop_class == CLASS_CONTROL || op_is_composite(op);
}

static bool eval_node(eval_state *s, const node *n) {
    eval_frame *f = s->frame;
    const eval_tensor *few[8], **operands = few;
    if (n->n_operands > 8 && !(operands = tn_malloc(n->n_operands * sizeof *operands))) return eval_no_memory(s);
    for (uint32_t k = 0; k < n->n_operands; k++) operands[k] = &f->values[n->operands[k]];
    eval_args c = {.graph = f->graph,
                   .node = n,
                   .n_operands = n->n_operands,
                   .operands = operands,
                   .results = &f->values[n->first_result],
                   .state = s};
    const op_info *info = &op_table[n->op];
    op_eval *eval = op_is_composite((tn_op)n->op) ? eval_composite : info->eval;
    bool is_good = true;
    for (uint32_t r = 0; r < n->n_results && is_good; r++) {
        is_good = set_type(&c, graph_type(f->graph, n->first_result + r), &c.results[r]);
        if (is_good && !hands_on((tn_op)n->op)) is_good = eval_tensor_alloc(s, &c.results[r]);
    }
    is_good = is_good && (eval ? eval(&c) : eval_error(s, TN_ERR_UNSUPPORTED, "the interpreter does not know it"));
    if (operands != few) tn_free(operands);
    return is_good;
}

/* ---- One function ------------------------------------------------------------------------------- */

/* Effects, and control ops that have some in their functions or order them by tokens. */
static bool has_effects(const tn_graph *g, const node *n) {
    if (op_table[n->op].loop_class == CLASS_EFFECT) return true;
    if (op_table[n->op].loop_class != CLASS_CONTROL) return false;
    for (uint32_t k = 0; k < n->attrs.n; k++)
        if (attr_kind_of((attr_name)n->attrs.items[k].name) == ATTR_KIND_FUNC && n->attrs.items[k].func->has_effects)
            return true;
    for (uint32_t i = 0; i < n->n_operands; i++)
        if (graph_type(g, n->operands[i])->dtype == TN_TOKEN) return true;
    return false;
}

static bool is_needed(const eval_frame *f, const node *n) {
    for (uint32_t r = 0; r < n->n_results; r++)
        if (f->uses[n->first_result + r] > 0) return true;
    return has_effects(f->graph, n);
}

/* Counts the readers of each value, results of the function included, over the nodes that are
 * needed: those some result is needed of, and those with effects. */
static void count_uses(eval_frame *f) {
    const tn_graph *g = f->graph;
    for (size_t r = 0; r < g->n_results; r++) f->uses[g->results[r].value]++;
    for (size_t k = g->n_nodes; k-- > 0;) {
        const node *n = &g->nodes[k];
        if (!is_needed(f, n)) continue;
        for (uint32_t i = 0; i < n->n_operands; i++) f->uses[n->operands[i]]++;
    }
}

/* Nodes of decompositions, which nobody wrote, are not shown. */
static bool show(eval_state *s, bool is_done) {
    if (!s->options->observe || s->blame_node || s->is_stopped) return true;
    if (s->options->observe(s->options->ctx, s->frame, is_done)) return true;
    s->is_stopped = true;
    return eval_error(s, TN_ERR_ARGUMENT, "the run was stopped by who observes it");
}

static bool eval_observed(eval_state *s, const node *n) {
    if (!show(s, false)) return false;
    bool is_good = eval_node(s, n);
    return show(s, true) && is_good;
}

static bool eval_nodes(eval_state *s) {
    eval_frame *f = s->frame;
    for (size_t k = 0; k < f->graph->n_nodes; k++) {
        const node *n = &f->graph->nodes[k];
        if (!is_needed(f, n)) continue;
        f->node = n;
        if (!eval_observed(s, n)) return false;
        if (s->options->keep_values) continue;
        for (uint32_t i = 0; i < n->n_operands; i++)
            if (--f->uses[n->operands[i]] == 0) eval_tensor_release(s, &f->values[n->operands[i]]);
        for (uint32_t r = 0; r < n->n_results; r++)
            if (f->uses[n->first_result + r] == 0) eval_tensor_release(s, &f->values[n->first_result + r]);
    }
    f->node = NULL;
    return true;
}

static bool take_results(eval_state *s, eval_tensor *outputs) {
    eval_frame *f = s->frame;
    for (size_t r = 0; r < f->graph->n_results; r++) {
        value_id v = f->graph->results[r].value;
        eval_tensor *t = &f->values[v];
        if (--f->uses[v] > 0 || t->borrowed) {
            if (!eval_tensor_copy(s, &outputs[r], t)) return false;
            continue;
        }
        outputs[r] = *t;
        *t = (eval_tensor){0};
    }
    return true;
}

static bool frame_open(eval_state *s, eval_frame *f) {
    const tn_graph *g = f->graph;
    f->values = tn_calloc(g->n_values + 1, sizeof *f->values);
    f->uses = tn_calloc(g->n_values + 1, sizeof *f->uses);
    f->symbols = tn_calloc(g->n_symbols + 1, sizeof *f->symbols);
    f->is_bound = tn_calloc(g->n_symbols + 1, sizeof *f->is_bound);
    return (f->values && f->uses && f->symbols && f->is_bound) || eval_no_memory(s);
}

static void frame_close(eval_state *s, eval_frame *f) {
    for (size_t v = 0; f->values && v < f->graph->n_values; v++) eval_tensor_release(s, &f->values[v]);
    tn_free(f->values);
    tn_free(f->uses);
    tn_free(f->symbols);
    tn_free(f->is_bound);
}

bool eval_function(eval_state *s, const tn_graph *g, const int64_t *symbols, uint32_t n_symbols,
                   const eval_tensor *const *inputs, eval_tensor *outputs) {
    if (s->depth >= EVAL_MAX_DEPTH)
        return eval_error(s, TN_ERR_LIMIT, "@%s: calls are nested more than %d deep", g->name, EVAL_MAX_DEPTH);
    if (++s->steps > s->max_steps)
        return eval_error(s, TN_ERR_LIMIT, "@%s: more than %" PRIu64 " steps of loops and calls", g->name,
                          s->max_steps);
    eval_frame *caller = s->frame, f = {.graph = g, .inputs = inputs, .caller = caller};
    s->depth++;
    s->frame = &f;
    bool is_good = frame_open(s, &f) && eval_bind(s, &f, symbols, n_symbols);
    if (is_good) {
        count_uses(&f);
        is_good = eval_nodes(s) && take_results(s, outputs);
    }
    if (!is_good)
        for (size_t r = 0; r < g->n_results; r++) eval_tensor_release(s, &outputs[r]);
    frame_close(s, &f);
    s->frame = caller;
    s->depth--;
    return is_good;
}

/* ---- The run ---------------------------------------------------------------------------------------- */

/* The tensor a parameter is given: the input, or the weights that the model came with. */
static bool choose_input(eval_state *s, const tn_graph *g, size_t i, const eval_tensor *given, eval_tensor *t) {
    const param *p = &g->params[i];
    *t = *given;
    t->borrowed = true;
    if (!given->data && p->initial) {
        const tn_type *type = &p->initial->type;
        *t = (eval_tensor){.dtype = (tn_dtype)type->dtype,
                           .rank = type->rank,
                           .data = (void *)(uintptr_t)p->initial->data, /* only read */
                           .borrowed = true};
        for (int axis = 0; axis < type->rank; axis++)
            if (!dim_is_const(g->module->dims, type->dims[axis], &t->dims[axis])) t->dims[axis] = -1;
    }
    if (!s->options->magnitudes) t->magnitude = NULL;
    if (t->rank < 0 || t->rank > TN_MAX_RANK || !eval_tensor_count(t))
        return eval_error(s, TN_ERR_ARGUMENT, "@%s: input %zu has no legal shape", g->name, i);
    return true;
}

/* Every float output gets its magnitudes, also one that is an input passed through. */
static bool add_magnitudes(eval_state *s, const tn_graph *g, eval_tensor *outputs) {
    for (size_t r = 0; r < g->n_results; r++) {
        eval_tensor *t = &outputs[r];
        if (!s->options->magnitudes || !dtype_is_float(t->dtype) || t->magnitude || t->n == 0) continue;
        if (!(t->magnitude = eval_read_all_magnitudes(s, t))) return false;
    }
    return true;
}

tn_status eval_graph(const tn_graph *g, const eval_tensor *inputs, eval_tensor *outputs, const eval_options *options,
                     tn_diag *diag) {
    static const eval_options defaults = {0};
    tn_diag own;
    eval_state s = {.options = options ? options : &defaults, .diag = diag ? diag : &own};
    s.max_elements = s.options->max_elements ? s.options->max_elements : UINT64_C(1) << 31;
    s.max_steps = s.options->max_steps ? s.options->max_steps : UINT64_C(1) << 31;
    *s.diag = (tn_diag){.status = TN_OK};
    for (size_t r = 0; r < g->n_results; r++) outputs[r] = (eval_tensor){0};

    eval_tensor *chosen = tn_calloc(g->n_params + 1, sizeof *chosen);
    const eval_tensor **pointers = tn_calloc(g->n_params + 1, sizeof *pointers);
    bool is_good = chosen && pointers;
    if (!is_good) eval_no_memory(&s);
    for (size_t i = 0; i < g->n_params && is_good; i++) {
        is_good = choose_input(&s, g, i, &inputs[i], &chosen[i]);
        pointers[i] = &chosen[i];
    }
    uint32_t n_symbols = s.options->symbols ? (uint32_t)g->n_symbols : 0;
    is_good = is_good && eval_function(&s, g, s.options->symbols, n_symbols, pointers, outputs) &&
              add_magnitudes(&s, g, outputs);
    if (!is_good)
        for (size_t r = 0; r < g->n_results; r++) eval_tensor_free(&outputs[r]);
    tn_free(chosen);
    tn_free(pointers);
    return s.diag->status;
}
