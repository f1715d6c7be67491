/* Names and numbers of values (see names.h).
 *
 * law: the numbers are those that the printer writes, so that what is read in a dump can be asked for
 */
#include "ir/names.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- From values to names ------------------------------------------------------------------------ */

const char *value_given_name(const tn_graph *g, value_id v) {
    const node *n = graph_node_of(g, v);
    return n->op == TN_OP_param ? g->params[attr_int(&n->attrs, ATTR_index, 0)].name : g->values[v].name;
}

/* Names are interned, so that a name's address is its identity. */
static bool is_named_before(const tn_graph *g, const uint32_t *numbers, const uint32_t *buckets, const uint32_t *chain,
                            size_t mask, value_id v) {
    uintptr_t hash = (uintptr_t)g->values[v].name;
    for (uint32_t at = buckets[(hash >> 4) & mask]; at; at = chain[at - 1])
        if (g->values[at - 1].name == g->values[v].name && numbers[at - 1] == VALUE_NAMED) return true;
    return false;
}

uint32_t *graph_number_values(const tn_graph *g) {
    size_t mask = 1;
    while (mask < g->n_values * 2) mask *= 2;
    mask--;
    uint32_t *numbers = tn_malloc((g->n_values + 1) * sizeof *numbers);
    uint32_t *buckets = tn_calloc(mask + 1, sizeof *buckets), *chain = tn_calloc(g->n_values + 1, sizeof *chain);
    uint32_t next = 0;
    bool ok = numbers && buckets && chain;
    for (value_id v = 0; ok && v < g->n_values; v++) {
        const char *name = value_given_name(g, v);
        bool is_param = graph_node_of(g, v)->op == TN_OP_param;
        numbers[v] = VALUE_NAMED;
        if (!is_param && (!name || !*name || is_named_before(g, numbers, buckets, chain, mask, v))) {
            numbers[v] = next++;
            continue;
        }
        if (name != g->values[v].name) continue;
        uint32_t *bucket = &buckets[((uintptr_t)name >> 4) & mask];
        chain[v] = *bucket;
        *bucket = v + 1;
    }
    tn_free(buckets);
    tn_free(chain);
    if (ok) return numbers;
    tn_free(numbers);
    return NULL;
}

void text_value(text_buffer *b, const tn_graph *g, const uint32_t *numbers, value_id v) {
    if (numbers[v] != VALUE_NAMED)
        text_format(b, "%%%" PRIu32, numbers[v]);
    else
        text_name(b, '%', value_given_name(g, v));
}

/* ---- From names to values ------------------------------------------------------------------------ */

typedef struct search {
    const char *name; /* without % and quotes */
    size_t length;
    bool is_quoted, has_sign;
    value_place *found;
    size_t n, capacity;
} search;

static bool is_name(const search *s, const char *name) {
    return name && strlen(name) == s->length && memcmp(name, s->name, s->length) == 0;
}

static void add(search *s, const tn_graph *g, value_id v) {
    for (size_t i = 0; i < s->n && i < s->capacity; i++)
        if (s->found[i].graph == g && s->found[i].value == v) return;
    if (s->n < s->capacity) s->found[s->n] = (value_place){g, v};
    s->n++;
}

static void find_named(search *s, const tn_graph *g) {
    for (value_id v = 0; v < g->n_values; v++)
        if (is_name(s, value_given_name(g, v))) add(s, g, v);
    for (size_t r = 0; r < g->n_results; r++)
        if (is_name(s, g->results[r].name)) add(s, g, g->results[r].value);
}

static void find_numbered(search *s, const tn_graph *g) {
    char *end = NULL;
    unsigned long long wanted = strtoull(s->name, &end, 10);
    bool is_number = s->length > 0 && !s->is_quoted && end == s->name + s->length && *s->name >= '0' && *s->name <= '9';
    uint32_t *numbers = is_number && wanted < VALUE_NAMED ? graph_number_values(g) : NULL;
    for (value_id v = 0; numbers && v < g->n_values; v++)
        if (numbers[v] == wanted) add(s, g, v);
    tn_free(numbers);
}

static void find_in_all(search *s, const tn_module *m, const tn_graph *first) {
    if (first) find_named(s, first);
    for (size_t i = 0; i < m->n_graphs; i++)
        if (m->graphs[i] != first) find_named(s, m->graphs[i]);
}

/* Of @f:x the function, and where x begins. Names may contain ':', so that the first one is not always the end. */
static const tn_graph *function_of(const tn_module *m, const char *text, const char **rest) {
    for (const char *colon = strchr(text, ':'); colon; colon = strchr(colon + 1, ':'))
        for (size_t i = 0; i < m->n_graphs; i++) {
            size_t n = strlen(m->graphs[i]->name);
            if ((size_t)(colon - text) != n + 1 || memcmp(text + 1, m->graphs[i]->name, n) != 0) continue;
            *rest = colon + 1;
            return m->graphs[i];
        }
    return NULL;
}

/* Takes sign and quotes off. */
static void read_name(search *s, const char *text) {
    s->has_sign = *text == '%';
    text += s->has_sign;
    size_t n = strlen(text);
    s->is_quoted = n >= 2 && text[0] == '"' && text[n - 1] == '"';
    s->name = s->is_quoted ? text + 1 : text;
    s->length = s->is_quoted ? n - 2 : n;
}

size_t module_find_values(const tn_module *m, const tn_graph *first, const char *text, value_place *found,
                          size_t capacity) {
    search s = {.found = found, .capacity = capacity};
    const tn_graph *only = *text == '@' ? function_of(m, text, &text) : NULL;
    const tn_graph *numbered = only ? only : first ? first : module_main(m);
    read_name(&s, text);
    if (s.has_sign && numbered) find_numbered(&s, numbered);
    if (s.n > 0) return s.n;
    if (only)
        find_named(&s, only);
    else
        find_in_all(&s, m, first);
    if (s.n == 0 && !s.has_sign && numbered) find_numbered(&s, numbered);
    return s.n;
}

void module_offer_values(const tn_module *m, near_names *near) {
    for (size_t i = 0; i < m->n_graphs; i++) {
        const tn_graph *g = m->graphs[i];
        for (value_id v = 0; v < g->n_values; v++) near_offer(near, value_given_name(g, v));
        for (size_t r = 0; r < g->n_results; r++) near_offer(near, g->results[r].name);
    }
}

const char *module_near_values(const tn_module *m, const char *text, char *out, size_t bytes) {
    near_names near = {.wanted = text};
    if (*text == '@') function_of(m, text, &near.wanted);
    if (*near.wanted == '%') near.wanted++;
    module_offer_values(m, &near);
    return near_text(&near, out, bytes);
}
