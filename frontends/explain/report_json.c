/* An explanation as JSON.
 *
 * in:  an explanation
 * out: one object, its fields listed in docs/EXPLAIN.md
 * law: fields never change their meaning; the same explanation gives the same bytes, and two of one model differ in
 *      figures of time alone
 */
#include "frontends/explain/report.h"

#include "frontends/data/utf8.h"
#include "runtime/alloc.h"

#include <math.h>
#include <string.h>

/* ---- Values ---- */

/* Bytes that are no UTF-8 as U+FFFD. */
static json_t *text_json(const char *text) {
    if (utf8_is_valid(text)) return json_string(text);
    text_buffer t = {0};
    for (const char *at = text, *end = text + strlen(text); at < end;) {
        const char *next = utf8_next(at, end);
        if (next)
            text_add_n(&t, at, (size_t)(next - at));
        else
            text_add_n(&t, "\xEF\xBF\xBD", 3);
        at = next ? next : at + 1;
    }
    char *whole = report_take(&t);
    json_t *json = whole ? json_string(whole) : NULL;
    tn_free(whole);
    return json;
}

/* Counts, whole as they are. */
static json_t *count_json(double x) {
    return x < 0 ? json_null() : x < 9e15 ? json_integer((json_int_t)llround(x)) : json_real(x);
}

/* Times, shares. */
static json_t *real_json(double x) { return x < 0 || !isfinite(x) ? json_null() : json_real(x); }

static json_t *texts_json(const char *const *texts, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, text_json(texts[i]));
    return list;
}

static json_t *numbers_json(const int *numbers, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_integer(numbers[i]));
    return list;
}

/* An upper bound that there is none of. */
static json_t *bound_json(int64_t x) { return x == INT64_MAX ? json_null() : json_integer(x); }

/* ---- Parts ---- */

static json_t *node_json(const tn_explained_node *n) {
    return json_pack("{s:o, s:o, s:b, s:o}", "op", text_json(n->op), "type", text_json(n->type), "view", n->is_view,
                     "locations", texts_json(n->locations, n->n_locations));
}

static json_t *kernel_json(const tn_explained_kernel *k) {
    static const char *const bounds[] = {"compute", "memory", "unknown"};
    json_t *nodes = json_array();
    for (int i = 0; i < k->n_nodes; i++) json_array_append_new(nodes, node_json(&k->nodes[i]));
    json_t *what = json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "number", k->number, "part",
                             k->is_prepare ? "prepare" : "run", "name", text_json(k->name), "class",
                             text_json(k->class_name), "function", text_json(k->function), "title", text_json(k->title),
                             "nodes", nodes, "notes", texts_json(k->notes, k->n_notes), "reads",
                             numbers_json(k->reads, k->n_reads), "writes", numbers_json(k->writes, k->n_writes));
    json_t *costs =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "calls", real_json(k->calls), "flops",
                  count_json(k->flops), "bytes_read", count_json(k->bytes_read), "weight_bytes",
                  count_json(k->weight_bytes), "bytes_written", count_json(k->bytes_written), "temporary_bytes",
                  count_json(k->temporary_bytes), "intensity", real_json(k->intensity), "predicted_ms",
                  real_json(k->predicted_ms), "bound", bounds[k->bound], "measured_ms", real_json(k->measured_ms),
                  "share_of_peak", real_json(k->share_of_peak), "share_of_time", real_json(k->share_of_time));
    if (!what || !costs || json_object_update(what, costs) != 0) {
        json_decref(what);
        what = NULL;
    }
    json_decref(costs);
    return what;
}

static json_t *value_json(const tn_explained_value *v) {
    static const char *const places[] = {"input", "weight", "constant", "arena", "output"};
    return json_pack("{s:o, s:o, s:o, s:s, s:s}", "name", text_json(v->name), "type", text_json(v->type), "bytes",
                     count_json(v->bytes), "place", places[v->place], "part", v->is_prepare ? "prepare" : "run");
}

static json_t *values_json(const tn_explained_value *values, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, value_json(&values[i]));
    return list;
}

static json_t *edges_json(const tn_explanation *e) {
    json_t *list = json_array();
    for (int i = 0; i < e->n_edges; i++)
        json_array_append_new(list, json_pack("[i, i, i]", e->edges[i].from, e->edges[i].to, e->edges[i].value));
    return list;
}

