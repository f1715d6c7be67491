/* Fuse: each group of nodes becomes a function marked kernel, and its members one call of it.
 *
 * in:  functions of primitives without dead nodes
 * out: functions of calls, control ops, data, reshapes and barriers; kernels
 * law: a kernel computes what its members computed, node for node; views and leaves that
 *      members read through are copied into it
 *
 * A kernel's parameters are the buffers it reads, its results the values that others read. Its
 * symbols are renamed s0, s1, ... in order of appearance, so that equal blocks of a model
 * become equal kernels; the call passes their values.
 */
#include "compiler/passes/groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fuser {
    grouping groups;
    tn_graph *from, *to;
    value_id *map;         /* value of `from` to value of `to`; VALUE_NONE: not made yet */
    size_t n_kernels;
} fuser;

/* ---- One kernel ---- */

enum { MAX_SYMBOLS = 64 };

typedef struct outliner {
    fuser *f;
    tn_graph *kernel;
    value_id *inner;        /* value of `from` to value of the kernel */
    value_id *operands;     /* of the call: values of `from` */
    uint32_t n_operands;
    tn_dim outer_symbols[MAX_SYMBOLS], inner_symbols[MAX_SYMBOLS];
    int n_symbols;
    bool failed;
} outliner;

/* Gives each symbol of a dim its canonical name; a visitor of dim leaves. */
static bool add_symbol(void *ctx, tn_dim leaf)
{
    outliner *s = ctx;
    tn_module *m = s->kernel->module;
    for (int i = 0; i < s->n_symbols; i++)
        if (s->outer_symbols[i] == leaf)
            return true;
    if (s->n_symbols == MAX_SYMBOLS) {
        module_error(m, TN_ERR_LIMIT, LOCATION_NONE, "%s: a kernel has more than %d symbols", s->f->from->name, MAX_SYMBOLS);
        return !(s->failed = true);
    }
    char name[16];
    snprintf(name, sizeof name, "s%d", s->n_symbols);
    int64_t low = 0, high = INT64_MAX, divisor = 1;
    for (size_t i = 0; i < s->f->from->n_symbols; i++)
        if (s->f->from->symbols[i].dim == leaf) {
            low = s->f->from->symbols[i].low;
            high = s->f->from->symbols[i].high;
            divisor = s->f->from->symbols[i].divisor;
        }
    s->outer_symbols[s->n_symbols] = leaf;
    s->inner_symbols[s->n_symbols] = dim_symbol(m->dims, name);
    if (!graph_add_symbol(s->kernel, s->inner_symbols[s->n_symbols], low, high, divisor))
        return !(s->failed = true);
    s->n_symbols++;
    return true;
}

static tn_dim inner_dim(outliner *s, tn_dim d)
{
    dim_table *t = s->kernel->module->dims;
    dim_visit_leaves(t, d, add_symbol, s);
    return dim_substitute(t, d, s->outer_symbols, s->inner_symbols, s->n_symbols);
}

static tn_type inner_type(outliner *s, const tn_type *type)
{
    tn_type inner = *type;
    for (int i = 0; i < type->rank; i++)
        inner.dims[i] = inner_dim(s, type->dims[i]);
    return inner;
}

static bool inner_attrs(outliner *s, const attr_list *from, attr *to)
{
    for (uint32_t i = 0; i < from->n; i++) {
        to[i] = from->items[i];
        attr_kind kind = attr_kind_of((attr_name)to[i].name);
        if (kind == ATTR_KIND_DIM)
            to[i].dim = inner_dim(s, to[i].dim);
        if (kind == ATTR_KIND_DIMS) {
            tn_dim *dims = ARENA_ARRAY(&s->kernel->module->memory, tn_dim, to[i].dims.n + 1);
            if (!dims)
                return !(s->failed = true);
            for (uint32_t k = 0; k < to[i].dims.n; k++)
                dims[k] = inner_dim(s, to[i].dims.items[k]);
            to[i].dims.items = dims;
        }
    }
    return !s->failed;
}

static bool is_inside(const outliner *s, uint32_t group, uint32_t node_index)
{
    return s->f->groups.roles[node_index] == FUSION_INLINE || s->f->groups.group_of[node_index] == group;
}

