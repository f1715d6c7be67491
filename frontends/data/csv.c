/* Tables of numbers as datasets.
 *
 * in:  a CSV file, plain or gzip: lines of cells, one line an example
 * out: a dataset with "x", all columns but the label's, and "y", the label
 * law: every cell of every line is read, or the call fails with the line and column of what was wrong
 *
 * Lines end in \n or \r\n. A cell may be in double quotes, which "" stands for within; spaces around a cell do not
 * count. A byte order mark at the start is passed over, as are empty lines at the end.
 *
 * Source: RFC 4180.
 */
#include "frontends/data/csv.h"

#include "frontends/data/compress.h"
#include "frontends/data/decimal.h"
#include "frontends/data/element.h"
#include "runtime/alloc.h"
#include "runtime/diag.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_COLUMNS = 1 << 20, SHOWN_CHARACTERS = 40 };

/* ---- Cells --------------------------------------------------------------------------------- */

typedef struct reader {
    const char *at, *end;
    const char *line_start;
    int line; /* from 1 */
    char separator;
} reader;

/* A cell without the quotes and spaces around it. */
typedef struct cell {
    const char *text;
    size_t length;
    const char *start; /* in the file, for its column */
    bool ends_line;
    const char *fault; /* or NULL */
} cell;

static bool is_space(const reader *r, char c) { return c != r->separator && (c == ' ' || c == '\t' || c == '\r'); }

/* Behind the closing quote of the one at `at`; NULL: there is none on this line. */
static const char *behind_quote(const reader *r, const char *at) {
    for (at++; at < r->end && *at != '\n'; at++) {
        if (*at != '"') continue;
        if (at + 1 == r->end || at[1] != '"') return at + 1;
        at++;
    }
    return NULL;
}

/* Takes the next cell and what ends it. */
static cell next_cell(reader *r) {
    while (r->at < r->end && is_space(r, *r->at)) r->at++;
    cell c = {.start = r->at};
    const char *last;
    if (r->at < r->end && *r->at == '"') {
        last = behind_quote(r, r->at);
        c.text = r->at + 1;
        if (last) c.length = (size_t)(last - 1 - c.text);
        const char *rest = last;
        while (rest && rest < r->end && is_space(r, *rest)) rest++;
        if (!last)
            c.fault = "has a quote that is not closed on its line";
        else if (rest < r->end && *rest != r->separator && *rest != '\n')
            c.fault = "goes on behind its closing quote";
        r->at = rest ? rest : r->at;
    } else {
        while (r->at < r->end && *r->at != r->separator && *r->at != '\n') r->at++;
        for (last = r->at; last > c.start && is_space(r, last[-1]);) last--;
        c.text = c.start;
        c.length = (size_t)(last - c.start);
    }
    if (c.fault) return c;
    c.ends_line = r->at == r->end || *r->at == '\n';
    r->at += r->at < r->end;
    return c;
}

static void next_line(reader *r) {
    r->line++;
    r->line_start = r->at;
}

/* An error at a cell, in its line and column: the cell's own fault, or what it is not. */
static tn_status fail_at(tn_diag *diag, const reader *r, const cell *c, const char *what) {
    int shown = c->length < SHOWN_CHARACTERS ? (int)c->length : SHOWN_CHARACTERS;
    tn_status status = c->fault ? diag_fail(diag, TN_ERR_PARSE, "a cell %s", c->fault)
                                : diag_fail(diag, TN_ERR_PARSE, "'%.*s' %s", shown, c->text, what);
    if (diag) {
        diag->line = r->line;
        diag->column = (int)(c->start - r->line_start) + 1;
    }
    return status;
}

static tn_status fail_line(tn_diag *diag, int line_number, tn_status status) {
    if (diag) diag->line = line_number;
    return status;
}

/* ---- The first line ------------------------------------------------------------------------ */

typedef struct layout {
    int n_columns;
    int label;      /* from 0; -1: none */
    bool has_names; /* in the first line */
} layout;

static bool is_name(const cell *c, const char *name) {
    return name && strlen(name) == c->length && memcmp(name, c->text, c->length) == 0;
}

