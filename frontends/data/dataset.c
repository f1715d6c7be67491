/* Datasets: examples read by number, whatever their source (see dataset.h). */
#include "frontends/data/dataset.h"

#include "frontends/data/element.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Making and ending --------------------------------------------------------------------- */

static tn_status check_field(const tn_field *fields, int i, tn_diag *diag) {
    const tn_field *f = &fields[i];
    if (!f->name) return diag_fail(diag, TN_ERR_ARGUMENT, "field %d has no name", i);
    for (int k = 0; k < i; k++)
        if (strcmp(fields[k].name, f->name) == 0)
            return diag_fail(diag, TN_ERR_ARGUMENT, "two fields are called '%.100s'", f->name);
    if (f->rank < 0 || f->rank >= TN_MAX_RANK)
        return diag_fail(diag, TN_ERR_ARGUMENT, "field '%.100s': an example has %d axes, expected 0 to %d", f->name,
                         f->rank, TN_MAX_RANK - 1);
    tn_tensor example = tn_tensor_of(f->dtype, NULL, f->rank, f->shape);
    if (tn_tensor_bytes(&example) < 0)
        return diag_fail(diag, TN_ERR_ARGUMENT,
                         "field '%.100s': its dtype has no elements, or its shape is negative or too large", f->name);
    return TN_OK;
}

static bool copy_fields(tn_dataset *d, const tn_field *fields) {
    for (int i = 0; i < d->n_fields; i++) {
        tn_tensor example = tn_tensor_of(fields[i].dtype, NULL, fields[i].rank, fields[i].shape);
        d->fields[i] = (dataset_field){fields[i], .dtype = fields[i].dtype, .elements = tn_tensor_elements(&example)};
        d->fields[i].shown.name = arena_strdup(&d->arena, fields[i].name);
        if (!d->fields[i].shown.name) return false;
    }
    return true;
}

tn_status dataset_new(const dataset_kind *kind, void *state, int64_t count, const tn_field *fields, int n_fields,
                      tn_dataset **dataset, tn_diag *diag) {
    *dataset = NULL;
    if (count < 0 || n_fields < 1)
        return diag_fail(diag, TN_ERR_ARGUMENT, "a dataset has at least one field and no negative number of examples");
    for (int i = 0; i < n_fields; i++) {
        tn_status status = check_field(fields, i, diag);
        if (status != TN_OK) return status;
    }
    tn_dataset *d = tn_calloc(1, sizeof *d);
    if (!d) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    *d = (tn_dataset){.kind = kind, .references = 1, .count = count, .n_fields = n_fields};
    d->fields = ARENA_ARRAY(&d->arena, dataset_field, n_fields);
    if (!d->fields || !copy_fields(d, fields)) {
        tn_dataset_free(d);
        return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    }
    d->state = state; /* last: a failed call leaves it to the caller */
    *dataset = d;
    return TN_OK;
}

tn_dataset *tn_dataset_retain(tn_dataset *dataset) {
    if (dataset) atomic_fetch_add(&dataset->references, 1);
    return dataset;
}

void tn_dataset_free(tn_dataset *dataset) {
    if (!dataset || atomic_fetch_sub(&dataset->references, 1) > 1) return;
    if (dataset->state && dataset->kind->end) dataset->kind->end(dataset->state);
    arena_free(&dataset->arena);
    tn_free(dataset);
}

/* ---- Looking ------------------------------------------------------------------------------- */

int64_t tn_dataset_count(const tn_dataset *dataset) { return dataset ? dataset->count : -1; }
int tn_dataset_n_fields(const tn_dataset *dataset) { return dataset ? dataset->n_fields : 0; }

const tn_field *tn_dataset_field(const tn_dataset *dataset, int i) {
    return dataset && i >= 0 && i < dataset->n_fields ? &dataset->fields[i].shown : NULL;
}

int tn_dataset_find_field(const tn_dataset *dataset, const char *name) {
    for (int i = 0; dataset && name && i < dataset->n_fields; i++)
        if (strcmp(dataset->fields[i].shown.name, name) == 0) return i;
    return -1;
}

const char *tn_dataset_class(const tn_dataset *dataset, int64_t i) {
    return dataset && i >= 0 && i < dataset->n_classes ? dataset->classes[i] : NULL;
}

size_t dataset_field_bytes(const dataset_field *field) {
    return (size_t)field->elements * (tn_dtype_bits(field->dtype) / 8);
}

/* ---- Reading ------------------------------------------------------------------------------- */

tn_status dataset_record_failed(const tn_dataset *dataset, int field, int64_t index, tn_diag *diag) {
    char message[TN_DIAG_MESSAGE_BYTES];
    line t = {message, sizeof message, 0};
    line_add(&t, "record %" PRId64 ", field '%.100s': %s", index, dataset->fields[field].shown.name, diag->message);
    memcpy(diag->message, message, sizeof message);
    return diag->status;
}

/* Nothing is to be computed. */
static bool is_copy(const dataset_field *f) { return f->dtype == f->shown.dtype && f->mean == 0 && f->scale == 1; }

