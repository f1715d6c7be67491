/* Modules as subjects of a reduction: a function built anew from parts of itself (see shrink.h).
 *
 * law: nodes keep their order and their places in the source; what an op's rule says of types holds again, or there is
 *      no such function
 */
#include "compiler/shrink.h"

#include "ir/grad.h"
#include "ir/hash.h"
#include "ir/op.h"

#include <string.h>

/* ---- Sizes and data --------------------------------------------------------------------------------- */

/* What is at the corner of the former data of each axis; the new extents are at most the former ones. */
static void copy_corner(const tn_module *m, const tensor_data *from, const tn_type *type, char *to) {
    int64_t old_dims[TN_MAX_RANK], new_dims[TN_MAX_RANK], index[TN_MAX_RANK] = {0};
    size_t each = (size_t)tn_dtype_bits((tn_dtype)type->dtype) / 8;
    for (int i = 0; i < type->rank; i++) {
        dim_is_const(m->dims, from->type.dims[i], &old_dims[i]);
        dim_is_const(m->dims, type->dims[i], &new_dims[i]);
        if (new_dims[i] == 0) return;
    }
    for (int axis = 0; axis >= 0; to += each) {
        int64_t at = 0;
        for (int i = 0; i < type->rank; i++) at = at * old_dims[i] + index[i];
        memcpy(to, (const char *)from->data + (size_t)at * each, each);
        for (axis = type->rank - 1; axis >= 0 && ++index[axis] == new_dims[axis]; axis--) index[axis] = 0;
    }
}

static bool is_within(const tn_module *m, const tn_type *type, const tn_type *within) {
    for (int i = 0; i < type->rank; i++) {
        int64_t a, b;
        if (!dim_is_const(m->dims, type->dims[i], &a) || !dim_is_const(m->dims, within->dims[i], &b) || a > b)
            return false;
    }
    return true;
}

/* The data with the extents of `type`; NULL: it cannot be, or no memory. */
static const tensor_data *shrink_data(tn_module *m, const tensor_data *data, const tn_type *type) {
    size_t bytes;
    if (type_equal(&data->type, type)) return data;
    bool is_whole = tn_dtype_bits((tn_dtype)type->dtype) % 8 == 0;
    if (!is_whole || !is_within(m, type, &data->type) || !type_static_bytes(m->dims, type, &bytes)) return NULL;
    char *made = tn_calloc(bytes + 1, 1);
    if (!made) return NULL;
    copy_corner(m, data, type, made);
    const tensor_data *shrunk = module_constant(m, type, made, true);
    tn_free(made);
    return shrunk;
}

/* Constants are replaced where a whole extent is one; symbols within expressions too. */
static tn_dim new_dim(const tn_graph *g, const graph_edit *e, tn_dim d) {
    dim_table *t = g->module->dims;
    for (int i = 0; i < e->n_dims; i++)
        if (e->from[i] == d) return e->to[i];
    for (int i = 0; i < e->n_dims; i++)
        if (dim_symbol_name(t, e->from[i])) d = dim_substitute(t, d, &e->from[i], &e->to[i], 1);
    return d;
}

static tn_type new_type(const tn_graph *g, const graph_edit *e, const tn_type *type) {
    tn_type made = *type;
    for (int i = 0; i < type->rank; i++) made.dims[i] = new_dim(g, e, type->dims[i]);
    return made;
}

/* ---- What is needed ----------------------------------------------------------------------------------- */

static value_edit edit_of(const graph_edit *e, value_id v) { return e->what ? (value_edit)e->what[v] : VALUE_KEPT; }

/* By its node, or what stands for that. */
static bool is_made(const graph_edit *e, value_id v) {
    return edit_of(e, v) == VALUE_KEPT || edit_of(e, v) == VALUE_INLINED;
}

static bool is_result_kept(const graph_edit *e, size_t r) { return !e->drops || !e->drops[r]; }

