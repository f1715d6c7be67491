/* Where compiled results leave the interpreter's (see tenon_bisect.h). */
#include "compiler/bisect.h"

#include "compiler/shrink.h"
#include "ir/eval_state.h"
#include "runtime/diag.h"

#include <stdio.h>
#include <string.h>

/* What narrow weights may change, in parts of the sum of absolute terms. */
static double narrowing_of(const char *weight_type) {
    static const struct {
        const char *name;
        double parts;
    } kinds[] = {{"bf16", 0x1p-7}, {"int8", 1.0 / 64}};
    for (size_t i = 0; weight_type && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, weight_type) == 0) return kinds[i].parts;
    return 0;
}

static bool check_arguments(tn_module *m, const tn_compile_options *o, tn_diag *diag) {
    if (m->error.status != TN_OK) {
        *diag = m->error;
        return false;
    }
    if (o && o->gemm && strcmp(o->gemm, "own") != 0)
        return diag_fail(diag, TN_ERR_UNSUPPORTED,
                         "products by BLAS are not the interpreter's to follow: gemm must be "
                         "\"own\"") == TN_OK;
    if (!module_main(m)) return diag_fail(diag, TN_ERR_ARGUMENT, "the module has no function") == TN_OK;
    if (module_find(m, "prepare") && module_find(m, "prepare") != module_main(m))
        return diag_fail(diag, TN_ERR_UNSUPPORTED,
                         "the model is a dump of a stage that has packed its weights already "
                         "(it has a function prepare): give one of a stage before hoist") == TN_OK;
    const tn_graph *g = module_main(m);
    for (size_t i = 0; i < g->n_params; i++)
        if (g->params[i].type.dtype == TN_TOKEN)
            return diag_fail(diag, TN_ERR_UNSUPPORTED, "input %s is a token: only functions that others call have such",
                             g->params[i].name) == TN_OK;
    return true;
}

/* A case whose inputs are those that are given, for bisect_case_open to take them from. */
static bool open_given(bisect_case *given, const tn_tensor *inputs, const tn_symbol_value *sizes, int n_sizes,
                       tn_diag *diag) {
    const tn_graph *g = module_main(given->module);
    given->inputs = tn_calloc(g->n_params + 1, sizeof *given->inputs);
    given->is_given = tn_calloc(g->n_params + 1, sizeof *given->is_given);
    given->sizes = shrink_sizes(g);
    if (!given->inputs || !given->is_given || !given->sizes)
        return diag_fail(diag, TN_ERR_MEMORY, "out of memory") == TN_OK;
    for (size_t i = 0; i < g->n_symbols; i++)
        for (int k = 0; k < n_sizes; k++)
            if (strcmp(dim_symbol_name(g->module->dims, g->symbols[i].dim), sizes[k].symbol) == 0)
                given->sizes[i] = sizes[k].value;
    for (size_t i = 0; inputs && i < g->n_params; i++) {
        const tn_tensor *from = &inputs[i];
        eval_tensor *t = &given->inputs[i];
        if (!from->data) continue;
        if (from->rank < 0 || from->rank > TN_MAX_RANK || from->has_strides)
            return diag_fail(diag, TN_ERR_ARGUMENT, "input %s is not contiguous", g->params[i].name) == TN_OK;
        *t = (eval_tensor){.dtype = from->dtype, .rank = from->rank, .data = from->data, .borrowed = true};
        memcpy(t->dims, from->shape, (size_t)t->rank * sizeof *t->dims);
        if (!eval_tensor_count(t))
            return diag_fail(diag, TN_ERR_ARGUMENT, "input %s has no legal shape", g->params[i].name) == TN_OK;
        given->is_given[i] = true;
    }
    return true;
}

/* ---- The answer ---- */

