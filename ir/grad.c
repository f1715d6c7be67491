/* Gradients of functions: a function in, another out.
 *
 * in:  a function f of a module, and which of its parameters gradients are wanted of
 * out: a new function of the module, of ordinary nodes: it prints, runs, compiles and has gradients itself
 * law: d(sum of result * cotangent) / d(parameter), by reverse mode (grad_sweep.c)
 *
 * All derivatives are made of one piece, the joint function: f's nodes and those of the sweep back through them.
 * Forward mode is reverse mode twice: the cotangents that tn_vjp gives are linear in those it takes, so that its own
 * gradient with respect to them is the transposed map, which is f's derivative along a direction.
 */
#include "ir/build.h"
#include "ir/dtype.h"
#include "ir/extract.h"
#include "ir/grad_sweep.h"

#include <string.h>

/* ---- The joint function ---------------------------------------------------------------------------- */

static bool copy_params(tape *t, const tn_graph *f, value_id *map) {
    if (!graph_copy_symbols(t->g, f)) return false;
    for (size_t i = 0; i < f->n_params; i++)
        if ((map[f->params[i].value] = graph_copy_input(t->g, f, i)) == VALUE_NONE) return false;
    return true;
}

static bool is_control(const node *n) {
    return n->op == TN_OP_call || n->op == TN_OP_if || n->op == TN_OP_while || n->op == TN_OP_scan;
}

/* A control op on the way from a wanted parameter to a wanted result is appended
 * as one that can be gone back through. */
static bool copy_node(tape *t, const tn_graph *f, const node *n, const uint8_t *varied, const uint8_t *useful,
                      value_id *map) {
    if (!is_control(n)) return graph_copy_node(t->g, f, n, map);
    bool *params = ARENA_ARRAY(&f->module->memory, bool, n->n_operands + 1),
         *results = ARENA_ARRAY(&f->module->memory, bool, n->n_results + 1);
    bool comes = false, goes = false;
    if (!params || !results) return module_no_memory(f->module);
    for (uint32_t i = 0; i < n->n_operands; i++) comes |= params[i] = varied[n->operands[i]] != 0;
    for (uint32_t i = 0; i < n->n_results; i++) goes |= results[i] = useful[n->first_result + i] != 0;
    return comes && goes ? grad_record_control(t, f, n, params, results, map) : graph_copy_node(t->g, f, n, map);
}

static bool copy_nodes(tape *t, const tn_graph *f, const bool *params, const bool *results, value_id *map) {
    uint8_t *varied = grad_find_varied(f, params), *useful = varied ? grad_find_useful(f, results) : NULL;
    bool ok = varied && useful;
    for (size_t i = 0; ok && i < f->n_nodes; i++) {
        const node *n = &f->nodes[i];
        if (n->op == TN_OP_param) continue;
        location_id former = graph_set_origin(t->g, n->locations);
        ok = copy_node(t, f, n, varied, useful, map);
        graph_set_origin(t->g, former);
    }
    tn_free(varied);
    tn_free(useful);
    return ok;
}

static const char *prefixed(tn_module *m, const char *prefix, const char *name) {
    const char *text = arena_printf(&m->memory, "%s%s", prefix, name);
    if (!text) module_no_memory(m);
    return text;
}

/* d_<stem>, or with more of that prefix when a parameter has the name already. */
static const char *new_param_name(const tn_graph *g, const char *stem) {
    const char *name = stem;
    bool is_taken = true;
    while (is_taken && (name = prefixed(g->module, "d_", name))) {
        is_taken = false;
        for (size_t i = 0; i < g->n_params; i++) is_taken |= strcmp(g->params[i].name, name) == 0;
    }
    return name;
}

/* The cotangent of each marked result: a parameter, or 1. */
static bool add_cotangents(tape *t, const tn_graph *f, const bool *results, seeding how, joint *j) {
    for (size_t r = 0; r < f->n_results; r++) {
        if (!results[r] || !grad_is_float(f, f->results[r].value)) continue;
        value_id v = VALUE_NONE;
        if (how == SEED_ONES) {
            v = grad_fill((tn_val){t->g, j->primals[r]}, 1).id;
        } else {
            const char *name = new_param_name(t->g, f->results[r].name);
            if (name) v = graph_add_param(t->g, name, graph_type(f, f->results[r].value), BINDING_RUN);
        }
        if (v == VALUE_NONE) return false;
        j->cotangents[j->n_cotangents++] = v;
    }
    return true;
}

