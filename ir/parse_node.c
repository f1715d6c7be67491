/* Nodes in the text form.
 *
 *   node  [ %x { , %y } = ] op { operand , } { name=attribute , } [ : type { , type } ] [ # location ]
 *
 * in:  tokens
 * out: a node of the graph, made by graph_apply, so that every rule has been asked
 * law: the types that the text states are compared with what the rules infer
 */
#include "ir/literal.h"
#include "ir/near.h"
#include "ir/parse.h"

#include <string.h>

enum { MAX_OPERANDS = 1 << 16, MAX_ITEMS = 1 << 20, MAX_RESULTS = 1 << 12 };

typedef struct node_text {
    size_t at; /* of the op's name */
    tn_op op;
    token *results;
    uint32_t n_results;
    value_id *operands;
    uint32_t n_operands;
    attr attrs[OP_MAX_ATTRS];
    uint32_t n_attrs;
    tn_type *types;
    uint32_t n_types;
} node_text;

/* Appends an item to an array in the lexer's memory: doubles it, the old copy stays until the end. */
static void *append(function_parser *f, void *items, uint32_t n, size_t bytes_each, uint32_t limit, const char *what) {
    lexer *lex = &f->p->lex;
    if (n >= limit) return lexer_error(lex, lex->next.at, TN_ERR_LIMIT, "more than %u %s", (unsigned)limit, what), NULL;
    if (n & (n - 1)) return items;
    if (n == 1 || n == 2) return items; /* the first copy has room for 4 */
    void *more = arena_alloc(&lex->memory, n ? (size_t)n * 2 : 4, bytes_each);
    if (!more) return lexer_no_memory(lex), NULL;
    if (n) memcpy(more, items, n * bytes_each);
    return more;
}

/* ---- Attributes ----------------------------------------------------------------------------------- */

typedef bool parse_attr(function_parser *f, attr *a);

static bool take_int(function_parser *f, attr *a) { return lexer_int(&f->p->lex, &a->i); }

static bool take_ints(function_parser *f, int64_t **items, uint32_t *n) {
    lexer *lex = &f->p->lex;
    if (!lexer_expect(lex, "[")) return false;
    if (lexer_accept(lex, "]")) return true;
    do {
        int64_t *more = append(f, *items, *n, sizeof **items, MAX_ITEMS, "integers in a list");
        if (!more) return false;
        *items = more;
        if (!lexer_int(lex, &more[*n])) return false;
        ++*n;
    } while (lexer_accept(lex, ","));
    return lexer_expect(lex, "]");
}

static bool take_int_list(function_parser *f, attr *a) {
    int64_t *items = NULL;
    uint32_t n = 0;
    if (!take_ints(f, &items, &n)) return false;
    a->ints.items = items;
    a->ints.n = n;
    return true;
}

static bool take_pair(function_parser *f, attr *a) {
    int64_t *items = NULL;
    uint32_t n = 0;
    if (!take_ints(f, &items, &n)) return false;
    a->split = n;
    if (!lexer_expect(&f->p->lex, "x") || !take_ints(f, &items, &n)) return false;
    a->ints.items = items;
    a->ints.n = n;
    return true;
}

static bool take_dim(function_parser *f, attr *a) { return lexer_dim(&f->p->lex, f->p->module->dims, &a->dim); }

static bool take_dims(function_parser *f, attr *a) {
    lexer *lex = &f->p->lex;
    tn_dim *items = NULL;
    uint32_t n = 0;
    if (!lexer_expect(lex, "[")) return false;
    while (!lexer_is(lex, "]")) {
        if (n && !lexer_expect(lex, ",")) return false;
        tn_dim *more = append(f, items, n, sizeof *items, MAX_ITEMS, "dims in a list");
        if (!more) return false;
        items = more;
        if (!lexer_dim(lex, f->p->module->dims, &items[n])) return false;
        n++;
    }
    lexer_take(lex);
    a->dims.items = items;
    a->dims.n = n;
    return true;
}

