/* The table of a model's layers.
 *
 * in:  a model
 * out: text: layer, output shape, parameters, floating-point operations
 * law: operations are counted with 1 for every symbol; a product and its sum are two, every other element of a result
 *      (of an operand, where it is reduced) is one, views are none
 */
#include "frontends/nn/model.h"

#include "ir/dtype.h"
#include "ir/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Operations ------------------------------------------------------------------------------------------ */

static bool symbol_is_one(void *ctx, tn_dim leaf, int64_t *value) {
    (void)ctx;
    (void)leaf;
    *value = 1;
    return true;
}

static double extent(const tn_graph *g, tn_dim d) {
    int64_t value;
    return dim_eval(g->module->dims, d, symbol_is_one, NULL, &value) ? (double)value : 0;
}

static double elements(const tn_graph *g, const tn_type *type) {
    double n = 1;
    for (int i = 0; i < type->rank; i++) n *= extent(g, type->dims[i]);
    return n;
}

static double count_function(const tn_graph *g, size_t from, size_t to, int depth);

static double count_dot(const tn_graph *g, const node *n) {
    const attr *contract = attr_find(&n->attrs, ATTR_contract);
    const tn_type *x = graph_type(g, n->operands[0]);
    double depth = 1;
    for (uint32_t i = 0; contract && i < contract->split; i++) depth *= extent(g, x->dims[contract->ints.items[i]]);
    return 2 * depth * elements(g, graph_type(g, n->first_result));
}

static double count_matmul(const tn_graph *g, const node *n) {
    const tn_type *x = graph_type(g, n->operands[0]);
    return 2 * extent(g, x->dims[x->rank - 1]) * elements(g, graph_type(g, n->first_result));
}

static double count_conv(const tn_graph *g, const node *n) {
    const tn_type *kernel = graph_type(g, n->operands[1]);
    double spread = 1; /* of a transposed convolution, zeros between elements don't count */
    const attr *dilation = attr_find(&n->attrs, ATTR_input_dilation);
    for (uint32_t i = 0; dilation && i < dilation->ints.n; i++) spread *= (double)dilation->ints.items[i];
    return 2 * elements(g, kernel) / extent(g, kernel->dims[0]) * elements(g, graph_type(g, n->first_result)) / spread;
}

/* Scores and mixtures: 2 m n (d + e). */
static double count_attention(const tn_graph *g, const node *n) {
    const tn_type *q = graph_type(g, n->operands[0]), *k = graph_type(g, n->operands[1]);
    const tn_type *v = graph_type(g, n->operands[2]);
    double width = extent(g, k->dims[k->rank - 1]), scores = elements(g, q) / width * extent(g, k->dims[k->rank - 2]);
    return 2 * scores * (width + extent(g, v->dims[v->rank - 1]));
}

static double count_scan(const tn_graph *g, const node *n, int depth) {
    const attr *body = attr_find(&n->attrs, ATTR_body), *length = attr_find(&n->attrs, ATTR_length);
    return body && length ? extent(g, length->dim) * count_function(body->func, 0, body->func->n_nodes, depth + 1) : 0;
}

static double count_node(const tn_graph *g, const node *n, int depth) {
    switch (n->op) {
    case TN_OP_dot: return count_dot(g, n);
    case TN_OP_matmul: return count_matmul(g, n);
    case TN_OP_conv: return count_conv(g, n);
    case TN_OP_attention: return count_attention(g, n);
    case TN_OP_scan: return count_scan(g, n, depth);
    default: break;
    }
    loop_class class = op_table[n->op].loop_class;
    if (class != CLASS_MAP && class != CLASS_REDUCE && class != CLASS_WINDOW && class != CLASS_COMPOSITE) return 0;
    const tn_type *result = graph_type(g, n->first_result);
    if (!dtype_is_float(result->dtype) || n->op == TN_OP_convert || n->n_operands == 0) return 0;
    double of_result = elements(g, result), of_operand = elements(g, graph_type(g, n->operands[0]));
    return of_result > of_operand ? of_result : of_operand;
}

static double count_function(const tn_graph *g, size_t from, size_t to, int depth) {
    double sum = 0;
    if (depth > GRAPH_MAX_DEPTH) return 0;
    for (size_t i = from; i < to && i < g->n_nodes; i++) sum += count_node(g, &g->nodes[i], depth);
    return sum;
}

/* ---- The table ----------------------------------------------------------------------------------------------- */

typedef struct text {
    char *bytes;
    size_t used, capacity;
    bool failed;
} text;

