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
#include "runtime/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fuser {
    const pass_options *options;
    grouping groups;
    tn_graph *from, *to;
    value_id *map; /* value of `from` to value of `to`; VALUE_NONE: not made yet */
    size_t n_kernels;
    uint32_t *members, *first_member; /* nodes by group, in order; where each group's begin */
    uint8_t *started;                 /* of each node: on the stack of make_all, or done */
    value_id *inner;                  /* of the present kernel: value of `from` to value of the kernel */
    uint32_t *inner_of;               /* of each value: the kernel, from 1, that `inner` counts for */
    value_id *values;                 /* room for as many values as there are */
    uint32_t *stack;
    size_t n_stack, stack_capacity;
} fuser;

/* ---- One kernel ---- */

enum { MAX_SYMBOLS = 64 };

typedef struct outliner {
    fuser *f;
    tn_graph *kernel;
    uint32_t number;    /* from 1, within the function */
    value_id *operands; /* of the call: values of `from` */
    uint32_t n_operands;
    tn_dim outer_symbols[MAX_SYMBOLS], inner_symbols[MAX_SYMBOLS];
    int n_symbols;
    bool failed;
} outliner;

/* Gives each symbol of a dim its canonical name; a visitor of dim leaves. */
static bool add_symbol(void *ctx, tn_dim leaf) {
    outliner *s = ctx;
    tn_module *m = s->kernel->module;
    for (int i = 0; i < s->n_symbols; i++)
        if (s->outer_symbols[i] == leaf) return true;
    if (s->n_symbols == MAX_SYMBOLS) {
        module_error(m, TN_ERR_LIMIT, LOCATION_NONE, "%s: a kernel has more than %d symbols", s->f->from->name,
                     MAX_SYMBOLS);
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
    if (!graph_add_symbol(s->kernel, s->inner_symbols[s->n_symbols], low, high, divisor)) return !(s->failed = true);
    s->n_symbols++;
    return true;
}

static tn_dim inner_dim(outliner *s, tn_dim d) {
    dim_table *t = s->kernel->module->dims;
    dim_visit_leaves(t, d, add_symbol, s);
    return dim_substitute(t, d, s->outer_symbols, s->inner_symbols, s->n_symbols);
}

static tn_type inner_type(outliner *s, const tn_type *type) {
    tn_type inner = *type;
    for (int i = 0; i < type->rank; i++) inner.dims[i] = inner_dim(s, type->dims[i]);
    return inner;
}

static bool inner_attrs(outliner *s, const attr_list *from, attr *to) {
    for (uint32_t i = 0; i < from->n; i++) {
        to[i] = from->items[i];
        attr_kind kind = attr_kind_of((attr_name)to[i].name);
        if (kind == ATTR_KIND_DIM) to[i].dim = inner_dim(s, to[i].dim);
        if (kind == ATTR_KIND_DIMS) {
            tn_dim *dims = ARENA_ARRAY(&s->kernel->module->memory, tn_dim, to[i].dims.n + 1);
            if (!dims) return !(s->failed = true);
            for (uint32_t k = 0; k < to[i].dims.n; k++) dims[k] = inner_dim(s, to[i].dims.items[k]);
            to[i].dims.items = dims;
        }
    }
    return !s->failed;
}

static bool is_inside(const outliner *s, uint32_t group, uint32_t node_index) {
    return s->f->groups.roles[node_index] == FUSION_INLINE || s->f->groups.group_of[node_index] == group;
}

static void set_inner(outliner *s, value_id v, value_id inner) {
    s->f->inner[v] = inner;
    s->f->inner_of[v] = s->number;
}

static bool bring_in(outliner *s, uint32_t group, value_id v);

/* The node's copy in the kernel. */
static bool bring_node(outliner *s, uint32_t group, const node *n) {
    value_id few[8], *operands = n->n_operands <= 8 ? few : tn_malloc(n->n_operands * sizeof *operands);
    attr attrs[OP_MAX_ATTRS];
    bool ok = operands && inner_attrs(s, &n->attrs, attrs);
    for (uint32_t k = 0; ok && k < n->n_operands; k++) {
        ok = bring_in(s, group, n->operands[k]);
        operands[k] = s->f->inner[n->operands[k]];
    }
    value_id first;
    ok = ok && graph_apply(s->kernel, n->locations, (tn_op)n->op, operands, n->n_operands, attrs, n->attrs.n, &first, 1,
                           NULL);
    for (uint32_t k = 0; ok && k < n->n_results; k++) set_inner(s, n->first_result + k, first + k);
    if (operands != few) tn_free(operands);
    return ok;
}

static bool note_operand(outliner *s, uint32_t group, uint32_t made) {
    fusion_notes *notes = s->f->options->fusion_notes;
    const char *why =
        notes && s->f->groups.group_of[made] != GROUP_NONE ? grouping_refusal(&s->f->groups, group, made) : NULL;
    if (!why) return true;
    if (!array_reserve((void **)&notes->items, &notes->capacity, notes->n + 1, sizeof *notes->items))
        return module_no_memory(s->kernel->module);
    notes->items[notes->n++] = (fusion_note){s->kernel, s->n_operands, why};
    return true;
}

/* Makes v available in the kernel: a parameter when it comes from outside. */
static bool bring_in(outliner *s, uint32_t group, value_id v) {
    const tn_graph *from = s->f->from;
    uint32_t i = from->values[v].node;
    if (s->f->inner_of[v] == s->number) return true;
    if (is_inside(s, group, i)) return bring_node(s, group, &from->nodes[i]);
    if (!note_operand(s, group, i)) return false;
    char name[16];
    snprintf(name, sizeof name, "p%u", (unsigned)s->n_operands);
    tn_type type = inner_type(s, graph_type(from, v));
    s->operands[s->n_operands++] = s->f->map[v];
    set_inner(s, v, graph_add_param(s->kernel, name, &type, BINDING_RUN));
    return s->f->inner[v] != VALUE_NONE;
}

/* ---- A group becomes a call ---- */

/* Values of the group's that others read, into outer[]; they become the kernel's results. */
static bool add_results(fuser *f, outliner *s, uint32_t group, value_id *outer, uint32_t *n_outer) {
    for (uint32_t i = f->first_member[group]; i < f->first_member[group + 1]; i++) {
        const node *member = &f->from->nodes[f->members[i]];
        for (uint32_t k = 0; k < member->n_results; k++) {
            value_id v = member->first_result + k;
            if (!f->groups.kept[v]) continue;
            outer[(*n_outer)++] = v;
            if (!graph_add_result(s->kernel, NULL, f->inner[v], -1)) return false;
        }
    }
    return true;
}

static bool call_kernel(fuser *f, outliner *s, uint32_t group, value_id *outer) {
    attr attrs[2] = {{.name = ATTR_callee, .func = s->kernel}, {.name = ATTR_symbols}};
    uint32_t n = 0;
    value_id first;
    location_id locations = LOCATION_NONE;
    for (uint32_t i = f->first_member[group]; i < f->first_member[group + 1]; i++)
        locations = location_union(f->from->module, locations, f->from->nodes[f->members[i]].locations);
    attrs[1].dims.items = s->outer_symbols;
    attrs[1].dims.n = (uint32_t)s->n_symbols;
    if (!add_results(f, s, group, outer, &n) ||
        !graph_apply(f->to, locations, TN_OP_call, s->operands, s->n_operands, attrs, 2, &first, 1, NULL))
        return false;
    bool errs =
        FAULT(fuse_results) && n == 2 && type_equal(graph_type(f->from, outer[0]), graph_type(f->from, outer[1]));
    for (uint32_t k = 0; k < n; k++) {
        f->map[outer[k]] = first + (errs ? 1 - k : k);
        if (!f->to->values[first + k].name) f->to->values[first + k].name = f->from->values[outer[k]].name;
    }
    return true;
}

static bool make_group(fuser *f, uint32_t group) {
    tn_graph *from = f->from;
    outliner s = {.f = f, .number = group + 1, .operands = f->values};
    char name[48];
    snprintf(name, sizeof name, "k%zu", f->n_kernels++);
    s.kernel = module_add_graph(from->module, name);
    if (!s.kernel) return false;
    s.kernel->is_kernel = true;
    for (uint32_t i = f->first_member[group]; i < f->first_member[group + 1]; i++)
        if (!bring_in(&s, group, from->nodes[f->members[i]].first_result)) return false;
    return call_kernel(f, &s, group, f->values + from->n_values);
}

/* ---- Units in order ----
 *
 * A unit is a group or a node that stays. It is made once all that it reads is made. A group
 * stands where its last member does, and by that one on the stack: members may be far apart, as
 * those of a sum of gradients are, and all between them would be made first. */

static uint32_t unit_of(const fuser *f, uint32_t i) {
    uint32_t group = f->groups.group_of[i];
    return group == GROUP_NONE ? i : f->members[f->first_member[group + 1] - 1];
}

static bool push_unit(fuser *f, uint32_t i) {
    i = unit_of(f, i);
    if (f->started[i] == 2) return true;
    if (!array_reserve((void **)&f->stack, &f->stack_capacity, f->n_stack + 1, sizeof *f->stack)) return false;
    f->stack[f->n_stack++] = i;
    return true;
}

/* What node n of the group (or GROUP_NONE) reads from other units, also through what is copied into its kernel. */
static bool push_operands(fuser *f, uint32_t group, const node *n) {
    for (uint32_t k = 0; k < n->n_operands; k++) {
        uint32_t o = f->from->values[n->operands[k]].node;
        if (f->groups.roles[o] == FUSION_INLINE) {
            if (!push_operands(f, group, &f->from->nodes[o])) return false;
        } else if ((group == GROUP_NONE || f->groups.group_of[o] != group) && !push_unit(f, o)) {
            return false;
        }
    }
    return true;
}

static int last_first(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x > y ? -1 : x < y;
}

/* The first one comes on top: what is read is made in the order of the nodes. */
static bool push_reads(fuser *f, uint32_t i) {
    uint32_t group = f->groups.group_of[i];
    size_t n_former = f->n_stack;
    bool ok = true;
    if (group == GROUP_NONE)
        ok = push_operands(f, group, &f->from->nodes[i]);
    else
        for (uint32_t m = f->first_member[group]; ok && m < f->first_member[group + 1]; m++)
            ok = push_operands(f, group, &f->from->nodes[f->members[m]]);
    if (f->n_stack > n_former) qsort(f->stack + n_former, f->n_stack - n_former, sizeof *f->stack, last_first);
    return ok;
}

static bool make_unit(fuser *f, uint32_t i) {
    const node *n = &f->from->nodes[i];
    if (f->groups.group_of[i] != GROUP_NONE) return make_group(f, f->groups.group_of[i]);
    return n->op == TN_OP_param || graph_copy_node(f->to, f->from, n, f->map);
}

/* Makes the unit of node i and before it all that it needs. */
static bool make_all(fuser *f, uint32_t i) {
    bool ok = push_unit(f, i);
    while (ok && f->n_stack > 0) {
        uint32_t top = f->stack[f->n_stack - 1];
        if (f->started[top] == 0) {
            f->started[top] = 1;
            ok = push_reads(f, top);
            continue;
        }
        f->n_stack--;
        if (f->started[top] == 1) {
            f->started[top] = 2;
            ok = make_unit(f, top);
        }
    }
    return ok;
}

/* ---- A function ---- */

/* Members by group: counted, then laid out. */
static void list_members(fuser *f) {
    size_t n_groups = f->groups.n_groups;
    const uint32_t *group_of = f->groups.group_of;
    for (size_t i = 0; i < f->from->n_nodes; i++)
        if (group_of[i] != GROUP_NONE) f->first_member[group_of[i] + 2]++;
    for (size_t k = 2; k < n_groups + 2; k++) f->first_member[k] += f->first_member[k - 1];
    for (uint32_t i = 0; i < f->from->n_nodes; i++)
        if (group_of[i] != GROUP_NONE) f->members[f->first_member[group_of[i] + 1]++] = i;
}

static bool open_fuser(fuser *f, const pass_options *o) {
    tn_graph *g = f->from;
    pass_options own = *o;
    own.no_remake |= g->remat == REMAT_NONE;
    if (!grouping_make(&f->groups, g, &own)) return false;
    f->to = module_add_graph(g->module, g->name);
    f->map = tn_malloc((g->n_values + 1) * sizeof *f->map);
    f->members = tn_malloc((g->n_nodes + 1) * sizeof *f->members);
    f->first_member = tn_calloc(f->groups.n_groups + 3, sizeof *f->first_member);
    f->started = tn_calloc(g->n_nodes + 1, 1);
    f->inner = tn_malloc((g->n_values + 1) * sizeof *f->inner);
    f->inner_of = tn_calloc(g->n_values + 1, sizeof *f->inner_of);
    f->values = tn_malloc((2 * g->n_values + 1) * sizeof *f->values);
    if (!f->to || !f->map || !f->members || !f->first_member || !f->started || !f->inner || !f->inner_of || !f->values)
        return false;
    memset(f->map, 0xff, (g->n_values + 1) * sizeof *f->map);
    list_members(f);
    return true;
}

static void close_fuser(fuser *f) {
    grouping_free(&f->groups);
    tn_free(f->map);
    tn_free(f->members);
    tn_free(f->first_member);
    tn_free(f->started);
    tn_free(f->inner);
    tn_free(f->inner_of);
    tn_free(f->values);
    tn_free(f->stack);
}

static bool fuse_function(tn_graph *g, const pass_options *o, size_t *n_kernels) {
    fuser f = {.options = o, .from = g, .n_kernels = *n_kernels};
    bool ok = open_fuser(&f, o) && graph_copy_signature(f.to, f.from, f.map);
    /* The order is that of the nodes: builders and gradients use values up before they go on. */
    for (uint32_t i = 0; ok && i < g->n_nodes; i++)
        if (f.groups.roles[i] != FUSION_INLINE && unit_of(&f, i) == i) ok = make_all(&f, i);
    for (size_t r = 0; ok && r < g->n_results; r++)
        ok = make_all(&f, g->values[g->results[r].value].node) &&
             graph_add_result(f.to, g->results[r].name, f.map[g->results[r].value], g->results[r].state_param);
    if (ok) graph_take_content(g, f.to);
    close_fuser(&f);
    *n_kernels = f.n_kernels;
    return ok || module_error(g->module, TN_ERR_MEMORY, LOCATION_NONE, "out of memory while fusing %s", g->name);
}

/* Callees first, so that a call is checked against the callee as it will be. */
bool pass_fuse(tn_module *m, const pass_options *o) {
    size_t n_kernels = 0, n = m->n_graphs, *order = module_call_order(m);
    bool ok = order != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        tn_graph *g = m->graphs[order[i]];
        ok = g->is_kernel || fuse_function(g, o, &n_kernels);
    }
    tn_free(order);
    return ok || module_error(m, TN_ERR_MEMORY, LOCATION_NONE, "out of memory while fusing");
}
