/* The step of a training as files for `tenon compile`, which makes it an object for programs that train by themselves.
 *
 * in:  what is to be trained; --step NAME
 * out: NAME.tn, a step whose states are paired with results; NAME.safetensors, their first values; NAME_infer.tn, the
 *      model for use, whose inputs are the parameters too, called as in the step
 * law: a batch has the size that training has here; other symbols are known where the data tell them, the rest stay
 */
#include "frontends/cli/train.h"
#include "frontends/data/atomic_file.h"
#include "frontends/nn/model.h"
#include "ir/graph.h"
#include "runtime/alloc.h"
#include "tenon_data.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_SIZES = 16, PATH_BYTES = 4096 };

/* ---- Sizes ---- */

static void add_size(tn_model_size sizes[MAX_SIZES + 1], const char *symbol, int64_t value) {
    int n = 0;
    for (; sizes[n].symbol; n++)
        if (strcmp(sizes[n].symbol, symbol) == 0) return;
    if (n < MAX_SIZES) sizes[n] = (tn_model_size){symbol, value};
}

/* The field of the data that goes to the model's nth input or target; NULL: there are no data. */
static const tn_field *field_of(const training *t, const param *p, int n) {
    int number = t->data ? tn_dataset_find_field(t->data, t->fields[0] ? t->fields[n] : p->name) : -1;
    return number < 0 ? NULL : tn_dataset_field(t->data, number);
}

static void find_sizes(const training *t, tn_model_size sizes[MAX_SIZES + 1]) {
    const tn_graph *f = tn_model_graph(t->model);
    int n = 0;
    for (size_t i = 0; i < f->n_params; i++) {
        const param *p = &f->params[i];
        nn_role role = t->model->params[i].role;
        if (role != NN_INPUT && role != NN_TARGET) continue;
        const tn_field *field = field_of(t, p, n++);
        for (int axis = 0; axis < p->type.rank; axis++) {
            const char *symbol = dim_symbol_name(f->module->dims, p->type.dims[axis]);
            if (!symbol) continue;
            if (axis == 0)
                add_size(sizes, symbol, t->batch);
            else if (field && field->rank == p->type.rank - 1)
                add_size(sizes, symbol, field->shape[axis - 1]);
        }
    }
}

/* ---- Files ---- */

static int join(const char *name, const char *ending, char path[PATH_BYTES]) {
    if ((size_t)snprintf(path, PATH_BYTES, "%s%s", name, ending) < PATH_BYTES) return EXIT_DONE;
    return report_text(name, "the path is too long");
}

/* Large constants go to PATH.bin. */
static int write_module(const tn_module *m, const char *path) {
    char data[PATH_BYTES];
    atomic_file f;
    tn_diag diag = {0};
    int status = join(path, ".bin", data);
    if (status) return status;
    char *text = tn_module_print(m, data);
    if (!text) return report_text(data, "it could not be written");
    tn_status written = atomic_file_open(path, &f, &diag);
    if (written == TN_OK) {
        atomic_file_write(&f, text, strlen(text));
        written = atomic_file_commit(&f, path, &diag);
    }
    tn_text_free(text);
    return written == TN_OK ? EXIT_DONE : report(path, &diag);
}

/* Whether that is a state of the step. */
static bool is_stepped(const tn_graph *step, const char *name) {
    for (size_t r = 0; r < step->n_results; r++) {
        int32_t state = step->results[r].state_param;
        if (state >= 0 && strcmp(step->params[state].name, name) == 0) return true;
    }
    return false;
}

static int write_states(const training *t, const tn_graph *step, const char *path) {
    int n = 0, all = tn_trainer_n_states(t->trainer);
    tn_named_tensor *states = tn_calloc((size_t)all + 1, sizeof *states);
    tn_diag diag = {0};
    if (!states) return report_text(path, "out of memory");
    for (int i = 0; i < all; i++) {
        states[n].name = tn_trainer_state(t->trainer, i, &states[n].tensor);
        n += is_stepped(step, states[n].name);
    }
    tn_status written = tn_safetensors_write(path, states, n, NULL, 0, &diag);
    tn_free(states);
    return written == TN_OK ? EXIT_DONE : report(path, &diag);
}

/* What is trained has no values there: without them a weight is an input. */
static int write_inference(const training *t, const tn_graph *step, const char *path, bool *is_written) {
    tn_diag diag = {0};
    bool has_output = false;
    for (size_t r = 0; r < tn_model_graph(t->model)->n_results; r++)
        has_output |= t->model->results[r].role == NN_OUTPUT;
    *is_written = has_output;
    if (!has_output) return EXIT_DONE;
    tn_module *m = tn_model_inference(t->model, NULL, &diag);
    if (!m) return report(path, &diag);
    tn_graph *f = tn_module_main(m);
    for (size_t i = 0; i < f->n_params; i++)
        if (is_stepped(step, f->params[i].name)) f->params[i].initial = NULL;
    int status = write_module(m, path);
    tn_module_free(m);
    return status;
}

/* The model that is trained must not become its own step. */
static bool is_model(const training *t, const char *path) {
    const char *model = TEXT_OF(t->a, onnx);
    struct stat one, other;
    return model && stat(model, &one) == 0 && stat(path, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

int train_write_step(training *t, const char *name, FILE *told) {
    tn_model_size sizes[MAX_SIZES + 1] = {{NULL, 0}};
    char path[PATH_BYTES], states[PATH_BYTES], inference[PATH_BYTES];
    tn_diag diag = {0};
    bool has_inference = false;
    int status = join(name, ".tn", path);
    if (!status) status = join(name, ".safetensors", states);
    if (!status) status = join(name, "_infer.tn", inference);
    if (status) return status;
    if (is_model(t, path) || is_model(t, inference))
        return report_text(TEXT_OF(t->a, onnx), "--step %s would write over the model", name);
    find_sizes(t, sizes);
    tn_module *m = tn_trainer_module(t->trainer, sizes, &diag);
    if (!m) return report(t->path, &diag);
    status = write_module(m, path);
    if (!status) status = write_states(t, tn_module_main(m), states);
    if (!status) status = write_inference(t, tn_module_main(m), inference, &has_inference);
    tn_module_free(m);
    if (status || !told) return status;
    fprintf(told, "%s: a step\n%s: its first states\n", path, states);
    if (has_inference) fprintf(told, "%s: the model for use, what is trained its inputs\n", inference);
    fprintf(told, "next: tenon compile %s -o %s --entry train_step --states %s\n", path, name, states);
    return EXIT_DONE;
}
