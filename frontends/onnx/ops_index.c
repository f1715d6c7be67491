/* Ops whose indices are data: Gather, Scatter and their kin. Negative indices count from the end. */
#include "frontends/onnx/import.h"
#include "frontends/onnx/ops.h"

#include <string.h>

/* ---- Indices ------------------------------------------------------------------------------- */

static bool check_index_dtype(conversion *c, tn_val indices) {
    if (!tn_is_valid(indices)) return false;
    tn_dtype dtype = dtype_of(indices);
    return dtype == TN_I32 || dtype == TN_I64 ||
           node_error(c, TN_ERR_DTYPE, "the indices are %s, not i32 or i64", tn_dtype_name(dtype));
}

/* Indices known to be non-negative need no care. */
static bool has_negative(conversion *c, int i) {
    const known *k = input_known(c, i);
    int64_t number;
    for (int64_t at = 0; k && at < k->n; at++)
        if (!known_number(c->im, k, at, &number) || number < 0) return true;
    return !k;
}

/* Indices of input i along an axis of that extent. */
static tn_val safe_indices(conversion *c, int i, tn_dim extent) {
    tn_val indices = input(c, i);
    return check_index_dtype(c, indices) && has_negative(c, i) ? wrap_indices(c, indices, extent) : indices;
}

/* ---- Gather -------------------------------------------------------------------------------- */

/* A scalar index that is a number: a view. */
static bool gather_view(conversion *c, tn_val x, int axis) {
    const known *k = input_known(c, 1);
    tn_dim extent = tn_type_of(x).dims[axis], at;
    int64_t number;
    if (!k || k->rank != 0 || !known_number(c->im, k, 0, &number)) return false;
    at = number < 0 ? dim_add_const(node_dims(c), extent, number) : number_dim(c, number);
    tn_val part = slice_axis(c, x, axis, at, dim_add_const(node_dims(c), at, 1));
    output(c, 0, tn_squeeze(part, TN_INTS(axis)));
    return true;
}

void convert_gather(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axis = read_int(c, "axis", 0);
    if (!tn_is_valid(x) || !check_axis(c, &axis, tn_rank(x)) || gather_view(c, x, (int)axis)) return;
    output(c, 0, tn_take(x, safe_indices(c, 1, tn_type_of(x).dims[axis]), (int)axis));
}

/* out[i][j] = x[i][index[i][j]]: all axes but one are walked in step. */
void convert_gather_elements(conversion *c) {
    tn_val x = input(c, 0);
    int64_t axis = read_int(c, "axis", 0), perm[TN_MAX_RANK];
    if (!tn_is_valid(x) || !check_axis(c, &axis, tn_rank(x))) return;
    int rank = tn_rank(x);
    tn_val at = safe_indices(c, 1, tn_type_of(x).dims[axis]);
    if (!tn_is_valid(at)) return;
    if (tn_rank(at) != rank || rank == TN_MAX_RANK) {
        node_error(c, TN_ERR_SHAPE, "the indices have rank %d, the data %d (at most %d)", tn_rank(at), rank,
                   TN_MAX_RANK - 1);
        return;
    }
    tn_type wanted = tn_type_of(at);
    for (int i = 0; i < rank; i++)
        if (i != axis) x = slice_axis(c, x, i, number_dim(c, 0), wanted.dims[i]);
    for (int i = 0, n = 0; i < rank; i++) perm[i] = i == rank - 1 ? axis : (n += n == axis, n++);
    tn_val v =
        tn_gather(tn_transpose(x, ints_of(perm, rank)),
                  tn_expand_dims(tn_transpose(at, ints_of(perm, rank)), TN_INTS(-1)), TN_INTS(rank - 1), rank - 1);
    int64_t back[TN_MAX_RANK];
    for (int i = 0; i < rank; i++) back[perm[i]] = i;
    output(c, 0, tn_transpose(v, ints_of(back, rank)));
}

/* Tuples of indices on the last axis, each wrapped by the extent of its own axis. */
static tn_val safe_tuples(conversion *c, int i, const tn_dim *extents, int64_t n) {
    tn_val indices = input(c, i), size[TN_MAX_RANK];
    if (!check_index_dtype(c, indices) || !has_negative(c, i)) return indices;
    for (int k = 0; k < n; k++) size[k] = tn_reshape(tn_dim_value(c->g, extents[k]), TN_SHAPE(TN_SIZE(1)));
    tn_val sizes = tn_convert(tn_concat(size, (int)n, 0), dtype_of(indices));
    return tn_select(tn_less(indices, scalar_like(indices, 0)), tn_add(indices, sizes), indices);
}

/* How many axes the tuples of input 1 index; they start at axis `first`. */
static bool tuple_length(conversion *c, tn_val x, int first, int64_t *n) {
    tn_val indices = input(c, 1);
    if (!tn_is_valid(x) || !tn_is_valid(indices)) return false;
    int rank = tn_rank(indices);
    if (rank == 0 || !is_static_dim(c, tn_type_of(indices).dims[rank - 1], n))
        return node_error(c, TN_ERR_SHAPE, "the last axis of the indices must have a fixed size");
    return (*n >= 1 && first + *n <= tn_rank(x)) ||
           node_error(c, TN_ERR_SHAPE, "the indices name %lld axes from axis %d on, the data has %d", (long long)*n,
                      first, tn_rank(x));
}

