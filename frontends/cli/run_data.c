/* Tensors of a run: given or random, through compiled code or the interpreter (see model.h). */
#include "compiler/random_fill.h"
#include "frontends/cli/model.h"
#include "ir/near.h"
#include "ir/sizes.h"
#include "runtime/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Names ---- */

const param *run_data_param(const run_data *d, int i) {
    if (d->prepare && i >= d->n_inputs) return &d->prepare->params[i - d->n_inputs];
    const param *p = &d->main->params[i];
    return d->prepare && p->binding == BINDING_LOAD ? NULL : p;
}

eval_tensor *run_data_tensor(const run_data *d, int i) {
    return i < d->n_inputs ? &d->inputs[i] : &d->raw[i - d->n_inputs];
}

bool run_data_is_weight(const run_data *d, int i) {
    const param *p = run_data_param(d, i);
    return i >= d->n_inputs || (p && p->binding == BINDING_LOAD);
}

static const char *input_name(const run_data *d, int i) {
    const param *p = run_data_param(d, i);
    return p ? p->name : NULL;
}

static const char *symbol_name(const run_data *d, int i) {
    return dim_symbol_name(d->main->module->dims, d->main->symbols[i].dim);
}

int run_data_complain(const run_data *d, const char *path, const char *option, const char *item, const char *what,
                      run_data_name *name, int n) {
    char list[600] = "", wanted[100], text[200];
    snprintf(wanted, sizeof wanted, "%.*s", (int)strcspn(item, "="), item);
    near_names near = {.wanted = wanted};
    for (int i = 0; i < n; i++) {
        size_t used = strlen(list);
        if (name(d, i)) snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", name(d, i));
        near_offer(&near, name(d, i));
    }
    return report_text(path, "%s %s: the model has no such %s; it has %s%s", option, item, what, *list ? list : "none",
                       near_text(&near, text, sizeof text));
}

int run_data_find(const run_data *d, const char *item, run_data_name *name, int n, const char **value) {
    int which = -1;
    size_t longest = 0;
    for (int i = 0; i < n; i++) {
        const char *known = name(d, i);
        size_t length = known ? strlen(known) : 0;
        if (!known || strncmp(known, item, length) != 0 || item[length] != '=' || length < longest) continue;
        which = i;
        longest = length;
        *value = item + length + 1;
    }
    return which;
}

/* ---- Given inputs ---- */

static int read_given(run_data *d, const arguments *a) {
    const option_list *given = LIST_OF(a, input);
    for (int i = 0; i < given->n; i++) {
        const char *equals = strrchr(given->items[i], '=');
        if (!equals || equals == given->items[i] || !equals[1])
            return options_complain(a->command, "--input: %s is not NAME=FILE", given->items[i]);
        const char *file;
        int which = run_data_find(d, given->items[i], input_name, d->n_inputs + d->n_raw, &file);
        if (which < 0)
            return run_data_complain(d, a->operands[0], "--input", given->items[i], "input", input_name,
                                     d->n_inputs + d->n_raw);
        eval_tensor *t = run_data_tensor(d, which);
        if (t->data) return options_complain(a->command, "--input: %s is given twice", input_name(d, which));
        int status = read_input_file(file, a, t);
        if (status) return status;
        if (which < d->n_inputs) d->is_given[which] = true;
    }
    return EXIT_DONE;
}

/* ---- Sizes ---- */

static void sizes_of_inputs(run_data *d) {
    for (int i = 0; i < d->n_inputs; i++) {
        const tn_type *type = graph_type(d->main, d->main->params[i].value);
        for (int k = 0; d->inputs[i].data && k < type->rank && type->rank == d->inputs[i].rank; k++)
            for (size_t s = 0; s < d->main->n_symbols; s++)
                if (type->dims[k] == d->main->symbols[s].dim) d->symbols[s] = d->inputs[i].dims[k];
    }
}

int parse_size(const arguments *a, const char *item, size_t *length, int64_t *value) {
    const char *equals = strrchr(item, '=');
    char *end = NULL;
    *length = equals ? (size_t)(equals - item) : 0;
    errno = 0;
    *value = equals ? strtoll(equals + 1, &end, 10) : -1;
    if (!equals || equals == item || end == equals + 1 || *end)
        return options_complain(a->command, "--set: %s is not SYMBOL=INT", item);
    if (*value < 0 || errno)
        return options_complain(a->command, "--set: %s: a size is from 0 to %lld", item, (long long)INT64_MAX);
    return EXIT_DONE;
}

