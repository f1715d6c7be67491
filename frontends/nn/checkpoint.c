/* Parameters and trainers in files.
 *
 * in:  a model or trainer, a path
 * out: a safetensors file, or their arrays filled from one
 * law: all of a file is checked before the first array changes
 */
#include "frontends/nn/trainer.h"
#include "tenon_fit.h"

#include "ir/dtype.h"
#include "ir/near.h"
#include "ir/eval.h"
#include "runtime/diag.h"

#include <stdio.h>
#include <string.h>

/* ---- Tensors of a file and arrays here ----------------------------------------------------------------- */

/* One array to be filled from a tensor. */
typedef struct transfer {
    const char *name; /* of the array, for messages */
    const tn_tensor *from;
    tn_tensor to;
    tn_ints perm;
} transfer;

/* `from` with its axes turned; false: perm is none. */
static bool turn(const tn_tensor *from, tn_ints perm, tn_tensor *out) {
    *out = *from;
    if (perm.n == 0) return true;
    if (perm.n != from->rank) return false;
    int64_t strides[TN_MAX_RANK], stride = 1;
    uint32_t seen = 0;
    for (int i = from->rank; i-- > 0;) {
        strides[i] = stride;
        stride *= from->shape[i];
    }
    for (int i = 0; i < perm.n; i++) {
        int64_t axis = perm.items[i];
        if (axis < 0 || axis >= from->rank || seen >> axis & 1) return false;
        seen |= 1u << axis;
        out->shape[i] = from->shape[axis];
        out->strides[i] = strides[axis];
    }
    out->has_strides = true;
    return true;
}

static bool same_shape(const tn_tensor *a, const tn_tensor *b) {
    return a->rank == b->rank && (a->rank == 0 || memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0);
}

/* Checks one, with the turned tensor in *turned. */
static tn_status check(const transfer *t, tn_tensor *turned, tn_diag *diag) {
    char is[128], wanted[128];
    if (!turn(t->from, t->perm, turned))
        return diag_fail(diag, TN_ERR_ARGUMENT, "%s: perm does not name each of the %d axes of %s once", t->name,
                         t->from->rank, tn_tensor_text(t->from, is, sizeof is));
    if (!same_shape(turned, &t->to))
        return diag_fail(diag, TN_ERR_SHAPE, "%s is %s, the file has %s%s", t->name,
                         tn_tensor_text(&t->to, wanted, sizeof wanted), tn_tensor_text(turned, is, sizeof is),
                         t->perm.n ? " (turned)" : "");
    bool are_floats = dtype_is_float(turned->dtype) && dtype_is_float(t->to.dtype);
    if (turned->dtype != t->to.dtype && !are_floats)
        return diag_fail(diag, TN_ERR_DTYPE, "%s is %s, the file has %s", t->name,
                         tn_tensor_text(&t->to, wanted, sizeof wanted), tn_tensor_text(turned, is, sizeof is));
    return TN_OK;
}

/* The same elements as another float, through a copy in memory of their own. */
static tn_status convert(const tn_tensor *from, const tn_tensor *to, tn_diag *diag) {
    int64_t n = tn_tensor_elements(to);
    size_t bytes = (size_t)n * (tn_dtype_bits(from->dtype) / 8);
    tn_tensor aligned = tn_tensor_of(from->dtype, tn_malloc(bytes ? bytes : 1), to->rank, to->shape);
    if (!aligned.data) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    tn_tensor_copy(&aligned, from);
    eval_tensor x = {.dtype = from->dtype, .n = n, .data = aligned.data};
    eval_tensor y = {.dtype = to->dtype, .n = n, .data = to->data};
    for (int64_t i = 0; i < n; i++) eval_store_float(&y, i, eval_load_float(&x, i));
    tn_free(aligned.data);
    return TN_OK;
}

