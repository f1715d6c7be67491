/* Ops on literal tensors (opcase.h): parses the literals, builds a function of one node, runs it. */
#include "tests/lib/opcase.h"

#include "ir/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MAX_OPERANDS = 16, MAX_ITEMS = 64 };

static const char *past_blanks(const char *p) {
    while (*p == ' ' || *p == ',') p++;
    return p;
}

/* ---- Tensors -------------------------------------------------------------------------------------- */

static const char *read_type(const char *p, eval_tensor *t) {
    char name[8] = "";
    p = past_blanks(p);
    size_t length = strcspn(p, "[ ;");
    assert_true(length < sizeof name);
    memcpy(name, p, length);
    t->dtype = tn_dtype_from_name(name);
    if (t->dtype == TN_DTYPE_INVALID) fail_msg("no dtype: %s", name);
    p += length;
    t->n = 1;
    if (*p != '[') return p;
    for (p = past_blanks(p + 1); *p != ']'; p = past_blanks(p)) {
        char *end;
        t->dims[t->rank] = strtoll(p, &end, 10);
        t->n *= t->dims[t->rank++];
        assert_true(end != p);
        p = end;
    }
    return p + 1;
}

eval_tensor tensor_literal(const char *text, const char **end) {
    eval_tensor t = {0};
    const char *p = read_type(text, &t);
    if (t.n > 0) t.data = tn_calloc((size_t)t.n, 8);
    for (int64_t k = 0; k < t.n; k++) {
        char *after;
        p = past_blanks(p);
        if (dtype_is_float(t.dtype))
            eval_store_float(&t, k, strtod(p, &after));
        else
            eval_store_int(&t, k, *p == '-' ? strtoll(p, &after, 0) : (int64_t)strtoull(p, &after, 0));
        if (after == p) fail_msg("element %lld is missing: %s", (long long)k, text);
        p = after;
    }
    p = past_blanks(p);
    if (*p && *p != ';') fail_msg("there are too many elements: %s", text);
    if (end) *end = *p ? p + 1 : p;
    return t;
}

static bool is_close(double a, double b, double tolerance) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (a == b) return tolerance > 0 || signbit(a) == signbit(b);
    return fabs(a - b) <= tolerance * fmax(fabs(a), fabs(b));
}

static const char *assert_result(const eval_tensor *t, const char *literal, const char *what) {
    double tolerance = *past_blanks(literal) == '~' ? 1e-6 : 0;
    const char *end;
    eval_tensor want = tensor_literal(past_blanks(literal) + (tolerance > 0), &end);
    if (t->dtype != want.dtype || t->rank != want.rank || memcmp(t->dims, want.dims, (size_t)t->rank * 8) != 0)
        fail_msg("%s: the type is not that of %s", what, literal);
    for (int64_t k = 0; k < t->n; k++) {
        bool is_same = dtype_is_float(t->dtype) ? is_close(eval_load_float(t, k), eval_load_float(&want, k), tolerance)
                                                : eval_load_int(t, k) == eval_load_int(&want, k);
        if (!is_same)
            fail_msg("%s: element %lld is %.17g, not %.17g", what, (long long)k, eval_load_float(t, k),
                     eval_load_float(&want, k));
    }
    eval_tensor_free(&want);
    return end;
}

void assert_tensor(const eval_tensor *t, const char *literal, const char *what) { assert_result(t, literal, what); }

/* ---- Attributes ----------------------------------------------------------------------------------- */

typedef struct attr_text {
    attr items[OP_MAX_ATTRS];
    uint32_t n;
    int64_t ints[OP_MAX_ATTRS][MAX_ITEMS];
    tn_dim dims[OP_MAX_ATTRS][MAX_ITEMS];
    char texts[OP_MAX_ATTRS][64];
} attr_text;

/* [1, 2] into ints; returns how many. */
static const char *read_list(const char *p, int64_t *items, uint32_t *n) {
    assert_true(*p == '[');
    for (p = past_blanks(p + 1); *p != ']'; p = past_blanks(p)) {
        char *end;
        items[(*n)++] = strtoll(p, &end, 10);
        assert_true(end != p && *n < MAX_ITEMS);
        p = end;
    }
    return p + 1;
}

static const char *read_value(tn_module *m, const char *p, attr_text *t) {
    attr *a = &t->items[t->n];
    int64_t *ints = t->ints[t->n];
    uint32_t n = 0;
    char *word = t->texts[t->n];
    attr_kind kind = attr_kind_of((attr_name)a->name);
    if (kind == ATTR_KIND_INTS || kind == ATTR_KIND_PAIR || kind == ATTR_KIND_DIMS) {
        p = read_list(p, ints, &n);
        if (kind == ATTR_KIND_PAIR) a->split = n;
        if (kind == ATTR_KIND_PAIR) p = read_list(p + 1, ints, &n); /* past the x */
        for (uint32_t k = 0; k < n; k++) t->dims[t->n][k] = dim_const(m->dims, ints[k]);
        if (kind == ATTR_KIND_DIMS)
            a->dims.items = t->dims[t->n], a->dims.n = n;
        else
            a->ints.items = ints, a->ints.n = n;
        return p;
    }
    size_t length = strcspn(p, " ");
    assert_true(length < sizeof t->texts[0]);
    memcpy(word, p, length);
    word[length] = 0;
    switch (kind) {
    case ATTR_KIND_INT: a->i = strtoll(word, NULL, 10); break;
    case ATTR_KIND_DIM: a->dim = dim_const(m->dims, strtoll(word, NULL, 10)); break;
    case ATTR_KIND_FLOAT: a->f = strtod(word, NULL); break;
    case ATTR_KIND_ENUM: a->i = attr_option_value((attr_name)a->name, word, length); break;
    case ATTR_KIND_DTYPE: a->i = tn_dtype_from_name(word); break;
    case ATTR_KIND_TEXT: a->text = module_intern(m, word); break;
    default: fail_msg("no literal for attribute %s", attr_name_text((attr_name)a->name));
    }
    return p + length;
}

