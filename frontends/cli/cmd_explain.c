/* tenon explain: what the compiler made of a model, as text, JSON or an HTML page. */
#include "frontends/cli/commands.h"
#include "frontends/cli/model.h"
#include "frontends/cli/write.h"
#include "runtime/alloc.h"

#include <stdio.h>
#include <string.h>

static tn_explain_order order_of(const arguments *a) {
    static const char *const names[] = {"order", "time", "flops", "bytes"};
    int order = TN_EXPLAIN_IN_ORDER;
    for (int i = 0; GIVEN(a, sort) && i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(TEXT_OF(a, sort), names[i]) == 0) order = i;
    return (tn_explain_order)order;
}

/* The page goes to its file; text or JSON to stdout or -o, unless a page alone was asked for. */
static int write_reports(const arguments *a, const tn_explanation *e) {
    if (GIVEN(a, html)) {
        char *page = tn_explain_html(e);
        int status = write_text(TEXT_OF(a, html), page);
        tn_text_free(page);
        if (status || (!GIVEN(a, json) && !GIVEN(a, output))) return status;
    }
    char *text = GIVEN(a, json) ? tn_explain_json(e) : tn_explain_text(e, order_of(a));
    int status = write_text(TEXT_OF(a, output), text);
    tn_text_free(text);
    return status;
}

static tn_explanation *explain(session *s) {
    const arguments *a = s->a;
    tn_compile_options options;
    tn_diag diag = {.status = TN_ERR_MEMORY, .message = "out of memory"};
    model_compile_options(a, &options);
    options.pool = s->pool;
    tn_symbol_value *values = run_data_symbols(&s->data);
    tn_explain_options o = {.compile = &options,
                            .symbols = values,
                            .n_symbols = (int)s->data.main->n_symbols,
                            .no_program = GIVEN(a, no_run)};
    tn_explanation *e = values ? tn_explain(s->module, &o, &diag) : NULL;
    tn_free(values);
    if (!e) report(s->path, &diag);
    return e;
}

static int measure(session *s, tn_explanation *e) {
    tn_diag diag = {.status = TN_ERR_MEMORY, .message = "out of memory"};
    int n;
    s->program = tn_explanation_program(e);
    if (!s->program)
        return report_text(s->path, "code for %s cannot run on this machine: --no-run explains it all the same",
                           e->target);
    tn_program_retain(s->program);
    int status = session_set_weights(s);
    if (status) return status;
    tn_tensor *inputs = run_data_tensors(&s->data, &n);
    tn_status ran =
        inputs ? tn_explain_measure(e, inputs, n, s->pool, REAL_OF(s->a, seconds, 1), &diag) : TN_ERR_MEMORY;
    tn_free(inputs);
    return ran == TN_OK ? EXIT_DONE : report(s->path, &diag);
}

int command_explain(const arguments *a) {
    session s;
    tn_explanation *e = NULL;
    bool runs = !GIVEN(a, no_run);
    int status = session_load(&s, a, runs ? FILL_QUIET : FILL_NONE);
    if (!status) s.pool = tn_pool_new((int)NUMBER_OF(a, threads, 0));
    if (!status && !s.pool) status = report_text(s.path, "out of memory");
    if (!status) status = (e = explain(&s)) ? EXIT_DONE : EXIT_INPUT;
    if (!status && runs) status = measure(&s, e);
    if (!status) status = write_reports(a, e);
    session_close(&s);
    tn_explanation_free(e);
    return status;
}
