/* --watch and --stats (see run_watch.h).
 *
 * in:  a session with its model and inputs
 * out: of each value that is wanted, its statistics
 * law: compiled values are those of the run itself: what is stored has the bits that it has when it is not. Values that
 *      together take more than BATCH_BYTES are taken by several copies of the model, one after the other
 */
#include "frontends/cli/run_watch.h"

#include "frontends/cli/run_check.h"
#include "frontends/cli/run_values.h"
#include "frontends/data/tenon_statistics.h"
#include "runtime/alloc.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_SHOWN = 100, FIRST_ELEMENTS = 8, LABEL = 300, PLACES = 1024 };
static const double BATCH_BYTES = 512.0 * 1024 * 1024, UNKNOWN_BYTES = 1024.0 * 1024;

typedef struct watching {
    session *s;
    wanted_values values;
    bool is_table; /* --stats: a line each */
    json_t *found; /* NULL: to stdout */
} watching;

/* ---- Showing ---- */

static void show_text(const char *label, const char *op, const char *type, const char *places, const eval_tensor *t,
                      const tn_statistics *s) {
    char bars[TN_HISTOGRAM_TEXT];
    printf("%s = %s : %s%s%s\n", label, op, type, *places ? "  # " : "", places);
    if (s->elements == 0) return;
    printf("  min %.6g  mean %.6g  max %.6g  std %.6g;  %" PRId64 " zeros, %" PRId64 " NaN, %" PRId64 " infinite\n",
           s->least, s->mean, s->greatest, s->deviation, s->zeros, s->nans, s->infinities);
    if (*tn_histogram_text(s, bars)) printf("  %.4g |%s| %.4g\n", s->least, bars, s->greatest);
    printf("  first");
    for (int64_t i = 0; i < t->n && i < FIRST_ELEMENTS; i++) printf(" %.6g", eval_load_number(t, i));
    printf("%s\n", t->n > FIRST_ELEMENTS ? " ..." : "");
}

static void show_heading(void) {
    printf("%-20s %-12s %-22s %11s %11s %11s %10s %8s %6s %6s  %-16s  %s\n", "value", "op", "type", "min", "mean",
           "max", "std", "zeros", "NaN", "inf", "histogram", "from");
}

/* Blocks are several bytes of one column each: what pads them is counted in bins. */
static void show_line(const char *label, const char *op, const char *type, const char *places, const tn_statistics *s) {
    char bars[TN_HISTOGRAM_TEXT];
    double zeros = s->elements ? 100.0 * (double)s->zeros / (double)s->elements : 0;
    if (!*tn_histogram_text(s, bars)) snprintf(bars, sizeof bars, "%*s", TN_HISTOGRAM_BINS, "");
    printf("%-20s %-12s %-22s %11.4g %11.4g %11.4g %10.4g %7.2f%% %6" PRId64 " %6" PRId64 "  %s  %s\n", label, op, type,
           s->least, s->mean, s->greatest, s->deviation, zeros, s->nans, s->infinities, bars, places);
}

/* JSON has no NaN. */
static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *as_json(const char *label, const char *op, const char *places, const eval_tensor *t,
                       const tn_statistics *s) {
    json_t *shape = json_array(), *bins = json_array(), *first = json_array();
    for (int i = 0; i < t->rank; i++) json_array_append_new(shape, json_integer(t->dims[i]));
    for (int i = 0; i < TN_HISTOGRAM_BINS; i++) json_array_append_new(bins, json_integer(s->bins[i]));
    for (int64_t i = 0; i < t->n && i < FIRST_ELEMENTS; i++)
        json_array_append_new(first, number(eval_load_number(t, i)));
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:o}", "name", label, "op", op,
                     "from", places, "dtype", tn_dtype_name(t->dtype), "shape", shape, "min", number(s->least), "mean",
                     number(s->mean), "max", number(s->greatest), "std", number(s->deviation), "zeros",
                     (json_int_t)s->zeros, "nan", (json_int_t)s->nans, "inf", (json_int_t)s->infinities, "histogram",
                     bins, "first", first);
}

static void show(watching *w, wanted_value *value, const eval_tensor *t) {
    char label[LABEL], places[PLACES], type[200];
    tn_tensor tensor = tn_tensor_of(t->dtype, t->data, t->rank, t->dims);
    tn_statistics s;
    if (++value->times > MOST_SHOWN || tn_tensor_statistics(&tensor, &s) != TN_OK) return;
    wanted_label(value->graph, value->value, label, sizeof label);
    wanted_places(value->graph, value->value, places, sizeof places);
    tn_tensor_text(&tensor, type, sizeof type);
    const char *op = op_name((tn_op)graph_node_of(value->graph, value->value)->op);
    if (w->found)
        json_array_append_new(w->found, as_json(label, op, places, t, &s));
    else if (w->is_table)
        show_line(label, op, type, places, &s);
    else
        show_text(label, op, type, places, t, &s);
}

/* ---- By the interpreter ---- */