void convert_gather_nd(conversion *c) {
    tn_val x = input(c, 0);
    int64_t batch = read_int(c, "batch_dims", 0), n = 0, axes[TN_MAX_RANK];
    if (batch < 0 || batch > TN_MAX_RANK || !tuple_length(c, x, (int)batch, &n)) {
        node_error(c, TN_ERR_SHAPE, "batch_dims is %lld", (long long)batch);
        return;
    }
    tn_type type = tn_type_of(x);
    for (int i = 0; i < n; i++) axes[i] = batch + i;
    output(c, 0, tn_gather(x, safe_tuples(c, 1, type.dims + batch, n), ints_of(axes, (int)n), (int)batch));
}

/* ---- Scatter ------------------------------------------------------------------------------- */

static const char *read_combine(conversion *c) {
    static const char *const pairs[][2] = {
        {"none", "set"}, {"add", "add"}, {"mul", "mul"}, {"max", "max"}, {"min", "min"}};
    const char *reduction = read_text(c, "reduction", "none");
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (strcmp(pairs[i][0], reduction) == 0) return pairs[i][1];
    node_error(c, TN_ERR_UNSUPPORTED, "reduction is '%.40s'", reduction);
    return "set";
}

/* data[i][index[i][j]] = updates[i][j]: the other coordinates are those of the update. */
void convert_scatter_elements(conversion *c) {
    tn_val x = input(c, 0), updates = input(c, 2), parts[TN_MAX_RANK];
    int64_t axis = read_int(c, "axis", 0), axes[TN_MAX_RANK];
    const char *combine = read_combine(c);
    if (!tn_is_valid(x) || !check_axis(c, &axis, tn_rank(x))) return;
    int rank = tn_rank(x);
    tn_val at = safe_indices(c, 1, tn_type_of(x).dims[axis]);
    if (!tn_is_valid(at)) return;
    if (tn_rank(at) != rank || rank == TN_MAX_RANK) {
        node_error(c, TN_ERR_SHAPE, "the indices have rank %d, the data %d (at most %d)", tn_rank(at), rank,
                   TN_MAX_RANK - 1);
        return;
    }
    tn_type type = tn_type_of(at);
    for (int i = 0; i < rank; i++) {
        tn_val own = i == axis ? at : iota_dims(c, (tn_dtype)type.dtype, rank, type.dims, i);
        parts[i] = tn_expand_dims(own, TN_INTS(-1));
        axes[i] = i;
    }
    output(c, 0, tn_scatter(combine, x, tn_concat(parts, rank, rank), updates, ints_of(axes, rank), 0));
}

void convert_scatter_nd(conversion *c) {
    tn_val x = input(c, 0), updates = input(c, 2);
    int64_t n = 0, axes[TN_MAX_RANK];
    const char *combine = read_combine(c);
    if (!tuple_length(c, x, 0, &n)) return;
    tn_type type = tn_type_of(x);
    for (int i = 0; i < n; i++) axes[i] = i;
    output(c, 0, tn_scatter(combine, x, safe_tuples(c, 1, type.dims, n), updates, ints_of(axes, (int)n), 0));
}

/* ---- Others -------------------------------------------------------------------------------- */

/* Each sequence of the batch up to its own length from end to start. */
void convert_reverse_sequence(conversion *c) {
    tn_val x = input(c, 0), lengths = input(c, 1);
    int64_t time = read_int(c, "time_axis", 0), batch = read_int(c, "batch_axis", 1);
    if (!tn_is_valid(x) || !tn_is_valid(lengths) || !check_axis(c, &time, tn_rank(x)) ||
        !check_axis(c, &batch, tn_rank(x)))
        return;
    if (time == batch || time > 1 || batch > 1) {
        node_error(c, TN_ERR_SHAPE, "time_axis and batch_axis must be 0 and 1");
        return;
    }
    /* Batch first, time second. */
    int64_t swap[TN_MAX_RANK];
    for (int i = 0; i < TN_MAX_RANK; i++) swap[i] = i < 2 ? 1 - i : i;
    tn_ints perm = ints_of(swap, tn_rank(x));
    if (time == 0) x = tn_transpose(x, perm);
    tn_val at = iota_dims(c, TN_I64, 2, tn_type_of(x).dims, 1);
    tn_val length = tn_expand_dims(tn_convert(lengths, TN_I64), TN_INTS(1));
    tn_val mirrored = tn_sub(tn_sub_scalar(length, 1), at);
    tn_val from = tn_expand_dims(tn_select(tn_less(at, length), mirrored, at), TN_INTS(2));
    x = tn_gather(x, from, TN_INTS(1), 1);
    output(c, 0, time == 0 ? tn_transpose(x, perm) : x);
}

/* Elements along an axis where the condition, known now, is true. */
void convert_compress(conversion *c) {
    tn_val x = input(c, 0);
    int64_t numbers[KNOWN_MAX_ITEMS], *kept = numbers;
    int n, count = 0;
    if (!tn_is_valid(x) || !need_ints(c, 1, "the condition", numbers, KNOWN_MAX_ITEMS, &n)) return;
    int64_t axis = read_int(c, "axis", 0);
    if (!has_attribute(c, "axis")) {
        tn_type type = tn_type_of(x);
        tn_dim total = type_element_count(node_dims(c), &type);
        x = tn_reshape_dims(x, 1, &total);
    }
    if (!check_axis(c, &axis, tn_rank(x))) return;
    for (int i = 0; i < n; i++)
        if (numbers[i]) kept[count++] = i;
    tn_val at = tn_constant(c->g, TN_I64, TN_SHAPE(TN_SIZE(count)), kept);
    output(c, 0, tn_take(x, at, (int)axis));
}
