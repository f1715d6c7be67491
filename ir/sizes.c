/* Numbers in place of symbols (see sizes.h). */
#include "ir/sizes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ir/op.h"

int64_t symbol_least_size(const symbol *s) {
    int64_t least = s->low > 1 ? s->low : 1, step = s->divisor > 1 ? s->divisor : 1;
    least = least % step ? least - least % step + step : least;
    return least <= s->high ? least : s->low;
}

bool symbol_allows(const symbol *s, int64_t value) {
    return value >= s->low && value <= s->high && (s->divisor <= 1 || value % s->divisor == 0);
}

bool symbol_size(void *ctx, tn_dim leaf, int64_t *value) {
    const symbol_sizes *s = ctx;
    for (size_t i = 0; i < s->g->n_symbols; i++)
        if (s->g->symbols[i].dim == leaf) {
            *value = s->values[i];
            return true;
        }
    return false;
}

bool graph_size_at(const tn_graph *g, const int64_t *values, tn_dim d, int64_t *size) {
    return dim_eval(g->module->dims, d, symbol_size, &(symbol_sizes){g, values}, size);
}

bool sizes_fix(sizes_fixed *s, tn_module *m, const char *symbol, int64_t value) {
    if (value < 0)
        return module_error(m, TN_ERR_ARGUMENT, LOCATION_NONE, "size %s is %" PRId64 ", it must be at least 0", symbol,
                            value);
    if (s->n == SIZES_MOST)
        return module_error(m, TN_ERR_ARGUMENT, LOCATION_NONE, "size %s: at most %d sizes can be fixed", symbol,
                            SIZES_MOST);
    s->from[s->n] = dim_symbol(m->dims, symbol);
    for (int i = 0; i < s->n; i++)
        if (s->from[i] == s->from[s->n])
            return module_error(m, TN_ERR_ARGUMENT, LOCATION_NONE, "size %s is given twice", symbol);
    s->to[s->n++] = dim_const(m->dims, value);
    return true;
}

tn_dim sizes_dim(const sizes_fixed *s, tn_module *m, tn_dim d) {
    return s && s->n > 0 ? dim_substitute(m->dims, d, s->from, s->to, s->n) : d;
}

tn_type sizes_type(const sizes_fixed *s, tn_module *m, tn_type type) {
    for (int i = 0; i < type.rank; i++) type.dims[i] = sizes_dim(s, m, type.dims[i]);
    return type;
}

static bool sizes_attr(const sizes_fixed *s, tn_module *m, attr *a) {
    attr_kind kind = attr_kind_of((attr_name)a->name);
    if (kind == ATTR_KIND_DIM) a->dim = sizes_dim(s, m, a->dim);
    if (kind != ATTR_KIND_DIMS || !s || s->n == 0) return true;
    tn_dim *dims = ARENA_ARRAY(&m->memory, tn_dim, a->dims.n + 1);
    if (!dims) return module_no_memory(m);
    for (uint32_t i = 0; i < a->dims.n; i++) dims[i] = sizes_dim(s, m, a->dims.items[i]);
    a->dims.items = dims;
    return true;
}

/* ---- A function ---- */

static const symbol *find_symbol(const tn_graph *g, tn_dim d) {
    for (size_t i = 0; i < g->n_symbols; i++)
        if (g->symbols[i].dim == d) return &g->symbols[i];
    return NULL;
}

const char *sizes_bounds_text(const symbol *s, char *out, size_t bytes) {
    char high[60] = "", divisor[60] = "";
    if (s->high < INT64_MAX) snprintf(high, sizeof high, " and at most %" PRId64, s->high);
    if (s->divisor > 1) snprintf(divisor, sizeof divisor, ", a multiple of %" PRId64, s->divisor);
    snprintf(out, bytes, "at least %" PRId64 "%s%s", s->low, high, divisor);
    return out;
}

static bool complain_of_size(tn_graph *g, const char *name) {
    char known[300] = "";
    for (size_t i = 0; i < g->n_symbols; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
                 dim_symbol_name(g->module->dims, g->symbols[i].dim));
    }
    return module_error(g->module, TN_ERR_ARGUMENT, LOCATION_NONE, "there is no size %s (%s%s)", name,
                        *known ? "sizes are " : "there are none", known);
}

static bool complain_of_bounds(tn_module *m, const symbol *s, const char *name, int64_t value) {
    char bounds[100];
    return module_error(m, TN_ERR_CONSTRAINT, LOCATION_NONE, "%s is %" PRId64 ", it must be %s", name, value,
                        sizes_bounds_text(s, bounds, sizeof bounds));
}