static bool sweep_joint(tape *t, const tn_graph *f, const bool *params, const bool *results, joint *j) {
    tn_module *m = f->module;
    seed *seeds = ARENA_ARRAY(&m->memory, seed, f->n_results + 1);
    value_id *wrt = ARENA_ARRAY(&m->memory, value_id, f->n_params + 1);
    if (!seeds || !wrt) return module_no_memory(m);
    size_t n_seeds = 0;
    for (size_t r = 0; r < f->n_results; r++) {
        if (!results[r] || !grad_is_float(f, f->results[r].value)) continue;
        seeds[n_seeds] = (seed){j->primals[r], j->cotangents[n_seeds]};
        n_seeds++;
    }
    for (size_t i = 0; i < f->n_params; i++)
        if (params[i]) wrt[j->n_gradients++] = t->g->params[i].value;
    if (!grad_sweep(t, seeds, n_seeds, wrt, j->n_gradients, j->gradients)) return false;
    j->n_forward = t->n_forward;
    for (size_t i = 0; i < j->n_gradients; i++)
        if (j->gradients[i] == VALUE_NONE) j->gradients[i] = grad_zeros((tn_val){t->g, wrt[i]}).id;
    return m->error.status == TN_OK;
}

bool grad_joint(const tn_graph *f, const bool *params, const bool *results, seeding how, joint *j) {
    tn_module *m = f->module;
    tape t = {.g = module_add_graph(m, prefixed(m, f->name, ".joint"))};
    *j = (joint){.g = t.g};
    if (!t.g) return false;
    j->primals = ARENA_ARRAY(&m->memory, value_id, f->n_results + 1);
    j->cotangents = ARENA_ARRAY(&m->memory, value_id, f->n_results + 1);
    j->gradients = ARENA_ARRAY(&m->memory, value_id, f->n_params + 1);
    value_id *map = tn_malloc((f->n_values + 1) * sizeof *map);
    bool ok = j->primals && j->cotangents && j->gradients && map;
    if (!ok) module_no_memory(m);
    if (ok) memset(map, 0xff, (f->n_values + 1) * sizeof *map);
    ok = ok && copy_params(&t, f, map) && copy_nodes(&t, f, params, results, map);
    j->n_primals = f->n_results;
    for (size_t r = 0; ok && r < f->n_results; r++) j->primals[r] = map[f->results[r].value];
    tn_free(map);
    if (!ok || !add_cotangents(&t, f, results, how, j)) return false;
    j->n_there = t.g->n_nodes;
    return sweep_joint(&t, f, params, results, j);
}

/* ---- What users ask for ---------------------------------------------------------------------------- */

/* A request, checked: which parameters, which results. */
typedef struct request {
    build b;
    const tn_graph *f;
    bool *params, *results;
    tn_ints wrt;
} request;

static bool open_request(request *r, tn_location at, const char *name, tn_graph *f, tn_ints wrt) {
    *r = (request){.f = f, .wrt = wrt};
    if (!f || f->module->error.status != TN_OK || !build_open(&r->b, at, name, f, NULL, 0)) return false;
    r->params = ARENA_ARRAY(&f->module->memory, bool, f->n_params + 1);
    r->results = ARENA_ARRAY(&f->module->memory, bool, f->n_results + 1);
    if (!r->params || !r->results) return module_no_memory(f->module);
    if (wrt.n < 1 || !wrt.items) {
        build_error(&r->b, TN_ERR_ARGUMENT, "of @%s no parameter is named to differentiate with respect to", f->name);
        return false;
    }
    for (int i = 0; i < wrt.n; i++) {
        int64_t at_param = wrt.items[i];
        char text[BUILD_TEXT];
        if (at_param < 0 || (uint64_t)at_param >= f->n_params)
            build_error(&r->b, TN_ERR_ARGUMENT, "@%s has %zu parameters, there is no number %lld", f->name, f->n_params,
                        (long long)at_param);
        else if (!grad_is_float(f, f->params[at_param].value))
            build_error(&r->b, TN_ERR_DTYPE, "gradients are those of floats: %s",
                        build_describe((tn_val){f, f->params[at_param].value}, text));
        else if (r->params[at_param])
            build_error(&r->b, TN_ERR_ARGUMENT, "parameter %s of @%s is named twice", f->params[at_param].name,
                        f->name);
        else
            r->params[at_param] = true;
        if (f->module->error.status != TN_OK) return false;
    }
    return true;
}

