/* Class cumulate: running sums, products, maxima, minima along an axis.
 *
 * in:  a fused function with one cumulate as its only result; its operand may be read through
 *      views
 * out: a stage of rows; along the axis one serial loop that carries the running value, lanes
 *      along the axes behind it
 */
#include "compiler/loops/classes.h"
#include "runtime/fault.h"

bool cumulate_takes(const tn_graph *fused) {
    return fused->n_results == 1 && graph_node_of(fused, fused->results[0].value)->op == TN_OP_cumulate;
}

enum { CHUNK_ELEMENTS = 16384 };

typedef struct running {
    access a;
    dim_table *t;
    const node *n;
    const tn_type *type;
    int axis;
    tn_dim index[TN_MAX_RANK];
} running;

/* The loop along the axis, for one row or one vector of rows. */
static void lower_axis(running *s) {
    bool reverse = attr_int(&s->n->attrs, ATTR_reverse, 0) != 0,
         exclusive = attr_int(&s->n->attrs, ATTR_exclusive, 0) != 0 && !(FAULT(cumulate_exclusive) && reverse);
    reduce_kind kind = (reduce_kind)attr_int(&s->n->attrs, ATTR_kind, 0);
    tn_dtype acc = access_accumulator(s->a.fused, s->n), own = (tn_dtype)s->type->dtype;
    tn_dim extent = s->type->dims[s->axis];
    lt_value neutral = access_neutral(&s->a, kind, acc);
    access_loop steps = access_open_loop(&s->a, LT_SERIAL, dim_const(s->t, 0), extent, 0, 1);
    tn_dim step = access_counter(&steps);
    lt_value before = lt_carry_in(&s->a.b, steps.stmt, 0, neutral, TN_OP_COUNT);
    s->index[s->axis] = reverse ? dim_sub(s->t, dim_add_const(s->t, extent, -1), step) : step;
    lt_value term = access_value(&s->a, s->n->operands[0], s->index);
    if (term != LT_NONE) {
        lt_value after = lt_binary(&s->a.b, access_combiner(kind), before, lt_convert(&s->a.b, term, acc));
        access_store_result(&s->a, 0, s->index, lt_convert(&s->a.b, exclusive ? before : after, own));
        lt_carry_next(steps.stmt, 0, after);
    }
    access_close_loop(&s->a, &steps);
}

static void lower_rows(running *s) {
    int behind = s->type->rank - s->axis - 1;
    const tn_dim *dims = s->type->dims;
    tn_dim inner = dim_product(s->t, dims + s->axis + 1, behind), total = dim_product(s->t, dims, s->axis);
    int64_t known;
    bool is_small = dim_is_const(s->t, dim_mul(s->t, inner, dims[s->axis]), &known) && known > 0;
    access_loop rows, lanes;
    tn_dim row = access_open_rows(&s->a, total, is_small && known < CHUNK_ELEMENTS ? CHUNK_ELEMENTS / known : 1, &rows);
    access_unravel(&s->a, row, s->axis, dims, s->index);
    if (behind == 0)
        lower_axis(s);
    else {
        lanes = access_open_loop(&s->a, LT_VECTOR, dim_const(s->t, 0), inner,
                                 lower_lanes_for(s->a.fused, s->a.b.machine, inner), 0);
        access_unravel(&s->a, access_counter(&lanes), behind, dims + s->axis + 1, s->index + s->axis + 1);
        lower_axis(s);
        access_close_loop(&s->a, &lanes);
    }
    access_close_loop(&s->a, &rows);
}

lt_kernel *cumulate_lower(tn_graph *fused, const machine *m) {
    running s = {.t = fused->module->dims, .n = graph_node_of(fused, fused->results[0].value)};
    s.type = graph_type(fused, s.n->first_result);
    s.axis = (int)attr_int(&s.n->attrs, ATTR_axis, 0);
    if (access_open(&s.a, fused, "cumulate", m)) lower_rows(&s);
    return access_close(&s.a);
}