static int find_symbol_of(const run_data *d, const char *name, size_t length) {
    for (int s = 0; s < (int)d->main->n_symbols; s++)
        if (strlen(symbol_name(d, s)) == length && strncmp(symbol_name(d, s), name, length) == 0) return s;
    return -1;
}

static int set_size(run_data *d, const arguments *a, const char *item) {
    size_t length;
    int64_t value;
    int status = parse_size(a, item, &length, &value);
    if (status) return status;
    int s = find_symbol_of(d, item, length);
    if (s < 0)
        return run_data_complain(d, a->operands[0], "--set", item, "symbol", symbol_name, (int)d->main->n_symbols);
    d->symbols[s] = value;
    return EXIT_DONE;
}

/* A symbol that --set says one thing of and a given input another. */
static int check_set_sizes(const run_data *d, const arguments *a) {
    const option_list *set = LIST_OF(a, set);
    for (int i = 0; i < set->n; i++) {
        size_t length;
        int64_t value;
        int status = parse_size(a, set->items[i], &length, &value), s = find_symbol_of(d, set->items[i], length);
        if (status) return status;
        if (s >= 0 && d->symbols[s] != value)
            return report_text(a->operands[0], "--set %s: an input that is given has %s = %lld", set->items[i],
                               symbol_name(d, s), (long long)d->symbols[s]);
    }
    return EXIT_DONE;
}

tn_symbol_value *run_data_symbols(const run_data *d) {
    int n = (int)d->main->n_symbols;
    tn_symbol_value *values = tn_calloc((size_t)n + 1, sizeof *values);
    for (int i = 0; values && i < n; i++) values[i] = (tn_symbol_value){symbol_name(d, i), d->symbols[i]};
    return values;
}

bool run_data_size(const run_data *d, tn_dim dim, int64_t *value) {
    return graph_size_at(d->main, d->symbols, dim, value) && *value >= 0;
}

/* A constraint of main that does not hold; NULL: all do. */
static const constraint *broken_constraint(const run_data *d) {
    for (size_t i = 0; i < d->main->n_constraints; i++) {
        const constraint *c = &d->main->constraints[i];
        int64_t x, y;
        bool is_known = graph_size_at(d->main, d->symbols, c->a, &x) && graph_size_at(d->main, d->symbols, c->b, &y);
        if (is_known && !relation_holds(c->relation, x, y)) return c;
    }
    return NULL;
}

/* Sizes that nobody gave are doubled as long as a constraint with them does not hold: a picture as small as the model
 * takes it. They stay as they are when that leads nowhere. */
static bool settle_sizes(run_data *d, const bool *is_given) {
    enum { LARGEST = 1024 };
    const dim_table *t = d->main->module->dims;
    size_t n = d->main->n_symbols;
    int64_t *least = tn_malloc((n + 1) * sizeof *least);
    if (!least) return false;
    memcpy(least, d->symbols, n * sizeof *least);
    bool has_grown = true;
    for (const constraint *c; has_grown && (c = broken_constraint(d));) {
        has_grown = false;
        for (size_t s = 0; s < n; s++) {
            const symbol *known = &d->main->symbols[s];
            bool is_in = dim_contains(t, c->a, known->dim) || dim_contains(t, c->b, known->dim);
            int64_t twice = 2 * d->symbols[s];
            if (!is_in || is_given[s] || twice < 1 || twice > LARGEST || twice > known->high) continue;
            d->symbols[s] = twice;
            has_grown = true;
        }
        if (!has_grown) memcpy(d->symbols, least, n * sizeof *least);
    }
    tn_free(least);
    return true;
}

/* Values of all symbols: what given inputs have, else what --set says, else the least allowed. */
static int find_sizes(run_data *d, const arguments *a) {
    const option_list *set = LIST_OF(a, set);
    size_t n = d->main->n_symbols;
    bool *is_given = tn_malloc(n + 1);
    if (!is_given) return report_text(a->operands[0], "out of memory");
    int status = EXIT_DONE;
    for (size_t s = 0; s < n; s++) d->symbols[s] = -1;
    for (int i = 0; !status && i < set->n; i++) status = set_size(d, a, set->items[i]);
    sizes_of_inputs(d);
    if (!status) status = check_set_sizes(d, a);
    for (size_t s = 0; s < n; s++) {
        is_given[s] = d->symbols[s] >= 0;
        if (!is_given[s]) d->symbols[s] = symbol_least_size(&d->main->symbols[s]);
    }
    if (!status && !settle_sizes(d, is_given)) status = report_text(a->operands[0], "out of memory");
    tn_free(is_given);
    return status;
}

