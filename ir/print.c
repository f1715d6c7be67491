/* Modules as text.
 *
 * in:  a module
 * out: the text form (docs/IR.md), one node a line
 * law: the text parses to the same module: functions, nodes, types, attributes, constants,
 *      symbols, constraints and locations of nodes. Values without a name that is theirs alone
 *      are numbered in the order of printing, so that printing again gives the same text
 */
#include "ir/dim_print.h"
#include "ir/literal.h"
#include "ir/names.h"
#include "ir/op.h"

#include <inttypes.h>
#include <string.h>

typedef struct printer {
    text_buffer out;
    const tn_module *module;
    const tn_graph *graph;
    data_file *data;
    const uint32_t *numbers;  /* of the graph's values */
    const node_style *style;  /* NULL: the text form */
    const print_notes *notes; /* NULL: none */
} printer;

static void put_value(printer *p, value_id v) {
    if (p->style && p->style->spell)
        p->style->spell(p->style->ctx, &p->out, v);
    else
        text_value(&p->out, p->graph, p->numbers, v);
}

/* ---- Attributes ----------------------------------------------------------------------------------- */

static void put_ints(printer *p, const int64_t *items, uint32_t n) {
    text_add(&p->out, "[");
    for (uint32_t i = 0; i < n; i++) text_format(&p->out, "%s%" PRId64, i ? ", " : "", items[i]);
    text_add(&p->out, "]");
}

static void put_int(printer *p, const attr *a) { text_format(&p->out, "%" PRId64, a->i); }
static void put_int_list(printer *p, const attr *a) { put_ints(p, a->ints.items, a->ints.n); }
static void put_dim(printer *p, const attr *a) { text_dim(&p->out, p->module->dims, a->dim); }
static void put_float(printer *p, const attr *a) { text_double(&p->out, a->f); }
static void put_enum(printer *p, const attr *a) { text_add(&p->out, attr_option((attr_name)a->name, a->i)); }
static void put_dtype(printer *p, const attr *a) { text_add(&p->out, tn_dtype_name((tn_dtype)a->i)); }
static void put_text(printer *p, const attr *a) { text_quote(&p->out, a->text); }
static void put_func(printer *p, const attr *a) { text_name(&p->out, '@', a->func->name); }

static void put_pair(printer *p, const attr *a) {
    put_ints(p, a->ints.items, a->split);
    text_add(&p->out, "x");
    put_ints(p, a->ints.items + a->split, a->ints.n - a->split);
}

static void put_dims(printer *p, const attr *a) {
    text_add(&p->out, "[");
    for (uint32_t i = 0; i < a->dims.n; i++) {
        if (i) text_add(&p->out, ", ");
        text_dim(&p->out, p->module->dims, a->dims.items[i]);
    }
    text_add(&p->out, "]");
}

static void put_data(printer *p, const attr *a) {
    text_type(&p->out, p->module->dims, &a->data->type);
    text_add(&p->out, " ");
    if (p->style)
        text_data_brief(&p->out, a->data);
    else
        text_data(&p->out, p->data, a->data);
}

static void (*const put_attr[])(printer *, const attr *) = {
    [ATTR_KIND_INT] = put_int,   [ATTR_KIND_INTS] = put_int_list, [ATTR_KIND_DIM] = put_dim,
    [ATTR_KIND_DIMS] = put_dims, [ATTR_KIND_PAIR] = put_pair,     [ATTR_KIND_FLOAT] = put_float,
    [ATTR_KIND_ENUM] = put_enum, [ATTR_KIND_DTYPE] = put_dtype,   [ATTR_KIND_TEXT] = put_text,
    [ATTR_KIND_FUNC] = put_func, [ATTR_KIND_DATA] = put_data,
};

/* ---- Nodes ------------------------------------------------------------------------------------------- */

