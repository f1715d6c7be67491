/* Class map: every element of the results computed on its own.
 *
 * in:  a fused function whose values can all be computed at an index (access.h), its results
 *      of one shape
 * out: one stage of rows, each a vector loop over the merged trailing axes; a concat at the
 *      root becomes one stage for each operand, so that nothing is chosen element by element
 *
 * Merging more axes makes longer vectors, but an operand that is broadcast or transposed
 * along them is then read lane by lane: all ways are tried, the one with the fewest such
 * reads is kept, of equal ones the longest.
 */
#include "compiler/loops/classes.h"

enum { CHUNK_ELEMENTS = 16384 };

bool map_takes(const tn_graph *fused)
{
    for (size_t i = 0; i < fused->n_nodes; i++) {
        tn_op op = (tn_op)fused->nodes[i].op;
        loop_class c = op_table[op].loop_class;
        if (c == CLASS_CUMULATE || c == CLASS_SORT || c == CLASS_CONTROL || c == CLASS_EFFECT || c == CLASS_COMPOSITE ||
            op == TN_OP_scatter)
            return false;
    }
    const tn_dim *dims = NULL;
    for (size_t r = 0; r < fused->n_results; r++) {
        const tn_type *type = graph_type(fused, fused->results[r].value);
        for (int i = 0; dims && i < type->rank; i++)
            if (type->rank != graph_type(fused, fused->results[0].value)->rank || type->dims[i] != dims[i])
                return false;
        dims = type->dims;
    }
    return fused->n_results > 0;
}

/* A part of the results: for one value, or for all results of the function, the same index. */
typedef struct piece {
    value_id value;  /* VALUE_NONE: results[r].value for each r */
    tn_type type;
    int axis;        /* index of the result = index of the piece, `offset` further along axis */
    tn_dim offset;
} piece;

static void store_piece(access *a, const piece *p, const tn_dim *index)
{
    tn_dim at[TN_MAX_RANK];
    for (int i = 0; i < p->type.rank; i++)
        at[i] = i == p->axis ? dim_add(a->fused->module->dims, index[i], p->offset) : index[i];
    for (uint32_t r = 0; r < a->fused->n_results; r++) {
        value_id v = p->value == VALUE_NONE ? a->fused->results[r].value : p->value;
        access_store_result(a, r, at, access_value(a, v, index));
    }
}

/* Rows that make a chunk of about CHUNK_ELEMENTS. */
static int64_t row_grain(dim_table *t, tn_dim inner)
{
    int64_t elements;
    if (!dim_is_const(t, inner, &elements) || elements < 1)
        elements = 256;
    return elements >= CHUNK_ELEMENTS ? 1 : CHUNK_ELEMENTS / elements;
}

static void lower_piece(access *a, const piece *p, int merged)
{
    dim_table *t = a->fused->module->dims;
    int rank = p->type.rank, outer = rank - merged;
    const tn_dim *dims = p->type.dims;
    tn_dim inner = dim_product(t, dims + outer, merged), index[TN_MAX_RANK];
    uint32_t width = lower_lanes_for(a->fused, a->b.machine, inner);
    access_loop rows = {0}, lanes;
    if (outer == 0) {
        tn_dim chunk = access_open_stage(a, dim_ceildiv(t, inner, dim_const(t, CHUNK_ELEMENTS)));
        tn_dim begin = dim_mul_const(t, chunk, CHUNK_ELEMENTS);
        lanes = access_open_loop(a, LT_VECTOR, begin, dim_min(t, dim_add_const(t, begin, CHUNK_ELEMENTS), inner), width, 0);
        a->ranges[a->n_ranges - 1] = (dim_range){access_counter(&lanes), dim_const(t, 0), dim_add_const(t, inner, -1)};
    } else {
        tn_dim row = access_open_rows(a, dim_product(t, dims, outer), row_grain(t, inner), &rows);
        access_unravel(a, row, outer, dims, index);
        lanes = access_open_loop(a, LT_VECTOR, dim_const(t, 0), inner, width, 0);
    }
    access_unravel(a, access_counter(&lanes), merged, dims + outer, index + outer);
    store_piece(a, p, index);
    access_close_loop(a, &lanes);
    if (outer > 0)
        access_close_loop(a, &rows);
}

static void lower_scalar(access *a, const piece *p)
{
    access_open_stage(a, dim_const(a->fused->module->dims, 1));
    store_piece(a, p, ACCESS_NO_INDEX);
}

static lt_kernel *lower_merged(tn_graph *fused, const machine *m, int merged)
{
    access a;
    if (!access_open(&a, fused, "map", m))
        return access_close(&a);
    const node *root = graph_node_of(fused, fused->results[0].value);
    bool in_parts = fused->n_results == 1 && root->op == TN_OP_concat;
    piece p = {.value = VALUE_NONE, .type = *graph_type(fused, fused->results[0].value), .axis = -1};
    if (in_parts) {
        p.axis = (int)attr_int(&root->attrs, ATTR_axis, 0);
        p.offset = dim_const(fused->module->dims, 0);
    }
    for (uint32_t i = 0; i < (in_parts ? root->n_operands : 1); i++) {
        if (in_parts) {
            p.value = root->operands[i];
            p.type = *graph_type(fused, p.value);
        }
        if (merged == 0)
            lower_scalar(&a, &p);
        else
            lower_piece(&a, &p, merged);
        if (in_parts)
            p.offset = dim_add(fused->module->dims, p.offset, p.type.dims[p.axis]);
    }
    return access_close(&a);
}

lt_kernel *map_lower(tn_graph *fused, const machine *m)
{
    int rank = graph_type(fused, fused->results[0].value)->rank;
    lt_kernel *best = lower_merged(fused, m, rank);
    uint32_t fewest = best ? lower_scattered(best) : 0;
    for (int merged = rank - 1; merged > 0 && best && fewest > 0; merged--) {
        lt_kernel *k = lower_merged(fused, m, merged);
        if (!k)
            return NULL;
        uint32_t scattered = lower_scattered(k);
        if (scattered < fewest) {
            best = k;
            fewest = scattered;
        }
    }
    return best;
}