/* ---- Random values ---- */

static int make_input(run_data *d, int i, const arguments *a, filling how) {
    const param *p = run_data_param(d, i);
    const tn_type *type = &p->type;
    eval_tensor *input = run_data_tensor(d, i);
    const char *path = a->operands[0];
    long long seed = NUMBER_OF(a, seed, 0);
    int64_t dims[TN_MAX_RANK] = {0};
    if (type->dtype == TN_TOKEN)
        return report_text(path, "input %s is a token: only functions that others call have such", p->name);
    for (int k = 0; k < type->rank; k++)
        if (!run_data_size(d, type->dims[k], &dims[k]))
            return report_text(path, "input %s: its size cannot be worked out from the symbols", p->name);
    if (how == FILL_NONE) {
        *input = (eval_tensor){.dtype = (tn_dtype)type->dtype, .rank = type->rank, .borrowed = true};
        memcpy(input->dims, dims, sizeof dims);
        return EXIT_DONE;
    }
    tn_tensor t = tn_tensor_of((tn_dtype)type->dtype, NULL, type->rank, dims);
    char text[200];
    tn_tensor_text(&t, text, sizeof text);
    if (!make_tensor(input, (tn_dtype)type->dtype, type->rank, dims, NULL))
        return report_text(path, "input %s: no memory for %s", p->name, text);
    random_fill(input, p->name, seed);
    if (how == FILL_NOTED) fprintf(stderr, "tenon: input '%s' is random: %s, seed %lld\n", p->name, text, seed);
    return EXIT_DONE;
}

int run_data_load(run_data *d, tn_module *m, const arguments *a, filling how) {
    tn_graph *g = tn_module_main(m);
    *d = (run_data){.main = g, .prepare = module_find(m, "prepare")};
    d->n_inputs = (int)g->n_params;
    d->n_raw = d->prepare ? (int)d->prepare->n_params : 0;
    d->n_outputs = (int)g->n_results;
    d->inputs = tn_calloc(g->n_params + 1, sizeof *d->inputs);
    d->raw = tn_calloc((size_t)d->n_raw + 1, sizeof *d->raw);
    d->outputs = tn_calloc(g->n_results + 1, sizeof *d->outputs);
    d->is_given = tn_calloc(g->n_params + 1, sizeof *d->is_given);
    d->symbols = tn_calloc(g->n_symbols + 1, sizeof *d->symbols);
    if (!d->inputs || !d->raw || !d->outputs || !d->is_given || !d->symbols)
        return report_text(a->operands[0], "out of memory");
    int status = read_given(d, a);
    if (!status) status = find_sizes(d, a);
    for (int i = 0; !status && i < d->n_inputs + d->n_raw; i++) {
        const param *p = run_data_param(d, i);
        if (p && !p->initial && !run_data_tensor(d, i)->data) status = make_input(d, i, a, how);
    }
    return status;
}

void run_data_free_outputs(run_data *d) {
    for (int i = 0; d->outputs && i < d->n_outputs; i++) eval_tensor_free(&d->outputs[i]);
}

void run_data_free(run_data *d) {
    for (int i = 0; d->inputs && i < d->n_inputs; i++) eval_tensor_free(&d->inputs[i]);
    for (int i = 0; d->raw && i < d->n_raw; i++) eval_tensor_free(&d->raw[i]);
    run_data_free_outputs(d);
    tn_free(d->inputs);
    tn_free(d->is_given);
    tn_free(d->raw);
    tn_free(d->outputs);
    tn_free(d->symbols);
    *d = (run_data){0};
}

/* ---- Running ---- */

static tn_status take_outputs(run_data *d, const tn_exec *exec, tn_diag *diag) {
    for (int i = 0; i < d->n_outputs; i++) {
        const tn_tensor *t = tn_exec_output(exec, i);
        if (d->outputs[i].data) continue;
        if (!t || !make_tensor(&d->outputs[i], t->dtype, t->rank, t->shape, t->data)) {
            *diag = (tn_diag){.status = TN_ERR_MEMORY, .message = "out of memory"};
            return TN_ERR_MEMORY;
        }
    }
    return TN_OK;
}