/* A file name that stands in a location without quotes. */
static bool is_plain_file(const char *file) {
    size_t n = strspn(file, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-");
    return n > 0 && file[n] == '\0';
}

static void put_location(text_buffer *b, const tn_location *at) {
    if (is_plain_file(at->file) && at->line > 0)
        text_add(b, at->file);
    else
        text_quote(b, at->file);
    if (at->line > 0) text_format(b, ":%d", at->line);
}

static void put_locations(printer *p, location_id set) {
    tn_location items[LOCATION_MAX];
    size_t n = location_items(p->module, set, LOCATION_MAX, items);
    for (size_t i = 0; i < n; i++) {
        text_add(&p->out, i ? ", " : "  # ");
        put_location(&p->out, &items[i]);
    }
}

/* "model.onnx: node 'conv1' (Conv)" is `conv1 (Conv)`, and "src/mlp.c" is `mlp.c`. */
static void put_location_brief(text_buffer *b, const tn_location *at) {
    size_t length;
    const char *node = location_node_name(at, &length), *slash = strrchr(at->file, '/');
    if (node) {
        text_add_n(b, node, length);
        text_add(b, node + length + 1);
        return;
    }
    text_add(b, slash && slash[1] ? slash + 1 : at->file);
    if (at->line > 0) text_format(b, ":%d", at->line);
}

void text_locations_brief(text_buffer *b, const tn_module *m, location_id set) {
    tn_location items[LOCATION_MAX];
    size_t n = location_items(m, set, LOCATION_MAX, items), shown = n > TEXT_BRIEF_LOCATIONS ? TEXT_BRIEF_LOCATIONS : n;
    for (size_t i = 0; i < shown; i++) {
        if (i) text_add(b, ", ");
        put_location_brief(b, &items[i]);
    }
    if (n > shown) text_format(b, " and %zu more", n - shown);
}

/* ---- Ops, for people ---------------------------------------------------------------------------------- */

/* What kind of reduction, comparison, ... it is; NULL: there are none of its op. */
static const char *kind_of(const node *n) {
    static const attr_name kinds[] = {ATTR_kind, ATTR_compare};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const attr *a = attr_find(&n->attrs, kinds[i]);
        if (a) return attr_option(kinds[i], a->i);
    }
    return NULL;
}

void text_op(text_buffer *b, const node *n) {
    const char *kind = kind_of(n);
    text_format(b, "%s%s%s", op_name((tn_op)n->op), kind ? " " : "", kind ? kind : "");
}

size_t text_ops(text_buffer *b, const tn_graph *g, const ops_style *style) {
    size_t n = 0, alike = 0, most = style->most > 0 ? style->most : SIZE_MAX;
    const node *last = NULL;
    for (size_t i = 0; i <= g->n_nodes; i++) {
        const node *now = i < g->n_nodes ? &g->nodes[i] : NULL;
        if (now && !style->is_told(now)) continue;
        if (now && last && now->op == last->op && (!style->has_kinds || kind_of(now) == kind_of(last))) {
            alike++;
            continue;
        }
        if (alike > 1 && n <= most) text_format(b, " x%zu", alike);
        if (!now) break;
        last = now;
        alike = 1;
        if (++n > most) continue;
        text_add(b, n > 1 ? " + " : "");
        if (style->has_kinds)
            text_op(b, now);
        else
            text_add(b, op_name((tn_op)now->op));
    }
    if (n > most) text_format(b, " + %zu more", n - most);
    return n;
}

/* ---- Nodes -------------------------------------------------------------------------------------------- */

static void put_node(printer *p, const node *n) {
    text_add(&p->out, "  ");
    for (uint32_t i = 0; i < n->n_results; i++) {
        if (i) text_add(&p->out, ", ");
        put_value(p, n->first_result + i);
    }
    if (n->n_results) text_add(&p->out, " = ");
    text_add(&p->out, op_name((tn_op)n->op));
    const char *between = " ";
    for (uint32_t i = 0; i < n->n_operands; i++, between = ", ") {
        text_add(&p->out, between);
        put_value(p, n->operands[i]);
    }
    for (uint32_t i = 0; i < n->attrs.n; i++, between = ", ") {
        const attr *a = &n->attrs.items[i];
        text_add(&p->out, between);
        text_add(&p->out, attr_name_text((attr_name)a->name));
        text_add(&p->out, "=");
        put_attr[attr_kind_of((attr_name)a->name)](p, a);
    }
    for (uint32_t i = 0; i < n->n_results; i++) {
        text_add(&p->out, i ? ", " : " : ");
        text_type(&p->out, p->module->dims, graph_type(p->graph, n->first_result + i));
    }
    if (!p->style) {
        put_locations(p, n->locations);
    } else if (n->locations != LOCATION_NONE) {
        text_add(&p->out, "  # ");
        text_locations_brief(&p->out, p->module, n->locations);
    }
    text_add(&p->out, "\n");
}

