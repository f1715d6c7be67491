/* Modules from text.
 *
 *   module    module "name" { function } [ loops anything ]
 *   function  [ kernel ] [ remat none|cheap|full ] [ gradient @name ] fn @name head { body }
 *   head      ( params ) -> ( results ) [ symbols [ ... ] ] [ where facts ] { require constraint }
 *   param     %x : type [ weight | state ] [ constant ]
 *   result    %y : type [ updates %x ]
 *   fact      n in [ low, high ] | n >= low | n % divisor == 0
 *   constraint  a == b for op | a <= b for op | a divides b for op
 *   body      { node } return [ %x { , %y } ]
 *
 * in:  any bytes
 * out: a module; what is wrong with the text is the module's error, with line, column and caret
 * law: a function is built when something first refers to it, so that functions may stand in
 *      any order and a cycle of calls is seen; nothing is in the module that the rules did not
 *      accept
 */
#include "ir/literal.h"
#include "ir/near.h"
#include "ir/parse.h"

#include <string.h>

enum { MAX_FUNCTIONS = 1 << 14, MAX_HEAD_ITEMS = 1 << 16, MAX_SYMBOLS = 1 << 12 };

/* ---- Shared -------------------------------------------------------------------------------------- */

void *list_reserve(parser *p, item_list *list, size_t n, size_t bytes_each) {
    size_t needed;
    if (__builtin_add_overflow(list->n, n, &needed) ||
        !array_reserve(&list->items, &list->capacity, needed, bytes_each)) {
        lexer_no_memory(&p->lex);
        return NULL;
    }
    return (char *)list->items + list->n * bytes_each;
}

int parser_line(parser *p, size_t at) {
    if (at > p->lex.length) at = p->lex.length;
    for (; p->counted_at < at; p->counted_at++) p->counted_line += p->lex.source[p->counted_at] == '\n';
    for (; p->counted_at > at; p->counted_at--) p->counted_line -= p->lex.source[p->counted_at - 1] == '\n';
    return p->counted_line;
}

bool parser_rule_error(parser *p, size_t at) {
    if (p->module->error.status == TN_OK)
        return lexer_error(&p->lex, at, TN_ERR_INTERNAL, "a rule failed without saying why");
    return lexer_error(&p->lex, at, p->module->error.status, "%s", p->module->error.message);
}

/* ---- Names of values ------------------------------------------------------------------------------- */

static value_name *name_slot(const value_names *names, const token *t, bool is_number) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < t->length; i++) hash = (hash ^ (unsigned char)t->text[i]) * 1099511628211u;
    size_t at = (size_t)(hash ^ hash >> 32) & (names->n_slots - 1);
    for (;; at = (at + 1) & (names->n_slots - 1)) {
        value_name *slot = &names->slots[at];
        if (!slot->text) return slot;
        if (slot->length == t->length && slot->is_number == is_number && memcmp(slot->text, t->text, t->length) == 0)
            return slot;
    }
}

/* True for %12; an unquoted name that begins with a digit must be a number. */
static bool is_number(const token *t) { return !t->quoted && t->length > 0 && t->text[0] >= '0' && t->text[0] <= '9'; }

static bool check_name(lexer *lex, const token *t) {
    if (t->length == 0) return lexer_error(lex, t->at, TN_ERR_PARSE, "a value without a name");
    for (size_t i = 0; is_number(t) && i < t->length; i++)
        if (t->text[i] < '0' || t->text[i] > '9')
            return lexer_error(lex, t->at, TN_ERR_PARSE, "a name that begins with a digit stands in quotes");
    return true;
}

static bool grow_names(function_parser *f) {
    value_names *names = &f->names, more = {.n_slots = names->n_slots ? names->n_slots * 2 : 64, .n = names->n};
    if (names->n * 4 < names->n_slots * 3) return true;
    more.slots = tn_calloc(more.n_slots, sizeof *more.slots);
    if (!more.slots) return lexer_no_memory(&f->p->lex);
    for (size_t i = 0; i < names->n_slots; i++) {
        const value_name *old = &names->slots[i];
        if (old->text) *name_slot(&more, &(token){.text = old->text, .length = old->length}, old->is_number) = *old;
    }
    tn_free(names->slots);
    *names = more;
    return true;
}

