/* Values by name (see run_values.h). */
#include "frontends/cli/run_values.h"

#include "ir/names.h"
#include "ir/near.h"
#include "runtime/alloc.h"

#include <string.h>

/* ---- Texts ---- */

/* What fits of the buffer's text, ended; the buffer is freed. */
static char *take_text(text_buffer *b, char *text, size_t bytes) {
    size_t length = b->failed ? 0 : b->length < bytes ? b->length : bytes - 1;
    if (length > 0) memcpy(text, b->text, length);
    text[length] = '\0';
    tn_free(b->text);
    return text;
}

char *wanted_label(const tn_graph *g, value_id v, char *text, size_t bytes) {
    uint32_t *numbers = graph_number_values(g);
    text_buffer b = {.failed = !numbers};
    if (g != module_main(g->module)) text_name(&b, '@', g->name);
    if (b.length > 0) text_add(&b, " ");
    if (numbers) text_value(&b, g, numbers, v);
    tn_free(numbers);
    return take_text(&b, text, bytes);
}

char *wanted_places(const tn_graph *g, value_id v, char *text, size_t bytes) {
    text_buffer b = {0};
    text_locations_brief(&b, g->module, graph_node_of(g, v)->locations);
    return take_text(&b, text, bytes);
}

/* ---- Lists ---- */

static bool add_value(wanted_values *w, const tn_graph *g, value_id v) {
    if (graph_type(g, v)->dtype >= TN_DTYPE_COUNT) return true; /* a token has no data */
    for (size_t i = 0; i < w->n; i++)
        if (w->items[i].graph == g && w->items[i].value == v) return true;
    if (!array_reserve((void **)&w->items, &w->capacity, w->n + 1, sizeof *w->items)) return false;
    w->items[w->n++] = (wanted_value){g, v, 0};
    return true;
}

int wanted_all(wanted_values *w, const session *s) {
    const tn_graph *g = s->data.main;
    for (value_id v = 0; v < g->n_values; v++) {
        const node *n = graph_node_of(g, v);
        loop_class c = op_table[n->op].loop_class;
        bool is_plain = c == CLASS_VIEW || (c == CLASS_LEAF && n->op != TN_OP_param);
        if (!is_plain && !add_value(w, g, v)) return report_text(s->path, "out of memory");
    }
    return EXIT_DONE;
}

/* ---- One item of a list ---- */

/* Where bodies are not looked at, what is found in them is counted, and *body is one. */
typedef struct finding {
    wanted_values *w;
    const session *s;
    bool in_bodies, has_memory;
    size_t n_taken;
    const tn_graph *body;
} finding;

static void take(finding *f, const tn_graph *g, value_id v) {
    if (g != f->s->data.main && !f->in_bodies) {
        f->body = g;
        return;
    }
    f->n_taken++;
    f->has_memory &= add_value(f->w, g, v);
}

static int finish(const finding *f, const char *item, const char *what, const char *near) {
    if (!f->has_memory) return report_text(f->s->path, "out of memory");
    if (f->n_taken > 0) return EXIT_DONE;
    if (f->body)
        return report_text(f->s->path, "--watch %s: that is in function @%s, whose values only --eval shows", item,
                           f->body->name);
    return report_text(f->s->path, "--watch %s: the model has no such %s%s", item, what, near);
}

static int add_op(finding *f, const char *item) {
    const tn_module *m = f->s->module;
    near_names near = {.wanted = item + strlen("op:")};
    char text[200];
    for (size_t i = 0; i < m->n_graphs; i++)
        for (value_id v = 0; v < m->graphs[i]->n_values; v++) {
            const char *op = op_name((tn_op)graph_node_of(m->graphs[i], v)->op);
            near_offer(&near, op);
            if (strcmp(op, near.wanted) == 0) take(f, m->graphs[i], v);
        }
    return finish(f, item, "op", near_text(&near, text, sizeof text));
}

static int add_name(finding *f, const char *item) {
    enum { MOST_PLACES = 256 };
    value_place places[MOST_PLACES];
    char text[300];
    size_t n = module_find_values(f->s->module, f->s->data.main, item, places, MOST_PLACES);
    for (size_t i = 0; i < n && i < MOST_PLACES; i++) take(f, places[i].graph, places[i].value);
    return finish(f, item, "value", module_near_values(f->s->module, item, text, sizeof text));
}

int wanted_by_list(wanted_values *w, const session *s, const char *list, bool in_bodies) {
    char item[1024];
    int status = EXIT_DONE;
    while (!status && *list) {
        size_t length = strcspn(list, ",");
        if (length >= sizeof item) return report_text(s->path, "--watch: a name is too long");
        memcpy(item, list, length);
        item[length] = '\0';
        finding f = {.w = w, .s = s, .in_bodies = in_bodies, .has_memory = true};
        if (length > 0) status = strncmp(item, "op:", 3) == 0 ? add_op(&f, item) : add_name(&f, item);
        list += length + (list[length] == ',');
    }
    if (!status && w->n == 0) return report_text(s->path, "--watch: no value is named");
    return status;
}