/* Values that results need, a byte each. */
static uint8_t *find_needed(const tn_graph *g, const graph_edit *e) {
    uint8_t *needed = tn_calloc(g->n_values + 1, 1);
    if (!needed) return NULL;
    for (size_t r = 0; e->results && r < e->n_results; r++) needed[e->results[r]] = 1;
    for (size_t r = 0; !e->results && r < g->n_results; r++)
        if (is_result_kept(e, r)) needed[g->results[r].value] = 1;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const node *n = &g->nodes[i];
        bool is_live = op_table[n->op].loop_class == CLASS_EFFECT && is_made(e, n->first_result);
        for (uint32_t k = 0; k < n->n_results; k++) {
            value_id v = n->first_result + k;
            if (needed[v] && edit_of(e, v) == VALUE_REPLACED) needed[e->instead[v]] = 1;
            is_live |= needed[v] && is_made(e, v);
        }
        if (!is_live) continue;
        for (uint32_t k = 0; k < n->n_results; k++) needed[n->first_result + k] |= is_made(e, n->first_result + k);
        for (uint32_t k = 0; k < n->n_operands; k++) needed[n->operands[k]] = 1;
    }
    return needed;
}

/* ---- Building ------------------------------------------------------------------------------------------- */

typedef struct rebuild {
    tn_graph *from, *to;
    const graph_edit *edit;
    uint8_t *needed;
    value_id *map;
    int32_t *params; /* new number of each parameter, -1: it is gone */
    bool is_main;
} rebuild;

/* A state is one only beside its next value, which add_results says again. */
static bool add_param(rebuild *b, size_t i) {
    const param *p = &b->from->params[i];
    tn_type type = new_type(b->from, b->edit, &p->type);
    value_edit what = edit_of(b->edit, p->value);
    b->params[i] = -1;
    if (b->is_main && (!b->needed[p->value] || what == VALUE_ZERO)) return true;
    value_id v = graph_add_param(b->to, p->name, &type, p->binding == BINDING_STATE ? BINDING_RUN : p->binding);
    if (v == VALUE_NONE) return false;
    b->params[i] = (int32_t)b->to->n_params - 1;
    param *made = &b->to->params[b->params[i]];
    made->initial = b->edit->data ? b->edit->data[p->value] : p->initial;
    if (made->initial && !(made->initial = shrink_data(b->to->module, made->initial, &type))) return false;
    b->map[p->value] = v;
    return true;
}

/* Parameters of their own names: random inputs are made by name. */
static bool add_input(rebuild *b, value_id v) {
    tn_type type = new_type(b->from, b->edit, graph_type(b->from, v));
    if (!b->is_main || type.dtype == TN_TOKEN) return false;
    return (b->map[v] = graph_add_param(b->to, NULL, &type, BINDING_RUN)) != VALUE_NONE;
}

static bool add_zeros(rebuild *b, value_id v) {
    tn_type type = new_type(b->from, b->edit, graph_type(b->from, v));
    return type.dtype != TN_TOKEN && (b->map[v] = grad_zeros_of(b->to, &type).id) != VALUE_NONE;
}

/* Values that become something else; those that are kept are left to copy_node. */
static bool edit_value(rebuild *b, value_id v) {
    if (!b->needed[v] || b->map[v] != VALUE_NONE) return true;
    switch (edit_of(b->edit, v)) {
    case VALUE_INPUT: return add_input(b, v);
    case VALUE_ZERO: return add_zeros(b, v);
    case VALUE_REPLACED: return (b->map[v] = b->map[b->edit->instead[v]]) != VALUE_NONE;
    default: return true;
    }
}

