/* Dims as text.
 *
 * in:  a dim
 * out: text that parses back to the same dim (ir/parse_dim.c)
 * law: follows the canonical order. Divisions that stand for a mod or a division rounded up
 *      are written as such: a - b*floordiv(a, b) as mod(a, b), floordiv(a + b - 1, b) with a
 *      constant b as ceildiv(a, b)
 */
#include "ir/dim_poly.h"
#include "ir/dim_print.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Text cut to what fits, and its full length. */
typedef struct text_out {
    char *at;
    size_t bytes, length;
} text_out;

static void put_n(text_out *o, const char *text, size_t n) {
    if (o->length < o->bytes) {
        size_t room = o->bytes - o->length;
        memcpy(o->at + o->length, text, n < room ? n : room);
    }
    o->length += n;
}

static void put(text_out *o, const char *text) { put_n(o, text, strlen(text)); }

static void put_int(text_out *o, int64_t value) {
    char digits[24];
    put_n(o, digits, (size_t)snprintf(digits, sizeof digits, "%" PRId64, value));
}

bool name_is_plain(const char *name) {
    if (!*name || (*name >= '0' && *name <= '9') || *name == '.') return false;
    for (; *name; name++) {
        char c = *name;
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_' && c != '.')
            return false;
    }
    return true;
}

size_t quote_char(unsigned char c, char out[5]) {
    static const char hex[] = "0123456789abcdef";
    static const char escaped[] = "\"\\\n\t", letters[] = "\"\\nt";
    const char *special = c ? strchr(escaped, c) : NULL;
    if (special) {
        out[0] = '\\';
        out[1] = letters[special - escaped];
        return 2;
    }
    if (c >= 0x20 && c != 0x7f) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = hex[c >> 4];
    out[3] = hex[c & 15];
    return 4;
}

static void put_symbol(text_out *o, const char *name) {
    /* Between functions the parser looks for these two words. */
    bool is_word = strcmp(name, "fn") == 0 || strcmp(name, "kernel") == 0;
    if (name_is_plain(name) && !is_word) {
        put(o, name);
        return;
    }
    put(o, "\"");
    for (; *name; name++) {
        char escaped[5];
        put_n(o, escaped, quote_char((unsigned char)*name, escaped));
    }
    put(o, "\"");
}

static void put_dim(const dim_table *t, text_out *o, tn_dim d);

static void put_call(const dim_table *t, text_out *o, const char *function, tn_dim a, tn_dim b) {
    put(o, function);
    put(o, "(");
    put_dim(t, o, a);
    put(o, ", ");
    put_dim(t, o, b);
    put(o, ")");
}

static void put_sum(const dim_table *t, text_out *o, poly p);

/* ceildiv(a - (b - 1), b) for a constant b that leaves b - 1 in a. */
static bool put_ceildiv(const dim_table *t, text_out *o, const dim_entry *e) {
    int64_t b;
    poly a = dim_poly(t, e->a);
    if (!dim_is_const(t, e->b, &b) || b < 2 || poly_constant(a) != b - 1) return false;
    put(o, "ceildiv(");
    put_sum(t, o, (poly){a.n - 1, a.terms}); /* the constant comes last */
    put(o, ", ");
    put_int(o, b);
    put(o, ")");
    return true;
}

/* min(a, min(b, c)) as min(a, b, c) */
static void put_chain(const dim_table *t, text_out *o, const dim_entry *e) {
    put(o, e->kind == DIM_MIN ? "min(" : "max(");
    for (const dim_entry *at = e;; at = dim_at(t, at->b)) {
        put_dim(t, o, at->a);
        put(o, ", ");
        if (dim_at(t, at->b)->kind == e->kind) continue;
        put_dim(t, o, at->b);
        break;
    }
    put(o, ")");
}

static void put_atom(const dim_table *t, text_out *o, tn_dim atom) {
    const dim_entry *e = dim_at(t, atom);
    switch ((dim_kind)e->kind) {
    case DIM_SYMBOL: put_symbol(o, e->name); break;
    case DIM_VARIABLE:
        put(o, "$");
        put_int(o, e->number);
        break;
    case DIM_MIN:
    case DIM_MAX: put_chain(t, o, e); break;
    default:
        if (!put_ceildiv(t, o, e)) put_call(t, o, "floordiv", e->a, e->b);
    }
}

/* Starts a term: its sign (between terms when it is not the first), and its coefficient. */
static void put_coefficient(text_out *o, int64_t coefficient, bool first, bool alone) {
    int64_t size = coefficient < 0 ? -coefficient : coefficient;
    if (first)
        put(o, coefficient < 0 ? "-" : "");
    else
        put(o, coefficient < 0 ? " - " : " + ");
    if (size != 1 || alone) {
        put_int(o, size);
        if (!alone) put(o, "*");
    }
}

static void put_atoms(const dim_table *t, text_out *o, const tn_dim *atoms, uint32_t n) {
    for (uint32_t k = 0; k < n; k++) {
        if (k) put(o, "*");
        put_atom(t, o, atoms[k]);
    }
}

