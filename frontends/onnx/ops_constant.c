/* Ops that make content: constants, ranges, masks of positions. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"
#include "frontends/onnx/tensorproto.h"

#include <string.h>

/* ---- Constants ----------------------------------------------------------------------------- */

/* A copy of numbers: a scalar (n is -1) or a vector. */
static const tensor_data *copy_numbers(conversion *c, tn_dtype dtype, int64_t n, const void *items) {
    tn_dim size = number_dim(c, n < 0 ? 1 : n);
    tn_type type = type_make(dtype, n >= 0, &size);
    const float zero = 0;
    return module_constant(c->im->module, &type, n == 0 ? &zero : items, true);
}

static const tensor_data *constant_data(conversion *c) {
    const onnx_attribute *a;
    if ((a = find_attribute(c, "value", ONNX_ATTR_TENSOR)) && a->t) return import_tensor(c->im, a->t);
    if ((a = find_attribute(c, "value_float", ONNX_ATTR_FLOAT))) return copy_numbers(c, TN_F32, -1, &a->f);
    if ((a = find_attribute(c, "value_int", ONNX_ATTR_INT))) return copy_numbers(c, TN_I64, -1, &a->i);
    if ((a = find_attribute(c, "value_floats", ONNX_ATTR_FLOATS)))
        return copy_numbers(c, TN_F32, (int64_t)a->floats.count, a->floats.items);
    if ((a = find_attribute(c, "value_ints", ONNX_ATTR_INTS)))
        return copy_numbers(c, TN_I64, (int64_t)a->ints.count, a->ints.items);
    if (!has_failed(c))
        node_error(c, TN_ERR_UNSUPPORTED, "has no value of numbers (text and sparse tensors are not supported)");
    return NULL;
}

void convert_constant(conversion *c) {
    const tensor_data *data = constant_data(c);
    if (data && scope_takes_weight(c->s, data))
        output_weight(c, 0, data);
    else if (data)
        output(c, 0, import_constant(c->s, data));
}

/* The tensor of one element in the attribute `value`; f32 0 by default. */
static tn_val fill_value(conversion *c) {
    const onnx_attribute *a = find_attribute(c, "value", ONNX_ATTR_TENSOR);
    if (!a || !a->t) return tn_scalar(c->g, TN_F32, 0);
    const tensor_data *data = import_tensor(c->im, a->t);
    return data ? tn_reshape_dims(import_constant(c->s, data), 0, NULL) : (tn_val){NULL, VALUE_NONE};
}

void convert_constant_of_shape(conversion *c) {
    const known *wanted = need_known(c, 0, "the shape");
    if (!wanted) return;
    if (wanted->n > TN_MAX_RANK) {
        node_error(c, TN_ERR_LIMIT, "the shape has %d axes, the most is %d", (int)wanted->n, TN_MAX_RANK);
        return;
    }
    output(c, 0, tn_broadcast_to(fill_value(c), (int)wanted->n, wanted->items));
}

/* start + i * delta; how many must be known. */
void convert_range(conversion *c) {
    tn_val start = input(c, 0), delta = input(c, 2);
    tn_dtype dtype = dtype_of(start);
    if (has_failed(c)) return;
    tn_dim n;
    double numbers[3];
    int count;
    const known *from = input_known(c, 0), *to = input_known(c, 1), *step = input_known(c, 2);
    int64_t by;
    if (from && to && step && step->n == 1 && from->n == 1 && to->n == 1 && known_number(c->im, step, 0, &by) &&
        by != 0) {
        dim_table *t = node_dims(c);
        tn_dim span = by > 0 ? dim_sub(t, to->items[0], from->items[0]) : dim_sub(t, from->items[0], to->items[0]);
        n = dim_max(t, dim_ceildiv(t, span, number_dim(c, by < 0 ? -by : by)), number_dim(c, 0));
    } else {
        for (int i = 0; i < 3; i++)
            if (!need_floats(c, i, "a bound of the range", &numbers[i], 1, &count) || count != 1) return;
        double items = numbers[2] == 0 ? 0 : (numbers[1] - numbers[0]) / numbers[2];
        int64_t whole = items > 0 && items < INT32_MAX ? (int64_t)items + (items > (double)(int64_t)items) : 0;
        n = number_dim(c, whole);
    }
    tn_val at = iota_dims(c, dtype == TN_F16 || dtype == TN_BF16 ? TN_F32 : dtype, 1, &n, 0);
    start = tn_reshape_dims(start, 0, NULL);
    delta = tn_reshape_dims(delta, 0, NULL);
    output(c, 0, tn_add(tn_mul(tn_convert(at, dtype), delta), start));
}

/* ---- Masks of positions -------------------------------------------------------------------- */

/* Row and column numbers of the last two axes. */
static void positions(conversion *c, tn_val x, tn_val *row, tn_val *column) {
    tn_type type = tn_type_of(x);
    tn_dim *last = type.dims + type.rank - 2;
    *row = iota_dims(c, TN_I64, 2, last, 0);
    *column = iota_dims(c, TN_I64, 2, last, 1);
}

static bool check_matrix(conversion *c, tn_val x) {
    if (!tn_is_valid(x)) return false;
    return tn_rank(x) >= 2 || node_error(c, TN_ERR_SHAPE, "the data must have rank 2 or more, not %d", tn_rank(x));
}