static bool new_attr(rebuild *b, const node *n, const attr *from, attr *to) {
    tn_module *m = b->to->module;
    *to = *from;
    switch (attr_kind_of((attr_name)from->name)) {
    case ATTR_KIND_DIM: to->dim = new_dim(b->from, b->edit, from->dim); return true;
    case ATTR_KIND_DIMS: {
        tn_dim *dims = ARENA_ARRAY(&m->memory, tn_dim, from->dims.n + 1);
        for (uint32_t i = 0; dims && i < from->dims.n; i++) dims[i] = new_dim(b->from, b->edit, from->dims.items[i]);
        to->dims.items = dims;
        return dims != NULL;
    }
    case ATTR_KIND_DATA: {
        tn_type type = new_type(b->from, b->edit, &from->data->type);
        const tensor_data *data = b->edit->data ? b->edit->data[n->first_result] : from->data;
        return (to->data = shrink_data(m, data ? data : from->data, &type)) != NULL;
    }
    default: return true;
    }
}

static bool copy_node(rebuild *b, const node *n) {
    attr attrs[OP_MAX_ATTRS];
    node changed = *n;
    for (uint32_t i = 0; i < n->attrs.n; i++)
        if (!new_attr(b, n, &n->attrs.items[i], &attrs[i])) return false;
    changed.attrs.items = attrs;
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (b->map[n->operands[k]] == VALUE_NONE) return false;
    return graph_copy_node(b->to, b->from, &changed, b->map);
}

/* ---- Control ops in line ---- */

/* The nodes of `callee` with its parameters given; its results in results[]. */
static bool inline_function(rebuild *b, const node *n, const tn_graph *callee, const value_id *given,
                            value_id *results) {
    const tn_dim *symbols = node_callee_symbols(n, callee);
    tn_dim *from = tn_calloc(callee->n_symbols + 1, sizeof *from), *to = tn_calloc(callee->n_symbols + 1, sizeof *to);
    value_id *map = tn_malloc((callee->n_values + 1) * sizeof *map);
    bool ok = from && to && map && (symbols || callee->n_symbols == 0);
    for (size_t i = 0; ok && i < callee->n_symbols; i++) {
        from[i] = callee->symbols[i].dim;
        to[i] = new_dim(b->from, b->edit, symbols[i]);
    }
    graph_edit edit = {.from = from, .to = to, .n_dims = (int)callee->n_symbols};
    rebuild inner = {.from = (tn_graph *)(uintptr_t)callee, .to = b->to, .edit = &edit, .map = map};
    if (ok) memset(map, 0xff, (callee->n_values + 1) * sizeof *map);
    for (size_t i = 0; ok && i < callee->n_params; i++) map[callee->params[i].value] = given[i];
    for (size_t i = 0; ok && i < callee->n_nodes; i++)
        if (callee->nodes[i].op != TN_OP_param) ok = copy_node(&inner, &callee->nodes[i]);
    for (size_t i = 0; ok && i < callee->n_results; i++) results[i] = map[callee->results[i].value];
    tn_free(from);
    tn_free(to);
    tn_free(map);
    return ok;
}

/* One element of a sequence, the first; and a sequence of nothing but one element. */
static value_id first_element(rebuild *b, value_id sequence) {
    tn_val all = {b->to, sequence}, first = tn_slice(all, 0, 0, 1, 1);
    const tn_type *type = graph_type(b->to, sequence);
    return tn_reshape_dims(first, type->rank - 1, type->dims + 1).id;
}

static value_id repeat_element(rebuild *b, value_id element, const tn_type *like) {
    tn_type type = new_type(b->from, b->edit, like);
    tn_val v = {b->to, element};
    return tn_broadcast_to(v, type.rank, type.dims).id;
}

/* The first round of a scan, for each. */
static bool inline_scan(rebuild *b, const node *n, const tn_graph *body, value_id *given, value_id *results) {
    uint32_t carried = (uint32_t)attr_int(&n->attrs, ATTR_carried, 0);
    for (uint32_t i = carried; i < n->n_operands; i++) given[i] = first_element(b, given[i]);
    if (!inline_function(b, n, body, given, results)) return false;
    for (uint32_t i = carried; i < n->n_results; i++)
        results[i] = repeat_element(b, results[i], graph_type(b->from, n->first_result + i));
    return true;
}

