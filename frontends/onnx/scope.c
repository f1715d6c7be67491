/* Names of values while importing, and what is known of each value.
 *
 * in:  names of inputs, initializers and results of nodes
 * out: for a name its node (made when first asked for), its known content, its constant data
 * law: a name stands once in a scope; a scope's entries see those of its parents, which belong to
 *      the same function
 */
#include "frontends/onnx/import.h"
#include "ir/hash.h"

#include <string.h>

scope scope_open(importer *im, tn_graph *g, scope *parent, const frame *frame, const onnx_opset_list *opsets) {
    return (scope){.im = im, .g = g, .parent = parent, .frame = frame, .opsets = opsets};
}

void scope_close(scope *s) {
    tn_free(s->entries);
    tn_free(s->slots);
    s->entries = NULL;
    s->slots = NULL;
}

/* ---- Looking up -------------------------------------------------------------------------- */

static uint32_t *find_slot(const scope *s, const char *name) {
    size_t mask = s->n_slots - 1, at = hash_bytes(1, name, strlen(name)) & mask;
    while (s->slots[at] != 0 && strcmp(s->entries[s->slots[at] - 1].name, name) != 0) at = (at + 1) & mask;
    return &s->slots[at];
}

entry *scope_find(scope *s, const char *name) {
    for (; s; s = s->parent) {
        uint32_t slot = s->n_slots > 0 ? *find_slot(s, name) : 0;
        if (slot != 0) return &s->entries[slot - 1];
    }
    return NULL;
}

void scope_offer(const scope *s, near_names *near) {
    for (; s; s = s->parent)
        for (size_t i = 0; i < s->n_entries; i++) near_offer(near, s->entries[i].name);
}

static bool reserve_slots(scope *s) {
    if (s->n_entries * 4 < s->n_slots * 3) return true;
    size_t former = s->n_slots;
    uint32_t *old = s->slots, *slots = tn_calloc(former ? former * 2 : 64, sizeof *slots);
    if (!slots) return false;
    s->slots = slots;
    s->n_slots = former ? former * 2 : 64;
    for (size_t i = 0; i < s->n_entries; i++) *find_slot(s, s->entries[i].name) = (uint32_t)i + 1;
    tn_free(old);
    return true;
}

entry *scope_add(scope *s, const char *name) {
    if (s->n_entries >= UINT32_MAX - 1 || !reserve_slots(s) ||
        !array_reserve((void **)&s->entries, &s->entries_capacity, s->n_entries + 1, sizeof *s->entries)) {
        import_no_memory(s->im);
        return NULL;
    }
    uint32_t *slot = find_slot(s, name);
    if (*slot != 0) {
        import_error(s->im, TN_ERR_PARSE, "two values are called '%.200s'", name);
        return NULL;
    }
    s->entries[s->n_entries] = (entry){.name = name, .value = {NULL, VALUE_NONE}};
    *slot = (uint32_t)++s->n_entries;
    return &s->entries[s->n_entries - 1];
}

/* ---- What an entry is -------------------------------------------------------------------- */

const tensor_data *entry_data(scope *s, entry *e) {
    if (e->data) return e->data;
    if (e->initializer) return e->data = import_tensor(s->im, e->initializer);
    if (!tn_is_valid(e->value)) return NULL;
    const node *made_by = graph_node_of(e->value.graph, e->value.id);
    return made_by->op == TN_OP_constant ? e->data = attr_find(&made_by->attrs, ATTR_value)->data : NULL;
}

/* ---- Weights ------------------------------------------------------------------------------- */

/* Weights are parameters of the main function, so that what a branch or a loop has of its own stays constant. */
static bool may_be_weight(const scope *s, const tensor_data *data) {
    return s->im->options.weights_replaceable && data->type.rank > 0 && dtype_is_float(data->type.dtype) &&
           s->g == module_main(s->im->module);
}

/* Some exporters (Paddle's) write all weights as Constant nodes, and the numbers of formulas (the 3 and the 6 of a
 * hard_swish) as well, with rank 1: these have one element, and stay constant. A local function's are part of what it
 * computes. */
bool scope_takes_weight(const scope *s, const tensor_data *data) {
    int64_t n;
    return may_be_weight(s, data) && !s->frame &&
           dim_is_const(import_dims(s->im), type_element_count(import_dims(s->im), &data->type), &n) && n > 1;
}

bool entry_is_weight(scope *s, entry *e) {
    return e->is_weight || (e->initializer && entry_data(s, e) && may_be_weight(s, e->data));
}

/* The entry's name, or that with a number behind it: branches that are known to be taken may have equal names. */
static const char *weight_name(scope *s, const char *name) {
    const char *unique = name;
    for (int number = 2; unique; number++) {
        bool is_taken = false;
        for (size_t i = 0; i < s->g->n_params && !is_taken; i++) is_taken = strcmp(s->g->params[i].name, unique) == 0;
        if (!is_taken) return unique;
        unique = arena_printf(&s->im->memory, "%s_%d", name, number);
    }
    import_no_memory(s->im);
    return NULL;
}

static tn_val add_weight(scope *s, const entry *e) {
    tn_shape shape = {.rank = e->data->type.rank};
    for (int i = 0; i < shape.rank; i++) dim_is_const(import_dims(s->im), e->data->type.dims[i], &shape.dims[i].value);
    const char *name = weight_name(s, e->name);
    if (!name) return (tn_val){NULL, VALUE_NONE};
    return tn_weight(s->g, name, (tn_dtype)e->data->type.dtype, shape, e->data->data);
}

/* ---- Contents and values ------------------------------------------------------------------- */

const known *entry_known(scope *s, entry *e) {
    if (e->known) return e->known;
    const tensor_data *data = entry_data(s, e);
    return data && !entry_is_weight(s, e) ? e->known = known_from_data(s->im, data) : NULL;
}

tn_val entry_value(scope *s, entry *e) {
    if (tn_is_valid(e->value) || import_failed(s->im)) return e->value;
    if (e->known) return e->value = known_value(s, e->known);
    if (!entry_data(s, e)) return e->value;
    e->value = entry_is_weight(s, e) ? add_weight(s, e) : import_constant(s, e->data);
    return e->value;
}
