/* The transforms of Winograd's algorithm, with few operations.
 *
 * in:  the elements of a tile
 * out: B^T d B, or A^T m A
 * law: all factors are integers up to 8 and 5; each transform goes along rows, then along columns, by the
 *      same function of 4 or 6 values
 */
#include "compiler/loops/winograd.h"

/* n values `step` apart become fewer or as many in place. */
typedef void transform(lt_builder *b, lt_value *x, int64_t step);

static lt_value add(lt_builder *b, lt_value x, lt_value y) { return lt_binary(b, TN_OP_add, x, y); }
static lt_value sub(lt_builder *b, lt_value x, lt_value y) { return lt_binary(b, TN_OP_sub, x, y); }

/* factor * x + y */
static lt_value multiply_add(lt_builder *b, double factor, lt_value x, lt_value y) {
    return lt_ternary(b, TN_OP_fma, lt_const_float(b, TN_F32, factor), x, y);
}

static void input_2(lt_builder *b, lt_value *x, int64_t step) {
    lt_value d1 = x[step], d2 = x[2 * step];
    x[0] = sub(b, x[0], d2);
    x[step] = add(b, d1, d2);
    x[2 * step] = sub(b, d2, d1);
    x[3 * step] = sub(b, d1, x[3 * step]);
}

static void input_4(lt_builder *b, lt_value *x, int64_t step) {
    lt_value d0 = x[0], d1 = x[step], d2 = x[2 * step], d3 = x[3 * step], d4 = x[4 * step], d5 = x[5 * step];
    lt_value even = multiply_add(b, -4, d2, d4), odd = multiply_add(b, -4, d1, d3), near = sub(b, d4, d2),
             far = sub(b, d3, d1);
    x[0] = multiply_add(b, 4, d0, multiply_add(b, -5, d2, d4));
    x[step] = add(b, even, odd);
    x[2 * step] = sub(b, even, odd);
    x[3 * step] = multiply_add(b, 2, far, near);
    x[4 * step] = multiply_add(b, -2, far, near);
    x[5 * step] = multiply_add(b, 4, d1, multiply_add(b, -5, d3, d5));
}

static void output_2(lt_builder *b, lt_value *x, int64_t step) {
    lt_value m1 = x[step], m2 = x[2 * step];
    x[0] = add(b, x[0], add(b, m1, m2));
    x[step] = sub(b, sub(b, m1, m2), x[3 * step]);
}

static void output_4(lt_builder *b, lt_value *x, int64_t step) {
    lt_value m1 = x[step], m2 = x[2 * step], m3 = x[3 * step], m4 = x[4 * step];
    lt_value even = add(b, m1, m2), odd = sub(b, m1, m2), wide_even = add(b, m3, m4), wide_odd = sub(b, m3, m4);
    x[0] = add(b, x[0], add(b, even, wide_even));
    x[step] = multiply_add(b, 2, wide_odd, odd);
    x[2 * step] = multiply_add(b, 4, wide_even, even);
    x[3 * step] = add(b, multiply_add(b, 8, wide_odd, odd), x[5 * step]);
}

static const struct {
    int64_t tile;
    transform *input, *output;
} kinds[] = {{2, input_2, output_2}, {4, input_4, output_4}};

void winograd_input(lt_builder *b, int64_t tile, lt_value *d) {
    int64_t side = tile + 2;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (kinds[k].tile != tile) continue;
        for (int64_t i = 0; i < side; i++) kinds[k].input(b, d + i * side, 1);
        for (int64_t i = 0; i < side; i++) kinds[k].input(b, d + i, side);
    }
}

void winograd_output(lt_builder *b, int64_t tile, lt_value *m) {
    int64_t side = tile + 2;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (kinds[k].tile != tile) continue;
        for (int64_t i = 0; i < side; i++) kinds[k].output(b, m + i, side);
        for (int64_t i = 0; i < tile; i++) kinds[k].output(b, m + i * side, 1);
    }
    for (int64_t i = 0; i < tile; i++)
        for (int64_t j = 0; j < tile; j++) m[i * tile + j] = m[i * side + j];
}
