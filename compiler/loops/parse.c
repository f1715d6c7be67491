/* Loop trees from text: the reader of what print.c writes.
 *
 * in:  text, nothing known of it
 * out: a kernel with the text's numbers of values and variables; or NULL with line, column and
 *      what was expected in the module's diagnostic
 * law: reads back what was printed, locations aside; does not check what lt_verify checks, but
 *      every id in the result is within its bounds
 */
#include "compiler/loops/build.h"
#include "compiler/loops/scalar.h"
#include "ir/lex.h"
#include "ir/literal.h"
#include "ir/op.h"

#include <string.h>

enum { MAX_NESTING = 64, MAX_IDS = 1 << 20, MAX_CARRIES = 4096 };

typedef struct parser {
    lexer lex;
    lt_builder b;
    dim_table *dims;
    int depth;
} parser;

/* ---- Words, numbers, names ---- */

/* NULL: an error is recorded. */
static const char *take_name(parser *p, const char *what) {
    if (p->lex.next.kind != TOKEN_NAME) {
        lexer_unexpected(&p->lex, what);
        return NULL;
    }
    token t = lexer_take(&p->lex);
    return lexer_text(&p->lex, &t);
}

static bool take_uint(parser *p, uint32_t *n, uint32_t limit) {
    size_t at = p->lex.next.at;
    int64_t i;
    if (!lexer_int(&p->lex, &i)) return false;
    if (i < 0 || i > (int64_t)limit)
        return lexer_error(&p->lex, at, TN_ERR_LIMIT, "the number is not between 0 and %u", limit);
    *n = (uint32_t)i;
    return true;
}

static bool take_dtype(parser *p, tn_dtype *dtype) {
    size_t at = p->lex.next.at;
    const char *name = take_name(p, "a dtype");
    if (!name) return false;
    *dtype = tn_dtype_from_name(name);
    return *dtype < TN_DTYPE_COUNT || lexer_error(&p->lex, at, TN_ERR_PARSE, "no dtype is called %s", name);
}

static bool take_op(parser *p, tn_op *op) {
    size_t at = p->lex.next.at;
    const char *name = take_name(p, "an op");
    if (!name) return false;
    *op = op_from_name(name, strlen(name));
    return *op < TN_OP_COUNT || lexer_error(&p->lex, at, TN_ERR_PARSE, "no op is called %s", name);
}

static bool take_dim(parser *p, tn_dim *d) { return lexer_dim(&p->lex, p->dims, d); }

/* Digits of %k or $k. */
static bool take_id(parser *p, token_kind kind, const char *what, uint32_t *id) {
    if (p->lex.next.kind != kind || p->lex.next.quoted) return lexer_unexpected(&p->lex, what);
    token t = lexer_take(&p->lex);
    uint32_t n = 0;
    for (size_t i = 0; i < t.length; i++) {
        if (t.text[i] < '0' || t.text[i] > '9' || n > MAX_IDS)
            return lexer_error(&p->lex, t.at, TN_ERR_PARSE, "expected %s with a number up to %d", what, MAX_IDS);
        n = n * 10 + (uint32_t)(t.text[i] - '0');
    }
    *id = n;
    return n <= MAX_IDS || lexer_error(&p->lex, t.at, TN_ERR_LIMIT, "%s beyond number %d", what, MAX_IDS);
}

/* A value that is read: it must have been defined further up. */
static bool take_value(parser *p, lt_value *v) {
    size_t at = p->lex.next.at;
    if (!take_id(p, TOKEN_VALUE, "a value", v)) return false;
    return lt_dtype(&p->b, *v) != TN_DTYPE_INVALID || lexer_error(&p->lex, at, TN_ERR_PARSE, "%%%u is not defined", *v);
}

static bool take_variable(parser *p, tn_dim *variable) {
    uint32_t number = 0;
    if (!take_id(p, TOKEN_VARIABLE, "a variable", &number)) return false;
    if (number >= p->b.kernel->n_variables) p->b.kernel->n_variables = number + 1;
    *variable = dim_variable(p->dims, number);
    return *variable != DIM_INVALID || lexer_no_memory(&p->lex);
}

static bool take_buffer(parser *p, uint32_t *buffer) {
    size_t at = p->lex.next.at;
    const char *name = take_name(p, "a buffer");
    if (!name) return false;
    for (*buffer = 0; *buffer < p->b.kernel->n_buffers; ++*buffer)
        if (strcmp(p->b.kernel->buffers[*buffer].name, name) == 0) return true;
    return lexer_error(&p->lex, at, TN_ERR_PARSE, "no buffer is called %s", name);
}

