/* The dim table: entries, interning, and questions about one entry.
 *
 * in:  polynomials and operands (dim_poly.h)
 * out: ids
 * law: the same canonical content gives the same id for as long as the table lives, and all
 *      that an id refers to stays where it is
 */
#include "ir/dim_poly.h"

#include <string.h>

bool dim_fail(dim_table *t, tn_status why) {
    bool is_told = t->quiet == 0 || why == TN_ERR_MEMORY; /* a question that fails is no error, want of memory is */
    if (is_told && t->status == TN_OK) t->status = why;
    return false;
}

/* ---- The hash table ----------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash ^= word + 0x9e3779b97f4a7c15u + (hash << 6) + (hash >> 2);
    hash *= 0xbf58476d1ce4e5b9u;
    return hash ^ (hash >> 29);
}

static uint64_t hash_text(uint64_t hash, const char *text) {
    for (; *text; text++) hash = mix(hash, (unsigned char)*text);
    return hash;
}

static uint64_t hash_terms(uint64_t hash, poly p) {
    for (uint32_t i = 0; i < p.n; i++) {
        hash = mix(hash, (uint64_t)p.terms[i].coefficient);
        for (uint32_t k = 0; k < p.terms[i].n_atoms; k++) hash = mix(hash, p.terms[i].atoms[k]);
    }
    return hash;
}

static bool terms_equal(poly a, poly b) {
    if (a.n != b.n) return false;
    for (uint32_t i = 0; i < a.n; i++) {
        const dim_term *x = &a.terms[i], *y = &b.terms[i];
        if (x->coefficient != y->coefficient || x->n_atoms != y->n_atoms) return false;
        if (x->n_atoms && memcmp(x->atoms, y->atoms, x->n_atoms * sizeof *x->atoms) != 0) return false;
    }
    return true;
}

/* What is looked for: a sum by its terms, everything else by its own fields. */
typedef struct lookup_key {
    dim_kind kind;
    uint64_t hash;
    poly terms; /* CONST, SUM */
    const char *name;
    uint32_t number;
    tn_dim a, b;
} lookup_key;

static bool key_matches(const lookup_key *key, const dim_entry *e) {
    if (e->hash != key->hash || e->kind != key->kind) return false;
    switch (key->kind) {
    case DIM_CONST:
    case DIM_SUM: return terms_equal((poly){e->n_terms, e->terms}, key->terms);
    case DIM_SYMBOL: return strcmp(e->name, key->name) == 0;
    case DIM_VARIABLE: return e->number == key->number;
    default: return e->a == key->a && e->b == key->b;
    }
}

static bool grow_slots(dim_table *t) {
    size_t n = t->n_slots ? t->n_slots * 2 : 256;
    uint32_t *slots = tn_calloc(n, sizeof *slots);
    if (!slots) return dim_fail(t, TN_ERR_MEMORY);
    for (size_t i = 0; i < t->n_entries; i++) {
        size_t at = t->entries[i]->hash & (n - 1);
        while (slots[at]) at = (at + 1) & (n - 1);
        slots[at] = (uint32_t)i + 1;
    }
    tn_free(t->slots);
    t->slots = slots;
    t->n_slots = n;
    return true;
}

/* The entry with that key, or where it would go. */
static dim_entry *find_entry(const dim_table *t, const lookup_key *key, size_t *at) {
    *at = key->hash & (t->n_slots - 1);
    for (; t->slots[*at]; *at = (*at + 1) & (t->n_slots - 1)) {
        dim_entry *e = t->entries[t->slots[*at] - 1];
        if (key_matches(key, e)) return e;
    }
    return NULL;
}

/* A new entry for the key, with its id; the caller fills in its content. */
static dim_entry *add_entry(dim_table *t, const lookup_key *key, size_t at) {
    if (t->n_entries >= DIM_MAX_ENTRIES) {
        dim_fail(t, TN_ERR_LIMIT);
        return NULL;
    }
    dim_entry *e = ARENA_NEW(&t->memory, dim_entry);
    void *entries = t->entries;
    if (!e || !array_reserve(&entries, &t->entries_capacity, t->n_entries + 1, sizeof *t->entries)) {
        dim_fail(t, TN_ERR_MEMORY);
        return NULL;
    }
    t->entries = entries;
    e->self = (tn_dim)t->n_entries;
    e->kind = (uint8_t)key->kind;
    e->hash = key->hash;
    e->own = (dim_term){1, 1, &e->self};
    e->terms = &e->own;
    e->n_terms = 1;
    e->weight = 1;
    t->entries[t->n_entries++] = e;
    t->slots[at] = e->self + 1;
    return e;
}