static void read_attrs(tn_module *m, const char *p, attr_text *t) {
    for (p = past_blanks(p); *p; p = past_blanks(p)) {
        size_t length = strcspn(p, "=");
        t->items[t->n].name = (uint8_t)attr_from_name(p, length);
        if (t->items[t->n].name == ATTR_COUNT || p[length] != '=') fail_msg("no attribute: %s", p);
        p = read_value(m, p + length + 1, t);
        t->n++;
    }
}

/* ---- One op ---------------------------------------------------------------------------------------- */

typedef struct opcase {
    const char *file, *op;
    int line;
    tn_module *m;
    tn_graph *g;
    int n_operands;
    eval_tensor operands[MAX_OPERANDS], results[MAX_OPERANDS];
} opcase;

static void build(opcase *c) {
    value_id operands[MAX_OPERANDS], results[MAX_OPERANDS];
    uint32_t n_results;
    size_t length = strcspn(c->op, " ");
    attr_text *attrs = calloc(1, sizeof *attrs);
    c->m = module_new("case");
    c->g = module_add_graph(c->m, "main");
    read_attrs(c->m, c->op + length, attrs);
    for (int i = 0; i < c->n_operands; i++) {
        tn_dim dims[TN_MAX_RANK];
        for (int k = 0; k < c->operands[i].rank; k++) dims[k] = dim_const(c->m->dims, c->operands[i].dims[k]);
        tn_type type = type_make(c->operands[i].dtype, c->operands[i].rank, dims);
        operands[i] = graph_add_param(c->g, NULL, &type, BINDING_RUN);
    }
    location_id where = location_intern(c->m, c->file, c->line);
    if (!graph_apply(c->g, where, op_from_name(c->op, length), operands, (uint32_t)c->n_operands, attrs->items,
                     attrs->n, results, MAX_OPERANDS, &n_results))
        fail_msg("%s:%d: %s: %s", c->file, c->line, c->op, c->m->error.message);
    for (uint32_t r = 0; r < n_results; r++) graph_add_result(c->g, NULL, results[r], -1);
    free(attrs);
}

static tn_status run(opcase *c, va_list operands, const eval_options *options, tn_diag *diag) {
    for (const char *text; (text = va_arg(operands, const char *));)
        c->operands[c->n_operands++] = tensor_literal(text, NULL);
    build(c);
    return eval_graph(c->g, c->operands, c->results, options, diag);
}

static void finish(opcase *c) {
    for (size_t r = 0; r < c->g->n_results; r++) eval_tensor_free(&c->results[r]);
    for (int i = 0; i < c->n_operands; i++) eval_tensor_free(&c->operands[i]);
    tn_module_free(c->m);
}

void check_op_status(const char *file, int line, const char *op, tn_status status, const char *message,
                     const char *expected, ...) {
    opcase c = {.file = file, .line = line, .op = op};
    tn_diag diag;
    char what[128];
    va_list operands;
    va_start(operands, expected);
    tn_status got = run(&c, operands, NULL, &diag);
    va_end(operands);
    if (got != status || (message && !strstr(diag.message, message)))
        fail_msg("%s:%d: %s: %s %s", file, line, op, tn_status_name(got), diag.message);
    if (got != TN_OK && (!diag.file || strcmp(diag.file, file) != 0 || diag.line != line))
        fail_msg("%s:%d: %s: the diagnostic names another place", file, line, op);
    snprintf(what, sizeof what, "%s:%d: %s", file, line, op);
    for (size_t r = 0; r < c.g->n_results && *expected; r++) expected = assert_result(&c.results[r], expected, what);
    finish(&c);
}

void check_magnitude_at(const char *file, int line, const char *op, const char *expected, ...) {
    opcase c = {.file = file, .line = line, .op = op};
    eval_options options = {.magnitudes = true};
    tn_diag diag;
    va_list operands;
    va_start(operands, expected);
    tn_status got = run(&c, operands, &options, &diag);
    va_end(operands);
    if (got != TN_OK) fail_msg("%s:%d: %s: %s", file, line, op, diag.message);
    eval_tensor want = tensor_literal(expected, NULL);
    assert_int_equal(want.n, c.results[0].n);
    for (int64_t k = 0; k < want.n; k++)
        if (!is_close(c.results[0].magnitude[k], eval_load_float(&want, k), 1e-6))
            fail_msg("%s:%d: %s: magnitude %lld is %.9g, not %.9g", file, line, op, (long long)k,
                     c.results[0].magnitude[k], eval_load_float(&want, k));
    eval_tensor_free(&want);
    finish(&c);
}
