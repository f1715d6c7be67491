/* Types: construction, equality, sizes, printing. And values in words, for messages. */
#include "ir/op.h"

#include <stdio.h>
#include <string.h>

tn_type type_make(tn_dtype dtype, int rank, const tn_dim *dims) {
    tn_type type = {.dtype = (uint8_t)dtype, .rank = (uint8_t)rank};
    if (rank > 0) memcpy(type.dims, dims, (size_t)rank * sizeof *dims);
    return type;
}

tn_type type_scalar(tn_dtype dtype) { return (tn_type){.dtype = (uint8_t)dtype}; }

bool type_equal(const tn_type *a, const tn_type *b) {
    return a->dtype == b->dtype && a->rank == b->rank &&
           (a->rank == 0 || memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0);
}

bool type_is_static(const dim_table *t, const tn_type *type) {
    for (int axis = 0; axis < type->rank; axis++)
        if (!dim_is_const(t, type->dims[axis], NULL)) return false;
    return true;
}

tn_dim type_element_count(dim_table *t, const tn_type *type) {
    /* 0 times too much is 0. */
    for (int axis = 0; axis < type->rank; axis++)
        if (dim_is_value(t, type->dims[axis], 0)) return dim_const(t, 0);
    return dim_product(t, type->dims, type->rank);
}

bool type_static_bytes(const dim_table *t, const tn_type *type, size_t *bytes) {
    uint64_t n = 1;
    bool is_empty = false, fits = true;
    for (int axis = 0; axis < type->rank; axis++) {
        int64_t extent;
        if (!dim_is_const(t, type->dims[axis], &extent) || extent < 0) return false;
        is_empty |= extent == 0;
        fits &= !__builtin_mul_overflow(n, (uint64_t)extent, &n);
    }
    if (is_empty) n = 0;
    uint64_t bits;
    if ((!fits && !is_empty) || __builtin_mul_overflow(n, tn_dtype_bits((tn_dtype)type->dtype), &bits)) return false;
    uint64_t size = bits / 8 + (bits % 8 != 0);
    if (size > SIZE_MAX / 2) return false;
    *bytes = (size_t)size;
    return true;
}

/* ---- Text ------------------------------------------------------------------------------------ */

/* What was written so far of a text that may be cut: `length` counts what it would have been. */
typedef struct text {
    char *out;
    size_t bytes, length;
} text;

static char *text_end(const text *t) { return t->length < t->bytes ? t->out + t->length : NULL; }
static size_t text_room(const text *t) { return t->length < t->bytes ? t->bytes - t->length : 0; }

static void text_add(text *t, const char *s) { t->length += (size_t)snprintf(text_end(t), text_room(t), "%s", s); }

size_t type_print(const dim_table *dims, const tn_type *type, char *out, size_t bytes) {
    text t = {out, bytes, 0};
    if (bytes > 0) out[0] = '\0';
    text_add(&t, tn_dtype_name((tn_dtype)type->dtype));
    if (type->dtype == TN_TOKEN) return t.length;
    text_add(&t, "[");
    for (int axis = 0; axis < type->rank; axis++) {
        if (axis > 0) text_add(&t, ", ");
        t.length += dim_print(dims, type->dims[axis], text_end(&t), text_room(&t));
    }
    text_add(&t, "]");
    return t.length;
}

size_t value_describe(const tn_graph *g, value_id v, char *out, size_t bytes) {
    text t = {out, bytes, 0};
    if (bytes > 0) out[0] = '\0';
    if (v >= g->n_values) {
        text_add(&t, "no value");
        return t.length;
    }
    const value *described = &g->values[v];
    const node *made_by = &g->nodes[described->node];
    tn_location place;
    if (described->name) {
        text_add(&t, described->name);
    } else {
        text_add(&t, "the ");
        text_add(&t, op_name((tn_op)made_by->op));
        if (location_items(g->module, made_by->locations, 1, &place) > 0) {
            text_add(&t, " of ");
            /* Of a source file the name will do. */
            const char *folder = place.line > 0 ? strrchr(place.file, '/') : NULL;
            text_add(&t, folder ? folder + 1 : place.file);
            if (place.line > 0) {
                char line[16];
                snprintf(line, sizeof line, ":%d", place.line);
                text_add(&t, line);
            }
        }
    }
    text_add(&t, " is ");
    t.length += type_print(g->module->dims, &described->type, text_end(&t), text_room(&t));
    return t.length;
}