bool names_define(function_parser *f, const token *name, value_id v) {
    lexer *lex = &f->p->lex;
    if (!check_name(lex, name) || !grow_names(f)) return false;
    value_name *slot = name_slot(&f->names, name, is_number(name));
    int shown = name->length > 40 ? 40 : (int)name->length;
    if (slot->text) return lexer_error(lex, name->at, TN_ERR_PARSE, "%%%.*s is defined already", shown, name->text);
    *slot = (value_name){name->text, name->length, is_number(name), v};
    f->names.n++;
    value *defined = &f->graph->values[v];
    if (slot->is_number || defined->name) return true;
    defined->name = module_intern_n(f->p->module, name->text, name->length);
    return defined->name || lexer_no_memory(lex);
}

/* The names that an undefined one may be meant for, as near_text tells them; numbers have none that are near. */
static const char *near_value(function_parser *f, const token *name, char *text, size_t bytes) {
    near_names near = {.wanted = lexer_text(&f->p->lex, name)};
    for (size_t i = 0; near.wanted && !is_number(name) && i < f->names.n_slots; i++) {
        const value_name *slot = &f->names.slots[i];
        if (slot->text && !slot->is_number) near_offer(&near, f->graph->values[slot->value].name);
    }
    return near_text(&near, text, bytes);
}

bool names_find(function_parser *f, const token *name, value_id *v) {
    lexer *lex = &f->p->lex;
    if (!check_name(lex, name)) return false;
    const value_name *slot = f->names.n ? name_slot(&f->names, name, is_number(name)) : NULL;
    int shown = name->length > 40 ? 40 : (int)name->length;
    if (!slot || !slot->text) {
        char text[200];
        return lexer_error(lex, name->at, TN_ERR_PARSE, "%%%.*s is not defined before this%s", shown, name->text,
                           near_value(f, name, text, sizeof text));
    }
    *v = slot->value;
    return true;
}

/* ---- Heads -------------------------------------------------------------------------------------------- */

typedef struct head_result {
    token name;
    tn_type type;
    int32_t state_param;
} head_result;

static const char *value_name_text(function_parser *f, const token *t) {
    if (!check_name(&f->p->lex, t)) return NULL;
    return lexer_text(&f->p->lex, t);
}

static bool parse_param(function_parser *f) {
    parser *p = f->p;
    lexer *lex = &p->lex;
    tn_type type;
    if (lex->next.kind != TOKEN_VALUE) return lexer_unexpected(lex, "a parameter (%x: type)");
    token name = lexer_take(lex);
    if (!lexer_expect(lex, ":") || !lexer_type(lex, p->module->dims, &type)) return false;
    binding when = lexer_accept(lex, "weight")  ? BINDING_LOAD
                   : lexer_accept(lex, "state") ? BINDING_STATE
                                                : BINDING_RUN;
    const tensor_data *initial = NULL;
    bool has_data = lexer_is(lex, "{") || lex->next.kind == TOKEN_FUNCTION;
    if (has_data && when != BINDING_LOAD) return lexer_unexpected(lex, "`,` or `)` (only a weight has initial values)");
    if (has_data && !(initial = parse_data(p, &type))) return false;
    const char *text = value_name_text(f, &name);
    if (!text) return false;
    location_id former = graph_set_origin(f->graph, location_intern(p->module, lex->name, parser_line(p, name.at)));
    value_id v = graph_add_param(f->graph, text, &type, when);
    graph_set_origin(f->graph, former);
    if (v == VALUE_NONE) return parser_rule_error(p, name.at);
    f->graph->params[f->graph->n_params - 1].initial = initial;
    return names_define(f, &name, v);
}

