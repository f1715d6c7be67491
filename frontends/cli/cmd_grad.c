/* tenon grad: a module that computes a loss of a model and its gradients. */
#include "frontends/cli/commands.h"
#include "frontends/cli/model.h"
#include "frontends/cli/write.h"
#include "ir/near.h"
#include "ir/dtype.h"
#include "ir/graph.h"
#include "tenon_nn.h"

#include <stdio.h>
#include <string.h>

/* ---- What the gradients are of ------------------------------------------------------------------------- */

typedef struct selection {
    const arguments *a;
    const tn_graph *f;
    int64_t *items;
    int n;
} selection;

static bool is_float(const param *p) { return dtype_is_float((tn_dtype)p->type.dtype); }

/* All float parameters of a kind. */
static int take_kind(selection *s, bool weights) {
    for (size_t i = 0; i < s->f->n_params; i++)
        if (is_float(&s->f->params[i]) && (s->f->params[i].binding == BINDING_LOAD) == weights)
            s->items[s->n++] = (int64_t)i;
    if (s->n > 0) return EXIT_DONE;
    return report_text(s->a->operands[0], "has no %s that is a float: --wrt NAME,... names what gradients are of",
                       weights ? "weight" : "input");
}

static int complain_of_wrt(const selection *s, const char *names) {
    char wanted[100], text[200];
    snprintf(wanted, sizeof wanted, "%.*s", (int)strcspn(names, ","), names);
    near_names near = {.wanted = wanted};
    for (size_t i = 0; i < s->f->n_params; i++) near_offer(&near, s->f->params[i].name);
    return report_text(s->a->operands[0], "has no input or weight %s (tenon check lists them)%s", wanted,
                       near_text(&near, text, sizeof text));
}

/* Names may have commas of their own: the longest name that fits is taken. */
static int take_names(selection *s, const char *names) {
    while (*names) {
        size_t longest = 0;
        int64_t found = -1;
        for (size_t i = 0; i < s->f->n_params; i++) {
            size_t length = strlen(s->f->params[i].name);
            if (length < longest || strncmp(names, s->f->params[i].name, length) != 0 ||
                (names[length] != ',' && names[length] != '\0'))
                continue;
            longest = length;
            found = (int64_t)i;
        }
        if (found < 0) return complain_of_wrt(s, names);
        for (int i = 0; i < s->n; i++)
            if (s->items[i] == found)
                return report_text(s->a->operands[0], "--wrt names %.*s twice", (int)longest, names);
        s->items[s->n++] = found;
        names += longest;
        names += *names == ',';
    }
    return s->n > 0 ? EXIT_DONE : options_complain(s->a->command, "--wrt: no name is given");
}

static int take(selection *s) {
    const char *what = GIVEN(s->a, wrt) ? TEXT_OF(s->a, wrt) : "initializers";
    if (strcmp(what, "initializers") == 0 || strcmp(what, "inputs") == 0) return take_kind(s, what[2] == 'i');
    return take_names(s, what);
}

/* ---- The module ------------------------------------------------------------------------------------------ */

/* The module of the loss and its gradients. NULL: *status, with the error on stderr. */
static tn_module *make_gradients(const selection *s, tn_graph *loss, const char *remat, int *status) {
    const char *path = s->a->operands[0];
    tn_location at = {path, 0};
    tn_graph_remat(loss, remat);
    tn_graph *made = tn_value_and_grad_at(at, loss, (tn_ints){s->n, s->items});
    if (made) {
        tn_module *own = tn_function_module(made);
        *status = own ? EXIT_DONE : report_text(path, "out of memory");
        return own;
    }
    const tn_diag *error = tn_module_error(tn_graph_module(loss));
    *status = report(path, error);
    if (!GIVEN(s->a, loss) && error->status == TN_ERR_SHAPE)
        fprintf(stderr, "tenon grad: --loss NAME puts a loss behind the model's output (tenon grad --help)\n");
    return NULL;
}

