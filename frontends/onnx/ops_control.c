/* If and Scan. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <string.h>

/* ---- If ------------------------------------------------------------------------------------ */

/* A branch that is known to be taken: its nodes go where the If stands. */
static void import_branch(conversion *c, const onnx_graph *branch) {
    scope s = scope_open(c->im, c->g, c->s, c->s->frame, c->s->opsets);
    bool ok = import_graph_body(&s, branch);
    location_id former = graph_set_origin(c->g, c->g->origin);
    for (int i = 0; ok && i < (int)c->node->outputs.count; i++) {
        entry *e = i < (int)branch->outputs.count ? scope_find(&s, branch->outputs.items[i].name) : NULL;
        if (!e)
            ok = node_error(c, TN_ERR_PARSE, "output %d of the graph '%.100s' is no value of it", i, branch->name);
        else if (entry_known(&s, e))
            output_known(c, i, e->known);
        else
            output(c, i, entry_value(&s, e));
    }
    graph_set_origin(c->g, former);
    scope_close(&s);
}

/* One branch as a function; both branches capture what either uses. */
static bool build_branch(body *b, conversion *c, const char *name, const onnx_graph *const graphs[2], int which) {
    scope s = {0};
    bool ok = body_open(b, c, name) && body_scope(b, graphs, 2, &s) && import_graph_body(&s, graphs[which]) &&
              body_results(b, &s, graphs[which], 0, c->node->outputs.count);
    scope_close(&s);
    return ok;
}

static bool same_ranks(const body *a, const body *b, size_t *differs) {
    for (*differs = 0; *differs < a->g->n_results; (*differs)++) {
        const tn_type *x = graph_type(a->g, a->g->results[*differs].value),
                      *y = graph_type(b->g, b->g->results[*differs].value);
        if (x->dtype != y->dtype || x->rank != y->rank) return false;
    }
    return true;
}

static void report_ranks(conversion *c, const body *a, const body *b, size_t i) {
    char left[256], right[256];
    type_print(node_dims(c), graph_type(a->g, a->g->results[i].value), left, sizeof left);
    type_print(node_dims(c), graph_type(b->g, b->g->results[i].value), right, sizeof right);
    node_error(c, TN_ERR_SHAPE, "output %zu is %s in one branch and %s in the other", i, left, right);
}

/* Both branches as functions. False, without an error: their results differ in rank, and the sizes that decide
 * can be assumed to be equal (exporters guard a squeeze so). */
static bool build_if(conversion *c, const onnx_graph *const graphs[2], const known *k) {
    tn_val condition = tn_reshape_dims(input(c, 0), 0, NULL);
    body then = {0}, otherwise = {0};
    size_t differs;
    bool is_done = true;
    if (build_branch(&then, c, "then", graphs, 0) && build_branch(&otherwise, c, "else", graphs, 1)) {
        if (same_ranks(&then, &otherwise, &differs)) {
            tn_val v = tn_if(condition, then.g, otherwise.g, then.outer, (int)then.n);
            for (int i = 0; i < (int)c->node->outputs.count && !has_failed(c); i++) output(c, i, tn_result(v, i));
        } else if (k && k->is_equality) {
            is_done = false;
        } else {
            report_ranks(c, &then, &otherwise, differs);
        }
    }
    body_close(&otherwise);
    body_close(&then);
    if (!is_done) {
        module_remove_graph(c->im->module, otherwise.g);
        module_remove_graph(c->im->module, then.g);
    }
    return is_done;
}

void convert_if(conversion *c) {
    const onnx_graph *graphs[] = {read_graph(c, "then_branch"), read_graph(c, "else_branch")};
    const known *k = graphs[0] && graphs[1] ? input_folded(c, 0) : NULL;
    int64_t is_true;
    if (has_failed(c)) return;
    if (k && k->n == 1 && known_number(c->im, k, 0, &is_true))
        import_branch(c, graphs[is_true == 0]);
    else if (c->node->outputs.count > 0 && !build_if(c, graphs, k) && k && assume_equal(c, k->left, k->right))
        import_branch(c, graphs[0]);
}

/* ---- Scan ---------------------------------------------------------------------------------- */

/* Axis `from` moved to `to`. */
static tn_val move_axis(conversion *c, tn_val v, int64_t from, int64_t to) {
    int64_t perm[TN_MAX_RANK];
    int rank = tn_rank(v);
    if (!tn_is_valid(v) || !check_axis(c, &from, rank) || !check_axis(c, &to, rank)) return v;
    for (int i = 0, k = 0; i < rank; i++) {
        if (i == to) {
            perm[i] = from;
            continue;
        }
        if (k == from) k++;
        perm[i] = k++;
    }
    return tn_transpose(v, ints_of(perm, rank));
}

