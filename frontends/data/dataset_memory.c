/* Datasets over arrays in memory and over a function of the caller's.
 *
 * in:  arrays whose first axis counts the examples, or a function that reads an example
 * out: a dataset
 * law: elements are read in place; what the caller handed over is released once, when the dataset ends
 */
#include "frontends/data/dataset.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Arrays -------------------------------------------------------------------------------- */

typedef struct arrays {
    tn_tensor *examples; /* the first example of each field */
    int64_t *steps;      /* bytes from one example to the next */
    void (*release)(void *ctx);
    void *ctx;
} arrays;

static tn_status read_array(const tn_dataset *d, int field, int64_t index, void *out, tn_diag *diag) {
    const arrays *a = d->state;
    tn_tensor from = a->examples[field];
    if (d->fields[field].elements == 0) return TN_OK;
    from.data = (char *)from.data + index * a->steps[field];
    if (tn_tensor_is_contiguous(&from)) {
        memcpy(out, from.data, dataset_field_bytes(&d->fields[field]));
        return TN_OK;
    }
    tn_tensor to = tn_tensor_of(from.dtype, out, from.rank, from.shape);
    tn_status status = tn_tensor_copy(&to, &from);
    return status == TN_OK ? TN_OK : diag_fail(diag, status, "record %" PRId64 " cannot be copied", index);
}

static void free_arrays(arrays *a) {
    tn_free(a->examples);
    tn_free(a->steps);
    tn_free(a);
}

static void end_arrays(void *state) {
    arrays *a = state;
    if (a->release) a->release(a->ctx);
    free_arrays(a);
}

static const dataset_kind array_kind = {read_array, end_arrays};

static tn_status check_array(const tn_named_tensor *array, int64_t count, const char *first, tn_diag *diag) {
    const tn_tensor *t = &array->tensor;
    char text[160];
    if (!array->name) return diag_fail(diag, TN_ERR_ARGUMENT, "an array has no name");
    tn_tensor_text(t, text, sizeof text);
    if (tn_tensor_bytes(t) < 0 || t->device != 0 || (tn_tensor_bytes(t) > 0 && !t->data))
        return diag_fail(diag, TN_ERR_ARGUMENT, "array '%.100s' is malformed, not on the host or has no data: %s",
                         array->name, text);
    if (t->rank == 0)
        return diag_fail(diag, TN_ERR_SHAPE, "array '%.100s' is a scalar, expected a first axis that counts examples",
                         array->name);
    if (t->shape[0] != count)
        return diag_fail(diag, TN_ERR_SHAPE, "array '%.100s' is %s, but '%.100s' has %" PRId64 " examples", array->name,
                         text, first, count);
    return TN_OK;
}

/* The tensor of one example: the array without its first axis. */
static tn_tensor first_example(const tn_tensor *t) {
    tn_tensor e = *t;
    e.rank--;
    for (int i = 0; i < e.rank; i++) {
        e.shape[i] = t->shape[i + 1];
        if (t->has_strides) e.strides[i] = t->strides[i + 1];
    }
    return e;
}

static void take_array(const tn_named_tensor *array, tn_field *field, tn_tensor *example, int64_t *step) {
    *example = first_example(&array->tensor);
    int64_t elements = array->tensor.has_strides ? array->tensor.strides[0] : tn_tensor_elements(example);
    *step = elements * (int64_t)(tn_dtype_bits(example->dtype) / 8);
    *field = (tn_field){.name = array->name, .dtype = example->dtype, .rank = example->rank};
    memcpy(field->shape, example->shape, sizeof field->shape);
}

tn_status tn_dataset_arrays(const tn_named_tensor *named, int n, void (*release)(void *ctx), void *ctx,
                            tn_dataset **dataset, tn_diag *diag) {
    *dataset = NULL;
    if (n < 1) return diag_fail(diag, TN_ERR_ARGUMENT, "a dataset needs at least one array");
    int64_t count = named[0].tensor.rank > 0 ? named[0].tensor.shape[0] : 0;
    for (int i = 0; i < n; i++) {
        tn_status status = check_array(&named[i], count, named[0].name, diag);
        if (status != TN_OK) return status;
    }
    arrays *a = tn_calloc(1, sizeof *a);
    tn_field *fields = tn_calloc((size_t)n, sizeof *fields);
    if (a) {
        *a = (arrays){tn_calloc((size_t)n, sizeof *a->examples), tn_calloc((size_t)n, sizeof *a->steps), release, ctx};
    }
    bool has_memory = a && fields && a->examples && a->steps;
    for (int i = 0; has_memory && i < n; i++) take_array(&named[i], &fields[i], &a->examples[i], &a->steps[i]);
    tn_status status = has_memory ? dataset_new(&array_kind, a, count, fields, n, dataset, diag)
                                  : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    if (status != TN_OK && a) free_arrays(a);
    tn_free(fields);
    return status;
}

static void release_archive(void *archive) { tn_archive_free(archive); }

tn_status tn_dataset_archive(tn_archive *archive, tn_dataset **dataset, tn_diag *diag) {
    *dataset = NULL;
    int64_t n = tn_archive_count(archive);
    tn_status status;
    if (n < 1 || n > INT32_MAX)
        status = diag_fail(diag, TN_ERR_ARGUMENT, "the archive has no arrays, or more than 2147483647");
    else
        status = tn_dataset_arrays(tn_archive_at(archive, 0), (int)n, release_archive, archive, dataset, diag);
    if (status != TN_OK) tn_archive_free(archive);
    return status;
}

/* ---- A function ---------------------------------------------------------------------------- */

typedef struct callback {
    tn_read_fn read;
    void (*release)(void *ctx);
    void *ctx;
} callback;

static tn_status read_callback(const tn_dataset *d, int field, int64_t index, void *out, tn_diag *diag) {
    const callback *c = d->state;
    *diag = (tn_diag){.status = TN_OK};
    tn_status status = c->read(c->ctx, field, index, out, diag);
    if (status == TN_OK) return TN_OK;
    diag->status = status;
    if (diag->message[0] == '\0') snprintf(diag->message, sizeof diag->message, "%s", tn_status_name(status));
    return dataset_record_failed(d, field, index, diag);
}

static void end_callback(void *state) {
    callback *c = state;
    if (c->release) c->release(c->ctx);
    tn_free(c);
}

static const dataset_kind callback_kind = {read_callback, end_callback};

tn_status tn_dataset_callback(int64_t count, const tn_field *fields, int n_fields, tn_read_fn read,
                              void (*release)(void *ctx), void *ctx, tn_dataset **dataset, tn_diag *diag) {
    *dataset = NULL;
    if (!read) return diag_fail(diag, TN_ERR_ARGUMENT, "there is no function that reads");
    callback *c = tn_malloc(sizeof *c);
    if (!c) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    *c = (callback){read, release, ctx};
    tn_status status = dataset_new(&callback_kind, c, count, fields, n_fields, dataset, diag);
    if (status != TN_OK) tn_free(c);
    return status;
}