/* ---- What it needs ------------------------------------------------------------------------------------------ */

/* Values of the symbols: from --set, else the least that is allowed. */
static int read_sizes(tn_module *own, const arguments *a, tn_symbol_value **values, int *n) {
    run_data data;
    int status = run_data_load(&data, own, a, FILL_NONE);
    *n = status ? 0 : (int)data.main->n_symbols;
    *values = status ? NULL : run_data_symbols(&data);
    run_data_free(&data);
    return status || *values ? status : report_text(a->operands[0], "out of memory");
}

/* "remat cheap  1234 bytes at n = 1, written" */
static int print_peak(tn_module *own, const arguments *a, const char *remat, bool is_written, FILE *out) {
    tn_symbol_value *values = NULL;
    int n, status = read_sizes(own, a, &values, &n);
    size_t bytes;
    tn_diag diag = {0};
    if (!status && tn_planned_bytes(own, NULL, values, n, &bytes, &diag) == TN_OK) {
        fprintf(out, "remat %-6s %zu bytes", remat, bytes);
        for (int i = 0; i < n; i++)
            fprintf(out, "%s%s = %lld", i ? ", " : " at ", values[i].symbol, (long long)values[i].value);
        fprintf(out, "%s\n", is_written ? ", written" : "");
    } else if (!status && diag.status == TN_ERR_CONSTRAINT)
        fprintf(out, "remat %-6s unknown for these sizes (see --set): %s%s\n", remat, diag.message,
                is_written ? "; written" : "");
    else if (!status)
        status = report(a->operands[0], &diag);
    tn_free(values);
    return status;
}

/* What a run needs with each choice of --remat; to where the module is not written. */
static int print_peaks(const selection *s, tn_graph *loss, tn_module *written, const char *remat) {
    static const char *const choices[] = {"none", "cheap", "full"};
    FILE *out = GIVEN(s->a, output) ? stdout : stderr;
    int status = EXIT_DONE;
    for (size_t i = 0; !status && i < sizeof choices / sizeof *choices; i++) {
        bool is_written = strcmp(choices[i], remat) == 0;
        tn_module *own = is_written ? written : make_gradients(s, loss, choices[i], &status);
        if (own) status = print_peak(own, s->a, choices[i], is_written, out);
        if (!is_written) tn_module_free(own);
    }
    return status;
}

/* ---- The command -------------------------------------------------------------------------------------------- */

static int write_gradients(const arguments *a, tn_module *m) {
    tn_location at = {a->operands[0], 0};
    const char *remat = GIVEN(a, remat) ? TEXT_OF(a, remat) : "cheap";
    tn_graph *f = tn_module_main(m), *loss = GIVEN(a, loss) ? tn_nn_loss_function_at(at, f, TEXT_OF(a, loss)) : f;
    if (!loss) return report(a->operands[0], tn_module_error(m));
    selection s = {.a = a, .f = f, .items = tn_malloc((f->n_params + 1) * sizeof *s.items)};
    int status = s.items ? take(&s) : report_text(a->operands[0], "out of memory");
    tn_module *own = status == EXIT_DONE ? make_gradients(&s, loss, remat, &status) : NULL;
    const char *out = TEXT_OF(a, output);
    tn_diag diag = {0};
    if (own && write_module(own, out, NULL, &diag) != TN_OK) status = report(out ? out : "stdout", &diag);
    if (own && !status && GIVEN(a, peaks)) status = print_peaks(&s, loss, own, remat);
    tn_module_free(own);
    tn_free(s.items);
    return status;
}

int command_grad(const arguments *a) {
    if (GIVEN(a, set) && !GIVEN(a, peaks))
        return options_complain(a->command, "--set is for the sizes that --peaks measures with");
    tn_module *m = model_load_with(a->operands[0], &(tn_onnx_options){.weights_replaceable = true});
    int status = m ? write_gradients(a, m) : EXIT_INPUT;
    tn_module_free(m);
    return status;
}