static bool take_float(function_parser *f, attr *a) {
    size_t at = f->p->lex.next.at;
    char text[80];
    if (!lexer_literal(&f->p->lex, text)) return false;
    return literal_parse(TN_F64, text, &a->f) == LITERAL_OK ||
           lexer_error(&f->p->lex, at, TN_ERR_PARSE, "%s is no number", text);
}

static bool take_enum(function_parser *f, attr *a) {
    lexer *lex = &f->p->lex;
    const token *t = &lex->next;
    a->i = t->kind == TOKEN_NAME ? attr_option_value((attr_name)a->name, t->text, t->length) : -1;
    if (a->i >= 0) return lexer_take(lex), true;
    char options[160] = "one of";
    for (int64_t i = 0; attr_option((attr_name)a->name, i); i++) {
        const char *option = attr_option((attr_name)a->name, i);
        size_t used = strlen(options), n = strlen(option);
        if (used + n + 2 > sizeof options) break;
        options[used] = ' ';
        memcpy(options + used + 1, option, n + 1);
    }
    return lexer_unexpected(lex, options);
}

static bool take_dtype(function_parser *f, attr *a) {
    lexer *lex = &f->p->lex;
    const char *name = lex->next.kind == TOKEN_NAME ? lexer_text(lex, &lex->next) : NULL;
    tn_dtype dtype = name ? tn_dtype_from_name(name) : TN_DTYPE_INVALID;
    if (dtype >= TN_DTYPE_COUNT) return lexer_unexpected(lex, "a dtype");
    lexer_take(lex);
    a->i = dtype;
    return true;
}

static bool take_text(function_parser *f, attr *a) {
    lexer *lex = &f->p->lex;
    if (lex->next.kind != TOKEN_STRING) return lexer_unexpected(lex, "a string");
    token t = lexer_take(lex);
    a->text = lexer_text(lex, &t);
    return a->text != NULL;
}

static bool take_func(function_parser *f, attr *a) {
    lexer *lex = &f->p->lex;
    if (lex->next.kind != TOKEN_FUNCTION) return lexer_unexpected(lex, "a function (@name)");
    token t = lexer_take(lex);
    a->func = parser_function(f->p, &t);
    return a->func != NULL;
}

static bool take_data(function_parser *f, attr *a) {
    tn_type type;
    if (!lexer_type(&f->p->lex, f->p->module->dims, &type)) return false;
    a->data = parse_data(f->p, &type);
    return a->data != NULL;
}

static parse_attr *const parse_by_kind[] = {
    [ATTR_KIND_INT] = take_int,   [ATTR_KIND_INTS] = take_int_list, [ATTR_KIND_DIM] = take_dim,
    [ATTR_KIND_DIMS] = take_dims, [ATTR_KIND_PAIR] = take_pair,     [ATTR_KIND_FLOAT] = take_float,
    [ATTR_KIND_ENUM] = take_enum, [ATTR_KIND_DTYPE] = take_dtype,   [ATTR_KIND_TEXT] = take_text,
    [ATTR_KIND_FUNC] = take_func, [ATTR_KIND_DATA] = take_data,
};

static bool parse_attribute(function_parser *f, node_text *n) {
    lexer *lex = &f->p->lex;
    token t = lex->next;
    if (t.kind != TOKEN_NAME) return lexer_unexpected(lex, "an operand (%x) or an attribute (name=...)");
    attr_name name = attr_from_name(t.text, t.length);
    int shown = t.length > 40 ? 40 : (int)t.length;
    if (name == ATTR_COUNT) {
        char known[200];
        return lexer_error(lex, t.at, TN_ERR_PARSE, "no attribute is called %.*s (%s has %s)", shown, t.text,
                           op_name(n->op), op_attributes_text(n->op, known, sizeof known));
    }
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].name == name) return lexer_error(lex, t.at, TN_ERR_PARSE, "%.*s is given twice", shown, t.text);
    if (n->n_attrs == OP_MAX_ATTRS)
        return lexer_error(lex, t.at, TN_ERR_LIMIT, "more than %d attributes", OP_MAX_ATTRS);
    lexer_take(lex);
    attr *a = &n->attrs[n->n_attrs++];
    *a = (attr){.name = (uint8_t)name};
    return lexer_expect(lex, "=") && parse_by_kind[attr_kind_of(name)](f, a);
}

