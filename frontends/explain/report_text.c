/* An explanation as text for a terminal.
 *
 * in:  an explanation
 * out: the whole, a table of kernels (a row each), then each kernel with its source and why it is built as it is
 */
#include "frontends/explain/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 120 };

/* ---- Figures ---- */

enum { FIGURE = 24 };

/* "1.23 M", three digits and a unit of thousands (or 1024). "?": not known. */
static const char *scaled(double x, double step, const char *const units[5], char out[FIGURE]) {
    int unit = 0;
    if (x < 0) return "?";
    while (unit < 4 && x >= step * 0.9995) {
        x /= step;
        unit++;
    }
    int digits = x >= 100 || unit == 0 ? 0 : x >= 10 ? 1 : 2;
    snprintf(out, FIGURE, "%.*f %s", digits, x, units[unit]);
    return out;
}

static const char *count_text(double x, char out[FIGURE]) {
    static const char *const units[] = {"", "k", "M", "G", "T"};
    return scaled(x, 1000, units, out);
}

static const char *bytes_text(double x, char out[FIGURE]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    return scaled(x, 1024, units, out);
}

static const char *time_text(double ms, char out[FIGURE]) {
    static const struct {
        double least, scale;
        const char *format;
    } forms[] = {{100, 1, "%.0f ms"},    {10, 1, "%.1f ms"},     {1, 1, "%.2f ms"},
                 {1e-3, 1e3, "%.1f us"}, {1e-6, 1e6, "%.0f ns"}, {0, 0, "0 ns"}};
    size_t i = 0;
    if (ms < 0) return "-";
    while (ms < forms[i].least) i++;
    snprintf(out, FIGURE, forms[i].format, ms * forms[i].scale);
    return out;
}

static const char *share_text(double share, char out[FIGURE]) {
    if (share < 0) return "-";
    snprintf(out, FIGURE, share < 0.0995 ? "%.1f%%" : "%.0f%%", share * 100);
    return out;
}

/* ---- The whole ---- */

static void add_signature(text_buffer *t, const char *what, const tn_explained_value *list, int n) {
    enum { MOST = 8 };
    for (int i = 0; i < n && (i < MOST - 1 || n <= MOST); i++)
        text_format(t, "  %-10s %s: %s\n", i ? "" : what, list[i].name, list[i].type);
    if (n > MOST) text_format(t, "  %-10s and %d more\n", "", n - MOST + 1);
}

static void add_symbols(text_buffer *t, const tn_explanation *e) {
    for (int i = 0; i < e->n_symbols; i++) {
        const tn_explained_symbol *s = &e->symbols[i];
        text_format(t, "  %-10s %s = %lld", i ? "" : "sizes", s->name, (long long)s->value);
        if (s->lower > 0 || s->upper < INT64_MAX) {
            text_format(t, "   allowed: from %lld", (long long)s->lower);
            if (s->upper < INT64_MAX) text_format(t, " to %lld", (long long)s->upper);
        }
        if (s->divisor > 1) text_format(t, ", multiples of %lld", (long long)s->divisor);
        text_add(t, "\n");
    }
    for (int i = 0; i < e->n_constraints; i++) text_format(t, "  %-10s %s\n", i ? "" : "must hold", e->constraints[i]);
}

static void add_machine(text_buffer *t, const tn_explanation *e) {
    char a[FIGURE], b[FIGURE];
    const tn_machine_limits *m = &e->machine;
    text_format(t, "  %-10s %sFLOP/s with %d thread%s; bytes/s", "machine", count_text(m->flops_per_second, a),
                m->threads, m->threads == 1 ? "" : "s");
    for (int i = 0; i < TN_MACHINE_LEVELS; i++)
        if (m->levels[i].bytes_per_second > 0)
            text_format(t, "%s %s in %s", i ? "," : "", count_text(m->levels[i].bytes_per_second, a),
                        bytes_text(m->levels[i].bytes, b));
    text_add(t, "\n");
}

static void add_stages(text_buffer *t, const tn_explanation *e) {
    char a[FIGURE];
    double all = 0, shown = 0;
    for (int i = 0; i < e->n_stages; i++) all += e->stages[i].milliseconds;
    text_format(t, "  %-10s %s:", "compiled", time_text(all, a));
    for (int i = 0; i < e->n_stages; i++) {
        if (e->stages[i].milliseconds < all / 100) continue;
        text_format(t, "%s %s %s", shown > 0 ? "," : "", e->stages[i].name, time_text(e->stages[i].milliseconds, a));
        shown += e->stages[i].milliseconds;
    }
    text_format(t, "; other stages %s\n", time_text(all - shown, a));
}

static int count_kernels(const tn_explanation *e, bool of_prepare) {
    int n = 0;
    for (int i = 0; i < e->n_kernels; i++) n += e->kernels[i].is_prepare == of_prepare;
    return n;
}