static bool check_sizes(tn_graph *g, const sizes_fixed *s) {
    for (int i = 0; i < s->n; i++) {
        tn_module *m = g->module;
        const symbol *known = find_symbol(g, s->from[i]);
        const char *name = dim_symbol_name(m->dims, s->from[i]);
        int64_t value = 0;
        dim_is_const(m->dims, s->to[i], &value);
        if (!known) return complain_of_size(g, name);
        if (!symbol_allows(known, value)) return complain_of_bounds(m, known, name, value);
    }
    return true;
}

static bool copy_symbols(tn_graph *to, const tn_graph *from, const sizes_fixed *s) {
    for (size_t i = 0; i < from->n_symbols; i++) {
        const symbol *y = &from->symbols[i];
        bool is_fixed = sizes_dim(s, to->module, y->dim) != y->dim;
        if (!is_fixed && !graph_add_symbol(to, y->dim, y->low, y->high, y->divisor)) return false;
    }
    return true;
}

static bool copy_params(tn_graph *to, const tn_graph *from, const sizes_fixed *s, value_id *map) {
    for (size_t i = 0; i < from->n_params; i++) {
        const param *p = &from->params[i];
        tn_type type = sizes_type(s, to->module, *graph_type(from, p->value));
        value_id v = graph_add_param(to, p->name, &type, p->binding);
        if (v == VALUE_NONE) return false;
        to->params[i].initial = p->initial;
        to->values[v].name = from->values[p->value].name;
        map[p->value] = v;
    }
    return true;
}

bool sizes_copy_node(tn_graph *to, const tn_graph *from, const node *n, const sizes_fixed *s, const value_id *operands,
                     value_id *map) {
    attr attrs[OP_MAX_ATTRS];
    value_id first;
    for (uint32_t i = 0; i < n->attrs.n; i++) {
        attrs[i] = n->attrs.items[i];
        if (!sizes_attr(s, to->module, &attrs[i])) return false;
    }
    if (!graph_apply(to, n->locations, (tn_op)n->op, operands, n->n_operands, attrs, n->attrs.n, &first, 1, NULL))
        return false;
    for (uint32_t i = 0; i < n->n_results; i++) {
        map[n->first_result + i] = first + i;
        if (!to->values[first + i].name) to->values[first + i].name = from->values[n->first_result + i].name;
    }
    return true;
}

static bool copy_fixed(tn_graph *to, const tn_graph *from, const sizes_fixed *s, value_id *map, value_id *operands) {
    bool ok = copy_symbols(to, from, s) && copy_params(to, from, s, map);
    for (size_t i = 0; ok && i < from->n_constraints; i++) {
        const constraint *c = &from->constraints[i];
        tn_dim a = sizes_dim(s, to->module, c->a), b = sizes_dim(s, to->module, c->b);
        ok = graph_require(to, c->relation, a, b, (tn_op)c->op, c->locations) ||
             module_error(to->module, TN_ERR_CONSTRAINT, c->locations, "%s does not hold for these sizes",
                          op_name((tn_op)c->op));
    }
    for (size_t i = 0; ok && i < from->n_nodes; i++) {
        const node *n = &from->nodes[i];
        if (n->op == TN_OP_param) continue;
        for (uint32_t k = 0; k < n->n_operands; k++) operands[k] = map[n->operands[k]];
        ok = sizes_copy_node(to, from, n, s, operands, map);
    }
    for (size_t r = 0; ok && r < from->n_results; r++)
        ok = graph_add_result(to, from->results[r].name, map[from->results[r].value], from->results[r].state_param);
    return ok;
}

bool graph_fix_sizes(tn_graph *g, const sizes_fixed *s) {
    if (s->n == 0) return true;
    if (!check_sizes(g, s)) return false;
    uint32_t most = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].n_operands > most) most = g->nodes[i].n_operands;
    value_id *map = tn_malloc((g->n_values + 1) * sizeof *map), *operands = tn_malloc((most + 1) * sizeof *operands);
    tn_graph *to = map && operands ? module_add_graph(g->module, g->name) : NULL;
    bool ok = to ? copy_fixed(to, g, s, map, operands) : module_no_memory(g->module);
    if (ok) graph_take_content(g, to);
    tn_free(map);
    tn_free(operands);
    return ok;
}