static tn_status move_all(const transfer *all, size_t n, tn_diag *diag) {
    tn_tensor turned;
    tn_status status = TN_OK;
    for (size_t i = 0; i < n && status == TN_OK; i++) status = check(&all[i], &turned, diag);
    for (size_t i = 0; i < n && status == TN_OK; i++) {
        check(&all[i], &turned, diag);
        status =
            turned.dtype == all[i].to.dtype ? tn_tensor_copy(&all[i].to, &turned) : convert(&turned, &all[i].to, diag);
    }
    return status;
}

/* ---- Models ------------------------------------------------------------------------------------------------ */

static tn_status check_values(const tn_model *m, tn_diag *diag) {
    if (!m) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no model");
    if (tn_model_error(m)) {
        if (diag) *diag = *tn_model_error(m);
        return tn_model_error(m)->status;
    }
    for (int i = 0; i < tn_model_n_parameters(m); i++)
        if (!tn_model_parameter_of(m, i).tensor.data)
            return diag_fail(diag, TN_ERR_ARGUMENT, "the model %s has no values for %s: tn_model_initialise makes them",
                             m->module->name, tn_model_parameter_of(m, i).name);
    return TN_OK;
}

tn_status tn_model_save(const tn_model *m, const char *path, tn_diag *diag) {
    tn_status status = check_values(m, diag);
    if (status != TN_OK) return status;
    int n = tn_model_n_parameters(m);
    tn_named_tensor *list = tn_calloc((size_t)n + 1, sizeof *list);
    if (!list) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    for (int i = 0; i < n; i++) {
        tn_parameter p = tn_model_parameter_of(m, i);
        list[i] = (tn_named_tensor){p.name, p.tensor};
    }
    tn_metadata note = {"format", "tenon"};
    status = tn_safetensors_write(path, list, n, &note, 1, diag);
    tn_free(list);
    return status;
}

static tn_status complain_of_parameter(const tn_model *m, const char *name, tn_diag *diag) {
    char text[200];
    near_names near = {.wanted = name};
    for (int i = 0; i < tn_model_n_parameters(m); i++) near_offer(&near, tn_model_parameter_of(m, i).name);
    return diag_fail(diag, TN_ERR_ARGUMENT, "the model %s has no parameter %s%s", m->module->name, name,
                     near_text(&near, text, sizeof text));
}

static tn_status complain_of_tensor(const tn_archive *file, const char *name, const char *parameter, tn_diag *diag) {
    char text[200];
    near_names near = {.wanted = name};
    for (int64_t i = 0; i < tn_archive_count(file); i++) near_offer(&near, tn_archive_at(file, i)->name);
    return diag_fail(diag, TN_ERR_ARGUMENT, "the file has no tensor %s for the parameter %s%s", name, parameter,
                     near_text(&near, text, sizeof text));
}

/* The transfers of a list of names, or of all parameters. */
static tn_status plan_model(const tn_model *m, const tn_archive *file, const tn_weight_name *names, transfer *all,
                            size_t *n, tn_diag *diag) {
    *n = 0;
    for (int i = 0; names ? names[i].parameter != NULL : i < tn_model_n_parameters(m); i++) {
        int number = names ? tn_model_find_parameter(m, names[i].parameter) : i;
        if (number < 0) return complain_of_parameter(m, names[i].parameter, diag);
        tn_parameter p = tn_model_parameter_of(m, number);
        const char *wanted = names ? names[i].tensor : p.name;
        const tn_tensor *from = wanted ? tn_archive_find(file, wanted) : NULL;
        if (!from) return complain_of_tensor(file, wanted ? wanted : "(no name)", p.name, diag);
        all[(*n)++] = (transfer){p.name, from, p.tensor, names ? names[i].perm : TN_NO_INTS};
    }
    return TN_OK;
}

