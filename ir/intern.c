/* Interning of strings, constants and sets of source locations.
 *
 * in:  content
 * out: one address (or id) for equal content, alive as long as the module
 * law: two interned objects are equal exactly when their addresses are
 */
#include "ir/intern.h"

#include "ir/hash.h"

#include <string.h>

/* ---- The table ------------------------------------------------------------------------------ */

typedef bool same_fn(const void *item, const void *key);

/* The slot that holds `key`, or the free one where it goes; NULL: no memory. */
static intern_slot *table_slot(intern_table *t, uint64_t hash, const void *key, same_fn *same) {
    if (t->n * 4 >= t->capacity * 3) {
        intern_table bigger = {.capacity = t->capacity ? t->capacity * 2 : 64, .n = t->n};
        bigger.slots = tn_calloc(bigger.capacity, sizeof *bigger.slots);
        if (!bigger.slots) return NULL;
        for (size_t i = 0; i < t->capacity; i++) {
            if (!t->slots[i].item) continue;
            size_t to = t->slots[i].hash & (bigger.capacity - 1);
            while (bigger.slots[to].item) to = (to + 1) & (bigger.capacity - 1);
            bigger.slots[to] = t->slots[i];
        }
        tn_free(t->slots);
        *t = bigger;
    }
    size_t at = hash & (t->capacity - 1);
    while (t->slots[at].item && (t->slots[at].hash != hash || !same(t->slots[at].item, key)))
        at = (at + 1) & (t->capacity - 1);
    return &t->slots[at];
}

static void table_fill(intern_table *t, intern_slot *slot, uint64_t hash, void *item) {
    *slot = (intern_slot){hash, item};
    t->n++;
}

struct interner *interner_new(void) { return tn_calloc(1, sizeof(struct interner)); }

void interner_free(struct interner *in) {
    if (!in) return;
    tn_free(in->strings.slots);
    tn_free(in->constants.slots);
    tn_free(in->location_sets.slots);
    tn_free(in->sets);
    tn_free(in);
}

/* ---- Strings -------------------------------------------------------------------------------- */

typedef struct string_key {
    const char *text;
    size_t length;
} string_key;

static bool same_string(const void *item, const void *key) {
    const string_key *k = key;
    return strncmp(item, k->text, k->length) == 0 && ((const char *)item)[k->length] == '\0';
}

const char *module_intern_n(tn_module *m, const char *text, size_t length) {
    if (!text) return NULL;
    const char *end = memchr(text, '\0', length);
    string_key key = {text, end ? (size_t)(end - text) : length};
    uint64_t hash = hash_bytes(1, text, key.length);
    intern_slot *slot = table_slot(&m->interner->strings, hash, &key, same_string);
    if (slot && slot->item) return slot->item;
    char *copy = slot ? arena_strndup(&m->memory, text, key.length) : NULL;
    if (!copy) {
        module_no_memory(m);
        return NULL;
    }
    table_fill(&m->interner->strings, slot, hash, copy);
    return copy;
}

const char *module_intern(tn_module *m, const char *text) {
    return text ? module_intern_n(m, text, strlen(text)) : NULL;
}

/* ---- Constants ------------------------------------------------------------------------------ */

/* Of a constant's bytes, the first that are hashed: weights that begin alike are rare, and to hash all of them
 * would read the whole of a model's file. */
enum { MOST_HASHED = 4096 };

static bool same_constant(const void *item, const void *key) {
    const tensor_data *a = item, *b = key;
    return a->bytes == b->bytes && type_equal(&a->type, &b->type) &&
           (a->bytes == 0 || a->data == b->data || memcmp(a->data, b->data, a->bytes) == 0);
}

const tensor_data *module_constant(tn_module *m, const tn_type *type, const void *data, bool copy) {
    tensor_data key = {.type = *type, .data = data};
    if (!type_static_bytes(m->dims, type, &key.bytes)) {
        char text[256];
        type_print(m->dims, type, text, sizeof text);
        module_error(m, TN_ERR_SHAPE, LOCATION_NONE, "constant: the type %s is not static, or too large", text);
        return NULL;
    }
    if (!data && key.bytes > 0) {
        module_error(m, TN_ERR_ARGUMENT, LOCATION_NONE, "constant: no data given");
        return NULL;
    }
    /* Dims beyond the rank don't count, so they are not hashed. */
    uint64_t hash = hash_bytes(type->dtype, type->dims, type->rank * sizeof *type->dims);
    key.hash = hash_bytes(hash, data, key.bytes < MOST_HASHED ? key.bytes : MOST_HASHED);
    intern_slot *slot = table_slot(&m->interner->constants, key.hash, &key, same_constant);
    if (slot && slot->item) return slot->item;
    tensor_data *item = slot ? ARENA_NEW(&m->memory, tensor_data) : NULL;
    void *bytes = item && copy && key.bytes ? arena_alloc(&m->contents, key.bytes, 1) : NULL;
    if (!item || (copy && key.bytes && !bytes)) {
        module_no_memory(m);
        return NULL;
    }
    *item = key;
    item->type = type_make((tn_dtype)type->dtype, type->rank, type->dims);
    if (bytes && data) item->data = memcpy(bytes, data, key.bytes);
    table_fill(&m->interner->constants, slot, key.hash, item);
    return item;
}

