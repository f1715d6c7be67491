/* Appending nodes: the one way a graph grows.
 *
 * in:  an op, operands, attributes
 * out: the node's results; of a pure op that was applied to the same things before, its
 *      former results
 * law: what stands in a graph satisfies its op's row: operand count, attributes and rule;
 *      a rejected node leaves no trace but a diagnostic
 */
#include "ir/hash.h"
#include "ir/rules.h"

#include <string.h>

/* ---- Checks ----------------------------------------------------------------------------------- */

typedef struct application {
    tn_graph *g;
    const op_info *info;
    rule_args rule;
    attr attrs[OP_MAX_ATTRS];
    tn_type few_types[8]; /* of the operands, when they are few */
    tn_type *types;
} application;

static bool check_graph(application *a) {
    if (a->g->is_called)
        return rule_error(&a->rule, TN_ERR_ARGUMENT, "@%s is called already and cannot grow", a->g->name);
    if (a->g->n_nodes >= GRAPH_MAX_NODES)
        return rule_error(&a->rule, TN_ERR_LIMIT, "@%s has %d nodes, the limit", a->g->name, GRAPH_MAX_NODES);
    /* A kernel is one unit of work: control stays above it. */
    if (a->g->is_kernel && a->info->loop_class == CLASS_CONTROL && a->rule.op != TN_OP_barrier)
        return rule_error(&a->rule, TN_ERR_ARGUMENT, "@%s is a kernel, which calls nothing: leave the word kernel out",
                          a->g->name);
    return true;
}

static bool check_operands(application *a) {
    rule_args *c = &a->rule;
    const op_info *info = a->info;
    if (c->n_operands < (uint32_t)info->min_operands || c->n_operands > (uint32_t)info->max_operands) {
        const char *how = info->max_operands == info->min_operands       ? ""
                          : c->n_operands < (uint32_t)info->min_operands ? "at least "
                                                                         : "at most ";
        int32_t wanted = c->n_operands < (uint32_t)info->min_operands ? info->min_operands : info->max_operands;
        return rule_error(c, TN_ERR_ARGUMENT, "takes %s%d operand%s, not %u", how, wanted, wanted == 1 ? "" : "s",
                          (unsigned)c->n_operands);
    }
    bool takes_tokens = info->loop_class == CLASS_CONTROL || info->loop_class == CLASS_EFFECT;
    a->types = a->few_types;
    if (c->n_operands > sizeof a->few_types / sizeof *a->few_types)
        a->types = tn_malloc(c->n_operands * sizeof *a->types);
    if (!a->types) return module_no_memory(a->g->module);
    c->types = a->types;
    for (uint32_t i = 0; i < c->n_operands; i++) {
        if (c->operands[i] >= a->g->n_values)
            return rule_error(c, TN_ERR_ARGUMENT, "operand %u is no value of @%s", (unsigned)i, a->g->name);
        a->types[i] = *graph_type(a->g, c->operands[i]);
        if (a->types[i].dtype == TN_TOKEN && !takes_tokens)
            return rule_error(c, TN_ERR_DTYPE, "operand %u is a token", (unsigned)i);
    }
    return true;
}

static const attr_spec *find_spec(const op_info *info, unsigned name) {
    for (uint32_t i = 0; i < info->n_attrs; i++)
        if (info->attrs[i].name == name) return &info->attrs[i];
    return NULL;
}

/* Absent attributes read as 0 or empty, so that one which says just that is left out: equal
 * nodes have equal attributes. (Floats and dtypes have other defaults.) */
static bool says_nothing(const attr *item) {
    switch (attr_kind_of(item->name)) {
    case ATTR_KIND_INT: return item->i == 0;
    case ATTR_KIND_INTS:
    case ATTR_KIND_PAIR: return item->ints.n == 0;
    case ATTR_KIND_DIMS: return item->dims.n == 0;
    default: return false;
    }
}

/* Symbols in a dim must be symbols of the function. */
typedef struct leaf_check {
    const tn_graph *g;
    tn_dim stranger;
} leaf_check;

static bool leaf_is_known(void *ctx, tn_dim leaf) {
    leaf_check *check = ctx;
    for (size_t i = 0; i < check->g->n_symbols; i++)
        if (check->g->symbols[i].dim == leaf) return true;
    check->stranger = leaf;
    return false;
}