static bool built(parser *p) {
    return !p->b.failed || lexer_error(&p->lex, p->lex.taken_end, TN_ERR_LIMIT, "the kernel is too large");
}

static bool define(parser *p, lt_value v, tn_dtype dtype) { return lt_declare_value(&p->b, v, dtype) || built(p); }

/* ---- Statements ---- */

static bool parse_block(parser *p, lt_block *block, lt_stmt *loop);

static bool constant_bits(parser *p, size_t at, tn_dtype dtype, const char *text, uint64_t *bits) {
    uint64_t element = 0;
    literal_fault fault = literal_parse(dtype, text, &element);
    *bits = scalar_read(dtype, &element);
    return fault == LITERAL_OK || lexer_error(&p->lex, at, TN_ERR_PARSE, "%s is no %s", text, tn_dtype_name(dtype));
}

static bool take_access(parser *p, lt_stmt *s) {
    return take_buffer(p, &s->access.buffer) && lexer_expect(&p->lex, "[") && take_dim(p, &s->access.index) &&
           lexer_expect(&p->lex, "]");
}

static bool take_guard(parser *p, lt_stmt *s) {
    s->access.guard = LT_NONE;
    return !lexer_accept(&p->lex, "if") || take_value(p, &s->access.guard);
}

static bool parse_load(parser *p, lt_stmt *s) {
    s->kind = LT_LOAD;
    s->access.value = LT_NONE;
    return take_access(p, s) && take_guard(p, s);
}

static bool parse_store(parser *p, lt_stmt *s) {
    if (!take_access(p, s) || !lexer_expect(&p->lex, ",") || !take_value(p, &s->access.value) || !take_guard(p, s))
        return false;
    s->dtype = p->b.kernel->buffers[s->access.buffer].dtype;
    return true;
}

static bool take_relation(parser *p, int32_t *relation) {
    size_t at = p->lex.next.at;
    const char *name = take_name(p, "eq, ne, lt, le, gt or ge");
    if (!name) return false;
    for (*relation = 0; attr_option(ATTR_compare, *relation); ++*relation)
        if (strcmp(attr_option(ATTR_compare, *relation), name) == 0) return true;
    return lexer_error(&p->lex, at, TN_ERR_PARSE, "expected eq, ne, lt, le, gt or ge, not %s", name);
}

static bool parse_op(parser *p, lt_stmt *s) {
    s->kind = LT_OP;
    for (uint32_t i = 0; i < LT_MAX_OPERANDS; i++) s->op.operands[i] = LT_NONE;
    if (!take_op(p, &s->op.op) || (s->op.op == TN_OP_compare && !take_relation(p, &s->op.compare))) return false;
    do {
        if (s->op.n_operands == LT_MAX_OPERANDS)
            return lexer_error(&p->lex, p->lex.next.at, TN_ERR_PARSE, "at most %d operands", LT_MAX_OPERANDS);
        if (!take_value(p, &s->op.operands[s->op.n_operands++])) return false;
    } while (lexer_accept(&p->lex, ","));
    return true;
}

/* %k = ... : dtype */
static bool parse_definition(parser *p) {
    lt_value v;
    char text[80] = "";
    size_t at = p->lex.next.at;
    if (!take_id(p, TOKEN_VALUE, "a value", &v) || !lexer_expect(&p->lex, "=")) return false;
    lt_stmt *s = lt_append(&p->b, LT_CONST);
    bool ok;
    if (lexer_accept(&p->lex, "const"))
        ok = lexer_literal(&p->lex, text);
    else if (lexer_accept(&p->lex, "dim")) {
        s->kind = LT_DIM;
        ok = take_dim(p, &s->dim.dim);
    } else if (lexer_accept(&p->lex, "load"))
        ok = parse_load(p, s);
    else
        ok = parse_op(p, s);
    if (!ok || !lexer_expect(&p->lex, ":") || !take_dtype(p, &s->dtype)) return false;
    s->result = v;
    if (s->kind == LT_CONST && !constant_bits(p, at, s->dtype, text, &s->constant.bits)) return false;
    return define(p, v, s->dtype);
}

static bool parse_bind(parser *p, lt_stmt *s) {
    s->bind.site = LT_NONE;
    if (!take_variable(p, &s->bind.variable) || !lexer_expect(&p->lex, "=") || !take_value(p, &s->bind.value) ||
        !lexer_expect(&p->lex, "below") || !take_dim(p, &s->bind.limit) || !lexer_expect(&p->lex, "element") ||
        !take_dim(p, &s->bind.element))
        return false;
    return !lexer_accept(&p->lex, "site") || take_uint(p, &s->bind.site, MAX_IDS);
}