/* ---- Location sets -------------------------------------------------------------------------- */

typedef struct location_set {
    location_id id;
    uint32_t n;
    tn_op gradient_of; /* TN_OP_COUNT: none */
    tn_location items[LOCATION_MAX];
} location_set;

/* Files are interned, so that addresses compare. */
static bool same_location(tn_location a, tn_location b) { return a.file == b.file && a.line == b.line; }

static bool same_set(const void *item, const void *key) {
    const location_set *a = item, *b = key;
    if (a->n != b->n || a->gradient_of != b->gradient_of) return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!same_location(a->items[i], b->items[i])) return false;
    return true;
}

static location_id intern_set(tn_module *m, const location_set *key) {
    struct interner *in = m->interner;
    uint64_t hash = 2 + (uint64_t)key->gradient_of;
    for (uint32_t i = 0; i < key->n; i++)
        hash = hash_mix(hash_mix(hash, (uintptr_t)key->items[i].file), (uint64_t)key->items[i].line);
    intern_slot *slot = table_slot(&in->location_sets, hash, key, same_set);
    if (slot && slot->item) return ((location_set *)slot->item)->id;
    /* Only the items in use are allocated. */
    size_t bytes = offsetof(location_set, items) + key->n * sizeof *key->items;
    location_set *set = slot ? arena_alloc(&m->memory, 1, bytes) : NULL;
    if (!set || !array_reserve((void **)&in->sets, &in->sets_capacity, in->n_sets + 1, sizeof *in->sets)) {
        module_no_memory(m);
        return LOCATION_NONE;
    }
    memcpy(set, key, bytes);
    in->sets[in->n_sets++] = set;
    set->id = (location_id)in->n_sets;
    table_fill(&in->location_sets, slot, hash, set);
    return set->id;
}

static const location_set *set_of(const tn_module *m, location_id id) {
    return id != LOCATION_NONE && id <= m->interner->n_sets ? m->interner->sets[id - 1] : NULL;
}

location_id location_intern(tn_module *m, const char *file, int line) {
    location_set key = {.n = 1, .gradient_of = TN_OP_COUNT};
    key.items[0] = (tn_location){module_intern(m, file), line};
    return key.items[0].file ? intern_set(m, &key) : LOCATION_NONE;
}

location_id location_union(tn_module *m, location_id a, location_id b) {
    const location_set *first = set_of(m, a), *second = set_of(m, b);
    if (!first || !second) return first ? a : b;
    if (a == b) return a;
    location_set key = {.n = first->n, .gradient_of = first->gradient_of};
    if (second->gradient_of != key.gradient_of) key.gradient_of = TN_OP_COUNT;
    memcpy(key.items, first->items, first->n * sizeof *key.items);
    for (uint32_t i = 0; i < second->n && key.n < LOCATION_MAX; i++) {
        bool is_new = true;
        for (uint32_t j = 0; j < key.n; j++) is_new &= !same_location(key.items[j], second->items[i]);
        if (is_new) key.items[key.n++] = second->items[i];
    }
    bool is_first = key.n == first->n && key.gradient_of == first->gradient_of;
    location_id id = is_first ? a : intern_set(m, &key);
    return id == LOCATION_NONE ? a : id;
}

location_id location_in_gradient(tn_module *m, location_id id, tn_op op) {
    const location_set *set = set_of(m, id);
    if (!set || set->gradient_of == op) return id;
    location_set key = {.n = set->n, .gradient_of = op};
    memcpy(key.items, set->items, set->n * sizeof *key.items);
    return intern_set(m, &key);
}

tn_op location_gradient_of(const tn_module *m, location_id id) {
    const location_set *set = set_of(m, id);
    return set ? set->gradient_of : TN_OP_COUNT;
}

size_t location_items(const tn_module *m, location_id id, size_t capacity, tn_location *items) {
    const location_set *set = set_of(m, id);
    if (!set) return 0;
    for (size_t i = 0; i < set->n && i < capacity; i++) items[i] = set->items[i];
    return set->n;
}