/* ---- Parts of a node --------------------------------------------------------------------------------- */

static bool parse_result_names(function_parser *f, node_text *n) {
    lexer *lex = &f->p->lex;
    if (lex->next.kind != TOKEN_VALUE) return true;
    do {
        if (lex->next.kind != TOKEN_VALUE) return lexer_unexpected(lex, "a value (%x)");
        token *more = append(f, n->results, n->n_results, sizeof *more, MAX_RESULTS, "results");
        if (!more) return false;
        n->results = more;
        n->results[n->n_results++] = lexer_take(lex);
    } while (lexer_accept(lex, ","));
    return lexer_expect(lex, "=");
}

static bool parse_operand(function_parser *f, node_text *n) {
    lexer *lex = &f->p->lex;
    if (n->n_attrs) return lexer_error(lex, lex->next.at, TN_ERR_PARSE, "operands come before attributes");
    value_id *more = append(f, n->operands, n->n_operands, sizeof *more, MAX_OPERANDS, "operands");
    if (!more) return false;
    n->operands = more;
    token t = lexer_take(lex);
    return names_find(f, &t, &n->operands[n->n_operands++]);
}

/* Operands and attributes: the list is empty when what follows the op stands on another line. */
static bool parse_arguments(function_parser *f, node_text *n) {
    lexer *lex = &f->p->lex;
    int line = parser_line(f->p, n->at);
    if (lexer_is(lex, ":") || lex->next.kind == TOKEN_END || lexer_is(lex, "}") ||
        parser_line(f->p, lex->next.at) != line)
        return true;
    do {
        if (!(lex->next.kind == TOKEN_VALUE ? parse_operand(f, n) : parse_attribute(f, n))) return false;
    } while (lexer_accept(lex, ","));
    return true;
}

static bool parse_types(function_parser *f, node_text *n) {
    lexer *lex = &f->p->lex;
    if (!lexer_accept(lex, ":")) return true;
    do {
        tn_type *more = append(f, n->types, n->n_types, sizeof *more, MAX_RESULTS, "types");
        if (!more) return false;
        n->types = more;
        if (!lexer_type(lex, f->p->module->dims, &n->types[n->n_types])) return false;
        n->n_types++;
    } while (lexer_accept(lex, ","));
    return true;
}

/* ---- Locations ------------------------------------------------------------------------------------------ */

/* A file's name is a C string: none holds a NUL. */
static const char *file_name(parser *p, const char *s, size_t n) {
    return n > 0 && !memchr(s, '\0', n) ? module_intern_n(p->module, s, n) : NULL;
}

/* Takes `file:line` or `"odd name":line` (the line may be missing there) from s[*i] on; false: there
 * is none. */
static bool take_location(parser *p, const char *s, size_t n, size_t *i, location_id *set) {
    const char *file = NULL;
    while (*i < n && s[*i] == ' ') ++*i;
    bool quoted = *i < n && s[*i] == '"';
    if (quoted) {
        lexer name;
        lexer_start(&name, s + *i, n - *i, p->lex.name);
        if (name.next.kind == TOKEN_STRING) file = file_name(p, name.next.text, name.next.length);
        *i += name.at;
        lexer_free(&name);
    } else {
        size_t begin = *i;
        while (*i < n && s[*i] != ':' && s[*i] != ' ' && s[*i] != ',') ++*i;
        file = file_name(p, s + begin, *i - begin);
    }
    int64_t line = 0;
    bool has_line = *i < n && s[*i] == ':';
    size_t digits = *i + has_line;
    for (*i = digits; has_line && *i < n && s[*i] >= '0' && s[*i] <= '9' && line < INT32_MAX / 10; ++*i)
        line = line * 10 + (s[*i] - '0');
    if (!file || (has_line ? *i == digits : !quoted)) return false;
    *set = location_union(p->module, *set, location_intern(p->module, file, (int)line));
    return true;
}

