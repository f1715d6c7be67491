/* The transforms of Winograd's algorithm, with few operations.
 *
 * in:  the elements of a tile
 * out: B^T d B, or A^T m A
 * law: all factors are exact; each transform goes along rows, then along columns, by the same function of 4
 *      or 6 values
 */
#include "compiler/loops/winograd.h"

/* F(4, 3): points besides 0 and infinity, either sign (compiler/passes/winograd.c has the same). */
static const double P1 = 0.75, P2 = 1.5;

/* n values `step` apart become fewer or as many in place. */
typedef void transform(lt_builder *b, lt_value *x, int64_t step);

static lt_value add(lt_builder *b, lt_value x, lt_value y) { return lt_binary(b, TN_OP_add, x, y); }
static lt_value sub(lt_builder *b, lt_value x, lt_value y) { return lt_binary(b, TN_OP_sub, x, y); }

/* factor * x + y */
static lt_value multiply_add(lt_builder *b, double factor, lt_value x, lt_value y) {
    return lt_ternary(b, TN_OP_fma, lt_const_float(b, TN_F32, factor), x, y);
}

static lt_value multiply(lt_builder *b, double factor, lt_value x) {
    return lt_binary(b, TN_OP_mul, lt_const_float(b, TN_F32, factor), x);
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
    lt_value near_even = multiply_add(b, -P2 * P2, d2, d4), near_odd = multiply_add(b, -P2 * P2, d1, d3);
    lt_value far_even = multiply_add(b, -P1 * P1, d2, d4), far_odd = multiply_add(b, -P1 * P1, d1, d3);
    x[0] = multiply_add(b, P1 * P1 * P2 * P2, d0, multiply_add(b, -P1 * P1 - P2 * P2, d2, d4));
    x[step] = multiply_add(b, P1, near_odd, near_even);
    x[2 * step] = multiply_add(b, -P1, near_odd, near_even);
    x[3 * step] = multiply_add(b, P2, far_odd, far_even);
    x[4 * step] = multiply_add(b, -P2, far_odd, far_even);
    x[5 * step] = multiply_add(b, P1 * P1 * P2 * P2, d1, multiply_add(b, -P1 * P1 - P2 * P2, d3, d5));
}

static void output_2(lt_builder *b, lt_value *x, int64_t step) {
    lt_value m1 = x[step], m2 = x[2 * step];
    x[0] = add(b, x[0], add(b, m1, m2));
    x[step] = sub(b, sub(b, m1, m2), x[3 * step]);
}

static void output_4(lt_builder *b, lt_value *x, int64_t step) {
    lt_value m1 = x[step], m2 = x[2 * step], m3 = x[3 * step], m4 = x[4 * step];
    lt_value near_even = add(b, m1, m2), near_odd = sub(b, m1, m2), far_even = add(b, m3, m4), far_odd = sub(b, m3, m4);
    x[0] = add(b, x[0], add(b, near_even, far_even));
    x[step] = multiply_add(b, P2, far_odd, multiply(b, P1, near_odd));
    x[2 * step] = multiply_add(b, P2 * P2, far_even, multiply(b, P1 * P1, near_even));
    x[3 * step] = multiply_add(b, P2 * P2 * P2, far_odd, multiply_add(b, P1 * P1 * P1, near_odd, x[5 * step]));
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
