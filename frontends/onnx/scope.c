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

/* Initializers of numbers, when they are to be replaceable: their content is nothing to build on. */
static bool is_weight(const scope *s, const entry *e) {
    return s->im->options.weights_replaceable && e->initializer && e->data && e->data->type.rank > 0 &&
           dtype_is_float(e->data->type.dtype);
}

const known *entry_known(scope *s, entry *e) {
    if (e->known) return e->known;
    const tensor_data *data = entry_data(s, e);
    return data && !is_weight(s, e) ? e->known = known_from_data(s->im, data) : NULL;
}

static tn_val add_weight(scope *s, const entry *e) {
    tn_shape shape = {.rank = e->data->type.rank};
    for (int i = 0; i < shape.rank; i++) dim_is_const(import_dims(s->im), e->data->type.dims[i], &shape.dims[i].value);
    return tn_weight(s->g, e->name, (tn_dtype)e->data->type.dtype, shape, e->data->data);
}

tn_val entry_value(scope *s, entry *e) {
    if (tn_is_valid(e->value) || import_failed(s->im)) return e->value;
    if (e->known) return e->value = known_value(s, e->known);
    if (!entry_data(s, e)) return e->value;
    e->value = is_weight(s, e) ? add_weight(s, e) : import_constant(s, e->data);
    return e->value;
}
