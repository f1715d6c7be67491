/* Class map: every element of the results computed on its own.
 *
 * in:  a fused function whose values can all be computed at an index (access.h), its results
 *      of one shape
 * out: one stage of rows, each a vector loop over the merged trailing axes; a concat at the
 *      root becomes one stage for each operand, so that nothing is chosen element by element
 *
 * Merging more axes makes longer vectors, but an operand that is broadcast or transposed
 * along them is then read lane by lane: all ways are tried, the one in which such reads cost
 * least is kept, of equal ones the longest. Where such reads remain, ways of class_map_turned.c are tried too.
 */
#include "compiler/loops/class_map.h"

/* BLOCK_ROWS elements of a line of cache are used before BLOCK_COLUMNS lines are left. */
enum { CHUNK_ELEMENTS = 16384, BLOCK_ROWS = 32, BLOCK_COLUMNS = 256 };

bool map_takes(const tn_graph *fused) {
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
    value_id value; /* VALUE_NONE: results[r].value for each r */
    tn_type type;
    int axis; /* index of the result = index of the piece, `offset` further along axis */
    tn_dim offset;
} piece;

static void store_piece(access *a, const piece *p, const tn_dim *index) {
    tn_dim at[TN_MAX_RANK];
    for (int i = 0; i < p->type.rank; i++)
        at[i] = i == p->axis ? dim_add(a->fused->module->dims, index[i], p->offset) : index[i];
    for (uint32_t r = 0; r < a->fused->n_results; r++) {
        value_id v = p->value == VALUE_NONE ? a->fused->results[r].value : p->value;
        access_store_result(a, r, at, access_value(a, v, index));
    }
}

/* Rows that make a chunk of about CHUNK_ELEMENTS. */
static int64_t row_grain(dim_table *t, tn_dim inner) {
    int64_t elements;
    if (!dim_is_const(t, inner, &elements) || elements < 1) elements = 256;
    return elements >= CHUNK_ELEMENTS ? 1 : CHUNK_ELEMENTS / elements;
}

/* One stage over all elements, as one vector loop. */
static void lower_flat(access *a, const piece *p) {
    dim_table *t = a->fused->module->dims;
    tn_dim total = dim_product(t, p->type.dims, p->type.rank), index[TN_MAX_RANK];
    tn_dim chunk = access_open_stage(a, dim_ceildiv(t, total, dim_const(t, CHUNK_ELEMENTS)));
    tn_dim begin = dim_mul_const(t, chunk, CHUNK_ELEMENTS),
           end = dim_min(t, dim_add_const(t, begin, CHUNK_ELEMENTS), total);
    access_loop lanes = access_open_loop(a, LT_VECTOR, begin, end, lower_lanes_for(a->fused, a->b.machine, total), 0);
    access_know_range(a, access_counter(&lanes), total);
    access_unravel(a, access_counter(&lanes), p->type.rank, p->type.dims, index);
    store_piece(a, p, index);
    access_close_loop(a, &lanes);
}

/* Rows of the leading axes, each a vector loop over the merged trailing ones. With `blocked`
 * the rows of a chunk are gone through a block of columns at a time, so that the lines that
 * strided reads touch are used by the next rows before they leave the cache. */
static void lower_rows(access *a, const piece *p, int merged, bool blocked) {
    dim_table *t = a->fused->module->dims;
    int outer = p->type.rank - merged;
    const tn_dim *dims = p->type.dims;
    tn_dim inner = dim_product(t, dims + outer, merged), total = dim_product(t, dims, outer), index[TN_MAX_RANK];
    int64_t grain = blocked ? BLOCK_ROWS : row_grain(t, inner);
    tn_dim chunk = access_open_stage(a, dim_ceildiv(t, total, dim_const(t, grain)));
    tn_dim top = dim_mul_const(t, chunk, grain), first = dim_const(t, 0), last = inner;
    access_loop blocks = {0};
    if (blocked) {
        blocks = access_open_loop(a, LT_SERIAL, first, dim_ceildiv(t, inner, dim_const(t, BLOCK_COLUMNS)), 0, 0);
        first = dim_mul_const(t, access_counter(&blocks), BLOCK_COLUMNS);
        last = dim_min(t, dim_add_const(t, first, BLOCK_COLUMNS), inner);
    }
    access_loop rows = access_open_loop(a, LT_SERIAL, top, dim_min(t, dim_add_const(t, top, grain), total), 0, 0);
    access_know_range(a, access_counter(&rows), total);
    access_unravel(a, access_counter(&rows), outer, dims, index);
    access_loop lanes = access_open_loop(a, LT_VECTOR, first, last, lower_lanes_for(a->fused, a->b.machine, inner), 0);
    access_know_range(a, access_counter(&lanes), inner);
    access_unravel(a, access_counter(&lanes), merged, dims + outer, index + outer);
    store_piece(a, p, index);
    access_close_loop(a, &lanes);
    access_close_loop(a, &rows);
    if (blocked) access_close_loop(a, &blocks);
}