static bool parse_params(function_parser *f) {
    lexer *lex = &f->p->lex;
    if (!lexer_expect(lex, "(")) return false;
    if (lexer_accept(lex, ")")) return true;
    do {
        if (f->graph->n_params == MAX_HEAD_ITEMS)
            return lexer_error(lex, lex->next.at, TN_ERR_LIMIT, "more than %d parameters", MAX_HEAD_ITEMS);
        if (!parse_param(f)) return false;
    } while (lexer_accept(lex, ","));
    return lexer_expect(lex, ")");
}

static bool parse_result(function_parser *f, head_result *r) {
    lexer *lex = &f->p->lex;
    if (lex->next.kind != TOKEN_VALUE) return lexer_unexpected(lex, "a result (%y: type)");
    *r = (head_result){.name = lexer_take(lex), .state_param = -1};
    if (!lexer_expect(lex, ":") || !lexer_type(lex, f->p->module->dims, &r->type)) return false;
    if (!lexer_accept(lex, "updates")) return true;
    if (lex->next.kind != TOKEN_VALUE) return lexer_unexpected(lex, "the parameter that is updated (%x)");
    token t = lexer_take(lex);
    value_id v;
    if (!names_find(f, &t, &v)) return false;
    r->state_param = (int32_t)attr_int(&graph_node_of(f->graph, v)->attrs, ATTR_index, 0);
    return true;
}

/* In memory from tn_malloc, whether it succeeds or not. */
static bool parse_results(function_parser *f, item_list *results) {
    lexer *lex = &f->p->lex;
    if (!lexer_expect(lex, "->") || !lexer_expect(lex, "(")) return false;
    if (lexer_accept(lex, ")")) return true;
    do {
        if (results->n == MAX_HEAD_ITEMS)
            return lexer_error(lex, lex->next.at, TN_ERR_LIMIT, "more than %d results", MAX_HEAD_ITEMS);
        head_result *r = list_reserve(f->p, results, 1, sizeof *r);
        if (!r || !parse_result(f, r)) return false;
        results->n++;
    } while (lexer_accept(lex, ","));
    return lexer_expect(lex, ")");
}

/* ---- What is known of symbols ---------------------------------------------------------------------------- */

static bool parse_symbol(function_parser *f, tn_dim *d) {
    lexer *lex = &f->p->lex;
    token t = lex->next;
    if (t.kind != TOKEN_NAME && t.kind != TOKEN_STRING) return lexer_unexpected(lex, "a symbol");
    lexer_take(lex);
    const char *name = lexer_text(lex, &t);
    if (!name) return false;
    *d = dim_symbol(f->p->module->dims, name);
    return *d != DIM_INVALID || lexer_no_memory(lex);
}

static symbol *find_symbol(tn_graph *g, tn_dim d) {
    for (size_t i = 0; i < g->n_symbols; i++)
        if (g->symbols[i].dim == d) return &g->symbols[i];
    return NULL;
}

/* `symbols [m, n]`: all symbols in their order, those included that no parameter has. */
static bool parse_symbol_list(function_parser *f) {
    lexer *lex = &f->p->lex;
    tn_graph *g = f->graph;
    if (!lexer_accept(lex, "symbols")) return true;
    size_t at = lex->next.at, n_found = g->n_symbols;
    symbol *found = ARENA_ARRAY(&lex->memory, symbol, n_found + 1);
    if (!found) return lexer_no_memory(lex);
    for (size_t i = 0; i < n_found; i++) found[i] = g->symbols[i];
    g->n_symbols = 0; /* the parameters may have brought them in another order */
    if (!lexer_expect(lex, "[")) return false;
    while (!lexer_is(lex, "]")) {
        tn_dim d;
        if (g->n_symbols && !lexer_expect(lex, ",")) return false;
        size_t here = lex->next.at;
        if (!parse_symbol(f, &d)) return false;
        if (find_symbol(g, d)) return lexer_error(lex, here, TN_ERR_PARSE, "the symbol is listed already");
        if (g->n_symbols == MAX_SYMBOLS)
            return lexer_error(lex, here, TN_ERR_LIMIT, "more than %d symbols", MAX_SYMBOLS);
        if (!graph_add_symbol(g, d, 0, INT64_MAX, 1)) return lexer_no_memory(lex);
    }
    lexer_take(lex);
    for (size_t i = 0; i < n_found; i++)
        if (!find_symbol(g, found[i].dim))
            return lexer_error(lex, at, TN_ERR_PARSE, "the list leaves out a symbol of the parameters");
    return true;
}

