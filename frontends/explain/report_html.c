/* An explanation as one HTML page.
 *
 * in:  an explanation; page.html, page.css and page_*.js as build.mk embeds them
 * out: the page, with style, script and JSON in it
 * law: the page asks the network for nothing (its own policy denies it), and no text of the model is taken for markup:
 *      '<' is written as \u003c within the JSON, and the script makes text nodes of all it shows
 */
#include "frontends/explain/report.h"

#include "runtime/alloc.h"

#include <string.h>

extern const char explain_page_html[], explain_page_css[], explain_page_js[];

static int take_escaped(const char *bytes, size_t n, void *text) {
    text_buffer *t = text;
    for (size_t done = 0; done < n;) {
        const char *less = memchr(bytes + done, '<', n - done);
        size_t plain = less ? (size_t)(less - bytes) - done : n - done;
        text_add_n(t, bytes + done, plain);
        if (less) text_add(t, "\\u003c");
        done += plain + (less != NULL);
    }
    return t->failed ? -1 : 0;
}

static void add_data(text_buffer *t, const tn_explanation *e) {
    json_t *all = report_json(e);
    t->failed |= !all || json_dump_callback(all, take_escaped, t, JSON_COMPACT | JSON_REAL_PRECISION(6)) != 0;
    json_decref(all);
}

/* The name of the model as the page's title. */
static void add_title(text_buffer *t, const tn_explanation *e) {
    static const struct {
        char c;
        const char *text;
    } entities[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}};
    for (const char *at = e->name; *at; at++) {
        const char *text = NULL;
        for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
            if (entities[i].c == *at) text = entities[i].text;
        text ? text_add(t, text) : text_add_n(t, at, 1);
    }
}

char *tn_explain_html(const tn_explanation *e) {
    static const char *const marks[] = {"{{title}}", "{{style}}", "{{data}}", "{{script}}"};
    text_buffer t = {0};
    const char *at = explain_page_html;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *mark = strstr(at, marks[i]);
        if (!mark) continue;
        text_add_n(&t, at, (size_t)(mark - at));
        switch (i) {
        case 0: add_title(&t, e); break;
        case 1: text_add(&t, explain_page_css); break;
        case 2: add_data(&t, e); break;
        default: text_add(&t, explain_page_js); break;
        }
        at = mark + strlen(marks[i]);
    }
    text_add(&t, at);
    return report_take(&t);
}
