/* Class contract: one dot with what was fused after it.
 *
 * in:  a fused function with one dot of floats whose operands come from outside, the other
 *      members elementwise on its result
 * out: a blocked product (pack.h): batch axes are its outer ones, free axes of the first operand
 *      its rows, of the second its columns, contracted axes its depth
 *
 * When the second operand's runs in memory cross the product's columns (weights as [out, in]), packing it
 * would mean to transpose it: then the operands change sides if the first is smaller, and the
 * result is stored by columns.
 *
 * Integers and dots so small that blocking costs more than it gives go to class map.
 */
#include "compiler/loops/contraction.h"

enum {
    TINY_MULTIPLY_ADDS = 512,
    SOME_EXTENT = 64, /* taken for symbolic ones */
};

bool contract_takes(const tn_graph *fused) {
    const node *dot = lower_anchor(fused, TN_OP_dot);
    return dot && contraction_takes(fused, dot);
}

static bool is_tiny(const product_shape *s) {
    bool is_known = s->rows >= 0 && s->columns >= 0 && s->depth >= 0;
    if (s->depth >= 0 && s->depth <= 2) return true;
    return is_known && (double)s->rows * (double)s->columns * (double)s->depth <= TINY_MULTIPLY_ADDS;
}

static double known_or_some(int64_t extent) { return extent < 0 ? SOME_EXTENT : (double)(extent > 0 ? extent : 1); }

/* In cycles for each multiply-add of a column: packing across takes about one for each element, storing by
 * columns one and a half, and a multiply-add a 32nd. */
static bool should_swap(const contraction *c) {
    const matrix *a = &c->p.side[SIDE_A], *b = &c->p.side[SIDE_B];
    dim_table *t = c->p.t;
    product_shape s = product_known_shape(&c->p);
    bool a_is_run = a->has_strides && dim_is_value(t, a->step, 1),
         b_crosses = b->has_strides && dim_is_value(t, b->depth_step, 1);
    if (s.columns >= 0 && s.columns <= 1) return a_is_run && !dim_is_value(t, a->depth_step, 1);
    if (!b_crosses || dim_is_value(t, b->step, 1)) return false;
    return 48 / known_or_some(s.depth) + 32 / known_or_some(s.columns) < 32 / known_or_some(s.rows);
}

static void choose_sides(contraction *c) {
    contraction_set_sides(c);
    if (!should_swap(c)) return;
    c->swaps = true;
    contraction_set_sides(c);
    c->p.lanes_along_rows = !dim_is_value(c->p.t, c->p.side[SIDE_A].extent, 1);
}

lt_kernel *contract_lower(tn_graph *fused, const machine *m) {
    access a;
    contraction c = {0};
    if (access_open(&a, fused, "contract", m)) {
        contraction_open(&c, &a, lower_anchor(fused, TN_OP_dot));
        choose_sides(&c);
        product_shape s = product_known_shape(&c.p);
        if (is_tiny(&s)) {
            access_close(&a);
            return lower_noted(
                map_lower(fused, m), m,
                "a product of at most %d multiply-adds, or of depth 2 at most: cutting it into tiles would "
                "cost more than it gives",
                TINY_MULTIPLY_ADDS);
        }
        if (c.swaps)
            lt_note(
                &a.b,
                "the operands change sides: rows of the second follow each other along the depth, so it is A, which is "
                "read so, and the result is turned when it is stored");
        s.is_narrow = c.swaps && s.columns < 0;
        s.by_strides = true;
        c.p.how = blocking_choose(m, &s);
        product_lower(&c.p);
    }
    return access_close(&a);
}
