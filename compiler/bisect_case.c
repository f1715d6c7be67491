/* Inputs of a module, and its runs by the interpreter and compiled (see bisect.h). */
#include "compiler/bisect.h"

#include "compiler/random_fill.h"
#include "compiler/shrink.h"
#include "ir/eval_state.h"
#include "ir/sizes.h"
#include "runtime/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void bisect_tell(const bisect_case *c, const char *format, ...) {
    if (!c->how->progress) return;
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    c->how->progress(c->how->ctx, text);
}

static bool no_memory(tn_diag *diag) {
    diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    return false;
}

/* ---- Inputs ---- */

static const char *symbol_name(const tn_graph *g, size_t i) {
    return dim_symbol_name(g->module->dims, g->symbols[i].dim);
}

/* The original's sizes by name, small ones for other symbols. */
static bool find_sizes(bisect_case *c) {
    const tn_graph *g = module_main(c->module), *from = module_main(c->original->module);
    if (!(c->sizes = shrink_sizes(g))) return false;
    for (size_t i = 0; i < g->n_symbols; i++)
        for (size_t k = 0; k < from->n_symbols; k++)
            if (strcmp(symbol_name(g, i), symbol_name(from, k)) == 0) c->sizes[i] = c->original->sizes[k];
    return true;
}

/* The original's input of that name, when it has the same type. */
static const eval_tensor *find_input(const bisect_case *c, const char *name, const eval_tensor *like) {
    const tn_graph *g = module_main(c->module);
    for (size_t i = 0; i < g->n_params && !c->takes_none; i++)
        if (c->is_given[i] && strcmp(g->params[i].name, name) == 0 && eval_same_type(&c->inputs[i], like))
            return &c->inputs[i];
    return NULL;
}

static bool make_input(bisect_case *c, const tn_graph *g, size_t i, tn_diag *diag) {
    const param *p = &g->params[i];
    eval_tensor *t = &c->inputs[i];
    *t = (eval_tensor){.dtype = (tn_dtype)p->type.dtype, .rank = p->type.rank};
    for (int axis = 0; axis < t->rank; axis++)
        if (!graph_size_at(g, c->sizes, p->type.dims[axis], &t->dims[axis]))
            return diag_fail(diag, TN_ERR_SHAPE, "input %s: its size cannot be worked out", p->name) == TN_OK;
    if (!eval_tensor_count(t)) return diag_fail(diag, TN_ERR_SHAPE, "input %s: its size is no size", p->name) == TN_OK;
    const eval_tensor *given = find_input(c->original, p->name, t);
    if (given) {
        *t = *given;
        t->borrowed = true;
        c->is_given[i] = true;
        return true;
    }
    if (p->initial) return true; /* the module has it */
    if (!(t->data = tn_calloc((size_t)t->n + 1, 8))) return no_memory(diag);
    random_fill(t, p->name, c->how->seed);
    return true;
}

bool bisect_case_open(bisect_case *c, tn_module *m, const bisect_case *original, tn_diag *diag) {
    const tn_graph *g = module_main(m);
    *c = *original;
    c->takes_none = false;
    c->module = m;
    c->original = original;
    c->inputs = tn_calloc(g->n_params + 1, sizeof *c->inputs);
    c->is_given = tn_calloc(g->n_params + 1, sizeof *c->is_given);
    c->sizes = NULL;
    if (!c->inputs || !c->is_given || !find_sizes(c)) return no_memory(diag);
    for (size_t i = 0; i < g->n_params; i++)
        if (!make_input(c, g, i, diag)) return false;
    return true;
}

void bisect_case_close(bisect_case *c) {
    for (size_t i = 0; c->inputs && i < module_main(c->module)->n_params; i++) eval_tensor_free(&c->inputs[i]);
    tn_free(c->inputs);
    tn_free(c->is_given);
    tn_free(c->sizes);
    c->inputs = NULL;
    c->is_given = NULL;
    c->sizes = NULL;
}

/* ---- By the interpreter ---- */

void tensor_set_free(tensor_set *s) {
    for (size_t i = 0; s->items && i < s->n; i++) eval_tensor_free(&s->items[i]);
    tn_free(s->items);
    *s = (tensor_set){0};
}

static bool set_open(tensor_set *s, const tn_graph *g, size_t n) {
    *s = (tensor_set){.graph = g, .items = tn_calloc(n + 1, sizeof *s->items), .n = n};
    return s->items != NULL;
}

static eval_tensor borrowed(const eval_tensor *t) {
    eval_tensor view = *t;
    view.borrowed = true;
    return view;
}