/* The gradient of parameter number `param` among those of the joint, which stand in the order of parameters. */
static value_id gradient_of(const request *r, const joint *j, int64_t param) {
    size_t before = 0;
    for (int64_t i = 0; i < param; i++) before += r->params[i];
    return j->gradients[before];
}

/* d_<parameter>, or with more of that prefix when another result has the name. */
static const char *result_name(const request *r, const char *const *names, size_t n, const char *stem) {
    const char *name = stem;
    bool is_taken = true;
    while (is_taken && (name = prefixed(r->f->module, "d_", name))) {
        is_taken = false;
        for (size_t i = 0; i < n; i++) is_taken |= strcmp(names[i], name) == 0;
    }
    return name;
}

/* A function of what the joint takes: f's parameters, cotangents when they are parameters; it gives f's results when
 * they are wanted, and the gradients in the order they were asked for. The joint leaves the module. */
static tn_graph *finish(const request *r, joint *j, const char *suffix, bool with_results) {
    tn_module *m = r->f->module;
    if (r->f->remat == REMAT_FULL && !grad_remake_joint(j)) return NULL;
    size_t n = r->f->n_results + (size_t)r->wrt.n, n_asked = 0, n_given = j->g->n_params;
    value_id *given = ARENA_ARRAY(&m->memory, value_id, n_given + 1), *asked = ARENA_ARRAY(&m->memory, value_id, n + 1);
    const char **names = ARENA_ARRAY(&m->memory, const char *, n + 1), *name = prefixed(m, r->f->name, suffix);
    if (!given || !asked || !names || !name) {
        module_no_memory(m);
        return NULL;
    }
    for (size_t i = 0; i < n_given; i++) given[i] = j->g->params[i].value;
    for (size_t i = 0; with_results && i < r->f->n_results; i++) {
        names[n_asked] = r->f->results[i].name;
        asked[n_asked++] = j->primals[i];
    }
    for (int i = 0; i < r->wrt.n; i++) {
        if (!(names[n_asked] = result_name(r, names, n_asked, r->f->params[r->wrt.items[i]].name))) return NULL;
        asked[n_asked++] = gradient_of(r, j, r->wrt.items[i]);
    }
    tn_graph *made = graph_extract(j->g, &(extraction){.name = name,
                                                       .given = given,
                                                       .n_given = n_given,
                                                       .asked = asked,
                                                       .n_asked = n_asked,
                                                       .asked_names = names,
                                                       .effects = with_results});
    module_remove_graph(m, j->g);
    if (made) made->remat = r->f->remat == REMAT_NONE ? REMAT_NONE : REMAT_CHEAP;
    return made;
}

void tn_graph_remat_at(tn_location at, tn_graph *f, const char *how) {
    build b;
    if (!f || !build_open(&b, at, "remat", f, NULL, 0)) return;
    for (uint8_t i = 0; how && i < REMAT_COUNT; i++)
        if (strcmp(remat_names[i], how) == 0) {
            f->remat = i;
            return;
        }
    build_error(&b, TN_ERR_ARGUMENT, "%s is none of none, cheap, full", how ? how : "NULL");
}

void tn_graph_gradient_at(tn_location at, tn_graph *f, tn_graph *backward) {
    build b;
    if (!f || !build_open(&b, at, "gradient", f, NULL, 0)) return;
    if (backward && backward != f && backward->module == f->module)
        f->gradient = backward;
    else
        build_error(&b, TN_ERR_ARGUMENT, "that of @%s must be another function of its module", f->name);
}

tn_graph *tn_vjp_at(tn_location at, tn_graph *f, tn_ints wrt) {
    request r;
    joint j;
    if (!open_request(&r, at, "vjp", f, wrt)) return NULL;
    for (size_t i = 0; i < f->n_results; i++) r.results[i] = true;
    return grad_joint(f, r.params, r.results, SEED_PARAMETERS, &j) ? finish(&r, &j, ".vjp", false) : NULL;
}