static json_t *arena_json(const tn_explanation *e) {
    json_t *list = json_array();
    for (int i = 0; i < e->n_blocks; i++) {
        const tn_explained_block *b = &e->blocks[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:s, s:o, s:o, s:i, s:i}", "what", text_json(b->what),
                                              "value", b->value < 0 ? json_null() : json_integer(b->value), "part",
                                              b->is_prepare ? "prepare" : "run", "offset", count_json(b->offset),
                                              "bytes", count_json(b->bytes), "first", b->first, "last", b->last));
    }
    return list;
}

static json_t *symbols_json(const tn_explanation *e) {
    json_t *list = json_array();
    for (int i = 0; i < e->n_symbols; i++) {
        const tn_explained_symbol *s = &e->symbols[i];
        json_array_append_new(list, json_pack("{s:o, s:I, s:I, s:o, s:I}", "name", text_json(s->name), "value",
                                              (json_int_t)s->value, "lower", (json_int_t)s->lower, "upper",
                                              bound_json(s->upper), "divisor", (json_int_t)s->divisor));
    }
    return list;
}

static json_t *machine_json(const tn_machine_limits *m) {
    json_t *levels = json_array();
    for (int i = 0; i < TN_MACHINE_LEVELS; i++)
        if (m->levels[i].bytes_per_second > 0)
            json_array_append_new(levels, json_pack("{s:o, s:o}", "bytes", count_json(m->levels[i].bytes),
                                                    "bytes_per_second", real_json(m->levels[i].bytes_per_second)));
    return json_pack("{s:i, s:o, s:o}", "threads", m->threads, "flops_per_second", real_json(m->flops_per_second),
                     "bandwidth", levels);
}

static json_t *stages_json(const tn_explanation *e) {
    json_t *list = json_array();
    for (int i = 0; i < e->n_stages; i++)
        json_array_append_new(list, json_pack("{s:o, s:o}", "name", text_json(e->stages[i].name), "ms",
                                              real_json(e->stages[i].milliseconds)));
    return list;
}

static json_t *kernels_json(const tn_explanation *e) {
    json_t *list = json_array();
    for (int i = 0; i < e->n_kernels; i++) json_array_append_new(list, kernel_json(&e->kernels[i]));
    return list;
}

static json_t *totals_json(const tn_explanation *e) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i}", "flops", count_json(e->flops),
                     "bytes", count_json(e->bytes), "predicted_ms", real_json(e->predicted_ms), "measured_ms",
                     real_json(e->measured_ms), "kernels_ms", real_json(e->kernels_ms), "arena_bytes",
                     count_json(e->arena_bytes), "live_bytes", count_json(e->live_bytes), "scratch_bytes",
                     count_json(e->scratch_bytes), "raw_weight_bytes", count_json(e->raw_weight_bytes),
                     "packed_weight_bytes", count_json(e->packed_weight_bytes), "code_bytes", count_json(e->code_bytes),
                     "runs", e->runs);
}

json_t *report_json(const tn_explanation *e) {
    return json_pack("{s:i, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "format", 1,
                     "name", text_json(e->name), "version", text_json(e->version), "target", text_json(e->target),
                     "cut", e->is_cut, "totals", totals_json(e), "machine", machine_json(&e->machine), "inputs",
                     values_json(e->inputs, e->n_inputs), "outputs", values_json(e->outputs, e->n_outputs), "symbols",
                     symbols_json(e), "constraints", texts_json(e->constraints, e->n_constraints), "stages",
                     stages_json(e), "kernels", kernels_json(e), "values", values_json(e->values, e->n_values), "edges",
                     edges_json(e), "arena", arena_json(e));
}

/* ---- As text ---- */

char *report_take(text_buffer *t) {
    text_add_n(t, "", 1);
    if (!t->failed) return t->text;
    tn_free(t->text);
    return NULL;
}

static int take(const char *bytes, size_t n, void *text) {
    text_add_n(text, bytes, n);
    return ((text_buffer *)text)->failed ? -1 : 0;
}

char *tn_explain_json(const tn_explanation *e) {
    text_buffer t = {0};
    json_t *all = report_json(e);
    t.failed = !all || json_dump_callback(all, take, &t, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) != 0;
    json_decref(all);
    text_add_n(&t, "\n", 1);
    return report_take(&t);
}
