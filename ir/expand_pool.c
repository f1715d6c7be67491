/* Decompositions of pooling into windows over all axes. */
#include "ir/columns.h"
#include "ir/expand.h"

enum { MOST_ATTRS = 6 };

/* The pooling's attributes with entries for `leading` axes put before the spatial ones. */
typedef struct window_attrs {
    int64_t ints[3][TN_MAX_RANK];
    tn_dim dims[2][TN_MAX_RANK];
    tn_attr_arg args[MOST_ATTRS + 1];
} window_attrs;

static const struct {
    attr_name name;
    const char *text;
} int_rows[] = {{ATTR_window, "window"}, {ATTR_stride, "stride"}, {ATTR_dilation, "dilation"}},
  dim_rows[] = {{ATTR_low, "low"}, {ATTR_high, "high"}};

static void fill(window_attrs *w, tn_graph *g, const attr_list *attrs, const char *kind, int leading, int spatial) {
    int rank = leading + spatial, n = 0;
    for (int r = 0; r < 3; r++) {
        const attr *given = attr_find(attrs, int_rows[r].name);
        if (!given) continue;
        for (int i = 0; i < rank; i++) w->ints[r][i] = i < leading ? 1 : given->ints.items[i - leading];
        w->args[n++] = (tn_attr_arg){.name = int_rows[r].text, .ints = w->ints[r], .n = rank};
    }
    for (int r = 0; r < 2; r++) {
        const attr *given = attr_find(attrs, dim_rows[r].name);
        if (!given) continue;
        for (int i = 0; i < rank; i++)
            w->dims[r][i] = i < leading ? dim_const(g->module->dims, 0) : given->dims.items[i - leading];
        w->args[n++] = (tn_attr_arg){.name = dim_rows[r].text, .dims = w->dims[r], .n = rank};
    }
    w->args[n++] = (tn_attr_arg){.name = "kind", .text = kind};
    w->args[n] = (tn_attr_arg){0};
}

static tn_val window(tn_val x, const attr_list *attrs, const char *kind, int leading, int spatial) {
    window_attrs w;
    fill(&w, x.graph, attrs, kind, leading, spatial);
    return tn_apply(TN_HERE, x.graph, TN_OP_window, &x, 1, w.args);
}

bool expand_max_pool(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    (void)g, (void)n;
    return expand_done(window(x[0], attrs, "max", 2, tn_rank(x[0]) - 2), results);
}

static bool is_padded(const tn_graph *g, const attr_list *attrs) {
    for (int r = 0; r < 2; r++) {
        const attr *given = attr_find(attrs, dim_rows[r].name);
        for (uint32_t i = 0; given && i < given->dims.n; i++)
            if (!dim_is_value(g->module->dims, given->dims.items[i], 0)) return true;
    }
    return false;
}

/* How many elements each window covers: a number when padding counts or there is none, else a
 * window over ones in the spatial shape. */
static tn_val covered(tn_val x, const attr_list *attrs) {
    tn_graph *g = x.graph;
    tn_type type = tn_type_of(x);
    int spatial = type.rank - 2;
    if (spatial > 0 && !attr_int(attrs, ATTR_count_padding, 0) && is_padded(g, attrs)) {
        tn_val ones = tn_broadcast_to(tn_scalar(g, (tn_dtype)type.dtype, 1), spatial, type.dims + 2);
        return window(ones, attrs, "sum", 0, spatial);
    }
    double count = 1;
    const attr *extents = attr_find(attrs, ATTR_window);
    for (uint32_t i = 0; i < extents->ints.n; i++) count *= (double)extents->ints.items[i];
    return tn_scalar(g, (tn_dtype)type.dtype, count);
}

bool expand_avg_pool(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    (void)g, (void)n;
    tn_val wide = expand_widen(x[0]);
    tn_val sum = window(wide, attrs, "sum", 2, tn_rank(wide) - 2);
    tn_val y = tn_div(sum, covered(wide, attrs));
    return expand_done(expand_narrow(y, (tn_dtype)tn_type_of(x[0]).dtype), results);
}

bool expand_global_avg_pool(tn_graph *g, const tn_val *x, uint32_t n, const attr_list *attrs, tn_val *results) {
    (void)g, (void)n, (void)attrs;
    int64_t axes[TN_MAX_RANK];
    tn_val wide = expand_widen(x[0]);
    int n_axes = expand_axes_from(wide, 2, axes);
    tn_val mean = expand_average(wide, axes, n_axes, false);
    if (n_axes > 0) mean = tn_expand_dims(mean, ((tn_ints){n_axes, axes}));
    return expand_done(expand_narrow(mean, (tn_dtype)tn_type_of(x[0]).dtype), results);
}