/* With 1 as the cotangent of the first result, and zero of all others. */
static tn_graph *gradient(tn_location at, const char *name, tn_graph *f, tn_ints wrt, bool with_results) {
    request r;
    joint j;
    char text[BUILD_TEXT];
    if (!open_request(&r, at, name, f, wrt)) return NULL;
    if (f->n_results == 0 || graph_type(f, f->results[0].value)->rank > 0 || !grad_is_float(f, f->results[0].value)) {
        build_error(&r.b, TN_ERR_SHAPE, "the first result of @%s must be a float scalar, that of a loss: %s", f->name,
                    f->n_results > 0 ? build_describe((tn_val){f, f->results[0].value}, text) : "it has none");
        return NULL;
    }
    r.results[0] = true;
    if (!grad_joint(f, r.params, r.results, SEED_ONES, &j)) return NULL;
    return finish(&r, &j, with_results ? ".value_and_grad" : ".grad", with_results);
}

tn_graph *tn_grad_at(tn_location at, tn_graph *f, tn_ints wrt) { return gradient(at, "grad", f, wrt, false); }

tn_graph *tn_value_and_grad_at(tn_location at, tn_graph *f, tn_ints wrt) {
    return gradient(at, "value_and_grad", f, wrt, true);
}

tn_graph *tn_hvp_at(tn_location at, tn_graph *f, tn_ints wrt) {
    tn_graph *slope = tn_grad_at(at, f, wrt), *product = slope ? tn_vjp_at(at, slope, wrt) : NULL;
    const char *name = product ? prefixed(f->module, f->name, ".hvp") : NULL;
    if (slope) module_remove_graph(f->module, slope);
    if (name) product->name = module_intern(f->module, name);
    return product;
}

/* The function `twice`, which takes f's parameters, cotangents of its results, and tangents of the parameters, with
 * zeros for the cotangents. */
static tn_graph *without_cotangents(const tn_graph *f, const tn_graph *back, const tn_graph *twice, tn_ints wrt) {
    tn_module *m = f->module;
    const char *name = prefixed(m, f->name, ".jvp");
    tn_graph *to = name ? module_add_graph(m, name) : NULL;
    value_id *map = tn_malloc((twice->n_values + 1) * sizeof *map);
    bool ok = to && map && graph_copy_symbols(to, f);
    if (!map) module_no_memory(m);
    for (size_t i = 0; ok && i < twice->n_params; i++) {
        const param *p = &twice->params[i];
        bool is_tangent = i >= back->n_params;
        const char *own = is_tangent ? prefixed(m, "t_", f->params[wrt.items[i - back->n_params]].name) : p->name;
        if (i >= f->n_params && !is_tangent)
            map[p->value] = grad_zeros_of(to, &p->type).id;
        else
            map[p->value] = own ? graph_add_param(to, own, &p->type, p->binding) : VALUE_NONE;
        ok = map[p->value] != VALUE_NONE;
        if (ok && i < f->n_params) to->params[to->n_params - 1].initial = p->initial;
    }
    ok = ok && graph_inline(to, twice, map);
    size_t r = 0;
    for (size_t i = 0; ok && i < f->n_results; i++) {
        if (!grad_is_float(f, f->results[i].value)) continue;
        const char *own = prefixed(m, "t_", f->results[i].name);
        ok = own && graph_add_result(to, own, map[twice->results[r++].value], -1);
    }
    tn_free(map);
    return ok && m->error.status == TN_OK ? to : NULL;
}

/* The gradient of the vjp with respect to its cotangents, with zeros for these:
 * what it is linear in does not matter. */
tn_graph *tn_jvp_at(tn_location at, tn_graph *f, tn_ints wrt) {
    tn_graph *back = tn_vjp_at(at, f, wrt);
    if (!back) return NULL;
    tn_module *m = f->module;
    size_t n = back->n_params - f->n_params;
    int64_t *cotangents = ARENA_ARRAY(&m->memory, int64_t, n + 1);
    if (!cotangents) {
        module_no_memory(m);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) cotangents[i] = (int64_t)(f->n_params + i);
    tn_graph *twice = tn_vjp_at(at, back, (tn_ints){(int)n, cotangents});
    tn_graph *forward = twice ? without_cotangents(f, back, twice, wrt) : NULL;
    module_remove_graph(m, back);
    if (twice) module_remove_graph(m, twice);
    return forward;
}