static bool inline_node(rebuild *b, const node *n) {
    static const attr_name bodies[] = {
        [TN_OP_call] = ATTR_callee, [TN_OP_if] = ATTR_then, [TN_OP_while] = ATTR_body, [TN_OP_scan] = ATTR_body};
    const attr *body = attr_find(&n->attrs, bodies[n->op]);
    value_id *given = tn_malloc((n->n_operands + 1) * sizeof *given);
    uint32_t skip = n->op == TN_OP_if;
    bool ok = given && body;
    for (uint32_t k = skip; ok && k < n->n_operands; k++) ok = (given[k - skip] = b->map[n->operands[k]]) != VALUE_NONE;
    value_id *results = &b->map[n->first_result];
    if (ok && n->op == TN_OP_scan)
        ok = inline_scan(b, n, body->func, given, results);
    else
        ok = ok && inline_function(b, n, body->func, given, results);
    tn_free(given);
    return ok;
}

static bool make_node(rebuild *b, const node *n) {
    return edit_of(b->edit, n->first_result) == VALUE_INLINED ? inline_node(b, n) : copy_node(b, n);
}

static bool add_node(rebuild *b, const node *n) {
    bool is_live = false, ok = true;
    for (uint32_t k = 0; k < n->n_results; k++)
        is_live |= b->needed[n->first_result + k] && is_made(b->edit, n->first_result + k);
    location_id former = graph_set_origin(b->to, n->locations);
    if (is_live && n->op != TN_OP_param) ok = make_node(b, n);
    /* Of a node with several results some may be kept and others not. */
    for (uint32_t k = 0; ok && k < n->n_results; k++) {
        value_id v = n->first_result + k;
        if (!is_made(b->edit, v) && n->op != TN_OP_param) b->map[v] = VALUE_NONE;
        ok = edit_value(b, v);
    }
    graph_set_origin(b->to, former);
    return ok;
}

static bool add_results(rebuild *b) {
    const graph_edit *e = b->edit;
    for (size_t r = 0; e->results && r < e->n_results; r++) {
        value_id v = b->map[e->results[r]];
        if (v == VALUE_NONE || !graph_add_result(b->to, NULL, v, -1)) return false;
    }
    for (size_t r = 0; !e->results && r < b->from->n_results; r++) {
        const result *old = &b->from->results[r];
        if (!is_result_kept(e, r)) continue;
        int32_t state = old->state_param < 0 ? -1 : b->params[old->state_param];
        value_id v = b->map[old->value];
        if (v == VALUE_NONE) return false;
        bool fits = state >= 0 && type_equal(&b->to->params[state].type, graph_type(b->to, v));
        if (!graph_add_result(b->to, old->name, v, fits ? state : -1)) return false;
    }
    return b->to->n_results > 0;
}

/* What is known of symbols that are still there. */
static void copy_bounds(rebuild *b) {
    for (size_t i = 0; i < b->to->n_symbols && !b->edit->without_bounds; i++)
        for (size_t k = 0; k < b->from->n_symbols; k++)
            if (b->to->symbols[i].dim == b->from->symbols[k].dim) b->to->symbols[i] = b->from->symbols[k];
}

static bool build(rebuild *b) {
    b->to->is_kernel = b->from->is_kernel;
    b->to->remat = b->from->remat;
    b->to->gradient = b->from->gradient;
    if (!b->is_main && !graph_copy_symbols(b->to, b->from)) return false;
    for (size_t i = 0; i < b->from->n_params; i++)
        if (edit_of(b->edit, b->from->params[i].value) != VALUE_REPLACED && !add_param(b, i)) return false;
    copy_bounds(b);
    for (size_t i = 0; i < b->from->n_nodes; i++)
        if (!add_node(b, &b->from->nodes[i])) return false;
    return add_results(b);
}