static bool parse_check(parser *p, lt_stmt *s) {
    return take_value(p, &s->check.value) && lexer_expect(&p->lex, "element") && take_dim(p, &s->check.element) &&
           lexer_expect(&p->lex, "site") && take_uint(p, &s->check.site, MAX_IDS);
}

/* %inner = %init [by op] -> %result */
static bool take_carry(parser *p, lt_carry *c) {
    c->combine = TN_OP_COUNT;
    c->next = LT_NONE;
    if (!take_id(p, TOKEN_VALUE, "a value", &c->inner) || !lexer_expect(&p->lex, "=") || !take_value(p, &c->init))
        return false;
    c->dtype = lt_dtype(&p->b, c->init);
    if (lexer_accept(&p->lex, "by") && !take_op(p, &c->combine)) return false;
    return lexer_expect(&p->lex, "->") && take_id(p, TOKEN_VALUE, "a value", &c->result) &&
           define(p, c->inner, c->dtype) && define(p, c->result, c->dtype);
}

static bool take_carries(parser *p, lt_stmt *s) {
    uint32_t capacity = 0;
    do {
        if (s->loop.n_carries == MAX_CARRIES)
            return lexer_error(&p->lex, p->lex.next.at, TN_ERR_LIMIT, "more than %d carried values", MAX_CARRIES);
        if (s->loop.n_carries == capacity) {
            capacity = capacity ? capacity * 2 : 4;
            lt_carry *more = ARENA_ARRAY(&p->b.kernel->module->memory, lt_carry, capacity);
            if (!more) return lexer_no_memory(&p->lex);
            if (s->loop.n_carries) memcpy(more, s->loop.carries, s->loop.n_carries * sizeof *more);
            s->loop.carries = more;
        }
        if (!take_carry(p, &s->loop.carries[s->loop.n_carries++])) return false;
    } while (lexer_accept(&p->lex, ","));
    return lexer_expect(&p->lex, ")");
}

static bool parse_for(parser *p, lt_stmt *s) {
    s->loop.kind = LT_SERIAL;
    s->loop.width = 1;
    if (!take_variable(p, &s->loop.variable) || !lexer_expect(&p->lex, "in") || !take_dim(p, &s->loop.begin) ||
        !lexer_expect(&p->lex, "to") || !take_dim(p, &s->loop.end))
        return false;
    if (lexer_accept(&p->lex, "vector")) {
        s->loop.kind = LT_VECTOR;
        if (!take_uint(p, &s->loop.width, MAX_IDS)) return false;
    } else if (lexer_accept(&p->lex, "unrolled"))
        s->loop.kind = LT_UNROLLED;
    if (lexer_accept(&p->lex, "carry") && (!lexer_expect(&p->lex, "(") || !take_carries(p, s))) return false;
    return parse_block(p, &s->loop.body, s);
}

static bool parse_if(parser *p, lt_stmt *s) {
    if (!take_value(p, &s->branch.condition) || !parse_block(p, &s->branch.then, NULL)) return false;
    return !lexer_accept(&p->lex, "else") || parse_block(p, &s->branch.otherwise, NULL);
}

/* name[index; stride] or name[index; stride, second] */
static bool take_panel(parser *p, uint32_t *buffer, tn_dim *index, tn_dim *stride, tn_dim *second) {
    return take_buffer(p, buffer) && lexer_expect(&p->lex, "[") && take_dim(p, index) && lexer_expect(&p->lex, ";") &&
           take_dim(p, stride) && (!second || (lexer_expect(&p->lex, ",") && take_dim(p, second))) &&
           lexer_expect(&p->lex, "]");
}

/* by steps[a, b] by ... */
static bool take_inner(parser *p, lt_stmt *s) {
    for (s->tile.n_inner = 0; s->tile.n_inner < LT_MAX_INNER && lexer_accept(&p->lex, "by"); s->tile.n_inner++) {
        lt_inner *inner = &s->tile.inner[s->tile.n_inner];
        if (!take_uint(p, &inner->steps, MAX_IDS) || !lexer_expect(&p->lex, "[") || !take_dim(p, &inner->a) ||
            !lexer_expect(&p->lex, ",") || !take_dim(p, &inner->b) || !lexer_expect(&p->lex, "]"))
            return false;
    }
    return true;
}