/* An entry of a list attribute; 0 when the attribute is absent. */
static int64_t list_entry(conversion *c, const char *name, int i) {
    const onnx_attribute *a = find_attribute(c, name, ONNX_ATTR_INTS);
    return a && (size_t)i < a->ints.count ? a->ints.items[i] : 0;
}

typedef struct scan_parts {
    int n_states, n_sequences, n_outputs; /* outputs: sequences that come out */
    tn_val *carried, *sequences;
    tn_dim length;
} scan_parts;

static bool read_scan(conversion *c, const onnx_graph *graph, scan_parts *p) {
    int64_t n = read_int(c, "num_scan_inputs", 0);
    int n_inputs = input_count(c);
    if (n < 1 || n > n_inputs || graph->inputs.count != (size_t)n_inputs ||
        graph->outputs.count != c->node->outputs.count || (int)graph->outputs.count < n_inputs - (int)n)
        return node_error(c, TN_ERR_PARSE, "num_scan_inputs is %lld; the body has %zu inputs and %zu outputs",
                          (long long)n, graph->inputs.count, graph->outputs.count);
    p->n_sequences = (int)n;
    p->n_states = n_inputs - (int)n;
    p->n_outputs = (int)graph->outputs.count - p->n_states;
    p->sequences = ARENA_ARRAY(&c->im->memory, tn_val, p->n_sequences);
    if (!p->sequences) return import_no_memory(c->im);
    for (int i = 0; i < p->n_sequences; i++) {
        tn_val v = move_axis(c, input(c, p->n_states + i), list_entry(c, "scan_input_axes", i), 0);
        p->sequences[i] = list_entry(c, "scan_input_directions", i) ? tn_reverse(v, TN_INTS(0)) : v;
        if (has_failed(c)) return false;
    }
    p->length = tn_type_of(p->sequences[0]).dims[0];
    return true;
}

/* Binds a parameter inside to the name of an input of the body. */
static bool bind_param(body *b, scope *s, const char *name, const tn_type *type, bool is_element) {
    tn_type own = is_element ? type_make((tn_dtype)type->dtype, type->rank - 1, type->dims + 1) : *type;
    tn_val v = body_param(b, name, &own);
    entry *e = tn_is_valid(v) ? scope_add(s, name) : NULL;
    if (e) e->value = v;
    return e != NULL;
}

/* States come first in the parameters, then what is captured, then the sequences; names of inputs
 * are entered when the scope is there. */
static bool build_scan_body(body *b, conversion *c, const onnx_graph *graph, const scan_parts *p) {
    scope s = {0};
    if (!body_open(b, c, "scan")) return false;
    for (int i = 0; i < p->n_states; i++) {
        tn_type type = tn_type_of(input(c, i));
        if (has_failed(c) || !tn_is_valid(body_param(b, graph->inputs.items[i].name, &type))) return false;
    }
    bool ok = body_scope(b, &graph, 1, &s);
    for (int i = 0; ok && i < p->n_states; i++) {
        entry *e = scope_add(&s, graph->inputs.items[i].name);
        ok = e != NULL;
        if (e) e->value = (tn_val){b->g, b->g->params[i].value};
    }
    for (int i = 0; ok && i < p->n_sequences; i++) {
        tn_type type = tn_type_of(p->sequences[i]);
        ok = bind_param(b, &s, graph->inputs.items[p->n_states + i].name, &type, true);
    }
    ok = ok && import_graph_body(&s, graph) && body_results(b, &s, graph, 0, (size_t)p->n_states) &&
         body_return_captured(b) && body_results(b, &s, graph, (size_t)p->n_states, (size_t)p->n_outputs);
    scope_close(&s);
    return ok;
}

void convert_scan(conversion *c) {
    const onnx_graph *graph = read_graph(c, "body");
    scan_parts p = {0};
    body b = {0};
    if (!graph || !read_scan(c, graph, &p)) return;
    if (build_scan_body(&b, c, graph, &p)) {
        size_t n = (size_t)p.n_states + b.n;
        tn_val *carried = ARENA_ARRAY(&c->im->memory, tn_val, n ? n : 1);
        for (int i = 0; carried && i < p.n_states; i++) carried[i] = input(c, i);
        for (size_t i = 0; carried && i < b.n; i++) carried[(size_t)p.n_states + i] = b.outer[i];
        tn_val v = carried ? tn_scan(b.g, carried, (int)n, p.sequences, p.n_sequences, p.length, false)
                           : (tn_val){NULL, VALUE_NONE};
        for (int i = 0; i < p.n_states && !has_failed(c); i++) output(c, i, tn_result(v, i));
        for (int i = 0; i < p.n_outputs && !has_failed(c); i++) {
            tn_val out = tn_result(v, (int)n + i);
            if (list_entry(c, "scan_output_directions", i)) out = tn_reverse(out, TN_INTS(0));
            output(c, p.n_states + i, move_axis(c, out, 0, list_entry(c, "scan_output_axes", i)));
        }
    }
    body_close(&b);
}