/* n in [1, 1024]   n >= 1   n % 8 == 0 */
static bool parse_fact(function_parser *f) {
    lexer *lex = &f->p->lex;
    size_t at = lex->next.at;
    tn_dim d;
    int64_t zero = 0;
    if (!parse_symbol(f, &d)) return false;
    const symbol *known = find_symbol(f->graph, d);
    if (!known)
        return lexer_error(lex, at, TN_ERR_PARSE, "no parameter has the symbol %s",
                           dim_symbol_name(f->p->module->dims, d));
    symbol s = *known;
    if (lexer_accept(lex, "in")) {
        if (!lexer_expect(lex, "[") || !lexer_int(lex, &s.low) || !lexer_expect(lex, ",") || !lexer_int(lex, &s.high) ||
            !lexer_expect(lex, "]"))
            return false;
    } else if (lexer_accept(lex, ">=")) {
        if (!lexer_int(lex, &s.low)) return false;
    } else if (lexer_accept(lex, "%")) {
        if (!lexer_int(lex, &s.divisor) || !lexer_expect(lex, "==") || !lexer_int(lex, &zero)) return false;
    } else {
        return lexer_unexpected(lex, "`in [low, high]`, `>= low` or `% divisor == 0`");
    }
    if (s.low < 0 || s.high < s.low)
        return lexer_error(lex, at, TN_ERR_PARSE, "no size of %s is within [%lld, %lld]",
                           dim_symbol_name(f->p->module->dims, d), (long long)s.low, (long long)s.high);
    if (s.divisor < 1 || zero != 0)
        return lexer_error(lex, at, TN_ERR_PARSE, "expected a divisor from 1 on that leaves 0, not %% %lld == %lld",
                           (long long)s.divisor, (long long)zero);
    return graph_add_symbol(f->graph, d, s.low, s.high, s.divisor) || lexer_no_memory(lex);
}

static bool symbol_is_known(void *ctx, tn_dim leaf) { return find_symbol(ctx, leaf) != NULL; }

static bool parse_constraint_dim(function_parser *f, tn_dim *d) {
    size_t at = f->p->lex.next.at;
    if (!lexer_dim(&f->p->lex, f->p->module->dims, d)) return false;
    return dim_visit_leaves(f->p->module->dims, *d, symbol_is_known, f->graph) ||
           lexer_error(&f->p->lex, at, TN_ERR_PARSE, "a symbol that no parameter has");
}

/* n == m for add */
static bool parse_constraint(function_parser *f) {
    lexer *lex = &f->p->lex;
    size_t at = lex->next.at;
    tn_dim a, b;
    relation r;
    if (!parse_constraint_dim(f, &a)) return false;
    if (lexer_accept(lex, "=="))
        r = RELATION_EQ;
    else if (lexer_accept(lex, "<="))
        r = RELATION_LE;
    else if (lexer_accept(lex, "divides"))
        r = RELATION_DIVIDES;
    else
        return lexer_unexpected(lex, "`==`, `<=` or `divides`");
    if (!parse_constraint_dim(f, &b) || !lexer_expect(lex, "for")) return false;
    tn_op op = lex->next.kind == TOKEN_NAME ? op_from_name(lex->next.text, lex->next.length) : TN_OP_COUNT;
    if (op == TN_OP_COUNT) return lexer_unexpected(lex, "an op");
    lexer_take(lex);
    if (f->graph->n_constraints == MAX_HEAD_ITEMS)
        return lexer_error(lex, at, TN_ERR_LIMIT, "more than %d constraints", MAX_HEAD_ITEMS);
    return graph_add_constraint(f->graph, r, a, b, op, parser_location(f->p, at)) || parser_rule_error(f->p, at);
}