static tn_status convert(const dataset_field *f, const void *raw, void *out, tn_diag *diag) {
    if (is_copy(f)) {
        memcpy(out, raw, dataset_field_bytes(f));
        return TN_OK;
    }
    if (f->of_byte) {
        for (int64_t i = 0; i < f->elements; i++)
            memcpy((char *)out + i * (int64_t)sizeof(float), &f->of_byte[((const uint8_t *)raw)[i]], sizeof(float));
        return TN_OK;
    }
    for (int64_t i = 0; i < f->elements; i++) {
        double value = (element_get(f->dtype, raw, i) - f->mean) * f->scale;
        if (!element_set(f->shown.dtype, out, i, value))
            return diag_fail(diag, TN_ERR_DTYPE, "element %" PRId64 " is %.17g, which is no %s", i, value,
                             tn_dtype_name(f->shown.dtype));
    }
    return TN_OK;
}

/* Examples up to that size are converted on the stack. */
enum { SMALL_EXAMPLE = 4096 };

static tn_status read_converted(const tn_dataset *d, int field, int64_t index, void *out, tn_diag *diag) {
    const dataset_field *f = &d->fields[field];
    _Alignas(16) char small[SMALL_EXAMPLE];
    size_t bytes = dataset_field_bytes(f);
    void *raw = bytes <= sizeof small ? small : tn_malloc(bytes);
    if (!raw) return diag_fail(diag, TN_ERR_MEMORY, "out of memory");
    tn_status status = d->kind->read(d, field, index, raw, diag);
    if (status == TN_OK && convert(f, raw, out, diag) != TN_OK) status = dataset_record_failed(d, field, index, diag);
    if (raw != small) tn_free(raw);
    return status;
}

tn_status tn_dataset_read(const tn_dataset *dataset, int field, int64_t index, void *out, tn_diag *diag) {
    tn_diag unread;
    if (!diag) diag = &unread;
    if (!dataset || !out || field < 0 || field >= dataset->n_fields)
        return diag_fail(diag, TN_ERR_ARGUMENT, "no dataset, no such field, or nowhere to read to");
    if (index < 0 || index >= dataset->count)
        return diag_fail(diag, TN_ERR_ARGUMENT, "there is no example %" PRId64 ", the dataset has %" PRId64, index,
                         dataset->count);
    if (dataset->fields[field].converts) return read_converted(dataset, field, index, out, diag);
    return dataset->kind->read(dataset, field, index, out, diag);
}

/* ---- Conversions --------------------------------------------------------------------------- */

/* The field, when it may be changed; else NULL: TN_ERR_ARGUMENT. */
static dataset_field *find_field(tn_dataset *d, const char *name, tn_diag *diag) {
    int i = tn_dataset_find_field(d, name);
    if (i < 0)
        diag_fail(diag, TN_ERR_ARGUMENT, "the dataset has no field '%.100s'", name ? name : "(null)");
    else if (d->references > 1)
        diag_fail(diag, TN_ERR_ARGUMENT, "field '%.100s': the dataset is in use by a loader or a split", name);
    else
        return &d->fields[i];
    return NULL;
}

/* Pictures are bytes, and many: each of the 256 is computed once. */
static bool make_table(tn_dataset *d, dataset_field *f) {
    enum { N_BYTES = 256 };
    f->of_byte = NULL;
    if (tn_dtype_bits(f->dtype) != 8 || f->shown.dtype != TN_F32) return true;
    f->of_byte = ARENA_ARRAY(&d->arena, float, N_BYTES);
    for (int i = 0; f->of_byte && i < N_BYTES; i++) {
        uint8_t byte = (uint8_t)i;
        element_set(TN_F32, f->of_byte, i, (element_get(f->dtype, &byte, 0) - f->mean) * f->scale);
    }
    return f->of_byte != NULL;
}

tn_status tn_dataset_convert(tn_dataset *dataset, const char *field, tn_dtype dtype, double mean, double scale,
                             tn_diag *diag) {
    dataset_field *f = find_field(dataset, field, diag);
    if (!f) return TN_ERR_ARGUMENT;
    tn_tensor example = tn_tensor_of(dtype, NULL, f->shown.rank, f->shown.shape);
    if (tn_tensor_bytes(&example) < 0 || !isfinite(mean) || !isfinite(scale))
        return diag_fail(diag, TN_ERR_ARGUMENT,
                         "field '%.100s': %s has no such elements, or mean or scale is not finite", field,
                         tn_dtype_name(dtype));
    f->shown.dtype = dtype;
    f->mean = mean;
    f->scale = scale;
    f->converts = !is_copy(f);
    return make_table(dataset, f) ? TN_OK : diag_fail(diag, TN_ERR_MEMORY, "out of memory");
}

tn_status tn_dataset_reshape(tn_dataset *dataset, const char *field, int rank, const int64_t *shape, tn_diag *diag) {
    dataset_field *f = find_field(dataset, field, diag);
    if (!f) return TN_ERR_ARGUMENT;
    tn_tensor wanted = tn_tensor_of(f->shown.dtype, NULL, rank, shape);
    if (rank >= TN_MAX_RANK || tn_tensor_elements(&wanted) != f->elements) {
        char text[160];
        return diag_fail(diag, TN_ERR_SHAPE, "field '%.100s': %s is not of %" PRId64 " elements and at most %d axes",
                         field, tn_tensor_text(&wanted, text, sizeof text), f->elements, TN_MAX_RANK - 1);
    }
    f->shown.rank = rank;
    if (rank > 0) memcpy(f->shown.shape, shape, (size_t)rank * sizeof *shape);
    return TN_OK;
}