void text_node(text_buffer *b, const tn_graph *g, const uint32_t *numbers, const node_style *style, const node *n) {
    static const node_style plain;
    literal_locale locale;
    if (!literal_begin(&locale)) {
        b->failed = true;
        return;
    }
    printer p = {.out = *b, .module = g->module, .graph = g, .numbers = numbers, .style = style ? style : &plain};
    put_node(&p, n);
    *b = p.out;
    literal_end(&locale);
}

/* ---- Functions ------------------------------------------------------------------------------------------ */

static void put_param(printer *p, const param *item) {
    text_name(&p->out, '%', item->name);
    text_add(&p->out, ": ");
    text_type(&p->out, p->module->dims, &item->type);
    if (item->binding == BINDING_LOAD) text_add(&p->out, " weight");
    if (item->binding == BINDING_STATE) text_add(&p->out, " state");
    if (!item->initial) return;
    text_add(&p->out, " ");
    if (p->style)
        text_data_brief(&p->out, item->initial);
    else
        text_data(&p->out, p->data, item->initial);
}

void text_param(text_buffer *b, const tn_module *m, const param *item) {
    static const node_style plain;
    printer p = {.out = *b, .module = m, .style = &plain};
    put_param(&p, item);
    *b = p.out;
}

static void put_result(printer *p, const result *item) {
    text_name(&p->out, '%', item->name);
    text_add(&p->out, ": ");
    text_type(&p->out, p->module->dims, graph_type(p->graph, item->value));
    if (item->state_param < 0) return;
    text_add(&p->out, " updates ");
    text_name(&p->out, '%', p->graph->params[item->state_param].name);
}

/* `(`, items, `)`: on one line when they are few. */
#define MANY_ITEMS 4

static void put_between(printer *p, size_t i, size_t n) {
    if (n > MANY_ITEMS)
        text_add(&p->out, i ? ",\n    " : "\n    ");
    else if (i)
        text_add(&p->out, ", ");
}

/* Symbols come from the parameters' types in order of appearance; true when that is how they stand. */
typedef struct order_check {
    const tn_graph *g;
    size_t seen;
    bool in_order;
} order_check;

static bool visit_symbol(void *ctx, tn_dim leaf) {
    order_check *c = ctx;
    for (size_t i = 0; i < c->seen; i++)
        if (c->g->symbols[i].dim == leaf) return true;
    c->in_order = c->seen < c->g->n_symbols && c->g->symbols[c->seen].dim == leaf;
    c->seen++;
    return c->in_order;
}

/* How many of the symbols the parameters declare, when they stand in that order. */
static bool symbols_in_order(const printer *p, size_t *declared) {
    const tn_graph *g = p->graph;
    order_check c = {g, 0, true};
    for (size_t i = 0; i < g->n_params && c.in_order; i++)
        for (int axis = 0; axis < g->params[i].type.rank && c.in_order; axis++)
            dim_visit_leaves(p->module->dims, g->params[i].type.dims[axis], visit_symbol, &c);
    *declared = c.seen;
    return c.in_order;
}

/* `symbols [m, n]` where the parameters' types alone would not give these symbols in this order. */
static void put_symbol_list(printer *p) {
    const tn_graph *g = p->graph;
    size_t declared;
    if (symbols_in_order(p, &declared) && declared == g->n_symbols) return;
    text_add(&p->out, "\n  symbols [");
    for (size_t i = 0; i < g->n_symbols; i++) {
        if (i) text_add(&p->out, ", ");
        text_dim(&p->out, p->module->dims, g->symbols[i].dim);
    }
    text_add(&p->out, "]");
}

/* What is known of the symbols: n in [1, 1024], n >= 1, n % 8 == 0 */
static void put_symbol_facts(printer *p) {
    const char *between = "\n  where ";
    for (size_t i = 0; i < p->graph->n_symbols; i++) {
        const symbol *s = &p->graph->symbols[i];
        if (s->low != 0 || s->high != INT64_MAX) {
            text_add(&p->out, between);
            text_dim(&p->out, p->module->dims, s->dim);
            if (s->high == INT64_MAX)
                text_format(&p->out, " >= %" PRId64, s->low);
            else
                text_format(&p->out, " in [%" PRId64 ", %" PRId64 "]", s->low, s->high);
            between = ", ";
        }
        if (s->divisor != 1) {
            text_add(&p->out, between);
            text_dim(&p->out, p->module->dims, s->dim);
            text_format(&p->out, " %% %" PRId64 " == 0", s->divisor);
            between = ", ";
        }
    }
}