static bool check_dim(application *a, const char *what, tn_dim d) {
    if (!dim_is_valid(a->g->module->dims, d))
        return rule_error(&a->rule, d == DIM_INVALID ? TN_ERR_LIMIT : TN_ERR_ARGUMENT,
                          "%s has a size that is not valid", what);
    leaf_check check = {a->g, DIM_INVALID};
    if (dim_is_const(a->g->module->dims, d, NULL)) return true;
    dim_visit_leaves(a->g->module->dims, d, leaf_is_known, &check);
    if (check.stranger == DIM_INVALID) return true;
    const char *name = dim_symbol_name(a->g->module->dims, check.stranger);
    return rule_error(&a->rule, TN_ERR_SHAPE, "%s has the symbol %s, which is no dim of a parameter of @%s", what,
                      name ? name : "of a loop", a->g->name);
}

static bool check_attr_value(application *a, const attr *item) {
    rule_args *c = &a->rule;
    const char *name = attr_name_text(item->name);
    switch (attr_kind_of(item->name)) {
    case ATTR_KIND_ENUM:
        return attr_option(item->name, item->i) ? true : rule_error(c, TN_ERR_ARGUMENT, "%s has no such value", name);
    case ATTR_KIND_DTYPE:
        return item->i >= 0 && item->i < TN_DTYPE_COUNT ? true : rule_error(c, TN_ERR_DTYPE, "%s is no dtype", name);
    case ATTR_KIND_DIM: return check_dim(a, name, item->dim);
    case ATTR_KIND_DIMS:
        for (uint32_t i = 0; i < item->dims.n; i++)
            if (!check_dim(a, name, item->dims.items[i])) return false;
        return true;
    case ATTR_KIND_PAIR:
        return item->split <= item->ints.n ? true : rule_error(c, TN_ERR_ARGUMENT, "%s is split past its end", name);
    case ATTR_KIND_TEXT: return item->text ? true : rule_error(c, TN_ERR_ARGUMENT, "%s is no text", name);
    case ATTR_KIND_DATA: return item->data ? true : rule_error(c, TN_ERR_ARGUMENT, "%s is no data", name);
    case ATTR_KIND_FUNC:
        return item->func && item->func->module == a->g->module
                   ? true
                   : rule_error(c, TN_ERR_ARGUMENT, "%s is no function of this module", name);
    case ATTR_KIND_INT:
    case ATTR_KIND_INTS:
    case ATTR_KIND_FLOAT: return true;
    }
    return true;
}

/* Sorts the attributes by name into the application and checks them against the op's row. */
static bool check_attrs(application *a, const attr *attrs, uint32_t n) {
    rule_args *c = &a->rule;
    for (uint32_t i = 0; i < n; i++) {
        const attr_spec *spec = attrs[i].name < ATTR_COUNT ? find_spec(a->info, attrs[i].name) : NULL;
        if (!spec) {
            char known[200];
            return rule_error(c, TN_ERR_ARGUMENT, "has no attribute %s (it has %s)", attr_name_text(attrs[i].name),
                              op_attributes_text(c->op, known, sizeof known));
        }
        if (attr_find(&c->attrs, attrs[i].name))
            return rule_error(c, TN_ERR_ARGUMENT, "attribute %s is given twice", attr_name_text(attrs[i].name));
        if (!check_attr_value(a, &attrs[i])) return false;
        if (!spec->required && says_nothing(&attrs[i])) continue;
        uint32_t at = c->attrs.n++;
        for (; at > 0 && a->attrs[at - 1].name > attrs[i].name; at--) a->attrs[at] = a->attrs[at - 1];
        a->attrs[at] = attrs[i];
    }
    for (uint32_t i = 0; i < a->info->n_attrs; i++)
        if (a->info->attrs[i].required && !attr_find(&c->attrs, a->info->attrs[i].name))
            return rule_error(c, TN_ERR_ARGUMENT, "attribute %s is missing", attr_name_text(a->info->attrs[i].name));
    /* A text's address is its identity. */
    for (uint32_t i = 0; i < c->attrs.n; i++)
        if (attr_kind_of(a->attrs[i].name) == ATTR_KIND_TEXT &&
            !(a->attrs[i].text = module_intern(a->g->module, a->attrs[i].text)))
            return false;
    return true;
}

/* ---- Results ---------------------------------------------------------------------------------- */

static bool check_result_dim(application *a, tn_dim d) {
    dim_table *dims = a->g->module->dims;
    int64_t extent;
    if (d == DIM_INVALID) {
        bool no_memory = dim_table_status(dims) == TN_ERR_MEMORY;
        dim_table_clear_status(dims);
        return no_memory ? module_no_memory(a->g->module)
                         : rule_error(&a->rule, TN_ERR_LIMIT, "the size of an axis does not fit in 63 bits");
    }
    if (dim_is_const(dims, d, &extent) && extent < 0)
        return rule_error(&a->rule, TN_ERR_SHAPE, "an axis would have %lld elements", (long long)extent);
    return check_dim(a, "the result", d);
}