/* Looks the key up with room for one more entry; `e` is NULL when there is none yet. */
static bool prepare(dim_table *t, const lookup_key *key, dim_entry **e, size_t *at) {
    if ((t->n_entries + 1) * 2 > t->n_slots && !grow_slots(t)) return false;
    *e = find_entry(t, key, at);
    return true;
}

/* ---- Making entries ------------------------------------------------------------------------ */

tn_dim dim_const(dim_table *t, int64_t value) {
    if (value >= 0 && value < DIM_SMALL_CONSTANTS && (size_t)value < t->n_entries) return (tn_dim)value;
    if (value == INT64_MIN) return dim_fail(t, TN_ERR_LIMIT), DIM_INVALID;
    dim_term term = {value, 0, NULL};
    lookup_key key = {.kind = DIM_CONST, .terms = {value != 0, &term}};
    key.hash = hash_terms(mix(0, DIM_CONST), key.terms);
    dim_entry *e;
    size_t at;
    if (!prepare(t, &key, &e, &at)) return DIM_INVALID;
    if (!e) {
        e = add_entry(t, &key, at);
        if (!e) return DIM_INVALID;
        e->own = term;
        e->n_terms = value != 0;
    }
    return e->self;
}

tn_dim dim_symbol(dim_table *t, const char *name) {
    lookup_key key = {.kind = DIM_SYMBOL, .name = name};
    key.hash = hash_text(mix(0, DIM_SYMBOL), name);
    dim_entry *e;
    size_t at;
    if (!prepare(t, &key, &e, &at)) return DIM_INVALID;
    if (!e) {
        char *copy = arena_strdup(&t->memory, name);
        if (!copy) return dim_fail(t, TN_ERR_MEMORY), DIM_INVALID;
        e = add_entry(t, &key, at);
        if (!e) return DIM_INVALID;
        e->name = copy;
    }
    return e->self;
}

tn_dim dim_variable(dim_table *t, uint32_t number) {
    lookup_key key = {.kind = DIM_VARIABLE, .number = number};
    key.hash = mix(mix(0, DIM_VARIABLE), number);
    dim_entry *e;
    size_t at;
    if (!prepare(t, &key, &e, &at)) return DIM_INVALID;
    if (!e) {
        e = add_entry(t, &key, at);
        if (!e) return DIM_INVALID;
        e->number = number;
    }
    return e->self;
}

tn_dim dim_from_operands(dim_table *t, dim_kind kind, tn_dim a, tn_dim b) {
    lookup_key key = {.kind = kind, .a = a, .b = b};
    key.hash = mix(mix(mix(0, (uint64_t)kind), a), b);
    dim_entry *e;
    size_t at;
    if (!prepare(t, &key, &e, &at)) return DIM_INVALID;
    if (!e) {
        const dim_entry *x = dim_at(t, a), *y = dim_at(t, b);
        uint32_t depth = 1u + (x->depth > y->depth ? x->depth : y->depth);
        uint32_t weight = 1u + x->weight + y->weight;
        if (depth > DIM_MAX_DEPTH || weight > DIM_MAX_WEIGHT) return dim_fail(t, TN_ERR_LIMIT), DIM_INVALID;
        e = add_entry(t, &key, at);
        if (!e) return DIM_INVALID;
        e->depth = (uint8_t)depth;
        e->weight = weight;
        e->a = a;
        e->b = b;
    }
    return e->self;
}

/* Copies the terms of a new sum into the table and adds up depth and weight. */
static bool keep_terms(dim_table *t, poly p, const dim_term **terms, uint8_t *depth, uint32_t *weight) {
    if (p.n > DIM_MAX_TERMS) return dim_fail(t, TN_ERR_LIMIT);
    *depth = 0;
    *weight = p.n;
    for (uint32_t i = 0; i < p.n; i++)
        for (uint32_t k = 0; k < p.terms[i].n_atoms; k++) {
            const dim_entry *atom = dim_at(t, p.terms[i].atoms[k]);
            if (atom->depth > *depth) *depth = atom->depth;
            *weight += atom->weight;
            if (*weight > DIM_MAX_WEIGHT) return dim_fail(t, TN_ERR_LIMIT);
        }
    dim_term *copy = ARENA_ARRAY(&t->memory, dim_term, p.n);
    if (!copy) return dim_fail(t, TN_ERR_MEMORY);
    for (uint32_t i = 0; i < p.n; i++) {
        copy[i] = p.terms[i];
        if (copy[i].n_atoms == 0) continue;
        tn_dim *atoms = ARENA_ARRAY(&t->memory, tn_dim, copy[i].n_atoms);
        if (!atoms) return dim_fail(t, TN_ERR_MEMORY);
        memcpy(atoms, p.terms[i].atoms, copy[i].n_atoms * sizeof *atoms);
        copy[i].atoms = atoms;
    }
    *terms = copy;
    return true;
}

