/* Samples of contractions, convolutions and indexing. */
#include "ir/dtype.h"
#include "ir/samples_shape.h"

/* ---- dot: axes with roles, in any order -------------------------------------------------------- */

enum { ROLE_BATCH = 0, ROLE_CONTRACT = 4, ROLE_FREE = 8 }; /* plus a number */

/* An operand with the axes of `roles`, shuffled; where each role's axis went is in `place`. */
static tn_val with_roles(sampler *s, tn_graph *g, const sample_shape *extents, int64_t *roles, int n, int64_t *place) {
    sample_shape shape = {.rank = n};
    sampler_shuffle(s, roles, n);
    for (int i = 0; i < n; i++) {
        shape.args[i] = extents->args[roles[i] & 7];
        shape.values[i] = extents->values[roles[i] & 7];
        if (roles[i] >= ROLE_FREE) {
            shape.args[i] = sampler_extent(s, sampler_chance(s, 10) ? 0 : 1, 9, &shape.values[i]);
            continue;
        }
        place[roles[i]] = i;
    }
    return sampler_input(s, g, s->dtype, &shape);
}

bool sample_dot(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    sample_shape extents = {0};
    int n_batch = sampler_chance(s, 50) ? (int)sampler_range(s, 1, 2) : 0;
    int n_contract = sampler_chance(s, 80) ? 1 : (int)sampler_range(s, 0, 2);
    for (int i = 0; i < 8; i++) {
        int64_t least = sampler_chance(s, 10) ? 0 : 1;
        extents.args[i] = sampler_extent(s, least,
                                         i < ROLE_CONTRACT       ? 3
                                         : sampler_chance(s, 20) ? 40
                                                                 : 8,
                                         &extents.values[i]);
    }
    tn_val x[2];
    int64_t place[2][ROLE_FREE] = {{0}}, batch[2][2], contract[2][2];
    for (int side = 0; side < 2; side++) {
        int64_t roles[TN_MAX_RANK];
        int n = 0;
        for (int i = 0; i < n_batch; i++) roles[n++] = ROLE_BATCH + i;
        for (int i = 0; i < n_contract; i++) roles[n++] = ROLE_CONTRACT + i;
        for (int64_t i = sampler_range(s, 0, 2); i > 0; i--) roles[n++] = ROLE_FREE + i;
        x[side] = with_roles(s, g, &extents, roles, n, place[side]);
        for (int i = 0; i < n_batch; i++) batch[side][i] = place[side][ROLE_BATCH + i];
        for (int i = 0; i < n_contract; i++) contract[side][i] = place[side][ROLE_CONTRACT + i];
    }
    return sampler_done(g, tn_dot(x[0], x[1], ((tn_ints){n_batch, batch[0]}), ((tn_ints){n_batch, batch[1]}),
                                  ((tn_ints){n_contract, contract[0]}), ((tn_ints){n_contract, contract[1]})));
}

/* NumPy's ranks: each operand of rank 1 to 4, batch axes dropped or of extent 1. */
bool sample_matmul(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    sample_shape batch = {0}, m = {0}, k = {0}, n = {0};
    int n_batch = (int)sampler_range(s, 0, 2);
    for (int i = 0; i < n_batch; i++) sampler_append(s, &batch, sampler_chance(s, 10) ? 0 : 1, 4);
    sampler_append(s, &m, 1, 20);
    sampler_append(s, &k, sampler_chance(s, 5) ? 0 : 1, 20);
    sampler_append(s, &n, 1, 20);
    tn_val x[2];
    for (int side = 0; side < 2; side++) {
        sample_shape shape = {0};
        int dropped = sampler_chance(s, 40) ? (int)sampler_range(s, 0, n_batch) : 0;
        bool is_vector = dropped == n_batch && sampler_chance(s, 20);
        for (int i = 0; i < n_batch; i++)
            if (i >= dropped) shape.args[shape.rank++] = sampler_chance(s, 20) ? TN_SIZE(1) : batch.args[i];
        if (side == 0 && !is_vector) shape.args[shape.rank++] = m.args[0];
        shape.args[shape.rank++] = k.args[0];
        if (side == 1 && !is_vector) shape.args[shape.rank++] = n.args[0];
        x[side] = sampler_input(s, g, s->dtype, &shape);
    }
    return sampler_done(g, tn_matmul(x[0], x[1]));
}