static const char *const relations[] = {
    [RELATION_EQ] = " == ", [RELATION_LE] = " <= ", [RELATION_DIVIDES] = " divides "};

static void put_constraints(printer *p) {
    for (size_t i = 0; i < p->graph->n_constraints; i++) {
        const constraint *c = &p->graph->constraints[i];
        text_add(&p->out, "\n  require ");
        text_dim(&p->out, p->module->dims, c->a);
        text_add(&p->out, relations[c->relation]);
        text_dim(&p->out, p->module->dims, c->b);
        text_format(&p->out, " for %s", op_name((tn_op)c->op));
        put_locations(p, c->locations);
    }
}

static void put_header(printer *p) {
    const tn_graph *g = p->graph;
    if (g->is_kernel) text_add(&p->out, "kernel ");
    if (g->remat != REMAT_CHEAP) text_format(&p->out, "remat %s ", remat_names[g->remat]);
    if (g->gradient) {
        text_add(&p->out, "gradient ");
        text_name(&p->out, '@', g->gradient->name);
        text_add(&p->out, " ");
    }
    text_add(&p->out, "fn ");
    text_name(&p->out, '@', g->name);
    text_add(&p->out, "(");
    for (size_t i = 0; i < g->n_params; i++) {
        put_between(p, i, g->n_params);
        put_param(p, &g->params[i]);
    }
    text_add(&p->out, ") -> (");
    for (size_t i = 0; i < g->n_results; i++) {
        put_between(p, i, g->n_results);
        put_result(p, &g->results[i]);
    }
    text_add(&p->out, ")");
    size_t before = p->out.length;
    put_symbol_list(p);
    put_symbol_facts(p);
    put_constraints(p);
    text_add(&p->out, p->out.length > before ? "\n{\n" : " {\n");
}

static void put_graph(printer *p, const tn_graph *g) {
    uint32_t *numbers = graph_number_values(g);
    p->graph = g;
    p->numbers = numbers;
    if (!numbers) p->out.failed = true;
    if (!p->out.failed) {
        put_header(p);
        if (p->notes) p->notes->function(p->notes->ctx, &p->out, g);
        for (size_t i = 0; i < g->n_nodes; i++) {
            if (g->nodes[i].op == TN_OP_param) continue;
            if (p->notes) p->notes->node(p->notes->ctx, &p->out, g, p->numbers, i);
            put_node(p, &g->nodes[i]);
        }
        text_add(&p->out, "  return");
        for (size_t i = 0; i < g->n_results; i++) {
            text_add(&p->out, i ? ", " : " ");
            put_value(p, g->results[i].value);
        }
        text_add(&p->out, "\n}\n");
    }
    tn_free(numbers);
    p->numbers = NULL;
}

char *tn_module_print(const tn_module *m, const char *data_path) { return module_print_with(m, data_path, NULL); }

char *module_print_with(const tn_module *m, const char *data_path, const print_notes *notes) {
    if (!m) return NULL;
    literal_locale locale;
    if (!literal_begin(&locale)) return NULL;
    static const node_style for_people;
    bool is_brief = data_path && !*data_path, has_file = data_path && !is_brief;
    printer p = {.module = m,
                 .notes = notes,
                 .style = is_brief ? &for_people : NULL,
                 .data = has_file ? data_file_new(data_path) : NULL};
    p.out.failed = has_file && !p.data;
    text_add(&p.out, "module ");
    text_quote(&p.out, m->name);
    text_add(&p.out, "\n");
    for (size_t i = 0; i < m->n_graphs && !p.out.failed; i++) {
        text_add(&p.out, "\n");
        put_graph(&p, m->graphs[i]);
    }
    if (m->loops.text) {
        text_add(&p.out, "\nloops");
        text_add_n(&p.out, m->loops.text, m->loops.length);
    }
    text_add_n(&p.out, "", 1);
    if (!data_file_close(p.data)) p.out.failed = true;
    literal_end(&locale);
    if (!p.out.failed) return p.out.text;
    tn_free(p.out.text);
    return NULL;
}

void tn_text_free(char *text) { tn_free(text); }
