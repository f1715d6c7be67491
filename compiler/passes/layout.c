/* Layout: weights lie as the kernels read them that multiply by them.
 *
 * in:  functions of primitives; how wide the kernel's panels would be (pass_options.panel_columns)
 * out: where the second operand w of a `dot` or `conv` is known at load time and better read in panels, it
 *      is read from [panels, k, columns], k-major, the last one filled up with zeros. A convolution's k is all
 *      that it sums over, its columns are the output channels:
 *        packed = barrier(transpose(reshape(pad(w as [k, n]))))      moves to main (lift), to `prepare` (hoist);
 *                 of large ones the last panel by itself, and a concat
 *        w      = views of packed                                    fold into the kernel's indices
 *      Where w is converted from a narrow weight (quantise.c), the panels are narrow and the conversion comes
 *      behind the barrier as before
 * law: w's elements are what they were; the barrier keeps the views on both sides from cancelling
 *
 * Classes contract and conv see through the views that an operand lies in panels (loops/pack.c), and so does
 * whoever reads a dump: what is packed, and how, is in the graph.
 */
#include "compiler/passes/passes.h"
#include "ir/build.h"
#include "ir/dim_poly.h"
#include "runtime/fault.h"

enum { LEAST_COLUMNS = 8, LEAST_ELEMENTS = 1024, LEAST_APART = 1 << 18 };

/* The weight as a matrix: axes that are summed over in the dot's order, then the others. */
typedef struct weight_form {
    int64_t perm[TN_MAX_RANK], inverse[TN_MAX_RANK];
    tn_dim ordered[TN_MAX_RANK]; /* extents in that order */
    weight_use use;
    int64_t width;   /* of a panel */
    value_id stored; /* what is packed: the weight, or, without its barrier, what it is converted from */
} weight_form;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int64_t known_product(const dim_table *t, const tn_dim *dims, int n) {
    int64_t product = 1, extent;
    for (int i = 0; i < n; i++)
        if (!dim_is_const(t, dims[i], &extent) || !int_mul(product, extent, &product)) return -1;
    return product;
}

/* `summed`: axes of the weight that are summed over, in that order. */
static void read_weight(const tn_graph *g, value_id v, const int64_t *summed, int n, weight_form *w) {
    const tn_type *type = graph_type(g, v);
    const dim_table *t = g->module->dims;
    int at = n;
    uint32_t is_summed = 0;
    for (int i = 0; i < n; i++) {
        w->perm[i] = summed[i];
        is_summed |= 1u << summed[i];
    }
    for (int i = 0; i < type->rank; i++)
        if (!(is_summed >> i & 1)) w->perm[at++] = i;
    for (int i = 0; i < type->rank; i++) {
        w->inverse[w->perm[i]] = i;
        w->ordered[i] = type->dims[w->perm[i]];
    }
    w->use.dtype = (tn_dtype)type->dtype;
    w->use.depth = known_product(t, w->ordered, n);
    w->use.columns = known_product(t, w->ordered + n, type->rank - n);
}

/* ---- Whose weights are packed ---- */

/* Rows of the first operand: what is neither summed over nor known. */
static bool read_dot(const tn_graph *g, const node *n, weight_form *w) {
    const attr *batch = attr_find(&n->attrs, ATTR_batch), *contract = attr_find(&n->attrs, ATTR_contract);
    const tn_type *rows = graph_type(g, n->operands[0]);
    int n_summed = contract ? (int)contract->split : 0, n_others = 0;
    tn_dim others[TN_MAX_RANK];
    if (batch && batch->split > 0) return false;
    read_weight(g, n->operands[1], contract ? contract->ints.items + n_summed : NULL, n_summed, w);
    for (int i = 0; i < rows->rank; i++) {
        bool is_summed = false;
        for (int k = 0; k < n_summed; k++) is_summed |= contract->ints.items[k] == i;
        if (!is_summed) others[n_others++] = rows->dims[i];
    }
    w->use.rows = known_product(g->module->dims, others, n_others);
    return true;
}

/* One tap, stride 1, no padding. */
static bool is_pointwise(const tn_graph *g, const node *n) {
    const tn_type *input = graph_type(g, n->operands[0]), *kernel = graph_type(g, n->operands[1]),
                  *result = graph_type(g, n->first_result);
    for (int i = 2; i < input->rank; i++)
        if (!dim_is_value(g->module->dims, kernel->dims[i], 1) || input->dims[i] != result->dims[i]) return false;
    return true;
}

/* Rows are all positions of a plane, or with several taps, those of a row of the result. */
static bool read_conv(const tn_graph *g, const node *n, weight_form *w) {
    static const int64_t summed[TN_MAX_RANK] = {1, 2, 3, 4, 5, 6, 7};
    const tn_type *result = graph_type(g, n->first_result), *input = graph_type(g, n->operands[0]);
    int spatial = result->rank - 2;
    if (attr_int(&n->attrs, ATTR_groups, 1) > 1 || !attr_at_most(&n->attrs, ATTR_input_dilation, 1)) return false;
    read_weight(g, n->operands[1], summed, result->rank - 1, w);
    const dim_table *t = g->module->dims;
    int64_t positions = known_product(t, result->dims + 2, spatial);
    w->use.is_conv = true;
    w->use.is_pointwise = is_pointwise(g, n);
    w->use.rows = positions;
    if (positions <= 0 || known_product(t, graph_type(g, n->operands[1])->dims + 2, spatial) == 1) return positions > 0;
    w->use.rows = known_product(t, result->dims + 1 + spatial, 1);
    w->use.lines = positions / w->use.rows;
    return spatial <= 2 && known_product(t, input->dims + 2, spatial) > 0;
}