static bool parse_facts(function_parser *f) {
    lexer *lex = &f->p->lex;
    if (!parse_symbol_list(f)) return false;
    if (lexer_accept(lex, "where")) {
        do {
            if (!parse_fact(f)) return false;
        } while (lexer_accept(lex, ","));
    }
    while (lexer_accept(lex, "require"))
        if (!parse_constraint(f)) return false;
    return true;
}

/* ---- Bodies ------------------------------------------------------------------------------------------------- */

static bool add_result(function_parser *f, const head_result *r, value_id v, size_t at) {
    parser *p = f->p;
    const char *name = value_name_text(f, &r->name);
    if (!name) return false;
    if (!type_equal(&r->type, graph_type(f->graph, v))) {
        char a[300], b[300];
        type_print(p->module->dims, &r->type, a, sizeof a);
        type_print(p->module->dims, graph_type(f->graph, v), b, sizeof b);
        return lexer_error(&p->lex, at, TN_ERR_PARSE, "result %s is stated as %s, but is %s", name, a, b);
    }
    return graph_add_result(f->graph, name, v, r->state_param) || parser_rule_error(p, r->name.at);
}

static bool parse_return(function_parser *f, const head_result *results, size_t n) {
    lexer *lex = &f->p->lex;
    size_t at = lex->next.at, given = 0;
    lexer_take(lex);
    if (lex->next.kind == TOKEN_VALUE) {
        do {
            value_id v;
            token t = lex->next;
            if (t.kind != TOKEN_VALUE) return lexer_unexpected(lex, "a value (%x)");
            lexer_take(lex);
            if (!names_find(f, &t, &v)) return false;
            if (given < n && !add_result(f, &results[given], v, t.at)) return false;
            given++;
        } while (lexer_accept(lex, ","));
    }
    if (given != n)
        return lexer_error(lex, at, TN_ERR_PARSE, "@%s returns %zu value%s, its head names %zu", f->graph->name, given,
                           given == 1 ? "" : "s", n);
    return lexer_expect(lex, "}");
}

static bool parse_body(function_parser *f, const head_result *results, size_t n) {
    lexer *lex = &f->p->lex;
    if (!lexer_expect(lex, "{")) return false;
    while (!lexer_is(lex, "return"))
        if (!parse_node(f)) return false;
    return parse_return(f, results, n);
}

static bool build_function(parser *p, text_function *function) {
    function_parser f = {.p = p, .graph = function->graph};
    item_list results = {0};
    function->state = BUILD_UNDER_WAY;
    lexer_go_to(&p->lex, function->header);
    bool ok =
        parse_params(&f) && parse_results(&f, &results) && parse_facts(&f) && parse_body(&f, results.items, results.n);
    if (ok && p->lex.next.at != function->after) ok = lexer_unexpected(&p->lex, "a function (fn @name) or the end");
    tn_free(f.names.slots);
    tn_free(results.items);
    function->state = BUILD_DONE;
    return ok;
}

static const char *near_function(parser *p, const token *name, char *text, size_t bytes) {
    near_names near = {.wanted = lexer_text(&p->lex, name)};
    for (size_t i = 0; near.wanted && i < p->n_functions; i++) near_offer(&near, p->functions[i].graph->name);
    return near_text(&near, text, bytes);
}

