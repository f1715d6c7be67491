/* Dims and types in the text form.
 *
 *   dim     product { (+ | -) product }
 *   product factor { * factor }
 *   factor  - factor | number | symbol | "odd symbol" | $k | ( dim ) | function ( dim, dim ... )
 *   type    dtype [ dim, ... ] | token
 *
 * law: nesting is limited, so hostile text cannot exhaust the stack
 */
#include "ir/lex.h"

#include <string.h>

enum { MAX_NESTING = 100 };

typedef tn_dim dim_function(dim_table *, tn_dim, tn_dim);

/* min and max take any number of operands from two on. */
static const struct {
    const char *name;
    dim_function *apply;
    bool many;
} functions[] = {
    {"floordiv", dim_floordiv, false},
    {"ceildiv", dim_ceildiv, false},
    {"mod", dim_mod, false},
    {"min", dim_min, true},
    {"max", dim_max, true},
};

typedef struct dim_parser {
    lexer *lex;
    dim_table *dims;
    int depth;
} dim_parser;

static bool parse_sum(dim_parser *p, tn_dim *d);

/* What failed in the table as an error at `at`. */
static bool check(dim_parser *p, size_t at, tn_dim d) {
    if (d != DIM_INVALID) return true;
    tn_status status = dim_table_status(p->dims);
    dim_table_clear_status(p->dims);
    if (status == TN_ERR_MEMORY) return lexer_no_memory(p->lex);
    if (status == TN_ERR_ARGUMENT) return lexer_error(p->lex, at, TN_ERR_PARSE, "the divisor is not positive");
    return lexer_error(p->lex, at, TN_ERR_LIMIT,
                       "the dim is too large: a number does not fit in 63 bits, or too many terms");
}

static bool parse_call(dim_parser *p, size_t function, tn_dim *d) {
    size_t at = p->lex->next.at;
    tn_dim b = DIM_INVALID;
    lexer_take(p->lex);
    if (!lexer_expect(p->lex, "(") || !parse_sum(p, d) || !lexer_expect(p->lex, ",")) return false;
    do {
        if (!parse_sum(p, &b)) return false;
        *d = functions[function].apply(p->dims, *d, b);
        if (!check(p, at, *d)) return false;
    } while (functions[function].many && lexer_accept(p->lex, ","));
    return lexer_expect(p->lex, ")");
}

static bool is_call(const lexer *lex, size_t *function) {
    size_t after = lex->at;
    while (after < lex->length && lex->source[after] == ' ') after++;
    if (lex->next.kind != TOKEN_NAME || after >= lex->length || lex->source[after] != '(') return false;
    for (*function = 0; *function < sizeof functions / sizeof *functions; ++*function)
        if (token_is(&lex->next, functions[*function].name)) return true;
    return false;
}

static bool parse_leaf(dim_parser *p, tn_dim *d) {
    lexer *lex = p->lex;
    size_t at = lex->next.at, function;
    int64_t number;
    if (is_call(lex, &function)) return parse_call(p, function, d);
    switch (lex->next.kind) {
    case TOKEN_NUMBER:
        if (!lexer_int(lex, &number)) return false;
        *d = dim_const(p->dims, number);
        return check(p, at, *d);
    case TOKEN_NAME:
    case TOKEN_STRING: {
        token t = lexer_take(lex);
        const char *name = lexer_text(lex, &t);
        if (!name) return false;
        if (!*name) return lexer_error(lex, at, TN_ERR_PARSE, "a symbol without a name");
        *d = dim_symbol(p->dims, name);
        return check(p, at, *d);
    }
    case TOKEN_VARIABLE: {
        token t = lexer_take(lex);
        uint32_t k = 0;
        for (size_t i = 0; i < t.length; i++) {
            if (t.text[i] < '0' || t.text[i] > '9' || k > 100000000)
                return lexer_error(lex, at, TN_ERR_PARSE, "no loop has such a number");
            k = k * 10 + (uint32_t)(t.text[i] - '0');
        }
        *d = dim_variable(p->dims, k);
        return check(p, at, *d);
    }
    default: return lexer_unexpected(lex, "a dim");
    }
}

static bool parse_factor(dim_parser *p, tn_dim *d) {
    size_t at = p->lex->next.at;
    if (p->depth >= MAX_NESTING)
        return lexer_error(p->lex, at, TN_ERR_LIMIT, "the dim is nested more than %d deep", MAX_NESTING);
    p->depth++;
    bool ok;
    if (lexer_accept(p->lex, "-")) {
        ok = parse_factor(p, d);
        if (ok) *d = dim_mul_const(p->dims, *d, -1);
        ok = ok && check(p, at, *d);
    } else if (lexer_accept(p->lex, "(")) {
        ok = parse_sum(p, d) && lexer_expect(p->lex, ")");
    } else {
        ok = parse_leaf(p, d);
    }
    p->depth--;
    return ok;
}

static bool parse_product(dim_parser *p, tn_dim *d) {
    if (!parse_factor(p, d)) return false;
    for (;;) {
        size_t at = p->lex->next.at;
        tn_dim b = DIM_INVALID;
        if (!lexer_accept(p->lex, "*")) return true;
        if (!parse_factor(p, &b)) return false;
        *d = dim_mul(p->dims, *d, b);
        if (!check(p, at, *d)) return false;
    }
}

static bool parse_sum(dim_parser *p, tn_dim *d) {
    if (!parse_product(p, d)) return false;
    for (;;) {
        size_t at = p->lex->next.at;
        tn_dim b = DIM_INVALID;
        bool plus = lexer_is(p->lex, "+");
        if (!plus && !lexer_is(p->lex, "-")) return true;
        lexer_take(p->lex);
        if (!parse_product(p, &b)) return false;
        *d = plus ? dim_add(p->dims, *d, b) : dim_sub(p->dims, *d, b);
        if (!check(p, at, *d)) return false;
    }
}

bool lexer_dim(lexer *lex, dim_table *dims, tn_dim *d) {
    *d = DIM_INVALID;
    return parse_sum(&(dim_parser){lex, dims, 0}, d);
}

static tn_dtype token_dtype(const token *t) {
    char name[16];
    if (t->kind != TOKEN_NAME || t->length >= sizeof name) return TN_DTYPE_INVALID;
    memcpy(name, t->text, t->length);
    name[t->length] = '\0';
    return strcmp(name, "token") == 0 ? TN_TOKEN : tn_dtype_from_name(name);
}

bool lexer_type(lexer *lex, dim_table *dims, tn_type *type) {
    tn_dtype dtype = token_dtype(&lex->next);
    if (dtype == TN_DTYPE_INVALID) return lexer_unexpected(lex, "a type (f32[n, 4], i64[])");
    lexer_take(lex);
    *type = (tn_type){.dtype = (uint8_t)dtype};
    if (dtype == TN_TOKEN) return true;
    if (!lexer_expect(lex, "[")) return false;
    if (lexer_accept(lex, "]")) return true;
    do {
        if (type->rank == TN_MAX_RANK)
            return lexer_error(lex, lex->next.at, TN_ERR_LIMIT, "a type has at most %d axes", TN_MAX_RANK);
        if (!lexer_dim(lex, dims, &type->dims[type->rank])) return false;
        type->rank++;
    } while (lexer_accept(lex, ","));
    return lexer_expect(lex, "]");
}