static void add_whole(text_buffer *t, const tn_explanation *e) {
    char a[FIGURE], b[FIGURE], c[FIGURE];
    text_format(t, "%s  (%s; target %s)\n\n", e->name, e->version, e->target);
    add_signature(t, "inputs", e->inputs, e->n_inputs);
    add_signature(t, "outputs", e->outputs, e->n_outputs);
    add_symbols(t, e);
    text_format(t, "  %-10s %s of %s packed from %s; code %s\n", "weights", bytes_text(e->packed_weight_bytes, a),
                "memory", bytes_text(e->raw_weight_bytes, b), bytes_text(e->code_bytes, c));
    text_format(t, "  %-10s %s", "arena", bytes_text(e->arena_bytes, a));
    if (e->live_bytes >= 0) text_format(t, ", of which at most %s are in use at once", bytes_text(e->live_bytes, a));
    text_format(t, "; scratch %s a thread\n", bytes_text(e->scratch_bytes, a));
    text_format(t, "  %-10s %sFLOP, %s moved\n", "work", count_text(e->flops, a), bytes_text(e->bytes, b));
    text_format(t, "  %-10s predicted %s at least", "time", time_text(e->predicted_ms, a));
    if (e->measured_ms >= 0)
        text_format(t, ", measured %s (lower quartile of %d runs), %s of it in kernels", time_text(e->measured_ms, b),
                    e->runs, time_text(e->kernels_ms, c));
    text_add(t, "\n");
    add_machine(t, e);
    add_stages(t, e);
}

/* ---- Where things come from ---- */

/* A node of an ONNX file by its name and op, without the file: "conv1 (Conv)"; other places as they are. */
static const char *short_location(const char *location, char *out, size_t bytes) {
    size_t length;
    const char *name = location_node_name(&(tn_location){.file = location}, &length);
    if (!name) return location;
    snprintf(out, bytes, "%.*s%s", (int)length, name, name + length + 1);
    return out;
}

/* ---- The table ---- */

typedef struct ordered {
    double key;
    int kernel;
} ordered;

static int by_key(const void *x, const void *y) {
    const ordered *a = x, *b = y;
    if (a->key != b->key) return a->key > b->key ? -1 : 1;
    return a->kernel - b->kernel;
}

static double bytes_of(const tn_explained_kernel *k) {
    return fmax(k->bytes_read, 0) + fmax(k->weight_bytes, 0) + fmax(k->bytes_written, 0);
}

static double key_of(const tn_explanation *e, const tn_explained_kernel *k, tn_explain_order order) {
    double calls = k->calls < 0 ? 1 : k->calls;
    bool is_measured = e->measured_ms >= 0 && !k->is_prepare;
    switch (order) {
    case TN_EXPLAIN_BY_TIME: return calls * (is_measured ? k->measured_ms : k->predicted_ms);
    case TN_EXPLAIN_BY_FLOPS: return calls * k->flops;
    case TN_EXPLAIN_BY_BYTES: return calls * bytes_of(k);
    default: return 0;
    }
}

/* Kernels of one part in the order that is wanted, from tn_malloc; NULL: no memory. */
static ordered *in_order(const tn_explanation *e, bool of_prepare, tn_explain_order order, int *n) {
    ordered *list = tn_malloc(((size_t)e->n_kernels + 1) * sizeof *list);
    *n = 0;
    for (int i = 0; list && i < e->n_kernels; i++)
        if (e->kernels[i].is_prepare == of_prepare) list[(*n)++] = (ordered){key_of(e, &e->kernels[i], order), i};
    if (list) qsort(list, (size_t)*n, sizeof *list, by_key);
    return list;
}

/* The text, cut to `width` at a whole character, in the middle of "head...tail". */
static void add_cut(text_buffer *t, const char *text, size_t width) {
    size_t n = strlen(text), keep = width > 3 ? width - 3 : 0, head = keep / 2, tail = keep - head;
    if (n <= width) {
        text_format(t, "%s", text);
        return;
    }
    while (head > 0 && ((unsigned char)text[head] & 0xC0) == 0x80) head--;
    while (tail > 0 && ((unsigned char)text[n - tail] & 0xC0) == 0x80) tail--;
    text_add_n(t, text, head);
    text_format(t, "...%s", text + n - tail);
}

static const tn_explained_node *main_node(const tn_explained_kernel *k) {
    for (int i = 0; i < k->n_nodes; i++)
        if (!k->nodes[i].is_view && k->nodes[i].n_locations > 0) return &k->nodes[i];
    for (int i = k->n_nodes; i-- > 0;)
        if (k->nodes[i].n_locations > 0) return &k->nodes[i];
    return NULL;
}

static const char *bound_name(const tn_explained_kernel *k) {
    static const char *const names[] = {"compute", "memory", "-"};
    return names[k->bound];
}

static void add_row(text_buffer *t, const tn_explained_kernel *k) {
    char flops[FIGURE], bytes[FIGURE], predicted[FIGURE], measured[FIGURE], peak[FIGURE], time[FIGURE],
        intensity[FIGURE] = "-";
    const tn_explained_node *from = main_node(k);
    if (k->intensity >= 0) snprintf(intensity, sizeof intensity, k->intensity >= 100 ? "%.0f" : "%.1f", k->intensity);
    size_t begin = t->length;
    text_format(t, "%4d %-6s %-15s %6s %9s %6s %9s %9s %5s %6s %-7s ", k->number, k->name, k->class_name,
                count_text(k->flops, flops), bytes_text(bytes_of(k), bytes), intensity,
                time_text(k->predicted_ms, predicted), time_text(k->measured_ms, measured),
                share_text(k->share_of_peak, peak), share_text(k->share_of_time, time), bound_name(k));
    size_t used = t->length - begin, width = used + 12 < WIDTH ? WIDTH - used : 12;
    char place[400];
    add_cut(t, from ? short_location(from->locations[0], place, sizeof place) : k->title, width);
    text_add(t, "\n");
}