tn_graph *parser_function(parser *p, const token *name) {
    lexer *lex = &p->lex;
    int shown = name->length > 40 ? 40 : (int)name->length;
    text_function *function = NULL;
    for (size_t i = 0; i < p->n_functions && !function; i++) {
        const char *text = p->functions[i].graph->name;
        if (strlen(text) == name->length && memcmp(text, name->text, name->length) == 0) function = &p->functions[i];
    }
    if (!function) {
        char text[200];
        lexer_error(lex, name->at, TN_ERR_PARSE, "there is no function @%.*s%s", shown, name->text,
                    near_function(p, name, text, sizeof text));
        return NULL;
    }
    if (function->state == BUILD_UNDER_WAY)
        return lexer_error(lex, name->at, TN_ERR_PARSE, "@%.*s calls itself, here or further down", shown, name->text),
               NULL;
    if (function->state == BUILD_DONE) return function->graph;
    if (p->depth >= GRAPH_MAX_DEPTH)
        return lexer_error(lex, name->at, TN_ERR_LIMIT, "calls are nested more than %d deep", GRAPH_MAX_DEPTH), NULL;
    lexer_place here = lexer_save(lex);
    p->depth++;
    bool ok = build_function(p, function);
    p->depth--;
    lexer_go_to(lex, here);
    return ok ? function->graph : NULL;
}

/* ---- Modules ---------------------------------------------------------------------------------------------------- */

static bool at_function(const lexer *lex) {
    return lexer_is(lex, "fn") || lexer_is(lex, "kernel") || lexer_is(lex, "remat") || lexer_is(lex, "gradient");
}

/* gradient @name: a function that may come later */
static bool parse_gradient(lexer *lex, token *name) {
    *name = (token){0};
    if (!lexer_accept(lex, "gradient")) return true;
    if (lex->next.kind != TOKEN_FUNCTION || lex->next.length == 0)
        return lexer_unexpected(lex, "a function's name (@name)");
    *name = lexer_take(lex);
    return true;
}

/* Once all functions are known. */
static bool link_gradients(parser *p) {
    for (size_t i = 0; i < p->n_functions; i++) {
        const token *name = &p->functions[i].gradient;
        const char *text = name->length > 0 ? lexer_text(&p->lex, name) : NULL;
        if (name->length == 0) continue;
        if (!text) return false;
        p->functions[i].graph->gradient = module_find(p->module, text);
        if (!p->functions[i].graph->gradient)
            return lexer_error(&p->lex, name->at, TN_ERR_PARSE, "there is no function @%.100s", text);
    }
    return true;
}

/* remat none|cheap|full */
static bool parse_remat(lexer *lex, uint8_t *how) {
    *how = REMAT_CHEAP;
    if (!lexer_accept(lex, "remat")) return true;
    for (int i = 0; i < REMAT_COUNT; i++)
        if (lexer_accept(lex, remat_names[i])) {
            *how = (uint8_t)i;
            return true;
        }
    return lexer_unexpected(lex, "none, cheap or full");
}

/* Moves past a function's head and body, by its braces. */
static bool skip_function(lexer *lex) {
    size_t open = lex->next.at, depth = 0;
    while (lex->next.kind != TOKEN_END) {
        bool starts = lexer_is(lex, "{"), ends = lexer_is(lex, "}");
        /* Braces stand around constants too, also in the head; a body ends with a } after `return`. */
        if (depth == 0 && at_function(lex)) return lexer_unexpected(lex, "the function's body");
        depth += starts;
        depth -= ends && depth > 0;
        bool is_last = ends && depth == 0;
        lexer_take(lex);
        if (is_last && (lex->next.kind == TOKEN_END || at_function(lex) || lexer_is(lex, "loops"))) return true;
    }
    return lexer_error(lex, open, TN_ERR_PARSE, "the function has no end");
}

