/* What every kind of dataset is made of.
 *
 * A kind is a row of functions; what it knows lies behind `state`. tn_dataset_read checks its arguments, asks the kind,
 * and converts what came when tn_dataset_convert said so; a kind has no part in that.
 */
#ifndef TN_DATA_DATASET_H
#define TN_DATA_DATASET_H

#include "frontends/data/tenon_data.h"
#include "runtime/alloc.h"

#include <stdatomic.h>

typedef struct dataset_kind {
    /* Reads one field of one example, both of which there are, as the source has it. */
    tn_status (*read)(const tn_dataset *dataset, int field, int64_t index, void *out, tn_diag *diag);
    void (*end)(void *state); /* or NULL */
} dataset_kind;

/* A field as the source has it, and what becomes of it. */
typedef struct dataset_field {
    tn_field shown; /* what callers see */
    tn_dtype dtype; /* of the source */
    int64_t elements;
    bool converts;
    double mean, scale;
    float *of_byte; /* of a source of bytes that reads as f32: what becomes of each byte; else NULL */
} dataset_field;

struct tn_dataset {
    const dataset_kind *kind;
    void *state;
    atomic_int references;
    int64_t count;
    dataset_field *fields;
    int n_fields;
    const char *const *classes;
    int64_t n_classes;
    arena arena; /* names, and what the kind puts there */
};

/* A dataset with these fields (copied, checked). On success it owns `state`. */
tn_status dataset_new(const dataset_kind *kind, void *state, int64_t count, const tn_field *fields, int n_fields,
                      tn_dataset **dataset, tn_diag *diag);

/* Bytes of one example of a field as the source has it. */
size_t dataset_field_bytes(const dataset_field *field);

/* Puts "record N, field 'x': " before the message of a failed read; returns its status. Records count from 0. */
tn_status dataset_record_failed(const tn_dataset *dataset, int field, int64_t index, tn_diag *diag);

#endif
