/* An imported model and its data.
 *
 * in:  a model with weights; a loss; a .npz or .csv file
 * out: a model whose float weights are trained; datasets with a field for each input and the target, in the dtypes and
 *      shapes that the model takes
 */
#include "frontends/cli/train.h"

#include "frontends/nn/model.h"
#include "ir/graph.h"
#include "runtime/alloc.h"

#include <stdio.h>
#include <string.h>

/* ---- What is frozen -------------------------------------------------------------------------------------- */

/* The names between commas, ended by NULL; *text holds them. */
static const char **split_names(const char *given, char **text) {
    size_t n = 1, bytes = strlen(given) + 1;
    for (const char *p = given; *p; p++) n += *p == ',';
    const char **names = tn_calloc(n + 1, sizeof *names);
    *text = tn_malloc(bytes);
    if (!names || !*text) {
        tn_free(names);
        return NULL;
    }
    memcpy(*text, given, bytes);
    n = 0;
    for (char *save, *name = strtok_r(*text, ",", &save); name; name = strtok_r(NULL, ",", &save)) names[n++] = name;
    return names;
}

static int open_model(training *t, const char *path) {
    const char *given = GIVEN(t->a, freeze) ? TEXT_OF(t->a, freeze) : "";
    char *text = NULL;
    tn_diag diag = {0};
    tn_module *m = model_load_with(path, &(tn_onnx_options){.weights_replaceable = true});
    if (!m) return EXIT_INPUT;
    const char **names = split_names(given, &text);
    tn_model_import how = {.loss = TEXT_OF(t->a, loss), .output = TEXT_OF(t->a, loss_of), .frozen = names};
    t->model = names ? tn_model_from_module(m, &how, &diag) : NULL;
    int status = t->model ? EXIT_DONE : names ? report(path, &diag) : report_text(path, "out of memory");
    tn_free(names);
    tn_free(text);
    tn_module_free(m);
    return status;
}

/* ---- Fields ------------------------------------------------------------------------------------------------ */

static int open_data(const char *path, tn_dataset **all) {
    tn_diag diag = {0};
    tn_status status;
    if (ends_with(path, ".npz"))
        status = tn_dataset_npz(path, all, &diag);
    else if (ends_with(path, ".csv") || ends_with(path, ".csv.gz"))
        status = tn_dataset_csv(path, &(tn_csv_options){.label = -1}, all, &diag);
    else
        return report_text(path, "data are a .npz or a .csv file");
    return status == TN_OK ? EXIT_DONE : report(path, &diag);
}

/* The field for a parameter: of its name; else x for the only input, y or label for the target. */
static int find_field(const tn_dataset *data, const char *name, bool is_target, bool is_only_input) {
    static const char *const targets[] = {"y", "label", "labels"};
    int found = tn_dataset_find_field(data, name);
    for (size_t i = 0; found < 0 && is_target && i < sizeof targets / sizeof *targets; i++)
        found = tn_dataset_find_field(data, targets[i]);
    return found < 0 && is_only_input && !is_target ? tn_dataset_find_field(data, "x") : found;
}

static void describe_fields(const tn_dataset *data, char *out, size_t bytes) {
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < tn_dataset_n_fields(data) && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%s", i ? ", " : "", tn_dataset_field(data, i)->name);
}

/* The sizes of one example; false: some are symbols. */
static bool example_shape(const tn_graph *g, const tn_type *type, int64_t shape[TN_MAX_RANK], int64_t *elements) {
    *elements = 1;
    for (int axis = 1; axis < type->rank; axis++) {
        if (!dim_is_const(g->module->dims, type->dims[axis], &shape[axis - 1])) return false;
        *elements *= shape[axis - 1];
    }
    return true;
}

/* Makes the field what the parameter takes: another dtype,
 * and where the number of elements is the same another shape. */