/* Makes v available in the kernel: a parameter when it comes from outside. */
static bool bring_in(outliner *s, uint32_t group, value_id v)
{
    const tn_graph *from = s->f->from;
    uint32_t i = from->values[v].node;
    const node *n = &from->nodes[i];
    if (s->inner[v] != VALUE_NONE)
        return true;
    if (!is_inside(s, group, i)) {
        char name[16];
        snprintf(name, sizeof name, "p%u", (unsigned)s->n_operands);
        tn_type type = inner_type(s, graph_type(from, v));
        s->operands[s->n_operands++] = v;
        s->inner[v] = graph_add_param(s->kernel, name, &type, BINDING_RUN);
        return s->inner[v] != VALUE_NONE;
    }
    value_id *operands = tn_malloc((n->n_operands + 1) * sizeof *operands);
    attr attrs[OP_MAX_ATTRS];
    bool ok = operands && inner_attrs(s, &n->attrs, attrs);
    for (uint32_t k = 0; ok && k < n->n_operands; k++) {
        ok = bring_in(s, group, n->operands[k]);
        operands[k] = s->inner[n->operands[k]];
    }
    uint32_t n_results;
    value_id results[8];
    if (ok && n->n_results > 8)
        ok = module_error(s->kernel->module, TN_ERR_LIMIT, n->locations, "%s: more than 8 results", op_name((tn_op)n->op));
    ok = ok && graph_apply(s->kernel, n->locations, (tn_op)n->op, operands, n->n_operands, attrs, n->attrs.n, results, 8, &n_results);
    for (uint32_t k = 0; ok && k < n->n_results; k++)
        s->inner[n->first_result + k] = results[k];
    tn_free(operands);
    return ok;
}

/* ---- Units in order ---- */

static bool make_value(fuser *f, value_id v);

static bool call_kernel(fuser *f, outliner *s, uint32_t group, uint32_t last)
{
    value_id outer[64], results[64];
    attr attrs[2] = {{.name = ATTR_callee, .func = s->kernel}, {.name = ATTR_symbols}};
    uint32_t n = 0, n_results;
    location_id locations = LOCATION_NONE;
    for (uint32_t i = 0; i <= last; i++)
        if (f->groups.group_of[i] == group) {
            const node *member = &f->from->nodes[i];
            locations = location_union(f->from->module, locations, member->locations);
            for (uint32_t k = 0; k < member->n_results; k++)
                if (f->groups.kept[member->first_result + k] && n < 64) {
                    outer[n++] = member->first_result + k;
                    if (!graph_add_result(s->kernel, NULL, s->inner[member->first_result + k], -1))
                        return false;
                }
        }
    value_id *operands = tn_malloc((s->n_operands + 1) * sizeof *operands);
    if (!operands)
        return false;
    for (uint32_t k = 0; k < s->n_operands; k++)
        operands[k] = f->map[s->operands[k]];
    attrs[1].dims.items = s->outer_symbols;
    attrs[1].dims.n = (uint32_t)s->n_symbols;
    bool ok = graph_apply(f->to, locations, TN_OP_call, operands, s->n_operands, attrs, 2, results, 64, &n_results);
    tn_free(operands);
    for (uint32_t k = 0; ok && k < n; k++) {
        f->map[outer[k]] = results[k];
        if (!f->to->values[results[k]].name)
            f->to->values[results[k]].name = f->from->values[outer[k]].name;
    }
    return ok;
}

/* Makes everything the group reads, then the kernel and its call. */
static bool make_group(fuser *f, uint32_t group)
{
    tn_graph *from = f->from;
    outliner s = {.f = f};
    char name[48];
    snprintf(name, sizeof name, "k%zu", f->n_kernels++);
    uint32_t last = 0;
    size_t n_reads = 0;
    for (uint32_t i = 0; i < from->n_nodes; i++)
        if (f->groups.group_of[i] == group) {
            last = i;
            n_reads += from->nodes[i].n_operands;
        }
    s.kernel = module_add_graph(from->module, name);
    s.inner = tn_malloc((from->n_values + 1) * sizeof *s.inner);
    s.operands = tn_malloc((from->n_values + n_reads + 1) * sizeof *s.operands);
    bool ok = s.kernel && s.inner && s.operands;
    if (ok) {
        s.kernel->is_kernel = true;
        memset(s.inner, 0xff, (from->n_values + 1) * sizeof *s.inner);
    }
    for (uint32_t i = 0; ok && i <= last; i++)
        if (f->groups.group_of[i] == group)
            ok = bring_in(&s, group, from->nodes[i].first_result);
    for (uint32_t k = 0; ok && k < s.n_operands; k++)
        ok = make_value(f, s.operands[k]);
    ok = ok && call_kernel(f, &s, group, last);
    tn_free(s.inner);
    tn_free(s.operands);
    return ok;
}