void convert_eye_like(conversion *c) {
    tn_val x = input(c, 0), row, column;
    if (!check_matrix(c, x)) return;
    tn_dtype dtype = has_attribute(c, "dtype") ? onnx_data_type_dtype((int32_t)read_int(c, "dtype", 0)) : dtype_of(x);
    if (dtype == TN_DTYPE_INVALID) {
        node_error(c, TN_ERR_UNSUPPORTED, "the dtype is not supported");
        return;
    }
    positions(c, x, &row, &column);
    tn_val k = tn_scalar_int(c->g, TN_I64, read_int(c, "k", 0));
    output(c, 0, tn_convert(tn_equal(column, tn_add(row, k)), dtype));
}

/* Keeps what is above (upper) or below the diagonal number k. */
void convert_trilu(conversion *c) {
    tn_val x = input(c, 0), row, column;
    if (!check_matrix(c, x)) return;
    tn_val k =
        has_input(c, 1) ? tn_reshape_dims(tn_convert(input(c, 1), TN_I64), 0, NULL) : tn_scalar_int(c->g, TN_I64, 0);
    positions(c, x, &row, &column);
    tn_val edge = tn_add(row, k);
    tn_val kept = read_int(c, "upper", 1) != 0 ? tn_greater_equal(column, edge) : tn_less_equal(column, edge);
    output(c, 0, tn_select(broadcast_like(c, kept, x), x, scalar_like(x, 0)));
}

/* values[1] at the index along the new axis, else values[0]; indices out of range give none. */
void convert_one_hot(conversion *c) {
    tn_val indices = input(c, 0), values = input(c, 2);
    const known *depth = tn_is_valid(indices) ? need_known(c, 1, "the depth") : NULL;
    int64_t axis = read_int(c, "axis", -1);
    if (!depth || depth->n != 1 || !tn_is_valid(values) || !check_axis(c, &axis, tn_rank(indices) + 1)) return;
    if (tn_rank(indices) == TN_MAX_RANK) {
        node_error(c, TN_ERR_LIMIT, "the result would have too many axes");
        return;
    }
    tn_val at = tn_expand_dims(tn_convert(indices, TN_I64), TN_INTS(axis));
    tn_type type = tn_type_of(at);
    type.dims[axis] = depth->items[0];
    at = wrap_indices(c, at, depth->items[0]);
    tn_val hit = tn_equal(iota_dims(c, TN_I64, type.rank, type.dims, (int)axis), at);
    output(c, 0, tn_select(hit, pick(c, values, 0, 1), pick(c, values, 0, 0)));
}

/* ---- Window functions ------------------------------------------------------------------------ */

/* a - b cos(x) + c cos(2 x) with x from 0 to 2 pi; periodic windows leave the last point out. */
void convert_window_function(conversion *c) {
    static const double terms[][3] = {
        [WINDOW_HANN] = {0.5, 0.5, 0},
        [WINDOW_HAMMING] = {25.0 / 46, 1 - 25.0 / 46, 0},
        [WINDOW_BLACKMAN] = {0.42, 0.5, 0.08},
    };
    const known *size = need_known(c, 0, "the size");
    tn_dtype dtype = onnx_data_type_dtype((int32_t)read_int(c, "output_datatype", ONNX_FLOAT));
    if (!size || size->n != 1 || !dtype_is_float(dtype)) {
        node_error(c, TN_ERR_UNSUPPORTED, "the type of the result is not a float");
        return;
    }
    bool is_periodic = read_int(c, "periodic", 1) != 0;
    tn_dim n = size->items[0], steps = is_periodic ? n : dim_add_const(node_dims(c), n, -1);
    tn_val at = iota_dims(c, TN_F64, 1, &n, 0), count = tn_convert(tn_dim_value(c->g, steps), TN_F64);
    tn_val x = tn_div(tn_mul_scalar(at, 6.283185307179586), count);
    const double *k = terms[c->variant];
    tn_val v = tn_sub(scalar_like(x, k[0]), tn_mul_scalar(tn_cos(x), k[1]));
    if (k[2] != 0) v = tn_add(v, tn_mul_scalar(tn_cos(tn_mul_scalar(x, 2)), k[2]));
    output(c, 0, tn_convert(v, dtype));
}

/* ---- Training's leftovers ------------------------------------------------------------------ */

/* Inference: the data as it is, and a mask that keeps all. */
void convert_dropout(conversion *c) {
    tn_val x = input(c, 0);
    if (!tn_is_valid(x)) return;
    const known *training = has_input(c, 2) ? need_known(c, 2, "training_mode") : NULL;
    int64_t is_training = 0;
    double ratio = 0.5;
    int n;
    if (training) known_number(c->im, training, 0, &is_training);
    if (is_training && has_input(c, 1) && !need_floats(c, 1, "the ratio", &ratio, 1, &n)) return;
    if (is_training && ratio != 0) {
        node_error(c, TN_ERR_UNSUPPORTED, "training_mode draws random numbers, which is not supported");
        return;
    }
    tn_type type = tn_type_of(x);
    output(c, 0, x);
    if (has_output(c, 1)) {
        tn_val kept = tn_scalar_int(c->g, c->version < 10 ? (tn_dtype)type.dtype : TN_BOOL, 1);
        output(c, 1, tn_broadcast_to(kept, type.rank, type.dims));
    }
}

/* Ops that are only known contents (shape_arith.c): the content could not be told. */
void convert_unknown(conversion *c) {
    if (tn_is_valid(input(c, 0)))
        node_error(c, TN_ERR_UNSUPPORTED, "the result depends on the values of tensors, not on their sizes alone");
}