location_id parser_location(parser *p, size_t at) {
    const char *comment = p->lex.source + p->lex.comment;
    size_t n = p->lex.comment_length, i = 0;
    location_id set = LOCATION_NONE;
    while (n > 0 && (comment[n - 1] == ' ' || comment[n - 1] == '\r' || comment[n - 1] == '\t')) n--;
    while (i < n) {
        if (!take_location(p, comment, n, &i, &set) || (i < n && comment[i] != ',')) {
            set = LOCATION_NONE;
            break;
        }
        i++;
    }
    return set != LOCATION_NONE ? set : location_intern(p->module, p->lex.name, parser_line(p, at));
}

/* ---- Nodes ------------------------------------------------------------------------------------------------ */

static bool check_type(function_parser *f, const node_text *n, uint32_t i, const tn_type *inferred) {
    const tn_type *stated = &n->types[i];
    if (type_equal(stated, inferred)) return true;
    char a[300], b[300];
    type_print(f->p->module->dims, stated, a, sizeof a);
    type_print(f->p->module->dims, inferred, b, sizeof b);
    return lexer_error(&f->p->lex, n->at, TN_ERR_PARSE, "%s: result %u is stated as %s, but is %s", op_name(n->op),
                       (unsigned)i, a, b);
}

static bool apply_node(function_parser *f, const node_text *n, location_id where) {
    parser *p = f->p;
    value_id first = VALUE_NONE;
    uint32_t n_results;
    if (!graph_apply(f->graph, where, n->op, n->operands, n->n_operands, n->attrs, n->n_attrs, &first, 1, &n_results))
        return parser_rule_error(p, n->at);
    if (n_results != n->n_results)
        return lexer_error(&p->lex, n->at, TN_ERR_PARSE, "the number of results of %s is %u, not %u", op_name(n->op),
                           (unsigned)n_results, (unsigned)n->n_results);
    if (n->n_types && n->n_types != n_results)
        return lexer_error(&p->lex, n->at, TN_ERR_PARSE, "the number of results of %s is %u, but that of types %u",
                           op_name(n->op), (unsigned)n_results, (unsigned)n->n_types);
    for (uint32_t i = 0; i < n_results; i++) {
        if (n->n_types && !check_type(f, n, i, graph_type(f->graph, first + i))) return false;
        if (!names_define(f, &n->results[i], first + i)) return false;
    }
    return true;
}

/* The ops that an unknown one may be meant for, as near_text tells them. */
static const char *near_op(lexer *lex, const token *given, char *text, size_t bytes) {
    near_names near = {.wanted = lexer_text(lex, given)};
    for (int op = 0; near.wanted && op < TN_OP_COUNT; op++)
        if (op != TN_OP_param) near_offer(&near, op_name((tn_op)op));
    return near_text(&near, text, bytes);
}

bool parse_node(function_parser *f) {
    lexer *lex = &f->p->lex;
    node_text n = {.op = TN_OP_COUNT};
    if (!parse_result_names(f, &n)) return false;
    n.at = lex->next.at;
    token t = lex->next;
    if (t.kind == TOKEN_NAME) n.op = op_from_name(t.text, t.length);
    int shown = t.length > 40 ? 40 : (int)t.length;
    if (t.kind == TOKEN_NAME && n.op == TN_OP_COUNT) {
        char text[200];
        return lexer_error(lex, n.at, TN_ERR_PARSE, "there is no op %.*s%s", shown, t.text,
                           near_op(lex, &t, text, sizeof text));
    }
    if (n.op == TN_OP_COUNT) return lexer_unexpected(lex, "an op");
    if (n.op == TN_OP_param) return lexer_error(lex, n.at, TN_ERR_PARSE, "parameters stand in the function's head");
    lexer_take(lex);
    if (!parse_arguments(f, &n) || !parse_types(f, &n) || lexer_failed(lex)) return false;
    return apply_node(f, &n, parser_location(f->p, n.at));
}