/* What goes into a function's parameters, by name. Those with data in their module stay without. */
static bool inputs_by_name(const bisect_case *c, const tn_graph *g, const tensor_set *packed, tensor_set *inputs) {
    const tn_graph *from = module_main(c->module);
    if (!set_open(inputs, g, g->n_params)) return false;
    for (size_t i = 0; i < g->n_params; i++) {
        for (size_t k = 0; k < from->n_params; k++)
            if (strcmp(from->params[k].name, g->params[i].name) == 0) inputs->items[i] = borrowed(&c->inputs[k]);
        for (size_t r = 0; packed && r < packed->n; r++)
            if (strcmp(packed->graph->results[r].name, g->params[i].name) == 0)
                inputs->items[i] = borrowed(&packed->items[r]);
    }
    return true;
}

bool bisect_inputs_of(const bisect_case *c, const tn_module *m, const tensor_set *packed, tensor_set *inputs) {
    return inputs_by_name(c, module_main(m), packed, inputs);
}

/* The case's sizes, for a function that has its symbols; NULL: it has others, or none. */
static int64_t *sizes_of(const bisect_case *c, const tn_graph *g) {
    const tn_graph *from = module_main(c->module);
    int64_t *sizes = g->n_symbols ? tn_calloc(g->n_symbols, sizeof *sizes) : NULL;
    size_t found = 0;
    for (size_t i = 0; sizes && i < g->n_symbols; i++)
        for (size_t k = 0; k < from->n_symbols; k++)
            if (strcmp(symbol_name(g, i), symbol_name(from, k)) == 0) {
                sizes[i] = c->sizes[k];
                found++;
            }
    if (found == g->n_symbols) return sizes;
    tn_free(sizes);
    return NULL;
}

static tn_status interpret_function(const bisect_case *c, const tn_graph *g, const eval_options *options,
                                    const tensor_set *packed, tensor_set *outputs, tn_diag *diag) {
    tensor_set inputs = {0};
    tn_status status = TN_ERR_MEMORY;
    eval_options with_sizes = *options;
    int64_t *sizes = sizes_of(c, g);
    with_sizes.symbols = sizes;
    if (inputs_by_name(c, g, packed, &inputs) && set_open(outputs, g, g->n_results))
        status = eval_graph(g, inputs.items, outputs->items, &with_sizes, diag);
    else
        no_memory(diag);
    tensor_set_free(&inputs);
    tn_free(sizes);
    return status;
}

tn_status bisect_interpret(const bisect_case *c, const tn_module *m, const eval_options *options, tensor_set *outputs,
                           tensor_set *packed, tn_diag *diag) {
    const tn_graph *prepare = module_find(m, "prepare");
    tensor_set made = {0};
    tn_status status = TN_OK;
    *outputs = (tensor_set){0};
    if (prepare) status = interpret_function(c, prepare, options, NULL, &made, diag);
    if (status == TN_OK) status = interpret_function(c, module_main(m), options, prepare ? &made : NULL, outputs, diag);
    if (packed)
        *packed = made;
    else
        tensor_set_free(&made);
    return status;
}

/* ---- Compiled ---- */

tn_program *bisect_compile(tn_module *m, const tn_compile_options *options, tn_diag *diag) {
    tn_program *p = tn_compile_module(m, options);
    if (!p) {
        if (tn_module_error(m))
            *diag = *tn_module_error(m);
        else
            no_memory(diag);
        module_end_passing_error(m);
    }
    return p;
}

static tn_tensor tensor_of(const eval_tensor *t) { return tn_tensor_of(t->dtype, t->data, t->rank, t->dims); }

static bool set_weights(tn_program *p, const tn_graph *g, const eval_tensor *inputs, tn_diag *diag) {
    const char **names = (const char **)tn_calloc(g->n_params + 1, sizeof *names);
    tn_tensor *tensors = tn_calloc(g->n_params + 1, sizeof *tensors);
    int n = 0;
    bool ok = names && tensors;
    for (size_t i = 0; ok && i < g->n_params; i++) {
        if (g->params[i].binding != BINDING_LOAD || !inputs[i].data) continue;
        names[n] = g->params[i].name;
        tensors[n++] = tensor_of(&inputs[i]);
    }
    if (!ok) no_memory(diag);
    ok = ok && (n == 0 || tn_program_set_weights(p, names, tensors, n, diag) == TN_OK);
    tn_free((void *)names);
    tn_free(tensors);
    return ok;
}

/* Other weights, twice, so that memory which packed ones had before is not right by chance. */
static void set_other_weights(tn_program *p, const tn_graph *g, const eval_tensor *inputs) {
    eval_tensor *others = tn_calloc(g->n_params + 1, sizeof *others);
    bool ok = others != NULL;
    tn_diag diag;
    for (size_t i = 0; ok && i < g->n_params; i++) {
        if (g->params[i].binding != BINDING_LOAD || !inputs[i].data) continue;
        others[i] = inputs[i];
        others[i].magnitude = NULL;
        others[i].borrowed = false;
        ok = (others[i].data = tn_calloc((size_t)others[i].n + 1, 8)) != NULL;
        if (ok) random_fill(&others[i], "other weights", (long long)i);
    }
    for (int round = 0; ok && round < 2; round++) ok = set_weights(p, g, others, &diag);
    for (size_t i = 0; others && i < g->n_params; i++) eval_tensor_free(&others[i]);
    tn_free(others);
}