static bool rebuild_function(tn_graph *g, const graph_edit *edit) {
    tn_module *m = g->module;
    rebuild b = {.from = g, .edit = edit, .is_main = g == module_main(m)};
    b.needed = find_needed(g, edit);
    b.map = tn_malloc((g->n_values + 1) * sizeof *b.map);
    b.params = tn_calloc(g->n_params + 1, sizeof *b.params);
    bool ok = b.needed && b.map && b.params && (b.to = module_add_graph(m, g->name)) != NULL;
    if (ok) {
        memset(b.map, 0xff, (g->n_values + 1) * sizeof *b.map);
        ok = build(&b) && m->error.status == TN_OK;
    }
    if (ok) graph_take_content(g, b.to);
    tn_free(b.needed);
    tn_free(b.map);
    tn_free(b.params);
    return ok;
}

static bool reads_weight(const tn_graph *main, const char *name) {
    for (size_t i = 0; i < main->n_params; i++)
        if (main->params[i].binding == BINDING_LOAD && strcmp(main->params[i].name, name) == 0) return true;
    return false;
}

/* What `prepare` makes is what main reads. */
static bool trim_prepare(tn_module *m, tn_graph *prepare) {
    size_t left = 0;
    bool *drops = tn_calloc(prepare->n_results + 1, sizeof *drops), ok = drops != NULL;
    for (size_t r = 0; ok && r < prepare->n_results; r++) {
        drops[r] = !reads_weight(module_main(m), prepare->results[r].name);
        left += !drops[r];
    }
    if (ok && left > 0 && left < prepare->n_results) ok = rebuild_function(prepare, &(graph_edit){.drops = drops});
    if (ok && left == 0) module_remove_graph(m, prepare);
    tn_free(drops);
    return ok;
}

bool shrink_rebuild(tn_graph *g, const graph_edit *edit) {
    tn_module *m = g->module;
    if (!rebuild_function(g, edit)) return false;
    tn_graph *prepare = module_find(m, "prepare");
    return (!prepare || g != module_main(m) || trim_prepare(m, prepare)) &&
           module_remove_uncalled(m, module_main(m), module_find(m, "prepare"));
}

/* ---- The kind ----------------------------------------------------------------------------------------------- */

size_t module_count_nodes(const tn_module *m) {
    size_t n = 0;
    for (size_t i = 0; i < m->n_graphs; i++)
        for (size_t k = 0; k < m->graphs[i]->n_nodes; k++) n += m->graphs[i]->nodes[k].op != TN_OP_param;
    return n;
}

static double count_elements(const tn_module *m, const tn_type *type) {
    enum { UNKNOWN_EXTENT = 1 << 16 }; /* a size that is fixed is always the smaller one */
    double n = 1;
    for (int i = 0; i < type->rank; i++) {
        int64_t extent = UNKNOWN_EXTENT;
        dim_is_const(m->dims, type->dims[i], &extent);
        n *= (double)extent;
    }
    return n;
}

/* Elements that are all the same need no data to be told. */
static bool is_splat(const tensor_data *d, size_t each) {
    return each == 0 || d->bytes <= each || memcmp(d->data, (const char *)d->data + each, d->bytes - each) == 0;
}

static size_t data_bytes(const tensor_data *d) {
    size_t each = (size_t)tn_dtype_bits((tn_dtype)d->type.dtype) / 8;
    return is_splat(d, each) ? each : d->bytes;
}

static void measure(const void *subject, shrink_size *size) {
    const tn_module *m = subject;
    const tn_graph *main = module_main(m);
    *size = (shrink_size){.nodes = module_count_nodes(m), .ends = main->n_params + main->n_results};
    for (size_t i = 0; i < m->n_graphs; i++) {
        const tn_graph *g = m->graphs[i];
        for (size_t v = 0; v < g->n_values; v++) size->elements += count_elements(m, &g->values[v].type);
        size->elements += 1e-3 * (double)g->n_constraints;
        for (size_t k = 0; k < g->n_params; k++)
            if (g->params[k].initial) size->bytes += data_bytes(g->params[k].initial);
        for (size_t k = 0; k < g->n_nodes; k++)
            if (g->nodes[k].op == TN_OP_constant) size->bytes += data_bytes(g->nodes[k].attrs.items[0].data);
    }
}

