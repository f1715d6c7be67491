/* Known contents: made from constants, turned into values, read as numbers.
 *
 * law: a known content is that of the tensor at run time, for all values of the symbols
 */
#include "frontends/onnx/import.h"
#include "ir/eval.h"

#include <math.h>
#include <string.h>

/* ---- Making ------------------------------------------------------------------------------ */

known *known_new(importer *im, tn_dtype dtype, int rank, const int64_t *shape, tn_dim **items) {
    int64_t n = 1;
    if (rank > KNOWN_MAX_RANK) return NULL;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(n, shape[i], &n) || n > KNOWN_MAX_ITEMS) return NULL;
    known *k = ARENA_NEW(&im->memory, known);
    *items = ARENA_ARRAY(&im->memory, tn_dim, n ? n : 1);
    if (!k || !*items) {
        import_no_memory(im);
        return NULL;
    }
    *k = (known){.dtype = dtype, .rank = rank, .n = n, .items = *items};
    for (int i = 0; i < rank; i++) k->shape[i] = shape[i];
    return k;
}

known *known_vector(importer *im, tn_dtype dtype, int64_t n, tn_dim **items) {
    return known_new(im, dtype, 1, &n, items);
}

/* A tensor of the interpreter over constant data, to read its elements. */
static eval_tensor view_of(const tensor_data *data, int64_t n) {
    return (eval_tensor){
        .dtype = (tn_dtype)data->type.dtype, .rank = 1, .dims = {n}, .n = n, .data = (void *)data->data};
}

static const known *read_known(importer *im, const tensor_data *data, int64_t least) {
    int64_t shape[TN_MAX_RANK];
    tn_dim *items;
    for (int i = 0; i < data->type.rank; i++)
        if (!dim_is_const(import_dims(im), data->type.dims[i], &shape[i])) return NULL;
    tn_dtype dtype = (tn_dtype)data->type.dtype;
    known *k = known_new(im, dtype, data->type.rank, shape, &items);
    if (!k) return NULL;
    eval_tensor t = view_of(data, k->n);
    for (int64_t i = 0; i < k->n; i++) {
        int64_t number;
        if (dtype_is_float(dtype)) {
            double x = eval_load_float(&t, i);
            /* Fractions, NaN, large ones, and the zero that has a sign. */
            if (x != floor(x) || fabs(x) > 0x1p53 || (x == 0 && signbit(x))) return NULL;
            number = (int64_t)x;
        } else {
            number = eval_load_int(&t, i);
            if (number < least) number = least;
        }
        items[i] = dim_const(import_dims(im), number);
        if (items[i] == DIM_INVALID) {
            dim_table_clear_status(import_dims(im));
            return NULL;
        }
    }
    return k;
}

bool known_number(const importer *im, const known *k, int64_t i, int64_t *number) {
    return dim_is_const(import_dims(im), k->items[i], number);
}

const known *known_from_data(importer *im, const tensor_data *data) { return read_known(im, data, INT64_MIN); }

const known *known_positions(importer *im, const tensor_data *data) { return read_known(im, data, -INT64_MAX); }

/* ---- As values --------------------------------------------------------------------------- */

/* All items are numbers: a constant. */
static tn_val constant_value(scope *s, const known *k) {
    tn_module *m = s->im->module;
    tn_type type = {.dtype = (uint8_t)k->dtype, .rank = (uint8_t)k->rank};
    for (int i = 0; i < k->rank; i++) type.dims[i] = dim_const(m->dims, k->shape[i]);
    size_t bytes = (size_t)k->n * (tn_dtype_bits(k->dtype) / 8);
    void *content = tn_calloc(bytes ? bytes : 1, 1);
    if (!content) {
        import_no_memory(s->im);
        return (tn_val){NULL, VALUE_NONE};
    }
    eval_tensor t = {.dtype = k->dtype, .n = k->n, .data = content};
    for (int64_t i = 0; i < k->n; i++) {
        int64_t number = 0;
        known_number(s->im, k, i, &number);
        if (dtype_is_float(k->dtype))
            eval_store_float(&t, i, (double)number);
        else
            eval_store_int(&t, i, number);
    }
    const tensor_data *data = module_constant(m, &type, content, true);
    tn_free(content);
    return data ? import_constant(s, data) : (tn_val){NULL, VALUE_NONE};
}

tn_val known_value(scope *s, const known *k) {
    int64_t number;
    bool is_constant = true;
    for (int64_t i = 0; i < k->n; i++) is_constant &= known_number(s->im, k, i, &number);
    if (is_constant) return constant_value(s, k);
    tn_dim one = dim_const(import_dims(s->im), 1), shape[KNOWN_MAX_RANK];
    tn_val *parts = tn_calloc((size_t)k->n, sizeof *parts), v;
    if (!parts) {
        import_no_memory(s->im);
        return (tn_val){NULL, VALUE_NONE};
    }
    for (int64_t i = 0; i < k->n; i++) {
        parts[i] = tn_dim_value(s->g, k->items[i]);
        if (k->n > 1) parts[i] = tn_reshape_dims(parts[i], 1, &one);
    }
    v = k->n > 1 ? tn_concat(parts, (int)k->n, 0) : parts[0];
    tn_free(parts);
    for (int i = 0; i < k->rank; i++) shape[i] = dim_const(import_dims(s->im), k->shape[i]);
    if (k->rank != 1 || k->n == 1) v = tn_reshape_dims(v, k->rank, shape);
    return tn_convert(v, k->dtype);
}