static bool suits(const load_time_visit *s, const tn_graph *g, const node *n, weight_form *w) {
    bool (*read)(const tn_graph *, const node *, weight_form *) = n->op == TN_OP_dot    ? read_dot
                                                                  : n->op == TN_OP_conv ? read_conv
                                                                                        : NULL;
    if (!read || s->what.known[n - g->nodes] || !s->what.known[g->values[n->operands[1]].node]) return false;
    tn_dtype dtype = (tn_dtype)graph_type(g, n->operands[1])->dtype;
    if ((dtype != TN_F32 && dtype != TN_F64) || attr_int(&n->attrs, ATTR_acc, dtype) != (int64_t)dtype) return false;
    *w = (weight_form){0};
    if (!read(g, n, w) || w->use.columns < LEAST_COLUMNS || w->use.depth < 1 ||
        w->use.depth < LEAST_ELEMENTS / w->use.columns)
        return false;
    w->width = s->options->panel_columns(s->options->panel_ctx, &w->use);
    if (w->width <= 0) return false;
    value_id narrow = narrow_weight(g, n->operands[1]);
    w->stored = narrow == VALUE_NONE ? n->operands[1] : graph_node_of(g, narrow)->operands[0];
    double elements = (double)ceil_div(w->use.columns, w->width) * (double)w->width * (double)w->use.depth;
    return load_time_accepts(s->options, elements * tn_dtype_bits(dtype) / 8,
                             s->what.origin[g->values[n->operands[1]].node]);
}

/* ---- Packing ---- */

static tn_val apply_perm(build *b, tn_val v, const int64_t *perm, int rank) {
    attr a = build_ints(ATTR_perm, perm, rank);
    return build_apply(b, TN_OP_transpose, &v, 1, &a, 1);
}

static tn_val reshape_to(build *b, tn_val v, int rank, const int64_t *extents) {
    tn_dim dims[3];
    for (int i = 0; i < rank; i++) dims[i] = dim_const(build_dims(b), extents[i]);
    return build_reshape(b, v, rank, dims);
}

static const int64_t panels_first[] = {1, 0, 2}; /* and back */

/* Whole panels of [k, n] from column `first` on, the last one filled up. */
static tn_val panels_of(build *b, tn_val v, const weight_form *w, int64_t first, int64_t end) {
    int64_t panels = ceil_div(end - first, w->width), missing = panels * w->width - (end - first);
    if (end - first < w->use.columns) v = tn_slice_at(TN_HERE, v, 1, first, end, 1);
    if (missing) v = tn_pad_at(TN_HERE, v, 0, TN_INTS(0, 0), TN_INTS(0, missing));
    v = reshape_to(b, v, 3, (int64_t[]){w->use.depth, panels, w->width});
    return apply_perm(b, v, panels_first, 3);
}

/* Filling up makes a copy first: of large weights only the last panel is, and goes where the others end. */
static tn_val pack(build *b, tn_val v, const weight_form *w) {
    int64_t columns = w->use.columns, whole = columns / w->width * w->width;
    v = apply_perm(b, v, w->perm, build_type(v)->rank);
    v = reshape_to(b, v, 2, (int64_t[]){w->use.depth, columns});
    if (whole == columns || whole * w->use.depth < LEAST_APART)
        v = panels_of(b, v, w, 0, columns);
    else
        v = tn_concat_at(TN_HERE, (tn_val[]){panels_of(b, v, w, 0, whole), panels_of(b, v, w, whole, columns)}, 2, 0);
    return build_apply(b, TN_OP_barrier, &v, 1, NULL, 0);
}

static tn_val unpack(build *b, tn_val v, const weight_form *w, int64_t panels, int rank) {
    v = apply_perm(b, v, panels_first, 3);
    v = reshape_to(b, v, 2, (int64_t[]){w->use.depth, panels * w->width});
    int64_t filling = panels * w->width - w->use.columns, first = FAULT(last_panel) ? filling : 0;
    if (filling > 0) v = tn_slice_at(TN_HERE, v, 1, first, first + w->use.columns, 1);
    v = build_reshape(b, v, rank, w->ordered);
    return apply_perm(b, v, w->inverse, rank);
}

static bool lay_out(void *ctx, tn_graph *to, const tn_graph *from, const node *n, value_id *map) {
    weight_form w;
    build b;
    if (!suits(ctx, from, n, &w)) return graph_copy_node(to, from, n, map);
    tn_val operands[2] = {{to, map[n->operands[0]]}, {to, map[w.stored]}};
    int rank = graph_type(from, n->operands[1])->rank;
    int64_t panels = ceil_div(w.use.columns, w.width);
    if (!build_open(&b, TN_HERE, "layout", to, operands, 2)) return false;
    tn_val packed = tn_convert_at(TN_HERE, pack(&b, operands[1], &w), w.use.dtype);
    operands[1] = unpack(&b, packed, &w, panels, rank);
    tn_val product = build_apply(&b, (tn_op)n->op, operands, 2, n->attrs.items, n->attrs.n);
    map[n->first_result] = product.id;
    return tn_is_valid(product);
}

bool pass_layout(tn_module *m, const pass_options *o) {
    if (!o->panel_columns || o->calls_blas || module_find(m, "prepare")) return true;
    return load_time_rebuild(m, o, lay_out);
}