static uint64_t hash_type(uint64_t hash, const tn_module *m, const tn_type *type) {
    char text[512];
    type_print(m->dims, type, text, sizeof text);
    return hash_bytes(hash, text, strlen(text));
}

static uint64_t hash_dims(uint64_t hash, const tn_module *m, const tn_dim *dims, uint32_t n) {
    char text[256];
    for (uint32_t i = 0; i < n; i++) {
        dim_print(m->dims, dims[i], text, sizeof text);
        hash = hash_bytes(hash, text, strlen(text));
    }
    return hash;
}

static uint64_t hash_attr(uint64_t hash, const tn_module *m, const attr *a) {
    hash = hash_mix(hash, a->name);
    switch (attr_kind_of((attr_name)a->name)) {
    case ATTR_KIND_INTS:
    case ATTR_KIND_PAIR: return hash_bytes(hash_mix(hash, a->split), a->ints.items, a->ints.n * sizeof(int64_t));
    case ATTR_KIND_DIM: return hash_dims(hash, m, &a->dim, 1);
    case ATTR_KIND_DIMS: return hash_dims(hash, m, a->dims.items, a->dims.n);
    case ATTR_KIND_FLOAT: return hash_bytes(hash, &a->f, sizeof a->f);
    case ATTR_KIND_TEXT: return hash_bytes(hash, a->text, strlen(a->text));
    case ATTR_KIND_FUNC: return hash_mix(hash, module_number_of(m, a->func));
    case ATTR_KIND_DATA: return hash_mix(hash, a->data->hash);
    default: return hash_mix(hash, (uint64_t)a->i);
    }
}

static uint64_t hash_function(uint64_t hash, const tn_module *m, const tn_graph *g) {
    for (size_t i = 0; i < g->n_params; i++) {
        hash = hash_bytes(hash_type(hash, m, &g->params[i].type), g->params[i].name, strlen(g->params[i].name));
        hash = hash_mix(hash, g->params[i].initial ? g->params[i].initial->hash : 0);
    }
    for (size_t i = 0; i < g->n_symbols; i++) {
        const int64_t known[] = {g->symbols[i].low, g->symbols[i].high, g->symbols[i].divisor};
        hash = hash_bytes(hash, known, sizeof known);
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        hash = hash_bytes(hash_mix(hash, n->op), n->operands, n->n_operands * sizeof *n->operands);
        for (uint32_t k = 0; k < n->attrs.n; k++) hash = hash_attr(hash, m, &n->attrs.items[k]);
    }
    for (size_t i = 0; i < g->n_results; i++)
        hash = hash_mix(hash_mix(hash, g->results[i].value), (uint64_t)g->results[i].state_param);
    return hash;
}

static uint64_t hash_module(const void *subject) {
    const tn_module *m = subject;
    uint64_t hash = 1;
    for (size_t i = 0; i < m->n_graphs; i++) hash = hash_function(hash_mix(hash, i), m, m->graphs[i]);
    return hash;
}

static void *copy(void *subject) {
    tn_module *m = module_clone(subject);
    if (m && m->error.status != TN_OK) {
        tn_module_free(m);
        return NULL;
    }
    return m;
}

static void release(void *subject) { tn_module_free(subject); }

shrink_kind shrink_modules(void) {
    return (shrink_kind){.steps = shrink_module_steps,
                         .n_steps = n_shrink_module_steps,
                         .copy = copy,
                         .release = release,
                         .measure = measure,
                         .hash = hash_module};
}