static int adapt_field(const training *t, tn_dataset *data, int number, const param *p) {
    const tn_graph *g = tn_model_graph(t->model);
    const tn_field *field = tn_dataset_field(data, number);
    int64_t shape[TN_MAX_RANK] = {0}, wanted, elements = 1;
    char type[200];
    tn_diag diag = {0};
    type_print(g->module->dims, &p->type, type, sizeof type);
    for (int axis = 0; axis < field->rank; axis++) elements *= field->shape[axis];
    if (p->type.rank == 0) return report_text(t->path, "%s is %s: it has no axis that counts examples", p->name, type);
    if (example_shape(g, &p->type, shape, &wanted)) {
        if (elements != wanted)
            return report_text(t->path, "field %s has %lld elements an example, but %s is %s, %lld", field->name,
                               (long long)elements, p->name, type, (long long)wanted);
        if (tn_dataset_reshape(data, field->name, p->type.rank - 1, shape, &diag) != TN_OK)
            return report(t->path, &diag);
    } else if (field->rank != p->type.rank - 1)
        return report_text(t->path, "field %s has %d axes an example, but %s is %s", field->name, field->rank, p->name,
                           type);
    if (field->dtype != p->type.dtype &&
        tn_dataset_convert(data, field->name, (tn_dtype)p->type.dtype, 0, 1, &diag) != TN_OK)
        return report(t->path, &diag);
    return EXIT_DONE;
}

/* A model for batches of one size is given these. */
static int fix_batch(training *t, const param *p) {
    int64_t size;
    if (!dim_is_const(tn_model_graph(t->model)->module->dims, p->type.dims[0], &size)) return EXIT_DONE;
    if (GIVEN(t->a, batch) && t->batch != size)
        return options_complain(t->a->command, "--batch: %s takes %lld examples at a time", p->name, (long long)size);
    t->batch = size;
    t->is_batch_fixed = true;
    return EXIT_DONE;
}

static int match_fields(training *t, tn_dataset *all) {
    const tn_graph *g = tn_model_graph(t->model);
    int n = 0, n_inputs = 0, status = EXIT_DONE;
    for (size_t i = 0; i < g->n_params; i++) n_inputs += t->model->params[i].role == NN_INPUT;
    for (size_t i = 0; i < g->n_params && !status; i++) { /* targets come last */
        const param *p = &g->params[i];
        nn_role role = t->model->params[i].role;
        if (role != NN_INPUT && role != NN_TARGET) continue;
        int number = find_field(all, p->name, role == NN_TARGET, n_inputs == 1);
        char fields[200];
        if (number < 0) {
            describe_fields(all, fields, sizeof fields);
            return report_text(t->path, "has no field for the model's %s %s (it has %s)",
                               role == NN_TARGET ? "target" : "input", p->name, fields);
        }
        if (n + 1 == TRAIN_MAX_FIELDS) return report_text(t->path, "the model has more than %d inputs", n);
        t->fields[n++] = tn_dataset_field(all, number)->name;
        status = adapt_field(t, all, number, p);
        if (!status) status = fix_batch(t, p);
    }
    return status;
}

/* Without the examples that make no whole batch, for models that take none but whole ones. */
static int cut_validation(training *t) {
    if (!t->is_batch_fixed || !t->validation) return EXIT_DONE;
    tn_dataset *whole;
    tn_diag diag = {0};
    int64_t n = tn_dataset_count(t->validation) / t->batch * t->batch;
    if (n == 0)
        return report_text(t->path, "%lld examples for validation are less than a batch of %lld",
                           (long long)tn_dataset_count(t->validation), (long long)t->batch);
    if (tn_dataset_slice(t->validation, 0, n, &whole, &diag) != TN_OK) return report(t->path, &diag);
    tn_dataset_free(t->validation);
    t->validation = whole;
    return EXIT_DONE;
}

/* Without data, as --step may be, the model alone tells sizes. */
static int fix_batch_of_model(training *t) {
    const tn_model *m = t->model;
    const tn_graph *g = tn_model_graph(m);
    int status = EXIT_DONE;
    for (size_t i = 0; m && i < g->n_params && !status; i++)
        if (m->params[i].role == NN_INPUT && g->params[i].type.rank > 0) status = fix_batch(t, &g->params[i]);
    return status;
}

int train_open_imported(training *t) {
    tn_dataset *all = NULL;
    int status = open_model(t, TEXT_OF(t->a, onnx));
    if (!status && !GIVEN(t->a, data)) return fix_batch_of_model(t);
    if (!status) status = open_data(t->path, &all);
    if (status) return status;
    status = match_fields(t, all);
    if (status) {
        tn_dataset_free(all);
        return status;
    }
    status = train_split(t, all, false);
    return status ? status : cut_validation(t);
}
