/* Values in the debugger: print, stats, set (see debug.h).
 *
 * law: a name means the value of the function that is looked at, else of the nearest caller that has it. What is not
 *      computed yet, or never, is said so
 */
#include "frontends/cli/debug.h"

#include "frontends/cli/run_check.h"
#include "frontends/data/tenon_statistics.h"
#include "ir/dtype.h"
#include "ir/op.h"
#include "runtime/alloc.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEW = 8, ROW = 12, MOST_ROWS = 24 };

/* What was never computed is all zero; a result that is being computed has a type, and no data yet. */
bool debug_has_value(const eval_tensor *t) { return t->data || (t->rank > 0 && t->n == 0) || t->dtype == TN_TOKEN; }

/* ---- Elements ------------------------------------------------------------------------------------------- */

static void put_element(const eval_tensor *t, int64_t i) {
    if (dtype_is_float(t->dtype) && isnan(eval_load_float(t, i)))
        printf("nan"); /* whatever its sign */
    else if (t->dtype == TN_BOOL)
        printf("%s", eval_load_int(t, i) ? "true" : "false");
    else if (dtype_is_float(t->dtype))
        printf("%.7g", eval_load_float(t, i));
    else if (t->dtype == TN_U64)
        printf("%" PRIu64, (uint64_t)eval_load_int(t, i));
    else
        printf("%" PRId64, eval_load_int(t, i));
}

static bool statistics_of(const eval_tensor *t, tn_statistics *s) {
    tn_tensor tensor = tn_tensor_of(t->dtype, t->data, t->rank, t->dims);
    return t->data && tn_tensor_statistics(&tensor, s) == TN_OK;
}

static void put_type(const eval_tensor *t) {
    char type[200];
    tn_tensor tensor = tn_tensor_of(t->dtype, NULL, t->rank, t->dims);
    printf("%s", t->dtype == TN_TOKEN ? "token" : tn_tensor_text(&tensor, type, sizeof type));
}

static void put_summary(const eval_tensor *t) {
    tn_statistics s;
    if (!statistics_of(t, &s)) return;
    printf(" min %.6g mean %.6g max %.6g", s.least, s.mean, s.greatest);
    if (s.nans) printf(", %" PRId64 " NaN", s.nans);
    if (s.infinities) printf(", %" PRId64 " infinite", s.infinities);
}

static void put_name(const tn_graph *g, const uint32_t *numbers, value_id v) {
    text_buffer b = {0};
    text_value(&b, g, numbers, v);
    if (!b.failed) printf("%.*s", (int)b.length, b.text);
    tn_free(b.text);
}

void debug_show_value(const tn_graph *g, const uint32_t *numbers, value_id v, const eval_tensor *t) {
    printf("   ");
    put_name(g, numbers, v);
    printf(": ");
    put_type(t);
    if (t->dtype == TN_TOKEN || !t->data) {
        printf("\n");
        return;
    }
    if (t->n > FEW) {
        put_summary(t);
    } else {
        printf(" {");
        for (int64_t i = 0; i < t->n; i++) {
            if (i) printf(", ");
            put_element(t, i);
        }
        printf("}");
    }
    printf("\n");
}

void debug_show_results(const eval_frame *frame) {
    uint32_t *numbers = graph_number_values(frame->graph);
    for (uint32_t r = 0; numbers && r < frame->node->n_results; r++) {
        value_id v = frame->node->first_result + r;
        if (debug_has_value(&frame->values[v])) debug_show_value(frame->graph, numbers, v, &frame->values[v]);
    }
    tn_free(numbers);
}

/* ---- Names ------------------------------------------------------------------------------------------------ */

/* A value that somebody asks for. */
typedef struct asked {
    const eval_frame *frame; /* NULL: an output, after the run */
    const tn_graph *graph;
    value_id value;
    eval_tensor *tensor;
} asked;

static bool find_in_frames(const debugger *d, const char *name, asked *a) {
    for (const eval_frame *f = d->shown; f; f = f->caller) {
        value_place found[8];
        size_t n = module_find_values(d->module, f->graph, name, found, 8);
        for (size_t i = 0; i < n && i < 8; i++)
            if (found[i].graph == f->graph) {
                *a = (asked){f, f->graph, found[i].value, &f->values[found[i].value]};
                return true;
            }
    }
    return false;
}

static bool find_output(debugger *d, const char *name, asked *a) {
    const tn_graph *g = d->data.main;
    value_place found;
    if (d->shown || module_find_values(d->module, g, name, &found, 1) == 0) return false;
    for (int i = 0; i < d->data.n_outputs; i++)
        if (found.graph == g && g->results[i].value == found.value) {
            *a = (asked){NULL, g, found.value, &d->data.outputs[i]};
            return true;
        }
    return false;
}

/* False: it has been said why not. */
static bool find(debugger *d, const char *name, asked *a) {
    char near[300];
    value_place elsewhere;
    if (find_in_frames(d, name, a) || find_output(d, name, a)) return true;
    const tn_graph *here = d->shown ? d->shown->graph : d->data.main;
    if (module_find_values(d->module, here, name, &elsewhere, 1) > 0)
        printf(d->shown ? "%s is of @%s, which is not being evaluated\n"
                        : "%s is of @%s, and the run is over: its outputs alone are there\n",
               name, elsewhere.graph->name);
    else
        printf("there is no value %s%s\n", name, module_near_values(d->module, name, near, sizeof near));
    return false;
}