/* By what lower_merged does. */
static void note_form(access *a, int rank, int merged, bool blocked) {
    if (merged == 0)
        lt_note(&a->b, "a scalar");
    else if (merged == rank)
        lt_note(&a->b, "one vector loop over all elements, %d lanes, chunks of %d elements",
                (int)lower_lanes(a->fused, a->b.machine), CHUNK_ELEMENTS);
    else if (blocked)
        lt_note(
            &a->b,
            "rows of the last %d axes, %d rows of %d columns at a time: operands that lie across them use the lines "
            "of the cache that they touch",
            merged, BLOCK_ROWS, BLOCK_COLUMNS);
    else
        lt_note(&a->b,
                "rows of the last %d ax%s as vector loops, not one loop over all: an operand that is broadcast or "
                "transposed is then read as it lies",
                merged, merged == 1 ? "is" : "es");
}

static void lower_scalar(access *a, const piece *p) {
    access_open_stage(a, dim_const(a->fused->module->dims, 1));
    store_piece(a, p, ACCESS_NO_INDEX);
}

static lt_kernel *lower_merged(tn_graph *fused, const machine *m, int merged, bool blocked) {
    access a;
    if (!access_open(&a, fused, "map", m)) return access_close(&a);
    const node *root = graph_node_of(fused, fused->results[0].value);
    bool in_parts = fused->n_results == 1 && root->op == TN_OP_concat;
    piece p = {.value = VALUE_NONE, .type = *graph_type(fused, fused->results[0].value), .axis = -1};
    note_form(&a, p.type.rank, merged, blocked);
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
        else if (merged == p.type.rank)
            lower_flat(&a, &p);
        else
            lower_rows(&a, &p, merged, blocked);
        if (in_parts) p.offset = dim_add(fused->module->dims, p.offset, p.type.dims[p.axis]);
    }
    return access_close(&a);
}

/* Rows and columns in which scattered reads cost least, and less than that; NULL: none, or it failed. */
static lt_kernel *best_turned(tn_graph *fused, const machine *m, uint32_t least) {
    int rank = graph_type(fused, fused->results[0].value)->rank;
    lt_kernel *best = NULL;
    if (graph_node_of(fused, fused->results[0].value)->op == TN_OP_concat) return NULL; /* in parts */
    for (int columns = 1; columns < rank && least > 0; columns++)
        for (int rows = rank - columns; rows > 0 && least > 0; rows--) {
            lt_kernel *k = map_lower_turned(fused, m, rows, columns);
            if (!k || lower_scattered(k) >= least) continue;
            best = k;
            least = lower_scattered(k);
        }
    return fused->module->error.status == TN_OK ? best : NULL;
}

lt_kernel *map_lower(tn_graph *fused, const machine *m) {
    int rank = graph_type(fused, fused->results[0].value)->rank, best_merged = rank;
    lt_kernel *best = lower_merged(fused, m, rank, false);
    uint32_t least = best ? lower_scattered(best) : 0;
    for (int merged = rank - 1; merged > 0 && best && least > 0; merged--) {
        lt_kernel *k = lower_merged(fused, m, merged, false);
        if (!k) return NULL;
        uint32_t cost = lower_scattered(k);
        if (cost < least) {
            best = k;
            best_merged = merged;
            least = cost;
        }
    }
    if (least == 0 || !best) return best;
    lt_kernel *turned = best_turned(fused, m, least);
    if (turned || fused->module->error.status != TN_OK)
        return lower_noted(turned, m,
                           "small square blocks are turned in registers: an operand lies transposed, and would be read "
                           "lane by lane");
    return best_merged < rank ? lower_merged(fused, m, best_merged, true) : best;
}