bool sample_attention(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    sample_shape q = {0}, k, v, mask = {0};
    for (int64_t i = sampler_range(s, 0, 2); i > 0; i--) sampler_append(s, &q, 1, 3);
    sampler_append(s, &q, 1, 6);
    k = q;
    int rows = q.rank - 1;
    /* At least as many columns as rows, so that a causal row sees something. */
    k.args[rows] = sampler_extent(s, q.values[rows], 8, &k.values[rows]);
    v = k;
    sampler_append(s, &q, 1, 8);
    k.args[k.rank++] = q.args[rows + 1];
    sampler_append(s, &v, 1, 8);
    tn_val x[3] = {sampler_input(s, g, s->dtype, &q), sampler_input(s, g, s->dtype, &k),
                   sampler_input(s, g, s->dtype, &v)};
    tn_val extra = {0};
    if (sampler_chance(s, 30)) {
        mask.args[mask.rank++] = sampler_chance(s, 50) ? TN_SIZE(1) : q.args[rows];
        mask.args[mask.rank++] = k.args[rows];
        extra = sampler_input(s, g, s->dtype, &mask);
    }
    return sampler_done(g,
                        tn_attention(x[0], x[1], x[2], extra, sampler_chance(s, 50) ? 0 : 0.5, sampler_chance(s, 50)));
}

/* ---- conv -------------------------------------------------------------------------------------- */

bool sample_conv(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    int spatial = (int)sampler_range(s, 0, 3);
    int64_t groups = sampler_chance(s, 30) ? sampler_range(s, 2, 3) : 1, per_group = sampler_range(s, 1, 4);
    int64_t stride[3], dilation[3], spread[3], low[3], high[3];
    sample_shape x = {0}, kernel = {0};
    sampler_append(s, &x, sampler_chance(s, 5) ? 0 : 1, 3);
    x.args[x.rank++] = TN_SIZE(groups * per_group);
    kernel.args[kernel.rank++] = TN_SIZE(groups * sampler_range(s, 1, 9));
    kernel.args[kernel.rank++] = TN_SIZE(per_group);
    for (int i = 0; i < spatial; i++) {
        sampler_append(s, &x, 1, spatial < 3 ? 12 : 5);
        int64_t taps = sampler_range(s, 1, 3), extent;
        stride[i] = sampler_range(s, 1, 2);
        dilation[i] = sampler_chance(s, 20) ? 2 : 1;
        spread[i] = sampler_chance(s, 15) ? 2 : 1;
        low[i] = sampler_range(s, 0, 2);
        high[i] = sampler_range(s, 0, 2);
        extent = (x.values[x.rank - 1] - 1) * spread[i] + 1;
        if ((taps - 1) * dilation[i] + 1 > extent + low[i] + high[i]) taps = 1;
        if (sampler_chance(s, 5) && extent + high[i] > (taps - 1) * dilation[i] + 1) low[i] = -1;
        kernel.args[kernel.rank++] = TN_SIZE(taps);
    }
    tn_val values[] = {sampler_input(s, g, s->dtype, &x), sampler_input(s, g, s->dtype, &kernel)};
    return sampler_done(g, tn_conv(values[0], values[1], .stride = {spatial, stride}, .dilation = {spatial, dilation},
                                   .input_dilation = {spatial, spread}, .low = {spatial, low}, .high = {spatial, high},
                                   .groups = groups));
}

/* Few channels: exact samples stay exact in f32 through matrices with entries up to 8. */
bool sample_winograd(sampler *s, tn_graph *g, tn_op op) {
    int64_t tile = sampler_chance(s, 50) ? 2 : 4, side = tile + 2, features = sampler_range(s, 1, 20), panel = 16,
            group = 1;
    int64_t low[2], high[2];
    if (s->dtype != TN_F32) return sampler_refuse(g, op, s);
    if (sampler_chance(s, 20)) panel = sampler_range(s, 1, 9);
    if (sampler_chance(s, 20)) group = sampler_range(s, 2, 3);
    sample_shape x = {0}, u = {.rank = 6};
    sampler_append(s, &x, sampler_chance(s, 5) ? 0 : 1, 3);
    x.args[x.rank++] = TN_SIZE(sampler_range(s, 1, 5));
    for (int i = 0; i < 2; i++) {
        int64_t extent = sampler_range(s, 1, sampler_chance(s, 20) ? 40 : 12);
        low[i] = sampler_range(s, 0, 2);
        high[i] = sampler_range(s, 0, 2);
        if (extent + low[i] + high[i] < 3) extent = 3;
        x.args[x.rank++] = TN_SIZE(extent);
    }
    u.args[0] = TN_SIZE((features + group * panel - 1) / (group * panel));
    u.args[1] = u.args[2] = TN_SIZE(side);
    u.args[3] = TN_SIZE(group);
    u.args[4] = x.args[1];
    u.args[5] = TN_SIZE(panel);
    tn_val values[] = {sampler_input(s, g, s->dtype, &x), sampler_input(s, g, s->dtype, &u)};
    tn_attr_arg attrs[] = {{.name = "tile", .i = tile},
                           {.name = "features", .i = features},
                           {.name = "low", .ints = low, .n = 2},
                           {.name = "high", .ints = high, .n = 2},
                           {0}};
    return sampler_done(g, tn_apply(TN_HERE, g, op, values, 2, attrs));
}