/* Looks at the first line: how many columns, whether they are names, and where the label's is. */
static tn_status scan_first(reader r, const tn_csv_options *o, layout *l, int *named_label, tn_diag *diag) {
    cell c = {0}, first_text = {0};
    bool has_number = false, has_text = false;
    *named_label = -1;
    for (l->n_columns = 0; !c.ends_line; l->n_columns++) {
        double value;
        c = next_cell(&r);
        if (c.fault) return fail_at(diag, &r, &c, "");
        if (l->n_columns == MOST_COLUMNS)
            return fail_line(diag, r.line, diag_fail(diag, TN_ERR_LIMIT, "more than 1,048,576 columns"));
        bool is_number = decimal_parse(c.text, c.length, &value);
        if (!is_number && !has_text) first_text = c;
        has_number |= is_number;
        has_text |= !is_number;
        if (is_name(&c, o->label_name)) *named_label = l->n_columns;
    }
    l->has_names = o->header == TN_CSV_NAMES || (o->header == TN_CSV_GUESS && has_text);
    if (o->header == TN_CSV_GUESS && has_text && has_number)
        return fail_at(diag, &r, &first_text,
                       "is no number, others of the first line are: say whether that line holds names (header)");
    return TN_OK;
}

static tn_status find_layout(const reader *r, const tn_csv_options *o, layout *l, tn_diag *diag) {
    int named;
    tn_status status = scan_first(*r, o, l, &named, diag);
    if (status != TN_OK) return status;
    if (o->label_name && (!l->has_names || named < 0))
        return diag_fail(diag, TN_ERR_ARGUMENT, "there is no column '%.100s'%s", o->label_name,
                         l->has_names ? "" : ", the first line holds numbers");
    if (o->label > l->n_columns || o->label < -l->n_columns)
        return diag_fail(diag, TN_ERR_ARGUMENT, "column %d is to be the label, but there are %d", o->label,
                         l->n_columns);
    l->label = o->label_name ? named : o->label > 0 ? o->label - 1 : o->label < 0 ? l->n_columns + o->label : -1;
    if (l->label >= 0 && l->n_columns == 1)
        return diag_fail(diag, TN_ERR_ARGUMENT, "its only column is the label, nothing is left for \"x\"");
    return TN_OK;
}

/* ---- Examples ------------------------------------------------------------------------------ */

/* Elements of one field, of all examples so far. */
typedef struct column {
    tn_dtype dtype;
    void *data;
    size_t capacity;
    int64_t used;
} column;

typedef struct table {
    column values, labels;
    int64_t n_examples;
} table;

static void free_table(void *ctx) {
    table *t = ctx;
    tn_free(t->values.data);
    tn_free(t->labels.data);
    tn_free(t);
}

static bool reserve(column *c, int64_t more) {
    return array_reserve(&c->data, &c->capacity, (size_t)(c->used + more), tn_dtype_bits(c->dtype) / 8);
}

/* A line with so many cells, or (0) more than there may be. */
static tn_status fail_width(tn_diag *diag, const reader *r, int n_cells, const layout *l) {
    if (n_cells == 0)
        diag_fail(diag, TN_ERR_PARSE, "the line has more cells than the first line, which has %d", l->n_columns);
    else
        diag_fail(diag, TN_ERR_PARSE, "the line has %d cell%s, the first line has %d", n_cells, n_cells > 1 ? "s" : "",
                  l->n_columns);
    return fail_line(diag, r->line, TN_ERR_PARSE);
}

static tn_status fail_dtype(tn_diag *diag, const reader *r, const cell *c, tn_dtype dtype) {
    char what[40];
    snprintf(what, sizeof what, "does not fit in %s", tn_dtype_name(dtype));
    return fail_at(diag, r, c, what);
}

static tn_status take_line(reader *r, const layout *l, table *t, tn_diag *diag) {
    cell c = {0};
    if (!reserve(&t->values, l->n_columns) || !reserve(&t->labels, 1))
        return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    for (int i = 0; !c.ends_line; i++) {
        double value;
        c = next_cell(r);
        column *to = i == l->label ? &t->labels : &t->values;
        if (c.fault) return fail_at(diag, r, &c, "");
        bool is_long = i == l->n_columns;
        if (is_long || (c.ends_line && i + 1 < l->n_columns)) return fail_width(diag, r, is_long ? 0 : i + 1, l);
        if (!decimal_parse(c.text, c.length, &value))
            return fail_at(diag, r, &c, c.length ? "is no finite number" : "is an empty cell, expected a number");
        if (!element_set(to->dtype, to->data, to->used, value) || !isfinite(element_get(to->dtype, to->data, to->used)))
            return fail_dtype(diag, r, &c, to->dtype);
        to->used++;
    }
    t->n_examples++;
    return TN_OK;
}