/* Notes the function that begins here and moves past it. */
static bool find_function(parser *p) {
    lexer *lex = &p->lex;
    bool is_kernel = lexer_accept(lex, "kernel");
    uint8_t how;
    token gradient;
    if (!parse_remat(lex, &how) || !parse_gradient(lex, &gradient)) return false;
    if (!lexer_accept(lex, "fn")) return lexer_unexpected(lex, "a function (fn @name)");
    if (lex->next.kind != TOKEN_FUNCTION || lex->next.length == 0)
        return lexer_unexpected(lex, "a function's name (@name)");
    token name = lexer_take(lex);
    const char *text = lexer_text(lex, &name);
    if (!text) return false;
    if (module_find(p->module, text))
        return lexer_error(lex, name.at, TN_ERR_PARSE, "there is a function @%.100s already", text);
    if (p->n_functions == MAX_FUNCTIONS)
        return lexer_error(lex, name.at, TN_ERR_LIMIT, "more than %d functions", MAX_FUNCTIONS);
    void *functions = p->functions;
    if (!array_reserve(&functions, &p->functions_capacity, p->n_functions + 1, sizeof *p->functions))
        return lexer_no_memory(lex);
    p->functions = functions;
    tn_graph *g = module_add_graph(p->module, text);
    if (!g) return lexer_no_memory(lex);
    g->is_kernel = is_kernel;
    g->remat = how;
    text_function *function = &p->functions[p->n_functions++];
    *function = (text_function){.graph = g, .header = lexer_save(lex), .state = BUILD_WAITING, .gradient = gradient};
    bool ok = skip_function(lex);
    function->after = lex->next.at;
    return ok;
}

/* Keeps what follows the word `loops` as it is. */
static bool keep_loops(parser *p) {
    lexer *lex = &p->lex;
    size_t at = lex->next.at + strlen("loops"), length = lex->length - at;
    char *text = arena_alloc(&p->module->memory, length + 1, 1);
    if (!text) return lexer_no_memory(lex);
    memcpy(text, lex->source + at, length);
    text[length] = '\0';
    p->module->loops = (loops_text){text, length, module_intern(p->module, lex->name), parser_line(p, at)};
    return true;
}

static bool parse_module(parser *p) {
    lexer *lex = &p->lex;
    if (lexer_failed(lex) || !lexer_expect(lex, "module")) return false;
    token name = lex->next;
    if (name.kind != TOKEN_STRING) return lexer_unexpected(lex, "the module's name, in quotes");
    lexer_take(lex);
    p->module->name = module_intern_n(p->module, name.text, name.length);
    if (!p->module->name) return lexer_no_memory(lex);
    while (lex->next.kind != TOKEN_END && !lexer_is(lex, "loops"))
        if (!find_function(p)) return false;
    if (lex->next.kind != TOKEN_END && !keep_loops(p)) return false;
    if (!link_gradients(p)) return false;
    for (size_t i = 0; i < p->n_functions && !lexer_failed(lex); i++)
        if (p->functions[i].state == BUILD_WAITING && !build_function(p, &p->functions[i])) return false;
    return !lexer_failed(lex);
}

/* The lexer's error, or none, becomes the module's. */
static void hand_over_error(parser *p) {
    const tn_diag *error = &p->lex.error;
    if (error->status == TN_OK) return;
    p->module->error = (tn_diag){.status = TN_OK};
    module_error_at(p->module, error->status, error->file, error->line, error->column, "%s", error->message);
}

tn_module *tn_module_parse(const char *text, size_t length, const char *name) {
    tn_module *m = module_new("");
    literal_locale locale;
    if (!m) return NULL;
    if (!literal_begin(&locale)) {
        tn_module_free(m);
        return NULL;
    }
    parser p = {.module = m, .counted_line = 1};
    bool is_too_long = text && length > INT32_MAX; /* lines are counted in an int */
    lexer_start(&p.lex, text ? text : "", text && !is_too_long ? length : 0, name);
    if (is_too_long) lexer_error(&p.lex, 0, TN_ERR_LIMIT, "a text has at most 2 GiB");
    parse_module(&p);
    hand_over_error(&p);
    tn_free(p.functions);
    tn_free(p.elements.items);
    lexer_free(&p.lex);
    literal_end(&locale);
    return m;
}