static void add(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(text *t, const char *format, ...) {
    va_list arguments;
    enum { LINE = 512 };
    if (t->failed || !array_reserve((void **)&t->bytes, &t->capacity, t->used + LINE, 1)) {
        t->failed = true;
        return;
    }
    va_start(arguments, format);
    int length = vsnprintf(t->bytes + t->used, LINE, format, arguments);
    va_end(arguments);
    t->used += (size_t)(length < 0 ? 0 : length < LINE ? length : LINE - 1);
}

/* "1,234" */
static const char *grouped(double number, char out[40]) {
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%.0f", number), length = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) out[length++] = ',';
        out[length++] = digits[i];
    }
    out[length] = '\0';
    return out;
}

static double count_parameters(const tn_model *m, size_t from, size_t to, bool trainable_only) {
    double sum = 0;
    for (size_t i = from; i < to && i < m->forward->n_params; i++) {
        bool is_trained = m->params[i].role == NN_PARAMETER && !m->params[i].frozen;
        if (is_trained || (!trainable_only && (m->params[i].role == NN_PARAMETER || m->params[i].role == NN_STATE)))
            sum += elements(m->forward, &m->forward->params[i].type);
    }
    return sum;
}

static void describe_layer(const nn_layer *row, char *out, size_t bytes) {
    const char *last = strrchr(row->path, '.');
    bool says_kind = strncmp(last ? last + 1 : row->path, row->kind, strlen(row->kind)) == 0;
    snprintf(out, bytes, says_kind ? "%s" : "%s (%s)", row->path, row->kind);
}

static void shape_text(const tn_model *m, value_id v, char *out, size_t bytes) {
    if (v == VALUE_NONE)
        snprintf(out, bytes, "?");
    else
        type_print(m->module->dims, graph_type(m->forward, v), out, bytes);
}

/* Width of the widest of the rows' cells, at least that of the title. */
static void widths(const tn_model *m, int *name, int *shape) {
    char cell[300];
    *name = (int)strlen("layer");
    *shape = (int)strlen("output");
    for (size_t i = 0; i < m->forward->n_params + m->n_layers; i++) {
        bool is_layer = i >= m->forward->n_params;
        if (is_layer)
            describe_layer(&m->layers[i - m->forward->n_params], cell, sizeof cell);
        else if (m->params[i].role == NN_INPUT)
            snprintf(cell, sizeof cell, "%s (input)", m->forward->params[i].name);
        else
            continue;
        if ((int)strlen(cell) > *name) *name = (int)strlen(cell);
        shape_text(m, is_layer ? m->layers[i - m->forward->n_params].output : m->forward->params[i].value, cell,
                   sizeof cell);
        if ((int)strlen(cell) > *shape) *shape = (int)strlen(cell);
    }
}

static void rule(text *t, int width) {
    for (int i = 0; i < width; i++) add(t, "-");
    add(t, "\n");
}

char *tn_model_summary(const tn_model *m) {
    text t = {0};
    int name, shape;
    char cell[300], type[300], a[40], b[40];
    if (!m) return NULL;
    widths(m, &name, &shape);
    int width = name + shape + 32;
    add(&t, "model %s\n", m->module->name);
    add(&t, "%-*s  %-*s  %12s  %14s\n", name, "layer", shape, "output", "parameters", "operations");
    rule(&t, width);
    for (size_t i = 0; i < m->forward->n_params; i++) {
        if (m->params[i].role != NN_INPUT) continue;
        snprintf(cell, sizeof cell, "%s (input)", m->forward->params[i].name);
        shape_text(m, m->forward->params[i].value, type, sizeof type);
        add(&t, "%-*s  %-*s\n", name, cell, shape, type);
    }
    double operations = 0;
    for (size_t i = 0; i < m->n_layers; i++) {
        const nn_layer *row = &m->layers[i];
        double count = count_function(m->forward, row->first_node, row->end_node, 0);
        operations += count;
        describe_layer(row, cell, sizeof cell);
        shape_text(m, row->output, type, sizeof type);
        add(&t, "%-*s  %-*s  %12s  %14s\n", name, cell, shape, type,
            grouped(count_parameters(m, row->first_param, row->end_param, false), a), grouped(count, b));
    }
    rule(&t, width);
    double all = count_parameters(m, 0, m->forward->n_params, false);
    double trained = count_parameters(m, 0, m->forward->n_params, true);
    add(&t, "parameters: %s, trainable %s", grouped(all, a), grouped(trained, b));
    add(&t, " (%s bytes)\n", grouped(all * tn_dtype_bits(m->dtype) / 8, a));
    add(&t, "operations: %s\n", grouped(operations, a));
    if (!t.failed) return t.bytes;
    tn_free(t.bytes);
    return NULL;
}