bool sample_winograd_kernel(sampler *s, tn_graph *g, tn_op op) {
    if (s->dtype != TN_F32) return sampler_refuse(g, op, s);
    sample_shape matrix = {.rank = 2}, kernel = {0};
    matrix.args[0] = TN_SIZE(sampler_chance(s, 50) ? 4 : 6);
    matrix.args[1] = TN_SIZE(3);
    sampler_append(s, &kernel, sampler_chance(s, 5) ? 0 : 1, 3);
    kernel.args[kernel.rank++] = TN_SIZE(3);
    kernel.args[kernel.rank++] = TN_SIZE(3);
    for (int i = 0; i < 3; i++) sampler_append(s, &kernel, 1, i < 2 ? 4 : 20);
    tn_val values[] = {sampler_input(s, g, s->dtype, &matrix), sampler_input(s, g, s->dtype, &kernel)};
    return sampler_done(g, tn_apply(TN_HERE, g, op, values, 2, NULL));
}

/* Few images and places for tiles, whose matrices have entries up to 8: exact samples stay exact in f32. */
bool sample_conv_weights(sampler *s, tn_graph *g, tn_op op) {
    if (!dtype_in(DTYPES_FLOAT, s->dtype)) return sampler_refuse(g, op, s);
    bool is_tiled = s->dtype == TN_F32 && sampler_chance(s, 40);
    int spatial = is_tiled ? 2 : (int)sampler_range(s, 1, 2);
    int64_t window[2], stride[2], dilation[2], low[2],
        groups = !is_tiled && sampler_chance(s, 30) ? sampler_range(s, 2, 20) : 1, most = groups > 1 ? 3 : 6;
    sample_shape x = {0}, dy = {0};
    sampler_append(s, &x, sampler_chance(s, 5) ? 0 : 1, 3);
    dy = x;
    x.args[x.rank++] = TN_SIZE(groups * sampler_range(s, 1, sampler_chance(s, 20) ? 40 / groups : most));
    dy.args[dy.rank++] = TN_SIZE(groups * sampler_range(s, 1, sampler_chance(s, 20) ? 40 / groups : most));
    for (int i = 0; i < spatial; i++) {
        window[i] = is_tiled ? 3 : sampler_range(s, 1, 4);
        stride[i] = is_tiled ? 1 : sampler_range(s, 1, 2);
        dilation[i] = !is_tiled && sampler_chance(s, 20) ? 2 : 1;
        low[i] = sampler_range(s, -1, 2);
        dy.args[dy.rank++] = TN_SIZE(sampler_range(s, 1, 9));
        x.args[x.rank++] = TN_SIZE(sampler_range(s, 1, 12));
    }
    tn_val values[] = {sampler_input(s, g, s->dtype, &x), sampler_input(s, g, s->dtype, &dy)};
    tn_attr_arg attrs[] = {{.name = "window", .ints = window, .n = (size_t)spatial},
                           {.name = "stride", .ints = stride, .n = (size_t)spatial},
                           {.name = "low", .ints = low, .n = (size_t)spatial},
                           {.name = "dilation", .ints = dilation, .n = (size_t)spatial},
                           {0},
                           {0}};
    if (is_tiled) attrs[4] = (tn_attr_arg){.name = "tile", .i = 4};
    if (groups > 1) attrs[4] = (tn_attr_arg){.name = "groups", .i = groups};
    return sampler_done(g, tn_apply(TN_HERE, g, op, values, 2, attrs));
}

/* ---- Indexing ---------------------------------------------------------------------------------- */