static bool on_node(void *ctx, const eval_frame *frame, bool is_done) {
    watching *w = ctx;
    for (size_t i = 0; is_done && i < w->values.n; i++) {
        wanted_value *value = &w->values.items[i];
        if (value->graph != frame->graph || graph_node_of(value->graph, value->value) != frame->node) continue;
        const eval_tensor *t = &frame->values[value->value];
        if (t->data || t->n == 0) show(w, value, t);
    }
    return true;
}

static int interpret(watching *w) {
    tn_diag diag = {0};
    tn_status status = run_data_interpret_with(&w->s->data, &(eval_options){.observe = on_node, .ctx = w}, &diag);
    for (size_t i = 0; i < w->values.n; i++) {
        const wanted_value *value = &w->values.items[i];
        char label[LABEL];
        wanted_label(value->graph, value->value, label, sizeof label);
        if (value->times > MOST_SHOWN)
            fprintf(stderr, "%s: %s: computed %" PRId64 " times, the first %d are shown\n", w->s->path, label,
                    value->times, MOST_SHOWN);
        else if (value->times == 0 && status == TN_OK)
            fprintf(stderr, "%s: %s: not computed, as nothing needs it\n", w->s->path, label);
    }
    return status == TN_OK ? EXIT_DONE : report(w->s->path, &diag);
}

/* ---- By a copy of the model ---- */

/* Results [from, end) of the list in place of main's. */
static bool take_over_results(tn_graph *g, const wanted_values *values, size_t from, size_t end) {
    g->n_results = 0;
    for (size_t i = 0; i < g->n_params; i++)
        if (g->params[i].binding == BINDING_STATE) g->params[i].binding = BINDING_RUN;
    for (size_t i = from; i < end; i++) {
        char name[24];
        snprintf(name, sizeof name, "watched%zu", i);
        const char *kept = module_intern(g->module, name);
        if (!kept || !graph_add_result(g, kept, values->items[i].value, -1)) return false;
    }
    return true;
}

/* A session for the copy, with the same inputs. */
static int run_copy(watching *w, tn_module *copy, size_t from, size_t end) {
    session t = {.a = w->s->a, .path = w->s->path, .module = copy, .data = w->s->data, .is_probe = true};
    t.data.main = module_main(copy);
    t.data.prepare = t.data.prepare ? module_find(copy, t.data.prepare->name) : NULL;
    t.data.n_outputs = (int)(end - from);
    t.data.outputs = tn_calloc(end - from + 1, sizeof *t.data.outputs);
    int status = t.data.outputs && take_over_results(t.data.main, &w->values, from, end)
                     ? EXIT_DONE
                     : report_text(t.path, "out of memory");
    if (!status) status = session_compile(&t, false);
    tn_diag diag = {0};
    if (!status && run_data_execute(&t.data, t.exec, &diag) != TN_OK) status = report(t.path, &diag);
    for (size_t i = from; t.data.outputs && i < end; i++)
        if (t.data.outputs[i - from].data || !status) show(w, &w->values.items[i], &t.data.outputs[i - from]);
    if (t.data.outputs) run_data_free_outputs(&t.data);
    tn_free(t.data.outputs);
    t.data = (run_data){0}; /* inputs are the session's */
    t.module = NULL;
    session_close(&t);
    return status;
}

static double bytes_of(const watching *w, const wanted_value *value) {
    const tn_type *type = graph_type(value->graph, value->value);
    double bytes = tn_dtype_bits((tn_dtype)type->dtype) / 8.0;
    for (int i = 0; i < type->rank; i++) {
        int64_t extent;
        if (!run_data_size(&w->s->data, type->dims[i], &extent)) return UNKNOWN_BYTES;
        bytes *= (double)extent;
    }
    return bytes;
}

static int run_copies(watching *w) {
    int status = EXIT_DONE;
    for (size_t from = 0, end; !status && from < w->values.n; from = end) {
        double bytes = 0;
        for (end = from; end < w->values.n; end++) {
            bytes += bytes_of(w, &w->values.items[end]);
            if (end > from && bytes > BATCH_BYTES) break;
        }
        tn_module *copy = module_clone(w->s->module);
        status =
            copy && !tn_module_error(copy) ? run_copy(w, copy, from, end) : report_text(w->s->path, "out of memory");
        tn_module_free(copy);
    }
    return status;
}

/* ---- The whole ---- */

static int watch(watching *w, int status) {
    bool by_interpreter = GIVEN(w->s->a, eval);
    if (!status && w->is_table && !w->found) show_heading();
    if (!status) status = by_interpreter ? interpret(w) : run_copies(w);
    tn_free(w->values.items);
    return status;
}

int watch_values(session *s, json_t *watched, json_t *statistics) {
    int status = EXIT_DONE;
    if (GIVEN(s->a, watch)) {
        watching w = {.s = s, .found = watched};
        status = watch(&w, wanted_by_list(&w.values, s, TEXT_OF(s->a, watch), GIVEN(s->a, eval)));
    }
    if (!status && GIVEN(s->a, stats)) {
        watching w = {.s = s, .found = statistics, .is_table = true};
        status = watch(&w, wanted_all(&w.values, s));
    }
    return status;
}