tn_dim dim_from_poly(dim_table *t, poly p) {
    if (p.n == 0) return dim_const(t, 0);
    if (p.n == 1 && p.terms[0].n_atoms == 0) return dim_const(t, p.terms[0].coefficient);
    if (p.n == 1 && p.terms[0].n_atoms == 1 && p.terms[0].coefficient == 1) return p.terms[0].atoms[0];
    lookup_key key = {.kind = DIM_SUM, .terms = p};
    key.hash = hash_terms(mix(0, DIM_SUM), p);
    dim_entry *e;
    size_t at;
    if (!prepare(t, &key, &e, &at)) return DIM_INVALID;
    if (e) return e->self;
    const dim_term *terms;
    uint8_t depth;
    uint32_t weight;
    if (!keep_terms(t, p, &terms, &depth, &weight)) return DIM_INVALID;
    e = add_entry(t, &key, at);
    if (!e) return DIM_INVALID;
    e->terms = terms;
    e->n_terms = p.n;
    e->depth = depth;
    e->weight = weight;
    return e->self;
}

/* ---- Tables --------------------------------------------------------------------------------- */

dim_table *dim_table_new(void) {
    dim_table *t = tn_calloc(1, sizeof *t);
    if (!t) return NULL;
    for (int64_t i = 0; i < DIM_SMALL_CONSTANTS; i++)
        if (dim_const(t, i) == DIM_INVALID) {
            dim_table_free(t);
            return NULL;
        }
    return t;
}

void dim_table_free(dim_table *t) {
    if (!t) return;
    scratch_free_all(t);
    tn_free(t->slots);
    tn_free(t->entries);
    arena_free(&t->memory);
    tn_free(t);
}

tn_status dim_table_status(const dim_table *t) { return t->status; }

void dim_table_clear_status(dim_table *t) { t->status = TN_OK; }

/* ---- Questions -------------------------------------------------------------------------------- */

bool dim_is_valid(const dim_table *t, tn_dim d) { return dim_valid(t, d); }

dim_kind dim_kind_of(const dim_table *t, tn_dim d) {
    return dim_valid(t, d) ? (dim_kind)dim_at(t, d)->kind : DIM_CONST;
}

bool dim_is_const(const dim_table *t, tn_dim d, int64_t *value) {
    if (!dim_valid(t, d) || dim_at(t, d)->kind != DIM_CONST) return false;
    if (value) *value = dim_at(t, d)->n_terms ? dim_at(t, d)->own.coefficient : 0;
    return true;
}

bool dim_is_value(const dim_table *t, tn_dim d, int64_t value) {
    int64_t is;
    return dim_is_const(t, d, &is) && is == value;
}

const char *dim_symbol_name(const dim_table *t, tn_dim d) {
    return dim_valid(t, d) && dim_at(t, d)->kind == DIM_SYMBOL ? dim_at(t, d)->name : NULL;
}

uint32_t dim_variable_number(const dim_table *t, tn_dim d) {
    return dim_valid(t, d) && dim_at(t, d)->kind == DIM_VARIABLE ? dim_at(t, d)->number : UINT32_MAX;
}

void dim_operands(const dim_table *t, tn_dim d, tn_dim *a, tn_dim *b) {
    bool compound = dim_valid(t, d) && dim_is_compound(dim_at(t, d));
    *a = compound ? dim_at(t, d)->a : DIM_INVALID;
    *b = compound ? dim_at(t, d)->b : DIM_INVALID;
}

uint32_t dim_term_count(const dim_table *t, tn_dim d) { return dim_valid(t, d) ? dim_at(t, d)->n_terms : 0; }

uint32_t dim_terms(const dim_table *t, tn_dim d, uint32_t capacity, dim_term *terms) {
    if (!dim_valid(t, d)) return 0;
    poly p = dim_poly(t, d);
    uint32_t n = 0;
    bool constant = p.n > 0 && p.terms[p.n - 1].n_atoms == 0;
    if (constant && n < capacity) terms[n++] = p.terms[p.n - 1];
    for (uint32_t i = 0; i + (constant ? 1 : 0) < p.n && n < capacity; i++) terms[n++] = p.terms[i];
    return p.n;
}