static bool check_results(application *a) {
    dim_table *dims = a->g->module->dims;
    for (uint32_t i = 0; i < a->rule.n_results; i++) {
        const tn_type *type = &a->rule.results[i];
        for (int axis = 0; axis < type->rank; axis++)
            if (!check_result_dim(a, type->dims[axis])) return false;
        size_t bytes;
        bool too_large = type_is_static(dims, type) && !type_static_bytes(dims, type, &bytes);
        if (!too_large && type_element_count(dims, type) != DIM_INVALID) continue;
        bool no_memory = dim_table_status(dims) == TN_ERR_MEMORY;
        dim_table_clear_status(dims);
        if (no_memory) return module_no_memory(a->g->module);
        char text[256];
        type_print(dims, type, text, sizeof text);
        return rule_error(&a->rule, TN_ERR_LIMIT, "the result %s is too large", text);
    }
    return true;
}

/* ---- Interning -------------------------------------------------------------------------------- */

static bool calls_effects(const attr_list *attrs) {
    for (uint32_t i = 0; i < attrs->n; i++)
        if (attr_kind_of(attrs->items[i].name) == ATTR_KIND_FUNC && attrs->items[i].func->has_effects) return true;
    return false;
}

static bool is_interned(tn_op op, const attr_list *attrs) {
    return op_table[op].loop_class != CLASS_EFFECT && op != TN_OP_barrier && !calls_effects(attrs);
}

static uint64_t hash_attr(uint64_t hash, const attr *item) {
    hash = hash_mix(hash, item->name);
    switch (attr_kind_of(item->name)) {
    case ATTR_KIND_DIMS: return hash_bytes(hash, item->dims.items, item->dims.n * sizeof *item->dims.items);
    case ATTR_KIND_INTS:
    case ATTR_KIND_PAIR: return hash_bytes(hash, item->ints.items, item->ints.n * sizeof *item->ints.items);
    case ATTR_KIND_DIM: return hash_mix(hash, item->dim);
    case ATTR_KIND_FLOAT: return hash_bytes(hash, &item->f, sizeof item->f);
    case ATTR_KIND_TEXT: return hash_mix(hash, (uintptr_t)item->text);
    case ATTR_KIND_FUNC: return hash_mix(hash, (uintptr_t)item->func);
    case ATTR_KIND_DATA: return hash_mix(hash, (uintptr_t)item->data);
    default: return hash_mix(hash, (uint64_t)item->i);
    }
}

static uint64_t hash_node(unsigned op, const value_id *operands, uint32_t n_operands, const attr_list *attrs) {
    uint64_t hash = hash_bytes(op, operands, n_operands * sizeof *operands);
    for (uint32_t i = 0; i < attrs->n; i++) hash = hash_attr(hash, &attrs->items[i]);
    return hash;
}

static bool same_node(const node *a, const rule_args *c) {
    if (a->op != c->op || a->n_operands != c->n_operands || a->attrs.n != c->attrs.n) return false;
    for (uint32_t i = 0; i < a->n_operands; i++)
        if (a->operands[i] != c->operands[i]) return false;
    for (uint32_t i = 0; i < a->attrs.n; i++)
        if (!attr_equal(&a->attrs.items[i], &c->attrs.items[i])) return false;
    return true;
}

/* Makes room for one more; false: no memory. */
static bool intern_reserve(tn_graph *g) {
    if (g->n_interned * 4 < g->intern_capacity * 3) return true;
    size_t capacity = g->intern_capacity ? g->intern_capacity * 2 : 64;
    uint32_t *slots = tn_calloc(capacity, sizeof *slots);
    if (!slots) return module_no_memory(g->module);
    for (size_t i = 0; i < g->intern_capacity; i++) {
        if (g->intern[i] == 0) continue;
        const node *n = &g->nodes[g->intern[i] - 1];
        size_t to = hash_node(n->op, n->operands, n->n_operands, &n->attrs) & (capacity - 1);
        while (slots[to] != 0) to = (to + 1) & (capacity - 1);
        slots[to] = g->intern[i];
    }
    tn_free(g->intern);
    g->intern = slots;
    g->intern_capacity = capacity;
    return true;
}

/* The slot of the equal node, or the free one (content 0) where it would go. */
static uint32_t *intern_slot_of(tn_graph *g, const rule_args *c) {
    size_t at = hash_node(c->op, c->operands, c->n_operands, &c->attrs) & (g->intern_capacity - 1);
    while (g->intern[at] != 0 && !same_node(&g->nodes[g->intern[at] - 1], c)) at = (at + 1) & (g->intern_capacity - 1);
    return &g->intern[at];
}

/* ---- Appending -------------------------------------------------------------------------------- */