tn_tensor *run_data_tensors(const run_data *d, int *n) {
    tn_tensor *inputs = tn_calloc((size_t)d->n_inputs + 1, sizeof *inputs);
    *n = 0;
    for (int i = 0; inputs && i < d->n_inputs; i++)
        if (d->main->params[i].binding != BINDING_LOAD)
            inputs[(*n)++] = tn_tensor_of(d->inputs[i].dtype, d->inputs[i].data, d->inputs[i].rank, d->inputs[i].dims);
    return inputs;
}

/* State is written over its input: outputs paired with one get a buffer of their own. */
static bool own_state_buffers(const run_data *d, tn_tensor *outputs) {
    for (int i = 0; i < d->n_outputs; i++) {
        int32_t p = d->main->results[i].state_param;
        eval_tensor *t = &d->outputs[i];
        if (p < 0) continue;
        if (!make_tensor(t, d->inputs[p].dtype, d->inputs[p].rank, d->inputs[p].dims, NULL)) return false;
        outputs[i] = tn_tensor_of(t->dtype, t->data, t->rank, t->dims);
    }
    return true;
}

tn_status run_data_execute(run_data *d, tn_exec *exec, tn_diag *diag) {
    int n;
    tn_tensor *inputs = run_data_tensors(d, &n);
    tn_tensor *outputs = tn_calloc((size_t)d->n_outputs + 1, sizeof *outputs);
    tn_status status = TN_ERR_MEMORY;
    run_data_free_outputs(d);
    if (inputs && outputs && own_state_buffers(d, outputs)) {
        status = tn_exec_run(exec, inputs, n, outputs, d->n_outputs);
        if (status != TN_OK && tn_exec_error(exec)) *diag = *tn_exec_error(exec);
        if (status == TN_OK || status == TN_ERR_INDEX || status == TN_ERR_ASSERT || status == TN_ERR_NAN) {
            tn_status taken = take_outputs(d, exec, diag);
            status = status == TN_OK ? taken : status;
        }
    } else
        *diag = (tn_diag){.status = TN_ERR_MEMORY, .message = "out of memory"};
    tn_free(inputs);
    tn_free(outputs);
    return status;
}

/* ---- Interpreting ---- */

/* A raw weight that main reads too; nothing where the model has its values. */
static eval_tensor view_of_raw(const run_data *d, const char *name) {
    eval_tensor view = {0};
    for (int i = 0; i < d->n_raw; i++)
        if (strcmp(d->prepare->params[i].name, name) == 0) view = d->raw[i];
    view.borrowed = true;
    return view;
}

/* Main's weights: what prepare makes, and raw ones that it passes by. */
static tn_status prepare_weights(run_data *d, tn_diag *diag) {
    eval_options options = {0};
    eval_tensor *made = tn_calloc(d->prepare->n_results + 1, sizeof *made);
    tn_status status = made ? eval_graph(d->prepare, d->raw, made, &options, diag) : TN_ERR_MEMORY;
    for (int i = 0; status == TN_OK && i < d->n_inputs; i++) {
        const param *p = &d->main->params[i];
        if (p->binding != BINDING_LOAD || d->inputs[i].data) continue;
        size_t r = 0;
        while (r < d->prepare->n_results && strcmp(d->prepare->results[r].name, p->name) != 0) r++;
        if (r < d->prepare->n_results) {
            d->inputs[i] = made[r];
            made[r] = (eval_tensor){0};
        } else
            d->inputs[i] = view_of_raw(d, p->name);
    }
    for (size_t r = 0; made && r < d->prepare->n_results; r++) eval_tensor_free(&made[r]);
    tn_free(made);
    return status;
}

tn_status run_data_interpret(run_data *d, bool magnitudes, tn_diag *diag) {
    return run_data_interpret_with(d, &(eval_options){.magnitudes = magnitudes}, diag);
}

tn_status run_data_interpret_with(run_data *d, const eval_options *options, tn_diag *diag) {
    run_data_free_outputs(d);
    if (d->prepare) {
        tn_status status = prepare_weights(d, diag);
        if (status != TN_OK) return status;
    }
    return eval_graph(d->main, d->inputs, d->outputs, options, diag);
}