tn_status tn_model_load(tn_model *m, const char *path, const tn_weight_name *names, tn_diag *diag) {
    tn_archive *file = NULL;
    size_t n = 0, most = 0;
    if (!m) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no model");
    bool is_new = tn_model_n_parameters(m) > 0 && !tn_model_parameter_of(m, 0).tensor.data;
    tn_status status = is_new ? tn_model_initialise(m, 0, diag) : check_values(m, diag);
    if (status != TN_OK) return status;
    while (names && names[most].parameter) most++;
    if (!names) most = (size_t)tn_model_n_parameters(m);
    transfer *all = tn_calloc(most + 1, sizeof *all);
    if (!all) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    status = tn_safetensors_open(path, &file, diag);
    if (status == TN_OK) {
        status = plan_model(m, file, names, all, &n, diag);
        if (status == TN_OK) status = move_all(all, n, diag);
        if (status != TN_OK) diag_in_file(diag, status, path);
    }
    tn_archive_free(file);
    tn_free(all);
    return status;
}

/* ---- Trainers ------------------------------------------------------------------------------------------------ */

/* States, then the sums of metrics. */
static size_t list_states(const tn_trainer *t, arena *names, tn_named_tensor *list) {
    size_t n = 0;
    for (size_t i = 0; i < t->n_states; i++) list[n++] = (tn_named_tensor){t->states[i].name, t->states[i].tensor};
    for (int i = 0; i < t->n_metrics; i++) {
        int64_t shape = t->metrics[i].n;
        list[n++] = (tn_named_tensor){arena_printf(names, "metric.%s", t->metrics[i].name),
                                      tn_tensor_of(TN_F64, t->metrics[i].sums[0], 1, &shape)};
        if (!list[n - 1].name) return 0;
    }
    return n;
}

tn_status tn_trainer_save(const tn_trainer *t, const char *path, const tn_metadata *notes, int n_notes, tn_diag *diag) {
    if (!t) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no trainer");
    arena memory = {0};
    tn_named_tensor *list = ARENA_ARRAY(&memory, tn_named_tensor, t->n_states + (size_t)t->n_metrics + 1);
    size_t n = list ? list_states(t, &memory, list) : 0;
    tn_status status = n > 0 ? tn_safetensors_write(path, list, (int64_t)n, notes, n_notes, diag)
                             : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    arena_free(&memory);
    return status;
}

static tn_status plan_trainer(const tn_archive *file, const tn_named_tensor *list, size_t n, transfer *all,
                              tn_diag *diag) {
    for (size_t i = 0; i < n; i++) {
        const tn_tensor *from = tn_archive_find(file, list[i].name);
        if (!from)
            return diag_fail(diag, TN_ERR_ARGUMENT, "the checkpoint has no %s: it is of another model or optimizer",
                             list[i].name);
        if (from->dtype != list[i].tensor.dtype)
            return diag_fail(diag, TN_ERR_DTYPE, "%s is %s, the checkpoint has %s", list[i].name,
                             tn_dtype_name(list[i].tensor.dtype), tn_dtype_name(from->dtype));
        all[i] = (transfer){list[i].name, from, list[i].tensor, TN_NO_INTS};
    }
    if (tn_archive_count(file) == (int64_t)n) return TN_OK;
    return diag_fail(diag, TN_ERR_ARGUMENT,
                     "the checkpoint has %lld tensors, the trainer %zu: it is of another model or optimizer",
                     (long long)tn_archive_count(file), n);
}

tn_status nn_trainer_restore(tn_trainer *t, const tn_archive *file, tn_diag *diag) {
    arena memory = {0};
    size_t most = t->n_states + (size_t)t->n_metrics + 1;
    tn_named_tensor *list = ARENA_ARRAY(&memory, tn_named_tensor, most);
    transfer *all = ARENA_ARRAY(&memory, transfer, most);
    size_t n = list && all ? list_states(t, &memory, list) : 0;
    tn_status status = n > 0 ? plan_trainer(file, list, n, all, diag) : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    if (status == TN_OK) status = move_all(all, n, diag);
    arena_free(&memory);
    return status;
}

tn_status tn_trainer_load(tn_trainer *t, const char *path, tn_diag *diag) {
    tn_archive *file = NULL;
    if (!t) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no trainer");
    tn_status status = tn_safetensors_open(path, &file, diag);
    if (status != TN_OK) return status;
    status = nn_trainer_restore(t, file, diag);
    tn_archive_free(file);
    return diag_in_file(diag, status, path);
}