static bool parse_tile(parser *p, lt_stmt *s) {
    if (!take_uint(p, &s->tile.mr, MAX_IDS) || !lexer_expect(&p->lex, "x") || !take_uint(p, &s->tile.nr, MAX_IDS) ||
        !lexer_expect(&p->lex, "depth") || !take_dim(p, &s->tile.depth) || !take_inner(p, s) ||
        !lexer_expect(&p->lex, ":") || !take_panel(p, &s->tile.c, &s->tile.c_index, &s->tile.c_row, NULL))
        return false;
    s->tile.accumulate = lexer_accept(&p->lex, "+");
    s->tile.next = LT_NONE;
    return lexer_expect(&p->lex, "=") &&
           take_panel(p, &s->tile.a, &s->tile.a_index, &s->tile.a_row, &s->tile.a_depth) &&
           lexer_expect(&p->lex, "*") && take_panel(p, &s->tile.b, &s->tile.b_index, &s->tile.b_depth, NULL) &&
           (!lexer_accept(&p->lex, "next") ||
            take_panel(p, &s->tile.next, &s->tile.next_index, &s->tile.next_step, NULL));
}

static bool parse_transpose(parser *p, lt_stmt *s) {
    return take_uint(p, &s->transpose.rows, MAX_IDS) && lexer_expect(&p->lex, "x") &&
           take_uint(p, &s->transpose.columns, MAX_IDS) && lexer_expect(&p->lex, ":") &&
           take_panel(p, &s->transpose.to.buffer, &s->transpose.to.index, &s->transpose.to.row, NULL) &&
           lexer_expect(&p->lex, "=") &&
           take_panel(p, &s->transpose.from.buffer, &s->transpose.from.index, &s->transpose.from.row, NULL);
}

typedef struct statement_row {
    const char *word;
    lt_kind kind;
    bool (*parse)(parser *p, lt_stmt *s);
} statement_row;

static const statement_row statements[] = {
    {"store", LT_STORE, parse_store}, {"bind", LT_BIND, parse_bind}, {"for", LT_LOOP, parse_for},
    {"if", LT_IF, parse_if},          {"tile", LT_TILE, parse_tile}, {"transpose", LT_TRANSPOSE, parse_transpose},
    {"check", LT_CHECK, parse_check},
};

static bool parse_stmt(parser *p) {
    if (p->lex.next.kind == TOKEN_VALUE) return parse_definition(p) && built(p);
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (lexer_accept(&p->lex, statements[i].word))
            return statements[i].parse(p, lt_append(&p->b, statements[i].kind)) && built(p);
    return lexer_unexpected(&p->lex, "a statement");
}

static bool take_nexts(parser *p, lt_stmt *loop) {
    for (uint32_t i = 0; i < loop->loop.n_carries; i++)
        if ((i && !lexer_expect(&p->lex, ",")) || !take_value(p, &loop->loop.carries[i].next)) return false;
    return true;
}

/* { statements }; a loop with carried values ends in `next`. */
static bool parse_block(parser *p, lt_block *block, lt_stmt *loop) {
    lt_block *outer = p->b.block;
    if (++p->depth > MAX_NESTING)
        return lexer_error(&p->lex, p->lex.next.at, TN_ERR_LIMIT, "nested more than %d deep", MAX_NESTING);
    if (!lexer_expect(&p->lex, "{")) return false;
    p->b.block = block;
    while (!lexer_is(&p->lex, "}") && !lexer_is(&p->lex, "next"))
        if (!parse_stmt(p)) return false;
    if (loop && loop->loop.n_carries && (!lexer_expect(&p->lex, "next") || !take_nexts(p, loop))) return false;
    p->b.block = outer;
    p->depth--;
    return lexer_expect(&p->lex, "}");
}

/* ---- Kernels ---- */

static bool take_role(parser *p, lt_role *role) {
    static const char *const roles[] = {"in", "out", "temp", "scratch", "local"};
    size_t at = p->lex.next.at;
    const char *name = take_name(p, "in, out, temp, scratch or local");
    for (uint32_t r = 0; name && r < sizeof roles / sizeof *roles; r++)
        if (strcmp(roles[r], name) == 0) {
            *role = (lt_role)r;
            return true;
        }
    return lexer_error(&p->lex, at, TN_ERR_PARSE, "expected in, out, temp, scratch or local");
}

static bool parse_buffer(parser *p) {
    lt_role role = LT_INPUT;
    tn_dtype dtype = TN_DTYPE_INVALID;
    tn_dim elements = DIM_INVALID;
    if (!take_role(p, &role)) return false;
    const char *name = take_name(p, "a buffer's name");
    if (!name || !lexer_expect(&p->lex, ":") || !take_dtype(p, &dtype) || !lexer_expect(&p->lex, "[") ||
        !take_dim(p, &elements) || !lexer_expect(&p->lex, "]"))
        return false;
    uint32_t buffer = lt_add_buffer(&p->b, role, dtype, elements, name);
    if (lexer_accept(&p->lex, "streamed") && buffer != LT_NONE) p->b.kernel->buffers[buffer].is_streamed = true;
    return built(p);
}