static void add_table(text_buffer *t, const tn_explanation *e, bool of_prepare, tn_explain_order order) {
    int n;
    ordered *list = in_order(e, of_prepare, order, &n);
    t->failed |= !list;
    text_format(t, "%4s %-6s %-15s %6s %9s %6s %9s %9s %5s %6s %-7s %s\n", "no.", "kernel", "class", "FLOP", "bytes",
                "FLOP/B", "predicted", "measured", "peak", "time", "bound", "source");
    for (int i = 0; list && i < n; i++) add_row(t, &e->kernels[list[i].kernel]);
    tn_free(list);
}

/* ---- Kernels one by one ---- */

/* Words of `text` in lines of WIDTH, all behind `indent`. */
static void add_wrapped(text_buffer *t, const char *indent, const char *text) {
    size_t at = strlen(indent);
    text_format(t, "%s", indent);
    for (const char *word = text; *word;) {
        size_t n = strcspn(word, " ");
        if (at > strlen(indent) && at + 1 + n > WIDTH) {
            text_format(t, "\n%*s", (int)strlen(indent), "");
            at = strlen(indent);
        } else if (word != text) {
            text_add(t, " ");
            at++;
        }
        text_add_n(t, word, n);
        at += n;
        word += n + (word[n] == ' ');
    }
    text_add(t, "\n");
}

static void add_nodes(text_buffer *t, const tn_explained_kernel *k) {
    char place[400];
    for (int i = 0; i < k->n_nodes; i++) {
        const tn_explained_node *n = &k->nodes[i];
        if (n->is_view && k->n_nodes > 1) continue;
        text_format(t, "      %-14s %-24s", n->op, n->type);
        for (int l = 0; l < n->n_locations && l < 3; l++) {
            text_format(t, "%s", l ? ", " : " ");
            add_cut(t, short_location(n->locations[l], place, sizeof place), 70);
        }
        if (n->n_locations > 3) text_format(t, " and %d more", n->n_locations - 3);
        text_add(t, "\n");
    }
}

static void add_values(text_buffer *t, const tn_explanation *e, const char *what, const int *values, int n) {
    char a[FIGURE];
    static const char *const places[] = {"input", "weight", "constant", "arena", "output"};
    for (int i = 0; i < n; i++) {
        const tn_explained_value *v = &e->values[values[i]];
        text_format(t, "      %-6s ", i ? "" : what);
        add_cut(t, v->name, 40);
        text_format(t, ": %s, %s (%s)\n", v->type, bytes_text(v->bytes, a), places[v->place]);
    }
}

static void add_kernel(text_buffer *t, const tn_explanation *e, const tn_explained_kernel *k) {
    text_format(t, "\n%d %s  %s: ", k->number, k->name, k->class_name);
    add_cut(t, k->title, 90);
    if (strcmp(k->function, "main") != 0 && !k->is_prepare) text_format(t, "   in @%s", k->function);
    if (k->calls != 1 && k->calls >= 0) text_format(t, "   %.4g times", k->calls);
    text_add(t, "\n");
    add_nodes(t, k);
    add_values(t, e, "reads", k->reads, k->n_reads);
    add_values(t, e, "writes", k->writes, k->n_writes);
    for (int i = 0; i < k->n_notes; i++) add_wrapped(t, "    - ", k->notes[i]);
}

static void add_part(text_buffer *t, const tn_explanation *e, bool of_prepare, tn_explain_order order) {
    if (count_kernels(e, of_prepare) == 0) return;
    text_format(t,
                of_prepare ? "\nKernels of prepare, which pack weights once when a program is loaded: %d\n\n"
                           : "\nKernels of a run: %d\n\n",
                count_kernels(e, of_prepare));
    add_table(t, e, of_prepare, order);
}

char *tn_explain_text(const tn_explanation *e, tn_explain_order order) {
    text_buffer t = {0};
    add_whole(&t, e);
    add_part(&t, e, false, order);
    add_part(&t, e, true, order);
    if (e->is_cut) text_add(&t, "\nFunctions that are called from several places are shown once.\n");
    text_add(&t, "\nWhy\n");
    int n;
    ordered *list = in_order(e, false, order, &n);
    t.failed |= !list;
    for (int i = 0; list && i < n; i++) add_kernel(&t, e, &e->kernels[list[i].kernel]);
    tn_free(list);
    for (size_t i = 0; i < t.length; i++) /* names may hold what terminals obey */
        if ((unsigned char)t.text[i] < ' ' && t.text[i] != '\n') t.text[i] = '?';
    return report_take(&t);
}
