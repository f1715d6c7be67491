/* Writing C about an object (see aot_text.h). */
#include "compiler/aot_text.h"

#include <inttypes.h>
#include <string.h>

static char *upper_of(aot_object *o, const char *name) {
    char *text = arena_strdup(&o->memory, name);
    for (char *c = text; c && *c; c++)
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 'a' + 'A');
    return text;
}

bool aot_writer_open(aot_writer *w, aot_object *o) {
    *w = (aot_writer){.o = o, .e = &o->entry, .name = o->name, .upper = upper_of(o, o->name), .size_prefix = ""};
    return w->upper != NULL;
}

char *aot_writer_close(aot_writer *w) {
    text_add_n(&w->out, "", 1);
    if (!w->out.failed) return w->out.text;
    tn_free(w->out.text);
    return NULL;
}

void print_named(aot_writer *w, const char *text) {
    for (size_t n; *text; text += n) {
        n = strcspn(text, "@$");
        text_add_n(&w->out, text, n);
        if (text[n]) text_add(&w->out, text[n++] == '@' ? w->name : w->upper);
    }
}

bool aot_has_bound(const aot_writer *w) { return w->e->block.is_in_file || w->e->n_versions > 1; }

const char *aot_c_type(tn_dtype dtype) {
    static const char *const names[] = {
#define DTYPE(ENUM, name, bits, kind, storage) [TN_##ENUM] = #storage,
#include "dtypes.def"
#undef DTYPE
    };
    return dtype == TN_BOOL ? "bool" : names[dtype];
}

static dim_table *dims_of(const aot_writer *w, size_t version) { return w->o->versions[version].compiled.module->dims; }

/* ---- Sizes as C ---- */

static void print_call(aot_writer *w, size_t version, const char *function, tn_dim a, tn_dim b) {
    PRINT(w, "%s_%s(", w->name, function);
    aot_print_dim(w, version, a);
    PRINT(w, ", ");
    aot_print_dim(w, version, b);
    PRINT(w, ", &bad)");
}

static void print_atom(aot_writer *w, size_t version, tn_dim d) {
    dim_table *t = dims_of(w, version);
    const tn_graph *g = w->o->versions[version].compiled.main;
    for (size_t i = 0; i < g->n_symbols; i++)
        if (g->symbols[i].dim == d) {
            PRINT(w, "%s%s", w->size_prefix, w->o->size_names[i]);
            return;
        }
    tn_dim a, b;
    dim_kind kind = dim_kind_of(t, d);
    dim_operands(t, d, &a, &b);
    print_call(w, version, kind == DIM_MIN ? "min" : kind == DIM_MAX ? "max" : "floordiv", a, b);
}

static void print_term(aot_writer *w, size_t version, const dim_term *term) {
    uint32_t n_products = term->n_atoms - (term->coefficient == 1 && term->n_atoms > 0);
    for (uint32_t i = 0; i < n_products; i++) PRINT(w, "%s_mul(", w->name);
    uint32_t next = 0;
    if (term->coefficient != 1 || term->n_atoms == 0)
        PRINT(w, "INT64_C(%" PRId64 ")", term->coefficient);
    else
        print_atom(w, version, term->atoms[next++]);
    for (; next < term->n_atoms; next++) {
        PRINT(w, ", ");
        print_atom(w, version, term->atoms[next]);
        PRINT(w, ", &bad)");
    }
}

/* The same operations in the same order as the object's bind, so that both overflow or neither does. */
void aot_print_dim(aot_writer *w, size_t version, tn_dim d) {
    dim_table *t = dims_of(w, version);
    uint32_t n = dim_term_count(t, d);
    dim_term *terms = tn_calloc(n + 1u, sizeof *terms);
    if (!terms) {
        w->out.failed = true;
        return;
    }
    dim_terms(t, d, n, terms);
    for (uint32_t i = 1; i < n; i++) PRINT(w, "%s_add(", w->name);
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0) PRINT(w, ", ");
        print_term(w, version, &terms[i]);
        if (i > 0) PRINT(w, ", &bad)");
    }
    if (n == 0) PRINT(w, "INT64_C(0)");
    tn_free(terms);
}