static bool parse_extent(parser *p) {
    lt_kernel *k = p->b.kernel;
    if (k->n_extents == k->extents_capacity) {
        uint32_t capacity = k->extents_capacity ? 2 * k->extents_capacity : 4;
        tn_dim *more = ARENA_ARRAY(&k->module->memory, tn_dim, capacity);
        if (!more) return lexer_no_memory(&p->lex);
        if (k->n_extents) memcpy(more, k->extents, k->n_extents * sizeof *more);
        k->extents = more;
        k->extents_capacity = capacity;
    }
    size_t at = p->lex.next.at;
    tn_dim d;
    if (!take_dim(p, &d)) return false;
    if (dim_kind_of(p->dims, d) != DIM_SYMBOL) return lexer_error(&p->lex, at, TN_ERR_PARSE, "an extent is a symbol");
    k->extents[k->n_extents++] = d;
    return true;
}

static bool parse_site(parser *p) {
    lt_site site = {.kind = LT_SITE_INDEX};
    if (!take_op(p, &site.op)) return false;
    if (lexer_accept(&p->lex, "nan")) site.kind = LT_SITE_NAN;
    if (lexer_accept(&p->lex, "hint")) site.kind = LT_SITE_HINT;
    lt_add_site(&p->b, site);
    return built(p);
}

static bool parse_list(parser *p, bool (*item)(parser *)) {
    if (!lexer_expect(&p->lex, "(")) return false;
    if (lexer_accept(&p->lex, ")")) return true;
    do {
        if (!item(p)) return false;
    } while (lexer_accept(&p->lex, ","));
    return lexer_expect(&p->lex, ")");
}

static bool parse_stage(parser *p) {
    tn_dim variable, chunks;
    if (!lexer_expect(&p->lex, "stage") || !take_variable(p, &variable) || !lexer_expect(&p->lex, "in") ||
        !take_dim(p, &chunks))
        return false;
    uint32_t n_variables = p->b.kernel->n_variables;
    lt_stage *stage = lt_open_stage(&p->b, chunks);
    p->b.kernel->n_variables = n_variables; /* the text brings its own */
    stage->variable = variable;
    return built(p) && parse_block(p, &stage->body, NULL);
}

static bool parse_kernel(parser *p, tn_module *m) {
    if (!lexer_expect(&p->lex, "kernel")) return false;
    if (p->lex.next.kind != TOKEN_FUNCTION) return lexer_unexpected(&p->lex, "the kernel's name");
    token name = lexer_take(&p->lex);
    const char *kernel_name = lexer_text(&p->lex, &name);
    const char *class_name = kernel_name ? take_name(p, "the kernel's class") : NULL;
    if (!class_name) return false;
    p->b.kernel = lt_kernel_new(m, kernel_name, class_name);
    if (!p->b.kernel) return lexer_no_memory(&p->lex);
    if (!parse_list(p, parse_buffer) || (lexer_accept(&p->lex, "extents") && !parse_list(p, parse_extent)) ||
        (lexer_accept(&p->lex, "sites") && !parse_list(p, parse_site)) || !lexer_expect(&p->lex, "{"))
        return false;
    while (!lexer_accept(&p->lex, "}"))
        if (!parse_stage(p)) return false;
    return p->lex.next.kind == TOKEN_END || lexer_unexpected(&p->lex, "the end of the text");
}

lt_kernel *lt_parse(tn_module *m, const char *text, size_t length, const char *name) {
    parser p = {.dims = m->dims};
    literal_locale locale;
    if (!literal_begin(&locale)) {
        module_error(m, TN_ERR_MEMORY, LOCATION_NONE, "out of memory");
        return NULL;
    }
    lexer_start(&p.lex, text, length, name);
    bool ok = parse_kernel(&p, m) && !lexer_failed(&p.lex);
    literal_end(&locale);
    const tn_diag *error = &p.lex.error;
    if (!ok && lexer_failed(&p.lex))
        module_error_at(m, error->status, module_intern(m, error->file), error->line, error->column, "%s",
                        error->message);
    else if (!ok)
        module_error(m, TN_ERR_PARSE, LOCATION_NONE, "the kernel cannot be read");
    lexer_free(&p.lex);
    return ok ? p.b.kernel : NULL;
}