/* State is written over its input, so that inputs of that kind are copies, with the outputs in them. */
static bool place_states(const tn_graph *g, const eval_tensor *inputs, tensor_set *outputs, tn_tensor *tensors) {
    for (size_t r = 0; r < g->n_results; r++) {
        int32_t state = g->results[r].state_param;
        if (state < 0) continue;
        eval_tensor *t = &outputs->items[r];
        *t = inputs[state];
        t->borrowed = false;
        t->magnitude = NULL;
        if (!(t->data = tn_calloc((size_t)t->n + 1, 8))) return false;
        tensors[r] = tensor_of(t);
    }
    return true;
}

static bool take_outputs(const tn_exec *exec, tensor_set *outputs) {
    for (size_t r = 0; r < outputs->n; r++) {
        const tn_tensor *from = tn_exec_output(exec, (int)r);
        eval_tensor *t = &outputs->items[r];
        if (t->data) continue; /* a state, which is there */
        if (!from) return false;
        *t = (eval_tensor){.dtype = from->dtype, .rank = from->rank};
        memcpy(t->dims, from->shape, (size_t)t->rank * sizeof *t->dims);
        if (!eval_tensor_count(t) || !(t->data = tn_calloc((size_t)t->n + 1, 8))) return false;
        memcpy(t->data, from->data, (size_t)t->n * eval_dtype_bytes(t->dtype));
    }
    return true;
}

static void set_symbols(tn_program *p, tn_exec *exec, const tn_graph *g, const int64_t *sizes) {
    for (size_t i = 0; i < g->n_symbols; i++)
        if (tn_program_find_symbol(p, symbol_name(g, i)) >= 0) tn_exec_set_symbol(exec, symbol_name(g, i), sizes[i]);
}

/* A run on other inputs, before and after: what lies in memory is then not right by chance where nothing is written,
 * neither in this exec nor in the next one, which is given the same memory. */
static void run_on_others(tn_exec *exec, const tn_graph *g, const tn_tensor *in, int n) {
    tn_tensor *others = tn_calloc((size_t)n + 1, sizeof *others), *out = tn_calloc(g->n_results + 1, sizeof *out);
    bool ok = others && out;
    for (int i = 0; ok && i < n; i++) {
        eval_tensor t = {.dtype = in[i].dtype, .rank = in[i].rank};
        memcpy(t.dims, in[i].shape, (size_t)t.rank * sizeof *t.dims);
        ok = eval_tensor_count(&t) && (t.data = tn_calloc((size_t)t.n + 1, 8));
        if (ok) random_fill(&t, "others", i);
        others[i] = tensor_of(&t);
    }
    if (ok) tn_exec_run(exec, others, n, out, (int)g->n_results);
    for (int i = 0; others && i < n; i++) tn_free(others[i].data);
    tn_free(others);
    tn_free(out);
}

tn_status bisect_run(tn_program *p, const tn_graph *g, const eval_tensor *inputs, const int64_t *sizes, int threads,
                     tensor_set *outputs, tn_diag *diag) {
    tn_pool *pool = threads > 1 ? tn_pool_new(threads) : NULL;
    tn_exec *exec = threads == 1 || pool ? tn_exec_new(p, &(tn_exec_options){.pool = pool}) : NULL;
    tn_tensor *in = tn_calloc(g->n_params + 1, sizeof *in), *out = tn_calloc(g->n_results + 1, sizeof *out);
    tn_status status = TN_ERR_MEMORY;
    int n = 0;
    *diag = (tn_diag){0};
    if (set_open(outputs, g, g->n_results) && exec && in && out && place_states(g, inputs, outputs, out)) {
        for (size_t i = 0; i < g->n_params; i++)
            if (g->params[i].binding != BINDING_LOAD) in[n++] = tensor_of(&inputs[i]);
        set_symbols(p, exec, g, sizes);
        if (threads > 1) set_other_weights(p, g, inputs); /* by one thread */
        tn_program_set_pool(p, pool);
        if (set_weights(p, g, inputs, diag)) run_on_others(exec, g, in, n);
        status = diag->status == TN_OK ? tn_exec_run(exec, in, n, out, (int)g->n_results) : diag->status;
        if (status != TN_OK && diag->status == TN_OK && tn_exec_error(exec)) *diag = *tn_exec_error(exec);
        bool has_outputs = status == TN_OK || status == TN_ERR_INDEX || status == TN_ERR_ASSERT;
        if (has_outputs && !take_outputs(exec, outputs)) status = TN_ERR_MEMORY;
        if (has_outputs) run_on_others(exec, g, in, n);
    }
    if (status == TN_ERR_MEMORY && diag->status == TN_OK) no_memory(diag);
    tn_free(in);
    tn_free(out);
    tn_exec_free(exec);
    tn_program_set_pool(p, NULL);
    tn_pool_free(pool);
    return status;
}
