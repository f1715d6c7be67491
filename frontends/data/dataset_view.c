/* Datasets that are part of another: slices and splits.
 *
 * in:  a dataset, which examples
 * out: one that reads these from it
 * law: the two parts of a split have no example in common and leave none out; which they are follows from seed and
 *      number of examples alone
 */
#include "frontends/data/dataset.h"
#include "frontends/data/permutation.h"
#include "runtime/diag.h"

#include <inttypes.h>
#include <math.h>

typedef struct view {
    tn_dataset *parent;
    int64_t first;
    bool is_drawn; /* `first` counts in an order that is drawn */
    permutation order;
} view;

static tn_status read_view(const tn_dataset *d, int field, int64_t index, void *out, tn_diag *diag) {
    const view *v = d->state;
    int64_t at = v->first + index;
    return tn_dataset_read(v->parent, field, v->is_drawn ? permutation_at(&v->order, at) : at, out, diag);
}

static void end_view(void *state) {
    view *v = state;
    tn_dataset_free(v->parent);
    tn_free(v);
}

static const dataset_kind view_kind = {read_view, end_view};

static tn_status view_new(tn_dataset *parent, int64_t first, int64_t count, const permutation *order,
                          tn_dataset **result, tn_diag *diag) {
    *result = NULL;
    view *v = tn_calloc(1, sizeof *v);
    tn_field *fields = tn_calloc((size_t)parent->n_fields, sizeof *fields);
    tn_status status = TN_ERR_MEMORY;
    if (v && fields) {
        for (int i = 0; i < parent->n_fields; i++) fields[i] = parent->fields[i].shown;
        *v = (view){.parent = parent, .first = first, .is_drawn = order != NULL};
        if (order) v->order = *order;
        status = dataset_new(&view_kind, v, count, fields, parent->n_fields, result, diag);
    } else {
        diag_fail(diag, status, "out of memory");
    }
    tn_free(fields);
    if (status != TN_OK) {
        tn_free(v);
        return status;
    }
    tn_dataset_retain(parent);
    (*result)->classes = parent->classes; /* the parent's live as long */
    (*result)->n_classes = parent->n_classes;
    return TN_OK;
}

tn_status tn_dataset_slice(tn_dataset *dataset, int64_t first, int64_t count, tn_dataset **slice, tn_diag *diag) {
    *slice = NULL;
    if (!dataset || first < 0 || count < 0 || first > dataset->count || count > dataset->count - first)
        return diag_fail(diag, TN_ERR_ARGUMENT,
                         "there are no %" PRId64 " examples from %" PRId64 " on, the dataset has %" PRId64, count,
                         first, tn_dataset_count(dataset));
    return view_new(dataset, first, count, NULL, slice, diag);
}

/* No epoch of a loader with the same seed draws the same order. */
#define SPLIT_EPOCH UINT64_MAX

tn_status tn_dataset_split(tn_dataset *dataset, const tn_split_options *options, tn_dataset **training,
                           tn_dataset **validation, tn_diag *diag) {
    *training = *validation = NULL;
    if (!dataset || !options) return diag_fail(diag, TN_ERR_ARGUMENT, "no dataset, or no options");
    if (options->count < 0 || !(options->fraction >= 0 && options->fraction <= 1))
        return diag_fail(diag, TN_ERR_ARGUMENT,
                         "for validation: count is %" PRId64 " and fraction %g, expected at least "
                         "0, and 0 to 1",
                         options->count, options->fraction);
    int64_t n = dataset->count;
    int64_t held = options->count > 0 ? options->count : (int64_t)floor(options->fraction * (double)n + 0.5);
    if (held > n)
        return diag_fail(diag, TN_ERR_ARGUMENT, "%" PRId64 " examples for validation, but the dataset has %" PRId64,
                         held, n);
    permutation order = permutation_of(n, options->seed, SPLIT_EPOCH);
    const permutation *drawn = options->in_order ? NULL : &order;
    tn_status status = view_new(dataset, 0, n - held, drawn, training, diag);
    if (status == TN_OK) status = view_new(dataset, n - held, held, drawn, validation, diag);
    if (status != TN_OK) {
        tn_dataset_free(*training);
        *training = NULL;
    }
    return status;
}