/* data and indices for gather: some axes indexed (never empty ones), some shared at the start. */
typedef struct drawn_gather {
    tn_val data, indices;
    int64_t axes[TN_MAX_RANK];
    int n_axes, batch_dims;
} drawn_gather;

static void draw_gather(sampler *s, tn_graph *g, drawn_gather *d) {
    sample_shape data = {0}, indices = {0};
    for (int64_t i = sampler_range(s, 1, 3); i > 0; i--) sampler_append(s, &data, 1, 6);
    d->batch_dims = data.rank > 1 && sampler_chance(s, 30) ? 1 : 0;
    d->n_axes = 0;
    for (int i = d->batch_dims; i < data.rank; i++)
        if (sampler_chance(s, 50)) d->axes[d->n_axes++] = i;
    sampler_shuffle(s, d->axes, d->n_axes);
    if (d->batch_dims > 0) indices.args[indices.rank++] = data.args[0];
    for (int64_t i = sampler_range(s, 0, 2); i > 0; i--) sampler_append(s, &indices, sampler_chance(s, 5) ? 0 : 1, 5);
    indices.args[indices.rank++] = TN_SIZE(d->n_axes);
    d->data = sampler_input(s, g, s->dtype, &data);
    d->indices = sampler_input(s, g, sampler_chance(s, 50) ? TN_I32 : TN_I64, &indices);
}

bool sample_gather(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    drawn_gather d;
    draw_gather(s, g, &d);
    return sampler_done(g, tn_gather(d.data, d.indices, ((tn_ints){d.n_axes, d.axes}), d.batch_dims));
}

bool sample_scatter(sampler *s, tn_graph *g, tn_op op) {
    (void)op;
    drawn_gather d;
    draw_gather(s, g, &d);
    tn_ints axes = {d.n_axes, d.axes};
    /* The updates' shape: batch axes and the other axes of the indices, then those of the data. */
    tn_type data = tn_type_of(d.data), updates = tn_type_of(d.indices);
    updates.rank--;
    for (int i = d.batch_dims; i < data.rank; i++) {
        bool is_indexed = false;
        for (int k = 0; k < d.n_axes; k++) is_indexed |= d.axes[k] == i;
        if (!is_indexed) updates.dims[updates.rank++] = data.dims[i];
    }
    sample_shape shape = {.rank = updates.rank};
    for (int i = 0; i < updates.rank; i++) {
        const char *name = dim_symbol_name(g->module->dims, updates.dims[i]);
        shape.args[i] = name ? TN_DIM(name) : TN_SIZE(sampler_value(s, g, updates.dims[i]));
    }
    int64_t combine = sampler_range(s, 0, 4);
    bool counts = combine == COMBINE_ADD || combine == COMBINE_MUL;
    if (s->dtype == TN_BOOL && counts) combine = COMBINE_SET;
    return sampler_done(g, tn_scatter(attr_option(ATTR_combine, combine), d.data, d.indices,
                                      sampler_input(s, g, s->dtype, &shape), axes, d.batch_dims));
}

/* data, then an update or sizes, then a start for each axis. */
static bool dynamic(sampler *s, tn_graph *g, tn_op op, bool updates) {
    sample_shape data = sampler_shape(s, 0, 3, 0), part = {.rank = data.rank}, scalar = {0};
    tn_val operands[2 + TN_MAX_RANK];
    int n = 0;
    operands[n++] = sampler_input(s, g, s->dtype, &data);
    int64_t sizes[TN_MAX_RANK];
    for (int i = 0; i < data.rank; i++) {
        sizes[i] = sampler_range(s, 0, data.values[i]);
        part.args[i] = TN_SIZE(sizes[i]);
    }
    if (updates) operands[n++] = sampler_input(s, g, s->dtype, &part);
    for (int i = 0; i < data.rank; i++) operands[n++] = sampler_input(s, g, TN_I64, &scalar);
    tn_attr_arg attrs[] = {{.name = "sizes", .ints = sizes, .n = data.rank}, {0}};
    return sampler_done(g, tn_apply(TN_HERE, g, op, operands, n, updates ? NULL : attrs));
}

bool sample_dynamic_slice(sampler *s, tn_graph *g, tn_op op) { return dynamic(s, g, op, false); }
bool sample_dynamic_update_slice(sampler *s, tn_graph *g, tn_op op) { return dynamic(s, g, op, true); }
