/* tenon debug: a model in the interpreter, step by step.
 *
 * in:  a model, as it is or after a pass, and inputs as `tenon run` takes them; commands of --execute, then of stdin
 * out: what they ask for, on stdout
 * law: commands are read inside the interpreter's callback: there is one thread, and the values that are looked at stay
 *      where they are
 */
#include "frontends/cli/commands.h"
#include "frontends/cli/debug.h"
#include "frontends/cli/stage.h"
#include "runtime/alloc.h"

#include <stdio.h>
#include <stdlib.h>

static void on_print(void *ctx, const char *message, const eval_tensor *value) {
    char type[200];
    tn_tensor t = tn_tensor_of(value->dtype, NULL, value->rank, value->dims);
    (void)ctx;
    printf("print: %s %s\n", message, tn_tensor_text(&t, type, sizeof type));
}

static void drop_replaced(debugger *d) {
    for (size_t i = 0; i < d->n_replaced; i++) tn_free(d->replaced[i]);
    d->n_replaced = 0;
}

static void show_outputs(const debugger *d) {
    const tn_graph *g = d->data.main;
    uint32_t *numbers = graph_number_values(g);
    for (int i = 0; numbers && i < d->data.n_outputs; i++) {
        printf("output %s:\n", g->results[i].name);
        debug_show_value(g, numbers, g->results[i].value, &d->data.outputs[i]);
    }
    tn_free(numbers);
}

static void show_end(debugger *d, tn_status status) {
    if (status != TN_OK && !d->is_error_told) debug_show_error(d);
    if (status == TN_OK) show_outputs(d);
    printf("the run is over%s\n", status == TN_OK ? "" : ", with an error");
}

/* Runs until the user has enough. That the model has an error is what people look for here, and no failure. */
static int run(debugger *d) {
    eval_options options = {.keep_values = true, .observe = debug_on_node, .print = on_print, .ctx = d};
    do {
        d->runs_again = false;
        debug_begin_run(d);
        tn_status status = run_data_interpret_with(&d->data, &options, &d->diag);
        d->frame = d->shown = NULL;
        drop_replaced(d);
        if (d->quits || d->runs_again) continue;
        show_end(d, status);
        debug_converse(d);
    } while (d->runs_again && !d->quits);
    return EXIT_DONE;
}

static int debug_module(void *ctx, tn_module *m) {
    debugger *d = ctx;
    d->module = m;
    int status = run_data_load(&d->data, m, d->a, FILL_NOTED);
    if (!status) status = run(d);
    run_data_free(&d->data);
    return status;
}

int command_debug(const arguments *a) {
    debugger d = {.a = a, .path = a->operands[0]};
    int status = stage_check_graph(a);
    if (status) return status;
    tn_module *m = model_load(a->operands[0]);
    status = m ? stage_visit(a, m, GIVEN(a, after) ? TEXT_OF(a, after) : NULL, debug_module, &d) : EXIT_INPUT;
    breakpoints_free(&d.breakpoints);
    drop_replaced(&d);
    tn_free(d.replaced);
    tn_free(d.levels);
    free(d.line); /* getline's */
    tn_free(d.last_line);
    tn_module_free(m);
    return status;
}
