/* Attributes: their names, kinds and spellings, look-up and equality.
 *
 * in:  attrs.def
 * out: what graph.h declares of attributes
 */
#include "ir/graph.h"

#include <string.h>

typedef struct attr_row {
    const char *name;
    attr_kind kind;
    const char *options; /* each NUL-terminated, an empty one ends them */
} attr_row;

static const attr_row rows[ATTR_COUNT] = {
#define ATTR(name, KIND, options) {#name, ATTR_KIND_##KIND, options},
#include "ir/attrs.def"
#undef ATTR
};

attr_kind attr_kind_of(attr_name name) { return rows[name].kind; }

const char *attr_name_text(attr_name name) { return (unsigned)name < ATTR_COUNT ? rows[name].name : "invalid"; }

attr_name attr_from_name(const char *text, size_t length) {
    for (int i = 0; i < ATTR_COUNT; i++)
        if (strlen(rows[i].name) == length && memcmp(rows[i].name, text, length) == 0) return (attr_name)i;
    return ATTR_COUNT;
}

const char *attr_option(attr_name name, int64_t which) {
    const char *option = rows[name].options;
    for (int64_t i = 0; *option; i++, option += strlen(option) + 1)
        if (i == which) return option;
    return NULL;
}

int64_t attr_option_value(attr_name name, const char *text, size_t length) {
    const char *option;
    for (int64_t i = 0; (option = attr_option(name, i)); i++)
        if (strlen(option) == length && memcmp(option, text, length) == 0) return i;
    return -1;
}

const attr *attr_find(const attr_list *list, attr_name name) {
    for (uint32_t i = 0; i < list->n; i++)
        if (list->items[i].name == name) return &list->items[i];
    return NULL;
}

int64_t attr_int(const attr_list *list, attr_name name, int64_t otherwise) {
    const attr *a = attr_find(list, name);
    return a ? a->i : otherwise;
}

bool attr_at_most(const attr_list *list, attr_name name, int64_t most) {
    const attr *a = attr_find(list, name);
    for (uint32_t i = 0; a && i < a->ints.n; i++)
        if (a->ints.items[i] > most) return false;
    return true;
}

double attr_float(const attr_list *list, attr_name name, double otherwise) {
    const attr *a = attr_find(list, name);
    return a ? a->f : otherwise;
}

static uint64_t float_bits(double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

/* Floats are equal when their bits are: -0 is not 0, NaN is NaN. Texts, data and functions are
 * interned or unique, so that their addresses tell. */
bool attr_equal(const attr *a, const attr *b) {
    if (a->name != b->name) return false;
    switch (attr_kind_of(a->name)) {
    case ATTR_KIND_INT:
    case ATTR_KIND_ENUM:
    case ATTR_KIND_DTYPE: return a->i == b->i;
    case ATTR_KIND_FLOAT: return float_bits(a->f) == float_bits(b->f);
    case ATTR_KIND_DIM: return a->dim == b->dim;
    case ATTR_KIND_TEXT: return a->text == b->text;
    case ATTR_KIND_FUNC: return a->func == b->func;
    case ATTR_KIND_DATA: return a->data == b->data;
    case ATTR_KIND_PAIR:
        if (a->split != b->split) return false;
        /* fall through */
    case ATTR_KIND_INTS:
        return a->ints.n == b->ints.n &&
               (a->ints.n == 0 || memcmp(a->ints.items, b->ints.items, a->ints.n * sizeof *a->ints.items) == 0);
    case ATTR_KIND_DIMS:
        return a->dims.n == b->dims.n &&
               (a->dims.n == 0 || memcmp(a->dims.items, b->dims.items, a->dims.n * sizeof *a->dims.items) == 0);
    }
    return false;
}

const tn_dim *node_callee_symbols(const node *n, const tn_graph *callee) {
    static const tn_dim none[1] = {DIM_INVALID};
    const attr *symbols = attr_find(&n->attrs, ATTR_symbols);
    size_t given = symbols ? symbols->dims.n : 0, skip = 0;
    for (uint32_t i = 0; i < n->attrs.n; i++) {
        const attr *a = &n->attrs.items[i];
        if (attr_kind_of((attr_name)a->name) != ATTR_KIND_FUNC) continue;
        if (a->func == callee) {
            if (callee->n_symbols == 0) return none;
            return skip + callee->n_symbols <= given ? symbols->dims.items + skip : NULL;
        }
        skip += a->func->n_symbols;
    }
    return NULL;
}