static bool is_there(const asked *a) {
    if (debug_has_value(a->tensor)) return true;
    const node *n = graph_node_of(a->graph, a->value);
    if (a->frame && n < a->frame->node)
        printf("it was not computed, as nothing needs it:\n");
    else
        printf("it is not computed yet:\n");
    debug_show_node(a->graph, n, "   ");
    return false;
}

/* ---- Slices ------------------------------------------------------------------------------------------------- */

typedef struct slice {
    int64_t from[TN_MAX_RANK], to[TN_MAX_RANK];
} slice;

static slice whole(const eval_tensor *t) {
    slice s = {{0}, {0}};
    for (int i = 0; i < t->rank; i++) s.to[i] = t->dims[i];
    return s;
}

/* A bound, from the end when it is negative. */
static int64_t bound(const char **at, int64_t extent, int64_t otherwise) {
    char *end;
    long long n = strtoll(*at, &end, 10);
    if (end == *at) return otherwise;
    *at = end;
    return n < 0 ? n + extent : n;
}

static const char *skip_blanks(const char *at) { return at + strspn(at, " \t"); }

/* Reads "0, 1:3, :]"; axes that are left out are whole. */
static bool read_slice(const char *at, const eval_tensor *t, slice *s) {
    *s = whole(t);
    for (int axis = 0;; axis++) {
        at = skip_blanks(at);
        if (axis == t->rank) {
            printf("the value has %d axes only\n", t->rank);
            return false;
        }
        const char *begin = at;
        s->from[axis] = bound(&at, t->dims[axis], 0);
        bool has_index = at != begin;
        at = skip_blanks(at);
        if (*at == ':') {
            at = skip_blanks(at + 1);
            s->to[axis] = bound(&at, t->dims[axis], t->dims[axis]);
        } else if (has_index)
            s->to[axis] = s->from[axis] + 1;
        if (s->from[axis] < 0 || s->to[axis] > t->dims[axis] || s->from[axis] >= s->to[axis]) {
            printf("axis %d: %" PRId64 ":%" PRId64 " is not within 0:%" PRId64 "\n", axis, s->from[axis], s->to[axis],
                   t->dims[axis]);
            return false;
        }
        at = skip_blanks(at);
        if (strcmp(at, "]") == 0) return true;
        if (*at++ != ',') {
            printf("a slice is like [0, 1:3, :]\n");
            return false;
        }
    }
}

static void put_row(const eval_tensor *t, const int64_t *at, int64_t first, int64_t end) {
    int64_t linear = 0;
    for (int i = 0; i < t->rank - 1; i++) linear = (linear + at[i]) * t->dims[i + 1];
    if (t->rank > 1) {
        printf("   [");
        for (int i = 0; i < t->rank - 1; i++) printf("%" PRId64 ", ", at[i]);
        printf(first > 0 ? "%" PRId64 ":]" : ":]", first);
    } else
        printf("  ");
    for (int64_t i = first; i < end && i < first + ROW; i++) {
        printf(" ");
        put_element(t, linear + i);
    }
    printf(end - first > ROW ? " ...\n" : "\n");
}

/* A row for each place along all axes but the last. */
static void put_rows(const eval_tensor *t, const slice *s) {
    int64_t at[TN_MAX_RANK];
    int last = t->rank - 1;
    memcpy(at, s->from, sizeof at);
    for (int n = 0;; n++) {
        if (n == MOST_ROWS) {
            printf("   ...\n");
            return;
        }
        if (t->rank == 0)
            put_row(t, at, 0, 1);
        else
            put_row(t, at, s->from[last], s->to[last]);
        int axis = last - 1;
        while (axis >= 0 && ++at[axis] == s->to[axis]) {
            at[axis] = s->from[axis];
            axis--;
        }
        if (axis < 0) return;
    }
}

/* ---- Commands --------------------------------------------------------------------------------------------------- */

static bool show_symbol(const debugger *d, const char *name) {
    const eval_frame *f = d->shown;
    for (size_t i = 0; f && i < f->graph->n_symbols; i++) {
        const char *other = dim_symbol_name(d->module->dims, f->graph->symbols[i].dim);
        if (!f->is_bound[i] || strcmp(other, name) != 0) continue;
        printf("%s = %" PRId64 "\n", name, f->symbols[i]);
        return true;
    }
    return false;
}

static void put_heading(const asked *a) {
    uint32_t *numbers = graph_number_values(a->graph);
    text_buffer type = {0};
    if (numbers) put_name(a->graph, numbers, a->value);
    printf(": ");
    put_type(a->tensor);
    text_type(&type, a->graph->module->dims, graph_type(a->graph, a->value));
    for (int i = 0; i < a->tensor->rank; i++) {
        int64_t n;
        if (dim_is_const(a->graph->module->dims, graph_type(a->graph, a->value)->dims[i], &n)) continue;
        printf(" (%.*s)", (int)type.length, type.text); /* where that says more */
        break;
    }
    printf("\n");
    tn_free(type.text);
    tn_free(numbers);
}