static void write_locations(const bisect_finding *f, char *text, size_t bytes) {
    size_t used = 0;
    *text = 0;
    for (size_t i = 0; i < f->n_locations && i < 3 && used < bytes; i++) {
        const tn_location *at = &f->locations[i];
        used += (size_t)snprintf(text + used, bytes - used, "%s%.150s", i ? ", " : "", at->file);
        if (at->line && used < bytes) used += (size_t)snprintf(text + used, bytes - used, ":%d", at->line);
    }
    if (f->n_locations > 3 && used < bytes) snprintf(text + used, bytes - used, ", ...");
}

static void write_checked(const bisect_case *c, tn_bisect_result *r) {
    size_t n = module_main(c->module)->n_results;
    int used =
        snprintf(r->checked, sizeof r->checked,
                 "%zu output%s of the compiled program, on 1 thread, with the interpreter's (within %g of the sum of "
                 "absolute terms, integers exactly)",
                 n, n == 1 ? "" : "s", c->narrow > 0 ? c->narrow : BISECT_WHOLE);
    if (c->threads > 1)
        snprintf(r->checked + used, sizeof r->checked - (size_t)used,
                 ", and on %d threads%s with those on 1, bit for bit", c->threads,
                 c->threads > 2 ? ", and all numbers between," : "");
}

static void write_finding(const bisect_finding *f, tn_bisect_result *r) {
    r->leaves = true;
    snprintf(r->stage, sizeof r->stage, "%s", bisect_stage_name(f->stage));
    snprintf(r->value, sizeof r->value, "%s", f->value);
    snprintf(r->op, sizeof r->op, "%s", f->op);
    snprintf(r->index, sizeof r->index, "%s", f->index);
    snprintf(r->note, sizeof r->note, "%s", f->note);
    write_locations(f, r->location, sizeof r->location);
    r->got = f->apart.got;
    r->want = f->apart.want;
    r->bound = f->apart.bound;
}

/* Inputs that were given may be what it takes: without them is tried first. */
static void find_reproducer(bisect_case *c, const bisect_case *given, const bisect_finding *f, tn_bisect_result *r) {
    bool any = false;
    for (size_t i = 0; i < module_main(c->module)->n_params; i++) any |= given->is_given[i];
    bisect_case with_random = *c;
    with_random.takes_none = true;
    if (any) r->reproducer = bisect_reproduce(&with_random, f, r->needs);
    if (!r->reproducer) r->reproducer = bisect_reproduce(c, f, r->needs);
    if (r->reproducer) r->nodes = module_count_nodes(r->reproducer);
}

tn_status tn_bisect(tn_module *m, const tn_tensor *inputs, const tn_symbol_value *sizes, int n_sizes,
                    const tn_bisect_options *options, tn_bisect_result *result, tn_diag *diag) {
    static const tn_bisect_options defaults;
    const tn_bisect_options *how = options ? options : &defaults;
    const tn_compile_options *compile = how->compile;
    tn_diag own;
    if (!diag) diag = &own;
    *diag = (tn_diag){0};
    *result = (tn_bisect_result){0};
    if (!check_arguments(m, compile, diag)) return diag->status;
    bisect_case given = {.module = m, .how = how, .threads = how->threads > 0 ? how->threads : 4}, c = {.module = m};
    if (compile) given.options = *compile;
    given.options.cache = "off";
    given.options.pool = NULL;
    given.options.watch = NULL;
    given.options.watch_text = NULL;
    given.narrow = narrowing_of(given.options.weight_type);
    bisect_finding f;
    if (open_given(&given, inputs, sizes, n_sizes, diag) && bisect_case_open(&c, m, &given, diag) &&
        bisect_find(&c, BISECT_NONE, true, &f, diag)) {
        *diag = (tn_diag){0};
        write_checked(&c, result);
        if (f.stage != BISECT_NONE) {
            write_finding(&f, result);
            if (!how->no_reproducer) find_reproducer(&c, &given, &f, result);
        }
    } else if (diag->status == TN_OK)
        diag_fail(diag, TN_ERR_INTERNAL, "a stage failed without a message");
    bisect_case_close(&c);
    bisect_case_close(&given);
    return diag->status;
}

void tn_bisect_free(tn_bisect_result *result) {
    tn_module_free(result->reproducer);
    result->reproducer = NULL;
}