/* Nothing but line ends and spaces follow. */
static bool is_at_end(const reader *r) {
    const char *at = r->at;
    while (at < r->end && (*at == '\n' || is_space(r, *at))) at++;
    return at == r->end;
}

static tn_status take_lines(reader *r, const layout *l, table *t, tn_diag *diag) {
    if (l->has_names) {
        while (!next_cell(r).ends_line) continue;
        next_line(r);
    }
    tn_status status = TN_OK;
    while (status == TN_OK && !is_at_end(r)) {
        status = take_line(r, l, t, diag);
        next_line(r);
    }
    if (status != TN_OK || t->n_examples > 0) return status;
    return diag_fail(diag, TN_ERR_PARSE, "it has no examples%s", l->has_names ? ", only names" : "");
}

static tn_status make_dataset(table *t, const layout *l, tn_dataset **dataset, tn_diag *diag) {
    int n_values = l->n_columns - (l->label >= 0);
    tn_named_tensor arrays[2] = {{"x", TN_TENSOR(t->values.dtype, t->values.data, t->n_examples, n_values)},
                                 {"y", TN_TENSOR(t->labels.dtype, t->labels.data, t->n_examples)}};
    return tn_dataset_arrays(arrays, l->label >= 0 ? 2 : 1, free_table, t, dataset, diag);
}

static tn_status check_options(const tn_csv_options *o, const table *t, char separator, tn_diag *diag) {
    bool is_wrong = separator == '"' || separator == '\n' || separator == '\r' || separator == '.' ||
                    separator == '-' || separator == '+' || (separator >= '0' && separator <= '9');
    if (is_wrong) return diag_fail(diag, TN_ERR_ARGUMENT, "'%c' cannot separate cells", separator);
    if (o->label != 0 && o->label_name)
        return diag_fail(diag, TN_ERR_ARGUMENT, "the label is given by number and by name, expected one of them");
    if (t->values.dtype != TN_F32 && t->values.dtype != TN_F64)
        return diag_fail(diag, TN_ERR_ARGUMENT, "values are f32 or f64, not %s", tn_dtype_name(t->values.dtype));
    if (tn_dtype_bits(t->labels.dtype) == 0) return diag_fail(diag, TN_ERR_ARGUMENT, "labels have no such dtype");
    return TN_OK;
}

static tn_status read_table(reader *r, const tn_csv_options *o, table *t, tn_dataset **dataset, tn_diag *diag) {
    layout l = {0};
    tn_status status = check_options(o, t, r->separator, diag);
    if (status == TN_OK && is_at_end(r)) status = diag_fail(diag, TN_ERR_PARSE, "it is empty");
    if (status == TN_OK) status = find_layout(r, o, &l, diag);
    if (status == TN_OK) status = take_lines(r, &l, t, diag);
    return status == TN_OK ? make_dataset(t, &l, dataset, diag) : status;
}

tn_status csv_parse(const char *text, size_t bytes, const tn_csv_options *options, tn_dataset **dataset,
                    tn_diag *diag) {
    *dataset = NULL;
    tn_csv_options o = options ? *options : (tn_csv_options){0};
    table *t = tn_calloc(1, sizeof *t);
    if (!t) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    t->values.dtype = o.dtype ? o.dtype : TN_F32;
    t->labels.dtype = o.label_dtype ? o.label_dtype : TN_I64;
    reader r = {text, text + bytes, .line = 1, .separator = o.separator ? o.separator : ','};
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) r.at += 3;
    r.line_start = r.at;
    tn_status status = read_table(&r, &o, t, dataset, diag);
    if (status != TN_OK) free_table(t);
    return status;
}

tn_status tn_dataset_csv(const char *path, const tn_csv_options *options, tn_dataset **dataset, tn_diag *diag) {
    *dataset = NULL;
    void *content;
    size_t size;
    tn_status status = read_maybe_gzip(path, &content, &size, diag);
    if (status != TN_OK) return status;
    status = csv_parse(content, size, options, dataset, diag);
    tn_free(content);
    return diag_in_file(diag, status, path);
}