static const void *copy_items(tn_module *m, const void *items, uint32_t n, size_t bytes_each) {
    void *copy = arena_alloc(&m->memory, n ? n : 1, bytes_each);
    if (copy && n > 0) memcpy(copy, items, n * bytes_each);
    return copy;
}

static bool copy_attrs(tn_module *m, const attr_list *from, attr_list *to) {
    attr *items = ARENA_ARRAY(&m->memory, attr, from->n ? from->n : 1);
    if (!items) return false;
    for (uint32_t i = 0; i < from->n; i++) {
        attr *item = &items[i];
        *item = from->items[i];
        const void *list = NULL;
        switch (attr_kind_of(item->name)) {
        case ATTR_KIND_INTS:
        case ATTR_KIND_PAIR:
            list = copy_items(m, item->ints.items, item->ints.n, sizeof *item->ints.items);
            item->ints.items = list;
            break;
        case ATTR_KIND_DIMS:
            list = copy_items(m, item->dims.items, item->dims.n, sizeof *item->dims.items);
            item->dims.items = list;
            break;
        default: continue;
        }
        if (!list) return false;
    }
    *to = (attr_list){from->n, items};
    return true;
}

static void note_callees(tn_graph *g, const attr_list *attrs) {
    for (uint32_t i = 0; i < attrs->n; i++) {
        if (attr_kind_of(attrs->items[i].name) != ATTR_KIND_FUNC) continue;
        tn_graph *callee = attrs->items[i].func;
        callee->is_called = true;
        g->has_effects |= callee->has_effects;
        if (g->depth < callee->depth + 1) g->depth = callee->depth + 1;
    }
}

static bool append(application *a) {
    rule_args *c = &a->rule;
    tn_graph *g = a->g;
    tn_module *m = g->module;
    node made = {
        .op = (uint16_t)c->op,
        .n_operands = c->n_operands,
        .n_results = c->n_results,
        .operands = copy_items(m, c->operands, c->n_operands, sizeof *c->operands),
        .first_result = (value_id)g->n_values,
        .locations = c->where,
    };
    if (!made.operands || !copy_attrs(m, &c->attrs, &made.attrs) ||
        !array_reserve((void **)&g->nodes, &g->nodes_capacity, g->n_nodes + 1, sizeof *g->nodes) ||
        !array_reserve((void **)&g->values, &g->values_capacity, g->n_values + c->n_results, sizeof *g->values))
        return module_no_memory(m);
    for (uint32_t i = 0; i < c->n_results; i++)
        g->values[g->n_values++] = (value){.type = c->results[i], .node = (uint32_t)g->n_nodes, .result = i};
    g->nodes[g->n_nodes++] = made;
    g->has_effects |= a->info->loop_class == CLASS_EFFECT;
    note_callees(g, &made.attrs);
    return true;
}

static bool apply(application *a, const attr *attrs, uint32_t n_attrs, const node **made) {
    tn_graph *g = a->g;
    rule_args *c = &a->rule;
    if (!check_graph(a) || !check_operands(a) || !check_attrs(a, attrs, n_attrs)) return false;
    uint32_t *slot = NULL;
    if (is_interned(c->op, &c->attrs)) {
        if (!intern_reserve(g)) return false;
        slot = intern_slot_of(g, c);
        if (*slot != 0) {
            node *known = &g->nodes[*slot - 1];
            known->locations = location_union(g->module, known->locations, c->where);
            *made = known;
            return true;
        }
    }
    if (!a->info->rule(c) || !check_results(a) || !append(a)) return false;
    *made = &g->nodes[g->n_nodes - 1];
    if (slot) {
        *slot = (uint32_t)g->n_nodes;
        g->n_interned++;
    }
    return true;
}

bool graph_apply(tn_graph *g, location_id where, tn_op op, const value_id *operands, uint32_t n_operands,
                 const attr *attrs, uint32_t n_attrs, value_id *results, uint32_t results_capacity,
                 uint32_t *n_results) {
    if ((unsigned)op >= TN_OP_COUNT)
        return module_error(g->module, TN_ERR_ARGUMENT, where, "no op has the number %d", (int)op);
    application a = {.g = g, .info = &op_table[op]};
    a.rule = (rule_args){.graph = g, .op = op, .where = where, .n_operands = n_operands, .operands = operands};
    a.rule.attrs.items = a.attrs;
    const node *made = NULL;
    bool ok = apply(&a, attrs, n_attrs, &made);
    if (a.types != a.few_types) tn_free(a.types);
    if (n_results) *n_results = ok ? made->n_results : 0;
    for (uint32_t i = 0; results && i < results_capacity; i++)
        results[i] = ok && i < made->n_results ? made->first_result + i : VALUE_NONE;
    return ok;
}