/* Takes the slice off a name; names may have brackets, too. */
static char *split(debugger *d, char *name) {
    size_t n = strlen(name);
    asked ignored;
    char *open = strrchr(name, '[');
    if (!open || n == 0 || name[n - 1] != ']' || find_in_frames(d, name, &ignored)) return NULL;
    *open = '\0';
    for (char *end = open; end > name && (end[-1] == ' ' || end[-1] == '\t'); end--) end[-1] = '\0';
    return open + 1;
}

void debug_print(debugger *d, const char *text) {
    char name[400];
    asked a;
    slice s;
    if (!*text) {
        printf("print what? A value, as x, %%12, @f:x, with a slice or not: x[0, 1:3]; or a symbol\n");
        return;
    }
    snprintf(name, sizeof name, "%s", text);
    const char *within = split(d, name);
    if ((!within && show_symbol(d, name)) || !find(d, name, &a) || !is_there(&a)) return;
    if (within && !read_slice(within, a.tensor, &s)) return;
    if (!within) s = whole(a.tensor);
    put_heading(&a);
    if (a.tensor->dtype == TN_TOKEN || a.tensor->n == 0) return;
    if (!within && a.tensor->n > FEW) {
        put_summary(a.tensor);
        printf("\n");
    }
    put_rows(a.tensor, &s);
}

void debug_stats(debugger *d, const char *text) {
    char bars[TN_HISTOGRAM_TEXT];
    asked a;
    tn_statistics s;
    if (!*text) printf("of which value?\n");
    if (!*text || !find(d, text, &a) || !is_there(&a)) return;
    put_heading(&a);
    if (!statistics_of(a.tensor, &s)) return;
    printf("   %" PRId64 " elements: min %.6g, mean %.6g, max %.6g, deviation %.6g\n", s.elements, s.least, s.mean,
           s.greatest, s.deviation);
    printf("   %" PRId64 " zeros, %" PRId64 " NaN, %" PRId64 " infinite\n", s.zeros, s.nans, s.infinities);
    if (*tn_histogram_text(&s, bars)) printf("   %.4g |%s| %.4g\n", s.least, bars, s.greatest);
}

/* ---- set --------------------------------------------------------------------------------------------------------- */

/* Memory of constants and inputs is somebody else's: the value gets some of its own, kept until the run ends. */
static bool own_data(debugger *d, eval_tensor *t) {
    if (!t->borrowed) return true;
    size_t bytes = (size_t)t->n * (tn_dtype_bits(t->dtype) / 8);
    void *data = tn_malloc(bytes + 1);
    if (!data || !array_reserve((void **)&d->replaced, &d->replaced_capacity, d->n_replaced + 1, sizeof *d->replaced)) {
        tn_free(data);
        printf("out of memory\n");
        return false;
    }
    memcpy(data, t->data, bytes);
    d->replaced[d->n_replaced++] = data;
    t->data = data;
    return true;
}

static void fill_with(eval_tensor *t, double number) {
    for (int64_t i = 0; i < t->n; i++) {
        if (dtype_is_float(t->dtype))
            eval_store_float(t, i, number);
        else
            eval_store_int(t, i, (int64_t)number);
    }
}

static bool fill_from_file(const debugger *d, eval_tensor *t, const char *path) {
    eval_tensor given = {0};
    fflush(stdout);
    if (read_input_file(path, d->a, &given) != EXIT_DONE) return false;
    bool fits = given.dtype == t->dtype && given.rank == t->rank &&
                memcmp(given.dims, t->dims, (size_t)t->rank * sizeof *t->dims) == 0;
    if (fits) memcpy(t->data, given.data, (size_t)t->n * (tn_dtype_bits(t->dtype) / 8));
    if (!fits) {
        printf("%s is ", path);
        put_type(&given);
        printf(", and the value ");
        put_type(t);
        printf("\n");
    }
    eval_tensor_free(&given);
    return fits;
}

void debug_set(debugger *d, const char *text) {
    const char *equals = strrchr(text, '=');
    char name[400], *end;
    asked a;
    if (!equals || equals == text) {
        printf("set VALUE = NUMBER or FILE\n");
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    for (size_t n = strlen(name); n > 0 && name[n - 1] == ' '; n--) name[n - 1] = '\0';
    const char *given = skip_blanks(equals + 1);
    if (!d->shown) {
        printf("the run is over: run starts it again\n");
        return;
    }
    if (!find(d, name, &a) || !is_there(&a) || a.tensor->dtype == TN_TOKEN || !own_data(d, a.tensor)) return;
    double number = strtod(given, &end);
    if (end != given && !*end)
        fill_with(a.tensor, number);
    else if (!fill_from_file(d, a.tensor, given))
        return;
    uint32_t *numbers = graph_number_values(a.graph);
    if (numbers) debug_show_value(a.graph, numbers, a.value, a.tensor);
    tn_free(numbers);
}
