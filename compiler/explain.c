/* An explanation made: one compilation, and all that is told of it.
 *
 * in:  a module, sizes
 * out: kernels, values, arena, stages, and the program to measure
 * law: the same module and options give the same explanation on the same machine, but for times
 */
#include "compiler/compile.h"
#include "compiler/describe.h"
#include "compiler/explain_state.h"
#include "compiler/planned.h"
#include "ir/op.h"
#include "ir/sizes.h"
#include "runtime/diag.h"

#include <stdio.h>
#include <string.h>

/* ---- Stages ---- */

typedef struct stage_watch {
    explanation *e;
    const tn_compile_options *user;
} stage_watch;

static void take_stage(void *ctx, const tn_stage_report *stage) {
    const stage_watch *w = ctx;
    explanation *e = w->e;
    if (array_reserve((void **)&e->stages, &e->stages_capacity, (size_t)e->all.n_stages + 1, sizeof *e->stages))
        e->stages[e->all.n_stages++] = (tn_explained_stage){explain_text(e, "%s", stage->name), stage->milliseconds};
    else
        e->failed = true;
    if (w->user->watch) w->user->watch(w->user->watch_ctx, stage);
}

/* ---- Sizes ---- */

static bool find_given(const tn_explain_options *o, const char *name, int64_t *value) {
    for (int i = 0; i < o->n_symbols; i++)
        if (o->symbols[i].symbol && strcmp(o->symbols[i].symbol, name) == 0) {
            *value = o->symbols[i].value;
            return true;
        }
    return false;
}

static tn_status check_names(const tn_graph *g, const tn_explain_options *o, tn_diag *diag) {
    for (int i = 0; i < o->n_symbols; i++) {
        bool is_known = false;
        const char *name = o->symbols[i].symbol ? o->symbols[i].symbol : "";
        for (size_t k = 0; k < g->n_symbols; k++)
            is_known |= strcmp(name, dim_symbol_name(g->module->dims, g->symbols[k].dim)) == 0;
        if (!is_known) return diag_fail(diag, TN_ERR_ARGUMENT, "the model has no symbol %s", name);
    }
    return TN_OK;
}

/* Values of all symbols, in values[], which are allowed. */
static tn_status choose_sizes(explanation *e, const tn_graph *g, const tn_explain_options *o, int64_t *values,
                              tn_diag *diag) {
    tn_explained_symbol *own = ARENA_ARRAY(&e->memory, tn_explained_symbol, g->n_symbols + 1);
    tn_symbol_value *all = ARENA_ARRAY(&e->memory, tn_symbol_value, g->n_symbols + 1);
    if (!own || !all) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < g->n_symbols; i++) {
        const symbol *s = &g->symbols[i];
        const char *name = explain_text(e, "%s", dim_symbol_name(g->module->dims, s->dim));
        values[i] = symbol_least_size(s);
        find_given(o, name, &values[i]);
        own[i] = (tn_explained_symbol){name, values[i], s->low, s->high, s->divisor};
        all[i] = (tn_symbol_value){name, values[i]};
    }
    e->all.symbols = own;
    e->all.n_symbols = (int)g->n_symbols;
    tn_status status = check_names(g, o, diag);
    return status == TN_OK ? planned_check(g, all, (int)g->n_symbols, diag) : status;
}

/* Values of prepare's symbols, which are main's by name. */
static void sizes_of_prepare(const explanation *e, const tn_graph *g, int64_t *values) {
    for (size_t i = 0; i < g->n_symbols; i++) {
        values[i] = SIZE_UNKNOWN;
        for (int k = 0; k < e->all.n_symbols; k++)
            if (strcmp(e->all.symbols[k].name, dim_symbol_name(g->module->dims, g->symbols[i].dim)) == 0)
                values[i] = e->all.symbols[k].value;
    }
}

/* ---- The whole ---- */

static tn_explained_value *signature(explanation *e, const sized *main, bool is_input, int *n) {
    const tn_graph *g = main->graph;
    size_t count = is_input ? g->n_params : g->n_results;
    tn_explained_value *list = ARENA_ARRAY(&e->memory, tn_explained_value, count + 1);
    e->failed |= !list;
    *n = 0;
    for (size_t i = 0; list && i < count; i++) {
        if (is_input && g->params[i].binding == BINDING_LOAD) continue;
        value_id v = is_input ? g->params[i].value : g->results[i].value;
        list[(*n)++] = (tn_explained_value){
            .name = explain_text(e, "%s", is_input ? g->params[i].name : g->results[i].name),
            .type = explain_type(e, main, graph_type(g, v)),
            .bytes = sized_bytes(main, v),
            .place = is_input ? TN_PLACE_INPUT : TN_PLACE_OUTPUT,
        };
    }
    return list;
}

static void explain_constraints(explanation *e, const emitted_tables *t, const tn_graph *g) {
    const char **texts = ARENA_ARRAY(&e->memory, const char *, t->n_constraints + 1);
    e->failed |= !texts;
    for (size_t i = 0; texts && i < t->n_constraints; i++) {
        char text[DESCRIBED_CONSTRAINT];
        int n;
        describe_constraint(g->module->dims, &t->constraints[i], text, sizeof text);
        const char *const *where = explain_locations(e, g->module, t->constraints[i].locations, &n);
        texts[i] = n > 0 ? explain_text(e, "%s: %s", where[0], text) : explain_text(e, "%s", text);
    }
    e->all.constraints = texts;
    e->all.n_constraints = texts ? (int)t->n_constraints : 0;
}

static double weights_of(const sized *g, bool of_prepare) {
    double all = 0;
    for (size_t i = 0; i < g->graph->n_params; i++)
        if (of_prepare || g->graph->params[i].binding == BINDING_LOAD) {
            double bytes = sized_bytes(g, g->graph->params[i].value);
            all += bytes > 0 ? bytes : 0;
        }
    return all;
}