/* ---- Mods -------------------------------------------------------------------------------------- */

/* A term G * b * floordiv(a, b) with single-term b, whose sum also has the terms of -G * a. */
typedef struct mod_term {
    const dim_entry *division;
    int64_t coefficient; /* of G, sign turned */
    uint32_t n_atoms;
    tn_dim atoms[DIM_MAX_DEGREE];
} mod_term;

static bool find_division(const dim_table *t, const dim_term *term, mod_term *m) {
    for (uint32_t k = 0; k < term->n_atoms; k++) {
        const dim_entry *e = dim_at(t, term->atoms[k]);
        if (e->kind != DIM_FLOORDIV || dim_at(t, e->b)->n_terms != 1) continue;
        const dim_term *b = &dim_at(t, e->b)->terms[0];
        if (term->coefficient % b->coefficient != 0) continue;
        tn_dim others[DIM_MAX_DEGREE];
        uint32_t n = 0;
        for (uint32_t i = 0; i < term->n_atoms; i++)
            if (i != k) others[n++] = term->atoms[i];
        if (!monomial_divide(t, &(dim_term){1, n, others}, b, m->atoms, &m->n_atoms)) continue;
        m->division = e;
        m->coefficient = -(term->coefficient / b->coefficient);
        return true;
    }
    return false;
}

/* coefficient * atoms (in any order) among the terms: its index or -1. */
static int find_term(poly p, int64_t coefficient, const tn_dim *atoms, uint32_t n_atoms) {
    for (uint32_t i = 0; i < p.n; i++) {
        if (p.terms[i].coefficient != coefficient || p.terms[i].n_atoms != n_atoms) continue;
        uint32_t matched = 0;
        bool taken[DIM_MAX_DEGREE] = {false};
        for (uint32_t k = 0; k < n_atoms; k++)
            for (uint32_t j = 0; j < n_atoms; j++)
                if (!taken[j] && p.terms[i].atoms[k] == atoms[j]) {
                    taken[j] = true;
                    matched++;
                    break;
                }
        if (matched == n_atoms) return (int)i;
    }
    return -1;
}

/* Takes the terms of G * a out of the sum: marks those that vanish as used, and gives what is
 * left of the constant. False: not all of them are there. */
static bool take_dividend(const dim_table *t, poly p, const mod_term *m, bool *used, int64_t *constant) {
    poly a = dim_poly(t, m->division->a);
    int found[DIM_MAX_TERMS] = {0};
    int64_t left = *constant;
    for (uint32_t i = 0; i < a.n; i++) {
        int64_t coefficient;
        tn_dim atoms[2 * DIM_MAX_DEGREE];
        uint32_t n = 0;
        if (!int_mul(m->coefficient, a.terms[i].coefficient, &coefficient)) return false;
        for (uint32_t k = 0; k < m->n_atoms; k++) atoms[n++] = m->atoms[k];
        for (uint32_t k = 0; k < a.terms[i].n_atoms; k++) atoms[n++] = a.terms[i].atoms[k];
        found[i] = -1;
        if (n == 0) {
            if (!int_add(left, -coefficient, &left)) return false;
            continue;
        }
        if (n > DIM_MAX_DEGREE) return false;
        found[i] = find_term(p, coefficient, atoms, n);
        if (found[i] < 0 || used[found[i]]) return false;
    }
    for (uint32_t i = 0; i < a.n; i++)
        if (found[i] >= 0) used[found[i]] = true;
    *constant = left;
    return true;
}

static void put_sum(const dim_table *t, text_out *o, poly p) {
    bool used[DIM_MAX_TERMS] = {false}, first = true;
    int64_t constant = poly_constant(p);
    uint32_t n = p.n - (constant != 0);
    mod_term m;
    for (uint32_t i = 0; i < n; i++) {
        if (used[i] || !find_division(t, &p.terms[i], &m)) continue;
        used[i] = true;
        if (!take_dividend(t, (poly){n, p.terms}, &m, used, &constant)) {
            used[i] = false;
            continue;
        }
        put_coefficient(o, m.coefficient, first, false);
        put_atoms(t, o, m.atoms, m.n_atoms);
        if (m.n_atoms) put(o, "*");
        put_call(t, o, "mod", m.division->a, m.division->b);
        first = false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (used[i]) continue;
        put_coefficient(o, p.terms[i].coefficient, first, false);
        put_atoms(t, o, p.terms[i].atoms, p.terms[i].n_atoms);
        first = false;
    }
    if (constant || first) put_coefficient(o, constant, first, true);
}

static void put_dim(const dim_table *t, text_out *o, tn_dim d) {
    if (dim_valid(t, d))
        put_sum(t, o, dim_poly(t, d));
    else
        put(o, "invalid");
}

size_t dim_print(const dim_table *t, tn_dim d, char *out, size_t bytes) {
    text_out o = {out, bytes ? bytes - 1 : 0, 0};
    put_dim(t, &o, d);
    if (bytes) out[o.length < o.bytes ? o.length : o.bytes] = '\0';
    return o.length;
}