static bool make_node(fuser *f, const node *n)
{
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (!make_value(f, n->operands[k]))
            return false;
    return graph_copy_node(f->to, f->from, n, f->map);
}

static bool make_value(fuser *f, value_id v)
{
    if (f->map[v] != VALUE_NONE)
        return true;
    uint32_t i = f->from->values[v].node;
    uint32_t group = f->groups.group_of[i];
    return group == GROUP_NONE ? make_node(f, &f->from->nodes[i]) : make_group(f, group);
}

static bool copy_signature(fuser *f)
{
    tn_graph *to = f->to, *from = f->from;
    for (size_t i = 0; i < from->n_symbols; i++)
        if (!graph_add_symbol(to, from->symbols[i].dim, from->symbols[i].low, from->symbols[i].high, from->symbols[i].divisor))
            return false;
    for (size_t i = 0; i < from->n_params; i++) {
        const param *p = &from->params[i];
        f->map[p->value] = graph_add_param(to, p->name, graph_type(from, p->value), p->binding);
        if (f->map[p->value] == VALUE_NONE)
            return false;
        to->params[i].initial = p->initial;
    }
    for (size_t i = 0; i < from->n_constraints; i++) {
        const constraint *c = &from->constraints[i];
        if (!graph_add_constraint(to, c->relation, c->a, c->b, (tn_op)c->op, c->locations))
            return false;
    }
    return true;
}

static bool fuse_function(tn_graph *g, const pass_options *o, size_t *n_kernels)
{
    fuser f = {.from = g, .n_kernels = *n_kernels};
    if (!grouping_make(&f.groups, g, o))
        return false;
    f.to = module_add_graph(g->module, g->name);
    f.map = tn_malloc((g->n_values + 1) * sizeof *f.map);
    bool ok = f.to && f.map;
    if (ok)
        memset(f.map, 0xff, (g->n_values + 1) * sizeof *f.map);
    ok = ok && copy_signature(&f);
    /* Effects and all that stays in the function keep their order; groups come when needed. */
    for (size_t i = 0; ok && i < g->n_nodes; i++)
        if (f.groups.roles[i] == FUSION_TOP && g->nodes[i].op != TN_OP_param)
            ok = make_node(&f, &g->nodes[i]);
    for (size_t r = 0; ok && r < g->n_results; r++)
        ok = make_value(&f, g->results[r].value) &&
             graph_add_result(f.to, g->results[r].name, f.map[g->results[r].value], g->results[r].state_param);
    if (ok)
        graph_take_content(g, f.to);
    grouping_free(&f.groups);
    tn_free(f.map);
    *n_kernels = f.n_kernels;
    return ok || module_error(g->module, TN_ERR_MEMORY, LOCATION_NONE, "out of memory while fusing %s", g->name);
}

static int callees_first(const void *x, const void *y)
{
    const tn_graph *a = *(tn_graph *const *)x, *b = *(tn_graph *const *)y;
    return (a->depth > b->depth) - (a->depth < b->depth);
}

/* Callees first, so that a caller is rebuilt over what they have become. */
bool pass_fuse(tn_module *m, const pass_options *o)
{
    size_t n_kernels = 0, n = m->n_graphs;
    tn_graph **functions = tn_malloc((n + 1) * sizeof *functions);
    if (!functions)
        return module_error(m, TN_ERR_MEMORY, LOCATION_NONE, "out of memory while fusing");
    memcpy(functions, m->graphs, n * sizeof *functions);
    qsort(functions, n, sizeof *functions, callees_first);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = functions[i]->is_kernel || fuse_function(functions[i], o, &n_kernels);
    tn_free(functions);
    return ok;
}