static double constants_of(const tn_graph *g) {
    double all = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == TN_OP_constant) all += (double)attr_find(&g->nodes[i].attrs, ATTR_value)->data->bytes;
    return all;
}

static void explain_whole(explanation *e, const compilation *c, const sized *main, const sized *prepare) {
    const function_plan *plan = plan_of(&c->plan, c->main);
    char text[200];
    tn_version_text(text, sizeof text);
    e->all.name = explain_text(e, "%s", c->module->name ? c->module->name : "");
    e->all.version = explain_text(e, "%s", text);
    e->all.target = explain_text(e, "%s", c->options->target ? c->options->target : "native");
    e->all.inputs = signature(e, main, true, &e->all.n_inputs);
    e->all.outputs = signature(e, main, false, &e->all.n_outputs);
    e->all.arena_bytes = sized_value(main, plan->arena_bytes);
    e->all.scratch_bytes = sized_value(main, plan->scratch_bytes);
    e->all.live_bytes = sized_value(main, plan->live_bytes);
    e->all.packed_weight_bytes = weights_of(main, false);
    e->all.packed_weight_bytes += constants_of(c->main);
    e->all.raw_weight_bytes =
        prepare->graph ? weights_of(prepare, true) + constants_of(c->prepare) : e->all.packed_weight_bytes;
    for (size_t i = 0; i < c->n_objects; i++) e->all.code_bytes += (double)c->objects[i].size;
    explain_constraints(e, &c->tables, c->main);
}

/* Everything that stands in the compilation, before it is reduced to a program. */
static tn_status explain_compiled(explanation *e, compilation *c, const tn_explain_options *o, tn_diag *diag) {
    int64_t *sizes = tn_malloc((c->main->n_symbols + 1) * sizeof *sizes);
    int64_t *of_prepare = tn_malloc(((c->prepare ? c->prepare->n_symbols : 0) + 1) * sizeof *of_prepare);
    tn_status status = sizes && of_prepare ? choose_sizes(e, c->main, o, sizes, diag)
                                           : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    bool agrees = true;
    if (status == TN_OK) {
        sized main = {c->main, sizes}, prepare = {c->prepare, of_prepare};
        if (c->prepare) {
            sizes_of_prepare(e, c->prepare, of_prepare);
            agrees = explain_entry(e, c, c->prepare, &c->prepare_tables, of_prepare);
        }
        agrees = agrees && explain_entry(e, c, c->main, &c->tables, sizes);
        explain_whole(e, c, &main, &prepare);
    }
    tn_free(sizes);
    tn_free(of_prepare);
    if (status == TN_OK && !agrees)
        status = diag_fail(diag, TN_ERR_INTERNAL, "kernels are numbered otherwise than they are explained");
    if (status == TN_OK && e->failed) status = diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    return status;
}

static void publish(explanation *e) {
    e->all.kernels = e->kernels;
    e->all.values = e->values;
    e->all.edges = e->edges;
    e->all.blocks = e->blocks;
    e->all.stages = e->stages;
}

static tn_status compile_and_explain(explanation *e, tn_module *m, const tn_explain_options *o,
                                     const tn_compile_options *user, tn_diag *diag) {
    compilation c;
    program_cache no_cache = {0};
    stage_watch watch = {e, user};
    tn_compile_options options = *user;
    options.watch = take_stage;
    options.watch_ctx = &watch;
    tn_status status;
    if (!compilation_run(&c, m, &options, &(compilation_goal){.prefix = "", .keeps_notes = true})) {
        if (diag) diag_copy(diag, &c.diag);
        status = c.diag.status;
    } else {
        status = explain_compiled(e, &c, o, diag);
        if (status == TN_OK && !o->no_program && codegen_runs_here(c.codegen)) {
            e->program = compile_program(&c, &no_cache);
            if (!e->program && diag) diag_copy(diag, &c.diag);
            if (!e->program) status = c.diag.status;
        }
    }
    compilation_end(&c);
    if (status == TN_OK && e->failed) status = diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    return status;
}

tn_explanation *tn_explain(tn_module *m, const tn_explain_options *options, tn_diag *diag) {
    static const tn_explain_options defaults;
    static const tn_compile_options compile_defaults;
    const tn_explain_options *o = options ? options : &defaults;
    const tn_compile_options *user = o->compile ? o->compile : &compile_defaults;
    if (!m) {
        diag_fail(diag, TN_ERR_ARGUMENT, "there is no module");
        return NULL;
    }
    explanation *e = tn_calloc(1, sizeof *e);
    if (!e) {
        diag_fail(diag, TN_ERR_MEMORY, "out of memory");
        return NULL;
    }
    e->all.measured_ms = e->all.kernels_ms = TN_UNKNOWN;
    tn_status status = compile_and_explain(e, m, o, user, diag);
    if (status == TN_OK && o->machine)
        e->all.machine = *o->machine;
    else if (status == TN_OK)
        status = tn_machine_measure(user->pool, &e->all.machine, diag);
    if (status != TN_OK) {
        tn_explanation_free(&e->all);
        return NULL;
    }
    publish(e);
    explain_predict(e);
    return &e->all;
}

void tn_explanation_free(tn_explanation *all) {
    explanation *e = (explanation *)all;
    if (!e) return;
    tn_program_free(e->program);
    tn_free(e->kernels);
    tn_free(e->values);
    tn_free(e->edges);
    tn_free(e->blocks);
    tn_free(e->stages);
    tn_free(e->costs);
    arena_free(&e->memory);
    tn_free(e);
}

tn_program *tn_explanation_program(const tn_explanation *all) {
    return all ? ((const explanation *)all)->program : NULL;
}
